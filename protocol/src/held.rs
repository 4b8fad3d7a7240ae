//! Which points of an aborted job each member still holds, by number and digest, and the latest that all hold alike.

use bytes::{BufMut, Bytes, BytesMut};

/// Most points that a member tells of.
pub const MOST_HELD: usize = 16;

/// A point of a job that a member holds: its number, and a digest of what is the same at all members.
pub(crate) type Held = (u32, [u8; 32]);

/// The latest of the points that this member holds, ascending, as it tells the others.
pub(crate) fn tell(held: &[Held]) -> (&[Held], Bytes) {
    let held = &held[held.len().saturating_sub(MOST_HELD)..];
    let mut body = BytesMut::with_capacity(36 * held.len());
    for (point, digest) in held {
        body.put_u32_le(*point);
        body.put_slice(digest);
    }
    (held, body.freeze())
}

/// What another member told; none if that is no such list.
pub(crate) fn read(body: &Bytes) -> Option<Vec<Held>> {
    let (entries, rest) = body.as_chunks::<36>();
    if !rest.is_empty() || entries.len() > MOST_HELD {
        return None;
    }
    let read = |entry: &[u8; 36]| {
        let (point, digest) = entry.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*point), digest.try_into().ok()?))
    };
    entries.iter().map(read).collect()
}

/// The latest point that all hold alike.
pub(crate) fn latest(mine: &[Held], theirs: &[Vec<Held>]) -> Option<u32> {
    let alike = |held: &&Held| theirs.iter().all(|others| others.contains(held));
    mine.iter().filter(alike).map(|(point, _)| *point).max()
}
