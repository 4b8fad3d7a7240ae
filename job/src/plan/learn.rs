//! Who learns what.

use serde::{Deserialize, Serialize};

use crate::{
    disclosure::{Audience, DisclosureId, disclosures},
    spec::Spec,
};

/// What one role learns, and what it never does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learns {
    /// The role.
    pub who: Audience,
    /// Its part in the job, in words.
    pub role: String,
    /// What it learns.
    pub learns: Vec<Item>,
    /// What it never learns, as long as the assumptions of the profile hold.
    pub never: String,
}

/// One thing learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The disclosure.
    pub id: DisclosureId,
    /// What it says, in a plain sentence.
    pub what: String,
    /// How often at most.
    pub at_most: u32,
}

const LABEL_PARTY_NEVER: &str = "another party's values, means or coefficients, or a margin of a \
    training row, beyond what the others' part of the scores and its own coefficients say; any residual, \
    gradient or Hessian of the training beyond declared standard errors";
const FEATURE_PARTY_NEVER: &str = "a label or a score, beyond what its own coefficients say (they \
    tell the labels of customers whom a column of its own singles out); another party's \
    values, means or coefficients; any margin, residual, gradient or Hessian of the training beyond declared \
    standard errors";

/// Of a party whose columns' counts, weights and coefficients stay shared.
const STRICT_PARTY_NEVER: &str = "a label or a score; a count of labels, a weight of evidence or a coefficient, of its own \
    columns or another's; another party's values or means; any margin, residual, gradient or Hessian of the training";

const BANK_NEVER: &str = "another bank's rows, values, labels, scores, or its part of any sum, as long as \
    fewer banks than the threshold collude; a count or coefficient of one bank alone";

/// Who learns what in a horizontal job.
pub(super) fn horizontal(spec: &Spec) -> Vec<Learns> {
    let declared = disclosures(spec);
    let of = |who: Audience, role: String, never: &str| Learns {
        learns: declared
            .iter()
            .filter(|disclosure| disclosure.to.contains(&who))
            .map(|disclosure| Item {
                id: disclosure.id.clone(),
                what: disclosure.what.clone(),
                at_most: disclosure.at_most,
            })
            .collect(),
        who,
        role,
        never: never.to_owned(),
    };
    let bank = |party: &crate::spec::Party| {
        let role = format!(
            "bank, data set {}, columns: {}",
            party.dataset, party.columns
        );
        of(Audience::Party(party.id.clone()), role, BANK_NEVER)
    };
    let mut list: Vec<_> = spec.party.iter().map(bank).collect();
    list.push(of(
        Audience::Helper(spec.helper.id.clone()),
        "helper: adds up masked vectors".to_owned(),
        "any sum, row, value, label, score or coefficient, as long as no bank tells it",
    ));
    list.push(of(
        Audience::Relay,
        "coordinator: relays sealed frames".to_owned(),
        "what any frame says",
    ));
    list
}

/// Who learns what where only an overlap is asked for.
pub(super) fn overlap(spec: &Spec) -> Vec<Learns> {
    let declared = disclosures(spec);
    let of = |who: Audience, role: &str, never: &str| Learns {
        learns: declared
            .iter()
            .filter(|disclosure| disclosure.to.contains(&who))
            .map(|disclosure| Item {
                id: disclosure.id.clone(),
                what: disclosure.what.clone(),
                at_most: disclosure.at_most,
            })
            .collect(),
        who,
        role: role.to_owned(),
        never: never.to_owned(),
    };
    let party = |party: &crate::spec::Party| {
        let role = format!("party, ids of data set {}", party.dataset);
        let never =
            "an id of another party's that it does not have itself; anything else of its data";
        of(Audience::Party(party.id.clone()), &role, never)
    };
    let mut list: Vec<_> = spec.seats().into_iter().map(party).collect();
    list.push(of(
        Audience::Helper(spec.helper.id.clone()),
        match spec.sizes_only() {
            true => "helper: counts values that both parties masked",
            false => "helper: takes no part",
        },
        "an id, or anything the parties send each other",
    ));
    list.push(of(
        Audience::Relay,
        "coordinator: relays sealed frames",
        "what any frame says",
    ));
    list
}

pub(super) fn learns(spec: &Spec) -> Vec<Learns> {
    let declared = disclosures(spec);
    let of = |who: Audience, role: String, never: &str| {
        let learns = declared
            .iter()
            .filter(|disclosure| disclosure.to.contains(&who))
            .map(|disclosure| Item {
                id: disclosure.id.clone(),
                what: disclosure.what.clone(),
                at_most: disclosure.at_most,
            });
        Learns {
            learns: learns.collect(),
            who,
            role,
            never: never.to_owned(),
        }
    };
    let strict = spec.binning.as_ref().is_some_and(|b| b.strict());
    let mut list: Vec<_> = spec
        .seats()
        .into_iter()
        .map(|party| {
            let is_label = spec.label_party() == Some(party);
            let (part, never) = if is_label {
                ("label party", LABEL_PARTY_NEVER)
            } else if strict {
                ("feature party", STRICT_PARTY_NEVER)
            } else {
                ("feature party", FEATURE_PARTY_NEVER)
            };
            let role = format!(
                "{part}, data set {}, columns: {}",
                party.dataset, party.columns
            );
            let mut of = of(Audience::Party(party.id.clone()), role, never);
            if spec.reject_inference.is_some() {
                of.never += match is_label {
                    true => "; what any declined customer was inferred to be",
                    false => "; who was declined, how many were, or what they were inferred to be",
                };
            }
            of
        })
        .collect();
    list.push(of(
        Audience::Helper(spec.helper.id.clone()),
        "helper: deals correlated randomness, must not collude with a party".to_owned(),
        "an id, a value, a label, a share, a score or a coefficient; anything the parties send \
            each other",
    ));
    list.push(of(
        Audience::Relay,
        "coordinator: relays frames sealed between the parties".to_owned(),
        "what any frame says",
    ));
    list
}
