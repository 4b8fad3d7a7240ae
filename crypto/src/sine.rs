//! The sigmoid as a short sine series, and its evaluation on masked phases.
//!
//! sigma(z) - 1/2 is close to `sum_k b_k sin(2 pi k z / P)` over odd k = 1, 3, …, 2K-1, with
//! P = 4R. Odd harmonics extend the function antisymmetrically about z = ±R, which removes the
//! jump of a plain period-2R series, so the coefficients fall exponentially, and beyond R the
//! curve bends back slowly instead of changing sign.
//!
//! A sine of a sum splits into products of sines and cosines of the summands. So if parties know
//! a masked phase `theta = z + rho` and hold shares of `b_k cos(k w rho)` and `b_k sin(k w rho)`,
//! they get shares of the series at z by local arithmetic. The ring's own wrap-around is the
//! period: z has its point where 2^64 is P; where P is no power of two, z is multiplied by
//! [`Sine::stretch`] for it.
//!
//! Source: the Fourier idea is used for sigmoids on shares in ePrint 2023/527 (Squirrel); the odd
//! quarter-wave extension and the one-round use with dealt correlations are set out in
//! `docs/protocols.md`. The b_k are the quarter-wave Fourier coefficients, by the midpoint rule
//! with 2^15 points; their largest error is within 2.3 times that of the best possible fit.

mod dithered;

use std::f64::consts::PI;

pub use dithered::DITHER;
use rayon::prelude::*;

use crate::{multiversion, simd::Level};

// Parties cut 64-bit streams into 32-bit words as they lie in memory.
#[cfg(target_endian = "big")]
compile_error!("only little-endian machines agree on narrow words");

/// The ring in which terms are dealt and summed: integers modulo 2^64 or 2^32.
pub trait Word: Copy + Send + Sync + Default {
    /// The residue of a two's complement number.
    fn of(x: u64) -> Self;
    /// Sum.
    fn plus(self, other: Self) -> Self;
    /// Product.
    fn times(self, other: Self) -> Self;
}

macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            #[inline(always)]
            fn of(x: u64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
        }
    };
}

word!(u64);
word!(u32);

/// Rows per block of the layout that [`Sine::dealt_terms`] makes.
pub const BLOCK: usize = 4096;
const LANES: usize = 32;

/// The series for one range and number of terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Sine {
    range: u32,
    coefs: Vec<f64>,
}

impl Sine {
    /// The series for |z| <= 2^`range_log2` with `terms` odd harmonics.
    pub fn logistic(range_log2: u32, terms: usize) -> Self {
        Self::within(1 << range_log2, terms)
    }

    /// The series for |z| <= `range` with `terms` odd harmonics.
    pub fn within(range: u32, terms: usize) -> Self {
        const POINTS: usize = 1 << 15;
        let whole = range;
        let range = f64::from(range);
        let coefs = (0..terms)
            .map(|t| {
                let k = (2 * t + 1) as f64;
                let sum: f64 = (0..POINTS)
                    .map(|i| {
                        let z = (i as f64 + 0.5) / POINTS as f64 * range;
                        (logistic(z) - 0.5) * (k * PI * z / (2.0 * range)).sin()
                    })
                    .sum();
                2.0 * sum / POINTS as f64
            })
            .collect();
        Self {
            range: whole,
            coefs,
        }
    }

    /// Number of terms.
    pub fn terms(&self) -> usize {
        self.coefs.len()
    }

    /// log2 of the period of stretched arguments: P = 4R, rounded up to a power of two.
    pub fn period_log2(&self) -> u32 {
        self.range.next_power_of_two().trailing_zeros() + 2
    }

    /// What arguments are multiplied by so that their period is a power of two: from 1 to below 2.
    pub fn stretch(&self) -> f64 {
        f64::from(self.range.next_power_of_two()) / self.range()
    }

    /// The range R.
    pub fn range(&self) -> f64 {
        f64::from(self.range)
    }

    /// The coefficients b_1, b_3, ….
    pub fn coefs(&self) -> &[f64] {
        &self.coefs
    }

    /// The series at z, plus one half.
    pub fn value(&self, z: f64) -> f64 {
        let w = PI / (2.0 * self.range());
        0.5 + self
            .harmonics()
            .map(|(k, b)| b * (k * w * z).sin())
            .sum::<f64>()
    }

    /// The derivative of the series at z.
    pub fn slope(&self, z: f64) -> f64 {
        let w = PI / (2.0 * self.range());
        self.harmonics()
            .map(|(k, b)| b * k * w * (k * w * z).cos())
            .sum()
    }

    fn harmonics(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.coefs
            .iter()
            .enumerate()
            .map(|(t, b)| ((2 * t + 1) as f64, *b))
    }

    /// Largest |series - sigma| on [-R, R], on a fine grid.
    pub fn max_error(&self) -> f64 {
        let points = 20_000;
        (0..=points)
            .map(|i| {
                let z = self.range() * f64::from(i) / f64::from(points);
                (self.value(z) - logistic(z)).abs()
            })
            .fold(0.0, f64::max)
    }

    /// Words of [`Sine::dealt_terms`] per row.
    pub fn words_per_row(&self) -> usize {
        2 * self.terms()
    }

    /// For each mask in `rho`, adds `b_k cos(k w rho)` and `b_k sin(k w rho)` with `frac` fraction
    /// bits to `out`, in blocks of [`BLOCK`] rows: `[block][term][cos, sin][row]`.
    ///
    /// # Panics
    /// If `out` is not `2 * terms` times as long as `rho`.
    pub fn dealt_terms<W: Word>(&self, rho: &[u64], frac: u32, out: &mut [W]) {
        assert_eq!(
            out.len(),
            rho.len() * self.words_per_row(),
            "out is [rows, 2 terms]"
        );
        let scale = 2f64.powi(frac as i32);
        let b: Vec<f64> = self.coefs.iter().map(|b| b * scale).collect();
        let level = Level::detect();
        out.par_chunks_mut(BLOCK * self.words_per_row())
            .zip(rho.par_chunks(BLOCK))
            .for_each(|(out, rho)| dealt(level, &b, rho, out));
    }

    /// Adds this end's share of the series (without the one half) at the masked phases `theta`
    /// (the top 32 bits of `z + rho`) to `value`, with `frac_terms + frac` fraction bits.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn add_value<W: Word>(&self, theta: &[u32], terms: &[W], frac: u32, value: &mut [W]) {
        let scale = 2f64.powi(frac as i32);
        let m: Vec<f64> = vec![scale; self.terms()];
        // sin(k w (theta - rho)) = sin(k w theta) cos(k w rho) - cos(k w theta) sin(k w rho)
        self.combine::<W, true>(&m, theta, terms, value);
    }

    /// Adds this end's share of `gain` times the series' derivative at the masked phases to
    /// `slope`, with `frac_terms + frac` fraction bits, for the first `slope.len()` rows.
    ///
    /// # Panics
    /// If the lengths do not agree.
    pub fn add_slope<W: Word>(
        &self,
        theta: &[u32],
        terms: &[W],
        frac: u32,
        gain: f64,
        slope: &mut [W],
    ) {
        let w = PI / (2.0 * self.range());
        let scale = gain * 2f64.powi(frac as i32);
        let m: Vec<f64> = self.harmonics().map(|(k, _)| k * w * scale).collect();
        // cos(k w (theta - rho)) = cos(k w theta) cos(k w rho) + sin(k w theta) sin(k w rho)
        self.combine::<W, false>(&m, theta, terms, slope);
    }

    fn combine<W: Word, const SINE: bool>(
        &self,
        m: &[f64],
        theta: &[u32],
        terms: &[W],
        out: &mut [W],
    ) {
        assert_eq!(
            terms.len(),
            theta.len() * self.words_per_row(),
            "terms is [rows, 2 terms]"
        );
        assert!(out.len() <= theta.len(), "no more results than phases");
        let level = Level::detect();
        out.par_chunks_mut(BLOCK)
            .zip(theta.par_chunks(BLOCK))
            .zip(terms.par_chunks(BLOCK * self.words_per_row()))
            .for_each(|((out, theta), terms)| combined::<W, SINE>(level, m, theta, terms, out));
    }
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// Rounds to the nearest integer and embeds it in the ring; exact for |x| < 2^51.
#[inline(always)]
fn round_to_ring(x: f64) -> u64 {
    const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    (x + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits())
}

/// sin and cos of 2 pi x for x in [-1/2, 1/2), to 2e-9, by Taylor at half the angle.
#[inline(always)]
fn sin_cos_turn(x: f64) -> (f64, f64) {
    let a = x * PI;
    let q = a * a;
    let s = a
        * (1.0
            + q * (-1.0 / 6.0
                + q * (1.0 / 120.0
                    + q * (-1.0 / 5_040.0
                        + q * (1.0 / 362_880.0
                            + q * (-1.0 / 39_916_800.0 + q * (1.0 / 6_227_020_800.0)))))));
    let c = 1.0
        + q * (-0.5
            + q * (1.0 / 24.0
                + q * (-1.0 / 720.0
                    + q * (1.0 / 40_320.0
                        + q * (-1.0 / 3_628_800.0
                            + q * (1.0 / 479_001_600.0 - q * (1.0 / 87_178_291_200.0)))))));
    (2.0 * s * c, 1.0 - 2.0 * s * s)
}

/// Sines and cosines of one group of rows, advanced from harmonic k to k + 2 by rotation.
struct Wave {
    s: [f64; LANES],
    c: [f64; LANES],
    s2: [f64; LANES],
    c2: [f64; LANES],
}

impl Wave {
    #[inline(always)]
    fn new(turns: [f64; LANES]) -> Self {
        let z = [0.0; LANES];
        let mut w = Self {
            s: z,
            c: z,
            s2: z,
            c2: z,
        };
        for (i, turn) in turns.into_iter().enumerate() {
            let (s, c) = sin_cos_turn(turn);
            w.s[i] = s;
            w.c[i] = c;
            w.s2[i] = 2.0 * s * c;
            w.c2[i] = 1.0 - 2.0 * s * s;
        }
        w
    }

    #[inline(always)]
    fn advance(&mut self) {
        for i in 0..LANES {
            let s = self.s[i] * self.c2[i] + self.c[i] * self.s2[i];
            self.c[i] = self.c[i] * self.c2[i] - self.s[i] * self.s2[i];
            self.s[i] = s;
        }
    }
}

multiversion! {
    fn dealt [W: Word] [W] (b: &[f64], rho: &[u64], out: &mut [W]) = dealt_block
}

multiversion! {
    fn combined [W: Word, const SINE: bool] [W, SINE]
        (m: &[f64], theta: &[u32], terms: &[W], out: &mut [W]) = combine_block
}

#[inline(always)]
fn dealt_block<W: Word>(b: &[f64], rho: &[u64], out: &mut [W]) {
    let n = rho.len();
    for at in (0..n).step_by(LANES) {
        let m = LANES.min(n - at);
        let mut turns = [0.0; LANES];
        for i in 0..m {
            turns[i] = (rho[at + i] as i64) as f64 * 2f64.powi(-64);
        }
        let mut w = Wave::new(turns);
        for (t, b) in b.iter().enumerate() {
            let (cos, sin) = out[2 * t * n..][..2 * n].split_at_mut(n);
            let (cos, sin) = (&mut cos[at..at + m], &mut sin[at..at + m]);
            for i in 0..m {
                cos[i] = cos[i].plus(W::of(round_to_ring(w.c[i] * b)));
                sin[i] = sin[i].plus(W::of(round_to_ring(w.s[i] * b)));
            }
            w.advance();
        }
    }
}

/// `SINE`: out += m (sin cos_term - cos sin_term); else out += m (cos cos_term + sin sin_term).
#[inline(always)]
fn combine_block<W: Word, const SINE: bool>(m: &[f64], theta: &[u32], terms: &[W], out: &mut [W]) {
    let n = theta.len();
    for at in (0..out.len()).step_by(LANES) {
        let len = LANES.min(out.len() - at);
        let mut turns = [0.0; LANES];
        for i in 0..len {
            turns[i] = f64::from(theta[at + i] as i32) * 2f64.powi(-32);
        }
        let mut w = Wave::new(turns);
        let mut acc = [W::default(); LANES];
        for (t, m) in m.iter().enumerate() {
            let (cos, sin) = terms[2 * t * n..][..2 * n].split_at(n);
            let (cos, sin) = (&cos[at..at + len], &sin[at..at + len]);
            for i in 0..len {
                let (a, b) = match SINE {
                    true => (w.s[i], -w.c[i]),
                    false => (w.c[i], w.s[i]),
                };
                acc[i] = acc[i]
                    .plus(W::of(round_to_ring(a * m)).times(cos[i]))
                    .plus(W::of(round_to_ring(b * m)).times(sin[i]));
            }
            w.advance();
        }
        for (o, a) in out[at..at + len].iter_mut().zip(acc) {
            *o = o.plus(a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::decode;

    #[test]
    fn the_series_is_as_close_as_stated() {
        for (range_log2, terms, bound) in [
            (3, 6, 3.8e-4),
            (3, 10, 5.6e-5),
            (4, 16, 3.3e-5),
            (5, 32, 3.3e-5),
            (6, 64, 3.4e-5),
            (3, 12, 5e-5),
            (4, 20, 3.5e-6),
            (5, 40, 3.5e-6),
            (6, 80, 3.5e-6),
        ] {
            let s = Sine::logistic(range_log2, terms);
            assert!(
                s.max_error() < bound,
                "{range_log2} {terms}: {}",
                s.max_error()
            );
            // beyond R it bends back: still right where sigma has saturated
            let z = 1.3 * s.range();
            assert!((s.value(z) - logistic(z)).abs() < 4e-3 + bound);
        }
    }

    #[test]
    fn the_first_coefficients_are_the_specified_ones() {
        let s = Sine::logistic(3, 6);
        for (b, want) in s.coefs().iter().zip(VECTOR) {
            assert!((b - want).abs() < 1e-12, "{b} {want}");
        }
    }
    /// R = 8, K = 6, from an independent evaluation in Python.
    const VECTOR: [f64; 6] = [
        0.5980507801273381,
        0.12648887283342353,
        0.03606131266511578,
        0.010439960330637033,
        0.003068540515256935,
        0.0008728670577992432,
    ];

    #[test]
    fn masked_evaluation_equals_the_series() {
        let s = Sine::logistic(4, 16);
        let n = 5000;
        let (fc, fb) = (15, 15);
        let unit = 64 - s.period_log2();
        let mut rng = 88_172_645_463_325_252u64;
        let mut next = || {
            rng ^= rng << 13;
            rng ^= rng >> 7;
            rng ^= rng << 17;
            rng
        };
        let z: Vec<f64> = (0..n)
            .map(|i| (f64::from(i) / f64::from(n) - 0.5) * 40.0)
            .collect();
        let rho: Vec<u64> = z.iter().map(|_| next()).collect();
        let theta: Vec<u32> = z
            .iter()
            .zip(&rho)
            .map(|(z, r)| {
                (((z * 2f64.powi(unit as i32)) as i64 as u64).wrapping_add(*r) >> 32) as u32
            })
            .collect();
        // two shares of the dealt terms
        let mut a = vec![0u64; n as usize * s.words_per_row()];
        s.dealt_terms(&rho, fc, &mut a);
        let mut narrow = vec![0u32; a.len()];
        s.dealt_terms(&rho, fc, &mut narrow);
        assert!(a.iter().zip(&narrow).all(|(a, n)| *a as u32 == *n));
        let mut low = vec![0u32; n as usize];
        s.add_value(&theta, &narrow, fb, &mut low);
        let b: Vec<u64> = a.iter().map(|_| next()).collect();
        a.iter_mut()
            .zip(&b)
            .for_each(|(a, b)| *a = a.wrapping_sub(*b));
        let mut v = vec![0; n as usize];
        let mut d = vec![0; n as usize - 7];
        for share in [&a, &b] {
            s.add_value(&theta, share, fb, &mut v);
            s.add_slope(&theta, share, 11, 1.5, &mut d);
        }
        // of the same terms, the narrow sum is the wide one modulo 2^32
        assert!(v.iter().zip(&low).all(|(v, low)| *v as u32 == *low));
        for (z, v) in z.iter().zip(&v) {
            assert!(
                (decode(*v, fc + fb) + 0.5 - s.value(*z)).abs() < 2e-4,
                "{z}"
            );
        }
        for (z, d) in z.iter().zip(&d) {
            assert!(
                (decode(*d, fc + 11) - 1.5 * s.slope(*z)).abs() < 3e-3,
                "{z}"
            );
        }
    }
}
