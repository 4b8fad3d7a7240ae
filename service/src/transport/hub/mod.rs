//! The coordinator's side of all nodes' streams: sessions, and a relay between members of a job.
//!
//! The hub reads headers only. A frame goes from a member of a running job to another, under the
//! sender's certified name, and only with credit that the receiver has granted.

mod relay;
mod session;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use paripassu_proto::{
    JobId, NodeId, NodeKind, Peer,
    control::v1::{
        HubControl, NodeControl, hub_control, node_service_server::NodeServiceServer, packet::Body,
    },
    exchange::v1::Frame,
    limits,
};
use tokio::sync::mpsc;

pub(crate) use self::relay::charge;
use self::{relay::HubJob, session::Session};
use super::{
    NodePort, Settings,
    link::{Link, LinkError},
    port::{PortEvent, Secured},
};
use crate::{identity::Trust, shutdown::Shutdown, tls::Negotiated};

/// Sees every relayed frame, and may do to it what a hostile relay might: for tests and threat checks.
pub trait Tap: Send + Sync {
    /// What is relayed instead of `frame`.
    fn relay(&self, frame: Frame) -> Vec<Frame>;
}

/// What happens at the hub.
#[derive(Debug)]
pub enum HubEvent {
    /// A node's stream stands.
    Attached {
        /// Which node.
        peer: Peer,
        /// Whether an earlier session goes on.
        resumed: bool,
    },
    /// A node's connection is lost; it may come back within the grace period.
    Detached {
        /// Which node.
        peer: Peer,
        /// Why.
        reason: String,
    },
    /// A node's session is over: it stayed away too long or was restarted.
    Lost {
        /// Which node.
        peer: Peer,
        /// Why.
        reason: String,
    },
    /// A node breaks the rules of a job.
    Violation {
        /// Which job.
        job: JobId,
        /// Which node.
        culprit: NodeId,
        /// How.
        reason: String,
    },
    /// A node tells the coordinator something.
    Control {
        /// Which node.
        peer: Peer,
        /// What.
        message: Box<NodeControl>,
    },
}

/// Events that may wait for the coordinator.
const EVENTS: usize = 4096;

pub(crate) struct HubInner {
    me: Peer,
    trust: Trust,
    settings: Arc<Settings>,
    tap: Option<Arc<dyn Tap>>,
    sessions: Mutex<HashMap<Peer, Arc<Session>>>,
    jobs: Mutex<HashMap<String, Arc<HubJob>>>,
    events: mpsc::Sender<HubEvent>,
    shutdown: Shutdown,
}

/// The coordinator's side of all nodes' streams.
#[derive(Clone)]
pub struct Hub(Arc<HubInner>);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hub({})", self.0.me)
    }
}

impl Hub {
    /// A hub, and what happens at it. `tap` is none but in tests.
    pub fn new(
        me: Peer,
        trust: Trust,
        settings: Settings,
        tap: Option<Arc<dyn Tap>>,
        shutdown: Shutdown,
    ) -> (Self, mpsc::Receiver<HubEvent>) {
        let (events, rx) = mpsc::channel(EVENTS);
        let inner = HubInner {
            me,
            trust,
            settings: Arc::new(settings.within_limits()),
            tap,
            sessions: Mutex::default(),
            jobs: Mutex::default(),
            events,
            shutdown,
        };
        (Self(Arc::new(inner)), rx)
    }

    /// The gRPC service nodes attach to.
    pub fn service(
        &self,
    ) -> NodeServiceServer<impl paripassu_proto::control::v1::node_service_server::NodeService>
    {
        NodeServiceServer::new(session::Attach(Arc::clone(&self.0)))
            .max_decoding_message_size(limits::MAX_PACKET)
            .max_encoding_message_size(limits::MAX_PACKET)
    }

    /// Attaches this process itself as a node, under the coordinator's own identity: it may be the
    /// helper.
    pub fn attach_local(&self) -> NodePort {
        let settings = Arc::clone(&self.0.settings);
        let up = Arc::new(Link::new(settings.in_flight, settings.outbox));
        let (mut port, feed) = NodePort::new(self.0.me.clone(), settings, Arc::clone(&up));
        port.secured = Secured::Hub(Arc::clone(&self.0));
        let session = Arc::new(Session::local(self.0.me.clone(), &self.0.settings));
        self.0
            .sessions()
            .insert(self.0.me.clone(), Arc::clone(&session));
        let hub = Arc::clone(&self.0);
        tokio::spawn(async move {
            feed.report(PortEvent::Connected { resumed: false }).await;
            let me = hub.me.clone();
            let rise = carry(&up, |body| hub.took(&me, body));
            let fall = carry(&session.link, |body| feed.deliver(body));
            let reason = tokio::select! {
                end = rise => end.to_string(),
                end = fall => end.to_string(),
                () = hub.shutdown.asked() => "the coordinator is shutting down".to_owned(),
            };
            up.close(&reason);
            feed.router.end_all(&reason);
            feed.report(PortEvent::Closed { reason }).await;
        });
        port
    }

    /// Lets these nodes exchange frames in this job.
    pub fn open_job(&self, job: &JobId, members: impl IntoIterator<Item = Peer>) {
        self.0
            .jobs()
            .insert(job.as_str().to_owned(), Arc::new(HubJob::new(members)));
    }

    /// Ends a job's relay; frames still queued for it are dropped.
    pub fn close_job(&self, job: &JobId) {
        self.0.close_job(job.as_str());
    }

    /// Tells a node something; false when it has no session (it will be told anew when it attaches).
    pub fn tell(&self, peer: &Peer, body: hub_control::Body) -> bool {
        let Some(session) = self.0.sessions().get(peer).cloned() else {
            return false;
        };
        if session.backlogged() {
            self.0
                .drop_session(&session, "it does not keep up with what it is told");
            return false;
        }
        session
            .link
            .push_now(Body::Hub(HubControl { body: Some(body) }));
        true
    }

    /// Whether the node's stream stands at this moment.
    pub fn is_connected(&self, peer: &Peer) -> bool {
        self.0
            .sessions()
            .get(peer)
            .is_some_and(|s| s.is_connected())
    }

    /// Whether the node has a session: connected, or lost for less than the grace period.
    pub fn has_session(&self, peer: &Peer) -> bool {
        self.0.sessions().contains_key(peer)
    }

    /// Judges the certificates of all attached nodes again, and ends the sessions of those that have
    /// expired or been revoked since they attached.
    pub fn recheck(&self) {
        self.0.recheck();
    }

    /// Bytes queued for a node, for checks of back-pressure.
    pub fn queued_for(&self, peer: &Peer) -> usize {
        self.0.sessions().get(peer).map_or(0, |s| s.link.queued())
    }
}

/// Carries messages of a session within the process.
async fn carry(link: &Link, deliver: impl Fn(Body) -> Result<(), LinkError>) -> LinkError {
    let epoch = match link.begin(0) {
        Ok(epoch) => epoch,
        Err(e) => return e,
    };
    loop {
        let (seq, body) = match link.next(epoch).await {
            Ok(next) => next,
            Err(e) => return e,
        };
        loop {
            match deliver(body.clone()) {
                Ok(()) => break,
                // nobody to reconnect: wait until the receiver has caught up
                Err(LinkError::Overloaded(_)) => {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Err(e) => return e,
            }
        }
        if let Err(e) = link.acked(seq) {
            return e;
        }
    }
}

impl HubInner {
    fn sessions(&self) -> MutexGuard<'_, HashMap<Peer, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the node's last connection negotiated.
    pub(super) fn negotiated(&self, peer: &Peer) -> Option<Negotiated> {
        self.sessions().get(peer)?.negotiated()
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<String, Arc<HubJob>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_job(&self, job: &str) {
        if self.jobs().remove(job).is_none() {
            return;
        }
        let sessions: Vec<_> = self.sessions().values().cloned().collect();
        for session in sessions {
            session.link.discard(|body| match body {
                Body::Frame(f) => f.job == job,
                Body::Credit(c) => c.job == job,
                _ => false,
            });
        }
    }

    /// Reports an event without waiting.
    fn event(&self, event: HubEvent) -> Result<(), LinkError> {
        self.events
            .try_send(event)
            .map_err(|_| LinkError::Overloaded("the coordinator does not keep up"))
    }

    /// Takes in a message of a node.
    fn took(&self, peer: &Peer, body: Body) -> Result<(), LinkError> {
        match body {
            Body::Frame(frame) => self.relay_frame(peer, frame),
            Body::Credit(credit) => self.relay_credit(peer, credit),
            Body::Node(message) => {
                let event = HubEvent::Control {
                    peer: peer.clone(),
                    message: Box::new(message),
                };
                self.event(event)
            }
            _ => Err(LinkError::Protocol("a message of the wrong direction")),
        }
    }
}

/// Kinds of certificate that may attach over the network.
const ATTACHABLE: [NodeKind; 2] = [NodeKind::Party, NodeKind::Helper];
