//! The events of a bundle as a timeline.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{
    bundle::Bundle,
    event::{Envelope, parse_time},
};

/// Which events are shown; what is empty does not filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The node, by id or origin.
    pub node: Option<String>,
    /// The event, or the beginning of its name: `step` shows `step.started` and `step.finished`.
    pub event: Option<String>,
    /// The step, or the beginning of its path: `train` shows `train/pass-1`. Only events of a step pass.
    pub step: Option<String>,
    /// Not before this time, in seconds since 1970.
    pub since: Option<i64>,
    /// Before this time.
    pub until: Option<i64>,
}

/// One event of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// When, by the node's clock.
    pub at: String,
    /// The log.
    pub origin: String,
    /// Place in the log.
    pub index: u64,
    /// Place in the job's chain.
    pub seq: u64,
    /// What happened.
    pub event: String,
    /// The body in one line; `withheld` where it is not in the bundle.
    pub summary: String,
}

/// Events in the order of their times. As text, an aligned table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// The events.
    pub entries: Vec<TimelineEntry>,
    /// Events that could not be read.
    pub unreadable: u64,
}

/// The events of all logs that pass the filter. Nothing is verified.
pub fn show(bundle: &Bundle, filter: &Filter) -> Timeline {
    let mut entries = Vec::new();
    let mut unreadable = 0;
    for log in &bundle.logs {
        for part in log.all_events() {
            let Ok(envelope) = Envelope::parse(part.envelope.as_bytes()) else {
                unreadable += 1;
                continue;
            };
            if !filter.passes(&envelope) || !filter.passes_step(part.body.as_deref()) {
                continue;
            }
            entries.push(TimelineEntry {
                summary: part.body.as_deref().map_or("withheld".into(), summary),
                at: envelope.at,
                origin: log.origin.clone(),
                index: part.index,
                seq: envelope.seq,
                event: envelope.event,
            });
        }
    }
    // times of one text form sort as text
    entries.sort_by(|a, b| (&a.at, &a.origin, a.index).cmp(&(&b.at, &b.origin, b.index)));
    Timeline {
        entries,
        unreadable,
    }
}

impl Filter {
    fn passes(&self, envelope: &Envelope) -> bool {
        let at = parse_time(&envelope.at).unwrap_or(0);
        let node = |node: &String| *node == envelope.origin || node == envelope.node();
        let event = |event: &String| {
            envelope
                .event
                .strip_prefix(event.as_str())
                .is_some_and(|rest| {
                    rest.is_empty() || rest.starts_with('.') || event.ends_with('.')
                })
        };
        self.node.as_ref().is_none_or(node)
            && self.event.as_ref().is_none_or(event)
            && self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
    }
}

impl Filter {
    fn passes_step(&self, body: Option<&str>) -> bool {
        let Some(wanted) = &self.step else {
            return true;
        };
        let body: Option<Value> = body.and_then(|body| serde_json::from_str(body).ok());
        let step = body.as_ref().and_then(|body| body.get("step")?.as_str());
        let rest = step.and_then(|step| step.strip_prefix(wanted.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// `member=value` of each plain member; lists by their values or, of objects, their number.
fn summary(body: &str) -> String {
    let Ok(Value::Object(members)) = serde_json::from_str(body) else {
        return "unreadable".into();
    };
    let plain = |value: &Value| match value {
        Value::String(text) => Some(short(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|i| i.as_str().map(short)).collect();
            Some(texts.map_or_else(|| items.len().to_string(), |texts| texts.join(",")))
        }
        _ => None,
    };
    let parts = members
        .iter()
        .filter(|(name, _)| *name != "salt")
        .filter_map(|(name, value)| Some(format!("{name}={}", plain(value)?)));
    parts.collect::<Vec<_>>().join(" ")
}

/// Digests by their first eight digits, control characters replaced.
fn short(text: &str) -> String {
    if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return format!("{}..", text.get(..8).unwrap_or_default());
    }
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(80)
        .collect()
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node =
            |entry: &TimelineEntry| entry.origin.strip_prefix("paripassu/").map_or(0, str::len);
        let nodes = self.entries.iter().map(node).max().unwrap_or(0);
        let events = self
            .entries
            .iter()
            .map(|e| e.event.len())
            .max()
            .unwrap_or(0);
        for entry in &self.entries {
            let origin = entry
                .origin
                .strip_prefix("paripassu/")
                .unwrap_or(&entry.origin);
            writeln!(
                f,
                "{}  {origin:nodes$}  {:>6}  {:events$}  {}",
                entry.at, entry.index, entry.event, entry.summary
            )?;
        }
        if self.unreadable > 0 {
            writeln!(
                f,
                "{} events cannot be read: verify the bundle",
                self.unreadable
            )?;
        }
        Ok(())
    }
}
