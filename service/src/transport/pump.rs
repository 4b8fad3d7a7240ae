//! Moves packets between a session and one of its connections, both ways, until either ends.

use std::{future::Future, time::Duration};

use paripassu_proto::control::v1::{AttachResponse, Packet, packet::Body};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::link::{Link, LinkError, cost};

/// Acknowledge at the latest after this long.
const ACK_AFTER: Duration = Duration::from_millis(40);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PumpEnd {
    /// The other side closed the stream.
    #[error("the other side closed the stream")]
    Closed,
    /// The stream broke.
    #[error("{}", .0.message())]
    Status(Box<tonic::Status>),
    /// The session refuses to go on with this connection.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Asked to stop.
    #[error("stopped")]
    Stopped,
}

/// What a stream of packets arrives as, on either side.
pub(crate) trait PacketStream: Send {
    /// The next packet; none when the other side has closed.
    fn packet(&mut self) -> impl Future<Output = Result<Option<Packet>, tonic::Status>> + Send;
}

/// Where packets leave, on either side.
pub(crate) trait PacketSink: Send + Sync {
    /// Sends a packet as soon as there is room; false when the stream is closed.
    fn send_packet(&self, packet: Packet) -> impl Future<Output = bool> + Send;
}

impl PacketSink for mpsc::Sender<Packet> {
    async fn send_packet(&self, packet: Packet) -> bool {
        self.send(packet).await.is_ok()
    }
}

impl PacketSink for mpsc::Sender<Result<AttachResponse, tonic::Status>> {
    async fn send_packet(&self, packet: Packet) -> bool {
        let packet = Some(packet);
        self.send(Ok(AttachResponse { packet })).await.is_ok()
    }
}

/// Pumps until the connection ends; says why.
pub(crate) async fn pump<S: PacketStream>(
    link: &Link,
    epoch: u64,
    mut incoming: S,
    outgoing: impl PacketSink,
    deliver: impl Fn(Body) -> Result<(), LinkError> + Send,
    stop: &CancellationToken,
) -> PumpEnd {
    let read = async {
        loop {
            match incoming.packet().await {
                Ok(Some(packet)) => {
                    if let Err(e) = take_in(link, epoch, packet, &deliver) {
                        return PumpEnd::Link(e);
                    }
                }
                Ok(None) => return PumpEnd::Closed,
                Err(status) => return PumpEnd::Status(Box::new(status)),
            }
        }
    };
    let write = async {
        let mut tick = tokio::time::interval(ACK_AFTER);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let packet = tokio::select! {
                next = link.next(epoch) => match next {
                    Ok((seq, body)) => Packet { seq, ack: link.ack(), body: Some(body) },
                    Err(e) => return PumpEnd::Link(e),
                },
                () = link.ack_due.notified() => Packet { seq: 0, ack: link.ack(), body: None },
                _ = tick.tick() => match link.ack_if_new() {
                    Some(ack) => Packet { seq: 0, ack, body: None },
                    None => continue,
                },
            };
            if !outgoing.send_packet(packet).await {
                return PumpEnd::Closed;
            }
        }
    };
    tokio::select! {
        end = read => end,
        // the reader knows better why a connection broke than the writer, who only sees it closed
        end = write => end,
        () = stop.cancelled() => PumpEnd::Stopped,
    }
}

fn take_in(
    link: &Link,
    epoch: u64,
    packet: Packet,
    deliver: &impl Fn(Body) -> Result<(), LinkError>,
) -> Result<(), LinkError> {
    link.acked(packet.ack)?;
    match (packet.seq, packet.body) {
        (0, None) => Ok(()),
        (0, Some(_)) => Err(LinkError::Protocol("a message without a number")),
        (_, None) => Err(LinkError::Protocol("a number without a message")),
        (seq, Some(body)) => {
            let bytes = cost(&body);
            link.receive(epoch, seq, bytes, || deliver(body))
        }
    }
}
