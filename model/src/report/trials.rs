//! Which ridge cross-validation chose.

use serde::{Deserialize, Serialize};

use super::Report;
use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{compact, fixed};
use super::svg::{Corner, Mark, Plot};
use super::table::{Cell, Table, figure, words};

/// What the trials showed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trials {
    /// By ridge, rising.
    pub rows: Vec<Trial>,
}

/// One ridge.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// The ridge.
    pub l2: f64,
    /// Mean over the folds of the squared error of the PD on rows left out.
    pub mean: f64,
    /// Its standard error.
    pub se: f64,
    /// The error in each fold.
    pub folds: Vec<f64>,
    /// Whether the model is fitted with it.
    pub chosen: bool,
}

/// Every trial.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new(
        "trials",
        "Cross-validation: squared error of the PD on rows left out, by fold",
        vec![
            figure("l2", "l2"),
            figure("mean", "Mean"),
            figure("se", "s.e."),
            figure("low_95", "95 % from"),
            figure("high_95", "to"),
            words("chosen", "Taken"),
            words("folds", "By fold"),
        ],
    );
    for row in report.trials.iter().flat_map(|t| &t.rows) {
        let folds: Vec<String> = row.folds.iter().map(|v| fixed(*v, 4)).collect();
        table.rows.push(vec![
            Cell::Significant(row.l2, 4),
            Cell::Fixed(row.mean, 5),
            Cell::Fixed(row.se, 5),
            Cell::Fixed(row.mean - 1.96 * row.se, 5),
            Cell::Fixed(row.mean + 1.96 * row.se, 5),
            Cell::text(if row.chosen { "yes" } else { "no" }),
            Cell::text(folds.join(" ")),
        ]);
    }
    table
}

/// Mean error by ridge, with a standard error to both sides.
pub(super) fn chart(report: &Report) -> Option<Figure> {
    let rows = &report.trials.as_ref()?.rows;
    let low = rows.iter().map(|r| r.mean - r.se).reduce(f64::min)?;
    let high = rows.iter().map(|r| r.mean + r.se).reduce(f64::max)?;
    let best = rows.iter().min_by(|a, b| a.mean.total_cmp(&b.mean))?;
    let room = 0.3 * (high - low).max(1e-6);
    let names = rows.iter().map(|r| compact(r.l2, 3)).collect();
    let mut plot = Plot::new(
        "trials",
        "Cross-validation",
        "Mean squared error of the PD on rows left out, by ridge, with a standard error to both sides.",
        Axis::named(names, "l2"),
        Axis::nice(
            low,
            high + room,
            4,
            Ticks::Plain,
            "squared error on rows left out",
        ),
    );
    let limit = best.mean + best.se;
    let end = rows.len() as f64 + 0.5;
    plot.line([(0.5, limit), (end, limit)], "reference");
    let at = |i: usize| i as f64 + 1.0;
    plot.line(
        rows.iter().enumerate().map(|(i, r)| (at(i), r.mean)),
        "line joint",
    );
    for (i, r) in rows.iter().enumerate() {
        plot.whisker_up(at(i), r.mean - r.se, r.mean + r.se, "whisker joint");
        let class = if r.chosen { "fill bad" } else { "fill joint" };
        plot.dot(
            at(i),
            r.mean,
            class,
            &format!("l2 {}: {}", compact(r.l2, 4), fixed(r.mean, 5)),
        );
    }
    let entries = [
        ("fill bad", Mark::Dot, "taken".to_owned()),
        (
            "reference",
            Mark::Line,
            "least, and one standard error".to_owned(),
        ),
    ];
    plot.legend(Corner::TopRight, &entries);
    Some(Figure {
        title: "Cross-validation".into(),
        svg: plot.finish(),
        note: String::new(),
    })
}
