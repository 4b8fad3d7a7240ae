//! From the shares that clients reveal to the masks that are to be taken from a sum.

use std::collections::BTreeMap;

use bytes::Bytes;
use paripassu_crypto::{
    masking::MaskSecret,
    shamir::{Interpolation, SHARE_BYTES, Share},
};
use zeroize::Zeroizing;

use super::{
    mask::Mask,
    msg::{Keys, Members},
    role,
    secrets::{commitment, self_mask},
    server::{Server, Stop},
};
use crate::abort::Abort;

/// What the adder knows when masks are revealed.
#[derive(Default)]
pub(super) struct Known {
    /// The streams of the survivors' self masks.
    pub(super) selves: BTreeMap<usize, Zeroizing<[u8; 32]>>,
    /// Seeds of survivors with those who left: survivor, who left, seed.
    pub(super) left: Vec<(usize, usize, Zeroizing<[u8; 32]>)>,
}

impl Known {
    /// What is to be taken away.
    pub(super) fn masks(&self) -> Vec<Mask> {
        let of_pair = |(survivor, left, seed): &(usize, usize, Zeroizing<[u8; 32]>)| {
            Mask::between(seed, *survivor, *left).reversed()
        };
        let selves = self.selves.values().map(|seed| Mask::subtracted(seed));
        selves.chain(self.left.iter().map(of_pair)).collect()
    }
}

impl<C> Server<'_, C> {
    /// What is to be taken from the sum: the survivors' self masks, and the pairwise masks that those who
    /// shared and then left no longer cancel.
    pub(super) fn known(
        &self,
        session: &[u8; 32],
        keys: &BTreeMap<usize, Keys>,
        sharers: Members,
        survivors: Members,
        revealed: &BTreeMap<usize, Bytes>,
        step: &str,
    ) -> Result<Known, Stop> {
        let needed = self.params.threshold;
        let holders: Vec<usize> = revealed.keys().copied().collect();
        let mut found = Known::default();
        for (place, client) in sharers.iter().enumerate() {
            let Some(known) = keys.get(&client) else {
                continue;
            };
            let share = |holder: &usize| {
                let bytes = revealed.get(holder)?.get(place * SHARE_BYTES..)?;
                Some(Share::from_bytes(bytes.first_chunk()?))
            };
            let survived = survivors.contains(client);
            // any `threshold` shares do; where some are wrong, others may be right
            let secret = (0..holders.len()).find_map(|turn| {
                let chosen: Vec<usize> = holders
                    .iter()
                    .cycle()
                    .skip(turn)
                    .take(needed)
                    .copied()
                    .collect();
                let shares: Option<Vec<Share>> = chosen.iter().map(share).collect();
                let shares = shares?;
                let by = Interpolation::new(&chosen).ok()?;
                let secret = by.secret(&shares.iter().collect::<Vec<_>>());
                let right = match survived {
                    true => commitment(session, client, &secret) == known.commitment,
                    false => MaskSecret::from_bytes(&secret).public() == known.public,
                };
                right.then_some(secret)
            });
            let Some(secret) = secret else {
                return Err(Stop::Abort(Abort::Malformed {
                    from: role(client),
                    step: step.to_owned(),
                    problem: "the shares of its secrets do not give what it published: it, or \
                              those that hold its shares, gave wrong ones"
                        .into(),
                }));
            };
            if survived {
                let stream = self_mask(session, &secret);
                found.selves.insert(client, stream);
                continue;
            }
            let own = MaskSecret::from_bytes(&secret);
            for survivor in survivors.iter() {
                let Some(peer) = keys.get(&survivor) else {
                    continue;
                };
                let seed = own
                    .seed_with(&peer.public, session)
                    .map_err(|e| Abort::Malformed {
                        from: role(survivor),
                        step: step.to_owned(),
                        problem: e.to_string(),
                    })?;
                found.left.push((survivor, client, seed));
            }
        }
        Ok(found)
    }
}
