//! One node's session at the hub, over however many connections it takes.

use std::sync::{Arc, Mutex, PoisonError};

use paripassu_proto::{
    PROTOCOL_VERSION, Peer,
    control::v1::{
        AttachRequest, AttachResponse, Hello, Packet, Welcome, node_service_server::NodeService,
        packet::Body,
    },
};
use rand::{TryRng, rngs::SysRng};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{ATTACHABLE, HubEvent, HubInner};
use crate::{
    tls::Negotiated,
    transport::{
        Settings,
        link::{Link, LinkError},
        pump::{PacketStream, PumpEnd, pump},
        server,
        uplink::REPLACED,
    },
};

/// Messages that may wait for a node beyond the frames that credit bounds.
const BACKLOG: usize = 512 * 1024 * 1024;

/// A connection of a session.
struct Connection {
    stop: CancellationToken,
    /// Sent to the node as the reason when the hub ends the connection.
    outgoing: mpsc::Sender<Result<AttachResponse, Status>>,
}

/// One node's session.
pub(super) struct Session {
    pub(super) peer: Peer,
    id: [u8; 16],
    /// The certificates it attached with, to be judged again; none for this process itself.
    chain: Mutex<Vec<bytes::Bytes>>,
    /// What its last connection negotiated.
    negotiated: Mutex<Option<Negotiated>>,
    pub(super) link: Link,
    connection: Mutex<Option<Connection>>,
    local: bool,
}

impl Session {
    fn new(
        peer: Peer,
        chain: Vec<bytes::Bytes>,
        negotiated: Option<Negotiated>,
        settings: &Settings,
    ) -> Result<Self, Status> {
        let mut id = [0u8; 16];
        SysRng
            .try_fill_bytes(&mut id)
            .map_err(|_| Status::internal("the operating system gave no randomness"))?;
        let link = Link::new(settings.in_flight, usize::MAX);
        Ok(Self {
            peer,
            id,
            chain: Mutex::new(chain),
            negotiated: Mutex::new(negotiated),
            link,
            connection: Mutex::default(),
            local: false,
        })
    }

    pub(super) fn local(peer: Peer, settings: &Settings) -> Self {
        let link = Link::new(settings.in_flight, usize::MAX);
        Self {
            peer,
            id: [0; 16],
            chain: Mutex::default(),
            negotiated: Mutex::default(),
            link,
            connection: Mutex::default(),
            local: true,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.local
            || self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
    }

    /// What its last connection negotiated.
    pub(super) fn negotiated(&self) -> Option<Negotiated> {
        let negotiated = self.negotiated.lock();
        negotiated.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn backlogged(&self) -> bool {
        self.link.queued() > BACKLOG
    }

    /// Why its certificate no longer counts, if so.
    fn refused(&self, trust: &crate::identity::Trust) -> Option<String> {
        if self.local {
            return None;
        }
        let chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        let chain: Vec<_> = chain
            .iter()
            .map(|c| CertificateDer::from(c.as_ref()))
            .collect();
        trust.verify(&chain).err().map(|e| e.to_string())
    }

    /// Makes `next` the session's connection and ends the one before.
    fn replace(&self, next: Option<Connection>, why: &Status) {
        let old = {
            let mut slot = self
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, next)
        };
        if let Some(old) = old {
            // best effort: the old connection may be dead
            let told = old.outgoing.try_send(Err(why.clone()));
            tracing::debug!(peer = %self.peer, told = told.is_ok(), "connection replaced");
            old.stop.cancel();
        }
    }

    /// Forgets the connection if it is still this one.
    fn leave(&self, stop: &CancellationToken) -> bool {
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // a stopped connection has been replaced, and its successor must stay
        if stop.is_cancelled() || slot.is_none() {
            return false;
        }
        *slot = None;
        true
    }
}

/// The service nodes attach to.
pub(super) struct Attach(pub(super) Arc<HubInner>);

type Responses =
    std::pin::Pin<Box<dyn Stream<Item = Result<AttachResponse, Status>> + Send + 'static>>;

#[tonic::async_trait]
impl NodeService for Attach {
    type AttachStream = Responses;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let hub = Arc::clone(&self.0);
        let peer = server::caller_of_kind(&request, &hub.trust, &ATTACHABLE)?;
        let chain = server::caller_chain(&request);
        let negotiated = server::caller_negotiated(&request);
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(hub.settings.handshake, incoming.packet())
            .await
            .map_err(|_| Status::deadline_exceeded("no greeting"))??;
        let Some(Packet {
            body: Some(Body::Hello(hello)),
            ..
        }) = first
        else {
            return Err(Status::invalid_argument(
                "the first message must be a greeting",
            ));
        };
        if hello.version != PROTOCOL_VERSION {
            return Err(Status::failed_precondition(format!(
                "this coordinator speaks version {PROTOCOL_VERSION} of the node protocol, the node \
                 speaks {}: run the same release on both",
                hello.version
            )));
        }
        let (tx, rx) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let connection = Connection {
            stop: stop.clone(),
            outgoing: tx.clone(),
        };
        let (session, epoch, welcome) = hub.join(&peer, &hello, connection, (chain, negotiated))?;
        let resumed = welcome.resumed;
        let packet = Packet {
            seq: 0,
            ack: 0,
            body: Some(Body::Welcome(welcome)),
        };
        if tx
            .send(Ok(AttachResponse {
                packet: Some(packet),
            }))
            .await
            .is_err()
        {
            return Err(Status::aborted("the stream closed before it began"));
        }
        tracing::info!(%peer, resumed, "node attached");
        tokio::spawn(hub.attend(session, epoch, incoming, tx, stop));
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }
}

impl HubInner {
    /// Finds the session a node asks for, or begins a new one.
    fn join(
        &self,
        peer: &Peer,
        hello: &Hello,
        connection: Connection,
        (chain, negotiated): (Vec<bytes::Bytes>, Option<Negotiated>),
    ) -> Result<(Arc<Session>, u64, Welcome), Status> {
        let busy = |_| Status::unavailable("the coordinator does not keep up; try again");
        let known = self.sessions().get(peer).cloned();
        if let Some(session) = known {
            if session.id == hello.session.as_ref() {
                *session.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
                *session
                    .negotiated
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = negotiated;
                session.replace(Some(connection), &Status::unavailable("reconnected"));
                match session.link.begin(hello.received) {
                    Ok(epoch) => {
                        let welcome = Welcome {
                            version: PROTOCOL_VERSION,
                            session: hello.session.clone(),
                            resumed: true,
                            received: session.link.received(),
                        };
                        let event = HubEvent::Attached {
                            peer: peer.clone(),
                            resumed: true,
                        };
                        self.event(event).map_err(busy)?;
                        return Ok((session, epoch, welcome));
                    }
                    Err(e) => {
                        self.drop_session(&session, &e.to_string());
                        return Err(Status::unavailable(e.to_string()));
                    }
                }
            }
            session.replace(None, &Status::already_exists(REPLACED));
            self.drop_session(&session, "the node was restarted");
        }
        let session = Arc::new(Session::new(
            peer.clone(),
            chain,
            negotiated,
            &self.settings,
        )?);
        session.replace(Some(connection), &Status::unavailable("reconnected"));
        let epoch = session
            .link
            .begin(0)
            .map_err(|e: LinkError| Status::internal(e.to_string()))?;
        self.sessions().insert(peer.clone(), Arc::clone(&session));
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            session: session.id.to_vec().into(),
            resumed: false,
            received: 0,
        };
        self.event(HubEvent::Attached {
            peer: peer.clone(),
            resumed: false,
        })
        .map_err(busy)?;
        Ok((session, epoch, welcome))
    }

    /// Serves one connection to its end, then waits whether the node comes back.
    async fn attend(
        self: Arc<Self>,
        session: Arc<Session>,
        epoch: u64,
        incoming: Streaming<AttachRequest>,
        responses: mpsc::Sender<Result<AttachResponse, Status>>,
        stop: CancellationToken,
    ) {
        let deliver = |body| self.took(&session.peer, body);
        let outgoing = responses.clone();
        let end = tokio::select! {
            end = pump(&session.link, epoch, incoming, outgoing, deliver, &stop) => end,
            () = self.shutdown.asked() => PumpEnd::Stopped,
        };
        if !session.leave(&stop) {
            return;
        }
        if let PumpEnd::Link(e) = &end {
            // tell the node why, so that its log explains what this end decided
            let told = responses.try_send(Err(Status::unavailable(e.to_string())));
            tracing::debug!(told = told.is_ok(), "connection refused");
        }
        drop(responses);
        let (peer, reason) = (session.peer.clone(), end.to_string());
        tracing::warn!(%peer, %reason, "node lost");
        self.report(HubEvent::Detached {
            peer,
            reason: reason.clone(),
        })
        .await;
        tokio::select! {
            () = tokio::time::sleep(self.settings.grace) => {}
            () = self.shutdown.asked() => return,
        }
        // another connection means another epoch
        if session.is_connected() || session.link.epoch() != epoch {
            return;
        }
        let away = format!(
            "its connection was lost ({reason}) and not restored in {:?}",
            self.settings.grace
        );
        self.drop_session(&session, &away);
    }

    /// Ends a session for good, if it is still the node's.
    pub(super) fn drop_session(&self, session: &Arc<Session>, reason: &str) {
        {
            let mut sessions = self.sessions();
            match sessions.get(&session.peer) {
                Some(present) if Arc::ptr_eq(present, session) => {
                    sessions.remove(&session.peer);
                }
                _ => return,
            }
        }
        session.link.close(reason);
        session.replace(None, &Status::unavailable(reason));
        let event = HubEvent::Lost {
            peer: session.peer.clone(),
            reason: reason.to_owned(),
        };
        if self.event(event).is_err() {
            tracing::error!(peer = %session.peer, "the coordinator does not keep up with events");
        }
    }

    /// Ends the sessions of nodes whose certificates no longer count.
    pub(super) fn recheck(&self) {
        let sessions: Vec<_> = self.sessions().values().cloned().collect();
        for session in sessions {
            if let Some(reason) = session.refused(&self.trust) {
                tracing::warn!(peer = %session.peer, %reason, "session ended");
                session.replace(None, &Status::unauthenticated(reason.clone()));
                self.drop_session(&session, &reason);
            }
        }
    }

    async fn report(&self, event: HubEvent) {
        if self.events.send(event).await.is_err() {
            tracing::debug!("the coordinator's loop is gone");
        }
    }
}
