//! What a party keeps of a match by several keys: after each key, all that was found until then.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{Keys, LeftOut, offload};
use crate::{
    abort::Abort,
    align::resume::{self, Hashed, Keep, Seen, put_rows, rows, unkept},
    channel::Channel,
    ctx::Ctx,
    held::Held,
};

/// Bytes of a [`Done`].
const DONE: usize = 32 + 32 + 8 + 8 + 8;

/// A key by which all is matched.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// Digest of the table's ids by it.
    pub(super) ids: [u8; 32],
    /// Equal at all parties.
    pub(super) fingerprint: [u8; 32],
    /// Rows in common by it.
    pub(super) matched: u64,
    /// Nothing at the first key.
    pub(super) left_out: LeftOut,
}

/// All that is known after some keys.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Rows of the table.
    pub(super) table: u64,
    pub(super) peer_batches: u32,
    /// What each party announced at the first key, by its index.
    pub(super) frames: Vec<u32>,
    pub(super) keys: Vec<Done>,
    /// Rows in common, key by key.
    pub(super) rows: Vec<u32>,
}

impl State {
    /// What is the same at all parties that hold this.
    fn digest(&self) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("paripassu align v1 keys that are matched");
        for key in &self.keys {
            hash.update(&key.fingerprint);
        }
        *hash.finalize().as_bytes()
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let length = 14 + 4 * self.frames.len() + DONE * self.keys.len() + 4 * self.rows.len();
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(&self.table.to_le_bytes());
        out.extend_from_slice(&self.peer_batches.to_le_bytes());
        out.extend(
            [self.frames.len(), self.keys.len()].map(|n| u8::try_from(n).unwrap_or(u8::MAX)),
        );
        put_rows(&mut out, &self.frames);
        for key in &self.keys {
            out.extend_from_slice(&key.ids);
            out.extend_from_slice(&key.fingerprint);
            for number in [key.matched, key.left_out.empty, key.left_out.repeated] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        put_rows(&mut out, &self.rows);
        out
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let (table, rest) = text.split_first_chunk::<8>()?;
        let (peer_batches, rest) = rest.split_first_chunk::<4>()?;
        let ([parties, count], rest) = rest.split_first_chunk::<2>()?;
        let (frames, rest) = rest.split_at_checked(4 * usize::from(*parties))?;
        let (keys, rest) = rest.split_at_checked(DONE * usize::from(*count))?;
        let done = |text: &[u8; DONE]| {
            let (ids, rest) = text.split_first_chunk::<32>()?;
            let (fingerprint, rest) = rest.split_first_chunk::<32>()?;
            let [matched, empty, repeated] = rest.as_chunks::<8>().0 else {
                return None;
            };
            let [matched, empty, repeated] =
                [matched, empty, repeated].map(|n| u64::from_le_bytes(*n));
            Some(Done {
                ids: *ids,
                fingerprint: *fingerprint,
                matched,
                left_out: LeftOut { empty, repeated },
            })
        };
        let state = Self {
            table: u64::from_le_bytes(*table),
            peer_batches: u32::from_le_bytes(*peer_batches),
            frames: rows(frames)?,
            keys: keys.as_chunks().0.iter().map(done).collect::<Option<_>>()?,
            rows: rows(rest)?,
        };
        let matched = state.keys.iter().map(|key| key.matched).sum::<u64>();
        let whole = matched == state.rows.len() as u64 && !state.keys.is_empty();
        let within = state.rows.iter().all(|row| u64::from(*row) < state.table);
        (whole && within).then_some(state)
    }

    /// Refuses a table other than the one that was matched.
    pub(super) async fn same_table<K: Keys>(&self, keys: &mut K) -> Result<(), Abort> {
        for (key, done) in self.keys.iter().enumerate() {
            let (seen, then) = (Seen::default(), done.ids);
            let mut ids = Hashed::new(keys.open(key)?, seen.clone());
            offload(move || {
                ids.read_through()?;
                seen.check(&then)
            })
            .await??;
        }
        Ok(())
    }
}

/// The latest state of the aborted job, of those after up to `keys` keys, that all parties hold alike.
///
/// # Leakage
/// To all parties, after how many keys each still holds what was found, with digests that all know.
///
/// # Errors
/// [`Abort::Malformed`] naming the peer; the channel's.
pub(super) async fn agree<C: Channel>(
    ctx: &Ctx<C>,
    before: &Arc<dyn Keep>,
    keys: usize,
) -> Result<Option<State>, Abort> {
    let (store, most) = (Arc::clone(before), u32::try_from(keys).unwrap_or(u32::MAX));
    let states = offload(move || {
        let kept = (1..=most).filter_map(|part| {
            let state = State::decode(&store.kept(part)?)?;
            (state.keys.len() == part as usize).then_some((part, state))
        });
        kept.collect::<Vec<(u32, State)>>()
    })
    .await?;
    let held: Vec<Held> = states
        .iter()
        .map(|(part, state)| (*part, state.digest()))
        .collect();
    let latest = resume::latest_held(ctx, &held).await?;
    let state = states.into_iter().find(|(part, _)| Some(*part) == latest);
    Ok(state.map(|(_, state)| state))
}

/// Keeps what was found until now, where that is asked for.
pub(super) async fn keep(keep: Option<&Arc<dyn Keep>>, state: &State) -> Result<(), Abort> {
    let Some(keep) = keep.cloned() else {
        return Ok(());
    };
    let part = u32::try_from(state.keys.len()).unwrap_or(u32::MAX);
    let text = state.encode();
    offload(move || keep.keep(part, &text))
        .await?
        .map_err(unkept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_reads_back_whole_or_not_at_all() {
        let done = |matched: u64| Done {
            ids: [1; 32],
            fingerprint: [2; 32],
            matched,
            left_out: LeftOut {
                empty: 5,
                repeated: 6,
            },
        };
        let state = State {
            table: 9,
            peer_batches: 3,
            frames: vec![2, 3],
            keys: vec![done(2), done(1)],
            rows: vec![8, 0, 4],
        };
        let text = state.encode();
        assert!(State::decode(&text).unwrap() == state);
        for end in 0..text.len() {
            assert!(State::decode(&text[..end]).is_none(), "{end}");
        }
        let outside = State {
            table: 8,
            ..state.clone()
        };
        assert!(State::decode(&outside.encode()).is_none());
        let none = State {
            keys: Vec::new(),
            rows: Vec::new(),
            ..state
        };
        assert!(State::decode(&none.encode()).is_none());
    }
}
