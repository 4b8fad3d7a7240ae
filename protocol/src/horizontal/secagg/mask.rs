//! Masks on vectors: several streams added or subtracted in one go over the vector.

use paripassu_crypto::{
    field61,
    prg::{Label, Prg},
    sum_tag::Tag,
};
use rayon::prelude::*;

use super::Kind;

/// Words that a thread masks at a time; with all streams, so that a vector passes through the cache once.
const CHUNK: usize = 1 << 14;

/// A stream, and whether it is added.
pub(super) struct Mask {
    stream: Prg,
    added: bool,
}

impl Mask {
    pub(super) fn added(seed: &[u8; 32]) -> Self {
        Self {
            stream: Prg::new(seed),
            added: true,
        }
    }

    pub(super) fn subtracted(seed: &[u8; 32]) -> Self {
        Self {
            added: false,
            ..Self::added(seed)
        }
    }

    /// The mask between `me` and `peer`: added at the one with the higher position, subtracted at the other.
    pub(super) fn between(seed: &[u8; 32], me: usize, peer: usize) -> Self {
        Self {
            added: me > peer,
            ..Self::added(seed)
        }
    }

    /// The same, to take it away again.
    pub(super) fn reversed(mut self) -> Self {
        self.added = !self.added;
        self
    }
}

/// Masks a vector and its tag.
pub(super) fn apply(masks: &[Mask], words: &mut [u64], tag: Tag, kind: Kind) -> Tag {
    words
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(i, chunk)| {
            let position = (i * CHUNK) as u64;
            for mask in masks {
                let (stream, label) = (&mask.stream, Label::request(0, 0));
                match (kind, mask.added) {
                    (Kind::Words, true) => stream.add(label, position, chunk),
                    (Kind::Words, false) => stream.subtract(label, position, chunk),
                    (Kind::Bounded, added) => {
                        let by = if added { field61::add } else { field61::sub };
                        field61::each_of(stream, label, position, chunk, |o, e| *o = by(*o, e));
                    }
                }
            }
        });
    masks.iter().fold(tag, |tag, mask| {
        let own = Tag::expand(&mask.stream);
        if mask.added {
            tag.plus(own)
        } else {
            tag.minus(own)
        }
    })
}
