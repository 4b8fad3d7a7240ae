//! The heads that a log signed, one file per size.

use std::io;
use std::path::{Path, PathBuf};

use super::LogError;
use super::medium::{Medium, failed, put, replace, sync_folder};
use crate::merkle::Tree;
use crate::note::{Checkpoint, NoteError, SignatureType, SignedCheckpoint, Signer, VerifierKey};

const FOLDER: &str = "checkpoints";
const KEYS: &str = "keys";

pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

pub(super) fn path(dir: &Path, size: u64) -> PathBuf {
    folder(dir).join(name(size))
}

fn name(size: u64) -> String {
    format!("{size:020}.note")
}

pub(super) fn log_key(origin: &str, signer: &dyn Signer) -> Result<VerifierKey, NoteError> {
    VerifierKey::of(origin, SignatureType::Note, signer)
}

/// The sizes for which a head is kept, ascending.
pub(super) fn sizes(dir: &Path) -> Result<Vec<u64>, LogError> {
    let folder = folder(dir);
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed("list", &folder))? {
        let file = entry.map_err(failed("list", &folder))?.file_name();
        let size = file
            .to_str()
            .and_then(|file| file.strip_suffix(".note"))
            .and_then(|size| size.parse::<u64>().ok());
        sizes.extend(size);
    }
    sizes.sort_unstable();
    Ok(sizes)
}

/// The head kept for `size`, if it fits the tree.
pub(super) fn read(
    dir: &Path,
    origin: &str,
    size: u64,
    tree: &Tree,
) -> Result<Option<SignedCheckpoint>, LogError> {
    let file = path(dir, size);
    let text = match std::fs::read(&file) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| NoteError::Characters),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &file)(error)),
    };
    let head = text.and_then(|text| SignedCheckpoint::parse(&text));
    let head = head.map_err(|source| LogError::Checkpoint {
        file: file.clone(),
        source,
    })?;
    if head.checkpoint().origin() != origin {
        return Err(LogError::Origin {
            dir: folder(dir),
            expected: origin.to_owned(),
            got: head.checkpoint().origin().to_owned(),
        });
    }
    if head.checkpoint().size() != size || tree.root_at(size)? != *head.checkpoint().root() {
        return Err(LogError::Root { file, size });
    }
    Ok(Some(head))
}

/// Checks that the head is signed by this log, with one of the keys it has used.
pub(super) fn check(
    dir: &Path,
    head: &SignedCheckpoint,
    keys: &[VerifierKey],
) -> Result<(), LogError> {
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
        file: path(dir, head.checkpoint().size()),
        source,
    })
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

/// Brings heads to disk; each file whole, and all of them once this returns.
pub(super) fn write<'a>(
    medium: &mut dyn Medium,
    dir: &Path,
    heads: impl IntoIterator<Item = &'a SignedCheckpoint>,
) -> Result<(), LogError> {
    let folder = folder(dir);
    for head in heads {
        let name = name(head.checkpoint().size());
        put(medium, &folder, &name, head.to_string().as_bytes())?;
    }
    sync_folder(medium, &folder)
}
