//! Every table of a report.

use super::curves::band_rows;
use super::table::{Cell, Table, figure, words};
use super::{
    Curves, Disclosure, DisclosureStatus, Report, bins, reject, scorecard, selection, trials,
    validation,
};

/// Every table as file name (without folder) and CSV text. Tables without rows are left out.
pub fn tables(report: &Report) -> Vec<(String, String)> {
    all(report)
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .map(|table| (format!("{}.csv", table.name), table.csv()))
        .collect()
}

fn all(report: &Report) -> Vec<Table> {
    vec![
        facts(report),
        parties(report),
        samples(report),
        comparison(report),
        uplift(report),
        coefficients(report),
        roc(&report.curves),
        ks(&report.curves),
        all_bands(&report.curves),
        calibration(&report.curves),
        score_distribution(&report.curves),
        validation::calibration(report),
        validation::intervals(report),
        validation::by_group(report),
        validation::group_bands(report),
        validation::challenger(report),
        validation::top(report),
        validation::cutoffs(report),
        validation::swap(report),
        validation::fairness(report),
        validation::stability(report),
        trials::table(report),
        reject::facts(report),
        reject::compared(report),
        bins::bins(report),
        bins::selection(report),
        bins::correlated(report),
        selection::table(report),
        selection::across(report),
        scorecard::points(report),
        scorecard::rounding(report),
        scorecard::reasons(report),
        disclosures(report),
        traffic(report),
        timing(report),
        super::convergence::table(report),
        super::planned::table(report.planned.as_ref()),
        definitions(report),
    ]
}

/// Held-out results, one row per model.
pub(super) fn comparison(report: &Report) -> Table {
    let mut table = Table::new(
        "comparison",
        "Models compared on the same held-out rows",
        vec![
            words("model", "Model"),
            figure("auc", "AUC"),
            figure("auc_se", "s.e."),
            figure("ks", "KS"),
            figure("gini", "Gini"),
            figure("log_loss", "Log loss"),
            figure("brier", "Brier"),
            figure("capture_worst_10", "Capture, worst 10 %"),
            figure("capture_at", "at exactly"),
        ],
    );
    let share = |value: Option<f64>, d| value.map_or(Cell::Missing, |v| Cell::Percent(v, d));
    table.rows = report
        .comparison
        .iter()
        .map(|row| {
            vec![
                Cell::text(&row.name),
                Cell::decimal(row.auc, 4),
                Cell::decimal(row.auc_se, 4),
                Cell::decimal(row.ks, 4),
                Cell::decimal(row.gini, 4),
                Cell::decimal(row.log_loss, 4),
                Cell::decimal(row.brier, 4),
                share(row.capture, 1),
                share(row.capture_at, 2),
            ]
        })
        .collect();
    table
}

/// Differences with their intervals.
pub(super) fn uplift(report: &Report) -> Table {
    let mut table = Table::new(
        "uplift",
        "Differences between models, same held-out rows",
        vec![
            words("metric", "Measure"),
            words("challenger", "Model"),
            words("baseline", "Against"),
            figure("delta", "Difference"),
            figure("low_95", "95 % from"),
            figure("high_95", "to"),
            words("method", "Interval by"),
            words("finding", "Finding"),
        ],
    );
    let end = |value: Option<f64>| value.map_or(Cell::Missing, |v| Cell::Signed(v, 4));
    table.rows = report
        .uplift
        .iter()
        .map(|u| {
            vec![
                Cell::text(u.metric.heading()),
                Cell::text(&u.challenger),
                Cell::text(&u.baseline),
                Cell::Signed(u.delta, 4),
                end(u.low),
                end(u.high),
                Cell::text(&u.method),
                Cell::text(u.finding_in_words()),
            ]
        })
        .collect();
    table
}

/// The receiver's own coefficients; nothing if they belong to another party.
pub(super) fn coefficients(report: &Report) -> Table {
    let mut table = Table::new(
        "coefficients",
        &format!("Coefficients of {} only", report.receiver.name),
        vec![
            words("column", "Column"),
            figure("mean", "Mean"),
            figure("sd", "s.d."),
            figure("coef", "Coefficient, standardised"),
            figure("coef_per_unit", "per original unit"),
            figure("se", "s.e."),
            figure("z", "z"),
            figure("p", "p"),
        ],
    );
    let Some(own) = report.own_coefficients() else {
        return table;
    };
    if let Some(intercept) = own.intercept {
        let mut row = vec![Cell::text("(intercept)"), Cell::Missing, Cell::Missing];
        row.push(Cell::Fixed(intercept, 4));
        row.resize(8, Cell::Missing);
        table.rows.push(row);
    }
    for row in &own.rows {
        table.rows.push(vec![
            Cell::text(&row.name),
            Cell::Significant(row.mean, 4),
            Cell::Significant(row.sd, 4),
            Cell::Fixed(row.coef, 4),
            row.per_unit()
                .map_or(Cell::Missing, |v| Cell::Significant(v, 4)),
            Cell::decimal(row.se, 4),
            Cell::decimal(row.z, 2),
            row.p.map_or(Cell::Missing, Cell::PValue),
        ]);
    }
    table.without_empty_columns()
}

fn roc(curves: &[Curves]) -> Table {
    let columns = vec![
        words("model", "Model"),
        figure("fpr", "Goods"),
        figure("tpr", "Bads"),
    ];
    let mut table = Table::new("roc", "ROC curves", columns);
    for c in curves {
        table.rows.extend(c.roc.iter().map(|p| {
            vec![
                Cell::text(&c.name),
                Cell::Fixed(p.fpr, 4),
                Cell::Fixed(p.tpr, 4),
            ]
        }));
    }
    table
}

fn ks(curves: &[Curves]) -> Table {
    let columns = vec![
        words("model", "Model"),
        figure("population", "Rows"),
        figure("bad", "Bads"),
        figure("good", "Goods"),
    ];
    let mut table = Table::new("ks", "Cumulative shares, lowest scores first", columns);
    for c in curves {
        table.rows.extend(c.ks.iter().map(|p| {
            vec![
                Cell::text(&c.name),
                Cell::Fixed(p.population, 4),
                Cell::Fixed(p.bad, 4),
                Cell::Fixed(p.good, 4),
            ]
        }));
    }
    table
}

fn all_bands(curves: &[Curves]) -> Table {
    let mut whole = bands(&Curves::default(), 0);
    whole.columns.insert(0, words("model", "Model"));
    for c in curves {
        whole
            .rows
            .extend(bands(c, 0).rows.into_iter().map(|mut row| {
                row.insert(0, Cell::text(&c.name));
                row
            }));
    }
    whole
}

/// One model's bands, worst first.
pub(super) fn bands(curves: &Curves, decimals: usize) -> Table {
    let mut table = Table::new(
        "bands",
        &format!("{}: bands of the population, worst first", curves.name),
        vec![
            figure("band", "Band"),
            figure("score_low", "Score from"),
            figure("score_high", "to"),
            figure("rows", "Rows"),
            figure("bads", "Bads"),
            figure("bad_rate", "Bad rate"),
            figure("mean_pd", "Mean PD"),
            figure("lift", "Lift"),
            figure("population", "Cum. rows"),
            figure("capture", "Cum. bads"),
            figure("goods", "Cum. goods"),
            figure("cumulative_lift", "Cum. lift"),
            figure("ks", "KS"),
        ],
    );
    table.rows = band_rows(&curves.bands)
        .into_iter()
        .enumerate()
        .map(|(i, row)| {
            vec![
                Cell::Count(i as u64 + 1),
                Cell::Fixed(row.band.score_low, decimals),
                Cell::Fixed(row.band.score_high, decimals),
                Cell::Count(row.band.rows),
                Cell::Count(row.band.bads),
                Cell::Percent(row.bad_rate, 1),
                Cell::Percent(row.band.mean_pd, 1),
                Cell::Fixed(row.lift, 2),
                Cell::Percent(row.population, 1),
                Cell::Percent(row.capture, 1),
                Cell::Percent(row.goods, 1),
                Cell::Fixed(row.cumulative_lift, 2),
                Cell::Fixed(row.ks(), 4),
            ]
        })
        .collect();
    table
}

fn calibration(curves: &[Curves]) -> Table {
    let columns = vec![
        words("model", "Model"),
        figure("rows", "Rows"),
        figure("predicted", "Predicted"),
        figure("observed", "Observed"),
        figure("low_95", "95 % from"),
        figure("high_95", "to"),
    ];
    let mut table = Table::new("calibration", "Predicted and observed", columns);
    for c in curves {
        table.rows.extend(c.calibration.iter().map(|p| {
            vec![
                Cell::text(&c.name),
                Cell::Count(p.rows),
                Cell::Percent(p.predicted, 1),
                Cell::Percent(p.observed, 1),
                Cell::Percent(p.low, 1),
                Cell::Percent(p.high, 1),
            ]
        }));
    }
    table
}

fn score_distribution(curves: &[Curves]) -> Table {
    let columns = vec![
        words("model", "Model"),
        figure("score_from", "Score from"),
        figure("score_to", "to"),
        figure("goods", "Goods"),
        figure("bads", "Bads"),
    ];
    let mut table = Table::new("score_distribution", "Score distribution", columns);
    for c in curves {
        let Some(histogram) = &c.scores else { continue };
        let counts = histogram.good.iter().zip(&histogram.bad);
        table.rows.extend(
            histogram
                .edges
                .windows(2)
                .zip(counts)
                .map(|(edges, (&good, &bad))| {
                    let mut row = vec![Cell::text(&c.name)];
                    row.extend(edges.iter().map(|&edge| Cell::Fixed(edge, 1)));
                    row.extend([Cell::Count(good), Cell::Count(bad)]);
                    row
                }),
        );
    }
    table
}

/// Parties and what they brought.
pub(super) fn parties(report: &Report) -> Table {
    let columns = vec![
        words("party", "Party"),
        words("id", "Id"),
        words("role", "Role"),
        figure("rows", "Rows"),
        figure("columns", "Model columns"),
    ];
    let mut table = Table::new("parties", "Parties", columns);
    table.rows = report
        .parties
        .iter()
        .map(|party| {
            vec![
                Cell::text(&party.name),
                Cell::text(&party.id),
                Cell::text(&party.role),
                Cell::counted(party.rows),
                Cell::counted(party.columns),
            ]
        })
        .collect();
    table
}

/// Training and held-out rows.
pub(super) fn samples(report: &Report) -> Table {
    let columns = vec![
        words("sample", "Sample"),
        figure("rows", "Rows"),
        figure("bads", "Bads"),
        figure("bad_rate", "Bad rate"),
    ];
    let title = match report.is_horizontal() {
        true => "This bank's rows by sample",
        false => "Matched rows by sample",
    };
    let mut table = Table::new("samples", title, columns);
    for (name, sample) in [
        ("training", report.data.train),
        ("held-out", report.data.test),
    ] {
        let rate = match (sample.rows, sample.bads) {
            (Some(rows), Some(bads)) if rows > 0 => Cell::Percent(bads as f64 / rows as f64, 1),
            _ => Cell::Missing,
        };
        let counts = [Cell::counted(sample.rows), Cell::counted(sample.bads)];
        if counts.iter().any(|cell| *cell != Cell::Missing) {
            let [rows, bads] = counts;
            table.rows.push(vec![Cell::text(name), rows, bads, rate]);
        }
    }
    table
}

impl DisclosureStatus {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AsDeclared => "as declared",
            Self::NotOpened => "not opened",
            Self::Exceeded => "more than declared",
            Self::Undeclared => "not declared",
        }
    }
}

/// What was declared beside what happened.
pub(super) fn disclosures(report: &Report) -> Table {
    let mut table = Table::new(
        "disclosures",
        "Declared disclosures, and what happened",
        vec![
            words("what", "What"),
            words("shape", "Shape"),
            words("to", "To"),
            figure("declared_at_most", "Declared, at most"),
            figure("happened", "Happened"),
            words("status", "Status"),
        ],
    );
    table.rows = report
        .disclosures
        .iter()
        .map(|d: &Disclosure| {
            vec![
                Cell::text(&d.what),
                Cell::text(&d.shape),
                Cell::text(&d.to),
                Cell::counted(d.declared),
                Cell::Count(d.happened),
                Cell::text(d.status().words()),
            ]
        })
        .collect();
    table
}

/// Bytes and frames by peer and step.
pub(super) fn traffic(report: &Report) -> Table {
    let columns = vec![
        words("peer", "Peer"),
        words("step", "Step"),
        figure("sent_bytes", "Sent"),
        figure("received_bytes", "Received"),
        figure("sent_frames", "Frames sent"),
        figure("received_frames", "Frames received"),
    ];
    let mut table = Table::new("traffic", "Traffic of this party by peer and step", columns);
    table.rows = report
        .traffic
        .iter()
        .map(|t| {
            vec![
                Cell::text(&t.peer),
                Cell::text(&t.step),
                Cell::Bytes(t.sent_bytes),
                Cell::Bytes(t.received_bytes),
                Cell::Count(t.sent_frames),
                Cell::Count(t.received_frames),
            ]
        })
        .collect();
    table
}

fn timing(report: &Report) -> Table {
    let columns = vec![words("phase", "Phase"), figure("seconds", "Wall time")];
    let mut table = Table::new("timing", "Wall time by phase", columns);
    table.rows = report
        .timing
        .iter()
        .map(|phase| vec![Cell::text(&phase.name), Cell::Seconds(phase.seconds)])
        .collect();
    table
}

fn facts(report: &Report) -> Table {
    let columns = vec![
        words("section", "Section"),
        words("name", "Name"),
        words("value", "Value"),
    ];
    let mut table = Table::new("facts", "Facts of the job", columns);
    let sections = [
        ("job", super::page::job_facts(report)),
        ("data", super::page::data_facts(report)),
        ("solver", super::page::solver_facts(report)),
        ("machine", super::page::machine_facts(report)),
    ];
    for (section, facts) in sections {
        table.rows.extend(facts.into_iter().map(|fact| {
            vec![
                Cell::text(section),
                Cell::text(fact.name),
                Cell::text(fact.value),
            ]
        }));
    }
    table
}

fn definitions(report: &Report) -> Table {
    let columns = vec![words("term", "Term"), words("definition", "Definition")];
    let mut table = Table::new("definitions", "Definitions", columns);
    table.rows = super::page::definitions(report)
        .into_iter()
        .map(|fact| vec![Cell::text(fact.name), Cell::text(fact.value)])
        .collect();
    table
}
