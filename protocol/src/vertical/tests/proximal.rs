//! L1 penalties and signs, against a plaintext fit by coordinate descent.

use super::*;
use crate::vertical::proximal::Proximal;
use paripassu_model::logistic::{LogisticModel, fit_constrained};

/// Trains jointly with signs of all columns in order; the fits, and what was opened.
async fn held(
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    signs: &[Sign],
) -> (Vec<LogisticFit>, AllowAll) {
    let world = World::new(cuts.len() as u8 - 1);
    let by_party = cuts.windows(2).map(|c| match signs.is_empty() {
        true => Vec::new(),
        false => signs[c[0]..c[1]].to_vec(),
    });
    let given = (vec![None; cuts.len() - 1], None);
    let (fits, book) = joint_signed(&world, s, cuts, spec, given, by_party.collect()).await;
    (fits.into_iter().map(|f| f.unwrap()).collect(), book)
}

fn optimum(s: &Sample, l2: f64, l1: f64, signs: &[Sign]) -> LogisticModel {
    let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
    let free = vec![Sign::Free; s.d];
    let signs = if signs.is_empty() { &free } else { signs };
    fit_constrained(&set, l2, l1, signs).unwrap()
}

/// How many coefficients are 0 in both; all others must agree.
fn agree(fits: &[LogisticFit], want: &LogisticModel, tolerance: f64) -> usize {
    let got = fits.iter().flat_map(|f| f.coefficients.clone());
    let mut zeros = 0;
    let mut largest = (fits[0].intercept.unwrap() - want.intercept).abs();
    for (j, (got, want)) in got.zip(&want.coefficients).enumerate() {
        assert_eq!(got == 0.0, *want == 0.0, "column {j}: {got} and {want}");
        zeros += usize::from(got == 0.0);
        largest = largest.max((got - want).abs());
    }
    println!(
        "{zeros} zeros, largest difference {largest:.1e}, {:?}",
        fits[0].facts.passes
    );
    assert!(largest < tolerance, "{largest}");
    zeros
}

#[tokio::test]
async fn an_l1_penalty_lands_where_coordinate_descent_does() {
    let s = sample(1500, 8, 3);
    let mut zeros = Vec::new();
    for (l1, l2, cuts) in [
        (60.0, 1.0, &[0, 3, 8][..]),
        (20.0, 1.0, &[0, 7, 8]),
        (20.0, 40.0, &[0, 2, 5, 8]),
        (3.0, 1.0, &[0, 3, 8]),
        (500.0, 1.0, &[0, 3, 8]),
    ] {
        let spec = LogisticSpec {
            l1,
            l2,
            ..LogisticSpec::default()
        };
        let (fits, book) = held(&s, cuts, &spec, &[]).await;
        zeros.push(agree(&fits, &optimum(&s, l2, l1, &[]), 2e-4));
        // nothing else is opened than without penalty
        let known = |o: &Opening| {
            matches!(
                o,
                Opening::Converged { .. } | Opening::RangeExceeded | Opening::Coefficients { .. }
            )
        };
        assert!(book.opened().iter().all(|(o, _, _)| known(o)));
    }
    assert!(zeros[0] > zeros[3] && zeros[4] == 8, "{zeros:?}");
}

#[tokio::test]
async fn signs_hold_and_the_rest_is_fitted_around_them() {
    let s = sample(1500, 6, 5);
    let free = optimum(&s, 1.0, 0.0, &[]);
    let against = |j: usize| match free.coefficients[j] > 0.0 {
        true => Sign::Negative,
        false => Sign::Positive,
    };
    let with = |j: usize| match free.coefficients[j] > 0.0 {
        true => Sign::Positive,
        false => Sign::Negative,
    };
    let signs = [
        against(0),
        with(1),
        Sign::Free,
        with(3),
        against(4),
        Sign::Free,
    ];
    for (l1, cuts) in [(0.0, [0, 2, 6]), (0.0, [0, 5, 6]), (8.0, [0, 3, 6])] {
        let spec = LogisticSpec {
            l1,
            signs: true,
            ..LogisticSpec::default()
        };
        let (fits, _) = held(&s, &cuts, &spec, &signs).await;
        let zeros = agree(&fits, &optimum(&s, 1.0, l1, &signs), 2e-4);
        assert!(zeros >= 2, "{zeros}");
    }
}

#[tokio::test]
async fn signs_that_the_free_optimum_has_change_nothing() {
    let s = sample(900, 5, 7);
    let free = optimum(&s, 1.0, 0.0, &[]);
    let signs: Vec<Sign> = free
        .coefficients
        .iter()
        .map(|w| match *w > 0.0 {
            true => Sign::Positive,
            false => Sign::Negative,
        })
        .collect();
    let spec = LogisticSpec {
        signs: true,
        stop: Stop::After(9),
        ..LogisticSpec::default()
    };
    let (fits, _) = held(&s, &[0, 2, 5], &spec, &signs).await;
    assert_eq!(agree(&fits, &free, 2e-4), 0);
}

#[test]
fn what_cannot_be_held_is_refused() {
    let spec = |l1: f64, standard_errors: bool| LogisticSpec {
        l1,
        standard_errors,
        ..LogisticSpec::default()
    };
    let refused = |spec: LogisticSpec, signs: &[Sign]| spec.check(signs).unwrap_err().to_string();
    assert!(refused(spec(1.0, true), &[]).contains("standard errors"));
    assert!(refused(spec(-1.0, false), &[]).contains("L1"));
    assert!(refused(spec(f64::NAN, false), &[]).contains("L1"));
    let undeclared = refused(spec(1.0, false), &[Sign::Positive; 2]);
    assert!(undeclared.contains("does not declare"), "{undeclared}");
    let few = Proximal::new(1.0, 300, &[Sign::Positive], &[3, 2], 0);
    assert!(few.err().unwrap().to_string().contains("1 signs of 2"));
}
