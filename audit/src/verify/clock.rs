//! Check 14: clocks agree within the limit.

use super::{
    verdict::{Check, Report},
    view::{Case, Event, Log},
};
use crate::{
    event::{Body, format_time},
    note::{SignatureType, SignedCheckpoint},
};

const APART: &str = "a clock is wrong, or an event was written at another time than it says";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let skew = case.options.skew();
    for log in &case.logs {
        within(case, log, &log.events, true, report);
        within(case, log, &log.node_events, false, report);
        cosigned(case, log, skew, report);
        sessions(case, log, skew, report);
    }
}

fn text(unix: i64) -> String {
    format_time(unix).unwrap_or_else(|| unix.to_string())
}

/// Not before the contract, not in the future, not before what stands above it.
fn within(
    case: &Case<'_>,
    log: &Log<'_>,
    events: &[Event<'_>],
    of_the_job: bool,
    report: &mut Report,
) {
    let skew = case.options.skew();
    let created = case.contract.as_ref().map(|contract| contract.created);
    let created = created.ok().filter(|_| of_the_job);
    let mut latest = None;
    for event in events {
        let Some(at) = event.at() else { continue };
        report.examined(Check::Clock, 1);
        let mut find = |what: String| report.find(Check::Clock, log.at(event), what, APART);
        if let Some(created) = created
            && at < created.saturating_sub(skew)
        {
            find(format!(
                "it is of {}, before the contract ({})",
                text(at),
                text(created)
            ));
        }
        if let Some(now) = case.options.now
            && at > now.saturating_add(skew)
        {
            find(format!("it is of {}, after now ({})", text(at), text(now)));
        }
        if let Some(latest) = latest
            && at < i64::saturating_sub(latest, skew)
        {
            find(format!(
                "it is of {}, one above it of {}",
                text(at),
                text(latest)
            ));
        }
        latest = latest.max(Some(at));
    }
}

/// A witness cosigns a checkpoint after the last event in it.
fn cosigned(case: &Case<'_>, log: &Log<'_>, skew: i64, report: &mut Report) {
    let notes = log.part.checkpoints.iter().map(|c| c.note.as_str());
    for note in notes.chain([log.part.checkpoint.as_str()]) {
        let Ok(head) = SignedCheckpoint::parse(note) else {
            continue;
        };
        let size = head.checkpoint().size();
        let last = log
            .events
            .iter()
            .filter(|event| event.part.index < size)
            .filter_map(|event| Some((event.at()?, event)))
            .max_by_key(|(at, _)| *at);
        let Some((at, event)) = last else { continue };
        for other in case
            .logs
            .iter()
            .filter(|other| other.part.origin != log.part.origin)
        {
            for (_, key) in super::signatures::keys(other, SignatureType::Cosignature) {
                let time = head
                    .verify(&key)
                    .ok()
                    .and_then(|verified| verified.timestamp);
                let Some(time) = time.and_then(|time| i64::try_from(time).ok()) else {
                    continue;
                };
                report.examined(Check::Clock, 1);
                if time < at.saturating_sub(skew) {
                    report.find(
                        Check::Clock,
                        log.at(event),
                        format!(
                            "it is of {}, but {} countersigned it at {}",
                            text(at),
                            other.node,
                            text(time)
                        ),
                        APART,
                    );
                }
            }
        }
    }
}

/// Both ends of a link opened it at about the same time.
fn sessions(case: &Case<'_>, log: &Log<'_>, skew: i64, report: &mut Report) {
    for event in &log.events {
        let (Some(Body::SessionOpened(session)), Some(at)) = (event.body(), event.at()) else {
            continue;
        };
        let Some(other) = case.log_of(&session.peer) else {
            continue;
        };
        let nearest = other
            .events
            .iter()
            .filter(|e| matches!(e.body(), Some(Body::SessionOpened(s)) if s.peer == log.node))
            .filter_map(|e| Some(e.at()?.abs_diff(at)))
            .min();
        let Some(apart) = nearest else { continue };
        report.examined(Check::Clock, 1);
        if i64::try_from(apart).unwrap_or(i64::MAX) > skew {
            report.find(
                Check::Clock,
                log.at(event),
                format!(
                    "the two ends of the link with {} opened it {apart} s apart",
                    other.node
                ),
                APART,
            );
        }
    }
}
