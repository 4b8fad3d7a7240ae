//! From 32-bit words into the ring, dropping fraction bits on the way.
//!
//! For |x| < 2^30, x' = x + 2^30 and o = x' + rho mod 2^32 (opened):
//!
//! ```text
//! x >> f = (o >> f) - (rho >> f) + 2^(32-f) * [rho's top bit is 1 and o's is 0] - 2^(30-f)
//! ```
//!
//! as in [`super::truncate`], whose source it shares, with rho's parts dealt in the ring: x' < 2^31, so the
//! sum wraps exactly when rho's top bit is set and o's is not. The result is the floor or one more, and exact
//! where no bit is dropped. One round of 4 bytes a value; o is uniform.

use paripassu_crypto::share::Shares;

use super::engine::Engine;
use crate::{abort::Abort, channel::Channel, correlation::CorrelationSource};

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// Shares in the ring of the values that `words` are shares of modulo 2^32, with `want` of their `frac`
    /// fraction bits. Values must be below 2^30 units in magnitude.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if more bits are wanted than there are.
    pub(super) async fn lift(
        &mut self,
        words: &[u32],
        frac: u32,
        want: u32,
    ) -> Result<Shares, Abort> {
        let by = match frac.checked_sub(want) {
            Some(by @ 0..30) => by,
            _ => {
                return Err(Abort::Input(format!(
                    "cannot go from {frac} to {want} fraction bits"
                )));
            }
        };
        let first = self.me() == 0;
        let c = self.source.lift(words.len(), by).await?;
        let offset = if first { 1u32 << 30 } else { 0 };
        let masks = bytemuck::cast_slice::<u64, u32>(&c.mask);
        let mine = words.iter().zip(masks);
        let mine = mine.map(|(x, t)| x.wrapping_add(*t).wrapping_add(offset));
        let mine = mine.collect();
        let opened = self.sum_halves("lift", mine).await?;
        let parts = c.shifted.iter().zip(c.top.iter());
        let lifted = opened.iter().zip(parts).map(|(o, (shifted, top))| {
            let wrapped = if o >> 31 == 0 { top << (32 - by) } else { 0 };
            let public = if first {
                u64::from(o >> by).wrapping_sub(1 << (30 - by))
            } else {
                0
            };
            public.wrapping_sub(*shifted).wrapping_add(wrapped)
        });
        Ok(Shares::new(lifted.collect(), want))
    }
}
