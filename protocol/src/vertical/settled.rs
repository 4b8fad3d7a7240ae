//! Whether a pass was the last: one bit.

use paripassu_crypto::{fixed, share::Shares};

use super::{accelerated::FINER, pass::joined, proximal::Gap, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, Inverted, Opening, Operand},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Steps below this switch to the final number of terms and finer gradients.
const COARSE_TOLERANCE: f64 = 5e-3;
/// Entries and trace of `I - H Y` allowed in a step that settles, in units of 2^-6.
const INVERSE_LIMIT: u16 = 8;
/// Fraction bits at which that difference is compared: 2^48 units are 2^-6.
const INVERSE_POINT: u32 = 54;

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
        let d = self.width();
        let trace = inverse.error.words().iter().step_by(d + 1);
        let trace = trace.fold(0u64, |sum, w| sum.wrapping_add(*w));
        let mut error = inverse.error.words().to_vec();
        error.push(trace);
        let error = Shares::new(error, inverse.error.frac()).widened(INVERSE_POINT);
        engine
            .all_negative_and_within(&both, &error, INVERSE_LIMIT, opening)
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
