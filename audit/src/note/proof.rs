//! Proof files: that an entry is in a log, for someone with neither.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{NoteError, SignedCheckpoint, Verified, VerifierKey, decimal, decode_hash};
use crate::merkle::{Hash, MAX_PROOF_HASHES, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The place of an entry in a log, the path to the log's root, and the log's signed head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// What the application adds; covered by no signature.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry, from 0.
    pub index: u64,
    /// Sibling hashes from the leaf up.
    pub path: Vec<Hash>,
    /// The head that the path leads to.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Reads a proof file. Nothing is checked but its form.
    ///
    /// # Errors
    /// When it is not a proof file.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = |line, why| NoteError::Proof { line, why };
        let (head, checkpoint) = text
            .split_once("\n\n")
            .ok_or(malformed(1, "no empty line before the checkpoint"))?;
        let mut lines = head.split('\n').zip(1..).peekable();
        if lines.next().is_none_or(|(line, _)| line != HEADER) {
            return Err(malformed(1, "expected `c2sp.org/tlog-proof@v1`"));
        }
        let extra = lines
            .next_if(|(line, _)| line.starts_with("extra "))
            .map(|(line, at)| {
                line.strip_prefix("extra ")
                    .and_then(|encoded| STANDARD.decode(encoded).ok())
                    .ok_or(malformed(at, "the extra data is not base64"))
            })
            .transpose()?;
        let (line, at) = lines.next().ok_or(malformed(2, "no index"))?;
        let index = line
            .strip_prefix("index ")
            .and_then(decimal)
            .ok_or(malformed(at, "expected `index` and a plain decimal number"))?;
        let path = lines
            .map(|(line, at)| {
                let within = at <= MAX_PROOF_HASHES + 3;
                within
                    .then(|| decode_hash(line))
                    .flatten()
                    .ok_or(malformed(at, "not one of at most 64 hashes in base64"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            extra,
            index,
            path,
            checkpoint: SignedCheckpoint::parse(checkpoint)?,
        })
    }

    /// Checks that the entry with hash `leaf` is where the proof says, in the log that signs with `log`.
    ///
    /// # Errors
    /// When the log's signature or the path does not hold, or the checkpoint is another log's.
    pub fn verify(&self, leaf: &Hash, log: &VerifierKey) -> Result<Verified, NoteError> {
        let head = self.checkpoint.checkpoint();
        if head.origin() != log.name() {
            return Err(NoteError::NotSigned {
                name: log.name().to_owned(),
                key_id: log.key_id(),
            });
        }
        let verified = self.checkpoint.verify(log)?;
        verify_inclusion(leaf, self.index, head.size(), &self.path, head.root())?;
        Ok(verified)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}
