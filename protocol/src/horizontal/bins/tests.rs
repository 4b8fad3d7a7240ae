//! Bins of several banks against those of the pooled table.

use std::time::Duration;

use paripassu_model::{
    binning::{CutOptions, Limits, Method, Smoothing, Trend, WoeSign, bin, shares},
    design::DesignOptions,
    table::{Column, Table},
};
use zeroize::Zeroizing;

use super::*;
use crate::{
    horizontal::secagg::{Params, serve},
    testing::{World, dealt::AllowAll},
};

const SIZES: [usize; 4] = [500, 210, 730, 160];
const LISTED: [&str; 4] = ["web", "branch", "agent", "phone"];

/// Rows with gaps, special values, ties, a long tail, a column that is nearly constant, one that is nearly missing, and
/// a category with rare, missing and unlisted levels.
fn table(n: usize) -> Table {
    let noise = |k: usize| (k.wrapping_mul(2_654_435_761) % 10_007) as f64 / 5003.5 - 1.0;
    let at = |i: usize, k: usize| noise(i * 31 + k * 7919);
    let income = (0..n).map(|i| match i % 11 {
        4 => f64::NAN,
        7 => -999.0,
        _ => 1200.0 + 800.0 * at(i, 1),
    });
    let tail = (0..n).map(|i| (6.0 * at(i, 2)).exp());
    let steps = (0..n).map(|i| (3.0 * at(i, 3)).round());
    let flat = (0..n).map(|i| if i % 40 == 3 { 1.5 } else { 0.0 });
    let gone = (0..n).map(|i| if i % 50 == 3 { at(i, 5) } else { f64::NAN });
    // unlisted levels, each of one row: in one table they are rare
    let elsewhere: Vec<String> = (0..n).map(|i| format!("elsewhere {i}")).collect();
    let channel: Vec<Option<&str>> = (0..n)
        .map(|i| match i % 13 {
            0 => None,
            1..=5 => Some("web"),
            6..=9 => Some("branch"),
            10 => Some(elsewhere[i].as_str()),
            _ if i % 90 == 11 => Some("phone"),
            _ => Some("agent"),
        })
        .collect();
    let (income, tail): (Vec<f64>, Vec<f64>) = (income.collect(), tail.collect());
    let label = (0..n).map(|i| {
        let income = match income[i].is_nan() || income[i] < 0.0 {
            true => 0.4,
            false => (1200.0 - income[i]) / 700.0,
        };
        u8::from(income + 0.004 * tail[i] + 1.2 * at(i, 9) > 0.7)
    });
    let label = Some(label.collect());
    let columns = vec![
        Column::numeric("income", income),
        Column::numeric("tail", tail),
        Column::numeric("steps", steps.collect()),
        Column::numeric("flat", flat.collect()),
        Column::numeric("gone", gone.collect()),
        Column::categorical("channel", channel),
    ];
    Table::new((0..n).map(|i| format!("{i}")).collect(), label, columns).unwrap()
}

fn recipe(method: Method, bins: usize, rows: usize) -> Recipe {
    Recipe {
        cut: CutOptions {
            cut: Cut::Quantile(bins),
            special: vec![Edge::new(-999.0).unwrap()],
            rare_level_rows: 20,
            min_rows: (0.0125 * rows as f64).ceil() as usize,
        },
        method,
        limits: Limits {
            max_bins: 10,
            min_share: 0.05,
            min_class: 5,
        },
        sign: WoeSign::GoodBad,
        smoothing: Smoothing::ZeroCells,
    }
}

const KEEP: Keep = Keep {
    max_missing: 0.95,
    max_identical: 0.95,
    min_iv: 0.02,
};

async fn joint(method: Method, bins: usize) -> Vec<(Joint, Vec<OfColumn>)> {
    let params = Params::new(SIZES.len(), None, [1; 32], Duration::from_secs(20)).unwrap();
    let served = params.clone();
    let world = World::new(SIZES.len() as u8).with_deadline(Duration::from_secs(20));
    let results = world
        .run(
            |me, ctx| {
                let params = params.clone();
                async move {
                    let root =
                        |p: usize| Zeroizing::new([me.min(p) as u8 * 16 + me.max(p) as u8; 32]);
                    let roots = (0..SIZES.len()).map(root).collect();
                    let mut client = Client::join(&ctx, params, roots).await?;
                    let start: usize = SIZES[..me].iter().sum();
                    let rows: Vec<usize> = (start..start + SIZES[me]).collect();
                    let own = table(SIZES.iter().sum()).select(&rows);
                    let train: Vec<usize> = (0..SIZES[me]).filter(|i| i % 5 != 0).collect();
                    let numeric = ["income", "tail", "steps", "flat", "gone"].map(String::from);
                    let levels = [("channel".to_owned(), LISTED.map(String::from).to_vec())];
                    let book = Book {
                        table: &own,
                        train: &train,
                        numeric: &numeric,
                        levels: &levels,
                        options: DesignOptions::default(),
                        min_rows: 20,
                        largest_weight: 0.5,
                    };
                    let mut ledger = AllowAll::default();
                    let recipe = |rows: usize| recipe(method, bins, rows);
                    let got = prepare(&mut client, &mut ledger, &book, &recipe, KEEP).await?;
                    client.done().await?;
                    Ok(got)
                }
            },
            |ctx| async move { serve(&ctx, &served).await.map(drop) },
        )
        .await;
    results.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bins_weights_and_what_is_kept_are_those_of_the_pooled_table() {
    let all = table(SIZES.iter().sum());
    let mut train = Vec::new();
    let mut start = 0;
    for n in SIZES {
        train.extend((0..n).filter(|i| i % 5 != 0).map(|i| start + i));
        start += n;
    }
    let labels: Vec<u8> = train.iter().map(|r| all.label().unwrap()[*r]).collect();
    for (method, bins) in [
        (Method::Keep, 10),
        (Method::Monotone(Trend::Auto), 20),
        (Method::Chi { stop: 3.841 }, 20),
    ] {
        let got = joint(method, bins).await;
        assert!(
            got.windows(2)
                .all(|w| w[0].1 == w[1].1 && w[0].0.design == w[1].0.design)
        );
        let (joint, columns) = &got[0];
        assert_eq!(joint.rows as usize, train.len());
        let recipe = recipe(method, bins, train.len());
        let mut kept = Vec::new();
        for of in columns {
            let data = all.column(&of.column).unwrap().data();
            let share = shares(data, &train);
            let want = match (share.missing > 0.95, share.most_common > 0.95) {
                (true, _) => Some(LeftOut::Missing),
                (_, true) => Some(LeftOut::Identical),
                _ => None,
            };
            if want.is_some() {
                assert_eq!((of.left_out, &of.bins), (want, &None), "{}", of.column);
                continue;
            }
            let (binned, woe) = bin(&all, &train, &labels, &of.column, &recipe).unwrap();
            let (got, got_woe) = of.bins.as_ref().unwrap();
            assert_eq!(got.binning, binned.binning, "{} by {method:?}", of.column);
            assert_eq!(
                (&got.woe, got.iv),
                (&binned.woe, binned.iv),
                "{}",
                of.column
            );
            assert_eq!(got_woe, &woe);
            assert_eq!(
                of.left_out.is_none(),
                binned.woe.len() > 1 && binned.iv >= 0.02
            );
            if of.left_out.is_none() {
                kept.push(binned);
            }
        }
        let left: Vec<_> = columns.iter().filter_map(|c| c.left_out).collect();
        assert!(left.contains(&LeftOut::Missing) && left.contains(&LeftOut::Identical));
        let want = Design::of_woe(&all, &train, kept).unwrap();
        assert!(want.width() >= 3);
        for (got, want) in joint.design.columns().iter().zip(want.columns()) {
            assert_eq!(
                (&got.name, &got.source, got.sd),
                (&want.name, &want.source, want.sd)
            );
            assert!((got.mean - want.mean).abs() < 1e-12, "{}", got.name);
        }
        assert_eq!(joint.design.width(), want.width());
    }
}
