//! Keys that are renewed and revoked while the other nodes go on: three real processes.

#![allow(clippy::unwrap_used)]

mod common;

use std::{fs, path::PathBuf, time::Duration};

use common::{
    paripassu,
    rig::{Rig, spec},
    wait_for,
};

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
    // refused within the handshake: the program hears of a broken connection
    let refused = rig.job("partner", &approve);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(status().contains("waiting for"), "{}", status());
}
