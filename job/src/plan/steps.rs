//! What columns that leave the model, or enter it, cost; and the range of a job whose columns may go or come.

use serde::{Deserialize, Serialize};

use super::{
    PartySize, Stage, StepCost,
    cost::{self, Facts},
    gates::{Once, Product},
};
use crate::{
    constants::{self, PRG_BYTES_PER_S, RING_MACS_PER_S, WORD},
    life::State,
    spec::{AutoOr, Spec, Stepwise},
};

/// What a job costs at least and at most, where columns may go or come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extents {
    /// Where none does: what the plan is of.
    pub least: Extent,
    /// Where as many do as the job allows, one by one. Each fit is planned for the usual passes; columns that variance inflation takes
    /// are taken to cost their rounds and then to be fitted all the same; others are taken from the parties in proportion.
    pub most: Extent,
}

/// Costs of a job in which so many columns go or come one by one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extent {
    /// Columns that variance inflation takes.
    pub inflated: u64,
    /// Columns that leave the model, or enter it.
    pub steps: u64,
    /// Rounds of messages.
    pub rounds: u64,
    /// Bytes of all nodes together.
    pub bytes: u64,
    /// Expected time, in seconds.
    pub seconds: f64,
}

impl Extent {
    fn of(inflated: u64, steps: u64, costs: &[StepCost]) -> Self {
        let links = costs.iter().flat_map(|step| &step.links);
        Self {
            inflated,
            steps,
            rounds: costs.iter().map(|step| step.rounds).sum(),
            bytes: links.map(|link| link.bytes).sum(),
            seconds: costs.iter().map(|step| step.seconds).sum(),
        }
    }
}

/// The range of a job whose columns may go or come; `least` are the steps of its plan.
pub(super) fn extents(facts: &Facts<'_>, least: &[StepCost]) -> Option<Extents> {
    let selection = facts.spec.selection.as_ref()?;
    let columns = facts.columns - 1;
    let inflated = selection.max_vif.map_or(0, |_| columns.saturating_sub(1));
    let stepwise = facts.spec.stepwise();
    let steps = stepwise.map_or(0, |stepwise| stepwise.most(columns));
    if inflated + steps == 0 {
        return None;
    }
    let mut costs = cost::before(facts);
    for gone in 1..=inflated {
        let sizes = apportioned(facts.sizes, columns - gone);
        costs.extend(super::selection::round(&sized(facts, facts.spec, &sizes)));
    }
    match stepwise {
        Some(stepwise) => costs.extend(all(facts, stepwise, steps)),
        None => {
            costs.extend(cost::fit(facts));
            costs.extend(cost::after(facts));
        }
    }
    Some(Extents {
        least: Extent::of(0, 0, least),
        most: Extent::of(inflated, steps, &costs),
    })
}

impl Stepwise {
    /// Steps there can be of so many columns.
    fn most(&self, columns: u64) -> u64 {
        match (self.entering(), self.leaving()) {
            // those that left may come back
            (Some(_), Some(_)) if columns > 0 => self.max_steps,
            _ => self.max_steps.min(columns),
        }
    }

    /// Columns in the model after so many steps of one kind.
    fn columns(&self, all: u64, steps: u64) -> u64 {
        match self.entering() {
            Some(_) => steps.min(all),
            None => all - steps.min(all),
        }
    }
}

/// All fits of a job with stepwise selection in which so many steps are made, and what follows.
pub(super) fn all(facts: &Facts<'_>, stepwise: &Stepwise, steps: u64) -> Vec<StepCost> {
    let mut costs = fits(facts, stepwise, steps);
    let last = stepwise.columns(facts.columns - 1, steps);
    let sizes = apportioned(facts.sizes, last);
    costs.extend(cost::after(&sized(facts, facts.spec, &sizes)));
    costs
}

/// The fits, and what is asked between them.
fn fits(facts: &Facts<'_>, stepwise: &Stepwise, steps: u64) -> Vec<StepCost> {
    let mut spec = facts.spec.clone();
    // Hessians at final precision
    spec.outputs.standard_errors = true;
    let all = facts.columns - 1;
    let mut list = Vec::new();
    if stepwise.entering().is_some() {
        list.push(candidates(facts).times(1));
    }
    for step in 0..=steps {
        let columns = stepwise.columns(all, step);
        let sizes = apportioned(facts.sizes, columns);
        let of = sized(facts, &spec, &sizes);
        list.extend(cost::fit(&of));
        if step >= stepwise.max_steps {
            continue;
        }
        if stepwise.leaving().is_some() && columns > 0 {
            list.extend(leaving(&of));
        }
        if stepwise.entering().is_some() && columns < all {
            list.extend(entering(facts, &of));
        }
    }
    list
}

/// The same facts with these columns.
fn sized<'a>(facts: &Facts<'a>, spec: &'a Spec, sizes: &'a [PartySize]) -> Facts<'a> {
    let columns = sizes.iter().map(|size| size.design_columns).sum::<u64>() + 1;
    let rows = facts.train_rows;
    let hessian_rows = match spec.solver.hessian_rows {
        AutoOr::Auto => constants::hessian_rows(rows, columns),
        AutoOr::Is(_) => facts.hessian_rows,
    };
    Facts {
        spec,
        sizes,
        columns,
        hessian_rows: hessian_rows.min(rows),
        ..*facts
    }
}

/// So many columns, of the parties in proportion to what they have.
fn apportioned(sizes: &[PartySize], columns: u64) -> Vec<PartySize> {
    let all: u64 = sizes.iter().map(|size| size.design_columns).sum();
    let mut before = 0;
    let share = |columns_before: u64| columns_before * columns / all.max(1);
    let each = sizes.iter().map(|size| {
        let first = share(before);
        before += size.design_columns;
        PartySize {
            design_columns: share(before) - first,
            ..*size
        }
    });
    each.collect()
}

/// Each owner's columns, scaled by themselves.
fn candidates<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Preparing, "columns that may enter");
    once = once.counted(Stage::Train);
    once.rounds = 2;
    once.broadcast(2 * WORD);
    for (owner, size) in facts.sizes.iter().enumerate() {
        let words = facts.train_rows * size.design_columns;
        once.ask(1);
        once.spread(owner, WORD * words);
        once.take_in(owner, [words]);
        once.waits(owner, 1);
    }
    let widest = facts.sizes.iter().map(|size| size.design_columns).max();
    once.compute_s = (WORD * facts.train_rows * widest.unwrap_or(0)) as f64 / PRG_BYTES_PER_S;
    once
}

/// The positive parts of so many values, whose corrections are asked for at once.
fn cut<'f>(facts: &'f Facts<'f>, step: &'static str, values: u64) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, step);
    once.positive_parts(values);
    once.asked_ahead();
    once.wait_for_helper(1);
    once
}

/// Wald statistics, and which is the least.
fn leaving(facts: &Facts<'_>) -> Vec<StepCost> {
    let n = facts.columns - 1;
    let widths = facts.widths();
    let squares: Vec<u64> = widths.iter().map(|width| width * width).collect();
    let mut units = Once::new(facts, State::Training, "leaving: units");
    units.rounds = 1;
    for (owner, square) in squares.iter().enumerate() {
        units.waits(owner, 0);
        units.ask(2);
        units.spread(owner, 2 * WORD * square);
        units.take_in(owner, [*square, *square]);
    }
    let jobs = |of: fn(u64) -> u64| {
        let widths = widths.iter().enumerate().filter(|(_, width)| **width > 0);
        let product = move |(owner, width): (usize, &u64)| Product {
            owner,
            operand: of(*width),
            output: of(*width),
        };
        widths.map(product).collect::<Vec<_>>()
    };
    let mut coefficients = Once::new(facts, State::Training, "leaving: coefficients");
    coefficients.products(jobs(|width| width));
    coefficients.truncate(&[n]);
    let mut rest = Once::new(facts, State::Training, "leaving: statistics");
    rest.entrywise(n);
    rest.truncate(&[n]);
    rest.products(jobs(|width| width * width));
    let blocks: Vec<u64> = squares.iter().copied().filter(|s| *s > 0).collect();
    rest.truncate(&blocks);
    rest.products(jobs(|width| width * width));
    rest.truncate(&[n]);
    rest.matmul(n, 1, n);
    rest.grouped_signs(n, n);
    rest.rounds += 1;
    rest.broadcast(WORD * n);
    vec![
        units.times(1),
        coefficients.times(1),
        cut(facts, "leaving: cut", 2 * n).times(1),
        rest.times(1),
    ]
}

/// Score statistics of the columns that are not in the model, and which is the greatest; `all` has every column, `facts` those
/// in the model.
fn entering(all: &Facts<'_>, facts: &Facts<'_>) -> Vec<StepCost> {
    let (rows, m, d) = (facts.train_rows, facts.hessian_rows, facts.columns);
    let n = all.columns - facts.columns;
    let candidates: Vec<u64> = all.sizes.iter().map(|size| size.design_columns).collect();
    let widths = facts.widths();
    let mut curvature = Once::new(facts, State::Training, "entering: curvature");
    let slopes = candidates.iter().enumerate();
    curvature.products(slopes.map(|(owner, width)| Product {
        owner,
        operand: rows,
        output: *width,
    }));
    curvature.weighted(m, &candidates);
    let in_model = widths.iter().enumerate().filter(|(_, width)| **width > 0);
    let mixed: Vec<Product> = in_model
        .flat_map(|(owner, width)| {
            let each = candidates.iter().filter(|c| **c > 0);
            each.map(move |c| Product {
                owner,
                operand: m * c,
                output: width * c,
            })
        })
        .collect();
    let lengths: Vec<u64> = [n, n]
        .into_iter()
        .chain(mixed.iter().map(|job| job.output))
        .collect();
    curvature.products(mixed);
    curvature.truncate(&lengths);
    curvature.matmul(n, d, d);
    curvature.matmul(n, d, 1);
    curvature.truncate(&[n * d, n]);
    curvature.entrywise(n * d);
    curvature.truncate(&[n, n, n]);
    let columns = all.columns - 1;
    curvature.compute_s = (2 * (rows + m * d) * columns) as f64 / RING_MACS_PER_S
        + (2 * WORD * m * columns) as f64 / PRG_BYTES_PER_S;
    let mut rest = Once::new(facts, State::Training, "entering: statistics");
    rest.entrywise(n);
    rest.entrywise(n);
    rest.truncate(&[n, n]);
    rest.matmul(n, 1, n);
    rest.grouped_signs(n, n + 1);
    rest.rounds += 1;
    rest.broadcast(WORD * n);
    vec![
        curvature.times(1),
        cut(facts, "entering: cut", 2 * n).times(1),
        cut(facts, "entering: share", n).times(1),
        rest.times(1),
    ]
}
