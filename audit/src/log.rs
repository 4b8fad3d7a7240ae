//! The append-only log on disk.
//!
//! A [`Log`] keeps envelopes (opaque bytes to it) in the order of their arrival, each with a body that
//! can later be removed without breaking a proof: only the envelope is hashed into the tree, and it names
//! the body by digest. The entries of each job form a chain of their own: [`Log::append`] hands out the
//! digest of the job's previous envelope and the number of the next.
//!
//! # On disk
//! - `origin`: the format and the name of the log.
//! - `log-N.seg`: records from entry N on, entries and the heads signed, with the cosignatures received; a new file
//!   follows when one is full.
//! - `leaves`: the leaf hashes, written only after the records they stand for are on disk.
//! - `keys`: the public keys that have signed its heads, one a line.
//!
//! # What survives
//! [`Log::append`] returns after body and envelope are on disk. A crash can leave a torn record behind
//! them that nobody was told about: opening cuts it off and says so in [`Opened`]. Everything that has
//! its leaf hash or a checkpoint was safely on disk; if any byte of it is missing or differs, the log is
//! refused. When a write fails, the log accepts nothing more until it is opened again.
//!
//! ```
//! use std::sync::Arc;
//! use ed25519_dalek::SigningKey;
//! use paripassu_audit::log::{Draft, Log, LogError};
//! use paripassu_audit::note::Ed25519Signer;
//!
//! # let dir = tempfile::tempdir()?;
//! let signer = Arc::new(Ed25519Signer::new(SigningKey::from_bytes(&[1; 32])));
//! let (log, opened) = Log::open(&dir.path().join("transcript"), "paripassu/party/bank", signer)?;
//! assert_eq!(opened.size, 0);
//! let entry = log.append("job-7", |link| {
//!     Ok::<_, LogError>(Draft { envelope: format!("event {}", link.seq).into_bytes(), body: b"details".to_vec() })
//! })?;
//! let head = log.checkpoint()?;
//! assert_eq!((entry.index, head.checkpoint().size()), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::merkle::{Hash, leaf_hash};
use crate::note::{CheckedLine, SignedCheckpoint, Signer, VerifierKey};

mod error;
mod heads;
pub(crate) mod medium;
mod open;
mod prune;
pub(crate) mod record;
mod segment;
mod store;
#[cfg(test)]
mod tests;

pub use error::LogError;

use store::Store;

/// Largest envelope.
pub const MAX_ENVELOPE_BYTES: usize = 4 * 1024;
/// Largest body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longest name of a job.
pub const MAX_JOB_BYTES: usize = 128;
/// Size at which a new file is started.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// What an entry is chained to: its job's history at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// SHA-256 of the job's previous envelope; zeros for the first.
    pub prev: Hash,
    /// Number of the entry within its job, from 0.
    pub seq: u64,
}

/// What is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Hashed into the tree and kept for good.
    pub envelope: Vec<u8>,
    /// Kept until pruned.
    pub body: Vec<u8>,
}

/// What was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Place in the log, from 0.
    pub index: u64,
    /// The job it belongs to; empty for the node's own.
    pub job: String,
    /// The envelope's bytes.
    pub envelope: Vec<u8>,
    /// The body's bytes; `None` once pruned.
    pub body: Option<Vec<u8>>,
}

impl Entry {
    /// The hash of this entry in the tree.
    pub fn leaf(&self) -> Hash {
        leaf_hash(&self.envelope)
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opened {
    /// Entries in the log.
    pub size: u64,
    /// Entries of these that were complete on disk but not yet in the list of leaves: the node went
    /// down as they were written.
    pub adopted: u64,
    /// Bodies of these that were pruned.
    pub pruned: u64,
    /// What was cut off, if the last write was torn.
    pub torn: Vec<Torn>,
}

/// The rest of a write that was interrupted, now cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// The file.
    pub file: PathBuf,
    /// Where it now ends.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
}

/// What is wrong with a record, before it is known whether it was ever complete.
#[derive(Debug, Clone)]
struct Damage {
    file: PathBuf,
    segment: usize,
    index: u64,
    offset: u64,
    /// Bytes that are not zeros behind the offset.
    bytes: u64,
    /// Whether a head that covers more stands behind it.
    followed: bool,
    found: &'static str,
}

impl Damage {
    fn into_error(self) -> LogError {
        LogError::Damaged {
            file: self.file,
            index: self.index,
            offset: self.offset,
            found: self.found,
        }
    }
}

/// A node's log; one per node, shared by all its jobs.
pub struct Log {
    origin: String,
    dir: PathBuf,
    store: Mutex<Store>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log")
            .field("origin", &self.origin)
            .field("dir", &self.dir)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log in `dir`, or starts one there, under the name `origin`; `signer` signs its heads.
    ///
    /// # Errors
    /// When the folder is in use, holds another log, or anything that was safely on disk is missing or
    /// changed.
    pub fn open(
        dir: &Path,
        origin: &str,
        signer: Arc<dyn Signer>,
    ) -> Result<(Self, Opened), LogError> {
        Self::open_with(dir, origin, signer, SEGMENT_BYTES)
    }

    /// As [`Log::open`], with files of about `segment_bytes`.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_with(
        dir: &Path,
        origin: &str,
        signer: Arc<dyn Signer>,
        segment_bytes: u64,
    ) -> Result<(Self, Opened), LogError> {
        Self::open_on(Box::new(medium::Disk), dir, origin, signer, segment_bytes)
    }

    /// Opens the log in `dir` for reading, as far as its last signed head covers it; a node may be writing to
    /// it meanwhile. Returns how many entries stand behind that head, too.
    ///
    /// # Errors
    /// When there is no log, or what the head covers is missing or changed.
    pub fn read(dir: &Path) -> Result<(Self, u64), LogError> {
        let (store, origin, behind) = open::read(dir)?;
        let log = Self {
            origin,
            dir: dir.to_owned(),
            store: Mutex::new(store),
        };
        Ok((log, behind))
    }

    fn open_on(
        medium: Box<dyn medium::Medium>,
        dir: &Path,
        origin: &str,
        signer: Arc<dyn Signer>,
        segment_bytes: u64,
    ) -> Result<(Self, Opened), LogError> {
        let (store, opened) = open::open(medium, dir, origin, signer, segment_bytes)?;
        let log = Self {
            origin: origin.to_owned(),
            dir: dir.to_owned(),
            store: Mutex::new(store),
        };
        Ok((log, opened))
    }

    /// Appends what `make` returns to the log and to the chain of `job`, and waits until it is on disk.
    ///
    /// # Errors
    /// When `make` fails (nothing is written then), an envelope or body is too large, or a write fails;
    /// after a failed write, always.
    pub fn append<E: From<LogError>>(
        &self,
        job: &str,
        make: impl FnOnce(Link) -> Result<Draft, E>,
    ) -> Result<Entry, E> {
        let mut store = self.lock();
        let entry = store.append(job, make)?;
        store.sync()?;
        Ok(entry)
    }

    /// As [`Log::append`], but does not wait for the disk: a later [`Log::sync`], append or checkpoint does.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append_unsynced<E: From<LogError>>(
        &self,
        job: &str,
        make: impl FnOnce(Link) -> Result<Draft, E>,
    ) -> Result<Entry, E> {
        self.lock().append(job, make)
    }

    /// Waits until everything appended is on disk.
    ///
    /// # Errors
    /// When a write fails or failed before.
    pub fn sync(&self) -> Result<(), LogError> {
        self.lock().sync()
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of entries.
    pub fn size(&self) -> u64 {
        self.lock().tree.size()
    }

    /// Root over all entries.
    pub fn root(&self) -> Hash {
        self.lock().tree.root()
    }

    /// Root over the first `size` entries.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn root_at(&self, size: u64) -> Result<Hash, LogError> {
        Ok(self.lock().tree.root_at(size)?)
    }

    /// The proof that entry `index` is among the first `size`.
    ///
    /// # Errors
    /// When it is not.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        Ok(self.lock().tree.inclusion_proof(index, size)?)
    }

    /// The proof that the log of `new` entries extends that of `old`.
    ///
    /// # Errors
    /// When there are fewer than `new` entries or `old` exceeds `new`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LogError> {
        Ok(self.lock().tree.consistency_proof(old, new)?)
    }

    /// What the next entry of `job` will be chained to.
    pub fn link(&self, job: &str) -> Link {
        self.lock().link(job)
    }

    /// The entry at `index`.
    ///
    /// # Errors
    /// When there is none or the file was changed since it was written.
    pub fn entry(&self, index: u64) -> Result<Entry, LogError> {
        self.lock().entry(index)
    }

    /// The entries of `job` in order; those of the node itself for an empty name.
    ///
    /// # Errors
    /// When a file was changed since it was written.
    pub fn job_entries(&self, job: &str) -> Result<Vec<Entry>, LogError> {
        let store = self.lock();
        let indexes = store.jobs.get(job).map_or(&[][..], |chain| &chain.entries);
        indexes.iter().map(|index| store.entry(*index)).collect()
    }

    /// All jobs with entries, sorted; the node's own entries stand under the empty name.
    pub fn jobs(&self) -> Vec<String> {
        let mut jobs: Vec<_> = self.lock().jobs.keys().map(ToString::to_string).collect();
        jobs.sort();
        jobs
    }

    /// Signs the head of the log and keeps it. For an unchanged log it is the head signed before, with
    /// its cosignatures.
    ///
    /// # Errors
    /// When the key cannot sign or a write fails.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, LogError> {
        self.lock().checkpoint(&self.origin)
    }

    /// As [`Log::checkpoint`], but the head itself is on disk only once it is cosigned; what it covers is before
    /// this returns.
    ///
    /// # Errors
    /// As [`Log::checkpoint`].
    pub fn head(&self) -> Result<SignedCheckpoint, LogError> {
        self.lock().head(&self.origin)
    }

    /// Brings the head that was signed for `size` entries to disk, if it is not there.
    ///
    /// # Errors
    /// When a write fails.
    pub fn keep_head(&self, size: u64) -> Result<(), LogError> {
        self.lock().keep(size)
    }

    /// The keys that have signed heads of this log, oldest first; the last one signs now.
    ///
    /// # Errors
    /// When the list was changed.
    pub fn keys(&self) -> Result<Vec<VerifierKey>, LogError> {
        heads::keys(&self.lock().dir, &self.origin)
    }

    /// The sizes for which heads were signed, ascending.
    ///
    /// # Errors
    pub fn checkpoint_sizes(&self) -> Vec<u64> {
        self.lock().heads.sizes()
    }

    /// The head that was signed for `size` entries, with the cosignatures received.
    ///
    /// # Errors
    /// When the file is malformed or says something else than this log.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<SignedCheckpoint>, LogError> {
        self.lock().signed(&self.origin, size)
    }

    /// Adds witnesses' lines, checked against the heads that this log signed ([`SignedCheckpoint::check`]), and keeps
    /// them: a head is written once for all its lines. It does not wait for the disk: the next entry that does, a
    /// checkpoint or [`Log::sync`] brings them there. Lines that are lost as power fails are lost to this log alone; the
    /// witnesses remember the head, and a later one, cosigned, covers what it covered.
    ///
    /// # Errors
    /// When there is no such head, or a write fails.
    pub fn add_cosignatures(&self, lines: Vec<CheckedLine>) -> Result<(), LogError> {
        self.lock().add_cosignatures(&self.origin, lines)
    }

    /// Removes the bodies of all entries for which `remove` says so; returns how many. The entry given
    /// to it has no body.
    ///
    /// # Errors
    /// When a write fails.
    pub fn prune_bodies(&self, remove: impl FnMut(&Entry) -> bool) -> Result<u64, LogError> {
        self.lock().prune(remove)
    }

    /// Ends writing and lets another writer open the log, while handles of this one are still about.
    /// What was appended and not yet waited for is brought to disk.
    ///
    /// # Errors
    /// When a write fails or failed before; the log is closed all the same.
    pub fn close(&self) -> Result<(), LogError> {
        let mut store = self.lock();
        let synced = store.sync();
        store.close();
        synced
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // A store whose writer panicked has stopped itself: see `Store::guarded`.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(envelope: &[u8]) -> Hash {
    Sha256::digest(envelope).into()
}
