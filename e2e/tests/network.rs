//! A network on columns of two and three parties, every one a process, against the same network in the clear.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use common::{Said, example, number, paripassu};
use serde_json::Value;

fn sandbox(job: &Path, parties: &[(&str, &Path)], out: &Path) -> Said {
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for (party, file) in parties {
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    command.arg("--out").arg(out).output().unwrap().into()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_example_of_a_network_is_the_plain_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let data = example("data/lending_club");
    let (bank, partner) = (data.join("bank.csv"), data.join("partner.csv"));
    let job = example("lending_club_network.toml");
    let said = sandbox(&job, &[("bank", &bank), ("partner", &partner)], &out);
    assert_eq!(said.code, 0, "{said:?}");
    let metrics = json(&out.join("metrics.json"));
    // the same rows, batches and initial weights: what differs is rounding
    assert!(number(&metrics, "auc_abs_diff") <= 2e-3, "{metrics:#}");
    assert_eq!(metrics["passes"], 20);
    assert!(number(&metrics["joint"], "auc") > 0.62, "{metrics:#}");

    // every party has its own columns' weights, the label party all further layers
    let (own, other) = (
        json(&out.join("bank/model.json")),
        json(&out.join("partner/model.json")),
    );
    let shape = |model: &Value| -> Vec<(usize, usize)> {
        let layers = model["layers"].as_array().unwrap().iter();
        let len = |v: &Value| v.as_array().unwrap().len();
        layers
            .map(|l| (len(&l["weights"]), len(&l["biases"])))
            .collect()
    };
    let columns = |model: &Value| model["columns"].as_array().unwrap().len();
    assert_eq!(shape(&own), [(columns(&own), 16), (16, 8), (8, 1)]);
    assert_eq!(shape(&other), [(columns(&other), 0)]);
    assert!(own["activation"]["sines"].as_array().unwrap().len() == 6);

    // no half is a model by itself
    for party in ["bank", "partner"] {
        let half = out.join(party);
        let made = dir.path().join("made");
        let told = common::run([
            "model",
            "export",
            half.to_str().unwrap(),
            "--out",
            made.to_str().unwrap(),
        ]);
        told.refuses(1, &["half of a network", "all halves together"]);
        assert!(!made.exists());
    }

    // all nodes can prove what was opened: weights and scores, and while training a bit an epoch
    let bundles = metrics["bundles"].as_object().unwrap();
    assert_eq!(bundles.len(), 3, "{bundles:?}");
    for bundle in bundles.values() {
        let said = common::run(["audit", "verify", bundle.as_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let page = fs::read_to_string(out.join("bank/report.html")).unwrap();
    for said in [
        "network, vertical split",
        "16, 8",
        "release.coefficients.bank",
    ] {
        assert!(page.contains(said), "{said}");
    }
    assert!(!page.contains("train.converged") && !page.contains("train.improved"));
    let said = common::run([
        "audit",
        "show",
        bundles["partner"].as_str().unwrap(),
        "--json",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    // each with what came before it is approved
    let bits = said.out.matches("id=train.range-check ").count();
    assert!(bits >= 20, "{bits}");
}

/// The example's job with other lines.
fn changed(dir: &Path, lines: &[(&str, &str)]) -> std::path::PathBuf {
    let mut text = fs::read_to_string(example("lending_club_network.toml")).unwrap();
    for (from, to) in lines {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let job = dir.join("job.toml");
    fs::write(&job, text).unwrap();
    job
}

#[test]
fn rectifiers_and_weights_of_classes_and_rows_are_those_of_the_plain_network() {
    let dir = tempfile::tempdir().unwrap();
    let job = changed(
        dir.path(),
        &[
            (
                "hidden = [16, 8]",
                "activation = \"relu\"\nhidden = [16, 8]",
            ),
            ("epochs = 20", "epochs = 6"),
            (
                "l2 = 0.5",
                "class_weight = { good = 1, bad = 2 }\n\
                 weight = { party = \"partner\", column = \"open_il_24m\", max = 30 }\nl2 = 0.5",
            ),
            ("rate = 0.03", "rate = 0.01"),
        ],
    );
    let data = example("data/lending_club");
    let (bank, partner) = (data.join("bank.csv"), data.join("partner.csv"));
    let out = dir.path().join("out");
    let said = sandbox(&job, &[("bank", &bank), ("partner", &partner)], &out);
    assert_eq!(said.code, 0, "{said:?}");
    let metrics = json(&out.join("metrics.json"));
    assert!(number(&metrics, "auc_abs_diff") <= 2e-3, "{metrics:#}");
    assert!(number(&metrics["joint"], "auc") > 0.6, "{metrics:#}");
    let own = json(&out.join("bank/model.json"));
    assert_eq!(own["activation"]["name"], "relu");
    let page = fs::read_to_string(out.join("bank/report.html")).unwrap();
    for said in ["relu", "good 1, bad 2", "column open_il_24m of partner"] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_network_that_diverges_ends_at_every_node_with_its_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let job = changed(
        dir.path(),
        &[
            ("rate = 0.03", "rate = 1\nmomentum = 0.99"),
            ("batch = 256", "batch = 16"),
            ("epochs = 20", "epochs = 5"),
        ],
    );
    let data = example("data/lending_club");
    let (bank, partner) = (data.join("bank.csv"), data.join("partner.csv"));
    let out = dir.path().join("out");
    let said = sandbox(&job, &[("bank", &bank), ("partner", &partner)], &out);
    assert_ne!(said.code, 0, "{said:?}");
    let told = format!("{said:?}");
    for word in ["in epoch 1 of 5", "lower network.rate"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(!out.join("bank/model.json").exists());
}

#[test]
fn three_parties_watch_the_loss_and_stop() {
    let text = fs::read_to_string(example("three_parties.toml")).unwrap();
    let network = "[model]\nkind = \"mlp\"\nl2 = 0.1\n[network]\nhidden = [6]\nepochs = 12\nbatch = 512\n\
                   rate = 0.3\nseed = 5\nvalidation_tenths = 2\npatience = 2\n[helper]";
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml");
    fs::write(
        &job,
        text.replacen("[model]\nl2 = 1.0\n", "", 1)
            .replacen("[helper]", network, 1),
    )
    .unwrap();
    let data = example("data/lending_club");
    let (bank, partner) = (data.join("bank.csv"), data.join("partner.csv"));
    let out = dir.path().join("out");
    let parties = [
        ("bank", bank.as_path()),
        ("loans", &partner),
        ("enquiries", &partner),
    ];
    let said = sandbox(&job, &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    let metrics = json(&out.join("metrics.json"));
    assert!(number(&metrics, "auc_abs_diff") <= 5e-3, "{metrics:#}");
    let passes = metrics["passes"].as_u64().unwrap();
    assert!((3..=12).contains(&passes), "{passes}");
    let report = fs::read_to_string(out.join("loans/report.html")).unwrap();
    assert!(report.contains("train.improved") && report.contains("Weights taken after epoch"));
    // a bit an epoch after the first, in the transcript as well
    let bundle = metrics["bundles"]["loans"].as_str().unwrap();
    let said = common::run(["audit", "show", bundle, "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let bits = said.out.matches("id=train.improved ").count() as u64;
    assert!(bits >= passes - 1, "{bits} {passes}");
}
