//! The design matrix: from a table's numbers and categories to standardised columns.
//!
//! A [`Design`] is fitted on training rows and then applied to any rows:
//!
//! - a number has its missing values set to the training median; where training had any, a 0/1
//!   column `X__missing` follows after all numbers;
//! - a category becomes one 0/1 column `X=level` per level with at least 20 training rows (see
//!   [`DesignOptions`]), sorted as text; all others share `X=__other__`, if training had any. A
//!   missing category is the level `__missing__`. A level never seen gives zeros, or `__other__`
//!   where that column exists;
//! - each column has its training mean taken off and is divided by its training population
//!   standard deviation.
//!
//! A column may instead stand for the weight of evidence of its bins ([`Design::of_woe`]): its training mean
//! is taken off and it keeps its scale.
//!
//! A party fits its own columns alone; side by side the columns of all parties are the joint
//! design.

mod fit;

use crate::{
    binning::{Binned, BinningError},
    table::{ColumnData, MISSING_CODE, Table},
};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Least number of training rows for a level to have a column of its own, by default.
pub const RARE_LEVEL: usize = 20;
/// Name of the level that stands for a missing category.
pub const MISSING_LEVEL: &str = "__missing__";
/// Name of the column that gathers rare levels.
pub const OTHER_LEVEL: &str = "__other__";

/// What to do with a column that is constant on the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstantColumns {
    /// Leave it out of the design; it is listed in [`Design::constant`].
    #[default]
    Drop,
    /// Keep it with a standard deviation of 1, so that it is zero on every training row.
    Keep,
    /// Refuse the data.
    Refuse,
}

/// How a design is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DesignOptions {
    /// What to do with a column that is constant on the training rows.
    pub constant: ConstantColumns,
    /// Least number of training rows for a level to have a column of its own: levels with fewer
    /// share `__other__`. 0 and 1 alike give every level of the training rows its column.
    pub rare_level_rows: usize,
}

impl Default for DesignOptions {
    /// Constant columns are left out; levels below [`RARE_LEVEL`] rows are rare.
    fn default() -> Self {
        Self {
            constant: ConstantColumns::default(),
            rare_level_rows: RARE_LEVEL,
        }
    }
}

/// A fitted design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Design {
    columns: Vec<DesignColumn>,
    /// Names of columns that were constant on the training rows.
    constant: Vec<String>,
    train_rows: usize,
}

/// One column of a design.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesignColumn {
    /// Its name, as in [`Design`].
    pub name: String,
    /// What it is made of.
    pub source: Source,
    /// Training mean.
    pub mean: f64,
    /// Training population standard deviation; 1 for a constant column that was kept.
    pub sd: f64,
}

/// What a column of a design is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
#[non_exhaustive]
pub enum Source {
    /// The number itself.
    Numeric {
        /// Column of the table.
        column: String,
        /// Put in the place of a missing value.
        fill: f64,
    },
    /// 1 where the number is missing.
    MissingFlag {
        /// Column of the table.
        column: String,
    },
    /// 1 where the category is this level.
    Level {
        /// Column of the table.
        column: String,
        /// The level.
        level: String,
    },
    /// 1 where the category is none of the levels that have a column.
    Other {
        /// Column of the table.
        column: String,
        /// The levels that have a column.
        known: Vec<String>,
    },
    /// Weight of evidence of the bin that the value is in; 0 for a value in no bin.
    Woe(Binned),
}

impl Source {
    /// The column of the table it reads.
    pub fn column(&self) -> &str {
        match self {
            Source::Numeric { column, .. }
            | Source::MissingFlag { column }
            | Source::Level { column, .. }
            | Source::Other { column, .. } => column,
            Source::Woe(binned) => &binned.binning.column,
        }
    }
}

/// Why a design cannot be fitted or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DesignError {
    /// The table lacks a column of the design.
    #[error("the table has no column `{column}` that the design needs: load it with the table")]
    NoColumn {
        /// The column.
        column: String,
    },
    /// A column has the other type.
    #[error("column `{column}` is {got}, expected {expected}: declare it so when loading")]
    Type {
        /// The column.
        column: String,
        /// What the design needs.
        expected: &'static str,
        /// What the table has.
        got: &'static str,
    },
    /// There is no row to fit on.
    #[error("no training rows: a design needs at least one")]
    NoRows,
    /// A row position is beyond the end of the table.
    #[error("row {got} asked for, but the table has {rows} rows")]
    Row {
        /// The position, from 0.
        got: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// Bins do not fit the table.
    #[error(transparent)]
    Bins(#[from] BinningError),
    /// A column is constant and the caller refuses such.
    #[error(
        "design column `{name}` is the same on all {rows} training rows: remove it, or let \
         constant columns be dropped"
    )]
    Constant {
        /// The design column.
        name: String,
        /// Training rows.
        rows: usize,
    },
}

/// One design column tied to the columns of a table.
enum Bound<'t> {
    Numeric {
        values: &'t [f64],
        fill: f64,
    },
    MissingFlag {
        values: &'t [f64],
    },
    /// As they are.
    Values(Vec<f64>),
    /// 1 where the table says so for the code; the last entry is for a missing category.
    Category {
        codes: &'t [u32],
        hit: Vec<bool>,
    },
}

impl Bound<'_> {
    fn value(&self, row: usize) -> f64 {
        match self {
            Bound::Numeric { values, fill } => {
                let v = values[row];
                if v.is_nan() { *fill } else { v }
            }
            Bound::MissingFlag { values } => f64::from(u8::from(values[row].is_nan())),
            Bound::Values(values) => values[row],
            Bound::Category { codes, hit } => {
                let code = (codes[row] as usize).min(hit.len() - 1);
                f64::from(u8::from(hit[code]))
            }
        }
    }
}

fn numeric<'t>(table: &'t Table, column: &str) -> Result<&'t [f64], DesignError> {
    let found = table.column(column).ok_or_else(|| DesignError::NoColumn {
        column: column.to_owned(),
    })?;
    match found.data() {
        ColumnData::Numeric(values) => Ok(values),
        ColumnData::Categorical { .. } => Err(DesignError::Type {
            column: column.to_owned(),
            expected: "numeric",
            got: "categorical",
        }),
    }
}

fn categorical<'t>(
    table: &'t Table,
    column: &str,
) -> Result<(&'t [String], &'t [u32]), DesignError> {
    let found = table.column(column).ok_or_else(|| DesignError::NoColumn {
        column: column.to_owned(),
    })?;
    match found.data() {
        ColumnData::Categorical { levels, codes } => Ok((levels.names(), codes)),
        ColumnData::Numeric(_) => Err(DesignError::Type {
            column: column.to_owned(),
            expected: "categorical",
            got: "numeric",
        }),
    }
}

fn bind<'t>(table: &'t Table, source: &Source) -> Result<Bound<'t>, DesignError> {
    // A level of the table, or the stand-in for a missing one, against the level of the column.
    let category = |column: &str, is_hit: &dyn Fn(&str) -> bool| {
        let (levels, codes) = categorical(table, column)?;
        let missing = [MISSING_LEVEL];
        let names = levels.iter().map(String::as_str).chain(missing);
        Ok(Bound::Category {
            codes,
            hit: names.map(is_hit).collect(),
        })
    };
    match source {
        Source::Numeric { column, fill } => Ok(Bound::Numeric {
            values: numeric(table, column)?,
            fill: *fill,
        }),
        Source::MissingFlag { column } => Ok(Bound::MissingFlag {
            values: numeric(table, column)?,
        }),
        Source::Level { column, level } => category(column, &|name| name == level),
        Source::Other { column, known } => category(column, &|n| !known.iter().any(|k| k == n)),
        Source::Woe(binned) => {
            let rows: Vec<usize> = (0..table.rows()).collect();
            let bins = binned.binning.assign(table, &rows)?;
            let of = |bin: Option<usize>| bin.and_then(|b| binned.woe.get(b)).copied();
            Ok(Bound::Values(
                bins.into_iter().map(|b| of(b).unwrap_or(0.0)).collect(),
            ))
        }
    }
}

fn check_rows(table: &Table, rows: &[usize]) -> Result<(), DesignError> {
    match rows.iter().find(|r| **r >= table.rows()) {
        Some(&got) => Err(DesignError::Row {
            got,
            rows: table.rows(),
        }),
        None => Ok(()),
    }
}

impl Design {
    /// A design of given columns, whose values several banks have found together.
    pub fn given(columns: Vec<DesignColumn>, constant: Vec<String>, train_rows: usize) -> Self {
        Self {
            columns,
            constant,
            train_rows,
        }
    }

    /// The same with these of its columns alone, by their places.
    pub fn only(&self, places: &[usize]) -> Self {
        let columns = places.iter().filter_map(|at| self.columns.get(*at));
        Self {
            columns: columns.cloned().collect(),
            constant: self.constant.clone(),
            train_rows: self.train_rows,
        }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[DesignColumn] {
        &self.columns
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// Names of the columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// Names of columns that were constant on the training rows, dropped or kept as asked.
    pub fn constant(&self) -> &[String] {
        &self.constant
    }

    /// Number of rows it was fitted on.
    pub fn train_rows(&self) -> usize {
        self.train_rows
    }

    /// The standardised columns for `rows` of `table`: [rows, width], row-major, row = customer.
    ///
    /// # Errors
    /// [`DesignError::NoColumn`], [`DesignError::Type`], [`DesignError::Row`].
    pub fn transform(&self, table: &Table, rows: &[usize]) -> Result<Array2<f64>, DesignError> {
        self.fill(table, rows, true)
    }

    /// As [`Design::transform`], before standardising (for trees).
    ///
    /// # Errors
    /// As [`Design::transform`].
    pub fn transform_raw(&self, table: &Table, rows: &[usize]) -> Result<Array2<f64>, DesignError> {
        self.fill(table, rows, false)
    }

    fn fill(
        &self,
        table: &Table,
        rows: &[usize],
        standardise: bool,
    ) -> Result<Array2<f64>, DesignError> {
        check_rows(table, rows)?;
        let mut out = Array2::zeros((rows.len(), self.width()));
        let bound = self
            .columns
            .iter()
            .map(|c| bind(table, &c.source))
            .collect::<Result<Vec<_>, _>>()?;
        // Blocks of rows, so that what is written column by column stays in cache.
        for (mut block, rows) in out
            .axis_chunks_iter_mut(ndarray::Axis(0), 64)
            .zip(rows.chunks(64))
        {
            for (k, (values, column)) in bound.iter().zip(&self.columns).enumerate() {
                let (mean, sd) = if standardise {
                    (column.mean, column.sd)
                } else {
                    (0.0, 1.0)
                };
                for (i, &row) in rows.iter().enumerate() {
                    block[[i, k]] = (values.value(row) - mean) / sd;
                }
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
