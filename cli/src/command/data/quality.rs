//! What a data file is like, before any of it takes part in a job: read twice, held in memory only in samples.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use serde::Serialize;

use super::{Cells, ColumnFacts, Kind};
use crate::failure::Failure;

/// Numbers of a column that are kept for its quantiles.
const SAMPLE: usize = 65_536;
/// Distinct values of a column that are counted one by one.
const COUNTED: usize = 1_000;
/// Levels that are named.
const NAMED: usize = 5;

/// What a file is like.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Quality {
    /// Rows whose id stands in a row above.
    pub(crate) repeated_ids: u64,
    /// Rows that are another one again, but for the id.
    pub(crate) repeated_rows: u64,
    /// By column, in the order of the file.
    pub(crate) columns: Vec<ColumnQuality>,
}

/// What a column is like.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ColumnQuality {
    pub(crate) name: String,
    /// Share of rows without a value.
    pub(crate) missing_share: f64,
    /// 1st, 25th, 50th, 75th and 99th percentile of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quantiles: Option<[f64; 5]>,
    /// True where quantiles are of all rows, not of a systematic sample.
    pub(crate) quantiles_exact: bool,
    /// Numbers further than three times the middle half's width from it.
    pub(crate) outliers: u64,
    /// The most frequent values of a category, with their rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) frequent: Vec<(String, u64)>,
    /// Levels of a category with fewer than 20 rows.
    pub(crate) rare_levels: u64,
    /// Of a column of days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) days: Option<Days>,
    /// What to look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// What days a column covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Days {
    pub(crate) first: String,
    pub(crate) last: String,
    /// Months from the first to the last.
    pub(crate) months: u64,
    /// Months between them without a row.
    pub(crate) empty_months: u64,
}

/// Every k-th number of a column, with k doubled when they become too many.
#[derive(Debug)]
struct Sample {
    values: Vec<f64>,
    step: u64,
    seen: u64,
}

impl Sample {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            step: 1,
            seen: 0,
        }
    }

    fn add(&mut self, value: f64) {
        if self.seen.is_multiple_of(self.step) {
            if self.values.len() == SAMPLE {
                let mut keep = false;
                self.values.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.step *= 2;
            }
            if self.seen.is_multiple_of(self.step) {
                self.values.push(value);
            }
        }
        self.seen += 1;
    }

    /// The value below which this share of them lies, by the nearest rank.
    fn quantiles(mut self) -> Option<([f64; 5], bool)> {
        self.values.sort_by(f64::total_cmp);
        let last = self.values.len().checked_sub(1)?;
        let at = |percent: usize| {
            let place = (last * percent + 50) / 100;
            self.values.get(place).copied().unwrap_or(f64::NAN)
        };
        Some(([at(1), at(25), at(50), at(75), at(99)], self.step == 1))
    }
}

/// A column while it is read.
struct Reading {
    sample: Sample,
    counts: HashMap<String, u64>,
    counted: bool,
    days: bool,
    months: HashSet<(i32, u32)>,
    first: Option<String>,
    last: Option<String>,
    values: u64,
}

impl Reading {
    fn new() -> Self {
        Self {
            sample: Sample::new(),
            counts: HashMap::new(),
            counted: true,
            days: true,
            months: HashSet::new(),
            first: None,
            last: None,
            values: 0,
        }
    }

    fn see(&mut self, text: &str, numeric: bool) {
        self.values += 1;
        if numeric && let Ok(value) = text.parse::<f64>() {
            self.sample.add(value);
        }
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if self.counts.len() < COUNTED {
            self.counts.insert(text.to_owned(), 1);
        } else {
            self.counted = false;
        }
        match month(text).filter(|_| self.days) {
            Some(month) => {
                self.months.insert(month);
                if self.first.as_deref().is_none_or(|first| text < first) {
                    self.first = Some(text.to_owned());
                }
                if self.last.as_deref().is_none_or(|last| text > last) {
                    self.last = Some(text.to_owned());
                }
            }
            None => self.days = false,
        }
    }

    fn covered(&self) -> Option<Days> {
        let (first, last) = (self.first.clone()?, self.last.clone()?);
        if !self.days {
            return None;
        }
        let number = |text: &str| {
            let (year, month) = month(text)?;
            Some(i64::from(year) * 12 + i64::from(month))
        };
        let months = number(&last)?.checked_sub(number(&first)?)?.unsigned_abs() + 1;
        Some(Days {
            first,
            last,
            months,
            empty_months: months.saturating_sub(self.months.len() as u64),
        })
    }
}

/// Year and month of a day written as 2026-11-22.
fn month(text: &str) -> Option<(i32, u32)> {
    let parsed = paripassu_audit::event::parse_time(&format!("{text}T00:00:00Z"));
    parsed?;
    let (year, rest) = text.split_once('-')?;
    let (month, _) = rest.split_once('-')?;
    Some((year.parse().ok()?, month.parse().ok()?))
}

fn hashed(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Reads a file twice: once for quantiles, counts, days and repeats, once to count what lies far out.
pub(crate) fn quality(
    file: &Path,
    facts: &[ColumnFacts],
    missing: &[String],
    rows: u64,
) -> Result<Quality, Failure> {
    let id: Vec<bool> = facts.iter().map(|column| column.kind == Kind::Id).collect();
    let absent = |text: &str| text.is_empty() || missing.iter().any(|word| word == text);
    let mut readings: Vec<Reading> = facts.iter().map(|_| Reading::new()).collect();
    let (mut ids, mut whole) = (HashSet::new(), HashSet::new());
    let mut quality = Quality::default();
    let mut cells = Cells::open(file)?;
    cells.header()?;
    loop {
        let mut row = DefaultHasher::new();
        let mut this_id = None;
        let more = cells.next(&mut |at, cell: &[u8]| {
            let text = std::str::from_utf8(cell).unwrap_or("\u{fffd}").trim();
            match id.get(at) == Some(&true) {
                true => this_id = Some(hashed((this_id, text))),
                false => (at, text).hash(&mut row),
            }
            if let (Some(reading), Some(column)) = (readings.get_mut(at), facts.get(at))
                && !absent(text)
            {
                reading.see(text, column.kind == Kind::Numeric);
            }
        })?;
        if !more {
            break;
        }
        if this_id.is_some_and(|id| !ids.insert(id)) {
            quality.repeated_ids += 1;
        }
        if facts.len() > 1 && !whole.insert(row.finish()) {
            quality.repeated_rows += 1;
        }
    }
    let mut fences = Vec::new();
    for (column, reading) in facts.iter().zip(readings) {
        let (described, fence) = describe(column, reading, rows);
        quality.columns.push(described);
        fences.push(fence);
    }
    if fences.iter().any(Option::is_some) {
        let mut cells = Cells::open(file)?;
        cells.header()?;
        let columns = &mut quality.columns;
        while cells.next(&mut |at, cell: &[u8]| {
            let text = std::str::from_utf8(cell).unwrap_or_default().trim();
            if let Some(Some((low, high))) = fences.get(at)
                && !absent(text)
                && let Ok(value) = text.parse::<f64>()
                && (value < *low || value > *high)
                && let Some(column) = columns.get_mut(at)
            {
                column.outliers += 1;
            }
        })? {}
    }
    for column in &mut quality.columns {
        if column.outliers > 0 {
            let share = 100.0 * column.outliers as f64 / rows.max(1) as f64;
            column.notes.push(format!(
                "{} rows ({share:.2}%) lie far out: errors, or a long tail that wants a logarithm or bins",
                column.outliers
            ));
        }
    }
    Ok(quality)
}

fn describe(
    facts: &ColumnFacts,
    reading: Reading,
    rows: u64,
) -> (ColumnQuality, Option<(f64, f64)>) {
    let days = match facts.kind {
        Kind::Categorical => reading.covered(),
        _ => None,
    };
    let mut frequent: Vec<(String, u64)> = reading.counts.into_iter().collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let share = |count: u64| count as f64 / rows.max(1) as f64;
    let missing_share = share(rows.saturating_sub(reading.values));
    let mut notes = Vec::new();
    if missing_share > 0.4 {
        notes.push(format!(
            "{:.0}% of rows have no value",
            100.0 * missing_share
        ));
    }
    let quantiles = reading
        .sample
        .quantiles()
        .filter(|_| facts.kind == Kind::Numeric);
    let mut fence = None;
    if let Some(([_, low, _, high, _], _)) = quantiles {
        match high > low {
            true => fence = Some((low - 3.0 * (high - low), high + 3.0 * (high - low))),
            false => notes.push("more than half of the rows have one value".to_owned()),
        }
        if facts.distinct > 1 && facts.distinct <= 10 && rows > 100 {
            notes.push(format!(
                "{} values only: a category, perhaps",
                facts.distinct
            ));
        }
        let extreme = |value: &str| {
            let value = value.parse::<f64>().ok();
            value.is_some() && (value == facts.least || value == facts.largest)
        };
        let sentinel = frequent.first().filter(|(value, count)| {
            share(*count) > 0.02
                && extreme(value)
                && value.trim_start_matches('-').starts_with("99")
        });
        if let Some((value, count)) = sentinel {
            notes.push(format!(
                "{value} stands in {:.0}% of rows at one end: a code for missing, perhaps (--missing {value})",
                100.0 * share(*count)
            ));
        }
    }
    let mut rare_levels = 0;
    if facts.kind == Kind::Categorical && days.is_none() {
        let rare = frequent.iter().filter(|(_, count)| *count < 20);
        rare_levels = rare.count() as u64;
        if facts.distinct > 50 {
            notes.push(format!(
                "{}{} levels: group them, or leave the column out",
                facts.distinct,
                if facts.distinct_exact { "" } else { " or more" }
            ));
        } else if rare_levels > 0 {
            notes.push(format!(
                "{rare_levels} levels of fewer than 20 rows: jobs merge them (design.rare_level_rows)"
            ));
        }
    }
    if let Some(days) = &days {
        if days.empty_months > 0 {
            notes.push(format!(
                "{} of {} months have no row",
                days.empty_months, days.months
            ));
        }
        notes.push("a day is no feature: take an age or a number of months from it".to_owned());
    }
    let value_like = matches!(facts.kind, Kind::Categorical | Kind::Numeric);
    if value_like
        && days.is_none()
        && facts.distinct_exact
        && facts.distinct as u64 == rows
        && rows > 100
    {
        notes.push("every row has another value: an id or a key, perhaps".to_owned());
    }
    let named = facts.kind == Kind::Categorical && days.is_none() && reading.counted;
    frequent.truncate(if named { NAMED } else { 0 });
    let described = ColumnQuality {
        name: facts.name.clone(),
        missing_share,
        quantiles: quantiles.map(|(values, _)| values),
        quantiles_exact: quantiles.is_some_and(|(_, exact)| exact),
        outliers: 0,
        frequent,
        rare_levels,
        days,
        notes,
    };
    (described, fence)
}

#[cfg(test)]
mod tests {
    use super::{super::columns, *};

    fn of(text: &str) -> Quality {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.csv");
        std::fs::write(&file, text).unwrap();
        let missing = ["NA".to_owned()];
        let (rows, facts) = columns(&file, "id", None, &missing).unwrap();
        quality(&file, &facts, &missing, rows).unwrap()
    }

    #[test]
    fn outliers_repeats_codes_and_days_are_found() {
        let mut text = "id,x,code,day,level\n".to_owned();
        for row in 0..200 {
            let x = if row == 7 { 10_000 } else { row % 50 };
            let code = if row % 10 == 0 {
                "-999".to_owned()
            } else {
                (row % 37).to_string()
            };
            let month = [1, 2, 5][row % 3];
            let level = if row < 3 { "rare" } else { "often" };
            text.push_str(&format!(
                "{row},{x},{code},2026-{month:02}-1{},{level}\n",
                row % 7
            ));
        }
        // a row again under another id, and an id again
        text.push_str(
            "500,7,7,2026-02-10,often\n501,7,7,2026-02-10,often\n501,8,NA,2026-02-11,often\n",
        );
        let quality = of(&text);
        assert_eq!((quality.repeated_ids, quality.repeated_rows), (1, 1));
        let [_, x, code, day, level] = &quality.columns[..] else {
            panic!("{quality:?}");
        };
        assert_eq!(x.outliers, 1, "{x:?}");
        let [_, low, middle, high, _] = x.quantiles.unwrap();
        assert!(x.quantiles_exact && low < middle && middle < high && middle < 50.0);
        assert!(
            code.notes
                .iter()
                .any(|note| note.contains("--missing -999")),
            "{code:?}"
        );
        assert!((code.missing_share - 1.0 / 203.0).abs() < 1e-12);
        let days = day.days.clone().unwrap();
        assert_eq!((days.months, days.empty_months), (5, 2));
        assert_eq!(days.first.get(..7), Some("2026-01"));
        assert_eq!((level.rare_levels, level.frequent.len()), (1, 2));
    }

    #[test]
    fn long_columns_are_sampled_evenly() {
        let mut sample = Sample::new();
        for value in 0..1_000_000 {
            sample.add(f64::from(value));
        }
        assert!(sample.values.len() <= SAMPLE);
        let ([_, low, middle, high, _], exact) = sample.quantiles().unwrap();
        assert!(!exact);
        for (got, want) in [(low, 250_000.0), (middle, 500_000.0), (high, 750_000.0)] {
            assert!((got - want).abs() < 100.0, "{got}");
        }
        assert!(Sample::new().quantiles().is_none());
    }
}
