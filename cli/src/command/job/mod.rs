//! `paripassu job`: write, plan, propose, approve, watch and read jobs.

mod cancel;
mod decide;
mod list;
mod new;
mod plan;
mod report;
mod resume;
mod show;
mod sign;
mod submit;
mod terms;
mod twin;
mod watch;

pub(crate) use submit::propose;

use std::path::Path;

use clap::Subcommand;
use paripassu_job::Spec;

use crate::{command::read_text, failure::Failure, outcome::Outcome, screen::Screen};

/// Write, plan, propose, approve, watch and read jobs.
#[derive(Debug, Subcommand)]
pub(crate) enum Job {
    /// Print a commented job file to start from
    New(new::New),
    /// Say who learns what and what a job costs, before anyone is asked
    Plan(plan::Plan),
    /// Train a job on made-up or public rows jointly and in the clear, and compare
    Twin(twin::Twin),
    /// Propose a job to its parties; prints the job's id
    Submit(submit::Submit),
    /// Propose a job that goes on where an aborted horizontal job was ended
    Resume(resume::Resume),
    /// List jobs, newest first
    List(list::List),
    /// Say in one line where a job stands
    Status(show::Status),
    /// Show a job: members, decisions, what it opens, what happened
    Show(show::Show),
    /// Sign an approval or rejection with a person's own key
    Sign(sign::Sign),
    /// Approve a contract that you have read, signed with the party's key
    Approve(decide::Approve),
    /// Reject a job for a party, signed with the party's key
    Reject(decide::Reject),
    /// End a job; nothing is released
    Cancel(cancel::Cancel),
    /// Watch a job to its end; the exit code says how it ended
    Watch(watch::Watch),
    /// Print the results that a party's node has written
    Report(report::Report),
}

impl Job {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::New(new) => new.run(),
            Self::Plan(plan) => plan.run(),
            Self::Twin(twin) => twin.run(screen).await,
            Self::Submit(submit) => submit.run(screen).await,
            Self::Resume(resume) => resume.run(screen).await,
            Self::List(list) => list.run(screen).await,
            Self::Status(status) => status.run(screen).await,
            Self::Show(show) => show.run(screen).await,
            Self::Sign(sign) => sign.run(screen).await,
            Self::Approve(approve) => approve.run(screen).await,
            Self::Reject(reject) => reject.run(screen).await,
            Self::Cancel(cancel) => cancel.run().await,
            Self::Watch(watch) => watch.run(screen).await,
            Self::Report(report) => report.run(screen),
        }
    }
}

/// Reads and checks a job file.
pub(crate) fn read_spec(path: &Path) -> Result<Spec, Failure> {
    let text = read_text(path)?;
    Ok(Spec::from_toml(&text, &path.display().to_string())?)
}
