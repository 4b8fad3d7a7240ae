//! Opening: what was safely on disk must be there, what was torn is cut off.

use std::collections::{BTreeMap, HashMap};
use std::fs::TryLockError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::heads::Heads;
use super::medium::{Medium, create_folder, failed, private, replace, sync_folder};
use super::segment::{self, Place, Segments};
use super::store::Store;
use super::{Damage, LogError, Opened, Torn, digest, heads};
use crate::merkle::{Hash, Tree, leaf_hash};
use crate::note::{Algorithm, Checkpoint, Signer, SignerError};

const FORMAT: &str = "paripassu-transcript/3";
const HASH_BYTES: u64 = 32;

/// What the records of a log tell.
struct Contents {
    entries: Vec<Found>,
    heads: Heads,
    damage: Option<Damage>,
}

struct Found {
    job: String,
    leaf: Hash,
    digest: Hash,
    parts: (Place, Place, bool),
}

impl Contents {
    fn of(segments: &mut Segments) -> Result<Self, LogError> {
        let (mut entries, mut heads) = (Vec::new(), Heads::default());
        let (_, damage) = segments.scan(|found| match found {
            segment::Found::Entry {
                job,
                envelope,
                event,
                body,
                pruned,
            } => entries.push(Found {
                job: job.to_owned(),
                leaf: leaf_hash(envelope),
                digest: digest(envelope),
                parts: (event, body, pruned),
            }),
            segment::Found::Head { size, place } => heads.add(size, place),
        })?;
        Ok(Self {
            entries,
            heads,
            damage,
        })
    }

    /// Damage is torn writing only behind everything that was safely on disk: in the last file, with no leaf and no head
    /// that says more. While a node is `writing`, the file is read page by page and a head may be seen before what it
    /// covers: then only leaves say what was on disk.
    fn refuse(
        &self,
        dir: &Path,
        segments: &Segments,
        leaves: &[Hash],
        writing: bool,
    ) -> Result<(), LogError> {
        let (size, safe) = (self.entries.len() as u64, leaves.len() as u64);
        match &self.damage {
            Some(damage)
                if damage.index < safe
                    || (damage.followed && !writing)
                    || damage.segment + 1 < segments.list.len() =>
            {
                Err(damage.clone().into_error())
            }
            _ if size < safe => Err(LogError::Shorter {
                dir: dir.to_owned(),
                size,
                expected: safe,
                witnessed_by: "its list of leaf hashes",
            }),
            _ => Ok(()),
        }
    }
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
    let mut segments = Segments::find(dir, true)?;
    let contents = Contents::of(&mut segments)?;
    contents.refuse(dir, &segments, &leaves, false)?;
    let Contents {
        entries,
        heads,
        damage,
    } = contents;
    for (index, (entry, leaf)) in entries.iter().zip(&leaves).enumerate() {
        if entry.leaf != *leaf {
            return Err(LogError::Damaged {
                file: dir.join("leaves"),
                index: index as u64,
                offset: index as u64 * HASH_BYTES,
                found: "the leaf hash and the event do not belong together",
            });
        }
    }
    let size = entries.len();
    let torn = damage.map(|damage| Torn {
        file: damage.file,
        offset: damage.offset,
        bytes: damage.bytes,
    });
    if torn.is_some() {
        segments.cut(medium.as_mut())?;
    }

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
        segments,
        heads,
        leaves: leaves_file,
        written: leaves.len() as u64,
        tree: Tree::new(),
        parts: Vec::with_capacity(size),
        jobs: HashMap::new(),
        pending: BTreeMap::new(),
        unsynced: false,
        stopped: None,
        lock: Some(lock),
    };
    let mut pruned = 0;
    for entry in entries {
        pruned += u64::from(entry.parts.2);
        store.add(&entry.job, entry.leaf, entry.digest, entry.parts);
    }
    let mut keys = heads::keys(dir, origin)?;
    store
        .heads
        .check(&store.segments, origin, &store.tree, &keys)?;
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
        torn: torn.into_iter().collect(),
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
    // before the records, which may be in writing: those of these leaves are on disk
    let leaves = read_leaves(dir)?;
    let mut segments = Segments::find(dir, false)?;
    let contents = Contents::of(&mut segments)?;
    contents.refuse(dir, &segments, &leaves, true)?;
    let (size, signed) = (contents.entries.len() as u64, contents.heads.largest());
    let leaves_path = dir.join("leaves");
    let mut store = Store {
        dir: dir.to_owned(),
        medium: Box::new(super::medium::Disk),
        signer: Arc::new(Nobody),
        segment_bytes: 0,
        segments,
        heads: contents.heads,
        leaves: std::fs::File::open(&leaves_path).map_err(failed("open", &leaves_path))?,
        written: leaves.len() as u64,
        tree: Tree::new(),
        parts: Vec::new(),
        jobs: HashMap::new(),
        pending: BTreeMap::new(),
        unsynced: false,
        stopped: Some("it was opened to be read".to_owned()),
        lock: None,
    };
    for (entry, _) in contents.entries.into_iter().zip(0..signed) {
        store.add(&entry.job, entry.leaf, entry.digest, entry.parts);
    }
    let keys = heads::keys(dir, origin)?;
    store
        .heads
        .check(&store.segments, origin, &store.tree, &keys)?;
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
    let entries = Segments::find(dir, true)?.list;
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
