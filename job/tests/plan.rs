//! Plans: what they count, what they choose, what they warn of.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Assumptions, Plan, Spec, State,
    plan::{PartySize, PlanError, plan, range_bucket},
    spec::{AutoOr, Stop, TemplateKind, template},
};

fn spec() -> Spec {
    Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap()
}

fn assumptions(spec: &Spec, rows: u64, columns: [u64; 2], matched: u64) -> Assumptions {
    let mut assumptions = Assumptions::usual(spec);
    for (party, design_columns) in spec.party.iter().zip(columns) {
        assumptions.parties.insert(
            party.id.clone(),
            PartySize {
                rows,
                design_columns,
            },
        );
    }
    assumptions.matched = matched;
    assumptions
}

fn bytes(plan: &Plan, step: &str, from: &str, to: &str) -> u64 {
    let step = plan.steps.iter().find(|cost| cost.step == step).unwrap();
    let link = step
        .links
        .iter()
        .find(|link| link.from.as_str() == from && link.to.as_str() == to);
    link.map_or(0, |link| link.bytes)
}

#[test]
fn bytes_are_those_of_the_protocols() {
    let spec = spec();
    let plan = plan(&spec, &assumptions(&spec, 1_000_000, [49, 50], 100_000)).unwrap();
    assert_eq!(
        (plan.train_rows, plan.test_rows, plan.design_columns),
        (70_000, 30_000, 100)
    );
    assert_eq!(
        (
            plan.series.range,
            plan.series.terms,
            plan.passes,
            plan.hessian_rows
        ),
        (16, 14, 8, 16_384)
    );

    // 88 bytes for each item of a party, both ways together, and a little agreement.
    let both = bytes(&plan, "match customers", "bank", "partner")
        + bytes(&plan, "match customers", "partner", "bank");
    assert!((88_000_000..88_000_000 + 4_096).contains(&both), "{both}");
    // 8 bytes per training row and column, the intercept with the label party.
    assert_eq!(
        bytes(&plan, "masked features", "bank", "partner") / 8 / 70_000,
        50
    );
    assert_eq!(
        bytes(&plan, "masked features", "partner", "bank") / 8 / 70_000,
        50
    );
    // 4 + 8 bytes a row and pass between parties, 16 K + 8 from the helper to party 0, 8 to party 1.
    assert_eq!(
        bytes(&plan, "gradient", "bank", "partner"),
        8 * (12 * 70_000 + 8 * 50)
    );
    assert_eq!(
        bytes(&plan, "gradient", "coordinator", "bank"),
        8 * ((16 * 14 + 8) * 70_000 + 8 * 50)
    );
    assert_eq!(
        bytes(&plan, "gradient", "coordinator", "partner"),
        8 * (8 * 70_000 + 8 * 50)
    );
    // The helper gets nothing that grows with the data.
    let to_helper: u64 = plan
        .links
        .iter()
        .filter(|link| link.to.as_str() == "coordinator")
        .map(|link| link.bytes)
        .sum();
    assert!(to_helper < 4_096, "{to_helper}");
}

#[test]
fn totals_add_up() {
    let spec = spec();
    let plan = plan(&spec, &Assumptions::usual(&spec)).unwrap();
    let by_step: u64 = plan
        .steps
        .iter()
        .flat_map(|step| &step.links)
        .map(|link| link.bytes)
        .sum();
    assert_eq!(plan.bytes, by_step);
    assert_eq!(
        plan.bytes,
        plan.links.iter().map(|link| link.bytes).sum::<u64>()
    );
    assert_eq!(
        plan.rounds,
        plan.steps.iter().map(|step| step.rounds).sum::<u64>()
    );
    assert!((plan.seconds - plan.steps.iter().map(|step| step.seconds).sum::<f64>()).abs() < 1e-9);
    assert!(
        plan.steps
            .windows(2)
            .all(|pair| pair[0].phase <= pair[1].phase),
        "in the order of a life"
    );
    assert!(
        plan.steps
            .iter()
            .all(|step| step.phase.is_running() && step.phase != State::Released)
    );
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}

#[test]
fn slower_networks_take_longer_and_move_the_same_bytes() {
    let spec = spec();
    let fast = Assumptions::usual(&spec);
    let slow = Assumptions {
        mbit_per_s: 100.0,
        ..fast.clone()
    };
    let far = Assumptions {
        rtt_ms: 50.0,
        ..fast.clone()
    };
    let [fast, slow, far] = [fast, slow, far].map(|assumptions| plan(&spec, &assumptions).unwrap());
    assert!(slow.seconds > fast.seconds && far.seconds > fast.seconds);
    assert!((far.seconds - fast.seconds - fast.rounds as f64 * 0.049).abs() < 1e-6);
    assert_eq!((slow.bytes, far.bytes), (fast.bytes, fast.bytes));
}

#[test]
fn buckets_and_series() {
    assert_eq!(
        [0.1, 1.0, 1.1, 8.0, 73.0, 1e12].map(range_bucket),
        [1, 1, 2, 8, 128, 1 << 31]
    );
    let mut spec = spec();
    let at = |spec: &Spec, largest_value| {
        let assumptions = Assumptions {
            largest_value,
            ..Assumptions::usual(spec)
        };
        let plan = plan(spec, &assumptions).unwrap();
        (plan.series.range, plan.series.terms)
    };
    assert_eq!(
        [5.0, 20.0, 73.0, 500.0].map(|largest| at(&spec, largest)),
        [(8, 8), (16, 14), (32, 32), (64, 64)]
    );
    spec.solver.range = AutoOr::Is(64);
    spec.solver.terms = AutoOr::Is(30);
    assert_eq!(at(&spec, 5.0), (64, 30));
}

#[test]
fn warns_before_the_job_does() {
    let mut spec = spec();
    spec.solver.range = AutoOr::Is(8);
    spec.solver.terms = AutoOr::Is(4);
    spec.solver.stop = Stop::Fixed;
    spec.solver.max_passes = 3;
    spec.limits.job_deadline_s = 60;
    let mut assumptions = assumptions(&spec, 1_000_000, [100, 100], 1_000);
    assumptions.largest_value = 73.0;
    let plan = plan(&spec, &assumptions).unwrap();
    for (warning, want) in plan.warnings.iter().zip([
        "job_deadline_s",
        "solver.terms",
        "solver.range",
        "overfitted",
        "Newton usually needs",
    ]) {
        assert!(warning.contains(want), "{warning}");
    }
    assert_eq!(plan.warnings.len(), 5);
    assert_eq!(plan.passes, 3);
}

#[test]
fn impossible_assumptions_are_refused() {
    let spec = spec();
    let usual = Assumptions::usual(&spec);
    let refused = |assumptions: &Assumptions| plan(&spec, assumptions).unwrap_err();
    assert!(matches!(
        refused(&Assumptions {
            matched: 99,
            ..usual.clone()
        }),
        PlanError::TooFewMatched { .. }
    ));
    assert!(matches!(
        refused(&Assumptions {
            matched: 100_001,
            ..usual.clone()
        }),
        PlanError::TooManyMatched { .. }
    ));
    assert!(matches!(
        refused(&Assumptions {
            parties: Default::default(),
            ..usual.clone()
        }),
        PlanError::NoSize { .. }
    ));
    for mbit_per_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(
            refused(&Assumptions {
                mbit_per_s,
                ..usual.clone()
            }),
            PlanError::Assumption { .. }
        ));
    }
    assert!(matches!(
        refused(&assumptions(&spec, 1 << 60, [1, 1], 1_000)),
        PlanError::Assumption { .. }
    ));
    assert!(matches!(
        refused(&assumptions(&spec, 1_000, [1 << 60, 1], 1_000)),
        PlanError::Assumption { .. }
    ));
    // The largest possible one does not overflow.
    plan(
        &spec,
        &assumptions(&spec, 1 << 33, [1 << 14, 1 << 14], 1 << 33),
    )
    .unwrap();
}

#[test]
fn every_role_sees_what_it_learns_and_what_never() {
    let spec = spec();
    let plan = plan(&spec, &Assumptions::usual(&spec)).unwrap();
    let learned = |who: &str| {
        let role = plan
            .learns
            .iter()
            .find(|role| role.who.to_string() == who)
            .unwrap();
        assert!(!role.never.is_empty());
        role.learns
            .iter()
            .map(|item| item.id.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        learned("relay"),
        [
            "relay.traffic",
            "align.sizes",
            "align.matched",
            "design.width"
        ]
    );
    assert_eq!(
        learned("helper:coordinator"),
        [
            "align.matched",
            "design.width",
            "design.range-bucket",
            "train.range-check",
            "train.converged"
        ]
    );
    assert!(learned("party:bank").contains(&"release.scores".to_owned()));
    assert!(!learned("party:partner").contains(&"release.scores".to_owned()));
    // Whoever is declared as a receiver is listed as learning it.
    for disclosure in &plan.disclosures {
        for to in &disclosure.to {
            assert!(learned(&to.to_string()).contains(&disclosure.id.to_string()));
        }
    }
}

#[test]
fn prints_aligned_and_as_json() {
    let spec = spec();
    let plan = plan(&spec, &assumptions(&spec, 300_000, [30, 40], 100_000)).unwrap();
    let text = plan.to_string();
    assert!(
        text.lines().all(|line| line.chars().count() <= 120),
        "{text}"
    );
    assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    for want in [
        "party to party",
        "coordinator  helper",
        "label party",
        "release.coefficients.partner",
        "never",
    ] {
        assert!(text.contains(want), "{want} in\n{text}");
    }
    let json = serde_json::to_string(&plan).unwrap();
    let back: Plan = serde_json::from_str(&json).unwrap();
    assert_eq!(back.to_string(), text);
}
