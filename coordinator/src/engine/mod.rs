//! The life cycle of all jobs: one lock, no waiting inside it.

mod audit;
mod lifecycle;
mod nodes;

pub(crate) use lifecycle::SUBMITTERS;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use paripassu_proto::{
    HeadError, HeadReader, IdError, JobId, NodeId, NodeKind, Peer,
    control::v1::{self as pb, JobState},
};
use paripassu_service::{
    clock::Clock,
    identity::{Identity, IdentityError, Trust},
    shutdown::Shutdown,
    signing::StatementError,
    transcript::{Exchange, Transcript, TranscriptError},
    transport::{Hub, HubEvent},
};
use tokio::{
    sync::{mpsc, watch},
    time::MissedTickBehavior,
};

use crate::{
    CoordinatorError,
    config::Config,
    job::{self, Job, is_over, is_running},
    store::{Entry, Store},
};

/// Why a call or a node's message was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Refused {
    #[error("there is no job `{0}` that {1} may see")]
    NoJob(JobId, Peer),
    #[error("job `{0}` exists already with another contract; choose another id")]
    Exists(JobId),
    #[error("{0} may not do this: {1}")]
    NotAllowed(Peer, &'static str),
    #[error("job `{job}` is {state}: {why}")]
    State {
        job: JobId,
        state: &'static str,
        why: &'static str,
    },
    #[error("the contract expired at {expires} (now {now}); set a later date")]
    Expired { expires: i64, now: i64 },
    #[error(
        "the contract names this coordinator, `{0}`, as helper, but it is not configured to be one \
         (`helper = true`)"
    )]
    NotHelper(NodeId),
    #[error("the statement was signed for another {0} than the one at hand")]
    Other(&'static str),
    #[error("the message lacks its {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Id(#[from] IdError),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Statement(#[from] StatementError),
    #[error("the coordinator's database failed: {0}")]
    Store(#[from] rusqlite::Error),
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
}

impl Refused {
    /// Stable, value-free code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoJob(..) => "no_job",
            Self::Exists(_) => "job_exists",
            Self::NotAllowed(..) => "not_allowed",
            Self::State { .. } => "wrong_state",
            Self::Expired { .. } => "expired",
            Self::NotHelper(_) => "not_helper",
            Self::Other(_) => "other_statement",
            Self::Missing(_) => "incomplete",
            Self::Id(_) => "bad_id",
            Self::Head(_) => "bad_contract",
            Self::Identity(_) => "bad_identity",
            Self::Statement(_) => "bad_statement",
            Self::Store(_) => "store",
            Self::Transcript(_) => "transcript_failed",
        }
    }
}

/// A node the coordinator has seen since it started.
struct Seen {
    connected: bool,
    at: i64,
}

struct State {
    store: Store,
    jobs: BTreeMap<JobId, Job>,
    nodes: BTreeMap<Peer, Seen>,
}

/// All jobs and nodes.
pub(crate) struct Engine {
    me: Peer,
    identity: Arc<Identity>,
    trust: Trust,
    heads: HeadReader,
    clock: Clock,
    hub: Hub,
    is_helper: bool,
    connect_s: i64,
    key_patience: Duration,
    transcript: Option<Arc<Transcript>>,
    exchange: Option<Exchange>,
    post: Option<Arc<audit::Post>>,
    state: Mutex<State>,
}

const TICK: Duration = Duration::from_millis(250);
/// How often the revocation list is read again, and the certificates of attached nodes judged by it.
const JUDGE: Duration = Duration::from_secs(1);

impl Engine {
    pub(crate) fn open(
        config: &Config,
        me: Peer,
        identity: Arc<Identity>,
        heads: HeadReader,
        clock: Clock,
        transcript: Option<Arc<Transcript>>,
        hub: Hub,
    ) -> Result<Arc<Self>, CoordinatorError> {
        let mut store = Store::open(&config.state)?;
        let mut jobs = BTreeMap::new();
        for mut job in store.load(&heads)? {
            if is_running(job.state) {
                job.state = JobState::Aborted;
                job.abort = Some(pb::Abort {
                    culprit: me.id.to_string(),
                    code: "coordinator_restarted".into(),
                    reason: "the coordinator restarted".into(),
                    ..pb::Abort::default()
                });
                let entry = Entry {
                    at: clock.now(),
                    actor: "",
                    detail: "the coordinator restarted",
                };
                store.record(&job, &entry).map_err(crate::LoadError::from)?;
            }
            jobs.insert(job.head.job.clone(), job);
        }
        let connect_s = i64::try_from(config.deadlines.connect_s).unwrap_or(i64::MAX);
        let state = State {
            store,
            jobs,
            nodes: BTreeMap::new(),
        };
        let post = transcript
            .as_ref()
            .map(|_| Arc::new(audit::Post::new(hub.clone())));
        let exchange = transcript
            .clone()
            .zip(post.clone())
            .map(|(transcript, post)| Exchange::start(transcript, Box::new(audit::Postman(post))));
        let engine = Arc::new(Self {
            me,
            trust: identity.trust().clone(),
            identity,
            heads,
            clock,
            hub,
            transcript,
            exchange,
            post,
            is_helper: config.helper,
            connect_s,
            key_patience: Duration::from_secs(config.deadlines.key_patience_s),
            state: Mutex::new(state),
        });
        if let Some(post) = &engine.post {
            post.attach(Arc::downgrade(&engine));
        }
        let state = engine.lock();
        for job in state.jobs.values() {
            engine.publish(job);
        }
        drop(state);
        Ok(engine)
    }

    /// Follows the hub's events and the clock until stopped.
    pub(crate) async fn run(
        self: Arc<Self>,
        mut events: mpsc::Receiver<HubEvent>,
        shutdown: Shutdown,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut judge = tokio::time::interval(JUDGE);
        judge.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event),
                    None => return,
                },
                _ = tick.tick() => self.tick(),
                _ = judge.tick() => self.judge(),
                () = shutdown.asked() => return,
            }
        }
    }

    /// A certificate revoked or expired since its node attached ends the node's session.
    fn judge(&self) {
        match self.trust.refresh() {
            Ok(true) => tracing::info!("the revocation list has changed"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the old revocation list stays in force"),
        }
        self.renew();
        self.hub.recheck();
    }

    /// Takes a renewed certificate and key: for connections at once, for what is signed when no job is under way. Where
    /// this node is a helper, its own loop does.
    fn renew(&self) {
        match self.identity.refresh() {
            Ok(true) => {
                tracing::info!("the certificate was renewed: connections show it from here on")
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the certificate before stays in use"),
        }
        if self.is_helper || self.lock().jobs.values().any(|job| is_running(job.state)) {
            return;
        }
        match self
            .transcript
            .as_ref()
            .map(|transcript| transcript.renew())
        {
            Some(Ok(true)) => tracing::info!("the renewed key signs from here on"),
            Some(Err(error)) => tracing::error!(%error, "the transcript cannot be written"),
            Some(Ok(false)) | None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Members whose stream does not stand.
    fn missing(&self, job: &Job) -> Vec<NodeId> {
        let members = job.members(&self.me).into_iter();
        members
            .filter(|p| !self.hub.is_connected(p))
            .map(|p| p.id)
            .collect()
    }

    fn publish(&self, job: &Job) {
        job.watchers.send_replace(job.status(self.missing(job)));
    }

    /// Whether a caller may see a job: its members and submitter, and the consortium's users and regulators.
    fn may_see(&self, caller: &Peer, job: &Job) -> bool {
        use NodeKind::{Coordinator, Regulator, User};
        matches!(caller.kind, User | Coordinator | Regulator)
            || job.submitter == *caller
            || job.members(&self.me).contains(caller)
    }

    fn find<'a>(&self, state: &'a State, caller: &Peer, id: &str) -> Result<&'a Job, Refused> {
        let id: JobId = id.parse()?;
        match state.jobs.get(&id) {
            Some(job) if self.may_see(caller, job) => Ok(job),
            _ => Err(Refused::NoJob(id, caller.clone())),
        }
    }

    pub(crate) fn list(&self, caller: &Peer) -> Vec<pb::JobSummary> {
        let state = self.lock();
        let mut jobs: Vec<_> = state
            .jobs
            .values()
            .filter(|job| self.may_see(caller, job))
            .map(|job| job.summary(self.missing(job)))
            .collect();
        jobs.sort_by(|a, b| (b.submitted_at, &b.job).cmp(&(a.submitted_at, &a.job)));
        jobs
    }

    pub(crate) fn show(&self, caller: &Peer, id: &str) -> Result<pb::ShowJobResponse, Refused> {
        let state = self.lock();
        let job = self.find(&state, caller, id)?;
        Ok(pb::ShowJobResponse {
            status: Some(job.status(self.missing(job))),
            proposal: Some(job.proposal.clone()),
            decisions: job
                .decisions
                .values()
                .map(|(signed, _)| signed.clone())
                .collect(),
            events: state.store.events(&job.head.job)?,
        })
    }

    pub(crate) fn watch(
        &self,
        caller: &Peer,
        id: &str,
    ) -> Result<watch::Receiver<pb::JobStatus>, Refused> {
        let state = self.lock();
        let job = self.find(&state, caller, id)?;
        self.publish(job);
        Ok(job.watchers.subscribe())
    }

    pub(crate) fn nodes(&self) -> Vec<pb::NodeInfo> {
        let state = self.lock();
        let nodes = state.nodes.iter();
        nodes
            .map(|(peer, seen)| pb::NodeInfo {
                kind: peer.kind.as_str().to_owned(),
                node: peer.id.to_string(),
                connected: seen.connected,
                last_seen: seen.at,
            })
            .collect()
    }

    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether a status is a job's last.
    pub(crate) fn is_last(status: &pb::JobStatus) -> bool {
        status.summary.as_ref().is_some_and(|s| is_over(s.state()))
    }
}

fn wrong_state(job: &Job, why: &'static str) -> Refused {
    Refused::State {
        job: job.head.job.clone(),
        state: job::name(job.state),
        why,
    }
}
