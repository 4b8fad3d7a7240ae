//! The helper's part in a job: it deals correlated randomness, or adds up masked vectors, and nothing else.

use std::{sync::Arc, time::Duration};

use paripassu_job::{Contract, spec::Horizontal};
use paripassu_protocol::{
    channel::{Channel, Role},
    correlation::deal,
    ctx::Ctx,
    horizontal::secagg::{self, Params},
};

use crate::{
    node::{HelperRunner, JobInfo, RunError},
    transport::JobChannel,
};

/// Label of the seed that a party and the helper derive from their shared secret.
pub const SEED_LABEL: &str = "correlations";

/// Deals for every job whose contract names this node as its helper.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dealing;

#[tonic::async_trait]
impl HelperRunner for Dealing {
    async fn run(&self, job: JobInfo, channel: JobChannel) -> Result<(), RunError> {
        let failed = |code: &str, reason: String| RunError {
            culprit: None,
            step: "corr".into(),
            code: code.into(),
            reason,
        };
        let contract = Contract::parse(&job.proposal.contract)
            .map_err(|e| failed("contract", e.to_string()))?;
        if channel.role() != Role::Helper {
            return Err(failed("role", "this node is not the job's helper".into()));
        }
        if let Some(horizontal) = contract.spec().horizontal.clone() {
            return add_up(&job, &contract, &horizontal, channel).await;
        }
        let parties = contract.parties().len() as u8;
        let mut seeds = Vec::new();
        for p in (0..parties).map(Role::Party) {
            let root = channel
                .shared_with(p)
                .ok_or_else(|| failed("keys", format!("no key is shared with {p}")))?;
            seeds.push(*root.derive(SEED_LABEL));
        }
        // parties match and prepare before they ask for anything: the helper waits as long as the
        // job may take; each party's own deadlines are shorter
        let deadline = Duration::from_secs(contract.spec().limits.job_deadline_s);
        let ctx = Ctx::new(Arc::new(channel), parties, deadline);
        match deal(&ctx, &seeds).await {
            Ok(dealt) => {
                tracing::info!(job = %job.job(), requests = dealt.requests, bytes = dealt.bytes,
                    "dealt correlated randomness");
                Ok(())
            }
            Err(e) => Err(RunError {
                culprit: e.culprit(),
                step: "corr".into(),
                code: e.code().into(),
                reason: e.to_string(),
            }),
        }
    }
}

/// Adds up the banks' masked vectors.
async fn add_up(
    job: &JobInfo,
    contract: &Contract,
    horizontal: &Horizontal,
    channel: JobChannel,
) -> Result<(), RunError> {
    let banks = contract.parties().len();
    let limits = &contract.spec().limits;
    let result = async {
        let params = Params::new(
            banks,
            Some(horizontal.threshold_of(banks)),
            *contract.digest().as_bytes(),
            Duration::from_secs(limits.message_deadline_s),
        )?;
        // banks read their data before they ask for anything
        let params = Params {
            first: Duration::from_secs(limits.job_deadline_s),
            ..params
        };
        let parties = contract.parties().len() as u8;
        let ctx = Ctx::new(Arc::new(channel), parties, params.first);
        secagg::serve(&ctx, &params).await
    };
    match result.await {
        Ok(served) => {
            tracing::info!(job = %job.job(), sums = served.sums, given_up = served.given_up,
                words = served.words, "added up masked vectors");
            Ok(())
        }
        Err(e) => Err(RunError {
            culprit: e.culprit(),
            step: "sums".into(),
            code: e.code().into(),
            reason: e.to_string(),
        }),
    }
}
