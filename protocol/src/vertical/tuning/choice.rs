//! What is tried, what was told of it, and which of it is taken.

use crate::abort::Abort;

/// What is tried: every ridge with every L1 penalty.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Folds, at least 2.
    pub folds: usize,
    /// Ridges, each above 0, rising.
    pub l2: Vec<f64>,
    /// L1 penalties, rising; none: that of the job.
    pub l1: Vec<f64>,
    /// Which of them are taken.
    pub rule: Rule,
}

/// Which penalties are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The largest whose mean error is within one standard error of the least: of pairs within it those with the largest
    /// L1 penalty, of these that with the largest ridge.
    OneStandardError,
    /// Those of the least mean error.
    Least,
}

/// What a trial is fitted with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalties {
    /// The ridge.
    pub l2: f64,
    /// The L1 penalty.
    pub l1: f64,
}

impl Tuning {
    /// Whether L1 penalties are tried.
    pub(in crate::vertical) fn is_path(&self) -> bool {
        !self.l1.is_empty()
    }

    /// Refuses lists that cannot be tried; `l1` is the penalty of a job that lists none.
    pub(in crate::vertical) fn check(&self, l1: f64) -> Result<(), Abort> {
        let rising = |of: &[f64]| of.windows(2).all(|w| w[0] < w[1]);
        let ridges = !self.l2.is_empty() && rising(&self.l2) && self.l2.iter().all(|v| *v > 0.0);
        let bounds = 0.0..=1e6;
        let penalties = rising(&self.l1) && self.l1.iter().all(|v| bounds.contains(v));
        if !(ridges && penalties && (l1 == 0.0 || self.l1.is_empty())) {
            return Err(Abort::Input(
                "trials need rising ridges above 0, and rising L1 penalties from 0 to 1000000 or the job's one".into(),
            ));
        }
        Ok(())
    }

    /// All pairs, by rising ridge and then by rising L1 penalty; `l1` is that of a job that lists none.
    pub(super) fn grid(&self, l1: f64) -> Vec<Penalties> {
        let all = if self.is_path() { &self.l1[..] } else { &[l1] };
        let each = self.l2.iter();
        each.flat_map(|l2| all.iter().map(|l1| Penalties { l2: *l2, l1: *l1 }))
            .collect()
    }
}

/// What the trials showed: the same at all parties.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// What was tried, by rising ridge and then by rising L1 penalty.
    pub grid: Vec<Penalties>,
    /// By pair and fold: mean squared error of the probability on the rows left out.
    pub losses: Vec<Vec<f64>>,
    /// By pair and fold: columns of all parties that the fit leaves in; empty where no L1 penalties are tried.
    pub columns: Vec<Vec<u32>>,
    /// Position of the pair that is taken.
    pub chosen: usize,
    /// Passes of all trials.
    pub passes: u32,
}

impl Tuned {
    pub(super) fn new(grid: Vec<Penalties>, rule: Rule, told: Vec<Vec<Told>>, passes: u32) -> Self {
        let each = |of: &Vec<Told>| of.iter().map(|t| t.loss).collect();
        let losses: Vec<Vec<f64>> = told.iter().map(each).collect();
        let columns = told.iter().map(|of| of.iter().filter_map(|t| t.columns));
        let mut tuned = Self {
            grid,
            losses,
            columns: columns.map(Iterator::collect).collect(),
            chosen: 0,
            passes,
        };
        let all = 0..tuned.grid.len();
        let means: Vec<f64> = all.clone().map(|g| tuned.mean(g)).collect();
        let best = all.clone().min_by(|a, b| means[*a].total_cmp(&means[*b]));
        let best = best.unwrap_or_default();
        tuned.chosen = match rule {
            Rule::Least => best,
            Rule::OneStandardError => {
                let limit = means[best] + tuned.standard_error(best);
                let strength = |g: &usize| (tuned.grid[*g].l1, tuned.grid[*g].l2);
                all.filter(|g| means[*g] <= limit)
                    .max_by(|a, b| {
                        let ((a1, a2), (b1, b2)) = (strength(a), strength(b));
                        a1.total_cmp(&b1).then(a2.total_cmp(&b2))
                    })
                    .unwrap_or(best)
            }
        };
        tuned
    }

    /// The pair that is taken.
    pub fn penalties(&self) -> Option<Penalties> {
        self.grid.get(self.chosen).copied()
    }

    /// Mean over the folds of a pair's error.
    pub fn mean(&self, pair: usize) -> f64 {
        let all = &self.losses[pair];
        all.iter().sum::<f64>() / all.len() as f64
    }

    /// Standard error of that mean, from the folds.
    pub fn standard_error(&self, pair: usize) -> f64 {
        let (all, mean) = (&self.losses[pair], self.mean(pair));
        let k = all.len() as f64;
        let squares: f64 = all.iter().map(|v| (v - mean) * (v - mean)).sum();
        (squares / (k - 1.0) / k).sqrt()
    }
}

/// What is opened of a trial.
#[derive(Clone, Copy)]
pub(super) struct Told {
    /// Mean squared error on the rows left out.
    pub(super) loss: f64,
    /// Columns that the fit leaves in.
    pub(super) columns: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_takes_the_most_cautious_within_a_standard_error() {
        // means 0.21, 0.20, 0.204, 0.25; the best has a standard error of 0.005
        let losses = [[0.20, 0.22], [0.195, 0.205], [0.20, 0.208], [0.24, 0.26]];
        let told = losses.map(|of| {
            let of = of.map(|loss| Told {
                loss,
                columns: None,
            });
            of.to_vec()
        });
        let tuned = |l2: [f64; 4], l1: [f64; 4], rule| {
            let grid = l2.into_iter().zip(l1);
            let grid = grid.map(|(l2, l1)| Penalties { l2, l1 }).collect();
            Tuned::new(grid, rule, told.to_vec(), 0)
        };
        let ridges = [0.1, 1.0, 10.0, 100.0];
        let by_ridge = tuned(ridges, [0.0; 4], Rule::OneStandardError);
        assert_eq!(by_ridge.chosen, 2);
        assert!((by_ridge.standard_error(1) - 0.005).abs() < 1e-12);
        assert_eq!(tuned(ridges, [0.0; 4], Rule::Least).chosen, 1);
        // of those within it the largest L1 penalty counts before the largest ridge
        let both = tuned(
            [1.0, 1.0, 9.0, 9.0],
            [2.0, 5.0, 2.0, 5.0],
            Rule::OneStandardError,
        );
        assert_eq!(both.chosen, 1);
    }

    #[test]
    fn lists_that_cannot_be_tried_are_refused() {
        let of = |l2: &[f64], l1: &[f64]| Tuning {
            folds: 2,
            l2: l2.to_vec(),
            l1: l1.to_vec(),
            rule: Rule::Least,
        };
        assert!(of(&[1.0], &[0.0, 5.0]).check(0.0).is_ok());
        assert!(of(&[1.0, 2.0], &[]).check(3.0).is_ok());
        for (l2, l1, given) in [
            (&[][..], &[1.0][..], 0.0),
            (&[0.0], &[1.0], 0.0),
            (&[2.0, 1.0], &[], 0.0),
            (&[1.0], &[2.0, 1.0], 0.0),
            (&[1.0], &[-1.0], 0.0),
            (&[1.0], &[f64::NAN], 0.0),
            (&[1.0], &[1.0, 2.0], 3.0),
        ] {
            assert!(of(l2, l1).check(given).is_err(), "{l2:?} {l1:?}");
        }
    }
}
