//! `paripassu audit trust`.

use clap::Args;
use paripassu_audit::trust::SAMPLE;

use crate::{failure::Failure, outcome::Outcome};

/// Print a commented trust.toml: what a reader trusts, decided before reading.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit trust > trust.toml   then put your own ca.crt beside it
  paripassu audit verify JOB.bundle --policy trust.toml")]
pub(crate) struct TrustSample {}

impl TrustSample {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        Outcome::new(&serde_json::json!({ "trust": SAMPLE }), SAMPLE)
    }
}
