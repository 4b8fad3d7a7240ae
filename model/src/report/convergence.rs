//! How a fit came to its end, step by step.

use serde::{Deserialize, Serialize};

use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{fixed, seconds};
use super::svg::Plot;
use super::table::{Cell, Table, figure, words};

/// More steps than this are no bars.
const MOST_BARS: usize = 60;

/// The steps of a fit, as far as the receiver learns them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Convergence {
    /// What a step is: pass, point, round.
    pub step: String,
    /// What `value` is; empty where no step has one.
    pub quantity: String,
    /// The steps in their order.
    pub rows: Vec<ConvergenceStep>,
    /// What the plot does not show, and why.
    pub note: String,
}

/// One step of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConvergenceStep {
    /// Wall time, seconds.
    pub seconds: Option<f64>,
    /// Whether it was made at final precision.
    pub fine: bool,
    /// The quantity after or at it.
    pub value: Option<f64>,
}

/// Steps as a table.
pub(super) fn table(report: &super::Report) -> Table {
    let columns = vec![
        figure("step", "Step"),
        words("precision", "Precision"),
        figure("seconds", "Wall time"),
        figure("value", "Value"),
    ];
    let mut table = Table::new("convergence", "Steps of the fit", columns);
    let Some(course) = &report.convergence else {
        return table;
    };
    let valued = !course.quantity.is_empty();
    table.rows = (1..)
        .zip(&course.rows)
        .map(|(number, step)| {
            let precision = match (valued, step.fine) {
                (true, _) => "",
                (false, true) => "final",
                (false, false) => "short words",
            };
            vec![
                Cell::Count(number),
                Cell::text(precision),
                step.seconds.map_or(Cell::Missing, Cell::Seconds),
                step.value.map_or(Cell::Missing, |v| Cell::Fixed(v, 6)),
            ]
        })
        .collect();
    table
}

/// The quantity by step; where no step has one, the wall time of each.
pub(super) fn plot(course: Option<&Convergence>) -> Option<Figure> {
    let course = course.filter(|c| !c.rows.is_empty())?;
    let count = course.rows.len();
    let values = (1..).zip(&course.rows);
    let points: Vec<(f64, f64)> = values
        .filter_map(|(n, s)| Some((f64::from(n), s.value.filter(|v| v.is_finite())?)))
        .collect();
    let svg = match points.is_empty() {
        false => by_value(course, &points),
        // trials of many ridges make bars that nobody can tell apart
        true if count > MOST_BARS => return None,
        true => by_time(course, count)?,
    };
    Some(Figure {
        title: "Convergence".into(),
        svg,
        note: course.note.clone(),
    })
}

fn by_value(course: &Convergence, points: &[(f64, f64)]) -> String {
    let range = points.iter().fold((f64::MAX, f64::MIN), |(low, high), p| {
        (low.min(p.1), high.max(p.1))
    });
    // a flat line is one, and not its rounding
    let room = (0.05 * (range.1 - range.0)).max(1e-4 * range.1.abs());
    let mut plot = Plot::new(
        "convergence",
        "Convergence",
        &format!("{} by {}.", course.quantity, course.step),
        Axis::slots(course.rows.len(), &course.step),
        Axis::nice(
            range.0 - room,
            range.1 + room,
            5,
            Ticks::Plain,
            &course.quantity,
        ),
    );
    plot.line(points.iter().copied(), "line joint");
    for (n, v) in points {
        let hint = format!("{} {n}: {}", course.step, fixed(*v, 6));
        plot.dot(*n, *v, "fill joint", &hint);
    }
    plot.finish()
}

fn by_time(course: &Convergence, count: usize) -> Option<String> {
    let times = course.rows.iter().filter_map(|s| s.seconds);
    let high = times.filter(|s| s.is_finite()).reduce(f64::max)?;
    let mut plot = Plot::new(
        "convergence",
        "Convergence",
        &format!(
            "Wall time of each {}, those at final precision apart.",
            course.step
        ),
        Axis::slots(count, &course.step),
        Axis::nice(0.0, high, 4, Ticks::Plain, "seconds"),
    );
    for (n, step) in (1..).zip(&course.rows) {
        let Some(time) = step.seconds.filter(|s| s.is_finite()) else {
            continue;
        };
        let class = match step.fine {
            true => "fill joint",
            false => "fill other",
        };
        let at = f64::from(n);
        plot.bar((at - 0.35, at + 0.35), (0.0, time), class, &seconds(time));
    }
    Some(plot.finish())
}
