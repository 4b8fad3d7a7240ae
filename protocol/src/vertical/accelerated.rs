//! Accelerated gradient steps, for columns so many that a Hessian costs more than a hundred passes.
//!
//! **Functionality.** As of training, without standard errors, L1 penalty or signs.
//!
//! **How.** Whitening bounds each party's block of the Hessian over N' by the identity, whatever the data are, and all of it by the number
//! of parties P; so steps of `1 / P'` of the gradient over N', P' the power of two from P, never diverge (times the headroom of weights of
//! rows). With u where the gradient g is made and v the point reached before:
//!
//! ```text
//! v' = u - g / P'         u' = v' + m (v' - v),   m = 1 where g'(v' - v) <= 0, else 0
//! ```
//!
//! The momentum is kept whole, and dropped where it points uphill: m is made of a sign on shares and stays shared, so that nothing is
//! opened that training does not open. Where the loss is a square with curvature h along some direction, g = h u and steps along it are
//! multiplied by a matrix of determinant `1 - h / P'`, whose eigenvalues are complex: kept whole, momentum never diverges, and
//! dropping it is what makes it fast. Whether training has settled is asked every [`EVERY`] passes, for the way gone in these, at a
//! tolerance [`FINER`] times finer than a Newton step's: moves of first-order methods are shorter than the way that is left, and one
//! move alone may be short where momentum was just dropped.
//!
//! **Adversary.** As of training. **Learns.** As of training: `Converged` every [`EVERY`] passes, by which all learn how many times four
//! passes there were.
//!
//! **Cost.** A pass: that of training without Hessian; beside it a product of two vectors of all columns, the
//! comparison of one word, and a product entry by entry, in 12 rounds (13 with three or four parties, 14 with five).
//!
//! **Precision.** That of training: residuals and gradients are the same. Directions are compared with [`DIRECTION`] fraction bits, at
//! full precision [`DIRECTION_FINE`]: a sign that these get wrong costs passes, and moves no optimum.
//!
//! **Source.** Nesterov (Soviet Mathematics Doklady 27, 1983); restarts by the gradient's sign: O'Donoghue and Candès (Foundations of
//! Computational Mathematics 15, 2015, section 3.2), here with a momentum of one and with the sign on shares.

use std::{collections::VecDeque, sync::Arc};

use paripassu_crypto::{share::Shares, sine::Sine};

use super::{
    kept::{After, Along},
    logistic::Stop,
    newton,
    pass::{How, Masks, coarse_terms, joined},
    points::{self, Points},
    run::{Attempt, Run, Start},
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, positive},
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

/// Passes after which it is asked whether training has settled.
const EVERY: u32 = 4;
/// What tolerances of a Newton step are divided by, for what [`EVERY`] passes move.
pub(super) const FINER: f64 = 4.0;
/// Fraction bits of the move whose direction is looked at: its product with the gradient stays below 2^63 units up to 512.
const DIRECTION: u32 = 22;
/// The same at full precision, where moves are small: up to 2.
const DIRECTION_FINE: u32 = 26;

impl Run {
    /// Accelerated passes at this range until moves are small.
    pub(super) async fn accelerate<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        masks: &mut Masks,
        (range_log2, passes_before): (u32, u32),
        start: Option<&Start>,
        along: &mut Along<'_>,
    ) -> Result<Attempt, Abort> {
        let fine_terms = self.fine_terms(range_log2);
        let series = Arc::new(Sine::logistic(range_log2, fine_terms));
        let coarse = Arc::new(Sine::logistic(range_log2, coarse_terms(fine_terms)));
        let headroom = self.row_scale().headroom;
        let points = Points::new(
            self.rows,
            self.width(),
            self.hessian_rows,
            series.period_log2(),
            headroom,
        )?;
        let start = start.filter(|start| start.range_log2 == range_log2);
        let (mut weights, mut short) = self.begun_at(engine.me(), start, &points)?;
        let behind = start.and_then(|start| start.behind.as_ref());
        let begun = behind.map_or(0, |behind| behind.made);
        let before = behind.and_then(|behind| behind.reached.as_ref());
        let mut reached = match before {
            Some(reached) => reached.duplicate(),
            None => joined(weights.iter().map(Shares::duplicate).collect()),
        };
        // the points of the last passes, for how far they have gone
        let mut gone = VecDeque::from([reached.duplicate()]);
        let shorter = engine.parties().next_power_of_two().ilog2() + headroom;
        let d = self.width();
        let most = match self.spec.stop {
            Stop::Bit => self.spec.max_passes,
            Stop::After(n) => n,
        };
        let mut fine = behind.is_some_and(|behind| behind.fine);
        let (mut settled, mut passes) = (false, passes_before + most.max(begun));
        for t in begun + 1..=most {
            let pass = passes_before + t;
            engine.step(format_args!("train/pass-{pass}"));
            if matches!(self.spec.stop, Stop::After(_)) {
                fine = t > most - most.div_ceil(4);
            }
            // all that is not 0 is party 0's; what is inferred is nobody's
            let by_zero = t == 1 && start.is_none() && self.inferred.is_none();
            let how = How {
                series: if fine { &series } else { &coarse },
                points: &points,
                fine,
                slopes: None,
            };
            let ask = self.spec.stop == Stop::Bit && t % EVERY == 0 || t == most;
            if ask {
                engine.foresee(&[Opening::Converged { pass }, Opening::RangeExceeded])?;
            }
            masks.refill(engine, &self.features, true).await?;
            let mut requests = self.pass_requests(&short, &how, by_zero);
            requests.extend(moving(engine.parties(), (d, points.weight), fine, ask));
            engine.source_mut().prefetch(&requests).await?;
            let both = (&weights[..], &short[..]);
            let at = self.gradient_at(engine, masks, both, &how, by_zero);
            let gradient = at.await?.gradient;
            // a power of two moves the point
            let step = Shares::new(gradient.words().to_vec(), gradient.frac() + shorter);
            let mut next = joined(weights.iter().map(Shares::duplicate).collect());
            next.sub(&step.widened(points.weight));
            let mut on = next.duplicate();
            on.sub(&reached);
            let mut cut = vec![(on.duplicate(), direction(fine))];
            if let (true, Some(before)) = (ask, gone.front()) {
                let mut far = next.duplicate();
                far.sub(before);
                cut.push((far, points::SHORT));
            }
            let mut cut = engine.truncate(cut).await?;
            let moved = if ask { cut.pop() } else { None };
            gone.push_back(next.duplicate());
            if gone.len() > EVERY as usize {
                gone.pop_front();
            }
            let uphill = engine
                .matmul(&newton::one(cut)?, &gradient, 1, d, 1)
                .await?;
            let downhill = uphill.words().iter().map(|w| w.wrapping_neg()).collect();
            let downhill = Shares::new(downhill, uphill.frac());
            let keep = engine.not_negative(&downhill).await?;
            let keep = Shares::new(keep.words().repeat(d), 0);
            let mut ahead = engine.entrywise(&on, &keep).await?;
            ahead.add(&next);
            reached = next;
            let shorter = vec![(ahead.duplicate(), points::SHORT)];
            short = self.split(&newton::one(engine.truncate(shorter).await?)?);
            weights = self.split(&ahead);
            along.progress.pass(pass, passes_before + most, fine);
            if let Some(moved) = moved {
                let at = (fine, pass);
                let still = self.still(engine, &self.split(&moved), at).await?;
                if still && (fine || self.rough) {
                    (settled, passes) = (true, pass);
                    break;
                }
                fine |= still;
            }
            if t % EVERY == 0 {
                let after = After {
                    pass: (pass, t),
                    range_log2,
                    fine,
                    weights: (&weights, &short),
                    reached: Some(&reached),
                    split: None,
                };
                self.keep(engine, along.course.as_deref_mut(), after)
                    .await?;
            }
        }
        Ok(Attempt {
            settled,
            passes,
            hessians: 0,
            series,
            points,
            weights,
            short,
            split: None,
            inverse: None,
            last: None,
        })
    }
}

fn direction(fine: bool) -> u32 {
    if fine { DIRECTION_FINE } else { DIRECTION }
}

/// What a pass asks the source for behind its gradient.
fn moving(parties: usize, (d, weight): (usize, u32), fine: bool, asked: bool) -> Vec<Request> {
    let len = d as u64;
    let cut = |frac| Request::Truncate {
        len,
        by: weight - frac,
    };
    let mut all = vec![cut(direction(fine))];
    all.extend(asked.then(|| cut(points::SHORT)));
    all.push(Request::Matmul {
        rows: 1,
        inner: len,
        cols: 1,
    });
    all.extend(positive::sign_requests(parties, 1));
    all.extend([Request::Entrywise { len }, cut(points::SHORT)]);
    all
}
