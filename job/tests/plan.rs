//! Plans: what they count, what they choose, what they warn of.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use paripassu_job::{
    Assumptions, DisclosureId, Plan, Spec, State,
    plan::{PartySize, PlanError, Series, Taken, plan, plan_taken},
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
        (plan.passes, plan.max_passes, plan.hessian_rows),
        (10, 60, 32_768)
    );

    // Frames of 16,384 items, at least 64 of them padding: 62 for a million customers.
    assert_eq!(
        bytes(&plan, "match customers", "bank", "partner"),
        218 + (32 + 16) * 62 * 16_384
    );
    // 8 bytes per column and training row; two square matrices.
    for (from, to) in [("bank", "partner"), ("partner", "bank")] {
        assert_eq!(
            bytes(&plan, "masked features", from, to),
            8 * 50 * 70_000 + 2 * 8 * 50 * 50 + 16
        );
    }
    // Corrections of the scores and gradients of four passes at a time.
    let rows = 70_000;
    for to in ["bank", "partner"] {
        assert_eq!(
            bytes(&plan, "masks for some passes", "coordinator", to),
            3 * 4 * 8 * (rows + 50)
        );
    }
    // Masked weights, phases, the series' values cut (in half words in the early passes), residuals, and two
    // truncations of all columns. The first pass has neither scores nor phases.
    for (step, passes, terms, sent) in [
        ("gradient, first pass", 1, 0, 8 * rows),
        ("gradient, early passes", 6, 15, 16 * rows + 8 * 50),
        ("gradient, last passes", 3, 20, 20 * rows + 8 * 50),
    ] {
        let small = 8 * 50 + 2 * 8 * 100;
        assert_eq!(
            bytes(&plan, step, "bank", "partner"),
            passes * (sent + small)
        );
        let cut = if terms == 0 { 0 } else { 2 * 8 * rows };
        let word = if terms == 20 { 8 } else { 4 };
        assert_eq!(
            bytes(&plan, step, "coordinator", "bank"),
            passes * (2 * word * terms * rows + cut + 8 * 50 + 2 * 16 * 100)
        );
        assert_eq!(
            bytes(&plan, step, "coordinator", "partner"),
            passes * 8 * 50
        );
    }
    // A Hessian at first, a new one in every third of the early passes, of half the sample, and one of the
    // whole sample in the first of the last.
    for (step, times, sample) in [
        ("first Hessian", 1, 16_384),
        ("Hessian, early passes", 2, 16_384),
        ("Hessian, last passes", 1, 32_768),
    ] {
        assert_eq!(
            bytes(&plan, step, "coordinator", "partner"),
            times * 8 * (sample * 50 + 50 * 50)
        );
        // Slopes of these rows, once cut (but at first; in half words while early) and once as weights, and
        // blocks cut to size; weighted rows travel one way only.
        let cut = match step {
            "first Hessian" => 0,
            "Hessian, early passes" => 4,
            _ => 8,
        };
        for (from, to, weighted) in [("bank", "partner", 0), ("partner", "bank", 50)] {
            assert_eq!(
                bytes(&plan, step, from, to),
                times * (cut * sample + 8 * ((1 + weighted) * sample + 3 * 50 * 50))
            );
        }
    }
    // Four inverses of twelve steps: for each the upper triangle of the Hessian, and a step's matrices, half
    // of them symmetric.
    let triangle = 100 * 101 / 2;
    assert_eq!(
        bytes(&plan, "inverse, begun", "bank", "partner"),
        4 * 8 * triangle
    );
    assert_eq!(
        bytes(&plan, "inverse", "bank", "partner"),
        4 * 12 * 8 * (2 * triangle + 2 * 100 * 100)
    );
    assert_eq!(
        bytes(&plan, "inverse", "coordinator", "bank"),
        4 * 12 * 8 * (3 * triangle + 3 * 100 * 100)
    );
    // Two lanes of 16 bits a row through a tree of conjunctions, and the scores once more.
    let check = bytes(&plan, "within range?", "bank", "partner");
    assert!((check - 60 * rows) < 4_096, "{check}");
    // The helper gets requests only: 40 bytes each, whatever the data.
    let to_helper: u64 = plan
        .links
        .iter()
        .filter(|link| link.to.as_str() == "coordinator")
        .map(|link| link.bytes)
        .sum();
    assert!(
        to_helper < 100_000 && to_helper.is_multiple_of(40),
        "{to_helper}"
    );
}

#[test]
fn a_fixed_number_of_passes_is_what_it_says() {
    let mut spec = spec();
    spec.solver.stop = Stop::Fixed;
    spec.solver.range = AutoOr::Is(32);
    for (passes, hessians) in [(12, 5), (3, 2), (1, 1)] {
        spec.solver.max_passes = passes;
        let plan = plan(&spec, &Assumptions::usual(&spec)).unwrap();
        let times = |name: &str| {
            let of = plan.steps.iter().filter(|step| step.step.starts_with(name));
            of.map(|step| step.times).sum::<u64>()
        };
        assert_eq!((plan.passes, plan.max_passes), (passes, passes));
        assert_eq!(times("gradient, "), passes);
        assert_eq!(times("gradient, first pass"), 1);
        assert_eq!(times("gradient, last passes"), passes.min(4) - 1);
        assert_eq!(times("first Hessian") + times("Hessian, "), hessians);
        assert_eq!(times("settled?"), 1);
    }
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
    // matching, coefficients and scores are countersigned first; a pass's bit and that of the range are announced
    // before the work that leads to them
    let openings = 3;
    let trips = fast.rounds + 2 * openings;
    assert!((far.seconds - fast.seconds - trips as f64 * 0.049).abs() < 1e-6);
    assert_eq!((slow.bytes, far.bytes), (fast.bytes, fast.bytes));
}

#[test]
fn ranges_are_tried_in_order() {
    let mut spec = spec();
    let series = |spec: &Spec| {
        let tried = Series::tried(spec).into_iter();
        let tried: Vec<_> = tried
            .map(|series| (series.range, series.terms, series.coarse_terms))
            .collect();
        tried
    };
    assert_eq!(series(&spec), [(16, 20, 15), (32, 40, 30), (64, 80, 60)]);
    spec.solver.range = AutoOr::Is(8);
    assert_eq!(series(&spec), [(8, 12, 9)]);
    spec.solver.terms = AutoOr::Is(30);
    assert_eq!(series(&spec), [(8, 30, 22)]);
    let plan = plan(&spec, &Assumptions::usual(&spec)).unwrap();
    assert_eq!(plan.max_passes, 20);
    assert_eq!(plan.series, Series::tried(&spec));
}

#[test]
fn warns_before_the_job_does() {
    let mut spec = spec();
    spec.solver.range = AutoOr::Is(8);
    spec.solver.terms = AutoOr::Is(4);
    spec.solver.stop = Stop::Fixed;
    spec.solver.max_passes = 3;
    spec.limits.job_deadline_s = 60;
    let assumptions = assumptions(&spec, 20_000_000, [100, 100], 1_000);
    let plan = plan(&spec, &assumptions).unwrap();
    for (warning, want) in plan.warnings.iter().zip([
        "job_deadline_s",
        "solver.terms",
        "overfitted",
        "Newton usually needs",
    ]) {
        assert!(warning.contains(want), "{warning}");
    }
    assert_eq!(plan.warnings.len(), 4);
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
    // The engine takes so many training rows and columns, and no more; no byte count overflows.
    let (rows, most) = (u64::from(u32::MAX), (1 << 25) * 10 / 7);
    plan(&spec, &assumptions(&spec, rows, [4_095, 4_095], most)).unwrap();
    for assumptions in [
        assumptions(&spec, rows, [4_095, 4_095], most + 10),
        assumptions(&spec, rows, [4_096, 1], most),
        assumptions(&spec, rows + 1, [1, 1], most),
    ] {
        assert!(matches!(
            refused(&assumptions),
            PlanError::Assumption { .. }
        ));
    }
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
            "train.converged",
            "train.range-check"
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

#[test]
fn every_template_is_planned_and_those_by_use_choose_no_cryptography() {
    for kind in TemplateKind::ALL {
        let text = template(kind);
        assert_eq!(TemplateKind::named(kind.name()), Some(kind));
        let spec = Spec::from_toml(text, kind.name()).unwrap();
        let planned = plan(&spec, &Assumptions::usual(&spec)).unwrap();
        let page = planned.to_string();
        assert!(page.contains("relay.traffic"), "{page}");
        if TemplateKind::REFERENCE.contains(&kind) {
            continue;
        }
        // who to trust is said in plain words, and nothing else is asked
        assert!(text.contains("# Whom you trust.") && text.contains("What you must be sure of"));
        for key in [
            "[solver]",
            "method = \"curve\"",
            "range =",
            "terms =",
            "\ncolumns = \"all\"",
        ] {
            assert!(!text.contains(key), "{}: {key}", kind.name());
        }
        if spec.horizontal.is_none() && spec.overlap.is_none() {
            assert!(spec.align.min_matched >= 1_000 && spec.design.rare_level_rows >= 50);
        }
    }
}

#[test]
fn a_training_that_goes_on_tells_what_is_held_where_states_of_it_are_kept() {
    let id = "0123456789abcdef0123456789abcdef";
    let of = |kind| Spec::from_toml(template(kind), "job.toml").unwrap();
    let logistic = || of(TemplateKind::VerticalLogistic);
    let mut stepwise = logistic();
    stepwise.selection = Some(
        toml::from_str("max_correlation = 0.9\n[stepwise]\nleave = 0.05\nmax_steps = 5\n").unwrap(),
    );
    for (mut spec, points) in [
        (of(TemplateKind::VerticalMlp), Some("epochs")),
        (logistic(), Some("passes")),
        (stepwise, None),
    ] {
        let planned = |spec: &Spec| plan(spec, &Assumptions::usual(spec)).unwrap();
        let held = |plan: &Plan| -> Vec<_> {
            let all = plan.disclosures.iter().cloned();
            all.filter(|d| d.id == DisclosureId::TrainHeld).collect()
        };
        let before = planned(&spec);
        assert!(held(&before).is_empty());
        spec.resume(Some(id.parse().unwrap()));
        let after = planned(&spec);
        let told = held(&after);
        assert_eq!(told.len(), usize::from(points.is_some()));
        for (told, points) in told.iter().zip(points) {
            assert!(told.what.contains(id) && told.what.contains(points));
            let to: Vec<_> = told.to.iter().map(ToString::to_string).collect();
            assert_eq!(to, ["party:bank", "party:partner"]);
            let read: DisclosureId = told.id.to_string().parse().unwrap();
            assert_eq!((read, told.at_most), (DisclosureId::TrainHeld, 1));
        }
        // one exchange of the match, and three of the training
        let more = 3 * told.len() as u64;
        assert_eq!(after.rounds, before.rounds + 1 + more);
        // a training of which all had to be made anew pays for what was told alone
        let taken = |after| Taken {
            passes: 5,
            after,
            ..Taken::default()
        };
        let rounds = |taken| {
            let plan = plan_taken(&spec, &Assumptions::usual(&spec), &taken).unwrap();
            let of = |name: &str| {
                let steps = plan.steps.iter().filter(|step| step.step == name);
                steps.map(|step| step.rounds).sum::<u64>()
            };
            [of("states held"), of("training goes on")]
        };
        let any = u64::from(points.is_some());
        assert_eq!(rounds(taken(0)), [any, 0]);
        assert_eq!(rounds(taken(4)), [any, 2 * any]);
    }
}
