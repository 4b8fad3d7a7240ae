//! What inferring the outcome of declined applicants opens.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::spec::Spec;

/// What is said of the check of the sigmoid's range.
pub(super) fn ranged(spec: &Spec, text: String) -> String {
    match spec.reject_inference {
        None => text,
        Some(_) => format!(
            "{text} Between the fits, once more for the scores with the factor of declined applicants, which are looked for in \
                one range after the other."
        ),
    }
}

/// What is opened beside the fits.
pub(super) fn of_fits(spec: &Spec) -> Vec<Disclosure> {
    let (Some(asked), Some(label)) = (&spec.reject_inference, spec.label_party()) else {
        return Vec::new();
    };
    let to = |id: &crate::NodeId| vec![Audience::Party(id.clone())];
    let mut list = Vec::new();
    if asked.compare {
        list.extend(spec.seats().into_iter().map(|party| Disclosure {
            id: DisclosureId::RejectCoefficients(party.id.clone()),
            what: format!(
                "The coefficients of {0}'s own columns in the first fit, of accepted applicants alone, to {0} alone. Beside those \
                    of the last fit they tell what counting the declined ones changes, summed over all of them.",
                party.id
            ),
            shape: Shape::Coefficients,
            to: to(&party.id),
            at_most: 1,
        }));
    }
    list.push(Disclosure {
        id: DisclosureId::RejectRate,
        what: format!(
            "The bad rate that declined applicants are given, in the mean over those of the training rows, to {0}, if there are at \
                least 100 of them, else 0. Who is declined, and how many are, only {0} knows: that there are 100 its own node \
                checks, and nobody else can. A node that does not keep to the program learns the mean of as few as it marks.",
            label.id
        ),
        shape: Shape::Count,
        to: to(&label.id),
        at_most: 1,
    });
    list
}

/// Test scores by the first fit.
pub(super) fn of_scores(spec: &Spec) -> Option<Disclosure> {
    let scores = spec.outputs.scores.as_ref()?;
    spec.reject_inference
        .as_ref()
        .filter(|asked| asked.compare)?;
    Some(Disclosure {
        id: DisclosureId::RejectScores,
        what: format!(
            "The same of each test row by the first fit, of accepted applicants alone, to {}: a second score of the same rows.",
            scores.to
        ),
        shape: Shape::Scores { step: scores.step },
        to: vec![Audience::Party(scores.to.clone())],
        at_most: 1,
    })
}
