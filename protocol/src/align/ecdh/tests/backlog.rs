//! A channel with room for what the protocol declares and not a byte more: it must not lock up.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{A, B, BATCH, customers, params};
use crate::{
    align::{self, IterIds, Method},
    channel::{Channel, ChannelError, Role, Tag},
    ctx::Ctx,
};

/// Unread messages by receiver and tag. A send waits until they fit.
struct Room {
    unread: Mutex<HashMap<(Role, Tag), Bytes>>,
    changed: Notify,
    limit: usize,
}

impl Room {
    fn put(&self, to: Role, tag: &Tag, body: &Bytes) -> Option<()> {
        let mut unread = self.unread.lock().unwrap();
        let held = unread.iter().filter(|((r, _), _)| *r == to);
        let held: usize = held.map(|(_, b)| b.len()).sum();
        (held + body.len() <= self.limit).then(|| {
            unread.insert((to, tag.clone()), body.clone());
        })
    }

    fn take(&self, me: Role, tag: &Tag) -> Option<Bytes> {
        self.unread.lock().unwrap().remove(&(me, tag.clone()))
    }

    async fn until<T>(&self, step: impl Fn() -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(t) = step() {
                self.changed.notify_waiters();
                return t;
            }
            changed.await;
        }
    }
}

struct Tight {
    room: Arc<Room>,
    me: Role,
    /// Pause before every receive.
    slow: Duration,
}

impl Channel for Tight {
    fn role(&self) -> Role {
        self.me
    }

    async fn send(
        &self,
        to: Role,
        tag: Tag,
        body: Bytes,
        limit: Duration,
    ) -> Result<(), ChannelError> {
        let put = self.room.until(|| self.room.put(to, &tag, &body));
        tokio::time::timeout(limit, put)
            .await
            .map_err(|_| ChannelError::Gone {
                peer: to,
                reason: format!("no room for {tag}"),
            })
    }

    async fn recv(&self, from: Role, tag: Tag, after: Duration) -> Result<Bytes, ChannelError> {
        tokio::time::sleep(self.slow).await;
        let take = self.room.until(|| self.room.take(self.me, &tag));
        let got = tokio::time::timeout(after, take).await;
        got.map_err(|_| ChannelError::Timeout { from, tag, after })
    }
}

#[tokio::test(start_paused = true)]
async fn the_declared_room_is_enough_whoever_is_slow() {
    let (a, b) = (customers(0, 1_500, 1), customers(1_000, 2_500, 2));
    for slow in [[0, 0], [0, 50], [50, 0]] {
        let room = Arc::new(Room {
            unread: Mutex::default(),
            changed: Notify::new(),
            limit: 4 * (32 + 16) * BATCH + 168,
        });
        let side = |me, ids: &[String], slow| {
            let slow = Duration::from_millis(slow);
            let room = Arc::clone(&room);
            let ctx = Ctx::new(
                Arc::new(Tight { room, me, slow }),
                2,
                Duration::from_secs(60),
            );
            let ids = ids.to_vec();
            let ids = IterIds(ids.into_iter());
            async move { align::run(&ctx, Method::Curve, &params(), ids, |_, _| {}).await }
        };
        let (x, y) = tokio::join!(side(A, &a, slow[0]), side(B, &b, slow[1]));
        assert_eq!(x.unwrap().rows.len(), 500);
        assert_eq!(y.unwrap().rows.len(), 500);
    }
}
