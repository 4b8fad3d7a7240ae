//! Jobs of four banks, three of which are enough: who may be missing, and who may not (checks 2 and 4).

use super::*;

const MORE: [&str; 2] = ["third", "fourth"];

/// The contract, of four banks.
fn of_banks(threshold: u64) -> String {
    let mut contract: serde_json::Value = serde_json::from_str(contract()).unwrap();
    let spec = &mut contract["spec"];
    spec["horizontal"] = serde_json::json!({ "threshold": threshold });
    let parties = spec["party"].as_array_mut().unwrap();
    let seat = parties[1].clone();
    for id in MORE {
        let mut seat = seat.clone();
        seat["id"] = id.into();
        parties.push(seat);
    }
    paripassu_audit::canonical::to_string(&contract).unwrap()
}

fn world() -> World {
    World::of(&of_banks(3))
}

fn absence(missing: &[&str], end: bool) -> LogUnwitnessed {
    LogUnwitnessed {
        size: 1,
        missing: missing.iter().map(|id| (*id).to_owned()).collect(),
        end,
    }
}

fn says(script: &mut Script, at_the_end: bool, body: LogUnwitnessed) {
    let (role, id) = (script.role, script.person.id);
    let place = match at_the_end {
        true => script.after.len(),
        false => 0,
    };
    let near = script.after[place.min(script.after.len() - 1)].at;
    let draft = Draft::new(JOB, role, id, near, body.into());
    script.after.insert(place, draft);
}

/// These do not answer from the middle on: the others go on without them, say so, and close the job without them.
fn without(world: &mut World, away: &[&'static str], name_at_the_end: bool) {
    for script in &mut world.scripts {
        if away.contains(&script.person.id) {
            continue;
        }
        script.unseen_by = away.to_vec();
        script.witnesses.retain(|id| !away.contains(id));
        for one in away {
            says(script, false, absence(&[one], false));
        }
        if name_at_the_end {
            says(script, true, absence(away, true));
        }
    }
}

fn bundle(world: &World, away: &[&str]) -> Bundle {
    let mut bundle = world.bundle();
    bundle.logs.retain(|log| {
        !away
            .iter()
            .any(|id| log.origin.ends_with(&format!("/{id}")))
    });
    bundle
}

/// The bundle of a job in which the fourth bank is away from the middle on, but for a change.
fn but(change: impl FnOnce(&mut World)) -> Bundle {
    let mut world = world();
    without(&mut world, &["fourth"], true);
    change(&mut world);
    bundle(&world, &["fourth"])
}

/// The fourth bank comes back when the others have closed the job, and ends it for itself.
fn late() -> World {
    let mut world = world();
    without(&mut world, &["fourth"], true);
    let fourth = world.script("fourth");
    fourth.witnesses.clear();
    let at = fourth.after[3].at;
    fourth.after.truncate(3);
    let aborted = Aborted {
        culprit: None,
        step: String::new(),
        code: "left_out".into(),
        destroyed: true,
        node: 1,
    };
    let draft = Draft::new(JOB, fourth.role, "fourth", at, aborted.into());
    fourth.after.push(draft);
    world
}

pub(crate) fn add_to(add: &mut Add<'_>) {
    add("banks-all-there", 0, "", world().bundle());
    add("banks-one-away", 0, "", but(|_| {}));
    let silent = but(|world| {
        for id in ["bank", "partner", "third", "coordinator"] {
            let closes = |draft: &Draft| matches!(&draft.body, Body::LogUnwitnessed(a) if a.end);
            world.script(id).after.retain(|draft| !closes(draft));
        }
    });
    add("banks-closed-without-a-word", 11, "fourth", silent);
    let few = but(|world| {
        for id in ["partner", "third"] {
            let closes = |draft: &Draft| matches!(&draft.body, Body::LogUnwitnessed(a) if a.end);
            world.script(id).after.retain(|draft| !closes(draft));
        }
    });
    add("banks-left-out-by-one-alone", 11, "fourth", few);
    let mut two = world();
    without(&mut two, &MORE, true);
    let two = bundle(&two, &[]);
    add("banks-two-away-in-turn", 13, "disclosure", two);
    let at_once = but(|world| {
        says(world.script("partner"), false, absence(&MORE, false));
    });
    add("banks-two-away-at-once", 13, "log.unwitnessed", at_once);
    let mut low = World::of(&of_banks(2));
    without(&mut low, &MORE, true);
    let low = bundle(&low, &[]);
    add("banks-fewer-than-half-agreed-on", 13, "disclosure", low);
    let helper = but(|world| {
        let script = world.script("partner");
        says(script, false, absence(&["coordinator"], false));
        script.unseen_by.push("coordinator");
    });
    add("banks-without-their-helper", 13, "coordinator", helper);
    let itself = but(|world| says(world.script("partner"), false, absence(&["partner"], false)));
    add("banks-without-oneself", 13, "log.unwitnessed", itself);
    let later = but(|world| {
        let mut ahead = absence(&["fourth"], false);
        ahead.size = 10_000;
        says(world.script("partner"), false, ahead);
    });
    add(
        "banks-missing-from-a-head-to-come",
        13,
        "log.unwitnessed",
        later,
    );
    let back = {
        let mut world = world();
        for id in ["bank", "partner", "third", "coordinator"] {
            let script = world.script(id);
            script.unseen_by.push("fourth");
            says(script, false, absence(&["fourth"], false));
        }
        world.bundle()
    };
    add("banks-away-and-back", 0, "", back);
    add(
        "banks-left-out-and-back-too-late",
        0,
        "",
        bundle(&late(), &[]),
    );
    let mut unnamed = late();
    let script = unnamed.script("partner");
    // what is said at the end comes too late for an opening
    let names = |draft: &Draft| matches!(&draft.body, Body::LogUnwitnessed(a) if !a.end);
    script.after.retain(|draft| !names(draft));
    let unnamed = bundle(&unnamed, &[]);
    add("banks-away-and-not-named", 13, "disclosure", unnamed);
    let mut started = world();
    without(&mut started, &["fourth"], true);
    let mut started = bundle(&started, &["fourth"]);
    for log in started.logs.iter_mut().filter(|log| log.origin == PARTNER) {
        log.checkpoints.remove(0);
    }
    add("banks-begun-without-witness", 13, "log.witnessed", started);
    let two_parties = inside(|world| {
        let script = world.script("bank");
        script.unseen_by.push("partner");
        says(script, false, absence(&["partner"], false));
    });
    add("two-parties-one-away", 13, "log.unwitnessed", two_parties);
}
