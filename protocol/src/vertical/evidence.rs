//! Weights of evidence that nobody sees: of bins whose counts stay shared.
//!
//! **Functionality.** An owner p ≠ 0 has fixed the bins of its columns by its own values alone and knows how many
//! rows n each holds; all hold shares of the bad rows b of each ([`count`](super::bins::count)). Party 0 knows how many
//! rows are good and bad in all, G and B. All end with shares of each bin's weight of evidence,
//! `ln(((g + 1/2) / G) / ((b + 1/2) / B))` with `g = n - b` ([`weights`]). Party 0 learns each column's
//! information value, `sum (g/G - b/B) weight`, and whether its share of bads never falls or never rises over the
//! bins of its numbers ([`reveal`]).
//!
//! **Adversary.** Passive; up to all but one data party may pool what they see, if the source joins none.
//! **Learns.** All parties: how many bins each column has, and which of them are of numbers in order ([`columns`]).
//! Party 0: what the openings `Information` and `Monotone` declare, a number and a bit a column. The owner nothing
//! about labels, whatever its bins are: nothing that depends on a label is opened to it, and no step depends on one.
//!
//! **How.** The share of bads of a bin, `p = (b + 1/2) / (n + 1)`, is its owner's `1 / (2 n + 2)` times `2 b + 1`, in two
//! parts of 30 bits. With `x = p G / B`, party 0's factor, and `y = 1 - p` the weight is ln(y / x), the integral over s of
//! `sigma(s + w) - sigma(s)`: by the trapezoid rule, with `t = sigma(s)`,
//!
//! ```text
//! ln(y / x) = (y - x) sum_i h t_i (1 - t_i) / ((1 - t_i) x + t_i y)
//! ```
//!
//! over 27 nodes 1.25 apart. The reciprocals are Newton's, `r <- r (2 - q r)` from 2^-7: below 1/q they only rise, so
//! that nothing overflows, and a q that is too small for the number of steps is taken for a larger one.
//!
//! **Range and errors.** B / (G + B) from 1/128 to 127/128. Rule and cuts leave an error below 2e-4 for weights up
//! to ±6; beyond ±7 weights are drawn towards 0. `an_integral_by_its_nodes_is_a_logarithm` and `weights_of_evidence_are_those_of_the_counts` measure both.
//!
//! **Cost.** A bin: about 27 x 42 products and cuts, 30 KB from each party to each other; four messages a
//! round, about 90 in all, whatever the number of bins.
//! **Source.** The trapezoid rule for functions analytic in a strip: Trefethen and Weideman, SIAM Review 56(3), 2014,
//! theorem 5.1. The reciprocal on shares by Newton's iteration: Algesheimer, Camenisch and Shoup, CRYPTO 2002;
//! with fixed-point shares, Catrina and Saxena, Financial Cryptography 2010. Comparisons as in [`crate::arith`].

use paripassu_crypto::{fixed, share::Shares};

use super::newton::one;
use crate::{
    abort::Abort,
    arith::{Engine, Opening, Receivers},
    channel::{Channel, Role},
    codec,
    correlation::CorrelationSource,
};

/// Nodes of the rule: from `-13 STEP` to `13 STEP`.
const NODES: usize = 27;
/// Distance of nodes: the rule's error is then below 8 pi / (exp(2 pi^2 / STEP) - 1) < 4e-6.
const STEP: f64 = 1.25;
/// Steps of the reciprocals.
const ROUNDS: usize = 21;
/// Fraction bits of shares of bads, and of what is divided by.
const RATE: u32 = 30;
/// Of party 0's factor.
const FACTOR: u32 = 20;
/// Of nodes.
const NODE: u32 = 22;
/// Of a reciprocal, which stays below 2^14, and of its product with what it is of.
const RECIPROCAL: u32 = 22;
const PRODUCT: u32 = 24;
/// Of the rule's multipliers and its sum.
const MULTIPLIER: u32 = 24;
const SUM: u32 = 26;
/// Of weights of evidence.
pub const WOE: u32 = 24;
/// Of a bin's difference of shares, and of a party's total in it.
const DIFFERENCE: u32 = 26;
const TOTAL: u32 = 22;
/// Of information values.
const INFORMATION: u32 = 20;
/// Largest ratio of good to bad rows, or of bad to good ones.
const LARGEST_RATIO: u64 = 127;

/// One column of bins, as all parties know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// How many bins.
    pub bins: usize,
    /// How many of these, the first, are of numbers in ascending order; 0 for categories.
    pub ordered: usize,
}

/// Rows of each label in all, which party 0 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Good rows.
    pub good: u64,
    /// Bad rows.
    pub bad: u64,
}

impl Totals {
    fn check(self) -> Result<Self, Abort> {
        let within = |a: u64, b: u64| a > 0 && b <= LARGEST_RATIO * a;
        if within(self.good, self.bad) && within(self.bad, self.good) {
            return Ok(self);
        }
        Err(Abort::Input(format!(
            "{} good and {} bad training rows: weights of evidence on shares need at least one row of each label in {}: \
             use counts = \"bank-sees\", or another label",
            self.good,
            self.bad,
            LARGEST_RATIO + 1
        )))
    }
}

/// What party 0 learns of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Revealed {
    /// Its information value.
    pub iv: f64,
    /// Whether its share of bads never falls, or never rises, over its bins of numbers; nothing where
    /// there are fewer than two.
    pub monotone: Option<bool>,
}

/// What is given by whom: the owner the rows of its bins, party 0 the totals.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Position of the owner.
    pub owner: usize,
    /// Training rows, at most 2^25.
    pub rows: usize,
    /// Rows of each of its bins, at the owner alone.
    pub sizes: Option<&'a [u64]>,
    /// At party 0 alone.
    pub totals: Option<Totals>,
}

impl Given<'_> {
    fn check(&self, me: usize, bads: &Shares) -> Result<(), Abort> {
        let fits = self.sizes.is_some() == (me == self.owner)
            && self.sizes.is_none_or(|s| s.len() == bads.len())
            && self.totals.is_some() == (me == 0)
            && self.owner != 0;
        match fits {
            true => self.totals.map_or(Ok(()), |t| t.check().map(drop)),
            false => Err(Abort::Input(
                "the owner gives the rows of its bins, party 0 the totals".into(),
            )),
        }
    }

    fn party(&self) -> u8 {
        u8::try_from(self.owner).unwrap_or(u8::MAX)
    }
}

/// The owner tells all how its `bins` bins are columns.
///
/// # Leakage
/// Bins of each column, and how many of them are of numbers.
///
/// # Errors
/// The channel's; or a list that does not fit.
pub async fn columns<C: Channel, S>(
    engine: &mut Engine<C, S>,
    owner: usize,
    bins: usize,
    mine: Option<&[Column]>,
) -> Result<Vec<Column>, Abort> {
    let ctx = engine.at_step().clone();
    let from = Role::Party(u8::try_from(owner).unwrap_or(u8::MAX));
    // a word a bin: 1 where its column begins, 2 where it is one of numbers
    let words = match mine {
        Some(mine) => {
            let of = |c: &Column| -> Vec<u64> {
                let word = |b: usize| u64::from(b == 0) + 2 * u64::from(b < c.ordered);
                (0..c.bins).map(word).collect()
            };
            let words: Vec<u64> = mine.iter().flat_map(of).collect();
            if words.len() != bins {
                return Err(Abort::Input("columns of another number of bins".into()));
            }
            let body = codec::put_words(&words);
            for peer in ctx.peers() {
                ctx.send(peer, "columns", body.clone()).await?;
            }
            words
        }
        None => {
            let body = ctx.recv(from, "columns").await?;
            codec::take_words(&body, bins, from, ctx.path())?
        }
    };
    let mut all: Vec<Column> = Vec::new();
    for word in words {
        let begins = word & 1 == 1;
        if begins {
            all.push(Column {
                bins: 0,
                ordered: 0,
            });
        }
        let number = word & 2 == 2;
        let fits = all
            .last_mut()
            .filter(|c| word < 4 && (!number || c.ordered == c.bins));
        let Some(column) = fits else {
            return Err(Abort::Malformed {
                from,
                step: ctx.path().to_owned(),
                problem: "bins that are no columns".into(),
            });
        };
        column.bins += 1;
        column.ordered += usize::from(number);
    }
    Ok(all)
}

/// Nodes `t = sigma(s)` and multipliers `h t (1 - t)`.
fn nodes() -> Vec<(f64, f64)> {
    let half = (NODES / 2) as f64;
    let node = |i: usize| {
        let t = 1.0 / (1.0 + (-STEP * (i as f64 - half)).exp());
        (t, STEP * t * (1.0 - t))
    };
    (0..NODES).map(node).collect()
}

/// Adds a public number to what is shared.
pub(super) fn add_public(me: usize, shares: &mut Shares, word: u64) {
    if me == 0 {
        let words = shares.words_mut();
        words.iter_mut().for_each(|w| *w = w.wrapping_add(word));
    }
}

/// A column of `values` of one party's times `v`, row by row.
pub(super) async fn times<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owner: usize,
    cols: usize,
    frac: u32,
    values: Option<Vec<i32>>,
    v: &Shares,
) -> Result<Shares, Abort> {
    let matrix = engine.register(owner, v.len(), cols, frac, values).await?;
    let made = engine.weighted(std::slice::from_ref(&matrix), v).await?;
    one(made.into_iter().map(|w| w.rows).collect())
}

fn too_large(_: fixed::DoesNotFit) -> Abort {
    Abort::Input("the totals of good and bad rows are too uneven".into())
}

/// Shares of each bin's share of bads, `(b + 1/2) / (n + 1)`, with [`RATE`] fraction bits.
async fn rates<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    given: &Given<'_>,
    bads: &Shares,
) -> Result<Shares, Abort> {
    let parts = given.sizes.map(|sizes| -> Vec<i32> {
        let of = |n: &u64| {
            let whole = (1u64 << 60) / (2 * n + 2);
            // both below 2^30
            [(whole >> 30) as i32, (whole & ((1 << 30) - 1)) as i32]
        };
        sizes.iter().flat_map(of).collect()
    });
    let mut v = bads.duplicate();
    v.words_mut()
        .iter_mut()
        .for_each(|w| *w = w.wrapping_mul(2));
    add_public(engine.me(), &mut v, 1);
    let made = times(engine, given.owner, 2, 0, parts, &v).await?;
    let words = made.words().chunks_exact(2);
    let words = words.map(|w| (w[0] << 30).wrapping_add(w[1])).collect();
    one(engine
        .truncate(vec![(Shares::new(words, 60), RATE)])
        .await?)
}

/// Shares of each bin's weight of evidence, ln(good% / bad%), with [`WOE`] fraction bits.
///
/// # Leakage
/// None.
///
/// # Errors
/// The channel's, the source's; or totals that are too uneven.
pub async fn weights<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    given: &Given<'_>,
    bads: &Shares,
) -> Result<Shares, Abort> {
    let me = engine.me();
    given.check(me, bads)?;
    let bins = bads.len();
    let rate = rates(engine, given, bads).await?;
    let factor = match given.totals {
        Some(t) => {
            let factor = fixed::encode_i32(t.good as f64 / t.bad as f64, FACTOR);
            Some(vec![factor.map_err(too_large)?; bins])
        }
        None => None,
    };
    let x = times(engine, 0, 1, FACTOR, factor, &rate).await?;
    let x = one(engine.truncate(vec![(x, RATE)]).await?)?;
    let mut y = rate.negated();
    add_public(me, &mut y, 1 << RATE);

    let nodes = nodes();
    let mut q = Vec::with_capacity(NODES * bins);
    for (t, _) in &nodes {
        let t = (t * f64::from(1 << NODE)).round() as u64;
        let rest = (1 << NODE) - t;
        let both = x.words().iter().zip(y.words());
        q.extend(both.map(|(x, y)| x.wrapping_mul(rest).wrapping_add(y.wrapping_mul(t))));
    }
    let q = vec![(Shares::new(q, RATE + NODE), RATE)];
    let q = one(engine.truncate(q).await?)?;
    let r = reciprocals(engine, &q).await?;

    let mut sum = Shares::zeros(bins, RECIPROCAL + MULTIPLIER);
    for ((_, by), r) in nodes.iter().zip(r.words().chunks_exact(bins.max(1))) {
        let by = (by * f64::from(1 << MULTIPLIER)).round() as u64;
        for (sum, r) in sum.words_mut().iter_mut().zip(r) {
            *sum = sum.wrapping_add(r.wrapping_mul(by));
        }
    }
    let sum = one(engine.truncate(vec![(sum, SUM)]).await?)?;
    y.sub(&x);
    let woe = engine.entrywise(&y, &sum).await?;
    one(engine.truncate(vec![(woe, WOE)]).await?)
}

/// Reciprocals of values from 2^-11 to 2^7, with [`RECIPROCAL`] fraction bits.
async fn reciprocals<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    q: &Shares,
) -> Result<Shares, Abort> {
    let me = engine.me();
    // the first step from r = 2^-7, r (2 - q r) = 2^-6 - 2^-14 q, has q's own words at 14 bits more
    let mut r = Shares::new(q.words().to_vec(), RATE + 14).negated();
    add_public(me, &mut r, 1 << (RATE + 14 - 6));
    let mut r = one(engine.truncate(vec![(r, RECIPROCAL)]).await?)?;
    for _ in 1..ROUNDS {
        let made = engine.entrywise(q, &r).await?;
        let made = one(engine.truncate(vec![(made, PRODUCT)]).await?)?;
        let mut rest = made.negated();
        add_public(me, &mut rest, 2 << PRODUCT);
        let next = engine.entrywise(&r, &rest).await?;
        r = one(engine.truncate(vec![(next, RECIPROCAL)]).await?)?;
    }
    Ok(r)
}

/// Information value of each column and whether it is monotone, to party 0; elsewhere the result is empty.
///
/// # Leakage
/// A number and, for each column with at least two bins of numbers, a bit, to party 0: declared as `Information`
/// and `Monotone`.
///
/// # Errors
/// The channel's, the source's, or the ledger's.
pub async fn reveal<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    given: &Given<'_>,
    columns: &[Column],
    bads: &Shares,
    woe: &Shares,
) -> Result<Vec<Revealed>, Abort> {
    let me = engine.me();
    given.check(me, bads)?;
    let all: usize = columns.iter().map(|c| c.bins).sum();
    if all != bads.len() || all != woe.len() {
        return Err(Abort::Input("columns of other bins".into()));
    }
    let iv = information(engine, given, columns, bads, woe).await?;
    let bits = monotone(engine, given, columns, bads).await?;
    let party = given.party();
    let opened = engine
        .open(iv, Opening::Information { party }, Receivers::One(0))
        .await?;
    let flags = match bits.is_empty() {
        true => Vec::new(),
        false => {
            engine
                .open_to_first(bits, Opening::Monotone { party })
                .await?
        }
    };
    if me != 0 {
        return Ok(Vec::new());
    }
    let mut flags = flags.into_iter();
    let of = |(c, iv): (&Column, u64)| Revealed {
        iv: fixed::decode(iv, INFORMATION),
        monotone: (c.ordered > 1).then(|| flags.next() == Some(1)),
    };
    Ok(columns.iter().zip(opened).map(of).collect())
}

/// Shares of each column's information value.
async fn information<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    given: &Given<'_>,
    columns: &[Column],
    bads: &Shares,
    woe: &Shares,
) -> Result<Shares, Abort> {
    let bins = bads.len();
    // good rows, then bad ones: g = n - b, and n is the owner's share
    let mut both = bads.duplicate().negated();
    for (w, n) in both
        .words_mut()
        .iter_mut()
        .zip(given.sizes.unwrap_or_default())
    {
        *w = w.wrapping_add(*n);
    }
    let both = super::pass::joined(vec![both, bads.duplicate()]);
    // divided by the totals: times N' / G and N' / B, and the point moved
    let rows_log2 = given.rows.max(64).next_power_of_two().trailing_zeros();
    let factors = match given.totals {
        Some(t) => {
            let of = |total: u64| {
                let scaled = 2f64.powi(rows_log2 as i32) / total as f64;
                fixed::encode_i32(scaled, TOTAL).map_err(too_large)
            };
            let mut all = vec![of(t.good)?; bins];
            all.resize(2 * bins, of(t.bad)?);
            Some(all)
        }
        None => None,
    };
    let shares = times(engine, 0, 1, TOTAL, factors, &both).await?;
    let of_bad = shares.slice(bins..2 * bins);
    let mut difference = shares.slice(0..bins);
    difference.sub(&of_bad);
    let difference = Shares::new(difference.into_words(), TOTAL + rows_log2);
    let difference = one(engine.truncate(vec![(difference, DIFFERENCE)]).await?)?;
    let each = engine.entrywise(&difference, woe).await?;
    let mut rest = each.words();
    let mut sums = Vec::with_capacity(columns.len());
    for column in columns {
        let (own, after) = rest.split_at(column.bins);
        rest = after;
        sums.push(own.iter().fold(0u64, |sum, w| sum.wrapping_add(*w)));
    }
    let sums = Shares::new(sums, each.frac());
    one(engine.truncate(vec![(sums, INFORMATION)]).await?)
}

/// Exclusive-or shares, in a word each, of whether the share of bads of each column with at least two bins of numbers
/// never falls or never rises from one bin to the next.
async fn monotone<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    given: &Given<'_>,
    columns: &[Column],
    bads: &Shares,
) -> Result<Vec<u64>, Abort> {
    let (mut pairs, mut groups, mut start) = (Vec::new(), Vec::new(), 0);
    for column in columns {
        let last = start + column.ordered.saturating_sub(1);
        pairs.extend(start..last);
        groups.extend((column.ordered > 1).then(|| column.ordered - 1));
        start += column.bins;
    }
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    // n_k b_(k+1) and n_(k+1) b_k: whole numbers below 2^50
    let sizes = match given.sizes {
        Some(sizes) => {
            let of = |at: usize| {
                i32::try_from(sizes[at]).map_err(|_| Abort::Input("too many rows in a bin".into()))
            };
            let first = pairs.iter().map(|k| of(*k));
            let second = pairs.iter().map(|k| of(k + 1));
            Some(first.chain(second).collect::<Result<Vec<i32>, _>>()?)
        }
        None => None,
    };
    let words = |shift: usize| pairs.iter().map(move |k| bads.words()[k + shift]);
    let v = Shares::new(words(1).chain(words(0)).collect(), 0);
    let made = times(engine, given.owner, 1, 0, sizes, &v).await?;
    let mut rises = made.slice(0..pairs.len());
    rises.sub(&made.slice(pairs.len()..2 * pairs.len()));
    let mut both = rises.words().to_vec();
    both.extend(rises.words().iter().map(|w| w.wrapping_neg()));
    let twice: Vec<usize> = groups.iter().chain(&groups).copied().collect();
    let mut none_falls = engine.none_negative(both, &twice).await?;
    let none_rises = none_falls.split_off(groups.len());
    engine.either(&none_falls, &none_rises).await
}

#[cfg(test)]
mod tests {
    use paripassu_model::binning::{self, Counts, Smoothing, WoeSign};

    use super::*;
    use crate::{
        correlation::{HelperSource, deal},
        testing::{
            World,
            dealt::{AllowAll, seeds, share},
        },
    };

    #[test]
    fn an_integral_by_its_nodes_is_a_logarithm() {
        let nodes = nodes();
        for k in -60..=60 {
            let w = f64::from(k) / 10.0;
            let (x, y) = (0.3, 0.3 * w.exp());
            let q = |t: f64| (1.0 - t) * x + t * y;
            let got: f64 = nodes.iter().map(|(t, by)| (y - x) * by / q(*t)).sum();
            assert!((got - w).abs() < 5e-5, "{got} instead of {w}");
        }
    }

    /// Counts by column; the first `ordered` bins of each are of numbers.
    fn sample() -> (Vec<Column>, Vec<Vec<Counts>>) {
        let of = |list: &[(u64, u64)]| -> Vec<Counts> {
            list.iter()
                .map(|(bad, good)| Counts {
                    good: *good,
                    bad: *bad,
                })
                .collect()
        };
        let all = vec![
            // rises; one bin without bads, one row alone
            of(&[(0, 900), (20, 800), (80, 700), (150, 398), (0, 1), (0, 1)]),
            // falls and rises
            of(&[(100, 900), (20, 1_000), (130, 900)]),
            // falls, with two bins alike
            of(&[(150, 500), (90, 1_000), (9, 100), (1, 1_200)]),
            // categories
            of(&[(1, 0), (249, 2_800)]),
            // nothing
            of(&[(125, 1_400), (125, 1_400)]),
        ];
        let ordered = [4, 3, 4, 0, 2];
        let columns = all.iter().zip(ordered);
        let columns = columns.map(|(c, ordered)| Column {
            bins: c.len(),
            ordered,
        });
        (columns.collect(), all)
    }

    #[tokio::test]
    async fn weights_of_evidence_are_those_of_the_counts() {
        for parties in [2u8, 3] {
            let (world, ledger) = (World::new(parties), AllowAll::default());
            let owner = usize::from(parties) - 1;
            let book = ledger.clone();
            let got = world.run(
                move |me, ctx| {
                    let (columns, counts) = sample();
                    let flat: Vec<Counts> = counts.iter().flatten().copied().collect();
                    let book = if me == 0 {
                        book.clone()
                    } else {
                        AllowAll::default()
                    };
                    async move {
                        let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                        let mut e = Engine::new(&ctx, source, Box::new(book))?;
                        e.step("train/bins-1");
                        let bads: Vec<f64> = flat.iter().map(|c| c.bad as f64).collect();
                        let bads = share(&bads, 0, me, parties.into());
                        let sizes: Vec<u64> = flat.iter().map(|c| c.rows()).collect();
                        let total: Counts = counts[0].iter().copied().sum();
                        let given = Given {
                            owner,
                            rows: total.rows() as usize,
                            sizes: (me == owner).then_some(&sizes[..]),
                            totals: (me == 0).then_some(Totals {
                                good: total.good,
                                bad: total.bad,
                            }),
                        };
                        let mine = (me == owner).then_some(&columns[..]);
                        let told = super::columns(&mut e, owner, flat.len(), mine).await?;
                        assert_eq!(told, columns);
                        let woe = weights(&mut e, &given, &bads).await?;
                        let told = reveal(&mut e, &given, &columns, &bads, &woe).await?;
                        e.source_mut().done().await?;
                        Ok((woe.into_words(), told))
                    }
                },
                move |ctx| async move { deal(&ctx, &seeds(parties)).await.map(drop) },
            );
            let got: Vec<_> = got.await.into_iter().map(|g| g.unwrap()).collect();
            let (columns, counts) = sample();
            let mut at = 0;
            for (j, counts) in counts.iter().enumerate() {
                let want =
                    binning::weight_of_evidence(counts, WoeSign::GoodBad, Smoothing::AllCells)
                        .unwrap();
                for bin in &want.bins {
                    let sum = got.iter().fold(0u64, |sum, g| sum.wrapping_add(g.0[at]));
                    let woe = fixed::decode(sum, WOE);
                    assert!((woe - bin.woe).abs() < 2e-4, "{woe} instead of {}", bin.woe);
                    at += 1;
                }
                let told = got[0].1[j];
                assert!(
                    (told.iv - want.iv).abs() < 2e-4,
                    "{told:?} instead of {}",
                    want.iv
                );
                let of_numbers = &counts[..columns[j].ordered];
                let moves = |up: bool| {
                    of_numbers.windows(2).all(|w| match up {
                        true => w[0].bad_rate() <= w[1].bad_rate(),
                        false => w[0].bad_rate() >= w[1].bad_rate(),
                    })
                };
                let monotone = (of_numbers.len() > 1).then(|| moves(true) || moves(false));
                assert_eq!(told.monotone, monotone, "column {j}");
            }
            assert!(got[1..].iter().all(|g| g.1.is_empty()));
            let party = parties - 1;
            let want = [
                (Opening::Information { party }, Receivers::One(0), 5),
                (Opening::Monotone { party }, Receivers::One(0), 4),
            ];
            assert_eq!(ledger.opened(), want);
        }
    }

    #[test]
    fn totals_that_do_not_fit_are_refused() {
        for (good, bad, fits) in [
            (127, 1, true),
            (128, 1, false),
            (0, 5, false),
            (5, 0, false),
        ] {
            assert_eq!(Totals { good, bad }.check().is_ok(), fits, "{good} {bad}");
        }
    }
}
