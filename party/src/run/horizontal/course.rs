//! Keeps the state after each round, and finds the one to go on from.

use std::{sync::Arc, time::Instant};

use paripassu_model::design::Design;
use paripassu_protocol::{
    abort::Abort,
    horizontal::{
        course::{self, Course, Kept, State},
        prepare::Joint,
        secagg::Client,
    },
};
use paripassu_service::{node::Reporter, transport::JobChannel};
use sha2::{Digest, Sha256};

use super::Own;
use crate::{
    checkpoints::{Checkpoint, Checkpoints, resumed},
    commit,
    dataset::Selection,
    run::{Run, blocking, own, timed},
};

/// A training at this bank.
pub(super) struct AtBank {
    checkpoints: Arc<Checkpoints>,
    job: String,
    design: [u8; 32],
    /// What first parameters and turns of banks follow from: the contract's digest, of the first of several jobs.
    pub(super) start: [u8; 32],
    from: Option<State>,
    reporter: Reporter,
    step: &'static str,
    began: Instant,
}

impl Course for AtBank {
    fn progress(&mut self, round: u32, of: u32) {
        let progress = timed(self.step, self.began, round.into(), of.into());
        self.reporter.progress(&progress);
    }

    fn keep(&mut self, state: State) -> Kept<'_> {
        let (checkpoints, job) = (self.checkpoints.clone(), self.job.clone());
        let checkpoint = Checkpoint {
            start: self.start,
            design: self.design,
            state,
        };
        Box::pin(async move {
            let kept = blocking(move || checkpoints.keep(&job, &checkpoint)).await;
            kept.map_err(|e| {
                own(format!(
                    "the state after a round cannot be kept in the state folder: {e}"
                ))
            })
        })
    }

    fn keeps(&self) -> bool {
        true
    }

    fn from(&mut self) -> Option<State> {
        self.from.take()
    }
}

/// Names the joint design, to the bit.
fn digest(joint: &Joint) -> Result<[u8; 32], Abort> {
    let columns = |design: &Design| -> Result<Vec<u8>, Abort> {
        let mut all = Vec::new();
        for column in design.columns() {
            all.extend(serde_json::to_vec(&(&column.name, &column.source)).map_err(own)?);
            all.extend_from_slice(&column.mean.to_bits().to_le_bytes());
            all.extend_from_slice(&column.sd.to_bits().to_le_bytes());
        }
        Ok(all)
    };
    let hash = Sha256::new()
        .chain_update(joint.rows.to_le_bytes())
        .chain_update(joint.bads.to_le_bytes())
        .chain_update(joint.weight_exponent.to_le_bytes())
        .chain_update(columns(&joint.design)?);
    Ok(hash.finalize().into())
}

impl Run {
    /// The training from its beginning, or from the last round of an aborted job that all banks hold alike.
    pub(super) async fn course(
        &mut self,
        client: &Client<JobChannel>,
        selection: &Selection,
        bank: &Own,
        joint: &Joint,
    ) -> Result<AtBank, Abort> {
        let checkpoints = Arc::new(Checkpoints::new(
            &self.site.config.state,
            &self.site.identity,
        ));
        let design = digest(joint)?;
        let mut at = AtBank {
            checkpoints: checkpoints.clone(),
            job: self.job.job().to_string(),
            design,
            start: *self.contract.digest().as_bytes(),
            from: None,
            reporter: self.reporter.clone(),
            step: match self
                .spec()
                .horizontal
                .as_ref()
                .and_then(|h| h.training.as_ref())
            {
                Some(_) => "rounds",
                None => "passes",
            },
            began: Instant::now(),
        };
        let Some(before) = resumed(&self.contract).cloned() else {
            blocking(move || checkpoints.erase_old()).await;
            return Ok(at);
        };
        let (state, dataset) = (self.site.config.state.clone(), selection.name().to_owned());
        let (table, job) = (bank.table.clone(), before.to_string());
        let (same, held) = blocking(move || {
            let same = commit::is_as_committed(&state, &job, &dataset, &table);
            (same, checkpoints.held(&job))
        })
        .await;
        if same.map_err(own)? == Some(false) {
            return Err(own(format!(
                "the data set is another than when job {before} ran, so its training cannot go on: propose \
                 the job without horizontal.resume"
            )));
        }
        // of another design where a bank was missing from a sum that led to it
        let held: Vec<Checkpoint> = held.into_iter().filter(|c| c.design == design).collect();
        let told: Vec<(u32, [u8; 32])> = held.iter().map(|c| (c.state.round, named(c))).collect();
        let mut book = self.book.clone();
        let agreed = course::agree(client, &mut book, &told).await?;
        let found = held.into_iter().find(|c| Some(c.state.round) == agreed);
        match found {
            Some(checkpoint) => {
                let round = checkpoint.state.round;
                tracing::info!(job = %self.job.job(), %before, round, "training goes on");
                (at.start, at.from) = (checkpoint.start, Some(checkpoint.state));
            }
            None => {
                tracing::warn!(job = %self.job.job(), %before, "no round is held by all banks: training begins anew");
            }
        }
        Ok(at)
    }
}

/// What banks compare of a checkpoint: its state, and what its turns follow from.
fn named(checkpoint: &Checkpoint) -> [u8; 32] {
    let hash = Sha256::new()
        .chain_update(checkpoint.state.digest())
        .chain_update(checkpoint.start)
        .chain_update(checkpoint.design);
    hash.finalize().into()
}

/// What a report says of where a training went on.
pub(super) fn note(resumed: u32, before: Option<&paripassu_job::JobId>) -> Option<String> {
    let before = before?;
    Some(match resumed {
        0 => format!(
            "This job was to go on with job {before}, of which no round was held by all banks: training began anew."
        ),
        round => format!(
            "Training went on after round {round} of job {before}, which had been ended. What that job opened \
             until then stands in its own transcript; keys, masks and noise were fresh."
        ),
    })
}
