//! Decimal numbers with one spelling.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::excerpt;

/// Why a number was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecimalError {
    /// NaN or infinite.
    #[error("a finite number is needed, got {got}")]
    NotFinite {
        /// What was given.
        got: String,
    },
    /// Not the one spelling of a number.
    #[error("`{got}` is not a decimal in its shortest form, such as `0.5` or `12`")]
    Spelling {
        /// What was given, cut to a printable length.
        got: String,
    },
}

/// A finite decimal, held as the nearest 64-bit float, with exactly one spelling.
///
/// The spelling is the shortest text that reads back as the same float, without exponent and
/// without trailing zeros: `1`, `0.5`, `0.00002`. Contracts carry decimals as such text, because
/// the spelling of a float in JSON is where implementations differ; `job.toml` carries plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Decimal(f64);

impl Decimal {
    /// The decimal nearest to `value`.
    ///
    /// # Errors
    /// When `value` is NaN or infinite.
    pub fn new(value: f64) -> Result<Self, DecimalError> {
        if value.is_finite() {
            Ok(Self(if value == 0.0 { 0.0 } else { value }))
        } else {
            Err(DecimalError::NotFinite {
                got: value.to_string(),
            })
        }
    }

    /// The value as a float.
    pub const fn value(self) -> f64 {
        self.0
    }

    /// A constant of this crate, known to be finite and not negative zero.
    pub(crate) const fn literal(value: f64) -> Self {
        assert!(value.is_finite());
        Self(value)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}", self.0))
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let spelling = || DecimalError::Spelling { got: excerpt(text) };
        let decimal = Self::new(text.parse().map_err(|_| spelling())?)?;
        if decimal.to_string() == text {
            Ok(decimal)
        } else {
            Err(spelling())
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Number;
        impl de::Visitor<'_> for Number {
            type Value = Decimal;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Decimal, E> {
                Decimal::new(value).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Decimal, E> {
                i32::try_from(value)
                    .map(|small| Decimal(f64::from(small)))
                    .map_err(|_| E::custom(format_args!("{value} is too large here")))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Decimal, E> {
                i64::try_from(value)
                    .map_err(E::custom)
                    .and_then(|value| self.visit_i64(value))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_spelling() {
        for (value, text) in [
            (1.0, "1"),
            (0.5, "0.5"),
            (2e-5, "0.00002"),
            (-0.0, "0"),
            (1e3, "1000"),
        ] {
            assert_eq!(Decimal::new(value).unwrap().to_string(), text);
            assert_eq!(text.parse::<Decimal>().unwrap().value(), value);
        }
        for other in [
            "1.0", "01", "+1", "1e0", ".5", "0.50", "-0", "inf", "NaN", "", " 1",
        ] {
            assert!(other.parse::<Decimal>().is_err(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trip(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let decimal = Decimal::new(value).unwrap();
            prop_assert_eq!(decimal.to_string().parse::<Decimal>().unwrap(), decimal);
        }
    }
}
