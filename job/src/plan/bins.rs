//! Rounds, bytes and time of counting bins against the label.

use super::{
    PartySize, Stage, StepCost,
    cost::Facts,
    gates::{Once, Product},
};
use crate::{
    constants::{BIN_BLOCK_WORDS, RING_MACS_PER_S, WORD},
    life::State,
    spec::Binning,
};

/// Bytes of what the label party is told of a fine bin, and of what it answers of a bin: an estimate.
const TOLD: u64 = 12;
const ANSWERED: u64 = 24;
/// Nodes of the rule behind a weight of evidence on shares, and steps of its reciprocals.
const EVIDENCE_NODES: u64 = 27;
const EVIDENCE_ROUNDS: u64 = 21;
/// Steps of the inverse square roots that columns are scaled by.
const ROOT_ROUNDS: u64 = 16;

/// Fine bins of each party but the first: as many in each column as the job cuts numbers into.
fn fine(facts: &Facts<'_>, binning: &Binning) -> Vec<u64> {
    let each = match binning.method.merges() {
        true => binning.fine_bins,
        false => binning.max_bins,
    };
    let others = facts.sizes.iter().skip(1);
    others.map(|size| size.design_columns * each).collect()
}

/// Sizes of what is masked in training: where columns stay shared, bins take the place of columns.
pub(super) fn masked(facts: &Facts<'_>, binning: &Binning) -> Vec<PartySize> {
    let mut sizes = facts.sizes.to_vec();
    for (size, bins) in sizes.iter_mut().skip(1).zip(fine(facts, binning)) {
        size.design_columns = bins;
    }
    sizes
}

pub(super) fn steps(facts: &Facts<'_>, binning: &Binning) -> Vec<StepCost> {
    let fine = fine(facts, binning);
    let mut steps = vec![counted(facts, &fine).times(1)];
    if binning.strict() {
        steps.push(weighed(facts, &fine).times(1));
        steps.push(revealed(facts, &fine).times(1));
        steps.push(scaled(facts, &fine).times(1));
        return steps;
    }
    if binning.min_class > 0 {
        steps.push(enough(facts, &fine).times(1));
    }
    steps.push(merged(facts, &fine).times(1));
    steps
}

/// Each owner masks which bin each row is in, and multiplies it with the shared label, block by block.
fn counted<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "bad rows of fine bins");
    once.rounds = 1;
    once.broadcast(2 * WORD);
    let rows = facts.train_rows;
    for (owner, bins) in (1..).zip(fine) {
        let most = (BIN_BLOCK_WORDS / rows.max(1)).max(1);
        let mut left = *bins;
        while left > 0 {
            let block = left.min(most);
            once.ask(1);
            once.rounds += 1;
            once.spread(owner, WORD * rows * block);
            // where rows are declined, good ones are counted as well
            let labels = 1 + u64::from(facts.spec.reject_inference.is_some());
            once.products((0..labels).map(|_| Product {
                owner,
                operand: rows,
                output: block,
            }));
            left -= block;
        }
        once.compute_s += (3 * rows * bins) as f64 / RING_MACS_PER_S;
    }
    once
}

/// Whether each fine bin has enough rows of both labels.
fn enough<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "enough rows of both labels?");
    for bins in fine.iter().filter(|bins| **bins > 0) {
        once.both_signs(*bins);
        once.rounds += 1;
        once.broadcast(WORD * bins);
    }
    once
}

/// Weights of evidence on shares: shares of bads, and the logarithms of what they are made of.
fn weighed<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "weights of evidence on shares");
    for (owner, bins) in (1..).zip(fine).filter(|(_, bins)| **bins > 0) {
        let nodes = EVIDENCE_NODES * bins;
        once.rounds += 1;
        once.spread(owner, WORD * bins);
        once.column(owner, *bins, 2);
        once.truncate(&[*bins]);
        once.column(0, *bins, 1);
        once.truncate(&[*bins]);
        once.truncate(&[nodes]);
        once.truncate(&[nodes]);
        (1..EVIDENCE_ROUNDS).for_each(|_| {
            once.multiplied(nodes);
            once.multiplied(nodes);
        });
        once.truncate(&[*bins]);
        once.multiplied(*bins);
    }
    once
}

/// Information values, and which columns are monotone, to the label party.
fn revealed<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "information values");
    let sizes = facts.sizes.iter().skip(1);
    for (owner, (bins, size)) in (1..).zip(fine.iter().zip(sizes)) {
        let columns = size.design_columns.min(*bins);
        if columns == 0 {
            continue;
        }
        once.column(0, 2 * bins, 1);
        once.truncate(&[*bins]);
        once.entrywise(*bins);
        once.truncate(&[columns]);
        let pairs = bins - columns;
        once.column(owner, 2 * pairs, 1);
        once.both_signs(pairs);
        once.opening();
        once.rounds += 2;
        once.gather(0, 2 * WORD * columns);
    }
    once
}

/// Columns centred and scaled on shares.
fn scaled<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "columns on shares").counted(Stage::Train);
    let sizes = facts.sizes.iter().skip(1);
    for (owner, (bins, size)) in (1..).zip(fine.iter().zip(sizes)) {
        let columns = size.design_columns.min(*bins);
        if columns == 0 {
            continue;
        }
        for _ in 0..2 {
            once.column(owner, *bins, 1);
            once.truncate(&[columns]);
        }
        (0..3 * ROOT_ROUNDS + 2).for_each(|_| once.multiplied(columns));
        (0..2).for_each(|_| once.multiplied(*bins));
        once.truncate(&[columns, columns]);
    }
    once
}

/// Rows and bad rows to the label party, bins and weights of evidence back.
fn merged<'f>(facts: &'f Facts<'f>, fine: &[u64]) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "bins and weights of evidence");
    for (owner, bins) in (1..).zip(fine) {
        once.rounds += 3;
        once.send(owner, 0, TOLD * bins);
        once.gather(0, WORD * bins);
        once.send(0, owner, ANSWERED * bins);
    }
    once
}
