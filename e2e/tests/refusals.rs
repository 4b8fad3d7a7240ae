//! What goes wrong is said clearly, with the right exit code, and leaves nothing half done.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{fmt::Write as _, fs, net::TcpListener, path::PathBuf, time::Duration};

use common::{
    Said, example, paripassu,
    rig::{Rig, spec},
    run, sandbox, wait_for,
};
use paripassu_service::pki;
use tempfile::TempDir;

const BANK: &str = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"age\", \"income\"]\n";
const PARTNER: &str = "id = \"id\"\nnumeric = [\"balance\"]\n";

/// A bank and a partner with some noise in each column.
fn tables(rows: usize) -> (String, String) {
    let (mut bank, mut partner) = (
        String::from("id,age,income,y\n"),
        String::from("id,balance\n"),
    );
    for i in 0..rows {
        let (age, income, balance) = (20 + i * 7 % 53, 1000 + i * 37 % 911, i * 71 % 499);
        let bad = u8::from((i * 29 + age * 3 + balance) % 10 < 3);
        writeln!(bank, "c{i},{age},{income},{bad}").unwrap();
        writeln!(partner, "c{i},{balance}").unwrap();
    }
    (bank, partner)
}

/// The tables as files.
fn written(dir: &TempDir, bank: &str, partner: &str) -> (PathBuf, PathBuf) {
    let paths = (dir.path().join("bank.csv"), dir.path().join("partner.csv"));
    fs::write(&paths.0, bank).unwrap();
    fs::write(&paths.1, partner).unwrap();
    paths
}

fn sandbox_of(bank: &str, partner: &str, job: &str) -> (Said, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = written(&dir, bank, partner);
    let file = dir.path().join("job.toml");
    fs::write(&file, job).unwrap();
    let said = sandbox(&file, &bank, &partner, &dir.path().join("out"), &[]);
    (said, dir)
}

/// The third data row of the bank with another text in it.
fn bank_with(row: &str) -> (String, String) {
    let (bank, partner) = tables(300);
    let third = bank.lines().nth(3).unwrap().to_owned();
    (bank.replacen(&third, row, 1), partner)
}

#[test]
fn a_bad_cell_is_named_by_file_row_and_column() {
    for (row, words) in [
        (",34,1074,0", &["bank.csv", "row 3", "`id`", "empty"][..]),
        (
            "c1,34,1074,0",
            &["bank.csv", "row 3", "`id`", "same id as row 2"],
        ),
        (
            "c2,old,1074,0",
            &["bank.csv", "row 3", "`age`", "`old`", "not a number"],
        ),
        ("c2,NaN,1074,0", &["row 3", "`age`", "not finite"]),
        ("c2,34,inf,0", &["row 3", "`income`", "not finite"]),
        ("c2,34,1074,2", &["row 3", "`y`", "label `2`"]),
        ("c2,34,1074,", &["row 3", "`y`", "label is missing"]),
        ("c2,34,1074", &["row 3", "3 cells"]),
    ] {
        let (bank, partner) = bank_with(row);
        let job = spec("").replace("columns = \"all\"\n[[party]]", NUMERIC);
        let (said, dir) = sandbox_of(&bank, &partner, &job);
        said.refuses(1, words);
        assert!(said.json()["error"].is_string());
        assert!(
            !dir.path().join("out/bank").exists(),
            "results of a job that never ran"
        );
    }
}

/// The bank's columns listed, so that a text in a number is an error and not a category.
const NUMERIC: &str = "columns = { numeric = [\"age\", \"income\"] }\n[[party]]";

#[test]
fn a_column_that_is_not_there_is_named_with_the_one_that_was_meant() {
    let (bank, partner) = tables(300);
    let job = spec("").replace(
        "columns = \"all\"\n[[party]]",
        "columns = { numeric = [\"agee\"] }\n[[party]]",
    );
    let (said, _dir) = sandbox_of(&bank, &partner, &job);
    said.refuses(1, &["bank.csv", "`agee`", "did you mean `age`"]);
}

#[test]
fn a_job_file_with_a_slip_says_line_and_suggestion() {
    let (bank, partner) = tables(300);
    let (said, _dir) = sandbox_of(&bank, &partner, &spec("[solver]\nmax_pases = 3\n"));
    said.refuses(1, &["job.toml:20", "max_pases", "max_passes"]);
}

#[test]
fn a_constant_column_ends_the_job_where_the_job_says_so() {
    let (bank, partner) = tables(300);
    let bank: String = bank
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{line},{}\n", if i == 0 { "k" } else { "7" }))
        .collect();
    let job = spec("[design]\nconstant_columns = \"error\"\n");
    let (said, dir) = sandbox_of(&bank, &partner, &job);
    said.refuses(3, &["bank", "`k`", "same on all"]);
    assert_eq!(said.json()["state"], "aborted");
    // of a job that ends badly there is a record and nothing else
    for entry in fs::read_dir(dir.path().join("out/partner")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().is_some_and(|e| e == "bundle"), "{path:?}");
    }
    assert!(!dir.path().join("out/metrics.json").exists());
}

#[test]
fn too_few_common_customers_end_the_job() {
    let (bank, _) = tables(300);
    let mut partner = String::from("id,balance\n");
    for i in 280..500 {
        writeln!(partner, "c{i},{}", i % 17).unwrap();
    }
    let (said, _dir) = sandbox_of(&bank, &partner, &spec("[align]\nmin_matched = 50\n"));
    said.refuses(3, &["20", "50"]);
    assert_eq!(said.json()["state"], "aborted");
}

#[test]
fn an_unknown_data_set_or_column_is_rejected_by_the_partys_own_node() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = tables(300);
    let (bank, partner) = written(&dir, &bank, &partner);
    let mut rig = Rig::new();
    rig.party("bank", &bank, BANK);
    rig.party("partner", &partner, PARTNER);
    let wrong = |from: &str, to: &str| {
        let text = spec("");
        let last = text.rfind(from).unwrap();
        format!("{}{to}{}", &text[..last], &text[last + from.len()..])
    };
    for (job, words) in [
        (
            wrong("\"table\"", "\"tables\""),
            ["`tables`", "did you mean `table`"],
        ),
        (
            wrong("columns = \"all\"", "columns = { numeric = [\"blance\"] }"),
            ["`blance`", "did you mean `balance`"],
        ),
    ] {
        let job = rig.submit(&job);
        let said = rig.job("modeler", &["watch", &job, "--timeout", "20", "--json"]);
        assert_eq!(said.code, 3, "{said:?}");
        assert_eq!(said.json()["state"], "rejected");
        // what the party offers instead is for its own operator, not for whoever asks
        let [asked, hint] = words;
        let shown = rig.job("modeler", &["show", &job, "--json"]);
        assert!(shown.out.contains(asked), "nothing of {asked}: {shown:?}");
        assert!(!shown.out.contains("did you mean"), "{shown:?}");
        wait_for(hint, Duration::from_secs(5), || {
            rig.log("partner").contains(hint)
        });
    }
}

#[test]
fn an_error_in_a_partys_own_file_names_it_to_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = bank_with("c2,old,1074,0");
    let (bank, partner) = written(&dir, &bank, &partner);
    let mut rig = Rig::new();
    rig.party("bank", &bank, BANK);
    rig.party("partner", &partner, PARTNER);
    let said = rig.whole_job(&spec(""));
    said.refuses(3, &["bank.csv", "row 3", "`age`"]);
    assert_eq!(said.json()["abort"]["culprit"], "bank");
    assert!(
        fs::read_dir(rig.path("partner/results"))
            .unwrap()
            .next()
            .is_none()
    );
}

#[test]
fn certificates_of_strangers_the_dead_and_the_wrong_kind_are_refused() {
    let rig = Rig::new();
    let list = |who: &str| rig.job(who, &["list"]);
    assert_eq!(list("modeler").code, 0);

    // another authority
    let other = rig.path("other-ca");
    let said = run(["pki", "init", "--dir", other.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    rig.sign("user/stranger", &rig.path("stranger"), &other);
    list("stranger").refuses(1, &["another certificate authority"]);
    // and one that poses as a member of this consortium
    fs::copy(rig.path("ca/ca.crt"), rig.path("stranger/ca.crt")).unwrap();
    fs::copy(rig.path("ca/crl.pem"), rig.path("stranger/crl.pem")).unwrap();
    list("stranger").refuses(1, &["another certificate authority"]);

    // expired: nobody can have one signed with the program, so ask the library
    let late = rig.path("late");
    let peer = "user/late".parse().unwrap();
    let request = pki::request(&late, &peer).unwrap();
    let now = std::time::SystemTime::now();
    let day = Duration::from_secs(86_400);
    let from = time_of(now - 3 * day);
    let to = time_of(now - day);
    pki::open(&rig.path("ca"))
        .unwrap()
        .sign(&request, Some(&peer), &late.join("node.crt"), (from, to))
        .unwrap();
    fs::copy(rig.path("ca/ca.crt"), late.join("ca.crt")).unwrap();
    list("late").refuses(1, &["user/late", "expired", "request and sign a new one"]);
    let shown = run(["pki", "show", late.to_str().unwrap(), "--json"]);
    assert_eq!(shown.json()["accepted"], false);
    let doctor = run(["doctor", "--json", "--identity", late.to_str().unwrap()]);
    assert_eq!(doctor.code, 3, "{doctor:?}");

    // revoked: the list reaches the identity's own folder first
    rig.enrol("user/gone");
    let ca = rig.path("ca");
    let said = run(["pki", "revoke", "user/gone", "--ca", ca.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{said:?}");
    fs::copy(rig.path("ca/crl.pem"), rig.path("gone/crl.pem")).unwrap();
    list("gone").refuses(1, &["user/gone", "revoked"]);

    // a user's certificate runs no party, and approves for nobody
    let config = rig.party_config("modeler", &example("data/german_credit/bank.csv"), BANK);
    let said = run(["party", "serve", "--config", config.to_str().unwrap()]);
    said.refuses(1, &["user/modeler", "not of a party"]);
    let said = rig.job("modeler", &["approve", "latest"]);
    said.refuses(1, &["user/modeler", "decides for no party"]);
}

fn time_of(at: std::time::SystemTime) -> time::OffsetDateTime {
    at.into()
}

#[test]
fn a_party_that_is_not_connected_is_waited_for_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = tables(300);
    let (bank, _) = written(&dir, &bank, &partner);
    let mut rig = Rig::new();
    rig.party("bank", &bank, BANK);
    rig.enrol("party/partner");
    let job = rig.submit(&spec(""));
    let waits = rig.job("modeler", &["watch", &job, "--timeout", "1", "--json"]);
    assert_eq!(waits.code, 75, "{waits:?}");
    assert_eq!(
        waits.json()["waiting_for"],
        serde_json::json!(["bank", "partner"])
    );
    for party in ["bank", "partner"] {
        rig.approve(party, &job);
    }
    let waits = rig.job("modeler", &["watch", &job, "--timeout", "1"]);
    waits.refuses(75, &["approved", "waiting for partner"]);
    let cancelled = rig.job("modeler", &["cancel", &job, "--reason", "no partner"]);
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let status = rig.job("modeler", &["watch", &job]);
    status.refuses(3, &["no partner"]);
}

#[test]
fn an_approval_names_the_contract_that_was_read() {
    let rig = Rig::new();
    for party in ["bank", "partner"] {
        rig.enrol(&format!("party/{party}"));
    }
    let text = spec("");
    let (read, other) = (rig.submit(&text), rig.submit(&text));
    let digest = rig.digest("bank", &read);
    let others = rig.digest("bank", &other);
    assert!(rig.job("bank", &["show", &read]).out.contains(&digest));

    // no terminal to ask on, too few digits, and the contract of another job
    let approve = |more: &[&str]| rig.job("bank", &[&["approve", &read], more].concat());
    approve(&[]).refuses(1, &["nothing is signed", "job show", "--contract"]);
    approve(&["--contract", &digest[..16]]).refuses(1, &["64 hexadecimal digits"]);
    approve(&["--contract", &others]).refuses(1, &["nothing is signed", &digest, &others]);
    let waits = || rig.job("modeler", &["status", &read, "--json"]).json()["waiting_for"].clone();
    assert_eq!(waits(), serde_json::json!(["bank", "partner"]));

    assert_eq!(approve(&["--contract", &digest]).code, 0);
    assert_eq!(waits(), serde_json::json!(["partner"]));
    let rejected = rig.job("partner", &["reject", &read, "--reason", "no legal basis"]);
    assert_eq!(rejected.code, 0, "{rejected:?}");
    let job = rig.write("job.toml", &text);
    let said = rig.job("modeler", &["submit", job.to_str().unwrap()]);
    let id = said.out.trim();
    assert_eq!(id.len(), 32, "{said:?}");
    assert!(said.err.contains(&rig.digest("bank", id)), "{said:?}");
}

#[test]
fn nobody_at_the_coordinators_address_is_worth_another_try() {
    let rig = Rig::new();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let modeler = rig.path("modeler");
    let said: Said = paripassu()
        .args([
            "job",
            "list",
            "--json",
            "--coordinator",
            &free.to_string(),
            "--identity",
        ])
        .arg(&modeler)
        .output()
        .unwrap()
        .into();
    said.refuses(75, &[&free.to_string(), "cannot connect"]);
    assert_eq!(said.json()["exit"], 75);
}

#[test]
fn a_port_in_use_is_said_so() {
    let rig = Rig::new();
    rig.enrol("coordinator/second");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = rig.write(
        "second.toml",
        &format!("listen = {address:?}\nidentity = \"second\"\nstate = \"second/state\"\n"),
    );
    let said = run([
        "coordinator",
        "serve",
        "--config",
        config.to_str().unwrap(),
        "--json",
    ]);
    said.refuses(1, &[&address, "in use"]);
    assert!(!rig.path("second/state/coordinator.db").exists());
}

#[test]
fn a_party_killed_in_mid_job_ends_it_everywhere_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = tables(20_000);
    let (bank, partner) = written(&dir, &bank, &partner);
    let mut rig = Rig::new();
    rig.party("bank", &bank, BANK);
    rig.party("partner", &partner, PARTNER);
    let job = rig.submit(&spec(""));
    for party in ["bank", "partner"] {
        rig.approve(party, &job);
    }
    wait_for("the job's beginning", Duration::from_secs(10), || {
        let status = rig.job("modeler", &["status", &job, "--json"]);
        ["aligning", "preparing", "training"].contains(&status.json()["state"].as_str().unwrap())
    });
    rig.kill("partner");
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "30"]);
    assert_eq!(said.code, 3, "{said:?}");
    let told = said.json();
    assert_eq!(told["state"], "aborted");
    assert_eq!(told["abort"]["culprit"], "partner", "{told:#}");
    // the bank knows, and keeps no results
    wait_for("the bank's knowledge", Duration::from_secs(10), || {
        let log = rig.log("bank");
        log.lines()
            .any(|line| line.contains("Aborted") && line.contains("partner"))
    });
    assert!(
        fs::read_dir(rig.path("bank/results"))
            .unwrap()
            .next()
            .is_none()
    );
    // and so does the partner, once it is back
    rig.start("party", "partner", &rig.path("partner.toml"));
    wait_for("the partner's knowledge", Duration::from_secs(20), || {
        rig.log("partner")
            .contains("state=Aborted culprit=\"partner\"")
    });
}

#[test]
fn a_party_that_was_away_hears_how_its_jobs_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (bank, partner) = tables(300);
    let (bank, partner) = written(&dir, &bank, &partner);
    let mut rig = Rig::new();
    rig.party("bank", &bank, BANK);
    rig.party("partner", &partner, PARTNER);
    let job = rig.submit(&spec(""));
    rig.approve("partner", &job);
    rig.kill("partner");
    let said = rig.job("bank", &["reject", &job, "--reason", "not now"]);
    assert_eq!(said.code, 0, "{said:?}");
    // also where the coordinator was restarted in between
    rig.kill("hub");
    rig.start("coordinator", "hub", &rig.path("hub.toml"));
    let config = rig.party_config("partner", &partner, PARTNER);
    rig.start("party", "partner", &config);
    wait_for("the partner's knowledge", Duration::from_secs(20), || {
        let log = rig.log("partner");
        log.lines()
            .any(|line| line.contains("state=Rejected") && line.contains(&job))
    });
}
