//! The tamperings: what is done, the exit code it must give, and the event or log it must name.

use paripassu_audit::{
    bundle::{Bundle, base64, unbase64},
    event::{Body, Draft, bodies::*},
    note::SignedCheckpoint,
    verify::HeldFile,
};

use crate::world::*;

/// One tampering.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The documented exit code.
    pub(crate) code: u8,
    /// What a finding must name.
    pub(crate) names: &'static str,
    pub(crate) bundle: Bundle,
    /// Lines that go in front of the trust file; `None` for no trust file.
    pub(crate) trust: Option<&'static str>,
    pub(crate) files: Vec<HeldFile>,
    /// The same files for a verifier that reads them itself.
    pub(crate) content: Vec<(&'static str, &'static [u8])>,
}

const BANK: &str = "paripassu/party/bank";
const PARTNER: &str = "paripassu/party/partner";

fn log<'a>(bundle: &'a mut Bundle, origin: &str) -> &'a mut paripassu_audit::bundle::LogPart {
    bundle
        .logs
        .iter_mut()
        .find(|log| log.origin == origin)
        .unwrap()
}

fn position(bundle: &mut Bundle, origin: &str, event: &str) -> usize {
    let wanted = format!("\"event\":\"{event}\"");
    let log = log(bundle, origin);
    log.events
        .iter()
        .position(|e| e.envelope.contains(&wanted))
        .unwrap()
}

/// An outsider changes the finished file.
fn outside(change: impl FnOnce(&mut Bundle)) -> Bundle {
    let mut bundle = World::new().bundle();
    change(&mut bundle);
    bundle
}

/// An insider writes something else, and signs it properly.
fn inside(change: impl FnOnce(&mut World)) -> Bundle {
    let mut world = World::new();
    change(&mut world);
    world.bundle()
}

/// Changes the text of one event's envelope.
fn envelope(origin: &'static str, event: &'static str, from: &str, to: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, origin, event);
        let text = &mut log(bundle, origin).events[at].envelope;
        assert!(text.contains(from), "{from} in {text}");
        *text = text.replacen(from, to, 1);
    })
}

/// Changes the body of one event.
fn body(origin: &'static str, event: &'static str, from: &str, to: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, origin, event);
        let text = log(bundle, origin).events[at].body.as_mut().unwrap();
        assert!(text.contains(from), "{from} in {text}");
        *text = text.replacen(from, to, 1);
    })
}

/// Flips the lowest bit of the byte after `mark` in an envelope.
fn flip(event: &'static str, mark: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, BANK, event);
        let text = &mut log(bundle, BANK).events[at].envelope;
        let place = text.find(mark).unwrap() + mark.len();
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        *text = String::from_utf8(bytes).unwrap();
    })
}

fn edit(script: &mut Script, change: impl Fn(&mut Body)) {
    for draft in script.before.iter_mut().chain(&mut script.after) {
        change(&mut draft.body);
    }
}

/// Adds an opening before the end, and counts it.
fn open(script: &mut Script, opening: Disclosure) {
    let end = script.after.len() - 1;
    let last = script.after[end].clone();
    let draft = Draft::new(JOB, script.role, script.person.id, last.at, opening.into());
    script.after.insert(end, draft);
    edit(script, |body| {
        if let Body::RunCompleted(done) = body {
            done.disclosures += 1;
        }
    });
}

fn score_opening(id: &str) -> Disclosure {
    Disclosure {
        id: id.into(),
        ordinal: 1,
        shape: "scores".into(),
        values: 1_500,
        to: vec!["party:bank".into()],
        step: "evaluate".into(),
    }
}

/// Signs the contract anew after a change to it: another honest job.
fn other_contract(from: &str, to: &str) -> World {
    let text = contract();
    assert!(text.contains(from));
    World::of(&text.replacen(from, to, 1))
}

/// Changes one base64 text at its first character.
fn spoil(text: &str) -> String {
    let mut bytes = unbase64(text).unwrap();
    bytes[0] ^= 1;
    base64(&bytes)
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name, code, names, bundle: Bundle| {
        cases.push(Case {
            name,
            code,
            names,
            bundle,
            trust: Some(""),
            files: Vec::new(),
            content: Vec::new(),
        });
    };
    signatures(&mut add);
    logs(&mut add);
    meaning(&mut add);
    special(&mut cases);
    cases
}

type Add<'a> = dyn FnMut(&'static str, u8, &'static str, Bundle) + 'a;

/// Check 1.
fn signatures(add: &mut Add<'_>) {
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
        log.checkpoint = log.checkpoint.replacen("\n41\n", "\n42\n", 1);
    });
    add("alter-checkpoint-size", 10, PARTNER, head);
}

/// Checks 2, 3 and 4.
fn logs(add: &mut Add<'_>) {
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
    let chain = inside(|world| world.script("bank").skip_sequence = true);
    add("insider-breaks-chain", 11, "step.finished", chain);

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

/// Flips a bit in the last signature line of a note.
fn forge_last_signature(note: &str) -> String {
    let (head, last) = note.trim_end().rsplit_once(' ').unwrap();
    let mut bytes = unbase64(last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = format!("{head} {}\n", base64(&bytes));
    assert!(SignedCheckpoint::parse(&forged).is_ok());
    forged
}

/// Checks 5 to 10, 13 and 14: insiders who sign something untrue.
fn meaning(add: &mut Add<'_>) {
    let flow = |change: fn(&mut paripassu_audit::event::Flow)| {
        inside(|world| {
            edit(world.script("partner"), |body| {
                if let Body::StepFinished(step) = body
                    && step.step == "train/pass-1"
                {
                    change(&mut step.peers[0].received);
                }
            });
        })
    };
    add(
        "receiver-counts-fewer-frames",
        14,
        "train/pass-1",
        flow(|f| f.frames -= 1),
    );
    add(
        "receiver-counts-more-bytes",
        14,
        "train/pass-1",
        flow(|f| f.bytes += 1),
    );
    add(
        "receiver-records-other-digest",
        14,
        "train/pass-1",
        flow(|f| f.digest = "0f".repeat(32)),
    );
    add(
        "receiver-records-other-root",
        14,
        "train/pass-1",
        flow(|f| f.root = "0f".repeat(32)),
    );
    let fewer = inside(|world| {
        let script = world.script("partner");
        script
            .after
            .retain(|draft| !matches!(&draft.body, Body::StepFinished(s) if s.step == "evaluate"));
        edit(script, |body| {
            if let Body::RunCompleted(done) = body {
                done.steps -= 1;
            }
        });
    });
    add("step-missing-at-one-side", 14, "evaluate", fewer);
    let frames = outside(|bundle| {
        let digest = &mut bundle.frames[2].digests[1];
        *digest = format!(
            "{}{}",
            if digest.starts_with('0') { '1' } else { '0' },
            &digest[1..]
        );
    });
    add("alter-frame-list", 14, "step.finished", frames);
    let stranger = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::SessionOpened(session) = body
                && session.peer == "partner"
            {
                session.peer_key = "ee".repeat(32);
            }
        });
    });
    add("link-with-unknown-key", 14, "session.opened", stranger);

    add(
        "remove-approval",
        15,
        "partner",
        outside(|b| drop(b.approvals.pop())),
    );
    let unheard = inside(|world| {
        let keep =
            |draft: &Draft| !matches!(&draft.body, Body::JobApproved(a) if a.party == "partner");
        world.script("bank").before.retain(keep);
    });
    add("log-without-approval", 15, "data.committed", unheard);
    let late = inside(|world| {
        let script = world.script("bank");
        let at = script
            .before
            .iter()
            .position(|d| matches!(d.body, Body::JobApproved(_)))
            .unwrap();
        let draft = script.before.remove(at);
        script.after.insert(
            3,
            Draft {
                at: START + 73,
                ..draft
            },
        );
    });
    add("approval-after-work", 15, "data.committed", late);
    let expired = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::JobApproved(approval) = body {
                approval.expires = Some("2026-03-01T00:11:00Z".into());
            }
        });
    });
    add("approval-expired", 15, "data.committed", expired);
    let one_person = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::JobApproved(approval) = body {
                approval.second = Some(approval.approver.clone());
            }
        });
    });
    add("one-person-approves-twice", 15, "job.approved", one_person);
    let alone = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::JobApproved(approval) = body {
                approval.second = None;
            }
        });
    });
    add("no-second-approver", 15, "job.approved", alone);
    let changed = outside(|bundle| {
        bundle.contract = bundle
            .contract
            .replacen("\"min_matched\":100", "\"min_matched\":101", 1);
    });
    add("alter-contract", 15, "contract", changed);
    let rejected = inside(|world| {
        let text = world.contract.clone();
        let person = world.authority.certify("party", "partner", 12);
        world.approvals[1] = decide(&person, &text, false).0;
    });
    add("approval-was-a-rejection", 15, "partner", rejected);
    let elsewhere = inside(|world| {
        let person = world.authority.certify("party", "partner", 12);
        world.approvals[1] = decide(&person, "another contract", true).0;
    });
    add("approval-of-another-contract", 15, "partner", elsewhere);
    let over = other_contract("\"helper\":{", "\"expires\":\"2026-02-28\",\"helper\":{").bundle();
    add("contract-expired", 15, "data.committed", over);
    let submitter = inside(|world| {
        let person = world.authority.certify("party", "partner", 12);
        world.submission = submit(&person, &world.contract);
    });
    add("submitted-by-someone-else", 15, "submission", submitter);

    let verdict = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::PolicyEvaluated(policy) = body {
                policy.rules[0].verdict = "deny".into();
            }
        });
    });
    add(
        "policy-verdict-not-of-its-rules",
        16,
        "policy.evaluated",
        verdict,
    );
    let overruled = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::PolicyEvaluated(policy) = body {
                policy.rules[0].verdict = "deny".into();
                policy.verdict = "deny".into();
            }
        });
    });
    add("approved-against-policy", 16, "job.approved", overruled);

    let undeclared = inside(|world| open(world.script("bank"), score_opening("residuals")));
    add("undeclared-opening", 17, "disclosure", undeclared);
    let again = inside(|world| {
        let opening = Disclosure {
            ordinal: 2,
            ..score_opening("release.scores")
        };
        open(world.script("bank"), opening);
    });
    add("opened-once-too-often", 17, "disclosure", again);
    let ordinal = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::Disclosure(opening) = body
                && opening.id == "release.scores"
            {
                opening.ordinal = 2;
            }
        });
    });
    add("opening-miscounted", 17, "disclosure", ordinal);
    let receiver = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::Disclosure(opening) = body
                && opening.id == "release.scores"
            {
                opening.to = vec!["party:partner".into()];
            }
        });
    });
    add("opened-to-another", 17, "disclosure", receiver);
    let shape = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::Disclosure(opening) = body
                && opening.id == "train.converged"
            {
                opening.values = 5_000;
            }
        });
    });
    add("opened-more-values", 17, "disclosure", shape);
    let nowhere = inside(|world| {
        for id in ["bank", "partner"] {
            let script = world.script(id);
            script
                .after
                .retain(|d| !matches!(&d.body, Body::Disclosure(o) if o.id == "release.scores"));
            edit(script, |body| {
                if let Body::RunCompleted(done) = body {
                    done.disclosures -= 1;
                }
            });
        }
    });
    add("declared-opening-missing", 17, "release.scores", nowhere);
    let text = contract();
    let from = text
        .find("{\"at_most\":1,\"id\":\"release.scores\"")
        .unwrap();
    let to = text
        .find("{\"at_most\":1,\"id\":\"release.metrics\"")
        .unwrap();
    let cut = format!("{}{}", &text[..from], &text[to..]);
    add(
        "declaration-removed",
        17,
        "disclosure",
        World::of(&cut).bundle(),
    );
    let matrix = other_contract("\"to\":\"bank\"}", "\"to\":\"partner\"}").bundle();
    add("output-matrix-broken", 17, "release.scores", matrix);

    let few = inside(|world| {
        for id in ["bank", "partner"] {
            edit(world.script(id), |body| {
                if let Body::AlignDone(done) = body {
                    done.matched = 99;
                }
            });
        }
    });
    add("too-few-in-common", 18, "align.done", few);
    let unlike = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::AlignDone(done) = body {
                done.matched = 4_699;
            }
        });
    });
    add("parties-match-unlike-numbers", 18, "align.done", unlike);
    let sum = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::RunCompleted(done) = body {
                done.disclosures += 1;
            }
        });
    });
    add("sums-do-not-add-up", 18, "run.completed", sum);

    let session = |change: fn(&mut SessionOpened)| {
        inside(|world| {
            edit(world.script("partner"), |body| {
                if let Body::SessionOpened(session) = body {
                    change(session);
                }
            });
        })
    };
    add(
        "other-binary",
        19,
        "session.opened",
        session(|s| s.binary = "b2".repeat(32)),
    );
    add(
        "debug-build",
        19,
        "session.opened",
        session(|s| s.build = "debug".into()),
    );
    add(
        "test-mode",
        19,
        "session.opened",
        session(|s| s.test_mode = true),
    );
    let randomness = inside(|world| {
        edit(world.script("partner"), |body| {
            if let Body::StepStarted(step) = body {
                step.randomness = "test".into();
            }
        });
    });
    add("test-randomness", 19, "step.started", randomness);

    add(
        "alter-report-digest",
        20,
        "metrics.reported",
        outside(|b| b.artifacts[0].sha256 = "aa".repeat(32)),
    );
    add(
        "alter-model-digest",
        21,
        "model.committed",
        outside(|b| b.artifacts[1].sha256 = "aa".repeat(32)),
    );
    add(
        "remove-model-from-bundle",
        21,
        "model.committed",
        outside(|b| drop(b.artifacts.pop())),
    );
    let extra = outside(|bundle| {
        let mut artifact = bundle.artifacts[1].clone();
        artifact.name = "model-2.json".into();
        bundle.artifacts.push(artifact);
    });
    add("add-model-to-bundle", 21, "model-2.json", extra);

    for (name, text) in [
        ("mobile-number", "call 13812345678"),
        ("identity-number", "11010519491231002X"),
        ("e-mail-address", "jane.doe@bank.example"),
    ] {
        let bundle = inside(|world| {
            let incident = Incident {
                class: "complaint".into(),
                detail: text.into(),
            };
            let script = world.script("bank");
            let draft = Draft::new(JOB, script.role, "bank", START + 71, incident.into());
            script.after.insert(0, draft);
        });
        add(name, 22, "incident", bundle);
    }

    let back = inside(|world| {
        let script = world.script("bank");
        let at = script.after.len() - 2;
        script.after[at].at = START - 500;
    });
    add("clock-goes-back", 23, "model.committed", back);
    let before = inside(|world| {
        for draft in &mut world.script("partner").before {
            draft.at -= 3_600;
        }
    });
    add("before-the-contract", 23, "job.proposed", before);
    let early = inside(|world| world.cosign_delay = -400);
    add("countersigned-before-written", 23, "run.completed", early);

    let withheld = outside(|bundle| {
        let at = position(bundle, PARTNER, "disclosure");
        log(bundle, PARTNER).events[at].body = None;
    });
    add("withhold-disclosure", 17, "disclosure", withheld);
}

/// Those that need another trust file, none, or files.
fn special(cases: &mut Vec<Case>) {
    let honest = || World::new().bundle();
    let mut add = |name, code, names, bundle, trust, files: Vec<(&'static str, &'static [u8])>| {
        cases.push(Case {
            name,
            code,
            names,
            bundle,
            trust,
            files: files
                .iter()
                .map(|(name, content)| HeldFile::new(name, content))
                .collect(),
            content: files,
        });
    };
    add("honest", 0, "", honest(), Some(""), vec![]);
    add("honest-without-trust", 0, "", honest(), None, vec![]);
    let files: Vec<(&str, &[u8])> = vec![("report.json", REPORT), ("model.json", MODEL)];
    add("honest-with-files", 0, "", honest(), Some(""), files);
    let edited: Vec<(&str, &[u8])> = vec![("model.json", b"{\"coefficients\":[1]}\n")];
    add(
        "alter-model-file",
        21,
        "model.committed",
        honest(),
        Some(""),
        edited,
    );
    let report: Vec<(&str, &[u8])> = vec![("report.json", b"{\"auc\":\"0.9812\"}\n")];
    add(
        "alter-report-file",
        20,
        "metrics.reported",
        honest(),
        Some(""),
        report,
    );
    let foreign: Vec<(&str, &[u8])> = vec![("scores.csv", b"id,score\n")];
    add(
        "file-of-another-job",
        21,
        "scores.csv",
        honest(),
        Some(""),
        foreign,
    );
    let key = World::new().script("partner").person.key_hex();
    let revoked = format!(
        "[[revoked]]\nkey = \"{key}\"\nfrom = \"2026-03-01T00:11:00Z\"\nreason = \"stolen\"\n"
    );
    add(
        "key-revoked",
        10,
        "data.committed",
        honest(),
        Some(revoked.leak()),
        vec![],
    );
    let pins = "[pins]\n\"paripassu/party/bank\" = [\"60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\"]\n";
    add("key-not-pinned", 10, BANK, honest(), Some(pins), vec![]);
    add(
        "quorum-of-three",
        13,
        BANK,
        honest(),
        Some("[witnesses]\nquorum = 3\n"),
        vec![],
    );
    add(
        "members-do-not-count",
        13,
        BANK,
        honest(),
        Some("[witnesses]\nquorum = 1\nmembers = false\n"),
        vec![],
    );
    let pruned = || {
        outside(|bundle| {
            for event in bundle.logs.iter_mut().flat_map(|log| &mut log.events) {
                if event.envelope.contains("step.finished") {
                    event.body = None;
                }
            }
            bundle.frames.clear();
        })
    };
    add("pruned", 14, "step.finished", pruned(), Some(""), vec![]);
    add(
        "pruned-and-allowed",
        0,
        "",
        pruned(),
        Some("#pruned"),
        vec![],
    );
}
