//! Own ids, read once: hashed, covered, put into an order that carries nothing, padded.

use std::fmt;

use rand::{Rng, rngs::SysRng};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::{MIN_PADDING, msg};
use crate::{
    abort::Abort,
    align::{
        IdBatch, Ids, Params,
        spill::{Drain, Spill},
    },
};

/// Rows read at a time.
const READ: usize = 16_384;
/// Row number of an item that is padding.
pub(super) const PADDING: u32 = u32::MAX;

/// order (16) | covered digest (32) | row (4)
const RECORD: usize = 52;

/// Two secrets of one run. `order` is a pseudo-random function of an id's digest: sorting by it is
/// a keyed pseudo-random permutation of the rows. `cover` hides digests at rest, so that what may
/// reach the disk is pseudo-random and its keys do not.
#[derive(ZeroizeOnDrop)]
struct Covers {
    order: [u8; 32],
    cover: [u8; 32],
}

impl fmt::Debug for Covers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Covers(secret)")
    }
}

impl Covers {
    fn random() -> Self {
        let mut s = Self {
            order: [0; 32],
            cover: [0; 32],
        };
        fill_random(&mut s.order);
        fill_random(&mut s.cover);
        s
    }

    fn pad(&self, order: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.cover, order).as_bytes()
    }

    fn seal(&self, digest: &[u8; 32], row: u32) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let (order, rest) = record.split_at_mut(16);
        let (covered, number) = rest.split_at_mut(32);
        for (o, b) in order
            .iter_mut()
            .zip(blake3::keyed_hash(&self.order, digest).as_bytes())
        {
            *o = *b;
        }
        for ((c, d), p) in covered.iter_mut().zip(digest).zip(self.pad(order)) {
            *c = d ^ p;
        }
        number.copy_from_slice(&row.to_le_bytes());
        record
    }

    fn open(&self, record: &[u8; RECORD]) -> ([u8; 32], u32) {
        let (order, rest) = record.split_at(16);
        let (covered, _) = rest.split_at(32);
        let mut digest = self.pad(order);
        for (d, c) in digest.iter_mut().zip(covered) {
            *d ^= c;
        }
        (digest, row(record))
    }
}

fn row(record: &[u8; RECORD]) -> u32 {
    record
        .last_chunk()
        .map_or(PADDING, |b| u32::from_le_bytes(*b))
}

fn fill_random(out: &mut [u8; 32]) {
    rand::rand_core::UnwrapErr(SysRng).fill_bytes(out);
}

/// Own items in sending order, padding among them.
pub(super) struct Items {
    covers: Covers,
    drain: Drain<RECORD>,
    batch: usize,
    /// Frames they fill.
    pub(super) batches: u32,
}

impl Items {
    /// The next frame.
    pub(super) fn next_frame(&mut self) -> Result<Frame, Abort> {
        let records = self.drain.take(self.batch).map_err(disk)?;
        let mut frame = Frame {
            digests: Zeroizing::new(Vec::with_capacity(records.len())),
            rows: Vec::with_capacity(records.len()),
        };
        for record in &records {
            let (digest, row) = self.covers.open(record);
            frame.digests.push(digest);
            frame.rows.push(row);
        }
        Ok(frame)
    }
}

/// One frame's items.
pub(super) struct Frame {
    /// To be hashed to the curve and masked.
    pub(super) digests: Zeroizing<Vec<[u8; 32]>>,
    /// Own row of each, or [`PADDING`].
    pub(super) rows: Vec<u32>,
}

/// Reads all ids of party `index`, refuses duplicates and pads to whole frames.
pub(super) fn load<I: Ids>(mut ids: I, params: &Params, index: usize) -> Result<Items, Abort> {
    let covers = Covers::random();
    let key = blake3::derive_key("paripassu align v1 id", &params.session);
    // Tags take the other half of the budget.
    let mut spill = Spill::new(params.memory_bytes / 2, params.spill_dir.clone());
    let mut batch = IdBatch::default();
    let mut rows: u32 = 0;
    loop {
        batch.clear();
        ids.read(READ, &mut batch)?;
        if batch.is_empty() {
            break;
        }
        for id in batch.iter() {
            if rows >= params.max_rows {
                return Err(Abort::Input(format!(
                    "the table has more than the {} rows that this node allows: raise the limit \
                     for alignment, or align a part of the table",
                    params.max_rows
                )));
            }
            if id.is_empty() {
                return Err(Abort::Input(format!(
                    "row {rows} (counted from 0) has an empty id: drop the row, or give it an id"
                )));
            }
            let digest = Zeroizing::new(*blake3::keyed_hash(&key, id).as_bytes());
            spill.push(covers.seal(&digest, rows)).map_err(disk)?;
            rows += 1;
        }
    }
    let batches = msg::batches(u64::from(rows), params.batch)?;
    let batches = params.announce(index, batches)?;
    let padding = u64::from(batches) * u64::from(params.batch) - u64::from(rows);
    debug_assert!(padding >= MIN_PADDING);
    for _ in 0..padding {
        let mut digest = [0; 32];
        fill_random(&mut digest);
        spill.push(covers.seal(&digest, PADDING)).map_err(disk)?;
    }
    let mut sorted = spill.finish().map_err(disk)?;
    let mut repeats = Repeats::default();
    for part in 0..=u8::MAX {
        repeats.count(&sorted.part(part).map_err(disk)?);
    }
    repeats.refuse()?;
    Ok(Items {
        covers,
        drain: Drain::new(sorted),
        batch: usize::try_from(params.batch).unwrap_or(usize::MAX),
        batches,
    })
}

/// Rows whose id an earlier row has.
#[derive(Default)]
struct Repeats {
    count: u64,
    /// The first such row and the row it repeats.
    first: Option<(u32, u32)>,
}

impl Repeats {
    fn count(&mut self, part: &[[u8; RECORD]]) {
        // Equal digests have equal orders, and 128 bits make the converse hold.
        for group in part.chunk_by(|a, b| a.first_chunk::<16>() == b.first_chunk()) {
            if group.len() < 2 {
                continue;
            }
            let mut rows: Vec<u32> = group.iter().map(row).collect();
            rows.sort_unstable();
            self.count += rows.len() as u64 - 1;
            if let [original, repeat, ..] = rows.as_slice()
                && self.first.is_none_or(|(r, _)| *repeat < r)
            {
                self.first = Some((*repeat, *original));
            }
        }
    }

    fn refuse(&self) -> Result<(), Abort> {
        match self.first {
            None => Ok(()),
            Some((repeat, original)) => Err(Abort::Input(format!(
                "row {repeat} has the same id as row {original} (counted from 0), and {} rows in \
                 all repeat an earlier id: keep one row for each customer, or add columns to the \
                 id",
                self.count
            ))),
        }
    }
}

/// An input or output error of the temporary file.
pub(in crate::align) fn disk(e: std::io::Error) -> Abort {
    Abort::Input(format!(
        "intermediate values of the alignment do not fit in memory and could not be put into a \
         temporary file: {e}; free space there, name another directory, or allow more memory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::align::IterIds;

    fn params() -> Params {
        Params {
            batch: 128,
            ..Params::new([1; 32])
        }
    }

    fn loaded(ids: &[&str], params: &Params) -> Result<Vec<u32>, Abort> {
        let ids: Vec<String> = ids.iter().map(|s| (*s).to_owned()).collect();
        let mut items = load(IterIds(ids.into_iter()), params, 0)?;
        let mut rows = Vec::new();
        for _ in 0..items.batches {
            rows.extend(items.next_frame()?.rows);
        }
        Ok(rows)
    }

    #[test]
    fn rows_come_once_in_a_new_order_each_run_padded_to_whole_frames() {
        let names: Vec<String> = (0..100).map(|i| format!("id{i}")).collect();
        let ids: Vec<&str> = names.iter().map(String::as_str).collect();
        let one = loaded(&ids, &params()).unwrap();
        let two = loaded(&ids, &params()).unwrap();
        assert_eq!(one.len(), 256);
        assert_ne!(one, two);
        let mut rows: Vec<u32> = one.into_iter().filter(|r| *r != PADDING).collect();
        assert!(!rows.is_sorted());
        rows.sort_unstable();
        assert_eq!(rows, (0..100).collect::<Vec<u32>>());
    }

    #[test]
    fn names_the_first_repeated_row_and_counts_all() {
        let e = loaded(&["a", "b", "c", "b", "a", "b"], &params()).unwrap_err();
        assert_eq!(e.code(), "input");
        let text = e.to_string();
        assert!(text.starts_with("row 3 has the same id as row 1"), "{text}");
        assert!(text.contains("and 3 rows in all"), "{text}");
    }

    #[test]
    fn refuses_empty_ids_and_too_many_rows() {
        let e = loaded(&["a", ""], &params()).unwrap_err();
        assert!(e.to_string().starts_with("row 1 "), "{e}");
        let few = Params {
            max_rows: 2,
            ..params()
        };
        assert!(loaded(&["a", "b"], &few).is_ok());
        assert!(loaded(&["a", "b", "c"], &few).is_err());
    }

    /// What can reach the disk contains neither the id nor its digest, and differs between runs.
    #[test]
    fn records_at_rest_are_covered() {
        let digest = *blake3::hash(b"CANARY-4711").as_bytes();
        let (one, two) = (Covers::random(), Covers::random());
        let (a, b) = (one.seal(&digest, 5), two.seal(&digest, 5));
        assert_eq!(one.open(&a), (digest, 5));
        assert!(a.windows(4).all(|w| !digest.windows(4).any(|d| d == w)));
        assert_ne!(a[..48], b[..48]);
        assert!(!format!("{one:?}").contains(char::is_numeric));
    }
}
