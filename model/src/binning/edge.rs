//! Edges of bins: finite numbers, written so that they are read back exactly.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::BinningError;

/// A finite number that is written as the shortest decimal that reads back as itself, a text in files.
#[derive(Clone, Copy, PartialEq)]
pub struct Edge(f64);

impl Edge {
    /// A number as an edge.
    ///
    /// # Errors
    /// [`BinningError::Edge`] if it is infinite or no number.
    pub fn new(value: f64) -> Result<Self, BinningError> {
        if !value.is_finite() {
            return Err(BinningError::Edge {
                got: value.to_string(),
            });
        }
        // one zero, so that order and equality agree
        Ok(Self(if value == 0.0 { 0.0 } else { value }))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Eq for Edge {}

impl Ord for Edge {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Edge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Edge {
    type Err = BinningError;

    fn from_str(text: &str) -> Result<Self, BinningError> {
        let value = text.parse::<f64>().map_err(|_| BinningError::Edge {
            got: text.chars().take(40).collect(),
        })?;
        Self::new(value)
    }
}

impl Serialize for Edge {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Edge {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}
