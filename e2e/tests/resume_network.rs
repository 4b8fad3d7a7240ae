//! Networks on columns of two parties whose nodes are killed in training: another job goes on after the last epoch that both hold,
//! with every node a process.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{both_verify, example, number, rig::Rig, wait_for};
use serde_json::Value;

const PARTIES: [&str; 2] = ["bank", "partner"];
const EPOCHS: u64 = 8;

/// Bank and partner on the lending club's columns, each with its own file, and a coordinator that comes back at its address.
fn rig(dir: &Path) -> Rig {
    let mut rig = Rig::new();
    let hub = fs::read_to_string(rig.path("hub.toml")).unwrap();
    rig.write("hub.toml", &hub.replace("127.0.0.1:0", rig.address()));
    for (party, columns) in [
        (
            "bank",
            "label = \"y\"\nnumeric = [\"funded_amnt\", \"annual_inc\"]\ncategorical = [\"term\", \"verification_status\"]\n",
        ),
        (
            "partner",
            "numeric = [\"inq_last_6mths\", \"revol_util\", \"open_il_12m\", \"all_util\", \"inq_last_12m\"]\n",
        ),
    ] {
        let name = format!("{party}.csv");
        let file = dir.join(&name);
        fs::copy(example("data/lending_club").join(&name), &file).unwrap();
        rig.party(party, &file, &format!("id = \"id\"\n{columns}"));
    }
    rig
}

fn job() -> String {
    let party = |id: &str, role: &str| {
        format!(
            "[[party]]\nid = \"{id}\"\nrole = \"{role}\"\ndataset = \"table\"\ncolumns = \"all\"\n"
        )
    };
    format!(
        "name = \"network\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{}{}[helper]\nid = \"hub\"\n\
         [outputs]\nscores = {{ to = \"bank\" }}\nmetrics_to = [\"bank\", \"partner\"]\n\
         [model]\nkind = \"mlp\"\nl2 = 0.5\n\
         [network]\nhidden = [8]\nepochs = {EPOCHS}\nbatch = 256\nrate = 0.05\nseed = 3\n\
         [limits]\nmessage_deadline_s = 20\n",
        party("bank", "label"),
        party("partner", "features")
    )
}

fn approved(rig: &Rig, job: &str) {
    PARTIES.iter().for_each(|party| rig.approve(party, job));
}

fn kept(rig: &Rig, party: &str, job: &str) -> PathBuf {
    rig.path(&format!("{party}/state/checkpoints/{job}"))
}

/// The last epoch whose state a party holds.
fn epoch(rig: &Rig, party: &str, job: &str) -> u64 {
    let Ok(entries) = fs::read_dir(kept(rig, party, job)) else {
        return 0;
    };
    let names = entries
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok());
    let numbers = names.filter_map(|name| name.strip_suffix(".epoch")?.parse().ok());
    numbers.max().unwrap_or(0)
}

fn is_aborted(rig: &Rig, job: &str) -> bool {
    let said = rig.job("modeler", &["status", job, "--json"]);
    said.code == 0 && said.json()["state"] == "aborted"
}

/// Runs a job until both hold some epochs, kills a node, waits for the end and starts the node again.
fn killed(rig: &mut Rig, role: &str, epochs: u64) -> String {
    let job = rig.submit(&job());
    approved(rig, &job);
    wait_for("some epochs", Duration::from_secs(120), || {
        PARTIES
            .iter()
            .all(|party| epoch(rig, party, &job) >= epochs)
    });
    rig.kill(role);
    match role {
        "hub" => rig.start("coordinator", "hub", &rig.path("hub.toml")),
        _ => {
            wait_for("the end", Duration::from_secs(90), || is_aborted(rig, &job));
            rig.start("party", role, &rig.path(&format!("{role}.toml")));
        }
    }
    wait_for("the end", Duration::from_secs(90), || is_aborted(rig, &job));
    for party in PARTIES {
        assert!(!rig.path(&format!("{party}/results/{job}")).exists());
        let last = epoch(rig, party, &job);
        assert!((epochs..EPOCHS).contains(&last), "{party}: {last}");
    }
    job
}

/// Proposes a job that goes on with an aborted one, once the nodes know that it was.
fn proposed(rig: &Rig, job: &str) -> String {
    let mut new = String::new();
    wait_for("a job that goes on", Duration::from_secs(60), || {
        let said = rig.job("modeler", &["resume", job]);
        assert_eq!(said.code, 0, "{said:?}");
        new = said.out.trim().to_owned();
        std::thread::park_timeout(Duration::from_millis(500));
        let status = rig.job("modeler", &["status", &new, "--json"]).json();
        status["state"] == "proposed"
    });
    approved(rig, &new);
    new
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn watched(rig: &Rig, job: &str) -> Value {
    let said = rig.job("modeler", &["watch", job, "--json", "--timeout", "240"]);
    let logs = || format!("{}\n{}", rig.log("bank"), rig.log("partner"));
    assert_eq!(said.code, 0, "{said:?}\n{}", logs());
    for party in PARTIES {
        let last = rig.path(&format!("{party}/results/{job}/model.json"));
        wait_for("the results", Duration::from_secs(10), || last.exists());
        wait_for("an empty folder", Duration::from_secs(10), || {
            !kept(rig, party, job).exists()
        });
    }
    json(&rig.path(&format!("bank/results/{job}/metrics.json")))
}

#[test]
fn a_network_whose_node_is_killed_goes_on_after_its_last_epoch_and_is_as_good() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig(dir.path());
    let whole = rig.submit(&job());
    approved(&rig, &whole);
    let want = watched(&rig, &whole);
    assert_eq!(want.get("resumed"), None);

    for role in ["partner", "hub"] {
        let aborted = killed(&mut rig, role, 2);
        if role == "partner" {
            // the same customers with another value: refused by its owner
            let file = dir.path().join("partner.csv");
            let good = fs::read_to_string(&file).unwrap();
            let (head, rest) = good.split_once('\n').unwrap();
            let changed = |(at, line): (usize, &str)| {
                let mut cells: Vec<&str> = line.split(',').collect();
                cells[3] = if at < 100 { "50" } else { cells[3] };
                cells.join(",") + "\n"
            };
            let changed: String = rest.lines().enumerate().map(changed).collect();
            fs::write(&file, format!("{head}\n{changed}")).unwrap();
            let new = proposed(&rig, &aborted);
            let said = rig.job("modeler", &["watch", &new, "--timeout", "240"]);
            said.refuses(3, &["partner", "align.resume"]);
            let log = rig.log("partner");
            assert!(log.contains("is another than when job"), "{log}");
            fs::write(&file, good).unwrap();
        }
        let new = proposed(&rig, &aborted);
        let got = watched(&rig, &new);
        assert_eq!(got["resumed"]["job"], aborted.as_str());
        let after = number(&got, "resumed.after_epoch");
        assert!((2.0..EPOCHS as f64).contains(&after), "{after}");
        // the same rows, batches and steps: what differs is rounding
        let auc = |metrics: &Value| number(metrics, "joint.auc");
        assert!((auc(&want) - auc(&got)).abs() < 1e-3, "{want:#}\n{got:#}");
        for party in PARTIES {
            let folder = rig.path(&format!("{party}/results/{new}"));
            let report = fs::read_to_string(folder.join("report.html")).unwrap();
            let said = format!("Training went on after epoch {after} of job {aborted}");
            assert!(report.contains(&said), "{said}");
            let all = format!("{EPOCHS} of at most {EPOCHS}");
            assert!(report.contains(&all), "{all}");
            // what it had to cost, with the epochs that were left
            let report = json(&folder.join("report.json"));
            let stages = report["planned"]["stages"].as_array().unwrap().iter();
            let train = stages.clone().find(|s| s["stage"] == "train").unwrap();
            let rounds = &train["rounds"];
            assert_eq!(rounds["for_this_run"], rounds["counted"], "{party} {train}");
            assert!(!kept(&rig, party, &aborted).exists());
            both_verify(&rig.path(&format!("{party}/state/bundles/{new}.bundle")));
        }
        let shown = rig.job("modeler", &["show", &new, "--json"]);
        assert!(shown.out.contains("train.held") && shown.out.contains(&aborted));
    }
}
