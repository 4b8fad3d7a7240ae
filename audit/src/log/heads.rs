//! The heads that a log signed, with the lines of those who cosigned them.
//!
//! Records in files of their own, one after another: of those of one size the last counts, which has all lines. A
//! head is written after what it covers, so the last record may be torn like any other.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::medium::{Medium, failed, replace};
use super::record::{self, Content, HEADER_BYTES, Kind};
use super::segment::{Place, Segments};
use super::{Damage, LogError, Torn};
use crate::merkle::Tree;
use crate::note::{Checkpoint, NoteError, SignatureType, SignedCheckpoint, Signer, VerifierKey};

const KEYS: &str = "keys";

/// The heads on disk.
pub(super) struct Heads {
    segments: Segments,
    /// By size: the number of the record that counts, and where it stands.
    places: BTreeMap<u64, (u64, Place)>,
    count: u64,
}

impl Heads {
    /// Finds all heads; one that was being written as the node went down, or still is, is passed over, and
    /// returned as damage.
    pub(super) fn find(dir: &Path, write: bool) -> Result<(Self, Option<Damage>), LogError> {
        let segments = Segments::find(dir, Kind::Heads, write)?;
        let mut places = BTreeMap::new();
        let mut number = 0;
        let (count, damage) = segments.scan(|content, place| {
            if let Content::Head { size, .. } = content {
                places.insert(size, (number, place));
            }
            number += 1;
        })?;
        if let Some(damage) = &damage {
            let last = damage.segment + 1 == segments.list.len();
            let bytes = std::fs::read(&damage.file).map_err(failed("read", &damage.file))?;
            let behind = usize::try_from(damage.offset).unwrap_or(usize::MAX);
            let header = damage.offset == 0 && bytes.len() >= HEADER_BYTES;
            if !last || header || is_followed(damage.index, bytes.get(behind..).unwrap_or(&[])) {
                return Err(damage.clone().into_error());
            }
        }
        let heads = Self {
            segments,
            places,
            count,
        };
        Ok((heads, damage))
    }

    /// Cuts off what was torn.
    pub(super) fn cut(
        &mut self,
        medium: &mut dyn Medium,
        damage: Option<Damage>,
    ) -> Result<Option<Torn>, LogError> {
        let Some(Damage { offset, .. }) = damage else {
            return Ok(None);
        };
        let torn = self.segments.list.last().map(|last| Torn {
            file: last.path.clone(),
            offset,
            bytes: last.bytes.saturating_sub(offset),
        });
        self.segments.cut(medium, offset)?;
        Ok(torn)
    }

    /// The sizes for which a head is kept, ascending.
    pub(super) fn sizes(&self) -> Vec<u64> {
        self.places.keys().copied().collect()
    }

    /// The largest of them, or 0.
    pub(super) fn largest(&self) -> u64 {
        self.places.last_key_value().map_or(0, |(size, _)| *size)
    }

    /// The head kept for `size`, if it fits the tree.
    pub(super) fn read(
        &self,
        origin: &str,
        size: u64,
        tree: &Tree,
    ) -> Result<Option<SignedCheckpoint>, LogError> {
        let Some((number, place)) = self.places.get(&size) else {
            return Ok(None);
        };
        let file = || self.segments.list[place.segment].path.clone();
        let head = self
            .segments
            .read(*number, *place, |content| match content {
                Content::Head { note, .. } => SignedCheckpoint::parse(note),
                Content::Event { .. } | Content::Body(_) | Content::Pruned => {
                    Err(NoteError::Shape {
                        missing: "the record is no head",
                    })
                }
            })?;
        let head = head.map_err(|source| LogError::Checkpoint {
            file: file(),
            source,
        })?;
        if head.checkpoint().origin() != origin {
            return Err(LogError::Origin {
                dir: self.segments.dir.clone(),
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
        origin: &str,
        tree: &Tree,
        keys: &[VerifierKey],
    ) -> Result<(), LogError> {
        let size = self.largest();
        let Some(head) = self.read(origin, size, tree)? else {
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
            file: self
                .places
                .get(&size)
                .map_or_else(Default::default, |(_, place)| {
                    self.segments.list[place.segment].path.clone()
                }),
            source,
        })
    }

    /// Brings heads to disk, waiting for it once.
    pub(super) fn write<'a>(
        &mut self,
        medium: &mut dyn Medium,
        heads: impl IntoIterator<Item = &'a SignedCheckpoint>,
        segment_bytes: u64,
    ) -> Result<(), LogError> {
        for head in heads {
            let size = head.checkpoint().size();
            let note = head.to_string();
            let record = record::encode(self.count, Content::Head { size, note: &note });
            if self.segments.is_full(record.len(), segment_bytes) {
                self.segments.sync(medium)?;
                self.segments.start(medium, self.count)?;
            }
            let place = self.segments.append(medium, &record)?;
            self.places.insert(size, (self.count, place));
            self.count += 1;
        }
        self.segments.sync(medium)
    }
}

/// Whether a sound record stands somewhere behind the damaged one at the start of `bytes`: then this was not the
/// last, and not torn.
fn is_followed(damaged: u64, bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| record::decode(Kind::Heads, damaged + 1, &bytes[at..]).is_ok())
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
