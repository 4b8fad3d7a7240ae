//! Whether training stays within the range of the fixed point: one bit an epoch.
//!
//! **What is looked at.** After the last batch of an epoch all weights and their last steps; of that batch's first
//! rows the scores, the derivatives by the outputs of hidden layers, and with rectifiers the sums before them. Each
//! has a bound, below what its point and what it is cut with take. Opened is whether all lie within theirs.
//!
//! **What that says.** A run that diverges is stopped at the end of the epoch in which it does, before its loss is
//! compared or any weight released. A value that left its range and came back within an epoch, in another batch than
//! the last, is not seen: weights that were trained on from there are within their bounds all the same.
//!
//! **How.** The top 16 bits of each are compared with its bound ([`Engine::all_within_each`]) at a point where values
//! up to many times the bound do not wrap; the answer is exact to a 64th of a score or weight, or less, and as much
//! again for each party.

use paripassu_crypto::share::Shares;

use super::{points, step::Layers};
use crate::{
    abort::Abort,
    arith::{Engine, Opening},
    channel::Channel,
    correlation::CorrelationSource,
};

/// What values must stay below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    /// Fraction bits at which they are compared: at least those that they have.
    point: u32,
    /// The largest magnitude.
    most: f64,
}

impl Bound {
    /// The bound in units of the top 16 bits.
    fn limit(self) -> u16 {
        (self.most * 2f64.powi(self.point as i32 - 48)) as u16
    }
}

/// Weights: what a release takes.
const WEIGHTS: Bound = Bound {
    point: 50,
    most: points::LARGEST,
};
/// Steps: what is cut with them is below 4.
const STEPS: Bound = Bound {
    point: 58,
    most: 3.9,
};
/// Derivatives by the outputs of hidden layers: likewise below 16.
pub(super) const DERIVATIVES: Bound = Bound {
    point: 57,
    most: 15.0,
};
/// Scores, where the output's series is exact.
pub(super) const SCORES: Bound = Bound {
    point: points::SUM,
    most: points::LARGEST_SCORE,
};
/// Sums before rectifiers.
pub(super) const RECTIFIED: Bound = Bound {
    point: points::RELU_ARGUMENT,
    most: points::LARGEST_RELU,
};

/// Values of a batch's first rows that are looked at, each with its bound.
#[derive(Default)]
pub(super) struct Looked {
    rows: usize,
    groups: Vec<(Shares, u16)>,
}

impl Looked {
    /// At so many rows; none: nothing is looked at.
    pub(super) fn at(rows: usize) -> Self {
        Self {
            rows,
            groups: Vec::new(),
        }
    }

    /// Of `values`, as many a row of `rows`, those of the first rows.
    pub(super) fn take(&mut self, values: &Shares, rows: usize, bound: Bound) {
        let first = self.rows.min(rows) * (values.len() / rows.max(1));
        if first > 0 {
            let first = values.slice(0..first).widened(bound.point);
            self.groups.push((first, bound.limit()));
        }
    }

    /// What was taken at several batches.
    pub(super) fn joined(all: Vec<Self>) -> Self {
        Self {
            rows: all.iter().map(|l| l.rows).sum(),
            groups: all.into_iter().flat_map(|l| l.groups).collect(),
        }
    }

    /// Whether all that was taken lies within its bounds.
    pub(super) async fn is_within<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        opening: Opening,
    ) -> Result<bool, Abort> {
        engine.all_within_each(&self.groups, opening).await
    }
}

impl Layers {
    /// Takes all weights and their last steps as well.
    pub(super) fn look(&self, looked: &mut Looked) {
        for w in self.first.iter().chain(&self.further) {
            for (values, bound) in [(&w.words, WEIGHTS), (&w.step, STEPS)] {
                let values = values.duplicate().widened(bound.point);
                looked.groups.push((values, bound.limit()));
            }
        }
    }
}
