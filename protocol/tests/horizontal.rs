//! Federated Newton against an independent reference on real data: scikit-learn's optimum on the pooled rows,
//! for every horizontal split that the reference names.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::{sync::Arc, time::Duration};

use paripassu_model::{
    design::Design,
    logistic::{self, FitOptions, TrainingSet},
};
use paripassu_protocol::{
    horizontal::{
        newton::{self, NewtonFit, NewtonSpec, Rows},
        prepare::{Book, Joint, prepare},
        secagg::{Client, Params, serve},
    },
    testing::{World, dealt::AllowAll},
};
use zeroize::Zeroizing;

mod reference;

use reference::{KEEP, Set, data_folder, load};

/// What all banks find, each with its own training rows.
async fn federated(set: Arc<Set>, train: Vec<Vec<usize>>) -> (Joint, NewtonFit) {
    let banks = train.len();
    let patient = Duration::from_secs(60);
    let params = Params::new(banks, None, [3; 32], patient).unwrap();
    let served = params.clone();
    let world = World::new(u8::try_from(banks).unwrap()).with_deadline(patient);
    let train = Arc::new(train);
    let results = world
        .run(
            |me, ctx| {
                let (set, train, params) = (set.clone(), train.clone(), params.clone());
                async move {
                    let root =
                        |p: usize| Zeroizing::new([me.min(p) as u8 * 16 + me.max(p) as u8; 32]);
                    let roots = (0..train.len()).map(root).collect();
                    let mut ledger = AllowAll::default();
                    let mut client = Client::join(&ctx, params, roots).await?;
                    let book = Book {
                        table: &set.table,
                        train: &train[me],
                        numeric: &set.numeric,
                        levels: &set.levels,
                        options: KEEP,
                        min_rows: 1,
                        largest_weight: 1.0,
                    };
                    let joint = prepare(&mut client, &mut ledger, &book).await?;
                    let x = joint.design.transform(&set.table, &train[me]).unwrap();
                    let rows = Rows {
                        x: x.iter().copied().collect(),
                        columns: joint.design.names().map(str::to_owned).collect(),
                        labels: set.labels(&train[me]),
                        weights: None,
                        offset: None,
                        all_rows: joint.rows,
                        weight_exponent: joint.weight_exponent,
                    };
                    let spec = NewtonSpec {
                        l2: 1.0,
                        l1: 0.0,
                        tolerance: 2e-5,
                        max_passes: 30,
                        own_intercepts: false,
                        begin: newton::Begin::OwnModels,
                    };
                    let fit =
                        newton::fit(&mut client, &mut ledger, &spec, rows, &mut |_, _| {}).await?;
                    client.done().await?;
                    Ok((joint, fit))
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    let mut all: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    assert!(all.windows(2).all(|w| w[0].1 == w[1].1), "banks differ");
    all.pop().unwrap()
}

/// Relative to the coefficient, or to a hundredth of the largest where it is near 0; `slack` is how far the other
/// side itself may be from its optimum.
fn compare(what: &str, got: &[f64], want: &[f64], slack: f64) {
    let largest = want.iter().fold(0.0f64, |m, w| m.max(w.abs()));
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        let off = ((a - b).abs() - slack).max(0.0) / b.abs().max(1e-2 * largest);
        assert!(
            off < 1e-6,
            "{what}, coefficient {i}: {a}, reference {b}: {off:e}"
        );
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

fn split(name: &str, split: &str) {
    let Some(folder) = data_folder() else { return };
    let mut set = load(&folder, name);
    let (train, _) = reference::split(&mut set, split);
    let set = Arc::new(set);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let (joint, fit) = runtime.block_on(federated(set.clone(), train.clone()));
    assert!(fit.passes <= 8, "{name}, {split}: {} passes", fit.passes);
    eprintln!(
        "{name}, {split}: {} passes, {} fraction bits",
        fit.passes, fit.frac
    );
    let got: Vec<f64> = fit
        .coefficients
        .iter()
        .copied()
        .chain([fit.intercept])
        .collect();
    {
        let mut rows: Vec<usize> = train.concat();
        rows.sort_unstable();
        let categories: Vec<&String> = set.levels.iter().map(|(c, _)| c).collect();
        let numeric: Vec<&String> = set.numeric.iter().collect();
        let design = Design::fit(&set.table, &rows, &numeric, &categories, KEEP).unwrap();
        let x = design.transform(&set.table, &rows).unwrap();
        let y = set.labels(&rows);
        let options = FitOptions::default();
        let plain = logistic::fit(&TrainingSet::new(&x, &y).unwrap(), &options).unwrap();
        let (pooled, left) = (plain.model, plain.gradient_max);
        let want: Vec<f64> = pooled
            .coefficients
            .into_iter()
            .chain([pooled.intercept])
            .collect();
        assert_eq!(joint.design.columns().len(), design.columns().len());
        compare(&format!("{name}, {split}, plain fit"), &got, &want, left);
    }
    if split == "natural" {
        return;
    }
    let features = set.reference["features"].as_array().unwrap();
    let listed: Vec<&str> = features
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        joint.design.names().collect::<Vec<_>>(),
        listed,
        "{name}, {split}"
    );
    let want = features
        .iter()
        .map(|f| &f["coef"])
        .chain([&set.reference["intercept"]]);
    let want: Vec<f64> = want.map(|v| v.as_f64().unwrap()).collect();
    // a gradient entry that it left is at most so much of a coefficient: the ridge bounds the Hessian by 1
    let left = set.reference["gradient_max_abs"].as_f64().unwrap();
    compare(&format!("{name}, {split}"), &got, &want, left);
}

macro_rules! every_split_lands_on_the_pooled_optimum {
    ($($test:ident: $name:literal $split:literal),* $(,)?) => {
        $(#[test] fn $test() { split($name, $split); })*
    };
}

every_split_lands_on_the_pooled_optimum! {
    taiwan_thirds: "taiwan_default" "iid_thirds",
    taiwan_skew: "taiwan_default" "skew_80_15_5",
    taiwan_natural: "taiwan_default" "natural",
    german_thirds: "german_credit" "iid_thirds",
    german_skew: "german_credit" "skew_80_15_5",
    marketing_thirds: "bank_marketing" "iid_thirds",
    marketing_skew: "bank_marketing" "skew_80_15_5",
    marketing_natural: "bank_marketing" "natural",
    lending_thirds: "lending_club" "iid_thirds",
    lending_skew: "lending_club" "skew_80_15_5",
    lending_natural: "lending_club" "natural",
    credit_data_thirds: "credit_data" "iid_thirds",
    credit_data_skew: "credit_data" "skew_80_15_5",
    credit_data_natural: "credit_data" "natural",
    sba_thirds: "sba_loans" "iid_thirds",
    sba_skew: "sba_loans" "skew_80_15_5",
    sba_natural: "sba_loans" "natural",
    polish_thirds: "polish_bankruptcy_5y" "iid_thirds",
    polish_skew: "polish_bankruptcy_5y" "skew_80_15_5",
}
