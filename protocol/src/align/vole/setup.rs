//! All that needs no input: what both ends agree on, and the correlations.

use std::ops::Range;

use bytes::Bytes;
use paripassu_crypto::{
    okvs::Buckets,
    ot::{
        Chosen, Held,
        base::{self, REPLY_BYTES, REQUEST_BYTES},
        extend::{ANSWER, challenge},
    },
    vole::{ChooserForest, HolderForest, Lpn, PARAMETERS, Public, forest::PROOF_BYTES},
};
use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};

use super::link::{Link, offload, put_blocks};
use crate::{abort::Abort, align::Params, channel::Channel, ctx::Cost};

/// Version of this protocol, in every hash and in the first message.
const VERSION: u16 = 1;
/// Bytes of a hash, a nonce, a commitment.
pub(super) const HASH: usize = 32;
const BLOCK: u64 = 16;
/// Items that a set is larger by than it is, at least.
pub(super) const MIN_PADDING: u64 = 64;

/// 32 bytes from the operating system.
pub(super) fn nonce() -> [u8; HASH] {
    let mut out = [0; HASH];
    UnwrapErr(SysRng).fill_bytes(&mut out);
    out
}

/// A hash for one purpose of this protocol: `what`, then the parts, each of fixed length.
pub(super) fn derive(what: &str, parts: &[&[u8]]) -> [u8; HASH] {
    let mut hash = blake3::Hasher::new_derive_key("paripassu align vole v1");
    hash.update(&(what.len() as u64).to_le_bytes());
    hash.update(what.as_bytes());
    for part in parts {
        hash.update(part);
    }
    *hash.finalize().as_bytes()
}

/// Bytes of the first message.
pub(super) const HELLO: usize = 2 + 2 + 4 + 8 + HASH + HASH;

/// Agrees on the job and tosses a coin: a key that neither party chose, known after both have
/// committed to their halves.
pub(super) async fn agree<C: Channel>(
    link: &Link<'_, C>,
    params: &Params,
) -> Result<[u8; HASH], Abort> {
    let half = nonce();
    let commit = |role: u8, half: &[u8]| derive("coin", &[&[role], half]);
    let mine = hello(params, &commit(link.index(), &half));
    let commitment = greet(link, &mine).await?;
    let other = link.swap("coin", half.to_vec()).await?;
    if commit(1 - link.index().min(1), &other) != commitment || other.len() != HASH {
        return Err(link.blame("coin", "it is not what the first message committed to"));
    }
    let halves: [&[u8]; 2] = match link.index() {
        0 => [&half, &other],
        _ => [&other, &half],
    };
    let [first, second] = halves;
    Ok(derive("key", &[&params.session, first, second]))
}

/// Exchanges first messages; the peer's commitment, if all else is equal.
pub(super) async fn greet<C: Channel>(
    link: &Link<'_, C>,
    mine: &[u8],
) -> Result<[u8; HASH], Abort> {
    let theirs = link.swap("hello", mine.to_vec()).await?;
    match compare(mine, &theirs) {
        Err(Mismatch::Length) => {
            let problem = format!("expected {HELLO} bytes, got {}", theirs.len());
            Err(link.blame("hello", problem))
        }
        Err(Mismatch::Content(problem)) => Err(link.differ("hello", problem)),
        Ok(commitment) => Ok(commitment),
    }
}

/// The first message.
pub(super) fn hello(params: &Params, commitment: &[u8; HASH]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HELLO);
    out.extend(VERSION.to_le_bytes());
    out.extend(PARAMETERS.to_le_bytes());
    out.extend(params.batch.to_le_bytes());
    out.extend(params.min_matched.to_le_bytes());
    out.extend(derive("session", &[&params.session]));
    out.extend(commitment);
    out
}

enum Mismatch {
    Length,
    Content(&'static str),
}

/// The peer's commitment, if all else is equal.
fn compare(mine: &[u8], theirs: &[u8]) -> Result<[u8; HASH], Mismatch> {
    if theirs.len() != HELLO {
        return Err(Mismatch::Length);
    }
    let fields: [(Range<usize>, &str); 4] = [
        (
            0..4,
            "it speaks another version of the alignment or of its parameters: run the same \
             release on both",
        ),
        (
            16..48,
            "it runs another session: both must start from one contract",
        ),
        (
            4..8,
            "its sets grow in other steps: both must come from one contract",
        ),
        (
            8..16,
            "its least number of customers in common is another: both must come from one contract",
        ),
    ];
    for (range, problem) in fields {
        if mine.get(range.clone()) != theirs.get(range) {
            return Err(Mismatch::Content(problem));
        }
    }
    theirs.last_chunk().copied().ok_or(Mismatch::Length)
}

/// Who does what, and how much of it: follows from both announced sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Whether this end encodes its set (and learns first what is common); the other one sends outputs.
    pub(super) encodes: bool,
    pub(super) buckets: Buckets,
    /// The correlation of one bucket.
    pub(super) bucket: Lpn,
    /// The correlation that all buckets' trees are made with.
    pub(super) seed: Lpn,
}

impl Plan {
    /// For sets of these announced sizes. The smaller one is encoded; of two equal ones, party 1's.
    pub(super) fn new(index: u8, own: u64, peer: u64) -> Option<Self> {
        let encodes = own < peer || (own == peer && index == 1);
        let (encoded, looked_up) = if encodes { (own, peer) } else { (peer, own) };
        Some(Self::with(encodes, Buckets::new(encoded, looked_up)?))
    }

    /// For these buckets, this end encoding or not.
    pub(super) fn with(encodes: bool, buckets: Buckets) -> Self {
        let bucket = Lpn::new(buckets.encoded().columns());
        let seed = Lpn::new(buckets.count() * bucket.seeds());
        Self {
            encodes,
            buckets,
            bucket,
            seed,
        }
    }

    /// Most ids that the peer can try: one for each column where it encodes, one for each output where it sends.
    pub(super) fn peer_most(&self) -> u64 {
        let each = match self.encodes {
            true => self.buckets.looked_up(),
            false => self.columns(),
        };
        (self.buckets.count() * each) as u64
    }

    /// Elements of a bucket's masked table.
    pub(super) fn columns(&self) -> usize {
        self.buckets.encoded().columns()
    }

    /// Blocks of 128 transfers: those of the seed's trees, those that are its elements, then each
    /// bucket's.
    fn seed_transfers(&self) -> Range<usize> {
        0..self.seed.transfers().div_ceil(128)
    }

    fn seed_elements(&self) -> Range<usize> {
        let start = self.seed_transfers().end;
        start..start + self.seed.seeds()
    }

    fn transfers(&self, bucket: usize) -> Range<usize> {
        let each = self.bucket.transfers().div_ceil(128);
        let start = self.seed_elements().end + bucket * each;
        start..start + each
    }

    fn blocks(&self) -> usize {
        self.transfers(self.buckets.count()).start
    }

    /// Which elements of the seed's vectors a bucket's trees take.
    fn share(&self, bucket: usize) -> Range<usize> {
        let each = self.bucket.seeds();
        bucket * each..(bucket + 1) * each
    }

    /// What the encoding end sends and receives in the set-up.
    pub(super) fn setup_cost(&self) -> Cost {
        let buckets = self.buckets.count() as u64;
        let blocks = |n: usize| n as u64 * BLOCK;
        Cost {
            rounds: 4 + buckets,
            messages: 5,
            bytes_sent: REPLY_BYTES as u64
                + blocks(128 * (self.blocks() + 1) + ANSWER + 2 + 1)
                + buckets * BLOCK,
            bytes_received: REQUEST_BYTES as u64
                + blocks(1 + self.seed.message())
                + PROOF_BYTES as u64
                + buckets * blocks(self.bucket.message()),
        }
    }
}

/// The encoding end's correlations, one a bucket, and the challenge for their proofs.
pub(super) struct Chosens {
    pub(super) forests: Vec<ChooserForest>,
    pub(super) challenge: u128,
}

/// The other end's, each with what its proof needs.
pub(super) struct Helds {
    pub(super) delta: u128,
    pub(super) forests: Vec<(HolderForest, u128)>,
    pub(super) challenge: u128,
}

/// Makes the encoding end's correlations.
pub(super) async fn choose<C: Channel>(
    link: &Link<'_, C>,
    public: &Public,
    key: &[u8; HASH],
    plan: Plan,
) -> Result<Chosens, Abort> {
    let request = link.recv("base-request").await?;
    let session = derive("transfers", &[key]);
    let sent = offload(move || base::send(&session, &request)).await?;
    let (reply, keys) = sent.map_err(|e| link.blame("base-request", e))?;
    link.send("base-reply", reply.into()).await?;
    let (chosen, columns) = offload(move || Chosen::new(&keys, plan.blocks())).await?;
    link.send("columns", put_blocks(columns)).await?;
    let asked = link.recv("column-challenge").await?;
    let asked = link.blocks("column-challenge", &asked, 1)?;
    let answer = asked.first().map(|c| chosen.answer(*c));
    link.send("column-answer", put_blocks(answer.unwrap_or_default()))
        .await?;

    let body = link.recv("seed-trees").await?;
    let message = link.blocks("seed-trees", &body, plan.seed.message())?;
    let elements = plan.seed_elements().map(|b| chosen.element(b));
    let elements: Vec<_> = elements.collect();
    let at = plan.seed_transfers();
    let forest = forest_of(public, plan.seed, &chosen, at, &elements, &message)
        .map_err(|e| link.blame("seed-trees", e))?;
    let ask = challenge();
    let masked = forest.masked(ask);
    link.send("seed-challenge", put_blocks(vec![ask, masked]))
        .await?;
    let proof = proof(link, "seed-proof").await?;
    let own = public.clone();
    let seed = offload(move || forest.expand(&own, ask, &proof)).await?;
    let (a, c) = seed.map_err(|e| link.blame("seed-proof", e))?;
    let seeds: Vec<(u128, u128)> = a.into_iter().zip(c).collect();

    let mut forests = Vec::with_capacity(plan.buckets.count());
    for j in 0..plan.buckets.count() {
        let name = format!("trees-{j}");
        let body = link.recv(&name).await?;
        let message = link.blocks(&name, &body, plan.bucket.message())?;
        let share = seeds.get(plan.share(j)).unwrap_or_default();
        let at = plan.transfers(j);
        let made = forest_of(public, plan.bucket, &chosen, at, share, &message);
        forests.push(made.map_err(|e| link.blame(&name, e))?);
    }
    // drawn after all trees have arrived
    let ask = challenge();
    let mut out = vec![ask];
    out.extend(forests.iter().map(|f| f.masked(ask)));
    link.send("challenge", put_blocks(out)).await?;
    Ok(Chosens {
        forests,
        challenge: ask,
    })
}

fn forest_of(
    public: &Public,
    lpn: Lpn,
    chosen: &Chosen,
    at: Range<usize>,
    seeds: &[(u128, u128)],
    message: &[u128],
) -> Result<ChooserForest, paripassu_crypto::vole::VoleError> {
    let mut rows = chosen.rows(at.clone());
    rows.truncate(lpn.transfers());
    let choice = |j: usize| chosen.bits(at.start + j / 128) >> (j % 128) & 1 == 1;
    let first = at.start as u64 * 128;
    ChooserForest::new(public, lpn, first, &rows, choice, seeds, message)
}

/// Makes the other end's correlations.
pub(super) async fn hold<C: Channel>(
    link: &Link<'_, C>,
    public: &Public,
    key: &[u8; HASH],
    plan: Plan,
) -> Result<Helds, Abort> {
    let session = derive("transfers", &[key]);
    let delta = challenge();
    let receiver = offload(move || base::Receiver::new(&session, delta)).await?;
    let request = Bytes::copy_from_slice(receiver.request());
    link.send("base-request", request).await?;
    let reply = link.recv("base-reply").await?;
    let keys = offload(move || receiver.finish(&reply)).await?;
    let keys = keys.map_err(|e| link.blame("base-reply", e))?;
    let columns = link.recv("columns").await?;
    let columns = link.blocks("columns", &columns, 128 * (plan.blocks() + 1))?;
    let held = offload(move || Held::new(&keys, delta, plan.blocks(), &columns)).await?;
    let held = held.map_err(|e| link.blame("columns", e))?;
    let ask = challenge();
    link.send("column-challenge", put_blocks(vec![ask])).await?;
    let answer = link.recv("column-answer").await?;
    let answer = link.blocks("column-answer", &answer, ANSWER)?;
    held.check(ask, &answer)
        .map_err(|e| link.blame("column-answer", e))?;

    let elements: Vec<u128> = plan.seed_elements().map(|b| held.element(b)).collect();
    let at = plan.seed_transfers();
    let (forest, message) = trees(public, plan.seed, &held, at, &elements);
    link.send("seed-trees", put_blocks(message)).await?;
    let asked = link.recv("seed-challenge").await?;
    let asked = link.blocks("seed-challenge", &asked, 2)?;
    let [ask, masked] = asked.as_slice() else {
        return Err(link.blame("seed-challenge", "expected two elements"));
    };
    let (own, ask, masked) = (public.clone(), *ask, *masked);
    let (seeds, proof) = offload(move || forest.expand(&own, ask, masked)).await?;
    link.send("seed-proof", Bytes::copy_from_slice(&proof))
        .await?;

    let mut forests = Vec::with_capacity(plan.buckets.count());
    let (seeds, held) = (std::sync::Arc::new(seeds), std::sync::Arc::new(held));
    for j in 0..plan.buckets.count() {
        let (seeds, held) = (seeds.clone(), held.clone());
        let own = public.clone();
        let (forest, message) = offload(move || {
            let share = seeds.get(plan.share(j)).unwrap_or_default();
            trees(&own, plan.bucket, &held, plan.transfers(j), share)
        })
        .await?;
        link.send(&format!("trees-{j}"), put_blocks(message))
            .await?;
        forests.push(forest);
    }
    let asked = link.recv("challenge").await?;
    let asked = link.blocks("challenge", &asked, 1 + forests.len())?;
    let (ask, masked) = match asked.split_first() {
        Some((ask, masked)) => (*ask, masked),
        None => return Err(link.blame("challenge", "it is empty")),
    };
    Ok(Helds {
        delta,
        forests: forests.into_iter().zip(masked.iter().copied()).collect(),
        challenge: ask,
    })
}

fn trees(
    public: &Public,
    lpn: Lpn,
    held: &Held,
    at: Range<usize>,
    seeds: &[u128],
) -> (HolderForest, Vec<u128>) {
    let mut rows = held.rows(at.clone());
    rows.truncate(lpn.transfers());
    HolderForest::new(
        public,
        lpn,
        held.delta(),
        at.start as u64 * 128,
        &rows,
        seeds,
    )
}

/// The peer's proof of one correlation.
async fn proof<C: Channel>(link: &Link<'_, C>, name: &str) -> Result<[u8; PROOF_BYTES], Abort> {
    let body = link.recv(name).await?;
    let problem = || format!("expected {PROOF_BYTES} bytes, got {}", body.len());
    <[u8; PROOF_BYTES]>::try_from(&body[..]).map_err(|_| link.blame(name, problem()))
}
