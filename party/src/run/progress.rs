//! How far a run is, in numbers.

use std::time::Instant;

use paripassu_model::report::ConvergenceStep;
use paripassu_service::node::{Progress, Reporter};

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

/// Reports the passes of a training under a name for early and for last ones, and how long each took to `course`.
pub(super) fn passes(
    reporter: Reporter,
    [early, last]: [&'static str; 2],
    course: &mut Vec<ConvergenceStep>,
) -> impl FnMut(u32, u32, bool) {
    let start = Instant::now();
    let mut before = start;
    move |done: u32, of: u32, fine: bool| {
        course.push(ConvergenceStep {
            seconds: Some(before.elapsed().as_secs_f64()),
            fine,
            value: None,
        });
        before = Instant::now();
        let step = if fine { last } else { early };
        reporter.progress(&timed(step, start, done.into(), of.into()));
    }
}
