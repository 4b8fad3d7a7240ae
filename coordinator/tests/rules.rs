//! Who may do what.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use common::*;
use paripassu_proto::control::v1 as pb;
use paripassu_service::signing::{self, Decision, Submission, contract_digest};
use tonic::Code;

#[tokio::test]
async fn contracts_that_break_a_rule_are_refused() {
    let world = World::new();
    let running = world.serve().await;
    let mut mona = world.client("user/mona", &running).await;
    let later = "99999999999";
    for (contract, what) in [
        (
            format!("j|bank,partner|bank|{later}"),
            "would know its own masks",
        ),
        (format!("j|bank,bank|hub|{later}"), "twice"),
        (format!("j|bank|hub|{later}"), "2 to"),
        ("j|bank,partner|hub|soon".to_owned(), "expires"),
        ("j|bank,partner|hub|5".to_owned(), "expired"),
    ] {
        let refused = mona.submit(&contract).await.unwrap_err();
        assert!(refused.message().contains(what), "{contract}: {refused}");
    }
    let first = contract("j-1", "hub");
    mona.submit(&first).await.unwrap();
    mona.submit(&first)
        .await
        .expect("the same contract again is the same job");
    let other = first.replace("partner", "pal");
    assert_eq!(
        mona.submit(&other).await.unwrap_err().code(),
        Code::AlreadyExists
    );
}

#[tokio::test]
async fn signatures_must_be_the_callers_own_and_over_this_contract() {
    let world = World::new();
    let running = world.serve().await;
    let mut mona = world.client("user/mona", &running).await;
    let text = contract("j-1", "hub");
    let request = |signed, text: &str| pb::SubmitJobRequest {
        contract: bytes::Bytes::copy_from_slice(text.as_bytes()),
        submission: Some(signed),
    };
    let statement = Submission {
        job: "j-1".parse().unwrap(),
        digest: contract_digest(text.as_bytes()),
    };
    let by_other = signing::sign(&world.identity("party/bank"), statement.to_bytes());
    let refused = mona
        .calls
        .submit_job(request(by_other.clone(), &text))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let mut forged = by_other;
    forged.chain.clear(); // claims the caller's own chain
    let refused = mona
        .calls
        .submit_job(request(forged, &text))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    let own = signing::sign(&mona.identity, statement.to_bytes());
    let refused = mona
        .calls
        .submit_job(request(own, &contract("j-1", "")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");

    mona.submit(&text).await.unwrap();
    let mut bank = world.client("party/bank", &running).await;
    let refused = bank
        .decide("j-1", "another contract", true)
        .await
        .unwrap_err();
    assert!(refused.message().contains("another contract"), "{refused}");
    // the bank sends the partner's approval as its own stream's
    let decision = Decision {
        job: "j-1".parse().unwrap(),
        digest: contract_digest(text.as_bytes()),
        approve: true,
        reason: String::new(),
        consent: Default::default(),
    };
    let of_partner = signing::sign(&world.identity("party/partner"), decision.to_bytes());
    let request = pb::DecideJobRequest {
        decision: Some(of_partner),
    };
    assert!(bank.calls.decide_job(request).await.is_err());
    assert!(mona.show("j-1").await.decisions.is_empty());

    bank.decide("j-1", &text, true).await.unwrap();
    bank.decide("j-1", &text, true)
        .await
        .expect("the same decision again changes nothing");
    let turned = bank.decide("j-1", &text, false).await.unwrap_err();
    assert_eq!(turned.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn strangers_see_nothing_and_users_decide_nothing() {
    let world = World::new();
    let running = world.serve().await;
    let mut mona = world.client("user/mona", &running).await;
    let text = contract("j-1", "hub");
    mona.submit(&text).await.unwrap();
    let mut stranger = world.client("party/stranger", &running).await;
    let show = pb::ShowJobRequest { job: "j-1".into() };
    assert_eq!(
        stranger.calls.show_job(show).await.unwrap_err().code(),
        Code::NotFound
    );
    let listed = stranger
        .calls
        .list_jobs(pb::ListJobsRequest {})
        .await
        .unwrap();
    assert!(listed.into_inner().jobs.is_empty());
    assert_eq!(
        stranger
            .decide("j-1", &text, true)
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
    assert_eq!(
        mona.decide("j-1", &text, true).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let mut other = world.client("user/other", &running).await;
    let cancel = pb::CancelJobRequest {
        job: "j-1".into(),
        reason: String::new(),
    };
    let refused = other.calls.cancel_job(cancel.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut partner = world.client("party/partner", &running).await;
    let ended = partner
        .calls
        .cancel_job(cancel)
        .await
        .unwrap()
        .into_inner()
        .job
        .unwrap();
    assert_eq!(ended.state(), pb::JobState::Aborted);
    assert!(ended.abort.unwrap().reason.contains("party/partner"));
}

#[tokio::test]
async fn a_regulator_reads_everything_and_changes_nothing() {
    let world = World::new();
    let running = world.serve().await;
    let mut mona = world.client("user/mona", &running).await;
    let text = contract("j-1", "hub");
    mona.submit(&text).await.unwrap();
    let mut regulator = world.client("regulator/supervisor", &running).await;
    let listed = regulator.calls.list_jobs(pb::ListJobsRequest {}).await;
    assert_eq!(listed.unwrap().into_inner().jobs.len(), 1);
    let show = pb::ShowJobRequest { job: "j-1".into() };
    let shown = regulator.calls.show_job(show).await.unwrap().into_inner();
    assert!(shown.proposal.is_some());
    let nodes = regulator.calls.list_nodes(pb::ListNodesRequest {}).await;
    nodes.unwrap();
    let cancel = pb::CancelJobRequest {
        job: "j-1".into(),
        reason: String::new(),
    };
    let refused = [
        regulator.submit(&contract("j-2", "hub")).await.unwrap_err(),
        regulator.decide("j-1", &text, false).await.unwrap_err(),
        regulator.calls.cancel_job(cancel).await.unwrap_err(),
    ];
    for refused in refused {
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
        // who may is said
        assert!(refused.message().contains("of kind"), "{refused}");
    }
}

#[tokio::test]
async fn the_history_cannot_be_rewritten_through_the_database() {
    let world = World::new();
    let running = world.serve().await;
    world
        .client("user/mona", &running)
        .await
        .submit(&contract("j-1", "hub"))
        .await
        .unwrap();
    running.stop().await.unwrap();
    let db = rusqlite::Connection::open(world.dir.path().join("state/coordinator.db")).unwrap();
    assert!(db.execute("UPDATE events SET detail = 'x'", []).is_err());
    assert!(db.execute("DELETE FROM events", []).is_err());
}
