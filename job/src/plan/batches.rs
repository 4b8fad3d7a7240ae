//! What training by mini-batches costs: exactly what the protocol sends.

use super::{
    Memory, Plan, Stage, StepCost,
    cost::Facts,
    gates::{Once, within},
    memory,
};
use crate::{
    constants::{
        BATCH_AHEAD, BATCH_TERMS_PER_S, FEATURE_CHUNK, FEW_BATCHES, MOST_BATCH_COLUMNS,
        NARROW_CHUNK, NARROW_MACS_PER_S, NARROW_WORD, PHASE, PRG_BYTES_PER_S, WORD, batch_terms,
        looked_at_of_batches,
    },
    life::State,
    spec::{SolverMethod, Spec},
};

/// Bytes of a whitened feature as its owner holds it.
const FEATURE: u64 = 2;

/// Sizes of a training.
struct Sizes<'f> {
    facts: &'f Facts<'f>,
    widths: Vec<u64>,
    epochs: u64,
    batches: u64,
    ridge: bool,
}

/// The steps of all ranges that were tried: one, where a run has not found out that it takes another.
pub(super) fn steps(facts: &Facts<'_>) -> Vec<StepCost> {
    let solver = &facts.spec.solver;
    let sizes = Sizes {
        facts,
        widths: facts.widths(),
        epochs: solver.batches.epochs,
        batches: solver.batches.of_rows(facts.train_rows),
        ridge: facts.spec.model.l2.value() > 0.0,
    };
    let tried = (facts.passes.all() / sizes.epochs.max(1)).max(1);
    let ranges: Vec<u32> = solver.ranges().into_iter().take(tried as usize).collect();
    let attempts = ranges.len() as u64;
    let mut steps = vec![sizes.features().times(1)];
    steps.push(StepCost {
        times: attempts * sizes.groups().len() as u64,
        ..sizes.masks(attempts).times(1)
    });
    for range in ranges {
        steps.push(StepCost {
            times: sizes.epochs * sizes.batches,
            ..sizes.batches(range).times(1)
        });
    }
    steps.push(sizes.end_of_epoch().times(attempts * sizes.epochs));
    steps.push(sizes.within_range().times(attempts));
    steps
}

/// Passes whose masks are made together, of so many rows and, in all batches of a pass, so many columns.
fn ahead(rows: u64, columns: u64) -> u64 {
    (BATCH_AHEAD / rows.max(columns).max(1)).max(1)
}

/// Columns of all batches of a pass, if they are more than masks are made of at once.
pub(super) fn too_many(spec: &Spec, train_rows: u64, columns: u64) -> Option<u64> {
    let all = spec
        .solver
        .batches
        .of_rows(train_rows)
        .saturating_mul(columns);
    (spec.solver.method == SolverMethod::Sgd && all > MOST_BATCH_COLUMNS).then_some(all)
}

impl<'f> Sizes<'f> {
    fn columns(&self) -> u64 {
        self.facts.columns
    }

    /// Lengths of the groups of passes whose masks are made together.
    fn groups(&self) -> Vec<u64> {
        let most = ahead(self.facts.train_rows, self.batches * self.columns());
        let mut left = self.epochs;
        let mut groups = Vec::new();
        while left > 0 {
            let next = left.min(most);
            groups.push(next);
            left -= next;
        }
        groups
    }

    /// To each owner of columns, a word for each of them from every other party.
    fn to_owners(&self, once: &mut Once<'_>, word: u64, times: u64) {
        for (owner, width) in self.widths.iter().enumerate() {
            once.gather(owner, word * width * times);
        }
    }

    /// Each owner's masked columns to the others, and its ridge.
    fn features(&self) -> Once<'f> {
        let facts = self.facts;
        let mut once = Once::new(facts, State::Preparing, "masked features").counted(Stage::Train);
        let (rows, parties) = (facts.train_rows, self.widths.len());
        once.rounds = 1;
        once.broadcast(2 * WORD);
        (0..parties).for_each(|party| once.waits(party, 1));
        let both = if self.ridge { 2 } else { 1 };
        once.ask(both * parties as u64);
        let mut words = 0;
        for (owner, width) in self.widths.iter().enumerate() {
            let small = if self.ridge { width * width } else { 0 };
            once.spread(owner, NARROW_WORD * rows * width + WORD * small);
            let chunks = (rows * width).div_ceil(NARROW_CHUNK) + small.div_ceil(FEATURE_CHUNK);
            for party in (0..parties).filter(|party| *party != owner) {
                once.waits(party, chunks);
            }
            if owner > 0 {
                once.rounds += chunks;
            }
            words += rows * width;
        }
        let widest = self.widths.iter().max().copied().unwrap_or(0);
        once.compute_s = (2 * WORD * words) as f64 / PRG_BYTES_PER_S
            + (rows * widest * widest) as f64 / NARROW_MACS_PER_S;
        once
    }

    /// Masks of the gradients of all passes, in so many attempts: the first of each is waited for.
    fn masks(&self, attempts: u64) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "masks for some passes");
        once.rounds = attempts;
        once.ask(attempts * self.groups().len() as u64);
        for (owner, width) in self.widths.iter().enumerate() {
            let words = attempts * self.epochs * self.batches * width;
            once.helper_sends(owner, NARROW_WORD * words);
        }
        let cells = attempts * self.epochs * self.facts.train_rows * self.columns();
        once.compute_s = (2 * cells) as f64 / NARROW_MACS_PER_S
            + (WORD * cells) as f64 / PRG_BYTES_PER_S / self.epochs.max(1) as f64;
        once
    }

    /// First row of a batch.
    fn first_row(&self, batch: u64) -> u64 {
        let at = u128::from(batch) * u128::from(self.facts.train_rows);
        (at / u128::from(self.batches.max(1))) as u64
    }

    /// All batches of all passes of a range: phases with what cuts the batch before, and residuals with the weights of the next.
    fn batches(&self, range: u32) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "batches");
        let (rows, parties) = (self.facts.train_rows, self.widths.len() as u64);
        let terms = u64::from(batch_terms(range));
        let (epochs, batches) = (self.epochs, self.batches);
        let cut = 2 * WORD * self.columns();
        once.rounds = 2 * epochs * batches;
        once.broadcast(epochs * ((PHASE + NARROW_WORD) * rows + (batches - 1) * cut));
        self.to_owners(&mut once, NARROW_WORD, epochs * (batches - 1));
        // which party is sent the corrections changes from batch to batch, anew in each group of passes
        let mut corrected = vec![0; self.widths.len()];
        for within in self.groups().into_iter().flat_map(|epochs| 0..epochs) {
            for batch in 0..batches {
                let m = self.first_row(batch + 1) - self.first_row(batch);
                let cuts = if batch > 0 { 2 * cut } else { 0 };
                let to = ((within + batch) % parties) as usize;
                corrected[to] += 2 * NARROW_WORD * terms * m + cuts;
            }
        }
        for (to, bytes) in corrected.into_iter().enumerate() {
            once.helper_sends(to, bytes);
        }
        once.compute_s = (epochs * rows * terms) as f64 / BATCH_TERMS_PER_S
            + (2 * epochs * rows * self.columns()) as f64 / NARROW_MACS_PER_S;
        once
    }

    /// The weights before the first batch of a pass, the cut after its last, and what the ridge takes.
    fn end_of_epoch(&self) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "ends of passes");
        let d = self.columns();
        // terms and both cuts
        once.ask(3);
        once.rounds += 2;
        self.to_owners(&mut once, NARROW_WORD, 1);
        once.broadcast(2 * WORD * d);
        once.helper_sends(0, 4 * WORD * d);
        if self.ridge {
            once.ask(2 + self.widths.len() as u64);
            once.rounds += 3;
            once.broadcast(2 * WORD * d);
            self.to_owners(&mut once, WORD, 1);
            for (owner, width) in self.widths.iter().enumerate() {
                once.helper_sends(owner, WORD * width);
            }
            once.helper_sends(0, 4 * WORD * d);
        }
        once
    }

    /// Whether weights, and the scores of the first rows, lie within their range.
    fn within_range(&self) -> Once<'f> {
        let mut once = Once::new(self.facts, State::Training, "within range?");
        let rows = looked_at_of_batches(self.facts.train_rows);
        once.truncate(&[self.columns()]);
        once.products(self.facts.each(|width| (width, rows)));
        once.all_negative(&[within(rows + self.columns())]);
        once.announced_bit();
        once
    }
}

/// Memory of each node at its peak.
pub(super) fn memory(facts: &Facts<'_>) -> Vec<Memory> {
    let (rows, columns) = (facts.train_rows, facts.columns);
    let of = &facts.spec.solver.batches;
    let batches = of.of_rows(rows);
    let longest = rows.div_ceil(batches);
    let ahead = ahead(rows, batches * columns).min(of.epochs);
    let dealt = 2 * WORD * u64::from(facts.series.terms) * longest;
    // masks of the scores of some passes; of their gradients
    let work = WORD * (ahead * rows + 2 * ahead * batches * columns);
    let base = memory::base();
    let parties = facts.ids().into_iter().zip(facts.widths()).zip(facts.sizes);
    let mut list: Vec<Memory> = parties
        .enumerate()
        .map(|(position, ((node, width), size))| {
            let loading = WORD * (facts.assumptions.matched + rows) * width;
            let own = (WORD + FEATURE) * rows * width;
            let masked = WORD * rows * (columns - width);
            let role = match position {
                0 => "label party",
                _ => "feature party",
            };
            let training = own + masked + work + 2 * dealt;
            Memory {
                node,
                role: role.to_owned(),
                bytes: base
                    + memory::aligning(facts, size.rows)
                        .max(loading)
                        .max(training),
            }
        })
        .collect();
    list.push(Memory {
        node: facts.helper().clone(),
        role: "helper".to_owned(),
        bytes: base + work + memory::DEALT_AT_HELPER * dealt,
    });
    list
}

/// What to think about where there are few steps.
pub(super) fn warning(spec: &Spec, plan: &Plan) -> Option<String> {
    let epochs = spec.solver.batches.epochs;
    let steps = epochs * plan.batches;
    (steps < FEW_BATCHES).then(|| {
        let wanted = FEW_BATCHES.div_ceil(epochs);
        let batch = (plan.train_rows / wanted).max(64);
        format!(
            "{} passes of {} batches are {steps} steps, fewer than the {FEW_BATCHES} by which mini-batches usually end within a standard \
                error of the optimum: set solver.batch = {batch} or less, raise solver.epochs, or take solver.method = \"newton\"",
            epochs, plan.batches
        )
    })
}
