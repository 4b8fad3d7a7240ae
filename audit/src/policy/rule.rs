//! A party's own rules: each holds what the contract says of one thing against what the party allows.

use serde::{Deserialize, Serialize};

use super::Asked;

/// How what the contract says is held against the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Is {
    /// Everything it says is among `values`.
    Within,
    /// Nothing it says is among `values`.
    Without,
    /// Every number it says is at least `number`.
    Least,
    /// Every number it says is at most `number`.
    Most,
    /// `values`, what the party has used up by its own count, are none.
    Unspent,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub id: String,
    /// How it judges.
    pub is: Is,
    /// Of what in the contract, as in [`Asked::values`]; empty for [`Is::Unspent`].
    pub of: String,
    /// The limit, a decimal; empty where there is none.
    pub number: String,
    /// Of what the contract says, that which the party allows (or, for [`Is::Without`], forbids): of the rest of
    /// its policy nothing.
    pub values: Vec<String>,
}

impl Rule {
    /// Whether what the contract asks keeps to it.
    pub fn holds(&self, asked: &Asked) -> bool {
        if self.is == Is::Unspent {
            return self.values.is_empty();
        }
        let Some(values) = asked.values(&self.of) else {
            return false;
        };
        let compare = |holds: fn(&u128, &u128) -> bool| {
            let limit = decimal(&self.number);
            let within = |value: &String| {
                let pair = decimal(value).zip(limit);
                pair.is_some_and(|(value, limit)| holds(&value, &limit))
            };
            limit.is_some() && values.iter().all(within)
        };
        match self.is {
            Is::Within => values.iter().all(|value| self.values.contains(value)),
            Is::Without => !values.iter().any(|value| self.values.contains(value)),
            Is::Least => compare(u128::ge),
            Is::Most => compare(u128::le),
            Is::Unspent => false,
        }
    }
}

/// A decimal of up to 18 digits on either side of its point, in units of 10^-18.
fn decimal(text: &str) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| {
        let sound = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        sound.then_some(())
    };
    digits(whole)?;
    digits(part)?;
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = format!("{part:0<18}").parse().ok()?;
    Some(whole * 10_u128.pow(18) + part)
}
