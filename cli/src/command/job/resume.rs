//! `paripassu job resume`.

use clap::Args;
use paripassu_job::State;

use super::submit::propose;
use crate::{
    client::{Client, Connect, contract_of, present},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::{JobView, StatusView},
};

/// Propose a job that goes on where an aborted one was ended; prints its id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job resume JOB --identity modeler
  NEW=$(paripassu job resume latest) && paripassu job watch $NEW

The new job has the aborted one's contract and names it. Every party decides on it anew. With fresh keys,
masks and noise, the training of a horizontal job goes on after the last round that all banks still hold,
a match after the last part, and the training of a network on columns of several parties after the last
epoch, that all parties still hold; of other vertical jobs the training begins anew. If nothing is held, all begins anew. What the aborted job spent of customers' privacy stays spent.")]
pub(crate) struct Resume {
    /// Id of the aborted job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    #[command(flatten)]
    connect: Connect,
}

impl Resume {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let job = client.resolve(&self.job).await?;
        let shown = client.show(&job).await?;
        let status = present(shown.status.as_ref().and_then(StatusView::read), "status")?;
        let aborted = contract_of(&shown, &job)?;
        let mut spec = aborted.spec().clone();
        if status.job.state != State::Aborted {
            let state = status.job.state.as_str();
            return Err(Failure::user(format!(
                "job {job} is {state}: only an aborted job can be gone on with"
            )));
        }
        spec.resume(Some(aborted.job()));
        let (contract, summary) = propose(&mut client, spec).await?;
        let mut view = JobView::from(&summary);
        screen.say(format_args!(
            "proposed as {}, which goes on with {job}: waiting for {}",
            contract.job(),
            view.waiting_for.join(" and "),
        ));
        screen.say(format_args!(
            "contract {}",
            screen.err().strong(contract.digest())
        ));
        view.by_contract(&contract);
        let id = view.job.clone();
        Outcome::new(&view, id)
    }
}
