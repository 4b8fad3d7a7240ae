//! Checks 3 and 4: events are in their log, no log was rewritten, and others countersigned it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    absence, beforehand,
    contract::ContractView,
    signatures::{in_force, keys, vouched},
    verdict::{Check, LogLine, Report, plain},
    view::{Case, Log},
};
use crate::{
    bundle::hashes,
    event::{Body, hex},
    merkle::{Hash, leaf_hash, verify_consistency, verify_inclusion},
    note::{Checkpoint, NoteError, SignatureType, SignedCheckpoint, VerifierKey},
};

const REWRITTEN: &str =
    "the log was rewritten after others had seen it, or two versions of it exist";
const TAKEN: &str = "a checkpoint that others had cosigned was taken out of the bundle";
const NOT_IN: &str = "the log that was countersigned does not hold this event at this place";

pub(super) fn check(case: &Case<'_>, report: &mut Report) -> Vec<LogLine> {
    let lines = case.logs.iter().map(|log| {
        let (size, cosigned_by) = match &log.head {
            Ok(head) => {
                inclusion(log, head.checkpoint(), report);
                consistency(log, head.checkpoint(), report);
                beforehand::check(case, log, report);
                absence::check(case, log, report);
                (head.checkpoint().size(), witnesses(case, log, head, report))
            }
            Err(why) => {
                report.find(
                    Check::Merkle,
                    log.place(),
                    format!("its checkpoint cannot be read: {why}"),
                    NOT_IN,
                );
                (0, Vec::new())
            }
        };
        LogLine {
            origin: log.part.origin.clone(),
            events: log.events.len() as u64,
            size,
            cosigned_by,
        }
    });
    let lines = lines.collect();
    witnessed(case, report);
    lines
}

fn inclusion(log: &Log<'_>, head: &Checkpoint, report: &mut Report) {
    if head.origin() != log.part.origin {
        report.find(
            Check::Merkle,
            log.place(),
            format!("its checkpoint is that of the log {}", head.origin()),
            NOT_IN,
        );
    }
    for event in log.all_events() {
        report.examined(Check::Merkle, 1);
        let leaf = leaf_hash(event.part.envelope.as_bytes());
        let proof = hashes(&event.part.proof).unwrap_or_default();
        let held = verify_inclusion(&leaf, event.part.index, head.size(), &proof, head.root());
        if let Err(why) = held {
            report.find(
                Check::Merkle,
                log.at(event),
                format!("it is not in the log of the checkpoint: {why}"),
                NOT_IN,
            );
        }
    }
}

fn consistency(log: &Log<'_>, head: &Checkpoint, report: &mut Report) {
    for earlier in &log.part.checkpoints {
        report.examined(Check::Merkle, 1);
        let wrong = match SignedCheckpoint::parse(&earlier.note) {
            Err(why) => Some(format!("an earlier checkpoint cannot be read: {why}")),
            Ok(old) if old.checkpoint().origin() != log.part.origin => {
                Some("an earlier checkpoint is that of another log".to_owned())
            }
            Ok(old) => {
                let old = old.checkpoint();
                let proof = hashes(&earlier.consistency).unwrap_or_default();
                verify_consistency(old.size(), old.root(), head.size(), head.root(), &proof)
                    .err()
                    .map(|why| {
                        format!(
                            "its last checkpoint does not extend that of size {}: {why}",
                            old.size()
                        )
                    })
            }
        };
        if let Some(what) = wrong {
            report.find(Check::Merkle, log.place(), what, REWRITTEN);
        }
    }
}

/// Who cosigned the last checkpoint of `log`, if that is enough.
fn witnesses(
    case: &Case<'_>,
    log: &Log<'_>,
    head: &SignedCheckpoint,
    report: &mut Report,
) -> Vec<String> {
    let trust = case.options.trust;
    let members = trust.is_none_or(|trust| trust.members);
    let others = || {
        case.logs
            .iter()
            .filter(|other| other.node != log.node && case.is_members(other))
    };
    let mut by = BTreeSet::new();
    let mut members_by = BTreeSet::new();
    let forged = |key: &VerifierKey, head: &SignedCheckpoint, report: &mut Report| {
        report.find(
            Check::Witness,
            log.place(),
            format!(
                "the cosignature of {} on its checkpoint of size {} does not hold",
                key.name(),
                head.checkpoint().size()
            ),
            "the countersignature was forged, or made over another state of the log",
        );
    };
    let earlier: Vec<_> = log
        .part
        .checkpoints
        .iter()
        .filter_map(|earlier| SignedCheckpoint::parse(&earlier.note).ok())
        .collect();
    for other in others().filter(|_| members) {
        for (certificate, key) in keys(other, SignatureType::Cosignature) {
            for old in &earlier {
                if matches!(old.verify(&key), Err(e) if !matches!(e, NoteError::NotSigned { .. })) {
                    forged(&key, old, report);
                }
            }
            match head.verify(&key) {
                Ok(verified) => {
                    let at = verified.timestamp.and_then(|at| i64::try_from(at).ok());
                    let counts = at.is_some_and(|at| in_force(case, certificate, at).is_ok())
                        && vouched(case, &other.part.origin, certificate).is_ok();
                    if counts {
                        by.insert(other.part.origin.clone());
                        members_by.insert(other.node);
                    }
                }
                Err(NoteError::NotSigned { .. }) => {}
                Err(_) => forged(&key, head, report),
            }
        }
    }
    for key in trust.into_iter().flat_map(|trust| &trust.witnesses) {
        let Ok(key) = key.parse::<VerifierKey>() else {
            continue;
        };
        match head.verify(&key) {
            Ok(_) => {
                by.insert(key.name().to_owned());
            }
            Err(NoteError::NotSigned { .. }) => {}
            Err(_) => forged(&key, head, report),
        }
    }
    let (due, wrong) = if let Some(due) = trust.and_then(|trust| trust.quorum) {
        let what = format!(
            "its last checkpoint is cosigned by {} of {due} witnesses",
            by.len()
        );
        (due, (by.len() < due).then_some(what))
    } else {
        let contract = case.contract.as_ref().ok();
        // a job that never ran may end before anybody witnessed anything
        let contract = contract.filter(|_| case.ran_to_the_end());
        let all = contract.into_iter().flat_map(ContractView::members);
        let all: BTreeSet<_> = all.filter(|member| *member != log.node).collect();
        let lacking: Vec<_> = all
            .iter()
            .map(|member| member.as_str())
            .filter(|member| !members_by.contains(member))
            .collect();
        let said: Vec<_> = lacking.iter().map(|member| plain(member)).collect();
        let what = format!("its last checkpoint is not cosigned by {}", said.join(", "));
        let without = absence::closed_without(log);
        let held = case.is_left_out(log.node) || absence::excused(case, lacking, &without);
        (all.len(), (!held).then_some(what))
    };
    report.examined(Check::Witness, by.len().max(due) as u64);
    if let Some(what) = wrong {
        report.find(
            Check::Witness,
            log.place(),
            what,
            "its node may show others another version of its log",
        );
    }
    by.into_iter().collect()
}

/// What nodes wrote of each other's logs agrees with the logs that are here.
fn witnessed(case: &Case<'_>, report: &mut Report) {
    let mut heads: BTreeMap<(&str, u64), Hash> = BTreeMap::new();
    for log in &case.logs {
        let notes = log.part.checkpoints.iter().map(|c| c.note.as_str());
        for text in notes.chain([log.part.checkpoint.as_str()]) {
            if let Ok(head) = SignedCheckpoint::parse(text) {
                let head = head.checkpoint();
                heads.insert((&log.part.origin, head.size()), *head.root());
            }
        }
    }
    for log in &case.logs {
        for event in &log.events {
            let Some(Body::LogWitnessed(seen)) = event.body() else {
                continue;
            };
            report.examined(Check::Witness, 1);
            let last = case.logs.iter().find(|other| other.part.origin == seen.log);
            let whole = last.is_some_and(|other| other.has("run.completed"));
            let last = last.and_then(|other| other.head.as_ref().ok());
            let wrong = if seen.outcome != "cosigned" {
                Some(format!(
                    "this node refused to countersign the log {}",
                    seen.log
                ))
            } else if last.is_some_and(|head| head.checkpoint().size() < seen.size) {
                Some(format!(
                    "this node saw {} events in the log {}, which has fewer here",
                    seen.size, seen.log
                ))
            } else {
                let here = heads.get(&(seen.log.as_str(), seen.size));
                if here.is_none() && whole {
                    let what = format!(
                        "this node cosigned the log {} at size {}, and no such checkpoint is here",
                        seen.log, seen.size
                    );
                    report.find(Check::Witness, log.at(event), what, TAKEN);
                }
                here.filter(|root| hex(*root) != seen.root).map(|_| {
                    format!(
                        "this node saw another root of the log {} at size {}",
                        seen.log, seen.size
                    )
                })
            };
            if let Some(what) = wrong {
                report.find(Check::Witness, log.at(event), what, REWRITTEN);
            }
        }
    }
}
