//! The writes of a log, in one place so that tests can make them fail.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::LogError;

/// How bytes reach a file and stay there.
pub(super) trait Medium: Send {
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The file system.
#[derive(Debug)]
pub(super) struct Disk;

impl Medium for Disk {
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    move |source| LogError::Io {
        action,
        path,
        source,
    }
}

/// Options for files that only their owner reads.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Creates a folder that only its owner reads, and those above it.
pub(crate) fn create_folder(dir: &Path) -> Result<(), LogError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(failed("create", dir))
}

/// Makes created, renamed and removed files in `dir` durable.
pub(super) fn sync_folder(medium: &mut dyn Medium, dir: &Path) -> Result<(), LogError> {
    File::open(dir)
        .and_then(|dir| medium.sync(&dir))
        .map_err(failed("sync", dir))
}

/// Puts `bytes` into `dir/name`, whole or not at all, also when power fails.
pub(super) fn replace(
    medium: &mut dyn Medium,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<PathBuf, LogError> {
    let path = put(medium, dir, name, bytes)?;
    sync_folder(medium, dir)?;
    Ok(path)
}

/// The same, but the file is sure to be found after a crash only once its folder is synced, too.
pub(super) fn put(
    medium: &mut dyn Medium,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<PathBuf, LogError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let written = (|| {
        let mut file = private()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&new)?;
        medium.write(&mut file, bytes)?;
        medium.sync(&file)?;
        std::fs::rename(&new, &path)
    })();
    if let Err(source) = written {
        // What is left of the new file is overwritten next time.
        return Err(failed("write", &path)(source));
    }
    Ok(path)
}

/// As [`replace`], on the file system itself.
pub(crate) fn replace_file(dir: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, LogError> {
    replace(&mut Disk, dir, name, bytes)
}
