//! Jobs that match customers by further keys, with every node a process: exactly as plain sets, as planned, and nothing of a key
//! gets out.

#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use common::{
    Said, assert_lands, both_verify, example, files_below, holds, number, paripassu, rig::Rig,
    sandbox, wait_for,
};

const PARTIES: [&str; 3] = ["bank", "partner", "insurer"];

fn job(parties: &[&str], of: &str, method: &str) -> String {
    let parties: String = parties
        .iter()
        .map(|p| format!("[[party]]\nid = \"{p}\"\nrole = \"member\"\ndataset = \"table\"\n"))
        .collect();
    format!(
        "name = \"keys\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{parties}[helper]\n\
         id = \"hub\"\n[overlap]\nof = \"{of}\"\n[align]\nmethod = \"{method}\"\n\
         min_matched = 10\n[limits]\nmessage_deadline_s = 30\n"
    )
}

/// A file of people: a national id, a phone and a name, each perhaps missing or another at this party.
fn people(dir: &Path, name: &str, rows: &[[String; 4]]) -> PathBuf {
    let path = dir.join(format!("{name}.csv"));
    let rows: String = rows
        .iter()
        .map(|[id, phone, name, born]| format!("{id},{phone},{name},{born}\n"))
        .collect();
    fs::write(&path, format!("id,mobile,surname,born\n{rows}")).unwrap();
    path
}

/// Customer `i` as a party knows them.
fn person(i: u32, party: u32) -> [String; 4] {
    let id = match i % 3 {
        0 => format!("CANARY-ID-{i:06}"),
        _ => format!("CANARY-ID-{party}-{i:06}"),
    };
    let phone = match (i % 3, i % 5) {
        (1, 0) => format!("CANARY-PHONE-{:06}", i / 10), // two of a household
        (1, _) => format!(" CANARY-PHONE-{i:06}"),
        _ if party == 0 => String::new(),
        _ => "NA".to_owned(),
    };
    let born = if i.is_multiple_of(7) {
        String::new()
    } else {
        format!("1970-{i:06}")
    };
    [id, phone, format!("Canary{}", i % 11), born]
}

const FALLBACK: &str = "[align]\nfallback = [\"phone\", \"person\"]\n\
    fallback_rules = [[[\"trim\"]], [[\"lower_case\"], [\"digits_only\"]]]";

/// Who does not match by the id does by phone, and else by name and birth date: exactly as in plain sets, with the planned
/// bytes and rounds, and no key anywhere but in its owner's list.
#[test]
fn customers_match_by_further_keys_and_no_key_gets_out() {
    for (of, method, parties) in [("all", "curve", 2), ("all", "vole", 3), ("any", "vole", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let text = job(&PARTIES[..parties], of, method).replace("[align]", FALLBACK);
        let file = dir.path().join("job.toml");
        fs::write(&file, text).unwrap();
        let mut command = paripassu();
        command.args(["sandbox", "run", "--json"]).arg(&file);
        for (party, name) in (0..).zip(&PARTIES[..parties]) {
            let rows: Vec<_> = (100 * party..400 + 200 * party)
                .map(|i| person(i, party))
                .collect();
            let table = people(dir.path(), name, &rows);
            let named = format!("{name}={}", table.display());
            command.arg("--party").arg(named);
        }
        command.args([
            "--fallback",
            "phone=mobile",
            "--fallback",
            "person=surname,born",
        ]);
        command
            .args(["--missing", "NA", "--out"])
            .arg(dir.path().join("out"));
        let said: Said = command.output().unwrap().into();
        assert_eq!(said.code, 0, "{said:?}");
        let told = said.json();
        assert_eq!(told["exact"], true, "{told:#}");
        let out = dir.path().join("out");
        let list = fs::read_to_string(out.join("bank/members.csv")).unwrap();
        for key in ["id", "phone", "person"] {
            assert!(
                list.matches(&format!(",{key}")).count() > 10,
                "{key}: {list}"
            );
        }
        for path in told["bundles"].as_object().unwrap().values() {
            both_verify(Path::new(path.as_str().unwrap()));
        }
        // rounds and bytes are those planned, whatever matched by which key
        let bank = fs::read_to_string(out.join("bank/overlap.json")).unwrap();
        let bank: serde_json::Value = serde_json::from_str(&bank).unwrap();
        let align = &bank["planned"]["stages"][0];
        for what in ["rounds", "bytes"] {
            let of = &align[what];
            assert_eq!(of["for_this_run"], of["counted"], "{of:#}");
        }
        let mut logs = 0;
        for (path, bytes) in files_below(&out) {
            let list = path.ends_with("members.csv");
            let found = ["CANARY-ID", "CANARY-PHONE"]
                .iter()
                .any(|mark| holds(&bytes, mark.as_bytes()));
            assert!(list || !found, "{}", path.display());
            let names = ["Canary1", "canary1", "|1970"]
                .iter()
                .any(|mark| holds(&bytes, mark.as_bytes()));
            assert!(!names, "{}", path.display());
            logs += usize::from(holds(
                &bytes,
                b"rows without it, or with one that another row has",
            ));
        }
        assert_eq!(
            logs, parties,
            "each party's own log tells what took no part"
        );
    }
}

/// A party that offers no such key refuses the job by name.
#[test]
fn a_party_offers_its_further_keys_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    let rows: Vec<_> = (0..60).map(|i| person(i, 0)).collect();
    let table = people(dir.path(), "bank", &rows);
    let phone = "id = \"id\"\nfallback = [{ key = \"phone\", columns = [\"mobile\"] }]\n";
    rig.party("bank", &table, phone);
    rig.party("partner", &table, phone);
    let spec = job(&PARTIES[..2], "all", "curve");
    let by = |keys: &str, rules: &str| {
        let align = format!("[align]\nfallback = {keys}\nfallback_rules = {rules}");
        spec.replace("[align]", &align)
    };
    for (keys, rules, want) in [
        (
            "[\"phone\", \"person\"]",
            "[[[]], [[]]]",
            "offers no fallback key `person`",
        ),
        (
            "[\"phone\"]",
            "[[[], []]]",
            "is made of 1 columns, and the job has rules for 2",
        ),
    ] {
        let job = rig.submit(&by(keys, rules));
        let mut told = String::new();
        wait_for("a rejection", Duration::from_secs(20), || {
            told = rig.job("modeler", &["show", &job, "--json"]).out;
            told.contains("rejected")
        });
        assert!(told.contains(want), "{told}");
    }
    let said = rig.whole_job(&by("[\"phone\"]", "[[[\"trim\"]]]"));
    assert_eq!(said.code, 0, "{said:?}");
    let list = files_below(&rig.path("bank/results"));
    let list = list
        .iter()
        .find(|(path, _)| path.ends_with("members.csv"))
        .unwrap();
    assert_eq!(list.1.iter().filter(|byte| **byte == b'\n').count(), 61);
}

/// A model over customers of whom some match by the id and some by phone: both ends split and train on the same rows, as the
/// pooled model shows, and neither phone nor id of a customer gets out.
#[test]
fn a_model_is_trained_over_customers_matched_by_further_keys() {
    let dir = tempfile::tempdir().unwrap();
    let data = example("data/german_credit");
    let with_phones = |name: &str, other: bool| {
        let text = fs::read_to_string(data.join(name)).unwrap();
        let (head, rows) = text.split_once('\n').unwrap();
        let rows: String = rows
            .lines()
            .map(|row| {
                let (id, rest) = row.split_once(',').unwrap();
                let number: u32 = id.parse().unwrap();
                let own = if other && number.is_multiple_of(3) {
                    "CANARYOWN"
                } else {
                    "CANARYID"
                };
                let phone = match number % 10 {
                    9 => String::new(),
                    _ => format!("CANARYPHONE{number}"),
                };
                format!("{own}{number},{phone},{rest}\n")
            })
            .collect();
        let path = dir.path().join(name);
        fs::write(
            &path,
            format!("{}\n{rows}", head.replacen("id,", "id,phone,", 1)),
        )
        .unwrap();
        path
    };
    let (bank, partner) = (
        with_phones("bank.csv", false),
        with_phones("partner.csv", true),
    );
    let text = fs::read_to_string(example("german_credit.toml")).unwrap();
    let align = "[align]\nfallback = [\"phone\"]\nfallback_rules = [[[\"lower_case\"]]]\n";
    let file = dir.path().join("job.toml");
    fs::write(&file, format!("{text}step = 0.0000152587890625\n{align}")).unwrap();
    let out = dir.path().join("out");
    let said = sandbox(&file, &bank, &partner, &out, &["--fallback", "phone=phone"]);
    assert_eq!(said.code, 0, "{said:?}");
    let told = said.json();
    assert_lands(&told);
    // of those with another id at the partner, some have no phone
    let lost = (1..=1_000).filter(|i| i % 3 == 0 && i % 10 == 9).count();
    assert_eq!(number(&told, "rows.matched"), (1_000 - lost) as f64);
    for path in told["bundles"].as_object().unwrap().values() {
        both_verify(Path::new(path.as_str().unwrap()));
    }
    for (path, bytes) in files_below(&out) {
        let name = path.to_string_lossy();
        let phone = holds(&bytes, b"CANARYPHONE") || holds(&bytes, b"canaryphone");
        assert!(!phone, "{name}");
        let foreign = match name.contains("/partner/") {
            true => holds(&bytes, b"CANARYID3,"),
            false => holds(&bytes, b"CANARYOWN"),
        };
        assert!(!foreign, "{name}");
    }
}
