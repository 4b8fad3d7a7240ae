//! A fixed number of Newton steps, timed: the plain counterpart of the joint solver.

use super::cholesky::Cholesky;
use super::newton::{check_l2, largest};
use super::{LogisticError, LogisticModel, TrainingSet, kernels};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// One pass over the rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NewtonPass {
    /// Time for the gradient.
    pub gradient_time: Duration,
    /// Time for the Hessian, its factor and the step.
    pub hessian_time: Duration,
    /// Largest absolute gradient entry before the step.
    pub gradient_max: f64,
}

/// What [`newton_passes`] did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewtonPasses {
    /// The model after the last pass.
    pub model: LogisticModel,
    /// The passes.
    pub passes: Vec<NewtonPass>,
}

impl NewtonPasses {
    /// Time of all passes.
    pub fn total_time(&self) -> Duration {
        self.passes
            .iter()
            .map(|p| p.gradient_time + p.hessian_time)
            .sum()
    }

    /// The part of that time that all gradients and only the first `hessians` Hessians took.
    pub fn share_of_hessians(&self, hessians: usize) -> f64 {
        let passes = self.passes.iter().enumerate();
        let kept: f64 = passes
            .map(|(i, p)| {
                let h = if i < hessians {
                    p.hessian_time
                } else {
                    Duration::ZERO
                };
                (p.gradient_time + h).as_secs_f64()
            })
            .sum();
        kept / self.total_time().as_secs_f64()
    }
}

/// Makes exactly `passes` full Newton steps from 0, on one thread. The Hessian is taken on
/// `hessian_rows` rows spread evenly over all and scaled up; all rows where it is 0 or too large.
///
/// # Errors
/// [`LogisticError::OneClass`], [`LogisticError::Setting`], [`LogisticError::Singular`].
pub fn newton_passes(
    rows: &TrainingSet<'_>,
    l2: f64,
    passes: usize,
    hessian_rows: usize,
) -> Result<NewtonPasses, LogisticError> {
    check_l2(l2)?;
    rows.total_weight()?;
    let (n, d) = (rows.rows(), rows.columns());
    let taken = if hessian_rows == 0 {
        n
    } else {
        hessian_rows.min(n)
    };
    let scale = n as f64 / taken as f64;
    let width = d + 1;
    let mut params = vec![0.0; width];
    let (mut gradient, mut curvature) = (vec![0.0; width], vec![0.0; n]);
    let mut done = Vec::with_capacity(passes);
    for _ in 0..passes {
        let start = Instant::now();
        kernels::gradient(rows.rows, &params, &mut gradient, &mut curvature);
        for (g, w) in gradient.iter_mut().zip(&params).take(d) {
            *g += l2 * w;
        }
        let gradient_max = largest(&gradient);
        let gradient_time = start.elapsed();
        let start = Instant::now();
        let mut h = vec![0.0; width * width];
        kernels::gram(rows.rows, &curvature, taken, &mut h);
        for (j, line) in h.chunks_exact_mut(width).enumerate() {
            line.iter_mut().for_each(|v| *v *= scale);
            if j < d {
                line[j] += l2;
            }
        }
        let factor =
            Cholesky::new(h, width).map_err(|column| LogisticError::Singular { column })?;
        factor.solve(&mut gradient);
        for (w, s) in params.iter_mut().zip(&gradient) {
            *w -= s;
        }
        let hessian_time = start.elapsed();
        done.push(NewtonPass {
            gradient_time,
            hessian_time,
            gradient_max,
        });
    }
    let intercept = params.pop().unwrap_or(0.0);
    Ok(NewtonPasses {
        model: LogisticModel {
            intercept,
            coefficients: params,
        },
        passes: done,
    })
}
