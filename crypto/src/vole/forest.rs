//! One long correlation: the holder's trees, and the chooser's without a leaf each.
//!
//! ```text
//! holder    v: all leaves;  per level and tree the two sums under pads of q_j and q_j + Δ,
//!           per tree d_i = b_i + Σ leaves of tree i                                     →  chooser
//! chooser   w: the leaves it knows, and at its place in tree i: d_i + c_i + Σ the others = leaf + β_i Δ
//! chooser   a random χ,  x' = x + a*  with  x = Σ χ^(place of i) β_i                     →  holder
//! holder    hash(h_χ(v) + b* + x' Δ)                                                     →  chooser
//! chooser   compares with hash(h_χ(w) + c*)
//! ```
//!
//! `(a*, c*, b*)` is the last of the short correlation. Since `w = v + e Δ` and `h_χ` is linear,
//! `h_χ(w) = h_χ(v) + x Δ`, and the two sides are equal.

use std::fmt;

use rand::{Rng, rngs::SysRng};
use rand_core::UnwrapErr;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Lpn, Public,
    code::PAD,
    ggm::{grow, grow_punctured},
};
use crate::gf128::{self, Path};

/// Bytes of the holder's side of the check.
pub const PROOF_BYTES: usize = 32;

/// What a peer sent is not what the protocol asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VoleError {
    /// Wrong number of elements.
    #[error("expected {want} elements, got {got}")]
    Length {
        /// Expected.
        want: usize,
        /// Got.
        got: usize,
    },
    /// The holder's trees are not what its messages say.
    #[error("the consistency check of the correlation failed")]
    Inconsistent,
}

/// The holder's trees, not yet grown.
#[derive(ZeroizeOnDrop)]
pub struct HolderForest {
    #[zeroize(skip)]
    lpn: Lpn,
    roots: Vec<u128>,
    delta: u128,
    /// `b*`.
    mask: u128,
}

impl fmt::Debug for HolderForest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderForest({:?})", self.lpn)
    }
}

impl HolderForest {
    /// New trees and the message for the chooser. `rows` are `q_j`, [`Lpn::transfers`] of them, the first
    /// with number `first` in the run; `seeds` are the `b_i`, [`Lpn::seeds`] of them.
    ///
    /// # Panics
    /// When rows or seeds are not as many as that.
    pub fn new(
        public: &Public,
        lpn: Lpn,
        delta: u128,
        first: u64,
        rows: &[u128],
        seeds: &[u128],
    ) -> (Self, Vec<u128>) {
        assert_eq!((rows.len(), seeds.len()), (lpn.transfers(), lpn.seeds()));
        let mut roots = vec![0; lpn.trees];
        UnwrapErr(SysRng).fill_bytes(bytemuck::cast_slice_mut(&mut roots));
        let mut leaves = Zeroizing::new(vec![0; lpn.leaves()]);
        let mut message = vec![0; lpn.message()];
        let depth = lpn.depth as usize;
        let (pairs, tips) = message.split_at_mut(2 * lpn.transfers());
        let pairs = pairs.as_chunks_mut::<2>().0;
        grow(
            &public.tree,
            &roots,
            lpn.depth,
            &mut leaves,
            |tree, level, [left, right]| {
                let j = tree * depth + level as usize;
                let (number, row) = (first + j as u64, rows[j]);
                pairs[j] = [
                    left ^ public.pad(number, row),
                    right ^ public.pad(number, row ^ delta),
                ];
            },
        );
        let trees = leaves.chunks_exact(1 << depth);
        for ((tip, tree), b) in tips.iter_mut().zip(trees).zip(seeds) {
            *tip = tree.iter().fold(*b, |sum, leaf| sum ^ leaf);
        }
        let mask = seeds.last().copied().unwrap_or_default();
        let forest = Self {
            lpn,
            roots,
            delta,
            mask,
        };
        (forest, message)
    }

    /// `B`, and the proof for the chooser that it is made of the trees announced. `masked` is `x'`.
    pub fn expand(
        self,
        public: &Public,
        challenge: u128,
        masked: u128,
    ) -> (Vec<u128>, [u8; PROOF_BYTES]) {
        let n = self.lpn.leaves();
        let mut leaves = vec![0; n.max(2 * self.lpn.outputs + PAD)];
        grow(
            &public.tree,
            &self.roots,
            self.lpn.depth,
            &mut leaves[..n],
            |_, _, _| {},
        );
        let sum = gf128::hash(Path::detect(), challenge, &leaves[..n]);
        let value = sum ^ self.mask ^ gf128::mul(masked, self.delta);
        public.code.encode([&mut leaves], self.lpn.outputs);
        cut(&mut leaves, self.lpn.outputs);
        (leaves, prove(public, value))
    }
}

/// Keeps the first `n` elements and clears the others.
fn cut(elements: &mut Vec<u128>, n: usize) {
    elements[n..].zeroize();
    elements.truncate(n);
}

fn prove(public: &Public, value: u128) -> [u8; PROOF_BYTES] {
    let mut input = [0; 24];
    let (head, tail) = input.split_at_mut(16);
    head.copy_from_slice(&value.to_le_bytes());
    tail.copy_from_slice(b"vole chk");
    *blake3::keyed_hash(&public.hash, &input).as_bytes()
}

/// The chooser's trees, not yet grown.
#[derive(ZeroizeOnDrop)]
pub struct ChooserForest {
    #[zeroize(skip)]
    lpn: Lpn,
    holes: Vec<u32>,
    known: Vec<u128>,
    tips: Vec<u128>,
    noise: Vec<u128>,
    /// `a*` and `c*`.
    mask: (u128, u128),
}

impl fmt::Debug for ChooserForest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChooserForest({:?})", self.lpn)
    }
}

impl ChooserForest {
    /// From the holder's message. `rows` are `t_j` and `choice(j)` the bit of transfer `j`; `first` as at
    /// the holder; `seeds` are the `(β_i, c_i)`.
    ///
    /// # Errors
    /// [`VoleError::Length`] when the message has another length.
    ///
    /// # Panics
    /// When rows or seeds are not as many as [`Lpn`] says.
    pub fn new(
        public: &Public,
        lpn: Lpn,
        first: u64,
        rows: &[u128],
        choice: impl Fn(usize) -> bool,
        seeds: &[(u128, u128)],
        message: &[u128],
    ) -> Result<Self, VoleError> {
        assert_eq!((rows.len(), seeds.len()), (lpn.transfers(), lpn.seeds()));
        if message.len() != lpn.message() {
            return Err(VoleError::Length {
                want: lpn.message(),
                got: message.len(),
            });
        }
        let (pairs, tips) = message.split_at(2 * lpn.transfers());
        let mut holes = vec![0; lpn.trees];
        let mut known = vec![0; lpn.transfers()];
        for (j, ([left, right], row)) in pairs.as_chunks::<2>().0.iter().zip(rows).enumerate() {
            let chosen = choice(j);
            // the sum of the right children is for a path that goes left, and the other way round
            let hole = &mut holes[j / lpn.depth as usize];
            *hole = *hole << 1 | u32::from(!chosen);
            let mask = u128::from(chosen).wrapping_neg();
            known[j] = public.pad(first + j as u64, *row) ^ left ^ ((left ^ right) & mask);
        }
        let tips = tips.iter().zip(seeds).map(|(d, (_, c))| d ^ c).collect();
        Ok(Self {
            lpn,
            holes,
            known,
            tips,
            noise: seeds
                .iter()
                .take(lpn.trees)
                .map(|(beta, _)| *beta)
                .collect(),
            mask: seeds.last().copied().unwrap_or_default(),
        })
    }

    /// `x'`: what the holder needs for its proof under this challenge, which must be drawn after
    /// the holder's message has arrived.
    pub fn masked(&self, challenge: u128) -> u128 {
        let n = self.lpn.leaves();
        let places = self.places().zip(&self.noise);
        places.fold(self.mask.0, |sum, (at, beta)| {
            sum ^ gf128::mul(*beta, gf128::power(challenge, (n - at) as u64))
        })
    }

    /// The place of each tree's noise among all leaves.
    fn places(&self) -> impl Iterator<Item = usize> {
        let depth = self.lpn.depth;
        let holes = self.holes.iter().enumerate();
        holes.map(move |(tree, hole)| (tree << depth) + *hole as usize)
    }

    /// `(A, C)`, if the holder's proof is right.
    ///
    /// # Errors
    /// [`VoleError::Inconsistent`] if it is not: the holder did not do as it says.
    pub fn expand(
        self,
        public: &Public,
        challenge: u128,
        proof: &[u8; PROOF_BYTES],
    ) -> Result<(Vec<u128>, Vec<u128>), VoleError> {
        let n = self.lpn.leaves();
        let length = n.max(2 * self.lpn.outputs + PAD);
        let (mut leaves, mut noise) = (vec![0; length], vec![0; length]);
        grow_punctured(
            &public.tree,
            &self.holes,
            &self.known,
            self.lpn.depth,
            &mut leaves[..n],
        );
        for (tree, (at, tip)) in self.places().zip(&self.tips).enumerate() {
            let start = tree << self.lpn.depth;
            let others = &leaves[start..start + (1 << self.lpn.depth)];
            leaves[at] = others.iter().fold(*tip, |sum, leaf| sum ^ leaf);
        }
        for (at, beta) in self.places().zip(&self.noise) {
            noise[at] = *beta;
        }
        let value = gf128::hash(Path::detect(), challenge, &leaves[..n]) ^ self.mask.1;
        if !bool::from(prove(public, value).ct_eq(proof)) {
            leaves.zeroize();
            return Err(VoleError::Inconsistent);
        }
        let outputs = self.lpn.outputs;
        public.code.encode([&mut leaves, &mut noise], outputs);
        cut(&mut leaves, outputs);
        cut(&mut noise, outputs);
        Ok((noise, leaves))
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::vole::{LEAST, NOISE};

    struct Dealt {
        delta: u128,
        q: Vec<u128>,
        t: Vec<u128>,
        bits: Vec<bool>,
        b: Vec<u128>,
        ac: Vec<(u128, u128)>,
    }

    fn deal(lpn: Lpn) -> Dealt {
        let mut rng = rand::rng();
        let delta = rng.random();
        let q: Vec<u128> = (0..lpn.transfers()).map(|_| rng.random()).collect();
        let bits: Vec<bool> = q.iter().map(|_| rng.random()).collect();
        let t = q.iter().zip(&bits);
        let t = t.map(|(q, r)| q ^ if *r { delta } else { 0 }).collect();
        let b: Vec<u128> = (0..lpn.seeds()).map(|_| rng.random()).collect();
        let ac = b
            .iter()
            .map(|b| {
                let a = rng.random();
                (a, b ^ gf128::mul(a, delta))
            })
            .collect();
        Dealt {
            delta,
            q,
            t,
            bits,
            b,
            ac,
        }
    }

    type Vectors = (Vec<u128>, Vec<u128>, Vec<u128>);

    fn run(lpn: Lpn, d: &Dealt, tamper: impl FnOnce(&mut Vec<u128>)) -> Result<Vectors, VoleError> {
        let public = Public::new(&[5; 32]);
        let (holder, mut message) = HolderForest::new(&public, lpn, d.delta, 9, &d.q, &d.b);
        tamper(&mut message);
        let choice = |j: usize| d.bits[j];
        let chooser = ChooserForest::new(&public, lpn, 9, &d.t, choice, &d.ac, &message)?;
        let challenge = rand::rng().random();
        let masked = chooser.masked(challenge);
        let (b, proof) = holder.expand(&public, challenge, masked);
        let (a, c) = chooser.expand(&public, challenge, &proof)?;
        Ok((a, b, c))
    }

    #[test]
    fn every_place_is_correlated() {
        for outputs in [1, 20_000, 40_000] {
            let lpn = Lpn::new(outputs);
            let d = deal(lpn);
            let (a, b, c) = run(lpn, &d, |_| {}).unwrap();
            assert_eq!(
                (a.len(), b.len(), c.len()),
                (lpn.outputs(), lpn.outputs(), lpn.outputs())
            );
            assert!(lpn.outputs() >= outputs.max(LEAST));
            for ((a, b), c) in a.iter().zip(&b).zip(&c) {
                assert_eq!(*c, b ^ gf128::mul(*a, d.delta));
            }
            let distinct: std::collections::HashSet<_> = a.iter().collect();
            assert_eq!(distinct.len(), a.len(), "noise reaches every place");
        }
    }

    /// A holder that alters a level's sum, or a tip: whichever child's sum the chooser did not take
    /// goes unnoticed, all else is caught.
    #[test]
    fn inconsistent_trees_are_caught() {
        let lpn = Lpn::new(1);
        let d = deal(lpn);
        for j in [0, 5, 700, lpn.transfers() - 1] {
            for side in [0, 1] {
                let got = run(lpn, &d, |m| m[2 * j + side] ^= 2);
                let taken = d.bits[j] == (side == 1);
                assert_eq!(got.is_err(), taken, "transfer {j} side {side}");
            }
        }
        for tree in [0, 100, lpn.trees - 1] {
            let got = run(lpn, &d, |m| m[2 * lpn.transfers() + tree] ^= 1 << 90);
            assert_eq!(got.map(|_| ()), Err(VoleError::Inconsistent));
        }
        let got = run(lpn, &d, |m| {
            m.pop();
        });
        assert!(matches!(got, Err(VoleError::Length { .. })));
    }

    #[test]
    fn another_delta_in_the_seeds_is_caught() {
        let lpn = Lpn::new(1);
        let mut d = deal(lpn);
        d.ac[17].1 ^= 1;
        assert!(run(lpn, &d, |_| {}).is_err());
        let mut d = deal(lpn);
        d.delta ^= 1 << 100;
        assert!(run(lpn, &d, |_| {}).is_err());
    }

    #[test]
    fn sizes_are_as_the_parameters_ask() {
        for outputs in [0, 1, 20_000, 168_000, 252_000, 1 << 20] {
            let lpn = Lpn::new(outputs);
            assert!(lpn.leaves() >= 2 * lpn.outputs());
            // a tree may lie partly beyond the leaves that are used
            let used = (2 * lpn.outputs()) >> lpn.depth;
            assert!((NOISE..=2 * NOISE).contains(&used), "{lpn:?}");
        }
    }
}
