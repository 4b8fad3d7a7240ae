//! What an insider never writes down, or writes twice and unlike: checks 6 and 9 to 12.

use super::*;

pub(crate) fn add_to(add: &mut Add<'_>) {
    // what an insider never writes down at all
    let omits = |node: &'static str, kind: &'static str| {
        inside(|world| {
            let script = world.script(node);
            let all = script.after.len();
            script.after.retain(|draft| draft.body.event() != kind);
            assert_ne!(script.after.len(), all);
        })
    };
    for (name, code, node, kind, names) in [
        (
            "data-never-committed",
            18,
            "partner",
            "data.committed",
            "data.committed",
        ),
        (
            "matched-never-told",
            18,
            "partner",
            "align.done",
            "align.done",
        ),
        (
            "steps-never-begun",
            19,
            "partner",
            "step.started",
            "never began",
        ),
        (
            "metrics-never-recorded",
            20,
            "partner",
            "metrics.reported",
            "run.completed",
        ),
        (
            "results-never-recorded",
            21,
            "partner",
            "model.committed",
            "run.completed",
        ),
    ] {
        add(name, code, names, omits(node, kind));
    }
    let unlinked = inside(|world| {
        let before = &mut world.script("partner").before;
        before.retain(|draft| !matches!(&draft.body, Body::SessionOpened(s) if s.peer == "bank"));
    });
    add("link-never-recorded", 19, "step.finished", unlinked);
    let both = inside(|world| {
        let person = world.authority.certify("party", "partner", 12);
        let rejection = decide(&person, &world.contract.clone(), false).0;
        world.approvals.push(rejection);
    });
    add("approved-and-rejected", 15, "rejected", both);
    let two = inside(|world| {
        let person = world.authority.certify("party", "partner", 12);
        let consent = Consent {
            ticket: "CHG-2".into(),
            ..consent()
        };
        let text = world.contract.clone();
        let (signed, digest) = decide_as(&person, &text, true, b"", &consent);
        world.approvals.push(signed);
        edit(world.script("coordinator"), |body| {
            if let Body::JobApproved(approval) = body
                && approval.party == "partner"
            {
                approval.statement = digest.clone();
                approval.ticket = Some("CHG-2".into());
            }
        });
    });
    add("two-approvals-of-one-party", 15, "job.approved", two);
}
