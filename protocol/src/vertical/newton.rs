//! Newton's step on shares: Hessian, its inverse, and the direction.

use paripassu_crypto::{fixed, share::Shares};

use super::points;
use crate::{
    abort::Abort,
    arith::{Engine, Operand, OwnerMatrix},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Newton-Schulz iterations: the residual `1 - mu/n` of the least eigenvalue mu, for n parties, is
/// squared by each. In the last passes they reach eigenvalues down to n 2^-18; while steps are large
/// n 2^-13 will do.
pub(super) fn iterations(fine: bool) -> u32 {
    if fine { 20 } else { 15 }
}

/// The shared inverse of the Hessian over N', and how far the last iteration was from the identity.
pub(super) struct Inverse {
    pub(super) inverse: Shares,
    pub(super) error: Shares,
}

/// The Hessian over N' of all parties' weights, `[d, d]`.
///
/// `slope` holds sigma' times m' N / (N' m) for the first m rows; `owners[p]` is party p's copy of
/// these rows with few fraction bits; `ridge` is this party's own diagonal block.
pub(super) async fn hessian<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owners: &[OwnerMatrix],
    scaled: &[Shares],
    rows_log2: u32,
    ridge: &[u64],
) -> Result<Shares, Abort> {
    let mut starts = vec![0];
    for m in owners {
        starts.push(starts[starts.len() - 1] + m.cols());
    }
    let d = starts[owners.len()];
    let pairs: Vec<(usize, usize)> = (0..owners.len())
        .flat_map(|p| (p..owners.len()).map(move |q| (p, q)))
        .collect();
    let jobs: Vec<_> = pairs
        .iter()
        .map(|(p, q)| {
            (
                &owners[*p],
                Operand::Transposed(&scaled[*q], owners[*q].cols()),
            )
        })
        .collect();
    let blocks = engine.products(&jobs).await?;
    let cut = blocks
        .into_iter()
        .map(|b| {
            // the sum over m rows is m' times the mean: move the point instead of dividing
            let frac = b.frac() + rows_log2;
            (Shares::new(b.into_words(), frac), points::HESSIAN)
        })
        .collect();
    let blocks = engine.truncate(cut).await?;
    let mut h = vec![0u64; d * d];
    for ((p, q), b) in pairs.iter().zip(&blocks) {
        let cols = owners[*q].cols();
        for (at, w) in b.words().iter().enumerate() {
            let (i, j) = (starts[*p] + at / cols, starts[*q] + at % cols);
            h[i * d + j] = *w;
            if p != q {
                h[j * d + i] = *w;
            }
        }
    }
    let me = engine.me();
    let (at, cols) = (starts[me], owners[me].cols());
    for (k, w) in ridge.iter().enumerate() {
        let (i, j) = (at + k / cols, at + k % cols);
        h[i * d + j] = h[i * d + j].wrapping_add(*w);
    }
    Ok(Shares::new(h, points::HESSIAN))
}

/// `diag(slope) Z` of every owner's Hessian rows.
pub(super) fn spread_jobs<'a>(
    owners: &'a [OwnerMatrix],
    slope: &'a Shares,
) -> impl Iterator<Item = (&'a OwnerMatrix, Operand<'a>)> {
    owners.iter().map(move |m| (m, Operand::Spread(slope)))
}

/// The inverse by Newton-Schulz: Y <- Y (2 I - H Y) from Y = I / n, which converges because the
/// spectrum of H lies in (0, n]. Four rounds an iteration.
pub(super) async fn inverse<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    h: &Shares,
    d: usize,
    iterations: u32,
) -> Result<Inverse, Abort> {
    let first = engine.me() == 0;
    let two = 2u64 << points::HESSIAN;
    let encode =
        |v: f64| fixed::encode(v, points::HESSIAN).map_err(|e| Abort::Input(e.to_string()));
    let start = encode(1.0 / engine.parties() as f64)?;
    let mut y = Shares::zeros(d * d, points::HESSIAN);
    if first {
        diagonal(&mut y, d, start);
    }
    let mut error = Shares::zeros(d * d, points::HESSIAN);
    for _ in 0..iterations {
        let hy = engine.matmul(h, &y, d, d, d).await?;
        let hy = one(engine.truncate(vec![(hy, points::HESSIAN)]).await?)?;
        let mut p = hy.negated();
        if first {
            diagonal(&mut p, d, two);
        }
        error = p.duplicate();
        let yp = engine.matmul(&y, &p, d, d, d).await?;
        y = one(engine.truncate(vec![(yp, points::HESSIAN)]).await?)?;
    }
    if first {
        diagonal(&mut error, d, encode(-1.0)?);
    }
    Ok(Inverse { inverse: y, error })
}

fn diagonal(m: &mut Shares, d: usize, add: u64) {
    for w in m.words_mut().iter_mut().step_by(d + 1) {
        *w = w.wrapping_add(add);
    }
}

/// The only element.
pub(super) fn one(mut v: Vec<Shares>) -> Result<Shares, Abort> {
    match (v.pop(), v.is_empty()) {
        (Some(s), true) => Ok(s),
        _ => Err(Abort::Input("one vector was expected".into())),
    }
}
