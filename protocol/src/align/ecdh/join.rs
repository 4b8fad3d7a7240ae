//! Tags of both sides, joined part by part.

use std::cmp::Ordering;

use super::{
    load::{PADDING, disk},
    msg::TAG_BYTES,
};
use crate::{
    abort::Abort,
    align::spill::{Sorted, Spill},
};

/// tag (16) | own row (4)
pub(super) const OWN: usize = TAG_BYTES + 4;

/// What a peer did that no honest run does, or a failure of this node.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer's, in the message with this name.
    Peer(String, String),
    /// This end's.
    Own(Abort),
}

impl From<std::io::Error> for Fault {
    fn from(e: std::io::Error) -> Self {
        Self::Own(disk(e))
    }
}

/// Refuses values that no honest masking spreads so unevenly, before they fill the memory.
pub(super) fn check_spread<const W: usize>(
    store: &Spill<W>,
    of: u64,
    name: &str,
) -> Result<(), Fault> {
    let (got, most) = (store.fullest(), of / 128 + 4096);
    match got <= most {
        true => Ok(()),
        false => Err(Fault::Peer(
            name.to_owned(),
            format!(
                "{got} values share their first byte where at most {most} may: they are not masked"
            ),
        )),
    }
}

pub(super) fn own_record(tag: &[u8; TAG_BYTES], row: u32) -> [u8; OWN] {
    let mut record = [0; OWN];
    let (head, tail) = record.split_at_mut(TAG_BYTES);
    head.copy_from_slice(tag);
    tail.copy_from_slice(&row.to_le_bytes());
    record
}

fn split(record: &[u8; OWN]) -> ([u8; TAG_BYTES], u32) {
    let (mut tag, mut row) = ([0; TAG_BYTES], [0; 4]);
    let (head, tail) = record.split_at(TAG_BYTES);
    tag.copy_from_slice(head);
    row.copy_from_slice(tail);
    (tag, u32::from_le_bytes(row))
}

/// Own rows whose tag is among the peer's, in the order of tags, and a digest of those tags.
pub(super) fn join(
    mut own: Sorted<OWN>,
    mut peer: Sorted<TAG_BYTES>,
) -> Result<(Vec<u32>, [u8; 32]), Fault> {
    let mut rows = Vec::new();
    let mut tags = blake3::Hasher::new_derive_key("paripassu align v1 matched tags");
    for part in 0..=u8::MAX {
        let (own, peer) = (own.part(part)?, peer.part(part)?);
        if peer.array_windows().any(|[a, b]| a == b) {
            return Err(Fault::Peer(
                "masked".into(),
                "it sent one id more than once".into(),
            ));
        }
        let mut theirs = peer.iter().peekable();
        let mut last = None;
        for record in own.iter() {
            let (tag, row) = split(record);
            // Own ids are distinct, so their tags are.
            if last.replace(tag) == Some(tag) {
                let problem = "it returned one tag for two different items".into();
                return Err(Fault::Peer("tags".into(), problem));
            }
            while theirs
                .next_if(|t| t.as_slice().cmp(&tag) == Ordering::Less)
                .is_some()
            {}
            if theirs.next_if(|t| **t == tag).is_none() {
                continue;
            }
            if row == PADDING {
                let problem = "it claims to hold an item that this node drew at random as padding";
                return Err(Fault::Peer("tags".into(), problem.into()));
            }
            rows.push(row);
            tags.update(&tag);
        }
    }
    Ok((rows, *tags.finalize().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(own: &[(u8, u32)], peer: &[u8]) -> Result<(Vec<u32>, [u8; 32]), Fault> {
        let mut a = Spill::new(1 << 16, None);
        for (t, row) in own {
            a.push(own_record(&[*t; 16], *row)).unwrap();
        }
        let mut b = Spill::new(1 << 16, None);
        for t in peer {
            b.push([*t; 16]).unwrap();
        }
        join(a.finish().unwrap(), b.finish().unwrap())
    }

    #[test]
    fn keeps_rows_in_common_in_tag_order() {
        let (rows, _) = joined(&[(9, 0), (3, 1), (200, 2), (7, 3)], &[200, 1, 9, 255, 3]).unwrap();
        assert_eq!(rows, [1, 0, 2]);
        assert!(joined(&[], &[1]).unwrap().0.is_empty());
        assert!(joined(&[(1, 0)], &[]).unwrap().0.is_empty());
    }

    #[test]
    fn the_digest_depends_on_the_tags_in_common_only() {
        let (_, a) = joined(&[(9, 0), (3, 1)], &[3, 4]).unwrap();
        let (_, b) = joined(&[(3, 7), (8, 2)], &[1, 3]).unwrap();
        let (_, c) = joined(&[(4, 7)], &[4]).unwrap();
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn names_what_the_peer_did() {
        for (own, peer, step, text) in [
            (&[(1, 0)][..], &[5, 5][..], "masked", "more than once"),
            (&[(1, 0), (1, 1)], &[2], "tags", "one tag for two"),
            (&[(1, 0), (2, PADDING)], &[2], "tags", "padding"),
        ] {
            match joined(own, peer) {
                Err(Fault::Peer(s, problem)) => {
                    assert_eq!(s, step);
                    assert!(problem.contains(text), "{problem}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn refuses_values_in_one_place() {
        let mut s = Spill::<16>::new(1 << 20, None);
        for _ in 0..4098 {
            s.push([7; 16]).unwrap();
        }
        assert!(check_spread(&s, 128, "tags").is_err());
        assert!(check_spread(&s, 256, "tags").is_ok());
    }
}
