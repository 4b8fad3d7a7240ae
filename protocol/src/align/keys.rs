//! Further keys: customers who do not match by the first key, say a national id, are matched by the next, say a phone
//! number, or surname, birth date and postcode.
//!
//! # Functionality
//! Each row has the first key and may have further ones. Key 0 is matched as without further ones. Then, key by key,
//! each party brings those of its rows that matched by no key before, and the rows that match by this one are added. The
//! result is the rows by key 0, then those by key 1, and so on, within each in the method's order. No row matches
//! twice. With several parties, a customer is common where all have the same key at the same step.
//!
//! A row without a key (an empty cell) is left out of that step. So is a row whose key another row of the same table
//! has, too, matched or not: such a key names nobody. Both follow from a party's own table alone, and how many
//! they are is told to that party only ([`LeftOut`]).
//!
//! # Protocol
//! Each key is a run of the method with a session of its own, which is derived from the job's, so with masks, correlations
//! and coins of its own: no value of one run equals one of another, also where a phone number is somebody's
//! national id. At each further key every party announces as many frames as at key 0, whatever it still has, and
//! pads to them; another number ends the match in the name of who announces it.
//!
//! # Going on
//! After each key every party may keep all that was found until then (`kept`), and another job goes on after the
//! last key that all parties hold alike ([`super::resume`]): with a session of its own, over the same table, with as
//! many frames as were announced at first. The finished keys are not matched again; a key that was under way is.
//!
//! # Adversary and what each learns
//! As the method's, for each key: which of its own rows match, *and by which key*; so also how many by each. Which
//! customers a party has left, how many lack a key or share one, and the keys of those that do not match, nobody else
//! learns: sizes say the same at each step. Who relays the sealed frames sees which step is under way and, of three
//! parties and more, from the length of one message how many match at it.
//! Of a row that does not match a party learns that nobody else (or, of three and more, not everybody) has one of its
//! keys *among rows left over and with a key of their own*. A party that does not follow the protocol may bring any
//! values at each key, as many as it announced: each further key is one more list to try, and keys such as phone numbers
//! are easier to make up than national ids. It may also bring a row that has matched already.
//!
//! # Cost
//! That of the method, once for each key; of several parties the tags of common rows once in all. Each further key's
//! ids are read twice, to find the rows that share one, with `memory_bytes` as the method, and half a byte a row.
//!
//! # Source
//! Matching in passes with keys of falling certainty is the usual practice of deterministic record linkage, as in
//! P. Christen, "Data Matching", Springer 2012, chapter 6; what each pass reveals is the intersection protocol's.

mod kept;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};
use zeroize::Zeroizing;

use self::kept::{Done, State};
use super::{
    Alignment, Course, IdBatch, Ids, Method, Params, ecdh,
    resume::{Hashed, Seen},
    spill::Spill,
    vole,
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    ctx::Ctx,
};

/// Rows read at a time.
const READ: usize = 16_384;

/// A table's ids by several keys.
pub trait Keys: Send {
    /// The ids by one key.
    type Ids: Ids + 'static;

    /// How many keys there are, equal at all parties; at least 1.
    fn count(&self) -> usize;

    /// The ids by key `key`, from the first row of the table to its last, each time it is called; of a key after the
    /// first an empty id is a row without this key.
    ///
    /// # Errors
    /// [`Abort::Input`], naming file and column.
    fn open(&mut self, key: usize) -> Result<Self::Ids, Abort>;

    /// So many rows match by keys up to `key`, which is done; before anything is sent for the next.
    ///
    /// # Errors
    /// What ends the match for this party.
    fn found(&self, key: usize, so_far: u64) -> Result<(), Abort> {
        let _ = (key, so_far);
        Ok(())
    }
}

/// Rows of the whole table that took no part at one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Without this key.
    pub empty: u64,
    /// With a key that another row has, too.
    pub repeated: u64,
}

/// Rows in common, by several keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keyed {
    /// All of them: those by the first key, then those by the next.
    pub alignment: Alignment,
    /// How many by each key.
    pub by_key: Vec<u64>,
    /// At each key after the first, what took no part in it.
    pub left_out: Vec<LeftOut>,
}

impl Keyed {
    fn of(state: State) -> Self {
        let fingerprint = match &state.keys[..] {
            [only] => only.fingerprint,
            keys => {
                let context = "paripassu align v1 match by several keys";
                let mut prints = blake3::Hasher::new_derive_key(context);
                keys.iter().for_each(|key| {
                    prints.update(&key.fingerprint);
                });
                *prints.finalize().as_bytes()
            }
        };
        Self {
            by_key: state.keys.iter().map(|key| key.matched).collect(),
            left_out: state.keys.iter().skip(1).map(|key| key.left_out).collect(),
            alignment: Alignment {
                rows: state.rows,
                fingerprint,
                peer_batches: state.peer_batches,
            },
        }
    }

    /// The key by which each row in common matched, in their order.
    pub fn keys(&self) -> impl Iterator<Item = usize> {
        let each = self.by_key.iter().enumerate();
        each.flat_map(|(key, rows)| (0..*rows).map(move |_| key))
    }
}

/// Matches by each key in turn, below the step `align`; what is found is kept on the way, and what an aborted job found
/// is not matched again, as `course` says.
///
/// # Errors
/// As [`super::run_on`]; those of `keys`.
///
/// # Leakage
/// As at the head of this module.
pub async fn run_keys<C, K, P>(
    ctx: &Ctx<C>,
    method: Method,
    params: &Params,
    keys: &mut K,
    course: &Course,
    progress: P,
) -> Result<Keyed, Abort>
where
    C: Channel,
    K: Keys,
    P: Fn(u64, u64) + Send + Sync,
{
    let ctx = ctx.narrow("align");
    let keyed = each(&ctx, None, method, params, keys, course, &progress).await?;
    let matched = keyed.alignment.rows.len() as u64;
    match matched < params.min_matched {
        false => Ok(keyed),
        true => Err(Abort::TooFewMatched {
            step: ctx.path().to_owned(),
            matched,
            min: params.min_matched,
        }),
    }
}

/// The same with `peer` alone, or with all parties; whatever the number in common.
pub(super) async fn each<C, K, P>(
    ctx: &Ctx<C>,
    peer: Option<Role>,
    method: Method,
    params: &Params,
    keys: &mut K,
    course: &Course,
    progress: &P,
) -> Result<Keyed, Abort>
where
    C: Channel,
    K: Keys,
    P: Fn(u64, u64) + Send + Sync,
{
    let params = Params {
        min_matched: 0,
        ..params.clone()
    };
    let count = keys.count().max(1);
    let all = count as u64;
    let told = |key: u64| move |done: u64, of: u64| progress(key * of + done, all * of);
    let rows = Arc::new(AtomicU64::new(0));
    let past = match &course.before {
        None => None,
        Some(before) => kept::agree(ctx, before, count).await?,
    };
    let mut state = match past {
        Some(past) => {
            past.same_table(keys).await?;
            tracing::info!(
                keys = past.keys.len(),
                "matching goes on after so many keys"
            );
            rows.store(past.table, Ordering::Relaxed);
            past
        }
        None => {
            if course.before.is_some() {
                tracing::warn!("nothing is held by all parties: all is matched anew");
            }
            let seen = Seen::default();
            let ids = Counted {
                ids: Hashed::new(keys.open(0)?, seen.clone()),
                rows: Arc::clone(&rows),
            };
            let (found, frames) = once(ctx, peer, method, &params, &rows, ids, told(0)).await?;
            State {
                table: rows.load(Ordering::Relaxed),
                peer_batches: found.peer_batches,
                frames,
                keys: vec![Done {
                    ids: seen.digest(),
                    fingerprint: found.fingerprint,
                    matched: found.rows.len() as u64,
                    left_out: LeftOut::default(),
                }],
                rows: found.rows,
            }
        }
    };
    keys.found(state.keys.len() - 1, state.rows.len() as u64)?;
    kept::keep(course.keep.as_ref(), &state).await?;
    let table = state.table;
    let mut open = Bits::all(table);
    open.remove(&state.rows);
    for (key, number) in (0..count).zip(0..).skip(state.keys.len()) {
        let seen = Seen::default();
        let (ids, own) = (Hashed::new(keys.open(key)?, seen.clone()), params.clone());
        let (mut left, left_out) = offload(move || usable(ids, &own, table)).await??;
        left.retain(&open);
        let left = Arc::new(left);
        let ids = Left {
            ids: keys.open(key)?,
            rows: Arc::clone(&left),
            next: 0,
            batch: IdBatch::default(),
        };
        let further = Params {
            session: session(&params.session, number),
            frames: Some(state.frames.clone()),
            ..params.clone()
        };
        let step = ctx.narrow(format!("key-{key}"));
        let (found, _) = once(&step, peer, method, &further, &rows, ids, told(number)).await?;
        let found_rows: Option<Vec<u32>> = found.rows.iter().map(|n| left.nth(*n)).collect();
        let found_rows = found_rows.ok_or_else(changed)?;
        open.remove(&found_rows);
        state.keys.push(Done {
            ids: seen.digest(),
            fingerprint: found.fingerprint,
            matched: found_rows.len() as u64,
            left_out,
        });
        state.rows.extend(found_rows);
        keys.found(key, state.rows.len() as u64)?;
        kept::keep(course.keep.as_ref(), &state).await?;
    }
    Ok(Keyed::of(state))
}

/// One run of the method; also how many frames each party announced, by its index.
async fn once<C, I, P>(
    ctx: &Ctx<C>,
    peer: Option<Role>,
    method: Method,
    params: &Params,
    rows: &AtomicU64,
    ids: I,
    progress: P,
) -> Result<(Alignment, Vec<u32>), Abort>
where
    C: Channel,
    I: Ids + 'static,
    P: Fn(u64, u64) + Send + Sync,
{
    let peer = match peer {
        Some(peer) => peer,
        None if ctx.parties() > 2 && method == Method::Vole => {
            return vole::star::run_telling(ctx, params, ids, progress).await;
        }
        None => ecdh::peer_of(ctx)?,
    };
    let found = match method {
        Method::Curve => ecdh::between(ctx, peer, params, ids, progress).await?,
        Method::Vole => vole::between(ctx, peer, params, ids, progress).await?,
    };
    let mut frames = vec![0; ctx.parties()];
    let own = vole::frames(rows.load(Ordering::Relaxed), params.batch);
    let own = u32::try_from(own).map_err(|_| changed())?;
    for (role, told) in [(ctx.role(), own), (peer, found.peer_batches)] {
        let place = role.index().and_then(|index| frames.get_mut(index));
        *place.ok_or_else(changed)? = told;
    }
    Ok((found, frames))
}

/// A key's own session.
fn session(job: &[u8; 32], key: u64) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("paripassu align v1 session of a further key");
    hash.update(job).update(&key.to_le_bytes());
    *hash.finalize().as_bytes()
}

/// The table is not what it was when the match began.
pub(super) fn changed() -> Abort {
    Abort::Input(
        "the data file has changed while its customers were matched by several keys: leave it as it is, and propose \
         the job anew"
            .into(),
    )
}

/// Ids whose rows are counted.
struct Counted<I> {
    ids: I,
    rows: Arc<AtomicU64>,
}

impl<I: Ids> Ids for Counted<I> {
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort> {
        self.ids.read(limit, batch)?;
        self.rows.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

/// The ids of some rows of a table.
struct Left<I> {
    ids: I,
    rows: Arc<Bits>,
    next: u64,
    batch: IdBatch,
}

impl<I: Ids> Ids for Left<I> {
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort> {
        loop {
            self.batch.clear();
            self.ids.read(limit, &mut self.batch)?;
            for id in self.batch.iter() {
                if self.rows.has(self.next) {
                    if id.is_empty() {
                        return Err(changed());
                    }
                    batch.push(id);
                }
                self.next += 1;
            }
            if self.batch.is_empty() && self.next != self.rows.len {
                return Err(changed());
            }
            if self.batch.is_empty() || !batch.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Rows with a key that no other row has, and how many have none or share one. What may reach the disk are
/// hashes under a key that does not.
fn usable<I: Ids>(mut ids: I, params: &Params, table: u64) -> Result<(Bits, LeftOut), Abort> {
    let mut key = Zeroizing::new([0; 32]);
    UnwrapErr(SysRng).fill_bytes(&mut *key);
    let mut spill = Spill::<20>::new(params.memory_bytes / 2, params.spill_dir.clone());
    let (mut batch, mut row, mut left_out) = (IdBatch::default(), 0_u32, LeftOut::default());
    loop {
        batch.clear();
        ids.read(READ, &mut batch)?;
        if batch.is_empty() {
            break;
        }
        for id in batch.iter() {
            if u64::from(row) >= table {
                return Err(changed());
            }
            if id.is_empty() {
                left_out.empty += 1;
            } else {
                let mut record = [0; 20];
                let (print, number) = record.split_at_mut(16);
                let hash = blake3::keyed_hash(&key, id);
                print.copy_from_slice(hash.as_bytes().split_at(16).0);
                number.copy_from_slice(&row.to_le_bytes());
                spill.push(record).map_err(ecdh::disk)?;
            }
            row += 1;
        }
    }
    if u64::from(row) != table {
        return Err(changed());
    }
    let (mut rows, mut sorted) = (Bits::none(table), spill.finish().map_err(ecdh::disk)?);
    for part in 0..=u8::MAX {
        let part = sorted.part(part).map_err(ecdh::disk)?;
        for group in part.chunk_by(|a, b| a.first_chunk::<16>() == b.first_chunk()) {
            match group {
                [only] => {
                    let row = only.last_chunk().map_or(0, |row| u32::from_le_bytes(*row));
                    rows.set(row, true);
                }
                shared => left_out.repeated += shared.len() as u64,
            }
        }
    }
    rows.count();
    Ok((rows, left_out))
}

/// A set of rows.
struct Bits {
    words: Vec<u64>,
    /// Rows of the set before each eighth word.
    before: Vec<u32>,
    len: u64,
}

impl Bits {
    fn none(len: u64) -> Self {
        let words = usize::try_from(len.div_ceil(64)).unwrap_or(usize::MAX);
        Self {
            words: vec![0; words],
            before: Vec::new(),
            len,
        }
    }

    fn all(len: u64) -> Self {
        let mut all = Self::none(len);
        all.words.fill(u64::MAX);
        all
    }

    fn set(&mut self, row: u32, holds: bool) {
        if let Some(word) = self.words.get_mut(row as usize / 64) {
            let bit = 1 << (row % 64);
            *word = if holds { *word | bit } else { *word & !bit };
        }
    }

    fn has(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok();
        let word = word.and_then(|at| self.words.get(at));
        row < self.len && word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    fn remove(&mut self, rows: &[u32]) {
        rows.iter().for_each(|row| self.set(*row, false));
    }

    /// Keeps what is in `other`, too.
    fn retain(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        self.count();
    }

    /// Counts anew, after which [`Self::nth`] may be asked.
    fn count(&mut self) {
        let mut sum = 0;
        let each = self.words.chunks(8).map(|words| {
            let before = sum;
            sum += words.iter().map(|word| word.count_ones()).sum::<u32>();
            before
        });
        self.before = each.collect();
    }

    /// The row of the set that comes after `n` others.
    fn nth(&self, n: u32) -> Option<u32> {
        let block = self.before.partition_point(|before| *before <= n);
        let block = block.checked_sub(1)?;
        let mut left = n - self.before.get(block)?;
        for (at, word) in self.words.iter().enumerate().skip(block * 8).take(8) {
            if left >= word.count_ones() {
                left -= word.count_ones();
                continue;
            }
            let mut word = *word;
            for _ in 0..left {
                word &= word - 1;
            }
            return u32::try_from(at)
                .ok()?
                .checked_mul(64)?
                .checked_add(word.trailing_zeros());
        }
        None
    }
}

async fn offload<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Result<T, Abort> {
    vole::offload(f).await
}

#[cfg(test)]
pub(super) mod tests;
