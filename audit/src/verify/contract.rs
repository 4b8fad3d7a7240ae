//! What the checks need of a contract, read from its canonical JSON.

use serde_json::Value;

use crate::{canonical, event::parse_time};

/// More numbers than any table of summaries, or row of coefficients, has.
const MOST_VALUES: u64 = 1 << 24;

/// One declared disclosure.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) id: String,
    pub(crate) shape: String,
    pub(crate) to: Vec<String>,
    pub(crate) at_most: u64,
}

impl Declared {
    /// The fewest and most values of one opening, where so many customers are common.
    pub(crate) fn values(&self, matched: Option<u64>) -> (u64, u64) {
        match self.shape.as_str() {
            // a membership is one set, whose size is nobody else's to know
            "bit" | "count" | "membership" => (1, 1),
            // what is seen of sealed messages is no value
            "traffic" => (0, 0),
            // a number for each test row, and these are among the rows in common
            "scores" => (1, matched.unwrap_or(u64::MAX)),
            // a table may turn out empty
            "summary" => (0, MOST_VALUES),
            _ => (1, MOST_VALUES),
        }
    }
}

/// The contract as the verifier sees it.
#[derive(Clone, Debug)]
pub(crate) struct ContractView {
    pub(crate) job: String,
    pub(crate) created: i64,
    /// `kind/id`.
    pub(crate) submitter: String,
    /// Data parties in the contract's order.
    pub(crate) parties: Vec<String>,
    pub(crate) helper: String,
    pub(crate) disclosures: Vec<Declared>,
    pub(crate) min_matched: Option<u64>,
    /// All customers in common are found, and their number told.
    pub(crate) aligns: bool,
    /// The first second at which the contract no longer holds.
    pub(crate) expires: Option<i64>,
    pub(crate) scores_to: Option<String>,
    pub(crate) metrics_to: Vec<String>,
    pub(crate) own_coefficients: bool,
    pub(crate) standard_errors: bool,
    /// The label party, where it is shown reasons.
    pub(crate) reasons_to: Option<String>,
    /// Who learns the mean bad rate that declined applicants are given, where outcomes are inferred.
    pub(crate) rejects_to: Option<String>,
    /// Whether the fit without declined applicants is released beside the last one.
    pub(crate) compares_rejects: bool,
    /// Of the data parties of a job of banks, how many may be missing; 0 in any other job.
    pub(crate) spare: usize,
    pub(crate) value: Value,
}

/// Who is shown reasons across the parties.
fn reasons_to(value: &Value) -> Option<String> {
    let asked = value.pointer("/spec/scorecard/reasons") == Some(&Value::Bool(true));
    let parties = value.pointer("/spec/party")?.as_array()?;
    let is_label = |p: &&Value| p.get("role").and_then(Value::as_str) == Some("label");
    let label = parties.iter().find(is_label).filter(|_| asked)?;
    Some(label.get("id")?.as_str()?.to_owned())
}

/// Who infers what declined applicants are, and learns their mean bad rate.
fn rejects_to(value: &Value) -> Option<String> {
    let section = value.pointer("/spec/reject_inference");
    let parties = value.pointer("/spec/party")?.as_array()?;
    let is_label = |p: &&Value| p.get("role").and_then(Value::as_str) == Some("label");
    section.filter(|section| !section.is_null())?;
    let label = parties.iter().find(is_label)?;
    Some(label.get("id")?.as_str()?.to_owned())
}

/// How many data parties a job of banks can do without: a threshold of more than half of them, and of three, is there.
fn spare(value: &Value, parties: usize) -> usize {
    let horizontal = value.pointer("/spec/horizontal");
    let Some(horizontal) = horizontal.filter(|section| !section.is_null()) else {
        return 0;
    };
    let declared = horizontal.get("threshold").and_then(Value::as_u64);
    let threshold = declared.map(|t| usize::try_from(t).unwrap_or(usize::MAX));
    let threshold = threshold.unwrap_or(2 * parties / 3 + 1);
    parties.saturating_sub(threshold.max(parties / 2 + 1).max(3))
}

impl ContractView {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let value: Value = serde_json::from_str(text).map_err(|_| "it is not JSON")?;
        let again = canonical::to_string(&value).map_err(|_| "it is not canonical JSON")?;
        if again != text {
            return Err("it is not canonical JSON");
        }
        if value.pointer("/format").and_then(Value::as_str) != Some("paripassu.contract.v1") {
            return Err("its `format` is not `paripassu.contract.v1`");
        }
        Self::read(value).ok_or("a member that every contract has is missing or of another kind")
    }

    fn read(value: Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer)?.as_str().map(str::to_owned);
        let texts = |list: &Value| -> Option<Vec<String>> {
            let owned = |text: &Value| text.as_str().map(str::to_owned);
            list.as_array()?.iter().map(owned).collect()
        };
        let parties = value.pointer("/spec/party")?.as_array()?.iter();
        let parties = parties
            .map(|party| party.get("id")?.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()?;
        let disclosures = value
            .get("disclosures")?
            .as_array()?
            .iter()
            .map(|declared| {
                Some(Declared {
                    id: declared.get("id")?.as_str()?.to_owned(),
                    shape: declared.pointer("/shape/kind")?.as_str()?.to_owned(),
                    to: texts(declared.get("to")?)?,
                    at_most: declared.get("at_most")?.as_u64()?,
                })
            });
        let expires = match value.pointer("/spec/expires") {
            None | Some(Value::Null) => None,
            Some(day) => Some(end_of_day(day.as_str()?)?),
        };
        let metrics_to = match value.pointer("/spec/outputs/metrics_to") {
            None => Vec::new(),
            Some(list) => texts(list)?,
        };
        let spare = spare(&value, parties.len());
        Some(Self {
            spare,
            job: text("/job")?,
            created: parse_time(&text("/created")?)?,
            submitter: format!("{}/{}", text("/submitter/kind")?, text("/submitter/id")?),
            parties,
            helper: text("/spec/helper/id")?,
            disclosures: disclosures.collect::<Option<_>>()?,
            min_matched: value
                .pointer("/spec/align/min_matched")
                .and_then(Value::as_u64),
            aligns: ["/spec/horizontal", "/spec/overlap"]
                .iter()
                .all(|section| value.pointer(section).is_none_or(Value::is_null)),
            expires,
            scores_to: text("/spec/outputs/scores/to"),
            metrics_to,
            standard_errors: value.pointer("/spec/outputs/standard_errors")
                == Some(&Value::Bool(true)),
            reasons_to: reasons_to(&value),
            rejects_to: rejects_to(&value),
            compares_rejects: value.pointer("/spec/reject_inference/compare")
                == Some(&Value::Bool(true)),
            own_coefficients: text("/spec/outputs/coefficients").as_deref() == Some("own"),
            value,
        })
    }

    /// The disclosure of this name.
    pub(crate) fn declared(&self, id: &str) -> Option<&Declared> {
        self.disclosures.iter().find(|declared| declared.id == id)
    }

    /// Data parties and helper.
    pub(crate) fn members(&self) -> impl Iterator<Item = &String> {
        self.parties.iter().chain([&self.helper])
    }
}

/// The second after the last of a day `YYYY-MM-DD`.
fn end_of_day(text: &str) -> Option<i64> {
    let start = parse_time(&format!("{text}T00:00:00Z"))?;
    start.checked_add(86_400)
}
