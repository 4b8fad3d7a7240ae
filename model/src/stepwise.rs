//! Columns that leave a logistic regression, and columns that enter it, one by one.
//!
//! What the protocol of the same name does on shares, in the clear: at each fit the column with the least Wald statistic
//! `(w / s)²`, s its standard error, leaves if that is below a threshold; or, of the columns that are not in the model, the
//! one with the greatest score statistic `g² / v` enters if that is not below another. g is the slope of the loss in a column's
//! coefficient at 0, v what the Hessian, ridge included, leaves of it beside the columns in the model. A column of which less
//! than [`LEAST_SHARE`] is left does not enter. With a ridge that is large beside the curvature a copy of a column with
//! coefficient w keeps such a share, and a statistic of `l2 w² / 2`.

use ndarray::{Array2, Axis};

use super::logistic::{FitOptions, LogisticError, Parts, Penalty, TrainingSet, fit};
use crate::metrics::normal_two_sided;

/// -log2 of [`LEAST_SHARE`].
pub const LEAST_SHARE_LOG2: u32 = 8;
/// Of a column's own curvature, the least share beside the columns in the model with which it may enter.
pub const LEAST_SHARE: f64 = 1.0 / (1u32 << LEAST_SHARE_LOG2) as f64;

/// The statistic of which `p` is the p-value: the chi-square quantile of one degree of freedom.
pub fn statistic(p: f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, 40.0_f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match normal_two_sided(middle) > p {
            true => low = middle,
            false => high = middle,
        }
    }
    low * low
}

/// When columns enter and leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// Steps begin with the intercept alone, and a column with at least this score statistic may enter; else they begin with
    /// all columns.
    pub enter: Option<f64>,
    /// A column with a lower Wald statistic may leave.
    pub leave: Option<f64>,
    /// At most so many steps.
    pub most: usize,
}

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// The column's place.
    pub column: usize,
    /// Whether it enters, or leaves.
    pub enters: bool,
}

/// The data and what a fit is made with.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Columns.
    pub x: &'a Array2<f64>,
    /// Labels.
    pub labels: &'a [u8],
    /// Weights of rows.
    pub weights: &'a [f64],
    /// Log-odds that rows begin with.
    pub offset: &'a [f64],
    /// The ridge.
    pub l2: f64,
}

/// The steps that columns make, in their order, and the places of those in the model at the end. After each step the model is
/// fitted anew; a column leaves, if one does, before another enters; and where a model comes back, no column is sought for it
/// again.
///
/// # Errors
/// As [`fit`].
pub fn steps(data: &Data<'_>, rule: &Rule) -> Result<(Vec<Moved>, Vec<usize>), LogisticError> {
    let mut stays: Vec<usize> = match rule.enter {
        Some(_) => Vec::new(),
        None => (0..data.x.ncols()).collect(),
    };
    let (mut moved, mut sought) = (Vec::new(), Vec::new());
    while moved.len() < rule.most {
        let params = data.fit(&stays)?;
        let leaves = match rule.leave {
            Some(threshold) => data.leaving(&stays, &params, threshold)?,
            None => None,
        };
        if let Some(at) = leaves {
            let column = stays.remove(at);
            moved.push(Moved {
                column,
                enters: false,
            });
            continue;
        }
        let Some(threshold) = rule.enter.filter(|_| !sought.contains(&stays)) else {
            break;
        };
        sought.push(stays.clone());
        let statistics = data.scores(&stays, &params)?;
        let best = statistics
            .into_iter()
            .filter(|(_, s)| *s >= threshold)
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((column, _)) = best else { break };
        let at = stays.partition_point(|s| *s < column);
        stays.insert(at, column);
        moved.push(Moved {
            column,
            enters: true,
        });
    }
    Ok((moved, stays))
}

impl Data<'_> {
    /// Coefficients of these columns, the intercept last.
    fn fit(&self, stays: &[usize]) -> Result<Vec<f64>, LogisticError> {
        let now = self.columns(stays);
        let options = FitOptions {
            l2: self.l2,
            ..FitOptions::default()
        };
        let model = fit(&self.set(&now)?, &options)?.model;
        let mut params = model.coefficients;
        params.push(model.intercept);
        Ok(params)
    }

    fn columns(&self, stays: &[usize]) -> Array2<f64> {
        let now = self.x.select(Axis(1), stays);
        now.as_standard_layout().into_owned()
    }

    fn set<'b>(&'b self, now: &'b Array2<f64>) -> Result<TrainingSet<'b>, LogisticError> {
        TrainingSet::new(now, self.labels)?
            .with_weights(self.weights)?
            .with_offset(self.offset)
    }

    fn penalty(&self, columns: usize) -> Penalty {
        Penalty {
            l2: self.l2,
            l1: 0.0,
            columns,
        }
    }

    /// The place of the column that leaves.
    fn leaving(
        &self,
        stays: &[usize],
        params: &[f64],
        threshold: f64,
    ) -> Result<Option<usize>, LogisticError> {
        let now = self.columns(stays);
        let parts = Parts::at(&self.set(&now)?, params)?;
        let errors = self.penalty(stays.len()).standard_errors(&parts)?;
        let statistics = params.iter().zip(&errors).take(stays.len());
        let statistics: Vec<f64> = statistics.map(|(w, s)| (w / s) * (w / s)).collect();
        let least = (0..stays.len()).min_by(|a, b| statistics[*a].total_cmp(&statistics[*b]));
        Ok(least.filter(|at| statistics[*at] < threshold))
    }

    /// Score statistics of the columns that are not in the model and may enter it.
    ///
    /// # Errors
    /// [`LogisticError::Singular`], or of lengths.
    pub fn scores(
        &self,
        stays: &[usize],
        params: &[f64],
    ) -> Result<Vec<(usize, f64)>, LogisticError> {
        let others = (0..self.x.ncols()).filter(|at| !stays.contains(at));
        let mut scores = Vec::new();
        for column in others {
            let with: Vec<usize> = stays.iter().copied().chain([column]).collect();
            let now = self.columns(&with);
            let mut at = params.to_vec();
            // 0 for the column, before the intercept
            at.insert(stays.len(), 0.0);
            let parts = Parts::at(&self.set(&now)?, &at)?;
            let (own, left) = self.penalty(with.len()).beside(&parts, stays.len())?;
            if left >= LEAST_SHARE * own && left > 0.0 {
                let slope = parts.gradient[stays.len()];
                scores.push((column, slope * slope / left));
            }
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_has_its_p_value() {
        for (p, want) in [(0.05, 3.841_459), (0.01, 6.634_897), (0.5, 0.454_936)] {
            assert!((statistic(p) - want).abs() < 1e-4, "{}", statistic(p));
        }
    }

    /// Four columns of noise, of which the first and the third make the label.
    fn sample(n: usize) -> (Array2<f64>, Vec<u8>) {
        let mut state = 5_u64;
        let mut noise = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        let x = Array2::from_shape_simple_fn((n, 4), &mut noise);
        let y = (0..n)
            .map(|i| u8::from(2.0 * x[[i, 0]] - 1.5 * x[[i, 2]] + noise() > 0.3))
            .collect();
        (x, y)
    }

    fn made(x: &Array2<f64>, y: &[u8], rule: Rule) -> (Vec<Moved>, Vec<usize>) {
        ridged(x, y, 1.0, rule)
    }

    fn ridged(x: &Array2<f64>, y: &[u8], l2: f64, rule: Rule) -> (Vec<Moved>, Vec<usize>) {
        let (ones, zeros) = (vec![1.0; y.len()], vec![0.0; y.len()]);
        let data = Data {
            x,
            labels: y,
            weights: &ones,
            offset: &zeros,
            l2,
        };
        steps(&data, &rule).unwrap()
    }

    #[test]
    fn columns_that_tell_nothing_leave_and_the_others_stay() {
        let (x, y) = sample(900);
        let backward = |threshold, most| {
            let rule = Rule {
                enter: None,
                leave: Some(threshold),
                most,
            };
            let (moved, stays) = made(&x, &y, rule);
            assert!(moved.iter().all(|m| !m.enters));
            let left: Vec<usize> = moved.iter().map(|m| m.column).collect();
            assert_eq!(left.len() + stays.len(), 4);
            left
        };
        let left = backward(statistic(0.05), 9);
        assert!(!left.contains(&0) && !left.contains(&2), "{left:?}");
        // with a threshold that nothing passes all leave, the strongest last
        let all = backward(1e9, 9);
        assert!(all.len() == 4 && [0, 2].contains(&all[3]), "{all:?}");
        assert_eq!(backward(1e9, 1), all[..1]);
    }

    #[test]
    fn columns_that_tell_something_enter_the_best_first() {
        let (x, y) = sample(900);
        let forward = |leave, most| {
            let rule = Rule {
                enter: Some(statistic(0.01)),
                leave,
                most,
            };
            made(&x, &y, rule)
        };
        let (moved, stays) = forward(None, 9);
        assert_eq!(moved[0].column, 0);
        assert_eq!(stays, [0, 2]);
        assert!(moved.iter().all(|m| m.enters));
        assert_eq!(forward(Some(statistic(0.01)), 9).1, [0, 2]);
        assert_eq!(forward(None, 1).1, [0]);
    }

    #[test]
    fn a_score_statistic_is_what_the_deviance_falls_by_where_effects_are_small() {
        let (x, y) = sample(4000);
        let (ones, zeros) = (vec![1.0; y.len()], vec![0.0; y.len()]);
        let data = Data {
            x: &x,
            labels: &y,
            weights: &ones,
            offset: &zeros,
            l2: 1e-6,
        };
        let params = data.fit(&[0, 2]).unwrap();
        let loss = |stays: &[usize], params: &[f64]| {
            let now = data.columns(stays);
            let set = data.set(&now).unwrap();
            Parts::at(&set, params).unwrap().loss
        };
        let before = loss(&[0, 2], &params);
        for (column, score) in data.scores(&[0, 2], &params).unwrap() {
            let with = data.fit(&[0, 2, column]).unwrap();
            let fell = 2.0 * (before - loss(&[0, 2, column], &with));
            assert!((score - fell).abs() < 0.02 + 0.05 * fell, "{score} {fell}");
        }
    }

    #[test]
    fn what_says_the_same_as_a_column_in_the_model_does_not_enter() {
        let (mut x, y) = sample(900);
        for i in 0..900 {
            x[[i, 1]] = x[[i, 0]] + 0.02 * x[[i, 1]];
        }
        let rule = Rule {
            enter: Some(1e-9),
            leave: None,
            most: 9,
        };
        let (_, stays) = ridged(&x, &y, 1e-3, rule);
        assert_eq!(stays.len(), 3, "{stays:?}");
        assert!(stays.contains(&0) != stays.contains(&1), "{stays:?}");
    }
}
