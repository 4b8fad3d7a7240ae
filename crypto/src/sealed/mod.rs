//! Sealed links: what one node of a job writes, only the addressed node can read.
//!
//! Every node makes a fresh X25519 key for each job and signs it with its certificate key
//! ([`JobKeyStatement`]). Two nodes that have verified each other's statement derive a [`LinkKeys`]:
//!
//! ```text
//! z    = X25519(own secret, peer's public)                      refused when z is all zero
//! prk  = HKDF-Extract(salt = SHA-256 of the contract, z)
//! k_d  = HKDF-Expand(prk, "…/link" ‖ len lower ‖ lower ‖ len higher ‖ higher ‖ d)
//! ```
//!
//! with `d` = 0 for frames from the lower id to the higher, 1 for the other way. A frame is sealed by
//! AES-256-GCM with its position in the link as nonce and all its header fields as associated data,
//! so a key never meets a nonce twice and a header cannot be altered unnoticed.
//!
//! # Limits
//!
//! Forward secrecy is per job. Our own copies of keys and secrets are wiped on drop; the expanded AES
//! schedule inside `ring` and the buffers of the network stack are not.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use rand::{TryRng, rngs::SysRng};
use ring::aead;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const DST_LINK: &[u8] = b"paripassu/v1/link";
const DST_DERIVE: &[u8] = b"paripassu/v1/link-derive";
const DST_JOB_KEY: &[u8] = b"paripassu/v1/job-key";

/// What a link is sealed with, as it is written into transcripts: agreement, derivation, cipher.
pub const SUITE: &str = "X25519 HKDF-SHA256 AES-256-GCM";

/// What sealing adds to a chunk.
pub const TAG_LEN: usize = 16;

/// Why a link or a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The operating system gives no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// The peer's key lies in a small subgroup, so the shared secret would be known to anyone.
    #[error("the job key of `{peer}` is of low order: it would make the link readable by anyone")]
    LowOrder {
        /// Whose key.
        peer: String,
    },
    /// Both ends of a link carry the same id.
    #[error("both ends of the link are called `{id}`")]
    SameId {
        /// The id.
        id: String,
    },
    /// A statement cannot be read.
    #[error("the job key statement is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// A statement is not signed by the key it should be signed by.
    #[error("the signature on the job key does not verify with the certificate's key")]
    Signature,
    /// A frame does not authenticate.
    #[error("the frame does not authenticate")]
    Tampered,
    /// A piece is longer than the cipher takes.
    #[error("the piece cannot be sealed")]
    TooLong,
}

/// A node's secret X25519 key for one job.
#[derive(ZeroizeOnDrop)]
pub struct JobSecret(StaticSecret);

impl JobSecret {
    /// A fresh key from the operating system.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn fresh() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0u8; 32]);
        SysRng
            .try_fill_bytes(bytes.as_mut())
            .map_err(|_| SealError::Randomness)?;
        Ok(Self(StaticSecret::from(*bytes)))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }
}

impl fmt::Debug for JobSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobSecret(..)")
    }
}

/// "In this job, under this contract, I am this node and this is my key."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobKeyStatement {
    /// The job.
    pub job: String,
    /// SHA-256 of the contract.
    pub contract: [u8; 32],
    /// The node's id.
    pub node: String,
    /// Its X25519 public key.
    pub public: [u8; 32],
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(&(field.len() as u64).to_le_bytes());
    out.extend_from_slice(field);
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SealError> {
    const SHORT: SealError = SealError::Malformed {
        what: "it ends early",
    };
    let (len, tail) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| SHORT)?;
    let (field, tail) = tail.split_at_checked(len).ok_or(SHORT)?;
    *rest = tail;
    Ok(field)
}

impl JobKeyStatement {
    /// The one encoding of this statement.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        put(&mut out, DST_JOB_KEY);
        put(&mut out, self.job.as_bytes());
        put(&mut out, &self.contract);
        put(&mut out, self.node.as_bytes());
        put(&mut out, &self.public);
        out
    }

    /// Reads a statement; nothing may be left over.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let malformed = |what| SealError::Malformed { what };
        let mut rest = bytes;
        if take(&mut rest)? != DST_JOB_KEY {
            return Err(malformed("it is another kind of statement or version"));
        }
        let text = |b: &[u8], what| {
            std::str::from_utf8(b)
                .map(str::to_owned)
                .map_err(|_| malformed(what))
        };
        let job = text(take(&mut rest)?, "the job id is not text")?;
        let contract = take(&mut rest)?
            .try_into()
            .map_err(|_| malformed("digest length"))?;
        let node = text(take(&mut rest)?, "the node id is not text")?;
        let public = take(&mut rest)?
            .try_into()
            .map_err(|_| malformed("key length"))?;
        if !rest.is_empty() {
            return Err(malformed("bytes are left over"));
        }
        Ok(Self {
            job,
            contract,
            node,
            public,
        })
    }

    /// Signs with the node's certificate key.
    pub fn sign(&self, key: &SigningKey) -> [u8; 64] {
        key.sign(&self.to_bytes()).to_bytes()
    }

    /// Reads and verifies a signed statement.
    ///
    /// # Errors
    /// When it is malformed or the signature is not by `key`.
    pub fn verify(bytes: &[u8], signature: &[u8], key: &VerifyingKey) -> Result<Self, SealError> {
        let signature = Signature::from_slice(signature).map_err(|_| SealError::Signature)?;
        key.verify_strict(bytes, &signature)
            .map_err(|_| SealError::Signature)?;
        Self::from_bytes(bytes)
    }
}

/// What two nodes of a job share: a sealer for what goes out, an opener for what comes in, and the
/// root of seeds both know.
pub struct LinkKeys {
    /// Seals frames to the peer.
    pub sealer: Sealer,
    /// Opens frames from the peer.
    pub opener: Opener,
    /// Derives secrets shared with this peer alone.
    pub shared: SharedRoot,
}

impl fmt::Debug for LinkKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKeys(..)")
    }
}

impl LinkKeys {
    /// Agrees keys between `me` and `peer`, whose public key comes from a verified statement.
    ///
    /// # Errors
    /// When the peer's key is of low order or the ids are equal.
    pub fn agree(
        secret: &JobSecret,
        me: &str,
        peer: &str,
        peer_public: &[u8; 32],
        contract: &[u8; 32],
    ) -> Result<Self, SealError> {
        if me == peer {
            return Err(SealError::SameId { id: me.to_owned() });
        }
        let shared = secret.0.diffie_hellman(&PublicKey::from(*peer_public));
        if !shared.was_contributory() {
            return Err(SealError::LowOrder {
                peer: peer.to_owned(),
            });
        }
        let (lower, higher) = if me < peer { (me, peer) } else { (peer, me) };
        let mut ids = Vec::with_capacity(96);
        put(&mut ids, lower.as_bytes());
        put(&mut ids, higher.as_bytes());
        let kdf = Hkdf::<Sha256>::new(Some(contract), shared.as_bytes());
        let expand = |dst: &[u8], last: &[u8]| {
            let mut key = Zeroizing::new([0u8; 32]);
            // Unwrap safety: 32 bytes are far below HKDF-SHA256's limit of 8160.
            #[allow(clippy::unwrap_used)]
            kdf.expand_multi_info(&[dst, &ids, last], key.as_mut())
                .unwrap();
            key
        };
        let outward = u8::from(me == higher);
        let key = |direction: u8| CipherKey::aes(&expand(DST_LINK, &[direction]));
        Ok(Self {
            sealer: Sealer { key: key(outward) },
            opener: Opener {
                key: key(1 - outward),
            },
            shared: SharedRoot(expand(DST_DERIVE, b"root")),
        })
    }

    /// Links that do not seal: proves that the checks for readable values can fail.
    #[cfg(any(test, feature = "test-util"))]
    pub fn readable_by_anyone_for_tests() -> Self {
        Self {
            sealer: Sealer {
                key: CipherKey::None,
            },
            opener: Opener {
                key: CipherKey::None,
            },
            shared: SharedRoot(Zeroizing::new([0; 32])),
        }
    }
}

enum CipherKey {
    Aes(Box<aead::LessSafeKey>),
    #[cfg(any(test, feature = "test-util"))]
    None,
}

impl CipherKey {
    fn aes(key: &[u8; 32]) -> Self {
        // Unwrap safety: AES-256-GCM takes 32 bytes, which the type gives.
        #[allow(clippy::unwrap_used)]
        let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).unwrap();
        Self::Aes(Box::new(aead::LessSafeKey::new(key)))
    }
}

fn nonce(seq: u64) -> aead::Nonce {
    let [a, b, c, d, e, f, g, h] = seq.to_be_bytes();
    aead::Nonce::assume_unique_for_key([0, 0, 0, 0, a, b, c, d, e, f, g, h])
}

/// Seals frames in one direction of a link.
///
/// The caller gives each frame the next position of the link, once.
pub struct Sealer {
    key: CipherKey,
}

impl Sealer {
    /// Appends the sealed `piece` to `out`.
    ///
    /// # Errors
    /// When the piece is longer than the cipher takes.
    pub fn seal(
        &self,
        seq: u64,
        header: &[u8],
        piece: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let start = out.len();
        out.reserve(piece.len() + TAG_LEN);
        out.extend_from_slice(piece);
        let tag = match &self.key {
            CipherKey::Aes(key) => {
                let body = out.split_at_mut(start).1;
                key.seal_in_place_separate_tag(nonce(seq), aead::Aad::from(header), body)
                    .map_err(|_| SealError::TooLong)?
            }
            #[cfg(any(test, feature = "test-util"))]
            CipherKey::None => {
                out.extend_from_slice(&[0; TAG_LEN]);
                return Ok(());
            }
        };
        out.extend_from_slice(tag.as_ref());
        Ok(())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// Opens frames of the other direction.
pub struct Opener {
    key: CipherKey,
}

impl Opener {
    /// Appends the opened piece to `out`; leaves `out` as it was when the frame does not
    /// authenticate.
    ///
    /// # Errors
    /// When the frame does not authenticate at this position with this header.
    pub fn open(
        &self,
        seq: u64,
        header: &[u8],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        let start = out.len();
        let plain = sealed
            .len()
            .checked_sub(TAG_LEN)
            .ok_or(SealError::Tampered)?;
        out.extend_from_slice(sealed);
        match &self.key {
            CipherKey::Aes(key) => {
                let body = out.split_at_mut(start).1;
                if key
                    .open_in_place(nonce(seq), aead::Aad::from(header), body)
                    .is_err()
                {
                    body.zeroize();
                    out.truncate(start);
                    return Err(SealError::Tampered);
                }
            }
            #[cfg(any(test, feature = "test-util"))]
            CipherKey::None => {}
        }
        out.truncate(start + plain);
        Ok(())
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opener(..)")
    }
}

/// A secret two nodes share; seeds both expand come from it.
pub struct SharedRoot(Zeroizing<[u8; 32]>);

impl SharedRoot {
    /// The secret with this label: the same at both ends, independent between labels.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let kdf = Hkdf::<Sha256>::new(None, self.0.as_ref());
        let mut out = Zeroizing::new([0u8; 32]);
        // Unwrap safety: 32 bytes are far below HKDF-SHA256's limit of 8160.
        #[allow(clippy::unwrap_used)]
        kdf.expand_multi_info(&[DST_DERIVE, label.as_bytes()], out.as_mut())
            .unwrap();
        out
    }
}

impl fmt::Debug for SharedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRoot(..)")
    }
}

/// The header of a frame as associated data: every field, each with its length.
pub fn frame_header(job: &str, from: &str, to: &str, tag: &str, place: Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(job.len() + from.len() + to.len() + tag.len() + 64);
    put(&mut out, job.as_bytes());
    put(&mut out, from.as_bytes());
    put(&mut out, to.as_bytes());
    put(&mut out, tag.as_bytes());
    for number in [place.seq, place.total, place.offset] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out
}

/// Where a frame stands: in its link and in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Position in the link.
    pub seq: u64,
    /// Length of the whole message.
    pub total: u64,
    /// Where in the message the frame's piece starts.
    pub offset: u64,
}

#[cfg(test)]
mod tests;
