//! Joint models of three to five parties, every one a process, against the pooled fit.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path};

use common::{Said, example, paripassu};
use serde_json::Value;

/// Runs a job in a sandbox in which parties other than the bank read the same file.
fn sandbox(job: &Path, parties: &[&str], out: &Path) -> Value {
    let data = example("data/lending_club");
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for party in parties {
        let file = if *party == "bank" {
            "bank.csv"
        } else {
            "partner.csv"
        };
        let file = data.join(file);
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    let said: Said = command.arg("--out").arg(out).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap()
}

fn assert_equals_pooled(metrics: &Value) {
    let at_most = |name: &str, limit: f64| {
        let got = metrics[name].as_f64().unwrap_or(f64::NAN);
        assert!(got <= limit, "{name} is {got}: {metrics:#}");
    };
    at_most("coef_max_abs_diff", 1e-3);
    at_most("score_max_abs_diff", 2e-2);
    at_most("auc_abs_diff", 5e-4);
    at_most("ks_abs_diff", 2e-3);
}

/// Names of the coefficients that a party keeps.
fn kept(out: &Path, party: &str) -> Vec<String> {
    let model = fs::read(out.join(party).join("model.json")).unwrap();
    let model: Value = serde_json::from_slice(&model).unwrap();
    let columns = model["columns"].as_array().unwrap().iter();
    columns
        .map(|c| c["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_example_of_three_parties_equals_the_pooled_fit() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let parties = ["bank", "loans", "enquiries"];
    let metrics = sandbox(&example("three_parties.toml"), &parties, &out);
    assert_equals_pooled(&metrics);
    // every node can prove its part, the other two's countersignatures included
    let bundles = metrics["bundles"].as_object().unwrap();
    assert_eq!(bundles.len(), 4, "{bundles:?}");
    for bundle in bundles.values() {
        let said = common::run(["audit", "verify", bundle.as_str().unwrap(), "--json"]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let enquiries = kept(&out, "enquiries");
    assert!(
        enquiries.iter().any(|c| c.contains("inq_fi")),
        "{enquiries:?}"
    );
    for party in parties {
        let own = kept(&out, party);
        for (column, owner) in [
            ("funded_amnt", "bank"),
            ("all_util", "loans"),
            ("inq_fi", "enquiries"),
        ] {
            let has = own.iter().any(|name| name.contains(column));
            assert_eq!(has, party == owner, "{party} and {column}: {own:?}");
        }
        for file in ["report.html", "model.json"] {
            assert!(out.join(party).join(file).is_file(), "{party} {file}");
        }
    }
}

#[test]
fn five_parties_train_with_the_label_at_whichever_has_it() {
    let columns = [
        (
            "credit",
            "numeric = [\"open_il_6m\", \"total_bal_il\", \"num_il_tl\"]",
        ),
        ("utility", "numeric = [\"revol_util\", \"all_util\"]"),
        (
            "bank",
            "numeric = [\"funded_amnt\", \"annual_inc\"], categorical = [\"term\"]",
        ),
        ("shop", "numeric = [\"inq_fi\", \"inq_last_12m\"]"),
        ("telecom", "numeric = [\"inq_last_6mths\"]"),
    ];
    let mut text = "name = \"five\"\npurpose = \"test\"\nlegal_basis = \"test\"\n".to_owned();
    for (id, columns) in columns {
        let role = if id == "bank" { "label" } else { "features" };
        text += &format!(
            "[[party]]\nid = \"{id}\"\nrole = \"{role}\"\ndataset = \"table\"\ncolumns = {{ {columns} }}\n"
        );
    }
    text += "[helper]\nid = \"coordinator\"\n[align]\nmethod = \"vole\"\n[outputs]\n\
             standard_errors = true\nmetrics_to = [\"bank\", \"shop\"]\n[outputs.scores]\nto = \"bank\"\n";
    let dir = tempfile::tempdir().unwrap();
    let job = dir.path().join("job.toml");
    fs::write(&job, text).unwrap();
    let out = dir.path().join("out");
    let parties = columns.map(|(id, _)| id);
    let metrics = sandbox(&job, &parties, &out);
    assert_equals_pooled(&metrics);
    assert_eq!(kept(&out, "telecom"), ["inq_last_6mths"]);
}

#[test]
fn weights_of_rows_classes_and_a_champion_score_equal_the_weighted_pooled_fit() {
    let text = fs::read_to_string(example("lending_club.toml")).unwrap();
    // how many open loans a customer has is the bureau's weight, and the bank's amounts become an offset
    let dir = tempfile::tempdir().unwrap();
    let amounts = fs::read_to_string(example("data/lending_club/bank.csv")).unwrap();
    let mut lines = amounts.lines();
    let header = lines.next().unwrap();
    let at = header.split(',').position(|c| c == "funded_amnt").unwrap();
    let mut bank = format!("{header},champion\n");
    for line in lines {
        let amount: f64 = line.split(',').nth(at).unwrap().parse().unwrap();
        bank += &format!("{line},{}\n", amount / 20_000.0 - 1.5);
    }
    let bank_csv = dir.path().join("bank.csv");
    fs::write(&bank_csv, bank).unwrap();
    let text = text
        .replace(
            "\"funded_amnt\", \"annual_inc\"",
            "\"annual_inc\", \"champion\"",
        )
        .replace(
            "l2 = 1.0",
            "l2 = 1.0\noffset = \"champion\"\nclass_weight = { good = 1, bad = 2.5 }\n\
             weight = { party = \"partner\", column = \"open_il_6m\", max = 20 }",
        );
    let job = dir.path().join("job.toml");
    let run = |text: &str, out: &Path| -> Said {
        fs::write(&job, text).unwrap();
        let partner = example("data/lending_club/partner.csv");
        let mut command = paripassu();
        command.args(["sandbox", "run", "--json"]).arg(&job);
        for (party, file) in [("bank", &bank_csv), ("partner", &partner)] {
            command
                .arg("--party")
                .arg(format!("{party}={}", file.display()));
        }
        command.arg("--out").arg(out).output().unwrap().into()
    };
    // some customers have more than twenty loans
    let said = run(&text, &dir.path().join("refused"));
    assert_eq!(said.code, 3, "{said:?}");
    let told = said.out.clone() + &said.err;
    assert!(
        told.contains("partner") && told.contains("is not between 0 and the largest"),
        "{told}"
    );
    // and none more than 32, but then a class weight of 2.5 is too much
    let said = run(
        &text.replace("max = 20", "max = 32"),
        &dir.path().join("unfit"),
    );
    let told = said.out.clone() + &said.err;
    assert!(
        said.code != 0 && told.contains("a row could weigh 80, at most 64"),
        "{told}"
    );
    let out = dir.path().join("out");
    let said = run(
        &text
            .replace("good = 1, bad = 2.5", "good = 0.5, bad = 1")
            .replace("max = 20", "max = 32"),
        &out,
    );
    assert_eq!(said.code, 0, "{said:?}");
    let metrics: Value =
        serde_json::from_slice(&fs::read(out.join("metrics.json")).unwrap()).unwrap();
    assert_equals_pooled(&metrics);
    let names = kept(&out, "bank");
    assert!(!names.contains(&"champion".to_owned()), "{names:?}");
    assert!(!kept(&out, "partner").contains(&"open_il_6m".to_owned()));
    let model = fs::read_to_string(out.join("bank/model.json")).unwrap();
    assert!(model.contains("\"offset\": \"champion\""), "{model}");
    let page = fs::read_to_string(out.join("bank/report.html")).unwrap();
    for said in [
        "Weights of rows",
        "column open_il_6m of partner, at most 32",
        "Added to each score",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn a_twin_says_whether_the_joint_model_is_the_plain_one() {
    let job = example("three_parties.toml");
    let job = job.to_str().unwrap();
    let said = common::run(["job", "twin", job, "--rows", "3000", "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert_eq!(told["pass"], true, "{told:#}");
    let matched = told["metrics"]["rows"]["matched"].as_u64().unwrap();
    assert!((2_000..3_000).contains(&matched), "{matched}");
    // and a wrong answer is no pass: nothing is exact to 1e-12
    let strict = [
        "job",
        "twin",
        job,
        "--rows",
        "3000",
        "--coefficient",
        "1e-12",
    ];
    let said = common::run(strict);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.out.contains("✗ the joint model is not the plain one"),
        "{said:?}"
    );
}
