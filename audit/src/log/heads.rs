//! The heads that a log signed, with the lines of those who cosigned them.
//!
//! Records among the entries, written after what they cover: of those of one size the last counts, which has all lines.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::LogError;
use super::medium::{Medium, failed, replace};
use super::record::{self, Content};
use super::segment::{Place, Segments};
use crate::merkle::Tree;
use crate::note::{Checkpoint, NoteError, SignatureType, SignedCheckpoint, Signer, VerifierKey};

const KEYS: &str = "keys";

/// The heads on disk, by size.
#[derive(Debug, Default)]
pub(super) struct Heads(BTreeMap<u64, Place>);

impl Heads {
    /// Notes where a head stands.
    pub(super) fn add(&mut self, size: u64, place: Place) {
        self.0.insert(size, place);
    }

    /// The sizes for which a head is kept, ascending.
    pub(super) fn sizes(&self) -> Vec<u64> {
        self.0.keys().copied().collect()
    }

    /// The largest of them, or 0.
    pub(super) fn largest(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(size, _)| *size)
    }

    /// Where those that count stand.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.0.values().copied()
    }

    /// Lets `to` change where each stands.
    pub(super) fn follow(&mut self, to: impl FnMut(&mut Place)) {
        self.0.values_mut().for_each(to);
    }

    /// The head kept for `size`, if it fits the tree.
    pub(super) fn read(
        &self,
        segments: &Segments,
        origin: &str,
        size: u64,
        tree: &Tree,
    ) -> Result<Option<SignedCheckpoint>, LogError> {
        let Some(place) = self.0.get(&size) else {
            return Ok(None);
        };
        let file = || segments.list[place.segment].path.clone();
        let head = segments.read(0, *place, |content| match content {
            Content::Head { note, .. } => SignedCheckpoint::parse(note),
            Content::Event { .. } | Content::Body(_) | Content::Pruned => Err(NoteError::Shape {
                missing: "the record is no head",
            }),
        })?;
        let head = head.map_err(|source| LogError::Checkpoint {
            file: file(),
            source,
        })?;
        if head.checkpoint().origin() != origin {
            return Err(LogError::Origin {
                dir: segments.dir.clone(),
                expected: origin.to_owned(),
                got: head.checkpoint().origin().to_owned(),
            });
        }
        if head.checkpoint().size() != size || tree.root_at(size)? != *head.checkpoint().root() {
            let file = file();
            return Err(LogError::Root { file, size });
        }
        Ok(Some(head))
    }

    /// Checks that the largest head is signed by this log, with one of the keys it has used.
    pub(super) fn check(
        &self,
        segments: &Segments,
        origin: &str,
        tree: &Tree,
        keys: &[VerifierKey],
    ) -> Result<(), LogError> {
        let size = self.largest();
        let Some(head) = self.read(segments, origin, size, tree)? else {
            return Ok(());
        };
        let mut result = Err(NoteError::Shape {
            missing: "no key of this log is known",
        });
        for key in keys.iter().rev() {
            match head.verify(key) {
                Ok(_) => return Ok(()),
                Err(error) => result = Err(error),
            }
        }
        result.map_err(|source| LogError::Checkpoint {
            file: self.0.get(&size).map_or_else(Default::default, |place| {
                segments.list[place.segment].path.clone()
            }),
            source,
        })
    }

    /// Writes heads, without waiting for the disk.
    pub(super) fn write<'a>(
        &mut self,
        segments: &mut Segments,
        medium: &mut dyn Medium,
        heads: impl IntoIterator<Item = &'a SignedCheckpoint>,
        limit: u64,
    ) -> Result<(), LogError> {
        for head in heads {
            let size = head.checkpoint().size();
            let note = head.to_string();
            let record = record::encode(0, Content::Head { size, note: &note });
            let place = segments.append(medium, record, limit)?;
            self.add(size, place);
        }
        Ok(())
    }
}

pub(super) fn log_key(origin: &str, signer: &dyn Signer) -> Result<VerifierKey, NoteError> {
    VerifierKey::of(origin, SignatureType::Note, signer)
}

/// The keys that have signed heads of this log, oldest first.
pub(super) fn keys(dir: &Path, origin: &str) -> Result<Vec<VerifierKey>, LogError> {
    let file = dir.join(KEYS);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Missing { file, index: 0 });
        }
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let text = String::from_utf8(bytes).map_err(|_| NoteError::Characters);
    let keys = text.and_then(|text| {
        if !(text.is_empty() || text.ends_with('\n')) {
            return Err(NoteError::Key {
                why: "the list is cut off",
            });
        }
        let keys = text.split_terminator('\n').map(|line| {
            let key: VerifierKey = line.parse()?;
            if key.name() == origin && key.kind() == SignatureType::Note {
                Ok(key)
            } else {
                Err(NoteError::Key {
                    why: "it is not of this log",
                })
            }
        });
        keys.collect::<Result<Vec<_>, _>>()
    });
    keys.map_err(|source| LogError::Checkpoint { file, source })
}

pub(super) fn write_keys(
    medium: &mut dyn Medium,
    dir: &Path,
    keys: &[VerifierKey],
) -> Result<(), LogError> {
    let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
    replace(medium, dir, KEYS, text.as_bytes())?;
    Ok(())
}

pub(super) fn sign(
    origin: &str,
    tree: &Tree,
    signer: &dyn Signer,
) -> Result<SignedCheckpoint, NoteError> {
    SignedCheckpoint::sign(Checkpoint::new(origin, tree.size(), tree.root())?, signer)
}
