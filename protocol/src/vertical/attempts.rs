//! The order of attempts: at one range of the sigmoid after the other, until all scores lie in it.

use super::{
    kept::Along,
    logistic::{Method, Progress},
    run::{Attempt, Run, Start},
};
use crate::{abort::Abort, arith::Engine, channel::Channel, correlation::CorrelationSource};

/// Fits at the narrowest range that holds all scores; passes and Hessians add up.
pub(super) async fn settle<C: Channel, S: CorrelationSource>(
    run: &mut Run,
    engine: &mut Engine<C, S>,
    counts: (&mut u32, &mut u32),
    progress: &mut dyn Progress,
) -> Result<Attempt, Abort> {
    settle_from(run, engine, counts, None, progress).await
}

/// The same, begun on shares, at the range of the start.
pub(super) async fn settle_from<C: Channel, S: CorrelationSource>(
    run: &mut Run,
    engine: &mut Engine<C, S>,
    counts: (&mut u32, &mut u32),
    start: Option<&Start>,
    progress: &mut dyn Progress,
) -> Result<Attempt, Abort> {
    settle_along(run, engine, counts, start, &mut Along::unkept(progress)).await
}

/// The same, with states kept of its passes, where something keeps them.
pub(super) async fn settle_along<C: Channel, S: CorrelationSource>(
    run: &mut Run,
    engine: &mut Engine<C, S>,
    (passes, hessians): (&mut u32, &mut u32),
    start: Option<&Start>,
    along: &mut Along<'_>,
) -> Result<Attempt, Abort> {
    let mut problem = ("no range to try", 0);
    let ranges = run.spec.ranges();
    let narrower = |range: &&u32| start.is_some_and(|start| **range < start.range_log2);
    let skipped = ranges.iter().filter(narrower).count();
    // an aborted job has tried them
    let tried = start.is_some_and(|start| start.behind.is_some()) && skipped > 0;
    for (i, range_log2) in ranges.into_iter().skip(skipped).enumerate() {
        let careful = i > 0 || tried;
        if careful {
            run.use_all_rows();
        }
        let attempt = run.attempt(engine, range_log2, *passes, careful, start, along);
        let attempt = attempt.await?;
        *passes = attempt.passes;
        *hessians += attempt.hessians;
        problem = match attempt.settled {
            true if run.within_range(engine, &attempt).await? => return Ok(attempt),
            true => ("scores leave the sigmoid's range", range_log2),
            false => ("its steps stay above the tolerance", range_log2),
        };
    }
    Err(give_up(run.spec.method, problem.0, *passes, problem.1))
}

pub(super) fn give_up(method: Method, problem: &str, passes: u32, range_log2: u32) -> Abort {
    let advice = "winsorise or bin the columns with long tails, drop columns that two parties both \
                  hold, or raise model.l2";
    if problem.starts_with("scores") {
        return Abort::OutOfRange {
            step: "train/range".into(),
            problem: format!("{problem} of ±{}: {advice}", 1u64 << range_log2),
        };
    }
    let more = match method {
        Method::Newton => "",
        Method::Accelerated => {
            ", or take solver.method = \"newton\", whose steps long tails and columns that say nearly the same slow down less"
        }
    };
    Abort::NotConverged {
        passes,
        problem: format!("{problem}: {advice}, or raise solver.max_passes{more}"),
    }
}
