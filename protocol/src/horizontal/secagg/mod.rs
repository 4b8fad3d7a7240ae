//! Secure aggregation: banks learn the sum of their vectors, a coordinator adds them up and learns nothing.
//!
//! **Functionality.** Each of n clients ([`Role::Party`]) gives a vector of integers; all clients learn the sum
//! over those that took part and who they were, if at least `threshold` did. The adder ([`Role::Helper`])
//! learns who took part and how long the vectors are. A client may be lost at any message and come back for
//! a later sum.
//!
//! **One sum** (tags `sums/K/…`; everything below is fresh for each K, also when a sum is tried again):
//!
//! ```text
//! keys       client → adder   mask key, commitment to its self seed, signature
//! roster     adder → all      U1: who sent keys in time, with their keys and signatures
//! shares     client → adder   for each of U1: Shamir shares of its self seed and of its mask key, sealed
//! inbox      adder → U1       U2: who sent shares; the sealed shares for this client
//! go         adder → U2       a few clients at a time may send: this bounds the adder's memory
//! masked     client → adder   values + tag + blind + self mask + pairwise masks (added or subtracted)
//! survivors  adder → U2       U3: whose vector is in the sum
//! agree      client → adder   signature of U3; 0 where fewer than three of a group of clients are left
//! agreed     adder → U3       U4: who signed, with signatures
//! reveal     client → adder   for v in U3 a share of v's self seed, for v in U2 \ U3 one of its mask key
//! result     adder → all      the sum, blinded, and U3
//! ```
//!
//! After the last: `keys` of no words, and `done` from the adder to those whom it had them from in time, at least
//! `threshold`. Everything that these had sent is read by then; whoever hears nothing is left out.
//!
//! **Adversary and what each learns.**
//! - *Clients and adder that follow the protocol but are curious, up to `threshold` - 1 clients together with
//!   the adder*: the sum over U3 and so, minus their own, the sum over the others in U3. `threshold` is at
//!   least 3 and more than half of the clients.
//! - *An adder that colludes with no client* learns no sum either: the clients add a blind that they agreed
//!   among themselves. Whatever it (or the network) alters in a sum is found by every client: the sum bears
//!   a tag ([`sum_tag`](paripassu_crypto::sum_tag)) under a key that the adder does not have.
//! - *A malicious adder with fewer than a third of the clients* cannot get both kinds of share for one client:
//!   a client reveals once a sum, one kind for each peer, for the set that `threshold` signatures agree on;
//!   two sets cannot both get so many if `threshold` > 2n/3, the default.
//! - *Not prevented*: a client that lies about its own vector, or stops. A client whose shares or vector are
//!   wrong spoils a sum; that is detected and never yields a wrong one.
//!
//! **Source.** Bonawitz et al., "Practical secure aggregation for privacy-preserving machine learning", CCS 2017,
//! figure 4 with the additions for active adversaries. Departures: keys are signed with a key that each client
//! gave every other over links that node certificates authenticate (no separate public-key infrastructure
//! is assumed); shares are sealed with keys of these links (no second Diffie-Hellman pair); values are in
//! Z_2^64 and masks AES-128 in counter mode; a commitment to each self seed, so that a wrong share is found;
//! the blind, as an additively homomorphic stream cipher (Castelluccia et al., MobiQuitous 2005); the tag;
//! the signed survivor set for passive adversaries, too; `go`. Keys serve one sum: if seeds lived on, a client
//! lost in a later sum would have its masks of an earlier one opened.
//!
//! **Cost.** Per client: 3 X25519 times n; n signatures checked twice; 80 bytes a peer each way for shares, 208 for
//! roster and signatures; the vector up and the sum down; (2n + 1) expansions of a vector. Adder: n vectors
//! in, n out; one vector and those under way in memory, [`Params::lanes`] of them. 6 waits a sum.
//!
//! **Precision.** Exact. A value must be below 2^62 / n in magnitude, which is checked.

mod bounded;
mod client;
mod end;
mod group;
mod mask;
mod masked;
mod msg;
mod secrets;
mod server;
mod unmask;

use std::time::Duration;

pub use self::{
    client::{Client, Sum},
    msg::Members,
    server::{Served, serve},
};
use crate::{abort::Abort, channel::Role};

/// Most clients of a sum.
pub const MAX_CLIENTS: usize = 200;

/// Fewest clients in a sum: with two, each would learn the other's vector.
pub const MIN_CLIENTS: usize = 3;

/// What is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Integers modulo 2^64.
    Words,
    /// Elements of a field, each vector with a proof that it is no longer than a bound: see [`bounded`].
    Bounded,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Words => 0,
            Self::Bounded => 1,
        }
    }
}

/// How often in a row a sum is tried before the job ends.
pub const ATTEMPTS: u32 = 3;

/// Masked vectors that may always be under way at the adder together, in bytes; longer ones come two at a time.
const SMALL: usize = 256 << 10;

/// What all roles agree on beforehand.
#[derive(Debug, Clone)]
pub struct Params {
    /// Clients of the job, [`MIN_CLIENTS`] to [`MAX_CLIENTS`].
    pub clients: usize,
    /// Clients that must be there to the end.
    pub threshold: usize,
    /// Digest of the contract: keys and signatures of one job are worth nothing in another.
    pub context: [u8; 32],
    /// How long the adder waits for the others once `threshold` clients have answered.
    pub patience: Duration,
    /// How long the adder waits for `threshold` clients.
    pub limit: Duration,
    /// How long it waits for the first message of all.
    pub first: Duration,
}

impl Params {
    /// Usual ones: a threshold above two thirds; half of `deadline`, the longest that a client waits for the
    /// adder, for what must arrive and an eighth for what might.
    ///
    /// # Errors
    /// When there are too few or too many clients.
    pub fn new(
        clients: usize,
        threshold: Option<usize>,
        context: [u8; 32],
        deadline: Duration,
    ) -> Result<Self, Abort> {
        let threshold = threshold.unwrap_or_else(|| usual_threshold(clients));
        let possible = (least_threshold(clients)..=clients).contains(&threshold);
        if !(MIN_CLIENTS..=MAX_CLIENTS).contains(&clients) || !possible {
            return Err(Abort::Input(format!(
                "a sum over {clients} banks of which {threshold} must be there: expected \
                 {MIN_CLIENTS} to {MAX_CLIENTS} banks and a threshold of at least {MIN_CLIENTS}, \
                 more than half of them and at most all"
            )));
        }
        Ok(Self {
            clients,
            threshold,
            context,
            patience: deadline / 8,
            limit: deadline / 2,
            first: deadline,
        })
    }

    /// How many vectors of so many words may be under way at the adder at a time.
    pub fn lanes(&self, words: usize) -> usize {
        let bytes = words.saturating_mul(8).max(1);
        (SMALL / bytes).clamp(2, self.clients.max(2))
    }

    /// The session of sum number `index`: what its keys, boxes and signatures are bound to.
    fn session(&self, index: u32) -> [u8; 32] {
        let mut hash = blake3::Hasher::new_derive_key("paripassu/v1 secagg session");
        hash.update(&self.context);
        hash.update(&index.to_le_bytes());
        *hash.finalize().as_bytes()
    }
}

/// The least threshold: more than half, and three.
pub fn least_threshold(clients: usize) -> usize {
    (clients / 2 + 1).max(MIN_CLIENTS)
}

/// The threshold that also withstands a malicious adder with fewer than a third of the clients.
pub fn usual_threshold(clients: usize) -> usize {
    (2 * clients / 3 + 1).clamp(MIN_CLIENTS, clients.max(MIN_CLIENTS))
}

/// The role of a client.
fn role(client: usize) -> Role {
    Role::Party(u8::try_from(client).unwrap_or(u8::MAX))
}

fn no_randomness<E: std::fmt::Display>(error: E) -> Abort {
    Abort::Input(error.to_string())
}

#[cfg(test)]
mod tests;
