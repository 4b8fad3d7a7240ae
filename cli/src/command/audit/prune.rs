//! `paripassu audit prune`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use paripassu_service::{
    clock::Clock,
    identity::Identity,
    transcript::{Pruned, Which, prune},
};

use super::files::Node;
use crate::{
    failure::Failure,
    outcome::Outcome,
    screen::{Screen, bytes, count},
};

/// Remove what old events say from a stopped node's log; proofs and countersignatures go on holding.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit prune --config party.toml --older-than 2555
  paripassu audit prune --config party.toml --job 4f1c --bundles

The node must be stopped. Of each job that has ended, the bodies of its events are removed: who
did what when, and every hash, proof and countersignature, stay. What the node wrote of itself
stays, too. The removal itself is written down.

A bundle without bodies proves that these events happened in this order, and no longer what they
say: whoever verifies it sets `allow_pruned` in the trust file. Bundles that were given away, and
those of the other members, are not touched; what the law asks you to keep is yours to know.

Exit codes: 0 done; 1 yours to fix; 2 wrong usage.")]
pub(crate) struct Prune {
    /// Only this job: its id, or the beginning of it
    #[arg(long, value_name = "JOB", required_unless_present = "older_than")]
    job: Option<String>,
    /// All jobs whose last event is older than so many days
    #[arg(long, value_name = "DAYS", conflicts_with = "job")]
    older_than: Option<u32>,
    /// Also from the bundles that this node keeps of these jobs
    #[arg(long)]
    bundles: bool,
    #[command(flatten)]
    node: Node,
    /// The node's identity folder, where no --config names it
    #[arg(long, value_name = "DIR")]
    identity: Option<PathBuf>,
}

impl Prune {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let clock = Clock::system();
        let which = match (self.job, self.older_than) {
            (Some(job), _) => Which::Job(job),
            (None, Some(days)) => Which::Before(clock.now() - i64::from(days) * 86_400),
            (None, None) => return Err(Failure::own(2, "neither --job nor --older-than is given")),
        };
        let state = self.node.folder("state")?;
        let identity = match self.identity {
            Some(identity) => identity,
            None => self.node.folder("identity")?,
        };
        let identity = Arc::new(Identity::load(&identity)?);
        let pruned = prune(&state, identity, &clock, &which, self.bundles);
        let Pruned {
            jobs,
            bodies,
            freed,
            bundles,
            kept,
        } = pruned.map_err(|e| {
            Failure::user(e).hint("stop the node first: one program at a time writes its log")
        })?;
        let json = serde_json::json!({
            "jobs": jobs,
            "bodies": bodies,
            "freed_bytes": freed,
            "bundles": bundles,
            "bundles_kept": kept,
        });
        let mut text = format!(
            "{} of {} jobs removed, {} freed; every proof holds as before",
            screen
                .out()
                .strong(format_args!("{} bodies", count(bodies))),
            count(jobs.len() as u64),
            bytes(freed)
        );
        for bundle in &bundles {
            text.push_str(&format!("\nwithout bodies now: {}", bundle.display()));
        }
        for bundle in &kept {
            text.push_str(&format!(
                "\nstill with its bodies: {} (--bundles removes them)",
                bundle.display()
            ));
        }
        Outcome::new(&json, text)
    }
}
