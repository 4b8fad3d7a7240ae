//! Rounds, bytes, time and memory of a horizontal job.

use std::collections::BTreeMap;

use super::{
    Assumptions, LinkBytes, Memory, PartySize, Plan, Stage, StepCost, Taken, disclosures, learn,
    memory::{add_frames, base},
    warnings_of_time,
};
use crate::{
    constants::{
        CORES, COUNTERSIGN_S, LINK_EFFICIENCY, NEWTON_SUMS, NEWTON_SUMS_FROM_MODELS,
        PRG_BYTES_PER_S, QUANTILE_SUMS, RING_MACS_PER_S, ROUND_S, WORD,
    },
    life::State,
    spec::{AutoOr, Columns, Horizontal, Method, Robust, Spec, Start, Training},
};

/// Waits of one sum: keys, shares, vector, agreement, reveal, result.
const ROUNDS: u64 = 6;
/// Numbers of the evaluation: three by band, and two.
const EVALUATION_WORDS: u64 = 3 * EVALUATION_BANDS + 2;
/// Bands of the score.
const EVALUATION_BANDS: u64 = 128;
/// Bands of the score with noise in each.
const PRIVATE_BANDS: u64 = 32;

struct Kind {
    phase: State,
    step: &'static str,
    times: u64,
    words: u64,
    seconds: f64,
    /// Words that a bank sends beside these: proofs.
    beside: u64,
    /// Waits of one sum.
    waits: u64,
}

fn kinds(spec: &Spec, sizes: &[PartySize], columns: u64, taken: Option<&Taken>) -> Vec<Kind> {
    let horizontal = spec.horizontal.as_ref();
    let numeric = match spec.party.first().map(|p| &p.columns) {
        Some(Columns::Listed { numeric, .. }) => numeric.len() as u64,
        _ => columns,
    };
    // each level that the job lists, one for what is missing and one for all others
    let levels: u64 = horizontal.map_or(0, |horizontal| {
        let listed = horizontal.levels.values();
        listed.map(|levels| levels.len() as u64 + 2).sum()
    });
    let missing = taken.map_or(numeric, |taken| taken.missing_columns);
    let medians = if missing > 0 { QUANTILE_SUMS } else { 0 };
    let width = columns + 1;
    let rows = sizes.iter().map(|s| s.rows).max().unwrap_or(0);
    let macs = (rows * width * width / 2 + 4 * rows * width) as f64;
    let kind = |phase, step, times, words, seconds| Kind {
        phase,
        step,
        times,
        words,
        seconds,
        beside: 0,
        waits: ROUNDS,
    };
    let (prepare, none) = (State::Preparing, 0.0);
    let training = match horizontal.and_then(|h| h.training.as_ref()) {
        Some(training) => network(spec, training, columns, rows),
        None => kind(
            State::Training,
            "loss, gradient and Hessian",
            points(spec, taken),
            1 + width + width * (width + 1) / 2,
            macs / (RING_MACS_PER_S * CORES),
        ),
    };
    if horizontal.is_some_and(|h| h.privacy.is_some()) {
        let counts = 2 * PRIVATE_BANDS;
        let evaluation = kind(
            State::Evaluating,
            "noisy histogram of scores",
            1,
            counts,
            none,
        );
        return vec![training, evaluation];
    }
    let evaluation = kind(
        State::Evaluating,
        "masked histogram of scores",
        1,
        EVALUATION_WORDS,
        none,
    );
    if let Some(binning) = &spec.binning {
        let fine = match binning.method.merges() {
            true => binning.fine_bins,
            false => binning.max_bins,
        };
        let special = binning.special.len() as u64;
        // two values about each edge, the least and the median
        let statistics = numeric * 2 * fine;
        let bins = numeric * (2 * (fine + 1 + special) + 1) + 2 * levels;
        return vec![
            kind(
                prepare,
                "counts",
                1,
                2 + numeric * (1 + special) + levels,
                none,
            ),
            kind(
                prepare,
                "quantiles",
                QUANTILE_SUMS.into(),
                63 * statistics,
                none,
            ),
            kind(prepare, "rows and bads of bins", 1, bins, none),
            training,
            evaluation,
        ];
    }
    vec![
        kind(prepare, "counts", 1, 2 + numeric + levels, none),
        kind(
            prepare,
            "medians, if values are missing",
            medians.into(),
            126 * missing,
            none,
        ),
        kind(prepare, "ranges", 1, 128 * (numeric + 1), none),
        kind(prepare, "means and deviations", 3, columns, none),
        training,
        evaluation,
    ]
}

/// Points that a fit looks at on most data, that of the banks' own models included; or those that a run took.
fn points(spec: &Spec, taken: Option<&Taken>) -> u64 {
    let start = spec.horizontal.as_ref().map(|horizontal| horizontal.start);
    let usual = match start {
        Some(Start::OwnModels) => NEWTON_SUMS_FROM_MODELS,
        _ => NEWTON_SUMS,
    };
    taken.map_or(usual.min(spec.solver.max_passes), |taken| taken.passes)
}

/// Parameters of a network over so many columns, and how many of them travel.
fn parameters(training: &Training, columns: u64) -> (u64, u64) {
    let (mut inputs, mut all, mut last) = (columns, 0, 0);
    for width in training.hidden.iter().map(|w| u64::from(*w)).chain([1]) {
        last = (inputs + 1) * width;
        all += last;
        inputs = width;
    }
    let stay = if training.personal_last_layer {
        last
    } else {
        0
    };
    (all, all - stay)
}

/// The rounds of a network's training; the last sum, of the loss alone, is left out.
fn network(spec: &Spec, training: &Training, columns: u64, rows: u64) -> Kind {
    let (all, shared) = parameters(training, columns);
    let (step, words) = match training.method {
        Method::PrivateSgd => ("noisy gradients", shared),
        _ => (
            "updates of the network",
            training.groups_in_a_round() as u64 * (shared + 1) + 2,
        ),
    };
    let train = rows * (10 - spec.split.test_tenths) / 10;
    let seen = match (&spec.horizontal, training.local_steps) {
        (
            Some(Horizontal {
                privacy: Some(p), ..
            }),
            _,
        ) => (train as f64 * p.sampling.value()) as u64,
        (_, AutoOr::Is(steps)) => u64::from(steps) * training.batch,
        _ => train * training.local_epochs,
    };
    let proved = training.robust == Robust::Proved;
    let banks = spec.party.len() as u64;
    let products = if proved {
        shared * (PROVED_BITS + 1) + 30
    } else {
        0
    };
    let calls = (products.isqrt() / 2).clamp(4, 256);
    let arity = products.div_ceil(calls);
    // witness, proof, answers
    let (words, beside, waits) = match proved {
        true => (
            shared,
            shared * PROVED_BITS + 30 + 2 * (arity + calls) + (3 * banks - 2) * (2 * arity + 2),
            ROUNDS + 4,
        ),
        false => (words, 0, ROUNDS),
    };
    Kind {
        phase: State::Training,
        step,
        times: training.rounds,
        words,
        // forward, and back twice
        seconds: (3 * all * seen) as f64 / (RING_MACS_PER_S * CORES)
            + 2.0 * products as f64 * calls as f64 / (FIELD_MACS_PER_S * CORES),
        beside,
        waits,
    }
}

/// Bits of a number that is proved to be small.
const PROVED_BITS: u64 = 16;
/// Multiplications in the field of a proof, a second and core.
const FIELD_MACS_PER_S: f64 = 4e8;

/// Bytes of a bank's keys for a sum.
const KEYS: u64 = 169;

/// Bytes of one sum from and to each bank.
fn sum_bytes(banks: u64, words: u64) -> (u64, u64) {
    let up = KEYS + 80 * (banks - 1) + (WORD * words + 16) + 64 + 32 * banks;
    let down = (33 + KEYS * banks) + (33 + 80 * (banks - 1)) + 33 + (33 + 64 * banks);
    (up, down + 33 + WORD * words + 16)
}

pub(super) fn plan(
    (spec, horizontal): (&Spec, &Horizontal),
    assumptions: &Assumptions,
    sizes: &[PartySize],
    taken: Option<&Taken>,
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
    for kind in kinds(spec, sizes, columns, taken) {
        let (mut up, down) = sum_bytes(banks, kind.words);
        up += WORD * kind.beside;
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
        let rtt = assumptions.rtt_ms / 1e3;
        let seconds = kind.waits as f64 * (rtt + ROUND_S)
            + 2.0 * rtt
            + COUNTERSIGN_S
            + (banks * up.max(down)) as f64 / per_s
            + masks as f64 / PRG_BYTES_PER_S
            + kind.seconds;
        steps.push(StepCost {
            phase: kind.phase,
            stage: Stage::of(kind.phase),
            waits: BTreeMap::new(),
            step: kind.step.to_owned(),
            times: kind.times,
            rounds: kind.waits * kind.times,
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
    let passes = match &horizontal.training {
        Some(training) => training.rounds,
        None => points(spec, taken),
    };
    let training: u64 = steps
        .iter()
        .filter(|step| step.phase == State::Training)
        .flat_map(|step| &step.links)
        .map(|link| link.bytes)
        .sum();
    let mut needs = memory(spec, horizontal, sizes, columns + 1);
    add_frames(&mut needs, &steps);
    let mut plan = Plan {
        name: spec.name.clone(),
        assumptions: assumptions.clone(),
        train_rows,
        test_rows,
        design_columns: columns + 1,
        passes,
        max_passes: match &horizontal.training {
            Some(training) => training.rounds,
            None => spec.solver.max_passes,
        },
        series: Vec::new(),
        hessian_rows: train_rows,
        solver: None,
        solver_why: String::new(),
        batches: 0,
        rounds: steps.iter().map(|step| step.rounds).sum(),
        bytes: links.values().sum(),
        bytes_per_row_pass: training as f64 / (train_rows.max(1) * passes.max(1)) as f64,
        seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        links: links
            .into_iter()
            .map(|((from, to), bytes)| LinkBytes { from, to, bytes })
            .collect(),
        extents: None,
        memory: needs,
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
        stage: Stage::Prepare,
        waits: BTreeMap::new(),
        step: "exchange keys".into(),
        times: 1,
        rounds: 2,
        seconds: 2.0 * assumptions.rtt_ms / 1e3 + links.len() as f64 * 96.0 / per_s,
        links,
    }
}

fn memory(spec: &Spec, horizontal: &Horizontal, sizes: &[PartySize], width: u64) -> Vec<Memory> {
    let vector = match &horizontal.training {
        Some(training) => WORD * training.groups * parameters(training, width).0,
        None => WORD * width * (width + 1) / 2,
    };
    let base = base();
    let bank = |(party, size): (&crate::spec::Party, &PartySize)| Memory {
        node: party.id.clone(),
        role: "bank".into(),
        bytes: base + 2 * WORD * size.rows * width + 4 * vector,
    };
    let banks = spec.party.iter().zip(sizes).map(bank);
    let helper = Memory {
        node: spec.helper.id.clone(),
        role: "helper".into(),
        // vectors with witnesses, all at a time, where they are to be judged
        bytes: base
            + match &horizontal.training {
                Some(t) if t.robust == Robust::Proved => {
                    spec.party.len() as u64 * (PROVED_BITS + 2) * vector
                }
                _ => 3 * vector,
            },
    };
    banks.chain([helper]).collect()
}
