//! What of a party's policy decided about a contract, in a form that anybody can judge by again.
//!
//! A node writes this text down (`policy.stated`, in pieces) before the verdict that names its digest
//! (`policy.evaluated`). It says only what bears on what the contract names: of other data sets and
//! columns nothing, and never a path or a value. [`Stated::judge`] and [`Stated::grants`] are the whole of
//! it; other rules are another `format`, and a reader that does not know it says so.
//!
//! Which counterparts have used up their alignments is the party's own count: a reader sees that the verdict
//! follows from it, not that it is right. The count itself is no other member's business and is not stated.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::canonical;

/// The `format` of these rules.
pub const FORMAT: &str = "paripassu.policy.v2";
/// Most bytes of text in one `policy.stated`.
pub const PIECE: usize = 16 * 1024;
/// Most pieces.
pub const MAX_PIECES: u64 = 64;

/// Why a text is no policy that this program can judge by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not what this form demands.
    #[error("the policy cannot be read: {0}")]
    Malformed(String),
    /// Another form.
    #[error("the policy is of the form `{got}`, this program judges by `{FORMAT}`")]
    Format {
        /// The form named.
        got: String,
    },
}

/// Which data a party offers to jobs, within which limits, and who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// [`FORMAT`].
    pub format: String,
    /// The party's own version of its whole policy: one more with each change of it.
    pub version: u64,
    /// Whose it is.
    pub party: String,
    /// `officer` if a person decides, `automatic` if nobody does.
    pub approval: String,
    /// Whether an approval must name a second person.
    pub four_eyes: bool,
    /// An approval must end, and within so many hours.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    pub ttl_hours: Option<u64>,
    /// A job that aligns customers must end where fewer than this are common.
    pub min_matched: u64,
    /// Most alignments with one counterpart within `period_days`.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    pub max_runs: Option<u64>,
    /// The period of `max_runs`.
    pub period_days: u64,
    /// The counterparts of the contract that have had `max_runs` alignments in the period.
    pub spent: Vec<String>,
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
    /// The parties whose customers are matched with this one's; none where each keeps its rows to itself.
    pub counterparts: Vec<String>,
    /// Fewest customers in common with which the job goes on.
    pub min_matched: u64,
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
        let horizontal = contract.pointer("/spec/horizontal");
        let aligns = horizontal.is_none_or(Value::is_null);
        let others = parties.iter().filter_map(|seat| text(seat, "id"));
        let least = contract.pointer("/spec/align/min_matched");
        Some(Self {
            dataset: text(seat, "dataset")?,
            columns,
            label: matches!(text(seat, "role")?.as_str(), "label" | "bank"),
            submitter: format!("{}/{}", text(by, "kind")?, text(by, "id")?) == submitter,
            counterparts: others.filter(|id| aligns && id != party).collect(),
            min_matched: least.and_then(Value::as_u64).unwrap_or(0),
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
    pub fn judge(&self, asked: &Asked) -> [(&'static str, &'static str); 5] {
        let dataset = self.datasets.iter().find(|d| d.name == asked.dataset);
        let offered = dataset.is_some_and(|dataset| {
            let within = |asked: &[String], have: &[String]| asked.iter().all(|c| have.contains(c));
            let columns = asked.columns.as_ref().is_none_or(|[numeric, categorical]| {
                within(numeric, &dataset.numeric) && within(categorical, &dataset.categorical)
            });
            columns && (dataset.label || !asked.label)
        });
        let enough = asked.counterparts.is_empty() || asked.min_matched >= self.min_matched;
        let spent = |counterpart| self.spent.contains(counterpart);
        let within = self.max_runs.is_none() || !asked.counterparts.iter().any(spent);
        let unless_denied = |holds| if holds { "allow" } else { "deny" };
        let decides = match self.approval.as_str() {
            "automatic" => "allow",
            "officer" => "ask",
            _ => "deny",
        };
        [
            ("submitter", unless_denied(asked.submitter)),
            ("offered", unless_denied(offered)),
            ("min_matched", unless_denied(enough)),
            ("max_runs", unless_denied(within)),
            ("approval", decides),
        ]
    }

    /// Whether an approval, given at `at`, is one by this policy: with a second person, with an end within
    /// the time allowed and `skew` seconds.
    ///
    /// # Errors
    /// What it lacks.
    pub fn grants(
        &self,
        second: Option<&str>,
        ends: Option<i64>,
        at: i64,
        skew: i64,
    ) -> Result<(), &'static str> {
        if self.four_eyes && second.is_none() {
            return Err("its own policy asks for four eyes, and no second person is named");
        }
        let Some(hours) = self.ttl_hours else {
            return Ok(());
        };
        let seconds = i64::try_from(hours.saturating_mul(3_600)).unwrap_or(i64::MAX);
        let latest = at.saturating_add(seconds).saturating_add(skew);
        match ends {
            None => Err("its own policy asks for an approval that ends, and this one does not"),
            Some(ends) if ends > latest => Err("it holds longer than its own policy allows"),
            Some(_) => Ok(()),
        }
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
            four_eyes: false,
            ttl_hours: None,
            min_matched: 100,
            max_runs: Some(2),
            period_days: 30,
            spent: texts(&["bureau"]),
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
            counterparts: texts(&["partner"]),
            min_matched: 100,
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
            Asked {
                min_matched: 99,
                ..asked()
            },
            Asked {
                counterparts: texts(&["partner", "bureau"]),
                ..asked()
            },
        ] {
            assert_eq!(verdict(&automatic, &denied), "deny", "{denied:?}");
        }
        let spent = Stated {
            spent: texts(&["partner"]),
            ..automatic.clone()
        };
        assert_eq!(verdict(&spent, &asked()), "deny");
        // who matches nobody's customers spends no run and has no least number
        let alone = Asked {
            counterparts: Vec::new(),
            min_matched: 0,
            ..asked()
        };
        assert_eq!(verdict(&spent, &alone), "allow");
        assert_eq!(strictest([]), "deny");
        assert_eq!(strictest(["allow", "perhaps"]), "deny");
    }

    #[test]
    fn an_approval_is_held_against_the_policy() {
        let at = 1_000_000;
        let open = stated();
        assert!(open.grants(None, None, at, 0).is_ok());
        let strict = Stated {
            four_eyes: true,
            ttl_hours: Some(2),
            ..stated()
        };
        let ends = Some(at + 7_200);
        assert!(strict.grants(Some("compliance"), ends, at, 0).is_ok());
        assert!(strict.grants(None, ends, at, 0).is_err());
        assert!(strict.grants(Some("compliance"), None, at, 0).is_err());
        let later = Some(at + 7_201);
        assert!(strict.grants(Some("compliance"), later, at, 0).is_err());
        assert!(strict.grants(Some("compliance"), later, at, 1).is_ok());
    }

    #[test]
    fn only_the_one_text_of_this_form_is_read() {
        let text = stated().to_text().unwrap();
        assert_eq!(Stated::parse(&text).unwrap(), stated());
        let later = text.replace("policy.v2", "policy.v3");
        let refused = Stated::parse(&later).unwrap_err().to_string();
        assert!(refused.contains("paripassu.policy.v3"), "{refused}");
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
            r#"{"submitter":{"kind":"user","id":"mona"},"spec":{"align":{"min_matched":50},"party":[
                {"id":"bank","role":"label","dataset":"d","columns":{"numeric":["a"]}},
                {"id":"partner","role":"features","dataset":"e","columns":"all"}]}}"#,
        )
        .unwrap();
        let bank = Asked::of(&contract, "bank", "user/mona").unwrap();
        assert_eq!(bank.columns, Some([texts(&["a"]), Vec::new()]));
        assert!(bank.label && bank.submitter);
        assert_eq!(
            (bank.counterparts, bank.min_matched),
            (texts(&["partner"]), 50)
        );
        let partner = Asked::of(&contract, "partner", "user/else").unwrap();
        assert!(partner.columns.is_none() && !partner.label && !partner.submitter);
        assert_eq!(Asked::of(&contract, "bureau", "user/mona"), None);
    }
}
