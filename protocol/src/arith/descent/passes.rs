//! The batches of some epochs, one after the other.

use std::sync::Arc;

use bytes::Bytes;
use paripassu_crypto::{ring64, share::Shares, sine::Sine};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{Held, NarrowMatrix};
use crate::{
    abort::Abort,
    arith::{
        engine::Engine,
        truncate::{masked, shifted},
    },
    channel::{Channel, Role},
    codec::{self, NARROW, NARROW_BYTES},
    compute::{offload, offload_long},
    correlation::{
        CorrelationSource, Descent, Request, StepMasks, Steps, Truncate, Words,
        descent::{CUTS, first_row},
    },
};

/// Bits of an opened phase.
const PHASE: u32 = 32;

/// Where a batch stands, and how its sigmoid is evaluated.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Epoch within the present group, from 0.
    pub epoch: usize,
    /// Batch, from 0.
    pub batch: usize,
    /// The series.
    pub series: Arc<Sine>,
    /// Fraction bits of residuals: those of dealt terms, and of sines.
    pub frac: [u32; 2],
}

impl Batch {
    /// This party's shares of a batch's residuals, modulo 2^40; `label` is party 0's, of these rows.
    pub async fn residuals(
        &self,
        theta: Vec<u32>,
        masks: StepMasks,
        label: Option<Zeroizing<Vec<u8>>>,
    ) -> Words {
        let (series, [terms, sines]) = (Arc::clone(&self.series), self.frac);
        // a term takes as long as some multiplications
        let work = 4 * theta.len() * series.words_per_row();
        offload_long(work, move || {
            let one = 1u64 << (terms + sines);
            let mut r = Zeroizing::new(match label {
                Some(y) => y
                    .iter()
                    .map(|y| (one / 2).wrapping_sub(one.wrapping_mul(u64::from(*y))))
                    .collect(),
                None => vec![0; theta.len()],
            });
            masks.terms.each_block(|rows, terms| {
                series.add_dithered(&theta[rows.clone()], terms, sines, &mut r[rows]);
            });
            r
        })
        .await
    }
}

/// What a batch's first opening brought besides phases: gradient and step of the batch before, cut.
#[derive(Debug)]
pub struct Updates {
    /// The gradient, in the ring modulo 2^64.
    pub gradient: Shares,
    /// What stays of the step.
    pub kept: Shares,
}

/// Matrices of all parties, and what was made for the batches of the present group of epochs.
pub struct Passes {
    matrices: Vec<NarrowMatrix>,
    batches: usize,
    group: Option<Group>,
    /// The others' masked shares of this party's weights, summed.
    masked: Vec<u64>,
}

struct Group {
    masks: Arc<Descent>,
    /// z of all rows, `[epoch][row]`.
    scores: Arc<Words>,
    /// Shares of gradients as far as they are known before, `[epoch][batch][all columns]`.
    gradients: Words,
}

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passes({:?}, {} batches)", self.matrices, self.batches)
    }
}

impl Passes {
    /// Of matrices of all parties in their order, in so many batches.
    pub fn new(matrices: Vec<NarrowMatrix>, batches: usize) -> Self {
        Self {
            matrices,
            batches,
            group: None,
            masked: Vec::new(),
        }
    }

    /// The matrices.
    pub fn matrices(&self) -> &[NarrowMatrix] {
        &self.matrices
    }

    fn rows(&self) -> usize {
        self.matrices.first().map_or(0, |m| m.rows)
    }

    /// Columns of all parties.
    pub fn width(&self) -> usize {
        self.matrices.iter().map(|m| m.cols).sum()
    }

    /// First row of batch `b`.
    fn first_row(&self, b: usize) -> usize {
        first_row(self.rows(), self.batches, b)
    }

    /// Rows of batch `b`.
    pub fn rows_of(&self, b: usize) -> std::ops::Range<usize> {
        self.first_row(b)..self.first_row(b + 1)
    }

    /// Columns of all parties before party `p`'s.
    fn first_column(&self, p: usize) -> usize {
        self.matrices.iter().take(p).map(|m| m.cols).sum()
    }

    fn group(&self) -> Result<&Group, Abort> {
        let none = || Abort::Input("no masks were made for this epoch".into());
        self.group.as_ref().ok_or_else(none)
    }

    /// What the masks of so many epochs are asked for with.
    pub fn request(&self, epochs: usize) -> Option<Request> {
        Some(Request::Descent {
            matrix: self.matrices.first()?.id,
            batches: self.batches as u64,
            epochs: epochs as u64,
        })
    }

    /// What an epoch's terms are asked for with.
    pub fn steps_request(of: &Batch) -> Request {
        Request::Steps {
            epoch: of.epoch as u64,
            range: of.series.range() as u32,
            terms: of.series.terms() as u32,
            frac: of.frac[0],
        }
    }
}

/// For batch `b`: z and gradients of all epochs, as far as masks and masked matrices go.
fn ahead(
    masks: &Descent,
    matrices: &[(usize, Option<Arc<Vec<u64>>>)],
    (rows, batches, epochs): (usize, usize, usize),
    b: usize,
) -> (Vec<Words>, Vec<Words>) {
    let at = first_row(rows, batches, b);
    let m = first_row(rows, batches, b + 1) - at;
    let width: usize = matrices.iter().map(|(cols, _)| cols).sum();
    let (mut scores, mut gradients, mut by) = (Vec::new(), Vec::new(), Vec::new());
    for e in 0..epochs {
        let zeros = |len| Zeroizing::new(vec![0; len]);
        let (mut z, mut s) = (zeros(m), zeros(m));
        let (mut v, mut g) = (zeros(width), zeros(width));
        masks.phases(e * rows + at, &mut z);
        masks.residuals(e * rows + at, &mut s);
        masks.operands((e * batches + b) * width, &mut v);
        masks.outputs((e * batches + b) * width, &mut g);
        scores.push(z);
        gradients.push(g);
        by.push((v, s));
    }
    let mut first = 0;
    for (cols, d) in matrices {
        let columns = first..first + cols;
        first += cols;
        let Some(d) = d else { continue };
        // a block of the matrix stays in the cache for all epochs
        const BLOCK: usize = 1024;
        for from in (0..m).step_by(BLOCK) {
            let to = m.min(from + BLOCK);
            let d = &d[(at + from) * cols..(at + to) * cols];
            for (e, (v, s)) in by.iter().enumerate() {
                ring64::mat_vec_here(d, &v[columns.clone()], &mut scores[e][from..to]);
                ring64::mat_t_vec_here(d, &s[from..to], &mut gradients[e][columns.clone()]);
            }
        }
    }
    (scores, gradients)
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Makes masks for the next epochs.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The source's.
    pub async fn prepare_epochs(&mut self, of: &mut Passes, epochs: usize) -> Result<(), Abort> {
        let first = of.matrices.first().map(|m| m.id);
        let first = first.ok_or_else(|| Abort::Input("no matrices".into()))?;
        of.group = None;
        let masks = self.source.descent(first, of.batches, epochs).await?;
        let masks = Arc::new(masks);
        let (rows, batches, width) = (of.rows(), of.batches, of.width());
        let matrices: Vec<_> = of
            .matrices
            .iter()
            .map(|m| match &m.held {
                Held::Mine(_) => (m.cols, None),
                Held::Masked(d) => (m.cols, Some(Arc::clone(d))),
            })
            .collect();
        let me = self.me();
        let columns = of.first_column(me)..of.first_column(me + 1);
        let group = offload(move || {
            let made: Vec<_> = (0..batches)
                .into_par_iter()
                .map(|b| ahead(&masks, &matrices, (rows, batches, epochs), b))
                .collect();
            let mut scores = Zeroizing::new(vec![0; epochs * rows]);
            let mut gradients = Zeroizing::new(vec![0; epochs * batches * width]);
            for (b, (z, g)) in made.into_iter().enumerate() {
                let at = first_row(rows, batches, b);
                for e in 0..epochs {
                    scores[e * rows + at..][..z[e].len()].copy_from_slice(&z[e]);
                    let place = e * batches + b;
                    let out = &mut gradients[place * width..][..width];
                    out.copy_from_slice(&g[e]);
                    // of the own columns, what the source sent
                    let own = columns.len();
                    out[columns.clone()].copy_from_slice(&masks.gradients[place * own..][..own]);
                }
            }
            Group {
                masks,
                scores: Arc::new(scores),
                gradients,
            }
        });
        of.group = Some(group.await);
        Ok(())
    }

    /// An epoch's terms, as they are asked for: before its first batch.
    ///
    /// # Errors
    /// The source's.
    pub async fn steps(&mut self, of: &Passes, batch: &Batch) -> Result<Steps, Abort> {
        let first = of.matrices.first().map(|m| m.id);
        let first = first.ok_or_else(|| Abort::Input("no matrices".into()))?;
        let request = Passes::steps_request(batch);
        self.source.steps((first, of.batches), &request).await
    }

    /// For each other party its part of a message: this party's masked shares of that party's weights.
    fn masked_weights(
        &self,
        of: &Passes,
        weights: &Shares,
        (e, b): (usize, usize),
        bodies: &mut [(Role, Vec<u8>)],
    ) -> Result<(), Abort> {
        let width = of.width();
        let mut v = Zeroizing::new(vec![0; width]);
        let place = (e * of.batches + b) * width;
        of.group()?.masks.operands(place, &mut v);
        for (to, body) in bodies {
            let p = to.index().unwrap_or_default();
            let columns = of.first_column(p)..of.first_column(p + 1);
            let words = weights.words()[columns.clone()].iter().zip(&v[columns]);
            let words = words.map(|(w, b)| (w >> (64 - NARROW)).wrapping_sub(*b));
            codec::append_narrow(body, words);
        }
        Ok(())
    }

    /// Adds up the others' masked shares of this party's weights, in the ends of messages from `at` on.
    fn take_weights(&self, of: &mut Passes, got: &[(Role, Bytes)], at: usize) -> Result<(), Abort> {
        let own = of.matrices.get(self.me()).map_or(0, |m| m.cols);
        let mut sum = vec![0; own];
        let mut one = vec![0; own];
        for (from, body) in got {
            codec::of_length(body, at + own * NARROW_BYTES, *from, self.path())?;
            codec::read_narrow(&body[at..], &mut one);
            ring64::add_assign(&mut sum, &one);
        }
        of.masked = sum;
        Ok(())
    }

    /// Sends masked weights before the first batch of an epoch.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's.
    pub async fn begin_epoch(
        &mut self,
        of: &mut Passes,
        weights: &Shares,
        epoch: usize,
    ) -> Result<(), Abort> {
        let peers: Vec<Role> = self.at_step().peers().collect();
        let mut bodies: Vec<_> = peers.iter().map(|p| (*p, Vec::new())).collect();
        self.masked_weights(of, weights, (epoch, 0), &mut bodies)?;
        let out = bodies.into_iter().map(|(p, b)| (p, b.into())).collect();
        let name = self.name("weights");
        let got = self.at_step().clone().swap(&name, out, &peers).await?;
        let got: Vec<_> = peers.into_iter().zip(got).collect();
        self.take_weights(of, &got, 0)
    }

    /// Masked phases of a batch's scores, opened; and, after the first batch, gradient and step of the one before.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's; or if what is cut is missing.
    pub async fn phases(
        &mut self,
        of: &Passes,
        at: &Batch,
        weights: &Shares,
        cut: Option<([Shares; 2], &[Truncate; 2])>,
    ) -> Result<(Vec<u32>, Option<Updates>), Abort> {
        let me = self.me();
        let rows = of.rows_of(at.batch);
        let m = rows.len();
        let columns = of.first_column(me)..of.first_column(me + 1);
        let mut w = Zeroizing::new(of.masked.clone());
        for (w, own) in w.iter_mut().zip(&weights.words()[columns]) {
            *w = w.wrapping_add(own >> (64 - NARROW));
        }
        let Some(Held::Mine(x)) = of.matrices.get(me).map(|m| &m.held) else {
            return Err(Abort::Input("this party's matrix is missing".into()));
        };
        let (x, scores) = (Arc::clone(x), Arc::clone(&of.group()?.scores));
        let first = at.epoch * of.rows() + rows.start;
        let first_party = me == 0;
        let mut opened: Vec<u64> = Vec::new();
        if let Some((values, by)) = &cut {
            for (v, c) in values.iter().zip(by.iter()) {
                opened.extend(masked(v.words(), c, first_party));
            }
        }
        let more = opened.clone();
        let work = m * w.len();
        let (mut theta, body) = offload_long(work, move || {
            let mut z = Zeroizing::new(scores[first..first + m].to_vec());
            x.rows_by(rows, &w, &mut z);
            let theta: Vec<u32> = z.iter().map(|z| (z >> (NARROW - PHASE)) as u32).collect();
            let mut body = Vec::with_capacity(4 * m + 8 * more.len());
            body.extend(theta.iter().flat_map(|t| t.to_le_bytes()));
            body.extend(more.iter().flat_map(|w| w.to_le_bytes()));
            (theta, Bytes::from(body))
        })
        .await;
        let got = self.broadcast("phases", body).await?;
        let mut sum = opened;
        for (from, body) in got {
            codec::of_length(&body, 4 * m + 8 * sum.len(), from, self.path())?;
            let (phases, rest) = body.split_at(4 * m);
            let (phases, _) = phases.as_chunks::<4>();
            for (t, theirs) in theta.iter_mut().zip(phases) {
                *t = t.wrapping_add(u32::from_le_bytes(*theirs));
            }
            let (rest, _) = rest.as_chunks::<8>();
            for (s, theirs) in sum.iter_mut().zip(rest) {
                *s = s.wrapping_add(u64::from_le_bytes(*theirs));
            }
        }
        let Some((values, by)) = cut else {
            return Ok((theta, None));
        };
        let (gradient, kept) = sum.split_at(of.width());
        let one = |(opened, i): (&[u64], usize)| {
            let frac = values[i].frac() - CUTS[i];
            Shares::new(shifted(opened, &by[i], CUTS[i], first_party), frac)
        };
        Ok((
            theta,
            Some(Updates {
                gradient: one((gradient, 0)),
                kept: one((kept, 1)),
            }),
        ))
    }

    /// Shares of a batch's gradient, modulo 2^40, of all columns; sends this party's masked shares of the weights of
    /// the next batch along, if there is one.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's.
    pub async fn gradients(
        &mut self,
        of: &mut Passes,
        at: &Batch,
        residual: Words,
        weights: &Shares,
    ) -> Result<Words, Abort> {
        let me = self.me();
        let rows = of.rows_of(at.batch);
        let m = rows.len();
        let masks = Arc::clone(&of.group()?.masks);
        let first = at.epoch * of.rows() + rows.start;
        let (residual, common) = offload_long(m, move || {
            let mut s = Zeroizing::new(vec![0; m]);
            masks.residuals(first, &mut s);
            let mut body = Vec::with_capacity(m * NARROW_BYTES);
            let hidden = residual.iter().zip(s.iter());
            codec::append_narrow(&mut body, hidden.map(|(r, s)| r.wrapping_sub(*s)));
            (residual, body)
        })
        .await;
        let peers: Vec<Role> = self.at_step().peers().collect();
        let mut bodies: Vec<_> = peers.iter().map(|p| (*p, common.clone())).collect();
        let next = at.batch + 1 < of.batches;
        if next {
            self.masked_weights(of, weights, (at.epoch, at.batch + 1), &mut bodies)?;
        }
        let out = bodies.into_iter().map(|(p, b)| (p, b.into())).collect();
        let name = self.name("residuals");
        let got = self.at_step().clone().swap(&name, out, &peers).await?;
        let got: Vec<_> = peers.into_iter().zip(got).collect();
        if next {
            self.take_weights(of, &got, m * NARROW_BYTES)?;
        }
        for (from, body) in got.iter().filter(|_| !next) {
            codec::of_length(body, m * NARROW_BYTES, *from, self.path())?;
        }
        let width = of.width();
        let place = (at.epoch * of.batches + at.batch) * width;
        let mut gradient = Zeroizing::new(of.group()?.gradients[place..place + width].to_vec());
        let columns = of.first_column(me)..of.first_column(me + 1);
        let Some(Held::Mine(x)) = of.matrices.get(me).map(|m| &m.held) else {
            return Err(Abort::Input("this party's matrix is missing".into()));
        };
        let x = Arc::clone(x);
        Ok(offload_long(m * columns.len(), move || {
            let mut r = residual;
            let mut one = Zeroizing::new(vec![0; m]);
            for (_, body) in &got {
                codec::read_narrow(&body[..m * NARROW_BYTES], &mut one);
                ring64::add_assign(&mut r, &one);
            }
            x.columns_by(rows, &r, &mut gradient[columns]);
            gradient
        })
        .await)
    }
}
