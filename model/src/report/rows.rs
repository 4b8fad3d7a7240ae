//! Plots with one named row for each item: differences, coefficients, phases.

use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{seconds, signed};
use super::svg::Plot;
use super::{Coefficients, Finding, Phase, Report};

/// Differences with their intervals, better to the right.
pub(super) fn uplift(report: &Report) -> Option<Figure> {
    let rows: Vec<_> = report
        .uplift
        .iter()
        .filter(|u| u.finding() != Finding::NoInterval)
        .map(|u| {
            let sign = if u.metric.higher_is_better() {
                1.0
            } else {
                -1.0
            };
            let (a, b) = (
                u.low.unwrap_or(f64::NAN) * sign,
                u.high.unwrap_or(f64::NAN) * sign,
            );
            (u, u.delta * sign, a.min(b), a.max(b))
        })
        .collect();
    let low = rows.iter().map(|r| r.2).reduce(f64::min)?.min(0.0);
    let high = rows.iter().map(|r| r.3).reduce(f64::max)?.max(0.0);
    let mut plot = Plot::new(
        "uplift",
        "Differences between the models, with 95 % intervals",
        &rows
            .iter()
            .map(|r| r.0.verdict())
            .collect::<Vec<_>>()
            .join(" "),
        Axis::nice(
            low,
            high,
            5,
            Ticks::Signed,
            "difference, in the better direction",
        ),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(34.0, rows.iter().map(|r| r.0.metric.heading()));
    plot.line([(0.0, 0.5), (0.0, rows.len() as f64 + 0.5)], "zero");
    for (i, (u, delta, low, high)) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        let (whisker, dot) = match u.finding() {
            Finding::Better => ("whisker joint", "fill joint"),
            Finding::Worse => ("whisker worse", "fill worse"),
            _ => ("whisker none", "fill none"),
        };
        plot.row_name(y, u.metric.heading());
        plot.whisker_across(y, *low, *high, whisker);
        plot.dot(*delta, y, dot, &u.verdict());
    }
    Some(Figure {
        title: "Uplift with 95 % intervals".into(),
        svg: plot.finish(),
        note:
            "An interval that holds 0 shows no uplift. Log loss and Brier score are turned round, \
               so that right is better."
                .into(),
    })
}

/// The receiver's own coefficients on the standardised scale, largest first.
pub(super) fn coefficients(own: &Coefficients) -> Option<Figure> {
    const MOST: usize = 24;
    let mut rows: Vec<_> = own.rows.iter().filter(|row| row.coef.is_finite()).collect();
    rows.sort_by(|a, b| b.coef.abs().total_cmp(&a.coef.abs()));
    let left_out = rows.len().saturating_sub(MOST);
    rows.truncate(MOST);
    let ends = |row: &super::Coefficient| {
        let half = 1.959_964 * row.se.filter(|se| se.is_finite()).unwrap_or(0.0);
        (row.coef - half, row.coef + half)
    };
    let low = rows
        .iter()
        .map(|row| ends(row).0)
        .reduce(f64::min)?
        .min(0.0);
    let high = rows
        .iter()
        .map(|row| ends(row).1)
        .reduce(f64::max)?
        .max(0.0);
    let mut plot = Plot::new(
        "coef",
        "Coefficients on the standardised scale",
        "Change of the log-odds of bad per standard deviation of the column, largest first.",
        Axis::nice(
            low,
            high,
            5,
            Ticks::Signed,
            "log-odds of bad per standard deviation",
        ),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(20.0, rows.iter().map(|row| row.name.as_str()));
    for (i, row) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        plot.row_name(y, &row.name);
        let hint = format!("{}: {}", row.name, signed(row.coef, 4));
        plot.bar((0.0, row.coef), (y - 0.32, y + 0.32), "fill joint", &hint);
        if row.se.is_some_and(f64::is_finite) {
            plot.whisker_across(y, ends(row).0, ends(row).1, "whisker ink");
        }
    }
    plot.line([(0.0, 0.5), (0.0, rows.len() as f64 + 0.5)], "zero");
    let mut note = String::from("Right of 0 raises the probability of bad.");
    if rows.iter().any(|row| row.se.is_some_and(f64::is_finite)) {
        note.push_str(" Whiskers are 95 % intervals.");
    }
    if left_out > 0 {
        note.push_str(&format!(" {left_out} smaller ones are in the table only."));
    }
    Some(Figure {
        title: "Coefficients, largest first".into(),
        svg: plot.finish(),
        note,
    })
}

/// Wall time by phase.
pub(super) fn timing(phases: &[Phase]) -> Option<Figure> {
    let rows: Vec<_> = phases.iter().filter(|p| p.seconds.is_finite()).collect();
    let high = rows.iter().map(|p| p.seconds).reduce(f64::max)?;
    let mut plot = Plot::new(
        "timing",
        "Wall time by phase",
        "Wall time of each phase in seconds.",
        Axis::nice(0.0, high, 4, Ticks::Plain, "seconds"),
        Axis::slots(rows.len(), ""),
    )
    .with_rows(24.0, rows.iter().map(|phase| phase.name.as_str()))
    .with_right(74.0);
    for (i, phase) in rows.iter().enumerate() {
        let y = (rows.len() - i) as f64;
        plot.row_name(y, &phase.name);
        let words = seconds(phase.seconds);
        plot.bar(
            (0.0, phase.seconds),
            (y - 0.3, y + 0.3),
            "fill other",
            &words,
        );
        plot.label((phase.seconds, y), (6.0, 4.5), "start", &words);
    }
    Some(Figure {
        title: "Wall time by phase".into(),
        svg: plot.finish(),
        note: String::new(),
    })
}
