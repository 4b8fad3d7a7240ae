//! Check 5: what one node says it sent is what the other says it received.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    verdict::{Check, Report, plain},
    view::{Case, Event, Log},
};
use crate::{
    event::{Body, Flow, Tally, bodies::PeerFlow, unhex},
    merkle::Hash,
};

const DIFFER: &str = "one of the two nodes recorded something other than what went over the wire";
const STRANGER: &str =
    "the link was made with a key that is not in the other node's log: somebody may stand between";

/// A step by name, and which time it ran under that name.
type Run<'a> = (&'a str, usize);

/// The steps of a log with the flows to each peer, in order.
struct Steps<'a> {
    by_run: BTreeMap<Run<'a>, usize>,
    order: Vec<(Run<'a>, &'a Event<'a>, &'a [PeerFlow])>,
}

impl<'a> Steps<'a> {
    fn of(log: &'a Log<'a>) -> Self {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut order = Vec::new();
        let mut by_run = BTreeMap::new();
        for event in &log.events {
            if let Some(Body::StepFinished(step)) = event.body() {
                let times = seen.entry(&step.step).or_default();
                by_run.insert((step.step.as_str(), *times), order.len());
                order.push(((step.step.as_str(), *times), event, step.peers.as_slice()));
                *times += 1;
            }
        }
        Self { by_run, order }
    }

    fn flow(&self, run: Run<'_>, peer: &str) -> Option<(&'a Event<'a>, Option<&'a PeerFlow>)> {
        let (_, event, peers) = self.order.get(*self.by_run.get(&run)?)?;
        Some((event, peers.iter().find(|flow| flow.peer == peer)))
    }
}

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let steps: Vec<_> = case.logs.iter().map(Steps::of).collect();
    for (log, own) in case.logs.iter().zip(&steps) {
        for (run, event, peers) in &own.order {
            for flow in *peers {
                report.examined(Check::Symmetry, 1);
                // whoever was not there at the end had not read everything, nor was everything of it read
                if case.is_left_out(&flow.peer) || case.is_left_out(log.node) {
                    continue;
                }
                let other = case
                    .logs
                    .iter()
                    .zip(&steps)
                    .find(|(l, _)| l.node == flow.peer);
                let Some((other, theirs)) = other else {
                    report.note(format!(
                        "what {} exchanged with {} cannot be compared: the other's log is not here",
                        log.node,
                        plain(&flow.peer)
                    ));
                    continue;
                };
                let mut find = |what: String| {
                    report.find(Check::Symmetry, log.at(event), what, DIFFER);
                };
                match theirs.flow(*run, log.node) {
                    Some((_, Some(back))) => {
                        if let Some(what) = difference(case, log, other, run.0, flow, back) {
                            find(what);
                        }
                    }
                    Some((_, None)) => find(format!(
                        "step `{}`: {} recorded no traffic with {}",
                        plain(run.0),
                        other.node,
                        log.node
                    )),
                    None if other.has("run.completed") => find(format!(
                        "step `{}`: {} recorded no such step",
                        plain(run.0),
                        other.node
                    )),
                    None => report.note(format!(
                        "step `{}` of {} has no counterpart at {}, whose log says that the job ended before",
                        plain(run.0),
                        log.node,
                        other.node
                    )),
                }
            }
        }
        sessions(case, log, report);
    }
    own_frames(case, report);
}

/// What `log` says it sent, against what `other` says it received. The other way round is looked at from
/// the other log.
fn difference(
    case: &Case<'_>,
    log: &Log<'_>,
    other: &Log<'_>,
    step: &str,
    flow: &PeerFlow,
    back: &PeerFlow,
) -> Option<String> {
    let (sent, received) = (&flow.sent, &back.received);
    if sent == received {
        return None;
    }
    let counts = if (sent.frames, sent.bytes) == (received.frames, received.bytes) {
        "the same count, other frames".to_owned()
    } else {
        format!(
            "{} frames of {} bytes sent, {} frames of {} bytes received",
            sent.frames, sent.bytes, received.frames, received.bytes
        )
    };
    let first = if log.own {
        first_frame(case, step, other.node, "sent", received)
    } else if other.own {
        first_frame(case, step, log.node, "received", sent)
    } else {
        None
    };
    let hint = first.unwrap_or_else(|| {
        "compare the two nodes' own bundles with `audit diff` to find the frame".to_owned()
    });
    Some(format!(
        "step `{}`, {} to {}: {counts}; {hint}",
        plain(step),
        log.node,
        other.node
    ))
}

/// With the maker's list of frames: whether the other's claim is a beginning of it.
fn first_frame(
    case: &Case<'_>,
    step: &str,
    peer: &str,
    direction: &str,
    claim: &Flow,
) -> Option<String> {
    let list = list(case, step, peer, direction)?;
    let mut tally = Tally::new();
    let claimed = unhex::<32>(&claim.digest)?;
    for (frame, number) in list.iter().zip(1..) {
        if tally.digest() == claimed {
            return Some(format!("the first frame that differs is number {number}"));
        }
        tally.push(*frame, 0);
    }
    None
}

fn list(case: &Case<'_>, step: &str, peer: &str, direction: &str) -> Option<Vec<Hash>> {
    let list = case.bundle.frames.iter().find(|l| {
        (l.step.as_str(), l.peer.as_str(), l.direction.as_str()) == (step, peer, direction)
    })?;
    list.digests.iter().map(|digest| unhex(digest)).collect()
}

/// The maker's lists of frames are those of its log.
fn own_frames(case: &Case<'_>, report: &mut Report) {
    let Some(log) = case.logs.iter().find(|log| log.own) else {
        return;
    };
    let steps = Steps::of(log);
    lacking(case, log, &steps, report);
    for list in &case.bundle.frames {
        report.examined(Check::Symmetry, 1);
        let mut tally = Tally::new();
        for digest in list.digests.iter().filter_map(|digest| unhex(digest)) {
            tally.push(digest, 0);
        }
        let found = steps.flow((&list.step, 0), &list.peer);
        let (event, claim) = match found {
            Some((event, Some(flow))) if list.direction == "sent" => {
                (Some(event), Some(&flow.sent))
            }
            Some((event, Some(flow))) => (Some(event), Some(&flow.received)),
            other => (other.map(|(event, _)| event), None),
        };
        let flow = tally.flow();
        let same = claim.is_some_and(|claim| {
            (claim.frames, &claim.digest, &claim.root) == (flow.frames, &flow.digest, &flow.root)
        });
        if !same {
            report.find(
                Check::Symmetry,
                event.map_or(log.place(), |event| log.at(event)),
                format!(
                    "the list of frames {} in step `{}` with {} is not the one recorded",
                    list.direction,
                    plain(&list.step),
                    plain(&list.peer)
                ),
                "the list of frame digests in the bundle was altered",
            );
        }
    }
}

/// Of a job that ran to its end, the maker has the digests of all frames.
fn lacking(case: &Case<'_>, log: &Log<'_>, steps: &Steps<'_>, report: &mut Report) {
    if !log.has("run.completed") || case.options.allow_pruned() {
        return;
    }
    let lists = case.bundle.frames.iter();
    let lists: BTreeSet<_> = lists
        .map(|l| (l.step.as_str(), l.peer.as_str(), l.direction.as_str()))
        .collect();
    for ((step, _), event, peers) in steps.order.iter().filter(|((_, times), ..)| *times == 0) {
        for flow in *peers {
            for (direction, frames) in [
                ("sent", flow.sent.frames),
                ("received", flow.received.frames),
            ] {
                report.examined(Check::Symmetry, 1);
                if frames > 0 && !lists.contains(&(*step, flow.peer.as_str(), direction)) {
                    report.find(
                        Check::Symmetry,
                        log.at(event),
                        format!(
                            "the list of the {frames} frames {direction} in step `{}` with {} is missing",
                            plain(step),
                            plain(&flow.peer)
                        ),
                        "without it nobody can say on which frame two accounts part",
                    );
                }
            }
        }
    }
}

/// A link was made with the key that the other node signs with.
fn sessions(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    for event in &log.events {
        let Some(Body::SessionOpened(session)) = event.body() else {
            continue;
        };
        report.examined(Check::Symmetry, 1);
        let Some(other) = case.log_of(&session.peer) else {
            continue;
        };
        let known = unhex(&session.peer_key).is_some_and(|key| other.certificate(&key).is_some());
        if !known {
            report.find(
                Check::Symmetry,
                log.at(event),
                format!("it saw key {} at {}", plain(&session.peer_key), other.node),
                STRANGER,
            );
        }
    }
}
