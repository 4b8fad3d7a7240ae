//! The joint model against one of the same kind of this bank's own rows alone. Nothing of it leaves the bank.

use ndarray::Array2;
use paripassu_job::spec::{Horizontal, LocalOptimiser, Training};
use paripassu_model::{
    binning::{Binned, bin},
    design::Design,
    logistic::{self, FitOptions, TrainingSet},
    metrics::Scored,
    mlp::{Local, Network, Optimiser, Step},
};
use paripassu_protocol::abort::Abort;

use super::{Own, OwnTest, network};
use crate::run::{
    Run, blocking,
    evaluate::{self, Summary},
};

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Run {
    /// On this bank's test rows. Stays here.
    pub(super) async fn compare(
        &self,
        bank: &Own,
        horizontal: &Horizontal,
        log_odds: Vec<f64>,
        test_y: Vec<u8>,
    ) -> Result<OwnTest, Abort> {
        let options = self.design_options()?;
        let l2 = self.spec().model.l2.value();
        let (table, train, test) = (bank.table.clone(), bank.train.clone(), bank.test.clone());
        let numeric = bank.numeric.clone();
        let categorical: Vec<String> = bank.levels.iter().map(|(c, _)| c.clone()).collect();
        let train_y = bank.labels(&bank.train);
        let weights = bank.weights.clone();
        let (train_offset, test_offset) = (bank.offset_of(&bank.train), bank.offset_of(&bank.test));
        let training = horizontal.training.clone();
        // bins of its own rows, by the same rules
        let rare = self.spec().design.rare_level_rows;
        let binned = self.spec().binning.as_ref().map(|binning| {
            let recipe = binning.recipe("", "", bank.train.len(), rare);
            (recipe, binning.min_iv.value())
        });
        let compared = blocking(move || -> Result<evaluate::Evaluation, String> {
            let design = match &binned {
                Some((recipe, least)) => {
                    let columns = numeric.iter().chain(&categorical);
                    let bins = columns.map(|column| bin(&table, &train, &train_y, column, recipe));
                    let bins = bins.collect::<Result<Vec<_>, _>>().map_err(text)?;
                    let says = |b: &Binned| b.woe.len() > 1 && b.iv >= *least;
                    let kept = bins.into_iter().map(|(binned, _)| binned).filter(says);
                    Design::of_woe(&table, &train, kept).map_err(text)?
                }
                None => {
                    Design::fit(&table, &train, &numeric, &categorical, options).map_err(text)?
                }
            };
            let x = design.transform(&table, &train).map_err(text)?;
            let x_test = design.transform(&table, &test).map_err(text)?;
            let mut margins = match &training {
                Some(training) => alone(training, l2, &x, &train_y, &x_test)?,
                None => {
                    let mut set = TrainingSet::new(&x, &train_y).map_err(text)?;
                    if let Some(weights) = &weights {
                        set = set.with_weights(weights).map_err(text)?;
                    }
                    if let Some(offset) = &train_offset {
                        set = set.with_offset(offset).map_err(text)?;
                    }
                    let options = FitOptions {
                        l2,
                        ..FitOptions::default()
                    };
                    let fit = logistic::fit(&set, &options).map_err(text)?;
                    fit.model.margins(&x_test).map_err(text)?
                }
            };
            if let Some(offset) = &test_offset {
                margins.iter_mut().zip(offset).for_each(|(z, o)| *z += o);
            }
            let pd = |z: &[f64]| z.iter().map(|z| logistic::sigmoid(*z)).collect::<Vec<_>>();
            let (alone, joint) = (pd(&margins), pd(&log_odds));
            let a = Scored::new(&test_y, &alone).map_err(text)?;
            let j = Scored::new(&test_y, &joint).map_err(text)?;
            let summary = Summary {
                train_bads: train_y.iter().filter(|y| **y == 1).count(),
                alone: a.metrics(),
                joint: j.metrics(),
                uplift: j.auc_over(&a).map_err(text)?,
            };
            let rows = evaluate::Rows {
                labels: test_y.clone(),
                margins: log_odds,
                joint,
                alone,
            };
            Ok(evaluate::Evaluation {
                summary,
                rows: Some(rows),
                known: None,
                validation: None,
            })
        })
        .await;
        Ok(match compared {
            Ok(evaluation) => OwnTest::Compared(Box::new(evaluation)),
            Err(why) => OwnTest::Not(why),
        })
    }
}

/// Most passes over its own rows that a bank's model of its own gets.
const MOST_EPOCHS: u64 = 40;

/// Log-odds of test rows by the same network trained on this bank's rows alone.
fn alone(
    training: &Training,
    l2: f64,
    x: &Array2<f64>,
    y: &[u8],
    test: &Array2<f64>,
) -> Result<Vec<f64>, String> {
    let network = Network::new(x.ncols(), &network::hidden(training));
    let words = paripassu_protocol::horizontal::federated::fresh_draws();
    let mut draw = words.map_err(text)?;
    let mut params = network.initial(&mut draw);
    let optimiser = match training.optimiser {
        LocalOptimiser::Adam => Optimiser::Adam,
        LocalOptimiser::Sgd => Optimiser::Sgd,
    };
    let step = Step {
        epochs: usize::try_from(training.rounds.clamp(20, MOST_EPOCHS)).map_err(text)?,
        batches: None,
        batch: usize::try_from(training.batch).map_err(text)?.min(64),
        rate: training.rate.value(),
        l2_per_row: l2 / y.len().max(1) as f64,
        proximal: 0.0,
    };
    let mut local = Local::new(optimiser, params.len());
    local
        .train(&network, &mut params, x, y, &step, &mut draw)
        .map_err(text)?;
    network.log_odds(&params, test).map_err(text)
}
