//! Two bundles of one job, side by side: where two members' stories part.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    bundle::{Bundle, FrameList, LogPart},
    event::Envelope,
};

/// One thing in which two bundles differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Difference {
    /// They are about two jobs.
    Job {
        /// The job of the first.
        a: String,
        /// The job of the second.
        b: String,
    },
    /// The contracts differ.
    Contract,
    /// A log is in one of them only.
    LogMissing {
        /// The log.
        origin: String,
        /// The bundle without it: `a` or `b`.
        from: &'static str,
    },
    /// A log has another event at some place, or ends there in one of them.
    Event {
        /// The log.
        origin: String,
        /// Place in the job's chain of the first that differs.
        seq: u64,
        /// What it is in the first; `None` where its log ends before.
        a: Option<String>,
        /// What it is in the second.
        b: Option<String>,
    },
    /// What one maker sent is not what the other received.
    Frame {
        /// The step.
        step: String,
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// The first frame that differs, from 1.
        frame: u64,
        /// How many the sender recorded.
        sent: u64,
        /// How many the receiver recorded.
        received: u64,
    },
    /// One maker recorded frames of a step with the other, the other did not.
    FramesMissing {
        /// The step.
        step: String,
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
        /// The node that recorded none.
        at: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job { a, b } => write!(f, "the bundles are of two jobs, {a} and {b}"),
            Self::Contract => f.write_str("the contracts differ"),
            Self::LogMissing { origin, from } => {
                write!(f, "the log {origin} is not in bundle {from}")
            }
            Self::Event { origin, seq, a, b } => {
                let text = |event: &Option<String>| event.clone().unwrap_or("nothing".into());
                write!(
                    f,
                    "{origin}, event {seq} of the job: {} in a, {} in b",
                    text(a),
                    text(b)
                )
            }
            Self::Frame {
                step,
                from,
                to,
                frame,
                sent,
                received,
            } => write!(
                f,
                "step `{step}`, {from} to {to}: frame {frame} is the first that differs ({sent} sent, {received} received)"
            ),
            Self::FramesMissing { step, from, to, at } => {
                write!(f, "step `{step}`, {from} to {to}: {at} recorded no frames")
            }
        }
    }
}

/// All differences, the first of each log and of each flow of frames. Nothing is verified.
pub fn diff(a: &Bundle, b: &Bundle) -> Vec<Difference> {
    let mut all = Vec::new();
    if a.job != b.job {
        all.push(Difference::Job {
            a: a.job.clone(),
            b: b.job.clone(),
        });
    }
    if a.contract != b.contract {
        all.push(Difference::Contract);
    }
    for log in &a.logs {
        match b.log(&log.origin) {
            Some(other) => all.extend(events(log, other)),
            None => all.push(missing(log, "b")),
        }
    }
    let only = b.logs.iter().filter(|log| a.log(&log.origin).is_none());
    all.extend(only.map(|log| missing(log, "a")));
    if a.node != b.node {
        all.extend(frames(a, b));
    }
    all
}

fn missing(log: &LogPart, from: &'static str) -> Difference {
    Difference::LogMissing {
        origin: log.origin.clone(),
        from,
    }
}

fn events(a: &LogPart, b: &LogPart) -> Option<Difference> {
    let name = |log: &LogPart, place: usize| {
        let text = &log.events.get(place)?.envelope;
        let envelope = Envelope::parse(text.as_bytes());
        Some(envelope.map_or("an unreadable event".to_owned(), |e| e.event))
    };
    let length = a.events.len().max(b.events.len());
    let place = (0..length).find(|place| {
        let text = |log: &LogPart| log.events.get(*place).map(|e| e.envelope.clone());
        text(a) != text(b)
    })?;
    Some(Difference::Event {
        origin: a.origin.clone(),
        seq: place as u64,
        a: name(a, place),
        b: name(b, place),
    })
}

/// The lists of frames between the two makers.
fn frames(a: &Bundle, b: &Bundle) -> Vec<Difference> {
    let id = |bundle: &Bundle| {
        bundle
            .node
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let (a_id, b_id) = (id(a), id(b));
    // by step and sender: what each of the two recorded
    let mut flows: BTreeMap<(&str, &str), [Option<&FrameList>; 2]> = BTreeMap::new();
    for (side, bundle, me, other) in [(0, a, &a_id, &b_id), (1, b, &b_id, &a_id)] {
        for list in bundle.frames.iter().filter(|list| list.peer == *other) {
            let from = if list.direction == "sent" { me } else { other };
            let sides = flows.entry((&list.step, from)).or_default();
            if let Some(slot) = sides.get_mut(side) {
                *slot = Some(list);
            }
        }
    }
    let differ = flows
        .into_iter()
        .filter_map(|((step, from), [of_a, of_b])| {
            let (to, sent, received) = if from == a_id {
                (&b_id, of_a, of_b)
            } else {
                (&a_id, of_b, of_a)
            };
            let (step, from, to) = (step.to_owned(), from.to_owned(), to.clone());
            let (Some(sent), Some(received)) = (sent, received) else {
                let at = if sent.is_none() {
                    from.clone()
                } else {
                    to.clone()
                };
                return Some(Difference::FramesMissing { step, from, to, at });
            };
            let (sent, received) = (&sent.digests, &received.digests);
            let same = sent
                .iter()
                .zip(received)
                .take_while(|(s, r)| s == r)
                .count();
            (sent != received).then(|| Difference::Frame {
                step,
                from,
                to,
                frame: same as u64 + 1,
                sent: sent.len() as u64,
                received: received.len() as u64,
            })
        });
    differ.collect()
}
