//! The banner, what is wrong, and the fourteen checks.

use super::{
    Page,
    frame::{Cell, Table, Tone, facts, mark, note, rich},
    text::{count, escape, several},
    words::question,
};
use crate::verify::{Finding, Outcome};

/// Most findings that are written out.
const SHOWN: usize = 30;

/// The result in one look.
pub(super) fn banner(page: &Page<'_>) -> String {
    let (tone, sign, title, text) = if !page.verdict.ok {
        let first = page.verdict.findings.first();
        let what = first.map_or_else(String::new, |finding| {
            format!(
                "<p><strong>{}: {}.</strong></p><p>This means: {}.</p>",
                escape(&place(finding)),
                rich(&finding.what),
                rich(&finding.means)
            )
        });
        let failed = page.verdict.checks.iter();
        let failed = failed.filter(|c| c.outcome == Outcome::Failed).count() as u64;
        (
            "bad",
            "✗",
            "NOT VERIFIED: do not rely on this record",
            format!(
                "{what}<p>{} of 14 failed. Nothing below may be taken as fact until this is explained. \
                 Keep the file as it is: it is evidence.</p>",
                several(failed, "check", "checks")
            ),
        )
    } else if page.trusted {
        let trust = page.subject.trust.as_ref();
        (
            "good",
            "✓",
            "VERIFIED: the record is genuine and complete",
            format!(
                "<p>All checks passed, judged by your own trust file{}.</p>",
                trust.map_or_else(String::new, |(name, _)| format!(
                    " <code>{}</code>",
                    escape(name)
                ))
            ),
        )
    } else {
        (
            "care",
            "✓",
            "CONSISTENT: all checks passed, but not against your own records",
            "<p>The record agrees with itself. No trust file was given, so <strong>whose</strong> record it \
             is was judged by a certificate inside the same file. Before you rely on it, verify it with \
             your own trust file, as the last section says.</p>"
                .to_owned(),
        )
    };
    let end = if page.case.ran_to_the_end() {
        ""
    } else {
        "<p>The job of this record did <strong>not</strong> come to its end.</p>"
    };
    format!(
        "<div class=\"banner {tone}\" role=\"status\"><span class=\"sign\" aria-hidden=\"true\">{sign}</span>\
         <div><h2>{title}</h2>{text}{end}</div></div>\n"
    )
}

/// Where it is, in words.
fn place(finding: &Finding) -> String {
    let Some(origin) = &finding.place.origin else {
        return "The bundle as a whole".to_owned();
    };
    let node = origin.rsplit('/').next().unwrap_or_default();
    match (&finding.place.event, finding.place.index) {
        (Some(event), Some(index)) => format!("Log of {node}, entry {index} ({event})"),
        (None, Some(index)) => format!("Log of {node}, entry {index}"),
        _ => format!("Log of {node}"),
    }
}

/// The findings, first those of the first check that failed; empty if there are none.
pub(super) fn wrong(page: &Page<'_>) -> String {
    let findings = &page.verdict.findings;
    if findings.is_empty() {
        return String::new();
    }
    let mut out = String::new();
    for finding in findings.iter().take(SHOWN) {
        let code = finding.check + 9;
        out.push_str(&format!(
            "<div class=\"finding\"><h3>✗ {}</h3>{}</div>\n",
            escape(&place(finding)),
            facts(&[
                ("What is wrong", rich(&finding.what)),
                ("What that means", rich(&finding.means)),
                (
                    "Failed check",
                    format!(
                        "{}. {} (exit code {code})",
                        finding.check,
                        escape(question(finding.check).0)
                    )
                ),
            ])
        ));
    }
    let total: u64 = page.verdict.checks.iter().map(|c| c.findings).sum();
    let shown = findings.len().min(SHOWN) as u64;
    if total > shown {
        out.push_str(&note(&format!(
            "{} more findings are not shown here; `paripassu audit verify` lists them.",
            count(total - shown)
        )));
    }
    out.push_str(
        "<p class=\"note\">What to do: keep this file and your own log, do not use the model, and ask the \
         institution named for its own bundle of the same job; <code>paripassu audit diff</code> shows where \
         two bundles part. One altered entry often fails several checks.</p>\n",
    );
    out
}

/// All checks, each as a question with its answer.
pub(super) fn section(page: &Page<'_>) -> String {
    let mut table = Table::new("", &[("Check", ""), ("Answer", ""), ("Examined", "num")]);
    for line in &page.verdict.checks {
        let (asked, why) = question(line.check);
        let answer = match line.outcome {
            Outcome::Passed => mark(Tone::Good, "passed"),
            Outcome::Failed => {
                let mut said = mark(
                    Tone::Bad,
                    &format!("FAILED: {}", several(line.findings, "finding", "findings")),
                );
                let mut first = page.verdict.findings.iter();
                if let Some(finding) = first.find(|f| f.check == line.check) {
                    said.push_str(&format!(
                        "<span class=\"sub\">{}: {}</span>",
                        escape(&place(finding)),
                        rich(&finding.what)
                    ));
                }
                said
            }
            Outcome::NothingToCheck => mark(Tone::None, "nothing to check in this job"),
        };
        table.row(
            line.outcome == Outcome::Failed,
            [
                Cell::html(format!(
                    "{}. {}<span class=\"sub\">{}</span>",
                    line.check,
                    escape(asked),
                    escape(why)
                )),
                Cell::html(answer),
                Cell::number(&count(line.examined)),
            ],
        );
    }
    let mut out = table.html();
    if !page.verdict.notes.is_empty() {
        out.push_str("<h3>What this does not prove</h3><ul class=\"plain\">");
        for text in &page.verdict.notes {
            out.push_str(&format!("<li>{}</li>", rich(&sentence(text))));
        }
        out.push_str("</ul>\n");
    }
    out
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    format!(
        "{}{}.",
        first.map(String::from_iter).unwrap_or_default(),
        chars.as_str().trim_end_matches('.')
    )
}
