//! Opening: what was safely on disk must be there, what was torn is cut off.

use std::collections::{BTreeMap, HashMap};
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::heads::Heads;
use super::medium::{Medium, create_folder, failed, private, replace, sync_folder};
use super::record::{Content, Kind};
use super::segment::{Place, Segments};
use super::store::Store;
use super::{Damage, LogError, Opened, Torn, digest, heads};
use crate::merkle::{Hash, Tree, leaf_hash};
use crate::note::{Algorithm, Checkpoint, Signer, SignerError};

const FORMAT: &str = "paripassu-transcript/2";
const HASH_BYTES: u64 = 32;

struct Event {
    place: Place,
    job: String,
    leaf: Hash,
    digest: Hash,
}

pub(super) fn open(
    mut medium: Box<dyn Medium>,
    dir: &Path,
    origin: &str,
    signer: Arc<dyn Signer>,
    segment_bytes: u64,
) -> Result<(Store, Opened), LogError> {
    Checkpoint::new(origin, 0, [0; 32])?;
    create_folder(dir)?;
    let lock = lock(dir)?;
    start(medium.as_mut(), dir, origin)?;

    let leaves = read_leaves(dir)?;
    let (mut heads, torn_head) = Heads::find(dir, true)?;
    let signed = heads.largest();
    // Everything below this was safely on disk.
    let safe = signed.max(leaves.len() as u64);

    let mut segments = Segments::find(dir, Kind::Events, true)?;
    let mut events = Vec::new();
    let (_, event_damage) = segments.scan(|content, place| {
        if let Content::Event { job, envelope } = content {
            events.push(Event {
                place,
                job: job.to_owned(),
                leaf: leaf_hash(envelope),
                digest: digest(envelope),
            });
        }
    })?;
    refuse(&segments, event_damage.as_ref(), safe)?;
    let mut body_segments = Segments::find(dir, Kind::Bodies, true)?;
    let mut bodies = Vec::new();
    let (_, body_damage) = body_segments.scan(|content, place| {
        bodies.push((place, content == Content::Pruned));
    })?;
    refuse(&body_segments, body_damage.as_ref(), safe)?;

    let size = events.len().min(bodies.len());
    for (index, (event, leaf)) in events.iter().zip(&leaves).enumerate() {
        if event.leaf != *leaf {
            return Err(LogError::Damaged {
                file: dir.join("leaves"),
                index: index as u64,
                offset: index as u64 * HASH_BYTES,
                found: "the leaf hash and the event do not belong together",
            });
        }
    }
    if (size as u64) < safe {
        return Err(LogError::Shorter {
            dir: dir.to_owned(),
            size: size as u64,
            expected: safe,
            witnessed_by: if signed == safe {
                "its last signed checkpoint"
            } else {
                "its list of leaf hashes"
            },
        });
    }

    // What nobody was told about ends with the last entry that has both parts.
    let mut torn = Vec::new();
    let surplus = events.get(size).map(|event| event.place);
    torn.extend(cut(
        medium.as_mut(),
        &mut segments,
        size as u64,
        surplus,
        event_damage,
    )?);
    let surplus = bodies.get(size).map(|(place, _)| *place);
    torn.extend(cut(
        medium.as_mut(),
        &mut body_segments,
        size as u64,
        surplus,
        body_damage,
    )?);
    torn.extend(heads.cut(medium.as_mut(), torn_head)?);

    let leaves_path = dir.join("leaves");
    let leaves_file = private()
        .append(true)
        .open(&leaves_path)
        .map_err(failed("open", &leaves_path))?;
    leaves_file
        .set_len(leaves.len() as u64 * HASH_BYTES)
        .map_err(failed("cut", &leaves_path))?;
    let mut store = Store {
        dir: dir.to_owned(),
        medium,
        signer,
        segment_bytes,
        events: segments,
        bodies: body_segments,
        heads,
        leaves: leaves_file,
        written: leaves.len() as u64,
        tree: Tree::new(),
        parts: Vec::with_capacity(size),
        jobs: HashMap::new(),
        pending: BTreeMap::new(),
        stopped: None,
        lock: Some(lock),
    };
    let mut pruned = 0;
    for (event, (body, gone)) in events.iter().zip(bodies) {
        store.add(
            &event.job,
            event.leaf,
            event.digest,
            (event.place, body, gone),
        );
        pruned += u64::from(gone);
    }
    let mut keys = heads::keys(dir, origin)?;
    store.heads.check(origin, &store.tree, &keys)?;
    let key = heads::log_key(origin, &*store.signer)?;
    if !keys.contains(&key) {
        keys.push(key);
        heads::write_keys(store.medium.as_mut(), dir, &keys)?;
    }
    store.sync()?;
    let opened = Opened {
        size: size as u64,
        adopted: size as u64 - leaves.len() as u64,
        pruned,
        torn,
    };
    Ok((store, opened))
}

/// What the last signed head of a log covers, to be read only; a node may be writing to the log meanwhile. Also
/// the log's name, and how many entries stand behind that head.
pub(super) fn read(dir: &Path) -> Result<(Store, String, u64), LogError> {
    let path = dir.join("origin");
    let text = std::fs::read_to_string(&path).map_err(failed("read", &path))?;
    let origin = text
        .strip_prefix(FORMAT)
        .and_then(|rest| rest.strip_prefix('\n')?.strip_suffix('\n'))
        .ok_or_else(|| LogError::Missing {
            file: path.clone(),
            index: 0,
        })?;
    // the newest head may still be in writing
    let (heads, _) = Heads::find(dir, false)?;
    let signed = heads.largest();
    let leaves = read_leaves(dir)?;
    let segments = Segments::find(dir, Kind::Events, false)?;
    let body_segments = Segments::find(dir, Kind::Bodies, false)?;
    let leaves_path = dir.join("leaves");
    let mut store = Store {
        dir: dir.to_owned(),
        medium: Box::new(super::medium::Disk),
        signer: Arc::new(Nobody),
        segment_bytes: 0,
        events: segments,
        bodies: body_segments,
        heads,
        leaves: std::fs::File::open(&leaves_path).map_err(failed("open", &leaves_path))?,
        written: leaves.len() as u64,
        tree: Tree::new(),
        parts: Vec::new(),
        jobs: HashMap::new(),
        pending: BTreeMap::new(),
        stopped: Some("it was opened to be read".to_owned()),
        lock: None,
    };
    let mut bodies = Vec::new();
    store.bodies.scan(|content, place| {
        bodies.push((place, content == Content::Pruned));
    })?;
    let mut events = Vec::new();
    store.events.scan(|content, place| {
        if let Content::Event { job, envelope } = content {
            events.push((place, job.to_owned(), leaf_hash(envelope), digest(envelope)));
        }
    })?;
    let size = events.len().min(bodies.len()) as u64;
    if size < signed {
        return Err(LogError::Shorter {
            dir: dir.to_owned(),
            size,
            expected: signed,
            witnessed_by: "its last signed checkpoint",
        });
    }
    // what stands behind the head may still be torn
    let covered = events.into_iter().zip(bodies).zip(0..signed);
    for (((place, job, leaf, digest), (body, pruned)), _) in covered {
        store.add(&job, leaf, digest, (place, body, pruned));
    }
    let keys = heads::keys(dir, origin)?;
    store.heads.check(origin, &store.tree, &keys)?;
    Ok((store, origin.to_owned(), size - signed))
}

/// Of a log that is only read.
struct Nobody;

impl Signer for Nobody {
    fn algorithm(&self) -> Algorithm {
        Algorithm::Ed25519
    }

    fn public_key(&self) -> Vec<u8> {
        vec![0; 32]
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignerError> {
        Err(SignerError {
            key: "none".into(),
            why: "the log was opened to be read".into(),
        })
    }
}

/// One writer per folder.
fn lock(dir: &Path) -> Result<std::fs::File, LogError> {
    let path = dir.join("lock");
    let file = private()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LogError::InUse {
            dir: dir.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// Checks whose log this is; an empty folder becomes one.
fn start(medium: &mut dyn Medium, dir: &Path, origin: &str) -> Result<(), LogError> {
    let path = dir.join("origin");
    let expected = format!("{FORMAT}\n{origin}\n");
    match std::fs::read(&path) {
        Ok(got) if got == expected.as_bytes() => return Ok(()),
        Ok(got) => {
            let got = String::from_utf8_lossy(&got);
            let got = got.strip_prefix(FORMAT).unwrap_or(&got).trim().to_owned();
            return Err(LogError::Origin {
                dir: dir.to_owned(),
                expected: origin.to_owned(),
                got,
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("read", &path)(error)),
    }
    // Without its name a folder with entries is not taken for a new log.
    let entries = Segments::find(dir, Kind::Events, true)?.list;
    let leaves = dir.join("leaves");
    if !entries.is_empty() || leaves.metadata().is_ok_and(|found| found.len() > 0) {
        return Err(LogError::Missing {
            file: path,
            index: 0,
        });
    }
    heads::write_keys(medium, dir, &[])?;
    private()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&leaves)
        .map_err(failed("create", &leaves))?;
    sync_folder(medium, dir)?;
    replace(medium, dir, "origin", expected.as_bytes())?;
    Ok(())
}

/// The leaf hashes on disk. A hash is never split across disk sectors: what was not yet written when
/// power failed is missing or zeros, and SHA-256 gives no zeros.
fn read_leaves(dir: &Path) -> Result<Vec<Hash>, LogError> {
    let path = dir.join("leaves");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LogError::Missing {
                file: path,
                index: 0,
            });
        }
        Err(error) => return Err(failed("read", &path)(error)),
    };
    let mut leaves = bytes.as_chunks().0.to_vec();
    if let Some(end) = leaves.iter().position(|leaf| *leaf == [0; 32]) {
        leaves.truncate(end);
    }
    Ok(leaves)
}

/// Damage is torn writing only behind everything that was safely on disk, in the last file.
fn refuse(segments: &Segments, damage: Option<&Damage>, safe: u64) -> Result<(), LogError> {
    match damage {
        Some(damage) if damage.index < safe || damage.segment + 1 < segments.list.len() => {
            Err(damage.clone().into_error())
        }
        _ => Ok(()),
    }
}

/// Cuts the last file where the records without their other part, or the damage, begin.
fn cut(
    medium: &mut dyn Medium,
    segments: &mut Segments,
    index: u64,
    surplus: Option<Place>,
    damage: Option<Damage>,
) -> Result<Option<Torn>, LogError> {
    let offset = match (surplus, damage) {
        (Some(place), _) => {
            let holder = &segments.list[place.segment];
            if place.segment + 1 < segments.list.len() {
                return Err(LogError::Damaged {
                    file: holder.path.clone(),
                    index,
                    offset: place.offset,
                    found: "its other part, event or body, is missing",
                });
            }
            place.offset
        }
        (None, Some(damage)) => damage.offset,
        (None, None) => return Ok(None),
    };
    let torn = segments.list.last().map(|last| Torn {
        file: last.path.clone(),
        offset,
        bytes: last.bytes.saturating_sub(offset),
    });
    segments.cut(medium, offset)?;
    Ok(torn)
}
