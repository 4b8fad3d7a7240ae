//! The calls of the command line: check who calls, call one method, map the result.

use std::{pin::Pin, sync::Arc};

use paripassu_proto::{
    NodeKind, Peer,
    control::v1::{
        self as pb,
        job_service_server::{JobService, JobServiceServer},
    },
    limits,
};
use paripassu_service::transport::server::{caller_chain, caller_of_kind};
use tokio_stream::{Stream, StreamExt, wrappers::WatchStream};
use tonic::{Request, Response, Status};

use crate::engine::{Engine, Refused, SUBMITTERS};

/// Who may read. A regulator may do nothing else.
const ALL: [NodeKind; 5] = [
    NodeKind::User,
    NodeKind::Party,
    NodeKind::Helper,
    NodeKind::Coordinator,
    NodeKind::Regulator,
];

/// The service of the command line.
pub(crate) fn service(engine: Arc<Engine>) -> JobServiceServer<impl JobService> {
    JobServiceServer::new(Calls(engine))
        .max_decoding_message_size(limits::MAX_CALL)
        .max_encoding_message_size(limits::MAX_CALL)
}

struct Calls(Arc<Engine>);

fn status(refused: Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::NoJob(..) => Status::not_found(text),
        Refused::Exists(_) => Status::already_exists(text),
        Refused::NotAllowed(..) | Refused::Identity(_) => Status::permission_denied(text),
        Refused::State { .. } | Refused::Expired { .. } | Refused::NotHelper(_) => {
            Status::failed_precondition(text)
        }
        Refused::Other(_)
        | Refused::Missing(_)
        | Refused::Id(_)
        | Refused::Head(_)
        | Refused::Statement(_) => Status::invalid_argument(text),
        Refused::Store(_) | Refused::Transcript(_) => Status::internal(text),
    }
}

impl Calls {
    fn caller<T>(&self, request: &Request<T>, kinds: &[NodeKind]) -> Result<Peer, Status> {
        caller_of_kind(request, self.0.trust(), kinds)
    }
}

/// The statement with the caller's certificates filled in where they were left out.
fn with_chain<T>(request: &Request<T>, signed: Option<pb::Signed>) -> Result<pb::Signed, Status> {
    let mut signed =
        signed.ok_or_else(|| Status::invalid_argument("the signed statement is missing"))?;
    if signed.chain.is_empty() {
        signed.chain = caller_chain(request);
    }
    Ok(signed)
}

type Statuses = Pin<Box<dyn Stream<Item = Result<pb::WatchJobResponse, Status>> + Send>>;

#[tonic::async_trait]
impl JobService for Calls {
    type WatchJobStream = Statuses;

    async fn submit_job(
        &self,
        request: Request<pb::SubmitJobRequest>,
    ) -> Result<Response<pb::SubmitJobResponse>, Status> {
        let caller = self.caller(&request, &SUBMITTERS)?;
        let signed = with_chain(&request, request.get_ref().submission.clone())?;
        let contract = request.into_inner().contract;
        let job = self.0.submit(&caller, contract, signed).map_err(status)?;
        Ok(Response::new(pb::SubmitJobResponse { job: Some(job) }))
    }

    async fn list_jobs(
        &self,
        request: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        let caller = self.caller(&request, &ALL)?;
        Ok(Response::new(pb::ListJobsResponse {
            jobs: self.0.list(&caller),
        }))
    }

    async fn show_job(
        &self,
        request: Request<pb::ShowJobRequest>,
    ) -> Result<Response<pb::ShowJobResponse>, Status> {
        let caller = self.caller(&request, &ALL)?;
        let shown = self
            .0
            .show(&caller, &request.into_inner().job)
            .map_err(status)?;
        Ok(Response::new(shown))
    }

    async fn watch_job(
        &self,
        request: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Statuses>, Status> {
        let caller = self.caller(&request, &ALL)?;
        let watched = self
            .0
            .watch(&caller, &request.into_inner().job)
            .map_err(status)?;
        let statuses = WatchStream::new(watched).map(|status| {
            Ok(pb::WatchJobResponse {
                status: Some(status),
            })
        });
        Ok(Response::new(Box::pin(until_over(statuses))))
    }

    async fn cancel_job(
        &self,
        request: Request<pb::CancelJobRequest>,
    ) -> Result<Response<pb::CancelJobResponse>, Status> {
        let caller = self.caller(&request, &SUBMITTERS)?;
        let asked = request.into_inner();
        let job = self
            .0
            .cancel(&caller, &asked.job, &asked.reason)
            .map_err(status)?;
        Ok(Response::new(pb::CancelJobResponse { job: Some(job) }))
    }

    async fn decide_job(
        &self,
        request: Request<pb::DecideJobRequest>,
    ) -> Result<Response<pb::DecideJobResponse>, Status> {
        let caller = self.caller(&request, &[NodeKind::Party])?;
        let signed = with_chain(&request, request.get_ref().decision.clone())?;
        let job = self.0.decide(&caller, signed).map_err(status)?;
        Ok(Response::new(pb::DecideJobResponse { job: Some(job) }))
    }

    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        self.caller(&request, &ALL)?;
        Ok(Response::new(pb::ListNodesResponse {
            nodes: self.0.nodes(),
        }))
    }
}

type Item = Result<pb::WatchJobResponse, Status>;

/// Ends the stream right after a job's last status, instead of waiting for one that never comes.
fn until_over(
    statuses: impl Stream<Item = Item> + Send + 'static,
) -> impl Stream<Item = Item> + Send {
    let state = Some(Box::pin(statuses));
    futures_util::stream::unfold(state, |state| async move {
        let mut statuses = state?;
        let item = statuses.next().await?;
        let last = match &item {
            Ok(response) => response.status.as_ref().is_some_and(Engine::is_last),
            Err(_) => true,
        };
        Some((item, (!last).then_some(statuses)))
    })
}
