//! The sigmoid gate: one opening of 4 bytes a row cuts the score and evaluates the series.
//!
//! Every party sends the top 32 bits of `z_i + t_i`; theta, their sum, is the phase of
//! `z + rho` to within 2^-31 of a period per party. It is uniform, because rho is. Shares of the
//! series and of its derivative at z follow locally: see [`paripassu_crypto::sine`]. One round.

use std::{ops::Range, sync::Arc};

use paripassu_crypto::{
    share::Shares,
    sine::{BLOCK, Sine},
};

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::Channel,
    codec,
    compute::offload,
    correlation::{CorrelationSource, Request},
};

/// Rows per request to the source and per message: whole blocks of the series' layout.
const ROWS: usize = 8 * BLOCK;

/// What to evaluate, beside the series itself.
#[derive(Debug, Clone)]
pub struct SigmoidSpec {
    /// The series.
    pub series: Arc<Sine>,
    /// Fraction bits of the dealt terms.
    pub terms_frac: u32,
    /// Fraction bits of sines and cosines of opened phases.
    pub phase_frac: u32,
    /// For the first `slope_rows` rows, `slope_gain` times the derivative is wanted as well, with
    /// `terms_frac + slope_frac` fraction bits.
    pub slope_rows: usize,
    /// See `slope_rows`.
    pub slope_gain: f64,
    /// See `slope_rows`.
    pub slope_frac: u32,
}

impl SigmoidSpec {
    fn request(&self, rows: usize) -> Request {
        Request::Sine {
            rows: rows as u64,
            range_log2: self.series.period_log2() - 2,
            terms: self.series.terms() as u32,
            frac: self.terms_frac,
        }
    }
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// `sigma(z)` with `terms_frac + phase_frac` fraction bits, and the derivative for the first
    /// rows. The point of `z` must be where the ring wraps at the series' period.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if z has another point.
    pub async fn sigmoid(
        &mut self,
        z: &Shares,
        spec: &SigmoidSpec,
    ) -> Result<(Shares, Shares), Abort> {
        let want = 64 - spec.series.period_log2();
        if z.frac() != want {
            return Err(Abort::Input(format!(
                "the sigmoid takes scores with {want} fraction bits, not {}",
                z.frac()
            )));
        }
        let n = z.len();
        let blocks: Vec<Range<usize>> = (0..n)
            .step_by(ROWS)
            .map(|at| at..n.min(at + ROWS))
            .collect();
        let requests: Vec<Request> = blocks.iter().map(|b| spec.request(b.len())).collect();
        self.source.announce(&requests).await?;
        let (mut value, mut slope) = (Vec::with_capacity(n), Vec::new());
        for b in blocks {
            let c = self
                .source
                .sine(
                    b.len(),
                    spec.series.period_log2() - 2,
                    spec.series.terms(),
                    spec.terms_frac,
                )
                .await?;
            let mut theta: Vec<u32> = z.words()[b.clone()]
                .iter()
                .zip(c.mask.iter())
                .map(|(z, t)| (z.wrapping_add(*t) >> 32) as u32)
                .collect();
            let got = self
                .broadcast("phase", codec::put_halves(theta.iter().copied()))
                .await?;
            for (from, body) in got {
                let theirs = codec::take_halves(&body, theta.len(), from, self.path())?;
                theta
                    .iter_mut()
                    .zip(theirs)
                    .for_each(|(a, b)| *a = a.wrapping_add(b));
            }
            let slopes = spec.slope_rows.saturating_sub(b.start).min(b.len());
            let half = if self.me() == 0 {
                1 << (spec.terms_frac + spec.phase_frac - 1)
            } else {
                0
            };
            let spec = spec.clone();
            let (v, s) = offload(move || {
                let mut v = vec![half; theta.len()];
                let mut s = vec![0; slopes];
                let terms = &c.terms[..];
                spec.series
                    .add_value(&theta, terms, spec.phase_frac, &mut v);
                spec.series
                    .add_slope(&theta, terms, spec.slope_frac, spec.slope_gain, &mut s);
                (v, s)
            })
            .await;
            value.extend(v);
            slope.extend(s);
        }
        Ok((
            Shares::new(value, spec.terms_frac + spec.phase_frac),
            Shares::new(slope, spec.terms_frac + spec.slope_frac),
        ))
    }
}
