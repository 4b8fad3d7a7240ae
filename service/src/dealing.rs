//! The helper's part in a job: it deals correlated randomness, or adds up masked vectors, and nothing else.

use std::{sync::Arc, time::Duration};

use paripassu_job::{Contract, spec::Horizontal};
use paripassu_protocol::{
    abort::Abort,
    align::{self, Params as Alignment},
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
        if contract.spec().sizes_only() {
            return count_common(&job, &contract, channel).await;
        }
        if contract.spec().overlap.is_some() {
            return Ok(());
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

/// Label of the secret that two banks of a horizontal job derive from what their link shares.
pub const SHARES_LABEL: &str = "secagg shares";

/// The threshold and waits of a horizontal job's sums, the same at banks and helper.
///
/// # Errors
/// When there are too few or too many banks.
pub fn sum_params(contract: &Contract, horizontal: &Horizontal) -> Result<Params, Abort> {
    let banks = contract.parties().len();
    Params::new(
        banks,
        Some(horizontal.threshold_of(banks)),
        *contract.digest().as_bytes(),
        Duration::from_secs(contract.spec().limits.message_deadline_s),
    )
}

/// What both parties and the helper of a match agree on.
pub fn alignment(contract: &Contract) -> Alignment {
    Alignment {
        min_matched: contract.spec().align.min_matched,
        batch: u32::try_from(contract.spec().align.size_step).unwrap_or(1 << 14),
        ..Alignment::new(*contract.digest().as_bytes())
    }
}

/// Counts the customers that two parties have in common, of which it sees none.
async fn count_common(
    job: &JobInfo,
    contract: &Contract,
    channel: JobChannel,
) -> Result<(), RunError> {
    // parties read and mask before they ask for anything
    let deadline = Duration::from_secs(contract.spec().limits.job_deadline_s);
    let ctx = Ctx::new(Arc::new(channel), contract.parties().len() as u8, deadline);
    match align::size::count(&ctx, &alignment(contract)).await {
        Ok(_) => {
            tracing::info!(job = %job.job(), "counted common customers and told their bucket");
            Ok(())
        }
        Err(e) => Err(failed(job, "align", &e)),
    }
}

/// A protocol's error, with nodes by name.
fn failed(job: &JobInfo, step: &str, e: &Abort) -> RunError {
    let mut reason = e.to_string();
    // the highest first: `party-1` begins `party-12`
    for (role, id) in job.members().into_iter().rev() {
        reason = reason.replace(&role.to_string(), &format!("`{id}`"));
    }
    RunError {
        culprit: e.culprit(),
        step: step.into(),
        code: e.code().into(),
        reason,
    }
}

/// Adds up the banks' masked vectors.
async fn add_up(
    job: &JobInfo,
    contract: &Contract,
    horizontal: &Horizontal,
    channel: JobChannel,
) -> Result<(), RunError> {
    let limits = &contract.spec().limits;
    let result = async {
        let params = sum_params(contract, horizontal)?;
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
        Err(e) => Err(failed(job, "sums", &e)),
    }
}
