//! What a log keeps open, and appending to it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::heads::Heads;
use super::medium::{Medium, failed};
use super::record::{self, Content};
use super::segment::{Place, Segments};
use super::{
    Draft, Entry, Link, LogError, MAX_BODY_BYTES, MAX_ENVELOPE_BYTES, MAX_JOB_BYTES, digest, heads,
};
use crate::merkle::{Hash, Tree, leaf_hash};
use crate::note::{CheckedLine, SignedCheckpoint, Signer};

/// Most signed heads that are kept in memory only.
const MAX_PENDING: usize = 256;

/// Where the parts of an entry stand.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) event: Place,
    pub(super) body: Place,
    pub(super) pruned: bool,
    pub(super) job: Arc<str>,
}

/// The entries of a job at this node.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) entries: Vec<u64>,
    pub(super) last: Hash,
}

pub(super) struct Store {
    pub(super) dir: PathBuf,
    pub(super) medium: Box<dyn Medium>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) segment_bytes: u64,
    pub(super) segments: Segments,
    pub(super) heads: Heads,
    pub(super) leaves: File,
    /// Leaves that the file has; the tree may have more until the next sync.
    pub(super) written: u64,
    pub(super) tree: Tree,
    pub(super) parts: Vec<Parts>,
    pub(super) jobs: HashMap<Arc<str>, Chain>,
    /// Heads that are signed and not yet on disk, by size. A crash loses nothing with them: their entries are
    /// on disk, and a later head is signed over them again.
    pub(super) pending: BTreeMap<u64, SignedCheckpoint>,
    /// Whether heads were written that the disk was not waited for.
    pub(super) unsynced: bool,
    pub(super) stopped: Option<String>,
    /// Held while the log is open.
    pub(super) lock: Option<File>,
}

impl Store {
    /// Runs what writes; after the first failure, or a panic within, nothing runs any more.
    pub(super) fn guarded<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check()?;
        self.stopped = Some("a write was interrupted".to_owned());
        let result = write(self);
        self.stopped = result.as_ref().err().map(ToString::to_string);
        result
    }

    fn check(&self) -> Result<(), LogError> {
        match &self.stopped {
            None => Ok(()),
            Some(cause) => Err(LogError::Stopped {
                dir: self.dir.clone(),
                cause: cause.clone(),
            }),
        }
    }

    /// Nothing is written any more; whoever opens the log next may.
    pub(super) fn close(&mut self) {
        self.stopped
            .get_or_insert_with(|| "it was closed".to_owned());
        // a lock that cannot be given back is given back with the file
        drop(self.lock.take());
    }

    pub(super) fn link(&self, job: &str) -> Link {
        self.jobs.get(job).map_or_else(Link::default, |chain| Link {
            prev: chain.last,
            seq: chain.entries.len() as u64,
        })
    }

    pub(super) fn append<E: From<LogError>>(
        &mut self,
        job: &str,
        make: impl FnOnce(Link) -> Result<Draft, E>,
    ) -> Result<Entry, E> {
        self.check()?;
        within("name of the job", job.len(), MAX_JOB_BYTES)?;
        let draft = make(self.link(job))?;
        within("envelope", draft.envelope.len(), MAX_ENVELOPE_BYTES)?;
        within("body", draft.body.len(), MAX_BODY_BYTES)?;
        Ok(self.guarded(|store| store.write(job, draft))?)
    }

    fn write(&mut self, job: &str, draft: Draft) -> Result<Entry, LogError> {
        let index = self.tree.size();
        let event = Content::Event {
            job,
            envelope: &draft.envelope,
        };
        let event = record::encode(index, event);
        let body = record::encode(index, Content::Body(&draft.body));
        let limit = self.segment_bytes;
        if self
            .segments
            .is_full(index, body.len() + event.len(), limit)
        {
            // Only the last file may ever be torn: what is in the others is on disk first.
            self.flush()?;
            self.segments.start(self.medium.as_mut(), index)?;
        }
        let medium = self.medium.as_mut();
        let body = self.segments.append(medium, body, limit)?;
        let event = self.segments.append(medium, event, limit)?;
        let (leaf, digest) = (leaf_hash(&draft.envelope), digest(&draft.envelope));
        self.add(job, leaf, digest, (event, body, false));
        Ok(Entry {
            index,
            job: job.to_owned(),
            envelope: draft.envelope,
            body: Some(draft.body),
        })
    }

    /// Takes an entry whose records stand on disk into the tree and its job's chain.
    pub(super) fn add(
        &mut self,
        job: &str,
        leaf: Hash,
        digest: Hash,
        (event, body, pruned): (Place, Place, bool),
    ) {
        let job = match self.jobs.get_key_value(job) {
            Some((job, _)) => Arc::clone(job),
            None => Arc::from(job),
        };
        let index = self.tree.append(leaf);
        let chain = self.jobs.entry(Arc::clone(&job)).or_default();
        chain.entries.push(index);
        chain.last = digest;
        self.parts.push(Parts {
            event,
            body,
            pruned,
            job,
        });
    }

    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        self.guarded(Self::flush)
    }

    /// Brings all records to disk and then notes their leaves.
    pub(super) fn flush(&mut self) -> Result<(), LogError> {
        let size = self.tree.size();
        if self.written == size && !self.unsynced {
            return Ok(());
        }
        let medium = self.medium.as_mut();
        self.segments.sync(medium)?;
        self.unsynced = false;
        if self.written == size {
            return Ok(());
        }
        let leaves: Vec<u8> = (self.written..size)
            .filter_map(|index| self.tree.leaf(index))
            .flatten()
            .collect();
        medium
            .write(&mut self.leaves, &leaves)
            .map_err(failed("append to", &self.dir.join("leaves")))?;
        self.written = size;
        Ok(())
    }

    pub(super) fn entry(&self, index: u64) -> Result<Entry, LogError> {
        let mut entry = self.envelope(index)?;
        if let Some(parts) = self.parts(index)
            && !parts.pruned
        {
            entry.body = self
                .segments
                .read(index, parts.body, |content| match content {
                    Content::Body(body) => Some(body.to_vec()),
                    Content::Event { .. } | Content::Pruned | Content::Head { .. } => None,
                })?;
        }
        Ok(entry)
    }

    /// The entry without its body.
    pub(super) fn envelope(&self, index: u64) -> Result<Entry, LogError> {
        let size = self.tree.size();
        let parts = self.parts(index).ok_or(LogError::NoEntry { index, size })?;
        let envelope = self
            .segments
            .read(index, parts.event, |content| match content {
                Content::Event { envelope, .. } => envelope.to_vec(),
                Content::Body(_) | Content::Pruned | Content::Head { .. } => Vec::new(),
            })?;
        if self.tree.leaf(index) != Some(leaf_hash(&envelope)) {
            return Err(LogError::Damaged {
                file: self.segments.list[parts.event.segment].path.clone(),
                index,
                offset: parts.event.offset,
                found: "it is another event than the one recorded",
            });
        }
        Ok(Entry {
            index,
            job: parts.job.to_string(),
            envelope,
            body: None,
        })
    }

    fn parts(&self, index: u64) -> Option<&Parts> {
        self.parts.get(usize::try_from(index).ok()?)
    }

    pub(super) fn checkpoint(&mut self, origin: &str) -> Result<SignedCheckpoint, LogError> {
        let head = self.head(origin)?;
        self.keep(head.checkpoint().size())?;
        Ok(head)
    }

    /// Signs the head of what is on disk, without bringing the head itself there.
    pub(super) fn head(&mut self, origin: &str) -> Result<SignedCheckpoint, LogError> {
        self.sync()?;
        let signer = Arc::clone(&self.signer);
        if let Some(head) = self.signed(origin, self.tree.size())?
            && head.verify(&heads::log_key(origin, &*signer)?).is_ok()
        {
            return Ok(head);
        }
        let head = heads::sign(origin, &self.tree, &*signer)?;
        self.pending.insert(head.checkpoint().size(), head.clone());
        // those that nobody cosigned are of no use to anybody
        while self.pending.len() > MAX_PENDING {
            self.pending.pop_first();
        }
        Ok(head)
    }

    /// The head that was signed for this size.
    pub(super) fn signed(
        &self,
        origin: &str,
        size: u64,
    ) -> Result<Option<SignedCheckpoint>, LogError> {
        match self.pending.get(&size) {
            Some(head) => Ok(Some(head.clone())),
            None => self.heads.read(&self.segments, origin, size, &self.tree),
        }
    }

    /// Brings the head of this size to disk, if it is not there.
    pub(super) fn keep(&mut self, size: u64) -> Result<(), LogError> {
        let Some(head) = self.pending.get(&size).cloned() else {
            return self.sync();
        };
        self.guarded(|store| {
            store.write_heads([&head])?;
            store.flush()
        })?;
        self.pending.remove(&size);
        Ok(())
    }

    fn write_heads<'a>(
        &mut self,
        heads: impl IntoIterator<Item = &'a SignedCheckpoint>,
    ) -> Result<(), LogError> {
        let medium = self.medium.as_mut();
        if self.segments.list.is_empty() {
            self.segments.start(medium, 0)?;
        }
        self.unsynced = true;
        self.heads
            .write(&mut self.segments, medium, heads, self.segment_bytes)
    }

    /// Adds lines to the heads that they sign, and writes these: each once, however many lines it got.
    pub(super) fn add_cosignatures(
        &mut self,
        origin: &str,
        lines: Vec<CheckedLine>,
    ) -> Result<(), LogError> {
        let mut signed: BTreeMap<u64, SignedCheckpoint> = BTreeMap::new();
        for line in lines {
            let size = line.head().size();
            let mut head = match signed.remove(&size) {
                Some(head) => head,
                None => self.signed(origin, size)?.ok_or_else(|| LogError::NoHead {
                    dir: self.dir.clone(),
                    size,
                })?,
            };
            head.add_checked(line)?;
            signed.insert(size, head);
        }
        if signed.is_empty() {
            return Ok(());
        }
        self.guarded(|store| store.write_heads(signed.values()))?;
        self.pending.retain(|size, _| !signed.contains_key(size));
        Ok(())
    }
}

fn within(what: &'static str, got: usize, limit: usize) -> Result<(), LogError> {
    if got <= limit {
        Ok(())
    } else {
        Err(LogError::TooLarge { what, limit, got })
    }
}
