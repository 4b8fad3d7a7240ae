//! Reading CSV in batches.

use super::checks::Checks;
use super::{At, ColumnData, MISSING_CODE, Table, TableError};
use crate::schema::{DatasetSpec, IdRuleCount};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a CSV file (UTF-8, comma, header line) row by row into a [`Table`].
///
/// Ids are checked for repetition over the whole file at 32 bytes a row, whatever the batch.
pub struct CsvReader<R> {
    checks: Checks,
    csv: csv::Reader<R>,
    record: csv::ByteRecord,
    header: Vec<String>,
    id: Vec<usize>,
    label: Option<usize>,
    /// Position in the file of each column of the table.
    columns: Vec<usize>,
}

impl<R> fmt::Debug for CsvReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvReader")
            .field("file", &self.checks.file)
            .field("rows", &self.checks.rows)
            .finish_non_exhaustive()
    }
}

impl CsvReader<File> {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// As [`CsvReader::new`], and [`TableError::Io`] where the file cannot be opened.
    pub fn open(path: &Path, spec: &DatasetSpec) -> Result<Self, TableError> {
        let file = path.display().to_string();
        match File::open(path) {
            Ok(source) => Self::new(file, source, spec),
            Err(source) => Err(TableError::Io { file, source }),
        }
    }
}

impl<R: Read> CsvReader<R> {
    /// Reads and checks the header of `source`; `file` is its name in messages.
    ///
    /// # Errors
    /// [`TableError::Spec`], [`TableError::Io`], [`TableError::Empty`], [`TableError::Encoding`],
    /// [`TableError::RepeatedColumn`], [`TableError::UnknownColumn`].
    pub fn new(file: String, source: R, spec: &DatasetSpec) -> Result<Self, TableError> {
        if let Err(source) = spec.check() {
            return Err(TableError::Spec { file, source });
        }
        let mut csv = csv::ReaderBuilder::new()
            .buffer_capacity(1 << 16)
            .from_reader(source);
        let raw = match csv.byte_headers() {
            Ok(raw) => raw.clone(),
            Err(e) => return Err(refuse(&file, 0, e)),
        };
        if raw.is_empty() {
            return Err(TableError::Empty {
                file,
                found: "nothing",
            });
        }
        let mut header = Vec::with_capacity(raw.len());
        for (k, cell) in raw.iter().enumerate() {
            let at = || At {
                file: file.clone(),
                row: 0,
                line: 1,
            };
            let column = format!("{}", k + 1);
            let name =
                std::str::from_utf8(cell).map_err(|_| TableError::Encoding { at: at(), column })?;
            header.push(name.trim().to_owned());
        }
        let mut checks = Checks::new(file, spec);
        let id = checks.find_id(&header)?;
        let label = spec.label.as_deref().map(|l| checks.find(&header, l));
        let label = label.transpose()?;
        let named = spec.numeric.iter().chain(&spec.categorical);
        let columns = named
            .map(|c| checks.find(&header, c))
            .collect::<Result<_, _>>()?;
        checks.names(&header, &id, label);
        Ok(Self {
            checks,
            csv,
            record: csv::ByteRecord::new(),
            header,
            id,
            label,
            columns,
        })
    }

    /// Appends up to `rows` rows to `table` (made by [`Table::empty`] of the same specification)
    /// and returns how many; 0 at the end of the file.
    ///
    /// # Errors
    /// Every variant of [`TableError`] that names a row; [`TableError::Empty`] where the file has
    /// no data row. Rows before the offending one have been appended.
    pub fn read_batch(&mut self, table: &mut Table, rows: usize) -> Result<usize, TableError> {
        let mut record = std::mem::take(&mut self.record);
        let mut read = 0;
        let outcome = loop {
            if read == rows {
                break Ok(());
            }
            match self.next_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(e) => break Err(e),
            }
            if let Err(e) = self.take_row(&record, table) {
                table.truncate_to_ids();
                break Err(e);
            }
            read += 1;
        };
        self.record = record;
        outcome.map(|()| read)
    }

    /// Takes a row without an id, or without a part of one, for a row with the empty id.
    #[must_use]
    pub fn with_empty_ids(mut self) -> Self {
        self.checks.none_is_empty = true;
        self
    }

    /// Takes rows that this column of numbers marks with 1 as declined: they have no label, and all others have one. In the
    /// table their label is 0.
    #[must_use]
    pub fn with_rejected(mut self, column: &str) -> Self {
        self.checks.reject(column);
        self
    }

    /// Looks for repeated ids no longer, and so needs no memory that grows with the file: for a
    /// caller that finds them itself.
    #[must_use]
    pub fn without_repeats_check(mut self) -> Self {
        self.checks.seen = None;
        self
    }

    /// Gives the ids of up to `rows` rows, brought to their form, and returns how many; 0 at the end
    /// of the file. No other cell is looked at.
    ///
    /// # Errors
    /// As [`CsvReader::read_batch`], for ids.
    pub fn read_ids(
        &mut self,
        rows: usize,
        mut each: impl FnMut(&str),
    ) -> Result<usize, TableError> {
        let mut record = std::mem::take(&mut self.record);
        let mut read = 0;
        let outcome = loop {
            if read == rows {
                break Ok(());
            }
            match self.next_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(e) => break Err(e),
            }
            let line = self.line(&record);
            match self.id(&record, line) {
                Ok(id) => each(&id),
                Err(e) => break Err(e),
            }
            read += 1;
        };
        self.record = record;
        outcome.map(|()| read)
    }

    /// The next data row; `false` at the end of a file that has one.
    fn next_record(&mut self, record: &mut csv::ByteRecord) -> Result<bool, TableError> {
        match self.csv.read_byte_record(record) {
            Ok(true) => {
                self.checks.rows += 1;
                Ok(true)
            }
            Ok(false) if self.checks.rows == 0 => Err(TableError::Empty {
                file: self.checks.file.clone(),
                found: "a header and no rows",
            }),
            Ok(false) => Ok(false),
            Err(e) => Err(refuse(&self.checks.file, self.checks.rows + 1, e)),
        }
    }

    /// Reads all remaining rows.
    ///
    /// # Errors
    /// As [`CsvReader::read_batch`].
    pub fn read_all(mut self) -> Result<Table, TableError> {
        let mut table = Table::empty(&self.checks.spec);
        while self.read_batch(&mut table, 1 << 16)? > 0 {}
        Ok(table)
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.checks.rows
    }

    /// How many ids each rule has changed so far, in the order of the rules.
    pub fn id_rule_counts(&self) -> &[IdRuleCount] {
        &self.checks.id_counts
    }

    /// Columns of the file that the specification does not name.
    pub fn unused_columns(&self) -> impl Iterator<Item = &str> {
        let named: Vec<&str> = self.checks.spec.columns().collect();
        self.header
            .iter()
            .map(String::as_str)
            .filter(move |h| !named.contains(h))
    }

    /// The line on which a record begins.
    fn line(&self, record: &csv::ByteRecord) -> u64 {
        record
            .position()
            .map_or(self.checks.rows + 1, csv::Position::line)
    }

    /// A row's id.
    fn id(&mut self, record: &csv::ByteRecord, line: u64) -> Result<String, TableError> {
        if let [only] = self.id[..] {
            let raw = self.cell(record, only)?;
            return self.checks.id(std::iter::once(raw), line);
        }
        let parts = self.id.iter().map(|k| self.cell(record, *k));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        self.checks.id(parts.into_iter(), line)
    }

    /// The text of a cell.
    fn cell<'r>(&self, record: &'r csv::ByteRecord, k: usize) -> Result<&'r str, TableError> {
        std::str::from_utf8(record.get(k).unwrap_or_default()).map_err(|_| TableError::Encoding {
            at: self.checks.at(self.line(record)),
            column: self.header[k].clone(),
        })
    }

    /// Appends one record, the id last: a refused row leaves cells without an id.
    fn take_row(&mut self, record: &csv::ByteRecord, table: &mut Table) -> Result<(), TableError> {
        let line = self.line(record);
        let id = self.id(record, line)?;
        if let Some(k) = self.label {
            let label = self.checks.label(self.cell(record, k)?, line)?;
            table.label.get_or_insert_default().push(label);
        }
        for (column, &k) in table.columns.iter_mut().zip(&self.columns) {
            let cell = self.cell(record, k)?;
            match &mut column.data {
                ColumnData::Numeric(values) => {
                    values.push(self.checks.number(&self.header[k], cell, line)?)
                }
                ColumnData::Categorical { levels, codes } => {
                    codes.push(if self.checks.is_missing(cell) {
                        MISSING_CODE
                    } else {
                        levels.intern(cell)
                    })
                }
            }
        }
        self.checks.outcome(table, line)?;
        table.ids.push(id);
        Ok(())
    }
}

/// A reader's error in our terms.
fn refuse(file: &str, row: u64, error: csv::Error) -> TableError {
    let file = file.to_owned();
    let line = error.position().map_or(row + 1, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(source) => TableError::Io { file, source },
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => TableError::Ragged {
            at: At { file, row, line },
            expected: expected_len,
            got: len,
        },
        _ => TableError::Io {
            file,
            source: std::io::ErrorKind::InvalidData.into(),
        },
    }
}
