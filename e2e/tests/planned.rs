//! What a job was planned to cost beside what it cost, on four jobs of different kinds, every node a process: rounds
//! exactly, bytes and memory within a margin, at every party. Times are shown and never asserted.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Said, example, paripassu};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sandbox(job: &Path, data: &str, parties: &[&str], out: &Path) -> Said {
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for party in parties {
        let file = example(data).join(format!("{party}.csv"));
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    command.arg("--out").arg(out).output().unwrap().into()
}

/// Checks every stage and the memory of a party, and prints all of it.
fn is_as_planned(party: &str, planned: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let stages = planned["stages"].as_array().unwrap();
    assert!(!stages.is_empty(), "{planned:#}");
    for stage in stages {
        let (rounds, bytes) = (&stage["rounds"], &stage["bytes"]);
        assert_eq!(rounds["for_this_run"], rounds["counted"], "{party} {stage}");
        let [want, got] = ["for_this_run", "counted"].map(|key| number(&bytes[key]) as f64);
        assert!((got / want - 1.0).abs() <= 0.1, "{party} {stage}");
        println!(
            "{party} {}: {} rounds; {want} bytes planned, {got} counted; {:.2} s expected, {:.2} s taken",
            stage["stage"], rounds["counted"], stage["seconds_planned"], stage["seconds"]
        );
    }
    if let Some(memory) = planned["memory"].as_object() {
        let [want, got] = ["for_this_run", "counted"].map(|key| number(&memory[key]) as f64);
        println!("{party}: {want} bytes of memory planned, {got} at its peak");
        assert!((want / got - 1.0).abs() <= 0.25, "{party} {memory:?}");
    }
}

/// A job file beside the examples, changed.
fn changed(name: &str, dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let path = dir.join("job.toml");
    fs::write(&path, change(fs::read_to_string(example(name)).unwrap())).unwrap();
    path
}

fn reports(out: &Path, parties: &[&str]) {
    for party in parties {
        let report = json(&out.join(party).join("report.json"));
        is_as_planned(party, &report["planned"]);
        let page = fs::read_to_string(out.join(party).join("report.html")).unwrap();
        assert!(page.contains("Planned and counted"), "{party}");
        assert!(out.join(party).join("tables/planned.csv").is_file());
    }
}

#[test]
fn a_vertical_logistic_job_costs_what_its_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let (out, parties) = (dir.path().join("out"), ["bank", "partner"]);
    let job = example("german_credit.toml");
    let said = sandbox(&job, "data/german_credit", &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    reports(&out, &parties);
    // the same at the command line
    let id = said.json()["job"].as_str().unwrap().to_owned();
    let shown = paripassu()
        .args(["job", "report", &id, "--out"])
        .arg(out.join("bank"))
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("rounds planned") && shown.contains("peak memory"),
        "{shown}"
    );
}

#[test]
fn a_vertical_network_costs_what_its_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let (out, parties) = (dir.path().join("out"), ["bank", "partner"]);
    let job = changed("lending_club_network.toml", dir.path(), |text| {
        text.replacen("epochs = 20", "epochs = 1", 1)
    });
    let said = sandbox(&job, "data/lending_club", &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    reports(&out, &parties);
}

#[test]
fn a_horizontal_job_costs_what_its_plan_says() {
    let dir = tempfile::tempdir().unwrap();
    let parties = ["north", "east", "south", "west", "isle"];
    let out = dir.path().join("out");
    let job = example("five_banks.toml");
    let said = sandbox(&job, "data/lending_club_banks", &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    reports(&out, &parties);
}

#[test]
fn a_job_of_matching_alone_costs_what_its_plan_says() {
    for (method, of) in [("curve", "all"), ("vole", "all"), ("vole", "any")] {
        let dir = tempfile::tempdir().unwrap();
        let (out, job) = (dir.path().join("out"), dir.path().join("job.toml"));
        let parties = ["bank", "partner"];
        let text = format!(
            "name = \"overlap\"\npurpose = \"overlap_check\"\nlegal_basis = \"contract\"\n\
             [[party]]\nid = \"bank\"\nrole = \"member\"\ndataset = \"a\"\n\
             [[party]]\nid = \"partner\"\nrole = \"member\"\ndataset = \"b\"\n\
             [helper]\nid = \"coordinator\"\n[overlap]\nof = \"{of}\"\n[align]\nmethod = \"{method}\"\n"
        );
        fs::write(&job, text).unwrap();
        let said = sandbox(&job, "data/lending_club", &parties, &out);
        assert_eq!(said.code, 0, "{said:?}");
        for party in parties {
            let found = json(&out.join(party).join("overlap.json"));
            is_as_planned(party, &found["planned"]);
        }
        let id = said.json()["job"].as_str().unwrap().to_owned();
        let shown = paripassu()
            .args(["job", "report", &id, "--out"])
            .arg(out.join("bank"))
            .output()
            .unwrap();
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(
            shown.contains("common") && shown.contains("rounds planned"),
            "{shown}"
        );
    }
}
