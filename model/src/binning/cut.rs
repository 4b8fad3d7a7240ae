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
        ColumnData::Numeric(values) => of_values(values, rows, column, options)?,
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
    let mut count = vec![0u64; binning.bins.len()];
    for bin in binning.assign(table, rows)?.into_iter().flatten() {
        count[bin] += 1;
    }
    Ok(with_enough_rows(binning, count, options.min_rows.max(1)).0)
}

/// What is known of all rows of a number, wherever they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Rows with values that are neither missing nor special.
    pub plain: u64,
    /// The least of these values.
    pub least: f64,
    /// Their quantiles, where [`Cut::Quantile`] asks for them: see [`Place::of`].
    pub quantiles: Vec<f64>,
    /// Whether any row misses a value.
    pub missing: bool,
    /// Special values that occur.
    pub special: Vec<Edge>,
}

/// Where a quantile lies among sorted values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Position of the value below it, from 0.
    pub below: u64,
    /// Position of the value above it.
    pub above: u64,
    part: f64,
}

impl Place {
    /// The places of the inner quantiles that cut `rows` values into `bins`.
    pub fn of(rows: u64, bins: usize) -> Vec<Self> {
        let last = rows.saturating_sub(1);
        let place = |k: usize| {
            let at = last as f64 * k as f64 / bins as f64;
            let below = (at.floor() as u64).min(last);
            Self {
                below,
                above: (below + 1).min(last),
                part: at - below as f64,
            }
        };
        (1..bins).map(place).collect()
    }

    /// The quantile between the values there.
    pub fn between(self, below: f64, above: f64) -> f64 {
        match below == above {
            true => below,
            false => below + (above - below) * self.part,
        }
    }
}

/// Fine bins of a number, before any is joined to another, as [`prebin`] makes them.
///
/// # Errors
/// [`BinningError::Order`]; [`BinningError::Edge`]; a cut that these figures do not say: [`BinningError::Bins`].
pub fn bins_of_numbers(
    column: &str,
    options: &CutOptions,
    of: &Numbers,
) -> Result<Binning, BinningError> {
    let edges = match &options.cut {
        Cut::Edges(edges) => ordered(column, edges)?,
        Cut::Quantile(_) => inner(&[of.least], of.quantiles.iter().copied())?,
        Cut::EqualRange(_) => {
            return Err(BinningError::Bins {
                column: column.to_owned(),
                why: "bins of equal width need the largest value".into(),
            });
        }
    };
    Ok(Binning {
        column: column.to_owned(),
        bins: numbers(&edges, of.plain > 0, of.missing, of.special.clone()),
    })
}

/// Fine bins of a category by rows of each level, those of missing values last, before any is joined to another.
pub fn bins_of_levels(
    column: &str,
    names: &[String],
    count: &[usize],
    options: &CutOptions,
) -> Binning {
    Binning {
        column: column.to_owned(),
        bins: categories(names, count, options),
    }
}

fn ordered(column: &str, edges: &[Edge]) -> Result<Vec<Edge>, BinningError> {
    match edges.windows(2).find(|w| w[0] >= w[1]) {
        Some(w) => Err(BinningError::Order {
            column: column.to_owned(),
            first: w[0],
            second: w[1],
        }),
        None => Ok(edges.to_vec()),
    }
}

fn of_values(
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
        Cut::Edges(edges) => ordered(column, edges)?,
        Cut::Quantile(bins) => {
            let at = |place: u64| {
                let place = usize::try_from(place).ok();
                place.and_then(|p| plain.get(p)).copied().unwrap_or(0.0)
            };
            let places = Place::of(plain.len() as u64, *bins).into_iter();
            inner(&plain, places.map(|p| p.between(at(p.below), at(p.above))))?
        }
        Cut::EqualRange(bins) => {
            let low = plain.first().copied().unwrap_or(0.0);
            let high = plain.last().copied().unwrap_or(0.0);
            let at = |k: usize| low + (high - low) * (k as f64 / *bins as f64);
            inner(&plain, (1..*bins).map(at))?
        }
    };
    let mut special: Vec<Edge> = options.special.clone();
    special.retain(|v| seen().any(|x| x == v.value()));
    let missing = seen().any(f64::is_nan);
    Ok(numbers(&edges, !plain.is_empty(), missing, special))
}

/// Ranges between edges, then missing and each special value.
fn numbers(edges: &[Edge], plain: bool, missing: bool, mut special: Vec<Edge>) -> Vec<Bin> {
    let mut bins = Vec::new();
    let lows = std::iter::once(None).chain(edges.iter().copied().map(Some));
    let highs = edges.iter().copied().map(Some).chain([None]);
    if plain {
        bins.extend(lows.zip(highs).map(|(low, high)| Bin {
            range: Some(Range { low, high }),
            ..Bin::default()
        }));
    }
    if missing {
        bins.push(Bin {
            missing: true,
            ..Bin::default()
        });
    }
    special.sort();
    special.dedup();
    bins.extend(special.into_iter().map(|v| Bin {
        special: vec![v],
        ..Bin::default()
    }));
    bins
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

/// Joins bins until each has so many rows, the smallest first; which of the bins before are in each.
pub fn with_enough_rows(
    mut binning: Binning,
    mut count: Vec<u64>,
    least: usize,
) -> (Binning, Vec<Vec<usize>>) {
    let mut parts: Vec<Vec<usize>> = (0..count.len()).map(|i| vec![i]).collect();
    loop {
        let smallest = (0..count.len()).min_by_key(|i| count[*i]);
        let Some(at) = smallest.filter(|i| count[*i] < least as u64 && count.len() > 1) else {
            return (binning, parts);
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
            return (binning, parts);
        };
        let taken = binning.bins[at].clone();
        binning.bins[into].join(&taken);
        count[into] += count[at];
        let taken = parts[at].clone();
        parts[into].extend(taken);
        binning.bins.remove(at);
        count.remove(at);
        parts.remove(at);
    }
}
