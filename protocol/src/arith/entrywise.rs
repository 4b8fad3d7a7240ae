//! Product of two shared vectors entry by entry, by a dealt triple.
//!
//! E = X - A and F = Y - B are opened; shares of `E B + A F + E F + C` are shares of the products.
//! One round. Source: Beaver, CRYPTO 1991.

use paripassu_crypto::{ring64, share::Shares};

use super::engine::Engine;
use crate::{abort::Abort, channel::Channel, correlation::CorrelationSource};

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// `x_i y_i` for all entries; fraction bits add up.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if the lengths differ.
    pub async fn entrywise(&mut self, x: &Shares, y: &Shares) -> Result<Shares, Abort> {
        let n = x.len();
        if y.len() != n {
            return Err(Abort::Input(format!(
                "{n} and {} words are not multiplied entry by entry",
                y.len()
            )));
        }
        let c = self.source.entrywise(n).await?;
        let mut opened: Vec<u64> = x.words().to_vec();
        opened.extend_from_slice(y.words());
        ring64::sub_assign(&mut opened[..n], &c.a);
        ring64::sub_assign(&mut opened[n..], &c.b);
        let opened = self.sum("entrywise", opened).await?;
        let (e, f) = opened.split_at(n);
        let first = self.me() == 0;
        let parts = e.iter().zip(f).zip(c.a.iter().zip(c.b.iter()));
        let words = parts.zip(c.c.iter()).map(|(((e, f), (a, b)), c)| {
            let public = if first { e.wrapping_mul(*f) } else { 0 };
            let crossed = e.wrapping_mul(*b).wrapping_add(a.wrapping_mul(*f));
            c.wrapping_add(crossed).wrapping_add(public)
        });
        Ok(Shares::new(words.collect(), x.frac() + y.frac()))
    }
}
