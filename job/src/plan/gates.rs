//! Bytes and rounds of what the parties do on shares, gate by gate as the engine does it.
//!
//! A round is one message that somebody waits for before the next step. A correction asked for
//! when its gate begins is such a message; those announced ahead come along with the first.

use std::collections::BTreeMap;

use super::{LinkBytes, Stage, StepCost, cost::Facts};
use crate::{
    constants::{
        COUNTERSIGN_S, FEATURE_CHUNK, LINK_EFFICIENCY, PHASE, REQUEST, ROUND_S, SERIES_ROWS,
        SERIES_WORDS, WORD,
    },
    id::NodeId,
    life::State,
};

/// Words of the upper triangle of a `[d, d]` matrix.
fn triangle(d: u64) -> u64 {
    d * (d + 1) / 2
}

/// Bytes of a word of the series: a whole one at full precision.
pub(super) fn series_word(full: bool) -> u64 {
    match full {
        true => WORD,
        false => WORD / 2,
    }
}

/// Words whose lanes of 16 bits are compared to know whether these values lie within a bound: two lanes a value.
pub(super) fn within(values: u64) -> (u64, u32) {
    ((2 * values).div_ceil(4), 16)
}

/// One occurrence of a step.
pub(super) struct Once<'f> {
    facts: &'f Facts<'f>,
    ids: Vec<NodeId>,
    phase: State,
    step: &'static str,
    stage: Stage,
    pub(super) rounds: u64,
    /// Of these, waits of the first party alone: mostly for what the helper corrects.
    first: u64,
    /// Waits of parties for whom the rounds are others.
    waits: BTreeMap<NodeId, u64>,
    links: BTreeMap<(NodeId, NodeId), u64>,
    openings: u64,
    pub(super) compute_s: f64,
}

/// A product of a matrix that its owner holds in the clear: words of the shared factor that each
/// other party masks, and words of the result.
pub(super) struct Product {
    pub(super) owner: usize,
    pub(super) operand: u64,
    pub(super) output: u64,
}

impl<'f> Once<'f> {
    pub(super) fn new(facts: &'f Facts<'f>, phase: State, step: &'static str) -> Self {
        Self {
            facts,
            ids: facts.ids(),
            phase,
            step,
            stage: Stage::of(phase),
            rounds: 0,
            first: 0,
            waits: BTreeMap::new(),
            links: BTreeMap::new(),
            openings: 0,
            compute_s: 0.0,
        }
    }

    /// The same where a party's node counts it in another stage than the state of the job says.
    pub(super) fn counted(self, stage: Stage) -> Self {
        Self { stage, ..self }
    }

    /// Waits of the first party for a correction that it asks for when its gate begins.
    pub(super) fn wait_for_helper(&mut self, times: u64) {
        self.rounds += times;
        self.first += times;
    }

    /// All of it was asked of the helper before: its corrections come along with other messages.
    pub(super) fn asked_ahead(&mut self) {
        self.rounds -= self.first;
        self.first = 0;
    }

    /// Chunks of masked columns, of so many words each in one matrix after another, that every party but their owner
    /// takes in one by one.
    pub(super) fn take_in(&mut self, owner: usize, matrices: impl IntoIterator<Item = u64>) {
        let chunks = matrices
            .into_iter()
            .map(|words| words.div_ceil(FEATURE_CHUNK))
            .sum();
        for party in (0..self.ids.len()).filter(|party| *party != owner) {
            self.waits(party, chunks);
        }
    }

    /// How often this party, by position, waits, where that is not the rounds; several times add up.
    pub(super) fn waits(&mut self, party: usize, times: u64) {
        *self.waits.entry(self.ids[party].clone()).or_insert(0) += times;
    }

    /// Common customers assumed.
    pub(super) fn matched(&self) -> u64 {
        self.facts.assumptions.matched
    }

    fn add(&mut self, from: NodeId, to: NodeId, bytes: u64) {
        if bytes > 0 {
            *self.links.entry((from, to)).or_insert(0) += bytes;
        }
    }

    /// One party to another, both by position.
    pub(super) fn send(&mut self, from: usize, to: usize, bytes: u64) {
        self.add(self.ids[from].clone(), self.ids[to].clone(), bytes);
    }

    /// Party `from` to every other one.
    pub(super) fn spread(&mut self, from: usize, bytes: u64) {
        for to in (0..self.ids.len()).filter(|to| *to != from) {
            self.send(from, to, bytes);
        }
    }

    /// Every party to every other one.
    pub(super) fn broadcast(&mut self, bytes: u64) {
        (0..self.ids.len()).for_each(|from| self.spread(from, bytes));
    }

    /// Party `from` to the helper.
    pub(super) fn tell_helper(&mut self, from: usize, bytes: u64) {
        let helper = self.facts.helper().clone();
        self.add(self.ids[from].clone(), helper, bytes);
    }

    /// The helper to one party, by position.
    pub(super) fn helper_sends(&mut self, to: usize, bytes: u64) {
        let helper = self.facts.helper().clone();
        self.add(helper, self.ids[to].clone(), bytes);
    }

    /// The helper to each party.
    pub(super) fn helper_tells(&mut self, bytes: u64) {
        let helper = self.facts.helper().clone();
        for id in self.ids.clone() {
            self.add(helper.clone(), id, bytes);
        }
    }

    /// Every other party to `to`.
    pub(super) fn gather(&mut self, to: usize, bytes: u64) {
        for from in (0..self.ids.len()).filter(|from| *from != to) {
            self.send(from, to, bytes);
        }
    }

    /// Requests of every party to the helper.
    pub(super) fn ask(&mut self, requests: u64) {
        let helper = self.facts.helper().clone();
        for id in self.ids.clone() {
            self.add(id, helper.clone(), REQUEST * requests);
        }
    }

    /// Words from the helper to the party that it corrects.
    fn correct(&mut self, to: usize, words: u64) {
        self.add(
            self.facts.helper().clone(),
            self.ids[to].clone(),
            WORD * words,
        );
    }

    /// Several products with owners' matrices.
    pub(super) fn products(&mut self, jobs: impl IntoIterator<Item = Product>) {
        self.rounds += 1;
        for job in jobs {
            self.ask(1);
            self.gather(job.owner, WORD * job.operand);
            self.correct(job.owner, job.output);
        }
    }

    /// Masks for `count` products with vectors for each of these.
    pub(super) fn ahead(&mut self, jobs: impl IntoIterator<Item = Product>, count: u64) {
        self.rounds += 1;
        for job in jobs {
            self.ask(1);
            self.correct(job.owner, count * job.output);
        }
    }

    /// Several products whose masks were made ahead, and such whose masks are made now.
    pub(super) fn made(
        &mut self,
        made: impl IntoIterator<Item = Product>,
        now: impl IntoIterator<Item = Product>,
    ) {
        self.products(now);
        for job in made {
            self.gather(job.owner, WORD * job.operand);
        }
    }

    /// The first `rows` rows of each of these columns' matrices weighted, and their Gram matrices.
    pub(super) fn weighted(&mut self, rows: u64, widths: &[u64]) {
        self.rounds += 1;
        for (owner, width) in widths.iter().enumerate() {
            self.ask(1);
            self.gather(owner, WORD * rows);
            self.correct(owner, rows * width + width * width);
        }
    }

    /// Columns of its owner's, sent masked, that shared values of so many rows are multiplied with.
    pub(super) fn column(&mut self, owner: usize, rows: u64, columns: u64) {
        self.rounds += 2;
        self.ask(2);
        self.spread(owner, WORD * rows * columns);
        self.gather(owner, WORD * rows);
        self.correct(owner, rows * columns + columns * columns);
    }

    /// Products of so many shared values with as many others, cut back.
    pub(super) fn multiplied(&mut self, values: u64) {
        self.entrywise(values);
        self.truncate(&[values]);
    }

    /// Values of so many rows times the weights that each of these parties holds, cut back.
    pub(super) fn weigh(&mut self, rows: u64, owners: impl IntoIterator<Item = usize>) {
        for owner in owners {
            self.rounds += 1;
            self.ask(1);
            self.gather(owner, WORD * rows);
            self.correct(owner, rows + 1);
            self.truncate(&[rows]);
        }
    }

    /// The sigmoid series of this many terms for all rows, at full precision or in half words.
    pub(super) fn sigmoid(&mut self, rows: u64, terms: u64, full: bool) {
        let blocks = rows.div_ceil(SERIES_ROWS);
        self.wait_for_helper(1);
        self.rounds += blocks;
        self.ask(blocks);
        self.broadcast(PHASE * rows);
        let (helper, to) = (self.facts.helper().clone(), self.ids[0].clone());
        self.add(helper, to, SERIES_WORDS * series_word(full) * terms * rows);
    }

    /// Fraction bits of series values or slopes dropped: of words, or of half words that become words.
    pub(super) fn cut(&mut self, values: u64, full: bool) {
        match full {
            true => self.truncate(&[values]),
            false => {
                self.wait_for_helper(1);
                self.rounds += 1;
                self.ask(1);
                self.broadcast(PHASE * values);
                self.correct(0, 2 * values);
            }
        }
    }

    /// What comes before the first step of an inverse of `[d, d]`.
    pub(super) fn inverse_begun(&mut self, d: u64) {
        self.wait_for_helper(1);
        self.broadcast(WORD * triangle(d));
    }

    /// A step of an inverse of `[d, d]`, whose correction was asked for with the first one's.
    pub(super) fn inverse_step(&mut self, d: u64) {
        self.rounds += 4;
        self.ask(1);
        self.broadcast(WORD * 2 * (d * d + triangle(d)));
        self.correct(0, 3 * (d * d + triangle(d)));
    }

    /// Truncations of vectors of these lengths, opened together.
    pub(super) fn truncate(&mut self, lengths: &[u64]) {
        let values: u64 = lengths.iter().sum();
        for _ in lengths {
            self.wait_for_helper(1);
            self.ask(1);
        }
        self.rounds += 1;
        self.broadcast(WORD * values);
        self.correct(0, 2 * values);
    }

    /// The product of shared matrices `[rows, inner] [inner, cols]`.
    pub(super) fn matmul(&mut self, rows: u64, inner: u64, cols: u64) {
        self.wait_for_helper(1);
        self.rounds += 1;
        self.ask(1);
        self.broadcast(WORD * (rows * inner + inner * cols));
        self.correct(0, rows * cols);
    }

    /// The products of so many shared values with as many others.
    pub(super) fn entrywise(&mut self, values: u64) {
        self.wait_for_helper(1);
        self.rounds += 1;
        self.ask(1);
        self.broadcast(WORD * 2 * values);
        self.correct(0, values);
    }

    /// The positive parts of so many values: their signs, the signs' shares in the ring, a product.
    pub(super) fn positive_parts(&mut self, values: u64) {
        self.signs(&[(values, 64)]);
        self.chosen(values);
    }

    /// Signs that are held as bits, in the ring, and the values that they keep.
    fn chosen(&mut self, values: u64) {
        self.lifted(values);
        self.entrywise(values);
    }

    /// Whether so many values are not negative, in the ring.
    pub(super) fn not_negative(&mut self, values: u64) {
        self.signs(&[(values, 64)]);
        self.lifted(values);
    }

    /// Signs that are held as bits, in the ring.
    fn lifted(&mut self, values: u64) {
        let mut parties = self.ids.len() as u64;
        while parties > 1 {
            self.entrywise(parties / 2 * values);
            parties = parties.div_ceil(2);
        }
    }

    /// The positive parts of so many values that fit half words, and where they are kept.
    pub(super) fn rectified(&mut self, values: u64) {
        self.signs(&[(values.div_ceil(2), 32)]);
        self.chosen(values);
    }

    /// `factors` conjunctions with one common factor, word by word; their correction was asked for before.
    fn and(&mut self, words: u64, factors: u64) {
        self.rounds += 1;
        self.ask(1);
        self.broadcast(WORD * words * (1 + factors));
        self.correct(0, 2 * words);
    }

    /// Shares of the signs of all lanes, of so many bits in so many words of each group; wider lanes come first.
    fn signs(&mut self, lanes: &[(u64, u32)]) {
        let words = lanes.iter().map(|(words, _)| words).sum();
        self.wait_for_helper(1);
        self.rounds += 1;
        self.ask(lanes.len() as u64);
        self.broadcast(WORD * words);
        self.correct(0, words);
        for level in 0..6 {
            let wider = lanes.iter().filter(|(_, bits)| *bits > 1 << level);
            match wider.map(|(words, _)| words).sum() {
                0 => {}
                words => self.and(words, 2),
            }
        }
    }

    /// Shares of whether all lanes are negative, of so many bits in so many words of each group.
    pub(super) fn all_negative(&mut self, lanes: &[(u64, u32)]) {
        self.signs(lanes);
        let mut left: u64 = lanes.iter().map(|(words, _)| words).sum();
        while left > 1 {
            self.and(left / 2, 1);
            left = left.div_ceil(2);
        }
        let least = lanes.iter().map(|(_, bits)| bits.ilog2()).min();
        for _ in least.unwrap_or(6)..6 {
            self.and(1, 1);
        }
    }

    /// Shares of whether neither of two values is negative, for so many pairs.
    pub(super) fn both_signs(&mut self, pairs: u64) {
        self.signs(&[(2 * pairs, 64)]);
        self.and(pairs, 1);
    }

    /// Shares of whether none of a group of so many values is negative, for so many groups: conjunctions are asked for one
    /// after another.
    pub(super) fn grouped_signs(&mut self, groups: u64, each: u64) {
        self.signs(&[(groups * each, 64)]);
        let mut left = each;
        while left > 1 {
            self.wait_for_helper(1);
            self.and(groups * (left / 2), 1);
            left = left.div_ceil(2);
        }
    }

    /// One value of each of these words' lanes where a shared difference is negative, to party 0.
    pub(super) fn choose(&mut self, words: u64, lane: u32) {
        self.signs(&[(words, lane)]);
        self.and(words, 1);
        // opened to the first party alone
        self.rounds += 1;
        self.first += 1;
        self.gather(0, WORD * words);
    }

    /// Something is opened: every member countersigns it first.
    pub(super) fn opening(&mut self) {
        self.openings += 1;
    }

    /// Opens one bit to all parties.
    pub(super) fn open_bit(&mut self) {
        self.opening();
        self.announced_bit();
    }

    /// The same where it is announced before the work that leads to it: others have countersigned by then.
    pub(super) fn announced_bit(&mut self) {
        self.rounds += 1;
        self.broadcast(WORD);
    }

    /// Seconds of latency and of the link for one occurrence. Every node has one link to the
    /// coordinator; the busiest direction of any node's link decides.
    fn transfer(&self) -> f64 {
        let (mut sent, mut received) = (BTreeMap::new(), BTreeMap::new());
        for ((from, to), bytes) in &self.links {
            *sent.entry(from).or_insert(0) += bytes;
            *received.entry(to).or_insert(0) += bytes;
        }
        let busiest = sent.values().chain(received.values()).copied().max();
        let assumed = self.facts.assumptions;
        let bytes_per_s = assumed.mbit_per_s * 1e6 / 8.0 * LINK_EFFICIENCY;
        let rtt = assumed.rtt_ms / 1e3;
        self.rounds as f64 * (rtt + ROUND_S)
            + self.openings as f64 * (2.0 * rtt + COUNTERSIGN_S)
            + busiest.unwrap_or(0) as f64 / bytes_per_s
    }

    pub(super) fn times(self, times: u64) -> StepCost {
        let once = self.compute_s + self.transfer();
        let links = self.links.into_iter().map(|((from, to), bytes)| LinkBytes {
            from,
            to,
            bytes: bytes * times,
        });
        let others = (self.first > 0).then(|| self.rounds - self.first);
        let others = self
            .ids
            .iter()
            .skip(1)
            .cloned()
            .zip(std::iter::repeat(others));
        let mut waits: BTreeMap<NodeId, u64> = others
            .filter_map(|(id, waits)| Some((id, waits? * times)))
            .collect();
        waits.extend(
            self.waits
                .into_iter()
                .map(|(id, waits)| (id, waits * times)),
        );
        StepCost {
            phase: self.phase,
            stage: self.stage,
            step: self.step.to_owned(),
            times,
            rounds: self.rounds * times,
            waits,
            links: links.collect(),
            seconds: once * times as f64,
        }
    }
}
