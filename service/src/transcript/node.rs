//! The transcript of a node: one log for all its jobs, and what it remembers of the others' logs.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use paripassu_audit::{
    event::{
        Body, Draft, Envelope, EventError,
        bodies::{Incident, KeyRotated, LogStarted},
        format_time, hex, key_digest,
    },
    log::{Log, LogError, Opened},
    note::{Algorithm, Signer, SignerError},
    witness::{Witness, WitnessError},
};
use paripassu_proto::Peer;
use sha2::{Digest, Sha256};

use super::{LOG_FOLDER, WITNESS_FOLDER, assemble, facts::Facts, origin, papers};
use crate::{clock::Clock, identity::Identity};

/// Why something is not in the transcript.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// The log cannot be opened or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The event cannot be written.
    #[error("the transcript cannot be written: {0}")]
    Event(#[from] EventError),
    /// What is remembered of other logs cannot be used.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// What was signed about a job cannot be kept or read.
    #[error("cannot keep what was signed about a job in {}: {source}", path.display())]
    Papers {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The job's id is that of another contract.
    #[error(
        "this node knows another contract by the id of job `{job}`: propose it anew under another id"
    )]
    OtherContract {
        /// The job.
        job: String,
    },
    /// The node was started with another key, and may not change it.
    #[error(transparent)]
    Key(#[from] crate::identity::IdentityError),
    /// The running program cannot be read.
    #[error("cannot read the program that runs, {}, to write down its digest: {source}", path.display())]
    Program {
        /// Where it lies.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The node's certificate key, as the log's.
pub(super) struct KeySigner(pub(super) Arc<Identity>);

impl Signer for KeySigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_bytes().to_vec()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        Ok(self.0.sign(message).to_vec())
    }
}

/// A node's transcript. One per node and state folder.
pub struct Transcript {
    pub(super) identity: Arc<Identity>,
    pub(super) log: Log,
    pub(super) witness: Witness,
    pub(super) state: PathBuf,
    pub(super) clock: Clock,
    signer: Arc<dyn Signer>,
    pub(super) binary: String,
    jobs: Mutex<HashMap<String, Facts>>,
    /// Jobs in which heads are exchanged at this moment.
    sessions: Mutex<usize>,
}

/// A job in which heads are exchanged, as long as this lives: the node's key stays the same.
pub(super) struct Busy(Arc<Transcript>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut sessions = self
            .0
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *sessions = sessions.saturating_sub(1);
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({:?})", self.log)
    }
}

impl Transcript {
    /// Opens the transcript in a node's state folder, or begins one there.
    ///
    /// Writes down that the node started, what a crash tore, a key that has changed, and the end of
    /// jobs that ran when the node stopped; then the bundles that it was stopped before writing.
    ///
    /// # Errors
    /// When the log is in use, damaged or cannot be written.
    pub fn open(
        state: &Path,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Arc<Self>, TranscriptError> {
        Self::open_discarding(state, identity, clock, |_| true)
    }

    /// The same for a node that keeps outputs of jobs: `discard` destroys what a job has left that ran when the
    /// node stopped, and says whether nothing of it remains.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_discarding(
        state: &Path,
        identity: Arc<Identity>,
        clock: Clock,
        discard: impl Fn(&str) -> bool,
    ) -> Result<Arc<Self>, TranscriptError> {
        let origin = origin(identity.peer());
        let signer: Arc<dyn Signer> = Arc::new(KeySigner(Arc::clone(&identity)));
        let (log, opened) = Log::open(&state.join(LOG_FOLDER), &origin, Arc::clone(&signer))?;
        let witness = Witness::open(&state.join(WITNESS_FOLDER), &origin, Arc::clone(&signer))?;
        let key = hex(&key_digest(&identity.public_key()));
        papers::keep_certificate(state, &key, &identity.certificate_pem()).map_err(|source| {
            TranscriptError::Papers {
                path: papers::folder(state),
                source,
            }
        })?;
        let transcript = Self {
            identity,
            log,
            witness,
            state: state.to_owned(),
            clock,
            signer,
            binary: program()?,
            jobs: Mutex::default(),
            sessions: Mutex::default(),
        };
        transcript.started(&opened, discard)?;
        Ok(Arc::new(transcript))
    }

    fn started(
        &self,
        opened: &Opened,
        discard: impl Fn(&str) -> bool,
    ) -> Result<(), TranscriptError> {
        let started = LogStarted {
            version: env!("CARGO_PKG_VERSION").into(),
            binary: self.binary.clone(),
            size: opened.size,
        };
        let before = self.log.job_entries("")?;
        let before = before
            .last()
            .and_then(|e| Envelope::parse(&e.envelope).ok());
        let now = hex(&key_digest(&self.identity.public_key()));
        if let Some(before) = before.as_ref().filter(|before| before.sig.key != now) {
            // nothing is signed with a key that the institution's people have not signed for
            let new = self.identity.public_key();
            self.identity.may_become(&before.sig.key, &new)?;
        }
        self.write("", started)?;
        for torn in &opened.torn {
            tracing::warn!(file = %torn.file.display(), bytes = torn.bytes, "cut off a torn write");
            let file = torn.file.file_name().unwrap_or_default().to_string_lossy();
            self.write(
                "",
                Incident {
                    class: "torn-write".into(),
                    detail: format!(
                        "the last write was interrupted: {} bytes cut off {file} at {}",
                        torn.bytes, torn.offset
                    ),
                },
            )?;
        }
        if let Some(before) = before.filter(|before| before.sig.key != now) {
            let from = format_time(self.clock.now()).unwrap_or_default();
            let old = before.sig.key;
            self.write(
                "",
                KeyRotated {
                    old,
                    new: now,
                    from,
                },
            )?;
        }
        for job in self.log.jobs() {
            if job.is_empty() {
                continue;
            }
            let found = self.touch(&job)?;
            if found.began && !found.ended {
                tracing::warn!(job, "ran when this node stopped");
                self.aborted(&job, None, "", "node_restarted", discard(&job))?;
            }
            // a node may have been stopped between the end of a job and its bundle
            if found.began && !found.bundled && !self.bundle_path(&job).exists() {
                self.bundle_alone(&job);
            }
        }
        Ok(())
    }

    /// Writes the bundle of a job that ended with this node's last run: its own events, without those of the
    /// others, who cannot be asked any more.
    fn bundle_alone(&self, job: &str) {
        let written = self.log.checkpoint().map_err(Into::into).and_then(|head| {
            let heads = assemble::heads(&self.log, job)?;
            let size = head.checkpoint().size();
            assemble::write(self, job, size, &heads, Vec::new(), &[])
        });
        match written {
            Ok((path, _)) => tracing::warn!(
                job,
                path = %path.display(),
                "wrote the bundle of a job that this node was stopped in: it lacks the others' logs"
            ),
            Err(error) => {
                tracing::error!(job, %error, "no bundle of a job that this node was stopped in")
            }
        }
    }

    /// Counts a job in which heads are exchanged.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        *self.sessions.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Busy(Arc::clone(self))
    }

    /// Goes over to a renewed key, and writes so, if there is one and no job is under way: a job ends with the key that
    /// it began with. True when the key has changed.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn renew(&self) -> Result<bool, TranscriptError> {
        if !self.identity.has_another_key() {
            return Ok(false);
        }
        // nobody begins a job meanwhile
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if *sessions > 0 {
            return Ok(false);
        }
        let old = hex(&key_digest(&self.identity.public_key()));
        let (pem, new) = self.identity.shown();
        let new = hex(&key_digest(&new));
        papers::keep_certificate(&self.state, &new, &pem).map_err(|source| {
            TranscriptError::Papers {
                path: papers::folder(&self.state),
                source,
            }
        })?;
        self.identity.take_over();
        let from = format_time(self.clock.now()).unwrap_or_default();
        self.write("", KeyRotated { old, new, from })?;
        Ok(true)
    }

    /// Whose transcript this is.
    pub fn peer(&self) -> &Peer {
        self.identity.peer()
    }

    /// Ends writing, so that a node started anew in this process can go on with the log. All that was
    /// written stands under a head on disk then, for an export beside the stopped node.
    pub fn close(&self) {
        let head = self.log.checkpoint().map(|_| ());
        if let Err(error) = self.log.close().and(head) {
            tracing::error!(%error, "the transcript's last events may be lost");
        }
    }

    /// The log itself.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Where the bundle of a job lies once it has ended.
    pub fn bundle_path(&self, job: &str) -> PathBuf {
        super::bundle_path(&self.state, job)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Facts>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with what is known of a job.
    pub(super) fn with<T>(
        &self,
        job: &str,
        f: impl FnOnce(&mut Facts) -> T,
    ) -> Result<T, TranscriptError> {
        let mut jobs = self.lock();
        if !jobs.contains_key(job) {
            jobs.insert(job.to_owned(), Facts::read(&self.log, &self.state, job)?);
        }
        Ok(f(jobs.entry(job.to_owned()).or_default()))
    }

    /// Forgets what is known of a job; the log is read again if it is asked for.
    pub(super) fn forget(&self, job: &str) {
        self.lock().remove(job);
    }

    fn touch(&self, job: &str) -> Result<Touched, TranscriptError> {
        self.with(job, |facts| Touched {
            began: facts.of("session.opened") > 0,
            ended: facts.ended(),
            bundled: facts.papers.as_ref().is_some_and(|p| p.bundled),
        })
    }

    /// Writes an event down, on disk when this returns.
    ///
    /// # Errors
    /// When the log cannot be written; then never again until the node is restarted.
    pub fn write(&self, job: &str, body: impl Into<Body>) -> Result<(), TranscriptError> {
        self.add(job, body.into(), true)
    }

    /// Writes an event down without waiting for the disk; the next event or head does.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn write_soon(&self, job: &str, body: impl Into<Body>) -> Result<(), TranscriptError> {
        self.add(job, body.into(), false)
    }

    fn add(&self, job: &str, body: Body, sync: bool) -> Result<(), TranscriptError> {
        self.with(job, |facts| {
            let actor = self.peer().id.as_str();
            let draft = Draft::new(job, &facts.role, actor, self.clock.now(), body);
            match sync {
                true => draft.append(&self.log, &*self.signer)?,
                false => draft.append_unsynced(&self.log, &*self.signer)?,
            };
            facts.count(draft.body.event(), Some(&draft.body));
            Ok(())
        })?
    }

    /// Whether the log has this job's proposal and no event that ends it here.
    pub(crate) fn is_open(&self, job: &str) -> bool {
        self.with(job, |facts| facts.of("job.proposed") > 0 && !facts.ended())
            .unwrap_or(false)
    }

    /// Whether the log has an event that ends this job here.
    pub(crate) fn has_ended(&self, job: &str) -> bool {
        self.with(job, |facts| facts.ended()).unwrap_or(false)
    }
}

struct Touched {
    began: bool,
    ended: bool,
    bundled: bool,
}

/// SHA-256 of the program that runs.
fn program() -> Result<String, TranscriptError> {
    static DIGEST: Mutex<Option<String>> = Mutex::new(None);
    let mut known = DIGEST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(digest) = &*known {
        return Ok(digest.clone());
    }
    let path = std::env::current_exe().unwrap_or_default();
    let failed = |source| TranscriptError::Program {
        path: path.clone(),
        source,
    };
    let mut file = fs::File::open(&path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(failed)?;
        match buffer.get(..read) {
            None | Some([]) => break,
            Some(bytes) => hash.update(bytes),
        }
    }
    let digest = hex(&hash.finalize());
    *known = Some(digest.clone());
    Ok(digest)
}
