//! The gate before everything a node sends in a job: it is shut while the other members, or of a single
//! bit the other data parties, have not yet countersigned what the node has written down.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use paripassu_protocol::channel::Role;
use tokio::sync::watch;

/// A promise that the gate opens again; given back through [`Gate::open`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pass(u64);

/// Who has to countersign for a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witnesses {
    /// All other members.
    Members,
    /// All other data parties.
    Parties,
}

/// The gate.
#[derive(Debug)]
pub(crate) struct Gate {
    given: Mutex<Given>,
    /// The gate is shut until this pass is given back.
    shut: AtomicU64,
    opened: watch::Sender<u64>,
    waiting_for: Mutex<Option<Role>>,
    waited_us: AtomicU64,
}

/// The passes given last.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Given {
    /// Of all.
    pub(crate) last: Pass,
    /// Of those that all members countersign for.
    pub(crate) by_members: Pass,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            given: Mutex::default(),
            shut: AtomicU64::new(0),
            opened: watch::Sender::new(0),
            waiting_for: Mutex::default(),
            waited_us: AtomicU64::new(0),
        }
    }
}

impl Gate {
    /// Gives a pass. The gate stays as it is.
    pub(crate) fn promise(&self, by: Witnesses) -> Pass {
        let mut given = lock(&self.given);
        given.last.0 += 1;
        if by == Witnesses::Members {
            given.by_members = given.last;
        }
        given.last
    }

    /// Shuts the gate until this pass, or a later one, is given back; if it has been, it stays open.
    pub(crate) fn shut_until(&self, pass: Pass) {
        self.shut.fetch_max(pass.0, Ordering::SeqCst);
    }

    /// Shuts the gate until a new pass, or a later one, is given back.
    pub(crate) fn shut(&self, by: Witnesses) -> Pass {
        let pass = self.promise(by);
        self.shut_until(pass);
        pass
    }

    /// The passes given last.
    pub(crate) fn given(&self) -> Given {
        *lock(&self.given)
    }

    /// Gives back this pass and all before it.
    pub(crate) fn open(&self, pass: Pass) {
        self.opened.send_if_modified(|opened| {
            let later = pass.0 > *opened;
            if later {
                *opened = pass.0;
            }
            later
        });
    }

    /// Whether all passes that it was shut for are given back.
    pub(crate) fn is_open(&self) -> bool {
        *self.opened.borrow() >= self.shut.load(Ordering::SeqCst)
    }

    /// Waits until all passes that it was shut for so far are given back.
    pub(crate) async fn opened(&self) {
        let until = self.shut.load(Ordering::SeqCst);
        let mut opened = self.opened.subscribe();
        // the sender lives as long as the gate
        let waited = opened.wait_for(|opened| *opened >= until).await;
        debug_assert!(waited.is_ok());
    }

    /// Notes that a message has waited at the gate.
    pub(crate) fn waited(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waited_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How long messages have waited at the gate, all together.
    pub(crate) fn total_wait(&self) -> Duration {
        Duration::from_micros(self.waited_us.load(Ordering::Relaxed))
    }

    /// Notes who keeps the gate shut.
    pub(crate) fn wait_for(&self, role: Option<Role>) {
        *lock(&self.waiting_for) = role;
    }

    /// Who keeps the gate shut, if it is a member.
    pub(crate) fn waiting_for(&self) -> Option<Role> {
        *lock(&self.waiting_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_pass_opens_for_all() {
        let gate = Gate::default();
        assert!(gate.is_open());
        let (first, second) = (gate.shut(Witnesses::Members), gate.shut(Witnesses::Parties));
        gate.open(first);
        assert!(!gate.is_open());
        gate.open(second);
        gate.open(first);
        assert!(gate.is_open());
        gate.opened().await;
        let given = gate.given();
        assert_eq!((given.last, given.by_members), (second, first));
    }

    #[test]
    fn a_promise_shuts_the_gate_only_when_it_is_needed_and_not_kept() {
        let gate = Gate::default();
        let (kept, late) = (
            gate.promise(Witnesses::Parties),
            gate.promise(Witnesses::Parties),
        );
        assert!(gate.is_open());
        gate.open(kept);
        gate.shut_until(kept);
        assert!(gate.is_open());
        gate.shut_until(late);
        assert!(!gate.is_open());
        gate.open(late);
        assert!(gate.is_open());
    }
}
