//! Masks on vectors: several streams added or subtracted in one go over the vector.

use paripassu_crypto::{
    prg::{Label, Prg},
    sum_tag::Tag,
};
use rayon::prelude::*;

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
pub(super) fn apply(masks: &[Mask], words: &mut [u64], tag: Tag) -> Tag {
    words
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(i, chunk)| {
            let position = (i * CHUNK) as u64;
            for mask in masks {
                match mask.added {
                    true => mask.stream.add(Label::request(0, 0), position, chunk),
                    false => mask.stream.subtract(Label::request(0, 0), position, chunk),
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
