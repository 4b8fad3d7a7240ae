//! Results on disk: written whole into a folder of their own, which then gets its final name.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use paripassu_audit::event::{bodies::FileDigest, hex};
use paripassu_model::{
    report::{self, RejectReport, Report},
    validation::Compared,
};
use paripassu_protocol::abort::Abort;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Prepared,
    evaluate::Evaluation,
    going_on::WentOn,
    own,
    train::{Fit, Regression},
};

/// What is written, and where.
pub(super) struct Results {
    pub(super) folder: PathBuf,
    pub(super) report: Option<Report>,
}

/// What a vertical job's files are made of, besides the results.
pub(super) struct Content {
    pub(super) party: String,
    pub(super) job: String,
    pub(super) keep_predictions: bool,
    /// Against the job before it.
    pub(super) compared: Compared,
    /// What was made of declined applicants.
    pub(super) inferred: Option<RejectReport>,
    /// Where training went on.
    pub(super) went_on: Option<WentOn>,
    /// The column added to each score, at the label party.
    pub(super) offset: Option<String>,
}

/// Results written, not yet under their final name; removed again if dropped.
#[derive(Debug)]
pub(super) struct Staged {
    part: PathBuf,
    folder: PathBuf,
    committed: bool,
}

#[derive(Serialize)]
struct ModelFile<'a> {
    format: u32,
    job: &'a str,
    party: &'a str,
    kind: &'a str,
    /// Of the log-odds of bad, on the standardised scale; null where another party holds it.
    intercept: Option<f64>,
    /// Its standard error, where the job releases such.
    #[serde(skip_serializing_if = "Option::is_none")]
    intercept_se: Option<f64>,
    /// The column that is added to the score as it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<&'a str>,
    columns: Vec<Value>,
}

fn failed(path: &Path, e: &std::io::Error) -> Abort {
    own(format!(
        "cannot write {}: {e}: nothing of this job's results is kept",
        path.display()
    ))
}

/// Writes and syncs a file.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Abort> {
    let write = || -> std::io::Result<()> {
        let mut f = fs::File::create(path)?;
        f.write_all(bytes)?;
        f.sync_all()
    };
    write().map_err(|e| failed(path, &e))
}

impl Results {
    /// Writes everything beside the final folder; returns the digests of all files, too.
    pub(super) fn stage(
        self,
        content: Vec<(&'static str, Vec<u8>)>,
    ) -> Result<(Staged, Vec<FileDigest>), Abort> {
        let mut part = self.folder.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let staged = Staged {
            part,
            folder: self.folder.clone(),
            committed: false,
        };
        let dir = &staged.part;
        if dir.exists() {
            fs::remove_dir_all(dir).map_err(|e| failed(dir, &e))?;
        }
        fs::create_dir_all(dir).map_err(|e| failed(dir, &e))?;
        restrict(dir).map_err(|e| failed(dir, &e))?;
        for (name, bytes) in content {
            put(&dir.join(name), &bytes)?;
        }
        if let Some(content) = &self.report {
            report::write(dir, content).map_err(own)?;
        }
        let files = digests(dir)?;
        Ok((staged, files))
    }
}

impl Content {
    /// Model, metrics and predictions, as far as this party has them.
    pub(super) fn files(
        &self,
        data: &Prepared,
        fit: &Fit,
        evaluation: Option<&Evaluation>,
    ) -> Result<Vec<(&'static str, Vec<u8>)>, Abort> {
        let model = match fit {
            Fit::Logistic(fit) => serde_json::to_vec_pretty(&self.model(data, fit)),
            Fit::Network(fit) => {
                let model = super::network::model(&self.job, &self.party, data, fit);
                serde_json::to_vec_pretty(&model)
            }
        };
        let mut files = vec![("model.json", model.map_err(own)?)];
        if let Some(bins) = &data.bins {
            files.push(("bins.json", serde_json::to_vec_pretty(bins).map_err(own)?));
        }
        if let Some(e) = evaluation {
            let mut metrics = serde_json::to_value(&e.summary).map_err(own)?;
            if let Some(bins) = &data.bins {
                metrics["columns"] = bins.selection();
            }
            if let Some(inferred) = &self.inferred {
                metrics["reject_inference"] = serde_json::to_value(inferred).map_err(own)?;
            }
            if let Some(went_on) = &self.went_on {
                metrics["resumed"] = went_on.value();
            }
            metrics["compared"] = serde_json::to_value(&self.compared).map_err(own)?;
            let metrics = serde_json::to_vec_pretty(&metrics).map_err(own)?;
            files.push(("metrics.json", metrics));
            if self.keep_predictions
                && let Some(rows) = &e.rows
            {
                files.push((
                    "predictions.csv",
                    predictions(&data.rows.of_accepted(data.test_ids.clone()), rows).into_bytes(),
                ));
            }
        }
        Ok(files)
    }

    fn model<'a>(&'a self, data: &Prepared, fit: &Regression) -> ModelFile<'a> {
        ModelFile {
            format: 1,
            job: &self.job,
            party: &self.party,
            kind: "logistic",
            intercept: fit.intercept,
            intercept_se: fit.errors.as_ref().and_then(|e| e.intercept),
            offset: self.offset.as_deref(),
            columns: data
                .design
                .columns()
                .iter()
                .zip(&fit.coefficients)
                .enumerate()
                .map(|(j, (c, w))| {
                    let mut column = json!({
                        "name": c.name, "mean": c.mean, "sd": c.sd, "coef": w, "source": c.source,
                    });
                    if let Some(se) = fit.errors.as_ref().and_then(|e| e.columns.get(j)) {
                        column["se"] = json!(se);
                    }
                    column
                })
                .collect(),
        }
    }
}

/// The digests of all files in a folder and the folders in it, by their own names.
fn digests(dir: &Path) -> Result<Vec<FileDigest>, Abort> {
    let mut files: Vec<FileDigest> = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|e| failed(&folder, &e))?;
        for entry in entries {
            let path = entry.map_err(|e| failed(&folder, &e))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = fs::read(&path).map_err(|e| failed(&path, &e))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if files.iter().any(|file| file.name == name) {
                return Err(own(format!("two result files are called {name}")));
            }
            files.push(FileDigest {
                name: name.into_owned(),
                sha256: hex(&Sha256::digest(&content)),
                bytes: content.len() as u64,
            });
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

impl Staged {
    /// Gives the results their final name.
    pub(super) fn commit(mut self) -> Result<(), Abort> {
        fs::rename(&self.part, &self.folder).map_err(|e| failed(&self.folder, &e))?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed
            && let Err(e) = fs::remove_dir_all(&self.part)
        {
            tracing::error!(folder = %self.part.display(), error = %e, "could not remove results");
        }
    }
}

/// What became of the outputs of a job that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withdrawn {
    /// How many folders of results were removed.
    pub(crate) removed: u64,
    /// Whether nothing of them is left.
    pub(crate) clean: bool,
}

/// Removes what a job that did not end well has left among the results.
pub(crate) fn withdraw(results: &Path, job: &str) -> Withdrawn {
    let mut withdrawn = Withdrawn {
        removed: 0,
        clean: true,
    };
    for folder in [results.join(job), results.join(format!("{job}.part"))] {
        match remove(&folder) {
            Some(true) => withdrawn.removed += 1,
            Some(false) => withdrawn.clean = false,
            None => {}
        }
    }
    withdrawn
}

/// Removes half-written results that a killed process has left.
pub(crate) fn sweep(results: &Path) {
    for entry in fs::read_dir(results).into_iter().flatten().flatten() {
        if let Some(job) = entry.file_name().to_string_lossy().strip_suffix(".part") {
            tracing::warn!(job, "removing half-written results");
            remove(&entry.path());
        }
    }
}

/// Removes a folder: whether it is gone, or nothing where there was none.
fn remove(folder: &Path) -> Option<bool> {
    // what cannot be looked at may be there
    match fs::symlink_metadata(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        _ => {}
    }
    let removed = fs::remove_dir_all(folder);
    if let Err(error) = &removed {
        tracing::error!(folder = %folder.display(), %error, "could not remove results");
    }
    Some(removed.is_ok())
}

/// Results are for the owner of the node only.
fn restrict(dir: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}

fn predictions(ids: &[String], rows: &super::evaluate::Rows) -> String {
    let mut out = String::from("id,y,log_odds,pd,pd_alone\n");
    for (i, id) in ids.iter().enumerate() {
        let quoted = match id.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", id.replace('"', "\"\"")),
            false => id.clone(),
        };
        let (Some(y), Some(z), Some(p), Some(a)) = (
            rows.labels.get(i),
            rows.margins.get(i),
            rows.joint.get(i),
            rows.alone.get(i),
        ) else {
            continue;
        };
        out.push_str(&format!("{quoted},{y},{z},{p},{a}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_that_are_not_committed_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (part, folder) = (dir.path().join("j.part"), dir.path().join("j"));
        fs::create_dir(&part).unwrap();
        drop(Staged {
            part: part.clone(),
            folder: folder.clone(),
            committed: false,
        });
        assert!(!part.exists() && !folder.exists());
        fs::create_dir(&part).unwrap();
        Staged {
            part: part.clone(),
            folder: folder.clone(),
            committed: false,
        }
        .commit()
        .unwrap();
        assert!(!part.exists() && folder.exists());
    }

    #[test]
    fn what_cannot_be_removed_is_not_called_destroyed() {
        let dir = tempfile::tempdir().unwrap();
        let said = |removed, clean| Withdrawn { removed, clean };
        assert_eq!(withdraw(dir.path(), "j"), said(0, true));
        for name in ["j", "j.part"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("model.json"), "{}").unwrap();
        }
        assert_eq!(withdraw(dir.path(), "j"), said(2, true));
        assert_eq!(withdraw(dir.path(), "j"), said(0, true));
        // a file where a folder of results should be is not removed as one
        fs::write(dir.path().join("j"), "in the way").unwrap();
        assert_eq!(withdraw(dir.path(), "j"), said(0, false));
    }

    #[test]
    fn a_full_disk_names_the_file() {
        let full = Path::new("/dev/full");
        if full.exists() {
            let e = put(full, b"x").unwrap_err().to_string();
            assert!(e.contains("/dev/full") && e.contains("nothing"), "{e}");
        }
    }
}
