//! Bits that are announced ahead: what is opened is counted all the same (checks 4 and 8).

use super::*;

const PASSES: [&str; 2] = ["train/pass-a", "train/pass-b"];
const BIT: &str = "train.converged";

fn announcement(first: u64, last: u64) -> DisclosureAnnounced {
    let to = ["party:bank", "party:partner", "helper:coordinator"];
    DisclosureAnnounced {
        id: BIT.into(),
        first,
        last,
        to: to.map(String::from).to_vec(),
    }
}

fn bit(ordinal: u64, step: &str) -> Disclosure {
    Disclosure {
        id: BIT.into(),
        ordinal,
        shape: "bit".into(),
        values: 1,
        to: announcement(1, 1).to,
        step: step.into(),
    }
}

/// Whether a head is asked for: after announcements, and after what none announces.
fn asks(draft: &Draft) -> bool {
    match &draft.body {
        Body::Disclosure(opening) => opening.id != BIT,
        Body::DisclosureAnnounced(_) => true,
        _ => false,
    }
}

/// The honest job with two passes more, whose bits are announced up to the one of this number.
fn world(last: u64) -> World {
    let mut world = World::new();
    world.more_steps = PASSES.map(String::from).to_vec();
    for script in &mut world.scripts {
        script.asks_for = asks;
        let (id, role) = (script.person.id, script.role);
        let is_party = script.person.kind == "party";
        edit(script, |body| match body {
            Body::Disclosure(opening) if opening.id == BIT => opening.ordinal += 2,
            Body::RunCompleted(done) => {
                done.steps += 2;
                done.disclosures += 2 * u64::from(is_party);
            }
            _ => {}
        });
        let mut more: Vec<Body> = Vec::new();
        if is_party {
            more.push(announcement(1, last).into());
        }
        for (ordinal, step) in (1..).zip(PASSES) {
            let randomness = "helper".into();
            let started = StepStarted {
                step: step.into(),
                randomness,
            };
            more.push(started.into());
            if is_party {
                more.push(bit(ordinal, step).into());
            }
            let peers = script.witnesses.iter().map(|peer| PeerFlow {
                peer: (*peer).into(),
                sent: frames(step, id, peer).flow(),
                received: frames(step, peer, id).flow(),
            });
            let finished = StepFinished {
                step: step.into(),
                wall_s: "1.25".into(),
                cpu_s: "0.75".into(),
                peers: peers.collect(),
            };
            more.push(finished.into());
        }
        let first =
            |draft: &Draft| matches!(&draft.body, Body::StepStarted(s) if s.step == "train/pass-1");
        let at = script.after.iter().position(first).unwrap();
        let time = script.after[at].at;
        let more = more
            .into_iter()
            .map(|body| Draft::new(JOB, role, id, time, body));
        script.after.splice(at..at, more);
    }
    world
}

/// The honest job but for a change at the partner.
fn but(change: impl FnOnce(&mut Script)) -> Bundle {
    let mut world = world(4);
    change(world.script("partner"));
    world.bundle()
}

/// Another announcement at the partner, behind the first two bits.
fn second(announced: DisclosureAnnounced) -> Bundle {
    but(|script| {
        let last =
            |draft: &Draft| matches!(&draft.body, Body::StepFinished(s) if s.step == PASSES[1]);
        let at = script.after.iter().position(last).unwrap();
        let (role, id, time) = (script.role, script.person.id, script.after[at].at);
        let draft = Draft::new(JOB, role, id, time, announced.into());
        script.after.insert(at + 1, draft);
    })
}

fn announced_as(change: fn(&mut DisclosureAnnounced)) -> Bundle {
    but(|script| {
        edit(script, |body| {
            if let Body::DisclosureAnnounced(announced) = body {
                change(announced);
            }
        });
    })
}

/// The same with a head for each bit.
fn each() -> World {
    let mut world = world(4);
    for script in &mut world.scripts {
        script.asks_for = |draft| matches!(draft.body, Body::Disclosure(_));
        let announced = |draft: &Draft| matches!(draft.body, Body::DisclosureAnnounced(_));
        script.after.retain(|draft| !announced(draft));
    }
    world
}

/// A job whose bits some do not countersign, with a head for each bit or announced.
fn unseen(mut world: World, by: &'static str, of: &[&str]) -> Bundle {
    for script in &mut world.scripts {
        if of.contains(&script.person.id) {
            script.bits_unseen_by = vec![by];
        }
    }
    world.bundle()
}

pub(crate) fn add_to(add: &mut Add<'_>) {
    // data parties countersign one another's bits, the helper the rest
    let parties = ["bank", "partner"];
    add("bits-have-a-head-each", 0, "", each().bundle());
    for (name, world) in [("bits", each()), ("announced-bits", world(4))] {
        let name = format!("{name}-countersigned-by-parties").leak();
        add(name, 0, "", unseen(world, "coordinator", &parties));
    }
    for (name, world) in [("bit", each()), ("announced-bit", world(4))] {
        let name = format!("{name}-not-countersigned-by-a-party").leak();
        let by_one = unseen(world, "bank", &["partner"]);
        add(name, 13, "cosigned by bank", by_one);
    }
    // what is none cannot be called one
    let mut called = World::new();
    let script = called.script("partner");
    script.unseen_by = vec!["coordinator"];
    edit(script, |body| match body {
        Body::Disclosure(opening) if opening.shape != "bit" => opening.shape = "bit".into(),
        _ => {}
    });
    add(
        "opening-called-a-bit",
        17,
        "was opened as bit",
        called.bundle(),
    );
    let mut not_by_the_helper = World::new();
    not_by_the_helper.script("partner").unseen_by = vec!["coordinator"];
    add(
        "opening-not-countersigned-by-the-helper",
        13,
        "cosigned by coordinator",
        not_by_the_helper.bundle(),
    );

    add("bits-announced", 0, "", world(4).bundle());
    add("bits-announced-and-fewer-opened", 0, "", world(16).bundle());
    add("bits-announced-twice", 0, "", second(announcement(3, 18)));

    let unseen = but(|script| {
        script.asks_for =
            |draft| asks(draft) && !matches!(draft.body, Body::DisclosureAnnounced(_));
    });
    add(
        "announced-and-not-countersigned",
        13,
        "announcement",
        unseen,
    );
    let never = but(|script| {
        let announced = |draft: &Draft| matches!(draft.body, Body::DisclosureAnnounced(_));
        script.after.retain(|draft| !announced(draft));
    });
    add("opened-without-announcement", 13, "disclosure", never);
    add(
        "opened-more-than-announced",
        13,
        "disclosure",
        world(1).bundle(),
    );
    let to = announced_as(|announced| announced.to.truncate(2));
    add("announced-to-others", 13, "disclosure", to);
    let of_another = announced_as(|announced| announced.id = "train.range-check".into());
    add("announced-of-another-id", 13, "disclosure", of_another);

    // how many were opened is what the openings say, and both parties say the same
    let fewer = but(|script| {
        script
            .after
            .retain(|draft| !matches!(&draft.body, Body::Disclosure(o) if o.step == PASSES[1]));
        edit(script, |body| match body {
            Body::Disclosure(opening) if opening.id == BIT && opening.ordinal > 2 => {
                opening.ordinal -= 1;
            }
            Body::RunCompleted(done) => done.disclosures -= 1,
            _ => {}
        });
    });
    add(
        "announced-and-not-counted",
        17,
        "in step `train/pass-b`, partner says 0",
        fewer,
    );
    for (name, announced) in [
        ("announced-behind-what-is-opened", announcement(2, 4)),
        ("announced-past-the-next", announcement(4, 4)),
        ("announced-too-many", announcement(3, 19)),
        ("announced-none", announcement(3, 2)),
        (
            "announced-undeclared",
            DisclosureAnnounced {
                id: "residuals".into(),
                ..announcement(1, 1)
            },
        ),
        (
            "announced-more-than-declared",
            DisclosureAnnounced {
                id: "train.range-check".into(),
                ..announcement(1, 4)
            },
        ),
        (
            "announced-other-than-bits",
            DisclosureAnnounced {
                id: "release.scores".into(),
                to: vec!["party:bank".into()],
                ..announcement(1, 1)
            },
        ),
        (
            "announced-to-the-relay",
            DisclosureAnnounced {
                to: vec!["relay".into()],
                ..announcement(3, 4)
            },
        ),
        (
            "announced-to-nobody",
            DisclosureAnnounced {
                to: Vec::new(),
                ..announcement(3, 4)
            },
        ),
    ] {
        add(name, 17, "disclosure.announced", second(announced));
    }
    let mut withheld = world(4).bundle();
    let at = position(&mut withheld, PARTNER, "disclosure.announced");
    log(&mut withheld, PARTNER).events[at].body = None;
    add(
        "withhold-announcement",
        17,
        "disclosure.announced",
        withheld,
    );
}

/// A bundle with announcements, without bodies.
pub(crate) fn pruned() -> Bundle {
    let mut bundle = world(4).bundle();
    bundle.prune();
    bundle
}
