//! Rounds, bytes, time and memory, step by step.

use std::collections::BTreeMap;

use super::{Assumptions, LinkBytes, Memory, PartySize, Series, StepCost};
use crate::{
    constants::{
        AGREEMENT, ALIGN_ITEM, ALIGN_MASKS_PER_S, ALIGN_MEMORY_PER_ID, ALIGN_RETURN, ALIGN_ROUNDS,
        EVALUATE_ROUNDS, FRAMES_MEMORY, GRADIENT_ROUNDS, HESSIAN_REFRESHES, HESSIAN_ROUNDS,
        INVERSE_ITERATIONS, INVERSE_ROUNDS, LINK_EFFICIENCY, METRICS, NODE_MEMORY, OPENED_MARGIN,
        PREPARE_ROUNDS, PRG_BYTES_PER_S, RELEASE_ROUNDS, RING_MACS_PER_S, SERIES_TERM,
        SERIES_TERMS_PER_S, STEP_ROUNDS, STORED_FEATURE, WORD, WORK_WORDS_PER_ROW,
    },
    id::NodeId,
    life::State,
    spec::Spec,
};

/// What the costs follow from. Parties by position; the intercept is a column of position 0.
pub(super) struct Facts<'a> {
    pub(super) spec: &'a Spec,
    pub(super) assumptions: &'a Assumptions,
    pub(super) sizes: &'a [PartySize],
    pub(super) train_rows: u64,
    pub(super) test_rows: u64,
    pub(super) columns: u64,
    pub(super) passes: u64,
    pub(super) series: Series,
    pub(super) hessian_rows: u64,
}

impl Facts<'_> {
    fn ids(&self) -> Vec<NodeId> {
        self.spec
            .seats()
            .into_iter()
            .map(|party| party.id.clone())
            .collect()
    }

    fn helper(&self) -> &NodeId {
        &self.spec.helper.id
    }

    /// Design columns by position, the intercept with the label party.
    fn widths(&self) -> Vec<u64> {
        let intercept = |position: usize| u64::from(position == 0);
        self.sizes
            .iter()
            .enumerate()
            .map(|(position, size)| size.design_columns + intercept(position))
            .collect()
    }

    /// Seconds of link and latency for these rounds and bytes. Every node has one link to the
    /// coordinator; the busiest direction of any node's link decides.
    fn transfer(&self, rounds: u64, links: &BTreeMap<(NodeId, NodeId), u64>) -> f64 {
        let (mut sent, mut received) = (BTreeMap::new(), BTreeMap::new());
        for ((from, to), bytes) in links {
            *sent.entry(from).or_insert(0) += bytes;
            *received.entry(to).or_insert(0) += bytes;
        }
        let busiest = sent
            .values()
            .chain(received.values())
            .copied()
            .max()
            .unwrap_or(0);
        let bytes_per_s = self.assumptions.mbit_per_s * 1e6 / 8.0 * LINK_EFFICIENCY;
        rounds as f64 * self.assumptions.rtt_ms / 1e3 + busiest as f64 / bytes_per_s
    }
}

/// One occurrence of a step.
struct Once {
    phase: State,
    step: &'static str,
    rounds: u64,
    links: BTreeMap<(NodeId, NodeId), u64>,
    compute_s: f64,
}

impl Once {
    fn new(phase: State, step: &'static str, rounds: u64) -> Self {
        Self {
            phase,
            step,
            rounds,
            links: BTreeMap::new(),
            compute_s: 0.0,
        }
    }

    fn send(&mut self, from: &NodeId, to: &NodeId, bytes: u64) {
        *self.links.entry((from.clone(), to.clone())).or_insert(0) += bytes;
    }

    fn times(self, times: u64, facts: &Facts<'_>) -> StepCost {
        let once = self.compute_s + facts.transfer(self.rounds, &self.links);
        StepCost {
            phase: self.phase,
            step: self.step.to_owned(),
            times,
            rounds: self.rounds * times,
            links: self
                .links
                .into_iter()
                .map(|((from, to), bytes)| LinkBytes {
                    from,
                    to,
                    bytes: bytes * times,
                })
                .collect(),
            seconds: once * times as f64,
        }
    }
}

/// Every ordered pair of different positions.
fn pairs(parties: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..parties).flat_map(move |p| (0..parties).filter(move |q| *q != p).map(move |q| (p, q)))
}

pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    let refreshes = facts.passes.min(HESSIAN_REFRESHES);
    let mut steps = vec![
        align(facts).times(1, facts),
        masked_features(facts).times(1, facts),
        gradient(facts).times(facts.passes, facts),
        hessian(facts).times(refreshes, facts),
        inverse(facts).times(refreshes * INVERSE_ITERATIONS, facts),
        newton_step(facts).times(facts.passes, facts),
    ];
    if facts.spec.outputs.scores.is_some() {
        steps.push(scores(facts).times(1, facts));
    }
    steps.push(coefficients(facts).times(1, facts));
    steps
}

/// Each party masks its own ids and the other's masked ids.
fn align(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Aligning, "match customers", ALIGN_ROUNDS);
    let ids = facts.ids();
    for (p, q) in pairs(ids.len()) {
        let (own, theirs) = (facts.sizes[p].rows, facts.sizes[q].rows);
        once.send(
            &ids[p],
            &ids[q],
            ALIGN_ITEM * own + ALIGN_RETURN * theirs + AGREEMENT,
        );
    }
    let masks: u64 = facts.sizes.iter().map(|size| size.rows).sum();
    once.compute_s = masks as f64 / ALIGN_MASKS_PER_S;
    once
}

/// Each owner sends X_p - A_p to each other party.
fn masked_features(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Preparing, "masked features", PREPARE_ROUNDS);
    let (ids, widths) = (facts.ids(), facts.widths());
    for (p, q) in pairs(ids.len()) {
        once.send(
            &ids[p],
            &ids[q],
            WORD * facts.train_rows * widths[p] + AGREEMENT,
        );
    }
    for id in &ids {
        once.send(id, facts.helper(), AGREEMENT);
    }
    let widest = widths.iter().max().copied().unwrap_or(0);
    once.compute_s = (WORD * facts.train_rows * widest) as f64 / PRG_BYTES_PER_S;
    once
}

/// Margin, series and gradient of one pass over all training rows.
fn gradient(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Training, "gradient", GRADIENT_ROUNDS);
    let (ids, widths, rows) = (facts.ids(), facts.widths(), facts.train_rows);
    for (p, q) in pairs(ids.len()) {
        // Masked weights to the owner, the masked margin, the masked residual.
        once.send(
            &ids[p],
            &ids[q],
            WORD * widths[q] + (OPENED_MARGIN + WORD) * rows,
        );
    }
    for (position, id) in ids.iter().enumerate() {
        let series = if position == 0 {
            SERIES_TERM * u64::from(facts.series.terms) * rows
        } else {
            0
        };
        // The forward correction, row by row, and the backward one, column by column.
        once.send(
            facts.helper(),
            id,
            series + WORD * rows + WORD * widths[position],
        );
    }
    let macs = 4 * rows * facts.columns;
    let terms = rows * u64::from(facts.series.terms);
    once.compute_s = macs as f64 / RING_MACS_PER_S
        + terms as f64 / SERIES_TERMS_PER_S
        + (2 * WORD * rows * facts.columns) as f64 / PRG_BYTES_PER_S;
    once
}

/// X' diag(s) X on a subsample, from the shares of s.
fn hessian(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Training, "Hessian", HESSIAN_ROUNDS);
    let (ids, widths, rows) = (facts.ids(), facts.widths(), facts.hessian_rows);
    for (p, q) in pairs(ids.len()) {
        // Masked s to the owner, then the masked block s·X_p to the other.
        once.send(&ids[p], &ids[q], WORD * rows + WORD * rows * widths[p]);
    }
    for (id, width) in ids.iter().zip(&widths) {
        once.send(facts.helper(), id, WORD * rows * width);
    }
    once.compute_s = (2 * rows * facts.columns * facts.columns) as f64 / RING_MACS_PER_S;
    once
}

/// One iteration of the inverse: two products of shared d x d matrices.
fn inverse(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Training, "inverse", INVERSE_ROUNDS);
    let (ids, square) = (facts.ids(), facts.columns * facts.columns);
    for (p, q) in pairs(ids.len()) {
        once.send(&ids[p], &ids[q], 2 * WORD * square);
    }
    if let Some(first) = ids.first() {
        once.send(facts.helper(), first, 2 * WORD * square);
    }
    once.compute_s = (6 * square * facts.columns) as f64 / RING_MACS_PER_S;
    once
}

/// The step, its truncation, and the declared bits.
fn newton_step(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Training, "step and bits", STEP_ROUNDS);
    let ids = facts.ids();
    for (p, q) in pairs(ids.len()) {
        once.send(&ids[p], &ids[q], 3 * WORD * facts.columns + WORD);
    }
    for id in &ids {
        once.send(facts.helper(), id, 2 * WORD * facts.columns);
        once.send(id, facts.helper(), WORD);
    }
    once
}

/// Each other party's part of every test score to the label party; metrics to their receivers.
fn scores(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Evaluating, "scores and metrics", EVALUATE_ROUNDS);
    let ids = facts.ids();
    if let Some((label, others)) = ids.split_first() {
        for other in others {
            once.send(other, label, WORD * facts.test_rows);
            if facts.spec.outputs.metrics_to.contains(other) {
                once.send(label, other, METRICS);
            }
        }
    }
    once.compute_s = (facts.test_rows * facts.columns) as f64 / RING_MACS_PER_S;
    once
}

/// The shares of each party's coefficients to that party.
fn coefficients(facts: &Facts<'_>) -> Once {
    let mut once = Once::new(State::Evaluating, "own coefficients", RELEASE_ROUNDS);
    let (ids, widths) = (facts.ids(), facts.widths());
    for (p, q) in pairs(ids.len()) {
        once.send(&ids[p], &ids[q], WORD * widths[q]);
    }
    once
}

pub(super) fn memory(facts: &Facts<'_>) -> Vec<Memory> {
    let rows = facts.train_rows;
    let base = NODE_MEMORY + FRAMES_MEMORY;
    let work = WORD * WORK_WORDS_PER_ROW * rows;
    let square = 12 * WORD * facts.columns * facts.columns;
    let ids = facts.ids();
    let parties = ids
        .into_iter()
        .zip(facts.widths())
        .zip(facts.sizes)
        .enumerate();
    let mut list: Vec<_> = parties
        .map(|(position, ((node, width), size))| {
            let aligning = ALIGN_MEMORY_PER_ID * size.rows;
            let loading = WORD * facts.assumptions.matched * width;
            let series = if position == 0 {
                SERIES_TERM * u64::from(facts.series.terms) * rows
            } else {
                0
            };
            let sampled = 2 * WORD * facts.hessian_rows * facts.columns;
            let training = STORED_FEATURE * rows * width
                + WORD * rows * (facts.columns - width)
                + series
                + work
                + square
                + sampled;
            let role = if position == 0 {
                "label party"
            } else {
                "feature party"
            };
            Memory {
                node,
                role: role.to_owned(),
                bytes: base + aligning.max(loading).max(training),
            }
        })
        .collect();
    let helper = base + work + square + 2 * WORD * facts.hessian_rows * facts.columns;
    list.push(Memory {
        node: facts.helper().clone(),
        role: "helper".to_owned(),
        bytes: helper,
    });
    list
}
