//! Sending: cut into pieces, wait for credit, seal, queue.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use paripassu_crypto::sealed::{Place, TAG_LEN, frame_header};
use paripassu_proto::{exchange::v1::Frame, limits};
use paripassu_protocol::channel::{ChannelError, Role, Tag};

use super::{
    JobCore, PeerLink, charge,
    tally::{self, Tally},
};

/// The sending half of a link.
#[derive(Default)]
pub(super) struct SendHalf {
    next: u64,
    used: HashSet<[u8; 16]>,
    pub(super) tally: Tally,
}

/// A tag's place in the set of tags seen; 16 bytes of BLAKE3 stand for up to 160 of text.
pub(super) fn tag_key(tag: &str) -> [u8; 16] {
    let mut key = [0; 16];
    let hash = blake3::hash(tag.as_bytes());
    for (to, from) in key.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    key
}

/// Sends one whole message.
pub(super) async fn send(
    core: &JobCore,
    to: Role,
    tag: Tag,
    body: Bytes,
    deadline: Duration,
) -> Result<(), ChannelError> {
    core.check_open()?;
    let link = core.link(to)?;
    let total = body.len() as u64;
    if total > core.settings.message || tag.as_str().len() > limits::MAX_TAG {
        let limit = core.settings.message;
        return Err(ChannelError::TooLarge {
            from: core.role,
            tag,
            bytes: total,
            limit,
        });
    }
    if !link.sending().used.insert(tag_key(tag.as_str())) {
        return Err(ChannelError::Equivocation {
            from: core.role,
            tag,
        });
    }
    let late = || ChannelError::Gone {
        peer: to,
        reason: format!("it has not taken `{tag}` within {deadline:?}"),
    };
    let mut rest = body;
    let mut offset = 0;
    loop {
        let piece = rest.split_to(rest.len().min(core.settings.chunk));
        let cost = u32::try_from(charge(piece.len() + TAG_LEN)).unwrap_or(u32::MAX);
        let ready = async {
            let credit = link.credit.acquire_many(cost).await;
            (credit, core.outlet.room().await)
        };
        let (credit, room) = core.wait(ready, deadline, &late).await?;
        let Ok(credit) = credit else {
            return Err(core.why());
        };
        if let Err(e) = room {
            return Err(ChannelError::Ended {
                reason: e.to_string(),
            });
        }
        // from here to the queue without a pause: a position once taken is always sent
        credit.forget();
        seal(core, link, &tag, (total, offset), &piece)?;
        offset += piece.len() as u64;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

fn seal(
    core: &JobCore,
    link: &PeerLink,
    tag: &Tag,
    (total, offset): (u64, u64),
    piece: &[u8],
) -> Result<(), ChannelError> {
    let gone = |reason: String| ChannelError::Gone {
        peer: link.role,
        reason,
    };
    let keys = link
        .keys
        .get()
        .ok_or_else(|| gone("no keys are agreed with it".into()))?;
    let (job, from, to) = (core.job.as_str(), core.me.as_str(), link.id.as_str());
    let mut half = link.sending();
    let seq = half.next;
    let header = frame_header(job, from, to, tag.as_str(), Place { seq, total, offset });
    let mut chunk = Vec::with_capacity(piece.len() + TAG_LEN);
    keys.sealer
        .seal(seq, &header, piece, &mut chunk)
        .map_err(|e| gone(e.to_string()))?;
    half.next += 1;
    let chunk = Bytes::from(chunk);
    // queued under the lock: the relay sees the positions of a link in order
    core.outlet.frame(Frame {
        job: job.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        tag: tag.as_str().to_owned(),
        seq,
        total,
        offset,
        chunk: chunk.clone(),
    });
    drop(half);
    let (digest, bytes) = (tally::digest(&header, &chunk), chunk.len() as u64);
    link.sending().tally.add(seq, tag.as_str(), digest, bytes);
    Ok(())
}
