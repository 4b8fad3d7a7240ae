//! Where the binary points lie.
//!
//! Products with batches are made modulo 2^40. With f_x and f_r fraction bits of features and residuals and B rows
//! in a batch, `|Z'r| < 4 B` is to stay below 2^38 units: `f_x + f_r + 2 + log2 B = 38`. The bound is the owner's to
//! keep: the sum of a column's magnitudes over any batch is below 3.8 B (a whitened column's mean square is 4 to 8),
//! and it refuses columns for which it is not; residuals are below 1.05, rounding included. Scores are read modulo the
//! series' period, so weights have 40 - f_x - log2 P bits where they are multiplied, and 24 more where they are kept.

use crate::abort::Abort;

/// Fraction bits of whitened features, whose deviation is 2 to 2.9. They are rounded at random: to the nearest, a column
/// of few values, such as the intercept, would be off by as much in every row.
pub const FEATURE: u32 = 6;
/// Least fraction bits of residuals.
const LEAST: u32 = 12;
/// Most of them.
const MOST: u32 = 20;
/// log2 of the largest batch.
const BATCH_LOG2: u32 = 16;
/// Most of B that the magnitudes of a column in a batch may sum to.
pub(super) const COLUMN: f64 = 3.8;
/// Fraction bits of what the ridge takes, before it is scaled.
pub(super) const DECAY: u32 = 40;
/// Largest weight, in whitened coordinates and as it is kept, stretched.
pub(super) const LARGEST: f64 = 256.0;
/// Rows whose scores are looked at in the end: a 16th of them, at least 8,192, the first in the order of training.
pub fn checked(rows: usize) -> usize {
    rows.div_ceil(16).max(8192).min(rows)
}
/// Most rows, and most columns of all batches, of all epochs whose masks are made together.
pub(super) const AHEAD: usize = 1 << 22;

/// Binary points that depend on the size of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Points {
    /// log2 of the rows of a batch, rounded up.
    pub batch_log2: u32,
    /// Fraction bits of dealt terms, and of sines of opened phases.
    pub residual: [u32; 2],
}

impl Points {
    /// For so many rows in so many batches.
    ///
    /// # Errors
    /// If residuals keep too few bits.
    pub fn new(rows: usize, batches: usize) -> Result<Self, Abort> {
        let most = rows.div_ceil(batches.max(1)).max(1);
        let batch_log2 = most.next_power_of_two().trailing_zeros();
        let bits = 36u32.saturating_sub(FEATURE + batch_log2).min(MOST);
        if bits < LEAST || batch_log2 > BATCH_LOG2 {
            return Err(Abort::OutOfRange {
                step: "train".into(),
                problem: format!(
                    "batches of {most} rows leave too few bits for residuals: set solver.batch to at most {}",
                    1u64 << BATCH_LOG2
                ),
            });
        }
        let terms = bits.div_ceil(2);
        Ok(Self {
            batch_log2,
            residual: [terms, bits - terms],
        })
    }

    /// Fraction bits of gradients and steps.
    pub fn gradient(&self) -> u32 {
        FEATURE + self.residual[0] + self.residual[1]
    }

    /// Fraction bits of weights, for a series of this range, stretched to a power of two.
    pub fn weight(range: u32) -> u32 {
        64 - FEATURE - range.next_power_of_two().trailing_zeros() - 2
    }
}

#[cfg(test)]
mod tests {
    use super::{super::course::RANGES, *};

    #[test]
    fn the_budget_holds_up_to_its_limit() {
        for batch in [1usize, 30, 1024, 4096, 8192, 65_536] {
            let p = Points::new(10 * batch, 10).unwrap();
            let bits = p.residual[0] + p.residual[1];
            assert!((LEAST..=MOST).contains(&bits) && p.residual.iter().all(|f| *f >= 6));
            assert!(FEATURE + bits + 2 + p.batch_log2 <= 38);
            // a step is at most 20 gradients, and is cut by 8 bits
            assert!(FEATURE + bits + 2 + p.batch_log2 + 5 + 8 < 62);
            for range in RANGES {
                // rates are rounded to a 1000th at worst
                let by = Points::weight(range) - p.gradient();
                assert!(2f64.powi(by as i32) / batch as f64 / 16.0 / 5.0 * 0.05 > 1.0);
                assert!(LARGEST * 2.0 <= 2f64.powi(62 - Points::weight(range) as i32));
            }
        }
        assert!(Points::new(131_072, 1).is_err());
    }
}
