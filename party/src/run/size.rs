//! A job of matching alone that tells nobody who is common: the party keeps a bucket of how many.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use paripassu_audit::event::bodies::{ModelCommitted, ModelReleased};
use paripassu_job::{DisclosureId, plan::Stage};
use paripassu_model::table::Table;
use paripassu_protocol::{
    abort::Abort,
    align::size::{self, Size},
};
use paripassu_service::node::JobState;
use serde_json::json;

use super::{At, Failure, Run, blocking, outputs, own};
use crate::{commit, dataset::DatasetError};

impl Run {
    /// Matches, and keeps the bucket.
    pub(super) async fn size(&mut self) -> Result<(), Failure> {
        self.reporter.phase(JobState::Aligning, "read data");
        let (size, own_rows) = self.count().await.at("align")?;
        self.done(Stage::Align).at("align")?;
        self.reporter.phase(JobState::Evaluating, "write results");
        self.keep_size(size, own_rows).await.at("release")
    }

    async fn count(&self) -> Result<(Size, u64), Abort> {
        let own_rows = Arc::new(AtomicU64::new(0));
        let ids = self.selection()?.ids();
        let ids = ids.map_err(|e| own(e.without_hints()))?;
        let ids = ids.telling(Arc::clone(&own_rows));
        let (_, params) = self.alignment();
        let book = |id, values| self.book.disclose(&id, values, "align");
        book(DisclosureId::RelayTraffic, 0)?;
        for _ in self.contract.parties() {
            book(DisclosureId::AlignSizes, 1)?;
        }
        // the helper's to know, and the bucket everybody's
        book(DisclosureId::AlignMatched, 1)?;
        book(DisclosureId::AlignSizeBucket, 1)?;
        let size = size::run(&self.ctx, &params, ids, self.alignment_progress()).await;
        let size = self.refused(size)?;
        // by this party's own limit as far as a bucket tells
        self.within_limit(size.bucket.from)?;
        Ok((size, own_rows.load(Ordering::Relaxed)))
    }

    /// Writes the bucket, and a commitment to all ids that were brought.
    async fn keep_size(&mut self, size: Size, own_rows: u64) -> Result<(), Abort> {
        let selection = self.selection()?;
        let (state, job) = (self.site.config.state.clone(), self.job.job().to_string());
        let party = self.site.identity.peer().id.to_string();
        self.peer_rows = self.rows_in(size.peer_batches);
        let bucket = size.bucket;
        let summary = json!({
            "format": 1,
            "job": job,
            "party": party,
            "of": "size",
            "method": self.spec().align.method.to_string(),
            "parties": self.contract.parties().len(),
            "size": { "from": bucket.from, "below": bucket.below },
            "planned": self.planned(own_rows, bucket.from, &[]),
        });
        let summary = serde_json::to_string_pretty(&summary).map_err(own)?;
        let folder = self.site.config.results.join(&job);
        let all = u32::try_from(own_rows).map_err(own)?;
        let written = blocking(move || {
            let rows: Vec<u32> = (0..all).collect();
            let ids = selection.ids().and_then(|ids| ids.of_rows(&rows));
            let (ids, counts) = ids.map_err(|e: DatasetError| own(e.without_hints()))?;
            let table = Table::new(ids, None, Vec::new()).map_err(own)?;
            let rows: Vec<usize> = (0..table.rows()).collect();
            let committed = commit::commit(&state, &job, selection.name(), &table, &rows)
                .map_err(|e| own(format!("cannot keep the commitment to the data: {e}")))?;
            let results = outputs::Results {
                folder,
                report: None,
            };
            let (staged, files) = results.stage(vec![("overlap.json", summary.into_bytes())])?;
            Ok::<_, Abort>((staged, files, committed, counts))
        });
        let (staged, files, committed, counts) = written.await?;
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
            what: "bucket of how many customers are common".into(),
            to: vec![format!("party:{party}")],
        })
    }
}
