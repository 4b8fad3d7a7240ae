//! Newton's step on shares: Hessian, its inverse, and the direction.

use paripassu_crypto::{fixed, share::Shares};
use paripassu_model::newton_schulz;

use super::{points, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, Inverted, Operand, OwnerMatrix},
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

/// Least eigenvalue of a Hessian over N', of n parties, that an inverse reaches: n 2^-13.
const LEAST_LOG2: u32 = 13;

/// The Hessian over N' of all parties' weights, `[d, d]`.
///
/// `slope` holds sigma' times m' N / (N' m) for the first m rows; `owners` are all whitened features;
/// `own` is this party's own diagonal block beside the data's. Two rounds and a cut.
pub(super) async fn hessian<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owners: &[OwnerMatrix],
    slope: &Shares,
    rows_log2: u32,
    run: &Run,
    own: &[u64],
) -> Result<Shares, Abort> {
    let widths = run.widths();
    let mut starts = vec![0];
    for width in widths {
        starts.push(starts[starts.len() - 1] + width);
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
    let blocks = run.blocks_of_columns(engine, &pairs, blocks).await?;
    let mut h = vec![0u64; d * d];
    for ((p, q), b) in pairs.iter().zip(&blocks) {
        let cols = widths[*q];
        for (at, w) in b.words().iter().enumerate() {
            let (i, j) = (starts[*p] + at / cols, starts[*q] + at % cols);
            h[i * d + j] = *w;
            if p != q {
                h[j * d + i] = *w;
            }
        }
    }
    let me = engine.me();
    let (at, cols) = (starts[me], widths[me]);
    for (k, w) in own.iter().enumerate() {
        let (i, j) = (at + k / cols, at + k % cols);
        h[i * d + j] = h[i * d + j].wrapping_add(*w);
    }
    for (from, diagonal) in run.hidden_diagonals() {
        for (k, w) in diagonal.words().iter().enumerate() {
            let at = (from + k) * (d + 1);
            h[at] = h[at].wrapping_add(*w);
        }
    }
    Ok(Shares::new(h, points::HESSIAN))
}

/// What [`hessian`] asks the source for, from slopes of `rows` rows with `frac` fraction bits.
pub(super) fn hessian_requests(
    owners: &[OwnerMatrix],
    rows: usize,
    frac: u32,
    rows_log2: u32,
) -> Vec<Request> {
    let mut all: Vec<Request> = owners.iter().map(|m| m.weighted_request(rows)).collect();
    let mut lengths: Vec<usize> = owners.iter().map(|m| m.cols() * m.cols()).collect();
    for (p, of) in owners.iter().enumerate() {
        for with in &owners[p + 1..] {
            // of no columns there are no rows
            let rows = if with.cols() == 0 { 0 } else { rows };
            all.push(of.transposed_request(rows, with.cols()));
            lengths.push(of.cols() * with.cols());
        }
    }
    let by = frac + 2 * points::FEATURE + rows_log2 - points::HESSIAN;
    all.extend(lengths.iter().map(|len| Request::Truncate {
        len: *len as u64,
        by,
    }));
    all
}

/// What a step asks the source for, of `d` weights and a gradient of `gradient` fraction bits.
pub(super) fn step_requests(d: usize, gradient: u32, weight: u32) -> [Request; 3] {
    let d = d as u64;
    let frac = points::HESSIAN + gradient;
    let [cut, short] = [weight, points::SHORT].map(|want| Request::Truncate {
        len: d,
        by: frac - want,
    });
    [
        Request::Matmul {
            rows: d,
            inner: d,
            cols: 1,
        },
        cut,
        short,
    ]
}

/// The inverse of a Hessian, begun at I / n: the iteration converges because the spectrum of H lies in (0, n]
/// (n times 2^`headroom` where H is made of a sample, whose inverse then begins that much lower). How close it
/// has come is checked before training may settle.
pub(super) async fn inverse<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    h: &Shares,
    d: usize,
    headroom: u32,
) -> Result<Inverted, Abort> {
    let mut start = Shares::zeros(d * d, points::HESSIAN);
    if engine.me() == 0 {
        let largest = engine.parties() as f64 * 2f64.powi(headroom as i32);
        let least = fixed::encode(1.0 / largest, points::HESSIAN);
        let least = least.map_err(|e| Abort::Input(e.to_string()))?;
        for w in start.words_mut().iter_mut().step_by(d + 1) {
            *w = least;
        }
    }
    let scales = newton_schulz::scales(LEAST_LOG2 + headroom);
    engine.symmetric_inverse(h, &start, d, &scales).await
}

/// The only element.
pub(super) fn one(mut v: Vec<Shares>) -> Result<Shares, Abort> {
    match (v.pop(), v.is_empty()) {
        (Some(s), true) => Ok(s),
        _ => Err(Abort::Input("one vector was expected".into())),
    }
}
