//! Score statistics of the columns that are not in the model, and which of them enters.
//!
//! **How.** Each owner scales each of its columns as training whitens a column that is alone, `(x'x / 4 + l2) = N'`, and masks
//! them once. Residuals and slopes are those that the last step of the fit was made with, so that all of H is of the same
//! rows: with C the columns, A those in the model, r and s residuals and slopes, u' the last step,
//!
//! ```text
//! h = C' diag(s) A / N'      v = diag(C' diag(s) C) / N' + ridge - diag(h Y h')
//! z = √N' (C'r / N' - h u')  statistic z² / v
//! ```
//!
//! v is at least 2^-8 of what h Y h' is taken off, or the column does not enter; up to rounding both are positive. Columns that
//! do not enter are compared with z = 0 and v at that floor. `z_j² v_k ≥ z_k² v_j` of all pairs at once, no division.
//!
//! **Range.** Residuals are at most 1 and columns 4 N' in square, so that `|C'r| ≤ 2 N'`, times 2^h where weights of rows have h
//! bits of headroom; |z| is at most `√N' 2^(1+h)`, and cut to 2^13 where that is more: of two columns with a statistic above
//! 2^26 / v the order is by v alone. v is at most 1, or 2^headroom of a Hessian of a sample. `√v |Y½ h| ≤ 1`, so `|h Y| < 2^11`.
//! **Precision.** z to 2^-17, thresholds to 2^-11, v to 2^-22. For the comparison of pairs z² and v share the bits that the
//! largest z leaves: 21 and 22 of 2^15 rows, 16 and 17 of 2^22. Where hardly any row is bad v is small (p (1 - p) over 4), and statistics
//! of columns that are as good are told apart to 2^-17 over v of themselves. Where Hessians are made of m of the rows,
//! statistics are right to `1 / sqrt(m)`.

use paripassu_crypto::{fixed, share::Shares};
use paripassu_model::stepwise::LEAST_SHARE_LOG2;
use zeroize::Zeroizing;

use super::{leaving::capped, only, wrong};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, OwnerMatrix, Receivers, positive},
    channel::Channel,
    compute::offload,
    correlation::CorrelationSource,
    vertical::{
        logistic::{LogisticInput, LogisticSpec, widths},
        newton::one,
        pass::joined,
        points::{self, SlopePoints},
        row_weights::Scale,
        run::{Attempt, Run},
    },
};

/// Fraction bits of slopes of the loss over N', and log2 of the constant that they are multiplied with.
const SCORE: u32 = 32;
const ROOT_LOG2: u32 = 24;
/// Fraction bits of z, and log2 of the largest.
const Z: u32 = 17;
const LARGEST_LOG2: u32 = 13;
/// Of h Y before it is multiplied once more.
const HALF: u32 = 24;
/// Most bits of v where it is compared.
const VARIANCE: u32 = 22;

/// The columns of each party in the model, by the places that it came with, in their order.
pub(super) type Model = Vec<Vec<usize>>;

/// What the last step of a fit was made with.
pub(in crate::vertical) struct Last {
    /// Slopes of the rows that the Hessian was made of, and their points.
    pub(in crate::vertical) slopes: (Shares, SlopePoints),
    /// Residuals of all rows before the step.
    pub(in crate::vertical) residual: Shares,
    /// The step.
    pub(in crate::vertical) step: Shares,
}

/// All columns of all parties, each scaled by itself.
pub(super) struct Candidates {
    matrices: Vec<OwnerMatrix>,
    widths: Vec<usize>,
    /// Ridge over N' of this party's.
    ridge: Vec<f64>,
}

/// Columns that may enter, and what they are judged by.
struct Judged {
    /// z, with [`Z`] bits.
    z: Shares,
    /// v, and its least, with as many as Hessians.
    left: Shares,
    least: Shares,
}

impl Candidates {
    /// Masks all columns.
    pub(super) async fn register<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        spec: &LogisticSpec,
        input: &LogisticInput,
    ) -> Result<Self, Abort> {
        engine.step("train/candidates");
        let (me, rows, cols) = (engine.me(), input.rows, input.cols);
        if input.x.len() != rows * cols {
            return Err(Abort::Input("design matrix and its sizes disagree".into()));
        }
        let widths = widths(engine, rows, cols).await?;
        let l2 = spec.l2 / Scale::new(&spec.row_weights)?.by;
        let x = Zeroizing::new(input.x.clone());
        let made = offload(move || scaled(x, cols, rows, l2)).await?;
        let (mut mine, ridge) = (Some(made.0), made.1);
        let mut matrices = Vec::new();
        for (p, width) in widths.iter().enumerate() {
            let x = mine.take_if(|_| p == me);
            matrices.push(engine.register(p, rows, *width, points::FEATURE, x).await?);
        }
        Ok(Self {
            matrices,
            widths,
            ridge,
        })
    }

    /// The column that enters the model: its party, and its place among all the party's. A bit for each column that might, to
    /// all.
    pub(super) async fn entering<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        (run, attempt): (&Run, &Attempt),
        model: &Model,
        threshold: f64,
        step: u32,
    ) -> Result<Option<(usize, usize)>, Abort> {
        let each = self.widths.iter().enumerate();
        let all = each.flat_map(|(p, width)| (0..*width).map(move |at| (p, at)));
        let free: Vec<(usize, usize)> = all.filter(|(p, at)| !model[*p].contains(at)).collect();
        if free.is_empty() {
            return Ok(None);
        }
        engine.step(format_args!("train/entering-{step}"));
        let opening = Opening::Entering { step };
        engine.announce(opening, Receivers::All, free.len())?;
        let missing = || Abort::Input("a fit without its last step".into());
        let last = attempt.last.as_ref().ok_or_else(missing)?;
        let inverse = attempt.inverse.as_ref().ok_or_else(missing)?;
        let judged = self.judged(engine, run, last, inverse, &free).await?;
        let largest = root(run).log2().ceil().max(0.0) as u32 + 1 + run.scale.headroom;
        let largest = largest.min(LARGEST_LOG2);
        let headroom = last.slopes.1.headroom;
        let bits = judged.entering(engine, (largest, headroom), threshold);
        let bits = bits.await?;
        let opened = engine.open_bits(bits, opening).await?;
        let found = only(&opened, engine.path(), "have the greatest statistic")?;
        Ok(found.map(|at| free[at]))
    }

    async fn judged<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        run: &Run,
        last: &Last,
        inverse: &Shares,
        free: &[(usize, usize)],
    ) -> Result<Judged, Abort> {
        let n = free.len();
        let d = run.width();
        let rows_log2 = run.rows.max(1).next_power_of_two().trailing_zeros();
        let jobs: Vec<_> = self
            .matrices
            .iter()
            .map(|m| (m, Operand::Transposed(&last.residual, 1)))
            .collect();
        let slope = joined(engine.products(&jobs).await?);
        let starts: Vec<usize> = (0..self.widths.len())
            .map(|p| self.widths[..p].iter().sum())
            .collect();
        let slope = free.iter().map(|(p, at)| slope.words()[starts[*p] + at]);
        let frac = points::FEATURE + last.residual.frac() + rows_log2;
        let slope = Shares::new(slope.collect(), frac);
        let slope = (slope, SCORE);
        let (h, own) = self.curvature(engine, run, last, free, slope).await?;
        let [h, slope] = h;

        let half = engine.matmul(&h, inverse, n, d, d).await?;
        let moved = engine.matmul(&h, &last.step, n, d, 1).await?;
        let cut = engine.truncate(vec![(half, HALF), (moved, SCORE)]).await?;
        let [half, moved] = two(cut)?;
        let mut slope = slope;
        slope.sub(&moved);
        let root = root(run);
        let bits = ROOT_LOG2.saturating_sub(root.log2().ceil().max(0.0) as u32);
        let root = fixed::encode(root, bits).map_err(wrong)?;
        let z = slope.words().iter().map(|w| w.wrapping_mul(root)).collect();
        let z = Shares::new(z, SCORE + bits);
        let terms = engine.entrywise(&half, &h).await?;
        let sums = terms.words().chunks_exact(d.max(1));
        let sums = sums.map(|row| row.iter().fold(0u64, |sum, w| sum.wrapping_add(*w)));
        let explained = Shares::new(sums.collect(), terms.frac());
        // 2^-8 of it by moving the point
        let least = Shares::new(own.words().to_vec(), own.frac() + LEAST_SHARE_LOG2);
        let jobs = vec![
            (z, Z),
            (explained, points::HESSIAN),
            (least, points::HESSIAN),
        ];
        let mut cut = engine.truncate(jobs).await?;
        let [explained, least] = two(cut.split_off(1))?;
        let mut left = own;
        left.sub(&explained);
        Ok(Judged {
            z: one(cut)?,
            left,
            least,
        })
    }

    /// `h` of the columns that may enter, `[n, d]`, with the slope that is cut beside it, and their own entries of H.
    async fn curvature<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        run: &Run,
        last: &Last,
        free: &[(usize, usize)],
        slope: (Shares, u32),
    ) -> Result<([Shares; 2], Shares), Abort> {
        let (slopes, of) = &last.slopes;
        let weighted = engine.weighted(&self.matrices, slopes).await?;
        let in_model: Vec<usize> = (0..run.widths.len())
            .filter(|p| run.widths[*p] > 0)
            .collect();
        let pairs: Vec<(usize, usize)> = in_model
            .iter()
            .flat_map(|p| (0..self.widths.len()).map(move |q| (*p, q)))
            .filter(|(_, q)| self.widths[*q] > 0)
            .collect();
        let jobs: Vec<_> = pairs
            .iter()
            .map(|(p, q)| {
                let columns = Operand::Transposed(&weighted[*q].rows, self.widths[*q]);
                (&run.features[*p], columns)
            })
            .collect();
        let mixed = engine.products(&jobs).await?;
        // a sum over m rows is m' times the mean: the point moves
        let moved = |m: Shares| {
            let frac = m.frac() + of.rows_log2;
            (Shares::new(m.into_words(), frac), points::HESSIAN)
        };
        let own = free.iter().map(|(p, at)| {
            let gram = &weighted[*p].gram;
            gram.words()[at * (self.widths[*p] + 1)]
        });
        let frac = weighted.first().map_or(0, |w| w.gram.frac());
        let own = Shares::new(own.collect(), frac);
        drop(weighted);
        let mut cut = vec![slope, moved(own)];
        cut.extend(mixed.into_iter().map(moved));
        let mut cut = engine.truncate(cut).await?;
        let blocks = cut.split_off(2);
        let [slope, mut own] = two(cut)?;
        let me = engine.me();
        for (word, (_, at)) in own.words_mut().iter_mut().zip(free).filter(|o| o.1.0 == me) {
            let ridge = fixed::encode(self.ridge[*at], points::HESSIAN).map_err(wrong)?;
            *word = word.wrapping_add(ridge);
        }
        let starts: Vec<usize> = (0..run.widths.len())
            .map(|p| run.widths[..p].iter().sum())
            .collect();
        let d = run.width();
        let mut h = vec![0u64; free.len() * d];
        for ((p, q), block) in pairs.iter().zip(&blocks) {
            let wide = self.widths[*q];
            for (row, (_, at)) in free.iter().enumerate().filter(|(_, f)| f.0 == *q) {
                for i in 0..run.widths[*p] {
                    h[row * d + starts[*p] + i] = block.words()[i * wide + at];
                }
            }
        }
        Ok(([Shares::new(h, points::HESSIAN), slope], own))
    }
}

impl Judged {
    /// A bit for each column, whether it enters; in the last bit of a word, exclusive-or shares. `largest`: log2 of the largest
    /// z and of the largest v.
    async fn entering<C: Channel, S: CorrelationSource>(
        self,
        engine: &mut Engine<C, S>,
        (largest, headroom): (u32, u32),
        threshold: f64,
    ) -> Result<Vec<u64>, Abort> {
        let n = self.z.len();
        let first = engine.me() == 0;
        let public = |word: u64| if first { word } else { 0 };
        // what has no curvature at all does not enter either
        let mut above = self.left;
        above.sub(&self.least);
        let words = above.words_mut().iter_mut();
        words.for_each(|w| *w = w.wrapping_sub(public(1)));
        let z = capped(engine, self.z, largest).await?;
        let requests = positive::requests(engine.parties(), n);
        engine.source_mut().prefetch(&requests).await?;
        let (more, keep) = engine.positive_and_kept(&above).await?;
        let mut left = self.least;
        left.add(&more);
        let squares = engine.entrywise(&z, &z).await?;
        let squares = engine.entrywise(&squares, &keep).await?;
        let bits = 61 - 2 * largest - headroom;
        let of_left = VARIANCE.min(bits.div_ceil(2));
        let cut = vec![
            (squares.duplicate(), (bits - of_left).min(2 * Z - 1)),
            (left.duplicate(), of_left),
        ];
        let [a, b] = two(engine.truncate(cut).await?)?;
        let crossed = engine.matmul(&a, &b, n, 1, n).await?;
        let by = fixed::encode(threshold, 2 * Z - points::HESSIAN).map_err(wrong)?;
        let m = crossed.words();
        let mut compared = Vec::with_capacity(n * (n + 1));
        for j in 0..n {
            let limit = left.words()[j].wrapping_mul(by);
            compared.push(squares.words()[j].wrapping_sub(limit));
            compared.push(above.words()[j]);
            for k in (0..n).filter(|k| *k != j) {
                // a_j b_k ≥ a_k b_j; the first, where several are as great
                let strictly = public(u64::from(k < j));
                let more = m[j * n + k].wrapping_sub(m[k * n + j]);
                compared.push(more.wrapping_sub(strictly));
            }
        }
        let bits = engine.none_negative(compared, &vec![n + 1; n]).await?;
        // what is beside the last bit of a word is 0 in all shares together
        Ok(bits.into_iter().map(|b| b & 1).collect())
    }
}

/// The root of N', times what weights of rows are divided by.
fn root(run: &Run) -> f64 {
    let power = run.rows.max(1).next_power_of_two() as f64;
    (power * run.scale.by).sqrt()
}

fn two(of: Vec<Shares>) -> Result<[Shares; 2], Abort> {
    <[Shares; 2]>::try_from(of).map_err(|_| Abort::Input("two vectors were expected".into()))
}

/// Columns with `x'x / 4 + l2 = N'`, in fixed point, and the ridge over N' of each.
fn scaled(
    mut x: Zeroizing<Vec<f64>>,
    cols: usize,
    rows: usize,
    l2: f64,
) -> Result<(Vec<i32>, Vec<f64>), Abort> {
    let power = rows.max(1).next_power_of_two() as f64;
    let mut squares = vec![0.0; cols];
    for row in x.chunks_exact(cols.max(1)) {
        squares.iter_mut().zip(row).for_each(|(s, v)| *s += v * v);
    }
    if let Some(at) = squares.iter().position(|s| !s.is_finite()) {
        return Err(Abort::Input(format!(
            "design column {} holds a value that is no finite number",
            at + 1
        )));
    }
    let of = |square: &f64| square / 4.0 / power + l2 / power;
    let by: Vec<f64> = squares.iter().map(of).collect();
    // a column of zeros stays one
    let factor: Vec<f64> = by
        .iter()
        .map(|by| if *by > 0.0 { by.sqrt().recip() } else { 0.0 })
        .collect();
    for row in x.chunks_exact_mut(cols.max(1)) {
        row.iter_mut().zip(&factor).for_each(|(v, f)| *v *= f);
    }
    let mut words = vec![0; x.len()];
    fixed::encode_all_i32(&x, points::FEATURE, &mut words).map_err(wrong)?;
    let ridge = factor.iter().map(|f| f * f * l2 / power).collect();
    Ok((words, ridge))
}
