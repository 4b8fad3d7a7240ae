//! The node's side of its stream: dials out, and dials again, until asked to stop.

use std::{sync::Arc, time::Duration};

use paripassu_proto::{
    NodeId, PROTOCOL_VERSION,
    control::v1::{
        AttachRequest, AttachResponse, Hello, Packet, Welcome,
        node_service_client::NodeServiceClient, packet::Body,
    },
    limits,
};
use rand::{TryRng, rngs::SysRng};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming};

use super::{
    NodePort, PortEvent, Settings,
    dial::{Noted, dial_noting, plain},
    link::{Link, LinkError},
    port::PortFeed,
    pump::{PacketStream, PumpEnd, pump},
};
use crate::{identity::Identity, shutdown::Shutdown};

/// Where and as whom a node dials.
#[derive(Debug, Clone)]
pub struct UplinkConfig {
    /// `host:port` of the coordinator.
    pub address: String,
    /// The coordinator's id, if only this one will do.
    pub coordinator: Option<NodeId>,
    /// Sizes and times.
    pub settings: Settings,
}

/// The node's side of its stream.
#[derive(Debug)]
pub struct Uplink;

/// Reason given to a connection that another process of the same node replaced.
pub(crate) const REPLACED: &str = "another process has attached with this node's certificate";

impl Uplink {
    /// Starts dialling in the background, for ever until `shutdown`; what happens comes out of the port.
    pub fn start(identity: Arc<Identity>, config: UplinkConfig, shutdown: Shutdown) -> NodePort {
        let settings = Arc::new(config.settings.clone().within_limits());
        let link = Arc::new(Link::new(settings.in_flight, settings.outbox));
        let (mut port, feed) = NodePort::new(
            identity.peer().clone(),
            Arc::clone(&settings),
            Arc::clone(&link),
        );
        let secured = port.secured_by_uplink();
        let dialler = Dialler {
            identity,
            config,
            settings,
            link,
            feed,
            secured,
            session: Vec::new(),
        };
        tokio::spawn(dialler.run(shutdown));
        port
    }
}

struct Dialler {
    identity: Arc<Identity>,
    config: UplinkConfig,
    settings: Arc<Settings>,
    link: Arc<Link>,
    feed: PortFeed,
    secured: Noted,
    session: Vec<u8>,
}

/// How one connection went.
enum Went {
    /// It stood and was lost, or never stood.
    Lost { stood: bool, reason: String },
    /// Dialling again makes no sense.
    Over(String),
}

impl Dialler {
    async fn run(mut self, shutdown: Shutdown) {
        let mut pause = self.settings.backoff_first;
        loop {
            let went = tokio::select! {
                went = self.connection() => went,
                () = shutdown.asked() => Went::Over("the node is shutting down".into()),
            };
            match went {
                Went::Over(reason) => {
                    self.link.close(&reason);
                    self.feed.router.end_all(&reason);
                    self.feed.report(PortEvent::Closed { reason }).await;
                    return;
                }
                Went::Lost { stood, reason } => {
                    if stood {
                        pause = self.settings.backoff_first;
                    }
                    tracing::warn!(%reason, retry_in = ?pause, "not connected to the coordinator");
                    self.feed.report(PortEvent::Disconnected { reason }).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = shutdown.asked() => {}
            }
            pause = (pause * 2).min(self.settings.backoff_max);
        }
    }

    async fn connection(&mut self) -> Went {
        let lost = |reason| Went::Lost {
            stood: false,
            reason,
        };
        let mut renewals = self.identity.renewals();
        let (address, coordinator) = (&self.config.address, self.config.coordinator.clone());
        let noted = Arc::clone(&self.secured);
        let dialled =
            dial_noting(&self.identity, address, coordinator, &self.settings, noted).await;
        let channel = match dialled {
            Ok(channel) => channel,
            Err(e) => return lost(e.to_string()),
        };
        let mut client = NodeServiceClient::new(channel)
            .max_decoding_message_size(limits::MAX_PACKET)
            .max_encoding_message_size(limits::MAX_PACKET);
        let (tx, rx) = mpsc::channel(8);
        let hello = Hello {
            version: PROTOCOL_VERSION,
            session: self.session.clone().into(),
            received: self.link.received(),
        };
        let first = Packet {
            seq: 0,
            ack: 0,
            body: Some(Body::Hello(hello)),
        };
        if tx.send(first).await.is_err() {
            return lost("the stream closed before it began".into());
        }
        let requests = ReceiverStream::new(rx).map(|packet| AttachRequest {
            packet: Some(packet),
        });
        let attached = tokio::time::timeout(self.settings.handshake, async {
            let mut incoming = client.attach(requests).await?.into_inner();
            let first = incoming.message().await?;
            Ok::<_, Status>((incoming, first))
        });
        let (incoming, welcome) = match attached.await {
            Err(_) => return lost("the coordinator did not answer in time".into()),
            Ok(Err(status)) => return self.refused(&status),
            Ok(Ok((incoming, first))) => match first.and_then(|r| r.packet).and_then(|p| p.body) {
                Some(Body::Welcome(welcome)) => (incoming, welcome),
                _ => return lost("the coordinator did not greet".into()),
            },
        };
        let epoch = match self.begin(welcome).await {
            Ok(epoch) => epoch,
            Err(e) => return lost(e.to_string()),
        };
        let feed = self.feed.clone();
        let stop = CancellationToken::new();
        let deliver = |body| feed.deliver(body);
        let end = tokio::select! {
            end = pump(&self.link, epoch, incoming, tx, deliver, &stop) => end,
            // the session goes on over a connection that shows the new certificate
            renewed = renewals.changed(), if renewals.has_changed().is_ok() => {
                tracing::debug!(renewed = renewed.is_ok(), "connecting anew");
                return Went::Lost {
                    stood: true,
                    reason: "the certificate was renewed".into(),
                };
            }
        };
        match end {
            PumpEnd::Status(status) => match self.refused(&status) {
                Went::Lost { reason, .. } => Went::Lost {
                    stood: true,
                    reason,
                },
                over @ Went::Over(_) => over,
            },
            other => Went::Lost {
                stood: true,
                reason: other.to_string(),
            },
        }
    }

    fn refused(&self, status: &Status) -> Went {
        match status.code() {
            Code::AlreadyExists => Went::Over(REPLACED.into()),
            Code::FailedPrecondition => Went::Over(status.message().to_owned()),
            Code::PermissionDenied | Code::Unauthenticated => Went::Lost {
                stood: false,
                reason: format!("the coordinator refuses us: {}", status.message()),
            },
            _ => Went::Lost {
                stood: false,
                reason: plain(status),
            },
        }
    }

    /// Goes on with the session, or begins anew when the coordinator does not know it.
    async fn begin(&mut self, welcome: Welcome) -> Result<u64, LinkError> {
        let resumed = welcome.resumed && !self.session.is_empty();
        if !resumed {
            if !self.session.is_empty() {
                let reason = "the coordinator no longer knows this node's session: it was \
                              restarted, or the connection was lost for too long";
                self.feed.router.end_all(reason);
                self.link.reset();
                self.feed
                    .report(PortEvent::SessionLost {
                        reason: reason.into(),
                    })
                    .await;
            }
            self.session = welcome.session.to_vec();
        }
        let epoch = self.link.begin(welcome.received)?;
        self.feed.report(PortEvent::Connected { resumed }).await;
        Ok(epoch)
    }
}

/// Between half the pause and the whole of it, so that many nodes do not dial at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0u8; 1];
    if SysRng.try_fill_bytes(&mut byte).is_err() {
        return pause;
    }
    let [byte] = byte;
    pause / 2 + (pause / 2).mul_f64(f64::from(byte) / 255.0)
}

impl PacketStream for Streaming<AttachResponse> {
    async fn packet(&mut self) -> Result<Option<Packet>, Status> {
        match self.message().await? {
            None => Ok(None),
            Some(AttachResponse {
                packet: Some(packet),
            }) => Ok(Some(packet)),
            Some(_) => Err(Status::invalid_argument("a message without a packet")),
        }
    }
}

impl PacketStream for Streaming<AttachRequest> {
    async fn packet(&mut self) -> Result<Option<Packet>, Status> {
        match self.message().await? {
            None => Ok(None),
            Some(AttachRequest {
                packet: Some(packet),
            }) => Ok(Some(packet)),
            Some(_) => Err(Status::invalid_argument("a message without a packet")),
        }
    }
}
