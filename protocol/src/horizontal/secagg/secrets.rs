//! A client's secrets in one sum: made, shared out, consumed when it reveals.

use paripassu_crypto::{
    masking::{self, MaskSecret},
    shamir::{self, Share},
};
use zeroize::Zeroizing;

use super::no_randomness;
use crate::abort::Abort;

/// What a client keeps secret during one sum; consumed when it reveals.
pub(super) struct Own {
    pub(super) secret: MaskSecret,
    pub(super) self_seed: Zeroizing<[u8; 32]>,
    /// Its own shares of its self seed and of its mask key.
    pub(super) shares: (Share, Share),
}

/// The commitment to a self seed.
pub(super) fn commitment(session: &[u8; 32], client: usize, seed: &[u8; 32]) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 secagg commitment");
    hash.update(session);
    hash.update(&(client as u64).to_le_bytes());
    hash.update(seed);
    *hash.finalize().as_bytes()
}

/// The stream seed of a self mask.
pub(super) fn self_mask(session: &[u8; 32], seed: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    masking::derive(seed, session, &[b"paripassu/v1 secagg self"])
}

pub(super) fn box_header(session: &[u8; 32], from: usize, to: usize) -> Vec<u8> {
    let mut out = session.to_vec();
    out.extend_from_slice(&(from as u64).to_le_bytes());
    out.extend_from_slice(&(to as u64).to_le_bytes());
    out
}

/// What is shared in one sum with one other client.
#[derive(Clone)]
pub(super) struct PairSeed {
    pub(super) peer: usize,
    pub(super) seed: Zeroizing<[u8; 32]>,
}

/// Secrets not yet shared.
pub(super) struct Fresh {
    pub(super) secret: MaskSecret,
    pub(super) self_seed: Zeroizing<[u8; 32]>,
}

/// Secrets with everybody's shares of them.
pub(super) struct Shared {
    pub(super) kept: Own,
    pub(super) of_seed: Vec<Share>,
    pub(super) of_key: Vec<Share>,
}

impl Fresh {
    pub(super) fn public(&self) -> [u8; 32] {
        self.secret.public()
    }

    pub(super) fn share(
        self,
        threshold: usize,
        holders: usize,
        me: usize,
    ) -> Result<Shared, Abort> {
        let split =
            |secret: &[u8; 32]| shamir::split(secret, threshold, holders).map_err(no_randomness);
        let of_seed = split(&self.self_seed)?;
        let of_key = split(&self.secret.to_bytes())?;
        let (Some(seed), Some(key)) = (of_seed.get(me), of_key.get(me)) else {
            return Err(Abort::Input("this bank is not in the job".into()));
        };
        let shares = (seed.clone(), key.clone());
        let kept = Own {
            secret: self.secret,
            self_seed: self.self_seed,
            shares,
        };
        Ok(Shared {
            kept,
            of_seed,
            of_key,
        })
    }
}
