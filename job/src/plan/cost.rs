//! Rounds, bytes and time, step by step.

use super::{
    Assumptions, PartySize, Series, StepCost,
    gates::{Once, Product},
};
use crate::{
    constants::{
        ALIGN_FIXED, ALIGN_FRAME_ITEMS, ALIGN_ITEM, ALIGN_MASKS_PER_S, ALIGN_MIN_PADDING,
        ALIGN_RETURN, ALIGN_ROUNDS, COARSE_PASSES_PER_SAMPLED_HESSIAN, CORES, EVALUATE_ROUNDS,
        FINE_PASSES, FINE_PASSES_PER_HESSIAN, HESSIAN_MAX_HEADROOM, INVERSE_ITERATIONS, METRICS,
        NEXT_INVERSE_ITERATIONS, PRG_BYTES_PER_S, RING_MACS_PER_S, SCORE, SERIES_TERMS_PER_S,
        USUAL_COARSE_PASSES, USUAL_PASSES, WORD,
    },
    id::NodeId,
    life::State,
    spec::{AlignMethod, Spec, Stop},
};

/// Passes of one range that settles.
#[derive(Clone, Copy)]
pub(super) struct Passes {
    /// While steps are large.
    pub(super) coarse: u64,
    /// At full precision.
    pub(super) fine: u64,
    /// At full precision that make a new Hessian.
    fine_hessians: u64,
    /// After which one bit says whether training has settled.
    tests: u64,
}

impl Passes {
    pub(super) fn expected(spec: &Spec) -> Self {
        let most = spec.solver.max_passes;
        match spec.solver.stop {
            Stop::Bit => {
                let all = USUAL_PASSES.min(most);
                let coarse = USUAL_COARSE_PASSES.min(all);
                let fine = all - coarse;
                Self {
                    coarse,
                    fine,
                    fine_hessians: fine.div_ceil(FINE_PASSES_PER_HESSIAN),
                    tests: all,
                }
            }
            Stop::Fixed => {
                let fine = FINE_PASSES.min(most);
                let coarse = most - fine;
                Self {
                    coarse,
                    fine,
                    fine_hessians: fine.div_ceil(FINE_PASSES_PER_HESSIAN),
                    tests: 1,
                }
            }
        }
    }

    pub(super) fn all(&self) -> u64 {
        self.coarse + self.fine
    }
}

/// What the costs follow from. Parties by position; the intercept is a column of position 0.
pub(super) struct Facts<'a> {
    pub(super) spec: &'a Spec,
    pub(super) assumptions: &'a Assumptions,
    pub(super) sizes: &'a [PartySize],
    pub(super) train_rows: u64,
    pub(super) test_rows: u64,
    pub(super) columns: u64,
    pub(super) passes: Passes,
    pub(super) series: Series,
    pub(super) hessian_rows: u64,
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
    fn each(&self, cost: impl Fn(u64) -> (u64, u64)) -> Vec<Product> {
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

    /// Passes that make a new Hessian while steps are large.
    fn coarse_hessians(&self) -> u64 {
        let share = match self.hessian_rows < self.train_rows {
            true => COARSE_PASSES_PER_SAMPLED_HESSIAN,
            false => 1,
        };
        // the first is of the bound, for one pass
        self.passes.coarse.min(1) + self.passes.coarse.saturating_sub(1).div_ceil(share)
    }

    /// Bits of headroom of a Hessian of a sample: at most N / m times its share of a column is in it.
    fn headroom(&self) -> u64 {
        let most = self.train_rows.div_ceil(self.hessian_rows.max(1));
        let bits = most.max(1).next_power_of_two().trailing_zeros();
        bits.min(HESSIAN_MAX_HEADROOM).into()
    }

    fn margins(&self) -> Vec<Product> {
        self.each(|width| (width, self.train_rows))
    }
}

/// Items of all frames of a party with so many rows.
fn framed(rows: u64) -> u64 {
    (rows + ALIGN_MIN_PADDING).div_ceil(ALIGN_FRAME_ITEMS) * ALIGN_FRAME_ITEMS
}

pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    let passes = facts.passes;
    let (coarse, fine) = (facts.series.coarse_terms, facts.series.terms);
    let hessians = facts.coarse_hessians() + passes.fine_hessians;
    // at full precision an inverse begins with the one before, if that is of slopes and not of their bound
    let next = passes.fine_hessians - u64::from(facts.coarse_hessians() <= 1);
    let bound = passes.coarse.min(1);
    let iterations = INVERSE_ITERATIONS + facts.headroom();
    let mut steps = vec![
        align(facts).times(1),
        masked_features(facts).times(1),
        gradient(facts, "gradient, first passes", coarse, false).times(passes.coarse),
        gradient(facts, "gradient, last passes", fine, true).times(passes.fine),
        hessian(facts, "first Hessian", false).times(bound),
        hessian(facts, "Hessian", true).times(hessians - bound),
        inverse(facts, "inverse, first passes").times((hessians - next) * iterations),
        halved(facts).times(next),
        inverse(facts, "inverse, last passes").times(next * NEXT_INVERSE_ITERATIONS),
        newton_step(facts).times(passes.all()),
        settled(facts).times(passes.tests),
        range_check(facts).times(1),
        coefficients(facts).times(1),
    ];
    if facts.spec.outputs.scores.is_some() {
        steps.push(scores(facts).times(1));
    }
    steps
}

/// Matching, by the method that the job names.
fn align<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let once = Once::new(facts, State::Aligning, "match customers");
    match facts.spec.align.method {
        AlignMethod::Curve => align_by_curve(facts, once),
    }
}

/// Each party masks its own ids and the other's masked ids.
fn align_by_curve<'f>(facts: &'f Facts<'f>, mut once: Once<'f>) -> Once<'f> {
    once.rounds = ALIGN_ROUNDS;
    let items: Vec<_> = facts.sizes.iter().map(|size| framed(size.rows)).collect();
    let all: u64 = items.iter().sum();
    for (position, own) in items.iter().enumerate() {
        let bytes = ALIGN_FIXED + ALIGN_ITEM * own + ALIGN_RETURN * (all - own);
        once.spread(position, bytes);
    }
    once.compute_s = all as f64 / (ALIGN_MASKS_PER_S * CORES);
    once
}

/// Each owner sends its masked columns to the others, and two small matrices.
fn masked_features<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "masked features");
    once.rounds = 3;
    once.broadcast(2 * WORD);
    let rows = facts.train_rows;
    let widths = facts.widths();
    for (position, width) in widths.iter().enumerate() {
        once.ask(3);
        once.spread(position, WORD * (rows * width + 2 * width * width));
    }
    let widest = widths.iter().max().copied().unwrap_or(0);
    once.compute_s = (WORD * rows * widest) as f64 / PRG_BYTES_PER_S
        + (facts.train_rows * widest * widest) as f64 / RING_MACS_PER_S;
    once
}

/// Scores, series and gradient of one pass over all training rows; at full precision residuals are cut.
fn gradient<'f>(facts: &'f Facts<'f>, step: &'static str, terms: u32, full: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    let (rows, columns) = (facts.train_rows, facts.columns);
    once.products(facts.margins());
    once.sigmoid(rows, terms.into());
    if full {
        once.truncate(&[rows]);
    }
    let data = facts.each(|width| (rows, width));
    let ridge = facts.each(|width| (width, width));
    once.products(data.into_iter().chain(ridge));
    once.truncate(&[columns, columns]);
    let macs = 4 * rows * columns;
    once.compute_s = macs as f64 / RING_MACS_PER_S
        + (rows * u64::from(terms)) as f64 / SERIES_TERMS_PER_S
        + (2 * WORD * rows * (columns + 2)) as f64 / PRG_BYTES_PER_S;
    once
}

/// X' diag(s) X on a subsample, from the shares of s: each owner's block by weighting its rows, mixed
/// blocks by products with the weighted rows. The first takes the largest slope there can be.
fn hessian<'f>(facts: &'f Facts<'f>, step: &'static str, slopes: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    let rows = facts.hessian_rows;
    let widths = facts.widths();
    if slopes {
        once.truncate(&[rows]);
    }
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
    once.compute_s = (2 * rows * facts.columns * facts.columns) as f64 / RING_MACS_PER_S
        + (2 * WORD * rows * facts.columns) as f64 / PRG_BYTES_PER_S;
    once
}

/// One iteration of the inverse: two products of shared matrices, each cut back.
fn inverse<'f>(facts: &'f Facts<'f>, step: &'static str) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    let d = facts.columns;
    for _ in 0..2 {
        once.matmul(d, d, d);
        once.truncate(&[d * d]);
    }
    once.compute_s = (6 * d * d * d) as f64 / RING_MACS_PER_S;
    once
}

/// Half of the inverse before, to begin the next one with.
fn halved<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "inverse, begun");
    once.truncate(&[facts.columns * facts.columns]);
    once
}

/// The step of all weights, cut for the scores and for the ridge.
fn newton_step<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "Newton step");
    let d = facts.columns;
    once.matmul(d, d, 1);
    once.truncate(&[d, d]);
    once
}

/// Whether no coefficient moved more than the tolerance and the inverse is one.
fn settled<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "settled?");
    let d = facts.columns;
    once.products(facts.each(|width| (width, width)));
    once.all_negative(2 * d, 64);
    // every entry of I - H Y, and its trace
    once.all_within(d * d + 1);
    once.both();
    once.open_bit();
    once
}

/// Whether all scores lie within the range of the series.
fn range_check<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "within range?");
    once.truncate(&facts.widths());
    once.products(facts.margins());
    once.all_within(facts.train_rows);
    once.open_bit();
    once.compute_s = (2 * facts.train_rows * facts.columns) as f64 / RING_MACS_PER_S
        + (WORD * facts.train_rows * (facts.columns + 30)) as f64 / PRG_BYTES_PER_S;
    once
}

/// The shares of each party's coefficients to that party, and word to the helper that all is done.
fn coefficients<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "own coefficients");
    once.rounds = 1;
    for (position, width) in facts.widths().into_iter().enumerate() {
        once.gather(position, WORD * width);
    }
    once.ask(1);
    once
}

/// Each other party's part of every test score to the label party; metrics to their receivers.
fn scores<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "scores and metrics");
    once.rounds = EVALUATE_ROUNDS;
    once.gather(0, SCORE * facts.test_rows);
    for (position, id) in facts.ids().iter().enumerate().skip(1) {
        if facts.spec.outputs.metrics_to.contains(id) {
            once.send(0, position, METRICS);
        }
    }
    once.compute_s = (facts.test_rows * facts.columns) as f64 / RING_MACS_PER_S;
    once
}
