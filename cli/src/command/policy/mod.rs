//! `paripassu policy`: an institution's own rules.

mod explain;
mod key;
mod lint;
mod show;
mod test;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use paripassu_party::{config::PartyConfig, policy::file::PolicyFile};
use paripassu_service::clock::Clock;

use super::read_text;
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Write, check, try and sign an institution's policy; explain a job to its officers.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Print a commented policy to start from
    New(show::New),
    /// Check a policy: what is wrong in it, and what an officer should look at
    Lint(lint::Lint),
    /// Say what of a job leaves, to whom, in what shape, and what could be inferred
    Explain(explain::Explain),
    /// Try a policy on example jobs with expected decisions
    Test(test::Test),
    /// Make a person's own key
    Key(key::Key),
    /// Sign a policy with a person's own key
    Sign(key::Sign),
    /// Sign a change of the node's own key with a person's own key
    SignKey(key::SignKey),
}

impl Policy {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Lint(lint) => lint.run(screen),
            Self::Explain(explain) => explain.run().await,
            Self::Test(test) => test.run(screen),
            Self::Key(key) => key.run(),
            Self::Sign(sign) => sign.run(),
            Self::SignKey(sign) => sign.run(),
        }
    }
}

/// A party's configuration and, beside it, its policy.
#[derive(Debug, Args)]
struct Configured {
    /// The party's configuration, which names its policy
    #[arg(long, value_name = "PARTY.toml")]
    config: PathBuf,
}

impl Configured {
    /// The configuration under its policy, and the policy.
    fn load(&self) -> Result<(PartyConfig, Option<PolicyFile>), Failure> {
        let config = PartyConfig::load(&self.config).map_err(Failure::user)?;
        let Some(path) = &config.policy else {
            return Ok((config, None));
        };
        let file = read_policy(path)?;
        Ok((config.governed(&file), Some(file)))
    }
}

pub(crate) fn read_policy(path: &Path) -> Result<PolicyFile, Failure> {
    let text = read_text(path)?;
    PolicyFile::parse(&text).map_err(|e| Failure::user(format!("{}: {e}", path.display())))
}

fn now() -> i64 {
    Clock::system().now()
}
