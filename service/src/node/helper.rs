//! A node that only deals randomness: no data, no decisions.

use std::sync::Arc;

use paripassu_proto::Peer;

use super::{JobInfo, NodeHandler, Proposal, Reporter, RunError, StateChange};
use crate::{signing::Decision, transport::JobChannel};

/// The helper's part in a job.
#[tonic::async_trait]
pub trait HelperRunner: Send + Sync + 'static {
    /// Deals randomness until the parties need no more.
    async fn run(&self, job: JobInfo, channel: JobChannel) -> Result<(), RunError>;
}

/// A [`NodeHandler`] around a [`HelperRunner`].
#[derive(Clone)]
pub struct HelperHandler(Arc<dyn HelperRunner>);

impl std::fmt::Debug for HelperHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelperHandler")
    }
}

impl HelperHandler {
    /// Runs jobs with `runner`.
    pub fn new(runner: Arc<dyn HelperRunner>) -> Self {
        Self(runner)
    }
}

impl NodeHandler for HelperHandler {
    async fn on_proposal(&self, proposal: Proposal) {
        tracing::info!(job = %proposal.job, "proposed as helper");
    }

    async fn on_decision(&self, by: Peer, decision: Decision) {
        tracing::debug!(job = %decision.job, %by, approve = decision.approve, "decided");
    }

    async fn on_state(&self, change: StateChange) {
        tracing::info!(job = %change.job, state = ?change.state, "job");
    }

    async fn run(
        &self,
        job: JobInfo,
        channel: JobChannel,
        _reporter: Reporter,
    ) -> Result<(), RunError> {
        self.0.run(job, channel).await
    }
}
