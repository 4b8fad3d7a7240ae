//! What nodes do: come, go, and report.

use paripassu_proto::{
    JobId, Peer,
    control::v1::{self as pb, JobState, hub_control, node_control},
    limits,
};
use paripassu_service::transport::HubEvent;

use super::{Engine, Refused, Seen, State, wrong_state};
use crate::job::{Job, is_over, is_running};

impl Engine {
    pub(super) fn event(&self, event: HubEvent) {
        match event {
            HubEvent::Attached { peer, resumed } => self.attached(&peer, resumed),
            HubEvent::Detached { peer, reason } => {
                self.seen(&peer, false);
                tracing::info!(%peer, %reason, "node disconnected; waiting for it to come back");
            }
            HubEvent::Lost { peer, reason } => self.lost(&peer, &reason),
            HubEvent::Violation {
                job,
                culprit,
                reason,
            } => {
                let mut guard = self.lock();
                let State { store, jobs, .. } = &mut *guard;
                if let Some(job) = jobs.get_mut(&job) {
                    let abort = pb::Abort {
                        culprit: culprit.to_string(),
                        code: "relay_violation".into(),
                        reason,
                        ..pb::Abort::default()
                    };
                    self.abort(store, job, abort);
                }
            }
            HubEvent::Control { peer, message } => {
                let Some(body) = message.body else { return };
                let job = job_of(&body);
                if let Err(refused) = self.control(&peer, body) {
                    tracing::warn!(%peer, job, code = refused.code(), %refused, "refused a message");
                    let refusal = pb::Refusal {
                        job,
                        code: refused.code().into(),
                        reason: limits::bounded_text(&refused.to_string()),
                    };
                    self.hub.tell(&peer, hub_control::Body::Refusal(refusal));
                }
            }
        }
    }

    fn seen(&self, peer: &Peer, connected: bool) {
        let at = self.clock.now();
        let mut guard = self.lock();
        guard.nodes.insert(peer.clone(), Seen { connected, at });
        for job in guard.jobs.values() {
            if !is_over(job.state) && job.members(&self.me).contains(peer) {
                self.publish(job);
            }
        }
    }

    fn attached(&self, peer: &Peer, resumed: bool) {
        self.seen(peer, true);
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        for job in jobs.values_mut() {
            if !job.members(&self.me).contains(peer) {
                continue;
            }
            // also where its officer has decided at another place meanwhile: a node runs no job that it
            // was not told of
            let pending = matches!(job.state, JobState::Proposed | JobState::Approved);
            if pending && !resumed {
                self.propose(job, peer);
            }
            if job.state == JobState::Approved {
                self.try_start(store, job);
            }
        }
    }

    fn lost(&self, peer: &Peer, reason: &str) {
        self.seen(peer, self.hub.is_connected(peer));
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        for job in jobs.values_mut() {
            let affected = is_running(job.state)
                && job.members(&self.me).contains(peer)
                && !job.completed.contains(&peer.id);
            if affected && !self.spare(store, job, &peer.id, reason) {
                let step = job
                    .progress
                    .get(&peer.id)
                    .map(|p| p.step.clone())
                    .unwrap_or_default();
                let abort = pb::Abort {
                    culprit: peer.id.to_string(),
                    step,
                    code: "node_lost".into(),
                    reason: format!("{} is gone: {reason}", peer.id),
                    ..pb::Abort::default()
                };
                self.abort(store, job, abort);
            }
        }
    }

    fn control(&self, peer: &Peer, body: node_control::Body) -> Result<(), Refused> {
        use node_control::Body;
        match body {
            Body::Decision(signed) => self.decide(peer, signed).map(|_| ()),
            Body::JobKey(key) => self.key(peer, key),
            Body::Progress(report) => {
                let progress = report.progress.ok_or(Refused::Missing("progress"))?;
                self.progress(peer, &report.job, progress)
            }
            Body::Abort(report) => {
                let abort = report.abort.ok_or(Refused::Missing("reason"))?;
                self.aborted(peer, &report.job, abort)
            }
            Body::Completion(report) => {
                let mut guard = self.lock();
                let State { store, jobs, .. } = &mut *guard;
                let job = member_job(jobs, &self.me, peer, &report.job)?;
                self.complete(store, job, peer, report.links, &report.without);
                Ok(())
            }
            Body::Audit(message) => self.carry(peer, message),
            Body::Unfinished(asked) => {
                self.tell_ends(peer, &asked.jobs);
                Ok(())
            }
        }
    }

    /// Tells a node that was away how its jobs have ended meanwhile. Jobs that have not ended need no answer.
    fn tell_ends(&self, peer: &Peer, asked: &[String]) {
        let mut guard = self.lock();
        for id in asked.iter().take(limits::MAX_UNFINISHED) {
            match member_job(&mut guard.jobs, &self.me, peer, id) {
                Ok(job) if is_over(job.state) => {
                    self.hub.tell(peer, hub_control::Body::State(job.notice()));
                }
                Ok(_) => {}
                Err(refused) => tracing::warn!(%peer, %refused, "a node asks for the end of a job"),
            }
        }
    }

    /// Passes a node's signed key on to the other members, who verify it.
    fn key(&self, peer: &Peer, key: pb::JobKey) -> Result<(), Refused> {
        let mut guard = self.lock();
        let job = member_job(&mut guard.jobs, &self.me, peer, &key.job)?;
        if !is_running(job.state) {
            return Err(wrong_state(job, "no keys are due"));
        }
        for member in job.members(&self.me) {
            if member != *peer {
                self.hub
                    .tell(&member, hub_control::Body::JobKey(key.clone()));
            }
        }
        Ok(())
    }

    fn progress(&self, peer: &Peer, id: &str, told: pb::NodeProgress) -> Result<(), Refused> {
        let now = self.clock.now();
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        let job = member_job(jobs, &self.me, peer, id)?;
        if !is_running(job.state) {
            return Ok(()); // late
        }
        let phase = told.phase();
        let progress = pb::NodeProgress {
            node: peer.id.to_string(),
            phase: if is_running(phase) {
                phase.into()
            } else {
                job.state.into()
            },
            step: limits::bounded_text(&told.step),
            waiting_for: limits::bounded_text(&told.waiting_for),
            rate: if told.rate.is_finite() {
                told.rate.max(0.0)
            } else {
                0.0
            },
            completed: job.completed.contains(&peer.id),
            at: now,
            ..told
        };
        job.progress.insert(peer.id.clone(), progress);
        match job.common_phase() {
            Some(phase) if i32::from(phase) > i32::from(job.state) => {
                self.enter(store, job, phase, "", "all parties have reached this phase");
            }
            _ => self.publish(job),
        }
        Ok(())
    }

    fn aborted(&self, peer: &Peer, id: &str, told: pb::Abort) -> Result<(), Refused> {
        let mut guard = self.lock();
        let State { store, jobs, .. } = &mut *guard;
        let job = member_job(jobs, &self.me, peer, id)?;
        if is_running(job.state) && job.away.contains(&peer.id) {
            return Ok(());
        }
        // one that was away for long finds that nothing came for too long: that is its trouble, not the others'
        let late = matches!(told.code.as_str(), "channel_timeout" | "channel_gone");
        let helper = job.head.helper.as_ref().map(ToString::to_string);
        let of_relay = told.culprit.is_empty() || Some(&told.culprit) == helper.as_ref();
        if is_running(job.state) && late && of_relay {
            let why = limits::bounded_text(&told.reason);
            if self.spare(store, job, &peer.id, &why) {
                return Ok(());
            }
        }
        // a node may only name members
        let members = job.members(&self.me);
        let culprit = members
            .iter()
            .find(|member| member.id.as_str() == told.culprit)
            .map(|member| member.id.to_string())
            .unwrap_or_default();
        let abort = pb::Abort {
            culprit,
            reported_by: peer.id.to_string(),
            ..told
        };
        self.abort(store, job, abort);
        Ok(())
    }
}

pub(super) fn member_job<'a>(
    jobs: &'a mut std::collections::BTreeMap<JobId, Job>,
    me: &Peer,
    peer: &Peer,
    id: &str,
) -> Result<&'a mut Job, Refused> {
    let id: JobId = id.parse()?;
    match jobs.get_mut(&id) {
        Some(job) if job.members(me).contains(peer) => Ok(job),
        _ => Err(Refused::NoJob(id, peer.clone())),
    }
}

fn job_of(body: &node_control::Body) -> String {
    use node_control::Body;
    let id = match body {
        Body::Decision(_) => "",
        Body::JobKey(key) => &key.job,
        Body::Progress(report) => &report.job,
        Body::Abort(report) => &report.job,
        Body::Completion(report) => &report.job,
        Body::Audit(message) => &message.job,
        Body::Unfinished(_) => "",
    };
    limits::bounded_text(id)
}
