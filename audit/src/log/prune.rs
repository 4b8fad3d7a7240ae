//! Removing bodies: the files are written anew with a mark where a body was.

use std::collections::BTreeSet;

use super::medium::{failed, private, replace};
use super::record::{self, Content};
use super::store::Store;
use super::{Entry, LogError};

impl Store {
    pub(super) fn prune(
        &mut self,
        mut remove: impl FnMut(&Entry) -> bool,
    ) -> Result<u64, LogError> {
        self.sync()?;
        let mut gone = BTreeSet::new();
        let mut touched = BTreeSet::new();
        for (index, parts) in (0..).zip(&self.parts) {
            if !parts.pruned && remove(&self.envelope(index)?) {
                gone.insert(index);
                touched.insert(parts.body.segment);
            }
        }
        for segment in touched {
            self.guarded(|store| store.rewrite(segment, &gone))?;
        }
        Ok(gone.len() as u64)
    }

    /// Writes a file of bodies anew without those in `gone`; the old one stays until the new one is
    /// whole on disk.
    fn rewrite(&mut self, segment: usize, gone: &BTreeSet<u64>) -> Result<(), LogError> {
        let old = &self.bodies.list[segment];
        let mut bytes = record::header(self.bodies.kind, old.first);
        let mut moved = Vec::new();
        for (index, parts) in (0..).zip(&self.parts) {
            if parts.body.segment != segment {
                continue;
            }
            let pruned = parts.pruned || gone.contains(&index);
            let record = if pruned {
                record::encode(index, Content::Pruned)
            } else {
                self.bodies
                    .read(index, parts.body, |content| record::encode(index, content))?
            };
            moved.push((index, bytes.len() as u64, record.len(), pruned));
            bytes.extend(record);
        }
        let path = old.path.clone();
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        replace(self.medium.as_mut(), &self.dir, &name, &bytes)?;
        let file = private()
            .read(true)
            .append(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        let new = &mut self.bodies.list[segment];
        new.file = file;
        new.bytes = bytes.len() as u64;
        for (index, offset, length, pruned) in moved {
            let parts = usize::try_from(index)
                .ok()
                .and_then(|index| self.parts.get_mut(index));
            if let Some(parts) = parts {
                parts.body.offset = offset;
                parts.body.length = length;
                parts.pruned = pruned;
            }
        }
        Ok(())
    }
}
