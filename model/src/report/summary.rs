//! The comparison for a terminal.

use super::number::{fixed, percent, signed};
use super::{Metric, Report};

/// A table for a console: a heading row, rows, and the verdict beneath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRows {
    /// Column headings; all columns but the first are numbers.
    pub header: Vec<String>,
    /// One row per model, and one for the difference with its interval if it is known.
    pub rows: Vec<Vec<String>>,
    /// The verdict in one sentence.
    pub verdict: String,
}

/// The comparison table as short text, one row per model.
pub fn summary_rows(report: &Report) -> SummaryRows {
    let header = [
        "model",
        "AUC",
        "KS",
        "Gini",
        "log loss",
        "Brier",
        "worst 10 % catches",
    ];
    let number = |value: Option<f64>| fixed(value.unwrap_or(f64::NAN), 4);
    let mut rows: Vec<Vec<String>> = report
        .comparison
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                number(row.auc),
                number(row.ks),
                number(row.gini),
                number(row.log_loss),
                number(row.brier),
                percent(row.capture.unwrap_or(f64::NAN), 1).replace('\u{a0}', " "),
            ]
        })
        .collect();
    if let Some(main) = report.main_uplift() {
        let of = |metric| {
            report.uplift.iter().find(|u| {
                u.metric == metric && u.challenger == main.challenger && u.baseline == main.baseline
            })
        };
        let delta = |metric| of(metric).map_or_else(|| "–".into(), |u| signed(u.delta, 4));
        let points = of(Metric::Capture).map_or_else(
            || "–".into(),
            |u| format!("{} pt", signed(100.0 * u.delta, 1)),
        );
        rows.push(vec![
            format!("{} − {}", main.challenger, main.baseline),
            delta(Metric::Auc),
            delta(Metric::Ks),
            delta(Metric::Gini),
            delta(Metric::LogLoss),
            delta(Metric::Brier),
            points,
        ]);
    }
    for cell in rows.iter_mut().flatten() {
        cell.retain(|c| !c.is_control());
    }
    SummaryRows {
        header: header.map(String::from).to_vec(),
        rows,
        verdict: report.verdict(),
    }
}
