//! One end of a session: numbers what goes out, keeps it until acknowledged, accepts what comes in once.
//!
//! A session outlives its connections. Each connection gets an epoch; whatever an older connection
//! still tries is refused, so that two of them never interleave.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use paripassu_proto::control::v1::packet::Body;
use tokio::sync::Notify;

/// Why a link cannot go on with its connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// A newer connection has taken over.
    #[error("a newer connection of the same node has taken over")]
    Stale,
    /// The session is over.
    #[error("{0}")]
    Closed(String),
    /// A packet is missing.
    #[error("packet {got} where {want} was due")]
    Gap {
        /// Number due.
        want: u64,
        /// Number seen.
        got: u64,
    },
    /// The other end acknowledges what was never sent, or has forgotten what it acknowledged.
    #[error("the other side acknowledged packet {got}; possible are {from} to {to}")]
    Acknowledged {
        /// What it said.
        got: u64,
        /// Lowest possible.
        from: u64,
        /// Highest possible.
        to: u64,
    },
    /// The receiver of a packet cannot take it now.
    #[error("{0}")]
    Overloaded(&'static str),
    /// The other end breaks the protocol.
    #[error("the other side broke the protocol: {0}")]
    Protocol(&'static str),
}

struct Item {
    /// 0 until first transmitted.
    seq: u64,
    bytes: usize,
    body: Body,
}

#[derive(Default)]
struct Outgoing {
    queue: VecDeque<Item>,
    /// Items before this one were transmitted on the present connection.
    cursor: usize,
    in_flight: usize,
    bytes: usize,
    last_seq: u64,
    last_acked: u64,
    epoch: u64,
    closed: Option<String>,
}

#[derive(Default)]
struct Incoming {
    last: u64,
    told: u64,
    unacked_bytes: usize,
    epoch: u64,
}

/// What queues cost beside their payload.
const ITEM: usize = 512;
/// Acknowledge at the latest after this much.
const ACK_BYTES: usize = 2 * 1024 * 1024;

pub(crate) fn cost(body: &Body) -> usize {
    use paripassu_proto::control::v1::{hub_control::Body as Hub, node_control::Body as Node};
    ITEM + match body {
        Body::Frame(frame) => frame.chunk.len(),
        Body::Hub(control) => match &control.body {
            Some(Hub::Proposal(p)) => p.contract.len(),
            Some(Hub::Start(s)) => s.proposal.as_ref().map_or(0, |p| p.contract.len()),
            Some(Hub::Audit(a)) => a.message.as_ref().map_or(0, |m| m.statement.len()),
            _ => 0,
        },
        Body::Node(control) => match &control.body {
            Some(Node::Audit(a)) => a.message.as_ref().map_or(0, |m| m.statement.len()),
            _ => 0,
        },
        _ => 0,
    }
}

/// One end of a session.
pub(crate) struct Link {
    out: Mutex<Outgoing>,
    inc: Mutex<Incoming>,
    /// Something can be transmitted.
    ready: Notify,
    /// Something was acknowledged.
    space: Notify,
    /// Much was received and not acknowledged.
    pub(crate) ack_due: Notify,
    in_flight_limit: usize,
    queue_limit: usize,
}

impl Link {
    pub(crate) fn new(in_flight_limit: usize, queue_limit: usize) -> Self {
        Self {
            out: Mutex::default(),
            inc: Mutex::default(),
            ready: Notify::new(),
            space: Notify::new(),
            ack_due: Notify::new(),
            in_flight_limit,
            queue_limit,
        }
    }

    fn out(&self) -> MutexGuard<'_, Outgoing> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inc(&self) -> MutexGuard<'_, Incoming> {
        self.inc.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues without waiting: control messages and credit, which are few, and what credit bounds.
    pub(crate) fn push_now(&self, body: Body) {
        let mut out = self.out();
        if out.closed.is_some() {
            return;
        }
        let bytes = cost(&body);
        out.bytes += bytes;
        out.queue.push_back(Item {
            seq: 0,
            bytes,
            body,
        });
        drop(out);
        self.ready.notify_one();
    }

    /// Waits until the queue has room.
    pub(crate) async fn room(&self) -> Result<(), LinkError> {
        loop {
            let space = self.space.notified();
            tokio::pin!(space);
            space.as_mut().enable();
            {
                let out = self.out();
                if let Some(reason) = &out.closed {
                    return Err(LinkError::Closed(reason.clone()));
                }
                if out.bytes < self.queue_limit {
                    return Ok(());
                }
            }
            space.await;
        }
    }

    /// Bytes queued and not acknowledged.
    pub(crate) fn queued(&self) -> usize {
        self.out().bytes
    }

    /// The next packet to transmit on the connection of this epoch, as soon as there is one.
    pub(crate) async fn next(&self, epoch: u64) -> Result<(u64, Body), LinkError> {
        loop {
            let ready = self.ready.notified();
            tokio::pin!(ready);
            ready.as_mut().enable();
            if let Some(next) = self.take(epoch)? {
                return Ok(next);
            }
            ready.await;
        }
    }

    fn take(&self, epoch: u64) -> Result<Option<(u64, Body)>, LinkError> {
        let mut guard = self.out();
        let out = &mut *guard;
        if let Some(reason) = &out.closed {
            return Err(LinkError::Closed(reason.clone()));
        }
        if out.epoch != epoch {
            return Err(LinkError::Stale);
        }
        let Some(item) = out.queue.get_mut(out.cursor) else {
            return Ok(None);
        };
        if out.in_flight > 0 && out.in_flight + item.bytes > self.in_flight_limit {
            return Ok(None);
        }
        if item.seq == 0 {
            out.last_seq += 1;
            item.seq = out.last_seq;
        }
        out.in_flight += item.bytes;
        out.cursor += 1;
        Ok(Some((item.seq, item.body.clone())))
    }

    /// The other end has everything up to `ack`.
    pub(crate) fn acked(&self, ack: u64) -> Result<(), LinkError> {
        let mut out = self.out();
        if ack > out.last_seq {
            return Err(LinkError::Acknowledged {
                got: ack,
                from: out.last_acked,
                to: out.last_seq,
            });
        }
        let mut freed = false;
        while let Some(first) = out.queue.front()
            && first.seq != 0
            && first.seq <= ack
        {
            let bytes = first.bytes;
            out.queue.pop_front();
            out.bytes -= bytes;
            if out.cursor > 0 {
                out.cursor -= 1;
                out.in_flight -= bytes;
            }
            freed = true;
        }
        out.last_acked = out.last_acked.max(ack);
        drop(out);
        if freed {
            self.space.notify_waiters();
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Begins a new connection; the other end has everything up to `received`. What it lacks will be
    /// transmitted again. Returns the connection's epoch.
    pub(crate) fn begin(&self, received: u64) -> Result<u64, LinkError> {
        {
            let out = self.out();
            if received < out.last_acked || received > out.last_seq {
                return Err(LinkError::Acknowledged {
                    got: received,
                    from: out.last_acked,
                    to: out.last_seq,
                });
            }
        }
        self.acked(received)?;
        let mut out = self.out();
        out.epoch += 1;
        out.cursor = 0;
        out.in_flight = 0;
        let epoch = out.epoch;
        // never both locks at once: receiving on this link may push into another
        drop(out);
        {
            let mut inc = self.inc();
            inc.epoch = inc.epoch.max(epoch);
        }
        // whoever waits with an older epoch must notice
        self.ready.notify_waiters();
        self.ready.notify_one();
        Ok(epoch)
    }

    /// Takes packet `seq` in, once and in order: `deliver` runs before the number counts as received,
    /// and not at all for a repetition.
    pub(crate) fn receive(
        &self,
        epoch: u64,
        seq: u64,
        bytes: usize,
        deliver: impl FnOnce() -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let mut inc = self.inc();
        if inc.epoch != epoch {
            return Err(LinkError::Stale);
        }
        if seq <= inc.last {
            return Ok(());
        }
        if seq != inc.last + 1 {
            return Err(LinkError::Gap {
                want: inc.last + 1,
                got: seq,
            });
        }
        deliver()?;
        inc.last = seq;
        inc.unacked_bytes += bytes;
        if inc.unacked_bytes >= ACK_BYTES {
            inc.unacked_bytes = 0;
            drop(inc);
            self.ack_due.notify_one();
        }
        Ok(())
    }

    /// The present connection's epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.out().epoch
    }

    /// Highest number received, without promising to send it.
    pub(crate) fn received(&self) -> u64 {
        self.inc().last
    }

    /// Highest number received, about to be sent.
    pub(crate) fn ack(&self) -> u64 {
        let mut inc = self.inc();
        inc.told = inc.last;
        inc.unacked_bytes = 0;
        inc.last
    }

    /// The number to acknowledge, if the other end does not know it yet.
    pub(crate) fn ack_if_new(&self) -> Option<u64> {
        let new = {
            let inc = self.inc();
            inc.told != inc.last
        };
        new.then(|| self.ack())
    }

    /// Forgets everything: the other end no longer knows the session.
    pub(crate) fn reset(&self) {
        let mut out = self.out();
        let epoch = out.epoch;
        *out = Outgoing {
            epoch,
            ..Outgoing::default()
        };
        drop(out);
        *self.inc() = Incoming {
            epoch,
            ..Incoming::default()
        };
        self.space.notify_waiters();
    }

    /// Drops what waits to be transmitted and is no longer wanted.
    pub(crate) fn discard(&self, unwanted: impl Fn(&Body) -> bool) {
        let mut guard = self.out();
        let out = &mut *guard;
        let mut freed = 0;
        // what carries a number must stay, or the other end would see a gap
        out.queue.retain(|item| {
            let drop = item.seq == 0 && unwanted(&item.body);
            if drop {
                freed += item.bytes;
            }
            !drop
        });
        out.bytes -= freed;
        drop(guard);
        self.space.notify_waiters();
    }

    /// Ends the session: all who wait return.
    pub(crate) fn close(&self, reason: &str) {
        let mut out = self.out();
        if out.closed.is_none() {
            out.closed = Some(reason.to_owned());
            out.queue.clear();
            out.bytes = 0;
            out.cursor = 0;
            out.in_flight = 0;
        }
        drop(out);
        self.space.notify_waiters();
        self.ready.notify_waiters();
        self.ready.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use paripassu_proto::exchange::v1::Frame;

    use super::*;

    fn frame(n: u64) -> Body {
        Body::Frame(Frame {
            seq: n,
            chunk: vec![0; 100].into(),
            ..Frame::default()
        })
    }

    fn number(body: &Body) -> u64 {
        match body {
            Body::Frame(f) => f.seq,
            _ => unreachable!(),
        }
    }

    #[tokio::test]
    async fn what_was_not_received_is_sent_again_in_order() {
        let link = Link::new(1 << 20, 1 << 20);
        let first = link.begin(0).unwrap();
        for n in 0..6 {
            link.push_now(frame(n));
        }
        for n in 0..4 {
            let (seq, body) = link.next(first).await.unwrap();
            assert_eq!((seq, number(&body)), (n + 1, n));
        }
        link.acked(1).unwrap();
        let second = link.begin(2).unwrap();
        assert_eq!(link.next(first).await.unwrap_err(), LinkError::Stale);
        for n in 2..6 {
            let (seq, body) = link.next(second).await.unwrap();
            assert_eq!((seq, number(&body)), (n + 1, n));
        }
        link.acked(6).unwrap();
        assert_eq!(link.queued(), 0);
        assert!(matches!(
            link.acked(7),
            Err(LinkError::Acknowledged { got: 7, .. })
        ));
        assert!(matches!(
            link.begin(3),
            Err(LinkError::Acknowledged { got: 3, .. })
        ));
    }

    #[test]
    fn packets_come_in_once_and_in_order() {
        let link = Link::new(1 << 20, 1 << 20);
        let epoch = link.begin(0).unwrap();
        let mut seen = Vec::new();
        for seq in [1, 2, 2, 1, 3] {
            link.receive(epoch, seq, 10, || {
                seen.push(seq);
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(seen, [1, 2, 3]);
        let gap = link.receive(epoch, 5, 10, || Ok(()));
        assert_eq!(gap, Err(LinkError::Gap { want: 4, got: 5 }));
        // a packet that could not be delivered does not count
        let full = link.receive(epoch, 4, 10, || Err(LinkError::Overloaded("full")));
        assert!(full.is_err());
        assert_eq!(link.received(), 3);
        assert_eq!(link.ack_if_new(), Some(3));
        assert_eq!(link.ack_if_new(), None);
    }

    #[tokio::test]
    async fn the_resend_buffer_is_bounded() {
        let link = Link::new(3 * (ITEM + 100), usize::MAX);
        let epoch = link.begin(0).unwrap();
        for n in 0..5 {
            link.push_now(frame(n));
        }
        for _ in 0..3 {
            link.next(epoch).await.unwrap();
        }
        assert_eq!(link.take(epoch).unwrap().map(|(seq, _)| seq), None);
        link.acked(1).unwrap();
        assert_eq!(link.take(epoch).unwrap().map(|(seq, _)| seq), Some(4));
    }

    #[tokio::test]
    async fn senders_wait_for_room_and_closing_frees_them() {
        let link = std::sync::Arc::new(Link::new(1 << 20, 500));
        link.room().await.unwrap();
        link.push_now(frame(0));
        let waiting = tokio::spawn({
            let link = std::sync::Arc::clone(&link);
            async move { link.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        link.close("over");
        assert_eq!(
            waiting.await.unwrap(),
            Err(LinkError::Closed("over".into()))
        );
    }
}
