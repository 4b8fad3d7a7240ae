//! Why a data file is refused.

use crate::schema::SpecError;
use std::fmt;

/// Where in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file, as the caller named it.
    pub file: String,
    /// Data row, from 1 (the header is not counted).
    pub row: u64,
    /// Line of the file, from 1 (the header is line 1), as an editor shows it; 0 in a file that has no
    /// lines.
    pub line: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, row {}{}", self.file, self.row, on(self.line))
    }
}

/// Why a table cannot be read or built. Cell texts are cut to 12 characters; ids are not shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The specification contradicts itself.
    #[error("column specification for {file}: {source}")]
    Spec {
        /// The file.
        file: String,
        /// What is wrong.
        source: SpecError,
    },
    /// The file cannot be opened or read.
    #[error("cannot read {file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// The file has no header or no data row.
    #[error(
        "{file} holds {found}: expected at least one data row, after a header line if it is CSV"
    )]
    Empty {
        /// The file.
        file: String,
        /// What it holds: nothing, or only a header.
        found: &'static str,
    },
    /// The file is not a Parquet file that can be read.
    #[error("cannot read {file} as Parquet: {problem}")]
    Parquet {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A column of a Parquet file has a type that does not fit.
    #[error(
        "{file}, column `{column}`: {problem}: write it as text, whole numbers, floating-point numbers or \
         truth values"
    )]
    ColumnType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// What does not fit.
        problem: String,
    },
    /// A named column is not in the header.
    #[error(
        "{file} has no column `{column}`{}: correct the name, or leave the column out",
        suggest(suggestion)
    )]
    UnknownColumn {
        /// The file.
        file: String,
        /// The name that was asked for.
        column: String,
        /// A column of the file with a name like it.
        suggestion: Option<String>,
    },
    /// The header has one name twice.
    #[error("{file} has column `{column}` more than once: rename or remove one of them")]
    RepeatedColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
    /// A row has more or fewer cells than the header.
    #[error(
        "{at}: {got} cells, expected {expected} as in the header: look for a stray or missing \
         separator or quote"
    )]
    Ragged {
        /// Where.
        at: At,
        /// Cells in the header.
        expected: u64,
        /// Cells in the row.
        got: u64,
    },
    /// A cell or the header is not UTF-8.
    #[error("{at}, column `{column}`: not UTF-8 text: save the file as UTF-8")]
    Encoding {
        /// Where; row 0 is the header.
        at: At,
        /// The column, or its number in the header.
        column: String,
    },
    /// The id is empty, before or after the id rules.
    #[error("{at}, column `{column}`: the id is empty{}: give every row an id, or drop the row",
        if *.after_rules { " after the id rules" } else { "" })]
    EmptyId {
        /// Where.
        at: At,
        /// The id column.
        column: String,
        /// Whether the cell had text that the id rules removed.
        after_rules: bool,
    },
    /// Two rows have one id (after the id rules).
    #[error(
        "{at}, column `{column}`: the same id as row {first_row}{}{}: keep one row per id", on(*.first_line),
        if *.after_rules { ", after the id rules" } else { "" }
    )]
    DuplicateId {
        /// Where the second is.
        at: At,
        /// The id column.
        column: String,
        /// Data row of the first, from 1.
        first_row: u64,
        /// Line of the first.
        first_line: u64,
        /// Whether id rules were applied.
        after_rules: bool,
    },
    /// A cell of a numeric column is no number.
    #[error(
        "{at}, column `{column}`: `{got}` is not a number: correct it, list it under `missing`, or \
         declare the column categorical"
    )]
    NotANumber {
        /// Where.
        at: At,
        /// The column.
        column: String,
        /// The cell, cut short.
        got: String,
    },
    /// A cell of a numeric column is infinite or NaN.
    #[error(
        "{at}, column `{column}`: `{got}` is not finite: leave missing values empty, or list the \
         text under `missing`"
    )]
    NotFinite {
        /// Where.
        at: At,
        /// The column.
        column: String,
        /// The cell, cut short.
        got: String,
    },
    /// The label is missing.
    #[error("{at}, column `{column}`: the label is missing: drop rows whose outcome is not known")]
    LabelMissing {
        /// Where.
        at: At,
        /// The label column.
        column: String,
    },
    /// An accepted row has no label.
    #[error(
        "{at}, column `{column}`: the label is missing, and the row is not declined: only declined applicants (1 in \
         `{rejected}`) have no outcome; drop rows whose outcome is not known"
    )]
    AcceptedWithoutLabel {
        /// Where.
        at: At,
        /// The label column.
        column: String,
        /// The column that says who is declined.
        rejected: String,
    },
    /// A declined row has a label.
    #[error(
        "{at}, column `{column}`: a declined applicant (1 in `{rejected}`) has a label: leave the cell empty, an outcome of \
         somebody who got nothing is not known"
    )]
    DeclinedWithLabel {
        /// Where.
        at: At,
        /// The label column.
        column: String,
        /// The column that says who is declined.
        rejected: String,
    },
    /// The column that says who is declined says something else.
    #[error("{at}, column `{column}`: expected 1 (declined) or 0 (accepted) in every row")]
    Declined {
        /// Where.
        at: At,
        /// The column.
        column: String,
    },
    /// The label is neither 0 nor 1.
    #[error("{at}, column `{column}`: label `{got}`, expected 0 (good) or 1 (bad)")]
    Label {
        /// Where.
        at: At,
        /// The label column.
        column: String,
        /// The cell, cut short.
        got: String,
    },
    /// The parts of a table built in memory differ in length.
    #[error("`{column}` has {got} rows, expected {expected}, one per id")]
    Parts {
        /// The part.
        column: String,
        /// Number of ids.
        expected: usize,
        /// Rows of the part.
        got: usize,
    },
}

fn on(line: u64) -> String {
    match line {
        0 => String::new(),
        line => format!(" (line {line})"),
    }
}

fn suggest(name: &Option<String>) -> String {
    name.as_ref()
        .map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"))
}

/// At most 12 characters of a cell, control characters replaced.
pub(super) fn shorten(cell: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    if cell.chars().count() <= 12 {
        cell.chars().map(clean).collect()
    } else {
        cell.chars().take(11).map(clean).chain(['…']).collect()
    }
}

impl TableError {
    /// The same in words that may leave this machine: file name instead of path, no cell text.
    pub fn without_values(&self) -> String {
        let text = self.to_string();
        let text = match self {
            Self::NotANumber { got, .. }
            | Self::NotFinite { got, .. }
            | Self::Label { got, .. } => text.replacen(&format!("`{got}`"), "the cell", 1),
            _ => text,
        };
        let words = text.split(' ').map(|word| match word.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => name,
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_machine_holds_no_cell_and_no_path() {
        let at = At {
            file: "/data/bank/loans.csv".into(),
            row: 812,
            line: 813,
        };
        let e = TableError::NotANumber {
            at,
            column: "income".into(),
            got: "12.500 EUR".into(),
        };
        let text = e.without_values();
        assert!(e.to_string().contains("12.500 EUR") && e.to_string().contains("/data/bank"));
        assert!(
            !text.contains("12.500") && !text.contains("/data"),
            "{text}"
        );
        assert!(text.contains("loans.csv") && text.contains("812") && text.contains("income"));
    }
}
