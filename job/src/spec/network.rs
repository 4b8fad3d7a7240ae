//! `[network]`: a network fitted on columns of several parties.

use serde::{Deserialize, Serialize};

use super::{ModelKind, Schedule, Solver, Spec, error::Problem, held, locate::KeyPath};
use crate::decimal::Decimal;

/// `[network]`: goes with `model.kind = "mlp"` where parties hold different columns. Stochastic gradient descent with
/// momentum on shares. Rows may have weights (`model.weight`, `model.class_weight`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Widths of the hidden layers, 1 to 4 of 1 to 512. Default `[64, 32]`.
    pub hidden: Vec<u32>,
    /// What hidden layers apply: `tanh` (default), as a sine series; `relu`, by comparison, which costs several times
    /// the bytes between parties and more rounds.
    pub activation: Activation,
    /// Passes over the training rows, 1 to 1000. Default 20.
    pub epochs: u64,
    /// Most rows of a batch, 1 to 65536; all have about as many. Default 256.
    pub batch: u64,
    /// Learning rate of the mean gradient of a batch, 0.00001 to 1. Default 0.03.
    pub rate: Decimal,
    /// `constant` (default), `linear` or `cosine`: how the rate falls to 0 over all batches.
    pub schedule: Schedule,
    /// Part of the last step that is taken again, 0 to 0.99. Default 0.9.
    pub momentum: Decimal,
    /// Part of each hidden layer's values left out of a batch's step, 0 to 0.9; what is left is scaled up to the
    /// nearest sixteenth. Default 0.
    pub dropout: Decimal,
    /// What initial weights, the order of rows and dropout follow from: public, 0 to 2^53. Default 1.
    pub seed: u64,
    /// Tenths of the training rows that are set apart to watch the loss on, 0 to 5. Default 0.
    pub validation_tenths: u64,
    /// Training ends when that loss has not fallen for so many epochs, and the best epoch's weights are taken; 0
    /// (default): all epochs are made.
    pub patience: u64,
}

/// What hidden layers apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// The hyperbolic tangent, as a sine series.
    Tanh,
    /// `max(z, 0)`.
    Relu,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            hidden: vec![64, 32],
            activation: Activation::Tanh,
            epochs: 20,
            batch: 256,
            rate: Decimal::literal(0.03),
            schedule: Schedule::Constant,
            momentum: Decimal::literal(0.9),
            dropout: Decimal::literal(0.0),
            seed: 1,
            validation_tenths: 0,
            patience: 0,
        }
    }
}

impl Network {
    /// Rows on which the loss is watched, of so many training rows.
    pub fn watched(&self, rows: u64) -> u64 {
        rows * self.validation_tenths / 10
    }

    /// Lengths of the batches that so many rows are cut into, at most `most` each, all about as long.
    pub fn parts(rows: u64, most: u64) -> impl Iterator<Item = u64> {
        let count = rows.div_ceil(most.max(1)).max(1);
        (0..count).map(move |b| (b + 1) * rows / count - b * rows / count)
    }
}

/// What must hold of a network, in a job whose parties hold different columns.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let mut unfit = |key: &str, why: &'static str| {
        found.push((KeyPath::of(key), Problem::Network { why }));
    };
    let network = match (&spec.network, spec.model.kind) {
        (None, ModelKind::Logistic) => return,
        (Some(_), ModelKind::Logistic) => {
            return unfit(
                "network",
                "a [network] section goes with model.kind = \"mlp\"",
            );
        }
        (None, ModelKind::Mlp) => {
            return unfit(
                "model.kind",
                "a network needs a [network] section (many banks with the same columns: a [horizontal] one)",
            );
        }
        (Some(network), ModelKind::Mlp) => network,
    };
    if spec.model.offset.is_some() {
        unfit(
            "model.offset",
            "offsets of rows are for logistic regression, not for a network",
        );
    }
    if held::any(&spec.model) {
        unfit(
            "model",
            "l1 and signs of coefficients are for logistic regression, not for a network",
        );
    }
    if spec.binning.is_some() {
        unfit(
            "binning",
            "weight of evidence is for logistic regression, not for a network",
        );
    }
    if spec.scorecard.is_some() {
        unfit(
            "scorecard",
            "points are of logistic regression, not of a network",
        );
    }
    if spec.outputs.standard_errors {
        unfit(
            "outputs.standard_errors",
            "a network has no standard errors",
        );
    }
    if spec.solver != Solver::default() {
        unfit(
            "solver",
            "[solver] is for logistic regression: a network's training is set in [network]",
        );
    }
    for (key, got, low, high) in [
        ("hidden", network.hidden.len() as f64, 1.0, 4.0),
        ("epochs", network.epochs as f64, 1.0, 1_000.0),
        ("batch", network.batch as f64, 1.0, 65_536.0),
        ("rate", network.rate.value(), 1e-5, 1.0),
        ("momentum", network.momentum.value(), 0.0, 0.99),
        ("dropout", network.dropout.value(), 0.0, 0.9),
        ("seed", network.seed as f64, 0.0, 9_007_199_254_740_992.0),
        (
            "validation_tenths",
            network.validation_tenths as f64,
            0.0,
            5.0,
        ),
        ("patience", network.patience as f64, 0.0, 1_000.0),
    ] {
        within(&format!("network.{key}"), got, low, high, found);
    }
    for (i, width) in network.hidden.iter().enumerate() {
        let key = format!("network.hidden[{i}]");
        within(&key, f64::from(*width), 1.0, 512.0, found);
    }
    if network.patience > 0 && network.validation_tenths == 0 {
        let why =
            "patience needs rows to watch the loss on: set validation_tenths, or patience = 0";
        found.push((KeyPath::of("network.patience"), Problem::Network { why }));
    }
}

fn within(key: &str, got: f64, low: f64, high: f64, found: &mut Vec<(KeyPath, Problem)>) {
    if !(low..=high).contains(&got) {
        let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
        found.push((KeyPath::of(key), Problem::Range { got, low, high }));
    }
}

/// A network where nothing is fitted so.
pub(super) fn misplaced(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    if spec.network.is_some() {
        let why = "[network] is for parties with different columns: many banks with the same columns train theirs by \
            [horizontal.training], and a job of matching alone trains nothing";
        found.push((KeyPath::of("network"), Problem::Network { why }));
    }
}
