//! What a training by mini-batches costs a party, from public sizes: what is counted up to the end of the last epoch.
//!
//! Left out is what follows once: the look at the range ([`super::points::checked`] rows), and the release.

use super::course::{SgdSpec, groups};
use crate::{
    arith::NARROW_CHUNK,
    codec::NARROW_BYTES,
    correlation::descent::{corrected, first_row},
};

/// Words of a message while a small matrix is registered.
const WORDS: usize = 1 << 16;
/// Bytes of a request to the helper.
const REQUEST: u64 = 40;

/// Rounds and bytes of a party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rounds waited for.
    pub rounds: u64,
    /// Payload bytes sent, requests to the helper included.
    pub bytes_sent: u64,
    /// Payload bytes received from other parties.
    pub from_parties: u64,
    /// Payload bytes received from the helper.
    pub from_helper: u64,
}

/// Of the party at position `me`, for `widths` design columns of each party, party 0's intercept included, at a
/// range of the sigmoid that holds.
pub fn of_party(spec: &SgdSpec, rows: usize, widths: &[usize], me: usize, range: u32) -> Cost {
    let mut all = Cost::default();
    let bytes = |words: usize| (words * NARROW_BYTES) as u64;
    let d = widths.iter().sum::<usize>();
    let own = widths.get(me).copied().unwrap_or(0);
    let peers = widths.len().saturating_sub(1) as u64;
    let others = || widths.iter().enumerate().filter(move |(q, _)| *q != me);
    let batches = spec.batches(rows);
    let ridge = spec.l2 > 0.0;
    // a message to every other party and one from each
    let swap = |all: &mut Cost, each: u64| {
        all.rounds += 1;
        all.bytes_sent += peers * each;
        all.from_parties += peers * each;
    };
    // to each owner of columns a word for each of them
    let to_owners = |all: &mut Cost, each: u64| {
        all.bytes_sent += (d - own) as u64 * each;
        all.from_parties += peers * own as u64 * each;
    };
    swap(&mut all, 16);
    all.bytes_sent += REQUEST * widths.len() as u64 + peers * bytes(rows * own);
    for (_, q) in others() {
        all.from_parties += bytes(rows * q);
        all.rounds += (rows * q).div_ceil(NARROW_CHUNK) as u64;
    }
    if ridge {
        all.bytes_sent += REQUEST * widths.len() as u64 + peers * 8 * (own * own) as u64;
        for (_, q) in others() {
            all.from_parties += 8 * (q * q) as u64;
            all.rounds += (q * q).div_ceil(WORDS) as u64;
        }
    }
    // the first masks are waited for, all others come along
    all.rounds += 1;
    for epochs in groups(spec.epochs, rows, batches * d) {
        all.bytes_sent += REQUEST;
        all.from_helper += bytes(epochs * batches * own);
    }
    let within = groups(spec.epochs, rows, batches * d)
        .into_iter()
        .flat_map(|epochs| 0..epochs);
    for within in within {
        all.bytes_sent += 3 * REQUEST;
        all.rounds += 1;
        to_owners(&mut all, NARROW_BYTES as u64);
        for b in 0..batches {
            let m = first_row(rows, batches, b + 1) - first_row(rows, batches, b);
            let cut = if b > 0 { 16 * d as u64 } else { 0 };
            swap(&mut all, 4 * m as u64 + cut);
            swap(&mut all, bytes(m));
            if b + 1 < batches {
                to_owners(&mut all, NARROW_BYTES as u64);
            }
            if corrected(widths.len(), within, b) == me {
                all.from_helper += bytes(2 * SgdSpec::terms(range) * m) + 2 * cut;
            }
        }
        swap(&mut all, 16 * d as u64);
        let first = u64::from(me == 0);
        all.from_helper += first * 32 * d as u64;
        if ridge {
            all.bytes_sent += REQUEST * (2 + widths.len() as u64);
            swap(&mut all, 8 * d as u64);
            all.rounds += 1;
            to_owners(&mut all, 8);
            swap(&mut all, 8 * d as u64);
            all.from_helper += 8 * own as u64 + first * 32 * d as u64;
        }
    }
    all
}
