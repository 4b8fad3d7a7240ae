//! Horizontal jobs whose nodes are killed: the job ends by name, and another goes on where it was, with every node a
//! process.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{example, number, rig::Rig, wait_for};
use serde_json::Value;

const BANKS: [&str; 5] = ["north", "east", "south", "west", "isle"];

const COLUMNS: &str = "id = \"id\"\nlabel = \"y\"\n\
    numeric = [\"funded_amnt\", \"annual_inc\", \"inq_last_6mths\", \"revol_util\", \"all_util\", \"inq_last_12m\"]\n\
    categorical = [\"term\", \"verification_status\"]\n";

/// A coordinator that comes back at its address, and five banks.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let hub = fs::read_to_string(rig.path("hub.toml")).unwrap();
    rig.write("hub.toml", &hub.replace("127.0.0.1:0", rig.address()));
    for bank in BANKS {
        let file = example("data/lending_club_banks").join(format!("{bank}.csv"));
        rig.party(bank, &file, COLUMNS);
    }
    rig
}

/// An example's job, for the nodes of the rig.
fn job(example_name: &str) -> String {
    let text = fs::read_to_string(example(example_name)).unwrap();
    let text = text
        .replace("id = \"coordinator\"", "id = \"hub\"")
        .replace("dataset = \"loans\"", "dataset = \"table\"");
    format!("{text}\n[limits]\nmessage_deadline_s = 16\n")
}

fn approve(rig: &Rig, job: &str) {
    for bank in BANKS {
        rig.approve(bank, job);
    }
}

fn watched(rig: &Rig, job: &str) {
    let said = rig.job("modeler", &["watch", job, "--json", "--timeout", "120"]);
    assert_eq!(said.code, 0, "{said:?}");
    let last = rig.path(&format!("isle/results/{job}/model.json"));
    wait_for("the results", Duration::from_secs(10), || last.exists());
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn checkpoints(rig: &Rig, bank: &str, job: &str) -> PathBuf {
    rig.path(&format!("{bank}/state/checkpoints/{job}"))
}

/// The latest round that a bank has kept.
fn round(rig: &Rig, bank: &str, job: &str) -> u32 {
    let Ok(entries) = fs::read_dir(checkpoints(rig, bank, job)) else {
        return 0;
    };
    let round = |name: String| name.strip_suffix(".state")?.parse().ok();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter_map(round).max().unwrap_or(0)
}

/// Runs a job until every bank has kept so many rounds, kills a node, waits for the end and starts the node again.
fn killed(rig: &mut Rig, spec: &str, role: &str, rounds: u32) -> String {
    // all five must be there: else the job would go on without the one that is killed
    let spec = spec.replace("threshold = 4", "threshold = 5");
    let job = rig.submit(&spec);
    approve(rig, &job);
    wait_for("some rounds", Duration::from_secs(60), || {
        BANKS.iter().all(|bank| round(rig, bank, &job) >= rounds)
    });
    rig.kill(role);
    match role {
        "hub" => rig.start("coordinator", "hub", &rig.path("hub.toml")),
        _ => {
            let mut state = String::new();
            wait_for("the end of the job", Duration::from_secs(60), || {
                let said = rig.job("modeler", &["status", &job, "--json"]);
                assert_eq!(said.code, 0, "{said:?}");
                state = said.json()["state"].as_str().unwrap().to_owned();
                state == "aborted"
            });
            rig.start("party", role, &rig.path(&format!("{role}.toml")));
        }
    }
    let mut told = Value::Null;
    wait_for("the end of the job", Duration::from_secs(60), || {
        let said = rig.job("modeler", &["status", &job, "--json"]);
        if said.code != 0 {
            return false;
        }
        told = said.json();
        told["state"] == "aborted"
    });
    assert_eq!(told["abort"]["culprit"], role, "{told:#}");
    // nothing of it is released
    for bank in BANKS {
        assert!(!rig.path(&format!("{bank}/results/{job}")).exists());
    }
    job
}

/// Goes on with an aborted job; the new one's id.
fn resumed(rig: &Rig, job: &str) -> String {
    // a node that is just back may not have heard yet how the job ended, and rejects
    let mut new = String::new();
    wait_for("a job that goes on", Duration::from_secs(60), || {
        let said = rig.job("modeler", &["resume", job]);
        assert_eq!(said.code, 0, "{said:?}");
        new = said.out.trim().to_owned();
        std::thread::park_timeout(Duration::from_millis(500));
        let status = rig.job("modeler", &["status", &new, "--json"]).json();
        status["state"] == "proposed"
    });
    approve(rig, &new);
    watched(rig, &new);
    for bank in BANKS {
        wait_for("an empty state folder", Duration::from_secs(10), || {
            !checkpoints(rig, bank, &new).exists() && !checkpoints(rig, bank, job).exists()
        });
    }
    new
}

#[test]
fn a_fit_whose_bank_or_adder_is_killed_goes_on_and_is_the_same_model() {
    let mut rig = rig();
    // from 0 and to the last digit: more points, and time to kill somebody between two of them
    let spec = job("five_banks.toml")
        .replace("start = \"own-models\"", "start = \"zero\"")
        .replace(
            "[outputs]",
            "[solver]\ntolerance = 1e-7\nmax_passes = 40\n\n[outputs]",
        );
    let whole = rig.submit(&spec);
    approve(&rig, &whole);
    watched(&rig, &whole);
    let of = |rig: &Rig, job: &str, bank: &str| {
        json(&rig.path(&format!("{bank}/results/{job}/model.json")))
    };
    for role in ["isle", "hub"] {
        let aborted = killed(&mut rig, &spec, role, 2);
        let new = resumed(&rig, &aborted);
        for bank in BANKS {
            let (want, got) = (of(&rig, &whole, bank), of(&rig, &new, bank));
            assert_eq!(want["intercept"], got["intercept"], "{role}, {bank}");
            assert_eq!(
                want["columns"], got["columns"],
                "{role}, {bank}: to the last bit"
            );
            let metrics = json(&rig.path(&format!("{bank}/results/{new}/metrics.json")));
            assert_eq!(metrics["resumed"]["job"], aborted.as_str());
            let after = number(&metrics, "resumed.after_round");
            assert!((2.0..20.0).contains(&after), "{metrics:#}");
            let report = rig.path(&format!("{bank}/results/{new}/report.html"));
            let report = fs::read_to_string(report).unwrap();
            assert!(report.contains(&format!("of job {aborted}")));
        }
        // a job that ended well, or one of other columns, is not gone on with
        let said = rig.job("modeler", &["resume", &new]);
        said.refuses(1, &["only an aborted job"]);
    }
    let other = spec.replace("l2 = 1.0", "l2 = 2.0").replace(
        "min_rows = 200",
        &format!("min_rows = 200\nresume = \"{whole}\""),
    );
    let job = rig.submit(&other);
    let mut told = Value::Null;
    wait_for("a rejection", Duration::from_secs(20), || {
        told = rig.job("modeler", &["show", &job, "--json"]).json();
        told["state"] == "rejected"
    });
    assert!(told.to_string().contains("only an aborted one"), "{told:#}");
}

#[test]
fn what_a_killed_job_spent_of_privacy_stays_spent() {
    let mut rig = rig();
    let aborted = killed(&mut rig, &job("five_banks_private.toml"), "east", 3);
    let new = resumed(&rig, &aborted);
    for bank in BANKS {
        let folder = rig.path(&format!("{bank}/results/{new}"));
        let statement = json(&folder.join("privacy.json"));
        let (one, all) = (
            number(&statement, "epsilon"),
            number(&statement, "epsilon_all_jobs_on_this_data_set"),
        );
        assert!(
            all > 1.2 * one && all < 2.0 * one + 0.1,
            "{bank}: {one} and {all}"
        );
        let metrics = json(&folder.join("metrics.json"));
        assert!(
            number(&metrics, "resumed.after_round") >= 3.0,
            "{metrics:#}"
        );
    }
}
