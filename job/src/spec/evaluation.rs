//! `[evaluation]`: what the label party computes on the test rows beyond the comparison, from its own columns.

use serde::{Deserialize, Serialize};

use super::{Columns, Spec, error::Problem, locate::KeyPath};
use crate::{constants, decimal::Decimal};

/// `[evaluation]`. Every column named here is a listed column of the label party, is read there and
/// nowhere else, and, the exposure apart, is no feature. The figures stand in that party's own report; nothing more is opened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Categorical column with the month of observation, as text that sorts by time (`2026-03`): figures by
    /// month, and stability against the first. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// First month that is out of time: training rows from it on weigh 0 (who they are stays with the label
    /// party), test rows from it on are reported by themselves. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out_of_time: Option<String>,
    /// Categorical column with a segment: figures by segment. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The score of a model in use: `{ column = "old_score", higher = "better" }`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incumbent: Option<Incumbent>,
    /// Numeric column with the points of a rule set: rows above 0 are flagged, higher is worse. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// Share of rows to approve, in the swap set and the fairness table: 0.01 to 0.99. Default 0.8.
    pub approve: Decimal,
    /// What a default costs: `{ lgd = 0.45, exposure = "limit" }`. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossGivenDefault>,
    /// An attribute whose groups are compared. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fairness: Option<Fairness>,
    /// Resamples of the bootstrap intervals: 0 for none, at most 10000. Default 1000.
    pub resamples: u64,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            month: None,
            out_of_time: None,
            segment: None,
            incumbent: None,
            rules: None,
            approve: constants::DEFAULT_APPROVE,
            loss: None,
            fairness: None,
            resamples: constants::DEFAULT_RESAMPLES,
        }
    }
}

/// `evaluation.incumbent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incumbent {
    /// A listed numeric column.
    pub column: String,
    /// What a higher one says of a customer.
    pub higher: Higher,
}

/// The direction of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Higher {
    /// A higher score is better.
    Better,
    /// A higher score is worse, as with a probability of default.
    Worse,
}

/// `evaluation.loss`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossGivenDefault {
    /// Share of the exposure that is lost: 0 to 1.
    pub lgd: Decimal,
    /// A listed numeric column with the exposure, which stays a feature. Default: 1 each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exposure: Option<String>,
}

/// `evaluation.fairness`: limits differ by jurisdiction, so all are here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fairness {
    /// A listed categorical column.
    pub column: String,
    /// The group that others are compared with. Default: the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Smaller groups are left out, and never one alone: 10 to 1000000. Default 100.
    #[serde(default = "default_min_rows")]
    pub min_rows: u64,
    /// Least approval rate as a share of the reference group's, below which a group is marked: 0 to 1.
    /// Default 0.8.
    #[serde(default = "default_least_ratio")]
    pub least_ratio: Decimal,
}

fn default_min_rows() -> u64 {
    constants::DEFAULT_FAIRNESS_ROWS
}

fn default_least_ratio() -> Decimal {
    constants::DEFAULT_LEAST_RATIO
}

impl Evaluation {
    /// The categorical columns it names, with their keys.
    pub fn categorical(&self) -> Vec<(&'static str, &str)> {
        [
            ("month", self.month.as_deref()),
            ("segment", self.segment.as_deref()),
            (
                "fairness",
                self.fairness.as_ref().map(|f| f.column.as_str()),
            ),
        ]
        .into_iter()
        .filter_map(|(key, column)| Some((key, column?)))
        .collect()
    }

    /// The numeric columns it names, with their keys.
    pub fn numeric(&self) -> Vec<(&'static str, &str)> {
        let exposure = self.loss.as_ref().and_then(|l| l.exposure.as_deref());
        [
            (
                "incumbent",
                self.incumbent.as_ref().map(|i| i.column.as_str()),
            ),
            ("rules", self.rules.as_deref()),
            ("loss", exposure),
        ]
        .into_iter()
        .filter_map(|(key, column)| Some((key, column?)))
        .collect()
    }
}

/// What must hold of it in a job of parties with different columns.
pub(super) fn check(spec: &Spec, found: &mut Vec<(KeyPath, Problem)>) {
    let Some(evaluation) = &spec.evaluation else {
        return;
    };
    let at = |key: &str| KeyPath::of(&format!("evaluation.{key}"));
    let mut unfit = |key: &str, why: String| {
        found.push((at(key), Problem::Rows { why }));
    };
    if spec.outputs.metrics_to.is_empty() {
        let why = "without metrics there is nothing to evaluate: set outputs.metrics_to and outputs.scores";
        unfit("", why.to_owned());
    }
    if let Some(label) = spec.label_party() {
        let (numeric, categorical): (&[String], &[String]) = match &label.columns {
            Columns::Listed {
                numeric,
                categorical,
            } => (numeric, categorical),
            Columns::All => (&[], &[]),
        };
        let mut check = |kind: &str, named: Vec<(&str, &str)>, listed: &[String]| {
            for (key, column) in named {
                if !listed.iter().any(|c| c == column) {
                    let why = format!(
                        "`{column}` is none of the {kind} columns that `{}` lists",
                        label.id
                    );
                    unfit(key, why);
                }
            }
        };
        check("numeric", evaluation.numeric(), numeric);
        check("categorical", evaluation.categorical(), categorical);
        // the champion whose score is the offset may also be the incumbent
        let weight = spec.model.weight.as_ref();
        let weight = weight.filter(|w| w.party == label.id);
        for (key, column) in evaluation.numeric() {
            if key != "loss" && weight.is_some_and(|w| w.column == column) {
                unfit(key, format!("`{column}` is already each row's weight"));
            }
        }
    }
    if evaluation.out_of_time.is_some() && evaluation.month.is_none() {
        let why = "there is no evaluation.month to be out of time by".to_owned();
        unfit("out_of_time", why);
    }
    let mut within = |key: &str, got: f64, low: f64, high: f64| {
        if !(low..=high).contains(&got) {
            let problem = Problem::Range {
                got: got.to_string(),
                low: low.to_string(),
                high: high.to_string(),
            };
            found.push((at(key), problem));
        }
    };
    within("approve", evaluation.approve.value(), 0.01, 0.99);
    within("resamples", evaluation.resamples as f64, 0.0, 10_000.0);
    if let Some(loss) = &evaluation.loss {
        within("loss.lgd", loss.lgd.value(), 0.0, 1.0);
    }
    if let Some(fairness) = &evaluation.fairness {
        within("fairness.min_rows", fairness.min_rows as f64, 10.0, 1e6);
        within(
            "fairness.least_ratio",
            fairness.least_ratio.value(),
            0.0,
            1.0,
        );
    }
}
