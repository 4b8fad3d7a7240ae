//! The coordinator's own transcript, and carrying the messages of others about theirs.

use std::{
    collections::VecDeque,
    sync::{Mutex, OnceLock, PoisonError, Weak},
};

use paripassu_proto::{
    JobId, Peer,
    audit::v1 as audit,
    control::v1::{self as pb, JobState, hub_control},
    limits,
};
use paripassu_service::{
    transcript::{Blame, Carrier, Seat, TranscriptError},
    transport::Hub,
};

use super::{Engine, Refused, State, wrong_state};
use crate::job::Job;

/// Jobs whose members' addresses are remembered.
const ROUTES: usize = 256;

/// Where messages of the coordinator itself go.
pub(crate) struct Post {
    hub: Hub,
    routes: Mutex<VecDeque<(JobId, Vec<Peer>)>>,
    engine: OnceLock<Weak<Engine>>,
}

impl Post {
    pub(super) fn new(hub: Hub) -> Self {
        Self {
            hub,
            routes: Mutex::default(),
            engine: OnceLock::new(),
        }
    }

    pub(super) fn attach(&self, engine: Weak<Engine>) {
        if self.engine.set(engine).is_err() {
            tracing::error!("the coordinator's engine is attached already");
        }
    }

    fn route(&self, job: &JobId, members: Vec<Peer>) {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        routes.push_front((job.clone(), members));
        routes.truncate(ROUTES);
    }
}

/// The post, as the exchange of transcripts sees it.
pub(super) struct Postman(pub(super) std::sync::Arc<Post>);

impl Carrier for Postman {
    fn carry(&self, mut message: audit::Envelope) {
        let post = &self.0;
        let to = {
            let routes = post.routes.lock().unwrap_or_else(PoisonError::into_inner);
            let job = routes.iter().find(|(job, _)| job.as_str() == message.job);
            let members = job.map_or(&[][..], |(_, members)| members);
            members
                .iter()
                .find(|p| p.id.as_str() == message.to)
                .cloned()
        };
        let Some(to) = to else { return };
        let engine = post.engine.get().and_then(Weak::upgrade);
        message.from = engine.map_or_else(String::new, |engine| engine.me.id.to_string());
        post.hub.tell(&to, hub_control::Body::Audit(message));
    }

    fn broken(&self, job: &JobId, blame: &Blame) {
        let Some(engine) = self.0.engine.get().and_then(Weak::upgrade) else {
            return;
        };
        let mut guard = engine.lock();
        let State { store, jobs, .. } = &mut *guard;
        if let Some(job) = jobs.get_mut(job) {
            let culprit = blame.culprit.as_ref().map(ToString::to_string);
            let abort = pb::Abort {
                culprit: culprit.unwrap_or_default(),
                step: "transcript".into(),
                code: blame.code.into(),
                reason: blame.reason.clone(),
                ..pb::Abort::default()
            };
            engine.abort(store, job, abort);
        }
    }
}

impl Engine {
    /// Whether this process is a member of the job, whose node then writes the transcript.
    fn is_member(&self, job: &Job) -> bool {
        job.head.helper.as_ref() == Some(&self.me.id)
    }

    /// Writes down a proposal.
    pub(super) fn write_proposal(&self, job: &Job) -> Result<(), TranscriptError> {
        match &self.transcript {
            Some(transcript) if !self.is_member(job) => transcript.proposed(
                &job.head,
                &job.digest,
                &job.submitter,
                &job.proposal,
                "coordinator",
            ),
            _ => Ok(()),
        }
    }

    /// Writes down a decision.
    pub(super) fn write_decision(
        &self,
        job: &Job,
        by: &Peer,
        decision: &paripassu_service::signing::Decision,
        signed: &pb::Signed,
    ) -> Result<(), TranscriptError> {
        match &self.transcript {
            Some(transcript) if !self.is_member(job) => {
                transcript.decided(by, decision, signed).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Takes the coordinator's own seat in a job that begins.
    pub(super) fn join_exchange(&self, job: &Job) {
        if self.is_member(job) {
            return;
        }
        let (Some(exchange), Some(post)) = (&self.exchange, &self.post) else {
            return;
        };
        post.route(&job.head.job, job.members(&self.me));
        let seat = Seat::of_coordinator(&job.head, job.digest);
        exchange.begin(seat);
        exchange.ask(&job.head.job);
    }

    /// Writes down that a job has ended without a result.
    pub(super) fn write_end(&self, job: &Job) {
        if self.is_member(job) || job.state == JobState::Released {
            return;
        }
        let (Some(transcript), Some(exchange)) = (&self.transcript, &self.exchange) else {
            return;
        };
        let abort = job.abort.clone().unwrap_or_default();
        let code = match (job.state, abort.code.as_str()) {
            (JobState::Expired, _) => "expired",
            (_, "") => "aborted",
            (_, code) => code,
        };
        let (id, culprit) = (&job.head.job, Some(abort.culprit.as_str()));
        if let Err(error) = transcript.aborted(id.as_str(), culprit, &abort.step, code, true) {
            tracing::error!(job = %id, %error, "the end of a job is not in the transcript");
        }
        exchange.finish_soon(id);
    }

    /// Carries a message about a transcript to another node of the job, or takes it in.
    pub(super) fn carry(&self, from: &Peer, mut message: audit::Envelope) -> Result<(), Refused> {
        let bytes = message.message.as_ref().map_or(0, |m| m.statement.len());
        if bytes > limits::MAX_AUDIT {
            return Err(Refused::Other("size"));
        }
        let mut guard = self.lock();
        let job = super::nodes::member_job(&mut guard.jobs, &self.me, from, &message.job)?;
        let told = job.told.entry(from.id.clone()).or_default();
        *told = told.saturating_add(bytes as u64);
        if *told > limits::MAX_AUDIT_TOTAL {
            return Err(wrong_state(
                job,
                "more was told about the transcript than any job needs",
            ));
        }
        message.from = from.id.to_string();
        let members = job.members(&self.me);
        let to = members.iter().find(|p| p.id.as_str() == message.to);
        match to {
            Some(to) if to == from => Err(Refused::Other("node")),
            Some(to) => {
                self.hub.tell(to, hub_control::Body::Audit(message));
                Ok(())
            }
            None => {
                if let Some(exchange) = &self.exchange {
                    exchange.message(message);
                }
                Ok(())
            }
        }
    }
}
