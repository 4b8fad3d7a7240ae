//! Of a report, what is special to a network.

use paripassu_job::spec::{Horizontal, Method};
use paripassu_model::report::Solver;
use paripassu_protocol::abort::Abort;

use super::{
    super::{Results, network::NetworkFit, privacy},
    fact, over_all,
};
use crate::run::Run;

pub(super) fn solver(
    run: &Run,
    horizontal: &Horizontal,
    results: &Results,
    fit: &NetworkFit,
) -> Result<Solver, Abort> {
    let banks = run.contract.parties().len();
    let widths = fit.network.widths().iter();
    let widths: Vec<String> = widths.map(ToString::to_string).collect();
    let method = match horizontal.training.as_ref().map(|t| t.method) {
        Some(Method::Fedprox) => "FedProx on masked sums of updates",
        Some(Method::Fedadam) => "FedAdam on masked sums of updates",
        Some(Method::PrivateSgd) => "gradient steps on masked sums with noise",
        _ => "FedAvg on masked sums of updates",
    };
    let mut facts = vec![
        fact("Rounds", fit.rounds.to_string()),
        fact("Widths of layers", widths.join(", ")),
        fact("Parameters", fit.network.parameters().to_string()),
        fact(
            "Banks in the smallest sum",
            format!("{} of {banks}", fit.fewest_banks),
        ),
    ];
    match &fit.guarantee {
        Some(guarantee) => {
            let of = |epsilon: f64| format!("{epsilon:.3} at delta {}", guarantee.delta);
            facts.extend([
                fact(
                    "Training rows of all banks, as the job says",
                    results.joint.rows.to_string(),
                ),
                fact("Epsilon of a training customer", of(guarantee.training)),
                fact("Epsilon of a test customer", of(guarantee.evaluation)),
                fact(
                    "Epsilon of all jobs on this data set",
                    of(privacy::after(run, guarantee)?),
                ),
            ]);
        }
        None => {
            facts.extend([
                fact("Training rows of all banks", results.joint.rows.to_string()),
                fact("Bads among them", results.joint.bads.to_string()),
                fact("Parameters taken after round", fit.best.to_string()),
            ]);
            let best = usize::try_from(fit.best).ok();
            if let Some(loss) = best.and_then(|best| fit.losses.get(best)) {
                facts.push(fact("Joint validation loss then", format!("{loss:.5}")));
            }
        }
    }
    facts.extend(over_all(run, results));
    Ok(Solver {
        model: match horizontal
            .training
            .as_ref()
            .is_some_and(|t| t.personal_last_layer)
        {
            true => "network, horizontal split, each bank its own last layer".into(),
            false => "network, horizontal split".into(),
        },
        method: method.into(),
        l2: Some(run.contract.spec().model.l2.value()),
        l1: None,
        passes: None,
        converged: None,
        sigmoid_terms: None,
        sigmoid_range: None,
        sigmoid_max_error: None,
        fixed_point_bits: fit.frac.and_then(|frac| u32::try_from(frac).ok()),
        facts,
    })
}

/// Who was left out, and the statement of a job with noise.
pub(super) fn notes(run: &Run, fit: &NetworkFit) -> Result<Vec<String>, Abort> {
    let mut notes = Vec::new();
    let parties = run.contract.parties();
    let training = run
        .spec()
        .horizontal
        .as_ref()
        .and_then(|h| h.training.as_ref());
    let groups = training
        .map(|t| t.groups_of(parties.len()))
        .unwrap_or_default();
    for (group, rounds) in groups.iter().zip(&fit.left_out) {
        if *rounds == 0 {
            continue;
        }
        let names: Vec<String> = group
            .iter()
            .filter_map(|place| parties.get(*place).map(ToString::to_string))
            .collect();
        notes.push(format!(
            "The update of {} was left out in {rounds} of {} rounds: one of these banks sends what \
             makes the model worse or is too long, or has a book unlike the others'. Which one, \
             a sum does not show.",
            names.join(", "),
            fit.rounds
        ));
    }
    let refused = fit.refused.iter().filter_map(|place| parties.get(*place));
    for bank in refused {
        notes.push(format!(
            "The updates of {bank} were longer than the job allows, which it could not prove otherwise: from then on \
             the model was trained without it."
        ));
    }
    if let Some(guarantee) = &fit.guarantee {
        let statement = privacy::statement(run, guarantee)?;
        let text = |key: &str| statement[key].as_str().unwrap_or_default().to_owned();
        notes.push(format!(
            "Differential privacy: epsilon {:.3} at delta {}. Unit: {}. Neighbours: {}. Mechanism: {}. \
             Accounting: {}. Trust: {}.",
            guarantee.epsilon,
            guarantee.delta,
            text("unit_of_privacy"),
            text("neighbours"),
            text("mechanism"),
            text("accounting"),
            text("trust_model"),
        ));
        let hazards = statement["hazards"].as_array().into_iter().flatten();
        let hazards: Vec<&str> = hazards.filter_map(|h| h.as_str()).collect();
        notes.push(format!("Not covered by it: {}.", hazards.join("; ")));
    }
    Ok(notes)
}
