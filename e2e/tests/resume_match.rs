//! Matches whose nodes are killed in the middle: another job goes on with what was matched, with every node a process.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    both_verify, files_below, holds, number,
    rig::{Rig, spec},
    wait_for,
};
use serde_json::Value;

const PARTIES: [&str; 2] = ["bank", "partner"];
/// The part that holds a whole match.
const WHOLE: u32 = u32::MAX;

fn ids(dir: &Path, name: &str, from: u32, to: u32) -> PathBuf {
    let path = dir.join(format!("{name}.csv"));
    let rows: String = (from..to).map(|i| format!("CANARY-{i:08}\n")).collect();
    fs::write(&path, format!("id\n{rows}")).unwrap();
    path
}

/// The coordinator comes back at its address.
fn fixed(rig: &Rig) {
    let hub = fs::read_to_string(rig.path("hub.toml")).unwrap();
    rig.write("hub.toml", &hub.replace("127.0.0.1:0", rig.address()));
}

fn approved(rig: &Rig, job: &str) {
    PARTIES.iter().for_each(|party| rig.approve(party, job));
}

fn part(rig: &Rig, party: &str, job: &str, part: u32) -> PathBuf {
    rig.path(&format!("{party}/state/checkpoints/{job}/{part:010}.match"))
}

/// Starts a job, kills `role` once both parties hold a part of the match, and waits until all have heard of it.
fn killed(rig: &mut Rig, job: String, role: &str, held: u32) -> String {
    approved(rig, &job);
    wait_for("a part of the match", Duration::from_secs(60), || {
        PARTIES.iter().all(|p| part(rig, p, &job, held).exists())
    });
    rig.kill(role);
    let aborted = |rig: &Rig| {
        let said = rig.job("modeler", &["status", &job, "--json"]);
        said.code == 0 && said.json()["state"] == "aborted"
    };
    match role {
        "hub" => rig.start("coordinator", "hub", &rig.path("hub.toml")),
        _ => {
            wait_for("the end", Duration::from_secs(90), || aborted(rig));
            rig.start("party", role, &rig.path(&format!("{role}.toml")));
        }
    }
    wait_for("the end", Duration::from_secs(90), || aborted(rig));
    for party in PARTIES {
        assert!(!rig.path(&format!("{party}/results/{job}")).exists());
        assert!(part(rig, party, &job, held).exists());
    }
    job
}

/// Proposes a job that goes on with an aborted one, once the nodes know that it was.
fn proposed(rig: &Rig, job: &str) -> String {
    let mut new = String::new();
    wait_for("a job that goes on", Duration::from_secs(60), || {
        let said = rig.job("modeler", &["resume", job]);
        assert_eq!(said.code, 0, "{said:?}");
        new = said.out.trim().to_owned();
        std::thread::park_timeout(Duration::from_millis(500));
        let status = rig.job("modeler", &["status", &new, "--json"]).json();
        status["state"] == "proposed"
    });
    approved(rig, &new);
    new
}

fn watched(rig: &Rig, job: &str, file: &str) {
    let said = rig.job("modeler", &["watch", job, "--json", "--timeout", "120"]);
    assert_eq!(
        said.code,
        0,
        "{said:?}\n{}\n{}",
        rig.log("bank"),
        rig.log("partner")
    );
    for party in PARTIES {
        let last = rig.path(&format!("{party}/results/{job}/{file}"));
        wait_for("the results", Duration::from_secs(10), || last.exists());
        // what was kept is destroyed
        let kept = rig.path(&format!("{party}/state/checkpoints/{job}"));
        wait_for("an empty folder", Duration::from_secs(10), || {
            !kept.exists()
        });
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Bytes that a party sent and received in the match.
fn traffic(rig: &Rig, party: &str, job: &str) -> f64 {
    let told = json(&rig.path(&format!("{party}/results/{job}/overlap.json")));
    let stages = told["planned"]["stages"]
        .as_array()
        .unwrap_or_else(|| panic!("{told:#}"));
    let align = stages.iter().find(|s| s["stage"] == "align").unwrap();
    number(align, "bytes.counted")
}

#[test]
fn a_match_goes_on_after_its_last_bucket_and_is_the_plain_intersection() {
    const ROWS: u32 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    fixed(&rig);
    for (name, from) in [("bank", 0), ("partner", ROWS / 2)] {
        let file = ids(dir.path(), name, from, from + ROWS);
        rig.party(name, &file, "id = \"id\"\n");
    }
    let text = "name = \"overlap\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"member\"\ndataset = \"table\"\n\
         [[party]]\nid = \"partner\"\nrole = \"member\"\ndataset = \"table\"\n\
         [helper]\nid = \"hub\"\n[overlap]\n[align]\nmethod = \"vole\"\n[limits]\nmessage_deadline_s = 20\n";
    let whole = rig.submit(text);
    approved(&rig, &whole);
    watched(&rig, &whole, "members.csv");
    for role in ["partner", "hub"] {
        let job = rig.submit(text);
        let aborted = killed(&mut rig, job, role, 1);
        for party in PARTIES {
            let kept = rig.path(&format!("{party}/state/checkpoints/{aborted}"));
            for (path, bytes) in files_below(&kept) {
                assert!(!holds(&bytes, b"CANARY"), "{}", path.display());
            }
        }
        let new = proposed(&rig, &aborted);
        watched(&rig, &new, "members.csv");
        for party in PARTIES {
            let list = rig.path(&format!("{party}/results/{new}/members.csv"));
            let list = fs::read_to_string(list).unwrap();
            let found: BTreeSet<&str> = list.lines().skip(1).collect();
            let want: Vec<String> = (ROWS / 2..ROWS).map(|i| format!("CANARY-{i:08}")).collect();
            assert_eq!(list.lines().count(), want.len() + 1, "each once");
            assert_eq!(found, want.iter().map(String::as_str).collect());
            // of four buckets one at least was not matched again
            let (all, rest) = (traffic(&rig, party, &whole), traffic(&rig, party, &new));
            assert!(rest < 0.85 * all, "{party}: {rest} of {all}");
            assert!(
                rig.log(party)
                    .contains("matching goes on after so many buckets")
            );
            assert!(
                !rig.path(&format!("{party}/state/checkpoints/{aborted}"))
                    .exists()
            );
        }
    }
    // another table is refused, by the name of its party
    let job = rig.submit(text);
    let aborted = killed(&mut rig, job, "hub", 1);
    ids(dir.path(), "partner", 7, 7 + ROWS);
    let new = proposed(&rig, &aborted);
    let said = rig.job("modeler", &["watch", &new, "--timeout", "120"]);
    said.refuses(3, &["partner", "align.resume"]);
}

#[test]
fn a_job_killed_in_training_takes_the_match_over() {
    let example = |name: &str| {
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/data/german_credit/"
        );
        PathBuf::from(format!("{data}{name}.csv"))
    };
    let mut rig = Rig::new();
    fixed(&rig);
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    rig.party("bank", &example("bank"), bank);
    rig.party(
        "partner",
        &example("partner"),
        "id = \"id\"\nnumeric = [\"age_in_years\"]\n",
    );
    let text = spec(
        "[solver]\nstop = \"fixed\"\nmax_passes = 60\n[limits]\nmessage_deadline_s = 20\n\
         [align]\nmethod = \"curve\"\n",
    );
    let whole = rig.submit(&text);
    approved(&rig, &whole);
    watched(&rig, &whole, "model.json");
    let job = rig.submit(&text);
    let aborted = killed(&mut rig, job, "partner", WHOLE);
    let new = proposed(&rig, &aborted);
    watched(&rig, &new, "model.json");
    for party in PARTIES {
        assert!(
            rig.log(party)
                .contains("the aborted job's match is taken over")
        );
        let coefficients = |job: &str| -> Vec<f64> {
            let model = json(&rig.path(&format!("{party}/results/{job}/model.json")));
            let columns = model["columns"].as_array().unwrap().iter();
            columns.map(|column| number(column, "coef")).collect()
        };
        for (want, got) in coefficients(&whole).iter().zip(coefficients(&new)) {
            assert!((want - got).abs() < 1e-4, "{party}: {want} and {got}");
        }
    }
    let held = rig.job("modeler", &["show", &new, "--json"]);
    assert!(held.out.contains("align.held") && held.out.contains(&aborted));
}

/// A match by several keys is ended while the second is under way: the first is not matched again, and the result is
/// that of plain sets.
#[test]
fn a_match_by_several_keys_goes_on_after_its_last_key() {
    const ROWS: u32 = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    fixed(&rig);
    // every third is known by another id at the partner, who has some of these by their phone
    let id = |i: u32, party: &str| match i % 3 {
        0 => format!("CANARY-{party}-{i:08}"),
        _ => format!("CANARY-{i:08}"),
    };
    let phone = |i: u32, party: &str| match (party, i % 2) {
        ("partner", 0) => String::new(),
        _ => format!("CANARYPHONE{i:08}"),
    };
    for (party, from) in [("bank", 0), ("partner", ROWS / 2)] {
        let rows = from..from + ROWS;
        let rows: String = rows
            .map(|i| format!("{},{}\n", id(i, party), phone(i, party)))
            .collect();
        let file = dir.path().join(format!("{party}.csv"));
        fs::write(&file, format!("id,mobile\n{rows}")).unwrap();
        let keys = "id = \"id\"\nfallback = [{ key = \"phone\", columns = [\"mobile\"] }]\n";
        rig.party(party, &file, keys);
    }
    let text = "name = \"overlap\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"member\"\ndataset = \"table\"\n\
         [[party]]\nid = \"partner\"\nrole = \"member\"\ndataset = \"table\"\n\
         [helper]\nid = \"hub\"\n[overlap]\n[align]\nmethod = \"curve\"\n\
         fallback = [\"phone\"]\nfallback_rules = [[[\"trim\"]]]\n[limits]\nmessage_deadline_s = 20\n";
    let whole = rig.submit(text);
    approved(&rig, &whole);
    watched(&rig, &whole, "members.csv");
    let job = rig.submit(text);
    let aborted = killed(&mut rig, job, "partner", 1);
    for party in PARTIES {
        let kept = rig.path(&format!("{party}/state/checkpoints/{aborted}"));
        for (path, bytes) in files_below(&kept) {
            assert!(!holds(&bytes, b"CANARY"), "{}", path.display());
        }
    }
    let new = proposed(&rig, &aborted);
    watched(&rig, &new, "members.csv");
    let common = ROWS / 2..ROWS;
    let want: BTreeSet<(u32, &str)> = common
        .filter_map(|i| match (i % 3, i % 2) {
            (0, 0) => None,
            (0, _) => Some((i, "phone")),
            _ => Some((i, "id")),
        })
        .collect();
    for party in PARTIES {
        for job in [&whole, &new] {
            let list = rig.path(&format!("{party}/results/{job}/members.csv"));
            let list = fs::read_to_string(list).unwrap();
            let found: BTreeSet<&str> = list.lines().skip(1).collect();
            assert_eq!(list.lines().count(), want.len() + 1, "each once");
            let want: Vec<String> = want
                .iter()
                .map(|(i, key)| format!("{},{key}", id(*i, party)))
                .collect();
            assert_eq!(found, want.iter().map(String::as_str).collect());
        }
        // one of two runs was not made again
        let (all, rest) = (traffic(&rig, party, &whole), traffic(&rig, party, &new));
        assert!(rest < 0.55 * all, "{party}: {rest} of {all}");
        let said = rig.log(party);
        assert!(
            said.contains("matching goes on after so many keys"),
            "{said}"
        );
        both_verify(&rig.path(&format!("{party}/state/bundles/{new}.bundle")));
    }
}
