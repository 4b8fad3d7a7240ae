//! The plots of the models. Colour and dash of a model are the same in all of them.

use super::axis::{Axis, Ticks};
use super::curves::band_rows;
use super::number::{fixed, percent, shortened};
use super::svg::{Corner, Mark, Plot};
use super::{Curves, ModelKind, Report};

/// A drawing with its heading and a line of explanation.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) title: String,
    pub(super) svg: String,
    pub(super) note: String,
}

/// Style class of a model's line.
pub(super) fn line_class(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Alone => "line alone",
        ModelKind::Joint => "line joint",
        ModelKind::Pooled => "line pooled",
        ModelKind::Other => "line other",
    }
}

fn fill_class(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Alone => "fill alone",
        ModelKind::Joint => "fill joint",
        ModelKind::Pooled => "fill pooled",
        ModelKind::Other => "fill other",
    }
}

/// A legend may not grow over the curves.
fn legend_name(curves: &Curves) -> String {
    shortened(&curves.name, 24)
}

fn usable(points: impl IntoIterator<Item = (f64, f64)>) -> bool {
    points
        .into_iter()
        .filter(|(x, y)| x.is_finite() && y.is_finite())
        .count()
        >= 2
}

/// All models' ROC curves in one plot.
pub(super) fn roc(report: &Report) -> Option<Figure> {
    let points = |c: &Curves| c.roc.iter().map(|p| (p.fpr, p.tpr)).collect::<Vec<_>>();
    let drawn: Vec<_> = report.curves.iter().filter(|c| usable(points(c))).collect();
    let entries: Vec<_> = drawn
        .iter()
        .map(|c| {
            let auc = report
                .comparison
                .iter()
                .find(|e| e.kind == c.kind && e.name == c.name);
            let words = match auc.and_then(|e| e.auc) {
                Some(auc) => format!("{}, AUC {}", legend_name(c), fixed(auc, 4)),
                None => legend_name(c),
            };
            (line_class(c.kind), Mark::Line, words)
        })
        .collect();
    if entries.is_empty() {
        return None;
    }
    let words = entries
        .iter()
        .map(|e| e.2.as_str())
        .collect::<Vec<_>>()
        .join("; ");
    let mut plot = Plot::new(
        "roc",
        "ROC curves",
        &format!("Share of bads against share of goods at or below each cut-off. {words}."),
        Axis::share("share of goods at or below the cut-off"),
        Axis::share("share of bads at or below the cut-off"),
    );
    plot.line([(0.0, 0.0), (1.0, 1.0)], "reference");
    for c in drawn {
        plot.line(points(c), line_class(c.kind));
    }
    plot.legend(Corner::BottomRight, &entries);
    Some(Figure {
        title: "ROC".into(),
        svg: plot.finish(),
        note: "The dashed diagonal is a score that tells nothing.".into(),
    })
}

/// All models' gains (cumulative accuracy) curves in one plot.
pub(super) fn gains(report: &Report) -> Option<Figure> {
    let points = |c: &Curves| {
        c.ks.iter()
            .map(|p| (p.population, p.bad))
            .collect::<Vec<_>>()
    };
    let drawn: Vec<_> = report.curves.iter().filter(|c| usable(points(c))).collect();
    if drawn.is_empty() {
        return None;
    }
    let mut plot = Plot::new(
        "gains",
        "Gains curves",
        "Share of all bads caught against the share of rows, lowest scores first.",
        Axis::share("share of rows, lowest scores first"),
        Axis::share("share of all bads caught"),
    );
    plot.line([(0.0, 0.0), (1.0, 1.0)], "reference");
    plot.line([(0.1, 0.0), (0.1, 1.0)], "marker");
    plot.label((0.1, 1.0), (5.0, 13.0), "start", "worst 10 %");
    for c in &drawn {
        plot.line(points(c), line_class(c.kind));
    }
    let entries: Vec<_> = drawn
        .iter()
        .map(|c| (line_class(c.kind), Mark::Line, legend_name(c)))
        .collect();
    plot.legend(Corner::BottomRight, &entries);
    Some(Figure {
        title: "Gains".into(),
        svg: plot.finish(),
        note: "How many of the bads are among the rows that the model ranks worst.".into(),
    })
}

/// Lift by band, all models side by side.
pub(super) fn lift(report: &Report) -> Option<Figure> {
    let all: Vec<_> = report
        .curves
        .iter()
        .map(|c| (c, band_rows(&c.bands)))
        .filter(|(_, rows)| rows.iter().any(|r| r.lift.is_finite()))
        .collect();
    let bands = all.iter().map(|(_, rows)| rows.len()).max()?;
    // The legend stands over the better bands: leave room above them if they are unusually high.
    let highest_from = |band: usize| {
        let lifts = all
            .iter()
            .flat_map(|(_, rows)| rows.iter().skip(band))
            .map(|r| r.lift);
        lifts.filter(|lift| lift.is_finite()).fold(0.0, f64::max)
    };
    let highest = highest_from(0).max(1.0).max(highest_from(bands / 3) / 0.68);
    let mut plot = Plot::new(
        "lift",
        "Lift by band",
        "Bad rate of each band of the population, worst first, over the overall bad rate.",
        Axis::slots(bands, "band of the population, 1 = lowest scores"),
        Axis::nice(
            0.0,
            highest,
            5,
            Ticks::Plain,
            "lift (bad rate over overall bad rate)",
        ),
    );
    let width = 0.8 / all.len() as f64;
    for (i, (c, rows)) in all.iter().enumerate() {
        for (j, row) in rows.iter().enumerate() {
            let left = j as f64 + 0.6 + width * i as f64;
            let hint = format!(
                "{}, band {}: lift {}, bad rate {}",
                c.name,
                j + 1,
                fixed(row.lift, 2),
                percent(row.bad_rate, 1)
            );
            plot.bar(
                (left, left + width * 0.92),
                (0.0, row.lift),
                fill_class(c.kind),
                &hint,
            );
        }
    }
    plot.line([(0.5, 1.0), (bands as f64 + 0.5, 1.0)], "reference");
    let entries: Vec<_> = all
        .iter()
        .map(|(c, _)| (fill_class(c.kind), Mark::Box, legend_name(c)))
        .collect();
    plot.legend(Corner::TopRight, &entries);
    Some(Figure {
        title: "Lift by band".into(),
        svg: plot.finish(),
        note: "The dashed line is the overall bad rate, lift 1.".into(),
    })
}

/// Cumulative bads and goods of one model, with a bar where they are farthest apart.
pub(super) fn ks(curves: &Curves, index: usize) -> Option<Figure> {
    let bad = curves.ks.iter().map(|p| (p.population, p.bad));
    let good = curves.ks.iter().map(|p| (p.population, p.good));
    if !usable(bad.clone()) {
        return None;
    }
    let gap = |p: &&super::KsPoint| (p.bad - p.good).abs();
    let most = curves
        .ks
        .iter()
        .filter(|p| gap(p).is_finite() && p.population.is_finite())
        .max_by(|a, b| gap(a).total_cmp(&gap(b)));
    let words = match most {
        Some(p) => {
            format!(
                "KS {} at the worst {}",
                fixed(gap(&p), 4),
                percent(p.population, 0)
            )
        }
        None => "KS –".into(),
    };
    let mut plot = Plot::new(
        &format!("ks{index}"),
        &format!("KS curves, {}", curves.name),
        &format!("Cumulative shares of bads and goods, lowest scores first. {words}."),
        Axis::share("share of rows, lowest scores first"),
        Axis::share("cumulative share"),
    );
    plot.line(bad, "line bad");
    plot.line(good, "line good");
    if let Some(p) = most {
        plot.line([(p.population, p.good), (p.population, p.bad)], "bar-max");
        plot.dot(p.population, p.bad, "end", "");
        plot.dot(p.population, p.good, "end", "");
    }
    plot.legend(
        Corner::BottomRight,
        &[
            ("line bad", Mark::Line, "bads".into()),
            ("line good", Mark::Line, "goods".into()),
            ("bar-max", Mark::Line, words),
        ],
    );
    Some(Figure {
        title: curves.name.clone(),
        svg: plot.finish(),
        note: String::new(),
    })
}

/// Predicted against observed, with intervals and the diagonal.
pub(super) fn calibration(curves: &Curves, index: usize) -> Option<Figure> {
    let points: Vec<_> = curves
        .calibration
        .iter()
        .filter(|p| p.predicted.is_finite() && p.observed.is_finite())
        .collect();
    if points.is_empty() {
        return None;
    }
    let top = points
        .iter()
        .flat_map(|p| [p.predicted, p.observed, p.high]);
    let top = top.filter(|v| v.is_finite()).fold(0.01, f64::max);
    let mut plot = Plot::new(
        &format!("cal{index}"),
        &format!("Calibration, {}", curves.name),
        "Observed bad rate against mean predicted probability of bad, with 95 % intervals; \
         the diagonal is perfect calibration.",
        Axis::nice(
            0.0,
            top,
            5,
            Ticks::Percent,
            "mean predicted probability of bad",
        ),
        Axis::nice(0.0, top, 5, Ticks::Percent, "observed bad rate"),
    );
    plot.line([(0.0, 0.0), (top * 2.0, top * 2.0)], "reference");
    for p in &points {
        plot.whisker_up(p.predicted, p.low, p.high, line_class_plain(curves.kind));
    }
    for p in &points {
        let hint = format!(
            "predicted {}, observed {} ({} to {}), {} rows",
            percent(p.predicted, 1),
            percent(p.observed, 1),
            percent(p.low, 1),
            percent(p.high, 1),
            super::number::count(p.rows)
        );
        plot.dot(p.predicted, p.observed, fill_class(curves.kind), &hint);
    }
    plot.legend(
        Corner::BottomRight,
        &[
            (
                fill_class(curves.kind),
                Mark::Dot,
                "observed, 95 % interval".into(),
            ),
            ("reference", Mark::Line, "predicted = observed".into()),
        ],
    );
    Some(Figure {
        title: curves.name.clone(),
        svg: plot.finish(),
        note: String::new(),
    })
}

fn line_class_plain(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::Alone => "whisker alone",
        ModelKind::Joint => "whisker joint",
        ModelKind::Pooled => "whisker pooled",
        ModelKind::Other => "whisker other",
    }
}

/// Score distribution of goods and bads, each as share of its class.
pub(super) fn scores(curves: &Curves, index: usize) -> Option<Figure> {
    let histogram = curves.scores.as_ref()?;
    let outline = |counts: &[u64]| -> Vec<(f64, f64)> {
        let total: u64 = counts.iter().sum();
        histogram
            .edges
            .windows(2)
            .zip(counts)
            .filter(|(edges, _)| total > 0 && edges.iter().all(|e| e.is_finite()))
            .flat_map(|(edges, &count)| {
                let share = count as f64 / total as f64;
                edges
                    .iter()
                    .map(move |&edge| (edge, share))
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let (good, bad) = (outline(&histogram.good), outline(&histogram.bad));
    let all = || good.iter().chain(&bad);
    let low = all().map(|p| p.0).reduce(f64::min)?;
    let high = all().map(|p| p.0).reduce(f64::max)?;
    let top = all().map(|p| p.1).fold(0.0, f64::max);
    let mut plot = Plot::new(
        &format!("dist{index}"),
        &format!("Score distribution, {}", curves.name),
        "Share of goods and of bads by score; higher scores are better.",
        Axis::nice(low, high, 6, Ticks::Plain, &histogram.label),
        Axis::nice(
            0.0,
            top * 1.12,
            5,
            Ticks::Percent,
            "share of the class per bin",
        ),
    );
    plot.area(&good, 0.0, "area good");
    plot.area(&bad, 0.0, "area bad");
    plot.line(good.iter().copied(), "line good");
    plot.line(bad.iter().copied(), "line bad");
    let mass = |half: fn(f64, f64) -> bool| {
        let middle = 0.5 * (low + high);
        all()
            .filter(|p| half(p.0, middle))
            .map(|p| p.1)
            .fold(0.0, f64::max)
    };
    let free = if mass(|x, m| x < m) <= mass(|x, m| x >= m) {
        Corner::TopLeft
    } else {
        Corner::TopRight
    };
    plot.legend(
        free,
        &[
            ("line bad", Mark::Line, "bads".into()),
            ("line good", Mark::Line, "goods".into()),
        ],
    );
    Some(Figure {
        title: curves.name.clone(),
        svg: plot.finish(),
        note: String::new(),
    })
}
