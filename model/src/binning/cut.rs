//! Fine bins of a column, made by its owner without labels.

use serde::{Deserialize, Serialize};

use super::{Bin, Binning, BinningError, Edge, Range, check_rows};
use crate::table::{ColumnData, MISSING_CODE, Table};

/// Where numbers are cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Cut {
    /// So many bins with about equally many rows: edges are quantiles, interpolated between neighbours.
    Quantile(usize),
    /// So many bins of equal width.
    EqualRange(usize),
    /// At these edges.
    Edges(Vec<Edge>),
}

/// How a column is cut.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CutOptions {
    /// Where numbers are cut.
    pub cut: Cut,
    /// Numbers that get bins of their own.
    pub special: Vec<Edge>,
    /// Levels with fewer rows share a bin, which also takes levels that were never seen.
    pub rare_level_rows: usize,
    /// A bin with fewer rows joins a neighbour; one of missing or special values the bin with the most
    /// rows. 0 and 1 alike: bins without rows.
    pub min_rows: usize,
}

/// Cuts a column of a table by its values in these rows.
///
/// Of numbers first the ranges in ascending order, then missing values if there are any, then each
/// special value that occurs. Of categories first the levels, sorted as text, then all rare ones
/// together, then missing, which is a level like others where it is rare.
///
/// # Errors
/// [`BinningError::NoColumn`], [`BinningError::NoRows`], [`BinningError::Row`], [`BinningError::Order`].
pub fn prebin(
    table: &Table,
    rows: &[usize],
    column: &str,
    options: &CutOptions,
) -> Result<Binning, BinningError> {
    if rows.is_empty() {
        return Err(BinningError::NoRows);
    }
    check_rows(table, rows)?;
    let found = table.column(column).ok_or_else(|| BinningError::NoColumn {
        column: column.to_owned(),
    })?;
    let bins = match found.data() {
        ColumnData::Numeric(values) => numbers(values, rows, column, options)?,
        ColumnData::Categorical { levels, codes } => {
            let mut count = vec![0usize; levels.names().len() + 1];
            for &i in rows {
                let at = match codes[i] {
                    MISSING_CODE => levels.names().len(),
                    code => code as usize,
                };
                count[at] += 1;
            }
            categories(levels.names(), &count, options)
        }
    };
    let binning = Binning {
        column: column.to_owned(),
        bins,
    };
    with_enough_rows(binning, table, rows, options.min_rows.max(1))
}

fn numbers(
    values: &[f64],
    rows: &[usize],
    column: &str,
    options: &CutOptions,
) -> Result<Vec<Bin>, BinningError> {
    let special = |v: f64| options.special.iter().any(|s| s.value() == v);
    let seen = || rows.iter().map(|&i| values[i]);
    let mut plain: Vec<f64> = seen().filter(|v| !v.is_nan() && !special(*v)).collect();
    plain.sort_unstable_by(f64::total_cmp);
    let edges = match &options.cut {
        Cut::Edges(edges) => {
            if let Some(w) = edges.windows(2).find(|w| w[0] >= w[1]) {
                return Err(BinningError::Order {
                    column: column.to_owned(),
                    first: w[0],
                    second: w[1],
                });
            }
            edges.clone()
        }
        Cut::Quantile(bins) => inner(&plain, (1..*bins).map(|k| quantile(&plain, k, *bins)))?,
        Cut::EqualRange(bins) => {
            let low = plain.first().copied().unwrap_or(0.0);
            let high = plain.last().copied().unwrap_or(0.0);
            let at = |k: usize| low + (high - low) * (k as f64 / *bins as f64);
            inner(&plain, (1..*bins).map(at))?
        }
    };
    let mut bins = Vec::new();
    let lows = std::iter::once(None).chain(edges.iter().copied().map(Some));
    let highs = edges.iter().copied().map(Some).chain([None]);
    if !plain.is_empty() {
        bins.extend(lows.zip(highs).map(|(low, high)| Bin {
            range: Some(Range { low, high }),
            ..Bin::default()
        }));
    }
    if seen().any(f64::is_nan) {
        bins.push(Bin {
            missing: true,
            ..Bin::default()
        });
    }
    let mut values: Vec<Edge> = options.special.clone();
    values.sort();
    values.dedup();
    values.retain(|v| seen().any(|x| x == v.value()));
    bins.extend(values.into_iter().map(|v| Bin {
        special: vec![v],
        ..Bin::default()
    }));
    Ok(bins)
}

/// Edges above the least value, each once.
fn inner(sorted: &[f64], edges: impl Iterator<Item = f64>) -> Result<Vec<Edge>, BinningError> {
    let Some(least) = sorted.first() else {
        return Ok(Vec::new());
    };
    let mut all = edges
        .filter(|e| e > least)
        .map(Edge::new)
        .collect::<Result<Vec<_>, _>>()?;
    all.dedup();
    Ok(all)
}

/// The k-th of n quantiles of sorted values, interpolated between neighbours.
fn quantile(sorted: &[f64], k: usize, n: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = last as f64 * k as f64 / n as f64;
    let below = (at.floor() as usize).min(last);
    let (Some(&a), Some(&b)) = (sorted.get(below), sorted.get((below + 1).min(last))) else {
        return 0.0;
    };
    let part = at - below as f64;
    if a == b { a } else { a + (b - a) * part }
}

fn categories(names: &[String], count: &[usize], options: &CutOptions) -> Vec<Bin> {
    let least = options.rare_level_rows.max(1);
    let mut common: Vec<&String> = names
        .iter()
        .zip(count)
        .filter(|(_, n)| **n >= least)
        .map(|(name, _)| name)
        .collect();
    common.sort();
    let mut bins: Vec<Bin> = common
        .into_iter()
        .map(|name| Bin {
            levels: [name.clone()].into(),
            ..Bin::default()
        })
        .collect();
    let rare = |n: &usize| (1..least).contains(n);
    let missing = count.get(names.len()).copied().unwrap_or(0);
    if names.iter().zip(count).any(|(_, n)| rare(n)) || rare(&missing) {
        bins.push(Bin {
            other_levels: true,
            missing: rare(&missing),
            ..Bin::default()
        });
    }
    if missing >= least {
        bins.push(Bin {
            missing: true,
            ..Bin::default()
        });
    }
    bins
}

/// Joins bins until each has so many rows, the smallest first.
fn with_enough_rows(
    mut binning: Binning,
    table: &Table,
    rows: &[usize],
    least: usize,
) -> Result<Binning, BinningError> {
    let mut count = vec![0usize; binning.bins.len()];
    for bin in binning.assign(table, rows)?.into_iter().flatten() {
        count[bin] += 1;
    }
    loop {
        let smallest = (0..count.len()).min_by_key(|i| count[*i]);
        let Some(at) = smallest.filter(|i| count[*i] < least && count.len() > 1) else {
            return Ok(binning);
        };
        let numeric = binning.bins[at].range.is_some();
        let near = |i: &usize| !numeric || i.abs_diff(at) == 1 && binning.bins[*i].range.is_some();
        let other = |i: &usize| *i != at && !binning.bins[*i].is_apart();
        let candidates = || (0..count.len()).filter(other).filter(near);
        // a range goes to its smaller neighbour, a rare level to the smallest bin, what stands apart to
        // the largest
        let into = match binning.bins[at].is_apart() {
            true => candidates().max_by_key(|i| count[*i]),
            false => candidates().min_by_key(|i| count[*i]),
        };
        let Some(into) = into.or_else(|| (0..count.len()).find(|i| *i != at)) else {
            return Ok(binning);
        };
        let taken = binning.bins[at].clone();
        binning.bins[into].join(&taken);
        count[into] += count[at];
        binning.bins.remove(at);
        count.remove(at);
    }
}
