//! Rounds, bytes, time and memory of a horizontal job.

use std::collections::BTreeMap;

use super::{
    Assumptions, LinkBytes, Memory, PartySize, Plan, StepCost, disclosures, learn, warnings_of_time,
};
use crate::{
    constants::{
        CORES, FRAMES_MEMORY, LINK_EFFICIENCY, NEWTON_SUMS, NODE_MEMORY, PRG_BYTES_PER_S,
        QUANTILE_SUMS, RING_MACS_PER_S, WORD,
    },
    life::State,
    spec::{Columns, Horizontal, Spec},
};

/// Waits of one sum: keys, shares, vector, agreement, reveal, result.
const ROUNDS: u64 = 6;
/// Numbers of the evaluation: three by band, and two.
const EVALUATION_WORDS: u64 = 3 * 128 + 2;

struct Kind {
    phase: State,
    step: &'static str,
    times: u64,
    words: u64,
    seconds: f64,
}

fn kinds(spec: &Spec, sizes: &[PartySize], columns: u64) -> Vec<Kind> {
    let (numeric, levels) = match spec.party.first().map(|p| &p.columns) {
        Some(Columns::Listed { numeric, .. }) => (numeric.len() as u64, columns),
        _ => (columns, columns),
    };
    let width = columns + 1;
    let rows = sizes.iter().map(|s| s.rows).max().unwrap_or(0);
    let macs = (rows * width * width / 2 + 4 * rows * width) as f64;
    let kind = |phase, step, times, words, seconds| Kind {
        phase,
        step,
        times,
        words,
        seconds,
    };
    let (prepare, none) = (State::Preparing, 0.0);
    vec![
        kind(prepare, "counts", 1, 2 + numeric + levels, none),
        kind(
            prepare,
            "medians, if values are missing",
            QUANTILE_SUMS.into(),
            126 * numeric,
            none,
        ),
        kind(prepare, "ranges", 1, 128 * (numeric + 1), none),
        kind(prepare, "means and deviations", 3, columns, none),
        kind(
            State::Training,
            "loss, gradient and Hessian",
            NEWTON_SUMS.min(spec.solver.max_passes),
            1 + width + width * (width + 1) / 2,
            macs / (RING_MACS_PER_S * CORES),
        ),
        kind(
            State::Evaluating,
            "masked histogram of scores",
            1,
            EVALUATION_WORDS,
            none,
        ),
    ]
}

/// Bytes of one sum from and to each bank.
fn sum_bytes(banks: u64, words: u64) -> (u64, u64) {
    let up = 168 + 80 * (banks - 1) + (WORD * words + 16) + 64 + 32 * banks;
    let down = (33 + 168 * banks) + (33 + 80 * (banks - 1)) + 33 + (33 + 64 * banks);
    (up, down + 33 + WORD * words + 16)
}

pub(super) fn plan(
    spec: &Spec,
    horizontal: &Horizontal,
    assumptions: &Assumptions,
    sizes: &[PartySize],
) -> Plan {
    let banks = spec.party.len() as u64;
    let all: u64 = sizes.iter().map(|size| size.rows).sum();
    let columns = sizes
        .iter()
        .map(|size| size.design_columns)
        .max()
        .unwrap_or(0);
    let test_rows = all * spec.split.test_tenths / 10;
    let train_rows = all - test_rows;
    let per_s = assumptions.mbit_per_s * 1e6 / 8.0 * LINK_EFFICIENCY;
    let helper = &spec.helper.id;
    let mut steps = vec![join(spec, assumptions, per_s)];
    for kind in kinds(spec, sizes, columns) {
        let (up, down) = sum_bytes(banks, kind.words);
        let links = spec.party.iter().flat_map(|bank| {
            let id = bank.id.clone();
            let link = |from: &_, to: &_, bytes| LinkBytes {
                from: Clone::clone(from),
                to: Clone::clone(to),
                bytes: bytes * kind.times,
            };
            [link(&id, helper, up), link(helper, &id, down)]
        });
        let masks = (2 * banks + 1) * WORD * kind.words;
        // all vectors come in on one line, and go out on it
        let seconds = ROUNDS as f64 * assumptions.rtt_ms / 1e3
            + (banks * up.max(down)) as f64 / per_s
            + masks as f64 / PRG_BYTES_PER_S
            + kind.seconds;
        steps.push(StepCost {
            phase: kind.phase,
            step: kind.step.to_owned(),
            times: kind.times,
            rounds: ROUNDS * kind.times,
            links: links.collect(),
            seconds: seconds * kind.times as f64,
        });
    }
    let mut links = BTreeMap::new();
    for link in steps.iter().flat_map(|step| &step.links) {
        *links
            .entry((link.from.clone(), link.to.clone()))
            .or_insert(0) += link.bytes;
    }
    let passes = NEWTON_SUMS.min(spec.solver.max_passes);
    let training: u64 = steps
        .iter()
        .filter(|step| step.phase == State::Training)
        .flat_map(|step| &step.links)
        .map(|link| link.bytes)
        .sum();
    let mut plan = Plan {
        name: spec.name.clone(),
        assumptions: assumptions.clone(),
        train_rows,
        test_rows,
        design_columns: columns + 1,
        passes,
        max_passes: spec.solver.max_passes,
        series: Vec::new(),
        hessian_rows: train_rows,
        rounds: steps.iter().map(|step| step.rounds).sum(),
        bytes: links.values().sum(),
        bytes_per_row_pass: training as f64 / (train_rows.max(1) * passes.max(1)) as f64,
        seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        links: links
            .into_iter()
            .map(|((from, to), bytes)| LinkBytes { from, to, bytes })
            .collect(),
        memory: memory(spec, sizes, columns + 1),
        learns: learn::horizontal(spec),
        disclosures: disclosures(spec),
        warnings: Vec::new(),
    };
    plan.warnings = warnings_of_time(spec, &plan);
    let few = sizes
        .iter()
        .map(|size| size.rows * (10 - spec.split.test_tenths) / 10)
        .min();
    if let Some(few) = few.filter(|few| *few < horizontal.min_rows) {
        plan.warnings.push(format!(
            "a bank with {few} training rows is below horizontal.min_rows = {}: the job would end",
            horizontal.min_rows
        ));
    }
    if horizontal.threshold_of(spec.party.len()) == spec.party.len() {
        plan.warnings.push(
            "every bank is needed in every sum: one that is late makes it be tried again".into(),
        );
    }
    plan
}

/// Keys of every bank to every other.
fn join(spec: &Spec, assumptions: &Assumptions, per_s: f64) -> StepCost {
    let ids = || spec.party.iter().map(|party| &party.id);
    let pairs = ids().flat_map(|from| ids().map(move |to| (from, to)));
    let links: Vec<_> = pairs
        .filter(|(from, to)| from != to)
        .map(|(from, to)| LinkBytes {
            from: from.clone(),
            to: to.clone(),
            bytes: 64 + 32,
        })
        .collect();
    StepCost {
        phase: State::Preparing,
        step: "exchange keys".into(),
        times: 1,
        rounds: 2,
        seconds: 2.0 * assumptions.rtt_ms / 1e3 + links.len() as f64 * 96.0 / per_s,
        links,
    }
}

fn memory(spec: &Spec, sizes: &[PartySize], width: u64) -> Vec<Memory> {
    let vector = WORD * width * (width + 1) / 2;
    let base = NODE_MEMORY + FRAMES_MEMORY;
    let bank = |(party, size): (&crate::spec::Party, &PartySize)| Memory {
        node: party.id.clone(),
        role: "bank".into(),
        bytes: base + 2 * WORD * size.rows * width + 4 * vector,
    };
    let banks = spec.party.iter().zip(sizes).map(bank);
    let helper = Memory {
        node: spec.helper.id.clone(),
        role: "helper".into(),
        bytes: base + 3 * vector,
    };
    banks.chain([helper]).collect()
}
