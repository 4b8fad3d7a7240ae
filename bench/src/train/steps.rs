//! How a logistic regression is trained.

use serde::{Deserialize, Serialize};

/// How steps are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Steps {
    /// By a Hessian and its inverse.
    #[default]
    Newton,
    /// By the gradient and momentum.
    Accelerated,
    /// By mini-batches.
    Sgd,
}

impl std::str::FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "newton" => Ok(Self::Newton),
            "accelerated" => Ok(Self::Accelerated),
            "sgd" => Ok(Self::Sgd),
            _ => Err("newton, accelerated or sgd".into()),
        }
    }
}

impl std::fmt::Display for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Newton => "newton",
            Self::Accelerated => "accelerated",
            Self::Sgd => "sgd",
        })
    }
}
