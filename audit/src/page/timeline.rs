//! Every entry of every log, in the order of the clocks.

use super::{
    Page,
    frame::{Cell, Table, Tone, mark, note},
    text::{count, escape, moment},
    words,
};
use crate::verify::view::{Event, Log};

/// Most rows that are written out.
const SHOWN: usize = 1_000;

pub(super) fn section(page: &Page<'_>) -> String {
    let mut all: Vec<(&Log<'_>, &Event<'_>)> = Vec::new();
    for log in &page.case.logs {
        all.extend(log.all_events().map(|event| (log, event)));
    }
    let at = |event: &Event<'_>| event.head().map(|head| head.at.clone()).unwrap_or_default();
    all.sort_by_cached_key(|(log, event)| (at(event), log.part.origin.clone(), event.part.index));
    let mut table = Table::new(
        "",
        &[
            ("When", "when"),
            ("Node", ""),
            ("What happened", ""),
            ("Entry", "num"),
        ],
    );
    // what is wrong is shown in any case
    let hidden = all.len().saturating_sub(SHOWN) as u64;
    let shown = all
        .iter()
        .enumerate()
        .filter(|(place, (log, event))| *place < SHOWN || page.is_faulty(log, event));
    for (_, (log, event)) in shown.take(2 * SHOWN) {
        let faulty = page.is_faulty(log, event);
        let mut what = said(event);
        if faulty {
            what.push_str(&format!(
                "<span class=\"sub\">{}</span>",
                mark(Tone::Bad, &why(page, log, event))
            ));
        }
        table.row(
            faulty,
            [
                Cell::text(&moment(&at(event))).class("when"),
                Cell::text(log.node),
                Cell::html(what),
                Cell::number(&count(event.part.index)),
            ],
        );
    }
    let mut out = String::new();
    if hidden > 0 {
        out.push_str(&note(&format!(
            "The first {} of {} entries, and all that are at fault; `paripassu audit show BUNDLE` lists the rest.",
            count(SHOWN as u64),
            count(all.len() as u64)
        )));
    }
    out.push_str(&table.html());
    out
}

fn said(event: &Event<'_>) -> String {
    match (event.head(), event.body()) {
        (_, Some(body)) if words::alarming(body) => mark(Tone::Care, &words::event(body)),
        (_, Some(body)) => escape(&words::event(body)),
        (None, _) => mark(Tone::Bad, "an entry that cannot be read"),
        (Some(head), None) if event.part.body.is_some() => mark(
            Tone::Bad,
            &format!(
                "{}: its content is not the one that was signed, and is not shown",
                head.event
            ),
        ),
        (Some(head), None) => {
            let what = match head.event.as_str() {
                "data.committed" => "Fixed its data",
                "dp.spent" => "Counted what the job spends of its customers' privacy",
                "metrics.reported" => "Wrote its report",
                "model.committed" => "Fixed its model files",
                "log.started" => "Opened its log",
                other => other,
            };
            format!(
                "{} <span class=\"sub\">details stay with this institution</span>",
                escape(what)
            )
        }
    }
}

fn why(page: &Page<'_>, log: &Log<'_>, event: &Event<'_>) -> String {
    let found = page.verdict.findings.iter().find(|finding| {
        finding.place.origin.as_deref() == Some(&log.part.origin)
            && finding.place.index == Some(event.part.index)
    });
    found.map_or_else(String::new, |finding| finding.what.clone())
}
