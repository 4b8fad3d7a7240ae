//! Training by mini-batches against the same in the clear.

use std::sync::{Arc, Mutex};

use super::{
    leakage::{Seen, Spill, attack, auc, leaking, of_a_run, readings, seed, seen_by, shape, told},
    *,
};
use crate::{
    arith::{Engine, Receivers},
    vertical::sgd::{SgdFit, SgdSpec, cost, plain, train},
};
use paripassu_model::metrics::Scored;

fn input(s: &Sample, cuts: &[usize], me: usize) -> LogisticInput {
    LogisticInput {
        x: columns(s, cuts[me], cuts[me + 1]),
        cols: cuts[me + 1] - cuts[me],
        rows: s.y.len(),
        label: (me == 0).then(|| s.y.clone()),
        row_weights: None,
        offset: None,
        signs: Vec::new(),
    }
}

struct Trained {
    fits: Vec<Result<SgdFit, Abort>>,
    ledger: AllowAll,
    /// What each party had counted when the last epoch was over.
    counted: Vec<crate::ctx::Cost>,
}

/// Trains; `change` changes a party's input.
async fn joint(
    s: &Sample,
    cuts: &[usize],
    spec: &SgdSpec,
    change: impl Fn(usize, &mut LogisticInput),
) -> Trained {
    let n = cuts.len() - 1;
    let mut inputs: Vec<_> = (0..n).map(|me| input(s, cuts, me)).collect();
    for (me, input) in inputs.iter_mut().enumerate() {
        change(me, input);
    }
    let inputs: Vec<_> = inputs
        .into_iter()
        .map(|i| Arc::new(Mutex::new(Some(i))))
        .collect();
    let (spec, ledger) = (spec.clone(), AllowAll::default());
    let (book, epochs) = (ledger.clone(), spec.epochs as u32);
    let counted = Arc::new(Mutex::new(vec![crate::ctx::Cost::default(); n]));
    let counts = Arc::clone(&counted);
    let fits = World::new(n as u8)
        .with_deadline(std::time::Duration::from_secs(5))
        .run(
            move |me, ctx| {
                let input = inputs[me].lock().unwrap().take().unwrap();
                let (spec, book, counts) = (spec.clone(), book.clone(), Arc::clone(&counts));
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let ledger = if me == 0 { book } else { AllowAll::default() };
                    let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                    let meter = Arc::clone(ctx.meter());
                    let mut progress = move |done: u32, _: u32, _: bool| {
                        if done == epochs {
                            counts.lock().unwrap()[me] = meter.total();
                        }
                    };
                    let fit = train(&mut e, &spec, input, &mut progress).await?;
                    e.source_mut().done().await?;
                    Ok(fit)
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(n as u8)).await.map(drop) },
        )
        .await;
    let counted = counted.lock().unwrap().clone();
    Trained {
        fits,
        ledger,
        counted,
    }
}

/// Coefficients and intercept, last, of the same training in the clear.
fn in_the_clear(s: &Sample, cuts: &[usize], spec: &SgdSpec) -> Vec<f64> {
    let order = plain::order(spec.seed, s.y.len());
    let row = |i: &usize| s.x[i * s.d..(i + 1) * s.d].to_vec();
    let x: Vec<f64> = order.iter().flat_map(row).collect();
    let y: Vec<u8> = order.iter().map(|i| s.y[*i]).collect();
    let scales: Vec<Vec<f64>> = cuts
        .windows(2)
        .enumerate()
        .map(|(p, c)| {
            plain::scale(
                &columns(s, c[0], c[1]),
                (s.y.len(), c[1] - c[0]),
                p == 0,
                spec.l2,
            )
            .unwrap()
        })
        .collect();
    plain::train(spec, (&x, &y), &scales, &plain::start(s.d, &y))
}

fn all(fits: &[Result<SgdFit, Abort>]) -> Vec<f64> {
    let fits: Vec<&SgdFit> = fits.iter().map(|f| f.as_ref().unwrap()).collect();
    assert!(
        fits[1..]
            .iter()
            .all(|f| f.facts == fits[0].facts && f.intercept.is_none())
    );
    let columns = fits.iter().flat_map(|f| f.coefficients.iter().copied());
    columns.chain(fits[0].intercept).collect()
}

fn auc_of(s: &Sample, w: &[f64]) -> f64 {
    let pd: Vec<f64> =
        s.x.chunks_exact(s.d)
            .map(|row| {
                let z: f64 = row.iter().zip(w).map(|(a, b)| a * b).sum::<f64>() + w[s.d];
                1.0 / (1.0 + (-z).exp())
            })
            .collect();
    Scored::new(&s.y, &pd).unwrap().metrics().auc
}

fn largest_gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    gaps.fold(0.0, f64::max)
}

#[tokio::test]
async fn two_to_five_parties_train_as_in_the_clear() {
    let s = sample(6000, 10, 7);
    for (cuts, l2) in [
        (&[0, 5, 10][..], 1.0),
        (&[0, 3, 6, 10], 0.0),
        (&[0, 2, 4, 6, 8, 10], 3.0),
        (&[0, 0, 10], 1.0),
        (&[0, 10, 10], 1.0),
    ] {
        let spec = SgdSpec {
            batch: 512,
            l2,
            range: (l2 > 2.0).then_some(24),
            ..SgdSpec::default()
        };
        let t = joint(&s, cuts, &spec, |_, _| {}).await;
        let (got, want) = (all(&t.fits), in_the_clear(&s, cuts, &spec));
        let gap = largest_gap(&got, &want);
        let facts = &t.fits[0].as_ref().unwrap().facts;
        assert!(gap < 1e-3, "{cuts:?}: {gap}; {facts:?}");
        assert!((auc_of(&s, &got) - auc_of(&s, &want)).abs() < 5e-4);
        // and both are near the optimum
        let (best, intercept) = plain(&s, l2);
        let best: Vec<f64> = best.into_iter().chain([intercept]).collect();
        let errors = errors_given(
            &s,
            l2,
            &[&best[10..], &best[..10]].concat(),
            &vec![1.0; 6000],
            &vec![0.0; 6000],
        );
        for j in 0..10 {
            let apart = (got[j] - best[j]).abs() / errors[j + 1];
            assert!(apart < 1.0, "{cuts:?} {j}: {apart} standard errors");
        }
        // one bit an attempt, and the coefficients: nothing else
        let opened = t.ledger.opened();
        let attempts = facts.epochs / spec.epochs;
        assert_eq!(opened.len(), attempts + cuts.len() - 1);
        let bit = (Opening::RangeExceeded, Receivers::All, 1);
        assert!(opened[..attempts].iter().all(|o| *o == bit));
    }
}

/// Levels of a category that add up to one, a column that is nearly another, and a ridge beside which data are nothing.
#[tokio::test]
async fn columns_that_hang_together_and_large_ridges_train_as_in_the_clear() {
    let mut s = sample(4000, 8, 11);
    for (i, row) in s.x.chunks_exact_mut(8).enumerate() {
        let level = i % 3;
        let of = |at: usize| if level == at { 1.4 } else { -0.7 };
        (row[0], row[1], row[2]) = (of(0), of(1), of(2));
        row[5] = row[4] + 0.05 * row[6];
    }
    for l2 in [0.01, 1.0, 1e6] {
        let spec = SgdSpec {
            batch: 400,
            l2,
            ..SgdSpec::default()
        };
        let cuts = &[0, 4, 8];
        let t = joint(&s, cuts, &spec, |_, _| {}).await;
        let (got, want) = (all(&t.fits), in_the_clear(&s, cuts, &spec));
        // along what no data tell apart, rounding of features moves coefficients, and no score
        let score = |w: &[f64], row: &[f64]| -> f64 {
            row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + w[8]
        };
        let rows = s.x.chunks_exact(8);
        let gaps = rows.map(|row| (score(&got, row) - score(&want, row)).abs());
        let gap = gaps.fold(0.0, f64::max);
        assert!(gap < 0.03, "{l2}: {gap}");
        assert!((auc_of(&s, &got) - auc_of(&s, &want)).abs() < 5e-4);
        if l2 == 1e6 {
            assert!(got[..8].iter().all(|w| w.abs() < 0.01), "{got:?}");
        }
    }
}

#[tokio::test]
async fn it_costs_what_is_declared() {
    let s = sample(1000, 7, 3);
    for (cuts, l2, range) in [
        (&[0, 3, 7][..], 1.0, 8),
        (&[0, 2, 2, 7], 0.0, 12),
        (&[0, 1, 4, 7], 2.0, 16),
    ] {
        let spec = SgdSpec {
            batch: 128,
            epochs: 4,
            range: Some(range),
            l2,
            ..SgdSpec::default()
        };
        let t = joint(&s, cuts, &spec, |_, _| {}).await;
        let widths = &t.fits[0].as_ref().unwrap().facts.widths;
        for (me, counted) in t.counted.iter().enumerate() {
            let planned = cost::of_party(&spec, 1000, widths, me, range);
            let received = planned.from_parties + planned.from_helper;
            assert_eq!(
                (planned.rounds, planned.bytes_sent, received),
                (counted.rounds, counted.bytes_sent, counted.bytes_received),
                "{cuts:?} party {me}"
            );
        }
    }
}

#[tokio::test]
async fn a_wider_range_is_tried_where_scores_leave_the_first() {
    let mut s = sample(3000, 4, 5);
    for (row, y) in s.x.chunks_exact_mut(4).zip(&mut s.y) {
        row[0] *= 4.0;
        *y = u8::from(row[0] + row[3] > 0.5);
    }
    s.y.iter_mut().step_by(400).for_each(|y| *y ^= 1);
    let spec = SgdSpec {
        batch: 300,
        rate: 1.5,
        ..SgdSpec::default()
    };
    let t = joint(&s, &[0, 2, 4], &spec, |_, _| {}).await;
    let facts = t.fits[0].as_ref().unwrap().facts.clone();
    assert!(facts.range > 8.0 && facts.epochs > 10, "{facts:?}");
    let narrow = SgdSpec {
        range: Some(8),
        ..spec
    };
    let t = joint(&s, &[0, 2, 4], &narrow, |_, _| {}).await;
    for fit in t.fits {
        let e = fit.unwrap_err();
        assert!(
            e.code() == "out_of_range" && e.to_string().contains("±8"),
            "{e}"
        );
    }
}

#[tokio::test]
async fn what_it_does_not_take_is_refused_with_what_to_do() {
    let s = sample(400, 4, 5);
    let spec = SgdSpec {
        batch: 100,
        ..SgdSpec::default()
    };
    let refused = |change: fn(usize, &mut LogisticInput), spec: SgdSpec, party: usize| {
        let s = &s;
        async move {
            let mut t = joint(s, &[0, 2, 4], &spec, change).await;
            t.fits.swap_remove(party).unwrap_err().to_string()
        }
    };
    let weights: fn(usize, &mut LogisticInput) =
        |me, input| input.row_weights = (me == 1).then(|| vec![1.0; 400]);
    assert!(
        refused(weights, spec.clone(), 1)
            .await
            .contains("weights of rows")
    );
    let offset: fn(usize, &mut LogisticInput) =
        |me, input| input.offset = (me == 0).then(|| vec![0.0; 400]);
    assert!(refused(offset, spec.clone(), 0).await.contains("offsets"));
    // one batch's rows hold all there is of a column
    let burst: fn(usize, &mut LogisticInput) = |me, input| {
        let order = plain::order(1, 400);
        for (i, row) in input.x.chunks_exact_mut(2).enumerate().filter(|_| me == 1) {
            let place = order.iter().position(|r| *r == i).unwrap();
            row[0] = if place < 50 { 3.0 } else { 0.02 * row[0] };
        }
    };
    let short = SgdSpec { batch: 50, ..spec };
    let e = refused(burst, short, 1).await;
    assert!(e.contains("solver.batch"), "{e}");
}

/// Trains two parties' columns, and keeps party `me`'s view. `run` decides all randomness.
async fn view(
    s: &Sample,
    own: usize,
    spec: &SgdSpec,
    (me, run, leak): (u8, u32, Spill),
) -> Vec<Seen> {
    let world = World::new(2);
    let inputs = [0, 1].map(|p| Arc::new(Mutex::new(Some(input(s, &[0, own, s.d], p)))));
    let spec = spec.clone();
    let fits = world
        .run(
            move |p, ctx| {
                let input = inputs[p].lock().unwrap().take().unwrap();
                let spec = spec.clone();
                leaking(leak, async move {
                    let source = HelperSource::new(&ctx, &seed(run, p as u8))?;
                    let mut e = Engine::new(&ctx, source, Box::new(AllowAll::default()))?;
                    let fit = train(&mut e, &spec, input, &mut |_, _, _| {}).await?;
                    e.source_mut().done().await?;
                    Ok(fit)
                })
            },
            move |ctx| async move { deal(&ctx, &[seed(run, 0), seed(run, 1)]).await.map(drop) },
        )
        .await;
    fits.into_iter().for_each(|f| drop(f.unwrap()));
    seen_by(&world, me)
}

/// How often the bank tells which of two data sets its partner has, and in how many cases.
async fn told_apart(runs: u32, leak: Spill) -> (f64, usize) {
    // the other data set is the partner's columns with other signs: what is opened to the bank is the same
    let first = sample(96, 4, 11);
    let mut other = sample(96, 4, 11);
    for row in other.x.chunks_exact_mut(4) {
        row[2] = -row[2];
        row[3] = -row[3];
    }
    let spec = SgdSpec {
        batch: 48,
        epochs: 3,
        ..SgdSpec::default()
    };
    let (mut features, mut class) = (Vec::new(), Vec::new());
    let mut first_shape = None;
    for run in 0..runs {
        let second = run.count_ones() % 2 == 1;
        let s = if second { &other } else { &first };
        let mut seen = view(s, 2, &spec, (0, run, leak)).await;
        let now = shape(&seen);
        assert_eq!(
            *first_shape.get_or_insert_with(|| now.clone()),
            now,
            "run {run}"
        );
        // own coefficients are declared, and their roundings are at random
        seen.retain(|s| !s.tag.contains("release/"));
        features.push(of_a_run(&seen));
        class.push(second);
    }
    told(&features, &class)
}

#[tokio::test]
async fn a_banks_view_of_all_batches_does_not_tell_two_data_sets_of_its_partner_apart() {
    let (share, cases) = told_apart(200, Spill::Nothing).await;
    let sigma = 0.5 / (cases as f64).sqrt();
    assert!((share - 0.5).abs() < 3.0 * sigma, "{share} of {cases}");
    let (share, _) = told_apart(48, Spill::Gradient).await;
    assert!(share > 0.95, "an opened gradient is not seen: {share}");
}

/// Area under the curve of the guessed labels of half the rows, and its deviation for guesses at random.
async fn labels_guessed(leak: Spill) -> (f64, f64) {
    let rows = 1200;
    let mut s = sample(rows, 5, 29);
    let noise = sample(rows, 5, 31);
    for (row, other) in s.x.chunks_exact_mut(5).zip(noise.x.chunks_exact(5)) {
        row[2..].copy_from_slice(&other[2..]);
    }
    for (y, row) in s.y.iter_mut().zip(s.x.chunks_exact(5)) {
        *y = u8::from(row[0] + row[1] > 1.0);
    }
    s.y.iter_mut().step_by(7).for_each(|y| *y ^= 1);
    // one batch: a word a row, in the order of training
    let spec = SgdSpec {
        batch: rows,
        epochs: 6,
        ..SgdSpec::default()
    };
    let seen = view(&s, 2, &spec, (1, 5000, leak)).await;
    let order = plain::order(spec.seed, rows);
    let mut features: Vec<Vec<f64>> = (2..5)
        .map(|j| order.iter().map(|i| s.x[i * 5 + j]).collect())
        .collect();
    for seen in &seen {
        for width in [8, 5, 4] {
            for values in readings(seen, width) {
                let each = values.len() / rows;
                if each > 0 && values.len() % rows == 0 {
                    for j in 0..each {
                        features.push(values.iter().skip(j).step_by(each).copied().collect());
                        features.push(values[j * rows..(j + 1) * rows].to_vec());
                    }
                }
            }
        }
    }
    assert!(features.len() > 40, "{} features", features.len());
    let class: Vec<bool> = order.iter().map(|i| s.y[*i] == 1).collect();
    let half = rows / 2;
    auc(&attack(&features, &class, half), &class[half..])
}

#[tokio::test]
async fn a_partner_cannot_guess_labels_from_all_batches() {
    let (auc, sigma) = labels_guessed(Spill::Nothing).await;
    assert!((auc - 0.5).abs() < 3.0 * sigma, "{auc} ± {sigma}");
    let (auc, _) = labels_guessed(Spill::Residual).await;
    assert!(auc > 0.95, "an opened residual is not seen: {auc}");
}
