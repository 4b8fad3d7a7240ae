//! Characteristic stability of a party's own columns: each column's distribution in a sample against
//! that in the training rows. Numbers are cut at the training rows' deciles, missing values are a bin
//! of their own; categories are their levels.

use serde::{Deserialize, Serialize};

use crate::{
    metrics::stability_index,
    table::{Column, ColumnData, MISSING_CODE, Table},
};

/// Most levels of a category that count each by itself; rarer ones share a bin.
const MOST_LEVELS: usize = 30;

/// Stability of columns in samples.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Drift {
    /// Names of the samples compared with the training rows, in order.
    pub samples: Vec<String>,
    /// One for each column.
    pub columns: Vec<ColumnDrift>,
}

/// Stability of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnDrift {
    /// The column.
    pub column: String,
    /// Stability index by sample; none where a sample has no row.
    pub index: Vec<Option<f64>>,
}

/// Bin of each row of a table's column, and the number of bins.
fn bins(column: &Column, train: &[usize]) -> (Vec<usize>, usize) {
    match column.data() {
        ColumnData::Numeric(values) => {
            let mut seen: Vec<f64> = train
                .iter()
                .map(|r| values[*r])
                .filter(|v| !v.is_nan())
                .collect();
            seen.sort_unstable_by(f64::total_cmp);
            let mut edges: Vec<f64> = Vec::new();
            if let Some(last) = seen.len().checked_sub(1) {
                for k in 1..10 {
                    let at = k as f64 / 10.0 * last as f64;
                    let low = at.floor() as usize;
                    let high = (low + 1).min(last);
                    edges.push(seen[low] + (seen[high] - seen[low]) * (at - low as f64));
                }
            }
            edges.dedup();
            let missing = edges.len() + 1;
            let bin = |v: &f64| match v.is_nan() {
                true => missing,
                false => edges.partition_point(|e| e <= v),
            };
            (values.iter().map(bin).collect(), missing + 1)
        }
        ColumnData::Categorical { levels, codes } => {
            let mut counts = vec![0usize; levels.names().len()];
            for row in train {
                if let Some(count) = counts.get_mut(codes[*row] as usize) {
                    *count += 1;
                }
            }
            let mut order: Vec<usize> = (0..counts.len()).collect();
            order.sort_by_key(|c| std::cmp::Reverse(counts[*c]));
            let other = order.len().min(MOST_LEVELS);
            let mut place = vec![other; counts.len()];
            for (at, code) in order.iter().take(MOST_LEVELS).enumerate() {
                place[*code] = at;
            }
            let bin = |code: &u32| match *code {
                MISSING_CODE => other + 1,
                code => place.get(code as usize).copied().unwrap_or(other),
            };
            (codes.iter().map(bin).collect(), other + 2)
        }
    }
}

/// Stability of the named columns of `table` in each sample against the rows `train`.
pub fn drift(
    table: &Table,
    columns: &[&str],
    train: &[usize],
    samples: &[(String, Vec<usize>)],
) -> Drift {
    let of = |name: &&str| {
        let column = table.column(name)?;
        let (bin, count) = bins(column, train);
        let counted = |rows: &[usize]| {
            let mut counts = vec![0u64; count];
            for row in rows {
                counts[bin[*row]] += 1;
            }
            counts
        };
        let expected = counted(train);
        let index = |(_, rows): &(String, Vec<usize>)| {
            stability_index(&expected, &counted(rows))
                .ok()
                .map(|s| s.index)
        };
        Some(ColumnDrift {
            column: (*name).to_owned(),
            index: samples.iter().map(index).collect(),
        })
    };
    Drift {
        samples: samples.iter().map(|s| s.0.clone()).collect(),
        columns: columns.iter().filter_map(of).collect(),
    }
}
