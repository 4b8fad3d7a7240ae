//! Sums of clipped gradients of single rows, in whole units: what noise for differential privacy is added to.

use ndarray::{Array2, Axis};

use super::{MlpError, Network, back, length, residuals};

/// Rows whose gradients are under way together.
const BATCH: usize = 256;

/// A sum over rows, in units of `clip / units` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clipped {
    /// By parameter.
    pub sum: Vec<i64>,
    /// Rows whose gradient was longer than allowed.
    pub clipped: usize,
}

/// The sum over `rows` of each row's gradient of its log loss, cut to length `clip`, counted in units of
/// `clip / units` towards 0: with or without any one row the sum differs by a vector of whole numbers of
/// length at most `units`, exactly.
///
/// # Errors
/// [`MlpError::Length`].
pub fn clipped_sum(
    network: &Network,
    params: &[f64],
    x: &Array2<f64>,
    y: &[u8],
    rows: &[usize],
    clip: f64,
    units: u32,
) -> Result<Clipped, MlpError> {
    length("parameters", network.parameters(), params.len())?;
    length("labels", x.nrows(), y.len())?;
    let mut out = Clipped {
        sum: vec![0; params.len()],
        clipped: 0,
    };
    let most = u128::from(units) * u128::from(units);
    let mut own = vec![0i64; params.len()];
    for chunk in rows.chunks(BATCH) {
        let part = x.select(Axis(0), chunk);
        let labels: Vec<u8> = chunk.iter().map(|r| y[*r]).collect();
        let (inputs, logits) = network.forward(params, part.view())?;
        let mut deltas = vec![residuals(&logits, &labels).1];
        for (layer, input) in network.layers().rev().zip(inputs.iter().rev()) {
            if layer.start > 0 {
                let (weights, _) = network.view(params, layer)?;
                let last = deltas.last().map(|d| back(d, weights, input));
                deltas.extend(last);
            }
        }
        deltas.reverse();
        for row in 0..chunk.len() {
            let square = |a: &Array2<f64>| a.row(row).iter().map(|v| v * v).sum::<f64>();
            let layers = inputs.iter().zip(&deltas);
            let norm = layers
                .map(|(a, d)| (square(a) + 1.0) * square(d))
                .sum::<f64>()
                .sqrt();
            if !norm.is_finite() {
                continue;
            }
            if norm > clip {
                out.clipped += 1;
            }
            // a little less than allowed, so that rounding of the norm does not matter
            let factor = f64::from(units) / clip
                * (clip / norm.max(f64::MIN_POSITIVE)).min(1.0)
                * (1.0 - 1e-9);
            let mut place = own.iter_mut();
            for (a, d) in inputs.iter().zip(&deltas) {
                let ones = a.row(row).iter().copied().chain([1.0]).collect::<Vec<_>>();
                for input in ones {
                    let scaled = input * factor;
                    for (v, o) in d.row(row).iter().zip(place.by_ref()) {
                        *o = (scaled * v) as i64;
                    }
                }
            }
            let length: u128 = own
                .iter()
                .map(|v| u128::from(v.unsigned_abs()) * u128::from(v.unsigned_abs()))
                .sum();
            // the bound is what privacy rests on: it holds whatever floating point did
            if length > most {
                continue;
            }
            out.sum.iter_mut().zip(&own).for_each(|(s, v)| *s += v);
        }
    }
    Ok(out)
}
