//! Aligns two synthetic tables, both parties in this process, and prints rates.
//!
//! ```text
//! cargo run --release -p paripassu-protocol --features test-util --example align_bench -- 100000 256 vole
//! ```
//!
//! Arguments: rows of each party (half of them in common), memory budget of each in MiB, method.
//! CPU time and peak memory are those of both parties together, without network and encryption.

use std::time::Instant;

use paripassu_protocol::{
    abort::Abort,
    align::{self, IterIds, Method, Params},
    testing::World,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let n: u64 = args.next().as_deref().unwrap_or("100000").parse()?;
    let mib: u64 = args.next().as_deref().unwrap_or("256").parse()?;
    let method = match args.next().as_deref() {
        None | Some("curve") => Method::Curve,
        Some("vole") => Method::Vole,
        Some(other) => return Err(format!("no method is called {other}").into()),
    };
    let params = Params {
        memory_bytes: mib << 20,
        ..Params::new([1; 32])
    };
    let world = World::new(2).with_deadline(std::time::Duration::from_secs(600));
    let start = Instant::now();
    let out = world
        .run(
            |party, ctx| {
                let params = params.clone();
                let from = party as u64 * (n / 2);
                let ids = IterIds((from..from + n).map(|i| format!("{i:018}")));
                async move {
                    let aligned = align::run(&ctx, method, &params, ids, |_, _| {}).await?;
                    Ok((aligned.rows.len(), ctx.meter().total()))
                }
            },
            |_| async { Ok(()) },
        )
        .await;
    let wall = start.elapsed().as_secs_f64();
    for (party, result) in out.into_iter().enumerate() {
        let (matched, cost) = result.map_err(|e: Abort| e.to_string())?;
        let declared = align::declared_cost(method, &params, party as u8, n, n);
        println!(
            "party {party}: {matched} of {n} in common, {:.1} bytes an item both ways (as declared: {})",
            (cost.bytes_sent + cost.bytes_received) as f64 / n as f64,
            cost == declared,
        );
    }
    println!("{wall:.2} s, {:.0} items/s a party", n as f64 / wall);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        status
            .lines()
            .filter(|l| l.starts_with("VmHWM"))
            .for_each(|l| println!("{l}"));
    }
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        let ticks: u64 = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .skip(11)
            .take(2)
            .filter_map(|t| t.parse::<u64>().ok())
            .sum();
        println!("{:.2} CPU seconds, both parties", ticks as f64 / 100.0);
    }
    Ok(())
}
