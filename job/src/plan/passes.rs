//! How often the training rows are gone through.

use super::Taken;
use crate::{
    constants::{FINE_PASSES, USUAL_COARSE_PASSES, USUAL_PASSES, USUAL_SECOND_PASSES},
    spec::{Spec, Stop},
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
    pub(super) fn expected(spec: &Spec) -> Self {
        let most = spec.solver.max_passes;
        match spec.solver.stop {
            Stop::Bit => {
                let all = USUAL_PASSES.min(most);
                let coarse = USUAL_COARSE_PASSES.min(all);
                Self::of(spec, coarse, all - coarse)
            }
            Stop::Fixed => {
                let fine = FINE_PASSES.min(most);
                Self::of(spec, most - fine, fine)
            }
        }
    }

    pub(super) fn taken(spec: &Spec, taken: &Taken) -> Self {
        let (coarse, fine) = taken.second;
        // of each fit between steps, on the average
        let fits = taken.stepped + 1;
        let of = |all: u64, second: u64| all.saturating_sub(second).div_ceil(fits);
        Self::of(spec, of(taken.passes, coarse), of(taken.fine_passes, fine))
    }

    /// None at all.
    pub(super) const NONE: Self = Self {
        coarse: 0,
        fine: 0,
        tests: 0,
    };

    /// Of the second fit of a job with declined applicants.
    pub(super) fn second(spec: &Spec, taken: Option<&Taken>) -> Self {
        if spec.reject_inference.is_none() {
            return Self::NONE;
        }
        let (coarse, fine) = USUAL_SECOND_PASSES;
        match (taken, spec.solver.stop) {
            (Some(taken), _) => Self::of(spec, taken.second.0, taken.second.1),
            (None, Stop::Bit) => Self::of(spec, coarse, fine),
            (None, Stop::Fixed) => Self::expected(spec),
        }
    }

    fn of(spec: &Spec, coarse: u64, fine: u64) -> Self {
        Self {
            coarse,
            fine,
            tests: match spec.solver.stop {
                Stop::Bit => coarse + fine,
                Stop::Fixed => 1,
            },
        }
    }

    pub(super) fn all(&self) -> u64 {
        self.coarse + self.fine
    }
}
