//! Checks 5 to 10, 13 and 14: insiders who sign something untrue.

use super::*;

pub(crate) fn add_to(add: &mut Add<'_>) {
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
    let emptied = outside(|bundle| bundle.frames.clear());
    add("remove-all-frame-lists", 14, "step.finished", emptied);
    let one = outside(|bundle| drop(bundle.frames.remove(5)));
    add("remove-one-frame-list", 14, "train/pass-1", one);
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
    let expires = |expires: &str| {
        let consent = Consent {
            expires: expires.into(),
            ..consent()
        };
        World::consenting(&consent).bundle()
    };
    add(
        "approval-expired",
        15,
        "data.committed",
        expires("2026-03-01T00:11:00Z"),
    );
    add(
        "approval-ends-never-by-its-words",
        15,
        "decision",
        expires("soon"),
    );
    let said = |change: fn(&mut JobApproved)| {
        inside(|world| {
            edit(world.script("bank"), |body| {
                if let Body::JobApproved(approval) = body {
                    change(approval);
                }
            });
        })
    };
    for (name, bundle) in [
        (
            "approver-not-the-signed-one",
            said(|a| a.approver = "chief".into()),
        ),
        (
            "second-not-the-signed-one",
            said(|a| a.second = Some("chief".into())),
        ),
        ("second-not-told", said(|a| a.second = None)),
        ("ticket-not-the-signed-one", said(|a| a.ticket = None)),
        (
            "approval-told-to-hold-longer",
            said(|a| a.expires = Some("2027-03-04T00:00:00Z".into())),
        ),
    ] {
        add(name, 15, "job.approved", bundle);
    }
    let one_person = Consent {
        second: "Data-Owner".into(),
        ..consent()
    };
    let one_person = World::consenting(&one_person).bundle();
    add("one-person-approves-twice", 15, "decision", one_person);
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
    let sized = |id: &'static str, values: u64, both: bool| {
        inside(|world| {
            for node in if both {
                &["bank", "partner"][..]
            } else {
                &["partner"]
            } {
                edit(world.script(node), |body| {
                    if let Body::Disclosure(opening) = body
                        && opening.id == id
                    {
                        opening.values = values;
                    }
                });
            }
        })
    };
    for (name, bundle) in [
        (
            "more-scores-than-customers",
            sized("release.scores", 4_701, true),
        ),
        (
            "scores-counted-unlike",
            sized("release.scores", 1_499, false),
        ),
        (
            "coefficients-counted-unlike",
            sized("release.coefficients.bank", 13, false),
        ),
        (
            "no-coefficients",
            sized("release.coefficients.bank", 0, true),
        ),
        ("more-than-a-table", sized("release.metrics", 1 << 40, true)),
        ("members-sized", sized("align.members", 4_700, true)),
        ("traffic-with-values", sized("relay.traffic", 7, true)),
    ] {
        add(name, 17, "disclosure", bundle);
    }
    let nowhere = inside(|world| {
        for id in ["bank", "partner"] {
            leave_out(world.script(id), |id| id == "release.scores");
        }
    });
    add("declared-opening-missing", 17, "release.scores", nowhere);
    add(
        "one-party-leaves-out-an-opening",
        17,
        "`train.converged` differently: bank 2, partner 0",
        inside(|world| leave_out(world.script("partner"), |id| id == "train.converged")),
    );
    add(
        "one-party-leaves-out-all-openings",
        17,
        "`release.scores` differently: bank 1, partner 0",
        inside(|world| leave_out(world.script("partner"), |_| true)),
    );
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

    rejects(add);

    let few = inside(|world| {
        for id in ["bank", "partner"] {
            edit(world.script(id), |body| match body {
                Body::AlignDone(done) => done.matched = 99,
                Body::Disclosure(opened) if opened.id == "release.scores" => opened.values = 30,
                _ => {}
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
    let started = inside(|world| {
        let script = world.script("bank");
        if let Body::LogStarted(start) = &mut script.started[0].body {
            start.binary = "b2".repeat(32);
        }
    });
    add(
        "another-program-than-the-node-started-as",
        19,
        "session.opened",
        started,
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
    add(
        "older-tls",
        19,
        "session.opened",
        session(|s| s.tls = "1.2".into()),
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

    let reason = inside(|world| {
        let person = world.authority.certify("party", "bank", 11);
        let text = world.contract.clone();
        let reason = b"asked jane.doe@bank.example";
        let (signed, digest) = decide_as(&person, &text, true, reason, &consent());
        world.approvals[0] = signed;
        for script in &mut world.scripts {
            edit(script, |body| {
                if let Body::JobApproved(approval) = body
                    && approval.party == "bank"
                {
                    approval.statement = digest.clone();
                }
            });
        }
    });
    add("e-mail-address-as-reason", 22, "`reason`", reason);
    let named = Consent {
        approver: "13812345678".into(),
        ..consent()
    };
    let named = World::consenting(&named).bundle();
    add("mobile-number-as-approver", 22, "`approver`", named);
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

/// What inferring the outcome of declined applicants opens: to the label party, and where the job says so.
fn rejects(add: &mut Add<'_>) {
    let section = |compare: bool| {
        format!(
            ",\"reject_inference\":{{\"compare\":{compare},\"odds\":\"2\",\"rejected\":\"declined\",\"weight\":\"1\"}},\"security\":{{"
        )
    };
    // declared and opened alike, so that nothing but its receiver is at fault
    let bundle = |id: &str, to: &str, shape: &'static str, section: Option<String>| {
        let declared = format!(
            "{{\"at_most\":1,\"id\":\"{id}\",\"shape\":{{\"kind\":\"{shape}\"}},\"to\":[\"party:{to}\"],\"what\":\"What declined applicants are given.\"}},"
        );
        let first = "{\"at_most\":1,\"id\":\"release.metrics\"";
        let text = contract().replacen(first, &format!("{declared}{first}"), 1);
        let text = match section {
            Some(section) => text.replacen(",\"security\":{", &section, 1),
            None => text,
        };
        let mut world = World::of(&text);
        for node in ["bank", "partner"] {
            let opening = Disclosure {
                id: id.into(),
                shape: shape.into(),
                values: 1,
                to: vec![format!("party:{to}")],
                ..score_opening(id)
            };
            open(world.script(node), opening);
        }
        world.bundle()
    };
    let own = "reject.coefficients.partner";
    let coefficients = "coefficients";
    for (name, code, names, bundle) in [
        (
            "mean-of-declined",
            0,
            "",
            bundle("reject.rate", "bank", "count", Some(section(false))),
        ),
        (
            "mean-of-declined-to-another",
            17,
            "`reject.rate`",
            bundle("reject.rate", "partner", "count", Some(section(false))),
        ),
        (
            "mean-of-declined-of-no-job-with-them",
            17,
            "`reject.rate`",
            bundle("reject.rate", "bank", "count", None),
        ),
        (
            "first-fit",
            0,
            "",
            bundle(own, "partner", coefficients, Some(section(true))),
        ),
        (
            "first-fit-to-another",
            17,
            "`reject.coefficients.partner`",
            bundle(own, "bank", coefficients, Some(section(true))),
        ),
        (
            "first-fit-that-is-not-compared",
            17,
            "`reject.coefficients.partner`",
            bundle(own, "partner", coefficients, Some(section(false))),
        ),
        (
            "second-scores-to-another",
            17,
            "`reject.scores`",
            bundle("reject.scores", "partner", "count", Some(section(true))),
        ),
        (
            "second-scores-that-are-not-compared",
            17,
            "`reject.scores`",
            bundle("reject.scores", "bank", "count", Some(section(false))),
        ),
    ] {
        add(name, code, names, bundle);
    }
}
