//! The sigmoid gate: one opening of 4 bytes a row cuts the score and evaluates the series.
//!
//! Every party sends the top 32 bits of `z_i + t_i`; theta, their sum, is the phase of
//! `z + rho` to within 2^-31 of a period per party. It is uniform, because rho is. Shares of the
//! series and of its derivative at z follow locally: see [`paripassu_crypto::sine`]. One round, and one more
//! for each to drop fraction bits.
//!
//! Terms are dealt modulo 2^64 ([`Precision::Wide`]) or 2^32 ([`Precision::Narrow`], half the bytes), where
//! the sums are exact because series and slope are below one half and one. The latter come into the ring as
//! they are cut: see [`super::lift`].

use std::{ops::Range, sync::Arc};

use paripassu_crypto::{
    share::Shares,
    sine::{BLOCK, Sine, Word},
};
use zeroize::Zeroizing;

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::Channel,
    compute::offload,
    correlation::{CorrelationSource, Request},
};

/// Rows per request to the source and per message: whole blocks of the series' layout.
const ROWS: usize = 8 * BLOCK;

/// How many bits the series is evaluated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Terms of 24 fraction bits, sines of opened phases of 22, modulo 2^64.
    Wide,
    /// Of 16 and 14, modulo 2^32.
    Narrow,
}

impl Precision {
    /// Fraction bits of dealt terms.
    pub const fn terms(self) -> u32 {
        match self {
            Self::Wide => 24,
            Self::Narrow => 16,
        }
    }

    /// Fraction bits of sines and cosines of opened phases.
    pub const fn phase(self) -> u32 {
        match self {
            Self::Wide => 22,
            Self::Narrow => 14,
        }
    }

    /// Fraction bits of the slope's multipliers.
    pub const fn slope(self) -> u32 {
        12
    }
}

/// What to evaluate, beside the series itself.
#[derive(Debug, Clone)]
pub struct SigmoidSpec {
    /// The series.
    pub series: Arc<Sine>,
    /// With how many bits.
    pub precision: Precision,
    /// Fraction bits of the values wanted: at most those that terms and phases have together, fewer in
    /// [`Precision::Wide`].
    pub value_frac: u32,
    /// For the first `slope_rows` rows, `slope_gain` times the derivative is wanted as well, below one.
    pub slope_rows: usize,
    /// See `slope_rows`.
    pub slope_gain: f64,
    /// Fraction bits of the slopes wanted: fewer than their terms and multipliers have together.
    pub slope_frac: u32,
}

impl SigmoidSpec {
    fn request(&self, rows: usize) -> Request {
        Request::Sine {
            rows: rows as u64,
            range_log2: self.series.period_log2() - 2,
            terms: self.series.terms() as u32,
            frac: self.precision.terms(),
            narrow: self.precision == Precision::Narrow,
        }
    }

    /// All that [`Engine::sigmoid`] asks the source for, of so many rows, in its order.
    pub(crate) fn requests(&self, rows: usize) -> Vec<Request> {
        let starts = (0..rows).step_by(ROWS);
        let mut all: Vec<Request> = starts
            .map(|at| self.request((rows - at).min(ROWS)))
            .collect();
        let (terms, phase) = (self.precision.terms(), self.precision.phase());
        let slopes = (self.slope_rows > 0).then(|| {
            let by = terms + self.precision.slope() - self.slope_frac;
            (self.slope_rows.min(rows), by)
        });
        let value = (rows, terms + phase - self.value_frac);
        for (len, by) in [Some(value), slopes].into_iter().flatten() {
            let len = len as u64;
            all.push(match self.precision {
                Precision::Wide => Request::Truncate { len, by },
                Precision::Narrow => Request::Lift { len, by },
            });
        }
        all
    }

    /// This party's shares of series and slopes at opened phases, before bits are dropped.
    fn evaluated<W: Word>(&self, theta: &[u32], terms: &[W], slopes: usize) -> (Vec<W>, Vec<W>) {
        let (mut v, mut s) = (vec![W::default(); theta.len()], vec![W::default(); slopes]);
        let (phase, slope) = (self.precision.phase(), self.precision.slope());
        self.series.add_value(theta, terms, phase, &mut v);
        self.series
            .add_slope(theta, terms, slope, self.slope_gain, &mut s);
        (v, s)
    }
}

/// Series and slopes of some rows in the ring that they were summed in.
#[derive(Default)]
struct Sums<W: zeroize::Zeroize> {
    value: Zeroizing<Vec<W>>,
    slope: Zeroizing<Vec<W>>,
}

impl<W: zeroize::Zeroize> Sums<W> {
    fn extend(&mut self, (value, slope): (Vec<W>, Vec<W>)) {
        self.value.extend(Zeroizing::new(value).drain(..));
        self.slope.extend(Zeroizing::new(slope).drain(..));
    }
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// `sigma(z)` for all rows, and the derivative for the first ones. The point of `z` must be where the
    /// ring wraps at the series' period.
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
        let precision = spec.precision;
        let n = z.len();
        let blocks: Vec<Range<usize>> = (0..n)
            .step_by(ROWS)
            .map(|at| at..n.min(at + ROWS))
            .collect();
        let requests: Vec<Request> = blocks.iter().map(|b| spec.request(b.len())).collect();
        self.source.announce(&requests).await?;
        let (mut wide, mut narrow) = (Sums::<u64>::default(), Sums::<u32>::default());
        let value_bits = precision.terms() + precision.phase();
        let slope_bits = precision.terms() + precision.slope();
        for b in blocks {
            let c = self
                .source
                .sine(
                    b.len(),
                    spec.series.period_log2() - 2,
                    spec.series.terms(),
                    precision.terms(),
                    precision == Precision::Narrow,
                )
                .await?;
            let theta = z.words()[b.clone()]
                .iter()
                .zip(c.mask.iter())
                .map(|(z, t)| (z.wrapping_add(*t) >> 32) as u32)
                .collect();
            let theta = self.sum_halves("phase", theta).await?;
            let slopes = spec.slope_rows.saturating_sub(b.start).min(b.len());
            let spec = spec.clone();
            match precision {
                Precision::Wide => {
                    wide.extend(offload(move || spec.evaluated(&theta, &c.terms[..], slopes)).await)
                }
                Precision::Narrow => narrow.extend(
                    offload(move || {
                        let terms = bytemuck::cast_slice::<u64, u32>(&c.terms);
                        spec.evaluated(&theta, terms, slopes)
                    })
                    .await,
                ),
            }
        }
        let (mut value, slope) = match precision {
            Precision::Wide => {
                let value = Shares::new(std::mem::take(&mut wide.value), value_bits);
                let slope = Shares::new(std::mem::take(&mut wide.slope), slope_bits);
                let value = self.truncate(vec![(value, spec.value_frac)]).await?;
                let slope = match spec.slope_rows {
                    0 => Vec::new(),
                    _ => self.truncate(vec![(slope, spec.slope_frac)]).await?,
                };
                (value, slope)
            }
            Precision::Narrow => {
                let lifted = self.lift(&narrow.value, value_bits, spec.value_frac);
                let value = vec![lifted.await?];
                let slope = match spec.slope_rows {
                    0 => Vec::new(),
                    _ => {
                        let lifted = self.lift(&narrow.slope, slope_bits, spec.slope_frac);
                        vec![lifted.await?]
                    }
                };
                (value, slope)
            }
        };
        let none = || Shares::zeros(0, spec.slope_frac);
        let mut value = value.pop().unwrap_or_else(none);
        if self.me() == 0 {
            let half = 1u64 << (spec.value_frac - 1);
            value
                .words_mut()
                .iter_mut()
                .for_each(|w| *w = w.wrapping_add(half));
        }
        Ok((value, slope.into_iter().next().unwrap_or_else(none)))
    }
}
