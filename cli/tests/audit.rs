//! `paripassu audit` as a person or a script runs it, on a real bundle and on spoilt ones.

#![allow(clippy::unwrap_used)]

#[path = "../../audit/tests/tamper/world/mod.rs"]
#[allow(dead_code, unused_imports)]
mod world;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use world::{Authority, BINARY, JOB, MODEL, World};

/// A folder with a bundle, a trust file and the certificates.
struct Desk {
    folder: tempfile::TempDir,
}

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { folder };
        let world = World::new();
        world.bundle().save(&desk.path("job.bundle")).unwrap();
        desk.write("ca.crt", Authority::new("consortium", 1).pem.as_bytes());
        let binary = paripassu_audit::event::hex(&BINARY);
        let trust = format!("authority = \"ca.crt\"\nbinaries = [\"{binary}\"]\n");
        desk.write("trust.toml", trust.as_bytes());
        desk.write("model.json", MODEL);
        for script in &world.scripts {
            let name = format!("{}.crt", script.person.id);
            desk.write(&name, script.person.pem.as_bytes());
        }
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The bundle with one text exchanged for another.
    fn spoil(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path("job.bundle")).unwrap();
        assert!(text.contains(from), "{from}");
        self.write(name, text.replacen(from, to, 1).as_bytes());
    }

    fn audit(&self, words: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_paripassu"))
            .arg("audit")
            .args(words.split_whitespace())
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn ok(&self, words: &str) -> String {
        let said = self.audit(words);
        assert_eq!(said.code, 0, "{words}\n{}\n{}", said.out, said.err);
        said.out
    }

    fn json(&self, words: &str) -> serde_json::Value {
        serde_json::from_str(&self.ok(&format!("{words} --json"))).unwrap()
    }
}

#[test]
fn verify_says_what_it_proves_and_exits_as_documented() {
    let desk = Desk::new();
    let judged = desk.ok("verify job.bundle --policy trust.toml --model model.json");
    assert!(judged.contains("VERIFIED: every check passed."), "{judged}");
    assert!(!judged.contains("no trust file"), "{judged}");
    let alone = desk.ok("verify job.bundle");
    assert!(alone.contains("CONSISTENT") && !alone.contains("VERIFIED"));
    assert!(
        alone.contains("not that these are the institutions"),
        "{alone}"
    );
    assert_eq!(desk.json("verify job.bundle")["exit_code"], 0);

    desk.spoil(
        "late.bundle",
        "\\\"matched\\\":4700",
        "\\\"matched\\\":4701",
    );
    let said = desk.audit("verify late.bundle --policy trust.toml");
    assert_eq!(said.code, 10, "{}", said.out);
    assert!(
        said.out.contains("align.done") && said.out.contains("NOT VERIFIED"),
        "{}",
        said.out
    );
    desk.write("model.json", b"another");
    let said = desk.audit("verify job.bundle --policy trust.toml --model model.json --json");
    assert_eq!(said.code, 21);
    let verdict: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(verdict["findings"][0]["event"], "model.committed");
}

#[test]
fn what_cannot_be_read_and_wrong_usage_have_their_codes() {
    let desk = Desk::new();
    desk.write("cut.bundle", b"{\"format\":");
    desk.write("bad.toml", b"authority = \"ca.crt\"\nfour_eye = true\n");
    for (words, code, hint) in [
        ("verify none.bundle", 3, "check the path"),
        ("verify cut.bundle", 3, "audit export"),
        ("verify .", 3, "the file itself"),
        (
            "verify job.bundle --policy bad.toml",
            3,
            "did you mean `four_eyes`",
        ),
        ("verify job.bundle --policy none.toml", 3, "none.toml"),
        ("verify job.bundle --vsa x.json", 2, "--policy"),
        ("verify", 2, "BUNDLE"),
        ("show", 2, "--job"),
        (
            "show job.bundle --node nobody",
            2,
            "bank, partner, coordinator",
        ),
        ("show job.bundle --since yesterday", 2, "2026-03-01"),
        ("prove job.bundle bank", 2, "bank#17"),
        ("prove job.bundle bank#4711", 2, "audit show"),
        ("export --job x", 2, "--config party.toml"),
        ("export --job x --state nowhere", 3, "no bundle of job `x`"),
    ] {
        let said = desk.audit(words);
        assert_eq!(said.code, code, "{words}\n{}", said.err);
        assert!(said.err.contains(hint), "{words}\n{}", said.err);
    }
}

#[test]
fn a_page_is_written_also_of_a_bad_bundle() {
    let desk = Desk::new();
    let said = desk.ok("page job.bundle --policy trust.toml --out good.html");
    assert!(said.contains("VERIFIED"), "{said}");
    let html = fs::read_to_string(desk.path("good.html")).unwrap();
    assert!(html.contains("the record is genuine and complete") && html.contains("job.bundle"));
    assert!(
        desk.ok("page job.bundle --out alone.html")
            .contains("CONSISTENT")
    );
    desk.spoil("bad.bundle", "\\\"matched\\\":4700", "\\\"matched\\\":4701");
    let said = desk.audit("page bad.bundle --policy trust.toml --out bad.html");
    assert_eq!(said.code, 10);
    let html = fs::read_to_string(desk.path("bad.html")).unwrap();
    assert!(html.contains("NOT VERIFIED: do not rely on this record"));
}

#[test]
fn show_filters_and_diff_finds() {
    let desk = Desk::new();
    let lines = |words: &str| desk.ok(words).lines().count();
    let all = lines("show job.bundle");
    assert_eq!(lines("show job.bundle --node bank --event disclosure"), 15);
    assert_eq!(
        lines("show job.bundle --step train --event step.finished"),
        6
    );
    assert_eq!(
        lines("show job.bundle --step train/pass-1 --event step.finished"),
        3
    );
    assert!(lines("show job.bundle --until 2026-03-01T00:11:00Z") < all);
    assert!(
        desk.ok("show job.bundle --since 2027-01-01")
            .contains("no event")
    );
    let timeline = desk.json("show job.bundle --event align");
    assert_eq!(timeline["entries"].as_array().unwrap().len(), 2);

    assert!(
        desk.ok("diff job.bundle job.bundle")
            .contains("the same story")
    );
    desk.spoil(
        "other.bundle",
        "\\\"clock\\\":\\\"system\\\"",
        "\\\"clock\\\":\\\"sundial\\\"",
    );
    let said = desk.audit("diff job.bundle other.bundle");
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("paripassu/party/bank") && said.out.contains("1 difference"),
        "{}",
        said.out
    );
}

#[test]
fn one_event_is_proven_to_someone_who_sees_no_other() {
    let desk = Desk::new();
    let said = desk.ok("prove job.bundle bank#18 --out one.tlog-proof");
    assert!(said.contains("--certificate bank.crt"), "{said}");
    let held = desk.ok("check-proof one.tlog-proof --certificate bank.crt");
    assert!(
        held.contains("✓ disclosure") && held.contains("event 18"),
        "{held}"
    );
    let key = desk.json("prove job.bundle 18")["log_key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        desk.json(&format!("check-proof one.tlog-proof --key {key}"))["event"],
        "disclosure"
    );

    for certificate in ["partner.crt", "ca.crt"] {
        let said = desk.audit(&format!(
            "check-proof one.tlog-proof --certificate {certificate}"
        ));
        assert_eq!(said.code, 12, "{}", said.err);
    }
    let proof = fs::read_to_string(desk.path("one.tlog-proof")).unwrap();
    desk.write(
        "moved.tlog-proof",
        proof.replace("index 18", "index 19").as_bytes(),
    );
    assert_eq!(
        desk.audit("check-proof moved.tlog-proof --certificate bank.crt")
            .code,
        12
    );
    assert_eq!(
        desk.audit("check-proof ca.crt --certificate bank.crt").code,
        3
    );
}

#[test]
fn a_summary_is_signed_for_someone_who_sees_no_bundle() {
    use ed25519_dalek::{
        SigningKey,
        pkcs8::{EncodePrivateKey, spki::der::pem::LineEnding},
    };
    let desk = Desk::new();
    let key = SigningKey::from_bytes(&[9; 32]);
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap();
    desk.write("auditor.key", pem.as_bytes());
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(desk.path(name)).unwrap()).unwrap()
    };
    desk.ok("verify job.bundle --policy trust.toml --vsa plain.json");
    let plain = read("plain.json");
    assert_eq!(plain["predicate"]["verificationResult"], "PASSED");
    assert_eq!(plain["subject"][0]["name"], "job.bundle");
    desk.ok("verify job.bundle --policy trust.toml --vsa signed.json --vsa-key auditor.key");
    assert_eq!(
        read("signed.json")["payloadType"],
        "application/vnd.in-toto+json"
    );
    let said = desk.audit("verify job.bundle --policy trust.toml --vsa x.json --vsa-key ca.crt");
    assert_eq!(said.code, 3);
    assert!(said.err.contains("openssl genpkey"), "{}", said.err);
}

#[test]
fn a_node_hands_out_the_bundle_of_a_job() {
    let desk = Desk::new();
    let kept = paripassu_service::transcript::bundle_path(Path::new("state"), JOB);
    let kept = desk.path(kept.to_str().unwrap());
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::copy(desk.path("job.bundle"), &kept).unwrap();
    desk.write("party.toml", b"state = \"state\"\n");
    desk.write("bare.toml", b"identity = \"identity\"\n");
    let said = desk.ok("export --job 0707 --config party.toml");
    assert!(said.contains("audit verify"), "{said}");
    let out = desk.path(&format!("{JOB}.bundle"));
    assert_eq!(fs::read(&out).unwrap(), fs::read(&kept).unwrap());
    let again = desk.audit("export --job 0707 --state state");
    assert_eq!(again.code, 1);
    assert!(again.err.contains("never overwritten"), "{}", again.err);
    assert!(
        desk.audit("export --job 07 --config bare.toml")
            .err
            .contains("names no `state`")
    );
    assert!(
        desk.ok("show --job 0707 --state state --event run")
            .contains("run.completed")
    );
    desk.ok("trust");
}
