//! What a party keeps of a match while it runs, so that another job can go on where one was ended by a lost node.
//!
//! # What is kept
//! By vector-OLE: after each bucket, which own rows were found in it, and a digest of the bucket's messages (of three
//! parties and more: of the tags of common customers), which is the same at all parties. By every method, after the last comparison: the whole match; of a match
//! by several keys ([`super::keys`]), after each key, all that was found until then. By the curve
//! nothing is kept before the end of a run. No mask, correlation, share of a
//! coin or random number is kept, but the key under which both hashed their ids into buckets: both know it, and it
//! only says which ids are still to be matched.
//!
//! # Going on
//! A new job, with a session of its own, names the aborted one. All parties tell one another what they hold, by
//! digest (`agree`), and go on from the latest that all hold alike. Every party refuses, for itself, to go on with another
//! table than it brought. Ids of finished buckets are left out; all others are matched anew as in a first run, with
//! fresh coin, hashes, buckets and correlations. Announced sizes follow from what was announced before: what the
//! remaining buckets could hold, so that how many ids are left does not show.
//!
//! # Adversary and what is learnt
//! As the method's. Together both jobs tell each party which of its own ids are common, and which buckets the
//! other still held. A party that does not follow the protocol may bring other ids to the buckets that are matched again, or
//! say that it holds fewer than it does: no more than any two jobs over the same customers allow it, each of which
//! the other party approves. It cannot make the other take a bucket for finished that it did not finish: each reads
//! rows from its own store only.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use zeroize::Zeroizing;

use super::{Alignment, IdBatch, Ids, vole};
use crate::{
    abort::Abort,
    channel::Channel,
    ctx::Ctx,
    held::{self, Held},
};

/// The part that holds a whole match.
pub(super) const WHOLE: u32 = u32::MAX;

/// Where a party keeps parts of one job's match. Called off the reactor.
pub trait Keep: Send + Sync {
    /// Keeps a part, all or nothing, such that nobody else can read or alter it.
    ///
    /// # Errors
    /// Those of the disk.
    fn keep(&self, part: u32, text: &[u8]) -> io::Result<()>;

    /// A part as it was kept; none if it is not there.
    fn kept(&self, part: u32) -> Option<Zeroizing<Vec<u8>>>;
}

/// Where parts of this match are kept, and what there is of an aborted one.
#[derive(Clone, Default)]
pub struct Course {
    /// Where parts of this job's match go; nothing is kept if there is none.
    pub keep: Option<Arc<dyn Keep>>,
    /// What was kept of the job that this one goes on with.
    pub before: Option<Arc<dyn Keep>>,
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keep, before) = (self.keep.is_some(), self.before.is_some());
        write!(f, "Course(keeps: {keep}, goes on: {before})")
    }
}

/// Digest of all ids read, once they are.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<[u8; 32]>>);

impl Seen {
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these were the ids that the aborted job matched.
    pub(super) fn check(&self, then: &[u8; 32]) -> Result<(), Abort> {
        match self.digest() == *then {
            true => Ok(()),
            false => Err(Abort::Input(
                "the customers in the data set are others, or in another order, than when the aborted job matched \
                 them, so its match cannot be gone on with: propose the job without align.resume"
                    .into(),
            )),
        }
    }
}

/// Ids that are hashed as they are read.
pub(super) struct Hashed<I> {
    ids: I,
    hash: blake3::Hasher,
    seen: Seen,
}

impl<I> Hashed<I> {
    pub(super) fn new(ids: I, seen: Seen) -> Self {
        let hash = blake3::Hasher::new_derive_key("paripassu align v1 ids of a table");
        Self { ids, hash, seen }
    }
}

impl<I: Ids> Hashed<I> {
    /// Reads all ids.
    pub(super) fn read_through(&mut self) -> Result<(), Abort> {
        let mut batch = IdBatch::default();
        loop {
            batch.clear();
            self.read(16_384, &mut batch)?;
            if batch.is_empty() {
                return Ok(());
            }
        }
    }
}

impl<I: Ids> Ids for Hashed<I> {
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort> {
        self.ids.read(limit, batch)?;
        for id in batch.iter() {
            self.hash.update(&(id.len() as u64).to_le_bytes());
            self.hash.update(id);
        }
        if batch.is_empty() {
            let mut seen = self.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            *seen = *self.hash.finalize().as_bytes();
        }
        Ok(())
    }
}

/// A whole match, as it is kept.
struct Whole {
    ids: [u8; 32],
    alignment: Alignment,
}

impl Whole {
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let own = &self.alignment;
        let mut out = Zeroizing::new(Vec::with_capacity(68 + 4 * own.rows.len()));
        out.extend_from_slice(&self.ids);
        out.extend_from_slice(&own.fingerprint);
        out.extend_from_slice(&own.peer_batches.to_le_bytes());
        put_rows(&mut out, &own.rows);
        out
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let (ids, rest) = text.split_first_chunk::<32>()?;
        let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
        let (batches, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            ids: *ids,
            alignment: Alignment {
                rows: rows(rest)?,
                fingerprint: *fingerprint,
                peer_batches: u32::from_le_bytes(*batches),
            },
        })
    }
}

pub(super) fn put_rows(out: &mut Vec<u8>, rows: &[u32]) {
    rows.iter()
        .for_each(|row| out.extend_from_slice(&row.to_le_bytes()));
}

pub(super) fn rows(text: &[u8]) -> Option<Vec<u32>> {
    let (rows, rest) = text.as_chunks::<4>();
    let rows = rows.iter().map(|row| u32::from_le_bytes(*row));
    rest.is_empty().then(|| rows.collect())
}

/// An error of the store.
pub(super) fn unkept(e: io::Error) -> Abort {
    Abort::Input(format!(
        "what has been matched so far cannot be kept in the state folder: {e}"
    ))
}

/// What this party goes on from.
pub(super) enum Point {
    /// Nothing: all is matched anew.
    Start,
    /// A whole match over ids with this digest.
    Whole([u8; 32], Alignment),
    /// Some buckets.
    Buckets(Box<vole::kept::Past>),
}

/// The latest point of the aborted job that all parties hold alike.
///
/// # Leakage
/// To all parties, what each still holds: numbers of finished buckets and digests that all know.
///
/// # Errors
/// [`Abort::Malformed`] naming the peer; the channel's.
pub(super) async fn agree<C: Channel>(
    ctx: &Ctx<C>,
    before: &Arc<dyn Keep>,
) -> Result<Point, Abort> {
    let store = Arc::clone(before);
    let (whole, buckets) = offload(move || {
        let whole = store.kept(WHOLE).and_then(|text| Whole::decode(&text));
        (whole, vole::kept::Past::read(&*store))
    })
    .await?;
    let mut held: Vec<Held> = Vec::new();
    held.extend(buckets.iter().flat_map(|past| past.points()));
    held.extend(whole.as_ref().map(|w| (WHOLE, w.alignment.fingerprint)));
    Ok(match (latest_held(ctx, &held).await?, whole, buckets) {
        (Some(WHOLE), Some(whole), _) => Point::Whole(whole.ids, whole.alignment),
        (Some(point), _, Some(past)) => Point::Buckets(Box::new(past.until(point))),
        _ => Point::Start,
    })
}

/// Tells all parties which parts this one holds; the latest that all hold alike.
pub(super) async fn latest_held<C: Channel>(
    ctx: &Ctx<C>,
    held: &[Held],
) -> Result<Option<u32>, Abort> {
    let (mine, body) = held::tell(held);
    let told = ctx.broadcast("held", body).await?;
    let read = |(from, body)| {
        held::read(body).ok_or_else(|| Abort::Malformed {
            from,
            step: format!("{}/held", ctx.path()),
            problem: "no list of finished parts with digests".into(),
        })
    };
    let theirs: Vec<_> = ctx.peers().zip(&told).map(read).collect::<Result<_, _>>()?;
    Ok(held::latest(mine, &theirs))
}

/// Takes a whole match once all ids have been read and found the same.
pub(super) async fn whole<I: Ids + 'static>(
    mut ids: Hashed<I>,
    then: [u8; 32],
    alignment: Alignment,
    min_matched: u64,
    step: &str,
) -> Result<Alignment, Abort> {
    let read = move || {
        ids.read_through()?;
        ids.seen.check(&then)
    };
    offload(read).await??;
    let matched = alignment.rows.len() as u64;
    match matched < min_matched {
        true => Err(Abort::TooFewMatched {
            step: step.to_owned(),
            matched,
            min: min_matched,
        }),
        false => Ok(alignment),
    }
}

/// Keeps a whole match.
pub(super) async fn keep(
    keep: &Arc<dyn Keep>,
    seen: &Seen,
    alignment: &Alignment,
) -> Result<(), Abort> {
    let whole = Whole {
        ids: seen.digest(),
        alignment: alignment.clone(),
    };
    let keep = Arc::clone(keep);
    let kept = offload(move || keep.keep(WHOLE, &whole.encode())).await?;
    kept.map_err(unkept)
}

async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, Abort> {
    vole::offload(f).await
}

#[cfg(test)]
mod tests;
