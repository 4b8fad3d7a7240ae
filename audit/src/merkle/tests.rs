use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Hash {
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
    }
    hash
}

/// The leaves of the Certificate Transparency test tree.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Its roots at sizes 1 to 8.
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// (index, size, proof)
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        3,
        &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    ),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// (old, new, proof)
const CONSISTENCY: [(u64, u64, &[&str]); 4] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

#[test]
fn the_published_tree() {
    let tree: Tree = LEAVES.iter().map(|data| leaf_hash(data)).collect();
    assert_eq!(tree.root_at(0).unwrap(), hex(EMPTY));
    for (size, root) in (1..).zip(ROOTS) {
        assert_eq!(tree.root_at(size).unwrap(), hex(root), "size {size}");
    }
    for (index, size, path) in INCLUSION {
        let path: Vec<_> = path.iter().map(|h| hex(h)).collect();
        assert_eq!(tree.inclusion_proof(index, size).unwrap(), path);
        let root = tree.root_at(size).unwrap();
        let leaf = leaf_hash(LEAVES[usize::try_from(index).unwrap()]);
        verify_inclusion(&leaf, index, size, &path, &root).unwrap();
    }
    for (old, new, path) in CONSISTENCY {
        let path: Vec<_> = path.iter().map(|h| hex(h)).collect();
        assert_eq!(tree.consistency_proof(old, new).unwrap(), path);
        let (before, now) = (tree.root_at(old).unwrap(), tree.root_at(new).unwrap());
        verify_consistency(old, &before, new, &now, &path).unwrap();
    }
}

/// The definitions of RFC 9162, 2.1, word for word.
mod definition {
    use super::*;

    fn k(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    pub(super) fn mth(d: &[Hash]) -> Hash {
        match d {
            [] => empty_root(),
            [one] => *one,
            _ => node_hash(&mth(&d[..k(d.len())]), &mth(&d[k(d.len())..])),
        }
    }

    pub(super) fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() == 1 {
            return Vec::new();
        }
        let k = k(d.len());
        let (mut rest, sibling) = if m < k {
            (path(m, &d[..k]), mth(&d[k..]))
        } else {
            (path(m - k, &d[k..]), mth(&d[..k]))
        };
        rest.push(sibling);
        rest
    }

    pub(super) fn proof(m: usize, d: &[Hash]) -> Vec<Hash> {
        subproof(m, d, true)
    }

    fn subproof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
        if m == d.len() {
            return if whole { Vec::new() } else { vec![mth(d)] };
        }
        let k = k(d.len());
        let (mut rest, sibling) = if m <= k {
            (subproof(m, &d[..k], whole), mth(&d[k..]))
        } else {
            (subproof(m - k, &d[k..], false), mth(&d[..k]))
        };
        rest.push(sibling);
        rest
    }
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn every_size_to_64_matches_the_definition() {
    let all = leaves(64);
    let tree: Tree = all.iter().copied().collect();
    let mut frontier = Frontier::new();
    for n in 0..=64usize {
        let size = n as u64;
        let data = &all[..n];
        let root = definition::mth(data);
        assert_eq!(tree.root_at(size).unwrap(), root);
        assert_eq!((frontier.size(), frontier.root()), (size, root));
        for (i, leaf) in data.iter().enumerate() {
            let proof = tree.inclusion_proof(i as u64, size).unwrap();
            assert_eq!(proof, definition::path(i, data), "{i} of {n}");
            verify_inclusion(leaf, i as u64, size, &proof, &root).unwrap();
        }
        for m in 1..=n {
            let proof = tree.consistency_proof(m as u64, size).unwrap();
            assert_eq!(proof, definition::proof(m, data), "{m} to {n}");
            let old = definition::mth(&all[..m]);
            verify_consistency(m as u64, &old, size, &root, &proof).unwrap();
        }
        if n < 64 {
            frontier.append(all[n]);
        }
    }
}

#[test]
fn every_flipped_or_missing_hash_is_refused() {
    let all = leaves(23);
    let tree: Tree = all.iter().copied().collect();
    for size in 1..=23 {
        let root = tree.root_at(size).unwrap();
        for index in 0..size {
            let leaf = tree.leaf(index).unwrap();
            let proof = tree.inclusion_proof(index, size).unwrap();
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at][31] ^= 1;
                assert!(verify_inclusion(&leaf, index, size, &bad, &root).is_err());
                bad.remove(at);
                assert!(matches!(
                    verify_inclusion(&leaf, index, size, &bad, &root),
                    Err(MerkleError::Length { .. })
                ));
            }
            let mut longer = proof.clone();
            longer.push(root);
            assert!(verify_inclusion(&leaf, index, size, &longer, &root).is_err());
            for other in (0..size).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
        }
        for old in 1..size {
            let before = tree.root_at(old).unwrap();
            let proof = tree.consistency_proof(old, size).unwrap();
            for at in 0..proof.len() {
                let mut bad = proof.clone();
                bad[at][0] ^= 0x80;
                assert!(verify_consistency(old, &before, size, &root, &bad).is_err());
                bad.remove(at);
                assert!(verify_consistency(old, &before, size, &root, &bad).is_err());
            }
            let mut fork = before;
            fork[7] ^= 1;
            assert!(verify_consistency(old, &fork, size, &root, &proof).is_err());
            let mut fork = root;
            fork[7] ^= 1;
            assert!(verify_consistency(old, &before, size, &fork, &proof).is_err());
        }
    }
}

#[test]
fn the_edges_of_consistency() {
    let tree: Tree = leaves(3).into_iter().collect();
    let (empty, one, three) = (empty_root(), tree.root_at(1).unwrap(), tree.root());
    verify_consistency(0, &empty, 0, &empty, &[]).unwrap();
    verify_consistency(0, &empty, 3, &three, &[]).unwrap();
    verify_consistency(3, &three, 3, &three, &[]).unwrap();
    let refused = |old, a: &Hash, new, b: &Hash, p: &[Hash]| {
        verify_consistency(old, a, new, b, p).unwrap_err()
    };
    assert_eq!(
        refused(0, &one, 3, &three, &[]),
        MerkleError::Root { size: 0 }
    );
    assert_eq!(
        refused(0, &empty, 0, &three, &[]),
        MerkleError::Root { size: 0 }
    );
    assert_eq!(
        refused(3, &three, 1, &one, &[]),
        MerkleError::Order { old: 3, new: 1 }
    );
    assert_eq!(
        refused(3, &one, 3, &three, &[]),
        MerkleError::Root { size: 3 }
    );
    assert_eq!(
        refused(3, &three, 3, &three, &[one]),
        MerkleError::Length {
            expected: 0,
            got: 1
        }
    );
    assert!(verify_consistency(u64::MAX - 1, &one, u64::MAX, &three, &[one; 63]).is_err());
    assert!(verify_inclusion(&one, u64::MAX - 1, u64::MAX, &[one; 64], &three).is_err());
    assert!(verify_inclusion(&one, 0, 0, &[], &empty).is_err());
    assert!(tree.root_at(4).is_err());
    assert!(tree.inclusion_proof(3, 3).is_err());
    assert!(tree.inclusion_proof(0, 4).is_err());
    assert!(tree.consistency_proof(3, 2).is_err());
}

#[test]
fn a_leaf_cannot_pass_for_a_node() {
    let tree: Tree = leaves(2).into_iter().collect();
    let mut joined = tree.leaf(0).unwrap().to_vec();
    joined.extend(tree.leaf(1).unwrap());
    assert_ne!(leaf_hash(&joined), tree.root());
}

#[test]
fn ten_thousand_leaves_are_proved_quickly() {
    let started = std::time::Instant::now();
    let tree: Tree = leaves(10_000).into_iter().collect();
    let root = tree.root();
    for index in 0..10_000 {
        let proof = tree.inclusion_proof(index, 10_000).unwrap();
        verify_inclusion(&tree.leaf(index).unwrap(), index, 10_000, &proof, &root).unwrap();
    }
    assert!(started.elapsed().as_millis() < 1_000, "{started:?}");
}

proptest! {
    #[test]
    fn larger_trees_prove_and_verify(size in 1u64..3_000, a in any::<u64>(), b in any::<u64>()) {
        let all = leaves(size);
        let tree: Tree = all.iter().copied().collect();
        let (index, old) = (a % size, b % size + 1);
        let root = tree.root();
        prop_assert_eq!(root, definition::mth(&all));
        let proof = tree.inclusion_proof(index, size).unwrap();
        verify_inclusion(&tree.leaf(index).unwrap(), index, size, &proof, &root).unwrap();
        let before = tree.root_at(old).unwrap();
        let proof = tree.consistency_proof(old, size).unwrap();
        verify_consistency(old, &before, size, &root, &proof).unwrap();
    }

    #[test]
    fn random_bytes_never_pass(
        old in any::<u64>(), new in any::<u64>(),
        proof in prop::collection::vec(any::<Hash>(), 0..70),
        a in any::<Hash>(), b in any::<Hash>(),
    ) {
        prop_assert!(verify_consistency(old, &a, new, &b, &proof).is_err());
        prop_assert!(verify_inclusion(&a, old, new, &proof, &b).is_err());
    }
}
