//! A change of the node's own key, which an institution's people sign where its policy asks for that.

use std::{fs, io, path::Path};

use ed25519_dalek::VerifyingKey;
use paripassu_audit::event::{hex, key_digest};
use paripassu_service::{clock::Clock, identity::files};

use super::{
    file::{PolicyFile, Role},
    in_force, signatures_beside,
    signed::Signatures,
};
use crate::config::PartyConfig;

const DST_KEY: &[u8] = b"paripassu/v1/node-key";

/// What people sign: that `owner`'s node changes from the key with this digest
/// ([`key_digest`], in hexadecimal digits) to another.
pub fn statement(owner: &str, old: &str, new: &VerifyingKey) -> Vec<u8> {
    let new = hex(&key_digest(new));
    let mut out = Vec::new();
    for field in [DST_KEY, owner.as_bytes(), old.as_bytes(), new.as_bytes()] {
        out.extend_from_slice(&(field.len() as u64).to_le_bytes());
        out.extend_from_slice(field);
    }
    out
}

/// Whether enough people whom the policy names have signed this change.
///
/// # Errors
/// How many did, how many must, and who could.
pub fn allowed(
    policy: &PolicyFile,
    signatures: &str,
    old: &str,
    new: &VerifyingKey,
    now: i64,
) -> Result<(), String> {
    let Some(required) = policy.policy.key_signers else {
        return Ok(());
    };
    let owner = &policy.policy.owner;
    let signatures = Signatures::parse(signatures)
        .map_err(|error| format!("the signatures cannot be read: {error}"))?;
    let signed = signatures.by(policy, &statement(owner, old, new), now);
    if signed.len() >= required.max(1) {
        return Ok(());
    }
    let able = policy.names(Role::governs).into_iter();
    let left: Vec<&str> = able
        .filter(|name| !signed.iter().any(|s| s == name))
        .collect();
    Err(format!(
        "policy of `{owner}` (version {}), rule `key_signers`: {} of {required} people have signed the change from key \
         {old}: `policy sign-key` by {}",
        policy.policy.version,
        signed.len(),
        left.join(" or ")
    ))
}

/// The guard of a party's identity: a new key is taken as the policy in force says, by the signatures beside the new
/// certificate.
pub fn guard(
    config: PartyConfig,
    party: String,
    clock: Clock,
) -> impl Fn(&str, &VerifyingKey) -> Result<(), String> + Send + Sync + 'static {
    move |old, new| {
        let now = clock.now();
        let policy = in_force(&config, &party, now).map_err(|error| error.to_string())?;
        let Some(policy) = policy else { return Ok(()) };
        let beside = signatures_beside(&config.identity.join(files::CERTIFICATE));
        allowed(&policy, &read(&beside)?, old, new, now)
    }
}

fn read(path: &Path) -> Result<String, String> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}
