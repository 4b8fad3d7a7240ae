//! The policy in force at a running node: read again when its file changes, taken only if enough people signed it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use paripassu_audit::event::bodies::{Incident, PolicyChanged, PolicySigned};
use paripassu_service::{clock::Clock, transcript::Transcript};

use super::{
    file::PolicyFile,
    signed::{NotTaken, Taken, digest, take},
};
use crate::{StartError, config::PartyConfig, store::Store};

/// Folder of taken policies within the node's state folder.
const FOLDER: &str = "policy";
const TAKEN: &str = "taken.toml";

/// What a party judges by now.
#[derive(Debug)]
pub(crate) struct Force {
    /// The configuration, with the policy file's limits in it.
    pub(crate) config: Arc<PartyConfig>,
    /// The policy file.
    pub(crate) taken: Option<Taken>,
    /// The number of the whole policy.
    pub(crate) version: u64,
}

/// Keeps the policy in force up to date.
pub(crate) struct Keeper {
    base: Arc<PartyConfig>,
    party: String,
    store: Arc<Store>,
    transcript: Arc<Transcript>,
    clock: Clock,
    held: Mutex<Held>,
}

struct Held {
    stamp: Stamp,
    force: Arc<Force>,
}

/// When policy and signatures were last written, and their lengths.
type Stamp = [Option<(SystemTime, u64)>; 2];

/// The file of signatures beside a policy.
pub fn signatures_beside(policy: &Path) -> PathBuf {
    let mut name = policy.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keeper({})", self.party)
    }
}

impl Keeper {
    /// Takes the policy of a starting node; one that is not signed as it must be is an error.
    pub(crate) fn open(
        config: PartyConfig,
        party: &str,
        store: Arc<Store>,
        transcript: Arc<Transcript>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let base = Arc::new(config);
        let stamp = stamp(&base);
        let now = clock.now();
        let taken = read(&base, party, now)?;
        let force = enter(&base, taken, &store, &transcript, now)?;
        Ok(Self {
            base,
            party: party.to_owned(),
            store,
            transcript,
            clock,
            held: Mutex::new(Held {
                stamp,
                force: Arc::new(force),
            }),
        })
    }

    /// What is in force now. A changed file that is not signed as it must be changes nothing, and is an incident.
    pub(crate) fn now(&self) -> Arc<Force> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.base);
        if stamp != held.stamp {
            held.stamp = stamp;
            let now = self.clock.now();
            let entered = read(&self.base, &self.party, now)
                .and_then(|taken| enter(&self.base, taken, &self.store, &self.transcript, now));
            match entered {
                Ok(force) => held.force = Arc::new(force),
                Err(error) => {
                    tracing::error!(%error, "the policy file has changed and is not taken: the one before stays in force");
                    let incident = Incident {
                        class: "policy-not-taken".into(),
                        detail: "the policy file has changed and is not signed as it must be"
                            .into(),
                    };
                    if let Err(error) = self.transcript.write("", incident) {
                        tracing::error!(%error, "the transcript cannot be written");
                    }
                }
            }
        }
        Arc::clone(&held.force)
    }
}

/// The policy file of a party as its node would take it now, without taking it; none where the configuration names none.
///
/// # Errors
/// When it cannot be read, or is not signed as it and the one taken before it ask.
pub fn in_force(
    config: &PartyConfig,
    party: &str,
    now: i64,
) -> Result<Option<PolicyFile>, StartError> {
    let found = find(config, party, now)?;
    Ok(found.map(|(taken, _, _)| taken.file))
}

fn stamp(config: &PartyConfig) -> Stamp {
    let of = |path: &Path| {
        let data = fs::metadata(path).ok()?;
        Some((data.modified().ok()?, data.len()))
    };
    match &config.policy {
        Some(path) => [of(path), of(&signatures_beside(path))],
        None => [None, None],
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Folder {
        path: path.clone(),
        source,
    }
}

fn read(config: &PartyConfig, party: &str, now: i64) -> Result<Option<Taken>, StartError> {
    let Some((taken, signatures, new)) = find(config, party, now)? else {
        return Ok(None);
    };
    if new {
        keep(&config.state, &taken, &signatures)?;
    }
    Ok(Some(taken))
}

/// The policy file with its signatures, and whether it is another than the one taken last.
fn find(
    config: &PartyConfig,
    party: &str,
    now: i64,
) -> Result<Option<(Taken, String, bool)>, StartError> {
    let before = taken_before(&config.state)?;
    let Some(path) = &config.policy else {
        return match before {
            // whoever leaves the file out of the configuration does not do away with its rules
            Some(_) => Err(StartError::PolicyMissing {
                state: config.state.join(FOLDER),
            }),
            None => Ok(None),
        };
    };
    let text = fs::read_to_string(path).map_err(failed(path))?;
    let beside = signatures_beside(path);
    let signatures = match fs::read_to_string(&beside) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(&beside)(error)),
    };
    let not_taken = |source: NotTaken| StartError::PolicyFile {
        path: path.clone(),
        source: Box::new(source),
    };
    let taken = take(&text, &signatures, party, before.as_ref(), now).map_err(not_taken)?;
    let new = before.is_none_or(|before| before.text != taken.text);
    Ok(Some((taken, signatures, new)))
}

/// The policy that was taken last.
fn taken_before(state: &Path) -> Result<Option<Taken>, StartError> {
    let path = state.join(FOLDER).join(TAKEN);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let file = PolicyFile::parse(&text).map_err(|source| StartError::PolicyFile {
                path: path.clone(),
                source: Box::new(source.into()),
            })?;
            Ok(Some(Taken {
                file,
                text,
                signers: Vec::new(),
            }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path)(error)),
    }
}

/// Keeps a policy that was taken, with its signatures, under its digest and as the last.
fn keep(state: &Path, taken: &Taken, signatures: &str) -> Result<(), StartError> {
    let dir = state.join(FOLDER);
    fs::create_dir_all(&dir).map_err(failed(&dir))?;
    let name = digest(&taken.text);
    for (name, text) in [
        (format!("{name}.toml.sig"), signatures),
        (format!("{name}.toml"), &taken.text),
        (TAKEN.to_owned(), &taken.text),
    ] {
        let path = dir.join(name);
        let new = path.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(failed(&path))?;
    }
    Ok(())
}

/// Numbers the policy anew where it has changed, and writes that down, with who signed it.
fn enter(
    base: &Arc<PartyConfig>,
    taken: Option<Taken>,
    store: &Store,
    transcript: &Transcript,
    now: i64,
) -> Result<Force, StartError> {
    let config = match &taken {
        Some(taken) => Arc::new(base.governed(&taken.file)),
        None => Arc::clone(base),
    };
    let text = taken.as_ref().map(|taken| taken.text.as_str());
    let new = config.policy_digest(text)?;
    let known = store.policy()?;
    let (version, old) = match known {
        Some((version, digest)) if digest == new => {
            return Ok(Force {
                config,
                taken,
                version,
            });
        }
        Some((version, digest)) => (version + 1, Some(digest)),
        None => (1, None),
    };
    tracing::info!(version, "the party's policy is new or has changed");
    // first in the log: a policy that nobody wrote down is not the party's
    if let Some(taken) = &taken {
        let signed = PolicySigned {
            file: digest(&taken.text),
            version: taken.file.policy.version,
            signers: taken.signers.clone(),
        };
        transcript.write("", signed)?;
    }
    let changed = PolicyChanged {
        old,
        new: new.clone(),
        version,
    };
    transcript.write("", changed)?;
    store.changed_policy(version, &new, now)?;
    Ok(Force {
        config,
        taken,
        version,
    })
}
