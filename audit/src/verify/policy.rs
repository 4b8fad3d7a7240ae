//! Check 7: each verdict is what the policy written down before it says of this contract, and no party
//! approved what its policy denied.

use super::{
    contract::ContractView,
    order::{consent_of, is_work},
    verdict::{Check, Report, plain},
    view::{Case, Event, Log},
};
use crate::{
    consent::Consent,
    event::{
        Body,
        bodies::{JobApproved, PolicyEvaluated, PolicyStated},
        hex,
    },
    policy::{Asked, MAX_PIECES, Stated, rank, strictest},
};
use sha2::{Digest, Sha256};

const BROKEN: &str = "the recorded verdict is not what the recorded rules say";
const RECOMPUTED: &str =
    "the recorded verdict does not follow from the recorded policy and the contract";
const OVERRULED: &str = "somebody overruled the policy";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    for log in &case.logs {
        policies(case, log, report);
    }
}

/// A policy as far as it has been read.
#[derive(Default)]
struct Pieces<'a> {
    text: String,
    next: u64,
    parts: u64,
    /// A body is not in the bundle.
    lost: bool,
    last: Option<&'a PolicyStated>,
}

impl<'a> Pieces<'a> {
    fn take(&mut self, piece: &'a PolicyStated) {
        if piece.part == 1 {
            *self = Self {
                next: 1,
                parts: piece.parts,
                ..Self::default()
            };
        }
        let sound = piece.part == self.next && piece.parts == self.parts;
        match sound && self.parts <= MAX_PIECES {
            true => self.text.push_str(&piece.text),
            // a row of pieces with a fault is no policy
            false => *self = Self::default(),
        }
        self.next += 1;
        self.last = Some(piece);
    }

    /// The whole text, if all pieces are there.
    fn whole(&self) -> Option<&str> {
        (self.parts > 0 && self.next == self.parts + 1).then_some(self.text.as_str())
    }
}

fn policies(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    let mut denied = false;
    let mut judged = false;
    let mut submitter = None;
    let mut pieces = Pieces::default();
    let mut stated = None;
    let mut own: Option<(&Event<'_>, &JobApproved)> = None;
    let mut worked = false;
    for event in &log.events {
        if matches!(event.name(), "policy.stated" | "job.proposed") && event.body().is_none() {
            // what is missing is said elsewhere
            pieces.lost = true;
        }
        judged |= event.name() == "policy.evaluated";
        match event.body() {
            Some(Body::JobProposed(proposed)) => submitter = Some(proposed.submitter.as_str()),
            Some(Body::PolicyStated(piece)) => pieces.take(piece),
            Some(Body::PolicyEvaluated(verdict)) => {
                report.examined(Check::Policy, 1);
                by_its_rules(case, log, event, verdict, report);
                if let Ok(contract) = &case.contract
                    && !pieces.lost
                {
                    let found = recomputed(contract, log.node, verdict, pieces.whole(), submitter);
                    match found {
                        Ok(policy) => stated = policy,
                        Err(what) => report.find(Check::Policy, log.at(event), what, RECOMPUTED),
                    }
                }
                denied = verdict.verdict == "deny";
            }
            Some(Body::JobApproved(approval)) if approval.party == log.node => {
                own = Some((event, approval));
                if denied {
                    report.find(
                        Check::Policy,
                        log.at(event),
                        "the party approved what its own policy had denied".into(),
                        OVERRULED,
                    );
                }
                if !judged {
                    report.find(
                        Check::Policy,
                        log.at(event),
                        "the party approved before its policy was asked".into(),
                        OVERRULED,
                    );
                }
            }
            _ => {}
        }
        // an approval that its own policy does not grant is none that work may be done on
        if is_work(event)
            && !std::mem::replace(&mut worked, true)
            && let (Some(policy), Some((approved, approval))) = (&stated, own)
        {
            let written = Consent {
                approver: approval.approver.clone(),
                second: approval.second.clone().unwrap_or_default(),
                expires: approval.expires.clone().unwrap_or_default(),
                // who signed stands in the statement, whose words check 6 holds against these
                people: consent_of(case, &approval.statement)
                    .map_or_else(Vec::new, |consent| consent.people),
                ..Consent::default()
            };
            let at = approved.at().unwrap_or(0);
            let granted = policy.grants(&written, at, case.options.skew());
            if let Err(lacks) = granted {
                let what = format!("the party worked on this approval, though {lacks}");
                report.find(Check::Policy, log.at(approved), what, OVERRULED);
            }
        }
    }
}

fn by_its_rules(
    case: &Case<'_>,
    log: &Log<'_>,
    event: &Event<'_>,
    verdict: &PolicyEvaluated,
    report: &mut Report,
) {
    let mut find = |what: &str| report.find(Check::Policy, log.at(event), what.to_owned(), BROKEN);
    let known = verdict
        .rules
        .iter()
        .all(|rule| rank(&rule.verdict).is_some());
    let rules = verdict.rules.iter().map(|rule| rule.verdict.as_str());
    if !known || strictest(rules) != verdict.verdict {
        find("the verdict is not the strictest of its rules' (without rules: deny)");
    }
    if verdict.contract != hex(&case.contract_digest) {
        find("the policy was asked about another contract");
    }
}

/// The rules' verdicts, by the policy itself.
fn recomputed(
    contract: &ContractView,
    node: &str,
    verdict: &PolicyEvaluated,
    text: Option<&str>,
    submitter: Option<&str>,
) -> Result<Option<Stated>, String> {
    let said: Vec<_> = verdict
        .rules
        .iter()
        .map(|rule| (rule.id.as_str(), rule.verdict.as_str()))
        .collect();
    // a contract that its node cannot read is judged by nothing else
    if said == [("contract", "deny")] {
        return Ok(None);
    }
    let text = text.ok_or("no whole policy stands before it")?;
    if hex(&Sha256::digest(text)) != verdict.policy {
        return Err("the policy that stands before it is not the one it names".into());
    }
    let stated = Stated::parse(text).map_err(|error| plain(&error.to_string()))?;
    if stated.party != node || stated.version != verdict.version {
        return Err("the policy that stands before it is another party's or version's".into());
    }
    let asked = Asked::of(&contract.value, node, submitter.unwrap_or_default())
        .ok_or("the contract asks nothing of this party")?;
    let judged = stated.judge(&asked);
    if said != judged {
        let rules: Vec<_> = judged.iter().map(|(id, v)| format!("{id} {v}")).collect();
        return Err(format!("by its policy the rules say: {}", rules.join(", ")));
    }
    Ok(Some(stated))
}
