//! What a training of a network holds between two epochs, so that another job can go on where one was ended by a lost node.
//!
//! **A state is**, at each party, its shares of weights, of their short copies and last steps (momentum), and of the best weights
//! and loss so far where a loss is watched; and the public epoch and best epoch. The order of batches, dropout and the learning
//! rate follow from the public seed and the epoch. No key, mask, correlation or random number is in it.
//!
//! **Agreeing.** After an epoch each party tells the others the head of its transcript (32 bytes). The state's name is a digest of
//! the job, the epoch, the batches so far and all heads, in the parties' order: the same at all, and no other point's.
//!
//! **Going on.** In a new job parties tell one another which epochs of the aborted one they hold, with the names, and take the
//! latest that all hold alike; if there is none, training begins anew. All shares are then made anew (`arith::refresh`) and
//! kept once more under the new job. Masks, correlations, and the roundings that follow from them are the new job's.
//!
//! **Why a new job, and fresh correlations.** A word that was sent is `x - a`. Whoever could make a party go on twice from one state
//! with the same masks would be sent `x - a` and `x' - a`, and so `x - x'`: how two runs' gradients differ. With fresh ones both are
//! uniform, and two runs from one state tell what two runs of one job do: each opens what its contract declares.
//!
//! **What is learned.** By all parties, which epochs each still holds ([`Opening::HeldEpochs`]). By the helper nothing: it deals for
//! fewer batches and sees how many, as always.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use paripassu_crypto::share::Shares;
use zeroize::Zeroizing;

use super::{points, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::{Channel, Role},
    correlation::CorrelationSource,
    held,
};

/// What one party holds after an epoch.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The same at all parties, and of no other point of any job.
    pub name: [u8; 32],
    /// This party's shares; stays here.
    pub own: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State(epoch {})", self.epoch)
    }
}

/// What comes of [`Course::keep`].
pub type Kept<'a> = Pin<Box<dyn Future<Output = Result<(), Abort>> + Send + 'a>>;

/// Keeps a training's states, and finds those of an aborted one.
pub trait Course: Send {
    /// Names the job, alike at all parties.
    fn job(&self) -> [u8; 32];

    /// Digest of the head of this party's transcript.
    ///
    /// # Errors
    /// When it cannot be read.
    fn head(&self) -> Result<[u8; 32], Abort>;

    /// An epoch is over: keeps the state after it.
    fn keep(&mut self, state: State) -> Kept<'_>;

    /// Epochs of the aborted job that this party still holds, ascending, with their names; none where this job goes on with
    /// no other.
    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        None
    }

    /// The state after an epoch that was held.
    fn take(&mut self, epoch: u32) -> Option<State> {
        let _ = epoch;
        None
    }
}

/// Least loss on the watched rows so far, and the weights that had it.
pub(super) type Best = Option<(Shares, Vec<Shares>)>;

impl Run {
    /// Agrees on the point that an epoch's end is, and keeps the state there.
    pub(super) async fn keep<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        course: &mut dyn Course,
        best: &Best,
    ) -> Result<(), Abort> {
        let mine = course.head()?;
        let body = Bytes::copy_from_slice(&mine);
        let told = engine.at_step().broadcast("kept", body).await?;
        let mut heads = Vec::with_capacity(told.len() + 1);
        for (from, body) in engine.at_step().peers().zip(told) {
            let head: [u8; 32] = (&*body).try_into().map_err(|_| Abort::Malformed {
                from,
                step: engine.path().to_owned(),
                problem: "a transcript's head is named by 32 bytes".into(),
            })?;
            heads.push(head);
        }
        heads.insert(engine.me(), mine);
        let (epoch, best_epoch, steps) = self.made();
        let mut name = blake3::Hasher::new_derive_key("paripassu/v1 network after an epoch");
        name.update(&course.job());
        name.update(&epoch.to_le_bytes());
        name.update(&steps.to_le_bytes());
        heads.iter().for_each(|head| {
            name.update(head);
        });
        let epoch_and_best = [u64::from(epoch), best_epoch, best.is_some().into()];
        let mut own = Zeroizing::new(Vec::new());
        let words = self.layers_mut().course().flat_map(|s| s.words().to_vec());
        let kept = best.iter().flat_map(|(loss, weights)| {
            let all = std::iter::once(loss).chain(weights);
            all.flat_map(|s| s.words().to_vec())
        });
        for word in epoch_and_best.into_iter().chain(words).chain(kept) {
            own.extend_from_slice(&word.to_le_bytes());
        }
        let name = *name.finalize().as_bytes();
        course.keep(State { epoch, name, own }).await
    }

    /// Goes on from the latest state of the aborted job that all parties hold alike, on new shares; best weights so far.
    pub(super) async fn go_on<C: Channel, S: CorrelationSource>(
        &mut self,
        engine: &mut Engine<C, S>,
        course: &mut dyn Course,
    ) -> Result<Best, Abort> {
        let Some(held) = course.held() else {
            return Ok(None);
        };
        engine.step("train/held");
        let (mine, body) = held::tell(&held);
        engine.told(Opening::HeldEpochs, Receivers::All)?;
        let told = engine.at_step().broadcast("held", body).await?;
        let read = |(from, body): (Role, &Bytes)| {
            held::read(body).ok_or_else(|| Abort::Malformed {
                from,
                step: engine.path().to_owned(),
                problem: "no list of epochs with digests".into(),
            })
        };
        let told = engine.at_step().peers().zip(&told);
        let theirs: Vec<_> = told.map(read).collect::<Result<_, _>>()?;
        let Some(epoch) = held::latest(mine, &theirs) else {
            return Ok(None);
        };
        let state = course.take(epoch).ok_or_else(wrong)?;
        let (words, rest) = state.own.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(wrong());
        }
        let words = words.iter().map(|w| u64::from_le_bytes(*w));
        let mut words = Zeroizing::new(words.collect::<Vec<u64>>());
        let ([at, best_epoch, has_best], shares) =
            words.split_first_chunk_mut::<3>().ok_or_else(wrong)?;
        if *at != u64::from(epoch) || *best_epoch > *at || *has_best > 1 {
            return Err(wrong());
        }
        engine.refresh(shares).await?;
        let (best_epoch, has_best, mut rest) = (*best_epoch, *has_best == 1, &shares[..]);
        for of in self.layers_mut().course() {
            take(of, &mut rest)?;
        }
        let mut best = None;
        if has_best {
            let mut loss = Shares::zeros(1, 2 * points::DELTA);
            take(&mut loss, &mut rest)?;
            let mut weights = self.layers_mut().kept();
            weights.iter_mut().try_for_each(|of| take(of, &mut rest))?;
            best = Some((loss, weights));
        }
        if !rest.is_empty() || !self.goes_on_after(epoch, best_epoch) {
            return Err(wrong());
        }
        self.keep(engine, course, &best).await?;
        Ok(best)
    }
}

/// Fills shares with the next words.
fn take(of: &mut Shares, rest: &mut &[u64]) -> Result<(), Abort> {
    let (head, tail) = rest.split_at_checked(of.len()).ok_or_else(wrong)?;
    of.words_mut().copy_from_slice(head);
    *rest = tail;
    Ok(())
}

fn wrong() -> Abort {
    Abort::Input(
        "what was kept of the aborted job is of another kind than this job: leave out align.resume and begin anew".into(),
    )
}
