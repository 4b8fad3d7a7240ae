//! Where a node keeps the bundles of its jobs, and reading one.

use std::path::{Path, PathBuf};

use paripassu_audit::{
    bundle::{Bundle, BundleError},
    log::Log,
};

use super::{
    LOG_FOLDER,
    assemble::{self, AssembleError},
    papers::{self, Papers},
};

/// Folder of the bundles within a node's state folder.
const FOLDER: &str = "bundles";

/// Why a job's bundle cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is none.
    #[error(
        "there is no bundle of job `{job}` in {}: a node writes it when a job has ended; jobs with \
         bundles there: {}",
        dir.display(),
        known(dir)
    )]
    None {
        /// The job asked for.
        job: String,
        /// Where bundles are.
        dir: PathBuf,
    },
    /// It cannot be made from the log.
    #[error("no bundle of job `{job}` can be made from the log in {}: {source}", dir.display())]
    Assemble {
        /// The job.
        job: String,
        /// The log.
        dir: PathBuf,
        /// Why not.
        source: Box<AssembleError>,
    },
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: BundleError,
    },
}

fn known(dir: &Path) -> String {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut jobs: Vec<_> = entries
        .filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".bundle")?.to_owned()))
        .collect();
    jobs.sort();
    match jobs.len() {
        0 => "none".to_owned(),
        1..=8 => jobs.join(", "),
        n => format!("{n} others"),
    }
}

/// Folder of the bundles of a node, whose state folder is `state`.
pub fn bundles(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// Where a node with this state folder keeps the bundle of `job`.
pub fn bundle_path(state: &Path, job: &str) -> PathBuf {
    bundles(state).join(format!("{job}.bundle"))
}

/// The bundle of `job` of the node with this state folder, as the node wrote it when the job ended. The
/// node may be running. A beginning of the job's id is enough if it is the beginning of one only.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn export(state: &Path, job: &str) -> Result<Bundle, ExportError> {
    let dir = bundles(state);
    let Some(path) = the_one(&dir, "bundle", job) else {
        let job = job.to_owned();
        return Err(ExportError::None { job, dir });
    };
    Bundle::load(&path).map_err(|source| ExportError::Bundle { path, source })
}

/// The file of a job, or of the only job that begins so.
fn the_one(dir: &Path, extension: &str, job: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let found: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let fits = path.extension().is_some_and(|e| e == extension);
            fits && !job.is_empty() && stem.is_some_and(|stem| stem.starts_with(job))
        })
        .collect();
    let exact = dir.join(format!("{job}.{extension}"));
    match found.as_slice() {
        [only] => Some(only.clone()),
        many if many.contains(&exact) => Some(exact),
        _ => None,
    }
}

/// A bundle made from a node's log.
#[derive(Debug)]
pub struct Assembled {
    /// The bundle.
    pub bundle: Bundle,
    /// What it lacks, a line each.
    pub lacks: Vec<String>,
}

/// The bundle of a job of which the node has written none: its own events as far as its last signed head
/// covers them. The node may be running.
///
/// # Errors
/// As [`export`], and when the log cannot be read or never saw the job.
pub fn assemble(state: &Path, job: &str) -> Result<Assembled, ExportError> {
    let none = || ExportError::None {
        job: job.to_owned(),
        dir: bundles(state),
    };
    let path = the_one(&papers::folder(state), "json", job).ok_or_else(none)?;
    let job = path.file_stem().and_then(|stem| stem.to_str());
    let job = job.ok_or_else(none)?;
    let dir = state.join(LOG_FOLDER);
    let failed = |source: AssembleError| ExportError::Assemble {
        job: job.to_owned(),
        dir: dir.clone(),
        source: Box::new(source),
    };
    let (log, behind) = Log::read(&dir).map_err(|e| failed(e.into()))?;
    let papers = Papers::load(state, job).map_err(|source| {
        failed(AssembleError::Io {
            what: "read",
            path: path.clone(),
            source,
        })
    })?;
    let papers = papers.ok_or_else(|| failed(AssembleError::Unknown))?;
    let heads = assemble::heads(&log, job).map_err(failed)?;
    let size = log.size();
    let bundle = assemble::own_bundle(&log, state, papers, job, (size, &heads), Vec::new());
    let bundle = bundle.map_err(failed)?;
    let mut lacks = vec![
        "the logs of the other members, and their countersignatures of the end".to_owned(),
        "the digests of single frames".to_owned(),
    ];
    if behind > 0 {
        lacks.push(format!(
            "{behind} entries behind the last signed head of the log, of this and other jobs"
        ));
    }
    Ok(Assembled { bundle, lacks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bundle_says_which_there_are() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(bundles(dir.path())).unwrap();
        for name in ["j-1.bundle", "k-1.bundle", "k-2.bundle"] {
            std::fs::write(bundles(dir.path()).join(name), "{}").unwrap();
        }
        for missing in ["x", "k", ""] {
            let error = export(dir.path(), missing).unwrap_err().to_string();
            assert!(error.contains("j-1, k-1, k-2"), "{error}");
        }
        let error = export(dir.path(), "j").unwrap_err().to_string();
        assert!(error.contains("j-1.bundle"), "{error}");
    }
}
