//! Customer ids as a stream of batches.

use crate::abort::Abort;

/// Some rows' ids, one after another in one buffer.
#[derive(Debug, Default)]
pub struct IdBatch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl IdBatch {
    /// Appends the next row's id.
    pub fn push(&mut self, id: &[u8]) {
        self.bytes.extend_from_slice(id);
        self.ends.push(self.bytes.len());
    }

    /// Number of rows held.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no row is held.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ids, in row order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let id = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            id
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// A table's normalised ids, read once from the first row to the last.
///
/// Called off the reactor, so it may read files.
pub trait Ids: Send {
    /// Pushes the next rows' ids, about `limit` of them, onto an empty batch. Pushing none ends
    /// the table.
    ///
    /// # Errors
    /// [`Abort::Input`], naming file and row, when the table cannot be read.
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort>;
}

/// Ids from any iterator, for tables in memory.
#[derive(Debug)]
pub struct IterIds<I>(pub I);

impl<I> Ids for IterIds<I>
where
    I: Iterator<Item: AsRef<[u8]>> + Send,
{
    fn read(&mut self, limit: usize, batch: &mut IdBatch) -> Result<(), Abort> {
        for id in self.0.by_ref().take(limit) {
            batch.push(id.as_ref());
        }
        Ok(())
    }
}
