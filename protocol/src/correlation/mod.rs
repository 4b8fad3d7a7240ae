//! Correlated randomness: what the gates of [`crate::arith`] consume, and where it comes from.
//!
//! A correlation is random values held by the parties that satisfy one equation and depend on no
//! data. Gates ask a [`CorrelationSource`] for them; which source it is (an independent helper,
//! later the parties themselves) is invisible above this trait. Requests are a function of the
//! public plan alone, so all ends iterate in step.
//!
//! Every correlation is consumed by move and used once.

mod dealer;
pub(crate) mod descent;
mod helper;
mod masked;
mod plan;

use std::future::Future;

pub use dealer::{Dealt, deal};
pub use descent::{Descent, StepMasks, Steps};
pub use helper::HelperSource;
use zeroize::Zeroizing;

use crate::{abort::Abort, channel::Role, codec};
use bytes::Bytes;

/// Random words, wiped when dropped.
pub type Words = Zeroizing<Vec<u64>>;

/// A matrix that has a mask: its number in order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixId(pub u32);

/// What is asked for. Equal at all parties, in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A mask `A` for a matrix of party `owner`.
    Matrix {
        /// Its owner.
        owner: u8,
        /// Rows.
        rows: u64,
        /// Columns.
        cols: u64,
    },
    /// [`Product`] for `X V` (or `Xᵀ V`), `V` with `k` columns, X the first `rows` rows of the matrix.
    Product {
        /// The matrix.
        matrix: MatrixId,
        /// Rows.
        rows: u64,
        /// Whether the transpose is meant.
        transposed: bool,
        /// Columns of `V`.
        k: u64,
    },
    /// `count` times [`Product`] for `X v` (or `Xᵀ v`), X the whole matrix.
    Vectors {
        /// The matrix.
        matrix: MatrixId,
        /// Whether the transpose is meant.
        transposed: bool,
        /// How many.
        count: u64,
    },
    /// [`Weighted`] for the first `rows` rows of a matrix.
    Weighted {
        /// The matrix.
        matrix: MatrixId,
        /// Rows.
        rows: u64,
    },
    /// [`Sine`].
    Sine {
        /// Rows.
        rows: u64,
        /// log2 of the series' range.
        range_log2: u32,
        /// Terms.
        terms: u32,
        /// Fraction bits of the dealt terms.
        frac: u32,
        /// Terms modulo 2^32, two in a word.
        narrow: bool,
    },
    /// [`Truncate`] of values modulo 2^32, into the ring.
    Lift {
        /// Number of values.
        len: u64,
        /// Bits to drop.
        by: u32,
    },
    /// [`Truncate`].
    Truncate {
        /// Number of values.
        len: u64,
        /// Bits to drop.
        by: u32,
    },
    /// [`Triple`] of matrices `[rows, inner] [inner, cols]`.
    Matmul {
        /// Rows of the left factor.
        rows: u64,
        /// Columns of the left factor.
        inner: u64,
        /// Columns of the right factor.
        cols: u64,
    },
    /// [`Triple`] of vectors, multiplied entry by entry.
    Entrywise {
        /// Number of entries.
        len: u64,
    },
    /// [`InverseStep`] of an inverse of `[d, d]`.
    InverseStep {
        /// Rows and columns.
        d: u64,
        /// The number of the request for the first step of the same inverse.
        first: u32,
        /// Bits to drop of each of the two products.
        cuts: [u32; 2],
    },
    /// [`Masked`] of `words` words of lanes of `lane` bits.
    Bits {
        /// Words.
        words: u64,
        /// Width of a lane: 16, 32 or 64.
        lane: u32,
    },
    /// [`And`] of `words` words.
    And {
        /// Words.
        words: u64,
    },
    /// [`Descent`] over as many matrices as there are parties, one of each, this one party 0's and the others after
    /// it: masks for so many epochs of so many batches.
    Descent {
        /// Party 0's matrix.
        matrix: MatrixId,
        /// Batches of an epoch.
        batches: u64,
        /// Epochs.
        epochs: u64,
    },
    /// [`Steps`] for one epoch of the last [`Request::Descent`].
    Steps {
        /// The epoch, from 0 within that request.
        epoch: u64,
        /// The series' range.
        range: u32,
        /// Terms.
        terms: u32,
        /// Fraction bits of the dealt terms.
        frac: u32,
    },
    /// Nothing more will be asked for.
    Done,
}

impl Request {
    fn fields(&self) -> [u64; 5] {
        match *self {
            Self::Matrix { owner, rows, cols } => [1, owner.into(), rows, cols, 0],
            Self::Product {
                matrix,
                rows,
                transposed,
                k,
            } => [2, matrix.0.into(), transposed.into(), k, rows],
            Self::Weighted { matrix, rows } => [3, matrix.0.into(), rows, 0, 0],
            Self::Sine {
                rows,
                range_log2,
                terms,
                frac,
                narrow,
            } => [
                if narrow { 12 } else { 4 },
                rows,
                range_log2.into(),
                terms.into(),
                frac.into(),
            ],
            Self::Truncate { len, by } => [5, len, by.into(), 0, 0],
            Self::Matmul { rows, inner, cols } => [6, rows, inner, cols, 0],
            Self::Bits { words, lane } => [7, words, lane.into(), 0, 0],
            Self::And { words } => [8, words, 0, 0, 0],
            Self::Done => [9, 0, 0, 0, 0],
            Self::Vectors {
                matrix,
                transposed,
                count,
            } => [10, matrix.0.into(), transposed.into(), count, 0],
            Self::Lift { len, by } => [13, len, by.into(), 0, 0],
            Self::Entrywise { len } => [14, len, 0, 0, 0],
            Self::Descent {
                matrix,
                batches,
                epochs,
            } => [15, matrix.0.into(), batches, epochs, 0],
            Self::Steps {
                epoch,
                range,
                terms,
                frac,
            } => [16, epoch, range.into(), terms.into(), frac.into()],
            Self::InverseStep { d, first, cuts } => {
                [11, d, first.into(), cuts[0].into(), cuts[1].into()]
            }
        }
    }

    /// Bytes of one request.
    pub(crate) const BYTES: usize = 40;

    /// The canonical bytes of several.
    pub(crate) fn encode_all(all: &[Self]) -> Bytes {
        let words: Vec<u64> = all.iter().flat_map(Self::fields).collect();
        codec::put_words(&words)
    }

    /// Reads the canonical bytes back.
    pub(crate) fn decode(body: &Bytes, from: Role, step: &str) -> Result<Self, Abort> {
        let w = codec::take_words(body, 5, from, step)?;
        let bad = |problem: &str| Abort::Malformed {
            from,
            step: step.to_owned(),
            problem: problem.to_owned(),
        };
        let narrow = |x: u64| u32::try_from(x).map_err(|_| bad("a number out of range"));
        let [kind, a, b, c, d] = w[..] else {
            return Err(bad("not five words"));
        };
        let got = match kind {
            1 => Self::Matrix {
                owner: u8::try_from(a).map_err(|_| bad("an owner out of range"))?,
                rows: b,
                cols: c,
            },
            2 => Self::Product {
                matrix: MatrixId(narrow(a)?),
                transposed: b == 1,
                k: c,
                rows: d,
            },
            3 => Self::Weighted {
                matrix: MatrixId(narrow(a)?),
                rows: b,
            },
            4 | 12 => Self::Sine {
                rows: a,
                range_log2: narrow(b)?,
                terms: narrow(c)?,
                frac: narrow(d)?,
                narrow: kind == 12,
            },
            5 => Self::Truncate {
                len: a,
                by: narrow(b)?,
            },
            6 => Self::Matmul {
                rows: a,
                inner: b,
                cols: c,
            },
            7 => Self::Bits {
                words: a,
                lane: narrow(b)?,
            },
            8 => Self::And { words: a },
            9 => Self::Done,
            10 => Self::Vectors {
                matrix: MatrixId(narrow(a)?),
                transposed: b == 1,
                count: c,
            },
            11 => Self::InverseStep {
                d: a,
                first: narrow(b)?,
                cuts: [narrow(c)?, narrow(d)?],
            },
            13 => Self::Lift {
                len: a,
                by: narrow(b)?,
            },
            14 => Self::Entrywise { len: a },
            15 => Self::Descent {
                matrix: MatrixId(narrow(a)?),
                batches: b,
                epochs: c,
            },
            16 => Self::Steps {
                epoch: a,
                range: narrow(b)?,
                terms: narrow(c)?,
                frac: narrow(d)?,
            },
            _ => return Err(bad("an unknown kind of request")),
        };
        if got.fields()[..] != w[..] {
            return Err(bad("a request that is not in canonical form"));
        }
        Ok(got)
    }
}

/// For an owner-matrix operation with masked matrix `D = X - A`: over all parties, the `output`s
/// add up to `op(A, sum of operand masks)`.
#[derive(Debug)]
pub struct Product {
    /// Mask of this party's operand share; empty at the owner.
    pub operand: Words,
    /// Share of the product of masks.
    pub output: Words,
}

/// For masked rows `D = X - A` and weights with masks b: over all parties, the `spread`s add up to
/// `diag(b) A`, and the `gram`s to `Aᵀ diag(b) A`.
#[derive(Debug)]
pub struct Weighted {
    /// Mask of this party's share of the weights; empty at the owner.
    pub weights: Words,
    /// Share of `diag(b) A`, `[rows, cols]`.
    pub spread: Words,
    /// Share of `Aᵀ diag(b) A`, `[cols, cols]`.
    pub gram: Words,
}

/// Over all parties, `terms` add up to `b_k cos(k w rho)` and `b_k sin(k w rho)` for rho the sum
/// of `mask`s, in the layout of [`paripassu_crypto::sine::Sine::dealt_terms`]; narrow ones modulo 2^32, two in
/// a word.
#[derive(Debug)]
pub struct Sine {
    /// Summand of rho.
    pub mask: Words,
    /// Shares of the dealt terms.
    pub terms: Words,
}

/// Over all parties, for rho the sum of `mask`s: shares of `rho >> by` and of rho's top bit. For a lift rho is
/// the sum modulo 2^32 of `mask`s that stand two in a word.
#[derive(Debug)]
pub struct Truncate {
    /// Summand of rho.
    pub mask: Words,
    /// Share of `rho >> by`.
    pub shifted: Words,
    /// Share of rho's top bit.
    pub top: Words,
}

/// Additive shares of matrices with `c = a b`, or of vectors with the same entry by entry.
#[derive(Debug)]
pub struct Triple {
    /// Left factor.
    pub a: Words,
    /// Right factor.
    pub b: Words,
    /// Product.
    pub c: Words,
}

/// What one inverse needs: the mask of the matrix, and how far its steps have come.
#[derive(Debug)]
pub struct InverseMasks {
    /// Share of the upper triangle of A, the symmetric mask of the matrix.
    pub mask: Words,
    d: usize,
    next: u32,
}

/// For one step of an inverse of `[d, d]`: over all parties, `masks` add up to B, symmetric and given by its
/// upper triangle, and C, and `products` to A B and to the upper triangle of B C.
#[derive(Debug)]
pub struct InverseStep {
    /// Shares of B and C.
    pub masks: [Words; 2],
    /// Shares of A B and of B C.
    pub products: [Words; 2],
    /// For cutting the two products that the step makes.
    pub cut: [Truncate; 2],
}

/// Over all parties, for rho the lane-wise sum of `mask`s: exclusive-or shares of rho's bits.
#[derive(Debug)]
pub struct Masked {
    /// Summand of rho.
    pub mask: Words,
    /// Exclusive-or share of rho.
    pub bits: Words,
}

/// Exclusive-or shares with `c = a & b` and `e = a & d`, bit by bit.
#[derive(Debug)]
pub struct And {
    /// The common factor.
    pub a: Words,
    /// First factor.
    pub b: Words,
    /// Second factor.
    pub d: Words,
    /// `a & b`.
    pub c: Words,
    /// `a & d`.
    pub e: Words,
}

/// Where correlated randomness comes from.
pub trait CorrelationSource: Send {
    /// Says what will be asked for next, in order, so that it can be made meanwhile.
    fn announce(&mut self, next: &[Request]) -> impl Future<Output = Result<(), Abort>> + Send;

    /// Asks, in one message, for all that the next gates will ask for, in their order: it is then made while the
    /// parties are at work.
    fn prefetch(&mut self, next: &[Request]) -> impl Future<Output = Result<(), Abort>> + Send;

    /// Registers a matrix of `owner`.
    fn matrix(
        &mut self,
        owner: u8,
        rows: usize,
        cols: usize,
    ) -> impl Future<Output = Result<MatrixId, Abort>> + Send;

    /// Words of the mask of a matrix of this end, from word `position` of its rows on.
    fn mask(&self, matrix: MatrixId, position: u64, out: &mut [u64]);

    /// A correlation for `X V` or `Xᵀ V`, X the first `rows` rows of the matrix.
    fn product(
        &mut self,
        matrix: MatrixId,
        rows: usize,
        transposed: bool,
        k: usize,
    ) -> impl Future<Output = Result<Product, Abort>> + Send;

    /// Correlations for `count` products `X v` or `Xᵀ v` with the whole matrix, made in one go.
    fn vectors(
        &mut self,
        matrix: MatrixId,
        transposed: bool,
        count: usize,
    ) -> impl Future<Output = Result<Vec<Product>, Abort>> + Send;

    /// A correlation for weighting the first `rows` rows of a matrix.
    fn weighted(
        &mut self,
        matrix: MatrixId,
        rows: usize,
    ) -> impl Future<Output = Result<Weighted, Abort>> + Send;

    /// A correlation for the sine series: what [`Request::Sine`] asks for.
    fn sine(
        &mut self,
        rows: usize,
        range_log2: u32,
        terms: usize,
        frac: u32,
        narrow: bool,
    ) -> impl Future<Output = Result<Sine, Abort>> + Send;

    /// A correlation for dropping `by` bits.
    fn truncate(
        &mut self,
        len: usize,
        by: u32,
    ) -> impl Future<Output = Result<Truncate, Abort>> + Send;

    /// A correlation for dropping `by` bits of values modulo 2^32 while they enter the ring.
    fn lift(&mut self, len: usize, by: u32)
    -> impl Future<Output = Result<Truncate, Abort>> + Send;

    /// A matrix triple.
    fn matmul(
        &mut self,
        rows: usize,
        inner: usize,
        cols: usize,
    ) -> impl Future<Output = Result<Triple, Abort>> + Send;

    /// A triple of vectors, multiplied entry by entry.
    fn entrywise(&mut self, len: usize) -> impl Future<Output = Result<Triple, Abort>> + Send;

    /// Asks for all that an inverse of `[d, d]` in so many steps needs, whose products are cut by so many bits.
    fn inverse(
        &mut self,
        d: usize,
        steps: usize,
        cuts: [u32; 2],
    ) -> impl Future<Output = Result<InverseMasks, Abort>> + Send;

    /// What the next step of an inverse needs.
    fn inverse_step(
        &mut self,
        of: &mut InverseMasks,
    ) -> impl Future<Output = Result<InverseStep, Abort>> + Send;

    /// A mask with its bits.
    fn bits(
        &mut self,
        words: usize,
        lane: u32,
    ) -> impl Future<Output = Result<Masked, Abort>> + Send;

    /// Bit triples.
    fn and(&mut self, words: usize) -> impl Future<Output = Result<And, Abort>> + Send;

    /// Masks for so many epochs of so many batches: what [`Request::Descent`] asks for.
    fn descent(
        &mut self,
        first: MatrixId,
        batches: usize,
        epochs: usize,
    ) -> impl Future<Output = Result<Descent, Abort>> + Send;

    /// Asks for an epoch's sine terms and cuts, of the last descent, which was over these matrices and so many
    /// batches: what a [`Request::Steps`] asks for.
    fn steps(
        &mut self,
        of: (MatrixId, usize),
        request: &Request,
    ) -> impl Future<Output = Result<Steps, Abort>> + Send;

    /// What batch `b` of an epoch needs; each once.
    fn step(
        &mut self,
        of: &Steps,
        b: usize,
    ) -> impl Future<Output = Result<StepMasks, Abort>> + Send;

    /// Says that nothing more will be asked for.
    fn done(&mut self) -> impl Future<Output = Result<(), Abort>> + Send;
}
