//! What is kept of each bucket, and what an aborted job's buckets leave to be matched.

use std::{io, sync::Arc};

use paripassu_crypto::okvs::Buckets;
use zeroize::Zeroizing;

use super::{load::item, setup::derive};
use crate::{
    abort::Abort,
    align::resume::{Keep, put_rows, rows, unkept},
    held::Held,
};

/// The part with all that buckets have in common.
const HEAD: u32 = 0;
/// Most jobs that one match is made of.
const MOST_RUNS: usize = 16;
/// Bytes of a [`Hashes`].
const HASHES: usize = 32 + 8 + 8 + 4;

/// How one run put ids into buckets, and how many of these are finished.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hashes {
    key: [u8; 32],
    encoded: u64,
    looked_up: u64,
    finished: u32,
    buckets: Buckets,
}

impl Hashes {
    /// For sets announced with these sizes.
    pub(super) fn new(key: [u8; 32], encoded: u64, looked_up: u64, finished: u32) -> Option<Self> {
        let buckets = Buckets::new(encoded, looked_up)?;
        let count = u32::try_from(buckets.count()).ok()?;
        (finished <= count).then_some(Self {
            key,
            encoded,
            looked_up,
            finished,
            buckets,
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.encoded.to_le_bytes());
        out.extend_from_slice(&self.looked_up.to_le_bytes());
        out.extend_from_slice(&self.finished.to_le_bytes());
    }

    fn read(text: &[u8; HASHES]) -> Option<Self> {
        let (key, rest) = text.split_first_chunk::<32>()?;
        let (encoded, rest) = rest.split_first_chunk::<8>()?;
        let (looked_up, finished) = rest.split_first_chunk::<8>()?;
        let finished = u32::from_le_bytes(finished.try_into().ok()?);
        let [encoded, looked_up] = [encoded, looked_up].map(|n| u64::from_le_bytes(*n));
        Self::new(*key, encoded, looked_up, finished)
    }

    fn has_finished(&self, id: &[u8]) -> bool {
        self.buckets.of(item(&self.key, id)) < usize::try_from(self.finished).unwrap_or(usize::MAX)
    }

    /// Most items of the encoded set, and of the other, that unfinished buckets hold.
    fn left(&self) -> (u64, u64) {
        let count = self.buckets.count() as u64;
        let rest = count.saturating_sub(self.finished.into());
        let most = |announced: u64, each: usize| announced.min(rest * each as u64);
        (
            most(self.encoded, self.buckets.encoded().capacity()),
            most(self.looked_up, self.buckets.looked_up()),
        )
    }
}

/// What both ends remember of a bucket, after all before it.
pub(super) fn chain(before: &[u8; 32], bucket: &[u8; 32]) -> [u8; 32] {
    derive("kept bucket", &[before, bucket])
}

/// What an aborted match left behind at this party.
#[derive(Clone)]
pub(crate) struct Past {
    /// Digest of this party's ids.
    pub(super) ids: [u8; 32],
    /// Frames that the peer announced at first.
    pub(super) peer_batches: u32,
    /// Whether this end encoded in the last run.
    encodes: bool,
    /// All runs so far; of the last one as many buckets are finished as [`Self::until`] was told.
    runs: Vec<Hashes>,
    /// Digest of all that was finished before the last run began.
    start: [u8; 32],
    /// Digests after each bucket of the last run.
    chain: Vec<[u8; 32]>,
    /// Rows found before the last run and in its buckets, and where each bucket's end.
    rows: Vec<u32>,
    ends: Vec<usize>,
}

impl Past {
    /// What was kept; none if it is not whole.
    pub(crate) fn read(keep: &dyn Keep) -> Option<Self> {
        let head = keep.kept(HEAD)?;
        let (ids, rest) = head.split_first_chunk::<32>()?;
        let (start, rest) = rest.split_first_chunk::<32>()?;
        let (peer_batches, rest) = rest.split_first_chunk::<4>()?;
        let ([encodes, count], rest) = rest.split_first_chunk::<2>()?;
        let (hashes, rest) = rest.split_at_checked(usize::from(*count) * HASHES)?;
        let runs: Vec<Hashes> = hashes
            .as_chunks()
            .0
            .iter()
            .map(Hashes::read)
            .collect::<Option<_>>()?;
        let buckets = runs.last()?.buckets.count();
        let mut past = Self {
            ids: *ids,
            peer_batches: u32::from_le_bytes(*peer_batches),
            encodes: *encodes == 1,
            runs,
            start: *start,
            chain: Vec::new(),
            rows: rows(rest)?,
            ends: Vec::new(),
        };
        past.ends.push(past.rows.len());
        for part in 1..=u32::try_from(buckets).ok()? {
            let Some(text) = keep.kept(part) else { break };
            let (digest, found) = text.split_first_chunk::<32>()?;
            past.rows.extend(rows(found)?);
            past.chain.push(*digest);
            past.ends.push(past.rows.len());
        }
        Some(past)
    }

    /// Where this party could go on: after so many buckets of the last run, with a digest of all until then.
    pub(crate) fn points(&self) -> impl Iterator<Item = Held> {
        (0..).zip([self.start].into_iter().chain(self.chain.clone()))
    }

    /// As it was after so many buckets of the last run.
    pub(crate) fn until(mut self, point: u32) -> Self {
        let buckets = usize::try_from(point).unwrap_or(usize::MAX);
        let end = self.ends.get(buckets).copied().unwrap_or_default();
        self.rows.truncate(end);
        self.chain.truncate(buckets);
        if let Some(last) = self.runs.last_mut() {
            last.finished = point;
        }
        self
    }

    /// Whether an id has been matched.
    pub(super) fn has_finished(&self, id: &[u8]) -> bool {
        self.runs.iter().any(|run| run.has_finished(id))
    }

    /// Tells this node's log how far the last run came.
    pub(super) fn tell(&self, rows_left: u64) {
        let last = self.runs.last();
        let (finished, all) = last.map_or((0, 0), |run| (run.finished, run.buckets.count() as u64));
        tracing::info!(
            finished,
            all,
            rows_left,
            "matching goes on after so many buckets"
        );
    }

    /// Items that each of several parties announces for what is left; none if nothing is.
    pub(super) fn left_of_each(&self) -> Option<u64> {
        let (encoded, _) = self.runs.last()?.left();
        (encoded > 0).then_some(encoded)
    }

    /// Items that this end announces for what is left, and that the peer must; none if nothing is left.
    pub(super) fn left(&self) -> Option<(u64, u64)> {
        let (encoded, looked_up) = self.runs.last()?.left();
        let left = match self.encodes {
            true => (encoded, looked_up),
            false => (looked_up, encoded),
        };
        (left.0.max(left.1) > 0).then_some(left)
    }

    /// Digest of all that is finished.
    pub(super) fn digest(&self) -> [u8; 32] {
        self.chain.last().copied().unwrap_or(self.start)
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }
}

/// Keeps what is found, bucket by bucket.
pub(super) struct Keeper {
    keep: Arc<dyn Keep>,
    digest: [u8; 32],
    /// Rows that are kept already.
    kept: usize,
}

impl Keeper {
    /// Begins to keep a run that goes on from `past`, if there is one.
    pub(super) fn begin(
        keep: Arc<dyn Keep>,
        ids: &[u8; 32],
        peer_batches: u32,
        encodes: bool,
        run: Hashes,
        past: Option<&Past>,
    ) -> Result<Option<Self>, Abort> {
        let mut runs: Vec<Hashes> = past.map(|p| p.runs.clone()).unwrap_or_default();
        runs.push(run);
        let (Ok(count), true) = (u8::try_from(runs.len()), runs.len() <= MOST_RUNS) else {
            tracing::warn!("a match of this many jobs is not kept any more");
            return Ok(None);
        };
        let before = past.map_or(&[][..], |p| &p.rows);
        let start = derive(
            "kept run",
            &[&past.map_or([0; 32], Past::digest), ids_of(&runs)],
        );
        let mut text = Zeroizing::new(Vec::new());
        text.extend_from_slice(ids);
        text.extend_from_slice(&start);
        text.extend_from_slice(&peer_batches.to_le_bytes());
        text.extend_from_slice(&[u8::from(encodes), count]);
        runs.iter().for_each(|run| run.put(&mut text));
        put_rows(&mut text, before);
        keep.keep(HEAD, &text).map_err(unkept)?;
        Ok(Some(Self {
            keep,
            digest: start,
            kept: before.len(),
        }))
    }

    /// A bucket is finished, after whose messages this digest was made; `rows` are all found so far.
    pub(super) fn finished(
        &mut self,
        bucket: usize,
        messages: &[u8; 32],
        rows: &[u32],
    ) -> io::Result<()> {
        let part = u32::try_from(bucket + 1).map_err(io::Error::other)?;
        self.digest = chain(&self.digest, messages);
        let mut text = Zeroizing::new(self.digest.to_vec());
        put_rows(&mut text, rows.get(self.kept..).unwrap_or_default());
        self.keep.keep(part, &text)?;
        self.kept = rows.len();
        Ok(())
    }
}

/// The last run's key: both ends know it, and no other run has it.
fn ids_of(runs: &[Hashes]) -> &[u8; 32] {
    runs.last().map_or(&[0; 32], |run| &run.key)
}
