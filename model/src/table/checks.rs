//! What is checked of every row, whatever kind of file it comes from.

use super::error::shorten;
use super::{At, TableError};
use crate::schema::{DatasetSpec, IdRuleCount, nearest_name, normalise_id};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// The state of reading one file.
pub(super) struct Checks {
    pub(super) file: String,
    pub(super) spec: DatasetSpec,
    /// Names of the columns of the id and the label.
    id: String,
    label: String,
    /// First 128 bits of the SHA-256 of each id seen, with its row and line; nothing where somebody
    /// else looks for repeated ids.
    pub(super) seen: Option<HashMap<[u8; 16], (u64, u64)>>,
    pub(super) id_counts: Vec<IdRuleCount>,
    /// Rows begun.
    pub(super) rows: u64,
}

impl Checks {
    pub(super) fn new(file: String, spec: &DatasetSpec) -> Self {
        let rules = spec.id_rules.iter();
        Self {
            file,
            spec: spec.clone(),
            id: String::new(),
            label: String::new(),
            seen: Some(HashMap::new()),
            id_counts: rules
                .map(|&rule| IdRuleCount { rule, changed: 0 })
                .collect(),
            rows: 0,
        }
    }

    /// Where a column stands in the header.
    pub(super) fn find(&self, header: &[String], name: &str) -> Result<usize, TableError> {
        let mut hits = header.iter().enumerate().filter(|(_, h)| *h == name);
        match (hits.next(), hits.next()) {
            (Some((k, _)), None) => Ok(k),
            (Some(_), Some(_)) => Err(TableError::RepeatedColumn {
                file: self.file.clone(),
                column: name.to_owned(),
            }),
            (None, _) => Err(TableError::UnknownColumn {
                file: self.file.clone(),
                column: name.to_owned(),
                suggestion: nearest_name(name, header.iter().map(String::as_str))
                    .map(str::to_owned),
            }),
        }
    }

    /// Remembers how the columns of id and label are called, for messages.
    pub(super) fn names(&mut self, header: &[String], id: usize, label: Option<usize>) {
        let name = |k: usize| header.get(k).cloned().unwrap_or_default();
        (self.id, self.label) = (name(id), label.map(name).unwrap_or_default());
    }

    /// The current row, on this line of the file (0 where it has no lines).
    pub(super) fn at(&self, line: u64) -> At {
        At {
            file: self.file.clone(),
            row: self.rows,
            line,
        }
    }

    pub(super) fn is_missing(&self, cell: &str) -> bool {
        cell.is_empty() || self.spec.missing.iter().any(|m| m == cell)
    }

    /// An id, brought to its form.
    pub(super) fn id(&mut self, raw: &str, line: u64) -> Result<String, TableError> {
        let id = normalise_id(raw, &self.spec.id_rules, &mut self.id_counts);
        if id.trim().is_empty() || self.is_missing(&id) {
            return Err(TableError::EmptyId {
                at: self.at(line),
                column: self.id.clone(),
                after_rules: !raw.is_empty() && id.is_empty(),
            });
        }
        if self.seen.is_none() {
            return Ok(id);
        }
        let at = self.at(line);
        let seen = self.seen.get_or_insert_default();
        let digest = Sha256::digest(id.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        if let Some(&(first_row, first_line)) = seen.get(&key) {
            return Err(TableError::DuplicateId {
                at,
                column: self.id.clone(),
                first_row,
                first_line,
                after_rules: !self.spec.id_rules.is_empty(),
            });
        }
        seen.insert(key, (at.row, at.line));
        Ok(id)
    }

    pub(super) fn label(&self, cell: &str, line: u64) -> Result<u8, TableError> {
        let (at, column) = (|| self.at(line), || self.label.clone());
        match cell.trim() {
            "0" | "0.0" => Ok(0),
            "1" | "1.0" => Ok(1),
            c if self.is_missing(c) => Err(TableError::LabelMissing {
                at: at(),
                column: column(),
            }),
            c => Err(TableError::Label {
                at: at(),
                column: column(),
                got: shorten(c),
            }),
        }
    }

    pub(super) fn number(&self, column: &str, cell: &str, line: u64) -> Result<f64, TableError> {
        let cell = cell.trim();
        if self.is_missing(cell) {
            return Ok(f64::NAN);
        }
        let parsed = cell.parse::<f64>();
        match parsed {
            Ok(v) if v.is_finite() => return Ok(v),
            _ => {}
        }
        let (at, column, got) = (self.at(line), column.to_owned(), shorten(cell));
        Err(match parsed {
            Ok(_) => TableError::NotFinite { at, column, got },
            Err(_) => TableError::NotANumber { at, column, got },
        })
    }
}
