//! `[tuning]`: which ridge is taken, by cross-validation.

use serde::{Deserialize, Serialize};

use super::{Spec, error::Problem, locate::KeyPath};
use crate::{constants, decimal::Decimal};

/// The last ridge by the first, at most.
const WIDEST: f64 = 1_000.0;

/// `[tuning]`: the model is fitted on all folds but one for each ridge and fold, and all parties learn its error on the fold left
/// out. Matching, bins and masked columns are made once. Replaces `model.l2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Folds of the training rows, 2 to 20, stratified by the label; which row is in which the label party draws and keeps. Default 5.
    pub folds: u64,
    /// Ridges that are tried, rising, 2 to 24 of them, each as `model.l2`; the last at most 1,000 times the first, because columns are
    /// whitened for the last. Default 0.1, 1, 10, 100.
    pub l2: Vec<Decimal>,
    /// Which one is taken.
    pub rule: TuningRule,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            folds: 5,
            l2: [0.1, 1.0, 10.0, 100.0].map(Decimal::literal).to_vec(),
            rule: TuningRule::OneStandardError,
        }
    }
}

/// Which ridge is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TuningRule {
    /// The largest whose mean error is within a standard error of the least.
    OneStandardError,
    /// That of the least mean error.
    Least,
}

impl Tuning {
    /// Fits that are made and forgotten.
    pub fn trials(&self) -> u64 {
        self.folds.saturating_mul(self.l2.len() as u64)
    }
}

/// What must hold of trials, in a job of parties with different columns.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(tuning) = &spec.tuning else { return };
    let mut within = |key: &str, got: f64, low: f64, high: f64| {
        if !(low..=high).contains(&got) {
            let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
            found.push((KeyPath::of(key), Problem::Range { got, low, high }));
        }
    };
    within("tuning.folds", tuning.folds as f64, 2.0, 20.0);
    within("tuning.l2", tuning.l2.len() as f64, 2.0, 24.0);
    for (at, l2) in tuning.l2.iter().enumerate() {
        let (low, high) = (*constants::L2.start(), *constants::L2.end());
        within(&format!("tuning.l2[{at}]"), l2.value(), low, high);
    }
    let mut unfit = |key: &str, why: &str| {
        let why = why.to_owned();
        found.push((KeyPath::of(key), Problem::Rows { why }));
    };
    if tuning.l2.windows(2).any(|w| w[0] >= w[1]) {
        unfit(
            "tuning.l2",
            "ridges rise: each is larger than the one before it",
        );
    }
    let ends = tuning.l2.first().zip(tuning.l2.last());
    if ends.is_some_and(|(first, last)| last.value() > WIDEST * first.value() * (1.0 + 1e-9)) {
        let why = "the last ridge is at most 1,000 times the first: columns are prepared for the last, and far below it fits do not settle";
        unfit("tuning.l2", why);
    }
    if spec.network.is_some() {
        unfit(
            "tuning",
            "trials are of logistic regression, not of a network",
        );
    }
}
