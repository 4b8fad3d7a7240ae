//! What secure aggregation needs of each client: mask keys, signed statements, boxes for shares.
//!
//! - [`MaskSecret`]: an X25519 key for one sum. Two of them agree on the seed of a mask that one client
//!   adds and the other subtracts; 32 bytes, so that it can be shared by [`shamir`](crate::shamir).
//! - [`StatementKey`]: an Ed25519 key for one job, with which a client signs what a coordinator carries.
//!   Its public half reaches the others over links that certificates authenticate.
//! - [`seal_once`], [`open_once`]: AES-256-GCM under a key that is derived for this one message.
//!
//! Sources: RFC 7748 (X25519), RFC 8032 (Ed25519, `verify_strict`), RFC 5869 (HKDF), SP 800-38D (GCM).

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use rand::{TryRng, rngs::SysRng};
use ring::aead;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Bytes that [`seal_once`] adds.
pub const SEAL_BYTES: usize = 16;

/// Why a key or a box is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskingError {
    /// The operating system gives no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// A public key of small order: the seed would be known to all.
    #[error("a mask key is of small order")]
    SmallOrder,
    /// No public key.
    #[error("these 32 bytes are no public key")]
    Key,
    /// The signature is not of this statement by this key.
    #[error("the signature does not verify")]
    Signature,
    /// The box was altered or sealed with another key.
    #[error("the box does not open: altered, or sealed with another key")]
    Sealed,
}

/// 32 bytes from the operating system.
///
/// # Errors
/// When it gives none.
pub fn fresh() -> Result<Zeroizing<[u8; 32]>, MaskingError> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(bytes.as_mut())
        .map_err(|_| MaskingError::Randomness)?;
    Ok(bytes)
}

/// A secret derived from another for one purpose.
pub fn derive(secret: &[u8; 32], salt: &[u8], purpose: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut out = Zeroizing::new([0; 32]);
    // Unwrap safety: 32 bytes are far below HKDF-SHA256's limit of 8160.
    #[allow(clippy::unwrap_used)]
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand_multi_info(purpose, out.as_mut())
        .unwrap();
    out
}

/// A client's secret key for the masks of one sum.
pub struct MaskSecret(StaticSecret);

impl fmt::Debug for MaskSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskSecret(secret)")
    }
}

impl MaskSecret {
    /// A fresh key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh() -> Result<Self, MaskingError> {
        Ok(Self::from_bytes(&*fresh()?))
    }

    /// The key with these bytes, as put together from shares.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(StaticSecret::from(*bytes))
    }

    /// Its bytes, to be shared.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// The seed shared with the holder of `peer`, for this session: the same at both ends.
    ///
    /// # Errors
    /// When `peer` is of small order.
    pub fn seed_with(
        &self,
        peer: &[u8; 32],
        session: &[u8; 32],
    ) -> Result<Zeroizing<[u8; 32]>, MaskingError> {
        let shared = self.0.diffie_hellman(&PublicKey::from(*peer));
        if !shared.was_contributory() {
            return Err(MaskingError::SmallOrder);
        }
        let own = self.public();
        let (low, high) = if own < *peer {
            (&own, peer)
        } else {
            (peer, &own)
        };
        let secret = Zeroizing::new(shared.to_bytes());
        Ok(derive(
            &secret,
            session,
            &[b"paripassu/v1 secagg pair", low, high],
        ))
    }
}

/// A client's key for signed statements in one job.
pub struct StatementKey(SigningKey);

impl fmt::Debug for StatementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatementKey(secret)")
    }
}

impl StatementKey {
    /// A fresh key.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh() -> Result<Self, MaskingError> {
        Ok(Self(SigningKey::from_bytes(&*fresh()?)))
    }

    /// The public half.
    pub fn public(&self) -> StatementVerifier {
        StatementVerifier(self.0.verifying_key())
    }

    /// A signature of this statement.
    pub fn sign(&self, statement: &[u8]) -> [u8; 64] {
        self.0.sign(statement).to_bytes()
    }
}

/// The public half of a [`StatementKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementVerifier(VerifyingKey);

impl StatementVerifier {
    /// The key with these bytes.
    ///
    /// # Errors
    /// When they are no point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, MaskingError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| MaskingError::Key)?;
        match key.is_weak() {
            true => Err(MaskingError::Key),
            false => Ok(Self(key)),
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Checks a signature.
    ///
    /// # Errors
    /// When it is not of this statement by this key.
    pub fn verify(&self, statement: &[u8], signature: &[u8; 64]) -> Result<(), MaskingError> {
        self.0
            .verify_strict(statement, &Signature::from_bytes(signature))
            .map_err(|_| MaskingError::Signature)
    }
}

fn cipher(key: &[u8; 32]) -> aead::LessSafeKey {
    // Unwrap safety: AES-256-GCM takes 32 bytes, which the type gives.
    #[allow(clippy::unwrap_used)]
    aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).unwrap())
}

fn only() -> aead::Nonce {
    aead::Nonce::assume_unique_for_key([0; 12])
}

/// Seals a short message under a key that seals nothing else.
pub fn seal_once(key: &[u8; 32], header: &[u8], message: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    // Unwrap safety: the cipher takes up to 2^36 bytes; messages here are of some hundred.
    #[allow(clippy::unwrap_used)]
    cipher(key)
        .seal_in_place_append_tag(only(), aead::Aad::from(header), &mut out)
        .unwrap();
    out
}

/// Opens what [`seal_once`] sealed.
///
/// # Errors
/// When it was altered or sealed with another key or header.
pub fn open_once(
    key: &[u8; 32],
    header: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, MaskingError> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let len = cipher(key)
        .open_in_place(only(), aead::Aad::from(header), &mut buffer)
        .map_err(|_| MaskingError::Sealed)?
        .len();
    buffer.truncate(len);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_agree_on_a_seed_for_this_session_only() {
        let (a, b) = (MaskSecret::fresh().unwrap(), MaskSecret::fresh().unwrap());
        let seed = a.seed_with(&b.public(), &[1; 32]).unwrap();
        assert_eq!(*seed, *b.seed_with(&a.public(), &[1; 32]).unwrap());
        assert_ne!(*seed, *b.seed_with(&a.public(), &[2; 32]).unwrap());
        let again = MaskSecret::from_bytes(&a.to_bytes());
        assert_eq!(again.public(), a.public());
        let zero = a.seed_with(&[0; 32], &[1; 32]);
        assert_eq!(zero.unwrap_err(), MaskingError::SmallOrder);
    }

    #[test]
    fn statements_and_boxes_bear_no_alteration() {
        let key = StatementKey::fresh().unwrap();
        let public = StatementVerifier::from_bytes(&key.public().to_bytes()).unwrap();
        let mut signature = key.sign(b"survivors");
        public.verify(b"survivors", &signature).unwrap();
        assert!(public.verify(b"survivorz", &signature).is_err());
        signature[40] ^= 1;
        assert!(public.verify(b"survivors", &signature).is_err());
        assert!(StatementVerifier::from_bytes(&[0; 32]).is_err());

        let sealed = seal_once(&[3; 32], b"head", b"two shares");
        assert_eq!(sealed.len(), 10 + SEAL_BYTES);
        let opened = open_once(&[3; 32], b"head", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"two shares");
        for (key, header) in [([4; 32], &b"head"[..]), ([3; 32], b"heap")] {
            assert!(open_once(&key, header, &sealed).is_err());
        }
        for at in 0..sealed.len() {
            let mut other = sealed.clone();
            other[at] ^= 0x10;
            assert!(open_once(&[3; 32], b"head", &other).is_err());
        }
        assert!(open_once(&[3; 32], b"head", &sealed[..9]).is_err());
    }

    #[test]
    fn keys_print_nothing() {
        let key = MaskSecret::fresh().unwrap();
        assert_eq!(format!("{key:?}"), "MaskSecret(secret)");
    }
}
