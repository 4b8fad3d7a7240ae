//! Results are kept as long as the contract allows: after that the node erases its own and writes it down.
//!
//! A job may say `[retention] results_days`. That counts from the release, by this node's clock; the folder of the job's
//! results goes, with model, lists, scores and report. The transcript stays: it holds none of them. What people have
//! copied elsewhere is the institution's own to erase. What was kept of aborted jobs to go on with goes after its own time.

use std::{sync::Arc, time::Duration};

use paripassu_audit::event::bodies::DataErased;
use paripassu_job::Contract;
use paripassu_service::{clock::Clock, shutdown::Shutdown, transcript::Transcript};

use crate::{checkpoints::Checkpoints, config::PartyConfig, run::outputs, store::Store};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(600);

/// What it takes to erase.
pub(crate) struct Keep {
    pub(crate) config: Arc<PartyConfig>,
    pub(crate) store: Arc<Store>,
    pub(crate) transcript: Arc<Transcript>,
    pub(crate) clock: Clock,
    pub(crate) checkpoints: Checkpoints,
}

/// Whether results released at `released` may no longer be kept at `now` by this contract.
fn is_over(contract: &[u8], released: i64, now: i64) -> bool {
    let contract = Contract::parse(contract).ok();
    let retention = contract.and_then(|contract| contract.spec().retention.clone());
    retention.is_some_and(|retention| {
        let kept = i64::try_from(retention.results_days).unwrap_or(i64::MAX);
        released.saturating_add(kept.saturating_mul(86_400)) <= now
    })
}

impl Keep {
    /// Erases what is over now; how many jobs' results went.
    pub(crate) fn sweep(&self) -> u64 {
        let now = self.clock.now();
        let released = self.store.released().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read which jobs were released");
            Vec::new()
        });
        let mut erased = 0;
        for (job, contract, at) in released {
            if !is_over(&contract, at, now) {
                continue;
            }
            if let Err(error) = self.store.forget_profile(&job) {
                tracing::error!(job, %error, "what is kept for comparing cannot be erased");
            }
            let withdrawn = outputs::withdraw(&self.config.results, &job);
            if withdrawn.removed == 0 {
                continue;
            }
            erased += 1;
            tracing::info!(
                job,
                "results are erased: the contract allows to keep them no longer"
            );
            let event = DataErased {
                what: "results".into(),
                count: withdrawn.removed,
                subject: None,
            };
            // the job has ended: what happens later concerns the node
            if let Err(error) = self.transcript.write("", event) {
                tracing::error!(job, %error, "what was erased is not in the transcript");
            }
        }
        erased
    }

    /// Looks again and again until the node ends.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let keep = Arc::new(self);
        loop {
            let keep = Arc::clone(&keep);
            // a panic there is that of one sweep
            let sweep = move || {
                keep.checkpoints.erase_old();
                keep.sweep()
            };
            let _ = tokio::task::spawn_blocking(sweep).await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.asked() => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use paripassu_job::{
        JobId, Spec, Submitter, Timestamp,
        spec::{TemplateKind, template},
    };

    use super::*;

    #[test]
    fn results_are_kept_to_the_last_second_that_the_contract_allows() {
        let contract = |retention: &str| {
            let text = template(TemplateKind::VerticalLogistic);
            let spec = Spec::from_toml(&format!("{text}\n{retention}"), "job.toml").unwrap();
            let user = Submitter::user("modeler".parse().unwrap());
            let at = Timestamp::from_unix(1_772_323_200).unwrap();
            Contract::new(spec, JobId::from_bytes([7; 16]), at, user).unwrap()
        };
        let two = contract("[retention]\nresults_days = 2\n");
        let text = two.canonical().as_bytes();
        assert!(!is_over(text, 1_000, 1_000 + 2 * 86_400 - 1));
        assert!(is_over(text, 1_000, 1_000 + 2 * 86_400));
        let without = contract("");
        assert!(!is_over(without.canonical().as_bytes(), 0, i64::MAX));
        assert!(!is_over(b"{}", 0, i64::MAX));
    }
}
