//! A bank with a signed policy and people with keys of their own: three real processes.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::{Said, paripassu, rig::Rig, wait_for};
use serde_json::Value;

const POLICY: &str = r#"
[policy]
owner = "bank"
version = 1
expires = "2099-06-30"

PEOPLE
[quota]
jobs_per_day = 9
min_set_change = 50

[purposes.test]
legal_basis = ["test"]
parties = ["partner"]
helpers = ["hub"]
kinds = ["vertical", "overlap"]
columns = { table = ["duration_in_month"] }
outputs = { "relay.traffic" = ["relay"], "align.*" = ["parties", "helper", "relay"], "design.width" = ["parties", "helper", "relay"], "train.*" = ["parties", "helper", "relay"], "release.coefficients.*" = ["owner"], "release.scores" = ["bank"], "release.metrics" = ["parties"] }
approval = { roles = ["data_owner", "compliance"], ttl_hours = 72 }
"#;

fn spec(columns: &str) -> String {
    format!(
        "name = \"test\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"label\"\ndataset = \"table\"\ncolumns = {columns}\n\
         [[party]]\nid = \"partner\"\nrole = \"features\"\ndataset = \"table\"\ncolumns = \"all\"\n\
         [helper]\nid = \"hub\"\n[outputs]\nscores = {{ to = \"bank\" }}\nmetrics_to = [\"bank\"]\n"
    )
}

const LISTED: &str = "{ numeric = [\"duration_in_month\"] }";

struct People {
    rig: Rig,
    config: PathBuf,
}

fn policy(args: &[&str]) -> Said {
    paripassu()
        .arg("policy")
        .args(args)
        .output()
        .unwrap()
        .into()
}

impl People {
    /// A consortium whose bank has a policy that its two people have signed.
    fn new() -> Self {
        let rig = Rig::new();
        let csv = |name: &str| -> PathBuf {
            let data = concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../examples/data/german_credit/"
            );
            format!("{data}{name}.csv").into()
        };
        rig.enrol("party/bank");
        let columns =
            "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n";
        let config = rig.party_config("bank", &csv("bank"), columns);
        let text = fs::read_to_string(&config).unwrap();
        fs::write(&config, format!("policy = \"policy.toml\"\n{text}")).unwrap();
        let mut people = String::new();
        for (name, role) in [("owner-1", "data_owner"), ("compliance-1", "compliance")] {
            let key = rig.path(&format!("{name}.key"));
            let said = policy(&["key", "--out", key.to_str().unwrap(), "--json"]);
            assert_eq!(said.code, 0, "{said:?}");
            let public = said.json()["key"].as_str().unwrap().to_owned();
            people.push_str(&format!(
                "[[person]]\nname = \"{name}\"\nroles = [\"{role}\"]\nkey = \"{public}\"\n"
            ));
        }
        let file = rig.write("policy.toml", &POLICY.replace("PEOPLE", &people));
        let me = Self { rig, config };
        // a policy that nobody signed is not taken
        let said: Said = paripassu()
            .args(["party", "serve", "--config"])
            .arg(&me.config)
            .output()
            .unwrap()
            .into();
        said.refuses(1, &["policy.toml", "0 of 2", "policy sign"]);
        me.sign_policy(&file, "owner-1");
        let linted = policy(&["lint", file.to_str().unwrap()]);
        assert!(linted.out.contains("1 of 2"), "{linted:?}");
        me.sign_policy(&file, "compliance-1");
        let mut me = me;
        let config = me.config.clone();
        me.rig.start("party", "bank", &config);
        let partner = me.rig.path("partner.csv");
        fs::copy(csv("partner"), &partner).unwrap();
        me.rig.party(
            "partner",
            &partner,
            "id = \"id\"\nnumeric = [\"age_in_years\"]\n",
        );
        me
    }

    fn sign_policy(&self, file: &std::path::Path, name: &str) {
        let key = self.rig.path(&format!("{name}.key"));
        let key = key.to_str().unwrap();
        let said = policy(&["sign", file.to_str().unwrap(), "--key", key, "--name", name]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// A person's signature on a job; its file.
    fn sign(&self, job: &str, name: &str, role: &str, more: &[&str]) -> String {
        self.sign_with(name, job, name, role, more)
    }

    /// The same with the key of `owner`.
    fn sign_with(&self, owner: &str, job: &str, name: &str, role: &str, more: &[&str]) -> String {
        let key = self.rig.path(&format!("{owner}.key"));
        let key = key.display().to_string();
        let out = self
            .rig
            .path(&format!("{name}-{role}.consent"))
            .display()
            .to_string();
        let digest = self.rig.digest("modeler", job);
        let base = [
            "sign",
            job,
            "--contract",
            &digest,
            "--party",
            "bank",
            "--key",
            &key,
            "--name",
            name,
            "--role",
            role,
            "--out",
            &out,
        ];
        // anybody may read the contract; nothing is sent
        let said = self.rig.job("modeler", &[&base[..], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        out
    }

    fn approve(&self, job: &str, signed: &[&str]) -> Said {
        let digest = self.rig.digest("bank", job);
        let mut args = vec!["approve", job, "--contract", &digest];
        for file in signed {
            args.extend(["--signed", file]);
        }
        self.rig.job("bank", &args)
    }

    /// Every event of an ended job in a party's exported bundle, with its body, of all logs.
    fn events(&self, party: &str, job: &str) -> Vec<(String, String, Value)> {
        let bundle = self
            .rig
            .path(&format!("{party}/state/bundles/{job}.bundle"));
        wait_for("the bundle", Duration::from_secs(30), || bundle.exists());
        self.events_so_far(party, job).unwrap()
    }

    /// The same of a job that has not ended; none while no head covers any event of it.
    fn events_so_far(&self, party: &str, job: &str) -> Option<Vec<(String, String, Value)>> {
        let out = self.rig.path("out.bundle").display().to_string();
        let _ = fs::remove_file(&out);
        let state = self
            .rig
            .path(&format!("{party}/state"))
            .display()
            .to_string();
        let said: Said = paripassu()
            .args([
                "audit", "export", "--job", job, "--state", &state, "--out", &out,
            ])
            .output()
            .unwrap()
            .into();
        if said.code != 0 {
            said.refuses(3, &["has never seen the job's contract"]);
            return None;
        }
        let bundle: Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
        let mut found = Vec::new();
        for log in bundle["logs"].as_array().unwrap() {
            let node = log["origin"].as_str().unwrap().rsplit('/').next().unwrap();
            for event in log["events"].as_array().unwrap() {
                let parse = |v: &Value| serde_json::from_str(v.as_str().unwrap_or("null")).unwrap();
                let envelope: Value = parse(&event["envelope"]);
                let name = envelope["event"].as_str().unwrap().to_owned();
                found.push((node.to_owned(), name, parse(&event["body"])));
            }
        }
        Some(found)
    }
}

fn soon(hours: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    paripassu_audit::event::format_time(now + hours * 3_600).unwrap()
}

#[test]
fn two_people_sign_with_their_own_keys_and_nothing_leaves_before() {
    let mut people = People::new();
    let job = people.rig.submit(&spec(LISTED));
    let ends = soon(48);
    let ends = ["--expires", &ends];
    let owner = people.sign(&job, "owner-1", "data_owner", &ends);
    // one person twice, and one key under two names
    let twice = people.sign(&job, "owner-1", "compliance", &ends);
    let said = people.approve(&job, &[&owner, &twice]);
    said.refuses(1, &["the second person is the first"]);
    let twice = people.sign_with("owner-1", &job, "compliance-1", "compliance", &ends);
    let said = people.approve(&job, &[&owner, &twice]);
    said.refuses(1, &["a key of their own"]);
    let compliance = people.sign(&job, "compliance-1", "compliance", &ends);
    // who signs another end than the first
    let later = soon(47);
    let other = people.sign(&job, "compliance-1", "validator", &["--expires", &later]);
    people
        .approve(&job, &[&owner, &other])
        .refuses(1, &["another reason, ticket or end"]);
    // an altered signature file
    let text = fs::read_to_string(&compliance).unwrap();
    let forged = people.rig.write(
        "forged.consent",
        &text.replace("compliance-1", "compliance-2"),
    );
    let forged = forged.to_str().unwrap();
    people
        .approve(&job, &[&owner, forged])
        .refuses(1, &["not by their key"]);
    // one on another contract
    let elsewhere = people.rig.submit(&spec(LISTED));
    let stray = people.sign(&elsewhere, "compliance-1", "compliance", &ends);
    people
        .approve(&job, &[&owner, &stray])
        .refuses(1, &["another contract"]);
    let compliance = people.sign(&job, "compliance-1", "compliance", &ends);

    people.rig.approve("partner", &job);
    // the bank has not approved: however long one waits, nothing has been sent
    let waits = || people.rig.job("modeler", &["status", &job]).out;
    wait_for("the partner's approval", Duration::from_secs(30), || {
        waits().contains("waiting for bank")
    });
    for party in ["bank", "partner"] {
        let events = people.events_so_far(party, &job).unwrap_or_default();
        for (node, event, _) in events {
            let work = ["session.opened", "step.", "disclosure", "data.", "align."];
            assert!(
                !work.iter().any(|w| event.starts_with(w)),
                "{node}: {event}"
            );
        }
    }
    let said = people.approve(&job, &[&owner, &compliance]);
    assert_eq!(said.code, 0, "{said:?}");
    let ended = people
        .rig
        .job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let shown = people.rig.job("modeler", &["show", &job]);
    for word in [
        "owner-1 (data_owner)",
        "compliance-1 (compliance)",
        "verified",
    ] {
        assert!(shown.out.contains(word), "{shown:?}");
    }

    // from the frame log: in every node's log each step with a frame stands behind all approvals
    let events = people.events("bank", &job);
    let mut nodes = 0;
    for node in ["bank", "partner", "hub"] {
        let own: Vec<_> = events.iter().filter(|(n, ..)| n == node).collect();
        let last = own
            .iter()
            .rposition(|(_, event, _)| event == "job.approved")
            .unwrap();
        let approvals = own
            .iter()
            .filter(|(_, event, _)| event == "job.approved")
            .count();
        assert_eq!(approvals, 2, "{node}");
        let mut frames = 0;
        for (at, (_, event, body)) in own.iter().enumerate() {
            if event != "step.finished" && event != "step.started" {
                continue;
            }
            assert!(at > last, "{node}: {event} before the last approval");
            for peer in body["peers"].as_array().into_iter().flatten() {
                frames += peer["sent"]["frames"].as_u64().unwrap();
            }
        }
        assert!(frames > 0, "{node} sent nothing");
        nodes += 1;
    }
    assert_eq!(nodes, 3);
    // a regulator reads and verifies everything, and changes nothing
    people.rig.enrol("regulator/supervisor");
    for args in [&["list"][..], &["show", &job], &["status", &job]] {
        let said = people.rig.job("supervisor", args);
        assert!(said.code == 0 && said.out.contains(&job), "{said:?}");
    }
    let file = people.rig.path("job.toml").display().to_string();
    for args in [
        &["submit", &file][..],
        &["cancel", &elsewhere],
        &["reject", &elsewhere],
        &[
            "approve",
            &elsewhere,
            "--contract",
            &people.rig.digest("bank", &elsewhere),
        ],
    ] {
        people
            .rig
            .job("supervisor", args)
            .refuses(1, &["regulator/supervisor"]);
    }
    let out = people.rig.path("out.bundle").display().to_string();
    let verified: Said = paripassu()
        .args(["audit", "verify", &out, "--json"])
        .output()
        .unwrap()
        .into();
    // a program with the means of tests says so of itself, which is for check 10 to find
    assert!(matches!(verified.code, 0 | 19), "{verified:?}");
    if let Some(python) = std::env::var_os("PARIPASSU_SPEC_PYTHON") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/spec/verify.py");
        let second = std::process::Command::new(python)
            .args([script, &out])
            .output()
            .unwrap();
        assert_eq!(second.status.code(), Some(verified.code), "{second:?}");
    }
    // a policy is not done away with by leaving it out of the configuration
    people.rig.kill("bank");
    let text = fs::read_to_string(&people.config).unwrap();
    fs::write(
        &people.config,
        text.replace("policy = \"policy.toml\"\n", ""),
    )
    .unwrap();
    let said: Said = paripassu()
        .args(["party", "serve", "--config"])
        .arg(&people.config)
        .output()
        .unwrap()
        .into();
    said.refuses(1, &["has taken a policy before"]);
}

#[test]
fn what_the_policy_denies_is_refused_with_its_rule_and_approvals_that_lack_people_begin_nothing() {
    let people = People::new();
    // column creep: rejected by the node itself, naming rule, party and what would satisfy it
    let job = people.rig.submit(&spec("\"all\""));
    let ended = people
        .rig
        .job("modeler", &["watch", &job, "--timeout", "60"]);
    ended.refuses(
        3,
        &["policy of `bank`", "rule `columns`", "leave these out"],
    );
    let denied = people.events("bank", &job);
    let denied = denied
        .iter()
        .find(|(node, event, _)| node == "bank" && event == "denied");
    assert_eq!(denied.unwrap().2["subject"], "columns");

    // approved with the node's key alone, and by one person alone
    for signed in [&[][..], &["owner-1"]] {
        let job = people.rig.submit(&spec(LISTED));
        let ends = soon(48);
        let files: Vec<String> = signed
            .iter()
            .map(|name| people.sign(&job, name, "data_owner", &["--expires", &ends]))
            .collect();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let said = people.approve(&job, &files);
        assert_eq!(said.code, 0, "{said:?}");
        people.rig.approve("partner", &job);
        let ended = people
            .rig
            .job("modeler", &["watch", &job, "--timeout", "60"]);
        ended.refuses(
            3,
            &["policy of `bank`", "rule `approval`", "with their own keys"],
        );
        assert!(!people.rig.path(&format!("bank/results/{job}")).exists());
        let events = people.events("bank", &job);
        let denied = events
            .iter()
            .find(|(node, event, _)| node == "bank" && event == "denied");
        assert_eq!(denied.unwrap().2["subject"], "approval");
        let mut own = events.iter().filter(|(node, ..)| node == "bank");
        assert!(!own.any(|(_, event, _)| event == "step.started"));
    }

    // a rejection is signed as an approval is
    let job = people.rig.submit(&spec(LISTED));
    let file = people.sign(
        &job,
        "compliance-1",
        "compliance",
        &["--reject", "--reason", "no agreement"],
    );
    people
        .approve(&job, &[&file])
        .refuses(1, &["another decision"]);
    let said = people.rig.job("bank", &["reject", &job, "--signed", &file]);
    assert_eq!(said.code, 0, "{said:?}");
    let shown = people.rig.job("modeler", &["show", &job]);
    for word in [
        "rejected",
        "compliance-1 (compliance)",
        "no agreement",
        "verified",
    ] {
        assert!(shown.out.contains(word), "{shown:?}");
    }
    // a second job over all customers but a few tells of these few: it ends before training
    let whole = |people: &People| {
        let job = people.rig.submit(&spec(LISTED));
        let ends = soon(48);
        let ends = ["--expires", &ends];
        let files = [
            people.sign(&job, "owner-1", "data_owner", &ends),
            people.sign(&job, "compliance-1", "compliance", &ends),
        ];
        let said = people.approve(&job, &[&files[0], &files[1]]);
        assert_eq!(said.code, 0, "{said:?}");
        people.rig.approve("partner", &job);
        people
            .rig
            .job("modeler", &["watch", &job, "--timeout", "120"])
    };
    let first = whole(&people);
    assert_eq!(first.code, 0, "{first:?}");
    let again = whole(&people);
    assert_eq!(again.code, 0, "the same customers: {again:?}");
    let partner = people.rig.path("partner.csv");
    let text = fs::read_to_string(&partner).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.truncate(lines.len() - 20);
    fs::write(&partner, lines.join("\n") + "\n").unwrap();
    whole(&people).refuses(3, &["policy of `bank`", "rule `min_set_change`"]);
    fs::write(&partner, &text).unwrap();
    // so does one of matching alone, before a list is kept: its set differs from that of the earlier jobs
    let mut lines: Vec<&str> = text.lines().collect();
    lines.truncate(lines.len() - 30);
    fs::write(&partner, lines.join("\n") + "\n").unwrap();
    let overlap = "name = \"test\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"member\"\ndataset = \"table\"\n\
         [[party]]\nid = \"partner\"\nrole = \"member\"\ndataset = \"table\"\n\
         [helper]\nid = \"hub\"\n[overlap]\nof = \"all\"\n";
    let job = people.rig.submit(overlap);
    let ends = soon(48);
    let ends = ["--expires", &ends];
    let files = [
        people.sign(&job, "owner-1", "data_owner", &ends),
        people.sign(&job, "compliance-1", "compliance", &ends),
    ];
    let said = people.approve(&job, &[&files[0], &files[1]]);
    assert_eq!(said.code, 0, "{said:?}");
    people.rig.approve("partner", &job);
    let ended = people
        .rig
        .job("modeler", &["watch", &job, "--timeout", "120"]);
    ended.refuses(3, &["policy of `bank`", "rule `min_set_change`"]);
    for party in ["bank", "partner"] {
        assert!(!people.rig.path(&format!("{party}/results/{job}")).exists());
    }
    let events = people.events("bank", &job);
    let denied = events
        .iter()
        .find(|(node, event, _)| node == "bank" && event == "denied");
    assert_eq!(denied.unwrap().2["subject"], "min_set_change");
    fs::write(&partner, &text).unwrap();

    // an edit without signatures changes nothing; with them it is in force without a restart
    let file = people.rig.path("policy.toml");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace("legal_basis = [\"test\"]", "legal_basis = [\"other\"]");
    fs::write(&file, changed.replace("version = 1", "version = 2")).unwrap();
    let basis = |wanted: &[&str]| {
        let job = people.rig.submit(&spec(LISTED));
        let shown = || people.rig.job("modeler", &["status", &job]).out;
        if wanted.is_empty() {
            let log = || people.rig.log("bank");
            wait_for("a word on the policy", Duration::from_secs(30), || {
                log().contains("is not taken") && log().contains(&job)
            });
            assert!(shown().contains("waiting for"), "{}", shown());
        } else {
            let ended = people
                .rig
                .job("modeler", &["watch", &job, "--timeout", "60"]);
            ended.refuses(3, wanted);
        }
    };
    basis(&[]);
    for name in ["owner-1", "compliance-1"] {
        people.sign_policy(&file, name);
    }
    basis(&["policy of `bank`", "rule `legal_basis`"]);
}
