//! Lost connections, lost sessions, rivals.

use std::sync::atomic::Ordering;
use std::time::Duration;

use paripassu_protocol::channel::{Channel, ChannelError};

use super::rig::*;
use crate::{
    shutdown::Shutdown,
    transport::{PortEvent, Settings, Uplink, UplinkConfig, uplink::REPLACED},
};

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_and_repeat_nothing() {
    let settings = Settings {
        window: 2 * MIB as u64,
        grace: SOON,
        ..quick()
    };
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &settings, None).await;
    let proxy = Proxy::to(served.address).await;
    let mut members = Vec::new();
    for (who, role) in [("party/bank", BANK), ("party/partner", PARTNER)] {
        let identity = consortium.enrol(who);
        let mut port = dial(&identity, proxy.address, &settings);
        connected(&mut port).await;
        members.push(Member {
            identity,
            port,
            role,
        });
    }
    let channels = open(&served.hub, &members, true);
    let (a, b) = (channels[0].clone(), channels[1].clone());
    let (out, back) = (pattern(24 * MIB, 1), pattern(24 * MIB, 2));
    let bulk = {
        let (a, b, out, back) = (a.clone(), b.clone(), out.clone(), back.clone());
        tokio::spawn(async move {
            tokio::join!(
                a.send(PARTNER, tag("bulk"), out, SOON),
                b.send(BANK, tag("bulk"), back, SOON),
                b.recv(BANK, tag("bulk"), SOON),
                a.recv(PARTNER, tag("bulk"), SOON),
            )
        })
    };
    // cut in the middle, each time a part has passed
    let mut cuts = 0;
    for at in [3, 9, 15] {
        until("a part has passed", || {
            a.metered().1 > (at * MIB) as u64 || bulk.is_finished()
        })
        .await;
        if !bulk.is_finished() {
            proxy.cut().await;
            cuts += 1;
        }
    }
    let (ab, ba, at_b, at_a) = bulk.await.unwrap();
    ab.unwrap();
    ba.unwrap();
    assert!(at_b.unwrap() == out && at_a.unwrap() == back);
    assert!(cuts >= 2 && proxy.connections.load(Ordering::SeqCst) >= 2 + 2 * (cuts - 1));
    let (ours, theirs) = (a.report().remove(0), b.report().remove(0));
    assert_eq!((ours.sent, ours.received), (theirs.received, theirs.sent));
    assert!(served.saw("resumed: true") && !served.saw("Lost"));
    // small messages go on over the new connection
    exchange(&a, &b, "after").await.unwrap();
}

#[tokio::test]
async fn a_node_that_stays_away_is_lost_and_its_own_jobs_end() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let proxy = Proxy::to(served.address).await;
    let identity = consortium.enrol("party/bank");
    let mut port = dial(&identity, proxy.address, &quick());
    connected(&mut port).await;
    drop(proxy); // nobody listens any more, and what was open is cut
    assert!(matches!(
        next(&mut port).await,
        PortEvent::Disconnected { .. }
    ));
    until("the hub gives up", || served.saw("Lost { peer: party/bank")).await;
    assert!(!served.hub.has_session(identity.peer()));
}

#[tokio::test]
async fn a_restarted_hub_does_not_know_the_session_and_jobs_end_with_the_reason() {
    let consortium = Consortium::new();
    let hub = consortium.enrol("coordinator/hub");
    let first = serve(std::sync::Arc::clone(&hub), &quick(), None).await;
    let mut members = Vec::new();
    for (who, role) in [("party/bank", BANK), ("party/partner", PARTNER)] {
        let identity = consortium.enrol(who);
        let mut port = dial(&identity, first.address, &quick());
        connected(&mut port).await;
        members.push(Member {
            identity,
            port,
            role,
        });
    }
    let channel = open(&first.hub, &members, true).remove(0);
    let waiting = tokio::spawn(async move { channel.recv(PARTNER, tag("x"), SOON * 10).await });
    let address = first.address;
    first.shutdown.ask();
    until("the port is free", || {
        std::net::TcpListener::bind(address).is_ok()
    })
    .await;
    let (second, mut events) = crate::transport::Hub::new(
        hub.peer().clone(),
        hub.trust().clone(),
        quick(),
        None,
        Shutdown::new(),
    );
    let (listener, _) = crate::transport::server::listen(&address.to_string())
        .await
        .unwrap();
    let routes = tonic::service::Routes::new(second.service());
    let tls = crate::tls::server(&hub, &crate::tls::Suite::ALL).unwrap();
    tokio::spawn(async move {
        crate::transport::server::serve(listener, tls, routes, &quick(), Shutdown::new()).await
    });
    let ended = waiting.await.unwrap().unwrap_err();
    assert!(
        matches!(&ended, ChannelError::Ended { reason } if reason.contains("no longer knows")),
        "{ended}"
    );
    events.recv().await.unwrap();
}

#[tokio::test]
async fn two_processes_with_one_certificate_do_not_fight() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let identity = consortium.enrol("party/bank");
    let mut first = dial(&identity, served.address, &quick());
    connected(&mut first).await;
    let mut second = dial(&identity, served.address, &quick());
    connected(&mut second).await;
    let closed = next(&mut first).await;
    assert!(
        matches!(&closed, PortEvent::Closed { reason } if reason == REPLACED),
        "{closed:?}"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(served.hub.is_connected(identity.peer()));
    assert!(
        second.events.try_recv().is_err(),
        "the second is left alone"
    );
}

#[tokio::test]
async fn stopping_a_node_closes_its_stream() {
    let consortium = Consortium::new();
    let served = serve(consortium.enrol("coordinator/hub"), &quick(), None).await;
    let identity = consortium.enrol("party/bank");
    let stop = Shutdown::new();
    let config = UplinkConfig {
        address: served.address.to_string(),
        coordinator: Some("hub".parse().unwrap()),
        settings: quick(),
    };
    let mut port = Uplink::start(identity, config, stop.clone());
    connected(&mut port).await;
    stop.ask();
    assert!(matches!(next(&mut port).await, PortEvent::Closed { .. }));
    until("the hub notices", || served.saw("Detached")).await;
}
