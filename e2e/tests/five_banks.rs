//! A horizontal job of five banks: real processes, real certificates, the shipped data.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fs, path::Path};

use common::{example, files_below, holds, number, paripassu};
use paripassu_audit::{
    bundle::Bundle,
    verify::{Options, verify},
};
use serde_json::Value;

const BANKS: [&str; 5] = ["north", "east", "south", "west", "isle"];

fn run(job: &Path, data: &Path, out: &Path) -> common::Said {
    let mut command = paripassu();
    command
        .args(["sandbox", "run"])
        .arg(job)
        .args(["--json", "--out"])
        .arg(out);
    for bank in BANKS {
        let file = data.join(format!("{bank}.csv"));
        command
            .arg("--party")
            .arg(format!("{bank}={}", file.display()));
    }
    command.output().unwrap().into()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn five_banks_land_on_the_pooled_optimum_and_each_is_told_what_it_gains() {
    let dir = tempfile::tempdir().unwrap();
    let data = example("data/lending_club_banks");
    // ids and a value that stand nowhere else
    for bank in BANKS {
        let text = fs::read_to_string(data.join(format!("{bank}.csv"))).unwrap();
        let (head, rows) = text.split_once('\n').unwrap();
        let (first, rest) = rows.split_once('\n').unwrap();
        let mut cells: Vec<&str> = first.split(',').collect();
        cells[0] = "plantedcustomer";
        cells[1] = "12345.0625431";
        let planted = format!("{head}\n{}\n{rest}", cells.join(","));
        fs::write(dir.path().join(format!("{bank}.csv")), planted).unwrap();
    }
    let out = dir.path().join("out");
    let said = run(&example("five_banks.toml"), dir.path(), &out);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert!(number(&told, "coef_max_abs_diff") < 1e-7, "{told}");
    assert!(number(&told, "auc_abs_diff") < 1e-9, "{told}");
    assert!((4.0..=9.0).contains(&number(&told, "passes")), "{told}");
    assert_eq!(number(&told, "rows.matched"), 9_857.0);

    let mut over_all = Vec::new();
    let mut told_no_gain = 0;
    for bank in BANKS {
        let metrics = json(&out.join(bank).join("metrics.json"));
        let all = &metrics["all_banks"];
        assert!(all["auc_bound"].as_f64().unwrap() < 0.06, "{all}");
        assert!(
            (0.55..0.75).contains(&all["auc"].as_f64().unwrap()),
            "{all}"
        );
        over_all.push(all.clone());
        let report = json(&out.join(bank).join("report.json"));
        let notes = report["notes"].to_string();
        let page = fs::read_to_string(out.join(bank).join("report.html")).unwrap();
        assert!(page.contains("Every bank has the joint model") && !page.contains("partners add"));
        let [low, high] = [0, 1].map(|i| metrics["uplift"]["ci95"][i].as_f64().unwrap());
        let word = match (low > 0.0, high < 0.0) {
            (true, _) => "This bank gains",
            (_, true) => "This bank loses",
            _ => "No gain is shown for this bank",
        };
        assert!(notes.contains(word), "{bank}: {notes}");
        assert!(page.contains(word), "{bank}: its page does not say so");
        told_no_gain += usize::from(word != "This bank gains");
        let model = json(&out.join(bank).join("model.json"));
        assert!(model["columns"][0]["se"].as_f64().unwrap() > 0.0);
        assert_eq!(model["columns"].as_array().unwrap().len(), 11);
    }
    assert!(told_no_gain > 0, "of these five not all gain");
    assert!(
        over_all.windows(2).all(|w| w[0] == w[1]),
        "banks were told different results"
    );

    let bundles = told["bundles"].as_object().unwrap();
    assert_eq!(bundles.len(), 6, "five banks and the coordinator");
    for (node, path) in bundles {
        let bundle = Bundle::load(Path::new(path.as_str().unwrap())).unwrap();
        let verdict = verify(&bundle, &Options::default());
        assert_eq!(verdict.exit_code, 0, "{node}: {verdict}");
    }
    // nobody else's files hold a bank's customer or cell; a bank's own data are not copied either
    for (file, content) in files_below(&out) {
        for planted in ["plantedcustomer", "12345.0625431"] {
            assert!(
                !holds(&content, planted.as_bytes()),
                "{} holds {planted}",
                file.display()
            );
        }
    }
}

#[test]
fn weights_offsets_a_lasso_and_own_intercepts_are_those_of_the_pooled_fit() {
    let dir = tempfile::tempdir().unwrap();
    // a weight from 0.5 to 2.9 and an offset from -0.6 to 0.6 for each customer
    for bank in BANKS {
        let text =
            fs::read_to_string(example("data/lending_club_banks").join(format!("{bank}.csv")))
                .unwrap();
        let mut lines = text.lines();
        let mut out = format!("{},w,off\n", lines.next().unwrap());
        for (i, line) in lines.enumerate() {
            let (w, off) = (0.5 + 0.3 * (i % 9) as f64, 0.1 * (i % 13) as f64 - 0.6);
            out.push_str(&format!("{line},{w:.1},{off:.1}\n"));
        }
        fs::write(dir.path().join(format!("{bank}.csv")), out).unwrap();
    }
    let text = fs::read_to_string(example("five_banks.toml")).unwrap();
    let listed = text.replace("\"inq_last_12m\"]", "\"inq_last_12m\", \"w\", \"off\"]");
    for (name, text, with) in [
        (
            "weights and offsets",
            &listed,
            "weight = \"w\"\noffset = \"off\"\n",
        ),
        ("lasso", &text, "l1 = 20.0\n"),
        ("own intercepts", &text, "intercept = \"per-bank\"\n"),
    ] {
        let job = dir.path().join("job.toml");
        fs::write(
            &job,
            text.replace("[horizontal]\n", &format!("[horizontal]\n{with}")),
        )
        .unwrap();
        let out = dir.path().join(name.replace(' ', "_"));
        let said = run(&job, dir.path(), &out);
        assert_eq!(said.code, 0, "{name}: {said:?}");
        let told = said.json();
        assert!(number(&told, "coef_max_abs_diff") < 1e-6, "{name}: {told}");
        assert!(number(&told, "auc_abs_diff") < 1e-6, "{name}: {told}");
        let model = json(&out.join("north").join("model.json"));
        let columns = model["columns"].as_array().unwrap();
        let zero = columns.iter().filter(|c| c["coef"] == 0.0).count();
        assert_eq!(zero > 0, name == "lasso", "{name}: {model}");
    }
}

#[test]
fn joint_bins_and_their_model_are_those_of_the_pooled_rows() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("five_banks_woe.toml")).unwrap();
    for (name, method) in [("monotone", "monotone"), ("quantiles", "quantile")] {
        let job = dir.path().join("job.toml");
        let of_method = text.replace("method = \"monotone\"", &format!("method = \"{method}\""));
        fs::write(&job, of_method).unwrap();
        let out = dir.path().join(name);
        let said = run(&job, &example("data/lending_club_banks"), &out);
        assert_eq!(said.code, 0, "{said:?}");
        let told = said.json();
        assert!(number(&told, "coef_max_abs_diff") < 1e-7, "{told}");
        assert!(number(&told, "auc_abs_diff") < 1e-9, "{told}");
        verified(&told);
        let mut all = Vec::new();
        for bank in BANKS {
            let bins = json(&out.join(bank).join("bins.json"));
            let columns = bins["columns"].as_array().unwrap();
            assert_eq!(columns.len(), 8, "{bins}");
            // every bank has the counts of all banks
            let term = columns.iter().find(|c| c["column"] == "term").unwrap();
            let sum = |key: &str| -> u64 {
                let bins = term["bins"].as_array().unwrap().iter();
                bins.map(|b| b[key].as_u64().unwrap()).sum()
            };
            assert!(
                (6_700..7_100).contains(&sum("rows")) && sum("bad") > 300,
                "{term}"
            );
            let model = json(&out.join(bank).join("model.json"));
            let kept = columns.iter().filter(|c| c["kept"] == true).count();
            assert_eq!(model["columns"].as_array().unwrap().len(), kept);
            assert!(
                model["columns"][0]["name"]
                    .as_str()
                    .unwrap()
                    .ends_with("__woe")
            );
            let report = fs::read_to_string(out.join(bank).join("report.json")).unwrap();
            assert!(
                report.contains("Columns are weight of evidence"),
                "{report}"
            );
            let metrics = json(&out.join(bank).join("metrics.json"));
            assert!(number(&metrics, "all_banks.auc") > 0.6, "{metrics}");
            all.push(bins);
        }
        assert!(
            all.windows(2).all(|w| w[0] == w[1]),
            "banks have different bins"
        );
    }
}

/// Every node's bundle verifies.
fn verified(told: &Value) {
    let bundles = told["bundles"].as_object().unwrap();
    assert_eq!(bundles.len(), 6, "five banks and the coordinator");
    for (node, path) in bundles {
        let bundle = Bundle::load(Path::new(path.as_str().unwrap())).unwrap();
        let verdict = verify(&bundle, &Options::default());
        assert_eq!(verdict.exit_code, 0, "{node}: {verdict}");
    }
}

#[test]
fn five_banks_train_a_network_and_all_get_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let data = example("data/lending_club_banks");
    let said = run(&example("five_banks_network.toml"), &data, &out);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert!(told["coef_max_abs_diff"].is_null());
    let mut models = Vec::new();
    for bank in BANKS {
        let mut model = json(&out.join(bank).join("model.json"));
        assert_eq!(model["kind"], "mlp");
        assert_eq!(model["layers"][0]["weights"].as_array().unwrap().len(), 11);
        assert_eq!(model["layers"][1]["biases"].as_array().unwrap().len(), 1);
        model["party"] = Value::Null;
        models.push(model);
        let metrics = json(&out.join(bank).join("metrics.json"));
        let auc = metrics["all_banks"]["auc"].as_f64().unwrap();
        assert!((0.56..0.75).contains(&auc), "{auc}");
        let report = fs::read_to_string(out.join(bank).join("report.json")).unwrap();
        assert!(report.contains("FedAvg on masked sums"));
        assert!(!out.join(bank).join("privacy.json").exists());
    }
    assert!(
        models.windows(2).all(|w| w[0] == w[1]),
        "banks have different networks"
    );
    verified(&told);
    let shown = common::run(["model", "show", out.join("isle").to_str().unwrap()]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("layers of 16, 1"), "{}", shown.out);
}

#[test]
fn five_banks_prove_their_updates_short() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("five_banks_network.toml")).unwrap();
    // a rate at which so few rounds learn enough from whatever weights they begin with
    let proved = "rate = 0.01\nschedule = \"cosine\"\nweights = \"equal\"\nvalidation_tenths = 0\n\
                  robust = \"proved\"\nmax_norm = 1";
    let text = text
        .replace("rate = 0.002", proved)
        .replace("rounds = 60", "rounds = 12");
    let job = dir.path().join("job.toml");
    fs::write(&job, text).unwrap();
    let out = dir.path().join("out");
    let said = run(&job, &example("data/lending_club_banks"), &out);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    verified(&told);
    let mut models = Vec::new();
    for bank in BANKS {
        let mut model = json(&out.join(bank).join("model.json"));
        model["party"] = Value::Null;
        models.push(model);
        let auc = json(&out.join(bank).join("metrics.json"))["all_banks"]["auc"].clone();
        assert!((0.58..0.75).contains(&auc.as_f64().unwrap()), "{auc}");
        let report = fs::read_to_string(out.join(bank).join("report.json")).unwrap();
        assert!(!report.contains("longer than the job allows"));
    }
    assert!(models.windows(2).all(|w| w[0] == w[1]));
}

#[test]
fn five_banks_with_noise_state_what_it_is_worth() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let data = example("data/lending_club_banks");
    let said = run(&example("five_banks_private.toml"), &data, &out);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    verified(&told);
    for bank in BANKS {
        let statement = json(&out.join(bank).join("privacy.json"));
        for key in [
            "epsilon",
            "delta",
            "unit_of_privacy",
            "neighbours",
            "mechanism",
            "accounting",
            "trust_model",
            "hazards",
        ] {
            assert!(!statement[key].is_null(), "{key}");
        }
        let [job, all] = ["epsilon", "epsilon_all_jobs_on_this_data_set"]
            .map(|k| statement[k].as_f64().unwrap());
        assert!(
            (1.9..2.1).contains(&job) && (all - job).abs() < 1e-9,
            "{job} {all}"
        );
        let report = fs::read_to_string(out.join(bank).join("report.json")).unwrap();
        assert!(report.contains("Differential privacy: epsilon 2.0"));
        let model = json(&out.join(bank).join("model.json"));
        // scaled by what the job says, not by the data
        let income = &model["columns"][1];
        assert_eq!(
            (income["name"].as_str(), income["mean"].as_f64()),
            (Some("annual_inc"), Some(100_000.0))
        );
        let auc = json(&out.join(bank).join("metrics.json"))["all_banks"]["auc"]
            .as_f64()
            .unwrap();
        assert!((0.3..=1.0).contains(&auc), "{auc}");
    }
}

#[test]
fn a_bank_below_the_least_number_of_rows_ends_the_job_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("five_banks.toml")).unwrap();
    let job = dir.path().join("job.toml");
    fs::write(&job, text.replace("min_rows = 200", "min_rows = 700")).unwrap();
    let said = run(
        &job,
        &example("data/lending_club_banks"),
        &dir.path().join("out"),
    );
    assert_eq!(said.code, 3, "{said:?}");
    let error = said.json()["error"].to_string();
    assert!(
        error.contains("isle") && error.contains("fewer than the 700"),
        "{error}"
    );
}

#[test]
fn sums_are_measured_among_processes() {
    let args = [
        "bench",
        "secagg",
        "--clients",
        "3",
        "--params",
        "5000",
        "--rounds",
        "2",
        "--json",
    ];
    let said = common::run(args);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert!(number(&told, "round_s") > 0.0 && number(&told, "cpu_s_total") > 0.0);
    assert_eq!(number(&told, "threshold"), 3.0);
}
