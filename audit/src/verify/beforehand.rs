//! Check 4, beforehand: others had countersigned that a job begins, and what it opens, before it went on.
//!
//! A node sends nothing in a job before the other members have cosigned a head that holds its links, and nothing after
//! an opening before its witnesses have cosigned one that holds the opening, or its announcement: of a single bit the other
//! data parties, of anything else all other members. So whatever step it began afterwards, and sent frames in, it finished
//! behind such a head.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    absence, announced,
    order::is_work,
    signatures::{in_force, keys, vouched},
    verdict::{Check, Report, plain},
    view::{Case, Event, Log},
};
use crate::{
    event::{Body, bodies::BIT},
    note::{SignatureType, SignedCheckpoint},
};

const LATE: &str = "the others could not see this before it had happened";

/// The sizes of the heads of a log that each other member has cosigned.
type Cosigned<'a> = BTreeMap<&'a str, BTreeSet<u64>>;

pub(super) fn check(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    let trust = case.options.trust;
    if trust.is_some_and(|trust| !trust.members) || !case.is_members(log) {
        return;
    }
    let demands = demands(log);
    if demands.is_empty() {
        return;
    }
    let members = cosigned(case, log);
    let parties = members.iter().filter(|(node, _)| case.is_party(node));
    let parties: Cosigned<'_> = parties
        .map(|(node, sizes)| (*node, sizes.clone()))
        .collect();
    for demand in demands {
        report.examined(Check::Witness, 1);
        let cosigned = if demand.of_parties {
            &parties
        } else {
            &members
        };
        // whose log is not here, has no key to look for: that it is not here is a matter of check 2
        let due = trust.and_then(|trust| trust.quorum);
        let due = due.map_or(cosigned.len(), |quorum| quorum.min(cosigned.len()));
        let within = |size: &u64| *size > demand.above && *size <= demand.until;
        let covers = |sizes: &BTreeSet<u64>| sizes.iter().any(within);
        let by = cosigned.values().filter(|sizes| covers(sizes)).count();
        if by >= due {
            continue;
        }
        let lacking = || {
            let lacking = cosigned.iter().filter(|(_, sizes)| !covers(sizes));
            lacking.map(|(node, _)| *node)
        };
        // where the reader asks for a number of witnesses, so many it is
        let opening = demand.event.name() == "disclosure";
        if opening && trust.is_none_or(|trust| trust.quorum.is_none()) {
            let names = absence::named(log, demand.until);
            if absence::excused(case, lacking(), &names) {
                continue;
            }
        }
        let lacking: Vec<_> = lacking().map(plain).collect();
        report.find(
            Check::Witness,
            log.at(demand.event),
            format!(
                "no checkpoint that holds {}, with at most {} events, is cosigned by {}",
                demand.what,
                demand.until,
                lacking.join(", ")
            ),
            LATE,
        );
    }
}

/// A checkpoint of more than `above` and at most `until` events must be cosigned.
struct Demand<'a> {
    event: &'a Event<'a>,
    what: &'static str,
    above: u64,
    until: u64,
    /// By the data parties alone.
    of_parties: bool,
}

/// A step in which frames were sent, by its places in the log.
struct Sent {
    started: Option<u64>,
    finished: u64,
}

fn demands<'a>(log: &'a Log<'a>) -> Vec<Demand<'a>> {
    let sent = steps(log);
    let end = log.events.iter().find(|e| e.name() == "run.completed");
    let end = end.map(|event| event.part.index);
    let mut demands = Vec::new();
    let before = log.events.iter().take_while(|event| !is_work(event));
    let links = before.filter(|e| matches!(e.name(), "job.approved" | "session.opened"));
    let first = sent.iter().map(|step| step.finished).min().or(end);
    if let (Some(event), Some(until)) = (links.last(), first) {
        demands.push(Demand {
            event,
            what: "the beginning of the job",
            above: event.part.index,
            until,
            of_parties: false,
        });
    }
    for (event, announced) in announced::openings(log) {
        let at = event.part.index;
        let later = sent
            .iter()
            .filter(|step| step.started.is_some_and(|started| started > at));
        if let Some(until) = later.map(|step| step.finished).min().or(end) {
            let (what, above) = match announced {
                Some(announced) => ("the announcement of this opening", announced.part.index),
                None => ("this opening", at),
            };
            demands.push(Demand {
                event,
                what,
                above,
                until,
                of_parties: between_parties(event),
            });
        }
    }
    demands
}

/// Whether an opening may be of a single bit, which the data parties countersign.
fn between_parties(event: &Event<'_>) -> bool {
    match event.body() {
        Some(Body::Disclosure(opening)) => opening.shape == BIT,
        _ => true,
    }
}

/// The steps in which this log's node sent anything.
fn steps(log: &Log<'_>) -> Vec<Sent> {
    let mut started: BTreeMap<(&str, usize), u64> = BTreeMap::new();
    let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut sent = Vec::new();
    for event in &log.events {
        match event.body() {
            Some(Body::StepStarted(step)) => {
                let times = begun.entry(&step.step).or_default();
                started.insert((&step.step, *times), event.part.index);
                *times += 1;
            }
            Some(Body::StepFinished(step)) => {
                let times = done.entry(&step.step).or_default();
                if step.peers.iter().any(|flow| flow.sent.frames > 0) {
                    sent.push(Sent {
                        started: started.get(&(step.step.as_str(), *times)).copied(),
                        finished: event.part.index,
                    });
                }
                *times += 1;
            }
            _ => {}
        }
    }
    sent
}

fn cosigned<'a>(case: &'a Case<'_>, log: &Log<'_>) -> Cosigned<'a> {
    let notes = log.part.checkpoints.iter().map(|c| c.note.as_str());
    let heads: Vec<_> = notes
        .chain([log.part.checkpoint.as_str()])
        .filter_map(|note| SignedCheckpoint::parse(note).ok())
        .filter(|head| head.checkpoint().origin() == log.part.origin)
        .collect();
    let others = case.logs.iter();
    let others = others.filter(|other| other.node != log.node && case.is_members(other));
    let sizes = |other: &Log<'_>| -> BTreeSet<u64> {
        let keys: Vec<_> = keys(other, SignatureType::Cosignature)
            .filter(|(certificate, _)| vouched(case, &other.part.origin, certificate).is_ok())
            .collect();
        let by = |head: &&SignedCheckpoint| {
            keys.iter().any(|(certificate, key)| {
                let at = head.verify(key).ok().and_then(|v| v.timestamp);
                let at = at.and_then(|at| i64::try_from(at).ok());
                at.is_some_and(|at| in_force(case, certificate, at).is_ok())
            })
        };
        let signed = heads.iter().filter(by);
        signed.map(|head| head.checkpoint().size()).collect()
    };
    others.map(|other| (other.node, sizes(other))).collect()
}
