//! `paripassu job list`.

use clap::Args;

use crate::{
    client::{Client, Connect},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::{JobView, painted},
};

/// List jobs, newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job list --coordinator 127.0.0.1:7443 --identity modeler
  paripassu job list --json")]
pub(crate) struct List {
    #[command(flatten)]
    connect: Connect,
}

impl List {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let jobs: Vec<JobView> = client.list().await?.iter().map(Into::into).collect();
        let json = serde_json::json!({ "jobs": jobs });
        if jobs.is_empty() {
            return Outcome::new(
                &json,
                "No job yet. Propose one: `paripassu job submit JOB.toml`.",
            );
        }
        let mut table = screen.table(&[
            "job",
            "state",
            "parties",
            "submitted by",
            "at",
            "waiting for",
        ]);
        for job in &jobs {
            table.row([
                job.job.clone(),
                painted(job.state, screen.out()),
                job.parties.join(", "),
                job.submitter.clone(),
                job.submitted_at.clone().unwrap_or_default(),
                job.waiting_for.join(", "),
            ]);
        }
        Outcome::new(&json, table.to_string())
    }
}
