//! Plots of what validation asks of the held-out rows.

use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{fixed, percent, signed};
use super::svg::{Corner, Mark, Plot};
use super::{Metric, ModelKind, Report};
use crate::validation::GroupRow;

/// Colour of a model by its place: the baseline comes first.
fn kinds(report: &Report) -> Vec<(&str, &'static str, &'static str, &'static str)> {
    let models = report.validation.as_ref().map(|v| v.models.as_slice());
    let of = |k: usize| match k {
        0 => ("line alone", "fill alone", "whisker alone"),
        _ => ("line joint", "fill joint", "whisker joint"),
    };
    let models = models.unwrap_or_default().iter().enumerate();
    models
        .map(|(k, m)| (m.name.as_str(), of(k).0, of(k).1, of(k).2))
        .collect()
}

type Point = (f64, Option<f64>);

/// A figure by month, each model a line; `read` gives the value and its standard error.
fn by_month(
    report: &Report,
    id: &str,
    title: &str,
    label: &str,
    read: impl Fn(&GroupRow) -> Option<Point>,
) -> Option<Figure> {
    let rows: Vec<&GroupRow> = report
        .validation
        .as_ref()?
        .groups
        .iter()
        .filter(|g| g.by == "month")
        .collect();
    let mut months: Vec<&str> = rows.iter().map(|g| g.group.as_str()).collect();
    months.dedup();
    if months.len() < 2 {
        return None;
    }
    let value = |month: &str, model: &str| {
        let row = rows.iter().find(|g| g.group == month && g.model == model)?;
        read(row)
    };
    let kinds = kinds(report);
    let all: Vec<(f64, f64)> = kinds
        .iter()
        .flat_map(|k| months.iter().filter_map(|m| value(m, k.0)))
        .map(|(v, se)| (v, 1.96 * se.unwrap_or(0.0)))
        .collect();
    let low = all.iter().map(|(v, w)| v - w).reduce(f64::min)?;
    let high = all.iter().map(|(v, w)| v + w).reduce(f64::max)?;
    let room = 0.28 * (high - low).max(1e-3);
    let names = months.iter().map(|m| (*m).to_owned()).collect();
    let mut plot = Plot::new(
        id,
        title,
        &format!("{title}, one line a model."),
        Axis::named(names, "month of observation"),
        Axis::nice(low, high + room, 5, Ticks::Plain, label),
    );
    for (k, (name, line, fill, whisker)) in kinds.iter().enumerate() {
        let shift = (k as f64 - 0.5) * 0.12;
        let at = |i: usize| i as f64 + 1.0 + shift;
        let points: Vec<(usize, Point)> = months
            .iter()
            .enumerate()
            .filter_map(|(i, m)| Some((i, value(m, name)?)))
            .collect();
        for (i, (v, se)) in &points {
            if let Some(se) = se {
                plot.whisker_up(at(*i), v - 1.96 * se, v + 1.96 * se, whisker);
            }
        }
        plot.line(points.iter().map(|(i, (v, _))| (at(*i), *v)), line);
        for (i, (v, _)) in &points {
            let hint = format!("{name}, {}: {}", months[*i], fixed(*v, 4));
            plot.dot(at(*i), *v, fill, &hint);
        }
    }
    let entries: Vec<_> = kinds
        .iter()
        .map(|(name, line, ..)| (*line, Mark::Line, (*name).to_owned()))
        .collect();
    plot.legend(Corner::TopRight, &entries);
    Some(Figure {
        title: title.into(),
        svg: plot.finish(),
        note: String::new(),
    })
}

/// AUC by month with 95 % whiskers.
pub(super) fn auc_by_month(report: &Report) -> Option<Figure> {
    by_month(
        report,
        "aucmonth",
        "AUC by month, 95 % intervals",
        "AUC",
        |g| g.auc.map(|[auc, se]| (auc, Some(se))),
    )
}

/// KS by month.
pub(super) fn ks_by_month(report: &Report) -> Option<Figure> {
    by_month(report, "ksmonth", "KS by month", "KS", |g| {
        g.ks.map(|ks| (ks, None))
    })
}

/// Stability of the scores by month.
pub(super) fn stability_by_month(report: &Report) -> Option<Figure> {
    by_month(
        report,
        "psimonth",
        "Stability index of the score by month",
        "PSI against the first month",
        |g| g.stability.map(|v| (v, None)),
    )
}

/// Bads captured in the worst tenth, challenger beside incumbent.
pub(super) fn challenger(report: &Report) -> Option<Figure> {
    let c = report.validation.as_ref()?.challenge.as_ref()?;
    let names = c.rows.iter().map(|r| r.month.clone()).collect();
    let captures = c.rows.iter().flat_map(|r| [r.challenger, r.incumbent]);
    let high = captures.flatten().reduce(f64::max)?;
    let mut plot = Plot::new(
        "challenger",
        "Bads captured in the worst 10 %",
        &format!("{} beside {}, by month.", c.challenger, c.incumbent),
        Axis::named(names, "month of observation"),
        Axis::nice(
            0.0,
            high * 1.25,
            5,
            Ticks::Percent,
            "share of bads in the worst 10 %",
        ),
    );
    for (i, row) in c.rows.iter().enumerate() {
        let bars = [
            (0.62, "fill other", &c.incumbent, row.incumbent),
            (1.02, "fill joint", &c.challenger, row.challenger),
        ];
        for (left, class, name, value) in bars {
            let Some(value) = value else { continue };
            let left = i as f64 + left;
            let hint = format!("{name}, {}: {}", row.month, percent(value, 1));
            plot.bar((left, left + 0.37), (0.0, value), class, &hint);
        }
    }
    plot.legend(
        Corner::TopRight,
        &[
            ("fill other", Mark::Box, c.incumbent.clone()),
            ("fill joint", Mark::Box, c.challenger.clone()),
        ],
    );
    Some(Figure {
        title: "Challenger against incumbent".into(),
        svg: plot.finish(),
        note: "The higher bar catches more of the bads among the tenth that it ranks worst.".into(),
    })
}

/// Bad rate of the approved against the approval rate.
pub(super) fn cutoff(report: &Report) -> Option<Figure> {
    let cutoffs = &report.validation.as_ref()?.cutoffs;
    if cutoffs.len() < 2 {
        return None;
    }
    let high = cutoffs.iter().map(|c| c.bad_rate).reduce(f64::max)?;
    let mut plot = Plot::new(
        "cutoff",
        "Bad rate by approval rate",
        "Bad rate among the approved against the share approved, as the cut-off moves.",
        Axis::share("share of rows approved"),
        Axis::nice(0.0, high, 5, Ticks::Percent, "bad rate among the approved"),
    );
    plot.line(
        cutoffs.iter().map(|c| (c.approval_rate, c.bad_rate)),
        "line joint",
    );
    for c in cutoffs {
        let hint = format!(
            "PD at most {}: {} approved, bad rate {}",
            fixed(c.max_pd, 4),
            percent(c.approval_rate, 1),
            percent(c.bad_rate, 2)
        );
        plot.dot(c.approval_rate, c.bad_rate, "fill joint", &hint);
    }
    Some(Figure {
        title: "Cut-off curve, joint".into(),
        svg: plot.finish(),
        note: "At the right end everything is approved.".into(),
    })
}

/// The swap set as a square of four.
pub(super) fn swap(report: &Report) -> Option<Figure> {
    let s = report.validation.as_ref()?.swap.as_ref()?;
    let rows = ["approved now", "declined now"];
    let mut plot = Plot::new(
        "swap",
        "Swap set",
        &format!(
            "Rows and bad rates by the decisions of {} and {}.",
            s.before, s.after
        ),
        Axis::named(
            vec!["approved before".into(), "declined before".into()],
            &format!("decision of {}", s.before),
        ),
        Axis::slots(2, ""),
    )
    .with_rows(96.0, rows.into_iter());
    let cells = [
        (1.0, 2.0, s.kept, "cell both"),
        (2.0, 2.0, s.swapped_in, "cell in"),
        (1.0, 1.0, s.swapped_out, "cell out"),
        (2.0, 1.0, s.declined, "cell both"),
    ];
    for (x, y, cell, class) in cells {
        plot.bar((x - 0.47, x + 0.47), (y - 0.46, y + 0.46), class, "");
        let bad_rate = cell
            .bad_rate()
            .map_or_else(|| "–".into(), |r| percent(r, 1));
        let count = super::number::count(cell.rows as u64);
        plot.label((x, y), (0.0, -4.0), "middle", &format!("{count} rows"));
        plot.label((x, y), (0.0, 15.0), "middle", &format!("{bad_rate} bad"));
    }
    plot.row_name(2.0, rows[0]);
    plot.row_name(1.0, rows[1]);
    Some(Figure {
        title: format!("Swap set, {} against {}", s.after, s.before),
        svg: plot.finish(),
        note: "Where the swapped in have a lower bad rate than the swapped out, the change pays."
            .into(),
    })
}

/// Approval rates as a share of the reference group's.
pub(super) fn fairness(report: &Report) -> Option<Figure> {
    let f = report.validation.as_ref()?.fairness.as_ref()?;
    let rows: Vec<_> = f
        .rows
        .iter()
        .filter_map(|r| Some((r, r.impact_ratio?)))
        .collect();
    let high = rows.iter().map(|r| r.1).reduce(f64::max)?.max(1.0);
    let mut plot = Plot::new(
        "fairness",
        "Adverse impact ratio",
        "Approval rate of each group over that of the reference group.",
        Axis::nice(
            0.0,
            high,
            5,
            Ticks::Plain,
            "approval rate over the reference group's",
        ),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(28.0, rows.iter().map(|r| r.0.group.as_str()))
    .with_right(60.0);
    for (i, (row, ratio)) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        let class = if row.below {
            "fill worse"
        } else {
            "fill joint"
        };
        plot.row_name(y, &row.group);
        plot.bar((0.0, *ratio), (y - 0.32, y + 0.32), class, "");
        plot.label((*ratio, y), (6.0, 4.5), "start", &fixed(*ratio, 3));
    }
    let line = [
        (f.least_ratio, 0.5),
        (f.least_ratio, rows.len() as f64 + 0.5),
    ];
    plot.line(line, "reference");
    Some(Figure {
        title: format!("Approval by {}", f.column),
        svg: plot.finish(),
        note: format!(
            "The dashed line is the least ratio asked for, {}.",
            super::number::compact(f.least_ratio, 3)
        ),
    })
}

/// Stability of own columns in the test rows, largest first.
pub(super) fn stability(report: &Report) -> Option<Figure> {
    const MOST: usize = 24;
    let drift = report.drift.as_ref()?;
    let mut rows: Vec<(&str, f64)> = drift
        .columns
        .iter()
        .filter_map(|c| Some((c.column.as_str(), (*c.index.first()?)?)))
        .collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let left_out = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    let high = rows.first()?.1.max(0.28);
    let mut plot = Plot::new(
        "csi",
        "Stability of own columns",
        "Stability index of each column, test rows against training rows, largest first.",
        Axis::nice(0.0, high, 4, Ticks::Plain, "stability index"),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(20.0, rows.iter().map(|r| r.0))
    .with_right(60.0);
    for (i, (name, index)) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        let class = match *index {
            v if v < 0.10 => "fill good",
            v if v <= 0.25 => "fill alone",
            _ => "fill worse",
        };
        plot.row_name(y, name);
        plot.bar((0.0, *index), (y - 0.32, y + 0.32), class, "");
        plot.label((*index, y), (6.0, 4.5), "start", &fixed(*index, 3));
    }
    for at in [0.10, 0.25] {
        plot.line([(at, 0.5), (at, rows.len() as f64 + 0.5)], "reference");
    }
    let mut note = String::from("Dashed: 0.10 (watch) and 0.25 (act).");
    if left_out > 0 {
        note.push_str(&format!(" {left_out} smaller ones are in the table only."));
    }
    Some(Figure {
        title: "Stability of own columns, test rows".into(),
        svg: plot.finish(),
        note,
    })
}

/// Stability of own columns by month.
pub(super) fn stability_map(report: &Report) -> Option<Figure> {
    const MOST: usize = 30;
    let drift = report.drift.as_ref()?;
    let months = drift.samples.get(1..).filter(|m| m.len() > 1)?;
    let mut columns: Vec<_> = drift.columns.iter().collect();
    let worst =
        |c: &crate::validation::ColumnDrift| c.index.iter().flatten().copied().fold(0.0, f64::max);
    columns.sort_by(|a, b| worst(b).total_cmp(&worst(a)));
    columns.truncate(MOST);
    let names = months.to_vec();
    let mut plot = Plot::new(
        "csimap",
        "Stability of own columns by month",
        "Stability index of each column in each month against the training rows.",
        Axis::named(names, "month of observation").with_most_names(4),
        Axis::slots(columns.len(), ""),
    )
    .with_rows(20.0, columns.iter().map(|c| c.column.as_str()));
    for (i, column) in columns.iter().enumerate() {
        let y = (columns.len() - i) as f64;
        plot.row_name(y, &column.column);
        for (j, index) in column.index.iter().skip(1).enumerate() {
            let Some(index) = index else { continue };
            let class = match *index {
                v if v < 0.05 => "cell h0",
                v if v < 0.10 => "cell h1",
                v if v <= 0.25 => "cell h2",
                _ => "cell h3",
            };
            let x = j as f64 + 1.0;
            let month = months.get(j).map(String::as_str).unwrap_or_default();
            let hint = format!("{}, {month}: {}", column.column, fixed(*index, 3));
            plot.bar((x - 0.48, x + 0.48), (y - 0.46, y + 0.46), class, &hint);
        }
    }
    Some(Figure {
        title: "Stability of own columns by month".into(),
        svg: plot.finish(),
        note: "From pale to dark: below 0.05, below 0.10, to 0.25 (watch), above (act). The \
               least stable columns come first."
            .into(),
    })
}

/// From the bank alone to the joint model, as one step.
pub(super) fn waterfall(report: &Report) -> Option<Figure> {
    let find = |kind| report.comparison.iter().find(|e| e.kind == kind);
    let (alone, joint) = (find(ModelKind::Alone)?, find(ModelKind::Joint)?);
    let (a, j) = (alone.gini?, joint.gini?);
    let (adds, what, title) = match report.is_horizontal() {
        true => (
            "banks add",
            "What the other banks' customers add",
            "the other banks",
        ),
        false => ("partners add", "What the partners' columns add", "partners"),
    };
    let names = vec![alone.name.clone(), adds.into(), joint.name.clone()];
    let mut plot = Plot::new(
        "waterfall",
        what,
        "Gini of the bank alone, the difference, and Gini of the joint model.",
        Axis::named(names, ""),
        Axis::nice(
            0.0f64.min(a).min(j),
            a.max(j) * 1.12,
            5,
            Ticks::Plain,
            "Gini",
        ),
    );
    let step = if j >= a { "fill good" } else { "fill worse" };
    for (x, from, to, class, words) in [
        (1.0, 0.0, a, "fill alone", fixed(a, 4)),
        (2.0, a.min(j), a.max(j), step, signed(j - a, 4)),
        (3.0, 0.0, j, "fill joint", fixed(j, 4)),
    ] {
        plot.bar((x - 0.34, x + 0.34), (from, to), class, &words);
        plot.label((x, to), (0.0, -6.0), "middle", &words);
    }
    plot.line([(1.34, a), (1.66, a)], "reference");
    plot.line([(2.34, j), (2.66, j)], "reference");
    Some(Figure {
        title: format!("{} with and without {title}", Metric::Gini.label()),
        svg: plot.finish(),
        note: String::new(),
    })
}
