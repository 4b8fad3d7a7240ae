//! Newton's step on shares: Hessian, its inverse, and the direction.

use paripassu_crypto::{fixed, share::Shares};

use super::points;
use crate::{
    abort::Abort,
    arith::{Engine, Operand, OwnerMatrix},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Newton-Schulz iterations from the identity over n: the residual `1 - mu/n` of the least
/// eigenvalue mu, for n parties, is squared by each; these reach eigenvalues down to n 2^-13.
pub(super) const ITERATIONS: u32 = 15;
/// Iterations from half the inverse before: the residual of a Hessian that is rho times the one before
/// is `1 - rho/2`.
pub(super) const AGAIN: u32 = 8;

/// The shared inverse of the Hessian over N', and how far the last iteration was from the identity.
pub(super) struct Inverse {
    pub(super) inverse: Shares,
    pub(super) error: Shares,
}

/// The Hessian over N' of all parties' weights, `[d, d]`.
///
/// `slope` holds sigma' times m' N / (N' m) for the first m rows; `owners` are all whitened features;
/// `ridge` is this party's own diagonal block. Two rounds and a cut.
pub(super) async fn hessian<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owners: &[OwnerMatrix],
    slope: &Shares,
    rows_log2: u32,
    ridge: &[u64],
) -> Result<Shares, Abort> {
    let mut starts = vec![0];
    for m in owners {
        starts.push(starts[starts.len() - 1] + m.cols());
    }
    let d = starts[owners.len()];
    let weighted = engine.weighted(owners, slope).await?;
    let (scaled, diagonal): (Vec<Shares>, Vec<Shares>) =
        weighted.into_iter().map(|w| (w.rows, w.gram)).unzip();
    // what is below the diagonal follows from what is above
    let pairs: Vec<(usize, usize)> = (0..owners.len())
        .flat_map(|p| (p + 1..owners.len()).map(move |q| (p, q)))
        .collect();
    let jobs: Vec<_> = pairs
        .iter()
        .map(|(p, q)| {
            let cols = owners[*q].cols();
            (&owners[*p], Operand::Transposed(&scaled[*q], cols))
        })
        .collect();
    let mixed = engine.products(&jobs).await?;
    drop(scaled);
    let pairs: Vec<(usize, usize)> = (0..owners.len()).map(|p| (p, p)).chain(pairs).collect();
    let blocks: Vec<Shares> = diagonal.into_iter().chain(mixed).collect();
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

/// The inverse by Newton-Schulz: Y <- Y (2 I - H Y). From Y = I / n it converges because the
/// spectrum of H lies in (0, n] (n times 2^`headroom` where H is made of a sample); from half the inverse of a Hessian `before` if H is less than four
/// times that, which is checked like all inverses before training may settle. Four rounds an
/// iteration.
pub(super) async fn inverse<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    h: &Shares,
    d: usize,
    before: Option<&Inverse>,
    headroom: u32,
) -> Result<Inverse, Abort> {
    let first = engine.me() == 0;
    let two = 2u64 << points::HESSIAN;
    let encode =
        |v: f64| fixed::encode(v, points::HESSIAN).map_err(|e| Abort::Input(e.to_string()));
    let (mut y, iterations) = match before {
        Some(before) => {
            // the same words with one more fraction bit are half the values
            let words = before.inverse.words().to_vec();
            let half = Shares::new(words, points::HESSIAN + 1);
            let cut = engine.truncate(vec![(half, points::HESSIAN)]).await?;
            (one(cut)?, AGAIN)
        }
        None => {
            let mut y = Shares::zeros(d * d, points::HESSIAN);
            if first {
                let largest = engine.parties() as f64 * 2f64.powi(headroom as i32);
                diagonal(&mut y, d, encode(1.0 / largest)?);
            }
            (y, ITERATIONS + headroom)
        }
    };
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
