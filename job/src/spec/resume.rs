//! Jobs that go on where another was ended.

use super::{Limits, SolverMethod, Spec};
use crate::id::JobId;

/// Points of a training on shares after which each party keeps its shares, so that another job can go on there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptPoints {
    /// Epochs of a network.
    Epochs,
    /// Passes of a logistic regression: of Newton's steps each but the last, of accelerated ones every fourth.
    Passes,
}

impl KeptPoints {
    /// One of them.
    pub fn one(self) -> &'static str {
        match self {
            Self::Epochs => "epoch",
            Self::Passes => "pass",
        }
    }

    /// Several.
    pub fn several(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Passes => "passes",
        }
    }
}

impl Spec {
    /// After which points of a training on shares its state is kept; none where of a job only the match, or the rounds of banks, are: of
    /// fits that are several (trials of penalties, columns that enter or leave, declined applicants) and on columns that stay shared.
    pub fn kept_points(&self) -> Option<KeptPoints> {
        if self.horizontal.is_some() || self.overlap.is_some() || self.sizes_only() {
            return None;
        }
        if self.network.is_some() {
            return Some(KeptPoints::Epochs);
        }
        let several =
            self.tuning.is_some() || self.stepwise().is_some() || self.reject_inference.is_some();
        let hidden = self.binning.as_ref().is_some_and(|b| b.strict());
        let full_batch = matches!(
            self.solver.method,
            SolverMethod::Newton | SolverMethod::Accelerated | SolverMethod::Auto
        );
        (full_batch && !several && !hidden).then_some(KeptPoints::Passes)
    }

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
