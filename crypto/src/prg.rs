//! Pseudo-random streams that two nodes can expand from one seed: AES-128 in counter mode.
//!
//! A stream is addressed by `(label, position)`, so any part of any stream can be made again
//! without storing it. Both ends must use a label for one purpose only: [`Label`] builds labels
//! that cannot meet.
//!
//! Source: NIST SP 800-38A section 6.5 (counter mode); the counter block is label (8 bytes, big
//! endian) then block number (8 bytes, big endian), so streams of two labels never share a block.

use std::fmt;

use aes::{
    Aes128, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroize;

/// Blocks encrypted per call: enough to keep the cipher's pipeline full, few enough for the first-level
/// cache.
const BATCH: usize = 512;

/// The address of one stream under a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(u64);

impl Label {
    const MATRIX: u64 = 1 << 63;

    /// The mask of the matrix registered as number `id`.
    pub fn matrix(id: u32) -> Self {
        Self(Self::MATRIX | u64::from(id))
    }

    /// Part `part` of the correlation made for request number `request`.
    pub fn request(request: u32, part: u8) -> Self {
        Self(u64::from(request) << 8 | u64::from(part))
    }
}

/// A seed shared by two nodes, expanded by AES-128 in counter mode.
pub struct Prg {
    cipher: Aes128,
}

impl fmt::Debug for Prg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prg")
    }
}

impl Prg {
    /// A generator keyed from a 32-byte secret that both ends hold.
    pub fn new(secret: &[u8; 32]) -> Self {
        let mut key = [0u8; 16];
        // HKDF cannot fail for 16 bytes of output; an all-zero key is never used silently because
        // the error arm is unreachable for lengths below 255 * 32.
        if Hkdf::<Sha256>::new(Some(b"paripassu/v1 prg"), secret)
            .expand(b"aes-128-ctr", &mut key)
            .is_err()
        {
            unreachable!("HKDF-SHA256 gives up to 8160 bytes");
        }
        let cipher = Aes128::new(&key.into());
        key.zeroize();
        Self { cipher }
    }

    /// Fills `out` with the words of stream `label` from word `position` on.
    pub fn fill(&self, label: Label, position: u64, out: &mut [u64]) {
        let odd = usize::from(position % 2 == 1 && !out.is_empty());
        let (first, rest) = out.split_at_mut(odd);
        let mut block_no = position / 2;
        if let [first] = first {
            [_, *first] = self.block(label, block_no);
            block_no += 1;
        }
        let (pairs, last) = rest.as_chunks_mut::<2>();
        for batch in pairs.chunks_mut(BATCH) {
            for (pair, i) in batch.iter_mut().zip(block_no..) {
                *pair = [label.0.to_be(), i.to_be()];
            }
            block_no += batch.len() as u64;
            self.encrypt(batch);
        }
        if let [last] = last {
            [*last, _] = self.block(label, block_no);
        }
    }

    /// Adds the words of stream `label` from word `position` on to `out`, modulo 2^64.
    pub fn add(&self, label: Label, position: u64, out: &mut [u64]) {
        self.each(label, position, out, |o, w| *o = o.wrapping_add(w));
    }

    /// Subtracts the words of stream `label` from word `position` on from `out`, modulo 2^64.
    pub fn subtract(&self, label: Label, position: u64, out: &mut [u64]) {
        self.each(label, position, out, |o, w| *o = o.wrapping_sub(w));
    }

    /// Keystream in a buffer that stays in the first-level cache, then `f` of it.
    fn each(&self, label: Label, position: u64, out: &mut [u64], f: impl Fn(&mut u64, u64)) {
        let mut stream = [0u64; 2 * BATCH];
        for (out, at) in out
            .chunks_mut(2 * BATCH)
            .zip((position..).step_by(2 * BATCH))
        {
            let (stream, _) = stream.split_at_mut(out.len());
            self.fill(label, at, stream);
            out.iter_mut()
                .zip(stream.iter())
                .for_each(|(o, w)| f(o, *w));
        }
        stream.zeroize();
    }

    /// One block of the stream.
    fn block(&self, label: Label, block_no: u64) -> [u64; 2] {
        let mut one = [[label.0.to_be(), block_no.to_be()]];
        self.encrypt(&mut one);
        let [one] = one;
        one
    }

    /// Encrypts counter blocks in place, into words.
    fn encrypt(&self, blocks: &mut [[u64; 2]]) {
        let bytes: &mut [[u8; 16]] = bytemuck::cast_slice_mut(blocks);
        self.cipher
            .encrypt_blocks(Block::cast_slice_from_core_mut(bytes));
        if cfg!(target_endian = "big") {
            for word in blocks.as_flattened_mut() {
                *word = u64::from_le(*word);
            }
        }
    }

    /// The first `len` words of stream `label`.
    pub fn words(&self, label: Label, len: usize) -> Vec<u64> {
        let mut v = vec![0; len];
        self.fill(label, 0, &mut v);
        v
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_stream_equals_the_whole() {
        let g = Prg::new(&[7; 32]);
        let l = Label::request(3, 1);
        let whole = g.words(l, 1001);
        for (at, len) in [(0, 1), (1, 1), (1, 300), (2, 17), (127, 130), (998, 3)] {
            let mut part = vec![0; len];
            g.fill(l, at, &mut part);
            assert_eq!(
                part,
                whole[at as usize..at as usize + len],
                "from {at}, {len} words"
            );
        }
    }

    #[test]
    fn a_stream_is_added_and_taken_away() {
        let (g, l) = (Prg::new(&[7; 32]), Label::request(3, 1));
        let mut sum: Vec<u64> = (0..3001).map(|i| i * i).collect();
        let before = sum.clone();
        g.add(l, 5, &mut sum);
        let stream = g.words(l, 3006);
        let expected = before.iter().zip(&stream[5..]);
        assert!(
            expected
                .zip(&sum)
                .all(|((b, w), s)| b.wrapping_add(*w) == *s)
        );
        g.subtract(l, 5, &mut sum);
        assert_eq!(sum, before);
    }

    #[test]
    fn labels_and_seeds_give_unrelated_streams() {
        let (a, b) = (Prg::new(&[1; 32]), Prg::new(&[2; 32]));
        let labels = [
            Label::request(1, 0),
            Label::request(0, 1),
            Label::matrix(0),
            Label::matrix(1),
        ];
        let mut seen = std::collections::HashSet::new();
        for g in [&a, &b] {
            for l in labels {
                assert!(g.words(l, 64).into_iter().all(|w| seen.insert(w)));
            }
        }
    }

    #[test]
    fn the_stream_is_aes_128_in_counter_mode() {
        // made with Python: HKDF-SHA256 (salt "paripassu/v1 prg", info "aes-128-ctr") of 32 zero
        // bytes, then AES-128-ECB of the counter block label 0x0305, block 0
        let g = Prg::new(&[0; 32]);
        let got = g.words(Label::request(3, 5), 2);
        assert_eq!(got, VECTOR);
    }

    const VECTOR: [u64; 2] = [0x6a7e93e36aabad36, 0xa9f95bf8811dede9];
}
