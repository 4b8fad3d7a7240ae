//! Calls to the coordinator: with whose certificate, to which address.

use std::{error::Error as _, path::PathBuf, sync::Arc};

use clap::Args;
use paripassu_job::Contract;
use paripassu_proto::{
    JobId, NodeId,
    control::v1::{self as pb, job_service_client::JobServiceClient},
    limits,
};
use paripassu_service::{
    identity::Identity,
    signing::{self, Consent, Decision, Submission, contract_digest},
    transport::{Settings, dial, refusal},
};
use tonic::{Code, Response, Status, Streaming, transport::Channel};

use crate::failure::Failure;

/// Where the coordinator is, and as whom to call it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Connect {
    /// Address of the coordinator
    #[arg(long, value_name = "HOST:PORT", env = "PARIPASSU_COORDINATOR")]
    pub(crate) coordinator: String,
    /// Folder with node.crt, node.key and ca.crt of who calls
    #[arg(long, value_name = "DIR", env = "PARIPASSU_IDENTITY")]
    pub(crate) identity: PathBuf,
    /// Accept the coordinator of this id only
    #[arg(long, value_name = "ID", env = "PARIPASSU_COORDINATOR_ID")]
    pub(crate) coordinator_id: Option<NodeId>,
}

/// An open way to the coordinator.
#[derive(Debug)]
pub(crate) struct Client {
    identity: Arc<Identity>,
    connect: Connect,
    jobs: JobServiceClient<Channel>,
}

impl Client {
    /// Loads the identity and dials.
    pub(crate) async fn connect(connect: &Connect) -> Result<Self, Failure> {
        let identity = Arc::new(Identity::load(&connect.identity)?);
        let channel = dial(
            &identity,
            &connect.coordinator,
            connect.coordinator_id.clone(),
            &Settings::default(),
        )
        .await?;
        let jobs = JobServiceClient::new(channel)
            .max_decoding_message_size(limits::MAX_CALL)
            .max_encoding_message_size(limits::MAX_CALL);
        Ok(Self {
            identity,
            connect: connect.clone(),
            jobs,
        })
    }

    /// What was answered; where the connection broke instead, whether the certificate is refused.
    async fn heard<T>(&self, answer: Result<Response<T>, Status>) -> Result<T, Failure> {
        let status = match answer {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => status,
        };
        let broken = matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled
        );
        if broken && status.source().is_some() {
            let Connect {
                coordinator,
                coordinator_id,
                ..
            } = &self.connect;
            let id = coordinator_id.clone();
            let why = refusal(&self.identity, coordinator, id, &Settings::default()).await;
            if let Some(why) = why {
                return Err(Failure::user(why));
            }
        }
        Err(status.into())
    }

    /// Who calls.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Proposes a contract, signed.
    pub(crate) async fn submit(&mut self, contract: &Contract) -> Result<pb::JobSummary, Failure> {
        let job: JobId = contract.job().to_string().parse()?;
        let digest = *contract.digest().as_bytes();
        let statement = Submission { job, digest }.to_bytes();
        let request = pb::SubmitJobRequest {
            contract: contract.canonical().as_bytes().to_vec().into(),
            submission: Some(signing::sign(&self.identity, statement)),
        };
        let answer = self.jobs.submit_job(request).await;
        let answer = self.heard(answer).await?;
        present(answer.job, "job")
    }

    /// All jobs the caller may see, newest first.
    pub(crate) async fn list(&mut self) -> Result<Vec<pb::JobSummary>, Failure> {
        let answer = self.jobs.list_jobs(pb::ListJobsRequest {}).await;
        Ok(self.heard(answer).await?.jobs)
    }

    /// The full id of a job given by its id, the beginning of it, or `latest`.
    pub(crate) async fn resolve(&mut self, wanted: &str) -> Result<String, Failure> {
        if wanted.len() == 32 && wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(wanted.to_owned());
        }
        let jobs = self.list().await?;
        pick(wanted, jobs.iter().map(|job| job.job.as_str()))
    }

    /// One job with contract, decisions and events.
    pub(crate) async fn show(&mut self, job: &str) -> Result<pb::ShowJobResponse, Failure> {
        let request = pb::ShowJobRequest { job: job.into() };
        let answer = self.jobs.show_job(request).await;
        self.heard(answer).await
    }

    /// A job's status now and at every change.
    pub(crate) async fn watch(
        &mut self,
        job: &str,
    ) -> Result<Streaming<pb::WatchJobResponse>, Failure> {
        let request = pb::WatchJobRequest { job: job.into() };
        let answer = self.jobs.watch_job(request).await;
        self.heard(answer).await
    }

    /// Ends a job.
    pub(crate) async fn cancel(
        &mut self,
        job: &str,
        reason: &str,
    ) -> Result<pb::JobSummary, Failure> {
        let request = pb::CancelJobRequest {
            job: job.into(),
            reason: limits::bounded_text(reason),
        };
        let answer = self.jobs.cancel_job(request).await;
        let answer = self.heard(answer).await?;
        present(answer.job, "job")
    }

    /// Signs and sends a party's decision on exactly this contract, which the caller knows to be the one meant.
    pub(crate) async fn decide(
        &mut self,
        contract: &Contract,
        approve: bool,
        reason: &str,
        consent: Consent,
    ) -> Result<pb::JobSummary, Failure> {
        let decision = Decision {
            job: contract.job().to_string().parse()?,
            digest: contract_digest(contract.canonical().as_bytes()),
            approve,
            reason: limits::bounded_text(reason),
            consent,
        };
        let request = pb::DecideJobRequest {
            decision: Some(signing::sign(&self.identity, decision.to_bytes())),
        };
        let answer = self.jobs.decide_job(request).await;
        let answer = self.heard(answer).await?;
        present(answer.job, "job")
    }

    /// The nodes the coordinator has seen.
    pub(crate) async fn nodes(&mut self) -> Result<Vec<pb::NodeInfo>, Failure> {
        let answer = self.jobs.list_nodes(pb::ListNodesRequest {}).await;
        Ok(self.heard(answer).await?.nodes)
    }
}

/// A part of an answer that must be there.
pub(crate) fn present<T>(part: Option<T>, what: &str) -> Result<T, Failure> {
    part.ok_or_else(|| {
        Failure::ours(format!(
            "the coordinator's answer lacks its {what}; is it of the same version?"
        ))
    })
}

/// The contract of a shown job, read and checked here: whole, and of the job that was asked for.
///
/// Nothing else that the coordinator says of a job binds it: what is decided on is this text.
pub(crate) fn contract_of(shown: &pb::ShowJobResponse, job: &str) -> Result<Contract, Failure> {
    let proposal = shown.proposal.as_ref();
    let contract = present(proposal, "contract")?;
    let contract = Contract::parse(&contract.contract)
        .map_err(|e| Failure::failed(format!("the coordinator's copy of the contract: {e}")))?;
    if contract.job().to_string() != job {
        return Err(Failure::user(format!(
            "the coordinator answered with the contract of job {}, asked for {job}",
            contract.job()
        ))
        .hint("decide nothing here; tell who runs the coordinator"));
    }
    Ok(contract)
}

fn pick<'a>(wanted: &str, mut ids: impl Iterator<Item = &'a str>) -> Result<String, Failure> {
    if wanted == "latest" {
        return ids.next().map(str::to_owned).ok_or_else(|| {
            Failure::user("there is no job yet").hint("propose one with `paripassu job submit`")
        });
    }
    let found: Vec<&str> = ids.filter(|id| id.starts_with(wanted)).collect();
    match found.as_slice() {
        [one] if !wanted.is_empty() => Ok((*one).to_owned()),
        [] => Err(Failure::user(format!("there is no job `{wanted}`"))
            .hint("`paripassu job list` shows the jobs you may see")),
        _ => Err(Failure::user(format!(
            "`{wanted}` is the beginning of {} jobs: give more of the id",
            found.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_found_by_the_beginning_of_their_id() {
        let ids = ["ab12", "ab34", "cd56"];
        assert_eq!(pick("cd", ids.into_iter()).unwrap(), "cd56");
        assert_eq!(pick("latest", ids.into_iter()).unwrap(), "ab12");
        assert!(
            pick("ab", ids.into_iter())
                .unwrap_err()
                .message()
                .contains("2 jobs")
        );
        assert_eq!(pick("ef", ids.into_iter()).unwrap_err().exit().code(), 1);
        assert!(pick("latest", std::iter::empty()).is_err());
    }
}
