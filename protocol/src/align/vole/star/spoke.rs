//! A party at the end of a spoke: it hides its zero shares where its items are, and learns from the centre
//! which are common.

use std::{collections::HashMap, sync::Arc};

use paripassu_crypto::{
    gf128,
    okvs::Workspace,
    vole::{HolderForest, Public},
};
use zeroize::Zeroizing;

use super::{
    super::{
        link::{Link, offload, put_blocks},
        load::disk,
        outputs::{commit, oracle, outputs, values},
        setup::{hold, nonce},
        store::{Drain, Items},
    },
    CENTRE, Matched, Progress, Shared, keep, pair_key,
};
use crate::{abort::Abort, channel::Channel};

/// Runs all buckets.
pub(super) async fn run<C: Channel>(
    links: &[Link<'_, C>],
    index: u8,
    shared: Shared,
    mut drain: Drain,
    mut matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    let Some(link) = links.iter().find(|l| l.peer() == CENTRE) else {
        return Err(Abort::Input(
            "this party has no centre: please report it".into(),
        ));
    };
    let key = pair_key(&shared.key, index);
    let (public, shared) = (Public::new(&key), Arc::new(shared));
    let helds = hold(link, &public, &key, shared.plan).await?;
    let delta = Zeroizing::new(helds.delta);
    let mut work = Workspace::default();
    for (j, (forest, masked)) in helds.forests.into_iter().enumerate() {
        let (own, challenge) = (public.clone(), helds.challenge);
        let proved = offload(move || prove(forest, &own, challenge, masked)).await?;
        let (vector, proof) = proved;
        let half = nonce();
        let body = [proof, commit(j, &half)].concat();
        link.send(&format!("proof-{j}"), body.into()).await?;

        let name = format!("masked-{j}");
        let body = link.recv(&name).await?;
        let theirs = link.blocks(&name, &body, shared.plan.columns() + 2)?;
        let (own, delta) = (Arc::clone(&shared), delta.clone());
        let (back, made) = offload(move || {
            let made = own.hide(
                j, &key, half, vector, &theirs, *delta, &mut drain, &mut work,
            );
            ((drain, work), made)
        })
        .await?;
        (drain, work) = back;
        let (items, mut table) = made?;
        let words = half.as_chunks::<16>().0.iter();
        table.extend(words.map(|b| u128::from_le_bytes(*b)));
        link.send(&format!("table-{j}"), put_blocks(table)).await?;

        let name = format!("common-{j}");
        let body = link.recv(&name).await?;
        if body.len() > 16 * shared.plan.buckets.looked_up() {
            return Err(link.blame(&name, "more are common than a bucket holds"));
        }
        let tags = link.blocks(&name, &body, body.len() / 16)?;
        let own = Arc::clone(&shared);
        let (back, found) = offload(move || {
            let found = own.find(j, &items, &tags, &mut matched);
            (matched, found)
        })
        .await?;
        matched = back;
        found.map_err(|problem| link.blame(&name, problem))?;
        matched = keep(j, &body, matched).await?;
        progress.advance();
    }
    Ok(matched)
}

fn prove(
    forest: HolderForest,
    public: &Public,
    challenge: u128,
    masked: u128,
) -> (Zeroizing<Vec<u128>>, [u8; 32]) {
    let (vector, proof) = forest.expand(public, challenge, masked);
    (Zeroizing::new(vector), proof)
}

impl Shared {
    /// A bucket's items, and the table in which they find their zero shares.
    #[allow(clippy::too_many_arguments)]
    fn hide(
        &self,
        j: usize,
        key: &[u8; 32],
        half: [u8; 32],
        mut vector: Zeroizing<Vec<u128>>,
        theirs: &[u128],
        delta: u128,
        drain: &mut Drain,
        work: &mut Workspace,
    ) -> Result<(Items, Vec<u128>), Abort> {
        let (masked, other) = theirs.split_at(self.plan.columns());
        let mut centre = [0; 32];
        for (out, word) in centre.as_chunks_mut::<16>().0.iter_mut().zip(other) {
            *out = word.to_le_bytes();
        }
        let oracle = oracle(key, j, [&centre, &half]);
        // K = B + A' Δ
        vector.truncate(masked.len());
        gf128::add_scaled(gf128::Path::detect(), &mut vector, masked, delta);
        let items = drain.next_bucket().map_err(disk)?;
        let known = values(&self.centre, &items.items, &vector, Some(delta));
        let known = outputs(&oracle, &items, &known, 0);
        let mut hidden: Zeroizing<Vec<u128>> =
            Zeroizing::new(known.0.iter().map(|o| o.tag).collect());
        self.add_shares(&items.items, &mut hidden);
        let table = self.spokes.encode_values(&items.items, &hidden, work);
        let table = table.map_err(|e| {
            Abort::Input(format!(
                "the alignment could not encode this party's ids: {e}"
            ))
        })?;
        Ok((items, table))
    }

    /// Own rows of these tags.
    fn find(
        &self,
        j: usize,
        items: &Items,
        tags: &[u128],
        matched: &mut Matched,
    ) -> Result<(), String> {
        if !tags.is_sorted_by(|a, b| a < b) {
            return Err("its tags are not in ascending order".into());
        }
        let rows: HashMap<u128, u32> = self.tags(j, items).into_iter().collect();
        for tag in tags {
            let Some(row) = rows.get(tag) else {
                return Err(
                    "it claims that a customer is common that this party does not have".into(),
                );
            };
            matched.push(*tag, *row);
        }
        Ok(())
    }
}
