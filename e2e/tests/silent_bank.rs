//! A bank that stands still while a job runs: the others go on without it and say so, and it comes back. Every node is
//! a process of its own.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fs, path::Path, time::Duration};

use common::{example, number, rig::Rig, wait_for};
use paripassu_audit::{
    bundle::Bundle,
    event::Body,
    verify::{Options, verify},
};
use serde_json::Value;

const BANKS: [&str; 5] = ["north", "east", "south", "west", "isle"];

const COLUMNS: &str = "id = \"id\"\nlabel = \"y\"\n\
    numeric = [\"funded_amnt\", \"annual_inc\", \"inq_last_6mths\", \"revol_util\", \"all_util\", \"inq_last_12m\"]\n\
    categorical = [\"term\", \"verification_status\"]\n";

fn rig() -> Rig {
    let mut rig = Rig::new();
    for bank in BANKS {
        let file = example("data/lending_club_banks").join(format!("{bank}.csv"));
        rig.party(bank, &file, COLUMNS);
    }
    rig
}

/// An example's job, of which four of the five banks are enough.
fn job(example_name: &str) -> String {
    let text = fs::read_to_string(example(example_name)).unwrap();
    let text = text
        .replace("id = \"coordinator\"", "id = \"hub\"")
        .replace("dataset = \"loans\"", "dataset = \"table\"");
    assert!(text.contains("\nthreshold = 4"));
    format!("{text}\n[limits]\nmessage_deadline_s = 16\n")
}

fn begin(rig: &Rig, spec: &str) -> String {
    let job = rig.submit(spec);
    for bank in BANKS {
        rig.approve(bank, &job);
    }
    job
}

fn ended(rig: &Rig, job: &str) -> Value {
    let said = rig.job("modeler", &["watch", job, "--json", "--timeout", "200"]);
    assert_eq!(said.code, 0, "{said:?}");
    said.json()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The latest round that a bank has kept.
fn round(rig: &Rig, bank: &str, job: &str) -> u32 {
    let Ok(entries) = fs::read_dir(rig.path(&format!("{bank}/state/checkpoints/{job}"))) else {
        return 0;
    };
    let round = |name: String| name.strip_suffix(".state")?.parse().ok();
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    names.filter_map(round).max().unwrap_or(0)
}

/// A node's bundle verifies, and names these as missing at some time and at the end.
fn verified(rig: &Rig, node: &str, job: &str) -> (Vec<String>, Vec<String>) {
    let path = rig.path(&format!("{node}/state/bundles/{job}.bundle"));
    wait_for("a bundle", Duration::from_secs(30), || path.exists());
    let bundle = Bundle::load(&path).unwrap();
    let verdict = verify(&bundle, &Options::default());
    // a program with the means of tests says so of itself, which is for check 10 to find
    assert!(matches!(verdict.exit_code, 0 | 19), "{node}: {verdict}");
    let own = bundle.logs.iter().find(|log| log.origin == bundle.node);
    let (mut mid, mut end) = (Vec::new(), Vec::new());
    for event in &own.unwrap().events {
        let body = event.body.as_deref().unwrap_or_default();
        if let Ok(Body::LogUnwitnessed(absence)) = Body::parse("log.unwitnessed", body) {
            match absence.end {
                true => end.extend(absence.missing),
                false => mid.extend(absence.missing),
            }
        }
    }
    (mid, end)
}

/// How many test rows a bank brings: its ids say so.
fn test_rows(bank: &str) -> f64 {
    let text = fs::read_to_string(example("data/lending_club_banks").join(format!("{bank}.csv")));
    let split = paripassu_model::split::IdSplit::new(3).unwrap();
    let text = text.unwrap();
    let ids = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next());
    ids.filter(|id| split.is_test(id)).count() as f64
}

fn model(rig: &Rig, bank: &str, job: &str) -> Value {
    let mut model = json(&rig.path(&format!("{bank}/results/{job}/model.json")));
    model["party"] = Value::Null;
    model
}

#[test]
fn a_bank_that_is_silent_to_the_end_is_left_out_by_name_and_takes_part_in_the_next_job() {
    let rig = rig();
    let spec = job("five_banks.toml")
        .replace("start = \"own-models\"", "start = \"zero\"")
        .replace(
            "[outputs]",
            "[solver]\ntolerance = 1e-7\nmax_passes = 40\n\n[outputs]",
        );
    let mut rows = Vec::new();
    // before its first point, and in the middle of them
    for after in [0, 3] {
        let job = begin(&rig, &spec);
        wait_for("some rounds", Duration::from_secs(60), || match after {
            // it has its keys: the sums of the joint design are next
            0 => {
                rig.log("isle").contains(&format!("job started job={job}"))
                    || round(&rig, "isle", &job) > 0
            }
            _ => round(&rig, "isle", &job) >= after,
        });
        if after == 0 {
            wait_for("the joint design", Duration::from_secs(60), || {
                let said = rig.job("isle", &["status", &job, "--json"]).json();
                said.to_string().contains("joint design") || said["state"] == "training"
            });
        }
        rig.signal("isle", "STOP");
        let told = ended(&rig, &job);
        assert_eq!(told["state"], "released", "{told:#}");
        assert_eq!(told["without"][0], "isle", "{told:#}");
        for bank in &BANKS[..4] {
            assert_eq!(
                model(&rig, bank, &job),
                model(&rig, "north", &job),
                "{bank}"
            );
            let (mid, end) = verified(&rig, bank, &job);
            assert_eq!(
                (&mid[0], &end[..]),
                (&"isle".to_owned(), &["isle".to_owned()][..])
            );
            let metrics = json(&rig.path(&format!("{bank}/results/{job}/metrics.json")));
            assert!(
                number(&metrics, "missing_from_sums.isle.sums") >= 1.0,
                "{metrics:#}"
            );
            let report = rig.path(&format!("{bank}/results/{job}/report.html"));
            let report = fs::read_to_string(report).unwrap();
            assert!(report.contains("isle was missing from"), "{bank}");
            rows.push(number(&metrics, "all_banks.rows"));
        }
        verified(&rig, "hub", &job);

        rig.signal("isle", "CONT");
        wait_for(
            "the word to the bank that is back",
            Duration::from_secs(60),
            || {
                let log = rig.log("isle");
                let lines = log.lines().filter(|line| line.contains(&job));
                let mut words = lines.filter(|line| {
                    line.contains("left out")
                        || line.contains("no longer knows this node's session")
                });
                words.next().is_some()
            },
        );
        assert!(!rig.path(&format!("isle/results/{job}")).exists());
    }
    // the next job is one of five
    let job = begin(&rig, &spec);
    let told = ended(&rig, &job);
    assert_eq!(told["without"].as_array().unwrap().len(), 0, "{told:#}");
    assert_eq!(model(&rig, "isle", &job), model(&rig, "north", &job));
    let metrics = |bank: &str| json(&rig.path(&format!("{bank}/results/{job}/metrics.json")));
    let (all, own) = (
        number(&metrics("north"), "all_banks.rows"),
        test_rows("isle"),
    );
    // what was summed without it is over the rows of those that were there, and no other
    assert!(
        own > 50.0 && rows.iter().all(|rows| *rows == all - own),
        "{rows:?} of {all}, {own}"
    );
}

#[test]
fn a_bank_that_is_silent_for_some_rounds_comes_back_into_the_sums_and_has_the_model() {
    let rig = rig();
    let spec = job("five_banks_network.toml")
        .replace("rounds = 60", "rounds = 40")
        .replace("patience = 10", "patience = 0");
    let job = begin(&rig, &spec);
    wait_for("some rounds", Duration::from_secs(60), || {
        round(&rig, "isle", &job) >= 3
    });
    rig.signal("isle", "STOP");
    let stopped = round(&rig, "north", &job);
    wait_for("the others", Duration::from_secs(60), || {
        round(&rig, "north", &job) > stopped + 1
    });
    rig.signal("isle", "CONT");
    let told = ended(&rig, &job);
    assert_eq!(told["without"].as_array().unwrap().len(), 0, "{told:#}");
    for bank in BANKS {
        assert_eq!(model(&rig, bank, &job), model(&rig, "isle", &job), "{bank}");
        let (mid, end) = verified(&rig, bank, &job);
        assert!(end.is_empty(), "{end:?}");
        assert_eq!(mid.contains(&"isle".to_owned()), bank != "isle", "{bank}");
    }
    verified(&rig, "hub", &job);
}
