//! A bank at work between sums.

use std::sync::Arc;

use paripassu_crypto::norm_proof::LARGEST;
use paripassu_model::mlp::{Local, MlpError};

use super::{Fit, Robust, Rows, Training, fresh_draws, own, purpose, trained};
use crate::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
    channel::Channel,
    compute::offload,
    horizontal::{SumOf, secagg::Client},
};

/// A bank at work.
pub(super) struct Bank<'t> {
    pub(super) training: &'t Training,
    pub(super) rows: Arc<Rows>,
    pub(super) me: usize,
    /// Parameters that travel.
    pub(super) shared: usize,
    pub(super) local: Option<Local>,
    /// The own last layer, where there is one.
    pub(super) head: Vec<f64>,
    /// What a bank that does not follow the protocol multiplies its update by: tests only.
    pub(super) harm: Option<f64>,
}

impl Bank<'_> {
    pub(super) fn whole(&self, joint: &[f64]) -> Vec<f64> {
        joint.iter().chain(&self.head).copied().collect()
    }

    /// The sum of log losses on the validation rows.
    pub(super) async fn watched(&self, joint: &[f64]) -> Result<f64, Abort> {
        let (network, rows, params) = (
            self.training.network.clone(),
            self.rows.clone(),
            self.whole(joint),
        );
        let of = move || {
            let mut spare = vec![0.0; params.len()];
            network.gradient(&params, rows.watch_x.view(), &rows.watch_y, &mut spare)
        };
        let loss = offload(of).await.map_err(trained)?;
        // one row of a model that has come apart must not end the job in an overflow
        Ok(loss.min(64.0 * self.rows.watch_y.len() as f64))
    }

    /// Trains at home; the update of what is shared.
    pub(super) async fn update(&mut self, joint: &[f64], round: u32) -> Result<Vec<f64>, Abort> {
        let training = self.training;
        let (network, rows) = (training.network.clone(), self.rows.clone());
        let mut params = self.whole(joint);
        let mut step = training.step;
        step.rate *= training.schedule.factor(round, training.rounds);
        // so that all banks make about as many steps a pass as one that had all rows
        let share = rows.y.len() as f64 / (rows.all_rows.max(1)) as f64;
        step.batch = ((step.batch as f64 * share).round() as usize).max(1);
        let mut local = self
            .local
            .take()
            .unwrap_or_else(|| Local::new(training.optimiser, params.len()));
        let mut draw = fresh_draws()?;
        let (local, params) = offload(move || {
            local.train(&network, &mut params, &rows.x, &rows.y, &step, &mut draw)?;
            Ok::<_, MlpError>((local, params))
        })
        .await
        .map_err(trained)?;
        self.local = Some(local);
        self.head = params[self.shared..].to_vec();
        let mut update: Vec<f64> = params.iter().zip(joint).map(|(a, b)| a - b).collect();
        if let Some(most) = self.most(round) {
            let norm = update.iter().map(|u| u * u).sum::<f64>().sqrt();
            if norm > most {
                update.iter_mut().for_each(|u| *u *= most / norm);
            }
        }
        if let Some(harm) = self.harm {
            update.iter_mut().for_each(|u| *u *= harm);
        }
        Ok(update)
    }

    /// The length to which an update is cut. What is proved falls with the rate, or at the end a bank that stays at the
    /// bound would outweigh the others.
    pub(super) fn most(&self, round: u32) -> Option<f64> {
        let training = self.training;
        let factor = match training.robust {
            Robust::Proved => training.schedule.factor(round, training.rounds),
            _ => 1.0,
        };
        training.max_norm.map(|most| most * factor)
    }

    /// One round with proofs: the mean of the updates within the bound.
    pub(super) async fn proved_round<C: Channel>(
        &mut self,
        client: &mut Client<C>,
        ledger: &mut dyn Openings,
        joint: &[f64],
        round: u32,
        fit: &mut Fit,
    ) -> Result<Vec<f64>, Abort> {
        let most = self.most(round).ok_or_else(|| own("proofs need a bound"))?;
        let unit = most / LARGEST as f64;
        let update = self.update(joint, round).await?;
        // towards 0, so that whole numbers are no longer than what they stand for
        let values: Vec<i64> = update.iter().map(|u| (u / unit).trunc() as i64).collect();
        let named = purpose("bounded updates", round, joint);
        ledger.record(Opening::Sum(SumOf::Updates), Receivers::All, values.len())?;
        let got = match self.harm {
            None => client.bounded_sum(&named, &values).await?,
            Some(_) => client.bounded_sum_of(&named, &values).await?,
        };
        fit.refused = client.refused().iter().collect();
        fit.fewest_banks = fit.fewest_banks.min(got.members.count());
        let of_one = unit / got.members.count() as f64;
        Ok(got
            .words
            .iter()
            .map(|w| *w as i64 as f64 * of_one)
            .collect())
    }

    pub(super) fn weight(&self) -> u64 {
        match self.training.by_rows {
            true => self.rows.y.len() as u64,
            false => 1,
        }
    }
}
