//! Checks 2, 3 and 4.

use super::*;

pub(crate) fn add_to(add: &mut Add<'_>) {
    let remove = |event: &'static str| {
        outside(|bundle| {
            let at = position(bundle, PARTNER, event);
            log(bundle, PARTNER).events.remove(at);
        })
    };
    add("delete-event", 11, "align.done", remove("disclosure"));
    add(
        "delete-first",
        11,
        "policy.evaluated",
        remove("job.proposed"),
    );
    let two = outside(|bundle| {
        let at = position(bundle, BANK, "align.done");
        log(bundle, BANK).events.swap(at, at + 1);
    });
    add("reorder", 11, "align.done", two);
    let twice = outside(|bundle| {
        let at = position(bundle, BANK, "disclosure");
        let log = log(bundle, BANK);
        let event = log.events[at].clone();
        log.events.insert(at, event);
    });
    add("duplicate", 11, "disclosure", twice);
    let short = outside(|bundle| {
        let log = log(bundle, PARTNER);
        log.events.truncate(20);
    });
    add("truncate-log", 11, PARTNER, short);
    add("truncate-last", 11, PARTNER, remove("run.completed"));
    let without = outside(|bundle| bundle.logs.retain(|log| log.origin != PARTNER));
    add("remove-log", 11, "partner", without);
    let emptied = outside(|bundle| log(bundle, PARTNER).events.clear());
    add("empty-log", 11, "partner", emptied);
    let swapped = outside(|bundle| {
        let events = std::mem::take(&mut log(bundle, BANK).events);
        let others = std::mem::replace(&mut log(bundle, PARTNER).events, events);
        log(bundle, BANK).events = others;
    });
    add("swap-events-of-two-logs", 10, BANK, swapped);
    let renamed = outside(|bundle| {
        for log in &mut bundle.logs {
            log.origin = match log.origin.as_str() {
                BANK => PARTNER.into(),
                PARTNER => BANK.into(),
                _ => continue,
            };
        }
    });
    add("swap-names-of-two-logs", 10, PARTNER, renamed);
    let late = inside(|world| {
        let script = world.script("bank");
        let mut opening = script.after.last().unwrap().clone();
        opening.body = score_opening("release.scores").into();
        script.after.push(opening);
    });
    add("insider-opens-after-the-end", 11, "disclosure", late);
    let chain = inside(|world| world.script("bank").skip_sequence = true);
    add("insider-breaks-chain", 11, "step.finished", chain);

    add(
        "second-log-as-another-witness",
        11,
        "paripassu/helper/bank",
        second_log(),
    );
    let elsewhere = outside(|bundle| {
        let person = Authority::new("consortium", 1).certify("helper", "partner", 15);
        let other = bare_log(&person);
        *log(bundle, PARTNER) = other;
    });
    add(
        "bare-log-of-another-kind",
        11,
        "paripassu/helper/partner",
        elsewhere,
    );

    let no_start = outside(|bundle| log(bundle, PARTNER).node_events.clear());
    add(
        "remove-what-the-node-wrote-of-itself",
        11,
        PARTNER,
        no_start,
    );
    let hidden = || {
        let mut bundle = inside(|world| {
            incident(world.script("bank"), "the last write was interrupted");
        });
        let event = log(&mut bundle, BANK).node_events.pop();
        assert!(event.unwrap().envelope.contains("incident"));
        bundle
    };
    add("hide-an-incident", 11, "run.completed", hidden());
    let skipped = outside(|bundle| {
        let log = log(bundle, BANK);
        let start = log.node_events[0].clone();
        log.node_events.push(start);
    });
    add(
        "double-what-the-node-wrote-of-itself",
        11,
        "log.started",
        skipped,
    );

    let index = outside(|bundle| {
        let at = position(bundle, BANK, "run.completed");
        log(bundle, BANK).events[at].index += 1;
    });
    add("alter-index", 12, "run.completed", index);
    let proof = outside(|bundle| {
        let at = position(bundle, BANK, "align.done");
        let proof = &mut log(bundle, BANK).events[at].proof;
        proof[0] = spoil(&proof[0]);
    });
    add("alter-inclusion-proof", 12, "align.done", proof);
    let cut = outside(|bundle| {
        let at = position(bundle, BANK, "align.done");
        log(bundle, BANK).events[at].proof.pop();
    });
    add("shorten-inclusion-proof", 12, "align.done", cut);
    let consistency = outside(|bundle| {
        let proof = &mut log(bundle, PARTNER).checkpoints[0].consistency;
        proof[0] = spoil(&proof[0]);
    });
    add("alter-consistency-proof", 12, PARTNER, consistency);
    let snapshot = outside(|bundle| {
        let log = log(bundle, PARTNER);
        log.checkpoint = log.checkpoints[0].note.clone();
        log.checkpoints.clear();
    });
    add("old-snapshot-checkpoint", 12, PARTNER, snapshot);
    let anothers = outside(|bundle| {
        let other = log(bundle, BANK).checkpoint.clone();
        log(bundle, PARTNER).checkpoint = other;
    });
    add("checkpoint-of-another-log", 10, PARTNER, anothers);
    let garbled = outside(|bundle| log(bundle, PARTNER).checkpoint.clear());
    add("no-checkpoint", 12, PARTNER, garbled);
    // the log written twice with the same key: what others cosigned in the middle is of the other one
    let fork = inside(|world| world.script("partner").fork = true);
    add("fork-after-witnessing", 12, PARTNER, fork);
    // a witness wrote down another root of the same size
    let seen = inside(|world| {
        world.script("bank").saw_another_root = true;
    });
    add("fork-seen-by-witness", 13, "log.witnessed", seen);

    let unwitnessed = inside(|world| world.script("partner").witnesses.clear());
    add("remove-all-witnesses", 13, PARTNER, unwitnessed);
    let one = inside(|world| {
        world.script("partner").witnesses.pop();
    });
    add("remove-one-witness", 13, PARTNER, one);
    let forged = outside(|bundle| {
        let log = log(bundle, PARTNER);
        log.checkpoint = forge_last_signature(&log.checkpoint);
    });
    add("forge-witness", 13, PARTNER, forged);
    let stranger = inside(|world| {
        let script = world.script("partner");
        script.witness_seed = Some(55);
    });
    add("witness-with-another-key", 13, PARTNER, stranger);
    let unseen = outside(|bundle| log(bundle, PARTNER).checkpoints.clear());
    add("remove-earlier-checkpoints", 13, "session.opened", unseen);
    let one_taken = outside(|bundle| drop(log(bundle, PARTNER).checkpoints.remove(0)));
    add(
        "remove-one-earlier-checkpoint",
        13,
        "log.witnessed",
        one_taken,
    );
    let start_only = inside(|world| world.script("partner").asks_before = false);
    add("opened-before-others-saw-it", 13, "disclosure", start_only);
    let one_less = outside(|bundle| {
        let log = log(bundle, PARTNER);
        let note = &mut log.checkpoints.last_mut().unwrap().note;
        let lines: Vec<_> = note.split_inclusive('\n').collect();
        *note = lines[..lines.len() - 1].concat();
    });
    add(
        "one-witness-less-before-an-opening",
        13,
        "disclosure",
        one_less,
    );
    let at_start = outside(|bundle| drop(log(bundle, BANK).checkpoints.drain(..2)));
    add("began-before-others-saw-it", 13, "session.opened", at_start);
    let rolled_back = inside(|world| {
        let seen = LogWitnessed {
            log: PARTNER.into(),
            size: 500,
            root: "ab".repeat(32),
            outcome: "cosigned".into(),
            code: None,
        };
        let script = world.script("bank");
        let draft = Draft::new(JOB, script.role, "bank", START + 71, seen.into());
        script.after.insert(0, draft);
    });
    add(
        "rollback-seen-by-a-witness",
        13,
        "log.witnessed",
        rolled_back,
    );
    let refused = inside(|world| {
        let seen = LogWitnessed {
            log: PARTNER.into(),
            size: 3,
            root: "ab".repeat(32),
            outcome: "refused".into(),
            code: Some("fork".into()),
        };
        let script = world.script("coordinator");
        let draft = Draft::new(JOB, script.role, "coordinator", START + 71, seen.into());
        script.after.insert(0, draft);
    });
    add("witness-refused", 13, "log.witnessed", refused);
}

/// Something that the node writes of itself while the job runs, and counts.
pub(crate) fn incident(script: &mut Script, detail: &str) {
    let incident = Incident {
        class: "torn-write".into(),
        detail: detail.into(),
    };
    let draft = Draft::new("", "node", script.person.id, START + 65, incident.into());
    script.between.push(draft);
    edit(script, |body| {
        if let Body::RunCompleted(done) = body {
            done.node += 1;
        }
    });
}

/// A log without events of this job, cosigned by all other nodes.
fn bare_log(person: &Person) -> paripassu_audit::bundle::LogPart {
    let root = paripassu_audit::merkle::leaf_hash(b"of another job");
    let head = Checkpoint::new(&person.origin(), 1, root).unwrap();
    let mut head = SignedCheckpoint::sign(head, &person.signer()).unwrap();
    let world = World::new();
    for other in world.scripts.iter().map(|script| &script.person) {
        if other.id != person.id {
            let time = START as u64 + 600;
            head.cosign(&other.origin(), time, &other.signer()).unwrap();
        }
    }
    paripassu_audit::bundle::LogPart {
        origin: person.origin(),
        certificates: vec![person.pem.clone()],
        checkpoint: head.to_string(),
        events: Vec::new(),
        node_events: Vec::new(),
        checkpoints: Vec::new(),
    }
}

/// `bank` has a second log, of a helper, whose cosignature stands in for the coordinator's.
fn second_log() -> Bundle {
    let mut bundle = inside(|world| world.script("partner").witnesses = vec!["bank"]);
    let person = Authority::new("consortium", 1).certify("helper", "bank", 15);
    let log = log(&mut bundle, PARTNER);
    log.checkpoint = also_cosigned(&log.checkpoint, &person.origin(), &person.signer());
    let second = bare_log(&person);
    bundle.logs.push(second);
    bundle
}

/// Flips a bit in the last signature line of a note.
fn forge_last_signature(note: &str) -> String {
    let (head, last) = note.trim_end().rsplit_once(' ').unwrap();
    let mut bytes = unbase64(last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = format!("{head} {}\n", base64(&bytes));
    assert!(SignedCheckpoint::parse(&forged).is_ok());
    forged
}
