//! Halves of a model as scorecard, PMML and ONNX, scored by engines that are not ours.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{Said, example, paripassu};

fn python() -> String {
    std::env::var("PARIPASSU_SPEC_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Runs a program of docs/spec; none where what it needs is not installed, which CI does not accept.
fn spec(program: &str, args: &[&Path]) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/spec")
        .join(program);
    let ran = Command::new(python())
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    if ran.status.success() {
        return Some(String::from_utf8(ran.stdout).unwrap());
    }
    let why = String::from_utf8_lossy(&ran.stderr).into_owned();
    let absent = why.contains("ModuleNotFoundError");
    assert!(
        absent && std::env::var_os("CI").is_none(),
        "{program}: {why}"
    );
    eprintln!("skipped: {why}");
    None
}

fn run(args: &[&std::ffi::OsStr]) -> Said {
    let said: Said = paripassu().args(args).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");
    said
}

/// Second and third column by id.
fn read(text: &str) -> BTreeMap<String, (String, String)> {
    text.lines()
        .skip(1)
        .map(|line| {
            let mut cells = line.splitn(3, ',');
            let mut cell = || {
                cells
                    .next()
                    .unwrap_or_default()
                    .trim_matches('"')
                    .to_owned()
            };
            (cell(), (cell(), cell()))
        })
        .collect()
}

#[test]
fn every_half_scores_alike_by_other_engines() {
    halves_score_alike("german_credit.toml");
}

#[test]
fn every_half_of_bins_scores_alike_by_other_engines() {
    halves_score_alike("german_credit_woe.toml");
}

fn halves_score_alike(job: &str) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let job = example(job);
    let files: Vec<(&str, PathBuf)> = ["bank", "partner"]
        .map(|p| (p, example(&format!("data/german_credit/{p}.csv"))))
        .into();
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(&job);
    for (party, file) in &files {
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    let said: Said = command.arg("--out").arg(&out).output().unwrap().into();
    assert_eq!(said.code, 0, "{said:?}");

    let mut exact: BTreeMap<String, f64> = BTreeMap::new();
    let mut points: BTreeMap<String, i64> = BTreeMap::new();
    let mut characteristics = 0;
    for (party, file) in &files {
        let card = dir.path().join(party);
        run(&[
            "model".as_ref(),
            "export".as_ref(),
            out.join(party).as_ref(),
            "--preset".as_ref(),
            "toad".as_ref(),
            "--out".as_ref(),
            card.as_ref(),
        ]);
        let scored = dir.path().join(format!("{party}-points.csv"));
        run(&[
            "model".as_ref(),
            "score".as_ref(),
            card.join("scorecard.json").as_ref(),
            "--data".as_ref(),
            file.as_ref(),
            "--out".as_ref(),
            scored.as_ref(),
        ]);
        let ours = read(&fs::read_to_string(&scored).unwrap());
        assert!(ours.len() > 900);
        // PMML: every point and every reason
        let theirs = spec("score_pmml.py", &[&card.join("scorecard.pmml"), file]).unwrap();
        assert_eq!(read(&theirs), ours, "{party}");
        let most = |(_, reasons): &(String, String)| reasons.split(' ').count();
        assert!(ours.values().map(most).max() >= Some(3));
        for (id, (p, _)) in &ours {
            *points.entry(id.clone()).or_default() += p.parse::<i64>().unwrap();
        }
        let text = fs::read_to_string(card.join("scorecard.json")).unwrap();
        characteristics += text.matches("\"reason_code\"").count();
        // ONNX: the party's part of the log-odds
        let Some(theirs) = spec("score_onnx.py", &[&card.join("model.onnx"), file]) else {
            continue;
        };
        for (id, (z, _)) in read(&theirs) {
            *exact.entry(id).or_default() += z.parse::<f64>().unwrap();
        }
    }
    // halves add up to what the job opened for the test rows
    let predictions = fs::read_to_string(out.join("bank/predictions.csv")).unwrap();
    let factor = 60.0 / std::f64::consts::LN_2;
    let offset = 750.0 - factor * 35f64.ln();
    let rounding = 0.5 * (characteristics + 1) as f64 + factor * 0.001;
    let mut seen = 0;
    for line in predictions.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let z: f64 = cells[2].parse().unwrap();
        let score = points[cells[0]] as f64;
        assert!(
            (score - (offset - factor * z)).abs() <= rounding,
            "{line}: {score}"
        );
        if let Some(theirs) = exact.get(cells[0]) {
            assert!((theirs - z).abs() < 1e-3, "{line}: {theirs}");
        }
        seen += 1;
    }
    assert!(seen > 200);
}
