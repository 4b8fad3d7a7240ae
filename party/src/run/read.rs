//! This party's data set, as the job asks for it.

use std::sync::atomic::Ordering;

use paripassu_model::table::Table;
use paripassu_protocol::abort::Abort;

use super::{Run, blocking, own};
use crate::dataset::{DatasetError, Selection};

impl Run {
    /// What the job asks of this party's data sets.
    pub(super) fn selection(&self) -> Result<Selection, Abort> {
        let id = self.site.identity.peer().id.to_string();
        let seat = self
            .spec()
            .seats()
            .into_iter()
            .find(|p| p.id.to_string() == id)
            .ok_or_else(|| own(format!("party `{id}` is not in this contract")))?;
        Selection::new(&self.site.config, self.spec(), seat, self.label).map_err(own)
    }

    pub(super) async fn load(&self) -> Result<(Table, Selection), Abort> {
        let selection = self.selection()?;
        // names of columns may stand in this node's log, cells of the table may not
        let failed = |e: DatasetError| {
            let text = e.without_values();
            tracing::error!(job = %self.job.job(), error = text, "the data set cannot be used");
            own(e.without_hints())
        };
        let (table, counts, selection) =
            blocking(move || selection.load().map(|(t, counts)| (t, counts, selection)))
                .await
                .map_err(failed)?;
        self.held.store(table.rows() as u64, Ordering::Relaxed);
        self.tell_counts(&counts);
        Ok((table, selection))
    }
}
