//! The end that encodes its set: it learns first what is common, and tells the other which of its
//! outputs are.

use std::{io, sync::Arc};

use futures_util::future;
use paripassu_crypto::{
    okvs::{Okvs, Workspace},
    vole::{ChooserForest, Public, forest::PROOF_BYTES},
};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use zeroize::ZeroizeOnDrop;

use super::{
    AHEAD, Matched, Progress, keep,
    link::{Link, offload, put_blocks},
    load::disk,
    outputs::{commit, oracle, outputs, values},
    setup::{Chosens, Plan, derive, nonce},
    store::{Drain, Items},
};
use crate::{abort::Abort, channel::Channel};

/// What the work on one bucket needs.
struct Shared {
    key: [u8; 32],
    public: Public,
    okvs: Okvs,
    plan: Plan,
}

/// A bucket whose masked table is sent.
#[derive(ZeroizeOnDrop)]
struct Waiting {
    items: Items,
    /// `C`, with which items are looked up.
    table: Vec<u128>,
    #[zeroize(skip)]
    half: [u8; 32],
    #[zeroize(skip)]
    commitment: [u8; 32],
}

/// What went wrong with a bucket.
enum Fault {
    /// In the peer's message with this name.
    Peer(String, String),
    Own(Abort),
}

impl From<io::Error> for Fault {
    fn from(e: io::Error) -> Self {
        Self::Own(disk(e))
    }
}

/// Runs all buckets.
pub(super) async fn encode<C: Channel>(
    link: &Link<'_, C>,
    key: [u8; 32],
    public: Public,
    plan: Plan,
    chosens: Chosens,
    drain: Drain,
    matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    let okvs = Okvs::new(&derive("okvs", &[&key]), plan.buckets.encoded());
    let shared = Arc::new(Shared {
        key,
        public,
        okvs,
        plan,
    });
    let (put, take) = mpsc::channel(AHEAD);
    let mask = mask(link, Arc::clone(&shared), chosens, drain, put);
    let find = find(link, shared, take, matched, progress);
    let ((), matched) = future::try_join(mask, find).await?;
    Ok(matched)
}

/// Sends each bucket's table, masked.
async fn mask<C: Channel>(
    link: &Link<'_, C>,
    shared: Arc<Shared>,
    chosens: Chosens,
    mut drain: Drain,
    put: mpsc::Sender<Waiting>,
) -> Result<(), Abort> {
    let challenge = chosens.challenge;
    let mut work = Workspace::default();
    for (j, forest) in chosens.forests.into_iter().enumerate() {
        let Ok(slot) = put.reserve().await else {
            // the other task failed, and its error ends the run
            break;
        };
        let name = format!("proof-{j}");
        let body = link.recv(&name).await?;
        let [proof, commitment] = match body.as_chunks::<32>() {
            ([proof, commitment], []) => [*proof, *commitment],
            _ => {
                let problem = format!("expected 64 bytes, got {}", body.len());
                return Err(link.blame(&name, problem));
            }
        };
        let own = Arc::clone(&shared);
        let (back, made) = offload(move || {
            let made = own.mask(j, forest, challenge, &proof, &mut drain, &mut work);
            ((drain, work), made)
        })
        .await?;
        (drain, work) = back;
        let (items, table, mut message) = made.map_err(|f| blame(link, f))?;
        let half = nonce();
        message.extend(
            half.as_chunks::<16>()
                .0
                .iter()
                .map(|b| u128::from_le_bytes(*b)),
        );
        link.send(&format!("masked-{j}"), put_blocks(message))
            .await?;
        slot.send(Waiting {
            items,
            table,
            half,
            commitment,
        });
    }
    Ok(())
}

fn blame<C: Channel>(link: &Link<'_, C>, fault: Fault) -> Abort {
    match fault {
        Fault::Own(abort) => abort,
        Fault::Peer(name, problem) => link.blame(&name, problem),
    }
}

impl Shared {
    /// A bucket's items, `C`, and `A` plus its table.
    fn mask(
        &self,
        j: usize,
        forest: ChooserForest,
        challenge: u128,
        proof: &[u8; PROOF_BYTES],
        drain: &mut Drain,
        work: &mut Workspace,
    ) -> Result<(Items, Vec<u128>, Vec<u128>), Fault> {
        let vectors = forest.expand(&self.public, challenge, proof);
        let (mut a, mut c) =
            vectors.map_err(|e| Fault::Peer(format!("proof-{j}"), e.to_string()))?;
        let items = drain.next_bucket()?;
        let table = self.okvs.encode(&items.items, work).map_err(|e| {
            Fault::Own(Abort::Input(format!(
                "the alignment could not encode this party's ids: {e}"
            )))
        })?;
        let columns = self.plan.columns();
        a.truncate(columns);
        c.truncate(columns);
        for (a, t) in a.iter_mut().zip(table) {
            *a ^= t;
        }
        Ok((items, c, a))
    }

    /// Looks own items up among the peer's outputs.
    fn find(
        &self,
        j: usize,
        waiting: &Waiting,
        theirs: &[u128],
        matched: &mut Matched,
    ) -> Result<Vec<u8>, Fault> {
        let wrong = |problem: &str| Fault::Peer(format!("outputs-{j}"), problem.to_owned());
        let (tags, half) = theirs.split_at(theirs.len().saturating_sub(2));
        let mut other = [0; 32];
        for (out, word) in other.as_chunks_mut::<16>().0.iter_mut().zip(half) {
            *out = word.to_le_bytes();
        }
        if !bool::from(commit(j, &other).ct_eq(&waiting.commitment)) {
            return Err(wrong("its half of the coin is not what it committed to"));
        }
        if !tags.is_sorted_by(|a, b| a < b) {
            return Err(wrong("its outputs are not in ascending order"));
        }
        let oracle = oracle(&self.key, j, [&waiting.half, &other]);
        let values = values(&self.okvs, &waiting.items.items, &waiting.table, None);
        let mut own = outputs(&oracle, &waiting.items, &values, 0);
        own.sort();
        let mut found = vec![0_u8; tags.len().div_ceil(8)];
        let mut claim = blake3::Hasher::new_derive_key("paripassu align vole v1 claim");
        claim.update(&oracle);
        let mut theirs = tags.iter().enumerate().peekable();
        for output in &own.0 {
            while theirs.next_if(|(_, t)| **t < output.tag).is_some() {}
            let Some((at, _)) = theirs.next_if(|(_, t)| **t == output.tag) else {
                continue;
            };
            if let Some(byte) = found.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
            claim.update(&output.proof.to_le_bytes());
            matched.push(output.tag, output.row);
        }
        found.extend(claim.finalize().as_bytes());
        Ok(found)
    }
}

/// Joins each bucket with the peer's outputs and tells it which were found.
async fn find<C: Channel>(
    link: &Link<'_, C>,
    shared: Arc<Shared>,
    mut take: mpsc::Receiver<Waiting>,
    mut matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    let plan = shared.plan;
    for j in 0..plan.buckets.count() {
        let Some(waiting) = take.recv().await else {
            // the other task failed, and its error ends the run
            break;
        };
        let name = format!("outputs-{j}");
        let body = link.recv(&name).await?;
        let theirs = link.blocks(&name, &body, plan.buckets.looked_up() + 2)?;
        let own = Arc::clone(&shared);
        let (back, found) = offload(move || {
            let found = own.find(j, &waiting, &theirs, &mut matched);
            (matched, found)
        })
        .await?;
        matched = back;
        let found = found.map_err(|f| blame(link, f))?;
        link.send(&format!("found-{j}"), found.into()).await?;
        matched = keep(link, j, matched).await?;
        progress.advance();
    }
    Ok(matched)
}
