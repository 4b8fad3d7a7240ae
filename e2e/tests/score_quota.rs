//! A partner that gives a bank so many scores and no more, over all jobs and a restart of its node.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::{Said, files_below, holds, paripassu, rig::Rig, wait_for};

const POLICY: &str = r#"
[policy]
owner = "partner"
version = 1
expires = "2099-06-30"
signers_required = 1

[[person]]
name = "owner-1"
roles = ["data_owner"]
key = "KEY"

[quota]
scores_per_counterpart = 800

[purposes.test]
legal_basis = ["test"]
parties = ["bank"]
helpers = ["hub"]
columns = { table = ["age_in_years"] }
outputs = { "relay.traffic" = ["relay"], "align.*" = ["parties", "helper", "relay"], "design.width" = ["parties", "helper", "relay"], "train.*" = ["parties", "helper", "relay"], "release.coefficients.*" = ["owner"], "release.scores" = ["bank"], "release.metrics" = ["parties"] }
"#;

fn spec(scores: &str) -> String {
    format!(
        "name = \"test\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"label\"\ndataset = \"table\"\ncolumns = \"all\"\n\
         [[party]]\nid = \"partner\"\nrole = \"features\"\ndataset = \"table\"\n\
         columns = {{ numeric = [\"age_in_years\"] }}\n\
         [helper]\nid = \"hub\"\n[outputs]\nscores = {{ to = \"bank\"{scores} }}\nmetrics_to = [\"bank\"]\n"
    )
}

/// A partner under its policy, and a bank without one.
fn consortium() -> (Rig, PathBuf) {
    let mut rig = Rig::new();
    let csv = |name: &str| -> PathBuf {
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/data/german_credit/"
        );
        format!("{data}{name}.csv").into()
    };
    rig.enrol("party/partner");
    let config = rig.party_config(
        "partner",
        &csv("partner"),
        "id = \"id\"\nnumeric = [\"age_in_years\"]\n",
    );
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("policy = \"policy.toml\"\n{text}")).unwrap();
    let policy = |args: &[&str]| -> Said {
        let said = paripassu().arg("policy").args(args).output().unwrap();
        said.into()
    };
    let key = rig.path("owner-1.key").display().to_string();
    let said = policy(&["key", "--out", &key, "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let public = said.json()["key"].as_str().unwrap().to_owned();
    let file = rig.write("policy.toml", &POLICY.replace("KEY", &public));
    let file = file.display().to_string();
    let said = policy(&["sign", &file, "--key", &key, "--name", "owner-1"]);
    assert_eq!(said.code, 0, "{said:?}");
    rig.start("party", "partner", &config);
    rig.party(
        "bank",
        &csv("bank"),
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n",
    );
    (rig, config)
}

/// The state of a job that the partner's node has judged, with the reason.
fn judged(rig: &Rig, job: &str) -> serde_json::Value {
    let mut told = serde_json::Value::Null;
    wait_for("a word of the partner", Duration::from_secs(30), || {
        told = rig.job("modeler", &["status", job, "--json"]).json();
        told["state"] == "rejected" || rig.log("partner").contains(job)
    });
    told
}

fn rejected(rig: &Rig, spec: &str, parts: &[&str]) {
    let job = rig.submit(spec);
    let mut told = serde_json::Value::Null;
    wait_for("the refusal", Duration::from_secs(30), || {
        told = rig.job("modeler", &["status", &job, "--json"]).json();
        told["state"] == "rejected"
    });
    let told = told.to_string();
    for part in parts {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn scores_are_counted_over_jobs_and_restarts_and_one_too_many_is_denied() {
    let (mut rig, config) = consortium();
    let rule = "rule `scores_per_counterpart`";
    // who does not say how many may open any number
    rejected(&rig, &spec(""), &["policy of `partner`", rule]);
    rejected(
        &rig,
        &spec(", max_rows = 801"),
        &[rule, "801 of at most 800"],
    );
    let mut opened = 0;
    for _ in 0..2 {
        let job = rig.submit(&spec(", max_rows = 400"));
        for party in ["bank", "partner"] {
            rig.approve(party, &job);
        }
        let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
        assert_eq!(said.code, 0, "{said:?}");
        let scores = rig.path(&format!("bank/results/{job}/predictions.csv"));
        let scores = fs::read_to_string(scores).unwrap().lines().count() - 1;
        assert!((200..400).contains(&scores), "{scores}");
        opened += scores;
    }
    let left = 800 - opened;
    // in the node's own database, not in its memory
    rig.stop("partner");
    rig.start("party", "partner", &config);
    let over = format!(", max_rows = {}", left + 1);
    let told = format!("{} of at most {left}", left + 1);
    rejected(&rig, &spec(&over), &["policy of `partner`", rule, &told]);
    let denied = files_below(&rig.path("partner/state/transcript"));
    assert!(
        denied
            .iter()
            .any(|(_, bytes)| holds(bytes, b"\"subject\":\"scores_per_counterpart\"")),
        "the refusal is not in the transcript"
    );
    // more customers held out than the contract allows to be scored: ended before a score is opened, and none counts
    let job = rig.submit(&spec(", max_rows = 100"));
    for party in ["bank", "partner"] {
        rig.approve(party, &job);
    }
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.out.contains("outputs.scores.max_rows"), "{said:?}");
    // exactly what is left is allowed still
    let job = rig.submit(&spec(&format!(", max_rows = {left}")));
    let told = judged(&rig, &job);
    assert_eq!(told["state"], "proposed", "{told:#}");
}
