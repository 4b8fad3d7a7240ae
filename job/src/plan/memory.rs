//! Memory of each node at its peak, where the job settles in the first range.

use super::{Memory, StepCost, batches, cost::Facts};
use crate::{
    constants::{
        ALIGN_FRAME_ITEMS, ALIGN_MEMORY, ALIGN_MEMORY_BUDGET, ALIGN_MEMORY_PER_MATCH,
        ALIGN_VOLE_BUCKET_ITEM, ALIGN_VOLE_BUCKETS_MEMORY, ALIGN_VOLE_MEMORY,
        ALIGN_VOLE_MEMORY_BUDGET, FRAMES_MEMORY, JOB_MEMORY, NODE_MEMORY, SERIES_ROWS,
        SERIES_WORDS, STORED_FEATURE, WORD, WORK_WORDS_PER_ROW, passes_ahead,
    },
    spec::{AlignMethod, Steps},
};

/// A node that does nothing much, and what any job adds to it.
pub(super) fn base() -> u64 {
    NODE_MEMORY + JOB_MEMORY
}

/// Adds frames in flight: half of what a node has a part in of the largest step, but no more than links hold.
pub(super) fn add_frames(memory: &mut [Memory], steps: &[StepCost]) {
    for need in memory {
        let of_step = |step: &StepCost| {
            let links = step.links.iter();
            let its = links.filter(|link| link.from == need.node || link.to == need.node);
            its.map(|link| link.bytes).sum::<u64>() / step.times.max(1)
        };
        let most = steps.iter().map(of_step).max().unwrap_or(0);
        need.bytes += FRAMES_MEMORY.min(most / 2);
    }
}

/// While matching, at a party with so many rows.
pub(super) fn aligning(facts: &Facts<'_>, rows: u64) -> u64 {
    let all: u64 = facts.sizes.iter().map(|size| size.rows).sum();
    let spokes = facts.sizes.len() as u64 - 1;
    // sets of rows, where customers are matched by several keys
    let further = if facts.spec.align.fallback.is_empty() {
        0
    } else {
        rows / 2
    };
    further
        + ALIGN_MEMORY_PER_MATCH * facts.assumptions.matched
        + match facts.spec.align.method {
            AlignMethod::Curve => {
                let items = [rows, rows, all - rows];
                (0..items.len())
                    .map(|i| (ALIGN_MEMORY[i] * items[i]).min(ALIGN_MEMORY_BUDGET[i]))
                    .sum::<u64>()
            }
            AlignMethod::Vole => {
                let held = ALIGN_VOLE_MEMORY * rows;
                let most = facts.sizes.iter().map(|size| size.rows).max().unwrap_or(0);
                let buckets = ALIGN_VOLE_BUCKET_ITEM * most.max(ALIGN_FRAME_ITEMS);
                held.min(ALIGN_VOLE_MEMORY_BUDGET) + spokes * buckets.min(ALIGN_VOLE_BUCKETS_MEMORY)
            }
        }
}

/// How often a party holds what is dealt: the first as received and as read, another as expanded from its seed.
pub(super) fn dealt_at(position: usize) -> u64 {
    if position == 0 { 2 } else { 1 }
}

/// How often the helper does: as made, as encoded, as sent.
pub(super) const DEALT_AT_HELPER: u64 = 3;

pub(super) fn memory(facts: &Facts<'_>) -> Vec<Memory> {
    if facts.steps == Steps::Sgd {
        return batches::memory(facts);
    }
    let (rows, columns, sampled) = (facts.train_rows, facts.columns, facts.hessian_rows);
    let base = base();
    // The series is dealt a block of rows at a time.
    let dealt = WORD * SERIES_WORDS * u64::from(facts.series.terms) * rows.min(SERIES_ROWS);
    // Masks of some passes: of scores at both ends, of residuals at one.
    let ahead = 3 * passes_ahead(rows);
    let work = WORD * (WORK_WORDS_PER_ROW + ahead) * rows;
    // The Hessian's rows times the slopes, and what is sent and dealt of them; square matrices. Without one, each owner's small
    // matrices.
    let squares: u64 = facts.widths().iter().map(|width| width * width).sum();
    let hessian = match facts.steps {
        Steps::Newton => 3 * WORD * sampled * columns + 16 * WORD * columns * columns,
        Steps::Accelerated | Steps::Sgd => 8 * WORD * squares,
    };
    let parties = facts
        .ids()
        .into_iter()
        .zip(facts.widths())
        .zip(facts.sizes)
        .enumerate();
    let mut list: Vec<_> = parties
        .map(|(position, ((node, width), size))| {
            let aligning = aligning(facts, size.rows);
            let loading = WORD * (facts.assumptions.matched + rows) * width;
            // Own columns as decimals and in fixed point, the peers' masked ones.
            let own = (WORD + STORED_FEATURE) * rows * width;
            let masked = WORD * rows * (columns - width);
            let role = if position == 0 {
                "label party"
            } else {
                "feature party"
            };
            Memory {
                node,
                role: role.to_owned(),
                bytes: base
                    + aligning
                        .max(loading)
                        .max(own + masked + work + hessian + dealt_at(position) * dealt),
            }
        })
        .collect();
    list.push(Memory {
        node: facts.helper().clone(),
        role: "helper".to_owned(),
        bytes: base + work + hessian + DEALT_AT_HELPER * dealt,
    });
    list
}
