//! An L1 penalty, and signs that coefficients must have, in a vertical job.

use std::collections::BTreeSet;

use paripassu_model::{design::Source, logistic::Sign};
use serde::{Deserialize, Serialize};

use super::{Columns, Model, Spec, Tuning, WoeSign, error::Problem, locate::KeyPath};
use crate::{constants, id::NodeId};

/// `[[model.sign]]`: the sign that a column's coefficient must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSign {
    /// Whose column it is.
    pub party: NodeId,
    /// A listed numeric column.
    pub column: String,
    /// `positive`: the more, the more is bad. `negative`: the more, the less is bad. The coefficient may be 0. Where
    /// values are missing, the column that says so is free.
    pub sign: SignOf,
}

/// A sign of a coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignOf {
    /// The more, the more is bad.
    Positive,
    /// The more, the less is bad.
    Negative,
}

impl Spec {
    /// Whether an L1 penalty, or trials of such penalties, or signs hold coefficients.
    pub fn is_held(&self) -> bool {
        let path = self.tuning.as_ref().is_some_and(Tuning::is_path);
        self.model.l1.value() != 0.0 || path || self.has_signs()
    }

    /// Whether coefficients of some columns must have a sign.
    pub fn has_signs(&self) -> bool {
        self.model.woe_signs || !self.model.sign.is_empty()
    }

    /// The sign that the coefficient of a party's design column must have.
    pub fn sign_of(&self, party: &str, source: &Source) -> Sign {
        match source {
            Source::Woe(_) if self.model.woe_signs => {
                match self.binning.as_ref().map(|b| b.woe_sign) {
                    Some(WoeSign::BadGood) => Sign::Positive,
                    // ln(good% / bad%) rises as log-odds of bad fall
                    _ => Sign::Negative,
                }
            }
            Source::Numeric { column, .. } => {
                let mut all = self.model.sign.iter();
                let found = all.find(|s| s.party.as_str() == party && s.column == *column);
                match found.map(|s| s.sign) {
                    Some(SignOf::Positive) => Sign::Positive,
                    Some(SignOf::Negative) => Sign::Negative,
                    None => Sign::Free,
                }
            }
            _ => Sign::Free,
        }
    }
}

/// Whether a model has any of these.
pub(super) fn any(model: &Model) -> bool {
    model.l1.value() != 0.0 || model.woe_signs || !model.sign.is_empty()
}

/// What must hold of them, in a job whose parties hold different columns.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let l1 = spec.model.l1.value();
    if !constants::L1.contains(&l1) {
        let (low, high) = (constants::L1.start(), constants::L1.end());
        let problem = Problem::Range {
            got: l1.to_string(),
            low: low.to_string(),
            high: high.to_string(),
        };
        found.push((KeyPath::of("model.l1"), problem));
    }
    let mut unfit = |path: KeyPath, why: String| found.push((path, Problem::Rows { why }));
    if spec.is_held() && spec.outputs.standard_errors {
        unfit(
            KeyPath::of("outputs.standard_errors"),
            "standard errors are not defined where an L1 penalty or signs may set coefficients to 0: leave them out, \
             or model.l1, tuning.l1 and signs"
                .to_owned(),
        );
    }
    if spec.model.woe_signs && spec.binning.is_none() {
        unfit(
            KeyPath::of("model.woe_signs"),
            "without [binning] no column is a weight of evidence: name columns in [[model.sign]]"
                .to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for (at, sign) in spec.model.sign.iter().enumerate() {
        let path = KeyPath::of("model.sign").element(at);
        if spec.binning.is_some() {
            unfit(
                path.clone(),
                "with [binning] a column is the weight of evidence of its bins, whose coefficient says nothing of the \
                 column's own direction: set model.woe_signs = true, and the direction as the trend of the column's \
                 bins in [[binning.column]]"
                    .to_owned(),
            );
        }
        if !seen.insert((&sign.party, &sign.column)) {
            unfit(
                path.key("column"),
                format!("`{}` of `{}` has a sign already", sign.column, sign.party),
            );
        }
        let Some(party) = spec.party.iter().find(|p| p.id == sign.party) else {
            let why = format!("`{}` is no party of this job", sign.party);
            unfit(path.key("party"), why);
            continue;
        };
        let (column, id) = (&sign.column, &party.id);
        let why = match &party.columns {
            Columns::Listed { numeric, .. } if numeric.contains(column) => {
                let beside = spec.beside_features(id.as_str());
                beside
                    .contains(&column.as_str())
                    .then(|| format!("`{column}` of `{id}` is no feature in this job"))
            }
            Columns::Listed { categorical, .. } if categorical.contains(column) => Some(format!(
                "`{column}` is a category: each of its levels has a coefficient beside the others, and one sign for \
                 all means nothing; use [binning] and model.woe_signs"
            )),
            Columns::Listed { .. } => Some(format!(
                "`{column}` is none of the numeric columns that `{id}` lists"
            )),
            Columns::All => Some(format!(
                "`{id}` takes part with all its columns: list them, so that all see that `{column}` is one"
            )),
        };
        if let Some(why) = why {
            unfit(path.key("column"), why);
        }
    }
}
