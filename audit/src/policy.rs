//! What of a party's policy decided about a contract, in a form that anybody can judge by again.
//!
//! A node writes this text down (`policy.stated`, in pieces) before the verdict that names its digest
//! (`policy.evaluated`). It says only what bears on what the contract names: of other data sets, columns,
//! parties and outputs nothing, and never a path or a value. [`Stated::judge`] and [`Stated::grants`] are the
//! whole of it; other rules are another `format`, and a reader that does not know it says so.
//!
//! What has been used up, of alignments or of a quota, is the party's own count: a reader sees that the verdict
//! follows from it, not that it is right. The count itself is no other member's business and is not stated.

mod asked;
mod rule;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    asked::Asked,
    rule::{Is, Rule},
};
use crate::{canonical, consent::Consent, event::hex};

/// The `format` of these rules.
pub const FORMAT: &str = "paripassu.policy.v3";
/// The form before it: without rules of the party's own, roles and people.
pub const FORMAT_2: &str = "paripassu.policy.v2";
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
    /// The party's own rules, as far as they bear on the contract.
    pub rules: Vec<Rule>,
    /// The roles that must each have signed an approval; empty where the party's node signs alone.
    pub roles: Vec<String>,
    /// The people who may sign in those roles.
    pub people: Vec<Person>,
}

/// A person of the party who may sign in a role.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// A code of the party's own, no name of a person.
    pub name: String,
    /// The role.
    pub role: String,
    /// The public key, Ed25519, 64 hexadecimal digits.
    pub key: String,
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

impl Stated {
    /// The canonical text; its SHA-256 is what a verdict names.
    ///
    /// # Errors
    /// When the version is beyond 2^53 − 1.
    pub fn to_text(&self) -> Result<String, canonical::CanonicalError> {
        let mut value = serde_json::to_value(self)?;
        if self.format == FORMAT_2
            && let Value::Object(members) = &mut value
        {
            for later in LATER {
                members.remove(later);
            }
        }
        canonical::to_string(&value)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When it is not canonical, of another form, or lacks a member.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let malformed = |e: &dyn std::fmt::Display| PolicyError::Malformed(e.to_string());
        let mut value: Value = serde_json::from_str(text).map_err(|e| malformed(&e))?;
        if canonical::to_string(&value).map_err(|e| malformed(&e))? != text {
            return Err(malformed(&"it is not canonical JSON"));
        }
        let format = value.get("format").and_then(Value::as_str);
        let format = format.unwrap_or_default().to_owned();
        if format == FORMAT_2
            && let Value::Object(members) = &mut value
        {
            for later in LATER {
                if members
                    .insert(later.into(), Value::Array(Vec::new()))
                    .is_some()
                {
                    return Err(malformed(&format!("`{later}` is no member of this form")));
                }
            }
        }
        match format.as_str() {
            FORMAT | FORMAT_2 => serde_json::from_value(value).map_err(|e| malformed(&e)),
            other => Err(PolicyError::Format {
                got: other.chars().take(80).collect(),
            }),
        }
    }

    /// What it says: each rule and its verdict, in the order in which they are written down.
    pub fn judge(&self, asked: &Asked) -> Vec<(&str, &'static str)> {
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
        let mut judged = vec![
            ("submitter", unless_denied(asked.submitter)),
            ("offered", unless_denied(offered)),
            ("min_matched", unless_denied(enough)),
            ("max_runs", unless_denied(within)),
        ];
        let own = self.rules.iter();
        judged.extend(own.map(|rule| (rule.id.as_str(), unless_denied(rule.holds(asked)))));
        judged.push(("approval", decides));
        judged
    }

    /// Whether an approval, given at `at`, is one by this policy: with a second person, with an end within
    /// the time allowed and `skew` seconds, signed by people in each of the roles asked for.
    ///
    /// # Errors
    /// What it lacks.
    pub fn grants(&self, consent: &Consent, at: i64, skew: i64) -> Result<(), String> {
        if self.four_eyes && consent.second.is_empty() {
            return Err(
                "its own policy asks for four eyes, and no second person is named".to_owned(),
            );
        }
        self.signed(consent)?;
        let Some(hours) = self.ttl_hours else {
            return Ok(());
        };
        let seconds = i64::try_from(hours.saturating_mul(3_600)).unwrap_or(i64::MAX);
        let latest = at.saturating_add(seconds).saturating_add(skew);
        match consent.ends() {
            None => Err(
                "its own policy asks for an approval that ends, and this one does not".to_owned(),
            ),
            Some(ends) if ends > latest => {
                Err("it holds longer than its own policy allows".to_owned())
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether people whom this policy names have signed in each role that it asks for.
    fn signed(&self, consent: &Consent) -> Result<(), String> {
        if self.roles.is_empty() {
            return Ok(());
        }
        for person in &consent.people {
            let key = hex(&person.key);
            let known = self.people.iter().any(|known| {
                known.key == key && known.name == person.name && known.role == person.role
            });
            if !known {
                return Err(format!(
                    "`{}` signed it as {}, whom its own policy does not name with this key in this role",
                    person.name, person.role
                ));
            }
        }
        for role in &self.roles {
            let asked = self.roles.iter().filter(|other| *other == role).count();
            let signed = consent.people.iter().filter(|p| p.role == *role).count();
            if signed < asked {
                return Err(format!(
                    "its own policy asks that {asked} sign it as {role} with their own keys, and {signed} did"
                ));
            }
        }
        Ok(())
    }
}

/// Members that the form before does not have.
const LATER: [&str; 3] = ["people", "roles", "rules"];

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
            rules: Vec::new(),
            roles: Vec::new(),
            people: Vec::new(),
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
            ..Asked::default()
        }
    }

    #[test]
    fn a_policy_is_judged_by_what_it_states() {
        let verdict =
            |stated: &Stated, asked: &Asked| strictest(stated.judge(asked).iter().map(|r| r.1));
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
        let said = |second: &str, ends: Option<i64>| Consent {
            approver: "owner".into(),
            second: second.into(),
            expires: ends.and_then(crate::event::format_time).unwrap_or_default(),
            ..Consent::default()
        };
        let open = stated();
        assert!(open.grants(&said("", None), at, 0).is_ok());
        let strict = Stated {
            four_eyes: true,
            ttl_hours: Some(2),
            ..stated()
        };
        let ends = Some(at + 7_200);
        assert!(strict.grants(&said("compliance", ends), at, 0).is_ok());
        assert!(strict.grants(&said("", ends), at, 0).is_err());
        assert!(strict.grants(&said("compliance", None), at, 0).is_err());
        let later = Some(at + 7_201);
        assert!(strict.grants(&said("compliance", later), at, 0).is_err());
        assert!(strict.grants(&said("compliance", later), at, 1).is_ok());
    }

    #[test]
    fn roles_are_met_by_people_whom_the_policy_names() {
        let person = |name: &str, role: &str, key: u8| Person {
            name: name.into(),
            role: role.into(),
            key: hex(&[key; 32]),
        };
        let policy = Stated {
            roles: texts(&["data_owner", "compliance"]),
            people: vec![
                person("p1", "data_owner", 1),
                person("p1", "compliance", 1),
                person("p2", "compliance", 2),
            ],
            ..stated()
        };
        let signed = |people: &[(&str, &str, u8)]| {
            let people = people
                .iter()
                .map(|(name, role, key)| crate::consent::Signature {
                    name: (*name).into(),
                    role: (*role).into(),
                    key: [*key; 32],
                    signature: [0; 64],
                });
            policy.grants(
                &Consent {
                    people: people.collect(),
                    ..Consent::default()
                },
                0,
                0,
            )
        };
        signed(&[("p1", "data_owner", 1), ("p2", "compliance", 2)]).unwrap();
        for (lacking, why) in [
            (&[][..], "data_owner"),
            (&[("p1", "data_owner", 1)], "compliance"),
            (&[("p1", "data_owner", 1), ("p2", "compliance", 3)], "p2"),
            (&[("p1", "data_owner", 1), ("p3", "compliance", 2)], "p3"),
            (&[("p2", "data_owner", 2), ("p1", "compliance", 1)], "p2"),
        ] {
            let said = signed(lacking).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn only_the_one_text_of_this_form_is_read() {
        let text = stated().to_text().unwrap();
        assert_eq!(Stated::parse(&text).unwrap(), stated());
        let later = text.replace("policy.v3", "policy.v4");
        let refused = Stated::parse(&later).unwrap_err().to_string();
        assert!(refused.contains("paripassu.policy.v4"), "{refused}");
        // what was written down in the form before is read as it was written
        let before = Stated {
            format: FORMAT_2.into(),
            ..stated()
        };
        let old = before.to_text().unwrap();
        assert!(!old.contains("rules") && !old.contains("people"), "{old}");
        assert_eq!(Stated::parse(&old).unwrap(), before);
        assert!(Stated::parse(&text.replace("policy.v3", "policy.v2")).is_err());
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

    #[test]
    fn rules_are_held_against_the_contract() {
        let contract: Value = serde_json::from_str(
            r#"{"created":"2026-03-01T00:00:00Z","submitter":{"kind":"user","id":"mona"},
                "disclosures":[{"id":"release.scores","to":["party:bank"]},
                               {"id":"relay.traffic","to":["relay"]}],
                "spec":{"purpose":"scoring","expires":"2026-03-10","helper":{"id":"hub"},"deep":{"on":true,"n":7},
                "outputs":{"scores":{"step":"0.25","to":"bank"},"metrics_to":["bank","partner"]},"party":[
                {"id":"partner","role":"features","dataset":"e","columns":"all"},
                {"id":"bank","role":"label","dataset":"d","columns":{"numeric":["a"],"categorical":["c"]}}]}}"#,
        )
        .unwrap();
        let asked = Asked::of(&contract, "bank", "user/mona").unwrap();
        let values = |of: &str| asked.values(of);
        for (of, want) in [
            ("/spec/purpose", &["scoring"][..]),
            ("/spec/nothing", &[]),
            ("/spec/deep/on", &["true"]),
            ("/spec/deep/n", &["7"]),
            ("/spec/deep", &["?"]),
            ("/spec/outputs/metrics_to", &["bank", "partner"]),
            ("parties", &["partner"]),
            ("pairs", &["bank+partner", "hub+partner", "bank+hub"]),
            ("columns", &["a", "c"]),
            ("columns_number", &["2"]),
            ("parties_number", &["2"]),
            ("kind", &["vertical"]),
            ("open_days", &["10"]),
            ("results_days", &["999999999"]),
            ("size_step", &["16384"]),
            ("scores_number", &[]),
            (
                "openings",
                &["release.scores>party:bank", "relay.traffic>relay"],
            ),
        ] {
            let mut got = values(of).unwrap();
            let mut want = texts(want);
            got.sort();
            want.sort();
            assert_eq!(got, want, "{of}");
        }
        assert_eq!((values("unknown"), values("/spec//purpose")), (None, None));
        let partner = Asked::of(&contract, "partner", "user/mona").unwrap();
        assert_eq!(partner.values("columns"), Some(texts(&["*"])));
        assert_eq!(partner.values("columns_number"), Some(texts(&["0"])));
        // who gets the scores of another's columns says how many, or may get any number
        assert_eq!(partner.values("scores_number"), Some(texts(&["999999999"])));
        let with = |path: &str, value: Value| {
            let mut contract = contract.clone();
            let (parent, member) = path.rsplit_once('/').unwrap();
            contract.pointer_mut(parent).unwrap()[member] = value;
            Asked::of(&contract, "partner", "user/mona").unwrap()
        };
        let some = with("/spec/outputs/scores/max_rows", 400.into());
        assert_eq!(some.values("scores_number"), Some(texts(&["400"])));
        // two fits' scores of each row
        let compared = |compare: bool, most: Option<u64>| {
            let mut contract = contract.clone();
            contract["spec"]["reject_inference"] = serde_json::json!({ "compare": compare });
            contract["spec"]["outputs"]["scores"]["max_rows"] = most.into();
            let asked = Asked::of(&contract, "partner", "user/mona").unwrap();
            asked.values("scores_number").unwrap()
        };
        assert_eq!(compared(true, Some(400)), ["800"]);
        assert_eq!(compared(true, Some(u64::MAX)), ["36893488147419103230"]);
        assert_eq!(compared(true, None), ["999999999"]);
        assert_eq!(compared(false, Some(400)), ["400"]);
        let alone = with("/spec/horizontal", serde_json::json!({}));
        assert_eq!(alone.values("size_step"), Some(Vec::new()));

        let rule = |is, of: &str, number: &str, values: &[&str]| Rule {
            id: "r".into(),
            is,
            of: of.into(),
            number: number.into(),
            values: texts(values),
        };
        for (rule, holds) in [
            (rule(Is::Within, "columns", "", &["a", "c", "d"]), true),
            (rule(Is::Within, "columns", "", &["a"]), false),
            (rule(Is::Within, "/spec/nothing", "", &[]), true),
            (rule(Is::Within, "unknown", "", &[]), false),
            (rule(Is::Without, "pairs", "", &["bank+rival"]), true),
            (rule(Is::Without, "pairs", "", &["bank+hub"]), false),
            (rule(Is::Without, "unknown", "", &[]), false),
            (
                rule(Is::Least, "/spec/outputs/scores/step", "0.25", &[]),
                true,
            ),
            (
                rule(Is::Least, "/spec/outputs/scores/step", "0.2500001", &[]),
                false,
            ),
            (rule(Is::Most, "open_days", "10", &[]), true),
            (rule(Is::Most, "open_days", "9.9", &[]), false),
            (rule(Is::Most, "open_days", "", &[]), false),
            (rule(Is::Least, "/spec/purpose", "1", &[]), false),
            (rule(Is::Unspent, "", "3", &[]), true),
            (rule(Is::Unspent, "", "3", &["partner"]), false),
        ] {
            assert_eq!(rule.holds(&asked), holds, "{rule:?}");
        }
    }
}
