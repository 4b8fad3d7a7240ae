//! Masks for training by mini-batches: those of all products of several epochs, made together, and of one epoch's
//! sigmoids, one message a batch.
//!
//! For each epoch e and batch b, over matrices X_p masked by A_p, everything modulo 2^40:
//!
//! ```text
//! rho   = sum_p t_p - sum_p A_p sum_(q != p) b_(p,q)     mask of the scores' phases
//! sum_q c_(p,q) = A_p' sum_(q != p) s_q                  of each owner p's gradient
//! ```
//!
//! The t_p, b_(p,q), s_q and, but for the owners' own, c_(p,q) are streams of the parties' seeds; the source sends
//! each owner its c. That the mask of the scores takes the correction of the products saves a message and a word a
//! row. [`Request::Steps`](super::Request::Steps) then asks for the sine terms of an epoch's rho, and for what cuts
//! each batch's gradients and momentum; which party is sent the shares that make them true changes from batch to
//! batch, so that no party is sent them all.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use paripassu_crypto::{
    prg::{Label, Prg},
    ring64,
    sine::{DITHER, Sine},
};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::{
    MatrixId, Request, Truncate, Words,
    dealer::Dealer,
    helper::{Asked, HelperSource, part},
    plan::Shape,
};
use crate::{
    abort::Abort,
    channel::{Channel, Role},
    codec::{self, NARROW_BYTES},
};

/// Bits that are cut of gradients, which so enter the ring, and of what is left of the last step.
pub(crate) const CUTS: [u32; 2] = [64 - codec::NARROW, 8];
/// Most rows of all epochs of one request, and most columns of all its batches: the helper keeps a word for each.
pub(crate) const MAX_KEPT: usize = 1 << 26;
/// Rows of a mask that are made at a time: a block of them stays in the second-level cache.
const BLOCK: usize = 1024;

/// Rows whose sine terms stand together: they stay in the second-level cache.
const TERM_ROWS: usize = 512;

/// First row of batch `b` of so many batches.
pub(crate) fn first_row(rows: usize, batches: usize, b: usize) -> usize {
    (b as u128 * rows as u128 / batches.max(1) as u128) as usize
}

/// The party that is sent the corrections of batch `b` of epoch `e`.
pub(crate) fn corrected(parties: usize, e: usize, b: usize) -> usize {
    (e + b) % parties.max(1)
}

/// Masks of all batches of some epochs, at one party.
pub struct Descent {
    prg: Arc<Prg>,
    id: u32,
    /// This party's c of its own gradients, `[epoch][batch][own columns]`.
    pub gradients: Words,
}

impl std::fmt::Debug for Descent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Descent({})", self.id)
    }
}

impl Descent {
    fn fill(&self, part: u8, at: usize, out: &mut [u64]) {
        self.prg.fill(Label::request(self.id, part), at as u64, out);
    }

    /// Masks of this party's phases, from row `at` of all epochs' rows.
    pub fn phases(&self, at: usize, out: &mut [u64]) {
        self.fill(part::OPERAND, at, out);
    }

    /// Masks of this party's residuals, likewise.
    pub fn residuals(&self, at: usize, out: &mut [u64]) {
        self.fill(part::THIRD, at, out);
    }

    /// Masks of this party's shares of weights, from word `at` of `[epoch][batch][all columns]`.
    pub fn operands(&self, at: usize, out: &mut [u64]) {
        self.fill(part::FOURTH, at, out);
    }

    /// This party's c of the others' gradients, likewise.
    pub fn outputs(&self, at: usize, out: &mut [u64]) {
        self.fill(part::FIFTH, at, out);
    }
}

/// What one epoch's sigmoids need, as asked for.
#[derive(Debug)]
pub struct Steps {
    asked: Asked,
    epoch: usize,
    rows: usize,
    batches: usize,
    terms: usize,
    width: usize,
}

/// Shares of a batch's sine terms modulo 2^40, rows in blocks after one another, each `[term][cos, sin][row]`.
pub struct Terms {
    dealt: Dealt,
    rows: usize,
    per_row: usize,
}

enum Dealt {
    /// From a word of a stream on.
    Stream(Arc<Prg>, Label, u64),
    Sent(Bytes),
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terms(<{} x {}>)", self.rows, self.per_row)
    }
}

impl Terms {
    /// Hands out one block after the other, with the rows that it is of.
    pub fn each_block(&self, mut take: impl FnMut(Range<usize>, &[u64])) {
        let mut block = Zeroizing::new(vec![0; TERM_ROWS.min(self.rows) * self.per_row]);
        for rows in blocks(self.rows) {
            let (at, len) = (rows.start * self.per_row, rows.len() * self.per_row);
            let block = &mut block[..len];
            match &self.dealt {
                Dealt::Stream(prg, label, from) => prg.fill(*label, from + at as u64, block),
                Dealt::Sent(body) => {
                    let bytes = at * NARROW_BYTES..(at + len) * NARROW_BYTES;
                    codec::read_narrow(&body[bytes], block);
                }
            }
            take(rows, block);
        }
    }
}

fn blocks(rows: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..rows).step_by(TERM_ROWS);
    starts.map(move |at| at..rows.min(at + TERM_ROWS))
}

/// What one batch needs: shares of its sine terms and, but for the first batch, what cuts gradients and the last step.
#[derive(Debug)]
pub struct StepMasks {
    /// Terms.
    pub terms: Terms,
    /// For bringing gradients into the ring, and for the last step.
    pub cuts: Option<[Truncate; 2]>,
}

/// What the helper keeps while epochs of a request are asked for.
pub(super) struct Group {
    first: u32,
    shapes: Vec<Shape>,
    rows: usize,
    batches: usize,
    epochs: usize,
    rho: Words,
}

fn refused(step: &str, problem: &str) -> Abort {
    Abort::Malformed {
        from: Role::Party(0),
        step: step.to_owned(),
        problem: problem.to_owned(),
    }
}

impl Group {
    /// A request with its sizes checked.
    pub(super) fn plan(
        (first, batches, epochs): (MatrixId, u64, u64),
        matrices: &[Shape],
        parties: usize,
        step: &str,
    ) -> Result<Self, Abort> {
        let from = first.0 as usize;
        let shapes = matrices.get(from..from.saturating_add(parties));
        let shapes = shapes.ok_or_else(|| refused(step, "matrices that are not registered"))?;
        let rows = shapes.first().map_or(0, |s| s.rows);
        let alike = |(p, s): (usize, &Shape)| s.owner == p && s.rows == rows;
        if !shapes.iter().enumerate().all(alike) {
            return Err(refused(
                step,
                "matrices that are not one a party, of as many rows",
            ));
        }
        let all = epochs.saturating_mul(rows as u64);
        let width = shapes
            .iter()
            .fold(0usize, |sum, s| sum.saturating_add(s.cols));
        let columns = epochs.saturating_mul(batches).saturating_mul(width as u64);
        let (batches, epochs) = (batches as usize, epochs as usize);
        let most = all.max(columns) > MAX_KEPT as u64;
        if most || batches == 0 || batches > rows || epochs == 0 {
            return Err(refused(
                step,
                "more epochs or batches than a helper makes at once",
            ));
        }
        Ok(Self {
            first: first.0,
            shapes: shapes.to_vec(),
            rows,
            batches,
            epochs,
            rho: Zeroizing::default(),
        })
    }

    pub(super) fn batches(&self) -> usize {
        self.batches
    }

    /// Rows of the largest batch.
    pub(super) fn largest_batch(&self) -> u64 {
        self.rows.div_ceil(self.batches.max(1)) as u64
    }

    pub(super) fn has_epoch(&self, e: u64) -> bool {
        e < self.epochs as u64
    }

    fn width(&self) -> usize {
        self.shapes.iter().map(|s| s.cols).sum()
    }
}

/// One batch's part of [`Dealer::descent`].
struct Made {
    /// By epoch.
    rho: Vec<Vec<u64>>,
    /// By party, `[epoch][columns]`.
    gradients: Vec<Vec<u64>>,
}

impl Dealer {
    fn stream(&self, q: usize, id: u32, part: u8, at: usize, out: &mut [u64]) {
        if let Some(prg) = self.prgs.get(q) {
            prg.fill(Label::request(id, part), at as u64, out);
        }
    }

    /// Makes the masks of all batches; what each party is sent.
    pub(super) fn descent(&self, id: u32, mut group: Group) -> (Group, Vec<Bytes>) {
        let made: Vec<Made> = (0..group.batches)
            .into_par_iter()
            .map(|b| self.batch(id, &group, b))
            .collect();
        let (rows, batches, epochs) = (group.rows, group.batches, group.epochs);
        let mut rho = vec![0; epochs * rows];
        for (b, made) in made.iter().enumerate() {
            let at = first_row(rows, batches, b);
            for (e, part) in made.rho.iter().enumerate() {
                rho[e * rows + at..][..part.len()].copy_from_slice(part);
            }
        }
        group.rho = Zeroizing::new(rho);
        let bodies = group.shapes.iter().enumerate().map(|(p, s)| {
            let mut body = Vec::new();
            for e in 0..epochs {
                for made in &made {
                    let part = &made.gradients[p][e * s.cols..][..s.cols];
                    codec::append_narrow(&mut body, part.iter().copied());
                }
            }
            body.into()
        });
        let bodies = bodies.collect();
        (group, bodies)
    }

    fn batch(&self, id: u32, group: &Group, b: usize) -> Made {
        let n = self.prgs.len();
        let at = first_row(group.rows, group.batches, b);
        let m = first_row(group.rows, group.batches, b + 1) - at;
        let width = group.width();
        let mut made = Made {
            rho: Vec::with_capacity(group.epochs),
            gradients: group
                .shapes
                .iter()
                .map(|s| vec![0; group.epochs * s.cols])
                .collect(),
        };
        // by epoch and party: masks of residuals, of weights, and shares of gradients
        let (mut residuals, mut operands) = (Vec::new(), Vec::new());
        let mut one = vec![0; m];
        for e in 0..group.epochs {
            let mut rho = vec![0; m];
            let mut s = Vec::with_capacity(n);
            let mut v = Vec::with_capacity(n);
            for q in 0..n {
                self.stream(q, id, part::OPERAND, e * group.rows + at, &mut one);
                ring64::add_assign(&mut rho, &one);
                let mut own = vec![0; m];
                self.stream(q, id, part::THIRD, e * group.rows + at, &mut own);
                s.push(own);
                let mut own = vec![0; width];
                self.stream(
                    q,
                    id,
                    part::FOURTH,
                    (e * group.batches + b) * width,
                    &mut own,
                );
                v.push(own);
            }
            made.rho.push(rho);
            residuals.push(s);
            operands.push(v);
        }
        let mut first = 0;
        for (p, shape) in group.shapes.iter().enumerate() {
            let d = shape.cols;
            let others = || (0..n).filter(move |q| *q != p);
            // by epoch: minus the others' masks of weights, and the sum of their masks of residuals
            let mut by = Vec::with_capacity(group.epochs);
            for e in 0..group.epochs {
                let (mut v, mut s) = (vec![0; d], vec![0; m]);
                let c = &mut made.gradients[p][e * d..][..d];
                let mut outputs = vec![0; d];
                for q in others() {
                    ring64::sub_assign(&mut v, &operands[e][q][first..first + d]);
                    ring64::add_assign(&mut s, &residuals[e][q]);
                    let place = (e * group.batches + b) * width + first;
                    self.stream(q, id, part::FIFTH, place, &mut outputs);
                    ring64::sub_assign(c, &outputs);
                }
                by.push((v, s));
            }
            let mut a = Zeroizing::new(vec![0; BLOCK.min(m) * d]);
            for from in (0..m).step_by(BLOCK) {
                let to = m.min(from + BLOCK);
                let a = &mut a[..(to - from) * d];
                if let Some(prg) = self.prgs.get(shape.owner) {
                    let label = Label::matrix(group.first + p as u32);
                    prg.fill(label, ((at + from) * d) as u64, a);
                }
                for (e, (v, s)) in by.iter().enumerate() {
                    ring64::mat_vec_here(a, v, &mut made.rho[e][from..to]);
                    let c = &mut made.gradients[p][e * d..][..d];
                    ring64::mat_t_vec_here(a, &s[from..to], c);
                }
            }
            first += d;
        }
        made
    }

    /// What the corrected party of batch `b` of epoch `e` is sent.
    pub(super) fn step(
        &self,
        id: u32,
        group: &Group,
        (e, b): (usize, usize),
        (series, frac): (&Sine, u32),
    ) -> (usize, Bytes) {
        let n = self.prgs.len();
        let to = corrected(n, e, b);
        let others = || (0..n).filter(move |q| *q != to);
        let at = first_row(group.rows, group.batches, b);
        let m = first_row(group.rows, group.batches, b + 1) - at;
        let rho = &group.rho[e * group.rows + at..][..m];
        let per_row = series.words_per_row();
        let mut terms = vec![0; TERM_ROWS.min(m) * per_row];
        let mut body = Vec::with_capacity(m * per_row * NARROW_BYTES);
        for rows in blocks(m) {
            let terms = &mut terms[..rows.len() * per_row];
            terms.fill(0);
            let place = ((at + rows.start) * per_row) as u64;
            for prg in others().filter_map(|q| self.prgs.get(q)) {
                prg.subtract(Label::request(id, part::OUTPUT), place, terms);
            }
            // the phase moves to the top, bits that are of no use as a mask below it
            let rho = rho[rows].iter().map(|r| r.rotate_left(DITHER));
            series.dithered_terms(&rho.collect::<Vec<_>>(), frac, terms);
            codec::append_narrow(&mut body, terms.iter().copied());
        }
        if b > 0 {
            let width = group.width();
            let mut one = vec![0; width];
            for (by, [mask, shifted, top]) in CUTS.into_iter().zip(part::CUTS) {
                let mut rho = vec![0; width];
                for q in 0..n {
                    self.stream(q, id, mask, b * width, &mut one);
                    ring64::add_assign(&mut rho, &one);
                }
                for (part, shift) in [(shifted, by), (top, 63)] {
                    let mut out: Vec<u64> = rho.iter().map(|r| r >> shift).collect();
                    for q in others() {
                        self.stream(q, id, part, b * width, &mut one);
                        ring64::sub_assign(&mut out, &one);
                    }
                    body.extend(out.iter().flat_map(|w| w.to_le_bytes()));
                }
            }
        }
        (to, body.into())
    }
}

impl<C: Channel> HelperSource<C> {
    /// Shapes of the matrices of a descent: rows, and columns of each party.
    fn shapes(&self, first: MatrixId) -> Result<(usize, Vec<usize>), Abort> {
        let parties = self.ctx.parties();
        let all = (0..parties as u32).map(|p| self.shape(MatrixId(first.0 + p)));
        let all = all.collect::<Result<Vec<_>, Abort>>()?;
        let rows = all.first().map_or(0, |s| s.rows);
        Ok((rows, all.iter().map(|s| s.cols).collect()))
    }

    pub(super) async fn masks_of_descent(
        &mut self,
        first: MatrixId,
        batches: usize,
        epochs: usize,
    ) -> Result<Descent, Abort> {
        let (_, widths) = self.shapes(first)?;
        let request = Request::Descent {
            matrix: first,
            batches: batches as u64,
            epochs: epochs as u64,
        };
        let asked = self.ticket(&request).await?;
        let own = widths.get(usize::from(self.me)).copied().unwrap_or(0);
        let len = epochs * batches * own;
        let body = self.correction(asked).await?;
        codec::of_length(&body, len * NARROW_BYTES, Role::Helper, self.ctx.path())?;
        let mut gradients = Zeroizing::new(vec![0; len]);
        codec::read_narrow(&body, &mut gradients);
        Ok(Descent {
            prg: Arc::clone(&self.prg),
            id: asked.id,
            gradients,
        })
    }

    pub(super) async fn steps_of(
        &mut self,
        (first, batches): (MatrixId, usize),
        request: &Request,
    ) -> Result<Steps, Abort> {
        let (rows, widths) = self.shapes(first)?;
        let Request::Steps { epoch, terms, .. } = *request else {
            return Err(Abort::Input("no steps are asked for".into()));
        };
        Ok(Steps {
            asked: self.ticket(request).await?,
            epoch: epoch as usize,
            rows,
            batches,
            terms: terms as usize,
            width: widths.iter().sum(),
        })
    }

    pub(super) async fn masks_of_step(&self, of: &Steps, b: usize) -> Result<StepMasks, Abort> {
        let id = of.asked.id;
        let at = first_row(of.rows, of.batches, b);
        let m = first_row(of.rows, of.batches, b + 1) - at;
        let (per_row, width) = (2 * of.terms, of.width);
        let terms = |dealt| Terms {
            dealt,
            rows: m,
            per_row,
        };
        let stream = |part: u8, at: usize, len: usize| {
            let mut out = Zeroizing::new(vec![0; len]);
            self.prg.fill(Label::request(id, part), at as u64, &mut out);
            out
        };
        let mask = |c: [u8; 3]| stream(c[0], b * width, width);
        if corrected(self.ctx.parties(), of.epoch, b) != usize::from(self.me) {
            let cut = |c: [u8; 3]| Truncate {
                mask: mask(c),
                shifted: stream(c[1], b * width, width),
                top: stream(c[2], b * width, width),
            };
            let label = Label::request(id, part::OUTPUT);
            let from = (at * per_row) as u64;
            return Ok(StepMasks {
                terms: terms(Dealt::Stream(Arc::clone(&self.prg), label, from)),
                cuts: (b > 0).then(|| part::CUTS.map(cut)),
            });
        }
        let name = format!("step-{id}-{b}");
        let body = self
            .ctx
            .recv_asked(Role::Helper, &name, of.asked.at)
            .await?;
        let cuts = if b > 0 { 4 * width } else { 0 };
        let narrow = m * per_row * NARROW_BYTES;
        codec::of_length(&body, narrow + 8 * cuts, Role::Helper, self.ctx.path())?;
        let rest = codec::take_words(&body.slice(narrow..), cuts, Role::Helper, self.ctx.path())?;
        let rest = Zeroizing::new(rest);
        let cut = |(c, words): ([u8; 3], &[u64])| {
            let (shifted, top) = words.split_at(width);
            Truncate {
                mask: mask(c),
                shifted: Zeroizing::new(shifted.to_vec()),
                top: Zeroizing::new(top.to_vec()),
            }
        };
        let cuts = (b > 0).then(|| {
            let (gradient, kept) = rest.split_at(2 * width);
            [cut((part::CUTS[0], gradient)), cut((part::CUTS[1], kept))]
        });
        Ok(StepMasks {
            terms: terms(Dealt::Sent(body.slice(..narrow))),
            cuts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_training_asks_for_is_refused() {
        let shape = |owner, rows| Shape {
            owner,
            rows,
            cols: 3,
        };
        let two = [shape(0, 100), shape(1, 100)];
        let said = |first, batches, epochs, of: &[Shape]| {
            let planned = Group::plan((MatrixId(first), batches, epochs), of, 2, "corr");
            planned.err().map_or_else(String::new, |e| e.to_string())
        };
        assert!(said(0, 4, 10, &two).is_empty());
        for (batches, epochs) in [(0, 1), (101, 1), (4, 0), (4, 1 << 40), (4, u64::MAX)] {
            assert!(said(0, batches, epochs, &two).contains("at once"));
        }
        // few rows of many columns, each row a batch of its own
        let wide = [0, 1].map(|owner| Shape {
            owner,
            rows: 1 << 20,
            cols: 1 << 10,
        });
        assert!(said(0, 1 << 20, 1, &wide).contains("more epochs or batches"));
        assert!(said(0, 128, 1, &wide).is_empty());
        assert!(said(1, 4, 1, &two).contains("not registered"));
        assert!(said(u32::MAX, 4, 1, &two).contains("not registered"));
        for of in [
            [shape(1, 100), shape(0, 100)],
            [shape(0, 100), shape(1, 99)],
        ] {
            assert!(said(0, 4, 1, &of).contains("one a party"));
        }
    }

    #[test]
    fn corrections_go_to_all_parties_in_turn() {
        let of = |parties, e| (0..6).map(|b| corrected(parties, e, b)).collect::<Vec<_>>();
        assert_eq!(of(3, 0), [0, 1, 2, 0, 1, 2]);
        assert_eq!(of(2, 1), [1, 0, 1, 0, 1, 0]);
    }
}
