//! Which penalties cross-validation chose.

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
    /// By ridge, rising, and then by L1 penalty.
    pub rows: Vec<Trial>,
}

/// One ridge, with one L1 penalty.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trial {
    /// The ridge.
    pub l2: f64,
    /// The L1 penalty, where several are tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l1: Option<f64>,
    /// Mean over the folds of the squared error of the PD on rows left out.
    pub mean: f64,
    /// Its standard error.
    pub se: f64,
    /// The error in each fold.
    pub folds: Vec<f64>,
    /// Columns of all parties whose coefficient was not 0, in each fold, where L1 penalties are tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<u32>,
    /// Whether the model is fitted with it.
    pub chosen: bool,
}

impl Trial {
    /// Mean over the folds of the columns left in.
    fn left_in(&self) -> Option<f64> {
        let all = self.columns.len();
        let sum = self.columns.iter().sum::<u32>();
        (all > 0).then(|| f64::from(sum) / all as f64)
    }
}

/// Every trial.
pub(super) fn table(report: &Report) -> Table {
    let rows = report.trials.iter().flat_map(|t| &t.rows);
    let path = rows.clone().any(|r| r.l1.is_some());
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
    if path {
        table.columns.insert(1, figure("l1", "l1"));
        table
            .columns
            .insert(2, figure("columns", "Columns left in"));
    }
    for row in rows {
        let folds: Vec<String> = row.folds.iter().map(|v| fixed(*v, 4)).collect();
        let mut cells = vec![
            Cell::Significant(row.l2, 4),
            Cell::Fixed(row.mean, 5),
            Cell::Fixed(row.se, 5),
            Cell::Fixed(row.mean - 1.96 * row.se, 5),
            Cell::Fixed(row.mean + 1.96 * row.se, 5),
            Cell::text(if row.chosen { "yes" } else { "no" }),
            Cell::text(folds.join(" ")),
        ];
        if path {
            cells.insert(1, Cell::decimal(row.left_in(), 1));
            cells.insert(1, Cell::Significant(row.l1.unwrap_or_default(), 4));
        }
        table.rows.push(cells);
    }
    table
}

/// Points beyond which a chart has no room for a number above each.
const MOST_NUMBERED: usize = 24;

/// Mean error by penalty, with a standard error to both sides; on a path with the number of columns left in.
pub(super) fn chart(report: &Report) -> Option<Figure> {
    let rows = &report.trials.as_ref()?.rows;
    let low = rows.iter().map(|r| r.mean - r.se).reduce(f64::min)?;
    let high = rows.iter().map(|r| r.mean + r.se).reduce(f64::max)?;
    let best = rows.iter().min_by(|a, b| a.mean.total_cmp(&b.mean))?;
    let room = 0.3 * (high - low).max(1e-6);
    let path = rows.iter().any(|r| r.l1.is_some());
    let one_ridge = rows.iter().all(|r| r.l2 == rows[0].l2);
    let named = |r: &Trial| match r.l1 {
        Some(l1) if one_ridge => compact(l1, 3),
        Some(l1) => format!("{} / {}", compact(r.l2, 3), compact(l1, 3)),
        None => compact(r.l2, 3),
    };
    let (by, axis) = match (path, one_ridge) {
        (true, true) => ("L1 penalty", "l1"),
        (true, false) => ("ridge and L1 penalty", "l2 / l1"),
        (false, _) => ("ridge", "l2"),
    };
    let mut plot = Plot::new(
        "trials",
        "Cross-validation",
        &format!(
            "Mean squared error of the PD on rows left out, by {by}, with a standard error to both sides."
        ),
        Axis::named(rows.iter().map(named).collect(), axis),
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
    let points: Vec<(f64, &Trial)> = (1..).map(f64::from).zip(rows).collect();
    // a path is of one ridge
    for run in points.chunk_by(|(_, a), (_, b)| !path || a.l2 == b.l2) {
        plot.line(run.iter().map(|(at, r)| (*at, r.mean)), "line joint");
    }
    for (at, r) in &points {
        plot.whisker_up(*at, r.mean - r.se, r.mean + r.se, "whisker joint");
        let class = if r.chosen { "fill bad" } else { "fill joint" };
        let left_in = r.left_in().map(|n| fixed(n, 1));
        let hint = match (r.l1, &left_in) {
            (Some(l1), Some(n)) => format!(
                "l2 {}, l1 {}: {}, {n} columns left in",
                compact(r.l2, 4),
                compact(l1, 4),
                fixed(r.mean, 5)
            ),
            _ => format!("l2 {}: {}", compact(r.l2, 4), fixed(r.mean, 5)),
        };
        plot.dot(*at, r.mean, class, &hint);
        if let Some(n) = left_in.filter(|_| points.len() <= MOST_NUMBERED) {
            plot.label((*at, r.mean + r.se), (0.0, -6.0), "middle", &n);
        }
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
    let numbered = path && points.len() <= MOST_NUMBERED;
    Some(Figure {
        title: "Cross-validation".into(),
        svg: plot.finish(),
        note: match numbered {
            true => "Above each point: columns of all parties that the penalty leaves in, mean of the folds."
                .into(),
            false => String::new(),
        },
    })
}
