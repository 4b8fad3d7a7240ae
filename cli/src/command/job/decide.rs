//! `paripassu job approve` and `paripassu job reject`.

use clap::Args;
use paripassu_proto::NodeKind;

use crate::{
    client::{Client, Connect, contract_of},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::JobView,
};

/// Approve or reject a job for a party, signed with the party's key.
#[derive(Debug, Args)]
#[command(after_help = "\
What is signed is the digest of the contract that this command has read and checked.

Examples:
  paripassu job show JOB --identity bank                  read what it opens, to whom
  paripassu job approve JOB --identity bank
  paripassu job reject JOB --identity bank --reason \"no legal basis\"")]
pub(crate) struct Decide {
    /// Id of the job, the beginning of it, or `latest`
    #[arg(value_name = "JOB")]
    job: String,
    /// Why, for the record; everyone in the job can read it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    connect: Connect,
}

impl Decide {
    pub(super) async fn run(self, approve: bool, screen: &Screen) -> Result<Outcome, Failure> {
        let mut client = Client::connect(&self.connect).await?;
        let me = client.identity().peer().clone();
        if me.kind != NodeKind::Party {
            return Err(
                Failure::user(format!("{me} decides for no party")).hint(format!(
                    "give the identity of a party's node, for instance --identity bank, not {}",
                    self.connect.identity.display()
                )),
            );
        }
        let job = client.resolve(&self.job).await?;
        let contract = contract_of(&client.show(&job).await?)?;
        let summary = client.decide(&contract, approve, &self.reason).await?;
        let view = JobView::from(&summary);
        let word = if approve { "approved" } else { "rejected" };
        screen.say(format_args!(
            "signed over contract {}",
            screen.err().faint(contract.digest())
        ));
        let rest = if view.waiting_for.is_empty() {
            String::new()
        } else {
            format!(", waiting for {}", view.waiting_for.join(" and "))
        };
        let text = format!("{} {word} {}: it is {}{rest}", me.id, view.job, view.state);
        Outcome::new(&view, text)
    }
}
