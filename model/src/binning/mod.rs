//! Binning and weight of evidence: from a column's values to a few bins, each with one number.
//!
//! A [`Binning`] is a list of [`Bin`]s, a set of values each. Ranges are closed on the left and open on
//! the right; bins of missing and of special values stand last. Edges are exact decimals ([`Edge`]).
//!
//! It is made in two steps, because in a joint job they happen at different parties:
//!
//! 1. [`prebin`]: the owner of a column cuts it finely, without labels ([`Cut`]);
//! 2. [`merge`]: whoever knows the counts of good and bad in these fine bins says which of them stay
//!    together ([`Method`], [`Limits`]); [`Binning::merged`] carries it out.
//!
//! [`weight_of_evidence`] turns counts into weights and information value. Label 1 is bad.
//!
//! Sources: Kerber, ChiMerge (AAAI 1992); Siddiqi, Credit Risk Scorecards (2006), chapter 6, for weight
//! of evidence, information value and the limits; the search for monotone bins is dynamic programming
//! over all ways to join neighbours, tested against trying all of them.

mod chi;
mod column;
mod cut;
mod edge;
mod merge;
mod monotone;
mod select;
mod tree;
mod woe;

pub use column::{Binned, Recipe, Shares, bin, by_group, join_small, of_counts, shares, weigh};
pub use cut::{
    Cut, CutOptions, Numbers, Place, bins_of_levels, bins_of_numbers, prebin, with_enough_rows,
};
pub use edge::Edge;
pub use merge::{Limits, Method, Order, Trend, merge};
pub use select::{InCommon, Redundant, redundant};
pub use woe::{BinWoe, Counts, Smoothing, Strength, Woe, WoeSign, counts, weight_of_evidence};

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::table::{ColumnData, MISSING_CODE, Table};

/// How one column is cut into bins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binning {
    /// Name of the column.
    pub column: String,
    /// Its bins: ranges in ascending order or sets of levels, then missing, then special values.
    pub bins: Vec<Bin>,
}

/// A set of values of one column: the union of what its fields say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bin {
    /// Numbers of a range that are no special values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<Range>,
    /// Levels of a category.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub levels: BTreeSet<String>,
    /// All levels that no bin names, also those that were never seen.
    #[serde(skip_serializing_if = "is_false")]
    pub other_levels: bool,
    /// Missing values.
    #[serde(skip_serializing_if = "is_false")]
    pub missing: bool,
    /// Numbers that mean something of their own, such as -999 for "no account".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub special: Vec<Edge>,
}

/// Numbers from `low` on, below `high`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The least number; without it, no number is too small.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<Edge>,
    /// The first number above it; without it, none is too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<Edge>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Why a column cannot be binned.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BinningError {
    /// The table lacks the column.
    #[error("the table has no column `{column}` to bin: load it with the table")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// There is no row to bin.
    #[error("no training rows: bins need at least one")]
    NoRows,
    /// A row position is beyond the end of the table.
    #[error("row {got} asked for, but the table has {rows} rows")]
    Row {
        /// The position, from 0.
        got: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// Bins of numbers for a column of categories, or the reverse.
    #[error("the bins of `{column}` are of {bins}, but the column is {got}")]
    Type {
        /// The column.
        column: String,
        /// What the bins are of.
        bins: &'static str,
        /// What the table has.
        got: &'static str,
    },
    /// An edge is no finite number.
    #[error("`{got}` is no edge: a finite decimal number is expected")]
    Edge {
        /// What was given.
        got: String,
    },
    /// Edges given by hand are not ascending.
    #[error("the edges of `{column}` do not ascend: {first} is followed by {second}")]
    Order {
        /// The column.
        column: String,
        /// An edge.
        first: Edge,
        /// The next.
        second: Edge,
    },
    /// Bins that say nothing, or overlap.
    #[error("the bins of `{column}` are not usable: {why}")]
    Bins {
        /// The column.
        column: String,
        /// What is wrong.
        why: String,
    },
    /// What is said about merging does not fit the bins.
    #[error("{got} bins are merged by a list for {expected}, or its groups are not 0, 1, 2, …")]
    Groups {
        /// Bins there are.
        expected: usize,
        /// Entries given.
        got: usize,
    },
    /// Labels are of another number of rows, or not 0 and 1.
    #[error("labels are 0 or 1, one for each of {rows} rows")]
    Labels {
        /// Rows.
        rows: usize,
    },
    /// All rows are of one class.
    #[error("weight of evidence needs good and bad rows: {good} good, {bad} bad")]
    OneClass {
        /// Rows with label 0.
        good: u64,
        /// Rows with label 1.
        bad: u64,
    },
}

impl Bin {
    /// Whether it holds nothing but missing and special values.
    pub fn is_apart(&self) -> bool {
        self.range.is_none() && self.levels.is_empty() && !self.other_levels
    }

    /// As it stands in tables and files: `[10, 25)`, `A, B`, `missing`.
    pub fn label(&self) -> String {
        let mut parts = Vec::new();
        if let Some(Range { low, high }) = &self.range {
            parts.push(match (low, high) {
                (Some(l), Some(h)) => format!("[{l}, {h})"),
                (None, Some(h)) => format!("(-inf, {h})"),
                (Some(l), None) => format!("[{l}, inf)"),
                (None, None) => "(-inf, inf)".to_owned(),
            });
        }
        parts.extend(self.levels.iter().cloned());
        if self.other_levels {
            parts.push("all others".to_owned());
        }
        if self.missing {
            parts.push("missing".to_owned());
        }
        parts.extend(self.special.iter().map(|v| format!("= {v}")));
        parts.join(", ")
    }

    /// Takes in what another bin holds.
    fn join(&mut self, other: &Bin) {
        self.range = match (self.range, other.range) {
            (Some(a), Some(b)) => Some(a.hull(b)),
            (a, b) => a.or(b),
        };
        self.levels.extend(other.levels.iter().cloned());
        self.other_levels |= other.other_levels;
        self.missing |= other.missing;
        self.special.extend(other.special.iter().copied());
    }
}

impl Range {
    /// The smallest range that holds both.
    fn hull(self, other: Self) -> Self {
        // no low edge lies below all, no high edge above all
        let low = self.low.zip(other.low).map(|(a, b)| a.min(b));
        let high = self.high.zip(other.high).map(|(a, b)| a.max(b));
        Self { low, high }
    }
}

impl Binning {
    /// Bins as `group` says: bin i becomes part of the new bin `group[i]`, counted from 0 without gaps.
    ///
    /// # Errors
    /// [`BinningError::Groups`]; [`BinningError::Bins`] if ranges that are no neighbours would become one.
    pub fn merged(&self, group: &[usize]) -> Result<Self, BinningError> {
        let wrong = BinningError::Groups {
            expected: self.bins.len(),
            got: group.len(),
        };
        let groups = group.iter().max().map_or(0, |m| m + 1);
        if group.len() != self.bins.len() || (0..groups).any(|g| !group.contains(&g)) {
            return Err(wrong);
        }
        let mut bins = vec![Bin::default(); groups];
        for (bin, &g) in self.bins.iter().zip(group) {
            bins[g].join(bin);
        }
        let merged = Self {
            column: self.column.clone(),
            bins,
        };
        merged.check()?;
        Ok(merged)
    }

    /// Whether every value falls into at most one bin, and every bin holds something.
    ///
    /// # Errors
    /// [`BinningError::Bins`].
    pub fn check(&self) -> Result<(), BinningError> {
        let wrong = |why: &str| BinningError::Bins {
            column: self.column.clone(),
            why: why.to_owned(),
        };
        let numbers = self
            .bins
            .iter()
            .any(|b| b.range.is_some() || !b.special.is_empty());
        let levels = self
            .bins
            .iter()
            .any(|b| !b.levels.is_empty() || b.other_levels);
        if numbers && levels {
            return Err(wrong("ranges and levels do not go together"));
        }
        if self.bins.iter().any(|b| *b == Bin::default()) {
            return Err(wrong("a bin holds nothing"));
        }
        let count = |f: &dyn Fn(&Bin) -> usize| self.bins.iter().map(f).sum::<usize>();
        if count(&|b| b.missing.into()) > 1 || count(&|b| b.other_levels.into()) > 1 {
            return Err(wrong("missing values or remaining levels are in two bins"));
        }
        let all: BTreeSet<&String> = self.bins.iter().flat_map(|b| &b.levels).collect();
        if all.len() != count(&|b| b.levels.len()) {
            return Err(wrong("a level is in two bins"));
        }
        let mut special: Vec<Edge> = self.bins.iter().flat_map(|b| b.special.clone()).collect();
        special.sort();
        if special.windows(2).any(|w| w[0] == w[1]) {
            return Err(wrong("a special value is in two bins"));
        }
        let mut ranges: Vec<Range> = self.bins.iter().filter_map(|b| b.range).collect();
        ranges.sort_by_key(|r| r.low);
        let empty = |r: &Range| r.low.zip(r.high).is_some_and(|(l, h)| l >= h);
        let apart = |w: &[Range]| matches!((w[0].high, w[1].low), (Some(h), Some(l)) if h <= l);
        if ranges.iter().any(empty) || !ranges.windows(2).all(apart) {
            return Err(wrong("ranges are empty or overlap"));
        }
        Ok(())
    }

    /// The bin of each of these rows of a table; `None` for a value that is in no bin (a level that was
    /// never seen, a missing value where training had none).
    ///
    /// # Errors
    /// [`BinningError::NoColumn`], [`BinningError::Row`], [`BinningError::Type`].
    pub fn assign(
        &self,
        table: &Table,
        rows: &[usize],
    ) -> Result<Vec<Option<usize>>, BinningError> {
        let column = table.column(&self.column);
        let column = column.ok_or_else(|| BinningError::NoColumn {
            column: self.column.clone(),
        })?;
        check_rows(table, rows)?;
        let wrong = |bins, got| BinningError::Type {
            column: self.column.clone(),
            bins,
            got,
        };
        let missing = self.bins.iter().position(|b| b.missing);
        match column.data() {
            ColumnData::Numeric(values) => {
                if self
                    .bins
                    .iter()
                    .any(|b| !b.levels.is_empty() || b.other_levels)
                {
                    return Err(wrong("levels", "numeric"));
                }
                let finder = Finder::new(self);
                Ok(rows.iter().map(|&i| finder.find(values[i])).collect())
            }
            ColumnData::Categorical { levels, codes } => {
                if self
                    .bins
                    .iter()
                    .any(|b| b.range.is_some() || !b.special.is_empty())
                {
                    return Err(wrong("numbers", "categorical"));
                }
                let other = self.bins.iter().position(|b| b.other_levels);
                let of = |name: &String| {
                    let named = self.bins.iter().position(|b| b.levels.contains(name));
                    named.or(other)
                };
                let by_code: Vec<Option<usize>> = levels.names().iter().map(of).collect();
                let of = |code: u32| match code {
                    MISSING_CODE => missing,
                    code => by_code.get(code as usize).copied().flatten(),
                };
                Ok(rows.iter().map(|&i| of(codes[i])).collect())
            }
        }
    }
}

/// Finds the bin of a number.
struct Finder {
    /// Ranges by their low edge, without which is below all.
    ranges: Vec<(f64, f64, usize)>,
    special: Vec<(f64, usize)>,
    missing: Option<usize>,
}

impl Finder {
    fn new(binning: &Binning) -> Self {
        let of = |(i, b): (usize, &Bin)| {
            let Range { low, high } = b.range?;
            let low = low.map_or(f64::NEG_INFINITY, Edge::value);
            Some((low, high.map_or(f64::INFINITY, Edge::value), i))
        };
        let mut ranges: Vec<_> = binning.bins.iter().enumerate().filter_map(of).collect();
        ranges.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = binning.bins.iter().enumerate();
        let special = bins.flat_map(|(i, b)| b.special.iter().map(move |v| (v.value(), i)));
        Self {
            ranges,
            special: special.collect(),
            missing: binning.bins.iter().position(|b| b.missing),
        }
    }

    fn find(&self, value: f64) -> Option<usize> {
        if value.is_nan() {
            return self.missing;
        }
        if let Some((_, bin)) = self.special.iter().find(|(v, _)| *v == value) {
            return Some(*bin);
        }
        let after = self.ranges.partition_point(|(low, _, _)| *low <= value);
        let (_, high, bin) = self.ranges.get(after.checked_sub(1)?)?;
        (value < *high || *high == f64::INFINITY).then_some(*bin)
    }
}

fn check_rows(table: &Table, rows: &[usize]) -> Result<(), BinningError> {
    match rows.iter().find(|r| **r >= table.rows()) {
        Some(&got) => Err(BinningError::Row {
            got,
            rows: table.rows(),
        }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
