//! The party in the middle: it finds what all have, and tells them.

use std::sync::Arc;

use futures_util::future;
use paripassu_crypto::{
    okvs::Workspace,
    vole::{ChooserForest, Public},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    super::{
        link::{Link, offload, put_blocks},
        load::disk,
        outputs::{commit, oracle, outputs, values},
        setup::{choose, nonce},
        store::{Drain, Items},
    },
    Matched, Progress, Shared, keep, pair_key,
};
use crate::{abort::Abort, channel::Channel};

/// A bucket of the centre's.
struct Bucket {
    items: Items,
    table: Zeroizing<Vec<u128>>,
}

/// Runs all buckets.
pub(super) async fn run<C: Channel>(
    links: &[Link<'_, C>],
    shared: Shared,
    mut drain: Drain,
    mut matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    let shared = Arc::new(shared);
    let keys: Vec<[u8; 32]> = links
        .iter()
        .map(|l| pair_key(&shared.key, l.peer_index()))
        .collect();
    let publics: Vec<Public> = keys.iter().map(Public::new).collect();
    let made = links.iter().zip(&keys).zip(&publics);
    let made = made.map(|((link, key), public)| choose(link, public, key, shared.plan));
    let mut challenges = Vec::new();
    let mut forests = Vec::new();
    for chosens in future::try_join_all(made).await? {
        challenges.push(chosens.challenge);
        forests.push(chosens.forests.into_iter());
    }
    let mut work = Workspace::default();
    for j in 0..shared.plan.buckets.count() {
        let own = Arc::clone(&shared);
        let (back, bucket) = offload(move || {
            let bucket = own.encode(&mut drain, &mut work);
            ((drain, work), bucket)
        })
        .await?;
        (drain, work) = back;
        let bucket = Arc::new(bucket?);
        let spokes = links
            .iter()
            .zip(&keys)
            .zip(&publics)
            .zip(&challenges)
            .zip(&mut forests);
        let spokes = spokes.map(|((((link, key), public), challenge), forests)| {
            let asked = Asked {
                j,
                key: *key,
                public: public.clone(),
                challenge: *challenge,
                bucket: Arc::clone(&bucket),
            };
            ask(link, Arc::clone(&shared), asked, forests.next())
        });
        let answers = future::try_join_all(spokes).await?;
        let own = Arc::clone(&shared);
        let (back, tags) = offload(move || {
            let tags = own.common(j, &bucket.items, &answers, &mut matched);
            (matched, tags)
        })
        .await?;
        matched = back;
        let (name, body) = (format!("common-{j}"), put_blocks(tags));
        future::try_join_all(links.iter().map(|l| l.send(&name, body.clone()))).await?;
        matched = keep(j, &body, matched).await?;
        progress.advance();
    }
    Ok(matched)
}

/// What one spoke is asked for a bucket.
struct Asked {
    j: usize,
    key: [u8; 32],
    public: Public,
    challenge: u128,
    bucket: Arc<Bucket>,
}

/// What the centre's items find at one spoke: its zero shares where it holds them.
async fn ask<C: Channel>(
    link: &Link<'_, C>,
    shared: Arc<Shared>,
    asked: Asked,
    forest: Option<ChooserForest>,
) -> Result<Zeroizing<Vec<u128>>, Abort> {
    let j = asked.j;
    let Some(forest) = forest else {
        return Err(Abort::Input(
            "a bucket without a correlation: please report it".into(),
        ));
    };
    let proved = format!("proof-{j}");
    let body = link.recv(&proved).await?;
    let [proof, commitment] = match body.as_chunks::<32>() {
        ([proof, commitment], []) => [*proof, *commitment],
        _ => {
            let problem = format!("expected 64 bytes, got {}", body.len());
            return Err(link.blame(&proved, problem));
        }
    };
    let (public, challenge, bucket) = (asked.public, asked.challenge, asked.bucket.clone());
    let expanded = offload(move || forest.expand(&public, challenge, &proof)).await?;
    let (a, c) = expanded.map_err(|e| link.blame(&proved, e))?;
    let (mut a, mut c) = (a, Zeroizing::new(c));
    a.truncate(bucket.table.len());
    c.truncate(bucket.table.len());
    for (a, t) in a.iter_mut().zip(bucket.table.iter()) {
        *a ^= t;
    }
    let half = nonce();
    let words = half.as_chunks::<16>().0.iter();
    a.extend(words.map(|b| u128::from_le_bytes(*b)));
    link.send(&format!("masked-{j}"), put_blocks(a)).await?;

    let name = format!("table-{j}");
    let body = link.recv(&name).await?;
    let table = link.blocks(&name, &body, shared.plan.columns() + 2)?;
    let (table, other) = table.split_at(shared.plan.columns());
    let mut theirs = [0; 32];
    for (out, word) in theirs.as_chunks_mut::<16>().0.iter_mut().zip(other) {
        *out = word.to_le_bytes();
    }
    if !bool::from(commit(j, &theirs).ct_eq(&commitment)) {
        return Err(link.blame(&name, "its half of the coin is not what it committed to"));
    }
    let (table, key) = (table.to_vec(), asked.key);
    offload(move || {
        let items = &asked.bucket.items;
        let oracle = oracle(&key, j, [&half, &theirs]);
        let known = values(&shared.centre, &items.items, &c, None);
        let known = outputs(&oracle, items, &known, 0);
        let mut found = Zeroizing::new(vec![0; items.items.len()]);
        shared.spokes.decode(&items.items, &table, &mut found);
        for (f, known) in found.iter_mut().zip(&known.0) {
            *f ^= known.tag;
        }
        found
    })
    .await
}

impl Shared {
    fn encode(&self, drain: &mut Drain, work: &mut Workspace) -> Result<Bucket, Abort> {
        let items = drain.next_bucket().map_err(disk)?;
        let table = self.centre.encode(&items.items, work).map_err(|e| {
            Abort::Input(format!(
                "the alignment could not encode this party's ids: {e}"
            ))
        })?;
        Ok(Bucket {
            items,
            table: Zeroizing::new(table),
        })
    }

    /// Tags of the items that every spoke's answers and the own share add up to nothing for.
    fn common(
        &self,
        j: usize,
        items: &Items,
        answers: &[Zeroizing<Vec<u128>>],
        matched: &mut Matched,
    ) -> Vec<u128> {
        let mut sums = Zeroizing::new(vec![0_u128; items.items.len()]);
        self.add_shares(&items.items, &mut sums);
        for answer in answers {
            for (sum, found) in sums.iter_mut().zip(answer.iter()) {
                *sum ^= found;
            }
        }
        let tags = self.tags(j, items).into_iter().zip(sums.iter());
        let mut common: Vec<(u128, u32)> = tags
            .filter(|(_, sum)| **sum == 0)
            .map(|(tag, _)| tag)
            .collect();
        common.sort_unstable();
        for (tag, row) in &common {
            matched.push(*tag, *row);
        }
        common.into_iter().map(|(tag, _)| tag).collect()
    }
}
