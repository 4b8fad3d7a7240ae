//! Merkle trees with proofs of inclusion and of consistency (RFC 9162, 2.1).
//!
//! A tree over `n` leaves splits at the largest power of two below `n`. A leaf hashes with the prefix
//! 0x00 and an inner node with 0x01, so that neither can be passed off as the other. An inclusion proof
//! shows that a leaf stands at an index of a tree; a consistency proof shows that a larger tree begins
//! with all leaves of a smaller one. Both are checked with the hashes alone.
//!
//! ```
//! use paripassu_audit::merkle::{Tree, leaf_hash, verify_consistency, verify_inclusion};
//!
//! let mut tree = Tree::new();
//! for event in ["proposed", "approved", "started"] {
//!     tree.append(leaf_hash(event.as_bytes()));
//! }
//! let (before, now) = (tree.root_at(2)?, tree.root());
//! let proof = tree.inclusion_proof(1, 3)?;
//! verify_inclusion(&leaf_hash(b"approved"), 1, 3, &proof, &now)?;
//! verify_consistency(2, &before, 3, &now, &tree.consistency_proof(2, 3)?)?;
//! # Ok::<(), paripassu_audit::merkle::MerkleError>(())
//! ```

use sha2::{Digest, Sha256};

mod verify;

#[cfg(test)]
mod tests;

pub use verify::{verify_consistency, verify_inclusion};

/// A SHA-256 hash: of a leaf, of an inner node or of a whole tree.
pub type Hash = [u8; 32];

/// The most hashes a proof can hold: one per level of a tree with fewer than 2^64 leaves.
pub const MAX_PROOF_HASHES: usize = 64;

/// Why a proof cannot be made or does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError {
    /// The tree asked about is larger than the tree there is.
    #[error("a tree of {asked} leaves was asked about; this one has {size}")]
    Size {
        /// The size asked about.
        asked: u64,
        /// The size there is.
        size: u64,
    },
    /// No such leaf.
    #[error("leaf {index} is not in a tree of {size} leaves (they count from 0)")]
    Index {
        /// The index asked about.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The older tree is the larger one.
    #[error("a tree of {new} leaves cannot extend one of {old}")]
    Order {
        /// Size of the tree that should be the older.
        old: u64,
        /// Size of the tree that should be the newer.
        new: u64,
    },
    /// The proof has too few or too many hashes for its place.
    #[error("the proof has {got} hashes; for these sizes it has {expected}")]
    Length {
        /// Hashes that a proof for these sizes has.
        expected: usize,
        /// Hashes given.
        got: usize,
    },
    /// The proof leads to another root.
    #[error("the proof does not lead to the root of the tree of {size} leaves")]
    Root {
        /// Size of the tree whose root was missed.
        size: u64,
    },
}

/// The hash of a leaf: SHA-256(0x00 || data).
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new()
        .chain_update([0x00])
        .chain_update(data)
        .finalize()
        .into()
}

/// The hash of an inner node: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([0x01])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// All leaves of a tree and the roots of its full subtrees: any proof at any size, in logarithmic time.
///
/// Takes 64 bytes per leaf.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// `levels[h][i]` is the root over leaves `i * 2^h .. (i + 1) * 2^h`.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// Appends the hash of a leaf (see [`leaf_hash`]) and returns its index.
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let index = self.size();
        let mut carry = leaf;
        for height in 0.. {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let level = &mut self.levels[height];
            level.push(carry);
            if level.len() % 2 == 1 {
                break;
            }
            carry = node_hash(&level[level.len() - 2], &carry);
        }
        index
    }

    /// The hash of the leaf at `index`.
    pub fn leaf(&self, index: u64) -> Option<Hash> {
        let leaves = self.levels.first()?;
        leaves.get(usize::try_from(index).ok()?).copied()
    }

    /// The root over all leaves.
    pub fn root(&self) -> Hash {
        self.range(0, self.size())
    }

    /// The root over the first `size` leaves.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn root_at(&self, size: u64) -> Result<Hash, MerkleError> {
        self.has(size)?;
        Ok(self.range(0, size))
    }

    /// The proof that the leaf at `index` is in the tree over the first `size` leaves: the sibling
    /// hashes from the leaf up (RFC 9162, 2.1.3.1).
    ///
    /// # Errors
    /// When there are fewer than `size` leaves or `index` is not below `size`.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Result<Vec<Hash>, MerkleError> {
        self.has(size)?;
        if index >= size {
            return Err(MerkleError::Index { index, size });
        }
        let mut path = Vec::new();
        let (mut start, mut end) = (0, size);
        while end - start > 1 {
            let middle = start + split(end - start);
            if index < middle {
                path.push(self.range(middle, end));
                end = middle;
            } else {
                path.push(self.range(start, middle));
                start = middle;
            }
        }
        path.reverse();
        Ok(path)
    }

    /// The proof that the tree over the first `new` leaves extends the one over the first `old`
    /// (RFC 9162, 2.1.4.1). It is empty when `old` is 0 or equal to `new`.
    ///
    /// # Errors
    /// When there are fewer than `new` leaves or `old` exceeds `new`.
    pub fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, MerkleError> {
        self.has(new)?;
        if old > new {
            return Err(MerkleError::Order { old, new });
        }
        let mut path = Vec::new();
        if old == 0 || old == new {
            return Ok(path);
        }
        let (mut start, mut end) = (0, new);
        while end != old {
            let middle = start + split(end - start);
            if old <= middle {
                path.push(self.range(middle, end));
                end = middle;
            } else {
                path.push(self.range(start, middle));
                start = middle;
            }
        }
        if start > 0 {
            path.push(self.range(start, end));
        }
        path.reverse();
        Ok(path)
    }

    fn has(&self, asked: u64) -> Result<(), MerkleError> {
        let size = self.size();
        if asked > size {
            return Err(MerkleError::Size { asked, size });
        }
        Ok(())
    }

    /// The root over leaves `start..end`, where `start` is a multiple of a power of two not below
    /// `end - start`, and `end` is at most the size.
    fn range(&self, start: u64, end: u64) -> Hash {
        let leaves = end - start;
        if leaves == 0 {
            return empty_root();
        }
        if leaves.is_power_of_two() {
            let height = leaves.trailing_zeros();
            return self.levels[height as usize][(start >> height) as usize];
        }
        let middle = start + split(leaves);
        node_hash(&self.range(start, middle), &self.range(middle, end))
    }
}

impl FromIterator<Hash> for Tree {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Self {
        let mut tree = Self::new();
        for leaf in leaves {
            tree.append(leaf);
        }
        tree
    }
}

/// The root of a tree that grows, without its leaves: for running digests over many messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// The roots of the full subtrees, largest first: one per bit set in `size`.
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of leaves so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of a leaf.
    pub fn append(&mut self, leaf: Hash) {
        let mut carry = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                carry = node_hash(&left, &carry);
            }
        }
        self.peaks.push(carry);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else {
            return empty_root();
        };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The largest power of two below `leaves`, which is at least 2.
fn split(leaves: u64) -> u64 {
    1 << (leaves - 1).ilog2()
}
