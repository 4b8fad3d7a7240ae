mod leakage;
mod resume;
mod weights;

use ndarray::Array2;

use super::{Hidden, NetworkFit, NetworkInput, NetworkSpec, Schedule, plain, train};
use crate::{
    abort::Abort,
    arith::{Engine, Opening},
    channel::Role,
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{
        World,
        dealt::{AllowAll, seeds},
    },
    vertical::row_weights::RowWeights,
};

/// Columns of mean 0 and deviation 1, and a label that depends on a product of two of them.
fn sample(rows: usize, d: usize, seed: u64) -> (Array2<f64>, Vec<u8>) {
    let mut s = seed | 1;
    let mut uniform = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    let x = Array2::from_shape_fn((rows, d), |_| (uniform() - 0.5) * 12f64.sqrt());
    let y = x
        .rows()
        .into_iter()
        .map(|r| {
            let z = 1.5 * r[0] * r[d - 1] + r[1] - 0.5;
            u8::from(uniform() < 1.0 / (1.0 + (-z).exp()))
        })
        .collect();
    (x, y)
}

fn spec() -> NetworkSpec {
    NetworkSpec {
        hidden: vec![6, 4],
        activation: Hidden::Tanh,
        epochs: 6,
        batch: 32,
        rate: 0.1,
        schedule: Schedule::Constant,
        momentum: 0.8,
        l2: 0.5,
        dropout: 0.0,
        seed: 11,
        validation_tenths: 0,
        patience: 0,
        score_step_log2: Some(16),
        row_weights: Vec::new(),
    }
}

async fn joint(
    world: &World,
    spec: &NetworkSpec,
    data: (&Array2<f64>, &[u8], &Array2<f64>),
    cuts: &[usize],
) -> (Vec<Result<NetworkFit, Abort>>, AllowAll) {
    joint_given(world, spec, data, cuts, vec![None; cuts.len() - 1]).await
}

/// With weights of rows by party.
async fn joint_given(
    world: &World,
    spec: &NetworkSpec,
    data: (&Array2<f64>, &[u8], &Array2<f64>),
    cuts: &[usize],
    weights: Vec<Option<Vec<f64>>>,
) -> (Vec<Result<NetworkFit, Abort>>, AllowAll) {
    let (x, y, test) = data;
    let part = |x: &Array2<f64>, c: &[usize]| -> Vec<f64> {
        let part = x.slice(ndarray::s![.., c[0]..c[1]]);
        part.iter().copied().collect()
    };
    let inputs: Vec<_> = cuts
        .windows(2)
        .map(|c| (part(x, c), part(test, c), c[1] - c[0]))
        .collect();
    let (rows, test_rows, y, spec) = (x.nrows(), test.nrows(), y.to_vec(), spec.clone());
    let (book, n) = (AllowAll::default(), inputs.len() as u8);
    let ledger = book.clone();
    let fits = world.run(
        move |me, ctx| {
            let (x, test, cols) = inputs[me].clone();
            let label = (me == 0).then(|| y.clone());
            let (spec, book) = (spec.clone(), book.clone());
            let row_weights = weights[me].clone();
            async move {
                let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                let ledger = if me == 0 { book } else { AllowAll::default() };
                let mut e = Engine::new(&ctx, source, Box::new(ledger))?;
                let input = NetworkInput {
                    x,
                    cols,
                    rows,
                    label,
                    row_weights,
                    test,
                    test_rows,
                };
                let fit = train(&mut e, &spec, input, &mut |_, _, _| {}).await?;
                e.source_mut().done().await?;
                Ok(fit)
            }
        },
        move |ctx| async move { deal(&ctx, &seeds(n)).await.map(drop) },
    );
    (fits.await, ledger)
}

/// Largest difference of any released weight, and of any score.
fn differences(fits: &[NetworkFit], twin: &plain::Plain, test: &Array2<f64>) -> [f64; 2] {
    let far = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        a.iter()
            .zip(b)
            .fold(0.0f64, |m, (a, b)| m.max((a - b).abs()))
    };
    let first: Vec<f64> = fits.iter().flat_map(|f| f.first.weights.clone()).collect();
    let mut most = far(&first, &twin.layers[0].weights);
    most = most.max(far(&fits[0].first.biases, &twin.layers[0].biases));
    for (a, b) in fits[0].further.iter().zip(&twin.layers[1..]) {
        most = most
            .max(far(&a.weights, &b.weights))
            .max(far(&a.biases, &b.biases));
    }
    assert_eq!(fits[0].further.len() + 1, twin.layers.len());
    let scores = far(
        fits[0].scores.as_ref().unwrap(),
        &twin.log_odds(test).unwrap(),
    );
    [most, scores]
}

#[tokio::test]
async fn the_joint_network_is_the_plain_one() {
    let (x, y) = sample(420, 7, 3);
    let (test, _) = sample(50, 7, 4);
    for (cuts, change) in [
        (vec![0, 4, 7], spec()),
        // nothing but a label at party 0's one column; three and five parties
        (
            vec![0, 1, 4, 7],
            NetworkSpec {
                hidden: vec![5],
                schedule: Schedule::Cosine,
                ..spec()
            },
        ),
        (
            vec![0, 2, 3, 4, 5, 7],
            NetworkSpec {
                hidden: vec![3, 3, 2],
                momentum: 0.0,
                ..spec()
            },
        ),
        (
            vec![0, 3, 7],
            NetworkSpec {
                dropout: 0.2,
                schedule: Schedule::Linear,
                ..spec()
            },
        ),
        // rectifiers
        (
            vec![0, 4, 7],
            NetworkSpec {
                activation: Hidden::Relu,
                ..spec()
            },
        ),
        (
            vec![0, 2, 5, 7],
            NetworkSpec {
                activation: Hidden::Relu,
                dropout: 0.2,
                hidden: vec![7],
                ..spec()
            },
        ),
    ] {
        let world = World::new(cuts.len() as u8 - 1);
        let (fits, ledger) = joint(&world, &change, (&x, &y, &test), &cuts).await;
        let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
        let twin = plain::train(&change, (&x, &y), None, plain::Activation::Series).unwrap();
        let [weights, scores] = differences(&fits, &twin, &test);
        assert!(
            weights < 1e-2 && scores < 2e-2,
            "{change:?}: {weights} {scores}"
        );
        let moved = twin.layers[0]
            .weights
            .iter()
            .map(|w| w.abs())
            .fold(0.0, f64::max);
        assert!(moved > 0.5, "training moved nothing");
        // a bit an epoch; with rectifiers one of the test rows; each party's own part, once, and the scores
        let opened: Vec<Opening> = ledger.opened().iter().map(|(o, ..)| *o).collect();
        let mut want: Vec<Opening> = (1..=6)
            .map(|epoch| Opening::WithinRange { epoch })
            .collect();
        if change.activation == Hidden::Relu {
            want.push(Opening::RangeExceeded);
        }
        want.extend((0..cuts.len() as u8 - 1).map(|party| Opening::Coefficients { party }));
        want.push(Opening::Scores);
        assert_eq!(opened, want);
        assert!(
            fits[1..]
                .iter()
                .all(|f| f.scores.is_none() && f.further.is_empty())
        );
        assert!(
            fits[1..]
                .iter()
                .all(|f| f.first.biases.is_empty() && f.facts == fits[0].facts)
        );
    }
}

#[tokio::test]
async fn training_ends_when_the_watched_loss_falls_no_more() {
    let (x, y) = sample(300, 4, 9);
    let (test, _) = sample(20, 4, 10);
    let spec = NetworkSpec {
        hidden: vec![24],
        epochs: 30,
        rate: 0.5,
        validation_tenths: 3,
        patience: 3,
        l2: 0.0,
        ..spec()
    };
    let (fits, ledger) = joint(&World::new(2), &spec, (&x, &y, &test), &[0, 2, 4]).await;
    let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
    let twin = plain::train(&spec, (&x, &y), None, plain::Activation::Series).unwrap();
    let facts = &fits[0].facts;
    assert_eq!((facts.epochs, facts.best), (twin.epochs, twin.best));
    assert!(facts.epochs < 30 && facts.best + 3 == facts.epochs);
    assert_eq!((facts.train_rows, facts.validation_rows), (210, 90));
    // one bit an epoch after the first
    let bits = ledger
        .opened()
        .into_iter()
        .filter(|(o, ..)| matches!(o, Opening::Improved { .. }));
    assert_eq!(bits.count(), facts.epochs - 1);
    let [weights, scores] = differences(&fits, &twin, &test);
    assert!(weights < 2e-2 && scores < 5e-2, "{weights} {scores}");
}

#[tokio::test]
async fn a_run_that_diverges_is_stopped_after_its_epoch_and_nothing_of_it_is_released() {
    let (x, y) = sample(200, 4, 21);
    let fast = NetworkSpec {
        rate: 1.0,
        momentum: 0.99,
        epochs: 12,
        batch: 8,
        l2: 0.0,
        ..spec()
    };
    for change in [
        fast.clone(),
        NetworkSpec {
            activation: Hidden::Relu,
            ..fast.clone()
        },
        // one step of many rows that weigh much
        NetworkSpec {
            hidden: vec![24],
            rate: 1.0,
            momentum: 0.9,
            batch: 200,
            validation_tenths: 1,
            row_weights: vec![RowWeights {
                party: 0,
                max: 64.0,
            }],
            ..fast
        },
    ] {
        let heavy = (!change.row_weights.is_empty()).then(|| vec![64.0; 200]);
        let given = vec![heavy, None];
        let data = (&x, &y[..], &x);
        let (fits, ledger) = joint_given(&World::new(2), &change, data, &[0, 2, 4], given).await;
        let opened = ledger.opened();
        let last = opened
            .iter()
            .filter_map(|(o, ..)| match o {
                Opening::WithinRange { epoch } => Some(*epoch),
                _ => None,
            })
            .max()
            .unwrap();
        // the same at all parties: the epoch, and what to do
        for fit in &fits {
            let e = fit.as_ref().unwrap_err();
            assert_eq!(e.code(), "out_of_range");
            let said = e.to_string();
            assert!(said.contains(&format!("in epoch {last} of 12")), "{said}");
            assert!(said.contains("lower network.rate"), "{said}");
        }
        assert!(last < 12, "{last}");
        assert!(
            opened
                .iter()
                .all(|(o, ..)| matches!(o, Opening::WithinRange { .. } | Opening::Improved { .. }))
        );
    }
}

#[tokio::test]
async fn what_cannot_be_trained_is_refused_before_anything_is_sent() {
    let (x, y) = sample(60, 4, 2);
    for change in [
        NetworkSpec {
            hidden: vec![],
            ..spec()
        },
        NetworkSpec {
            rate: 0.0,
            ..spec()
        },
        NetworkSpec {
            rate: 1e-9,
            ..spec()
        },
        NetworkSpec {
            momentum: 1.0,
            ..spec()
        },
        NetworkSpec {
            validation_tenths: 6,
            ..spec()
        },
    ] {
        let world = World::new(2);
        let (fits, ledger) = joint(&world, &change, (&x, &y, &x), &[0, 2, 4]).await;
        assert!(fits.iter().all(|f| f.is_err()), "{change:?}");
        assert!(ledger.opened().is_empty());
        let features = world
            .log()
            .iter()
            .filter(|m| m.2.contains("features"))
            .count();
        assert_eq!(features, 0);
    }
}

#[tokio::test]
async fn nothing_that_a_party_sees_repeats_or_is_small() {
    // shares, masks and corrections are uniform words: the top bytes of all that travels are, and no word twice
    let (x, y) = sample(160, 4, 5);
    let world = World::new(2);
    let (fits, _) = joint(&world, &spec(), (&x, &y, &x), &[0, 2, 4]).await;
    assert!(fits.iter().all(Result::is_ok));
    let mut counts = [0u64; 256];
    for (_, to, tag, body) in world.log() {
        let open = ["ask-", "shape", "coefficients", "scores"];
        if to == Role::Helper || open.iter().any(|t| tag.contains(t)) {
            continue;
        }
        body.iter().for_each(|b| counts[usize::from(*b)] += 1);
    }
    let total: u64 = counts.iter().sum();
    assert!(total > 1_000_000);
    let mean = total as f64 / 256.0;
    let chi: f64 = counts
        .iter()
        .map(|c| (*c as f64 - mean).powi(2) / mean)
        .sum();
    // 255 degrees of freedom: five standard deviations
    assert!((chi - 255.0).abs() < 5.0 * (2.0f64 * 255.0).sqrt(), "{chi}");
}
