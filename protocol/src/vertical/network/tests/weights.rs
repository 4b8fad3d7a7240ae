//! Weights of rows in a network.

use super::*;

/// Trains with these weights, and compares with the plain network of the product of all.
async fn compared(cuts: &[usize], change: &NetworkSpec, given: Vec<Option<Vec<f64>>>) {
    let (x, y) = sample(420, 7, 3);
    let (test, _) = sample(50, 7, 4);
    let data = (&x, &y[..], &test);
    let world = World::new(cuts.len() as u8 - 1);
    let (fits, ledger) = joint_given(&world, change, data, cuts, given.clone()).await;
    let fits: Vec<_> = fits.into_iter().map(Result::unwrap).collect();
    let mut all = vec![1.0; x.nrows()];
    for weights in given.iter().flatten() {
        all.iter_mut().zip(weights).for_each(|(a, w)| *a *= w);
    }
    let plain = |weights| plain::train(change, (&x, &y), weights, plain::Activation::Series);
    let twin = plain(Some(&all)).unwrap();
    let [weights, scores] = differences(&fits, &twin, &test);
    assert!(
        weights < 1e-2 && scores < 2e-2,
        "{change:?}: {weights} {scores}"
    );
    assert_eq!(
        (fits[0].facts.epochs, fits[0].facts.best),
        (twin.epochs, twin.best)
    );
    // and not that of equal weights
    let equal = NetworkSpec {
        row_weights: Vec::new(),
        ..change.clone()
    };
    let equal = plain::train(&equal, (&x, &y), None, plain::Activation::Series).unwrap();
    let far = twin.layers[0].weights.iter().zip(&equal.layers[0].weights);
    assert!(far.fold(0.0f64, |m, (a, b)| m.max((a - b).abs())) > 0.05);
    assert!(ledger.opened().iter().all(|(opening, ..)| matches!(
        opening,
        Opening::WithinRange { .. }
            | Opening::Improved { .. }
            | Opening::RangeExceeded
            | Opening::Coefficients { .. }
            | Opening::Scores
    )));
}

#[tokio::test]
async fn weights_of_rows_and_classes_lead_to_the_weighted_network() {
    let (x, y) = sample(420, 7, 3);
    // a bad counts three times, whatever else its row weighs: a weight that the last party alone knows
    let class: Vec<f64> = y.iter().map(|y| 1.0 + 2.0 * f64::from(*y)).collect();
    let row: Vec<f64> = (0..x.nrows())
        .map(|i| ((i * 37) % 19) as f64 / 10.0)
        .collect();
    let of = |party: u8, max: f64| RowWeights { party, max };
    let classes = NetworkSpec {
        rate: 0.05,
        row_weights: vec![of(0, 3.0)],
        ..spec()
    };
    compared(&[0, 4, 7], &classes, vec![Some(class.clone()), None]).await;
    // both, with rectifiers and rows that are watched
    let both = NetworkSpec {
        activation: Hidden::Relu,
        row_weights: vec![of(0, 3.0), of(2, 2.0)],
        validation_tenths: 2,
        ..classes
    };
    compared(&[0, 2, 5, 7], &both, vec![Some(class), None, Some(row)]).await;
}

#[tokio::test]
async fn rows_without_weight_count_for_nothing() {
    // half of the rows have labels turned over, and no weight
    let (x, mut y) = sample(420, 7, 3);
    let (test, _) = sample(50, 7, 4);
    let counts: Vec<f64> = (0..420).map(|i| f64::from(i % 2)).collect();
    let change = NetworkSpec {
        row_weights: vec![RowWeights { party: 1, max: 1.0 }],
        ..spec()
    };
    let mut fits = Vec::new();
    for turned in [0, 1] {
        y.iter_mut().step_by(2).for_each(|y| *y ^= turned);
        let given = vec![None, Some(counts.clone())];
        let data = (&x, &y[..], &test);
        let (fit, _) = joint_given(&World::new(2), &change, data, &[0, 4, 7], given).await;
        fits.push(fit.into_iter().next().unwrap().unwrap().scores.unwrap());
    }
    let far = fits[0].iter().zip(&fits[1]).map(|(a, b)| (a - b).abs());
    assert!(far.fold(0.0, f64::max) < 2e-2);
}

#[tokio::test]
async fn weights_that_cannot_be_used_are_refused() {
    let (x, y) = sample(300, 4, 5);
    let few: Vec<f64> = (0..300).map(|i| f64::from(u8::from(i % 20 == 0))).collect();
    let change = NetworkSpec {
        row_weights: vec![RowWeights { party: 1, max: 2.0 }],
        ..spec()
    };
    let mut heavy = vec![1.0; 300];
    heavy[7] = 2.5;
    for (weights, want) in [
        (Some(few), "count as fewer than 10 rows a column"),
        (Some(heavy), "not between 0 and the declared largest, 2"),
        (None, "0 weights of 300 rows where all are declared"),
    ] {
        let brief = std::time::Duration::from_millis(300);
        let world = World::new(2).with_deadline(brief);
        let given = vec![None, weights];
        let data = (&x, &y[..], &x);
        let (fits, _) = joint_given(&world, &change, data, &[0, 2, 4], given).await;
        let said = fits[1].as_ref().unwrap_err().to_string();
        assert!(said.contains(want), "{said}");
    }
}
