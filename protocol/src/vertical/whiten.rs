//! Each owner rescales its own columns, in the clear, so that the shared system is well scaled.

use paripassu_crypto::{dense, fixed};

use super::{linalg, points};
use crate::abort::Abort;

/// An owner's whitened columns and the way back.
pub(super) struct Whitened {
    /// `Z = X T`, row-major.
    z: Vec<f64>,
    d: usize,
    /// Lower-triangular, `T = L⁻ᵀ`.
    l: Vec<f64>,
    /// `R = l2 TᵀT / N'`.
    ridge: Vec<f64>,
    unwhiten: Vec<f64>,
}

impl Whitened {
    /// Whitens `x: [rows, d]`; `penalty[j]` is the ridge on column j.
    pub(super) fn new(x: &[f64], rows: usize, d: usize, penalty: &[f64]) -> Result<Self, Abort> {
        let rows = rows.max(1);
        let n = rows.next_power_of_two() as f64;
        let mut a = linalg::gram(x, d);
        a.iter_mut().for_each(|a| *a /= 4.0 * n);
        for (j, p) in penalty.iter().enumerate() {
            a[j * d + j] += p / n;
        }
        let l = linalg::cholesky(&a, d).map_err(|j| {
            Abort::Input(format!(
                "design column {} is a linear combination of those before it, or not finite: \
                 remove it, or set model.l2 above 0",
                j + 1
            ))
        })?;
        let inverse = linalg::invert_lower(&l, d);
        // T = L^-T
        let unwhiten: Vec<f64> = (0..d * d).map(|at| inverse[at % d * d + at / d]).collect();
        let mut z = vec![0.0; x.len()];
        dense::product(x, d, &unwhiten, d, &mut z);
        // T'T = L^-1 L^-T and R = L^-1 diag(penalty / N') L^-T
        let mut ridge = vec![0.0; d * d];
        for i in 0..d {
            for j in 0..d {
                ridge[i * d + j] = (0..d)
                    .map(|k| inverse[i * d + k] * penalty[k] / n * inverse[j * d + k])
                    .sum();
            }
        }
        Ok(Self {
            z,
            d,
            l,
            ridge,
            unwhiten,
        })
    }

    /// All rows with `frac` fraction bits.
    pub(super) fn features(&self, frac: u32) -> Result<Vec<i32>, Abort> {
        fixed::encode_all_i32(&self.z, frac).map_err(|_| Abort::OutOfRange {
            step: "train/features".into(),
            problem:
                "a combination of this party's columns has too long a tail: winsorise the column \
                      with the longest one"
                    .into(),
        })
    }

    /// The ridge term's matrix.
    pub(super) fn ridge(&self) -> &[f64] {
        &self.ridge
    }

    /// T, row-major: coefficients are T u.
    pub(super) fn unwhiten(&self) -> &[f64] {
        &self.unwhiten
    }

    /// Weights of the whitened columns for coefficients of the standardised ones.
    pub(super) fn weights(&self, w: &[f64]) -> Vec<f64> {
        let d = self.d;
        // u = T^-1 w = L' w
        (0..d)
            .map(|j| (j..d).map(|i| self.l[i * d + j] * w[i]).sum())
            .collect()
    }

    /// Coefficients of the standardised columns for weights of the whitened ones.
    pub(super) fn coefficients(&self, mut u: Vec<f64>) -> Vec<f64> {
        linalg::solve_upper(&self.l, self.d, &mut u);
        u
    }
}

/// A small matrix in fixed point.
pub(super) fn encode_matrix(m: &[f64], frac: u32) -> Result<Vec<i32>, Abort> {
    m.iter()
        .map(|v| {
            fixed::encode_i32(*v, frac).map_err(|_| Abort::OutOfRange {
                step: "train/features".into(),
                problem: "a column hardly varies within the training rows: remove it or raise \
                          model.l2"
                    .into(),
            })
        })
        .collect()
}

/// A diagonal block of the ridge in the Hessian's point.
pub(super) fn ridge_words(ridge: &[f64]) -> Result<Vec<u64>, Abort> {
    ridge
        .iter()
        .map(|v| {
            fixed::encode(*v, points::HESSIAN).map_err(|_| Abort::OutOfRange {
                step: "train/features".into(),
                problem: "the ridge of a column is not finite: lower model.l2".into(),
            })
        })
        .collect()
}
