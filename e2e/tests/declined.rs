//! Applicants who were declined, as whole jobs: what is inferred is what the same does in the clear, what is opened is what the
//! contract says, and data that does not fit names its row.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Said, example, paripassu, run};
use serde_json::Value;

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The example, changed line by line.
fn job(dir: &Path, change: impl Fn(&str) -> Option<String>) -> PathBuf {
    let text = fs::read_to_string(example("declined_applicants.toml")).unwrap();
    let text: Vec<String> = text.lines().filter_map(change).collect();
    let path = dir.join("job.toml");
    fs::write(&path, text.join("\n")).unwrap();
    path
}

/// A bank and a bureau that the product makes up, of so many customers.
fn made(dir: &Path, rows: &str) -> PathBuf {
    let data = dir.join("data");
    let said = run([
        "data",
        "synth",
        "--rows",
        rows,
        "--party",
        "bank,bureau",
        "--declined",
        "0.25",
        "--out",
        data.to_str().unwrap(),
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    data
}

fn sandbox(job: &Path, data: &Path, out: &Path) -> Said {
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for party in ["bank", "bureau"] {
        let file = data.join(format!("{party}.csv"));
        command
            .arg("--party")
            .arg(format!("{party}={}", file.display()));
    }
    command.arg("--out").arg(out).output().unwrap().into()
}

/// How often a disclosure happened, if it is declared.
fn times(report: &Value, id: &str) -> Option<u64> {
    let opened = report["disclosures"].as_array().unwrap();
    let of = |d: &&Value| d["what"].as_str().unwrap().starts_with(&format!("{id}:"));
    opened.iter().find(of)?["happened"].as_u64()
}

#[test]
fn a_scorecard_for_all_who_apply_is_the_one_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (made(dir.path(), "30000"), dir.path().join("out"));
    let said = sandbox(&example("declined_applicants.toml"), &data, &out);
    assert_eq!(said.code, 0, "{said:?}");
    let metrics = said.json();
    // noise in the counts behind the bureau's weights of evidence moves its coefficients a little
    assert!(
        common::number(&metrics, "auc_abs_diff") < 0.01,
        "{metrics:#}"
    );
    let bank = json(out.join("bank").join("report.json"));
    let told = &bank["rejects"];
    let pair = |key: &str| {
        [
            told[key][0].as_u64().unwrap(),
            told[key][1].as_u64().unwrap(),
        ]
    };
    let ([known, declined], [tested, left_out]) = (pair("train"), pair("test"));
    let share = declined as f64 / (known + declined) as f64;
    assert!((0.2..0.3).contains(&share), "{told}");
    assert_eq!(bank["data"]["train"]["rows"], known);
    assert_eq!(bank["data"]["test"]["rows"], tested);
    assert!(left_out > 500);
    let rate = |key: &str| told[key].as_f64().unwrap();
    // riskier columns, and the factor
    assert!(rate("inferred") > 2.0 * rate("observed"), "{told}");
    assert_eq!(told["metrics"].as_array().unwrap().len(), 4);
    let coefficients = told["coefficients"].as_array().unwrap();
    let own = bank["coefficients"]["rows"].as_array().unwrap();
    assert_eq!(coefficients.len(), own.len() + 1);
    assert!(own.iter().all(|c| c["name"] != "declined"));
    for table in ["reject_inference", "reject_comparison"] {
        assert!(
            out.join("bank")
                .join(format!("tables/{table}.csv"))
                .is_file()
        );
    }
    let page = fs::read_to_string(out.join("bank/report.html")).unwrap();
    assert!(page.contains("assumption of the job, not found in data"));
    let card = fs::read_to_string(out.join("bank/model_card.md")).unwrap();
    assert!(
        card.contains("multiplied by 2"),
        "no word in the model card"
    );
    let predictions = fs::read_to_string(out.join("bank/predictions.csv")).unwrap();
    assert_eq!(predictions.lines().count() as u64, tested + 1);

    // the bureau: the same rows whoever was declined, and no word of how many
    let bureau = json(out.join("bureau").join("report.json"));
    assert_eq!(bureau["data"]["train"]["rows"], known + declined);
    for key in ["train", "test", "observed", "inferred"] {
        assert!(bureau["rejects"].get(key).is_none(), "{key}");
    }
    assert!(
        !bureau["rejects"]["coefficients"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(!out.join("bureau/metrics.json").exists());
    let counts = [known, declined].map(|n| n.to_string());
    for (file, bytes) in common::files_below(&out.join("bureau")) {
        let text = String::from_utf8_lossy(&bytes);
        let part = |c: char| c.is_ascii_alphanumeric() || ".+/=_-".contains(c);
        let mut words = text.split(|c: char| !part(c));
        let told = words.any(|word| counts.iter().any(|n| n == word));
        assert!(!told, "a count of declined rows in {}", file.display());
    }
    for (report, party) in [(&bank, "bank"), (&bureau, "bureau")] {
        for id in ["reject.rate", "reject.scores", "binning.goods.bureau"] {
            assert_eq!(times(report, id), Some(1), "{party}: {id}");
        }
        assert_eq!(
            times(report, &format!("reject.coefficients.{party}")),
            Some(1)
        );
        let stages = report["planned"]["stages"].as_array().unwrap();
        let train = stages.iter().find(|s| s["stage"] == "train").unwrap();
        for (of, within) in [("bytes", 0.05), ("rounds", 0.02)] {
            let [want, got] =
                ["for_this_run", "counted"].map(|key| train[of][key].as_f64().unwrap());
            assert!((got / want - 1.0).abs() < within, "{party} {of}: {train}");
        }
        let bundle = fs::read_dir(out.join(party)).unwrap().flatten();
        let bundle = bundle
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|e| e == "bundle"));
        common::both_verify(&bundle.unwrap());
    }
}

#[test]
fn plain_columns_land_on_the_fit_in_the_clear_and_nothing_more_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let data = made(dir.path(), "12000");
    let plain = |line: &str| {
        let gone = ["[binning]", "max_bins", "min_class", "compare"];
        (!gone.iter().any(|key| line.starts_with(key))).then(|| line.to_owned())
    };
    let out = dir.path().join("out");
    let said = sandbox(&job(dir.path(), plain), &data, &out);
    assert_eq!(said.code, 0, "{said:?}");
    common::assert_lands(&said.json());
    let bank = json(out.join("bank").join("report.json"));
    assert!(bank["rejects"]["inferred"].as_f64().is_some());
    assert!(bank["rejects"]["metrics"].as_array().unwrap().is_empty());
    assert_eq!(times(&bank, "reject.rate"), Some(1));
    for id in [
        "reject.scores",
        "reject.coefficients.bank",
        "reject.coefficients.bureau",
    ] {
        assert_eq!(times(&bank, id), None, "{id}");
    }
    // with a factor of 1 the model is that of accepted applicants
    let same = |line: &str| {
        let line = if line.starts_with("odds") {
            "odds = 1.0"
        } else {
            line
        };
        let gone = ["[binning]", "max_bins", "min_class"];
        (!gone.iter().any(|key| line.starts_with(key))).then(|| line.to_owned())
    };
    let out = dir.path().join("same");
    let said = sandbox(&job(dir.path(), same), &data, &out);
    assert_eq!(said.code, 0, "{said:?}");
    for party in ["bank", "bureau"] {
        let report = json(out.join(party).join("report.json"));
        for c in report["rejects"]["coefficients"].as_array().unwrap() {
            let [known, all] = ["known", "inferred"].map(|key| c[key].as_f64().unwrap());
            assert!((known - all).abs() < 2e-4, "{party} {c}");
        }
    }
}

#[test]
fn data_and_jobs_that_do_not_fit_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let data = made(dir.path(), "6000");
    let bank = fs::read_to_string(data.join("bank.csv")).unwrap();
    let lines: Vec<&str> = bank.lines().collect();
    let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let row = |declined: &str| {
        let found = lines.iter().position(|l| cells(l)[4] == declined);
        found.unwrap()
    };
    let with = |at: usize, column: usize, cell: &str| {
        let mut all: Vec<String> = lines.iter().map(|l| (*l).to_owned()).collect();
        let mut changed = cells(&all[at]);
        changed[column] = cell.to_owned();
        all[at] = changed.join(",");
        all.join("\n")
    };
    let (accepted, declined) = (row("0"), row("1"));
    let cases = [
        (
            with(declined, 3, "1"),
            [
                format!("row {declined} "),
                "`y`".into(),
                "has a label".into(),
            ],
        ),
        (
            with(accepted, 3, ""),
            [
                format!("row {accepted} "),
                "`y`".into(),
                "not declined".into(),
            ],
        ),
        (
            with(accepted, 4, "2"),
            [
                format!("row {accepted} "),
                "`declined`".into(),
                "expected 1".into(),
            ],
        ),
        (
            with(accepted, 4, ""),
            [
                format!("row {accepted} "),
                "`declined`".into(),
                "expected 1".into(),
            ],
        ),
    ];
    for (at, (text, words)) in cases.into_iter().enumerate() {
        fs::write(data.join("bank.csv"), text).unwrap();
        let out = dir.path().join(format!("refused-{at}"));
        let said = sandbox(&example("declined_applicants.toml"), &data, &out);
        assert_ne!(said.code, 0, "{words:?}");
        for word in words {
            let found = said.err.contains(&word) || said.out.contains(&word);
            assert!(found, "{word}: {said:?}");
        }
    }
    // without the section an empty label is the error that it is
    fs::write(data.join("bank.csv"), &bank).unwrap();
    let without = |line: &str| {
        let gone = ["[reject", "rejected", "odds", "weight", "compare"];
        (!gone.iter().any(|key| line.starts_with(key))).then(|| line.to_owned())
    };
    let said = sandbox(&job(dir.path(), without), &data, &dir.path().join("empty"));
    said.refuses(said.code.max(1), &["the label is missing"]);
    for (line, with, word) in [
        ("odds = ", "", "leaves the coefficients exactly as they are"),
        ("odds = ", "odds = 50", "0.1 to 20"),
        ("weight = ", "weight = 5", "to 4"),
        (
            "metrics_to",
            "metrics_to = [\"bank\", \"bureau\"]",
            "how many were declined",
        ),
        (
            "min_class",
            "counts = \"strict\"",
            "how many of them are accepted nobody does",
        ),
        (
            "rejected = ",
            "rejected = \"refused\"",
            "none of the numeric columns",
        ),
    ] {
        let changed = |l: &str| {
            let hit = l.starts_with(line);
            (!(hit && with.is_empty())).then(|| if hit { with } else { l }.to_owned())
        };
        let said = run(["job", "plan", job(dir.path(), changed).to_str().unwrap()]);
        said.refuses(said.code.max(1), &[word]);
    }
}
