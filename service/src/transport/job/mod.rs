//! One job on one node: sealed links to its other members, as the protocols' [`Channel`].

mod gate;
mod inbox;
mod sending;
mod tally;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use paripassu_crypto::sealed::{LinkKeys, SharedRoot};
use paripassu_proto::{
    JobId, NodeId,
    exchange::v1::{Credit, Frame},
};
use paripassu_protocol::channel::{Channel, ChannelError, Role, Tag};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::tally::{LinkReport, Passed, PeerFlows, StepReport};
use self::{gate::Gate, inbox::Inbox, sending::SendHalf};
pub(crate) use self::{
    gate::{Given, Pass, Witnesses},
    inbox::Unread,
};
use super::{Settings, port::Outlet};

pub(crate) use super::hub::charge;

/// How long an operation waits without progress before this node lets senders run ahead.
const STUCK: Duration = Duration::from_millis(100);

/// One member of the job as seen from another.
pub(super) struct PeerLink {
    role: Role,
    id: NodeId,
    keys: OnceLock<LinkKeys>,
    /// What this node may still send, in charged bytes.
    credit: Semaphore,
    send: Mutex<SendHalf>,
    inbox: Mutex<Inbox>,
}

/// One job on one node.
pub(crate) struct JobCore {
    job: JobId,
    me: NodeId,
    role: Role,
    peers: BTreeMap<Role, PeerLink>,
    by_id: BTreeMap<NodeId, Role>,
    outlet: Outlet,
    settings: Arc<Settings>,
    ended: Mutex<Option<ChannelError>>,
    over: CancellationToken,
    /// Operations waiting at this moment.
    waiting: AtomicUsize,
    /// Whether messages may go out.
    gate: Gate,
    watcher: OnceLock<Box<dyn StepWatcher>>,
    /// Steps that this node has begun.
    begun: Mutex<HashSet<String>>,
}

impl JobCore {
    /// A job whose links have no keys yet: credit may arrive, frames may not.
    pub(crate) fn new(
        job: JobId,
        me: NodeId,
        role: Role,
        peers: impl IntoIterator<Item = (Role, NodeId)>,
        outlet: Outlet,
        settings: Arc<Settings>,
    ) -> Self {
        let mut by_role = BTreeMap::new();
        let mut by_id = BTreeMap::new();
        for (peer_role, id) in peers {
            by_id.insert(id.clone(), peer_role);
            let link = PeerLink {
                role: peer_role,
                id,
                keys: OnceLock::new(),
                credit: Semaphore::new(0),
                send: Mutex::default(),
                inbox: Mutex::new(Inbox::new(&settings)),
            };
            by_role.insert(peer_role, link);
        }
        Self {
            job,
            me,
            role,
            peers: by_role,
            by_id,
            outlet,
            settings,
            ended: Mutex::default(),
            over: CancellationToken::new(),
            waiting: AtomicUsize::new(0),
            gate: Gate::default(),
            watcher: OnceLock::new(),
            begun: Mutex::default(),
        }
    }

    /// Sets the links' keys and asks every peer to begin sending.
    pub(crate) fn open(self: &Arc<Self>, keys: Vec<(Role, NodeId, LinkKeys)>) -> JobChannel {
        for (role, _, link_keys) in keys {
            if let Some(link) = self.peers.get(&role)
                && link.keys.set(link_keys).is_ok()
            {
                self.grant(link, self.settings.window);
            }
        }
        JobChannel(Arc::clone(self))
    }

    fn grant(&self, link: &PeerLink, bytes: u64) {
        if bytes > 0 {
            self.outlet.credit(Credit {
                job: self.job.as_str().to_owned(),
                from: self.me.as_str().to_owned(),
                to: link.id.as_str().to_owned(),
                bytes,
            });
        }
    }

    fn link(&self, role: Role) -> Result<&PeerLink, ChannelError> {
        self.peers.get(&role).ok_or_else(|| ChannelError::Gone {
            peer: role,
            reason: "no such member in this job".into(),
        })
    }

    fn link_of(&self, id: &str) -> Option<&PeerLink> {
        let id: NodeId = id.parse().ok()?;
        self.peers.get(self.by_id.get(&id)?)
    }

    /// Takes in a frame; never waits.
    pub(crate) fn arrived(&self, frame: Frame) {
        if self.over.is_cancelled() {
            return;
        }
        let Some(link) = self.link_of(&frame.from) else {
            tracing::debug!("a frame from no member of the job");
            return;
        };
        let taken = if frame.to != self.me.as_str() || link.keys.get().is_none() {
            Err(ChannelError::Tampered {
                from: link.role,
                seq: frame.seq,
            })
        } else {
            link.inbox().put(link.role, frame, &self.settings)
        };
        if let Err(e) = taken {
            self.fail(e);
        }
    }

    /// Takes in credit.
    pub(crate) fn credited(&self, credit: &Credit) {
        let Some(link) = self.link_of(&credit.from) else {
            return;
        };
        let sum = usize::try_from(credit.bytes)
            .ok()
            .and_then(|bytes| link.credit.available_permits().checked_add(bytes))
            .filter(|sum| *sum as u64 <= paripassu_proto::limits::MAX_CREDIT);
        match sum {
            // the conversion above has succeeded, so this adds what was granted
            Some(_) => link
                .credit
                .add_permits(usize::try_from(credit.bytes).unwrap_or(0)),
            None => self.fail(ChannelError::Gone {
                peer: link.role,
                reason: "it gave more credit than any node may".into(),
            }),
        }
    }

    /// Ends the job for all who wait, with the first reason given.
    pub(crate) fn fail(&self, error: ChannelError) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.is_none() {
            tracing::debug!(job = %self.job, code = error.code(), "channel ended");
            *ended = Some(error);
        }
        drop(ended);
        self.over.cancel();
        for link in self.peers.values() {
            link.credit.close();
        }
    }

    /// Who is told of steps; the first call counts.
    pub(crate) fn watch(&self, watcher: Box<dyn StepWatcher>) {
        if self.watcher.set(watcher).is_err() {
            tracing::debug!(job = %self.job, "steps are watched already");
        }
    }

    /// The gate before everything this node sends.
    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What passed in each step so far that `which` names, in the order in which steps began.
    pub(crate) fn steps(&self, which: impl Fn(&str) -> bool) -> Vec<StepReport> {
        let links = self.peers.values();
        tally::steps(links.map(|link| {
            let sent = link.sending().tally.steps(&which);
            let received = link.inbox().tally.steps(&which);
            (link.id.clone(), sent, received)
        }))
    }

    /// What has arrived and nobody has read, when everything should have been: a frame that its sender
    /// did not seal before one that it did.
    pub(crate) fn unread(&self) -> Option<(Unread, NodeId)> {
        let links = self.peers.values();
        let unread = links.filter_map(|link| Some((inbox::unread(link)?, link.id.clone())));
        unread.min_by_key(|(unread, _)| unread.authentic)
    }

    /// Notes that this node works on the step of this tag.
    fn step_of(&self, tag: &Tag) -> Result<(), ChannelError> {
        let Some(watcher) = self.watcher.get() else {
            return Ok(());
        };
        let step = tally::step_of(tag.as_str());
        {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            if begun.contains(step) {
                return Ok(());
            }
            begun.insert(step.to_owned());
        }
        watcher.began(step).map_err(|reason| {
            self.end(&reason);
            self.why()
        })
    }

    /// Ends the job because somebody else ended it.
    pub(crate) fn end(&self, reason: &str) {
        self.fail(ChannelError::Ended {
            reason: reason.to_owned(),
        });
    }

    /// The other member that plays this role.
    pub(crate) fn node_of(&self, role: Role) -> Option<NodeId> {
        let mut others = self.by_id.iter();
        others
            .find(|(_, other)| **other == role)
            .map(|(id, _)| id.clone())
    }

    /// Ends the job because a member is gone.
    pub(crate) fn gone(&self, peer: &NodeId, reason: &str) {
        match self.by_id.get(peer) {
            Some(role) => self.fail(ChannelError::Gone {
                peer: *role,
                reason: reason.to_owned(),
            }),
            None => self.end(reason),
        }
    }

    /// Returns when the job has been over for a while.
    pub(crate) async fn lingered(&self, time: Duration) {
        self.over.cancelled().await;
        tokio::time::sleep(time).await;
    }

    /// Why the job is over.
    pub(crate) fn why(&self) -> ChannelError {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone().unwrap_or(ChannelError::Ended {
            reason: "the job is over".into(),
        })
    }

    fn check_open(&self) -> Result<(), ChannelError> {
        if self.over.is_cancelled() {
            Err(self.why())
        } else {
            Ok(())
        }
    }

    /// Waits for `what`, at most `deadline`, and not beyond the job's end. While it is stuck, senders
    /// are allowed to run ahead, so that nodes stuck in a circle come free.
    async fn wait<T>(
        &self,
        what: impl Future<Output = T> + Send,
        deadline: Duration,
        late: impl FnOnce() -> ChannelError + Send,
    ) -> Result<T, ChannelError> {
        let _waiting = Waiting::new(&self.waiting);
        let by = tokio::time::Instant::now() + deadline;
        tokio::pin!(what);
        loop {
            tokio::select! {
                biased;
                () = self.over.cancelled() => return Err(self.why()),
                done = &mut what => return Ok(done),
                () = tokio::time::sleep_until(by) => return Err(late()),
                () = tokio::time::sleep(STUCK) => self.relieve(),
            }
        }
    }

    /// Lets senders whose window is full of what nobody here awaits run ahead, up to a limit.
    fn relieve(&self) {
        for link in self.peers.values() {
            let extra = link.inbox().run_ahead(&self.settings);
            self.grant(link, extra);
        }
    }
}

impl JobCore {
    /// Waits until the other members have countersigned what this node last asked them to.
    async fn pass(&self, to: Role, deadline: Duration) -> Result<(), ChannelError> {
        if self.gate.is_open() {
            return Ok(());
        }
        let late = || match self.gate.waiting_for() {
            Some(peer) => ChannelError::Gone {
                peer,
                reason: format!("it has not countersigned the transcript within {deadline:?}"),
            },
            None => ChannelError::Ended {
                reason: format!(
                    "nothing was sent to {to}: the coordinator has not countersigned the transcript \
                     within {deadline:?}"
                ),
            },
        };
        let since = Instant::now();
        let opened = self.wait(self.gate.opened(), deadline, late).await;
        self.gate.waited(since.elapsed());
        opened
    }
}

impl PeerLink {
    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sending(&self) -> std::sync::MutexGuard<'_, SendHalf> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts an operation as waiting while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Is told of each step of a job before its first message.
pub(crate) trait StepWatcher: Send + Sync {
    /// This node begins the step; an error ends the job.
    fn began(&self, step: &str) -> Result<(), String>;
}

/// One node's sealed connection to all other members of a job.
///
/// Clones are the same connection. All waiting operations return at once when the job ends.
#[derive(Clone)]
pub struct JobChannel(Arc<JobCore>);

impl fmt::Debug for JobChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobChannel({}, {})", self.0.job, self.0.role)
    }
}

impl JobChannel {
    /// The job.
    pub fn job(&self) -> &JobId {
        &self.0.job
    }

    /// The other members by role.
    pub fn peers(&self) -> impl Iterator<Item = (Role, &NodeId)> {
        self.0.peers.iter().map(|(role, link)| (*role, &link.id))
    }

    /// The root of secrets shared with this peer alone; seeds both expand come from it.
    pub fn shared_with(&self, peer: Role) -> Option<&SharedRoot> {
        Some(&self.0.peers.get(&peer)?.keys.get()?.shared)
    }

    /// Counts and running digests of the frames exchanged with each peer.
    pub fn report(&self) -> Vec<LinkReport> {
        let links = self.0.peers.values();
        links
            .map(|link| LinkReport {
                role: link.role,
                peer: link.id.clone(),
                sent: link.sending().tally.total(),
                received: link.inbox().tally.total(),
            })
            .collect()
    }

    /// What passed in each step so far, in the order in which steps began.
    pub fn steps(&self) -> Vec<StepReport> {
        self.0.steps(|_| true)
    }

    /// Ciphertext bytes sent and received, over all peers.
    pub fn metered(&self) -> (u64, u64) {
        self.0
            .peers
            .values()
            .fold((0, 0), |(sent, received), link| {
                (
                    sent + link.sending().tally.bytes(),
                    received + link.inbox().bytes,
                )
            })
    }

    /// Operations waiting for a peer at this moment.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// The job on this node.
    pub(crate) fn core(&self) -> &JobCore {
        &self.0
    }

    /// Ends the job on this node: all that wait return with this reason.
    pub fn end(&self, reason: &str) {
        self.0.end(reason);
    }
}

impl Channel for JobChannel {
    fn role(&self) -> Role {
        self.0.role
    }

    async fn send(
        &self,
        to: Role,
        tag: Tag,
        body: Bytes,
        deadline: Duration,
    ) -> Result<(), ChannelError> {
        self.0.step_of(&tag)?;
        self.0.pass(to, deadline).await?;
        sending::send(&self.0, to, tag, body, deadline).await
    }

    async fn recv(&self, from: Role, tag: Tag, deadline: Duration) -> Result<Bytes, ChannelError> {
        self.0.step_of(&tag)?;
        inbox::recv(&self.0, from, tag, deadline).await
    }
}
