//! What one role's whole view of a network's training gives away, by the attackers of
//! [`crate::vertical::tests::leakage`]: nothing beside what the job declares to be opened.
//!
//! A party's own weights are declared and differ with the other party's data: where two data sets are told apart, the
//! release itself is left out of the view.

use super::*;
use crate::vertical::{
    network::public::Public,
    tests::leakage::{
        Seen, Spill, attack, auc, leaking, of_a_run, readings, seed, seen_by, shape, told,
    },
};

/// Trains on two parties' columns, and keeps party `me`'s view. `run` decides all randomness.
async fn view(
    (x, y): (&Array2<f64>, &[u8]),
    own: usize,
    spec: &NetworkSpec,
    (me, run, leak): (u8, u32, Spill),
) -> Vec<Seen> {
    let world = World::new(2);
    let part = |from: usize, to: usize| -> Vec<f64> {
        x.slice(ndarray::s![.., from..to]).iter().copied().collect()
    };
    let d = x.ncols();
    let (parts, wide) = ([part(0, own), part(own, d)], [own, d - own]);
    let (rows, y, spec) = (x.nrows(), y.to_vec(), spec.clone());
    let fits = world
        .run(
            move |p, ctx| {
                let input = NetworkInput {
                    x: parts[p].clone(),
                    cols: wide[p],
                    rows,
                    label: (p == 0).then(|| y.clone()),
                    row_weights: spec
                        .row_weights
                        .iter()
                        .any(|w| usize::from(w.party) == p)
                        .then(|| (0..rows).map(|i| 1.0 + (i % 3) as f64 / 2.0).collect()),
                    test: Vec::new(),
                    test_rows: 0,
                };
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

fn small(batch: usize, epochs: usize) -> NetworkSpec {
    NetworkSpec {
        hidden: vec![3],
        epochs,
        batch,
        score_step_log2: None,
        ..spec()
    }
}

/// The same with rectifiers, and weights of rows that both parties hold.
fn rectified(spec: NetworkSpec) -> NetworkSpec {
    NetworkSpec {
        activation: Hidden::Relu,
        row_weights: [0, 1].map(|party| RowWeights { party, max: 2.0 }).to_vec(),
        ..spec
    }
}

/// How often the bank tells which of two data sets its partner has, and in how many cases.
async fn told_apart(runs: u32, leak: Spill, spec: &NetworkSpec) -> (f64, usize) {
    let (first, y) = sample(96, 4, 11);
    let mut other = first.clone();
    other.slice_mut(ndarray::s![.., 2..]).mapv_inplace(|v| -v);
    let (mut features, mut class) = (Vec::new(), Vec::new());
    let mut first_shape = None;
    for run in 0..runs {
        let second = run.count_ones() % 2 == 1;
        let x = if second { &other } else { &first };
        let mut seen = view((x, &y), 2, spec, (0, run, leak)).await;
        let now = shape(&seen);
        assert_eq!(
            *first_shape.get_or_insert_with(|| now.clone()),
            now,
            "run {run}"
        );
        seen.retain(|s| !s.tag.contains("release/"));
        features.push(of_a_run(&seen));
        class.push(second);
    }
    told(&features, &class)
}

async fn not_told_apart(spec: &NetworkSpec) {
    let (share, cases) = told_apart(200, Spill::Nothing, spec).await;
    let sigma = 0.5 / (cases as f64).sqrt();
    assert!((share - 0.5).abs() < 3.0 * sigma, "{share} of {cases}");
    let (share, _) = told_apart(48, Spill::Gradient, spec).await;
    assert!(share > 0.95, "an opened gradient is not seen: {share}");
}

#[tokio::test]
async fn a_banks_view_of_a_network_does_not_tell_two_data_sets_of_its_partner_apart() {
    not_told_apart(&small(48, 2)).await;
}

#[tokio::test]
async fn nor_does_that_of_rectifiers_and_weights_of_rows() {
    not_told_apart(&rectified(small(48, 1))).await;
}

/// Area under the curve of the guessed labels of half the rows, and its deviation for guesses at random.
async fn labels_guessed(leak: Spill, change: fn(NetworkSpec) -> NetworkSpec) -> (f64, f64) {
    let rows = 1200;
    let (x, mut y) = sample(rows, 5, 29);
    // labels depend on the bank's columns, of which the partner's say nothing
    for (y, row) in y.iter_mut().zip(x.rows()) {
        *y = u8::from(row[0] + row[1] > 1.0);
    }
    y.iter_mut().step_by(7).for_each(|y| *y ^= 1);
    // one batch, whose rows stand in the public order
    let spec = change(small(rows, 4));
    let seen = view((&x, &y), 2, &spec, (1, 5000, leak)).await;
    let order = Public::new(spec.seed).rows(rows);
    let mut features: Vec<Vec<f64>> = (2..5)
        .map(|j| order.iter().map(|row| x[[*row, j]]).collect())
        .collect();
    for seen in &seen {
        for width in [8, 4] {
            for values in readings(seen, width) {
                let each = values.len() / rows;
                if each > 0 && values.len() % rows == 0 {
                    // by row and by column
                    for j in 0..each {
                        features.push(values.iter().skip(j).step_by(each).copied().collect());
                        features.push(values[j * rows..(j + 1) * rows].to_vec());
                    }
                }
            }
        }
    }
    assert!(features.len() > 100, "{} features", features.len());
    let class: Vec<bool> = order.iter().map(|row| y[*row] == 1).collect();
    auc(&attack(&features, &class, rows / 2), &class[rows / 2..])
}

#[tokio::test]
async fn a_feature_party_cannot_guess_labels_from_a_networks_training() {
    for change in [|spec| spec, rectified as fn(_) -> _] {
        let (auc, sigma) = labels_guessed(Spill::Nothing, change).await;
        assert!((auc - 0.5).abs() < 3.0 * sigma, "{auc} ± {sigma}");
        let (auc, _) = labels_guessed(Spill::Residual, change).await;
        assert!(auc > 0.95, "an opened residual is not seen: {auc}");
    }
}
