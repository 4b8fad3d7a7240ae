//! A logistic regression that goes on where another job was ended, against its plan.

use super::*;

/// States of a whole run up to a point, as if a party had been lost after it: the last that a party holds.
async fn states(spec: &Spec, point: u32) -> Vec<Keeps> {
    let courses: Vec<Keeps> = spec.party.iter().map(|_| Keeps::default()).collect();
    let ran = run_on(spec, 1.0, courses.clone()).await;
    assert!(ran.fits.iter().all(Result::is_ok), "{:?}", ran.fits);
    let of = |course: &Keeps| {
        let mut kept = course.kept.lock().unwrap().clone();
        kept.retain(|state| state.point <= point);
        let past = kept.len() - constants::POINTS_HELD as usize;
        Keeps {
            before: Some(kept.split_off(past)),
            ..Keeps::default()
        }
    };
    courses.iter().map(of).collect()
}

#[tokio::test]
async fn bytes_and_rounds_of_a_training_that_goes_on_are_exactly_those_planned() {
    for (parties, method, hessian_rows, passes, after) in [
        (2, SolverMethod::Newton, AutoOr::Auto, 10, 3),
        // masks for the look at the range alone
        (3, SolverMethod::Newton, AutoOr::Auto, 12, 4),
        // Hessians of a sample; within the last passes
        (2, SolverMethod::Newton, AutoOr::Is(1_000), 11, 5),
        (2, SolverMethod::Newton, AutoOr::Auto, 11, 9),
        (2, SolverMethod::Accelerated, AutoOr::Auto, 90, 40),
        (3, SolverMethod::Accelerated, AutoOr::Auto, 92, 80),
    ] {
        let mut spec = spec_of(parties);
        spec.solver.method = method;
        spec.solver.hessian_rows = hessian_rows;
        spec.solver.stop = Stop::Fixed;
        spec.solver.range = AutoOr::Is(16);
        spec.solver.max_passes = passes;
        spec.solver.tolerance = Decimal::new(1e-3).unwrap();
        let held = states(&spec, after).await;
        let id: JobId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        spec.resume(Some(id));
        let ran = run_on(&spec, 1.0, held).await;
        let facts = &ran.fits[0].as_ref().unwrap().facts;
        assert_eq!((facts.resumed, u64::from(facts.passes)), (after, passes));
        // at full precision at the end
        let fine = match method {
            SolverMethod::Newton => constants::FINE_PASSES,
            _ => passes.div_ceil(constants::ACCELERATED_FINE_PART),
        };
        let left = passes - u64::from(after);
        let fine = fine.min(left);
        let taken = Taken {
            passes: left - fine,
            fine_passes: fine,
            after: after.into(),
            ..Taken::default()
        };
        let plan = plan_taken(&spec, &assumed(&spec), &taken).unwrap();
        let (links, rounds) = of_engine(&plan);
        let case = format!("{parties} parties, {method:?}, after {after}");
        assert_eq!(ran.rounds, rounds, "{case}");
        assert_eq!(ran.links, links, "{case}");
        for (id, times) in [
            (DisclosureId::TrainHeld, 1),
            (DisclosureId::TrainConverged, 1),
            (DisclosureId::TrainRangeCheck, 1),
        ] {
            assert_eq!(ran.opened(&id), times, "{case} {id}");
        }
    }
}

#[tokio::test]
async fn bits_of_a_training_that_goes_on_are_those_of_its_passes() {
    for (method, after) in [(SolverMethod::Newton, 3), (SolverMethod::Accelerated, 12)] {
        let mut spec = spec_of(2);
        spec.solver.method = method;
        spec.solver.max_passes = 200;
        if method == SolverMethod::Newton {
            spec.solver.max_passes = 20;
        }
        let held = states(&spec, after).await;
        let id: JobId = "0123456789abcdef0123456789abcdef".parse().unwrap();
        spec.resume(Some(id));
        let ran = run_on(&spec, 1.0, held).await;
        let passes = u64::from(ran.fits[0].as_ref().unwrap().facts.passes);
        let left = passes - u64::from(after);
        // how many of them were at full precision only the run knows
        let planned = |fine: &u64| {
            let taken = Taken {
                passes: left - fine,
                fine_passes: *fine,
                after: after.into(),
                ..Taken::default()
            };
            let plan = plan_taken(&spec, &assumed(&spec), &taken).unwrap();
            of_engine(&plan) == (ran.links.clone(), ran.rounds.clone())
        };
        let found: Vec<u64> = (0..=left).filter(planned).collect();
        assert_eq!(found.len(), 1, "{method:?} {found:?}");
        let bits = match method {
            SolverMethod::Newton => left,
            _ => left / 4,
        };
        let opened = u64::from(ran.opened(&DisclosureId::TrainConverged));
        assert_eq!(opened, bits, "{method:?}");
    }
}
