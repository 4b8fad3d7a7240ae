//! Jobs that go on where another was ended.

use super::{Limits, Spec};
use crate::id::JobId;

impl Spec {
    /// The aborted job that this one goes on with, and the key that names it.
    pub fn resumed(&self) -> Option<(&'static str, &JobId)> {
        let horizontal = self.horizontal.as_ref().and_then(|h| h.resume.as_ref());
        let horizontal = horizontal.map(|job| ("horizontal.resume", job));
        horizontal.or(self.align.resume.as_ref().map(|job| ("align.resume", job)))
    }

    /// The same as one that goes on with an aborted job, or with none.
    pub fn resume(&mut self, job: Option<JobId>) {
        match &mut self.horizontal {
            Some(horizontal) => horizontal.resume = job,
            None => self.align.resume = job,
        }
    }

    /// Whether a job with this specification may go on where `aborted` was ended: both say the same but for name, limits,
    /// the most passes, the helper and the last day.
    pub fn goes_on_from(&self, aborted: &Self) -> bool {
        let of = |spec: &Self| {
            let mut spec = spec.clone();
            spec.name = String::new();
            spec.expires = None;
            spec.limits = Limits::default();
            spec.solver.max_passes = 0;
            spec.helper.id.clone_from(&self.helper.id);
            spec.resume(None);
            spec
        };
        of(self) == of(aborted)
    }
}
