//! Fits with an L1 penalty or with signs that coefficients must have.

use super::parts::{Parts, descend, triangle};
use super::{LogisticError, LogisticModel, TrainingSet, length};

/// Which sign a coefficient may have; 0 is always allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sign {
    /// Any.
    #[default]
    Free,
    /// Not below 0.
    Positive,
    /// Not above 0.
    Negative,
}

impl Sign {
    /// The nearest value that is allowed.
    pub fn project(self, w: f64) -> f64 {
        match self {
            Self::Free => w,
            Self::Positive => w.max(0.0),
            Self::Negative => w.min(0.0),
        }
    }
}

/// Newton steps at most, and halvings of one.
const STEPS: usize = 100;
const HALVINGS: u32 = 40;

/// The model that minimises `0.5 l2 |w|^2 + l1 |w|_1 + sum of weight_i * logloss_i` over all w with these signs, one a
/// column; the intercept is neither penalised nor bound.
///
/// By Newton steps whose quadratic model is minimised by coordinate descent (Friedman, Hastie and Tibshirani, Journal
/// of Statistical Software 33, 2010), halved until the objective falls, to steps below 1e-10.
///
/// # Errors
/// [`LogisticError::OneClass`], [`LogisticError::Length`], [`LogisticError::Setting`],
/// [`LogisticError::NoConvergence`].
pub fn fit_constrained(
    rows: &TrainingSet<'_>,
    l2: f64,
    l1: f64,
    signs: &[Sign],
) -> Result<LogisticModel, LogisticError> {
    let d = rows.columns();
    length("signs", d, signs.len())?;
    super::newton::check_l2(l2)?;
    if !(l1.is_finite() && l1 >= 0.0) {
        return Err(LogisticError::Setting {
            setting: "l1",
            expected: "a number of 0 or more",
            got: l1,
        });
    }
    let total = rows.total_weight()?;
    let mut params = vec![0.0; d + 1];
    let objective = |at: &Parts, params: &[f64]| -> f64 {
        let penalty = params[..d].iter().map(|w| 0.5 * l2 * w * w + l1 * w.abs());
        at.loss + penalty.sum::<f64>()
    };
    let mut at = Parts::at(rows, &params)?;
    let mut largest = f64::INFINITY;
    for _ in 0..STEPS {
        let mut square = vec![0.0; (d + 1) * (d + 1)];
        let mut slope = at.gradient.clone();
        for i in 0..=d {
            for j in 0..=i {
                square[i * (d + 1) + j] = at.hessian[triangle(i, j)];
                square[j * (d + 1) + i] = square[i * (d + 1) + j];
            }
        }
        for j in 0..d {
            square[j * (d + 1) + j] += l2;
            slope[j] += l2 * params[j];
        }
        let step = descend(&square, &slope, &params, |j, free, curve| match j < d {
            true => signs[j].project(free.signum() * (free.abs() - l1 / curve).max(0.0)),
            false => free,
        });
        let before = objective(&at, &params);
        let mut part = 1.0;
        for _ in 0..HALVINGS {
            let next: Vec<f64> = params
                .iter()
                .zip(&step)
                .map(|(w, s)| w + part * s)
                .collect();
            let there = Parts::at(rows, &next)?;
            if objective(&there, &next) <= before * (1.0 + 1e-14) {
                (params, at) = (next, there);
                break;
            }
            part /= 2.0;
        }
        largest = step.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        if largest < 1e-10 {
            let intercept = params.pop().unwrap_or_default();
            return Ok(LogisticModel {
                intercept,
                coefficients: params,
            });
        }
    }
    Err(LogisticError::NoConvergence {
        passes: STEPS,
        gradient: largest / total,
        tolerance: 1e-10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::{FitOptions, fit};

    fn rows(n: usize, d: usize) -> (Vec<f64>, Vec<u8>) {
        let noise = |k: usize| ((k * 2_654_435_761) % 1009) as f64 / 504.5 - 1.0;
        let x: Vec<f64> = (0..n * d).map(|i| noise(i * 7 + 13)).collect();
        let bad = |i: usize| {
            let z: f64 = (0..d).map(|j| x[i * d + j] * (j as f64 - 1.5)).sum();
            u8::from(z + 1.5 * noise(i * 31 + 5) > 0.4)
        };
        let y = (0..n).map(bad).collect();
        (x, y)
    }

    #[test]
    fn signs_and_penalties_meet_the_conditions_of_an_optimum() {
        let (n, d) = (500, 5);
        let (x, y) = rows(n, d);
        let set = TrainingSet::from_slice(&x, d, &y).unwrap();
        let free = vec![Sign::Free; d];
        let plain = fit(&set, &FitOptions::default()).unwrap().model;
        let same = fit_constrained(&set, 1.0, 0.0, &free).unwrap();
        for (a, b) in same.coefficients.iter().zip(&plain.coefficients) {
            assert!((a - b).abs() < 1e-8);
        }
        // against the free optimum in columns 0 and 2, with it in 1 and 3
        let with = |j: usize| match plain.coefficients[j] > 0.0 {
            true => Sign::Positive,
            false => Sign::Negative,
        };
        let against = |j: usize| match plain.coefficients[j] > 0.0 {
            true => Sign::Negative,
            false => Sign::Positive,
        };
        let signs = [against(0), with(1), against(2), with(3), Sign::Free];
        for l1 in [0.0, 5.0, 20.0] {
            let got = fit_constrained(&set, 0.5, l1, &signs).unwrap();
            let mut params = got.coefficients.clone();
            params.push(got.intercept);
            let at = Parts::at(&set, &params).unwrap();
            assert!(at.gradient[d].abs() < 1e-6);
            assert!(params[..d].contains(&0.0), "{params:?}");
            assert!(params[..d].iter().any(|w| *w != 0.0), "{params:?}");
            for (j, sign) in signs.iter().enumerate() {
                let (w, slope) = (params[j], at.gradient[j] + 0.5 * params[j]);
                assert_eq!(sign.project(w), w);
                let (up, down) = (slope + l1 >= -1e-6, slope - l1 <= 1e-6);
                match (w == 0.0, sign) {
                    (false, _) => assert!((slope + l1 * w.signum()).abs() < 1e-6),
                    (true, Sign::Positive) => assert!(up),
                    (true, Sign::Negative) => assert!(down),
                    (true, Sign::Free) => assert!(up && down),
                }
            }
        }
        assert!(fit_constrained(&set, 1.0, -1.0, &free).is_err());
        assert!(fit_constrained(&set, 1.0, 1.0, &free[1..]).is_err());
    }
}
