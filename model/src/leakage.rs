//! What a score tells its receiver about the features of another party: the attack that a receiver could
//! run, on the party's own data.
//!
//! The receiver is taken to know its own points, the other party's points table, and how often each
//! combination of the other's bins occurs; it sees the total score in some granularity and guesses the whole
//! combination: of those that fit what it sees, the most frequent. An upper bound: a receiver without the
//! points table does worse. The share guessed right is to be read beside the prior, the share of the most
//! frequent combination, which is guessed without any score.
//! Source: feature inference from predictions in vertical learning, Luo, Wu, Xiao, Ooi (ICDE 2021); for
//! linear scores it is the search for the combinations that add up.

use serde::{Deserialize, Serialize};

/// What of a score its receiver sees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// The score as a floating-point number.
    Exact,
    /// The score in whole points.
    Points,
    /// Which of so many bands of the population, of equal size but for ties.
    Bands(u32),
    /// Whether the score is among this share of the worst.
    Decision(f64),
    /// The other party's own part, rounded to a multiple of so many points.
    Step(f64),
}

/// What the attack recovers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Leakage {
    /// What is seen.
    pub seen: Granularity,
    /// Share of rows whose whole combination is guessed right.
    pub recovered: f64,
    /// Share guessed right without any score.
    pub prior: f64,
}

/// Why the attack cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeakageError {
    /// Lengths differ, or there is no row.
    #[error(
        "{own} scores of the receiver and {rows} rows: one each is needed, and at least one row"
    )]
    Rows {
        /// Scores of the receiver.
        own: usize,
        /// Rows.
        rows: usize,
    },
    /// A score that is no finite number.
    #[error("the score of row {row} is no finite number")]
    NotANumber {
        /// Position, from 0.
        row: usize,
    },
    /// Fewer than two bands, a share that is not between 0 and 1, or a step that is not positive.
    #[error(
        "at least two bands, a share between 0 and 1, or multiples of a positive step can be seen of a score"
    )]
    Granularity,
}

/// A party's rows as the attack sees them: distinct combinations by rising part of the score.
#[derive(Debug)]
pub struct Attack {
    /// Part of each combination, rising.
    parts: Vec<f64>,
    /// Rows of each combination.
    counts: Vec<u32>,
    /// For each power of two, the most frequent combination of the run that begins here.
    tops: Vec<Vec<u32>>,
    /// Combination of each row.
    of_row: Vec<usize>,
}

impl Attack {
    /// `bins[column][row]` are the bins, `parts[row]` the party's part of the score.
    ///
    /// # Errors
    /// [`LeakageError`].
    pub fn new(bins: &[Vec<u32>], parts: &[f64]) -> Result<Self, LeakageError> {
        let rows = parts.len();
        if rows == 0 || bins.iter().any(|b| b.len() != rows) {
            let own = rows;
            return Err(LeakageError::Rows { own, rows });
        }
        if let Some(row) = parts.iter().position(|p| !p.is_finite()) {
            return Err(LeakageError::NotANumber { row });
        }
        let key = |row: usize| bins.iter().map(move |b| b[row]);
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by(|&a, &b| {
            parts[a]
                .total_cmp(&parts[b])
                .then_with(|| key(a).cmp(key(b)))
        });
        let mut attack = Self {
            parts: Vec::new(),
            counts: Vec::new(),
            tops: Vec::new(),
            of_row: vec![0; rows],
        };
        // equal combinations have equal parts up to the order of addition, so compare combinations alone
        for run in order.chunk_by(|&a, &b| key(a).eq(key(b))) {
            for row in run {
                attack.of_row[*row] = attack.parts.len();
            }
            attack.parts.push(parts[run[0]]);
            attack
                .counts
                .push(u32::try_from(run.len()).unwrap_or(u32::MAX));
        }
        attack.index();
        Ok(attack)
    }

    /// A sparse table for the most frequent of any run of combinations.
    fn index(&mut self) {
        let n = self.parts.len();
        // more combinations than a u32 holds do not fit into memory
        let mut level: Vec<u32> = (0..n as u32).collect();
        let mut width = 1;
        while !level.is_empty() {
            let next = match 2 * width <= n {
                true => (0..=n - 2 * width)
                    .map(|i| self.better(level[i], level[i + width]))
                    .collect(),
                false => Vec::new(),
            };
            self.tops.push(std::mem::replace(&mut level, next));
            width *= 2;
        }
    }

    fn better(&self, a: u32, b: u32) -> u32 {
        match self.counts[a as usize] >= self.counts[b as usize] {
            true => a,
            false => b,
        }
    }

    /// The most frequent combination whose part lies in `[low, high)`.
    fn guess(&self, low: f64, high: f64) -> Option<usize> {
        let from = self.parts.partition_point(|p| *p < low);
        let to = self.parts.partition_point(|p| *p < high);
        let length = to.checked_sub(from).filter(|l| *l > 0)?;
        let level = length.ilog2() as usize;
        let row = self.tops.get(level)?;
        let (a, b) = (*row.get(from)?, *row.get(to - (1 << level))?);
        Some(self.better(a, b) as usize)
    }

    /// Distinct combinations.
    pub fn combinations(&self) -> usize {
        self.parts.len()
    }

    /// Runs the attack of a receiver with these points of its own.
    ///
    /// # Errors
    /// [`LeakageError`].
    pub fn run(&self, own: &[f64], seen: Granularity) -> Result<Leakage, LeakageError> {
        let rows = self.of_row.len();
        if own.len() != rows {
            let own = own.len();
            return Err(LeakageError::Rows { own, rows });
        }
        if let Some(row) = own.iter().position(|p| !p.is_finite()) {
            return Err(LeakageError::NotANumber { row });
        }
        let part = |row: usize| self.parts[self.of_row[row]];
        let total = |row: usize| own[row] + part(row);
        // far more than what rounding in two additions can move a score
        let tiny = 1e-9 * (0..rows).map(|r| total(r).abs()).fold(1.0, f64::max);
        let edges = self.edges(&(0..rows).map(total).collect::<Vec<_>>(), seen)?;
        let mut right = 0usize;
        for (row, own) in own.iter().enumerate() {
            let (low, high) = match seen {
                Granularity::Exact => (part(row) - tiny, part(row) + tiny),
                Granularity::Points => {
                    let points = (total(row) + 0.5).floor();
                    (points - 0.5 - own - tiny, points + 0.5 - own - tiny)
                }
                Granularity::Step(step) => {
                    let at = (part(row) / step).round() * step;
                    (at - 0.5 * step - tiny, at + 0.5 * step + tiny)
                }
                Granularity::Bands(_) | Granularity::Decision(_) => {
                    let band = edges.partition_point(|e| *e <= total(row));
                    let low = band.checked_sub(1).and_then(|b| edges.get(b));
                    let high = edges.get(band);
                    (
                        low.map_or(f64::NEG_INFINITY, |e| e - own - tiny),
                        high.map_or(f64::INFINITY, |e| e - own - tiny),
                    )
                }
            };
            right += usize::from(self.guess(low, high) == Some(self.of_row[row]));
        }
        let most = self.counts.iter().max().copied().unwrap_or(0);
        Ok(Leakage {
            seen,
            recovered: right as f64 / rows as f64,
            prior: f64::from(most) / rows as f64,
        })
    }

    /// Edges between the bands of total scores.
    fn edges(&self, totals: &[f64], seen: Granularity) -> Result<Vec<f64>, LeakageError> {
        let shares: Vec<f64> = match seen {
            Granularity::Exact | Granularity::Points => return Ok(Vec::new()),
            Granularity::Step(step) if step > 0.0 && step.is_finite() => return Ok(Vec::new()),
            Granularity::Bands(k) if k >= 2 => {
                (1..k).map(|b| f64::from(b) / f64::from(k)).collect()
            }
            Granularity::Decision(share) if share > 0.0 && share < 1.0 => vec![share],
            _ => return Err(LeakageError::Granularity),
        };
        let mut sorted = totals.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len() - 1;
        let quantile = |q: &f64| {
            let at = q * last as f64;
            let low = at.floor() as usize;
            let high = (low + 1).min(last);
            sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
        };
        let mut edges: Vec<f64> = shares.iter().map(quantile).collect();
        edges.dedup();
        Ok(edges)
    }
}

/// The granularities that are compared.
pub const COMPARED: [Granularity; 6] = [
    Granularity::Exact,
    Granularity::Points,
    Granularity::Bands(20),
    Granularity::Bands(10),
    Granularity::Bands(5),
    Granularity::Decision(0.2),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns of three and two bins.
    fn attack() -> Attack {
        let a = vec![0, 0, 0, 1, 1, 2, 2, 0];
        let b = vec![0, 0, 0, 1, 0, 1, 0, 1];
        let parts = (0..8).map(|i| [0.0, 10.0, 20.4][a[i] as usize] + [0.0, 5.0][b[i] as usize]);
        Attack::new(&[a.clone(), b.clone()], &parts.collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn coarser_scores_tell_less() {
        let attack = attack();
        assert_eq!(attack.combinations(), 6);
        let own = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        let run = |seen| attack.run(&own, seen).unwrap();
        assert_eq!(run(Granularity::Exact).recovered, 1.0);
        assert_eq!(run(Granularity::Points).recovered, 1.0);
        assert_eq!(run(Granularity::Exact).prior, 3.0 / 8.0);
        let half = run(Granularity::Bands(2)).recovered;
        assert!((3.0 / 8.0..1.0).contains(&half), "{half}");
    }

    #[test]
    fn the_same_by_trying_every_combination() {
        // ten combinations of unequal frequency, receivers' points all over
        let n = 400;
        let bins: Vec<u32> = (0..n).map(|i| (i * i % 17 % 10) as u32).collect();
        let of = |b: u32| f64::from(b * b % 23) * 1.3;
        let parts: Vec<f64> = bins.iter().map(|b| of(*b)).collect();
        let own: Vec<f64> = (0..n).map(|i| f64::from(i * 31 % 57)).collect();
        let attack = Attack::new(std::slice::from_ref(&bins), &parts).unwrap();
        let count = |b: u32| bins.iter().filter(|x| **x == b).count();
        let totals: Vec<f64> = own.iter().zip(&parts).map(|(o, p)| o + p).collect();
        for k in [2, 5, 10] {
            let edges = attack.edges(&totals, Granularity::Bands(k)).unwrap();
            let band = |t: f64| edges.iter().filter(|e| **e <= t).count();
            let mut right = 0;
            for row in 0..n as usize {
                let fits = (0..10).filter(|b| band(own[row] + of(*b)) == band(totals[row]));
                let most = fits.clone().map(count).max().unwrap();
                right += usize::from(
                    count(bins[row]) == most && fits.filter(|b| count(*b) == most).count() == 1,
                );
            }
            let got = attack.run(&own, Granularity::Bands(k)).unwrap().recovered;
            let unique = right as f64 / f64::from(n);
            assert!(got >= unique - 1e-12, "{k}: {got}, {unique}");
            assert!(got <= 1.0);
        }
    }

    #[test]
    fn what_cannot_be_attacked_is_refused() {
        let attack = attack();
        assert!(matches!(
            attack.run(&[1.0], Granularity::Exact),
            Err(LeakageError::Rows { own: 1, rows: 8 })
        ));
        let own = [f64::NAN; 8];
        assert!(matches!(
            attack.run(&own, Granularity::Exact),
            Err(LeakageError::NotANumber { row: 0 })
        ));
        assert_eq!(
            attack.run(&[0.0; 8], Granularity::Bands(1)).unwrap_err(),
            LeakageError::Granularity
        );
        assert!(Attack::new(&[], &[]).is_err());
    }
}
