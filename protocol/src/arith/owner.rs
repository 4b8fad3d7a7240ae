//! The owner-matrix product: the owner holds X in the clear, V is shared, everyone ends with
//! shares of X V (or Xᵀ V). How rows are weighted is in [`super::weighted`].
//!
//! Set-up, once per matrix: the owner sends `D = X - A` to every other party, A from the source.
//! Per product, with masks b_q, s_q at each other party q and `c = A (sum b_q) - sum s_q` at the
//! owner p:
//!
//! ```text
//! q -> p   delta_q = V_q - b_q
//! q        out_q   = D b_q + s_q
//! p        out_p   = X (V_p + sum_q delta_q) + c
//! ```
//!
//! The sum is X V: `X V_p + X sum(V_q - b_q) + A sum b_q + D sum b_q` with D + A = X. One round.
//! The owner sees uniform words, the others see D, which is uniform.
//! Source: Beaver's circuit randomisation (CRYPTO 1991) for one factor known to one party, whose
//! opening is made once; VERTICES (arXiv 2306.16139) is the closest published form.

use std::{collections::VecDeque, sync::Arc};

use futures_util::future::try_join_all;
use paripassu_crypto::{ring64, share::Shares};
use zeroize::Zeroizing;

use super::{ahead::Ahead, engine::Engine};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec,
    compute::offload_long,
    correlation::{CorrelationSource, MatrixId, Product, Request},
};

/// Words per message while a masked matrix is sent.
const CHUNK: usize = 1 << 16;

pub(super) enum Body {
    Mine(Arc<Zeroizing<Vec<i32>>>),
    Masked(Arc<Vec<u64>>),
}

/// A matrix that its owner holds in the clear and the others hold masked.
pub struct OwnerMatrix {
    pub(super) id: MatrixId,
    pub(super) owner: usize,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) frac: u32,
    pub(super) body: Body,
}

impl std::fmt::Debug for OwnerMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "OwnerMatrix({} x {} of party-{})",
            self.rows, self.cols, self.owner
        )
    }
}

impl OwnerMatrix {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The matrix in the clear, at its owner.
    pub(crate) fn own(&self) -> Result<Arc<Zeroizing<Vec<i32>>>, Abort> {
        match &self.body {
            Body::Mine(x) => Ok(Arc::clone(x)),
            Body::Masked(_) => Err(Abort::Input(format!(
                "{self:?} is not held in the clear here"
            ))),
        }
    }

    /// What weighting its first `rows` rows asks the source for.
    pub(crate) fn weighted_request(&self, rows: usize) -> Request {
        Request::Weighted {
            matrix: self.id,
            rows: rows as u64,
        }
    }

    /// What a product of its first `rows` rows, transposed, with `k` columns asks the source for.
    pub(crate) fn transposed_request(&self, rows: usize, k: usize) -> Request {
        Request::Product {
            matrix: self.id,
            rows: rows as u64,
            transposed: true,
            k: k as u64,
        }
    }

    /// Position of its owner.
    pub fn owner(&self) -> usize {
        self.owner
    }
}

/// What to multiply a matrix with.
#[derive(Debug)]
pub enum Operand<'a> {
    /// `X V`, V with `k` columns.
    Plain(&'a Shares, usize),
    /// `Xᵀ V`, V with `k` columns; X the first rows of the matrix, as many as V has.
    Transposed(&'a Shares, usize),
}

impl Operand<'_> {
    fn shares(&self) -> &Shares {
        match self {
            Self::Plain(v, _) | Self::Transposed(v, _) => v,
        }
    }

    pub(super) fn transposed(&self) -> bool {
        matches!(self, Self::Transposed(..))
    }

    /// Whether it is one vector, for the whole matrix.
    fn is_vector_of(&self, m: &OwnerMatrix) -> bool {
        match *self {
            Self::Plain(_, k) => k == 1,
            Self::Transposed(v, k) => k == 1 && v.len() == m.rows,
        }
    }

    fn kind(&self) -> Kind {
        match *self {
            Self::Plain(_, k) => Kind::Plain(k),
            Self::Transposed(_, k) => Kind::Transposed(k),
        }
    }

    pub(crate) fn request(&self, m: &OwnerMatrix) -> Request {
        let matrix = m.id;
        match *self {
            Self::Plain(_, k) => Request::Product {
                matrix,
                rows: m.rows as u64,
                transposed: false,
                k: k as u64,
            },
            Self::Transposed(v, k) => m.transposed_request(v.len() / k.max(1), k),
        }
    }

    fn check(&self, m: &OwnerMatrix) -> Result<(), Abort> {
        let len = self.shares().len();
        let fits = match *self {
            Self::Plain(_, k) => len == m.cols * k,
            Self::Transposed(_, k) => len == len / k.max(1) * k && len / k.max(1) <= m.rows,
        };
        match fits {
            true => Ok(()),
            false => Err(Abort::Input(format!(
                "{m:?} is multiplied with {len} words"
            ))),
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Plain(usize),
    Transposed(usize),
}

impl Kind {
    /// Multiplications of a product with a matrix of so many columns.
    fn work(self, cols: usize, v: &[u64], out: &[u64]) -> usize {
        match self {
            Self::Plain(_) => out.len() * cols,
            Self::Transposed(_) => v.len() * cols,
        }
    }
}

/// `out += op(X, v)`.
fn apply<T: ring64::Entry<u64>>(kind: Kind, x: &[T], cols: usize, v: &[u64], out: &mut [u64]) {
    match kind {
        Kind::Plain(k) => ring64::mat_mat(x, cols, v, k, out),
        Kind::Transposed(k) => {
            let rows = v.len() / k.max(1);
            ring64::mat_t_mat(&x[..rows * cols], cols, v, k, out);
        }
    }
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Registers a matrix of `owner`: `mine` is given by the owner alone, row-major with `frac`
    /// fraction bits. The owner sends its masked copy to every other party.
    ///
    /// # Leakage
    /// Rows and columns, which are public.
    ///
    /// # Errors
    /// The channel's; or if `mine` is given by another than the owner, or has another size.
    pub async fn register(
        &mut self,
        owner: usize,
        rows: usize,
        cols: usize,
        frac: u32,
        mine: Option<Vec<i32>>,
    ) -> Result<OwnerMatrix, Abort> {
        if mine.is_some() != (owner == self.me())
            || mine.as_ref().is_some_and(|m| m.len() != rows * cols)
        {
            return Err(Abort::Input("a matrix is given by its owner, whole".into()));
        }
        let id = self.source.matrix(owner as u8, rows, cols).await?;
        let name = self.name("masked");
        let ctx = self.at_step().narrow(name);
        let words = rows * cols;
        let body = match mine {
            Some(x) => {
                let x = Arc::new(Zeroizing::new(x));
                for at in (0..words).step_by(CHUNK) {
                    let mut d = vec![0; CHUNK.min(words - at)];
                    self.source.mask(id, at as u64, &mut d);
                    for (d, x) in d.iter_mut().zip(&x[at..]) {
                        *d = ring64::Entry::lift(*x).wrapping_sub(*d);
                    }
                    let body = codec::own_words(d);
                    let part = format!("{}", at / CHUNK);
                    try_join_all(ctx.peers().map(|p| ctx.send(p, &part, body.clone()))).await?;
                }
                Body::Mine(x)
            }
            None => {
                let from = Role::Party(owner as u8);
                let mut d = vec![0; words];
                for (i, d) in d.chunks_mut(CHUNK).enumerate() {
                    let body = ctx.recv(from, &format!("{i}")).await?;
                    codec::read_words(&body, d, from, ctx.path())?;
                }
                Body::Masked(Arc::new(d))
            }
        };
        Ok(OwnerMatrix {
            id,
            owner,
            rows,
            cols,
            frac,
            body,
        })
    }

    /// Several owner-matrix products at once: one round for all of them.
    ///
    /// # Leakage
    /// None beyond the shapes.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub async fn products(
        &mut self,
        jobs: &[(&OwnerMatrix, Operand<'_>)],
    ) -> Result<Vec<Shares>, Abort> {
        self.products_ahead(jobs, &mut []).await
    }

    /// As [`Engine::products`], the first jobs with masks made before, one of `ahead` each.
    ///
    /// # Leakage
    /// None beyond the shapes.
    ///
    /// # Errors
    /// The channel's, or the source's; or if masks are of another matrix.
    pub async fn products_ahead(
        &mut self,
        jobs: &[(&OwnerMatrix, Operand<'_>)],
        ahead: &mut [Ahead],
    ) -> Result<Vec<Shares>, Abort> {
        jobs.iter().try_for_each(|(m, v)| v.check(m))?;
        let mut ready = Vec::with_capacity(ahead.len());
        for (a, (m, v)) in ahead.iter_mut().zip(jobs) {
            if (a.matrix, a.transposed) != (m.id, v.transposed()) || !v.is_vector_of(m) {
                return Err(Abort::Input(format!(
                    "masks of another product than of {m:?}"
                )));
            }
            ready.push(a.next()?);
        }
        let requests: Vec<Request> = jobs[ready.len()..]
            .iter()
            .map(|(m, v)| v.request(m))
            .collect();
        self.source.announce(&requests).await?;
        let made = ready.len();
        let mut ready = ready.into_iter();
        // masked operands to each owner
        let me = self.me();
        let peers: Vec<Role> = self.at_step().peers().collect();
        let mut to_owner: Vec<Vec<u64>> = vec![Vec::new(); self.parties()];
        let mut corr: Vec<Option<Product>> = Vec::with_capacity(jobs.len());
        let mut own = VecDeque::new();
        for (m, v) in jobs {
            let ready = ready.next();
            if m.owner == me {
                own.push_back(ready);
                corr.push(None);
                continue;
            }
            let c = match ready {
                Some(ready) => ready,
                None => self.correlation(m, v).await?,
            };
            let v = v.shares().words();
            to_owner[m.owner].extend(
                v.iter()
                    .zip(c.operand.iter())
                    .map(|(v, b)| v.wrapping_sub(*b)),
            );
            corr.push(Some(c));
        }
        let mine = jobs.iter().any(|(m, _)| m.owner == me);
        let out: Vec<_> = peers
            .iter()
            .filter(|p| jobs.iter().any(|(m, _)| Some(m.owner) == p.index()))
            .map(|p| {
                (
                    *p,
                    codec::own_words(std::mem::take(&mut to_owner[p.index().unwrap_or(me)])),
                )
            })
            .collect();
        let from: &[Role] = if mine { &peers } else { &[] };
        let name = self.name("product");
        let ctx = self.at_step().clone();
        // the others' part needs no message: it is computed while messages travel
        let theirs = try_join_all(
            jobs.iter()
                .zip(corr)
                .enumerate()
                .filter_map(|(i, ((m, v), c))| c.map(|c| other_part(m, v.kind(), c, i < made))),
        );
        let (theirs, got) =
            futures_util::future::try_join(theirs, ctx.swap(&name, out, from)).await?;
        let mut theirs = theirs.into_iter();
        let mut sums = self.masked_operands(jobs, &got, &peers)?.into_iter();
        let mut results = Vec::with_capacity(jobs.len());
        for (m, v) in jobs {
            let frac = m.frac + v.shares().frac();
            let words = if m.owner == me {
                let c = match own.pop_front().flatten() {
                    Some(ready) => ready,
                    None => self.correlation(m, v).await?,
                };
                let mut sum = sums.next().unwrap_or_default();
                ring64::add_assign(&mut sum, v.shares().words());
                let (x, cols, kind) = (m.own()?, m.cols, v.kind());
                offload_long(kind.work(cols, &sum, &c.output), move || {
                    let mut out = c.output;
                    apply(kind, &x, cols, &sum, &mut out);
                    out
                })
                .await
            } else {
                theirs.next().unwrap_or_default()
            };
            results.push(Shares::new(std::mem::take(&mut *{ words }), frac));
        }
        Ok(results)
    }

    async fn correlation(&mut self, m: &OwnerMatrix, v: &Operand<'_>) -> Result<Product, Abort> {
        match *v {
            Operand::Plain(_, k) => self.source.product(m.id, m.rows, false, k).await,
            Operand::Transposed(v, k) => {
                let rows = v.len() / k.max(1);
                self.source.product(m.id, rows, true, k).await
            }
        }
    }

    /// For each job whose matrix is this party's: the sum of the others' masked operands.
    fn masked_operands(
        &self,
        jobs: &[(&OwnerMatrix, Operand<'_>)],
        got: &[bytes::Bytes],
        peers: &[Role],
    ) -> Result<Vec<Vec<u64>>, Abort> {
        let lens: Vec<usize> = jobs
            .iter()
            .filter(|(m, _)| m.owner == self.me())
            .map(|(_, v)| v.shares().len())
            .collect();
        let mut total = vec![0; lens.iter().sum()];
        for (body, from) in got.iter().zip(peers) {
            let theirs = codec::take_words(body, total.len(), *from, self.path())?;
            ring64::add_assign(&mut total, &theirs);
        }
        let mut out = Vec::with_capacity(lens.len());
        let mut rest = &total[..];
        for len in lens {
            let (head, tail) = rest.split_at(len);
            out.push(head.to_vec());
            rest = tail;
        }
        Ok(out)
    }
}

async fn other_part(
    m: &OwnerMatrix,
    kind: Kind,
    c: Product,
    made: bool,
) -> Result<Zeroizing<Vec<u64>>, Abort> {
    if made {
        return Ok(c.output);
    }
    let Body::Masked(d) = &m.body else {
        return Err(Abort::Input(format!("{m:?} is not held masked here")));
    };
    let (d, cols) = (Arc::clone(d), m.cols);
    Ok(
        offload_long(kind.work(cols, &c.operand, &c.output), move || {
            let mut out = c.output;
            apply(kind, &d, cols, &c.operand, &mut out);
            out
        })
        .await,
    )
}
