//! The transcript of a node: one log for all its jobs, and what it remembers of the others' logs.

use std::{
    collections::HashMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use paripassu_audit::{
    event::{
        Body, Draft, Envelope, EventError,
        bodies::{
            Aborted, Incident, JobApproved, JobProposed, JobRejected, KeyRotated, LogStarted,
            PolicyEvaluated, PolicyStated, RunCompleted, SessionOpened,
        },
        format_time, hex, key_digest,
    },
    log::{Log, LogError, Opened},
    note::{Algorithm, Signer, SignerError},
    policy::{Stated, pieces},
    witness::{Witness, WitnessError},
};
use paripassu_job::Contract;
use paripassu_proto::{ContractHead, NodeKind, PROTOCOL_VERSION, Peer, control::v1 as pb};
use sha2::{Digest, Sha256};

use super::{LOG_FOLDER, WITNESS_FOLDER, facts::Facts, origin};
use crate::{
    clock::Clock,
    identity::{Certified, Identity},
    signing::Decision,
    tls::Negotiated,
};

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
struct KeySigner(Arc<Identity>);

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
    binary: String,
    jobs: Mutex<HashMap<String, Facts>>,
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
    /// jobs that ran when the node stopped.
    ///
    /// # Errors
    /// When the log is in use, damaged or cannot be written.
    pub fn open(
        state: &Path,
        identity: Arc<Identity>,
        clock: Clock,
    ) -> Result<Arc<Self>, TranscriptError> {
        let origin = origin(identity.peer());
        let signer: Arc<dyn Signer> = Arc::new(KeySigner(Arc::clone(&identity)));
        let (log, opened) = Log::open(&state.join(LOG_FOLDER), &origin, Arc::clone(&signer))?;
        let witness = Witness::open(&state.join(WITNESS_FOLDER), &origin, Arc::clone(&signer))?;
        let transcript = Self {
            identity,
            log,
            witness,
            state: state.to_owned(),
            clock,
            signer,
            binary: program()?,
            jobs: Mutex::default(),
        };
        transcript.started(&opened)?;
        Ok(Arc::new(transcript))
    }

    fn started(&self, opened: &Opened) -> Result<(), TranscriptError> {
        let started = LogStarted {
            version: env!("CARGO_PKG_VERSION").into(),
            binary: self.binary.clone(),
            size: opened.size,
        };
        let before = self.log.job_entries("")?;
        let before = before
            .last()
            .and_then(|e| Envelope::parse(&e.envelope).ok());
        let now = hex(&key_digest(self.identity.public_key()));
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
            if !job.is_empty() && self.touch(&job)?.unfinished() {
                tracing::warn!(job, "ran when this node stopped");
                self.aborted(&job, None, "", "node_restarted")?;
            }
        }
        Ok(())
    }

    /// Whose transcript this is.
    pub fn peer(&self) -> &Peer {
        self.identity.peer()
    }

    /// Ends writing, so that a node started anew in this process can go on with the log.
    pub fn close(&self) {
        if let Err(error) = self.log.close() {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Facts>> {
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
            jobs.insert(job.to_owned(), Facts::read(&self.log, job)?);
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

    /// Writes down a proposal, once; `role` is this node's in the job.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn proposed(
        &self,
        head: &ContractHead,
        digest: &[u8; 32],
        submitter: &Peer,
        message: &pb::Proposal,
        role: &str,
    ) -> Result<(), TranscriptError> {
        let job = head.job.as_str();
        let known = self.with(job, |facts| {
            facts.role = role.to_owned();
            facts.proposal = Some(message.clone());
            facts.of("job.proposed") > 0
        })?;
        if known {
            return Ok(());
        }
        let (name, purpose) = match Contract::parse(&message.contract) {
            Ok(contract) => (
                contract.spec().name.clone(),
                contract.spec().purpose.clone(),
            ),
            Err(_) => Default::default(),
        };
        let text = |id: &paripassu_proto::NodeId| id.as_str().to_owned();
        let body = JobProposed {
            contract: hex(digest),
            name,
            purpose,
            submitter: submitter.to_string(),
            parties: head.parties.iter().map(text).collect(),
            helper: head.helper.as_ref().map(text).unwrap_or_default(),
        };
        self.write(job, body)
    }

    /// Writes down what this node's policy says of a proposal, once: the text of
    /// [`paripassu_audit::policy`] that bears on it, and the verdict, which is made to name its digest.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn evaluated(
        &self,
        job: &str,
        policy: &Stated,
        verdict: PolicyEvaluated,
    ) -> Result<(), TranscriptError> {
        if self.with(job, |facts| facts.of("policy.evaluated"))? > 0 {
            return Ok(());
        }
        let text = policy.to_text().map_err(EventError::from)?;
        let verdict = PolicyEvaluated {
            policy: hex(&Sha256::digest(&text)),
            ..verdict
        };
        let pieces = pieces(&text);
        let parts = pieces.len() as u64;
        for (part, piece) in (1..).zip(pieces) {
            let text = piece.to_owned();
            self.write_soon(job, PolicyStated { part, parts, text })?;
        }
        self.write(job, verdict)
    }

    /// Writes down a data party's decision on the contract proposed: its first approval and its first
    /// rejection. Anything else is passed over.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn decided(
        &self,
        by: &Peer,
        decision: &Decision,
        signed: &pb::Signed,
    ) -> Result<(), TranscriptError> {
        let job = decision.job.as_str();
        // nothing is kept of a job that was never proposed
        if !self.lock().contains_key(job) && self.log.link(job).seq == 0 {
            tracing::debug!(job, %by, "a decision on a job that is not known");
            return Ok(());
        }
        let statement = hex(&Sha256::digest(&signed.statement));
        let contract = hex(&decision.digest);
        let (party, approver) = (by.id.to_string(), by.id.to_string());
        let new = self.with(job, |facts| {
            let theirs = facts.terms.as_ref().is_some_and(|(proposed, parties)| {
                *proposed == contract && by.kind == NodeKind::Party && parties.contains(&party)
            });
            let key = (party.clone(), decision.approve);
            let before = facts.decided.get(&key);
            let first = before.is_none();
            if !theirs || before.is_some_and(|before| *before != statement) {
                tracing::debug!(job, %by, "a decision is passed over");
                return false;
            }
            facts.decisions.entry(key).or_insert_with(|| signed.clone());
            first
        })?;
        if !new {
            return Ok(());
        }
        match decision.approve {
            true => self.write(
                job,
                JobApproved {
                    party,
                    contract,
                    statement,
                    approver,
                    second: None,
                    ticket: None,
                    expires: None,
                },
            ),
            false => self.write(
                job,
                JobRejected {
                    party,
                    contract,
                    statement,
                    approver,
                    code: "rejected".into(),
                },
            ),
        }
    }

    /// Writes down a sealed link to a member, and what the connection negotiated that carries it.
    pub(crate) fn session(
        &self,
        job: &str,
        contract: &[u8; 32],
        peer: &Certified,
        negotiated: Option<Negotiated>,
    ) -> Result<(), TranscriptError> {
        self.with(job, |facts| {
            facts.since.get_or_insert_with(Instant::now).elapsed()
        })?;
        let build = match cfg!(debug_assertions) {
            true => "debug",
            false => "release",
        };
        // no connection is no protection: the verifier refuses a link of this kind
        let none = || Negotiated {
            version: "none".into(),
            suite: "none".into(),
        };
        let Negotiated { version, suite } = negotiated.unwrap_or_else(none);
        self.write_soon(
            job,
            SessionOpened {
                peer: peer.peer().id.to_string(),
                peer_key: hex(&key_digest(peer.key())),
                tls: version,
                suite,
                sealed: paripassu_crypto::sealed::SUITE.into(),
                offered: vec![PROTOCOL_VERSION],
                chosen: PROTOCOL_VERSION,
                binary: self.binary.clone(),
                build: build.into(),
                test_mode: cfg!(feature = "test-util"),
                contract: hex(contract),
            },
        )
    }

    /// Writes down that the job ended well here, if nothing else ended it.
    pub(crate) fn completed(&self, job: &str) -> Result<(), TranscriptError> {
        let body = self.with(job, |facts| {
            let wall = facts.since.map_or(0.0, |t| t.elapsed().as_secs_f64());
            (!facts.ended()).then(|| RunCompleted {
                disclosures: facts.of("disclosure"),
                steps: facts.of("step.finished"),
                wall_s: format!("{wall:.3}"),
            })
        })?;
        body.map_or(Ok(()), |body| self.write(job, body))
    }

    /// Writes down that the job ended badly, once.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn aborted(
        &self,
        job: &str,
        culprit: Option<&str>,
        step: &str,
        code: &str,
    ) -> Result<(), TranscriptError> {
        let write = self.with(job, |facts| {
            let known = facts.of("job.proposed") > 0 || facts.of("session.opened") > 0;
            known && facts.of("aborted") == 0 && facts.of("job.rejected") == 0
        })?;
        if !write {
            return Ok(());
        }
        let bound = |text: &str| -> String { text.chars().take(256).collect() };
        self.write(
            job,
            Aborted {
                culprit: culprit.filter(|c| !c.is_empty()).map(bound),
                step: bound(step),
                code: bound(code),
                destroyed: true,
            },
        )
    }

    /// Whether the log has an event that ends this job here.
    pub(crate) fn has_ended(&self, job: &str) -> bool {
        self.with(job, |facts| facts.ended()).unwrap_or(false)
    }
}

struct Touched {
    began: bool,
    ended: bool,
}

impl Touched {
    fn unfinished(&self) -> bool {
        self.began && !self.ended
    }
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
