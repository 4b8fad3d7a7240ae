//! What cross-validation costs: for the first trial of a ridge about as many early passes as training makes, for
//! the others, which begin where one of the same ridge ended, two or three with one Hessian.

use super::{
    StepCost, accelerated,
    cost::{
        Facts, gradient, hessian, inverse_begun, inverse_step, masks_ahead, newton_step,
        range_check, settled,
    },
    gates::{Once, Product},
    held::{proximal_inverse, proximal_iterations, proximal_step},
};
use crate::{
    constants::{RING_MACS_PER_S, WORD, passes_ahead},
    decimal::Decimal,
    life::State,
    spec::{ClassWeight, Spec, Steps, Tuning},
};

/// Passes of a trial that begins where another fold's with the same penalties has ended.
const NEAR_PASSES: u64 = 2;
/// The same on a path of L1 penalties.
const PATH_PASSES: u64 = 3;
/// The same of accelerated steps, by the early passes of one that begins from nothing.
const NEAR_PART: u64 = 2;

/// The same job as in its trials, where the label party always holds weights of rows.
pub(super) fn in_trials(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    if spec
        .row_weights()
        .first()
        .is_none_or(|(position, _)| *position > 0)
    {
        let one = Decimal::literal(1.0);
        spec.model.class_weight = Some(ClassWeight {
            good: one,
            bad: one,
        });
    }
    spec
}

/// The steps of all trials; `facts` are of the job [`in_trials`].
pub(super) fn steps(facts: &Facts<'_>, tuning: &Tuning) -> Vec<StepCost> {
    let trials = tuning.trials();
    let ridges_tried = tuning.l2.len() as u64;
    let near = trials - ridges_tried;
    let (rows, terms) = (facts.coarse_hessian_rows(), facts.series.coarse_terms);
    let passes_of_near = match facts.steps {
        Steps::Newton if tuning.is_path() => PATH_PASSES,
        Steps::Newton => NEAR_PASSES,
        Steps::Accelerated | Steps::Sgd => facts.passes.coarse.div_ceil(NEAR_PART),
    };
    let usual = ridges_tried * facts.passes.coarse.max(1) + near * passes_of_near;
    let passes = facts.trial_passes.unwrap_or(usual).max(trials);
    let hessians = ridges_tried * facts.hessians().0.max(1) + near;
    // scores of each pass and of each check of the range
    let groups = (passes + trials).div_ceil(passes_ahead(facts.train_rows));
    let mut steps = vec![
        folds(facts).times(tuning.folds),
        ridges(facts).times(ridges_tried + 1),
        masks_ahead(facts).times(groups),
        gradient(facts, "trials: gradient, first pass", None, false).times(1),
        gradient(facts, "trials: gradient", Some(terms), false).times(passes - 1),
    ];
    if facts.steps == Steps::Accelerated {
        // a trial that settles ends with the question
        let asked = facts.steps.bits(passes);
        steps.extend(accelerated::steps(facts, passes, asked));
        steps.push(range_check(facts).times(trials));
        steps.push(loss(facts, tuning.is_path()).times(trials));
        return steps;
    }
    steps.extend([
        hessian(facts, "trials: first Hessian", rows, None).times(ridges_tried),
        hessian(facts, "trials: Hessian", rows, Some(false)).times(hessians - ridges_tried),
        inverse_begun(facts).times(hessians),
        inverse_step(facts).times(hessians * facts.iterations(rows)),
        newton_step(facts).times(passes),
        proximal_inverse(facts).times(facts.held(hessians)),
        proximal_step(facts).times(facts.held(passes)),
        proximal_iterations(facts).times(facts.held(passes)),
        // nothing is asked after the first pass of a trial, nor after the second of the first one
        settled(facts).times(passes.saturating_sub(trials + 1)),
        range_check(facts).times(trials),
        loss(facts, tuning.is_path()).times(trials),
    ]);
    steps
}

/// Which rows count in a fold, and which are left out.
fn folds<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "trials: folds");
    once.rounds = 2;
    once.ask(2);
    once.spread(0, 2 * WORD * facts.train_rows);
    once
}

/// Each owner's matrix of the ridge's term.
fn ridges<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "trials: ridge");
    once.rounds = 1;
    for (position, width) in facts.widths().into_iter().enumerate() {
        once.ask(1);
        once.spread(position, WORD * width * width);
    }
    once
}

/// Residuals at full precision, multiplied with the marks of rows left out and with themselves; the sum to all, on a path with the
/// number of columns left in.
fn loss<'f>(facts: &'f Facts<'f>, path: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "trials: error");
    let rows = facts.train_rows;
    let margins = facts
        .widths()
        .into_iter()
        .enumerate()
        .map(|(owner, width)| Product {
            owner,
            operand: width,
            output: rows,
        });
    once.products(margins.collect::<Vec<_>>());
    once.sigmoid(rows, facts.series.terms.into(), true);
    once.cut(rows, true);
    once.truncate(&[rows]);
    once.weigh(rows, [0]);
    once.matmul(1, rows, 1);
    once.truncate(&[1]);
    if path {
        once.positive_parts(2 * (facts.columns - 1));
        once.announced_bit();
    }
    once.announced_bit();
    once.compute_s = (4 * rows * facts.columns) as f64 / RING_MACS_PER_S;
    once
}
