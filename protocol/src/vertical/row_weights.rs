//! Rows that count more or less than others, and log-odds that rows begin with.
//!
//! **Functionality.** A party holds a weight `v_i` of each row, between 0 and a declared largest one, V. The
//! model minimises `l2/2 |w|^2 + sum_i v_i log-loss(x_i w + intercept + o_i, y_i)`; where several parties hold
//! weights, `v_i` is the product of theirs. An offset `o_i` is party 0's. Nobody learns another's weights or
//! offsets. Whoever holds weights decides which customers count, and its coefficients tell more of these where
//! they are few: a party that follows the protocol refuses weights that count as fewer than ten rows a column.
//!
//! **How.** With M the product of all V and `h = log2 M`, rounded up and at most 4, everything is divided by
//! `M / 2^h`: weights are then at most `2^h` and about 1 where they are on the whole, the ridge is
//! `2^h l2 / M`, and residuals, slopes and the spectrum of the Hessian have h bits of headroom
//! ([`points`](super::points)). Residuals and slopes are multiplied with a column of weights as its owner's
//! matrix of one column ([`weighted`](crate::arith::Engine::weighted)) and cut back; party 0 multiplies what
//! only it holds by itself. An offset is added to party 0's share of the scores.
//!
//! **Cost** of a column of weights. Once: 8 bytes a row from its owner to each peer. For residuals of a pass and
//! slopes of a Hessian: 8 bytes a row from each peer to the owner and 8 from the helper, and a cut.

use std::sync::Arc;

use paripassu_crypto::{fixed, share::Shares};
use zeroize::Zeroizing;

use super::{logistic::ROWS_PER_COLUMN, newton, run::Run};
use crate::{
    abort::Abort,
    arith::{Engine, OwnerMatrix},
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

/// Fraction bits of scaled weights.
pub(super) const WEIGHT: u32 = 20;
/// Largest magnitude of an offset: the half width of the narrowest series.
pub const LARGEST_OFFSET: f64 = 8.0;
/// Most bits of headroom.
const HEADROOM_MAX: u32 = 4;
/// Largest product of declared largest weights.
const LARGEST: f64 = 64.0;

/// One party's column of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RowWeights {
    /// Who holds it, by position.
    pub party: u8,
    /// No weight is larger.
    pub max: f64,
}

/// What each residual and slope is multiplied with.
#[derive(Debug, Default)]
pub(super) struct Weighting {
    /// One column for each party that holds weights, in the order of the parties.
    columns: Vec<OwnerMatrix>,
    /// This party's, scaled.
    own: Option<Arc<Zeroizing<Vec<f64>>>>,
}

/// What all weights are divided by, and how much the largest is then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// Divided by.
    pub(super) by: f64,
    /// Bits of headroom: no weight is above two to this.
    pub(super) headroom: u32,
}

impl Scale {
    pub(super) fn new(declared: &[RowWeights]) -> Result<Self, Abort> {
        let most: f64 = declared.iter().map(|w| w.max).product();
        let in_order = declared.windows(2).all(|w| w[0].party < w[1].party);
        let sound = declared.iter().all(|w| w.max.is_finite() && w.max > 0.0);
        if !(in_order && sound && most <= LARGEST) {
            return Err(Abort::Input(format!(
                "the largest weights of rows multiply to {most}: want each above 0 and at most \
                 {LARGEST} in all"
            )));
        }
        let headroom = most.log2().ceil().clamp(0.0, f64::from(HEADROOM_MAX)) as u32;
        Ok(Self::with(most, headroom))
    }

    /// Without headroom: no weight is above 1.
    pub(super) fn unit(declared: &[RowWeights]) -> Result<Self, Abort> {
        let all = Self::new(declared)?;
        Ok(Self::with(all.by * 2f64.powi(all.headroom as i32), 0))
    }

    fn with(most: f64, headroom: u32) -> Self {
        Self {
            by: most / 2f64.powi(headroom as i32),
            headroom,
        }
    }
}

/// This party's weights, scaled: the first party's carry the headroom, all others' are at most 1.
pub(super) fn own(
    declared: &[RowWeights],
    scale: Scale,
    me: usize,
    rows: usize,
    weights: Option<Vec<f64>>,
) -> Result<Option<Vec<f64>>, Abort> {
    let mine = declared.iter().find(|w| usize::from(w.party) == me);
    let (mine, mut weights) = match (mine, weights) {
        (None, None) => return Ok(None),
        (Some(mine), Some(weights)) if weights.len() == rows => (mine, weights),
        (_, weights) => {
            let got = weights.map_or(0, |w| w.len());
            return Err(Abort::Input(format!(
                "{got} weights of {rows} rows where {} are declared",
                if mine.is_some() { "all" } else { "none" }
            )));
        }
    };
    // without the row: its place in the common order would tell the others which customer it is
    if weights.iter().any(|w| !(0.0..=mine.max).contains(w)) {
        return Err(Abort::Input(format!(
            "a weight of a training row is not between 0 and the declared largest, {}",
            mine.max
        )));
    }
    let first = declared.first().is_some_and(|w| w.party == mine.party);
    let headroom = if first { scale.headroom } else { 0 };
    let factor = 2f64.powi(headroom as i32) / mine.max;
    weights.iter_mut().for_each(|w| *w *= factor);
    Ok(Some(weights))
}

/// Checks offsets that party 0 adds to scores.
pub(super) fn check_offset(me: usize, rows: usize, offset: Option<&[f64]>) -> Result<(), Abort> {
    let Some(offset) = offset else { return Ok(()) };
    if me != 0 || offset.len() != rows {
        return Err(Abort::Input(format!(
            "{} offsets of {rows} rows: only the label party gives them, one a row",
            offset.len()
        )));
    }
    if offset
        .iter()
        .any(|o| o.is_nan() || o.abs() >= LARGEST_OFFSET)
    {
        return Err(Abort::Input(format!(
            "an offset of a training row is not between -{LARGEST_OFFSET} and {LARGEST_OFFSET}: it is a \
             log-odds of bad"
        )));
    }
    Ok(())
}

/// Whether enough rows count, as [`ROWS_PER_COLUMN`] asks of rows: a holder of weights that lets few
/// customers count would learn sums over these from its coefficients.
pub(super) fn check_enough(weights: Option<&[f64]>, widths: &[usize]) -> Result<(), Abort> {
    let Some(weights) = weights else {
        return Ok(());
    };
    let (sum, squares) = weights
        .iter()
        .fold((0.0, 0.0), |(s, q), w| (s + w, q + w * w));
    let widest = widths.iter().max().copied().unwrap_or(0);
    let want = (ROWS_PER_COLUMN * widest) as f64;
    // Kish's effective number; not a number where all weights are 0
    let count: f64 = sum * sum / squares;
    if count >= want {
        return Ok(());
    }
    Err(Abort::Input(format!(
        "the weights of rows are so uneven that they count as fewer than {ROWS_PER_COLUMN} rows a column of \
         the widest party: cap them, or leave them out"
    )))
}

impl Weighting {
    /// Registers all columns of weights.
    pub(super) async fn register<C: Channel, S: CorrelationSource>(
        engine: &mut Engine<C, S>,
        declared: &[RowWeights],
        rows: usize,
        own: Option<Vec<f64>>,
    ) -> Result<Self, Abort> {
        let own = own.map(|w| Arc::new(Zeroizing::new(w)));
        let mut columns = Vec::new();
        for w in declared {
            let owner = usize::from(w.party);
            let encode = |v: &f64| fixed::encode_i32(*v, WEIGHT);
            let mine = match &own {
                Some(own) if owner == engine.me() => {
                    let words: Result<Vec<i32>, _> = own.iter().map(encode).collect();
                    Some(words.map_err(|e| Abort::Input(e.to_string()))?)
                }
                _ => None,
            };
            columns.push(engine.register(owner, rows, 1, WEIGHT, mine).await?);
        }
        Ok(Self { columns, own })
    }
}

impl Run {
    /// `v` times the weights of the first rows, as many as v has. `by_zero`: only party 0's share differs from
    /// 0, so that it may multiply with its own weights by itself.
    pub(super) async fn by_row_weights<C: Channel, S: CorrelationSource>(
        &self,
        engine: &mut Engine<C, S>,
        mut v: Shares,
        by_zero: bool,
    ) -> Result<Shares, Abort> {
        let frac = v.frac();
        if !self.weighting.columns.is_empty() && frac + WEIGHT + HEADROOM_MAX > 61 {
            return Err(Abort::OutOfRange {
                step: "train".into(),
                problem: "too few training rows for weights: match more customers".into(),
            });
        }
        for column in &self.weighting.columns {
            if by_zero && column.owner() == 0 {
                if let (0, Some(own)) = (engine.me(), &self.weighting.own) {
                    for (word, w) in v.words_mut().iter_mut().zip(own.iter()) {
                        *word = fixed::encode(fixed::decode(*word, frac) * w, frac)
                            .map_err(|e| Abort::Input(e.to_string()))?;
                    }
                }
                continue;
            }
            let made = engine.weighted(std::slice::from_ref(column), &v).await?;
            let made = made.into_iter().map(|w| (w.rows, frac)).collect();
            v = newton::one(engine.truncate(made).await?)?;
        }
        Ok(v)
    }

    /// What [`Self::by_row_weights`] asks the source for, for so many rows.
    pub(super) fn row_weight_requests(
        &self,
        rows: usize,
        by_zero: bool,
    ) -> impl Iterator<Item = Request> {
        let columns = self.weighting.columns.iter();
        let shared = columns.filter(move |column| !(by_zero && column.owner() == 0));
        shared.flat_map(move |column| {
            let len = rows as u64;
            [
                column.weighted_request(rows),
                Request::Truncate { len, by: WEIGHT },
            ]
        })
    }

    /// Adds the offsets to party 0's share of scores.
    pub(super) fn add_offset(&self, me: usize, z: &mut Shares) -> Result<(), Abort> {
        let (0, Some(offset)) = (me, &self.offset) else {
            return Ok(());
        };
        let frac = z.frac();
        for (z, o) in z.words_mut().iter_mut().zip(offset.iter()) {
            let o = fixed::encode(*o, frac).map_err(|e| Abort::Input(e.to_string()))?;
            *z = z.wrapping_add(o);
        }
        Ok(())
    }
}
