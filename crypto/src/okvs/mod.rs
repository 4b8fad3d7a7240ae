//! An oblivious key-value store: a table of field elements, linear in which every item finds its
//! value.
//!
//! An item `x` (128 pseudo-random bits) has three places `p1, p2, p3` in the table's sparse columns,
//! a value `v(x)` and a dense part; [`Okvs::encode`] finds a table `T` with
//!
//! ```text
//! T[p1] + T[p2] + T[p3] + D_1 x + D_2 x^2 + … + D_g x^g = v(x)        for every encoded item x
//! ```
//!
//! [`Okvs::decode`] evaluates the left side. Since it is linear in `(T, D)`, so is everything built
//! upon it: this is what the alignment by vector-OLE needs. The table says which items were
//! encoded to whoever knows it in the clear; a caller masks it.
//!
//! # How it is solved
//! Rows are peeled: a column that only one row touches decides that row. What cannot be peeled, the
//! core, is solved by elimination over the field, with the dense columns' help. The keys are never
//! drawn again until it works: whether it works depends on the items, so that would leak.
//!
//! # Failure
//! [`Shape`] sizes the table so that encoding fails with probability below 2^-64 by the constants of the
//! authors' program (2^-60 by the paper's), over all tables of a run; see there for how this is computed. A
//! failure is an error, not a wrong table.
//!
//! # Source
//! S. Raghuraman, P. Rindal, "Blazing fast PSI from improved OKVS and subfield VOLE", ePrint
//! 2022/320, sections 2 and 3 (three places, dense columns over the field, sizes). Departures: 5 dense
//! columns whatever the size, where the paper's rule gives 4 to 6; the core is always eliminated, so that a
//! large core alone is no failure; sizes in integers only, so that all machines agree on them.

mod buckets;
mod encode;

use crate::{
    fixed_aes::FixedKey,
    gf128::{self, Path},
};

pub use buckets::Buckets;
pub use encode::{OkvsError, Workspace};

/// Dense columns.
pub const DENSE: usize = 5;

/// Items looked up at a time.
const BATCH: usize = 256;

/// Size of a table.
///
/// Sparse columns for `n` items: `1.223 n + 17.49 n^0.445`, rounded up. Source: equation 2 and 3 of
/// the paper, `log2(1 / failure) = s (e - 1.223) - 9.2` with `log2 s = 0.555 log2 n + 2.335` and `e n`
/// columns, measured there up to 2^-20 or so and extrapolated; here with 66 + 13 bits, that is
/// 2^-66 over 2^13 tables. Small tables are made as for [`Shape::LEAST`] items, because failures by
/// a few rows with the same places become likely there: `DENSE + 1` such coincidences are needed
/// for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    capacity: usize,
    sparse: usize,
}

impl Shape {
    /// Items for which the smallest table is made.
    pub const LEAST: usize = 1 << 12;
    /// Most items of one table.
    pub const MOST: usize = 1 << 18;

    /// A table for up to `capacity` items; `None` if they are more than [`Shape::MOST`].
    pub fn new(capacity: usize) -> Option<Self> {
        if capacity > Self::MOST {
            return None;
        }
        let n = capacity.max(Self::LEAST) as u64;
        // n^0.445 = n^0.5 n^-0.055, the last factor from above, as that of the next lower power of
        // two: 2^(-0.055 k) in 1/65536 for k = 12 … 18
        const FACTORS: [u64; 7] = [41480, 39929, 38436, 36999, 35615, 34284, 33002];
        let k = n.ilog2() as usize - 12;
        let factor = FACTORS.get(k).copied()?;
        let root = (n << 16).isqrt() + 1; // in 1/256
        let extra = (1749 * root * factor).div_ceil(100 << 24);
        let sparse = (1223 * n).div_ceil(1000) + extra;
        Some(Self {
            capacity,
            sparse: usize::try_from(sparse).ok()?,
        })
    }

    /// Most items.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Elements of the table: sparse columns, then [`DENSE`] dense ones.
    pub fn columns(&self) -> usize {
        self.sparse + DENSE
    }
}

/// The public functions that give an item its places and its value.
#[derive(Clone, Debug)]
pub struct Okvs {
    place: FixedKey,
    value: FixedKey,
    shape: Shape,
    path: Path,
}

impl Okvs {
    /// Functions under a public key, which must be drawn after the items are chosen or at least
    /// be unknown to whoever chooses them.
    pub fn new(key: &[u8; 32], shape: Shape) -> Self {
        let derive = |what: &str| {
            let mut out = [0; 16];
            let mut stream = blake3::Hasher::new_derive_key(what);
            stream.update(key);
            stream.finalize_xof().fill(&mut out);
            FixedKey::new(out)
        };
        Self {
            place: derive("paripassu okvs v1 places"),
            value: derive("paripassu okvs v1 values"),
            shape,
            path: Path::detect(),
        }
    }

    /// The table's size.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The value of each item: `out[i] = v(items[i])`.
    pub fn values(&self, items: &[u128], out: &mut [u128]) {
        self.value.hash(items, out);
    }

    /// `out[i]` becomes what the table gives for `items[i]`.
    ///
    /// # Panics
    /// When the table has another size.
    pub fn decode(&self, items: &[u128], table: &[u128], out: &mut [u128]) {
        assert_eq!(table.len(), self.shape.columns());
        let (sparse, dense) = table.split_at(self.shape.sparse);
        let mut hashes = [0; BATCH];
        for (items, out) in items.chunks(BATCH).zip(out.chunks_mut(BATCH)) {
            self.place.hash(items, &mut hashes);
            for (o, h) in out.iter_mut().zip(hashes) {
                let [a, b, c] = self.shape.places(h);
                *o = sparse[a as usize] ^ sparse[b as usize] ^ sparse[c as usize];
            }
            gf128::add_polynomial(self.path, out, items, dense);
        }
    }
}

impl Shape {
    /// Three different columns from 96 pseudo-random bits.
    #[inline(always)]
    fn places(&self, hash: u128) -> [u32; 3] {
        // below 2^32, and so are the results: nothing is cut off
        let m = self.sparse as u64;
        let pick = |shift: u32, of: u64| {
            let bits = (hash >> shift) as u32;
            ((u64::from(bits) * of) >> 32) as u32
        };
        let a = pick(0, m);
        let mut b = pick(32, m - 1);
        b += u32::from(b >= a);
        let mut c = pick(64, m - 2);
        c += u32::from(c >= a.min(b));
        c += u32::from(c >= a.max(b));
        [a, b, c]
    }
}

#[cfg(test)]
mod tests;
