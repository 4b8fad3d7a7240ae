//! What matching customers costs.

use super::{cost::Facts, gates::Once, vole};
use crate::{
    constants::{
        ALIGN_ANNOUNCED, ALIGN_FIXED, ALIGN_HELD, ALIGN_ITEM, ALIGN_MASKS_PER_S, ALIGN_MIN_PADDING,
        ALIGN_RETURN, ALIGN_ROUNDS, CORES,
    },
    life::State,
    spec::{AlignMethod, OverlapOf},
};

/// Items of all frames of a party with so many rows.
fn framed(rows: u64, step: u64) -> u64 {
    (rows + ALIGN_MIN_PADDING).div_ceil(step) * step
}

/// Matching, by the method that the job names.
pub(super) fn align<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Aligning, "match customers");
    once.opening();
    let step = facts.spec.align.size_step.max(1);
    let items: Vec<_> = facts
        .sizes
        .iter()
        .map(|size| framed(size.rows, step))
        .collect();
    if facts.spec.align.resume.is_some() {
        // what each still holds; how much of the match is left, nobody knows before
        once.broadcast(ALIGN_HELD);
        once.rounds += 1;
        (0..items.len()).for_each(|party| once.waits(party, items.len() as u64 - 1));
    }
    let any = facts.spec.overlap.as_ref().map(|overlap| overlap.of) == Some(OverlapOf::Any);
    // each key is matched by with as many items as the first, whatever is left
    for key in 0..facts.spec.keys().len() {
        let spokes = 1..items.len();
        match facts.spec.align.method {
            AlignMethod::Vole if items.len() > 2 && !any => vole::star(&mut once, &items, key == 0),
            AlignMethod::Curve if facts.spec.sizes_only() => sizes(&mut once, &items, step),
            AlignMethod::Curve => spokes.for_each(|spoke| curve(&mut once, &items, step, spoke)),
            AlignMethod::Vole => spokes.for_each(|spoke| vole::align(&mut once, &items, spoke)),
        }
    }
    if any {
        // whether there are enough of all pairs together
        for spoke in 1..items.len() {
            once.send(0, spoke, 1);
            once.waits(spoke, 1);
        }
        once.rounds += 1;
    }
    once
}

/// Party 0 and another one mask their own ids and the other's masked ids.
fn curve(once: &mut Once<'_>, items: &[u64], step: u64, other: usize) {
    once.rounds += ALIGN_ROUNDS;
    let both = items[0] + items[other];
    for (from, to) in [(0, other), (other, 0)] {
        let bytes = ALIGN_FIXED + ALIGN_ITEM * items[from] + ALIGN_RETURN * (both - items[from]);
        once.send(from, to, bytes);
        // agreement, every frame of either, comparison
        once.waits(from, 2 + both / step);
    }
    once.compute_s += both as f64 / (ALIGN_MASKS_PER_S * CORES);
}

/// Both send their masked ids to each other, and what they got, masked again, to the helper, which counts.
fn sizes(once: &mut Once<'_>, items: &[u64], step: u64) {
    let &[one, two] = items else { return };
    once.rounds += ALIGN_ROUNDS + 2;
    for (from, own, other) in [(0, one, two), (1, two, one)] {
        once.send(from, 1 - from, ALIGN_FIXED + ALIGN_ITEM * own);
        once.tell_helper(from, ALIGN_ANNOUNCED + ALIGN_RETURN * other);
        // agreement, every frame of either, comparison; the helper's word for most frames, and the bucket
        let taken = (other / step).saturating_sub(2);
        once.waits(from, 2 + (own + other) / step + taken + 1);
    }
    once.helper_tells(1);
    once.compute_s += (one + two) as f64 / (ALIGN_MASKS_PER_S * CORES);
}
