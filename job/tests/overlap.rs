//! Jobs that only match: what is accepted, what is planned and opened.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Assumptions, Spec,
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
