//! `paripassu policy key` and `paripassu policy sign`.

use std::path::{Path, PathBuf};

use clap::Args;
use paripassu_audit::event::{hex, key_digest};
use paripassu_party::policy::{
    keys, signatures_beside,
    signed::{PersonSignature, Signatures, digest, statement, take},
};
use paripassu_service::{identity::said_by, person::PersonKey};

use super::{now, read_policy};
use crate::{
    command::{read_text, write_whole},
    failure::Failure,
    outcome::Outcome,
};

/// Make a person's own key.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: the person whose key it is, on their own machine. The key signs approvals, rejections and
policies in their name; the public key goes into the policy's [[person]] entry.

Examples:
  paripassu policy key --out owner-1.key")]
pub(crate) struct Key {
    /// New file for the private key; only its owner can read it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Key {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let key = PersonKey::create(&self.out)?;
        let public = key.public();
        let json = serde_json::json!({ "file": self.out, "key": public });
        let text = format!(
            "{} is written; keep it to yourself. The policy names its owner so:\n\n\
             [[person]]\nname = \"a code or staff number\"\nroles = [\"data_owner\"]\nkey = \"{public}\"",
            self.out.display()
        );
        Outcome::new(&json, text)
    }
}

/// Puts a person's signature beside what it is of; the file's new text.
fn add(beside: &Path, key: &PersonKey, name: &str, statement: &[u8]) -> Result<String, Failure> {
    let mut signatures = match beside.exists() {
        true => Signatures::parse(&read_text(beside)?)
            .map_err(|e| Failure::user(format!("{}: {e}", beside.display())))?,
        false => Signatures::default(),
    };
    let public = key.public();
    // one of an earlier text counts for nothing any more
    signatures.signature.retain(|other| other.key != public);
    signatures.signature.push(PersonSignature {
        name: name.to_owned(),
        signature: hex(&key.sign(statement)),
        key: public,
    });
    let toml = toml::to_string(&signatures).map_err(Failure::ours)?;
    write_whole(beside, toml.as_bytes())?;
    Ok(toml)
}

/// Sign a change of the node's own key with a person's own key.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: a person whom the policy names as data owner or compliance, where it asks for their signatures
(`key_signers`). The node takes a renewed key, running or at its start, once enough have signed it.
The signatures stand in NEW.crt.sig: put them beside the node's certificate, before that.

Examples:
  paripassu policy sign-key node.crt --replaces old.crt --policy policy.toml --key owner-1.key --name owner-1")]
pub(crate) struct SignKey {
    /// The node's new certificate
    #[arg(value_name = "NEW.crt")]
    certificate: PathBuf,
    /// The certificate whose key signs now
    #[arg(long, value_name = "OLD.crt")]
    replaces: PathBuf,
    /// The policy in force
    #[arg(long, value_name = "POLICY.toml")]
    policy: PathBuf,
    /// The person's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who signs, as the policy names them
    #[arg(long, value_name = "NAME")]
    name: String,
}

impl SignKey {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let file = read_policy(&self.policy)?;
        let owner = &file.policy.owner;
        let (new, old) = (said_by(&self.certificate)?, said_by(&self.replaces)?);
        for (path, (peer, _)) in [(&self.certificate, &new), (&self.replaces, &old)] {
            if peer.to_string() != format!("party/{owner}") {
                return Err(Failure::user(format!(
                    "{} is {peer}'s certificate, and the policy is that of party/{owner}",
                    path.display()
                )));
            }
        }
        if old.1 == new.1 {
            return Err(Failure::user(
                "both certificates have one key: nothing changes, and nobody has to sign",
            ));
        }
        let key = PersonKey::load(&self.key)?;
        let (before, after) = (hex(&key_digest(&old.1)), hex(&key_digest(&new.1)));
        let beside = signatures_beside(&self.certificate);
        let statement = keys::statement(owner, &before, &new.1);
        let toml = add(&beside, &key, &self.name, &statement)?;
        let lacks = keys::allowed(&file, &toml, &before, &new.1, now()).err();
        let json = serde_json::json!({
            "party": owner, "old": before, "new": after, "by": self.name, "signatures": beside, "lacks": lacks,
        });
        let mut said = format!(
            "{} signed the change of {owner}'s node from key {before} to {after}",
            self.name
        );
        match lacks {
            Some(lacks) => said.push_str(&format!("\nstill lacking: {lacks}")),
            None => said.push_str("\nenough have signed it"),
        }
        Outcome::new(&json, said)
    }
}

/// Sign a policy with a person's own key.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: a person whom the policy names as data owner or compliance, after `policy lint` and
`policy test`. As many must sign as the policy asks for, and as many of those whom the version in
force names. The signatures stand in POLICY.toml.sig; any change of the policy needs new ones.

Examples:
  paripassu policy sign policy.toml --key owner-1.key --name owner-1")]
pub(crate) struct Sign {
    /// The policy
    #[arg(value_name = "POLICY.toml")]
    policy: PathBuf,
    /// The person's private key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who signs, as the policy names them
    #[arg(long, value_name = "NAME")]
    name: String,
}

impl Sign {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let file = read_policy(&self.policy)?;
        let text = read_text(&self.policy)?;
        let owner = &file.policy.owner;
        let key = PersonKey::load(&self.key)?;
        let public = key.public();
        let named = file
            .people
            .iter()
            .any(|p| p.name == self.name && p.key == public);
        let beside = signatures_beside(&self.policy);
        let toml = add(&beside, &key, &self.name, &statement(owner, &text))?;
        let lacks = take(&text, &toml, owner, None, now()).err();
        let json = serde_json::json!({
            "policy": digest(&text), "version": file.policy.version, "by": self.name, "named": named,
            "signatures": beside, "lacks": lacks.as_ref().map(ToString::to_string),
        });
        let mut said = format!(
            "{} signed version {} of the policy of {owner}",
            self.name, file.policy.version
        );
        if !named {
            said.push_str("\nnote: this policy does not name them with this key; it counts where the version in force does");
        }
        match lacks {
            Some(lacks) => said.push_str(&format!("\nstill lacking: {lacks}")),
            None => said.push_str("\nenough have signed it by its own rules"),
        }
        Outcome::new(&json, said)
    }
}
