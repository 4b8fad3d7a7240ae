//! What is written down: a signed envelope, and a body that it names by digest.
//!
//! The two are kept apart so that a body can be pruned, or kept from other parties, without breaking
//! chain, proofs or signatures. Envelope and body are [canonical JSON](crate::canonical). A body holds
//! names, counts, digests and codes, never a cell of the data, an id, or a hash of one, and 16 random
//! bytes (`salt`), so that its digest in the envelope tells nothing of it.
//!
//! ```
//! use ed25519_dalek::SigningKey;
//! use paripassu_audit::event::{bodies::DataErased, Body, Draft, Envelope, Place};
//! use paripassu_audit::note::Ed25519Signer;
//!
//! let key = SigningKey::from_bytes(&[7; 32]);
//! let signer = Ed25519Signer::new(key.clone());
//! let draft = Draft::new("j-1", "party-0", "bank", 1_772_323_200, Body::DataErased(DataErased {
//!     what: "shares".into(), count: 3, subject: None,
//! }));
//! let sealed = draft.seal(&Place::first("paripassu/party/bank"), &signer)?;
//! let envelope = Envelope::parse(sealed.envelope.as_bytes())?;
//! envelope.verify(&key.verifying_key())?;
//! assert_eq!(Body::parse(&envelope.event, &sealed.body)?.event(), "data.erased");
//! # Ok::<(), paripassu_audit::event::EventError>(())
//! ```

pub mod bodies;
mod envelope;
pub mod frames;
mod signer;
mod when;

pub use bodies::{Body, Visibility, visibility};
pub use envelope::{
    Draft, Envelope, Place, Sealed, Sig, body_digest, envelope_digest, valid_job, valid_origin,
};
pub use frames::{Flow, Tally};
pub use signer::{ED25519, key_digest};
pub use when::{format_time, parse_time};

/// Version of the envelope.
pub const VERSION: u32 = 1;
/// Longest envelope, in bytes.
pub const MAX_ENVELOPE: usize = 4 * 1024;
/// Longest body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// What is signed is this followed by the canonical envelope without `sig`.
pub const SIGNATURE_DOMAIN: &[u8] = b"paripassu/v1 transcript event\0";

/// Why an event cannot be written or is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Too long.
    #[error("the {part} has {got} bytes, more than the {limit} it may have")]
    TooLong {
        /// Envelope or body.
        part: &'static str,
        /// Its length.
        got: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Not JSON of the right members.
    #[error("not {want}: {reason}")]
    Json {
        /// What it should be.
        want: String,
        /// What is wrong.
        reason: String,
    },
    /// Valid JSON, but not its one canonical text.
    #[error("the {part} is not in canonical form")]
    NotCanonical {
        /// Envelope or body.
        part: &'static str,
    },
    /// A member has a value that it cannot have.
    #[error("`{member}` is `{got}`, expected {want}")]
    Member {
        /// Which.
        member: &'static str,
        /// What it is.
        got: String,
        /// What it may be.
        want: &'static str,
    },
    /// No event of this version has that name.
    #[error("`{got}` is no event of this version")]
    Kind {
        /// The name.
        got: String,
    },
    /// Another version.
    #[error("the envelope is of version {got}, this program reads version {VERSION}")]
    Version {
        /// The version named.
        got: u32,
    },
    /// The salt is missing or malformed.
    #[error("the body has no `salt` of 32 hexadecimal digits")]
    Salt,
    /// The body cannot be put into canonical JSON.
    #[error(transparent)]
    Canonical(#[from] crate::canonical::CanonicalError),
    /// No signature algorithm of that name.
    #[error("signature algorithm `{got}` is unknown; expected `{ED25519}`")]
    Algorithm {
        /// The name.
        got: String,
    },
    /// The signature is not that key's.
    #[error("the signature is not by the key it names, or what was signed was altered")]
    Signature,
    /// The key cannot be used.
    #[error("the event cannot be signed: {0}")]
    Signer(#[from] crate::note::SignerError),
    /// The log did not take it.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            out.push(
                DIGITS
                    .get(usize::from(digit))
                    .copied()
                    .unwrap_or(b'0')
                    .into(),
            );
        }
    }
    out
}

/// The bytes of exactly `2 N` lower-case hexadecimal digits.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4) | digit(*low)?;
    }
    Some(out)
}
