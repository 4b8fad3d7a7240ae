//! Checking proofs: only hashes and sizes, no tree.

use super::{Hash, MerkleError, empty_root, node_hash};

/// Checks that the leaf with hash `leaf` stands at `index` in the tree of `size` leaves with `root`
/// (RFC 9162, 2.1.3.2).
///
/// # Errors
/// When `index` is not below `size`, the proof has the wrong length or it leads to another root.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), MerkleError> {
    if index >= size {
        return Err(MerkleError::Index { index, size });
    }
    // Below the level where the paths of the leaf and of the last leaf meet there is a sibling at
    // every level; above it, one wherever the leaf's path turns left.
    let inner = inner_length(index, size);
    length(inner + border_length(index, inner), proof)?;
    let (below, above) = proof.split_at(inner);
    let mut hash = *leaf;
    for (height, sibling) in below.iter().enumerate() {
        hash = if (index >> height) & 1 == 0 {
            node_hash(&hash, sibling)
        } else {
            node_hash(sibling, &hash)
        };
    }
    for sibling in above {
        hash = node_hash(sibling, &hash);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(MerkleError::Root { size })
    }
}

/// Checks that the tree of `new` leaves with `new_root` begins with all leaves of the tree of `old`
/// leaves with `old_root` (RFC 9162, 2.1.4.2).
///
/// Every tree extends the tree without leaves, and itself; both proofs are empty.
///
/// # Errors
/// When `old` exceeds `new`, the proof has the wrong length or it leads to other roots.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), MerkleError> {
    if old > new {
        return Err(MerkleError::Order { old, new });
    }
    if old == 0 && *old_root != empty_root() {
        return Err(MerkleError::Root { size: 0 });
    }
    if new == 0 && *new_root != empty_root() {
        return Err(MerkleError::Root { size: 0 });
    }
    if old == 0 || old == new {
        length(0, proof)?;
        return if old == 0 || old_root == new_root {
            Ok(())
        } else {
            Err(MerkleError::Root { size: new })
        };
    }
    // The old tree's last full subtree starts the climb; where the old tree is one full subtree, its
    // root is known and not in the proof.
    let shift = old.trailing_zeros() as usize;
    let last = old - 1;
    let inner = inner_length(last, new) - shift;
    let seeded = usize::from(!old.is_power_of_two());
    length(seeded + inner + border_length(last, inner + shift), proof)?;
    let (seed, rest) = match proof.split_first() {
        Some((first, rest)) if seeded == 1 => (*first, rest),
        _ => (*old_root, proof),
    };
    let (below, above) = rest.split_at(inner);
    let (mut in_old, mut in_new) = (seed, seed);
    for (height, sibling) in below.iter().enumerate() {
        if (last >> (height + shift)) & 1 == 0 {
            in_new = node_hash(&in_new, sibling);
        } else {
            in_old = node_hash(sibling, &in_old);
            in_new = node_hash(sibling, &in_new);
        }
    }
    for sibling in above {
        in_old = node_hash(sibling, &in_old);
        in_new = node_hash(sibling, &in_new);
    }
    if in_old != *old_root {
        return Err(MerkleError::Root { size: old });
    }
    if in_new != *new_root {
        return Err(MerkleError::Root { size: new });
    }
    Ok(())
}

/// Levels below the one where the paths to `index` and to the last leaf meet.
fn inner_length(index: u64, size: u64) -> usize {
    (u64::BITS - (index ^ (size - 1)).leading_zeros()) as usize
}

/// Left turns of the path to `index` above the first `inner` levels.
fn border_length(index: u64, inner: usize) -> usize {
    u32::try_from(inner)
        .ok()
        .and_then(|inner| index.checked_shr(inner))
        .map_or(0, |above| above.count_ones() as usize)
}

fn length(expected: usize, proof: &[Hash]) -> Result<(), MerkleError> {
    if proof.len() == expected {
        Ok(())
    } else {
        Err(MerkleError::Length {
            expected,
            got: proof.len(),
        })
    }
}
