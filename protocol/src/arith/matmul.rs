//! Product of two shared matrices by a dealt triple.
//!
//! E = X - A and F = Y - B are opened; shares of `E B + A F + E F + C` are shares of X Y.
//! One round. Source: Beaver, CRYPTO 1991, for matrices as in SecureML (ePrint 2017/396, 4.2).

use paripassu_crypto::{ring64, share::Shares};

use super::engine::Engine;
use crate::{
    abort::Abort, channel::Channel, compute::offload_long, correlation::CorrelationSource,
};

impl<C: Channel, S: CorrelationSource> Engine<C, S> {
    /// `X Y` for `x: [rows, inner]` and `y: [inner, cols]`; fraction bits add up.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's, or the source's; or if the sizes do not agree.
    pub async fn matmul(
        &mut self,
        x: &Shares,
        y: &Shares,
        rows: usize,
        inner: usize,
        cols: usize,
    ) -> Result<Shares, Abort> {
        if x.len() != rows * inner || y.len() != inner * cols {
            return Err(Abort::Input(format!(
                "{} and {} words are no [{rows}, {inner}] and [{inner}, {cols}]",
                x.len(),
                y.len()
            )));
        }
        let c = self.source.matmul(rows, inner, cols).await?;
        let mut opened: Vec<u64> = x.words().to_vec();
        opened.extend_from_slice(y.words());
        ring64::sub_assign(&mut opened[..x.len()], &c.a);
        ring64::sub_assign(&mut opened[x.len()..], &c.b);
        let opened = self.sum("multiply", opened).await?;
        let first = self.me() == 0;
        let frac = x.frac() + y.frac();
        let words = offload_long(2 * rows * inner * cols, move || {
            let (e, f) = opened.split_at(rows * inner);
            let mut b = c.b;
            if first {
                ring64::add_assign(&mut b, f);
            }
            let mut out = c.c;
            ring64::mat_mat(e, inner, &b, cols, &mut out);
            ring64::mat_mat(&c.a, inner, f, cols, &mut out);
            std::mem::take(&mut *out)
        })
        .await;
        Ok(Shares::new(words, frac))
    }
}
