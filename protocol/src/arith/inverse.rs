//! The inverse of a shared symmetric matrix by Newton and Schulz's iteration
//! `Y <- s Y (2 I - s H Y)`, whose scales are [`paripassu_model::newton_schulz`]'s.
//!
//! H and Y are symmetric, so only their upper triangles are masked, cut and sent. H Y is not, once Y is
//! rounded: taken for symmetric, roundings would grow from step to step. H keeps one mask A through all
//! steps; Y of a step keeps its mask B for both products that it enters, and `P = 2 s I - s^2 H Y` has C:
//!
//! ```text
//! once      E = H - A                 opened
//! a step    F = Y - B                 opened
//!           H Y = E F + E B + A F + A B
//!           P = 2 s I - s^2 H Y       cut
//!           G = P - C                 opened
//!           Y P = F G + F C + B G + B C, cut: the next Y
//! ```
//!
//! Every mask hides one matrix: A hides H, and each step has its own B and C, so all that is opened is
//! uniform. Four rounds a step. Source: Beaver (CRYPTO 1991) with a factor's opening used for each product
//! that it enters, as for the masked features ([`super::owner`]); the cuts are [`super::truncate`]'s.

use std::sync::Arc;

use paripassu_crypto::{ring64, share::Shares};
use paripassu_model::newton_schulz::UNSCALED;

use super::{engine::Engine, truncate};
use crate::{
    abort::Abort,
    channel::Channel,
    compute::offload,
    correlation::{CorrelationSource, InverseStep, Words},
};

/// Fraction bits of a squared scale.
const SQUARE: u32 = 2 * UNSCALED.ilog2();

/// An inverse on shares, and how good it is.
#[derive(Debug)]
pub struct Inverted {
    /// Y, `[d, d]`.
    pub inverse: Shares,
    /// `I - H Y` before the last step, `[d, d]`; the last step squares it.
    pub error: Shares,
}

/// The upper triangle of a `[d, d]` matrix, row by row.
pub(crate) fn triangle(full: &[u64], d: usize) -> Vec<u64> {
    (0..d)
        .flat_map(|i| &full[i * d + i..(i + 1) * d])
        .copied()
        .collect()
}

/// Words of an upper triangle.
pub(crate) fn triangle_len(d: usize) -> usize {
    d * (d + 1) / 2
}

/// The symmetric matrix of an upper triangle.
pub(crate) fn mirrored(upper: &[u64], d: usize) -> Vec<u64> {
    let mut full = vec![0; d * d];
    let mut words = upper.iter();
    for i in 0..d {
        for j in i..d {
            let w = words.next().copied().unwrap_or_default();
            full[i * d + j] = w;
            full[j * d + i] = w;
        }
    }
    full
}

fn subtracted(words: &[u64], mask: &[u64]) -> Vec<u64> {
    words
        .iter()
        .zip(mask)
        .map(|(w, m)| w.wrapping_sub(*m))
        .collect()
}

/// `X V + M V'`: X and V' opened, V and M this party's masks, V with the opened part where it is this party's
/// to add.
fn product(x: &[u64], v: &[u64], m: &[u64], opened: &[u64], d: usize) -> Vec<u64> {
    let mut full = vec![0; d * d];
    ring64::mat_mat(x, d, v, d, &mut full);
    ring64::mat_mat(m, d, opened, d, &mut full);
    full
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// The inverse of a symmetric `h: [d, d]`, begun at a symmetric `start: [d, d]` of as many fraction
    /// bits, with one step for each of `scales` (in sixteenths; the last must be 16).
    ///
    /// `s^2 H Y` must stay below `2^(54 - 2 frac)` and Y below `2^(62 - 2 frac)`.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if sizes, bits or scales do not fit.
    pub async fn symmetric_inverse(
        &mut self,
        h: &Shares,
        start: &Shares,
        d: usize,
        scales: &[u64],
    ) -> Result<Inverted, Abort> {
        let frac = h.frac();
        let fits = (h.len(), start.len(), start.frac()) == (d * d, d * d, frac);
        if !fits || scales.last() != Some(&UNSCALED) || !(1..=26).contains(&frac) {
            return Err(Abort::Input(format!(
                "no inverse of {} words of {frac} bits in {} steps",
                h.len(),
                scales.len()
            )));
        }
        let first = self.me() == 0;
        let cuts = [frac + SQUARE, frac];
        let mut source = self.source.inverse(d, scales.len(), cuts).await?;
        let a = Arc::new(Words::new(mirrored(&source.mask, d)));
        let mut e: Option<Arc<Vec<u64>>> = None;
        let mut y = triangle(start.words(), d);
        let mut p = Vec::new();
        for scale in scales {
            let step = self.source.inverse_step(&mut source).await?;
            let InverseStep {
                masks,
                products,
                cut,
            } = step;
            let [b, c] = masks;
            let mut mine = subtracted(&y, &b);
            if e.is_none() {
                mine.extend(subtracted(&triangle(h.words(), d), &source.mask));
            }
            let mut f = self.sum("invert-step", mine).await?;
            let e = match &e {
                Some(e) => Arc::clone(e),
                None => {
                    let opened = f.split_off(triangle_len(d));
                    Arc::clone(e.insert(Arc::new(mirrored(&opened, d))))
                }
            };
            let (a, scale) = (Arc::clone(&a), *scale);
            let [ab, bc] = products;
            let (hy, f, b) = offload(move || {
                let (f, b) = (mirrored(&f, d), Words::new(mirrored(&b, d)));
                let mut v = b.clone();
                if first {
                    ring64::add_assign(&mut v, &f);
                }
                let mut hy = product(&e, &v, &a, &f, d);
                ring64::add_assign(&mut hy, &ab);
                hy.iter_mut()
                    .for_each(|w| *w = w.wrapping_mul(scale * scale));
                (hy, f, b)
            })
            .await;
            let [cut_p, cut_y] = cut;
            p = self.cut("invert-cut", hy, cuts[0], &cut_p).await?;
            // 2 s, where s is in sixteenths
            let twice = (scale << (frac + 1)) / UNSCALED;
            p.iter_mut().for_each(|w| *w = w.wrapping_neg());
            if first {
                diagonal(&mut p, d, twice);
            }
            let mine = subtracted(&p, &c);
            let g = self.sum("invert-step", mine).await?;
            let yp = offload(move || {
                let mut v = c;
                if first {
                    ring64::add_assign(&mut v, &g);
                }
                let mut upper = triangle(&product(&f, &v, &b, &g, d), d);
                ring64::add_assign(&mut upper, &bc);
                upper
            })
            .await;
            y = self.cut("invert-cut", yp, cuts[1], &cut_y).await?;
        }
        // P of an unscaled step is I + (I - H Y)
        if first {
            diagonal(&mut p, d, (1u64 << frac).wrapping_neg());
        }
        Ok(Inverted {
            inverse: Shares::new(mirrored(&y, d), frac),
            error: Shares::new(p, frac),
        })
    }

    async fn cut(
        &mut self,
        gate: &str,
        words: Vec<u64>,
        by: u32,
        c: &crate::correlation::Truncate,
    ) -> Result<Vec<u64>, Abort> {
        let first = self.me() == 0;
        let opened = self.sum(gate, truncate::masked(&words, c, first)).await?;
        Ok(truncate::shifted(&opened, c, by, first))
    }
}

fn diagonal(full: &mut [u64], d: usize, add: u64) {
    for w in full.iter_mut().step_by(d + 1) {
        *w = w.wrapping_add(add);
    }
}
