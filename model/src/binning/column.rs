//! A column from fine bins to weight of evidence, in the steps that a joint job takes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::{
    Binning, BinningError, Counts, CutOptions, Limits, Method, Order, Smoothing, Woe, WoeSign,
    counts, merge, prebin, weight_of_evidence,
};
use crate::table::{ColumnData, MISSING_CODE, Table};

/// How a column is binned.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// How fine bins are cut.
    pub cut: CutOptions,
    /// How they are merged.
    pub method: Method,
    /// What merged bins keep to. Fine bins that lack [`Limits::min_class`] rows of a class are joined to
    /// others before anything else.
    pub limits: Limits,
    /// Which way weight of evidence points.
    pub sign: WoeSign,
    /// What is done about classes without rows.
    pub smoothing: Smoothing,
}

/// A column's bins and what they weigh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binned {
    /// The bins.
    pub binning: Binning,
    /// Weight of evidence of each bin, in their order.
    pub woe: Vec<f64>,
    /// Information value.
    pub iv: f64,
}

impl Binning {
    /// How many bins come before those of missing and special values, and whether these have an order.
    pub fn ordinary(&self) -> (usize, Order) {
        let ordinary = self.bins.iter().take_while(|b| !b.is_apart()).count();
        let ranges = self.bins.iter().any(|b| b.range.is_some());
        let order = match ranges {
            true => Order::Ascending,
            false => Order::Nominal,
        };
        (ordinary, order)
    }
}

/// The new bin of each, so that every new one holds a bin that has enough of both classes.
///
/// `enough` says which have. A range without joins the nearest range that has, a level the level with the
/// fewest `rows` that has, what stands apart the bin with the most rows that has. Where none has, all
/// become one.
pub fn join_small(enough: &[bool], rows: &[u64], ordinary: usize, order: Order) -> Vec<usize> {
    let all = enough.len().min(rows.len());
    let has = |i: &usize| enough[*i];
    let size = |i: &usize| rows[*i];
    let into = |i: usize| {
        if enough[i] {
            return i;
        }
        let candidates = || (0..ordinary.min(all)).filter(has);
        let found = match (i < ordinary, order) {
            (true, Order::Ascending) => candidates().min_by_key(|j| (j.abs_diff(i), size(j))),
            (true, Order::Nominal) => candidates().min_by_key(size),
            (false, _) => candidates().max_by_key(size),
        };
        found.or_else(|| (0..all).find(has)).unwrap_or(0)
    };
    let targets: Vec<usize> = (0..all).map(into).collect();
    let mut kept = targets.clone();
    kept.sort_unstable();
    kept.dedup();
    let place = |t: &usize| kept.partition_point(|k| k < t);
    targets.iter().map(place).collect()
}

/// Shares of rows that say how little a column tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// Of missing values.
    pub missing: f64,
    /// Of the value that most rows have.
    pub most_common: f64,
}

/// How many of these rows miss a value, and how many have the most common one.
pub fn shares(data: &ColumnData, rows: &[usize]) -> Shares {
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let mut missing = 0;
    for &i in rows {
        let key = match data {
            ColumnData::Numeric(values) if values[i].is_nan() => None,
            // one zero
            ColumnData::Numeric(values) => Some((values[i] + 0.0).to_bits()),
            ColumnData::Categorical { codes, .. } => {
                Some(u64::from(codes[i])).filter(|_| codes[i] != MISSING_CODE)
            }
        };
        match key {
            Some(key) => *seen.entry(key).or_default() += 1,
            None => missing += 1,
        }
    }
    let share = |n: usize| n as f64 / rows.len().max(1) as f64;
    Shares {
        missing: share(missing),
        most_common: share(seen.into_values().max().unwrap_or(0)),
    }
}

/// `values` summed by group.
pub fn by_group<T: Copy + Default + std::ops::Add<Output = T>>(
    values: &[T],
    group: &[usize],
) -> Vec<T> {
    let mut sums = vec![T::default(); group.iter().max().map_or(0, |g| g + 1)];
    for (value, g) in values.iter().zip(group) {
        sums[*g] = sums[*g] + *value;
    }
    sums
}

/// Bins a column of a table by the labels of these rows, which whoever holds both can do alone.
///
/// # Errors
/// As [`prebin`], [`counts`] and [`weight_of_evidence`].
pub fn bin(
    table: &Table,
    rows: &[usize],
    labels: &[u8],
    column: &str,
    recipe: &Recipe,
) -> Result<(Binned, Woe), BinningError> {
    let fine = prebin(table, rows, column, &recipe.cut)?;
    let assigned = fine.assign(table, rows)?;
    let of_fine = counts(&assigned, labels, fine.bins.len())?;
    of_counts(fine, &of_fine, recipe)
}

/// Bins of a column from its fine ones, each with enough rows, and the counts in them.
///
/// # Errors
/// As [`weight_of_evidence`].
pub fn of_counts(
    fine: Binning,
    of_fine: &[Counts],
    recipe: &Recipe,
) -> Result<(Binned, Woe), BinningError> {
    let (ordinary, order) = fine.ordinary();
    let least = recipe.limits.min_class;
    let enough: Vec<bool> = of_fine
        .iter()
        .map(|c| c.good >= least && c.bad >= least)
        .collect();
    let sizes: Vec<u64> = of_fine.iter().map(|c| c.rows()).collect();
    let group = join_small(&enough, &sizes, ordinary, order);
    let (fine, of_fine) = (fine.merged(&group)?, by_group(of_fine, &group));
    let (ordinary, order) = fine.ordinary();
    let (group, woe) = weigh(&of_fine, ordinary, order, recipe)?;
    let binned = Binned {
        binning: fine.merged(&group)?,
        woe: woe.bins.iter().map(|b| b.woe).collect(),
        iv: woe.iv,
    };
    Ok((binned, woe))
}

/// Which bins are merged, by their counts, and what the merged ones weigh.
///
/// # Errors
/// As [`weight_of_evidence`].
pub fn weigh(
    counts: &[Counts],
    ordinary: usize,
    order: Order,
    recipe: &Recipe,
) -> Result<(Vec<usize>, Woe), BinningError> {
    let group = merge(counts, ordinary, order, recipe.method, &recipe.limits);
    let merged = by_group(counts, &group);
    let woe = weight_of_evidence(&merged, recipe.sign, recipe.smoothing)?;
    Ok((group, woe))
}
