//! `paripassu audit diff`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::diff::diff;

use super::files::open;
use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
};

/// Two bundles tell different stories.
const DIFFER: Exit = Exit::Own(1);

/// Say where two members' bundles of one job part.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit diff bank.bundle partner.bundle
  paripassu audit diff bank.bundle partner.bundle --json

For each log the first event that differs; for each step the first frame that one sent and
the other received differently. Bodies that one of the two may not see are no difference.
Nothing is verified.

Exit codes: 0 the same story; 1 they differ; 2 wrong usage; 3 a file cannot be read or is no
bundle.")]
pub(crate) struct Diff {
    /// The first bundle
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second
    #[arg(value_name = "B")]
    b: PathBuf,
}

impl Diff {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let (a, b) = (open(&self.a)?, open(&self.b)?);
        let found = diff(&a.bundle, &b.bundle);
        let paint = screen.out();
        let mut text = format!(
            "a  {}  of {}\nb  {}  of {}\n\n",
            self.a.display(),
            a.bundle.node,
            self.b.display(),
            b.bundle.node
        );
        for difference in &found {
            let said: String = difference.to_string().chars().map(printable).collect();
            text.push_str(&format!("{} {said}\n", paint.bad("✗")));
        }
        text.push_str(&match found.len() {
            0 => paint.good("✓ both tell the same story"),
            1 => paint.bad("1 difference"),
            n => paint.bad(format_args!("{n} differences")),
        });
        let json =
            serde_json::json!({ "a": a.bundle.node, "b": b.bundle.node, "differences": found });
        let outcome = Outcome::new(&json, text)?;
        Ok(if found.is_empty() {
            outcome
        } else {
            outcome.exit_with(DIFFER)
        })
    }
}

fn printable(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}
