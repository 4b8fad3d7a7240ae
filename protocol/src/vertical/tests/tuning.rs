//! Trials against the same trials in the clear.

use super::*;
use paripassu_model::logistic::fit_constrained;

use crate::vertical::{
    logistic::{Method, train_tuned},
    tuning::{Rule, Tuned, Tuning, stratified},
};

/// By pair of penalties and fold: mean squared error of the plain fit on the other folds, and the columns that it leaves in.
fn plain(s: &Sample, folds: &[u8], tuning: &Tuning) -> Vec<Vec<(f64, u32)>> {
    let one = |l2: f64, l1: f64, fold: usize| {
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
        let model = match l1 > 0.0 {
            false => logistic::fit(&set, &options).unwrap().model,
            true => fit_constrained(&set, l2, l1, &vec![Sign::Free; s.d]).unwrap(),
        };
        let (mut sum, mut rows) = (0.0, 0);
        for ((x, y), count) in s.x.chunks_exact(s.d).zip(&s.y).zip(&counts) {
            if *count == 0.0 {
                let z = x.iter().zip(&model.coefficients).map(|(x, w)| x * w);
                let z = z.sum::<f64>() + model.intercept;
                sum += (logistic::sigmoid(z) - f64::from(*y)).powi(2);
                rows += 1;
            }
        }
        let kept = model.coefficients.iter().filter(|w| **w != 0.0).count();
        (sum / f64::from(rows), kept as u32)
    };
    let l1 = match tuning.l1.is_empty() {
        true => &[0.0],
        false => &tuning.l1[..],
    };
    let grid = tuning
        .l2
        .iter()
        .flat_map(|l2| l1.iter().map(|l1| (*l2, *l1)));
    grid.map(|(l2, l1)| (0..tuning.folds).map(|fold| one(l2, l1, fold)).collect())
        .collect()
}

/// All parties' fits after trials of these folds, and what was opened.
async fn tuned(
    s: &Sample,
    cuts: &[usize],
    trials: (&Tuning, &[u8]),
) -> (Vec<(LogisticFit, Tuned)>, AllowAll) {
    tuned_by(&LogisticSpec::default(), s, cuts, trials).await
}

async fn tuned_by(
    spec: &LogisticSpec,
    s: &Sample,
    cuts: &[usize],
    (tuning, folds): (&Tuning, &[u8]),
) -> (Vec<(LogisticFit, Tuned)>, AllowAll) {
    let spec = spec.clone();
    let parties = cuts.len() - 1;
    let world = World::new(parties as u8);
    let inputs: Vec<(Vec<f64>, usize)> = cuts
        .windows(2)
        .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
        .collect();
    let (y, given, asked) = (s.y.clone(), folds.to_vec(), tuning.clone());
    let book = AllowAll::default();
    let seen = book.clone();
    let (n, rows) = (parties as u8, s.y.len());
    let got: Vec<Result<(LogisticFit, Tuned), Abort>> = world
        .run(
            move |me, ctx| {
                let (x, cols) = inputs[me].clone();
                let label = (me == 0).then(|| y.clone());
                let folds = (me == 0).then(|| given.clone());
                let (tuning, book, spec) = (asked.clone(), book.clone(), spec.clone());
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
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
                    let trials = (&tuning, folds);
                    let done = train_tuned(&mut e, &spec, trials, input, &mut |_, _, _| {}).await?;
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
    }
    (got, seen)
}

/// How many trials' errors were opened, and how many numbers of columns.
fn told(seen: &AllowAll) -> (usize, usize) {
    let opened = seen.opened();
    let count = |of: fn(&Opening) -> bool| {
        let all = opened.iter().filter(|(o, ..)| of(o));
        all.inspect(|(_, _, values)| assert_eq!(*values, 1)).count()
    };
    (
        count(|o| matches!(o, Opening::TrialLoss { .. })),
        count(|o| matches!(o, Opening::TrialColumns { .. })),
    )
}

#[tokio::test]
async fn trials_are_those_in_the_clear_and_the_choice_is_fitted() {
    let s = sample(900, 7, 11);
    let tuning = Tuning {
        folds: 3,
        l2: vec![0.5, 30.0, 3_000.0],
        l1: Vec::new(),
        rule: Rule::OneStandardError,
    };
    let order: Vec<usize> = (0..900).map(|i| (i * 467) % 900).collect();
    let folds = stratified(&s.y, tuning.folds, &order);
    let want = plain(&s, &folds, &tuning);
    for (cuts, method) in [
        (vec![0, 4, 7], Method::Newton),
        (vec![0, 2, 5, 7], Method::Newton),
        (vec![0, 4, 7], Method::Accelerated),
    ] {
        let parties = cuts.len() - 1;
        let spec = LogisticSpec {
            method,
            max_passes: 400,
            ..LogisticSpec::default()
        };
        let (got, seen) = tuned_by(&spec, &s, &cuts, (&tuning, &folds)).await;
        let trials = &got[0].1;
        for (joint, (plain, _)) in trials.losses.iter().flatten().zip(want.iter().flatten()) {
            assert!((joint - plain).abs() < 2e-4, "{joint} {plain}");
        }
        assert!(trials.chosen < 2, "{trials:?}");
        assert!(trials.columns.iter().all(Vec::is_empty));
        // nine sums, to all, and nothing else that training does not open
        assert_eq!(told(&seen), (9, 0));
        let opened = seen.opened();
        let bits = opened
            .iter()
            .filter(|(o, ..)| matches!(o, Opening::Converged { .. } | Opening::RangeExceeded))
            .count();
        assert_eq!(opened.len(), bits + 9 + parties);
        // the model is that of the ridge chosen
        let spec = LogisticSpec {
            l2: trials.penalties().unwrap().l2,
            ..LogisticSpec::default()
        };
        let (fits, _) = joint(&World::new(parties as u8), &s, &cuts, &spec).await;
        for (fit, (tuned, _)) in fits.into_iter().zip(&got) {
            let fit = fit.unwrap();
            for (a, b) in fit.coefficients.iter().zip(&tuned.coefficients) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
        }
    }
}

/// A level of 25 rows, all of whose bads are in one fold: the trial without that fold ends where the level has all but no slope, from
/// where Newton's step of the next trial goes far beyond the range.
#[tokio::test]
async fn a_trial_that_strays_from_where_the_one_before_ended_begins_anew() {
    let (rows, d, rare) = (700, 6, 25);
    let mut s = sample(rows, d, 5);
    let p = rare as f64 / rows as f64;
    for (i, row) in s.x.chunks_exact_mut(d).enumerate() {
        let level = f64::from(u8::from(i < rare));
        row[d - 1] = (level - p) / (p * (1.0 - p)).sqrt();
    }
    for (i, y) in s.y.iter_mut().enumerate().take(rare) {
        *y = u8::from(i < 4);
    }
    let tuning = Tuning {
        folds: 3,
        l2: vec![0.05, 1.0],
        l1: Vec::new(),
        rule: Rule::Least,
    };
    let order: Vec<usize> = (0..rows).map(|i| (i * 467) % rows).collect();
    let mut folds = stratified(&s.y, tuning.folds, &order);
    for i in 0..4 {
        let same = |j: &usize| folds[*j] == 1 && s.y[*j] == 1;
        let other = (rare..rows).find(same).unwrap();
        if folds[i] != 1 {
            folds.swap(i, other);
        }
    }
    let want = plain(&s, &folds, &tuning);
    let spec = LogisticSpec {
        max_passes: 20,
        range_log2: Some(4),
        ..LogisticSpec::default()
    };
    let (got, _) = tuned_by(&spec, &s, &[0, 3, 6], (&tuning, &folds)).await;
    let trials = &got[0].1;
    for (joint, (plain, _)) in trials.losses.iter().flatten().zip(want.iter().flatten()) {
        assert!((joint - plain).abs() < 1e-3, "{joint} {plain}");
    }
    assert!(trials.passes > 5 * 6, "{trials:?}");
}

#[tokio::test]
async fn a_path_of_l1_penalties_is_that_in_the_clear_and_its_choice_is_fitted() {
    let s = sample(1200, 9, 3);
    let order: Vec<usize> = (0..1200).map(|i| (i * 467) % 1200).collect();
    for (cuts, l2, l1, folds) in [
        (
            vec![0, 4, 9],
            vec![1.0],
            vec![1.0, 6.0, 20.0, 60.0, 400.0],
            3,
        ),
        (vec![0, 2, 5, 9], vec![0.5, 40.0], vec![0.0, 25.0, 80.0], 2),
    ] {
        let tuning = Tuning {
            folds,
            l2,
            l1,
            rule: Rule::OneStandardError,
        };
        let drawn = stratified(&s.y, folds, &order);
        let want = plain(&s, &drawn, &tuning);
        let (got, seen) = tuned(&s, &cuts, (&tuning, &drawn)).await;
        let trials = &got[0].1;
        let (mut far, mut off) = (0.0f64, 0);
        let each = trials
            .losses
            .iter()
            .flatten()
            .zip(trials.columns.iter().flatten());
        for ((joint, kept), (plain, left)) in each.zip(want.iter().flatten()) {
            far = far.max((joint - plain).abs());
            off = off.max(kept.abs_diff(*left));
        }
        assert!(far < 2e-4 && off == 0, "{far} {off}");
        let pairs = tuning.l2.len() * tuning.l1.len();
        assert_eq!(told(&seen), (pairs * folds, pairs * folds));
        // the rule, in the clear
        let k = folds as f64;
        let mean = |of: &[(f64, u32)]| of.iter().map(|t| t.0).sum::<f64>() / k;
        let error = |of: &[(f64, u32)]| {
            let squares = of.iter().map(|t| (t.0 - mean(of)).powi(2));
            (squares.sum::<f64>() / (k - 1.0) / k).sqrt()
        };
        let by_mean = |a: &usize, b: &usize| mean(&want[*a]).total_cmp(&mean(&want[*b]));
        let best = (0..pairs).min_by(by_mean).unwrap();
        let limit = mean(&want[best]) + error(&want[best]);
        let strength = |g: usize| {
            let (l2, l1) = (g / tuning.l1.len(), g % tuning.l1.len());
            (l1, l2)
        };
        let within = (0..pairs).filter(|g| mean(&want[*g]) <= limit);
        assert_eq!(Some(trials.chosen), within.max_by_key(|g| strength(*g)));
        // and the model is that of coordinate descent with what was chosen
        let chosen = trials.penalties().unwrap();
        assert_eq!(chosen.l1 > 0.0, tuning.l1[0] > 0.0, "{chosen:?}");
        let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
        let free = vec![Sign::Free; s.d];
        let optimum = fit_constrained(&set, chosen.l2, chosen.l1, &free).unwrap();
        let fitted = got.iter().flat_map(|(fit, _)| &fit.coefficients);
        for (joint, plain) in fitted.zip(&optimum.coefficients) {
            assert_eq!(*joint == 0.0, *plain == 0.0, "{joint} {plain}");
            assert!((joint - plain).abs() < 2e-4, "{joint} {plain}");
        }
    }
}
