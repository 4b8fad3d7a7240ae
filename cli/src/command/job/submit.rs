//! `paripassu job submit`.

use std::path::PathBuf;

use clap::Args;
use paripassu_job::{Contract, JobId, NodeKind, Spec, Submitter, Timestamp};
use paripassu_proto::{Peer, control::v1 as pb};
use paripassu_service::clock::Clock;
use rand::{TryRng, rngs::SysRng};

use super::read_spec;
use crate::{
    client::{Client, Connect},
    failure::Failure,
    outcome::Outcome,
    screen::Screen,
    view::JobView,
};

/// Propose a job to its parties; prints the job's id.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job submit job.toml --coordinator 127.0.0.1:7443 --identity modeler
  export PARIPASSU_COORDINATOR=127.0.0.1:7443 PARIPASSU_IDENTITY=modeler
  JOB=$(paripassu job submit job.toml) && paripassu job watch $JOB

Says the contract's digest on standard error: officers approve by it, so tell it to them by another
way than through the coordinator.")]
pub(crate) struct Submit {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

impl Submit {
    pub(super) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let spec = read_spec(&self.job)?;
        let mut client = Client::connect(&self.connect).await?;
        let (contract, summary) = propose(&mut client, spec).await?;
        let mut view = JobView::from(&summary);
        screen.say(format_args!(
            "proposed as {}: {} disclosures declared, waiting for {}",
            contract.job(),
            contract.disclosures().len(),
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

/// Makes the contract of a specification, signs it and sends it.
pub(crate) async fn propose(
    client: &mut Client,
    spec: Spec,
) -> Result<(Contract, pb::JobSummary), Failure> {
    let contract = Contract::new(
        spec,
        fresh_id()?,
        now()?,
        submitter(client.identity().peer())?,
    )?;
    let summary = client.submit(&contract).await?;
    Ok((contract, summary))
}

fn fresh_id() -> Result<JobId, Failure> {
    let mut bytes = [0; 16];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|e| Failure::ours(format!("the operating system gave no randomness: {e}")))?;
    Ok(JobId::from_bytes(bytes))
}

fn now() -> Result<Timestamp, Failure> {
    u64::try_from(Clock::system().now())
        .ok()
        .and_then(|unix| Timestamp::from_unix(unix).ok())
        .ok_or_else(|| Failure::user("this machine's clock is not set; see `paripassu doctor`"))
}

fn submitter(peer: &Peer) -> Result<Submitter, Failure> {
    let kind = match peer.kind {
        paripassu_proto::NodeKind::User => NodeKind::User,
        paripassu_proto::NodeKind::Party => NodeKind::Party,
        _ => {
            return Err(Failure::user(format!("{peer} may not propose jobs"))
                .hint("use the identity of a user (`pki request --as user/NAME`) or of a party"));
        }
    };
    let id = peer
        .id
        .as_str()
        .parse()
        .map_err(|e| Failure::user(format!("the identity's id: {e}")))?;
    Ok(Submitter { kind, id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_people_and_parties_propose() {
        for (who, may) in [
            ("user/modeler", true),
            ("party/bank", true),
            ("helper/dealer", false),
            ("coordinator/hub", false),
        ] {
            assert_eq!(submitter(&who.parse().unwrap()).is_ok(), may, "{who}");
        }
    }

    #[test]
    fn ids_are_fresh() {
        assert_ne!(fresh_id().unwrap(), fresh_id().unwrap());
    }
}
