//! Reasons across two parties: of which columns a customer lost most points, and nothing about how many.
//!
//! **Functionality.** For each row of a common list, each party p has the [`MOST`] largest of its own
//! shortfalls (points below a baseline) in falling order, each with a code; missing ones are 0. Party 0
//! learns the codes of those of party 1 that are among the `MOST` largest of both, in falling order; a tie
//! goes to party 0. Party 1 learns nothing.
//!
//! **Protocol.** With a_1 ≥ a_2 ≥ … of party 0 and b_1 ≥ b_2 ≥ … of party 1, b_j is among the `MOST` = k
//! largest exactly if it exceeds a_(k+1-j): then at most k - j of party 0 and j - 1 of party 1 come before
//! it. So k comparisons a row decide, where sorting all would take many more. The difference a_(k+1-j) - b_j
//! is shared as it stands, each party holding one of its terms; its sign is found on shares
//! ([`Engine::signs`](crate::arith::Engine)), and one AND with party 1's code leaves the code or 0, opened to
//! party 0 alone. Nothing else is opened.
//!
//! **Security model.** Passive, against one of the parties or the helper, by composition of the comparison and
//! the AND, whose openings are masked by dealt bits. What party 0 is shown is uniform but for the codes: the
//! product's share of party 1 carries a dealt mask.
//! Source: two-party merging of sorted lists by rank is folklore (Batcher's first stage, with one list
//! reversed); the gates are those of [`sign`](crate::arith).
//!
//! **Cost.** A row is one word of four 16-bit lanes: seven rounds and a message to party 0.

use crate::{
    abort::Abort,
    arith::{Engine, Opening},
    channel::Channel,
    correlation::CorrelationSource,
};

/// Reasons that a customer is given at most.
pub const MOST: usize = 4;
/// Bits of a lane: a comparison, a code.
const LANE: u32 = 16;
/// Largest shortfall that is told from larger ones.
pub const LARGEST: u16 = 0x7fff;

/// One of a party's own shortfalls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Points below the baseline, at most [`LARGEST`]; 0 is none.
    pub points: u16,
    /// What it is called: 1 or more; 0 is none.
    pub code: u16,
}

/// The largest shortfalls of a row in falling order, none at the end.
pub type Largest = [Shortfall; MOST];

/// For each row, the codes of party 1 that are among the largest of both; 0 is none. At party 1 nothing.
///
/// # Leakage
/// The codes to party 0, declared as [`Opening::Reasons`].
///
/// # Errors
/// More or fewer than two parties; shortfalls that do not fall or are too large; the channel's, the source's,
/// the ledger's.
pub async fn merge<C: Channel, S: CorrelationSource>(
    engine: &mut Engine<C, S>,
    mine: &[Largest],
) -> Result<Option<Vec<[u16; MOST]>>, Abort> {
    if engine.parties() != 2 {
        return Err(Abort::Input("reasons are found between two parties".into()));
    }
    for (row, all) in mine.iter().enumerate() {
        let falls = all.windows(2).all(|w| w[0].points >= w[1].points);
        let named = all.iter().all(|s| (s.points == 0) == (s.code == 0));
        if !falls || !named || all[0].points > LARGEST {
            return Err(Abort::Input(format!(
                "shortfalls of row {} do not fall, have no code, or are above {LARGEST}",
                row + 1
            )));
        }
    }
    let first = engine.me() == 0;
    engine.step("release/reasons");
    let lanes = |of: &dyn Fn(usize) -> u16| -> u64 {
        (0..MOST)
            .rev()
            .fold(0, |word, lane| word << LANE | u64::from(of(lane)))
    };
    // lane j: a_(k+1-j) at party 0, -b_j at party 1
    let words = mine.iter().map(|all| match first {
        true => lanes(&|j| all[MOST - 1 - j].points),
        false => lanes(&|j| all[j].points.wrapping_neg()),
    });
    let codes = mine.iter().map(|all| match first {
        true => 0,
        false => lanes(&|j| all[j].code),
    });
    let (words, codes): (Vec<u64>, Vec<u64>) = (words.collect(), codes.collect());
    let kept = engine.where_negative(words, LANE, &codes).await?;
    let opened = engine.open_to_first(kept, Opening::Reasons).await?;
    let row = |word: &u64| std::array::from_fn(|lane| (word >> (LANE * lane as u32)) as u16);
    Ok(first.then(|| opened.iter().map(row).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::Role,
        correlation::deal,
        testing::{
            World,
            dealt::{engine, seeds},
        },
    };

    /// Points that often tie, in falling order; codes are unlike those of other rows.
    fn rows(count: usize, seed: u64, of: u16) -> Vec<Largest> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        (0..count)
            .map(|i| {
                let scale = if i % 7 == 0 { 32_768 } else { 9 };
                let mut points: Vec<u16> = (0..MOST).map(|_| (next() % scale) as u16).collect();
                points.sort_unstable_by(|a, b| b.cmp(a));
                std::array::from_fn(|j| Shortfall {
                    points: points[j],
                    code: if points[j] == 0 { 0 } else { of + j as u16 + 1 },
                })
            })
            .collect()
    }

    /// By sorting everything in the clear.
    fn plainly(a: &Largest, b: &Largest) -> [u16; MOST] {
        let mut all: Vec<(u16, u8, u16)> = Vec::new();
        all.extend(a.iter().map(|s| (s.points, 0, 0)));
        all.extend(b.iter().map(|s| (s.points, 1, s.code)));
        // largest first, ties to party 0
        all.sort_by(|x, y| y.0.cmp(&x.0).then(x.1.cmp(&y.1)));
        let theirs = all
            .iter()
            .take(MOST)
            .filter(|x| x.1 == 1 && x.0 > 0)
            .map(|x| x.2);
        let mut out = [0; MOST];
        out.iter_mut().zip(theirs).for_each(|(o, c)| *o = c);
        out
    }

    #[tokio::test]
    async fn the_bank_learns_the_codes_among_the_largest_and_nothing_else() {
        let (a, b) = (rows(300, 1, 0), rows(300, 2, 500));
        let want: Vec<_> = a.iter().zip(&b).map(|(a, b)| plainly(a, b)).collect();
        let both = [a, b];
        let world = World::new(2);
        let got = world
            .run(
                move |me, ctx| {
                    let mine = both[me].clone();
                    async move {
                        let mut engine = engine(&ctx);
                        let got = merge(&mut engine, &mine).await?;
                        engine.source_mut().done().await?;
                        Ok(got)
                    }
                },
                |ctx| async move { deal(&ctx, &seeds(2)).await.map(drop) },
            )
            .await;
        let [bank, partner] = got.try_into().unwrap();
        assert_eq!(partner.unwrap(), None);
        assert_eq!(bank.unwrap().unwrap(), want);
        // some rows with none, with some, with all of the partner's
        let counts: std::collections::BTreeSet<usize> = want
            .iter()
            .map(|w| w.iter().filter(|c| **c > 0).count())
            .collect();
        assert!(counts.len() >= 4, "{counts:?}");
        // one message opens the codes, and it goes to the bank
        let log = world.log();
        let opened: Vec<_> = log.iter().filter(|m| m.2.contains("open-words")).collect();
        assert_eq!(opened.len(), 1);
        assert_eq!((opened[0].0, opened[0].1), (Role::Party(1), Role::Party(0)));
    }

    #[tokio::test]
    async fn lists_that_do_not_fall_are_refused() {
        let world = World::new(2);
        let mut engine = engine(&world.ctx(Role::Party(0)));
        let of = |points: [u16; MOST]| points.map(|points| Shortfall { points, code: 1 });
        for bad in [[1, 2, 1, 1], [LARGEST + 1, 1, 1, 1], [1, 1, 1, 0]] {
            let said = merge(&mut engine, &[of(bad)])
                .await
                .unwrap_err()
                .to_string();
            assert!(said.contains("row 1"), "{said}");
        }
    }
}
