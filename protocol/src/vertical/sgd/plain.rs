//! The same training in the clear, with the sigmoid itself: what the joint one is compared with.

use super::{course::SgdSpec, kernel, ridge::damped};
use crate::{
    abort::Abort,
    correlation::descent::first_row,
    vertical::{
        network::public::Public,
        whiten::{Design, Whitened},
    },
};

/// The order in which rows are taken, from the seed alone.
pub fn order(seed: u64, rows: usize) -> Vec<usize> {
    Public::new(seed).rows(rows)
}

/// `T T'` of a party's columns `x: [rows, cols]`, row-major; of party 0's with the intercept before them.
///
/// # Errors
/// If the columns cannot be whitened.
pub fn scale(
    x: &[f64],
    (rows, cols): (usize, usize),
    intercept: bool,
    l2: f64,
) -> Result<Vec<f64>, Abort> {
    let design = Design {
        x: x.to_vec(),
        rows,
        cols,
        intercept,
    };
    let d = design.width();
    let mut penalty = vec![l2; d];
    if intercept {
        penalty[0] = 0.0;
    }
    let mine = Whitened::new(&design, &penalty, 0.0)?;
    let t = mine.unwhiten();
    let entry = |at: usize| {
        let (i, j) = (at / d, at % d);
        (0..d).map(|k| t[i * d + k] * t[j * d + k]).sum()
    };
    Ok((0..d * d).map(entry).collect())
}

/// Coefficients to begin with: none, and the intercept, last, that gives the share of bads.
pub fn start(d: usize, y: &[u8]) -> Vec<f64> {
    let mut w = vec![0.0; d + 1];
    w[d] = log_odds(y);
    w
}

/// Log-odds of the share of bads, of which there are some and not all.
pub(super) fn log_odds(y: &[u8]) -> f64 {
    let bads = y.iter().filter(|y| **y == 1).count() as f64;
    (bads / (y.len() as f64 - bads)).ln()
}

/// For columns of all parties, row-major `[y.len(), d]` with rows in the [`order`] of training: coefficients, and the
/// intercept last. `scales[p]` is party p's [`scale`]; `start` what it begins with.
pub fn train(
    spec: &SgdSpec,
    (x, y): (&[f64], &[u8]),
    scales: &[Vec<f64>],
    start: &[f64],
) -> Vec<f64> {
    let rows = y.len();
    let Some(d) = start.len().checked_sub(1) else {
        return Vec::new();
    };
    let batches = spec.batches(rows);
    let whole = rows.max(1).next_power_of_two() as f64;
    let kept = spec.kept() as f64 / 256.0;
    // in the place of T R (I + c R)^-1 T^-1, with T R T^-1 = l2 / N' T T' but for the intercept
    let ridges: Vec<Vec<f64>> = scales
        .iter()
        .enumerate()
        .map(|(p, scale)| {
            let wide = scale.len().isqrt();
            let intercept = |at: usize| p == 0 && at.is_multiple_of(wide);
            let entry = |(at, s): (usize, &f64)| match intercept(at) {
                true => 0.0,
                false => s * spec.l2 / whole,
            };
            let ridge: Vec<f64> = scale.iter().enumerate().map(entry).collect();
            damped(&ridge, wide, spec.decay(0, batches, scales.len()))
        })
        .collect();
    let (mut w, mut step) = (start.to_vec(), vec![0.0; d + 1]);
    for e in 0..spec.epochs {
        // as an integer times a power of two, to a thousandth
        let rate = spec.rate_of(e) * rows as f64 / whole / scales.len() as f64;
        let by = rate * batches as f64 / rows as f64;
        let mut take = |w: &mut [f64], g: &[f64]| {
            for ((w, s), g) in w.iter_mut().zip(&mut step).zip(scaled(scales, g)) {
                *s = kept * *s + g;
                *w -= by * *s;
            }
        };
        // each gradient but the first is made at weights that lack the one before
        let mut last: Option<Vec<f64>> = None;
        for b in 0..batches {
            let (at, to) = (first_row(rows, batches, b), first_row(rows, batches, b + 1));
            let mut g = vec![0.0; d + 1];
            kernel::batch(&x[at * d..to * d], &y[at..to], &w, &mut g);
            if let Some(g) = last.replace(g) {
                take(&mut w, &g);
            }
        }
        if let Some(g) = last {
            take(&mut w, &g);
        }
        let by = spec.decay(e, batches, scales.len());
        let taken = scaled(&ridges, &w);
        for (w, r) in w.iter_mut().zip(taken) {
            *w -= by * r;
        }
    }
    w
}

/// Each party's part by its matrix.
fn scaled(scales: &[Vec<f64>], g: &[f64]) -> Vec<f64> {
    let d = g.len() - 1;
    let mut out = vec![0.0; d + 1];
    // party 0's intercept is the last entry
    let place = |p: usize, first: usize, j: usize| match (p, j) {
        (0, 0) => d,
        (0, j) => j - 1,
        (_, j) => first + j,
    };
    let mut first = 0;
    for (p, m) in scales.iter().enumerate() {
        let wide = m.len().isqrt();
        for i in 0..wide {
            for j in 0..wide {
                out[place(p, first, i)] += m[i * wide + j] * g[place(p, first, j)];
            }
        }
        first += wide - usize::from(p == 0);
    }
    out
}
