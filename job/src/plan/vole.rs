//! What matching by vector-OLE costs: `docs/protocols.md`, alignment by vector-OLE.

use paripassu_crypto::{
    okvs::Buckets,
    ot::{base, extend},
    vole::{Lpn, forest},
};

use super::gates::Once;
use crate::constants::{
    ALIGN_VOLE_FIXED, ALIGN_VOLE_HASH, ALIGN_VOLE_ITEMS_PER_S, ALIGN_VOLE_ROUNDS, CORES,
};

/// An element of the field.
const ELEMENT: u64 = 16;

/// Bytes that the encoding and the sending end of a pair send, once and for each bucket.
struct Pair {
    buckets: u64,
    encoder: [u64; 2],
    sender: [u64; 2],
    table: u64,
}

fn pair(buckets: Buckets) -> Pair {
    let trees = Lpn::new(buckets.encoded().columns());
    let seed = Lpn::new(buckets.count() * trees.seeds());
    let n = buckets.count() as u64;
    let elements = |count: usize| ELEMENT * count as u64;
    let blocks = |lpn: &Lpn| lpn.transfers().div_ceil(base::COUNT) as u64;
    let rows = blocks(&seed) + seed.seeds() as u64 + n * blocks(&trees);
    let columns = base::COUNT as u64 * (rows + 1) * ELEMENT;
    let proof = forest::PROOF_BYTES as u64;
    let table = elements(buckets.encoded().columns()) + ALIGN_VOLE_HASH;
    let encodes = base::REPLY_BYTES as u64 + columns + elements(extend::ANSWER + 3);
    let sends = base::REQUEST_BYTES as u64 + elements(1 + seed.message()) + proof;
    Pair {
        buckets: n,
        encoder: [ALIGN_VOLE_FIXED + encodes, ELEMENT + table],
        sender: [
            ALIGN_VOLE_FIXED + sends,
            elements(trees.message()) + proof + ALIGN_VOLE_HASH,
        ],
        table,
    }
}

/// Party 0 and another one: that with fewer items encodes them, of two with as many the other; the other end
/// sends outputs.
pub(super) fn align(once: &mut Once<'_>, items: &[u64], other: usize) {
    once.rounds += ALIGN_VOLE_ROUNDS;
    let (encoder, sender) = if items[0] < items[other] {
        (0, other)
    } else {
        (other, 0)
    };
    let Some(buckets) = Buckets::new(items[encoder], items[sender]) else {
        return;
    };
    let pair = pair(buckets);
    // hello, coin, size and outcome; the set-up; two messages a bucket
    once.waits(encoder, 4 + 4 + 3 * pair.buckets);
    once.waits(sender, 4 + 5 + 2 * pair.buckets);
    let outputs = buckets.looked_up();
    let found = outputs.div_ceil(8) as u64 + ALIGN_VOLE_HASH;
    let [fixed, each] = pair.encoder;
    once.send(encoder, sender, fixed + pair.buckets * (each + found));
    let [fixed, each] = pair.sender;
    let told = ELEMENT * outputs as u64 + ALIGN_VOLE_HASH;
    once.send(sender, encoder, fixed + pair.buckets * (each + told));
    once.compute_s += (items[0] + items[other]) as f64 / (ALIGN_VOLE_ITEMS_PER_S * CORES);
}

/// Party 0 encodes for every other one, and all tables have the largest set's size. `counts` where the tags of
/// common customers are counted, those of all keys at once.
pub(super) fn star(once: &mut Once<'_>, items: &[u64], counts: bool) {
    once.rounds += ALIGN_VOLE_ROUNDS;
    let most = items.iter().copied().max().unwrap_or(0);
    let Some(buckets) = Buckets::new(most, most) else {
        return;
    };
    let pair = pair(buckets);
    let common = if counts { ELEMENT * once.matched() } else { 0 };
    let spokes = items.len() as u64 - 1;
    once.waits(0, 4 * spokes + spokes * (4 + 3 * pair.buckets));
    for (position, spoke) in (1..).zip(1..items.len()) {
        // a secret from each that comes before
        once.waits(spoke, 4 * spokes + position + 5 + 2 * pair.buckets);
    }
    for from in 0..items.len() {
        for to in (0..items.len()).filter(|to| *to != from) {
            let secret = if from < to { ALIGN_VOLE_HASH } else { 0 };
            let bytes = match (from, to) {
                (0, _) => pair.encoder[0] + pair.buckets * pair.encoder[1] + common,
                (_, 0) => pair.sender[0] + pair.buckets * (pair.sender[1] + pair.table),
                _ => ALIGN_VOLE_FIXED,
            };
            once.send(from, to, secret + bytes);
        }
    }
    let work = most * 2 * (items.len() as u64 - 1);
    once.compute_s += work as f64 / (ALIGN_VOLE_ITEMS_PER_S * CORES);
}
