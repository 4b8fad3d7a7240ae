//! Whether scores lie where the series is a sigmoid.

use paripassu_crypto::{fixed, share::Shares};

use super::{
    evidence::add_public,
    points,
    run::{Attempt, Run},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

impl Run {
    /// Whether all training rows' scores lie where the series is a sigmoid: one bit.
    pub(super) async fn within_range<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
    ) -> Result<bool, Abort> {
        engine.step(format_args!("train/range-{}", attempt.passes));
        let range_log2 = attempt.series.period_log2() - 2;
        self.scores_within(engine, attempt, range_log2, 0.0).await
    }

    /// The same for scores with `more` added to them, and a series of any range.
    pub(super) async fn scores_within<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        range_log2: u32,
        more: f64,
    ) -> Result<bool, Abort> {
        engine.announce(Opening::RangeExceeded, Receivers::All, 1)?;
        // 2^48 units are R / 64
        let frac = 54 - points::FEATURE - range_log2;
        let cut = attempt
            .weights
            .iter()
            .map(|w| (w.duplicate(), frac))
            .collect();
        let weights = engine.truncate(cut).await?;
        let z = self.raised(engine, attempt, &weights, more).await?;
        // beyond R the series is sigma(2R - z), within 1e-4 of sigma(z) up to 2R - 9.2
        let range = 2f64.powi(range_log2 as i32);
        let bound = range.max(2.0 * range - 9.2);
        let limit = (bound / range * 64.0) as u16;
        engine.all_within(&z, limit, Opening::RangeExceeded).await
    }

    /// Scores of the training rows by these weights of `attempt`, with `more` added to each.
    pub(super) async fn raised<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        attempt: &Attempt,
        weights: &[Shares],
        more: f64,
    ) -> Result<Shares, Abort> {
        let weights = self.inner(engine, weights, &attempt.short).await?;
        let mut masks = std::mem::take(&mut self.masks);
        masks.refill(engine, &self.features, false).await?;
        let z = self.margins(engine, &mut masks, &weights).await;
        self.masks = masks;
        let mut z = z?;
        let more = fixed::encode(more, z.frac()).map_err(|e| Abort::Input(e.to_string()))?;
        add_public(engine.me(), &mut z, more);
        Ok(z)
    }
}
