//! Keys that are renewed and revoked while the other nodes go on: three real processes.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use common::{
    example, paripassu,
    rig::{Rig, spec},
    wait_for,
};
use paripassu_audit::bundle::Bundle;

#[test]
fn a_renewed_key_needs_no_restart_of_others_and_a_revoked_one_loses_its_live_connection() {
    let mut rig = Rig::new();
    let csv = |name: &str| -> PathBuf {
        let data = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../examples/data/german_credit/"
        );
        format!("{data}{name}.csv").into()
    };
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    rig.party("bank", &csv("bank"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    rig.party("partner", &csv("partner"), partner);
    let first = rig.whole_job(&spec(""));
    assert_eq!(first.code, 0, "{first:?}");

    // the next key is certified while the one before still counts, and takes over with this node's restart alone
    let next = rig.path("partner-next");
    rig.sign("party/partner", &next, &rig.path("ca"));
    rig.kill("partner");
    for file in ["node.key", "node.crt"] {
        fs::copy(next.join(file), rig.path("partner").join(file)).unwrap();
    }
    let config = rig.path("partner.toml");
    rig.start("party", "partner", &config);
    let second = rig.whole_job(&spec(""));
    assert_eq!(second.code, 0, "{second:?}");
    let job = second.json()["job"].as_str().unwrap().to_owned();
    let bundle = rig.path(&format!("bank/state/bundles/{job}.bundle"));
    wait_for("the bundle", Duration::from_secs(30), || bundle.exists());
    let verified = paripassu().args(["audit", "verify"]).arg(&bundle).output();
    // a program with the means of tests says so of itself, which is for check 10 to find
    let code = verified.unwrap().status.code();
    assert!(matches!(code, Some(0 | 19)), "{code:?}");

    // revoked: the list reaches the coordinator, which ends the session that stands
    let ca = rig.path("ca");
    let revoked = paripassu()
        .args(["pki", "revoke", "party/partner", "--ca"])
        .arg(&ca)
        .output();
    assert!(revoked.unwrap().status.success());
    fs::copy(ca.join("crl.pem"), rig.path("hub").join("crl.pem")).unwrap();
    wait_for("the end of the session", Duration::from_secs(30), || {
        rig.log("partner").contains("revoked")
    });
    let waiting = rig.submit(&spec(""));
    let status = || rig.job("modeler", &["status", &waiting]).out;
    // nobody else had to be restarted, and the revoked node cannot decide
    assert!(status().contains("waiting for"), "{}", status());
    let digest = rig.digest("bank", &waiting);
    let approve = ["approve", &waiting, "--contract", &digest];
    // refused within the handshake: the program says why
    let refused = rig.job("partner", &approve);
    refused.refuses(1, &["our certificate has been revoked"]);
    assert!(status().contains("waiting for"), "{}", status());
}

/// Replaces the identity of a node by another of the same name, while the node runs.
fn renew(rig: &Rig, kind: &str, id: &str) -> String {
    let next = rig.path(&format!("{id}-next"));
    rig.sign(&format!("{kind}/{id}"), &next, &rig.path("ca"));
    for file in ["node.key", "node.crt"] {
        fs::copy(next.join(file), rig.path(id).join(file)).unwrap();
    }
    fs::read_to_string(next.join("node.crt")).unwrap()
}

/// Both verifiers find a job's bundle sound at every node; the certificates of a log in it.
fn sound(rig: &Rig, job: &str, of: &str) -> Vec<String> {
    let mut certificates = Vec::new();
    for node in ["bank", "partner", "hub"] {
        let path = rig.path(&format!("{node}/state/bundles/{job}.bundle"));
        wait_for("the bundle", Duration::from_secs(30), || path.exists());
        let verified = paripassu().args(["audit", "verify"]).arg(&path).output();
        let verified = verified.unwrap();
        // a program with the means of tests says so of itself, which is for check 10 to find
        let code = verified.status.code();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(matches!(code, Some(0 | 19)), "{node}: {code:?}\n{said}");
        if let Some(python) = std::env::var_os("PARIPASSU_SPEC_PYTHON") {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/spec/verify.py");
            let second = Command::new(python)
                .arg(script)
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(second.status.code(), code, "{node}: {second:?}");
        }
        let bundle = Bundle::load(&path).unwrap();
        let mut logs = bundle.logs.into_iter();
        certificates = logs
            .find(|log| log.origin.ends_with(of))
            .unwrap()
            .certificates;
    }
    certificates
}

#[test]
fn running_nodes_take_renewed_keys_and_a_job_under_way_ends_with_the_one_it_began_with() {
    let mut rig = Rig::new();
    let csv = |name: &str| example(&format!("data/german_credit/{name}.csv"));
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    rig.party("bank", &csv("bank"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    rig.party("partner", &csv("partner"), partner);

    let before = fs::read_to_string(rig.path("partner/node.crt")).unwrap();
    let job = rig.submit(&spec(""));
    rig.approve("bank", &job);
    // stopped on its way, so that the key comes in the middle of the job
    rig.signal("bank", "STOP");
    rig.approve("partner", &job);
    wait_for("the start", Duration::from_secs(20), || {
        rig.log("partner").contains("job started")
    });
    let after = renew(&rig, "party", "partner");
    wait_for("the new certificate", Duration::from_secs(20), || {
        rig.log("partner").contains("connecting with it")
    });
    assert!(!rig.log("partner").contains("the renewed key signs"));
    rig.signal("bank", "CONT");
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(said.code, 0, "{said:?}");
    wait_for("the change", Duration::from_secs(90), || {
        rig.log("partner")
            .contains("the renewed key signs from here on")
    });
    assert_eq!(
        sound(&rig, &job, "party/partner"),
        std::slice::from_ref(&before)
    );

    // one that was proposed before and begins after has both, with the change written down
    let waiting = rig.submit(&spec(""));
    wait_for("the proposal", Duration::from_secs(20), || {
        rig.job("partner", &["status", &waiting]).code == 0
    });
    let hub = renew(&rig, "coordinator", "hub");
    wait_for("the change", Duration::from_secs(90), || {
        rig.log("hub")
            .contains("the renewed key signs from here on")
    });
    for party in ["bank", "partner"] {
        rig.approve(party, &waiting);
    }
    let said = rig.job(
        "modeler",
        &["watch", &waiting, "--json", "--timeout", "120"],
    );
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(sound(&rig, &waiting, "coordinator/hub")[0], hub);
    let both = sound(&rig, &waiting, "party/partner");
    assert_eq!(both[0], after);
    assert!(both.len() == 2 && both.contains(&before), "{both:?}");
    // the earlier job's bundle is as sound as it was
    sound(&rig, &job, "party/partner");
    // a certificate of another node changes nothing
    let other = rig.path("other");
    rig.sign("party/other", &other, &rig.path("ca"));
    for file in ["node.key", "node.crt"] {
        fs::copy(other.join(file), rig.path("bank").join(file)).unwrap();
    }
    wait_for("the refusal", Duration::from_secs(20), || {
        rig.log("bank")
            .contains("the certificate before stays in use")
    });
}

/// A node in job after job: once its new key has waited long enough no job begins with the one before, and it changes when
/// those under way have ended.
#[test]
fn a_node_that_is_never_idle_takes_its_new_key_after_the_jobs_under_way() {
    let mut rig = Rig::new();
    let csv = |name: &str| example(&format!("data/german_credit/{name}.csv"));
    let columns = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    rig.party("bank", &csv("bank"), columns);
    rig.party("second", &csv("bank"), columns);
    rig.enrol("party/partner");
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    let config = rig.party_config("partner", &csv("partner"), partner);
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("key_patience_s = 0\n{text}")).unwrap();
    rig.start("party", "partner", &config);

    let job = rig.submit(&spec(""));
    rig.approve("bank", &job);
    rig.signal("bank", "STOP");
    rig.approve("partner", &job);
    wait_for("the start", Duration::from_secs(20), || {
        rig.log("partner").contains("job started")
    });
    renew(&rig, "party", "partner");
    wait_for("the new certificate", Duration::from_secs(20), || {
        rig.log("partner").contains("connecting with it")
    });
    // another bank's job does not begin with the old key
    let with_second = spec("").replace("\"bank\"", "\"second\"");
    let run = |rig: &Rig| {
        let job = rig.submit(&with_second);
        for party in ["second", "partner"] {
            rig.approve(party, &job);
        }
        rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"])
    };
    let said = run(&rig);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(
        said.out.contains("`partner` was given a new key"),
        "{said:?}"
    );
    rig.signal("bank", "CONT");
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(said.code, 0, "{said:?}");
    wait_for("the change", Duration::from_secs(90), || {
        rig.log("partner")
            .contains("the renewed key signs from here on")
    });
    let said = run(&rig);
    assert_eq!(said.code, 0, "{said:?}");
}
