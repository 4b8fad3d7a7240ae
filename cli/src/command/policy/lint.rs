//! `paripassu policy lint`.

use std::path::PathBuf;

use clap::Args;
use paripassu_party::policy::{
    file::Finding,
    signatures_beside,
    signed::{digest, take},
};
use serde::Serialize;

use super::{now, read_policy};
use crate::{
    command::read_text,
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
};

/// Check a policy: what is wrong in it, and what an officer should look at.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: data owner and compliance of the institution; needs no key and no network.
Says, too, whether enough people have signed it. Exit code 3 with --strict where anything is found.

Examples:
  paripassu policy lint policy.toml
  paripassu policy lint policy.toml --strict --json")]
pub(crate) struct Lint {
    /// The policy
    #[arg(value_name = "POLICY.toml")]
    policy: PathBuf,
    /// Fail where anything is found
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Serialize)]
struct Linted {
    owner: String,
    version: u64,
    sha256: String,
    signed_by: Vec<String>,
    unsigned: Option<String>,
    findings: Vec<Finding>,
}

impl Lint {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let file = read_policy(&self.policy)?;
        let text = read_text(&self.policy)?;
        let beside = signatures_beside(&self.policy);
        let signatures = match beside.exists() {
            true => read_text(&beside)?,
            false => String::new(),
        };
        let now = now();
        let taken = take(&text, &signatures, &file.policy.owner, None, now);
        let (signed_by, unsigned) = match taken {
            Ok(taken) => (taken.signers, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let linted = Linted {
            owner: file.policy.owner.clone(),
            version: file.policy.version,
            sha256: digest(&text),
            signed_by,
            unsigned,
            findings: file.lint(now),
        };
        let mut page = format!(
            "policy of {}, version {}\nsha256 {}\n{}\n\n",
            linted.owner,
            linted.version,
            linted.sha256,
            match &linted.unsigned {
                None => format!("signed by {}", linted.signed_by.join(" and ")),
                Some(lacks) => format!("not signed: {lacks}"),
            }
        );
        if linted.findings.is_empty() {
            page.push_str("nothing to look at");
        } else {
            let mut table = screen.table(&["where", "look at"]);
            for finding in &linted.findings {
                table.row([finding.key.as_str(), &finding.what]);
            }
            page.push_str(&table.to_string());
        }
        let outcome = Outcome::new(&linted, page)?;
        Ok(
            match self.strict && (!linted.findings.is_empty() || linted.unsigned.is_some()) {
                true => outcome.exit_with(Exit::Failed),
                false => outcome,
            },
        )
    }
}
