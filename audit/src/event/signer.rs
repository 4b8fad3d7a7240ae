//! How a key is named.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::note::Algorithm;

/// The name of the signature algorithm of this version.
pub const ED25519: &str = "ed25519";

/// The name of an algorithm in an envelope.
pub(super) fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Ed25519 => ED25519,
    }
}

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
