//! `[selection]`: which columns the model is fitted on, where columns of several parties say the same.

use serde::{Deserialize, Serialize};

use super::{Spec, error::Problem, locate::KeyPath};
use crate::{
    constants::{SELECTION_CORRELATION, SELECTION_VIF},
    decimal::Decimal,
};

/// `[selection]`: correlations of all parties' design columns over the training rows, each counted once, and variance inflation
/// from them, on shares, before the model is fitted. Each party learns the inflation of its own columns.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Of two columns, of one party or two, whose correlation is at least this in magnitude the one goes that correlates less
    /// with the label, 0.1 to 0.999. Default: none goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_correlation: Option<Decimal>,
    /// The column with the largest variance inflation goes, one after the other, until none is above this, 1.1 to 1000.
    /// Default: none goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_vif: Option<Decimal>,
    /// `hidden` (default): nobody learns a correlation. `all`: all parties learn the correlations between different parties'
    /// columns, by their places.
    pub correlations: SelectionCorrelations,
}

/// Who learns correlations between parties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectionCorrelations {
    /// Nobody.
    #[default]
    Hidden,
    /// All parties.
    All,
}

/// What must hold of a selection.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(selection) = &spec.selection else {
        return;
    };
    for (key, value, range) in [
        (
            "selection.max_correlation",
            selection.max_correlation,
            SELECTION_CORRELATION,
        ),
        ("selection.max_vif", selection.max_vif, SELECTION_VIF),
    ] {
        if let Some(got) = value.filter(|v| !range.contains(&v.value())) {
            let (got, low, high) = (
                got.to_string(),
                range.start().to_string(),
                range.end().to_string(),
            );
            found.push((KeyPath::of(key), Problem::Range { got, low, high }));
        }
    }
    let why = if spec.horizontal.is_some() {
        "banks of a horizontal job have the same columns: leave it out, or use binning.max_correlation and max_vif"
    } else if spec.overlap.is_some() {
        "a job that only matches customers has no columns: leave it out"
    } else if spec.network.is_some() {
        "columns are selected for a logistic regression: leave out [network] or [selection]"
    } else if spec.binning.as_ref().is_some_and(|b| b.strict()) {
        "counts = \"strict\" leaves columns that nobody could compare: leave out [selection], or write counts = \"bank-sees\""
    } else {
        return;
    };
    let why = why.to_owned();
    found.push((KeyPath::of("selection"), Problem::Rows { why }));
}
