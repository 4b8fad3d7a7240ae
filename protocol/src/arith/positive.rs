//! The positive part of shared values, `max(x, 0)`, entry by entry.
//!
//! Party p ends the comparison of [`super::sign`] with `b_p`, its exclusive-or share of whether x is negative. The
//! bit's shares in the ring follow from `a ^ b = a + b - 2 a b`, pair by pair of parties, each `b_p` its owner's
//! share; then `max(x, 0) = x (1 - b)`. No fraction bit is dropped: 0 stays 0, and what is positive stays what it is.
//!
//! Rounds: those of a sign (7 for words of 64 bits, 6 for half words), one for each doubling of the parties, and one.
//! Source: the arithmetic form of an exclusive-or, as for private inputs in Damgård et al. (TCC 2006, section 4); the
//! products are Beaver's (CRYPTO 1991).

use paripassu_crypto::share::Shares;

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::Channel,
    correlation::{CorrelationSource, Request},
};

/// Lane of a comparison: whole words, and half words.
const LANE: u32 = 64;
const HALF_LANE: u32 = 32;

/// All that [`Engine::positive_part`] of so many values asks the source for, in its order.
pub(crate) fn requests(parties: usize, values: usize) -> Vec<Request> {
    of_lane(LANE, parties, values)
}

/// All that [`Engine::rectified`] of so many values asks the source for, in its order.
pub(crate) fn rectified_requests(parties: usize, values: usize) -> Vec<Request> {
    of_lane(HALF_LANE, parties, values)
}

/// All that [`Engine::not_negative`] of so many values asks the source for, in its order.
pub(crate) fn sign_requests(parties: usize, values: usize) -> Vec<Request> {
    let mut all = of_lane(LANE, parties, values);
    all.pop();
    all
}

fn of_lane(lane: u32, parties: usize, values: usize) -> Vec<Request> {
    let words = values.div_ceil((64 / lane) as usize) as u64;
    let mut all = vec![Request::Bits { words, lane }];
    all.extend((0..lane.ilog2()).map(|_| Request::And { words }));
    let words = values as u64;
    let mut left = parties;
    while left > 1 {
        let len = (left / 2) as u64 * words;
        all.push(Request::Entrywise { len });
        left = left.div_ceil(2);
    }
    all.push(Request::Entrywise { len: words });
    all
}

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// `max(x, 0)` for all values, which must be below 2^63 units in magnitude. Where many follow each other their
    /// [`requests`] are best made before, at once.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn positive_part(&mut self, x: &Shares) -> Result<Shares, Abort> {
        Ok(self.positive_and_kept(x).await?.0)
    }

    /// The same, and shares of 1 where a value is kept and 0 elsewhere.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn positive_and_kept(
        &mut self,
        x: &Shares,
    ) -> Result<(Shares, Shares), Abort> {
        let keep = self.not_negative(x).await?;
        Ok((self.entrywise(x, &keep).await?, keep))
    }

    /// Shares of 1 where a value, below 2^63 units in magnitude, is not negative, and of 0 elsewhere; their
    /// [`sign_requests`] are made before.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn not_negative(&mut self, x: &Shares) -> Result<Shares, Abort> {
        let signs = self.signs_asked(x).await?;
        let negative = signs.iter().map(|s| s >> (LANE - 1)).collect();
        self.where_not(negative).await
    }

    /// `max(x, 0)` for all values, which must be below 2^31 units in magnitude, and shares of 1 where it is kept and 0
    /// elsewhere: the derivative. `asked`: their [`rectified_requests`] were made before.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's.
    pub(crate) async fn rectified(
        &mut self,
        x: &Shares,
        asked: bool,
    ) -> Result<(Shares, Shares), Abort> {
        let negative = self.half_signs(x, asked).await?;
        let keep = self.where_not(negative).await?;
        Ok((self.entrywise(x, &keep).await?, keep))
    }

    /// Shares in the ring of 1 less bits that are held as exclusive-or shares.
    async fn where_not(&mut self, mine: Vec<u64>) -> Result<Shares, Abort> {
        let n = mine.len();
        let mut bits: Vec<Vec<u64>> = vec![vec![0; n]; self.parties()];
        let me = self.me();
        bits[me] = mine;
        while bits.len() > 1 {
            let odd = if bits.len() % 2 == 1 {
                bits.pop()
            } else {
                None
            };
            let half = bits.len() / 2;
            let a = Shares::new(bits[..half].concat(), 0);
            let b = Shares::new(bits[half..].concat(), 0);
            let both = self.entrywise(&a, &b).await?;
            let sums = a.words().iter().zip(b.words()).zip(both.words());
            let exclusive: Vec<u64> = sums
                .map(|((a, b), ab)| a.wrapping_add(*b).wrapping_sub(ab.wrapping_mul(2)))
                .collect();
            bits = exclusive.chunks(n.max(1)).map(<[u64]>::to_vec).collect();
            bits.extend(odd);
        }
        let one = u64::from(me == 0);
        let negative = bits.pop().unwrap_or_default();
        let keep = negative.iter().map(|b| one.wrapping_sub(*b)).collect();
        Ok(Shares::new(keep, 0))
    }
}
