//! What hidden layers apply, on shares.

use std::sync::Arc;

use paripassu_crypto::share::Shares;

use super::{
    Hidden, points,
    range::{Looked, RECTIFIED},
    run::one,
    step::{Batch, Layers},
};
use crate::{
    abort::Abort,
    arith::{Engine, SigmoidSpec, positive},
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

impl Layers {
    /// Bits that values and slopes are left without where a step follows, to scale up what dropout leaves.
    fn room(&self, slopes: bool) -> u32 {
        match slopes && self.dropout > 0.0 {
            true => points::DROPOUT,
            false => 0,
        }
    }

    /// For `values` values, with slopes where a step follows.
    fn series_spec(&self, values: usize, slopes: bool) -> SigmoidSpec {
        let room = self.room(slopes);
        SigmoidSpec {
            series: Arc::clone(&self.series[0]),
            precision: points::HIDDEN,
            // 2 s is s with one fraction bit less, and 4 s' is s' with two
            value_frac: points::ACTIVATION + 1 - room,
            slope_rows: if slopes { values } else { 0 },
            slope_gain: 1.0,
            slope_frac: points::SLOPE + 2 - room,
        }
    }

    /// What [`Layers::activation`] of so many values asks the source for where a step follows, in its order.
    pub(super) fn activation_requests(&self, parties: usize, values: usize) -> Vec<Request> {
        match self.activation {
            Hidden::Tanh => self.series_spec(values, true).requests(values),
            Hidden::Relu => {
                let by = points::RELU_ARGUMENT - points::ACTIVATION + self.room(true);
                let len = values as u64;
                let mut all = vec![Request::Truncate { len, by }];
                all.extend(positive::rectified_requests(parties, values));
                all
            }
        }
    }

    /// Fraction bits of slopes of a step, when dropout has scaled them.
    pub(super) fn slope_frac(&self) -> u32 {
        match self.activation {
            Hidden::Tanh => points::SLOPE,
            Hidden::Relu => self.room(true),
        }
    }

    /// `t(z)` or `max(z, 0)`, and the derivative where it is wanted; with dropout both are left with bits to scale
    /// them up.
    pub(super) async fn activation<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        batch: &Batch,
        z: Shares,
        slopes: bool,
        looked: &mut Looked,
    ) -> Result<(Shares, Shares), Abort> {
        let room = self.room(slopes);
        match self.activation {
            Hidden::Tanh => {
                let doubled = Shares::new(z.into_words(), points::HIDDEN_ARGUMENT - 1);
                let spec = self.series_spec(doubled.len(), slopes);
                let (value, slope) = engine.sigmoid(&doubled, &spec).await?;
                let mut words = value.into_words();
                if engine.me() == 0 {
                    let one = 1 << (points::ACTIVATION - room);
                    words.iter_mut().for_each(|w| *w = w.wrapping_sub(one));
                }
                Ok((
                    Shares::new(words, points::ACTIVATION - room),
                    Shares::new(slope.into_words(), points::SLOPE - room),
                ))
            }
            Hidden::Relu => {
                looked.take(&z, batch.rows, RECTIFIED);
                let cut = engine
                    .truncate(vec![(z, points::ACTIVATION - room)])
                    .await?;
                // a step's correlations were asked for before it
                engine.rectified(&one(cut)?, slopes).await
            }
        }
    }
}
