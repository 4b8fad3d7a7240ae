//! The envelope: who did what when, in what place of which chain.

use ed25519_dalek::{Signature, VerifyingKey};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Body, ED25519, EventError, MAX_BODY, MAX_ENVELOPE, SIGNATURE_DOMAIN, VERSION, format_time, hex,
    parse_time, unhex,
};
use crate::{
    canonical,
    log::{self, Log},
    merkle::{self, Hash},
    note::Signer,
};

/// A signature and the key it is by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sig {
    /// The algorithm; `ed25519`.
    pub alg: String,
    /// SHA-256 of the SubjectPublicKeyInfo of the signer's certificate, hexadecimal.
    pub key: String,
    /// The signature, base64.
    pub sig: String,
}

/// One event without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// Who acted: the id of the node, or of the person it acted for.
    pub actor: String,
    /// When, by the node's clock.
    pub at: String,
    /// SHA-256 of the canonical body, hexadecimal.
    pub body: String,
    /// Where the time is from; `system`.
    pub clock: String,
    /// What happened.
    pub event: String,
    /// The job; empty for what concerns the node alone.
    pub job: String,
    /// The log: `paripassu/<kind>/<id>`.
    pub origin: String,
    /// SHA-256 of the envelope before it of this job in this log; zeros for the first.
    pub prev: String,
    /// The node's role in the job: `party-N`, `helper`, `coordinator` or `node`.
    pub role: String,
    /// Place in the chain of this job in this log, from 0.
    pub seq: u64,
    /// Signature over all the rest.
    pub sig: Sig,
    /// Version of the format; 1.
    pub v: u32,
}

#[derive(Serialize)]
struct Unsigned<'a> {
    actor: &'a str,
    at: &'a str,
    body: &'a str,
    clock: &'a str,
    event: &'a str,
    job: &'a str,
    origin: &'a str,
    prev: &'a str,
    role: &'a str,
    seq: u64,
    v: u32,
}

/// The place of the next event in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log.
    pub origin: String,
    /// Digest of the envelope before it in the same job; zeros for the first.
    pub prev: Hash,
    /// How many of the same job stand before it.
    pub seq: u64,
}

impl Place {
    /// The first of a job.
    pub fn first(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            prev: [0; 32],
            seq: 0,
        }
    }

    /// The place after `envelope`.
    pub fn after(origin: &str, envelope: &[u8], seq: u64) -> Self {
        Self {
            origin: origin.to_owned(),
            prev: envelope_digest(envelope),
            seq: seq.saturating_add(1),
        }
    }
}

/// An event about to be written.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The job; empty for what concerns the node alone.
    pub job: String,
    /// The node's role in it.
    pub role: String,
    /// Who acts.
    pub actor: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Where the time is from.
    pub clock: String,
    /// What happened.
    pub body: Body,
}

/// A signed event, ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The canonical envelope.
    pub envelope: String,
    /// The canonical body.
    pub body: String,
}

impl Sealed {
    /// The leaf of the log.
    pub fn leaf(&self) -> Hash {
        merkle::leaf_hash(self.envelope.as_bytes())
    }
}

/// What the next event of the chain names as `prev`.
pub fn envelope_digest(envelope: &[u8]) -> Hash {
    Sha256::digest(envelope).into()
}

/// What an envelope names as `body`.
pub fn body_digest(body: &[u8]) -> Hash {
    Sha256::digest(body).into()
}

impl Draft {
    /// An event of this node in a job, timed by the system's clock.
    pub fn new(job: &str, role: &str, actor: &str, at: i64, body: Body) -> Self {
        Self {
            job: job.to_owned(),
            role: role.to_owned(),
            actor: actor.to_owned(),
            at,
            clock: "system".to_owned(),
            body,
        }
    }

    /// Signs the event and appends it to `log`, on disk when this returns.
    ///
    /// # Errors
    /// As [`Draft::seal`], or when the log cannot be written.
    pub fn append(&self, log: &Log, signer: &dyn Signer) -> Result<log::Entry, EventError> {
        log.append(&self.job, |link| self.record(log, link, signer))
    }

    /// [`Draft::append`] without waiting for the disk: a later append, sync or checkpoint does.
    ///
    /// # Errors
    /// As there.
    pub fn append_unsynced(
        &self,
        log: &Log,
        signer: &dyn Signer,
    ) -> Result<log::Entry, EventError> {
        log.append_unsynced(&self.job, |link| self.record(log, link, signer))
    }

    fn record(
        &self,
        log: &Log,
        link: log::Link,
        signer: &dyn Signer,
    ) -> Result<log::Draft, EventError> {
        let place = Place {
            origin: log.origin().to_owned(),
            prev: link.prev,
            seq: link.seq,
        };
        let sealed = self.seal(&place, signer)?;
        Ok(log::Draft {
            envelope: sealed.envelope.into_bytes(),
            body: sealed.body.into_bytes(),
        })
    }

    /// Signs the event for its place, with a fresh salt.
    ///
    /// # Errors
    /// When a member has no valid value, envelope or body are too long, or the key cannot be used.
    pub fn seal(&self, place: &Place, signer: &dyn Signer) -> Result<Sealed, EventError> {
        let mut salt = [0; 16];
        SysRng
            .try_fill_bytes(&mut salt)
            .map_err(|_| EventError::Randomness)?;
        self.seal_with(place, signer, &salt)
    }

    /// [`Draft::seal`] with the salt given.
    ///
    /// # Errors
    /// As there.
    pub fn seal_with(
        &self,
        place: &Place,
        signer: &dyn Signer,
        salt: &[u8; 16],
    ) -> Result<Sealed, EventError> {
        let body = self.body.to_text(salt)?;
        let mut envelope = Envelope {
            actor: self.actor.clone(),
            at: format_time(self.at).ok_or_else(|| EventError::Member {
                member: "at",
                got: self.at.to_string(),
                want: "a time in the years 1970 to 9999",
            })?,
            body: hex(&body_digest(body.as_bytes())),
            clock: self.clock.clone(),
            event: self.body.event().to_owned(),
            job: self.job.clone(),
            origin: place.origin.clone(),
            prev: hex(&place.prev),
            role: self.role.clone(),
            seq: place.seq,
            sig: Sig {
                alg: super::signer::algorithm(signer.algorithm()).to_owned(),
                key: hex(&key_of(signer)?),
                sig: String::new(),
            },
            v: VERSION,
        };
        let signature = signer.sign(&envelope.signed_bytes()?)?;
        envelope.sig.sig = crate::bundle::base64(&signature);
        envelope.check()?;
        let envelope = canonical::to_string(&envelope)?;
        within("envelope", envelope.len(), MAX_ENVELOPE)?;
        Ok(Sealed { envelope, body })
    }
}

fn key_of(signer: &dyn Signer) -> Result<Hash, EventError> {
    let public = signer.public_key();
    let key = public.as_slice().try_into().ok();
    key.and_then(|key: &[u8; 32]| VerifyingKey::from_bytes(key).ok())
        .map(|key| super::key_digest(&key))
        .ok_or_else(|| EventError::Member {
            member: "sig.key",
            got: hex(&public),
            want: "an Ed25519 public key",
        })
}

pub(super) fn within(part: &'static str, got: usize, limit: usize) -> Result<(), EventError> {
    if got > limit {
        Err(EventError::TooLong { part, got, limit })
    } else {
        Ok(())
    }
}

/// Whether this is the name of a log: `paripassu/<kind>/<id>`.
pub fn valid_origin(text: &str) -> bool {
    let mut parts = text.split('/');
    parts.next() == Some("paripassu")
        && matches!(parts.next(), Some("party" | "coordinator" | "helper"))
        && parts.next().is_some_and(valid_id)
        && parts.next().is_none()
}

fn valid_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| plain(b) || b == b'-')
        && text.bytes().next().is_some_and(plain)
}

/// Whether this is the id of a job.
pub fn valid_job(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn valid_role(text: &str) -> bool {
    matches!(text, "helper" | "coordinator" | "node")
        || text.strip_prefix("party-").is_some_and(|n| {
            n.len() <= 3
                && n.bytes().all(|b| b.is_ascii_digit())
                && n.parse::<u8>().is_ok_and(|k| k.to_string() == n)
        })
}

fn valid_word(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.chars().all(|c| !c.is_control())
}

impl Envelope {
    /// Reads an envelope: canonical text of exactly its members, each with a value it may have.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, EventError> {
        within("envelope", text.len(), MAX_ENVELOPE)?;
        let envelope: Self = serde_json::from_slice(text).map_err(|e| EventError::Json {
            want: "an event's envelope".into(),
            reason: e.to_string(),
        })?;
        envelope.check()?;
        if canonical::to_string(&envelope)?.as_bytes() != text {
            return Err(EventError::NotCanonical { part: "envelope" });
        }
        Ok(envelope)
    }

    fn check(&self) -> Result<(), EventError> {
        if self.v != VERSION {
            return Err(EventError::Version { got: self.v });
        }
        let wrong = |member, got: &str, want| {
            Err(EventError::Member {
                member,
                got: got.chars().take(80).collect(),
                want,
            })
        };
        const DIGEST: &str = "64 lower-case hexadecimal digits";
        for (member, text) in [
            ("body", &self.body),
            ("prev", &self.prev),
            ("sig.key", &self.sig.key),
        ] {
            if unhex::<32>(text).is_none() {
                return wrong(member, text, DIGEST);
            }
        }
        if parse_time(&self.at).is_none() {
            return wrong("at", &self.at, "a time such as 2026-11-22T01:02:03Z");
        }
        if !valid_origin(&self.origin) {
            return wrong("origin", &self.origin, "paripassu/<kind>/<id>");
        }
        if !self.job.is_empty() && !valid_job(&self.job) {
            return wrong("job", &self.job, "a job's id, or nothing");
        }
        if !valid_role(&self.role) {
            return wrong(
                "role",
                &self.role,
                "`party-N`, `helper`, `coordinator` or `node`",
            );
        }
        for (member, text) in [("actor", &self.actor), ("clock", &self.clock)] {
            if !valid_word(text) {
                return wrong(member, text, "1 to 128 bytes of text");
            }
        }
        if super::visibility(&self.event).is_none() {
            return Err(EventError::Kind {
                got: self.event.chars().take(80).collect(),
            });
        }
        if self.sig.alg != ED25519 {
            return Err(EventError::Algorithm {
                got: self.sig.alg.chars().take(80).collect(),
            });
        }
        Ok(())
    }

    /// What the signature is over.
    ///
    /// # Errors
    /// When `seq` is beyond what canonical JSON can hold.
    pub fn signed_bytes(&self) -> Result<Vec<u8>, EventError> {
        let text = canonical::to_string(&Unsigned {
            actor: &self.actor,
            at: &self.at,
            body: &self.body,
            clock: &self.clock,
            event: &self.event,
            job: &self.job,
            origin: &self.origin,
            prev: &self.prev,
            role: &self.role,
            seq: self.seq,
            v: self.v,
        })?;
        Ok([SIGNATURE_DOMAIN, text.as_bytes()].concat())
    }

    /// Verifies the signature by `key`, which must be the one the envelope names.
    ///
    /// # Errors
    /// When it is not by that key.
    pub fn verify(&self, key: &VerifyingKey) -> Result<(), EventError> {
        if hex(&super::key_digest(key)) != self.sig.key {
            return Err(EventError::Signature);
        }
        let signature = crate::bundle::unbase64(&self.sig.sig)
            .and_then(|bytes| Signature::from_slice(&bytes).ok())
            .ok_or(EventError::Signature)?;
        key.verify_strict(&self.signed_bytes()?, &signature)
            .map_err(|_| EventError::Signature)
    }

    /// When, in seconds since 1970.
    pub fn unix(&self) -> i64 {
        parse_time(&self.at).unwrap_or(0)
    }

    /// The node's id: the last part of the origin.
    pub fn node(&self) -> &str {
        self.origin.rsplit('/').next().unwrap_or("")
    }

    /// Whether `body` is the one this envelope names.
    pub fn names(&self, body: &[u8]) -> bool {
        body.len() <= MAX_BODY && hex(&body_digest(body)) == self.body
    }
}

#[cfg(test)]
mod tests;
