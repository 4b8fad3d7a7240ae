//! Removing bodies from a node's log, while the node is stopped.
//!
//! An envelope names its body by a salted digest, and the tree is over envelopes: without its bodies a log has
//! the same root, and every proof and countersignature holds as before. What the node wrote of itself stays.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use paripassu_audit::{
    bundle::{Bundle, BundleError},
    event::{Draft, Envelope, EventError, bodies::DataErased},
    log::{Log, LogError},
    note::Signer,
};

use super::{LOG_FOLDER, bundle_path, facts::ENDS, node::KeySigner, origin};
use crate::{clock::Clock, identity::Identity};

/// Which bodies are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those of the one job whose id begins so.
    Job(String),
    /// Those of all jobs whose last event is of before this time, in seconds since 1970.
    Before(i64),
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The jobs.
    pub jobs: Vec<String>,
    /// How many bodies.
    pub bodies: u64,
    /// Bytes that the log's files lost.
    pub freed: u64,
    /// Bundles of these jobs whose bodies were removed, too.
    pub bundles: Vec<PathBuf>,
    /// Bundles of these jobs that still hold theirs.
    pub kept: Vec<PathBuf>,
}

/// Why nothing more was removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The log cannot be opened or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was done cannot be written down.
    #[error("what is to be removed cannot be written down: {0}")]
    Event(#[from] EventError),
    /// No such job, or several.
    #[error("{} jobs in the log begin with `{job}`: give the id of one", found)]
    Job {
        /// What was given.
        job: String,
        /// How many fit.
        found: usize,
    },
    /// It may still go on.
    #[error("job `{job}` has not ended at this node: what it did is still needed")]
    Runs {
        /// The job.
        job: String,
    },
    /// A bundle cannot be read or written.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BundleError,
    },
    /// The file system refused.
    #[error("cannot replace {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Removes bodies from the log of the node with this state folder, which must be stopped; with `bundles` from
/// the bundles that it keeps of the same jobs, too. Writes down how many, in the node's own chain.
///
/// # Errors
/// When the node runs, no such job has ended, or a file cannot be read or written.
pub fn prune(
    state: &Path,
    identity: Arc<Identity>,
    clock: &Clock,
    which: &Which,
    bundles: bool,
) -> Result<Pruned, PruneError> {
    let dir = state.join(LOG_FOLDER);
    let id = identity.peer().id.to_string();
    let signer: Arc<dyn Signer> = Arc::new(KeySigner(Arc::clone(&identity)));
    let (log, _) = Log::open(&dir, &origin(identity.peer()), Arc::clone(&signer))?;
    let jobs = chosen(&log, which)?;
    let before = bytes(&dir);
    let bodies = log.prune_bodies(|entry| jobs.contains(&entry.job))?;
    let mut pruned = Pruned {
        freed: before.saturating_sub(bytes(&dir)),
        bodies,
        ..Pruned::default()
    };
    if bodies > 0 {
        let erased = DataErased {
            what: "transcript-bodies".into(),
            count: bodies,
            subject: None,
        };
        Draft::new("", "node", &id, clock.now(), erased.into()).append(&log, &*signer)?;
        log.checkpoint()?;
    }
    log.close()?;
    for job in &jobs {
        let path = bundle_path(state, job);
        match path.exists() {
            true if bundles => {
                strip(&path)?;
                pruned.bundles.push(path);
            }
            true => pruned.kept.push(path),
            false => {}
        }
    }
    pruned.jobs = jobs;
    Ok(pruned)
}

/// The jobs that are meant, all of which have ended.
fn chosen(log: &Log, which: &Which) -> Result<Vec<String>, PruneError> {
    let jobs = log.jobs().into_iter().filter(|job| !job.is_empty());
    let mut chosen = Vec::new();
    match which {
        Which::Job(prefix) => {
            let fits: Vec<String> = jobs.filter(|job| job.starts_with(prefix)).collect();
            let [job] = fits.as_slice() else {
                let (job, found) = (prefix.clone(), fits.len());
                return Err(PruneError::Job { job, found });
            };
            if !ended(log, job)?.0 {
                return Err(PruneError::Runs { job: job.clone() });
            }
            chosen.push(job.clone());
        }
        Which::Before(time) => {
            for job in jobs {
                let (over, last) = ended(log, &job)?;
                if over && last < *time {
                    chosen.push(job);
                }
            }
        }
    }
    Ok(chosen)
}

/// Whether a job has ended here, and the time of its last event.
fn ended(log: &Log, job: &str) -> Result<(bool, i64), LogError> {
    let (mut over, mut last) = (false, 0);
    for entry in log.job_entries(job)? {
        if let Ok(envelope) = Envelope::parse(&entry.envelope) {
            over |= ENDS.contains(&envelope.event.as_str());
            last = last.max(envelope.unix());
        }
    }
    Ok((over, last))
}

/// Writes a bundle anew without bodies and frames.
fn strip(path: &Path) -> Result<(), PruneError> {
    let failed = |source| PruneError::Bundle {
        path: path.to_owned(),
        source,
    };
    let mut bundle = Bundle::load(path).map_err(failed)?;
    bundle.prune();
    let new = path.with_extension("pruned");
    let io = |source| PruneError::Io {
        path: path.to_owned(),
        source,
    };
    if new.exists() {
        fs::remove_file(&new).map_err(io)?;
    }
    bundle.save(&new).map_err(failed)?;
    fs::rename(&new, path).map_err(io)
}

fn bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|file| file.len())
        .sum()
}
