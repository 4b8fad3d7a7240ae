//! Which columns say again what columns of other parties say: correlations and variance inflation on shares.
//!
//! **Functionality.** Party p gives columns X_p, rows aligned, party 0 also a number for each row that columns are ranked by
//! (the label, centred, times its own weights of rows). With R the correlations of all columns:
//!
//! 1. with `max_correlation`: for each pair of columns whose correlation is at least that in magnitude, which of the two
//!    correlates more with party 0's numbers; of these all follow which columns go ([`correlated`]);
//! 2. with `max_vif`, again and again: of the columns left the one whose variance inflation, its entry on the diagonal of R's
//!    inverse, is the largest, if it is above that; it goes;
//! 3. each party: the inflation of its own columns that stay.
//!
//! With `table` all learn the correlations between different parties' columns. What is divided before it is inverted, and
//! what is told of inflations above 1,000, is in [`paripassu_model::selection`], which gives the same in the clear.
//!
//! **Parties.** Two to five; a source of correlations. **Adversary.** Passive; up to all but one data party may pool what they
//! see, if the source joins none of them.
//! **Learns.** Rows and columns of each party; what the openings `Correlated`, `Inflated`, `Inflation` and
//! `Correlations` declare, and with `Inflated` a bit a round whether the inverse is one. Correlations, inflations that are
//! compared and what columns tell of the label stay shared. A party's own inflations tell how closely the others'
//! columns predict its own; not by which.
//!
//! **How.** Owners centre and scale their columns and make their own blocks of R in the clear. Those between p and q < p,
//! and p's correlations with the numbers, are products of p's matrix with q's columns, which are q's own shares. For the
//! inverse each owner whitens its block, in the clear: with `T_p' R_pp T_p = I` the shared matrix is I but for
//! `T_p' R_pq T_q`, so that its eigenvalues lie between 2^-14 and the number of parties, whatever the columns. The
//! diagonal of `T_p Y_pp T_p'` is then that of R's inverse, Y the whitened one's. Comparisons are of all pairs at once.
//!
//! **Precision.** Columns keep as many bits as their rows allow: with N' the next power of two and n = log2 N', 30 - n/2, their
//! products 61 - n. R has 30, the whitened matrix and its inverse 22, T at most 2^7: an inflation of 10 is right to 1e-4, one of 1,000
//! to about 1 %. Tests: `inflations_are_those_of_the_pooled_columns`.
//! **Cost.** Once: 8 bytes a row and column from each owner but the first to every other one, and of each column of the
//! parties before it back. A round of 2: about 70 messages of words by the square of the columns.
//! **Source.** Owner-matrix products as in training ([`super`]); the inverse as there; comparisons as in [`crate::arith`].
//! Dropping the column of the largest inflation, one by one: "Regression Diagnostics" (Wiley, 1980), chapter 3.

mod inflation;

use paripassu_crypto::{fixed, share::Shares};
pub use paripassu_model::selection::{Dropped, LARGEST, SHRINK, Why};
use paripassu_model::selection::{correlated, kept};
use zeroize::Zeroizing;

use self::inflation::Blocks;
use super::{logistic::widths, newton::one, whiten::Design};
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, Receivers},
    channel::Channel,
    compute::offload,
    correlation::CorrelationSource,
};

/// Fraction bits of correlations.
pub(super) const CORRELATION: u32 = 30;
/// Words of other parties' columns that an owner's matrix is multiplied with at a time.
const BLOCK_WORDS: usize = 1 << 22;
/// Most columns of all parties together: all pairs are compared.
pub const MOST_COLUMNS: usize = 512;

/// What is computed: the same at all parties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SelectionSpec {
    /// Largest magnitude of the correlation of two columns that both stay, above 0 and below 1.
    pub max_correlation: Option<f64>,
    /// Largest variance inflation of a column that stays, 1 to [`LARGEST`].
    pub max_vif: Option<f64>,
    /// Whether all learn the correlations of different parties' columns.
    pub table: bool,
}

/// One party's columns.
pub struct SelectionInput {
    /// Row-major `[rows, cols]`, of any scale.
    pub x: Vec<f64>,
    /// Columns.
    pub cols: usize,
    /// Rows.
    pub rows: usize,
    /// What columns are ranked by, centred, at party 0 alone.
    pub label: Option<Vec<f64>>,
}

impl std::fmt::Debug for SelectionInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SelectionInput({} x {})", self.rows, self.cols)
    }
}

/// What one party is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Columns of each party that there were.
    pub widths: Vec<usize>,
    /// Those that go, by their places among all parties' columns, in the order in which they went.
    pub dropped: Vec<Dropped>,
    /// Inflation of this party's columns that stay.
    pub inflation: Vec<f64>,
    /// Correlations of different parties' columns, where asked for: places of both, and how much.
    pub correlations: Vec<(usize, usize, f64)>,
    /// How often an inverse was made.
    pub rounds: u32,
}

impl Selection {
    /// The party of a column, and its place among that party's.
    pub fn owner(&self, column: usize) -> (usize, usize) {
        let mut at = column;
        for (p, width) in self.widths.iter().enumerate() {
            if at < *width {
                return (p, at);
            }
            at -= width;
        }
        (self.widths.len(), at)
    }

    /// Columns of this party that stay, by their places among its own.
    pub fn kept(&self, party: usize) -> Vec<usize> {
        let all = kept(self.widths.iter().sum(), &self.dropped);
        let own = all.into_iter().map(|column| self.owner(column));
        own.filter(|(p, _)| *p == party).map(|(_, at)| at).collect()
    }
}

/// All correlations on shares.
struct Shared {
    widths: Vec<usize>,
    /// This party's own block.
    own: Vec<f64>,
    /// `[d, d]` with [`CORRELATION`] fraction bits.
    r: Shares,
    /// Of each column with party 0's numbers, as many bits.
    label: Option<Shares>,
}

impl Shared {
    fn columns(&self) -> usize {
        self.widths.iter().sum()
    }
}

/// Selects columns jointly. See the module for what each party learns.
///
/// # Leakage
/// Rows and columns; the openings `Correlated`, `Inflated`, `Inflation` and `Correlations`, as far as asked for.
///
/// # Errors
/// The channel's, the ledger's; columns that cannot be used, or too many of them.
pub async fn select<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    spec: &SelectionSpec,
    input: SelectionInput,
) -> Result<Selection, Abort> {
    engine.step("train/selection");
    let ranked = spec.max_correlation.is_some();
    check(engine.me(), spec, &input)?;
    let widths = widths(engine, input.rows, input.cols).await?;
    let d: usize = widths.iter().sum();
    if d == 0 {
        return Err(Abort::Input("no party has a column to select from".into()));
    }
    if d > MOST_COLUMNS {
        return Err(Abort::Input(format!(
            "{d} columns of all parties are too many to be compared pair by pair: list at most {MOST_COLUMNS}, or \
             leave out [selection]"
        )));
    }
    let shared = correlations(engine, widths, input, ranked).await?;
    let mut selection = Selection {
        widths: shared.widths.clone(),
        dropped: Vec::new(),
        inflation: Vec::new(),
        correlations: Vec::new(),
        rounds: 0,
    };
    if spec.table {
        engine.step("train/selection-table");
        selection.correlations = table(engine, &shared).await?;
    }
    if let Some(limit) = spec.max_correlation {
        engine.step("train/selection-pairs");
        selection.dropped = pairs(engine, &shared, limit).await?;
    }
    loop {
        selection.rounds += 1;
        engine.step(format_args!("train/selection-{}", selection.rounds));
        let places = kept(d, &selection.dropped);
        let opening = Opening::Inflated {
            round: selection.rounds,
        };
        let bits = 1 + spec.max_vif.map_or(0, |_| places.len());
        engine.announce(opening, Receivers::All, bits)?;
        let blocks = Blocks::new(engine, &shared, &places).await?;
        let found = blocks.inflation(engine).await?;
        let worst = found.worst(engine, spec.max_vif, selection.rounds).await?;
        match worst {
            Some(at) => selection.dropped.push(Dropped {
                column: places[at],
                why: Why::Inflated,
            }),
            None => {
                selection.inflation = found.tell(engine, &blocks.widths).await?;
                return Ok(selection);
            }
        }
    }
}

fn check(me: usize, spec: &SelectionSpec, input: &SelectionInput) -> Result<(), Abort> {
    let given = input.label.is_some() == (me == 0)
        && input.label.as_ref().is_none_or(|y| y.len() == input.rows)
        && input.x.len() == input.rows * input.cols;
    let sound = spec.max_correlation.is_none_or(|r| 0.0 < r && r < 1.0)
        && spec.max_vif.is_none_or(|v| (1.0..=LARGEST).contains(&v));
    match (given, sound) {
        (true, true) => Ok(()),
        (false, _) => Err(Abort::Input(
            "columns and what they are ranked by are of other sizes".into(),
        )),
        (_, false) => Err(Abort::Input(format!(
            "a largest correlation lies between 0 and 1, a largest inflation between 1 and {LARGEST}"
        ))),
    }
}

/// Columns less their means, over their deviations; a constant one is 0 everywhere.
fn scaled(x: &mut [f64], cols: usize, rows: usize) -> Result<(), Abort> {
    for j in 0..cols {
        let column = || x.iter().skip(j).step_by(cols.max(1));
        let mean = column().sum::<f64>() / rows as f64;
        let square: f64 = column().map(|v| (v - mean) * (v - mean)).sum();
        if !square.is_finite() {
            return Err(Abort::Input(format!(
                "design column {} holds a value that is no finite number",
                j + 1
            )));
        }
        let by = match square > 0.0 {
            true => (rows as f64 / square).sqrt(),
            false => 0.0,
        };
        for v in x.iter_mut().skip(j).step_by(cols.max(1)) {
            *v = (*v - mean) * by;
        }
    }
    Ok(())
}

fn wrong(e: fixed::DoesNotFit) -> Abort {
    Abort::Input(e.to_string())
}

/// Correlations of all columns, those of this party's own in the clear.
async fn correlations<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    widths: Vec<usize>,
    input: SelectionInput,
    ranked: bool,
) -> Result<Shared, Abort> {
    let (me, rows, cols) = (engine.me(), input.rows, input.cols);
    let power = rows.max(1).next_power_of_two();
    let n = power.trailing_zeros();
    // |x| is at most the root of N, and a product of two columns N'
    let bits = 30 - n.div_ceil(2);
    let operand = 61 - n - bits;
    let label = input.label.filter(|_| ranked);
    let mut x = Zeroizing::new(input.x);
    let (x, label, own) = offload(move || {
        scaled(&mut x, cols, rows)?;
        let mut label = label.map(Zeroizing::new);
        if let Some(y) = &mut label {
            scaled(y, 1, rows)?;
        }
        let design = Design {
            x: std::mem::take(&mut *x),
            cols,
            rows,
            intercept: false,
        };
        let mut own = design.gram();
        own.iter_mut().for_each(|r| *r /= rows as f64);
        (0..cols).for_each(|j| own[j * cols + j] = 1.0);
        Ok::<_, Abort>((Zeroizing::new(design.x), label, own))
    })
    .await?;
    let starts = starts(&widths);
    let d: usize = widths.iter().sum();
    let mut r = Shares::zeros(d * d, CORRELATION);
    for (at, v) in own.iter().enumerate() {
        let (i, j) = (starts[me] + at / cols, starts[me] + at % cols);
        r.words_mut()[i * d + j] = fixed::encode(*v, CORRELATION).map_err(wrong)?;
    }
    let mut with_label = ranked.then(|| Shares::zeros(d, CORRELATION));
    if let (Some(with), Some(y)) = (&mut with_label, &label) {
        for (j, word) in with.words_mut()[..cols].iter_mut().enumerate() {
            let column = x.iter().skip(j).step_by(cols);
            let dot: f64 = column.zip(y.iter()).map(|(x, y)| x * y).sum();
            *word = fixed::encode(dot / rows as f64, CORRELATION).map_err(wrong)?;
        }
    }
    let scale = power as f64 / rows as f64;
    for p in 1..widths.len() {
        let before = starts[p];
        // columns of the parties before, then the numbers that party 0 ranks by
        let wanted = before + usize::from(ranked);
        if widths[p] == 0 || wanted == 0 {
            continue;
        }
        engine.step(format_args!("train/selection-of-{p}"));
        let mine = match p == me {
            true => {
                let mut words = vec![0; rows * cols];
                fixed::encode_all_i32(&x, bits, &mut words).map_err(wrong)?;
                Some(words)
            }
            false => None,
        };
        let matrix = engine.register(p, rows, widths[p], bits, mine).await?;
        let most = (BLOCK_WORDS / rows.max(1)).max(1);
        let mut made = Vec::new();
        for first in (0..wanted).step_by(most) {
            let block = most.min(wanted - first);
            let mut v = Shares::zeros(rows * block, operand);
            for (k, column) in (first..first + block).enumerate() {
                let own = (starts[me]..starts[me] + cols).contains(&column) && column < before;
                let value = |row: usize| match (own, &label) {
                    (true, _) => Some(x[row * cols + column - starts[me]]),
                    (false, Some(y)) if column == before => Some(y[row]),
                    _ => None,
                };
                for (row, word) in v.words_mut().iter_mut().skip(k).step_by(block).enumerate() {
                    if let Some(value) = value(row) {
                        *word = fixed::encode(value * scale, operand).map_err(wrong)?;
                    }
                }
            }
            let jobs = [(&matrix, Operand::Transposed(&v, block))];
            let product = one(engine.products(&jobs).await?)?;
            // divided by N' by moving the point
            let frac = product.frac() + n;
            let product = Shares::new(product.into_words(), frac);
            made.push((product, CORRELATION));
        }
        let made = engine.truncate(made).await?;
        for (block, first) in made.iter().zip((0..wanted).step_by(most)) {
            let wide = most.min(wanted - first);
            for (at, word) in block.words().iter().enumerate() {
                let (i, column) = (starts[p] + at / wide, first + at % wide);
                match (&mut with_label, column < before) {
                    (_, true) => {
                        r.words_mut()[i * d + column] = *word;
                        r.words_mut()[column * d + i] = *word;
                    }
                    (Some(with), false) => with.words_mut()[i] = *word,
                    (None, false) => {}
                }
            }
        }
    }
    Ok(Shared {
        widths,
        own,
        r,
        label: with_label,
    })
}

/// Where each party's columns begin.
pub(super) fn starts(widths: &[usize]) -> Vec<usize> {
    let before = |p: usize| widths[..p].iter().sum();
    (0..widths.len()).map(before).collect()
}

/// Correlations of different parties' columns, to all.
async fn table<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    shared: &Shared,
) -> Result<Vec<(usize, usize, f64)>, Abort> {
    let (d, starts) = (shared.columns(), starts(&shared.widths));
    let owner = |column: usize| starts.iter().filter(|s| **s <= column).count();
    let pairs: Vec<(usize, usize)> = (0..d)
        .flat_map(|i| (i + 1..d).map(move |j| (i, j)))
        .filter(|(i, j)| owner(*i) != owner(*j))
        .collect();
    let words = pairs.iter().map(|(i, j)| shared.r.words()[i * d + j]);
    let values = Shares::new(words.collect(), CORRELATION);
    let opened = engine
        .open(values, Opening::Correlations, Receivers::All)
        .await?;
    let each = pairs.into_iter().zip(opened);
    Ok(each
        .map(|((i, j), word)| (i, j, fixed::decode(word, CORRELATION)))
        .collect())
}

/// Columns that go because they correlate with one that tells more: two bits a pair, to all.
async fn pairs<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    shared: &Shared,
    limit: f64,
) -> Result<Vec<Dropped>, Abort> {
    let d = shared.columns();
    let label = shared.label.as_ref();
    let label = label.ok_or_else(|| Abort::Input("nothing to rank columns by".into()))?;
    let pairs: Vec<(usize, usize)> = (0..d)
        .flat_map(|i| (i + 1..d).map(move |j| (i, j)))
        .collect();
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let mut words: Vec<u64> = pairs
        .iter()
        .map(|(i, j)| shared.r.words()[i * d + j])
        .collect();
    words.extend_from_slice(label.words());
    let values = Shares::new(words, CORRELATION);
    let squares = engine.entrywise(&values, &values).await?;
    let (of_pairs, of_label) = squares.words().split_at(pairs.len());
    let first = engine.me() == 0;
    let public = |word: u64| if first { word } else { 0 };
    let least = public(fixed::encode(limit * limit, squares.frac()).map_err(wrong)?);
    let mut compared = Vec::with_capacity(4 * pairs.len());
    for ((i, j), square) in pairs.iter().zip(of_pairs) {
        let above = square.wrapping_sub(least);
        let more = of_label[*i].wrapping_sub(of_label[*j]);
        // the first, where both tell as much
        let less = more.wrapping_neg().wrapping_sub(public(1));
        compared.extend([above, more, above, less]);
    }
    let bits = engine
        .none_negative(compared, &vec![2; 2 * pairs.len()])
        .await?;
    // what is beside the last bit of a word is 0 in all shares together
    let bits = bits.into_iter().map(|b| b & 1).collect();
    let bits = engine.open_bits(bits, Opening::Correlated).await?;
    let mut beats = vec![false; d * d];
    for ((i, j), bits) in pairs.iter().zip(bits.chunks_exact(2)) {
        beats[i * d + j] = bits[0];
        beats[j * d + i] = bits[1];
    }
    correlated(d, &beats).ok_or_else(|| Abort::OutOfRange {
        step: engine.path().to_owned(),
        problem: "columns tell more of the label than one another in a circle: a party does not follow the protocol".into(),
    })
}
