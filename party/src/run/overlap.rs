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
        let ids = || {
            let ids = selection.ids().map_err(|e| own(e.without_hints()))?;
            Ok(ids.telling(Arc::clone(&own_rows)))
        };
        let (method, params) = self.alignment();
        let progress = self.alignment_progress();
        self.book_alignment(1)?;
        let found = match overlap.of {
            OverlapOf::All => {
                let (ids, course) = (ids()?, self.match_course().await?);
                let aligned =
                    align::run_on(&self.ctx, method, &params, ids, &course, progress).await;
                let aligned = self.too_few(aligned).await?;
                Found {
                    rows: aligned.rows,
                    pairs: Vec::new(),
                    fingerprint: aligned.fingerprint,
                    peer_batches: aligned.peer_batches,
                    own_rows: own_rows.load(Ordering::Relaxed),
                }
            }
            OverlapOf::Any => {
                let pairs = align::run_any(&self.ctx, method, &params, ids, progress).await?;
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
        let (state, job) = (self.site.config.state.clone(), self.job.job().to_string());
        let party = self.site.identity.peer().id.to_string();
        self.peer_rows = Self::rows_in(found.peer_batches);
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
            let list = list(table.ids(), &found, &others);
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

/// `members.csv`: a line for each common customer; at the first party of a job over pairs with a column for
/// each other party.
fn list(ids: &[String], found: &Found, others: &[String]) -> String {
    let mut text = String::from("id");
    let mut columns = Vec::new();
    for (pair, other) in found.pairs.iter().zip(others) {
        text.push(',');
        text.push_str(other);
        let mut rows = pair.rows.clone();
        rows.sort_unstable();
        columns.push(rows);
    }
    text.push('\n');
    for (id, row) in ids.iter().zip(&found.rows) {
        text.push_str(&cell(id));
        for rows in &columns {
            let has = rows.binary_search(row).is_ok();
            text.push_str(if has { ",1" } else { ",0" });
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
        };
        let ids = ["a,\"b".to_owned(), "c".to_owned()];
        assert_eq!(list(&ids, &found, &[]), "id\n\"a,\"\"b\"\nc\n");
    }
}
