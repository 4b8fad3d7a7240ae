//! What the training of a network on columns of several parties opens.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::spec::{Activation, Network, Spec};

/// What is opened between matching and metrics, in the order in which it happens.
pub(super) fn disclosures(spec: &Spec, network: &Network, helper: &Audience) -> Vec<Disclosure> {
    let seats = spec.seats();
    let opening = |id, what: String, shape, to: Vec<Audience>, at_most| Disclosure {
        id,
        what,
        shape,
        to,
        at_most,
    };
    let mut list = Vec::new();
    let with_helper = || {
        let parties = seats.iter().map(|party| Audience::Party(party.id.clone()));
        parties.chain([helper.clone()]).collect::<Vec<_>>()
    };
    // of rectifiers nothing bounds what the test rows give
    let rectified = network.activation == Activation::Relu && spec.outputs.scores.is_some();
    let and_test = match rectified {
        true => " Once more for all test rows, before scores are released.",
        false => "",
    };
    list.push(opening(
        DisclosureId::TrainRangeCheck,
        format!(
            "After each epoch, whether all weights, their last steps, and of one batch the scores and derivatives lie \
                within the range of the fixed point; if not, training has diverged and the job ends.{and_test} The \
                helper sees from the requests it serves whether training goes on."
        ),
        Shape::Bit,
        with_helper(),
        u32::try_from(network.epochs + u64::from(rectified)).unwrap_or(u32::MAX),
    ));
    if network.validation_tenths > 0 && network.epochs > 1 {
        list.push(opening(
            DisclosureId::TrainImproved,
            format!(
                "After each epoch but the first, whether the loss on the {} of 10 training rows that are set apart is \
                    below the least so far. The helper sees from the requests it serves whether another epoch follows.",
                network.validation_tenths
            ),
            Shape::Bit,
            with_helper(),
            u32::try_from(network.epochs - 1).unwrap_or(u32::MAX),
        ));
    }
    let weighed = match spec.row_weights().is_empty() {
        true => "",
        false => {
            " Each row counts by its weight: whoever holds weights can let few customers count, and what it gets then \
                tells more of these."
        }
    };
    list.extend(seats.iter().map(|party| {
        let more = match spec.label_party() == Some(party) {
            true => ", its biases and all further layers",
            false => "",
        };
        opening(
            DisclosureId::ReleaseCoefficients(party.id.clone()),
            format!(
                "The final weights of {0}'s own columns in the first layer{more}, to {0} alone. They are what the labels \
                    of all training rows made of public initial weights: a column that is constant but for a few \
                    customers tells much of these.{weighed}",
                party.id
            ),
            Shape::Weights,
            vec![Audience::Party(party.id.clone())],
            1,
        )
    }));
    if let Some(scores) = &spec.outputs.scores {
        list.push(opening(
            DisclosureId::ReleaseScores,
            format!(
                "The score (log-odds of bad) of each test row, rounded to a multiple of {}: computed on shares, so that \
                    {} sees the whole score alone, no party's part of it.",
                scores.step, scores.to
            ),
            Shape::Scores { step: scores.step },
            vec![Audience::Party(scores.to.clone())],
            1,
        ));
    }
    list
}
