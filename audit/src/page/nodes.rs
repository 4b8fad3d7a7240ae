//! Each node's log: whose it is, whether its signatures hold, who countersigned it.

use super::{
    Page,
    frame::{Cell, Table, held, note},
    text::{and, count, escape, moment},
};
use crate::{
    event::{format_time, hex},
    verify::{LogLine, view::Log},
};

pub(super) fn section(page: &Page<'_>) -> String {
    let mut table = Table::new(
        "",
        &[
            ("Node", ""),
            ("Signatures", ""),
            ("Nothing removed or added", ""),
            ("Never rewritten", ""),
            ("Countersigned by", ""),
        ],
    );
    for log in &page.case.logs {
        let line = page
            .verdict
            .logs
            .iter()
            .find(|line| line.origin == log.part.origin);
        let fails = |checks: &[u8]| fails(page, log, checks);
        let bad = fails(&[1, 2, 3, 4]);
        table.row(
            bad,
            [
                Cell::html(format!(
                    "{}<span class=\"sub\">{}</span>",
                    escape(log.node),
                    escape(&part(page, log))
                )),
                Cell::html(format!(
                    "{}<span class=\"sub\">{}</span>",
                    held(!fails(&[1]), "all hold", "AT LEAST ONE DOES NOT HOLD"),
                    escape(&key(log))
                )),
                Cell::html(format!(
                    "{}<span class=\"sub\">{} entries of this job</span>",
                    held(!fails(&[2]), "complete", "NOT COMPLETE"),
                    count(log.events.len() as u64)
                )),
                Cell::html(format!(
                    "{}<span class=\"sub\">log of {} entries in all</span>",
                    held(!fails(&[3]), "proven", "NOT PROVEN"),
                    count(line.map_or(0, |line| line.size))
                )),
                Cell::html(witnesses(page, log, line, fails(&[4]))),
            ],
        );
    }
    let mut out = table.html();
    out.push_str(&note(
        "A countersignature means: that institution saw this log at this length, checked that it contains \
         everything it had seen before, and signed that. From then on nobody can change the log without \
         being found out.",
    ));
    out
}

/// Whether a finding of one of these checks is about this log, or about the bundle as a whole because
/// of which this cannot be said.
fn fails(page: &Page<'_>, log: &Log<'_>, checks: &[u8]) -> bool {
    page.verdict.findings.iter().any(|finding| {
        checks.contains(&finding.check)
            && finding
                .place
                .origin
                .as_ref()
                .is_none_or(|origin| *origin == log.part.origin)
    })
}

fn part(page: &Page<'_>, log: &Log<'_>) -> String {
    let kind = log.part.origin.split('/').nth(1).unwrap_or_default();
    let mut said = vec![match kind {
        "party" => "institution".to_owned(),
        other => other.to_owned(),
    }];
    if page
        .contract()
        .is_some_and(|contract| contract.helper == log.node)
        && kind != "helper"
    {
        said.push("helper of this job".to_owned());
    }
    if log.own {
        said.push("made this bundle".to_owned());
    }
    said.join(", ")
}

fn key(log: &Log<'_>) -> String {
    let Some(Ok(certificate)) = log.certificates.first() else {
        return "its certificate cannot be read".to_owned();
    };
    let digest = hex(&certificate.key_digest);
    let until = format_time(certificate.not_after).unwrap_or_default();
    let until = moment(&until);
    let until = until.split(',').next().unwrap_or_default();
    format!(
        "key {}…, certified until {until}",
        digest.get(..16).unwrap_or_default()
    )
}

fn witnesses(page: &Page<'_>, log: &Log<'_>, line: Option<&LogLine>, failed: bool) -> String {
    let by = line
        .map(|line| line.cosigned_by.as_slice())
        .unwrap_or_default();
    let names: Vec<_> = by
        .iter()
        .map(|name| name.rsplit('/').next().unwrap_or_default().to_owned())
        .collect();
    let missing: Vec<_> = page
        .contract()
        .into_iter()
        .flat_map(|contract| contract.members())
        .filter(|member| *member != log.node && !names.contains(member))
        .cloned()
        .collect();
    let mut out = held(
        !failed,
        &and(&names),
        &format!("NOT ENOUGH: {}", and(&names)),
    );
    if !missing.is_empty() {
        out.push_str(&format!(
            "<span class=\"sub\">not by {}</span>",
            escape(&and(&missing))
        ));
    }
    out
}
