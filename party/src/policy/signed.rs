//! A policy file's signatures: by the people whom it names, and, where it replaces another, by those whom that
//! one named.

use std::collections::BTreeSet;

use ed25519_dalek::{Signature, VerifyingKey};
use paripassu_audit::event::{hex, unhex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::{PolicyFile, PolicyFileError, Role};

const DST_POLICY: &[u8] = b"paripassu/v1/policy";

/// The signatures beside a policy file: `policy.toml.sig`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signatures {
    /// In the order in which they came.
    #[serde(default)]
    pub signature: Vec<PersonSignature>,
}

/// A person's signature below a policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonSignature {
    /// The person's name in the file.
    pub name: String,
    /// Their key, 64 hexadecimal digits.
    pub key: String,
    /// Over [`statement`], 128 hexadecimal digits.
    pub signature: String,
}

/// Why a policy is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotTaken {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] PolicyFileError),
    /// Its signatures cannot be read.
    #[error("the signatures cannot be read: {0}")]
    Signatures(#[from] toml::de::Error),
    /// Another party's.
    #[error("it is the policy of `{owner}`, this party is `{party}`")]
    Owner {
        /// As the file says.
        owner: String,
        /// This party.
        party: String,
    },
    /// An older version, or another text of the same.
    #[error(
        "it is version {got}, and version {have} with another text was taken before: give the change a higher version \
         and have it signed"
    )]
    Version {
        /// The file's.
        got: u64,
        /// The one in force.
        have: u64,
    },
    /// Too few have signed it.
    #[error(
        "{signed} of {required} people whom {whose} names to change it (data_owner, compliance) have signed it: {ask}"
    )]
    TooFew {
        /// How many have.
        signed: usize,
        /// How many must.
        required: usize,
        /// The file itself, or the one before it.
        whose: &'static str,
        /// Who could.
        ask: String,
    },
}

/// What people sign of a policy file.
pub fn statement(owner: &str, text: &str) -> Vec<u8> {
    let digest = Sha256::digest(text.as_bytes());
    let mut out = Vec::new();
    for field in [DST_POLICY, owner.as_bytes(), &digest] {
        out.extend_from_slice(&(field.len() as u64).to_le_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// SHA-256 of a policy file's text.
pub fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// A file that was taken, and who signed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The file.
    pub file: PolicyFile,
    /// Its text.
    pub text: String,
    /// Names of the people who signed it.
    pub signers: Vec<String>,
}

impl Signatures {
    /// Reads the text of the file beside a policy; an empty one has none.
    ///
    /// # Errors
    /// Names line and column.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Names of the different people, named by `by` in a role that may change it at this time, who have signed
    /// `statement` with different keys.
    pub(super) fn by(&self, by: &PolicyFile, statement: &[u8], now: i64) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for signature in &self.signature {
            let named = by.people.iter().any(|person| {
                person.name == signature.name
                    && person.key == signature.key
                    && person.holds(now)
                    && person.roles.iter().any(|role| Role::governs(*role))
            });
            if named && holds(signature, statement) && keys.insert(&signature.key) {
                names.insert(signature.name.clone());
            }
        }
        names.into_iter().collect()
    }
}

fn holds(signed: &PersonSignature, statement: &[u8]) -> bool {
    let key = unhex::<32>(&signed.key).and_then(|key| VerifyingKey::from_bytes(&key).ok());
    let signature = unhex::<64>(&signed.signature).map(|bytes| Signature::from_bytes(&bytes));
    match (key, signature) {
        (Some(key), Some(signature)) => key.verify_strict(statement, &signature).is_ok(),
        _ => false,
    }
}

/// Takes a policy file for `party`, if enough people have signed it: as many as it asks for of those whom it
/// names, and, where `before` is in force, as many as that one asks for of those whom that one names.
///
/// # Errors
/// [`NotTaken`]: what is wrong, and who could sign.
pub fn take(
    text: &str,
    signatures: &str,
    party: &str,
    before: Option<&Taken>,
    now: i64,
) -> Result<Taken, NotTaken> {
    let file = PolicyFile::parse(text)?;
    if file.policy.owner != party {
        return Err(NotTaken::Owner {
            owner: file.policy.owner,
            party: party.to_owned(),
        });
    }
    let signatures = Signatures::parse(signatures)?;
    let changed = before.filter(|before| before.text != text);
    if let Some(before) = changed
        && file.policy.version <= before.file.policy.version
    {
        return Err(NotTaken::Version {
            got: file.policy.version,
            have: before.file.policy.version,
        });
    }
    let mut signers = Vec::new();
    let judges = [
        (Some(&file), "it"),
        (changed.map(|b| &b.file), "the policy in force"),
    ];
    for (by, whose) in judges {
        let Some(by) = by else { continue };
        let signed = signatures.by(by, &statement(party, text), now);
        let required = by.policy.signers_required.max(1);
        if signed.len() < required {
            let able = by.names(Role::governs);
            let left: Vec<&str> = able
                .into_iter()
                .filter(|name| !signed.iter().any(|s| s == name))
                .collect();
            return Err(NotTaken::TooFew {
                signed: signed.len(),
                required,
                whose,
                ask: format!("`policy sign` by {}", left.join(" or ")),
            });
        }
        if signers.is_empty() {
            signers = signed;
        }
    }
    Ok(Taken {
        file,
        text: text.to_owned(),
        signers,
    })
}
