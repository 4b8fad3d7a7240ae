//! Matching customers: which rows two parties have in common.
//!
//! [`run`] is the only entrance: it takes a [`Method`], the agreed [`Params`] and a stream of
//! [`Ids`], and gives each party its own row numbers in an order that is the same at all parties.
//! What a method reveals beyond that is written at the head of its module; a job names the method,
//! so it names the disclosures.
//!
//! A method is a module with `run(ctx, params, ids, progress)` and `declared_cost`, a variant of
//! [`Method`], one of the job's `align.method`, and its costs in the job's plan. It reads ids once,
//! as a stream, keeps to `params.memory_bytes`, refuses duplicates and empty ids, and gives the
//! same order at all parties.
//!
#![cfg_attr(feature = "test-util", doc = "```")]
#![cfg_attr(not(feature = "test-util"), doc = "```ignore")]
//! use paripassu_protocol::{align::{self, IterIds, Method, Params}, testing::World};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let tables = [vec!["ann", "bob", "cy"], vec!["dan", "cy", "eve", "bob"]];
//! let params = Params { batch: 128, ..Params::new([7; 32]) };
//! let aligned = World::new(2)
//!     .run(
//!         |party, ctx| {
//!             let (ids, params) = (IterIds(tables[party].clone().into_iter()), params.clone());
//!             async move { align::run(&ctx, Method::Curve, &params, ids, |_, _| {}).await }
//!         },
//!         |_helper| async { Ok(()) },
//!     )
//!     .await;
//! let of = |party: usize| -> Vec<&str> {
//!     let rows = &aligned[party].as_ref().unwrap().rows;
//!     rows.iter().map(|row| tables[party][*row as usize]).collect()
//! };
//! assert_eq!(of(0).len(), 2);
//! assert_eq!(of(0), of(1)); // bob and cy, in an order neither party chose
//! # });
//! ```

mod any;
pub mod ecdh;
mod ids;
pub mod keys;
pub mod resume;
mod spill;
#[cfg(test)]
mod tests;
pub mod vole;

use std::{fmt, path::PathBuf};

pub use any::run_any;
pub use ecdh::size;
pub use ids::{IdBatch, Ids, IterIds};
pub use keys::{Keyed, Keys, LeftOut, run_keys};
pub use resume::{Course, Keep};
use resume::{Hashed, Point, Seen};

use crate::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::{Cost, Ctx},
};

/// How the parties match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Commuting masks on Curve25519, two parties: [`ecdh`].
    Curve,
    /// An oblivious pseudo-random function from vector-OLE, two parties: [`vole`]; three to five:
    /// [`vole::star`].
    Vole,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Curve => f.write_str("curve"),
            Self::Vole => f.write_str("vole"),
        }
    }
}

impl Method {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Curve, Self::Vole];
}

/// No method has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no method of alignment is called `{0}`; there are {known}", known = Method::ALL.map(|m| m.to_string()).join(" and "))]
pub struct UnknownMethod(String);

impl std::str::FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let found = Self::ALL.into_iter().find(|m| m.to_string() == name);
        found.ok_or_else(|| UnknownMethod(name.to_owned()))
    }
}

/// What the parties agree on, and what this node allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Agreed: binds every hash to one job, so that two jobs share no value. Public; equal at all
    /// parties and new for each job, for instance the contract's digest.
    pub session: [u8; 32],
    /// Agreed: fewer customers in common than this end the job at every party.
    pub min_matched: u64,
    /// Agreed: items in a frame, and the step in which set sizes are visible.
    pub batch: u32,
    /// Most rows this node accepts from a peer, and brings itself. A peer's are counted with their padding, in whole
    /// steps of `batch`: an honest one may bring [`Self::most_rows`].
    pub max_rows: u32,
    /// Memory for intermediate values at this node; the rest goes to an unnamed temporary file.
    /// Frames in flight (about 4 MiB at the default batch) and the result (4 bytes for each row in
    /// common) come on top.
    pub memory_bytes: u64,
    /// Where that file is made; the system's temporary directory when `None`.
    pub spill_dir: Option<PathBuf>,
    /// Frames that each party announces, by its index, where customers are matched by a further key ([`keys`]): as many
    /// as for the first. What a party has less is padded, and a party that announces another number ends the match.
    /// `None`, as everywhere else: each announces what it has.
    pub frames: Option<Vec<u32>>,
}

impl Params {
    /// What a party has to announce, where that is known.
    fn told(&self, index: usize) -> Option<u32> {
        self.frames.as_ref()?.get(index).copied()
    }

    /// Frames to announce for so many rows.
    fn announce(&self, index: usize, frames: u32) -> Result<u32, Abort> {
        match self.told(index) {
            Some(told) if told >= frames => Ok(told),
            Some(_) => Err(keys::changed()),
            None => Ok(frames),
        }
    }

    /// What is wrong with the frames that another party announces.
    fn misannounced(&self, index: usize, frames: u32) -> Option<String> {
        let told = self.told(index).filter(|told| *told != frames)?;
        Some(format!(
            "it announces {frames} frames for a further key, expected {told} as for the first"
        ))
    }

    /// Frames of 16,384 items, at most 100 million rows, 256 MiB, and at least one row in common.
    pub fn new(session: [u8; 32]) -> Self {
        Self {
            session,
            min_matched: 1,
            batch: 16_384,
            max_rows: 100_000_000,
            memory_bytes: 256 << 20,
            spill_dir: None,
            frames: None,
        }
    }

    /// Most rows with which an honest peer keeps to `max_rows`: the most whole steps of `batch` within it, less the
    /// padding.
    ///
    /// ```
    /// # use paripassu_protocol::align::Params;
    /// let params = Params { batch: 1_024, max_rows: 5_000, ..Params::new([0; 32]) };
    /// assert_eq!(params.most_rows(), 4 * 1_024 - 64);
    /// ```
    pub fn most_rows(&self) -> u32 {
        let steps = self.max_rows.checked_div(self.batch).unwrap_or(0);
        (steps * self.batch).saturating_sub(ecdh::MIN_PADDING as u32)
    }

    /// Refuses a peer that announces so many frames, if they hold more than this node allows.
    fn allows(&self, from: Role, step: &str, frames: u32) -> Result<(), Abort> {
        let announced = u64::from(frames) * u64::from(self.batch);
        match announced <= u64::from(self.max_rows) {
            true => Ok(()),
            false => Err(self.too_many(
                from,
                step,
                &format!("announces {announced} customers, padding included"),
            )),
        }
    }

    fn too_many(&self, from: Role, step: &str, what: &str) -> Abort {
        Abort::TooManyRows {
            from,
            step: step.to_owned(),
            problem: format!(
                "{from} {what}, and this node allows {}: with steps of {} it may bring {} at most (padding included; \
                 align.size_step), or ask for a higher limit",
                self.max_rows,
                self.batch,
                self.most_rows()
            ),
        }
    }
}

/// The rows that this party has in common with its peers.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alignment {
    /// This party's row numbers, in the order of [`Ids`], arranged in the common order: entry `i`
    /// is the same customer at every party. The order depends on all parties' secrets and on
    /// nothing else.
    pub rows: Vec<u32>,
    /// Equal at all parties exactly if they hold the same alignment; reveals nothing about ids.
    pub fingerprint: [u8; 32],
    /// Frames the peer sent: with the batch size, all that is known of its number of rows.
    pub peer_batches: u32,
}

impl fmt::Debug for Alignment {
    /// Membership is a disclosure to this party only: prints the count.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alignment")
            .field("matched", &self.rows.len())
            .field("peer_batches", &self.peer_batches)
            .finish_non_exhaustive()
    }
}

/// Matches this party's ids with its peers', below the step `align`.
///
/// `ids` must be normalised by the caller and distinct. `progress` is called with items done and
/// in all, from the first frame on; the rows in common are in the result only.
///
/// # Errors
/// [`Abort::Input`] before anything is sent, when this party's own ids cannot be used or the
/// intermediate values cannot be stored; [`Abort::TooFewMatched`] at all parties;
/// [`Abort::Disagreement`] and [`Abort::Malformed`] naming the peer; the channel's.
///
/// # Leakage
/// As the method's.
pub async fn run<C, I, P>(
    ctx: &Ctx<C>,
    method: Method,
    params: &Params,
    ids: I,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    let course = Course::default();
    run_on(ctx, method, params, ids, &course, progress).await
}

/// The same; what is found is kept on the way, and what an aborted job found is not matched again: [`resume`].
///
/// # Errors
/// As [`run`]; [`Abort::Input`] also where the ids are others than the aborted job's, or a part cannot be kept.
///
/// # Leakage
/// As the method's, and what [`resume`] says.
pub async fn run_on<C, I, P>(
    ctx: &Ctx<C>,
    method: Method,
    params: &Params,
    ids: I,
    course: &Course,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    let ctx = ctx.narrow("align");
    let seen = Seen::default();
    let ids = Hashed::new(ids, seen.clone());
    let past = match &course.before {
        None => None,
        Some(before) => match resume::agree(&ctx, before).await? {
            Point::Start => {
                tracing::warn!("nothing is held by all parties: all is matched anew");
                None
            }
            Point::Whole(then, alignment) => {
                let matched = alignment.rows.len();
                tracing::info!(matched, "the aborted job's match is taken over");
                let whole = resume::whole(ids, then, alignment, params.min_matched, ctx.path());
                let alignment = whole.await?;
                return kept(course, &seen, alignment).await;
            }
            Point::Buckets(past) => Some(*past),
        },
    };
    let going = vole::Going {
        keep: course.keep.clone(),
        past,
        seen: seen.clone(),
    };
    let alignment = match (method, ctx.parties()) {
        (Method::Curve, _) => ecdh::run(&ctx, params, ids, progress).await?,
        (Method::Vole, 3..=vole::star::MOST) => {
            vole::star::run_on(&ctx, params, ids, going, progress).await?
        }
        (Method::Vole, _) => vole::run_on(&ctx, params, ids, going, progress).await?,
    };
    kept(course, &seen, alignment).await
}

/// Keeps a whole match where the course asks for it.
async fn kept(course: &Course, seen: &Seen, alignment: Alignment) -> Result<Alignment, Abort> {
    if let Some(keep) = &course.keep {
        resume::keep(keep, seen, &alignment).await?;
    }
    Ok(alignment)
}

/// Cost to party `index`, which brings `own_rows` when its peer brings `peer_rows`, exactly as the
/// meter will count it.
pub fn declared_cost(
    method: Method,
    params: &Params,
    index: u8,
    own_rows: u64,
    peer_rows: u64,
) -> Cost {
    match method {
        Method::Curve => ecdh::declared_cost(params, own_rows, peer_rows),
        Method::Vole => vole::declared_cost(params, index, own_rows, peer_rows),
    }
}
