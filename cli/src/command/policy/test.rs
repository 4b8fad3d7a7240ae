//! `paripassu policy test`.

use std::path::PathBuf;

use clap::Args;
use paripassu_party::policy::cases::{Table, Tried};

use super::{Configured, now};
use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
};

/// Try a policy on example jobs with expected decisions.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: data owner and compliance, before they sign a change; needs no key and no network.
CASES is a cases.toml (a job and what each case changes in it), a folder with one, or a folder of job
files that say `# expect: deny RULE`, `# expect: ask` or `# expect: invalid` in a line.
Exit code 3 where a case is decided otherwise than expected.

Examples:
  paripassu policy test examples/policy/cases.toml --config examples/policy/party.toml
  paripassu policy test jobs/ --config bank.toml")]
pub(crate) struct Test {
    /// Cases
    #[arg(value_name = "CASES")]
    cases: PathBuf,
    #[command(flatten)]
    configured: Configured,
    /// The party, where the policy does not say whose it is
    #[arg(long, value_name = "ID")]
    party: Option<String>,
}

impl Test {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let (config, file) = self.configured.load()?;
        let owner = file.as_ref().map(|file| file.policy.owner.clone());
        let party = self.party.or(owner).ok_or_else(|| {
            Failure::user("whose policy it is is not said").hint("give --party ID")
        })?;
        let table = Table::load(&self.cases, now()).map_err(Failure::user)?;
        let tried: Vec<Tried> = table
            .cases
            .cases
            .iter()
            .map(|case| table.run(case, &config, file.as_ref(), &party))
            .collect::<Result<_, _>>()
            .map_err(Failure::user)?;
        let mut grid = screen.table(&["case", "expected", "decided", "because", ""]);
        for case in &tried {
            let because: String = case
                .because
                .lines()
                .next()
                .unwrap_or("")
                .chars()
                .take(70)
                .collect();
            grid.row([
                case.name.as_str(),
                &case.expect,
                &case.got,
                &because,
                if case.passed { "ok" } else { "NOT AS EXPECTED" },
            ]);
        }
        let passed = tried.iter().filter(|case| case.passed).count();
        let text = format!("{grid}\n{passed} of {} as expected", tried.len());
        let outcome = Outcome::new(&tried, text)?;
        Ok(match passed == tried.len() {
            true => outcome,
            false => outcome.exit_with(Exit::Failed),
        })
    }
}
