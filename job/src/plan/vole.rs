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

/// The party with fewer items encodes them, of two with as many the second; the other sends outputs.
pub(super) fn align<'f>(mut once: Once<'f>, items: &[u64]) -> Once<'f> {
    once.rounds = ALIGN_VOLE_ROUNDS;
    let [first, second] = items else { return once };
    let (encoder, sender) = if first < second { (0, 1) } else { (1, 0) };
    let Some(buckets) = Buckets::new(items[encoder], items[sender]) else {
        return once;
    };
    let trees = Lpn::new(buckets.encoded().columns());
    let seed = Lpn::new(buckets.count() * trees.seeds());
    let n = buckets.count() as u64;
    let elements = |count: usize| ELEMENT * count as u64;
    let (table, outputs) = (buckets.encoded().columns(), buckets.looked_up());

    let blocks = |lpn: &Lpn| lpn.transfers().div_ceil(base::COUNT) as u64;
    let rows = blocks(&seed) + seed.seeds() as u64 + n * blocks(&trees);
    let columns = base::COUNT as u64 * (rows + 1) * ELEMENT;
    let found = outputs.div_ceil(8) as u64 + ALIGN_VOLE_HASH;
    let encodes = base::REPLY_BYTES as u64 + columns + elements(extend::ANSWER + 3);
    let each = ELEMENT + elements(table) + ALIGN_VOLE_HASH + found;
    once.spread(encoder, ALIGN_VOLE_FIXED + encodes + n * each);

    let proof = forest::PROOF_BYTES as u64;
    let sends = base::REQUEST_BYTES as u64 + elements(1 + seed.message()) + proof;
    let each = elements(trees.message()) + proof + elements(outputs) + 2 * ALIGN_VOLE_HASH;
    once.spread(sender, ALIGN_VOLE_FIXED + sends + n * each);

    once.compute_s = items.iter().sum::<u64>() as f64 / (ALIGN_VOLE_ITEMS_PER_S * CORES);
    once
}
