//! Keeps a network's state after each epoch, and finds the one to go on from.

use std::sync::Arc;

use paripassu_job::JobId;
use paripassu_protocol::{
    abort::Abort,
    vertical::network::{
        NetworkFit,
        course::{Course, Kept, State},
    },
};
use paripassu_service::transcript::Record;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Prepared, Run, blocking, own};
use crate::checkpoints::{Checkpoints, epochs::Epoch, resumed};

/// A training at this party.
pub(super) struct AtParty {
    checkpoints: Arc<Checkpoints>,
    job: String,
    contract: [u8; 32],
    record: Record,
    data: [u8; 32],
    design: [u8; 32],
    /// What is held of the aborted job, where this one goes on with one.
    before: Option<Vec<Epoch>>,
}

impl Course for AtParty {
    fn job(&self) -> [u8; 32] {
        self.contract
    }

    fn head(&self) -> Result<[u8; 32], Abort> {
        let head = self.record.head().map_err(own)?;
        let mut hash = Sha256::new();
        if let Some((size, root)) = head {
            hash.update(size.to_le_bytes());
            hash.update(root);
        }
        Ok(hash.finalize().into())
    }

    fn keep(&mut self, state: State) -> Kept<'_> {
        // an epoch is over, and what was held has not been taken
        if self.before.take().is_some() {
            tracing::warn!(job = %self.job, "no epoch is held by all parties: training begins anew");
        }
        let (checkpoints, job) = (self.checkpoints.clone(), self.job.clone());
        let epoch = Epoch {
            data: self.data,
            design: self.design,
            state,
        };
        Box::pin(async move {
            let kept = blocking(move || checkpoints.keep_epoch(&job, &epoch)).await;
            kept.map_err(|e| {
                own(format!(
                    "the state after an epoch cannot be kept in the state folder: {e}"
                ))
            })
        })
    }

    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        let before = self.before.as_ref()?.iter();
        Some(before.map(|e| (e.state.epoch, e.state.name)).collect())
    }

    fn take(&mut self, epoch: u32) -> Option<State> {
        tracing::info!(job = %self.job, epoch, "training goes on after this epoch");
        let before = self.before.take()?.into_iter();
        let mut states = before.map(|e| e.state);
        states.find(|state| state.epoch == epoch)
    }
}

/// Names what is trained on at this party, to the bit.
fn design(data: &Prepared) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut numbers = |values: &mut dyn ExactSizeIterator<Item = f64>| {
        hash.update((values.len() as u64).to_le_bytes());
        values.for_each(|x| hash.update(x.to_bits().to_le_bytes()));
    };
    numbers(&mut [data.train.ncols() as f64].into_iter());
    numbers(&mut data.train.iter().copied());
    let label = data.train_label.as_deref().unwrap_or_default();
    numbers(&mut label.iter().map(|y| f64::from(*y)));
    let weights = data.rows.weights.as_deref().unwrap_or_default();
    numbers(&mut weights.iter().copied());
    hash.finalize().into()
}

impl Run {
    /// The training from its beginning, or from the last epoch of an aborted job that all parties hold alike.
    pub(super) async fn epochs(&self, data: &Prepared) -> Result<AtParty, Abort> {
        let checkpoints = Arc::new(self.checkpoints());
        let rows = data
            .common
            .ok_or_else(|| own("the common rows of a network were not named"))?;
        let mut at = AtParty {
            checkpoints: checkpoints.clone(),
            job: self.job.job().to_string(),
            contract: *self.contract.digest().as_bytes(),
            record: self.book.record().clone(),
            data: rows,
            design: design(data),
            before: None,
        };
        let Some(before) = resumed(&self.contract).map(ToString::to_string) else {
            return Ok(at);
        };
        let job = before.clone();
        let mut held = blocking(move || checkpoints.epochs(&job)).await;
        if held.iter().any(|epoch| epoch.data != at.data) {
            return Err(own(format!(
                "the data set, or who is common, is another than when job {before} ran, so its training cannot go on: \
                 restore the file, or propose the job without align.resume"
            )));
        }
        // what is made of the same rows may differ where decisions on shares were close
        held.retain(|epoch| epoch.design == at.design);
        at.before = Some(held);
        Ok(at)
    }

    /// Where the training went on, where the job is one that goes on.
    pub(super) fn went_on(&self, fit: &NetworkFit) -> Option<WentOn> {
        let job = *resumed(&self.contract)?;
        let after = fit.facts.resumed;
        Some(WentOn { job, after })
    }
}

/// Where a training went on.
#[derive(Debug, Clone)]
pub(super) struct WentOn {
    job: JobId,
    after: usize,
}

impl WentOn {
    /// In `metrics.json`.
    pub(super) fn value(&self) -> Value {
        json!({ "job": self.job, "after_epoch": self.after })
    }

    /// In the report.
    pub(super) fn note(&self) -> String {
        let job = &self.job;
        match self.after {
            0 => format!(
                "This job was to go on with the training of job {job}, of which no epoch was held by all parties: training \
                 began anew."
            ),
            after => format!(
                "Training went on after epoch {after} of job {job}, which had been ended, on shares made anew. What that job \
                 opened until then stands in its own transcript; keys, masks and correlations were fresh."
            ),
        }
    }
}
