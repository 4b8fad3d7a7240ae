//! A node's loop: turns its stream into proposals, decisions and runs of jobs.
//!
//! What the node does with them is its [`NodeHandler`]'s: the party's applies policy and trains, the
//! helper's deals randomness ([`HelperRunner`]). Everything that comes over the stream is verified
//! here first: who proposed, that every party approved this very contract, whose key is whose.

mod audit;
mod event_loop;
mod helper;
mod job;
mod reporter;

use std::{fmt, future::Future, path::PathBuf, sync::Arc};

use bytes::Bytes;
use paripassu_proto::{ContractHead, HeadReader, JobId, NodeId, Peer, control::v1 as pb, limits};
use paripassu_protocol::channel::{ChannelError, Role};
use tokio::{sync::mpsc, task::JoinHandle};

pub use self::{
    helper::{HelperHandler, HelperRunner},
    reporter::{Progress, Reporter},
};
pub use paripassu_proto::control::v1::JobState;

use crate::{
    clock::Clock,
    identity::Identity,
    shutdown::Shutdown,
    signing::{self, Decision},
    transcript::{Blame, Record, Transcript, TranscriptError},
    transport::{JobChannel, NodePort},
};

/// A contract put before this node, its submitter's signature verified.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The job.
    pub job: JobId,
    /// The contract's bytes.
    pub contract: Bytes,
    /// SHA-256 of them.
    pub digest: [u8; 32],
    /// Who takes part.
    pub head: ContractHead,
    /// This node's role in it.
    pub role: Role,
    /// Who proposed it.
    pub submitter: Peer,
    /// When the coordinator says it received it, seconds since 1970.
    pub submitted_at: i64,
}

/// A job that begins: approved by every party, each signature verified.
#[derive(Debug, Clone)]
pub struct JobInfo {
    /// The proposal all have approved.
    pub proposal: Proposal,
    /// The parties' signed approvals, in the order of their positions.
    pub approvals: Vec<pb::Signed>,
    /// Where this node writes down what it does.
    pub record: Record,
}

impl JobInfo {
    /// The job's id.
    pub fn job(&self) -> &JobId {
        &self.proposal.job
    }

    /// All members with their roles.
    pub fn members(&self) -> Vec<(Role, NodeId)> {
        members(&self.proposal.head)
    }

    /// Who plays a role.
    pub fn node_of(&self, role: Role) -> Option<NodeId> {
        self.members()
            .into_iter()
            .find(|(r, _)| *r == role)
            .map(|(_, id)| id)
    }
}

/// All members of a job with their roles.
pub fn members(head: &ContractHead) -> Vec<(Role, NodeId)> {
    let parties = head
        .parties
        .iter()
        .zip(0u8..)
        .map(|(id, i)| (Role::Party(i), id.clone()));
    parties
        .chain(head.helper.iter().map(|id| (Role::Helper, id.clone())))
        .collect()
}

/// A job has entered a state.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// The job.
    pub job: JobId,
    /// The state.
    pub state: JobState,
    /// Whose fault, if aborted and known.
    pub culprit: Option<NodeId>,
    /// Why, if it ended without a result.
    pub reason: String,
}

/// Why a run did not complete.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {reason}")]
pub struct RunError {
    /// The role at fault or waited for, if one can be named.
    pub culprit: Option<Role>,
    /// The step in which it happened.
    pub step: String,
    /// Stable, value-free code.
    pub code: String,
    /// One sentence without any value of the data.
    pub reason: String,
}

impl RunError {
    /// A failure of the channel in this step.
    pub fn channel(step: impl Into<String>, error: &ChannelError) -> Self {
        Self {
            culprit: error.culprit(),
            step: step.into(),
            code: error.code().to_owned(),
            reason: error.to_string(),
        }
    }
}

impl RunError {
    /// A member broke the rules of the transcript, or this node cannot write its own.
    pub(crate) fn blamed(job: &JobInfo, blame: Blame) -> Self {
        let members = job.members().into_iter();
        let mut culprits = members.filter(|(_, id)| Some(id) == blame.culprit.as_ref());
        Self {
            culprit: culprits.next().map(|(role, _)| role),
            step: "transcript".into(),
            code: blame.code.into(),
            reason: blame.reason,
        }
    }

    /// This node, which plays `role`, cannot write its transcript.
    pub fn unwritten(role: Role, step: &str, error: &TranscriptError) -> Self {
        Self {
            culprit: Some(role),
            step: step.to_owned(),
            code: "transcript_failed".into(),
            reason: error.to_string(),
        }
    }
}

impl From<ChannelError> for RunError {
    fn from(error: ChannelError) -> Self {
        let step = match &error {
            ChannelError::Timeout { tag, .. }
            | ChannelError::Equivocation { tag, .. }
            | ChannelError::TooLarge { tag, .. } => tag.to_string(),
            _ => String::new(),
        };
        Self::channel(step, &error)
    }
}

/// What a node does with what its stream brings. Callbacks run one after another, runs beside them.
pub trait NodeHandler: Send + Sync + 'static {
    /// A contract is proposed, or proposed again after a reconnection: a handler that has decided
    /// already decides again.
    fn on_proposal(&self, proposal: Proposal) -> impl Future<Output = ()> + Send;

    /// The same, before anything else about the job is taken in: what this node's own rules say stands in its
    /// transcript before any decision does. Must not wait.
    fn on_proposed(&self, proposal: &Proposal) {
        let _ = proposal;
    }

    /// Another party has decided; its signature is verified.
    fn on_decision(&self, by: Peer, decision: Decision) -> impl Future<Output = ()> + Send;

    /// A job has entered a state.
    fn on_state(&self, change: StateChange) -> impl Future<Output = ()> + Send;

    /// Whether this node knows how a job ended, and takes no other end. Must not wait.
    fn has_ended(&self, job: &JobId) -> bool {
        let _ = job;
        false
    }

    /// Jobs whose end this node has not heard of, the newest first. Must not wait.
    fn unfinished(&self) -> Vec<JobId> {
        Vec::new()
    }

    /// Destroys the outputs of a job that ends without a result, as far as this node has any; false where
    /// something of them is left. May be called more than once for a job.
    fn discard(&self, job: &JobId) -> bool {
        let _ = job;
        true
    }

    /// The folder of a released job's results, if this node keeps any: its bundle is laid there, too.
    fn results(&self, job: &JobId) -> Option<PathBuf> {
        let _ = job;
        None
    }

    /// The stream stands or is lost.
    fn on_link(&self, connected: bool, reason: String) -> impl Future<Output = ()> + Send {
        let _ = (connected, reason);
        async {}
    }

    /// Plays this node's part in a job. Every wait of `channel` ends when the job ends elsewhere.
    fn run(
        &self,
        job: JobInfo,
        channel: JobChannel,
        reporter: Reporter,
    ) -> impl Future<Output = Result<(), RunError>> + Send;
}

/// What can be asked of a running node.
enum Command {
    Decide(Decision),
}

/// Asks a running node; clones ask the same node.
#[derive(Clone)]
pub struct NodeHandle {
    identity: Arc<Identity>,
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeHandle({})", self.identity.peer())
    }
}

/// The node's loop has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the node has stopped")]
pub struct Stopped;

impl NodeHandle {
    /// Who the node is.
    pub fn peer(&self) -> &Peer {
        self.identity.peer()
    }

    /// Approves or rejects a contract, signed with the node's key. The digest is of the contract that
    /// was looked at, so what is approved cannot be exchanged.
    ///
    /// # Errors
    /// When the node has stopped.
    pub async fn decide(&self, decision: Decision) -> Result<(), Stopped> {
        let reason = limits::bounded_text(&decision.reason);
        let decision = Decision { reason, ..decision };
        self.commands
            .send(Command::Decide(decision))
            .await
            .map_err(|_| Stopped)
    }

    /// A decision signed with the node's key, as the coordinator's calls take it.
    pub fn sign(&self, decision: &Decision) -> pb::Signed {
        signing::sign(&self.identity, decision.to_bytes())
    }
}

/// A node's loop.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Starts a node's loop over its end of a stream.
    ///
    /// Takes the handler by a function of the handle, so that the handler can keep it and decide later.
    /// Without a transcript, which is for measurements, nothing is written down and nobody's log is
    /// countersigned; nodes with and without one cannot work together.
    pub fn start<H: NodeHandler>(
        identity: Arc<Identity>,
        port: NodePort,
        heads: HeadReader,
        transcript: Option<Arc<Transcript>>,
        handler: impl FnOnce(NodeHandle) -> H,
        shutdown: Shutdown,
    ) -> (NodeHandle, JoinHandle<()>) {
        let (commands, rx) = mpsc::channel(64);
        let handle = NodeHandle {
            identity: Arc::clone(&identity),
            commands,
        };
        let handler = Arc::new(handler(handle.clone()));
        let event_loop =
            event_loop::EventLoop::new(identity, port, heads, transcript, handler, Clock::system());
        (handle, tokio::spawn(event_loop.run(rx, shutdown)))
    }
}

#[cfg(test)]
mod tests;
