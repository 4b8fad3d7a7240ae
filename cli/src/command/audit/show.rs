//! `paripassu audit show`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::{
    event::parse_time,
    show::{Filter, Timeline, show},
};

use super::files::{Node, open};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Print what happened, in order, with filters; nothing is verified.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit show JOB.bundle
  paripassu audit show JOB.bundle --event disclosure --node bank        what the bank opened
  paripassu audit show JOB.bundle --step train --event step.finished   bytes in training
  paripassu audit show JOB.bundle --since 2026-03-01T09:00:00Z --until 2026-03-02
  paripassu audit show --job JOB --config party.toml   from the node's own records

The columns are: time, node, place in the node's log, event, content. The place is what
`audit prove` takes: `bank#17`.")]
pub(crate) struct Show {
    /// The bundle that `audit export` wrote
    #[arg(value_name = "BUNDLE", conflicts_with = "job")]
    bundle: Option<PathBuf>,
    /// Instead of a bundle: id of a job of a node here, or the beginning of it
    #[arg(long, value_name = "JOB")]
    job: Option<String>,
    #[command(flatten)]
    at: Node,
    /// Only what this node wrote: `bank`, or `paripassu/party/bank`
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only this event, or those that begin so: `disclosure`, `step`
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only events of this step, or of those below it: `train`, `train/pass-3`
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    /// Not before this time (UTC): 2026-03-01T09:00:00Z or 2026-03-01
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
}

/// A time, or a day for its beginning.
fn time(text: &str) -> Result<i64, String> {
    parse_time(text)
        .or_else(|| parse_time(&format!("{text}T00:00:00Z")))
        .ok_or_else(|| {
            "expected a time such as 2026-03-01T09:00:00Z, or a day such as 2026-03-01 (UTC)"
                .to_owned()
        })
}

impl Show {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let bundle = match (&self.bundle, &self.job) {
            (Some(path), _) => open(path)?.bundle,
            (None, Some(job)) => self.at.bundle(job)?.bundle,
            (None, None) => {
                return Err(Failure::own(2, "which bundle?").hint(
                    "the file that `audit export` wrote, or --job JOB with --config party.toml",
                ));
            }
        };
        if let Some(node) = &self.node {
            let known = |origin: &str| origin == node || origin.rsplit('/').next() == Some(node);
            if !bundle.logs.iter().any(|log| known(&log.origin)) {
                let ids: Vec<_> = bundle
                    .logs
                    .iter()
                    .filter_map(|log| log.origin.rsplit('/').next())
                    .collect();
                return Err(
                    Failure::own(2, format!("the bundle has no log of `{node}`"))
                        .hint(format!("it has those of {}", ids.join(", "))),
                );
            }
        }
        let filter = Filter {
            node: self.node,
            event: self.event,
            step: self.step,
            since: self.since,
            until: self.until,
        };
        let timeline = show(&bundle, &filter);
        Outcome::new(&timeline, text(&timeline, screen))
    }
}

fn text(timeline: &Timeline, screen: &Screen) -> String {
    if timeline.entries.is_empty() && timeline.unreadable == 0 {
        return "no event passes the filters".to_owned();
    }
    let paint = screen.out();
    let said = timeline.to_string();
    let lines = said.lines().zip(
        timeline
            .entries
            .iter()
            .map(Some)
            .chain(std::iter::repeat(None)),
    );
    let lines = lines.map(
        |(line, entry)| match entry.map(|entry| entry.event.as_str()) {
            Some("aborted" | "denied" | "incident" | "job.rejected") | None => paint.bad(line),
            Some("disclosure") => paint.warn(line),
            _ => line.to_owned(),
        },
    );
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_days() {
        assert_eq!(time("1970-01-01T00:01:00Z"), Ok(60));
        assert_eq!(time("1970-01-02"), Ok(86_400));
        assert!(time("yesterday").unwrap_err().contains("2026-03-01"));
    }
}
