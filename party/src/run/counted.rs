//! How many scores a job opens, for the party's quota of them.

use paripassu_audit::event::bodies::Denied;
use paripassu_protocol::abort::Abort;

use super::{Run, own};

impl Run {
    /// Holds the rows that will be scored against what the contract allows, and counts them: from here on scores may be
    /// opened. Every party knows their number, so every party ends the job where there are too many.
    pub(super) fn scores_within(&self, rows: usize) -> Result<(), Abort> {
        let Some(scores) = &self.spec().outputs.scores else {
            return Ok(());
        };
        let rows = rows as u64;
        if let Some(most) = scores.max_rows.filter(|most| rows > *most) {
            self.book.event(Denied {
                code: "policy".into(),
                subject: "outputs.scores.max_rows".into(),
                to: None,
            })?;
            return Err(own(format!(
                "{rows} rows are held out, and the contract allows {most} to be scored (outputs.scores.max_rows): \
                 propose the job anew with a higher number or fewer split.test_tenths"
            )));
        }
        // two fits' scores of the same rows are twice as many
        let compared = self
            .spec()
            .reject_inference
            .as_ref()
            .is_some_and(|r| r.compare);
        let opened = if compared { 2 * rows } else { rows };
        let counted = self
            .site
            .store
            .scores_opened(self.job.job().as_str(), opened);
        counted.map_err(own)
    }

    /// A job that failed before it was known how many rows are scored has opened no score.
    pub(super) fn nothing_scored(&self) {
        if self.taken.test_rows.is_some() {
            return;
        }
        let counted = self.site.store.scores_opened(self.job.job().as_str(), 0);
        if let Err(error) = counted {
            // it counts as many as it might have opened
            tracing::error!(job = %self.job.job(), %error, "scores of a failed job cannot be counted");
        }
    }
}
