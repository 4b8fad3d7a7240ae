//! What a masked table gives an item, as an output: a tag that travels and a proof that stays.

use paripassu_crypto::okvs::Okvs;
use rand::{Rng, rand_core::UnwrapErr, rngs::SysRng};
use zeroize::Zeroize;

use super::{setup::derive, store::Items};

/// Row of an output that no item has.
pub(super) const FILLER: u32 = u32::MAX;

/// One item's output.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) tag: u128,
    pub(super) proof: u128,
    pub(super) row: u32,
}

/// The outputs of one bucket, by tag.
pub(super) struct Outputs(pub(super) Vec<Output>);

impl Drop for Outputs {
    fn drop(&mut self) {
        for o in &mut self.0 {
            o.tag.zeroize();
            o.proof.zeroize();
        }
    }
}

/// The random oracle of one bucket, known once both halves of its key are.
pub(super) fn oracle(key: &[u8; 32], bucket: usize, halves: [&[u8; 32]; 2]) -> [u8; 32] {
    let [encoder, sender] = halves;
    derive(
        "outputs",
        &[key, &(bucket as u64).to_le_bytes(), encoder, sender],
    )
}

/// A commitment to the sender's half of a bucket's oracle.
pub(super) fn commit(bucket: usize, half: &[u8; 32]) -> [u8; 32] {
    derive("commit", &[&(bucket as u64).to_le_bytes(), half])
}

/// Hashes the values that items have; `room` more outputs will be added.
pub(super) fn outputs(oracle: &[u8; 32], items: &Items, values: &[u128], room: usize) -> Outputs {
    let mut out = Vec::with_capacity(values.len() + room);
    for ((item, value), row) in items.items.iter().zip(values).zip(&items.rows) {
        let mut input = [0; 32];
        let (head, tail) = input.split_at_mut(16);
        head.copy_from_slice(&value.to_le_bytes());
        tail.copy_from_slice(&item.to_le_bytes());
        let hash = blake3::keyed_hash(oracle, &input);
        let (tag, proof) = halves(hash.as_bytes());
        out.push(Output {
            tag,
            proof,
            row: *row,
        });
    }
    Outputs(out)
}

fn halves(hash: &[u8; 32]) -> (u128, u128) {
    match hash.as_chunks::<16>().0 {
        [tag, proof] => (u128::from_le_bytes(*tag), u128::from_le_bytes(*proof)),
        _ => (0, 0),
    }
}

impl Outputs {
    /// Adds outputs of no item, as random as the others.
    pub(super) fn fill(&mut self, room: usize) {
        let mut tags = vec![0_u128; room];
        UnwrapErr(SysRng).fill_bytes(bytemuck::cast_slice_mut(&mut tags));
        self.0.extend(tags.into_iter().map(|tag| Output {
            tag,
            proof: 0,
            row: FILLER,
        }));
    }

    /// Puts outputs in the order of their tags, which are pseudo-random: one pass that spreads them
    /// over small groups by their first bits, then each group by itself.
    pub(super) fn sort(&mut self) {
        let bits = (self.0.len() / 16).max(2).ilog2();
        let group = |o: &Output| (o.tag >> (128 - bits)) as usize;
        let mut ends = vec![0_usize; (1 << bits) + 1];
        for o in &self.0 {
            if let Some(n) = ends.get_mut(group(o) + 1) {
                *n += 1;
            }
        }
        let mut sum = 0;
        for n in &mut ends {
            sum += *n;
            *n = sum;
        }
        let blank = Output {
            tag: 0,
            proof: 0,
            row: FILLER,
        };
        let mut sorted = vec![blank; self.0.len()];
        for o in &self.0 {
            if let Some(at) = ends.get_mut(group(o)) {
                if let Some(place) = sorted.get_mut(*at) {
                    *place = *o;
                }
                *at += 1;
            }
        }
        let mut rest = sorted.as_mut_slice();
        let mut start = 0;
        for end in ends.iter().take(1 << bits) {
            let (now, later) = rest.split_at_mut((end - start).min(rest.len()));
            now.sort_unstable_by_key(|o| o.tag);
            (rest, start) = (later, *end);
        }
        self.0 = sorted;
    }
}

/// Values of a bucket's items by table `table`, plus `delta` times their own value.
pub(super) fn values(
    okvs: &Okvs,
    items: &[u128],
    table: &[u128],
    delta: Option<u128>,
) -> Vec<u128> {
    let mut values = vec![0; items.len()];
    okvs.decode(items, table, &mut values);
    if let Some(delta) = delta {
        let mut own = vec![0; items.len()];
        okvs.values(items, &mut own);
        let path = paripassu_crypto::gf128::Path::detect();
        paripassu_crypto::gf128::add_scaled(path, &mut values, &own, delta);
    }
    values
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn outputs_come_in_the_order_of_their_tags() {
        let mut rng = rand::rng();
        for n in [0, 1, 2, 17, 40, 5_000] {
            let mut o = Outputs(
                (0..n)
                    .map(|row| Output {
                        tag: rng.random(),
                        proof: rng.random(),
                        row,
                    })
                    .collect(),
            );
            let mut want: Vec<(u128, u32)> = o.0.iter().map(|o| (o.tag, o.row)).collect();
            want.sort_unstable();
            o.sort();
            let got: Vec<(u128, u32)> = o.0.iter().map(|o| (o.tag, o.row)).collect();
            assert_eq!(got, want, "{n}");
        }
    }
}
