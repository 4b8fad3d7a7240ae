//! The running account of what a job opened, against what it declared.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    contract::Contract,
    disclosure::{Disclosure, DisclosureId},
};

/// Why an opening was refused. Nothing may be opened then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// Not in the contract.
    #[error("refused to open `{id}`: the contract does not declare it")]
    Undeclared {
        /// The disclosure.
        id: DisclosureId,
    },
    /// More often than declared.
    #[error("refused to open `{id}` again: the contract allows it {at_most} time(s)")]
    TooMany {
        /// The disclosure.
        id: DisclosureId,
        /// How often it is allowed.
        at_most: u32,
    },
    /// More values than declared.
    #[error("refused to open {got} values for `{id}`: the contract declares one value at a time")]
    Shape {
        /// The disclosure.
        id: DisclosureId,
        /// How many values were about to be opened.
        got: u64,
    },
}

/// One opening.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// Which disclosure.
    pub id: DisclosureId,
    /// Its how-many-th opening in this job, from 1.
    pub ordinal: u32,
    /// How many values.
    pub values: u64,
}

/// What a node has opened in one job. Ask it *before* opening: [`Ledger::record`] is the permission.
#[derive(Debug)]
pub struct Ledger {
    declared: Vec<Disclosure>,
    entries: Vec<LedgerEntry>,
}

impl Ledger {
    /// An empty ledger for this contract.
    pub fn new(contract: &Contract) -> Self {
        Self {
            declared: contract.disclosures().to_vec(),
            entries: Vec::new(),
        }
    }

    /// The ledger of a job that continues after a restart.
    ///
    /// # Errors
    /// When the entries are not ones that this contract allows.
    pub fn resume(contract: &Contract, entries: &[LedgerEntry]) -> Result<Self, LedgerError> {
        let mut ledger = Self::new(contract);
        for entry in entries {
            ledger.record(&entry.id, entry.values)?;
        }
        Ok(ledger)
    }

    /// Permits and records one opening of `values` values.
    ///
    /// # Errors
    /// When the contract does not declare it, not as often, or not as many values.
    pub fn record(&mut self, id: &DisclosureId, values: u64) -> Result<LedgerEntry, LedgerError> {
        let declared = self
            .declared
            .iter()
            .find(|declared| declared.id == *id)
            .ok_or_else(|| LedgerError::Undeclared { id: id.clone() })?;
        if declared.shape.is_single() && values != 1 {
            return Err(LedgerError::Shape {
                id: id.clone(),
                got: values,
            });
        }
        let ordinal = self
            .times(id)
            .checked_add(1)
            .filter(|ordinal| *ordinal <= declared.at_most)
            .ok_or_else(|| LedgerError::TooMany {
                id: id.clone(),
                at_most: declared.at_most,
            })?;
        let entry = LedgerEntry {
            id: id.clone(),
            ordinal,
            values,
        };
        self.entries.push(entry.clone());
        Ok(entry)
    }

    /// How often this was opened so far.
    pub fn times(&self, id: &DisclosureId) -> u32 {
        let of_id = self.entries.iter().filter(|entry| entry.id == *id);
        u32::try_from(of_id.count()).unwrap_or(u32::MAX)
    }

    /// Everything opened so far, in order.
    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// Declared against happened.
    pub fn summary(&self) -> LedgerSummary {
        let lines = self.declared.iter().map(|declared| {
            let happened = self.entries.iter().filter(|entry| entry.id == declared.id);
            let (times, values) = happened.fold((0, 0), |(times, values), entry| {
                (times + 1, values + entry.values)
            });
            LedgerLine {
                declared: declared.clone(),
                times,
                values,
            }
        });
        LedgerSummary {
            lines: lines.collect(),
        }
    }
}

/// Declared against happened, one line per declared disclosure. As text, an aligned table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerSummary {
    /// The lines, in the order of the contract.
    pub lines: Vec<LedgerLine>,
}

/// One declared disclosure and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// As declared.
    pub declared: Disclosure,
    /// How often it happened.
    pub times: u32,
    /// How many values were opened in all.
    pub values: u64,
}

impl fmt::Display for LedgerSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            crate::plan::Table::new(&["disclosure", "to", "declared", "happened", "values"]);
        for line in &self.lines {
            let to: Vec<_> = line.declared.to.iter().map(ToString::to_string).collect();
            table.row([
                line.declared.id.to_string(),
                to.join(", "),
                format!("at most {}", line.declared.at_most),
                line.times.to_string(),
                line.values.to_string(),
            ]);
        }
        table.fmt(f)
    }
}
