//! One file per command.

pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod coordinator;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod doctor;
mod export;
pub(crate) mod helper;
pub(crate) mod job;
mod leakage;
mod meter;
pub(crate) mod model;
pub(crate) mod party;
pub(crate) mod pki;
pub(crate) mod policy;
pub(crate) mod sandbox;
pub(crate) mod serve;
mod synth;

use std::path::Path;

use crate::failure::Failure;

/// Reads a text file that the caller named.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))
}

/// Writes a file in one step: a reader sees all of it or nothing.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let part = path.with_extension("part");
    std::fs::write(&part, content)
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(|e| {
            // Half a file helps nobody; if it cannot be removed either, the error says why.
            let _ = std::fs::remove_file(&part);
            Failure::file("write", path, &e)
        })
}
