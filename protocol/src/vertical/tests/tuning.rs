//! Trials against the same trials in the clear.

use super::*;
use crate::vertical::{
    logistic::train_tuned,
    tuning::{Rule, Tuned, Tuning, stratified},
};

/// Mean squared errors of the plain fits on the other folds.
fn plain(s: &Sample, folds: &[u8], tuning: &Tuning) -> Vec<Vec<f64>> {
    let one = |l2: f64, fold: usize| {
        let counts: Vec<f64> = folds
            .iter()
            .map(|f| f64::from(u8::from(usize::from(*f) != fold)))
            .collect();
        let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
        let set = set.with_weights(&counts).unwrap();
        let options = FitOptions {
            l2,
            ..FitOptions::default()
        };
        let model = logistic::fit(&set, &options).unwrap().model;
        let (mut sum, mut rows) = (0.0, 0);
        for ((x, y), count) in s.x.chunks_exact(s.d).zip(&s.y).zip(&counts) {
            if *count == 0.0 {
                let z = x.iter().zip(&model.coefficients).map(|(x, w)| x * w);
                let z = z.sum::<f64>() + model.intercept;
                sum += (logistic::sigmoid(z) - f64::from(*y)).powi(2);
                rows += 1;
            }
        }
        sum / f64::from(rows)
    };
    let of = |l2: &f64| (0..tuning.folds).map(|fold| one(*l2, fold)).collect();
    tuning.l2.iter().map(of).collect()
}

#[tokio::test]
async fn trials_are_those_in_the_clear_and_the_choice_is_fitted() {
    let s = sample(900, 7, 11);
    let tuning = Tuning {
        folds: 3,
        l2: vec![0.5, 30.0, 3_000.0],
        rule: Rule::OneStandardError,
    };
    let order: Vec<usize> = (0..900).map(|i| (i * 467) % 900).collect();
    let folds = stratified(&s.y, tuning.folds, &order);
    let want = plain(&s, &folds, &tuning);
    for cuts in [vec![0, 4, 7], vec![0, 2, 5, 7]] {
        let parties = cuts.len() - 1;
        let world = World::new(parties as u8);
        let inputs: Vec<(Vec<f64>, usize)> = cuts
            .windows(2)
            .map(|c| (columns(&s, c[0], c[1]), c[1] - c[0]))
            .collect();
        let (y, given, asked) = (s.y.clone(), folds.clone(), tuning.clone());
        let book = AllowAll::default();
        let seen = book.clone();
        let n = parties as u8;
        let got: Vec<Result<(LogisticFit, Tuned), Abort>> = world
            .run(
                move |me, ctx| {
                    let (x, cols) = inputs[me].clone();
                    let label = (me == 0).then(|| y.clone());
                    let folds = (me == 0).then(|| given.clone());
                    let (tuning, book) = (asked.clone(), book.clone());
                    async move {
                        let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                        let ledger = if me == 0 { book } else { AllowAll::default() };
                        let mut e = crate::arith::Engine::new(&ctx, source, Box::new(ledger))?;
                        let input = LogisticInput {
                            x,
                            cols,
                            rows: 900,
                            label,
                            row_weights: None,
                            offset: None,
                            signs: Vec::new(),
                        };
                        let spec = LogisticSpec::default();
                        let trials = (&tuning, folds);
                        let done =
                            train_tuned(&mut e, &spec, trials, input, &mut |_, _, _| {}).await?;
                        e.source_mut().done().await?;
                        Ok(done)
                    }
                },
                move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
            )
            .await;
        let got: Vec<_> = got.into_iter().map(|g| g.unwrap()).collect();
        for (_, tuned) in &got {
            assert_eq!(*tuned, got[0].1);
            for (joint, plain) in tuned.losses.iter().flatten().zip(want.iter().flatten()) {
                assert!((joint - plain).abs() < 2e-4, "{joint} {plain}");
            }
        }
        let tuned = &got[0].1;
        assert!(tuned.chosen < 2, "{tuned:?}");
        // nine sums, to all, and nothing else that training does not open
        let opened = seen.opened();
        let trials: Vec<_> = opened
            .iter()
            .filter(|(o, ..)| matches!(o, Opening::TrialLoss { .. }))
            .collect();
        assert!(trials.iter().all(|(_, _, values)| *values == 1));
        assert_eq!(trials.len(), 9);
        let bits = opened
            .iter()
            .filter(|(o, ..)| matches!(o, Opening::Converged { .. } | Opening::RangeExceeded))
            .count();
        assert_eq!(opened.len(), bits + 9 + parties);
        // the model is that of the ridge chosen
        let spec = LogisticSpec {
            l2: tuned.l2[tuned.chosen],
            ..LogisticSpec::default()
        };
        let (fits, _) = joint(&World::new(n), &s, &cuts, &spec).await;
        for (fit, (tuned, _)) in fits.into_iter().zip(&got) {
            let fit = fit.unwrap();
            for (a, b) in fit.coefficients.iter().zip(&tuned.coefficients) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}
