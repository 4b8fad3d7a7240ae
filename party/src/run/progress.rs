//! How far a run is, in numbers.

use std::time::Instant;

use paripassu_service::node::Progress;

/// Progress with rate and time left by what has passed.
pub(super) fn timed(step: &str, start: Instant, done: u64, of: u64) -> Progress {
    let elapsed = start.elapsed().as_secs_f64();
    let rate = if elapsed > 0.0 {
        done as f64 / elapsed
    } else {
        0.0
    };
    let left = if rate > 0.0 {
        of.saturating_sub(done) as f64 / rate
    } else {
        0.0
    };
    Progress {
        step: step.to_owned(),
        iteration: done,
        iterations: of,
        rate,
        waiting_for: None,
        seconds_left: left as u64,
    }
}
