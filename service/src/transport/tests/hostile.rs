//! A relay that alters, drops, repeats and reorders; members that break the rules.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use paripassu_proto::exchange::v1::{Credit, Frame};
use paripassu_protocol::channel::{Channel, ChannelError, Role};

use super::rig::*;
use crate::{
    signing,
    transport::{KeyError, KeyExchange},
};

/// What the partner says of three messages from the bank when the relay does this to its frames.
async fn relayed(by: impl Fn(Frame) -> Vec<Frame> + Send + Sync + 'static) -> ChannelError {
    let only_bank = move |frame: Frame| {
        if frame.from == "bank" {
            by(frame)
        } else {
            vec![frame]
        }
    };
    let pair = pair(quick(), Some(Arc::new(FnTap(only_bank))), true).await;
    for name in ["m0", "m1", "m2"] {
        pair.bank
            .send(PARTNER, tag(name), Bytes::from(vec![5; 1000]), SOON)
            .await
            .unwrap();
    }
    for name in ["m0", "m1", "m2"] {
        if let Err(error) = pair.partner.recv(BANK, tag(name), SOON).await {
            return error;
        }
    }
    panic!("the partner noticed nothing");
}

#[tokio::test]
async fn an_altered_frame_is_tampered() {
    for place in [0, 500, 1015] {
        let error = relayed(move |mut frame| {
            if frame.seq == 1 {
                let mut chunk = frame.chunk.to_vec();
                chunk[place] ^= 0x40;
                frame.chunk = chunk.into();
            }
            vec![frame]
        })
        .await;
        assert_eq!(error, ChannelError::Tampered { from: BANK, seq: 1 });
        assert_eq!(error.culprit(), Some(BANK));
    }
}

#[tokio::test]
async fn an_altered_header_is_noticed_in_every_field() {
    type Edit = fn(&mut Frame);
    let edits: [Edit; 3] = [
        |f| f.tag = "m9".into(),
        |f| f.total = 999,
        |f| (f.offset, f.total) = (1000, 2000),
    ];
    for edit in edits {
        let edited = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&edited);
        let pair = {
            let tap = FnTap(move |mut frame: Frame| {
                edit(&mut frame);
                *keep.lock().unwrap() = Some(frame.tag.clone());
                vec![frame]
            });
            pair(quick(), Some(Arc::new(tap)), true).await
        };
        pair.bank
            .send(PARTNER, tag("m0"), Bytes::from(vec![5; 1000]), SOON)
            .await
            .unwrap();
        until("relayed", || edited.lock().unwrap().is_some()).await;
        let name = edited.lock().unwrap().clone().unwrap();
        let error = pair.partner.recv(BANK, tag(&name), SOON).await.unwrap_err();
        assert!(
            matches!(error, ChannelError::Tampered { from: BANK, seq: 0 }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_dropped_repeated_or_reordered_frame_is_out_of_sequence() {
    let out = |want, got| ChannelError::OutOfSequence {
        from: BANK,
        want,
        got,
    };
    let dropped = relayed(|f| if f.seq == 1 { vec![] } else { vec![f] }).await;
    assert_eq!(dropped, out(1, 2));
    let repeated = relayed(|f| {
        if f.seq == 1 {
            vec![f.clone(), f]
        } else {
            vec![f]
        }
    })
    .await;
    assert_eq!(repeated, out(2, 1));
    let held = Mutex::new(None);
    let reordered = relayed(move |f| match f.seq {
        0 => {
            *held.lock().unwrap() = Some(f);
            vec![]
        }
        1 => vec![f, held.lock().unwrap().take().unwrap()],
        _ => vec![f],
    })
    .await;
    assert_eq!(reordered, out(0, 1));
    // renumbered so that the order looks right
    let missing = AtomicU64::new(0);
    let renumbered = relayed(move |mut f| {
        if f.seq == 1 {
            missing.store(1, Ordering::SeqCst);
            return vec![];
        }
        f.seq -= missing.load(Ordering::SeqCst);
        if f.seq == 1 {
            f.tag = "m1".into();
        }
        vec![f]
    })
    .await;
    assert_eq!(renumbered, ChannelError::Tampered { from: BANK, seq: 1 });
}

#[tokio::test]
async fn an_oversized_announcement_is_refused_before_memory_is_taken() {
    let error = relayed(|mut f| {
        f.total = u64::MAX;
        vec![f]
    })
    .await;
    assert!(
        matches!(
            error,
            ChannelError::TooLarge {
                from: BANK,
                bytes: u64::MAX,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_member_cannot_speak_for_another_or_without_credit() {
    type Edit = fn(&mut Frame);
    let edits: [(&str, Edit); 4] = [
        ("another's name", |f| f.from = "partner".into()),
        ("no member", |f| f.to = "stranger".into()),
        ("no member", |f| f.to = "bank".into()),
        ("larger than any", |f| f.chunk = vec![0; 300 * 1024].into()),
    ];
    for (what, edit) in edits {
        let pair = pair(quick(), None, true).await;
        let mut frame = Frame {
            job: job().to_string(),
            from: "bank".into(),
            to: "partner".into(),
            tag: "t".into(),
            seq: 0,
            total: 1,
            offset: 0,
            chunk: vec![0; 17].into(),
        };
        edit(&mut frame);
        pair.members[0].port.outlet.frame(frame);
        until(what, || {
            pair.served.saw("violation bank") && pair.served.saw(what)
        })
        .await;
    }
    // more than was granted
    let pair = pair(quick(), None, true).await;
    for seq in 0..200 {
        pair.members[0].port.outlet.frame(Frame {
            job: job().to_string(),
            from: "bank".into(),
            to: "partner".into(),
            tag: format!("t{seq}"),
            seq,
            total: 256 * 1024,
            offset: 0,
            chunk: vec![0; 256 * 1024 + 16].into(),
        });
    }
    until("credit", || {
        pair.served.saw("more than the receiver had asked for")
    })
    .await;
    let receiver = pair.members[1].identity.peer();
    assert!(pair.served.hub.queued_for(receiver) <= 40 << 20);
}

#[tokio::test]
async fn nobody_can_ask_for_unbounded_amounts() {
    let pair = pair(quick(), None, true).await;
    pair.members[1].port.outlet.credit(Credit {
        job: job().to_string(),
        from: "partner".into(),
        to: "bank".into(),
        bytes: u64::MAX,
    });
    until("credit", || {
        pair.served.saw("violation partner it gave more credit")
    })
    .await;
}

#[test]
fn job_keys_are_bound_to_certificate_kind_job_contract_and_node() {
    let consortium = Consortium::new();
    let (bank, partner) = (
        consortium.enrol("party/bank"),
        consortium.enrol("party/partner"),
    );
    let bureau = consortium.enrol("party/bureau"); // a party that is named as helper
    let id = |text: &str| text.parse().unwrap();
    let peers = || [(PARTNER, id("partner")), (Role::Helper, id("bureau"))];
    let (mut exchange, _) = KeyExchange::begin(&bank, job(), CONTRACT, peers()).unwrap();
    let key = |who: &crate::identity::Identity, job, contract| {
        KeyExchange::begin(who, job, contract, [])
            .unwrap()
            .1
            .key
            .unwrap()
    };
    let trust = bank.trust();

    let helper = exchange
        .accept(trust, &key(&bureau, job(), CONTRACT))
        .unwrap_err();
    assert!(
        matches!(
            &helper,
            KeyError::Kind {
                role: Role::Helper,
                ..
            }
        ),
        "{helper}"
    );
    let stranger = consortium.enrol("party/stranger");
    let refused = exchange
        .accept(trust, &key(&stranger, job(), CONTRACT))
        .unwrap_err();
    assert!(matches!(refused, KeyError::Stranger { .. }), "{refused}");
    let refused = exchange
        .accept(trust, &key(&partner, id_of("other"), CONTRACT))
        .unwrap_err();
    assert!(
        matches!(refused, KeyError::Other { what: "job", .. }),
        "{refused}"
    );
    let refused = exchange
        .accept(trust, &key(&partner, job(), [1; 32]))
        .unwrap_err();
    assert!(
        matches!(
            refused,
            KeyError::Other {
                what: "contract",
                ..
            }
        ),
        "{refused}"
    );

    // somebody else's certificate over one's own key, and the other way round
    let mut mixed = key(&stranger, job(), CONTRACT);
    mixed.chain = key(&partner, job(), CONTRACT).chain;
    let refused = exchange.accept(trust, &mixed).unwrap_err();
    assert!(matches!(refused, KeyError::Seal(_)), "{refused}");
    // signed by the partner, claiming to be the bureau
    let mut claim = paripassu_crypto::sealed::JobKeyStatement {
        job: job().to_string(),
        contract: CONTRACT,
        node: "bureau".into(),
        public: [9; 32],
    };
    let signed = |c: &paripassu_crypto::sealed::JobKeyStatement| {
        signing::wrap(&partner, c.to_bytes(), partner.with_key(|key| c.sign(key)))
    };
    let refused = exchange.accept(trust, &signed(&claim)).unwrap_err();
    assert!(
        matches!(refused, KeyError::Other { what: "node", .. }),
        "{refused}"
    );

    let good = key(&partner, job(), CONTRACT);
    exchange.accept(trust, &good).unwrap();
    exchange
        .accept(trust, &good)
        .expect("the same key again is the same key");
    claim.node = "partner".into();
    let refused = exchange.accept(trust, &signed(&claim)).unwrap_err();
    assert!(matches!(refused, KeyError::Twice { .. }), "{refused}");

    // of another consortium, under the same name
    let foreign = Consortium::new().enrol("party/partner");
    let refused = exchange
        .accept(trust, &key(&foreign, job(), CONTRACT))
        .unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("another certificate authority"),
        "{refused}"
    );
    // revoked since
    crate::pki::revoke(&consortium.ca(), &peer("party/partner")).unwrap();
    let trust = crate::identity::Trust::load(&consortium.ca()).unwrap();
    let refused = exchange.accept(&trust, &good).unwrap_err();
    assert!(refused.to_string().contains("revoked"), "{refused}");
}

fn id_of(text: &str) -> paripassu_proto::JobId {
    text.parse().unwrap()
}

/// A frame that nobody sealed, after the last real one, is in nobody's account, and is found to be unread.
#[tokio::test]
async fn a_made_up_last_frame_is_counted_nowhere_and_named() {
    for authentic in [false, true] {
        let tap = FnTap(move |frame: Frame| {
            let mut forged = frame.clone();
            forged.seq += 1;
            forged.tag = "m/forged".into();
            let last = frame.from == "bank" && frame.tag == "m/last" && !authentic;
            if last {
                vec![frame, forged]
            } else {
                vec![frame]
            }
        });
        let pair = pair(quick(), Some(Arc::new(tap)), true).await;
        let send = |name: &'static str| {
            let body = Bytes::from(vec![5; 1000]);
            pair.bank.send(PARTNER, tag(name), body, SOON)
        };
        send("m/last").await.unwrap();
        if authentic {
            send("m/forged").await.unwrap();
        }
        pair.partner.recv(BANK, tag("m/last"), SOON).await.unwrap();
        let core = pair.partner.core();
        until("arrived", || core.unread().is_some()).await;
        let (unread, peer) = core.unread().unwrap();
        assert_eq!((unread.from, peer.as_str(), unread.seq), (BANK, "bank", 1));
        assert_eq!(unread.authentic, authentic);
        let received = pair.partner.steps()[0].peers[0].received.flow();
        assert_eq!(received.frames, 1);
        if !authentic {
            let sent = pair.bank.steps()[0].peers[0].sent.flow();
            assert_eq!(sent, received);
        }
        assert!(pair.bank.core().unread().is_none());
    }
}
