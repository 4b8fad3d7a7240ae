//! Alignment of three to five parties by vector-OLE, in a star: nobody learns what only some of them have
//! in common.
//!
//! # Functionality
//! Parties 0 to n - 1 hold sets of customer ids. Each gets the rows of its own set whose id is in all n, in
//! one common order that nobody chose.
//!
//! # Protocol
//! Party 0, the centre, stands between the others, the spokes. What is not said here is as in
//! [the alignment of two](super).
//!
//! 1. All toss a key for all hashes, each committed before any half is opened, and announce their sizes. All
//!    sets are split into the same buckets, which are padded as if all had the largest one's size.
//! 2. Each two parties i, j share a secret `k_ij`. Of an item `x`, party i's *zero share* is
//!    `s_i(x) = sum over j of PRF(k_ij, x)`: the shares of all parties add up to 0, those of fewer are random
//!    to everyone who lacks a secret of the others'.
//! 3. For each bucket the centre encodes its items once, masked for each spoke by a correlation of their own:
//!
//! ```text
//! spoke i   proof of its correlation; a commitment to half a coin                       → centre
//! centre    A'_i = A_i + T; the other half                                              → spoke i
//! spoke i   a table P_i in which its own items y find F_i(y) + s_i(y), even over all
//!           such tables; its half                                                      → centre
//! centre    tags of the x for which s_0(x) + sum over i of (decode(P_i, x) + F_i(x)) = 0  → all spokes
//! ```
//!
//! `F_i` is the function that the correlation gives: the spoke knows it everywhere, the centre at its own
//! items. Where a spoke does not hold `x`, what its table gives there is random, so the sum is 0 for no other
//! reason than that all hold `x`, except with probability 2^-128 an item. A spoke that does not find a tag
//! among its own items ends the run in the centre's name. After each bucket every party may keep what was found in it,
//! with a digest of its tags, and another job goes on after the last bucket that all hold alike
//! ([`crate::align::resume`]), with a key, secrets and correlations of its own.
//!
//! # Adversary and what each learns
//! Semi-honest, any number of parties together, in the random-oracle model with the assumption of
//! [`paripassu_crypto::vole`] (augmented: parties together may be seen as having brought more ids). Each
//! learns which of its own ids all others have, and every other's size up to `batch`; nobody learns what some
//! but not all parties have in common, nor how many. The centre and some spokes together
//! learn of a remaining party's ids which are among their own: they may have brought any. Checked, in the
//! sender's name, against a party that does not follow the protocol, but not claimed to withstand it:
//! correlations, coins, tags, all messages at both ends, and the result.
//!
//! # Source
//! V. Kolesnikov, N. Matania, B. Pinkas, M. Rosulek, N. Trieu, "Practical multi-party private set
//! intersection from symmetric-key techniques", CCS 2017 (ePrint 2017/799), the protocol for the augmented
//! semi-honest model with unconditional zero-sharing, over the programmable function of ePrint 2022/320.
//! Departures: buckets; everybody learns the result, by tags.
//!
//! # Cost
//! Exactly [`declared_cost`]: a spoke sends and receives about 22 bytes an item of the largest set each way,
//! the centre as much with every spoke.

mod centre;
mod spoke;
#[cfg(test)]
mod tests;

use std::sync::atomic::AtomicU64;

use futures_util::future;
use paripassu_crypto::{okvs::Buckets, okvs::Okvs};
use zeroize::Zeroizing;

use super::{
    Going, Matched, OUTCOME, OVERFULL, Progress, compare, frames, keep_as,
    kept::{Hashes, Keeper, Past},
    link::{Link, offload},
    load::load,
    setup::{HASH, HELLO, Plan, derive, greet, hello, nonce},
    store::Items,
    too_many,
};
use crate::{
    abort::Abort,
    align::{Alignment, Ids, Params},
    channel::{Channel, Role},
    ctx::{Cost, Ctx},
};

/// Most parties.
pub const MOST: usize = 5;
/// The party in the middle.
const CENTRE: Role = Role::Party(0);

/// Exactly what the meter counts for party `index` of those with `rows`, of which `matched` are common.
pub fn declared_cost(params: &Params, index: u8, rows: &[u64], matched: u64) -> Cost {
    let spokes = rows.len().saturating_sub(1) as u64;
    let Some(plan) = plan(
        index == 0,
        params,
        rows.iter().copied().map(|r| frames(r, params.batch)),
    ) else {
        return Cost::default();
    };
    let n = plan.buckets.count() as u64;
    let (setup, table) = (plan.setup_cost(), 16 * plan.columns() as u64 + 32);
    // between any two: greeting, coin, size, outcome; a secret from the one that comes first
    let pairwise = HELLO as u64 + 32 + 4 + OUTCOME;
    let down = setup.bytes_sent + n * table + 16 * matched;
    let up = setup.bytes_received + n * (64 + table);
    let (above, below) = (spokes - u64::from(index), u64::from(index));
    let (links, sent, received, waits, messages) = match index {
        0 => (spokes, down, up, setup.rounds, setup.messages),
        _ => (1, up, down, setup.messages, setup.rounds),
    };
    Cost {
        rounds: 4 * spokes + below + links * (2 * n + waits),
        messages: 4 * spokes + above + links * (2 * n + messages),
        bytes_sent: spokes * pairwise + 32 * above + links * sent,
        bytes_received: spokes * pairwise + 32 * below + links * received,
    }
}

/// Buckets for the largest of sets of so many frames.
fn plan(encodes: bool, params: &Params, frames: impl Iterator<Item = u64>) -> Option<Plan> {
    let most = frames.max()?.checked_mul(u64::from(params.batch))?;
    Some(Plan::with(encodes, Buckets::new(most, most)?))
}

/// What the work on one bucket needs, at every party.
struct Shared {
    key: [u8; HASH],
    plan: Plan,
    /// Places of the centre's items.
    centre: Okvs,
    /// Places of the spokes' items.
    spokes: Okvs,
    /// Secrets shared with each other party.
    secrets: Vec<Zeroizing<[u8; HASH]>>,
}

impl Shared {
    /// Adds this party's zero share of each item.
    fn add_shares(&self, items: &[u128], values: &mut [u128]) {
        for secret in &self.secrets {
            for (item, value) in items.iter().zip(values.iter_mut()) {
                *value ^= first(&blake3::keyed_hash(secret, &item.to_le_bytes()));
            }
        }
    }

    /// The tag by which all parties know an item of a bucket.
    fn tags(&self, bucket: usize, items: &Items) -> Vec<(u128, u32)> {
        let key = derive("star-tags", &[&self.key, &(bucket as u64).to_le_bytes()]);
        let tag = |item: &u128| first(&blake3::keyed_hash(&key, &item.to_le_bytes()));
        let tags = items.items.iter().map(tag);
        tags.zip(items.rows.iter().copied()).collect()
    }
}

fn first(hash: &blake3::Hash) -> u128 {
    let half = hash.as_bytes().first_chunk();
    half.map_or(0, |b| u128::from_le_bytes(*b))
}

/// Runs one party's side; `ctx` is narrowed to the step of the alignment. Buckets are kept, and those of an aborted job
/// left out, as `going` says.
///
/// # Errors
/// As [`crate::align::run_on`].
///
/// # Leakage
/// To the others: the common customers and the number of own frames. See the head of this module.
pub(in crate::align) async fn run_on<C, I, P>(
    ctx: &Ctx<C>,
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
    Ok(matched(ctx, params, ids, going, progress).await?.0)
}

/// The same from the beginning; also how many frames each party announced, by its index.
pub(in crate::align) async fn run_telling<C, I, P>(
    ctx: &Ctx<C>,
    params: &Params,
    ids: I,
    progress: P,
) -> Result<(Alignment, Vec<u32>), Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    matched(ctx, params, ids, Going::default(), progress).await
}

async fn matched<C, I, P>(
    ctx: &Ctx<C>,
    params: &Params,
    ids: I,
    going: Going,
    progress: P,
) -> Result<(Alignment, Vec<u32>), Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    let Role::Party(index) = ctx.role() else {
        return Err(Abort::Input(
            "the helper takes no part in an alignment".into(),
        ));
    };
    if params.batch == 0 {
        return Err(Abort::Input("a frame must hold at least one item".into()));
    }
    let Going { keep, past, seen } = going;
    let links: Vec<Link<'_, C>> = ctx.peers().map(|peer| Link::to(ctx, peer)).collect();
    let key = toss(&links, index, params).await?;
    let (own, items) = (params.clone(), derive("ids", &[&key]));
    let (loaded, past) = offload(move || (load(ids, &own, &items, past.as_ref()), past)).await?;
    let (store, rows) = loaded?;
    let mut matched = Matched::new();
    let batches = match &past {
        None => sizes(&links, index, params, rows).await?,
        Some(past) => {
            seen.check(&past.ids)?;
            matched.go_on(past);
            sizes_left(&links, params, rows, past).await?
        }
    };
    let told = batches.iter().skip(1).copied().max().unwrap_or_default();
    let first = past.as_ref().map_or(told, |past| past.peer_batches);
    // none where all buckets are finished
    if let Some(most) = batches.iter().max() {
        let plan = plan(index == 0, params, batches.iter().map(|b| u64::from(*b)));
        let plan = plan.ok_or_else(too_many)?;
        tracing::debug!(?plan, parties = ctx.parties(), "alignment agreed");
        // a single bucket is the whole match, which is kept once it has been compared
        if let (Some(keep), 2..) = (keep, plan.buckets.count()) {
            let most = u64::from(*most) * u64::from(params.batch);
            let run = Hashes::new(items, most, most, 0).ok_or_else(too_many)?;
            let ids = seen.digest();
            let begin = move || {
                let past = past.as_ref();
                Keeper::begin(keep, &ids, first, plan.encodes, run, past)
            };
            matched.keeper = offload(begin).await??;
        }
        let secrets = future::try_join_all(links.iter().map(share)).await?;
        let shape = plan.buckets.encoded();
        let shared = Shared {
            key,
            plan,
            centre: Okvs::new(&derive("okvs", &[&key]), shape),
            spokes: Okvs::new(&derive("star-okvs", &[&key]), shape),
            secrets,
        };
        let drain = store.drain(plan.buckets);
        let progress = Progress {
            call: &progress,
            done: AtomicU64::new(0),
            each: u64::from(params.batch) * batches.iter().map(|b| u64::from(*b)).sum::<u64>(),
            buckets: plan.buckets.count() as u64,
        };
        matched = match index {
            0 => centre::run(&links, shared, drain, matched, &progress).await?,
            _ => spoke::run(&links, index, shared, drain, matched, &progress).await?,
        };
    }
    let (rows, fingerprint) = (matched.rows, *matched.tags.finalize().as_bytes());
    let count = rows.len() as u64;
    future::try_join_all(links.iter().map(|l| compare(l, count, &fingerprint))).await?;
    if count < params.min_matched {
        return Err(Abort::TooFewMatched {
            step: ctx.path().to_owned(),
            matched: count,
            min: params.min_matched,
        });
    }
    let alignment = Alignment {
        rows,
        fingerprint,
        peer_batches: first,
    };
    let mut told = vec![(index, batches.first().copied().unwrap_or_default())];
    let others = links.iter().zip(batches.iter().skip(1));
    told.extend(others.map(|(link, frames)| (link.peer_index(), *frames)));
    told.sort_unstable();
    Ok((
        alignment,
        told.into_iter().map(|(_, frames)| frames).collect(),
    ))
}

/// The key of all hashes, which no party chose.
async fn toss<C: Channel>(
    links: &[Link<'_, C>],
    index: u8,
    params: &Params,
) -> Result<[u8; HASH], Abort> {
    let half = nonce();
    let commit = |role: u8, half: &[u8]| derive("star-coin", &[&[role], half]);
    let mine = hello(params, &commit(index, &half));
    let commitments = future::try_join_all(links.iter().map(|l| greet(l, &mine))).await?;
    let opened = future::try_join_all(links.iter().map(|l| l.swap("coin", half.to_vec()))).await?;
    let mut halves = vec![(index, half.to_vec())];
    for ((link, commitment), other) in links.iter().zip(commitments).zip(opened) {
        if commit(link.peer_index(), &other) != commitment || other.len() != HASH {
            return Err(link.blame("coin", "it is not what the first message committed to"));
        }
        halves.push((link.peer_index(), other.to_vec()));
    }
    halves.sort_unstable();
    let all: Vec<&[u8]> = halves.iter().map(|(_, half)| half.as_slice()).collect();
    Ok(derive(
        "star-key",
        &[&[&params.session[..]], &all[..]].concat(),
    ))
}

/// Everybody's number of frames, the own first.
async fn sizes<C: Channel>(
    links: &[Link<'_, C>],
    index: u8,
    params: &Params,
    rows: u64,
) -> Result<Vec<u32>, Abort> {
    let own = u32::try_from(frames(rows, params.batch)).map_err(|_| too_many())?;
    let own = params.announce(index.into(), own)?;
    let told = links
        .iter()
        .map(|l| l.swap("size", own.to_le_bytes().to_vec()));
    let mut all = vec![own];
    for (link, got) in links.iter().zip(future::try_join_all(told).await?) {
        let frames = link.frames_told(&got, params)?;
        if let Some(problem) = params.misannounced(link.peer_index().into(), frames) {
            return Err(link.blame("size", problem));
        }
        all.push(frames);
    }
    Ok(all)
}

/// All announce what unfinished buckets could hold of the largest set, which follows from what was announced at first;
/// nothing if all are finished.
async fn sizes_left<C: Channel>(
    links: &[Link<'_, C>],
    params: &Params,
    rows: u64,
    past: &Past,
) -> Result<Vec<u32>, Abort> {
    past.tell(rows);
    let Some(left) = past.left_of_each() else {
        return Ok(Vec::new());
    };
    if rows > left {
        return Err(Abort::Input(OVERFULL.into()));
    }
    let own = u32::try_from(left.div_ceil(u64::from(params.batch))).map_err(|_| too_many())?;
    let told = links
        .iter()
        .map(|l| l.swap("size", own.to_le_bytes().to_vec()));
    for (link, got) in links.iter().zip(future::try_join_all(told).await?) {
        let frames = link.frames_told(&got, params)?;
        if frames != own {
            let problem = format!("it announces {frames} frames for what is left, expected {own}");
            return Err(link.blame("size", problem));
        }
    }
    Ok(vec![own; links.len() + 1])
}

/// Keeps a bucket whose common tags all parties know, where buckets are kept.
async fn keep(bucket: usize, tags: &[u8], matched: Matched) -> Result<Matched, Abort> {
    keep_as(bucket, derive("star-bucket", &[tags]), matched).await
}

/// The secret of a pair, from the one of the two that comes first.
async fn share<C: Channel>(link: &Link<'_, C>) -> Result<Zeroizing<[u8; HASH]>, Abort> {
    if link.index() == 0 {
        let secret = Zeroizing::new(nonce());
        link.send("share", bytes::Bytes::copy_from_slice(&*secret))
            .await?;
        return Ok(secret);
    }
    let got = link.recv("share").await?;
    let secret = <[u8; HASH]>::try_from(&got[..]);
    secret
        .map(Zeroizing::new)
        .map_err(|_| link.blame("share", format!("expected {HASH} bytes, got {}", got.len())))
}

/// The key of one pair's correlations.
fn pair_key(key: &[u8; HASH], spoke: u8) -> [u8; HASH] {
    derive("star-pair", &[key, &[spoke]])
}
