//! What this node did in a job, as a chain of signed lines: `transcript.jsonl`.
//!
//! Each line holds the SHA-256 of the line before it and this node's Ed25519 signature over its own
//! canonical JSON without the signature. Lines hold names, counts and digests; never a value of the
//! data, an id, or a hash of one.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    sync::Arc,
};

use paripassu_job::canonical;
use paripassu_service::identity::Identity;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// Domain of the signatures.
pub const SIGNATURE_DOMAIN: &[u8] = b"paripassu/v1 transcript line\0";

/// A growing transcript.
pub struct Transcript {
    identity: Arc<Identity>,
    job: String,
    last: String,
    lines: Vec<String>,
    file: File,
}

impl std::fmt::Debug for Transcript {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transcript({} lines)", self.lines.len())
    }
}

/// An event that cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("event `{event}` cannot be written to the transcript: {reason}")]
pub struct TranscriptError {
    /// The event.
    pub event: String,
    /// Why.
    pub reason: String,
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        })
}

impl Transcript {
    /// An empty transcript of this node in one job, kept as `JOB.jsonl` in `folder` line by line, so
    /// that it outlives a job that ends badly.
    ///
    /// # Errors
    /// When the file cannot be made, or is there already.
    pub fn new(identity: Arc<Identity>, job: String, folder: &Path) -> std::io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(folder.join(format!("{job}.jsonl")))?;
        Ok(Self {
            identity,
            job,
            last: hex(&[0; 32]),
            lines: Vec::new(),
            file,
        })
    }

    /// Adds an event at a time in seconds since 1970.
    ///
    /// # Errors
    /// If the body has no canonical form.
    pub fn add(
        &mut self,
        at: i64,
        event: &str,
        body: impl Serialize,
    ) -> Result<(), TranscriptError> {
        let failed = |reason: String| TranscriptError {
            event: event.to_owned(),
            reason,
        };
        let body = serde_json::to_value(body).map_err(|e| failed(e.to_string()))?;
        let mut line = Map::new();
        line.insert("v".into(), 1.into());
        line.insert("job".into(), self.job.clone().into());
        line.insert("party".into(), self.identity.peer().id.to_string().into());
        line.insert("seq".into(), self.lines.len().into());
        line.insert("prev".into(), self.last.clone().into());
        line.insert("at".into(), at.into());
        line.insert("event".into(), event.into());
        line.insert("body".into(), body);
        let text = canonical::to_string(&Value::Object(line.clone()))
            .map_err(|e| failed(e.to_string()))?;
        let signature = self
            .identity
            .sign(&[SIGNATURE_DOMAIN, text.as_bytes()].concat());
        line.insert("sig".into(), hex(&signature).into());
        let text = canonical::to_string(&Value::Object(line)).map_err(|e| failed(e.to_string()))?;
        let keep = writeln!(self.file, "{text}").and_then(|()| self.file.sync_data());
        keep.map_err(|e| failed(format!("the transcript's file: {e}")))?;
        self.last = hex(&Sha256::digest(text.as_bytes()));
        self.lines.push(text);
        Ok(())
    }

    /// All lines, each ended by a line feed.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut s, l| {
            s.push_str(l);
            s.push('\n');
            s
        })
    }
}
