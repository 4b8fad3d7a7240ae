//! Events, receivers and checks in words of the trade.

use super::text::{and, bytes, count, moment, several};
use crate::event::Body;

/// Whoever a disclosure or an output goes to.
pub(super) fn receiver(code: &str) -> String {
    match code.split_once(':') {
        Some(("party", id)) => id.to_owned(),
        Some(("helper", id)) => format!("{id} (helper)"),
        _ if code == "relay" => "the relay (coordinator)".to_owned(),
        _ => code.to_owned(),
    }
}

/// Several of them.
pub(super) fn receivers(codes: &[String]) -> String {
    and(&codes.iter().map(|code| receiver(code)).collect::<Vec<_>>())
}

/// A step as a person would call it.
pub(super) fn step(path: &str) -> String {
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let name = match first {
        "align" => "finding common customers",
        "corr" => "random numbers of the helper",
        "prepare" => "preparing the columns",
        "train" => "training",
        "evaluate" => "evaluating",
        "release" => "handing over results",
        other => other,
    };
    match rest {
        "" => name.to_owned(),
        rest => format!("{name}, {}", rest.replace('-', " ")),
    }
}

/// What the parties may be shown of a shape.
pub(super) fn shape(kind: &str, values: u64) -> String {
    match kind {
        "bit" => "one yes or no".to_owned(),
        "count" => "one count".to_owned(),
        "membership" => "which of its own customers are common".to_owned(),
        "coefficients" => several(values, "coefficient", "coefficients"),
        "weights" => several(values, "weight of a network", "weights of a network"),
        "scores" => several(values, "score", "scores"),
        "reasons" => several(values, "row's reason codes", "rows' reason codes"),
        "summary" => several(values, "summary number", "summary numbers"),
        "traffic" => "traffic".to_owned(),
        other => format!("{} ({other})", several(values, "value", "values")),
    }
}

/// The event in one sentence, without a full stop.
pub(super) fn event(body: &Body) -> String {
    match body {
        Body::JobProposed(b) => format!("Received the proposal “{}” from {}", b.name, b.submitter),
        Body::PolicyStated(b) => match b.parts {
            1 => "Wrote down what of its own policy bears on the contract".to_owned(),
            n => format!("Wrote down its own policy, part {} of {n}", b.part),
        },
        Body::PolicyEvaluated(b) => format!(
            "Asked its own policy, version {}, which said: {}",
            b.version, b.verdict
        ),
        Body::JobApproved(b) => {
            let second = b.second.as_ref().map(|s| format!(" and {s}"));
            format!(
                "Recorded the approval of {}, by {}{}",
                b.party,
                b.approver,
                second.unwrap_or_default()
            )
        }
        Body::JobRejected(b) => format!(
            "Recorded that {} rejected the job, by {} ({})",
            b.party, b.approver, b.code
        ),
        Body::SessionOpened(b) => {
            let test = if b.test_mode { ", IN TEST MODE" } else { "" };
            format!(
                "Opened a protected link to {} (TLS {} with {}; sealed with {}){test}",
                b.peer, b.tls, b.suite, b.sealed
            )
        }
        Body::DataCommitted(b) => format!(
            "Fixed its data “{}”: {} rows, {} columns",
            b.dataset,
            count(b.rows),
            count(b.columns)
        ),
        Body::AlignDone(b) => format!("Matched customers: {} in common", count(b.matched)),
        Body::StepStarted(b) => format!("Started {}", step(&b.step)),
        Body::StepFinished(b) => {
            let sum = |way: fn(&crate::event::bodies::PeerFlow) -> u64| {
                b.peers.iter().map(way).fold(0, u64::saturating_add)
            };
            format!(
                "Finished {} after {} s: {} sent, {} received",
                step(&b.step),
                b.wall_s,
                bytes(sum(|p| p.sent.bytes)),
                bytes(sum(|p| p.received.bytes))
            )
        }
        Body::Disclosure(b) => format!(
            "Opened {} ({}) to {}",
            b.id,
            shape(&b.shape, b.values),
            receivers(&b.to)
        ),
        Body::DisclosureAnnounced(b) => format!(
            "Announced that up to {} bits of {} may be opened to {}",
            b.last.saturating_sub(b.first).saturating_add(1),
            b.id,
            receivers(&b.to)
        ),
        Body::DpSpent(b) => format!(
            "Counted what the job spends of “{}”: epsilon {} a training customer and {} a test \
             customer at delta {}; {} in all jobs so far",
            b.dataset, b.training, b.evaluation, b.delta, b.total
        ),
        Body::MetricsReported(b) => format!("Wrote the report {}", b.report),
        Body::ModelCommitted(b) => {
            let names: Vec<_> = b.files.iter().map(|f| f.name.clone()).collect();
            format!("Fixed its model files: {}", and(&names))
        }
        Body::ModelReleased(b) => format!("Handed over {} to {}", b.what, receivers(&b.to)),
        Body::Denied(b) => format!("REFUSED {} ({})", b.subject, b.code),
        Body::Aborted(b) => {
            let who = b.culprit.as_ref().map(|who| format!(", at fault: {who}"));
            format!(
                "ABORTED in {} ({}{}); {}",
                step(&b.step),
                b.code,
                who.unwrap_or_default(),
                match b.destroyed {
                    true => "no results were left at this node",
                    false => "RESULTS WERE LEFT at this node",
                }
            )
        }
        Body::RunCompleted(b) => format!(
            "Ended the job: {}, {}, {} s in all",
            several(b.steps, "step", "steps"),
            several(b.disclosures, "opening", "openings"),
            b.wall_s
        ),
        Body::LogStarted(b) => format!("Opened its log (program {})", b.version),
        Body::LogWitnessed(b) => {
            let log = b.log.rsplit('/').next().unwrap_or_default();
            if b.outcome == "cosigned" {
                format!("Countersigned the log of {log} at {} events", count(b.size))
            } else {
                let code = b.code.as_deref().unwrap_or("no reason given");
                format!("REFUSED to countersign the log of {log} ({code})")
            }
        }
        Body::LogUnwitnessed(b) => {
            let who = b.missing.join(", ");
            match b.end {
                true => format!("CLOSED the job without {who}, which did not answer"),
                false => format!("WENT ON without {who}, which did not answer"),
            }
        }
        Body::DataCompared(b) => match (&b.against, b.alarms.as_slice()) {
            (None, _) => "Had no earlier job to compare its data with".to_owned(),
            (Some(job), []) => format!("Found its data as in job {job}"),
            (Some(job), alarms) => {
                format!("FLAGGED against job {job}: {}", alarms.join("; "))
            }
        },
        Body::KeyRotated(b) => format!("Changed its key, from {}", moment(&b.from)),
        Body::DataErased(b) => format!("Destroyed {} ({})", b.what, count(b.count)),
        Body::Incident(b) => format!("INCIDENT {}: {}", b.class, b.detail),
        Body::PolicyChanged(b) => format!("Its policy became version {}", b.version),
        Body::PolicySigned(b) => format!(
            "Its policy file, version {}, was signed by {}",
            b.version,
            b.signers.join(", ")
        ),
    }
}

/// What an officer must look at.
pub(super) fn alarming(body: &Body) -> bool {
    match body {
        Body::Denied(_) | Body::Aborted(_) | Body::Incident(_) | Body::JobRejected(_) => true,
        Body::LogUnwitnessed(_) => true,
        Body::DataCompared(b) => !b.alarms.is_empty(),
        Body::SessionOpened(b) => b.test_mode,
        Body::LogWitnessed(b) => b.outcome != "cosigned",
        Body::PolicyEvaluated(b) => b.verdict == "deny",
        _ => false,
    }
}

/// The question that a check answers, and why an officer should care.
pub(super) fn question(check: u8) -> (&'static str, &'static str) {
    match check {
        1 => (
            "Did the named institutions really write this?",
            "Every entry carries a digital signature of the institution's node. A forged or altered entry does not fit its signature.",
        ),
        2 => (
            "Is each institution's record complete, and in order?",
            "Entries are numbered and each contains a fingerprint of the one before, so none can be removed, added or moved.",
        ),
        3 => (
            "Has any log been rewritten?",
            "Each entry is proven to stand in its log at its place, and later states of a log are proven to contain all earlier ones.",
        ),
        4 => (
            "Did the others witness each log?",
            "The other members countersign the state of a log, so that no institution can keep two versions of its story.",
        ),
        5 => (
            "Do both ends tell the same story?",
            "For every step, what one institution recorded as sent must be exactly what the other recorded as received.",
        ),
        6 => (
            "Had everybody agreed before anything was done?",
            "Each institution's signed approval of this very contract must stand before the first work on data.",
        ),
        7 => (
            "Did each institution's own rules allow it?",
            "The verdict recorded must follow from its rules, and no job may run against a verdict of “deny”.",
        ),
        8 => (
            "Was anything opened that had not been agreed?",
            "Every value that became known must be one that the contract declares: what, to whom, and how often at most.",
        ),
        9 => (
            "Were the agreed thresholds kept, and do the sums add up?",
            "For example: enough customers in common, and the same number on both sides.",
        ),
        10 => (
            "Did the programs that ran belong there?",
            "No test mode, a proper source of randomness and, with a trust file, only programs that were reviewed.",
        ),
        11 => (
            "Is the report the one that the job made?",
            "Its fingerprint was written into the log when it was made.",
        ),
        12 => (
            "Are the model files the ones that the job made?",
            "Their fingerprints were written into the log when they were made.",
        ),
        13 => (
            "Is the record itself free of personal data?",
            "No field may hold what looks like an e-mail address, a telephone, identity or card number.",
        ),
        14 => (
            "Can the times be right?",
            "Clocks of different institutions may differ only a little, and nothing may be from the future.",
        ),
        _ => ("", ""),
    }
}
