//! The series with few bits: terms and sines are rounded at random, so that each is right on average.
//!
//! Rounding to the nearest of so few bits would change small harmonics. What decides here is part of what is masked
//! anyway: of a mask's word the low [`DITHER`] bits, which are uniform and independent of its phase; of an opened
//! phase its own last bits, which are as good as independent of where the phase lies, because the mask is uniform.
//! Every party rounds an opened phase's sines alike.

use super::{LANES, Sine, Wave, round_to_ring};
use crate::{multiversion, simd::Level};

/// Low bits of a mask's word that decide its roundings.
pub const DITHER: u32 = 24;
/// Low bits of a phase that do.
const PHASE: u32 = 12;

impl Sine {
    /// For each mask in `rho`, its phase in the top bits and [`DITHER`] bits below: adds `b_k cos(k w rho)` and
    /// `b_k sin(k w rho)` with `frac` fraction bits, dithered, to `out: [term][cos, sin][row]`.
    ///
    /// # Panics
    /// If `out` is not `2 * terms` times as long as `rho`.
    pub fn dithered_terms(&self, rho: &[u64], frac: u32, out: &mut [u64]) {
        assert_eq!(
            out.len(),
            rho.len() * self.words_per_row(),
            "out is [2 terms, rows]"
        );
        let scale = 2f64.powi(frac as i32);
        let b: Vec<f64> = self.coefs().iter().map(|b| b * scale).collect();
        dealt(Level::detect(), &b, rho, out);
    }

    /// Adds this end's share of the series (without the one half) at the masked phases `theta` to `value`, with
    /// `frac` fraction bits more than its shares of `terms`, which are [`Sine::dithered_terms`].
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn add_dithered(&self, theta: &[u32], terms: &[u64], frac: u32, value: &mut [u64]) {
        assert_eq!(
            (terms.len(), value.len()),
            (theta.len() * self.words_per_row(), theta.len()),
            "terms is [2 terms, rows], value [rows]"
        );
        let scale = 2f64.powi(frac as i32);
        combined(Level::detect(), self.terms(), scale, theta, terms, value);
    }
}

multiversion! {
    fn dealt [] [] (b: &[f64], rho: &[u64], out: &mut [u64]) = dealt_rows
}

multiversion! {
    fn combined [] []
        (terms: usize, scale: f64, theta: &[u32], dealt: &[u64], out: &mut [u64]) = combined_rows
}

/// A number in [-1/2, 1/2) of bits at the top of a word, another for each `which`.
#[inline(always)]
fn dither(bits: u32, which: usize) -> f64 {
    let odd = (which as u32).wrapping_mul(0x9E37_79B2) | 1;
    f64::from(bits.wrapping_mul(odd) as i32) * 2f64.powi(-32)
}

#[inline(always)]
fn dealt_rows(b: &[f64], rho: &[u64], out: &mut [u64]) {
    let n = rho.len();
    let mut at = 0;
    while at < n {
        let m = if n - at < LANES { n - at } else { LANES };
        let (mut turns, mut bits) = ([0.0; LANES], [0u32; LANES]);
        for i in 0..m {
            let word = rho[at + i];
            turns[i] = (word as i64) as f64 * 2f64.powi(-64);
            bits[i] = (word as u32) << (32 - DITHER);
        }
        let mut w = Wave::new(turns);
        let mut t = 0;
        while t < b.len() {
            let (cos, sin) = out[2 * t * n..][..2 * n].split_at_mut(n);
            let (cos, sin) = (&mut cos[at..at + m], &mut sin[at..at + m]);
            for i in 0..m {
                let (c, s) = (w.c[i] * b[t], w.s[i] * b[t]);
                cos[i] = cos[i].wrapping_add(round_to_ring(c + dither(bits[i], 2 * t)));
                sin[i] = sin[i].wrapping_add(round_to_ring(s + dither(bits[i], 2 * t + 1)));
            }
            w.advance();
            t += 1;
        }
        at += LANES;
    }
}

#[inline(always)]
fn combined_rows(terms: usize, scale: f64, theta: &[u32], dealt: &[u64], out: &mut [u64]) {
    let n = theta.len();
    let mut at = 0;
    while at < n {
        let m = if n - at < LANES { n - at } else { LANES };
        let (mut turns, mut bits) = ([0.0; LANES], [0u32; LANES]);
        for i in 0..m {
            let word = theta[at + i];
            turns[i] = f64::from(word as i32) * 2f64.powi(-32);
            bits[i] = word << (32 - PHASE);
        }
        let mut w = Wave::new(turns);
        let mut acc = [0u64; LANES];
        let mut t = 0;
        while t < terms {
            let (cos, sin) = dealt[2 * t * n..][..2 * n].split_at(n);
            let (cos, sin) = (&cos[at..at + m], &sin[at..at + m]);
            for i in 0..m {
                // sin(k w (theta - rho)) = sin(k w theta) cos(k w rho) - cos(k w theta) sin(k w rho)
                let s = round_to_ring(w.s[i] * scale + dither(bits[i], 2 * t));
                let c = round_to_ring(w.c[i] * scale + dither(bits[i], 2 * t + 1));
                acc[i] = acc[i]
                    .wrapping_add(s.wrapping_mul(cos[i]))
                    .wrapping_sub(c.wrapping_mul(sin[i]));
            }
            w.advance();
            t += 1;
        }
        for i in 0..m {
            out[at + i] = out[at + i].wrapping_add(acc[i]);
        }
        at += LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixed::decode,
        prg::{Label, Prg},
    };

    #[test]
    fn with_few_bits_the_series_is_right_on_average() {
        // at each of some scores, over many masks: the mean is the series', to four of its deviations
        let s = Sine::logistic(3, 6);
        let (fc, fb, n) = (6, 6, 60_000);
        let g = Prg::new(&[5; 32]);
        for (k, z) in [-9.0, -3.3, -1.0, 0.0, 0.2, 2.5, 6.0]
            .into_iter()
            .enumerate()
        {
            let rho = g.words(Label::request(k as u32, 0), n);
            let phase = (z * 2f64.powi(64 - s.period_log2() as i32)) as i64 as u64;
            let theta: Vec<u32> = rho
                .iter()
                .map(|r| (phase.wrapping_add(*r) >> 32) as u32)
                .collect();
            let mut terms = g.words(Label::request(k as u32, 1), n * s.words_per_row());
            let other: Vec<u64> = terms.iter().map(|w| w.wrapping_neg()).collect();
            s.dithered_terms(&rho, fc, &mut terms);
            let mut value = vec![0; n];
            for share in [&terms, &other] {
                s.add_dithered(&theta, share, fb, &mut value);
            }
            let errors: Vec<f64> = value
                .iter()
                .map(|v| decode(*v, fc + fb) + 0.5 - s.value(z))
                .collect();
            let mean = errors.iter().sum::<f64>() / n as f64;
            let square = errors.iter().map(|e| e * e).sum::<f64>() / n as f64;
            assert!(square.sqrt() < 0.03, "{z}: deviation {}", square.sqrt());
            assert!(
                mean.abs() < 4.0 * (square / n as f64).sqrt(),
                "{z}: mean {mean}, deviation {}",
                square.sqrt()
            );
        }
    }

    #[test]
    fn every_instruction_set_rounds_alike() {
        let s = Sine::logistic(4, 5);
        let g = Prg::new(&[6; 32]);
        let n = 77;
        let rho = g.words(Label::request(0, 0), n);
        let theta: Vec<u32> = rho.iter().map(|r| (r >> 20) as u32).collect();
        let b: Vec<f64> = s.coefs().iter().map(|b| b * 512.0).collect();
        let run = |level| {
            let mut terms = vec![3; n * s.words_per_row()];
            dealt(level, &b, &rho, &mut terms);
            let mut value = vec![9; n];
            combined(level, s.terms(), 256.0, &theta, &terms, &mut value);
            (terms, value)
        };
        let want = run(Level::Baseline);
        assert!(run(Level::Avx2) == want && run(Level::Avx512) == want);
    }
}
