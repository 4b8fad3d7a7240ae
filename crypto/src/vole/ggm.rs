//! Trees of pseudo-random nodes, each twice as wide a level as the one above.
//!
//! Source: O. Goldreich, S. Goldwasser, S. Micali, "How to construct random functions", J. ACM 33(4),
//! 1986; punctured as in ePrint 2019/1159, section 5.

use crate::fixed_aes::{FixedKey, double};

/// Trees grown side by side, so that narrow levels fill the cipher's pipeline.
const GROUP: usize = 8;

/// Grows one tree from each root, with `depth` levels below it; `leaves` has `2^depth` places a
/// tree. `level_sums(tree, level, [left, right])` gets the sums of all left and of all right children.
pub(super) fn grow(
    keys: &[FixedKey; 2],
    roots: &[u128],
    depth: u32,
    leaves: &mut [u128],
    mut level_sums: impl FnMut(usize, u32, [u128; 2]),
) {
    let mut nodes = Vec::with_capacity(GROUP << depth);
    let groups = roots.chunks(GROUP).zip(leaves.chunks_mut(GROUP << depth));
    for (g, (roots, leaves)) in groups.enumerate() {
        nodes.clear();
        nodes.extend_from_slice(roots);
        for level in 0..depth {
            let width = nodes.len() * 2;
            double(keys, &nodes, &mut leaves[..width]);
            for (i, tree) in leaves[..width].chunks(2 << level).enumerate() {
                level_sums(g * GROUP + i, level, sums(tree));
            }
            nodes.clear();
            nodes.extend_from_slice(&leaves[..width]);
        }
        if depth == 0 {
            leaves.copy_from_slice(roots);
        }
    }
    zeroize::Zeroize::zeroize(&mut nodes);
}

/// Exclusive or of the nodes at even and at odd places.
pub(super) fn sums(nodes: &[u128]) -> [u128; 2] {
    let pairs = nodes.as_chunks::<2>().0.iter();
    pairs.fold([0, 0], |[l, r], [a, b]| [l ^ a, r ^ b])
}

/// Grows trees of which one leaf each is unknown. `holes[i]` is its place in tree `i`; `known[i · depth +
/// level]` is the sum of the children on the side that the path to the hole does not take. The
/// hole's own leaf is zero.
pub(super) fn grow_punctured(
    keys: &[FixedKey; 2],
    holes: &[u32],
    known: &[u128],
    depth: u32,
    leaves: &mut [u128],
) {
    let mut nodes = Vec::with_capacity(GROUP << depth);
    let levels = depth as usize;
    let groups = holes.chunks(GROUP).zip(leaves.chunks_mut(GROUP << depth));
    for ((holes, leaves), known) in groups.zip(known.chunks(GROUP * levels)) {
        nodes.clear();
        nodes.resize(holes.len(), 0);
        for level in 0..levels {
            let width = nodes.len() * 2;
            double(keys, &nodes, &mut leaves[..width]);
            let trees = leaves[..width].chunks_mut(2 << level);
            for ((tree, hole), known) in trees.zip(holes).zip(known.chunks(levels)) {
                // the path's node at this level, and its sibling
                let node = (hole >> (levels - 1 - level)) as usize;
                tree[node] = 0;
                tree[node ^ 1] = 0;
                let [left, right] = sums(tree);
                let side = if node & 1 == 1 { left } else { right };
                tree[node ^ 1] = known[level] ^ side;
            }
            nodes.clear();
            nodes.extend_from_slice(&leaves[..width]);
        }
    }
    zeroize::Zeroize::zeroize(&mut nodes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_leaves_but_one_are_known() {
        let keys = [[1; 16], [2; 16]].map(FixedKey::new);
        for (trees, depth) in [(1, 1), (3, 4), (8, 5), (19, 7)] {
            let roots: Vec<u128> = (0..trees as u128).map(|i| i << 77 ^ 12345).collect();
            let mut leaves = vec![0; trees << depth];
            let mut known = vec![0; trees * depth];
            let holes: Vec<u32> = (0..trees as u32)
                .map(|i| (i * 7 + 5) % (1 << depth))
                .collect();
            grow(
                &keys,
                &roots,
                depth as u32,
                &mut leaves,
                |tree, level, [l, r]| {
                    let bit = holes[tree] >> (depth - 1 - level as usize) & 1;
                    known[tree * depth + level as usize] = if bit == 1 { l } else { r };
                },
            );
            let mut got = vec![0; leaves.len()];
            grow_punctured(&keys, &holes, &known, depth as u32, &mut got);
            for (tree, hole) in holes.iter().enumerate() {
                let at = (tree << depth) + *hole as usize;
                assert_eq!(got[at], 0);
                got[at] = leaves[at];
            }
            assert_eq!(got, leaves);
            let distinct: std::collections::HashSet<_> = leaves.iter().collect();
            assert_eq!(distinct.len(), leaves.len());
        }
    }
}
