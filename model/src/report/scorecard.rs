//! The receiver's half of the scorecard, and how often each reason was given.

use serde::{Deserialize, Serialize};

use super::Report;
use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{count, percent};
use super::svg::Plot;
use super::table::{Cell, Table, figure, words};
use crate::scorecard::{Card, Kind};

/// What the report says of the scorecard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardReport {
    /// The receiver's half.
    pub card: Card,
    /// AUC and KS of the joint score before and after rounding to points, at the label holder.
    pub rounding: Option<Rounding>,
    /// How many test rows were given each reason, most first; at the label holder.
    pub reasons: Vec<ReasonCount>,
}

/// What rounding to whole points does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rounding {
    /// KS before.
    pub ks_exact: f64,
    /// KS after.
    pub ks_points: f64,
    /// AUC before.
    pub auc_exact: f64,
    /// AUC after.
    pub auc_points: f64,
}

/// How often a reason was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Its code.
    pub code: String,
    /// Its words; empty where there are none.
    pub text: String,
    /// Rows.
    pub rows: u64,
}

/// The points table.
pub(super) fn points(report: &Report) -> Table {
    let mut table = Table::new(
        "scorecard_points",
        &format!(
            "Scorecard, characteristics of {} only",
            report.receiver.name
        ),
        vec![
            words("variable", "Characteristic"),
            words("bin", "Bin"),
            figure("woe", "WOE"),
            figure("exact", "Exact"),
            figure("points", "Points"),
            figure("baseline", "Baseline"),
        ],
    );
    let Some(own) = report.scorecard.as_ref() else {
        return table;
    };
    let card = &own.card;
    if card.party != report.receiver.id {
        return table;
    }
    let whole = |p: i64| Cell::Fixed(p as f64, 0);
    table.rows.push(vec![
        Cell::text("(initial)"),
        Cell::text(""),
        Cell::Missing,
        Cell::Fixed(card.initial.exact, 2),
        whole(card.initial.points),
        Cell::Missing,
    ]);
    for c in &card.characteristics {
        let mut line = |bin: &str, woe: Option<f64>, exact: f64, points: Option<i64>| {
            table.rows.push(vec![
                Cell::text(&c.column),
                Cell::text(bin),
                Cell::decimal(woe, 4),
                Cell::Fixed(exact, 2),
                points.map_or(Cell::Missing, whole),
                whole(c.baseline),
            ]);
        };
        match &c.kind {
            Kind::Bins {
                labels,
                woe,
                points,
                otherwise,
                ..
            } => {
                for (i, (label, p)) in labels.iter().zip(points).enumerate() {
                    line(label, woe.get(i).copied(), p.exact, Some(p.points));
                }
                line("in no bin", None, otherwise.exact, Some(otherwise.points));
            }
            Kind::Linear {
                per_unit,
                at_zero,
                missing,
            } => {
                line("at 0", None, *at_zero, None);
                line("per unit", None, *per_unit, None);
                line("missing", None, missing.exact, Some(missing.points));
            }
        }
    }
    table.without_empty_columns()
}

/// What rounding does.
pub(super) fn rounding(report: &Report) -> Table {
    let mut table = Table::new(
        "scorecard_rounding",
        "Effect of whole points, held-out rows",
        vec![
            words("measure", "Measure"),
            figure("exact", "Exact"),
            figure("points", "Points"),
            figure("difference", "Difference"),
        ],
    );
    let rounding = report.scorecard.as_ref().and_then(|c| c.rounding);
    if let Some(r) = rounding {
        for (name, exact, points) in [
            ("KS", r.ks_exact, r.ks_points),
            ("AUC", r.auc_exact, r.auc_points),
        ] {
            table.rows.push(vec![
                Cell::text(name),
                Cell::Fixed(exact, 4),
                Cell::Fixed(points, 4),
                Cell::Signed(points - exact, 4),
            ]);
        }
    }
    table
}

/// How often each reason was given.
pub(super) fn reasons(report: &Report) -> Table {
    let mut table = Table::new(
        "reason_counts",
        "Reasons by how many held-out rows they were given to",
        vec![
            words("code", "Code"),
            words("text", "In words"),
            figure("rows", "Rows"),
            figure("share", "Share of rows"),
        ],
    );
    let all = report.scorecard.as_ref().map(|c| c.reasons.as_slice());
    let rows = report.data.test.rows.unwrap_or(0).max(1) as f64;
    for r in all.unwrap_or_default() {
        table.rows.push(vec![
            Cell::text(&r.code),
            Cell::text(&r.text),
            Cell::Count(r.rows),
            Cell::Percent(r.rows as f64 / rows, 1),
        ]);
    }
    table
}

/// The same as bars.
pub(super) fn reasons_chart(report: &Report) -> Option<Figure> {
    const MOST: usize = 20;
    let all = &report.scorecard.as_ref()?.reasons;
    let rows: Vec<_> = all.iter().take(MOST).collect();
    let total = report.data.test.rows.filter(|n| *n > 0)? as f64;
    let share = |r: &ReasonCount| r.rows as f64 / total;
    let high = rows.iter().map(|r| share(r)).reduce(f64::max)?;
    let mut plot = Plot::new(
        "reason_counts",
        "Reasons",
        "Share of held-out rows that were given each reason, most first.",
        Axis::nice(0.0, high, 4, Ticks::Percent, "share of held-out rows"),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(24.0, rows.iter().map(|r| r.code.as_str()))
    .with_right(60.0);
    for (i, row) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        plot.row_name(y, &row.code);
        let hint = format!("{}: {} rows", row.code, count(row.rows));
        plot.bar((0.0, share(row)), (y - 0.32, y + 0.32), "fill joint", &hint);
        plot.label(
            (share(row), y),
            (6.0, 4.5),
            "start",
            &percent(share(row), 1),
        );
    }
    Some(Figure {
        title: "Reasons, by how often they were given".into(),
        svg: plot.finish(),
        note: "At most four for each row, of both parties; not how many points were lost.".into(),
    })
}
