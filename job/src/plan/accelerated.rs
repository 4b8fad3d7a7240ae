//! What accelerated steps cost, and which steps a fit takes where the job leaves it open.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Assumptions, PartySize, StepCost,
    cost::{self, Facts},
    duration,
    gates::Once,
};
use crate::{
    life::State,
    spec::{SolverMethod, Spec, Steps},
};

/// The way of all weights: where it leads uphill, momentum is dropped; `asked`, whether it was a small one.
pub(super) fn accelerated_step<'f>(facts: &'f Facts<'f>, asked: bool) -> Once<'f> {
    let step = if asked {
        "accelerated step, asked"
    } else {
        "accelerated step"
    };
    let mut once = Once::new(facts, State::Training, step);
    let d = facts.columns;
    let moved = [d, d];
    once.truncate(if asked { &moved } else { &moved[1..] });
    once.matmul(1, d, 1);
    once.not_negative(1);
    once.entrywise(d);
    once.truncate(&[d]);
    once.asked_ahead();
    once
}

/// Whether no coefficient moved more than the tolerance.
pub(super) fn still<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "settled?");
    once.products(facts.each(|width| (width, width)));
    once.all_negative(&[(2 * facts.columns, 64)]);
    once.announced_bit();
    once
}

/// The steps of so many passes, `asked` of which end with the question whether training has settled.
pub(super) fn steps(facts: &Facts<'_>, passes: u64, asked: u64) -> Vec<StepCost> {
    vec![
        accelerated_step(facts, false).times(passes - asked.min(passes)),
        accelerated_step(facts, true).times(asked),
        still(facts).times(asked),
    ]
}

/// Which steps a fit takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// The steps taken.
    pub steps: Steps,
    /// Seconds that the fit is expected to take, where the job leaves it open and both can be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<ComparedSteps>,
}

/// Expected seconds of a fit that settles in the first range, on the link that the job names, or one of 1 Gbit/s and 1 ms: what is
/// chosen follows from the job and the sizes of its data alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedSteps {
    /// By Newton's steps.
    pub newton: f64,
    /// By accelerated ones.
    pub accelerated: f64,
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Newton => "Newton's steps",
            Self::Accelerated => "accelerated steps",
            Self::Sgd => "mini-batches",
        })
    }
}

impl Chosen {
    /// Why these.
    pub fn why(&self, spec: &Spec) -> String {
        if spec.solver.method != SolverMethod::Auto {
            return "named in the job".to_owned();
        }
        let Some(compared) = self.compared else {
            let needs = spec.needs_a_hessian();
            let why = needs.first().map_or("", |(_, why)| why);
            return format!("by solver.method = \"auto\", since {why}");
        };
        format!(
            "by solver.method = \"auto\": training by accelerated steps is expected to take {}, by Newton's {}, at {}",
            duration(compared.accelerated),
            duration(compared.newton),
            Assumptions::usual(spec).link()
        )
    }
}

/// Which steps the fit of a job takes, with so many training rows and design columns of each party, by position and without the
/// intercept. Every party finds out the same.
pub fn choose(spec: &Spec, train_rows: u64, design_columns: &[u64]) -> Chosen {
    let named = |steps| Chosen {
        steps,
        compared: None,
    };
    match spec.solver.method {
        SolverMethod::Newton => return named(Steps::Newton),
        SolverMethod::Accelerated => return named(Steps::Accelerated),
        SolverMethod::Sgd => return named(Steps::Sgd),
        SolverMethod::Auto if !spec.needs_a_hessian().is_empty() => return named(Steps::Newton),
        SolverMethod::Auto => {}
    }
    let sizes: Vec<PartySize> = design_columns
        .iter()
        .map(|columns| PartySize {
            rows: train_rows,
            design_columns: *columns,
        })
        .collect();
    let assumptions = Assumptions {
        matched: train_rows,
        ..Assumptions::usual(spec)
    };
    let seconds = |steps| {
        let sizes = (train_rows, 0, &sizes[..]);
        let facts = Facts::of(spec, &assumptions, sizes, steps, None);
        cost::fit(&facts).iter().map(|step| step.seconds).sum()
    };
    let compared = ComparedSteps {
        newton: seconds(Steps::Newton),
        accelerated: seconds(Steps::Accelerated),
    };
    Chosen {
        steps: match compared.accelerated < compared.newton {
            true => Steps::Accelerated,
            false => Steps::Newton,
        },
        compared: Some(compared),
    }
}
