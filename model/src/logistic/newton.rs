//! Newton's method to convergence, with standard errors.

use super::cholesky::Cholesky;
use super::{LogisticError, LogisticModel, TrainingSet, kernels};
use crate::metrics::normal_two_sided;
use serde::{Deserialize, Serialize};

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitOptions {
    /// Weight of the penalty `0.5 l2 |w|^2`.
    pub l2: f64,
    /// Largest number of Newton steps.
    pub max_passes: usize,
    /// Largest gradient entry, per unit of total weight, at which the fit has converged.
    pub tolerance: f64,
}

impl Default for FitOptions {
    /// `l2` 1, 50 passes, 1e-10.
    fn default() -> Self {
        Self {
            l2: 1.0,
            max_passes: 50,
            tolerance: 1e-10,
        }
    }
}

/// One estimate with Wald's test of being 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Wald {
    /// The estimate.
    pub estimate: f64,
    /// Its standard error: root of the diagonal of the inverse (penalised) Hessian.
    pub se: f64,
    /// `estimate / se`.
    pub z: f64,
    /// Two-sided p.
    pub p: f64,
}

/// A converged fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The model.
    pub model: LogisticModel,
    /// Wald's test of the intercept.
    pub intercept: Wald,
    /// Wald's test of each coefficient.
    pub coefficients: Vec<Wald>,
    /// Newton steps made.
    pub passes: usize,
    /// The minimum: penalty and weighted log losses.
    pub objective: f64,
    /// Largest absolute entry of the gradient there.
    pub gradient_max: f64,
}

/// Objective, gradient and curvature at a point.
struct Point {
    params: Vec<f64>,
    objective: f64,
    gradient: Vec<f64>,
    curvature: Vec<f64>,
}

impl Point {
    fn at(rows: &TrainingSet<'_>, l2: f64, params: Vec<f64>) -> Self {
        let d = rows.columns();
        let (mut gradient, mut curvature) = (vec![0.0; d + 1], vec![0.0; rows.rows()]);
        let loss = kernels::gradient(rows.rows, &params, &mut gradient, &mut curvature);
        let mut squares = 0.0;
        for (g, w) in gradient.iter_mut().zip(&params).take(d) {
            *g += l2 * w;
            squares += w * w;
        }
        Self {
            params,
            objective: loss + 0.5 * l2 * squares,
            gradient,
            curvature,
        }
    }

    /// The factored Hessian here.
    fn hessian(&self, rows: &TrainingSet<'_>, l2: f64) -> Result<Cholesky, usize> {
        let width = rows.columns() + 1;
        let mut h = vec![0.0; width * width];
        kernels::gram(rows.rows, &self.curvature, rows.rows(), &mut h);
        for j in 0..width - 1 {
            h[j * width + j] += l2;
        }
        Cholesky::new(h, width)
    }
}

pub(super) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| v.abs().max(m))
}

pub(super) fn check_l2(l2: f64) -> Result<(), LogisticError> {
    if l2.is_finite() && l2 >= 0.0 {
        return Ok(());
    }
    Err(LogisticError::Setting {
        setting: "l2",
        expected: "a number of 0 or more",
        got: l2,
    })
}

/// Fits to convergence.
///
/// # Errors
/// [`LogisticError::OneClass`], [`LogisticError::Setting`], [`LogisticError::Singular`],
/// [`LogisticError::Separation`], [`LogisticError::NoConvergence`].
pub fn fit(rows: &TrainingSet<'_>, options: &FitOptions) -> Result<Fit, LogisticError> {
    check_l2(options.l2)?;
    if options.tolerance.is_nan() || options.tolerance <= 0.0 {
        let (setting, got) = ("tolerance", options.tolerance);
        return Err(LogisticError::Setting {
            setting,
            expected: "a number above 0",
            got,
        });
    }
    let total = rows.total_weight()?;
    let mut point = Point::at(rows, options.l2, vec![0.0; rows.columns() + 1]);
    for passes in 0..=options.max_passes {
        let factor = point.hessian(rows, options.l2).map_err(|column| {
            separation(rows, options, &point, passes).unwrap_or(LogisticError::Singular { column })
        })?;
        let mut step = point.gradient.clone();
        factor.solve(&mut step);
        // Where good and bad are separated the gradient vanishes while steps stay long: so both
        // must be short.
        let is_short = largest(&step) <= 1e-6 * (1.0 + largest(&point.params));
        if is_short && largest(&point.gradient) <= options.tolerance * total {
            return Ok(summary(point, &factor, passes));
        }
        if passes < options.max_passes {
            point = descend(rows, options.l2, point, &step);
        }
    }
    Err(
        separation(rows, options, &point, options.max_passes).unwrap_or(
            LogisticError::NoConvergence {
                passes: options.max_passes,
                gradient: largest(&point.gradient) / total,
                tolerance: options.tolerance,
            },
        ),
    )
}

/// The next point along `-step`, halving while the objective does not fall.
fn descend(rows: &TrainingSet<'_>, l2: f64, from: Point, step: &[f64]) -> Point {
    let slope = kernels::dot(&from.gradient, step);
    let mut length = 1.0;
    loop {
        let params = from
            .params
            .iter()
            .zip(step)
            .map(|(w, s)| w - length * s)
            .collect();
        let next = Point::at(rows, l2, params);
        let enough = from.objective - 1e-4 * length * slope;
        // Close to the optimum the fall is below rounding; a full step is right there.
        let is_level = (next.objective - from.objective).abs() <= 1e-13 * from.objective.abs();
        if next.objective <= enough || is_level || length < 1e-9 {
            return next;
        }
        length *= 0.5;
    }
}

/// The error to report if growing margins, without a penalty, explain the failure.
fn separation(
    rows: &TrainingSet<'_>,
    options: &FitOptions,
    point: &Point,
    passes: usize,
) -> Option<LogisticError> {
    let d = rows.columns();
    let mut z = vec![0.0; rows.rows()];
    kernels::margins(rows.rows.x, &point.params[..d], point.params[d], &mut z);
    let margin = largest(&z);
    let by_size = |a: &usize, b: &usize| point.params[*a].abs().total_cmp(&point.params[*b].abs());
    let column = (0..d).max_by(by_size)?;
    (options.l2 == 0.0 && margin > 12.0).then_some(LogisticError::Separation {
        column,
        passes,
        margin,
    })
}

fn summary(point: Point, factor: &Cholesky, passes: usize) -> Fit {
    let test = |(&estimate, variance): (&f64, f64)| {
        let se = variance.sqrt();
        Wald {
            estimate,
            se,
            z: estimate / se,
            p: normal_two_sided(estimate / se),
        }
    };
    let mut coefficients: Vec<Wald> = point
        .params
        .iter()
        .zip(factor.inverse_diagonal())
        .map(test)
        .collect();
    let d = coefficients.len() - 1;
    let intercept = coefficients.remove(d);
    Fit {
        model: LogisticModel {
            intercept: point.params[d],
            coefficients: point.params[..d].to_vec(),
        },
        intercept,
        coefficients,
        passes,
        objective: point.objective,
        gradient_max: largest(&point.gradient),
    }
}
