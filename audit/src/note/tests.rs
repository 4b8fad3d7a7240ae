use base64::Engine as _;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::merkle::{MerkleError, Tree, leaf_hash};

fn signer(seed: u8) -> Ed25519Signer {
    Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32]))
}

/// The example of the signed-note specification.
const SPEC_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const SPEC_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

/// The example of the format's first implementation, with its private key.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

/// A head of the public Go checksum database and the key it is signed with.
const SUMDB_KEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const SUMDB_NOTE: &str = "go.sum database tree\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";

/// The example of the cosignature specification; its keys are not published.
const SPEC_CHECKPOINT: &str =
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
const SPEC_COSIGNED: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

/// The same text cosigned by the key with the seed 00 01 .. 1f, made with another implementation of
/// Ed25519 from the words of the specification.
const COSIGNER: &str =
    "witness.example.com/w1+a0059f11+BAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const COSIGNATURE: &str = "\u{2014} witness.example.com/w1 oAWfEQAAAABkGFDLBuRDazBLVac2NE+Y+IjbjQOcXLfF9CSDZVUIoS83rE1nFZsVE8YiWV6Ngr7lV8H6bdoBQGP/l73euDMQ9k+bBQ==";

#[test]
fn published_notes_verify_and_print_byte_for_byte() {
    for (key, text) in [(SPEC_KEY, SPEC_NOTE), (SUMDB_KEY, SUMDB_NOTE)] {
        let note = Note::parse(text).unwrap();
        let key: VerifierKey = key.parse().unwrap();
        let says = note.verify(&key).unwrap();
        assert_eq!(says, Verified { timestamp: None });
        assert_eq!(note.to_string(), text);
        let changed = text.replacen('e', "a", 1);
        let changed = Note::parse(&changed.replacen("go.sum", "go.sun", 1)).unwrap();
        assert!(matches!(
            changed.verify(&key),
            Err(NoteError::Signature { .. })
        ));
    }
    let spec = SignedCheckpoint::parse(SPEC_COSIGNED).unwrap();
    assert_eq!(spec.to_string(), SPEC_COSIGNED);
    assert_eq!(spec.checkpoint().size(), 20_852_163);
    assert_eq!(spec.checkpoint().to_string(), SPEC_CHECKPOINT);
    let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u{e8} subito sera.\n\n\u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
    let note = Note::parse(poem).unwrap();
    assert!(note.text().ends_with("ed \u{e8} subito sera.\n"));
    assert_eq!(note.to_string(), poem);
}

#[test]
fn signing_gives_the_published_bytes() {
    let seed: [u8; 32] = STANDARD.decode(GO_SEED).unwrap().try_into().unwrap();
    let go = Ed25519Signer::new(SigningKey::from_bytes(&seed));
    let mut note = Note::new(GO_TEXT).unwrap();
    note.sign("PeterNeumann", SignatureType::Note, 0, &go)
        .unwrap();
    assert_eq!(note.to_string(), format!("{GO_TEXT}\n{GO_LINE}\n"));
    let key = VerifierKey::of("PeterNeumann", SignatureType::Note, &go).unwrap();
    assert_eq!(key.to_string(), GO_KEY);
    assert_eq!(key, GO_KEY.parse().unwrap());
}

#[test]
fn cosigning_gives_the_bytes_of_another_implementation() {
    let seed: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
    let witness = Ed25519Signer::new(SigningKey::from_bytes(&seed));
    let mut signed = SignedCheckpoint::parse(SPEC_COSIGNED).unwrap();
    let line = signed
        .cosign("witness.example.com/w1", 1_679_315_147, &witness)
        .unwrap();
    assert_eq!(line.to_string(), COSIGNATURE);
    let key: VerifierKey = COSIGNER.parse().unwrap();
    assert_eq!(key.kind(), SignatureType::Cosignature);
    assert_eq!(key.to_string(), COSIGNER);
    assert_eq!(signed.verify(&key).unwrap().timestamp, Some(1_679_315_147));
    // The time is signed too.
    let mut line = NoteSignature::parse(COSIGNATURE).unwrap();
    line.signature[7] ^= 1;
    assert!(matches!(
        signed.add(line, &key),
        Err(NoteError::Signature { .. })
    ));
    assert_eq!(signed.verify(&key).unwrap().timestamp, Some(1_679_315_147));
    // Published framing and key, of other implementations.
    let line = "\u{2014} w ZGhGuQAAAABm/qTPeyKXD+R2rzyQsxPiP8mXum7qq/iF0u4vanlqJyocWODBt97w9uL+8qT7S5gxEHWWOworDcFiEBYJXORmnFBOBA==";
    let line = NoteSignature::parse(line).unwrap();
    assert_eq!(line.signature()[..8], 1_727_964_367u64.to_be_bytes());
    let remora = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    assert_eq!(remora.parse::<VerifierKey>().unwrap().to_string(), remora);
}

#[test]
fn the_types_of_one_key_stay_apart() {
    let key = signer(1);
    let head = Checkpoint::new("a.example/log", 1, [0; 32]).unwrap();
    let mut signed = SignedCheckpoint::sign(head, &key).unwrap();
    let log = VerifierKey::of("a.example/log", SignatureType::Note, &key).unwrap();
    let witness = log.as_type(SignatureType::Cosignature).unwrap();
    assert_ne!(log.key_id(), witness.key_id());
    assert!(matches!(
        signed.verify(&witness),
        Err(NoteError::NotSigned { .. })
    ));
    signed.cosign("a.example/log", 5, &key).unwrap();
    assert_eq!(signed.verify(&witness).unwrap().timestamp, Some(5));
    assert_eq!(signed.verify(&log).unwrap().timestamp, None);
    assert!(signed.cosign("a.example/log", 1 << 63, &key).is_err());
    // Again later: one line per key.
    signed.cosign("a.example/log", 9, &key).unwrap();
    assert_eq!(signed.note().signatures().len(), 2);
    assert_eq!(signed.verify(&witness).unwrap().timestamp, Some(9));
}

#[test]
fn malformed_notes_are_refused() {
    let good = format!("{GO_TEXT}\n{GO_LINE}\n");
    Note::parse(&good).unwrap();
    let long = format!("{}\n{good}", "x".repeat(MAX_NOTE_BYTES));
    let many = format!("{GO_TEXT}\n{}", format!("{GO_LINE}\n").repeat(65));
    for bad in [
        "",
        "\n",
        "\n\n",
        GO_TEXT,
        &format!("{GO_TEXT}\n"),
        &format!("{GO_TEXT}\n{GO_LINE}"),
        &format!("{GO_TEXT}{GO_LINE}\n"),
        &format!("\u{1}{good}"),
        &good.replace("\n\n", "\r\n\n"),
        &good.replace("PeterNeumann", "Peter Neumann"),
        &good.replace("PeterNeumann", "Peter\u{a0}Neumann"),
        &good.replace("PeterNeumann", "Peter+Neumann"),
        &good.replace("PeterNeumann", ""),
        &good.replace('\u{2014}', "-"),
        &good.replace("AM=", "AM"),
        &good.replace("AM=", "AN="),
        &good.replace("AM=", "A M="),
        &format!("{good}more\n"),
        &format!("{good}\n"),
        &format!("{GO_TEXT}\n\u{2014} n AAAAAA==\n"),
        &long,
        &many,
    ] {
        let error = Note::parse(bad).err();
        assert!(error.is_some(), "{bad:?}");
    }
    assert!(Note::new("no newline").is_err());
    assert!(Note::new("tab\t\n").is_err());
}

#[test]
fn two_lines_of_one_key_are_ambiguous() {
    let key: VerifierKey = GO_KEY.parse().unwrap();
    let other = "\u{2014} other AAAAAQ7e\n";
    let doubled = format!("{GO_TEXT}\n{other}{other}{GO_LINE}\n");
    Note::parse(&doubled).unwrap().verify(&key).unwrap();
    let doubled = format!("{GO_TEXT}\n{GO_LINE}\n{GO_LINE}\n");
    assert!(matches!(
        Note::parse(&doubled).unwrap().verify(&key),
        Err(NoteError::SignedTwice { .. })
    ));
}

#[test]
fn malformed_keys_are_refused() {
    for (from, to) in [(0, GO_KEY.len() - 1), (1, GO_KEY.len())] {
        assert!(GO_KEY[from..to].parse::<VerifierKey>().is_err());
    }
    for at in 0..GO_KEY.len() {
        let mut bad = GO_KEY.as_bytes().to_vec();
        bad[at] += 1;
        let bad = String::from_utf8(bad).unwrap();
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    for bad in [
        "",
        "++",
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        &GO_KEY.replace("c74f20a3", "C74F20A3"),
    ] {
        assert!(bad.parse::<VerifierKey>().is_err(), "{bad}");
    }
    // A key of small order would let one signature fit many texts.
    let weak = VerifierKey::new("n", SignatureType::Note, Algorithm::Ed25519, &[0; 32]);
    assert!(weak.is_err());
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    for bad in [
        "".to_owned(),
        "a\n1\n".to_owned(),
        format!("\n1\n{root}\n"),
        format!("a b\n1\n{root}\n"),
        format!("a\n01\n{root}\n"),
        format!("a\n+1\n{root}\n"),
        format!("a\n-1\n{root}\n"),
        format!("a\n\n{root}\n"),
        format!("a\n18446744073709551616\n{root}\n"),
        format!("a\n1\n{root}"),
        format!("a\n1\n{root}\nextension\n"),
        format!("a\n1\n{root}\n\n"),
        "a\n1\nAAAA\n".to_owned(),
        format!("a\n1\n{}\n", root.replace("q2I=", "q2J=")),
        format!("{}\n1\n{root}\n", "a".repeat(256)),
    ] {
        assert!(Checkpoint::parse(&bad).is_err(), "{bad:?}");
    }
    let zero = format!("a\n0\n{root}\n");
    assert_eq!(Checkpoint::parse(&zero).unwrap().to_string(), zero);
}

fn proof_of(index: u64, size: u64, extra: Option<Vec<u8>>) -> (TlogProof, VerifierKey) {
    let key = signer(3);
    let tree: Tree = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
    let head = Checkpoint::new("a.example/log", size, tree.root()).unwrap();
    let proof = TlogProof {
        extra,
        index,
        path: tree.inclusion_proof(index, size).unwrap(),
        checkpoint: SignedCheckpoint::sign(head, &key).unwrap(),
    };
    let log = VerifierKey::of("a.example/log", SignatureType::Note, &key).unwrap();
    (proof, log)
}

#[test]
fn proof_files_verify_offline() {
    for (index, size, extra) in [(0, 1, None), (5, 23, Some(b"event".to_vec()))] {
        let (proof, log) = proof_of(index, size, extra);
        let text = proof.to_string();
        let read = TlogProof::parse(&text).unwrap();
        assert_eq!((&read, read.to_string()), (&proof, text));
        let leaf = leaf_hash(&index.to_be_bytes());
        read.verify(&leaf, &log).unwrap();
        assert!(matches!(
            read.verify(&leaf_hash(b"another"), &log),
            Err(NoteError::Merkle(MerkleError::Root { .. }))
        ));
        let stranger = VerifierKey::of("a.example/log", SignatureType::Note, &signer(4)).unwrap();
        assert!(matches!(
            read.verify(&leaf, &stranger),
            Err(NoteError::NotSigned { .. })
        ));
        let renamed = VerifierKey::of("b.example/log", SignatureType::Note, &signer(3)).unwrap();
        assert!(read.verify(&leaf, &renamed).is_err());
    }
}

#[test]
fn malformed_proof_files_are_refused() {
    let (proof, _) = proof_of(5, 23, Some(b"x".to_vec()));
    let good = proof.to_string();
    TlogProof::parse(&good).unwrap();
    let hash = STANDARD.encode(proof.path[0]);
    for bad in [
        good.replace("@v1", "@v2"),
        good.replace("index 5\n", ""),
        good.replace("index 5", "index 05"),
        good.replace("index 5", "index -5"),
        good.replace("index 5", "Index 5"),
        good.replace("extra eA==", "extra eA"),
        good.replace("extra eA==\n", "extra eA==\nextra eA==\n"),
        good.replace(&hash, "AAAA"),
        good.replace(&hash, &format!("{hash} ")),
        good.replace(&hash, &vec![hash.clone(); 65].join("\n")),
        good.replace('\n', "\r\n"),
        good.trim_end().to_owned(),
        format!("{good}\n"),
        format!("\n{good}"),
    ] {
        assert_ne!(bad, good);
        assert!(TlogProof::parse(&bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn whatever_is_read_prints_the_same(
        text in "[^\\x00-\\x09\\x0b-\\x1f]{0,40}",
        name in "[a-z/. +]{0,8}",
        blob in prop::collection::vec(any::<u8>(), 0..90),
        end in "\n?",
    ) {
        let note = format!("{text}\n\n\u{2014} {name} {}{end}", STANDARD.encode(blob));
        if let Ok(read) = Note::parse(&note) {
            prop_assert_eq!(read.to_string(), note);
        }
        if let Ok(read) = Checkpoint::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn a_flipped_byte_never_verifies(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (proof, log) = proof_of(2, 7, None);
        let mut bytes = proof.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let holds = String::from_utf8(bytes).ok().is_some_and(|text| {
            TlogProof::parse(&text).is_ok_and(|read| {
                read.to_string() == text && read.verify(&leaf_hash(&2u64.to_be_bytes()), &log).is_ok()
            })
        });
        prop_assert!(!holds);
    }
}
