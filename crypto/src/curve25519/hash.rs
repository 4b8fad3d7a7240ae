//! `hash_to_field` of RFC 9380 (section 5.2) for one element, with `expand_message_xmd` over SHA-512.

use sha2::{Digest, Sha512};

/// Bytes asked of the expander: ceil((255 + 128) / 8).
const LENGTH: u16 = 48;
/// Input block of SHA-512.
const BLOCK: usize = 128;

/// The hash under one domain tag of at most 255 bytes.
#[derive(Clone, Debug)]
pub(crate) struct FieldHash {
    tag: Vec<u8>,
    /// SHA-512 after the block of zeros that every message begins with.
    begun: Sha512,
    /// What follows a message: length, a zero, the tag and its length.
    end: Vec<u8>,
}

impl FieldHash {
    /// Under this tag; `None` where it is longer.
    pub(crate) fn new(tag: Vec<u8>) -> Option<Self> {
        let length = u8::try_from(tag.len()).ok()?;
        let mut end = LENGTH.to_be_bytes().to_vec();
        end.push(0);
        end.extend_from_slice(&tag);
        end.push(length);
        let begun = Sha512::new().chain_update([0; BLOCK]);
        Some(Self { tag, begun, end })
    }

    /// The domain tag.
    pub(crate) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// The field element of a message: little endian, below 2^255, perhaps not below p.
    pub(crate) fn to_field(&self, message: &[u8]) -> [u8; 32] {
        let first = self
            .begun
            .clone()
            .chain_update(message)
            .chain_update(&self.end)
            .finalize();
        // the last block's input ends with a 1 and the tag, where the first had a 0
        let tag_and_length = self.end.get(3..).unwrap_or_default();
        let bytes = Sha512::new()
            .chain_update(first)
            .chain_update([1])
            .chain_update(tag_and_length)
            .finalize();
        let mut wide = [0; 48];
        for (to, from) in wide.iter_mut().zip(bytes) {
            *to = from;
        }
        reduce(wide)
    }
}

/// A big-endian number of 384 bits, by 2^255 = 19 made one of 255 bits.
fn reduce(wide: [u8; 48]) -> [u8; 32] {
    let mut words = [0u64; 6];
    let (chunks, _) = wide.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(chunks.iter().rev()) {
        *word = u64::from_be_bytes(*chunk);
    }
    let [w0, w1, w2, w3, w4, w5] = words;
    let low = [w0, w1, w2, w3 & (u64::MAX >> 1)];
    // bits 255 to 383
    let high = [w3 >> 63 | w4 << 1, w4 >> 63 | w5 << 1, w5 >> 63, 0];
    let (folded, top) = add_multiple(low, high);
    // at most 2^255 + 2^134: once more, and then it is below 2^255
    let (folded, _) = add_multiple(folded, [top, 0, 0, 0]);
    let mut out = [0; 32];
    for (to, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(folded) {
        *to = word.to_le_bytes();
    }
    out
}

/// `low + 19 high`, as its low 255 bits and what is above them.
fn add_multiple(low: [u64; 4], high: [u64; 4]) -> ([u64; 4], u64) {
    let mut carry = 0u128;
    let mut out = [0; 4];
    for ((o, l), h) in out.iter_mut().zip(low).zip(high) {
        let sum = u128::from(l) + 19 * u128::from(h) + carry;
        *o = sum as u64; // its low word
        carry = sum >> 64;
    }
    let [.., top] = &mut out;
    let above = *top >> 63;
    *top &= u64::MAX >> 1;
    (out, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9380 appendix J.4.2: the field element u[0] of each message.
    #[test]
    fn hashes_as_rfc_9380() {
        let tag = b"QUUX-V01-CS02-with-curve25519_XMD:SHA-512_ELL2_NU_".to_vec();
        let hash = FieldHash::new(tag).unwrap();
        let vectors = [
            (
                "",
                "608d892b641f0328523802a6603427c26e55e6f27e71a91a478148d45b5093cd",
            ),
            (
                "abc",
                "46f5b22494bfeaa7f232cc8d054be68561af50230234d7d1d63d1d9abeca8da5",
            ),
            (
                "abcdef0123456789",
                "235fe40c443766ce7e18111c33862d66c3b33267efa50d50f9e8e5d252a40aaa",
            ),
        ];
        let p = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
        for (message, want) in vectors {
            let mut got = hash.to_field(message.as_bytes());
            got.reverse();
            let hex: String = got.iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, want, "message {message}");
            assert!(hex.as_str() < p);
        }
    }

    #[test]
    fn numbers_are_reduced() {
        let mut wide = [0xff; 48];
        // 2^384 - 1 = 19 * 2^129 - 1 modulo p
        let mut want = [0u8; 32];
        want[..16].fill(0xff);
        (want[16], want[17]) = (0x25, 0);
        assert_eq!(reduce(wide), want);
        wide.fill(0);
        wide[16] = 0x80; // 2^255
        want.fill(0);
        want[0] = 19;
        assert_eq!(reduce(wide), want);
    }

    #[test]
    fn a_tag_must_fit_a_byte() {
        assert!(FieldHash::new(vec![1; 255]).is_some());
        assert!(FieldHash::new(vec![1; 256]).is_none());
    }
}
