//! Curve25519 by u-coordinates: hash a string to the curve, mask it with a secret scalar.
//!
//! `mask(a, mask(b, P)) = mask(b, mask(a, P))`: two keys commute, which is all that matching needs.
//!
//! Security: under the decisional Diffie-Hellman assumption on Curve25519 and with the hash as a
//! random oracle, masked values of distinct strings are indistinguishable from independent random
//! points of the prime-order subgroup to whoever does not hold the key. Every value is on the
//! curve, never on its twist. (Taking a hash itself as a u-coordinate puts half of all strings on
//! the twist; masking preserves which, so one bit of every string's hash would be visible.) One
//! Elligator map covers about half of the group; the image is efficiently recognisable, so the
//! assumption restricted to it costs a factor of two and nothing else.
//!
//! Sources: RFC 9380, suite `curve25519_XMD:SHA-512_ELL2_NU_` (`encode_to_curve`), u-coordinate
//! only; RFC 7748, X25519 (clamped scalars, canonical output).
//!
//! All batch functions take slices of fixed-size encodings and fix every output byte, so which
//! [`Backend`] does the arithmetic shows in no message.

use std::fmt;

use rand::{Rng, rngs::SysRng};
use rand_core::UnwrapErr;
use rayon::prelude::*;
use zeroize::ZeroizeOnDrop;

pub use crate::curve25519::Backend;
use crate::curve25519::{self, FieldHash, portable};

/// Bytes of one encoded u-coordinate.
pub const POINT_BYTES: usize = curve25519::BYTES;

/// Items handed to a worker thread at a time.
const CHUNK: usize = 512;

/// A value that is not a usable point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError {
    /// The 32 bytes are not the one encoding of a field element.
    #[error("item {index} is not a canonical u-coordinate (below 2^255 - 19)")]
    NotCanonical {
        /// Position in the batch.
        index: usize,
    },
    /// The point has small order: masking sends it to zero whatever the key.
    #[error("item {index} is a point of small order, which no masked id can be")]
    SmallOrder {
        /// Position in the batch.
        index: usize,
    },
    /// A domain name is empty or too long for RFC 9380.
    #[error("domain name of {len} bytes, expected 1 to {max}")]
    DomainLength {
        /// Length given.
        len: usize,
        /// Longest allowed.
        max: usize,
    },
}

/// A domain-separation tag: protocol, version, suite and session. Equal strings hash to unrelated
/// points under different domains.
#[derive(Debug, Clone)]
pub struct Domain(FieldHash);

impl Domain {
    const SUITE: &str = "/curve25519_XMD:SHA-512_ELL2_NU_/";
    const MAX_PROTOCOL: usize = 128;

    /// The domain of one session of a protocol. `session` is public and equal at all parties, and
    /// differs between jobs.
    ///
    /// # Errors
    /// [`GroupError::DomainLength`] when `protocol` is empty or longer than 128 bytes.
    pub fn new(protocol: &str, version: u16, session: &[u8; 32]) -> Result<Self, GroupError> {
        let length = || GroupError::DomainLength {
            len: protocol.len(),
            max: Self::MAX_PROTOCOL,
        };
        if protocol.is_empty() || protocol.len() > Self::MAX_PROTOCOL {
            return Err(length());
        }
        let mut tag = format!("paripassu/{protocol}/v{version}{}", Self::SUITE).into_bytes();
        tag.extend_from_slice(session);
        FieldHash::new(tag).map(Self).ok_or_else(length)
    }

    /// The u-coordinate that `message` hashes to: `encode_to_curve` of RFC 9380, cofactor cleared.
    /// Unmasked: never send it.
    pub fn encode(&self, message: &[u8]) -> [u8; POINT_BYTES] {
        portable::encode(&self.0, message)
            .to_montgomery()
            .to_bytes()
    }
}

/// A secret scalar, used for one session and then cleared from memory.
#[derive(ZeroizeOnDrop)]
pub struct MaskKey([u8; 32]);

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(secret)")
    }
}

impl MaskKey {
    /// A fresh key from the operating system's generator.
    ///
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn random() -> Self {
        let mut key = Self([0; 32]);
        UnwrapErr(SysRng).fill_bytes(&mut key.0);
        key
    }

    /// Hashes each message to the curve and masks it. Bytes are those of
    /// `mask(encode(message))`, one by one.
    pub fn encode_and_mask<M: AsRef<[u8]> + Sync>(
        &self,
        domain: &Domain,
        messages: &[M],
    ) -> Vec<[u8; POINT_BYTES]> {
        let mut out = vec![[0; POINT_BYTES]; messages.len()];
        out.par_chunks_mut(CHUNK)
            .zip(messages.par_chunks(CHUNK))
            .for_each(|(out, messages)| {
                Backend::detect().encode_and_multiply(&self.0, &domain.0, messages, out);
            });
        out
    }

    /// Masks points that a peer sent. Points of the twist need no check: the curve is
    /// twist-secure and the key is clamped and used for one session.
    ///
    /// # Errors
    /// The lowest position whose bytes are not canonical or whose image is zero (RFC 7748,
    /// section 6.1: the peer sent a point of small order).
    pub fn mask(&self, points: &[[u8; POINT_BYTES]]) -> Result<Vec<[u8; POINT_BYTES]>, GroupError> {
        if let Some(index) = points.iter().position(|p| !is_canonical(p)) {
            return Err(GroupError::NotCanonical { index });
        }
        let mut out = vec![[0; POINT_BYTES]; points.len()];
        out.par_chunks_mut(CHUNK)
            .zip(points.par_chunks(CHUNK))
            .for_each(|(out, points)| Backend::detect().multiply(&self.0, points, out));
        match out.iter().position(|u| *u == [0; POINT_BYTES]) {
            Some(index) => Err(GroupError::SmallOrder { index }),
            None => Ok(out),
        }
    }
}

/// Whether the bytes, little endian, are below 2^255 - 19. Peer data are public: no need for
/// constant time.
fn is_canonical(u: &[u8; POINT_BYTES]) -> bool {
    let [low, middle @ .., high] = u;
    *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|b| *b != 0xff)))
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::MontgomeryPoint;
    use sha2::{Digest, Sha256};

    use super::*;

    fn unhex(s: &str) -> [u8; 32] {
        let bytes: Vec<u8> = (0..32)
            .map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }

    fn domain(session: u8) -> Domain {
        Domain::new("test", 1, &[session; 32]).unwrap()
    }

    fn on_curve(u: &[u8; 32]) -> bool {
        MontgomeryPoint(*u).to_edwards(0).is_some()
    }

    /// RFC 9380 appendix J.4.2, P.x of each message (big endian there, little endian here).
    #[test]
    fn encodes_as_rfc_9380() {
        let tag = b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_NU_".to_vec();
        let domain = Domain(FieldHash::new(tag).unwrap());
        let q128 = format!("q128_{}", "q".repeat(128));
        let a512 = format!("a512_{}", "a".repeat(512));
        let vectors = [
            (
                "",
                "1bb913f0c9daefa0b3375378ffa534bda5526c97391952a7789eb976edfe4d08",
            ),
            (
                "abc",
                "7c22950b7d900fa866334262fcaea47a441a578df43b894b4625c9b450f9a026",
            ),
            (
                "abcdef0123456789",
                "31ad08a8b0deeb2a4d8b0206ca25f567ab4e042746f792f4b7973f3ae2096c52",
            ),
            (
                &q128,
                "027877759d155b1997d0d84683a313eb78bdb493271d935b622900459d52ceaa",
            ),
            (
                &a512,
                "5fd892c0958d1a75f54c3182a18d286efab784e774d1e017ba2fb252998b5dc1",
            ),
        ];
        for (message, x) in vectors {
            let mut want = unhex(x);
            want.reverse();
            assert_eq!(
                domain.encode(message.as_bytes()),
                want,
                "message {message:.8}"
            );
        }
    }

    /// RFC 7748 section 5.2.
    #[test]
    fn masks_as_rfc_7748() {
        let vectors = [
            (
                "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
                "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
                "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
            ),
            (
                "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
                // The RFC sets the unused top bit of this input (…93), which `mask` refuses: cleared.
                "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a413",
                "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
            ),
        ];
        for (key, u, want) in vectors {
            let got = MaskKey(unhex(key)).mask(&[unhex(u)]).unwrap();
            assert_eq!(got, [unhex(want)]);
        }
    }

    #[test]
    fn the_two_ways_to_mask_give_the_same_bytes() {
        let (key, domain) = (MaskKey::random(), domain(1));
        let ids: Vec<String> = (0..300).map(|i| format!("customer {i}")).collect();
        let encoded: Vec<_> = ids.iter().map(|id| domain.encode(id.as_bytes())).collect();
        assert_eq!(
            key.encode_and_mask(&domain, &ids),
            key.mask(&encoded).unwrap()
        );
    }

    #[test]
    fn masks_commute_and_domains_separate() {
        let (a, b, ids) = (MaskKey::random(), MaskKey::random(), ["x", "y", "z"]);
        let first = a.encode_and_mask(&domain(1), &ids);
        let second = b.encode_and_mask(&domain(1), &ids);
        assert_eq!(b.mask(&first).unwrap(), a.mask(&second).unwrap());
        let other = a.encode_and_mask(&domain(2), &ids);
        assert!(first.iter().all(|u| !other.contains(u)));
        assert!(first.iter().all(|u| !second.contains(u)));
    }

    /// The attack on hashing straight to an x-coordinate, and that it finds nothing here.
    #[test]
    fn masked_values_show_no_twist_bit() {
        let key = MaskKey::random();
        let ids: Vec<[u8; 8]> = (0..2048u64).map(u64::to_le_bytes).collect();
        let naive: Vec<[u8; 32]> = ids
            .iter()
            .map(|id| {
                let mut u: [u8; 32] = Sha256::digest(id).into();
                u[31] &= 0x3f;
                u
            })
            .collect();
        let masked = key.mask(&naive).unwrap();
        let on = naive.iter().filter(|u| on_curve(u)).count();
        assert!(
            (900..1150).contains(&on),
            "{on} of 2048 hashes on the curve"
        );
        let kept = naive.iter().zip(&masked);
        assert!(
            kept.clone().all(|(u, m)| on_curve(u) == on_curve(m)),
            "the bit survives"
        );

        let ours = key.encode_and_mask(&domain(1), &ids);
        assert_eq!(ours.iter().filter(|u| on_curve(u)).count(), ours.len());
        let twice = MaskKey::random().mask(&ours).unwrap();
        assert_eq!(twice.iter().filter(|u| on_curve(u)).count(), ours.len());
    }

    #[test]
    fn refuses_points_of_small_order() {
        // u = 0, 1, -1 and the two of order 8.
        let mut one = [0u8; 32];
        one[0] = 1;
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let order8 = [
            unhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
            unhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
        ];
        let (key, good) = (MaskKey::random(), domain(1).encode(b"x"));
        for bad in [[0; 32], one, minus_one, order8[0], order8[1]] {
            let got = key.mask(&[good, good, bad]);
            assert_eq!(got, Err(GroupError::SmallOrder { index: 2 }));
        }
    }

    #[test]
    fn refuses_a_second_encoding_of_a_point() {
        let key = MaskKey::random();
        let good = domain(1).encode(b"x");
        let mut high_bit = good;
        high_bit[31] |= 0x80;
        let mut p = [0xff; 32];
        (p[0], p[31]) = (0xed, 0x7f);
        for bad in [high_bit, p, [0xff; 32]] {
            let got = key.mask(&[good, bad]);
            assert_eq!(got, Err(GroupError::NotCanonical { index: 1 }));
        }
        let mut below = p;
        below[0] = 0xeb; // p - 2
        assert!(key.mask(&[below]).is_ok());
    }

    #[test]
    fn a_key_prints_nothing() {
        assert_eq!(format!("{:?}", MaskKey::random()), "MaskKey(secret)");
    }

    #[test]
    fn refuses_an_empty_or_long_domain() {
        assert!(Domain::new("", 1, &[0; 32]).is_err());
        assert!(Domain::new(&"p".repeat(129), 1, &[0; 32]).is_err());
        assert!(Domain::new(&"p".repeat(128), u16::MAX, &[0; 32]).is_ok());
    }
}
