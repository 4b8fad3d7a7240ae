//! A training that is ended after a pass goes on in another, on other shares, and lands where one does that nobody ended.

use super::{
    memory::{Memory, after, features, sent, sums, worlds},
    *,
};
use crate::vertical::logistic::{Method, train_on};

/// Words that are public of a pass.
const PUBLIC: usize = 5;

type Made = (Vec<Result<LogisticFit, Abort>>, AllowAll);

/// A job of parties that keep their states; its randomness follows from `seed`.
async fn job(
    world: &World,
    spec: &LogisticSpec,
    s: &Sample,
    cuts: &[usize],
    (memories, seed): (&[Memory], u8),
) -> Made {
    let inputs: Vec<_> = cuts
        .windows(2)
        .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
        .collect();
    let (rows, y, spec) = (s.y.len(), s.y.clone(), spec.clone());
    let (book, n) = (AllowAll::default(), inputs.len() as u8);
    let (ledger, memories) = (book.clone(), memories.to_vec());
    let seed_of = move |p: u8| [seed + p; 32];
    let fits = world.run(
        move |me, ctx| {
            let (x, cols) = inputs[me].clone();
            let label = (me == 0).then(|| y.clone());
            let (spec, book) = (spec.clone(), book.clone());
            let mut memory = memories[me].clone();
            async move {
                let source = HelperSource::new(&ctx, &seed_of(me as u8))?;
                let ledger = if me == 0 { book } else { AllowAll::default() };
                let mut e = crate::arith::Engine::new(&ctx, source, Box::new(ledger))?;
                let input = LogisticInput {
                    x,
                    cols,
                    rows,
                    label,
                    row_weights: None,
                    offset: None,
                    signs: Vec::new(),
                };
                let quiet = &mut |_, _, _| {};
                let fit = train_on(&mut e, &spec, input, Some(&mut memory), quiet).await?;
                e.source_mut().done().await?;
                Ok(fit)
            }
        },
        move |ctx| async move {
            let seeds: Vec<_> = (0..n).map(seed_of).collect();
            deal(&ctx, &seeds).await.map(drop)
        },
    );
    (fits.await, ledger)
}

/// Runs a job in which `lost` ends, as said, after a pass.
async fn ended(
    spec: &LogisticSpec,
    s: &Sample,
    cuts: &[usize],
    lost: (usize, u32, bool),
) -> (Vec<Memory>, World) {
    let mut memories: Vec<Memory> = (1..cuts.len()).map(|_| Memory::new(1, None)).collect();
    memories[lost.0].lost = Some((lost.1, lost.2));
    let world = worlds(memories.len());
    let (fits, _) = job(&world, spec, s, cuts, (&memories, 1)).await;
    assert!(fits.iter().all(Result::is_err), "{fits:?}");
    (memories, world)
}

fn facts(fits: &[Result<LogisticFit, Abort>]) -> crate::vertical::logistic::SolverFacts {
    fits[0].as_ref().unwrap().facts.clone()
}

fn accelerated() -> LogisticSpec {
    LogisticSpec {
        method: Method::Accelerated,
        max_passes: 400,
        ..LogisticSpec::default()
    }
}

#[tokio::test]
async fn a_training_that_is_ended_goes_on_and_lands_where_one_does_that_is_not() {
    let s = sample(900, 7, 11);
    let sampled = LogisticSpec {
        hessian_rows: Some(500),
        ..LogisticSpec::default()
    };
    for (cuts, lost, on, spec) in [
        // party 1 is lost before it has kept pass 3: all go on after the second
        (vec![0, 4, 7], (1, 3, false), 2, LogisticSpec::default()),
        // three parties, of which the first is lost with its state kept
        (vec![0, 2, 5, 7], (0, 1, true), 1, LogisticSpec::default()),
        // Hessians of a sample, which serve several passes
        (vec![0, 4, 7], (0, 2, true), 2, sampled),
        (vec![0, 4, 7], (1, 16, false), 12, accelerated()),
        (vec![0, 2, 5, 7], (2, 8, true), 8, accelerated()),
    ] {
        let none: Vec<Memory> = (1..cuts.len()).map(|_| Memory::new(1, None)).collect();
        let (whole, _) = job(&worlds(none.len()), &spec, &s, &cuts, (&none, 51)).await;
        let want = facts(&whole);
        let (before, first) = ended(&spec, &s, &cuts, lost).await;
        let now = after(&before);
        let world = worlds(before.len());
        let (fits, ledger) = job(&world, &spec, &s, &cuts, (&now, 101)).await;
        let got = facts(&fits);
        assert_eq!(got.resumed, on);
        assert_lands(fits, &s, 1.0, 1e-4);
        // as many passes as without an end, in both jobs together: one more or less where a bit is close
        let every = if spec.method == Method::Newton { 1 } else { 4 };
        let apart = got.passes.abs_diff(want.passes);
        assert!(apart <= 2 * every, "{} {}", got.passes, want.passes);
        // the remaining passes' bits and no others
        let opened: Vec<Opening> = ledger.opened().iter().map(|(o, ..)| *o).collect();
        let asked = |pass: &u32| match spec.method {
            Method::Newton => *pass >= 3,
            Method::Accelerated => pass.is_multiple_of(4),
        };
        let bits = (on + 1..=got.passes).filter(asked);
        let mut want = vec![Opening::HeldPoints];
        want.extend(bits.map(|pass| Opening::Converged { pass }));
        want.push(Opening::RangeExceeded);
        assert_eq!(opened[..want.len()], want);
        // the same values on other shares, under the new job's name
        assert_eq!(sums(&before, on, PUBLIC), sums(&now, on, PUBLIC));
        for (then, now) in before.iter().zip(&now) {
            let (then, kept) = (then.state(on), now.state(on));
            assert_ne!(then.name, kept.name);
            let same = then.own.chunks(8).zip(kept.own.chunks(8)).skip(PUBLIC);
            assert_eq!(same.filter(|(a, b)| a == b).count(), 0);
            let all = (on..got.passes).step_by(every as usize);
            assert_eq!(now.points(), all.collect::<Vec<_>>());
        }
        // nothing that was sent in the one is sent in the other
        let (one, two) = (sent(&first), sent(&world));
        assert!(one.len() > 20 && two.len() > 20);
        assert_eq!(one.intersection(&two).count(), 0);
    }
}

#[tokio::test]
async fn what_is_seen_twice_with_the_same_correlations_is_found() {
    // the control of the comparison above: a job that took the aborted one's seeds up again would mask the columns alike
    let s = sample(300, 4, 3);
    let spec = LogisticSpec::default();
    let (before, first) = ended(&spec, &s, &[0, 2, 4], (1, 2, true)).await;
    let world = worlds(2);
    let (fits, _) = job(&world, &spec, &s, &[0, 2, 4], (&after(&before), 1)).await;
    assert!(fits.iter().all(Result::is_ok));
    assert!(features(&first).intersection(&features(&world)).count() > 0);
}

#[tokio::test]
async fn standard_errors_are_right_after_going_on() {
    let s = sample(900, 7, 11);
    let cuts = [0, 4, 7];
    for rows in [None, Some(600)] {
        let spec = LogisticSpec {
            standard_errors: true,
            hessian_rows: rows,
            ..LogisticSpec::default()
        };
        let none: Vec<Memory> = (0..2).map(|_| Memory::new(1, None)).collect();
        let (whole, _) = job(&worlds(2), &spec, &s, &cuts, (&none, 51)).await;
        let passes = facts(&whole).passes;
        // while steps are large, and within the last passes
        for at in [2, passes - 1] {
            let (before, _) = ended(&spec, &s, &cuts, (1, at, true)).await;
            let (fits, _) = job(&worlds(2), &spec, &s, &cuts, (&after(&before), 101)).await;
            assert_eq!(facts(&fits).resumed, at);
            for (got, want) in fits.iter().zip(&whole) {
                let of = |fit: &Result<LogisticFit, Abort>| {
                    let errors = fit.as_ref().unwrap().errors.clone().unwrap();
                    errors.columns.into_iter().chain(errors.intercept)
                };
                for (got, want) in of(got).zip(of(want)) {
                    assert!((got / want - 1.0).abs() < 2e-3, "{got} {want}");
                }
            }
            assert_lands(fits, &s, 1.0, 1e-4);
        }
    }
}

#[tokio::test]
async fn penalties_and_signs_go_on_with_their_split() {
    let s = sample(900, 7, 11);
    let spec = LogisticSpec {
        l1: 12.0,
        max_passes: 40,
        ..LogisticSpec::default()
    };
    let none: Vec<Memory> = (0..2).map(|_| Memory::new(1, None)).collect();
    let (whole, _) = job(&worlds(2), &spec, &s, &[0, 4, 7], (&none, 51)).await;
    let (before, _) = ended(&spec, &s, &[0, 4, 7], (0, 4, true)).await;
    let (fits, _) = job(&worlds(2), &spec, &s, &[0, 4, 7], (&after(&before), 101)).await;
    assert_eq!(facts(&fits).resumed, 4);
    let mut zeros = 0;
    for (got, want) in fits.iter().zip(&whole) {
        let of = |fit: &Result<LogisticFit, Abort>| fit.as_ref().unwrap().coefficients.clone();
        for (got, want) in of(got).into_iter().zip(of(want)) {
            assert!((got - want).abs() < 2e-4, "{got} {want}");
            assert_eq!(got == 0.0, want == 0.0);
            zeros += usize::from(want == 0.0);
        }
    }
    assert!(zeros > 0);
}

#[tokio::test]
async fn a_training_in_a_wider_range_goes_on_there() {
    // two rows whose scores are about 35, beyond the first range
    let mut s = sample(900, 3, 11);
    let (w, _) = plain(&s, 1.0);
    let j = (0..3)
        .max_by(|a, b| w[*a].abs().total_cmp(&w[*b].abs()))
        .unwrap();
    for row in [5, 700] {
        s.x[3 * row + j] = 35.0 / w[j];
        s.y[row] = 1;
    }
    let spec = LogisticSpec::default();
    let cuts = [0, 2, 3];
    let none: Vec<Memory> = (0..2).map(|_| Memory::new(1, None)).collect();
    let (whole, ledger) = job(&worlds(2), &spec, &s, &cuts, (&none, 51)).await;
    let want = facts(&whole);
    let asked = |(o, ..): &(Opening, _, _)| *o == Opening::RangeExceeded;
    assert!(
        ledger.opened().iter().any(asked) && want.range > 16.0,
        "{want:?}"
    );
    let at = want.passes - 2;
    let (before, _) = ended(&spec, &s, &cuts, (1, at, true)).await;
    let (fits, _) = job(&worlds(2), &spec, &s, &cuts, (&after(&before), 101)).await;
    let got = facts(&fits);
    assert_eq!((got.resumed, got.range), (at, want.range));
    assert!(got.passes.abs_diff(want.passes) <= 2, "{got:?} {want:?}");
    for (got, want) in fits.iter().zip(&whole) {
        let of = |fit: &Result<LogisticFit, Abort>| fit.as_ref().unwrap().coefficients.clone();
        for (got, want) in of(got).into_iter().zip(of(want)) {
            assert!((got - want).abs() < 2e-4, "{got} {want}");
        }
    }
}

#[tokio::test]
async fn where_nothing_is_held_alike_training_begins_anew() {
    let s = sample(300, 4, 3);
    let (spec, cuts) = (accelerated(), [0, 2, 4]);
    let (before, _) = ended(&spec, &s, &cuts, (1, 8, true)).await;
    // of another point, or of none
    let other = before[1].altered(|state| state.name[0] ^= 1);
    for second in [other, Memory::default()] {
        let now = after(&[before[0].clone(), second]);
        let (fits, _) = job(&worlds(2), &spec, &s, &cuts, (&now, 101)).await;
        assert_eq!(facts(&fits).resumed, 0);
        assert_lands(fits, &s, 1.0, 1e-4);
        assert_eq!(now[0].points()[..2], [4, 8]);
    }
    // what nobody can read, and a state of other steps
    let short = before[0].altered(|state| {
        let len = state.own.len() - 8;
        state.own.truncate(len);
    });
    for (first, spec) in [(short, spec), (before[0].clone(), LogisticSpec::default())] {
        let now = after(&[first, before[1].clone()]);
        let (fits, _) = job(&worlds(2), &spec, &s, &cuts, (&now, 101)).await;
        let said = fits[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("leave out align.resume"), "{said}");
        assert!(fits[1].is_err());
    }
}
