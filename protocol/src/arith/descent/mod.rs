//! Scores, sigmoid and gradient of a batch, fused: two messages to each other party, of 4 and 5 bytes a row.
//!
//! Functionality: owners hold integer matrices X_p in the clear, weights are shared; for a batch of rows everyone
//! ends with shares of `X' (sigma(X w) - y)`. Adversary: passive; all parties but one may pool what they see, if
//! the source joins none of them. What each role learns: nothing beyond sizes; every word sent is masked by a word
//! used once.
//!
//! All words are modulo 2^40, which is what is sent of them; w has its point where 2^40 is the series' period P for
//! X w. With the masks of [`crate::correlation::Descent`], `D_p = X_p - A_p`, w_(p,q) party q's share of p's weights:
//!
//! ```text
//! once    p -> all    D_p
//! ahead   q           z_q = t_q + sum_(p != q) D_p b_(p,q),   g_(p,q) = D_p' s_q + c_(p,q)
//! before  q -> p      w_(p,q) - b_(p,q)
//! 1       p -> all    top 32 bits of z_p + X_p (w_(p,p) + sum_q (w_(p,q) - b_(p,q)));  theta, their sum, is the phase of X w + rho
//! 2       p -> all    r_p - s_p,  r_p from theta and shares of the series' terms at rho
//! then    p           g_(p,p) = X_p' (r_p + sum_q (r_q - s_q)) + c_(p,p)
//! ```
//!
//! `sum_p g_p` is `X' r`: the masks' parts cancel as in [`super::owner`]. Residuals have few fraction bits and are
//! never cut: products of them stay below 2^38. Gradients, a word a column, enter the ring modulo 2^64 by one exact
//! cut ([`super::truncate`]) whose opening goes along with the next batch's phases, and so does that of the last step's
//! part that stays. A batch's gradient is therefore taken at weights that lack the last one: two rounds a batch.
//!
//! Source: the owner-matrix product is SecureML's linear step (ePrint 2017/396) with masks dealt as in VERTICES (arXiv
//! 2306.16139); one opening for the product and the series as in Squirrel's sigmoid (ePrint 2023/527), whose mask here
//! takes the product's correction.

mod passes;
#[cfg(test)]
mod tests;

use std::{ops::Range, sync::Arc};

use futures_util::future::try_join_all;
use paripassu_crypto::ring64;
use zeroize::Zeroizing;

pub use passes::{Batch, Passes, Updates};

use super::{
    engine::Engine,
    owner::{Body, OwnerMatrix},
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec::{self, NARROW_BYTES},
    compute::offload,
    correlation::{CorrelationSource, MatrixId},
};

/// Words of a message while a masked matrix is sent: four frames of it.
pub(crate) const CHUNK: usize = 209_712;

/// An owner's integers: in half the memory where they fit.
pub enum Entries {
    /// Of 16 bits.
    Short(Zeroizing<Vec<i16>>),
    /// Of 32.
    Long(Zeroizing<Vec<i32>>),
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entries(<{}>)", self.len())
    }
}

impl Entries {
    fn len(&self) -> usize {
        match self {
            Self::Short(x) => x.len(),
            Self::Long(x) => x.len(),
        }
    }

    /// The largest sum of a column's magnitudes over these rows, of `cols` columns.
    pub(crate) fn largest_sum(&self, rows: Range<usize>, cols: usize) -> u64 {
        fn largest<T: ring64::Entry<u64>>(x: &[T], cols: usize) -> u64 {
            let mut sums = vec![0u64; cols];
            for row in x.chunks_exact(cols.max(1)) {
                for (s, x) in sums.iter_mut().zip(row) {
                    *s += (x.lift() as i64).unsigned_abs();
                }
            }
            sums.into_iter().max().unwrap_or(0)
        }
        let at = rows.start * cols..rows.end * cols;
        match self {
            Self::Short(x) => largest(&x[at], cols),
            Self::Long(x) => largest(&x[at], cols),
        }
    }

    /// `D = X - A`, for the entries from `at` on, `d` holding A.
    fn masked(&self, at: usize, d: &mut [u64]) {
        fn take<T: ring64::Entry<u64>>(x: &[T], d: &mut [u64]) {
            for (d, x) in d.iter_mut().zip(x) {
                *d = x.lift().wrapping_sub(*d);
            }
        }
        match self {
            Self::Short(x) => take(&x[at..], d),
            Self::Long(x) => take(&x[at..], d),
        }
    }

    /// `y += X v` of these rows.
    fn rows_by(&self, rows: Range<usize>, v: &[u64], y: &mut [u64]) {
        let at = rows.start * v.len()..rows.end * v.len();
        match self {
            Self::Short(x) => ring64::mat_vec_here(&x[at], v, y),
            Self::Long(x) => ring64::mat_vec_here(&x[at], v, y),
        }
    }

    /// `g += X' r` of these rows.
    fn columns_by(&self, rows: Range<usize>, r: &[u64], g: &mut [u64]) {
        let at = rows.start * g.len()..rows.end * g.len();
        match self {
            Self::Short(x) => ring64::mat_t_vec_here(&x[at], r, g),
            Self::Long(x) => ring64::mat_t_vec_here(&x[at], r, g),
        }
    }
}

enum Held {
    Mine(Arc<Entries>),
    Masked(Arc<Vec<u64>>),
}

/// A matrix of integers that its owner holds in the clear and the others hold masked, modulo 2^40.
pub struct NarrowMatrix {
    id: MatrixId,
    owner: usize,
    rows: usize,
    cols: usize,
    held: Held,
}

impl std::fmt::Debug for NarrowMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "NarrowMatrix({} x {} of party-{})",
            self.rows, self.cols, self.owner
        )
    }
}

impl NarrowMatrix {
    /// Its first rows as a matrix for [`Engine::products`]; their results hold modulo 2^40.
    pub fn first_rows(&self, rows: usize, frac: u32) -> OwnerMatrix {
        let rows = rows.min(self.rows);
        let words = rows * self.cols;
        let body = match &self.held {
            Held::Mine(x) => {
                let x: Vec<i32> = match &**x {
                    Entries::Short(x) => x[..words].iter().map(|x| i32::from(*x)).collect(),
                    Entries::Long(x) => x[..words].to_vec(),
                };
                Body::Mine(Arc::new(Zeroizing::new(x)))
            }
            Held::Masked(d) => Body::Masked(Arc::new(d[..words].to_vec())),
        };
        OwnerMatrix {
            id: self.id,
            owner: self.owner,
            rows,
            cols: self.cols,
            frac,
            body,
        }
    }
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Registers a matrix of `owner`, of integers: `mine` is given by the owner alone, row-major. The owner sends its
    /// masked copy to every other party, 5 bytes an entry.
    ///
    /// # Leakage
    /// Rows and columns, which are public.
    ///
    /// # Errors
    /// The channel's; or if `mine` is given by another than the owner, or has another size.
    pub async fn register_narrow(
        &mut self,
        owner: usize,
        rows: usize,
        cols: usize,
        mine: Option<Entries>,
    ) -> Result<NarrowMatrix, Abort> {
        let words = rows * cols;
        if mine.is_some() != (owner == self.me()) || mine.as_ref().is_some_and(|m| m.len() != words)
        {
            return Err(Abort::Input("a matrix is given by its owner, whole".into()));
        }
        let id = self.source.matrix(owner as u8, rows, cols).await?;
        let name = self.name("masked");
        let ctx = self.at_step().narrow(name);
        let held = match mine {
            Some(x) => {
                let x = Arc::new(x);
                for at in (0..words).step_by(CHUNK) {
                    let mut d = vec![0; CHUNK.min(words - at)];
                    self.source.mask(id, at as u64, &mut d);
                    let x = Arc::clone(&x);
                    let body = offload(move || {
                        x.masked(at, &mut d);
                        let mut body = Vec::with_capacity(d.len() * NARROW_BYTES);
                        codec::append_narrow(&mut body, d.into_iter());
                        bytes::Bytes::from(body)
                    })
                    .await;
                    let part = format!("{}", at / CHUNK);
                    try_join_all(ctx.peers().map(|p| ctx.send(p, &part, body.clone()))).await?;
                }
                Held::Mine(x)
            }
            None => {
                let from = Role::Party(owner as u8);
                let mut all = Vec::with_capacity(words);
                for at in (0..words).step_by(CHUNK) {
                    let body = ctx.recv(from, &format!("{}", at / CHUNK)).await?;
                    let len = CHUNK.min(words - at);
                    codec::of_length(&body, len * NARROW_BYTES, from, ctx.path())?;
                    all = offload(move || {
                        all.resize(at + len, 0);
                        codec::read_narrow(&body, &mut all[at..]);
                        all
                    })
                    .await;
                }
                Held::Masked(Arc::new(all))
            }
        };
        Ok(NarrowMatrix {
            id,
            owner,
            rows,
            cols,
            held,
        })
    }
}
