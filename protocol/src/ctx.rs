//! What a protocol runs in: a role's channel, a step path, a deadline and a meter.
//!
//! `ctx.narrow("pass-3").narrow("margin")` names a sub-protocol. The path becomes the tag of every
//! message below it, so two sub-protocols cannot read each other's messages by accident.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future;

use crate::{
    abort::Abort,
    channel::{Channel, Role, Tag},
};

/// Messages and bytes a role sent, by first path element (`align`, `train`, …), and rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Communication rounds: steps at which the role waited for others.
    pub rounds: u64,
    /// Messages sent.
    pub messages: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Payload bytes received.
    pub bytes_received: u64,
}

impl Cost {
    fn add(&mut self, o: &Cost) {
        self.rounds += o.rounds;
        self.messages += o.messages;
        self.bytes_sent += o.bytes_sent;
        self.bytes_received += o.bytes_received;
    }
}

/// Counts what a role sent and received, per phase.
#[derive(Debug, Default)]
pub struct Meter {
    phases: Mutex<BTreeMap<String, Cost>>,
    rounds: AtomicU64,
}

impl Meter {
    fn count(&self, path: &str, cost: &Cost) {
        let phase = path.split('/').next().unwrap_or_default();
        self.rounds.fetch_add(cost.rounds, Ordering::Relaxed);
        let mut map = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get_mut(phase) {
            Some(c) => c.add(cost),
            None => {
                map.insert(phase.to_owned(), cost.clone());
            }
        }
    }

    /// Cost so far, per phase (first element of the step path).
    pub fn by_phase(&self) -> BTreeMap<String, Cost> {
        self.phases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Rounds so far, all phases together.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Cost so far, all phases together.
    pub fn total(&self) -> Cost {
        let mut t = Cost::default();
        self.by_phase().values().for_each(|c| t.add(c));
        t
    }
}

/// A role's view of a running protocol.
pub struct Ctx<C> {
    channel: Arc<C>,
    parties: u8,
    path: Arc<str>,
    deadline: Duration,
    meter: Arc<Meter>,
}

impl<C> Clone for Ctx<C> {
    fn clone(&self) -> Self {
        Self {
            channel: Arc::clone(&self.channel),
            parties: self.parties,
            path: Arc::clone(&self.path),
            deadline: self.deadline,
            meter: Arc::clone(&self.meter),
        }
    }
}

impl<C> fmt::Debug for Ctx<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ctx")
            .field("path", &self.path)
            .field("parties", &self.parties)
            .finish()
    }
}

impl<C: Channel> Ctx<C> {
    /// A context at the root of the path, for a job with `parties` data parties; every receive
    /// waits at most `deadline`.
    pub fn new(channel: Arc<C>, parties: u8, deadline: Duration) -> Self {
        Self {
            channel,
            parties,
            path: "".into(),
            deadline,
            meter: Arc::default(),
        }
    }

    /// The context of a named step below this one.
    pub fn narrow(&self, step: impl fmt::Display) -> Self {
        let path = match self.path.is_empty() {
            true => step.to_string(),
            false => format!("{}/{step}", self.path),
        };
        Self {
            path: path.into(),
            ..self.clone()
        }
    }

    /// The same with another deadline for every receive.
    #[must_use]
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self {
            deadline,
            ..self.clone()
        }
    }

    /// How long a receive waits.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// This end's role.
    pub fn role(&self) -> Role {
        self.channel.role()
    }

    /// Number of data parties.
    pub fn parties(&self) -> usize {
        usize::from(self.parties)
    }

    /// The step path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The meter shared by all contexts of this run.
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// All data parties but this end.
    pub fn peers(&self) -> impl Iterator<Item = Role> + use<C> {
        let me = self.role();
        (0..self.parties).map(Role::Party).filter(move |r| *r != me)
    }

    fn tag(&self, name: &str) -> Tag {
        Tag::new(format!("{}/{name}", self.path))
    }

    /// Sends one message. Not a round: nobody is waited for.
    ///
    /// # Errors
    /// The channel's, naming the peer.
    pub async fn send(&self, to: Role, name: &str, body: Bytes) -> Result<(), Abort> {
        let cost = Cost {
            messages: 1,
            bytes_sent: body.len() as u64,
            ..Cost::default()
        };
        self.channel
            .send(to, self.tag(name), body, self.deadline)
            .await?;
        self.meter.count(&self.path, &cost);
        Ok(())
    }

    async fn take(&self, from: Role, name: &str) -> Result<Bytes, Abort> {
        let body = self
            .channel
            .recv(from, self.tag(name), self.deadline)
            .await?;
        let cost = Cost {
            bytes_received: body.len() as u64,
            ..Cost::default()
        };
        self.meter.count(&self.path, &cost);
        Ok(body)
    }

    /// Receives one message: one round.
    ///
    /// # Errors
    /// The channel's, naming the peer.
    pub async fn recv(&self, from: Role, name: &str) -> Result<Bytes, Abort> {
        self.round();
        self.take(from, name).await
    }

    /// Receives the answer to what was asked for when `asked` rounds had passed: one round, unless another
    /// message has been waited for since, which the answer came along with.
    ///
    /// # Errors
    /// The channel's, naming the peer.
    pub async fn recv_asked(&self, from: Role, name: &str, asked: u64) -> Result<Bytes, Abort> {
        if self.meter.rounds() <= asked {
            self.round();
        }
        self.take(from, name).await
    }

    fn round(&self) {
        let cost = Cost {
            rounds: 1,
            ..Cost::default()
        };
        self.meter.count(&self.path, &cost);
    }

    /// Sends a message of its own to each peer in `out` and receives one of the same name from
    /// each of `from`, at the same time: one round. Results are in the order of `from`.
    ///
    /// # Errors
    /// The channel's, naming the peer.
    pub async fn swap(
        &self,
        name: &str,
        out: Vec<(Role, Bytes)>,
        from: &[Role],
    ) -> Result<Vec<Bytes>, Abort> {
        self.round();
        let sends = future::try_join_all(out.into_iter().map(|(to, b)| self.send(to, name, b)));
        let recvs = future::try_join_all(from.iter().map(|r| self.take(*r, name)));
        let (_, got) = future::try_join(sends, recvs).await?;
        Ok(got)
    }

    /// Sends the same message to every other data party and receives theirs: one round. Results
    /// are in the order of [`Ctx::peers`].
    ///
    /// # Errors
    /// The channel's, naming the peer.
    pub async fn broadcast(&self, name: &str, body: Bytes) -> Result<Vec<Bytes>, Abort> {
        let peers: Vec<Role> = self.peers().collect();
        let out = peers.iter().map(|r| (*r, body.clone())).collect();
        self.swap(name, out, &peers).await
    }
}
