//! Rows that count more or less than others, and scores that they begin with, in a vertical job.

use serde::{Deserialize, Serialize};

use super::{Columns, Model, Party, Spec, error::Problem, locate::KeyPath};
use crate::{constants, decimal::Decimal, id::NodeId};

/// `model.weight`: a column with each row's weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowWeight {
    /// Whose column it is.
    pub party: NodeId,
    /// A listed numeric column, which is then no feature.
    pub column: String,
    /// No row weighs more; known to all parties, which calculate in units of it. Above 0, at most 64 together
    /// with class weights.
    pub max: Decimal,
}

/// `model.class_weight`: what a row weighs by its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassWeight {
    /// Of label 0. Above 0.
    pub good: Decimal,
    /// Of label 1. Above 0.
    pub bad: Decimal,
}

impl ClassWeight {
    /// The weight of a label.
    pub fn of(&self, label: u8) -> f64 {
        match label {
            0 => self.good.value(),
            _ => self.bad.value(),
        }
    }

    fn max(&self) -> f64 {
        self.good.value().max(self.bad.value())
    }
}

impl Spec {
    /// Positions of the parties that hold weights of rows, in their order, with the largest there can be.
    pub fn row_weights(&self) -> Vec<(usize, f64)> {
        let seats = self.seats();
        let of = |party: &Party, position: usize| {
            let class = self.model.class_weight.as_ref().filter(|_| position == 0);
            let column = self.model.weight.as_ref().filter(|w| w.party == party.id);
            let evaluation = self.evaluation.as_ref().filter(|_| position == 0);
            let in_time = evaluation.and_then(|e| e.out_of_time.as_ref()).map(|_| 1.0);
            let declined = self.reject_inference.as_ref().filter(|_| position == 0);
            let max = [
                class.map(ClassWeight::max),
                column.map(|w| w.max.value()),
                in_time,
                declined.map(|r| r.weight.value().max(1.0)),
            ];
            let max = max.into_iter().flatten().reduce(|a, b| a * b)?;
            Some((position, max))
        };
        let seats = seats.into_iter().enumerate();
        seats
            .filter_map(|(position, party)| of(party, position))
            .collect()
    }

    /// Columns of a party that are read and are no features: each row's weight, each row's offset, who was declined, what
    /// an evaluation reads.
    pub fn beside_features(&self, party: &str) -> Vec<&str> {
        let weight = self
            .model
            .weight
            .as_ref()
            .filter(|w| w.party.as_str() == party);
        let is_label = self
            .label_party()
            .is_some_and(|label| label.id.as_str() == party);
        let offset = self.model.offset.as_ref().filter(|_| is_label);
        let weight = weight.map(|w| w.column.as_str());
        let evaluation = self.evaluation.as_ref().filter(|_| is_label);
        let read = evaluation.into_iter().flat_map(|e| {
            let named = e.numeric().into_iter().chain(e.categorical());
            // an exposure stays the feature that it is
            let named = named.filter(|(key, _)| *key != "loss");
            named.map(|(_, column)| column)
        });
        let rejected = self.reject_inference.as_ref().filter(|_| is_label);
        let mut beside: Vec<&str> = weight
            .into_iter()
            .chain(rejected.map(|r| r.rejected.as_str()))
            .chain(offset.map(String::as_str))
            .chain(read)
            .collect();
        beside.sort_unstable();
        beside.dedup();
        beside
    }
}

/// Whether a model has any of these.
pub(super) fn any(model: &Model) -> bool {
    model.weight.is_some() || model.class_weight.is_some() || model.offset.is_some()
}

/// What must hold of weights and offsets.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let path = KeyPath::of("model");
    let mut unfit = |key: &str, why: String| {
        found.push((path.key(key), Problem::Rows { why }));
    };
    let listed = |party: &Party, column: &String| match &party.columns {
        Columns::Listed { numeric, .. } => numeric.contains(column),
        Columns::All => false,
    };
    if let Some(weight) = &spec.model.weight {
        match spec.party.iter().find(|party| party.id == weight.party) {
            None => unfit(
                "weight",
                format!("`{}` is no party of this job", weight.party),
            ),
            Some(party) if !listed(party, &weight.column) => unfit(
                "weight",
                format!(
                    "`{}` is none of the numeric columns that `{}` lists",
                    weight.column, party.id
                ),
            ),
            Some(_) => {}
        }
    }
    if let (Some(offset), Some(label)) = (&spec.model.offset, spec.label_party()) {
        if !listed(label, offset) {
            let why = format!(
                "`{offset}` is none of the numeric columns that `{}` lists",
                label.id
            );
            unfit("offset", why);
        }
        let twice = |w: &RowWeight| w.party == label.id && w.column == *offset;
        if spec.model.weight.as_ref().is_some_and(twice) {
            unfit(
                "offset",
                format!("`{offset}` is the weight or the offset, not both"),
            );
        }
    }
    let numbers = [
        ("weight", spec.model.weight.as_ref().map(|w| w.max)),
        (
            "class_weight",
            spec.model.class_weight.as_ref().map(|c| c.good),
        ),
        (
            "class_weight",
            spec.model.class_weight.as_ref().map(|c| c.bad),
        ),
    ];
    for (key, number) in numbers {
        if number.is_some_and(|n| n.value() <= 0.0) {
            unfit(key, "a weight here is above 0".to_owned());
        }
    }
    let most: f64 = spec.row_weights().iter().map(|(_, max)| max).product();
    if most > constants::MAX_ROW_WEIGHT {
        let key = if spec.model.weight.is_some() {
            "weight"
        } else {
            "class_weight"
        };
        let limit = constants::MAX_ROW_WEIGHT;
        unfit(
            key,
            format!(
                "a row could weigh {most}, at most {limit}: divide all weights, and l2 with them"
            ),
        );
    }
    for (position, party) in spec.party.iter().enumerate() {
        let beside = spec.beside_features(party.id.as_str());
        if let Columns::Listed {
            numeric,
            categorical,
        } = &party.columns
            && !beside.is_empty()
            && numeric.len() + categorical.len() <= beside.len()
        {
            let path = KeyPath::of("party").element(position).key("columns");
            found.push((
                path,
                Problem::Rows {
                    why: "no column is left as a feature".to_owned(),
                },
            ));
        }
    }
}
