//! `cargo run --release -p paripassu-bench --example training -- 100000 50 50`
use paripassu_bench::training::{Setting, measure};

#[tokio::main]
async fn main() {
    let a: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|v| v.parse().ok())
        .collect();
    let get = |i: usize, d: usize| a.get(i).copied().unwrap_or(d);
    let setting = Setting {
        rows: get(0, 100_000),
        cols: [get(1, 50), get(2, 50)],
        seed: 2026,
        spec: Default::default(),
    };
    match measure(&setting).await {
        Ok(m) => println!("{m:#?}"),
        Err(e) => eprintln!("{e}"),
    }
}
