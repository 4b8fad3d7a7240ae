//! `paripassu data leakage`: what a score would tell its receiver about this party's columns.

use std::path::PathBuf;

use clap::Args;
use paripassu_model::{
    leakage::{COMPARED, Granularity},
    schema::DatasetSpec,
    scorecard::Kind,
};
use serde::Serialize;

use super::{
    export::{read_card, read_columns},
    meter::Rows,
};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

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
        Granularity::Step(step) => format!("own part, steps of {step} points"),
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
        let wrong = |e| Failure::user(format!("{}: {e}", self.file.display()));
        let measured = rows.attacked(&seen, self.receiver_sd).map_err(wrong)?;
        let (sums, prior) = (&measured.recovered, measured.prior);
        let lines: Vec<Line> = seen
            .iter()
            .zip(sums)
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
            "Share of {} rows whose whole combination of {} columns' bins ({} combinations) the receiver \
             of a score could guess, at most\n{table}",
            rows.rows,
            rows.columns.len(),
            measured.combinations,
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
            combinations: measured.combinations,
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

    fn by_columns(&self) -> Result<Rows, Failure> {
        let spec = DatasetSpec {
            id_more: Vec::new(),
            id: self.id.clone(),
            label: None,
            numeric: self.columns.clone(),
            categorical: Vec::new(),
            missing: self.missing.clone(),
            id_rules: Vec::new(),
        };
        Rows::assumed(&self.file, &spec, self.bins as usize)
    }
}
