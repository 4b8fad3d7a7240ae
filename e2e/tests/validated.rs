//! What the label holder computes from columns that are no features: months, an incumbent, an attribute.

#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{Said, example, paripassu};
use serde_json::Value;

const MONTHS: [&str; 6] = [
    "2025-07", "2025-08", "2025-09", "2025-10", "2025-11", "2025-12",
];

/// The bank's file with columns that say something about rows without being features.
fn bank_file(dir: &Path) -> (std::path::PathBuf, BTreeMap<String, (usize, f64)>) {
    let text = fs::read_to_string(example("data/lending_club/bank.csv")).unwrap();
    let mut lines = text.lines();
    let header = lines.next().unwrap();
    let at = |name: &str| header.split(',').position(|c| c == name).unwrap();
    let (amount, id) = (at("funded_amnt"), at("id"));
    let mut out = format!("{header},month,region,old_score,alerts,sex\n");
    let mut told = BTreeMap::new();
    for (i, line) in lines.enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let amount: f64 = cells[amount].parse().unwrap();
        let month = i * 7 % MONTHS.len();
        let score = 700.0 - amount / 100.0;
        told.insert(cells[id].to_owned(), (month, score));
        out += &format!(
            "{line},{},{},{score},{},{}\n",
            MONTHS[month],
            ["north", "south"][i % 2],
            u8::from(amount > 20_000.0),
            if i % 400 == 3 {
                "X"
            } else {
                ["F", "M"][i / 3 % 2]
            },
        );
    }
    let path = dir.join("bank.csv");
    fs::write(&path, out).unwrap();
    (path, told)
}

const ASKED: &str = "
[evaluation]
month = \"month\"
out_of_time = \"2025-12\"
segment = \"region\"
incumbent = { column = \"old_score\", higher = \"better\" }
rules = \"alerts\"
approve = 0.7
loss = { lgd = 0.45, exposure = \"funded_amnt\" }
fairness = { column = \"sex\", reference = \"F\", min_rows = 50 }
resamples = 200
";

fn run(text: &str, bank: &Path, dir: &Path, out: &str) -> (Said, std::path::PathBuf) {
    let job = dir.join(format!("{out}.toml"));
    fs::write(&job, text).unwrap();
    let out = dir.join(out);
    let partner = example("data/lending_club/partner.csv");
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(&job);
    for (party, file) in [("bank", bank), ("partner", &partner)] {
        let files = format!("{party}={}", file.display());
        command.arg("--party").arg(files);
    }
    let said = command.arg("--out").arg(&out).output().unwrap().into();
    (said, out)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Share of pairs of a bad and a good that are ranked rightly, ties one half.
fn auc(rows: &[(u8, f64)]) -> f64 {
    let side = |label| rows.iter().filter(move |r| r.0 == label).map(|r| r.1);
    let (mut right, mut pairs) = (0.0, 0.0);
    for bad in side(1) {
        for good in side(0) {
            pairs += 1.0;
            right += f64::from(u8::from(bad > good)) + 0.5 * f64::from(u8::from(bad == good));
        }
    }
    right / pairs
}

#[test]
fn months_incumbents_and_attributes_are_reported_to_the_label_holder_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, told) = bank_file(dir.path());
    let text = fs::read_to_string(example("lending_club.toml")).unwrap();
    let text =
        text.replace(
            "\"funded_amnt\", \"annual_inc\"",
            "\"funded_amnt\", \"annual_inc\", \"old_score\", \"alerts\"",
        )
        .replace(
            "\"emp_length\"",
            "\"emp_length\", \"month\", \"region\", \"sex\"",
        ) + ASKED;
    let (said, out) = run(&text, &bank, dir.path(), "out");
    assert_eq!(said.code, 0, "{said:?}");
    // rows out of time weigh nothing, here as in the pooled fit
    let metrics = json(&out.join("metrics.json"));
    let apart = metrics["coef_max_abs_diff"].as_f64().unwrap();
    assert!(apart < 1e-3, "{metrics:#}");
    let model = fs::read_to_string(out.join("bank/model.json")).unwrap();
    for no_feature in ["month", "region", "old_score", "alerts", "sex"] {
        assert!(
            !model.contains(&format!("\"{no_feature}")),
            "{no_feature}: {model}"
        );
    }

    let report = json(&out.join("bank/report.json"));
    let v = &report["validation"];
    // each month's AUC, computed anew from the predictions
    let mut by_month: Vec<Vec<(u8, f64)>> = vec![Vec::new(); MONTHS.len()];
    let predictions = fs::read_to_string(out.join("bank/predictions.csv")).unwrap();
    for line in predictions.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (month, _) = told[cells[0]];
        by_month[month].push((cells[1].parse().unwrap(), cells[3].parse().unwrap()));
    }
    let groups = v["groups"].as_array().unwrap();
    for (month, rows) in MONTHS.iter().zip(&by_month) {
        let found = groups
            .iter()
            .find(|g| g["group"] == **month && g["model"] == "joint")
            .unwrap();
        assert_eq!(found["rows"], rows.len());
        let got = found["auc"][0].as_f64().unwrap();
        assert!((got - auc(rows)).abs() < 1e-9, "{month}: {got}");
    }
    let of = |by: &str| groups.iter().filter(|g| g["by"] == by).count();
    assert_eq!((of("sample"), of("month"), of("segment")), (4, 12, 4));
    let late = groups.iter().find(|g| g["group"] == "out of time").unwrap();
    assert_eq!(late["rows"], by_month[5].len());

    let challenge = v["challenge"]["rows"].as_array().unwrap();
    assert_eq!(challenge.len(), 7);
    assert_eq!(challenge[6]["month"], "all");
    assert_eq!(v["swap"]["before"], "old_score");
    assert_eq!(v["models"][1]["intervals"]["resamples"], 200);
    let flagged = &v["top"][2];
    assert_eq!(flagged["model"], "alerts");
    // a handful of X is not shown, nor is the next smallest, from which it would follow
    let fairness = &v["fairness"];
    let left_out: Vec<_> = fairness["left_out"].as_array().unwrap().iter().collect();
    assert!(
        left_out.len() == 2 && left_out.contains(&&Value::from("X")),
        "{fairness}"
    );
    for table in [
        "by_group",
        "challenger",
        "precision_at_n",
        "cutoffs",
        "swap_set",
        "stability",
    ] {
        assert!(
            out.join(format!("bank/tables/{table}.csv")).is_file(),
            "{table}"
        );
    }

    // the partner has stability of its own columns, and nothing of the bank's months or attributes
    let theirs = fs::read_to_string(out.join("partner/report.json")).unwrap();
    let report: Value = serde_json::from_str(&theirs).unwrap();
    assert!(report["validation"].is_null());
    assert_eq!(report["drift"]["samples"].as_array().unwrap().len(), 1);
    for secret in ["2025-07", "old score", "north", "out of time"] {
        assert!(!theirs.contains(secret), "{secret}");
    }
}

#[test]
fn an_evaluation_of_columns_that_are_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, _) = bank_file(dir.path());
    let text = fs::read_to_string(example("lending_club.toml")).unwrap();
    for (asked, want) in [
        (
            "month = \"months\"",
            "`months` is none of the categorical columns that `bank` lists",
        ),
        ("out_of_time = \"2025\"", "there is no evaluation.month"),
        ("approve = 1", "1 is outside 0.01 to 0.99"),
        (
            "rules = \"open_il_6m\"",
            "none of the numeric columns that `bank` lists",
        ),
    ] {
        let text = format!("{text}\n[evaluation]\n{asked}\n");
        let (said, _) = run(&text, &bank, dir.path(), "refused");
        let told = said.out.clone() + &said.err;
        assert!(said.code != 0 && told.contains(want), "{want}: {told}");
    }
}
