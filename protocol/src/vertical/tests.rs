mod accelerated;
mod hidden;
pub(super) mod leakage;
pub(super) mod memory;
mod proximal;
mod reject;
mod resume;
mod row_weights;
mod selection;
mod sgd;
mod stepwise;
mod tuning;

use std::time::Instant;

use paripassu_model::logistic::{self, FitOptions, TrainingSet};

use super::logistic::{LogisticFit, LogisticInput, LogisticSpec, Sign, Stop, train};
use crate::{
    abort::Abort,
    arith::Opening,
    channel::Role,
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{
        Intercept, World,
        dealt::{AllowAll, seeds},
    },
};

/// Correlated columns, standardised, and a label that depends on them.
struct Sample {
    x: Vec<f64>,
    d: usize,
    y: Vec<u8>,
}

fn sample(rows: usize, d: usize, seed: u64) -> Sample {
    let mut s = seed | 1;
    let mut uniform = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    let w: Vec<f64> = (0..d).map(|_| (uniform() - 0.5) * 1.2).collect();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let common = uniform() + uniform() - 1.0;
        let row: Vec<f64> = (0..d)
            .map(|j| uniform() + uniform() + uniform() - 1.5 + common * (j % 3) as f64)
            .collect();
        let z: f64 = row.iter().zip(&w).map(|(a, b)| a * b * 2.0).sum::<f64>() - 1.5;
        y.push(u8::from(uniform() < 1.0 / (1.0 + (-z).exp())));
        x.extend(row);
    }
    for j in 0..d {
        let col: Vec<f64> = x.iter().skip(j).step_by(d).copied().collect();
        let mean = col.iter().sum::<f64>() / rows as f64;
        let sd = (col.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
        x.iter_mut()
            .skip(j)
            .step_by(d)
            .for_each(|v| *v = (*v - mean) / sd);
    }
    Sample { x, d, y }
}

fn columns(s: &Sample, from: usize, to: usize) -> Vec<f64> {
    s.x.chunks_exact(s.d)
        .flat_map(|r| r[from..to].to_vec())
        .collect()
}

async fn joint(
    world: &World,
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
) -> (Vec<Result<LogisticFit, Abort>>, AllowAll) {
    let none = vec![None; cuts.len() - 1];
    joint_given(world, s, cuts, spec, none, None).await
}

/// With weights of rows by party, and offsets of the first.
async fn joint_given(
    world: &World,
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    weights: Vec<Option<Vec<f64>>>,
    offset: Option<Vec<f64>>,
) -> (Vec<Result<LogisticFit, Abort>>, AllowAll) {
    let signs = vec![Vec::new(); cuts.len() - 1];
    joint_signed(world, s, cuts, spec, (weights, offset), signs).await
}

/// With signs of coefficients by party as well.
async fn joint_signed(
    world: &World,
    s: &Sample,
    cuts: &[usize],
    spec: &LogisticSpec,
    (weights, offset): (Vec<Option<Vec<f64>>>, Option<Vec<f64>>),
    signs: Vec<Vec<Sign>>,
) -> (Vec<Result<LogisticFit, Abort>>, AllowAll) {
    let parties = cuts.len() - 1;
    let inputs: Vec<(Vec<f64>, usize)> = cuts
        .windows(2)
        .map(|c| (columns(s, c[0], c[1]), c[1] - c[0]))
        .collect();
    let (rows, y, spec) = (s.y.len(), s.y.clone(), spec.clone());
    let ledger = AllowAll::default();
    let (book, n) = (ledger.clone(), parties as u8);
    let fits = world
        .run(
            move |me, ctx| {
                let (x, cols) = inputs[me].clone();
                let label = (me == 0).then(|| y.clone());
                let (spec, book) = (spec.clone(), book.clone());
                let row_weights = weights[me].clone();
                let signs = signs[me].clone();
                let offset = offset.clone().filter(|_| me == 0);
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let ledger = if me == 0 { book } else { AllowAll::default() };
                    let mut e = crate::arith::Engine::new(&ctx, source, Box::new(ledger))?;
                    let input = LogisticInput {
                        x,
                        cols,
                        rows,
                        label,
                        row_weights,
                        offset,
                        signs,
                    };
                    let fit = train(&mut e, &spec, input, &mut |_, _, _| {}).await?;
                    e.source_mut().done().await?;
                    Ok(fit)
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
        )
        .await;
    (fits, ledger)
}

fn plain(s: &Sample, l2: f64) -> (Vec<f64>, f64) {
    let set = TrainingSet::from_slice(&s.x, s.d, &s.y).unwrap();
    let fit = logistic::fit(
        &set,
        &FitOptions {
            l2,
            ..FitOptions::default()
        },
    )
    .unwrap();
    (fit.model.coefficients, fit.model.intercept)
}

fn assert_lands(fits: Vec<Result<LogisticFit, Abort>>, s: &Sample, l2: f64, tol: f64) {
    let fits: Vec<LogisticFit> = fits.into_iter().map(|f| f.unwrap()).collect();
    let (want, intercept) = plain(s, l2);
    let got: Vec<f64> = fits.iter().flat_map(|f| f.coefficients.clone()).collect();
    assert_eq!(got.len(), want.len());
    for (j, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!(
            (g - w).abs() < tol,
            "coefficient {j}: {g} instead of {w}; {:?}",
            fits[0].facts
        );
    }
    assert!((fits[0].intercept.unwrap() - intercept).abs() < tol);
    assert!(
        fits[1..]
            .iter()
            .all(|f| f.intercept.is_none() && f.facts == fits[0].facts)
    );
}

#[tokio::test]
async fn two_parties_land_on_the_pooled_optimum() {
    let s = sample(3000, 11, 7);
    let (fits, ledger) = joint(&World::new(2), &s, &[0, 5, 11], &LogisticSpec::default()).await;
    let passes = fits[0].as_ref().unwrap().facts.passes;
    assert_lands(fits, &s, 1.0, 1e-4);
    // one bit a pass from the third on, one bit of range, and the coefficients: nothing else
    let opened = ledger.opened();
    let bits = opened
        .iter()
        .filter(|(o, _, _)| matches!(o, Opening::Converged { .. }))
        .count();
    assert_eq!(bits, passes as usize - 2);
    assert_eq!(
        opened
            .iter()
            .filter(|(o, _, _)| *o == Opening::RangeExceeded)
            .count(),
        1
    );
    assert_eq!(opened.len(), bits + 1 + 2);
}

#[tokio::test]
async fn three_to_five_parties_land_there_too() {
    let s = sample(1500, 10, 3);
    for cuts in [&[0, 3, 6, 10][..], &[0, 2, 4, 6, 8, 10][..]] {
        let world = World::new(cuts.len() as u8 - 1);
        let (fits, _) = joint(&world, &s, cuts, &LogisticSpec::default()).await;
        assert_lands(fits, &s, 1.0, 1e-4);
    }
}

#[tokio::test]
async fn a_bank_without_columns_of_its_own_may_hold_the_label() {
    // the intercept is the only column of the bank's
    let s = sample(800, 4, 5);
    let (fits, _) = joint(&World::new(2), &s, &[0, 0, 4], &LogisticSpec::default()).await;
    assert_lands(fits, &s, 1.0, 1e-4);
}

#[tokio::test]
async fn a_fixed_number_of_passes_opens_one_bit() {
    let s = sample(1000, 6, 9);
    let spec = LogisticSpec {
        stop: Stop::After(9),
        ..LogisticSpec::default()
    };
    let (fits, ledger) = joint(&World::new(2), &s, &[0, 3, 6], &spec).await;
    assert_lands(fits, &s, 1.0, 1e-4);
    assert_eq!(ledger.opened().len(), 1 + 1 + 2);
    let spec = LogisticSpec {
        stop: Stop::After(2),
        range_log2: Some(4),
        ..LogisticSpec::default()
    };
    let (fits, _) = joint(&World::new(2), &s, &[0, 3, 6], &spec).await;
    for f in fits {
        assert_eq!(f.unwrap_err().code(), "not_converged");
    }
}

#[tokio::test]
async fn a_partner_without_columns_changes_nothing() {
    let s = sample(800, 4, 5);
    let (fits, _) = joint(&World::new(2), &s, &[0, 4, 4], &LogisticSpec::default()).await;
    assert_lands(fits, &s, 1.0, 1e-4);
}

#[tokio::test]
async fn rare_bads_and_correlated_columns_settle() {
    // noise in the residual would keep steps above the tolerance
    let mut s = sample(9000, 12, 12);
    s.y.iter_mut()
        .enumerate()
        .for_each(|(i, y)| *y &= u8::from(i % 5 == 0));
    for row in s.x.chunks_exact_mut(12) {
        row[11] = 0.98 * row[0] + 0.2 * row[11];
    }
    let (fits, _) = joint(&World::new(2), &s, &[0, 6, 12], &LogisticSpec::default()).await;
    assert!(fits[0].as_ref().unwrap().facts.passes < 20);
    assert_lands(fits, &s, 1.0, 3e-4);
}

/// Square roots of the diagonal of the inverse Hessian at the optimum, ridge included, the intercept first.
fn plain_errors(s: &Sample, l2: f64) -> Vec<f64> {
    let (w, intercept) = plain(s, l2);
    let model: Vec<f64> = std::iter::once(intercept).chain(w).collect();
    let n = s.y.len();
    errors_given(s, l2, &model, &vec![1.0; n], &vec![0.0; n])
}

/// At a model of intercept and coefficients, with weights of rows and offsets.
fn errors_given(s: &Sample, l2: f64, model: &[f64], weights: &[f64], offset: &[f64]) -> Vec<f64> {
    let d = s.d + 1;
    let mut h = vec![vec![0.0; 2 * d]; d];
    for (row, (v, o)) in s.x.chunks_exact(s.d).zip(weights.iter().zip(offset)) {
        let x: Vec<f64> = std::iter::once(1.0).chain(row.iter().copied()).collect();
        let z: f64 = x.iter().zip(model).map(|(x, w)| x * w).sum::<f64>() + o;
        let p = 1.0 / (1.0 + (-z).exp());
        for i in 0..d {
            for j in 0..d {
                h[i][j] += v * p * (1.0 - p) * x[i] * x[j];
            }
        }
    }
    for i in 0..d {
        h[i][i] += if i == 0 { 0.0 } else { l2 };
        h[i][d + i] = 1.0;
    }
    for i in 0..d {
        let pivot = h[i][i];
        h[i].iter_mut().for_each(|v| *v /= pivot);
        let line = h[i].clone();
        for (_, other) in h.iter_mut().enumerate().filter(|(k, _)| *k != i) {
            let factor = other[i];
            other
                .iter_mut()
                .zip(&line)
                .for_each(|(o, l)| *o -= factor * l);
        }
    }
    (0..d).map(|i| h[i][d + i].sqrt()).collect()
}

#[tokio::test]
async fn standard_errors_are_those_of_the_pooled_fit() {
    for (cuts, l2) in [(vec![0, 5, 11], 1.0), (vec![0, 3, 4, 11], 0.001)] {
        let s = sample(3000, 11, 7);
        let spec = LogisticSpec {
            standard_errors: true,
            l2,
            ..LogisticSpec::default()
        };
        let parties = cuts.len() as u8 - 1;
        let (fits, ledger) = joint(&World::new(parties), &s, &cuts, &spec).await;
        let errors: Vec<_> = fits
            .iter()
            .map(|f| f.as_ref().unwrap().errors.clone().unwrap())
            .collect();
        let got: Vec<f64> = errors[0]
            .intercept
            .into_iter()
            .chain(errors.iter().flat_map(|e| e.columns.clone()))
            .collect();
        let want = plain_errors(&s, l2);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert!((got / want - 1.0).abs() < 2e-3, "{got} instead of {want}");
        }
        assert!(errors[1..].iter().all(|e| e.intercept.is_none()));
        for party in 0..parties {
            let opened = ledger.opened();
            let one = opened
                .iter()
                .filter(|o| o.0 == Opening::StandardErrors { party });
            assert_eq!(one.count(), 1);
        }
    }
}

#[tokio::test]
async fn a_subsampled_hessian_lands_there_too() {
    let s = sample(6000, 8, 2);
    let spec = LogisticSpec {
        hessian_rows: Some(600),
        ..LogisticSpec::default()
    };
    let (fits, _) = joint(&World::new(2), &s, &[0, 4, 8], &spec).await;
    assert_lands(fits, &s, 1.0, 1e-4);
}

#[tokio::test]
async fn tails_that_a_sample_of_rows_lacks_are_found_with_all_rows() {
    let mut s = sample(4000, 6, 21);
    // one column that is nearly constant but for a few late rows
    for (i, row) in s.x.chunks_exact_mut(6).enumerate() {
        row[5] = if i % 401 == 400 { 20.0 } else { -0.05 };
    }
    let spec = LogisticSpec {
        hessian_rows: Some(300),
        ..LogisticSpec::default()
    };
    let (fits, _) = joint(&World::new(2), &s, &[0, 3, 6], &spec).await;
    assert_eq!(fits[0].as_ref().unwrap().facts.hessian_rows, 4000);
    assert_lands(fits, &s, 1.0, 2e-4);
}

#[tokio::test]
async fn separated_data_leave_the_range_and_are_refused() {
    let mut s = sample(500, 4, 8);
    // the first column decides the label, far from the boundary
    for (row, y) in s.x.chunks_exact_mut(4).zip(&s.y) {
        row[0] = if *y == 1 { 3.0 } else { -3.0 } + row[0] * 0.1;
    }
    let spec = LogisticSpec {
        l2: 1e-4,
        range_log2: Some(3),
        ..LogisticSpec::default()
    };
    let (fits, _) = joint(&World::new(2), &s, &[0, 2, 4], &spec).await;
    for f in fits {
        let code = f.unwrap_err().code();
        assert!(["out_of_range", "not_converged"].contains(&code), "{code}");
    }
}

#[tokio::test]
async fn unusable_input_is_refused_by_its_owner() {
    let mut s = sample(300, 4, 4);
    s.y[7] = 2;
    let (fits, _) = joint(
        &World::new(2).with_deadline(std::time::Duration::from_millis(300)),
        &s,
        &[0, 2, 4],
        &LogisticSpec::default(),
    )
    .await;
    assert_eq!(fits[0].as_ref().unwrap_err().code(), "input");
    assert_eq!(
        fits[1].as_ref().unwrap_err().culprit(),
        Some(Role::Party(0))
    );
}

#[tokio::test]
async fn too_few_rows_for_a_party_s_columns_are_refused_by_all() {
    let s = sample(50, 6, 6);
    let (fits, _) = joint(&World::new(2), &s, &[0, 0, 6], &LogisticSpec::default()).await;
    for f in fits {
        let e = f.unwrap_err();
        assert!(
            e.code() == "input" && e.to_string().contains("10 rows a column"),
            "{e}"
        );
    }
}

#[tokio::test]
async fn what_parties_send_is_uniform_and_holds_no_planted_value() {
    let s = sample(2000, 6, 6);
    let world = World::new(2);
    let (fits, _) = joint(&world, &s, &[0, 3, 6], &LogisticSpec::default()).await;
    assert_lands(fits, &s, 1.0, 1e-4);
    let mut counts = [0u64; 256];
    let mut total = 0u64;
    for (from, to, tag, body) in world.log() {
        let public = tag.contains("shape") || tag.contains("ask-") || tag.contains("open-bit");
        if public || from == Role::Helper || to == Role::Helper {
            continue;
        }
        body.iter().for_each(|b| counts[usize::from(*b)] += 1);
        total += body.len() as u64;
    }
    let mean = total as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|c| (*c as f64 - mean).powi(2) / mean)
        .sum();
    // 255 degrees of freedom: mean 255, s.d. 22.6; the bound is exceeded once in 10^9
    assert!(
        chi2 < 255.0 + 6.5 * 22.6,
        "chi-squared {chi2} over {total} bytes"
    );
}

#[tokio::test]
async fn a_message_cut_short_names_its_sender() {
    for part in [
        "phase", "product", "truncate", "multiply", "compare", "and", "masked",
    ] {
        let world = World::new(2)
            .with_deadline(std::time::Duration::from_millis(800))
            .with_attack(move |from, to, tag, body| {
                let hit = from == Role::Party(1) && to == Role::Party(0);
                match hit && tag.as_str().contains(part) && !body.is_empty() {
                    true => Intercept::Replace(body.slice(..body.len() - 1)),
                    false => Intercept::Pass,
                }
            });
        let s = sample(200, 4, 4);
        let (fits, _) = joint(&world, &s, &[0, 2, 4], &LogisticSpec::default()).await;
        let e = fits[0].as_ref().unwrap_err();
        assert_eq!(
            (e.code(), e.culprit()),
            ("malformed", Some(Role::Party(1))),
            "{part}: {e}"
        );
    }
}

#[tokio::test]
async fn a_changed_message_never_gives_a_model_silently() {
    // a passive adversary is assumed; a flipped high bit must all the same end in an error
    let world = World::new(2).with_attack(|from, _, tag, body| {
        match from == Role::Party(1)
            && tag.as_str().contains("pass-2/")
            && tag.as_str().contains("truncate")
        {
            true => {
                let mut b = body.to_vec();
                b.iter_mut().skip(7).step_by(8).for_each(|x| *x ^= 0x40);
                Intercept::Replace(b.into())
            }
            false => Intercept::Pass,
        }
    });
    let s = sample(400, 4, 4);
    let spec = LogisticSpec {
        max_passes: 6,
        range_log2: Some(4),
        ..LogisticSpec::default()
    };
    let start = Instant::now();
    let (fits, _) = joint(&world, &s, &[0, 2, 4], &spec).await;
    let (want, _) = plain(&s, 1.0);
    for f in fits {
        match f {
            Err(e) => assert!(["not_converged", "out_of_range"].contains(&e.code()), "{e}"),
            Ok(f) => f.coefficients.iter().for_each(|c| {
                assert!(
                    want.iter().any(|w| (w - c).abs() < 1e-3),
                    "a wrong model was released"
                );
            }),
        }
    }
    assert!(start.elapsed().as_secs() < 60);
}
