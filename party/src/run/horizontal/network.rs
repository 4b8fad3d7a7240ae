//! A network trained by masked sums, with noise where the job says so.

use paripassu_job::{
    Guarantee,
    spec::{Horizontal, LocalOptimiser, Method, Privacy, Robust, Schedule, Training, Weights},
};
use paripassu_model::{
    design::{Design, DesignColumn, MISSING_LEVEL, OTHER_LEVEL, Source},
    mlp::{Network, Optimiser, Step},
    split::id_word,
};
use paripassu_protocol::{
    abort::Abort,
    horizontal::{
        federated::{self, Rule, private},
        prepare::Joint,
        secagg::Client,
    },
};
use paripassu_service::transport::JobChannel;

use super::{Own, course::AtBank};
use crate::run::{Run, blocking, own};

/// The trained network.
pub(super) struct NetworkFit {
    pub(super) network: Network,
    /// With this bank's own last layer, where it has one.
    pub(super) params: Vec<f64>,
    pub(super) rounds: u32,
    /// The round after which the parameters are taken.
    pub(super) best: u32,
    /// Joint validation loss before each round.
    pub(super) losses: Vec<f64>,
    pub(super) fewest_banks: usize,
    pub(super) frac: Option<i32>,
    /// Rounds in which a group was left out as harmful.
    pub(super) left_out: Vec<u32>,
    /// Banks whose updates were proved too long.
    pub(super) refused: Vec<usize>,
    pub(super) guarantee: Option<Guarantee>,
    /// After which round of an aborted job it went on; 0 where it did not.
    pub(super) resumed: u32,
}

/// Widths of the hidden layers.
pub(super) fn hidden(training: &Training) -> Vec<usize> {
    training.hidden.iter().map(|w| *w as usize).collect()
}

/// The design of a job with noise: from what the job declares, not from any row.
pub(super) fn declared(bank: &Own, privacy: &Privacy) -> Result<Joint, Abort> {
    let mut columns = Vec::new();
    let half = |name: String, source| DesignColumn {
        name,
        source,
        mean: 0.5,
        sd: 0.5,
    };
    for column in &bank.numeric {
        let bounds = privacy.bounds.get(column);
        let [low, high] = bounds.ok_or_else(|| own(format!("no bounds for `{column}`")))?;
        let (low, high) = (low.value(), high.value());
        let middle = (low + high) / 2.0;
        columns.push(DesignColumn {
            name: column.clone(),
            source: Source::Numeric {
                column: column.clone(),
                fill: middle,
            },
            mean: middle,
            // a column that fills its bounds evenly has about this deviation
            sd: (high - low) / 12f64.sqrt(),
        });
    }
    for column in &bank.numeric {
        let source = Source::MissingFlag {
            column: column.clone(),
        };
        columns.push(half(format!("{column}__missing"), source));
    }
    for (column, levels) in &bank.levels {
        let mut known: Vec<String> = levels
            .iter()
            .cloned()
            .chain([MISSING_LEVEL.into()])
            .collect();
        known.sort_unstable();
        known.dedup();
        for level in &known {
            let source = Source::Level {
                column: column.clone(),
                level: level.clone(),
            };
            columns.push(half(format!("{column}={level}"), source));
        }
        let source = Source::Other {
            column: column.clone(),
            known,
        };
        columns.push(half(format!("{column}={OTHER_LEVEL}"), source));
    }
    let rows = usize::try_from(privacy.rows).map_err(own)?;
    Ok(Joint {
        design: Design::given(columns, Vec::new(), rows),
        rows: privacy.rows,
        bads: 0,
        weight_exponent: 0,
    })
}

fn optimiser(training: &Training) -> Optimiser {
    match training.optimiser {
        LocalOptimiser::Adam => Optimiser::Adam,
        LocalOptimiser::Sgd => Optimiser::Sgd,
    }
}

fn schedule(training: &Training) -> federated::Schedule {
    match training.schedule {
        Schedule::Constant => federated::Schedule::Constant,
        Schedule::Linear => federated::Schedule::Linear,
        Schedule::Cosine => federated::Schedule::Cosine,
    }
}

impl Run {
    pub(super) async fn network(
        &self,
        client: &mut Client<JobChannel>,
        bank: &Own,
        joint: &Joint,
        (horizontal, training): (&Horizontal, &Training),
        course: &mut AtBank,
    ) -> Result<NetworkFit, Abort> {
        let least = usize::try_from(horizontal.min_rows).map_err(own)?;
        if bank.train.len() < least {
            return Err(own(format!(
                "{} training rows, fewer than the {least} that the job asks of each bank",
                bank.train.len()
            )));
        }
        match &horizontal.privacy {
            Some(privacy) => {
                self.with_noise(client, bank, joint, (horizontal, training, privacy), course)
                    .await
            }
            None => self.by_updates(client, bank, joint, training, course).await,
        }
    }

    async fn by_updates(
        &self,
        client: &mut Client<JobChannel>,
        bank: &Own,
        joint: &Joint,
        training: &Training,
        course: &mut AtBank,
    ) -> Result<NetworkFit, Abort> {
        let tenths = u32::try_from(training.validation_tenths).map_err(own)?;
        let ids = bank.table.ids();
        // other bytes of the hash than those that hold out the test rows
        let (watch, fit): (Vec<usize>, Vec<usize>) = bank
            .train
            .iter()
            .partition(|r| id_word(&ids[**r], 3) % 10 < tenths);
        let (design, table) = (joint.design.clone(), bank.table.clone());
        let (fit_rows, watch_rows) = (fit.clone(), watch.clone());
        let (x, watch_x) = blocking(move || {
            let x = design.transform(&table, &fit_rows)?;
            Ok::<_, paripassu_model::design::DesignError>((
                x,
                design.transform(&table, &watch_rows)?,
            ))
        })
        .await
        .map_err(own)?;
        let network = Network::new(joint.design.width(), &hidden(training));
        let banks = self.contract.parties().len();
        let spec = federated::Training {
            start: course.start,
            rounds: u32::try_from(training.rounds).map_err(own)?,
            step: Step {
                epochs: usize::try_from(training.local_epochs).map_err(own)?,
                batches: match training.local_steps {
                    paripassu_job::spec::AutoOr::Auto => None,
                    paripassu_job::spec::AutoOr::Is(steps) => Some(steps as usize),
                },
                batch: usize::try_from(training.batch).map_err(own)?,
                rate: training.rate.value(),
                l2_per_row: self.spec().model.l2.value() / joint.rows.max(1) as f64,
                proximal: training.pull(),
            },
            schedule: schedule(training),
            optimiser: optimiser(training),
            rule: match training.method {
                Method::Fedadam => Rule::Adam {
                    rate: training.joint_rate(),
                },
                _ => Rule::Mean,
            },
            by_rows: training.weights == Weights::Rows,
            own_last_layer: training.personal_last_layer,
            patience: match training.validation_tenths {
                0 => 0,
                _ => u32::try_from(training.patience).map_err(own)?,
            },
            groups: training.groups_of(banks),
            groups_in_a_round: training.groups_in_a_round(),
            banks_in_a_round: match training.banks_per_round {
                paripassu_job::spec::AutoOr::Auto => None,
                paripassu_job::spec::AutoOr::Is(many) => Some(many as usize),
            },
            robust: match training.robust {
                Robust::None => federated::Robust::No,
                Robust::Votes => federated::Robust::Votes,
                Robust::Median => federated::Robust::Median,
                Robust::Proved => federated::Robust::Proved,
            },
            max_norm: training.max_norm.map(|norm| norm.value()),
            network: network.clone(),
        };
        let rows = federated::Rows {
            x,
            y: bank.labels(&fit),
            watch_x,
            watch_y: bank.labels(&watch),
            all_rows: joint.rows,
        };
        let mut book = self.book.clone();
        #[cfg(feature = "test-util")]
        let fit = match crate::testing::harm() {
            Some(by) => federated::fit_harmfully(client, &mut book, &spec, rows, by).await?,
            None => federated::fit(client, &mut book, &spec, rows, course).await?,
        };
        #[cfg(not(feature = "test-util"))]
        let fit = federated::fit(client, &mut book, &spec, rows, course).await?;
        Ok(NetworkFit {
            network,
            params: fit.params,
            rounds: fit.rounds,
            best: fit.best,
            losses: fit.losses,
            fewest_banks: fit.fewest_banks,
            // with proofs, whole numbers in units of the bound
            frac: (training.robust != Robust::Proved).then_some(fit.frac),
            left_out: fit.left_out,
            refused: fit.refused,
            guarantee: None,
            resumed: fit.resumed,
        })
    }

    async fn with_noise(
        &self,
        client: &mut Client<JobChannel>,
        bank: &Own,
        joint: &Joint,
        (horizontal, training, privacy): (&Horizontal, &Training, &Privacy),
        course: &mut AtBank,
    ) -> Result<NetworkFit, Abort> {
        let x = joint
            .design
            .transform(&bank.table, &bank.train)
            .map_err(own)?;
        let network = Network::new(joint.design.width(), &hidden(training));
        let banks = self.contract.parties().len();
        let spec = private::PrivateTraining {
            network: network.clone(),
            start: course.start,
            rounds: u32::try_from(training.rounds).map_err(own)?,
            rate: training.rate.value(),
            schedule: schedule(training),
            optimiser: optimiser(training),
            l2: self.spec().model.l2.value(),
            sampling: privacy.sampling.value(),
            clip: privacy.clip.value(),
            noise: privacy.noise.value(),
            honest: privacy.honest_of(horizontal.threshold_of(banks)),
            rows: privacy.rows,
        };
        let labels = bank.labels(&bank.train);
        let mut book = self.book.clone();
        let fit = private::fit(client, &mut book, &spec, x, labels, course).await?;
        Ok(NetworkFit {
            network,
            params: fit.params,
            rounds: fit.rounds,
            best: fit.rounds,
            losses: Vec::new(),
            fewest_banks: fit.fewest_banks,
            frac: None,
            left_out: Vec::new(),
            refused: Vec::new(),
            guarantee: Guarantee::of(self.spec()).map_err(own)?,
            resumed: fit.resumed,
        })
    }
}
