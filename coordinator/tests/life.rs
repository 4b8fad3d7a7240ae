//! A job's life over real sockets.
#![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod common;

use std::time::{Duration, Instant};

use common::*;
use paripassu_coordinator::{Coordinator, CoordinatorError, Deadlines, Parts};
use paripassu_job::Timestamp;
use paripassu_proto::control::v1::JobState;
use paripassu_service::{clock::Clock, shutdown::Shutdown};
use tonic::Code;

#[tokio::test]
async fn from_proposal_to_release_with_the_coordinator_as_helper() {
    let world = World::new();
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Good, &running);
    let partner = world.party("party/partner", Manner::Good, &running);
    let mut mona = world.client("user/mona", &running).await;
    let job = mona.submit(&contract("j-1", "hub")).await.unwrap();
    assert_eq!(job.submitter, "user/mona");
    let (states, last) = mona.watch("j-1").await;
    assert_eq!(
        states.last(),
        Some(&JobState::Released),
        "{states:?} {last:?}"
    );
    assert!(last.nodes.iter().filter(|n| n.completed).count() >= 2);
    bank.sees("state Released").await;
    partner.sees("decision party/bank true").await;

    let shown = mona.show("j-1").await;
    assert_eq!(shown.decisions.len(), 2);
    let states: Vec<_> = shown.events.iter().map(|e| e.state()).collect();
    for state in [
        JobState::Proposed,
        JobState::Approved,
        JobState::Aligning,
        JobState::Released,
    ] {
        assert!(states.contains(&state), "{states:?}");
    }
    assert!(
        shown.events.iter().all(|e| !e.detail.contains("differs")),
        "{:?}",
        shown.events
    );
    let nodes = mona
        .calls
        .list_nodes(paripassu_proto::control::v1::ListNodesRequest {})
        .await;
    assert_eq!(nodes.unwrap().into_inner().nodes.len(), 2);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_separate_helper_node_deals() {
    let mut world = World::new();
    world.helper = false;
    let running = world.serve().await;
    let _bank = world.party("party/bank", Manner::Good, &running);
    let _partner = world.party("party/partner", Manner::Good, &running);
    let mut mona = world.client("user/mona", &running).await;
    let refused = mona.submit(&contract("j-0", "hub")).await.unwrap_err();
    assert!(refused.message().contains("not configured"), "{refused}");
    mona.submit(&contract("j-1", "bureau")).await.unwrap();
    // approved, and waiting for the helper by name
    let by = Instant::now() + SOON;
    loop {
        let summary = mona.show("j-1").await.status.unwrap().summary.unwrap();
        if summary.state() == JobState::Approved && summary.waiting_for == ["bureau"] {
            break;
        }
        assert!(Instant::now() < by, "{summary:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let identity = world.identity("helper/bureau");
    let config = paripassu_service::transport::UplinkConfig {
        address: running.address().to_string(),
        coordinator: None,
        settings: World::settings(),
    };
    let port = paripassu_service::transport::Uplink::start(
        std::sync::Arc::clone(&identity),
        config,
        Shutdown::new(),
    );
    let (_, _task) = paripassu_service::node::Node::start(
        identity,
        port,
        heads(),
        Some(world.transcript("helper/bureau")),
        |_| paripassu_service::node::HelperHandler::new(std::sync::Arc::new(Masks)),
        Shutdown::new(),
    );
    let (states, last) = mona.watch("j-1").await;
    assert_eq!(states.last(), Some(&JobState::Released), "{last:?}");
}

#[tokio::test]
async fn a_rejection_ends_the_job() {
    let world = World::new();
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Good, &running);
    let _partner = world.party("party/partner", Manner::Rejects, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("j-1", "hub")).await.unwrap();
    let (_, last) = mona.watch("j-1").await;
    let summary = last.summary.unwrap();
    assert_eq!(summary.state(), JobState::Rejected);
    assert_eq!(summary.abort.unwrap().culprit, "partner");
    bank.sees("state Rejected [partner]").await;
    assert!(!bank.saw("run as"));
}

#[tokio::test]
async fn a_failing_node_ends_the_job_everywhere_and_is_named() {
    let world = World::new();
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Waits, &running);
    let _partner = world.party("party/partner", Manner::Fails, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("j-1", "hub")).await.unwrap();
    let (_, last) = mona.watch("j-1").await;
    let abort = last.summary.unwrap().abort.unwrap();
    assert_eq!(
        (abort.culprit.as_str(), abort.step.as_str()),
        ("partner", "align/hash")
    );
    assert_eq!(abort.code, "data_unreadable");
    // whoever waited was freed at once, long before its deadline
    bank.sees("freed party-1 is gone").await;
    bank.sees("state Aborted [partner]").await;
}

#[tokio::test]
async fn a_node_that_dies_ends_the_job_after_the_grace_period() {
    let world = World::new();
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Waits, &running);
    let partner = world.party("party/partner", Manner::Waits, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("j-1", "hub")).await.unwrap();
    bank.sees("run as").await;
    partner.sees("run as").await;
    let begin = Instant::now();
    partner.kill().await;
    let (_, last) = mona.watch("j-1").await;
    let abort = last.summary.unwrap().abort.unwrap();
    assert_eq!(
        (abort.culprit.as_str(), abort.code.as_str()),
        ("partner", "node_lost")
    );
    assert!(
        begin.elapsed() >= Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    bank.sees("freed party-1 is gone").await;
}

#[tokio::test]
async fn a_restarted_node_ends_the_job_at_once() {
    let mut world = World::new();
    world.deadlines.grace_s = 3600;
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Waits, &running);
    let partner = world.party("party/partner", Manner::Waits, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("j-1", "hub")).await.unwrap();
    bank.sees("run as").await;
    partner.sees("run as").await;
    partner.kill().await;
    let _again = world.party("party/partner", Manner::Silent, &running);
    let (_, last) = mona.watch("j-1").await;
    let abort = last.summary.unwrap().abort.unwrap();
    assert_eq!(abort.culprit, "partner");
    assert!(abort.reason.contains("restarted"), "{}", abort.reason);
    bank.sees("freed").await;
}

#[tokio::test]
async fn after_a_restart_proposals_go_on_and_running_jobs_are_aborted() {
    let mut world = World::new();
    let running = world.serve().await;
    world.listen = running.address().to_string();
    let bank = world.party("party/bank", Manner::Waits, &running);
    let partner = world.party("party/partner", Manner::Waits, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("runs", "hub")).await.unwrap();
    bank.sees("run as").await;
    partner.sees("run as").await;
    partner.kill().await;
    let waits = contract("waits", "hub");
    mona.submit(&waits).await.unwrap();
    bank.sees("proposal waits").await;
    let by = Instant::now() + SOON;
    while mona.show("waits").await.decisions.is_empty() {
        assert!(Instant::now() < by);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(mona);
    running.stop().await.unwrap();

    let running = world.serve().await;
    // the bank's node has reconnected by itself and knows that its job is over
    bank.sees("no longer knows").await;
    let mut mona = world.client("user/mona", &running).await;
    let runs = mona.show("runs").await;
    let summary = runs.status.unwrap().summary.unwrap();
    assert_eq!(summary.state(), JobState::Aborted);
    assert!(summary.abort.unwrap().reason.contains("restarted"));
    let shown = mona.show("waits").await;
    assert_eq!(
        shown.status.unwrap().summary.unwrap().state(),
        JobState::Proposed
    );
    assert_eq!(shown.decisions.len(), 1, "the decision made before is kept");
    let _partner = world.party("party/partner", Manner::Fails, &running);
    let (_, last) = mona.watch("waits").await;
    assert_eq!(last.summary.unwrap().abort.unwrap().code, "data_unreadable");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn contracts_expire_and_missing_nodes_are_named() {
    let mut world = World::new();
    world.clock = Clock::fixed(Clock::system().now());
    world.deadlines = Deadlines {
        connect_s: 100,
        grace_s: 1,
        ..Deadlines::default()
    };
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Good, &running);
    let mut mona = world.client("user/mona", &running).await;
    let approved = contract("approved", "hub");
    mona.submit(&approved).await.unwrap();
    mona.submit(&contract("forgotten", "hub")).await.unwrap();
    bank.sees("proposal approved").await;
    // the partner's officer approves from the command line; its node is not connected
    let mut officer = world.client("party/partner", &running).await;
    officer.decide("approved", &approved, true).await.unwrap();
    let by = Instant::now() + SOON;
    while mona
        .show("approved")
        .await
        .status
        .unwrap()
        .summary
        .unwrap()
        .state()
        != JobState::Approved
    {
        assert!(Instant::now() < by);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // an approval may end before the job begins; one that has ended is not taken
    let soon = u64::try_from(world.clock.now() + 50).unwrap();
    let soon = Timestamp::from_unix(soon).unwrap().to_string();
    let brief = contract("brief", "hub");
    mona.submit(&brief).await.unwrap();
    let ended = officer.decide_until("brief", &brief, true, "2026-01-01T00:00:00Z");
    let ended = ended.await.unwrap_err();
    assert_eq!(ended.code(), Code::FailedPrecondition, "{ended}");
    let until = officer.decide_until("brief", &brief, true, &soon);
    until.await.unwrap();
    world.clock.set(world.clock.now() + 101);
    let (_, last) = mona.watch("brief").await;
    assert_eq!(last.summary.unwrap().state(), JobState::Expired);
    let said = mona.show("brief").await.events;
    let said = &said.last().unwrap().detail;
    assert!(said.contains("approval of partner ended"), "{said}");
    let (_, last) = mona.watch("approved").await;
    let abort = last.summary.unwrap().abort.unwrap();
    assert_eq!(abort.culprit, "partner");
    assert!(abort.reason.contains("not connected") && abort.reason.contains("partner"));
    world.clock.set(world.clock.now() + 7200);
    let (_, last) = mona.watch("forgotten").await;
    assert_eq!(last.summary.unwrap().state(), JobState::Expired);
    let late = mona.submit(&contract("late", "hub")).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_revoked_party_is_cut_off_in_the_middle_of_a_job() {
    let world = World::new();
    let running = world.serve().await;
    let bank = world.party("party/bank", Manner::Waits, &running);
    let partner = world.party("party/partner", Manner::Waits, &running);
    let mut mona = world.client("user/mona", &running).await;
    mona.submit(&contract("j-1", "hub")).await.unwrap();
    bank.sees("run as").await;
    partner.sees("run as").await;
    world.revoke("party/partner");
    let (_, last) = mona.watch("j-1").await;
    let abort = last.summary.unwrap().abort.unwrap();
    assert_eq!(abort.culprit, "partner");
    assert!(abort.reason.contains("revoked"), "{}", abort.reason);
    partner.sees("freed").await;
    // and it does not get in again
    let refused = world.client("party/partner", &running).await;
    let mut calls = refused.calls;
    assert!(
        calls
            .list_jobs(paripassu_proto::control::v1::ListJobsRequest {})
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_port_in_use_is_said_plainly() {
    let mut world = World::new();
    let running = world.serve().await;
    world.listen = running.address().to_string();
    let parts = Parts::new(heads(), std::sync::Arc::new(Masks));
    let error = Coordinator::serve(world.config(), parts, Shutdown::new())
        .await
        .unwrap_err();
    assert!(matches!(error, CoordinatorError::Serve(_)));
    assert!(error.to_string().contains("in use"), "{error}");
}
