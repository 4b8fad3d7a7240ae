//! The whole path, from CSV to metrics, against an independent reference: scikit-learn's optimum
//! and numpy's metrics on seven real credit data sets.
//!
//! The data folder is not part of the repository: it is found through `PARIPASSU_DATA` or beside
//! the repository, and the tests say so and pass when it is absent.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use flate2::read::GzDecoder;
use paripassu_model::design::{ConstantColumns, Design, DesignOptions};
use paripassu_model::logistic::{Fit, FitOptions, TrainingSet, fit};
use paripassu_model::metrics::{Metrics, Scored};
use paripassu_model::schema::DatasetSpec;
use paripassu_model::split::{IdSplit, SplitRows};
use paripassu_model::table::{CsvReader, Table};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

fn data_folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("PARIPASSU_DATA").map_or(beside, PathBuf::from);
    if folder.join("reference.json").is_file() {
        return Some(folder);
    }
    eprintln!(
        "skipped: no reference data in {} (set PARIPASSU_DATA)",
        folder.display()
    );
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn names(value: &Value) -> Vec<String> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is not a number"))
}

fn near(what: &str, got: f64, want: f64, tolerance: f64) {
    assert!(
        (got - want).abs() <= tolerance,
        "{what}: {got}, reference {want}"
    );
}

/// One data set, its columns and its split.
struct Case {
    table: Table,
    numeric: Vec<String>,
    categorical: Vec<String>,
    rows: SplitRows,
    reference: Value,
}

/// A model fitted on the training rows and its PDs on the test rows.
struct Fitted {
    design: Design,
    fit: Fit,
    pd: Vec<f64>,
}

impl Case {
    fn load(folder: &Path, name: &str) -> Self {
        let about = &json(&folder.join("datasets.json"))[name];
        let (numeric, categorical) = (names(&about["numeric"]), names(&about["categorical"]));
        let spec = DatasetSpec {
            id_more: Vec::new(),
            id: "id".into(),
            label: Some("y".into()),
            numeric: numeric.clone(),
            categorical: categorical.clone(),
            missing: vec![],
            id_rules: vec![],
        };
        let file = about["file"].as_str().unwrap();
        let gzip = GzDecoder::new(File::open(folder.join(file)).unwrap());
        let table = CsvReader::new(file.to_owned(), gzip, &spec)
            .unwrap()
            .read_all()
            .unwrap();
        let rows = IdSplit::new(3).unwrap().rows(table.ids());
        let reference = json(&folder.join("reference.json"))["datasets"][name].clone();
        Self {
            table,
            numeric,
            categorical,
            rows,
            reference,
        }
    }

    fn labels(&self, rows: &[usize]) -> Vec<u8> {
        let label = self.table.label().unwrap();
        rows.iter().map(|&i| label[i]).collect()
    }

    /// Fits on the columns of which `take` is true.
    fn fit(&self, take: impl Fn(&String) -> bool) -> Fitted {
        let pick = |all: &[String]| all.iter().filter(|c| take(c)).cloned().collect::<Vec<_>>();
        let (numeric, categorical) = (pick(&self.numeric), pick(&self.categorical));
        let (table, train) = (&self.table, &self.rows.train);
        let keep = DesignOptions {
            constant: ConstantColumns::Keep,
            ..DesignOptions::default()
        };
        let design = Design::fit(table, train, &numeric, &categorical, keep).unwrap();
        let x = design.transform(table, train).unwrap();
        let labels = self.labels(train);
        let fit = fit(
            &TrainingSet::new(&x, &labels).unwrap(),
            &FitOptions::default(),
        )
        .unwrap();
        let pd = fit
            .model
            .pd(&design.transform(table, &self.rows.test).unwrap())
            .unwrap();
        Fitted { design, fit, pd }
    }

    fn check_split(&self) {
        let ids = self.table.ids();
        let listed: String = self
            .rows
            .test
            .iter()
            .map(|&i| format!("{}\n", ids[i]))
            .collect();
        let digest: String = Sha256::digest(listed.as_bytes())
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(digest, self.reference["test_ids_sha256"].as_str().unwrap());
        let bads: usize = self
            .labels(&self.rows.train)
            .iter()
            .map(|l| usize::from(*l))
            .sum();
        assert_eq!(bads as u64, self.reference["train_bads"].as_u64().unwrap());
    }

    /// Names, means, deviations and coefficients of the exact joint optimum.
    fn check_exact(&self, fitted: &Fitted) {
        let exact = &self.reference["lr_exact"];
        let features = exact["features"].as_array().unwrap();
        assert_eq!(fitted.design.width(), features.len());
        for (k, want) in features.iter().enumerate() {
            let column = &fitted.design.columns()[k];
            assert_eq!(column.name, want["name"].as_str().unwrap());
            let scale = number(&want["sd"]).max(number(&want["mean"]).abs());
            near(
                &column.name,
                column.mean,
                number(&want["mean"]),
                1e-10 * scale,
            );
            near(&column.name, column.sd, number(&want["sd"]), 1e-10 * scale);
            let coefficient = fitted.fit.model.coefficients[k];
            near(&column.name, coefficient, number(&want["coef"]), 1e-6);
        }
        near(
            "intercept",
            fitted.fit.model.intercept,
            number(&exact["intercept"]),
            1e-6,
        );
        near(
            "objective",
            fitted.fit.objective,
            number(&exact["objective_value"]),
            1e-6,
        );
    }

    fn metrics(&self, fitted: &Fitted) -> Metrics {
        Scored::new(&self.labels(&self.rows.test), &fitted.pd)
            .unwrap()
            .metrics()
    }
}

/// Compares whatever figures the reference lists.
fn check_metrics(what: &str, got: &Metrics, want: &Value) {
    let got = serde_json::to_value(got).unwrap();
    for (key, want) in want.as_object().unwrap() {
        let ours = if key == "logloss" {
            "log_loss"
        } else {
            key.as_str()
        };
        near(
            &format!("{what} {key}"),
            number(&got[ours]),
            number(want),
            // the reference breaks ties at the cut in file order, the product in proportion
            if key == "top_decile_capture" {
                1e-3
            } else {
                1e-5
            },
        );
    }
}

fn check(name: &str) {
    let Some(folder) = data_folder() else { return };
    let case = Case::load(&folder, name);
    case.check_split();
    let all = case.fit(|_| true);
    case.check_exact(&all);
    check_metrics(
        "all columns",
        &case.metrics(&all),
        &case.reference["all_columns"]["lr"],
    );
    for (split, want) in case.reference["vertical"].as_object().unwrap() {
        let (bank, partner) = (
            names(&want["bank_columns"]),
            names(&want["partner_columns"]),
        );
        let alone = case.fit(|c| bank.contains(c));
        let other = case.fit(|c| partner.contains(c));
        let joint = case.fit(|c| bank.contains(c) || partner.contains(c));
        let want = &want["models"]["lr"];
        for (who, fitted) in [
            ("bank_alone", &alone),
            ("partner_columns_alone", &other),
            ("joint", &joint),
        ] {
            check_metrics(&format!("{split} {who}"), &case.metrics(fitted), &want[who]);
        }
        let labels = case.labels(&case.rows.test);
        let scored = |f: &'_ Fitted| Scored::new(&labels, &f.pd).unwrap().metrics().ks;
        let delta_ks = scored(&joint) - scored(&alone);
        let delta = Scored::new(&labels, &joint.pd)
            .unwrap()
            .auc_over(&Scored::new(&labels, &alone.pd).unwrap())
            .unwrap();
        let want = &want["uplift_joint_over_bank"];
        near("uplift", delta.delta, number(&want["delta_auc"]), 1e-5);
        near(
            "uplift, low end",
            delta.ci95[0],
            number(&want["ci95"][0]),
            1e-5,
        );
        near(
            "uplift, high end",
            delta.ci95[1],
            number(&want["ci95"][1]),
            1e-5,
        );
        near("uplift of KS", delta_ks, number(&want["delta_ks"]), 1e-5);
        eprintln!(
            "{name}, {split}: bank alone {:.4}, joint {:.4}, uplift {:+.4} [{:+.4}, {:+.4}]",
            case.metrics(&alone).auc,
            case.metrics(&joint).auc,
            delta.delta,
            delta.ci95[0],
            delta.ci95[1]
        );
    }
}

#[test]
fn german_credit() {
    check("german_credit");
}

#[test]
fn bank_marketing() {
    check("bank_marketing");
}

#[test]
fn lending_club() {
    check("lending_club");
}

#[test]
fn credit_data() {
    check("credit_data");
}

#[test]
fn taiwan_default() {
    check("taiwan_default");
}

#[test]
fn sba_loans() {
    check("sba_loans");
}

#[test]
fn polish_bankruptcy() {
    check("polish_bankruptcy_5y");
}
