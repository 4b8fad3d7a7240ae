//! Trying a policy on example jobs before it is signed: each case says what must be decided.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use paripassu_audit::{
    consent::{Consent, Signature},
    event::{format_time, parse_time, unhex},
    policy::Asked,
};
use paripassu_job::{Contract, JobId, NodeKind, Spec, Submitter, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    file::PolicyFile,
    judge::{Bench, Judgement, judge},
    rules::Used,
};
use crate::config::PartyConfig;

/// Why cases cannot be tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CasesError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no file of cases.
    #[error("{}: {source}", path.display())]
    Toml {
        /// Which.
        path: PathBuf,
        /// What is wrong, with its line.
        source: toml::de::Error,
    },
    /// A case cannot be made.
    #[error("case `{case}`: {what}")]
    Case {
        /// Which.
        case: String,
        /// What is wrong.
        what: String,
    },
    /// Nothing to try.
    #[error("{}: no case; a folder holds cases.toml, or job files with a line `# expect: deny RULE`", path.display())]
    None {
        /// Where.
        path: PathBuf,
    },
}

/// `cases.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cases {
    /// The job that cases change, relative to this file.
    pub job: PathBuf,
    /// Who proposes it. Default `user/modeler`.
    #[serde(default = "modeler")]
    pub submitter: String,
    /// When, as `YYYY-MM-DDThh:mm:ssZ`.
    pub now: String,
    /// The cases.
    #[serde(default, rename = "case")]
    pub cases: Vec<Case>,
}

fn modeler() -> String {
    "user/modeler".into()
}

/// One case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// Another job file than the one that all cases change.
    pub job: Option<PathBuf>,
    /// Members of the job to set, by their path: `{ "outputs.scores.step" = "0.5", "party.0.columns" = "all" }`.
    pub set: BTreeMap<String, toml::Value>,
    /// Members of the job to leave out.
    pub remove: Vec<String>,
    /// Another submitter than the contract names signs it.
    pub signed_by: Option<String>,
    /// Another submitter, in contract and signature.
    pub submitter: Option<String>,
    /// When it is judged; of an approval, when it is given.
    pub at: Option<String>,
    /// Jobs begun before.
    pub used: UsedBefore,
    /// An approval: who signs it, `NAME:ROLE`, or `NAME:ROLE@OTHER` with the other's key. Judged only where it is given.
    pub signed: Option<Vec<String>>,
    /// The approval ends after so many hours. Default: never.
    pub ends_hours: Option<i64>,
    /// `allow`, `ask` or `deny`; `granted` or `refused` for an approval; `invalid` where no such job can be proposed.
    pub expect: String,
    /// The first rule that must deny; of an approval or an invalid job, words that the reason must contain.
    pub because: Option<String>,
}

/// `used`: quotas as they stand in a case.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsedBefore {
    /// Jobs in the last 24 hours.
    pub today: u64,
    /// Jobs with another party.
    pub with: BTreeMap<String, u64>,
    /// Jobs over the data set.
    pub dataset: u64,
    /// Counterparts that have had all their alignments.
    pub alignments: Vec<String>,
    /// Scores that others got in the last 24 hours.
    pub scores_today: u64,
    /// Scores that another party got.
    pub scores_with: BTreeMap<String, u64>,
    /// Scores of the data set's customers.
    pub scores_dataset: u64,
    /// The data set's privacy is used up.
    pub privacy: bool,
}

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The case.
    pub name: String,
    /// What it expects.
    pub expect: String,
    /// What was decided.
    pub got: String,
    /// The rule that denied, or the reason.
    pub because: String,
    /// Whether both are as expected.
    pub passed: bool,
}

/// A contract that a case proposes, and what is decided about it.
#[derive(Debug)]
pub struct Proposed {
    /// The contract.
    pub contract: Contract,
    /// Who signed it.
    pub submitter: String,
    /// What the policy says.
    pub judgement: Judgement,
}

/// Cases with the folder they are relative to.
#[derive(Debug, Clone)]
pub struct Table {
    /// The cases.
    pub cases: Cases,
    base: PathBuf,
}

impl Table {
    /// Reads `cases.toml`, or a folder with it, or a folder of job files with expected decisions in a comment.
    ///
    /// # Errors
    /// Names the file.
    pub fn load(path: &Path, now: i64) -> Result<Self, CasesError> {
        let file = match path.is_dir() {
            true => path.join("cases.toml"),
            false => path.to_owned(),
        };
        if !file.exists() && path.is_dir() {
            return Self::of_folder(path, now);
        }
        let text = read(&file)?;
        let cases = toml::from_str(&text).map_err(|source| CasesError::Toml {
            path: file.clone(),
            source,
        })?;
        Ok(Self {
            cases,
            base: file.parent().unwrap_or(Path::new("")).to_owned(),
        })
    }

    fn of_folder(path: &Path, now: i64) -> Result<Self, CasesError> {
        let failed = |source| CasesError::Read {
            path: path.to_owned(),
            source,
        };
        let mut cases = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_none_or(|ext| ext != "toml") {
                continue;
            }
            let text = read(&file)?;
            let expected = text.lines().find_map(|line| line.strip_prefix("# expect:"));
            let Some(expected) = expected else { continue };
            let (expect, because) = match expected.trim().split_once(' ') {
                Some((expect, because)) => (expect, Some(because.trim().to_owned())),
                None => (expected.trim(), None),
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            cases.push(Case {
                name: name.into_owned(),
                job: Some(PathBuf::from(file.file_name().unwrap_or_default())),
                expect: expect.to_owned(),
                because,
                ..Case::default()
            });
        }
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        if cases.is_empty() {
            return Err(CasesError::None {
                path: path.to_owned(),
            });
        }
        Ok(Self {
            cases: Cases {
                job: PathBuf::new(),
                submitter: modeler(),
                now: format_time(now).unwrap_or_default(),
                cases,
            },
            base: path.to_owned(),
        })
    }

    /// Tries one case on the policy of `party`.
    ///
    /// # Errors
    /// When the case itself cannot be made.
    pub fn run(
        &self,
        case: &Case,
        config: &PartyConfig,
        file: Option<&PolicyFile>,
        party: &str,
    ) -> Result<Tried, CasesError> {
        let proposed = self.propose(case, config, file, party)?;
        let (got, because) = match (&case.signed, proposed) {
            (_, Err(invalid)) => ("invalid".to_owned(), invalid),
            (None, Ok(proposed)) => {
                let mut rules = proposed.judgement.rules.iter();
                let rule = rules.find(|rule| rule.verdict == "deny");
                let rule = rule.map_or_else(String::new, |rule| rule.id.clone());
                (proposed.judgement.verdict.to_owned(), rule)
            }
            (Some(signed), Ok(proposed)) => {
                match self.approval(case, signed, file, &proposed.judgement)? {
                    Ok(()) => ("granted".to_owned(), String::new()),
                    Err(lacks) => ("refused".to_owned(), lacks),
                }
            }
        };
        let fits = case
            .because
            .as_ref()
            .is_none_or(|wanted| match case.expect.as_str() {
                "deny" => because == *wanted,
                _ => because.contains(wanted),
            });
        Ok(Tried {
            name: case.name.clone(),
            passed: got == case.expect && fits,
            expect: match &case.because {
                Some(because) => format!("{} ({because})", case.expect),
                None => case.expect.clone(),
            },
            got,
            because,
        })
    }

    /// What a case proposes, judged; the inner error is why no such job can be proposed.
    ///
    /// # Errors
    /// When the case itself cannot be made.
    pub fn propose(
        &self,
        case: &Case,
        config: &PartyConfig,
        file: Option<&PolicyFile>,
        party: &str,
    ) -> Result<Result<Proposed, String>, CasesError> {
        let wrong = |what: String| CasesError::Case {
            case: case.name.clone(),
            what,
        };
        let path = self.base.join(case.job.as_ref().unwrap_or(&self.cases.job));
        let text = read(&path)?;
        let mut job: toml::Value = toml::from_str::<toml::Table>(&text)
            .map(toml::Value::Table)
            .map_err(|source| CasesError::Toml { path, source })?;
        for (path, value) in &case.set {
            put(&mut job, path, Some(value.clone())).map_err(wrong)?;
        }
        for path in &case.remove {
            put(&mut job, path, None).map_err(wrong)?;
        }
        let time = |text: &str| {
            parse_time(text)
                .ok_or_else(|| wrong(format!("`{text}` is no time such as 2026-11-22T10:00:00Z")))
        };
        let proposed_at = time(&self.cases.now)?;
        let now = case.at.as_deref().map_or(Ok(proposed_at), time)?;
        let submitter = case.submitter.as_ref().unwrap_or(&self.cases.submitter);
        let signed_by = case.signed_by.as_ref().unwrap_or(submitter);
        let text = toml::to_string(&job).map_err(|e| wrong(e.to_string()))?;
        let contract = Spec::from_toml(&text, &case.name)
            .map_err(|e| e.to_string())
            .and_then(|spec| contract(spec, submitter, proposed_at));
        let contract = match contract {
            Ok(contract) => contract,
            Err(invalid) => return Ok(Err(invalid)),
        };
        let value: serde_json::Value =
            serde_json::from_str(contract.canonical()).map_err(|e| wrong(e.to_string()))?;
        let asked = Asked::of(&value, party, signed_by);
        let seats = contract.spec().seats();
        let seat = seats.iter().find(|seat| seat.id.to_string() == party);
        let label = value
            .pointer("/spec/horizontal")
            .is_some_and(|h| !h.is_null());
        let label = label
            || seats
                .first()
                .is_some_and(|seat| seat.id.to_string() == party)
                && contract.spec().overlap.is_none();
        let unserved = match seat {
            None => Some("this party is not in the contract".to_owned()),
            Some(seat) => crate::dataset::Selection::new(config, contract.spec(), seat, label)
                .err()
                .map(|e| e.without_hints()),
        };
        let used = &case.used;
        let bench = Bench {
            party,
            version: file.map_or(1, |file| file.policy.version),
            file,
            spent: used.alignments.clone(),
            used: Used {
                today: used.today,
                with: used.with.clone().into_iter().collect(),
                dataset: used.dataset,
                scores_today: used.scores_today,
                scores_with: used.scores_with.clone().into_iter().collect(),
                scores_dataset: used.scores_dataset,
                privacy: used
                    .privacy
                    .then(|| "the data set's privacy is used up".to_owned()),
            },
            unserved,
            now,
        };
        Ok(Ok(Proposed {
            judgement: judge(config, bench, asked.as_ref(), signed_by),
            submitter: signed_by.clone(),
            contract,
        }))
    }

    /// Whether an approval signed so would do.
    fn approval(
        &self,
        case: &Case,
        signed: &[String],
        file: Option<&PolicyFile>,
        judgement: &Judgement,
    ) -> Result<Result<(), String>, CasesError> {
        let wrong = |what: String| CasesError::Case {
            case: case.name.clone(),
            what,
        };
        let at = case.at.as_deref().unwrap_or(&self.cases.now);
        let at = parse_time(at).unwrap_or_default();
        let mut people = Vec::new();
        for signature in signed {
            let (who, key_of) = match signature.split_once('@') {
                Some((who, other)) => (who, Some(other)),
                None => (signature.as_str(), None),
            };
            let (name, role) = who
                .split_once(':')
                .ok_or_else(|| wrong(format!("`{signature}` is not of the form NAME:ROLE")))?;
            let owner = key_of.unwrap_or(name);
            let person = file.and_then(|file| file.people.iter().find(|p| p.name == owner));
            people.push(Signature {
                name: name.to_owned(),
                role: role.to_owned(),
                // who is not named has a key that is not named either
                key: person.and_then(|p| unhex(&p.key)).unwrap_or([0xfe; 32]),
                signature: [0; 64],
            });
        }
        let mut names = people.iter().map(|person| person.name.clone());
        let consent = Consent {
            approver: names.next().unwrap_or_default(),
            second: names.next().unwrap_or_default(),
            ticket: String::new(),
            expires: case
                .ends_hours
                .and_then(|hours| format_time(at + hours * 3_600))
                .unwrap_or_default(),
            people,
        };
        let checked = consent.check().map_err(|e| e.to_string());
        Ok(checked.and_then(|()| judgement.stated.grants(&consent, at, 0)))
    }
}

fn read(path: &Path) -> Result<String, CasesError> {
    std::fs::read_to_string(path).map_err(|source| CasesError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The contract of a job as `submitter` (`kind/id`) would propose it.
///
/// # Errors
/// Why it cannot be proposed.
pub fn contract(spec: Spec, submitter: &str, now: i64) -> Result<Contract, String> {
    let (kind, id) = submitter
        .split_once('/')
        .ok_or("a submitter is user/NAME or party/NAME")?;
    let kind = match kind {
        "user" => NodeKind::User,
        "party" => NodeKind::Party,
        other => return Err(format!("a {other} may not submit a job")),
    };
    let id = id.parse().map_err(|e| format!("the submitter's id: {e}"))?;
    let now = Timestamp::from_unix(now.max(0).unsigned_abs()).map_err(|e| e.to_string())?;
    // an example has no id of its own
    let job = JobId::from_bytes([0; 16]);
    Contract::new(spec, job, now, Submitter { kind, id }).map_err(|e| e.to_string())
}

/// Sets the member of a path such as `party.0.columns`, or takes it out.
fn put(value: &mut toml::Value, path: &str, new: Option<toml::Value>) -> Result<(), String> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    match (value, rest) {
        (toml::Value::Table(table), None) => {
            match new {
                Some(new) => table.insert(first.to_owned(), new),
                None => table.remove(first),
            };
            Ok(())
        }
        (toml::Value::Table(table), Some(rest)) => {
            let empty = || toml::Value::Table(toml::Table::new());
            put(table.entry(first).or_insert_with(empty), rest, new)
        }
        (toml::Value::Array(items), rest) => {
            let index: usize = first
                .parse()
                .map_err(|_| format!("`{first}` is no place in a list"))?;
            match (rest, new) {
                (Some(rest), new) => {
                    let item = items
                        .get_mut(index)
                        .ok_or_else(|| format!("the list has no place {index}"))?;
                    put(item, rest, new)
                }
                (None, Some(new)) if index == items.len() => {
                    items.push(new);
                    Ok(())
                }
                (None, Some(new)) => {
                    let item = items
                        .get_mut(index)
                        .ok_or_else(|| format!("the list has no place {index}"))?;
                    *item = new;
                    Ok(())
                }
                (None, None) if index < items.len() => {
                    items.remove(index);
                    Ok(())
                }
                (None, None) => Err(format!("the list has no place {index}")),
            }
        }
        (_, _) => Err(format!("`{path}`: what is above it is no table")),
    }
}
