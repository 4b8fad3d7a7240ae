//! One event out of a bundle, with the proof that it is in its log: a file for someone who may see no more.

use crate::{
    bundle::{Bundle, hashes},
    merkle::leaf_hash,
    note::{
        Algorithm, NoteError, SignatureType, SignedCheckpoint, TlogProof, Verified, VerifierKey,
    },
    verify::certificate::Certificate,
};

/// Why there is no proof, or why one does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// No such event.
    #[error("the bundle has no event {index} of the log {origin}; `audit show` lists what it has")]
    Absent {
        /// The log asked for.
        origin: String,
        /// Its place.
        index: u64,
    },
    /// The proof in the bundle cannot be read.
    #[error("the proof of this event cannot be read: verify the bundle")]
    Malformed,
    /// The file has no event in it.
    #[error("the proof file does not carry the event: expected its envelope as `extra`")]
    NoEvent,
    /// The certificate does not serve.
    #[error("the certificate is not that of the log {origin}: {why}")]
    Certificate {
        /// The log.
        origin: String,
        /// What is wrong with it.
        why: String,
    },
    /// Note or proof are refused.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A tlog-proof file of the event at `index` of the log `origin`, with the envelope as its extra data.
///
/// # Errors
/// When the bundle has no such event, or no sound checkpoint of that log.
pub fn prove(bundle: &Bundle, origin: &str, index: u64) -> Result<TlogProof, ProveError> {
    let absent = || ProveError::Absent {
        origin: origin.to_owned(),
        index,
    };
    let log = bundle.log(origin).ok_or_else(absent)?;
    let event = log.all_events().find(|event| event.index == index);
    let event = event.ok_or_else(absent)?;
    Ok(TlogProof {
        extra: Some(event.envelope.clone().into_bytes()),
        index,
        path: hashes(&event.proof).ok_or(ProveError::Malformed)?,
        checkpoint: SignedCheckpoint::parse(&log.checkpoint)?,
    })
}

/// The key that the owner of a certificate (PEM) signs the log `origin` with. Whether the certificate
/// can be believed is not judged.
///
/// # Errors
/// When it is no certificate, or another node's.
pub fn log_key(origin: &str, pem: &str) -> Result<VerifierKey, ProveError> {
    let wrong = |why: &str| ProveError::Certificate {
        origin: origin.to_owned(),
        why: why.to_owned(),
    };
    let certificate = Certificate::from_pem(pem).map_err(wrong)?;
    if certificate.uri != format!("spiffe://{origin}") {
        let uri: String = certificate.uri.chars().take(80).collect();
        return Err(wrong(&format!("it is that of `{uri}`")));
    }
    Ok(VerifierKey::new(
        origin,
        SignatureType::Note,
        Algorithm::Ed25519,
        certificate.key.as_bytes(),
    )?)
}

/// Verifies a proof file that carries its envelope, and returns the envelope.
///
/// # Errors
/// When it carries none, or the proof or the log's signature does not hold.
pub fn check(proof: &TlogProof, log: &VerifierKey) -> Result<(String, Verified), ProveError> {
    let envelope = proof.extra.clone().ok_or(ProveError::NoEvent)?;
    let verified = proof.verify(&leaf_hash(&envelope), log)?;
    let envelope = String::from_utf8(envelope).map_err(|_| ProveError::NoEvent)?;
    Ok((envelope, verified))
}
