//! What an L1 penalty and signs of coefficients cost beside a Newton step.

use super::{cost::Facts, gates::Once};
use crate::{constants::PROXIMAL_STEPS, life::State};

/// The inverse of a Hessian multiplied with each owner's small matrix from both sides.
pub(super) fn proximal_inverse<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "penalty: inverse");
    let d = facts.columns;
    for cut in [d * d, (d - 1) * (d - 1)] {
        once.products(facts.each(|width| (width * d, width * d)));
        once.truncate(&[cut]);
    }
    once
}

/// What comes before and after the iterations for a penalty and signs.
pub(super) fn proximal_step<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "penalty: step");
    let d = facts.columns;
    for cut in [d - 1, d, d - 1, d] {
        once.products(facts.each(|width| (width, width)));
        once.truncate(&[cut]);
    }
    once.matmul(d, d, 1);
    once.truncate(&[d]);
    once
}

/// The iterations of a pass for a penalty and signs, whose corrections are asked for with the first one's.
pub(super) fn proximal_iterations<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "penalty: iterations");
    let columns = facts.columns - 1;
    for step in 0..PROXIMAL_STEPS {
        if step > 0 {
            once.matmul(columns, columns, 1);
        }
        once.truncate(&[columns, columns]);
        once.positive_parts(2 * columns);
    }
    once.asked_ahead();
    // for the first correction of all
    once.wait_for_helper(1);
    once
}
