//! `[tuning]`: which penalties are taken, by cross-validation.

use serde::{Deserialize, Serialize};

use super::{Spec, error::Problem, locate::KeyPath};
use crate::{constants, decimal::Decimal};

/// The last ridge by the first, at most.
const WIDEST: f64 = 1_000.0;
/// Values of a list, at most.
const MOST: f64 = 24.0;
/// Pairs of a ridge and an L1 penalty, at most.
const MOST_PAIRS: f64 = 64.0;

/// `[tuning]`: the model is fitted on all folds but one for each ridge, each L1 penalty and each fold, and all parties learn its error on
/// the fold left out. Matching, bins and masked columns are made once. Replaces `model.l2`, and where `l1` is listed `model.l1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tuning {
    /// Folds of the training rows, 2 to 20, stratified by the label; which row is in which the label party draws and keeps. Default 5.
    pub folds: u64,
    /// Ridges that are tried, rising, 1 to 24 of them, each as `model.l2`; the last at most 1,000 times the first, because columns are
    /// whitened for the last. Default 0.1, 1, 10, 100.
    pub l2: Vec<Decimal>,
    /// L1 penalties that are tried with each ridge, rising, at most 24, each as `model.l1`: a path, from the largest down, on which
    /// columns enter the model. All parties then also learn how many columns of all each fit leaves in. Default none: `model.l1`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub l1: Vec<Decimal>,
    /// Which ones are taken.
    pub rule: TuningRule,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            folds: 5,
            l2: [0.1, 1.0, 10.0, 100.0].map(Decimal::literal).to_vec(),
            l1: Vec::new(),
            rule: TuningRule::OneStandardError,
        }
    }
}

/// Which penalties are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TuningRule {
    /// The largest whose mean error is within a standard error of the least: first the largest L1 penalty, then the largest ridge.
    OneStandardError,
    /// Those of the least mean error.
    Least,
}

impl Tuning {
    /// Fits that are made and forgotten.
    pub fn trials(&self) -> u64 {
        self.folds.saturating_mul(self.pairs())
    }

    /// Pairs of a ridge and an L1 penalty.
    pub(crate) fn pairs(&self) -> u64 {
        (self.l2.len() as u64).saturating_mul(self.l1.len().max(1) as u64)
    }

    /// Whether L1 penalties are tried.
    pub fn is_path(&self) -> bool {
        !self.l1.is_empty()
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
    // a single ridge is a choice only beside L1 penalties
    let least = if tuning.l1.len() > 1 { 1.0 } else { 2.0 };
    within("tuning.l2", tuning.l2.len() as f64, least, MOST);
    within("tuning.l1", tuning.l1.len() as f64, 0.0, MOST);
    for (list, values, bounds) in [
        ("l2", &tuning.l2, constants::L2),
        ("l1", &tuning.l1, constants::L1),
    ] {
        for (at, value) in values.iter().enumerate() {
            let key = format!("tuning.{list}[{at}]");
            within(&key, value.value(), *bounds.start(), *bounds.end());
        }
    }
    let mut unfit = |key: &str, why: &str| {
        let why = why.to_owned();
        found.push((KeyPath::of(key), Problem::Rows { why }));
    };
    for (key, values) in [("tuning.l2", &tuning.l2), ("tuning.l1", &tuning.l1)] {
        if values.windows(2).any(|w| w[0] >= w[1]) {
            unfit(key, "penalties rise: each is larger than the one before it");
        }
    }
    if tuning.pairs() as f64 > MOST_PAIRS {
        let why = format!(
            "{} ridges with {} L1 penalties each are {} pairs, and at most {MOST_PAIRS} are tried: shorten a list",
            tuning.l2.len(),
            tuning.l1.len(),
            tuning.pairs()
        );
        unfit("tuning.l1", &why);
    }
    if tuning.l1.last().is_some_and(|l1| l1.value() == 0.0) {
        unfit(
            "tuning.l1",
            "an only penalty of 0 is none: leave the list out",
        );
    }
    if tuning.is_path() && spec.model.l1.value() != 0.0 {
        unfit(
            "tuning.l1",
            "these replace model.l1: leave one of the two out",
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
