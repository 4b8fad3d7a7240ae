//! Check 2: each log's chain of the job is whole, in order, and ends.

use std::collections::BTreeMap;

use super::{
    order::is_work,
    verdict::{Check, Place, Report, plain},
    view::{Case, Event, Log},
};
use crate::event::{Body, envelope_digest, hex};

/// Events that end a job at a node.
pub(super) const ENDS: [&str; 3] = ["run.completed", "aborted", "job.rejected"];

const GAP: &str = "events were removed, added, doubled or put in another order";
const AFTER: &str = "work was done outside the job that the others saw end";
const MISPLACED: &str = "an event of another log or another job was put here";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    for log in &case.logs {
        links(case, log, report);
        node_links(log, report);
        after_the_end(log, report);
        let ended = log.events.iter().any(|e| ENDS.contains(&e.name()));
        if !ended && !log.events.is_empty() {
            let place = log.events.last().map_or(log.place(), |last| log.at(last));
            report.find(
                Check::Chain,
                place,
                "the log stops here, before any event that ends a job".into(),
                "the job still runs at this node, or the end of its log was cut off",
            );
        }
    }
    nodes(case, report);
    members(case, report);
}

/// No node has two logs: its id would stand for two members.
fn nodes(case: &Case<'_>, report: &mut Report) {
    let mut seen = BTreeMap::new();
    for log in &case.logs {
        report.examined(Check::Chain, 1);
        if let Some(other) = seen.insert(log.node, &log.part.origin) {
            report.find(
                Check::Chain,
                log.place(),
                format!("{other} is a log of the same node id"),
                "one node may pass for two, and be its own witness",
            );
        }
    }
}

/// After its end, a job's model may still be handed over; no other work is left to do. Where a job was
/// aborted, what was under way may still be written down.
fn after_the_end(log: &Log<'_>, report: &mut Report) {
    let closing = |event: &Event<'_>| matches!(event.name(), "run.completed" | "job.rejected");
    let mut after = log.events.iter().skip_while(|event| !closing(event));
    let Some(end) = after.next() else {
        return;
    };
    for event in after.filter(|event| is_work(event) && event.name() != "model.released") {
        report.find(
            Check::Chain,
            log.at(event),
            format!("it stands after `{}`, which ended the job", end.name()),
            AFTER,
        );
    }
}

fn links(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    let mut prev = [0; 32];
    let mut last_index = None;
    for (place, event) in (0u64..).zip(&log.events) {
        report.examined(Check::Chain, 1);
        let mut find = |what: String, means| report.find(Check::Chain, log.at(event), what, means);
        if last_index.is_some_and(|last| event.part.index <= last) {
            find(
                "its index in the log is not above that of the event before it".into(),
                GAP,
            );
        }
        last_index = Some(event.part.index);
        // one that cannot be read is a matter of check 1
        if let Some(envelope) = event.head() {
            if envelope.origin != log.part.origin {
                find(
                    format!("it belongs to the log {}", envelope.origin),
                    MISPLACED,
                );
            }
            if envelope.job != case.bundle.job {
                find(
                    format!("it belongs to the job `{}`", plain(&envelope.job)),
                    MISPLACED,
                );
            }
            if envelope.seq != place {
                find(
                    format!(
                        "it is event {} of the job where {place} is due",
                        envelope.seq
                    ),
                    GAP,
                );
            }
            if envelope.prev != hex(&prev) {
                find("it does not follow from the event before it".into(), GAP);
            }
        }
        prev = envelope_digest(event.part.envelope.as_bytes());
    }
}

/// What the node wrote of itself is whole, from a start before the job to the job's end.
fn node_links(log: &Log<'_>, report: &mut Report) {
    let Some(first) = log.events.first() else {
        return;
    };
    let begins = log
        .node_events
        .first()
        .is_some_and(|start| start.name() == "log.started" && start.part.index < first.part.index);
    if !begins {
        report.find(
            Check::Chain,
            log.node_events.first().map_or(log.place(), |e| log.at(e)),
            "what the node wrote of itself does not begin with its start before the job".into(),
            GAP,
        );
    }
    let mut before: Option<&Event<'_>> = None;
    for event in &log.node_events {
        report.examined(Check::Chain, 1);
        let mut find =
            |what: &str, means| report.find(Check::Chain, log.at(event), what.into(), means);
        if let Some(envelope) = event.head() {
            if envelope.origin != log.part.origin || !envelope.job.is_empty() {
                find("it is no event of this node alone", MISPLACED);
            }
            if let Some(before) = before {
                let follows = before.head().is_none_or(|head| {
                    head.seq.checked_add(1) == Some(envelope.seq)
                        && hex(&envelope_digest(before.part.envelope.as_bytes())) == envelope.prev
                });
                if !follows || event.part.index <= before.part.index {
                    find("it does not follow from the node's event before it", GAP);
                }
            }
        }
        before = Some(event);
    }
    // the end of the job says how many there were
    let had = before.and_then(Event::head).map_or(0, |head| head.seq + 1);
    for event in &log.events {
        let node = match event.body() {
            Some(Body::RunCompleted(end)) => end.node,
            Some(Body::Aborted(end)) => end.node,
            _ => continue,
        };
        if node > had {
            report.find(
                Check::Chain,
                log.at(event),
                format!("it stands behind {node} events of the node itself, here are {had}"),
                GAP,
            );
        }
    }
}

/// Each member's log is there, and no other.
fn members(case: &Case<'_>, report: &mut Report) {
    // a contract that cannot be read is a matter of check 6
    let Ok(contract) = &case.contract else {
        return;
    };
    for member in contract.members() {
        report.examined(Check::Chain, 1);
        let here = case.log_of(member).filter(|log| !log.events.is_empty());
        match here {
            Some(_) => {}
            None if case.is_left_out(member) => report.note(format!(
                "the job was closed without {member}, which did not answer: its log is not here"
            )),
            None if case.ran_to_the_end() => report.find(
                Check::Chain,
                Place::default(),
                format!("the log of {member} is not in it"),
                "what this member did cannot be checked, nor what others say of it",
            ),
            None => report.note(format!(
                "the log of {member} is not in the bundle, and no log says that the job ran to its end"
            )),
        }
    }
    for log in &case.logs {
        let member = contract.members().any(|member| member == log.node);
        if !member && !log.part.origin.starts_with("paripassu/coordinator/") {
            report.find(
                Check::Chain,
                log.place(),
                "its node is no member of the job".into(),
                MISPLACED,
            );
        }
        if member && !case.is_members(log) {
            report.find(
                Check::Chain,
                log.place(),
                format!("the contract gives {} another place in the job", log.node),
                MISPLACED,
            );
        }
    }
}
