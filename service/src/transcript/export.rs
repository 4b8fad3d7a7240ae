//! Where a node keeps the bundles of its jobs, and reading one.

use std::path::{Path, PathBuf};

use paripassu_audit::bundle::{Bundle, BundleError};

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
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|e| e.path())
        .filter(|path| {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let bundle = path.extension().is_some_and(|e| e == "bundle");
            bundle && !job.is_empty() && stem.is_some_and(|stem| stem.starts_with(job))
        })
        .collect();
    found.sort();
    // an exact name comes first in order; a beginning must be of one only
    let exact = bundle_path(state, job);
    let path = match found.as_slice() {
        [only] => only.clone(),
        many if many.contains(&exact) => exact,
        _ => {
            let job = job.to_owned();
            return Err(ExportError::None { job, dir });
        }
    };
    Bundle::load(&path).map_err(|source| ExportError::Bundle { path, source })
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
