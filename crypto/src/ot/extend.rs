//! The extension: 128 transferred keys become columns of any length.
//!
//! The chooser's bits come in blocks of 128, `r_0 … r_(n-1)`, and one more random block that hides
//! what the check shows. Column `i` is a stream under key `i`:
//!
//! ```text
//! chooser   t_i = stream(k_i0),  u_i = t_i + stream(k_i1) + r  →  holder
//! holder    q_i = stream(k_iΔ_i) + Δ_i u_i = t_i + Δ_i r
//! holder    a random χ  →  chooser
//! chooser   x = h_χ(r),  y_i = h_χ(t_i) for each i  →  holder, which compares h_χ(q_i) with y_i + Δ_i x
//! ```

use std::{fmt, ops::Range};

use rand::{Rng, rngs::SysRng};
use rand_core::UnwrapErr;
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

use super::{
    OtError,
    base::{COUNT, Key},
    transpose::transpose,
};
use crate::{
    gf128::{self, Path},
    prg::{Label, Prg},
};

/// Elements of the chooser's answer to the challenge.
pub const ANSWER: usize = 1 + COUNT;

/// The chooser's side.
#[derive(ZeroizeOnDrop)]
pub struct Chosen {
    columns: Columns,
    bits: Vec<u128>,
}

/// The holder's side.
#[derive(ZeroizeOnDrop)]
pub struct Held {
    columns: Columns,
    delta: u128,
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chosen(secret)")
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(secret)")
    }
}

/// 128 columns of equal length, one after another; a column's last block is the check's.
#[derive(ZeroizeOnDrop)]
struct Columns {
    words: Vec<u128>,
    length: usize,
}

/// The one stream of a key.
const STREAM: u32 = 0;

impl Columns {
    fn streams<'k>(keys: impl Iterator<Item = &'k Key>, blocks: usize) -> Self {
        let length = blocks + 1;
        let mut words = vec![0; COUNT * length];
        for (column, key) in words.chunks_exact_mut(length).zip(keys) {
            let words: &mut [u64] = bytemuck::cast_slice_mut(column);
            Prg::new(&key.0).fill(Label::request(STREAM, 0), 0, words);
        }
        Self { words, length }
    }

    fn iter(&self) -> impl Iterator<Item = &[u128]> {
        self.words.chunks_exact(self.length)
    }

    /// `h_χ` of each column.
    fn hashes(&self, challenge: u128) -> impl Iterator<Item = u128> {
        self.iter().map(move |column| hash(challenge, column))
    }

    /// The 128 rows that start at block `block`.
    fn rows(&self, block: usize) -> [u128; 128] {
        let mut rows = [0; 128];
        for (row, column) in rows.iter_mut().zip(self.iter()) {
            *row = column[block];
        }
        transpose(&mut rows);
        rows
    }

    fn element(&self, block: usize) -> u128 {
        self.iter()
            .fold((0, 1), |(sum, power): (u128, u128), column| {
                let next = power << 1 ^ if power >> 127 == 1 { 0x87 } else { 0 };
                (sum ^ gf128::mul(column[block], power), next)
            })
            .0
    }

    fn all_rows(&self, blocks: Range<usize>) -> Vec<u128> {
        blocks.flat_map(|b| self.rows(b)).collect()
    }
}

/// A universal hash of all but the last block, plus the last block.
fn hash(challenge: u128, column: &[u128]) -> u128 {
    match column.split_last() {
        Some((mask, body)) => gf128::hash(Path::detect(), challenge, body) ^ mask,
        None => 0,
    }
}

/// A challenge for the chooser, drawn once its columns have arrived.
pub fn challenge() -> u128 {
    random()
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    u128::from_le_bytes(bytes)
}

impl Chosen {
    /// Random choices, `blocks` times 128 of them, and the columns to be sent: 128 times
    /// `blocks + 1` elements. `keys` are both keys of each base transfer, used for this only.
    pub fn new(keys: &[[Key; 2]], blocks: usize) -> (Self, Vec<u128>) {
        let columns = Columns::streams(keys.iter().map(|[zero, _]| zero), blocks);
        let mut sent = Columns::streams(keys.iter().map(|[_, one]| one), blocks);
        let mut bits = vec![0; blocks + 1];
        UnwrapErr(SysRng).fill_bytes(bytemuck::cast_slice_mut(&mut bits));
        let pairs = sent.words.chunks_exact_mut(blocks + 1).zip(columns.iter());
        for (sent, own) in pairs {
            for ((s, o), r) in sent.iter_mut().zip(own).zip(&bits) {
                *s ^= o ^ r;
            }
        }
        let message = std::mem::take(&mut sent.words);
        (Self { columns, bits }, message)
    }

    /// The answer to the challenge, [`ANSWER`] elements.
    pub fn answer(&self, challenge: u128) -> Vec<u128> {
        let mut out = vec![hash(challenge, &self.bits)];
        out.extend(self.columns.hashes(challenge));
        out
    }

    /// The choices of block `block`, bit by bit; also the element `A` of that block.
    pub fn bits(&self, block: usize) -> u128 {
        self.bits[block]
    }

    /// `t_j` for the bits of these blocks.
    pub fn rows(&self, blocks: Range<usize>) -> Vec<u128> {
        self.columns.all_rows(blocks)
    }

    /// `(A, C)` of a block taken as one element.
    pub fn element(&self, block: usize) -> (u128, u128) {
        (self.bits[block], self.columns.element(block))
    }
}

impl Held {
    /// From the keys chosen by the bits of `delta` and the columns that the chooser sent.
    ///
    /// # Errors
    /// When the columns have another length.
    pub fn new(keys: &[Key], delta: u128, blocks: usize, sent: &[u128]) -> Result<Self, OtError> {
        let want = COUNT * (blocks + 1);
        if sent.len() != want {
            return Err(OtError::Length {
                want,
                got: sent.len(),
            });
        }
        let mut columns = Columns::streams(keys.iter(), blocks);
        let pairs = columns.words.chunks_exact_mut(blocks + 1);
        for (i, (own, sent)) in pairs.zip(sent.chunks_exact(blocks + 1)).enumerate() {
            let mask = (delta >> i & 1).wrapping_neg();
            for (o, s) in own.iter_mut().zip(sent) {
                *o ^= s & mask;
            }
        }
        Ok(Self { columns, delta })
    }

    /// Whether the chooser used the same bits in all columns.
    ///
    /// # Errors
    /// [`OtError::Inconsistent`] if it did not: what was made must not be used.
    pub fn check(&self, challenge: u128, answer: &[u128]) -> Result<(), OtError> {
        let (x, theirs) = match answer.split_first() {
            Some((x, rest)) if rest.len() == COUNT => (*x, rest),
            _ => {
                return Err(OtError::Length {
                    want: ANSWER,
                    got: answer.len(),
                });
            }
        };
        let mut differ = 0;
        for (i, (ours, y)) in self.columns.hashes(challenge).zip(theirs).enumerate() {
            let mask = (self.delta >> i & 1).wrapping_neg();
            differ |= ours ^ y ^ (x & mask);
        }
        match differ.ct_eq(&0).into() {
            true => Ok(()),
            false => Err(OtError::Inconsistent),
        }
    }

    /// The secret.
    pub fn delta(&self) -> u128 {
        self.delta
    }

    /// `q_j` for the bits of these blocks.
    pub fn rows(&self, blocks: Range<usize>) -> Vec<u128> {
        self.columns.all_rows(blocks)
    }

    /// `B` of a block taken as one element.
    pub fn element(&self, block: usize) -> u128 {
        self.columns.element(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ot::base;

    const DELTA: u128 = 0xfedc_ba98_7654_3210_0011_2233_4455_6677;

    fn keys() -> (Vec<Key>, Vec<[Key; 2]>) {
        let receiver = base::Receiver::new(&[3; 32], DELTA);
        let (reply, both) = base::send(&[3; 32], receiver.request()).unwrap();
        (receiver.finish(&reply).unwrap(), both)
    }

    #[test]
    fn all_rows_and_elements_are_correlated() {
        let (held, both) = keys();
        let (chosen, sent) = Chosen::new(&both, 5);
        let held = Held::new(&held, DELTA, 5, &sent).unwrap();
        let challenge = challenge();
        held.check(challenge, &chosen.answer(challenge)).unwrap();
        let (t, q) = (chosen.rows(0..5), held.rows(0..5));
        assert_eq!((t.len(), q.len()), (640, 640));
        for j in 0..640 {
            let bit = chosen.bits(j / 128) >> (j % 128) & 1;
            assert_eq!(q[j], t[j] ^ if bit == 1 { DELTA } else { 0 });
        }
        for block in 0..5 {
            let ((a, c), b) = (chosen.element(block), held.element(block));
            assert_eq!(c, b ^ gf128::mul(a, DELTA));
            assert_ne!(c, b);
        }
    }

    /// A chooser with other bits in some columns: caught unless `Δ` is zero in all of them.
    #[test]
    fn inconsistent_columns_are_caught_as_far_as_they_matter() {
        let (held_keys, both) = keys();
        let (chosen, sent) = Chosen::new(&both, 4);
        let challenge = challenge();
        let mut caught = 0;
        for column in 0..128 {
            let mut bad = sent.clone();
            bad[column * 5 + 2] ^= 1 << 77;
            let held = Held::new(&held_keys, DELTA, 4, &bad).unwrap();
            let got = held.check(challenge, &chosen.answer(challenge));
            let matters = DELTA >> column & 1 == 1;
            assert_eq!(got.is_err(), matters, "column {column}");
            caught += usize::from(matters);
        }
        assert!(caught > 30);
        let held = Held::new(&held_keys, DELTA, 4, &sent).unwrap();
        for at in [0, 1, 128] {
            let mut answer = chosen.answer(challenge);
            answer[at] ^= 4;
            assert_eq!(
                held.check(challenge, &answer),
                Err(OtError::Inconsistent),
                "{at}"
            );
        }
        assert!(held.check(challenge, &[0; 3]).is_err());
        assert!(Held::new(&held_keys, DELTA, 4, &sent[1..]).is_err());
    }

    #[test]
    fn what_is_sent_carries_nothing() {
        let (_, both) = keys();
        let (one, sent) = Chosen::new(&both, 40);
        let ones: u32 = sent.iter().map(|w| w.count_ones()).sum();
        let bits = sent.len() as f64 * 128.0;
        // five standard deviations
        assert!((f64::from(ones) - bits / 2.0).abs() < 2.5 * bits.sqrt());
        let (two, _) = Chosen::new(&both, 40);
        assert_ne!(one.bits, two.bits);
        assert!(!format!("{one:?}").contains(char::is_numeric));
    }
}
