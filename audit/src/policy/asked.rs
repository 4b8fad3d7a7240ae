//! What a contract asks of a party, as rules are held against it.

use serde_json::Value;

use crate::event::parse_time;

/// What a contract asks of one party.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The party.
    pub party: String,
    /// The whole contract.
    pub contract: Value,
}

impl Asked {
    /// What the canonical contract asks of `party`, which saw `submitter` (`kind/id`) sign it.
    pub fn of(contract: &Value, party: &str, submitter: &str) -> Option<Self> {
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
            party: party.to_owned(),
            contract: contract.clone(),
        })
    }

    /// What the contract says of `of`: a path of members, such as `/spec/purpose`, or one of `parties`, `pairs`,
    /// `columns`, `columns_number`, `parties_number`, `openings`, `kind`, `size_step`, `scores_number`, `results_days` and `open_days`. Nothing for a member that is not
    /// there; none for what is neither.
    pub fn values(&self, of: &str) -> Option<Vec<String>> {
        let ids = self.ids()?;
        Some(match of {
            "parties" => ids.into_iter().filter(|id| *id != self.party).collect(),
            "parties_number" => vec![ids.len().to_string()],
            "pairs" => {
                let mut nodes = ids;
                nodes.push(text(self.contract.pointer("/spec/helper")?, "id")?);
                let pairs = nodes.iter().enumerate().flat_map(|(i, a)| {
                    let later = nodes.iter().skip(i + 1);
                    later.map(move |b| format!("{}+{}", a.min(b), a.max(b)))
                });
                pairs.collect()
            }
            "columns" => match &self.columns {
                None => vec!["*".to_owned()],
                Some(kinds) => kinds.concat(),
            },
            "columns_number" => {
                let number = self
                    .columns
                    .as_ref()
                    .map_or(0, |kinds| kinds.concat().len());
                vec![number.to_string()]
            }
            "kind" => {
                let has =
                    |member: &str| self.contract.pointer(member).is_some_and(|v| !v.is_null());
                let kind = match (has("/spec/horizontal"), has("/spec/overlap")) {
                    (true, _) => "horizontal",
                    (_, true) => "overlap",
                    _ => "vertical",
                };
                vec![kind.to_owned()]
            }
            // nothing where no other party gets scores
            "scores_number" => match self.contract.pointer("/spec/outputs/scores") {
                None | Some(Value::Null) => Vec::new(),
                Some(scores) if text(scores, "to")? == self.party => Vec::new(),
                Some(scores) => {
                    let compares = self.contract.pointer("/spec/reject_inference/compare")
                        == Some(&Value::Bool(true));
                    let most = scores.get("max_rows").filter(|most| !most.is_null());
                    vec![match (most, most.and_then(Value::as_u64)) {
                        (None, _) => FOR_EVER.to_owned(),
                        // a score of each row by either fit
                        (_, Some(rows)) if compares => (2 * u128::from(rows)).to_string(),
                        (Some(most), _) => plain(most),
                    }]
                }
            },
            // nothing where no customers are matched
            "size_step" => match (
                self.counterparts.is_empty(),
                self.contract.pointer("/spec/align/size_step"),
            ) {
                (true, _) => Vec::new(),
                (false, None | Some(Value::Null)) => vec![USUAL_STEP.to_owned()],
                (false, Some(step)) => vec![plain(step)],
            },
            "results_days" => {
                let days = self.contract.pointer("/spec/retention/results_days");
                vec![days.map_or_else(|| FOR_EVER.to_owned(), plain)]
            }
            "openings" => {
                let mut openings = Vec::new();
                for disclosure in self.contract.get("disclosures")?.as_array()? {
                    let id = text(disclosure, "id")?;
                    for to in disclosure.get("to")?.as_array()? {
                        openings.push(format!("{id}>{}", to.as_str()?));
                    }
                }
                openings
            }
            "open_days" => {
                let created = parse_time(&text(&self.contract, "created")?)?;
                vec![match self.contract.pointer("/spec/expires") {
                    None | Some(Value::Null) => FOR_EVER.to_owned(),
                    Some(day) => {
                        let begins = parse_time(&format!("{}T00:00:00Z", day.as_str()?))?;
                        let seconds = begins.checked_add(DAY)?.checked_sub(created)?;
                        seconds.max(0).unsigned_abs().div_ceil(86_400).to_string()
                    }
                }]
            }
            path => {
                let mut value = &self.contract;
                for member in path.strip_prefix('/')?.split('/') {
                    if member.is_empty() {
                        return None;
                    }
                    let Some(inner) = value.as_object().and_then(|object| object.get(member))
                    else {
                        return Some(Vec::new());
                    };
                    value = inner;
                }
                match value {
                    Value::Null => Vec::new(),
                    Value::Array(items) => items.iter().map(plain).collect(),
                    scalar => vec![plain(scalar)],
                }
            }
        })
    }

    fn ids(&self) -> Option<Vec<String>> {
        let parties = self.contract.pointer("/spec/party")?.as_array()?;
        parties.iter().map(|seat| text(seat, "id")).collect()
    }
}

/// Days for which a contract without an end is open, and for which results are kept that nobody has to erase; rows that
/// are scored where none is named.
const FOR_EVER: &str = "999999999";
/// Customers in a step in which sizes of sets are told, where a contract names none.
const USUAL_STEP: &str = "16384";
const DAY: i64 = 86_400;

fn text(value: &Value, member: &str) -> Option<String> {
    value.get(member)?.as_str().map(str::to_owned)
}

/// A scalar as text; `?` for what is none.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(holds) => holds.to_string(),
        Value::Number(number) => number.to_string(),
        _ => "?".to_owned(),
    }
}
