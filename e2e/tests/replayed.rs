//! A job that was run before, a contract that was altered and an approval that has ended, each put before the nodes by
//! a coordinator that was restarted with another database: refused, with the rule, and the refusal is signed.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::{
    files_below,
    rig::{Rig, spec},
    wait_for,
};

/// Seconds since 1970.
fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

fn csv(name: &str) -> PathBuf {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/data/german_credit/"
    );
    format!("{data}{name}.csv").into()
}

fn rig() -> Rig {
    let mut rig = Rig::new();
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    rig.party("bank", &csv("bank"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    rig.party("partner", &csv("partner"), partner);
    rig
}

/// Ends the coordinator as its operator would, so that its database is whole.
fn stop_hub(rig: &mut Rig) -> PathBuf {
    rig.stop("hub");
    let database = rig.path("hub/state/coordinator.db");
    assert!(!rig.path("hub/state/coordinator.db-wal").exists());
    database
}

/// Starts it again where the parties know it.
fn start_hub(rig: &mut Rig) {
    let text = format!(
        "listen = {:?}\nidentity = \"hub\"\nstate = \"hub/state\"\nhelper = true\n\
         [deadlines]\nconnect_s = 60\ngrace_s = 2\n",
        rig.address()
    );
    let config = rig.write("hub.toml", &text);
    rig.start("coordinator", "hub", &config);
}

/// Whether a node's log holds a refusal of this code.
fn denied(rig: &Rig, party: &str, code: &str) -> bool {
    let code = format!("\"code\":\"{code}\"");
    let files = files_below(&rig.path(&format!("{party}/state")));
    files.iter().any(|(_, bytes)| {
        bytes
            .windows(code.len())
            .any(|part| part == code.as_bytes())
    })
}

#[test]
fn a_job_that_was_run_is_not_run_again_by_a_coordinator_with_an_older_database() {
    let mut rig = rig();
    // approved by both while one party's node is away, so that it cannot begin
    rig.kill("partner");
    let job = rig.submit(&spec(""));
    for party in ["bank", "partner"] {
        rig.approve(party, &job);
    }
    let database = stop_hub(&mut rig);
    let older = rig.path("older.db");
    fs::copy(&database, &older).unwrap();
    start_hub(&mut rig);
    let config = rig.path("partner.toml");
    rig.start("party", "partner", &config);
    let ended = rig.job("modeler", &["watch", &job, "--timeout", "120"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let results = rig.path(&format!("bank/results/{job}/model.json"));
    let model = fs::read(&results).unwrap();

    // all nodes restarted, the coordinator with the approvals of before
    for party in ["bank", "partner"] {
        rig.stop(party);
    }
    stop_hub(&mut rig);
    fs::copy(&older, &database).unwrap();
    start_hub(&mut rig);
    for party in ["bank", "partner"] {
        let config = rig.path(&format!("{party}.toml"));
        rig.start("party", party, &config);
    }
    let ended = rig.job("modeler", &["watch", &job, "--timeout", "60"]);
    ended.refuses(
        3,
        &[
            "refuses",
            "rule `once`",
            "run this job before",
            "propose it anew",
        ],
    );
    // nothing of the first run is lost
    assert_eq!(fs::read(&results).unwrap(), model);
    wait_for("the refusal in a log", Duration::from_secs(20), || {
        ["bank", "partner"]
            .iter()
            .any(|party| denied(&rig, party, "replayed"))
    });
}

#[test]
fn an_altered_contract_is_refused_by_every_party() {
    let mut rig = rig();
    let job = rig.submit(&spec(""));
    rig.approve("bank", &job);
    let database = stop_hub(&mut rig);
    let mut bytes = fs::read(&database).unwrap();
    let (from, to) = (&b"\"purpose\":\"test\""[..], &b"\"purpose\":\"tesu\""[..]);
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    fs::write(&database, bytes).unwrap();
    start_hub(&mut rig);
    let ended = rig.job("modeler", &["watch", &job, "--timeout", "60"]);
    ended.refuses(3, &["refuses", "rule `contract`", "altered", "propose"]);
    wait_for("the refusal in a log", Duration::from_secs(20), || {
        ["bank", "partner"]
            .iter()
            .any(|party| denied(&rig, party, "contract_altered"))
    });
}

#[test]
fn an_approval_that_has_ended_begins_nothing_after_a_restart() {
    let mut rig = rig();
    rig.kill("partner");
    let job = rig.submit(&spec(""));
    rig.approve("bank", &job);
    let digest = rig.digest("partner", &job);
    let ends = paripassu_audit::event::format_time(now_s() + 4).unwrap();
    let said = rig.job(
        "partner",
        &["approve", &job, "--contract", &digest, "--expires", &ends],
    );
    assert_eq!(said.code, 0, "{said:?}");
    stop_hub(&mut rig);
    wait_for("the approval's end", Duration::from_secs(20), || {
        paripassu_audit::event::format_time(now_s()).unwrap() > ends
    });
    start_hub(&mut rig);
    let config = rig.path("partner.toml");
    rig.start("party", "partner", &config);
    let ended = rig.job("modeler", &["watch", &job, "--timeout", "60"]);
    ended.refuses(3, &["expired", "in time"]);
    // the node that knew the job has signed how it ended; the other was not there while it was open
    let bundle = rig.path(&format!("bank/state/bundles/{job}.bundle"));
    wait_for("the bundle", Duration::from_secs(30), || bundle.exists());
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(text.contains("expired"), "{text}");
    for party in ["bank", "partner"] {
        assert!(!rig.path(&format!("{party}/results/{job}")).exists());
    }
}
