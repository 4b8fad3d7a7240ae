//! The contract: what parties sign.
//!
//! A contract is the specification, who submitted it when, and the list of everything the job opens. Its
//! [canonical JSON](crate::canonical) has the members `format`, `protocol_version`, `job`, `created`,
//! `submitter`, `spec` and `disclosures`; every key of the specification is there, defaults filled in;
//! decimals are text. Its digest, which parties sign, is SHA-256 over that text.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    PROTOCOL_VERSION,
    canonical::{self, CanonicalError},
    constants::MAX_CONTRACT_BYTES,
    disclosure::{Disclosure, DisclosureId, disclosures},
    id::{JobId, NodeId, NodeKind, Submitter, excerpt, hex, unhex},
    spec::{Spec, SpecErrors},
    when::{Date, Timestamp},
};

/// The `format` member of every contract.
pub const FORMAT: &str = "paripassu.contract.v1";

/// Why a contract was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractError {
    /// The specification is not valid.
    #[error("the contract's specification is not valid:\n{0}")]
    Spec(#[source] SpecErrors),
    /// Its last day is over.
    #[error("the job expires on {expires}, before it was submitted ({created})")]
    Expired {
        /// Its last day.
        expires: Date,
        /// When it was submitted.
        created: Timestamp,
    },
    /// Submitted by a node that may not.
    #[error("a {kind} may not submit a job: use the certificate of a user or a party")]
    SubmitterKind {
        /// The kind of certificate.
        kind: NodeKind,
    },
    /// Too long to be a contract.
    #[error("{got} bytes, more than the {limit} bytes a contract may have")]
    TooLong {
        /// Length.
        got: usize,
        /// Longest allowed.
        limit: usize,
    },
    /// Not JSON, or not that of a contract.
    #[error("not a contract: {0}")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("expected a contract of format `{FORMAT}`, got `{got}`")]
    Format {
        /// The format named.
        got: String,
    },
    /// Another version of the job protocol.
    #[error(
        "the contract is for version {got} of the job protocol, this node runs version \
            {PROTOCOL_VERSION}: all nodes of a job run the same version"
    )]
    Version {
        /// The version named.
        got: u32,
    },
    /// The declared disclosures are not those of the specification.
    #[error(
        "the contract's disclosures are not those of its specification, at `{id}`: the \
            submitter's list must be the one that every node computes"
    )]
    Disclosures {
        /// The first that differs.
        id: DisclosureId,
    },
    /// Not the canonical text.
    #[error("the contract is not in canonical form; send the text that was signed, unchanged")]
    NotCanonical,
    /// The contract has no canonical text.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    format: String,
    protocol_version: u32,
    job: JobId,
    created: Timestamp,
    submitter: Submitter,
    spec: Spec,
    disclosures: Vec<Disclosure>,
}

/// A checked contract. Whatever holds one holds a valid specification and the full list of disclosures.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    body: Body,
    canonical: String,
}

/// SHA-256 of a contract's canonical text: what parties sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContractDigest([u8; 32]);

impl ContractDigest {
    /// The digest of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of these 64 hexadecimal digits in lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl fmt::Display for ContractDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

/// A node's place in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seat {
    /// A data party by position; 0 holds the label.
    Party(u8),
    /// The helper.
    Helper,
}

impl Contract {
    /// The contract for this specification.
    ///
    /// # Errors
    /// When the specification is not valid or its last day is over, or the submitter is neither a user
    /// nor a party.
    pub fn new(
        spec: Spec,
        job: JobId,
        created: Timestamp,
        submitter: Submitter,
    ) -> Result<Self, ContractError> {
        let disclosures = disclosures(&spec);
        Self::checked(Body {
            format: FORMAT.to_owned(),
            protocol_version: PROTOCOL_VERSION,
            job,
            created,
            submitter,
            spec,
            disclosures,
        })
    }

    /// Reads a contract from its canonical text and checks it as [`Contract::new`] does.
    ///
    /// # Errors
    /// When the text is not the canonical text of a valid contract of this version, or when its
    /// disclosures are not those of its specification.
    pub fn parse(text: &[u8]) -> Result<Self, ContractError> {
        #[derive(Deserialize)]
        struct Heading {
            format: String,
            protocol_version: u32,
        }
        if text.len() > MAX_CONTRACT_BYTES {
            return Err(ContractError::TooLong {
                got: text.len(),
                limit: MAX_CONTRACT_BYTES,
            });
        }
        // The heading first: another version may well have other keys.
        let heading: Heading = serde_json::from_slice(text).map_err(ContractError::Json)?;
        if heading.format != FORMAT {
            return Err(ContractError::Format {
                got: excerpt(&heading.format),
            });
        }
        if heading.protocol_version != PROTOCOL_VERSION {
            return Err(ContractError::Version {
                got: heading.protocol_version,
            });
        }
        let contract = Self::checked(serde_json::from_slice(text).map_err(ContractError::Json)?)?;
        if contract.canonical.as_bytes() == text {
            Ok(contract)
        } else {
            Err(ContractError::NotCanonical)
        }
    }

    fn checked(body: Body) -> Result<Self, ContractError> {
        body.spec.check().map_err(ContractError::Spec)?;
        if !matches!(body.submitter.kind, NodeKind::User | NodeKind::Party) {
            return Err(ContractError::SubmitterKind {
                kind: body.submitter.kind,
            });
        }
        if let Some(expires) = body.spec.expires
            && expires.end() <= body.created
        {
            return Err(ContractError::Expired {
                expires,
                created: body.created,
            });
        }
        let expected = disclosures(&body.spec);
        let differs = (0..expected.len().max(body.disclosures.len()))
            .map(|position| (expected.get(position), body.disclosures.get(position)))
            .find(|(expected, declared)| expected != declared)
            .and_then(|(expected, declared)| declared.or(expected));
        if let Some(differs) = differs {
            return Err(ContractError::Disclosures {
                id: differs.id.clone(),
            });
        }
        let canonical = canonical::to_string(&body)?;
        if canonical.len() > MAX_CONTRACT_BYTES {
            return Err(ContractError::TooLong {
                got: canonical.len(),
                limit: MAX_CONTRACT_BYTES,
            });
        }
        Ok(Self { body, canonical })
    }

    /// The canonical text.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// SHA-256 of the canonical text.
    pub fn digest(&self) -> ContractDigest {
        ContractDigest(Sha256::digest(self.canonical.as_bytes()).into())
    }

    /// The job's id.
    pub fn job(&self) -> JobId {
        self.body.job
    }

    /// When it was submitted, by the submitter's clock.
    pub fn created(&self) -> Timestamp {
        self.body.created
    }

    /// Who submitted it.
    pub fn submitter(&self) -> &Submitter {
        &self.body.submitter
    }

    /// The specification.
    pub fn spec(&self) -> &Spec {
        &self.body.spec
    }

    /// Everything the job opens, in the order in which it happens.
    pub fn disclosures(&self) -> &[Disclosure] {
        &self.body.disclosures
    }

    /// The parties by position, label party first.
    pub fn parties(&self) -> Vec<&NodeId> {
        self.body
            .spec
            .seats()
            .into_iter()
            .map(|party| &party.id)
            .collect()
    }

    /// The helper.
    pub fn helper(&self) -> &NodeId {
        &self.body.spec.helper.id
    }

    /// The place of a node in this job, if it has one.
    pub fn seat(&self, id: &NodeId) -> Option<Seat> {
        if self.helper() == id {
            return Some(Seat::Helper);
        }
        let position = self.parties().into_iter().position(|party| party == id)?;
        u8::try_from(position).ok().map(Seat::Party)
    }

    /// The node at a place of this job, if there is one.
    pub fn node(&self, seat: Seat) -> Option<&NodeId> {
        match seat {
            Seat::Helper => Some(self.helper()),
            Seat::Party(position) => self.parties().get(usize::from(position)).copied(),
        }
    }

    /// The moment after which the job may no longer be approved or started, if it has one.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.body.spec.expires.map(Date::end)
    }

    /// Whether the job has expired at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }
}
