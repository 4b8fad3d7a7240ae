//! Banks that train a network together, one of which may do harm, be lost or keep a layer.

use std::time::Duration;

use bytes::Bytes;
use paripassu_model::mlp::test_draws;
use zeroize::Zeroizing;

use super::*;
use crate::{
    channel::{Role, Tag},
    horizontal::secagg::{Params, serve},
    testing::{Attack, Intercept, World, dealt::AllowAll},
};

/// Rows of a bank: what a line cannot tell apart, and of a bank that differs, turned around.
fn rows(bank: usize, n: usize, turned: bool) -> (Array2<f64>, Vec<u8>) {
    let mut draw = test_draws(bank as u64 * 77 + 5);
    let mut unit = move || (draw() >> 11) as f64 * 2f64.powi(-52) - 1.0;
    let x = Array2::from_shape_fn((n, 4), |_| 1.5 * unit());
    let bad = |i: usize| {
        let z = x[[i, 0]] * x[[i, 1]] + 0.6 * x[[i, 2]];
        u8::from((z > 0.3) != turned)
    };
    let y = (0..n).map(bad).collect();
    (x, y)
}

fn training(banks: usize) -> Training {
    Training {
        network: Network::new(4, &[12]),
        start: [1; 32],
        rounds: 25,
        step: Step {
            epochs: 2,
            batches: None,
            batch: 32 * banks,
            rate: 5e-3,
            l2_per_row: 0.0,
            proximal: 0.0,
        },
        schedule: Schedule::Cosine,
        optimiser: Optimiser::Adam,
        rule: Rule::Mean,
        by_rows: true,
        own_last_layer: false,
        patience: 10,
        groups: vec![(0..banks).collect()],
        groups_in_a_round: 1,
        banks_in_a_round: None,
        robust: Robust::No,
        max_norm: None,
    }
}

const ROWS: usize = 240;

/// All banks train as `spec` says for each; AUC on new rows, by bank.
async fn run(
    world: World,
    banks: usize,
    spec: impl Fn(usize) -> Training,
    harmful: Option<usize>,
) -> Vec<Result<(f64, Fit), Abort>> {
    run_harmed(world, banks, spec, harmful.map(|bank| (bank, -10.0))).await
}

async fn run_harmed(
    world: World,
    banks: usize,
    spec: impl Fn(usize) -> Training,
    harmful: Option<(usize, f64)>,
) -> Vec<Result<(f64, Fit), Abort>> {
    let mut params = Params::new(banks, None, [3; 32], Duration::from_secs(60)).unwrap();
    (params.patience, params.limit) = (Duration::from_millis(400), Duration::from_secs(3));
    let served = params.clone();
    let specs: Arc<Vec<Training>> = Arc::new((0..banks).map(spec).collect());
    world
        .run(
            |me, ctx| {
                let (params, specs) = (params.clone(), specs.clone());
                async move {
                    let root = |p: usize| {
                        let mut root = [7; 32];
                        (root[0], root[1]) = (me.min(p) as u8, me.max(p) as u8);
                        Zeroizing::new(root)
                    };
                    let roots = (0..specs.len()).map(root).collect();
                    let mut client = Client::join(&ctx, params, roots).await?;
                    let spec = &specs[me];
                    let turned = spec.own_last_layer && me == 0;
                    let (x, y) = rows(me, ROWS, turned);
                    let (watch_x, watch_y) = rows(me + 100, 60, turned);
                    let rows_of = Rows {
                        x,
                        y,
                        watch_x,
                        watch_y,
                        all_rows: (300 * specs.len()) as u64,
                    };
                    let mut ledger = AllowAll::default();
                    let harm = harmful.filter(|(bank, _)| *bank == me).map(|(_, by)| by);
                    let fit = rounds(
                        &mut client,
                        &mut ledger,
                        spec,
                        (rows_of, harm),
                        &mut |_, _| {},
                    )
                    .await?;
                    client.done().await?;
                    let (x, y) = rows(me + 1000, 1500, turned);
                    let z = spec.network.log_odds(&fit.params, &x).unwrap();
                    Ok((auc(&z, &y), fit))
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await
}

fn auc(z: &[f64], y: &[u8]) -> f64 {
    let pd: Vec<f64> = z
        .iter()
        .map(|z| paripassu_model::logistic::sigmoid(*z))
        .collect();
    let scored = paripassu_model::metrics::Scored::new(y, &pd).unwrap();
    scored.metrics().auc
}

fn world(banks: usize) -> World {
    World::new(banks as u8).with_deadline(Duration::from_secs(60))
}

async fn aucs(banks: usize, spec: impl Fn(usize) -> Training) -> Vec<(f64, Fit)> {
    with_harm(banks, spec, None).await
}

async fn with_harm(
    banks: usize,
    spec: impl Fn(usize) -> Training,
    harmful: Option<usize>,
) -> Vec<(f64, Fit)> {
    let all = run(world(banks), banks, spec, harmful).await;
    all.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_learns_what_the_rows_say_and_all_banks_get_the_same() {
    for rule in [Rule::Mean, Rule::Adam { rate: 0.03 }] {
        for proximal in [0.0, 0.1] {
            let got = aucs(3, |_| {
                let mut spec = training(3);
                (spec.rule, spec.step.proximal) = (rule, proximal);
                if rule != Rule::Mean {
                    // steps of one size, so that it takes more of them
                    spec.rounds = 80;
                }
                spec
            })
            .await;
            assert!(
                got.iter().all(|(auc, _)| *auc > 0.93),
                "{rule:?}: {:?}",
                got[0].0
            );
            assert!(got.windows(2).all(|w| w[0].1 == w[1].1));
            assert_eq!(got[0].1.fewest_banks, 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn training_ends_early_and_the_best_model_is_taken() {
    let got = aucs(3, |_| {
        let mut spec = training(3);
        // soon learned by heart
        (spec.rounds, spec.patience, spec.step.rate) = (400, 4, 0.05);
        spec.schedule = Schedule::Constant;
        spec
    })
    .await;
    let fit = &got[0].1;
    assert!(fit.rounds < 400 && fit.best < fit.rounds, "{}", fit.rounds);
    let least = fit.losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(fit.losses[fit.best as usize], least);
    assert!(got[0].0 > 0.9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_layer_of_its_own_serves_a_bank_with_another_book() {
    // the first bank's outcome is the others' turned around
    let got = aucs(4, |_| {
        let mut spec = training(4);
        spec.own_last_layer = true;
        spec
    })
    .await;
    assert!(
        got.iter().all(|(auc, _)| *auc > 0.9),
        "{:?}",
        got.iter().map(|g| g.0).collect::<Vec<_>>()
    );
    let own = training(4).network.last_layer();
    let split = |fit: &Fit| {
        let (joint, own) = fit.params.split_at(fit.params.len() - own);
        (joint.to_vec(), own.to_vec())
    };
    let (first, second) = (split(&got[0].1), split(&got[1].1));
    assert_eq!(first.0, second.0, "the other layers are joint");
    assert_ne!(first.1, second.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_sends_minus_ten_times_its_update_costs_at_most_a_hundredth() {
    let honest = aucs(9, |_| training(9)).await[0].0;
    let ruined = run(world(9), 9, |_| training(9), Some(4)).await;
    // without the option the model is no better than chance, or an update does not fit
    let ruined = ruined[0].as_ref().map_or(0.0, |(auc, _)| *auc);
    assert!(ruined < honest - 0.1, "{ruined} {honest}");
    for (banks, groups, robust) in [
        (9, 3, Robust::Median),
        (9, 3, Robust::Votes),
        (6, 2, Robust::Votes),
    ] {
        let got = with_harm(
            banks,
            |_| {
                let mut spec = training(banks);
                spec.groups = (0..groups)
                    .map(|g| (g..banks).step_by(groups).collect())
                    .collect();
                spec.groups_in_a_round = groups;
                spec.robust = robust;
                spec
            },
            Some(4),
        )
        .await;
        let (auc, fit) = &got[0];
        assert!(
            *auc > honest - 0.01,
            "{banks}, {robust:?}: {auc}, {honest} when all are honest"
        );
        if robust != Robust::Median {
            let harmful = 4 % groups;
            for (group, out) in fit.left_out.iter().enumerate() {
                let many = *out * 2 > fit.rounds;
                assert_eq!(
                    many,
                    group == harmful,
                    "{banks}, {robust:?}: {:?}",
                    fit.left_out
                );
            }
        }
        assert!(got[1..].iter().all(|g| g.1 == *fit));
    }
}

/// Five banks; the fourth sends what `sends` says of its update.
async fn five(sends: Option<f64>, robust: Robust) -> Vec<(f64, Fit)> {
    let spec = |_: usize| {
        let mut spec = training(5);
        (spec.patience, spec.by_rows, spec.rounds) = (0, false, 40);
        (spec.robust, spec.max_norm) = (robust, Some(0.5));
        spec
    };
    let all = run_harmed(world(5), 5, spec, sends.map(|by| (3, by))).await;
    all.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_five_that_sends_minus_ten_times_its_update_is_named_and_costs_a_hundredth_at_most()
{
    let honest = five(None, Robust::Proved).await;
    assert!(
        honest[0].0 > 0.93 && honest[0].1.refused.is_empty(),
        "{}",
        honest[0].0
    );
    // without the option
    let ruined = five(Some(-10.0), Robust::No).await[0].0;
    assert!(ruined < honest[0].0 - 0.1, "{ruined}");
    let got = five(Some(-10.0), Robust::Proved).await;
    let (auc, fit) = &got[0];
    assert_eq!(fit.refused, [3]);
    assert_eq!(fit.fewest_banks, 4);
    assert!(*auc > honest[0].0 - 0.01, "{auc} {}", honest[0].0);
    assert!(got.iter().all(|g| g.1 == *fit));
    // one that stays within the bound is not found, and cannot do much
    let got = five(Some(-1.0), Robust::Proved).await;
    assert!(got[0].1.refused.is_empty());
    assert!(
        got[0].0 > honest[0].0 - 0.02,
        "{} {}",
        got[0].0,
        honest[0].0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_longer_than_honest_banks_can_be_is_left_out_by_all() {
    let got = with_harm(
        6,
        |_| {
            let mut spec = training(6);
            spec.groups = vec![vec![0, 2, 4], vec![1, 3, 5]];
            spec.groups_in_a_round = 2;
            (spec.schedule, spec.max_norm, spec.rounds) = (Schedule::Constant, Some(0.2), 12);
            spec
        },
        Some(4),
    )
    .await;
    assert!(got[0].1.left_out[0] > 8, "{:?}", got[0].1.left_out);
    assert_eq!(got[0].1.left_out[1], 0);
    assert!(got.windows(2).all(|w| w[0].1 == w[1].1));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_group_does_harm_nothing_is_released() {
    let got = run(
        world(3),
        3,
        |_| {
            let mut spec = training(3);
            (spec.robust, spec.rounds) = (Robust::Votes, 6);
            spec
        },
        Some(1),
    )
    .await;
    let error = got[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("left out as harmful"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_take_turns() {
    let got = aucs(6, |_| {
        let mut spec = training(6);
        spec.groups = vec![vec![0, 2, 4], vec![1, 3, 5]];
        spec.rounds = 30;
        spec
    })
    .await;
    assert!(got.iter().all(|(auc, _)| *auc > 0.9), "{:?}", got[0].0);
    let spec = Training {
        groups: vec![vec![0], vec![1], vec![2]],
        groups_in_a_round: 2,
        ..training(3)
    };
    let turns: Vec<_> = (1..=4).map(|round| turn(&spec, round)).collect();
    assert_eq!(turns, [vec![0, 1], vec![0, 2], vec![1, 2], vec![0, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_banks_are_drawn_for_each_round() {
    let got = aucs(6, |_| {
        let mut spec = training(6);
        (spec.banks_in_a_round, spec.rounds) = (Some(3), 40);
        spec
    })
    .await;
    assert!(got.iter().all(|(auc, _)| *auc > 0.9), "{:?}", got[0].0);
    assert!(got.windows(2).all(|w| w[0].1 == w[1].1));
    assert_eq!(got[0].1.fewest_banks, 3);
    // every bank as often as any other, every pair too
    let spec = training(6);
    let mut times = [0u32; 36];
    for round in 1..=4000 {
        let banks = drawn(&spec, round, 6, 3);
        assert!(banks.windows(2).all(|w| w[0] < w[1]) && banks.len() == 3);
        for a in &banks {
            for b in &banks {
                times[a * 6 + b] += 1;
            }
        }
    }
    for (i, n) in times.iter().enumerate() {
        // 4000 · 1/2, and 4000 · 3/6 · 2/5
        let (expected, sd) = if i % 7 == 0 {
            (2000.0, 31.7)
        } else {
            (800.0, 25.3)
        };
        assert!((f64::from(*n) - expected).abs() < 5.0 * sd, "{i}: {n}");
    }
}

/// Loses a client's masked vector in one sum.
fn lose(client: u8, sum: u32) -> impl Attack {
    move |from: Role, _: Role, tag: &Tag, _: &Bytes| {
        let hit = from == Role::Party(client) && tag.as_str() == format!("sums/{sum}/masked");
        if hit {
            Intercept::Drop
        } else {
            Intercept::Pass
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_lost_in_a_round_comes_back_and_a_group_of_two_is_never_opened() {
    let few = |banks: usize| {
        move |_: usize| {
            let mut spec = training(banks);
            spec.rounds = 8;
            spec
        }
    };
    let world_of = |banks: usize| world(banks).with_attack(lose(2, 3));
    let got = run(world_of(5), 5, few(5), None).await;
    let fits: Vec<Fit> = got.into_iter().map(|g| g.unwrap().1).collect();
    assert!(fits.windows(2).all(|w| w[0] == w[1]));
    assert_eq!((fits[0].fewest_banks, fits[0].rounds), (4, 8));

    // in groups of three the sum with a bank missing is given up, and made again when it is back
    let world = world_of(6);
    let got = run(
        world,
        6,
        |me| {
            let mut spec = few(6)(me);
            spec.groups = vec![vec![0, 2, 4], vec![1, 3, 5]];
            spec.groups_in_a_round = 2;
            spec
        },
        None,
    )
    .await;
    let fits: Vec<Fit> = got.into_iter().map(|g| g.unwrap().1).collect();
    assert_eq!((fits[0].fewest_banks, fits[0].rounds), (6, 8));
}
