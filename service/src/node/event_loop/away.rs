//! A node that was away: the end of a session ends its jobs, and a new one begins with the question how jobs
//! ended meanwhile.

use paripassu_proto::{
    JobId,
    control::v1::{self as pb, JobState, node_control},
    limits,
};

use super::{Callback, EventLoop, NodeHandler, StateChange, local_abort};

impl<H: NodeHandler> EventLoop<H> {
    /// Asks how the jobs ended that this node knows no end of: it may have been away when they did.
    pub(super) fn ask_ends(&self) {
        let jobs = self.handler.unfinished();
        if jobs.is_empty() {
            return;
        }
        let jobs = jobs.iter().take(limits::MAX_UNFINISHED);
        self.port
            .tell(node_control::Body::Unfinished(pb::Unfinished {
                jobs: jobs.map(ToString::to_string).collect(),
            }));
    }

    /// Takes a renewed certificate and key: for connections at once, for what is signed when no job is under way.
    pub(super) fn renew(&mut self) {
        match self.identity.refresh() {
            Ok(true) => tracing::info!("the certificate was renewed: connecting with it"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the certificate before stays in use"),
        }
        if !self.running.is_empty() || !self.runs.is_empty() {
            return;
        }
        let renewed = self.audit.as_ref().map(|audit| audit.transcript.renew());
        match renewed {
            Some(Ok(true)) => tracing::info!("the renewed key signs from here on"),
            Some(Err(error)) => tracing::error!(%error, "the transcript cannot be written"),
            Some(Ok(false)) | None => {}
        }
    }

    /// Whether no job begins any more before the key is changed, which is not possible yet.
    pub(super) fn changes_key(&mut self) -> bool {
        if self.audit.is_none() || !self.identity.has_another_key() {
            return false;
        }
        // between two jobs there may be no time for it but this
        self.renew();
        self.identity.key_is_due(self.port.settings.key_patience)
    }

    /// Ends a job that would have begun with a key that is to be changed.
    pub(super) fn not_now(&self, job: &JobId) {
        let reason = format!(
            "`{}` was given a new key and signs with it as soon as the jobs under way have ended: propose the job anew \
             then",
            self.port.me.id
        );
        tracing::warn!(%job, reason, "not begun");
        self.tell_abort(job.as_str(), local_abort("start", "key_change", &reason));
    }

    /// The other banks have closed the job without this one, which did not answer.
    pub(super) async fn left_out(&mut self, id: &JobId) {
        let reason = format!(
            "the job was released without `{}`, which did not answer in time: ask another bank for the model, or \
             propose the job anew",
            self.port.me.id
        );
        tracing::warn!(job = %id, reason, "left out");
        if let Some(running) = self.running.get_mut(id) {
            running.ended = true;
            running.core.end(&reason);
            self.port.router.remove(id);
            self.port.outlet.forget(id);
            if running.exchange.is_some() {
                self.running.remove(id);
            }
        }
        let clean = self.handler.discard(id);
        if let Some(audit) = &self.audit {
            let written = audit
                .transcript
                .aborted(id.as_str(), None, "", "left_out", clean);
            if let Err(error) = written {
                tracing::error!(job = %id, %error, "the end of a job is not in the transcript");
            }
            audit.exchange.finish_soon(id);
        }
        let change = StateChange {
            job: id.clone(),
            state: JobState::Aborted,
            culprit: None,
            reason,
        };
        self.callback(Callback::State(change)).await;
    }

    /// All jobs have ended with the session; their runs return by themselves.
    pub(super) async fn lost(&mut self, reason: &str) {
        let mut ended = Vec::new();
        self.running.retain(|id, running| {
            running.core.end(reason);
            if !running.ended {
                running.ended = true;
                let clean = self.handler.discard(id);
                running.info.record.abort(None, "", "session_lost", clean);
                ended.push(id.clone());
            }
            running.exchange.is_none()
        });
        self.port.router.end_all(reason);
        for job in ended {
            let change = StateChange {
                job,
                state: JobState::Aborted,
                culprit: None,
                reason: reason.to_owned(),
            };
            self.callback(Callback::State(change)).await;
        }
    }
}
