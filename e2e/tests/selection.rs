//! Columns of several parties that say the same, as whole jobs: which go, what is told, and the model that is left.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{Said, example, paripassu};
use serde_json::Value;

/// Runs a job in which parties other than the bank read the same file.
fn sandbox(job: &Path, parties: &[&str], out: &Path) -> Said {
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    for party in parties {
        let file = if *party == "bank" { "bank" } else { "partner" };
        let file = example("data/lending_club").join(format!("{file}.csv"));
        let given = format!("{party}={}", file.display());
        command.arg("--party").arg(given);
    }
    command.arg("--out").arg(out).output().unwrap().into()
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn changed(dir: &Path, change: impl Fn(String) -> String) -> PathBuf {
    let path = dir.join("job.toml");
    let text = fs::read_to_string(example("three_parties_selection.toml")).unwrap();
    fs::write(&path, change(text)).unwrap();
    path
}

#[test]
fn columns_that_say_the_same_go_as_from_pooled_columns() {
    let dir = tempfile::tempdir().unwrap();
    let (out, parties) = (dir.path().join("out"), ["bank", "loans", "accounts"]);
    let said = sandbox(&example("three_parties_selection.toml"), &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    // the pooled twin selects by itself: names of columns and coefficients are the same
    common::assert_lands(&said.json());
    let reports: Vec<Value> = parties
        .iter()
        .map(|party| json(out.join(party).join("report.json")))
        .collect();
    let gone = |report: &Value| -> Vec<(usize, String)> {
        let columns = report["selection"]["columns"].as_array().unwrap();
        let left_out = columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c["kept"] == false);
        left_out
            .map(|(at, c)| (at, c["owner"].as_str().unwrap().to_owned()))
            .collect()
    };
    let all = gone(&reports[0]);
    assert!(reports.iter().all(|r| gone(r) == all));
    // of the pairs of both bureaus at least three columns, and a level of each of the bank's categories
    let of = |party: &str| all.iter().filter(|(_, owner)| owner == party).count();
    let columns = reports[0]["selection"]["columns"].as_array().unwrap();
    let left = |c: &&Value| {
        c["reason"]
            .as_str()
            .unwrap()
            .contains("left the model in step")
    };
    let steps = columns.iter().filter(left).count() as u64;
    assert!(steps >= 2, "{columns:?}");
    assert!(
        of("loans") + of("accounts") >= 2 && of("bank") >= 2,
        "{all:?}"
    );
    for (party, report) in parties.iter().zip(&reports) {
        let columns = report["selection"]["columns"].as_array().unwrap();
        let own: Vec<&Value> = columns.iter().filter(|c| c["owner"] == *party).collect();
        let others = columns.iter().filter(|c| c["owner"] != *party);
        for c in others {
            let name = c["column"].as_str().unwrap();
            assert!(name.starts_with("column ") && c["vif"].is_null(), "{c}");
        }
        for c in &own {
            match c["kept"] == true {
                true => assert!((1.0..=4.0).contains(&c["vif"].as_f64().unwrap()), "{c}"),
                false => assert!(!c["reason"].as_str().unwrap().is_empty(), "{c}"),
            }
        }
        let stays = own.iter().filter(|c| c["kept"] == true).count();
        let model = json(out.join(party).join("model.json"));
        assert_eq!(model["columns"].as_array().unwrap().len(), stays);
        for file in ["joint_selection", "correlations_across"] {
            assert!(out.join(party).join(format!("tables/{file}.csv")).is_file());
        }
        let opened = report["disclosures"].as_array().unwrap();
        let times = |id: &str| {
            let of = |d: &&Value| d["what"].as_str().unwrap().starts_with(&format!("{id}:"));
            opened.iter().find(of).unwrap()["happened"]
                .as_u64()
                .unwrap()
        };
        assert_eq!(
            times("selection.pairs") + times("selection.correlations"),
            2
        );
        assert_eq!(times(&format!("selection.vif.{party}")), 1);
        // each that left, and that none did any more
        assert_eq!(times("selection.leaving"), steps + 1);
        for c in report["coefficients"]["rows"].as_array().unwrap() {
            assert!(c["p"].as_f64().unwrap() <= 0.0501, "{c}");
        }
        let notes = report["notes"].to_string();
        assert!(notes.contains("p-values are too small"), "{notes}");
        let inflated = columns.iter().filter(|c| {
            let why = c["reason"].as_str().unwrap();
            why.contains("variance inflation was the largest")
        });
        assert_eq!(times("selection.inflated"), inflated.count() as u64 + 1);
        let bundle = fs::read_dir(out.join(party)).unwrap().flatten();
        let bundle = bundle
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|e| e == "bundle"));
        let said = common::run(["audit", "verify", bundle.unwrap().to_str().unwrap()]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    // a pair across the bureaus, as in the file
    let across = reports[1]["selection"]["correlations"].as_array().unwrap();
    let pair = across
        .iter()
        .find(|c| c["column"] == "total_bal_il" && c["with"] == "column 4");
    let r = pair.unwrap()["r"].as_f64().unwrap();
    assert!((0.9..1.0).contains(&r), "{r}");
    // the bank's own model still has all the bank's columns
    let page = fs::read_to_string(out.join("bank").join("report.html")).unwrap();
    assert!(
        page.contains("which tells more of the label"),
        "no reason on the page"
    );
}

#[test]
fn columns_enter_as_they_enter_the_pooled_fit() {
    for (rule, both) in [
        ("direction = \"forward\", enter = 0.01", false),
        ("direction = \"both\", by = \"aic\"", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (out, parties) = (dir.path().join("out"), ["bank", "loans", "accounts"]);
        let backward = "direction = \"backward\", by = \"p-value\", leave = 0.05";
        let job = changed(dir.path(), |text| {
            assert!(text.contains(backward));
            text.replacen(backward, rule, 1)
        });
        let said = sandbox(&job, &parties, &out);
        assert_eq!(said.code, 0, "{said:?}");
        // the pooled twin steps by itself: names of columns and coefficients are the same
        common::assert_lands(&said.json());
        let mut places = Vec::new();
        for party in parties {
            let report = json(out.join(party).join("report.json"));
            let columns = report["selection"]["columns"].as_array().unwrap();
            let reason = |c: &Value| c["reason"].as_str().unwrap().to_owned();
            // every column that came to the steps says what became of it
            assert!(columns.iter().all(|c| !reason(c).is_empty()), "{columns:?}");
            let entered: Vec<&Value> = columns.iter().filter(|c| c["kept"] == true).collect();
            assert!(entered.len() >= 3, "{entered:?}");
            for c in &entered {
                assert!(reason(c).contains("entered the model in step"), "{c}");
            }
            let outside = |c: &&Value| reason(c).contains("did not enter the model");
            assert!(columns.iter().filter(outside).count() >= 1);
            places.push(
                columns
                    .iter()
                    .map(|c| c["kept"].clone())
                    .collect::<Vec<_>>(),
            );
            let own = entered.iter().filter(|c| c["owner"] == party).count();
            let model = json(out.join(party).join("model.json"));
            assert_eq!(model["columns"].as_array().unwrap().len(), own);
            let opened = report["disclosures"].as_array().unwrap();
            let times = |id: &str| {
                let of = |d: &&Value| d["what"].as_str().unwrap().starts_with(&format!("{id}:"));
                let found = opened.iter().find(of);
                found.map(|d| d["happened"].as_u64().unwrap())
            };
            assert!(times("selection.entering").unwrap() > entered.len() as u64);
            assert_eq!(times("selection.leaving").is_some(), both);
            let bundle = fs::read_dir(out.join(party)).unwrap().flatten();
            let bundle = bundle
                .map(|e| e.path())
                .find(|p| p.extension().is_some_and(|e| e == "bundle"));
            let said = common::run(["audit", "verify", bundle.unwrap().to_str().unwrap()]);
            assert_eq!(said.code, 0, "{said:?}");
            let table = fs::read_to_string(out.join(party).join("tables/joint_selection.csv"));
            assert!(table.unwrap().contains("entered the model in step"));
        }
        assert!(places.iter().all(|p| *p == places[0]));
    }
}

#[test]
fn filters_come_before_trials_penalties_and_signs() {
    let steps = "stepwise = { direction";
    for (added, held) in [
        ("\n[tuning]\nl2 = [0.1, 1, 10]\nfolds = 3\n", false),
        (
            "\n[model]\nl1 = 20\n\n[[model.sign]]\nparty = \"bank\"\ncolumn = \"annual_inc\"\nsign = \"negative\"\n",
            true,
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (out, parties) = (dir.path().join("out"), ["bank", "loans", "accounts"]);
        let job = changed(dir.path(), |text| {
            let lines = text.lines().filter(|l| !l.starts_with(steps));
            let text: Vec<&str> = lines.collect();
            let text = text.join("\n") + added;
            match held {
                true => text.replace("standard_errors = true", "standard_errors = false"),
                false => text,
            }
        });
        let said = sandbox(&job, &parties, &out);
        assert_eq!(said.code, 0, "{said:?}");
        common::assert_lands(&said.json());
        let report = json(out.join("bank").join("report.json"));
        let columns = report["selection"]["columns"].as_array().unwrap();
        assert!(columns.iter().any(|c| c["kept"] == false));
    }
}

#[test]
fn without_limits_nothing_goes_and_each_learns_its_own_inflation() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let job = changed(dir.path(), |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.retain(|l| {
            !["max_correlation", "max_vif", "correlations", "stepwise"]
                .iter()
                .any(|k| l.starts_with(k))
        });
        lines.join("\n")
    });
    let parties = ["bank", "loans", "accounts"];
    let said = sandbox(&job, &parties, &out);
    assert_eq!(said.code, 0, "{said:?}");
    common::assert_lands(&said.json());
    let bank = json(out.join("bank").join("report.json"));
    let columns = bank["selection"]["columns"].as_array().unwrap();
    assert!(columns.iter().all(|c| c["kept"] == true));
    // levels of a category add up to one
    let level = |c: &&Value| c["column"].as_str().unwrap().starts_with("term=");
    assert!(columns.iter().filter(level).all(|c| c["beyond"] == true));
    let accounts = json(out.join("accounts").join("report.json"));
    let columns = accounts["selection"]["columns"].as_array().unwrap();
    let limit = columns
        .iter()
        .find(|c| c["column"] == "total_il_high_credit_limit");
    assert!(limit.unwrap()["vif"].as_f64().unwrap() > 5.0);
    assert!(bank["selection"].get("correlations").is_none());
    // what a run of one round cost is what its plan says
    for party in parties {
        let report = json(out.join(party).join("report.json"));
        let stages = report["planned"]["stages"].as_array().unwrap();
        let prepare = stages.iter().find(|s| s["stage"] == "prepare").unwrap();
        let (rounds, bytes) = (&prepare["rounds"], &prepare["bytes"]);
        assert_eq!(
            rounds["for_this_run"], rounds["counted"],
            "{party} {prepare}"
        );
        assert_eq!(bytes["for_this_run"], bytes["counted"], "{party} {prepare}");
    }
}

#[test]
fn weights_of_evidence_are_selected_from_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(example("german_credit_woe.toml")).unwrap();
    let job = dir.path().join("job.toml");
    let asked = "\n[selection]\nmax_correlation = 0.3\nmax_vif = 1.2\n";
    fs::write(
        &job,
        format!("{text}{asked}").replace("noise_rows = 2", "noise_rows = 0"),
    )
    .unwrap();
    let data = example("data/german_credit");
    let [bank, partner] = ["bank.csv", "partner.csv"].map(|file| data.join(file));
    let out = dir.path().join("out");
    let said = common::sandbox(&job, &bank, &partner, &out, &[]);
    assert_eq!(said.code, 0, "{said:?}");
    common::assert_lands(&said.json());
    let mut gone = 0;
    for party in ["bank", "partner"] {
        let report = json(out.join(party).join("report.json"));
        let columns = report["selection"]["columns"].as_array().unwrap();
        for c in columns
            .iter()
            .filter(|c| c["owner"] == party && c["kept"] == false)
        {
            gone += 1;
            // its bins say why as well
            let bins = json(out.join(party).join("bins.json"));
            let bins = bins["columns"].as_array().unwrap();
            let of = bins.iter().find(|b| b["reason"] == c["reason"]).unwrap();
            let (name, source) = (
                c["column"].as_str().unwrap(),
                of["column"].as_str().unwrap(),
            );
            assert!(of["kept"] == false && name.contains(source), "{of}");
        }
    }
    assert!(gone >= 1, "nothing correlates");
}

#[test]
fn selections_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (from, to, want) in [
        (
            "max_vif = 4",
            "max_vif = 4000",
            "4000 is outside 1.1 to 1000",
        ),
        (
            "max_correlation = 0.75",
            "max_correlation = 1",
            "outside 0.1 to 0.999",
        ),
        (
            "correlations = \"all\"",
            "correlations = \"al\"",
            "did you mean `all`",
        ),
        ("backward", "forwards", "did you mean `forward`"),
        (
            "leave = 0.05",
            "enter = 0.05",
            "no column enters in backward steps",
        ),
        (
            "\"backward\", by",
            "\"forward\", by",
            "no column leaves in forward steps",
        ),
        (
            "direction = \"backward\", by = \"p-value\"",
            "direction = \"both\", enter = 0.1, by = \"p-value\"",
            "leave may not be below enter",
        ),
        ("p-value", "aic", "knows no p-value"),
        (
            "max_steps = 50",
            "max_steps = 500",
            "500 is outside 1 to 200",
        ),
        ("leave = 0.05", "leave = 5", "5 is outside 0.0001 to 0.9"),
        ("max_vif", "max_viff", "did you mean `max_vif`"),
    ] {
        let job = changed(dir.path(), |text| {
            let text = text.replacen("leave = 0.05 }", "leave = 0.05, max_steps = 50 }", 1);
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let said = common::run(["job", "plan", job.to_str().unwrap()]);
        let told = said.out.clone() + &said.err;
        assert!(said.code != 0 && told.contains(want), "{want}: {told}");
    }
    let strict = fs::read_to_string(example("german_credit_strict.toml")).unwrap();
    let job = dir.path().join("strict.toml");
    fs::write(&job, format!("{strict}\n[selection]\nmax_vif = 5\n")).unwrap();
    let said = common::run(["job", "plan", job.to_str().unwrap()]);
    said.refuses(1, &["leave out [selection]"]);
}
