//! A job of matching alone: the party keeps the list of its own customers that are common.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use paripassu_audit::event::{
    bodies::{ModelCommitted, ModelReleased},
    hex,
};
use paripassu_job::{
    plan::Stage,
    spec::{Overlap, OverlapOf},
};
use paripassu_model::table::Table;
use paripassu_protocol::{
    abort::Abort,
    align::{self, Alignment},
    channel::{Channel, Role},
};
use paripassu_service::node::JobState;
use serde_json::json;

use super::{At, Failure, Run, blocking, outputs, own};
use crate::{commit, dataset::DatasetError};

/// What a party finds.
struct Found {
    /// Own rows that are common, each once, in the common order where there is one.
    rows: Vec<u32>,
    /// At the first party of a job over pairs: with whom each row is common.
    pairs: Vec<Alignment>,
    fingerprint: [u8; 32],
    /// Frames that a peer has sent, at most.
    peer_batches: u32,
    /// Rows of this party's file.
    own_rows: u64,
    /// Where customers are matched by several keys: the key of each row; at the first party of a job over pairs, of
    /// each pair's rows.
    keys: Vec<Vec<usize>>,
}

impl Run {
    /// Matches, and keeps the list.
    pub(super) async fn overlap(&mut self, overlap: &Overlap) -> Result<(), Failure> {
        self.reporter.phase(JobState::Aligning, "read data");
        let found = self.find(overlap).await.at("align")?;
        self.done(Stage::Align).at("align")?;
        self.reporter.phase(JobState::Evaluating, "write results");
        self.keep(overlap, found).await.at("release")
    }

    async fn find(&self, overlap: &Overlap) -> Result<Found, Abort> {
        let selection = self.selection()?;
        let own_rows = Arc::new(AtomicU64::new(0));
        let (method, params) = self.alignment();
        let progress = self.alignment_progress();
        self.book_alignment(1)?;
        let found = match overlap.of {
            OverlapOf::All if self.has_further_keys() => {
                let keyed = self.match_by_keys(selection, Arc::clone(&own_rows)).await?;
                Found {
                    keys: vec![keyed.keys().collect()],
                    rows: keyed.alignment.rows,
                    pairs: Vec::new(),
                    fingerprint: keyed.alignment.fingerprint,
                    peer_batches: keyed.alignment.peer_batches,
                    own_rows: own_rows.load(Ordering::Relaxed),
                }
            }
            OverlapOf::All => {
                let ids = selection.ids().map_err(|e| own(e.without_hints()))?;
                let ids = ids.telling(Arc::clone(&own_rows));
                let course = self.match_course().await?;
                let aligned =
                    align::run_on(&self.ctx, method, &params, ids, &course, progress).await;
                let aligned = self.too_few(self.refused(aligned)).await?;
                Found {
                    rows: aligned.rows,
                    keys: Vec::new(),
                    pairs: Vec::new(),
                    fingerprint: aligned.fingerprint,
                    peer_batches: aligned.peer_batches,
                    own_rows: own_rows.load(Ordering::Relaxed),
                }
            }
            OverlapOf::Any => {
                let mut keys = self.file_keys(selection, Arc::clone(&own_rows));
                let keyed = align::run_any(&self.ctx, method, &params, &mut keys, progress).await;
                let keyed = self.refused(keyed)?;
                let mut keys = Vec::new();
                if self.has_further_keys() {
                    keyed.iter().for_each(|pair| self.tell_keys(pair));
                    keys.extend(keyed.iter().map(|pair| pair.keys().collect()));
                }
                let pairs: Vec<Alignment> = keyed.into_iter().map(|pair| pair.alignment).collect();
                let mut rows: Vec<u32> = pairs.iter().flat_map(|a| a.rows.clone()).collect();
                if let [_, _, ..] = pairs[..] {
                    rows.sort_unstable();
                    rows.dedup();
                }
                let mut prints = blake3_of(&pairs);
                if let [one] = &pairs[..] {
                    prints = one.fingerprint;
                }
                let centre = self.channel.role() == Role::Party(0);
                let frames = pairs.iter().map(|pair| pair.peer_batches);
                Found {
                    rows,
                    peer_batches: frames.max().unwrap_or_default(),
                    own_rows: own_rows.load(Ordering::Relaxed),
                    pairs: if centre { pairs } else { Vec::new() },
                    keys,
                    fingerprint: prints,
                }
            }
        };
        let matched = found.rows.len() as u64;
        let allowed = match overlap.of {
            OverlapOf::All => self.aligned(method, matched),
            // `align.done` is for all members to read, and what a pair has in common is not
            OverlapOf::Any => self.within_limit(matched),
        };
        self.or_forget(allowed).await?;
        Ok(found)
    }

    /// Writes the list, and a commitment to it.
    async fn keep(&mut self, overlap: &Overlap, found: Found) -> Result<(), Abort> {
        let selection = self.selection()?;
        let others: Vec<String> = {
            let parties = self.contract.parties().into_iter().map(ToString::to_string);
            parties.skip(1).collect()
        };
        let keys: Vec<String> = {
            let keys = self.spec().keys().into_iter();
            keys.map(|(name, _)| name.to_owned()).collect()
        };
        let (state, job) = (self.site.config.state.clone(), self.job.job().to_string());
        let party = self.site.identity.peer().id.to_string();
        self.peer_rows = self.rows_in(found.peer_batches);
        let planned = self.planned(found.own_rows, found.rows.len() as u64, &[]);
        let summary = json!({
            "format": 1,
            "job": job,
            "party": party,
            "of": overlap.of.to_string(),
            "method": self.spec().align.method.to_string(),
            "parties": self.contract.parties().len(),
            "matched": found.rows.len(),
            "matched_with": found.pairs.iter().zip(&others)
                .map(|(pair, id)| (id.clone(), pair.rows.len()))
                .collect::<BTreeMap<_, _>>(),
            "matched_by": by_key(&found.keys, &keys),
            "fingerprint": hex(&found.fingerprint),
            "planned": planned,
        });
        let summary = serde_json::to_string_pretty(&summary).map_err(own)?;
        let folder = self.site.config.results.join(&job);
        let written = blocking(move || {
            let ids = selection.ids().and_then(|ids| ids.of_rows(&found.rows));
            let (ids, counts) = ids.map_err(|e: DatasetError| own(e.without_hints()))?;
            let table = Table::new(ids, None, Vec::new()).map_err(own)?;
            let rows: Vec<usize> = (0..table.rows()).collect();
            let committed = commit::commit(&state, &job, selection.name(), &table, &rows)
                .map_err(|e| own(format!("cannot keep the commitment to the data: {e}")))?;
            let list = list(table.ids(), &found, &others, &keys);
            let results = outputs::Results {
                folder,
                report: None,
            };
            let (staged, files) = results.stage(vec![
                ("members.csv", list.into_bytes()),
                ("overlap.json", summary.into_bytes()),
            ])?;
            Ok::<_, Abort>((staged, files, committed, counts, table))
        });
        let (staged, files, committed, counts, table) = written.await?;
        // what was matched is known to both ends by now; lists that differ by few are given to nobody
        let allowed = self.set_may_follow(table.ids().iter().map(String::as_str));
        self.or_forget(allowed).await?;
        self.tell_counts(&counts);
        self.book.event(self.graded(committed))?;
        self.book.event(ModelCommitted { files })?;
        // nobody keeps results unless everybody has written theirs
        self.ctx
            .narrow("release")
            .broadcast("written", bytes::Bytes::new())
            .await?;
        staged.commit()?;
        self.book.event(ModelReleased {
            what: "list of this party's common customers".into(),
            to: vec![format!("party:{party}")],
        })?;
        self.forget().await
    }
}

/// One fingerprint of several pairs'.
fn blake3_of(pairs: &[Alignment]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut all = Sha256::new();
    for pair in pairs {
        all.update(pair.fingerprint);
    }
    all.finalize().into()
}

/// How many rows matched by each key, of all pairs together; nothing where there is one key.
fn by_key(found: &[Vec<usize>], keys: &[String]) -> BTreeMap<String, usize> {
    let rows = found.iter().flatten().filter_map(|key| keys.get(*key));
    let mut counts = BTreeMap::new();
    rows.for_each(|key| *counts.entry(key.clone()).or_default() += 1);
    counts
}

/// `members.csv`: a line for each common customer; at the first party of a job over pairs with a column for
/// each other party. Where customers are matched by several keys, also by which.
fn list(ids: &[String], found: &Found, others: &[String], keys: &[String]) -> String {
    let mut text = String::from("id");
    let keyed = !found.keys.is_empty();
    if keyed && found.pairs.is_empty() {
        text.push_str(",key");
    }
    let mut columns = Vec::new();
    for (at, (pair, other)) in found.pairs.iter().zip(others).enumerate() {
        text.push(',');
        text.push_str(other);
        let of = found.keys.get(at).map_or(&[][..], Vec::as_slice);
        let of = of.iter().copied().chain(std::iter::repeat(0));
        let mut rows: Vec<(u32, usize)> = pair.rows.iter().copied().zip(of).collect();
        rows.sort_unstable();
        columns.push(rows);
    }
    text.push('\n');
    let name = |key: usize| keys.get(key).map_or("", String::as_str);
    for (at, (id, row)) in ids.iter().zip(&found.rows).enumerate() {
        text.push_str(&cell(id));
        if let ([of], true) = (&found.keys[..], found.pairs.is_empty()) {
            text.push(',');
            text.push_str(of.get(at).map_or("", |key| name(*key)));
        }
        for rows in &columns {
            let has = rows.binary_search_by_key(row, |(row, _)| *row);
            let has = has.ok().and_then(|at| rows.get(at));
            text.push(',');
            text.push_str(match (has, keyed) {
                (Some((_, key)), true) => name(*key),
                (Some(_), false) => "1",
                (None, true) => "",
                (None, false) => "0",
            });
        }
        text.push('\n');
    }
    text
}

/// An id as a cell of a CSV file.
fn cell(id: &str) -> std::borrow::Cow<'_, str> {
    match id.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", id.replace('"', "\"\"")).into(),
        false => id.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_with_separators_are_quoted() {
        let found = Found {
            rows: vec![4, 2],
            pairs: Vec::new(),
            fingerprint: [0; 32],
            peer_batches: 1,
            own_rows: 5,
            keys: Vec::new(),
        };
        let ids = ["a,\"b".to_owned(), "c".to_owned()];
        assert_eq!(list(&ids, &found, &[], &[]), "id\n\"a,\"\"b\"\nc\n");
        let names = ["id".to_owned(), "phone".to_owned()];
        let by_keys = Found {
            keys: vec![vec![0, 1]],
            ..found
        };
        let text = list(&ids, &by_keys, &[], &names);
        assert_eq!(text, "id,key\n\"a,\"\"b\",id\nc,phone\n");
    }
}
