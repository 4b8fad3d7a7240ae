//! Rounds, bytes and time, step by step.

use super::{
    Assumptions, PartySize, Series, Stage, StepCost, Taken, accelerated,
    align::align,
    batches,
    gates::{Once, Product, series_word, within},
    held::{proximal_inverse, proximal_iterations, proximal_step},
    kept,
    passes::Passes,
    trials,
};
use paripassu_model::newton_schulz;

use crate::{
    constants::{
        COARSE_PASSES_PER_SAMPLED_HESSIAN, FINE_PASSES_PER_HESSIAN, HESSIAN_MAX_HEADROOM,
        INVERSE_LEAST_LOG2, INVERSE_PROJECTIONS, METRICS, PRG_BYTES_PER_S, RING_MACS_PER_S,
        ROW_WEIGHT_MAX_HEADROOM, SCORE, SCORE_SEED, SERIES_TERMS_PER_S, WORD, coarse_hessian_rows,
        hessian_rows, passes_ahead,
    },
    id::NodeId,
    life::State,
    spec::{Spec, Steps},
};

/// What the costs follow from. Parties by position; the intercept is a column of position 0.
pub(super) struct Facts<'a> {
    pub(super) spec: &'a Spec,
    pub(super) assumptions: &'a Assumptions,
    pub(super) sizes: &'a [PartySize],
    pub(super) train_rows: u64,
    pub(super) test_rows: u64,
    pub(super) columns: u64,
    /// How steps are made.
    pub(super) steps: Steps,
    pub(super) passes: Passes,
    /// Of the second fit where applicants are declined, else none.
    pub(super) second: Passes,
    /// Of all trials of penalties, where a run has found out.
    pub(super) trial_passes: Option<u64>,
    pub(super) series: Series,
    pub(super) hessian_rows: u64,
    /// Columns that left the model or entered it.
    pub(super) stepped: u64,
    /// The epoch or pass of an aborted job behind which the others came.
    pub(super) after: u64,
    /// Whether all this is what a run took.
    pub(super) is_taken: bool,
}

impl<'a> Facts<'a> {
    /// Of a job that trains, with so many training and test rows; with the passes that a run took, or those expected.
    pub(super) fn of(
        spec: &'a Spec,
        assumptions: &'a Assumptions,
        (train_rows, test_rows, sizes): (u64, u64, &'a [PartySize]),
        steps: Steps,
        taken: Option<&Taken>,
    ) -> Self {
        let columns = sizes.iter().map(|size| size.design_columns).sum::<u64>() + 1;
        let automatic = || u32::try_from(hessian_rows(train_rows, columns)).unwrap_or(u32::MAX);
        let sampled = u64::from(spec.solver.hessian_rows.unwrap_or_else(automatic));
        Self {
            spec,
            assumptions,
            sizes,
            train_rows,
            test_rows,
            columns,
            steps,
            passes: match (taken, &spec.network) {
                (Some(taken), None) => Passes::taken(spec, steps, taken),
                _ => Passes::expected(spec, steps, columns),
            },
            second: Passes::second(spec, steps, columns, taken),
            trial_passes: taken.map(|taken| taken.trial_passes),
            series: Series::first(spec),
            hessian_rows: sampled.min(train_rows),
            stepped: taken.map_or(0, |taken| taken.stepped),
            after: taken.map_or(0, |taken| taken.after),
            is_taken: taken.is_some(),
        }
    }
}

impl Facts<'_> {
    pub(super) fn ids(&self) -> Vec<NodeId> {
        let seats = self.spec.seats().into_iter();
        seats.map(|party| party.id.clone()).collect()
    }

    pub(super) fn helper(&self) -> &NodeId {
        &self.spec.helper.id
    }

    /// Design columns by position, the intercept with the label party.
    pub(super) fn widths(&self) -> Vec<u64> {
        let intercept = |position: usize| u64::from(position == 0);
        self.sizes
            .iter()
            .enumerate()
            .map(|(position, size)| size.design_columns + intercept(position))
            .collect()
    }

    /// One product for each party's matrix of `rows` rows.
    pub(super) fn each(&self, cost: impl Fn(u64) -> (u64, u64)) -> Vec<Product> {
        let widths = self.widths().into_iter().enumerate();
        let product = |(owner, width)| {
            let (operand, output) = cost(width);
            Product {
                owner,
                operand,
                output,
            }
        };
        widths.map(product).collect()
    }

    /// Who holds weights of rows; where `by_zero`, without party 0, which weighs by itself what it holds alone.
    pub(super) fn weighing(&self, by_zero: bool) -> impl Iterator<Item = usize> {
        let owners = self.spec.row_weights().into_iter().map(|(owner, _)| owner);
        owners.filter(move |owner| !by_zero || *owner > 0)
    }

    /// Passes that make a new Hessian, while steps are large and at full precision.
    pub(super) fn hessians(&self) -> (u64, u64) {
        self.hessians_of(self.passes, false)
    }

    /// The same of other passes; `near` where they begin on shares, near the end.
    pub(super) fn hessians_of(&self, passes: Passes, near: bool) -> (u64, u64) {
        let large = match self.sampled() || near {
            true => COARSE_PASSES_PER_SAMPLED_HESSIAN,
            false => 1,
        };
        if self.steps != Steps::Newton {
            return (0, 0);
        }
        // of all rows, the last early one serves on
        let keep = !self.sampled() && !self.spec.outputs.standard_errors;
        let (mut early, mut last, mut since) = (0, 0, u64::MAX / 2);
        for pass in 0..passes.all() {
            let fine = pass >= passes.coarse;
            if pass == passes.coarse && !keep {
                since = u64::MAX / 2;
            }
            let share = if fine { FINE_PASSES_PER_HESSIAN } else { large };
            if since >= share {
                *if fine { &mut last } else { &mut early } += 1;
                // the first, of the bound or of the label party's own fit, is for one pass
                let once = pass == 0 && !near && self.after == 0;
                since = if once { u64::MAX / 2 } else { 0 };
            }
            since += 1;
        }
        (early, last)
    }

    /// So many where an L1 penalty or signs hold coefficients, or none.
    pub(super) fn held(&self, times: u64) -> u64 {
        if self.spec.is_held() { times } else { 0 }
    }

    /// Whether Hessians are made of a sample of the rows.
    fn sampled(&self) -> bool {
        self.hessian_rows < self.train_rows
    }

    /// Rows of Hessians while steps are large.
    pub(super) fn coarse_hessian_rows(&self) -> u64 {
        coarse_hessian_rows(self.hessian_rows, self.train_rows, self.columns)
    }

    /// Steps to the inverse of a Hessian of so many rows; a sample's has bits of
    /// headroom, because at most N / m times its share of a column is in it, and so have weights of rows.
    pub(super) fn iterations(&self, hessian_rows: u64) -> u64 {
        let most = self.train_rows.div_ceil(hessian_rows.max(1));
        let bits = most.max(1).next_power_of_two().trailing_zeros();
        let most: f64 = self.spec.row_weights().iter().map(|(_, max)| max).product();
        let weights = most.log2().ceil().clamp(0.0, ROW_WEIGHT_MAX_HEADROOM) as u32;
        let least = INVERSE_LEAST_LOG2 + bits.min(HESSIAN_MAX_HEADROOM) + weights;
        newton_schulz::scales(least).len() as u64
    }

    /// Products of all owners' columns with residuals.
    fn gradients(&self) -> Vec<Product> {
        self.each(|width| (self.train_rows, width))
    }

    fn margins(&self) -> Vec<Product> {
        self.each(|width| (width, self.train_rows))
    }

    /// Whether columns of parties without labels stay shared.
    fn strict(&self) -> bool {
        self.spec.binning.as_ref().is_some_and(|b| b.strict())
    }
}

pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    let mut steps = before(facts);
    match facts.spec.stepwise() {
        Some(stepwise) => {
            steps.extend(super::steps::all(facts, stepwise, facts.stepped));
        }
        None => {
            steps.extend(fit(facts));
            steps.extend(after(facts));
        }
    }
    steps
}

/// What comes before the columns are masked for a fit.
pub(super) fn before(facts: &Facts<'_>) -> Vec<StepCost> {
    let mut steps = vec![align(facts).times(1)];
    if let Some(binning) = &facts.spec.binning {
        steps.extend(super::bins::steps(facts, binning));
    }
    steps.extend(super::selection::steps(facts));
    steps
}

/// A fit, and the trials before it.
pub(super) fn fit(facts: &Facts<'_>) -> Vec<StepCost> {
    if facts.steps == Steps::Sgd {
        return batches::steps(facts);
    }
    let passes = facts.passes;
    let (coarse, fine) = (facts.series.coarse_terms, facts.series.terms);
    // the first pass of all: while steps are large, if there are such passes
    let (first_coarse, first_fine) = match (facts.after, passes.coarse) {
        (0, 0) => (0, passes.fine.min(1)),
        (0, _) => (1, 0),
        // an aborted job has made it
        _ => (0, 0),
    };
    let first_rows = match first_fine {
        0 => facts.coarse_hessian_rows(),
        _ => facts.hessian_rows,
    };
    let (large, last) = facts.hessians();
    let inverse_steps = large * facts.iterations(facts.coarse_hessian_rows())
        + last * facts.iterations(facts.hessian_rows);
    let ahead = passes_ahead(facts.train_rows);
    let groups = passes.all().div_ceil(ahead);
    // a pass from the label party's own start takes no masks of scores, and leaves them to the look at the range
    let more = u64::from(facts.after > 0 && passes.all().is_multiple_of(ahead));
    // what is masked where columns stay shared: bins
    let sizes = match &facts.spec.binning {
        Some(binning) if binning.strict() => super::bins::masked(facts, binning),
        _ => facts.sizes.to_vec(),
    };
    let masked = &Facts {
        sizes: &sizes,
        columns: sizes.iter().map(|size| size.design_columns).sum::<u64>() + 1,
        ..*facts
    };
    let mut steps = vec![masked_features(masked).times(1)];
    if let Some(tuning) = &facts.spec.tuning {
        let spec = trials::in_trials(facts.spec);
        let facts = Facts {
            spec: &spec,
            ..*facts
        };
        steps.extend(trials::steps(&facts, tuning));
    }
    steps.extend(kept::steps(facts));
    steps.extend([
        masks_ahead(masked).times(groups),
        scores_ahead(masked).times(more),
        gradient(masked, "gradient, first pass", None, false).times(first_coarse + first_fine),
        gradient(masked, "gradient, early passes", Some(coarse), false)
            .times(passes.coarse - first_coarse),
        gradient(masked, "gradient, last passes", Some(fine), true).times(passes.fine - first_fine),
    ]);
    if facts.steps == Steps::Accelerated {
        steps.extend(accelerated::steps(facts, passes.all(), passes.tests));
        steps.push(range_check(masked).times(1));
        steps.extend(super::reject::steps(facts, facts.second, groups));
        return steps;
    }
    steps.extend([
        hessian(masked, "first Hessian", first_rows, None).times(first_coarse + first_fine),
        hessian(
            masked,
            "Hessian, early passes",
            facts.coarse_hessian_rows(),
            Some(false),
        )
        .times(large.saturating_sub(first_coarse)),
        hessian(
            masked,
            "Hessian, last passes",
            facts.hessian_rows,
            Some(true),
        )
        .times(last.saturating_sub(first_fine)),
        inverse_begun(facts).times(large + last),
        inverse_step(facts).times(inverse_steps),
        newton_step(facts).times(passes.all()),
        proximal_inverse(facts).times(facts.held(large + last)),
        proximal_step(facts).times(facts.held(passes.all())),
        proximal_iterations(facts).times(facts.held(passes.all())),
        settled(facts).times(passes.tests),
        range_check(masked).times(1),
    ]);
    steps.extend(super::reject::steps(facts, facts.second, groups));
    steps
}

/// What follows the last fit.
pub(super) fn after(facts: &Facts<'_>) -> Vec<StepCost> {
    let mut steps = vec![coefficients(facts).times(1)];
    if facts.spec.outputs.standard_errors {
        steps.push(standard_errors(facts).times(1));
    }
    if facts
        .spec
        .scorecard
        .as_ref()
        .is_some_and(|card| card.reasons)
    {
        steps.push(reasons(facts).times(1));
    }
    if facts.spec.outputs.scores.is_some() {
        steps.push(scores(facts).times(1));
        steps.push(metrics(facts).times(1));
    }
    steps
}

/// Each owner sends its masked columns to the others, and two small matrices.
fn masked_features<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "masked features").counted(Stage::Train);
    once.rounds = 3;
    once.broadcast(2 * WORD);
    let rows = facts.train_rows;
    let widths = facts.widths();
    for (position, width) in widths.iter().enumerate() {
        once.ask(3);
        once.spread(position, WORD * (rows * width + 2 * width * width));
        once.take_in(position, [rows * width, width * width, width * width]);
        once.waits(position, 1);
    }
    for owner in facts.weighing(false) {
        once.ask(1);
        once.spread(owner, WORD * rows);
        once.take_in(owner, [rows]);
    }
    let widest = widths.iter().max().copied().unwrap_or(0);
    once.compute_s = (WORD * rows * widest) as f64 / PRG_BYTES_PER_S
        + (facts.train_rows * widest * widest) as f64 / RING_MACS_PER_S;
    once
}

/// Masks for the scores and gradients of some passes.
pub(super) fn masks_ahead<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "masks for some passes");
    let (rows, columns) = (facts.train_rows, facts.columns);
    let count = passes_ahead(rows);
    once.ahead(facts.margins().into_iter().chain(facts.gradients()), count);
    once.compute_s = (4 * count * rows * columns) as f64 / RING_MACS_PER_S
        + (2 * WORD * rows * columns) as f64 / PRG_BYTES_PER_S;
    once
}

/// The same for the scores alone.
fn scores_ahead<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "masks for scores");
    let (rows, columns) = (facts.train_rows, facts.columns);
    let count = passes_ahead(rows);
    once.ahead(facts.margins(), count);
    once.compute_s = (2 * count * rows * columns) as f64 / RING_MACS_PER_S
        + (WORD * rows * columns) as f64 / PRG_BYTES_PER_S;
    once
}

/// Scores, series and gradient of one pass over all training rows; at full precision residuals are cut.
/// The first pass has no series: its residuals are the label party's own.
pub(super) fn gradient<'f>(
    facts: &'f Facts<'f>,
    step: &'static str,
    terms: Option<u32>,
    full: bool,
) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    let (rows, columns) = (facts.train_rows, facts.columns);
    let mut macs = rows * columns;
    if let Some(terms) = terms {
        once.made(facts.margins(), []);
        once.sigmoid(rows, terms.into(), full);
        once.cut(rows, full);
        macs += rows * columns;
        once.compute_s = (rows * u64::from(terms)) as f64 / SERIES_TERMS_PER_S
            + (series_word(full) * 2 * rows * u64::from(terms)) as f64 / PRG_BYTES_PER_S;
    }
    once.weigh(rows, facts.weighing(terms.is_none()));
    let ridge = facts.each(|width| (width, width));
    once.made(facts.gradients(), ridge);
    once.truncate(&[columns, columns]);
    once.asked_ahead();
    once.compute_s += macs as f64 / RING_MACS_PER_S;
    once
}

/// X' diag(s) X on a subsample, from the shares of s: each owner's block by weighting its rows, mixed
/// blocks by products with the weighted rows. The first takes the largest slope there can be, or those of
/// the label party's own fit; later ones have slopes of their own, at full precision or not.
pub(super) fn hessian<'f>(
    facts: &'f Facts<'f>,
    step: &'static str,
    rows: u64,
    slopes: Option<bool>,
) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    let widths = facts.widths();
    if let Some(full) = slopes {
        once.cut(rows, full);
    }
    once.weigh(rows, facts.weighing(slopes.is_none()));
    once.weighted(rows, &widths);
    let mixed = (0..widths.len()).flat_map(|p| (p + 1..widths.len()).map(move |q| (p, q)));
    let blocks: Vec<_> = mixed
        .map(|(p, q)| Product {
            owner: p,
            operand: rows * widths[q],
            output: widths[p] * widths[q],
        })
        .collect();
    let squares = widths.iter().map(|width| width * width);
    let lengths: Vec<_> = squares
        .chain(blocks.iter().map(|block| block.output))
        .collect();
    once.products(blocks);
    once.truncate(&lengths);
    once.asked_ahead();
    once.compute_s = (2 * rows * facts.columns * facts.columns) as f64 / RING_MACS_PER_S
        + (2 * WORD * rows * facts.columns) as f64 / PRG_BYTES_PER_S;
    once
}

/// What all steps of an inverse begin with: the masked Hessian, opened with the first step's matrix.
pub(super) fn inverse_begun<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "inverse, begun");
    once.inverse_begun(facts.columns);
    once
}

/// One step of the inverse: two products of shared matrices, each cut back.
pub(super) fn inverse_step<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "inverse");
    let d = facts.columns;
    once.inverse_step(d);
    once.compute_s = (6 * d * d * d) as f64 / RING_MACS_PER_S;
    once
}

/// The step of all weights, cut for the scores and for the ridge.
pub(super) fn newton_step<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "Newton step");
    let d = facts.columns;
    once.matmul(d, d, 1);
    once.truncate(&[d, d]);
    once.asked_ahead();
    once
}

/// Whether no coefficient moved more than the tolerance and the inverse is one.
pub(super) fn settled<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "settled?");
    let d = facts.columns;
    once.products(facts.each(|width| (width, width)));
    // with a penalty or signs, how far the split is apart and has moved as well
    let steps = 2 * d + facts.held(4 * (d - 1));
    // and projections of I - H Y, and its trace
    once.all_negative(&[(steps, 64), within(INVERSE_PROJECTIONS + 1)]);
    once.announced_bit();
    once
}

/// Whether all scores lie within the range of the series.
pub(super) fn range_check<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "within range?");
    once.truncate(&facts.widths());
    once.made(facts.margins(), []);
    once.all_negative(&[within(facts.train_rows)]);
    once.announced_bit();
    once.compute_s = (2 * facts.train_rows * facts.columns) as f64 / RING_MACS_PER_S
        + (WORD * facts.train_rows * (facts.columns + 30)) as f64 / PRG_BYTES_PER_S;
    once
}

/// The shares of each party's coefficients to that party, and word to the helper that all is done.
pub(super) fn coefficients<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "own coefficients").counted(Stage::Train);
    once.opening();
    if facts.spec.is_held() {
        // the intercept, which is in no split
        once.products(facts.each(|width| (width, width)));
        once.truncate(&[1]);
    }
    once.rounds += 1;
    let widths = facts.widths().into_iter().enumerate();
    for (position, width) in widths.filter(|(p, _)| *p == 0 || !facts.strict()) {
        once.gather(position, WORD * width);
    }
    once.ask(1);
    once
}

/// Each party's block of the inverse Hessian, multiplied from both sides; the diagonal to that party.
fn standard_errors<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "own standard errors").counted(Stage::Train);
    once.opening();
    let widths = facts.widths();
    let blocks: Vec<_> = widths.iter().map(|width| width * width).collect();
    for _ in 0..2 {
        once.truncate(&blocks);
        once.products(facts.each(|width| (width * width, width * width)));
    }
    once.rounds += 1;
    for (position, width) in widths.into_iter().enumerate() {
        once.gather(position, WORD * width);
    }
    once
}

/// A word of four comparisons and codes for each test row.
fn reasons<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once =
        Once::new(facts, State::Evaluating, "reasons across parties").counted(Stage::Train);
    once.opening();
    once.choose(facts.test_rows, 16);
    once
}

/// The other parties' part of every test score, masked where they are several, to the label party.
pub(super) fn scores<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "test scores");
    once.opening();
    if let Some(binning) = facts.spec.binning.as_ref().filter(|b| b.strict()) {
        let rows = facts.test_rows;
        let masked = super::bins::masked(facts, binning);
        for (owner, size) in masked.iter().enumerate().skip(1) {
            let bins = size.design_columns;
            once.rounds += 1;
            once.ask(1);
            once.spread(owner, WORD * rows * bins);
            once.multiplied(bins);
            once.products([Product {
                owner,
                operand: bins,
                output: rows,
            }]);
        }
        once.truncate(&[rows]);
        once.rounds += 1;
        once.gather(0, WORD * rows);
        return once.counted(Stage::Train);
    }
    once.rounds = 1;
    let parties = facts.ids().len();
    let seeds = u64::from(parties > 2);
    if parties > 2 {
        once.rounds += 1;
        let others = (1..parties).flat_map(|p| (1..parties).map(move |q| (p, q)));
        for (from, to) in others.filter(|(p, q)| p != q) {
            once.send(from, to, SCORE_SEED);
        }
    }
    once.waits(0, 1);
    (1..parties).for_each(|party| once.waits(party, seeds));
    once.gather(0, SCORE * facts.test_rows);
    once.compute_s = (facts.test_rows * facts.columns) as f64 / RING_MACS_PER_S;
    once
}

/// Metrics to their receivers.
pub(super) fn metrics<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "metrics");
    let told = &facts.spec.outputs.metrics_to;
    once.rounds = u64::from(!told.is_empty());
    for (position, id) in facts.ids().iter().enumerate() {
        let receives = position > 0 && told.contains(id);
        if receives {
            once.send(0, position, METRICS);
        }
        once.waits(position, u64::from(receives));
    }
    once
}
