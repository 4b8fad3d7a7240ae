//! What is torn is repaired, what is changed is refused.

use super::*;

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
            let (log, opened) = quick(copy.path()).unwrap();
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
            let (_, again) = quick(copy.path()).unwrap();
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
        let (_, opened) = quick(copy.path()).unwrap();
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
            let opened = quick(copy.path());
            // what of the last head was not as written is cut off, and said
            let last_head = file.starts_with("heads-")
                && opened.as_ref().is_ok_and(|(log, opened)| {
                    log.checkpoint_sizes().is_empty() && opened.torn.len() == 1
                });
            assert!(opened.is_err() || last_head, "{file}, byte {at}");
            tried += 1;
            std::fs::write(copy.path().join(&file), &good).unwrap();
        }
    }
    assert!(tried > 500);
}

#[test]
fn a_lost_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    for file in files(dir.path()) {
        let good = std::fs::read(dir.path().join(&file)).unwrap();
        let same = copy(dir.path());
        for keep in 0..good.len() {
            if file.starts_with("heads-") {
                // signed again by whoever needs it
                std::fs::write(same.path().join(&file), &good[..keep]).unwrap();
                let (log, opened) = quick(same.path()).unwrap();
                assert_eq!((opened.size, log.checkpoint_sizes()), (3, vec![]));
                continue;
            }
            if file != "leaves" {
                std::fs::write(same.path().join(&file), &good[..keep]).unwrap();
                let error = quick(same.path()).err();
                assert!(error.is_some(), "{file}, {keep} bytes");
                continue;
            }
            // Leaves can be told from the events again.
            let copy = copy(dir.path());
            std::fs::write(copy.path().join(&file), &good[..keep]).unwrap();
            let (_, opened) = quick(copy.path()).unwrap();
            assert_eq!((opened.size, opened.adopted), (3, 3 - keep as u64 / 32));
        }
        let copy = copy(dir.path());
        std::fs::remove_file(copy.path().join(&file)).unwrap();
        let lone = file.starts_with("heads-");
        assert_eq!(quick(copy.path()).is_ok(), lone, "{file} removed");
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
    // The entries of yesterday, the heads of today.
    let yesterday = files(snapshot.path());
    for file in yesterday.iter().filter(|f| !f.starts_with("heads-")) {
        std::fs::copy(snapshot.path().join(file), dir.path().join(file)).unwrap();
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
    let heads = format!("heads-{:020}.seg", 0);
    std::fs::copy(dir.path().join(&heads), other.path().join(&heads)).unwrap();
    assert!(matches!(
        open(other.path()),
        Err(LogError::Root { size: 2, .. })
    ));
}

/// A log with heads of one, two and three entries.
fn three_heads(dir: &Path) -> Vec<u8> {
    let (log, _) = open(dir).unwrap();
    for _ in 0..3 {
        add(&log, "a");
        log.checkpoint().unwrap();
    }
    std::fs::read(dir.join(format!("heads-{:020}.seg", 0))).unwrap()
}

#[test]
fn of_heads_only_the_last_may_be_torn() {
    let dir = tempfile::tempdir().unwrap();
    let good = three_heads(dir.path());
    let file = format!("heads-{:020}.seg", 0);
    let record = (good.len() - 16) / 3;
    let last = 16 + 2 * record;
    let same = copy(dir.path());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(same.path().join(&file), bad).unwrap();
        match quick(same.path()) {
            Err(LogError::Damaged { .. }) => assert!(at < last, "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
            Ok((log, opened)) => {
                assert!(at >= last, "byte {at}");
                assert_eq!((log.checkpoint_sizes(), opened.torn.len()), (vec![1, 2], 1));
            }
        }
    }
    for keep in last..good.len() {
        std::fs::write(same.path().join(&file), &good[..keep]).unwrap();
        // whoever only reads passes it over and leaves it to the writer
        let (read, _) = Log::read(same.path()).unwrap();
        assert_eq!(read.checkpoint_sizes(), [1, 2]);
        let (log, opened) = quick(same.path()).unwrap();
        assert_eq!(opened.torn.len(), usize::from(keep > last), "{keep} bytes");
        // signed again, it stands where it stood
        log.checkpoint().unwrap();
        drop(log);
        let (log, opened) = quick(same.path()).unwrap();
        assert_eq!(
            (log.checkpoint_sizes(), opened.torn.len()),
            (vec![1, 2, 3], 0)
        );
    }
}

#[test]
fn a_full_file_of_heads_is_followed_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Log::open_with(dir.path(), ORIGIN, signer(), 512).unwrap().0;
    let log = small();
    for _ in 0..8 {
        add(&log, "a");
        log.checkpoint().unwrap();
    }
    drop(log);
    let heads: Vec<_> = files(dir.path());
    let heads: Vec<_> = heads.iter().filter(|f| f.starts_with("heads-")).collect();
    assert!(heads.len() > 2, "{heads:?}");
    let log = small();
    assert_eq!(log.checkpoint_sizes(), (1..9).collect::<Vec<_>>());
    for size in 1..9 {
        assert!(log.checkpoint_at(size).unwrap().is_some());
    }
    drop(log);
    let gone = copy(dir.path());
    std::fs::remove_file(gone.path().join(heads[1])).unwrap();
    assert!(matches!(quick(gone.path()), Err(LogError::Missing { .. })));
}
