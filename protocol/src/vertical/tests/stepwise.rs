//! Columns that leave and enter on shares, beside those that leave and enter a pooled fit.

use ndarray::Array2;
use paripassu_model::stepwise::{self, Data, Rule, statistic};

use super::{Sample, columns, plain, plain_errors, sample};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{
        World,
        dealt::{AllowAll, seeds},
    },
    vertical::{
        logistic::{LogisticFit, LogisticInput, LogisticSpec, RowWeights},
        stepwise::{Moved, Stepwise, train_stepwise},
    },
};

type Made = Vec<Result<(LogisticFit, Vec<Moved>), Abort>>;

async fn joint(
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    stepwise: Stepwise,
) -> (Made, AllowAll) {
    joint_weighted(s, cuts, spec, stepwise, None).await
}

/// With weights of rows of the first party.
async fn joint_weighted(
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    stepwise: Stepwise,
    weights: Option<Vec<f64>>,
) -> (Made, AllowAll) {
    let parties = cuts.len() - 1;
    let inputs: Vec<_> = cuts
        .windows(2)
        .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
        .collect();
    let (rows, y, spec) = (s.y.len(), s.y.clone(), spec.clone());
    let ledger = AllowAll::default();
    let (book, n) = (ledger.clone(), parties as u8);
    let made = World::new(n)
        .run(
            move |me, ctx| {
                let (x, cols) = inputs[me].clone();
                let input = LogisticInput {
                    x,
                    cols,
                    rows,
                    label: (me == 0).then(|| y.clone()),
                    row_weights: weights.clone().filter(|_| me == 0),
                    offset: None,
                    signs: Vec::new(),
                };
                let (spec, book) = (spec.clone(), book.clone());
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let ledger = if me == 0 { book } else { AllowAll::default() };
                    let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                    let progress = &mut |_: u32, _: u32, _: bool| {};
                    let made = train_stepwise(&mut e, &spec, &stepwise, input, progress).await?;
                    e.source_mut().done().await?;
                    Ok(made)
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
        )
        .await;
    (made, ledger)
}

/// The label now depends on few of the columns.
fn sparse(rows: usize, d: usize, seed: u64) -> Sample {
    let mut s = sample(rows, d, seed);
    let mut state = seed | 1;
    for (row, y) in s.x.chunks_exact(d).zip(s.y.iter_mut()) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
        let z = 0.9 * row[0] - 0.7 * row[d - 2] + 0.25 * row[3] - 1.2;
        *y = u8::from(uniform < 1.0 / (1.0 + (-z).exp()));
    }
    s
}

/// The steps of the pooled columns, and the places of those in the model at the end.
fn pooled(
    s: &Sample,
    weights: Option<&[f64]>,
    (stepwise, l2): (&Stepwise, f64),
) -> (Vec<stepwise::Moved>, Vec<usize>) {
    let n = s.y.len();
    let x = Array2::from_shape_vec((n, s.d), s.x.clone()).unwrap();
    let (ones, zeros) = (vec![1.0; n], vec![0.0; n]);
    let data = Data {
        x: &x,
        labels: &s.y,
        weights: weights.unwrap_or(&ones),
        offset: &zeros,
        l2,
    };
    let rule = Rule {
        enter: stepwise.enter,
        leave: stepwise.leave,
        most: stepwise.most as usize,
    };
    stepwise::steps(&data, &rule).unwrap()
}

fn with_errors() -> LogisticSpec {
    LogisticSpec {
        standard_errors: true,
        ..LogisticSpec::default()
    }
}

fn moved(cuts: &[usize], steps: &[stepwise::Moved]) -> Vec<Moved> {
    let of = |step: &stepwise::Moved| {
        let party = cuts[1..].iter().filter(|c| **c <= step.column).count();
        Moved {
            party,
            column: step.column - cuts[party],
            enters: step.enters,
        }
    };
    steps.iter().map(of).collect()
}

/// Both make the same steps and land on the fit of the same columns; what is opened is as declared.
async fn assert_steps(s: &Sample, cuts: &[usize], stepwise: Stepwise) -> Vec<stepwise::Moved> {
    let (made, ledger) = joint(s, cuts, &with_errors(), stepwise).await;
    let (steps, stays) = pooled(s, None, (&stepwise, 1.0));
    for m in &made {
        assert_eq!(m.as_ref().unwrap().1, moved(cuts, &steps));
    }
    // what is left is the pooled fit of these columns, standard errors too
    let x = s.x.chunks_exact(s.d);
    let left = Sample {
        x: x.flat_map(|r| stays.iter().map(|j| r[*j]).collect::<Vec<f64>>())
            .collect(),
        d: stays.len(),
        y: s.y.clone(),
    };
    let (coefficients, _) = plain(&left, 1.0);
    let fits: Vec<&LogisticFit> = made.iter().map(|m| &m.as_ref().unwrap().0).collect();
    let got: Vec<f64> = fits.iter().flat_map(|f| f.coefficients.clone()).collect();
    assert_eq!(got.len(), coefficients.len());
    for (got, want) in got.iter().zip(&coefficients) {
        assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
    }
    let errors = fits.iter().map(|f| f.errors.as_ref().unwrap());
    let errors: Vec<f64> = errors.flat_map(|e| e.columns.clone()).collect();
    for (got, want) in errors.iter().zip(&plain_errors(&left, 1.0)[1..]) {
        assert!((got / want - 1.0).abs() < 2e-3, "{got} instead of {want}");
    }
    // of each fit a bit for each column that might leave, then for each that might enter
    let opened = ledger.opened();
    let about = opened
        .iter()
        .filter(|o| matches!(o.0, Opening::Leaving { .. } | Opening::Entering { .. }));
    let mut expected = Vec::new();
    let mut within = if stepwise.enter.is_some() { 0 } else { s.d };
    for at in 0..=steps.len().min(stepwise.most as usize - 1) {
        let (step, next) = (at as u32 + 1, steps.get(at));
        if stepwise.leave.is_some() && within > 0 {
            expected.push((Opening::Leaving { step }, Receivers::All, within));
        }
        let leaves = next.is_some_and(|m| !m.enters);
        if stepwise.enter.is_some() && !leaves && within < s.d {
            expected.push((Opening::Entering { step }, Receivers::All, s.d - within));
        }
        within = match next {
            Some(m) if m.enters => within + 1,
            Some(_) => within - 1,
            None => within,
        };
    }
    assert_eq!(about.copied().collect::<Vec<_>>(), expected);
    let released = opened.iter().filter(|o| {
        matches!(
            o.0,
            Opening::Coefficients { .. } | Opening::StandardErrors { .. }
        )
    });
    assert_eq!(released.count(), 2 * made.len());
    steps
}

#[tokio::test]
async fn columns_leave_as_they_leave_the_pooled_fit() {
    for (cuts, threshold, most) in [
        (vec![0, 4, 9], statistic(0.05), 50),
        // by AIC
        (vec![0, 2, 5, 9], 2.0, 50),
        // not all that might
        (vec![0, 4, 9], statistic(0.001), 2),
        // the label holder brings no column
        (vec![0, 0, 9], statistic(0.05), 50),
    ] {
        let stepwise = Stepwise {
            enter: None,
            leave: Some(threshold),
            most,
        };
        let steps = assert_steps(&sparse(2500, 9, 11), &cuts, stepwise).await;
        assert!(steps.len() >= 2 && steps.len() < 9, "{steps:?}");
    }
}

#[tokio::test]
async fn columns_enter_as_they_enter_the_pooled_fit() {
    for (cuts, threshold, most) in [
        (vec![0, 4, 9], statistic(0.05), 50),
        // by AIC
        (vec![0, 2, 5, 9], 2.0, 50),
        // not all that might
        (vec![0, 4, 9], statistic(0.05), 2),
        // the label holder brings no column
        (vec![0, 0, 9], statistic(0.01), 50),
    ] {
        let stepwise = Stepwise {
            enter: Some(threshold),
            leave: None,
            most,
        };
        let steps = assert_steps(&sparse(2500, 9, 11), &cuts, stepwise).await;
        assert!(steps.len() >= 2 && steps.len() < 9, "{steps:?}");
    }
}

/// The first column says nearly what the second and the last say together, and those make the label.
fn replaced(rows: usize) -> Sample {
    let mut s = sample(rows, 5, 23);
    let mut state = 77_u64;
    for (row, y) in s.x.chunks_exact_mut(5).zip(s.y.iter_mut()) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let uniform = (state >> 11) as f64 / (1u64 << 53) as f64;
        row[0] = (row[1] + row[4]) / 1.6 + 0.35 * row[0];
        let z = 0.9 * row[1] + 0.9 * row[4] - 1.0;
        *y = u8::from(uniform < 1.0 / (1.0 + (-z).exp()));
    }
    s
}

#[tokio::test]
async fn a_column_that_entered_first_may_leave_again() {
    for cuts in [&[0, 2, 5][..], &[0, 1, 3, 5]] {
        let stepwise = Stepwise {
            enter: Some(statistic(0.05)),
            leave: Some(statistic(0.05)),
            most: 20,
        };
        let steps = assert_steps(&replaced(2000), cuts, stepwise).await;
        assert!(steps[0].enters && steps[0].column == 0, "{steps:?}");
        assert!(steps.iter().any(|m| !m.enters), "{steps:?}");
    }
}

#[tokio::test]
async fn weights_of_rows_count_in_score_statistics() {
    let s = sparse(2500, 6, 5);
    let weights: Vec<f64> = (0..2500).map(|i| 0.25 * f64::from(i % 13)).collect();
    let stepwise = Stepwise {
        enter: Some(statistic(0.05)),
        leave: None,
        most: 20,
    };
    let spec = LogisticSpec {
        row_weights: vec![RowWeights { party: 0, max: 3.0 }],
        // a sample of the rows
        hessian_rows: Some(1500),
        ..with_errors()
    };
    let (made, _) = joint_weighted(&s, &[0, 3, 6], &spec, stepwise, Some(weights.clone())).await;
    let (steps, _) = pooled(&s, Some(&weights), (&stepwise, 1.0));
    assert!(steps.len() >= 2, "{steps:?}");
    for m in &made {
        assert_eq!(m.as_ref().unwrap().1, moved(&[0, 3, 6], &steps));
    }
}

#[tokio::test]
async fn what_nearly_says_the_same_as_the_model_never_enters() {
    // columns of different parties: nobody could see it alone
    for (noise, enters) in [(0.0, false), (1e-3, false), (0.02, false), (0.2, true)] {
        let mut s = sparse(1200, 5, 31);
        for row in s.x.chunks_exact_mut(5) {
            row[1] = row[3] + noise * row[1];
        }
        let stepwise = Stepwise {
            enter: Some(1e-3),
            leave: None,
            most: 20,
        };
        for cuts in [&[0, 2, 5][..], &[0, 1, 3, 5]] {
            // with a large ridge even a copy keeps a share, which is the ridge's
            let spec = LogisticSpec {
                l2: 0.01,
                ..with_errors()
            };
            let (made, _) = joint(&s, cuts, &spec, stepwise).await;
            let (steps, stays) = pooled(&s, None, (&stepwise, 0.01));
            let both = stays.contains(&1) && stays.contains(&3);
            assert_eq!(both, enters, "{noise}: {steps:?}");
            // of two that are the same to rounding either may be the one
            let places = |steps: &[Moved]| -> Vec<usize> {
                let place = |m: &Moved| match cuts[m.party] + m.column {
                    3 if noise < 0.01 => 1,
                    place => place,
                };
                steps.iter().map(place).collect()
            };
            let want = places(&moved(cuts, &steps));
            for m in &made {
                assert_eq!(places(&m.as_ref().unwrap().1), want, "{noise}");
            }
        }
    }
}

#[tokio::test]
async fn a_column_of_zeros_never_enters_and_rules_without_steps_are_refused() {
    let mut s = sparse(600, 4, 3);
    s.x.chunks_exact_mut(4).for_each(|row| row[3] = 0.0);
    let all = Stepwise {
        enter: Some(0.0),
        leave: None,
        most: 9,
    };
    let spec = LogisticSpec {
        l2: 1e-3,
        ..LogisticSpec::default()
    };
    let (made, _) = joint(&s, &[0, 2, 4], &spec, all).await;
    for m in made {
        let moved = m.unwrap().1;
        assert!(moved.len() <= 4, "{moved:?}");
        // its ridge is all the curvature it has, and its slope nothing: it is the last
        let zeros = |m: &Moved| (m.party, m.column) == (1, 1);
        assert!(moved.iter().take(3).all(|m| !zeros(m)), "{moved:?}");
    }
    let none = Stepwise {
        enter: None,
        leave: None,
        most: 9,
    };
    let (made, _) = joint(&s, &[0, 2, 4], &LogisticSpec::default(), none).await;
    for m in made {
        assert!(m.unwrap_err().to_string().contains("enter or leave"));
    }
}

#[tokio::test]
async fn all_columns_may_leave_and_a_penalty_lets_none() {
    let s = sparse(120, 4, 3);
    let stepwise = Stepwise {
        enter: None,
        leave: Some(32.0),
        most: 9,
    };
    let (made, _) = joint(&s, &[0, 2, 4], &with_errors(), stepwise).await;
    let (fit, left) = made[0].as_ref().unwrap();
    assert_eq!(
        (left.len(), pooled(&s, None, (&stepwise, 1.0)).0.len()),
        (4, 4)
    );
    assert!(fit.coefficients.is_empty() && fit.intercept.is_some());
    let held = LogisticSpec {
        l1: 5.0,
        ..LogisticSpec::default()
    };
    let (made, _) = joint(&s, &[0, 2, 4], &held, stepwise).await;
    for m in made {
        assert!(m.unwrap_err().to_string().contains("no L1 penalty"));
    }
}
