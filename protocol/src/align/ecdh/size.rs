//! How many customers two parties have in common, to within a bucket, and nothing of who they are.
//!
//! # Functionality
//! Parties 0 and 1 give sets X and Y of ids. The helper learns |X ∩ Y|; each party learns which bucket it falls into
//! ([`buckets`]): below `min_matched`, or between two steps of 1, 2, 5, 10, 20 ... Nobody learns which ids are common.
//!
//! # Protocol
//! ```text
//! 0 → 1       a·H(x) for its ids, shuffled, padded           1 → 0   b·H(y), likewise
//! both        compare digests of all frames
//! 1 → helper  b·a·H(x), first 16 bytes, in ascending order   0 → helper   a·b·H(y), likewise
//! helper      counts equal values                            → 0, 1       the number of the bucket
//! ```
//!
//! # Adversary and what each learns
//! Passive; also a party together with the helper. Random oracle, decisional Diffie-Hellman on Curve25519 ([`super`]).
//! - *Each data party*: the bucket, and the other's number of rows up to the frame size. What it gets of the other's ids is
//!   masked with a key that it does not have, in a random order.
//! - *The helper*: the exact number of common customers and both numbers of frames. Values that it gets are masked
//!   with both keys and sorted: pseudo-random, in an order that says nothing. It cannot try guesses.
//! - *A party with the helper*: the exact number, and no more: the helper has the values that stand for the
//!   party's own ids without knowing which is whose, since the other party sorted them.
//! - A party that does not follow the protocol can bring few ids that it chose, and learn from the bucket whether
//!   many of them are the other's: policy limits rows and runs, and `min_matched` is the least width of a bucket.
//!   Two runs over sets that differ by one customer differ in the bucket only where the number lies at its edge.
//!   The helper, if it lies, can name a wrong bucket.
//!
//! # Source
//! E. De Cristofaro, P. Gasti, G. Tsudik, "Fast and private computation of cardinality of set intersection and union",
//! CANS 2012 (masked items come back shuffled, so that only their number shows); C. Meadows, as [`super`]. Departure:
//! doubly masked values of both sides go to the helper, which compares them instead of a party, as the server of
//! S. Kamara, P. Mohassel, M. Raykova, S. Sadeghian, "Scaling private set intersection to billion-element sets", FC 2014;
//! there, parties share a key, here each keeps its own, so that the server with one party learns nothing more.
//!
//! # Cost
//! 32 bytes an own item to the peer, 16 bytes an item of the peer's to the helper, padding included.
//!
//! # Precision
//! Exact but for collisions of 16-byte values, below 2^-64 for sets of 2^32.

use bytes::Bytes;
use futures_util::future;

use super::{
    AHEAD, Answered, Domain, Fault, MaskKey, Outcome, Run, Secrets, TAG_BYTES, agree, digest, load,
    load::disk, malformed, msg, named, offload, peer_of,
};
use crate::{
    abort::Abort,
    align::{Ids, Params, spill::Drain},
    channel::{Channel, Role},
    ctx::Ctx,
};

/// Steps of buckets below this.
const MOST: u64 = 5_000_000_000;

/// Where buckets begin, ascending, besides the first, which begins at 0: `min_matched`, and from twice as much on
/// every 1, 2, 5, 10, 20, 50 ... None is narrower than `min_matched`.
pub fn buckets(min_matched: u64) -> Vec<u64> {
    let first = min_matched.max(1);
    let mut edges = vec![first];
    let mut ten = 1_u64;
    while ten <= MOST {
        for step in [1, 2, 5] {
            let edge = ten * step;
            let last = edges.last().copied().unwrap_or(first);
            if edge >= 2 * first && edge - last >= first && edge <= MOST {
                edges.push(edge);
            }
        }
        ten *= 10;
    }
    edges
}

/// A bucket of sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeBucket {
    /// Least size in it.
    pub from: u64,
    /// Sizes in it are below this; none in the last.
    pub below: Option<u64>,
}

impl SizeBucket {
    /// The bucket with this number.
    fn of(number: usize, edges: &[u64]) -> Option<Self> {
        let from = match number {
            0 => 0,
            n => *edges.get(n - 1)?,
        };
        let below = edges.get(number).copied();
        Some(Self { from, below })
    }
}

/// What a party learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Within what the number of common customers is.
    pub bucket: SizeBucket,
    /// Frames the peer sent.
    pub peer_batches: u32,
}

/// Runs one party's side, below the step `align`.
///
/// # Errors
/// As [`crate::align::run`].
///
/// # Leakage
/// As at the head of this module.
pub async fn run<C, I, P>(ctx: &Ctx<C>, params: &Params, ids: I, progress: P) -> Result<Size, Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    let ctx = &ctx.narrow("align");
    if params.batch == 0 {
        return Err(Abort::Input("a frame must hold at least one item".into()));
    }
    let (peer, p) = (peer_of(ctx)?, params.clone());
    let items = offload(move || load(ids, &p, 0)).await??;
    let own_batches = items.batches;
    let peer_batches = agree(ctx, peer, params, own_batches).await?;
    let run = Run {
        ctx,
        peer,
        params,
        own_batches,
        peer_batches,
        returns: false,
        progress,
        done: Default::default(),
        secrets: std::sync::Arc::new(Secrets {
            key: MaskKey::random(),
            domain: Domain::new("align-size", msg::VERSION, &params.session)
                .map_err(|e| Abort::Input(e.to_string()))?,
        }),
    };
    let (rows, awaited) = tokio::sync::mpsc::channel(AHEAD);
    let (sent_points, answered, ()) = future::try_join3(
        run.send_own(items, rows),
        run.answer_peer(),
        run.acknowledged(awaited),
    )
    .await?;
    let outcome = Outcome {
        sent_points,
        received_points: digest(&answered.points),
        sent_tags: [0; 32],
        received_tags: [0; 32],
        matched: 0,
        fingerprint: [0; 32],
    };
    run.compare(&outcome).await?;
    let bucket = run.ask_helper(answered).await?;
    Ok(Size {
        bucket,
        peer_batches,
    })
}

impl<C: Channel, P: Fn(u64, u64) + Send + Sync> Run<'_, C, P> {
    /// The peer has taken each frame; where its items are among its own, nobody says.
    async fn acknowledged(
        &self,
        mut rows: tokio::sync::mpsc::Receiver<Vec<u32>>,
    ) -> Result<(), Abort> {
        for i in 0..self.own_batches {
            if rows.recv().await.is_none() {
                // The sender failed, and its error ends the run.
                break;
            }
            let name = format!("tags-{i}");
            let body = self.ctx.recv(self.peer, &name).await?;
            if !body.is_empty() {
                let problem = "it returns masked values in a run that asks for none".to_owned();
                return Err(malformed(self.ctx, self.peer, &name, problem));
            }
            self.advance();
        }
        Ok(())
    }

    /// Sends the peer's items, masked with both keys and sorted, to the helper; what it counted.
    async fn ask_helper(&self, answered: Answered) -> Result<SizeBucket, Abort> {
        let (ctx, helper) = (self.ctx, Role::Helper);
        let sorted = offload(move || answered.store.finish().map(Drain::new)).await?;
        let mut drain = sorted.map_err(disk)?;
        let told = Bytes::copy_from_slice(&self.peer_batches.to_le_bytes());
        ctx.send(helper, "sorted", told).await?;
        let batch = self.batch();
        let mut last = None;
        for i in 0..self.peer_batches {
            let (back, frame) = offload(move || {
                let frame = drain.take(batch);
                (drain, frame)
            })
            .await?;
            drain = back;
            let frame = frame.map_err(disk)?;
            let mut twice = last
                .iter()
                .chain(&frame)
                .zip(last.iter().chain(&frame).skip(1));
            if twice.any(|(a, b)| a == b) {
                let fault = Fault::Peer(String::new(), "it sent one id more than once".into());
                return Err(self.blame(named(fault, "masked")));
            }
            last = frame.last().copied();
            // the helper holds few frames of either party
            if let Some(taken) = i.checked_sub(2) {
                ctx.recv(helper, &format!("taken-{taken}")).await?;
            }
            ctx.send(
                helper,
                &format!("sorted-{i}"),
                frame.into_flattened().into(),
            )
            .await?;
        }
        let edges = buckets(self.params.min_matched);
        let body = ctx.recv(helper, "bucket").await?;
        let number = match body[..] {
            [number] => SizeBucket::of(usize::from(number), &edges),
            _ => None,
        };
        number.ok_or_else(|| malformed(ctx, helper, "bucket", "it is no bucket of this job".into()))
    }
}

/// One party's values at the helper, frame by frame.
struct Values<'a, C> {
    ctx: &'a Ctx<C>,
    from: Role,
    batch: usize,
    batches: u32,
    next: u32,
    frame: std::vec::IntoIter<[u8; TAG_BYTES]>,
    last: Option<[u8; TAG_BYTES]>,
}

impl<'a, C: Channel> Values<'a, C> {
    async fn begin(ctx: &'a Ctx<C>, from: Role, params: &Params) -> Result<Self, Abort> {
        let told = ctx.recv(from, "sorted").await?;
        let most = params.max_rows.checked_div(params.batch).unwrap_or(0);
        let batches = told[..].try_into().map(u32::from_le_bytes);
        let Some(batches) = batches.ok().filter(|n| (1..=most).contains(n)) else {
            let problem = format!("expected a number of frames from 1 to {most}");
            return Err(malformed(ctx, from, "sorted", problem));
        };
        Ok(Self {
            ctx,
            from,
            batch: usize::try_from(params.batch).unwrap_or(usize::MAX),
            batches,
            next: 0,
            frame: Vec::new().into_iter(),
            last: None,
        })
    }

    /// The next value, in ascending order; none at the end.
    async fn next(&mut self) -> Result<Option<[u8; TAG_BYTES]>, Abort> {
        if self.frame.as_slice().is_empty() {
            if self.next == self.batches {
                return Ok(None);
            }
            let name = format!("sorted-{}", self.next);
            let body = self.ctx.recv(self.from, &name).await?;
            let wrong = |problem| malformed(self.ctx, self.from, &name, problem);
            let frame = msg::items::<TAG_BYTES>(&body, self.batch).map_err(wrong)?;
            let rises = |[a, b]: &[[u8; TAG_BYTES]; 2]| a < b;
            let first = self.last.is_none_or(|last| frame.first() > Some(&last));
            if !first || !frame.array_windows().all(rises) {
                return Err(wrong("its values are not in ascending order".into()));
            }
            self.last = frame.last().copied();
            let owned: Vec<[u8; TAG_BYTES]> = frame.to_vec();
            self.frame = owned.into_iter();
            let taken = format!("taken-{}", self.next);
            self.next += 1;
            // nobody waits for the last ones
            if self.next + 2 <= self.batches {
                self.ctx.send(self.from, &taken, Bytes::new()).await?;
            }
        }
        Ok(self.frame.next())
    }
}

/// The helper's side: counts, and tells both parties the bucket. Gives the exact number.
///
/// # Errors
/// A party's values that are not as they must be, in its name; the channel's.
///
/// # Leakage
/// As at the head of this module.
pub async fn count<C: Channel>(ctx: &Ctx<C>, params: &Params) -> Result<u64, Abort> {
    let ctx = &ctx.narrow("align");
    let [a, b] = [Role::Party(0), Role::Party(1)];
    let (mut one, mut two) =
        future::try_join(Values::begin(ctx, a, params), Values::begin(ctx, b, params)).await?;
    let (mut x, mut y) = future::try_join(one.next(), two.next()).await?;
    let mut common = 0_u64;
    loop {
        match (x, y) {
            (None, None) => break,
            (Some(p), Some(q)) if p == q => {
                common += 1;
                (x, y) = future::try_join(one.next(), two.next()).await?;
            }
            (Some(p), Some(q)) if q < p => y = two.next().await?,
            (None, Some(_)) => y = two.next().await?,
            (Some(_), _) => x = one.next().await?,
        }
    }
    let edges = buckets(params.min_matched);
    let number = edges.partition_point(|edge| *edge <= common);
    let body = Bytes::from(vec![u8::try_from(number).unwrap_or(u8::MAX)]);
    let told = [a, b].map(|to| ctx.send(to, "bucket", body.clone()));
    future::try_join_all(told).await?;
    Ok(common)
}
