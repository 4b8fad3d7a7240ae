//! What a bundle needs of a job that stands in no log: the contract, and who signed what about it. Kept on
//! disk from the proposal on, so that a node that is restarted in mid-job can still prove what it did.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use paripassu_audit::bundle::SignedStatement;
use paripassu_proto::control::v1 as pb;
use serde::{Deserialize, Serialize};

use crate::identity::Identity;

/// Folder of the papers within a node's state folder.
const FOLDER: &str = "papers";

/// The papers of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Papers {
    /// The contract's text.
    pub(super) contract: String,
    /// The submitter's statement.
    pub(super) submission: SignedStatement,
    /// The data parties' decisions.
    pub(super) decisions: Vec<SignedStatement>,
    /// This node's certificate.
    pub(super) certificate: String,
    /// The consortium's authority.
    pub(super) authority: String,
    /// The job's bundle has been written: whoever takes it away from here does so on purpose.
    #[serde(default)]
    pub(super) bundled: bool,
}

pub(super) fn statement(signed: &pb::Signed) -> SignedStatement {
    SignedStatement::new(&signed.statement, &signed.signature, &signed.chain)
}

/// Folder of the papers of a node, whose state folder is `state`.
pub(super) fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// Folder of this node's certificates within that of the papers, a file for each key it has had.
const CERTIFICATES: &str = "certificates";

/// Keeps the certificate of this node's key, whose digest is `key`, beside those of keys it had before: events
/// that they signed stay in the log.
pub(super) fn keep_certificate(state: &Path, key: &str, pem: &str) -> io::Result<()> {
    let dir = folder(state).join(CERTIFICATES);
    fs::create_dir_all(&dir)?;
    replace(&dir.join(format!("{key}.pem")), pem.as_bytes())
}

/// The certificates of those keys that this node has had.
pub(super) fn certificates(state: &Path, keys: &BTreeSet<String>) -> io::Result<Vec<String>> {
    let dir = folder(state).join(CERTIFICATES);
    let mut found = Vec::new();
    for key in keys {
        match fs::read_to_string(dir.join(format!("{key}.pem"))) {
            Ok(pem) => found.push(pem),
            // from before certificates were kept: the current one is given anyway
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Puts a file on disk, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&new, path)
}

impl Papers {
    /// Those of a proposal that nobody has decided on.
    pub(super) fn of(identity: &Identity, proposal: &pb::Proposal) -> Self {
        let submission = proposal.submission.clone().unwrap_or_default();
        Self {
            contract: String::from_utf8_lossy(&proposal.contract).into_owned(),
            submission: statement(&submission),
            decisions: Vec::new(),
            certificate: identity.certificate_pem(),
            authority: identity.trust().authority_pem().to_owned(),
            bundled: false,
        }
    }

    /// One more decision; false when it is there already.
    pub(super) fn add(&mut self, decision: &pb::Signed) -> bool {
        let decision = statement(decision);
        // two parties may say the same, each with its own signature
        let new = !self
            .decisions
            .iter()
            .any(|d| d.signature == decision.signature);
        if new {
            self.decisions.push(decision);
        }
        new
    }

    /// Reads those of a job, if there are any.
    pub(super) fn load(state: &Path, job: &str) -> io::Result<Option<Self>> {
        match fs::read(path(state, job)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts them on disk, whole or not at all.
    pub(super) fn save(&self, state: &Path, job: &str) -> io::Result<()> {
        fs::create_dir_all(folder(state))?;
        replace(&path(state, job), &serde_json::to_vec(self)?)
    }
}

pub(super) fn path(state: &Path, job: &str) -> PathBuf {
    folder(state).join(format!("{job}.json"))
}
