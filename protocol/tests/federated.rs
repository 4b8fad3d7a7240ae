//! Networks trained by masked sums against the reference on real data: the same network on pooled rows, of which
//! the reference gives mean and standard deviation over five seeds.
#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::{sync::Arc, time::Duration};

use paripassu_model::{
    metrics::Scored,
    mlp::{Network, Optimiser, Step},
    split::{IdSplit, id_word},
};
use paripassu_protocol::{
    horizontal::{
        federated::{self, Fit, Robust, Rows, Rule, Schedule, Training},
        prepare::{Book, prepare},
        secagg::{Client, Params, serve},
    },
    testing::{World, dealt::AllowAll},
};
use zeroize::Zeroizing;

mod reference;

use reference::{KEEP, Set, data_folder, load};

/// How a job of the shipped template trains, with another number of rounds.
fn training(rounds: u32, banks: usize) -> Training {
    Training {
        network: Network::new(1, &[64, 32]),
        start: [9; 32],
        rounds,
        step: Step {
            epochs: 1,
            batches: None,
            batch: 256,
            rate: 1e-3,
            l2_per_row: 0.0,
            proximal: 0.0,
        },
        schedule: Schedule::Constant,
        optimiser: Optimiser::Adam,
        rule: Rule::Mean,
        by_rows: true,
        own_last_layer: false,
        patience: 0,
        groups: vec![(0..banks).collect()],
        groups_in_a_round: 1,
        banks_in_a_round: None,
        robust: Robust::No,
        max_norm: None,
    }
}

/// AUC of the joint model on all banks' test rows, and the fit.
async fn federated(
    set: Arc<Set>,
    (train, test): (Vec<Vec<usize>>, Vec<Vec<usize>>),
    tenths: u32,
    spec: Training,
    harm: Option<(usize, f64)>,
) -> (f64, Fit) {
    let banks = train.len();
    let patient = Duration::from_secs(120);
    let params = Params::new(banks, None, [3; 32], patient).unwrap();
    let served = params.clone();
    let world = World::new(u8::try_from(banks).unwrap()).with_deadline(patient);
    let all = Arc::new((train, test, spec));
    let results = world
        .run(
            |me, ctx| {
                let (set, all, params) = (set.clone(), all.clone(), params.clone());
                async move {
                    let (train, test, spec) = &*all;
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
                    let ids = set.table.ids();
                    let (watch, fit): (Vec<usize>, Vec<usize>) = train[me]
                        .iter()
                        .partition(|r| id_word(&ids[**r], 3) % 10 < tenths);
                    let x = |rows: &[usize]| joint.design.transform(&set.table, rows).unwrap();
                    let rows = Rows {
                        x: x(&fit),
                        y: set.labels(&fit),
                        watch_x: x(&watch),
                        watch_y: set.labels(&watch),
                        all_rows: joint.rows,
                    };
                    let hidden = &spec.network.widths()[1..spec.network.widths().len() - 1];
                    let spec = Training {
                        network: Network::new(joint.design.width(), hidden),
                        ..spec.clone()
                    };
                    let fit = match harm.filter(|(bank, _)| *bank == me) {
                        Some((_, harm)) => {
                            federated::fit_harmfully(&mut client, &mut ledger, &spec, rows, harm)
                                .await?
                        }
                        None => {
                            federated::fit(&mut client, &mut ledger, &spec, rows, &mut |_, _| {})
                                .await?
                        }
                    };
                    client.done().await?;
                    let scores = spec.network.log_odds(&fit.params, &x(&test[me])).unwrap();
                    Ok((scores, set.labels(&test[me]), fit))
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    let mut all: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    let scores: Vec<f64> = all.iter().flat_map(|bank| bank.0.clone()).collect();
    let labels: Vec<u8> = all.iter().flat_map(|bank| bank.1.clone()).collect();
    let auc = Scored::new(
        &labels,
        &scores
            .iter()
            .map(|z| 1.0 / (1.0 + (-z).exp()))
            .collect::<Vec<_>>(),
    )
    .unwrap()
    .metrics()
    .auc;
    (auc, all.pop().unwrap().2)
}

fn run(
    name: &str,
    split: &str,
    tenths: u32,
    spec: impl Fn(usize, usize) -> Training,
) -> Option<(f64, f64, f64, Fit)> {
    let folder = data_folder()?;
    let mut set = load(&folder, name);
    let rows = reference::split(&mut set, split);
    let (mean, sd) = reference::network(&folder, name, split);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let all: usize = rows.0.iter().map(Vec::len).sum();
    let spec = spec(rows.0.len(), all);
    let (auc, fit) = runtime.block_on(federated(Arc::new(set), rows, tenths, spec, None));
    Some((auc, mean, sd, fit))
}

/// As many passes as the reference makes, 20 in batches of 256 rows of all banks together, times `MORE`.
fn steps(rows: usize) -> u32 {
    let more: f64 = std::env::var("MORE").map_or(1.0, |more| more.parse().unwrap());
    (20.0 * more * rows.div_ceil(256) as f64) as u32
}

/// Every step of all banks together: as near to training on pooled rows as can be, at a sum for each batch.
fn together(banks: usize, rows: usize) -> Training {
    let mut spec = training(steps(rows), banks);
    spec.step.batches = Some(1);
    spec.step.rate = 10.0;
    spec.optimiser = Optimiser::Sgd;
    spec.rule = Rule::Adam { rate: 1e-3 };
    spec
}

fn not_far_below(name: &str, split: &str, spec: impl Fn(usize, usize) -> Training) {
    let Some((auc, mean, sd, fit)) = run(name, split, 0, spec) else {
        return;
    };
    // one run's luck is one standard deviation; the measurement below takes means of several
    assert!(
        auc > mean - 3.0 * sd,
        "{name}, {split}: {auc}, reference {mean} ± {sd}"
    );
    assert_eq!(fit.best, fit.rounds);
}

#[test]
fn fedavg_on_banks_alike_comes_near_the_pooled_network() {
    not_far_below("taiwan_default", "iid_thirds", |banks, _| {
        training(20, banks)
    });
}

#[test]
fn fedprox_on_unequal_banks_comes_near_the_pooled_network() {
    not_far_below("lending_club", "skew_80_15_5", |banks, _| {
        let mut spec = training(20, banks);
        spec.step.proximal = 0.01;
        spec
    });
}

#[test]
fn fedadam_on_banks_with_other_books_comes_near_the_pooled_network() {
    not_far_below("credit_data", "natural", together);
}

/// Five banks of a fifth of the customers each; the third sends its update times `harm`.
fn five(robust: Robust, harm: Option<f64>) -> Option<(f64, Fit)> {
    let set = load(&data_folder()?, "taiwan_default");
    let split = IdSplit::new(3).unwrap();
    let (mut train, mut test) = (vec![Vec::new(); 5], vec![Vec::new(); 5]);
    for (row, id) in set.table.ids().iter().enumerate() {
        let bank = id_word(id, 4) as usize % 5;
        match split.is_test(id) {
            true => test[bank].push(row),
            false => train[bank].push(row),
        }
    }
    let spec = Training {
        network: Network::new(1, &[16]),
        schedule: Schedule::Cosine,
        by_rows: false,
        robust,
        max_norm: Some(0.3),
        ..training(20, 5)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let harm = harm.map(|by| (2, by));
    Some(runtime.block_on(federated(Arc::new(set), (train, test), 0, spec, harm)))
}

#[test]
fn one_of_five_banks_of_real_customers_that_sends_minus_ten_times_its_update_costs_at_most_a_hundredth()
 {
    let Some((honest, _)) = five(Robust::Proved, None) else {
        return;
    };
    let (ruined, _) = five(Robust::No, Some(-10.0)).unwrap();
    let (got, fit) = five(Robust::Proved, Some(-10.0)).unwrap();
    let (within, _) = five(Robust::Proved, Some(-1.0)).unwrap();
    eprintln!(
        "AUC {honest:.5}; -10 times without the option {ruined:.5}, with it {got:.5}; \
         turned around within the bound {within:.5}"
    );
    assert_eq!((fit.refused, fit.fewest_banks), (vec![2], 4));
    assert!(ruined < honest - 0.1, "{ruined} {honest}");
    assert!(got > honest - 0.01, "{got} {honest}");
    assert!(within > honest - 0.05, "{within} {honest}");
}

/// `cargo test -p paripassu-protocol --features test-util --release --test federated -- --ignored --nocapture`;
/// `ONLY` names a set, `RUNS` says how often, `WAY` is `together` or a number of rounds of FedAvg,
/// `MORE` how many times the reference's passes.
#[test]
#[ignore = "a measurement of minutes"]
fn networks_on_every_split() {
    let env = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.into());
    let (only, runs, way) = (env("ONLY", ""), env("RUNS", "5"), env("WAY", "together"));
    for (name, split) in SPLITS {
        if !name.starts_with(&only) {
            continue;
        }
        let (mut aucs, mut reference) = (Vec::new(), (0.0, 0.0));
        for i in 0..runs.parse::<u8>().unwrap() {
            let of = |banks, rows| {
                let spec = match way.parse() {
                    Ok(rounds) => training(rounds, banks),
                    Err(_) => together(banks, rows),
                };
                Training {
                    start: [i; 32],
                    ..spec
                }
            };
            let Some((auc, mean, sd, _)) = run(name, split, 0, of) else {
                return;
            };
            aucs.push(auc);
            reference = (mean, sd);
        }
        let n = aucs.len() as f64;
        let mean = aucs.iter().sum::<f64>() / n;
        let sd = (aucs.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        println!(
            "{name:21} {split:13} {mean:.5} ± {sd:.5}, pooled {:.5} ± {:.5}: {:+.2} s.d.",
            reference.0,
            reference.1,
            (mean - reference.0) / reference.1
        );
    }
}

const SPLITS: [(&str, &str); 19] = [
    ("german_credit", "iid_thirds"),
    ("german_credit", "skew_80_15_5"),
    ("polish_bankruptcy_5y", "iid_thirds"),
    ("polish_bankruptcy_5y", "skew_80_15_5"),
    ("credit_data", "iid_thirds"),
    ("credit_data", "skew_80_15_5"),
    ("credit_data", "natural"),
    ("lending_club", "iid_thirds"),
    ("lending_club", "skew_80_15_5"),
    ("lending_club", "natural"),
    ("sba_loans", "iid_thirds"),
    ("sba_loans", "skew_80_15_5"),
    ("sba_loans", "natural"),
    ("taiwan_default", "iid_thirds"),
    ("taiwan_default", "skew_80_15_5"),
    ("taiwan_default", "natural"),
    ("bank_marketing", "iid_thirds"),
    ("bank_marketing", "skew_80_15_5"),
    ("bank_marketing", "natural"),
];
