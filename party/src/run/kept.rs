//! What is kept of a run for another job to go on with, and when it goes.

use std::sync::Arc;

use paripassu_audit::event::bodies::DataErased;
use paripassu_job::DisclosureId;
use paripassu_protocol::{
    abort::Abort,
    align::{Course, Keep},
};

use super::{Run, blocking};
use crate::checkpoints::{Checkpoints, OfMatch, behind, resumed};

impl Run {
    pub(super) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.site.config.state, &self.site.identity)
    }

    /// Where parts of this match are kept, and those of the job that this one goes on with. What jobs left behind long
    /// ago is destroyed.
    pub(super) async fn match_course(&self) -> Result<Course, Abort> {
        let checkpoints = self.checkpoints();
        let of = |job: String| -> Arc<dyn Keep> {
            let checkpoints = checkpoints.clone();
            Arc::new(OfMatch { checkpoints, job })
        };
        let before = resumed(&self.contract).map(ToString::to_string);
        if before.is_some() {
            self.book
                .disclose(&DisclosureId::AlignHeld, 1, "align/held")?;
        }
        let course = Course {
            keep: Some(of(self.job.job().to_string())),
            before: before.map(of),
        };
        blocking(move || checkpoints.erase_old()).await;
        Ok(course)
    }

    /// A match that ended for too few in common is not for going on with.
    pub(super) async fn too_few<T>(&self, matched: Result<T, Abort>) -> Result<T, Abort> {
        if matches!(matched, Err(Abort::TooFewMatched { .. })) {
            self.erase_checkpoints().await;
        }
        matched
    }

    /// Nor is one that this party's own limits end.
    pub(super) async fn or_forget<T>(&self, allowed: Result<T, Abort>) -> Result<T, Abort> {
        if allowed.is_err() {
            self.erase_checkpoints().await;
        }
        allowed
    }

    /// The job is released: what was kept of it, and of those that it went on with, is destroyed.
    pub(super) async fn forget(&self) -> Result<(), Abort> {
        let count = self.erase_checkpoints().await;
        self.book.event(DataErased {
            what: "checkpoints".into(),
            count,
            subject: None,
        })
    }

    async fn erase_checkpoints(&self) -> u64 {
        let checkpoints = self.checkpoints();
        let (store, contract) = (Arc::clone(&self.site.store), self.contract.clone());
        let own = self.job.job().to_string();
        let erase = move || {
            let jobs = behind(&contract, &store).into_iter().chain([own]);
            jobs.map(|job| checkpoints.erase(&job)).sum()
        };
        blocking(erase).await
    }
}
