//! Files: all of them, whole, or none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::Report;

/// Why a report could not be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file or folder could not be written; nothing half written is left.
    #[error("report file {} could not be written: {source}; nothing was left half written", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The coefficients belong to another party than the one the report is for.
    #[error(
        "the report is for party `{receiver}` but holds coefficients of party `{owner}`; \
         each party's copy may hold its own only"
    )]
    ForeignCoefficients {
        /// Whom the report is for.
        receiver: String,
        /// Whose coefficients it holds.
        owner: String,
    },
    /// The report could not be turned into JSON or back.
    #[error("report JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The JSON has a newer layout than this build reads.
    #[error("report JSON has format {found}, this build reads {expected}")]
    Format {
        /// Format in the file.
        found: u32,
        /// Format of this build.
        expected: u32,
    },
}

/// The report as JSON. Numbers that are not finite are null; coefficients of another party than the
/// receiver are left out.
///
/// # Errors
/// Only if serialisation fails.
pub fn json(report: &Report) -> Result<String, ReportError> {
    let text = if report.coefficients.is_some() && report.own_coefficients().is_none() {
        serde_json::to_string_pretty(&Report {
            coefficients: None,
            ..report.clone()
        })?
    } else {
        serde_json::to_string_pretty(report)?
    };
    Ok(text + "\n")
}

/// Reads what [`json`] wrote.
///
/// # Errors
/// The text is not a report, or one of another format.
pub fn from_json(text: &str) -> Result<Report, ReportError> {
    let report: Report = serde_json::from_str(text)?;
    if report.format == Report::FORMAT {
        Ok(report)
    } else {
        Err(ReportError::Format {
            found: report.format,
            expected: Report::FORMAT,
        })
    }
}

/// Writes `report.html`, `report.json`, `model_card.md` and `tables/*.csv` into `dir`, making it if need be. Every
/// file is first written whole beside its place; only when all of them are on disk do they take
/// their names. Returns the path of `report.html`.
///
/// # Errors
/// A file cannot be written (disk full, no permission, a folder in its place): the error names it.
/// Coefficients of another party are refused before anything is written.
pub fn write(dir: &Path, report: &Report) -> Result<PathBuf, ReportError> {
    write_with(dir, report, &|path| {
        OpenOptions::new().write(true).create_new(true).open(path)
    })
}

fn write_with(
    dir: &Path,
    report: &Report,
    open: &dyn Fn(&Path) -> io::Result<File>,
) -> Result<PathBuf, ReportError> {
    let coefficients = report.coefficients.as_ref().map(|c| &c.owner);
    let points = report.scorecard.as_ref().map(|c| &c.card.party);
    let mut owners = coefficients.into_iter().chain(points);
    if let Some(owner) = owners.find(|owner| **owner != report.receiver.id) {
        return Err(ReportError::ForeignCoefficients {
            receiver: report.receiver.id.clone(),
            owner: owner.clone(),
        });
    }
    let page = dir.join("report.html");
    let folder = dir.join("tables");
    let mut files = vec![
        (dir.join("report.json"), json(report)?),
        (dir.join("model_card.md"), super::model_card(report)),
    ];
    files.extend(
        super::tables(report)
            .into_iter()
            .map(|(name, csv)| (folder.join(name), csv)),
    );
    files.push((page.clone(), super::html(report)));
    fs::create_dir_all(&folder).map_err(|source| ReportError::Write {
        path: folder,
        source,
    })?;

    let mut staged = Staged::default();
    for (path, text) in &files {
        staged
            .add(path, text.as_bytes(), open)
            .map_err(|source| ReportError::Write {
                path: path.clone(),
                source,
            })?;
    }
    staged.publish()?;
    Ok(page)
}

/// Temporary files that are removed unless they are given their names.
#[derive(Debug, Default)]
struct Staged(Vec<(PathBuf, PathBuf)>);

impl Staged {
    fn add(
        &mut self,
        path: &Path,
        bytes: &[u8],
        open: &dyn Fn(&Path) -> io::Result<File>,
    ) -> io::Result<()> {
        if path.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                "a folder is in its place",
            ));
        }
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        if let Err(error) = fs::remove_file(&temporary)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = open(&temporary)?;
        self.0.push((temporary, path.to_owned()));
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn publish(mut self) -> Result<(), ReportError> {
        while let Some((temporary, path)) = self.0.first().cloned() {
            fs::rename(&temporary, &path).map_err(|source| ReportError::Write { path, source })?;
            self.0.remove(0);
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        for (temporary, _) in &self.0 {
            // Nothing more can be done if this fails too: the error already says what is wrong.
            let _ = fs::remove_file(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Coefficients;

    fn files(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                found.extend(files(&path))
            } else {
                found.push(path)
            }
        }
        found.sort();
        found
    }

    #[test]
    fn writes_all_and_overwrites() {
        let dir = tempfile::tempdir().expect("folder");
        let out = dir.path().join("bank");
        let mut report = Report::default();
        write(&out, &report).expect("written");
        report.job.title = "Second".into();
        let page = write(&out, &report).expect("written again");
        assert!(fs::read_to_string(page).expect("page").contains("Second"));
        let names: Vec<_> = files(&out);
        assert!(
            names.iter().all(|p| !p.to_string_lossy().contains(".part")),
            "{names:?}"
        );
        assert!(names.contains(&out.join("report.json")));
        assert!(names.contains(&out.join("tables/definitions.csv")));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_names_the_file_and_leaves_the_old_report() {
        let dir = tempfile::tempdir().expect("folder");
        let report = Report::default();
        write(dir.path(), &report).expect("written");
        let before = files(dir.path());
        let old = fs::read_to_string(dir.path().join("report.json")).expect("json");

        let newer = Report {
            notes: vec!["newer".into()],
            ..report
        };
        let error = write_with(dir.path(), &newer, &|path| {
            if path.to_string_lossy().contains("definitions") {
                OpenOptions::new().write(true).open("/dev/full")
            } else {
                OpenOptions::new().write(true).create_new(true).open(path)
            }
        })
        .expect_err("the disk is full");
        let words = error.to_string();
        assert!(
            words.contains("definitions.csv") && words.contains("No space"),
            "{words}"
        );
        assert_eq!(files(dir.path()), before);
        let now = fs::read_to_string(dir.path().join("report.json")).expect("json");
        assert_eq!(now, old);
    }

    #[test]
    fn a_folder_in_the_way_leaves_nothing() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir(dir.path().join("report.html")).expect("folder");
        let error = write(dir.path(), &Report::default()).expect_err("a folder is in the way");
        assert!(error.to_string().contains("report.html"), "{error}");
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn coefficients_of_another_party_are_refused() {
        let dir = tempfile::tempdir().expect("folder");
        let mut report = Report::default();
        report.receiver.id = "bank".into();
        let owner = "partner".to_owned();
        report.coefficients = Some(Coefficients {
            owner,
            ..Coefficients::default()
        });
        let error = write(dir.path(), &report).expect_err("not its own");
        assert!(matches!(error, ReportError::ForeignCoefficients { .. }));
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
        assert!(!json(&report).expect("json").contains("partner"));
    }

    #[test]
    fn json_reads_back() {
        let mut report = Report::default();
        report.uplift.push(Default::default());
        report.uplift[0].delta = f64::NAN;
        let text = json(&report).expect("json");
        assert!(text.contains("\"delta\": null"));
        let again = from_json(&text).expect("report");
        assert!(again.uplift[0].delta.is_nan());
        assert!(matches!(
            from_json(&text.replacen("\"format\": 1", "\"format\": 9", 1)),
            Err(ReportError::Format {
                found: 9,
                expected: 1
            })
        ));
    }
}
