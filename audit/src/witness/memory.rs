//! What a witness remembers of a log, in a file of two places that are written in turn.
//!
//! A place is written over as it stands, so that the disk is waited for once and its directory not at all. One that
//! was being written as the power failed is not sound: the other one then holds what was remembered before, and no
//! cosignature of the torn one was handed out. Each place is a number (u64, big endian; the higher one counts) and
//! the record of a signed head, as [`record`] has it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::file_name;
use crate::log::LogError;
use crate::log::medium::{failed, private, replace_file};
use crate::log::record::{self, Content};
use crate::note::{NoteError, SignedCheckpoint};

/// Bytes of a place; a head with the lines of its log and of one witness has some 1,400 at most.
const PLACE: usize = 4096;

/// The file of one log.
pub(super) struct Memory {
    file: File,
    /// The number of the newest place; even ones stand first in the file.
    newest: u64,
}

fn encode(number: u64, head: &SignedCheckpoint) -> Result<Vec<u8>, NoteError> {
    let (size, note) = (head.checkpoint().size(), head.to_string());
    let mut place = number.to_be_bytes().to_vec();
    place.extend(record::encode(number, Content::Head { size, note: &note }));
    if place.len() > PLACE {
        return Err(NoteError::TooLong {
            limit: PLACE,
            got: place.len(),
        });
    }
    place.resize(PLACE, 0);
    Ok(place)
}

/// The number and the head of a sound place.
fn decode(place: &[u8]) -> Option<(u64, SignedCheckpoint)> {
    let (number, rest) = place.split_first_chunk()?;
    let number = u64::from_be_bytes(*number);
    match record::decode(number, rest) {
        Ok((Content::Head { note, .. }, _)) => Some((number, SignedCheckpoint::parse(note).ok()?)),
        _ => None,
    }
}

impl Memory {
    /// Opens what is remembered of `origin` in `dir`; no head when neither place is sound, nothing when there is no
    /// file.
    pub(super) fn open(
        dir: &Path,
        origin: &str,
    ) -> Result<Option<(Self, Option<SignedCheckpoint>)>, LogError> {
        let path = dir.join(file_name(origin));
        let file = match private().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let mut bytes = vec![0; 2 * PLACE];
        let whole = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let sound = bytes.chunks(PLACE).filter_map(decode);
        let newest = sound.max_by_key(|(number, _)| *number).filter(|_| whole);
        let (newest, head) = newest.map_or((0, None), |(number, head)| (number, Some(head)));
        Ok(Some((Self { file, newest }, head)))
    }

    /// Starts to remember, on disk once this returns.
    pub(super) fn start(dir: &Path, head: &SignedCheckpoint) -> Result<Self, LogError> {
        let mut bytes = encode(0, head)?;
        bytes.resize(2 * PLACE, 0);
        let name = file_name(head.checkpoint().origin());
        let path = replace_file(dir, &name, &bytes)?;
        let file = private().read(true).write(true).open(&path);
        let file = file.map_err(failed("open", &path))?;
        Ok(Self { file, newest: 0 })
    }

    /// Remembers another head, on disk once this returns.
    pub(super) fn write(&mut self, dir: &Path, head: &SignedCheckpoint) -> Result<(), LogError> {
        let number = self.newest + 1;
        let place = encode(number, head)?;
        self.file
            .write_all_at(&place, (number % 2) * PLACE as u64)
            .and_then(|()| self.file.sync_data())
            .map_err(failed(
                "write",
                &dir.join(file_name(head.checkpoint().origin())),
            ))?;
        self.newest = number;
        Ok(())
    }
}
