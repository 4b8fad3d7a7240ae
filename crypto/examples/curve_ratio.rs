//! How much faster the vector backend multiplies than curve25519-dalek, on one core, in one run.
//!
//! ```text
//! cargo run --release -p paripassu-crypto --example curve_ratio
//! ```
//!
//! Rounds of all candidates in turn; the best processor time of each (`/proc/thread-self/schedstat`).

use std::hint::black_box;

use curve25519_dalek::{RistrettoPoint, Scalar};
use paripassu_crypto::group::{Backend, Domain, MaskKey};
use rand::RngExt;

const POINTS: usize = 2_048;

/// Nanoseconds that this thread has computed.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split(' ').next().and_then(|n| n.parse().ok());
    first.unwrap_or_default()
}

fn main() {
    let mut rng = rand::rng();
    let points: Vec<[u8; 32]> = (0..POINTS).map(|_| rng.random()).collect();
    let key: [u8; 32] = rng.random();
    let scalar = Scalar::from_bytes_mod_order(key);
    let group: Vec<RistrettoPoint> = (0..POINTS)
        .map(|_| RistrettoPoint::random(&mut rng))
        .collect();
    let (mask, domain) = (
        MaskKey::random(),
        Domain::new("ratio", 1, &[0; 32]).expect("a short name"),
    );
    let mut out = vec![[0; 32]; POINTS];
    let mut best = [u64::MAX; 4];
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    let pool = pool.expect("a pool of this thread");
    for _ in 0..12 {
        let mut take = |at: usize, f: &mut dyn FnMut()| {
            let before = cpu();
            f();
            best[at] = best[at].min(cpu() - before);
        };
        take(0, &mut || {
            Backend::Ifma.multiply(&key, black_box(&points), black_box(&mut out))
        });
        take(1, &mut || {
            Backend::Portable.multiply(&key, black_box(&points), black_box(&mut out))
        });
        take(2, &mut || {
            for p in &group {
                black_box(black_box(p) * scalar);
            }
        });
        take(3, &mut || {
            black_box(pool.install(|| mask.encode_and_mask(&domain, black_box(&points))));
        });
    }
    let rate = |ns: u64| POINTS as f64 / ns as f64 * 1e9;
    println!("vector backend available: {}", Backend::Ifma.is_available());
    println!(
        "ladder, vector backend            {:9.0} a second and core",
        rate(best[0])
    );
    println!("ladder, curve25519-dalek          {:9.0}", rate(best[1]));
    println!("variable base, curve25519-dalek   {:9.0}", rate(best[2]));
    println!("hash to the curve and mask        {:9.0}", rate(best[3]));
    println!(
        "ratio to dalek's ladder           {:9.1}",
        best[1] as f64 / best[0] as f64
    );
    println!(
        "ratio to dalek's variable base    {:9.1}",
        best[2] as f64 / best[0] as f64
    );
}
