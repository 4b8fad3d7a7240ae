//! Everything that can be done to a bundle, and that it is found out: by the verifier, and by the second
//! one, written from `docs/spec/transcript.md` in another language, with the same exit codes.

#![allow(clippy::unwrap_used)]

mod table;
mod world;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use paripassu_audit::{
    bundle::Bundle,
    trust::Trust,
    verify::{Options, Place, Verdict, verify},
};
use table::Case;
use world::{Authority, BINARY};

/// The trust file of a case: lines of its own come last, for they may begin a table.
fn trust_text(case: &Case) -> Option<String> {
    let own = case.trust?;
    let authority = Authority::new("consortium", 1).pem;
    let binary = paripassu_audit::event::hex(&BINARY);
    let pruned = own == "#pruned";
    Some(format!(
        "authority = \"\"\"{authority}\"\"\"\nfour_eyes = true\nbinaries = [\"{binary}\"]\nallow_pruned = {pruned}\n{own}"
    ))
}

fn trust(case: &Case) -> Option<Trust> {
    let text = trust_text(case)?;
    Some(Trust::parse(&text, "trust.toml", |path| panic!("{path} is read")).unwrap())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs() as i64
}

#[test]
fn every_tampering_is_found_and_named() {
    let cases = table::cases();
    assert!(cases.len() >= 32, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let trust = trust(case);
        let options = Options {
            trust: trust.as_ref(),
            now: Some(now()),
            files: &case.files,
        };
        // what is verified is what a file holds
        let text = case.bundle.to_text().unwrap();
        let bundle = Bundle::parse(text.as_bytes()).unwrap();
        let verdict = verify(&bundle, &options);
        let first = verdict
            .findings
            .iter()
            .filter(|f| f.check + 9 == verdict.exit_code);
        let named = case.code == 0
            || first
                .map(|f| format!("{} {} {}", f.place, f.what, f.means))
                .any(|said| said.contains(case.names));
        if verdict.exit_code != case.code || verdict.ok != (case.code == 0) || !named {
            wrong.push(format!(
                "== {}: expected {} naming `{}`\n{verdict}",
                case.name, case.code, case.names
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_class_of_failure_is_in_the_table() {
    let codes: BTreeSet<u8> = table::cases().iter().map(|c| c.code).collect();
    let all: BTreeSet<u8> = std::iter::once(0).chain(10..=23).collect();
    assert_eq!(codes, all);
}

#[test]
fn what_real_logs_and_witnesses_make_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world::World::new();
    world.lengthen(300);
    let bundle = world.bundle_from_disk(folder.path());
    let verdict = verify(&bundle, &Options::default());
    assert!(verdict.ok, "{verdict}");
    assert!(
        verdict.logs.iter().all(|log| log.cosigned_by.len() == 2),
        "{verdict}"
    );
}

#[test]
fn ten_thousand_events_are_verified_whole() {
    let mut world = world::World::new();
    world.lengthen(10_000);
    let mut bundle = world.bundle();
    let verdict = verify(&bundle, &Options::default());
    assert!(verdict.ok, "{verdict}");
    let events: u64 = verdict.logs.iter().map(|log| log.events).sum();
    assert!(events >= 10_000, "{events}");
    // each of them is looked at
    let whole = |check: usize| verdict.checks[check].examined >= events;
    assert!(
        whole(0) && whole(1) && whole(2) && whole(12) && whole(13),
        "{verdict}"
    );
    let log = &mut bundle.logs[1];
    let middle = log.events.len() / 2;
    let text = &mut log.events[middle].envelope;
    *text = text.replacen("\"v\":1", "\"v\":2", 1);
    let index = log.events[middle].index;
    let verdict = verify(&bundle, &Options::default());
    assert_eq!(verdict.exit_code, 10);
    assert_eq!(verdict.findings[0].place.index, Some(index), "{verdict}");
}

#[test]
fn a_timeline_filters() {
    use paripassu_audit::show::{Filter, show};
    let bundle = world::World::new().bundle();
    let all = show(&bundle, &Filter::default());
    assert_eq!(
        all.entries.len(),
        bundle
            .logs
            .iter()
            .map(|log| log.all_events().count())
            .sum::<usize>()
    );
    assert!(all.entries.is_sorted_by_key(|entry| &entry.at));
    let filter = |node: &str, event: &str| Filter {
        node: Some(node.into()),
        event: Some(event.into()),
        ..Filter::default()
    };
    assert_eq!(show(&bundle, &filter("bank", "step")).entries.len(), 8);
    assert_eq!(
        show(&bundle, &filter("paripassu/party/bank", "step.finished"))
            .entries
            .len(),
        4
    );
    assert_eq!(show(&bundle, &filter("bank", "ste")).entries.len(), 0);
    let text = show(&bundle, &filter("partner", "disclosure")).to_string();
    assert!(
        text.contains("id=release.scores") && !text.contains("salt"),
        "{text}"
    );
    let text = show(&bundle, &filter("partner", "model.committed")).to_string();
    assert!(text.contains("withheld"), "{text}");
    let late = Filter {
        since: Some(world::START + 70),
        until: Some(world::START + 72),
        ..Filter::default()
    };
    assert!(
        show(&bundle, &late)
            .entries
            .iter()
            .all(|e| e.at == "2026-03-01T00:11:11Z")
    );
}

#[test]
fn a_difference_names_the_first_frame_and_event() {
    use paripassu_audit::diff::{Difference, diff};
    let world = world::World::new();
    let bank = world.bundle();
    let mut partner = bank.clone();
    partner.node = "paripassu/party/partner".into();
    partner.frames = world::frame_lists("partner", &[]);
    assert_eq!(diff(&bank, &partner), []);
    let list = |l: &&mut paripassu_audit::bundle::FrameList| {
        (l.step.as_str(), l.peer.as_str(), l.direction.as_str()) == ("align", "bank", "received")
    };
    partner.frames.iter_mut().find(list).unwrap().digests[1] = "0f".repeat(32);
    partner.logs[2].events.pop();
    let found = diff(&bank, &partner);
    assert!(
        matches!(&found[..], [
            Difference::Event { origin, seq: 15, a: Some(a), b: None },
            Difference::Frame { step, from, to, frame: 2, .. },
        ] if origin == "paripassu/coordinator/coordinator" && a == "run.completed"
            && (step.as_str(), from.as_str(), to.as_str()) == ("align", "bank", "partner")),
        "{found:?}"
    );
}

#[test]
fn one_event_can_be_proven_alone() {
    use paripassu_audit::{
        note::{SignatureType, TlogProof, VerifierKey},
        prove::{check, prove},
    };
    let mut world = world::World::new();
    let bundle = world.bundle();
    let origin = "paripassu/party/partner";
    let event = &bundle.logs[1].events[7];
    let text = prove(&bundle, origin, event.index).unwrap().to_string();
    let signer = world.script("partner").person.signer();
    let key = VerifierKey::of(origin, SignatureType::Note, &signer).unwrap();
    let (envelope, _) = check(&TlogProof::parse(&text).unwrap(), &key).unwrap();
    assert_eq!(envelope, event.envelope);
    let moved = text.replacen(&format!("index {}", event.index), "index 1", 1);
    assert!(check(&TlogProof::parse(&moved).unwrap(), &key).is_err());
    assert!(
        prove(&bundle, origin, 0).is_err(),
        "an event of another job"
    );
}

/// Files that are no bundles.
fn unreadable() -> Vec<(&'static str, String)> {
    let text = world::World::new().bundle().to_text().unwrap();
    vec![
        ("empty", String::new()),
        ("cut-off", text[..text.len() / 2].to_owned()),
        (
            "another-format",
            text.replacen("paripassu-bundle/2", "paripassu-bundle/1", 1),
        ),
        (
            "unknown-member",
            text.replacen("\"job\":", "\"jobs\": 1,\n  \"job\":", 1),
        ),
        (
            "member-twice",
            text.replacen("\"job\":", "\"job\": \"j\",\n  \"job\":", 1),
        ),
        (
            "log-twice",
            text.replacen(
                "paripassu/party/partner\",\n      \"cert",
                "paripassu/party/bank\",\n      \"cert",
                1,
            ),
        ),
        (
            "bad-base64",
            text.replacen("\"signature\": \"", "\"signature\": \"!", 1),
        ),
    ]
}

#[test]
fn what_is_no_bundle_is_not_read() {
    for (name, text) in unreadable() {
        assert!(Bundle::parse(text.as_bytes()).is_err(), "{name}");
    }
}

/// Where the findings of the first check that fails are, as the second verifier writes it, and whether these are
/// all.
fn places(verdict: &Verdict) -> (BTreeSet<String>, bool) {
    let first = verdict
        .findings
        .iter()
        .filter(|finding| finding.check + 9 == verdict.exit_code);
    let place = |place: &Place| match (&place.origin, place.index) {
        (Some(origin), Some(index)) => format!("{origin} #{index}"),
        (Some(origin), None) => origin.clone(),
        _ => "the bundle".to_owned(),
    };
    let mut failed = verdict.checks.iter().filter(|line| line.findings > 0);
    let whole = failed.next().is_none_or(|line| line.findings <= 50);
    (first.map(|finding| place(&finding.place)).collect(), whole)
}

/// Writes the table into files and has the second verifier judge them: the same exit code, and a finding at the
/// same place.
///
/// `PARIPASSU_SPEC_PYTHON` names a Python that has `cryptography`; without it there is nothing to run, which is
/// a failure where `CI` is set.
#[test]
fn the_second_verifier_agrees() {
    let Some(python) = std::env::var_os("PARIPASSU_SPEC_PYTHON") else {
        let lacks = "set PARIPASSU_SPEC_PYTHON to a python3 that has the package `cryptography`";
        assert!(std::env::var_os("CI").is_none(), "{lacks}");
        eprintln!("SKIPPED, the second verifier was not asked: {lacks}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |path: PathBuf, text: &[u8]| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    let mut wanted = Vec::new();
    for case in table::cases() {
        let place = folder.path().join(case.name);
        let text = case.bundle.to_text().unwrap();
        let mut line = vec![write(place.join("job.bundle"), text.as_bytes())];
        if let Some(trust) = trust_text(&case) {
            line.extend([
                "--trust".into(),
                write(place.join("trust.toml"), trust.as_bytes()),
            ]);
        }
        for (name, content) in &case.content {
            line.extend(["--model".into(), write(place.join(name), content)]);
        }
        lines.push(line.join("\t"));
        expected.push(format!("{} {}", case.code, case.name));
        let trust = trust(&case);
        let options = Options {
            trust: trust.as_ref(),
            now: Some(now()),
            files: &case.files,
        };
        wanted.push(places(&verify(&case.bundle, &options)));
    }
    for (name, text) in unreadable() {
        lines.push(write(
            folder.path().join(name).join("job.bundle"),
            text.as_bytes(),
        ));
        expected.push(format!("3 {name}"));
    }
    let witnesses = "authority = \"ca.crt\"\n[witnesses]\nmembers = false\n";
    lines.push(format!(
        "{}\t--trust\t{}",
        write(
            folder.path().join("no-quorum/job.bundle"),
            world::World::new().bundle().to_text().unwrap().as_bytes()
        ),
        write(
            folder.path().join("no-quorum/trust.toml"),
            witnesses.as_bytes()
        )
    ));
    expected.push("3 no-quorum".to_owned());
    let list = write(folder.path().join("list"), lines.join("\n").as_bytes());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/spec/verify.py");
    let output = Command::new(python)
        .arg(script)
        .args(["--many", &list])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let codes: Vec<_> = said.lines().collect();
    assert_eq!(codes.len(), expected.len(), "{said}\n{complaint}");
    let differ: Vec<_> = expected
        .iter()
        .zip(&codes)
        .filter(|(expected, got)| expected.split(' ').next() != got.split('\t').next())
        .map(|(expected, got)| format!("expected {expected}, got {got}"))
        .collect();
    assert!(differ.is_empty(), "{}\n{complaint}", differ.join("\n"));
    // both name the same events and logs
    let elsewhere: Vec<_> = wanted
        .iter()
        .zip(expected.iter().zip(&codes))
        .filter_map(|(wanted, (name, said))| {
            let named = said.split('\t').nth(2).unwrap_or_default();
            let named = named.split('|').filter(|place| !place.is_empty());
            let named: BTreeSet<String> = named.map(str::to_owned).collect();
            // of very many findings the first verifier keeps fifty
            let (wanted, whole) = wanted;
            let same = wanted.is_subset(&named) && (!whole || *wanted == named);
            (!same).then(|| format!("{name}: {wanted:?}, the second says {named:?}"))
        })
        .collect();
    assert!(elsewhere.is_empty(), "{}", elsewhere.join("\n"));
}
