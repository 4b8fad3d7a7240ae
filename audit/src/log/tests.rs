use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use tempfile::TempDir;

use super::medium::Medium;
use super::*;
use crate::merkle::{Tree, verify_consistency, verify_inclusion};
use crate::note::{Ed25519Signer, SignatureType};

const ORIGIN: &str = "paripassu/party/bank";

fn signer() -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::new(SigningKey::from_bytes(&[1; 32])))
}

fn open(dir: &Path) -> Result<(Log, Opened), LogError> {
    Log::open(dir, ORIGIN, signer())
}

fn draft(job: &str, link: Link) -> Result<Draft, LogError> {
    Ok(Draft {
        envelope: format!("{job} {} {:02x?}", link.seq, &link.prev[..4]).into_bytes(),
        body: format!("body of {job} {}", link.seq).into_bytes(),
    })
}

fn add(log: &Log, job: &str) -> Entry {
    log.append(job, |link| draft(job, link)).unwrap()
}

/// A log of three entries of two jobs with a head signed at two.
fn three(dir: &Path) -> Vec<Entry> {
    let (log, _) = open(dir).unwrap();
    let mut entries = vec![add(&log, "a"), add(&log, "b")];
    log.checkpoint().unwrap();
    entries.push(add(&log, "a"));
    entries
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::create_dir(to.path().join("checkpoints")).unwrap();
    for file in files(from) {
        std::fs::copy(from.join(&file), to.path().join(&file)).unwrap();
    }
    to
}

fn files(dir: &Path) -> Vec<String> {
    let list = |dir: &Path, prefix: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        let entries = entries.filter(|entry| entry.file_type().unwrap().is_file());
        entries
            .map(|entry| format!("{prefix}{}", entry.file_name().to_str().unwrap()))
            .collect()
    };
    let mut all = list(dir, "");
    all.extend(list(&dir.join("checkpoints"), "checkpoints/"));
    all.retain(|file| file != "lock");
    all.sort();
    all
}

fn truncate(path: &Path, by: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - by).unwrap();
}

#[test]
fn a_log_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let entries = three(dir.path());
    let (log, opened) = open(dir.path()).unwrap();
    let clean = Opened {
        size: 3,
        ..Opened::default()
    };
    assert_eq!(opened, clean);
    for entry in &entries {
        assert_eq!(&log.entry(entry.index).unwrap(), entry);
    }
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    assert_eq!(log.root(), tree.root());
    assert_eq!(log.jobs(), ["a", "b"]);
    assert_eq!(
        log.job_entries("a").unwrap(),
        [entries[0].clone(), entries[2].clone()]
    );
    assert_eq!(log.job_entries("c").unwrap(), []);
    let expected = Link {
        prev: digest(&entries[2].envelope),
        seq: 2,
    };
    assert_eq!(log.link("a"), expected);
    assert_eq!(log.link("c"), Link::default());
    let next = log
        .append("a", |link| {
            assert_eq!(link, expected);
            draft("a", link)
        })
        .unwrap();
    assert_eq!(next.index, 3);
    assert!(matches!(
        log.entry(4),
        Err(LogError::NoEntry { index: 4, size: 4 })
    ));
}

#[test]
fn heads_are_signed_kept_and_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let (log, _) = open(dir.path()).unwrap();
    let key = VerifierKey::of(ORIGIN, SignatureType::Note, &*signer()).unwrap();
    let head = log.checkpoint().unwrap();
    head.verify(&key).unwrap();
    assert_eq!(log.checkpoint_sizes().unwrap(), [2, 3]);
    let old = log.checkpoint_at(2).unwrap().unwrap();
    let proof = log.consistency(2, 3).unwrap();
    let (from, to) = (old.checkpoint(), head.checkpoint());
    verify_consistency(2, from.root(), 3, to.root(), &proof).unwrap();
    let proof = log.inclusion(1, 3).unwrap();
    verify_inclusion(&log.entry(1).unwrap().leaf(), 1, 3, &proof, to.root()).unwrap();

    let witness = Ed25519Signer::new(SigningKey::from_bytes(&[2; 32]));
    let name = "paripassu/party/bureau";
    let witness_key = VerifierKey::of(name, SignatureType::Cosignature, &witness).unwrap();
    let cosignature = head.clone().cosign(name, 7, &witness).unwrap().clone();
    log.add_cosignature(3, cosignature.clone(), &witness_key)
        .unwrap();
    assert!(
        log.add_cosignature(2, cosignature.clone(), &witness_key)
            .is_err()
    );
    assert!(log.add_cosignature(1, cosignature, &witness_key).is_err());
    drop(log);
    let (log, _) = open(dir.path()).unwrap();
    let head = log.checkpoint().unwrap();
    assert_eq!(head.verify(&witness_key).unwrap().timestamp, Some(7));
    assert_eq!(log.checkpoint_at(3).unwrap(), Some(head));
    assert_eq!(log.checkpoint_at(1).unwrap(), None);
}

#[test]
fn a_new_key_signs_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let new: Arc<dyn Signer> = Arc::new(Ed25519Signer::new(SigningKey::from_bytes(&[9; 32])));
    let (log, _) = Log::open(dir.path(), ORIGIN, Arc::clone(&new)).unwrap();
    let key = VerifierKey::of(ORIGIN, SignatureType::Note, &*new).unwrap();
    log.checkpoint().unwrap().verify(&key).unwrap();
    let keys = log.keys().unwrap();
    assert_eq!((keys.len(), &keys[1]), (2, &key));
}

/// What a crash leaves: the last record in part, its leaf not yet written.
#[test]
fn a_torn_last_record_is_cut_off_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let entries = three(dir.path());
    for (file, other) in [("events-", "bodies-"), ("bodies-", "events-")] {
        let named = |prefix: &str| format!("{prefix}{:020}.seg", 0);
        let record = {
            let job = if file == "events-" { 1 + "a".len() } else { 0 };
            let payload = if file == "events-" {
                &entries[2].envelope
            } else {
                entries[2].body.as_ref().unwrap()
            };
            5 + job + payload.len() + 32
        };
        for missing in 0..=record {
            let copy = copy(dir.path());
            truncate(&copy.path().join("leaves"), 32);
            truncate(&copy.path().join(named(file)), missing as u64);
            let (log, opened) = open(copy.path()).unwrap();
            if missing == 0 {
                assert_eq!((opened.size, opened.adopted), (3, 1));
                assert!(opened.torn.is_empty());
                continue;
            }
            assert_eq!((opened.size, opened.adopted), (2, 0), "{file} {missing}");
            let cut: HashMap<_, _> = opened
                .torn
                .iter()
                .map(|torn| (torn.file.file_name().unwrap().to_str().unwrap(), torn.bytes))
                .collect();
            let left = (record - missing) as u64;
            assert_eq!(cut.get(named(file).as_str()).copied().unwrap_or(0), left);
            assert!(cut[named(other).as_str()] > 0);
            // The node goes on from there, and the next start finds nothing to repair.
            assert_eq!(add(&log, "a"), entries[2]);
            drop(log);
            let (_, again) = open(copy.path()).unwrap();
            assert_eq!((again.size, again.torn.len()), (3, 0));
        }
    }
}

#[test]
fn a_last_record_of_garbage_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let path = dir.path().join(format!("events-{:020}.seg", 0));
    for garbage in [&[0u8; 4096][..], &[0xff; 3], b"\x01\x00\x00\x00\x04abcd"] {
        let copy = copy(dir.path());
        let path = copy.path().join(path.file_name().unwrap());
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(garbage).unwrap();
        let (_, opened) = open(copy.path()).unwrap();
        assert_eq!(opened.size, 3);
        assert_eq!(opened.torn[0].bytes, garbage.len() as u64);
    }
    let mut leaves = OpenOptions::new()
        .append(true)
        .open(dir.path().join("leaves"))
        .unwrap();
    leaves.write_all(&[0; 70]).unwrap();
    assert_eq!(open(dir.path()).unwrap().1.size, 3);
}

#[test]
fn any_flipped_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let mut tried = 0;
    for file in files(dir.path()) {
        let good = std::fs::read(dir.path().join(&file)).unwrap();
        let copy = copy(dir.path());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(copy.path().join(&file), bad).unwrap();
            let error = open(copy.path()).err();
            assert!(error.is_some(), "{file}, byte {at}");
            tried += 1;
        }
    }
    assert!(tried > 500);
}

#[test]
fn a_lost_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    for file in files(dir.path()) {
        let length = std::fs::metadata(dir.path().join(&file)).unwrap().len();
        for keep in 0..length {
            let copy = copy(dir.path());
            truncate(&copy.path().join(&file), length - keep);
            // Leaves above the signed head can be told from the events again.
            if file == "leaves" && keep >= 64 {
                assert_eq!(open(copy.path()).unwrap().1.size, 3);
                continue;
            }
            if file == "leaves" {
                assert_eq!(open(copy.path()).unwrap().1.adopted, 3 - keep / 32);
                continue;
            }
            let error = open(copy.path()).err();
            assert!(error.is_some(), "{file}, {keep} bytes");
        }
        let copy = copy(dir.path());
        std::fs::remove_file(copy.path().join(&file)).unwrap();
        let lone = file.starts_with("checkpoints");
        assert_eq!(open(copy.path()).is_ok(), lone, "{file} removed");
    }
}

#[test]
fn an_older_copy_is_refused_with_advice() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let snapshot = copy(dir.path());
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    log.checkpoint().unwrap();
    drop(log);
    // The entries of yesterday, the checkpoints of today.
    for file in files(snapshot.path()) {
        std::fs::copy(snapshot.path().join(&file), dir.path().join(&file)).unwrap();
    }
    let error = open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Shorter {
                size: 3,
                expected: 4,
                ..
            }
        ),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("last signed checkpoint") && text.contains("backup"),
        "{text}"
    );
}

#[test]
fn rewritten_history_does_not_fit_the_signed_head() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let other = tempfile::tempdir().unwrap();
    let (log, _) = open(other.path()).unwrap();
    for _ in 0..3 {
        add(&log, "z");
    }
    drop(log);
    std::fs::copy(
        dir.path().join(format!("checkpoints/{:020}.note", 2)),
        other.path().join(format!("checkpoints/{:020}.note", 2)),
    )
    .unwrap();
    assert!(matches!(
        open(other.path()),
        Err(LogError::Root { size: 2, .. })
    ));
}

#[test]
fn one_writer_and_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(LogError::InUse { .. })));
    drop(log);
    let error = Log::open(dir.path(), "paripassu/party/other", signer()).unwrap_err();
    assert!(
        matches!(&error, LogError::Origin { got, .. } if got == ORIGIN),
        "{error}"
    );
    assert!(Log::open(dir.path(), "no spaces", signer()).is_err());
    std::fs::remove_file(dir.path().join("origin")).unwrap();
    open(dir.path()).unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    drop(log);
    std::fs::remove_file(dir.path().join("origin")).unwrap();
    assert!(matches!(open(dir.path()), Err(LogError::Missing { .. })));
}

#[test]
fn what_is_too_large_is_refused_and_nothing_stops() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let sized = |envelope, body| {
        log.append("a", |_| {
            Ok::<_, LogError>(Draft {
                envelope: vec![b'e'; envelope],
                body: vec![b'b'; body],
            })
        })
    };
    assert!(matches!(
        sized(MAX_ENVELOPE_BYTES + 1, 0),
        Err(LogError::TooLarge {
            what: "envelope",
            ..
        })
    ));
    assert!(matches!(
        sized(1, MAX_BODY_BYTES + 1),
        Err(LogError::TooLarge { what: "body", .. })
    ));
    let name = "j".repeat(MAX_JOB_BYTES + 1);
    assert!(log.append(&name, |link| draft("a", link)).is_err());
    // A draft that cannot be made leaves no trace.
    let refused = log.append("a", |_| {
        Err::<Draft, _>(LogError::NoEntry { index: 0, size: 0 })
    });
    assert!(refused.is_err());
    assert_eq!(log.size(), 0);
    sized(MAX_ENVELOPE_BYTES, MAX_BODY_BYTES).unwrap();
    let longest = "j".repeat(MAX_JOB_BYTES);
    log.append(&longest, |link| draft("a", link)).unwrap();
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.size, 2);
}

fn small(dir: &Path) -> (Log, Opened) {
    Log::open_with(dir, ORIGIN, signer(), 512).unwrap()
}

#[test]
fn full_files_are_followed_by_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = small(dir.path());
    let entries: Vec<_> = (0..40).map(|_| add(&log, "a")).collect();
    log.checkpoint().unwrap();
    drop(log);
    let events: Vec<_> = files(dir.path())
        .into_iter()
        .filter(|file| file.starts_with("events-"))
        .collect();
    assert!(events.len() > 3, "{events:?}");
    let (log, opened) = small(dir.path());
    assert_eq!((opened.size, opened.adopted, opened.torn.len()), (40, 0, 0));
    assert_eq!(log.job_entries("a").unwrap(), entries);
    drop(log);
    for file in files(dir.path())
        .iter()
        .filter(|file| file.ends_with(".seg"))
    {
        let copy = copy(dir.path());
        std::fs::remove_file(copy.path().join(file)).unwrap();
        let error = Log::open(copy.path(), ORIGIN, signer()).unwrap_err();
        let expected = matches!(error, LogError::Missing { .. } | LogError::Shorter { .. });
        assert!(expected, "{file}: {error}");
    }
}

#[test]
fn pruning_removes_bodies_and_keeps_proofs() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = small(dir.path());
    for job in ["a", "b"].iter().cycle().take(30) {
        add(&log, job);
    }
    let head = log.checkpoint().unwrap();
    let pruned = log.prune_bodies(|entry| {
        assert_eq!(entry.body, None);
        entry.job == "a" && entry.index < 20
    });
    assert_eq!(pruned.unwrap(), 10);
    add(&log, "a");
    let check = |log: &Log| {
        for index in 0..30 {
            let entry = log.entry(index).unwrap();
            let gone = entry.job == "a" && index < 20;
            assert_eq!(entry.body.is_none(), gone, "{index}");
            let proof = log.inclusion(index, 30).unwrap();
            let root = head.checkpoint().root();
            verify_inclusion(&entry.leaf(), index, 30, &proof, root).unwrap();
        }
    };
    check(&log);
    assert_eq!(log.prune_bodies(|entry| entry.index < 20).unwrap(), 10);
    assert_eq!(log.prune_bodies(|entry| entry.index < 20).unwrap(), 0);
    drop(log);
    let (log, opened) = small(dir.path());
    assert_eq!((opened.size, opened.pruned), (31, 20));
    assert!(log.entry(30).unwrap().body.is_some());
    let bodies: Vec<u8> = files(dir.path())
        .iter()
        .filter(|file| file.starts_with("bodies-"))
        .flat_map(|file| std::fs::read(dir.path().join(file)).unwrap())
        .collect();
    let text = String::from_utf8_lossy(&bodies);
    assert!(!text.contains("body of a 3") && text.contains("body of a 12"));
}

/// A disk with room for so many bytes; syncs count as one.
struct Full(Arc<AtomicU64>);

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
    for room in 0.. {
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
        let (log, opened) = open(dir.path()).unwrap();
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
    assert!(outcomes[1] > 200, "{outcomes:?}");
}

#[test]
fn a_really_full_device_stops_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    {
        let mut store = log.lock();
        store.events.list[0].file = OpenOptions::new().append(true).open("/dev/full").unwrap();
    }
    let error = log.append("a", |link| draft("a", link)).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    let error = log.append("a", |link| draft("a", link)).unwrap_err();
    assert!(error.to_string().contains("restarted"), "{error}");
    drop(log);
    let (log, opened) = open(dir.path()).unwrap();
    assert_eq!((opened.size, opened.torn.len()), (1, 1));
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

#[test]
fn a_panic_while_making_an_entry_does_not_stop_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = log.append("a", |_| -> Result<Draft, LogError> {
            panic!("in the caller")
        });
    }));
    assert!(made.is_err());
    assert_eq!(add(&log, "a").index, 0);
}

#[test]
fn threads_share_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for job in ["a", "b", "c", "d"] {
            let log = &log;
            scope.spawn(move || (0..20).for_each(|_| drop(add(log, job))));
        }
    });
    drop(log);
    let (log, opened) = open(dir.path()).unwrap();
    assert_eq!(opened.size, 80);
    for job in log.jobs() {
        let mut link = Link::default();
        for entry in log.job_entries(&job).unwrap() {
            assert_eq!(entry.envelope, draft(&job, link).unwrap().envelope);
            link = Link {
                prev: digest(&entry.envelope),
                seq: link.seq + 1,
            };
        }
        assert_eq!(link.seq, 20);
    }
}

#[test]
fn ten_thousand_entries_are_written_proved_and_read_quickly() {
    let dir = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let (log, _) = open(dir.path()).unwrap();
    for _ in 0..10_000 {
        log.append_unsynced("a", |link| {
            let mut envelope = link.seq.to_be_bytes().to_vec();
            envelope.resize(700, b'e');
            let body = vec![b'b'; 300];
            Ok::<_, LogError>(Draft { envelope, body })
        })
        .unwrap();
    }
    log.sync().unwrap();
    let head = log.checkpoint().unwrap();
    for index in 0..10_000 {
        log.inclusion(index, 10_000).unwrap();
    }
    let written = started.elapsed();
    drop(log);
    let (log, opened) = open(dir.path()).unwrap();
    assert_eq!(opened.size, 10_000);
    assert_eq!(log.root(), *head.checkpoint().root());
    let all = started.elapsed();
    println!("written and proved in {written:?}, with reopening {all:?}");
    assert!(all.as_millis() < 2_000, "{written:?}, {all:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is appended, pruned, restarted and torn, the entries that returned are there.
    #[test]
    fn any_sequence_of_events_is_kept(
        steps in prop::collection::vec((0u8..8, 0usize..3, 0usize..400), 1..40),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut kept: Vec<Entry> = Vec::new();
        let (mut log, _) = small(dir.path());
        for (step, job, length) in steps {
            let job = ["", "a", "job"][job];
            match step {
                0 => {
                    drop(log);
                    let opened;
                    (log, opened) = small(dir.path());
                    prop_assert_eq!(opened.size, kept.len() as u64);
                    prop_assert!(opened.torn.is_empty());
                }
                1 => {
                    let head = log.checkpoint().unwrap();
                    prop_assert_eq!(head.checkpoint().size(), kept.len() as u64);
                }
                2 => {
                    let before = length as u64 % (kept.len() as u64 + 1);
                    log.prune_bodies(|entry| entry.index < before).unwrap();
                    for entry in kept.iter_mut().filter(|entry| entry.index < before) {
                        entry.body = None;
                    }
                }
                3 => {
                    drop(log);
                    let last = files(dir.path()).into_iter().rfind(|file| file.starts_with("events-"));
                    if let Some(last) = last {
                        let path = dir.path().join(last);
                        let mut file = OpenOptions::new().append(true).open(path).unwrap();
                        file.write_all(&vec![1; length]).unwrap();
                    }
                    (log, _) = small(dir.path());
                }
                _ => {
                    let body = vec![b'b'; length];
                    let entry = log.append(job, |link| {
                        Ok::<_, LogError>(Draft { envelope: draft(job, link)?.envelope, body })
                    });
                    kept.push(entry.unwrap());
                }
            }
            prop_assert_eq!(log.size(), kept.len() as u64);
        }
        let tree: Tree = kept.iter().map(Entry::leaf).collect();
        prop_assert_eq!(log.root(), tree.root());
        for entry in kept {
            prop_assert_eq!(log.entry(entry.index).unwrap(), entry);
        }
    }
}
