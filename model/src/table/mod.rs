//! A typed table read from CSV or Parquet.
//!
//! [`TableReader`] reads a file in batches of rows, so that a file larger than memory can be walked;
//! [`Table::load`] reads a whole one. Missing numbers are NaN, missing categories
//! [`MISSING_CODE`]. Every refusal names the file, the row, the column and what to do.

mod checks;
mod error;
mod parquet;
mod read;

pub use error::{At, TableError};
pub use parquet::ParquetReader;
pub use read::CsvReader;

use crate::schema::{DatasetSpec, IdRuleCount};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

/// The code of a missing category.
pub const MISSING_CODE: u32 = u32::MAX;

/// Rows with an id, maybe a label, and typed columns. `Debug` shows the shape, never a value.
#[derive(Clone, Default, PartialEq)]
pub struct Table {
    ids: Vec<String>,
    label: Option<Vec<u8>>,
    columns: Vec<Column>,
}

/// A named column.
#[derive(Clone, PartialEq)]
pub struct Column {
    name: String,
    data: ColumnData,
}

/// The values of a column.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ColumnData {
    /// Numbers; NaN is missing.
    Numeric(Vec<f64>),
    /// Categories: a code per row into `levels`; [`MISSING_CODE`] is missing.
    Categorical {
        /// Distinct texts, in order of first appearance.
        levels: Levels,
        /// One per row.
        codes: Vec<u32>,
    },
}

/// The distinct texts of a categorical column.
#[derive(Clone, Default)]
pub struct Levels {
    names: Vec<String>,
    codes: HashMap<String, u32>,
}

impl Levels {
    /// The texts, by code.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The code of a text, if it has appeared.
    pub fn code(&self, name: &str) -> Option<u32> {
        self.codes.get(name).copied()
    }

    /// The code of a text, new if it has not appeared.
    fn intern(&mut self, name: &str) -> u32 {
        if let Some(&code) = self.codes.get(name) {
            return code;
        }
        // A column has at most one level per row, and fewer than 2^32 - 1 rows fit in memory.
        let code = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.codes.insert(name.to_owned(), code);
        code
    }
}

impl PartialEq for Levels {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Column {
    /// A column of numbers (NaN = missing).
    pub fn numeric(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            data: ColumnData::Numeric(values),
        }
    }

    /// A column of categories (`None` = missing).
    pub fn categorical<'a>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Self {
        let mut levels = Levels::default();
        let code = |v: Option<&str>| v.map_or(MISSING_CODE, |v| levels.intern(v));
        let codes = values.into_iter().map(code).collect();
        Self {
            name: name.into(),
            data: ColumnData::Categorical { levels, codes },
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its values.
    pub fn data(&self) -> &ColumnData {
        &self.data
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match &self.data {
            ColumnData::Numeric(values) => values.len(),
            ColumnData::Categorical { codes, .. } => codes.len(),
        }
    }

    /// Number of rows whose value is missing.
    pub fn missing(&self) -> usize {
        match &self.data {
            ColumnData::Numeric(values) => values.iter().filter(|v| v.is_nan()).count(),
            ColumnData::Categorical { codes, .. } => {
                codes.iter().filter(|c| **c == MISSING_CODE).count()
            }
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        let data = match &self.data {
            ColumnData::Numeric(v) => ColumnData::Numeric(rows.iter().map(|&i| v[i]).collect()),
            ColumnData::Categorical { levels, codes } => ColumnData::Categorical {
                levels: levels.clone(),
                codes: rows.iter().map(|&i| codes[i]).collect(),
            },
        };
        Self {
            name: self.name.clone(),
            data,
        }
    }

    fn clear(&mut self) {
        match &mut self.data {
            ColumnData::Numeric(values) => values.clear(),
            ColumnData::Categorical { codes, .. } => codes.clear(),
        }
    }
}

impl Table {
    /// A table of parts of equal length.
    ///
    /// # Errors
    /// [`TableError::Parts`] where a part has another number of rows than there are ids.
    pub fn new(
        ids: Vec<String>,
        label: Option<Vec<u8>>,
        columns: Vec<Column>,
    ) -> Result<Self, TableError> {
        let expected = ids.len();
        let parts = columns.iter().map(|c| (c.name.as_str(), c.rows()));
        for (column, got) in label.iter().map(|l| ("label", l.len())).chain(parts) {
            if got != expected {
                return Err(TableError::Parts {
                    column: column.to_owned(),
                    expected,
                    got,
                });
            }
        }
        Ok(Self {
            ids,
            label,
            columns,
        })
    }

    /// An empty table with the columns of `spec`, for [`CsvReader::read_batch`].
    pub fn empty(spec: &DatasetSpec) -> Self {
        let numeric = spec.numeric.iter().map(|c| Column::numeric(c, Vec::new()));
        let categorical = spec.categorical.iter().map(|c| Column::categorical(c, []));
        Self {
            ids: Vec::new(),
            label: spec.label.as_ref().map(|_| Vec::new()),
            columns: numeric.chain(categorical).collect(),
        }
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Every variant of [`TableError`] that names a file.
    pub fn load(path: &Path, spec: &DatasetSpec) -> Result<Self, TableError> {
        Self::load_with(path, spec, None)
    }

    /// The same, where the column `rejected` marks declined rows ([`CsvReader::with_rejected`]).
    ///
    /// # Errors
    /// As that.
    pub fn load_with(
        path: &Path,
        spec: &DatasetSpec,
        rejected: Option<&str>,
    ) -> Result<Self, TableError> {
        let mut reader = TableReader::open(path, spec)?;
        if let Some(column) = rejected {
            reader = reader.with_rejected(column);
        }
        let mut table = Self::empty(spec);
        while reader.read_batch(&mut table, 1 << 16)? > 0 {}
        Ok(table)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The ids, in file order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The label, in file order.
    pub fn label(&self) -> Option<&[u8]> {
        self.label.as_deref()
    }

    /// The columns: numbers first, then categories, each in the order of the specification.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// Where each id stands.
    pub fn positions(&self) -> HashMap<&str, usize> {
        self.ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), i))
            .collect()
    }

    /// These rows, in this order.
    ///
    /// # Panics
    /// Where a row is not below [`Table::rows`].
    pub fn select(&self, rows: &[usize]) -> Self {
        Self {
            ids: rows.iter().map(|&i| self.ids[i].clone()).collect(),
            label: self
                .label
                .as_ref()
                .map(|l| rows.iter().map(|&i| l[i]).collect()),
            columns: self.columns.iter().map(|c| c.select(rows)).collect(),
        }
    }

    /// Forgets the rows and keeps columns and levels, so that the next batch has the same codes.
    pub fn clear(&mut self) {
        self.ids.clear();
        if let Some(label) = &mut self.label {
            label.clear();
        }
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// Takes away the cells of a row that was refused half way.
    fn truncate_to_ids(&mut self) {
        let rows = self.ids.len();
        if let Some(label) = &mut self.label {
            label.truncate(rows);
        }
        for column in &mut self.columns {
            match &mut column.data {
                ColumnData::Numeric(values) => values.truncate(rows),
                ColumnData::Categorical { codes, .. } => codes.truncate(rows),
            }
        }
    }
}

/// Reads a file row by row: Parquet where its name ends in `.parquet`, else CSV.
#[derive(Debug)]
pub enum TableReader {
    /// A CSV file.
    Csv(Box<CsvReader<File>>),
    /// A Parquet file.
    Parquet(Box<ParquetReader>),
}

impl TableReader {
    /// Whether a file is taken for Parquet, by its name.
    pub fn is_parquet(path: &Path) -> bool {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("parquet"))
    }

    /// Opens a file and checks its columns.
    ///
    /// # Errors
    /// As [`CsvReader::open`] and [`ParquetReader::open`].
    pub fn open(path: &Path, spec: &DatasetSpec) -> Result<Self, TableError> {
        Ok(match Self::is_parquet(path) {
            true => Self::Parquet(Box::new(ParquetReader::open(path, spec)?)),
            false => Self::Csv(Box::new(CsvReader::open(path, spec)?)),
        })
    }

    /// As [`CsvReader::without_repeats_check`].
    #[must_use]
    pub fn without_repeats_check(self) -> Self {
        match self {
            Self::Csv(r) => Self::Csv(Box::new(r.without_repeats_check())),
            Self::Parquet(r) => Self::Parquet(Box::new(r.without_repeats_check())),
        }
    }

    /// As [`CsvReader::with_rejected`].
    #[must_use]
    pub fn with_rejected(self, column: &str) -> Self {
        match self {
            Self::Csv(r) => Self::Csv(Box::new(r.with_rejected(column))),
            Self::Parquet(r) => Self::Parquet(Box::new(r.with_rejected(column))),
        }
    }

    /// As [`CsvReader::with_empty_ids`].
    #[must_use]
    pub fn with_empty_ids(self) -> Self {
        match self {
            Self::Csv(r) => Self::Csv(Box::new(r.with_empty_ids())),
            Self::Parquet(r) => Self::Parquet(Box::new(r.with_empty_ids())),
        }
    }

    /// As [`CsvReader::read_batch`].
    ///
    /// # Errors
    /// As that.
    pub fn read_batch(&mut self, table: &mut Table, rows: usize) -> Result<usize, TableError> {
        match self {
            Self::Csv(r) => r.read_batch(table, rows),
            Self::Parquet(r) => r.read_batch(table, rows),
        }
    }

    /// As [`CsvReader::read_ids`].
    ///
    /// # Errors
    /// As that.
    pub fn read_ids(&mut self, rows: usize, each: impl FnMut(&str)) -> Result<usize, TableError> {
        match self {
            Self::Csv(r) => r.read_ids(rows, each),
            Self::Parquet(r) => r.read_ids(rows, each),
        }
    }

    /// How many ids each rule has changed so far, in the order of the rules.
    pub fn id_rule_counts(&self) -> &[IdRuleCount] {
        match self {
            Self::Csv(r) => r.id_rule_counts(),
            Self::Parquet(r) => r.id_rule_counts(),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("rows", &self.rows())
            .field("labelled", &self.label.is_some())
            .field("columns", &self.columns)
            .finish()
    }
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, self.data)
    }
}

impl fmt::Debug for ColumnData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnData::Numeric(values) => write!(f, "{} numbers", values.len()),
            ColumnData::Categorical { levels, codes } => {
                write!(f, "{} categories of {:?}", codes.len(), levels)
            }
        }
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} levels", self.names.len())
    }
}

#[cfg(test)]
mod tests;
