//! Holds a contract against everything by which a party judges: its configuration and its policy file.

use paripassu_audit::{
    event::bodies::{PolicyEvaluated, RuleVerdict},
    policy::{Asked, Stated, strictest},
};

use super::{
    file::PolicyFile,
    rules::{Ruling, Used},
};
use crate::config::PartyConfig;

/// Who judges, by which version, at what time, with what used up.
#[derive(Debug, Clone, Default)]
pub struct Bench<'a> {
    /// The party.
    pub party: &'a str,
    /// The number of its whole policy.
    pub version: u64,
    /// Its policy file, if it has one.
    pub file: Option<&'a PolicyFile>,
    /// Counterparts that have had all their alignments.
    pub spent: Vec<String>,
    /// Of its quotas.
    pub used: Used,
    /// Why this node cannot serve the job, if it cannot.
    pub unserved: Option<String>,
    /// Seconds since 1970.
    pub now: i64,
}

/// A rule and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Judged {
    /// The rule.
    pub id: String,
    /// `allow`, `ask` or `deny`.
    pub verdict: &'static str,
    /// What was measured.
    pub measured: String,
    /// What would satisfy it; empty where it is satisfied.
    pub remedy: String,
}

/// What a party says of a contract.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// What of its policy decided.
    pub stated: Stated,
    /// Every rule.
    pub rules: Vec<Judged>,
    /// The strictest of their verdicts.
    pub verdict: &'static str,
}

impl Judgement {
    /// Which rule of whose policy refuses, and what would satisfy it.
    pub fn refusal(&self) -> Option<String> {
        let rule = self.rules.iter().find(|rule| rule.verdict == "deny")?;
        let remedy = match rule.remedy.as_str() {
            "" => String::new(),
            remedy => format!(": {remedy}"),
        };
        Some(format!(
            "policy of `{}` (version {}), rule `{}`: {}{remedy}",
            self.stated.party, self.stated.version, rule.id, rule.measured
        ))
    }

    /// As it is written down, of the contract with this digest.
    pub fn evaluated(&self, contract: String) -> PolicyEvaluated {
        let rules = self.rules.iter().map(|rule| RuleVerdict {
            id: rule.id.clone(),
            verdict: rule.verdict.to_owned(),
            measured: rule.measured.chars().take(1_024).collect(),
        });
        PolicyEvaluated {
            policy: String::new(),
            version: self.stated.version,
            contract,
            rules: rules.collect(),
            verdict: self.verdict.to_owned(),
        }
    }
}

/// Judges; without `asked` the contract cannot be read.
pub fn judge(
    config: &PartyConfig,
    bench: Bench<'_>,
    asked: Option<&Asked>,
    submitter: &str,
) -> Judgement {
    let mut ruling = match (bench.file, asked) {
        (Some(file), Some(asked)) => file.rule(asked, &bench.used, bench.now),
        _ => Ruling::default(),
    };
    if let Some(asked) = asked {
        ruling.rules.extend(config.align.step_fits(asked));
    }
    let stated = config.stated(bench.party, bench.version, asked, bench.spent, &ruling);
    let Some(asked) = asked else {
        let rules = vec![Judged {
            id: "contract".into(),
            verdict: "deny",
            measured: bench
                .unserved
                .unwrap_or_else(|| "it cannot be read".to_owned()),
            remedy: String::new(),
        }];
        return Judgement {
            stated,
            rules,
            verdict: "deny",
        };
    };
    let verdicts: Vec<(String, &'static str)> = {
        let judged = stated.judge(asked).into_iter();
        judged
            .map(|(id, verdict)| (id.to_owned(), verdict))
            .collect()
    };
    let unserved = bench.unserved.unwrap_or_else(|| "not offered".to_owned());
    let mut own = ruling.rules.iter();
    let rules: Vec<Judged> = verdicts
        .into_iter()
        .map(|(id, verdict)| {
            let (measured, remedy) = match id.as_str() {
                "approval" => (stated.approval.clone(), ""),
                "submitter" => (
                    submitter.to_owned(),
                    "the contract names another submitter than the one who signed it: propose it anew",
                ),
                "offered" if verdict == "deny" => (unserved.clone(), ""),
                "offered" => ("data set and columns are offered to jobs".to_owned(), ""),
                "min_matched" if asked.counterparts.is_empty() => ("no customers are matched".to_owned(), ""),
                "min_matched" => (
                    format!("{} of at least {}", asked.min_matched, stated.min_matched),
                    "raise align.min_matched",
                ),
                "max_runs" => match stated.max_runs {
                    Some(most) if stated.spent.is_empty() => {
                        (format!("fewer than {most} in {} days", stated.period_days), "")
                    }
                    Some(most) => (
                        format!("{most} made with {}", stated.spent.join(", ")),
                        "wait, or ask the party for a higher limit",
                    ),
                    None => ("no limit".to_owned(), ""),
                },
                _ => own
                    .next()
                    .map_or((String::new(), ""), |ruled| (ruled.measured.clone(), ruled.remedy.as_str())),
            };
            Judged {
                id,
                verdict,
                measured,
                remedy: if verdict == "deny" { remedy.to_owned() } else { String::new() },
            }
        })
        .collect();
    let verdict = strictest(rules.iter().map(|rule| rule.verdict));
    Judgement {
        stated,
        rules,
        verdict,
    }
}
