//! The sums over rows that a Newton step needs, and the step: for fits whose sums come from several banks.

use super::cholesky::Cholesky;
use super::{LogisticError, TrainingSet, kernels};

/// Sums over rows at a point: each adds up over sets of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Weighted log losses.
    pub loss: f64,
    /// Their gradient, the intercept's entry last.
    pub gradient: Vec<f64>,
    /// Their Hessian, the intercept last: its lower triangle, row after row.
    pub hessian: Vec<f64>,
}

/// Where entry (i, j), j ≤ i, of a lower triangle is.
pub fn triangle(i: usize, j: usize) -> usize {
    i * (i + 1) / 2 + j
}

impl Parts {
    /// The sums over `rows` with these coefficients, the intercept last.
    ///
    /// # Errors
    /// [`LogisticError::Length`].
    pub fn at(rows: &TrainingSet<'_>, params: &[f64]) -> Result<Self, LogisticError> {
        let width = rows.columns() + 1;
        super::length("coefficients", width, params.len())?;
        let (mut gradient, mut curvature) = (vec![0.0; width], vec![0.0; rows.rows()]);
        let loss = kernels::gradient(rows.rows, params, &mut gradient, &mut curvature);
        let mut square = vec![0.0; width * width];
        kernels::gram(rows.rows, &curvature, rows.rows(), &mut square);
        let lower = square.chunks_exact(width).enumerate();
        let hessian = lower.flat_map(|(i, row)| row[..=i].to_vec()).collect();
        Ok(Self {
            loss,
            gradient,
            hessian,
        })
    }

    /// The sums with the intercept set to its best value for these rows alone, and that value: gradient and
    /// Hessian in the other coefficients, of the loss minimised over the intercept (profiled).
    ///
    /// # Errors
    /// [`LogisticError::OneClass`], where that value is infinite; [`LogisticError::Length`].
    pub fn profiled(
        rows: &TrainingSet<'_>,
        coefficients: &[f64],
        start: f64,
    ) -> Result<(Self, f64), LogisticError> {
        rows.total_weight()?;
        let mut params = coefficients.to_vec();
        params.push(start);
        let d = coefficients.len();
        let mut at = Self::at(rows, &params)?;
        for _ in 0..100 {
            let (slope, curve) = (at.gradient[d], at.hessian[triangle(d, d)]);
            let step = (slope / curve.max(f64::MIN_POSITIVE)).clamp(-2.0, 2.0);
            if step.abs() < 1e-12 * (1.0 + params[d].abs()) {
                break;
            }
            params[d] -= step;
            at = Self::at(rows, &params)?;
        }
        let curve = at.hessian[triangle(d, d)];
        let cross: Vec<f64> = (0..d).map(|j| at.hessian[triangle(d, j)]).collect();
        at.hessian.truncate(triangle(d, 0));
        at.gradient.truncate(d);
        for i in 0..d {
            for j in 0..=i {
                at.hessian[triangle(i, j)] -= cross[i] * cross[j] / curve;
            }
        }
        Ok((at, params[d]))
    }
}

/// The step to the minimum of a quadratic model with this Hessian and slope at `params`, by coordinate descent:
/// `prox` has the best value of a coefficient from what it would be without penalty, and its curvature.
pub(super) fn descend(
    square: &[f64],
    slope: &[f64],
    params: &[f64],
    prox: impl Fn(usize, f64, f64) -> f64,
) -> Vec<f64> {
    let width = slope.len();
    let mut step = vec![0.0; width];
    // slope of the quadratic model at the present step
    let mut now = slope.to_vec();
    for _ in 0..10_000 {
        let mut largest = 0.0f64;
        for j in 0..width {
            let curve = square[j * width + j].max(f64::MIN_POSITIVE);
            let w = params[j] + step[j];
            let change = prox(j, w - now[j] / curve, curve) - w;
            if change != 0.0 {
                step[j] += change;
                let row = &square[j * width..(j + 1) * width];
                now.iter_mut().zip(row).for_each(|(n, h)| *n += h * change);
                largest = largest.max(change.abs());
            }
        }
        if largest < 1e-13 {
            break;
        }
    }
    step
}

/// A penalty on coefficients; the intercept, where there is one, stays free.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Penalty {
    /// Weight of `0.5 |w|^2`.
    pub l2: f64,
    /// Weight of the sum of magnitudes.
    pub l1: f64,
    /// How many coefficients it is on: all but the last where there is an intercept.
    pub columns: usize,
}

impl Penalty {
    /// Its value.
    pub fn value(&self, params: &[f64]) -> f64 {
        let on = params.iter().take(self.columns);
        on.map(|w| 0.5 * self.l2 * w * w + self.l1 * w.abs()).sum()
    }

    fn full(&self, parts: &Parts) -> Vec<f64> {
        let width = parts.gradient.len();
        let mut square = vec![0.0; width * width];
        for i in 0..width {
            for j in 0..=i {
                square[i * width + j] = parts.hessian[triangle(i, j)];
                square[j * width + i] = square[i * width + j];
            }
            if i < self.columns {
                square[i * width + i] += self.l2;
            }
        }
        square
    }

    /// The Newton step: to be added to `params` it is minus the inverse Hessian times the gradient, or with
    /// `l1` the minimum of the quadratic model plus both penalties, by coordinate descent.
    ///
    /// # Errors
    /// [`LogisticError::Singular`].
    pub fn step(&self, parts: &Parts, params: &[f64]) -> Result<Vec<f64>, LogisticError> {
        let width = parts.gradient.len();
        super::length("coefficients", width, params.len())?;
        let square = self.full(parts);
        let mut slope = parts.gradient.clone();
        for (g, w) in slope.iter_mut().zip(params).take(self.columns) {
            *g += self.l2 * w;
        }
        if self.l1 > 0.0 {
            let shrunk = |j: usize, free: f64, curve: f64| match j < self.columns {
                true => free.signum() * (free.abs() - self.l1 / curve).max(0.0),
                false => free,
            };
            return Ok(descend(&square, &slope, params, shrunk));
        }
        let factor =
            Cholesky::new(square, width).map_err(|column| LogisticError::Singular { column })?;
        factor.solve(&mut slope);
        Ok(slope.iter().map(|s| -s).collect())
    }

    /// First and second derivative of the objective along a direction, at `params`. Without `l1` only.
    ///
    /// # Errors
    /// Another width.
    pub fn along(
        &self,
        parts: &Parts,
        params: &[f64],
        direction: &[f64],
    ) -> Result<(f64, f64), LogisticError> {
        let width = parts.gradient.len();
        super::length("coefficients", width, params.len())?;
        super::length("direction", width, direction.len())?;
        let (mut slope, mut curve) = (0.0, 0.0);
        for (i, d) in direction.iter().enumerate() {
            let ridge = if i < self.columns { self.l2 } else { 0.0 };
            slope += d * (parts.gradient[i] + ridge * params[i]);
            curve += d * d * (parts.hessian[triangle(i, i)] + ridge);
            for (j, other) in direction.iter().enumerate().take(i) {
                curve += 2.0 * d * other * parts.hessian[triangle(i, j)];
            }
        }
        Ok((slope, curve))
    }

    /// Standard errors: roots of the diagonal of the inverse penalised Hessian. Without `l1` only.
    ///
    /// # Errors
    /// [`LogisticError::Singular`].
    pub fn standard_errors(&self, parts: &Parts) -> Result<Vec<f64>, LogisticError> {
        let factor = Cholesky::new(self.full(parts), parts.gradient.len())
            .map_err(|column| LogisticError::Singular { column })?;
        Ok(factor.inverse_diagonal().iter().map(|v| v.sqrt()).collect())
    }

    /// The penalised Hessian's entry of coefficient `at`, and what is left of it beside all others: 0 or less, to rounding, of a
    /// combination of these. Without `l1` only.
    ///
    /// # Errors
    /// [`LogisticError::Singular`], where the others are combinations of one another.
    pub fn beside(&self, parts: &Parts, at: usize) -> Result<(f64, f64), LogisticError> {
        let width = parts.gradient.len();
        let square = self.full(parts);
        let others: Vec<usize> = (0..width).filter(|i| *i != at).collect();
        let mut without = Vec::with_capacity(others.len() * others.len());
        for i in &others {
            without.extend(others.iter().map(|j| square[i * width + j]));
        }
        let factor = Cholesky::new(without, others.len())
            .map_err(|column| LogisticError::Singular { column })?;
        let row: Vec<f64> = others.iter().map(|j| square[at * width + j]).collect();
        let mut solved = row.clone();
        factor.solve(&mut solved);
        let own = square[at * width + at];
        let explained: f64 = row.iter().zip(&solved).map(|(r, s)| r * s).sum();
        Ok((own, own - explained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logistic::{FitOptions, fit};

    fn rows(n: usize, d: usize) -> (Vec<f64>, Vec<u8>) {
        let noise = |k: usize| ((k * 2_654_435_761) % 1009) as f64 / 504.5 - 1.0;
        let x: Vec<f64> = (0..n * d).map(|i| noise(i * 7 + 13)).collect();
        let bad = |i: usize| {
            let z: f64 = (0..d).map(|j| x[i * d + j] * (j as f64 - 1.0)).sum();
            u8::from(z + 1.5 * noise(i * 31 + 5) > 0.4)
        };
        let y = (0..n).map(bad).collect();
        (x, y)
    }

    fn descend(sets: &[TrainingSet<'_>], penalty: Penalty, width: usize) -> Vec<f64> {
        let mut params = vec![0.0; width];
        for _ in 0..30 {
            let mut sum: Option<Parts> = None;
            for set in sets {
                let own = match width == set.columns() {
                    true => Parts::profiled(set, &params, 0.0).unwrap().0,
                    false => Parts::at(set, &params).unwrap(),
                };
                sum = Some(match sum {
                    None => own,
                    Some(s) => Parts {
                        loss: s.loss + own.loss,
                        gradient: s
                            .gradient
                            .iter()
                            .zip(&own.gradient)
                            .map(|(a, b)| a + b)
                            .collect(),
                        hessian: s
                            .hessian
                            .iter()
                            .zip(&own.hessian)
                            .map(|(a, b)| a + b)
                            .collect(),
                    },
                });
            }
            let step = penalty.step(&sum.unwrap(), &params).unwrap();
            params.iter_mut().zip(step).for_each(|(w, s)| *w += s);
        }
        params
    }

    #[test]
    fn derivatives_along_a_line_are_those_of_differences() {
        let (n, d) = (200, 3);
        let (x, y) = rows(n, d);
        let set = TrainingSet::from_slice(&x, d, &y).unwrap();
        let penalty = Penalty {
            l2: 3.0,
            l1: 0.0,
            columns: d,
        };
        let (here, line) = ([0.3, -0.2, 0.1, 0.05], [0.5, 1.0, -0.7, 0.2]);
        let value = |t: f64| {
            let at: Vec<f64> = here.iter().zip(line).map(|(w, s)| w + t * s).collect();
            Parts::at(&set, &at).unwrap().loss + penalty.value(&at)
        };
        let parts = Parts::at(&set, &here).unwrap();
        let (slope, curve) = penalty.along(&parts, &here, &line).unwrap();
        let h = 1e-3;
        let (low, mid, high) = (value(-h), value(0.0), value(h));
        assert!((slope - (high - low) / (2.0 * h)).abs() < 1e-4 * slope.abs());
        assert!((curve - (high - 2.0 * mid + low) / (h * h)).abs() < 1e-4 * curve);
        assert!(penalty.along(&parts, &here, &line[1..]).is_err());
    }

    #[test]
    fn sums_over_parts_of_the_rows_land_where_the_fit_on_all_does() {
        let (n, d) = (600, 4);
        let (x, y) = rows(n, d);
        let all = TrainingSet::from_slice(&x, d, &y).unwrap();
        let whole = fit(&all, &FitOptions::default()).unwrap();
        let cut = 150;
        let sets = [
            TrainingSet::from_slice(&x[..cut * d], d, &y[..cut]).unwrap(),
            TrainingSet::from_slice(&x[cut * d..], d, &y[cut..]).unwrap(),
        ];
        let penalty = Penalty {
            l2: 1.0,
            l1: 0.0,
            columns: d,
        };
        let got = descend(&sets, penalty, d + 1);
        let want = whole
            .model
            .coefficients
            .iter()
            .chain([&whole.model.intercept]);
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-9));
        let at = Parts::at(&all, &got).unwrap();
        let errors = penalty.standard_errors(&at).unwrap();
        let known = whole.coefficients.iter().chain([&whole.intercept]);
        assert!(
            errors
                .iter()
                .zip(known)
                .all(|(a, b)| (a - b.se).abs() < 1e-9)
        );
    }

    #[test]
    fn a_profiled_intercept_equals_one_column_for_each_bank() {
        let (n, d, cut) = (600, 3, 200);
        let (x, mut y) = rows(n, d);
        // the first bank's book is worse
        (0..cut).filter(|i| i % 3 == 0).for_each(|i| y[i] = 1);
        let sets = [
            TrainingSet::from_slice(&x[..cut * d], d, &y[..cut]).unwrap(),
            TrainingSet::from_slice(&x[cut * d..], d, &y[cut..]).unwrap(),
        ];
        let penalty = Penalty {
            l2: 0.5,
            l1: 0.0,
            columns: d,
        };
        let got = descend(&sets, penalty, d);
        // the same with an indicator of the first bank beside the intercept, not penalised
        let wide: Vec<f64> = (0..n)
            .flat_map(|i| {
                let own = x[i * d..(i + 1) * d].to_vec();
                own.into_iter().chain([f64::from(u8::from(i < cut))])
            })
            .collect();
        let all = TrainingSet::from_slice(&wide, d + 1, &y).unwrap();
        let want = descend(&[all], penalty, d + 2);
        assert!(
            got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-9),
            "{got:?} {want:?}"
        );
        let intercept = Parts::profiled(&sets[0], &got, 0.0).unwrap().1;
        assert!((intercept - want[d] - want[d + 1]).abs() < 1e-8);
    }

    #[test]
    fn l1_meets_its_optimality_conditions() {
        let (n, d) = (400, 5);
        let (x, y) = rows(n, d);
        let set = TrainingSet::from_slice(&x, d, &y).unwrap();
        let penalty = Penalty {
            l2: 0.3,
            l1: 25.0,
            columns: d,
        };
        let got = descend(&[set], penalty, d + 1);
        let at = Parts::at(&set, &got).unwrap();
        assert!(got[..d].contains(&0.0), "{got:?}");
        assert!(got[..d].iter().any(|w| *w != 0.0), "{got:?}");
        for (g, w) in at.gradient.iter().zip(&got).take(d) {
            let slope = g + 0.3 * w;
            match *w == 0.0 {
                true => assert!(slope.abs() <= 25.0 + 1e-6),
                false => assert!((slope + 25.0 * w.signum()).abs() < 1e-6),
            }
        }
        assert!(at.gradient[d].abs() < 1e-6);
    }

    #[test]
    fn one_class_has_no_intercept_of_its_own() {
        let set = TrainingSet::from_slice(&[1.0, 2.0], 1, &[0, 0]).unwrap();
        assert!(Parts::profiled(&set, &[0.1], 0.0).is_err());
    }
}
