//! Columns of several parties that say the same: which went, and how much those that stay have in common.

use serde::{Deserialize, Serialize};

use super::Report;
use super::table::{Cell, Table, figure, words};
use crate::selection::LARGEST;

/// What became of all parties' columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectionReport {
    /// By party, in the order of their designs; others' without names.
    pub columns: Vec<SelectedColumn>,
    /// Correlations of different parties' columns, where the job opens them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub correlations: Vec<Across>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SelectedColumn {
    /// Whose.
    pub owner: String,
    /// Its name, or its place among another party's.
    pub column: String,
    /// Whether the model is fitted on it.
    pub kept: bool,
    /// Why not.
    pub reason: String,
    /// Variance inflation of the receiver's own columns that stay, at most [`LARGEST`].
    pub vif: Option<f64>,
    /// Whether it is above that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beyond: bool,
}

/// The correlation of two parties' columns.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Across {
    /// Whose the first column is.
    pub owner: String,
    /// The first column.
    pub column: String,
    /// Whose the second column is.
    pub other: String,
    /// The second column.
    pub with: String,
    /// How much they correlate.
    pub r: f64,
}

/// Every column.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(
        "joint_selection",
        "Columns of all parties: which stay, and the variance inflation of own ones",
        vec![
            words("owner", "Party"),
            words("column", "Column"),
            words("kept", "Kept"),
            figure("vif", "VIF"),
            words("reason", "Why not"),
        ],
    );
    for c in report.selection.iter().flat_map(|s| &s.columns) {
        table.rows.push(vec![
            Cell::text(&c.owner),
            Cell::text(&c.column),
            Cell::text(if c.kept { "yes" } else { "no" }),
            match c.beyond {
                true => Cell::text(format!("over {LARGEST}")),
                false => Cell::decimal(c.vif, 2),
            },
            Cell::text(&c.reason),
        ]);
    }
    table
}

/// Correlations of different parties' columns.
pub(super) fn across(report: &Report) -> Table {
    let mut table = Table::new(
        "correlations_across",
        "Correlations between parties' columns",
        vec![
            words("owner", "Party"),
            words("column", "Column"),
            words("other", "Other party"),
            words("with", "Its column"),
            figure("r", "r"),
        ],
    );
    for c in report.selection.iter().flat_map(|s| &s.correlations) {
        table.rows.push(vec![
            Cell::text(&c.owner),
            Cell::text(&c.column),
            Cell::text(&c.other),
            Cell::text(&c.with),
            Cell::Signed(c.r, 3),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_has_its_reason_and_what_is_beyond_the_range_is_told_as_that() {
        let column = |name: &str, reason: &str, vif, beyond| SelectedColumn {
            owner: "bank".into(),
            column: name.into(),
            kept: reason.is_empty(),
            reason: reason.into(),
            vif,
            beyond,
        };
        let report = Report {
            selection: Some(SelectionReport {
                columns: vec![
                    column("limit", "", Some(2.345), false),
                    column("used", "", None, true),
                    column("months", "says the same", None, false),
                ],
                correlations: Vec::new(),
            }),
            ..Report::default()
        };
        let csv = |table: &str| {
            let all = crate::report::tables(&report);
            all.into_iter().find(|t| t.0.contains(table)).map(|t| t.1)
        };
        let text = csv("joint_selection").unwrap_or_default();
        for want in ["2.345", "over 1000", "says the same"] {
            assert!(text.contains(want), "{want}: {text}");
        }
        assert_eq!(csv("correlations_across"), None);
        assert!(crate::report::html(&report).contains("over 1000"));
    }
}
