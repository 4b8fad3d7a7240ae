//! Much data, slow readers, deadlines, ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use paripassu_protocol::channel::{Channel, ChannelError};

use super::rig::*;
use crate::transport::Settings;

const MIB: usize = 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ways_at_once_and_the_digests_agree() {
    let pair = pair(Settings::default(), None, true).await;
    let (out, back) = (pattern(64 * MIB, 1), pattern(64 * MIB, 2));
    let (a, b) = (&pair.bank, &pair.partner);
    let (ab, ba, at_b, at_a) = tokio::join!(
        a.send(PARTNER, tag("bulk"), out.clone(), SOON),
        b.send(BANK, tag("bulk"), back.clone(), SOON),
        b.recv(BANK, tag("bulk"), SOON),
        a.recv(PARTNER, tag("bulk"), SOON),
    );
    ab.unwrap();
    ba.unwrap();
    assert!(at_b.unwrap() == out && at_a.unwrap() == back);
    let (ours, theirs) = (a.report().remove(0), b.report().remove(0));
    assert_eq!(
        (&ours.sent, &ours.received),
        (&theirs.received, &theirs.sent)
    );
    assert_eq!(ours.sent.frames, 256);
    assert_eq!(a.metered(), (ours.sent.bytes, ours.received.bytes));
    let label = |c: &crate::transport::JobChannel, p| *c.shared_with(p).unwrap().derive("seed");
    assert_eq!(label(a, PARTNER), label(b, BANK));
}

#[tokio::test]
async fn sending_all_before_receiving_anything_comes_free() {
    // both send more than a window before either reads, and read in another order than was sent
    let settings = Settings {
        window: 2 * MIB as u64,
        ..quick()
    };
    let pair = pair(settings, None, true).await;
    let talk = async |me: &crate::transport::JobChannel, other, salt: u8, theirs: u8| {
        for i in 0..3u8 {
            let body = pattern(2 * MIB, salt + i);
            me.send(other, tag(&format!("m{i}")), body, SOON)
                .await
                .unwrap();
        }
        for i in [2, 0, 1u8] {
            let body = me.recv(other, tag(&format!("m{i}")), SOON).await.unwrap();
            assert!(body == pattern(2 * MIB, theirs + i));
        }
    };
    tokio::join!(
        talk(&pair.bank, PARTNER, 0, 10),
        talk(&pair.partner, BANK, 10, 0)
    );
}

#[tokio::test]
async fn a_slow_reader_holds_back_its_sender_and_bounds_memory() {
    let window = 2 * MIB as u64;
    let pair = pair(
        Settings {
            window,
            outbox: MIB,
            ..quick()
        },
        None,
        true,
    )
    .await;
    let sender = pair.bank.clone();
    let body = pattern(12 * MIB, 3);
    let sending = tokio::spawn({
        let body = body.clone();
        async move { sender.send(PARTNER, tag("bulk"), body, SOON).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (sent, _) = pair.bank.metered();
    let (_, arrived) = pair.partner.metered();
    assert!(
        !sending.is_finished() && sent <= window,
        "{sent} sent of a window of {window}"
    );
    assert!(arrived <= window && arrived > 0);
    let hub_queue = pair.served.hub.queued_for(pair.members[1].identity.peer());
    assert!(hub_queue <= window as usize + MIB, "{hub_queue}");
    assert!(pair.partner.recv(BANK, tag("bulk"), SOON).await.unwrap() == body);
    sending.await.unwrap().unwrap();
}

#[tokio::test]
async fn small_and_empty_messages_arrive_in_any_order() {
    let pair = pair(quick(), None, true).await;
    for i in 0..50 {
        let body = Bytes::from(vec![7u8; i]);
        pair.bank
            .send(PARTNER, tag(&format!("t{i}")), body, SOON)
            .await
            .unwrap();
    }
    for i in (0..50).rev() {
        let got = pair
            .partner
            .recv(BANK, tag(&format!("t{i}")), SOON)
            .await
            .unwrap();
        assert_eq!(got.len(), i);
    }
}

#[tokio::test]
async fn a_silent_peer_is_named_after_the_deadline() {
    let pair = pair(quick(), None, true).await;
    let deadline = Duration::from_millis(150);
    let begin = Instant::now();
    let error = pair
        .bank
        .recv(PARTNER, tag("never"), deadline)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ChannelError::Timeout { from: PARTNER, .. }),
        "{error}"
    );
    assert!(begin.elapsed() >= deadline && begin.elapsed() < Duration::from_secs(2));
    // and a peer that does not read
    let big = Bytes::from(vec![0; 40 * MIB]);
    let error = pair
        .bank
        .send(PARTNER, tag("big"), big, deadline)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ChannelError::Gone { peer: PARTNER, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_end_of_a_job_frees_all_who_wait() {
    let pair = pair(quick(), None, true).await;
    let (a, b) = (pair.bank.clone(), pair.bank.clone());
    let receiving = tokio::spawn(async move { a.recv(PARTNER, tag("x"), SOON * 100).await });
    let sending = tokio::spawn(async move {
        b.send(PARTNER, tag("y"), vec![0; 80 * MIB].into(), SOON * 100)
            .await
    });
    until("both wait", || pair.bank.waiting() == 2).await;
    let begin = Instant::now();
    pair.bank.end("cancelled by the modeler");
    let ended = ChannelError::Ended {
        reason: "cancelled by the modeler".into(),
    };
    assert_eq!(receiving.await.unwrap().unwrap_err(), ended);
    assert_eq!(sending.await.unwrap().unwrap_err(), ended);
    assert!(begin.elapsed() < Duration::from_millis(200));
    assert_eq!(
        exchange(&pair.bank, &pair.partner, "z").await.unwrap_err(),
        ended
    );
}

#[tokio::test]
async fn limits_are_checked_before_anything_is_stored() {
    let pair = pair(
        Settings {
            message: 1000,
            ..quick()
        },
        None,
        true,
    )
    .await;
    let error = pair
        .bank
        .send(PARTNER, tag("big"), vec![0; 1001].into(), SOON)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ChannelError::TooLarge {
                bytes: 1001,
                limit: 1000,
                ..
            }
        ),
        "{error}"
    );
    exchange(&pair.bank, &pair.partner, "t").await.unwrap();
    let again = exchange(&pair.bank, &pair.partner, "t").await.unwrap_err();
    assert!(
        matches!(again, ChannelError::Equivocation { from: BANK, .. }),
        "{again}"
    );
}

#[tokio::test]
async fn the_coordinator_itself_can_be_a_member() {
    let consortium = Consortium::new();
    let identity = consortium.enrol("coordinator/hub");
    let served = serve(std::sync::Arc::clone(&identity), &quick(), None).await;
    let bank = consortium.enrol("party/bank");
    let mut port = dial(&bank, served.address, &quick());
    connected(&mut port).await;
    let local = served.hub.attach_local();
    let helper = paripassu_protocol::channel::Role::Helper;
    let members = vec![
        Member {
            identity: bank,
            port,
            role: BANK,
        },
        Member {
            identity,
            port: local,
            role: helper,
        },
    ];
    let channels = open(&served.hub, &members, true);
    let body = pattern(5 * MIB, 9);
    let (sent, got) = tokio::join!(
        channels[1].send(BANK, tag("masks"), body.clone(), SOON),
        channels[0].recv(helper, tag("masks"), SOON)
    );
    sent.unwrap();
    assert!(got.unwrap() == body);
    exchange(&channels[0], &channels[1], "thanks")
        .await
        .unwrap();
}
