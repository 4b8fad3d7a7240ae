//! All roles of a job in one process, for tests and examples: [`World`], with an attacker.

pub mod dealt;
mod mem;

use std::{future::Future, sync::Arc, time::Duration};

pub use mem::{Attack, Intercept, MemChannel, MemNet};

use crate::{abort::Abort, channel::Role, ctx::Ctx};

/// Every role of a job over queues in memory, with a time limit.
#[derive(Debug)]
pub struct World {
    net: Arc<MemNet>,
    parties: u8,
    deadline: Duration,
}

impl World {
    /// A world of `parties` data parties and a helper.
    pub fn new(parties: u8) -> Self {
        Self {
            net: Arc::default(),
            parties,
            deadline: Duration::from_secs(20),
        }
    }

    /// Lets `attack` see, change, drop or repeat every message.
    #[must_use]
    pub fn with_attack(mut self, attack: impl Attack) -> Self {
        self.net = Arc::new(MemNet::with_attack(attack));
        self
    }

    /// Sets the deadline of every receive.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Everything sent so far: sender, receiver, tag, bytes.
    pub fn log(&self) -> Vec<(Role, Role, String, bytes::Bytes)> {
        self.net.log()
    }

    /// The context of a role.
    pub fn ctx(&self, role: Role) -> Ctx<MemChannel> {
        let channel = Arc::new(MemChannel::new(Arc::clone(&self.net), role));
        Ctx::new(channel, self.parties, self.deadline)
    }

    /// Runs `f` once per data party, and `helper` beside them, each in its own task; returns the
    /// parties' results in order. A failed helper surfaces through the parties' own errors.
    pub async fn run<T, F, Fut, H, HFut>(&self, f: F, helper: H) -> Vec<Result<T, Abort>>
    where
        T: Send + 'static,
        F: Fn(usize, Ctx<MemChannel>) -> Fut,
        Fut: Future<Output = Result<T, Abort>> + Send + 'static,
        H: FnOnce(Ctx<MemChannel>) -> HFut,
        HFut: Future<Output = Result<(), Abort>> + Send + 'static,
    {
        let h = tokio::spawn(helper(self.ctx(Role::Helper)));
        let tasks: Vec<_> = (0..self.parties)
            .map(|i| tokio::spawn(f(usize::from(i), self.ctx(Role::Party(i)))))
            .collect();
        let mut out = Vec::new();
        for t in tasks {
            match t.await {
                Ok(r) => out.push(r),
                Err(e) => std::panic::resume_unwind(e.into_panic()),
            }
        }
        h.abort();
        out
    }
}
