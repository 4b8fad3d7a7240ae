//! What a client sends of its vector: values, tag and all masks.

use bytes::{Bytes, BytesMut};
use paripassu_crypto::sum_tag::{SumKey, Tag};

use super::{
    Kind,
    bounded::{self, Prover},
    client::{Client, Input},
    mask::{self, Mask},
    msg::{self, Keys, Members},
    role,
    secrets::{Own, PairSeed, self_mask},
};
use crate::{abort::Abort, channel::Channel, compute::offload};

impl<C: Channel> Client<C> {
    /// What is shared in this sum with each of those who share, by position.
    pub(super) fn seeds(
        &self,
        session: &[u8; 32],
        keys: &[Option<Keys>],
        sharers: Members,
        own: &Own,
        step: &str,
    ) -> Result<Vec<PairSeed>, Abort> {
        let mut seeds = Vec::with_capacity(sharers.count());
        for (peer, keys) in keys.iter().enumerate() {
            let Some(keys) = keys else { continue };
            if peer == self.group.me || !sharers.contains(peer) {
                continue;
            }
            let seed =
                own.secret
                    .seed_with(&keys.public, session)
                    .map_err(|e| Abort::Malformed {
                        from: role(peer),
                        step: step.to_owned(),
                        problem: e.to_string(),
                    })?;
            seeds.push(PairSeed { peer, seed });
        }
        Ok(seeds)
    }

    /// Values, tag and all masks; behind them the masked witness of a bounded vector.
    pub(super) async fn masked(
        &self,
        session: &[u8; 32],
        seeds: &[PairSeed],
        own: &Own,
        input: &Input<'_>,
        prover: Option<&Prover>,
    ) -> Bytes {
        let (me, kind) = (self.group.me, input.kind);
        let of_self = self_mask(session, &own.self_seed);
        let mut masks = vec![
            Mask::added(&of_self),
            Mask::added(&self.group.blind(session, me)),
        ];
        masks.extend(
            seeds
                .iter()
                .map(|pair| Mask::between(&pair.seed, me, pair.peer)),
        );
        let mut words = bounded::elements(input.values, kind);
        let witness = prover.map(|prover| prover.masked_witness(me, &of_self, seeds));
        let key = self.group.tag_key(session);
        offload(move || {
            let tag = tagged(&key, &words, kind);
            let tag = mask::apply(&masks, &mut words, tag, kind);
            let vector = msg::put_vector(words, tag);
            let Some(witness) = witness else {
                return vector;
            };
            let mut out = BytesMut::from(vector);
            msg::put_elements(&witness, &mut out);
            out.freeze()
        })
        .await
    }
}

/// The tag of a vector of this kind.
pub(super) fn tagged(key: &[u8; 32], words: &[u64], kind: Kind) -> Tag {
    let key = SumKey::new(key);
    match kind {
        Kind::Words => key.tag(words),
        Kind::Bounded => key.tag_of_elements(words),
    }
}
