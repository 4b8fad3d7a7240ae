//! How to verify the bundle without believing this page.

use super::{
    Page,
    frame::{Cell, Table, facts, note},
    text::{count, escape, moment},
};
use crate::event::{format_time, hex};

/// A word that a shell takes as it is; another name stands for one that is none.
fn word(name: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let sound = !name.is_empty() && !name.starts_with('-') && name.chars().all(plain);
    if sound { name } else { "JOB.bundle" }
}

pub(super) fn section(page: &Page<'_>) -> String {
    let file = word(&page.subject.file);
    let files: String = page
        .bundle
        .artifacts
        .iter()
        .map(|artifact| word(&artifact.name))
        .filter(|name| *name != "JOB.bundle")
        .map(|name| format!(" --model {name}"))
        .collect();
    let mut out = String::from(
        "<p class=\"lead\">Do not believe this page: anyone could write one. The bundle is the evidence, and you \
         can judge it on your own machine, without a network, without us and without any secret.</p>\n",
    );
    out.push_str(&format!(
        "<h3>1. Is it the same file?</h3><pre>sha256sum {file}\n{}  {file}</pre>\n",
        escape(&page.subject.sha256)
    ));
    out.push_str(
        "<h3>2. Say whom you trust</h3><pre>paripassu-verify --sample &gt; trust.toml</pre>\
         <p>Beside it put <code>ca.crt</code>, the consortium's certificate <em>from your own records</em>, not from the bundle.</p>\n",
    );
    out.push_str(&format!(
        "<h3>3. Verify</h3><pre>paripassu-verify {file} --trust trust.toml{}</pre>\
         <p>It ends with VERIFIED and exit code 0, or names the entry that is wrong. The same with the whole \
         program:</p><pre>paripassu audit verify {file} --policy trust.toml{}</pre>\n",
        escape(&files),
        escape(&files)
    ));
    out.push_str(&format!(
        "<h3>4. If you do not trust our verifier either</h3><p>The format is documented byte by byte in \
         <code>docs/spec/transcript.md</code>, and a second verifier was written from that text in another \
         language:</p><pre>python3 docs/spec/verify.py {file} --trust trust.toml</pre>\n"
    ));
    out.push_str("<h3>Fingerprints (SHA-256)</h3>");
    let digest = |text: &str| format!("<span class=\"digest\">{}</span>", escape(text));
    let mut rows = vec![
        ("The bundle", digest(&page.subject.sha256)),
        ("The contract", digest(&page.verdict.contract)),
    ];
    if let Some((name, sha256)) = &page.subject.trust {
        rows.push((
            "The trust file",
            format!(
                "{} <span class=\"sub\">{}</span>",
                digest(sha256),
                escape(name)
            ),
        ));
    }
    if let Some(Ok(authority)) = page.case.authority() {
        rows.push(("The authority's key", digest(&hex(&authority.key_digest))));
    }
    out.push_str(&facts(&rows));
    out.push_str(&keys(page));
    out.push_str(&artifacts(page));
    out
}

fn keys(page: &Page<'_>) -> String {
    let mut table = Table::new("Keys of the nodes", &[("Node", ""), ("Key", "")]);
    for log in &page.case.logs {
        for certificate in log.certificates.iter().filter_map(|c| c.as_ref().ok()) {
            table.row(
                false,
                [
                    Cell::text(log.node),
                    Cell::text(&hex(&certificate.key_digest)).class("digest"),
                ],
            );
        }
    }
    table.html()
}

fn artifacts(page: &Page<'_>) -> String {
    let mut table = Table::new(
        "Result files of this institution, as recorded",
        &[("File", ""), ("Bytes", "num"), ("SHA-256", "")],
    );
    for artifact in &page.bundle.artifacts {
        table.row(
            false,
            [
                Cell::text(&artifact.name),
                Cell::number(&count(artifact.bytes)),
                Cell::text(&artifact.sha256).class("digest"),
            ],
        );
    }
    let mut out = table.html();
    if !out.is_empty() {
        out.push_str(&note(
            "`sha256sum FILE` must print the same for the file that you hold.",
        ));
    }
    out
}

/// What made the page, from what, when.
pub(super) fn footer(page: &Page<'_>) -> String {
    let at = page.made.and_then(format_time).map(|at| moment(&at));
    format!(
        "Made by paripassu {} from <code>{}</code>{}. The bundle is by {}; it holds no data of any customer, and \
         neither does this page.",
        env!("CARGO_PKG_VERSION"),
        escape(&page.subject.file),
        at.map(|at| format!(" on {}", escape(&at)))
            .unwrap_or_default(),
        escape(page.maker())
    )
}
