//! The joint design: which columns there are, their fill values, means and deviations, from sums over banks.
//!
//! **Functionality.** Every bank ends with the [`Design`] that [`Design::fit`] finds on the training rows of all
//! banks together: a number's missing values become the joint median, with a column that flags them (a number
//! that no training row lacks becomes its mean where a later row does); a level
//! with fewer rows than asked joins `__other__`; columns are standardised by joint mean and deviation.
//!
//! **What is learned.** By all banks, summed over all: rows and bads; missing values by number; rows by level
//! of the list that the job declares (other levels are one); for each number with missing values, how many
//! rows lie below thresholds that close in on the median; how many banks have a column's largest magnitude
//! in each power of two; sums and squared deviations by column. By the adder: who takes part and lengths.
//!
//! **Precision.** Medians are exact. A mean is off by at most 2^-52 n of the column's largest magnitude, a
//! deviation's relative error is about 2^-40. A column whose deviation is below 2^-40 of its largest magnitude is
//! taken for constant.
//!
//! **Cost.** 5 sums; 11 more, of 126 words a column, where a number has missing values.

use std::collections::BTreeMap;

use paripassu_model::{
    design::{
        ConstantColumns, Design, DesignColumn, DesignOptions, MISSING_LEVEL, OTHER_LEVEL, Source,
    },
    table::{ColumnData, Table},
};

use super::{
    SumOf,
    fixed::{Point, bits},
    quantiles::order_statistics,
    secagg::Client,
    sum,
};
use crate::{abort::Abort, arith::Openings, channel::Channel};

/// Powers of two that a largest magnitude may lie in: 2^-64 to 2^63.
const EXPONENTS: usize = 128;

/// A bank's rows and what the job says of its columns, which all banks have alike.
#[derive(Debug)]
pub struct Book<'a> {
    /// The bank's table.
    pub table: &'a Table,
    /// Its training rows.
    pub train: &'a [usize],
    /// Numbers, in the order of the job.
    pub numeric: &'a [String],
    /// Categories with the levels that the job lists.
    pub levels: &'a [(String, Vec<String>)],
    /// Constant and rare.
    pub options: DesignOptions,
    /// Least training rows of this bank.
    pub min_rows: u64,
    /// This bank's largest weight of a row; 1 where there are none.
    pub largest_weight: f64,
}

/// What preparation finds.
#[derive(Debug, Clone)]
pub struct Joint {
    /// The same at every bank.
    pub design: Design,
    /// Training rows of all banks.
    pub rows: u64,
    /// Of them bad.
    pub bads: u64,
    /// Largest weight of any row lies below 2 to this.
    pub weight_exponent: i32,
}

fn own(e: impl std::fmt::Display) -> Abort {
    Abort::Input(e.to_string())
}

fn count(n: usize) -> u64 {
    n as u64
}

/// The exponent e with |x| < 2^e, within what is counted.
fn exponent(x: f64) -> usize {
    if x == 0.0 {
        return 0;
    }
    let e = x.abs().log2().floor() as i64 + 1;
    (e + 64).clamp(0, EXPONENTS as i64 - 1) as usize
}

/// Finds the joint design.
///
/// # Leakage
/// The sums named in the module's head, to all banks: declared as [`SumOf::Counts`], [`SumOf::Quantiles`],
/// [`SumOf::Ranges`] and [`SumOf::Moments`].
///
/// # Errors
/// Fewer training rows than the job asks of a bank; a column that is missing, of the wrong kind, constant where
/// that is refused; those of sums.
pub async fn prepare<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    book: &Book<'_>,
) -> Result<Joint, Abort> {
    book.has_enough_rows()?;
    let counts = sum(client, ledger, SumOf::Counts, "counts", own_counts(book)?).await?;
    let mut words = counts.words.into_iter();
    let mut next = || words.next().unwrap_or_default();
    let (rows, bads) = (next(), next());
    let missing: Vec<u64> = book.numeric.iter().map(|_| next()).collect();
    let fills = medians(client, ledger, book, rows, &missing).await?;

    let mut named: Vec<(String, Source)> = Vec::new();
    for (column, fill) in book.numeric.iter().zip(&fills) {
        named.push((
            column.clone(),
            Source::Numeric {
                column: column.clone(),
                fill: *fill,
            },
        ));
    }
    for (column, missing) in book.numeric.iter().zip(&missing) {
        if *missing > 0 {
            let source = Source::MissingFlag {
                column: column.clone(),
            };
            named.push((format!("{column}__missing"), source));
        }
    }
    for (column, levels) in book.levels {
        let by_level: BTreeMap<&str, u64> =
            with_missing(levels).map(|level| (level, next())).collect();
        let least = count(book.options.rare_level_rows.max(1));
        let others = next() + by_level.values().filter(|n| **n < least).sum::<u64>();
        let known: Vec<String> = by_level
            .iter()
            .filter(|(_, n)| **n >= least)
            .map(|(level, _)| (*level).to_owned())
            .collect();
        for level in &known {
            let source = Source::Level {
                column: column.clone(),
                level: level.clone(),
            };
            named.push((format!("{column}={level}"), source));
        }
        if others > 0 {
            let source = Source::Other {
                column: column.clone(),
                known,
            };
            named.push((format!("{column}={OTHER_LEVEL}"), source));
        }
    }
    let (design, weight_exponent) = standardise(client, ledger, book, named, rows).await?;
    Ok(Joint {
        design,
        rows,
        bads,
        weight_exponent,
    })
}

/// The job's levels in one order, each once, and the one that stands for a missing category.
pub(super) fn with_missing(levels: &[String]) -> impl Iterator<Item = &str> {
    let mut all: Vec<&str> = levels
        .iter()
        .map(String::as_str)
        .chain([MISSING_LEVEL])
        .collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

pub(super) fn numbers<'t>(table: &'t Table, name: &str) -> Result<&'t [f64], Abort> {
    match table.column(name).map(|c| c.data()) {
        Some(ColumnData::Numeric(values)) => Ok(values),
        Some(_) => Err(Abort::Input(format!("column `{name}` is no number"))),
        None => Err(Abort::Input(format!("the data set has no column `{name}`"))),
    }
}

impl Book<'_> {
    /// Refuses a bank with fewer training rows than the job asks for.
    pub(super) fn has_enough_rows(&self) -> Result<(), Abort> {
        match count(self.train.len()) < self.min_rows {
            true => Err(Abort::Input(format!(
                "{} training rows, fewer than the {} that the job asks of each bank",
                self.train.len(),
                self.min_rows
            ))),
            false => Ok(()),
        }
    }

    pub(super) fn labels(&self) -> Result<&[u8], Abort> {
        self.table
            .label()
            .ok_or_else(|| own("the data set has no label"))
    }

    pub(super) fn rows_and_bads(&self) -> Result<Vec<u64>, Abort> {
        let labels = self.labels()?;
        let bads = self
            .train
            .iter()
            .filter(|r| labels.get(**r) == Some(&1))
            .count();
        Ok(vec![count(self.train.len()), count(bads)])
    }

    /// Training rows of each level of the list and of the one for missing, then of all others together.
    pub(super) fn rows_by_level(&self, name: &str, listed: &[String]) -> Result<Vec<u64>, Abort> {
        let Some(ColumnData::Categorical { levels, codes }) =
            self.table.column(name).map(|c| c.data())
        else {
            return Err(Abort::Input(format!(
                "column `{name}` is no category of the data set"
            )));
        };
        let mut by_level: BTreeMap<&str, u64> = BTreeMap::new();
        for row in self.train {
            let code = codes.get(*row).and_then(|c| usize::try_from(*c).ok());
            let level = code.and_then(|c| levels.names().get(c));
            *by_level
                .entry(level.map_or(MISSING_LEVEL, String::as_str))
                .or_default() += 1;
        }
        let of_list = with_missing(listed).map(|level| by_level.remove(level).unwrap_or_default());
        let mut out: Vec<u64> = of_list.collect();
        out.push(by_level.values().sum());
        Ok(out)
    }
}

fn own_counts(book: &Book<'_>) -> Result<Vec<u64>, Abort> {
    let mut out = book.rows_and_bads()?;
    for name in book.numeric {
        let values = numbers(book.table, name)?;
        let missing = book
            .train
            .iter()
            .filter(|r| values.get(**r).is_none_or(|v| v.is_nan()));
        out.push(count(missing.count()));
    }
    for (name, listed) in book.levels {
        out.extend(book.rows_by_level(name, listed)?);
    }
    Ok(out)
}

async fn medians<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    book: &Book<'_>,
    rows: u64,
    missing: &[u64],
) -> Result<Vec<f64>, Abort> {
    // where no training row lacks the number, its mean will do
    let mut fills: Vec<f64> = missing
        .iter()
        .map(|n| if *n == 0 { f64::NAN } else { 0.0 })
        .collect();
    let mut searches = Vec::new();
    for (column, missing) in missing.iter().enumerate() {
        let present = rows.saturating_sub(*missing);
        if *missing == 0 || present == 0 {
            continue;
        }
        for rank in [present.div_ceil(2), present / 2 + 1] {
            searches.push((column, rank));
        }
    }
    if searches.is_empty() {
        // the job declares them: nothing of them is opened
        ledger.record(
            crate::arith::Opening::Sum(SumOf::Quantiles),
            crate::arith::Receivers::All,
            0,
        )?;
        return Ok(fills);
    }
    let mut values = BTreeMap::new();
    for (column, _) in &searches {
        let of = numbers(book.table, &book.numeric[*column])?;
        let present = book.train.iter().filter_map(|r| of.get(*r)).copied();
        values.insert(*column, present.filter(|v| !v.is_nan()).collect());
    }
    let found = order_statistics(client, ledger, values, &searches).await?;
    for (pair, column) in found.chunks(2).zip(searches.iter().step_by(2)) {
        if let [lower, upper] = pair {
            fills[column.0] = match lower == upper {
                true => *lower,
                false => (lower + upper) / 2.0,
            };
        }
    }
    Ok(fills)
}

/// Scales, means and deviations of the named columns.
async fn standardise<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    book: &Book<'_>,
    named: Vec<(String, Source)>,
    rows: u64,
) -> Result<(Design, i32), Abort> {
    let clients = client.clients();
    let plain = |(name, source): &(String, Source)| DesignColumn {
        name: name.clone(),
        source: source.clone(),
        mean: 0.0,
        sd: 1.0,
    };
    let raw = Design::given(
        named.iter().map(plain).collect(),
        Vec::new(),
        book.train.len(),
    );
    let x = raw.transform(book.table, book.train).map_err(own)?;

    let is_number = |source: &Source| matches!(source, Source::Numeric { .. });
    let scaled: Vec<usize> = (0..named.len())
        .filter(|j| is_number(&named[*j].1))
        .collect();
    let mut histogram = vec![0u64; (scaled.len() + 1) * EXPONENTS];
    let tops = scaled
        .iter()
        .map(|j| x.column(*j).iter().fold(0.0f64, |m, v| m.max(v.abs())));
    for (place, top) in tops.chain([book.largest_weight]).enumerate() {
        histogram[place * EXPONENTS + exponent(top)] += 1;
    }
    let ranges = sum(client, ledger, SumOf::Ranges, "ranges", histogram).await?;
    let mut found = ranges
        .words
        .chunks(EXPONENTS)
        .map(|by| by.iter().rposition(|n| *n > 0).unwrap_or_default() as i32 - 64);
    // an indicator is at most 1
    let mut exponents = vec![0; named.len()];
    for j in scaled {
        exponents[j] = found.next().unwrap_or_default();
    }
    let weight_exponent = found.next().unwrap_or_default();

    let size = bits(rows);
    let points: Vec<Point> = exponents
        .iter()
        .map(|e| Point::for_sums_up_to(e + size, clients))
        .collect();
    let column = |j: usize| {
        let name = named[j].0.clone();
        move || format!("the sum over column `{name}`")
    };
    let mut own_sums = Vec::with_capacity(named.len());
    for (j, point) in points.iter().enumerate() {
        own_sums.push(point.encode(x.column(j).sum(), clients, column(j))?);
    }
    let sums = sum(client, ledger, SumOf::Moments, "means", own_sums).await?;
    let means: Vec<f64> = sums
        .words
        .iter()
        .zip(&points)
        .map(|(w, point)| point.decode(*w) / rows as f64)
        .collect();

    // squared distances twice: by what the largest magnitude allows, then as finely as that has shown to fit
    let mut magnitudes: Vec<i32> = exponents.iter().map(|e| 2 * (e + 1) + size).collect();
    let mut squares = vec![0.0; named.len()];
    for purpose in ["deviations, roughly", "deviations"] {
        let points: Vec<Point> = magnitudes
            .iter()
            .map(|m| Point::for_sums_up_to(*m, clients))
            .collect();
        let mut own_squares = Vec::with_capacity(named.len());
        for (j, (point, mean)) in points.iter().zip(&means).enumerate() {
            let square: f64 = x.column(j).iter().map(|v| (v - mean) * (v - mean)).sum();
            own_squares.push(point.encode(square, clients, column(j))?);
        }
        let got = sum(client, ledger, SumOf::Moments, purpose, own_squares).await?;
        for (j, (word, point)) in got.words.iter().zip(&points).enumerate() {
            squares[j] = point.decode(*word);
            // each bank has rounded by half a unit at most
            let most = point.decode(word.saturating_add(count(clients)));
            magnitudes[j] = most.log2().ceil() as i32 + 1;
        }
    }
    let (mut columns, mut constant) = (Vec::new(), Vec::new());
    for (j, (name, source)) in named.into_iter().enumerate() {
        let mut sd = (squares[j].max(0.0) / rows as f64).sqrt();
        // below what the rounding of the mean makes of a constant
        if sd <= 2f64.powi(exponents[j] - 40) {
            constant.push(name.clone());
            match book.options.constant {
                ConstantColumns::Drop => continue,
                ConstantColumns::Keep => sd = 1.0,
                ConstantColumns::Refuse => {
                    return Err(Abort::Input(format!(
                        "design column `{name}` is the same on all {rows} training rows of all \
                         banks: leave it out, or let constant columns be dropped"
                    )));
                }
            }
        }
        let source = match source {
            Source::Numeric { column, fill } if fill.is_nan() => Source::Numeric {
                column,
                fill: means[j],
            },
            other => other,
        };
        columns.push(DesignColumn {
            name,
            source,
            mean: means[j],
            sd,
        });
    }
    let rows = usize::try_from(rows).map_err(own)?;
    Ok((Design::given(columns, constant, rows), weight_exponent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magnitudes_lie_below_their_power_of_two() {
        for x in [1.0, 0.999, 1023.9, 1024.0, -7e9, 1e-9] {
            let e = exponent(x) as i32 - 64;
            assert!(
                x.abs() < 2f64.powi(e) && x.abs() >= 2f64.powi(e - 1),
                "{x}: {e}"
            );
        }
        assert_eq!(exponent(0.0), 0);
    }
}
