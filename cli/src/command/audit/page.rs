//! `paripassu audit page`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::page::html;

use super::{files::Judgement, verify::exit};
use crate::{command::write_whole, failure::Failure, outcome::Outcome, screen::Screen};

/// Make one HTML page of a bundle for someone who is no engineer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit page JOB.bundle --policy trust.toml --out page.html
  paripassu audit page JOB.bundle --policy trust.toml --model model.json --out page.html

The page says in plain words who computed what for which purpose, who agreed, what left this
institution, what was opened to whom against what was declared, whether all fourteen checks
hold, and how to verify it without believing the page. It is one file: no script, nothing
fetched; it prints and reads on a phone.

The bundle is verified first, as by `audit verify`, with the same exit codes; where a check
fails the page is written all the same, and says so in red.")]
pub(crate) struct Page {
    /// The bundle that `audit export` wrote
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    judgement: Judgement,
    /// Where to; replaced if it exists
    #[arg(long, value_name = "FILE.html")]
    out: PathBuf,
}

impl Page {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let judged = self.judgement.judge(&self.bundle)?;
        let verdict = &judged.verdict;
        let page = html(
            &judged.opened.bundle,
            &judged.options(),
            verdict,
            &judged.subject,
        );
        write_whole(&self.out, page.as_bytes())?;
        let paint = screen.out();
        let said = match (verdict.ok, judged.options().trust.is_some()) {
            (true, true) => paint.good("VERIFIED"),
            (true, false) => paint.warn("CONSISTENT (no --policy: not against your own records)"),
            (false, _) => paint.bad(format_args!(
                "NOT VERIFIED (exit code {})",
                verdict.exit_code
            )),
        };
        let json = serde_json::json!({
            "job": verdict.job,
            "page": self.out,
            "ok": verdict.ok,
            "exit_code": verdict.exit_code,
            "trust": judged.subject.trust.as_ref().map(|(name, _)| name),
        });
        let outcome = Outcome::new(&json, format!("{}  {said}", self.out.display()))?;
        Ok(outcome.exit_with(exit(verdict)))
    }
}
