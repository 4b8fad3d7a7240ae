//! `policy.toml`: an institution's own rules, which its people sign.
//!
//! Whatever it does not allow is denied: a purpose that it does not name, and of a purpose any party, helper,
//! column, kind of job, profile or opening that is not listed there.

use std::collections::{BTreeMap, BTreeSet};

use paripassu_audit::event::{parse_time, unhex};
use serde::Deserialize;

use crate::config::{AlignPolicy, PrivacyPolicy};

mod lint;

pub use lint::Finding;

/// A documented sample with every key.
pub const SAMPLE: &str = include_str!("sample.toml");

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFileError {
    /// Not TOML of the right keys; the text names line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// It contradicts itself.
    #[error("`{key}`: {what}")]
    Value {
        /// Where.
        key: String,
        /// What is wrong, and what to write instead.
        what: String,
    },
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Whose it is, and how it is changed.
    pub policy: Head,
    /// Who may sign what.
    #[serde(default, rename = "person")]
    pub people: Vec<Person>,
    /// Limits on alignments, as in `party.toml`.
    #[serde(default)]
    pub align: AlignPolicy,
    /// Limits on what jobs with noise may spend, as in `party.toml`.
    #[serde(default)]
    pub privacy: PrivacyPolicy,
    /// How often.
    #[serde(default)]
    pub quota: Quota,
    /// Grades of columns, by data set.
    #[serde(default)]
    pub datasets: BTreeMap<String, Grades>,
    /// What is allowed, by purpose.
    #[serde(default)]
    pub purposes: BTreeMap<String, Purpose>,
}

/// `[policy]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The party's node id.
    pub owner: String,
    /// One more with each change; an earlier one is refused.
    pub version: u64,
    /// Last day (UTC) on which it allows anything. Default: none.
    #[serde(default)]
    pub expires: Option<String>,
    /// How many people must sign this file, and its next version. Default 2.
    #[serde(default = "two")]
    pub signers_required: usize,
    /// How many of them must sign a change of the node's own key, before the node takes it. Default: none has to.
    #[serde(default)]
    pub key_signers: Option<usize>,
    /// Nodes that may not be in one job, such as rivals, or a helper run by a party.
    #[serde(default)]
    pub forbidden_pairs: Vec<[String; 2]>,
}

fn two() -> usize {
    2
}

/// What a person may sign as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Answers for the data: signs policies and approvals.
    DataOwner,
    /// Answers for law and rules: signs policies and approvals.
    Compliance,
    /// Tests models, apart from those who make them: signs approvals.
    Validator,
    /// Runs the node: signs nothing.
    Operator,
    /// Reads everything, signs nothing.
    Regulator,
}

impl Role {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataOwner => "data_owner",
            Self::Compliance => "compliance",
            Self::Validator => "validator",
            Self::Operator => "operator",
            Self::Regulator => "regulator",
        }
    }

    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::DataOwner,
        Self::Compliance,
        Self::Validator,
        Self::Operator,
        Self::Regulator,
    ];

    /// Whether who has it may sign an approval or rejection.
    pub const fn approves(self) -> bool {
        matches!(self, Self::DataOwner | Self::Compliance | Self::Validator)
    }

    /// Whether who has it may sign a policy.
    pub const fn governs(self) -> bool {
        matches!(self, Self::DataOwner | Self::Compliance)
    }
}

/// `[[person]]`. Two entries of one name, with keys that hold at overlapping times, are one person who changes
/// keys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// A code or staff number, no name of a person: it stands in every member's transcript.
    pub name: String,
    /// In which roles they sign.
    pub roles: Vec<Role>,
    /// Public key, 64 hexadecimal digits, as `policy key` prints it.
    pub key: String,
    /// From when the key counts. Default: always.
    #[serde(default)]
    pub from: Option<String>,
    /// Until when. Default: for ever.
    #[serde(default)]
    pub until: Option<String>,
}

impl Person {
    /// Whether the key counts at this time.
    pub fn holds(&self, at: i64) -> bool {
        let time = |text: &Option<String>| text.as_deref().and_then(parse_time);
        time(&self.from).is_none_or(|from| from <= at)
            && time(&self.until).is_none_or(|end| at < end)
    }
}

/// `[quota]`, over all purposes. A job counts when it begins, also where it then fails.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Most jobs in 24 hours. Default: no limit.
    pub jobs_per_day: Option<u64>,
    /// Most jobs with one other party within `period_days`. Default: no limit.
    pub jobs_per_counterpart: Option<u64>,
    /// Most jobs over one data set within `period_days`. Default: no limit.
    pub jobs_per_dataset: Option<u64>,
    /// Most scores that others may get in 24 hours; a job must say how many it opens at most
    /// (`outputs.scores.max_rows`). Default: no limit.
    pub scores_per_day: Option<u64>,
    /// Most that one other party may get within `period_days`. Default: no limit.
    pub scores_per_counterpart: Option<u64>,
    /// Most that others may get of the customers of one data set within `period_days`. Default: no limit.
    pub scores_per_dataset: Option<u64>,
    /// The period of all of these but those per day, in days. Default 30.
    pub period_days: u32,
    /// A job whose common customers differ from those of an earlier job with the same parties within
    /// `period_days` by fewer than this, but not by none, ends before training: two such jobs tell of the few. Default: no
    /// limit.
    pub min_set_change: Option<u64>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            jobs_per_day: None,
            jobs_per_counterpart: None,
            jobs_per_dataset: None,
            scores_per_day: None,
            scores_per_counterpart: None,
            scores_per_dataset: None,
            period_days: 30,
            min_set_change: None,
        }
    }
}

impl Quota {
    /// Seconds of `period_days`.
    pub fn period_s(&self) -> i64 {
        i64::from(self.period_days) * 86_400
    }
}

/// `[datasets.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grades {
    /// The grade of each column, 1 (public) to 5.
    pub grades: BTreeMap<String, u8>,
}

/// `[purposes.NAME]`: what a job with this purpose code may ask.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Purpose {
    /// Legal bases that it may name.
    pub legal_basis: Vec<String>,
    /// The agreement between the institutions. For the file's readers.
    #[serde(default)]
    pub contract_ref: Option<String>,
    /// The impact assessment. For the file's readers.
    #[serde(default)]
    pub dpia_ref: Option<String>,
    /// Who else may take part.
    pub parties: Vec<String>,
    /// Who may deal randomness or add up masked vectors.
    pub helpers: Vec<String>,
    /// Who may propose it, such as `user/modeler`. Default: anyone with a certificate for it.
    #[serde(default)]
    pub submitters: Option<Vec<String>>,
    /// `vertical`, `horizontal`, `overlap`. Default: vertical.
    #[serde(default = "vertical")]
    pub kinds: Vec<String>,
    /// Security profiles. Default: `helper`.
    #[serde(default = "helper")]
    pub profiles: Vec<String>,
    /// Methods of matching. Default: `curve` and `vole`.
    #[serde(default = "methods")]
    pub methods: Vec<String>,
    /// Further keys (`align.fallback`) by which customers may be matched. Default: none, by the id alone.
    #[serde(default)]
    pub fallback_keys: Vec<String>,
    /// Kinds of model. Default: `logistic`.
    #[serde(default = "logistic")]
    pub models: Vec<String>,
    /// Columns, by data set; only a column listed here may be asked for, by its name.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Columns of a higher grade, or of none, may not be asked for. Default: no limit.
    #[serde(default)]
    pub max_grade: Option<u8>,
    /// The job ends where fewer customers are common: least `align.min_matched`. Default 0.
    #[serde(default)]
    pub min_matched: u64,
    /// Least `design.rare_level_rows`. Default: no limit.
    #[serde(default)]
    pub min_level_rows: Option<u64>,
    /// Fewest columns of this party where another gets scores. Default: no limit.
    #[serde(default)]
    pub min_own_columns: Option<u64>,
    /// Least step to which scores are rounded, a decimal. Default: no limit.
    #[serde(default)]
    pub min_score_step: Option<String>,
    /// Fewest parties. Default: no limit.
    #[serde(default)]
    pub min_parties: Option<u64>,
    /// Most days from the proposal to the last on which it may start. Default: no limit.
    #[serde(default)]
    pub max_open_days: Option<u64>,
    /// Least `binning.min_class`: fewest rows of each label in a bin that is counted. Default: no limit.
    #[serde(default)]
    pub min_bin_class: Option<u64>,
    /// Least `binning.min_share`, a decimal. Default: no limit.
    #[serde(default)]
    pub min_bin_share: Option<String>,
    /// Least `binning.noise_rows`. Default: no limit.
    #[serde(default)]
    pub min_bin_noise: Option<u64>,
    /// Who may see counts of bins: values of `binning.counts`. Default: no limit.
    #[serde(default)]
    pub bin_counts: Option<Vec<String>>,
    /// Most `retention.results_days`; a job that does not say how long results are kept is denied. Default: no limit.
    #[serde(default)]
    pub max_results_days: Option<u64>,
    /// Output matrix: what may be opened, to whom. Keys are names of disclosures, or their beginning and `*`; values
    /// are ids of parties, `parties` (every data party), `owner` (the party that the disclosure's name ends with),
    /// `helper` and `relay`.
    pub outputs: BTreeMap<String, Vec<String>>,
    /// Who must sign an approval, and how long it holds.
    #[serde(default)]
    pub approval: Approval,
}

/// `[purposes.NAME.approval]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Approval {
    /// Roles that must each have signed, by different people with different keys. Default: none; the node's key alone.
    pub roles: Vec<Role>,
    /// It ends, and within so many hours. Default: it need not.
    pub ttl_hours: Option<u64>,
}

fn vertical() -> Vec<String> {
    vec!["vertical".into()]
}
fn helper() -> Vec<String> {
    vec!["helper".into()]
}
fn methods() -> Vec<String> {
    vec!["curve".into(), "vole".into()]
}
fn logistic() -> Vec<String> {
    vec!["logistic".into()]
}

impl PolicyFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`PolicyFileError`], naming line or key.
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let file: Self = toml::from_str(text)?;
        file.check()?;
        Ok(file)
    }

    /// Whether its last day has passed at this time.
    pub fn is_over(&self, now: i64) -> bool {
        let last = self.policy.expires.as_deref();
        last.is_some_and(|day| end_of(day).is_none_or(|end| end <= now))
    }

    fn check(&self) -> Result<(), PolicyFileError> {
        let wrong = |key: &str, what: String| {
            Err(PolicyFileError::Value {
                key: key.to_owned(),
                what,
            })
        };
        if self.policy.version == 0 {
            return wrong("policy.version", "versions count from 1".into());
        }
        if let Some(day) = &self.policy.expires
            && end_of(day).is_none()
        {
            return wrong(
                "policy.expires",
                format!("`{day}` is no day such as 2027-03-31"),
            );
        }
        if !self.privacy.is_sound() {
            return wrong(
                "privacy",
                "max_epsilon is above 0, and delta between 0 and 1".into(),
            );
        }
        let mut keys = BTreeSet::new();
        for person in &self.people {
            let key = format!("person `{}`", person.name);
            if unhex::<32>(&person.key).is_none() {
                return wrong(
                    &key,
                    "its key is no 64 hexadecimal digits; `policy key` prints them".into(),
                );
            }
            if !keys.insert(&person.key) {
                return wrong(
                    &key,
                    "its key is another entry's, too: everyone has a key of their own".into(),
                );
            }
            for (end, text) in [("from", &person.from), ("until", &person.until)] {
                if let Some(text) = text
                    && parse_time(text).is_none()
                {
                    return wrong(
                        &key,
                        format!("`{end}` is no time such as 2026-11-22T00:00:00Z"),
                    );
                }
            }
        }
        let governing = self.names(Role::governs);
        if governing.len() < self.policy.signers_required.max(1) {
            return wrong(
                "policy.signers_required",
                format!(
                    "{} people must sign a change, and {} have a role that may (data_owner, compliance)",
                    self.policy.signers_required.max(1),
                    governing.len()
                ),
            );
        }
        if let Some(required) = self.policy.key_signers
            && !(1..=governing.len()).contains(&required)
        {
            return wrong(
                "policy.key_signers",
                format!(
                    "{required} people must sign a change of the node's key, and {} have a role that may (data_owner, compliance)",
                    governing.len()
                ),
            );
        }
        for (name, purpose) in &self.purposes {
            let key = format!("purposes.{name}");
            for role in &purpose.approval.roles {
                if !role.approves() {
                    return wrong(
                        &key,
                        format!(
                            "`{}` approves nothing; data_owner, compliance and validator do",
                            role.name()
                        ),
                    );
                }
                let able = self.names(|other| other == *role).len();
                let asked = purpose.approval.roles.iter().filter(|other| *other == role);
                if able < asked.count() {
                    return wrong(
                        &key,
                        format!("too few people are {}: nobody could approve", role.name()),
                    );
                }
            }
            let roles: BTreeSet<_> = purpose.approval.roles.iter().collect();
            let able = self.names(|role| roles.contains(&role));
            if able.len() < purpose.approval.roles.len() {
                return wrong(
                    &key,
                    "too few different people have these roles: nobody could approve".into(),
                );
            }
            for (name, text) in [
                ("min_score_step", &purpose.min_score_step),
                ("min_bin_share", &purpose.min_bin_share),
            ] {
                if let Some(text) = text
                    && !is_decimal(text)
                {
                    let what = format!("{name} = \"{text}\" is no decimal such as 0.0625");
                    return wrong(&key, what);
                }
            }
            for to in purpose.outputs.values().flatten() {
                if to.contains(':') {
                    return wrong(
                        &key,
                        format!(
                            "outputs names `{to}`: write a party's id, parties, owner, helper or relay"
                        ),
                    );
                }
            }
        }
        Ok(())
    }

    /// Names of the people who have a role that fits.
    pub(crate) fn names(&self, fits: impl Fn(Role) -> bool) -> BTreeSet<&str> {
        let people = self.people.iter();
        let people = people.filter(|person| person.roles.iter().any(|role| fits(*role)));
        people.map(|person| person.name.as_str()).collect()
    }
}

/// The end of a day, in seconds since 1970.
pub(crate) fn end_of(day: &str) -> Option<i64> {
    parse_time(&format!("{day}T00:00:00Z"))?.checked_add(86_400)
}

fn is_decimal(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    [whole, part].iter().all(|digits| {
        (1..=18).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
    })
}
