//! `paripassu data leakage`: what a score would tell its receiver about this party's columns.

use std::path::PathBuf;

use clap::Args;
use paripassu_model::{
    binning::{Cut, CutOptions, prebin},
    leakage::{Attack, COMPARED, Granularity},
    scorecard::{Kind, Scaling},
    table::Table,
};
use serde::Serialize;

use super::export::{read_card, read_columns};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// Draws of points where there is no card yet.
const DRAWS: u64 = 5;
/// Standard deviation of weight of evidence over bins, of a column of medium information value.
const WOE_SD: f64 = 0.5;

/// Arguments of `data leakage`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs, on this party's own rows, the attack of a receiver that knows its own points, this party's points table
and how often each combination of bins occurs, and guesses each row's whole combination from the score. To be
read beside `without any score`, and before a contract that gives scores to another party is approved. Without
--card, points are drawn as those of columns of medium strength, several times, and means are shown.

Examples:
  paripassu data leakage payments.csv --columns PAY_0,PAY_2
  paripassu data leakage payments.csv --card scorecard.json --receiver-sd 40
  paripassu data leakage payments.csv --columns PAY_0,PAY_2 --refuse-above 0.8 --granularity bands:10")]
pub(crate) struct LeakageOf {
    /// CSV or Parquet file of this party
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Numeric columns that would take part
    #[arg(
        long,
        value_name = "COLUMN,..",
        value_delimiter = ',',
        required_unless_present = "card"
    )]
    columns: Vec<String>,
    /// A scorecard.json of this party, instead of columns
    #[arg(long, value_name = "FILE", conflicts_with = "columns")]
    card: Option<PathBuf>,
    /// Column with the unique customer id
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Text that means missing, besides the empty cell; may be repeated
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
    /// Bins of equal size of each column, where there is no card
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=50))]
    bins: u32,
    /// Standard deviation of the receiver's own points; default: as of this party's
    #[arg(long, value_name = "POINTS")]
    receiver_sd: Option<f64>,
    /// With --refuse-above: what the receiver would see: exact, points, bands:N or decision
    #[arg(long, value_name = "WHAT", default_value = "exact")]
    granularity: String,
    /// Ends with exit code 3 if the receiver could recover more than this share of rows
    #[arg(long, value_name = "SHARE")]
    refuse_above: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Line {
    seen: String,
    recovered: f64,
    above_prior: f64,
}

#[derive(Debug, Serialize)]
struct Told {
    rows: usize,
    columns: Vec<String>,
    combinations: usize,
    prior: f64,
    assumed_points: bool,
    lines: Vec<Line>,
}

fn named(seen: Granularity) -> String {
    match seen {
        Granularity::Exact => "exact score".to_owned(),
        Granularity::Points => "whole points".to_owned(),
        Granularity::Bands(k) => format!("{k} bands"),
        Granularity::Decision(share) => format!("decision, worst {:.0} %", 100.0 * share),
    }
}

fn asked(text: &str) -> Option<Granularity> {
    match text {
        "exact" => Some(Granularity::Exact),
        "points" => Some(Granularity::Points),
        "decision" => Some(Granularity::Decision(0.2)),
        other => {
            let bands = other.strip_prefix("bands:")?.parse().ok()?;
            (bands >= 2).then_some(Granularity::Bands(bands))
        }
    }
}

/// Numbers that look drawn from a normal, the same in every run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum += ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        }
        sum
    }
}

/// Bins of each column, and tables of points to try.
struct Rows {
    columns: Vec<String>,
    bins: Vec<Vec<u32>>,
    points: Vec<Vec<Vec<f64>>>,
    rows: usize,
}

impl LeakageOf {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let wanted = asked(&self.granularity).ok_or_else(|| {
            Failure::user(format!(
                "`{}` is no granularity: exact, points, bands:N or decision",
                self.granularity
            ))
        })?;
        let rows = match &self.card {
            Some(path) => self.by_card(path)?,
            None => self.by_columns()?,
        };
        let mut seen: Vec<Granularity> = COMPARED.to_vec();
        if !seen.contains(&wanted) {
            seen.push(wanted);
        }
        let (mut sums, mut prior, mut combinations) = (vec![0.0; seen.len()], 0.0, 0);
        let tries = rows.points.len() as f64;
        for (draw, tables) in rows.points.iter().enumerate() {
            let part = |whole: bool| -> Vec<f64> {
                (0..rows.rows)
                    .map(|row| {
                        let each = rows.bins.iter().zip(tables);
                        let points = each.map(|(bins, table)| table[bins[row] as usize]);
                        match whole {
                            true => points.map(f64::round).sum(),
                            false => points.sum(),
                        }
                    })
                    .collect()
            };
            let wrong = |e| Failure::user(format!("{}: {e}", self.file.display()));
            let (exact, whole) = (part(false), part(true));
            let sd = self.receiver_sd.unwrap_or_else(|| deviation(&exact));
            let mut draws = Draws(0x0070_6172_6970_6173 + draw as u64);
            let own: Vec<f64> = (0..rows.rows)
                .map(|_| (sd * draws.next()).round())
                .collect();
            let exact = Attack::new(&rows.bins, &exact).map_err(wrong)?;
            let whole = Attack::new(&rows.bins, &whole).map_err(wrong)?;
            combinations = exact.combinations();
            for (sum, seen) in sums.iter_mut().zip(&seen) {
                let attack = match seen {
                    Granularity::Exact => &exact,
                    _ => &whole,
                };
                let leak = attack.run(&own, *seen).map_err(wrong)?;
                *sum += leak.recovered / tries;
                prior = leak.prior;
            }
        }
        let lines: Vec<Line> = seen
            .iter()
            .zip(&sums)
            .map(|(seen, recovered)| Line {
                seen: named(*seen),
                recovered: *recovered,
                above_prior: recovered - prior,
            })
            .collect();
        let mut table = screen.table(&[
            "what the receiver sees",
            "guessed right",
            "more than without",
        ]);
        table.row([
            "nothing".into(),
            format!("{:.1} %", 100.0 * prior),
            String::new(),
        ]);
        for line in &lines {
            table.row([
                line.seen.clone(),
                format!("{:.1} %", 100.0 * line.recovered),
                format!("{:+.1} points", 100.0 * line.above_prior),
            ]);
        }
        let said = format!(
            "Share of {} rows whose whole combination of {} columns' bins ({combinations} combinations) the receiver \
             of a score could guess, at most\n{table}",
            rows.rows,
            rows.columns.len()
        );
        let recovered = seen
            .iter()
            .position(|s| *s == wanted)
            .map_or(0.0, |k| sums[k]);
        if let Some(limit) = self.refuse_above
            && recovered > limit
        {
            return Err(Failure::user(format!(
                "{said}\na receiver that sees {} could recover {:.1} % of rows, above the limit of {:.1} %: give it \
                 coarser scores, or bring more columns",
                named(wanted),
                100.0 * recovered,
                100.0 * limit
            )));
        }
        let told = Told {
            rows: rows.rows,
            columns: rows.columns,
            combinations,
            prior,
            assumed_points: self.card.is_none(),
            lines,
        };
        Outcome::new(&told, said)
    }

    /// The card's bins and points. A number that was not binned counts by its whole points.
    fn by_card(&self, path: &std::path::Path) -> Result<Rows, Failure> {
        let card = read_card(path)?;
        let table = read_columns(&card, &self.file, &self.id, &self.missing)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        let wrong =
            |e: &dyn std::fmt::Display| Failure::user(format!("{}: {e}", self.file.display()));
        let scores = card.score(&table, &all).map_err(|e| wrong(&e))?;
        let (mut bins, mut points) = (Vec::new(), Vec::new());
        for (c, parts) in card.characteristics.iter().zip(&scores.parts) {
            match &c.kind {
                Kind::Bins {
                    binning,
                    points: of,
                    otherwise,
                    ..
                } => {
                    let found = binning.assign(&table, &all).map_err(|e| wrong(&e))?;
                    let last = of.len() as u32;
                    bins.push(found.iter().map(|b| b.map_or(last, |b| b as u32)).collect());
                    let exact = of.iter().chain(std::iter::once(otherwise));
                    points.push(exact.map(|p| p.exact).collect());
                }
                Kind::Linear { .. } => {
                    let mut distinct = parts.clone();
                    distinct.sort_unstable();
                    distinct.dedup();
                    let of = |p: &i64| distinct.partition_point(|d| d < p) as u32;
                    bins.push(parts.iter().map(of).collect());
                    points.push(distinct.iter().map(|p| *p as f64).collect());
                }
            }
        }
        Ok(Rows {
            columns: card
                .characteristics
                .iter()
                .map(|c| c.column.clone())
                .collect(),
            bins,
            points: vec![points],
            rows: table.rows(),
        })
    }

    /// Bins of equal size, points drawn as those of columns of medium strength.
    fn by_columns(&self) -> Result<Rows, Failure> {
        let spec = paripassu_model::schema::DatasetSpec {
            id_more: Vec::new(),
            id: self.id.clone(),
            label: None,
            numeric: self.columns.clone(),
            categorical: Vec::new(),
            missing: self.missing.clone(),
            id_rules: Vec::new(),
        };
        let table = Table::load(&self.file, &spec)?;
        let all: Vec<usize> = (0..table.rows()).collect();
        let options = CutOptions {
            cut: Cut::Quantile(self.bins as usize),
            special: Vec::new(),
            rare_level_rows: 0,
            min_rows: 1,
        };
        let mut bins = Vec::new();
        for column in &self.columns {
            let wrong =
                |e: &dyn std::fmt::Display| Failure::user(format!("{}: {e}", self.file.display()));
            let binning = prebin(&table, &all, column, &options).map_err(|e| wrong(&e))?;
            let last = binning.bins.len() as u32;
            let found = binning.assign(&table, &all).map_err(|e| wrong(&e))?;
            bins.push(
                found
                    .iter()
                    .map(|b| b.map_or(last, |b| b as u32))
                    .collect::<Vec<u32>>(),
            );
        }
        let factor = Scaling::default().factor();
        let mut draws = Draws(186);
        let points = (0..DRAWS)
            .map(|_| {
                bins.iter()
                    .map(|b| {
                        let most = b.iter().max().copied().unwrap_or(0);
                        (0..=most).map(|_| factor * WOE_SD * draws.next()).collect()
                    })
                    .collect()
            })
            .collect();
        Ok(Rows {
            columns: self.columns.clone(),
            bins,
            points,
            rows: table.rows(),
        })
    }
}

fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt()
}
