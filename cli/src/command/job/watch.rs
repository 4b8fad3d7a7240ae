//! `paripassu job watch`.

use std::time::Duration;

use clap::Args;

use crate::{
    client::{Client, Connect},
    failure::{Exit, Failure},
    outcome::Outcome,
    progress,
    screen::Screen,
};

/// Watch a job to its end; the exit code says how it ended.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 released, 3 rejected, aborted or expired, 75 still waiting when --timeout is over.

Examples:
  paripassu job watch JOB
  paripassu job watch latest --timeout 600 --json")]
pub(crate) struct Watch {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// Seconds to watch at most (default: to the end)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    connect: Connect,
}

impl Watch {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let job = client.resolve(&self.job).await?;
        let at_most = self.timeout.map(Duration::from_secs);
        let watched = progress::watch(&mut client, &job, at_most, screen).await?;
        let exit = watched.exit();
        let sentence = watched.sentence();
        let paint = screen.out();
        let text = match exit {
            Exit::Ok => paint.good(format_args!("✓ {sentence}")),
            Exit::Later => paint.warn(sentence),
            _ => paint.bad(format_args!("✗ {sentence}")),
        };
        Ok(Outcome::new(&watched, text)?.exit_with(exit))
    }
}
