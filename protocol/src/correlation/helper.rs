//! The `helper` profile, seen from a data party.
//!
//! Each party shares a seed with the helper. Everything a party holds of a correlation is
//! expanded from it, except at one party, to which the helper sends the correction that makes the
//! equation hold: the matrix's owner for products, party 0 for all else.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use paripassu_crypto::prg::{Label, Prg};
use zeroize::Zeroizing;

use super::{
    And, CorrelationSource, Descent, InverseMasks, InverseStep, Masked, MatrixId, Product, Request,
    Sine, StepMasks, Steps, Triple, Truncate, Weighted, Words,
};
use crate::{
    abort::Abort,
    arith::inverse::triangle_len,
    channel::{Channel, Role},
    codec,
    ctx::Ctx,
};

/// Parts of a request that have a stream of their own.
pub(super) mod part {
    pub(in super::super) const OPERAND: u8 = 0;
    pub(in super::super) const OUTPUT: u8 = 1;
    pub(in super::super) const THIRD: u8 = 2;
    pub(in super::super) const FOURTH: u8 = 3;
    pub(in super::super) const FIFTH: u8 = 4;
    /// Mask, shifted mask and its top bit of each of two cuts.
    pub(in super::super) const CUTS: [[u8; 3]; 2] = [[5, 6, 7], [8, 9, 10]];
}

/// Most requests in one message.
pub(super) const MAX_ASKED: usize = 1024;

#[derive(Clone, Copy)]
pub(super) struct Shape {
    owner: u8,
    pub(super) rows: usize,
    pub(super) cols: usize,
}

/// A request that was sent: its number, and how many rounds had passed by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) id: u32,
    pub(super) at: u64,
}

/// A [`CorrelationSource`] served by an independent helper.
pub struct HelperSource<C> {
    pub(super) ctx: Ctx<C>,
    pub(super) me: u8,
    pub(super) prg: Arc<Prg>,
    next: u32,
    announced: VecDeque<(Request, Asked)>,
    /// Asked for before gates announce it, in the order in which they will.
    prefetched: VecDeque<(Request, Asked)>,
    /// When the steps of the inverse under way were asked for.
    inverse_at: u64,
    matrices: Vec<Shape>,
}

impl<C> std::fmt::Debug for HelperSource<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HelperSource({} requests)", self.next)
    }
}

impl<C: Channel> HelperSource<C> {
    /// A source for this data party, with the seed it shares with the helper.
    ///
    /// # Errors
    /// If this end is not a data party.
    pub fn new(ctx: &Ctx<C>, seed: &[u8; 32]) -> Result<Self, Abort> {
        let Role::Party(me) = ctx.role() else {
            return Err(Abort::Input(
                "only a data party asks for correlations".into(),
            ));
        };
        Ok(Self {
            ctx: ctx.narrow("corr"),
            me,
            prg: Arc::new(Prg::new(seed)),
            next: 0,
            announced: VecDeque::new(),
            prefetched: VecDeque::new(),
            inverse_at: 0,
            matrices: Vec::new(),
        })
    }

    async fn send(&mut self, request: &Request) -> Result<Asked, Abort> {
        self.send_all(std::slice::from_ref(request)).await
    }

    /// Sends requests in one message; the number of the first.
    async fn send_all(&mut self, requests: &[Request]) -> Result<Asked, Abort> {
        let id = self.next;
        self.next = u32::try_from(requests.len())
            .ok()
            .and_then(|count| id.checked_add(count))
            .ok_or_else(|| Abort::Input("too many requests".into()))?;
        let body = Request::encode_all(requests);
        self.ctx
            .send(Role::Helper, &format!("ask-{id}"), body)
            .await?;
        let at = self.ctx.meter().rounds();
        Ok(Asked { id, at })
    }

    /// The number of a request that was asked for ahead, the first of these that is the same: what was asked for
    /// a later gate stays where it is when another gate comes in between.
    fn next_prefetched(&mut self, request: &Request) -> Option<Asked> {
        let at = self.prefetched.iter().position(|(r, _)| r == request)?;
        self.prefetched.remove(at).map(|(_, asked)| asked)
    }

    pub(super) async fn ticket(&mut self, request: &Request) -> Result<Asked, Abort> {
        match self.announced.iter().position(|(r, _)| r == request) {
            Some(at) => match self.announced.remove(at) {
                Some((_, asked)) => Ok(asked),
                None => self.send(request).await,
            },
            None => match self.next_prefetched(request) {
                Some(asked) => Ok(asked),
                None => self.send(request).await,
            },
        }
    }

    /// What the helper sends to the corrected party.
    pub(super) async fn correction(&self, asked: Asked) -> Result<Bytes, Abort> {
        let name = format!("correct-{}", asked.id);
        self.ctx.recv_asked(Role::Helper, &name, asked.at).await
    }

    fn words(&self, asked: Asked, part: u8, len: usize) -> Words {
        Zeroizing::new(self.prg.words(Label::request(asked.id, part), len))
    }

    /// Words at `part`: the correction at the corrected party, the seed's elsewhere.
    async fn corrected(
        &self,
        asked: Asked,
        at: u8,
        parts: &[(u8, usize)],
    ) -> Result<Vec<Words>, Abort> {
        if self.me != at {
            return Ok(parts
                .iter()
                .map(|(p, len)| self.words(asked, *p, *len))
                .collect());
        }
        let body = self.correction(asked).await?;
        let total = parts.iter().map(|(_, len)| len).sum();
        let mut all = codec::take_words(&body, total, Role::Helper, self.ctx.path())?;
        if let [_] = parts {
            return Ok(vec![Zeroizing::new(all)]);
        }
        let mut out = Vec::with_capacity(parts.len());
        for (_, len) in parts.iter().rev() {
            out.push(Zeroizing::new(all.split_off(all.len() - len)));
        }
        out.reverse();
        Ok(out)
    }

    async fn cut(&self, asked: Asked, mask: Words, len: usize) -> Result<Truncate, Abort> {
        let parts = [(part::OUTPUT, len), (part::THIRD, len)];
        let mut out = self.corrected(asked, 0, &parts).await?;
        let top = out.pop().unwrap_or_default();
        Ok(Truncate {
            mask,
            shifted: out.pop().unwrap_or_default(),
            top,
        })
    }

    pub(super) fn shape(&self, matrix: MatrixId) -> Result<Shape, Abort> {
        self.matrices
            .get(matrix.0 as usize)
            .copied()
            .ok_or_else(|| Abort::Input(format!("no matrix {}", matrix.0)))
    }

    /// The mask of what this party adds to an operation on another's matrix; nothing at the owner.
    fn not_owners(&self, asked: Asked, shape: Shape, len: usize) -> Words {
        match shape.owner == self.me {
            true => Zeroizing::new(Vec::new()),
            false => self.words(asked, part::OPERAND, len),
        }
    }
}

impl<C: Channel> CorrelationSource for HelperSource<C> {
    async fn announce(&mut self, next: &[Request]) -> Result<(), Abort> {
        for r in next {
            let asked = match self.next_prefetched(r) {
                Some(asked) => asked,
                None => self.send(r).await?,
            };
            self.announced.push_back((r.clone(), asked));
        }
        Ok(())
    }

    async fn prefetch(&mut self, next: &[Request]) -> Result<(), Abort> {
        for part in next.chunks(MAX_ASKED) {
            let first = self.send_all(part).await?;
            let at = first.at;
            let numbered = (first.id..).map(|id| Asked { id, at });
            self.prefetched.extend(part.iter().cloned().zip(numbered));
        }
        Ok(())
    }

    async fn matrix(&mut self, owner: u8, rows: usize, cols: usize) -> Result<MatrixId, Abort> {
        let request = Request::Matrix {
            owner,
            rows: rows as u64,
            cols: cols as u64,
        };
        let _ = self.ticket(&request).await?;
        let id = self.matrices.len() as u32;
        self.matrices.push(Shape { owner, rows, cols });
        Ok(MatrixId(id))
    }

    fn mask(&self, matrix: MatrixId, position: u64, out: &mut [u64]) {
        self.prg.fill(Label::matrix(matrix.0), position, out);
    }

    async fn product(
        &mut self,
        matrix: MatrixId,
        rows: usize,
        transposed: bool,
        k: usize,
    ) -> Result<Product, Abort> {
        let shape = self.shape(matrix)?;
        let request = Request::Product {
            matrix,
            rows: rows as u64,
            transposed,
            k: k as u64,
        };
        let (inner, outer) = match transposed {
            true => (rows, shape.cols),
            false => (shape.cols, rows),
        };
        let asked = self.ticket(&request).await?;
        let operand = self.not_owners(asked, shape, inner * k);
        let parts = [(part::OUTPUT, outer * k)];
        let mut out = self.corrected(asked, shape.owner, &parts).await?;
        Ok(Product {
            operand,
            output: out.pop().unwrap_or_default(),
        })
    }

    async fn vectors(
        &mut self,
        matrix: MatrixId,
        transposed: bool,
        count: usize,
    ) -> Result<Vec<Product>, Abort> {
        let shape = self.shape(matrix)?;
        let request = Request::Vectors {
            matrix,
            transposed,
            count: count as u64,
        };
        let (inner, outer) = match transposed {
            true => (shape.rows, shape.cols),
            false => (shape.cols, shape.rows),
        };
        let asked = self.ticket(&request).await?;
        if shape.owner == self.me {
            let body = self.correction(asked).await?;
            let all = codec::take_parts(&body, count, outer, Role::Helper, self.ctx.path())?;
            let product = |output| Product {
                operand: Zeroizing::default(),
                output: Zeroizing::new(output),
            };
            return Ok(all.into_iter().map(product).collect());
        }
        let stream = |part: u8, len: usize, t: usize| {
            let mut words = Zeroizing::new(vec![0; len]);
            let from = (t * len) as u64;
            self.prg
                .fill(Label::request(asked.id, part), from, &mut words);
            words
        };
        let product = |t| Product {
            operand: stream(part::OPERAND, inner, t),
            output: stream(part::OUTPUT, outer, t),
        };
        Ok((0..count).map(product).collect())
    }

    async fn weighted(&mut self, matrix: MatrixId, rows: usize) -> Result<Weighted, Abort> {
        let shape = self.shape(matrix)?;
        let request = Request::Weighted {
            matrix,
            rows: rows as u64,
        };
        let asked = self.ticket(&request).await?;
        let weights = self.not_owners(asked, shape, rows);
        let (spread, gram) = (rows * shape.cols, shape.cols * shape.cols);
        let parts = [(part::OUTPUT, spread), (part::THIRD, gram)];
        let mut out = self.corrected(asked, shape.owner, &parts).await?;
        let gram = out.pop().unwrap_or_default();
        Ok(Weighted {
            weights,
            spread: out.pop().unwrap_or_default(),
            gram,
        })
    }

    async fn sine(
        &mut self,
        rows: usize,
        range_log2: u32,
        terms: usize,
        frac: u32,
        narrow: bool,
    ) -> Result<Sine, Abort> {
        let request = Request::Sine {
            rows: rows as u64,
            range_log2,
            terms: terms as u32,
            frac,
            narrow,
        };
        let asked = self.ticket(&request).await?;
        let mask = self.words(asked, part::OPERAND, rows);
        let len = rows * terms * if narrow { 1 } else { 2 };
        let mut out = self.corrected(asked, 0, &[(part::OUTPUT, len)]).await?;
        Ok(Sine {
            mask,
            terms: out.pop().unwrap_or_default(),
        })
    }

    async fn truncate(&mut self, len: usize, by: u32) -> Result<Truncate, Abort> {
        let asked = self
            .ticket(&Request::Truncate {
                len: len as u64,
                by,
            })
            .await?;
        let mask = self.words(asked, part::OPERAND, len);
        self.cut(asked, mask, len).await
    }

    async fn lift(&mut self, len: usize, by: u32) -> Result<Truncate, Abort> {
        let request = Request::Lift {
            len: len as u64,
            by,
        };
        let asked = self.ticket(&request).await?;
        let mask = self.words(asked, part::OPERAND, len.div_ceil(2));
        self.cut(asked, mask, len).await
    }

    async fn matmul(&mut self, rows: usize, inner: usize, cols: usize) -> Result<Triple, Abort> {
        let (r, i, c) = (rows as u64, inner as u64, cols as u64);
        let asked = self
            .ticket(&Request::Matmul {
                rows: r,
                inner: i,
                cols: c,
            })
            .await?;
        let a = self.words(asked, part::OPERAND, rows * inner);
        let b = self.words(asked, part::THIRD, inner * cols);
        let mut out = self
            .corrected(asked, 0, &[(part::OUTPUT, rows * cols)])
            .await?;
        Ok(Triple {
            a,
            b,
            c: out.pop().unwrap_or_default(),
        })
    }

    async fn entrywise(&mut self, len: usize) -> Result<Triple, Abort> {
        let asked = self.ticket(&Request::Entrywise { len: len as u64 }).await?;
        let a = self.words(asked, part::OPERAND, len);
        let b = self.words(asked, part::THIRD, len);
        let mut out = self.corrected(asked, 0, &[(part::OUTPUT, len)]).await?;
        Ok(Triple {
            a,
            b,
            c: out.pop().unwrap_or_default(),
        })
    }

    async fn inverse(
        &mut self,
        d: usize,
        steps: usize,
        cuts: [u32; 2],
    ) -> Result<InverseMasks, Abort> {
        let first = self.next;
        let request = Request::InverseStep {
            d: d as u64,
            first,
            cuts,
        };
        let at = self.ctx.meter().rounds();
        for _ in 0..steps {
            self.send(&request).await?;
        }
        self.inverse_at = at;
        let begun = Asked { id: first, at };
        Ok(InverseMasks {
            mask: self.words(begun, part::OPERAND, triangle_len(d)),
            d,
            next: first,
        })
    }

    async fn inverse_step(&mut self, of: &mut InverseMasks) -> Result<InverseStep, Abort> {
        let (id, full, upper) = (of.next, of.d * of.d, triangle_len(of.d));
        if id >= self.next {
            return Err(Abort::Input(
                "an inverse has more steps than were asked for".into(),
            ));
        }
        of.next += 1;
        let at = self.inverse_at;
        let asked = Asked { id, at };
        let masks = [(part::THIRD, upper), (part::FOURTH, full)];
        let masks = masks.map(|(part, len)| self.words(asked, part, len));
        let [p, y] = part::CUTS;
        let parts = [
            (part::OUTPUT, full),
            (part::FIFTH, upper),
            (p[1], full),
            (p[2], full),
            (y[1], upper),
            (y[2], upper),
        ];
        let mut out = self.corrected(asked, 0, &parts).await?.into_iter();
        let mut next = || out.next().unwrap_or_default();
        let products = [next(), next()];
        let cut = [(p, full), (y, upper)].map(|([mask, ..], len)| Truncate {
            mask: self.words(asked, mask, len),
            shifted: next(),
            top: next(),
        });
        Ok(InverseStep {
            masks,
            products,
            cut,
        })
    }

    async fn bits(&mut self, words: usize, lane: u32) -> Result<Masked, Abort> {
        let asked = self
            .ticket(&Request::Bits {
                words: words as u64,
                lane,
            })
            .await?;
        let mask = self.words(asked, part::OPERAND, words);
        let mut out = self.corrected(asked, 0, &[(part::OUTPUT, words)]).await?;
        Ok(Masked {
            mask,
            bits: out.pop().unwrap_or_default(),
        })
    }

    async fn and(&mut self, words: usize) -> Result<And, Abort> {
        let asked = self
            .ticket(&Request::And {
                words: words as u64,
            })
            .await?;
        let a = self.words(asked, part::OPERAND, words);
        let b = self.words(asked, part::THIRD, words);
        let d = self.words(asked, part::FOURTH, words);
        let mut out = self
            .corrected(asked, 0, &[(part::OUTPUT, words), (part::FIFTH, words)])
            .await?;
        let e = out.pop().unwrap_or_default();
        Ok(And {
            a,
            b,
            d,
            c: out.pop().unwrap_or_default(),
            e,
        })
    }

    async fn descent(
        &mut self,
        first: MatrixId,
        batches: usize,
        epochs: usize,
    ) -> Result<Descent, Abort> {
        self.masks_of_descent(first, batches, epochs).await
    }

    async fn steps(&mut self, of: (MatrixId, usize), request: &Request) -> Result<Steps, Abort> {
        self.steps_of(of, request).await
    }

    async fn step(&mut self, of: &Steps, b: usize) -> Result<StepMasks, Abort> {
        self.masks_of_step(of, b).await
    }

    async fn done(&mut self) -> Result<(), Abort> {
        let _ = self.ticket(&Request::Done).await?;
        Ok(())
    }
}
