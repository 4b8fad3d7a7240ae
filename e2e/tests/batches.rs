//! Mini-batches as whole jobs: against the same descent in the clear, and against their plan.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fs, path::Path};

use common::{Said, example, number, paripassu, run};
use serde_json::Value;

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Runs a job on the lending club's files, of which parties other than the bank read the same; `metrics.json`.
fn sandbox(job: &Path, parties: &[&str], out: &Path) -> Value {
    let data = example("data/lending_club");
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for party in parties {
        let name = if *party == "bank" { "bank" } else { "partner" };
        let file = data.join(format!("{name}.csv"));
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    let said: Said = command.arg("--out").arg(out).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
    json(&out.join("metrics.json"))
}

fn equals_the_descent_in_the_clear(metrics: &Value) {
    let at_most = |name: &str, limit: f64| {
        let got = number(metrics, name);
        assert!(got <= limit, "{name} is {got}: {metrics:#}");
    };
    at_most("coef_max_abs_diff", 1e-2);
    at_most("score_max_abs_diff", 2e-2);
    at_most("auc_abs_diff", 5e-4);
    // every node can prove its part
    let bundles = metrics["bundles"].as_object().unwrap();
    for bundle in bundles.values() {
        let said = run(["audit", "verify", bundle.as_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
}

/// A party's report, whose plan must be what was counted.
fn report(out: &Path, party: &str) -> Value {
    let report = json(&out.join(party).join("report.json"));
    for stage in report["planned"]["stages"].as_array().unwrap() {
        let name = stage["stage"].as_str().unwrap();
        if !["train", "evaluate"].contains(&name) {
            continue;
        }
        let rounds = &stage["rounds"];
        assert_eq!(rounds["for_this_run"], rounds["counted"], "{party} {stage}");
        if name == "train" {
            let bytes = &stage["bytes"];
            assert_eq!(bytes["for_this_run"], bytes["counted"], "{party} {stage}");
        }
    }
    report
}

#[test]
fn the_example_is_the_same_descent_in_the_clear_at_the_cost_that_is_planned() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let job = example("lending_club_batches.toml");
    let metrics = sandbox(&job, &["bank", "partner"], &out);
    equals_the_descent_in_the_clear(&metrics);
    assert_eq!(metrics["bundles"].as_object().unwrap().len(), 3);
    assert_eq!(metrics["passes"], 10);
    for party in ["bank", "partner"] {
        let report = report(&out, party);
        let solver = &report["solver"];
        let method = solver["method"].as_str().unwrap();
        assert!(method.contains("mini-batches") && method.contains("not at it"));
        assert!(solver["converged"].is_null(), "{solver}");
        let notes = report["notes"].to_string();
        assert!(notes.contains("near the optimum"), "{notes}");
        // what was opened of the training: one bit, and own coefficients
        let told = report["disclosures"].as_array().unwrap().iter();
        let of_training = told.filter(|d| {
            let what = d["what"].as_str().unwrap();
            what.starts_with("train.") || what.starts_with("release.coefficients")
        });
        let opened: Vec<(String, u64)> = of_training
            .filter(|d| d["happened"].as_u64().unwrap() > 0)
            .map(|d| {
                let what = d["what"].as_str().unwrap();
                let id = what.split_once(": ").unwrap().0.to_owned();
                (id, d["happened"].as_u64().unwrap())
            })
            .collect();
        let ids: Vec<&str> = opened.iter().map(|(id, _)| id.as_str()).collect();
        assert!(ids.contains(&"train.range-check"), "{opened:?}");
        assert!(!ids.contains(&"train.converged"), "{opened:?}");
        assert!(opened.iter().all(|(_, times)| *times == 1), "{opened:?}");
    }
}

/// Three parties, the label in the middle; the order of rows is another, and customers are matched by vector-OLE.
#[test]
fn three_parties_train_by_mini_batches_with_the_label_in_the_middle() {
    let columns = [
        (
            "loans",
            "numeric = [\"open_il_6m\", \"open_il_24m\", \"all_util\"]",
        ),
        (
            "bank",
            "numeric = [\"funded_amnt\"], categorical = [\"term\", \"verification_status\"]",
        ),
        ("enquiries", "numeric = [\"inq_fi\", \"inq_last_12m\"]"),
    ];
    let mut text = "name = \"middle\"\npurpose = \"test\"\nlegal_basis = \"test\"\n".to_owned();
    for (id, columns) in columns {
        let role = if id == "bank" { "label" } else { "features" };
        text += &format!(
            "[[party]]\nid = \"{id}\"\nrole = \"{role}\"\ndataset = \"table\"\ncolumns = {{ {columns} }}\n"
        );
    }
    text += "[helper]\nid = \"coordinator\"\n[align]\nmethod = \"vole\"\n[solver]\nmethod = \"sgd\"\nepochs = 8\n\
             batch = 512\nrate = 0.5\nseed = 11\n[outputs]\nmetrics_to = [\"bank\", \"loans\"]\n\
             [outputs.scores]\nto = \"bank\"\n";
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml");
    fs::write(&job, text).unwrap();
    let out = dir.path().join("out");
    let parties = columns.map(|(id, _)| id);
    let metrics = sandbox(&job, &parties, &out);
    equals_the_descent_in_the_clear(&metrics);
    for party in parties {
        report(&out, party);
    }
}

#[test]
fn what_it_cannot_do_is_refused_before_anything_is_sent_and_a_twin_says_that_it_passes() {
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml");
    let text = fs::read_to_string(example("lending_club_batches.toml")).unwrap();
    let asked = text.replace("[outputs]\n", "[outputs]\nstandard_errors = true\n");
    assert_ne!(asked, text);
    fs::write(&job, asked).unwrap();
    let said = run(["job", "plan", job.to_str().unwrap()]);
    assert_ne!(said.code, 0, "{said:?}");
    for words in ["outputs.standard_errors", "solver.method = \\\"newton\\\""] {
        let words = words.replace('\\', "");
        assert!(said.err.contains(&words), "nothing of `{words}`: {said:?}");
    }
    let planned = run([
        "job",
        "plan",
        example("lending_club_batches.toml").to_str().unwrap(),
    ]);
    assert!(
        planned.out.contains("mini-batches, named in the job"),
        "{planned:?}"
    );
    // made-up tables, joint and in the clear
    let small = text.replace("batch = 700 ", "batch = 256 ");
    fs::write(&job, small).unwrap();
    let said = run(["job", "twin", job.to_str().unwrap(), "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let verdict = said.json();
    assert_eq!(verdict["pass"], true, "{verdict}");
    assert!(verdict["checks"][0]["difference"].as_f64().unwrap() < 1e-2);
}
