//! The end that sends outputs: it evaluates its own items under its secret, and learns from the other
//! which of them are common.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future;
use paripassu_crypto::{gf128, okvs::Okvs, vole::Public};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::{
    AHEAD, Matched, OVERFULL, Progress, keep,
    link::{Link, offload, put_blocks},
    load::disk,
    outputs::{FILLER, Output, Outputs, commit, oracle, outputs, values},
    setup::{Helds, Plan, derive, nonce},
    store::Drain,
};
use crate::{abort::Abort, channel::Channel};

struct Shared {
    key: [u8; 32],
    okvs: Okvs,
    plan: Plan,
    delta: Zeroizing<u128>,
}

/// A bucket whose correlation is proved.
struct Proved {
    /// `B`.
    vector: Zeroizing<Vec<u128>>,
    half: [u8; 32],
}

/// A bucket whose outputs are sent.
struct Sent {
    outputs: Outputs,
    oracle: [u8; 32],
}

/// Runs all buckets.
pub(super) async fn send<C: Channel>(
    link: &Link<'_, C>,
    key: [u8; 32],
    public: Public,
    plan: Plan,
    helds: Helds,
    drain: Drain,
    matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    let okvs = Okvs::new(&derive("okvs", &[&key]), plan.buckets.encoded());
    let shared = Arc::new(Shared {
        key,
        okvs,
        plan,
        delta: Zeroizing::new(helds.delta),
    });
    let (put, take) = mpsc::channel(AHEAD);
    let (sent, answered) = mpsc::channel(AHEAD);
    let prove = prove(link, public, helds, put);
    let evaluate = evaluate(link, Arc::clone(&shared), drain, take, sent);
    let collect = collect(link, plan, answered, matched, progress);
    let ((), (), matched) = future::try_join3(prove, evaluate, collect).await?;
    Ok(matched)
}

/// Makes each bucket's correlation and proves it, together with a commitment to half a coin.
async fn prove<C: Channel>(
    link: &Link<'_, C>,
    public: Public,
    helds: Helds,
    put: mpsc::Sender<Proved>,
) -> Result<(), Abort> {
    let challenge = helds.challenge;
    for (j, (forest, masked)) in helds.forests.into_iter().enumerate() {
        let Ok(slot) = put.reserve().await else {
            // another task failed, and its error ends the run
            break;
        };
        let own = public.clone();
        let (vector, proof) = offload(move || forest.expand(&own, challenge, masked)).await?;
        let half = nonce();
        let body = [proof, commit(j, &half)].concat();
        link.send(&format!("proof-{j}"), body.into()).await?;
        slot.send(Proved {
            vector: Zeroizing::new(vector),
            half,
        });
    }
    Ok(())
}

/// Sends the outputs of own items, by tag, padded.
async fn evaluate<C: Channel>(
    link: &Link<'_, C>,
    shared: Arc<Shared>,
    mut drain: Drain,
    mut take: mpsc::Receiver<Proved>,
    sent: mpsc::Sender<Sent>,
) -> Result<(), Abort> {
    for j in 0..shared.plan.buckets.count() {
        let (Some(proved), Ok(slot)) = (take.recv().await, sent.reserve().await) else {
            // another task failed, and its error ends the run
            break;
        };
        let name = format!("masked-{j}");
        let body = link.recv(&name).await?;
        let masked = link.blocks(&name, &body, shared.plan.columns() + 2)?;
        let own = Arc::clone(&shared);
        let half = proved.half;
        let (back, made) = offload(move || {
            let made = own.evaluate(j, proved, &masked, &mut drain);
            (drain, made)
        })
        .await?;
        drain = back;
        let (outputs, oracle) = made?;
        let halves = half.as_chunks::<16>().0.iter();
        let tags = outputs.0.iter().map(|o| o.tag);
        let message = tags.chain(halves.map(|b| u128::from_le_bytes(*b)));
        link.send(&format!("outputs-{j}"), put_blocks(message.collect()))
            .await?;
        slot.send(Sent { outputs, oracle });
    }
    Ok(())
}

impl Shared {
    fn evaluate(
        &self,
        j: usize,
        mut proved: Proved,
        masked: &[u128],
        drain: &mut Drain,
    ) -> Result<(Outputs, [u8; 32]), Abort> {
        let (masked, half) = masked.split_at(self.plan.columns());
        let mut other = [0; 32];
        for (out, word) in other.as_chunks_mut::<16>().0.iter_mut().zip(half) {
            *out = word.to_le_bytes();
        }
        let oracle = oracle(&self.key, j, [&other, &proved.half]);
        // K = B + A' Δ
        proved.vector.truncate(masked.len());
        let path = gf128::Path::detect();
        gf128::add_scaled(path, &mut proved.vector, masked, *self.delta);

        let items = drain.next_bucket().map_err(disk)?;
        let most = self.plan.buckets.looked_up();
        let Some(room) = most.checked_sub(items.items.len()) else {
            return Err(Abort::Input(OVERFULL.into()));
        };
        let delta = Some(*self.delta);
        let values = values(&self.okvs, &items.items, &proved.vector, delta);
        let mut out = outputs(&oracle, &items, &values, room);
        out.fill(room);
        out.sort();
        Ok((out, oracle))
    }
}

/// Learns which outputs the peer found, and that it could compute them.
async fn collect<C: Channel>(
    link: &Link<'_, C>,
    plan: Plan,
    mut answered: mpsc::Receiver<Sent>,
    mut matched: Matched,
    progress: &Progress<'_>,
) -> Result<Matched, Abort> {
    for j in 0..plan.buckets.count() {
        let Some(sent) = answered.recv().await else {
            // another task failed, and its error ends the run
            break;
        };
        let name = format!("found-{j}");
        let body = link.recv(&name).await?;
        let (back, found) = offload(move || {
            let found = found(&sent, &body).map(|common| {
                common.iter().for_each(|o| matched.push(o.tag, o.row));
            });
            (matched, found)
        })
        .await?;
        matched = back;
        found.map_err(|problem| link.blame(&name, problem))?;
        matched = keep(link, j, matched).await?;
        progress.advance();
    }
    Ok(matched)
}

/// The outputs that the peer claims, if it can.
fn found(sent: &Sent, body: &Bytes) -> Result<Vec<Output>, String> {
    let outputs = &sent.outputs.0;
    let want = outputs.len().div_ceil(8) + 32;
    if body.len() != want {
        return Err(format!("expected {want} bytes, got {}", body.len()));
    }
    let (bits, proof) = body.split_at(want - 32);
    let mut claim = blake3::Hasher::new_derive_key("paripassu align vole v1 claim");
    claim.update(&sent.oracle);
    let mut common = Vec::new();
    for (byte, group) in bits.iter().zip(outputs.chunks(8)) {
        if *byte == 0 {
            continue;
        }
        for (i, output) in group.iter().enumerate() {
            if byte >> i & 1 == 0 {
                continue;
            }
            if output.row == FILLER {
                let problem = "it claims to hold an item that this node drew at random as padding";
                return Err(problem.into());
            }
            claim.update(&output.proof.to_le_bytes());
            common.push(*output);
        }
    }
    let beyond = bits.last().is_some_and(|b| {
        let used = outputs.len() % 8;
        used != 0 && b >> used != 0
    });
    if beyond || !bool::from(claim.finalize().as_bytes().ct_eq(proof)) {
        return Err("it claims items that it did not bring".into());
    }
    Ok(common)
}
