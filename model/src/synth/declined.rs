//! Applicants whom the bank declines, by a rule of its own: they have no outcome.

use super::{Kind, Party, Portfolio, Variable};
use std::ops::Range;

/// Stream of what the rule does not say.
const STREAM: u64 = 1 << 41;
/// Its deviation beside that of the rule.
const NOISE: f64 = 0.5;

impl Portfolio {
    /// The same portfolio where the bank has declined about this share of `rows`, 0 to 1: those with the highest score of a rule on
    /// its own columns (the signals it has, with the weights of the truth, of values as they stand in its file) with noise. Its
    /// CSV file then has a column `declined` after `y`, and `y` is empty where that is 1.
    #[must_use]
    pub fn with_declined(mut self, rows: Range<u64>, share: f64) -> Self {
        let mut scores: Vec<f64> = rows.map(|row| self.decline_score(row)).collect();
        scores.sort_unstable_by(f64::total_cmp);
        let accepted = ((1.0 - share.clamp(0.0, 1.0)) * scores.len() as f64).round() as usize;
        self.declined_from = Some(scores.get(accepted).copied().unwrap_or(f64::INFINITY));
        self
    }

    /// Whether the bank has declined the customer of a row; nothing where it declines nobody.
    pub fn declined(&self, row: u64) -> Option<bool> {
        let from = self.declined_from?;
        Some(self.decline_score(row) >= from)
    }

    fn decline_score(&self, row: u64) -> f64 {
        let mut cells = vec![0.0; Party::Bank.width()];
        self.fill(Party::Bank, row, &mut cells);
        let signals = Party::Bank.variables().zip(&cells);
        let signals = signals.filter(|(v, _)| v.kind() == Kind::Signal);
        let of = |(v, cell): (Variable, &f64)| match cell.is_nan() {
            true => 0.0,
            false => v.weight() * cell.signum() * cell.abs().ln_1p(),
        };
        signals.map(of).sum::<f64>() + NOISE * self.normal(row, STREAM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_declined_who_is_riskier_and_the_file_says_so() {
        let rows = 4_000;
        let portfolio = Portfolio::new(2026).with_declined(0..rows, 0.2);
        let all = || {
            (0..rows).map(|row| {
                (
                    portfolio.declined(row) == Some(true),
                    portfolio.truth(row).pd,
                )
            })
        };
        let declined = all().filter(|(d, _)| *d).count();
        assert_eq!(declined, 800);
        let mean = |which: bool| {
            let of = all().filter(|(d, _)| *d == which).map(|(_, pd)| pd);
            of.clone().sum::<f64>() / of.count() as f64
        };
        assert!(
            mean(true) > 1.5 * mean(false),
            "{} {}",
            mean(true),
            mean(false)
        );
        let mut text = Vec::new();
        portfolio
            .write_csv(Party::Bank, 0..rows, &mut text)
            .unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("id,bank,month,y,declined,bk000"));
        let cells = text
            .lines()
            .skip(1)
            .map(|l| l.split(',').collect::<Vec<_>>());
        assert!(
            cells
                .clone()
                .all(|c| (c[4] == "1") == c[3].is_empty() && c[4].len() == 1)
        );
        // other parties' files, and all others of the bank, are as ever
        assert_eq!(Portfolio::new(2026).declined(3), None);
    }
}
