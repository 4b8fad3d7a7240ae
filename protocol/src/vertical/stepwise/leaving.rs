//! Wald statistics of the columns in the model, and which of them leaves.
//!
//! **How.** With T̂ an owner's T with rows of length 1, which it makes in the clear, `T̂ u` and the diagonal of `T̂ Y T̂'` are
//! coefficients and their variances, each divided by the same length: the statistic is `N' (T̂ u)² / (T̂ Y T̂')`. Variances
//! divided so lie between 1/n and 2^13, whatever the columns. Statistics are compared without a division, `a_j b_k < a_k b_j` of
//! all pairs at once, and with the threshold; coefficients beyond 2^10 standard units, which no threshold reaches, are cut to
//! that.
//!
//! **Precision.** Statistics to about 5e-4 of themselves; where Hessians are made of m of the rows, to `1 / sqrt(m)`.

use paripassu_crypto::{fixed, share::Shares};

use super::{only, wrong};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, OwnerMatrix, Receivers, positive},
    channel::Channel,
    correlation::CorrelationSource,
    vertical::{
        errors::transposed,
        newton::one,
        pass::joined,
        run::{Attempt, Run},
    },
};

/// Fraction bits of rows of length 1.
const UNIT: u32 = 16;
/// log2 of rows that are multiplied with weights, scaled by the root of N'.
const SCALED_LOG2: u32 = 27;
/// Fraction bits of coefficients over what they are divided by, times the root of N', and log2 of the largest.
const COEFFICIENT: u32 = 12;
const LARGEST_LOG2: u32 = 10;
/// Of their squares, and of variances.
const SQUARE: u32 = 16;
const VARIANCE: u32 = 12;
/// Of T̂ Y before it is multiplied once more.
const HALF: u32 = 24;

impl Run {
    /// The column with the least statistic, if that is below the threshold: its party, and its place among the party's. A bit
    /// for each column, to all.
    pub(super) async fn leaving<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        threshold: f64,
        step: u32,
    ) -> Result<Option<(usize, usize)>, Abort> {
        engine.step(format_args!("train/leaving-{step}"));
        let n = self.width() - 1;
        if n == 0 {
            return Ok(None);
        }
        let opening = Opening::Leaving { step };
        engine.announce(opening, Receivers::All, n)?;
        let inverse = attempt
            .inverse
            .as_ref()
            .ok_or_else(|| Abort::Input("a fit without a Hessian".into()))?;
        let (squares, variances) = self.statistics(engine, &attempt.short, inverse).await?;
        let crossed = engine.matmul(&squares, &variances, n, 1, n).await?;
        let frac = crossed.frac();
        let first = engine.me() == 0;
        let public = |word: u64| if first { word } else { 0 };
        let by = fixed::encode(threshold, frac - VARIANCE).map_err(wrong)?;
        let m = crossed.words();
        let mut compared = Vec::with_capacity(n * n);
        for j in 0..n {
            let limit = variances.words()[j].wrapping_mul(by);
            let own = squares.words()[j] << (frac - SQUARE);
            compared.push(limit.wrapping_sub(own).wrapping_sub(public(1)));
            for k in (0..n).filter(|k| *k != j) {
                // a_j b_k ≤ a_k b_j; the first, where several are as small
                let strictly = public(u64::from(k < j));
                let more = m[k * n + j].wrapping_sub(m[j * n + k]);
                compared.push(more.wrapping_sub(strictly));
            }
        }
        let bits = engine.none_negative(compared, &vec![n; n]).await?;
        // what is beside the last bit of a word is 0 in all shares together
        let bits = bits.into_iter().map(|b| b & 1).collect();
        let opened = engine.open_bits(bits, opening).await?;
        let found = only(&opened, engine.path(), "have the least statistic")?;
        Ok(found.map(|at| {
            let mut at = at;
            for (p, width) in self.widths.iter().enumerate() {
                let columns = width - usize::from(p == 0);
                if at < columns {
                    return (p, at);
                }
                at -= columns;
            }
            (self.widths.len(), at)
        }))
    }

    /// Of all columns but the intercept: squares of coefficients and variances, divided alike, whose quotients are the
    /// statistics.
    async fn statistics<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        short: &[Shares],
        inverse: &Shares,
    ) -> Result<(Shares, Shares), Abort> {
        let me = engine.me();
        let unit = unit_rows(self.mine.unwhiten(), self.widths[me]);
        let power = self.rows.max(1).next_power_of_two() as f64;
        let root = (power * self.scale()).sqrt();
        let bits = SCALED_LOG2.saturating_sub(root.log2().ceil().max(0.0) as u32);
        let encoded = |by: f64, frac: u32| -> Result<Vec<i32>, Abort> {
            let each = unit.iter().map(|v| fixed::encode_i32(v * by, frac));
            each.collect::<Result<_, _>>().map_err(wrong)
        };
        let (mut scaled, mut units) = (Vec::new(), Vec::new());
        for (p, d) in self.widths.iter().copied().enumerate() {
            let own = p == me;
            let t = own.then(|| encoded(root, bits)).transpose()?;
            scaled.push(engine.register(p, d, d, bits, t).await?);
            let t = own.then(|| encoded(1.0, UNIT)).transpose()?;
            units.push(engine.register(p, d, d, UNIT, t).await?);
        }
        let with_columns = |p: &usize| self.widths[*p] > 0;
        let parties: Vec<usize> = (0..self.widths.len()).filter(with_columns).collect();
        let jobs: Vec<_> = parties
            .iter()
            .map(|p| (&scaled[*p], Operand::Plain(&short[*p], 1)))
            .collect();
        let coefficients = joined(engine.products(&jobs).await?);
        let coefficients = coefficients.slice(1..coefficients.len());
        let coefficients = one(engine.truncate(vec![(coefficients, COEFFICIENT)]).await?)?;
        let coefficients = capped(engine, coefficients, LARGEST_LOG2).await?;
        let squares = engine.entrywise(&coefficients, &coefficients).await?;
        let squares = one(engine.truncate(vec![(squares, SQUARE)]).await?)?;

        let d = self.width();
        let starts: Vec<usize> = (0..self.widths.len())
            .map(|p| self.widths[..p].iter().sum())
            .collect();
        let blocks: Vec<Shares> = parties
            .iter()
            .map(|p| {
                let (first, k) = (starts[*p], self.widths[*p]);
                let row = |i: usize| inverse.words()[(first + i) * d + first..][..k].to_vec();
                Shares::new((0..k).flat_map(row).collect(), inverse.frac())
            })
            .collect();
        let half = by_unit(engine, &units, &parties, &blocks).await?;
        let half = half.into_iter().map(|m| (m, HALF)).collect();
        let half: Vec<Shares> = engine
            .truncate(half)
            .await?
            .iter()
            .map(transposed)
            .collect();
        let whole = by_unit(engine, &units, &parties, &half).await?;
        let frac = whole.first().map_or(0, Shares::frac);
        let each = whole.iter().zip(&parties);
        let diagonal = each.flat_map(|(m, p)| m.words().iter().step_by(self.widths[*p] + 1));
        let variances = Shares::new(diagonal.skip(1).copied().collect(), frac);
        let variances = one(engine.truncate(vec![(variances, VARIANCE)]).await?)?;
        Ok((squares, variances))
    }
}

/// Each party's T̂ times its matrix.
async fn by_unit<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    units: &[OwnerMatrix],
    parties: &[usize],
    matrices: &[Shares],
) -> Result<Vec<Shares>, Abort> {
    let jobs: Vec<_> = parties
        .iter()
        .zip(matrices)
        .map(|(p, m)| (&units[*p], Operand::Plain(m, units[*p].cols())))
        .collect();
    engine.products(&jobs).await
}

/// Rows of a `[d, d]` matrix, each divided by its length.
fn unit_rows(t: &[f64], d: usize) -> Vec<f64> {
    t.chunks_exact(d.max(1))
        .flat_map(|row| {
            let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter().map(move |v| v / length)
        })
        .collect()
}

/// The same, at most 2^`log2` in magnitude.
pub(super) async fn capped<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    v: Shares,
    log2: u32,
) -> Result<Shares, Abort> {
    let (n, frac) = (v.len(), v.frac());
    let most = if engine.me() == 0 {
        1u64 << (log2 + frac)
    } else {
        0
    };
    let mut sides = v.words().to_vec();
    sides.extend(v.words().iter().map(|w| w.wrapping_neg()));
    sides.iter_mut().for_each(|w| *w = w.wrapping_sub(most));
    let requests = positive::requests(engine.parties(), 2 * n);
    engine.source_mut().prefetch(&requests).await?;
    let beyond = engine.positive_part(&Shares::new(sides, frac)).await?;
    let mut out = v;
    out.sub(&beyond.slice(0..n));
    out.add(&beyond.slice(n..2 * n));
    Ok(out)
}
