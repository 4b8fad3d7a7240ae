//! Defining the outcome: from which worst days past due within a window a customer is bad, below which good, and
//! what lies between.

use std::path::Path;

use serde::Serialize;

use super::Cells;
use crate::{
    failure::Failure,
    screen::{Screen, count},
};

/// A definition of the outcome.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    /// Column with each customer's worst days past due within the window.
    pub(crate) past_due: String,
    /// Bad from here.
    pub(crate) bad: f64,
    /// Good below this; between the two a row is indeterminate.
    pub(crate) good: f64,
    /// Column with the months for which each customer was watched.
    pub(crate) watched: Option<String>,
    /// Customers who were watched for less are left out.
    pub(crate) window: f64,
}

/// How a definition divides the rows.
#[derive(Debug, Serialize)]
pub(crate) struct Outcomes {
    pub(crate) past_due: String,
    pub(crate) bad_from: f64,
    pub(crate) good_below: f64,
    pub(crate) window_months: Option<f64>,
    pub(crate) good: u64,
    pub(crate) bad: u64,
    pub(crate) indeterminate: u64,
    /// Neither days past due nor a number.
    pub(crate) unknown: u64,
    /// Watched for less than the window.
    pub(crate) too_short: u64,
    /// Bad among good and bad.
    pub(crate) bad_rate: f64,
    /// Rows by their worst days past due.
    pub(crate) by_days: Vec<(String, u64)>,
    /// Bads and their share if bad began elsewhere.
    pub(crate) instead: Vec<(f64, u64, f64)>,
    pub(crate) notes: Vec<String>,
}

/// Lower ends of the ranges of days past due that are counted.
const RANGES: [f64; 7] = [0.0, 1.0, 30.0, 60.0, 90.0, 120.0, 180.0];

/// Divides the rows of a file by a definition.
pub(crate) fn outcomes(
    file: &Path,
    definition: &Definition,
    missing: &[String],
) -> Result<Outcomes, Failure> {
    if definition.good > definition.bad || definition.good.is_nan() || definition.bad.is_nan() {
        return Err(Failure::user(
            "--good-below is above --bad-from: a row would be good and bad",
        ));
    }
    let mut cells = Cells::open(file)?;
    let header = cells.header()?;
    let place = |name: &String| {
        header
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| Failure::user(format!("{} has no column `{name}`", file.display())))
    };
    let past_due = place(&definition.past_due)?;
    let watched = definition.watched.as_ref().map(place).transpose()?;
    let mut found = Outcomes {
        past_due: definition.past_due.clone(),
        bad_from: definition.bad,
        good_below: definition.good,
        window_months: watched.map(|_| definition.window),
        good: 0,
        bad: 0,
        indeterminate: 0,
        unknown: 0,
        too_short: 0,
        bad_rate: 0.0,
        by_days: Vec::new(),
        instead: Vec::new(),
        notes: Vec::new(),
    };
    let mut ranges = [0_u64; RANGES.len()];
    let number = |cell: &[u8]| {
        let text = std::str::from_utf8(cell).unwrap_or_default().trim();
        let known = !missing.iter().any(|word| word == text);
        text.parse::<f64>()
            .ok()
            .filter(|value| known && value.is_finite())
    };
    loop {
        let (mut days, mut months) = (None, None);
        let more = cells.next(&mut |at, cell: &[u8]| {
            if at == past_due {
                days = number(cell);
            }
            if Some(at) == watched {
                months = number(cell);
            }
        })?;
        if !more {
            break;
        }
        if watched.is_some() && months.is_none_or(|months| months < definition.window) {
            found.too_short += 1;
            continue;
        }
        let Some(days) = days.filter(|days| *days >= 0.0) else {
            found.unknown += 1;
            continue;
        };
        let range = RANGES.iter().rposition(|low| days >= *low).unwrap_or(0);
        if let Some(count) = ranges.get_mut(range) {
            *count += 1;
        }
        match () {
            () if days >= definition.bad => found.bad += 1,
            () if days < definition.good => found.good += 1,
            () => found.indeterminate += 1,
        }
    }
    found.finish(&ranges);
    Ok(found)
}

impl Outcomes {
    /// As text for a terminal.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let mut text = format!(
            "\nThe outcome, from `{}`: bad from {} days past due, good below {}\n  {} bad, {} good ({:.2}% bad), {} \
             indeterminate, {} unknown, {} watched for too short\n",
            self.past_due,
            self.bad_from,
            self.good_below,
            count(self.bad),
            count(self.good),
            100.0 * self.bad_rate,
            count(self.indeterminate),
            count(self.unknown),
            count(self.too_short)
        );
        let mut table = screen.table(&["worst days past due", "rows"]);
        for (range, rows) in &self.by_days {
            table.row([range.clone(), count(*rows)]);
        }
        text.push_str(&format!("{table}\n"));
        let mut table = screen.table(&["if bad began at", "bad", "share"]);
        for (from, bad, rate) in &self.instead {
            table.row([
                format!("{from} days"),
                count(*bad),
                format!("{:.2}%", 100.0 * rate),
            ]);
        }
        text.push_str(&format!("{table}\n"));
        for note in &self.notes {
            text.push_str(&format!("{} {note}\n", screen.out().warn("!")));
        }
        text
    }

    fn finish(&mut self, ranges: &[u64; RANGES.len()]) {
        let rate = |bad: u64, good: u64| bad as f64 / (bad + good).max(1) as f64;
        self.bad_rate = rate(self.bad, self.good);
        for (place, (low, count)) in RANGES.iter().zip(ranges).enumerate() {
            let name = match RANGES.get(place + 1) {
                Some(high) if high - low > 1.0 => format!("{low}–{}", high - 1.0),
                Some(_) => format!("{low}"),
                None => format!("{low} and more"),
            };
            self.by_days.push((name, *count));
        }
        for from in [30.0, 60.0, 90.0, 120.0] {
            let place = RANGES.iter().position(|low| *low == from).unwrap_or(0);
            let (good, bad) = ranges.split_at(place);
            let (good, bad) = (good.iter().sum::<u64>(), bad.iter().sum::<u64>());
            self.instead.push((from, bad, rate(bad, good)));
        }
        let judged = self.good + self.bad;
        if self.bad < 200 || self.good < 200 {
            self.notes.push(format!(
                "{} bad and {} good rows: with fewer than a few hundred of each, figures of a model are hardly certain",
                self.bad, self.good
            ));
        }
        if self.indeterminate * 5 > judged {
            self.notes.push(
                "more than a sixth of the rows are indeterminate: the model is trained on the clear cases alone, and its \
                 figures are too good for all"
                    .to_owned(),
            );
        }
        if self.too_short > 0 {
            self.notes.push(
                "rows that were watched for less than the window are left out: take an earlier day of observation to keep them"
                    .to_owned(),
            );
        }
        if self.window_months.is_none() {
            self.notes.push(
                "whether all were watched equally long is not known: name the column with the months (--watched)".to_owned(),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_divided_by_days_past_due_and_window() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t.csv");
        let rows = "id,dpd,months\n1,0,12\n2,29,12\n3,30,12\n4,89.5,24\n5,90,12\n6,400,11\n7,,12\n8,NA,12\n9,-3,12\n10,200,12\n11,5,\n";
        std::fs::write(&file, rows).unwrap();
        let mut definition = Definition {
            past_due: "dpd".into(),
            bad: 90.0,
            good: 30.0,
            watched: Some("months".into()),
            window: 12.0,
        };
        let missing = ["NA".to_owned()];
        let found = outcomes(&file, &definition, &missing).unwrap();
        let counts = (
            found.good,
            found.bad,
            found.indeterminate,
            found.unknown,
            found.too_short,
        );
        assert_eq!(counts, (2, 2, 2, 3, 2));
        assert_eq!(found.bad_rate, 0.5);
        assert_eq!(found.by_days.iter().map(|(_, n)| n).sum::<u64>(), 6);
        assert_eq!(found.instead[1], (60.0, 3, 0.5));
        definition.good = 91.0;
        assert!(outcomes(&file, &definition, &missing).is_err());
        definition.good = 30.0;
        definition.past_due = "none".into();
        assert!(outcomes(&file, &definition, &missing).is_err());
    }
}
