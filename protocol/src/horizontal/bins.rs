//! Columns as weight of evidence of joint bins, from sums over banks.
//!
//! **Functionality.** Every bank ends with the bins and weights that [`bin`](paripassu_model::binning::bin) makes of all
//! banks' training rows together: quantiles of numbers to the bit, levels of the job's list, small bins joined,
//! bins merged by the recipe's method, and columns left out that miss too much, are nearly all of one value or say too
//! little. The design has one column for each that is kept, at its weights less their joint mean.
//!
//! **What is learned.** By all banks, summed over all: rows and bads; missing and special values by number; rows by level of
//! the list that the job declares; how many rows lie up to thresholds that close in on a number's least value, its
//! median and its quantiles; for each fine bin of each column its rows and its bads, and how many rows have a
//! number's median. By the adder: who takes part and lengths.
//!
//! **Precision.** Exact: counts.
//!
//! **Cost.** 13 sums at most; the 11 of the quantiles of 126 words for each inner edge of each number.
//!
//! **Source.** Bins and weights as in [`paripassu_model::binning`]; order statistics as in the search for medians.

use std::collections::BTreeMap;

use paripassu_model::{
    binning::{
        Binned, Binning, Counts, Cut, Edge, Numbers, Place, Recipe, Woe, bins_of_levels,
        bins_of_numbers, of_counts, with_enough_rows,
    },
    design::{Design, DesignColumn, MISSING_LEVEL, Source},
};

use super::{
    SumOf,
    fixed::bits,
    prepare::{Book, Joint, numbers, with_missing},
    quantiles::order_statistics,
    secagg::Client,
    sum,
};
use crate::{abort::Abort, arith::Openings, channel::Channel};

/// What of columns is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// A column that misses a larger share of the rows is left out.
    pub max_missing: f64,
    /// A column with one value in a larger share of the rows, of which at least half, is left out.
    pub max_identical: f64,
    /// A column with less information value is left out.
    pub min_iv: f64,
}

/// Why a column is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Too many of its rows are missing.
    Missing,
    /// Too many of its rows have one value.
    Identical,
    /// All rows are in one bin, or its information value is too low.
    Uninformative,
}

/// What became of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct OfColumn {
    /// Its name.
    pub column: String,
    /// Its bins, and the counts of all banks' rows in them; none where it was left out before.
    pub bins: Option<(Binned, Woe)>,
    /// Why it is no part of the design.
    pub left_out: Option<LeftOut>,
}

fn own(e: impl std::fmt::Display) -> Abort {
    Abort::Input(e.to_string())
}

/// A column's rows, of all banks.
struct Found {
    column: String,
    fine: Binning,
    /// The median of a number.
    median: Option<f64>,
    missing: u64,
    /// Rows of the value that most rows have, of special values and levels.
    most_common: u64,
}

/// Finds the joint bins and the design made of them.
///
/// # Leakage
/// The sums named in the module's head, to all banks: declared as [`SumOf::Counts`], [`SumOf::Quantiles`] and
/// [`SumOf::Bins`].
///
/// # Errors
/// Fewer training rows than the job asks of a bank; one class; no column that is left; a column that is missing or of the
/// wrong kind; those of sums.
pub async fn prepare<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    book: &Book<'_>,
    recipe: &(dyn Fn(usize) -> Recipe + Sync),
    keep: Keep,
) -> Result<(Joint, Vec<OfColumn>), Abort> {
    book.has_enough_rows()?;
    // special values do not depend on the number of rows
    let special = recipe(0).cut.special;
    let values = own_counts(book, &special)?;
    let counts = sum(client, ledger, SumOf::Counts, "counts", values).await?;
    let mut words = counts.words.into_iter();
    let mut next = || words.next().unwrap_or_default();
    let (rows, bads) = (next(), next());
    let total = Counts {
        good: rows.saturating_sub(bads),
        bad: bads,
    };
    if total.good == 0 || bads == 0 {
        return Err(own(
            "all training rows of all banks have one label: weight of evidence needs good and bad ones",
        ));
    }
    let recipe = recipe(usize::try_from(rows).map_err(own)?);
    let of_numbers: Vec<(u64, Vec<u64>)> = book
        .numeric
        .iter()
        .map(|_| (next(), special.iter().map(|_| next()).collect()))
        .collect();
    let of_levels: Vec<Vec<u64>> = book
        .levels
        .iter()
        .map(|(_, listed)| (0..=with_missing(listed).count()).map(|_| next()).collect())
        .collect();
    let mut found = quantiles(client, ledger, book, (rows, &of_numbers), &recipe).await?;
    for ((column, listed), count) in book.levels.iter().zip(of_levels) {
        found.push(of_category(column, listed, &count, &recipe)?);
    }
    let wanted = own_bins(book, &found)?;
    let got = sum(client, ledger, SumOf::Bins, "bins", wanted).await?;
    let mut words = got.words.into_iter();
    let mut all = Vec::new();
    for of in found {
        let mut next = || words.next().unwrap_or_default();
        let common = of.most_common.max(match of.median {
            Some(_) => next(),
            None => 0,
        });
        let mut count = Vec::with_capacity(of.fine.bins.len());
        for _ in 0..of.fine.bins.len() {
            let (rows, bad) = (next(), next());
            let good = rows.checked_sub(bad).ok_or_else(|| {
                own(format!(
                    "`{}` has a bin with more bads than rows",
                    of.column
                ))
            })?;
            count.push(Counts { good, bad });
        }
        let too_many = |n: u64, most: f64| n as f64 > most * rows as f64;
        let left_out = match (
            too_many(of.missing, keep.max_missing),
            too_many(common, keep.max_identical),
        ) {
            (true, _) => Some(LeftOut::Missing),
            (_, true) => Some(LeftOut::Identical),
            _ => None,
        };
        let bins = match left_out {
            Some(_) => None,
            None => Some(weighed(of.fine, &count, &recipe)?),
        };
        let says = |(binned, _): &(Binned, Woe)| binned.woe.len() > 1 && binned.iv >= keep.min_iv;
        let uninformative = bins.as_ref().is_some_and(|bins| !says(bins));
        all.push(OfColumn {
            column: of.column,
            left_out: left_out.or(uninformative.then_some(LeftOut::Uninformative)),
            bins,
        });
    }
    Ok((design(&all, rows, bads)?, all))
}

/// The design of the columns that are kept.
fn design(all: &[OfColumn], rows: u64, bads: u64) -> Result<Joint, Abort> {
    let (mut columns, mut largest) = (Vec::new(), 1.0f64);
    for of in all {
        let (Some((binned, woe)), None) = (&of.bins, of.left_out) else {
            continue;
        };
        let over = |f: &dyn Fn(f64) -> f64| {
            let parts = woe.bins.iter();
            parts
                .map(|b| b.counts.rows() as f64 * f(b.woe))
                .sum::<f64>()
                / rows as f64
        };
        let mean = over(&|w| w);
        largest = largest.max(over(&|w| (w - mean) * (w - mean)));
        columns.push(DesignColumn {
            name: format!("{}__woe", of.column),
            source: Source::Woe(binned.clone()),
            mean,
            sd: 1.0,
        });
    }
    if columns.is_empty() {
        return Err(own(
            "no column is left after binning: lower binning.min_iv or min_class, or bring others",
        ));
    }
    let train = usize::try_from(rows).map_err(own)?;
    Ok(Joint {
        design: Design::given(columns, Vec::new(), train),
        rows,
        bads,
        // columns keep their scale: sums over them are larger by at most their largest variance
        weight_exponent: bits(largest.ceil() as u64),
    })
}

/// Fine bins with too few rows are joined, then the recipe merges by counts.
fn weighed(fine: Binning, count: &[Counts], recipe: &Recipe) -> Result<(Binned, Woe), Abort> {
    let sizes: Vec<u64> = count.iter().map(|c| c.rows()).collect();
    let (fine, parts) = with_enough_rows(fine, sizes, recipe.cut.min_rows.max(1));
    let joined: Vec<Counts> = parts
        .iter()
        .map(|bins| bins.iter().filter_map(|b| count.get(*b)).copied().sum())
        .collect();
    of_counts(fine, &joined, recipe).map_err(own)
}

fn own_counts(book: &Book<'_>, special: &[Edge]) -> Result<Vec<u64>, Abort> {
    let mut out = book.rows_and_bads()?;
    for name in book.numeric {
        let values = numbers(book.table, name)?;
        let of = |is: &dyn Fn(f64) -> bool| {
            let rows = book.train.iter().filter_map(|r| values.get(*r));
            rows.filter(|v| is(**v)).count() as u64
        };
        out.push(of(&f64::is_nan));
        out.extend(special.iter().map(|s| of(&|v| v == s.value())));
    }
    for (name, listed) in book.levels {
        out.extend(book.rows_by_level(name, listed)?);
    }
    Ok(out)
}

/// Values of a number in the training rows that are neither missing nor special.
fn plain(book: &Book<'_>, name: &str, special: &[Edge]) -> Result<Vec<f64>, Abort> {
    let values = numbers(book.table, name)?;
    let rows = book.train.iter().filter_map(|r| values.get(*r)).copied();
    let is_plain = |v: &f64| !v.is_nan() && !special.iter().any(|s| s.value() == *v);
    Ok(rows.filter(is_plain).collect())
}

/// Fine bins of the numbers.
async fn quantiles<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    book: &Book<'_>,
    (rows, counted): (u64, &[(u64, Vec<u64>)]),
    recipe: &Recipe,
) -> Result<Vec<Found>, Abort> {
    let special = &recipe.cut.special;
    let many = match recipe.cut.cut {
        Cut::Quantile(bins) => bins,
        _ => 1,
    };
    let (mut values, mut ranks) = (BTreeMap::new(), Vec::new());
    let mut places = Vec::new();
    for (column, (name, (missing, of_special))) in book.numeric.iter().zip(counted).enumerate() {
        values.insert(column, plain(book, name, special)?);
        let plain = rows.saturating_sub(*missing + of_special.iter().sum::<u64>());
        let of = match plain {
            0 => Vec::new(),
            _ => Place::of(plain, many),
        };
        if plain > 0 {
            // the least, the median, and what quantiles lie between
            let ends = of.iter().flat_map(|p| [p.below + 1, p.above + 1]);
            let wanted = [1, plain.div_ceil(2)].into_iter().chain(ends);
            ranks.extend(wanted.map(|rank| (column, rank)));
        }
        places.push((plain, of));
    }
    let got = order_statistics(client, ledger, values, &ranks).await?;
    let mut got = got.into_iter();
    let mut next = || got.next().unwrap_or_default();
    let mut all = Vec::new();
    for ((name, (missing, of_special)), (plain, places)) in
        book.numeric.iter().zip(counted).zip(places)
    {
        let (least, median) = match plain {
            0 => (0.0, None),
            _ => (next(), Some(next())),
        };
        let between = |p: Place| {
            let (below, above) = (next(), next());
            p.between(below, above)
        };
        let known = Numbers {
            plain,
            least,
            quantiles: places.into_iter().map(between).collect(),
            missing: *missing > 0,
            special: special
                .iter()
                .zip(of_special)
                .filter(|(_, n)| **n > 0)
                .map(|(s, _)| *s)
                .collect(),
        };
        all.push(Found {
            column: name.clone(),
            fine: bins_of_numbers(name, &recipe.cut, &known).map_err(own)?,
            median,
            missing: *missing,
            most_common: of_special.iter().copied().max().unwrap_or(0),
        });
    }
    Ok(all)
}

/// Fine bins of a category: `count` has the rows of its levels, the one for missing among them, and of all others.
fn of_category(
    column: &str,
    listed: &[String],
    count: &[u64],
    recipe: &Recipe,
) -> Result<Found, Abort> {
    let by_level: BTreeMap<&str, u64> = with_missing(listed).zip(count.iter().copied()).collect();
    let others = count.last().copied().unwrap_or(0);
    let missing = by_level.get(MISSING_LEVEL).copied().unwrap_or(0);
    let names: Vec<String> = by_level
        .keys()
        .filter(|level| **level != MISSING_LEVEL)
        .map(|level| (*level).to_owned())
        .collect();
    let size = |n: u64| usize::try_from(n).map_err(own);
    let mut sizes = names
        .iter()
        .map(|level| size(by_level.get(level.as_str()).copied().unwrap_or(0)))
        .collect::<Result<Vec<_>, _>>()?;
    let most_common = sizes.iter().max().map_or(0, |n| *n as u64);
    let mut named = names;
    if others > 0 {
        // a level that nobody lists is rare: it shares the bin of all others
        named.push(ELSEWHERE.into());
        sizes.push(1.min(size(others)?));
    }
    sizes.push(size(missing)?);
    let mut options = recipe.cut.clone();
    if others > 0 {
        options.rare_level_rows = options.rare_level_rows.max(2);
    }
    Ok(Found {
        column: column.to_owned(),
        fine: bins_of_levels(column, &named, &sizes, &options),
        median: None,
        missing,
        most_common,
    })
}

/// Stands for levels that the job does not list; no bin has its name.
const ELSEWHERE: &str = "\u{0}not listed";

/// For each column the rows that have its median, then rows and bads of each fine bin.
fn own_bins(book: &Book<'_>, found: &[Found]) -> Result<Vec<u64>, Abort> {
    let labels = book.labels()?;
    let mut out = Vec::new();
    for of in found {
        if let Some(median) = of.median {
            let values = numbers(book.table, &of.column)?;
            let rows = book.train.iter().filter_map(|r| values.get(*r));
            out.push(rows.filter(|v| **v == median).count() as u64);
        }
        let mut count = vec![[0u64; 2]; of.fine.bins.len()];
        let assigned = of.fine.assign(book.table, book.train).map_err(own)?;
        for (bin, row) in assigned.into_iter().zip(book.train) {
            let place = bin
                .and_then(|bin| count.get_mut(bin))
                .ok_or_else(|| own(format!("row {} of `{}` is in no bin", row + 1, of.column)))?;
            place[0] += 1;
            place[1] += u64::from(labels.get(*row) == Some(&1));
        }
        out.extend(count.into_iter().flatten());
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
