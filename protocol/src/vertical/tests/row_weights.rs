//! Weights of rows, and offsets.

use paripassu_model::logistic::{self, FitOptions, TrainingSet};

use super::{Sample, errors_given, joint_given, sample};
use crate::{
    abort::Abort,
    arith::Opening,
    testing::World,
    vertical::logistic::{LogisticFit, LogisticSpec, RowWeights},
};

/// The plaintext fit with these weights and offsets.
fn plain_given(s: &Sample, weights: &[f64], offset: &[f64]) -> Vec<f64> {
    let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
    let set = set
        .with_weights(weights)
        .unwrap()
        .with_offset(offset)
        .unwrap();
    let fit = logistic::fit(&set, &FitOptions::default()).unwrap().model;
    std::iter::once(fit.intercept)
        .chain(fit.coefficients)
        .collect()
}

fn coefficients(fits: &[Result<LogisticFit, Abort>]) -> Vec<f64> {
    let fits = fits.iter().map(|f| f.as_ref().unwrap());
    let intercept = fits.clone().find_map(|f| f.intercept);
    intercept
        .into_iter()
        .chain(fits.flat_map(|f| f.coefficients.clone()))
        .collect()
}

#[tokio::test]
async fn weights_of_rows_and_offsets_lead_to_the_weighted_optimum() {
    let s = sample(3000, 9, 31);
    let n = s.y.len();
    // a bad counts three times, whatever else its row weighs: a weight of a row that party 2 alone knows
    let class: Vec<f64> = s.y.iter().map(|y| 1.0 + 2.0 * f64::from(*y)).collect();
    let row: Vec<f64> = (0..n).map(|i| ((i * 37) % 19) as f64 / 10.0).collect();
    let champion: Vec<f64> = (0..n)
        .map(|i| ((i * 11) % 23) as f64 / 11.0 - 1.3)
        .collect();
    let (ones, none) = (vec![1.0; n], vec![0.0; n]);
    let of = |party: u8, max: f64| RowWeights { party, max };
    for (parties, class, row, offset) in [
        (2, Some(&class), None, None),
        (2, None, Some(&row), Some(&champion)),
        (3, Some(&class), Some(&row), Some(&champion)),
    ] {
        let cuts = [0, 3, 6, 9];
        let cuts = if parties == 2 {
            &[0, 4, 9][..]
        } else {
            &cuts[..]
        };
        let last = parties - 1;
        let mut weights = vec![None; parties];
        weights[0] = class.cloned();
        weights[last] = row.cloned();
        let mut declared = Vec::new();
        declared.extend(class.map(|_| of(0, 3.0)));
        declared.extend(row.map(|_| of(last as u8, 2.0)));
        let spec = LogisticSpec {
            row_weights: declared,
            standard_errors: true,
            ..LogisticSpec::default()
        };
        let world = World::new(parties as u8);
        let (fits, ledger) = joint_given(&world, &s, cuts, &spec, weights, offset.cloned()).await;
        let all: Vec<f64> = class
            .unwrap_or(&ones)
            .iter()
            .zip(row.unwrap_or(&ones))
            .map(|(a, b)| a * b)
            .collect();
        let want = plain_given(&s, &all, offset.unwrap_or(&none));
        for (g, w) in coefficients(&fits).iter().zip(&want) {
            assert!((g - w).abs() < 1e-4, "{g} instead of {w}");
        }
        // and not to that of equal weights
        let equal = plain_given(&s, &ones, &none);
        assert!(want.iter().zip(&equal).any(|(a, b)| (a - b).abs() > 0.02));
        // errors of the weighted likelihood's curvature
        let error = fits[0].as_ref().unwrap().errors.clone().unwrap();
        let exact = errors_given(&s, 1.0, &want, &all, offset.unwrap_or(&none));
        for (g, w) in error.intercept.iter().chain(&error.columns).zip(&exact) {
            assert!(
                (g / w - 1.0).abs() < 0.02,
                "a standard error of {g} instead of {w}"
            );
        }
        let opened = ledger.opened();
        assert!(opened.iter().all(|(opening, ..)| matches!(
            opening,
            Opening::Converged { .. }
                | Opening::RangeExceeded
                | Opening::Coefficients { .. }
                | Opening::StandardErrors { .. }
        )));
    }
}

#[tokio::test]
async fn weights_and_offsets_that_cannot_be_used_are_refused_by_row() {
    let s = sample(300, 4, 5);
    let n = s.y.len();
    let spec = LogisticSpec {
        row_weights: vec![RowWeights { party: 1, max: 2.0 }],
        ..LogisticSpec::default()
    };
    let mut heavy = vec![1.0; n];
    heavy[7] = 2.5;
    // only every twentieth row counts: fifteen rows for columns that want twenty at least
    let few: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i % 20 == 0))).collect();
    let mut far = vec![0.0; n];
    far[9] = f64::NAN;
    for (weights, offset, at, want) in [
        (Some(few), None, 1, "count as fewer than 10 rows a column"),
        (
            Some(heavy),
            None,
            1,
            "a weight of a training row is not between 0 and the declared largest, 2",
        ),
        (
            None,
            None,
            1,
            "0 weights of 300 rows where all are declared",
        ),
        (
            Some(vec![1.0; n]),
            Some(far),
            0,
            "an offset of a training row is not between -8 and 8",
        ),
    ] {
        let brief = std::time::Duration::from_millis(300);
        let world = World::new(2).with_deadline(brief);
        let given = vec![None, weights];
        let (fits, _) = joint_given(&world, &s, &[0, 2, 4], &spec, given, offset).await;
        let said = fits[at].as_ref().unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
}
