//! Variance inflation on shares: the inverse of the whitened correlations. See [`super`].

use paripassu_crypto::{fixed, share::Shares};
use paripassu_model::newton_schulz;

use super::{CORRELATION, LARGEST, SHRINK, Shared, starts, wrong};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, OwnerMatrix, Receivers},
    channel::Channel,
    correlation::CorrelationSource,
    vertical::linalg,
};

/// Fraction bits of an owner's T, at most 2^7, beside correlations, and beside an inverse of at most 2^14.
const WHITENING: u32 = 23;
const UNWHITENING: u32 = 16;
/// Of the whitened matrix and its inverse.
const WHITE: u32 = 22;
/// Of T Y before it is multiplied once more.
const HALF: u32 = 17;
/// Of inflations.
const INFLATION: u32 = UNWHITENING + HALF;
/// -log2 of the least eigenvalue of the whitened matrix.
const LEAST_LOG2: u32 = 14;
/// Fraction bits at which what is left of the inverse is compared, and its largest, in units of 2^48.
const LEFT: u32 = 58;
const LEFT_LIMIT: u16 = 8;

/// The whitened correlations of the columns that are left.
pub(super) struct Blocks {
    /// Columns of each party.
    pub(super) widths: Vec<usize>,
    /// `[d, d]` with [`WHITE`] fraction bits.
    white: Shares,
    /// Each party's T.
    unwhiten: Vec<OwnerMatrix>,
}

/// Inflations of the columns that are left, on shares.
pub(super) struct Inflation {
    values: Shares,
    /// What the inverse times the matrix lacks of the identity.
    left: Shares,
}

/// T with `T' R T = I` for a party's own correlations R, `[k, k]`, divided as the module says.
fn whitening(r: &[f64], k: usize) -> Result<Vec<f64>, Abort> {
    let divided: Vec<f64> = (0..k * k)
        .map(|at| match at / k == at % k {
            true => 1.0,
            false => r[at] / (1.0 + SHRINK),
        })
        .collect();
    let l = linalg::cholesky(&divided, k).map_err(|j| {
        Abort::Input(format!(
            "the correlations of design column {} are not finite",
            j + 1
        ))
    })?;
    let inverse = linalg::invert_lower(&l, k);
    Ok((0..k * k).map(|at| inverse[at % k * k + at / k]).collect())
}

impl Blocks {
    /// For the columns at `places`.
    pub(super) async fn new<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        shared: &Shared,
        places: &[usize],
    ) -> Result<Self, Abort> {
        let (me, d) = (engine.me(), shared.columns());
        let firsts = starts(&shared.widths);
        let of = |p: usize| {
            let range = firsts[p]..firsts[p] + shared.widths[p];
            let own = places.iter().copied().filter(move |at| range.contains(at));
            own.collect::<Vec<usize>>()
        };
        let columns: Vec<Vec<usize>> = (0..shared.widths.len()).map(of).collect();
        let widths: Vec<usize> = columns.iter().map(Vec::len).collect();
        let mine: Vec<usize> = columns[me].iter().map(|at| at - firsts[me]).collect();
        let (k, wide) = (mine.len(), shared.widths[me]);
        let own: Vec<f64> = (0..k * k)
            .map(|at| shared.own[mine[at / k] * wide + mine[at % k]])
            .collect();
        let t = whitening(&own, k)?;
        let encoded = |by: f64, frac: u32| -> Result<Vec<i32>, Abort> {
            let each = t.iter().map(|v| fixed::encode_i32(v * by, frac));
            each.collect::<Result<_, _>>().map_err(wrong)
        };
        // half of what correlations between owners are divided by
        let root = (1.0 + SHRINK).recip();
        let (mut whiten, mut unwhiten) = (Vec::new(), Vec::new());
        for (p, k) in widths.iter().copied().enumerate() {
            let own = p == me;
            let t = own.then(|| encoded(root, WHITENING)).transpose()?;
            whiten.push(engine.register(p, k, k, WHITENING, t).await?);
            let t = own.then(|| encoded(1.0, UNWHITENING)).transpose()?;
            unwhiten.push(engine.register(p, k, k, UNWHITENING, t).await?);
        }
        let all = places.len();
        let starts = starts(&widths);
        // rows of p, columns of those before it
        let mut mixed = Shares::zeros(all * all, CORRELATION);
        for (i, row) in places.iter().enumerate() {
            for (j, column) in places.iter().enumerate() {
                mixed.words_mut()[i * all + j] = shared.r.words()[row * d + column];
            }
        }
        let lower = |p: usize| (starts[p]..starts[p] + widths[p], 0..starts[p]);
        let mixed = whitened(engine, &whiten, (mixed, all), lower, CORRELATION).await?;
        // turned over: rows of q, columns of those after it
        let turned = (0..all * all).map(|at| mixed.words()[at % all * all + at / all]);
        let mixed = Shares::new(turned.collect(), CORRELATION);
        let upper = |q: usize| (starts[q]..starts[q] + widths[q], starts[q] + widths[q]..all);
        let upper = whitened(engine, &whiten, (mixed, all), upper, WHITE).await?;
        let mut white = Shares::zeros(all * all, WHITE);
        let words = white.words_mut();
        for i in 0..all {
            let owner = |at: usize| starts.iter().filter(|s| **s <= at).count();
            for j in (i + 1..all).filter(|j| owner(*j) != owner(i)) {
                words[i * all + j] = upper.words()[i * all + j];
                words[j * all + i] = upper.words()[i * all + j];
            }
            if me == 0 {
                words[i * all + i] = 1 << WHITE;
            }
        }
        Ok(Self {
            widths,
            white,
            unwhiten,
        })
    }

    /// Inflations, on shares.
    pub(super) async fn inflation<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
    ) -> Result<Inflation, Abort> {
        let d: usize = self.widths.iter().sum();
        let mut start = Shares::zeros(d * d, WHITE);
        if engine.me() == 0 {
            let least = fixed::encode(1.0 / engine.parties() as f64, WHITE).map_err(wrong)?;
            let diagonal = start.words_mut().iter_mut().step_by(d + 1);
            diagonal.for_each(|w| *w = least);
        }
        let parties = engine.parties().next_power_of_two().trailing_zeros();
        let mut scales = newton_schulz::scales(LEAST_LOG2 + parties);
        // once more: what is left of each eigenvalue is then far below what is compared
        scales.push(newton_schulz::UNSCALED);
        let made = engine
            .symmetric_inverse(&self.white, &start, d, &scales)
            .await?;
        let starts = starts(&self.widths);
        let blocks: Vec<Shares> = self
            .widths
            .iter()
            .zip(&starts)
            .map(|(k, first)| {
                let row =
                    |i: usize| made.inverse.words()[(first + i) * d..][*first..first + k].to_vec();
                Shares::new((0..*k).flat_map(row).collect(), WHITE)
            })
            .collect();
        let half = self.by_t(engine, &blocks).await?;
        let half = half.into_iter().map(|m| (m, HALF)).collect();
        let half = engine.truncate(half).await?;
        let half: Vec<Shares> = half.iter().map(turned).collect();
        let whole = self.by_t(engine, &half).await?;
        let values = whole.iter().zip(&self.widths);
        let values = values.flat_map(|(m, k)| m.words().iter().step_by(k + 1).copied());
        Ok(Inflation {
            values: Shares::new(values.collect(), INFLATION),
            left: made.error,
        })
    }

    /// Each party's T times its matrix.
    async fn by_t<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        matrices: &[Shares],
    ) -> Result<Vec<Shares>, Abort> {
        let with_columns = |(t, _): &(&OwnerMatrix, &Shares)| t.cols() > 0;
        let jobs: Vec<_> = self
            .unwhiten
            .iter()
            .zip(matrices)
            .filter(with_columns)
            .map(|(t, m)| (t, Operand::Plain(m, t.cols())))
            .collect();
        let mut made = engine.products(&jobs).await?.into_iter();
        let frac = matrices.first().map_or(0, Shares::frac) + UNWHITENING;
        let each = self.widths.iter().map(|k| match k {
            0 => Some(Shares::zeros(0, frac)),
            _ => made.next(),
        });
        let all: Option<Vec<Shares>> = each.collect();
        all.ok_or_else(|| Abort::Input("a product of each party was expected".into()))
    }
}

/// A square matrix on its side.
fn turned(m: &Shares) -> Shares {
    let d = m.len().isqrt();
    let words = (0..m.len()).map(|at| m.words()[at % d * d + at / d]);
    Shares::new(words.collect(), m.frac())
}

/// Each party's rows of a `[d, d]` matrix times its T from the left, over the columns that `part` names beside them;
/// zeros elsewhere.
async fn whitened<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    whiten: &[OwnerMatrix],
    (matrix, d): (Shares, usize),
    part: impl Fn(usize) -> (std::ops::Range<usize>, std::ops::Range<usize>),
    frac: u32,
) -> Result<Shares, Abort> {
    let mut places = Vec::new();
    let mut operands = Vec::new();
    for (p, of) in whiten.iter().enumerate() {
        let (rows, columns) = part(p);
        if rows.is_empty() || columns.is_empty() {
            continue;
        }
        let row = |i: usize| matrix.words()[i * d..][columns.clone()].to_vec();
        let words = rows.clone().flat_map(row).collect();
        operands.push((of, Shares::new(words, matrix.frac()), columns.len()));
        places.push((rows, columns));
    }
    let mut out = Shares::zeros(d * d, frac);
    if operands.is_empty() {
        return Ok(out);
    }
    let jobs: Vec<_> = operands
        .iter()
        .map(|(of, v, wide)| (*of, Operand::Transposed(v, *wide)))
        .collect();
    let made = engine.products(&jobs).await?;
    let made = made.into_iter().map(|m| (m, frac)).collect();
    let made = engine.truncate(made).await?;
    for ((rows, columns), m) in places.into_iter().zip(&made) {
        for (i, line) in rows.zip(m.words().chunks_exact(columns.len())) {
            out.words_mut()[i * d..][columns.clone()].copy_from_slice(line);
        }
    }
    Ok(out)
}

impl Inflation {
    /// The column with the largest inflation, if that is above the limit: a bit for each column where there is a
    /// limit, and one whether the inverse is one, to all.
    pub(super) async fn worst<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        limit: Option<f64>,
        round: u32,
    ) -> Result<Option<usize>, Abort> {
        let d = self.values.len();
        let first = engine.me() == 0;
        let public = |word: u64| if first { word } else { 0 };
        let mut bits = Vec::new();
        if let Some(limit) = limit {
            let limit = public(fixed::encode(limit, INFLATION).map_err(wrong)?);
            let v = self.values.words();
            let mut compared = Vec::with_capacity(d * d);
            for j in 0..d {
                compared.push(v[j].wrapping_sub(limit).wrapping_sub(public(1)));
                for k in (0..d).filter(|k| *k != j) {
                    // the last, where several are as large
                    let strictly = public(u64::from(k > j));
                    compared.push(v[j].wrapping_sub(v[k]).wrapping_sub(strictly));
                }
            }
            bits = engine.none_negative(compared, &vec![d; d]).await?;
            // what is beside the last bit of a word is 0 in all shares together
            bits.iter_mut().for_each(|b| *b &= 1);
        }
        // I - H Y is an even power of a matrix with real spectrum: its trace bounds its eigenvalues
        let trace = self.left.words().iter().step_by(d + 1);
        let trace = trace.fold(0u64, |sum, w| sum.wrapping_add(*w));
        let mut left = self.left.words().to_vec();
        left.push(trace);
        let left = Shares::new(left, self.left.frac()).widened(LEFT);
        bits.push(u64::from(engine.within(&left, LEFT_LIMIT).await?));
        let opened = engine.open_bits(bits, Opening::Inflated { round }).await?;
        let (exact, worst) = opened
            .split_last()
            .ok_or_else(|| Abort::Input("an opening without a bit".into()))?;
        let mut above = (0..worst.len()).filter(|j| worst[*j]);
        let found = above.next();
        if !exact || above.next().is_some() {
            return Err(Abort::OutOfRange {
                step: engine.path().to_owned(),
                problem: "variance inflation cannot be computed: columns of several parties are too close to \
                          combinations of one another; leave out columns that two parties both hold"
                    .into(),
            });
        }
        Ok(found)
    }

    /// To each party the inflations of its own columns.
    pub(super) async fn tell<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        widths: &[usize],
    ) -> Result<Vec<f64>, Abort> {
        engine.step("release/inflation");
        let mut own = Vec::new();
        for (p, (first, k)) in starts(widths).into_iter().zip(widths).enumerate() {
            let party = p as u8;
            let opening = Opening::Inflation { party };
            let values = self.values.slice(first..first + k);
            let opened = engine.open(values, opening, Receivers::One(party)).await?;
            if p == engine.me() {
                let value = |w: &u64| fixed::decode(*w, INFLATION).min(2.0 * LARGEST);
                own = opened.iter().map(value).collect();
            }
        }
        Ok(own)
    }
}
