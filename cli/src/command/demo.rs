//! `paripassu demo`.

use std::path::{Path, PathBuf};

use clap::Args;
use paripassu_job::{NodeId, Spec};

use super::sandbox::outcome;
use crate::{
    failure::Failure,
    outcome::Outcome,
    sandbox::{Finished, Input, Sandbox},
    screen::Screen,
};

const JOB: &str = include_str!("../../../examples/lending_club.toml");
const BANK: &str = include_str!("../../../examples/data/lending_club/bank.csv");
const PARTNER: &str = include_str!("../../../examples/data/lending_club/partner.csv");

/// Show everything at once: three nodes on this machine train on shipped real data.
#[derive(Debug, Args)]
#[command(after_help = "\
Starts a coordinator, a bank and a partner as three processes with certificates made just now,
matches their customers, trains a joint model on secret shares, tests it on held-out rows and
writes a report. Takes well under a minute and needs nothing from the network.

Examples:
  paripassu demo
  paripassu demo --out try --json")]
pub(crate) struct Demo {
    /// Folder for everything (default: ./paripassu-demo, -2, -3, ..)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace an earlier demo in that folder
    #[arg(long)]
    force: bool,
    /// Deal randomness in a process of its own instead of in the coordinator
    #[arg(long)]
    separate_helper: bool,
    /// Leave the nodes running after the job, until Ctrl-C
    #[arg(long)]
    keep_nodes: bool,
}

impl Demo {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let out = match self.out {
            Some(out) => out,
            None => free_folder(Path::new("paripassu-demo"))?,
        };
        let id = |name: &str| name.parse::<NodeId>().map_err(Failure::ours);
        let sandbox = Sandbox {
            spec: Spec::from_toml(JOB, "lending_club.toml")
                .map_err(|e| Failure::ours(format!("the job that is built in: {e}")))?,
            job: JOB.to_owned(),
            inputs: vec![
                (id("bank")?, Input::Text(BANK)),
                (id("partner")?, Input::Text(PARTNER)),
            ],
            out: out.clone(),
            force: self.force,
            separate_helper: self.separate_helper,
            keep_nodes: self.keep_nodes,
            id: "id".into(),
            id_more: Vec::new(),
            fallback: Vec::new(),
            label: "y".into(),
            missing: Vec::new(),
        };
        screen.say(format_args!(
            "A lender and a credit bureau fit one model without showing each other a row: real loans,\n\
             real certificates, three processes. Everything goes to {}.\n",
            out.display()
        ));
        sandbox
            .run(screen, |finished, root| told(finished, root, &out, screen))
            .await
    }
}

/// The sandbox's result, and what to try next.
fn told(finished: &Finished, root: &Path, out: &Path, screen: &Screen) -> Result<Outcome, Failure> {
    let told = outcome(finished, root, screen)?;
    let Finished::Released(metrics) = finished else {
        return Ok(told);
    };
    let (out, paint) = (out.display(), screen.out());
    let job = metrics.job.get(..8).unwrap_or(&metrics.job);
    let commands = [
        (
            format!("model show {out}/bank"),
            "the bank's half of the model",
        ),
        (
            format!("job report {job} --out {out}/bank"),
            "its results again",
        ),
        (
            format!("job plan {out}/job.toml"),
            "who learns what, and what it costs",
        ),
        (
            format!(
                "sandbox run {out}/job.toml --out try \\\n      \
                 --party bank={out}/data/bank.csv --party partner={out}/data/partner.csv"
            ),
            "",
        ),
    ];
    let width = commands
        .iter()
        .take(3)
        .map(|(command, _)| command.len())
        .max();
    let width = width.unwrap_or(0);
    let mut next = format!("\n{}\n", paint.strong("Try next"));
    for (command, what) in commands {
        let line = format!("  paripassu {command:<width$}  {}", paint.faint(what));
        next.push_str(line.trim_end());
        next.push('\n');
    }
    next.push_str("The same by hand, node by node: examples/README.md\n");
    next.push_str(&format!("\n{}\n", paint.strong("Verify what happened")));
    for (node, bundle) in &metrics.bundles {
        let bundle = bundle.file_name().unwrap_or_default().to_string_lossy();
        next.push_str(&format!("  paripassu audit verify {out}/{node}/{bundle}\n"));
    }
    next.push_str(
        "Each file holds what all nodes wrote of the job, countersigned by the others; no node\n",
    );
    next.push_str("and no network is needed to check it.");
    Ok(told.followed_by(&next))
}

/// `base`, or `base-2`, `base-3`, .. if that is there already.
fn free_folder(base: &Path) -> Result<PathBuf, Failure> {
    let mut names = std::iter::once(base.to_owned())
        .chain((2..1000).map(|n| PathBuf::from(format!("{}-{n}", base.display()))));
    names.find(|path| !path.exists()).ok_or_else(|| {
        Failure::user(format!("there are too many folders {}-N", base.display()))
            .hint("remove some, or name one with --out")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_fits_together() {
        let spec = Spec::from_toml(JOB, "lending_club.toml").unwrap();
        for (party, text) in [("bank", BANK), ("partner", PARTNER)] {
            let header: Vec<_> = text.lines().next().unwrap().split(',').collect();
            let party = spec.party.iter().find(|p| p.id.as_str() == party).unwrap();
            for column in party.columns.names() {
                assert!(header.contains(&column), "{column}");
            }
        }
    }

    #[test]
    fn an_earlier_demo_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("demo");
        assert_eq!(free_folder(&base).unwrap(), base);
        std::fs::create_dir(&base).unwrap();
        assert_eq!(free_folder(&base).unwrap(), dir.path().join("demo-2"));
    }
}
