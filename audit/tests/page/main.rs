//! The officer's page: what it says of good and bad bundles, that it is harmless, and what a real browser
//! makes of it.

#![allow(clippy::unwrap_used)]

#[path = "../tamper/world/mod.rs"]
#[allow(dead_code, unused_imports)]
mod world;

mod browser;

use paripassu_audit::{
    bundle::Bundle,
    event::{
        Body, Draft,
        bodies::{Aborted, Disclosure, DisclosureAnnounced},
        hex,
    },
    page::{Subject, html},
    trust::Trust,
    verify::{HeldFile, Options, Verdict, verify},
};
use world::{Authority, BINARY, JOB, MODEL, REPORT, World};

fn trust() -> Trust {
    let authority = Authority::new("consortium", 1).pem;
    let binary = hex(&BINARY);
    let text = format!(
        "authority = \"\"\"{authority}\"\"\"\nfour_eyes = true\nbinaries = [\"{binary}\"]\n"
    );
    Trust::parse(&text, "trust.toml", |path| panic!("{path} is read")).unwrap()
}

/// The page and the verdict, with or without a trust file.
fn page(bundle: &Bundle, trust: Option<&Trust>) -> (String, Verdict) {
    let files = [
        HeldFile::new("model.json", MODEL),
        HeldFile::new("report.json", REPORT),
    ];
    let options = Options {
        trust,
        now: Some(world::START + 86_400),
        files: &files,
    };
    let verdict = verify(bundle, &options);
    let subject = Subject {
        file: "card-default.bundle".into(),
        sha256: "5e".repeat(32),
        trust: trust.map(|_| ("trust.toml".into(), "7a".repeat(32))),
    };
    (html(bundle, &options, &verdict, &subject), verdict)
}

/// Bank opens what nobody agreed to, and signs it properly.
fn undeclared() -> Bundle {
    let mut world = World::new();
    let script = world.script("bank");
    let at = script.after.len() - 1;
    let opening = Disclosure {
        id: "debug.scores".into(),
        ordinal: 1,
        shape: "scores".into(),
        values: 5_000,
        to: vec!["party:bank".into()],
        step: "evaluate".into(),
    };
    let end = script.after[at].clone();
    let draft = Draft::new(JOB, script.role, "bank", end.at, opening.into());
    script.after.insert(at, draft);
    for draft in &mut script.after {
        if let Body::RunCompleted(done) = &mut draft.body {
            done.disclosures += 1;
        }
    }
    world.bundle()
}

/// Somebody changes a number of the partner's record in the finished file.
fn altered() -> Bundle {
    let mut bundle = World::new().bundle();
    let log = &mut bundle.logs[1];
    let event = log
        .events
        .iter_mut()
        .find(|event| event.envelope.contains("\"event\":\"align.done\""));
    let body = event.unwrap().body.as_mut().unwrap();
    assert!(body.contains("4700"));
    *body = body.replace("4700", "5700");
    bundle
}

/// As a reader sees it: without tags, entities as their characters.
fn words(html: &str) -> String {
    let body = html.split_once("<body>").unwrap().1;
    let mut out = String::new();
    let mut inside = false;
    for c in body.chars() {
        match c {
            '<' => {
                inside = true;
                out.push(' ');
            }
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let out = out
        .replace("&#39;", "'")
        .replace("&nbsp;", " ")
        .replace("&quot;", "\"");
    let out = out
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says(html: &str, wanted: &[&str]) {
    let said = words(html);
    for text in wanted {
        assert!(said.contains(text), "`{text}` is not in\n{said}");
    }
}

/// What an officer must find on the page of a good bundle.
const GOOD: &[&str] = &[
    "VERIFIED: the record is genuine and complete",
    "card-default-joint",
    "bank and partner computed one model together for the purpose “application score”. All of them had approved it. bank sent 26.0 kB to the others, sealed. 15 openings are recorded, each of a kind",
    "user modeler on 1 March 2026, 00:00:00 UTC",
    "One credit model (logistic regression) over the columns of bank and partner",
    "4,700 (the contract asks for at least 100)",
    "✓ to its end",
    "bank (this institution) knows the outcome (label) and brings columns applications",
    "partner data-owner and compliance reference CHG-1182",
    "✓ signature holds",
    "training, pass 1",
    "✓ the same",
    "release.scores",
    "✓ as declared",
    "complete 38 entries of this job",
    "coordinator and partner",
    "14. Can the times be right?",
    "Countersigned the log of partner",
    "sha256sum card-default.bundle",
    "paripassu-verify card-default.bundle --trust trust.toml --model report.json --model model.json",
    "Do not believe this page",
];

#[test]
fn a_good_bundle_reads_well() {
    let (html, verdict) = page(&World::new().bundle(), Some(&trust()));
    assert!(verdict.ok, "{verdict}");
    says(&html, GOOD);
    says(
        &html,
        &[
            "28 numbers went to others, each at most one equation; this institution put in 5,000 rows × 12 columns, 60,000 values unknown to them. Fewer equations than unknowns",
        ],
    );
    let said = words(&html);
    for bad in [
        "✗",
        "NOT VERIFIED",
        "What is wrong",
        "NOT DECLARED",
        "FAILED",
        "DIFFERS",
    ] {
        assert!(!said.contains(bad), "{bad} in\n{said}");
    }
}

#[test]
fn without_a_trust_file_the_page_claims_less() {
    let (html, verdict) = page(&World::new().bundle(), None);
    assert!(verdict.ok);
    says(
        &html,
        &["CONSISTENT: all checks passed, but not against your own records"],
    );
    assert!(!words(&html).contains("VERIFIED: the record is genuine"));
}

#[test]
fn a_bad_bundle_begins_with_what_is_wrong() {
    for (bundle, code, wanted) in [
        (
            undeclared(),
            17,
            vec![
                "NOT VERIFIED: do not rely on this record",
                "Log of bank, entry",
                "(disclosure)",
                "debug.scores not in the contract",
                "✗ NOT DECLARED",
                "OPENED UNDECLARED 1 time",
                "By this record, which is not verified:",
                "1 opening was NOT as the contract declares.",
            ],
        ),
        (
            altered(),
            10,
            vec![
                "NOT VERIFIED: do not rely on this record",
                "Log of partner, entry",
                "(align.done)",
                "AT LEAST ONE DOES NOT HOLD",
                "its content is not the one that was signed, and is not shown",
            ],
        ),
    ] {
        let (html, verdict) = page(&bundle, Some(&trust()));
        assert_eq!(verdict.exit_code, code, "{verdict}");
        says(&html, &wanted);
        assert!(!words(&html).contains("5,700"), "an altered value is shown");
        let at = |text: &str| html.find(text).unwrap();
        assert!(at("NOT VERIFIED: do not") < at("id=\"wrong\""));
        assert!(at("id=\"wrong\"") < at("id=\"summary\""));
        assert!(html.contains("class=\"banner bad\"") && html.contains("<tr class=\"bad\">"));
        assert!(html.contains("<title>NOT VERIFIED"));
    }
}

/// Texts of a bundle are an adversary's.
#[test]
fn no_text_of_a_bundle_becomes_markup() {
    let nasty = "<script>alert(1)</script>\\\"'><img src=x onerror=alert(1)>";
    let contract = world::contract().replace("card-default-joint", nasty);
    let contract = contract.replace("application_score", "<b>bold</b>");
    let mut bundle = World::of(&contract).bundle();
    bundle.job = "j-1".into();
    bundle.artifacts[0].name = "</td><script src=//evil>".into();
    for log in &mut bundle.logs {
        for event in &mut log.events {
            event.envelope = event.envelope.replace("\"system\"", "\"<i>clock</i>\"");
        }
    }
    let (html, verdict) = page(&bundle, None);
    assert!(!verdict.ok);
    harmless(&html);
    for bad in [
        "<script",
        "<img",
        "<b>bold",
        "<i>clock",
        "onerror=alert(1)>",
    ] {
        assert!(!html.contains(bad), "{bad}");
    }
}

/// Only what the page needs: no script, no address of anything but its own sections.
fn harmless(html: &str) {
    assert!(html.contains("content=\"default-src 'none'; style-src 'unsafe-inline'"));
    let lower = html.to_lowercase();
    for bad in [
        "http:",
        "https:",
        "//www",
        "<script",
        "<link",
        "<iframe",
        "<object",
        "<img",
        "<form",
        "src=",
        "@import",
        "url(",
        "@font-face",
        "javascript:",
    ] {
        assert!(
            !lower
                .replace("src=x onerror", "")
                .replace("src=//evil", "")
                .contains(bad),
            "{bad}"
        );
    }
    for target in html.split("href=\"").skip(1) {
        assert!(target.starts_with('#'), "{}", &target[..20]);
    }
}

#[test]
fn the_page_fetches_nothing() {
    for bundle in [World::new().bundle(), undeclared(), altered()] {
        harmless(&page(&bundle, None).0);
    }
}

#[test]
fn a_long_job_stays_a_page() {
    let mut world = World::new();
    world.lengthen(3_600);
    let bundle = world.bundle();
    let (html, verdict) = page(&bundle, Some(&trust()));
    // the frames of steps that were added are not in the bundle, which is no matter here
    assert!(verdict.logs[0].events > 1_000);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    says(
        &html,
        &["Every single step", "are in the bundle", "lists the rest"],
    );
}

/// The sums of a job that was aborted are not everything, and the page says so.
#[test]
fn an_aborted_job_claims_no_whole() {
    let mut world = World::new();
    for script in &mut world.scripts {
        let started = "train/pass-2";
        let cut = script
            .after
            .iter()
            .position(|draft| matches!(&draft.body, Body::StepStarted(b) if b.step == started));
        script.after.truncate(cut.unwrap() + 1);
        let mut end = script.after.last().unwrap().clone();
        let aborted = Aborted {
            culprit: Some("partner".into()),
            step: started.into(),
            code: "gone".into(),
            destroyed: true,
            node: 1,
        };
        end.body = aborted.into();
        script.after.push(end);
        if script.person.kind == "party" {
            let mut ahead = script.after[0].clone();
            let announced = DisclosureAnnounced {
                id: "train.converged".into(),
                first: 1,
                last: 16,
                to: vec!["party:bank".into(), "party:partner".into()],
            };
            ahead.body = announced.into();
            script.after.insert(0, ahead);
        }
    }
    world.artifacts.clear();
    let mut bundle = world.bundle();
    bundle.frames.clear();
    let (html, verdict) = page(&bundle, None);
    assert!(verdict.checks[1].findings == 0, "{verdict}");
    assert!(verdict.checks[7].findings == 0, "{verdict}");
    says(
        &html,
        &[
            "did not come to its end",
            "✗ aborted in training, pass 2 (gone)",
            "At fault: partner",
            "One step had begun and has no end in the record: training, pass 2.",
            "at least 14.0 kB",
            "up to 16 announced",
        ],
    );
}

/// A job that ended before any work, and a bundle that holds almost nothing.
#[test]
fn what_is_missing_is_said() {
    let mut bundle = World::new().bundle();
    bundle.contract = "{}".into();
    for log in &mut bundle.logs {
        log.events.clear();
    }
    let (html, verdict) = page(&bundle, None);
    assert!(!verdict.ok);
    says(
        &html,
        &[
            "the contract in the bundle cannot be read",
            "No exchange is recorded",
            "nothing can be compared",
        ],
    );
}
