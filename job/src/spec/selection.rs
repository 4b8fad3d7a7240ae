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
    /// Columns leave the fitted model one by one, or enter it: `{ direction = "backward", by = "p-value", leave = 0.05 }`. Default:
    /// none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepwise: Option<Stepwise>,
}

/// `selection.stepwise`: after each fit the column with the least Wald statistic leaves, if that is small enough, or of those
/// that are not in the model the one with the greatest score statistic enters, if that is large enough; and the model is fitted
/// anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stepwise {
    /// `backward` (default): from all columns down. `forward`: from the intercept up. `both`: from the intercept up, and after
    /// each that enters those leave that the model does as well without.
    pub direction: StepDirection,
    /// `p-value` (default): the least leaves while its p-value is above `leave`, the greatest enters while its is at most
    /// `enter`. `aic`: while statistics are below 2, or not, so that Akaike's criterion falls, to second order.
    pub by: StepBy,
    /// With `p-value`, forward and both: 0.0001 to 0.9. Default 0.05.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enter: Option<Decimal>,
    /// With `p-value`, backward and both: 0.0001 to 0.9; not below `enter`. Default 0.05, or `enter` where that is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leave: Option<Decimal>,
    /// At most so many columns leave or enter, 1 to 200. Default 50.
    pub max_steps: u64,
}

impl Default for Stepwise {
    fn default() -> Self {
        Self {
            direction: StepDirection::Backward,
            by: StepBy::PValue,
            enter: None,
            leave: None,
            max_steps: 50,
        }
    }
}

/// Where steps begin, and which they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepDirection {
    /// With all columns; they leave.
    Backward,
    /// With the intercept; columns enter.
    Forward,
    /// With the intercept; columns enter and leave.
    Both,
}

/// What decides whether a column leaves or enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepBy {
    /// Its p-value.
    PValue,
    /// Akaike's information criterion.
    Aic,
}

impl Stepwise {
    /// Largest p-value of a column that enters.
    fn enter(&self) -> Decimal {
        self.enter.unwrap_or(Decimal::literal(0.05))
    }

    /// A column with a larger p-value leaves.
    fn leave(&self) -> Decimal {
        let usual = Decimal::literal(0.05);
        let both = self.direction == StepDirection::Both;
        let least = self.enter.filter(|e| both && e.value() > usual.value());
        self.leave.unwrap_or(least.unwrap_or(usual))
    }

    fn threshold(&self, p: Decimal) -> f64 {
        match self.by {
            StepBy::PValue => paripassu_model::stepwise::statistic(p.value()),
            StepBy::Aic => 2.0,
        }
    }

    /// Where columns enter: one whose score statistic reaches this may.
    pub fn entering(&self) -> Option<f64> {
        let enters = self.direction != StepDirection::Backward;
        enters.then(|| self.threshold(self.enter()))
    }

    /// Where columns leave: one whose Wald statistic is below this may.
    pub fn leaving(&self) -> Option<f64> {
        let leaves = self.direction != StepDirection::Forward;
        leaves.then(|| self.threshold(self.leave()))
    }

    /// When a column leaves, in words.
    pub fn leaves_if(&self) -> String {
        match self.by {
            StepBy::PValue => format!("its p-value is above {}", self.leave()),
            StepBy::Aic => "Akaike's criterion falls without it".to_owned(),
        }
    }

    /// When a column enters, in words.
    pub fn enters_if(&self) -> String {
        match self.by {
            StepBy::PValue => format!("its p-value is at most {}", self.enter()),
            StepBy::Aic => "Akaike's criterion falls with it".to_owned(),
        }
    }

    /// Limits that are not of the direction, or not of what decides.
    fn misplaced(&self) -> Vec<(&'static str, &'static str)> {
        let mut list = Vec::new();
        let (enter, leave) = (self.enter.is_some(), self.leave.is_some());
        if self.by == StepBy::Aic {
            let why = "by = \"aic\" decides by Akaike's criterion and knows no p-value: leave it out, or write by = \"p-value\"";
            list.extend(enter.then_some(("enter", why)));
            list.extend(leave.then_some(("leave", why)));
            return list;
        }
        if self.direction == StepDirection::Backward && enter {
            let why = "no column enters in backward steps, which begin with all: leave it out, or write direction = \"both\"";
            list.push(("enter", why));
        }
        if self.direction == StepDirection::Forward && leave {
            let why =
                "no column leaves in forward steps: leave it out, or write direction = \"both\"";
            list.push(("leave", why));
        }
        let both = self.direction == StepDirection::Both;
        if both && self.leave().value() < self.enter().value() {
            let why = "a column that enters with a p-value above leave would leave at once and come back: leave may not be below enter";
            list.push(("leave", why));
        }
        list
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
        for (key, limit) in [("enter", stepwise.enter), ("leave", stepwise.leave)] {
            if let Some(limit) = limit {
                within(key, limit.value(), 0.0001, 0.9);
            }
        }
        within("max_steps", stepwise.max_steps as f64, 1.0, 200.0);
        for (key, why) in stepwise.misplaced() {
            let (path, why) = (KeyPath::of("selection.stepwise").key(key), why.to_owned());
            found.push((path, Problem::Rows { why }));
        }
        for (wrong, why) in [
            (
                spec.tuning.is_some(),
                "statistics of steps are those of one l2, and trials would choose another for other columns: leave out [tuning], or \
                 choose l2 in a job before this one; max_correlation and max_vif go with it",
            ),
            (
                spec.is_held(),
                "statistics are not defined where an L1 penalty or signs hold coefficients: leave out model.l1 and signs, \
                 or stepwise; max_correlation and max_vif go with them",
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
        "counts = \"strict\" leaves weights of evidence that their owner does not know and cannot bring to correlations: leave out \
         [selection], or write counts = \"bank-sees\""
    } else {
        return;
    };
    let why = why.to_owned();
    found.push((KeyPath::of("selection"), Problem::Rows { why }));
}
