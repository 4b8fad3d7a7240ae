//! Mini-batches: keys of `[solver]` that go with `method = "sgd"`, and what this method cannot do.

use super::{Spec, solver::SolverMethod};
use crate::{constants, decimal::Decimal};

/// How a logistic regression is fitted by mini-batches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiniBatches {
    /// Passes over the training rows, 2 to 1,000, all of which are made in each range tried. Default 10.
    pub epochs: u64,
    /// Most rows of a batch, 64 to 65,536; batches are as equal as they can be. Default 4,096; from 100,000 rows on 8,192 is
    /// faster.
    pub batch: u64,
    /// Rate of the first half of the passes, 0.01 to 2, in parts of the inverse of the largest curvature there can be; it then
    /// falls to a 16th. Default 1.
    pub rate: Decimal,
    /// What stays of a step in the next, 0 to 0.95, rounded to a 256th. Default 0.8.
    pub momentum: Decimal,
    /// What the order of the rows follows from: public, 0 to 2^53. Default 1.
    pub seed: u64,
}

impl Default for MiniBatches {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 4_096,
            rate: Decimal::literal(1.0),
            momentum: Decimal::literal(0.8),
            seed: 1,
        }
    }
}

impl MiniBatches {
    /// Batches of a pass over so many rows.
    pub fn of_rows(&self, rows: u64) -> u64 {
        rows.div_ceil(self.batch.max(1)).max(1)
    }
}

impl Spec {
    /// Whether training takes rows in batches, of an order that then must not depend on how customers were matched.
    pub fn in_batches(&self) -> bool {
        self.network.is_some() || self.solver.method == SolverMethod::Sgd
    }

    /// What of this job mini-batches cannot do: the keys, and the reasons.
    pub fn beyond_batches(&self) -> Vec<(&'static str, &'static str)> {
        let weights = "mini-batches count each training row once";
        let signs = "signs are kept within each Newton step, by the Hessian's inverse";
        let late = self
            .evaluation
            .as_ref()
            .is_some_and(|e| e.out_of_time.is_some());
        let asked = [
            (
                self.outputs.standard_errors,
                "outputs.standard_errors",
                "standard errors are roots of the inverse Hessian's diagonal at the optimum: mini-batches make none, and end near it",
            ),
            (
                self.model.l1.value() != 0.0,
                "model.l1",
                "an L1 penalty is met within each Newton step, by the Hessian's inverse",
            ),
            (self.model.woe_signs, "model.woe_signs", signs),
            (!self.model.sign.is_empty(), "model.sign", signs),
            (self.model.weight.is_some(), "model.weight", weights),
            (
                self.model.class_weight.is_some(),
                "model.class_weight",
                weights,
            ),
            (
                late,
                "evaluation.out_of_time",
                "rows out of time weigh 0, and mini-batches count each training row once",
            ),
            (
                self.model.offset.is_some(),
                "model.offset",
                "mini-batches begin every score at the intercept",
            ),
            (
                self.selection.is_some(),
                "selection",
                "columns are selected before Newton's and accelerated steps alone",
            ),
            (
                self.tuning.is_some(),
                "tuning",
                "trials of penalties are compared at their optima, and mini-batches end near theirs",
            ),
            (
                self.reject_inference.is_some(),
                "reject_inference",
                "declined applicants are weighed in a second fit, and mini-batches count each training row once",
            ),
            (
                self.binning.as_ref().is_some_and(|b| b.strict()),
                "binning.counts",
                "weights of evidence that stay shared cannot be whitened by their owner, without which descent is slow",
            ),
        ];
        let found = asked.into_iter().filter(|(there, ..)| *there);
        found.map(|(_, key, why)| (key, why)).collect()
    }
}

/// Where keys that are not of the method belong, or what does what they do.
fn instead(key: &str) -> String {
    let why = match key {
        "max_passes" => "mini-batches make all their passes: leave this out, and say solver.epochs",
        "tolerance" | "stop" => {
            "mini-batches end after solver.epochs passes, and nothing is opened that says whether they have settled: leave this out"
        }
        "terms" => "the series of mini-batches follows from solver.range: leave this out",
        "link" => {
            "the link decides between Newton's and accelerated steps: leave this out, or take solver.method = \"auto\""
        }
        "hessian_rows" => {
            "mini-batches make no Hessian: leave this out, or take solver.method = \"newton\""
        }
        _ => {
            return format!(
                "`{key}` is of mini-batches: leave it out, or take solver.method = \"sgd\""
            );
        }
    };
    why.to_owned()
}

/// What must hold of mini-batches, and of their keys where there are none; `unfit` takes keys and reasons.
pub(super) fn check(spec: &Spec, misplaced: &[&'static str], unfit: &mut impl FnMut(&str, String)) {
    for key in misplaced {
        unfit(&format!("solver.{key}"), instead(key));
    }
    if spec.solver.method != SolverMethod::Sgd {
        return;
    }
    let of = &spec.solver.batches;
    let whole = |range: &std::ops::RangeInclusive<u64>, got: u64| {
        let (low, high) = (range.start().to_string(), range.end().to_string());
        (range.contains(&got), got.to_string(), low, high)
    };
    let part = |range: &std::ops::RangeInclusive<f64>, got: Decimal| {
        let (low, high) = (range.start().to_string(), range.end().to_string());
        (range.contains(&got.value()), got.to_string(), low, high)
    };
    for (key, (fits, got, low, high)) in [
        ("epochs", whole(&constants::EPOCHS, of.epochs)),
        ("batch", whole(&constants::BATCH, of.batch)),
        ("rate", part(&constants::BATCH_RATE, of.rate)),
        ("momentum", part(&constants::BATCH_MOMENTUM, of.momentum)),
        ("seed", whole(&constants::BATCH_SEED, of.seed)),
    ] {
        if !fits {
            let why = format!("{got} is outside {low} to {high}");
            unfit(&format!("solver.{key}"), why);
        }
    }
    for (key, why) in spec.beyond_batches() {
        let why = format!("{why}: leave this out, or take solver.method = \"newton\"");
        unfit(key, why);
    }
}
