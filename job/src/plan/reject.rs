//! What inferring the outcome of declined applicants costs: a second fit, begun where the first has ended, and what is made of the
//! first between the two.

use super::{
    StepCost, accelerated,
    cost::{
        Facts, coefficients, gradient, hessian, inverse_begun, inverse_step, masks_ahead,
        newton_step, range_check, scores, settled,
    },
    gates::{Once, Product},
    held::{proximal_inverse, proximal_iterations, proximal_step},
    passes::Passes,
};
use crate::{
    constants::{RING_MACS_PER_S, WORD, passes_ahead},
    life::State,
    spec::Steps,
};

/// Scores that are made beside those of passes: to look for the range, and with the factor.
const MORE_SCORES: u64 = 2;

/// The steps of the second fit; `groups` are those of masks that the first has taken.
pub(super) fn steps(facts: &Facts<'_>, second: Passes, groups: u64) -> Vec<StepCost> {
    let Some(asked) = &facts.spec.reject_inference else {
        return Vec::new();
    };
    let (coarse, fine) = (facts.series.coarse_terms, facts.series.terms);
    let (early, last) = facts.hessians_of(second, true);
    let inverses = early * facts.iterations(facts.coarse_hessian_rows())
        + last * facts.iterations(facts.hessian_rows);
    let all =
        (facts.passes.all() + second.all() + MORE_SCORES).div_ceil(passes_ahead(facts.train_rows));
    let mut steps = vec![
        declared(facts).times(1),
        range_check(facts).times(1),
        inferred(facts).times(1),
        rate(facts).times(1),
        masks_ahead(facts).times(all.saturating_sub(groups)),
        gradient(
            facts,
            "second fit: gradient, early passes",
            Some(coarse),
            false,
        )
        .times(second.coarse),
        gradient(facts, "second fit: gradient, last passes", Some(fine), true).times(second.fine),
    ];
    match facts.steps {
        Steps::Accelerated | Steps::Sgd => {
            steps.extend(accelerated::steps(facts, second.all(), second.tests));
        }
        Steps::Newton => steps.extend([
            hessian(
                facts,
                "second fit: Hessian",
                facts.coarse_hessian_rows(),
                Some(false),
            )
            .times(early),
            hessian(
                facts,
                "second fit: Hessian, last passes",
                facts.hessian_rows,
                Some(true),
            )
            .times(last),
            inverse_begun(facts).times(early + last),
            inverse_step(facts).times(inverses),
            newton_step(facts).times(second.all()),
            proximal_inverse(facts).times(facts.held(early + last)),
            proximal_step(facts).times(facts.held(second.all())),
            proximal_iterations(facts).times(facts.held(second.all())),
            settled(facts).times(second.tests),
        ]),
    }
    steps.push(range_check(facts).times(1));
    if asked.compare {
        steps.push(coefficients(facts).times(1));
        if facts.spec.outputs.scores.is_some() {
            steps.push(scores(facts).times(1));
        }
    }
    steps.retain(|step| step.times > 0);
    steps
}

/// What rows weigh in the second fit, and which are declined.
fn declared<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "declined rows");
    once.rounds = 2;
    for owner in facts.weighing(false).chain([0]) {
        once.ask(1);
        once.spread(owner, WORD * facts.train_rows);
    }
    once
}

/// Probabilities of bad with the factor, of the rows that are marked.
fn inferred<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "inferred outcomes");
    let rows = facts.train_rows;
    let margins = facts.widths().into_iter().enumerate();
    let margins = margins.map(|(owner, width)| Product {
        owner,
        operand: width,
        output: rows,
    });
    once.made(margins, []);
    once.sigmoid(rows, facts.series.terms.into(), true);
    once.cut(rows, true);
    once.weigh(rows, [0]);
    once.compute_s = (4 * rows * facts.columns) as f64 / RING_MACS_PER_S;
    once
}

/// Their sum, to the label party where there are enough.
fn rate<'f>(facts: &'f Facts<'f>) -> Once<'f> {
    let mut once = Once::new(facts, State::Training, "inferred rate");
    once.column(0, 1, 1);
    once.truncate(&[1]);
    once.rounds += 1;
    once.gather(0, WORD);
    once.announced_bit();
    once
}

#[cfg(test)]
mod tests {
    use crate::{
        plan::{Assumptions, plan},
        spec::of_declined,
    };

    #[test]
    fn a_second_fit_is_planned_and_who_is_declined_is_never_learnt() {
        let with = of_declined();
        let label = with.label_party().unwrap().id.clone();
        let mut spec = with.clone();
        spec.reject_inference = None;
        let without = plan(&spec, &Assumptions::usual(&spec)).unwrap();
        let with = plan(&with, &Assumptions::usual(&with)).unwrap();
        assert_eq!(with.passes, without.passes + 6);
        assert_eq!(with.max_passes, 2 * without.max_passes);
        assert!(with.bytes > without.bytes && with.rounds > without.rounds);
        let of = |plan: &crate::plan::Plan| plan.disclosures.len();
        assert_eq!(of(&with), of(&without) + 1);
        for learns in with.learns.iter().take(2) {
            let is_label = learns.who.to_string() == format!("party:{label}");
            assert!(learns.never.contains("declined"), "{}", learns.never);
            let rate = learns
                .learns
                .iter()
                .any(|i| i.id.to_string() == "reject.rate");
            assert_eq!(rate, is_label);
        }
        // what is declared is read back
        for id in [
            "reject.rate",
            "reject.scores",
            "reject.coefficients.bank",
            "binning.goods.bank",
        ] {
            let read: crate::DisclosureId = id.parse().unwrap();
            assert_eq!(read.to_string(), id);
        }
    }
}
