//! What selecting columns of several parties opens.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::{
    constants::SELECTION_COLUMNS,
    spec::{Selection, SelectionCorrelations, Spec, Stepwise},
};

/// Which column enters or leaves after each fit, and in what words.
pub(super) fn steps(stepwise: &Stepwise) -> Vec<(DisclosureId, String)> {
    let forgotten = "All are fitted anew; coefficients, standard errors and statistics of these fits nobody learns. The helper \
        sees from the requests it serves how many steps there are";
    let mut list = Vec::new();
    if stepwise.entering().is_some() {
        let what = format!(
            "After each fit, the first one of the intercept alone, which column enters the model, by its place and without its \
                name, or none: of those that are not in it the one that says most of the label beside those that are (the \
                greatest score statistic), if {}. {forgotten}. The order in which columns enter tells which of a party's \
                say most.",
            stepwise.enters_if()
        );
        list.push((DisclosureId::SelectionEntering, what));
    }
    if stepwise.leaving().is_some() {
        let what = format!(
            "After each fit, which column leaves the model, by its place and without its name, or none: the one whose \
                coefficient is smallest beside its standard error, if {}. {forgotten}.",
            stepwise.leaves_if()
        );
        list.push((DisclosureId::SelectionLeaving, what));
    }
    list
}

/// Everything that the selection of columns opens, in the order in which it happens.
pub(super) fn disclosures(
    spec: &Spec,
    selection: &Selection,
    parties: &[Audience],
    helper: &Audience,
) -> Vec<Disclosure> {
    let mut list = Vec::new();
    let summary = |id, what: String, to: Vec<Audience>, at_most| Disclosure {
        id,
        what,
        shape: Shape::Summary,
        to,
        at_most,
    };
    if selection.correlations == SelectionCorrelations::All {
        let what = "The correlation, over the training rows, of each two design columns of different parties, by their \
            places and without their names: how far each column of one party says what one of another's says.";
        let id = DisclosureId::SelectionCorrelations;
        list.push(summary(id, what.to_owned(), parties.to_vec(), 1));
    }
    if let Some(most) = selection.max_correlation {
        let what = format!(
            "For each two design columns, also of one party, by their places and without their names: whether their \
                correlation is at least {most} in magnitude; and where it is, which of the two correlates more with the \
                label. From it all know which columns are left out. A party that brings two columns which differ in one \
                customer can learn that customer's label."
        );
        list.push(summary(
            DisclosureId::SelectionPairs,
            what,
            parties.to_vec(),
            1,
        ));
    }
    let (what, rounds) = match selection.max_vif {
        Some(most) => (
            format!(
                "In each round which design column, by its place and without its name, has the largest variance inflation, \
                    if that is above {most}: it is left out, and a round follows; and one bit whether the inverse behind it was \
                    exact enough. The helper sees from the requests it serves how many rounds there are."
            ),
            SELECTION_COLUMNS,
        ),
        None => (
            "One bit: whether the inverse behind the variance inflation was exact enough."
                .to_owned(),
            1,
        ),
    };
    let mut to = parties.to_vec();
    to.push(helper.clone());
    list.push(summary(DisclosureId::SelectionInflated, what, to, rounds));
    list.extend(spec.seats().into_iter().map(|party| {
        let what = format!(
            "The variance inflation of each of {0}'s own design columns that stay, to {0} alone: how closely all other columns \
                together, the other parties' too, predict it; not which do.",
            party.id
        );
        let id = DisclosureId::SelectionInflation(party.id.clone());
        let to = vec![Audience::Party(party.id.clone())];
        Disclosure {
            shape: Shape::Coefficients,
            ..summary(id, what, to, 1)
        }
    }));
    list
}
