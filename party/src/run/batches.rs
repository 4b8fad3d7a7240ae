//! A logistic regression by mini-batches: what is asked of the protocol, and what the report says of it.

use paripassu_job::spec::{AutoOr, Spec};
use paripassu_model::report::{Fact, Solver};
use paripassu_protocol::{
    abort::Abort,
    ctx::Cost,
    vertical::sgd::{SgdFacts, SgdSpec, points::Points},
};

use super::own;

/// What the protocol is asked for by a checked job.
///
/// # Errors
/// If a number does not fit this machine.
pub fn spec(spec: &Spec) -> Result<SgdSpec, Abort> {
    let of = &spec.solver.batches;
    Ok(SgdSpec {
        l2: spec.model.l2.value(),
        epochs: usize::try_from(of.epochs).map_err(own)?,
        batch: usize::try_from(of.batch).map_err(own)?,
        rate: of.rate.value(),
        momentum: of.momentum.value(),
        seed: of.seed,
        range: match spec.solver.range {
            AutoOr::Auto => None,
            AutoOr::Is(range) => Some(range),
        },
    })
}

/// Of how the passes of a fit by mini-batches went.
pub(super) const NOTE: &str = "Wall time of each pass. No loss and no step is opened: all passes that the job names are made, and \
     one bit for each range tried says whether weights and scores lie within it.";

/// What to know of the coefficients.
pub(super) const NEAR: &str = "Fitted by mini-batches, which end near the optimum of the penalised likelihood and not at it: \
     coefficients may be off by a part of their standard errors, in measured settings by at most 0.3 to 1.3 of them, and predictions \
     by little. Do not test coefficients with them; for the optimum set solver.method = \"newton\".";

/// How it was trained.
pub(super) fn solver(spec: &Spec, f: &SgdFacts, train: &Cost) -> Solver {
    let fact = |name: &str, value: String| Fact {
        name: name.into(),
        value,
    };
    let of = &spec.solver.batches;
    Solver {
        model: "logistic regression, vertical split".into(),
        method: "mini-batches on shares (gradient descent with momentum), columns whitened by their owners; ends near the \
                 optimum, not at it"
            .into(),
        l2: Some(spec.model.l2.value()),
        l1: None,
        passes: u32::try_from(f.epochs).ok(),
        converged: None,
        sigmoid_terms: u32::try_from(f.terms).ok(),
        sigmoid_range: Some(f.range),
        sigmoid_max_error: Some(f.sigmoid_error),
        fixed_point_bits: Some(Points::weight(f.range as u32)),
        facts: vec![
            fact("Batches of a pass", f.batches.to_string()),
            fact(
                "Rate, momentum",
                format!("{} for half of the passes, then falling to a 16th; {}", of.rate, of.momentum),
            ),
            fact("Public seed of the order of rows", of.seed.to_string()),
            fact(
                "Fraction bits of residuals",
                f.points.residual.iter().sum::<u32>().to_string(),
            ),
            fact("Rounds of training", train.rounds.to_string()),
            fact(
                "Training bytes sent by this party",
                train.bytes_sent.to_string(),
            ),
            fact(
                "Training bytes received by this party",
                train.bytes_received.to_string(),
            ),
        ],
    }
}
