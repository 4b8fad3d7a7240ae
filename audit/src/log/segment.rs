//! The files of a log: records one after another, zeros behind them.
//!
//! A file grows by zeros in large steps, so that most records are written over bytes that are there: the disk is then
//! waited for once, for the bytes alone, and its directory not at all.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::medium::{Medium, failed, private, sync_folder};
use super::record::{self, Content, Fault, HEADER_BYTES};
use super::{Damage, LogError};

const PREFIX: &str = "log-";
/// Files grow in steps of this.
const GROWTH: u64 = 64 * 1024;

/// Where a record stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) segment: usize,
    pub(super) offset: u64,
    pub(super) length: usize,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Where the next record goes.
    pub(super) end: u64,
    /// Length of the file; what is behind the end is zeros.
    pub(super) length: u64,
}

/// What a scan finds.
pub(super) enum Found<'a> {
    Entry {
        job: &'a str,
        envelope: &'a [u8],
        event: Place,
        body: Place,
        pruned: bool,
    },
    Head {
        size: u64,
        place: Place,
    },
}

/// All files, in order; the last one grows.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) dir: PathBuf,
    pub(super) list: Vec<Segment>,
}

impl Segments {
    pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
        dir.join(format!("{PREFIX}{first:020}.seg"))
    }

    /// Opens every file, in the order of their first entries; for writing where `write` says so.
    pub(super) fn find(dir: &Path, write: bool) -> Result<Self, LogError> {
        let mut firsts = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
            let name = entry.map_err(failed("list", dir))?.file_name();
            let digits = name
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX))
                .and_then(|name| name.strip_suffix(".seg"));
            if let Some(first) = digits.and_then(|digits| digits.parse::<u64>().ok()) {
                firsts.push(first);
            }
        }
        firsts.sort_unstable();
        let mut list = Vec::with_capacity(firsts.len());
        for first in firsts {
            let path = Self::path(dir, first);
            let file = private().read(true).write(write).open(&path);
            let file = file.map_err(failed("open", &path))?;
            let length = file.metadata().map_err(failed("open", &path))?.len();
            list.push(Segment {
                first,
                path,
                file,
                end: length,
                length,
            });
        }
        Ok(Self {
            dir: dir.to_owned(),
            list,
        })
    }

    /// Reads all records from the first on; `each` sees entries and heads in order. Ends with the number of whole
    /// entries, and what is wrong behind them, if anything; the next record goes there.
    pub(super) fn scan(
        &mut self,
        mut each: impl FnMut(Found<'_>),
    ) -> Result<(u64, Option<Damage>), LogError> {
        let mut index = 0;
        for (segment, file) in self.list.iter_mut().enumerate() {
            if file.first != index {
                return Err(LogError::Missing {
                    file: Self::path(&self.dir, index),
                    index,
                });
            }
            let mut bytes = vec![0; usize::try_from(file.length).unwrap_or(usize::MAX)];
            file.file
                .read_exact_at(&mut bytes, 0)
                .map_err(failed("read", &file.path))?;
            let (end, fault) = records(&bytes, segment, &mut index, &mut each);
            file.end = end as u64;
            if let Some(fault) = fault {
                let rest = bytes.get(end..).unwrap_or(&[]);
                let torn = rest.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                let damage = Damage {
                    file: file.path.clone(),
                    segment,
                    index,
                    offset: end as u64,
                    bytes: torn as u64,
                    followed: is_followed(index, rest),
                    found: fault.text(),
                };
                return Ok((index, Some(damage)));
            }
        }
        Ok((index, None))
    }

    /// Reads a record and hands it to `with`; `index` is its entry's, or 0 for a head.
    pub(super) fn read<T>(
        &self,
        index: u64,
        place: Place,
        with: impl FnOnce(Content<'_>) -> T,
    ) -> Result<T, LogError> {
        let segment = &self.list[place.segment];
        let mut bytes = vec![0; place.length];
        segment
            .file
            .read_exact_at(&mut bytes, place.offset)
            .map_err(failed("read", &segment.path))?;
        match record::decode(index, &bytes) {
            Ok((content, _)) => Ok(with(content)),
            Err(fault) => Err(LogError::Damaged {
                file: segment.path.clone(),
                index,
                offset: place.offset,
                found: fault.text(),
            }),
        }
    }

    /// Whether the records of entry `index`, of `length` bytes, need a new file, given the size at which files are full.
    pub(super) fn is_full(&self, index: u64, length: usize, limit: u64) -> bool {
        let full = |last: &Segment| last.first < index && last.end + length as u64 > limit;
        self.list.last().is_none_or(full)
    }

    /// Starts a new file, whose first entry is `first`.
    pub(super) fn start(&mut self, medium: &mut dyn Medium, first: u64) -> Result<(), LogError> {
        let path = Self::path(&self.dir, first);
        let header = record::header(first);
        let file = (|| {
            let mut file = private()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            medium.write(&mut file, &header)?;
            medium.sync(&file)?;
            Ok(file)
        })()
        .map_err(failed("create", &path))?;
        sync_folder(medium, &self.dir)?;
        let end = header.len() as u64;
        self.list.push(Segment {
            first,
            path,
            file,
            end,
            length: end,
        });
        Ok(())
    }

    /// Appends a record to the last file, which grows in steps of at most `limit`.
    pub(super) fn append(
        &mut self,
        medium: &mut dyn Medium,
        mut record: Vec<u8>,
        limit: u64,
    ) -> Result<Place, LogError> {
        let segment = self.list.len().saturating_sub(1);
        let Some(last) = self.list.last_mut() else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(failed("append to", &self.dir)(source));
        };
        let place = Place {
            segment,
            offset: last.end,
            length: record.len(),
        };
        let end = last.end + record.len() as u64;
        if end > last.length {
            let length = end.next_multiple_of(GROWTH.min(limit).max(1));
            record.resize(place.length + (length - end) as usize, 0);
        }
        medium
            .write_at(&last.file, &record, last.end)
            .map_err(failed("append to", &last.path))?;
        last.length = last.length.max(last.end + record.len() as u64);
        last.end = end;
        Ok(place)
    }

    /// Brings the last file to disk.
    pub(super) fn sync(&self, medium: &mut dyn Medium) -> Result<(), LogError> {
        let Some(last) = self.list.last() else {
            return Ok(());
        };
        medium.sync(&last.file).map_err(failed("sync", &last.path))
    }

    /// Cuts off everything behind the last file's good records.
    pub(super) fn cut(&mut self, medium: &mut dyn Medium) -> Result<(), LogError> {
        let Some(last) = self.list.last_mut() else {
            return Ok(());
        };
        if last.end < HEADER_BYTES as u64 {
            let path = last.path.clone();
            self.list.pop();
            std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            return sync_folder(medium, &self.dir);
        }
        last.file
            .set_len(last.end)
            .and_then(|()| medium.sync(&last.file))
            .map_err(failed("cut", &last.path))?;
        last.length = last.end;
        Ok(())
    }
}

/// Reads a file's records; `index` is that of the next entry. Ends with where the good records end, and what is wrong
/// there.
fn records(
    bytes: &[u8],
    segment: usize,
    index: &mut u64,
    each: &mut impl FnMut(Found<'_>),
) -> (usize, Option<Fault>) {
    if let Err(fault) = record::check_header(*index, bytes) {
        return (0, Some(fault));
    }
    let mut offset = HEADER_BYTES;
    // of an entry the body, and where it stands
    let mut half: Option<(Place, bool)> = None;
    loop {
        let good = half.map_or(offset, |(body, _)| body.offset as usize);
        let rest = bytes.get(offset..).unwrap_or(&[]);
        if rest.iter().all(|b| *b == 0) {
            return (good, half.map(|_| Fault::CutOff));
        }
        let number = if rest[0] == record::HEAD { 0 } else { *index };
        let (content, length) = match record::decode(number, rest) {
            Ok(found) => found,
            Err(fault) => return (good, Some(fault)),
        };
        let place = Place {
            segment,
            offset: offset as u64,
            length,
        };
        match (content, half.take()) {
            (Content::Body(_), None) => half = Some((place, false)),
            (Content::Pruned, None) => half = Some((place, true)),
            (Content::Event { job, envelope }, Some((body, pruned))) => {
                each(Found::Entry {
                    job,
                    envelope,
                    event: place,
                    body,
                    pruned,
                });
                *index += 1;
            }
            (Content::Head { size, .. }, None) if size <= *index => {
                each(Found::Head { size, place });
            }
            _ => return (good, Some(Fault::Order)),
        }
        offset += length;
    }
}

/// Whether a head of more than `size` entries stands behind the damage at the start of `bytes`: what it covers was waited
/// for before it was signed, with all that stands before, so this is not torn writing.
fn is_followed(size: u64, bytes: &[u8]) -> bool {
    (1..bytes.len()).any(|at| {
        bytes[at] == record::HEAD
            && matches!(record::decode(0, &bytes[at..]), Ok((Content::Head { size: of, .. }, _)) if of > size)
    })
}
