//! Accelerated steps, against the pooled optimum.

use super::*;
use crate::{
    arith::Receivers,
    vertical::logistic::{Chooser, Method, RowWeights},
};

fn spec(l2: f64) -> LogisticSpec {
    LogisticSpec {
        l2,
        method: Method::Accelerated,
        max_passes: 400,
        ..LogisticSpec::default()
    }
}

fn bits(opened: &[(Opening, Receivers, usize)]) -> usize {
    let settled = |o: &Opening| matches!(o, Opening::Converged { .. });
    opened.iter().filter(|(o, ..)| settled(o)).count()
}

#[tokio::test]
async fn accelerated_steps_land_on_the_pooled_optimum() {
    for (rows, d, seed, cuts) in [
        (900, 7, 11, vec![0, 4, 7]),
        (1500, 30, 3, vec![0, 12, 30]),
        (900, 7, 5, vec![0, 2, 5, 7]),
        (1200, 10, 7, vec![0, 2, 4, 6, 8, 10]),
        (900, 7, 9, vec![0, 0, 7]),
    ] {
        let s = sample(rows, d, seed);
        let parties = cuts.len() as u8 - 1;
        let (fits, book) = joint(&World::new(parties), &s, &cuts, &spec(1.0)).await;
        let facts = fits[0].as_ref().unwrap().facts.clone();
        assert_eq!((facts.method, facts.hessians), (Method::Accelerated, 0));
        assert_lands(fits, &s, 1.0, 1e-4);
        // nothing is opened that Newton does not open, and the bit every fourth pass alone
        let opened = book.opened();
        assert_eq!(facts.passes % 4, 0);
        assert_eq!(bits(&opened), facts.passes as usize / 4);
        let more = opened.iter().filter(|(o, ..)| *o == Opening::RangeExceeded);
        assert_eq!(more.count(), 1);
        let known = |o: &Opening| {
            matches!(
                o,
                Opening::Converged { .. } | Opening::RangeExceeded | Opening::Coefficients { .. }
            )
        };
        assert!(opened.iter().all(|(o, ..)| known(o)));
    }
}

#[tokio::test]
async fn columns_that_say_nearly_the_same_take_more_passes_and_end_there_too() {
    // of two parties, so that neither's whitening sees it
    let mut s = sample(6000, 12, 12);
    for row in s.x.chunks_exact_mut(12) {
        row[11] = 0.98 * row[0] + 0.2 * row[11];
    }
    let (fits, _) = joint(&World::new(2), &s, &[0, 6, 12], &spec(1.0)).await;
    assert!(fits[0].as_ref().unwrap().facts.passes > 60);
    assert_lands(fits, &s, 1.0, 5e-4);
    let finer = LogisticSpec {
        tolerance: 2e-6,
        ..spec(1.0)
    };
    let (fits, _) = joint(&World::new(2), &s, &[0, 6, 12], &finer).await;
    assert_lands(fits, &s, 1.0, 1e-4);
}

#[tokio::test]
async fn weights_of_rows_and_offsets_lead_to_the_weighted_optimum() {
    let s = sample(2400, 8, 31);
    let class: Vec<f64> = s.y.iter().map(|y| 1.0 + 2.0 * f64::from(*y)).collect();
    let champion: Vec<f64> = (0..s.y.len())
        .map(|i| ((i * 11) % 23) as f64 / 11.0 - 1.3)
        .collect();
    let spec = LogisticSpec {
        row_weights: vec![RowWeights { party: 0, max: 3.0 }],
        ..spec(1.0)
    };
    let (weights, offset) = (vec![Some(class.clone()), None], Some(champion.clone()));
    let (fits, _) = joint_given(&World::new(2), &s, &[0, 4, 8], &spec, weights, offset).await;
    let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
    let set = set.with_weights(&class).unwrap();
    let set = set.with_offset(&champion).unwrap();
    let want = logistic::fit(&set, &FitOptions::default()).unwrap().model;
    let got = fits
        .iter()
        .flat_map(|f| f.as_ref().unwrap().coefficients.clone());
    for (g, w) in got.zip(&want.coefficients) {
        assert!((g - w).abs() < 1e-4, "{g} instead of {w}");
    }
}

#[tokio::test]
async fn a_fixed_number_of_passes_opens_one_bit() {
    let s = sample(1000, 6, 9);
    let fixed = |passes| LogisticSpec {
        stop: Stop::After(passes),
        range_log2: Some(4),
        ..spec(1.0)
    };
    let (fits, ledger) = joint(&World::new(2), &s, &[0, 3, 6], &fixed(90)).await;
    assert_lands(fits, &s, 1.0, 1e-4);
    assert_eq!(ledger.opened().len(), 1 + 1 + 2);
    let (fits, ledger) = joint(&World::new(2), &s, &[0, 3, 6], &fixed(7)).await;
    for fit in fits {
        let error = fit.unwrap_err();
        assert_eq!(error.code(), "not_converged");
        let said = error.to_string();
        assert!(
            said.contains("in 7 passes") && said.contains("solver.method = \"newton\""),
            "{said}"
        );
    }
    assert_eq!(ledger.opened().len(), 1);
}

#[tokio::test]
async fn what_chooses_by_sizes_is_asked_at_every_party_with_the_same_sizes() {
    let s = sample(900, 7, 11);
    let by_width = Chooser::new(|rows, widths| {
        assert_eq!(rows, 900);
        match widths {
            // the intercept is party 0's
            [5, 3] => Method::Accelerated,
            _ => Method::Newton,
        }
    });
    let spec = LogisticSpec {
        method: Method::Newton,
        chooser: Some((by_width, 20)),
        ..spec(1.0)
    };
    for (cuts, method) in [
        (&[0, 4, 7][..], Method::Accelerated),
        (&[0, 2, 5, 7], Method::Newton),
    ] {
        let world = World::new(cuts.len() as u8 - 1);
        let (fits, _) = joint(&world, &s, cuts, &spec).await;
        assert_eq!(fits[0].as_ref().unwrap().facts.method, method);
        assert_lands(fits, &s, 1.0, 1e-4);
    }
    // what cannot be is refused by all before a column is sent
    let errors = LogisticSpec {
        standard_errors: true,
        ..spec
    };
    let (fits, ledger) = joint(&World::new(2), &s, &[0, 4, 7], &errors).await;
    for fit in fits {
        let said = fit.unwrap_err().to_string();
        assert!(said.contains("no Hessian"), "{said}");
    }
    assert!(ledger.opened().is_empty());
}

#[tokio::test]
async fn what_needs_a_hessian_is_refused() {
    for spec in [
        LogisticSpec {
            standard_errors: true,
            ..spec(1.0)
        },
        LogisticSpec {
            l1: 3.0,
            ..spec(1.0)
        },
        LogisticSpec {
            signs: true,
            ..spec(1.0)
        },
    ] {
        let refused = spec.check(&[]).unwrap_err().to_string();
        assert!(refused.contains("no Hessian"), "{refused}");
    }
}
