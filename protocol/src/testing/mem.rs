//! Queues in memory behind the [`Channel`] trait.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::channel::{Channel, ChannelError, Role, Tag};

/// What becomes of a message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intercept {
    /// Delivered as it is.
    Pass,
    /// Delivered with these bytes instead.
    Replace(Bytes),
    /// Not delivered.
    Drop,
    /// Delivered twice.
    Repeat,
}

/// Sees every message (sender, receiver, tag, bytes) and decides what becomes of it.
pub trait Attack: Fn(Role, Role, &Tag, &Bytes) -> Intercept + Send + Sync + 'static {}
impl<T: Fn(Role, Role, &Tag, &Bytes) -> Intercept + Send + Sync + 'static> Attack for T {}

type Key = (Role, Role, Tag);

/// The network of one [`World`](super::World).
#[derive(Default)]
pub struct MemNet {
    queues: Mutex<HashMap<Key, Vec<Bytes>>>,
    log: Mutex<Vec<(Role, Role, String, Bytes)>>,
    arrived: Notify,
    attack: Option<Box<dyn Attack>>,
}

impl fmt::Debug for MemNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemNet")
    }
}

impl MemNet {
    pub(super) fn with_attack(attack: impl Attack) -> Self {
        Self {
            attack: Some(Box::new(attack)),
            ..Self::default()
        }
    }

    pub(super) fn log(&self) -> Vec<(Role, Role, String, Bytes)> {
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn put(&self, key: Key, body: Bytes) {
        let verdict = match &self.attack {
            Some(a) => a(key.0, key.1, &key.2, &body),
            None => Intercept::Pass,
        };
        let bodies = match verdict {
            Intercept::Pass => vec![body],
            Intercept::Replace(b) => vec![b],
            Intercept::Drop => vec![],
            Intercept::Repeat => vec![body.clone(), body],
        };
        for b in bodies {
            self.log
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((key.0, key.1, key.2.to_string(), b.clone()));
            let mut q = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            q.entry(key.clone()).or_default().push(b);
        }
        self.arrived.notify_waiters();
    }

    fn take(&self, key: &Key) -> Result<Option<Bytes>, ChannelError> {
        let mut q = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        match q.get_mut(key) {
            Some(v) if v.len() > 1 => Err(ChannelError::Equivocation {
                from: key.0,
                tag: key.2.clone(),
            }),
            Some(v) => Ok(v.pop()),
            None => Ok(None),
        }
    }
}

/// One role's end of a [`MemNet`].
#[derive(Debug)]
pub struct MemChannel {
    net: Arc<MemNet>,
    me: Role,
}

impl MemChannel {
    pub(super) fn new(net: Arc<MemNet>, me: Role) -> Self {
        Self { net, me }
    }
}

impl Channel for MemChannel {
    fn role(&self) -> Role {
        self.me
    }

    async fn send(
        &self,
        to: Role,
        tag: Tag,
        body: Bytes,
        _deadline: Duration,
    ) -> Result<(), ChannelError> {
        self.net.put((self.me, to, tag), body);
        Ok(())
    }

    async fn recv(&self, from: Role, tag: Tag, deadline: Duration) -> Result<Bytes, ChannelError> {
        let key = (from, self.me, tag);
        let wait = async {
            loop {
                let arrived = self.net.arrived.notified();
                tokio::pin!(arrived);
                arrived.as_mut().enable();
                if let Some(b) = self.net.take(&key)? {
                    return Ok(b);
                }
                arrived.await;
            }
        };
        match tokio::time::timeout(deadline, wait).await {
            Ok(r) => r,
            Err(_) => Err(ChannelError::Timeout {
                from,
                tag: key.2.clone(),
                after: deadline,
            }),
        }
    }
}
