//! Accelerated steps against their plan, their contract, and the choice between them and Newton's.

use paripassu_job::spec::{Link, SpecErrors};

use super::*;

fn accelerated(parties: usize) -> Spec {
    let mut spec = spec_of(parties);
    spec.solver.method = SolverMethod::Accelerated;
    spec.solver.max_passes = 200;
    spec
}

#[tokio::test]
async fn bytes_and_rounds_of_a_fixed_number_of_passes_are_exactly_those_planned() {
    for (parties, range, passes) in [
        (2, AutoOr::Auto, 90),
        (3, AutoOr::Auto, 101),
        (4, AutoOr::Is(32), 90),
        (5, AutoOr::Is(8), 90),
    ] {
        let mut spec = accelerated(parties);
        if parties == 3 {
            let number = |n| Decimal::new(n).unwrap();
            spec.model.class_weight = Some(ClassWeight {
                good: number(1.0),
                bad: number(2.0),
            });
        }
        spec.solver.stop = Stop::Fixed;
        spec.solver.range = range;
        spec.solver.max_passes = passes;
        spec.solver.tolerance = Decimal::new(1e-3).unwrap();
        let ran = run(&spec, 1.0).await;
        let facts = &ran.fits[0].as_ref().unwrap().facts;
        let plan = planned(&spec);
        assert_eq!((plan.passes, plan.hessian_rows), (passes, 0));
        assert_eq!(u64::from(facts.passes), passes);
        let (links, rounds) = of_engine(&plan);
        assert_eq!(ran.links, links, "{parties} parties");
        assert_eq!(ran.rounds, rounds, "{parties} parties");
        assert_eq!(ran.opened(&DisclosureId::TrainConverged), 1);
    }
}

#[tokio::test]
async fn a_run_until_it_settles_costs_what_is_planned_for_its_passes() {
    let spec = accelerated(2);
    let ran = run(&spec, 1.5).await;
    let facts = &ran.fits[0].as_ref().unwrap().facts;
    let passes = u64::from(facts.passes);
    assert_eq!(passes % 4, 0);
    // how many of them were at full precision only the run knows
    let planned = |fine: u64| {
        let taken = Taken {
            passes: passes - fine,
            fine_passes: fine,
            ..Taken::default()
        };
        of_engine(&plan_taken(&spec, &assumed(&spec), &taken).unwrap())
    };
    let ran_as = |fine: &u64| planned(*fine) == (ran.links.clone(), ran.rounds.clone());
    let found: Vec<u64> = (0..=passes).filter(ran_as).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0] % 4, 0);
    assert_eq!(
        u64::from(ran.opened(&DisclosureId::TrainConverged)),
        passes / 4
    );
    assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 1);
}

#[tokio::test]
async fn training_that_never_settles_opens_every_declared_bit_and_no_other() {
    for (stop, bits) in [(Stop::Bit, 9), (Stop::Fixed, 3)] {
        let mut spec = accelerated(2);
        spec.solver.stop = stop;
        // two bits and one behind the last passes, in each of three ranges
        spec.solver.max_passes = 10;
        let ran = run(&spec, 1.0).await;
        for fit in &ran.fits {
            let error = fit.as_ref().unwrap_err();
            assert_eq!(error.code(), "not_converged");
            assert!(error.to_string().contains("\"newton\""), "{error}");
        }
        assert_eq!(ran.opened(&DisclosureId::TrainConverged), bits);
        let again = ran
            .ledger
            .lock()
            .unwrap()
            .record(&DisclosureId::TrainConverged, 1);
        assert!(again.is_err(), "{stop:?}");
        assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 0);
    }
}

/// The template where the method is left open.
fn open() -> Spec {
    let mut spec = spec_of(2);
    spec.solver.method = SolverMethod::Auto;
    spec.solver.max_passes = 400;
    spec
}

#[tokio::test]
async fn what_is_chosen_for_the_sizes_is_what_every_party_takes() {
    let spec = open();
    let ran = run(&spec, 1.5).await;
    let plan = planned(&spec);
    let chosen = plan.solver.unwrap();
    assert_eq!(chosen.steps, Steps::Newton);
    assert_eq!(plan.max_passes, 3 * 20);
    for fit in &ran.fits {
        let facts = &fit.as_ref().unwrap().facts;
        assert_eq!(facts.method, logistic::Method::Newton);
    }
    // either may be taken: as many bits are declared as the one takes that takes more
    let contract = paripassu_job::disclosure::disclosures(&spec);
    let bits = contract
        .iter()
        .find(|d| d.id == DisclosureId::TrainConverged);
    assert_eq!(bits.unwrap().at_most, 3 * 100);
}

#[test]
fn wide_jobs_are_chosen_for_accelerated_steps_and_those_that_need_a_hessian_are_not() {
    let mut spec = open();
    let steps = |spec: &Spec, rows, columns: [u64; 2]| choose(spec, rows, &columns);
    let wide = steps(&spec, 20_000, [600, 600]);
    assert_eq!(wide.steps, Steps::Accelerated);
    let compared = wide.compared.unwrap();
    assert!(compared.accelerated < compared.newton, "{compared:?}");
    assert!(wide.why(&spec).contains("by accelerated steps"));
    let narrow = steps(&spec, 100_000, [12, 11]);
    assert_eq!(narrow.steps, Steps::Newton);
    assert!(narrow.compared.is_some());
    // where a round trip is long, Newton's few rounds win; where bytes count, accelerated steps
    let linked = |mbit_per_s, round_trip_ms| {
        let mut spec = spec.clone();
        spec.solver.link = Some(Link {
            mbit_per_s,
            round_trip_ms,
        });
        assert!(spec.check().is_ok());
        let chosen = steps(&spec, 20_000, [300; 2]);
        (chosen.steps, chosen.why(&spec))
    };
    let (far, why) = linked(10_000, 300);
    assert!(
        far == Steps::Newton && why.contains("10 Gbit/s and 300 ms"),
        "{why}"
    );
    let (thin, why) = linked(5, 1);
    assert!(
        thin == Steps::Accelerated && why.contains("5 Mbit/s and 1 ms"),
        "{why}"
    );
    spec.outputs.standard_errors = true;
    let needed = steps(&spec, 20_000, [600, 600]);
    assert_eq!((needed.steps, needed.compared), (Steps::Newton, None));
    assert!(needed.why(&spec).contains("standard errors"));
    assert!(spec.check().is_ok());
}

/// What is said of a template with this written into its `[solver]`, and this changed.
fn said(solver: &str, change: impl Fn(String) -> String) -> Result<Spec, SpecErrors> {
    let text = template(TemplateKind::VerticalLogistic).replace("max_passes = 20 ", "# ");
    Spec::from_toml(
        &change(text.replace("method = \"newton\"", solver)),
        "job.toml",
    )
}

#[test]
fn a_method_brings_its_own_number_of_passes() {
    for (method, most) in [("newton", 20), ("accelerated", 600), ("auto", 600)] {
        let spec = said(&format!("method = \"{method}\""), |text| text).unwrap();
        assert_eq!(spec.solver.max_passes, most);
    }
    let more = said("method = \"accelerated\"\nmax_passes = 900", |text| text);
    assert_eq!(more.unwrap().solver.max_passes, 900);
    for (solver, high) in [
        ("method = \"newton\"\nmax_passes = 61", "60"),
        ("method = \"accelerated\"\nmax_passes = 1001", "1000"),
        ("method = \"auto\"\nmax_passes = 0", "1000"),
    ] {
        let error = said(solver, |text| text).unwrap_err().to_string();
        assert!(
            error.contains("solver.max_passes") && error.contains(high),
            "{error}"
        );
    }
}

#[test]
fn what_accelerated_steps_cannot_give_is_refused_with_the_reason() {
    let method = "method = \"accelerated\"";
    let replaced = |from: &'static str, to: &'static str| {
        move |text: String| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        }
    };
    let cases: [(Result<Spec, SpecErrors>, &str, &str); 7] = [
        (
            said(
                method,
                replaced("standard_errors = false", "standard_errors = true"),
            ),
            "outputs.standard_errors",
            "inverse Hessian",
        ),
        (
            said(method, replaced("# l1 = 5 ", "l1 = 5 ")),
            "model.l1",
            "within each Newton step",
        ),
        (
            said(
                method,
                replaced("hessian_rows = \"auto\"", "hessian_rows = 5000"),
            ),
            "solver.hessian_rows",
            "no Hessian",
        ),
        (
            said(method, replaced("tolerance = 2e-5", "tolerance = 2e-7")),
            "solver.tolerance",
            "0.000001",
        ),
        (
            said(
                "method = \"auto\"",
                replaced("stop = \"bit\"", "stop = \"fixed\""),
            ),
            "solver.stop",
            "name solver.method",
        ),
        (
            said("method = \"accelarated\"", |text| text),
            "solver.method",
            "did you mean `accelerated`",
        ),
        (
            said(method, |text| {
                format!("{text}\n[selection.stepwise]\nby = \"aic\"\n")
            }),
            "selection.stepwise",
            "statistics of the Hessian",
        ),
    ];
    for (said, key, why) in cases {
        let error = said.unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(why), "{error}");
    }
}
