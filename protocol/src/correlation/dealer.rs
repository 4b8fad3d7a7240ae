//! The helper's side of the `helper` profile: makes correlations on request and sends corrections.
//!
//! Functionality: for each request, all parties' parts satisfy the request's equation and are
//! otherwise uniform. Adversary: the helper is passive and colludes with nobody; it sees requests
//! (sizes, a function of the public plan) and no opening: party-to-party frames are sealed against
//! it. It sends only; it receives nothing that depends on data. Source: correlated randomness from
//! a semi-honest third party as in SecureML (ePrint 2017/396, section 4.3, client-aided variant)
//! and VERTICES (arXiv 2306.16139); the owner-matrix form is set out in `docs/protocols.md`.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use paripassu_crypto::{
    prg::{Label, Prg},
    ring64,
};
use rayon::prelude::*;

use super::{
    Request,
    descent::Group,
    helper::{MAX_ASKED, part},
    plan::{Plan, Shape, plan, shape, sine_series, words},
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec,
    compute::{offload, offload_long},
    ctx::Ctx,
};

/// What the helper did in a job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dealt {
    /// Requests served.
    pub requests: u64,
    /// Bytes of corrections sent.
    pub bytes: u64,
}

/// Serves requests until all parties say that they are done. `seeds[p]` is shared with party p.
///
/// # Errors
/// If parties ask for different things, or ask for what cannot be made, naming the party.
pub async fn deal<C: Channel>(ctx: &Ctx<C>, seeds: &[[u8; 32]]) -> Result<Dealt, Abort> {
    let ctx = ctx.narrow("corr");
    let dealer = Arc::new(Dealer {
        prgs: seeds.iter().map(Prg::new).collect(),
    });
    let parties: Vec<Role> = (0..seeds.len() as u8).map(Role::Party).collect();
    let mut matrices: Vec<Shape> = Vec::new();
    let mut series = HashMap::new();
    let mut group: Option<Arc<Group>> = None;
    let mut done = Dealt::default();
    let mut next = 0u32;
    loop {
        let asked = ctx
            .swap(&format!("ask-{next}"), Vec::new(), &parties)
            .await?;
        for request in agreed(&asked, &parties, ctx.path())? {
            let id = next;
            next = id
                .checked_add(1)
                .ok_or_else(|| Abort::Input("more requests than a job may make".into()))?;
            done.requests += 1;
            match request {
                Request::Done => return Ok(done),
                Request::Matrix { owner, rows, cols } => {
                    matrices.push(shape(owner, rows, cols, seeds.len(), ctx.path())?);
                    continue;
                }
                Request::Descent {
                    matrix,
                    batches,
                    epochs,
                } => {
                    // what is left of the one before goes first
                    drop(group.take());
                    let of = (matrix, batches, epochs);
                    let of = Group::plan(of, &matrices, seeds.len(), ctx.path())?;
                    let dealer = Arc::clone(&dealer);
                    let (made, bodies) = offload(move || dealer.descent(id, of)).await;
                    group = Some(Arc::new(made));
                    for (to, body) in parties.iter().zip(bodies) {
                        done.bytes += body.len() as u64;
                        ctx.send(*to, &format!("correct-{id}"), body).await?;
                    }
                    continue;
                }
                Request::Steps {
                    epoch,
                    range,
                    terms,
                    frac,
                } => {
                    let of = group.as_ref().filter(|g| g.has_epoch(epoch));
                    let of = of.ok_or_else(|| Abort::Malformed {
                        from: parties[0],
                        step: ctx.path().to_owned(),
                        problem: "steps of an epoch that no descent was asked for".into(),
                    })?;
                    words(&[of.largest_batch(), 2, terms.into()], ctx.path())?;
                    let made = sine_series(&mut series, (range, terms, frac), ctx.path())?;
                    for b in 0..of.batches() {
                        let (dealer, of) = (Arc::clone(&dealer), Arc::clone(of));
                        let (e, series) = (epoch as usize, Arc::clone(&made));
                        let step = offload(move || dealer.step(id, &of, (e, b), (&series, frac)));
                        let (to, body) = step.await;
                        done.bytes += body.len() as u64;
                        ctx.send(parties[to], &format!("step-{id}-{b}"), body)
                            .await?;
                    }
                    continue;
                }
                _ => {}
            }
            let plan = plan(&request, id, &matrices, &mut series, ctx.path())?;
            let (to, work, dealer) = (plan.to(), plan.work(), Arc::clone(&dealer));
            let make = move || codec::own_words(dealer.make(id, &plan));
            let body: Bytes = offload_long(work, make).await;
            done.bytes += body.len() as u64;
            ctx.send(to, &format!("correct-{id}"), body).await?;
        }
    }
}

/// What all parties ask for in a message of each: one request or several.
fn agreed(asked: &[Bytes], parties: &[Role], step: &str) -> Result<Vec<Request>, Abort> {
    let Some((first, rest)) = asked.split_first() else {
        return Err(Abort::Input("a helper without parties".into()));
    };
    for (body, from) in rest.iter().zip(&parties[1..]) {
        if body != first {
            return Err(Abort::Disagreement {
                from: *from,
                step: step.to_owned(),
                problem: "it asks for another correlation than party-0; are all nodes on one \
                          version of the software?"
                    .to_owned(),
            });
        }
    }
    if first.len() > Request::BYTES * MAX_ASKED {
        return Err(Abort::Malformed {
            from: parties[0],
            step: step.to_owned(),
            problem: format!("more than {MAX_ASKED} requests in a message"),
        });
    }
    // nothing at all is one malformed request
    let starts = (0..first.len().max(1)).step_by(Request::BYTES);
    let one = |at: usize| {
        let body = first.slice(at..first.len().min(at + Request::BYTES));
        Request::decode(&body, parties[0], step)
    };
    starts.map(one).collect()
}

pub(super) struct Dealer {
    pub(super) prgs: Vec<Prg>,
}

impl Dealer {
    /// Sum over `parties` of their streams at `(id, part)`.
    pub(super) fn sum(
        &self,
        id: u32,
        part: u8,
        len: usize,
        parties: impl Iterator<Item = usize>,
    ) -> Vec<u64> {
        self.folded(id, part, len, parties, |total, one| {
            ring64::add_assign(total, one)
        })
    }

    /// Exclusive or over `parties` of their streams at `(id, part)`.
    fn xor(&self, id: u32, part: u8, len: usize, parties: impl Iterator<Item = usize>) -> Vec<u64> {
        self.folded(id, part, len, parties, |total, one| {
            total.iter_mut().zip(one).for_each(|(t, o)| *t ^= o);
        })
    }

    /// As [`Self::sum`], of words of two halves each modulo 2^32.
    fn halves(
        &self,
        id: u32,
        part: u8,
        len: usize,
        parties: impl Iterator<Item = usize>,
    ) -> Vec<u64> {
        self.folded(id, part, len, parties, |total, one| {
            let total: &mut [u32] = bytemuck::cast_slice_mut(total);
            let one: &[u32] = bytemuck::cast_slice(one);
            total
                .iter_mut()
                .zip(one)
                .for_each(|(t, o)| *t = t.wrapping_add(*o));
        })
    }

    fn folded(
        &self,
        id: u32,
        part: u8,
        len: usize,
        mut parties: impl Iterator<Item = usize>,
        fold: impl Fn(&mut [u64], &[u64]),
    ) -> Vec<u64> {
        let mut total = vec![0; len];
        if let Some(first) = parties.next() {
            self.fill(first, id, part, &mut total);
        }
        let mut one = Vec::new();
        for p in parties {
            one.resize(len, 0);
            self.fill(p, id, part, &mut one);
            fold(&mut total, &one);
        }
        total
    }

    fn fill(&self, party: usize, id: u32, part: u8, out: &mut [u64]) {
        let Some(prg) = self.prgs.get(party) else {
            return;
        };
        out.par_chunks_mut(1 << 16)
            .enumerate()
            .for_each(|(i, out)| {
                prg.fill(Label::request(id, part), (i << 16) as u64, out);
            });
    }

    /// `rho >> by` and rho's top bit, less the other parties' shares; rho's, its shift's and the bit's streams.
    pub(super) fn cut(&self, id: u32, streams: [u8; 3], len: usize, by: u32) -> Vec<u64> {
        let n = self.prgs.len();
        let [mask, shifted, top] = streams;
        let rho = self.sum(id, mask, len, 0..n);
        let mut out: Vec<u64> = rho.iter().map(|r| r >> by).collect();
        ring64::sub_assign(&mut out, &self.sum(id, shifted, len, 1..n));
        let mut bit: Vec<u64> = rho.iter().map(|r| r >> 63).collect();
        ring64::sub_assign(&mut bit, &self.sum(id, top, len, 1..n));
        out.extend(bit);
        out
    }

    fn make(&self, id: u32, plan: &Plan) -> Vec<u64> {
        let n = self.prgs.len();
        let all = || 0..n;
        match *plan {
            Plan::Product {
                matrix,
                shape,
                transposed,
                k,
            } => {
                let others = || (0..n).filter(move |p| *p != shape.owner);
                let (inner, outer) = match transposed {
                    true => (shape.rows, shape.cols),
                    false => (shape.cols, shape.rows),
                };
                let v = self.sum(id, part::OPERAND, inner * k, others());
                let mut y = self.masked_product(matrix, shape, transposed, &v, k);
                ring64::sub_assign(&mut y, &self.sum(id, part::OUTPUT, outer * k, others()));
                y
            }
            Plan::Vectors {
                matrix,
                shape,
                transposed,
                count,
            } => {
                let others = || (0..n).filter(move |p| *p != shape.owner);
                let (inner, outer) = match transposed {
                    true => (shape.rows, shape.cols),
                    false => (shape.cols, shape.rows),
                };
                let v = self.sum(id, part::OPERAND, inner * count, others());
                let mut y = self.sum(id, part::OUTPUT, outer * count, others());
                y.par_iter_mut().for_each(|w| *w = w.wrapping_neg());
                match transposed {
                    true => self.masked_transposed(matrix, shape, &v, &mut y),
                    false => self.masked_rows(matrix, shape, &v, &mut y),
                }
                y
            }
            Plan::Weighted { matrix, shape } => {
                let others = || (0..n).filter(move |p| *p != shape.owner);
                let b = self.sum(id, part::OPERAND, shape.rows, others());
                let (mut spread, mut gram) = self.weighted(matrix, shape, &b);
                ring64::sub_assign(
                    &mut spread,
                    &self.sum(id, part::OUTPUT, shape.rows * shape.cols, others()),
                );
                ring64::sub_assign(
                    &mut gram,
                    &self.sum(id, part::THIRD, shape.cols * shape.cols, others()),
                );
                spread.extend(gram);
                spread
            }
            Plan::Sine {
                ref series,
                rows,
                frac,
                narrow: true,
            } => {
                let rho = self.sum(id, part::OPERAND, rows, all());
                let mut out = self.halves(id, part::OUTPUT, rows * series.terms(), 1..n);
                let terms: &mut [u32] = bytemuck::cast_slice_mut(&mut out);
                terms.par_iter_mut().for_each(|w| *w = w.wrapping_neg());
                series.dealt_terms(&rho, frac, terms);
                out
            }
            Plan::Sine {
                ref series,
                rows,
                frac,
                narrow: false,
            } => {
                let rho = self.sum(id, part::OPERAND, rows, all());
                let mut out = self.sum(id, part::OUTPUT, rows * series.words_per_row(), 1..n);
                out.par_iter_mut().for_each(|w| *w = w.wrapping_neg());
                series.dealt_terms(&rho, frac, &mut out);
                out
            }
            Plan::Truncate { len, by } => {
                self.cut(id, [part::OPERAND, part::OUTPUT, part::THIRD], len, by)
            }
            Plan::Lift { len, by } => {
                let rho = self.halves(id, part::OPERAND, len.div_ceil(2), all());
                let rho = &bytemuck::cast_slice::<u64, u32>(&rho)[..len];
                let shifted = rho.iter().map(|r| u64::from(r >> by));
                let mut out: Vec<u64> = shifted
                    .chain(rho.iter().map(|r| u64::from(r >> 31)))
                    .collect();
                let (shifted, top) = out.split_at_mut(len);
                ring64::sub_assign(shifted, &self.sum(id, part::OUTPUT, len, 1..n));
                ring64::sub_assign(top, &self.sum(id, part::THIRD, len, 1..n));
                out
            }
            Plan::InverseStep { d, first, cuts } => self.inverse_step(id, first, d, cuts),
            Plan::Matmul { rows, inner, cols } => {
                let a = self.sum(id, part::OPERAND, rows * inner, all());
                let b = self.sum(id, part::THIRD, inner * cols, all());
                let mut c = vec![0; rows * cols];
                ring64::mat_mat(&a, inner, &b, cols, &mut c);
                ring64::sub_assign(&mut c, &self.sum(id, part::OUTPUT, rows * cols, 1..n));
                c
            }
            Plan::Entrywise { len } => {
                let mut c = self.sum(id, part::OPERAND, len, all());
                let b = self.sum(id, part::THIRD, len, all());
                c.iter_mut()
                    .zip(&b)
                    .for_each(|(a, b)| *a = a.wrapping_mul(*b));
                ring64::sub_assign(&mut c, &self.sum(id, part::OUTPUT, len, 1..n));
                c
            }
            Plan::Bits { words, lane } => {
                let mut rho = vec![0u64; words];
                let mut one = vec![0u64; words];
                for p in all() {
                    self.fill(p, id, part::OPERAND, &mut one);
                    for (r, o) in rho.iter_mut().zip(&one) {
                        *r = crate::arith::sign::add_lanes(*r, *o, lane);
                    }
                }
                let mask = self.xor(id, part::OUTPUT, words, 1..n);
                rho.iter_mut().zip(&mask).for_each(|(r, m)| *r ^= m);
                rho
            }
            Plan::And { words } => {
                let a = self.xor(id, part::OPERAND, words, all());
                let mut out = Vec::with_capacity(2 * words);
                for (factor, product) in [(part::THIRD, part::OUTPUT), (part::FOURTH, part::FIFTH)]
                {
                    let b = self.xor(id, factor, words, all());
                    let mask = self.xor(id, product, words, 1..n);
                    out.extend(a.iter().zip(&b).zip(&mask).map(|((a, b), m)| (a & b) ^ m));
                }
                out
            }
        }
    }
}
