//! Where the binary points lie: the range budget of a training run.
//!
//! Ring elements have 64 bits. Bounds follow from the whitening alone: a whitened column's sum of
//! squares is at most 4 N', a residual's magnitude at most 1, so |Z'r| <= 2 N' (Cauchy-Schwarz);
//! Hessian entries over N' are at most 1; an entry of its inverse is the reciprocal of its least
//! eigenvalue at most. What is cut with [`truncate`](crate::arith::Engine::truncate) must stay
//! below 2^62 units.
//!
//! While steps are large the series is evaluated in 32-bit words, whose rounding moves a residual by 2e-5 at
//! random: far below such steps. In the last passes it is evaluated in 64-bit words, so that rounding stays
//! far below the steps that decide whether training has settled, even along directions that the data hardly
//! determine. Residuals are cut to what the sums over all rows allow.

use crate::{abort::Abort, arith::Precision};

/// Fraction bits of whitened features.
pub const FEATURE: u32 = 16;
/// Fraction bits of the Hessian, its inverse and their product; the inverse stays below 2^13.
pub const HESSIAN: u32 = 24;
/// Fraction bits of the ridge term's matrix: its entries are about 4 l2 / N', and at most 1.
pub const RIDGE: u32 = 30;
/// Fraction bits of the matrix that turns steps into steps of coefficients.
pub const UNWHITEN: u32 = 16;
/// Fraction bits of the copy of weights and steps that is multiplied with these small matrices.
pub const SHORT: u32 = 28;
/// Fraction bits of the gradient over N' while steps are large.
pub const GRADIENT_COARSE: u32 = 32;
/// Fraction bits of the gradient over N' once steps are below one in magnitude.
pub const GRADIENT_FINE: u32 = 36;

/// How the series is evaluated while steps are large.
pub const COARSE: Precision = Precision::Narrow;
/// How it is evaluated in the last passes.
pub const FINE: Precision = Precision::Wide;

/// Least rows of a Hessian for each column.
pub const ROWS_PER_COLUMN: usize = 64;
/// Most rows that a Hessian is made of, so that slopes keep enough bits.
pub const HESSIAN_ROWS_MAX: usize = 1 << 17;
/// Most bits of headroom for a Hessian of a sample.
const HEADROOM_MAX: u32 = 4;

/// Fraction bits of weights for a sigmoid of this period: scores wrap where it does.
pub(super) const fn weight(period_log2: u32) -> u32 {
    64 - FEATURE - period_log2
}

/// Binary points that depend on the job's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Points {
    /// log2 of N'.
    pub rows_log2: u32,
    /// Fraction bits of weights: scores wrap where the sigmoid's period does.
    pub weight: u32,
    /// Fraction bits of residuals while steps are large.
    pub residual: u32,
    /// In the last passes.
    pub fine_residual: u32,
    /// Of Hessians while steps are large.
    pub coarse: SlopePoints,
    /// Of Hessians in the last passes.
    pub fine: SlopePoints,
}

/// Binary points of a Hessian of some of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlopePoints {
    /// Rows that it is made of: m, the first of the aligned order.
    pub rows: usize,
    /// log2 of m, rounded up.
    pub rows_log2: u32,
    /// Bits of headroom: a sample may hold more than its share of a column's tail, at most N / m times
    /// as much, and rows may weigh more than 1.
    pub headroom: u32,
    /// Fraction bits of slopes.
    pub frac: u32,
}

impl SlopePoints {
    /// For the first `m` of `rows` rows, slopes of a series of this precision, weights up to `2^weights`.
    fn new(rows: usize, m: usize, precision: Precision, weights: u32) -> Self {
        let rows_log2 = ceil_log2(m);
        let sample = ceil_log2(rows.div_ceil(m.max(1))).min(HEADROOM_MAX);
        let headroom = sample + weights;
        // a sum over m rows of Z s Z' is at most 2^m, s carrying the factor m' / m, or 2^headroom more
        let frac = 61u32
            .saturating_sub(2 * FEATURE + rows_log2 + headroom)
            .min(precision.terms() + precision.slope() - 1);
        Self {
            rows: m,
            rows_log2,
            headroom,
            frac,
        }
    }
}

/// Rows of Hessians while steps are large: where the last are made of a sample, half of it or 64 for each
/// column, if that is more.
fn coarse_rows(rows: usize, hessian_rows: usize, width: usize) -> usize {
    match hessian_rows < rows {
        true => hessian_rows.min((hessian_rows / 2).max(ROWS_PER_COLUMN * width)),
        false => rows,
    }
}

fn ceil_log2(n: usize) -> u32 {
    n.max(1).next_power_of_two().trailing_zeros()
}

impl Points {
    /// The points for `rows` training rows of `width` columns in all, `hessian_rows` of them in the Hessians
    /// of the last passes, a sigmoid of period `2^period_log2`, and rows that weigh at most `2^weights`.
    ///
    /// # Errors
    /// If so many rows do not fit.
    pub fn new(
        rows: usize,
        width: usize,
        hessian_rows: usize,
        period_log2: u32,
        weights: u32,
    ) -> Result<Self, Abort> {
        let n = ceil_log2(rows);
        // |Z'r| <= 2 N' 2^weights must stay below 2^62 units
        let most = 61u32.saturating_sub(FEATURE + n + weights);
        let residual = most.min(COARSE.terms() + COARSE.phase());
        let fine_residual = most.min(FINE.terms() + FINE.phase() - 1);
        let coarse = SlopePoints::new(
            rows,
            coarse_rows(rows, hessian_rows, width),
            COARSE,
            weights,
        );
        let fine = SlopePoints::new(rows, hessian_rows, FINE, weights);
        if residual < 20 || coarse.frac.min(fine.frac) < 6 {
            return Err(Abort::OutOfRange {
                step: "train".into(),
                problem: match weights {
                    0 => format!(
                        "{rows} training rows leave too few bits for the residual: train on at \
                         most {} rows",
                        1u64 << (61 - FEATURE - 20)
                    ),
                    _ => format!(
                        "{rows} training rows, {hessian_rows} of them in a Hessian, leave too few bits for weights \
                         of rows as large as declared: scale weights and their declared largest down, or set \
                         solver.hessian_rows lower"
                    ),
                },
            });
        }
        let weight = weight(period_log2);
        Ok(Self {
            rows_log2: n,
            weight,
            residual,
            fine_residual,
            coarse,
            fine,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_holds_up_to_its_limit() {
        let sizes = [1, 100, 21_000, 1 << 20, 1 << 25];
        let weighted = [100, 21_000, 1 << 20].map(|rows| (rows, 4));
        for (rows, w) in sizes.map(|rows| (rows, 0)).into_iter().chain(weighted) {
            let m = rows.min(32_768);
            let p = Points::new(rows, 100, m, 6, w).unwrap();
            assert!(FEATURE + p.residual.max(p.fine_residual) + p.rows_log2 + w < 62);
            for (s, precision) in [(p.coarse, COARSE), (p.fine, FINE)] {
                assert!(2 * FEATURE + s.frac + s.rows_log2 + s.headroom < 62);
                assert!(s.headroom == HEADROOM_MAX + w || s.rows << s.headroom >= rows);
                assert!(s.frac < precision.terms() + precision.slope());
                assert!(s.rows <= 1 << s.rows_log2);
            }
            assert!(p.residual <= 30 && p.fine.rows == m);
            // products that are cut: |R u| < 16, |step of coefficients| < 128
            assert!(RIDGE + SHORT + 4 <= 62 && UNWHITEN + SHORT + 10 <= 62 && p.weight > SHORT);
            assert_eq!(FEATURE + p.weight + 6, 64);
        }
        assert!(Points::new(1 << 26, 100, 16_384, 6, 0).is_err());
        let most = Points::new(1 << 25, 100, HESSIAN_ROWS_MAX, 6, 0).unwrap();
        assert!(most.coarse.frac >= 8 && most.fine.frac >= 8);
        let early = |rows, width, m| Points::new(rows, width, m, 6, 0).unwrap().coarse.rows;
        assert_eq!(early(100_000, 100, 32_768), 16_384);
        assert_eq!(early(100_000, 300, 32_768), 64 * 300);
        assert_eq!(early(100_000, 1_000, 64_000), 64_000);
        assert_eq!(early(700, 20, 700), 700);
    }
}
