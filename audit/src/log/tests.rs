use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use tempfile::TempDir;

use super::segment::Segments;
use super::*;
use crate::merkle::{Tree, verify_consistency, verify_inclusion};
use crate::note::{Checkpoint, Ed25519Signer, SignatureType};

mod damage;
mod failing;

const ORIGIN: &str = "paripassu/party/bank";

fn signer() -> Arc<dyn Signer> {
    Arc::new(Ed25519Signer::new(SigningKey::from_bytes(&[1; 32])))
}

fn open(dir: &Path) -> Result<(Log, Opened), LogError> {
    Log::open(dir, ORIGIN, signer())
}

/// As [`open`], without waiting for the disk: for many logs in one test.
fn quick(dir: &Path) -> Result<(Log, Opened), LogError> {
    let medium = Box::new(failing::Full(Arc::new(u64::MAX.into())));
    Log::open_on(medium, dir, ORIGIN, signer(), SEGMENT_BYTES)
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
    for file in files(from) {
        std::fs::copy(from.join(&file), to.path().join(&file)).unwrap();
    }
    to
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut all: Vec<String> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    all.retain(|file| file != "lock");
    all.sort();
    all
}

fn cut(path: &Path, to: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(to).unwrap();
}

/// The only file of records.
fn records(dir: &Path) -> PathBuf {
    Segments::path(dir, 0)
}

/// Where the sound records of the last file end.
fn end(dir: &Path) -> u64 {
    let mut all = Segments::find(dir, false).unwrap();
    all.scan(|_| ()).unwrap();
    all.list.last().unwrap().end
}

#[test]
fn a_closed_log_takes_nothing_and_leaves_the_folder_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    assert!(matches!(open(dir.path()), Err(LogError::InUse { .. })));
    log.close().unwrap();
    let refused = log.append("a", |link| draft("a", link)).unwrap_err();
    assert!(matches!(refused, LogError::Stopped { .. }), "{refused}");
    let (next, opened) = open(dir.path()).unwrap();
    assert_eq!(opened.size, 1);
    add(&next, "a");
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
    assert_eq!(log.checkpoint_sizes(), [2, 3]);
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
    let checked = head.check(cosignature.clone(), &witness_key).unwrap();
    log.add_cosignatures(vec![checked]).unwrap();
    assert!(old.check(cosignature, &witness_key).is_err());
    // a head of this size that is none of this log's, and one of a size that was never signed
    for size in [3, 1] {
        let other = Checkpoint::new(ORIGIN, size, [9; 32]).unwrap();
        let mut other = SignedCheckpoint::sign(other, &*signer()).unwrap();
        let line = other.cosign(name, 8, &witness).unwrap().clone();
        let line = other.check(line, &witness_key).unwrap();
        assert!(log.add_cosignatures(vec![line]).is_err(), "{size}");
    }
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
    let medium = Box::new(failing::Full(Arc::new(u64::MAX.into())));
    Log::open_on(medium, dir, ORIGIN, signer(), 512).unwrap()
}

#[test]
fn full_files_are_followed_by_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open_with(dir.path(), ORIGIN, signer(), 512).unwrap();
    let entries: Vec<_> = (0..40).map(|_| add(&log, "a")).collect();
    log.checkpoint().unwrap();
    drop(log);
    let all: Vec<_> = files(dir.path())
        .into_iter()
        .filter(|file| file.starts_with("log-"))
        .collect();
    assert!(all.len() > 3, "{all:?}");
    let (log, opened) = Log::open_with(dir.path(), ORIGIN, signer(), 512).unwrap();
    assert_eq!((opened.size, opened.adopted, opened.torn.len()), (40, 0, 0));
    assert_eq!(log.job_entries("a").unwrap(), entries);
    drop(log);
    for file in &all {
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
    let bytes: Vec<u8> = files(dir.path())
        .iter()
        .filter(|file| file.starts_with("log-"))
        .flat_map(|file| std::fs::read(dir.path().join(file)).unwrap())
        .collect();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains("body of a 3") && text.contains("body of a 12"));
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
fn ten_thousand_entries_are_written_proved_and_read() {
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
                    let last = files(dir.path()).into_iter().rfind(|file| file.starts_with("log-"));
                    if let Some(last) = last {
                        let file = OpenOptions::new().write(true).open(dir.path().join(last)).unwrap();
                        file.write_all_at(&vec![1; length], end(dir.path())).unwrap();
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

#[test]
fn a_log_that_is_being_written_can_be_read_as_far_as_it_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), ORIGIN, signer()).unwrap();
    assert!(Log::read(&dir.path().join("elsewhere")).is_err());
    for _ in 0..3 {
        add(&log, "a");
    }
    let head = log.checkpoint().unwrap();
    add(&log, "a");
    let (read, behind) = Log::read(dir.path()).unwrap();
    assert_eq!((read.size(), behind, read.origin()), (3, 1, ORIGIN));
    assert_eq!(
        read.job_entries("a").unwrap(),
        log.job_entries("a").unwrap()[..3]
    );
    assert_eq!(read.checkpoint_at(3).unwrap(), Some(head));
    // nothing is written through it, and the writer goes on
    assert!(read.append("a", |link| draft("a", link)).is_err());
    assert!(read.checkpoint().is_err());
    add(&log, "a");
    // what the head covers and is gone is noticed
    cut(&records(dir.path()), end(dir.path()) / 2);
    assert!(matches!(
        Log::read(dir.path()),
        Err(LogError::Damaged { .. } | LogError::Shorter { .. })
    ));
}
