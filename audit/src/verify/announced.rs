//! Openings of bits that were announced: what checks 4 and 8 make of it.

use std::collections::BTreeMap;

use super::{
    contract::ContractView,
    verdict::{Check, Report, plain},
    view::{Event, Log},
};
use crate::event::{
    Body,
    bodies::{BIT, DisclosureAnnounced, MAX_ANNOUNCED},
};

const UNSOUND: &str = "others countersigned something else than the openings that were agreed";

fn announced<'a>(event: &'a Event<'a>) -> Option<&'a DisclosureAnnounced> {
    match event.body() {
        Some(Body::DisclosureAnnounced(announced)) => Some(announced),
        _ => None,
    }
}

/// The openings of a log, each with the announcement that covers it: the last of its id above it, if it counts this
/// opening in and is to the same. Where a body is missing, which check 8 does not pass over, the last that may be it.
pub(super) fn openings<'a>(log: &'a Log<'a>) -> Vec<(&'a Event<'a>, Option<&'a Event<'a>>)> {
    let mut by_id: BTreeMap<&str, &Event<'_>> = BTreeMap::new();
    let (mut last, mut bare) = (None, None);
    let mut all = Vec::new();
    for event in &log.events {
        match event.name() {
            "disclosure.announced" => {
                last = Some(event);
                match announced(event) {
                    Some(announced) => drop(by_id.insert(&announced.id, event)),
                    None => bare = Some(event),
                }
            }
            "disclosure" => {
                let Some(Body::Disclosure(opening)) = event.body() else {
                    all.push((event, last));
                    continue;
                };
                let of_id = by_id.get(opening.id.as_str()).copied();
                let covers = |event: &&Event<'_>| {
                    announced(event).is_some_and(|announced| {
                        (announced.first..=announced.last).contains(&opening.ordinal)
                            && announced.to == opening.to
                    })
                };
                all.push((event, of_id.filter(covers).or(bare)));
            }
            _ => {}
        }
    }
    all
}

/// Each announcement is of bits that the contract declares, from the next one on, and of no more than it allows.
pub(super) fn check(contract: &ContractView, log: &Log<'_>, report: &mut Report) {
    let mut opened: BTreeMap<&str, u64> = BTreeMap::new();
    for event in &log.events {
        if let Some(Body::Disclosure(opening)) = event.body() {
            *opened.entry(&opening.id).or_default() += 1;
        }
        let Some(announced) = announced(event) else {
            continue;
        };
        report.examined(Check::Disclosure, 1);
        let mut find = |what: String| report.find(Check::Disclosure, log.at(event), what, UNSOUND);
        let id = plain(&announced.id);
        let Some(declared) = contract.declared(&announced.id) else {
            find(format!("`{id}` is not declared in the contract"));
            continue;
        };
        if declared.shape != BIT {
            find(format!(
                "`{id}` is declared as {}: only bits are announced",
                declared.shape
            ));
        }
        let next = opened.get(announced.id.as_str()).copied().unwrap_or(0) + 1;
        let (first, last) = (announced.first, announced.last);
        if first != next {
            find(format!(
                "it announces opening {first} of `{id}`, the next one is {next}"
            ));
        }
        if last < first || last - first >= MAX_ANNOUNCED {
            find(format!(
                "it announces openings {first} to {last} of `{id}`: 1 to {MAX_ANNOUNCED} at a time"
            ));
        }
        if last > declared.at_most {
            find(format!(
                "`{id}` is announced up to opening {last}, at most {} are declared",
                declared.at_most
            ));
        }
        if announced.to.is_empty() || announced.to.iter().any(|to| !declared.to.contains(to)) {
            find(format!(
                "`{id}` is announced to {}, declared to {}",
                plain(&announced.to.join(", ")),
                declared.to.join(", ")
            ));
        }
    }
}
