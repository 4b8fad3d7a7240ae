//! One file with everything a verifier needs of one job.
//!
//! `JOB.bundle` is one JSON object. Reading is strict: a member too many or too few, two of one name, a
//! string that is not what its place demands, or a size beyond the limits is refused before anything is
//! verified.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    event::{
        Envelope, MAX_BODY, MAX_ENVELOPE, Visibility, unhex, valid_job, valid_origin, visibility,
    },
    log::{Entry, Log, LogError},
    note::SignedCheckpoint,
};

/// The `format` member.
pub const FORMAT: &str = "paripassu-bundle/2";
/// Largest file.
pub const MAX_BYTES: u64 = 256 << 20;
/// Most logs.
pub const MAX_LOGS: usize = 64;
/// Most events in all.
pub const MAX_EVENTS: usize = 1_000_000;
/// Longest proof.
pub const MAX_PROOF: usize = crate::merkle::MAX_PROOF_HASHES;
/// Longest checkpoint note.
pub const MAX_NOTE: usize = 64 << 10;
/// Longest contract.
pub const MAX_CONTRACT: usize = 1 << 20;

/// Why a bundle was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The file cannot be read or written.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Read or write.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// Too large.
    #[error("the bundle has {got} {what}, more than the {limit} that are read")]
    TooLarge {
        /// Bytes, logs or events.
        what: &'static str,
        /// How many.
        got: u64,
        /// The most.
        limit: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Not a bundle.
    #[error("not a bundle: {0}")]
    Json(#[from] serde_json::Error),
    /// Another format.
    #[error("expected a bundle of format `{FORMAT}`, got `{got}`")]
    Format {
        /// The format named.
        got: String,
    },
    /// A member has a value it cannot have.
    #[error("not a bundle: {place}: {why}")]
    Member {
        /// Where.
        place: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// A statement that a node or person signed: canonical bytes, signature, certificates leaf first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    /// The statement's bytes, base64.
    pub statement: String,
    /// Ed25519 signature over them, base64.
    pub signature: String,
    /// DER certificates, base64, leaf first.
    pub chain: Vec<String>,
}

impl SignedStatement {
    /// From raw bytes.
    pub fn new(statement: &[u8], signature: &[u8], chain: &[impl AsRef<[u8]>]) -> Self {
        Self {
            statement: base64(statement),
            signature: base64(signature),
            chain: chain.iter().map(|c| base64(c.as_ref())).collect(),
        }
    }
}

/// One event with its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPart {
    /// Its place in the log.
    pub index: u64,
    /// The canonical envelope.
    pub envelope: String,
    /// The canonical body, unless withheld or pruned.
    #[serde(deserialize_with = "Deserialize::deserialize")]
    pub body: Option<String>,
    /// Inclusion proof to the log's checkpoint, base64 hashes from the leaf upwards.
    pub proof: Vec<String>,
}

/// An earlier checkpoint of a log and the proof that the last one extends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierCheckpoint {
    /// The signed note.
    pub note: String,
    /// Consistency proof to the log's last checkpoint, base64 hashes.
    pub consistency: Vec<String>,
}

/// What one node wrote of the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    /// The log.
    pub origin: String,
    /// The node's certificates in PEM, one each.
    pub certificates: Vec<String>,
    /// The last checkpoint: a note signed by the log and cosigned by witnesses.
    pub checkpoint: String,
    /// The job's events in order.
    pub events: Vec<EventPart>,
    /// What the node wrote of itself: from its last start before the job on, all that concerns no job.
    pub node_events: Vec<EventPart>,
    /// Checkpoints before it, smallest first.
    pub checkpoints: Vec<EarlierCheckpoint>,
}

/// The digests of the frames that went one way between the maker and a peer in a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameList {
    /// The step.
    pub step: String,
    /// The other node.
    pub peer: String,
    /// `sent` or `received`.
    pub direction: String,
    /// The digests, hexadecimal, in order.
    pub digests: Vec<String>,
}

/// A file of the results, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Its SHA-256, hexadecimal.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// `paripassu-bundle/2`.
    pub format: String,
    /// The job.
    pub job: String,
    /// The log of the node that made the bundle.
    pub node: String,
    /// The canonical contract.
    pub contract: String,
    /// The submitter's statement.
    pub submission: SignedStatement,
    /// The parties' decisions.
    pub approvals: Vec<SignedStatement>,
    /// The log of each member.
    pub logs: Vec<LogPart>,
    /// Frame digests of the maker's own log.
    pub frames: Vec<FrameList>,
    /// Result files of the maker.
    pub artifacts: Vec<Artifact>,
    /// The consortium's certificate authority in PEM.
    pub authority: String,
}

impl Bundle {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is too large, or is no bundle.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        let failed = |source| BundleError::Io {
            what: "read",
            path: path.to_owned(),
            source,
        };
        let bytes = fs::metadata(path).map_err(failed)?.len();
        limit("bytes", bytes, MAX_BYTES)?;
        Self::parse(&fs::read(path).map_err(failed)?)
    }

    /// Reads a bundle's bytes.
    ///
    /// # Errors
    /// When they are too many or no bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        limit("bytes", bytes.len() as u64, MAX_BYTES)?;
        let bundle: Self = serde_json::from_slice(bytes)?;
        bundle.check()?;
        Ok(bundle)
    }

    /// The file's text: JSON with two spaces a level and a line feed at the end.
    ///
    /// # Errors
    /// When a member has a value it cannot have.
    pub fn to_text(&self) -> Result<String, BundleError> {
        self.check()?;
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Writes a file that must not exist yet.
    ///
    /// # Errors
    /// When it exists or cannot be written, or a member has a value it cannot have.
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        Self::save_text(&self.to_text()?, path)
    }

    /// Writes the text of a bundle ([`Self::to_text`]) to a file that must not exist yet.
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn save_text(text: &str, path: &Path) -> Result<(), BundleError> {
        let failed = |source| BundleError::Io {
            what: "write",
            path: path.to_owned(),
            source,
        };
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(failed)?;
        io::Write::write_all(&mut file, text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(failed)
    }

    /// Takes out what events say, and the digests of single frames; everything else stays.
    pub fn prune(&mut self) {
        for log in &mut self.logs {
            for event in log.events.iter_mut().chain(&mut log.node_events) {
                event.body = None;
            }
        }
        self.frames.clear();
    }

    /// The log of this origin.
    pub fn log(&self, origin: &str) -> Option<&LogPart> {
        self.logs.iter().find(|log| log.origin == origin)
    }

    fn check(&self) -> Result<(), BundleError> {
        if self.format != FORMAT {
            return Err(BundleError::Format {
                got: self.format.chars().take(80).collect(),
            });
        }
        demand(valid_job(&self.job), "job", "it is no job's id")?;
        demand(valid_origin(&self.node), "node", "it is no log's origin")?;
        demand(
            self.contract.len() <= MAX_CONTRACT,
            "contract",
            "it is longer than 1 MiB",
        )?;
        demand(
            self.authority.len() <= MAX_NOTE,
            "authority",
            "it is too long",
        )?;
        limit("approvals", self.approvals.len() as u64, MAX_LOGS as u64)?;
        for (place, statement) in std::iter::once(("submission", &self.submission))
            .chain(self.approvals.iter().map(|a| ("approvals", a)))
        {
            let decodes = |text: &String| text.len() <= MAX_NOTE && unbase64(text).is_some();
            let sound = decodes(&statement.statement)
                && decodes(&statement.signature)
                && statement.chain.iter().all(decodes)
                && (1..=8).contains(&statement.chain.len());
            demand(sound, place, "it is no signed statement in base64")?;
        }
        limit("logs", self.logs.len() as u64, MAX_LOGS as u64)?;
        let events: usize = self.logs.iter().map(|log| log.all_events().count()).sum();
        limit("events", events as u64, MAX_EVENTS as u64)?;
        let mut origins = BTreeSet::new();
        for log in &self.logs {
            log.check()?;
            demand(
                origins.insert(&log.origin),
                &log.origin,
                "the log stands twice",
            )?;
        }
        demand(
            origins.contains(&self.node),
            "node",
            "the log of the bundle's maker is not in it",
        )?;
        let mut lists = BTreeSet::new();
        for list in &self.frames {
            let way = matches!(list.direction.as_str(), "sent" | "received");
            demand(
                way,
                "frames",
                "a direction is neither `sent` nor `received`",
            )?;
            let digests = list.digests.iter().all(|d| unhex::<32>(d).is_some());
            demand(digests, "frames", "a digest is not 64 hexadecimal digits")?;
            let first = lists.insert((&list.step, &list.peer, &list.direction));
            demand(first, "frames", "a list stands twice")?;
        }
        let mut names = BTreeSet::new();
        for artifact in &self.artifacts {
            let digest = unhex::<32>(&artifact.sha256).is_some();
            demand(digest, "artifacts", "a digest is not 64 hexadecimal digits")?;
            demand(
                names.insert(&artifact.name),
                "artifacts",
                "a name stands twice",
            )?;
        }
        Ok(())
    }
}

impl LogPart {
    /// What `log` holds of `job` under `head`, with proofs to it and to it from `earlier` heads, which come
    /// smallest first. `private` bodies are for the node's own bundle alone; the others get shared ones.
    ///
    /// # Errors
    /// When the log cannot be read or `head` is larger than it.
    pub fn of_log(
        log: &Log,
        job: &str,
        certificates: &[String],
        head: &SignedCheckpoint,
        earlier: &[SignedCheckpoint],
        private: bool,
    ) -> Result<Self, BundleError> {
        let size = head.checkpoint().size();
        let part = |entry: Entry| {
            let not_text = |_| BundleError::Member {
                place: format!("event {} of {}", entry.index, log.origin()),
                why: "it is not UTF-8",
            };
            let envelope = String::from_utf8(entry.envelope.clone()).map_err(not_text)?;
            let shared = Envelope::parse(envelope.as_bytes())
                .is_ok_and(|e| visibility(&e.event) == Some(Visibility::Shared));
            let body = entry.body.clone().filter(|_| private || shared);
            Ok::<_, BundleError>(EventPart {
                index: entry.index,
                envelope,
                body: body.map(String::from_utf8).transpose().map_err(not_text)?,
                proof: proof_text(&log.inclusion(entry.index, size)?),
            })
        };
        let under = |entry: &Entry| entry.index < size;
        let events = log.job_entries(job)?.into_iter().take_while(under);
        let events = events.map(part).collect::<Result<Vec<_>, _>>()?;
        let first = events.first().map_or(size, |event| event.index);
        let node = log.job_entries("")?;
        let started = |entry: &Entry| {
            let envelope = Envelope::parse(&entry.envelope);
            entry.index < first && envelope.is_ok_and(|e| e.event == "log.started")
        };
        let from = node.iter().rposition(started).unwrap_or(0);
        let node = node.into_iter().skip(from).take_while(under);
        let node_events = node.map(part).collect::<Result<Vec<_>, _>>()?;
        let earlier = earlier.iter().map(|old| {
            let proof = log.consistency(old.checkpoint().size(), size)?;
            Ok::<_, BundleError>(EarlierCheckpoint {
                note: old.to_string(),
                consistency: proof_text(&proof),
            })
        });
        Ok(Self {
            origin: log.origin().to_owned(),
            certificates: certificates.to_vec(),
            checkpoint: head.to_string(),
            events,
            node_events,
            checkpoints: earlier.collect::<Result<_, _>>()?,
        })
    }

    /// The job's events and the node's own.
    pub fn all_events(&self) -> impl Iterator<Item = &EventPart> {
        self.events.iter().chain(&self.node_events)
    }

    fn check(&self) -> Result<(), BundleError> {
        let place = &self.origin;
        demand(valid_origin(place), "logs", "an origin is none")?;
        let certificates = (1..=16).contains(&self.certificates.len())
            && self.certificates.iter().all(|c| c.len() <= MAX_NOTE);
        demand(certificates, place, "1 to 16 certificates are expected")?;
        let notes = self.checkpoint.len() <= MAX_NOTE
            && self.checkpoints.iter().all(|c| c.note.len() <= MAX_NOTE);
        demand(notes, place, "a checkpoint is longer than 64 KiB")?;
        let proofs = self
            .all_events()
            .map(|e| &e.proof)
            .chain(self.checkpoints.iter().map(|c| &c.consistency));
        for proof in proofs {
            demand(
                hashes(proof).is_some(),
                place,
                "a proof is not a short list of base64 hashes",
            )?;
        }
        for event in self.all_events() {
            let short = event.envelope.len() <= MAX_ENVELOPE
                && event.body.as_ref().is_none_or(|b| b.len() <= MAX_BODY);
            demand(short, place, "an event is longer than it may be")?;
        }
        Ok(())
    }
}

fn limit(what: &'static str, got: u64, limit: u64) -> Result<(), BundleError> {
    if got > limit {
        Err(BundleError::TooLarge { what, got, limit })
    } else {
        Ok(())
    }
}

fn demand(holds: bool, place: &str, why: &'static str) -> Result<(), BundleError> {
    if holds {
        Ok(())
    } else {
        Err(BundleError::Member {
            place: place.chars().take(80).collect(),
            why,
        })
    }
}

/// Base64 with padding (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of such a text; `None` unless it is their one encoding.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A proof from its text.
pub fn hashes(proof: &[String]) -> Option<Vec<[u8; 32]>> {
    if proof.len() > MAX_PROOF {
        return None;
    }
    let hash = |text: &String| unbase64(text)?.try_into().ok();
    proof.iter().map(hash).collect()
}

/// A proof as text.
pub fn proof_text(proof: &[[u8; 32]]) -> Vec<String> {
    proof.iter().map(|hash| base64(hash)).collect()
}
