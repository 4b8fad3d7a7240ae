//! Who signs, and how a key is named.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use super::EventError;

/// The name of the signature algorithm of this version.
pub const ED25519: &str = "ed25519";

/// DER in front of the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// The name of a key: SHA-256 of its SubjectPublicKeyInfo, the same value that pins hold.
pub fn key_digest(key: &VerifyingKey) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(SPKI_PREFIX);
    hash.update(key.as_bytes());
    hash.finalize().into()
}

/// Signs events, wherever the key is kept.
pub trait EventSigner: Send + Sync {
    /// The algorithm as it stands in the envelope.
    fn algorithm(&self) -> &'static str;
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate in use.
    fn key(&self) -> [u8; 32];
    /// A signature over these bytes.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, EventError>;
}

/// An Ed25519 key in memory.
pub struct KeySigner {
    key: SigningKey,
}

impl std::fmt::Debug for KeySigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySigner")
    }
}

impl KeySigner {
    /// Signs with this key.
    pub fn new(key: SigningKey) -> Self {
        Self { key }
    }

    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self::new(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }
}

impl EventSigner for KeySigner {
    fn algorithm(&self) -> &'static str {
        ED25519
    }

    fn key(&self) -> [u8; 32] {
        key_digest(&self.key.verifying_key())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, EventError> {
        Ok(self.key.sign(message).to_bytes().to_vec())
    }
}
