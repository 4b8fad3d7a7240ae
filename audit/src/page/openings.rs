//! What was opened to whom, against what the contract declares.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Page,
    frame::{Cell, Table, Tone, mark, note},
    text::{count, escape, several},
    words::{receivers, shape},
};
use crate::{
    event::{Body, bodies::Disclosure},
    verify::contract::Declared,
};

/// What one node recorded of one declared id.
#[derive(Clone, Debug, Default)]
struct Happened {
    times: u64,
    values: u64,
    to: BTreeSet<String>,
    /// The verifier found fault with one of them.
    faulty: bool,
    /// The shape of the last one.
    shape: String,
    /// One was of another shape than declared.
    other_shape: Option<String>,
}

/// By id and node.
type Ledger<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Happened>>;

fn ledger<'a>(page: &'a Page<'_>) -> Ledger<'a> {
    let mut ledger = Ledger::new();
    for log in &page.case.logs {
        for event in &log.events {
            let Some(Body::Disclosure(opened)) = event.body() else {
                continue;
            };
            let happened = ledger
                .entry(&opened.id)
                .or_default()
                .entry(log.node)
                .or_default();
            happened.times += 1;
            happened.values = happened.values.saturating_add(opened.values);
            happened.to.extend(opened.to.iter().cloned());
            happened.faulty |= page.is_faulty(log, event);
            happened.shape.clone_from(&opened.shape);
            note_shape(happened, opened, page);
        }
    }
    ledger
}

fn note_shape(happened: &mut Happened, opened: &Disclosure, page: &Page<'_>) {
    let declared = page
        .contract()
        .and_then(|contract| contract.declared(&opened.id));
    if declared.is_some_and(|declared| declared.shape != opened.shape) {
        happened.other_shape = Some(opened.shape.clone());
    }
}

/// Openings at the node that recorded most of each, and how many of them were not as declared.
pub(super) fn totals(page: &Page<'_>) -> (u64, u64) {
    let (mut all, mut wrong) = (0, 0);
    for (id, nodes) in ledger(page) {
        let times = nodes.values().map(|h| h.times).max().unwrap_or(0);
        all += times;
        let declared = page.contract().and_then(|contract| contract.declared(id));
        let judged = nodes.values().filter_map(|h| fault(declared, h)).count();
        if judged > 0 {
            let allowed = declared.map_or(0, |d| d.at_most);
            wrong += times.saturating_sub(allowed).max(1);
        }
    }
    (all, wrong)
}

/// Why what happened is not what was declared.
fn fault(declared: Option<&Declared>, happened: &Happened) -> Option<String> {
    let Some(declared) = declared else {
        return Some("NOT DECLARED".to_owned());
    };
    if happened.times > declared.at_most {
        return Some(format!(
            "MORE OFTEN than declared: {} instead of at most {}",
            count(happened.times),
            count(declared.at_most)
        ));
    }
    let to: Vec<_> = happened
        .to
        .iter()
        .filter(|to| !declared.to.contains(to))
        .cloned()
        .collect();
    if !to.is_empty() {
        return Some(format!("opened to {}, NOT DECLARED", receivers(&to)));
    }
    if let Some(other) = &happened.other_shape {
        return Some(format!("of another kind than declared: {other}"));
    }
    happened
        .faulty
        .then(|| "the record of it is faulty".to_owned())
}

pub(super) fn section(page: &Page<'_>) -> String {
    let Some(contract) = page.contract() else {
        return note(
            "The contract cannot be read, so nothing can be compared with what it declares.",
        );
    };
    let ledger = ledger(page);
    let mut out = String::from(
        "<p class=\"lead\">The contract declares everything that anybody may learn. Here is, line by \
         line, what was agreed and what the logs record.</p>\n",
    );
    let mut table = Table::new(
        "",
        &[
            ("What", "what"),
            ("To whom", ""),
            ("Agreed: at most", ""),
            ("Happened", ""),
            ("Verdict", ""),
        ],
    );
    // what nobody agreed to comes first
    for (id, nodes) in ledger
        .iter()
        .filter(|(id, _)| contract.declared(id).is_none())
    {
        let to: BTreeSet<_> = nodes.values().flat_map(|h| h.to.iter().cloned()).collect();
        let to: Vec<_> = to.into_iter().collect();
        table.row(
            true,
            [
                Cell::html(format!(
                    "{}<span class=\"sub\">not in the contract</span>",
                    escape(id)
                )),
                Cell::text(&receivers(&to)),
                Cell::text("not agreed"),
                Cell::html(happened(nodes)),
                Cell::html(mark(Tone::Bad, "NOT DECLARED")).class("answer"),
            ],
        );
    }
    let none = BTreeMap::new();
    for declared in &contract.disclosures {
        let nodes = ledger.get(declared.id.as_str()).unwrap_or(&none);
        let fault = nodes.values().find_map(|h| fault(Some(declared), h));
        let verdict = match (&fault, nodes.is_empty()) {
            (Some(fault), _) => mark(Tone::Bad, fault),
            (None, false) => mark(Tone::Good, "as declared"),
            (None, true) if page.failed(&[8]) && page.case.ran_to_the_end() => {
                mark(Tone::Bad, "declared, but RECORDED NOWHERE")
            }
            (None, true) => mark(Tone::None, "did not happen"),
        };
        table.row(
            fault.is_some(),
            [
                Cell::html(format!(
                    "{}<span class=\"sub\">{}</span>",
                    escape(&declared.id),
                    escape(&meaning(page, &declared.id))
                )),
                Cell::text(&receivers(&declared.to)),
                Cell::text(&several(declared.at_most, "time", "times")),
                Cell::html(happened(nodes) + &announced(page, &declared.id, nodes)),
                Cell::html(verdict).class("answer"),
            ],
        );
    }
    out.push_str(&table.html());
    out.push_str(&equations(page).unwrap_or_default());
    out
}

/// How many numbers went to others, each at most one equation, against the values that this party put in.
fn equations(page: &Page<'_>) -> Option<String> {
    let log = page.own()?;
    let values = log.events.iter().find_map(|event| match event.body()? {
        Body::DataCommitted(data) => Some((data.rows, data.columns)),
        _ => None,
    });
    let (rows, columns) = values?;
    let mine = format!("party:{}", page.maker());
    let opened = log.events.iter().filter_map(|event| match event.body()? {
        Body::Disclosure(opened) if opened.to.iter().any(|to| *to != mine) => Some(opened.values),
        _ => None,
    });
    let numbers = opened.fold(0, u64::saturating_add);
    let unknown = rows.saturating_mul(columns);
    let against = format!(
        "{} went to others, each at most one equation; this institution put in {} × {}, {} unknown to them.",
        several(numbers, "number", "numbers"),
        several(rows, "row", "rows"),
        several(columns, "column", "columns"),
        several(unknown, "value", "values"),
    );
    Some(note(&match numbers < unknown {
        true => format!(
            "{against} Fewer equations than unknowns: they cannot be solved for all of them."
        ),
        false => format!("{against} AS MANY EQUATIONS AS UNKNOWNS, or more: ask what they tell."),
    }))
}

/// What the contract says about it.
fn meaning(page: &Page<'_>, id: &str) -> String {
    let said = || {
        let list = page.contract()?.value.get("disclosures")?.as_array()?;
        let of = list
            .iter()
            .find(|d| d.get("id").and_then(Value::as_str) == Some(id))?;
        of.get("what")?.as_str().map(str::to_owned)
    };
    said().unwrap_or_default()
}

/// Of a job that did not come to its end, how many were announced where that is more than what is recorded.
fn announced(page: &Page<'_>, id: &str, nodes: &BTreeMap<&str, Happened>) -> String {
    let events = page.case.logs.iter().flat_map(|log| &log.events);
    let lasts = events.filter_map(|event| match event.body()? {
        Body::DisclosureAnnounced(announced) if announced.id == id => Some(announced.last),
        _ => None,
    });
    let last = lasts.max().unwrap_or(0);
    let times = nodes.values().map(|h| h.times).max().unwrap_or(0);
    if page.case.ran_to_the_end() || last <= times {
        return String::new();
    }
    format!(
        "<span class=\"sub\">up to {} announced: a node that broke off may not have recorded its last</span>",
        count(last)
    )
}

/// What the nodes recorded; one line if they agree.
fn happened(nodes: &BTreeMap<&str, Happened>) -> String {
    let one = |h: &Happened| {
        let times = several(h.times, "time", "times");
        match h.shape.as_str() {
            "traffic" | "bit" | "count" => times,
            kind if h.times > 1 => format!("{times}, {} in all", shape(kind, h.values)),
            kind => format!("{times}, {}", shape(kind, h.values)),
        }
    };
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for (node, h) in nodes {
        let text = one(h);
        match said.iter_mut().find(|(other, _)| *other == text) {
            Some((_, names)) => names.push(node),
            None => said.push((text, vec![node])),
        }
    }
    if said.is_empty() {
        return "never".to_owned();
    }
    let lines = said.iter().map(|(text, names)| {
        format!(
            "{}<span class=\"sub\">recorded by {}</span>",
            escape(text),
            escape(&names.join(", "))
        )
    });
    lines.collect()
}
