//! The plaintext twin of a fit by mini-batches: the same descent, with the sigmoid itself.

use ndarray::{Array2, s};
use paripassu_job::Spec;
use paripassu_model::logistic::LogisticModel;
use paripassu_protocol::vertical::sgd::plain;

use crate::failure::Failure;

/// Fits on all parties' design columns side by side, of so many each.
pub(super) fn fit(
    spec: &Spec,
    widths: &[usize],
    x: &Array2<f64>,
    y: &[u8],
) -> Result<LogisticModel, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::failed(format!("the plaintext twin: {e}"));
    let asked = paripassu_party::sgd_spec(spec).map_err(|e| wrong(&e))?;
    let (rows, d) = x.dim();
    let mut first = 0;
    let mut scales = Vec::with_capacity(widths.len());
    for (party, width) in widths.iter().enumerate() {
        let own: Vec<f64> = x
            .slice(s![.., first..first + width])
            .iter()
            .copied()
            .collect();
        let scale = plain::scale(&own, (rows, *width), party == 0, asked.l2);
        scales.push(scale.map_err(|e| wrong(&e))?);
        first += width;
    }
    let order = plain::order(asked.seed, rows);
    let sorted: Vec<f64> = order
        .iter()
        .flat_map(|row| x.row(*row).iter().copied().collect::<Vec<_>>())
        .collect();
    let labels: Vec<u8> = order.iter().map(|row| y[*row]).collect();
    let start = plain::start(d, &labels);
    let mut coefficients = plain::train(&asked, (&sorted, &labels), &scales, &start);
    let intercept = coefficients.pop().unwrap_or_default();
    Ok(LogisticModel {
        intercept,
        coefficients,
    })
}
