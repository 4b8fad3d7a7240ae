//! Columns that leave on shares, beside those that leave a pooled fit.

use ndarray::Array2;
use paripassu_model::stepwise::{backward, statistic};

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
        logistic::{LogisticFit, LogisticInput, LogisticSpec},
        stepwise::{Leaver, Stepwise, train_backward},
    },
};

type Made = Vec<Result<(LogisticFit, Vec<Leaver>), Abort>>;

async fn joint(
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    stepwise: Stepwise,
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
                    row_weights: None,
                    offset: None,
                    signs: Vec::new(),
                };
                let (spec, book) = (spec.clone(), book.clone());
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let ledger = if me == 0 { book } else { AllowAll::default() };
                    let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                    let progress = &mut |_: u32, _: u32, _: bool| {};
                    let made = train_backward(&mut e, &spec, &stepwise, input, progress).await?;
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
        let s = sparse(2500, 9, 11);
        let stepwise = Stepwise {
            threshold,
            most: most as u32,
        };
        let spec = LogisticSpec {
            standard_errors: true,
            ..LogisticSpec::default()
        };
        let (made, ledger) = joint(&s, &cuts, &spec, stepwise).await;
        let x = Array2::from_shape_vec((2500, 9), s.x.clone()).unwrap();
        let (ones, zeros) = (vec![1.0; 2500], vec![0.0; 2500]);
        let want = backward((&x, &s.y), &ones, &zeros, 1.0, (threshold, most)).unwrap();
        assert!(want.len() >= 2 && want.len() < 9, "{want:?}");
        let of = |column: &usize| {
            let party = cuts[1..].iter().filter(|c| **c <= *column).count();
            Leaver {
                party,
                column: column - cuts[party],
            }
        };
        let want_left: Vec<Leaver> = want.iter().map(of).collect();
        for m in &made {
            assert_eq!(m.as_ref().unwrap().1, want_left);
        }
        // what is left is the pooled fit of these columns, standard errors too
        let stays: Vec<usize> = (0..9).filter(|j| !want.contains(j)).collect();
        let x = s.x.chunks_exact(9);
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
        // of each step which one leaves, and of the last that none does where more might
        let steps = want.len() + usize::from(want.len() < most);
        let opened = ledger.opened();
        let leaving = opened
            .iter()
            .filter(|o| matches!(o.0, Opening::Leaving { .. }));
        let leaving: Vec<_> = leaving.copied().collect();
        let expected: Vec<_> = (0..steps)
            .map(|at| {
                let step = at as u32 + 1;
                (Opening::Leaving { step }, Receivers::All, 9 - at)
            })
            .collect();
        assert_eq!(leaving, expected);
        let released = opened.iter().filter(|o| {
            matches!(
                o.0,
                Opening::Coefficients { .. } | Opening::StandardErrors { .. }
            )
        });
        assert_eq!(released.count(), 2 * made.len());
    }
}

#[tokio::test]
async fn all_columns_may_leave_and_a_penalty_lets_none() {
    let s = sparse(120, 4, 3);
    let stepwise = Stepwise {
        threshold: 32.0,
        most: 9,
    };
    let spec = LogisticSpec {
        standard_errors: true,
        ..LogisticSpec::default()
    };
    let (made, _) = joint(&s, &[0, 2, 4], &spec, stepwise).await;
    let x = Array2::from_shape_vec((120, 4), s.x.clone()).unwrap();
    let (ones, zeros) = (vec![1.0; 120], vec![0.0; 120]);
    let want = backward((&x, &s.y), &ones, &zeros, 1.0, (32.0, 9)).unwrap();
    let (fit, left) = made[0].as_ref().unwrap();
    assert_eq!((left.len(), want.len()), (4, 4));
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
