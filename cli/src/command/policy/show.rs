//! `paripassu policy new`.

use clap::Args;
use paripassu_party::policy::file::SAMPLE;

use crate::{failure::Failure, outcome::Outcome};

/// Print a commented policy to start from.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: anyone.

Examples:
  paripassu policy new > policy.toml
  paripassu policy lint policy.toml")]
pub(crate) struct New {}

impl New {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        Outcome::new(&serde_json::json!({ "toml": SAMPLE }), SAMPLE)
    }
}
