//! Alignment by vector-OLE: two parties, secure against active adversaries.
//!
//! # Functionality
//! Parties hold sets X and Y of customer ids. Each gets the rows of its own set whose id is in both,
//! in one common order that neither chose.
//!
//! # Protocol
//! 1. Both commit to half a key, then open it: all hashes below are under a key neither chose.
//! 2. Both read their ids, hash them, announce their sizes in steps of `batch`. The party with the smaller
//!    set *encodes*, the other one *sends*. Both split their hashes into the same buckets.
//! 3. Correlations: 128 base transfers, one extension, one short vector-OLE, and from that the trees of one
//!    long vector-OLE a bucket ([`paripassu_crypto::ot`], [`paripassu_crypto::vole`]).
//! 4. For each bucket, `T` a table in which the encoder's items find their values ([`paripassu_crypto::okvs`]):
//!
//! ```text
//! sender    proof of its correlation; a commitment to w_s                                → encoder
//! encoder   A' = A + T, padded; w_e                                                     → sender
//! sender    F(y) = H_w(decode(B + A' Δ, y) + Δ v(y), y) for its items, first half, sorted, padded; w_s   → encoder
//! encoder   F(x) = H_w(decode(C, x), x); which of the sender's outputs are among its own, and a hash
//!           of these outputs' second halves                                              → sender
//! ```
//!
//! `C = B + A Δ` gives `decode(C, x) = decode(B + A' Δ, x) + Δ decode(T, x)`, so the two agree where
//! `T` was made for `x`. Elsewhere `F` is pseudo-random to the encoder.
//!
//! 5. Rows in common are ordered by bucket and in it by output: by hashes under keys that neither chose.
//!    Both compare digests of all messages and of the result.
//!
//! # Adversary and what each learns
//! Active, either party, in the random-oracle model, with the assumption named in
//! [`paripassu_crypto::vole`]. Each learns which of its own ids the other has brought and the
//! other's size up to `batch`. A dishonest encoder can put about 1.3 times as many ids into a
//! bucket's table as it announces, and, since it learns the result first, can tell the sender of
//! fewer common customers than there are (which is as if it had not brought them, but chosen late); it
//! cannot claim one that it did not bring, nor can the sender make it accept one it did not bring.
//! Either can end the run. Ids that are not its customers can be brought by anyone, as in any
//! private set intersection. What is altered on the way ends the run, in the sender's name.
//!
//! # Source
//! P. Rindal, P. Schoppmann, "VOLE-PSI: fast OPRF and circuit-PSI from vector-OLE", EUROCRYPT 2021 (ePrint
//! 2021/266), the maliciously secure variant (128-bit outputs, a coin committed to before the table is
//! seen); tables and sizes by S. Raghuraman, P. Rindal, "Blazing fast PSI from improved OKVS and subfield
//! VOLE", CCS 2022 (ePrint 2022/320). Departures: buckets, each with a coin of its own; the coin keys the
//! oracle instead of being added to its input; outputs are cut to their first half on the way, and the
//! second half proves to the sender what the encoder claims; both learn the result; ids are
//! hashed to 128 bits under a key tossed after nothing else is known.
//!
//! # Cost
//! Exactly [`declared_cost`]; about 21 bytes an item of the encoder's, 17 of the sender's and half a
//! megabyte. Rounds do not wait for one another but in the set-up.
//!
//! Memory: half of `memory_bytes` for own hashes, 4 bytes a row in common, and the buckets in flight, at
//! most about 100 MiB. What does not fit goes to an unnamed file, encrypted under a key in memory.
//!
//! # Failure
//! Correct but with probability 2^-64 or so for any sets: a table that cannot be solved or a bucket
//! that is overfull (both below 2^-64) end the run; equal hashes or outputs of different ids are rarer.

mod encoder;
pub(super) mod kept;
mod link;
mod load;
mod outputs;
mod sender;
mod setup;
pub mod star;
mod store;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use paripassu_crypto::vole::Public;

pub(super) use self::link::offload;
use self::{
    kept::{Hashes, Keeper, Past},
    link::Link,
    load::load,
    setup::{HELLO, MIN_PADDING, Plan, agree, choose, derive, hold},
};
use super::{
    Alignment, Ids, Params,
    resume::{Hashed, Keep, Seen, unkept},
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::{Cost, Ctx},
};

/// Buckets sent and not yet answered.
const AHEAD: usize = 1;
/// Bytes of the last message: digests, number and fingerprint.
const OUTCOME: u64 = 3 * 32 + 8;

/// Exactly what the meter counts for party `index`.
pub fn declared_cost(params: &Params, index: u8, own_rows: u64, peer_rows: u64) -> Cost {
    let announced = |rows| frames(rows, params.batch) * u64::from(params.batch);
    let Some(plan) = Plan::new(index, announced(own_rows), announced(peer_rows)) else {
        return Cost::default();
    };
    let n = plan.buckets.count() as u64;
    let setup = plan.setup_cost();
    let (columns, tags) = (plan.columns() as u64, plan.buckets.looked_up() as u64);
    let encoder = n * (16 * columns + 32 + tags.div_ceil(8) + 32) + setup.bytes_sent;
    let sender = n * (64 + 16 * tags + 32) + setup.bytes_received;
    let fixed = HELLO as u64 + 32 + 4 + OUTCOME;
    let (sent, received) = match plan.encodes {
        true => (encoder, sender),
        false => (sender, encoder),
    };
    let (waits, messages) = match plan.encodes {
        true => (setup.rounds, setup.messages),
        false => (setup.messages, setup.rounds),
    };
    Cost {
        rounds: 4 + 2 * n + waits,
        messages: 4 + 2 * n + messages,
        bytes_sent: fixed + sent,
        bytes_received: fixed + received,
    }
}

pub(super) fn frames(rows: u64, batch: u32) -> u64 {
    (rows + MIN_PADDING).div_ceil(u64::from(batch.max(1)))
}

/// Runs one party's side; `ctx` is narrowed to the step of the alignment.
///
/// # Errors
/// As [`super::run`].
///
/// # Leakage
/// To the peer: the common customers and the number of own frames. See the head of this module.
pub async fn run<C, I, P>(
    ctx: &Ctx<C>,
    params: &Params,
    ids: I,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    matched(Link::new(ctx)?, params, ids, Going::default(), progress).await
}

/// The same where buckets are kept, or some of an aborted job's are finished.
pub(super) async fn run_on<C, I, P>(
    ctx: &Ctx<C>,
    params: &Params,
    ids: Hashed<I>,
    going: Going,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    matched(Link::new(ctx)?, params, ids, going, progress).await
}

/// What is kept of this run, and what it goes on from.
#[derive(Default)]
pub(super) struct Going {
    pub(super) keep: Option<Arc<dyn Keep>>,
    pub(super) past: Option<Past>,
    pub(super) seen: Seen,
}

/// The same with one of several data parties.
pub(super) async fn between<C, I, P>(
    ctx: &Ctx<C>,
    peer: Role,
    params: &Params,
    ids: I,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    matched(Link::to(ctx, peer), params, ids, Going::default(), progress).await
}

async fn matched<C, I, P>(
    link: Link<'_, C>,
    params: &Params,
    ids: I,
    going: Going,
    progress: P,
) -> Result<Alignment, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    if params.batch == 0 {
        return Err(Abort::Input("a frame must hold at least one item".into()));
    }
    let Going { keep, past, seen } = going;
    let key = agree(&link, params).await?;
    let (own, items) = (params.clone(), derive("ids", &[&key]));
    let (loaded, past) = offload(move || (load(ids, &own, &items, past.as_ref()), past)).await?;
    let (store, rows) = loaded?;
    let mut matched = Matched::new();
    let (sizes, first) = match &past {
        None => {
            let sizes = sizes(&link, params, rows).await?;
            (Some(sizes), sizes.1)
        }
        Some(past) => {
            seen.check(&past.ids)?;
            matched.go_on(past);
            (
                sizes_left(&link, params, rows, past).await?,
                past.peer_batches,
            )
        }
    };
    if let Some((own_batches, peer_batches)) = sizes {
        let announced = |batches: u32| u64::from(batches) * u64::from(params.batch);
        let (own, peer) = (announced(own_batches), announced(peer_batches));
        let plan = Plan::new(link.index(), own, peer).ok_or_else(too_many)?;
        link.allows(&plan, params)?;
        tracing::debug!(?plan, "alignment agreed");
        // a single bucket is the whole match, which is kept once it has been compared
        if let (Some(keep), 2..) = (keep, plan.buckets.count()) {
            let (encoded, looked_up) = if plan.encodes {
                (own, peer)
            } else {
                (peer, own)
            };
            let run = Hashes::new(items, encoded, looked_up, 0).ok_or_else(too_many)?;
            let (ids, begun) = (seen.digest(), past);
            let begin = move || {
                let past = begun.as_ref();
                Keeper::begin(keep, &ids, first, plan.encodes, run, past)
            };
            matched.keeper = offload(begin).await??;
        }
        let public = Public::new(&derive("vole", &[&key]));
        let drain = store.drain(plan.buckets);
        let progress = Progress {
            call: &progress,
            done: AtomicU64::new(0),
            each: own + peer,
            buckets: plan.buckets.count() as u64,
        };
        matched = match plan.encodes {
            true => {
                let chosens = choose(&link, &public, &key, plan).await?;
                encoder::encode(&link, key, public, plan, chosens, drain, matched, &progress)
                    .await?
            }
            false => {
                let helds = hold(&link, &public, &key, plan).await?;
                sender::send(&link, key, public, plan, helds, drain, matched, &progress).await?
            }
        };
    }
    let (rows, fingerprint) = (matched.rows, *matched.tags.finalize().as_bytes());
    compare(&link, rows.len() as u64, &fingerprint).await?;
    if (rows.len() as u64) < params.min_matched {
        return Err(Abort::TooFewMatched {
            step: link.step().to_owned(),
            matched: rows.len() as u64,
            min: params.min_matched,
        });
    }
    Ok(Alignment {
        rows,
        fingerprint,
        peer_batches: first,
    })
}

/// Announces sizes; own frames, and the peer's.
async fn sizes<C: Channel>(
    link: &Link<'_, C>,
    params: &Params,
    rows: u64,
) -> Result<(u32, u32), Abort> {
    let own = u32::try_from(frames(rows, params.batch)).map_err(|_| too_many())?;
    let own = params.announce(link.own_index().into(), own)?;
    let got = link.swap("size", own.to_le_bytes().to_vec()).await?;
    let peer = link.frames_told(&got, params)?;
    match params.misannounced(link.peer_index().into(), peer) {
        None => Ok((own, peer)),
        Some(problem) => Err(link.blame("size", problem)),
    }
}

/// Announces what unfinished buckets could hold, which follows from what was announced at first; none if all are finished.
async fn sizes_left<C: Channel>(
    link: &Link<'_, C>,
    params: &Params,
    rows: u64,
    past: &Past,
) -> Result<Option<(u32, u32)>, Abort> {
    past.tell(rows);
    let Some((own, peer)) = past.left() else {
        return Ok(None);
    };
    if rows > own {
        return Err(Abort::Input(OVERFULL.into()));
    }
    let frames = |items: u64| u32::try_from(items.div_ceil(u64::from(params.batch)));
    let (own, expected) = (frames(own), frames(peer));
    let (own, expected) = (
        own.map_err(|_| too_many())?,
        expected.map_err(|_| too_many())?,
    );
    let got = link.swap("size", own.to_le_bytes().to_vec()).await?;
    let peer = link.frames_told(&got, params)?;
    match peer == expected {
        true => Ok(Some((own, peer))),
        false => {
            let problem =
                format!("it announces {peer} frames for what is left, expected {expected}");
            Err(link.blame("size", problem))
        }
    }
}

/// What hardly ever happens.
const OVERFULL: &str = "a bucket of the alignment is overfull, which happens with a chance of less than 2^-64: run again";

fn too_many() -> Abort {
    Abort::Input("the sets have more rows than an alignment takes: align parts of them".into())
}

/// The last message: digests of what was sent and received, and of the result.
async fn compare<C: Channel>(
    link: &Link<'_, C>,
    matched: u64,
    fingerprint: &[u8; 32],
) -> Result<(), Abort> {
    let [sent, received] = link.digests();
    let outcome = |sent: &[u8], received: &[u8]| {
        [sent, received, fingerprint, &matched.to_le_bytes()].concat()
    };
    let got = link.swap("outcome", outcome(&sent, &received)).await?;
    if got[..] == outcome(&received, &sent)[..] {
        return Ok(());
    }
    let problem = match got.len() as u64 == OUTCOME {
        false => return Err(link.blame("outcome", format!("expected {OUTCOME} bytes"))),
        true => {
            "it did not send what this node received, received what this node sent, or \
                 concluded what this node did: something was altered on the way"
        }
    };
    Err(link.differ("outcome", problem))
}

/// Rows in common, bucket by bucket and within each by tag.
struct Matched {
    rows: Vec<u32>,
    tags: blake3::Hasher,
    keeper: Option<Keeper>,
}

impl Matched {
    fn new() -> Self {
        Self {
            rows: Vec::new(),
            tags: blake3::Hasher::new_derive_key("paripassu align vole v1 matched tags"),
            keeper: None,
        }
    }

    /// Begins with what was found before.
    fn go_on(&mut self, past: &Past) {
        self.tags.update(&past.digest());
        self.rows.extend_from_slice(past.rows());
    }

    fn push(&mut self, tag: u128, row: u32) {
        self.tags.update(&tag.to_le_bytes());
        self.rows.push(row);
    }

    /// Keeps a bucket that both ends are done with.
    fn finished(&mut self, bucket: usize, messages: &[u8; 32]) -> io::Result<()> {
        let rows = &self.rows;
        let kept = self.keeper.as_mut();
        kept.map_or(Ok(()), |keeper| keeper.finished(bucket, messages, rows))
    }
}

/// Keeps a bucket that both ends are done with, where buckets are kept.
async fn keep<C: Channel>(
    link: &Link<'_, C>,
    bucket: usize,
    matched: Matched,
) -> Result<Matched, Abort> {
    match matched.keeper {
        Some(_) => keep_as(bucket, link.bucket(bucket), matched).await,
        None => Ok(matched),
    }
}

/// The same, with a digest that all parties have of the bucket.
async fn keep_as(bucket: usize, digest: [u8; 32], mut matched: Matched) -> Result<Matched, Abort> {
    if matched.keeper.is_none() {
        return Ok(matched);
    }
    let (matched, kept) = offload(move || {
        let kept = matched.finished(bucket, &digest);
        (matched, kept)
    })
    .await?;
    kept.map_err(unkept)?;
    Ok(matched)
}

/// Tells the caller after each bucket.
struct Progress<'a> {
    call: &'a (dyn Fn(u64, u64) + Send + Sync),
    done: AtomicU64,
    /// Items of both sets.
    each: u64,
    buckets: u64,
}

impl Progress<'_> {
    fn advance(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        (self.call)(self.each * done / self.buckets.max(1), self.each);
    }
}
