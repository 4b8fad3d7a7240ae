//! Own ids, read once and hashed.

use crate::{
    abort::Abort,
    align::{IdBatch, Ids, Params},
};

use super::{kept::Past, store::Store};

/// Rows read at a time.
const READ: usize = 16_384;

/// Reads all ids and refuses empty ones and duplicates, and leaves out those that were matched before; how many are left.
pub(super) fn load<I: Ids>(
    mut ids: I,
    params: &Params,
    key: &[u8; 32],
    past: Option<&Past>,
) -> Result<(Store, u64), Abort> {
    let mut store = Store::new(params.memory_bytes / 2, params.spill_dir.clone());
    let mut batch = IdBatch::default();
    let (mut rows, mut left): (u32, u64) = (0, 0);
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
            if !past.is_some_and(|past| past.has_finished(id)) {
                store.push(item(key, id), rows).map_err(disk)?;
                left += 1;
            }
            rows += 1;
        }
    }
    let mut store = store.finish().map_err(disk)?;
    let (count, first) = store.repeats().map_err(disk)?;
    match first {
        None => Ok((store, left)),
        Some((repeat, original)) => Err(Abort::Input(format!(
            "row {repeat} has the same id as row {original} (counted from 0), and {count} rows in \
             all repeat an earlier id: keep one row for each customer, or add columns to the id"
        ))),
    }
}

/// What stands for an id under a key.
pub(super) fn item(key: &[u8; 32], id: &[u8]) -> u128 {
    let hash = blake3::keyed_hash(key, id);
    let item = hash.as_bytes().first_chunk();
    item.map_or(0, |b| u128::from_le_bytes(*b))
}

/// An input or output error of the temporary file.
pub(super) fn disk(e: std::io::Error) -> Abort {
    Abort::Input(format!(
        "intermediate values of the alignment do not fit in memory and could not be put into a \
         temporary file: {e}; free space there, name another directory, or allow more memory"
    ))
}
