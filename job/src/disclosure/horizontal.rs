//! What a horizontal job opens: sums over all banks.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::{
    constants::QUANTILE_SUMS,
    spec::{Horizontal, Intercept, Spec},
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
    let newton = match horizontal.intercept {
        Intercept::Shared => "",
        Intercept::PerBank => ", each bank's own intercept set to its best and kept at home",
    };
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
                "Which banks take part in each sum to its end, at least {threshold} of {}, and how \
                 many numbers it has. The helper learns no sum: the banks add a blind to each that \
                 it does not know.",
                banks.len()
            ),
            Shape::Traffic,
            &everyone,
            1,
        ),
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
        sum(
            DisclosureId::SumsNewton,
            &format!(
                "At each point that the fit looks at, over all banks' training rows: the log loss, \
                 its gradient and its Hessian{newton}. The joint coefficients and their standard \
                 errors follow from these."
            ),
            passes,
        ),
        sum(
            DisclosureId::SumsEvaluation,
            "Over all banks' test rows: good and bad rows and the sum of PDs in 128 bands of the \
             joint score, the sums of log losses and of squared errors. AUC, KS and calibration \
             follow from these.",
            1,
        ),
    ]
}
