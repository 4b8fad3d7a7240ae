//! Whether training stays within the range of the fixed point: one bit an epoch.
//!
//! **What is looked at.** After the last batch of an epoch all weights and their last steps; of that batch's first
//! rows the scores, the derivatives by the outputs of hidden layers, and with rectifiers the sums before them. Each
//! has a bound, below what its point and what it is cut with take. Opened is whether all lie within theirs.
//!
//! **What that says.** A run that diverges is stopped at the end of the epoch in which it does, before its loss is
//! compared or any weight released. A value that left its range and came back within an epoch, in another batch than
//! the last, is not seen: weights that were trained on from there are within their bounds all the same. Nor are rows
//! looked at on which the loss is only watched: with rectifiers a sum beyond the range there makes a wrong loss, and
//! at worst another epoch's weights are taken.
//!
//! **How.** The top 16 bits of each are compared with its bound ([`Engine::all_within_each`]) at a point where values
//! up to many times the bound do not wrap; the answer is exact to a quarter of a unit of scores and weights, of the
//! rest to less, and as much again for each party.

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

#[cfg(test)]
mod tests {
    use super::{super::Hidden, *};
    use crate::{
        correlation::{CorrelationSource, deal},
        testing::{
            World,
            dealt::{engine, seeds, share},
        },
    };

    /// Whether 40 rows of two values, all but one of them small, are within a bound.
    async fn is_within(frac: u32, bound: Bound, odd: f64, parties: u8) -> bool {
        let world = World::new(parties);
        let bits = world.run(
            move |me, ctx| async move {
                let mut e = engine(&ctx);
                e.step("test");
                let mut values = vec![0.001; 80];
                values[77] = odd;
                let values = share(&values, frac, me, e.parties());
                let mut looked = Looked::at(39);
                looked.take(&values, 40, bound);
                let opening = Opening::WithinRange { epoch: 1 };
                let bit = looked.is_within(&mut e, opening).await?;
                e.source_mut().done().await?;
                Ok(bit)
            },
            move |ctx| async move { deal(&ctx, &seeds(parties)).await.map(drop) },
        );
        let bits: Vec<bool> = bits.await.into_iter().map(Result::unwrap).collect();
        assert!(bits.iter().all(|bit| *bit == bits[0]));
        bits[0]
    }

    #[tokio::test]
    async fn each_bound_is_found_and_what_lies_beyond_it_by_far_as_well() {
        let tanh = Hidden::Tanh;
        for (frac, bound, far) in [
            (points::layer(0, 3, tanh).weight, WEIGHTS, 4000.0),
            (points::layer(1, 3, tanh).weight, WEIGHTS, 4000.0),
            (points::layer(2, 3, tanh).weight, WEIGHTS, 4000.0),
            (points::layer(0, 3, tanh).weight, STEPS, 16.0),
            (points::layer(2, 3, tanh).weight, STEPS, 16.0),
            (points::DELTA, DERIVATIVES, 48.0),
            (points::SUM, SCORES, 4000.0),
            (points::RELU_ARGUMENT, RECTIFIED, 1000.0),
        ] {
            for parties in [2, 5] {
                for sign in [1.0, -1.0] {
                    // as exact as the page says, of the bound at most a 20th
                    for (odd, want) in [(0.95, true), (1.05, false), (far / bound.most, false)] {
                        let odd = sign * odd * bound.most;
                        let got = is_within(frac, bound, odd, parties).await;
                        assert_eq!(got, want, "{bound:?} {odd} {parties}");
                    }
                }
            }
        }
        // what stands in a row that is not looked at
        let mut looked = Looked::at(0);
        looked.take(&Shares::zeros(80, points::SUM), 40, SCORES);
        assert!(looked.groups.is_empty());
    }
}
