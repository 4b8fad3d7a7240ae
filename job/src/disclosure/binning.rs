//! What bins open, in a vertical job whose columns become weight of evidence.

use super::{Audience, Disclosure, DisclosureId, Shape};
use crate::spec::{Binning, Party, Spec};

/// Everything that making bins opens, in the order in which it happens.
pub(super) fn disclosures(spec: &Spec, binning: &Binning) -> Vec<Disclosure> {
    let seats = spec.seats();
    let all: Vec<Audience> = seats
        .iter()
        .map(|party| Audience::Party(party.id.clone()))
        .collect();
    let Some((label, others)) = seats.split_first() else {
        return Vec::new();
    };
    let mut audience = all.clone();
    audience.push(Audience::Helper(spec.helper.id.clone()));
    audience.push(Audience::Relay);
    let mut list = vec![Disclosure {
        id: DisclosureId::BinningFine,
        what: format!(
            "How many fine bins the columns of each party but {} are cut into, all columns together.",
            label.id
        ),
        shape: Shape::Count,
        to: audience,
        at_most: u32::try_from(others.len()).unwrap_or(u32::MAX),
    }];
    let declined = spec.reject_inference.is_some();
    for party in others {
        list.extend(of_party(label, party, (binning, declined), &all));
    }
    list
}

fn of_party(
    label: &Party,
    party: &Party,
    (binning, declined): (&Binning, bool),
    all: &[Audience],
) -> Vec<Disclosure> {
    let (bank, owner) = (&label.id, &party.id);
    let summary = |id, what, to| Disclosure {
        id,
        what,
        shape: Shape::Summary,
        to,
        at_most: 1,
    };
    let to = |party: &Party| vec![Audience::Party(party.id.clone())];
    if binning.strict() {
        return vec![
            summary(
                DisclosureId::BinningColumns(owner.clone()),
                format!(
                    "For each column of {owner}, without its name, edges or levels: how many bins it is cut into, and how many \
                        of these are of numbers in order. How many rows are in a bin, and how many of them have label 1, nobody \
                        learns."
                ),
                all.to_vec(),
            ),
            summary(
                DisclosureId::BinningInformation(owner.clone()),
                format!(
                    "The information value of each of these columns, to {bank}, which does not tell {owner} which of them it \
                        lets the model use. Weights of evidence and coefficients of these columns nobody learns, {owner} \
                        neither: they are forgotten with the job."
                ),
                to(label),
            ),
            summary(
                DisclosureId::BinningMonotone(owner.clone()),
                format!(
                    "For each of these columns with at least two bins of numbers, one bit: whether the share of label 1 never \
                        falls, or never rises, from bin to bin, to {bank}."
                ),
                to(label),
            ),
        ];
    }
    let mut list = Vec::new();
    let mut joined = "";
    if binning.min_class > 0 {
        list.push(summary(
            DisclosureId::BinningEnough(owner.clone()),
            format!(
                "For each fine bin of {owner}'s columns, whether at least {} training rows of each label \
                    are in it; one that has fewer is joined to another before it is counted.",
                binning.min_class
            ),
            all.to_vec(),
        ));
        joined = ", once small ones are joined";
    }
    list.push(summary(
        DisclosureId::BinningRows(owner.clone()),
        format!(
            "For each column of {owner}, without its name, edges or levels: whether it is of numbers, how it \
                is to be merged, and how many training rows each of its fine bins holds{joined}, to {bank}."
        ),
        to(label),
    ));
    list.push(summary(
        DisclosureId::BinningBads(owner.clone()),
        format!(
            "How many training rows with label 1 are in each of these bins, to {bank}, which does not learn \
                which rows they are."
        ),
        to(label),
    ));
    if declined {
        list.push(summary(
            DisclosureId::BinningGoods(owner.clone()),
            format!(
                "How many training rows with label 0 are in each of these bins, to {bank}: the others are neither bad nor good, \
                    but declined."
            ),
            to(label),
        ));
    }
    let noise = match binning.noise_rows {
        0 => "exactly".to_owned(),
        rows => format!(
            "up to noise of {rows} row{} in standard deviation in each count",
            if rows == 1 { "" } else { "s" }
        ),
    };
    let tells = match declined {
        false => format!(
            "From the weights and its own rows {owner} can tell how many training rows of each bin have label 1, {noise}."
        ),
        true => format!(
            "From the weights {owner} can tell the odds of label 1 among accepted rows of each bin, up to a factor that is the \
                same for all its bins, {noise}; with its own rows that bounds how many of a bin may be declined, and no more."
        ),
    };
    list.push(summary(
        DisclosureId::BinningWoe(owner.clone()),
        format!(
            "For each column of {owner}, to {owner} alone: which of its bins are merged, the weight of evidence \
                of each merged bin, the information value and whether the column is kept. {tells}"
        ),
        to(party),
    ));
    list
}
