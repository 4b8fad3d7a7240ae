//! Dropping fraction bits: open the masked value, shift it in the clear, correct for the mask.
//!
//! For |z| < 2^62, z' = z + 2^62 and o = z' + rho mod 2^64 (opened):
//!
//! ```text
//! z >> f = (o >> f) - (rho >> f) + 2^(64-f) * [rho's top bit is 1 and o's is 0] - 2^(62-f)
//! ```
//!
//! because z' < 2^63, so the sum wraps exactly when rho's top bit is set and o's is not. The
//! result is the floor or one more. One round; o is uniform.
//! Source: the masked opening of Escudero et al., "Improved primitives for MPC over mixed
//! arithmetic-binary circuits" (ePrint 2020/338, section 5), with rho's parts dealt.

use paripassu_crypto::share::Shares;

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::Channel,
    correlation::{CorrelationSource, Truncate},
};

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// The same values with fewer fraction bits, to one unit of the result: each item of `jobs` is
    /// (values, fraction bits wanted). One round for all of them.
    ///
    /// Values must be below 2^62 units in magnitude; the caller's range budget sees to it.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if more bits are wanted than there are.
    pub async fn truncate(&mut self, jobs: Vec<(Shares, u32)>) -> Result<Vec<Shares>, Abort> {
        let first = self.me() == 0;
        let mut parts = Vec::with_capacity(jobs.len());
        let mut masked = Vec::new();
        for (shares, frac) in jobs {
            let by = match shares.frac().checked_sub(frac) {
                Some(by @ 1..62) => by,
                _ => {
                    return Err(Abort::Input(format!(
                        "cannot go from {} to {frac} fraction bits",
                        shares.frac()
                    )));
                }
            };
            let c = self.source.truncate(shares.len(), by).await?;
            masked.extend(self::masked(shares.words(), &c, first));
            parts.push((c, frac, by));
        }
        let opened = self.sum("truncate", masked).await?;
        let mut rest = &opened[..];
        let mut out = Vec::with_capacity(parts.len());
        for (c, frac, by) in parts {
            let (o, tail) = rest.split_at(c.mask.len());
            rest = tail;
            let words = shifted(o, &c, by, first);
            out.push(Shares::new(words, frac));
        }
        Ok(out)
    }
}

/// What a party shows of its shares `words`, hidden by its part of the mask.
pub(super) fn masked(words: &[u64], c: &Truncate, first: bool) -> Vec<u64> {
    let offset = if first { 1u64 << 62 } else { 0 };
    let hidden = words.iter().zip(c.mask.iter());
    hidden
        .map(|(z, t)| z.wrapping_add(*t).wrapping_add(offset))
        .collect()
}

/// Shares of the values shifted, from what was opened.
pub(super) fn shifted(opened: &[u64], c: &Truncate, by: u32, first: bool) -> Vec<u64> {
    let parts = c.shifted.iter().zip(c.top.iter());
    opened
        .iter()
        .zip(parts)
        .map(|(o, (shifted, top))| {
            let wrapped = if o >> 63 == 0 {
                top.wrapping_shl(64 - by)
            } else {
                0
            };
            let public = if first {
                (o >> by).wrapping_sub(1 << (62 - by))
            } else {
                0
            };
            public.wrapping_sub(*shifted).wrapping_add(wrapped)
        })
        .collect()
}
