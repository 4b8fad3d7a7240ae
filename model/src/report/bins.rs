//! Bins and weight of evidence, what became of each column, and what own columns have in common.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::Report;
use super::axis::{Axis, Ticks};
use super::chart::Figure;
use super::number::{count, fixed, percent, shortened};
use super::svg::{Corner, Mark, Plot};
use super::table::{Cell, Table, figure, words};

/// Columns whose bins are drawn, at most: those with the highest information values.
const MOST_DRAWN: usize = 24;
/// Columns of the heat map, at most.
const MOST_MAPPED: usize = 40;

/// What the report says of bins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BinsReport {
    /// Which way weight of evidence points, as a formula.
    pub formula: String,
    /// The receiver's columns, and others' without their names where it may see counts of their bins.
    pub columns: Vec<BinnedColumn>,
}

/// A column and its bins.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BinnedColumn {
    /// Whose column.
    pub owner: String,
    /// Its name, or its place among the owner's columns.
    pub column: String,
    /// Whether the model uses it.
    pub kept: bool,
    /// Why not; or what else is to be said.
    pub reason: String,
    /// Whether the receiver is not told if the model uses it.
    pub not_told: bool,
    /// How many bins it has, where these are not listed.
    pub cut: Option<u64>,
    /// Information value.
    pub iv: Option<f64>,
    /// Its bins, in their order.
    pub bins: Vec<BinRow>,
}

/// One bin.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BinRow {
    /// Its values in words, or its place.
    pub label: String,
    /// Training rows in it.
    pub rows: u64,
    /// Of these with label 1, where the receiver may know.
    pub bad: Option<u64>,
    /// Its weight of evidence.
    pub woe: f64,
    /// What it adds to the information value, where the receiver may know.
    pub iv: Option<f64>,
}

/// How columns move together on the training rows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Correlations {
    /// Names of design columns.
    pub names: Vec<String>,
    /// Pearson's, row by row.
    pub values: Vec<Vec<f64>>,
}

impl Correlations {
    /// Of the columns of `x`, `[rows, names]`; one without variance moves with none.
    pub fn of(names: Vec<String>, x: ArrayView2<'_, f64>) -> Self {
        let mut centred = x.to_owned();
        for mut column in centred.columns_mut() {
            let mean = column.mean().unwrap_or(0.0);
            column -= mean;
        }
        let product = centred.t().dot(&centred);
        let spread: Vec<f64> = product.diag().iter().map(|v| v.sqrt()).collect();
        let of = |i: usize, j: usize| match spread[i] * spread[j] {
            both if both > 0.0 => (product[(i, j)] / both).clamp(-1.0, 1.0),
            _ => 0.0,
        };
        let values = (0..spread.len()).map(|i| (0..spread.len()).map(|j| of(i, j)).collect());
        Self {
            names,
            values: values.collect(),
        }
    }
}

/// Every bin, with the columns that scorecard tools print.
pub(super) fn bins(report: &Report) -> Table {
    let mut table = Table::new(
        "bins",
        "Bins and weight of evidence, training rows",
        vec![
            words("owner", "Owner"),
            words("variable", "Variable"),
            words("bin", "Bin"),
            figure("count", "Rows"),
            figure("count_distr", "of all"),
            figure("good", "Good"),
            figure("bad", "Bad"),
            figure("badprob", "Bad rate"),
            figure("woe", "WOE"),
            figure("bin_iv", "IV"),
        ],
    );
    for c in report.bins.iter().flat_map(|b| &b.columns) {
        let all: u64 = c.bins.iter().map(|b| b.rows).sum();
        for bin in &c.bins {
            let rate = bin.bad.map(|bad| bad as f64 / bin.rows.max(1) as f64);
            table.rows.push(vec![
                Cell::text(&c.owner),
                Cell::text(&c.column),
                Cell::text(&bin.label),
                Cell::Count(bin.rows),
                Cell::Percent(bin.rows as f64 / all.max(1) as f64, 1),
                Cell::counted(bin.bad.map(|bad| bin.rows.saturating_sub(bad))),
                Cell::counted(bin.bad),
                Cell::share(rate, 1),
                Cell::Signed(bin.woe, 4),
                Cell::decimal(bin.iv, 4),
            ]);
        }
    }
    table.without_empty_columns()
}

/// Each column, kept or left out, and why.
pub(super) fn selection(report: &Report) -> Table {
    let mut table = Table::new(
        "selection",
        "What became of each column",
        vec![
            words("owner", "Owner"),
            words("variable", "Variable"),
            figure("bins", "Bins"),
            figure("iv", "Information value"),
            words("kept", "In the model"),
            words("reason", "Reason"),
        ],
    );
    for c in report.bins.iter().flat_map(|b| &b.columns) {
        table.rows.push(vec![
            Cell::text(&c.owner),
            Cell::text(&c.column),
            Cell::counted(match c.bins.len() {
                0 => c.cut,
                bins => Some(bins as u64),
            }),
            Cell::decimal(c.iv, 4),
            Cell::text(match (c.not_told, c.kept) {
                (true, _) => "not told",
                (false, true) => "yes",
                (false, false) => "no",
            }),
            Cell::text(
                match c.kept && c.owner != report.receiver.id && c.cut.is_none() {
                    true => "unless its owner left it out: others of its columns may say the same",
                    false => c.reason.as_str(),
                },
            ),
        ]);
    }
    table
}

/// Information values, highest first.
pub(super) fn information(report: &Report) -> Option<Figure> {
    let mut columns: Vec<(&BinnedColumn, f64)> = report
        .bins
        .iter()
        .flat_map(|b| &b.columns)
        .filter_map(|c| Some((c, c.iv.filter(|iv| iv.is_finite())?)))
        .collect();
    columns.sort_by(|a, b| b.1.total_cmp(&a.1));
    columns.truncate(MOST_MAPPED);
    let high = columns.first()?.1;
    let name = |c: &BinnedColumn| match c.owner == report.receiver.id {
        true => c.column.clone(),
        false => format!("{}: {}", c.owner, c.column),
    };
    let names: Vec<String> = columns.iter().map(|(c, _)| name(c)).collect();
    let mut plot = Plot::new(
        "iv",
        "Information value",
        "Information value of each column on the training rows, highest first.",
        Axis::nice(
            0.0,
            high.max(0.1) * 1.1,
            5,
            Ticks::Plain,
            "information value",
        ),
        Axis::slots(columns.len(), ""),
    )
    .with_rows(20.0, names.iter().map(String::as_str));
    for (i, ((c, iv), name)) in columns.iter().zip(&names).enumerate() {
        let y = (columns.len() - i) as f64;
        plot.row_name(y, name);
        let class = match c.kept {
            true => "fill joint",
            false => "fill pooled",
        };
        let hint = format!("{name}: {}", fixed(*iv, 4));
        plot.bar((0.0, *iv), (y - 0.36, y + 0.36), class, &hint);
    }
    let entries = [
        ("fill joint", Mark::Box, "in the model".to_owned()),
        ("fill pooled", Mark::Box, "left out".to_owned()),
    ];
    if columns.len() >= 4 {
        plot.legend(Corner::BottomRight, &entries);
    }
    Some(Figure {
        title: "Information value".into(),
        svg: plot.finish(),
        note: "Below 0.02 none, to 0.1 weak, to 0.3 medium, to 0.5 strong; above, ask whether the column \
               knows the outcome."
            .into(),
    })
}

/// Weight of evidence by bin of each column in the model, and the bad rate where it is known.
pub(super) fn woe(report: &Report) -> Vec<Option<Figure>> {
    let mut columns: Vec<&BinnedColumn> = report
        .bins
        .iter()
        .flat_map(|b| &b.columns)
        .filter(|c| c.kept && !c.bins.is_empty())
        .collect();
    columns.sort_by(|a, b| b.iv.unwrap_or(0.0).total_cmp(&a.iv.unwrap_or(0.0)));
    columns.truncate(MOST_DRAWN);
    let formula = report.bins.as_ref().map_or("", |b| b.formula.as_str());
    let of = |(at, c)| Some(of_column(report, formula, at, c));
    columns.into_iter().enumerate().map(of).collect()
}

fn of_column(report: &Report, formula: &str, at: usize, c: &BinnedColumn) -> Figure {
    let own = c.owner == report.receiver.id;
    let name = match own {
        true => c.column.clone(),
        false => format!("{}: {}", c.owner, c.column),
    };
    let all: u64 = c.bins.iter().map(|b| b.rows).sum();
    let finite = || c.bins.iter().map(|b| b.woe).filter(|w| w.is_finite());
    let (low, high) = (finite().fold(0.0, f64::min), finite().fold(0.0, f64::max));
    let room = 0.02 * (high - low).max(0.1);
    let axis = Axis::nice(low - room, high + room, 3, Ticks::Signed, formula);
    let edge = axis.high();
    let mut plot = Plot::new(
        &format!("woe{at}"),
        &format!("Weight of evidence, {name}"),
        &format!("Weight of evidence of each bin, {formula}."),
        axis,
        Axis::slots(c.bins.len(), ""),
    )
    .with_rows(26.0, c.bins.iter().map(|b| b.label.as_str()))
    // the share of rows and the bad rate stand there
    .with_right(if c.bins.iter().any(|b| b.bad.is_some()) {
        124.0
    } else {
        48.0
    });
    for (i, bin) in c.bins.iter().enumerate() {
        let y = (c.bins.len() - i) as f64;
        plot.row_name(y, &bin.label);
        let share = percent(bin.rows as f64 / all.max(1) as f64, 0);
        let rate = bin.bad.map(|bad| bad as f64 / bin.rows.max(1) as f64);
        let words = match rate {
            Some(rate) => format!("{share}, bad {}", percent(rate, 1)),
            None => share,
        };
        let hint = format!(
            "{}: weight of evidence {}, {} rows, {words}",
            bin.label,
            fixed(bin.woe, 4),
            count(bin.rows)
        );
        let class = match bin.woe < 0.0 {
            true => "fill bad",
            false => "fill good",
        };
        plot.bar((0.0, bin.woe), (y - 0.34, y + 0.34), class, &hint);
        plot.label((edge, y), (8.0, 4.5), "start", &words);
    }
    plot.line([(0.0, 0.5), (0.0, c.bins.len() as f64 + 0.5)], "zero");
    let iv = c.iv.map_or_else(String::new, |iv| {
        format!(", information value {}", fixed(iv, 3))
    });
    Figure {
        title: format!("{}{iv}", shortened(&name, 44)),
        svg: plot.finish(),
        note: String::new(),
    }
}

/// How the columns move together, as a map.
pub(super) fn heat_map(report: &Report) -> Option<Figure> {
    let all = report.correlations.as_ref()?;
    let names: Vec<&str> = all
        .names
        .iter()
        .take(MOST_MAPPED)
        .map(String::as_str)
        .collect();
    if names.len() < 2 {
        return None;
    }
    let n = names.len();
    let mut plot = Plot::new(
        "heat",
        "Correlation of own columns",
        "Pearson's correlation of each pair of the receiver's design columns on the training rows.",
        Axis::named(
            (1..=n).map(|k| k.to_string()).collect(),
            "the same columns, from left to right",
        ),
        Axis::slots(n, ""),
    )
    .with_rows(if n > 20 { 15.0 } else { 22.0 }, names.iter().copied());
    for (i, name) in names.iter().enumerate() {
        let y = (n - i) as f64;
        plot.row_name(y, name);
        for (j, r) in all.values.get(i).into_iter().flatten().take(n).enumerate() {
            let x = j as f64 + 1.0;
            let class = match (r.abs(), *r > 0.0) {
                (v, _) if v < 0.1 => "cell r0",
                (v, true) if v < 0.3 => "cell p1",
                (v, true) if v < 0.5 => "cell p2",
                (v, true) if v < 0.7 => "cell p3",
                (_, true) => "cell p4",
                (v, _) if v < 0.3 => "cell n1",
                (v, _) if v < 0.5 => "cell n2",
                (v, _) if v < 0.7 => "cell n3",
                _ => "cell n4",
            };
            let hint = format!("{name}, {}: {}", names[j], fixed(*r, 3));
            plot.bar((x - 0.5, x + 0.5), (y - 0.5, y + 0.5), class, &hint);
            if n <= 5 && i != j {
                plot.label((x, y), (0.0, 4.5), "middle", &fixed(*r, 2));
            }
        }
    }
    let mut note = "Blue moves together, violet against each other; from pale to dark below 0.1, 0.3, 0.5, 0.7 \
                    and above."
        .to_owned();
    if all.names.len() > n {
        note += &format!(" The first {n} of {} columns.", all.names.len());
    }
    Some(Figure {
        title: "Correlation of own columns".into(),
        svg: plot.finish(),
        note,
    })
}

/// The pairs of own columns that move together most.
pub(super) fn correlated(report: &Report) -> Table {
    let mut table = Table::new(
        "correlations",
        "Pairs of own columns that move together most",
        vec![
            words("one", "Column"),
            words("other", "and"),
            figure("correlation", "Correlation"),
        ],
    );
    let Some(all) = &report.correlations else {
        return table;
    };
    let mut pairs: Vec<(usize, usize, f64)> = Vec::new();
    for (i, row) in all.values.iter().enumerate() {
        pairs.extend(row.iter().enumerate().take(i).map(|(j, r)| (j, i, *r)));
    }
    pairs.retain(|p| p.2.is_finite());
    pairs.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
    let name = |i: usize| all.names.get(i).cloned().unwrap_or_default();
    let rows = pairs.into_iter().take(20);
    table.rows = rows
        .map(|(i, j, r)| vec![Cell::text(name(i)), Cell::text(name(j)), Cell::Signed(r, 3)])
        .collect();
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Party, html, tables};

    fn sample() -> Report {
        let bin = |label: &str, rows, bad, woe| BinRow {
            label: label.into(),
            rows,
            bad,
            woe,
            iv: bad.map(|_| 0.05),
        };
        let mut report = Report {
            receiver: Party {
                id: "bank".into(),
                name: "bank".into(),
                ..Party::default()
            },
            ..Report::default()
        };
        report.bins = Some(BinsReport {
            formula: "ln(good% / bad%)".into(),
            columns: vec![
                BinnedColumn {
                    owner: "bank".into(),
                    column: "age < 30".into(),
                    kept: true,
                    iv: Some(0.21),
                    bins: vec![
                        bin("[-inf, 30)", 60, Some(30), -0.8),
                        bin("[30, inf)", 140, Some(20), 0.9),
                    ],
                    ..BinnedColumn::default()
                },
                BinnedColumn {
                    owner: "partner".into(),
                    column: "column 1".into(),
                    reason: "its information value is below 0.02".into(),
                    iv: Some(0.001),
                    bins: vec![bin("bin 1", 100, None, f64::NAN)],
                    ..BinnedColumn::default()
                },
            ],
        });
        report.correlations = Some(Correlations {
            names: vec!["a".into(), "b".into(), "c".into()],
            values: vec![
                vec![1.0, 0.8, -0.2],
                vec![0.8, 1.0, 0.0],
                vec![-0.2, 0.0, 1.0],
            ],
        });
        report
    }

    #[test]
    fn bins_are_drawn_and_tabled() {
        let report = sample();
        let page = html(&report);
        for words in [
            "Weight of evidence, age &lt; 30",
            "30%, bad 50.0",
            "partner: column 1",
            "Correlation of own columns",
        ] {
            let words = words.replace('%', "\u{a0}%");
            assert!(
                page.contains(&words) || page.contains(&words.replace('\u{a0}', " ")),
                "{words}"
            );
        }
        assert!(!page.contains("NaN"));
        let tables = tables(&report);
        let csv = |name: &str| &tables.iter().find(|t| t.0 == name).unwrap().1;
        assert!(csv("selection.csv").contains("partner,column 1,1,0.001,no,its information value"));
        let bins = csv("bins.csv");
        assert!(
            bins.starts_with("owner,variable,bin,count,count_distr,good,bad,badprob,woe,bin_iv")
        );
        assert!(bins.contains("30,30,0.5,-0.8,0.05"), "{bins}");
        // the pair that moves together most comes first
        assert_eq!(csv("correlations.csv").lines().nth(1), Some("a,b,0.8"));
    }

    #[test]
    fn correlations_are_pearsons() {
        let x = ndarray::arr2(&[
            [1.0, 2.0, 5.0],
            [2.0, 4.1, 5.0],
            [3.0, 5.9, 5.0],
            [4.0, 2.0, 5.0],
        ]);
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let all = Correlations::of(names, x.view());
        // by hand: sums of products 0.9, of squares 5 and 10.62
        let by_hand = 0.9 / (5.0f64 * 10.62).sqrt();
        assert!(
            (all.values[0][1] - by_hand).abs() < 1e-9,
            "{:?}",
            all.values
        );
        assert_eq!(all.values[0][1], all.values[1][0]);
        assert!((all.values[0][0] - 1.0).abs() < 1e-12 && all.values[0][2] == 0.0);
    }

    #[test]
    fn a_report_without_bins_says_nothing_of_them() {
        let report = Report::default();
        assert!(bins(&report).rows.is_empty() && selection(&report).rows.is_empty());
        assert!(woe(&report).is_empty() && information(&report).is_none());
        assert!(heat_map(&report).is_none());
    }
}
