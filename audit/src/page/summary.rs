//! Who did what for which purpose with which columns, and who agreed to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    Page,
    frame::{Cell, Table, Tone, facts, mark, note},
    text::{and, bytes, count, date, escape, moment, several},
    words::step,
};
use crate::{
    bundle::unbase64,
    event::{
        Body,
        bodies::{AlignDone, DataCommitted, JobApproved},
        hex,
    },
};

/// The job in plain words.
pub(super) fn section(page: &Page<'_>) -> String {
    let mut out = lead(page);
    out.push_str(&tiles(page));
    let agreed = |pointer| page.agreed(pointer).filter(|text| !text.is_empty());
    let code = |text: &str| escape(&text.replace(['_', '-'], " "));
    let mut rows = Vec::new();
    if page.contract().is_none() {
        rows.push((
            "Contract",
            mark(Tone::Bad, "the contract in the bundle cannot be read"),
        ));
    }
    if let Some(purpose) = agreed("/spec/purpose") {
        rows.push(("Why: purpose", code(purpose)));
    }
    if let Some(basis) = agreed("/spec/legal_basis") {
        rows.push(("Legal basis", code(basis)));
    }
    if let Some(contract) = page.contract() {
        let at = contract.value.get("created").and_then(Value::as_str);
        rows.push((
            "Proposed by",
            format!(
                "{} on {}",
                escape(&contract.submitter.replace('/', " ")),
                escape(&moment(at.unwrap_or_default()))
            ),
        ));
    }
    rows.push(("What was computed", escape(&computed(page))));
    if let Some(align) = body(page, |body| match body {
        Body::AlignDone(b) => Some(b),
        _ => None,
    }) {
        rows.push(("Customers in common", escape(&matched(page, align))));
    }
    rows.push(("How it ended", ended(page)));
    if let Some(expires) = agreed("/spec/expires") {
        let day = date(expires).unwrap_or_else(|| expires.to_owned());
        rows.push(("Contract valid until", escape(&day)));
    }
    rows.push((
        "Job",
        format!("<span class=\"digest\">{}</span>", escape(&page.bundle.job)),
    ));
    out.push_str(&facts(&rows));
    out.push_str(&columns(page));
    out
}

/// A body of the maker's log.
fn body<'a, B>(page: &'a Page<'_>, pick: impl Fn(&'a Body) -> Option<B>) -> Option<B> {
    let mut events = page.own()?.events.iter();
    events.find_map(|event| pick(event.body()?))
}

/// The whole in four sentences.
fn lead(page: &Page<'_>) -> String {
    let Some(contract) = page.contract() else {
        return String::new();
    };
    let purpose = page.agreed("/spec/purpose").unwrap_or_default();
    let purpose = match purpose.replace(['_', '-'], " ") {
        empty if empty.is_empty() => String::new(),
        text => format!(" for the purpose “{text}”"),
    };
    let ran = page.own().is_some_and(|log| log.has("run.completed"));
    let did = if ran {
        "computed one model together"
    } else {
        "were to compute one model together"
    };
    let events = page.case.logs.iter().flat_map(|log| &log.events);
    let approved: BTreeSet<_> = events
        .filter_map(|event| match event.body() {
            Some(Body::JobApproved(b)) => Some(b.party.as_str()),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = contract
        .parties
        .iter()
        .filter(|p| !approved.contains(p.as_str()))
        .cloned()
        .collect();
    let agreed = match missing.as_slice() {
        [] => "All of them had approved it.".to_owned(),
        missing => format!("There is NO APPROVAL of {}.", and(missing)),
    };
    let end = if ran {
        ""
    } else {
        ", but the job did not come to its end here"
    };
    let (sent, _) = super::traffic::totals(page);
    let least = if super::traffic::unfinished(page).is_empty() {
        ""
    } else {
        "at least "
    };
    let opened = match super::openings::totals(page) {
        (0, _) => "Nothing was opened.".to_owned(),
        (all, 0) => format!(
            "{} recorded, each of a kind that the contract declares.",
            several(all, "opening is", "openings are")
        ),
        (_, wrong) => format!(
            "{} NOT as the contract declares.",
            several(wrong, "opening was", "openings were")
        ),
    };
    let caution = if page.verdict.ok {
        ""
    } else {
        "<strong>By this record, which is not verified:</strong> "
    };
    format!(
        "<p class=\"lead\">{caution}{}</p>\n",
        escape(&format!(
            "{} {did}{purpose}{end}. {agreed} {} sent {least}{} to the others, sealed. {opened}",
            and(&contract.parties),
            page.maker(),
            bytes(sent)
        ))
    )
}

fn tiles(page: &Page<'_>) -> String {
    let mut tiles = String::new();
    let mut tile = |name: &str, big: &str, below: &str, tone: &str| {
        tiles.push_str(&format!(
            "<div class=\"tile {tone}\"><p>{}</p><p class=\"big\">{}</p><p>{}</p></div>",
            escape(name),
            escape(big),
            escape(below)
        ));
    };
    let checks = &page.verdict.checks;
    let failed = checks.iter().filter(|c| c.findings > 0).count();
    let examined = checks.iter().filter(|c| c.examined > 0).count();
    if failed == 0 {
        let below = format!("of 14; {} with nothing to check", 14 - examined);
        tile("Checks passed", &examined.to_string(), &below, "good");
    } else {
        tile("Checks FAILED", &failed.to_string(), "of 14", "bad");
    }
    let (sent, frames) = super::traffic::totals(page);
    let below = if super::traffic::unfinished(page).is_empty() {
        format!("sealed, in {}", several(frames, "message", "messages"))
    } else {
        "at least; steps without an end are not counted".to_owned()
    };
    tile("Left this institution", &bytes(sent), &below, "");
    let (happened, undeclared) = super::openings::totals(page);
    if undeclared == 0 {
        let below = "openings, none beyond what was declared";
        tile("Values opened", &count(happened), below, "good");
    } else {
        let below = "beyond what was declared";
        tile(
            "OPENED UNDECLARED",
            &several(undeclared, "time", "times"),
            below,
            "bad",
        );
    }
    let logs = page.verdict.logs.len();
    let all = page.verdict.logs.iter().filter(|log| {
        let others = page.contract().map_or(0, |contract| {
            contract
                .members()
                .filter(|m| !log.origin.ends_with(&format!("/{m}")))
                .count()
        });
        log.cosigned_by.len() >= others.max(1)
    });
    let all = all.count();
    let tone = if all == logs { "good" } else { "" };
    tile(
        "Logs countersigned",
        &format!("{all} of {logs}"),
        "by all other members",
        tone,
    );
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

fn computed(page: &Page<'_>) -> String {
    let kind = match page.agreed("/spec/model/kind") {
        Some("logistic") => "One credit model (logistic regression)".to_owned(),
        Some("mlp") => "One credit model (network)".to_owned(),
        Some(other) => format!("One model ({other})"),
        None => "A joint computation".to_owned(),
    };
    let Some(contract) = page.contract() else {
        return kind;
    };
    format!(
        "{kind} over the columns of {}, on secret shares that no single \
         institution can read. {} deals random numbers and holds no data.",
        and(&contract.parties),
        contract.helper
    )
}

fn matched(page: &Page<'_>, align: &AlignDone) -> String {
    let least = page.contract().and_then(|contract| contract.min_matched);
    let least = least.map(|least| format!(" (the contract asks for at least {})", count(least)));
    format!("{}{}", count(align.matched), least.unwrap_or_default())
}

fn ended(page: &Page<'_>) -> String {
    let Some(own) = page.own() else {
        return mark(Tone::Bad, "this institution's log is missing");
    };
    let last = own.events.iter().rev().find_map(|event| {
        let at = moment(&event.head()?.at);
        match event.body() {
            Some(Body::RunCompleted(_)) => Some(mark(Tone::Good, &format!("to its end, {at}"))),
            Some(Body::Aborted(b)) => {
                let fault = b.culprit.as_ref().map(|who| format!(" At fault: {who}."));
                let said = format!(
                    "aborted in {} ({}), {at}.{}",
                    step(&b.step),
                    b.code,
                    fault.unwrap_or_default()
                );
                Some(mark(Tone::Bad, &said))
            }
            Some(Body::JobRejected(b)) => {
                Some(mark(Tone::Care, &format!("rejected by {}, {at}", b.party)))
            }
            _ => None,
        }
    });
    last.unwrap_or_else(|| mark(Tone::Bad, "this institution's log does not say"))
}

/// Which columns the contract takes of a party, in words.
fn named(listed: Option<&Value>) -> String {
    let list = |kind: &str| -> Vec<String> {
        let names = listed.and_then(|l| l.get(kind)).and_then(Value::as_array);
        let names = names.into_iter().flatten().filter_map(Value::as_str);
        names.map(str::to_owned).collect()
    };
    if listed.and_then(Value::as_str) == Some("all") {
        return "all that its node offers under this name".to_owned();
    }
    let names = [list("numeric"), list("categorical")].concat();
    match names.is_empty() {
        true => "none but the customer's id".to_owned(),
        false => and(&names),
    }
}

/// Which columns each institution brought.
fn columns(page: &Page<'_>) -> String {
    let Some(parties) = page
        .contract()
        .and_then(|c| c.value.pointer("/spec/party")?.as_array())
    else {
        return String::new();
    };
    let mut table = Table::new(
        "Which data took part",
        &[
            ("Institution", ""),
            ("Part", ""),
            ("Data set", ""),
            ("Columns", ""),
        ],
    );
    for party in parties {
        let text = |name| party.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id");
        let role = match text("role") {
            "label" => "knows the outcome (label) and brings columns",
            "features" => "brings columns",
            other => other,
        };
        let own = id == page.maker();
        let fixed = own.then(|| committed(page)).flatten();
        let columns = named(party.get("columns"));
        let sub = fixed.map(|data| {
            let grade = data.grade.as_ref().map(|grade| format!(", grade {grade}"));
            format!(
                "<span class=\"sub\">fixed before the start: {} rows, {} columns{}</span>",
                count(data.rows),
                count(data.columns),
                escape(&grade.unwrap_or_default())
            )
        });
        let mine = if own { " (this institution)" } else { "" };
        table.row(
            false,
            [
                Cell::text(&format!("{id}{mine}")),
                Cell::text(role),
                Cell::text(text("dataset")),
                Cell::html(format!("{}{}", escape(&columns), sub.unwrap_or_default())),
            ],
        );
    }
    table.html()
}

fn committed<'a>(page: &'a Page<'_>) -> Option<&'a DataCommitted> {
    body(page, |body| match body {
        Body::DataCommitted(b) => Some(b),
        _ => None,
    })
}

/// Who approved or rejected, and when.
pub(super) fn approvals(page: &Page<'_>) -> String {
    let Some(contract) = page.contract() else {
        return String::new();
    };
    let statements = page.bundle.approvals.iter();
    let statements: BTreeSet<_> = statements
        .map(|s| hex(&Sha256::digest(unbase64(&s.statement).unwrap_or_default())))
        .collect();
    let mut seen: BTreeMap<&str, (&JobApproved, &str, bool)> = BTreeMap::new();
    let mut rejected: BTreeMap<&str, String> = BTreeMap::new();
    let logs = page.own().into_iter().chain(page.case.logs.iter());
    for log in logs {
        for event in &log.events {
            let (Some(head), Some(body)) = (event.head(), event.body()) else {
                continue;
            };
            match body {
                Body::JobApproved(b) => {
                    let faulty = page.is_faulty(log, event);
                    seen.entry(&b.party).or_insert((b, &head.at, faulty));
                }
                Body::JobRejected(b) => {
                    let said = format!("REJECTED by {} ({})", b.approver, b.code);
                    rejected.entry(&b.party).or_insert(said);
                }
                _ => {}
            }
        }
    }
    let mut table = Table::new(
        "",
        &[
            ("Institution", ""),
            ("Approved by", ""),
            ("Recorded", ""),
            ("Valid until", ""),
            ("Signed statement", ""),
        ],
    );
    for party in &contract.parties {
        let Some((approval, at, faulty)) = seen.get(party.as_str()) else {
            let said = rejected
                .get(party.as_str())
                .map_or("NO APPROVAL RECORDED", String::as_str);
            table.row(
                true,
                [
                    Cell::text(party),
                    Cell::html(mark(Tone::Bad, said)),
                    Cell::text("–"),
                    Cell::text("–"),
                    Cell::text("–"),
                ],
            );
            continue;
        };
        let here = statements.contains(&approval.statement);
        let ok = here && !faulty;
        let signed = match (here, faulty) {
            (false, _) => mark(Tone::Bad, "missing in the bundle"),
            (true, true) => mark(Tone::Bad, "the record of it is faulty"),
            (true, false) if page.failed(&[1, 6]) => mark(
                Tone::Care,
                "here, but checks of signatures or approvals failed",
            ),
            _ => mark(Tone::Good, "signature holds"),
        };
        let second = approval.second.as_ref().map(|s| format!(" and {s}"));
        let ticket = approval
            .ticket
            .as_ref()
            .map(|t| format!("<span class=\"sub\">reference {}</span>", escape(t)));
        let until = approval
            .expires
            .as_ref()
            .map_or("end of the job".to_owned(), |at| moment(at));
        table.row(
            !ok,
            [
                Cell::text(party),
                Cell::html(format!(
                    "{}{}{}",
                    escape(&approval.approver),
                    escape(&second.unwrap_or_default()),
                    ticket.unwrap_or_default()
                )),
                Cell::text(&moment(at)),
                Cell::text(&until),
                Cell::html(signed),
            ],
        );
    }
    let mut out = table.html();
    out.push_str(&note(
        "Each approval is signed with the institution's own key over the fingerprint of the contract, so it \
         is an approval of exactly this contract and no other. Names and references are the institution's own \
         words: that two names are two persons, it must answer for itself.",
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_as_the_contract_lists_them() {
        let listed = serde_json::json!({"numeric": ["amount", "age"], "categorical": ["branch"]});
        assert_eq!(named(Some(&listed)), "amount, age and branch");
        let all = serde_json::json!("all");
        assert_eq!(
            named(Some(&all)),
            "all that its node offers under this name"
        );
        let none = serde_json::json!({"numeric": [], "categorical": []});
        assert_eq!(named(Some(&none)), "none but the customer's id");
        assert_eq!(named(None), "none but the customer's id");
    }
}
