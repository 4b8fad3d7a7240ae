//! A node's end of its stream, the same whether the coordinator is elsewhere or in this process.

use std::sync::{Arc, PoisonError};

use paripassu_proto::{
    JobId, Peer,
    control::v1::{HubControl, NodeControl, node_control, packet::Body},
    exchange::v1::{Credit, Frame},
};
use tokio::sync::mpsc;

use crate::tls::Negotiated;

use super::{
    Settings,
    dial::Noted,
    hub::HubInner,
    link::{Link, LinkError},
    router::Router,
};

/// What happens on a node's stream.
#[derive(Debug)]
pub enum PortEvent {
    /// The stream stands; `resumed` when an earlier session goes on.
    Connected {
        /// Whether the session is an earlier one.
        resumed: bool,
    },
    /// The connection is lost; dialling goes on.
    Disconnected {
        /// Why, in plain words.
        reason: String,
    },
    /// The coordinator no longer knows the session: all jobs in progress have ended.
    SessionLost {
        /// Why.
        reason: String,
    },
    /// The stream is over for good.
    Closed {
        /// Why.
        reason: String,
    },
    /// A control message.
    Control(Box<HubControl>),
}

/// The way out of a node: into its session.
#[derive(Clone)]
pub(crate) struct Outlet(pub(crate) Arc<Link>);

impl Outlet {
    pub(crate) async fn room(&self) -> Result<(), LinkError> {
        self.0.room().await
    }
    pub(crate) fn frame(&self, frame: Frame) {
        self.0.push_now(Body::Frame(frame));
    }
    pub(crate) fn credit(&self, credit: Credit) {
        self.0.push_now(Body::Credit(credit));
    }
    pub(crate) fn control(&self, body: node_control::Body) {
        self.0
            .push_now(Body::Node(NodeControl { body: Some(body) }));
    }
    pub(crate) fn forget(&self, job: &JobId) {
        self.0.discard(|body| match body {
            Body::Frame(f) => f.job == job.as_str(),
            Body::Credit(c) => c.job == job.as_str(),
            _ => false,
        });
    }
}

#[cfg(test)]
impl super::JobCore {
    /// A job whose frames go nowhere.
    pub(crate) fn unconnected(
        job: JobId,
        me: paripassu_proto::NodeId,
        role: paripassu_protocol::channel::Role,
        peers: impl IntoIterator<Item = (paripassu_protocol::channel::Role, paripassu_proto::NodeId)>,
    ) -> Self {
        let outlet = Outlet(Arc::new(Link::new(1 << 10, 1 << 10)));
        Self::new(job, me, role, peers, outlet, Arc::new(Settings::default()))
    }
}

/// A node's end of its stream.
pub struct NodePort {
    pub(crate) me: Peer,
    pub(crate) settings: Arc<Settings>,
    pub(crate) outlet: Outlet,
    pub(crate) router: Arc<Router>,
    pub(crate) events: mpsc::Receiver<PortEvent>,
    pub(crate) secured: Secured,
}

/// Who knows what the connections of a node negotiated.
pub(crate) enum Secured {
    /// The node dials: it has one connection.
    Uplink(Noted),
    /// The node is the coordinator's own: each other node has a connection to it.
    Hub(Arc<HubInner>),
}

impl std::fmt::Debug for NodePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NodePort({})", self.me)
    }
}

/// How many events may wait for the node's loop.
pub(crate) const EVENTS: usize = 1024;

impl NodePort {
    /// A port, and where its stream puts events.
    pub(crate) fn new(me: Peer, settings: Arc<Settings>, link: Arc<Link>) -> (Self, PortFeed) {
        let (tx, events) = mpsc::channel(EVENTS);
        let router = Arc::new(Router::default());
        let feed = PortFeed {
            events: tx,
            router: Arc::clone(&router),
        };
        (
            Self {
                me,
                settings,
                outlet: Outlet(link),
                router,
                events,
                secured: Secured::Uplink(Noted::default()),
            },
            feed,
        )
    }

    /// Whose end this is.
    pub fn peer(&self) -> &Peer {
        &self.me
    }

    /// The next thing that happens; none when the stream is over.
    pub async fn event(&mut self) -> Option<PortEvent> {
        self.events.recv().await
    }

    /// Where the dialler notes what its connections negotiate.
    pub(super) fn secured_by_uplink(&mut self) -> Noted {
        let noted = Noted::default();
        self.secured = Secured::Uplink(Arc::clone(&noted));
        noted
    }

    /// What the connection negotiated that frames to and from `peer` take from here: this node's own, or,
    /// at the coordinator, the one it accepted from `peer`. None while there is none.
    pub fn negotiated(&self, peer: &Peer) -> Option<Negotiated> {
        match &self.secured {
            Secured::Uplink(noted) => {
                let noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.as_ref().map(|(negotiated, _)| negotiated.clone())
            }
            Secured::Hub(hub) => hub.negotiated(peer),
        }
    }

    /// Who the coordinator is, by the certificate of the last connection.
    pub fn coordinator(&self) -> Option<Peer> {
        match &self.secured {
            Secured::Uplink(noted) => {
                let noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.as_ref().map(|(_, coordinator)| coordinator.clone())
            }
            Secured::Hub(_) => Some(self.me.clone()),
        }
    }

    /// Tells the coordinator.
    pub fn tell(&self, body: node_control::Body) {
        self.outlet.control(body);
    }
}

/// Where a stream delivers what arrives for its node.
#[derive(Clone)]
pub(crate) struct PortFeed {
    events: mpsc::Sender<PortEvent>,
    pub(crate) router: Arc<Router>,
}

impl PortFeed {
    /// Delivers without waiting, so that a slow node never holds up its own acknowledgements.
    pub(crate) fn deliver(&self, body: Body) -> Result<(), LinkError> {
        match body {
            Body::Frame(frame) => self.router.frame(frame),
            Body::Credit(credit) => self.router.credit(&credit),
            Body::Hub(control) => {
                let event = PortEvent::Control(Box::new(control));
                self.events
                    .try_send(event)
                    .map_err(|_| LinkError::Overloaded("the node does not keep up"))?;
            }
            _ => return Err(LinkError::Protocol("a message of the wrong direction")),
        }
        Ok(())
    }

    /// Reports a change of the stream; waits when the node is busy.
    pub(crate) async fn report(&self, event: PortEvent) {
        if self.events.send(event).await.is_err() {
            tracing::debug!("the node's loop is gone");
        }
    }
}
