//! What is torn is repaired, what is changed is refused.

use super::*;

/// What a crash leaves: the last entry in part, its leaf not yet written.
#[test]
fn a_torn_last_entry_is_cut_off_at_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let entries = three(dir.path());
    let body = entries[2].body.as_ref().unwrap().len();
    let length = (5 + body + 32) + (5 + 1 + "a".len() + entries[2].envelope.len() + 32);
    let end = end(dir.path());
    // the file as it was written: shorter, or with zeros where bytes did not arrive
    for (missing, zeros) in (0..=length).flat_map(|missing| [(missing, false), (missing, true)]) {
        let copy = copy(dir.path());
        cut(&copy.path().join("leaves"), 64);
        let path = records(copy.path());
        let kept = end - missing as u64;
        match zeros {
            false => cut(&path, kept),
            true => {
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                file.write_all_at(&vec![0; missing], kept).unwrap();
            }
        }
        let (log, opened) = quick(copy.path()).unwrap();
        if missing == 0 {
            assert_eq!((opened.size, opened.adopted), (3, 1));
            assert!(opened.torn.is_empty());
            continue;
        }
        assert_eq!((opened.size, opened.adopted), (2, 0), "{missing}");
        let torn = opened.torn.first().map_or(0, |torn| torn.bytes);
        // bytes that happen to be zeros may end what was written
        let left = (length - missing) as u64;
        assert!(
            left.saturating_sub(3) <= torn && torn <= left,
            "{missing}: {torn}"
        );
        // The node goes on from there, and the next start finds nothing to repair.
        assert_eq!(add(&log, "a"), entries[2]);
        drop(log);
        let (_, again) = quick(copy.path()).unwrap();
        assert_eq!((again.size, again.torn.len()), (3, 0));
    }
}

#[test]
fn a_last_record_of_garbage_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let end = end(dir.path());
    let late = [[0u8; 500].as_slice(), b"late"].concat();
    for garbage in [&[0xff; 3], b"\x01\x00\x00\x00\x04abcd".as_slice(), &late] {
        let copy = copy(dir.path());
        let path = records(copy.path());
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(garbage, end).unwrap();
        let (_, opened) = quick(copy.path()).unwrap();
        assert_eq!(opened.size, 3);
        assert_eq!(opened.torn[0].offset, end);
        assert_eq!(opened.torn[0].bytes, garbage.len() as u64);
    }
    let mut leaves = OpenOptions::new()
        .append(true)
        .open(dir.path().join("leaves"))
        .unwrap();
    leaves.write_all(&[0; 70]).unwrap();
    assert_eq!(open(dir.path()).unwrap().1.size, 3);
}

/// A disk may bring the later of two writes and not the earlier one, if it was asked to wait for neither.
#[test]
fn what_was_not_waited_for_is_cut_off_from_its_first_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    log.checkpoint().unwrap();
    let from = end(dir.path());
    for _ in 0..3 {
        log.append_unsynced("a", |link| draft("a", link)).unwrap();
    }
    drop(log);
    let file = OpenOptions::new()
        .write(true)
        .open(records(dir.path()))
        .unwrap();
    file.write_all_at(&[0; 16], from).unwrap();
    let (_, opened) = open(dir.path()).unwrap();
    assert_eq!((opened.size, opened.torn.len()), (1, 1));
}

#[test]
fn any_flipped_byte_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let used = end(dir.path()) as usize;
    let mut tried = 0;
    for file in files(dir.path()) {
        let good = std::fs::read(dir.path().join(&file)).unwrap();
        let copy = copy(dir.path());
        for at in 0..good.len().min(used + 100) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            std::fs::write(copy.path().join(&file), bad).unwrap();
            let opened = quick(copy.path());
            // what stands behind all records is none, and cut off
            let behind = file.starts_with("log-") && at >= used;
            let cut = opened
                .as_ref()
                .is_ok_and(|(_, opened)| opened.torn.len() == 1);
            assert_eq!(
                (opened.is_err(), cut),
                (!behind, behind),
                "{file}, byte {at}"
            );
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
    let used = end(dir.path()) as usize;
    for file in files(dir.path()) {
        let good = std::fs::read(dir.path().join(&file)).unwrap();
        let same = copy(dir.path());
        for keep in 0..good.len().min(used) {
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
        assert!(quick(copy.path()).is_err(), "{file} removed");
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
    // The records of yesterday, the leaves of today.
    std::fs::copy(records(snapshot.path()), records(dir.path())).unwrap();
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
        text.contains("list of leaf hashes") && text.contains("backup"),
        "{text}"
    );
}

/// Bytes of the record of the head that is signed last.
fn last_head(dir: &Path) -> Vec<u8> {
    let mut all = Segments::find(dir, false).unwrap();
    let mut last = None;
    all.scan(|found| {
        if let segment::Found::Head { place, .. } = found {
            last = Some(place);
        }
    })
    .unwrap();
    let place = last.unwrap();
    let bytes = std::fs::read(&all.list[place.segment].path).unwrap();
    bytes[place.offset as usize..][..place.length].to_vec()
}

fn put_behind(dir: &Path, record: &[u8]) {
    let file = OpenOptions::new().write(true).open(records(dir)).unwrap();
    file.write_all_at(record, end(dir)).unwrap();
}

#[test]
fn rewritten_history_does_not_fit_the_signed_head() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let other = tempfile::tempdir().unwrap();
    let (log, _) = open(other.path()).unwrap();
    add(&log, "z");
    drop(log);
    // it signs more than there is
    put_behind(other.path(), &last_head(dir.path()));
    assert_eq!(open(other.path()).unwrap().1.torn.len(), 1);
    let (log, _) = open(other.path()).unwrap();
    add(&log, "z");
    add(&log, "z");
    drop(log);
    put_behind(other.path(), &last_head(dir.path()));
    assert!(matches!(
        open(other.path()),
        Err(LogError::Root { size: 2, .. })
    ));
}

/// Without its list of leaves, as after a loss of power, a log still knows by its heads what was on disk.
#[test]
fn of_heads_only_the_last_may_be_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut ends = Vec::new();
    let (log, _) = open(dir.path()).unwrap();
    for _ in 0..3 {
        add(&log, "a");
        log.checkpoint().unwrap();
        ends.push(end(dir.path()) as usize);
    }
    drop(log);
    let whole = std::fs::read(dir.path().join("leaves")).unwrap();
    cut(&dir.path().join("leaves"), 0);
    let path = records(dir.path());
    let good = std::fs::read(&path).unwrap();
    let (used, last) = (ends[2], ends[2] - last_head(dir.path()).len());
    let same = copy(dir.path());
    let path = records(same.path());
    let empty = |dir: &Path| cut(&dir.join("leaves"), 0);
    for at in 0..used {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        std::fs::write(&path, bad).unwrap();
        empty(same.path());
        // a reader, beside a node that writes, may see a head before what it covers: it takes what stands before
        let before = ends.iter().filter(|end| at >= **end).count();
        let (read, _) = Log::read(same.path()).unwrap();
        assert_eq!(read.checkpoint_sizes(), [1, 2, 3][..before], "byte {at}");
        match quick(same.path()) {
            Err(LogError::Damaged { .. }) => assert!(at < last, "byte {at}"),
            Err(error) => panic!("byte {at}: {error}"),
            Ok((log, opened)) => {
                assert!(at >= last, "byte {at}");
                assert_eq!((opened.size, log.checkpoint_sizes()), (3, vec![1, 2]));
                assert_eq!(opened.torn.len(), 1);
            }
        }
    }
    // a page that has not yet been copied, before one with the last head
    let mut bad = good.clone();
    bad[ends[0]..last].fill(0);
    std::fs::write(&path, &bad).unwrap();
    empty(same.path());
    assert_eq!(Log::read(same.path()).unwrap().0.checkpoint_sizes(), [1]);
    // but what leaves say was on disk must be there
    std::fs::write(same.path().join("leaves"), &whole[..64]).unwrap();
    let refused = Log::read(same.path());
    assert!(matches!(refused, Err(LogError::Damaged { index: 1, .. })));
    empty(same.path());
    for keep in last..used {
        std::fs::write(&path, &good[..keep]).unwrap();
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
        drop(log);
        empty(same.path());
    }
}

/// A head and the entry behind it may reach the disk in any order, until a leaf says that both are there.
#[test]
fn a_torn_head_takes_what_stands_behind_it_unless_that_was_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path()).unwrap();
    add(&log, "a");
    let from = end(dir.path());
    log.checkpoint().unwrap();
    let to = end(dir.path());
    add(&log, "a");
    drop(log);
    for at in from..to {
        let copy = copy(dir.path());
        let path = records(copy.path());
        let mut bad = std::fs::read(&path).unwrap();
        bad[at as usize] ^= 4;
        std::fs::write(&path, bad).unwrap();
        let refused = quick(copy.path());
        let expected = matches!(refused, Err(LogError::Damaged { index: 1, .. }));
        assert!(expected, "byte {at}");
        cut(&copy.path().join("leaves"), 32);
        let (_, opened) = quick(copy.path()).unwrap();
        assert_eq!((opened.size, opened.torn.len()), (1, 1), "byte {at}");
    }
}

#[test]
fn heads_stand_among_the_entries_of_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let small = || Log::open_with(dir.path(), ORIGIN, signer(), 512).unwrap().0;
    let log = small();
    log.checkpoint().unwrap();
    for _ in 0..8 {
        add(&log, "a");
        log.checkpoint().unwrap();
    }
    drop(log);
    let all = files(dir.path());
    let all: Vec<_> = all.iter().filter(|f| f.starts_with("log-")).collect();
    assert!(all.len() > 2, "{all:?}");
    let log = small();
    log.prune_bodies(|entry| entry.index < 7).unwrap();
    drop(log);
    let log = small();
    assert_eq!(log.checkpoint_sizes(), (0..9).collect::<Vec<_>>());
    for size in 0..9 {
        assert!(log.checkpoint_at(size).unwrap().is_some());
    }
    drop(log);
    let gone = copy(dir.path());
    std::fs::remove_file(gone.path().join(all[1])).unwrap();
    assert!(matches!(quick(gone.path()), Err(LogError::Missing { .. })));
}
