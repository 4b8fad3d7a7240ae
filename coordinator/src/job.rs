//! One job as the coordinator knows it: its state, and which state may follow which.

use std::collections::{BTreeMap, BTreeSet};

use paripassu_proto::{
    ContractHead, NodeId, NodeKind, Peer,
    control::v1::{self as pb, JobState},
};
use paripassu_service::signing::Decision;
use tokio::sync::watch;

/// One job.
pub(crate) struct Job {
    pub(crate) head: ContractHead,
    pub(crate) proposal: pb::Proposal,
    pub(crate) digest: [u8; 32],
    pub(crate) submitter: Peer,
    pub(crate) state: JobState,
    /// When all had approved, seconds since 1970.
    pub(crate) approved_at: Option<i64>,
    pub(crate) decisions: BTreeMap<NodeId, (pb::Signed, Decision)>,
    pub(crate) progress: BTreeMap<NodeId, pb::NodeProgress>,
    pub(crate) links: BTreeMap<NodeId, Vec<pb::LinkDigest>>,
    pub(crate) completed: BTreeSet<NodeId>,
    /// Parties of a job of banks that are gone, while it goes on.
    pub(crate) away: BTreeSet<NodeId>,
    /// Whom each party that has completed its part closed the job without.
    pub(crate) closed_without: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Bytes that each member has told others about its transcript.
    pub(crate) told: BTreeMap<NodeId, u64>,
    pub(crate) abort: Option<pb::Abort>,
    pub(crate) watchers: watch::Sender<pb::JobStatus>,
}

/// Whether nodes are at work on a job in this state.
pub(crate) fn is_running(state: JobState) -> bool {
    matches!(
        state,
        JobState::Aligning | JobState::Preparing | JobState::Training | JobState::Evaluating
    )
}

/// Whether a job in this state has ended.
pub(crate) fn is_over(state: JobState) -> bool {
    matches!(
        state,
        JobState::Released | JobState::Rejected | JobState::Aborted | JobState::Expired
    )
}

/// The state's name in sentences.
pub(crate) fn name(state: JobState) -> &'static str {
    match state {
        JobState::Unspecified => "unknown",
        JobState::Proposed => "proposed",
        JobState::Approved => "approved",
        JobState::Aligning => "aligning",
        JobState::Preparing => "preparing",
        JobState::Training => "training",
        JobState::Evaluating => "evaluating",
        JobState::Released => "released",
        JobState::Rejected => "rejected",
        JobState::Aborted => "aborted",
        JobState::Expired => "expired",
    }
}

impl Job {
    /// The members as certified identities; the helper is the coordinator itself or a helper node.
    pub(crate) fn members(&self, coordinator: &Peer) -> Vec<Peer> {
        let parties = self
            .head
            .parties
            .iter()
            .map(|id| Peer::new(NodeKind::Party, id.clone()));
        let helper = self.head.helper.iter().map(|id| {
            let own = *id == coordinator.id;
            let kind = if own {
                NodeKind::Coordinator
            } else {
                NodeKind::Helper
            };
            Peer::new(kind, id.clone())
        });
        parties.chain(helper).collect()
    }

    /// What members are told of the state it is in.
    pub(crate) fn notice(&self) -> pb::StateNotice {
        pb::StateNotice {
            job: self.head.job.to_string(),
            state: self.state.into(),
            abort: self.abort.clone(),
            without: self.without(),
        }
    }

    /// Whether the job can go on without this party, too.
    pub(crate) fn can_spare(&self, party: &NodeId) -> bool {
        let more = usize::from(!self.away.contains(party));
        self.head.parties.contains(party) && self.away.len() + more <= self.head.spare()
    }

    /// Whether all parties have completed their part that the job is not done without: at least the threshold of
    /// them, each of which has closed it without all the others that are not known to be gone.
    pub(crate) fn is_done(&self) -> bool {
        let open: Vec<_> = self.open_parties().collect();
        let agree = |party: &NodeId| {
            let mut completed = self.completed.iter();
            completed.all(|by| {
                let names = self.closed_without.get(by);
                names.is_some_and(|names| names.contains(party))
            })
        };
        open.len() <= self.head.spare()
            && open.iter().all(|id| self.away.contains(*id) || agree(id))
    }

    fn open_parties(&self) -> impl Iterator<Item = &NodeId> {
        let parties = self.head.parties.iter();
        parties.filter(|id| !self.completed.contains(*id))
    }

    /// Parties that it goes on without, or was released without.
    fn without(&self) -> Vec<String> {
        let released = self.state == JobState::Released;
        self.open_parties()
            .filter(|id| released || self.away.contains(*id))
            .map(NodeId::to_string)
            .collect()
    }

    pub(crate) fn is_party(&self, peer: &Peer) -> bool {
        peer.kind == NodeKind::Party && self.head.parties.contains(&peer.id)
    }

    /// Parties that have not decided.
    pub(crate) fn undecided(&self) -> Vec<NodeId> {
        let parties = self.head.parties.iter();
        parties
            .filter(|id| !self.decisions.contains_key(*id))
            .cloned()
            .collect()
    }

    /// The phase all parties have reached.
    pub(crate) fn common_phase(&self) -> Option<JobState> {
        let parties = self.head.parties.iter();
        let phases = parties.filter(|id| !self.away.contains(*id)).map(|id| {
            if self.completed.contains(id) {
                return Some(JobState::Evaluating);
            }
            self.progress
                .get(id)
                .map(pb::NodeProgress::phase)
                .filter(|p| is_running(*p))
        });
        phases
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .min_by_key(|p| i32::from(*p))
    }

    /// Pairs whose accounts of what passed between them differ, among those that have both given one.
    pub(crate) fn disagreements(&self, of: &NodeId) -> Vec<NodeId> {
        let Some(own) = self.links.get(of) else {
            return Vec::new();
        };
        let mut differ = Vec::new();
        for mine in own {
            let Ok(peer) = mine.peer.parse::<NodeId>() else {
                continue;
            };
            let theirs = self
                .links
                .get(&peer)
                .and_then(|links| links.iter().find(|link| link.peer == of.as_str()));
            if let Some(theirs) = theirs {
                let agree = mine.digest_sent == theirs.digest_received
                    && mine.frames_sent == theirs.frames_received
                    && mine.digest_received == theirs.digest_sent
                    && mine.frames_received == theirs.frames_sent;
                if !agree {
                    differ.push(peer);
                }
            }
        }
        differ
    }

    pub(crate) fn summary(&self, missing: Vec<NodeId>) -> pb::JobSummary {
        let waiting = match self.state {
            JobState::Proposed => self.undecided(),
            JobState::Approved => missing,
            _ => Vec::new(),
        };
        pb::JobSummary {
            job: self.head.job.to_string(),
            state: self.state.into(),
            parties: self.head.parties.iter().map(NodeId::to_string).collect(),
            helper: self
                .head
                .helper
                .as_ref()
                .map(NodeId::to_string)
                .unwrap_or_default(),
            submitter: self.submitter.to_string(),
            submitted_at: self.proposal.submitted_at,
            expires_at: self.head.expires,
            digest: self.digest.to_vec().into(),
            waiting_for: waiting.iter().map(NodeId::to_string).collect(),
            abort: self.abort.clone(),
            without: self.without(),
        }
    }

    pub(crate) fn status(&self, missing: Vec<NodeId>) -> pb::JobStatus {
        pb::JobStatus {
            summary: Some(self.summary(missing)),
            nodes: self.progress.values().cloned().collect(),
        }
    }
}
