//! How often the training rows are gone through.

use super::Taken;
use crate::{
    constants::{
        ACCELERATED_FINE_PART, FINE_PASSES, USUAL_COARSE_PASSES, USUAL_PASSES, USUAL_SECOND_PASSES,
        usual_accelerated_passes,
    },
    spec::{Spec, Steps, Stop},
};

/// Passes of one range that settles.
#[derive(Clone, Copy)]
pub(super) struct Passes {
    /// While steps are large.
    pub(super) coarse: u64,
    /// At full precision.
    pub(super) fine: u64,
    /// After which one bit says whether training has settled.
    pub(super) tests: u64,
}

impl Passes {
    /// Of these steps, on so many design columns.
    pub(super) fn expected(spec: &Spec, steps: Steps, columns: u64) -> Self {
        let most = spec.solver.most_passes(steps);
        let (coarse, all, fine) = match steps {
            Steps::Newton => (USUAL_COARSE_PASSES, USUAL_PASSES, FINE_PASSES.min(most)),
            Steps::Accelerated => {
                let (coarse, fine) = usual_accelerated_passes(columns);
                (coarse, coarse + fine, most.div_ceil(ACCELERATED_FINE_PART))
            }
            // always all of them
            Steps::Sgd => return Self::of((spec, steps), most.saturating_sub(1), 1),
        };
        match spec.solver.stop {
            Stop::Bit => {
                let all = all.min(most);
                let coarse = coarse.min(all);
                Self::of((spec, steps), coarse, all - coarse)
            }
            Stop::Fixed => Self::of((spec, steps), most - fine, fine),
        }
    }

    pub(super) fn taken(spec: &Spec, steps: Steps, taken: &Taken) -> Self {
        let (coarse, fine) = taken.second;
        // of each fit between steps, on the average
        let fits = taken.stepped + 1;
        let of = |all: u64, second: u64| all.saturating_sub(second).div_ceil(fits);
        let (coarse, fine) = (of(taken.passes, coarse), of(taken.fine_passes, fine));
        let of = Self::of((spec, steps), coarse, fine);
        if taken.after == 0 || spec.solver.stop == Stop::Fixed {
            return of;
        }
        let tests = steps.bits_behind(taken.after, coarse + fine);
        Self { tests, ..of }
    }

    /// None at all.
    pub(super) const NONE: Self = Self {
        coarse: 0,
        fine: 0,
        tests: 0,
    };

    /// Of the second fit of a job with declined applicants.
    pub(super) fn second(spec: &Spec, steps: Steps, columns: u64, taken: Option<&Taken>) -> Self {
        if spec.reject_inference.is_none() {
            return Self::NONE;
        }
        let of = |coarse, fine| Self::again((spec, steps), coarse, fine);
        match (taken, spec.solver.stop, steps) {
            (Some(taken), ..) => of(taken.second.0, taken.second.1),
            (None, Stop::Bit, Steps::Newton) => of(USUAL_SECOND_PASSES.0, USUAL_SECOND_PASSES.1),
            (None, ..) => Self::expected(spec, steps, columns),
        }
    }

    /// Of a fit that begins where another has ended.
    fn again((spec, steps): (&Spec, Steps), coarse: u64, fine: u64) -> Self {
        let of = Self::of((spec, steps), coarse, fine);
        let tests = match spec.solver.stop {
            Stop::Bit => steps.bits_again(coarse + fine),
            Stop::Fixed => of.tests,
        };
        Self { tests, ..of }
    }

    fn of((spec, steps): (&Spec, Steps), coarse: u64, fine: u64) -> Self {
        Self {
            coarse,
            fine,
            tests: match spec.solver.stop {
                Stop::Bit => steps.bits(coarse + fine),
                Stop::Fixed => 1,
            },
        }
    }

    pub(super) fn all(&self) -> u64 {
        self.coarse + self.fine
    }
}
