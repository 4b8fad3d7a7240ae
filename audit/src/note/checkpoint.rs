//! Checkpoints: the size and root of a log, signed and cosigned.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Note, NoteError, NoteSignature, SignatureType, Signer, Verified, VerifierKey, decimal,
    decode_hash, key::is_name,
};
use crate::merkle::Hash;

/// Longest origin: what newer cosignature types can carry.
pub const MAX_ORIGIN_BYTES: usize = 255;

/// The head of a log: three lines, no extension lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The head of the log `origin`.
    ///
    /// # Errors
    /// When the origin cannot name a key (the log signs under its origin) or is too long.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, NoteError> {
        if !is_name(origin) || origin.len() > MAX_ORIGIN_BYTES {
            return Err(NoteError::Name {
                name: origin.to_owned(),
            });
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
        })
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// When it is not three lines of origin, size and root. Extension lines are refused: no log here
    /// writes them and no witness vouches for them.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let malformed = |line, why| NoteError::Checkpoint { line, why };
        let mut lines = text.split('\n');
        let mut next = |line| lines.next().ok_or(malformed(line, "it is missing"));
        let origin = next(1)?;
        let size =
            decimal(next(2)?).ok_or(malformed(2, "the size is not a plain decimal number"))?;
        let root =
            decode_hash(next(3)?).ok_or(malformed(3, "the root is not 32 bytes in base64"))?;
        if !next(4)?.is_empty() || lines.next().is_some() {
            return Err(malformed(4, "extension lines are not accepted"));
        }
        Self::new(origin, size, root)
    }

    /// The unique name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root over the entries.
    pub fn root(&self) -> &Hash {
        &self.root
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root);
        writeln!(f, "{}\n{}\n{root}", self.origin, self.size)
    }
}

/// A checkpoint with its signature lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs as the log itself, under its origin.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(checkpoint: Checkpoint, signer: &dyn Signer) -> Result<Self, NoteError> {
        let mut note = Note::new(checkpoint.to_string())?;
        note.sign(&checkpoint.origin, SignatureType::Note, 0, signer)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a checkpoint with its signature lines. Signatures are not checked.
    ///
    /// # Errors
    /// When it is not a signed note or its text not a checkpoint.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let note = Note::parse(text)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        Ok(Self { checkpoint, note })
    }

    /// The head that is signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note with its signature lines.
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Adds a witness's cosignature at `timestamp`, in seconds since 1970.
    ///
    /// Says nothing of what came before: see [`Witness`](crate::witness::Witness).
    ///
    /// # Errors
    /// When the name is not a key name, the time is beyond 2^63 − 1 or the key cannot sign.
    pub fn cosign(
        &mut self,
        name: &str,
        timestamp: u64,
        signer: &dyn Signer,
    ) -> Result<&NoteSignature, NoteError> {
        if i64::try_from(timestamp).is_err() {
            return Err(NoteError::Shape {
                missing: "no time before 2^63 seconds",
            });
        }
        self.note
            .sign(name, SignatureType::Cosignature, timestamp, signer)
    }

    /// Adds a signature line that `key` has made, or replaces that key's line, after checking it.
    ///
    /// # Errors
    /// When the line is not of this key or its signature does not hold.
    pub fn add(
        &mut self,
        signature: NoteSignature,
        key: &VerifierKey,
    ) -> Result<Verified, NoteError> {
        let checked = self.check(signature, key)?;
        let verified = checked.verified;
        self.add_checked(checked)?;
        Ok(verified)
    }

    /// Checks a signature line for this head that `key` has made, and leaves the head as it is.
    ///
    /// # Errors
    /// When the line is not of this key or its signature does not hold.
    pub fn check(&self, line: NoteSignature, key: &VerifierKey) -> Result<CheckedLine, NoteError> {
        let mut note = Note::new(self.note.text())?;
        note.add(line.clone())?;
        Ok(CheckedLine {
            verified: note.verify(key)?,
            head: self.checkpoint.clone(),
            line,
        })
    }

    /// Adds a line that was checked, or replaces its key's.
    ///
    /// # Errors
    /// When it was checked for another head, or there are too many lines.
    pub fn add_checked(&mut self, checked: CheckedLine) -> Result<(), NoteError> {
        if checked.head != self.checkpoint {
            return Err(NoteError::Shape {
                missing: "the line was checked for another head",
            });
        }
        self.note.add(checked.line).map(|_| ())
    }

    /// The head with the line of `key` alone, which is checked.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) fn of(&self, key: &VerifierKey) -> Result<Self, NoteError> {
        self.verify(key)?;
        let mut note = Note::new(self.note.text())?;
        let lines = self.note.signatures().iter();
        for line in lines.filter(|l| (l.name(), l.key_id()) == (key.name(), key.key_id())) {
            note.add(line.clone())?;
        }
        let checkpoint = self.checkpoint.clone();
        Ok(Self { checkpoint, note })
    }

    /// Checks the signature of `key`.
    ///
    /// # Errors
    /// When the key has not signed, has signed twice, or its signature does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<Verified, NoteError> {
        self.note.verify(key)
    }
}

/// A signature line of which its key and its head are known: made by [`SignedCheckpoint::check`] alone, so that no
/// signature is verified twice and none is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedLine {
    head: Checkpoint,
    line: NoteSignature,
    verified: Verified,
}

impl CheckedLine {
    /// The head that it signs.
    pub fn head(&self) -> &Checkpoint {
        &self.head
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
