//! `paripassu job cancel`.

use clap::Args;

use crate::{
    client::{Client, Connect},
    failure::Failure,
    outcome::Outcome,
    view::JobView,
};

/// End a job; nothing is released.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job cancel JOB --reason \"wrong columns\"      by its submitter or one of its parties")]
pub(crate) struct Cancel {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let job = client.resolve(&self.job).await?;
        let view = JobView::from(&client.cancel(&job, &self.reason).await?);
        let text = format!("{} is {}", view.job, view.state);
        Outcome::new(&view, text)
    }
}
