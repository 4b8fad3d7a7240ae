//! How many bad rows are in each bin of another party's columns.
//!
//! **Functionality.** An owner p ≠ 0 knows in which bin of each of its columns every training row is; party 0
//! knows the labels. First all end with shares of the number of rows with label 1 in each bin ([`count`]). Of
//! these nothing is opened before all parties learn, for each bin, one bit: whether it holds at least a declared
//! number of rows of each label ([`enough`]). The owner joins bins that do not to bins that do, and tells all
//! which; sums over joined bins are opened to party 0 ([`open`]). What becomes of the counts is the caller's.
//!
//! **Adversary.** Passive; up to all but one data party may pool what they see, if the source joins none.
//! **Learns.** Of `count` nobody anything beyond the number of bins; then what the openings `BinsEnough` and
//! `BinBads` declare. An owner that chooses its bins with that in mind can learn labels: the bit of a bin tells
//! about the row that makes it enough, and what party 0 makes of the counts tells more. This is the mode of jobs
//! that declare so; nothing here defends against an owner that cuts bins around single rows, beyond the declared
//! minimum and noise.
//!
//! **How.** The bins of a row are a row of zeros and ones, a block of bins at a time an owner's matrix; its
//! product with the label, whose only share is party 0's, is the counts ([`Engine::products`]). Counts are whole
//! numbers below 2^25. For the bits, `bad - least` and `rows - bad - least` are compared with 0 and the two signs
//! joined ([`Engine::both_not_negative`]).
//!
//! **Cost.** 8 bytes a row and bin from the owner to each other party; 8 a row from these to the owner.
//! **Source.** The inner products of one-hot columns with a shared label, as in SecretFlow's secure weight of
//! evidence and Squirrel (ePrint 2023/527), by owner-matrix products.

use paripassu_crypto::share::Shares;

use crate::{
    abort::Abort,
    arith::{Engine, Opening, Operand, Receivers},
    channel::{Channel, Role},
    codec,
    compute::offload,
    correlation::CorrelationSource,
};

/// Words of the blocks of bins that are counted together, at most.
const BLOCK_WORDS: usize = 1 << 24;
/// Most rows: counts stay far below the ring's size, and bits compare them.
const MAX_ROWS: usize = 1 << 25;
/// Most bins of one party.
const MAX_BINS: usize = 1 << 18;

/// In which bins the rows of one party are.
#[derive(Clone, Default)]
pub struct Assigned {
    /// For each column and row, the bin counted within the column; `u32::MAX` for none.
    pub columns: Vec<Vec<u32>>,
    /// How many bins each column has.
    pub bins: Vec<usize>,
}

impl std::fmt::Debug for Assigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assigned({} columns)", self.columns.len())
    }
}

impl Assigned {
    /// Bins of all columns together.
    pub fn all(&self) -> usize {
        self.bins.iter().sum()
    }

    /// The bins `from..to`, counted through all columns, as a matrix of zeros and ones, row-major.
    fn block(&self, rows: usize, from: usize, to: usize) -> Vec<i32> {
        let width = to - from;
        let mut out = vec![0; rows * width];
        let mut start = 0;
        for (column, bins) in self.columns.iter().zip(&self.bins) {
            if start < to && start + bins > from {
                for (row, bin) in column.iter().enumerate() {
                    // no bin at all lies beyond the end
                    let at = start.saturating_add(*bin as usize);
                    if (*bin as usize) < *bins && (from..to).contains(&at) {
                        out[row * width + at - from] = 1;
                    }
                }
            }
            start += bins;
        }
        out
    }
}

/// How many bins each party has, told to all; `mine` are this party's.
///
/// # Leakage
/// Rows and numbers of bins.
///
/// # Errors
/// The channel's; or if parties disagree on the rows.
pub async fn announce<C: Channel, S>(
    engine: &mut Engine<C, S>,
    rows: usize,
    mine: usize,
) -> Result<Vec<usize>, Abort> {
    if rows == 0 || rows > MAX_ROWS || mine > MAX_BINS {
        return Err(Abort::Input(format!(
            "{rows} training rows and {mine} bins: 1 to {MAX_ROWS} rows can be counted, in at most {MAX_BINS} bins"
        )));
    }
    let ctx = engine.at_step().clone();
    let got = ctx
        .broadcast("bins", codec::put_words(&[rows as u64, mine as u64]))
        .await?;
    let mut all = vec![0; engine.parties()];
    all[engine.me()] = mine;
    for (from, body) in ctx.peers().zip(got) {
        let told = codec::take_words(&body, 2, from, ctx.path())?;
        if told[0] != rows as u64 {
            return Err(Abort::Disagreement {
                from,
                step: ctx.path().to_owned(),
                problem: format!("it has {} training rows, this party {rows}", told[0]),
            });
        }
        let bins = usize::try_from(told[1]).ok().filter(|b| *b <= MAX_BINS);
        let bins = bins.ok_or_else(|| Abort::Malformed {
            from,
            step: ctx.path().to_owned(),
            problem: format!("{} bins; at most {MAX_BINS} are supported", told[1]),
        })?;
        if let Some(place) = from.index().and_then(|i| all.get_mut(i)) {
            *place = bins;
        }
    }
    Ok(all)
}

/// Shares of how many rows with label 1 are in each of `bins` bins of `owner`'s, which gives `mine`; party 0
/// gives the `label`.
///
/// # Leakage
/// None beyond the shapes.
///
/// # Errors
/// The channel's, the source's; or input of another shape.
pub async fn count<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owner: usize,
    rows: usize,
    bins: usize,
    mine: Option<&Assigned>,
    label: Option<&[u8]>,
) -> Result<Shares, Abort> {
    let marks = label.map(|label| [label]);
    let [bads] = count_each(engine, owner, (rows, bins), mine, marks).await?;
    Ok(bads)
}

/// The same of several marks of rows, zeros and ones that party 0 gives, such as bad rows and good ones where some are neither;
/// of how many rows and bins.
///
/// # Leakage
/// None beyond the shapes.
///
/// # Errors
/// As of [`count`].
pub async fn count_each<C: Channel, S: CorrelationSource, const N: usize>(
    engine: &mut Engine<C, S>,
    owner: usize,
    (rows, bins): (usize, usize),
    mine: Option<&Assigned>,
    marks: Option<[&[u8]; N]>,
) -> Result<[Shares; N], Abort> {
    let me = engine.me();
    let fits = mine.is_some() == (owner == me)
        && mine.is_none_or(|m| m.all() == bins && m.columns.iter().all(|c| c.len() == rows))
        && marks.is_some() == (me == 0)
        && marks.is_none_or(|all| {
            all.iter()
                .all(|y| y.len() == rows && y.iter().all(|y| *y <= 1))
        });
    if !fits {
        return Err(Abort::Input("bins or labels of another shape".into()));
    }
    let shared = |k: usize| {
        let mut y = Shares::zeros(rows, 0);
        let given = marks.map_or(&[][..], |all| all[k]);
        for (word, mark) in y.words_mut().iter_mut().zip(given) {
            *word = u64::from(*mark);
        }
        y
    };
    let all: [Shares; N] = std::array::from_fn(shared);
    let most = (BLOCK_WORDS / rows.max(1)).max(1);
    let mut words: [Vec<u64>; N] = std::array::from_fn(|_| Vec::with_capacity(bins));
    for from in (0..bins).step_by(most) {
        let to = (from + most).min(bins);
        let block = match mine {
            Some(mine) => {
                let mine = mine.clone();
                Some(offload(move || mine.block(rows, from, to)).await)
            }
            None => None,
        };
        let matrix = engine.register(owner, rows, to - from, 0, block).await?;
        let jobs: Vec<_> = all
            .iter()
            .map(|y| (&matrix, Operand::Transposed(y, 1)))
            .collect();
        let counted = engine.products(&jobs).await?;
        for (words, part) in words.iter_mut().zip(counted) {
            words.extend_from_slice(part.words());
        }
    }
    Ok(words.map(|words| Shares::new(words, 0)))
}

/// Whether each bin holds at least `least` rows of each label, told to all parties. `rows` are the rows of each
/// bin, given by the owner alone.
///
/// # Leakage
/// One bit a bin, declared as `BinsEnough`.
///
/// # Errors
/// The channel's, the source's, or the ledger's.
pub async fn enough<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owner: usize,
    bads: &Shares,
    rows: Option<&[u64]>,
    least: u64,
) -> Result<Vec<bool>, Abort> {
    let is_owner = engine.me() == owner;
    if rows.is_some() != is_owner || rows.is_some_and(|r| r.len() != bads.len()) {
        return Err(Abort::Input("the owner gives the rows of its bins".into()));
    }
    let mut goods = bads.duplicate().negated();
    for (g, all) in goods.words_mut().iter_mut().zip(rows.unwrap_or_default()) {
        *g = g.wrapping_add(*all);
    }
    enough_of(engine, owner, (bads, &goods), least).await
}

/// The same where good rows are counted, too, because some are neither.
///
/// # Leakage
/// As of [`enough`].
///
/// # Errors
/// As of that.
pub async fn enough_of<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    owner: usize,
    (bads, goods): (&Shares, &Shares),
    least: u64,
) -> Result<Vec<bool>, Abort> {
    let least = if engine.me() == owner { least } else { 0 };
    let less = |of: &Shares| {
        let mut of = of.duplicate();
        let words = of.words_mut().iter_mut();
        words.for_each(|w| *w = w.wrapping_sub(least));
        of
    };
    let (bad, good) = (less(bads), less(goods));
    let party = u8::try_from(owner).unwrap_or(u8::MAX);
    engine
        .both_not_negative(&bad, &good, Opening::BinsEnough { party })
        .await
}

/// The owner tells all which bins it joins: for each bin the new one, counted from 0.
///
/// # Leakage
/// The owner's choice, which follows from what [`enough`] opened and from how many rows its bins hold.
///
/// # Errors
/// The channel's; or a list that does not fit.
pub async fn groups<C: Channel, S>(
    engine: &mut Engine<C, S>,
    owner: usize,
    bins: usize,
    mine: Option<&[usize]>,
) -> Result<Vec<usize>, Abort> {
    let ctx = engine.at_step().clone();
    let from = Role::Party(u8::try_from(owner).unwrap_or(u8::MAX));
    if let Some(mine) = mine {
        let words: Vec<u64> = mine.iter().map(|g| *g as u64).collect();
        let body = codec::put_words(&words);
        for peer in ctx.peers() {
            ctx.send(peer, "groups", body.clone()).await?;
        }
        return Ok(mine.to_vec());
    }
    let body = ctx.recv(from, "groups").await?;
    let words = codec::take_words(&body, bins, from, ctx.path())?;
    let mut groups = Vec::with_capacity(bins);
    let mut used = vec![false; bins];
    for word in words {
        let group = usize::try_from(word).ok().filter(|g| *g < bins);
        let group = group.ok_or_else(|| Abort::Malformed {
            from,
            step: ctx.path().to_owned(),
            problem: format!("bin {word} of at most {bins}"),
        })?;
        used[group] = true;
        groups.push(group);
    }
    let count = used.iter().filter(|u| **u).count();
    if used.iter().skip(count).any(|u| *u) {
        return Err(Abort::Malformed {
            from,
            step: ctx.path().to_owned(),
            problem: "bins are not numbered without gaps".into(),
        });
    }
    Ok(groups)
}

/// Opens the bad rows of joined bins to party 0; at others the result is empty.
///
/// # Leakage
/// The counts, to party 0: declared as `BinBads`.
///
/// # Errors
/// The channel's, or the ledger's.
pub async fn open<C: Channel, S>(
    engine: &mut Engine<C, S>,
    owner: usize,
    bads: &Shares,
    groups: &[usize],
) -> Result<Vec<u64>, Abort> {
    let party = u8::try_from(owner).unwrap_or(u8::MAX);
    open_as(engine, bads, groups, Opening::BinBads { party }).await
}

/// Opens the good rows of joined bins to party 0 likewise, where some rows are neither good nor bad.
///
/// # Leakage
/// The counts, to party 0: declared as `BinGoods`.
///
/// # Errors
/// As of [`open`].
pub async fn open_goods<C: Channel, S>(
    engine: &mut Engine<C, S>,
    owner: usize,
    goods: &Shares,
    groups: &[usize],
) -> Result<Vec<u64>, Abort> {
    let party = u8::try_from(owner).unwrap_or(u8::MAX);
    open_as(engine, goods, groups, Opening::BinGoods { party }).await
}

async fn open_as<C: Channel, S>(
    engine: &mut Engine<C, S>,
    counts: &Shares,
    groups: &[usize],
    opening: Opening,
) -> Result<Vec<u64>, Abort> {
    let mut words = vec![0u64; groups.iter().max().map_or(0, |g| g + 1)];
    for (word, g) in counts.words().iter().zip(groups) {
        words[*g] = words[*g].wrapping_add(*word);
    }
    let shares = Shares::new(words, 0);
    engine.open(shares, opening, Receivers::One(0)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        correlation::deal,
        testing::{
            World,
            dealt::{engine, seeds},
        },
    };

    fn assigned(rows: usize, bins: &[usize], shift: usize) -> Assigned {
        let column = |(k, bins): (usize, &usize)| {
            let bin = |row: usize| match row % 11 {
                0 => u32::MAX,
                _ => ((row * (k + 3) + shift + row / 7) % bins) as u32,
            };
            (0..rows).map(bin).collect()
        };
        Assigned {
            columns: bins.iter().enumerate().map(column).collect(),
            bins: bins.to_vec(),
        }
    }

    #[tokio::test]
    async fn counts_and_bits_are_those_of_the_rows() {
        let (rows, least) = (800, 30);
        let y: Vec<u8> = (0..rows).map(|i| u8::from(i * i % 5 == 1)).collect();
        for parties in [2u8, 3] {
            let world = World::new(parties);
            let owned: Vec<Assigned> = (0..parties)
                .map(|p| match p {
                    0 => Assigned::default(),
                    p => assigned(rows, &[7, 30, 4], p.into()),
                })
                .collect();
            let (given, labels) = (owned.clone(), y.clone());
            let got = world
                .run(
                    move |me, ctx| {
                        let (owned, y) = (given.clone(), labels.clone());
                        async move {
                            let mut e = engine(&ctx);
                            e.step("train/bins");
                            let widths = announce(&mut e, rows, owned[me].all()).await?;
                            let mut all = Vec::new();
                            for (owner, bins) in widths.iter().copied().enumerate().skip(1) {
                                e.step(format_args!("train/bins-{owner}"));
                                let mine = (me == owner).then(|| &owned[me]);
                                let label = (me == 0).then_some(y.as_slice());
                                let bads = count(&mut e, owner, rows, bins, mine, label).await?;
                                let sizes = mine.map(sizes);
                                let bits =
                                    enough(&mut e, owner, &bads, sizes.as_deref(), least).await?;
                                let joined: Vec<usize> = (0..bins).map(|b| b / 2).collect();
                                let mine = mine.map(|_| joined.as_slice());
                                let groups = groups(&mut e, owner, bins, mine).await?;
                                let opened = open(&mut e, owner, &bads, &groups).await?;
                                all.push((bits, opened));
                            }
                            e.source_mut().done().await?;
                            Ok(all)
                        }
                    },
                    move |ctx| async move { deal(&ctx, &seeds(parties)).await.map(drop) },
                )
                .await;
            let got: Vec<_> = got.into_iter().map(|g| g.unwrap()).collect();
            for (k, owned) in owned.iter().enumerate().skip(1) {
                let (mut bads, all) = (vec![0u64; owned.all()], sizes(owned));
                let mut start = 0;
                for (column, bins) in owned.columns.iter().zip(&owned.bins) {
                    for (bin, y) in column.iter().zip(&y) {
                        if *bin != u32::MAX {
                            bads[start + *bin as usize] += u64::from(*y);
                        }
                    }
                    start += bins;
                }
                let bits: Vec<bool> = bads
                    .iter()
                    .zip(&all)
                    .map(|(b, n)| *b >= least && n - b >= least)
                    .collect();
                assert!(bits.contains(&true) && bits.contains(&false));
                let joined: Vec<u64> = bads.chunks(2).map(|b| b.iter().sum()).collect();
                for (me, got) in got.iter().enumerate() {
                    assert_eq!(got[k - 1].0, bits);
                    let opened: &[u64] = if me == 0 { &joined } else { &[] };
                    assert_eq!(got[k - 1].1, opened);
                }
            }
        }
    }

    fn sizes(of: &Assigned) -> Vec<u64> {
        let mut all = vec![0; of.all()];
        let mut start = 0;
        for (column, bins) in of.columns.iter().zip(&of.bins) {
            for bin in column.iter().filter(|b| **b != u32::MAX) {
                all[start + *bin as usize] += 1;
            }
            start += bins;
        }
        all
    }

    #[test]
    fn blocks_are_cut_anywhere() {
        let a = assigned(50, &[3, 5, 2], 1);
        let whole = a.block(50, 0, 10);
        for (from, to) in [(0, 4), (4, 9), (9, 10), (2, 3)] {
            let part = a.block(50, from, to);
            let want: Vec<i32> = whole
                .chunks(10)
                .flat_map(|r| r[from..to].to_vec())
                .collect();
            assert_eq!(part, want);
        }
    }
}
