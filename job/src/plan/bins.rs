//! Rounds, bytes and time of counting bins against the label.

use super::{
    StepCost,
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

/// Fine bins of each party but the first: as many in each column as the job cuts numbers into.
fn fine(facts: &Facts<'_>, binning: &Binning) -> Vec<u64> {
    let each = match binning.method.merges() {
        true => binning.fine_bins,
        false => binning.max_bins,
    };
    let others = facts.sizes.iter().skip(1);
    others.map(|size| size.design_columns * each).collect()
}

pub(super) fn steps(facts: &Facts<'_>, binning: &Binning) -> Vec<StepCost> {
    let fine = fine(facts, binning);
    let mut steps = vec![counted(facts, &fine).times(1)];
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
            once.products([Product {
                owner,
                operand: rows,
                output: block,
            }]);
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
