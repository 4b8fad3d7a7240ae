//! Keys: who signs, with what, and how a reader names them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::{NoteError, Verified};

/// Why a key did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the signing key `{key}` did not sign: {why}")]
pub struct SignerError {
    /// How the operator knows the key: a file, a slot.
    pub key: String,
    /// What went wrong.
    #[source]
    pub why: Box<dyn std::error::Error + Send + Sync>,
}

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8032).
    Ed25519,
}

/// Signs bytes with a key that it may hold in memory, in a device or elsewhere.
///
/// The algorithm belongs to the key, so that another one can be added without a change to any caller.
pub trait Signer: Send + Sync {
    /// The algorithm of the key.
    fn algorithm(&self) -> Algorithm;

    /// The public key as its algorithm encodes it: 32 bytes for Ed25519.
    fn public_key(&self) -> Vec<u8>;

    /// Signs `message`.
    ///
    /// # Errors
    /// When the key is out of reach.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// An Ed25519 key in memory; wiped on drop.
pub struct Ed25519Signer(SigningKey);

impl Ed25519Signer {
    /// Signs with `key`.
    pub fn new(key: SigningKey) -> Self {
        Self(key)
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Signer(..)")
    }
}

impl Signer for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.verifying_key().to_bytes().to_vec()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

/// What a signature covers, and the byte that says so in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureType {
    /// The text alone (0x01, signed-note).
    Note,
    /// The text and a time, by a witness (0x04, tlog-cosignature).
    Cosignature,
}

impl SignatureType {
    fn byte(self, algorithm: Algorithm) -> u8 {
        match (self, algorithm) {
            (Self::Note, Algorithm::Ed25519) => 0x01,
            (Self::Cosignature, Algorithm::Ed25519) => 0x04,
        }
    }

    fn from_byte(byte: u8) -> Option<(Self, Algorithm)> {
        match byte {
            0x01 => Some((Self::Note, Algorithm::Ed25519)),
            0x04 => Some((Self::Cosignature, Algorithm::Ed25519)),
            _ => None,
        }
    }
}

/// A key that a reader trusts to sign under a name: `name+8 hex digits+base64(type and key)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    kind: SignatureType,
    key_id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The key with the given public bytes.
    ///
    /// # Errors
    /// When the name is not a key name or the bytes are not a public key.
    pub fn new(
        name: &str,
        kind: SignatureType,
        algorithm: Algorithm,
        public_key: &[u8],
    ) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Name {
                name: name.to_owned(),
            });
        }
        let Algorithm::Ed25519 = algorithm;
        let bytes = public_key.try_into().map_err(|_| NoteError::Key {
            why: "an Ed25519 key has 32 bytes",
        })?;
        let key = VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak());
        let key = key.ok_or(NoteError::Key {
            why: "the bytes are not an Ed25519 public key",
        })?;
        let id = Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', kind.byte(algorithm)])
            .chain_update(public_key)
            .finalize();
        let [a, b, c, d, ..] = id.0;
        Ok(Self {
            name: name.to_owned(),
            kind,
            key_id: u32::from_be_bytes([a, b, c, d]),
            key,
        })
    }

    /// The key that checks what `signer` signs under `name`.
    ///
    /// # Errors
    /// When the name is not a key name or the signer's public key is malformed.
    pub fn of(name: &str, kind: SignatureType, signer: &dyn Signer) -> Result<Self, NoteError> {
        Self::new(name, kind, signer.algorithm(), &signer.public_key())
    }

    /// The same key under another type: the log key of a node as its witness key.
    ///
    /// # Errors
    /// Never in practice: name and key are those of a key.
    pub fn as_type(&self, kind: SignatureType) -> Result<Self, NoteError> {
        Self::new(&self.name, kind, self.algorithm(), self.key.as_bytes())
    }

    /// The name under which it signs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures cover.
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    /// The short id in signature lines.
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The public key.
    pub fn public_key(&self) -> &[u8] {
        self.key.as_bytes()
    }

    /// What the signature says of `text`, if it holds.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<Verified> {
        let (timestamp, message, signature) = match self.kind {
            SignatureType::Note => (None, text.as_bytes().to_vec(), signature),
            SignatureType::Cosignature => {
                let (time, signature) = signature.split_first_chunk()?;
                let time = u64::from_be_bytes(*time);
                i64::try_from(time).ok()?;
                (Some(time), cosigned(time, text), signature)
            }
        };
        let signature = Signature::from_slice(signature).ok()?;
        self.key.verify_strict(&message, &signature).ok()?;
        Some(Verified { timestamp })
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let malformed = |why| NoteError::Key { why };
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(encoded)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has fewer than three parts"));
        };
        let blob = STANDARD
            .decode(encoded)
            .map_err(|_| malformed("its last part is not base64"))?;
        let (byte, key) = blob
            .split_first()
            .ok_or(malformed("its last part is empty"))?;
        let (kind, algorithm) = SignatureType::from_byte(*byte)
            .ok_or(malformed("its type is not 0x01 or 0x04 (Ed25519)"))?;
        let key = Self::new(name, kind, algorithm, key)?;
        if id != format!("{:08x}", key.key_id) {
            return Err(malformed("its id is not that of its name and key"));
        }
        Ok(key)
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = vec![self.kind.byte(self.algorithm())];
        blob.extend(self.public_key());
        let encoded = STANDARD.encode(blob);
        write!(f, "{}+{:08x}+{encoded}", self.name, self.key_id)
    }
}

/// What a cosigner signs: a header, the time and the text.
pub(super) fn cosigned(timestamp: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {timestamp}\n{text}").into_bytes()
}

pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}
