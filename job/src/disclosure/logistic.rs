//! What the training of a logistic regression opens.

use super::{Audience, Disclosure, DisclosureId, Shape, reject};
use crate::{
    decimal::Decimal,
    spec::{Party, SolverMethod, Spec, Stop},
};

/// What the bit says that tells whether training has settled.
fn settled(method: SolverMethod, stop: Stop) -> String {
    let newton = "no coefficient moved more than the tolerance";
    let inverse = "and the inverse behind the step was exact enough.";
    let way = "no coefficient moved more than a quarter of the tolerance in four passes";
    let (before, says) = match (method, stop) {
        (SolverMethod::Newton, Stop::Bit) => (
            "After each pass from the third on",
            format!("{newton} (at first a coarse one) {inverse}"),
        ),
        (SolverMethod::Accelerated, Stop::Bit) => (
            "After every fourth pass",
            format!("{way} (at first of a coarse one)."),
        ),
        (SolverMethod::Auto, _) => (
            "After each pass of Newton's steps from the third on, or every fourth pass of accelerated ones (which are taken follows from the training \
                rows and each party's number of columns)",
            format!("{newton} (at first a coarse one) {inverse} Of accelerated steps: {way}."),
        ),
        (SolverMethod::Newton, Stop::Fixed) => (
            "After the last pass of each range tried",
            format!("{newton} {inverse}"),
        ),
        (SolverMethod::Accelerated, Stop::Fixed) => {
            ("After the last pass of each range tried", format!("{way}."))
        }
        // it opens no such bit
        (SolverMethod::Sgd, _) => return String::new(),
    };
    let helper = match stop {
        Stop::Bit => "whether another pass follows",
        Stop::Fixed => "what follows",
    };
    format!(
        "{before}, whether training has settled: {says} The helper sees from the requests it serves {helper}."
    )
}

/// What the training of a logistic regression opens, and its release.
pub(super) fn disclosures(spec: &Spec, parties: &[Audience], helper: &Audience) -> Vec<Disclosure> {
    let ranges = u32::try_from(spec.solver.ranges().len()).unwrap_or(u32::MAX);
    let with_helper = || {
        let all = parties.iter().chain([helper]);
        all.cloned().collect::<Vec<_>>()
    };
    let opening = |id, what: &str, shape, to, at_most| Disclosure {
        id,
        what: what.to_owned(),
        shape,
        to,
        at_most,
    };
    let mut list = Vec::new();
    let trials = spec.tuning.as_ref().map_or(0, |tuning| tuning.trials());
    let trials = u32::try_from(trials).unwrap_or(u32::MAX);
    let steps = spec.stepwise().map_or(0, |stepwise| stepwise.max_steps);
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let again = u32::from(spec.reject_inference.is_some());
    let fits = trials
        .saturating_add(steps)
        .saturating_add(1)
        .saturating_add(again);
    let bits = spec.solver.steps().iter();
    let bits = bits.map(|steps| spec.solver.most_bits(*steps, fits > 1));
    let bits = u32::try_from(bits.max().unwrap_or(0)).unwrap_or(u32::MAX);
    let also = |text: &str| match (trials, steps) {
        (0, 0) if again > 0 => {
            format!("{text} The same in both fits, of accepted applicants and of all.")
        }
        (0, 0) => text.to_owned(),
        (0, _) => format!(
            "{text} The same in each fit of at most {steps} more, after each step of a column."
        ),
        _ => format!("{text} The same in each of {trials} trials."),
    };
    if let Some(stepwise) = spec.stepwise() {
        let told = super::selection::steps(stepwise);
        let told = told.into_iter();
        list.extend(
            told.map(|(id, what)| opening(id, &what, Shape::Summary, with_helper(), steps)),
        );
    }
    if let Some(tuning) = &spec.tuning {
        let label = spec
            .label_party()
            .map_or("the label party", |p| p.id.as_str());
        let listed = |of: &[Decimal]| {
            let each = of.iter().map(ToString::to_string);
            each.collect::<Vec<_>>().join(", ")
        };
        let ridges = listed(&tuning.l2);
        let (penalties, same) = match tuning.is_path() {
            true => (
                format!("each l2 of {ridges} and each l1 of {}", listed(&tuning.l1)),
                "penalties",
            ),
            false => (format!("each l2 of {ridges}"), "l2"),
        };
        list.push(opening(
            DisclosureId::TrainTrials,
            &format!(
                "For each of {} folds of the training rows and {penalties}: the squared error of the PD, summed over the \
                    rows of the fold, of a model fitted on the others and then forgotten. Which rows are in which fold \
                    {label} draws and keeps; from the errors all take the same {same}.",
                tuning.folds,
            ),
            Shape::Count,
            parties.to_vec(),
            trials,
        ));
        if tuning.is_path() {
            list.push(opening(
                DisclosureId::TrainColumns,
                "Of each of these models how many design columns of all parties together it leaves in, those whose coefficient l1 \
                    does not set to 0; not which, nor whose.",
                Shape::Count,
                parties.to_vec(),
                trials,
            ));
        }
    }
    let settled = settled(spec.solver.method, spec.solver.stop);
    let settled_at_most = bits.saturating_mul(ranges);
    let in_batches = spec.solver.method == SolverMethod::Sgd;
    if !in_batches {
        list.push(opening(
            DisclosureId::TrainConverged,
            &also(&settled),
            Shape::Bit,
            with_helper(),
            settled_at_most.saturating_mul(fits),
        ));
    }
    let (in_range, else_) = match spec.solver.ranges().as_slice() {
        [only] => (only.to_string(), "the job ends"),
        tried => (
            tried
                .iter()
                .map(u32::to_string)
                .collect::<Vec<_>>()
                .join(", then "),
            "the next one is tried, and after the last the job ends",
        ),
    };
    let ranged = match in_batches {
        true => format!(
            "After all passes with the sigmoid series of a range ({in_range}), whether the weights, and the scores of a 16th of \
                the training rows (at least 8,192, those that come first in the public order), lie within it; if not, {else_}. \
                The helper sees from the requests it serves whether another range follows."
        ),
        false => reject::ranged(
            spec,
            also(&format!(
                "Once training has settled with the sigmoid series of a range ({in_range}), whether \
                the scores of all training rows lie within it; if not, {else_}. The helper sees \
                from the requests it serves whether another range follows."
            )),
        ),
    };
    list.push(opening(
        DisclosureId::TrainRangeCheck,
        &ranged,
        Shape::Bit,
        with_helper(),
        ranges.saturating_mul(fits + again),
    ));
    list.extend(reject::of_fits(spec));
    let weighed = match spec.row_weights().is_empty() {
        _ if again > 0 && spec.model.weight.is_none() => {
            ", declined ones with the bad rate that was inferred as their label"
        }
        true => "",
        false => {
            " and the row's weight (whoever holds weights can let few customers count, and its coefficients \
                then tell more of these)"
        }
    };
    // of hidden columns nobody learns coefficients
    let strict = spec.binning.as_ref().is_some_and(|b| b.strict());
    let open = |party: &&Party| !strict || spec.label_party() == Some(*party);
    list.extend(spec.seats().into_iter().filter(open).map(|party| {
        let (intercept, tells) = if spec.label_party() == Some(party) {
            (" and the intercept", "the joint PDs")
        } else {
            ("", "the labels")
        };
        opening(
            DisclosureId::ReleaseCoefficients(party.id.clone()),
            &match spec.is_held() {
                _ if in_batches => format!(
                    "The coefficients of {0}'s own columns{intercept} after the last pass, to {0} alone. Each is near the sum over \
                        the training rows of (label - PD) times its column, divided by l2, after few passes nearer to that of \
                        (label - share of bads) times its column: a column that is constant but for a few customers tells {tells} \
                        of these.",
                    party.id
                ),
                false => format!(
                    "The final coefficients of {0}'s own columns{intercept}, to {0} alone. Each equals \
                        the sum over the training rows of (label - PD) times its column{weighed}, divided by \
                        l2: a column that is constant but for a few customers tells {tells} of these.",
                    party.id
                ),
                true => format!(
                    "The final coefficients of {0}'s own columns{intercept}, to {0} alone, and with them which of \
                        its columns have a coefficient of exactly 0. Each other one equals the sum over the training \
                        rows of (label - PD) times its column{weighed}, drawn towards 0 by l1 and divided by l2: a \
                        column that is constant but for a few customers tells {tells} of these.",
                    party.id
                ),
            },
            Shape::Coefficients,
            vec![Audience::Party(party.id.clone())],
            1,
        )
    }));
    if spec.outputs.standard_errors {
        list.extend(spec.seats().into_iter().filter(open).map(|party| {
            opening(
                DisclosureId::ReleaseStandardErrors(party.id.clone()),
                &format!(
                    "The standard errors of {0}'s own coefficients, to {0} alone. They are larger than from \
                        its own columns by as much as the others' columns predict these: they tell how \
                        closely, not by which of the others' columns.",
                    party.id
                ),
                Shape::Coefficients,
                vec![Audience::Party(party.id.clone())],
                1,
            )
        }));
    }
    if spec.scorecard.as_ref().is_some_and(|card| card.reasons) {
        let (label, other) = (spec.label_party(), spec.seats().into_iter().nth(1));
        if let (Some(label), Some(other)) = (label, other) {
            let what = format!(
                "For each test row, which of {0}'s columns are among the four columns of both parties in which \
                    the row lost most points below its column's baseline: their codes, in falling order, and \
                    so how many of the four are {0}'s; not how many points.",
                other.id
            );
            list.push(opening(
                DisclosureId::ReleaseReasons,
                &what,
                Shape::Reasons,
                vec![Audience::Party(label.id.clone())],
                1,
            ));
        }
    }
    if let Some(scores) = &spec.outputs.scores {
        let others: Vec<_> = spec
            .seats()
            .iter()
            .filter(|party| party.id != scores.to)
            .map(|party| party.id.to_string())
            .collect();
        let (step, to) = (scores.step, &scores.to);
        let what = match others.as_slice() {
            [other] => format!(
                "{other}'s own part of the score (log-odds of bad) of each test row, rounded to \
                    a multiple of {step}; {to} adds its own part and so knows the joint score."
            ),
            others => format!(
                "The sum of the parts of {} of the score (log-odds of bad) of each test row, each rounded \
                    to a multiple of {step}: masked, so that {to} sees the sum alone unless all but one \
                    of them help it; {to} adds its own part and so knows the joint score.",
                others.join(", ")
            ),
        };
        list.push(opening(
            DisclosureId::ReleaseScores,
            &what,
            Shape::Scores { step: scores.step },
            vec![Audience::Party(scores.to.clone())],
            1,
        ));
    }
    list.extend(reject::of_scores(spec));
    list
}
