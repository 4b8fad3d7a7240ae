//! A data party's state while it computes on shares.

use bytes::Bytes;
use paripassu_crypto::ring64;

use super::open::Openings;
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec,
    ctx::Ctx,
};

/// A data party computing on shares: its context and its source of correlations.
pub struct Engine<C, S> {
    root: Ctx<C>,
    pub(super) source: S,
    ledger: Box<dyn Openings>,
    me: usize,
    step: Ctx<C>,
    gates: u32,
}

impl<C, S> std::fmt::Debug for Engine<C, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({:?})", self.step)
    }
}

impl<C: Channel, S> Engine<C, S> {
    /// An engine for the data party at this end of `ctx`; `ledger` is asked before each opening.
    ///
    /// # Errors
    /// If this end is not a data party.
    pub fn new(ctx: &Ctx<C>, source: S, ledger: Box<dyn Openings>) -> Result<Self, Abort> {
        let Some(me) = ctx.role().index() else {
            return Err(Abort::Input("only a data party computes on shares".into()));
        };
        Ok(Self {
            root: ctx.clone(),
            source,
            ledger,
            me,
            step: ctx.clone(),
            gates: 0,
        })
    }

    /// Position of this party.
    pub fn me(&self) -> usize {
        self.me
    }

    /// Number of data parties.
    pub fn parties(&self) -> usize {
        self.root.parties()
    }

    /// Names the step that the following gates belong to.
    pub fn step(&mut self, name: impl std::fmt::Display) {
        self.step = self.root.narrow(name);
        self.gates = 0;
    }

    /// The path of the current step.
    pub fn path(&self) -> &str {
        self.step.path()
    }

    /// The source, to tell it that the job needs nothing more.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The context of the current step.
    pub fn at_step(&self) -> &Ctx<C> {
        &self.step
    }

    pub(super) fn ledger(&mut self) -> &mut dyn Openings {
        &mut *self.ledger
    }

    /// A name for the next message of a gate, unique within the step and equal at all parties.
    pub(super) fn name(&mut self, gate: &str) -> String {
        let n = self.gates;
        self.gates += 1;
        format!("{n}-{gate}")
    }

    /// The sum over all parties of words that masks hide: everyone sends its own to all others.
    pub(super) async fn sum(&mut self, gate: &str, mut mine: Vec<u64>) -> Result<Vec<u64>, Abort> {
        let got = self.broadcast(gate, codec::put_words(&mine)).await?;
        for (from, body) in got {
            let theirs = codec::take_words(&body, mine.len(), from, self.path())?;
            ring64::add_assign(&mut mine, &theirs);
        }
        Ok(mine)
    }

    /// As [`Self::sum`], of 32-bit words.
    pub(super) async fn sum_halves(
        &mut self,
        gate: &str,
        mut mine: Vec<u32>,
    ) -> Result<Vec<u32>, Abort> {
        let body = codec::put_halves(mine.iter().copied());
        for (from, body) in self.broadcast(gate, body).await? {
            let theirs = codec::take_halves(&body, mine.len(), from, self.path())?;
            mine.iter_mut()
                .zip(theirs)
                .for_each(|(a, b)| *a = a.wrapping_add(b));
        }
        Ok(mine)
    }

    /// Sends `body` to every other party and receives theirs.
    pub(super) async fn broadcast(
        &mut self,
        gate: &str,
        body: Bytes,
    ) -> Result<Vec<(Role, Bytes)>, Abort> {
        let name = self.name(gate);
        let got = self.step.broadcast(&name, body).await?;
        Ok(self.step.peers().zip(got).collect())
    }
}
