//! Weight of evidence on shipped data against figures that numpy and pandas gave.

#![allow(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use paripassu_model::{
    binning::{Cut, CutOptions, Edge, Smoothing, WoeSign, counts, prebin, weight_of_evidence},
    schema::DatasetSpec,
    split::IdSplit,
    table::{ColumnData, Table},
};
use std::path::Path;

/// The edges of a column at its training deciles. They close bins on the right: a value at an edge falls
/// to its left, so the edge that opens the next bin is the next number above.
fn deciles(values: &[f64], rows: &[usize]) -> Vec<Edge> {
    let mut seen: Vec<f64> = rows.iter().map(|&i| values[i]).collect();
    seen.retain(|v| !v.is_nan());
    seen.sort_by(f64::total_cmp);
    let at = |k: usize| {
        let h = (seen.len() - 1) as f64 * (k as f64 / 10.0);
        let low = h.floor() as usize;
        let high = (low + 1).min(seen.len() - 1);
        seen[low] + (seen[high] - seen[low]) * (h - low as f64)
    };
    let mut edges: Vec<Edge> = (1..10)
        .map(|k| Edge::new(at(k).next_up()).unwrap())
        .collect();
    edges.dedup();
    edges
}

#[test]
fn information_values_are_the_published_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/german_credit");
    let numeric = [
        "duration_in_month",
        "credit_amount",
        "installment_rate_in_percentage_of_disposable_income",
    ];
    let categorical = [
        "status_of_existing_checking_account",
        "purpose",
        "savings_account_and_bonds",
    ];
    let spec = DatasetSpec {
        id_more: Vec::new(),
        id: "id".into(),
        numeric: numeric.map(Into::into).to_vec(),
        categorical: categorical.map(Into::into).to_vec(),
        label: Some("y".into()),
        missing: vec![],
        id_rules: vec![],
    };
    let table = Table::load(&folder.join("bank.csv"), &spec).unwrap();
    let train = IdSplit::new(3).unwrap().rows(table.ids()).train;
    let y = table.label().unwrap();
    let labels: Vec<u8> = train.iter().map(|&i| y[i]).collect();
    // by make_reference.py on the same rows: ten bins at the deciles, half a row added to every cell
    let published = [
        ("duration_in_month", 0.30302),
        ("credit_amount", 0.12244),
        (
            "installment_rate_in_percentage_of_disposable_income",
            0.06544,
        ),
        ("status_of_existing_checking_account", 0.54642),
        ("purpose", 0.23154),
        ("savings_account_and_bonds", 0.20746),
    ];
    for (column, iv) in published {
        let edges = match table.column(column).unwrap().data() {
            ColumnData::Numeric(values) => deciles(values, &train),
            _ => Vec::new(),
        };
        let options = CutOptions {
            cut: Cut::Edges(edges),
            special: Vec::new(),
            rare_level_rows: 20,
            min_rows: 1,
        };
        let bins = prebin(&table, &train, column, &options).unwrap();
        let assigned = bins.assign(&table, &train).unwrap();
        let counted = counts(&assigned, &labels, bins.bins.len()).unwrap();
        let woe = weight_of_evidence(&counted, WoeSign::GoodBad, Smoothing::AllCells).unwrap();
        assert!((woe.iv - iv).abs() < 6e-6, "{column}: {} but {iv}", woe.iv);
    }
}
