//! Transitions: submit, decide, start, abort, release, expire.

use std::collections::btree_map::Entry as Slot;

use bytes::Bytes;
use paripassu_proto::{
    JobId, NodeId, NodeKind, Peer,
    control::v1::{self as pb, JobState, hub_control},
    limits,
};
use paripassu_service::signing::{self, Decision, Submission, contract_digest};
use tokio::sync::watch;

use super::{Engine, Refused, State, wrong_state};
use crate::{
    job::{Job, is_over, is_running},
    store::Entry,
};

impl Engine {
    /// Takes in a contract signed by its submitter.
    pub(crate) fn submit(
        &self,
        caller: &Peer,
        contract: Bytes,
        signed: pb::Signed,
    ) -> Result<pb::JobSummary, Refused> {
        let head = self.heads.read(&contract)?;
        let digest = contract_digest(&contract);
        let now = self.clock.now();
        let signer = signing::verify(&self.trust, &signed)?;
        if signer.peer() != caller {
            return Err(Refused::Other("submitter"));
        }
        let statement = Submission::from_bytes(&signed.statement)?;
        if statement.job != head.job || statement.digest != digest {
            return Err(Refused::Other("contract"));
        }
        if head.expires <= now {
            return Err(Refused::Expired {
                expires: head.expires,
                now,
            });
        }
        if let Some(helper) = &head.helper
            && *helper == self.me.id
            && !self.is_helper
        {
            return Err(Refused::NotHelper(helper.clone()));
        }
        let mut guard = self.lock();
        let state = &mut *guard;
        let id = head.job.clone();
        let slot = match state.jobs.entry(id.clone()) {
            Slot::Occupied(known) => {
                let job = known.get();
                return if job.digest == digest && job.submitter == *caller {
                    Ok(job.summary(self.missing(job)))
                } else {
                    Err(Refused::Exists(id))
                };
            }
            Slot::Vacant(slot) => slot,
        };
        let job = Job {
            head,
            proposal: pb::Proposal {
                job: id.to_string(),
                contract,
                submission: Some(signed),
                submitted_at: now,
            },
            digest,
            submitter: caller.clone(),
            state: JobState::Proposed,
            approved_at: None,
            decisions: Default::default(),
            progress: Default::default(),
            links: Default::default(),
            completed: Default::default(),
            away: Default::default(),
            closed_without: Default::default(),
            told: Default::default(),
            abort: None,
            watchers: watch::Sender::new(pb::JobStatus::default()),
        };
        self.write_proposal(&job)?;
        let actor = caller.to_string();
        state.store.add(
            &job,
            &Entry {
                at: now,
                actor: &actor,
                detail: "submitted",
            },
        )?;
        let job = slot.insert(job);
        tracing::info!(job = %id, submitter = %caller, "job proposed");
        for member in job.members(&self.me) {
            self.propose(job, &member);
        }
        self.publish(job);
        Ok(job.summary(self.missing(job)))
    }

    /// Puts a contract before a member, if it has a session.
    pub(super) fn propose(&self, job: &Job, member: &Peer) {
        self.hub
            .tell(member, hub_control::Body::Proposal(job.proposal.clone()));
    }

    /// Takes in a party's decision.
    pub(crate) fn decide(
        &self,
        caller: &Peer,
        signed: pb::Signed,
    ) -> Result<pb::JobSummary, Refused> {
        let signer = signing::verify(&self.trust, &signed)?;
        if signer.peer() != caller {
            return Err(Refused::Other("node"));
        }
        let decision = Decision::from_bytes(&signed.statement)?;
        decision.signed_by_its_people(caller.id.as_str())?;
        let now = self.clock.now();
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        let Some(job) = jobs
            .get_mut(&decision.job)
            .filter(|job| job.is_party(caller))
        else {
            return Err(Refused::NoJob(decision.job, caller.clone()));
        };
        if decision.digest != job.digest {
            return Err(Refused::Other("contract"));
        }
        if let Some((_, before)) = job.decisions.get(&caller.id) {
            return if before.approve == decision.approve {
                Ok(job.summary(self.missing(job)))
            } else {
                Err(wrong_state(job, "this party has decided otherwise already"))
            };
        }
        if job.state != JobState::Proposed {
            return Err(wrong_state(job, "it can no longer be decided on"));
        }
        if job.head.expires <= now {
            self.enter(store, job, JobState::Expired, "", "not approved in time");
            return Err(wrong_state(job, "it was not approved in time"));
        }
        if decision.approve && decision.has_lapsed(now) {
            return Err(wrong_state(job, "this approval has ended before it came"));
        }
        let word = if decision.approve {
            "approved"
        } else {
            "rejected"
        };
        let detail = match decision.reason.as_str() {
            "" => format!("{word} by {}", caller.id),
            reason => format!("{word} by {}: {reason}", caller.id),
        };
        let entry = Entry {
            at: now,
            actor: caller.id.as_str(),
            detail: &detail,
        };
        self.write_decision(job, caller, &decision, &signed)?;
        store.decide(job, &caller.id, &signed, &entry)?;
        tracing::info!(job = %job.head.job, party = %caller.id, word, "decided");
        let notice = pb::DecisionNotice {
            job: job.head.job.to_string(),
            decision: Some(signed.clone()),
        };
        let approve = decision.approve;
        job.decisions.insert(caller.id.clone(), (signed, decision));
        // also to its own node: the officer may have decided at another place
        for member in job.members(&self.me) {
            self.hub
                .tell(&member, hub_control::Body::Decision(notice.clone()));
        }
        if !approve {
            job.abort = Some(pb::Abort {
                culprit: caller.id.to_string(),
                reported_by: caller.id.to_string(),
                code: "rejected".into(),
                reason: detail.clone(),
                ..pb::Abort::default()
            });
            self.enter(store, job, JobState::Rejected, caller.id.as_str(), &detail);
        } else if job.undecided().is_empty() {
            job.approved_at = Some(now);
            self.enter(
                store,
                job,
                JobState::Approved,
                "",
                "all parties have approved",
            );
            self.try_start(store, job);
        } else {
            self.publish(job);
        }
        Ok(job.summary(self.missing(job)))
    }

    /// Starts an approved job once all its nodes are connected.
    pub(super) fn try_start(&self, store: &mut crate::store::Store, job: &mut Job) {
        if job.state != JobState::Approved || !self.missing(job).is_empty() {
            self.publish(job);
            return;
        }
        if let Some(detail) = lapsed(job, self.clock.now()) {
            self.enter(store, job, JobState::Expired, "", &detail);
            return;
        }
        // it waits until the jobs under way have ended and this node signs with its new key
        if self.transcript.is_some() && self.identity.key_is_due(self.key_patience) {
            return;
        }
        let members = job.members(&self.me);
        self.hub.open_job(&job.head.job, members.iter().cloned());
        let start = pb::Start {
            proposal: Some(job.proposal.clone()),
            decisions: job
                .decisions
                .values()
                .map(|(signed, _)| signed.clone())
                .collect(),
        };
        for member in &members {
            self.hub
                .tell(member, hub_control::Body::Start(start.clone()));
        }
        self.join_exchange(job);
        self.enter(
            store,
            job,
            JobState::Aligning,
            "",
            "all nodes are connected",
        );
    }

    /// Enters a state: recorded, told to all members, shown to all watchers.
    pub(super) fn enter(
        &self,
        store: &mut crate::store::Store,
        job: &mut Job,
        state: JobState,
        actor: &str,
        detail: &str,
    ) {
        job.state = state;
        let entry = Entry {
            at: self.clock.now(),
            actor,
            detail,
        };
        if let Err(error) = store.record(job, &entry) {
            // the job goes on in memory; after a restart it would be found in its earlier state
            tracing::error!(job = %job.head.job, %error, "cannot record a job's state");
        }
        tracing::info!(job = %job.head.job, state = crate::job::name(state), detail, "job");
        let notice = job.notice();
        if is_over(state) {
            self.hub.close_job(&job.head.job);
        }
        for member in job.members(&self.me) {
            self.hub
                .tell(&member, hub_control::Body::State(notice.clone()));
        }
        if is_over(state) {
            self.write_end(job);
        }
        self.publish(job);
    }

    /// Ends a job that cannot go on.
    pub(super) fn abort(&self, store: &mut crate::store::Store, job: &mut Job, abort: pb::Abort) {
        if is_over(job.state) {
            return;
        }
        let bounded = pb::Abort {
            culprit: abort.culprit,
            reported_by: abort.reported_by,
            step: limits::bounded_text(&abort.step),
            code: limits::bounded_text(&abort.code),
            reason: limits::bounded_text(&abort.reason),
        };
        let detail = match (bounded.culprit.as_str(), bounded.step.as_str()) {
            ("", "") => bounded.reason.clone(),
            ("", step) => format!("in {step}: {}", bounded.reason),
            (culprit, "") => format!("because of {culprit}: {}", bounded.reason),
            (culprit, step) => format!("because of {culprit}, in {step}: {}", bounded.reason),
        };
        let actor = bounded.reported_by.clone();
        job.abort = Some(bounded);
        self.enter(store, job, JobState::Aborted, &actor, &detail);
    }

    /// Ends a job at the wish of its submitter or one of its parties.
    pub(crate) fn cancel(
        &self,
        caller: &Peer,
        id: &str,
        reason: &str,
    ) -> Result<pb::JobSummary, Refused> {
        let id: JobId = id.parse()?;
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        let Some(job) = jobs.get_mut(&id).filter(|job| self.may_see(caller, job)) else {
            return Err(Refused::NoJob(id, caller.clone()));
        };
        if job.submitter != *caller && !job.is_party(caller) {
            let who = "only the submitter and the parties of a job may cancel it";
            return Err(Refused::NotAllowed(caller.clone(), who));
        }
        if is_over(job.state) {
            return Err(wrong_state(job, "it has ended already"));
        }
        let reason = match limits::bounded_text(reason) {
            r if r.is_empty() => format!("cancelled by {caller}"),
            r => format!("cancelled by {caller}: {r}"),
        };
        let abort = pb::Abort {
            reported_by: caller.id.to_string(),
            code: "cancelled".into(),
            reason,
            ..pb::Abort::default()
        };
        self.abort(store, job, abort);
        Ok(job.summary(Vec::new()))
    }

    /// What is due: contracts not approved in time, approved jobs whose nodes do not come.
    pub(super) fn tick(&self) {
        let now = self.clock.now();
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        for job in jobs.values_mut() {
            if let Some(detail) = lapsed(job, now) {
                self.enter(store, job, JobState::Expired, "", &detail);
                continue;
            }
            match job.state {
                JobState::Proposed if job.head.expires <= now => {
                    let waiting = join(&job.undecided());
                    let detail = format!("not approved in time; undecided: {waiting}");
                    self.enter(store, job, JobState::Expired, "", &detail);
                }
                JobState::Approved => {
                    let missing = self.missing(job);
                    let since = job.approved_at.unwrap_or(now);
                    if !missing.is_empty() && now.saturating_sub(since) >= self.connect_s {
                        let reason = format!(
                            "not connected within {} s of the last approval: {}",
                            self.connect_s,
                            join(&missing)
                        );
                        let culprit = missing.first().map(NodeId::to_string).unwrap_or_default();
                        let code = "node_missing".into();
                        let abort = pb::Abort {
                            culprit,
                            code,
                            reason,
                            ..pb::Abort::default()
                        };
                        self.abort(store, job, abort);
                    } else if missing.is_empty() {
                        // it has waited for a change of keys
                        self.try_start(store, job);
                    }
                }
                _ => {}
            }
        }
    }

    /// A party has completed its part; the last one releases the job.
    pub(super) fn complete(
        &self,
        store: &mut crate::store::Store,
        job: &mut Job,
        node: &Peer,
        links: Vec<pb::LinkDigest>,
        without: &[String],
    ) {
        if !is_running(job.state) {
            return;
        }
        job.completed.insert(node.id.clone());
        job.away.remove(&node.id);
        let without = without.iter().filter_map(|id| id.parse().ok());
        job.closed_without
            .insert(node.id.clone(), without.collect());
        let progress = job.progress.entry(node.id.clone()).or_default();
        progress.node = node.id.to_string();
        progress.completed = true;
        progress.at = self.clock.now();
        job.links.insert(node.id.clone(), links);
        let differ = job.disagreements(&node.id);
        let detail = if differ.is_empty() {
            format!("{} has completed its part", node.id)
        } else {
            // for the auditors: one of them misstates, or the relay dropped the last frames
            format!(
                "{} has completed its part; its account of the frames exchanged differs from that \
                 of {}",
                node.id,
                join(&differ)
            )
        };
        let entry = Entry {
            at: self.clock.now(),
            actor: node.id.as_str(),
            detail: &detail,
        };
        if let Err(error) = store.record(job, &entry) {
            tracing::error!(job = %job.head.job, %error, "cannot record a completion");
        }
        if job.is_done() {
            self.release(store, job);
        } else {
            self.publish(job);
        }
    }
}

impl Engine {
    /// All parties have completed their part, or all that the job is not done without.
    pub(super) fn release(&self, store: &mut crate::store::Store, job: &mut Job) {
        let open = job
            .head
            .parties
            .iter()
            .filter(|id| !job.completed.contains(*id));
        let open: Vec<NodeId> = open.cloned().collect();
        let detail = match open.is_empty() {
            true => "all parties have completed their part".to_owned(),
            false => format!(
                "all parties have completed their part but {}, which did not answer: released without",
                join(&open)
            ),
        };
        self.enter(store, job, JobState::Released, "", &detail);
        if let Some(exchange) = self.exchange.as_ref().filter(|_| !open.is_empty()) {
            exchange.released(&job.head.job, open);
        }
    }

    /// A party is gone; false when the job cannot go on without it.
    pub(super) fn spare(
        &self,
        store: &mut crate::store::Store,
        job: &mut Job,
        party: &NodeId,
        why: &str,
    ) -> bool {
        let begun = matches!(
            job.state,
            JobState::Preparing | JobState::Training | JobState::Evaluating
        );
        if !begun || !job.can_spare(party) {
            return false;
        }
        job.away.insert(party.clone());
        let detail = limits::bounded_text(&format!("goes on without {party}: {why}"));
        tracing::warn!(job = %job.head.job, %party, why, "the job goes on without a party");
        let entry = Entry {
            at: self.clock.now(),
            actor: party.as_str(),
            detail: &detail,
        };
        if let Err(error) = store.record(job, &entry) {
            tracing::error!(job = %job.head.job, %error, "cannot record that a party is gone");
        }
        if !job.completed.is_empty() && job.is_done() {
            self.release(store, job);
        } else {
            self.publish(job);
        }
        true
    }
}

pub(super) fn join(ids: &[NodeId]) -> String {
    ids.iter()
        .map(NodeId::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Kinds of certificate that may submit.
pub(crate) const SUBMITTERS: [NodeKind; 2] = [NodeKind::User, NodeKind::Party];

/// Of a job that has not begun: whose approval has ended in the meantime.
fn lapsed(job: &Job, now: i64) -> Option<String> {
    if !matches!(job.state, JobState::Proposed | JobState::Approved) {
        return None;
    }
    let mut decisions = job.decisions.iter();
    let (party, (_, decision)) =
        decisions.find(|(_, (_, decision))| decision.approve && decision.has_lapsed(now))?;
    let ended = &decision.consent.expires;
    Some(format!(
        "the approval of {party} ended at {ended}, before the job began"
    ))
}
