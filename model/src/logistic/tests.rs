use super::*;
use ndarray::array;

/// Correlated columns and labels drawn from a known model.
fn sample(rows: usize, columns: usize) -> (Array2<f64>, Vec<u8>) {
    let mut state = 20_260u64;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut x = Array2::zeros((rows, columns));
    let mut labels = Vec::with_capacity(rows);
    for i in 0..rows {
        let common = uniform() - 0.5;
        let mut z = -1.0;
        for j in 0..columns {
            x[[i, j]] = common + 2.0 * (uniform() - 0.5);
            z += x[[i, j]] * if j % 2 == 0 { 0.8 } else { -0.4 };
        }
        labels.push(u8::from(uniform() < sigmoid(z)));
    }
    (x, labels)
}

#[test]
fn gradient_vanishes_at_the_optimum() {
    let (x, labels) = sample(2000, 9);
    let rows = TrainingSet::new(&x, &labels).unwrap();
    for l2 in [0.0, 1.0, 100.0] {
        let fitted = fit(
            &rows,
            &FitOptions {
                l2,
                ..Default::default()
            },
        )
        .unwrap();
        let pd = fitted.model.pd(&x).unwrap();
        for j in 0..9 {
            let g: f64 = (0..2000)
                .map(|i| (pd[i] - f64::from(labels[i])) * x[[i, j]])
                .sum();
            assert!((g + l2 * fitted.model.coefficients[j]).abs() < 1e-6);
        }
        let bads: f64 = labels.iter().map(|l| f64::from(*l)).sum();
        assert!((pd.iter().sum::<f64>() - bads).abs() < 1e-6);
        assert!(fitted.gradient_max < 2e-7 && fitted.passes < 10);
    }
}

#[test]
fn one_binary_column_has_the_textbook_answer() {
    // 2 x 2 table: unexposed 30 good, 10 bad; exposed 15 good, 25 bad.
    let mut x = Vec::new();
    let mut labels = Vec::new();
    for (value, label, count) in [(0.0, 0, 30), (0.0, 1, 10), (1.0, 0, 15), (1.0, 1, 25)] {
        x.extend(vec![value; count]);
        labels.extend(vec![label; count]);
    }
    let rows = TrainingSet::from_slice(&x, 1, &labels).unwrap();
    let fitted = fit(
        &rows,
        &FitOptions {
            l2: 0.0,
            ..Default::default()
        },
    )
    .unwrap();
    let odds_ratio: f64 = (25.0 / 15.0) / (10.0 / 30.0);
    let w = fitted.coefficients[0];
    assert!((w.estimate - odds_ratio.ln()).abs() < 1e-9);
    let se: f64 = (1.0f64 / 30.0 + 1.0 / 10.0 + 1.0 / 15.0 + 1.0 / 25.0).sqrt();
    assert!((w.se - se).abs() < 1e-9);
    assert!(
        (w.z - w.estimate / se).abs() < 1e-8 && w.p > 0.0008 && w.p < 0.0012,
        "{w:?}"
    );
    assert!((fitted.intercept.estimate - (10.0f64 / 30.0).ln()).abs() < 1e-9);
}

#[test]
fn integer_weights_equal_repeated_rows() {
    let (x, labels) = sample(300, 4);
    let weights: Vec<f64> = (0..300).map(|i| f64::from(i % 3)).collect();
    let (mut repeated, mut repeated_labels) = (Vec::new(), Vec::new());
    for (i, (row, label)) in x.rows().into_iter().zip(&labels).enumerate() {
        for _ in 0..i % 3 {
            repeated.extend(row.iter().copied());
            repeated_labels.push(*label);
        }
    }
    let weighted = TrainingSet::new(&x, &labels)
        .unwrap()
        .with_weights(&weights)
        .unwrap();
    let plain = TrainingSet::from_slice(&repeated, 4, &repeated_labels).unwrap();
    let (a, b) = (
        fit(&weighted, &FitOptions::default()),
        fit(&plain, &FitOptions::default()),
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    for (p, q) in a.coefficients.iter().zip(&b.coefficients) {
        assert!((p.estimate - q.estimate).abs() < 1e-9 && (p.se - q.se).abs() < 1e-9);
    }
}

#[test]
fn a_constant_offset_moves_only_the_intercept() {
    let (x, labels) = sample(500, 3);
    let offset = vec![0.7; 500];
    let plain = TrainingSet::new(&x, &labels).unwrap();
    let moved = plain.with_offset(&offset).unwrap();
    let (a, b) = (
        fit(&plain, &FitOptions::default()),
        fit(&moved, &FitOptions::default()),
    );
    let (a, b) = (a.unwrap().model, b.unwrap().model);
    assert!((a.intercept - b.intercept - 0.7).abs() < 1e-8);
    assert!(
        a.coefficients
            .iter()
            .zip(&b.coefficients)
            .all(|(p, q)| (p - q).abs() < 1e-8)
    );
}

#[test]
fn fixed_passes_reach_the_same_optimum() {
    let (x, labels) = sample(3000, 12);
    let rows = TrainingSet::new(&x, &labels).unwrap();
    let exact = fit(&rows, &FitOptions::default()).unwrap().model;
    let full = newton_passes(&rows, 1.0, 8, 0).unwrap();
    let gap = |a: &LogisticModel| {
        a.coefficients
            .iter()
            .zip(&exact.coefficients)
            .map(|(p, q)| (p - q).abs())
            .fold(0.0, f64::max)
    };
    assert!(gap(&full.model) < 1e-10);
    assert_eq!(full.passes.len(), 8);
    assert!(full.passes[7].gradient_max < 1e-9 * full.passes[0].gradient_max);
    assert!(full.total_time() > std::time::Duration::ZERO);
    // A Hessian of a sixth of the rows converges too, only linearly.
    let part = newton_passes(&rows, 1.0, 12, 500).unwrap();
    assert!(gap(&part.model) < 1e-6, "{}", gap(&part.model));
}

#[test]
fn separation_is_named_and_a_penalty_cures_it() {
    let bare = FitOptions {
        l2: 0.0,
        ..Default::default()
    };
    // Complete: the second column is the label.
    let (mut x, labels) = sample(200, 3);
    for (i, l) in labels.iter().enumerate() {
        x[[i, 1]] = f64::from(*l);
    }
    let rows = TrainingSet::new(&x, &labels).unwrap();
    let error = fit(&rows, &bare).unwrap_err();
    assert!(
        matches!(error, LogisticError::Separation { column: 1, .. }),
        "{error}"
    );
    assert!(fit(&rows, &FitOptions::default()).is_ok());
    // Partial: a level with bad rows only.
    let (mut x, labels) = sample(200, 3);
    let first_bad = labels.iter().position(|l| *l == 1).unwrap();
    x.column_mut(2).fill(0.0);
    x[[first_bad, 2]] = 1.0;
    let error = fit(&TrainingSet::new(&x, &labels).unwrap(), &bare).unwrap_err();
    assert!(
        matches!(error, LogisticError::Separation { column: 2, .. }),
        "{error}"
    );
}

#[test]
fn refusals_name_the_cause() {
    let (mut x, labels) = sample(100, 3);
    let twin = x.column(0).to_owned();
    x.column_mut(2).assign(&twin);
    let rows = TrainingSet::new(&x, &labels).unwrap();
    let bare = FitOptions {
        l2: 0.0,
        ..Default::default()
    };
    assert_eq!(
        fit(&rows, &bare),
        Err(LogisticError::Singular { column: 2 })
    );
    let few = FitOptions {
        max_passes: 1,
        ..Default::default()
    };
    assert!(matches!(
        fit(&rows, &few),
        Err(LogisticError::NoConvergence { passes: 1, .. })
    ));
    let wrong = FitOptions {
        l2: -1.0,
        ..Default::default()
    };
    assert!(
        fit(&rows, &wrong)
            .unwrap_err()
            .to_string()
            .contains("l2 is -1")
    );
    let goods = vec![0; 100];
    let one_class = fit(&TrainingSet::new(&x, &goods).unwrap(), &few).unwrap_err();
    assert_eq!(
        one_class,
        LogisticError::OneClass {
            bads: 0,
            goods: 100
        }
    );
    let hole = array![[1.0, f64::NAN]];
    let error = TrainingSet::new(&hole, &[0]).unwrap_err();
    assert!(matches!(
        error,
        LogisticError::Value {
            part: "a feature",
            row: 0,
            ..
        }
    ));
    assert!(matches!(
        TrainingSet::new(&hole, &[0, 1]),
        Err(LogisticError::Length {
            part: "labels",
            expected: 1,
            got: 2
        })
    ));
    let turned = sample(4, 2).0.reversed_axes();
    assert_eq!(
        TrainingSet::new(&turned, &[0, 1]).unwrap_err(),
        LogisticError::Layout
    );
    assert!(rows.with_weights(&[-1.0; 100]).is_err());
}
