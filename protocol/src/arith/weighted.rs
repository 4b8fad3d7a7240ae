//! An owner's rows times shared weights, and the weighted Gram matrix of its columns.
//!
//! The owner of X, with `D = X - A` at the others, and v shared. From the source: masks b_q of the
//! others' shares of v; shares C (owner) and S_q (others) of `diag(b) A` and shares of `Aᵀ diag(b) A`,
//! b the sum of the b_q.
//!
//! ```text
//! q -> p   delta_q = v_q - b_q                 s = v_p + sum of delta_q, so v = s + b
//! diag(v) X      p: diag(s) X + C              q: diag(b_q) D + S_q
//! Xᵀ diag(v) X   p: Xᵀ diag(s) X + Dᵀ C + Cᵀ D    q: Dᵀ diag(b_q) D + Dᵀ S_q + S_qᵀ D
//! ```
//!
//! and the dealt shares of `Aᵀ diag(b) A` on both sides: `X = D + A` in `Xᵀ diag(b) X`, the mixed
//! terms by the shares of `diag(b) A`. One round; one word a row from each other party, whatever
//! the number of columns. The owner sees uniform words.
//! Source: as the owner-matrix product; the second line uses its correlation once more, for a
//! factor that both ends know.

use std::sync::Arc;

use paripassu_crypto::{ring64, share::Shares};
use zeroize::Zeroizing;

use super::{engine::Engine, owner::Body, owner::OwnerMatrix};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec,
    compute::offload,
    correlation::{CorrelationSource, Request, Weighted},
};

/// Shares of weighted rows and of their Gram matrix.
#[derive(Debug)]
pub struct WeightedRows {
    /// `diag(v) X`, `[rows, cols]`.
    pub rows: Shares,
    /// `Xᵀ diag(v) X`, `[cols, cols]`.
    pub gram: Shares,
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// The first rows of each matrix weighted with `v`, as many as v has. One round.
    ///
    /// # Leakage
    /// None beyond the shapes.
    ///
    /// # Errors
    /// The channel's, or the source's; or if v has more rows than a matrix.
    pub async fn weighted(
        &mut self,
        matrices: &[OwnerMatrix],
        v: &Shares,
    ) -> Result<Vec<WeightedRows>, Abort> {
        let (me, rows) = (self.me(), v.len());
        if let Some(m) = matrices.iter().find(|m| m.rows < rows) {
            return Err(Abort::Input(format!("{m:?} is weighted with {rows} rows")));
        }
        let requests: Vec<Request> = matrices.iter().map(|m| m.weighted_request(rows)).collect();
        self.source.announce(&requests).await?;
        let peers: Vec<Role> = self.at_step().peers().collect();
        let mut to_owner: Vec<Vec<u64>> = vec![Vec::new(); self.parties()];
        let mut masks: Vec<Option<Weighted>> = Vec::with_capacity(matrices.len());
        for m in matrices {
            if m.owner == me {
                masks.push(None);
                continue;
            }
            let c = self.source.weighted(m.id, rows).await?;
            to_owner[m.owner].extend(
                v.words()
                    .iter()
                    .zip(c.weights.iter())
                    .map(|(v, b)| v.wrapping_sub(*b)),
            );
            masks.push(Some(c));
        }
        let out: Vec<_> = peers
            .iter()
            .filter(|p| matrices.iter().any(|m| Some(m.owner) == p.index()))
            .map(|p| {
                let words = std::mem::take(&mut to_owner[p.index().unwrap_or(me)]);
                (*p, codec::own_words(words))
            })
            .collect();
        let mine = matrices.iter().filter(|m| m.owner == me).count();
        let from: &[Role] = if mine > 0 { &peers } else { &[] };
        let name = self.name("weights");
        let got = self.at_step().swap(&name, out, from).await?;
        let mut sums = v.words().repeat(mine);
        for (body, from) in got.iter().zip(&peers) {
            let theirs = codec::take_words(body, sums.len(), *from, self.path())?;
            ring64::add_assign(&mut sums, &theirs);
        }
        let mut sums = sums.chunks(rows.max(1)).map(<[u64]>::to_vec);
        let mut results = Vec::with_capacity(matrices.len());
        for (m, c) in matrices.iter().zip(masks) {
            let (cols, frac) = (m.cols, m.frac + v.frac());
            let (rows, gram) = match (&m.body, c) {
                (Body::Mine(x), None) => {
                    let c = self.source.weighted(m.id, rows).await?;
                    let mut a = Zeroizing::new(vec![0; rows * cols]);
                    self.source.mask(m.id, 0, &mut a);
                    let (x, s) = (Arc::clone(x), sums.next().unwrap_or_default());
                    offload(move || owner_part(&x[..rows * cols], cols, &s, a, c)).await
                }
                (Body::Masked(d), Some(c)) => {
                    let d = Arc::clone(d);
                    offload(move || other_part(&d[..rows * cols], cols, c)).await
                }
                _ => {
                    return Err(Abort::Input(format!("{m:?} is not held as its owner says")));
                }
            };
            results.push(WeightedRows {
                rows: Shares::new(rows, frac),
                gram: Shares::new(gram, frac + m.frac),
            });
        }
        Ok(results)
    }
}

/// `a` is the matrix's mask; becomes D.
fn owner_part(
    x: &[i32],
    cols: usize,
    s: &[u64],
    mut a: Zeroizing<Vec<u64>>,
    mut c: Weighted,
) -> (Vec<u64>, Vec<u64>) {
    for (a, x) in a.iter_mut().zip(x) {
        *a = ring64::Entry::<u64>::lift(*x).wrapping_sub(*a);
    }
    add_both_ways(&a, cols, &c.spread, &mut c.gram);
    let mut weighted = Zeroizing::new(vec![0; x.len()]);
    ring64::add_weighted(x, cols, s, &mut weighted);
    ring64::mat_t_symmetric(x, cols, &weighted, &mut c.gram);
    ring64::add_assign(&mut weighted, &c.spread);
    (std::mem::take(&mut *weighted), std::mem::take(&mut *c.gram))
}

/// With U = diag(b) D + S, what is added to the Gram matrix is Dᵀ U + Sᵀ D: symmetric as a sum, so the upper halves
/// of both terms are enough.
fn other_part(d: &[u64], cols: usize, mut c: Weighted) -> (Vec<u64>, Vec<u64>) {
    ring64::mat_t_symmetric(&c.spread, cols, d, &mut c.gram);
    ring64::add_weighted(d, cols, &c.weights, &mut c.spread);
    ring64::mat_t_symmetric(d, cols, &c.spread, &mut c.gram);
    (std::mem::take(&mut *c.spread), std::mem::take(&mut *c.gram))
}

/// `out += Dᵀ S + Sᵀ D`.
fn add_both_ways(d: &[u64], cols: usize, s: &[u64], out: &mut [u64]) {
    let mut half = vec![0; cols * cols];
    ring64::mat_t_mat(d, cols, s, cols, &mut half);
    for i in 0..cols {
        for j in 0..cols {
            let both = half[i * cols + j].wrapping_add(half[j * cols + i]);
            out[i * cols + j] = out[i * cols + j].wrapping_add(both);
        }
    }
}
