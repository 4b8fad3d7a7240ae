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

use crate::{
    field61::{P, add, of_signed, reduce, sub, uniform},
    prg::{Label, Prg},
};

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
        Self([add(a, c), add(b, d)])
    }

    /// The tag of a difference.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let [a, b] = self.0;
        let [c, d] = other.0;
        Self([sub(a, c), sub(b, d)])
    }
}

impl SumKey {
    /// The key expanded from this secret, which serves nothing else.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Prg::new(secret))
    }

    /// The tag of `values`, words that stand for signed integers.
    pub fn tag(&self, values: &[u64]) -> Tag {
        self.of(values, |word| of_signed(word as i64))
    }

    /// The tag of elements of the field.
    pub fn tag_of_elements(&self, values: &[u64]) -> Tag {
        self.of(values, |element| element)
    }

    fn of(&self, values: &[u64], element: impl Fn(u64) -> u64) -> Tag {
        let mut keys = [0u64; 2 * BATCH];
        let mut sums = [0u64; 2];
        for (batch, position) in values.chunks(BATCH).zip((0u64..).step_by(2 * BATCH)) {
            self.0.fill(Label::request(0, 0), position, &mut keys);
            let (pairs, _) = keys.as_chunks::<2>();
            for (value, pair) in batch.iter().zip(pairs) {
                let x = u128::from(element(*value));
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
    fn tags_are_pairs_of_elements() {
        let tag = Tag([P - 1, 3]);
        assert_eq!(Tag::from_bytes(tag.to_bytes()), Some(tag));
        assert_eq!(Tag::from_bytes(Tag([0, P]).to_bytes()), None);
        let key = SumKey::new(&[9; 32]);
        let words = [5, (-7i64) as u64];
        assert_eq!(key.tag(&words), key.tag_of_elements(&[5, P - 7]));
    }
}
