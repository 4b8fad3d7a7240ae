//! The joint design, fit and evaluation of several banks against those of the pooled table.

use std::time::Duration;

use bytes::Bytes;
use paripassu_model::{
    design::{Design, DesignOptions, Source},
    logistic::{self, FitOptions, TrainingSet},
    metrics::Scored,
    table::{Column, Table},
};
use zeroize::Zeroizing;

use super::{
    evaluate::{self, Evaluation},
    newton::{self, NewtonFit, NewtonSpec, Rows},
    prepare::{self, Book, Joint},
    secagg::{Client, Params, serve},
};
use crate::{
    abort::Abort,
    channel::{Role, Tag},
    testing::{Intercept, World, dealt::AllowAll},
};

const LEVELS: [&str; 4] = ["web", "branch", "agent", "phone"];

/// A book of `n` rows with a number that has gaps, one with a long tail, and a category.
fn table(n: usize, shift: usize) -> Table {
    let noise = |k: usize| ((k.wrapping_mul(2_654_435_761)) % 10_007) as f64 / 5003.5 - 1.0;
    let at = |i: usize, k: usize| noise((i + shift) * 31 + k * 7919);
    let income: Vec<f64> = (0..n)
        .map(|i| {
            if i % 9 == 4 {
                f64::NAN
            } else {
                1200.0 + 800.0 * at(i, 1)
            }
        })
        .collect();
    let tail: Vec<f64> = (0..n).map(|i| (6.0 * at(i, 2)).exp()).collect();
    // levels that nobody lists, each of one row
    let elsewhere: Vec<String> = (0..n).map(|i| format!("elsewhere {i}")).collect();
    let channel: Vec<Option<&str>> = (0..n)
        .map(|i| match (i + shift) % 11 {
            0 => None,
            1..=4 => Some("web"),
            5..=8 => Some("branch"),
            9 => Some("agent"),
            _ => (i % 5 == 0)
                .then_some("phone")
                .or(Some(elsewhere[i].as_str())),
        })
        .collect();
    let label = (0..n)
        .map(|i| {
            let income = if income[i].is_nan() {
                0.4
            } else {
                (1200.0 - income[i]) / 700.0
            };
            u8::from(income + 0.004 * tail[i] + 1.2 * at(i, 3) > 0.7)
        })
        .collect();
    let ids = (0..n).map(|i| format!("{}", i + shift)).collect();
    let columns = vec![
        Column::numeric("income", income),
        Column::numeric("tail", tail),
        Column::numeric("flat", vec![3.0; n]),
        Column::categorical("channel", channel),
    ];
    Table::new(ids, Some(label), columns).unwrap()
}

/// All banks' rows in one table.
fn pooled(sizes: &[usize]) -> Table {
    table(sizes.iter().sum(), 0)
}

fn share(sizes: &[usize], bank: usize) -> (Table, Vec<usize>) {
    let all = pooled(sizes);
    let start: usize = sizes[..bank].iter().sum();
    let own = all.select(&(start..start + sizes[bank]).collect::<Vec<_>>());
    let train = (0..sizes[bank]).filter(|i| i % 4 != 0).collect();
    (own, train)
}

type Ran = (Joint, NewtonFit, Evaluation, AllowAll);

async fn bank<C: crate::channel::Channel>(
    ctx: crate::ctx::Ctx<C>,
    params: Params,
    sizes: Vec<usize>,
    spec: NewtonSpec,
    me: usize,
) -> Result<Ran, Abort> {
    let roots = (0..sizes.len()).map(|p| {
        let mut root = [7; 32];
        (root[0], root[1]) = (me.min(p) as u8, me.max(p) as u8);
        Zeroizing::new(root)
    });
    let mut ledger = AllowAll::default();
    let mut client = Client::join(&ctx, params, roots.collect()).await?;
    let (table, train) = share(&sizes, me);
    let numeric: Vec<String> = ["income", "tail", "flat"].map(String::from).to_vec();
    let levels = vec![("channel".to_owned(), LEVELS.map(String::from).to_vec())];
    let book = Book {
        table: &table,
        train: &train,
        numeric: &numeric,
        levels: &levels,
        options: DesignOptions::default(),
        min_rows: 20,
        largest_weight: 1.0,
    };
    let joint = prepare::prepare(&mut client, &mut ledger, &book).await?;
    let x = joint.design.transform(&table, &train).unwrap();
    let labels =
        |rows: &[usize]| -> Vec<u8> { rows.iter().map(|r| table.label().unwrap()[*r]).collect() };
    let rows = Rows {
        x: x.iter().copied().collect(),
        columns: joint.design.names().map(str::to_owned).collect(),
        labels: labels(&train),
        weights: None,
        offset: None,
        all_rows: joint.rows,
        weight_exponent: joint.weight_exponent,
    };
    let fit = newton::fit(&mut client, &mut ledger, &spec, rows, &mut |_, _| {}).await?;
    let test: Vec<usize> = (0..table.rows()).filter(|i| i % 4 == 0).collect();
    let x = joint.design.transform(&table, &test).unwrap();
    let score = |row: ndarray::ArrayView1<'_, f64>| {
        fit.intercept
            + row
                .iter()
                .zip(&fit.coefficients)
                .map(|(x, w)| x * w)
                .sum::<f64>()
    };
    let scores: Vec<f64> = x.rows().into_iter().map(score).collect();
    let found =
        evaluate::evaluate(&mut client, &mut ledger, "joint", &scores, &labels(&test)).await?;
    client.done().await?;
    Ok((joint, fit, found, ledger))
}

async fn run(world: World, sizes: &[usize], spec: &NewtonSpec) -> Vec<Result<Ran, Abort>> {
    let params = Params::new(sizes.len(), None, [1; 32], Duration::from_secs(8)).unwrap();
    let params = Params {
        patience: Duration::from_millis(400),
        ..params
    };
    let served = params.clone();
    world
        .run(
            |me, ctx| bank(ctx, params.clone(), sizes.to_vec(), spec.clone(), me),
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await
}

fn spec() -> NewtonSpec {
    NewtonSpec {
        l2: 1.0,
        l1: 0.0,
        tolerance: 1e-6,
        max_passes: 30,
        own_intercepts: false,
        begin: newton::Begin::OwnModels,
    }
}

fn near(what: &str, got: f64, want: f64, relative: f64) {
    let off = (got - want).abs() / (1e-3 + want.abs());
    assert!(off <= relative, "{what}: {got}, pooled {want}");
}

#[tokio::test]
async fn design_fit_and_evaluation_are_those_of_the_pooled_table() {
    let sizes = [700, 240, 1100];
    let world = World::new(3).with_deadline(Duration::from_secs(8));
    let results = run(world, &sizes, &spec()).await;
    let all = pooled(&sizes);
    let mut at = 0;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for n in sizes {
        for i in 0..n {
            if i % 4 == 0 {
                test.push(at + i)
            } else {
                train.push(at + i)
            }
        }
        at += n;
    }
    let numeric = ["income", "tail", "flat"];
    let design = Design::fit(
        &all,
        &train,
        &numeric,
        &["channel"],
        DesignOptions::default(),
    )
    .unwrap();
    let y = |rows: &[usize]| -> Vec<u8> { rows.iter().map(|r| all.label().unwrap()[*r]).collect() };
    let (x, train_y) = (design.transform(&all, &train).unwrap(), y(&train));
    let want = logistic::fit(
        &TrainingSet::new(&x, &train_y).unwrap(),
        &FitOptions::default(),
    )
    .unwrap();
    let pd = want
        .model
        .pd(&design.transform(&all, &test).unwrap())
        .unwrap();
    let test_y = y(&test);
    let metrics = Scored::new(&test_y, &pd).unwrap().metrics();
    let mut same = Vec::new();
    for result in results {
        let (joint, fit, found, ledger) = result.unwrap();
        assert_eq!(joint.design.constant(), ["flat"]);
        assert_eq!(joint.rows as usize, train.len());
        for (got, want) in joint.design.columns().iter().zip(design.columns()) {
            assert_eq!(got.name, want.name);
            match (&got.source, &want.source) {
                (Source::Numeric { column, fill }, Source::Numeric { .. }) if column == "tail" => {
                    near("fill", *fill, want.mean, 1e-9);
                }
                (got, want) => assert_eq!(got, want),
            }
            near(&format!("mean of {}", got.name), got.mean, want.mean, 1e-9);
            near(&format!("deviation of {}", got.name), got.sd, want.sd, 1e-7);
        }
        assert_eq!(joint.design.width(), design.width());
        for (got, want) in fit.coefficients.iter().zip(&want.model.coefficients) {
            near("coefficient", *got, *want, 1e-6);
        }
        near("intercept", fit.intercept, want.model.intercept, 1e-6);
        let errors = fit.errors.clone().unwrap();
        for (got, want) in errors
            .iter()
            .zip(want.coefficients.iter().chain([&want.intercept]))
        {
            near("standard error", *got, want.se, 1e-4);
        }
        near("objective", fit.objective, want.objective, 1e-6);
        assert!(fit.passes <= 9, "{} passes", fit.passes);
        assert!((found.auc - metrics.auc).abs() <= found.auc_bound + 1e-12);
        assert!(found.auc_bound < 0.01, "{}", found.auc_bound);
        assert!((found.ks - metrics.ks).abs() < 0.03);
        near("log loss", found.log_loss.unwrap(), metrics.log_loss, 1e-6);
        near("Brier", found.brier.unwrap(), metrics.brier, 1e-6);
        assert_eq!(
            found.calibration.iter().map(|g| g.rows).sum::<u64>(),
            found.rows
        );
        assert_eq!(
            (found.rows, found.bads),
            (test.len() as u64, metrics.bads as u64)
        );
        same.push((fit.coefficients, ledger.opened()));
    }
    assert!(
        same.windows(2).all(|w| w[0] == w[1]),
        "banks differ in bits or in what was opened"
    );
}

#[tokio::test]
async fn a_bank_lost_during_the_fit_is_left_out_of_a_sum_and_the_end_is_right() {
    // bank 2's vector of the second Newton pass is lost (sums: counts, 11 quantiles, ranges, 3 moments)
    let attack = |from: Role, _: Role, tag: &Tag, _: &Bytes| {
        let hit = from == Role::Party(2) && tag.as_str() == "sums/17/masked";
        if hit {
            Intercept::Drop
        } else {
            Intercept::Pass
        }
    };
    let sizes = [400, 300, 250, 350, 300];
    let calm = World::new(5).with_deadline(Duration::from_secs(8));
    let rough = World::new(5)
        .with_deadline(Duration::from_secs(8))
        .with_attack(attack);
    let spec = spec();
    let (calm, rough) = tokio::join!(run(calm, &sizes, &spec), run(rough, &sizes, &spec));
    for (calm, rough) in calm.into_iter().zip(rough) {
        let (calm, rough) = (calm.unwrap().1, rough.unwrap().1);
        assert_eq!((calm.fewest_banks, rough.fewest_banks), (5, 4));
        for (a, b) in rough.coefficients.iter().zip(&calm.coefficients) {
            near("coefficient", *a, *b, 1e-6);
        }
    }
}

#[tokio::test]
async fn a_bank_with_few_rows_takes_no_part() {
    let world = World::new(3).with_deadline(Duration::from_millis(700));
    let results = run(world, &[300, 300, 20], &spec()).await;
    let error = results[2].as_ref().unwrap_err().to_string();
    assert!(
        error.contains("15 training rows") && error.contains("20"),
        "{error}"
    );
    assert!(results.iter().all(Result::is_err));
}

#[tokio::test]
async fn each_bank_may_keep_an_intercept_of_its_own() {
    let sizes = [500, 420, 610];
    let spec = NewtonSpec {
        own_intercepts: true,
        ..spec()
    };
    let results = run(
        World::new(3).with_deadline(Duration::from_secs(8)),
        &sizes,
        &spec,
    )
    .await;
    let fits: Vec<NewtonFit> = results.into_iter().map(|r| r.unwrap().1).collect();
    assert!(
        fits.windows(2)
            .all(|w| w[0].coefficients == w[1].coefficients)
    );
    assert!(fits[0].intercept != fits[1].intercept);
    assert_eq!(
        fits[0].errors.as_ref().unwrap().len(),
        fits[0].coefficients.len()
    );
}
