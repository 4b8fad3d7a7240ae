//! What selecting columns of several parties costs, where no column goes: each that variance inflation takes adds a [`round`].

use paripassu_model::newton_schulz;

use super::{
    StepCost,
    cost::Facts,
    gates::{Once, Product, within},
};
use crate::{
    constants::{RING_MACS_PER_S, SELECTION_BLOCK_WORDS, SELECTION_LEAST_LOG2, WORD},
    life::State,
    spec::SelectionCorrelations,
};

/// Columns of each party, and of all before it.
struct Columns {
    widths: Vec<u64>,
    before: Vec<u64>,
    all: u64,
}

impl Columns {
    fn of(facts: &Facts<'_>) -> Self {
        let widths: Vec<u64> = facts.sizes.iter().map(|s| s.design_columns).collect();
        let before = (0..widths.len()).map(|p| widths[..p].iter().sum());
        Self {
            before: before.collect(),
            all: widths.iter().sum(),
            widths,
        }
    }

    /// Positions of the parties whose columns are multiplied with others', and how many those are.
    fn multiplied(&self, ranked: bool) -> Vec<(usize, u64)> {
        let wanted = self.before.iter().map(|before| before + u64::from(ranked));
        let all = wanted.enumerate().skip(1);
        all.filter(|(p, wanted)| self.widths[*p] > 0 && *wanted > 0)
            .collect()
    }
}

/// The steps of a selection, if the job makes one.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    let columns = Columns::of(facts);
    let Some(selection) = facts.spec.selection.as_ref().filter(|_| columns.all > 0) else {
        return Vec::new();
    };
    let ranked = selection.max_correlation.is_some();
    let mut steps = vec![
        masked(facts, &columns, ranked).times(1),
        correlated(facts, &columns, ranked).times(1),
    ];
    if selection.correlations == SelectionCorrelations::All {
        steps.push(table(facts, &columns).times(1));
    }
    if ranked {
        steps.push(pairs(facts, &columns).times(1));
    }
    steps.extend(round(facts));
    steps
}

/// A round of variance inflation.
pub(super) fn round(facts: &Facts<'_>) -> Vec<StepCost> {
    let columns = Columns::of(facts);
    let Some(selection) = facts.spec.selection.as_ref().filter(|_| columns.all > 0) else {
        return Vec::new();
    };
    let parties = columns.widths.len().next_power_of_two().trailing_zeros();
    let iterations = newton_schulz::scales(SELECTION_LEAST_LOG2 + parties).len() as u64 + 1;
    vec![
        whitening(facts, &columns).times(1),
        whitened(facts, &columns).times(1),
        inverse(facts, &columns).times(iterations),
        inflation(facts, &columns, selection.max_vif.is_some()).times(1),
    ]
}

/// Each owner but the first sends its masked columns to the others.
fn masked<'f>(facts: &'f Facts<'f>, columns: &Columns, ranked: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: masked columns");
    once.rounds = 2;
    once.broadcast(2 * WORD);
    (0..columns.widths.len()).for_each(|party| once.waits(party, 1));
    for (owner, _) in columns.multiplied(ranked) {
        let words = facts.train_rows * columns.widths[owner];
        once.ask(1);
        once.spread(owner, WORD * words);
        once.take_in(owner, [words]);
    }
    once
}

/// Products of each owner's columns with those of the parties before it, and with what columns are ranked by.
fn correlated<'f>(facts: &'f Facts<'f>, columns: &Columns, ranked: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: correlations");
    let rows = facts.train_rows;
    let most = (SELECTION_BLOCK_WORDS / rows.max(1)).max(1);
    for (owner, wanted) in columns.multiplied(ranked) {
        let mut lengths = Vec::new();
        let mut left = wanted;
        while left > 0 {
            let block = left.min(most);
            let output = columns.widths[owner] * block;
            once.products([Product {
                owner,
                operand: rows * block,
                output,
            }]);
            lengths.push(output);
            left -= block;
        }
        once.truncate(&lengths);
    }
    once.compute_s = (2 * rows * columns.all * columns.all) as f64 / RING_MACS_PER_S;
    once
}

/// Correlations of different parties' columns to all.
fn table<'f>(facts: &'f Facts<'f>, columns: &Columns) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: table");
    let each = columns.widths.iter().zip(&columns.before);
    let values: u64 = each.map(|(width, before)| width * before).sum();
    once.opening();
    once.rounds += 1;
    once.broadcast(WORD * values);
    once
}

/// Which of all pairs correlate too much, and which column of each tells more.
fn pairs<'f>(facts: &'f Facts<'f>, columns: &Columns) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: pairs");
    let pairs = columns.all * (columns.all - 1) / 2;
    if pairs == 0 {
        return once;
    }
    once.entrywise(pairs + columns.all);
    once.grouped_signs(2 * pairs, 2);
    once.opening();
    once.rounds += 1;
    once.broadcast(WORD * 2 * pairs);
    once
}

/// Each owner's two small matrices.
fn whitening<'f>(facts: &'f Facts<'f>, columns: &Columns) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: whitening");
    once.rounds = 1;
    (0..columns.widths.len()).for_each(|party| once.waits(party, 0));
    for (owner, width) in columns.widths.iter().enumerate() {
        let square = width * width;
        once.ask(2);
        once.spread(owner, 2 * WORD * square);
        once.take_in(owner, [square, square]);
    }
    once
}

/// Correlations between parties, multiplied from both sides.
fn whitened<'f>(facts: &'f Facts<'f>, columns: &Columns) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: whitened");
    let after = |p: usize| columns.all - columns.before[p] - columns.widths[p];
    let sides: [Vec<u64>; 2] = [
        columns.before.clone(),
        (0..columns.widths.len()).map(after).collect(),
    ];
    for beside in sides {
        let each = columns.widths.iter().zip(beside).enumerate();
        let jobs: Vec<Product> = each
            .map(|(owner, (width, beside))| Product {
                owner,
                operand: width * beside,
                output: width * beside,
            })
            .filter(|job| job.output > 0)
            .collect();
        let lengths: Vec<u64> = jobs.iter().map(|job| job.output).collect();
        if !jobs.is_empty() {
            once.products(jobs);
            once.truncate(&lengths);
        }
    }
    // what the steps of the inverse begin with
    once.inverse_begun(columns.all);
    once
}

/// A step of the inverse.
fn inverse<'f>(facts: &'f Facts<'f>, columns: &Columns) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: inverse");
    once.inverse_step(columns.all);
    once.compute_s = (6 * columns.all.pow(3)) as f64 / RING_MACS_PER_S;
    once
}

/// Inflations, which of them is the largest and too large, and to each party its own.
fn inflation<'f>(facts: &'f Facts<'f>, columns: &Columns, limited: bool) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "selection: inflation");
    let d = columns.all;
    let blocks: Vec<u64> = columns.widths.iter().map(|width| width * width).collect();
    for side in 0..2 {
        let jobs = blocks.iter().enumerate().filter(|(_, block)| **block > 0);
        let jobs: Vec<Product> = jobs
            .map(|(owner, block)| Product {
                owner,
                operand: *block,
                output: *block,
            })
            .collect();
        once.products(jobs);
        if side == 0 {
            once.truncate(&blocks);
        }
    }
    if limited {
        once.grouped_signs(d, d);
    }
    once.all_negative(&[within(d * d + 1)]);
    once.rounds += 2;
    once.broadcast(WORD * if limited { d + 1 } else { 1 });
    once.opening();
    for (position, width) in columns.widths.iter().enumerate() {
        once.gather(position, WORD * width);
    }
    once
}
