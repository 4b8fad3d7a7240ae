//! `"auto"` or a whole number.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A setting that the planner makes unless the modeler does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoOr {
    /// `"auto"`.
    Auto,
    /// A number.
    Is(u32),
}

impl AutoOr {
    /// The number, or what `auto` gives.
    pub fn unwrap_or_else(self, auto: impl FnOnce() -> u32) -> u32 {
        match self {
            Self::Auto => auto(),
            Self::Is(number) => number,
        }
    }
}

impl fmt::Display for AutoOr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Is(number) => f.pad(&number.to_string()),
        }
    }
}

impl Serialize for AutoOr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => s.serialize_str("auto"),
            Self::Is(number) => s.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for AutoOr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Setting;
        impl de::Visitor<'_> for Setting {
            type Value = AutoOr;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a whole number")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<AutoOr, E> {
                match text {
                    "auto" => Ok(AutoOr::Auto),
                    _ => Err(E::unknown_variant(text, &["auto", "a whole number"])),
                }
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<AutoOr, E> {
                u32::try_from(number)
                    .map(AutoOr::Is)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<AutoOr, E> {
                u64::try_from(number)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
                    .and_then(|number| self.visit_u64(number))
            }
        }
        d.deserialize_any(Setting)
    }
}
