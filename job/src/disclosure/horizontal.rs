//! What a horizontal job opens: sums over all banks.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::{
    constants::QUANTILE_SUMS,
    privacy::Guarantee,
    spec::{AutoOr, Binning, Horizontal, Intercept, Privacy, Robust, Spec, Start, Training},
};

/// Everything that a horizontal job opens, in the order in which it happens.
pub(super) fn disclosures(spec: &Spec, horizontal: &Horizontal) -> Vec<Disclosure> {
    let banks: Vec<_> = spec
        .party
        .iter()
        .map(|party| Audience::Party(party.id.clone()))
        .collect();
    let helper = Audience::Helper(spec.helper.id.clone());
    let passes = u32::try_from(spec.solver.max_passes).unwrap_or(u32::MAX);
    let threshold = horizontal.threshold_of(banks.len());
    let to = |id, what: String, shape, to: &[Audience], at_most| Disclosure {
        id,
        what,
        shape,
        to: to.to_vec(),
        at_most,
    };
    let everyone: Vec<_> = banks
        .iter()
        .chain([&helper, &Audience::Relay])
        .cloned()
        .collect();
    let sum = |id, what: &str, at_most| to(id, what.to_owned(), Shape::Summary, &banks, at_most);
    let mut list = always(&to, &everyone, threshold);
    if let Some(job) = &horizontal.resume {
        list.push(sum(
            DisclosureId::SumsHeld,
            &format!(
                "Which of the last rounds of the aborted job {job} each bank still holds, by name, and a \
                 digest of the state after each, which all banks know. Training goes on from the last \
                 that all hold alike; the helper is not told."
            ),
            1,
        ));
    }
    if let (Some(training), Some(privacy)) = (&horizontal.training, &horizontal.privacy) {
        list.extend(private(spec, horizontal, training, privacy, &sum));
        return list;
    }
    let newton = match horizontal.intercept {
        Intercept::Shared => "",
        Intercept::PerBank => ", each bank's own intercept set to its best and kept at home",
    };
    match &spec.binning {
        Some(binning) => list.extend(bins(binning, &sum)),
        None => list.extend(standardised(&sum)),
    }
    match &horizontal.training {
        Some(training) => list.extend(network(training, &banks, &sum)),
        None => {
            if horizontal.start == Start::OwnModels {
                list.push(sum(
                    DisclosureId::SumsStart,
                    &format!(
                        "Over all banks, once: the Hessian of each bank's log loss at the coefficients of \
                         a model of its own rows, and its product with these coefficients{newton}. The \
                         point at which the fit begins follows from these."
                    ),
                    1,
                ));
            }
            list.push(sum(
            DisclosureId::SumsNewton,
            &format!(
                "At each point that the fit looks at, over all banks' training rows: the log loss, \
                 its gradient and its Hessian{newton}. The joint coefficients and their standard \
                 errors follow from these."
            ),
            passes,
            ));
        }
    }
    list.push(sum(
        DisclosureId::SumsEvaluation,
        "Over all banks' test rows: good and bad rows and the sum of PDs in 128 bands of the \
             joint score, the sums of log losses and of squared errors. AUC, KS and calibration \
             follow from these.",
        1,
    ));
    list
}

/// What leads to standardised columns.
fn standardised(sum: OfSum<'_>) -> [Disclosure; 4] {
    [
        sum(
            DisclosureId::SumsCounts,
            "Over all banks: training rows, bads, missing values by numeric column, rows by level of \
             the list in the job and rows of all other levels together.",
            1,
        ),
        sum(
            DisclosureId::SumsQuantiles,
            "For each numeric column with missing values, how many training rows of all banks lie at \
             or below thresholds that close in on the median, which fills the gaps.",
            QUANTILE_SUMS,
        ),
        sum(
            DisclosureId::SumsRanges,
            "For each numeric column and the weight, in how many banks its largest magnitude lies in \
             each power of two.",
            1,
        ),
        sum(
            DisclosureId::SumsMoments,
            "Over all banks: the sum of each design column over the training rows, then of its \
             squared distances from the joint mean, roughly and then finely.",
            3,
        ),
    ]
}

/// What leads to weight of evidence of joint bins.
fn bins(binning: &Binning, sum: OfSum<'_>) -> [Disclosure; 3] {
    let special = match binning.special.is_empty() {
        true => "",
        false => " and each special value",
    };
    let fine = match binning.method.merges() {
        true => binning.fine_bins,
        false => binning.max_bins,
    };
    [
        sum(
            DisclosureId::SumsCounts,
            &format!(
                "Over all banks: training rows, bads, by numeric column rows with missing values{special}, rows by \
                 level of the list in the job and rows of all other levels together."
            ),
            1,
        ),
        sum(
            DisclosureId::SumsQuantiles,
            &format!(
                "For each numeric column, how many training rows of all banks lie at or below thresholds that \
                 close in on its least value, its median and the edges of {fine} bins with equally many rows."
            ),
            QUANTILE_SUMS,
        ),
        sum(
            DisclosureId::SumsBins,
            "Over all banks: how many training rows, and how many bad ones, are in each fine bin of each \
             column, and how many have a numeric column's median. Bins, weights of evidence and which \
             columns are kept follow from these.",
            1,
        ),
    ]
}

/// What a job says to a receiver: what, in which shape, to whom, how often.
type To<'a> = &'a dyn Fn(DisclosureId, String, Shape, &[Audience], u32) -> Disclosure;
type OfSum<'a> = &'a dyn Fn(DisclosureId, &str, u32) -> Disclosure;

fn always(to: To<'_>, everyone: &[Audience], threshold: usize) -> Vec<Disclosure> {
    let banks = everyone
        .iter()
        .filter(|who| matches!(who, Audience::Party(_)))
        .count();
    vec![
        to(
            DisclosureId::RelayTraffic,
            "Which node sends how many sealed bytes to which other and when, and each node's phase, \
             pass and rate of progress; never what the bytes say."
                .into(),
            Shape::Traffic,
            &[Audience::Relay],
            1,
        ),
        to(
            DisclosureId::SumsMembers,
            format!(
                "Which banks take part in each sum to its end, at least {threshold} of {banks}, and how \
                 many numbers it has. The helper learns no sum: the banks add a blind to each that \
                 it does not know."
            ),
            Shape::Traffic,
            everyone,
            1,
        ),
    ]
}

/// The sums of a network's training.
fn network(training: &Training, banks: &[Audience], sum: OfSum<'_>) -> Vec<Disclosure> {
    let rounds = u32::try_from(training.rounds).unwrap_or(u32::MAX);
    let groups = match training.groups {
        1 => match training.banks_per_round {
            AutoOr::Is(many) => format!(
                "over {many} banks drawn for the round: from sums over changing sets more of a single \
                 bank's part may follow"
            ),
            AutoOr::Auto => "over all banks".to_owned(),
        },
        _ => {
            let named = training.groups_of(banks.len()).into_iter().map(|group| {
                let names = group.iter().filter_map(|place| match banks.get(*place) {
                    Some(Audience::Party(id)) => Some(id.to_string()),
                    _ => None,
                });
                names.collect::<Vec<_>>().join(", ")
            });
            format!(
                "over the banks of each group by itself ({}), so that of a bank's part the others of \
                 its group know more",
                named.collect::<Vec<_>>().join("; ")
            )
        }
    };
    let kept = match training.personal_last_layer {
        true => ", but for the last layer, which each bank keeps",
        false => "",
    };
    let cut = training.max_norm.map_or_else(String::new, |norm| {
        format!("; each bank's cut to length {norm}")
    });
    let counted = match training.robust {
        Robust::Proved => {
            ". All banks count the same. Each bank's is proved to be within the length, \
                           times the schedule's factor; all learn whose is not"
        }
        _ => ", weighted, and the weights",
    };
    let watched = match training.validation_tenths {
        0 => "",
        _ => "; over all banks, the log loss on validation rows and their number",
    };
    let mut list = vec![sum(
        DisclosureId::SumsUpdates,
        &format!(
            "Each round, {groups}: the changes of the network's parameters by training at home{kept}{cut}\
             {counted}{watched}. The network follows from these."
        ),
        rounds + 1,
    )];
    if training.robust == Robust::Votes {
        list.push(sum(
            DisclosureId::SumsVotes,
            "Each round, of each bank by name: for which groups the model with that group's update is \
             not clearly worse on its own validation rows, one bit a group.",
            rounds,
        ));
    }
    list
}

/// All sums of a job with noise; nothing else is opened of the data.
fn private(
    spec: &Spec,
    horizontal: &Horizontal,
    training: &Training,
    privacy: &Privacy,
    sum: OfSum<'_>,
) -> Vec<Disclosure> {
    let banks = spec.party.len();
    let honest = privacy.honest_of(horizontal.threshold_of(banks));
    let says = match Guarantee::of(spec) {
        Ok(Some(g)) => format!("epsilon {:.3} at delta {}", g.training, privacy.delta),
        _ => "no epsilon".into(),
    };
    let evaluated = match Guarantee::of(spec) {
        Ok(Some(g)) => format!("epsilon {:.3} at delta {}", g.evaluation, privacy.delta),
        _ => "no epsilon".into(),
    };
    vec![
        sum(
            DisclosureId::SumsGradients,
            &format!(
                "Each round, over all banks' training rows, each taken with chance {} in secret: the \
                 gradients of the loss, each row's cut to length {}, with discrete Gaussian noise of \
                 standard deviation {} such lengths from any {honest} banks alone. All rounds \
                 together: {says} for each training row, with or without it. The network follows \
                 from these.",
                privacy.sampling, privacy.clip, privacy.noise
            ),
            u32::try_from(training.rounds).unwrap_or(u32::MAX),
        ),
        sum(
            DisclosureId::SumsEvaluation,
            &format!(
                "Over all banks' test rows: good and bad rows in 32 bands of the joint score, each \
                 count with noise of standard deviation {} from any {honest} banks alone: {evaluated} \
                 for each test row. AUC and KS follow from these, roughly.",
                privacy.evaluation_noise
            ),
            1,
        ),
    ]
}
