//! The shipped example data: right bytes, and the figures that its READMEs print.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use ndarray::{Array2, concatenate, s};
use paripassu_model::design::{Design, DesignOptions};
use paripassu_model::logistic::{FitOptions, LogisticModel, TrainingSet, fit};
use paripassu_model::metrics::{AucDelta, Metrics, Scored};
use paripassu_model::schema::DatasetSpec;
use paripassu_model::split::IdSplit;
use paripassu_model::table::Table;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data")
}

#[test]
fn files_have_their_checksums() {
    let listed = fs::read_to_string(folder().join("CHECKSUMS")).unwrap();
    for line in listed.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let bytes = fs::read(folder().join(path)).unwrap();
        let got: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(got, digest, "{path}");
        let readme = folder().join(path).with_file_name("README.md");
        assert!(
            fs::read_to_string(readme).unwrap().contains(digest),
            "README of {path}"
        );
    }
    // And nothing lies there unlisted.
    for set in fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
    {
        for file in fs::read_dir(&set).unwrap().map(|e| e.unwrap().path()) {
            let name = file
                .strip_prefix(folder())
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            assert!(
                name.ends_with("README.md") || listed.contains(&name),
                "{name} is not listed"
            );
        }
    }
}

/// What a bank gains from a partner on one of the sets.
struct Outcome {
    rows: [usize; 2],
    common: usize,
    test_rows: usize,
    bank_alone: Metrics,
    joint: Metrics,
    uplift: AucDelta,
    joint_model: LogisticModel,
}

fn load(set: &str, file: &str, label: bool, numeric: &[&str]) -> Table {
    let path = folder().join(set).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let header = text.lines().next().unwrap().split(',').map(str::to_owned);
    let (numeric, categorical): (Vec<_>, Vec<_>) = header
        .filter(|c| c != "id" && c != "y")
        .partition(|c| numeric.contains(&c.as_str()));
    let spec = DatasetSpec {
        id_more: Vec::new(),
        id: "id".into(),
        label: label.then(|| "y".into()),
        numeric,
        categorical,
        missing: vec![],
        id_rules: vec![],
    };
    Table::load(&path, &spec).unwrap()
}

/// Each party fits its own design on the common training customers; side by side they are the
/// joint design. One table with all columns would give the same.
fn outcome(set: &str, bank_numbers: &[&str], partner_numbers: &[&str]) -> Outcome {
    let bank = load(set, "bank.csv", true, bank_numbers);
    let partner = load(set, "partner.csv", false, partner_numbers);
    let theirs = partner.positions();
    let pairs: Vec<(usize, usize)> = bank
        .ids()
        .iter()
        .enumerate()
        .filter_map(|(i, id)| theirs.get(id.as_str()).map(|&j| (i, j)))
        .collect();
    let (ours, theirs): (Vec<usize>, Vec<usize>) = pairs.iter().copied().unzip();
    let (a, b) = (bank.select(&ours), partner.select(&theirs));
    assert_eq!(a.ids(), b.ids());
    let split = IdSplit::new(3).unwrap().rows(a.ids());
    let design =
        |t: &Table| Design::fit_all(t, &split.train, &[], DesignOptions::default()).unwrap();
    let (da, db) = (design(&a), design(&b));
    let side_by_side = |rows: &[usize]| {
        let parts = [
            da.transform(&a, rows).unwrap(),
            db.transform(&b, rows).unwrap(),
        ];
        let joined = concatenate(ndarray::Axis(1), &[parts[0].view(), parts[1].view()]).unwrap();
        joined.as_standard_layout().into_owned()
    };
    let labels = |rows: &[usize]| {
        rows.iter()
            .map(|&i| a.label().unwrap()[i])
            .collect::<Vec<u8>>()
    };
    let (train, test) = (side_by_side(&split.train), side_by_side(&split.test));
    let (y_train, y_test) = (labels(&split.train), labels(&split.test));
    let model = |x: &Array2<f64>| {
        fit(
            &TrainingSet::new(x, &y_train).unwrap(),
            &FitOptions::default(),
        )
        .unwrap()
        .model
    };
    let own = |x: &Array2<f64>| {
        x.slice(s![.., ..da.width()])
            .as_standard_layout()
            .into_owned()
    };
    let joint_model = model(&train);
    let joint_pd = joint_model.pd(&test).unwrap();
    let bank_pd = model(&own(&train)).pd(&own(&test)).unwrap();
    let joint = Scored::new(&y_test, &joint_pd).unwrap();
    let alone = Scored::new(&y_test, &bank_pd).unwrap();
    Outcome {
        rows: [bank.rows(), partner.rows()],
        common: pairs.len(),
        test_rows: y_test.len(),
        bank_alone: alone.metrics(),
        joint: joint.metrics(),
        uplift: joint.auc_over(&alone).unwrap(),
        joint_model,
    }
}

fn near(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance, "{got}, expected {want}");
}

impl Outcome {
    /// AUC and KS of the bank alone and joint, uplift and its interval, as printed in the README.
    fn is(&self, want: [f64; 7]) {
        let got = [
            self.bank_alone.auc,
            self.bank_alone.ks,
            self.joint.auc,
            self.joint.ks,
            self.uplift.delta,
            self.uplift.ci95[0],
            self.uplift.ci95[1],
        ];
        for (got, want) in got.into_iter().zip(want) {
            near(got, want, 5.1e-5);
        }
    }
}

/// All customers are common, so the reference optimum of the whole set applies: the figures are
/// scikit-learn's.
#[test]
fn german_credit_reaches_the_reference() {
    let got = outcome(
        "german_credit",
        &[
            "duration_in_month",
            "credit_amount",
            "installment_rate_in_percentage_of_disposable_income",
            "number_of_existing_credits_at_this_bank",
        ],
        &[
            "present_residence_since",
            "age_in_years",
            "number_of_people_being_liable_to_provide_maintenance_for",
        ],
    );
    assert_eq!((got.rows, got.common), ([1000, 1000], 1000));
    assert_eq!((got.test_rows, got.joint.bads), (314, 101));
    near(got.joint_model.intercept, -1.326_952_744_8, 1e-6);
    near(got.joint_model.coefficients[0], 0.347_726_883_2, 1e-6);
    near(got.joint.auc, 0.79817, 1e-5);
    near(got.joint.ks, 0.462, 1e-5);
    got.is([0.7676, 0.4354, 0.7982, 0.4620, 0.0305, -0.0024, 0.0635]);
    assert!(!got.uplift.is_significant());
}

#[test]
fn lending_club_gains_from_the_bureau() {
    let bureau = [
        "delinq_2yrs",
        "inq_last_6mths",
        "revol_util",
        "acc_now_delinq",
        "open_il_6m",
        "open_il_12m",
        "open_il_24m",
        "total_bal_il",
        "all_util",
        "inq_fi",
        "inq_last_12m",
        "delinq_amnt",
        "num_il_tl",
        "total_il_high_credit_limit",
    ];
    let got = outcome("lending_club", &["funded_amnt", "annual_inc"], &bureau);
    assert_eq!((got.rows, got.common), ([9358, 9420], 8921));
    assert_eq!((got.test_rows, got.joint.bads), (2727, 146));
    got.is([0.5684, 0.1441, 0.6467, 0.2392, 0.0782, 0.0436, 0.1128]);
    assert!(got.uplift.is_significant());
}

#[test]
fn taiwan_gains_from_the_credit_limit() {
    let got = outcome("taiwan_6000", &["BILL_AMT1"], &["LIMIT_BAL"]);
    assert_eq!((got.rows, got.common), ([5473, 5391], 4864));
    assert_eq!((got.test_rows, got.joint.bads), (1476, 332));
    got.is([0.5687, 0.1444, 0.6090, 0.1949, 0.0403, 0.0096, 0.0710]);
    assert!(got.uplift.is_significant());
}
