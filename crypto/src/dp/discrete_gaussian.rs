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

/// Uniform whole numbers: all randomness of the algorithms below passes here.
trait Uniform {
    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: u128) -> Result<u128, NoiseError>;

    /// True with chance `of / among`.
    fn chance(&mut self, of: u128, among: u128) -> Result<bool, NoiseError> {
        Ok(self.below(among)? < of)
    }
}

/// From words: as many low bits as the bound has, drawn again if they are not below it.
struct Cut<'w, W>(&'w mut W);

impl<W: Words> Uniform for Cut<'_, W> {
    fn below(&mut self, bound: u128) -> Result<u128, NoiseError> {
        let bits = 128 - (bound - 1).leading_zeros();
        if bits == 0 {
            return Ok(0);
        }
        let mask = u128::MAX >> (128 - bits);
        loop {
            let mut number = u128::from(self.0.word()?);
            if bits > 64 {
                number |= u128::from(self.0.word()?) << 64;
            }
            if number & mask < bound {
                return Ok(number & mask);
            }
        }
    }
}

/// True with chance exp(-of/among), for `of` at most `among`. Algorithm 1, first case.
fn chance_of_exp_below_one(
    of: u128,
    among: u128,
    uniform: &mut impl Uniform,
) -> Result<bool, NoiseError> {
    let mut k: u128 = 1;
    // `among` is at most 2^106 here and a k of 2^20 has a chance below 2^-(2^23): no overflow
    while uniform.chance(of, among.saturating_mul(k))? {
        k += 1;
    }
    Ok(k % 2 == 1)
}

/// True with chance exp(-of/among). Algorithm 1.
fn chance_of_exp(of: u128, among: u128, uniform: &mut impl Uniform) -> Result<bool, NoiseError> {
    for _ in 0..of / among {
        if !chance_of_exp_below_one(1, 1, uniform)? {
            return Ok(false);
        }
    }
    chance_of_exp_below_one(of % among, among, uniform)
}

/// A number with P[x] ∝ exp(-|x| / scale). Algorithm 2 with t = scale, s = 1; the sign is drawn first.
fn discrete_laplace(scale: u64, uniform: &mut impl Uniform) -> Result<i64, NoiseError> {
    loop {
        let negative = uniform.chance(1, 2)?;
        let mut low = uniform.below(scale.into())?;
        while !chance_of_exp_below_one(low, scale.into(), uniform)? {
            low = uniform.below(scale.into())?;
        }
        let mut high: u128 = 0;
        while chance_of_exp_below_one(1, 1, uniform)? {
            high += 1;
        }
        let magnitude = low + u128::from(scale) * high;
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
        self.sample_by(&mut Cut(words))
    }

    fn sample_by(&self, uniform: &mut impl Uniform) -> Result<i64, NoiseError> {
        let (variance, scale) = (u128::from(self.variance), u128::from(self.scale));
        loop {
            let y = discrete_laplace(self.scale, uniform)?;
            // exp(-(|y| - σ²/t)² / 2σ²) = exp(-(|y| t - σ²)² / (2 σ² t²))
            let distance = u128::from(y.unsigned_abs())
                .saturating_mul(scale)
                .abs_diff(variance);
            // beyond 2^63 it is refused with a chance of 1 - e^-(2^20): as good as always
            let Some(of) = distance.checked_mul(distance) else {
                continue;
            };
            if chance_of_exp(of, 2 * variance * scale * scale, uniform)? {
                return Ok(y);
            }
        }
    }
}

#[cfg(test)]
mod tests;
