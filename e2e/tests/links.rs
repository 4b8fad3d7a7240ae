//! What transcripts say of connections and policies is what they were.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::path::PathBuf;

use paripassu_audit::{
    bundle::Bundle,
    event::{Body, Envelope, bodies::SessionOpened},
};
use paripassu_e2e::{Consortium, JOB, proves, state};
use paripassu_proto::control::v1::JobState;
use paripassu_service::{tls::Suite, transcript::export};

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data/german_credit")
        .join(name)
}

async fn consortium(suites: &[Suite]) -> Consortium {
    let mut c = Consortium::with_suites(None, suites).await;
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n";
    c.party("bank", &data("bank.csv"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    c.party("partner", &data("partner.csv"), partner);
    c
}

/// The bodies of all logs in a bundle, with the node of each.
fn bodies(bundle: &Bundle) -> Vec<(String, Body)> {
    let logs = bundle.logs.iter();
    logs.flat_map(|log| &log.events)
        .filter_map(|event| {
            let envelope = Envelope::parse(event.envelope.as_bytes()).unwrap();
            let body = event.body.as_ref()?;
            Some((envelope.actor, Body::parse(&envelope.event, body).unwrap()))
        })
        .collect()
}

async fn bundle(c: &Consortium, node: &str, job: &str) -> Bundle {
    let state = c.path(&format!("{node}-state"));
    for _ in 0..400 {
        if let Ok(bundle) = export(&state, job) {
            return bundle;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no bundle of {node}");
}

/// What each node recorded of each link, by a job over these suites.
async fn recorded(suites: &[Suite]) -> Vec<(String, SessionOpened)> {
    let c = consortium(suites).await;
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let bundle = bundle(&c, "bank", &job.to_string()).await;
    proves(&bundle, &[]);
    c.stop().await;
    let sessions = bodies(&bundle).into_iter();
    sessions
        .filter_map(|(node, body)| match body {
            Body::SessionOpened(session) => Some((node, session)),
            _ => None,
        })
        .collect()
}

/// The coordinator accepts one suite: no connection can have negotiated another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cipher_recorded_is_the_one_negotiated() {
    for (suite, name) in [
        (Suite::Aes128, "TLS_AES_128_GCM_SHA256"),
        (Suite::Aes256, "TLS_AES_256_GCM_SHA384"),
    ] {
        let sessions = recorded(&[suite]).await;
        // three members, each of which has a link to both others; the coordinator is the helper
        assert_eq!(sessions.len(), 6);
        for node in ["bank", "partner", "hub"] {
            assert_eq!(sessions.iter().filter(|(by, _)| by == node).count(), 2);
        }
        for (node, session) in &sessions {
            assert_eq!(session.suite, name, "{node} to {}", session.peer);
            assert_eq!(session.tls, "1.3");
            assert_eq!(session.sealed, paripassu_crypto::sealed::SUITE);
        }
    }
}

/// A verdict can be judged by again from what stands before it, and that holds nothing but what was asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_written_down_without_anything_that_was_not_asked_for() {
    let c = consortium(&Suite::ALL).await;
    let partners = "id = \"partner\"\nrole = \"features\"\ndataset = \"table\"\ncolumns = \"all\"";
    assert!(JOB.contains(partners));
    let wanted = partners.replace("\"all\"", "{ numeric = [\"age_in_years\", \"income\"] }");
    let (status, job) = c.run(&JOB.replace(partners, &wanted)).await;
    assert_eq!(state(&status), JobState::Rejected, "{status:?}");
    let bundle = bundle(&c, "partner", &job.to_string()).await;
    proves(&bundle, &[]);
    let bodies = bodies(&bundle);
    let said = |want: &str| {
        let found = bodies
            .iter()
            .filter(|(node, body)| node == "partner" && body.event() == want);
        found
            .map(|(_, body)| format!("{body:?}"))
            .collect::<String>()
    };
    let stated = said("policy.stated");
    assert!(stated.contains("age_in_years"), "{stated}");
    for absent in ["income", "csv", "/", "customer"] {
        assert!(!stated.contains(absent), "{absent}: {stated}");
    }
    let verdict = said("policy.evaluated");
    assert!(
        verdict.contains("\"offered\", verdict: \"deny\""),
        "{verdict}"
    );
    c.stop().await;
}
