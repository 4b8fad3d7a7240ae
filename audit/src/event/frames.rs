//! The count of frames that went one way between two nodes in one step.
//!
//! Sender and receiver digest each frame alike and keep, a step, a running digest and a Merkle root:
//! equal digests mean equal frames in equal order, and two lists of frame digests show the first that
//! differs. The running digest starts from SHA-256 of `paripassu/v1 frames\0`; each frame with digest
//! `f` makes `d` into SHA-256(`d` || `f`). The root is that of a tree whose leaves are the digests.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::hex;
use crate::merkle::{self, Hash};

const DOMAIN: &[u8] = b"paripassu/v1 frames\0";

/// What went one way, as it stands in a `step.finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// How many frames.
    pub frames: u64,
    /// How many bytes in all.
    pub bytes: u64,
    /// The running digest, hexadecimal.
    pub digest: String,
    /// The Merkle root, hexadecimal.
    pub root: String,
}

/// A running count of frames.
#[derive(Clone, Debug)]
pub struct Tally {
    bytes: u64,
    digest: Hash,
    frames: Vec<Hash>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            bytes: 0,
            digest: Sha256::digest(DOMAIN).into(),
            frames: Vec::new(),
        }
    }
}

impl Tally {
    /// No frame so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more frame of this digest and length.
    pub fn push(&mut self, frame: Hash, bytes: u64) {
        let mut hash = Sha256::new();
        hash.update(self.digest);
        hash.update(frame);
        self.digest = hash.finalize().into();
        self.bytes = self.bytes.saturating_add(bytes);
        self.frames.push(frame);
    }

    /// The running digest so far.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// The digests of the frames, in order.
    pub fn frames(&self) -> &[Hash] {
        &self.frames
    }

    /// What is written down of it.
    pub fn flow(&self) -> Flow {
        Flow {
            frames: self.frames.len() as u64,
            bytes: self.bytes,
            digest: hex(&self.digest),
            root: hex(&root(&self.frames)),
        }
    }
}

/// The root over frame digests.
pub fn root(frames: &[Hash]) -> Hash {
    let mut tree = merkle::Tree::new();
    for frame in frames {
        tree.append(merkle::leaf_hash(frame));
    }
    tree.root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_content_matter() {
        let tally = |frames: &[u8]| {
            let mut tally = Tally::new();
            for frame in frames {
                tally.push([*frame; 32], 10);
            }
            tally.flow()
        };
        assert_eq!(tally(&[1, 2, 3]), tally(&[1, 2, 3]));
        for other in [&[1, 3, 2][..], &[1, 2], &[1, 2, 4], &[1, 2, 3, 3]] {
            assert_ne!(tally(&[1, 2, 3]).digest, tally(other).digest);
            assert_ne!(tally(&[1, 2, 3]).root, tally(other).root);
        }
        assert_eq!(tally(&[1, 2, 3]).bytes, 30);
        // SHA-256 of the empty string is the root of no frames (RFC 9162, 2.1.1)
        assert_eq!(tally(&[]).root, hex(&Sha256::digest(b"")));
    }
}
