//! Tables of what validation asks of the held-out rows.

use super::Report;
use super::table::{Cell, Table, figure, words};
use crate::metrics::{Interval, Intervals};
use crate::validation::Validation;

fn of(report: &Report) -> Option<&Validation> {
    report.validation.as_ref()
}

/// Calibration in figures, one row per model.
pub(super) fn calibration(report: &Report) -> Table {
    let mut table = Table::new(
        "calibration_figures",
        "Calibration in figures",
        vec![
            words("model", "Model"),
            figure("ece", "ECE"),
            figure("hl_chi_squared", "Hosmer-Lemeshow χ²"),
            figure("hl_degrees", "d.f."),
            figure("hl_p", "p"),
            figure("intercept", "Intercept"),
            figure("intercept_se", "s.e."),
            figure("slope", "Slope"),
            figure("slope_se", "s.e."),
            figure("in_the_large", "In the large"),
        ],
    );
    let models = of(report).map(|v| v.models.as_slice()).unwrap_or_default();
    table.rows = models
        .iter()
        .map(|m| {
            let (hl, cal) = (m.hosmer_lemeshow, m.recalibration);
            vec![
                Cell::text(&m.name),
                Cell::Fixed(m.ece, 4),
                Cell::decimal(hl.map(|h| h.chi_squared), 2),
                Cell::counted(hl.map(|h| h.degrees as u64)),
                hl.map_or(Cell::Missing, |h| Cell::PValue(h.p)),
                Cell::decimal(cal.map(|c| c.intercept), 4),
                Cell::decimal(cal.map(|c| c.intercept_se), 4),
                Cell::decimal(cal.map(|c| c.slope), 4),
                Cell::decimal(cal.map(|c| c.slope_se), 4),
                Cell::decimal(cal.map(|c| c.in_the_large), 4),
            ]
        })
        .collect();
    table
}

fn named(all: &Intervals) -> [(&'static str, &Interval); 5] {
    [
        ("AUC", &all.auc),
        ("KS", &all.ks),
        ("Log loss", &all.log_loss),
        ("Brier", &all.brier),
        ("Capture, worst 10 %", &all.capture),
    ]
}

/// Resampled intervals of each model and of the difference.
pub(super) fn intervals(report: &Report) -> Table {
    let mut table = Table::new(
        "intervals",
        "Intervals by resampling, the same resamples for both models",
        vec![
            words("model", "Model"),
            words("metric", "Measure"),
            figure("value", "Value"),
            figure("se", "s.e."),
            figure("low_95", "95 % from"),
            figure("high_95", "to"),
            figure("resamples", "Resamples"),
        ],
    );
    let Some(v) = of(report) else { return table };
    let models = v
        .models
        .iter()
        .filter_map(|m| Some((m.name.clone(), m.intervals.as_ref()?)));
    let minus = match v.models.as_slice() {
        [a, b] => format!("{} − {}", b.name, a.name),
        _ => "difference".into(),
    };
    let all = models.chain(v.difference.as_ref().map(|d| (minus, d)));
    for (name, intervals) in all {
        table
            .rows
            .extend(named(intervals).into_iter().map(|(metric, i)| {
                vec![
                    Cell::text(&name),
                    Cell::text(metric),
                    Cell::Fixed(i.value, 4),
                    Cell::Fixed(i.se, 4),
                    Cell::Fixed(i.ci95[0], 4),
                    Cell::Fixed(i.ci95[1], 4),
                    Cell::Count(intervals.resamples as u64),
                ]
            }));
    }
    table
}

/// Figures by sample, month and segment.
pub(super) fn by_group(report: &Report) -> Table {
    let mut table = Table::new(
        "by_group",
        "Figures by month and segment",
        vec![
            words("group", "Group"),
            words("by", "By"),
            words("model", "Model"),
            figure("rows", "Rows"),
            figure("bads", "Bads"),
            figure("bad_rate", "Bad rate"),
            figure("mean_pd", "Mean PD"),
            figure("auc", "AUC"),
            figure("auc_se", "s.e."),
            figure("ks", "KS"),
            figure("capture_worst_10", "Capture, worst 10 %"),
            figure("brier", "Brier"),
            figure("stability_index", "PSI"),
        ],
    );
    let groups = of(report).map(|v| v.groups.as_slice()).unwrap_or_default();
    table.rows = groups
        .iter()
        .map(|g| {
            vec![
                Cell::text(&g.group),
                Cell::text(&g.by),
                Cell::text(&g.model),
                Cell::Count(g.rows as u64),
                Cell::Count(g.bads as u64),
                Cell::Percent(g.bads as f64 / g.rows as f64, 1),
                Cell::Percent(g.mean_pd, 1),
                Cell::decimal(g.auc.map(|a| a[0]), 4),
                Cell::decimal(g.auc.map(|a| a[1]), 4),
                Cell::decimal(g.ks, 4),
                Cell::share(g.capture, 1),
                Cell::Fixed(g.brier, 4),
                Cell::decimal(g.stability, 3),
            ]
        })
        .collect();
    table
}

/// Gains, lift and capture within each group.
pub(super) fn group_bands(report: &Report) -> Table {
    let mut table = Table::new(
        "bands_by_group",
        "Bands within each month and segment, worst first",
        vec![
            words("group", "Group"),
            words("by", "By"),
            words("model", "Model"),
            figure("band", "Band"),
            figure("min_pd", "PD from"),
            figure("max_pd", "to"),
            figure("rows", "Rows"),
            figure("bads", "Bads"),
            figure("bad_rate", "Bad rate"),
            figure("lift", "Lift"),
            figure("population", "Cum. rows"),
            figure("capture", "Cum. bads"),
            figure("cumulative_lift", "Cum. lift"),
            figure("ks", "KS"),
        ],
    );
    let bands = of(report).map(|v| v.bands.as_slice()).unwrap_or_default();
    table.rows = bands
        .iter()
        .map(|g| {
            let b = &g.band;
            vec![
                Cell::text(&g.group),
                Cell::text(&g.by),
                Cell::text(&g.model),
                Cell::Count(b.band as u64),
                Cell::Fixed(b.min_pd, 4),
                Cell::Fixed(b.max_pd, 4),
                Cell::Count(b.rows as u64),
                Cell::Count(b.bads as u64),
                Cell::Percent(b.bad_rate, 1),
                Cell::Fixed(b.lift, 2),
                Cell::Percent(b.cumulative_fraction, 1),
                Cell::Percent(b.cumulative_capture, 1),
                Cell::Fixed(b.cumulative_lift, 2),
                Cell::Fixed(b.ks, 4),
            ]
        })
        .collect();
    table
}

/// Challenger against incumbent: month, capture of both, lift.
pub(super) fn challenger(report: &Report) -> Table {
    let challenge = of(report).and_then(|v| v.challenge.as_ref());
    let caption = challenge.map_or_else(String::new, |c| {
        format!(
            "{} against {}: bads captured in the worst 10 %",
            c.challenger, c.incumbent
        )
    });
    let mut table = Table::new(
        "challenger",
        &caption,
        vec![
            words("month", "Month"),
            figure("rows", "Rows"),
            figure("bads", "Bads"),
            figure("challenger", "Challenger"),
            figure("incumbent", "Incumbent"),
            figure("lift", "Lift"),
        ],
    );
    let rows = challenge.map(|c| c.rows.as_slice()).unwrap_or_default();
    table.rows = rows
        .iter()
        .map(|r| {
            vec![
                Cell::text(&r.month),
                Cell::Count(r.rows as u64),
                Cell::Count(r.bads as u64),
                Cell::share(r.challenger, 1),
                Cell::share(r.incumbent, 1),
                Cell::share(r.lift, 1),
            ]
        })
        .collect();
    table
}

/// Precision at N.
pub(super) fn top(report: &Report) -> Table {
    let mut table = Table::new(
        "precision_at_n",
        "Precision at N: the N rows that each ranks worst",
        vec![
            words("basis", "N"),
            figure("rows", "Rows"),
            words("model", "Ranked by"),
            figure("bads", "Bads"),
            figure("precision", "Precision"),
            figure("capture", "Capture"),
            figure("lift", "Lift"),
        ],
    );
    let rows = of(report).map(|v| v.top.as_slice()).unwrap_or_default();
    table.rows = rows
        .iter()
        .map(|r| {
            vec![
                Cell::text(&r.basis),
                Cell::Count(r.rows as u64),
                Cell::text(&r.model),
                Cell::Fixed(r.bads, 1),
                Cell::Percent(r.precision, 1),
                Cell::Percent(r.capture, 1),
                Cell::Fixed(r.lift, 2),
            ]
        })
        .collect();
    table
}

/// Approval, bad rate and loss by cut-off.
pub(super) fn cutoffs(report: &Report) -> Table {
    let mut table = Table::new(
        "cutoffs",
        "Cut-offs of the joint model: everything with a PD at or under it is approved",
        vec![
            figure("max_pd", "PD at most"),
            figure("approved", "Approved"),
            figure("approval_rate", "Approval rate"),
            figure("bads", "Bads"),
            figure("bad_rate", "Bad rate"),
            figure("bads_declined", "Bads declined"),
            figure("goods_declined", "Goods declined"),
            figure("expected_loss", "Expected loss"),
            figure("realised_loss", "Realised loss"),
        ],
    );
    let rows = of(report).map(|v| v.cutoffs.as_slice()).unwrap_or_default();
    table.rows = rows
        .iter()
        .map(|c| {
            vec![
                Cell::Fixed(c.max_pd, 4),
                Cell::Count(c.approved as u64),
                Cell::Percent(c.approval_rate, 1),
                Cell::Count(c.bads as u64),
                Cell::Percent(c.bad_rate, 2),
                Cell::Percent(c.bads_declined, 1),
                Cell::Percent(c.goods_declined, 1),
                Cell::decimal(c.expected_loss, 1),
                Cell::decimal(c.realised_loss, 1),
            ]
        })
        .collect();
    table.without_empty_columns()
}

/// The swap set.
pub(super) fn swap(report: &Report) -> Table {
    let swap = of(report).and_then(|v| v.swap.as_ref());
    let caption = swap.map_or_else(String::new, |s| {
        format!(
            "Swap set: {} against {}, both approving {} %",
            s.after,
            s.before,
            super::number::compact(100.0 * s.approve, 4)
        )
    });
    let mut table = Table::new(
        "swap_set",
        &caption,
        vec![
            words("cell", "Decision"),
            figure("rows", "Rows"),
            figure("bads", "Bads"),
            figure("bad_rate", "Bad rate"),
        ],
    );
    let Some(s) = swap else { return table };
    table.rows = [
        ("approved by both", s.kept),
        ("declined before, approved now", s.swapped_in),
        ("approved before, declined now", s.swapped_out),
        ("declined by both", s.declined),
    ]
    .into_iter()
    .map(|(name, cell)| {
        vec![
            Cell::text(name),
            Cell::Count(cell.rows as u64),
            Cell::Count(cell.bads as u64),
            Cell::share(cell.bad_rate(), 1),
        ]
    })
    .collect();
    table
}

/// Decisions by the declared attribute.
pub(super) fn fairness(report: &Report) -> Table {
    let fairness = of(report).and_then(|v| v.fairness.as_ref());
    let caption = fairness.map_or_else(String::new, |f| {
        let reference = f.reference.as_deref().unwrap_or("none");
        format!("Decisions by {}, compared with {reference}", f.column)
    });
    let mut table = Table::new(
        "fairness",
        &caption,
        vec![
            words("group", "Group"),
            figure("rows", "Rows"),
            figure("bad_rate", "Bad rate"),
            figure("mean_pd", "Mean PD"),
            figure("approval_rate", "Approved"),
            figure("impact_ratio", "Impact ratio"),
            figure("goods_approved", "Goods approved"),
            figure("opportunity_gap", "Gap"),
            figure("smd", "SMD"),
            words("finding", "Finding"),
        ],
    );
    let Some(f) = fairness else { return table };
    table.rows = f
        .rows
        .iter()
        .map(|r| {
            let finding = match r.below {
                true => format!("below {}", f.least_ratio),
                false => "at or above the least ratio".to_owned(),
            };
            vec![
                Cell::text(&r.group),
                Cell::Count(r.rows as u64),
                Cell::Percent(r.bad_rate, 1),
                Cell::Percent(r.mean_pd, 1),
                Cell::Percent(r.approval_rate, 1),
                Cell::decimal(r.impact_ratio, 3),
                Cell::Percent(r.goods_approved, 1),
                Cell::Signed(r.opportunity_gap, 3),
                r.smd.map_or(Cell::Missing, |v| Cell::Signed(v, 3)),
                Cell::text(finding),
            ]
        })
        .collect();
    for group in &f.left_out {
        let mut row = vec![Cell::text(group)];
        row.resize(9, Cell::Missing);
        row.push(Cell::text(
            "left out: too few rows, or the others would tell",
        ));
        table.rows.push(row);
    }
    table
}

/// What a stability index says.
fn verdict(index: f64) -> &'static str {
    match index {
        i if i < 0.10 => "stable",
        i if i <= 0.25 => "watch",
        _ => "act",
    }
}

/// Stability of the receiver's own columns.
pub(super) fn stability(report: &Report) -> Table {
    let mut table = Table::new(
        "stability",
        "Stability of own columns against the training rows",
        vec![
            words("column", "Column"),
            words("sample", "Sample"),
            figure("index", "Index"),
            words("finding", "Finding"),
        ],
    );
    let Some(drift) = &report.drift else {
        return table;
    };
    for column in &drift.columns {
        for (sample, index) in drift.samples.iter().zip(&column.index) {
            table.rows.push(vec![
                Cell::text(&column.column),
                Cell::text(sample),
                Cell::decimal(*index, 4),
                Cell::text(index.map(verdict).unwrap_or_default()),
            ]);
        }
    }
    table
}
