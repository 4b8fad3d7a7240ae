//! What it costs to keep a training's states, and to go on from one.

use super::{StepCost, cost::Facts, gates::Once};
use crate::{
    constants::{ACCELERATED_PASSES_PER_BIT, DIGEST, POINTS_HELD},
    life::State,
    spec::Steps,
};

impl Facts<'_> {
    /// How often a logistic regression keeps its state: not after the pass that settles.
    fn states_kept(&self) -> u64 {
        let every = match self.steps {
            Steps::Newton => 1,
            Steps::Accelerated => ACCELERATED_PASSES_PER_BIT,
            Steps::Sgd => return 0,
        };
        let passes = self.after + self.passes.all();
        (passes.saturating_sub(1) / every).saturating_sub(self.after / every)
    }
}

/// The heads of all transcripts, by which the parties name a state.
pub(super) fn kept<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "state kept");
    once.rounds = 1;
    once.broadcast(DIGEST);
    once
}

/// Which points of an aborted job each party holds.
fn held<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "states held");
    once.opening();
    once.rounds = 1;
    once.broadcast(POINTS_HELD * (4 + DIGEST));
    once
}

/// Shares made anew, and kept once more.
fn goes_on<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "training goes on");
    once.rounds = 2;
    once.broadcast(2 * DIGEST);
    once
}

/// What it costs to find a state to go on from, where the job goes on with another.
pub(super) fn found(facts: &Facts<'_>) -> Vec<StepCost> {
    if facts.spec.align.resume.is_none() || facts.spec.kept_points().is_none() {
        return Vec::new();
    }
    let went_on = u64::from(!facts.is_taken || facts.after > 0);
    vec![held(facts).times(1), goes_on(facts).times(went_on)]
}

/// The same and states kept, of a logistic regression.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    if facts.spec.kept_points().is_none() {
        return Vec::new();
    }
    let mut steps = found(facts);
    steps.push(kept(facts).times(facts.states_kept()));
    steps
}
