//! Which job a frame or a credit belongs to.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use paripassu_proto::{
    JobId,
    exchange::v1::{Credit, Frame},
};

use super::job::JobCore;

/// The jobs of a node that frames may arrive for.
#[derive(Default)]
pub(crate) struct Router(RwLock<HashMap<String, Arc<JobCore>>>);

impl Router {
    pub(crate) fn insert(&self, job: &JobId, core: Arc<JobCore>) {
        let old = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(job.as_str().to_owned(), core);
        if let Some(old) = old {
            old.end("the job was started anew");
        }
    }

    pub(crate) fn remove(&self, job: &JobId) -> Option<Arc<JobCore>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(job.as_str())
    }

    fn core(&self, job: &str) -> Option<Arc<JobCore>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(job)
            .cloned()
    }

    /// Frames of jobs that have ended are late, not wrong.
    pub(crate) fn frame(&self, frame: Frame) {
        match self.core(&frame.job) {
            Some(core) => core.arrived(frame),
            None => tracing::debug!(seq = frame.seq, "a frame for a job that is not running"),
        }
    }

    pub(crate) fn credit(&self, credit: &Credit) {
        if let Some(core) = self.core(&credit.job) {
            core.credited(credit);
        }
    }

    /// Ends all jobs: the session they live in is gone.
    pub(crate) fn end_all(&self, reason: &str) {
        let all: Vec<_> = self
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .map(|(_, core)| core)
            .collect();
        for core in all {
            core.end(reason);
        }
    }
}
