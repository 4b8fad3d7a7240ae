//! Training on columns whose values nobody sees: weights of evidence that stay shared.
//!
//! **Functionality.** As training ([`super`]), where the columns of some owners p ≠ 0 are weights of evidence on shares
//! ([`evidence`](super::evidence)), less their means. An owner knows in which bin each row is, and nothing of what the
//! bins are worth; party 0 says which columns take part, and no other party learns which. Their coefficients stay
//! shared and are forgotten with the job: party 0 learns the scores of test rows, rounded, and its own coefficients.
//!
//! **How.** With O the owner's zeros and ones and M the shared matrix of bins and columns, block by block one
//! column of weights of evidence, the columns are O M. Scores are O (M u), gradients Mᵀ (Oᵀ r), Hessians
//! Mᵀ (Oᵀ S O) M: owners' products with O as in any training, and entry by entry with M, which has one entry a bin. So
//! that the shared system is well scaled, M's columns are centred and divided by their standard deviations on
//! shares (an inverse square root by Newton's iteration), times a public c: `c^2 = 4 / (d + 1024 l2 / N')` for
//! d columns keeps their block of the Hessian below the identity, ridge included, whatever their correlations. The ridge
//! is of the columns as they are, so that the optimum is that of the same columns in the clear. A column that party 0
//! leaves out has zeros in M and a one in the Hessian's diagonal: its coefficient stays 0.
//!
//! **Adversary.** As of training: passive, up to all but one data party if the source joins none. **Learns.** What
//! training opens but for the hidden columns' coefficients, and `Scores`, to party 0.
//!
//! **Precision.** Entries of M have 20 fraction bits, deviations are taken of variances from 2^-8 (which are added) to 81.
//! **Cost.** Beyond training: a pass multiplies a vector of bins twice entry by entry, a Hessian one of bins x columns.
//! **Source.** Newton's iteration for the inverse square root, on shares as that for reciprocals
//! ([`evidence`](super::evidence)); the rest is that of training.

use paripassu_crypto::{fixed, share::Shares};

use super::{
    evidence::{WOE, add_public, times},
    logistic::LogisticFit,
    newton::one,
    pass::joined,
    points,
    run::Run,
};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Fraction bits of the shared entries of M.
const BASIS: u32 = 20;
/// Of rows of a bin over all rows.
const SHARE: u32 = 30;
/// Of variances and what is made of them.
const VARIANCE: u32 = 24;
/// Of inverse square roots.
const ROOT: u32 = 22;
/// log2 of what is added to variances.
const LEAST_VARIANCE_LOG2: u32 = 8;
/// Steps of the inverse square root, begun at 3/16.
const ROUNDS: usize = 16;
/// Fraction bits of the ridge over N'.
const OVER_ROWS: u32 = 30;

/// One owner's columns of shared values.
#[derive(Debug)]
pub struct HiddenColumns {
    /// Position of the owner.
    pub owner: usize,
    /// Bins of each column.
    pub columns: Vec<usize>,
    /// What each bin is worth, through all columns, with [`WOE`] fraction bits.
    pub values: Shares,
    /// Training rows of each bin, at the owner alone.
    pub sizes: Option<Vec<u64>>,
    /// Which columns take part, at party 0 alone.
    pub kept: Option<Vec<bool>>,
}

/// What training on hidden columns takes beside [`LogisticInput`](super::logistic::LogisticInput), whose columns are, at an
/// owner of hidden ones, zeros and ones by bin.
#[derive(Debug)]
pub struct Hidden<'a> {
    /// In the order of their owners.
    pub owners: &'a [HiddenColumns],
    /// The same columns of test rows, row-major.
    pub test: Vec<f64>,
    /// Test rows.
    pub test_rows: usize,
    /// Whether party 0 learns the log-odds of the test rows: the sum of the others' parts as multiples of 2^-step.
    pub score_step_log2: Option<u32>,
}

/// One owner's hidden columns as training uses them.
pub(super) struct Basis {
    columns: Vec<usize>,
    entries: Shares,
    /// The ridge of each column over N', with [`points::RIDGE`] fraction bits, and with those of the Hessian.
    ridge: Shares,
    diagonal: Shares,
}

/// The largest c: see the module.
pub(super) fn largest_scale(columns: usize, l2: f64, rows: usize) -> f64 {
    let n = rows.max(1).next_power_of_two() as f64;
    let least = 2f64.powi(LEAST_VARIANCE_LOG2 as i32);
    (4.0 / (columns as f64 + 4.0 * least * l2 / n)).sqrt()
}

/// A value of each column, once for each of its bins.
fn spread(columns: &[usize], v: &Shares) -> Shares {
    let each = columns.iter().zip(v.words());
    let words = each.flat_map(|(bins, w)| std::iter::repeat_n(*w, *bins));
    Shares::new(words.collect(), v.frac())
}

/// The sum of each column's bins.
fn summed(columns: &[usize], v: &Shares) -> Shares {
    let mut rest = v.words();
    let mut sums = Vec::with_capacity(columns.len());
    for bins in columns {
        let (own, after) = rest.split_at(*bins);
        rest = after;
        sums.push(own.iter().fold(0u64, |sum, w| sum.wrapping_add(*w)));
    }
    Shares::new(sums, v.frac())
}

async fn cut<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    v: Shares,
    frac: u32,
) -> Result<Shares, Abort> {
    one(engine.truncate(vec![(v, frac)]).await?)
}

/// `x_i y_i`, cut.
async fn by<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    x: &Shares,
    y: &Shares,
    frac: u32,
) -> Result<Shares, Abort> {
    let made = engine.entrywise(x, y).await?;
    cut(engine, made, frac).await
}

/// Inverse square roots of variances.
async fn inverse_roots<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    x: &Shares,
) -> Result<Shares, Abort> {
    let me = engine.me();
    let mut y = Shares::zeros(x.len(), ROOT);
    add_public(me, &mut y, 3 << (ROOT - 4));
    for _ in 0..ROUNDS {
        let square = by(engine, &y, &y, VARIANCE).await?;
        let mut rest = by(engine, x, &square, VARIANCE).await?.negated();
        add_public(me, &mut rest, 3 << VARIANCE);
        // y (3 - x y^2) / 2: halved by its point
        let made = engine.entrywise(&y, &rest).await?;
        let frac = made.frac() + 1;
        y = cut(engine, Shares::new(made.into_words(), frac), ROOT).await?;
    }
    Ok(y)
}

impl HiddenColumns {
    fn check(&self, me: usize, parties: usize) -> Result<(), Abort> {
        let bins: usize = self.columns.iter().sum();
        let fits = (1..parties).contains(&self.owner)
            && self.columns.iter().all(|b| *b > 0)
            && (self.values.len(), self.values.frac()) == (bins, WOE)
            && self.sizes.is_some() == (me == self.owner)
            && self.sizes.as_ref().is_none_or(|s| s.len() == bins)
            && self.kept.is_some() == (me == 0)
            && self
                .kept
                .as_ref()
                .is_none_or(|k| k.len() == self.columns.len());
        match fits {
            true => Ok(()),
            false => Err(Abort::Input("hidden columns of another shape".into())),
        }
    }
}

impl Basis {
    /// Makes M; `l2` is the ridge of columns as they are.
    pub(super) async fn new<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        hidden: &HiddenColumns,
        rows: usize,
        l2: f64,
    ) -> Result<Self, Abort> {
        let (me, owner) = (engine.me(), hidden.owner);
        hidden.check(me, engine.parties())?;
        engine.step(format_args!("train/columns-{owner}"));
        let columns = hidden.columns.clone();
        let wrong = |e: fixed::DoesNotFit| Abort::Input(e.to_string());
        let shares = || -> Result<Option<Vec<i32>>, Abort> {
            let Some(sizes) = &hidden.sizes else {
                return Ok(None);
            };
            let of = |n: &u64| fixed::encode_i32(*n as f64 / rows as f64, SHARE).map_err(wrong);
            sizes
                .iter()
                .map(of)
                .collect::<Result<Vec<_>, _>>()
                .map(Some)
        };
        let mean = times(engine, owner, 1, SHARE, shares()?, &hidden.values).await?;
        let mean = cut(engine, summed(&columns, &mean), WOE).await?;
        let mut centred = hidden.values.duplicate();
        centred.sub(&spread(&columns, &mean));
        let squares = by(engine, &centred, &centred, VARIANCE).await?;
        let variance = times(engine, owner, 1, SHARE, shares()?, &squares).await?;
        let mut variance = cut(engine, summed(&columns, &variance), VARIANCE).await?;
        add_public(me, &mut variance, 1 << (VARIANCE - LEAST_VARIANCE_LOG2));
        let roots = inverse_roots(engine, &variance).await?;

        // c where a column takes part, 0 where it does not
        let c = fixed::encode(largest_scale(columns.len(), l2, rows), BASIS).map_err(wrong)?;
        let mut factor = Shares::zeros(columns.len(), BASIS);
        let mut idle = Shares::zeros(columns.len(), points::HESSIAN);
        let places = factor.words_mut().iter_mut().zip(idle.words_mut());
        for ((factor, idle), kept) in places.zip(hidden.kept.iter().flatten()) {
            match kept {
                true => *factor = c,
                false => *idle = 1 << points::HESSIAN,
            }
        }
        let factor = by(engine, &roots, &factor, VARIANCE).await?;
        let entries = by(engine, &centred, &spread(&columns, &factor), BASIS).await?;
        let square = by(engine, &factor, &factor, points::SHORT).await?;
        let over = l2 / rows.max(1).next_power_of_two() as f64;
        let over = fixed::encode(over, OVER_ROWS).map_err(wrong)?;
        let words = square.words().iter().map(|w| w.wrapping_mul(over));
        let ridge = Shares::new(words.collect(), points::SHORT + OVER_ROWS);
        let both = vec![(ridge.duplicate(), points::RIDGE), (ridge, points::HESSIAN)];
        let mut both = engine.truncate(both).await?;
        let (mut diagonal, ridge) = (one(both.split_off(1))?, one(both)?);
        diagonal.add(&idle);
        Ok(Self {
            columns,
            entries,
            ridge,
            diagonal,
        })
    }

    fn bins(&self) -> usize {
        self.entries.len()
    }
}

impl Run {
    fn basis(&self, p: usize) -> Option<&Basis> {
        self.hidden.get(p).and_then(Option::as_ref)
    }

    /// Whether this party's columns are hidden.
    pub(super) fn is_hidden(&self, p: usize) -> bool {
        self.basis(p).is_some()
    }

    pub(super) fn none_hidden(&self) -> bool {
        self.hidden.iter().all(Option::is_none)
    }

    /// Weights of what each owner's matrix has columns for: of bins where its columns are hidden. `short` are the same
    /// `weights` with fewer fraction bits.
    pub(super) async fn inner<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        weights: &[Shares],
        short: &[Shares],
    ) -> Result<Vec<Shares>, Abort> {
        let mut out = Vec::with_capacity(weights.len());
        for (p, (w, short)) in weights.iter().zip(short).enumerate() {
            out.push(match self.basis(p) {
                None => w.duplicate(),
                Some(basis) => {
                    let u = spread(&basis.columns, short);
                    by(engine, &basis.entries, &u, w.frac()).await?
                }
            });
        }
        Ok(out)
    }

    /// The gradient of all weights over N', from that of what owners' matrices have columns for.
    pub(super) async fn gradient_of_columns<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        inner: Shares,
    ) -> Result<Shares, Abort> {
        if self.none_hidden() {
            return Ok(inner);
        }
        let (mut at, frac) = (0, inner.frac());
        let mut parts = Vec::with_capacity(self.widths.len());
        for (p, width) in self.widths.iter().enumerate() {
            let wide = self.basis(p).map_or(*width, Basis::bins);
            let own = inner.slice(at..at + wide);
            at += wide;
            parts.push(match self.basis(p) {
                None => own,
                Some(basis) => {
                    let made = engine.entrywise(&own, &basis.entries).await?;
                    cut(engine, summed(&basis.columns, &made), frac).await?
                }
            });
        }
        Ok(joined(parts))
    }

    /// The ridge's part of the gradient of hidden columns, added to `parts`.
    pub(super) async fn add_hidden_ridge<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        parts: &mut [Shares],
        short: &[Shares],
    ) -> Result<(), Abort> {
        for (p, (part, short)) in parts.iter_mut().zip(short).enumerate() {
            if let Some(basis) = self.basis(p) {
                part.add(&engine.entrywise(&basis.ridge, short).await?);
            }
        }
        Ok(())
    }

    /// The Hessian's blocks for these pairs of parties, from those of what owners' matrices have columns for.
    pub(super) async fn blocks_of_columns<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        pairs: &[(usize, usize)],
        blocks: Vec<Shares>,
    ) -> Result<Vec<Shares>, Abort> {
        let mut out = Vec::with_capacity(blocks.len());
        for ((p, q), block) in pairs.iter().zip(blocks) {
            let frac = block.frac();
            let (rows, columns) = (self.basis(*p), self.basis(*q));
            let both = match (rows, columns) {
                (None, None) => {
                    out.push(block);
                    continue;
                }
                (Some(rows), Some(columns)) => {
                    let (m, n) = (rows.bins(), columns.bins());
                    let both = engine
                        .matmul(&rows.entries, &columns.entries, m, 1, n)
                        .await?;
                    cut(engine, both, BASIS).await?
                }
                (None, Some(columns)) => {
                    let times = block.len() / columns.bins().max(1);
                    Shares::new(columns.entries.words().repeat(times), BASIS)
                }
                (Some(rows), None) => {
                    let wide = block.len() / rows.bins().max(1);
                    let words = rows.entries.words().iter();
                    let words = words.flat_map(|w| std::iter::repeat_n(*w, wide));
                    Shares::new(words.collect(), BASIS)
                }
            };
            let mut made = engine.entrywise(&block, &both).await?;
            if let Some(columns) = columns {
                let rows = made.len() / columns.bins().max(1);
                let each = columns.columns.repeat(rows);
                made = summed(&each, &made);
            }
            if let Some(rows) = rows {
                let wide = made.len() / rows.bins().max(1);
                made = summed_rows(&rows.columns, wide, &made);
            }
            out.push(cut(engine, made, frac).await?);
        }
        Ok(out)
    }

    /// What is added to the Hessian's diagonal for hidden columns: by party, where it begins, and the values.
    pub(super) fn hidden_diagonals(&self) -> impl Iterator<Item = (usize, &Shares)> {
        let mut at = 0;
        self.widths
            .iter()
            .enumerate()
            .filter_map(move |(p, width)| {
                at += width;
                Some((at - width, &self.basis(p)?.diagonal))
            })
    }

    /// The scores of the test rows, to party 0.
    pub(super) async fn scores<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        (weights, short): (&[Shares], &[Shares]),
        fit: &LogisticFit,
        hidden: &Hidden<'_>,
    ) -> Result<Option<Vec<f64>>, Abort> {
        let Some(step) = hidden.score_step_log2 else {
            return Ok(None);
        };
        engine.step("evaluate/scores");
        let (me, rows) = (engine.me(), hidden.test_rows);
        let inner = self.inner(engine, weights, short).await?;
        let frac = weights.first().map_or(0, Shares::frac);
        let mut z = Shares::zeros(rows, frac);
        for (p, weights) in inner.iter().enumerate().filter(|(p, _)| self.is_hidden(*p)) {
            let mine = (p == me).then(|| hidden.test.iter().map(|x| *x as i32).collect());
            let matrix = engine.register(p, rows, weights.len(), 0, mine).await?;
            let made = engine
                .products(&[(&matrix, Operand::Plain(weights, 1))])
                .await?;
            z.add(&one(made)?);
        }
        let own: Vec<f64> = match fit.coefficients.len() {
            0 => vec![0.0; rows],
            d => {
                let part = |x: &[f64]| x.iter().zip(&fit.coefficients).map(|(x, w)| x * w).sum();
                hidden.test.chunks_exact(d).map(part).collect()
            }
        };
        if own.len() != rows {
            return Err(Abort::Input("test rows of another shape".into()));
        }
        if me > 0 {
            for (z, own) in z.words_mut().iter_mut().zip(&own) {
                let part = fixed::encode(*own, frac).map_err(|e| Abort::Input(e.to_string()))?;
                *z = z.wrapping_add(part);
            }
        }
        add_public(me, &mut z, 1 << (frac - step - 1));
        let z = cut(engine, z, step).await?;
        let opened = engine.open(z, Opening::Scores, Receivers::One(0)).await?;
        let all = opened.iter().zip(&own);
        let intercept = fit.intercept.unwrap_or(0.0);
        let all = all.map(|(w, own)| fixed::decode(*w, step) + own + intercept);
        Ok((me == 0).then(|| all.collect()))
    }
}

/// As [`summed`], of the rows of a matrix so wide.
fn summed_rows(columns: &[usize], wide: usize, v: &Shares) -> Shares {
    let mut rows = v.words().chunks_exact(wide.max(1));
    let mut out = Vec::with_capacity(columns.len() * wide);
    for bins in columns {
        let mut sum = vec![0u64; wide];
        for row in rows.by_ref().take(*bins) {
            sum.iter_mut()
                .zip(row)
                .for_each(|(s, w)| *s = s.wrapping_add(*w));
        }
        out.extend(sum);
    }
    Shares::new(out, v.frac())
}
