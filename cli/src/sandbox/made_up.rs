//! Made-up tables for a job: every column that it names, of customers who do not exist.

use std::{
    fs,
    path::{Path, PathBuf},
};

use paripassu_job::{
    NodeId, Spec,
    spec::{Columns, Party},
};
use paripassu_model::synth::{self, Portfolio};

use crate::failure::Failure;

/// Numeric columns where a job takes whatever a party has.
const COLUMNS: usize = 5;
/// Levels of a category that the job does not list.
const LEVELS: [&str; 4] = ["a", "b", "c", "d"];
/// Share of declined applicants where a job infers what they are.
const DECLINED: f64 = 0.25;
/// Streams of the portfolio's randomness that its own columns leave alone.
const STREAM: u64 = 1 << 40;

/// Writes a CSV file for each party into `dir`, of about `rows` customers each: ids in the column `id`, the
/// label in `y` where the party has it. Of ten customers that one party has, the next one has about nine;
/// banks of a horizontal job have customers of their own.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(
    spec: &Spec,
    rows: u64,
    seed: u64,
    dir: &Path,
) -> Result<Vec<(NodeId, PathBuf)>, Failure> {
    let mut portfolio = Portfolio::new(seed);
    if spec.reject_inference.is_some() {
        portfolio = portfolio.with_declined(0..rows, DECLINED);
    }
    let mut files = Vec::new();
    let mut used = 0;
    for (position, party) in spec.seats().into_iter().enumerate() {
        let file = dir.join(format!("{}.csv", party.id));
        let made = Made {
            portfolio: &portfolio,
            spec,
            party,
            position: position as u64,
            first: used,
        };
        fs::write(&file, made.text(rows)).map_err(|e| Failure::file("write", &file, &e))?;
        files.push((party.id.clone(), file));
        used += made.numeric().len();
    }
    Ok(files)
}

struct Made<'a> {
    portfolio: &'a Portfolio,
    spec: &'a Spec,
    party: &'a Party,
    position: u64,
    /// Columns of the portfolio that other parties have.
    first: usize,
}

impl Made<'_> {
    fn numeric(&self) -> Vec<String> {
        match &self.party.columns {
            Columns::Listed { numeric, .. } => numeric.clone(),
            Columns::All => (1..=COLUMNS).map(|i| format!("x{i}")).collect(),
        }
    }

    fn categorical(&self) -> Vec<String> {
        match &self.party.columns {
            Columns::Listed { categorical, .. } => categorical.clone(),
            Columns::All => Vec::new(),
        }
    }

    fn text(&self, rows: u64) -> String {
        let horizontal = self.spec.horizontal.is_some();
        let label = horizontal || self.position == 0;
        let (numeric, categorical) = (self.numeric(), self.categorical());
        let mut text = "id".to_owned();
        for name in numeric.iter().chain(&categorical) {
            text += &format!(",{name}");
        }
        text += if label { ",y\n" } else { "\n" };
        let banks = [synth::Party::Bank, synth::Party::Bureau];
        let mut cells = banks.map(|party| vec![0.0; party.width()]);
        // customers of another bank are others; of partners, about one in ten is missing
        let start = if horizontal { self.position * rows } else { 0 };
        for row in start..start + rows {
            if !horizontal && self.portfolio.uniform(row, STREAM + self.position) > 0.95 {
                continue;
            }
            for (party, cells) in banks.iter().zip(&mut cells) {
                self.portfolio.fill(*party, row, cells);
            }
            text += &self.portfolio.customer_id(row);
            for (at, name) in numeric.iter().enumerate() {
                text.push(',');
                text += &self.number(name, at, row, &cells.concat());
            }
            for name in &categorical {
                text.push(',');
                text += &self.level(name, row);
            }
            if label {
                match self.portfolio.declined(row) {
                    Some(true) => text.push(','),
                    _ => text += &format!(",{}", self.portfolio.truth(row).bad),
                }
            }
            text.push('\n');
        }
        text
    }

    /// One cell; empty where it is missing.
    fn number(&self, name: &str, at: usize, row: u64, cells: &[f64]) -> String {
        let model = &self.spec.model;
        let uniform = || self.portfolio.uniform(row, STREAM + 64 + self.position);
        if let Some(weight) = model.weight.as_ref().filter(|w| w.column == name) {
            return format!("{:.4}", weight.max.value() * (0.1 + 0.9 * uniform()));
        }
        let rejects = self.spec.reject_inference.as_ref();
        if self.position == 0 && rejects.is_some_and(|r| r.rejected == name) {
            return u8::from(self.portfolio.declined(row) == Some(true)).to_string();
        }
        let horizontal = self.spec.horizontal.as_ref();
        if horizontal.is_some_and(|h| h.weight.as_deref() == Some(name)) {
            return format!("{:.4}", 0.5 + uniform());
        }
        let offset = horizontal.map_or(&model.offset, |h| &h.offset);
        if offset.as_deref() == Some(name) {
            return format!("{:.4}", uniform() - 0.5);
        }
        let first = if horizontal.is_some() { 0 } else { self.first };
        match cells[(first + at) % cells.len()] {
            v if v.is_nan() => String::new(),
            v => format!("{:.6}", v.signum() * v.abs().ln_1p()),
        }
    }

    fn level(&self, name: &str, row: u64) -> String {
        let listed = self
            .spec
            .horizontal
            .as_ref()
            .and_then(|h| h.levels.get(name));
        let mut levels: Vec<&str> = listed.into_iter().flatten().map(String::as_str).collect();
        if levels.is_empty() {
            levels = LEVELS.to_vec();
        }
        let stream = name.bytes().fold(STREAM, |sum, b| sum + u64::from(b));
        levels[(self.portfolio.bits(row, stream) % levels.len() as u64) as usize].to_owned()
    }
}
