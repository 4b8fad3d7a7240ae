//! Statements that nodes and people sign, each with one encoding.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ed25519_dalek::Signature;
pub use paripassu_audit::consent::{Consent, Decided};
use paripassu_proto::{JobId, Peer, audit::v1 as audit, control::v1 as pb, limits};
use prost::Message as _;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

use crate::identity::{Certified, Identity, IdentityError, Judge, Trust};

const DST_SUBMIT: &[u8] = b"paripassu/v1/submit";
const DST_DECIDE: &[u8] = b"paripassu/v2/decide";
/// With the signatures of people behind it.
const DST_DECIDE_SIGNED: &[u8] = b"paripassu/v3/decide";
const DST_AUDIT: &[u8] = b"paripassu/v1/audit";

/// SHA-256 of a contract's bytes: what is signed and what keys are bound to.
pub fn contract_digest(contract: &[u8]) -> [u8; 32] {
    Sha256::digest(contract).into()
}

/// Why a signed statement was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Signer or signature is not accepted.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What it says of who decided cannot be.
    #[error("the signed decision: {0}")]
    Consent(#[from] paripassu_audit::consent::ConsentError),
    /// The statement cannot be read.
    #[error("the signed statement is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

/// "I propose this contract."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The job.
    pub job: JobId,
    /// SHA-256 of the contract.
    pub digest: [u8; 32],
}

/// "I approve (or reject) this contract."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The job.
    pub job: JobId,
    /// SHA-256 of the contract.
    pub digest: [u8; 32],
    /// Approval or rejection.
    pub approve: bool,
    /// Why, in the decider's words; may be empty.
    pub reason: String,
    /// Who decided, who else saw it, the party's reference, and until when it holds.
    pub consent: Consent,
}

impl Submission {
    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&[DST_SUBMIT, self.job.as_str().as_bytes(), &self.digest])
    }

    /// Reads it; nothing may be left over.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        let [dst, job, digest] = decode(bytes)?;
        expect_kind(dst, DST_SUBMIT)?;
        Ok(Self {
            job: parse_job(job)?,
            digest: parse_digest(digest)?,
        })
    }
}

impl Decision {
    /// The one encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let people = self.consent.people_field();
        let dst = match people.is_empty() {
            true => DST_DECIDE,
            false => DST_DECIDE_SIGNED,
        };
        let [approver, second, ticket, expires] = self.consent.fields();
        let mut fields = vec![
            dst,
            self.job.as_str().as_bytes(),
            &self.digest,
            if self.approve { &[1] } else { &[0] },
            self.reason.as_bytes(),
            approver,
            second,
            ticket,
            expires,
        ];
        if !people.is_empty() {
            fields.push(&people);
        }
        encode(&fields)
    }

    /// Reads it; nothing may be left over. Whether the people who signed it signed this is
    /// [`Self::signed_by_its_people`]'s to say, for a party.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        let signed = decode::<10>(bytes).ok();
        let (fields, people) = match signed {
            Some([dst, a, b, c, d, e, f, g, h, people]) => {
                expect_kind(dst, DST_DECIDE_SIGNED)?;
                ([a, b, c, d, e, f, g, h], Some(people))
            }
            None => {
                let [dst, a, b, c, d, e, f, g, h] = decode(bytes)?;
                expect_kind(dst, DST_DECIDE)?;
                ([a, b, c, d, e, f, g, h], None)
            }
        };
        let [job, digest, approve, reason, words @ ..] = fields;
        let approve = match approve {
            [0] => false,
            [1] => true,
            _ => {
                return Err(StatementError::Malformed {
                    what: "neither approval nor rejection",
                });
            }
        };
        let reason = std::str::from_utf8(reason)
            .ok()
            .filter(|r| r.len() <= limits::MAX_TEXT)
            .ok_or(StatementError::Malformed {
                what: "the reason is not text or too long",
            })?;
        Ok(Self {
            job: parse_job(job)?,
            digest: parse_digest(digest)?,
            approve,
            reason: reason.to_owned(),
            consent: match people {
                None => Consent::of_fields(words)?,
                Some(people) => Consent::of_signed_fields(words, people)?,
            },
        })
    }

    /// Whether each of the people who signed it signed this very decision of `party`.
    ///
    /// # Errors
    /// Names the first who did not.
    pub fn signed_by_its_people(&self, party: &str) -> Result<(), StatementError> {
        Ok(self
            .consent
            .signed_by_its_people(&self.as_people_sign_it(party))?)
    }

    /// What people sign of it for `party`.
    pub fn as_people_sign_it<'a>(&'a self, party: &'a str) -> Decided<'a> {
        Decided {
            job: self.job.as_str(),
            digest: &self.digest,
            approve: self.approve,
            party,
            reason: &self.reason,
            ticket: &self.consent.ticket,
            expires: &self.consent.expires,
        }
    }

    /// Whether it no longer holds at this time.
    pub fn has_lapsed(&self, now: i64) -> bool {
        self.consent.ends().is_some_and(|ends| now >= ends)
    }
}

fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len() + 8).sum());
    for field in fields {
        out.extend_from_slice(&(field.len() as u64).to_le_bytes());
        out.extend_from_slice(field);
    }
    out
}

fn decode<const N: usize>(bytes: &[u8]) -> Result<[&[u8]; N], StatementError> {
    const SHORT: StatementError = StatementError::Malformed {
        what: "it ends early",
    };
    let mut rest = bytes;
    let mut fields = [&[][..]; N];
    for field in &mut fields {
        let (len, tail) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| SHORT)?;
        (*field, rest) = tail.split_at_checked(len).ok_or(SHORT)?;
    }
    if rest.is_empty() {
        Ok(fields)
    } else {
        Err(StatementError::Malformed {
            what: "bytes are left over",
        })
    }
}

fn expect_kind(got: &[u8], want: &[u8]) -> Result<(), StatementError> {
    if got == want {
        Ok(())
    } else {
        Err(StatementError::Malformed {
            what: "it is another kind of statement or version",
        })
    }
}

fn parse_job(bytes: &[u8]) -> Result<JobId, StatementError> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(StatementError::Malformed {
            what: "the job id is none",
        })
}

fn parse_digest(bytes: &[u8]) -> Result<[u8; 32], StatementError> {
    bytes.try_into().map_err(|_| StatementError::Malformed {
        what: "the digest's length",
    })
}

/// Signs a statement's bytes and adds the chain to verify it with.
pub fn sign(identity: &Identity, statement: Vec<u8>) -> pb::Signed {
    let signature = identity.sign(&statement);
    wrap(identity, statement, signature)
}

pub(crate) fn wrap(identity: &Identity, statement: Vec<u8>, signature: [u8; 64]) -> pb::Signed {
    pb::Signed {
        statement: statement.into(),
        signature: Bytes::copy_from_slice(&signature),
        chain: identity
            .chain()
            .iter()
            .map(|c| Bytes::copy_from_slice(c))
            .collect(),
    }
}

/// Signs a message to another node about a transcript.
pub(crate) fn sign_audit(identity: &Identity, message: &audit::Message) -> pb::Signed {
    let statement = encode(&[DST_AUDIT, &message.encode_to_vec()]);
    sign(identity, statement)
}

/// Verifies a message about a transcript and reads it.
///
/// # Errors
/// When the signer is not accepted, the signature is not the signer's, or it is no such message.
pub(crate) fn verify_audit(
    trust: &Trust,
    envelope: &audit::Envelope,
) -> Result<(Certified, audit::Message), StatementError> {
    Vouched::default().verify_audit(trust, envelope)
}

/// For how long a chain that was verified is not verified again, if no other revocation list comes into force: a
/// certificate that ends meanwhile counts so much longer for messages about transcripts, which decide nothing but
/// what is countersigned in a job under way.
const VOUCHED: Duration = Duration::from_secs(60);
/// Most signers remembered.
const MOST_VOUCHED: usize = 128;

/// Signers of messages about transcripts whose chains were verified a short while ago, by the bytes of the chain. Each
/// message's own signature is verified.
#[derive(Default)]
pub(crate) struct Vouched(Vec<Vouch>);

struct Vouch {
    chain: Vec<Vec<u8>>,
    signer: Certified,
    at: Instant,
    by: Judge,
}

impl Vouched {
    /// As [`verify_audit`].
    pub(crate) fn verify_audit(
        &mut self,
        trust: &Trust,
        envelope: &audit::Envelope,
    ) -> Result<(Certified, audit::Message), StatementError> {
        const MALFORMED: StatementError = StatementError::Malformed {
            what: "it is no message about a transcript",
        };
        let signed = envelope.message.as_ref().ok_or(MALFORMED)?;
        let from = self.verify(trust, signed, Instant::now())?;
        let [dst, bytes] = decode(&signed.statement)?;
        expect_kind(dst, DST_AUDIT)?;
        // the pieces of a message are slices of it
        let message =
            audit::Message::decode(Bytes::copy_from_slice(bytes)).map_err(|_| MALFORMED)?;
        Ok((from, message))
    }

    fn verify(
        &mut self,
        trust: &Trust,
        signed: &pb::Signed,
        now: Instant,
    ) -> Result<Certified, IdentityError> {
        let by = trust.judge();
        self.0
            .retain(|vouch| now.saturating_duration_since(vouch.at) < VOUCHED && vouch.by == by);
        if let Some(known) = self.0.iter().find(|vouch| vouch.chain == signed.chain) {
            verify_by(&known.signer, signed)?;
            return Ok(known.signer.clone());
        }
        let from = verify(trust, signed)?;
        if self.0.len() < MOST_VOUCHED {
            self.0.push(Vouch {
                chain: signed.chain.iter().map(|c| c.to_vec()).collect(),
                signer: from.clone(),
                at: now,
                by,
            });
        }
        Ok(from)
    }
}

/// Verifies the chain of a signed statement.
///
/// # Errors
/// When the chain is too long or not accepted.
pub fn signer(trust: &Trust, signed: &pb::Signed) -> Result<Certified, IdentityError> {
    if signed.chain.len() > limits::MAX_CHAIN
        || signed
            .chain
            .iter()
            .any(|c| c.len() > limits::MAX_CERTIFICATE)
    {
        return Err(IdentityError::Chain {
            got: signed.chain.len(),
        });
    }
    let chain: Vec<CertificateDer<'_>> = signed
        .chain
        .iter()
        .map(|c| CertificateDer::from(c.as_ref()))
        .collect();
    trust.verify(&chain)
}

/// Verifies chain and signature, and returns the signer; the statement may then be read.
///
/// # Errors
/// When the chain is not accepted or the signature is not the signer's.
pub fn verify(trust: &Trust, signed: &pb::Signed) -> Result<Certified, IdentityError> {
    let certified = signer(trust, signed)?;
    verify_by(&certified, signed)?;
    Ok(certified)
}

/// Verifies the signature alone, against an identity already proven.
///
/// # Errors
/// When the signature is not `by`'s.
pub fn verify_by(by: &Certified, signed: &pb::Signed) -> Result<(), IdentityError> {
    let refused = || IdentityError::Signature {
        signer: by.peer().clone(),
    };
    let signature = Signature::from_slice(&signed.signature).map_err(|_| refused())?;
    by.key()
        .verify_strict(&signed.statement, &signature)
        .map_err(|_| refused())
}

/// Checks that an identity is the expected one.
///
/// # Errors
/// Names both.
pub fn expect_peer(got: &Certified, want: &Peer) -> Result<(), IdentityError> {
    if got.peer() == want {
        Ok(())
    } else {
        Err(IdentityError::Unexpected {
            want: want.to_string(),
            got: got.peer().clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_one_reading() {
        let decision = Decision {
            job: "j-1".parse().unwrap(),
            digest: [3; 32],
            approve: true,
            reason: "as agreed".into(),
            consent: Consent {
                approver: "data-owner".into(),
                second: "compliance".into(),
                ticket: "CHG-1".into(),
                expires: "2026-03-01T00:00:00Z".into(),
                people: Vec::new(),
            },
        };
        assert!(decision.has_lapsed(1_772_323_200) && !decision.has_lapsed(1_772_323_199));
        let bytes = decision.to_bytes();
        assert_eq!(Decision::from_bytes(&bytes).unwrap(), decision);
        for end in 0..bytes.len() {
            assert!(Decision::from_bytes(&bytes[..end]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(Decision::from_bytes(&longer).is_err());
        assert!(Submission::from_bytes(&bytes).is_err());

        let mut by_people = decision.clone();
        let key = ed25519_dalek::SigningKey::from_bytes(&[5; 32]);
        for (name, role, key) in [
            ("data-owner", "data_owner", key.clone()),
            (
                "compliance",
                "compliance",
                ed25519_dalek::SigningKey::from_bytes(&[6; 32]),
            ),
        ] {
            let statement = paripassu_audit::consent::person_statement(
                &decision.as_people_sign_it("bank"),
                name,
                role,
            );
            let signature = ed25519_dalek::Signer::sign(&key, &statement).to_bytes();
            by_people
                .consent
                .people
                .push(paripassu_audit::consent::Signature {
                    name: name.into(),
                    role: role.into(),
                    key: key.verifying_key().to_bytes(),
                    signature,
                });
        }
        let bytes = by_people.to_bytes();
        let read = Decision::from_bytes(&bytes).unwrap();
        assert_eq!(read, by_people);
        read.signed_by_its_people("bank").unwrap();
        assert!(read.signed_by_its_people("partner").is_err());
        for end in 0..bytes.len() {
            assert!(Decision::from_bytes(&bytes[..end]).is_err());
        }

        let submission = Submission {
            job: "j-1".parse().unwrap(),
            digest: [3; 32],
        };
        assert_eq!(
            Submission::from_bytes(&submission.to_bytes()).unwrap(),
            submission
        );
        assert!(Decision::from_bytes(&submission.to_bytes()).is_err());
    }

    #[test]
    fn a_signer_is_vouched_for_a_while_and_each_signature_is_verified() {
        use crate::{identity::files, pki};
        let dir = tempfile::tempdir().unwrap();
        let enrol = |name: &str| {
            let (ca, at) = (dir.path().join(format!("ca-{name}")), dir.path().join(name));
            pki::init(&ca, "Test", 30).unwrap();
            let csr = pki::request(&at, &"party/bank".parse().unwrap()).unwrap();
            pki::sign(&ca, &csr, None, &at.join("signed"), 30).unwrap();
            pki::install(&at, &at.join("signed"), &ca.join(files::AUTHORITY), None).unwrap()
        };
        let (bank, other) = (enrol("bank"), enrol("other"));
        let message = |number: u64| {
            let job = "j-1".to_owned();
            let message = audit::Message {
                job,
                number,
                ..Default::default()
            };
            sign_audit(&bank, &message)
        };
        let (mut vouched, start) = (Vouched::default(), Instant::now());
        let first = message(1);
        vouched.verify(bank.trust(), &first, start).unwrap();
        let at = |vouched: &Vouched| vouched.0.iter().map(|v| v.at).collect::<Vec<_>>();
        let (soon, late) = (start + VOUCHED / 2, start + VOUCHED);
        vouched.verify(bank.trust(), &message(2), soon).unwrap();
        assert_eq!(at(&vouched), [start]);
        // verified anew after a while, and by whoever judges by other lists
        vouched.verify(bank.trust(), &message(2), late).unwrap();
        assert_eq!(at(&vouched), [late]);
        let elsewhere = vouched.verify(other.trust(), &message(2), late);
        assert!(elsewhere.is_err());

        let mut altered = message(3);
        altered.statement = first.statement.clone();
        assert!(vouched.verify(bank.trust(), &altered, start).is_err());
        let mut anothers = message(3);
        anothers.chain = sign_audit(&other, &audit::Message::default()).chain;
        assert!(vouched.verify(bank.trust(), &anothers, start).is_err());
        assert!(vouched.verify(other.trust(), &anothers, start).is_err());

        // a revocation counts at once
        vouched.verify(bank.trust(), &first, start).unwrap();
        let (ca, at) = (dir.path().join("ca-bank"), dir.path().join("bank"));
        pki::revoke(&ca, bank.peer()).unwrap();
        std::fs::copy(ca.join(files::REVOKED), at.join(files::REVOKED)).unwrap();
        assert!(bank.trust().refresh().unwrap());
        assert!(vouched.verify(bank.trust(), &first, start).is_err());
    }
}
