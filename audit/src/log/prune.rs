//! Removing bodies: the files are written anew with a mark where a body was.

use std::collections::{BTreeSet, HashMap};

use super::medium::{failed, private, replace};
use super::record::{self, Content};
use super::segment::Place;
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

    /// Writes a file anew without the bodies in `gone`; the old one stays until the new one is whole on disk.
    fn rewrite(&mut self, segment: usize, gone: &BTreeSet<u64>) -> Result<(), LogError> {
        // all records of the file, as they stand
        let mut records: Vec<(Place, u64)> = Vec::new();
        for (index, parts) in (0..).zip(&self.parts) {
            records.extend([(parts.body, index), (parts.event, index)]);
        }
        records.extend(self.heads.places().map(|place| (place, 0)));
        records.retain(|(place, _)| place.segment == segment);
        records.sort_unstable_by_key(|(place, _)| place.offset);

        let old = &self.segments.list[segment];
        let mut bytes = record::header(old.first);
        let mut moved = HashMap::new();
        for (place, index) in records {
            let record = self.segments.read(index, place, |content| match content {
                Content::Body(_) if gone.contains(&index) => record::encode(index, Content::Pruned),
                kept => record::encode(index, kept),
            })?;
            let to = Place {
                offset: bytes.len() as u64,
                length: record.len(),
                ..place
            };
            moved.insert(place.offset, to);
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
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        let new = &mut self.segments.list[segment];
        new.file = file;
        new.end = bytes.len() as u64;
        new.length = new.end;
        let follow = |place: &mut Place| {
            if let (true, Some(to)) = (place.segment == segment, moved.get(&place.offset)) {
                *place = *to;
            }
        };
        for (index, parts) in (0..).zip(&mut self.parts) {
            follow(&mut parts.body);
            follow(&mut parts.event);
            parts.pruned |= gone.contains(&index) && parts.body.segment == segment;
        }
        self.heads.follow(follow);
        Ok(())
    }
}
