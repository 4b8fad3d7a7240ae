//! A disk that refuses to write stops the log.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::log::medium::Medium;

/// A disk with room for so many bytes; syncs count as one.
pub(super) struct Full(pub(super) Arc<AtomicU64>);

impl Full {
    fn take(&self, wanted: u64) -> u64 {
        let left = self.0.load(Ordering::SeqCst);
        let taken = left.min(wanted);
        self.0.store(left - taken, Ordering::SeqCst);
        taken
    }
}

impl Medium for Full {
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let room = usize::try_from(self.take(bytes.len() as u64)).unwrap();
        file.write_all(&bytes[..room])?;
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let room = usize::try_from(self.take(bytes.len() as u64)).unwrap();
        file.write_all_at(&bytes[..room], offset)?;
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&mut self, _: &File) -> io::Result<()> {
        if self.take(1) == 0 {
            return Err(io::Error::other("the device is gone"));
        }
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_the_log_and_loses_nothing() {
    let mut outcomes = [0u32; 2];
    for room in (0..).step_by(2) {
        let dir = tempfile::tempdir().unwrap();
        let left = Arc::new(AtomicU64::new(u64::MAX));
        let medium = Box::new(Full(Arc::clone(&left)));
        let (log, _) = Log::open_on(medium, dir.path(), ORIGIN, signer(), 256).unwrap();
        let first = add(&log, "a");
        log.checkpoint().unwrap();
        left.store(room, Ordering::SeqCst);
        let mut kept = vec![first];
        let mut failed = false;
        for _ in 0..2 {
            match log.append("a", |link| draft("a", link)) {
                Ok(entry) if !failed => kept.push(entry),
                Ok(_) => panic!("an entry was taken after a failed write"),
                Err(error) => {
                    assert_eq!(matches!(error, LogError::Stopped { .. }), failed, "{error}");
                    failed = true;
                }
            }
        }
        if failed {
            left.store(u64::MAX, Ordering::SeqCst);
            assert!(matches!(log.checkpoint(), Err(LogError::Stopped { .. })));
            assert!(matches!(
                log.prune_bodies(|_| true),
                Err(LogError::Stopped { .. })
            ));
        }
        drop(log);
        left.store(u64::MAX, Ordering::SeqCst);
        let medium = Box::new(Full(left));
        let (log, opened) = Log::open_on(medium, dir.path(), ORIGIN, signer(), 256).unwrap();
        // Every entry whose append returned is there; one that was cut short may be whole.
        assert!(opened.size >= kept.len() as u64);
        for entry in &kept {
            assert_eq!(&log.entry(entry.index).unwrap(), entry);
        }
        add(&log, "a");
        outcomes[usize::from(failed)] += 1;
        if !failed {
            break;
        }
    }
    assert!(outcomes[1] > 100, "{outcomes:?}");
}

#[test]
fn a_really_full_device_stops_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    {
        let mut store = log.lock();
        store.segments.list[0].file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    }
    let error = log.append("a", |link| draft("a", link)).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    let error = log.append("a", |link| draft("a", link)).unwrap_err();
    assert!(error.to_string().contains("restarted"), "{error}");
    drop(log);
    let (log, opened) = open(dir.path()).unwrap();
    assert_eq!((opened.size, opened.torn.len()), (1, 0));
    add(&log, "a");
}

#[test]
fn a_pruning_cut_short_keeps_the_old_bodies() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let left = Arc::new(AtomicU64::new(u64::MAX));
    let medium = Box::new(Full(Arc::clone(&left)));
    let (log, _) = Log::open_on(medium, dir.path(), ORIGIN, signer(), 4096).unwrap();
    left.store(20, Ordering::SeqCst);
    assert!(log.prune_bodies(|_| true).is_err());
    drop(log);
    let (log, opened) = open(dir.path()).unwrap();
    assert_eq!((opened.size, opened.pruned), (3, 0));
    assert!(log.entry(0).unwrap().body.is_some());
}

/// Counts syncs.
struct Counting(Arc<AtomicU64>);

impl Medium for Counting {
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn write_at(&mut self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        file.sync_data()
    }
}

#[test]
fn lines_of_many_witnesses_wait_for_the_disk_with_what_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU64::new(0));
    let medium = Box::new(Counting(Arc::clone(&syncs)));
    let (log, _) = Log::open_on(medium, dir.path(), ORIGIN, signer(), 4096).unwrap();
    add(&log, "a");
    log.checkpoint().unwrap();
    add(&log, "a");
    let head = log.head().unwrap();
    add(&log, "a");
    let later = log.head().unwrap();
    let name = |k: u8| format!("paripassu/party/p{k}");
    let key = |k: u8| Ed25519Signer::new(SigningKey::from_bytes(&[k; 32]));
    let line = |head: &SignedCheckpoint, k: u8| {
        let line = head.clone().cosign(&name(k), 7, &key(k)).unwrap().clone();
        let of = VerifierKey::of(&name(k), SignatureType::Cosignature, &key(k)).unwrap();
        head.check(line, &of).unwrap()
    };
    let mut lines: Vec<_> = (2..6).map(|k| line(&head, k)).collect();
    lines.extend((2..4).map(|k| line(&later, k)));
    syncs.store(0, Ordering::SeqCst);
    log.add_cosignatures(lines).unwrap();
    assert_eq!(syncs.load(Ordering::SeqCst), 0);
    for _ in 0..2 {
        log.sync().unwrap();
        assert_eq!(syncs.load(Ordering::SeqCst), 1);
    }
    drop(log);
    let (log, _) = open(dir.path()).unwrap();
    for (size, witnesses) in [(2, 2..6), (3, 2..4)] {
        let head = log.checkpoint_at(size).unwrap().unwrap();
        assert_eq!(head.note().signatures().len(), 1 + witnesses.len());
        for k in witnesses {
            let of = VerifierKey::of(&name(k), SignatureType::Cosignature, &key(k)).unwrap();
            assert_eq!(head.verify(&of).unwrap().timestamp, Some(7));
        }
    }
}

/// What an entry and its cosigned head wait for, and what a file's length shows of it.
#[test]
fn an_entry_waits_for_the_disk_once_and_is_written_over_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicU64::new(0));
    let medium = Box::new(Counting(Arc::clone(&syncs)));
    let (log, _) = Log::open_on(medium, dir.path(), ORIGIN, signer(), SEGMENT_BYTES).unwrap();
    add(&log, "a");
    let length = || std::fs::metadata(records(dir.path())).unwrap().len();
    let before = (length(), syncs.load(Ordering::SeqCst));
    assert_eq!(before.0, 64 * 1024);
    for _ in 0..10 {
        add(&log, "a");
        log.checkpoint().unwrap();
    }
    assert_eq!(
        (length(), syncs.load(Ordering::SeqCst)),
        (before.0, before.1 + 20)
    );
    log.append("a", |_| {
        let (envelope, body) = (b"long".to_vec(), vec![b'b'; MAX_BODY_BYTES]);
        Ok::<_, LogError>(Draft { envelope, body })
    })
    .unwrap();
    assert_eq!(length(), 128 * 1024);
}
