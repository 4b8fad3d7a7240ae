//! Additive shares over Z_2^64 of fixed-point vectors.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ring64;

/// One holder's share of a vector of fixed-point numbers: the sum of all holders' words, modulo
/// 2^64, is the vector with `frac` fraction bits.
///
/// Shares neither copy, print nor compare; they are wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Shares {
    words: Vec<u64>,
    frac: u32,
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Shares(<{} words, {} fraction bits>)",
            self.words.len(),
            self.frac
        )
    }
}

impl Shares {
    /// Shares made of these words.
    pub fn new(words: Vec<u64>, frac: u32) -> Self {
        Self { words, frac }
    }

    /// Shares of `len` zeros.
    pub fn zeros(len: usize, frac: u32) -> Self {
        Self {
            words: vec![0; len],
            frac,
        }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Fraction bits.
    pub fn frac(&self) -> u32 {
        self.frac
    }

    /// This holder's words.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// This holder's words, to change.
    pub fn words_mut(&mut self) -> &mut [u64] {
        &mut self.words
    }

    /// The words themselves.
    pub fn into_words(mut self) -> Vec<u64> {
        std::mem::take(&mut self.words)
    }

    /// A second copy: shares are duplicated on purpose only.
    pub fn duplicate(&self) -> Self {
        Self {
            words: self.words.clone(),
            frac: self.frac,
        }
    }

    /// The values at `range`.
    ///
    /// # Panics
    /// If the range is not within the vector.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            words: self.words[range].to_vec(),
            frac: self.frac,
        }
    }

    /// Adds `other`, which must have the same length and point.
    ///
    /// # Panics
    /// If it has not: a mistake in the protocol, never caused by a peer.
    pub fn add(&mut self, other: &Shares) {
        self.check(other);
        ring64::add_assign(&mut self.words, &other.words);
    }

    /// Subtracts `other`, which must have the same length and point.
    ///
    /// # Panics
    /// If it has not: a mistake in the protocol, never caused by a peer.
    pub fn sub(&mut self, other: &Shares) {
        self.check(other);
        ring64::sub_assign(&mut self.words, &other.words);
    }

    /// The negated values.
    #[must_use]
    pub fn negated(mut self) -> Self {
        self.words.iter_mut().for_each(|w| *w = w.wrapping_neg());
        self
    }

    /// The same values with more fraction bits: exact and local.
    ///
    /// # Panics
    /// If `frac` is less than now.
    #[must_use]
    pub fn widened(mut self, frac: u32) -> Self {
        let by = frac - self.frac;
        self.words.iter_mut().for_each(|w| *w = w.wrapping_shl(by));
        self.frac = frac;
        self
    }

    fn check(&self, other: &Shares) {
        assert_eq!(
            (self.len(), self.frac),
            (other.len(), other.frac),
            "shares of one shape and one point"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_shape_only() {
        let s = Shares::new(vec![0xDEAD_BEEF, 7], 20);
        assert_eq!(format!("{s:?}"), "Shares(<2 words, 20 fraction bits>)");
    }

    #[test]
    fn arithmetic_wraps() {
        let mut a = Shares::new(vec![u64::MAX, 5], 3);
        a.add(&Shares::new(vec![2, 1], 3));
        assert_eq!(a.words(), [1, 6]);
        assert_eq!(
            a.negated().widened(5).words(),
            [(u64::MAX) << 2, (6u64.wrapping_neg()) << 2]
        );
    }
}
