//! Networks on columns of two parties whose nodes are killed in training: another job goes on after the last epoch that both hold,
//! with every node a process.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::fs;

use common::{
    both_verify,
    killed::{PARTIES, approved, json, kept, killed, last_point, proposed, rig, watched},
    number,
};
use serde_json::Value;

const EPOCHS: u64 = 8;

fn job() -> String {
    common::killed::job(&format!(
        "[model]\nkind = \"mlp\"\nl2 = 0.5\n\
         [network]\nhidden = [8]\nepochs = {EPOCHS}\nbatch = 256\nrate = 0.05\nseed = 3\n"
    ))
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
        let aborted = killed(&mut rig, role, &job(), 2);
        for party in PARTIES {
            let last = last_point(&rig, party, &aborted);
            assert!((2..EPOCHS).contains(&last), "{party}: {last}");
        }
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
