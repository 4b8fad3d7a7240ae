//! Checks 8 and 9: what was opened is what was declared; thresholds hold and counts add up.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    announced,
    contract::ContractView,
    verdict::{Check, Place, Report, plain},
    view::{Case, Log},
};
use crate::event::{Body, bodies::Disclosure};

const UNDECLARED: &str = "a value was opened that the parties had not agreed to open";
const MATRIX: &str = "the declared openings do not fit the outputs that the contract names";
const LEFT_OUT: &str = "this party finished the step and left out what was opened in it";
const LEFT_OUT_AT_ALL: &str = "what this party did cannot be held against what was agreed";
const ACCOUNTS: &str = "the accounts of two nodes cannot both be true";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    if let Ok(contract) = &case.contract {
        matrix(contract, report);
        let mut counts = Vec::new();
        for log in &case.logs {
            counts.push((log, opened(contract, log, report)));
            announced::check(contract, log, report);
        }
        if case.ran_to_the_end() {
            missing(case, contract, &counts, report);
        }
        left_out(case, report);
        unlike(case, report);
        matched(case, contract, report);
        told(case, contract, report);
        super::budget::check(case, contract, report);
    }
    for log in &case.logs {
        sums(log, report);
    }
}

/// The declared list fits the outputs of the specification.
fn matrix(contract: &ContractView, report: &mut Report) {
    let mut ids = BTreeSet::new();
    for declared in &contract.disclosures {
        report.examined(Check::Disclosure, 1);
        let mut find =
            |what: String| report.find(Check::Disclosure, Place::default(), what, MATRIX);
        let id = plain(&declared.id);
        if !ids.insert(&declared.id) {
            find(format!("the contract declares `{id}` twice"));
        }
        let to_party = |party: &str| declared.to == [format!("party:{party}")];
        let fits = match declared.id.as_str() {
            "release.scores" => contract.scores_to.as_deref().is_some_and(to_party),
            "release.reasons" => contract.reasons_to.as_deref().is_some_and(to_party),
            "reject.rate" => contract.rejects_to.as_deref().is_some_and(to_party),
            "reject.scores" => {
                contract.compares_rejects && contract.scores_to.as_deref().is_some_and(to_party)
            }
            "release.metrics" => {
                let to: Vec<_> = contract
                    .metrics_to
                    .iter()
                    .map(|p| format!("party:{p}"))
                    .collect();
                declared.to == to
            }
            other => match (
                other.strip_prefix("release.coefficients."),
                other.strip_prefix("release.standard-errors."),
                other.strip_prefix("reject.coefficients."),
            ) {
                (Some(party), ..) => contract.own_coefficients && to_party(party),
                (_, Some(party), _) => contract.standard_errors && to_party(party),
                (.., Some(party)) => contract.compares_rejects && to_party(party),
                _ => true,
            },
        };
        if !fits {
            find(format!("`{id}` goes to {}", plain(&declared.to.join(", "))));
        }
    }
}

/// How often a log opened each.
fn opened<'a>(
    contract: &ContractView,
    log: &'a Log<'_>,
    report: &mut Report,
) -> BTreeMap<&'a str, u64> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let matched = log.events.iter().find_map(|event| match event.body()? {
        Body::AlignDone(done) => Some(done.matched),
        _ => None,
    });
    for event in &log.events {
        let Some(Body::Disclosure(opening)) = event.body() else {
            continue;
        };
        report.examined(Check::Disclosure, 1);
        let mut find =
            |what: String| report.find(Check::Disclosure, log.at(event), what, UNDECLARED);
        let id = plain(&opening.id);
        let count = counts.entry(&opening.id).or_default();
        *count += 1;
        let Some(declared) = contract.declared(&opening.id) else {
            find(format!("`{id}` is not declared in the contract"));
            continue;
        };
        if opening.ordinal != *count {
            find(format!(
                "it counts itself as opening {} of `{id}`, it is {count}",
                opening.ordinal
            ));
        }
        if *count > declared.at_most {
            find(format!(
                "`{id}` was opened {count} times, at most {} are declared",
                declared.at_most
            ));
        }
        if opening.shape != declared.shape {
            find(format!(
                "`{id}` was opened as {}, declared as {}",
                plain(&opening.shape),
                declared.shape
            ));
        }
        let (least, most) = declared.values(matched);
        if !(least..=most).contains(&opening.values) {
            find(format!(
                "`{id}` is {least} to {most} values at a time, {} were opened",
                opening.values
            ));
        }
        let to: BTreeSet<_> = opening.to.iter().collect();
        if !to.is_subset(&declared.to.iter().collect()) || to.is_empty() {
            find(format!(
                "`{id}` was opened to {}, declared to {}",
                plain(&opening.to.join(", ")),
                declared.to.join(", ")
            ));
        }
    }
    counts
}

/// Nothing declared is missing, and the data parties agree how often each happened.
fn missing(
    case: &Case<'_>,
    contract: &ContractView,
    counts: &[(&Log<'_>, BTreeMap<&str, u64>)],
    report: &mut Report,
) {
    let pruned = case.options.allow_pruned();
    // where a job ended badly, a party may have been stopped before it wrote an opening down
    let none = case.all_parties_completed().then_some(0);
    for declared in &contract.disclosures {
        let id = plain(&declared.id);
        let times = |log: &BTreeMap<&str, u64>| log.get(declared.id.as_str()).copied();
        let nowhere = counts.iter().all(|(_, counts)| times(counts).is_none());
        if nowhere && !pruned {
            report.find(
                Check::Disclosure,
                Place::default(),
                format!("`{id}` is declared, but no log has it"),
                "a declared opening is not accounted for: events may be missing from every log",
            );
        }
        // a bank that was away may have ended the job for itself
        let whole = |log: &Log<'_>| contract.spare == 0 || log.has("run.completed");
        let counted =
            |log: &Log<'_>| case.is_party(log.node) && !case.is_left_out(log.node) && whole(log);
        let parties = counts.iter().filter(|(log, _)| counted(log));
        let of_parties: Vec<_> = parties
            .filter_map(|(log, counts)| Some((log.node, times(counts).or(none)?)))
            .collect();
        let numbers: BTreeSet<u64> = of_parties.iter().map(|(_, times)| *times).collect();
        if numbers.len() > 1 && !pruned {
            let said: Vec<_> = of_parties
                .iter()
                .map(|(node, n)| format!("{node} {n}"))
                .collect();
            report.find(
                Check::Disclosure,
                Place::default(),
                format!(
                    "the parties count the openings of `{id}` differently: {}",
                    said.join(", ")
                ),
                ACCOUNTS,
            );
        }
    }
}

/// Where a party's log ends with an abort, the others' records decide what was opened: whoever finished the
/// very step in which another data party opened something has it, too, as often.
fn left_out(case: &Case<'_>, report: &mut Report) {
    if case.options.allow_pruned() {
        return;
    }
    let parties: Vec<_> = case
        .logs
        .iter()
        .filter(|log| case.is_party(log.node))
        .collect();
    let opened: Vec<_> = parties.iter().map(|log| by_step(log)).collect();
    for (log, own) in parties.iter().zip(&opened) {
        for (other, theirs) in parties.iter().zip(&opened) {
            for ((id, step), times) in theirs {
                let here = own.get(&(*id, *step)).copied().unwrap_or(0);
                if here >= *times {
                    continue;
                }
                let finished = log.events.iter().find(|event| {
                    matches!(event.body(), Some(Body::StepFinished(done)) if done.step == *step)
                });
                let said = format!(
                    "{} opened `{}` {times} times in step `{}`, {} says {here}",
                    other.node,
                    plain(id),
                    plain(step),
                    log.node
                );
                match finished {
                    Some(event) => report.find(Check::Disclosure, log.at(event), said, LEFT_OUT),
                    None => report.note(format!(
                        "{said}, whose log ends before that step: the other's record stands"
                    )),
                }
            }
        }
    }
}

/// Data parties that write of the same opening write the same of it.
fn unlike(case: &Case<'_>, report: &mut Report) {
    let mut first: BTreeMap<(&str, u64), (&str, &Disclosure)> = BTreeMap::new();
    for log in case.logs.iter().filter(|log| case.is_party(log.node)) {
        for event in &log.events {
            let Some(Body::Disclosure(opening)) = event.body() else {
                continue;
            };
            let key = (opening.id.as_str(), opening.ordinal);
            let (node, said) = first.entry(key).or_insert((log.node, opening));
            if opening.values != said.values {
                let what = format!(
                    "opening {} of `{}` was of {} values, {node} says {}",
                    opening.ordinal,
                    plain(&opening.id),
                    opening.values,
                    said.values
                );
                report.find(Check::Disclosure, log.at(event), what, ACCOUNTS);
            }
        }
    }
}

/// How often a log opened each in each step.
fn by_step<'a>(log: &'a Log<'_>) -> BTreeMap<(&'a str, &'a str), u64> {
    let mut times = BTreeMap::new();
    for event in &log.events {
        if let Some(Body::Disclosure(opening)) = event.body() {
            let key = (opening.id.as_str(), opening.step.as_str());
            *times.entry(key).or_default() += 1;
        }
    }
    times
}

/// The number of common customers is at least the agreed one, and all name the same.
fn matched(case: &Case<'_>, contract: &ContractView, report: &mut Report) {
    let mut first: Option<u64> = None;
    for log in &case.logs {
        for event in &log.events {
            let Some(Body::AlignDone(done)) = event.body() else {
                continue;
            };
            report.examined(Check::Threshold, 1);
            let mut find =
                |what: String, means| report.find(Check::Threshold, log.at(event), what, means);
            let matched = done.matched;
            if let Some(least) = contract.min_matched
                && matched < least
                && log.has("run.completed")
            {
                find(
                    format!("{matched} customers are common, at least {least} are agreed"),
                    "the job went on where it had to end",
                );
            }
            match first {
                Some(other) if other != matched => find(
                    format!("{matched} customers are common here, {other} in another log"),
                    ACCOUNTS,
                ),
                _ => first = Some(matched),
            }
        }
    }
}

/// A data party that ran the job to its end wrote down what data it used, and how many customers are common
/// where that was found.
fn told(case: &Case<'_>, contract: &ContractView, report: &mut Report) {
    let parties = || case.logs.iter().filter(|log| case.is_party(log.node));
    let aligns = contract.aligns || parties().any(|log| log.has("align.done"));
    for log in parties() {
        let Some(end) = log.events.iter().find(|e| e.name() == "run.completed") else {
            continue;
        };
        for (name, due) in [("data.committed", true), ("align.done", aligns)] {
            report.examined(Check::Threshold, 1);
            if due && !log.has(name) {
                let what = format!("the job ended well, and `{name}` was never written");
                report.find(Check::Threshold, log.at(end), what, LEFT_OUT_AT_ALL);
            }
        }
    }
}

/// Counts in the last event are those of the log.
fn sums(log: &Log<'_>, report: &mut Report) {
    let (mut disclosures, mut steps) = (0, 0);
    for event in &log.events {
        match event.name() {
            "disclosure" => disclosures += 1,
            "step.finished" => steps += 1,
            _ => {}
        }
        let Some(Body::RunCompleted(done)) = event.body() else {
            continue;
        };
        report.examined(Check::Threshold, 1);
        if (done.disclosures, done.steps) != (disclosures, steps) {
            report.find(
                Check::Threshold,
                log.at(event),
                format!(
                    "it counts {} openings and {} steps, the log has {disclosures} and {steps}",
                    done.disclosures, done.steps
                ),
                "events are missing, or the node's own account was wrong",
            );
        }
    }
}
