use ed25519_dalek::SigningKey;
use tempfile::TempDir;

use super::*;
use crate::log::{Draft, Log};
use crate::merkle::{Tree, leaf_hash};
use crate::note::{Checkpoint, Ed25519Signer};

const LOG: &str = "paripassu/party/bank";
const NAME: &str = "paripassu/party/bureau";

fn signer(seed: u8) -> Arc<Ed25519Signer> {
    Arc::new(Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32])))
}

fn log_key() -> VerifierKey {
    VerifierKey::of(LOG, SignatureType::Note, &*signer(1)).unwrap()
}

fn witness(dir: &TempDir) -> Witness {
    Witness::open(dir.path(), NAME, signer(2)).unwrap()
}

fn tree(leaves: std::ops::Range<u64>) -> Tree {
    leaves.map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn note(tree: &Tree, size: u64) -> String {
    let head = Checkpoint::new(LOG, size, tree.root_at(size).unwrap()).unwrap();
    SignedCheckpoint::sign(head, &*signer(1))
        .unwrap()
        .to_string()
}

fn refusal(result: Result<NoteSignature, WitnessError>) -> (Contradiction, PathBuf) {
    match result {
        Err(WitnessError::Contradiction {
            kind,
            evidence: Some(file),
            ..
        }) => (kind, file),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_growing_log_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(0..40);
    let witness = witness(&dir);
    assert_eq!(witness.last(LOG).unwrap(), None);
    let mut before = 0;
    for (now, size) in (100..).zip([0, 0, 1, 7, 7, 8, 40]) {
        let text = note(&tree, size);
        let proof = tree.consistency_proof(before, size).unwrap();
        let cosignature = witness.cosign(&text, &proof, &log_key(), now).unwrap();
        let mut signed = SignedCheckpoint::parse(&text).unwrap();
        let says = signed.add(cosignature, witness.key()).unwrap();
        assert_eq!(says.timestamp, Some(now));
        assert_eq!(witness.last(LOG).unwrap(), Some(signed));
        before = size;
    }
    assert!(witness.evidence().unwrap().is_empty());
}

#[test]
fn contradictions_are_refused_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (honest, other) = (tree(0..20), tree(100..120));
    let first = witness(&dir);
    first
        .cosign(&note(&honest, 10), &[], &log_key(), 1)
        .unwrap();
    drop(first);
    // The same after a restart as before it.
    for _ in 0..2 {
        let witness = witness(&dir);
        let proof = honest.consistency_proof(10, 20).unwrap();
        let forked = other.consistency_proof(10, 20).unwrap();
        let mut flipped = proof.clone();
        flipped[0][0] ^= 1;
        let cases = [
            (note(&honest, 9), vec![], Contradiction::Rollback),
            (note(&honest, 0), vec![], Contradiction::Rollback),
            (note(&other, 10), vec![], Contradiction::Fork),
            (note(&other, 20), proof.clone(), Contradiction::NotExtended),
            (note(&other, 19), forked, Contradiction::NotExtended),
            (note(&honest, 20), flipped, Contradiction::NotExtended),
        ];
        for (shown, proof, expected) in cases {
            let error = witness.cosign(&shown, &proof, &log_key(), 2);
            let (kind, file) = refusal(error);
            assert_eq!(kind, expected);
            let kept: Evidence = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            assert_eq!((kept.kind, &kept.refused), (expected, &shown));
            assert_eq!(kept.proof.len(), proof.len());
            // Whoever has the file can check both signatures.
            let key: VerifierKey = kept.key.parse().unwrap();
            for text in [&kept.before, &kept.refused] {
                SignedCheckpoint::parse(text).unwrap().verify(&key).unwrap();
            }
            let remembered = witness.last(LOG).unwrap().unwrap();
            assert_eq!(remembered.checkpoint().size(), 10);
        }
        assert_eq!(witness.evidence().unwrap().len(), 6);
    }
    let witness = witness(&dir);
    let proof = honest.consistency_proof(10, 20).unwrap();
    witness
        .cosign(&note(&honest, 20), &proof, &log_key(), 3)
        .unwrap();
}

#[test]
fn missing_and_surplus_proofs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (witness, tree) = (witness(&dir), tree(0..8));
    let stray = witness.cosign(&note(&tree, 5), &[[0; 32]], &log_key(), 1);
    assert!(matches!(stray, Err(WitnessError::Unknown { .. })));
    witness.cosign(&note(&tree, 5), &[], &log_key(), 1).unwrap();
    let (kind, _) = refusal(witness.cosign(&note(&tree, 8), &[], &log_key(), 1));
    assert_eq!(kind, Contradiction::NotExtended);
    let surplus = witness.cosign(&note(&tree, 5), &[[0; 32]], &log_key(), 1);
    assert_eq!(refusal(surplus).0, Contradiction::NotExtended);
}

#[test]
fn only_the_log_itself_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let (witness, tree) = (witness(&dir), tree(0..8));
    let text = note(&tree, 5);
    let stranger = VerifierKey::of(LOG, SignatureType::Note, &*signer(3)).unwrap();
    let other = VerifierKey::of("paripassu/party/x", SignatureType::Note, &*signer(1)).unwrap();
    let forged = text.replace("\n5\n", "\n6\n");
    let not_a_log = log_key().as_type(SignatureType::Cosignature).unwrap();
    assert!(matches!(
        witness.cosign(&text, &[], &stranger, 1),
        Err(WitnessError::Note(_))
    ));
    assert!(matches!(
        witness.cosign(&text, &[], &other, 1),
        Err(WitnessError::Origin { .. })
    ));
    assert!(matches!(
        witness.cosign(&forged, &[], &log_key(), 1),
        Err(WitnessError::Note(_))
    ));
    assert!(matches!(
        witness.cosign(&text, &[], &not_a_log, 1),
        Err(WitnessError::Note(_))
    ));
    assert!(matches!(
        witness.cosign("", &[], &log_key(), 1),
        Err(WitnessError::Note(_))
    ));
    assert!(matches!(
        witness.cosign(&text, &[], &log_key(), u64::MAX),
        Err(WitnessError::Note(_))
    ));
    // A forgery is no evidence against the log, and teaches the witness nothing.
    assert!(witness.evidence().unwrap().is_empty());
    assert_eq!(witness.last(LOG).unwrap(), None);
}

#[test]
fn a_changed_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(0..8);
    let file = dir.path().join(file_name(LOG));
    witness(&dir)
        .cosign(&note(&tree, 5), &[], &log_key(), 1)
        .unwrap();
    let good = std::fs::read(&file).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    for at in 0..=used {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        let error = witness(&dir).last(LOG);
        assert!(matches!(error, Err(WitnessError::Memory { .. })), "{at}");
    }
    for keep in (0..=used).step_by(7).chain([used, good.len() - 1]) {
        std::fs::write(&file, &good[..keep]).unwrap();
        let shown = witness(&dir).cosign(&note(&tree, 5), &[], &log_key(), 1);
        assert!(matches!(shown, Err(WitnessError::Memory { .. })), "{keep}");
    }
    // sound, but of another witness
    std::fs::write(&file, &good).unwrap();
    let other = Witness::open(dir.path(), "paripassu/party/other", signer(3)).unwrap();
    assert!(matches!(other.last(LOG), Err(WitnessError::Memory { .. })));
    let next = Witness::open(dir.path(), NAME, signer(9)).unwrap();
    assert_eq!(next.last(LOG).unwrap().unwrap().checkpoint().size(), 5);
}

#[test]
fn a_memory_torn_in_writing_holds_what_was_handed_out_before() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree(0..20);
    let file = dir.path().join(file_name(LOG));
    let mut states = Vec::new();
    let mut before = 0;
    for size in [3, 5, 9, 14] {
        // a restart between any two
        let witness = witness(&dir);
        let proof = tree.consistency_proof(before, size).unwrap();
        witness
            .cosign(&note(&tree, size), &proof, &log_key(), size)
            .unwrap();
        before = size;
        states.push((size, std::fs::read(&file).unwrap()));
    }
    for pair in states.windows(2) {
        let [(old, from), (new, to)] = pair else {
            unreachable!()
        };
        // any part of the sectors of the new state has reached the disk
        for written in 0_u32..(1 << 16) {
            if written.count_ones() > 2 && written.count_ones() < 14 {
                continue;
            }
            let mut bytes = from.clone();
            for sector in (0..16).filter(|sector| written >> sector & 1 == 1) {
                let range = sector * 512..(sector + 1) * 512;
                bytes[range.clone()].copy_from_slice(&to[range]);
            }
            std::fs::write(&file, &bytes).unwrap();
            let size = witness(&dir)
                .last(LOG)
                .unwrap()
                .unwrap()
                .checkpoint()
                .size();
            let whole = bytes == *to;
            assert_eq!(size, if whole { *new } else { *old }, "{written:b}");
        }
    }
    std::fs::write(&file, &states[3].1).unwrap();
    let witness = witness(&dir);
    let (kind, _) = refusal(witness.cosign(&note(&tree, 9), &[], &log_key(), 1));
    assert_eq!(kind, Contradiction::Rollback);
}

#[test]
fn nothing_is_handed_out_that_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let (witness, tree) = (witness(&dir), tree(0..8));
    // A folder in place of the file: it cannot be replaced.
    std::fs::create_dir_all(dir.path().join(file_name(LOG)).join("x")).unwrap();
    assert!(matches!(
        witness.cosign(&note(&tree, 5), &[], &log_key(), 1),
        Err(WitnessError::Disk(_))
    ));
}

#[test]
fn evidence_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (witness, tree) = (witness(&dir), tree(0..8));
    witness.cosign(&note(&tree, 5), &[], &log_key(), 1).unwrap();
    for n in 0..MAX_EVIDENCE {
        std::fs::write(dir.path().join(EVIDENCE).join(format!("{n}.json")), "{}").unwrap();
    }
    let refused = witness.cosign(&note(&tree, 4), &[], &log_key(), 1);
    assert!(matches!(
        refused,
        Err(WitnessError::Contradiction { evidence: None, .. })
    ));
}

#[test]
fn a_restored_snapshot_of_a_whole_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &str| Log::open(&dir.path().join(path), LOG, signer(1)).unwrap().0;
    let add = |log: &Log, text: &str| {
        let envelope = text.as_bytes().to_vec();
        let draft = Draft {
            envelope,
            body: Vec::new(),
        };
        log.append("job", |_| Ok::<_, LogError>(draft)).unwrap();
    };
    let (log, snapshot) = (open("log"), open("snapshot"));
    let witness = witness(&dir);
    for text in ["one", "two", "three"] {
        add(&log, text);
        let size = witness
            .last(LOG)
            .unwrap()
            .map_or(0, |last| last.checkpoint().size());
        let head = log.checkpoint().unwrap();
        let proof = log.consistency(size, log.size()).unwrap();
        let cosignature = witness
            .cosign(&head.to_string(), &proof, &log_key(), 5)
            .unwrap();
        let line = head.check(cosignature, witness.key()).unwrap();
        log.add_cosignatures(vec![line]).unwrap();
    }
    // The snapshot knows the first entry only, and goes on with another story.
    add(&snapshot, "one");
    let shown = snapshot.checkpoint().unwrap().to_string();
    let kind = refusal(witness.cosign(&shown, &[], &log_key(), 6)).0;
    assert_eq!(kind, Contradiction::Rollback);
    for text in ["other", "story"] {
        add(&snapshot, text);
    }
    let shown = snapshot.checkpoint().unwrap().to_string();
    let kind = refusal(witness.cosign(&shown, &[], &log_key(), 6)).0;
    assert_eq!(kind, Contradiction::Fork);
    add(&snapshot, "more");
    let shown = snapshot.checkpoint().unwrap().to_string();
    let proof = snapshot.consistency(3, 4).unwrap();
    let kind = refusal(witness.cosign(&shown, &proof, &log_key(), 6)).0;
    assert_eq!(kind, Contradiction::NotExtended);
}
