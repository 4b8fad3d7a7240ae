//! Rounds, bytes, time and memory of a network on columns of several parties: the engine's steps, counted.

use super::{
    Memory, Stage, StepCost,
    align::align,
    cost::{Facts, metrics},
    gates::{Once, Product, within},
    kept, memory,
};
use crate::{
    constants::{
        FEATURE_CHUNK, LOOKED_AT_ROWS, NETWORK_HIDDEN_TERMS, NETWORK_OUTPUT_TERMS, PRG_BYTES_PER_S,
        RELU_BYTES, RING_MACS_PER_S, SCORE, SERIES_TERMS_PER_S, SERIES_WORDS, STORED_FEATURE, WORD,
    },
    life::State,
    spec::{Activation, Network},
};

/// The network's sizes in a job.
struct Sizes<'f> {
    facts: &'f Facts<'f>,
    widths: Vec<u64>,
    hidden: Vec<u64>,
    activation: Activation,
}

/// The steps; of so many epochs where it is known how many there were.
pub(super) fn steps(facts: &Facts<'_>, network: &Network, made: Option<u64>) -> Vec<StepCost> {
    let epochs = made.unwrap_or(network.epochs);
    let sizes = Sizes {
        facts,
        widths: facts.widths(),
        hidden: network.hidden.iter().map(|h| u64::from(*h)).collect(),
        activation: network.activation,
    };
    let watched = network.watched(facts.train_rows);
    let scored = match facts.spec.outputs.scores {
        Some(_) => facts.test_rows,
        None => 0,
    };
    let looked_at = |rows: u64| Network::parts(rows, LOOKED_AT_ROWS).filter(|rows| *rows > 0);
    let batches: Vec<u64> = Network::parts(facts.train_rows - watched, network.batch).collect();
    let trained = looked_at(watched).chain(batches.iter().copied());
    let all = trained
        .map(|rows| (rows, true))
        .chain(looked_at(scored).map(|rows| (rows, false)));
    let mut steps = vec![align(facts).times(1), sizes.features(all).times(1)];
    for (rows, count) in counted(batches.iter().copied()) {
        steps.push(sizes.batch(rows).times(count * epochs));
    }
    steps.push(sizes.decay().times(epochs));
    let shortest = batches.iter().copied().min().unwrap_or(0);
    steps.push(sizes.within_range(shortest).times(epochs));
    if watched > 0 {
        steps.push(sizes.watched(looked_at(watched)).times(epochs));
        // the first has nothing to be compared with, but where training went on
        let first = u64::from(facts.after == 0);
        steps.push(improved(facts).times(epochs.saturating_sub(first)));
    }
    steps.push(kept::kept(facts).times(epochs));
    steps.extend(kept::found(facts));
    if scored > 0 {
        steps.push(sizes.scored(looked_at(scored)).times(1));
    }
    steps.push(sizes.weights().times(1));
    if scored > 0 {
        steps.push(test_scores(facts).times(1));
        steps.push(metrics(facts).times(1));
    }
    steps
}

/// Equal lengths with how many there are of them.
fn counted(lengths: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    for length in lengths {
        match all.iter_mut().find(|(known, _)| *known == length) {
            Some((_, count)) => *count += 1,
            None => all.push((length, 1)),
        }
    }
    all
}

impl<'f> Sizes<'f> {
    /// Inputs, its one among them, and outputs of each further layer.
    fn further(&self) -> Vec<(u64, u64)> {
        let outputs = self.hidden.iter().skip(1).copied().chain([1]);
        self.hidden.iter().map(|h| h + 1).zip(outputs).collect()
    }

    fn first(&self) -> u64 {
        self.hidden.first().copied().unwrap_or(1)
    }

    /// Words of each block of weights.
    fn blocks(&self) -> Vec<u64> {
        let first = self.widths.iter().map(|width| width * self.first());
        let further = self.further();
        first
            .chain(further.iter().map(|(inputs, outputs)| inputs * outputs))
            .collect()
    }

    /// Multiply-adds of a row through all layers.
    fn macs(&self) -> u64 {
        self.blocks().iter().sum()
    }

    /// Each owner sends its masked columns of every batch to the others, and the weights of its rows where it trains.
    fn features(&self, batches: impl Iterator<Item = (u64, bool)>) -> Once<'f> {
        let mut once =
            Once::new(self.facts, State::Preparing, "masked features").counted(Stage::Train);
        once.rounds = 1;
        once.broadcast(2 * WORD);
        (0..self.widths.len()).for_each(|party| once.waits(party, 1));
        let mut words = 0;
        for (rows, trains) in batches {
            let columns = self.widths.iter().copied().enumerate();
            let weights = self.facts.weighing(false).filter(|_| trains);
            for (owner, width) in columns.chain(weights.map(|owner| (owner, 1))) {
                once.ask(1);
                once.spread(owner, WORD * rows * width);
                once.take_in(owner, [rows * width]);
                words += rows * width;
                if owner > 0 {
                    once.rounds += (rows * width).div_ceil(FEATURE_CHUNK);
                }
            }
        }
        once.compute_s = (WORD * words) as f64 / PRG_BYTES_PER_S;
        once
    }

    /// Rows through all layers, with derivatives where a step follows.
    fn forward(&self, once: &mut Once<'_>, rows: u64, slopes: bool) {
        let first = self.first();
        once.products(
            self.widths
                .iter()
                .enumerate()
                .map(|(owner, width)| Product {
                    owner,
                    operand: width * first,
                    output: rows * first,
                }),
        );
        for (h, (inputs, outputs)) in self.hidden.iter().zip(self.further()) {
            match self.activation {
                Activation::Tanh => {
                    once.sigmoid(rows * h, NETWORK_HIDDEN_TERMS, false);
                    once.cut(rows * h, false);
                    if slopes {
                        once.cut(rows * h, false);
                    }
                    once.compute_s += (rows * h * NETWORK_HIDDEN_TERMS) as f64 / SERIES_TERMS_PER_S;
                }
                Activation::Relu => {
                    once.truncate(&[rows * h]);
                    once.rectified(rows * h);
                    once.compute_s += (rows * h * RELU_BYTES) as f64 / PRG_BYTES_PER_S;
                }
            }
            once.matmul(rows, inputs, outputs);
        }
        once.compute_s += (3 * rows * self.macs()) as f64 / RING_MACS_PER_S;
    }

    fn residuals(&self, once: &mut Once<'_>, rows: u64) {
        once.sigmoid(rows, NETWORK_OUTPUT_TERMS, true);
        once.cut(rows, true);
    }

    /// One step of all weights.
    fn batch(&self, rows: u64) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "batch");
        self.forward(&mut once, rows, true);
        self.residuals(&mut once, rows);
        once.weigh(rows, self.facts.weighing(false));
        for (inputs, outputs) in self.further().into_iter().rev() {
            let h = inputs - 1;
            once.matmul(inputs, rows, outputs);
            once.matmul(rows, outputs, h);
            once.entrywise(rows * h);
            once.truncate(&[rows * h]);
        }
        let first = self.first();
        once.products(
            self.widths
                .iter()
                .enumerate()
                .map(|(owner, width)| Product {
                    owner,
                    operand: rows * first,
                    output: width * first,
                }),
        );
        self.cut_steps(&mut once);
        once.asked_ahead();
        once.compute_s += (6 * rows * self.macs()) as f64 / RING_MACS_PER_S;
        once
    }

    /// Steps of all weights, cut for the weights and for their short copies.
    fn cut_steps(&self, once: &mut Once<'_>) {
        let both: Vec<u64> = self.blocks().into_iter().flat_map(|n| [n, n]).collect();
        once.truncate(&both);
    }

    fn decay(&self) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "weights decay");
        self.cut_steps(&mut once);
        once
    }

    /// Values of a row that are looked at: its score; what hidden layers are given, where that must be within a range.
    fn looked_at(&self) -> u64 {
        match self.activation {
            Activation::Tanh => 1,
            Activation::Relu => 1 + self.hidden.iter().sum::<u64>(),
        }
    }

    /// Whether weights, their last steps, and what is looked at of so many rows lie within the range, with these rows'
    /// derivatives.
    fn within_range(&self, rows: u64) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "within range?");
        let weights: u64 = self.blocks().iter().sum();
        let derivatives: u64 = self.hidden.iter().sum();
        let values = 2 * weights + rows * (self.looked_at() + derivatives);
        once.all_negative(&[within(values)]);
        once.announced_bit();
        once
    }

    /// The loss on the rows that are set apart.
    fn watched(&self, parts: impl Iterator<Item = u64>) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "loss, watched rows");
        for rows in parts {
            self.forward(&mut once, rows, false);
            self.residuals(&mut once, rows);
            once.weigh(rows, self.facts.weighing(false));
            once.matmul(1, rows, 1);
        }
        once
    }

    /// Test rows through all layers.
    fn scored(&self, parts: impl Iterator<Item = u64>) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "test rows");
        let mut looked_at = 0;
        for rows in parts {
            self.forward(&mut once, rows, false);
            once.truncate(&[rows]);
            looked_at += rows * self.looked_at();
        }
        if self.activation == Activation::Relu {
            once.all_negative(&[within(looked_at)]);
            once.announced_bit();
        }
        once
    }

    /// The shares of each party's weights to that party, and word to the helper that all is done.
    fn weights(&self) -> Once<'f> {
        let mut once =
            Once::new(self.facts, State::Evaluating, "own weights").counted(Stage::Train);
        once.opening();
        once.rounds = 1;
        let blocks = self.blocks();
        let (own, further) = blocks.split_at(self.widths.len());
        for (position, words) in own.iter().enumerate() {
            let more: u64 = if position == 0 {
                further.iter().sum()
            } else {
                0
            };
            once.gather(position, WORD * (words + more));
        }
        once.ask(1);
        once
    }
}

/// Whether the loss fell.
fn improved<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "improved?");
    once.all_negative(&[(1, 64)]);
    once.open_bit();
    once
}

/// The shares of every test score to the label party.
fn test_scores<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Evaluating, "test scores").counted(Stage::Train);
    once.opening();
    once.rounds = 1;
    once.gather(0, SCORE * facts.test_rows);
    (1..facts.ids().len()).for_each(|party| once.waits(party, 0));
    once
}

/// Memory of each node at its peak.
pub(super) fn memory(facts: &Facts<'_>, network: &Network) -> Vec<Memory> {
    let base = memory::base();
    let rows = facts.train_rows + facts.test_rows;
    let batch = network
        .batch
        .min(facts.train_rows)
        .max(LOOKED_AT_ROWS.min(rows));
    let all: u64 = network.hidden.iter().map(|h| u64::from(*h)).sum();
    let widest = network.hidden.iter().map(|h| u64::from(*h)).max();
    // the series of a layer in half words, that of the output in whole ones
    let hidden = match network.activation {
        Activation::Tanh => SERIES_WORDS * WORD / 2 * NETWORK_HIDDEN_TERMS,
        Activation::Relu => RELU_BYTES,
    } * widest.unwrap_or(0);
    let output = SERIES_WORDS * WORD * NETWORK_OUTPUT_TERMS;
    let dealt = batch * hidden.max(output);
    // scores, activations and slopes of all layers, and what of them is cut
    let work = 4 * WORD * batch * (all + 1);
    let parties = facts.ids().into_iter().zip(facts.widths()).zip(facts.sizes);
    let mut list: Vec<Memory> = parties
        .enumerate()
        .map(|(position, ((node, width), size))| {
            let aligning = memory::aligning(facts, size.rows);
            let own = (2 * WORD + STORED_FEATURE) * rows * width;
            let weights = facts.weighing(false).count() as u64;
            let masked = WORD * rows * (facts.columns - width + weights);
            let role = match position {
                0 => "label party",
                _ => "feature party",
            };
            Memory {
                node,
                role: role.to_owned(),
                bytes: base
                    + aligning.max(own + masked + work + memory::dealt_at(position) * dealt),
            }
        })
        .collect();
    list.push(Memory {
        node: facts.helper().clone(),
        role: "helper".to_owned(),
        bytes: base + work + memory::DEALT_AT_HELPER * dealt,
    });
    list
}
