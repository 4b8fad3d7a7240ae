//! A tag on a vector of integers that adds up as the vectors do: tags of summands give the tag of the sum.
//!
//! `tag(x) = (r · x, s · x) mod p` with p = 2^61 - 1 and r, s uniform, expanded from a key that the tagger
//! and the verifier share. Whoever alters a sum without the key must guess `r · δ` for the δ it adds: one
//! chance in p for each of the two, 2^-122. A key serves one sum, and nobody without it sees a tag in
//! the clear.
//!
//! Source: the linear one-time authenticator of Wegman and Carter (JCSS 22(3), 1981) as a homomorphic
//! MAC, as in Agrawal and Boneh, "Homomorphic MACs" (ACNS 2009, section 3), over the integers modulo p.

use std::fmt;

use crate::prg::{Label, Prg};

/// The prime 2^61 - 1.
pub const P: u64 = (1 << 61) - 1;

/// Words of keystream in hand at a time.
const BATCH: usize = 1024;

/// A key for one sum.
pub struct SumKey(Prg);

impl fmt::Debug for SumKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SumKey(secret)")
    }
}

/// Two elements of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub [u64; 2]);

/// Below 2^122, modulo p.
fn reduce(x: u128) -> u64 {
    const MASK: u128 = P as u128;
    let folded = (x & MASK) + (x >> 61);
    let folded = (folded & MASK) as u64 + (folded >> 61) as u64;
    if folded >= P { folded - P } else { folded }
}

/// A field element from 16 uniform bytes, uniform to within 2^-67.
fn uniform([a, b]: [u64; 2]) -> u64 {
    reduce((u128::from(a) << 58) ^ u128::from(b))
}

/// A signed integer in the field.
fn field(x: i64) -> u64 {
    let size = reduce(u128::from(x.unsigned_abs()));
    if x < 0 && size != 0 { P - size } else { size }
}

impl Tag {
    /// A uniform one from part 1 of request 0 of a stream: a mask for tags.
    pub fn expand(stream: &Prg) -> Self {
        let mut words = [0; 4];
        stream.fill(Label::request(0, 1), 0, &mut words);
        let [a, b, c, d] = words;
        Self([uniform([a, b]), uniform([c, d])])
    }

    /// As 16 bytes.
    pub fn to_bytes(self) -> [u8; 16] {
        let [a, b] = self.0;
        (u128::from(a) | u128::from(b) << 64).to_le_bytes()
    }

    /// From 16 bytes; none if they are no pair of field elements.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        let both = u128::from_le_bytes(bytes);
        let pair = [both as u64, (both >> 64) as u64];
        pair.iter().all(|x| *x < P).then_some(Self(pair))
    }

    /// The tag of a sum.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let [a, b] = self.0;
        let [c, d] = other.0;
        let add = |x: u64, y: u64| reduce(u128::from(x) + u128::from(y));
        Self([add(a, c), add(b, d)])
    }

    /// The tag of a difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let negative = |x: u64| if x == 0 { 0 } else { P - x };
        self.plus(Self(other.0.map(negative)))
    }
}

impl SumKey {
    /// The key expanded from this secret, which serves nothing else.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Prg::new(secret))
    }

    /// The tag of `values`, words that stand for signed integers.
    pub fn tag(&self, values: &[u64]) -> Tag {
        let mut keys = [0u64; 2 * BATCH];
        let mut sums = [0u64; 2];
        for (batch, position) in values.chunks(BATCH).zip((0u64..).step_by(2 * BATCH)) {
            self.0.fill(Label::request(0, 0), position, &mut keys);
            let (pairs, _) = keys.as_chunks::<2>();
            for (value, pair) in batch.iter().zip(pairs) {
                let x = u128::from(field(*value as i64));
                for (sum, key) in sums.iter_mut().zip(pair) {
                    *sum = reduce(x * u128::from(key & P) + u128::from(*sum));
                }
            }
        }
        Tag(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_summands_give_the_tag_of_the_sum() {
        let key = SumKey::new(&[7; 32]);
        let a: Vec<u64> = (0..3000).map(|i| (i * i - 5_000) as u64).collect();
        let b: Vec<u64> = (0..3000i64).map(|i| (7 - (i << 45)) as u64).collect();
        let sum: Vec<u64> = a.iter().zip(&b).map(|(a, b)| a.wrapping_add(*b)).collect();
        let both = key.tag(&a).plus(key.tag(&b));
        assert_eq!(key.tag(&sum), both);
        assert_eq!(both.minus(key.tag(&b)), key.tag(&a));
        assert_ne!(key.tag(&sum), key.tag(&a));
    }

    #[test]
    fn every_alteration_shows() {
        let key = SumKey::new(&[8; 32]);
        let values: Vec<u64> = (0..2100).collect();
        let tag = key.tag(&values);
        for at in [0, 1, 1023, 1024, 2099] {
            for bit in 0..64 {
                let mut other = values.clone();
                other[at] ^= 1 << bit;
                assert_ne!(key.tag(&other), tag, "word {at}, bit {bit}");
            }
        }
        let mut swapped = values.clone();
        swapped.swap(3, 4);
        assert_ne!(key.tag(&swapped), tag);
    }

    #[test]
    fn arithmetic_is_modulo_the_prime() {
        let p = u128::from(P);
        for x in [
            0,
            1,
            p - 1,
            p,
            p + 1,
            2 * p,
            p * p - 1,
            (p - 1) * (p - 1) + p - 1,
        ] {
            assert_eq!(u128::from(reduce(x)), x % p, "{x}");
        }
        assert_eq!(field(-1), P - 1);
        assert_eq!(field(i64::MIN), P - field(1 << 62) - field(1 << 62));
        let tag = Tag([P - 1, 3]);
        assert_eq!(Tag::from_bytes(tag.to_bytes()), Some(tag));
        assert_eq!(Tag::from_bytes(Tag([0, P]).to_bytes()), None);
        assert!((0..64).all(|i| uniform([u64::MAX << i, !0]) < P));
    }
}
