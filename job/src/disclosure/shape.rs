//! What openings look like.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decimal::Decimal;

/// What one opening looks like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Shape {
    /// One bit.
    Bit,
    /// One whole number.
    Count,
    /// One bit for each of the receiver's own customers.
    Membership,
    /// One decimal for each design column of the receiver; for the label party also the intercept.
    Coefficients,
    /// The weights of a network that belong to the receiver's own columns; for the label party also the further layers.
    Weights,
    /// One number for each test row, the sum of the other parties' parts of its score: a multiple of `step`
    /// on the log-odds scale.
    Scores {
        /// The step.
        step: Decimal,
    },
    /// At most four codes of columns for each test row.
    Reasons,
    /// A table of summary numbers.
    Summary,
    /// Sizes and times of sealed messages.
    Traffic,
}

impl Shape {
    /// Whether one opening is exactly one value.
    pub const fn is_single(&self) -> bool {
        matches!(self, Self::Bit | Self::Count)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bit => f.pad("one bit"),
            Self::Count => f.pad("one number"),
            Self::Membership => f.pad("one bit per own customer"),
            Self::Coefficients => f.pad("one number per own column"),
            Self::Weights => f.pad("the network's weights of own columns"),
            Self::Scores { step } => f.pad(&format!("one number per test row, in steps of {step}")),
            Self::Reasons => f.pad("up to four codes per test row"),
            Self::Summary => f.pad("a table of summary numbers"),
            Self::Traffic => f.pad("sizes and times"),
        }
    }
}
