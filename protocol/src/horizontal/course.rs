//! What training holds between two rounds, so that another job can go on where one was ended by a lost node.
//!
//! **A state is** the model and the counters after a whole round, the same at every bank ([`State::joint`]), and what a
//! bank keeps to itself besides ([`State::own`]: an intercept or a layer of its own, moments of its optimiser). No key,
//! mask, share or random number is in it: whoever goes on joins anew, with fresh ones, and draws fresh orders of rows
//! and fresh noise.
//!
//! **Going on.** The design is found again from the banks' data; a state belongs to one design. Each bank tells every
//! other, over their sealed links, which rounds it holds and a digest of each ([`agree`]); the latest round that
//! all hold alike is where all go on. If there is none, training begins anew, which is right as well.
//!
//! **What is learned.** By all banks, which rounds each bank still holds: they know the states already. By the adder
//! nothing: it holds nothing between two sums and has nothing to keep.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use zeroize::Zeroizing;

use super::{SumOf, secagg::Client};
use crate::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
    channel::{Channel, Role},
    held,
};

pub use held::MOST_HELD;

/// What training holds after so many rounds.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// Rounds, or points looked at.
    pub round: u32,
    /// The same at every bank: all of it follows from the opened sums.
    pub joint: Vec<u8>,
    /// This bank's own; stays here.
    pub own: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State(round {})", self.round)
    }
}

impl State {
    /// What banks compare.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 state after a round");
        hash.update(&self.round.to_le_bytes());
        hash.update(&self.joint);
        *hash.finalize().as_bytes()
    }
}

/// What comes of [`Course::keep`].
pub type Kept<'a> = Pin<Box<dyn Future<Output = Result<(), Abort>> + Send + 'a>>;

/// Follows a training from round to round.
pub trait Course: Send {
    /// A round begins, of so many at most.
    fn progress(&mut self, round: u32, of: u32);

    /// A round is over: keeps the state after it.
    fn keep(&mut self, state: State) -> Kept<'_> {
        drop(state);
        Box::pin(async { Ok(()) })
    }

    /// Whether [`Self::keep`] wants to be called.
    fn keeps(&self) -> bool {
        false
    }

    /// Where to go on; none to begin.
    fn from(&mut self) -> Option<State> {
        None
    }
}

impl<F: FnMut(u32, u32) + Send> Course for F {
    fn progress(&mut self, round: u32, of: u32) {
        self(round, of);
    }
}

/// The latest round that all banks hold alike, of the rounds that each tells the others: digests by round, ascending.
///
/// # Leakage
/// Rounds and digests of states that all banks know, to all banks: declared as [`SumOf::Held`].
///
/// # Errors
/// A bank that is missing, or tells what cannot be; the ledger's.
pub async fn agree<C: Channel>(
    client: &Client<C>,
    ledger: &mut dyn Openings,
    held: &[(u32, [u8; 32])],
) -> Result<Option<u32>, Abort> {
    let (held, body) = held::tell(held);
    ledger.record(Opening::Sum(SumOf::Held), Receivers::All, held.len())?;
    let told = client.tell_all("held", 0, body).await?;
    let read = |(from, body): &(Role, Bytes)| {
        held::read(body).ok_or_else(|| Abort::Malformed {
            from: *from,
            step: "held".into(),
            problem: "no list of rounds with digests".into(),
        })
    };
    let theirs: Vec<_> = told.iter().map(read).collect::<Result<_, _>>()?;
    Ok(held::latest(held, &theirs))
}

/// Writes a state.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn count(&mut self, n: u64) -> &mut Self {
        self.0.extend_from_slice(&n.to_le_bytes());
        self
    }

    pub(super) fn number(&mut self, x: f64) -> &mut Self {
        self.count(x.to_bits())
    }

    pub(super) fn numbers(&mut self, all: &[f64]) -> &mut Self {
        self.count(all.len() as u64);
        all.iter().for_each(|x| {
            self.number(*x);
        });
        self
    }

    pub(super) fn counts(&mut self, all: impl ExactSizeIterator<Item = u64>) -> &mut Self {
        self.count(all.len() as u64);
        all.for_each(|n| {
            self.count(n);
        });
        self
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// Reads what a [`Writer`] wrote.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn wrong() -> Abort {
        Abort::Input(
            "what was kept of the aborted job is of another kind than this job: leave out \
             horizontal.resume and begin anew"
                .into(),
        )
    }

    pub(super) fn count(&mut self) -> Result<u64, Abort> {
        let (first, rest) = self.0.split_first_chunk::<8>().ok_or_else(Self::wrong)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*first))
    }

    pub(super) fn number(&mut self) -> Result<f64, Abort> {
        self.count().map(f64::from_bits)
    }

    fn len(&mut self) -> Result<usize, Abort> {
        let len = usize::try_from(self.count()?).map_err(|_| Self::wrong())?;
        match len <= self.0.len() / 8 {
            true => Ok(len),
            false => Err(Self::wrong()),
        }
    }

    pub(super) fn counts(&mut self) -> Result<Vec<u64>, Abort> {
        (0..self.len()?).map(|_| self.count()).collect()
    }

    /// As many numbers as there must be.
    pub(super) fn numbers(&mut self, want: usize) -> Result<Vec<f64>, Abort> {
        let all = self.any_numbers()?;
        match all.len() == want {
            true => Ok(all),
            false => Err(Self::wrong()),
        }
    }

    pub(super) fn any_numbers(&mut self) -> Result<Vec<f64>, Abort> {
        (0..self.len()?).map(|_| self.number()).collect()
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Abort> {
        T::try_from(self.count()?).map_err(|_| Self::wrong())
    }

    pub(super) fn end(self) -> Result<(), Abort> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(Self::wrong()),
        }
    }
}

#[cfg(test)]
mod tests;
