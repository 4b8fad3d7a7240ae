//! Signed notes, checkpoints, cosignatures and proof files (C2SP text formats).
//!
//! A [`Note`] is a text with signature lines below it (C2SP signed-note). A [`Checkpoint`] is a note's
//! text that states the size and root of a log (tlog-checkpoint); the log signs it, and witnesses add
//! timestamped cosignatures (tlog-cosignature, Ed25519). A [`TlogProof`] is a file that shows to anyone
//! that an entry is in a log (tlog-proof).
//!
//! Reading is strict: what is read prints again as the same bytes, and everything else is refused.
//!
//! ```
//! use ed25519_dalek::SigningKey;
//! use paripassu_audit::note::{Checkpoint, Ed25519Signer, SignatureType, SignedCheckpoint, VerifierKey};
//!
//! let log = Ed25519Signer::new(SigningKey::from_bytes(&[1; 32]));
//! let witness = Ed25519Signer::new(SigningKey::from_bytes(&[2; 32]));
//! let head = Checkpoint::new("paripassu/party/bank", 3, [7; 32])?;
//! let mut signed = SignedCheckpoint::sign(head, &log)?;
//! signed.cosign("paripassu/party/bureau", 1_772_323_200, &witness)?;
//!
//! let read = SignedCheckpoint::parse(&signed.to_string())?;
//! let key = VerifierKey::of("paripassu/party/bank", SignatureType::Note, &log)?;
//! read.verify(&key)?;
//! let key = VerifierKey::of("paripassu/party/bureau", SignatureType::Cosignature, &witness)?;
//! assert_eq!(read.verify(&key)?.timestamp, Some(1_772_323_200));
//! # Ok::<(), paripassu_audit::note::NoteError>(())
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

mod checkpoint;
mod key;
mod proof;
#[cfg(test)]
mod tests;

pub use checkpoint::{CheckedLine, Checkpoint, MAX_ORIGIN_BYTES, SignedCheckpoint};
pub use key::{Algorithm, Ed25519Signer, SignatureType, Signer, SignerError, VerifierKey};
pub use proof::TlogProof;

/// Longest note that is read.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Most signature lines that are read.
pub const MAX_SIGNATURES: usize = 64;

const MARK: &str = "\u{2014} ";

/// Why a note, a key or a proof file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// The note is longer than any this system writes.
    #[error("the note has {got} bytes; at most {limit} are read")]
    TooLong {
        /// Longest length read.
        limit: usize,
        /// Length given.
        got: usize,
    },
    /// Bytes that no note holds.
    #[error(
        "the note holds a control character or is not UTF-8; it may have been changed on the way"
    )]
    Characters,
    /// The parts of a note are not there.
    #[error("not a signed note: {missing}")]
    Shape {
        /// What is missing.
        missing: &'static str,
    },
    /// A signature line is malformed.
    #[error(
        "signature line {line} is malformed: expected `\u{2014} name base64(key id and signature)`"
    )]
    SignatureLine {
        /// The line among the signature lines, from 1.
        line: usize,
    },
    /// Too many signature lines.
    #[error("the note has {got} signatures; at most {limit} are read")]
    TooManySignatures {
        /// Most that are read.
        limit: usize,
        /// Lines given.
        got: usize,
    },
    /// A key's name is malformed.
    #[error(
        "`{name}` cannot name a key: a name is not empty and has no space, no plus and no control character"
    )]
    Name {
        /// The name as given.
        name: String,
    },
    /// An encoded verifier key is malformed.
    #[error("not a verifier key: {why} (expected `name+8 hex digits+base64`)")]
    Key {
        /// What is wrong.
        why: &'static str,
    },
    /// A signature is missing.
    #[error("{name} (key {key_id:08x}) has not signed this note")]
    NotSigned {
        /// The name of the key asked for.
        name: String,
        /// Its id.
        key_id: u32,
    },
    /// One key has signed twice.
    #[error("{name} (key {key_id:08x}) has signed this note twice; keep one line")]
    SignedTwice {
        /// The name of the key.
        name: String,
        /// Its id.
        key_id: u32,
    },
    /// A signature does not hold.
    #[error(
        "the signature of {name} (key {key_id:08x}) does not hold: the text was changed or another key signed it"
    )]
    Signature {
        /// The name of the key.
        name: String,
        /// Its id.
        key_id: u32,
    },
    /// The text of a checkpoint is malformed.
    #[error("not a checkpoint, line {line}: {why}")]
    Checkpoint {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A proof file is malformed.
    #[error("not a proof file, line {line}: {why}")]
    Proof {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The proof does not hold.
    #[error("the proof does not hold: {0}")]
    Merkle(#[from] crate::merkle::MerkleError),
    /// The key cannot sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: u32,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// Reads one line, without its newline.
    ///
    /// # Errors
    /// When it is not `— name base64(key id and signature)`.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        Self::read(line).ok_or(NoteError::SignatureLine { line: 1 })
    }

    fn read(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(MARK)?.split_once(' ')?;
        if !key::is_name(name) {
            return None;
        }
        let blob = STANDARD.decode(encoded).ok()?;
        let (key_id, signature) = blob.split_first_chunk()?;
        if signature.is_empty() {
            return None;
        }
        Some(Self {
            name: name.to_owned(),
            key_id: u32::from_be_bytes(*key_id),
            signature: signature.to_vec(),
        })
    }

    /// Name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Id of the key, which depends on its name, type and bytes.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The signature as the key's type defines it.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = self.key_id.to_be_bytes().to_vec();
        blob.extend(&self.signature);
        write!(f, "{MARK}{} {}", self.name, STANDARD.encode(blob))
    }
}

/// What a signature that holds says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// When a cosigner signed, in seconds since 1970; `None` for a signature without a time.
    pub timestamp: Option<u64>,
}

/// A text and the signatures below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// A note without signatures yet.
    ///
    /// # Errors
    /// When the text does not end in a newline or holds control characters.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Shape {
                missing: "the text has no newline at its end",
            });
        }
        Ok(Self {
            text,
            signatures: Vec::new(),
        })
    }

    /// Reads a note with at least one signature line. Signatures are not checked.
    ///
    /// # Errors
    /// When it is not a signed note, or longer than [`MAX_NOTE_BYTES`].
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        check_text(note)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Shape {
            missing: "no empty line between text and signatures",
        })?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Shape {
            missing: "no newline at the end, the note is cut off",
        })?;
        let count = lines.split('\n').count();
        if count > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures {
                limit: MAX_SIGNATURES,
                got: count,
            });
        }
        let signatures = lines
            .split('\n')
            .enumerate()
            .map(|(at, line)| {
                NoteSignature::read(line).ok_or(NoteError::SignatureLine { line: at + 1 })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }

    /// The text that is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines in their order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Signs the text under `name` and adds the line. `timestamp` (seconds since 1970) is used by
    /// cosignatures only.
    ///
    /// # Errors
    /// When the name is not a key name or the key cannot sign.
    pub fn sign(
        &mut self,
        name: &str,
        kind: SignatureType,
        timestamp: u64,
        signer: &dyn Signer,
    ) -> Result<&NoteSignature, NoteError> {
        let key = VerifierKey::of(name, kind, signer)?;
        let signature = match kind {
            SignatureType::Note => signer.sign(self.text.as_bytes())?,
            SignatureType::Cosignature => {
                let mut signature = timestamp.to_be_bytes().to_vec();
                signature.extend(signer.sign(&key::cosigned(timestamp, &self.text))?);
                signature
            }
        };
        self.add(NoteSignature {
            name: name.to_owned(),
            key_id: key.key_id(),
            signature,
        })
    }

    /// Adds a line; one of the same key that was there is replaced. The signature is not checked.
    ///
    /// # Errors
    /// When there are [`MAX_SIGNATURES`] of other keys already.
    pub fn add(&mut self, signature: NoteSignature) -> Result<&NoteSignature, NoteError> {
        self.signatures
            .retain(|line| (&line.name, line.key_id) != (&signature.name, signature.key_id));
        let got = self.signatures.len() + 1;
        if got > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures {
                limit: MAX_SIGNATURES,
                got,
            });
        }
        Ok(self.signatures.push_mut(signature))
    }

    /// Checks the signature of `key`. Lines of other keys are ignored, as the format demands.
    ///
    /// # Errors
    /// When the key has not signed, has signed twice, or its signature does not hold.
    pub fn verify(&self, key: &VerifierKey) -> Result<Verified, NoteError> {
        let mut lines = self
            .signatures
            .iter()
            .filter(|line| line.name == key.name() && line.key_id == key.key_id());
        let (name, key_id) = (key.name().to_owned(), key.key_id());
        let Some(line) = lines.next() else {
            return Err(NoteError::NotSigned { name, key_id });
        };
        if lines.next().is_some() {
            return Err(NoteError::SignedTwice { name, key_id });
        }
        key.verify(&self.text, &line.signature)
            .ok_or(NoteError::Signature { name, key_id })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            writeln!(f, "{signature}")?;
        }
        Ok(())
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_NOTE_BYTES {
        return Err(NoteError::TooLong {
            limit: MAX_NOTE_BYTES,
            got: text.len(),
        });
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Characters);
    }
    Ok(())
}

/// Decimal digits without leading zeroes or a sign.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let short = text == "0" || !text.starts_with('0');
    (plain && short).then(|| text.parse().ok()).flatten()
}

fn decode_hash(text: &str) -> Option<crate::merkle::Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
