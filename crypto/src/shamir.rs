//! Shares of a 32-byte secret of which any `threshold` give it back and fewer say nothing.
//!
//! Source: Shamir, "How to share a secret", CACM 22(11), 1979, byte by byte over GF(2^8) with the
//! polynomial x^8 + x^4 + x^3 + x + 1. Holder i (from 0) has the point x = i + 1, so there are at most
//! 255 holders. Points are public; secrets, shares and coefficients are only ever multiplied by public
//! points, eight bytes at a time, without a table or a branch on what they are.

use std::fmt;

use rand::{TryRng, rngs::SysRng};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Most holders of one secret.
pub const MAX_HOLDERS: usize = 255;

/// Bytes of a secret and of each share.
pub const SHARE_BYTES: usize = 32;

/// Why a secret cannot be shared or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShamirError {
    /// A threshold that the holders cannot reach, or none.
    #[error(
        "{threshold} of {holders} shares to give a secret back: expected 1 to {holders}, and at most {MAX_HOLDERS} holders"
    )]
    Threshold {
        /// Shares needed.
        threshold: usize,
        /// Shares made.
        holders: usize,
    },
    /// The same holder twice, or one that cannot be.
    #[error("holder {holder} is named twice or beyond the {MAX_HOLDERS}th")]
    Holder {
        /// Its position, from 0.
        holder: usize,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
}

/// One holder's share, or a secret: wiped when dropped, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Share([u64; 4]);

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Share(secret)")
    }
}

impl Share {
    /// The share with these bytes.
    pub fn from_bytes(bytes: &[u8; SHARE_BYTES]) -> Self {
        let (chunks, _) = bytes.as_chunks::<8>();
        let mut words = [0; 4];
        words
            .iter_mut()
            .zip(chunks)
            .for_each(|(w, c)| *w = u64::from_le_bytes(*c));
        Self(words)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; SHARE_BYTES]> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        let (chunks, _) = bytes.as_chunks_mut::<8>();
        chunks
            .iter_mut()
            .zip(self.0)
            .for_each(|(c, w)| *c = w.to_le_bytes());
        bytes
    }

    fn random() -> Result<Self, ShamirError> {
        let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
        SysRng
            .try_fill_bytes(bytes.as_mut())
            .map_err(|_| ShamirError::Randomness)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// `self * x + other` in every byte.
    fn times_plus(&mut self, x: u8, other: &Self) {
        for (w, o) in self.0.iter_mut().zip(other.0) {
            *w = times(*w, x) ^ o;
        }
    }
}

/// Eight field elements times a public one.
fn times(mut a: u64, x: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let mut product = 0;
    for bit in 0..8 {
        let mask = u64::from((x >> bit) & 1).wrapping_neg();
        product ^= a & mask;
        let carry = (a >> 7) & LOW;
        a = ((a & (0x7f * LOW)) << 1) ^ (carry * 0x1b);
    }
    product
}

/// The same for two public elements.
fn mul(a: u8, b: u8) -> u8 {
    times(a.into(), b) as u8
}

/// 1 / a = a^254; 0 for 0.
fn inverse(a: u8) -> u8 {
    let square = |x| mul(x, x);
    let (mut power, mut product) = (a, 1);
    for _ in 0..7 {
        power = square(power);
        product = mul(product, power);
    }
    product
}

/// Splits a secret into shares for holders 0, 1, …, `holders` - 1.
///
/// # Errors
/// [`ShamirError`].
pub fn split(
    secret: &[u8; SHARE_BYTES],
    threshold: usize,
    holders: usize,
) -> Result<Vec<Share>, ShamirError> {
    let random = (1..threshold).map(|_| Share::random());
    let random = random.collect::<Result<Vec<_>, _>>()?;
    split_with(secret, threshold, holders, &random)
}

/// The same with the polynomial's other coefficients given, from the first power up.
fn split_with(
    secret: &[u8; SHARE_BYTES],
    threshold: usize,
    holders: usize,
    coefficients: &[Share],
) -> Result<Vec<Share>, ShamirError> {
    if threshold == 0 || threshold > holders || holders > MAX_HOLDERS {
        return Err(ShamirError::Threshold { threshold, holders });
    }
    let secret = Share::from_bytes(secret);
    let points = (1..=u8::MAX).take(holders);
    let at = |x: u8| {
        let mut sum = Share([0; 4]);
        for coefficient in coefficients.iter().rev() {
            sum.times_plus(x, coefficient);
        }
        sum.times_plus(x, &secret);
        sum
    };
    Ok(points.map(at).collect())
}

/// How shares of certain holders are put together: made once for many secrets.
#[derive(Debug, Clone)]
pub struct Interpolation(Vec<u8>);

impl Interpolation {
    /// For shares of these holders, as many as the threshold.
    ///
    /// # Errors
    /// When a holder is named twice or cannot be.
    pub fn new(holders: &[usize]) -> Result<Self, ShamirError> {
        let mut points = Vec::with_capacity(holders.len());
        for &holder in holders {
            let x = u8::try_from(holder + 1).map_err(|_| ShamirError::Holder { holder })?;
            if points.contains(&x) {
                return Err(ShamirError::Holder { holder });
            }
            points.push(x);
        }
        let weight = |x: &u8| {
            let others = points.iter().filter(|y| *y != x);
            // x_j / (x_j - x_i); addition is exclusive-or
            others.fold(1, |w, y| mul(w, mul(*y, inverse(y ^ x))))
        };
        Ok(Self(points.iter().map(weight).collect()))
    }

    /// The secret that these shares, in the order of the holders, are of. Shares of another threshold, or
    /// altered ones, give another secret: whoever uses it checks it.
    pub fn secret(&self, shares: &[&Share]) -> Zeroizing<[u8; SHARE_BYTES]> {
        debug_assert_eq!(shares.len(), self.0.len());
        let mut sum = Share([0; 4]);
        for (share, weight) in shares.iter().zip(&self.0) {
            for (s, w) in sum.0.iter_mut().zip(share.0) {
                *s ^= times(w, *weight);
            }
        }
        sum.to_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(shares: &[Share], holders: &[usize]) -> [u8; 32] {
        let chosen: Vec<&Share> = holders.iter().map(|h| &shares[*h]).collect();
        *Interpolation::new(holders).unwrap().secret(&chosen)
    }

    #[test]
    fn any_threshold_of_shares_gives_the_secret_and_fewer_do_not() {
        let secret = std::array::from_fn(|i| (7 * i + 3) as u8);
        for (t, n) in [(1, 1), (2, 3), (4, 5), (7, 10), (3, 255)] {
            let shares = split(&secret, t, n).unwrap();
            let last: Vec<usize> = (n - t..n).rev().collect();
            let first: Vec<usize> = (0..t).collect();
            assert_eq!(back(&shares, &first), secret);
            assert_eq!(back(&shares, &last), secret);
            if t > 1 {
                assert_ne!(back(&shares, &first[1..]), secret);
            }
        }
    }

    #[test]
    fn fewer_shares_than_the_threshold_are_uniform() {
        // one byte's shares at two of three points of a polynomial of degree two: every pair of values
        // belongs to every secret exactly once
        let mut seen = std::collections::HashSet::new();
        for (a, b) in (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| (a, b))) {
            let coefficients = [a, b].map(|c| Share::from_bytes(&[c; 32]));
            let shares = split_with(&[99; 32], 3, 3, &coefficients).unwrap();
            let pair = [&shares[0], &shares[1]].map(|s| s.to_bytes()[0]);
            assert!(seen.insert(pair));
        }
        assert_eq!(seen.len(), 1 << 16);
    }

    #[test]
    fn the_field_is_the_one_of_aes() {
        // FIPS 197, sections 4.2 and 4.2.1
        assert_eq!(mul(0x57, 0x83), 0xc1);
        assert_eq!(mul(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(mul(a, inverse(a)), 1);
        }
    }

    #[test]
    fn shares_are_the_ones_of_a_second_implementation() {
        // a polynomial with byte j of its coefficients j, 2j + 1 and 255 - j, evaluated in Python
        let coefficient = |f: fn(u8) -> u8| -> [u8; 32] { std::array::from_fn(|j| f(j as u8)) };
        let secret = coefficient(|j| j);
        let others = [coefficient(|j| 2 * j + 1), coefficient(|j| 255 - j)];
        let others = others.map(|c| Share::from_bytes(&c));
        let shares = split_with(&secret, 3, 201, &others).unwrap();
        let got = |holder: usize| {
            let bytes = shares[holder].to_bytes();
            [bytes[0], bytes[1], bytes[30], bytes[31]]
        };
        assert_eq!(VECTORS.map(|(holder, _)| got(holder)), VECTORS.map(|v| v.1));
    }

    const VECTORS: [(usize, [u8; 4]); 3] = [
        (0, [0xfe, 0xfc, 0xc2, 0xc0]),
        (2, [0x2d, 0x2f, 0x11, 0x13]),
        (200, [0xcd, 0x35, 0x73, 0x8b]),
    ];

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(split(&[0; 32], 4, 3).is_err());
        assert!(split(&[0; 32], 0, 3).is_err());
        assert!(split(&[0; 32], 3, 256).is_err());
        assert!(Interpolation::new(&[1, 2, 1]).is_err());
        assert!(Interpolation::new(&[255]).is_err());
        assert_eq!(format!("{:?}", Share([1; 4])), "Share(secret)");
    }
}
