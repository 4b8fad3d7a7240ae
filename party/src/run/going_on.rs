//! Keeps the state of a training on shares after each epoch or pass, and finds the one to go on from.

use std::sync::Arc;

use paripassu_job::{JobId, spec::KeptPoints};
use paripassu_protocol::{
    abort::Abort,
    vertical::course::{Course, Kept, State},
};
use paripassu_service::transcript::Record;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Prepared, Run, blocking, own, train::Fit};
use crate::checkpoints::{Checkpoints, points::Point, resumed};

/// A training at this party.
pub(super) struct AtParty {
    checkpoints: Arc<Checkpoints>,
    job: String,
    contract: [u8; 32],
    record: Record,
    data: [u8; 32],
    design: [u8; 32],
    of: KeptPoints,
    /// What is held of the aborted job, where this one goes on with one.
    before: Option<Vec<Point>>,
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
        // a point is reached, and what was held has not been taken
        if self.before.take().is_some() {
            let of = self.of.one();
            tracing::warn!(job = %self.job, "no {of} is held by all parties: training begins anew");
        }
        let (checkpoints, job, of) = (self.checkpoints.clone(), self.job.clone(), self.of.one());
        let point = Point {
            data: self.data,
            design: self.design,
            state,
        };
        Box::pin(async move {
            let kept = blocking(move || checkpoints.keep_point(&job, &point)).await;
            kept.map_err(|e| {
                own(format!(
                    "the state after a training's {of} cannot be kept in the state folder: {e}"
                ))
            })
        })
    }

    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        let before = self.before.as_ref()?.iter();
        Some(before.map(|e| (e.state.point, e.state.name)).collect())
    }

    fn take(&mut self, point: u32) -> Option<State> {
        let of = self.of.one();
        tracing::info!(job = %self.job, "training goes on after {of} {point}");
        let before = self.before.take()?.into_iter();
        let mut states = before.map(|e| e.state);
        states.find(|state| state.point == point)
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
    let offset = data.rows.train_offset.as_deref().unwrap_or_default();
    numbers(&mut offset.iter().copied());
    hash.finalize().into()
}

impl Run {
    /// The training from its beginning, or from the last epoch or pass of an aborted job that all parties hold alike; nothing where no
    /// states are kept of its kind.
    pub(super) async fn training(&self, data: &Prepared) -> Result<Option<AtParty>, Abort> {
        let Some(of) = self.spec().kept_points() else {
            if let Some(before) = resumed(&self.contract) {
                let job = self.job.job();
                tracing::warn!(%job, %before, "of this kind of training no state is kept: it begins anew");
            }
            return Ok(None);
        };
        let checkpoints = Arc::new(self.checkpoints());
        let rows = data
            .common
            .ok_or_else(|| own("the common rows of this training were not named"))?;
        let mut at = AtParty {
            checkpoints: checkpoints.clone(),
            job: self.job.job().to_string(),
            contract: *self.contract.digest().as_bytes(),
            record: self.book.record().clone(),
            data: rows,
            design: design(data),
            of,
            before: None,
        };
        let Some(before) = resumed(&self.contract).map(ToString::to_string) else {
            return Ok(Some(at));
        };
        let job = before.clone();
        let mut held = blocking(move || checkpoints.points(&job)).await;
        if held.iter().any(|point| point.data != at.data) {
            return Err(own(format!(
                "the data set, or who is common, is another than when job {before} ran, so its training cannot go on: \
                 restore the file, or propose the job without align.resume"
            )));
        }
        // what is made of the same rows may differ where decisions on shares were close
        held.retain(|point| point.design == at.design);
        at.before = Some(held);
        Ok(Some(at))
    }

    /// Where the training went on, where the job is one that goes on.
    pub(super) fn went_on(&self, fit: &Fit) -> Option<WentOn> {
        let job = *resumed(&self.contract)?;
        let of = self.spec().kept_points()?;
        let after = fit.resumed();
        Some(WentOn { job, of, after })
    }
}

/// Where a training went on.
#[derive(Debug, Clone)]
pub(super) struct WentOn {
    job: JobId,
    of: KeptPoints,
    after: u64,
}

impl WentOn {
    /// In `metrics.json`.
    pub(super) fn value(&self) -> Value {
        let mut value = json!({ "job": self.job });
        value[format!("after_{}", self.of.one())] = self.after.into();
        value
    }

    /// In the report.
    pub(super) fn note(&self) -> String {
        let (job, of) = (&self.job, self.of.one());
        match self.after {
            0 => format!(
                "This job was to go on with the training of job {job}, of which no {of} was held by all parties: training \
                 began anew."
            ),
            after => format!(
                "Training went on after {of} {after} of job {job}, which had been ended, on shares made anew. What that job \
                 opened until then stands in its own transcript; keys, masks and correlations were fresh."
            ),
        }
    }
}
