//! Check 4, in jobs of banks: who may be missing, and that whoever went on without it has said so.
//!
//! Sums over banks bear the loss of some. So does the countersigning: a node waits for all other members, but goes on
//! without data parties that do not answer, as long as the threshold of the contract is there, and writes down which.

use std::collections::BTreeSet;

use super::{
    verdict::{Check, Report, plain},
    view::{Case, Event, Log},
};
use crate::event::{Body, bodies::LogUnwitnessed};

const TOO_FEW: &str = "the job went on with fewer witnesses than the parties had agreed on";

fn absences<'a>(log: &'a Log<'_>) -> impl Iterator<Item = (&'a Event<'a>, &'a LogUnwitnessed)> {
    log.events.iter().filter_map(|event| match event.body() {
        Some(Body::LogUnwitnessed(absence)) => Some((event, absence)),
        _ => None,
    })
}

/// Those whom this log's node had given up waiting for before so many events.
pub(super) fn named<'a>(log: &'a Log<'_>, until: u64) -> BTreeSet<&'a str> {
    let before = absences(log).filter(|(event, _)| event.part.index < until);
    before
        .flat_map(|(_, absence)| &absence.missing)
        .map(String::as_str)
        .collect()
}

/// Those without whom this log's node closed the job.
pub(super) fn closed_without<'a>(log: &'a Log<'_>) -> BTreeSet<&'a str> {
    absences(log)
        .filter(|(_, absence)| absence.end)
        .flat_map(|(_, absence)| &absence.missing)
        .map(String::as_str)
        .collect()
}

/// Data parties without whom more than half of the others, of those that ran the job to its end, closed it.
pub(super) fn left_out(case: &Case<'_>) -> BTreeSet<String> {
    let Ok(contract) = &case.contract else {
        return BTreeSet::new();
    };
    let ended = |log: &&Log<'_>| {
        case.is_members(log) && case.is_party(log.node) && log.has("run.completed")
    };
    let ended: Vec<_> = case.logs.iter().filter(ended).collect();
    let without: Vec<_> = ended.iter().map(|log| closed_without(log)).collect();
    let left_out = |party: &&String| {
        let others = || {
            ended
                .iter()
                .zip(&without)
                .filter(|(log, _)| log.node != **party)
        };
        let say_so = others().filter(|(_, names)| names.contains(party.as_str()));
        2 * say_so.count() > others().count()
    };
    let found: BTreeSet<String> = contract.parties.iter().filter(left_out).cloned().collect();
    match found.len() <= contract.spare {
        true => found,
        false => BTreeSet::new(),
    }
}

/// Whether these members may be missing where `log` asks for countersignatures: data parties that it names, as many as
/// the contract can do without.
pub(super) fn excused<'a>(
    case: &Case<'_>,
    missing: impl IntoIterator<Item = &'a str>,
    names: &BTreeSet<&str>,
) -> bool {
    let spare = case.contract.as_ref().map_or(0, |contract| contract.spare);
    let mut missing = missing.into_iter();
    let held = missing.try_fold(0, |count, node| {
        (case.is_party(node) && names.contains(node)).then_some(count + 1)
    });
    held.is_some_and(|count| count <= spare)
}

/// What a log says of absence can be: in a job of banks, of other data parties, of no more than can be spared.
pub(super) fn check(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    let Ok(contract) = &case.contract else {
        return;
    };
    for (event, absence) in absences(log) {
        report.examined(Check::Witness, 1);
        let names: BTreeSet<&str> = absence.missing.iter().map(String::as_str).collect();
        let strange = names
            .iter()
            .find(|name| **name == log.node || !case.is_party(name));
        let what = if let Some(name) = strange {
            format!(
                "it goes on without {}, which is no other data party",
                plain(name)
            )
        } else if names.len() != absence.missing.len() || names.is_empty() {
            "it names nobody, or somebody twice".to_owned()
        } else if names.len() > contract.spare {
            format!(
                "it goes on without {} data parties, where the contract can do without {}",
                names.len(),
                contract.spare
            )
        } else if absence.size > event.part.index {
            "it speaks of a head of its log that came later".to_owned()
        } else {
            continue;
        };
        report.find(Check::Witness, log.at(event), what, TOO_FEW);
    }
}
