//! `paripassu job sign`: a person's own signature on a decision, which their party's node then sends.

use std::path::{Path, PathBuf};

use clap::Args;
use paripassu_audit::{
    consent::{Decided, MAX_PEOPLE, Signature},
    event::{hex, unhex},
};
use paripassu_job::Contract;
use paripassu_party::policy::file::Role;
use paripassu_proto::NodeKind;
use paripassu_service::{person::PersonKey, signing::Consent};
use serde::{Deserialize, Serialize};

use super::decide::{ReadDigest, Until, confirm};
use crate::{
    client::{Client, Connect, contract_of},
    command::{read_text, write_whole},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
};

const FORMAT: &str = "paripassu.consent.v1";

/// Sign an approval or rejection with a person's own key.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: a data owner, compliance officer or validator of a party, with their own key; no operator
and no regulator signs. Nothing is sent: the file goes to whoever runs the party's node, for
`job approve --signed` or `job reject --signed`. All who sign give the same ticket, end and reason.

Examples:
  paripassu policy explain JOB --config bank.toml         read what it means first
  paripassu job sign JOB --contract DIGEST --party bank --key owner-1.key --name owner-1 \\
    --role data_owner --expires 2026-11-25T18:00:00Z --out owner-1.consent
  paripassu job sign JOB --contract DIGEST --party bank --key c.key --name compliance-1 \\
    --role compliance --reject --reason \"no agreement covers it\" --out c.consent")]
pub(crate) struct Sign {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// Digest of the contract that you have read, all 64 digits; asked for on a terminal
    #[arg(long, value_name = "DIGEST")]
    contract: Option<ReadDigest>,
    /// The party in whose name it is decided (default: that of --identity)
    #[arg(long, value_name = "ID")]
    party: Option<String>,
    /// Your private key, as `policy key` made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who you are, as the party's policy names you: a code or staff number
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The role in which you sign
    #[arg(long, value_name = "ROLE", value_parser = roles())]
    role: String,
    /// Reject it
    #[arg(long)]
    reject: bool,
    /// Why, for the record; everyone in the job can read it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// The party's own reference, such as a change number
    #[arg(long, value_name = "TEXT", default_value = "")]
    ticket: String,
    /// Until when the approval holds: a time such as 2026-11-22T18:00:00Z, the same for all who sign
    #[arg(long, value_name = "TIME", conflicts_with = "reject")]
    expires: Option<Until>,
    /// New file for the signature
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

fn roles() -> clap::builder::PossibleValuesParser {
    let able = Role::ALL.into_iter().filter(|role| role.approves());
    able.map(Role::name).collect::<Vec<_>>().into()
}

/// A person's signature, as a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SignedConsent {
    format: String,
    job: String,
    contract: String,
    approve: bool,
    party: String,
    reason: String,
    ticket: String,
    expires: String,
    name: String,
    role: String,
    key: String,
    signature: String,
}

impl Sign {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let key = PersonKey::load(&self.key)?;
        let mut client = Client::connect(&self.connect).await?;
        let me = client.identity().peer().clone();
        let own = (me.kind == NodeKind::Party).then(|| me.id.to_string());
        let party = self.party.or(own).ok_or_else(|| {
            Failure::user("in whose name it is decided is not said").hint("give --party ID")
        })?;
        let job = client.resolve(&self.job).await?;
        let contract = contract_of(&client.show(&job).await?, &job)?;
        if !contract.parties().iter().any(|id| id.as_str() == party) {
            return Err(Failure::user(format!("`{party}` is no party of this job")));
        }
        match &self.contract {
            Some(named) => named.check(contract.digest())?,
            None => confirm(&contract, screen).await?,
        }
        let expires = self
            .expires
            .map_or_else(String::new, |until| until.text().to_owned());
        let digest = contract.digest();
        let decided = Decided {
            job: &job,
            digest: digest.as_bytes(),
            approve: !self.reject,
            party: &party,
            reason: &self.reason,
            ticket: &self.ticket,
            expires: &expires,
        };
        let signature = key.decide(&decided, &self.name, &self.role);
        let consent = Consent {
            approver: self.name.clone(),
            ticket: self.ticket.clone(),
            expires: expires.clone(),
            people: vec![signature.clone()],
            ..Consent::default()
        };
        let checked = consent.check();
        checked.map_err(|e| Failure::user(format!("nothing is signed: {e}")))?;
        let file = SignedConsent {
            format: FORMAT.into(),
            contract: contract.digest().to_string(),
            approve: !self.reject,
            reason: self.reason,
            ticket: self.ticket,
            expires,
            name: self.name,
            role: self.role,
            key: hex(&signature.key),
            signature: hex(&signature.signature),
            job,
            party,
        };
        let text = serde_json::to_vec_pretty(&file).map_err(Failure::ours)?;
        write_whole(&self.out, &text)?;
        let word = if file.approve {
            "approval"
        } else {
            "rejection"
        };
        let said = format!(
            "{} signed the {word} of {} for {} as {}: {} goes to whoever runs its node",
            file.name,
            file.job,
            file.party,
            file.role,
            self.out.display()
        );
        Outcome::new(&file, said)
    }
}

/// Reads the signatures of people below one decision of `party` on this contract: what is signed for it, and why.
pub(super) fn together(
    files: &[PathBuf],
    contract: &Contract,
    party: &str,
    approve: bool,
) -> Result<(Consent, String), Failure> {
    if files.len() > MAX_PEOPLE {
        return Err(Failure::user(format!(
            "at most {MAX_PEOPLE} people sign one decision"
        )));
    }
    let mut all: Vec<(&Path, SignedConsent)> = Vec::new();
    for path in files {
        let text = read_text(path)?;
        let file: SignedConsent = serde_json::from_str(&text).map_err(|e| {
            Failure::user(format!(
                "{} is no signature of `job sign`: {e}",
                path.display()
            ))
        })?;
        all.push((path, file));
    }
    let Some((_, first)) = all.first().cloned() else {
        return Err(Failure::user("no signature is given"));
    };
    let mut consent = Consent {
        ticket: first.ticket.clone(),
        expires: first.expires.clone(),
        ..Consent::default()
    };
    let digest = contract.digest();
    let job = contract.job().to_string();
    for (path, file) in &all {
        let refuse = |what: &str| {
            Err(Failure::user(format!(
                "nothing is sent: {} {what}",
                path.display()
            )))
        };
        if file.format != FORMAT {
            return refuse("is of another form");
        }
        if file.job != job || file.contract != digest.to_string() {
            return refuse("is a signature on another contract");
        }
        if file.party != party || file.approve != approve {
            return refuse("is a signature on another decision or of another party");
        }
        let words = |file: &SignedConsent| {
            (
                file.reason.clone(),
                file.ticket.clone(),
                file.expires.clone(),
            )
        };
        if words(file) != words(&first) {
            return refuse(
                "was signed with another reason, ticket or end than the first: all sign the same",
            );
        }
        let (Some(key), Some(signature)) = (unhex(&file.key), unhex(&file.signature)) else {
            return refuse("has no key or signature");
        };
        consent.people.push(Signature {
            name: file.name.clone(),
            role: file.role.clone(),
            key,
            signature,
        });
    }
    let mut names = consent.people.iter().map(|person| person.name.clone());
    consent.approver = names.next().unwrap_or_default();
    consent.second = names.next().unwrap_or_default();
    drop(names);
    let decided = Decided {
        job: &job,
        digest: digest.as_bytes(),
        approve,
        party,
        reason: &first.reason,
        ticket: &first.ticket,
        expires: &first.expires,
    };
    let sound = consent
        .check()
        .and_then(|()| consent.signed_by_its_people(&decided));
    sound.map_err(|e| Failure::user(format!("nothing is sent: {e}")))?;
    Ok((consent, first.reason))
}
