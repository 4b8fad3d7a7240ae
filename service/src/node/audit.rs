//! What the node's loop writes into the transcript.

use std::sync::Arc;

use paripassu_audit::event::bodies::Denied;
use paripassu_proto::{
    JobId, Peer,
    control::v1::{self as pb, JobState, node_control},
    limits,
};

use super::{
    NodeHandler, Proposal,
    event_loop::{EventLoop, local_abort},
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

    /// Writes a refusal down: of a job that this node has written down, in that job's events, else in its own.
    pub(super) fn denied(&self, job: &str, code: &str) {
        let Some(audit) = &self.audit else { return };
        let denied = Denied {
            code: code.to_owned(),
            subject: limits::bounded_text(job),
            to: None,
        };
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
