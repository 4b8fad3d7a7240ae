//! The discrete Gaussian on whole numbers, sampled exactly.
//!
//! `P[x] ∝ exp(-x² / 2σ²)`. Everything is a comparison of whole numbers with uniform ones; no logarithm, no
//! floating point, whose rounding would betray the value below the noise (Mironov, CCS 2012).
//!
//! **Source.** Canonne, Kamath and Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020:
//! algorithm 1 (Bernoulli of exp(-γ)), 2 (discrete Laplace), 3 (discrete Gaussian). Departure: the variance is a whole
//! number, so that every fraction fits 128 bits. Time depends on the value sampled: not for use where an
//! adversary can time a single sample (the paper says so of its algorithm, too).

use rand::{TryRng, rngs::SysRng};
use zeroize::Zeroize;

/// Largest standard deviation.
pub const MAX_SIGMA: u64 = 1 << 26;

/// Why noise cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// The operating system gives no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// A variance that is 0 or too large.
    #[error("a variance of {got}: expected 1 to 2^52")]
    Variance {
        /// What was asked for.
        got: u64,
    },
}

/// Uniform words.
pub trait Words {
    /// The next.
    ///
    /// # Errors
    /// [`NoiseError::Randomness`].
    fn word(&mut self) -> Result<u64, NoiseError>;
}

/// From the operating system, some at a time.
pub struct OsWords {
    words: [u64; 512],
    next: usize,
}

impl std::fmt::Debug for OsWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OsWords")
    }
}

impl Default for OsWords {
    fn default() -> Self {
        Self {
            words: [0; 512],
            next: 512,
        }
    }
}

impl Drop for OsWords {
    fn drop(&mut self) {
        self.words.zeroize();
    }
}

impl Words for OsWords {
    fn word(&mut self) -> Result<u64, NoiseError> {
        if self.next >= self.words.len() {
            SysRng
                .try_fill_bytes(bytemuck::cast_slice_mut(&mut self.words))
                .map_err(|_| NoiseError::Randomness)?;
            self.next = 0;
        }
        let word = std::mem::take(&mut self.words[self.next]);
        self.next += 1;
        Ok(word)
    }
}

/// A number below `bound`, which is not 0.
fn below(bound: u128, words: &mut impl Words) -> Result<u128, NoiseError> {
    let bits = 128 - (bound - 1).leading_zeros();
    if bits == 0 {
        return Ok(0);
    }
    let mask = u128::MAX >> (128 - bits);
    loop {
        let mut number = u128::from(words.word()?);
        if bits > 64 {
            number |= u128::from(words.word()?) << 64;
        }
        if number & mask < bound {
            return Ok(number & mask);
        }
    }
}

/// True with chance `of / among`.
fn chance(of: u128, among: u128, words: &mut impl Words) -> Result<bool, NoiseError> {
    Ok(below(among, words)? < of)
}

/// True with chance exp(-of/among), for `of` at most `among`. Algorithm 1, first case.
fn chance_of_exp_below_one(
    of: u128,
    among: u128,
    words: &mut impl Words,
) -> Result<bool, NoiseError> {
    let mut k: u128 = 1;
    // `among` is at most 2^106 here and a k of 2^20 has a chance below 2^-(2^23): no overflow
    while chance(of, among.saturating_mul(k), words)? {
        k += 1;
    }
    Ok(k % 2 == 1)
}

/// True with chance exp(-of/among). Algorithm 1.
fn chance_of_exp(of: u128, among: u128, words: &mut impl Words) -> Result<bool, NoiseError> {
    for _ in 0..of / among {
        if !chance_of_exp_below_one(1, 1, words)? {
            return Ok(false);
        }
    }
    chance_of_exp_below_one(of % among, among, words)
}

/// A number with P[x] ∝ exp(-|x| / scale). Algorithm 2 with t = scale, s = 1.
fn discrete_laplace(scale: u64, words: &mut impl Words) -> Result<i64, NoiseError> {
    loop {
        let low = below(scale.into(), words)?;
        if !chance_of_exp(low, scale.into(), words)? {
            continue;
        }
        let mut high: u128 = 0;
        while chance_of_exp_below_one(1, 1, words)? {
            high += 1;
        }
        let magnitude = low + u128::from(scale) * high;
        let negative = words.word()? & 1 == 1;
        if negative && magnitude == 0 {
            continue;
        }
        // a magnitude of 2^63 is 2^37 scales away: of chance e^-(2^37)
        let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
        return Ok(if negative { -magnitude } else { magnitude });
    }
}

/// The distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscreteGaussian {
    variance: u64,
    scale: u64,
}

impl DiscreteGaussian {
    /// Of this parameter σ², about the variance.
    ///
    /// # Errors
    /// [`NoiseError::Variance`] beyond the square of [`MAX_SIGMA`].
    pub fn new(variance: u64) -> Result<Self, NoiseError> {
        match (1..=MAX_SIGMA * MAX_SIGMA).contains(&variance) {
            true => Ok(Self {
                variance,
                scale: variance.isqrt() + 1,
            }),
            false => Err(NoiseError::Variance { got: variance }),
        }
    }

    /// A sample. Algorithm 3.
    ///
    /// # Errors
    /// [`NoiseError::Randomness`].
    pub fn sample(&self, words: &mut impl Words) -> Result<i64, NoiseError> {
        let (variance, scale) = (u128::from(self.variance), u128::from(self.scale));
        loop {
            let y = discrete_laplace(self.scale, words)?;
            // exp(-(|y| - σ²/t)² / 2σ²) = exp(-(|y| t - σ²)² / (2 σ² t²))
            let distance = u128::from(y.unsigned_abs())
                .saturating_mul(scale)
                .abs_diff(variance);
            // beyond 2^63 it is refused with a chance of 1 - e^-(2^20): as good as always
            let Some(of) = distance.checked_mul(distance) else {
                continue;
            };
            if chance_of_exp(of, 2 * variance * scale * scale, words)? {
                return Ok(y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reproducible words.
    struct Mixed(u64);

    impl Words for Mixed {
        fn word(&mut self) -> Result<u64, NoiseError> {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            Ok(z ^ (z >> 31))
        }
    }

    /// Chi-square of samples against the exact probabilities, and its degrees of freedom.
    fn chi_square(variance: u64, samples: usize, seed: u64) -> (f64, f64) {
        let of = DiscreteGaussian::new(variance).unwrap();
        let mut words = Mixed(seed);
        let edge = (5.0 * (variance as f64).sqrt()).ceil() as i64 + 1;
        let weight = |x: i64| (-(x * x) as f64 / (2.0 * variance as f64)).exp();
        let total: f64 = (-20 * edge..=20 * edge).map(weight).sum();
        let mut counts = vec![0u64; 2 * edge as usize + 1];
        for _ in 0..samples {
            let x = of.sample(&mut words).unwrap();
            counts[(x.clamp(-edge, edge) + edge) as usize] += 1;
        }
        // bins of at least 20 expected
        let (mut chi, mut bins) = (0.0, 0.0);
        let (mut seen, mut expected) = (0.0, 0.0);
        for (count, x) in counts.iter().zip(-edge..) {
            seen += *count as f64;
            expected += weight(x) / total * samples as f64;
            if expected >= 20.0 {
                chi += (seen - expected).powi(2) / expected;
                bins += 1.0;
                (seen, expected) = (0.0, 0.0);
            }
        }
        (chi, bins - 1.0)
    }

    #[test]
    fn samples_have_the_exact_distribution() {
        for (variance, samples) in [(1, 60_000), (2, 60_000), (9, 60_000), (100, 60_000)] {
            let (chi, free) = chi_square(variance, samples, variance + 11);
            // five standard deviations of a chi-square
            assert!(
                chi < free + 5.0 * (2.0 * free).sqrt(),
                "{variance}: {chi} of {free}"
            );
            assert!(
                chi > free - 5.0 * (2.0 * free).sqrt(),
                "{variance}: {chi} of {free}"
            );
        }
    }

    #[test]
    fn a_wrong_variance_would_be_seen() {
        let of = DiscreteGaussian::new(100).unwrap();
        let mut words = Mixed(3);
        let n = 40_000;
        let square: f64 = (0..n)
            .map(|_| (of.sample(&mut words).unwrap() as f64).powi(2))
            .sum::<f64>()
            / f64::from(n);
        // sd of a mean of squares: 100 √(2/n)
        assert!(
            (square - 100.0).abs() < 5.0 * 100.0 * (2.0 / f64::from(n)).sqrt(),
            "{square}"
        );
    }

    #[test]
    fn moments_at_the_size_of_training_are_right() {
        let sigma = 65_536.0f64;
        let of = DiscreteGaussian::new(1 << 32).unwrap();
        let (mut words, n) = (OsWords::default(), 20_000);
        let samples: Vec<f64> = (0..n)
            .map(|_| of.sample(&mut words).unwrap() as f64 / sigma)
            .collect();
        let mean = |p: i32| samples.iter().map(|x| x.powi(p)).sum::<f64>() / f64::from(n);
        let root = f64::from(n).sqrt();
        assert!(mean(1).abs() < 6.0 / root, "{}", mean(1));
        assert!(
            (mean(2) - 1.0).abs() < 6.0 * 2f64.sqrt() / root,
            "{}",
            mean(2)
        );
        assert!(
            (mean(4) - 3.0).abs() < 6.0 * 96f64.sqrt() / root,
            "{}",
            mean(4)
        );
    }

    /// The authors' algorithms once more, in exact fractions, by docs/spec/dp_vectors.py.
    #[test]
    fn samples_are_those_of_a_second_implementation() {
        for (variance, expected) in include!("vectors.in") {
            let of = DiscreteGaussian::new(variance).unwrap();
            let mut words = Mixed(variance);
            let got = std::array::from_fn(|_| of.sample(&mut words).unwrap());
            assert_eq!(expected, got, "variance {variance}");
        }
    }

    #[test]
    fn variances_are_bounded() {
        assert!(DiscreteGaussian::new(0).is_err());
        assert!(DiscreteGaussian::new(u64::MAX).is_err());
        let largest = DiscreteGaussian::new(MAX_SIGMA * MAX_SIGMA).unwrap();
        let x = largest.sample(&mut Mixed(1)).unwrap();
        assert!(x.unsigned_abs() < 40 * MAX_SIGMA);
    }
}
