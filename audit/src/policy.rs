//! What of a party's policy decided about a contract, in a form that anybody can judge by again.
//!
//! A node writes this text down (`policy.stated`, in pieces) before the verdict that names its digest
//! (`policy.evaluated`). It says only what bears on what the contract names: of other data sets and
//! columns nothing, and never a path or a value. [`Stated::judge`] is the whole of version 1; another
//! version is another `format`, and a reader that does not know it says so.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical;

/// The `format` of version 1.
pub const FORMAT: &str = "paripassu.policy.v1";
/// Most bytes of text in one `policy.stated`.
pub const PIECE: usize = 16 * 1024;
/// Most pieces.
pub const MAX_PIECES: u64 = 64;

/// Why a text is no policy that this program can judge by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not what version 1 demands.
    #[error("the policy cannot be read: {0}")]
    Malformed(String),
    /// Another form.
    #[error("the policy is of the form `{got}`, this program judges by `{FORMAT}`")]
    Format {
        /// The form named.
        got: String,
    },
}

/// Version 1: which data a party offers to jobs, and who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// [`FORMAT`].
    pub format: String,
    /// The party's own version of its policy.
    pub version: u64,
    /// Whose it is.
    pub party: String,
    /// `officer` if a person decides, `automatic` if nobody does.
    pub approval: String,
    /// The data set that the contract names, if it is offered.
    pub datasets: Vec<Offered>,
}

/// A data set on offer, as far as the contract names columns of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offered {
    /// Its name.
    pub name: String,
    /// Whether it has a label.
    pub label: bool,
    /// Numeric columns.
    pub numeric: Vec<String>,
    /// Categorical columns.
    pub categorical: Vec<String>,
}

/// What a contract asks of one party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The data set.
    pub dataset: String,
    /// Numeric and categorical columns; none for all that are offered.
    pub columns: Option<[Vec<String>; 2]>,
    /// Whether the party is to bring the label.
    pub label: bool,
    /// Whether the submitter that the contract names is the one who signed.
    pub submitter: bool,
}

impl Asked {
    /// What the canonical contract asks of `party`, which saw `submitter` (`kind/id`) sign it.
    pub fn of(contract: &Value, party: &str, submitter: &str) -> Option<Self> {
        let text = |value: &Value, member: &str| value.get(member)?.as_str().map(str::to_owned);
        let parties = contract.pointer("/spec/party")?.as_array()?;
        let seat = parties
            .iter()
            .find(|seat| text(seat, "id").as_deref() == Some(party))?;
        let columns = match seat.get("columns")? {
            Value::String(all) if all == "all" => None,
            listed => {
                let names = |kind: &str| match listed.get(kind) {
                    None => Some(Vec::new()),
                    Some(names) => names
                        .as_array()?
                        .iter()
                        .map(|name| name.as_str().map(str::to_owned))
                        .collect(),
                };
                listed.as_object()?;
                Some([names("numeric")?, names("categorical")?])
            }
        };
        let by = contract.get("submitter")?;
        Some(Self {
            dataset: text(seat, "dataset")?,
            columns,
            label: text(seat, "role")? == "label",
            submitter: format!("{}/{}", text(by, "kind")?, text(by, "id")?) == submitter,
        })
    }
}

impl Stated {
    /// The canonical text; its SHA-256 is what a verdict names.
    ///
    /// # Errors
    /// When the version is beyond 2^53 − 1.
    pub fn to_text(&self) -> Result<String, canonical::CanonicalError> {
        canonical::to_string(&serde_json::to_value(self)?)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is not canonical, of another form, or lacks a member.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let malformed = |e: &dyn std::fmt::Display| PolicyError::Malformed(e.to_string());
        let value: Value = serde_json::from_str(text).map_err(|e| malformed(&e))?;
        if canonical::to_string(&value).map_err(|e| malformed(&e))? != text {
            return Err(malformed(&"it is not canonical JSON"));
        }
        match value.get("format").and_then(Value::as_str) {
            Some(FORMAT) => serde_json::from_value(value).map_err(|e| malformed(&e)),
            other => Err(PolicyError::Format {
                got: other.unwrap_or_default().chars().take(80).collect(),
            }),
        }
    }

    /// What it says: each rule and its verdict, in the order in which they are written down.
    pub fn judge(&self, asked: &Asked) -> [(&'static str, &'static str); 3] {
        let dataset = self.datasets.iter().find(|d| d.name == asked.dataset);
        let offered = dataset.is_some_and(|dataset| {
            let within = |asked: &[String], have: &[String]| asked.iter().all(|c| have.contains(c));
            let columns = asked.columns.as_ref().is_none_or(|[numeric, categorical]| {
                within(numeric, &dataset.numeric) && within(categorical, &dataset.categorical)
            });
            columns && (dataset.label || !asked.label)
        });
        let unless_denied = |holds| if holds { "allow" } else { "deny" };
        let decides = match self.approval.as_str() {
            "automatic" => "allow",
            "officer" => "ask",
            _ => "deny",
        };
        [
            ("submitter", unless_denied(asked.submitter)),
            ("offered", unless_denied(offered)),
            ("approval", decides),
        ]
    }
}

/// The place of a verdict among the others; none for what is no verdict.
pub fn rank(verdict: &str) -> Option<u8> {
    match verdict {
        "allow" => Some(0),
        "ask" => Some(1),
        "deny" => Some(2),
        _ => None,
    }
}

/// The strictest of these verdicts; `deny` where there are none or one of them is no verdict.
pub fn strictest<'a>(verdicts: impl IntoIterator<Item = &'a str>) -> &'static str {
    let ranks = verdicts.into_iter().map(rank);
    match ranks.reduce(|a, b| Some(a?.max(b?))).flatten() {
        Some(0) => "allow",
        Some(1) => "ask",
        _ => "deny",
    }
}

/// The text in pieces of at most [`PIECE`] bytes, cut at characters.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > PIECE {
        let (piece, tail) = rest.split_at(rest.floor_char_boundary(PIECE));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn stated() -> Stated {
        Stated {
            format: FORMAT.into(),
            version: 1,
            party: "bank".into(),
            approval: "officer".into(),
            datasets: vec![Offered {
                name: "applications".into(),
                label: false,
                numeric: texts(&["age", "income"]),
                categorical: texts(&["channel"]),
            }],
        }
    }

    fn asked() -> Asked {
        Asked {
            dataset: "applications".into(),
            columns: Some([texts(&["age"]), texts(&["channel"])]),
            label: false,
            submitter: true,
        }
    }

    #[test]
    fn a_policy_is_judged_by_what_it_states() {
        let verdict = |stated: &Stated, asked: &Asked| strictest(stated.judge(asked).map(|r| r.1));
        assert_eq!(verdict(&stated(), &asked()), "ask");
        let automatic = Stated {
            approval: "automatic".into(),
            ..stated()
        };
        assert_eq!(verdict(&automatic, &asked()), "allow");
        let all = Asked {
            columns: None,
            ..asked()
        };
        assert_eq!(verdict(&automatic, &all), "allow");
        for denied in [
            Asked {
                dataset: "payments".into(),
                ..asked()
            },
            Asked {
                columns: Some([texts(&["channel"]), Vec::new()]),
                ..asked()
            },
            Asked {
                label: true,
                ..asked()
            },
            Asked {
                submitter: false,
                ..asked()
            },
        ] {
            assert_eq!(verdict(&automatic, &denied), "deny", "{denied:?}");
        }
        assert_eq!(strictest([]), "deny");
        assert_eq!(strictest(["allow", "perhaps"]), "deny");
    }

    #[test]
    fn only_the_one_text_of_this_form_is_read() {
        let text = stated().to_text().unwrap();
        assert_eq!(Stated::parse(&text).unwrap(), stated());
        let later = text.replace("policy.v1", "policy.v2");
        let refused = Stated::parse(&later).unwrap_err().to_string();
        assert!(refused.contains("paripassu.policy.v2"), "{refused}");
        for bad in [
            text.replace(",\"party\":\"bank\"", ""),
            format!(" {text}"),
            "{}".into(),
        ] {
            assert!(Stated::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_characters() {
        let text = "ä".repeat(PIECE + 1);
        let cut = pieces(&text);
        assert!(cut.len() == 3 && cut.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!(cut.concat(), text);
        assert_eq!(pieces(""), [""]);
    }

    #[test]
    fn what_a_contract_asks_is_read_from_its_text() {
        let contract: Value = serde_json::from_str(
            r#"{"submitter":{"kind":"user","id":"mona"},"spec":{"party":[
                {"id":"bank","role":"label","dataset":"d","columns":{"numeric":["a"]}},
                {"id":"partner","role":"features","dataset":"e","columns":"all"}]}}"#,
        )
        .unwrap();
        let bank = Asked::of(&contract, "bank", "user/mona").unwrap();
        assert_eq!(bank.columns, Some([texts(&["a"]), Vec::new()]));
        assert!(bank.label && bank.submitter);
        let partner = Asked::of(&contract, "partner", "user/else").unwrap();
        assert!(partner.columns.is_none() && !partner.label && !partner.submitter);
        assert_eq!(Asked::of(&contract, "bureau", "user/mona"), None);
    }
}
