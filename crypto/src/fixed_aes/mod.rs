//! AES-128 under a public key as a fixed random permutation π, and the hash `π(x) + x` of it.
//!
//! Used where many blocks are hashed with one key: a length-doubling generator for trees, places
//! and values of a table. Under a public key that was drawn after the adversary fixed its inputs,
//! and with AES as an ideal cipher, `x -> π(x) + x` is a correlation-robust hash and hard to
//! invert. Source: C. Guo, J. Katz, X. Wang, Y. Yu, "Efficient and secure multiparty computation
//! from fixed-key block ciphers", ePrint 2019/074, section 7.2 (MMO).
//!
//! AES instructions are chosen at run time; the portable path is the `aes` crate. All give the
//! same words. A block's first byte is the `u128`'s lowest.

mod aesni;

use std::fmt;

use aes::{
    Aes128, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};

/// Blocks per call of the portable path.
const BATCH: usize = 64;

/// How blocks are encrypted, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// The `aes` crate.
    Portable,
    /// AES-NI.
    Aes,
    /// VAES on 512-bit vectors.
    Wide,
}

impl Path {
    /// The fastest path of this machine.
    pub fn detect() -> Self {
        aesni::detect()
    }
}

/// A public permutation.
#[derive(Clone)]
pub struct FixedKey {
    cipher: Aes128,
    rounds: [u128; 11],
    path: Path,
}

impl fmt::Debug for FixedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedKey")
            .field("path", &self.path)
            .finish()
    }
}

impl FixedKey {
    /// The permutation with this public key.
    pub fn new(key: [u8; 16]) -> Self {
        Self::with_path(key, Path::detect())
    }

    /// As [`FixedKey::new`], by at most this path.
    pub fn with_path(key: [u8; 16], path: Path) -> Self {
        Self {
            cipher: Aes128::new(&key.into()),
            rounds: round_keys(key),
            path: path.min(Path::detect()),
        }
    }

    /// `out[i] = π(x_i) + x_i`, over the shorter of the two.
    pub fn hash(&self, xs: &[u128], out: &mut [u128]) {
        if aesni::hash(self.path, &self.rounds, xs, out) {
            return;
        }
        for (xs, out) in xs.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            let mut bytes = [[0; 16]; BATCH];
            for (b, x) in bytes.iter_mut().zip(xs) {
                *b = x.to_le_bytes();
            }
            let used = bytes.get_mut(..xs.len()).unwrap_or_default();
            self.cipher
                .encrypt_blocks(Block::cast_slice_from_core_mut(used));
            for ((o, b), x) in out.iter_mut().zip(used).zip(xs) {
                *o = u128::from_le_bytes(*b) ^ x;
            }
        }
    }

    /// One block.
    pub fn hash_one(&self, x: u128) -> u128 {
        let mut out = [0];
        self.hash(&[x], &mut out);
        let [out] = out;
        out
    }

    /// The hash of the counters `from, from + 1, …`: a public pseudo-random stream.
    pub fn stream(&self, from: u128, out: &mut [u128]) {
        let mut counters = [0; BATCH];
        for (i, out) in out.chunks_mut(BATCH).enumerate() {
            let start = from + (i * BATCH) as u128;
            for (c, n) in counters.iter_mut().zip(start..) {
                *c = n;
            }
            self.hash(&counters, out);
        }
    }
}

/// `children[2 i]` and `children[2 i + 1]` are the hashes of `parents[i]` under the two keys.
///
/// # Panics
/// When there are not twice as many children as parents.
pub fn double(keys: &[FixedKey; 2], parents: &[u128], children: &mut [u128]) {
    assert_eq!(children.len(), 2 * parents.len());
    let [left, right] = keys;
    let path = left.path.min(right.path);
    if aesni::double(path, [&left.rounds, &right.rounds], parents, children) {
        return;
    }
    let mut sides = [[0; BATCH]; 2];
    for (parents, children) in parents.chunks(BATCH).zip(children.chunks_mut(2 * BATCH)) {
        for (key, side) in keys.iter().zip(&mut sides) {
            key.hash(parents, side);
        }
        let [l, r] = &sides;
        for ((pair, l), r) in children.as_chunks_mut::<2>().0.iter_mut().zip(l).zip(r) {
            *pair = [*l, *r];
        }
    }
}

/// FIPS 197, section 5.2.
fn round_keys(key: [u8; 16]) -> [u128; 11] {
    let mut words = [0_u32; 44];
    for (w, b) in words.iter_mut().zip(key.as_chunks::<4>().0) {
        *w = u32::from_le_bytes(*b);
    }
    let mut constant: u8 = 1;
    for i in 4..44 {
        let mut t = words[i - 1];
        if i % 4 == 0 {
            t = sub_word(t.rotate_right(8)) ^ u32::from(constant);
            constant = times_x(constant);
        }
        words[i] = words[i - 4] ^ t;
    }
    let mut keys = [0; 11];
    for (k, w) in keys.iter_mut().zip(words.as_chunks::<4>().0) {
        *k = w
            .iter()
            .rev()
            .fold(0, |k: u128, w| k << 32 | u128::from(*w));
    }
    keys
}

fn times_x(a: u8) -> u8 {
    a << 1 ^ if a >> 7 == 1 { 0x1b } else { 0 }
}

fn sub_word(w: u32) -> u32 {
    u32::from_le_bytes(w.to_le_bytes().map(sub_byte))
}

/// FIPS 197, section 5.1.1: inverse in GF(2^8), then an affine map. Keys here are public.
fn sub_byte(a: u8) -> u8 {
    let product = |mut a: u8, mut b: u8| {
        let mut out = 0;
        while b > 0 {
            if b & 1 == 1 {
                out ^= a;
            }
            (a, b) = (times_x(a), b >> 1);
        }
        out
    };
    let inverse = (0..254).fold(1, |power, _| product(power, a));
    (1..5).fold(inverse, |s, i| s ^ inverse.rotate_left(i)) ^ 0x63
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [Path; 3] = [Path::Portable, Path::Aes, Path::Wide];

    /// FIPS 197, appendix C.1.
    #[test]
    fn encrypts_as_fips_197() {
        let key: [u8; 16] = core::array::from_fn(|i| i as u8);
        let plain = u128::from_be_bytes(core::array::from_fn(|i| 0x11 * i as u8)).swap_bytes();
        let cipher = 0x69c4e0d86a7b0430d8cdb78070b4c55a_u128.swap_bytes();
        for path in PATHS {
            let got = FixedKey::with_path(key, path).hash_one(plain);
            assert_eq!(got, cipher ^ plain, "{path:?}");
        }
    }

    #[test]
    fn all_paths_and_lengths_give_the_same_words() {
        let keys = |path| [[1; 16], [2; 16]].map(|k| FixedKey::with_path(k, path));
        for n in [0, 1, 3, 4, 5, 16, 31, 32, 33, 64, 65, 200] {
            let xs: Vec<u128> = (0..n as u128).map(|i| ((i * i) << 60) ^ 77).collect();
            let [a, b] = keys(Path::Portable);
            for path in PATHS {
                let keys = keys(path);
                let mut got = vec![0; n];
                keys[0].hash(&xs, &mut got);
                let want: Vec<u128> = xs.iter().map(|x| a.hash_one(*x)).collect();
                assert_eq!(got, want, "{path:?}");
                let mut got = vec![0; 2 * n];
                double(&keys, &xs, &mut got);
                let want: Vec<u128> = xs
                    .iter()
                    .flat_map(|x| [a.hash_one(*x), b.hash_one(*x)])
                    .collect();
                assert_eq!(got, want, "{path:?}");
                let mut got = vec![0; n];
                keys[1].stream(900, &mut got);
                let want: Vec<u128> = (900..900 + n as u128).map(|i| b.hash_one(i)).collect();
                assert_eq!(got, want, "{path:?}");
            }
        }
    }
}
