//! What went out and came in, by step and peer, and whether the other end says the same.

use std::collections::BTreeMap;

use super::{
    Page,
    frame::{Cell, Table, Tone, mark, note},
    text::{and, bytes, count, escape, several},
    words::step,
};
use crate::{
    event::{
        Body,
        bodies::{PeerFlow, StepFinished},
    },
    verify::view::Log,
};

/// More rows than this are summed up by the kind of step.
const ROWS: usize = 40;
/// Most rows that are written out below the sums.
const ALL_ROWS: usize = 600;

/// Whether the other end recorded the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Other {
    Same,
    Silent,
    Differs,
}

/// One line: what went between this institution and a peer.
#[derive(Clone, Debug)]
struct Line {
    step: String,
    peer: String,
    steps: u64,
    sent: u64,
    sent_frames: u64,
    received: u64,
    other: Other,
}

/// The steps of a log, each with how many of its name stand before it.
fn steps<'a>(log: &'a Log<'_>) -> impl Iterator<Item = (&'a StepFinished, usize)> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    log.events
        .iter()
        .filter_map(move |event| match event.body() {
            Some(Body::StepFinished(step)) => {
                let place = seen.entry(&step.step).or_default();
                *place += 1;
                Some((step, *place - 1))
            }
            _ => None,
        })
}

fn lines(page: &Page<'_>) -> Vec<Line> {
    let Some(own) = page.own() else {
        return Vec::new();
    };
    // what each peer says of us, by peer, step and occurrence
    let mut theirs: BTreeMap<(&str, &str, usize), &PeerFlow> = BTreeMap::new();
    for log in page.case.logs.iter().filter(|log| !log.own) {
        for (step, place) in steps(log) {
            for flow in step.peers.iter().filter(|flow| flow.peer == own.node) {
                theirs.insert((log.node, &step.step, place), flow);
            }
        }
    }
    let mut lines = Vec::new();
    for (step, place) in steps(own) {
        for flow in &step.peers {
            let other = match theirs.get(&(flow.peer.as_str(), step.step.as_str(), place)) {
                None => Other::Silent,
                Some(back) if back.received == flow.sent && back.sent == flow.received => {
                    Other::Same
                }
                Some(_) => Other::Differs,
            };
            lines.push(Line {
                step: step.step.clone(),
                peer: flow.peer.clone(),
                steps: 1,
                sent: flow.sent.bytes,
                sent_frames: flow.sent.frames,
                received: flow.received.bytes,
                other,
            });
        }
    }
    lines
}

/// Bytes and frames sent in all.
pub(super) fn totals(page: &Page<'_>) -> (u64, u64) {
    let add = |(bytes, frames): (u64, u64), line: Line| {
        (
            bytes.saturating_add(line.sent),
            frames.saturating_add(line.sent_frames),
        )
    };
    lines(page).into_iter().fold((0, 0), add)
}

/// Steps of the maker's log that began and did not finish: what they sent is in no sum.
pub(super) fn unfinished(page: &Page<'_>) -> Vec<String> {
    let mut open: Vec<String> = Vec::new();
    for event in page.own().into_iter().flat_map(|log| &log.events) {
        match event.body() {
            Some(Body::StepStarted(b)) => open.push(b.step.clone()),
            Some(Body::StepFinished(b)) => {
                if let Some(at) = open.iter().position(|step| *step == b.step) {
                    open.remove(at);
                }
            }
            _ => {}
        }
    }
    open
}

/// Says that the sums are not everything, where they are not.
fn caution(page: &Page<'_>) -> String {
    let open = unfinished(page);
    let Some(first) = open.first() else {
        return String::new();
    };
    let kinds: std::collections::BTreeSet<_> = open
        .iter()
        .map(|path| step(path.split('/').next().unwrap_or_default()))
        .collect();
    let kinds: Vec<_> = kinds.into_iter().collect();
    let what = match open.len() {
        1 => format!(
            "One step had begun and has no end in the record: {}.",
            step(first)
        ),
        n => format!(
            "{n} steps had begun and have no end in the record: {}.",
            and(&kinds)
        ),
    };
    format!(
        "<p class=\"lead\">{} {} What went out in them is not in these sums.</p>\n",
        mark(Tone::Care, "Not everything is counted."),
        escape(&what)
    )
}

/// Lines of one kind of step and one peer in one.
fn summed(lines: &[Line]) -> Vec<Line> {
    let mut sums: Vec<Line> = Vec::new();
    for line in lines {
        let kind = line.step.split('/').next().unwrap_or_default();
        match sums
            .iter_mut()
            .find(|sum| sum.step == kind && sum.peer == line.peer)
        {
            Some(sum) => {
                sum.steps += 1;
                sum.sent = sum.sent.saturating_add(line.sent);
                sum.sent_frames = sum.sent_frames.saturating_add(line.sent_frames);
                sum.received = sum.received.saturating_add(line.received);
                sum.other = sum.other.max(line.other);
            }
            None => sums.push(Line {
                step: kind.to_owned(),
                ..line.clone()
            }),
        }
    }
    sums
}

pub(super) fn section(page: &Page<'_>) -> String {
    let lines = lines(page);
    if lines.is_empty() {
        return caution(page)
            + &note(
                "No exchange is recorded: nothing left this institution in this job, or the job ended before \
             any step finished.",
            );
    }
    let mut out = format!(
        "<p class=\"lead\">{} sent {} in the steps below, all of it sealed for the receiver: masked or \
         shared values, which by the agreed protocol tell nothing by themselves. What became readable from \
         them is in the next section.</p>\n",
        escape(page.maker()),
        bytes(totals(page).0)
    );
    out.push_str(&caution(page));
    if lines.len() <= ROWS {
        out.push_str(&table(page, "", &lines));
        return out;
    }
    out.push_str(&table(page, "", &summed(&lines)));
    let shown = lines.get(..ALL_ROWS).unwrap_or(&lines);
    let more = match lines.len() - shown.len() {
        0 => String::new(),
        more => note(&format!(
            "{} more are in the bundle: `paripassu audit show BUNDLE --event step.finished`.",
            count(more as u64)
        )),
    };
    out.push_str(&format!(
        "<details><summary>Every single step ({})</summary>{}{more}</details>\n",
        lines.len(),
        table(page, "", shown)
    ));
    out
}

fn table(page: &Page<'_>, caption: &str, lines: &[Line]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for line in lines {
        if !peers.contains(&line.peer.as_str()) {
            peers.push(&line.peer);
        }
    }
    let most = lines.iter().map(|line| line.sent).max().unwrap_or(0);
    let mut table = Table::new(
        caption,
        &[
            ("Step", ""),
            ("To", ""),
            ("Sent", "num"),
            ("", ""),
            ("Messages", "num"),
            ("Received back", "num"),
            ("The other side's record", ""),
        ],
    );
    for line in lines {
        let colour = peers
            .iter()
            .position(|peer| *peer == line.peer)
            .unwrap_or(0);
        let name = match line.steps {
            1 => step(&line.step),
            more => format!("{} ({})", step(&line.step), several(more, "step", "steps")),
        };
        let other = match line.other {
            Other::Same => mark(Tone::Good, "the same"),
            Other::Silent => mark(Tone::Care, "not in the bundle"),
            Other::Differs => mark(Tone::Bad, "DIFFERS"),
        };
        table.row(
            line.other == Other::Differs,
            [
                Cell::text(&name),
                Cell::text(&line.peer),
                Cell::number(&bytes(line.sent)),
                Cell::html(bar(line.sent, most, colour)).class("bar"),
                Cell::number(&count(line.sent_frames)),
                Cell::number(&bytes(line.received)),
                Cell::html(other),
            ],
        );
    }
    let sum = |of: fn(&Line) -> u64| lines.iter().map(of).fold(0, u64::saturating_add);
    table.foot([
        Cell::text(&format!("All, from {}", page.maker())),
        Cell::text(""),
        Cell::number(&bytes(sum(|line| line.sent))),
        Cell::text(""),
        Cell::number(&count(sum(|line| line.sent_frames))),
        Cell::number(&bytes(sum(|line| line.received))),
        Cell::text(""),
    ]);
    table.html()
}

/// A bar of its share of the most.
fn bar(value: u64, most: u64, colour: usize) -> String {
    let share = if most == 0 {
        0.0
    } else {
        100.0 * value as f64 / most as f64
    };
    format!(
        "<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\">\
         <rect class=\"track\" width=\"100\" height=\"12\"/>\
         <rect class=\"b{}\" width=\"{share:.2}\" height=\"12\"/></svg>",
        colour % 3
    )
}
