//! `paripassu audit export`.

use std::path::PathBuf;

use clap::Args;

use paripassu_service::transcript::Assembled;

use super::files::{Node, sha256};
use crate::{
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, bytes, count},
};

/// Write one job's transcript, with proofs and countersignatures, into one file.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit export --job JOB --config party.toml
  paripassu audit export --job 4f1c --state state --out /srv/audit/4f1c.bundle

The file holds this node's events with everything in them, the other members' events as far
as they are shared, and proofs and countersignatures for all. It holds no data of any
customer. The node may be running. Give it to whoever is to judge the job: `paripassu audit
verify` needs nothing else. Where the node wrote none, because it was stopped in mid-job or
the job still runs, the file is made from its log, and what it lacks is said.

Exit codes: 0 written; 1 yours to fix; 2 wrong usage; 3 the job has no bundle here.")]
pub(crate) struct Export {
    /// Id of the job, or the beginning of it
    #[arg(long, value_name = "JOB")]
    job: String,
    #[command(flatten)]
    node: Node,
    /// Where to; must not exist [default: JOB.bundle in this folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let Assembled { bundle, lacks } = self.node.bundle(&self.job)?;
        let out = self
            .out
            .unwrap_or_else(|| format!("{}.bundle", bundle.job).into());
        bundle.save(&out).map_err(|e| {
            Failure::user(e)
                .hint("an existing file is evidence and never overwritten; give another --out")
        })?;
        let content = super::files::read(&out)?;
        let digest = sha256(&content);
        let events: usize = bundle.logs.iter().map(|log| log.events.len()).sum();
        let json = serde_json::json!({
            "job": bundle.job,
            "node": bundle.node,
            "file": out,
            "sha256": digest,
            "bytes": content.len(),
            "logs": bundle.logs.len(),
            "events": events,
            "lacks": lacks,
        });
        let lacking = match lacks.is_empty() {
            true => String::new(),
            false => format!(
                "made from the log: the node wrote no bundle of this job, or has not yet. It lacks:\n- {}\n\n",
                lacks.join("\n- ")
            ),
        };
        let text = format!(
            "{lacking}{}  {}, {} events of {} logs\nsha256 {digest}\n\n  verify it: paripassu audit verify {} --policy trust.toml\n  read it:   paripassu audit page {} --out page.html",
            screen.out().strong(out.display()),
            bytes(content.len() as u64),
            count(events as u64),
            bundle.logs.len(),
            out.display(),
            out.display(),
        );
        Outcome::new(&json, text)
    }
}
