//! Reading CSV in batches.

use super::error::shorten;
use super::{At, ColumnData, MISSING_CODE, Table, TableError};
use crate::schema::{DatasetSpec, IdRuleCount, nearest_name, normalise_id};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Reads a CSV file (UTF-8, comma, header line) row by row into a [`Table`].
///
/// Ids are checked for repetition over the whole file at 32 bytes a row, whatever the batch.
pub struct CsvReader<R> {
    file: String,
    spec: DatasetSpec,
    csv: csv::Reader<R>,
    record: csv::ByteRecord,
    header: Vec<String>,
    id: usize,
    label: Option<usize>,
    /// Position in the file of each column of the table.
    columns: Vec<usize>,
    /// First 128 bits of the SHA-256 of each id seen, with its row and line.
    seen: HashMap<[u8; 16], (u64, u64)>,
    id_counts: Vec<IdRuleCount>,
    rows: u64,
}

impl<R> fmt::Debug for CsvReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsvReader")
            .field("file", &self.file)
            .field("rows", &self.rows)
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
        let find = |name: &str| {
            let mut hits = header.iter().enumerate().filter(|(_, h)| *h == name);
            match (hits.next(), hits.next()) {
                (Some((k, _)), None) => Ok(k),
                (Some(_), Some(_)) => Err(TableError::RepeatedColumn {
                    file: file.clone(),
                    column: name.to_owned(),
                }),
                (None, _) => Err(TableError::UnknownColumn {
                    file: file.clone(),
                    column: name.to_owned(),
                    suggestion: nearest_name(name, header.iter().map(String::as_str))
                        .map(str::to_owned),
                }),
            }
        };
        let id = find(&spec.id)?;
        let label = spec.label.as_deref().map(find).transpose()?;
        let columns = spec
            .numeric
            .iter()
            .chain(&spec.categorical)
            .map(|c| find(c))
            .collect::<Result<_, _>>()?;
        let id_counts = spec
            .id_rules
            .iter()
            .map(|&rule| IdRuleCount { rule, changed: 0 })
            .collect();
        Ok(Self {
            file,
            spec: spec.clone(),
            csv,
            record: csv::ByteRecord::new(),
            header,
            id,
            label,
            columns,
            seen: HashMap::new(),
            id_counts,
            rows: 0,
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
            match self.csv.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) if self.rows == 0 => {
                    break Err(TableError::Empty {
                        file: self.file.clone(),
                        found: "a header and no rows",
                    });
                }
                Ok(false) => break Ok(()),
                Err(e) => break Err(refuse(&self.file, self.rows + 1, e)),
            }
            self.rows += 1;
            if let Err(e) = self.take_row(&record, table) {
                table.truncate_to_ids();
                break Err(e);
            }
            read += 1;
        };
        self.record = record;
        outcome.map(|()| read)
    }

    /// Reads all remaining rows.
    ///
    /// # Errors
    /// As [`CsvReader::read_batch`].
    pub fn read_all(mut self) -> Result<Table, TableError> {
        let mut table = Table::empty(&self.spec);
        while self.read_batch(&mut table, 1 << 16)? > 0 {}
        Ok(table)
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many ids each rule has changed so far, in the order of the rules.
    pub fn id_rule_counts(&self) -> &[IdRuleCount] {
        &self.id_counts
    }

    /// Columns of the file that the specification does not name.
    pub fn unused_columns(&self) -> impl Iterator<Item = &str> {
        let named: Vec<&str> = self.spec.columns().collect();
        self.header
            .iter()
            .map(String::as_str)
            .filter(move |h| !named.contains(h))
    }

    fn at(&self, record: &csv::ByteRecord) -> At {
        let line = record.position().map_or(self.rows + 1, csv::Position::line);
        At {
            file: self.file.clone(),
            row: self.rows,
            line,
        }
    }

    /// The text of a cell.
    fn cell<'r>(&self, record: &'r csv::ByteRecord, k: usize) -> Result<&'r str, TableError> {
        std::str::from_utf8(record.get(k).unwrap_or_default()).map_err(|_| TableError::Encoding {
            at: self.at(record),
            column: self.header[k].clone(),
        })
    }

    fn is_missing(&self, cell: &str) -> bool {
        cell.is_empty() || self.spec.missing.iter().any(|m| m == cell)
    }

    /// Appends one record, the id last: a refused row leaves cells without an id.
    fn take_row(&mut self, record: &csv::ByteRecord, table: &mut Table) -> Result<(), TableError> {
        let id = self.take_id(record)?;
        if let Some(k) = self.label {
            let label = self.parse_label(record, k)?;
            table.label.get_or_insert_default().push(label);
        }
        for (column, &k) in table.columns.iter_mut().zip(&self.columns) {
            let cell = self.cell(record, k)?;
            match &mut column.data {
                ColumnData::Numeric(values) => values.push(self.parse_number(record, k, cell)?),
                ColumnData::Categorical { levels, codes } => codes.push(if self.is_missing(cell) {
                    MISSING_CODE
                } else {
                    levels.intern(cell)
                }),
            }
        }
        table.ids.push(id);
        Ok(())
    }

    fn take_id(&mut self, record: &csv::ByteRecord) -> Result<String, TableError> {
        let raw = self.cell(record, self.id)?;
        let mut counts = std::mem::take(&mut self.id_counts);
        let id = normalise_id(raw, &self.spec.id_rules, &mut counts);
        self.id_counts = counts;
        let column = || self.header[self.id].clone();
        if id.trim().is_empty() || self.is_missing(&id) {
            let after_rules = !raw.is_empty() && id.is_empty();
            return Err(TableError::EmptyId {
                at: self.at(record),
                column: column(),
                after_rules,
            });
        }
        let digest = Sha256::digest(id.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        let at = self.at(record);
        if let Some(&(first_row, first_line)) = self.seen.get(&key) {
            let (column, after_rules) = (column(), !self.spec.id_rules.is_empty());
            return Err(TableError::DuplicateId {
                at,
                column,
                first_row,
                first_line,
                after_rules,
            });
        }
        self.seen.insert(key, (at.row, at.line));
        Ok(id)
    }

    fn parse_label(&self, record: &csv::ByteRecord, k: usize) -> Result<u8, TableError> {
        let cell = self.cell(record, k)?.trim();
        let column = || self.header[k].clone();
        match cell {
            "0" | "0.0" => Ok(0),
            "1" | "1.0" => Ok(1),
            c if self.is_missing(c) => Err(TableError::LabelMissing {
                at: self.at(record),
                column: column(),
            }),
            c => Err(TableError::Label {
                at: self.at(record),
                column: column(),
                got: shorten(c),
            }),
        }
    }

    fn parse_number(
        &self,
        record: &csv::ByteRecord,
        k: usize,
        cell: &str,
    ) -> Result<f64, TableError> {
        let cell = cell.trim();
        if self.is_missing(cell) {
            return Ok(f64::NAN);
        }
        let (at, column, got) = match cell.parse::<f64>() {
            Ok(v) if v.is_finite() => return Ok(v),
            Ok(_) => {
                let (at, column, got) = (self.at(record), self.header[k].clone(), shorten(cell));
                return Err(TableError::NotFinite { at, column, got });
            }
            Err(_) => (self.at(record), self.header[k].clone(), shorten(cell)),
        };
        Err(TableError::NotANumber { at, column, got })
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
