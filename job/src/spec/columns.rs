//! Which columns of a data set take part.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The columns a party brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// `"all"`: every column that the party's data set offers, with the kinds declared there.
    All,
    /// These, by name.
    Listed {
        /// Columns read as numbers.
        numeric: Vec<String>,
        /// Columns read as categories, one design column per level.
        categorical: Vec<String>,
    },
}

impl Columns {
    /// No column at all.
    pub fn none() -> Self {
        Self::Listed {
            numeric: Vec::new(),
            categorical: Vec::new(),
        }
    }

    /// The listed names, numeric first; none for [`Columns::All`].
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let (numeric, categorical): (&[String], &[String]) = match self {
            Self::All => (&[], &[]),
            Self::Listed {
                numeric,
                categorical,
            } => (numeric, categorical),
        };
        numeric.iter().chain(categorical).map(String::as_str)
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("every column that its data set offers"),
            Self::Listed {
                numeric,
                categorical,
            } => {
                write!(
                    f,
                    "{} numeric, {} categorical",
                    numeric.len(),
                    categorical.len()
                )
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    #[serde(default)]
    numeric: Vec<String>,
    #[serde(default)]
    categorical: Vec<String>,
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.clone() {
            Self::All => s.serialize_str("all"),
            Self::Listed {
                numeric,
                categorical,
            } => Lists {
                numeric,
                categorical,
            }
            .serialize(s),
        }
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> de::Visitor<'de> for Choice {
            type Value = Columns;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"all\" or { numeric = [..], categorical = [..] }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Columns, E> {
                match text {
                    "all" => Ok(Columns::All),
                    _ => Err(E::unknown_variant(
                        text,
                        &["all", "{ numeric = [..], categorical = [..] }"],
                    )),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Columns, A::Error> {
                let Lists {
                    numeric,
                    categorical,
                } = Lists::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Columns::Listed {
                    numeric,
                    categorical,
                })
            }
        }
        d.deserialize_any(Choice)
    }
}
