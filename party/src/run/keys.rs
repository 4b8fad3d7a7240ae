//! Matching by several keys, where a job asks for it: what is written down of each, and by which text rows in common
//! are known to all.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use paripassu_protocol::{
    abort::Abort,
    align::{self, Keyed, Keys},
};

use super::{Run, own};
use crate::dataset::{DatasetError, FileIds, Selection};

/// This party's ids by each key, from its file.
pub(super) struct FileKeys<'r> {
    run: &'r Run,
    selection: Selection,
    /// Told the number of rows.
    rows: Arc<AtomicU64>,
    /// More rows are common than this party allows.
    over: AtomicBool,
}

impl Keys for FileKeys<'_> {
    type Ids = FileIds;

    fn count(&self) -> usize {
        self.selection.keys()
    }

    fn open(&mut self, key: usize) -> Result<FileIds, Abort> {
        let ids = self.selection.ids_by(key);
        let ids = ids.map_err(|e| own(e.without_hints()))?;
        Ok(ids.telling(Arc::clone(&self.rows)))
    }

    fn found(&self, _: usize, so_far: u64) -> Result<(), Abort> {
        let allowed = self.run.within_limit(so_far);
        self.over.fetch_or(allowed.is_err(), Ordering::Relaxed);
        allowed
    }
}

impl Run {
    pub(super) fn file_keys(&self, selection: Selection, rows: Arc<AtomicU64>) -> FileKeys<'_> {
        FileKeys {
            run: self,
            selection,
            rows,
            over: AtomicBool::new(false),
        }
    }

    /// Matches with all parties by each key in turn. What was found by the keys before is kept for another job to go on
    /// with, unless nothing may come of this one.
    pub(super) async fn match_by_keys(
        &self,
        selection: Selection,
        rows: Arc<AtomicU64>,
    ) -> Result<Keyed, Abort> {
        let (method, params) = self.alignment();
        let (course, progress) = (self.match_course().await?, self.alignment_progress());
        let mut keys = self.file_keys(selection, rows);
        let keyed = align::run_keys(&self.ctx, method, &params, &mut keys, &course, progress).await;
        let keyed = match keys.over.load(Ordering::Relaxed) {
            true => self.or_forget(keyed).await,
            false => keyed,
        };
        let keyed = self.too_few(self.refused(keyed)).await?;
        self.tell_keys(&keyed);
        Ok(keyed)
    }

    /// Whether the job matches by more keys than the id.
    pub(super) fn has_further_keys(&self) -> bool {
        !self.spec().align.fallback.is_empty()
    }

    /// How many rows took no part at each further key, and how many matched: in this node's own log, and nowhere else.
    pub(super) fn tell_keys(&self, keyed: &Keyed) {
        let keys = self.spec().keys();
        for (at, (key, _)) in keys.iter().enumerate() {
            let left_out = at.checked_sub(1).and_then(|at| keyed.left_out.get(at));
            let left_out = left_out.copied().unwrap_or_default();
            tracing::info!(
                job = %self.job.job(), key, matched = keyed.by_key.get(at), without = left_out.empty,
                shared = left_out.repeated,
                "customers matched by this key; rows without it, or with one that another row has, took no part"
            );
        }
    }
}

/// The texts by which rows that did not match by the id are known to all parties, by row.
pub(super) fn common_keys(
    selection: &Selection,
    keyed: &Keyed,
) -> Result<HashMap<usize, String>, DatasetError> {
    let mut texts = HashMap::new();
    let rows = &keyed.alignment.rows;
    let mut from = keyed.by_key.first().copied().unwrap_or_default() as usize;
    for (key, matched) in keyed.by_key.iter().enumerate().skip(1) {
        let to = (from + *matched as usize).min(rows.len());
        let of_key = rows.get(from..to).unwrap_or_default();
        from = to;
        if of_key.is_empty() {
            continue;
        }
        let (ids, _) = selection.ids_by(key)?.of_rows(of_key)?;
        if ids.iter().any(String::is_empty) {
            return Err(DatasetError::Changed);
        }
        texts.extend(of_key.iter().map(|row| *row as usize).zip(ids));
    }
    Ok(texts)
}
