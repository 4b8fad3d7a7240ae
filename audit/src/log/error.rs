//! Why a log is not opened, read or written.

use std::io;
use std::path::PathBuf;

use crate::merkle::MerkleError;
use crate::note::NoteError;

/// Why a log is not opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has the log open.
    #[error("the transcript in {} is in use: stop the other node first, a log has one writer", dir.display())]
    InUse {
        /// The folder of the log.
        dir: PathBuf,
    },
    /// The folder holds another node's log.
    #[error(
        "{} holds the transcript of `{got}`, not of `{expected}`: point this node to its own state folder",
        dir.display()
    )]
    Origin {
        /// The folder of the log.
        dir: PathBuf,
        /// The origin asked for.
        expected: String,
        /// The origin found.
        got: String,
    },
    /// Something that was safely on disk is not there as it was.
    #[error(
        "the transcript is damaged at entry {index}, {} at byte {offset}: {found}. This was safely on disk \
         before, so it was changed afterwards; keep the folder as evidence, restore it from a backup taken \
         after the last checkpoint, or start a new log in another folder under a new origin and tell the \
         other members",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The first entry that is not as it was.
        index: u64,
        /// Where its record begins.
        offset: u64,
        /// What is wrong there.
        found: &'static str,
    },
    /// A file of the log is not there.
    #[error(
        "the transcript lacks {}, which holds entries from {index}: restore that file from a backup; the log \
         is not opened with a gap",
        file.display()
    )]
    Missing {
        /// The file that should be there.
        file: PathBuf,
        /// Its first entry.
        index: u64,
    },
    /// The log has fewer entries than its own checkpoint or index says.
    #[error(
        "the transcript in {} has {size} entries, but {witnessed_by} says {expected}: an older copy was \
         restored or entries were removed. Restore the newest backup; if there is none, start a new log in \
         another folder under a new origin and tell the other members, who will refuse this one",
        dir.display()
    )]
    Shorter {
        /// The folder of the log.
        dir: PathBuf,
        /// Entries found.
        size: u64,
        /// Entries there must be.
        expected: u64,
        /// What says so.
        witnessed_by: &'static str,
    },
    /// The log does not lead to the root it signed.
    #[error(
        "the first {size} entries of the transcript do not have the root that {} was signed for: entries were \
         changed. Keep the folder as evidence and restore it from a backup",
        file.display()
    )]
    Root {
        /// The checkpoint.
        file: PathBuf,
        /// Its size.
        size: u64,
    },
    /// A stored checkpoint cannot be used.
    #[error("the checkpoint {} is not valid: {source}. Restore that file from a backup", file.display())]
    Checkpoint {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: NoteError,
    },
    /// Something is larger than a log takes.
    #[error("the {what} has {got} bytes; a transcript takes at most {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The most there may be.
        limit: usize,
        /// Bytes given.
        got: usize,
    },
    /// No such entry.
    #[error("the transcript has entries 0 to {size} (exclusive), not {index}")]
    NoEntry {
        /// The entry asked for.
        index: u64,
        /// Entries there are.
        size: u64,
    },
    /// No head was signed for so many entries.
    #[error("the transcript in {} has no head of {size} entries", dir.display())]
    NoHead {
        /// The folder of the log.
        dir: PathBuf,
        /// The size asked for.
        size: u64,
    },
    /// An earlier write failed.
    #[error(
        "the transcript in {} failed to write before ({cause}); nothing is recorded until the node is \
         restarted with the cause removed",
        dir.display()
    )]
    Stopped {
        /// The folder of the log.
        dir: PathBuf,
        /// The first failure.
        cause: String,
    },
    /// Sizes out of range.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// The checkpoint cannot be signed or a cosignature not be kept.
    #[error(transparent)]
    Note(#[from] NoteError),
}
