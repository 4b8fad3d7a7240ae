//! A node that was away: the end of a session ends its jobs, and a new one begins with the question how jobs
//! ended meanwhile.

use paripassu_proto::{
    control::v1::{self as pb, JobState, node_control},
    limits,
};

use super::{Callback, EventLoop, NodeHandler, StateChange};

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
