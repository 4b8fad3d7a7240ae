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
    /// Columns leave the fitted model one by one: `{ direction = "backward", by = "p-value", leave = 0.05 }`. Default: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepwise: Option<Stepwise>,
}

/// `selection.stepwise`: after each fit the column with the least Wald statistic leaves, if that is small enough, and the rest
/// are fitted anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stepwise {
    /// `backward`: from all columns down; columns do not come back.
    pub direction: StepDirection,
    /// `p-value` (default): the least leaves while its p-value is above `leave`. `aic`: while its statistic is below 2, so that
    /// Akaike's criterion falls, to second order.
    pub by: StepBy,
    /// With `p-value`: 0.0001 to 0.9. Default 0.05.
    pub leave: Decimal,
    /// At most so many columns leave, 1 to 200. Default 50.
    pub max_steps: u64,
}

impl Default for Stepwise {
    fn default() -> Self {
        Self {
            direction: StepDirection::Backward,
            by: StepBy::PValue,
            leave: Decimal::literal(0.05),
            max_steps: 50,
        }
    }
}

/// Where steps begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepDirection {
    /// With all columns.
    Backward,
}

/// What decides whether a column leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepBy {
    /// Its p-value.
    PValue,
    /// Akaike's information criterion.
    Aic,
}

impl Stepwise {
    /// A column whose Wald statistic is below this may leave.
    pub fn threshold(&self) -> f64 {
        match self.by {
            StepBy::PValue => paripassu_model::stepwise::statistic(self.leave.value()),
            StepBy::Aic => 2.0,
        }
    }

    /// In words.
    pub fn rule(&self) -> String {
        match self.by {
            StepBy::PValue => format!("its p-value is above {}", self.leave),
            StepBy::Aic => "Akaike's criterion falls without it".to_owned(),
        }
    }
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
    if let Some(stepwise) = &selection.stepwise {
        let mut within = |key: &str, got: f64, low: f64, high: f64| {
            if !(low..=high).contains(&got) {
                let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
                let path = KeyPath::of("selection.stepwise").key(key);
                found.push((path, Problem::Range { got, low, high }));
            }
        };
        within("leave", stepwise.leave.value(), 0.0001, 0.9);
        within("max_steps", stepwise.max_steps as f64, 1.0, 200.0);
        for (wrong, why) in [
            (
                spec.tuning.is_some(),
                "steps are of one l2: leave out [tuning], or choose l2 in a job before this one",
            ),
            (
                spec.is_held(),
                "statistics are not defined where an L1 penalty or signs hold coefficients: leave out model.l1 and signs, \
                 or stepwise",
            ),
        ] {
            if wrong {
                let why = why.to_owned();
                found.push((KeyPath::of("selection.stepwise"), Problem::Rows { why }));
            }
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
