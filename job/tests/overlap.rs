//! Jobs that only match: what is accepted, what is planned and opened.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Assumptions, Audience, DisclosureId, JobId, Spec,
    disclosure::disclosures,
    plan::{PartySize, plan},
    spec::{AlignMethod, OverlapOf, TemplateKind, template},
};
use paripassu_protocol::align::{Params, vole::star};

fn changed(from: &str, to: &str) -> String {
    let text = template(TemplateKind::Overlap);
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn an_overlap_takes_two_to_five_members_and_nothing_of_a_training() {
    let spec = Spec::from_toml(template(TemplateKind::Overlap), "job.toml").unwrap();
    assert_eq!(spec.overlap.as_ref().unwrap().of, OverlapOf::All);
    let insurer = "[[party]]\nid = \"insurer\"\nrole = \"member\"\ndataset = \"policies\"\n";
    let more: String = (0..3)
        .map(|i| format!("{}\n", insurer.replace("insurer", &format!("other-{i}"))))
        .collect();
    for (from, to, want) in [
        (insurer, more.as_str(), "two to five parties"),
        (
            "method = \"vole\"",
            "method = \"curve\"",
            "matched by method = \"vole\"",
        ),
        (
            "role = \"member\"",
            "role = \"features\"",
            "every party has role = \"member\"",
        ),
        (
            "dataset = \"applications\"",
            "columns = \"all\"\ndataset = \"applications\"",
            "leave columns out",
        ),
        (
            "[limits]",
            "[model]\nl2 = 2.0\n[limits]",
            "nothing is trained",
        ),
        (
            "[limits]",
            "[split]\ntest_tenths = 1\n[limits]",
            "nothing is trained",
        ),
        ("[limits]", "[horizontal]\n[limits]", "nothing is trained"),
        (
            "[limits]",
            "[outputs]\nstandard_errors = true\n[limits]",
            "nothing is trained",
        ),
        ("[overlap]", "[no_overlap]", "overlap"),
        ("of = \"all\"", "of = \"some\"", "any"),
    ] {
        let mut text = changed(from, to);
        if from == insurer {
            // six in all
            text.push_str("");
            text = text.replacen("[helper]", &format!("{insurer}[helper]"), 1);
        }
        let refused = Spec::from_toml(&text, "job.toml").unwrap_err().to_string();
        assert!(refused.contains(want), "{want}: {refused}");
    }
    // two parties may be matched by curve, and pairs of more
    let two = changed(insurer, "").replace("method = \"vole\"", "method = \"curve\"");
    Spec::from_toml(&two, "job.toml").unwrap();
    let any = changed("of = \"all\"", "of = \"any\"").replace("\"vole\"", "\"curve\"");
    Spec::from_toml(&any, "job.toml").unwrap();
    // and members are for such jobs alone
    let vertical = template(TemplateKind::VerticalLogistic).replacen(
        "role = \"features\"",
        "role = \"member\"",
        1,
    );
    let refused = Spec::from_toml(&vertical, "job.toml")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("[overlap]"), "{refused}");
}

#[test]
fn what_pairs_learn_is_said() {
    let words = |of, method| {
        let mut spec = Spec::from_toml(template(TemplateKind::Overlap), "job.toml").unwrap();
        spec.overlap.as_mut().unwrap().of = of;
        spec.align.method = method;
        let list = disclosures(&spec);
        let names: Vec<String> = list.iter().map(|d| d.id.to_string()).collect();
        assert_eq!(
            names,
            [
                "relay.traffic",
                "align.sizes",
                "align.members",
                "align.matched"
            ]
        );
        list[2].what.clone()
    };
    let all = words(OverlapOf::All, AlignMethod::Vole);
    assert!(
        all.contains("not which, nor how many, only some of the others have"),
        "{all}"
    );
    let any = words(OverlapOf::Any, AlignMethod::Vole);
    assert!(any.contains("each single other party has"), "{any}");
}

#[test]
fn bytes_are_planned_as_the_protocol_declares() {
    let spec = Spec::from_toml(template(TemplateKind::Overlap), "job.toml").unwrap();
    let params = Params::new([1; 32]);
    for rows in [
        [10_000, 10_000, 10_000],
        [50_000, 1_000_000, 70],
        [1_000_000, 50_000, 900_000],
    ] {
        let mut assumptions = Assumptions::usual(&spec);
        for (party, rows) in spec.party.iter().zip(rows) {
            let size = PartySize {
                rows,
                design_columns: 0,
            };
            assumptions.parties.insert(party.id.clone(), size);
        }
        assumptions.matched = rows.into_iter().min().unwrap();
        let mut few = spec.clone();
        few.align.min_matched = 10;
        let plan = plan(&few, &assumptions).unwrap();
        for (index, party) in spec.party.iter().enumerate() {
            let sent: u64 = plan
                .links
                .iter()
                .filter(|l| l.from == party.id)
                .map(|l| l.bytes)
                .sum();
            let declared = star::declared_cost(&params, index as u8, &rows, assumptions.matched);
            assert_eq!(sent, declared.bytes_sent, "{rows:?} {index}");
        }
        let text = plan.to_string();
        assert!(
            text.contains("match customers") && !text.contains("points of the fit"),
            "{text}"
        );
    }
}

#[test]
fn a_match_goes_on_from_a_job_that_says_the_same() {
    let id = JobId::from_bytes([9; 16]);
    let resume = format!("[align]\nresume = \"{id}\"");
    // of a logistic regression passes are held as well
    for (kind, trained) in [
        (TemplateKind::Overlap, 0),
        (TemplateKind::VerticalLogistic, 1),
    ] {
        let text = template(kind);
        let aborted = Spec::from_toml(text, "job.toml").unwrap();
        let on = text.replacen("[align]", &resume, 1);
        let on_spec = Spec::from_toml(&on, "job.toml").unwrap();
        assert_eq!(on_spec.resumed(), Some(("align.resume", &id)));
        assert!(on_spec.goes_on_from(&aborted) && aborted.resumed().is_none());
        let mut again = aborted.clone();
        again.resume(Some(id));
        assert_eq!(again, on_spec);
        let declared = disclosures(&on_spec);
        let held = declared.iter().find(|d| d.id == DisclosureId::AlignHeld);
        let held = held.unwrap();
        assert!(held.what.contains(&id.to_string()) && held.at_most == 1);
        assert!(held.to.iter().all(|to| matches!(to, Audience::Party(_))));
        let usual = disclosures(&aborted);
        assert_eq!(declared.len(), usual.len() + 1 + trained);
        assert!(
            usual.iter().all(|d| declared.contains(d)),
            "all else is as it was"
        );
        // other customers, other rules, another limit
        for (from, to) in [
            ("id_rules = [\"trim\"]", "id_rules = [\"digits_only\"]"),
            ("min_matched = ", "min_matched = 9"),
        ] {
            assert!(on.contains(from), "{from}");
            let other = Spec::from_toml(&on.replacen(from, to, 1), "job.toml").unwrap();
            assert!(!other.goes_on_from(&aborted), "{to}");
        }
        let rounds = |spec: &Spec| plan(spec, &Assumptions::usual(spec)).unwrap().rounds;
        assert_eq!(rounds(&on_spec), rounds(&aborted) + 1 + 3 * trained as u64);
    }
    // nothing is kept of pairs
    let text = changed("[align]", &resume).replace("of = \"all\"", "of = \"any\"");
    let refused = Spec::from_toml(&text, "job.toml").unwrap_err().to_string();
    assert!(refused.contains("nothing is kept"), "{refused}");
}

#[test]
fn a_job_may_tell_a_bucket_of_how_many_are_common_and_nobody_who() {
    let insurer = "[[party]]\nid = \"insurer\"\nrole = \"member\"\ndataset = \"policies\"\n";
    let text = changed(insurer, "")
        .replace("method = \"vole\"", "method = \"curve\"")
        .replace("reveal = \"members\"", "reveal = \"size\"");
    let spec = Spec::from_toml(&text, "job.toml").unwrap();
    assert!(spec.sizes_only());
    let list = disclosures(&spec);
    let to = |id: DisclosureId| {
        let found = list.iter().find(|d| d.id == id);
        found.map(|d| d.to.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(to(DisclosureId::AlignMembers), None);
    assert_eq!(
        to(DisclosureId::AlignMatched).unwrap(),
        ["helper:coordinator"]
    );
    assert_eq!(
        to(DisclosureId::AlignSizeBucket).unwrap(),
        ["party:bank", "party:partner"]
    );
    assert_eq!(
        "align.size-bucket".parse(),
        Ok(DisclosureId::AlignSizeBucket)
    );
    let told = plan(&spec, &Assumptions::usual(&spec)).unwrap();
    let helper = told
        .learns
        .iter()
        .find(|l| l.role.starts_with("helper"))
        .unwrap();
    assert!(helper.role.contains("counts"), "{helper:?}");
    // each party to the helper: 16 bytes for each of the other's items, in whole frames
    let sent = told.links.iter().find(|l| l.to == spec.helper.id).unwrap();
    assert_eq!(sent.bytes % 16_384, 4);
    let vertical = template(TemplateKind::VerticalLogistic);
    let vertical = vertical.replace("reveal = \"members\"", "reveal = \"size\"");
    let horizontal = template(TemplateKind::HorizontalLogistic);
    let horizontal = horizontal.replacen("[align]", "[align]\nreveal = \"size\"", 1);
    for (text, want) in [
        (
            text.replace("\"curve\"", "\"vole\""),
            "only method = \"curve\"",
        ),
        (
            text.replace("of = \"all\"", "of = \"any\""),
            "of = \\\"all\\\"",
        ),
        (
            text.replace("[helper]", &format!("{insurer}[helper]")),
            "for two parties",
        ),
        (vertical, "have an [overlap] section"),
        (
            template(TemplateKind::VerticalMlp).replace("\"members\"", "\"size\""),
            "have an [overlap] section",
        ),
        (horizontal, "match nobody"),
    ] {
        let refused = Spec::from_toml(&text, "job.toml").unwrap_err().to_string();
        assert!(
            refused.contains(&want.replace("\\\"", "\"")),
            "{want}: {refused}"
        );
    }
}

const KEYS: &str = "[align]\nfallback = [\"phone\", \"person\"]\n\
    fallback_rules = [[[\"phone:49\"]], [[\"trim\"], [\"digits_only\"], []]]\n";

#[test]
fn a_job_by_several_keys_says_what_each_learns_and_costs_as_many_matches() {
    for kind in [TemplateKind::Overlap, TemplateKind::VerticalLogistic] {
        let once = Spec::from_toml(template(kind), "job.toml").unwrap();
        let text = template(kind).replacen("[align]\n", KEYS, 1);
        let spec = Spec::from_toml(&text, "job.toml").unwrap();
        let keys = spec.keys();
        let names: Vec<&str> = keys.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["id", "phone", "person"]);
        assert_eq!((once.keys().len(), keys[2].1.len()), (1, 3));
        let find = |spec: &Spec, id: DisclosureId| {
            let found = disclosures(spec).into_iter().find(|d| d.id == id);
            found.unwrap()
        };
        let members = find(&spec, DisclosureId::AlignMembers);
        assert!(
            members
                .what
                .contains("by which of 3 keys (id, phone, person)")
        );
        assert!(members.what.contains("try other values of each key"));
        assert_eq!(members.at_most, 3);
        assert!(members.to.iter().all(|to| matches!(to, Audience::Party(_))));
        assert!(!find(&once, DisclosureId::AlignMembers).what.contains("key"));
        let sizes = find(&spec, DisclosureId::AlignSizes).what;
        assert!(
            sizes.contains("same number is announced for each key"),
            "{sizes}"
        );
        // of three parties the length of a message tells the relay how many match by each
        let matched = find(&spec, DisclosureId::AlignMatched).what;
        assert_eq!(
            matched.contains("how many match by each key"),
            spec.party.len() > 2
        );
        let steps = |spec: &Spec| {
            let plan = plan(spec, &Assumptions::usual(spec)).unwrap();
            let align = plan
                .steps
                .iter()
                .find(|step| step.step == "match customers")
                .unwrap();
            (
                align.rounds,
                align.links.iter().map(|link| link.bytes).sum::<u64>(),
            )
        };
        let tags = match spec.party.len() {
            2 => 0,
            parties => 16 * Assumptions::usual(&spec).matched * (parties as u64 - 1),
        };
        let (one, three) = (steps(&once), steps(&spec));
        assert_eq!(three.1 - tags, 3 * (one.1 - tags));
        assert!(three.0 > 2 * one.0 && three.0 <= 3 * one.0);
        let text = plan(&spec, &Assumptions::usual(&spec)).unwrap().to_string();
        let text: Vec<&str> = text.split_whitespace().collect();
        assert!(text.join(" ").contains("by which of 3 keys"), "{text:?}");
    }
}

#[test]
fn keys_that_do_not_fit_are_refused_by_name() {
    let id = JobId::from_bytes([9; 16]);
    let with = |kind, align: &str| template(kind).replacen("[align]\n", align, 1);
    let overlap = |align: &str| with(TemplateKind::Overlap, align);
    let insurer = "[[party]]\nid = \"insurer\"\nrole = \"member\"\ndataset = \"policies\"\n";
    let sizes = overlap(KEYS)
        .replace(insurer, "")
        .replace("\"vole\"", "\"curve\"")
        .replace("\"members\"", "\"size\"");
    for (text, want) in [
        (
            overlap("[align]\nfallback = [\"phone\"]\n"),
            "one entry for each key",
        ),
        (
            overlap("[align]\nfallback_rules = [[[]]]\n"),
            "one entry for each key",
        ),
        (
            overlap("[align]\nfallback = [\"phone\"]\nfallback_rules = [[]]\n"),
            "at least one column",
        ),
        (
            overlap("[align]\nfallback = [\"a\", \"a\"]\nfallback_rules = [[[]], [[]]]\n"),
            "named once",
        ),
        (
            overlap("[align]\nfallback = [\"id\"]\nfallback_rules = [[[]]]\n"),
            "not `id`",
        ),
        (
            overlap(
                "[align]\nfallback = [\"a\", \"b\", \"c\", \"d\", \"e\"]\n\
                 fallback_rules = [[[]], [[]], [[]], [[]], [[]]]\n",
            ),
            "at most 4",
        ),
        (sizes, "counted by one key"),
        (
            overlap(&format!("{KEYS}resume = \"{id}\"\n")).replace("of = \"all\"", "of = \"any\""),
            "by itself nothing is kept",
        ),
        (
            with(TemplateKind::HorizontalLogistic, KEYS),
            "leave fallback out",
        ),
    ] {
        let refused = Spec::from_toml(&text, "job.toml").unwrap_err().to_string();
        assert!(refused.contains(want), "{want}: {refused}");
    }
}
