//! Vector oblivious linear evaluation over GF(2^128), "silent": long correlations from short messages.
//!
//! The *holder* has `Δ` and gets a vector `B`; the *chooser* gets vectors `A` and `C`, random but for
//!
//! ```text
//! C = B + A Δ        in every place, over GF(2^128)
//! ```
//!
//! Neither learns anything else of the other's. One [`forest`] makes one such vector:
//!
//! 1. The holder grows trees of pseudo-random leaves; by one transfer a level the chooser gets every
//!    leaf of each tree but one, at a place of its own choice that the holder does not learn.
//! 2. From a short correlation `c_i = b_i + β_i Δ` (one element a tree), the missing leaf comes as
//!    `leaf + β_i Δ`. So holder and chooser have `w = v + e Δ` with `e` zero but for one `β_i` a tree.
//! 3. A check over all leaves shows whether the holder's trees are what it says.
//! 4. A public linear [`code`] compresses both: `A = e H`, `C = w H`, `B = v H`. That `A` looks
//!    random is the assumption (dual LPN, regular noise).
//!
//! Steps 1 and 2 are the messages, 3 and 4 are local but for 48 bytes, and can wait.
//!
//! # Adversary
//! Active, either side, as long as the transfers and short correlations are ([`crate::ot`]).
//! *Holder*: trees that are not consistent change leaves at places it can choose; the check passes only
//! if none of them was at a place of the chooser's, so a run that does not end tells it no more than
//! that guess, which the assumption takes into account (one bit on average). *Chooser*: it can choose
//! `e` and its outputs, and nothing else; guesses of bits of `Δ` as in [`crate::ot`].
//!
//! # Source
//! E. Boyle et al., "Efficient two-round OT extension and silent non-interactive secure computation",
//! CCS 2019 (ePrint 2019/1159); the check for a single leaf over a field by C. Weng et al.,
//! "Wolverine", IEEE S&P 2021 (ePrint 2020/925), figure 7, batched over all trees; the code by S.
//! Raghuraman, P. Rindal, T. Tanguy, "Expand-convolute codes for pseudorandom correlation generators",
//! CRYPTO 2023 (ePrint 2023/882). Departures: the check's coefficients are the powers of one
//! element; the holder's side of the comparison is a hash (as a commitment) that only the chooser
//! compares; the vectors that feed the trees come from the same `Δ` as the transfers.

pub mod code;
pub mod forest;
mod ggm;

pub use forest::{ChooserForest, HolderForest, VoleError};

use crate::fixed_aes::FixedKey;

/// Version of the parameters below: both ends must have the same.
pub const PARAMETERS: u16 = 1;

/// Least number of noise positions. With a relative distance of 0.15 of the code, the bias of any
/// linear test is at most `(1 - 2 · 0.15)^256 < 2^-131`. The distance estimated for our weight of 21
/// is 0.2 (0.15 is that of weight 7); the number is for 0.15.
///
/// Source: ePrint 2023/882, section 5; the weight and window are its conservative choice. Regular noise at
/// rate 1/2 is far from where the algebraic attacks of ePrint 2023/176 and 2025/1476 gain (they need
/// more samples a position); against guessing noise-free positions, each of the 256 blocks gives one
/// bit or more.
pub const NOISE: usize = 256;

/// Least length of a vector: the distance of the code is argued for long codes.
pub const LEAST: usize = 1 << 14;

/// Size of one forest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lpn {
    /// Elements of the vectors made.
    outputs: usize,
    /// Levels of a tree.
    depth: u32,
    /// Trees, each with one noise position.
    trees: usize,
}

impl Lpn {
    /// For vectors of at least `outputs` elements, rounded up to what the code takes.
    pub fn new(outputs: usize) -> Self {
        let outputs = outputs.max(LEAST).next_multiple_of(code::STEP);
        // rate 1/2: twice as many leaves as outputs
        let leaves = 2 * outputs;
        let depth = (leaves / NOISE).ilog2();
        let trees = leaves.div_ceil(1 << depth);
        Self {
            outputs,
            depth,
            trees,
        }
    }

    /// Elements of the vectors made.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Oblivious transfers needed: one a level of each tree.
    pub fn transfers(&self) -> usize {
        self.trees * self.depth as usize
    }

    /// Elements of the short correlation needed: one a tree and one for the check.
    pub fn seeds(&self) -> usize {
        self.trees + 1
    }

    /// Elements of the holder's message.
    pub fn message(&self) -> usize {
        2 * self.transfers() + self.trees
    }

    fn leaves(&self) -> usize {
        self.trees << self.depth
    }
}

/// The public functions of a run: two permutations for the trees, the code, a key for hashes.
#[derive(Clone, Debug)]
pub struct Public {
    tree: [FixedKey; 2],
    code: code::Code,
    hash: [u8; 32],
}

impl Public {
    /// Functions under a key that neither end chose alone.
    pub fn new(key: &[u8; 32]) -> Self {
        let derive = |what: &str| blake3::derive_key(what, key);
        let short = |what: &str| {
            let mut out = [0; 16];
            for (o, b) in out.iter_mut().zip(derive(what)) {
                *o = b;
            }
            out
        };
        let tree = [
            "paripassu vole v1 tree left",
            "paripassu vole v1 tree right",
        ];
        Self {
            tree: tree.map(|what| FixedKey::new(short(what))),
            code: code::Code::new(short("paripassu vole v1 code")),
            hash: derive("paripassu vole v1 hash"),
        }
    }

    /// Hides one transferred element: a random oracle of the row and its number.
    fn pad(&self, number: u64, row: u128) -> u128 {
        let mut input = [0; 24];
        let (head, tail) = input.split_at_mut(8);
        head.copy_from_slice(&number.to_le_bytes());
        tail.copy_from_slice(&row.to_le_bytes());
        let hash = blake3::keyed_hash(&self.hash, &input);
        hash.as_bytes()
            .first_chunk()
            .map_or(0, |b| u128::from_le_bytes(*b))
    }
}
