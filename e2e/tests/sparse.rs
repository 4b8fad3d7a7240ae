//! A penalty that sets coefficients to exactly 0, and a sign that one must keep, as a whole job.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fs, path::Path};

use common::{Said, example, number, sandbox};
use serde_json::Value;

fn german(dir: &Path, name: &str, text: &str) -> Said {
    let job = dir.join(format!("{name}.toml"));
    fs::write(&job, text).unwrap();
    let data = example("data/german_credit");
    let [bank, partner] = ["bank.csv", "partner.csv"].map(|file| data.join(file));
    sandbox(&job, &bank, &partner, &dir.join(name), &[])
}

/// Coefficients of both parties by column.
fn coefficients(dir: &Path, name: &str) -> Vec<(String, f64)> {
    let read = |party: &str| -> Value {
        let path = dir.join(name).join(party).join("model.json");
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let of = |column: &Value| {
        let name = column["name"].as_str().unwrap().to_owned();
        (name, number(column, "coef"))
    };
    let halves = ["bank", "partner"].map(read);
    let columns = halves.iter().flat_map(|half| half["columns"].as_array());
    columns.flatten().map(of).collect()
}

#[test]
fn small_coefficients_are_exactly_zero_and_signs_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_sparse.toml")).unwrap();
    let said = german(dir.path(), "sparse", &text);
    assert_eq!(said.code, 0, "{said:?}");
    // the pooled fit is by coordinate descent
    let apart = number(&said.json(), "coef_max_abs_diff");
    assert!(apart < 1e-3, "{apart}");
    let sparse = coefficients(dir.path(), "sparse");

    // the same without them
    let from = text.find("l1 = ").unwrap();
    let (before, after) = (&text[..from], &text[text.find("l2 = ").unwrap()..]);
    let sign = after.find("[[model.sign]]").unwrap()..after.find("[outputs]").unwrap();
    let mut plain = format!("{before}{after}");
    plain.replace_range(before.len() + sign.start..before.len() + sign.end, "");
    let said = german(dir.path(), "plain", &plain);
    assert_eq!(said.code, 0, "{said:?}");
    let plain = coefficients(dir.path(), "plain");

    let zeros = |of: &[(String, f64)]| of.iter().filter(|(_, w)| *w == 0.0).count();
    assert_eq!((sparse.len(), zeros(&plain)), (plain.len(), 0));
    let kept = sparse.len() - zeros(&sparse);
    assert!(zeros(&sparse) >= 5 && kept >= 10, "{sparse:?}");
    let of = |all: &[(String, f64)]| {
        let column = |(name, _): &&(String, f64)| name == "present_residence_since";
        all.iter().find(column).unwrap().1
    };
    // without the sign it would be positive, or the sign shows nothing
    assert!(of(&plain) > 0.0 && of(&sparse) <= 0.0, "{plain:?}");
}

#[test]
fn standard_errors_of_such_a_fit_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_sparse.toml")).unwrap();
    let text = text.replace("[outputs]\n", "[outputs]\nstandard_errors = true\n");
    german(dir.path(), "refused", &text).refuses(1, &["outputs.standard_errors"]);
}
