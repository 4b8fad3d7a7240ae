//! The officer's page: what a bundle says and whether it holds, as one HTML file for someone who is no
//! engineer.
//!
//! The file is complete by itself: no script, no font, no image, nothing that is fetched; its own
//! `Content-Security-Policy` forbids all of that. Every text that comes from the bundle is escaped. Where
//! a check failed, the page begins with what is wrong.

mod checks;
mod frame;
mod nodes;
mod openings;
mod summary;
mod text;
mod timeline;
mod traffic;
mod words;
mod yourself;

use std::collections::BTreeSet;

use crate::{
    bundle::Bundle,
    verify::{
        Options, Verdict,
        contract::ContractView,
        view::{Case, Event, Log},
    },
};
use text::escape;

const STYLE: &str = include_str!("page/style.css");

/// The file that the page is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its name, without folders.
    pub file: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// The name and SHA-256 of the trust file, if one was given.
    pub trust: Option<(String, String)>,
}

/// Everything that the sections look at.
struct Page<'a> {
    bundle: &'a Bundle,
    case: Case<'a>,
    verdict: &'a Verdict,
    subject: &'a Subject,
    trusted: bool,
    made: Option<i64>,
    /// Events that a finding names.
    faulty: BTreeSet<(&'a str, u64)>,
}

/// One self-contained page of the bundle and the verdict on it. `options` are those it was verified with.
pub fn html(
    bundle: &Bundle,
    options: &Options<'_>,
    verdict: &Verdict,
    subject: &Subject,
) -> String {
    let named = verdict.findings.iter();
    let faulty = named.filter_map(|f| Some((f.place.origin.as_deref()?, f.place.index?)));
    let page = Page {
        bundle,
        case: Case::new(bundle, *options),
        verdict,
        subject,
        trusted: options.trust.is_some(),
        made: options.now,
        faulty: faulty.collect(),
    };
    page.html()
}

impl Page<'_> {
    fn html(&self) -> String {
        let sections = [
            ("wrong", "What is wrong", checks::wrong(self)),
            ("summary", "In plain words", summary::section(self)),
            ("approvals", "Who agreed", summary::approvals(self)),
            ("left", "What left this institution", traffic::section(self)),
            (
                "opened",
                "What was opened, and to whom",
                openings::section(self),
            ),
            ("nodes", "Signatures and witnesses", nodes::section(self)),
            ("checks", "The fourteen checks", checks::section(self)),
            (
                "timeline",
                "What happened, in order",
                timeline::section(self),
            ),
            ("yourself", "Verify it yourself", yourself::section(self)),
        ];
        let mut nav = String::new();
        let mut body = String::new();
        for (id, name, content) in sections.iter().filter(|s| !s.2.is_empty()) {
            nav.push_str(&format!("<li><a href=\"#{id}\">{name}</a></li>"));
            body.push_str(&format!(
                "<section id=\"{id}\" aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{name}</h2>\n\
                 {content}</section>\n"
            ));
        }
        let title = escape(self.title());
        let result = if self.verdict.ok {
            "verified"
        } else {
            "NOT VERIFIED"
        };
        format!(
            r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">
<title>{result}: audit of {title}</title><style>
{STYLE}</style></head><body>
<header><p class="eyebrow">Paripassu · audit of a joint computation</p><h1>{title}</h1>
{banner}</header>
<nav aria-label="Sections"><ul>{nav}</ul></nav>
<main>
{body}</main>
<footer>{footer}</footer>
</body></html>
"#,
            banner = checks::banner(self),
            footer = yourself::footer(self),
        )
    }

    /// The job's name, or its id where the contract cannot be read.
    fn title(&self) -> &str {
        let name = self.contract().and_then(|contract| {
            let name = contract.value.pointer("/spec/name")?.as_str()?;
            (!name.is_empty()).then_some(name)
        });
        name.unwrap_or(&self.bundle.job)
    }

    fn contract(&self) -> Option<&ContractView> {
        self.case.contract.as_ref().ok()
    }

    /// A text of the contract.
    fn agreed(&self, pointer: &str) -> Option<&str> {
        self.contract()?.value.pointer(pointer)?.as_str()
    }

    /// The log of the bundle's maker.
    fn own(&self) -> Option<&Log<'_>> {
        self.case.logs.iter().find(|log| log.own)
    }

    /// The maker's id.
    fn maker(&self) -> &str {
        self.bundle.node.rsplit('/').next().unwrap_or_default()
    }

    fn is_faulty(&self, log: &Log<'_>, event: &Event<'_>) -> bool {
        self.faulty
            .contains(&(log.part.origin.as_str(), event.part.index))
    }

    /// Whether one of these checks failed.
    fn failed(&self, checks: &[u8]) -> bool {
        let mut found = self.verdict.findings.iter();
        found.any(|finding| checks.contains(&finding.check))
    }
}
