//! What a training on shares holds between two points of it, so that another job can go on where one was ended by a lost node.
//!
//! Points are epochs of a network and passes of a logistic regression.
//!
//! **A state is**, at each party, what is public of a point and this party's shares: of a network, weights, their short copies and last
//! steps (momentum), and the best weights and loss so far where a loss is watched; of a logistic regression, weights and their short
//! copies, the point reached before (momentum) of accelerated steps, and the split where a penalty or signs hold coefficients. All else
//! follows from the data, the public seed and the point. No key, mask, correlation or random number is in it.
//!
//! **Agreeing.** At a point each party tells the others the head of its transcript (32 bytes). The state's name is a digest of
//! the job, the kind and number of the point, the steps so far and all heads, in the parties' order: the same at all, and no other point's.
//!
//! **Going on.** In a new job parties tell one another which points of the aborted one they hold, with the names, and take the
//! latest that all hold alike; if there is none, training begins anew. All shares are then made anew (`arith::refresh`) and
//! kept once more under the new job. Masks, correlations, and the roundings that follow from them are the new job's.
//!
//! **Why a new job, and fresh correlations.** A word that was sent is `x - a`. Whoever could make a party go on twice from one state
//! with the same masks would be sent `x - a` and `x' - a`, and so `x - x'`: how two runs' gradients differ. With fresh ones both are
//! uniform, and two runs from one state tell what two runs of one job do: each opens what its contract declares.
//!
//! **What is learned.** By all parties, which points each still holds ([`Opening::HeldPoints`]). By the helper nothing: it deals for
//! fewer steps and sees how many, as always.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use paripassu_crypto::share::Shares;
use zeroize::Zeroizing;

use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::{Channel, Role},
    held,
};

/// What one party holds at a point.
#[derive(Clone, PartialEq, Eq)]
pub struct State {
    /// The epoch, or the pass, that it is after: from 1.
    pub point: u32,
    /// The same at all parties, and of no other point of any job.
    pub name: [u8; 32],
    /// This party's shares; stays here.
    pub own: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({})", self.point)
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

    /// Keeps the state at a point.
    fn keep(&mut self, state: State) -> Kept<'_>;

    /// Points of the aborted job that this party still holds, ascending, with their names; none where this job goes on with
    /// no other.
    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        None
    }

    /// The state at a point that was held.
    fn take(&mut self, point: u32) -> Option<State> {
        let _ = point;
        None
    }
}

/// What points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Epoch,
    Pass,
}

impl Of {
    fn context(self) -> &'static str {
        match self {
            Self::Epoch => "paripassu/v1 network after an epoch",
            Self::Pass => "paripassu/v1 logistic regression after a pass",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Epoch => "epochs",
            Self::Pass => "passes",
        }
    }
}

/// Agrees with the others on a point after so many steps, and keeps what is public of it, its number first, with shares.
///
/// # Leakage
/// To all parties the digest of this party's transcript.
pub(super) async fn keep<C: Channel, S>(
    engine: &mut Engine<C, S>,
    course: &mut dyn Course,
    (of, point, steps): (Of, u32, u64),
    public: &[u64],
    shares: &[&Shares],
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
    let mut name = blake3::Hasher::new_derive_key(of.context());
    name.update(&course.job());
    name.update(&point.to_le_bytes());
    name.update(&steps.to_le_bytes());
    heads.iter().for_each(|head| {
        name.update(head);
    });
    let words: usize = shares.iter().map(|s| s.len()).sum();
    let mut own = Zeroizing::new(Vec::with_capacity(8 * (1 + public.len() + words)));
    let all = shares.iter().flat_map(|s| s.words());
    for word in [u64::from(point)].iter().chain(public).chain(all) {
        own.extend_from_slice(&word.to_le_bytes());
    }
    let name = *name.finalize().as_bytes();
    course.keep(State { point, name, own }).await
}

/// A point of the aborted job that all parties hold alike.
pub(super) struct Point<const N: usize> {
    pub(super) number: u32,
    /// What is public of it.
    pub(super) public: [u64; N],
    /// This party's shares, made anew.
    words: Zeroizing<Vec<u64>>,
}

impl<const N: usize> Point<N> {
    /// The shares, to be [taken](take) one after another.
    pub(super) fn shares(&self) -> &[u64] {
        &self.words
    }
}

/// The latest point of the aborted job that all parties hold alike, its shares made anew; none where this job goes on with no other, or
/// there is no such point.
///
/// # Leakage
/// The opening `HeldPoints`, where it goes on with another.
///
/// # Errors
/// The channel's, the ledger's; a list that is none, naming its sender; a state of another kind.
pub(super) async fn latest<const N: usize, C: Channel, S>(
    engine: &mut Engine<C, S>,
    course: &mut dyn Course,
    of: Of,
) -> Result<Option<Point<N>>, Abort> {
    let Some(held) = course.held() else {
        return Ok(None);
    };
    engine.step("train/held");
    let (mine, body) = held::tell(&held);
    engine.told(Opening::HeldPoints, Receivers::All)?;
    let told = engine.at_step().broadcast("held", body).await?;
    let read = |(from, body): (Role, &Bytes)| {
        held::read(body).ok_or_else(|| Abort::Malformed {
            from,
            step: engine.path().to_owned(),
            problem: format!("no list of {} with digests", of.plural()),
        })
    };
    let told = engine.at_step().peers().zip(&told);
    let theirs: Vec<_> = told.map(read).collect::<Result<_, _>>()?;
    let Some(number) = held::latest(mine, &theirs) else {
        return Ok(None);
    };
    let state = course.take(number).ok_or_else(wrong)?;
    let (words, rest) = state.own.as_chunks::<8>();
    let words = words.iter().map(|w| u64::from_le_bytes(*w));
    let mut words = Zeroizing::new(words.collect::<Vec<u64>>());
    if !rest.is_empty() || words.len() < 1 + N || words[0] != u64::from(number) {
        return Err(wrong());
    }
    let mut public = [0; N];
    public.copy_from_slice(&words[1..=N]);
    words.drain(..=N);
    engine.refresh(&mut words).await?;
    Ok(Some(Point {
        number,
        public,
        words,
    }))
}

/// Fills shares with the next words.
pub(super) fn take(of: &mut Shares, rest: &mut &[u64]) -> Result<(), Abort> {
    let (head, tail) = rest.split_at_checked(of.len()).ok_or_else(wrong)?;
    of.words_mut().copy_from_slice(head);
    *rest = tail;
    Ok(())
}

/// A state that this job cannot go on from.
pub(super) fn wrong() -> Abort {
    Abort::Input(
        "what was kept of the aborted job is of another kind than this job: leave out align.resume and begin anew".into(),
    )
}
