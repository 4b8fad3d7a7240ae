//! Heads, countersignatures and events between the nodes of a job.
//!
//! One task per node does all of it, in the order in which messages come, so that a log is never judged
//! by two at a time. Messages are signed by their senders; the coordinator that carries them can delay
//! or drop them, which is noticed, and nothing else.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use paripassu_proto::{ContractHead, JobId, NodeId, audit::v1 as pb, control::v1 as control};
use paripassu_protocol::channel::Role;
use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Blame, Transcript,
    intake::{Flood, Intake},
    session::Session,
};
use crate::{signing, transport::JobCore};

/// How long the end of a job may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// How long a node that has ended a job well waits for the others' heads and events.
    pub(super) finish: Duration,
    /// How long after a job that ended badly.
    pub(super) badly: Duration,
    /// How long a job's session goes on countersigning after its end at this node.
    pub(super) linger: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            finish: Duration::from_secs(30),
            badly: Duration::from_secs(4),
            linger: Duration::from_secs(60),
        }
    }
}

/// Where messages go, and who hears of a member that breaks the rules.
pub trait Carrier: Send + Sync + 'static {
    /// Sends a message on its way.
    fn carry(&self, message: pb::Envelope);

    /// A member's log contradicts itself: the job must end.
    fn broken(&self, job: &JobId, blame: &Blame);
}

/// This node's place in a job, for the exchange.
pub struct Seat {
    pub(crate) job: JobId,
    pub(crate) contract: [u8; 32],
    /// None for a coordinator that is no member.
    pub(crate) role: Option<Role>,
    pub(crate) members: Vec<(Role, NodeId)>,
    /// The coordinator, where it is no member: it countersigns, too.
    pub(crate) coordinator: Option<NodeId>,
    /// How many parties may be missing, and how long one is waited for.
    pub(crate) spare: usize,
    pub(crate) patience: Duration,
    /// The channel whose gate opens when all have countersigned.
    pub(crate) core: Option<Arc<JobCore>>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seat({}, {:?})", self.job, self.role)
    }
}

impl Seat {
    /// The seat of a coordinator that only carries the job.
    pub fn of_coordinator(head: &ContractHead, contract: [u8; 32]) -> Self {
        Self {
            job: head.job.clone(),
            contract,
            role: None,
            members: crate::node::members(head),
            coordinator: None,
            spare: head.spare(),
            patience: head
                .absence
                .map_or(Duration::ZERO, |absence| absence.patience),
            core: None,
        }
    }
}

pub(super) type Done = oneshot::Sender<Result<(), Blame>>;

enum Order {
    Begin(Box<Session>),
    Flooded(JobId, Blame),
    Message(Box<pb::Envelope>),
    Ask(JobId),
    Released(JobId, Vec<NodeId>),
    Finish {
        job: JobId,
        well: bool,
        done: Option<Done>,
    },
}

/// Speaks with the other nodes of all jobs about transcripts. Clones are the same.
///
/// Its queue is bounded by what is let in: of messages, a share for each sender (`Intake`); of this node's own
/// orders, a few for each job, of which many askings are one.
#[derive(Clone)]
pub struct Exchange {
    orders: mpsc::UnboundedSender<Order>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) transcript: Arc<Transcript>,
    pub(super) carrier: Box<dyn Carrier>,
    pub(super) times: Times,
    blames: Mutex<HashMap<JobId, Blame>>,
    /// Parties that jobs were closed without.
    left_out: Mutex<HashMap<JobId, Vec<NodeId>>>,
    intake: Mutex<Intake>,
    /// Jobs that are in the queue to be asked for.
    asked: Mutex<HashSet<JobId>>,
    /// Jobs of which too much came: nothing more is let in.
    flooded: Mutex<HashSet<JobId>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn weight(message: &pb::Envelope) -> usize {
    let signed = message.message.as_ref();
    signed.map_or(0, |signed| signed.encoded_len()) + message.job.len() + 128
}

impl Shared {
    /// Lets a message into the queue; none when there is no room, once with whom to blame for it.
    fn admit(&self, message: &pb::Envelope) -> Result<(), Option<(JobId, Blame)>> {
        let job = message.job.parse::<JobId>().map_err(|_| None)?;
        if lock(&self.flooded).contains(&job) {
            return Err(None);
        }
        let admitted = lock(&self.intake).admit(&message.job, &message.from, weight(message));
        let Err(flood) = admitted else { return Ok(()) };
        lock(&self.flooded).insert(job.clone());
        // the name on an envelope is the carrier's word, the signature is the sender's
        let signed = signing::verify_audit(self.transcript.identity.trust(), message);
        let sender = signed.ok().filter(|_| flood == Flood::Sender);
        let blame = match sender {
            Some((sender, _)) => Blame {
                reason: format!(
                    "`{}` sends messages about transcripts faster than they can be read",
                    sender.peer()
                ),
                culprit: Some(sender.peer().id.clone()),
                code: "flooded",
            },
            None => Blame {
                culprit: None,
                code: "flooded",
                reason: "the coordinator carries more messages about transcripts than can be read, not all \
                         of them by members"
                    .into(),
            },
        };
        Err(Some((job, blame)))
    }

    pub(super) fn accuse(&self, job: &JobId, blame: &Blame) {
        let mut blames = lock(&self.blames);
        blames.entry(job.clone()).or_insert_with(|| blame.clone());
    }

    /// Notes that a job was closed without these parties.
    pub(super) fn leave_out(&self, job: &JobId, parties: Vec<NodeId>) {
        let mut all = lock(&self.left_out);
        all.entry(job.clone()).or_default().extend(parties);
    }

    pub(super) fn blame(&self, job: &JobId) -> Option<Blame> {
        let blames = lock(&self.blames);
        blames.get(job).cloned()
    }

    /// Forgets a job whose end is long past.
    fn forget(&self, job: &JobId) {
        let mut blames = lock(&self.blames);
        blames.remove(job);
        drop(blames);
        lock(&self.left_out).remove(job);
        lock(&self.flooded).remove(job);
        self.transcript.forget(job.as_str());
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({})", self.shared.transcript.peer())
    }
}

impl Exchange {
    /// Starts the task; it ends when all handles are dropped.
    pub fn start(transcript: Arc<Transcript>, carrier: Box<dyn Carrier>) -> Self {
        Self::start_with(transcript, carrier, Times::default())
    }

    /// The same with other times.
    pub(super) fn start_with(
        transcript: Arc<Transcript>,
        carrier: Box<dyn Carrier>,
        times: Times,
    ) -> Self {
        let (orders, rx) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            transcript,
            carrier,
            times,
            blames: Mutex::default(),
            left_out: Mutex::default(),
            intake: Mutex::default(),
            asked: Mutex::default(),
            flooded: Mutex::default(),
        });
        tokio::spawn(run(Arc::clone(&shared), rx));
        Self { orders, shared }
    }

    /// Takes a seat in a job: tells every other node where this one last countersigned its log. The
    /// messages are on their way when this returns.
    pub fn begin(&self, seat: Seat) {
        let session = Session::begin(Arc::clone(&self.shared), seat);
        self.order(Order::Begin(Box::new(session)));
    }

    /// Takes in a message. A sender that has too many waiting ends its job.
    pub fn message(&self, message: pb::Envelope) {
        match self.shared.admit(&message) {
            Ok(()) => self.order(Order::Message(Box::new(message))),
            Err(Some((job, blame))) => self.order(Order::Flooded(job, blame)),
            Err(None) => {}
        }
    }

    /// Has the log's head countersigned by all; the gate of the job's channel opens then.
    pub fn ask(&self, job: &JobId) {
        if lock(&self.shared.asked).insert(job.clone()) {
            self.order(Order::Ask(job.clone()));
        }
    }

    /// Exchanges last heads and events, and writes the bundle.
    pub(crate) async fn finish(&self, job: &JobId, well: bool) -> Result<(), Blame> {
        let (done, finished) = oneshot::channel();
        self.order(Order::Finish {
            job: job.clone(),
            well,
            done: Some(done),
        });
        // a task that is gone has written no bundle
        finished.await.unwrap_or_else(|_| {
            Err(Blame {
                culprit: Some(self.shared.transcript.peer().id.clone()),
                code: "transcript_failed",
                reason: "the exchange of transcripts has stopped".into(),
            })
        })
    }

    /// The same after a job that ended badly, without waiting for it.
    pub fn finish_soon(&self, job: &JobId) {
        self.order(Order::Finish {
            job: job.clone(),
            well: false,
            done: None,
        });
    }

    /// Tells the coordinator's own session that a job is released, without these parties: nothing more of them is
    /// waited for.
    pub fn released(&self, job: &JobId, without: Vec<NodeId>) {
        self.order(Order::Released(job.clone(), without));
    }

    /// The parties that this node closed a job without, because they did not answer.
    pub(crate) fn left_out(&self, job: &JobId) -> Vec<NodeId> {
        lock(&self.shared.left_out)
            .get(job)
            .cloned()
            .unwrap_or_default()
    }

    /// What the task and its handles share.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Notes who broke the rules of the transcript in this job; the first counts.
    pub(crate) fn accuse(&self, job: &JobId, blame: Blame) {
        self.shared.accuse(job, &blame);
    }

    /// Who broke the rules of the transcript in this job, if anybody did.
    pub(crate) fn blame(&self, job: &JobId) -> Option<Blame> {
        self.shared.blame(job)
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::debug!("the exchange of transcripts has stopped");
        }
    }
}

/// What a signed message must be signed over, so that it is nothing else.
pub(super) fn sign(transcript: &Transcript, message: &pb::Message) -> control::Signed {
    signing::sign_audit(&transcript.identity, message)
}

/// Orders taken before heads are signed and deadlines looked at.
const ORDERS_AT_ONCE: u32 = 256;

async fn run(shared: Arc<Shared>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut sessions: BTreeMap<JobId, Session> = BTreeMap::new();
    loop {
        let next = sessions.values().filter_map(Session::next_deadline).min();
        let late = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let order = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
            () = late => None,
        };
        // what is at hand before heads are signed, because one head serves many events; but not for ever:
        // a member that never stops sending keeps no head and no deadline of any job waiting
        let mut order = order;
        for left in (0..ORDERS_AT_ONCE).rev() {
            let Some(now) = order.take() else { break };
            take(&shared, &mut sessions, now).await;
            order = match left {
                0 => None,
                _ => orders.try_recv().ok(),
            };
        }
        let now = Instant::now();
        for session in sessions.values_mut() {
            session.pump(now).await;
        }
        sessions.retain(|job, session| {
            let over = session.is_over(now);
            if over {
                shared.forget(job);
            }
            !over
        });
    }
}

async fn take(shared: &Arc<Shared>, sessions: &mut BTreeMap<JobId, Session>, order: Order) {
    match order {
        Order::Begin(session) => {
            sessions.insert(session.job().clone(), *session);
        }
        Order::Flooded(job, blame) => {
            if let Some(session) = sessions.get_mut(&job) {
                session.break_off(blame);
            }
        }
        Order::Message(message) => {
            lock(&shared.intake).read(&message.job, &message.from, weight(&message));
            let job = message.job.parse::<JobId>().ok();
            match job.and_then(|job| sessions.get_mut(&job)) {
                Some(session) => session.message(*message).await,
                None => {
                    tracing::debug!("a message about the transcript of a job that is not known")
                }
            }
        }
        Order::Ask(job) => {
            lock(&shared.asked).remove(&job);
            if let Some(session) = sessions.get_mut(&job) {
                session.ask();
            }
        }
        Order::Released(job, without) => {
            if let Some(session) = sessions.get_mut(&job) {
                session.released(&without);
            }
        }
        Order::Finish { job, well, done } => {
            let times = shared.times;
            let limit = if well { times.finish } else { times.badly };
            let session = match sessions.get_mut(&job) {
                Some(session) => session,
                // nothing was exchanged: the bundle holds this node's own events
                None => {
                    let session = Session::alone(Arc::clone(shared), job.clone());
                    sessions.entry(job).or_insert(session)
                }
            };
            session.finish(limit, times.linger, well, done);
        }
    }
}
