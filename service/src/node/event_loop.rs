//! The loop itself.

mod away;

use std::{collections::HashMap, sync::Arc, time::Duration};

use paripassu_proto::{
    HeadReader, JobId, NodeId, Peer,
    control::v1::{self as pb, JobState, hub_control, node_control},
    limits,
};
use paripassu_protocol::channel::Role;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};

use super::{
    Command, JobInfo, NodeHandler, Proposal, Reporter, RunError, StateChange,
    audit::{Audit, Refusals, Stream},
    job::{self, RefusedJob},
};
use crate::{
    clock::Clock,
    identity::Identity,
    shutdown::Shutdown,
    signing::{self, Decision},
    transcript::{Exchange, Record, Seat, Transcript},
    transport::{JobChannel, JobCore, KeyExchange, NodePort, PortEvent},
};

/// How long a run may go on after its job has ended before it is dropped.
const LINGER: Duration = Duration::from_secs(10);

/// How often deadlines are looked at and the revocation list is read again.
const TICK: Duration = Duration::from_millis(500);

/// A callback on its way to the handler.
enum Callback {
    Proposal(Proposal),
    Decision(Peer, Decision),
    State(StateChange),
    Link(bool, String),
}

/// A job this node takes part in now.
struct Running {
    info: JobInfo,
    core: Arc<JobCore>,
    /// Until all keys are there.
    exchange: Option<KeyExchange>,
    since: Instant,
    /// Somebody has ended it already: nothing to report when the run returns.
    ended: bool,
}

/// How a run went.
struct Finished {
    job: JobId,
    channel: JobChannel,
    result: Result<(), RunError>,
}

pub(super) struct EventLoop<H> {
    pub(super) identity: Arc<Identity>,
    pub(super) port: NodePort,
    heads: HeadReader,
    pub(super) handler: Arc<H>,
    clock: Clock,
    pub(super) audit: Option<Audit>,
    running: HashMap<JobId, Running>,
    runs: JoinSet<Finished>,
    callbacks: mpsc::Sender<Callback>,
    waiting_callbacks: Option<mpsc::Receiver<Callback>>,
    /// Refusals that this process has written down.
    pub(super) refused: Refusals,
    disconnected: Option<Instant>,
}

impl<H: NodeHandler> EventLoop<H> {
    pub(super) fn new(
        identity: Arc<Identity>,
        port: NodePort,
        heads: HeadReader,
        transcript: Option<Arc<Transcript>>,
        handler: Arc<H>,
        clock: Clock,
    ) -> Self {
        let (callbacks, waiting) = mpsc::channel(256);
        let audit = transcript.map(|transcript| {
            let carrier = Box::new(Stream(port.outlet.clone()));
            let exchange = Exchange::start(Arc::clone(&transcript), carrier);
            Audit {
                transcript,
                exchange,
            }
        });
        Self {
            identity,
            port,
            heads,
            handler,
            clock,
            audit,
            running: HashMap::new(),
            runs: JoinSet::new(),
            callbacks,
            waiting_callbacks: Some(waiting),
            refused: Refusals::default(),
            disconnected: None,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let calling = self
            .waiting_callbacks
            .take()
            .map(|waiting| tokio::spawn(call(Arc::clone(&self.handler), waiting)));
        loop {
            tokio::select! {
                event = self.port.event() => match event {
                    Some(event) => {
                        if !self.event(event).await {
                            break;
                        }
                    }
                    None => break,
                },
                Some(command) = commands.recv() => match command {
                    Command::Decide(decision) => {
                        let signed = signing::sign(&self.identity, decision.to_bytes());
                        let decided = self.decided(self.identity.peer(), &decision, &signed);
                        if decided.is_some() {
                            self.port.tell(node_control::Body::Decision(signed));
                        }
                    }
                },
                Some(finished) = self.runs.join_next() => match finished {
                    Ok(finished) => self.finished(finished),
                    Err(error) => tracing::error!(%error, "a run was lost"),
                },
                _ = tick.tick() => self.tick(),
                () = shutdown.asked() => break,
            }
        }
        self.port.router.end_all("the node is shutting down");
        self.runs.shutdown().await;
        drop(self.callbacks);
        if let Some(calling) = calling {
            calling.abort();
        }
        if let Some(audit) = &self.audit {
            audit.transcript.close();
        }
    }

    async fn callback(&self, callback: Callback) {
        if self.callbacks.send(callback).await.is_err() {
            tracing::error!("the handler of this node has failed");
        }
    }

    /// False when the stream is over.
    async fn event(&mut self, event: PortEvent) -> bool {
        match event {
            PortEvent::Connected { resumed } => {
                tracing::info!(resumed, "connected to the coordinator");
                self.disconnected = None;
                if !resumed {
                    self.ask_ends();
                }
                self.callback(Callback::Link(true, String::new())).await;
            }
            PortEvent::Disconnected { reason } => {
                self.disconnected.get_or_insert_with(Instant::now);
                self.callback(Callback::Link(false, reason)).await;
            }
            PortEvent::SessionLost { reason } => self.lost(&reason).await,
            PortEvent::Closed { reason } => {
                self.lost(&reason).await;
                self.callback(Callback::Link(false, reason)).await;
                return false;
            }
            PortEvent::Control(control) => {
                if let Some(body) = control.body {
                    self.control(body).await;
                }
            }
        }
        true
    }

    async fn control(&mut self, body: hub_control::Body) {
        use hub_control::Body;
        let (me, trust) = (self.identity.peer(), self.identity.trust());
        match body {
            Body::Proposal(message) => match job::proposal(me, trust, &self.heads, &message) {
                Ok(proposal) => {
                    if self.proposed(&proposal, &message) {
                        self.handler.on_proposed(&proposal);
                        self.callback(Callback::Proposal(proposal)).await;
                    }
                }
                Err(error) => self.refuse(&message.job, &error),
            },
            Body::Decision(notice) => {
                let verified = notice
                    .decision
                    .as_ref()
                    .map(|signed| job::decision(trust, signed));
                match verified {
                    Some(Ok((by, decision))) => {
                        let signed = notice.decision.as_ref();
                        let counts = signed.and_then(|s| self.decided(&by, &decision, s));
                        if counts == Some(true) {
                            self.callback(Callback::Decision(by, decision)).await;
                        }
                    }
                    Some(Err(error)) => tracing::warn!(%error, "a decision does not verify"),
                    None => tracing::warn!("an empty decision"),
                }
            }
            Body::Start(message) => {
                match job::start(me, trust, &self.heads, &message, self.clock.now()) {
                    Ok(info) if self.handler.has_ended(info.job()) => {
                        self.refuse(info.job().as_str(), &RefusedJob::RunBefore);
                    }
                    Ok(info) if self.changes_key() => self.not_now(info.job()),
                    Ok(info) => {
                        let written = message
                            .proposal
                            .as_ref()
                            .is_some_and(|sent| self.proposed(&info.proposal, sent));
                        if written {
                            self.handler.on_proposed(&info.proposal);
                            self.begin(info);
                        }
                    }
                    Err(error) => {
                        let id = message.proposal.map(|p| p.job).unwrap_or_default();
                        self.refuse(&id, &error);
                    }
                }
            }
            Body::JobKey(key) => self.key(&key),
            Body::State(notice) => self.state(notice).await,
            Body::Audit(message) => {
                if let Some(audit) = &self.audit {
                    audit.exchange.message(message);
                }
            }
            Body::Refusal(refusal) => {
                tracing::warn!(
                    job = refusal.job,
                    code = refusal.code,
                    reason = limits::bounded_text(&refusal.reason),
                    "the coordinator refused a message"
                );
            }
        }
    }

    pub(super) fn tell_abort(&self, job: &str, abort: pb::Abort) {
        let report = pb::AbortReport {
            job: job.to_owned(),
            abort: Some(abort),
        };
        self.port.tell(node_control::Body::Abort(report));
    }

    fn begin(&mut self, mut info: JobInfo) {
        let (id, role) = (info.job().clone(), info.proposal.role);
        if self.running.contains_key(&id) {
            tracing::warn!(job = %id, "told to start a job that is running");
            return;
        }
        let peers: Vec<_> = info
            .members()
            .into_iter()
            .filter(|(r, _)| *r != role)
            .collect();
        let begun = KeyExchange::begin(
            &self.identity,
            id.clone(),
            info.proposal.digest,
            peers.clone(),
        );
        let (exchange, key) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let abort = local_abort("keys", "no_randomness", &error.to_string());
                return self.tell_abort(id.as_str(), abort);
            }
        };
        let core = Arc::new(JobCore::new(
            id.clone(),
            self.port.me.id.clone(),
            role,
            peers,
            self.port.outlet.clone(),
            Arc::clone(&self.port.settings),
        ));
        if let Some(audit) = &self.audit {
            for signed in &info.approvals {
                let Ok((by, decision)) = job::decision(self.identity.trust(), signed) else {
                    continue;
                };
                if self.decided(&by, &decision, signed).is_none() {
                    return;
                }
            }
            audit.exchange.begin(Seat {
                job: id.clone(),
                contract: info.proposal.digest,
                role: Some(role),
                members: info.members(),
                coordinator: self.port.coordinator().map(|peer| peer.id).filter(|id| {
                    let mut members = info.members().into_iter();
                    !members.any(|(_, member)| member == *id)
                }),
                spare: info.proposal.head.spare(),
                patience: info
                    .proposal
                    .head
                    .absence
                    .map_or(Duration::ZERO, |absence| absence.patience),
                core: Some(Arc::clone(&core)),
            });
            info.record = Record::new(
                Arc::clone(&audit.transcript),
                audit.exchange.clone(),
                Arc::clone(&core),
                id.clone(),
            );
        }
        self.port.router.insert(&id, Arc::clone(&core));
        self.port.tell(node_control::Body::JobKey(key));
        tracing::info!(job = %id, %role, at = self.clock.now(), "job started");
        let running = Running {
            info,
            core,
            exchange: Some(exchange),
            since: Instant::now(),
            ended: false,
        };
        self.running.insert(id, running);
    }

    fn key(&mut self, key: &pb::JobKey) {
        let Ok(id) = key.job.parse::<JobId>() else {
            return;
        };
        let trust = self.identity.trust();
        let Some(running) = self.running.get_mut(&id) else {
            return;
        };
        let (Some(exchange), Some(signed)) = (&mut running.exchange, &key.key) else {
            return;
        };
        if let Err(error) = exchange.accept(trust, signed) {
            let culprit = exchange.role_of(signed);
            let error = RunError {
                culprit,
                step: "keys".into(),
                code: "job_key_refused".into(),
                reason: error.to_string(),
            };
            return self.give_up(&id, &error);
        }
        if !exchange.missing().is_empty() {
            return;
        }
        let Some(exchange) = running.exchange.take() else {
            return;
        };
        let digest = running.info.proposal.digest;
        let sessions = self.audit.as_ref().map_or(Ok(()), |audit| {
            let mut members = exchange.certified().iter();
            members.try_for_each(|peer| {
                let negotiated = self.port.negotiated(peer.peer());
                audit
                    .transcript
                    .session(id.as_str(), &digest, peer, negotiated)
            })
        });
        if let Err(error) = sessions {
            let error = RunError::unwritten(running.info.proposal.role, "keys", &error);
            return self.give_up(&id, &error);
        }
        match exchange.finish() {
            Ok(keys) => {
                running.info.record.countersign();
                let channel = running.core.open(keys);
                let info = running.info.clone();
                let record = info.record.clone();
                let reporter = Reporter::new(id.clone(), info.members(), self.port.outlet.clone());
                let (handler, core) = (Arc::clone(&self.handler), Arc::clone(&running.core));
                self.runs.spawn(async move {
                    let result = tokio::select! {
                        result = handler.run(info.clone(), channel.clone(), reporter) => result,
                        () = core.lingered(LINGER) => Err(core.why().into()),
                    };
                    let blamed = |blame| RunError::blamed(&info, blame);
                    let result = match result {
                        Ok(()) => record.complete(&channel).await.map_err(blamed),
                        // what the transcript says goes before what the run made of it
                        Err(error) => Err(record.blame().map_or(error, blamed)),
                    };
                    if result.is_ok()
                        && let Some(folder) = handler.results(&id)
                    {
                        record.lay_bundle(&folder).await;
                    }
                    Finished {
                        job: id,
                        channel,
                        result,
                    }
                });
            }
            Err(error) => {
                let error = RunError {
                    culprit: None,
                    step: "keys".into(),
                    code: "job_key_refused".into(),
                    reason: error.to_string(),
                };
                self.give_up(&id, &error);
            }
        }
    }

    /// Ends a job on this node for a reason of its own, and says so.
    fn give_up(&mut self, id: &JobId, error: &RunError) {
        let Some(running) = self.running.remove(id) else {
            return;
        };
        running.core.end(&error.reason);
        self.port.router.remove(id);
        self.port.outlet.forget(id);
        let culprit = error.culprit.and_then(|role| running.info.node_of(role));
        let (record, clean) = (&running.info.record, self.handler.discard(id));
        record.abort(culprit.as_ref(), &error.step, &error.code, clean);
        if !running.ended {
            let mut abort = local_abort(&error.step, &error.code, &error.reason);
            abort.culprit = culprit.map(|id| id.to_string()).unwrap_or_default();
            self.tell_abort(id.as_str(), abort);
        }
    }

    fn finished(&mut self, finished: Finished) {
        let Finished {
            job: id,
            channel,
            result,
        } = finished;
        if let Err(error) = result {
            tracing::warn!(job = %id, code = error.code, %error, "run failed");
            return self.give_up(&id, &error);
        }
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        self.port.router.remove(&id);
        running.core.end("this node has completed its part");
        if running.ended {
            return;
        }
        tracing::info!(job = %id, "run completed");
        let links = channel.report().into_iter().map(|link| pb::LinkDigest {
            peer: link.peer.to_string(),
            frames_sent: link.sent.frames,
            bytes_sent: link.sent.bytes,
            digest_sent: link.sent.digest.to_vec().into(),
            frames_received: link.received.frames,
            bytes_received: link.received.bytes,
            digest_received: link.received.digest.to_vec().into(),
        });
        let audit = self.audit.as_ref();
        let without = audit.map_or_else(Vec::new, |audit| audit.exchange.left_out(&id));
        let report = pb::CompletionReport {
            job: id.to_string(),
            links: links.collect(),
            without: without.iter().map(ToString::to_string).collect(),
        };
        self.port.tell(node_control::Body::Completion(report));
    }

    async fn state(&mut self, notice: pb::StateNotice) {
        let state = notice.state();
        let Ok(id) = notice.job.parse::<JobId>() else {
            return;
        };
        if self.handler.has_ended(&id) {
            // an end is final: whatever the coordinator says later, nothing of a released job is destroyed
            tracing::debug!(job = %id, ?state, "told of a job whose end is known");
            return;
        }
        let abort = notice.abort.unwrap_or_default();
        let culprit: Option<NodeId> = abort.culprit.parse().ok();
        let reason = limits::bounded_text(&abort.reason);
        let without = notice.without.iter();
        if without
            .into_iter()
            .any(|left_out| *left_out == self.port.me.id.as_str())
        {
            return self.left_out(&id).await;
        }
        let over = matches!(
            state,
            JobState::Aborted | JobState::Rejected | JobState::Expired
        );
        if over {
            self.write_end(&id, state, &abort);
        }
        if over && let Some(running) = self.running.get_mut(&id) {
            running.ended = true;
            match &culprit {
                Some(culprit) => running.core.gone(culprit, &reason),
                None => running.core.end(&reason),
            }
            self.port.router.remove(&id);
            self.port.outlet.forget(&id);
            if running.exchange.is_some() {
                self.running.remove(&id);
            }
        }
        self.callback(Callback::State(StateChange {
            job: id,
            state,
            culprit,
            reason,
        }))
        .await;
    }

    fn tick(&mut self) {
        if let Err(error) = self.identity.trust().refresh() {
            tracing::error!(%error, "the old revocation list stays in force");
        }
        self.renew();
        let settings = Arc::clone(&self.port.settings);
        if self
            .disconnected
            .is_some_and(|since| since.elapsed() > settings.grace)
        {
            self.port.router.end_all(&format!(
                "the coordinator has been out of reach for more than {:?}",
                settings.grace
            ));
        }
        let late: Vec<(JobId, Role, NodeId)> = self
            .running
            .iter()
            .filter(|(_, r)| r.since.elapsed() > settings.grace)
            .filter_map(|(id, r)| {
                let (role, node) = r.exchange.as_ref()?.missing().into_iter().next()?;
                Some((id.clone(), role, node))
            })
            .collect();
        for (id, role, node) in late {
            let error = RunError {
                culprit: Some(role),
                step: "keys".into(),
                code: "job_key_missing".into(),
                reason: format!("`{node}` sent no job key within {:?}", settings.grace),
            };
            self.give_up(&id, &error);
        }
    }
}

pub(super) fn local_abort(step: &str, code: &str, reason: &str) -> pb::Abort {
    pb::Abort {
        culprit: String::new(),
        reported_by: String::new(),
        step: limits::bounded_text(step),
        code: limits::bounded_text(code),
        reason: limits::bounded_text(reason),
    }
}

/// Calls the handler, one callback after another.
async fn call<H: NodeHandler>(handler: Arc<H>, mut waiting: mpsc::Receiver<Callback>) {
    while let Some(callback) = waiting.recv().await {
        match callback {
            Callback::Proposal(proposal) => handler.on_proposal(proposal).await,
            Callback::Decision(by, decision) => handler.on_decision(by, decision).await,
            Callback::State(change) => handler.on_state(change).await,
            Callback::Link(connected, reason) => handler.on_link(connected, reason).await,
        }
    }
}
