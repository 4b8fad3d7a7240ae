//! Each owner rescales its own columns, in the clear, so that the shared system is well scaled.

use paripassu_crypto::{dense, fixed};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{linalg, points};
use crate::abort::Abort;

/// Rows handled at a time: a block of them stays in the cache.
const BLOCK: usize = 2048;

/// An owner's standardised columns, the intercept before them where it is its to bring.
pub(super) struct Design {
    /// Row-major `[rows, cols]`.
    pub(super) x: Vec<f64>,
    pub(super) cols: usize,
    pub(super) rows: usize,
    pub(super) intercept: bool,
}

impl Design {
    /// Columns, the intercept included.
    pub(super) fn width(&self) -> usize {
        self.cols + usize::from(self.intercept)
    }

    /// Rows from `first` on, at most [`BLOCK`], row-major with the intercept.
    fn block(&self, first: usize) -> Vec<f64> {
        let last = self.rows.min(first + BLOCK);
        let x = &self.x[first * self.cols..last * self.cols];
        if !self.intercept {
            return x.to_vec();
        }
        let mut out = Vec::with_capacity((last - first) * self.width());
        for row in 0..last - first {
            out.push(1.0);
            out.extend_from_slice(&x[row * self.cols..][..self.cols]);
        }
        out
    }

    /// `Xᵀ X`.
    pub(super) fn gram(&self) -> Vec<f64> {
        let d = self.width();
        let zeros = || vec![0.0; d * d];
        (0..self.rows.div_ceil(BLOCK))
            .into_par_iter()
            .fold(zeros, |mut g, b| {
                let x = self.block(b * BLOCK);
                dense::symmetric_product(&x, d, &x, &mut g);
                g
            })
            .reduce(zeros, |mut a, b| {
                a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
                a
            })
    }
}

/// How an owner's columns are whitened, and the way back.
pub(super) struct Whitened {
    d: usize,
    /// Lower-triangular, `T = L⁻ᵀ`.
    l: Vec<f64>,
    /// `R = l2 TᵀT / N'`.
    ridge: Vec<f64>,
    /// `pull TᵀT` without the intercept.
    pull: Vec<f64>,
    unwhiten: Vec<f64>,
}

impl Whitened {
    /// For these columns; `penalty[j]` is the ridge on column j, `pull` what is added to it times N' for all but the
    /// intercept where a penalty or a sign holds columns ([`proximal`](super::proximal)).
    pub(super) fn new(x: &Design, penalty: &[f64], pull: f64) -> Result<Self, Abort> {
        let (d, n) = (x.width(), x.rows.max(1).next_power_of_two() as f64);
        let mut a = x.gram();
        a.iter_mut().for_each(|a| *a /= 4.0 * n);
        let intercept = usize::from(x.intercept);
        let pulls: Vec<f64> = (0..d)
            .map(|j| if j < intercept { 0.0 } else { pull })
            .collect();
        for (j, (p, pull)) in penalty.iter().zip(&pulls).enumerate() {
            a[j * d + j] += p / n + pull;
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
        // T' diag(v) T = L^-1 diag(v) L^-T
        let squares = |v: &[f64]| {
            let mut out = vec![0.0; d * d];
            for (at, out) in out.iter_mut().enumerate() {
                let (i, j) = (at / d, at % d);
                *out = (0..d)
                    .map(|k| inverse[i * d + k] * v[k] * inverse[j * d + k])
                    .sum();
            }
            out
        };
        let ridge = squares(&penalty.iter().map(|p| p / n).collect::<Vec<_>>());
        let pull = squares(&pulls);
        Ok(Self {
            d,
            l,
            ridge,
            pull,
            unwhiten,
        })
    }

    /// For columns that are scaled elsewhere: T is c on its diagonal, and the ridge is not its owner's to bring.
    pub(super) fn scaled(d: usize, c: f64) -> Self {
        let diagonal = |v: f64| {
            (0..d * d)
                .map(|at| if at / d == at % d { v } else { 0.0 })
                .collect()
        };
        Self {
            d,
            l: diagonal(1.0 / c),
            ridge: vec![0.0; d * d],
            pull: vec![0.0; d * d],
            unwhiten: diagonal(c),
        }
    }

    /// `Z = X T` with `frac` fraction bits, row-major.
    pub(super) fn features(&self, x: &Design, frac: u32) -> Result<Vec<i32>, Abort> {
        let d = self.d;
        let mut out = vec![0; x.rows * d];
        out.par_chunks_mut((BLOCK * d).max(1))
            .enumerate()
            .try_for_each(|(b, out)| {
                let x = Zeroizing::new(x.block(b * BLOCK));
                let mut z = Zeroizing::new(vec![0.0; out.len()]);
                dense::product(&x, d, &self.unwhiten, d, &mut z);
                fixed::encode_all_i32(&z, frac, out)
            })
            .map_err(|_| Abort::OutOfRange {
                step: "train/features".into(),
                problem:
                    "a combination of this party's columns has too long a tail: winsorise the \
                          column with the longest one"
                        .into(),
            })?;
        Ok(out)
    }

    /// The ridge term's matrix.
    pub(super) fn ridge(&self) -> &[f64] {
        &self.ridge
    }

    /// What keeps coefficients near the values that a penalty or a sign allows, in the Hessian.
    pub(super) fn pull(&self) -> &[f64] {
        &self.pull
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
