//! Whether a pass was the last: one bit.

use paripassu_crypto::{
    fixed,
    prg::{Label, Prg},
    share::Shares,
};

use super::{accelerated::FINER, pass::joined, proximal::Gap, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, Inverted, Opening, Operand},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Steps below this switch to the final number of terms and finer gradients.
const COARSE_TOLERANCE: f64 = 5e-3;
/// Trace of `I - H Y` allowed in a step that settles, in units of 2^-6.
const INVERSE_LIMIT: u64 = 8;
/// Projections of that matrix allowed, in these units: the trace counts so many times.
const PROJECTION_LIMIT: u64 = 64;
/// Projections that are looked at.
const PROJECTIONS: usize = 64;
/// Fraction bits at which both are compared: 2^48 units are 2^-6.
const INVERSE_POINT: u32 = 54;

/// Trace and random projections `u' E v` of a shared `error: [d, d]`, the trace times [`PROJECTION_LIMIT`] by
/// [`INVERSE_LIMIT`]; u and v are public vectors of signs.
///
/// A trace of small eigenvalues says that all are small where all are of one sign. Whether E is what it should be, and has not
/// wrapped around, is seen by its projections: where an entry lies beyond the limit, each of them does with a probability of at
/// least 1/4 (given the other signs, one of either sign of its row, and of its column, takes the sum beyond), so that all 64
/// miss it with one of at most 1e-8; of words that have wrapped around each lies within it with one of 1/500. A trace so large
/// that it wraps around when it is multiplied needs entries that large (it is at most sqrt(d) times the root of their squares). Comparing all `d²`
/// entries said the same, at the price of a training with many columns.
fn projected(error: &Shares, d: usize) -> Vec<u64> {
    let trace = error.words().iter().step_by(d + 1);
    let trace = trace.fold(0u64, |sum, w| sum.wrapping_add(*w));
    let mut out = Vec::with_capacity(PROJECTIONS + 1);
    out.push(trace.wrapping_mul(PROJECTION_LIMIT / INVERSE_LIMIT));
    let signs = Prg::new(&[0; 32]);
    // all ones for minus: w ^ s - s is the word with that sign
    let draw = |k: usize, part: u8| {
        let words = signs.words(Label::request(k as u32, part), d.div_ceil(64));
        let bit = move |i: usize| (words[i / 64] >> (i % 64) & 1).wrapping_neg();
        (0..d).map(bit).collect::<Vec<u64>>()
    };
    for k in 0..PROJECTIONS {
        let (u, v) = (draw(k, 0), draw(k, 1));
        let signed = |w: u64, s: u64| (w ^ s).wrapping_sub(s);
        let rows = error.words().chunks_exact(d).zip(&u);
        let sums = rows.map(|(row, u)| {
            let sum = row.iter().zip(&v);
            let sum = sum.fold(0u64, |sum, (w, v)| sum.wrapping_add(signed(*w, *v)));
            signed(sum, *u)
        });
        out.push(sums.fold(0u64, u64::wrapping_add));
    }
    out
}

impl Run {
    /// Whether every coefficient's step is below the tolerance and the inverse is one: one bit.
    pub(super) async fn settled<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        steps: &[Shares],
        inverse: &Inverted,
        gap: Option<Gap>,
        (fine, pass): (bool, u32),
    ) -> Result<bool, Abort> {
        let opening = Opening::Converged { pass };
        let tolerance = self.tolerance(fine);
        let both = self.beyond(engine, steps, gap, tolerance).await?;
        // I - H Y is an even power of a matrix with real spectrum: its trace bounds its eigenvalues
        let error = projected(&inverse.error, self.width());
        let error = Shares::new(error, inverse.error.frac()).widened(INVERSE_POINT);
        engine
            .all_negative_and_within(&both, &error, PROJECTION_LIMIT as u16, opening)
            .await
    }

    /// Whether every coefficient has moved by less than the tolerance of accelerated steps since it was asked last: one bit.
    pub(super) async fn still<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        moved: &[Shares],
        (fine, pass): (bool, u32),
    ) -> Result<bool, Abort> {
        let opening = Opening::Converged { pass };
        let tolerance = self.tolerance(fine) / FINER;
        let both = self.beyond(engine, moved, None, tolerance).await?;
        engine.all_negative(&both, opening).await
    }

    fn tolerance(&self, fine: bool) -> f64 {
        match fine {
            true => self.spec.tolerance,
            false => COARSE_TOLERANCE,
        }
    }

    /// What is negative in all entries where every coefficient's step lies within the tolerance, and the gap does.
    async fn beyond<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        steps: &[Shares],
        gap: Option<Gap>,
        tolerance: f64,
    ) -> Result<Shares, Abort> {
        let jobs: Vec<_> = self
            .unwhiten()
            .iter()
            .zip(steps)
            .map(|(m, s)| (m, Operand::Plain(s, 1)))
            .collect();
        let step = joined(engine.products(&jobs).await?);
        let bound =
            fixed::encode(tolerance, step.frac()).map_err(|e| Abort::Input(e.to_string()))?;
        let bound = if engine.me() == 0 { bound } else { 0 };
        let mut small = step.words().to_vec();
        if let Some(gap) = gap {
            // all columns but the intercept
            let mut apart = gap.apart.widened(step.frac());
            apart.sub(&step.slice(1..step.len()));
            small.extend_from_slice(apart.words());
            small.extend_from_slice(gap.change.widened(step.frac()).words());
        }
        // |step| < bound: both step - bound and -step - bound are negative
        let mut words = small.clone();
        words.extend(small.iter().map(|w| w.wrapping_neg()));
        words.iter_mut().for_each(|w| *w = w.wrapping_sub(bound));
        Ok(Shares::new(words, step.frac()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether trace and projections of a matrix lie within their limits.
    fn small(entries: &[f64], d: usize) -> bool {
        let frac = 20;
        let words = entries.iter().map(|e| fixed::encode(*e, frac).unwrap());
        let error = projected(&Shares::new(words.collect(), frac), d);
        let error = Shares::new(error, frac).widened(INVERSE_POINT);
        let limit = (PROJECTION_LIMIT << 48) as i64;
        error.words().iter().all(|w| (*w as i64).abs() < limit)
    }

    #[test]
    fn a_trace_or_an_entry_beyond_the_limits_is_seen_wherever_it_stands() {
        let d = 13;
        let ones = |value: f64| {
            let entry = |i: usize| if i.is_multiple_of(d + 1) { value } else { 0.0 };
            (0..d * d).map(entry).collect::<Vec<f64>>()
        };
        assert!(small(&ones(0.0), d));
        // 13 times 0.0095 is below 1/8, 13 times 0.0097 is not; nor is -0.0097
        assert!(small(&ones(0.0095), d) && !small(&ones(0.0097), d) && !small(&ones(-0.0097), d));
        for place in 0..d * d {
            for value in [1.0, -1.5, 40.0, 300.0] {
                let mut entries = ones(0.0);
                entries[place] = value;
                assert!(!small(&entries, d), "{value} at {place}");
            }
        }
        // what a settled step has: each entry small, of either sign
        let noise = |i: usize| 1e-3 * ((i * 7919 % 201) as f64 / 100.0 - 1.0);
        assert!(small(&(0..d * d).map(noise).collect::<Vec<_>>(), d));
    }
}
