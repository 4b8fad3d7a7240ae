//! Countersigning the logs of others, only ever forward.
//!
//! A [`Witness`] remembers, per log, the last checkpoint it cosigned. It cosigns another one only if that
//! is signed by the log and proved to extend what it remembers. Anything else is refused, and the two
//! contradicting notes are kept in a file: two heads of one log, both signed by it, that cannot both be
//! true, are evidence that needs no trust in whoever shows it.
//!
//! What it remembers is on disk before a cosignature is handed out, so that a restart forgets nothing. The
//! first checkpoint of a log is taken as it is.
//!
//! # On disk
//! - `ORIGIN.last`, ORIGIN being SHA-256 of the log's name in hex: the last note, with our cosignature, and the one
//!   before, in two places that are written in turn.
//! - `evidence/KIND-DIGEST.json`: what was refused.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::canonical::{self, CanonicalError};
use crate::log::LogError;
use crate::log::medium::{create_folder, failed, replace_file};
use crate::merkle::{Hash, MerkleError, verify_consistency};
use crate::note::{NoteError, NoteSignature, SignatureType, SignedCheckpoint, Signer, VerifierKey};

mod memory;
#[cfg(test)]
mod tests;

use memory::Memory;

/// Most files of evidence that are kept; further contradictions are refused without a file.
pub const MAX_EVIDENCE: usize = 1_000;

const EVIDENCE: &str = "evidence";

/// How two checkpoints of a log contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Contradiction {
    /// The log has become smaller: an older copy was restored or entries were removed.
    Rollback,
    /// Two different roots for one size: two histories.
    Fork,
    /// The larger tree was not shown to extend the smaller one.
    NotExtended,
}

impl Contradiction {
    fn code(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Fork => "fork",
            Self::NotExtended => "not-extended",
        }
    }
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rollback => "the log has become smaller",
            Self::Fork => "the log has two roots for one size",
            Self::NotExtended => {
                "the proof does not show that the log extends the one cosigned before"
            }
        })
    }
}

/// Two notes of one log that contradict each other, as kept in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How they contradict.
    pub kind: Contradiction,
    /// The log.
    pub origin: String,
    /// The key that signed the note refused, as `name+id+key`.
    pub key: String,
    /// When it was refused, in seconds since 1970.
    pub at: u64,
    /// The note cosigned before.
    pub before: String,
    /// The note refused.
    pub refused: String,
    /// The consistency proof given with it, in base64.
    pub proof: Vec<String>,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WitnessError {
    /// The note is malformed, of another log or not signed by it.
    #[error("the checkpoint is not cosigned: {0}")]
    Note(#[from] NoteError),
    /// The note is of another log than the key.
    #[error("the checkpoint is of `{got}`, the key of `{expected}`")]
    Origin {
        /// The log whose key was given.
        expected: String,
        /// The log of the note.
        got: String,
    },
    /// The log contradicts itself.
    #[error(
        "the log `{origin}` is not cosigned: {kind} (cosigned before: {before} entries; shown now: {now}). {}Ask \
         its operator what was restored or changed; do not run jobs with this node until it is explained",
        evidence.as_ref().map_or_else(String::new, |file| format!("Both notes are kept in {}. ", file.display()))
    )]
    Contradiction {
        /// How.
        kind: Contradiction,
        /// The log.
        origin: String,
        /// Entries when cosigned before.
        before: u64,
        /// Entries now.
        now: u64,
        /// Where both notes are kept.
        evidence: Option<PathBuf>,
    },
    /// A proof was given although nothing was cosigned before.
    #[error("the log `{origin}` is not known here yet: its first checkpoint comes without a proof")]
    Unknown {
        /// The log.
        origin: String,
    },
    /// What was remembered cannot be read.
    #[error(
        "what this witness remembers of a log, {}, was changed: {source}. Restore that file from a backup; \
         without it the witness would believe whatever it is shown",
        file.display()
    )]
    Memory {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: NoteError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Disk(#[from] LogError),
    /// The evidence cannot be written down.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

/// Cosigns the checkpoints of other logs and remembers them.
pub struct Witness {
    dir: PathBuf,
    key: VerifierKey,
    signer: Arc<dyn Signer>,
    last: Mutex<HashMap<String, Known>>,
}

/// What is remembered of a log, and the file that holds it.
struct Known {
    head: SignedCheckpoint,
    memory: Memory,
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness")
            .field("key", &self.key.to_string())
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Witness {
    /// A witness that signs under `name` and remembers in `dir`.
    ///
    /// # Errors
    /// When the name is not a key name or the folder cannot be created.
    pub fn open(dir: &Path, name: &str, signer: Arc<dyn Signer>) -> Result<Self, WitnessError> {
        let key = VerifierKey::of(name, SignatureType::Cosignature, &*signer)?;
        create_folder(&dir.join(EVIDENCE))?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
            signer,
            last: Mutex::default(),
        })
    }

    /// The key that checks its cosignatures.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The last checkpoint cosigned of the log `origin`: what the next one must be proved to extend.
    ///
    /// # Errors
    /// When the file that remembers it was changed or cannot be read.
    pub fn last(&self, origin: &str) -> Result<Option<SignedCheckpoint>, WitnessError> {
        let mut last = self.lock();
        Ok(self
            .remembered(&mut last, origin)?
            .map(|known| known.head.clone()))
    }

    /// Cosigns `note` at `now` (seconds since 1970) if `log` has signed it and `proof` shows that it
    /// extends the last one cosigned. The same checkpoint can be cosigned again.
    ///
    /// # Errors
    /// When the note is malformed or not signed by the log; when it contradicts what was cosigned before,
    /// which is kept as evidence; when the memory cannot be read or written.
    pub fn cosign(
        &self,
        note: &str,
        proof: &[Hash],
        log: &VerifierKey,
        now: u64,
    ) -> Result<NoteSignature, WitnessError> {
        let shown = SignedCheckpoint::parse(note)?;
        let origin = shown.checkpoint().origin().to_owned();
        if origin != log.name() {
            return Err(WitnessError::Origin {
                expected: log.name().to_owned(),
                got: origin,
            });
        }
        let mut shown = shown.of(log)?;
        let mut last = self.lock();
        let known = self.remembered(&mut last, &origin)?;
        match &known {
            None if proof.is_empty() => {}
            None => return Err(WitnessError::Unknown { origin }),
            Some(Known { head: before, .. }) => {
                if let Some(kind) = contradiction(before, &shown, proof) {
                    let (from, to) = (before.checkpoint().size(), shown.checkpoint().size());
                    let evidence = self.keep(&Evidence {
                        kind,
                        origin: origin.clone(),
                        key: log.to_string(),
                        at: now,
                        before: before.to_string(),
                        refused: shown.to_string(),
                        proof: proof.iter().map(|hash| STANDARD.encode(hash)).collect(),
                    })?;
                    return Err(WitnessError::Contradiction {
                        kind,
                        origin,
                        before: from,
                        now: to,
                        evidence,
                    });
                }
            }
        }
        let cosignature = shown.cosign(self.key.name(), now, &*self.signer)?.clone();
        // Remembered first: a cosignature that is out is never forgotten.
        match known {
            Some(known) => {
                known.memory.write(&self.dir, &shown)?;
                known.head = shown;
            }
            None => {
                let memory = Memory::start(&self.dir, &shown)?;
                last.insert(
                    origin,
                    Known {
                        head: shown,
                        memory,
                    },
                );
            }
        }
        Ok(cosignature)
    }

    /// The evidence kept, in the order of its file names.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn evidence(&self) -> Result<Vec<PathBuf>, WitnessError> {
        let dir = self.dir.join(EVIDENCE);
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(failed("list", &dir))? {
            let path = entry.map_err(failed("list", &dir))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn keep(&self, evidence: &Evidence) -> Result<Option<PathBuf>, WitnessError> {
        // One file per pair of notes, however often they are shown.
        let digest = Sha256::new()
            .chain_update(&evidence.before)
            .chain_update([0])
            .chain_update(&evidence.refused)
            .finalize();
        let name = format!("{}-{}.json", evidence.kind.code(), hex(&digest.0[..16]));
        let dir = self.dir.join(EVIDENCE);
        if dir.join(&name).exists() {
            return Ok(Some(dir.join(name)));
        }
        if self.evidence()?.len() >= MAX_EVIDENCE {
            return Ok(None);
        }
        let text = canonical::to_string(evidence)?;
        Ok(Some(replace_file(&dir, &name, text.as_bytes())?))
    }

    fn remembered<'a>(
        &self,
        last: &'a mut HashMap<String, Known>,
        origin: &str,
    ) -> Result<Option<&'a mut Known>, WitnessError> {
        if !last.contains_key(origin) {
            let Some((memory, head)) = Memory::open(&self.dir, origin)? else {
                return Ok(None);
            };
            let head = head.ok_or(NoteError::Shape {
                missing: "no sound head in either of its places",
            });
            let head = head.and_then(|head| self.own(&head, origin).map(|()| head));
            let head = head.map_err(|source| WitnessError::Memory {
                file: self.dir.join(file_name(origin)),
                source,
            })?;
            last.insert(origin.to_owned(), Known { head, memory });
        }
        Ok(last.get_mut(origin))
    }

    /// Checks that what is remembered is what this witness signed. After a change of key the line is by an
    /// earlier one, of the same name.
    fn own(&self, known: &SignedCheckpoint, origin: &str) -> Result<(), NoteError> {
        let checkpoint = known.checkpoint();
        let lines = known.note().signatures();
        let earlier = lines
            .iter()
            .any(|line| line.name() == self.key.name() && line.key_id() != self.key.key_id());
        match known.verify(&self.key) {
            _ if checkpoint.origin() != origin => Err(NoteError::Checkpoint {
                line: 1,
                why: "it is of another log",
            }),
            Err(NoteError::NotSigned { .. }) if earlier => Ok(()),
            result => result.map(|_| ()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // The map only mirrors what is on disk.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How `shown` contradicts `before`, if it does. Both are of one log.
fn contradiction(
    before: &SignedCheckpoint,
    shown: &SignedCheckpoint,
    proof: &[Hash],
) -> Option<Contradiction> {
    let (before, shown) = (before.checkpoint(), shown.checkpoint());
    let consistent = verify_consistency(
        before.size(),
        before.root(),
        shown.size(),
        shown.root(),
        proof,
    );
    match consistent {
        Ok(()) => None,
        Err(MerkleError::Order { .. }) => Some(Contradiction::Rollback),
        Err(_) if before.size() == shown.size() && before.root() != shown.root() => {
            Some(Contradiction::Fork)
        }
        Err(_) => Some(Contradiction::NotExtended),
    }
}

fn file_name(origin: &str) -> String {
    format!("{}.last", hex(&Sha256::digest(origin).0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
