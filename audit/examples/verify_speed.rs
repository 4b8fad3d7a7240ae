//! How long verifying a bundle of 10,000 events takes: `cargo run --release --example verify_speed`.
//!
//! Three nodes write to real logs on disk, witness each other, and one exports the bundle.

#[path = "../tests/tamper/world/mod.rs"]
#[allow(dead_code, unused_imports, clippy::unwrap_used)]
mod world;

use std::time::Instant;

use paripassu_audit::{
    bundle::Bundle,
    verify::{Options, verify},
};
use world::World;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let wanted: usize = std::env::args().nth(1).map_or(Ok(10_000), |n| n.parse())?;
    let mut world = World::new();
    world.lengthen(wanted);
    let folder = tempfile::tempdir()?;
    let start = Instant::now();
    let text = world.bundle_from_disk(folder.path()).to_text()?;
    println!("written in {:.2} s", start.elapsed().as_secs_f64());

    let start = Instant::now();
    let bundle = Bundle::parse(text.as_bytes())?;
    let read = start.elapsed().as_secs_f64();
    let verdict = verify(&bundle, &Options::default());
    let all = start.elapsed().as_secs_f64();
    let events: u64 = verdict.logs.iter().map(|log| log.events).sum();
    println!(
        "{events} events, {} bytes: read in {read:.3} s, verified in {:.3} s, {all:.3} s in all: {}",
        text.len(),
        all - read,
        if verdict.ok { "ok" } else { "NOT OK" }
    );
    if let Some(path) = std::env::args().nth(2) {
        std::fs::write(path, text)?;
    }
    Ok(())
}
