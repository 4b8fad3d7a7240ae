//! The columns of a file: what each seems to hold, and which rows cannot be read.

use std::{collections::HashSet, path::Path};

use paripassu_model::{
    schema::DatasetSpec,
    table::{ParquetReader, Table, TableError, TableReader},
};
use serde::Serialize;

use crate::failure::Failure;

/// Most problems that are listed one by one.
const LISTED: usize = 20;
/// Distinct values that are counted exactly.
const DISTINCT: usize = 100_000;

/// What a column is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The id, or a part of it.
    Id,
    /// A part of a further key.
    Key,
    /// The label.
    Label,
    /// A number.
    Numeric,
    /// A category.
    Categorical,
}

/// One column of a file.
#[derive(Debug, Serialize)]
pub(crate) struct ColumnFacts {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(super) missing: u64,
    pub(super) distinct: usize,
    /// False where only the first values were counted.
    pub(super) distinct_exact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) least: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) largest: Option<f64>,
    #[serde(skip)]
    numbers: bool,
}

/// Rows of a file, and what each column seems to hold.
pub(crate) fn columns(
    file: &Path,
    id: &str,
    label: Option<&str>,
    missing: &[String],
) -> Result<(u64, Vec<ColumnFacts>), Failure> {
    let mut cells = Cells::open(file)?;
    let mut columns: Vec<ColumnFacts> = cells
        .header()?
        .into_iter()
        .map(|name| {
            let kind = match name.as_str() {
                name if name == id => Kind::Id,
                name if Some(name) == label => Kind::Label,
                _ => Kind::Categorical,
            };
            ColumnFacts {
                name,
                kind,
                missing: 0,
                distinct: 0,
                distinct_exact: true,
                least: None,
                largest: None,
                numbers: true,
            }
        })
        .collect();
    let mut seen: Vec<HashSet<Vec<u8>>> = columns.iter().map(|_| HashSet::new()).collect();
    let mut rows = 0;
    let mut see = |at: usize, cell: &[u8]| {
        if let (Some(column), Some(seen)) = (columns.get_mut(at), seen.get_mut(at)) {
            column.see(cell, missing);
            if seen.len() < DISTINCT {
                seen.insert(cell.to_vec());
            } else {
                column.distinct_exact = false;
            }
        }
    };
    while cells.next(&mut see)? {
        rows += 1;
    }
    for (column, seen) in columns.iter_mut().zip(seen) {
        column.distinct = seen.len();
        let values = column.least.is_some();
        if column.kind == Kind::Categorical && column.numbers && values {
            column.kind = Kind::Numeric;
        }
        if !matches!(column.kind, Kind::Numeric) {
            (column.least, column.largest) = (None, None);
        }
    }
    Ok((rows, columns))
}

/// The cells of a file as texts.
pub(super) enum Cells<'f> {
    Csv(&'f Path, csv::Reader<std::fs::File>, csv::ByteRecord),
    Parquet(Box<ParquetReader>, Vec<String>),
}

impl<'f> Cells<'f> {
    fn refuse(file: &Path, e: &csv::Error) -> Failure {
        Failure::user(format!("cannot read {}: {e}", file.display()))
    }

    pub(super) fn open(file: &'f Path) -> Result<Self, Failure> {
        if TableReader::is_parquet(file) {
            let reader = ParquetReader::open_texts(file)?;
            return Ok(Self::Parquet(Box::new(reader), Vec::new()));
        }
        let reader = csv::ReaderBuilder::new().flexible(true).from_path(file);
        let reader = reader.map_err(|e| Self::refuse(file, &e))?;
        Ok(Self::Csv(file, reader, csv::ByteRecord::new()))
    }

    pub(super) fn header(&mut self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Csv(file, reader, _) => {
                let names = reader.byte_headers().map_err(|e| Self::refuse(file, &e))?;
                let text = |name| String::from_utf8_lossy(name).trim().to_owned();
                Ok(names.iter().map(text).collect())
            }
            Self::Parquet(reader, _) => Ok(reader.names().to_vec()),
        }
    }

    /// Shows each cell of the next row with its position; `false` at the end.
    pub(super) fn next(&mut self, see: &mut impl FnMut(usize, &[u8])) -> Result<bool, Failure> {
        match self {
            Self::Csv(file, reader, record) => {
                let more = reader.read_byte_record(record);
                let more = more.map_err(|e| Self::refuse(file, &e))?;
                if more {
                    record.iter().enumerate().for_each(|(k, cell)| see(k, cell));
                }
                Ok(more)
            }
            Self::Parquet(reader, row) => {
                let more = reader.read_texts(row)?;
                if more {
                    let cells = row.iter().enumerate();
                    cells.for_each(|(k, cell)| see(k, cell.as_bytes()));
                }
                Ok(more)
            }
        }
    }
}

impl ColumnFacts {
    fn see(&mut self, cell: &[u8], missing: &[String]) {
        let text = std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim();
        if text.is_empty() || missing.iter().any(|word| word == text) {
            self.missing += 1;
            return;
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.least = Some(self.least.map_or(value, |least| least.min(value)));
                self.largest = Some(self.largest.map_or(value, |largest| largest.max(value)));
            }
            // A number, though not a usable one: the column is numeric and the cell a problem.
            Ok(_) => {}
            Err(_) => self.numbers = false,
        }
    }
}

/// The columns as a configuration would declare them.
pub(crate) fn dataset(columns: &[ColumnFacts], missing: &[String]) -> DatasetSpec {
    let of = |kind: Kind| {
        let names = columns.iter().filter(move |column| column.kind == kind);
        names.map(|column| column.name.clone()).collect::<Vec<_>>()
    };
    DatasetSpec {
        id_more: Vec::new(),
        id: of(Kind::Id).pop().unwrap_or_else(|| "id".to_owned()),
        label: of(Kind::Label).pop(),
        numeric: of(Kind::Numeric),
        categorical: of(Kind::Categorical),
        missing: missing.to_vec(),
        id_rules: Vec::new(),
    }
}

/// The first problems of a file, read as a party would read it, and whether there are more.
pub(super) fn problems(
    file: &Path,
    dataset: &DatasetSpec,
    rejected: Option<&str>,
) -> Result<(Vec<String>, bool), Failure> {
    let mut found = Vec::new();
    let mut reader = match TableReader::open(file, dataset) {
        Ok(reader) => reader,
        Err(error @ TableError::Io { .. }) => return Err(error.into()),
        Err(error) => return Ok((vec![error.to_string()], false)),
    };
    if let Some(column) = rejected {
        reader = reader.with_rejected(column);
    }
    let mut table = Table::empty(dataset);
    loop {
        match reader.read_batch(&mut table, 1 << 14) {
            Ok(0) => return Ok((found, false)),
            Ok(_) => table.clear(),
            Err(error) => {
                let over = matches!(
                    error,
                    TableError::Io { .. } | TableError::Empty { .. } | TableError::Spec { .. }
                );
                found.push(error.to_string());
                if over || found.len() == LISTED {
                    return Ok((found, !over));
                }
            }
        }
    }
}
