//! Memory of each node at its peak, where the job settles in the first range.

use super::{Memory, cost::Facts};
use crate::{
    constants::{
        ALIGN_MEMORY, ALIGN_MEMORY_BUDGET, ALIGN_MEMORY_PER_MATCH, ALIGN_VOLE_BUCKETS_MEMORY,
        ALIGN_VOLE_MEMORY, ALIGN_VOLE_MEMORY_BUDGET, FRAMES_MEMORY, NODE_MEMORY, SERIES_ROWS,
        SERIES_WORDS, STORED_FEATURE, WORD, WORK_WORDS_PER_ROW, passes_ahead,
    },
    spec::AlignMethod,
};

/// A node that does nothing much.
pub(super) fn base() -> u64 {
    NODE_MEMORY + FRAMES_MEMORY
}

/// While matching, at a party with so many rows.
pub(super) fn aligning(facts: &Facts<'_>, rows: u64) -> u64 {
    let all: u64 = facts.sizes.iter().map(|size| size.rows).sum();
    let spokes = facts.sizes.len() as u64 - 1;
    ALIGN_MEMORY_PER_MATCH * facts.assumptions.matched
        + match facts.spec.align.method {
            AlignMethod::Curve => {
                let items = [rows, rows, all - rows];
                (0..items.len())
                    .map(|i| (ALIGN_MEMORY[i] * items[i]).min(ALIGN_MEMORY_BUDGET[i]))
                    .sum::<u64>()
            }
            AlignMethod::Vole => {
                let held = ALIGN_VOLE_MEMORY * rows;
                held.min(ALIGN_VOLE_MEMORY_BUDGET) + spokes * ALIGN_VOLE_BUCKETS_MEMORY
            }
        }
}

pub(super) fn memory(facts: &Facts<'_>) -> Vec<Memory> {
    let (rows, columns, sampled) = (facts.train_rows, facts.columns, facts.hessian_rows);
    let base = base();
    // The series is dealt a block of rows at a time: as made, as sent, as read.
    let dealt = 3 * WORD * SERIES_WORDS * u64::from(facts.series.terms) * rows.min(SERIES_ROWS);
    // Masks of some passes: of scores at both ends, of residuals at one.
    let ahead = 3 * passes_ahead(rows);
    let work = WORD * (WORK_WORDS_PER_ROW + ahead) * rows + dealt;
    // The Hessian's rows times the slopes, and what is sent and dealt of them; square matrices.
    let hessian = 3 * WORD * sampled * columns + 16 * WORD * columns * columns;
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
                bytes: base + aligning.max(loading).max(own + masked + work + hessian),
            }
        })
        .collect();
    list.push(Memory {
        node: facts.helper().clone(),
        role: "helper".to_owned(),
        bytes: base + work + hessian,
    });
    list
}
