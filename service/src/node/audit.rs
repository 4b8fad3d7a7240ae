//! What the node's loop writes into the transcript.

use std::{collections::HashSet, sync::Arc};

use paripassu_audit::event::bodies::Denied;
use paripassu_proto::{
    JobId, Peer,
    control::v1::{self as pb, JobState, node_control},
    limits,
};

use super::{
    NodeHandler, Proposal,
    event_loop::{EventLoop, local_abort},
    job::RefusedJob,
};
use crate::{
    signing::Decision,
    transcript::{Blame, Carrier, Exchange, Transcript, TranscriptError, role_text},
    transport::Outlet,
};

/// Carries messages about transcripts over the node's stream.
pub(super) struct Stream(pub(super) Outlet);

impl Carrier for Stream {
    fn carry(&self, message: paripassu_proto::audit::v1::Envelope) {
        self.0.control(node_control::Body::Audit(message));
    }

    fn broken(&self, _: &JobId, _: &Blame) {
        // the job's channel has ended, and its run reports why
    }
}

/// The transcript and its exchange with other nodes.
#[derive(Clone)]
pub(super) struct Audit {
    pub(super) transcript: Arc<Transcript>,
    pub(super) exchange: Exchange,
}

/// Most refusals of jobs that one process writes down.
const MOST_REFUSALS: usize = 1_024;

/// Refusals of jobs that this process has written down: the same once, and no more than [`MOST_REFUSALS`], the last of
/// which says so. A coordinator that sends bad starts without end fills no log.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashSet<(String, String)>);

impl Refusals {
    /// What is to be written of a refusal: job and code.
    fn next<'a>(&mut self, job: &str, code: &'a str) -> Option<(String, &'a str)> {
        let job = limits::bounded_text(job);
        if self.0.len() >= MOST_REFUSALS || !self.0.insert((job.clone(), code.to_owned())) {
            return None;
        }
        match self.0.len() == MOST_REFUSALS {
            true => Some((String::new(), "too_many_refusals")),
            false => Some((job, code)),
        }
    }
}

impl<H: NodeHandler> EventLoop<H> {
    /// Writes a proposal down; false, and the job refused, when that fails.
    pub(super) fn proposed(&self, proposal: &Proposal, message: &pb::Proposal) -> bool {
        let Some(audit) = &self.audit else {
            return true;
        };
        let role = role_text(proposal.role);
        let Proposal {
            head,
            digest,
            submitter,
            ..
        } = proposal;
        let written = audit
            .transcript
            .proposed(head, digest, submitter, message, &role);
        written
            .inspect_err(|error| self.unwritten(&proposal.job, error))
            .is_ok()
    }

    /// Writes a decision down; false when it counts for nothing, none, and the job refused, when that fails.
    pub(super) fn decided(
        &self,
        by: &Peer,
        decision: &Decision,
        signed: &pb::Signed,
    ) -> Option<bool> {
        let Some(audit) = &self.audit else {
            return Some(true);
        };
        let written = audit.transcript.decided(by, decision, signed);
        written
            .inspect_err(|error| self.unwritten(&decision.job, error))
            .ok()
    }

    /// Tells the coordinator that this node does not take part, and why.
    pub(super) fn refuse(&mut self, job: &str, error: &RefusedJob) {
        tracing::warn!(job, %error, "refused a job");
        self.denied(job, error.code());
        let abort = pb::Abort {
            culprit: String::new(),
            reported_by: String::new(),
            step: "start".into(),
            code: error.code().into(),
            reason: limits::bounded_text(&format!("`{}` refuses: {error}", self.port.me.id)),
        };
        self.tell_abort(job, abort);
    }

    /// Writes a refusal down: of a job that this node has written down, in that job's events, else in its own.
    fn denied(&mut self, job: &str, code: &str) {
        let Some(audit) = &self.audit else { return };
        let Some((job, code)) = self.refused.next(job, code) else {
            return;
        };
        let denied = Denied {
            code: code.to_owned(),
            subject: job.clone(),
            to: None,
        };
        let job = job.as_str();
        let of = match audit.transcript.is_open(job) {
            true => job,
            false => "",
        };
        if let Err(error) = audit.transcript.write(of, denied) {
            tracing::error!(job, %error, "a refusal is not in the transcript");
        }
    }

    /// A node that cannot write its transcript takes part in nothing.
    pub(super) fn unwritten(&self, job: &JobId, error: &TranscriptError) {
        tracing::error!(%job, %error, "the job is refused");
        let mut abort = local_abort("start", "transcript_failed", &error.to_string());
        match error {
            TranscriptError::OtherContract { .. } => abort.code = "job_refused".into(),
            _ => abort.culprit = self.identity.peer().id.to_string(),
        }
        self.tell_abort(job.as_str(), abort);
    }

    /// Writes down that a job has ended without a result, and sees to its bundle.
    pub(super) fn write_end(&self, id: &JobId, state: JobState, abort: &pb::Abort) {
        let Some(audit) = &self.audit else { return };
        let code = match (state, abort.code.as_str()) {
            (JobState::Expired, _) => "expired",
            (JobState::Rejected, _) => "rejected",
            (_, "") => "aborted",
            (_, code) => code,
        };
        let culprit = Some(abort.culprit.as_str());
        let destroyed = self.handler.discard(id);
        let written = audit
            .transcript
            .aborted(id.as_str(), culprit, &abort.step, code, destroyed);
        if let Err(error) = written {
            tracing::error!(job = %id, %error, "the end of a job is not in the transcript");
        }
        audit.exchange.finish_soon(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_written_once_and_refusals_have_an_end() {
        let mut refusals = Refusals::default();
        assert_eq!(
            refusals.next("j", "replayed"),
            Some(("j".into(), "replayed"))
        );
        assert_eq!(refusals.next("j", "replayed"), None);
        assert!(refusals.next("j", "not_approved").is_some());
        let more = (0..5_000).filter_map(|n| refusals.next(&format!("k-{n}"), "job_refused"));
        let written: Vec<_> = more.collect();
        assert_eq!(written.len(), MOST_REFUSALS - 2);
        assert_eq!(
            written.last().unwrap(),
            &(String::new(), "too_many_refusals")
        );
    }
}
