//! Reading what the coordinator says of a job: nothing of it is taken on trust.

use paripassu_proto::{
    HeadError, HeadReader, IdError, JobId, NodeId, NodeKind, Peer, control::v1 as pb,
};
use paripassu_protocol::channel::Role;

use super::{JobInfo, Proposal, members};
use crate::{
    identity::{IdentityError, Trust},
    signing::{self, Decision, StatementError, Submission, contract_digest},
    transcript::Record,
};

/// Why a proposal or a start was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum RefusedJob {
    #[error("the job's id is malformed: {0}")]
    Id(#[from] IdError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the message lacks its {0}")]
    Missing(&'static str),
    #[error("the contract is of job {contract}, the message of job {message}")]
    OtherJob { contract: JobId, message: JobId },
    #[error(
        "rule `contract`: the submitter signed another contract than the one sent, which was altered since: propose \
         the job anew"
    )]
    OtherContract,
    #[error("{0} may not propose jobs: it takes a user or party certificate")]
    Submitter(Peer),
    #[error("this node, {0}, is not a member of the job in a role its certificate entitles it to")]
    NotMember(Peer),
    #[error(
        "rule `approval`: party `{0}` has not approved this contract: it approves with the digest that `job show` \
         prints"
    )]
    NotApproved(NodeId),
    #[error(
        "rule `once`: this node has run this job before, or knows how it ended: propose it anew"
    )]
    RunBefore,
    #[error(
        "rule `approval`: the approval of party `{party}` ended at {ended}: propose the job anew"
    )]
    Lapsed { party: NodeId, ended: String },
}

impl RefusedJob {
    /// A stable code.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Lapsed { .. } => "approval_expired",
            Self::OtherContract | Self::OtherJob { .. } => "contract_altered",
            Self::RunBefore => "replayed",
            Self::NotApproved(_) => "not_approved",
            _ => "job_refused",
        }
    }
}

/// The role of a node in a job, if its certificate is of the kind the role takes.
pub(super) fn role_of(me: &Peer, all: &[(Role, NodeId)]) -> Option<Role> {
    let (role, _) = all.iter().find(|(_, id)| *id == me.id)?;
    let fits = match role {
        Role::Party(_) => me.kind == NodeKind::Party,
        Role::Helper => matches!(me.kind, NodeKind::Helper | NodeKind::Coordinator),
    };
    fits.then_some(*role)
}

/// Reads and verifies a proposal.
pub(super) fn proposal(
    me: &Peer,
    trust: &Trust,
    heads: &HeadReader,
    message: &pb::Proposal,
) -> Result<Proposal, RefusedJob> {
    let job: JobId = message.job.parse()?;
    let head = heads.read(&message.contract)?;
    if head.job != job {
        return Err(RefusedJob::OtherJob {
            contract: head.job,
            message: job,
        });
    }
    let signed = message
        .submission
        .as_ref()
        .ok_or(RefusedJob::Missing("submission"))?;
    let submitter = signing::verify(trust, signed)?.peer().clone();
    if !matches!(submitter.kind, NodeKind::User | NodeKind::Party) {
        return Err(RefusedJob::Submitter(submitter));
    }
    let digest = contract_digest(&message.contract);
    let submission = Submission::from_bytes(&signed.statement)?;
    if submission.job != job || submission.digest != digest {
        return Err(RefusedJob::OtherContract);
    }
    let role = role_of(me, &members(&head)).ok_or_else(|| RefusedJob::NotMember(me.clone()))?;
    Ok(Proposal {
        job,
        contract: message.contract.clone(),
        digest,
        head,
        role,
        submitter,
        submitted_at: message.submitted_at,
    })
}

/// Reads and verifies a start: every party's approval of this very contract, none of which has ended.
pub(super) fn start(
    me: &Peer,
    trust: &Trust,
    heads: &HeadReader,
    message: &pb::Start,
    now: i64,
) -> Result<JobInfo, RefusedJob> {
    let sent = message
        .proposal
        .as_ref()
        .ok_or(RefusedJob::Missing("proposal"))?;
    let proposal = proposal(me, trust, heads, sent)?;
    let mut approvals = Vec::with_capacity(proposal.head.parties.len());
    for party in &proposal.head.parties {
        let want = Peer::new(NodeKind::Party, party.clone());
        let approval = message.decisions.iter().find_map(|signed| {
            let (by, decision) = decision(trust, signed).ok()?;
            let counts = by == want
                && decision.approve
                && decision.job == proposal.job
                && decision.digest == proposal.digest;
            counts.then_some((signed, decision))
        });
        match approval {
            Some((_, decision)) if decision.has_lapsed(now) => {
                return Err(RefusedJob::Lapsed {
                    party: party.clone(),
                    ended: decision.consent.expires,
                });
            }
            Some((signed, _)) => approvals.push(signed.clone()),
            None => return Err(RefusedJob::NotApproved(party.clone())),
        }
    }
    Ok(JobInfo {
        proposal,
        approvals,
        record: Record::default(),
    })
}

/// Reads and verifies a decision.
pub(super) fn decision(trust: &Trust, signed: &pb::Signed) -> Result<(Peer, Decision), RefusedJob> {
    let by = signing::verify(trust, signed)?.peer().clone();
    let decision = Decision::from_bytes(&signed.statement)?;
    decision.signed_by_its_people(by.id.as_str())?;
    Ok((by, decision))
}
