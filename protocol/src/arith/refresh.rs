//! Other shares of the same values.
//!
//! Of every two parties p and q each draws a seed and sends it to the other; p adds the stream of its own seed and subtracts that
//! of q's, q the other way round. What all parties add together is a sharing of zero. One round, 32 bytes to each other party.
//!
//! **Adversary.** As of the gates. Whoever knows shares of all but two parties and none of these two's seeds sees the two's new
//! shares as uniform words, whatever the old ones were: old shares of one party and new ones of another say nothing together.
//! Between two parties, each knows both seeds: new shares hide from a third that reads one's old and the other's new ones.
//!
//! **Source.** Renewal of shares by a sharing of zero: Ostrovsky and Yung (PODC 1991); Herzberg, Jarecki, Krawczyk and Yung,
//! Proactive Secret Sharing (CRYPTO 1995), section 3.3. Zeros from seeds of pairs: Cramer, Damgård and Ishai (TCC 2005).

use bytes::Bytes;
use paripassu_crypto::{
    masking::fresh,
    prg::{Label, Prg},
};

use super::engine::Engine;
use crate::{
    abort::Abort,
    channel::{Channel, Role},
};

impl<C: Channel, S> Engine<C, S> {
    /// Shares `words` anew, with fresh randomness of all parties.
    ///
    /// # Leakage
    /// None.
    ///
    /// # Errors
    /// The channel's; a seed of another length, naming its sender; no randomness.
    pub(crate) async fn refresh(&mut self, words: &mut [u64]) -> Result<(), Abort> {
        let name = self.name("refresh");
        let peers: Vec<Role> = self.at_step().peers().collect();
        let mut own = Vec::with_capacity(peers.len());
        for _ in &peers {
            own.push(fresh().map_err(|e| Abort::Input(e.to_string()))?);
        }
        let out = peers.iter().zip(&own);
        let out = out.map(|(to, seed)| (*to, Bytes::copy_from_slice(&seed[..])));
        let got = self.at_step().swap(&name, out.collect(), &peers).await?;
        for ((from, theirs), own) in peers.into_iter().zip(got).zip(&own) {
            let theirs: &[u8; 32] = (&*theirs).try_into().map_err(|_| Abort::Malformed {
                from,
                step: self.path().to_owned(),
                problem: "a seed is 32 bytes".into(),
            })?;
            let stream = Label::request(0, 0);
            Prg::new(own).add(stream, 0, words);
            Prg::new(theirs).subtract(stream, 0, words);
        }
        Ok(())
    }
}
