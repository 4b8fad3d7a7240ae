//! Reading Parquet in batches.

use super::checks::Checks;
use super::{ColumnData, MISSING_CODE, Table, TableError};
use crate::schema::{DatasetSpec, IdRuleCount};
use parquet::{
    basic::{ConvertedType, LogicalType, Type},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType},
    errors::ParquetError,
    file::reader::{FileReader, SerializedFileReader},
    schema::types::ColumnDescriptor,
};
use std::fmt;
use std::fs::File;
use std::path::Path;

/// Rows decoded at a time.
const DECODED: usize = 8_192;

/// One value of a column.
enum Cell {
    Missing,
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(ByteArray),
}

/// Reads a Parquet file of flat columns row by row into a [`Table`]: texts, whole numbers, floating-point
/// numbers and truth values. Dates, decimals, nested and binary columns are refused if they are asked for.
pub struct ParquetReader {
    checks: Checks,
    file: SerializedFileReader<File>,
    /// Position in the file of the columns read: the id, the label if any, then those of the table.
    leaves: Vec<usize>,
    names: Vec<String>,
    labelled: bool,
    /// The next row group.
    group: usize,
    /// Rows of the current group not yet decoded, and its columns.
    left: usize,
    columns: Vec<Decoder>,
    /// Rows decoded and not yet given: column by column, and how many are given.
    decoded: Vec<Vec<Cell>>,
    given: usize,
}

impl fmt::Debug for ParquetReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetReader")
            .field("file", &self.checks.file)
            .field("rows", &self.checks.rows)
            .finish_non_exhaustive()
    }
}

impl ParquetReader {
    /// Opens a file and checks its columns.
    ///
    /// # Errors
    /// [`TableError::Spec`], [`TableError::Io`], [`TableError::Parquet`], [`TableError::Empty`],
    /// [`TableError::UnknownColumn`], [`TableError::ColumnType`].
    pub fn open(path: &Path, spec: &DatasetSpec) -> Result<Self, TableError> {
        let name = path.display().to_string();
        if let Err(source) = spec.check() {
            return Err(TableError::Spec { file: name, source });
        }
        let source = File::open(path).map_err(|source| TableError::Io {
            file: name.clone(),
            source,
        })?;
        let file = SerializedFileReader::new(source).map_err(|e| refuse(&name, &e))?;
        let mut checks = Checks::new(name, spec);
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let header: Vec<String> = schema.columns().iter().map(|c| c.path().string()).collect();
        let id = checks.find_id(&header)?;
        let (first, more) = id.split_at(1);
        let mut leaves = first.to_vec();
        let wanted = spec.label.iter().chain(&spec.numeric);
        for name in wanted.chain(&spec.categorical) {
            leaves.push(checks.find(&header, name)?);
        }
        let labelled = spec.label.is_some();
        let label = leaves.get(1).filter(|_| labelled).copied();
        checks.names(&header, &id, label);
        leaves.extend_from_slice(more);
        for &leaf in &leaves {
            let column = schema.column(leaf);
            if let Some(problem) = unreadable(&column) {
                return Err(TableError::ColumnType {
                    file: checks.file,
                    column: column.path().string(),
                    problem,
                });
            }
        }
        Ok(Self::over(checks, file, leaves, labelled))
    }

    /// Opens a file for [`ParquetReader::read_texts`]: all columns that can be read.
    ///
    /// # Errors
    /// [`TableError::Io`], [`TableError::Parquet`], [`TableError::Empty`].
    pub fn open_texts(path: &Path) -> Result<Self, TableError> {
        let name = path.display().to_string();
        let source = File::open(path).map_err(|source| TableError::Io {
            file: name.clone(),
            source,
        })?;
        let file = SerializedFileReader::new(source).map_err(|e| refuse(&name, &e))?;
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let columns = schema.columns().iter().enumerate();
        let readable = columns.filter(|(_, c)| unreadable(c).is_none());
        let leaves: Vec<usize> = readable.map(|(k, _)| k).collect();
        if leaves.is_empty() {
            return Err(TableError::Empty {
                file: name,
                found: "no column that can be read",
            });
        }
        let nothing = DatasetSpec {
            id_more: Vec::new(),
            id: String::new(),
            label: None,
            numeric: Vec::new(),
            categorical: Vec::new(),
            missing: Vec::new(),
            id_rules: Vec::new(),
        };
        Ok(Self::over(Checks::new(name, &nothing), file, leaves, false))
    }

    fn over(
        checks: Checks,
        file: SerializedFileReader<File>,
        leaves: Vec<usize>,
        labelled: bool,
    ) -> Self {
        let schema = file.metadata().file_metadata().schema_descr_ptr();
        let names = leaves.iter().map(|l| schema.column(*l).path().string());
        Self {
            names: names.collect(),
            decoded: leaves.iter().map(|_| Vec::new()).collect(),
            checks,
            file,
            leaves,
            labelled,
            group: 0,
            left: 0,
            columns: Vec::new(),
            given: 0,
        }
    }

    /// Names of the columns read, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The next row's cells as they would stand in a CSV file; `false` at the end.
    ///
    /// # Errors
    /// Those of the file, and texts that are not UTF-8.
    pub fn read_texts(&mut self, out: &mut Vec<String>) -> Result<bool, TableError> {
        if !self.ready()? {
            return Ok(false);
        }
        self.checks.rows += 1;
        self.given += 1;
        out.clear();
        for column in 0..self.leaves.len() {
            out.push(match self.cell(column, self.given - 1) {
                Cell::Missing => String::new(),
                Cell::Text(bytes) => self.text(column, bytes)?.to_owned(),
                Cell::Int(n) => n.to_string(),
                Cell::Bool(b) => b.to_string(),
                Cell::Float(x) if x.is_nan() => String::new(),
                Cell::Float(x) => x.to_string(),
            });
        }
        Ok(true)
    }

    /// Takes a row without an id, or without a part of one, for a row with the empty id.
    #[must_use]
    pub fn with_empty_ids(mut self) -> Self {
        self.checks.none_is_empty = true;
        self
    }

    /// As [`super::CsvReader::with_rejected`].
    #[must_use]
    pub fn with_rejected(mut self, column: &str) -> Self {
        self.checks.reject(column);
        self
    }

    /// As [`super::CsvReader::without_repeats_check`].
    #[must_use]
    pub fn without_repeats_check(mut self) -> Self {
        self.checks.seen = None;
        self
    }

    /// As [`super::CsvReader::read_ids`].
    ///
    /// # Errors
    /// Every variant of [`TableError`] that names a row, for ids; those of the file.
    pub fn read_ids(
        &mut self,
        rows: usize,
        mut each: impl FnMut(&str),
    ) -> Result<usize, TableError> {
        let mut read = 0;
        while read < rows && self.ready()? {
            self.checks.rows += 1;
            self.given += 1;
            each(&self.id(self.given - 1)?);
            read += 1;
        }
        Ok(read)
    }

    /// As [`super::CsvReader::read_batch`].
    ///
    /// # Errors
    /// Every variant of [`TableError`] that names a row; those of the file.
    pub fn read_batch(&mut self, table: &mut Table, rows: usize) -> Result<usize, TableError> {
        let mut read = 0;
        while read < rows && self.ready()? {
            self.checks.rows += 1;
            self.given += 1;
            if let Err(e) = self.take_row(self.given - 1, table) {
                table.truncate_to_ids();
                return Err(e);
            }
            read += 1;
        }
        Ok(read)
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.checks.rows
    }

    /// How many ids each rule has changed so far, in the order of the rules.
    pub fn id_rule_counts(&self) -> &[IdRuleCount] {
        &self.checks.id_counts
    }

    /// Whether a row is decoded, or one can be.
    fn ready(&mut self) -> Result<bool, TableError> {
        while self.given == self.decoded.first().map_or(0, Vec::len) {
            if self.left == 0 && !self.open_group()? {
                return match self.checks.rows {
                    0 => Err(TableError::Empty {
                        file: self.checks.file.clone(),
                        found: "no rows",
                    }),
                    _ => Ok(false),
                };
            }
            let n = self.left.min(DECODED);
            for (decoder, cells) in self.columns.iter_mut().zip(&mut self.decoded) {
                cells.clear();
                let read = decoder.read(n, cells);
                read.map_err(|e| refuse(&self.checks.file, &e))?;
                if cells.len() != n {
                    let short = ParquetError::General("a column ends before its rows do".into());
                    return Err(refuse(&self.checks.file, &short));
                }
            }
            self.given = 0;
            self.left -= n;
        }
        Ok(true)
    }

    /// Goes to the next row group, if there is one.
    fn open_group(&mut self) -> Result<bool, TableError> {
        if self.group >= self.file.num_row_groups() {
            return Ok(false);
        }
        let failed = |e: ParquetError| refuse(&self.checks.file, &e);
        let group = self.file.get_row_group(self.group).map_err(failed)?;
        self.group += 1;
        let rows = group.metadata().num_rows();
        self.left = usize::try_from(rows)
            .map_err(|_| failed(ParquetError::General("it counts its rows wrongly".into())))?;
        let schema = self.file.metadata().file_metadata().schema_descr_ptr();
        self.columns = self
            .leaves
            .iter()
            .map(|&leaf| {
                Ok(Decoder {
                    reader: group.get_column_reader(leaf).map_err(failed)?,
                    unsigned: is_unsigned(&schema.column(leaf)),
                    optional: schema.column(leaf).max_def_level() > 0,
                })
            })
            .collect::<Result<_, TableError>>()?;
        Ok(true)
    }

    fn cell(&self, column: usize, row: usize) -> &Cell {
        let cells = self.decoded.get(column);
        cells.and_then(|c| c.get(row)).unwrap_or(&Cell::Missing)
    }

    fn id(&mut self, row: usize) -> Result<String, TableError> {
        // further columns of the id stand behind all others
        let more = self.leaves.len() - self.checks.spec.id_more.len()..self.leaves.len();
        let mut parts = Vec::with_capacity(1 + more.len());
        for column in std::iter::once(0).chain(more) {
            parts.push(match self.cell(column, row) {
                Cell::Text(bytes) => self.text(column, bytes)?.to_owned(),
                Cell::Int(n) => n.to_string(),
                Cell::Missing => String::new(),
                Cell::Float(_) | Cell::Bool(_) => return Err(self.wrong_type(column, "an id")),
            });
        }
        self.checks.id(parts.iter().map(String::as_str), 0)
    }

    fn text<'b>(&self, column: usize, bytes: &'b ByteArray) -> Result<&'b str, TableError> {
        std::str::from_utf8(bytes.data()).map_err(|_| TableError::Encoding {
            at: self.checks.at(0),
            column: self.names[column].clone(),
        })
    }

    /// Whether a number is one of the texts that mean missing, such as -999.
    fn stands_for_missing(&self, number: &impl fmt::Display) -> bool {
        let missing = &self.checks.spec.missing;
        !missing.is_empty() && missing.contains(&number.to_string())
    }

    fn wrong_type(&self, column: usize, role: &str) -> TableError {
        TableError::ColumnType {
            file: self.checks.file.clone(),
            column: self.names[column].clone(),
            problem: format!("its values cannot be {role}"),
        }
    }

    /// Appends a decoded row, its id last.
    fn take_row(&mut self, row: usize, table: &mut Table) -> Result<(), TableError> {
        let id = self.id(row)?;
        let first = 1 + usize::from(self.labelled);
        if self.labelled {
            let label = match self.cell(1, row) {
                Cell::Int(n) => self.checks.label(&n.to_string(), 0)?,
                Cell::Bool(b) => u8::from(*b),
                Cell::Float(x) => self.checks.label(&format!("{x}"), 0)?,
                Cell::Text(bytes) => self.checks.label(self.text(1, bytes)?, 0)?,
                Cell::Missing => self.checks.label("", 0)?,
            };
            table.label.get_or_insert_default().push(label);
        }
        for (k, column) in table.columns.iter_mut().enumerate() {
            let at = first + k;
            let cell = self.cell(at, row);
            match &mut column.data {
                ColumnData::Numeric(values) => values.push(match cell {
                    Cell::Missing => f64::NAN,
                    Cell::Int(n) if self.stands_for_missing(n) => f64::NAN,
                    Cell::Float(x) if self.stands_for_missing(x) => f64::NAN,
                    Cell::Int(n) => *n as f64,
                    Cell::Bool(b) => f64::from(u8::from(*b)),
                    // a NaN is missing, as readers of such files take it
                    Cell::Float(x) if x.is_nan() => f64::NAN,
                    Cell::Float(x) if x.is_finite() => *x,
                    Cell::Float(x) => self.checks.number(&self.names[at], &x.to_string(), 0)?,
                    Cell::Text(bytes) => {
                        let text = self.text(at, bytes)?;
                        self.checks.number(&self.names[at], text, 0)?
                    }
                }),
                ColumnData::Categorical { levels, codes } => {
                    let owned;
                    let text = match cell {
                        Cell::Missing => "",
                        Cell::Text(bytes) => self.text(at, bytes)?,
                        Cell::Bool(true) => "true",
                        Cell::Bool(false) => "false",
                        Cell::Int(n) => {
                            owned = n.to_string();
                            &owned
                        }
                        Cell::Float(_) => return Err(self.wrong_type(at, "categories")),
                    };
                    codes.push(match self.checks.is_missing(text) {
                        true => MISSING_CODE,
                        false => levels.intern(text),
                    });
                }
            }
        }
        self.checks.outcome(table, 0)?;
        table.ids.push(id);
        Ok(())
    }
}

/// A column of the current row group.
struct Decoder {
    reader: ColumnReader,
    unsigned: bool,
    optional: bool,
}

impl Decoder {
    /// Appends the next `n` cells.
    fn read(&mut self, n: usize, out: &mut Vec<Cell>) -> Result<(), ParquetError> {
        let (unsigned, optional) = (self.unsigned, self.optional);
        match &mut self.reader {
            ColumnReader::BoolColumnReader(r) => take(r, n, optional, out, |v| Cell::Bool(*v)),
            ColumnReader::Int32ColumnReader(r) => take(r, n, optional, out, |v| {
                Cell::Int(match unsigned {
                    true => i128::from(v.cast_unsigned()),
                    false => i128::from(*v),
                })
            }),
            ColumnReader::Int64ColumnReader(r) => take(r, n, optional, out, |v| {
                Cell::Int(match unsigned {
                    true => i128::from(v.cast_unsigned()),
                    false => i128::from(*v),
                })
            }),
            ColumnReader::FloatColumnReader(r) => {
                take(r, n, optional, out, |v| Cell::Float(f64::from(*v)))
            }
            ColumnReader::DoubleColumnReader(r) => take(r, n, optional, out, |v| Cell::Float(*v)),
            ColumnReader::ByteArrayColumnReader(r) => {
                take(r, n, optional, out, |v| Cell::Text(v.clone()))
            }
            _ => Err(ParquetError::General("a column of another type".into())),
        }
    }
}

fn take<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    n: usize,
    optional: bool,
    out: &mut Vec<Cell>,
    cell: impl Fn(&T::T) -> Cell,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < n {
        values.clear();
        levels.clear();
        let (records, _, _) =
            reader.read_records(n - done, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            break;
        }
        let mut given = values.iter();
        match optional {
            false => out.extend(given.map(&cell)),
            true => out.extend(levels.iter().map(|level| match level {
                0 => Cell::Missing,
                _ => given.next().map_or(Cell::Missing, &cell),
            })),
        }
        done += records;
    }
    Ok(())
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
    let old = matches!(
        column.converted_type(),
        UINT_8 | UINT_16 | UINT_32 | UINT_64
    );
    let new = matches!(column.logical_type_ref(), Some(LogicalType::Integer(i)) if !i.is_signed);
    old || new
}

/// Why a column cannot be read, if it cannot.
fn unreadable(column: &ColumnDescriptor) -> Option<String> {
    use ConvertedType as C;
    let problem = if column.max_rep_level() > 0 || column.max_def_level() > 1 {
        "it is nested".into()
    } else if matches!(
        column.physical_type(),
        Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY
    ) {
        "it holds fixed-length bytes".into()
    } else {
        let plain = match column.logical_type_ref() {
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Integer(_)) => true,
            Some(_) => false,
            None => matches!(
                column.converted_type(),
                C::NONE
                    | C::UTF8
                    | C::ENUM
                    | C::INT_8
                    | C::INT_16
                    | C::INT_32
                    | C::INT_64
                    | C::UINT_8
                    | C::UINT_16
                    | C::UINT_32
                    | C::UINT_64
            ),
        };
        match plain {
            true => return None,
            false => "it holds dates, times, decimals or another type of its own".into(),
        }
    };
    Some(problem)
}

fn refuse(file: &str, error: &ParquetError) -> TableError {
    TableError::Parquet {
        file: file.to_owned(),
        problem: error.to_string(),
    }
}

#[cfg(test)]
#[path = "parquet_tests.rs"]
mod tests;
