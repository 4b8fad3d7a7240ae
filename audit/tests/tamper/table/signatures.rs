//! Check 1.

use super::*;

pub(crate) fn add_to(add: &mut Add<'_>) {
    // a byte of each member of an envelope
    for (name, event, mark) in [
        ("flip-actor", "align.done", "\"actor\":\""),
        ("flip-time", "align.done", "\"at\":\"2026-03-01T00:1"),
        ("flip-body-digest", "align.done", "\"body\":\""),
        ("flip-clock", "align.done", "\"clock\":\""),
        ("flip-event", "align.done", "\"event\":\""),
        ("flip-job", "align.done", "\"job\":\""),
        ("flip-origin", "align.done", "\"origin\":\"paripassu/party/"),
        ("flip-prev", "align.done", "\"prev\":\""),
        ("flip-role", "align.done", "\"role\":\"party-"),
        ("flip-seq", "align.done", "\"seq\":"),
        ("flip-algorithm", "align.done", "\"alg\":\""),
        ("flip-key", "align.done", "\"key\":\""),
        ("flip-signature", "align.done", "\"sig\":\""),
        ("flip-version", "align.done", "\"v\":"),
    ] {
        add(name, 10, BANK, flip(event, mark));
    }
    let spaced = envelope(BANK, "align.done", ",", ", ");
    add("space-in-envelope", 10, BANK, spaced);
    let more = envelope(BANK, "align.done", ",\"at\"", ",\"also\":1,\"at\"");
    add("member-more", 10, BANK, more);
    add(
        "alter-metric",
        10,
        "metrics.reported",
        body(BANK, "metrics.reported", "0.7812", "0.9812"),
    );
    add(
        "alter-matched",
        10,
        "align.done",
        body(PARTNER, "align.done", "4700", "4701"),
    );
    add(
        "alter-salt",
        10,
        "align.done",
        body(BANK, "align.done", "\"salt\":\"", "\"salt\":\"0"),
    );
    add(
        "alter-openings-receiver",
        10,
        "disclosure",
        body(BANK, "disclosure", "relay", "relax"),
    );
    let exchanged = outside(|bundle| {
        let (a, b) = (
            position(bundle, BANK, "step.started"),
            position(bundle, BANK, "step.finished"),
        );
        let log = log(bundle, BANK);
        let body = log.events[a].body.clone();
        log.events[b].body = body;
    });
    add("exchange-bodies", 10, "step.finished", exchanged);

    // the whole log written anew with another key: of nobody, of another authority, of the partner
    for (name, seed, how) in [
        ("re-sign-other-key", 77, 0),
        ("re-sign-other-authority", 78, 1),
        ("re-sign-own-authority-in-bundle", 79, 2),
    ] {
        let bundle = inside(|world| {
            let authority = Authority::new("consortium", 99);
            let person = authority.certify("party", "bank", seed);
            let script = world.script("bank");
            script.person.key = person.key;
            if how > 0 {
                script.person.pem = person.pem;
                script.person.der = person.der;
            }
            if how > 1 {
                world.authority = authority;
            }
        });
        add(name, 10, BANK, bundle);
    }
    // a key renewed in mid-job is told of, in an event of the node's own
    for (name, told, code) in [("key-renewed", true, 0), ("key-changed-untold", false, 10)] {
        let bundle = inside(|world| {
            let person = world.authority.certify("party", "bank", 80);
            let script = world.script("bank");
            let rotated = KeyRotated {
                old: script.person.key_hex(),
                new: person.key_hex(),
                from: "2026-03-01T00:11:05Z".into(),
            };
            if told {
                let draft = Draft::new("", "node", "bank", START + 65, rotated.into());
                script.between.push(draft);
            }
            script.renewed = Some(person);
        });
        add(name, code, BANK, bundle);
    }
    let noted = || inside(|world| logs::incident(world.script("bank"), "cut off 12 bytes"));
    add("incident-told", 0, "", noted());
    let mut softened = noted();
    let text = log(&mut softened, BANK).node_events[1]
        .body
        .as_mut()
        .unwrap();
    *text = text.replacen("cut off 12", "cut off 10", 1);
    add("alter-an-incident", 10, "incident", softened);
    let twins = inside(|world| {
        let person = world.authority.certify("party", "bank", 12);
        world.script("bank").person.pem = person.pem;
        world.script("bank").person.key = person.key;
    });
    add("two-nodes-with-one-key", 10, "same key", twins);
    let late = inside(|world| {
        let person = world
            .authority
            .certify_until("party", "bank", 11, START + 70);
        world.script("bank").person.pem = person.pem;
    });
    add("certificate-lapsed-during-job", 10, "data.committed", late);
    let submission = outside(|b| b.submission.signature = spoil(&b.submission.signature));
    add("forge-submission", 10, "submission", submission);
    let approval = outside(|b| b.approvals[1].signature = spoil(&b.approvals[1].signature));
    add("forge-approval", 10, "decision", approval);
    let head = outside(|bundle| {
        let log = log(bundle, PARTNER);
        let size = SignedCheckpoint::parse(&log.checkpoint).unwrap();
        let size = size.checkpoint().size();
        let (from, to) = (format!("\n{size}\n"), format!("\n{}\n", size - 1));
        log.checkpoint = log.checkpoint.replacen(&from, &to, 1);
    });
    add("alter-checkpoint-size", 10, PARTNER, head);
}
