//! L1 penalties and signs of coefficients.
//!
//! **Functionality.** As of training, the model minimising `l2/2 |w|² + l1 |w|₁ + Σ log-loss` over all w whose
//! entries have the signs that their owners were told to keep (0 always may be). The intercept is neither penalised
//! nor bound. Coefficients that the optimum has at 0 are released as exact zeros. Nobody learns another's signs or
//! zeros from the protocol; nothing more is opened than without penalty.
//!
//! **How.** Each pass is a proximal Newton step: with the gradient g and Hessian H over N' at u it minimises
//! `g'v + (v - u)'H(v - u)/2 + h(T v)` by [`STEPS`] iterations of the alternating direction method of multipliers on
//! `w = T v`, relaxed by 13/8. With `H' = H + ρ T'T` (`ρ = 2^-5`, each owner adds its block of `ρ T'T`), `Y` its
//! inverse, which is made once a Hessian, and `P = ρ T Y T'`, whose eigenvalues lie in (0, 1]:
//!
//! ```text
//! once a pass   w = T u - T Y (g + ρ T'(T u - q))
//! repeated      v = 13/8 w + 3/8 z - q
//!               z = max(v - κ⁺, 0) - max(-v - κ⁻, 0)
//!               q = 2 z - v,    w = w + P (q's change)
//! at the end    u = u - Y (g + ρ T'(T u - q)),   T u of before
//! ```
//!
//! z is what satisfies penalty and signs, `z - q` the scaled multiplier. `κ = l1 / (N' ρ)`; where a sign is forbidden, its
//! κ is so large that nothing exceeds it. Each owner enters the κ of its columns as its own share, so that all columns
//! are treated alike. z and q are kept from pass to pass. A pass has settled where, besides the step, `w - z` and the
//! last change of z are below the tolerance. Because g is made anew in each pass at the u that was reached, roundings of
//! the iterations do not add up.
//!
//! **Cost.** A pass: [`STEPS`] times 11 rounds (12 for three or four parties, 13 for five) of few words: `d²` for the
//! product with P, and a comparison of `2 d` words.
//!
//! **Source.** Proximal Newton: Lee, Sun and Saunders (SIAM J. Optimization 24, 2014). Its subproblem by the
//! alternating direction method with over-relaxation and a factor made once: Boyd, Parikh, Chu, Peleato and Eckstein
//! (Foundations and Trends in Machine Learning 3, 2011, sections 3.4.3, 4.2 and 6.4), here with an inverse on shares. That
//! z is released, not w, is what makes zeros exact.

use paripassu_crypto::{fixed, share::Shares};
use paripassu_model::logistic::Sign;

use super::{
    newton,
    pass::joined,
    points,
    run::{Run, Start},
};
use crate::{
    abort::Abort,
    arith::{Engine, Operand, positive},
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

/// `-log2 ρ`.
const PULL_LOG2: u32 = 5;
/// ρ: what holds `w` near `z`, beside a Hessian over N'.
pub(super) const PULL: f64 = 1.0 / (1u64 << PULL_LOG2) as f64;
/// Iterations of a pass.
const STEPS: usize = 24;
/// Fraction bits of w, z and q, and of P; `|v|` stays below 2^9.
const POINT: u32 = points::SHORT;
const PRODUCT: u32 = 22;
/// Fraction bits of `T Y` before it is multiplied once more.
const HALF: u32 = 24;
/// What no coefficient, nor its multiplier, exceeds.
const FORBIDDEN: f64 = 65_536.0;

/// Limits of this party's columns.
pub(super) struct Proximal {
    /// κ⁺ and κ⁻ of all columns but the intercept, this party's its own share.
    limits: Shares,
    columns: usize,
    rows: usize,
    /// Place of this party's first column.
    start: usize,
    signs: Vec<Sign>,
}

/// How far the split has come: all columns but the intercept, in the order of the parties.
pub(super) struct Split {
    z: Shares,
    q: Shares,
}

impl Split {
    /// Of so many columns.
    pub(super) fn zeros(columns: usize) -> Self {
        let zeros = || Shares::zeros(columns, POINT);
        Self {
            z: zeros(),
            q: zeros(),
        }
    }

    pub(super) fn parts(&self) -> [&Shares; 2] {
        [&self.z, &self.q]
    }

    pub(super) fn parts_mut(&mut self) -> [&mut Shares; 2] {
        [&mut self.z, &mut self.q]
    }

    pub(super) fn duplicate(&self) -> Self {
        Self {
            z: self.z.duplicate(),
            q: self.q.duplicate(),
        }
    }
}

/// What must be small for the split to have settled: `w - z` before the step of the pass, and z's last change.
pub(super) struct Gap {
    pub(super) apart: Shares,
    pub(super) change: Shares,
}

impl Proximal {
    /// For a penalty `l1`, scaled as the ridge is, over `rows` rows, and this party's columns' signs.
    pub(super) fn new(
        l1: f64,
        rows: usize,
        signs: &[Sign],
        widths: &[usize],
        me: usize,
    ) -> Result<Self, Abort> {
        let columns = widths.iter().sum::<usize>().saturating_sub(1);
        let own = widths.get(me).copied().unwrap_or(0) - usize::from(me == 0);
        if !signs.is_empty() && signs.len() != own {
            return Err(Abort::Input(format!(
                "{} signs of {own} columns",
                signs.len()
            )));
        }
        let start: usize = widths[..me].iter().sum();
        let mut signs = signs.to_vec();
        signs.resize(own, Sign::Free);
        let mut of = Self {
            limits: Shares::zeros(2 * columns, POINT),
            columns,
            rows,
            start: start.saturating_sub(usize::from(me > 0)),
            signs,
        };
        of.penalise(l1)?;
        Ok(of)
    }

    /// This penalty from now on, scaled as the ridge is.
    pub(super) fn penalise(&mut self, l1: f64) -> Result<(), Abort> {
        let free = l1 / (self.rows.max(1).next_power_of_two() as f64 * PULL);
        for (j, sign) in self.signs.iter().enumerate() {
            for (side, forbidding) in [Sign::Negative, Sign::Positive].into_iter().enumerate() {
                let limit = match *sign == forbidding {
                    true => FORBIDDEN,
                    false => free.min(FORBIDDEN),
                };
                self.limits.words_mut()[side * self.columns + self.start + j] =
                    fixed::encode(limit, POINT).map_err(|e| Abort::Input(e.to_string()))?;
            }
        }
        Ok(())
    }

    /// All that the iterations of a pass ask the source for, in their order.
    fn requests(&self, parties: usize) -> Vec<Request> {
        let len = self.columns as u64;
        let mut all = Vec::new();
        for step in 0..STEPS {
            if step > 0 {
                all.push(Request::Matmul {
                    rows: len,
                    inner: len,
                    cols: 1,
                });
            }
            for by in [PRODUCT, PRODUCT + 3] {
                all.push(Request::Truncate { len, by });
            }
            all.extend(positive::requests(parties, 2 * self.columns));
        }
        all
    }
}

/// `a x + b y + c z` of shares at the same point, in whole numbers, times two to `up`.
fn mixed(terms: [(&Shares, i64); 3], up: u32) -> Vec<u64> {
    let [(x, a), (y, b), (z, c)] = terms;
    let words = x.words().iter().zip(y.words()).zip(z.words());
    words
        .map(|((x, y), z)| {
            let of = |w: &u64, by: i64| w.wrapping_mul(by as u64);
            of(x, a).wrapping_add(of(y, b)).wrapping_add(of(z, c)) << up
        })
        .collect()
}

impl Run {
    /// P of the inverse Y of a Hessian, without the intercept.
    pub(super) async fn pulled_inverse<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        inverse: &Shares,
    ) -> Result<Shares, Abort> {
        let d: usize = self.widths.iter().sum();
        let half = self.times_t(engine, inverse, d).await?;
        let half = newton::one(engine.truncate(vec![(half, HALF)]).await?)?;
        let turned: Vec<u64> = (0..d * d)
            .map(|at| half.words()[at % d * d + at / d])
            .collect();
        let whole = self.times_t(engine, &Shares::new(turned, HALF), d).await?;
        let inner: Vec<u64> = (1..d)
            .flat_map(|i| whole.words()[i * d + 1..(i + 1) * d].to_vec())
            .collect();
        // times ρ by moving the point
        let inner = Shares::new(inner, whole.frac() + PULL_LOG2);
        newton::one(engine.truncate(vec![(inner, PRODUCT)]).await?)
    }

    /// `T M` for a shared `[d, k]`, each owner's rows by its own block.
    async fn times_t<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        m: &Shares,
        k: usize,
    ) -> Result<Shares, Abort> {
        let mut at = 0;
        let blocks: Vec<Shares> = self
            .widths
            .iter()
            .map(|width| {
                at += width;
                m.slice((at - width) * k..at * k)
            })
            .collect();
        let jobs: Vec<_> = self
            .unwhiten()
            .iter()
            .zip(&blocks)
            .map(|(t, m)| (t, Operand::Plain(m, k)))
            .collect();
        Ok(joined(engine.products(&jobs).await?))
    }

    /// Coefficients of all columns but the intercept, for whitened weights or steps.
    async fn columns_of<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        whitened: &Shares,
    ) -> Result<Shares, Abort> {
        let all = self.times_t(engine, whitened, 1).await?;
        let columns = all.slice(1..all.len());
        newton::one(engine.truncate(vec![(columns, POINT)]).await?)
    }

    /// `ρ T' v` for all columns but the intercept, with so many fraction bits.
    async fn drawn<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        v: &Shares,
        frac: u32,
    ) -> Result<Shares, Abort> {
        let mut words = vec![0];
        words.extend_from_slice(v.words());
        let all = Shares::new(words, v.frac());
        let blocks = self.split(&all);
        let jobs: Vec<_> = self
            .unwhiten()
            .iter()
            .zip(&blocks)
            .map(|(t, v)| (t, Operand::Transposed(v, 1)))
            .collect();
        let drawn = joined(engine.products(&jobs).await?);
        let drawn = Shares::new(drawn.words().to_vec(), drawn.frac() + PULL_LOG2);
        newton::one(engine.truncate(vec![(drawn, frac)]).await?)
    }

    /// The gradient that a Newton step with Y answers by the proximal step, and whether the split has settled.
    pub(super) async fn proximal_gradient<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        of: &Proximal,
        (inverse, product): (&Shares, &Shares),
        (gradient, short): (&Shares, &[Shares]),
        split: &mut Option<Split>,
    ) -> Result<(Shares, Gap), Abort> {
        let (n, d) = (of.columns, self.widths.iter().sum());
        let before = self.columns_of(engine, &joined(all(short))).await?;
        let Split { mut z, mut q } = split.take().unwrap_or_else(|| Split {
            z: before.duplicate(),
            q: before.duplicate(),
        });
        let mut off = before.duplicate();
        off.sub(&q);
        let mut pulled = self.drawn(engine, &off, gradient.frac()).await?;
        pulled.add(gradient);
        let step = engine.matmul(inverse, &pulled, d, d, 1).await?;
        let step = newton::one(engine.truncate(vec![(step, points::SHORT)]).await?)?;
        let mut w = before.duplicate();
        w.sub(&self.columns_of(engine, &step).await?);
        let mut change = Shares::zeros(n, POINT);
        let mut last = Shares::zeros(n, POINT);
        let requests = of.requests(engine.parties());
        engine.source_mut().prefetch(&requests).await?;
        for step in 0..STEPS {
            let moved = match step {
                0 => Shares::zeros(n, PRODUCT + POINT),
                _ => engine.matmul(product, &change, n, n, 1).await?,
            };
            // v at three bits more, with what w moves by
            let mut v = mixed([(&w, 13), (&z, 3), (&q, -8)], PRODUCT);
            for (v, moved) in v.iter_mut().zip(moved.words()) {
                *v = v.wrapping_add(moved.wrapping_mul(13));
            }
            let v = Shares::new(v, PRODUCT + POINT + 3);
            let mut cut = engine.truncate(vec![(moved, POINT), (v, POINT)]).await?;
            let v = newton::one(cut.split_off(1))?;
            w.add(&newton::one(cut)?);
            let mut sides = v.words().to_vec();
            sides.extend(v.words().iter().map(|v| v.wrapping_neg()));
            let mut sides = Shares::new(sides, POINT);
            sides.sub(&of.limits);
            let beyond = engine.positive_part(&sides).await?;
            let mut next = beyond.slice(0..n);
            next.sub(&beyond.slice(n..2 * n));
            last = next.duplicate();
            last.sub(&z);
            z = next;
            let new = Shares::new(mixed([(&z, 2), (&v, -1), (&q, 0)], 0), POINT);
            change = new.duplicate();
            change.sub(&q);
            q = new;
        }
        let mut off = before.duplicate();
        off.sub(&q);
        let mut pulled = self.drawn(engine, &off, gradient.frac()).await?;
        pulled.add(gradient);
        let mut apart = before;
        apart.sub(&z);
        *split = Some(Split { z, q });
        let gap = Gap {
            apart,
            change: last,
        };
        Ok((pulled, gap))
    }

    /// Coefficients to be released: z, and before it the intercept.
    pub(super) async fn coefficients<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        short: &[Shares],
        split: &Split,
    ) -> Result<Vec<Shares>, Abort> {
        let whole = self.times_t(engine, &joined(all(short)), 1).await?;
        let intercept = newton::one(engine.truncate(vec![(whole.slice(0..1), POINT)]).await?)?;
        Ok(self.split(&joined(vec![intercept, split.z.duplicate()])))
    }
}

impl Run {
    /// How many columns, the intercept aside, have a coefficient that is not 0: a share without fraction bits.
    pub(super) async fn columns_kept<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        split: &Split,
    ) -> Result<Shares, Abort> {
        // z and -z, less one unit: not negative where z is above or below 0
        let z = split.z.words();
        let unit = u64::from(engine.me() == 0);
        let sides = z.iter().copied().chain(z.iter().map(|z| z.wrapping_neg()));
        let sides = sides.map(|side| side.wrapping_sub(unit)).collect();
        let requests = positive::requests(engine.parties(), 2 * z.len());
        engine.source_mut().prefetch(&requests).await?;
        let (_, kept) = engine.positive_and_kept(&Shares::new(sides, POINT)).await?;
        let sum = kept
            .words()
            .iter()
            .fold(0, |sum: u64, k| sum.wrapping_add(*k));
        Ok(Shares::new(vec![sum], 0))
    }
}

fn all(of: &[Shares]) -> Vec<Shares> {
    of.iter().map(Shares::duplicate).collect()
}

/// Whether what was left by another training with this one's penalty is there to go on from.
pub(super) fn begun(start: Option<&Start>) -> Option<Split> {
    start.and_then(|start| start.split.as_ref().map(Split::duplicate))
}
