//! The first point, from the banks' own models.

use std::sync::Arc;

use paripassu_model::logistic::{self, FitOptions, Parts, Penalty, triangle};

use super::{NewtonSpec, Rows, Walk, encode_slopes};
use crate::{
    abort::Abort,
    arith::Openings,
    channel::Channel,
    compute::offload,
    horizontal::{SumOf, fixed::Point, secagg::Client, sum},
};

/// The ridge of a bank's own model, over the square of its rows of the rarer class for each column: with fewer of them
/// than columns a model of its own says little, and far from the optimum.
const RIDGE: f64 = 10.0;

/// Moves to the mean of the banks' own models weighted by their Hessians: `(Σ H_b + penalty)⁻¹ Σ H_b w_b`.
///
/// # Leakage
/// Both sums, to all banks: declared as [`SumOf::Start`].
///
/// # Errors
/// Those of sums.
pub(super) async fn own_models<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    (spec, penalty): (&NewtonSpec, &Penalty),
    rows: &Arc<Rows>,
    point: Point,
    walk: &mut Walk,
) -> Result<(), Abort> {
    let width = walk.params.len();
    let (data, l2, own_intercepts) = (rows.clone(), spec.l2, spec.own_intercepts);
    let own = offload(move || of_own_rows(&data, l2, own_intercepts)).await;
    let nothing = || vec![0; width + width * (width + 1) / 2];
    // a bank without a model of its own, or with one out of all proportion, adds nothing
    let values = own.and_then(|(parts, home)| {
        let values = encode_slopes(&parts, point, client.clients(), rows).ok()?;
        walk.home = home;
        Some(values)
    });
    let values = values.unwrap_or_else(nothing);
    let got = sum(client, ledger, SumOf::Start, "start", values).await?;
    walk.fewest = walk.fewest.min(got.members.count());
    let decoded: Vec<f64> = got.words.iter().map(|w| point.decode(*w)).collect();
    let (product, hessian) = decoded.split_at(width.min(decoded.len()));
    let model = Parts {
        loss: 0.0,
        gradient: product.iter().map(|p| -p).collect(),
        hessian: hessian.to_vec(),
    };
    // where the sums do not say, the fit begins at 0
    if let Ok(found) = penalty.step(&model, &walk.params)
        && found.iter().all(|w| w.is_finite())
    {
        walk.params = found;
    }
    Ok(())
}

/// Hessian at this bank's own model, in the place of the gradient its product with the coefficients, and the bank's own
/// intercept.
fn of_own_rows(rows: &Rows, l2: f64, own_intercepts: bool) -> Option<(Parts, f64)> {
    let set = rows.set().ok()?;
    let bads = rows.labels.iter().filter(|y| **y == 1).count();
    let rarer = bads.min(rows.labels.len() - bads);
    let for_each = rarer as f64 / rows.columns.len().max(1) as f64;
    let share = rows.labels.len() as f64 / rows.all_rows.max(1) as f64;
    let options = FitOptions {
        l2: l2 * share + RIDGE / (for_each * for_each),
        tolerance: 1e-6,
        ..FitOptions::default()
    };
    let model = logistic::fit(&set, &options).ok()?.model;
    let mut params = model.coefficients;
    let (mut parts, home) = match own_intercepts {
        true => Parts::profiled(&set, &params, model.intercept).ok()?,
        false => {
            params.push(model.intercept);
            (Parts::at(&set, &params).ok()?, 0.0)
        }
    };
    parts.gradient = times(&parts, &params);
    Some((parts, home))
}

/// The Hessian times a vector.
fn times(parts: &Parts, by: &[f64]) -> Vec<f64> {
    let at = |i: usize, j: usize| parts.hessian[triangle(i.max(j), i.min(j))];
    let row = |i: usize| by.iter().enumerate().map(|(j, w)| at(i, j) * w).sum();
    (0..by.len()).map(row).collect()
}
