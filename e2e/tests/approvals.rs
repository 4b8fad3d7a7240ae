//! Who approved, who else saw it, and until when: by hand, among processes.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::fs;

use common::rig::{Rig, spec};
use common::{Said, paripassu};
use serde_json::{Value, json};

/// A bank whose policy asks for four eyes and an end of three days, and a partner whose policy asks nothing.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let csv = |name: &str| {
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/data/german_credit/"
        );
        format!("{data}{name}.csv").into()
    };
    let (bank, partner): (std::path::PathBuf, std::path::PathBuf) = (csv("bank"), csv("partner"));
    rig.enrol("party/bank");
    let columns = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    let config = rig.party_config("bank", &bank, columns);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(
        &config,
        format!("{text}[approval]\nfour_eyes = true\nttl_hours = 72\n"),
    )
    .unwrap();
    rig.start("party", "bank", &config);
    rig.party(
        "partner",
        &partner,
        "id = \"id\"\nnumeric = [\"age_in_years\"]\n",
    );
    rig
}

fn audit(args: &[&str]) -> Said {
    paripassu().arg("audit").args(args).output().unwrap().into()
}

/// The bodies of one kind in a bundle, with the node that wrote them.
fn events(bundle: &str, kind: &str) -> Vec<(String, Value)> {
    let bundle: Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let parse = |text: &Value| -> Value { serde_json::from_str(text.as_str().unwrap()).unwrap() };
    let mut found = Vec::new();
    for log in bundle["logs"].as_array().unwrap() {
        let node = log["origin"].as_str().unwrap().rsplit('/').next().unwrap();
        for event in log["events"].as_array().unwrap() {
            if parse(&event["envelope"])["event"] == kind {
                found.push((node.to_owned(), parse(&event["body"])));
            }
        }
    }
    found
}

#[test]
fn four_eyes_reference_and_end_are_signed_and_in_every_transcript() {
    let rig = rig();
    let job = rig.submit(&spec(""));
    let digest = rig.digest("bank", &job);
    let approve = |more: &[&str]| {
        let base = ["approve", &job, "--contract", &digest];
        rig.job("bank", &[&base[..], more].concat())
    };
    // one person is no two, and an end that has passed is none
    approve(&["--approver", "owner", "--second", "Owner"]).refuses(1, &["nothing is signed"]);
    approve(&["--second", "compliance"]).refuses(1, &["--approver"]);
    approve(&["--expires", "2020-01-01T00:00:00Z"]).refuses(1, &["over already"]);
    let said = approve(&[
        "--approver",
        "data-owner",
        "--second",
        "compliance",
        "--ticket",
        "CHG-1182",
        "--expires",
        "48h",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let shown = rig.job("partner", &["show", &job]);
    for word in ["data-owner", "compliance", "CHG-1182"] {
        assert!(shown.out.contains(word), "{shown:?}");
    }
    // what the scores would tell their receiver, measured on the party's own rows
    let config = |party: &str| rig.path(&format!("{party}.toml")).display().to_string();
    let shown = rig.job("partner", &["show", &job, "--config", &config("partner")]);
    assert!(
        shown.out.contains("What the scores tell `bank`"),
        "{shown:?}"
    );
    let told = rig.job(
        "partner",
        &["show", &job, "--config", &config("partner"), "--json"],
    );
    let told = &told.json()["scores_tell"];
    let share = |key: &str| common::number(told, key);
    assert_eq!(
        (told["rows"].as_u64(), told["columns"].as_u64()),
        (Some(1000), Some(1))
    );
    // five bins of one column: a fifth is guessed without any score, nearly all with steps of 2^-10
    assert!((0.18..0.24).contains(&share("prior")), "{told}");
    assert!((0.9..=1.0).contains(&share("recovered")), "{told}");
    let coarser: Vec<f64> = told["coarser"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c[1].as_f64().unwrap())
        .collect();
    assert!(
        coarser.is_sorted_by(|a, b| a >= b) && coarser[2] < 0.9,
        "{told}"
    );
    let receiver = rig.job(
        "bank",
        &["show", &job, "--config", &config("bank"), "--json"],
    );
    assert_eq!(receiver.json()["scores_tell"], Value::Null);
    let digest = rig.digest("partner", &job);
    let said = rig.job(
        "partner",
        &[
            "approve",
            &job,
            "--contract",
            &digest,
            "--config",
            &config("partner"),
        ],
    );
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("What the scores tell `bank`"), "{said:?}");
    let ended = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(ended.code, 0, "{ended:?}");

    let out = rig.path("partner.bundle").display().to_string();
    let state = rig.path("partner/state").display().to_string();
    let exported = audit(&["export", "--job", &job, "--state", &state, "--out", &out]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let approvals = events(&out, "job.approved");
    let of_bank: Vec<_> = approvals
        .iter()
        .filter(|(_, b)| b["party"] == "bank")
        .collect();
    assert_eq!(of_bank.len(), 3, "{approvals:?}");
    for (node, body) in of_bank {
        let said = json!([body["approver"], body["second"], body["ticket"]]);
        assert_eq!(
            said,
            json!(["data-owner", "compliance", "CHG-1182"]),
            "{node}"
        );
        assert!(body["expires"].is_string(), "{node}: {body}");
    }
    let of_partner: Vec<_> = approvals
        .iter()
        .filter(|(_, b)| b["party"] == "partner")
        .collect();
    assert!(
        of_partner
            .iter()
            .all(|(_, b)| b["approver"] == "partner" && b["second"].is_null())
    );
    // what the bank's policy asks for is recomputed by whoever reads the bundle
    let rules = events(&out, "policy.evaluated");
    let (_, verdict) = rules.iter().find(|(node, _)| node == "bank").unwrap();
    let ids: Vec<_> = verdict["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["id"].clone())
        .collect();
    assert_eq!(
        json!(ids),
        json!([
            "submitter",
            "offered",
            "min_matched",
            "max_runs",
            "approval"
        ])
    );
    assert_eq!(verdict["version"], 1);
    let verified = audit(&["verify", &out, "--json"]);
    // a program with the means of tests says so of itself, which is for check 10 to find
    assert!(matches!(verified.code, 0 | 19), "{verified:?}");
}

#[test]
fn an_approval_that_the_partys_own_policy_does_not_grant_begins_nothing() {
    let rig = rig();
    for (more, lacks) in [
        (&["--approver", "owner", "--expires", "1h"][..], "four eyes"),
        (
            &["--approver", "owner", "--second", "compliance"],
            "that ends",
        ),
        (
            &[
                "--approver",
                "owner",
                "--second",
                "compliance",
                "--expires",
                "4d",
            ],
            "longer than",
        ),
    ] {
        let job = rig.submit(&spec(""));
        let digest = rig.digest("bank", &job);
        let base = ["approve", &job, "--contract", &digest];
        let said = rig.job("bank", &[&base[..], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        rig.approve("partner", &job);
        let ended = rig.job("modeler", &["watch", &job, "--timeout", "120"]);
        ended.refuses(3, &["bank", lacks]);
        assert!(!rig.path(&format!("bank/results/{job}")).exists());
    }
}

#[test]
fn a_job_does_not_begin_on_an_approval_that_has_ended() {
    let rig = rig();
    let job = rig.submit(&spec(""));
    let digest = rig.digest("partner", &job);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let soon = i64::try_from(now.unwrap().as_secs()).unwrap() + 3;
    let soon = paripassu_audit::event::format_time(soon).unwrap();
    let base = ["approve", &job, "--contract", &digest, "--expires", &soon];
    let said = rig.job("partner", &base);
    assert_eq!(said.code, 0, "{said:?}");
    let ended = rig.job("modeler", &["watch", &job, "--timeout", "60"]);
    ended.refuses(3, &["expired"]);
    let shown = rig.job("modeler", &["show", &job]);
    assert!(shown.out.contains("approval of partner ended"), "{shown:?}");
}
