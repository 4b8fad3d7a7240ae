//! Where training begins: the label holder's fit of its own columns, made in the clear by itself.
//!
//! It enters as the label holder's own share of the weights. Nothing is sent; from a good start fewer
//! passes are needed, as many as the others' columns change.

use paripassu_model::logistic::{TrainingSet, newton_passes};

/// Newton steps: the start need not be exact.
const PASSES: usize = 6;
/// Rows that it is fitted to, the first of the aligned order, and of each step's Hessian.
const ROWS: usize = 32_768;
const HESSIAN_ROWS: usize = 16_384;
/// Largest score that the first range of the sigmoid is sure to hold.
const LARGEST: f64 = 12.0;

/// What the label holder has of each row besides its columns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Given<'a> {
    /// How much it counts; `None`: 1.
    pub(super) weights: Option<&'a [f64]>,
    /// Log-odds that its score begins with; `None`: 0.
    pub(super) offset: Option<&'a [f64]>,
}

/// Intercept and coefficients for row-major `x: [y.len(), cols]`; nothing where the fit does not go
/// well.
pub(super) fn fit(x: &[f64], y: &[u8], cols: usize, l2: f64, given: Given<'_>) -> Option<Vec<f64>> {
    let rows = y.len().min(ROWS);
    let mut set = TrainingSet::from_slice(&x[..rows * cols], cols, &y[..rows]).ok()?;
    if let Some(weights) = given.weights {
        set = set.with_weights(&weights[..rows]).ok()?;
    }
    if let Some(offset) = given.offset {
        set = set.with_offset(&offset[..rows]).ok()?;
    }
    let l2 = l2 * rows as f64 / y.len() as f64;
    let fit = newton_passes(&set, l2, PASSES, HESSIAN_ROWS).ok()?;
    let (intercept, w) = (fit.model.intercept, &fit.model.coefficients);
    let score = |i: usize| {
        let row = &x[i * cols..(i + 1) * cols];
        let offset = given.offset.map_or(0.0, |o| o[i]);
        row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + intercept + offset
    };
    // false for what is not a number, too
    let holds = (0..y.len()).all(|i| score(i).abs() <= LARGEST);
    let better = fit.passes.last()?.gradient_max < 0.1 * fit.passes.first()?.gradient_max;
    let all = std::iter::once(intercept).chain(w.iter().copied());
    (holds && better).then(|| all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_near_the_own_optimum_or_none() {
        // one column of eleven values; the share of bads rises with it
        let n = 1100;
        let column = |i: i32| f64::from(i % 11) / 3.0 - 1.7;
        let x: Vec<f64> = (0..n).map(column).collect();
        let y: Vec<u8> = (0..n)
            .map(|i| u8::from(i / 11 % 10 < (i % 11).clamp(1, 9)))
            .collect();
        let w = fit(&x, &y, 1, 1.0, Given::default()).unwrap();
        let gradient: f64 = x
            .iter()
            .zip(&y)
            .map(|(x, y)| (1.0 / (1.0 + (-w[0] - w[1] * x).exp()) - f64::from(*y)) * x)
            .sum::<f64>()
            + w[1];
        assert!(
            w[1] > 0.5 && gradient.abs() < 1e-3 * f64::from(n),
            "{w:?} {gradient}"
        );
        // one score beyond the first range
        let mut far = x;
        let bad = y.iter().position(|y| *y == 1).unwrap();
        far[bad] = 30.0;
        assert!(fit(&far, &y, 1, 1.0, Given::default()).is_none());
    }
}
