//! Logistic regressions on columns of two parties whose nodes are killed in training: another job goes on after the last pass that both
//! hold, with every node a process.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    both_verify, example,
    killed::{PARTIES, json, kept, killed, killed_when, last_point, proposed, rig, watched},
    number,
    rig::Rig,
    sandbox,
};
use serde_json::Value;

/// Some of a job's outputs beside the scores, and how it is fitted.
fn job(outputs: &str, solver: &str) -> String {
    let model = format!("[model]\nl2 = 1.0\n[solver]\n{solver}\n");
    common::killed::job(&model).replace("[outputs]\n", &format!("[outputs]\n{outputs}"))
}

/// The same job in one process, which also tells how far it is from the exact pooled fit.
fn whole(dir: &Path, job: &str) -> PathBuf {
    let columns = |id: &str, columns: &str| {
        let all = format!("id = \"{id}\"\nrole");
        (all, format!("columns = {columns}"))
    };
    let mut text = job.to_owned();
    for (party, listed) in [
        columns(
            "bank",
            "{ numeric = [\"funded_amnt\", \"annual_inc\"], categorical = [\"term\", \"verification_status\"] }",
        ),
        columns(
            "partner",
            "{ numeric = [\"inq_last_6mths\", \"revol_util\", \"open_il_12m\", \"all_util\", \"inq_last_12m\"] }",
        ),
    ] {
        let (head, rest) = text.split_once(&party).unwrap();
        let rest = rest.replacen("columns = \"all\"", &listed, 1);
        text = format!("{head}{party}{rest}");
    }
    let (file, out) = (dir.join("whole.toml"), dir.join("whole"));
    fs::write(&file, text).unwrap();
    let data = example("data/lending_club");
    let [bank, partner] = ["bank.csv", "partner.csv"].map(|name| data.join(name));
    let said = sandbox(&file, &bank, &partner, &out, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    let apart = number(&said.json(), "coef_max_abs_diff");
    assert!(apart < 2e-4, "{apart}");
    out
}

/// Numbers of a party's model by column, the intercept first where it has it.
fn numbers(model: &Path, key: &str) -> Vec<f64> {
    let model = json(model);
    let intercept = match key {
        "coef" => model["intercept"].as_f64(),
        _ => model["intercept_se"].as_f64(),
    };
    let columns = model["columns"].as_array().unwrap().iter();
    let own = columns.map(|column| column[key].as_f64().unwrap());
    intercept.into_iter().chain(own).collect()
}

/// What holds of every job that has gone on: its model, report, plan and bundle.
fn is_as_good(rig: &Rig, (aborted, new): (&str, &str), got: &Value, want: &Path, errors: bool) {
    assert_eq!(got["resumed"]["job"], aborted);
    let after = number(got, "resumed.after_pass");
    for party in PARTIES {
        let folder = rig.path(&format!("{party}/results/{new}"));
        let both = |key: &str| {
            let of = |folder: &Path| numbers(&folder.join("model.json"), key);
            let (got, want) = (of(&folder), of(&want.join(party)));
            assert_eq!(got.len(), want.len());
            got.into_iter().zip(want).collect::<Vec<_>>()
        };
        for (got, want) in both("coef") {
            assert!((got - want).abs() < 5e-4, "{party}: {got} {want}");
        }
        if errors {
            for (got, want) in both("se") {
                assert!((got / want - 1.0).abs() < 1e-2, "{party}: {got} {want}");
            }
        }
        let report = fs::read_to_string(folder.join("report.html")).unwrap();
        let said = format!("Training went on after pass {after} of job {aborted}");
        assert!(report.contains(&said), "{said}");
        // what it had to cost, with the passes that were left
        let report = json(&folder.join("report.json"));
        let passes = report["solver"]["passes"].as_f64().unwrap();
        assert!(passes > after, "{passes} {after}");
        let stages = report["planned"]["stages"].as_array().unwrap().iter();
        let train = stages.clone().find(|s| s["stage"] == "train").unwrap();
        for what in ["rounds", "bytes"] {
            let cost = &train[what];
            assert_eq!(cost["for_this_run"], cost["counted"], "{party} {train}");
        }
        assert!(!kept(rig, party, aborted).exists());
        both_verify(&rig.path(&format!("{party}/state/bundles/{new}.bundle")));
    }
    let shown = rig.job("modeler", &["show", new, "--json"]);
    assert!(shown.out.contains("train.held") && shown.out.contains(aborted));
}

#[test]
fn accelerated_steps_whose_node_is_killed_go_on_after_the_last_pass_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig(dir.path());
    let job = job(
        "",
        "method = \"accelerated\"\nstop = \"fixed\"\nmax_passes = 120\nrange = 16",
    );
    let want = whole(dir.path(), &job);
    let aborted = killed(&mut rig, "partner", &job, 12);
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
    fs::write(&file, good).unwrap();

    let new = proposed(&rig, &aborted);
    let got = watched(&rig, &new);
    let after = number(&got, "resumed.after_pass");
    assert!(
        (12.0..120.0).contains(&after) && after % 4.0 == 0.0,
        "{after}"
    );
    is_as_good(&rig, (&aborted, &new), &got, &want, false);
}

#[test]
fn newtons_steps_go_on_after_the_coordinator_is_killed_and_standard_errors_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig(dir.path());
    let job = job(
        "standard_errors = true\n",
        "stop = \"fixed\"\nmax_passes = 40\nrange = 16",
    );
    let want = whole(dir.path(), &job);
    let aborted = killed(&mut rig, "hub", &job, 3);
    let new = proposed(&rig, &aborted);
    let got = watched(&rig, &new);
    let after = number(&got, "resumed.after_pass");
    assert!((3.0..40.0).contains(&after), "{after}");
    is_as_good(&rig, (&aborted, &new), &got, &want, true);
}

#[test]
fn several_fits_begin_anew_with_the_match_taken_over_and_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig(dir.path());
    let job = job("", "tolerance = 1e-5") + "[tuning]\nfolds = 3\nl2 = [0.5, 5.0, 50.0]\n";
    // masked columns come after this
    let aborted = killed_when(&mut rig, "hub", &job, |rig, party, job| {
        let log = rig.log(party);
        let mut lines = log.lines().filter(|line| line.contains(job));
        lines.any(|line| line.contains("stage done") && line.contains("prepare"))
    });
    let new = proposed(&rig, &aborted);
    let got = watched(&rig, &new);
    assert_eq!(got.get("resumed"), None);
    for party in PARTIES {
        assert_eq!(last_point(&rig, party, &aborted), 0);
        let log = rig.log(party);
        for said in [
            "the aborted job's match is taken over",
            "of this kind of training no state is kept: it begins anew",
        ] {
            assert!(log.contains(said), "{party}: {said}\n{log}");
        }
        both_verify(&rig.path(&format!("{party}/state/bundles/{new}.bundle")));
    }
    let shown = rig.job("modeler", &["show", &new, "--json"]);
    assert!(shown.out.contains("align.held") && !shown.out.contains("train.held"));
}
