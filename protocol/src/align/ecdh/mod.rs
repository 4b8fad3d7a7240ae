//! Alignment by commuting masks on Curve25519 (Diffie-Hellman private set intersection).
//!
//! # Functionality
//! Parties 0 and 1 give sets X and Y of ids. Each gets the rows of its own set whose id is in both,
//! in one common order that neither chose. With fewer than `min_matched` in common both abort.
//!
//! # Parties and what each learns
//! - *Each data party*: which of its own ids the other holds (so also how many), and the other's
//!   number of rows up to the frame size: frames have one length, the last is filled with random
//!   items, and at least [`MIN_PADDING`] items are padding. It learns this also when the run then
//!   ends because too few matched.
//! - *The helper and the coordinator*: take no part. Who relays the (sealed) frames sees their
//!   number and the time, so the number of frames of each party.
//! - Of ids that are not in both, nobody learns anything, not even a part of a hash, and could not
//!   try guesses at them later: no message is a function of an id alone.
//! - Two runs on different days show who joined or left the intersection in between. Every run
//!   has its own secrets; nothing else links two runs.
//!
//! # Security model
//! Semi-honest, two parties, random-oracle model, decisional Diffie-Hellman on Curve25519 (see
//! [`paripassu_crypto::group`]). A malicious party can bring ids that it does not hold as
//! customers, as in any private set intersection: policy limits the number of rows and of runs. It
//! can make the result wrong, not learn more. Detected, with its name: frames altered on the
//! way, values of wrong length, not canonical, of small order, repeated or not spread as masked
//! values are, results that differ between the parties, and a party that claims to hold what it
//! does not: claiming `m` of `N` items at random it also hits one of our padding items, which it
//! cannot tell apart, except with probability about `(1 - MIN_PADDING / N)^m`.
//!
//! # Source
//! C. Meadows, "A more efficient cryptographic matchmaking protocol", IEEE S&P 1986; B. Huberman,
//! M. Franklin, T. Hogg, "Enhancing privacy and trust in electronic communities", EC 1999; hashing
//! by RFC 9380, masking by RFC 7748. Departures: an Elligator map and not a hash used as a
//! coordinate; u-coordinates only; both roles run at once, so that both learn the result; returned
//! values are cut to 16 bytes; order by a keyed pseudo-random function; padding; comparison of
//! all frames and of the result at the end.
//!
//! # Notation
//! | symbol | name here |
//! |---|---|
//! | H(x), a point | [`Domain::encode`] of the id's keyed digest; domain = protocol, version, session |
//! | a, b, the scalars | [`MaskKey`], one per party and run |
//! | a·H(x) | masked id: `masked-i` is frame i of them |
//! | b·a·H(x) = a·b·H(x) | tag, its first 16 bytes: `tags-i` answers `masked-i` in its order |
//!
//! # Cost
//! For `A` and `B` frames of `n` items, party 0 sends `50 + 168 + 32·n·A + 16·n·B` bytes in
//! `2 + A + B` messages: 48 bytes an item of either set, padding included. Time: an own item is
//! hashed and masked, a peer's item masked, about 55 microseconds each on one core. Four message
//! delays, since frames do not wait for one another: up to four are on their way unanswered. The
//! meter counts each receive as a round: `2 + A + B`. A channel must hold what has arrived and is
//! not yet asked for: at most `4·(32 + 16)·n` bytes and one short message at a party, 3 MiB at the
//! default.
//!
//! Memory: `memory_bytes`, plus frames in flight, plus 4 bytes a row in common. Disk beyond the
//! budget: 52 bytes an own item, then 20 an own and 16 a peer's item, all pseudo-random; their keys
//! are only in memory. Before the first message a party reads all its ids, about a microsecond a
//! row.
//!
//! # Precision
//! Exact but for collisions of 16-byte tags: at most `|X|·|Y| / 2^128`, below 2^-64 for sets of up
//! to 2^32 rows.

mod join;
mod load;
mod msg;
pub mod size;
#[cfg(test)]
mod tests;

pub(super) use self::load::disk;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::future;
use paripassu_crypto::group::{Domain, MaskKey};
use tokio::sync::mpsc;

use self::{
    join::{Fault, check_spread, own_record},
    load::{Items, load},
    msg::{Hello, Outcome, TAG_BYTES, VERSION},
};
use super::{Alignment, Ids, Params, spill::Spill};
use crate::{
    abort::Abort,
    channel::{Channel, ChannelError, Role},
    ctx::{Cost, Ctx},
};

/// Random items that every party mixes into its own, at least.
pub const MIN_PADDING: u64 = 64;

const POINT_BYTES: usize = paripassu_crypto::group::POINT_BYTES;
/// Frames sent and not yet answered, less one.
const AHEAD: usize = 3;

/// Exactly what the meter counts for one party.
pub fn declared_cost(params: &Params, own_rows: u64, peer_rows: u64) -> Cost {
    let frames = |rows: u64| (rows + MIN_PADDING).div_ceil(u64::from(params.batch.max(1)));
    let (own, peer) = (frames(own_rows), frames(peer_rows));
    let items = u64::from(params.batch);
    let (point, tag) = (POINT_BYTES as u64, TAG_BYTES as u64);
    let fixed = (Hello::BYTES + Outcome::BYTES) as u64;
    Cost {
        rounds: 2 + own + peer,
        messages: 2 + own + peer,
        bytes_sent: fixed + items * (point * own + tag * peer),
        bytes_received: fixed + items * (point * peer + tag * own),
    }
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
    between(ctx, peer_of(ctx)?, params, ids, progress).await
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
    if params.batch == 0 {
        return Err(Abort::Input("a frame must hold at least one item".into()));
    }
    let (p, index) = (params.clone(), ctx.role().index().unwrap_or_default());
    let items = offload(move || load(ids, &p, index)).await??;
    let (own_batches, theirs) = (
        items.batches,
        agree(ctx, peer, params, items.batches).await?,
    );
    tracing::debug!(own_batches, peer_batches = theirs, "alignment agreed");

    let run = Run {
        ctx,
        peer,
        params,
        own_batches,
        peer_batches: theirs,
        returns: true,
        progress,
        done: AtomicU64::new(0),
        secrets: Arc::new(Secrets {
            key: MaskKey::random(),
            domain: Domain::new("align-ecdh", VERSION, &params.session)
                .map_err(|e| Abort::Input(e.to_string()))?,
        }),
    };
    let (rows, awaited) = mpsc::channel(AHEAD);
    let (sent_points, answered, collected) = future::try_join3(
        run.send_own(items, rows),
        run.answer_peer(),
        run.collect_tags(awaited),
    )
    .await?;

    let (own, theirs) = (collected.store, answered.store);
    let joined = offload(move || join::join(own.finish()?, theirs.finish()?)).await?;
    let (rows, fingerprint) = joined.map_err(|f| run.blame(f))?;
    let outcome = Outcome {
        sent_points,
        sent_tags: digest(&answered.tags),
        received_points: digest(&answered.points),
        received_tags: digest(&collected.tags),
        matched: rows.len() as u64,
        fingerprint,
    };
    run.compare(&outcome).await?;
    if outcome.matched < params.min_matched {
        return Err(Abort::TooFewMatched {
            step: ctx.path().to_owned(),
            matched: outcome.matched,
            min: params.min_matched,
        });
    }
    Ok(Alignment {
        rows,
        fingerprint,
        peer_batches: run.peer_batches,
    })
}

/// The other data party.
pub(super) fn peer_of<C: Channel>(ctx: &Ctx<C>) -> Result<Role, Abort> {
    let peers: Vec<Role> = ctx.peers().collect();
    match (ctx.role(), peers.as_slice()) {
        (Role::Party(0 | 1), [peer]) => Ok(*peer),
        (role, _) => Err(Abort::Input(format!(
            "alignment by ecdh is between two data parties; this is {role} in a job of {}",
            ctx.parties()
        ))),
    }
}

/// Checks that both ends run the same job; the peer's number of frames.
async fn agree<C: Channel>(
    ctx: &Ctx<C>,
    peer: Role,
    params: &Params,
    batches: u32,
) -> Result<u32, Abort> {
    let mine = Hello::new(params, batches);
    let theirs = swap_one(ctx, peer, "hello", mine.encode()).await?;
    let theirs = Hello::decode(&theirs).map_err(|p| malformed(ctx, peer, "hello", p))?;
    if let Some(problem) = mine.difference(&theirs) {
        return Err(Abort::Disagreement {
            from: peer,
            step: format!("{}/hello", ctx.path()),
            problem,
        });
    }
    if theirs.batches == 0 {
        let problem = "it announces no frame, expected 1 at least".to_owned();
        return Err(malformed(ctx, peer, "hello", problem));
    }
    params.allows(peer, &format!("{}/hello", ctx.path()), theirs.batches)?;
    let index = peer.index().unwrap_or_default();
    if let Some(problem) = params.misannounced(index, theirs.batches) {
        return Err(malformed(ctx, peer, "hello", problem));
    }
    Ok(theirs.batches)
}

async fn swap_one<C: Channel>(
    ctx: &Ctx<C>,
    peer: Role,
    name: &str,
    body: Vec<u8>,
) -> Result<Bytes, Abort> {
    let got = ctx.swap(name, vec![(peer, body.into())], &[peer]).await?;
    Ok(got.into_iter().next().unwrap_or_default())
}

fn malformed<C: Channel>(ctx: &Ctx<C>, from: Role, name: &str, problem: String) -> Abort {
    Abort::Malformed {
        from,
        step: format!("{}/{name}", ctx.path()),
        problem,
    }
}

/// Runs `f` where it may compute and read files, off the reactor.
async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, Abort> {
    match tokio::task::spawn_blocking(f).await {
        Ok(t) => Ok(t),
        Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
        Err(_) => Err(Abort::Channel(ChannelError::Ended {
            reason: "this node is shutting down".into(),
        })),
    }
}

fn digest(hasher: &blake3::Hasher) -> [u8; 32] {
    *hasher.finalize().as_bytes()
}

struct Secrets {
    key: MaskKey,
    domain: Domain,
}

struct Run<'a, C, P> {
    ctx: &'a Ctx<C>,
    peer: Role,
    params: &'a Params,
    own_batches: u32,
    peer_batches: u32,
    /// Whether items come back to their owner, masked with both keys.
    returns: bool,
    progress: P,
    done: AtomicU64,
    secrets: Arc<Secrets>,
}

/// The peer's items, masked with both keys.
struct Answered {
    store: Spill<TAG_BYTES>,
    points: blake3::Hasher,
    tags: blake3::Hasher,
}

impl Answered {
    /// Masks one frame of the peer's; the bytes to send back.
    fn answer(&mut self, secrets: &Secrets, frame: &Bytes, batch: usize) -> Result<Bytes, Fault> {
        let wrong = |p: String| Fault::Peer("masked".into(), p);
        let points = msg::items::<POINT_BYTES>(frame, batch).map_err(wrong)?;
        let masked = secrets.key.mask(points).map_err(|e| wrong(e.to_string()))?;
        let mut out = Vec::with_capacity(TAG_BYTES * masked.len());
        for tag in masked.iter().filter_map(|u| u.first_chunk()) {
            self.store.push(*tag)?;
            out.extend_from_slice(tag);
        }
        self.points.update(frame);
        self.tags.update(&out);
        Ok(out.into())
    }
}

/// Own items as they came back, masked with both keys.
struct Collected {
    store: Spill<{ join::OWN }>,
    tags: blake3::Hasher,
}

impl Collected {
    fn collect(&mut self, frame: &Bytes, rows: &[u32]) -> Result<(), Fault> {
        let tags = msg::items::<TAG_BYTES>(frame, rows.len())
            .map_err(|p| Fault::Peer("tags".into(), p))?;
        for (tag, row) in tags.iter().zip(rows) {
            if *tag == [0; TAG_BYTES] {
                let problem = "it returned a zero, which no masked item is";
                return Err(Fault::Peer("tags".into(), problem.into()));
            }
            self.store.push(own_record(tag, *row))?;
        }
        self.tags.update(frame);
        Ok(())
    }
}

impl<C: Channel, P: Fn(u64, u64) + Send + Sync> Run<'_, C, P> {
    fn batch(&self) -> usize {
        usize::try_from(self.params.batch).unwrap_or(usize::MAX)
    }

    fn items_of(&self, batches: u32) -> u64 {
        u64::from(batches) * u64::from(self.params.batch)
    }

    /// One more frame masked, answered or collected.
    fn advance(&self) {
        let batch = u64::from(self.params.batch);
        let done = self.done.fetch_add(batch, Ordering::Relaxed) + batch;
        let all = 2 * self.items_of(self.own_batches) + self.items_of(self.peer_batches);
        (self.progress)(done, all);
    }

    fn blame(&self, fault: Fault) -> Abort {
        match fault {
            Fault::Own(a) => a,
            Fault::Peer(name, problem) => malformed(self.ctx, self.peer, &name, problem),
        }
    }

    /// a·H(x) for all own items, frame by frame, a few frames ahead of their answers. Gives the
    /// digest of all that was sent.
    async fn send_own(
        &self,
        mut items: Items,
        rows: mpsc::Sender<Vec<u32>>,
    ) -> Result<[u8; 32], Abort> {
        let mut sent = blake3::Hasher::new();
        for i in 0..self.own_batches {
            let Ok(slot) = rows.reserve().await else {
                // Nobody awaits tags any more: the collector failed, and its error ends the run.
                break;
            };
            let secrets = Arc::clone(&self.secrets);
            let (back, frame) = offload(move || {
                let made = items.next_frame().map(|f| {
                    let masked = secrets.key.encode_and_mask(&secrets.domain, &f.digests);
                    sent.update(masked.as_flattened());
                    (Bytes::from(masked.into_flattened()), f.rows)
                });
                ((items, sent), made)
            })
            .await?;
            (items, sent) = back;
            let (frame, batch_rows) = frame?;
            self.ctx
                .send(self.peer, &format!("masked-{i}"), frame)
                .await?;
            slot.send(batch_rows);
            self.advance();
        }
        Ok(digest(&sent))
    }

    /// b·(a·H(x)) for each item of the peer's, returned in the order received.
    async fn answer_peer(&self) -> Result<Answered, Abort> {
        let mut state = Answered {
            store: Spill::new(self.params.memory_bytes / 4, self.params.spill_dir.clone()),
            points: blake3::Hasher::new(),
            tags: blake3::Hasher::new(),
        };
        let (batch, all) = (self.batch(), self.items_of(self.peer_batches));
        for i in 0..self.peer_batches {
            let name = format!("masked-{i}");
            let frame = self.ctx.recv(self.peer, &name).await?;
            let secrets = Arc::clone(&self.secrets);
            let (back, answer) = offload(move || {
                let answer = state.answer(&secrets, &frame, batch);
                let answer = answer.and_then(|a| {
                    check_spread(&state.store, all, "masked")?;
                    Ok(a)
                });
                (state, answer)
            })
            .await?;
            state = back;
            let answer = answer.map_err(|f| self.blame(named(f, &name)))?;
            let answer = if self.returns { answer } else { Bytes::new() };
            self.ctx
                .send(self.peer, &format!("tags-{i}"), answer)
                .await?;
            self.advance();
        }
        Ok(state)
    }

    /// Tags of own items, matched with the rows they belong to.
    async fn collect_tags(&self, mut rows: mpsc::Receiver<Vec<u32>>) -> Result<Collected, Abort> {
        let mut state = Collected {
            store: Spill::new(self.params.memory_bytes / 4, self.params.spill_dir.clone()),
            tags: blake3::Hasher::new(),
        };
        let all = self.items_of(self.own_batches);
        for i in 0..self.own_batches {
            let Some(rows) = rows.recv().await else {
                // The sender failed, and its error ends the run.
                break;
            };
            let name = format!("tags-{i}");
            let frame = self.ctx.recv(self.peer, &name).await?;
            let (back, collected) = offload(move || {
                let collected = state.collect(&frame, &rows);
                let collected = collected.and_then(|()| check_spread(&state.store, all, "tags"));
                (state, collected)
            })
            .await?;
            state = back;
            collected.map_err(|f| self.blame(named(f, &name)))?;
            self.advance();
        }
        Ok(state)
    }

    /// Both ends must have seen the same frames and found the same customers.
    async fn compare(&self, mine: &Outcome) -> Result<(), Abort> {
        let theirs = swap_one(self.ctx, self.peer, "outcome", mine.encode()).await?;
        let theirs =
            Outcome::decode(&theirs).map_err(|p| malformed(self.ctx, self.peer, "outcome", p))?;
        match mine.difference(&theirs) {
            None => Ok(()),
            Some(problem) => Err(Abort::Disagreement {
                from: self.peer,
                step: format!("{}/outcome", self.ctx.path()),
                problem: problem.into(),
            }),
        }
    }
}

/// The fault with the name of the very frame.
fn named(fault: Fault, name: &str) -> Fault {
    match fault {
        Fault::Own(a) => Fault::Own(a),
        Fault::Peer(_, problem) => Fault::Peer(name.to_owned(), problem),
    }
}
