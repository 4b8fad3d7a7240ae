//! Damaged and poisoned data: each party's node holds a job against its last one on the same columns.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::Path, time::Duration};

use common::{
    Said, holds, paripassu,
    rig::{Rig, spec},
    wait_for,
};
use paripassu_audit::{
    bundle::Bundle,
    verify::{Options, verify},
};
use serde_json::Value;

/// A data set of the examples with one column changed in some rows.
fn table(rig: &Rig, name: &str, column: &str, change: impl Fn(usize, &str) -> String) {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/data/german_credit/"
    );
    let mut read = csv::Reader::from_path(format!("{data}{name}.csv")).unwrap();
    let header = read.headers().unwrap().clone();
    let at = header.iter().position(|h| h == column).unwrap();
    let mut write = csv::Writer::from_path(rig.path(&format!("{name}.csv"))).unwrap();
    write.write_record(&header).unwrap();
    for (number, row) in read.records().enumerate() {
        let row = row.unwrap();
        let cells = row.iter().enumerate().map(|(i, cell)| match i == at {
            true => change(number, cell),
            false => cell.to_owned(),
        });
        write.write_record(cells).unwrap();
    }
    write.flush().unwrap();
}

/// What a party's `metrics.json` says of a job beside the one before it.
fn compared(rig: &Rig, party: &str, job: &str) -> Value {
    let file = rig.path(&format!("{party}/results/{job}/metrics.json"));
    let metrics: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    metrics["compared"].clone()
}

/// What is flagged, with the column.
fn alarms(rig: &Rig, party: &str, job: &str) -> Vec<String> {
    let compared = compared(rig, party, job);
    let alarms = compared["alarms"].as_array().unwrap().iter();
    let said = alarms.map(|alarm| {
        let what = alarm["what"].as_str().unwrap();
        match alarm["column"].as_str() {
            Some(column) => format!("{what} {column}"),
            None => what.to_owned(),
        }
    });
    said.collect()
}

fn report(rig: &Rig, party: &str, job: &str) -> Said {
    let out = rig.path(&format!("{party}/results"));
    let mut command = paripassu();
    let command = command.args(["job", "report", job, "--out"]).arg(out);
    command.output().unwrap().into()
}

#[test]
fn flipped_labels_and_a_shifted_column_are_flagged_by_their_owner_and_an_unchanged_job_is_not() {
    let mut rig = Rig::new();
    let same = |_: usize, cell: &str| cell.to_owned();
    table(&rig, "bank", "y", same);
    table(&rig, "partner", "age_in_years", same);
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n\
                categorical = [\"status_of_existing_checking_account\"]\n";
    rig.party("bank", &rig.path("bank.csv"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    rig.party("partner", &rig.path("partner.csv"), partner);
    let run = |rig: &Rig| -> String {
        let job = rig.submit(&spec(""));
        for party in ["bank", "partner"] {
            rig.approve(party, &job);
        }
        let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
        assert_eq!(said.code, 0, "{said:?}");
        job
    };
    let first = run(&rig);
    for party in ["bank", "partner"] {
        assert_eq!(compared(&rig, party, &first)["against"], Value::Null);
    }
    // the same once more, over a restart of a node
    rig.stop("bank");
    let config = rig.path("bank.toml");
    rig.start("party", "bank", &config);
    let second = run(&rig);
    for party in ["bank", "partner"] {
        assert_eq!(compared(&rig, party, &second)["against"], first.as_str());
        assert_eq!(alarms(&rig, party, &second), [""; 0], "{party}");
        let said = report(&rig, party, &second);
        assert!(said.code == 0 && !said.out.contains("FLAGGED"), "{said:?}");
    }
    // a column of the partner's is shifted: its owner is told, and nobody else
    let older = |_: usize, cell: &str| (cell.parse::<f64>().unwrap() + 20.0).to_string();
    table(&rig, "partner", "age_in_years", older);
    let third = run(&rig);
    assert_eq!(alarms(&rig, "partner", &third), ["csi age_in_years"]);
    assert_eq!(alarms(&rig, "bank", &third), [""; 0]);
    let said = report(&rig, "partner", &third);
    assert!(said.out.contains("csi of age_in_years"), "{said:?}");
    let page = rig.path(&format!("partner/results/{third}/report.html"));
    assert!(holds(&fs::read(page).unwrap(), b"FLAGGED: since job"));
    // a fifth of the labels is turned round
    let flipped = |row: usize, cell: &str| match (row % 5, cell) {
        (0, "1") => "0".to_owned(),
        (0, "0") => "1".to_owned(),
        _ => cell.to_owned(),
    };
    table(&rig, "bank", "y", flipped);
    let fourth = run(&rig);
    let found = alarms(&rig, "bank", &fourth);
    for what in ["bad_rate", "auc.joint"] {
        assert!(found.iter().any(|alarm| alarm == what), "{what}: {found:?}");
    }
    let said = report(&rig, "bank", &fourth);
    assert!(
        said.out.contains(&format!("FLAGGED against job {third}")),
        "{said:?}"
    );
    // the partner's own data are as they were; the summary that it is given is not
    let found = alarms(&rig, "partner", &fourth);
    assert!(
        found
            .iter()
            .all(|alarm| alarm.starts_with("auc") || alarm == "uplift"),
        "{found:?}"
    );
    // each in its own transcript, and what it says in no other's
    for party in ["bank", "partner"] {
        let path = rig.path(&format!("{party}/state/bundles/{fourth}.bundle"));
        wait_for("the bundle", Duration::from_secs(30), || path.exists());
        let bytes = fs::read(&path).unwrap();
        assert!(holds(&bytes, b"data.compared"));
        assert_eq!(holds(&bytes, b"bad_rate from"), party == "bank");
        let verdict = verify(
            &Bundle::load(Path::new(&path)).unwrap(),
            &Options::default(),
        );
        assert_eq!(verdict.exit_code, 0, "{verdict}");
    }
}
