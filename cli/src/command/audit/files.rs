//! The files that these commands read, and a node's state folder.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use paripassu_audit::{
    bundle::Bundle,
    event::hex,
    page::Subject,
    trust::Trust,
    verify::{HeldFile, Options, Verdict, verify},
};
use paripassu_service::transcript::{self, Assembled, ExportError};

use crate::failure::Failure;

/// A file that cannot be read, as the transcript's specification says.
pub(super) const UNREADABLE: u8 = 3;

/// A bundle and its file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) bundle: Bundle,
    pub(super) file: String,
    pub(super) sha256: String,
}

/// The file's last component, for people.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::own(
        UNREADABLE,
        format!("cannot read {}: {error}", path.display()),
    );
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            failure.hint("check the path; it is relative to this folder")
        }
        std::io::ErrorKind::IsADirectory => {
            failure.hint("give the file itself, `JOB.bundle`; `paripassu audit export` makes it")
        }
        _ => failure,
    }
}

/// Reads any file that the caller named.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| unreadable(path, &e))
}

/// SHA-256, hexadecimal.
pub(super) fn sha256(content: &[u8]) -> String {
    hex(&HeldFile::new("", content).sha256)
}

/// Reads a bundle.
pub(super) fn open(path: &Path) -> Result<Opened, Failure> {
    let length = std::fs::metadata(path)
        .map_err(|e| unreadable(path, &e))?
        .len();
    let not = |error: &dyn std::fmt::Display| {
        Failure::own(UNREADABLE, format!("{}: {error}", path.display())).hint(
            "a bundle is the file that `paripassu audit export` writes; one that was cut off or changed by \
             hand is refused before anything is verified",
        )
    };
    if length > paripassu_audit::bundle::MAX_BYTES {
        let limit = paripassu_audit::bundle::MAX_BYTES >> 20;
        return Err(not(&format!(
            "{length} bytes are more than the {limit} MiB of a bundle"
        )));
    }
    let content = read(path)?;
    Ok(Opened {
        bundle: Bundle::parse(&content).map_err(|e| not(&e))?,
        file: name_of(path),
        sha256: sha256(&content),
    })
}

/// What a bundle is judged by.
#[derive(Debug, Args)]
pub(super) struct Judgement {
    /// What you trust: authority or pinned keys, witnesses, programs; `audit trust` prints a sample
    #[arg(long, visible_alias = "trust", value_name = "trust.toml")]
    policy: Option<PathBuf>,
    /// Where no trust file is at hand: the consortium's certificate authority (PEM), from your own records
    #[arg(long, value_name = "ca.crt", conflicts_with = "policy")]
    authority: Option<PathBuf>,
    /// A model or report file that you hold, compared with the one recorded; repeatable
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
}

/// A bundle, judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) opened: Opened,
    pub(super) verdict: Verdict,
    pub(super) subject: Subject,
    pub(super) at: i64,
    trust: Option<Trust>,
    files: Vec<HeldFile>,
}

impl Judgement {
    /// Reads everything and runs the checks.
    pub(super) fn judge(&self, path: &Path) -> Result<Judged, Failure> {
        let mut trust = None;
        let mut named = None;
        if let Some(path) = &self.policy {
            named = Some((name_of(path), sha256(&read(path)?)));
            let hint = "`paripassu audit trust` prints a sample with every key";
            let read = Trust::load(path);
            trust = Some(read.map_err(|e| Failure::own(UNREADABLE, e).hint(hint))?);
        }
        if let Some(path) = &self.authority {
            let pem = String::from_utf8_lossy(&read(path)?).into_owned();
            named = Some((name_of(path), sha256(pem.as_bytes())));
            trust = Some(Trust::of_authority(pem));
        }
        let files = self.model.iter();
        let files = files.map(|path| Ok(HeldFile::new(&name_of(path), &read(path)?)));
        let files = files.collect::<Result<Vec<_>, Failure>>()?;
        let opened = open(path)?;
        let at = now();
        let mut judged = Judged {
            subject: Subject {
                file: opened.file.clone(),
                sha256: opened.sha256.clone(),
                trust: named,
            },
            verdict: verify(
                &opened.bundle,
                &Options {
                    trust: trust.as_ref(),
                    now: Some(at),
                    files: &files,
                },
            ),
            opened,
            at,
            trust: None,
            files: Vec::new(),
        };
        judged.trust = trust;
        judged.files = files;
        Ok(judged)
    }
}

impl Judged {
    /// What it was judged by.
    pub(super) fn options(&self) -> Options<'_> {
        Options {
            trust: self.trust.as_ref(),
            now: Some(self.at),
            files: &self.files,
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since
        .ok()
        .and_then(|t| i64::try_from(t.as_secs()).ok())
        .unwrap_or(0)
}

/// Where a node keeps its state.
#[derive(Debug, Args)]
#[group(required = false, multiple = false)]
pub(super) struct Node {
    /// The node's state folder
    #[arg(long, value_name = "DIR")]
    pub(super) state: Option<PathBuf>,
    /// The node's configuration, which names its state folder
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl Node {
    /// A folder of the node, by its key in the configuration: `state` or `identity`.
    pub(super) fn folder(&self, key: &str) -> Result<PathBuf, Failure> {
        if let (Some(state), "state") = (&self.state, key) {
            return Ok(state.clone());
        }
        let Some(config) = &self.config else {
            if self.state.is_some() {
                return Err(Failure::own(
                    2,
                    format!("where is the node's {key}? neither --config nor --{key} is given"),
                ));
            }
            return Err(Failure::own(2, "which node's transcript? neither --state nor --config is given")
                .hint("--config party.toml, the file that the node was started with; or its --state folder"));
        };
        let text = crate::command::read_text(config)?;
        let table: toml::Table = toml::from_str(&text)
            .map_err(|e| Failure::user(format!("{} is no configuration: {e}", config.display())))?;
        let state = table
            .get(key)
            .and_then(toml::Value::as_str)
            .ok_or_else(|| {
                Failure::user(format!("{} names no `{key}` folder", config.display())).hint(format!(
                    "a node's configuration has `{key} = \"…\"`; or give the folder with --{key}",
                ))
            })?;
        Ok(config.parent().unwrap_or(Path::new("")).join(state))
    }

    /// The bundle of a job: the one that the node wrote, or, where it wrote none, one made from its log, with
    /// what that lacks.
    pub(super) fn bundle(&self, job: &str) -> Result<Assembled, Failure> {
        let state = self.folder("state")?;
        let found = match transcript::export(&state, job) {
            Ok(bundle) => Ok(Assembled {
                bundle,
                lacks: Vec::new(),
            }),
            // if the log knows nothing of it either, there is no bundle
            Err(none @ ExportError::None { .. }) => {
                transcript::assemble(&state, job).map_err(|error| match error {
                    ExportError::None { .. } => none,
                    other => other,
                })
            }
            Err(error) => Err(error),
        };
        found.map_err(|e| {
            Failure::own(UNREADABLE, e)
                .hint("the node writes a job's bundle when the job has ended")
        })
    }
}
