//! Why a run ended badly, and in which step.

use paripassu_protocol::abort::Abort;
use paripassu_service::node::{JobInfo, RunError};

/// A failure with the step in which it happened.
pub(crate) struct Failure {
    pub(super) step: &'static str,
    pub(super) abort: Abort,
}

pub(super) trait At<T> {
    fn at(self, step: &'static str) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Abort> {
    fn at(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|abort| Failure { step, abort })
    }
}

impl Failure {
    pub(super) fn into_run_error(self, job: &JobInfo, me: &str) -> RunError {
        let culprit = self.abort.culprit();
        // roles mean nothing to a person: name the nodes
        let mut reason = self.abort.to_string();
        // the highest first: `party-1` begins `party-12`
        for (role, id) in job.members().into_iter().rev() {
            reason = reason.replace(&role.to_string(), &format!("`{id}`"));
        }
        let own = matches!(self.abort, Abort::Input(_));
        RunError {
            culprit: culprit.or(own.then_some(job.proposal.role)),
            step: self.step.to_owned(),
            code: self.abort.code().to_owned(),
            reason: if own {
                format!("{me}: {reason}")
            } else {
                reason
            },
        }
    }
}
