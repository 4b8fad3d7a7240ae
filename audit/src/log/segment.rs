//! Segment files: one kind, one first index, records one after another.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::medium::{Medium, failed, private, sync_folder};
use super::record::{self, Content, HEADER_BYTES, Kind};
use super::{Damage, LogError};

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
    pub(super) bytes: u64,
}

/// All segments of one kind, in order; the last one grows.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) kind: Kind,
    pub(super) dir: PathBuf,
    pub(super) list: Vec<Segment>,
}

impl Segments {
    pub(super) fn path(dir: &Path, kind: Kind, first: u64) -> PathBuf {
        dir.join(format!("{}{first:020}.seg", kind.prefix()))
    }

    /// Opens every file of the kind, in the order of their first indexes; for writing where `write` says so.
    pub(super) fn find(dir: &Path, kind: Kind, write: bool) -> Result<Self, LogError> {
        let mut firsts = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed("list", dir))? {
            let name = entry.map_err(failed("list", dir))?.file_name();
            let digits = name
                .to_str()
                .and_then(|name| name.strip_prefix(kind.prefix()))
                .and_then(|name| name.strip_suffix(".seg"));
            if let Some(first) = digits.and_then(|digits| digits.parse::<u64>().ok()) {
                firsts.push(first);
            }
        }
        firsts.sort_unstable();
        let mut list = Vec::with_capacity(firsts.len());
        for first in firsts {
            let path = Self::path(dir, kind, first);
            let file = private()
                .read(true)
                .append(write)
                .open(&path)
                .map_err(failed("open", &path))?;
            let bytes = file.metadata().map_err(failed("open", &path))?.len();
            list.push(Segment {
                first,
                path,
                file,
                bytes,
            });
        }
        Ok(Self {
            kind,
            dir: dir.to_owned(),
            list,
        })
    }

    /// Reads all records from the first on; `each` sees them in order. Ends with the number of good
    /// records, and what is wrong with the next one, if anything.
    pub(super) fn scan(
        &self,
        mut each: impl FnMut(Content<'_>, Place),
    ) -> Result<(u64, Option<Damage>), LogError> {
        let mut index = 0;
        for (segment, file) in self.list.iter().enumerate() {
            if file.first != index {
                return Err(LogError::Missing {
                    file: Self::path(&self.dir, self.kind, index),
                    index,
                });
            }
            let bytes = std::fs::read(&file.path).map_err(failed("read", &file.path))?;
            let damage = |fault: record::Fault, offset: usize, index| {
                Some(Damage {
                    file: file.path.clone(),
                    segment,
                    index,
                    offset: offset as u64,
                    found: fault.text(),
                })
            };
            if let Err(fault) = record::check_header(self.kind, file.first, &bytes) {
                return Ok((index, damage(fault, 0, index)));
            }
            let mut offset = HEADER_BYTES;
            while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
                match record::decode(self.kind, index, rest) {
                    Ok((content, length)) => {
                        let place = Place {
                            segment,
                            offset: offset as u64,
                            length,
                        };
                        each(content, place);
                        offset += length;
                        index += 1;
                    }
                    Err(fault) => return Ok((index, damage(fault, offset, index))),
                }
            }
        }
        Ok((index, None))
    }

    /// Reads the record of entry `index` and hands it to `with`.
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
        match record::decode(self.kind, index, &bytes) {
            Ok((content, _)) => Ok(with(content)),
            Err(fault) => Err(LogError::Damaged {
                file: segment.path.clone(),
                index,
                offset: place.offset,
                found: fault.text(),
            }),
        }
    }

    /// Whether the record of `length` bytes needs a new file, given the size at which files are full.
    pub(super) fn is_full(&self, length: usize, limit: u64) -> bool {
        self.list.last().is_none_or(|last| {
            last.bytes > HEADER_BYTES as u64 && last.bytes + length as u64 > limit
        })
    }

    /// Starts a new file, whose first record is that of entry `first`.
    pub(super) fn start(&mut self, medium: &mut dyn Medium, first: u64) -> Result<(), LogError> {
        let path = Self::path(&self.dir, self.kind, first);
        let header = record::header(self.kind, first);
        let file = (|| {
            let mut file = private()
                .read(true)
                .append(true)
                .create_new(true)
                .open(&path)?;
            medium.write(&mut file, &header)?;
            medium.sync(&file)?;
            Ok(file)
        })()
        .map_err(failed("create", &path))?;
        sync_folder(medium, &self.dir)?;
        self.list.push(Segment {
            first,
            path,
            file,
            bytes: header.len() as u64,
        });
        Ok(())
    }

    /// Appends a record to the last file.
    pub(super) fn append(
        &mut self,
        medium: &mut dyn Medium,
        record: &[u8],
    ) -> Result<Place, LogError> {
        let segment = self.list.len().saturating_sub(1);
        let Some(last) = self.list.last_mut() else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(failed("append to", &self.dir)(source));
        };
        medium
            .write(&mut last.file, record)
            .map_err(failed("append to", &last.path))?;
        let place = Place {
            segment,
            offset: last.bytes,
            length: record.len(),
        };
        last.bytes += record.len() as u64;
        Ok(place)
    }

    /// Brings the last file to disk.
    pub(super) fn sync(&self, medium: &mut dyn Medium) -> Result<(), LogError> {
        let Some(last) = self.list.last() else {
            return Ok(());
        };
        medium.sync(&last.file).map_err(failed("sync", &last.path))
    }

    /// Brings the last files of both to disk, at the same time.
    pub(super) fn sync_both(a: &Self, b: &Self, medium: &mut dyn Medium) -> Result<(), LogError> {
        let (Some(a), Some(b)) = (a.list.last(), b.list.last()) else {
            return Ok(());
        };
        let [first, second] = medium.sync_both(&a.file, &b.file);
        first.map_err(failed("sync", &a.path))?;
        second.map_err(failed("sync", &b.path))
    }

    /// Cuts everything from `place` on; it is in the last file.
    pub(super) fn cut(&mut self, medium: &mut dyn Medium, offset: u64) -> Result<(), LogError> {
        let Some(last) = self.list.last_mut() else {
            return Ok(());
        };
        if offset < HEADER_BYTES as u64 {
            let path = last.path.clone();
            self.list.pop();
            std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            return sync_folder(medium, &self.dir);
        }
        last.file
            .set_len(offset)
            .and_then(|()| medium.sync(&last.file))
            .map_err(failed("cut", &last.path))?;
        last.bytes = offset;
        Ok(())
    }
}
