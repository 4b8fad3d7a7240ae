//! Standard errors of a party's own coefficients, from the shared inverse of the Hessian.
//!
//! The covariance of the coefficients `w_p = T_p u_p` is `T_p Y_pp T_pᵀ / N'`, Y_pp the party's block of the
//! inverse Hessian over N'. Only its diagonal is opened, to the party itself.
//!
//! Range: the covariance is at most `1/l2`, because the Hessian is at least `l2` (the intercept, which has no
//! ridge, has the headroom). So `T Y Tᵀ` is below `2^b` and a row of T below `2^(b/2)` in length, which its
//! owner checks; Y is below 2^13 (see [`points`](super::points)). What is cut or opened stays below 2^62 units.

use paripassu_crypto::{fixed, share::Shares};

use super::{points, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Bits of room for the intercept.
const HEADROOM: u32 = 4;
/// Most fraction bits of the inverse, and of `T Y` before it is multiplied once more.
const INVERSE: u32 = 18;
const HALF: u32 = 14;
/// log2 of the largest entry of the inverse.
const INVERSE_LOG2: u32 = 13;

/// Binary points, from the number of rows and the ridge alone.
struct Precision {
    /// `T Y Tᵀ` is below two to this.
    log2: u32,
    inverse: u32,
    half: u32,
}

impl Precision {
    fn new(rows: usize, l2: f64) -> Result<Self, Abort> {
        let ridge = (-l2.log2()).ceil().clamp(0.0, 64.0) as u32;
        let log2 = rows.max(1).next_power_of_two().trailing_zeros() + ridge + HEADROOM;
        let left = |used: u32| 61u32.saturating_sub(points::UNWHITEN + used);
        let (inverse, half) = (left(log2 / 2 + 1 + INVERSE_LOG2), left(log2));
        if inverse.min(half) < 8 {
            return Err(Abort::OutOfRange {
                step: "train".into(),
                problem: format!(
                    "{rows} training rows and model.l2 = {l2} leave too few bits for standard errors, which stepwise \
                     selection takes too: raise model.l2, or leave out outputs.standard_errors and selection.stepwise"
                ),
            });
        }
        Ok(Self {
            log2,
            inverse: inverse.min(INVERSE),
            half: half.min(HALF),
        })
    }
}

/// Refuses columns whose standard errors would not fit. `unwhiten` is T, `[d, d]`.
pub(super) fn check(unwhiten: &[f64], d: usize, rows: usize, l2: f64) -> Result<(), Abort> {
    let most = 2f64.powi(Precision::new(rows, l2)?.log2 as i32);
    for (j, row) in unwhiten.chunks_exact(d.max(1)).enumerate() {
        let square: f64 = row.iter().map(|t| t * t).sum();
        if square.is_nan() || square >= most {
            return Err(Abort::OutOfRange {
                step: "train/features".into(),
                problem: format!(
                    "design column {} is so close to a combination of this party's other columns that its \
                     standard error, which stepwise selection takes too, does not fit: remove it, raise model.l2, or \
                     leave out outputs.standard_errors and selection.stepwise",
                    j + 1
                ),
            });
        }
    }
    Ok(())
}

impl Run {
    /// Opens to each party the standard errors of its own coefficients, in the order of its columns.
    pub(super) async fn standard_errors<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        inverse: &Shares,
    ) -> Result<Vec<f64>, Abort> {
        engine.step("release/standard-errors");
        let precision = Precision::new(self.rows, self.l2())?;
        let d: usize = self.widths().iter().sum();
        let mut at = 0;
        let blocks = self.widths().iter().map(|width| {
            let rows = at..at + width;
            at += width;
            let words = rows
                .clone()
                .flat_map(|i| inverse.words()[i * d..][rows.clone()].to_vec())
                .collect();
            (Shares::new(words, inverse.frac()), precision.inverse)
        });
        let blocks = engine.truncate(blocks.collect()).await?;
        let half = self.by_t(engine, &blocks).await?;
        let half = half.into_iter().map(|m| (m, precision.half)).collect();
        let half = engine.truncate(half).await?;
        let half: Vec<Shares> = half.iter().map(transposed).collect();
        let whole = self.by_t(engine, &half).await?;
        let rows = (self.rows.max(1).next_power_of_two()) as f64 * self.scale();
        let mut own = Vec::new();
        for (p, m) in whole.iter().enumerate() {
            if self.is_hidden(p) {
                continue;
            }
            let width = self.widths()[p];
            let diagonal = m.words().iter().step_by(width + 1).copied().collect();
            let (party, frac) = (p as u8, m.frac());
            let opening = Opening::StandardErrors { party };
            let words = engine
                .open(Shares::new(diagonal, frac), opening, Receivers::One(party))
                .await?;
            if p == engine.me() {
                let error = |w: &u64| (fixed::decode(*w, frac) / rows).sqrt();
                own = words.iter().map(error).collect();
            }
        }
        // a square root of nothing, or of less
        if own.iter().any(|e| e.is_nan() || *e <= 0.0) {
            return Err(Abort::OutOfRange {
                step: engine.path().to_owned(),
                problem:
                    "a variance is not positive: columns are too close to a combination of others"
                        .into(),
            });
        }
        Ok(own)
    }

    /// Each party's T times its matrix `[d_p, d_p]`.
    async fn by_t<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        matrices: &[Shares],
    ) -> Result<Vec<Shares>, Abort> {
        let jobs: Vec<_> = self
            .unwhiten()
            .iter()
            .zip(matrices)
            .map(|(t, m)| (t, Operand::Plain(m, t.cols())))
            .collect();
        engine.products(&jobs).await
    }
}

/// A square matrix on its side.
pub(super) fn transposed(m: &Shares) -> Shares {
    let d = m.len().isqrt();
    let words = (0..m.len()).map(|at| m.words()[at % d * d + at / d]);
    Shares::new(words.collect(), m.frac())
}
