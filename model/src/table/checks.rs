//! What is checked of every row, whatever kind of file it comes from.

use super::error::shorten;
use super::{At, ColumnData, Table, TableError};
use crate::schema::{DatasetSpec, IdRuleCount, escape_id, join_id, nearest_name, normalise_id};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What stands for a label that is not there until the row is whole.
const NO_LABEL: u8 = u8::MAX;

/// The state of reading one file.
pub(super) struct Checks {
    pub(super) file: String,
    pub(super) spec: DatasetSpec,
    /// Names of the columns of the id and the label.
    id: Vec<String>,
    label: String,
    /// First 128 bits of the SHA-256 of each id seen, with its row and line; nothing where somebody
    /// else looks for repeated ids.
    pub(super) seen: Option<HashMap<[u8; 16], (u64, u64)>>,
    /// Whether a row without an id is one with the empty id, and not an error.
    pub(super) none_is_empty: bool,
    /// The column of numbers that says who is declined, and its place among them.
    rejected: Option<(String, usize)>,
    pub(super) id_counts: Vec<IdRuleCount>,
    /// Rows begun.
    pub(super) rows: u64,
}

impl Checks {
    pub(super) fn new(file: String, spec: &DatasetSpec) -> Self {
        let more = spec.id_more.iter().flat_map(|part| &part.rules);
        let rules = spec.id_rules.iter().chain(more);
        Self {
            file,
            spec: spec.clone(),
            id: Vec::new(),
            label: String::new(),
            seen: Some(HashMap::new()),
            none_is_empty: false,
            rejected: None,
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
    pub(super) fn names(&mut self, header: &[String], id: &[usize], label: Option<usize>) {
        let name = |k: usize| header.get(k).cloned().unwrap_or_default();
        self.id = id.iter().copied().map(name).collect();
        self.label = label.map(name).unwrap_or_default();
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

    /// Where the columns of the id stand in the header.
    pub(super) fn find_id(&self, header: &[String]) -> Result<Vec<usize>, TableError> {
        let more = self.spec.id_more.iter().map(|part| &part.column);
        let all = std::iter::once(&self.spec.id).chain(more);
        all.map(|name| self.find(header, name)).collect()
    }

    /// One column of an id, brought to its form; the first is column 0.
    fn part(&mut self, k: usize, raw: &str, line: u64) -> Result<String, TableError> {
        let (rules, before) = match k.checked_sub(1) {
            None => (&self.spec.id_rules, 0),
            Some(more) => {
                let earlier = self.spec.id_more.iter().take(more);
                let before: usize = earlier.map(|part| part.rules.len()).sum();
                let rules = self.spec.id_more.get(more).map(|part| &part.rules);
                let own = &self.spec.id_rules;
                (rules.unwrap_or(own), own.len() + before)
            }
        };
        let counts = self.id_counts.get_mut(before..).unwrap_or_default();
        let id = normalise_id(raw, rules, counts);
        // a text that means missing does so before the rules, too: `NA` is no id in small letters either
        if id.trim().is_empty() || self.is_missing(&id) || self.is_missing(raw.trim()) {
            if self.none_is_empty {
                return Ok(String::new());
            }
            return Err(TableError::EmptyId {
                at: self.at(line),
                column: self.id.get(k).cloned().unwrap_or_default(),
                after_rules: !raw.is_empty() && id.is_empty(),
            });
        }
        Ok(id)
    }

    /// An id of one column or several, brought to its form.
    pub(super) fn id<'r>(
        &mut self,
        mut raw: impl Iterator<Item = &'r str>,
        line: u64,
    ) -> Result<String, TableError> {
        let first = raw.next().unwrap_or_default();
        let first = self.part(0, first, line)?;
        if self.spec.id_more.is_empty() {
            return self.once(first, line);
        }
        let mut id = String::with_capacity(first.len() + 16);
        let mut whole = !first.is_empty();
        escape_id(&mut id, &first);
        for (k, raw) in (1..).zip(raw) {
            let part = self.part(k, raw, line)?;
            whole &= !part.is_empty();
            join_id(&mut id, &part);
        }
        match whole {
            true => self.once(id, line),
            false => Ok(String::new()),
        }
    }

    /// Refuses an id that an earlier row has.
    fn once(&mut self, id: String, line: u64) -> Result<String, TableError> {
        if self.seen.is_none() || id.is_empty() {
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
                column: self.id.join("`, `"),
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
            // whether it may be, the whole row says
            c if self.is_missing(c) && self.rejected.is_some() => Ok(NO_LABEL),
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

    /// From here on rows that this column of numbers marks have no label, and all others have one.
    pub(super) fn reject(&mut self, column: &str) {
        let at = self.spec.numeric.iter().position(|c| c == column);
        self.rejected = at.map(|at| (column.to_owned(), at));
    }

    /// Holds the label of a row that is otherwise taken against what marks declined ones; theirs becomes 0.
    pub(super) fn outcome(&self, table: &mut Table, line: u64) -> Result<(), TableError> {
        let (Some((rejected, at)), Some(labels)) = (&self.rejected, &mut table.label) else {
            return Ok(());
        };
        let marked = match table.columns.get(*at).map(|c| &c.data) {
            Some(ColumnData::Numeric(values)) => values.last().copied(),
            _ => None,
        };
        let (at, column, rejected) = (self.at(line), self.label.clone(), rejected.clone());
        let Some(label) = labels.last_mut() else {
            return Ok(());
        };
        match (marked, *label) {
            (Some(1.0), NO_LABEL) => *label = 0,
            (Some(0.0), NO_LABEL) => {
                return Err(TableError::AcceptedWithoutLabel {
                    at,
                    column,
                    rejected,
                });
            }
            (Some(0.0), _) => {}
            (Some(1.0), _) => {
                return Err(TableError::DeclinedWithLabel {
                    at,
                    column,
                    rejected,
                });
            }
            _ => {
                let column = rejected;
                return Err(TableError::Declined { at, column });
            }
        }
        Ok(())
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
