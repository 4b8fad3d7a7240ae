use super::*;

const CONTRACT: [u8; 32] = [7; 32];

fn pair() -> (LinkKeys, LinkKeys) {
    let (a, b) = (JobSecret::fresh().unwrap(), JobSecret::fresh().unwrap());
    (
        LinkKeys::agree(&a, "bank", "partner", &b.public(), &CONTRACT).unwrap(),
        LinkKeys::agree(&b, "partner", "bank", &a.public(), &CONTRACT).unwrap(),
    )
}

fn sealed(keys: &LinkKeys, seq: u64, header: &[u8], piece: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    keys.sealer.seal(seq, header, piece, &mut out).unwrap();
    out
}

#[test]
fn both_directions_open_and_keys_differ_by_direction() {
    let (bank, partner) = pair();
    for (from, to) in [(&bank, &partner), (&partner, &bank)] {
        let frame = sealed(from, 3, b"h", b"hello");
        let mut out = b"kept".to_vec();
        to.opener.open(3, b"h", &frame, &mut out).unwrap();
        assert_eq!(out, b"kepthello");
        // one's own frame reflected back does not open
        assert_eq!(
            from.opener.open(3, b"h", &frame, &mut Vec::new()),
            Err(SealError::Tampered)
        );
    }
    let label = |k: &LinkKeys, l: &str| *k.shared.derive(l);
    assert_eq!(label(&bank, "mask"), label(&partner, "mask"));
    assert_ne!(label(&bank, "mask"), label(&bank, "mask2"));
}

#[test]
fn every_bit_and_every_header_field_counts() {
    let (bank, partner) = pair();
    let place = Place {
        seq: 1,
        total: 5,
        offset: 0,
    };
    let header = frame_header("j", "bank", "partner", "t", place);
    let frame = sealed(&bank, 1, &header, b"hello");
    for byte in 0..frame.len() {
        let mut bad = frame.clone();
        bad[byte] ^= 1;
        let mut out = b"kept".to_vec();
        assert_eq!(
            partner.opener.open(1, &header, &bad, &mut out),
            Err(SealError::Tampered)
        );
        assert_eq!(out, b"kept");
    }
    let others = [
        frame_header("k", "bank", "partner", "t", place),
        frame_header("j", "bank2", "partner", "t", place),
        frame_header("j", "bank", "partne", "rt", place),
        frame_header("j", "bank", "partner", "u", place),
        frame_header("j", "bank", "partner", "t", Place { seq: 2, ..place }),
        frame_header("j", "bank", "partner", "t", Place { total: 6, ..place }),
        frame_header("j", "bank", "partner", "t", Place { offset: 1, ..place }),
    ];
    for other in others {
        assert!(
            partner
                .opener
                .open(1, &other, &frame, &mut Vec::new())
                .is_err()
        );
    }
    assert!(
        partner
            .opener
            .open(2, &header, &frame, &mut Vec::new())
            .is_err()
    );
    assert!(
        partner
            .opener
            .open(1, &header, &frame[..15], &mut Vec::new())
            .is_err()
    );
}

#[test]
fn another_contract_or_id_gives_other_keys() {
    let (a, b) = (JobSecret::fresh().unwrap(), JobSecret::fresh().unwrap());
    let bank = LinkKeys::agree(&a, "bank", "partner", &b.public(), &CONTRACT).unwrap();
    let frame = sealed(&bank, 0, b"", b"x");
    for (me, peer, contract) in [
        ("partner", "bank", [8; 32]),
        ("partner", "bench", CONTRACT),
        ("pal", "bank", CONTRACT),
    ] {
        let other = LinkKeys::agree(&b, me, peer, &a.public(), &contract).unwrap();
        assert!(other.opener.open(0, b"", &frame, &mut Vec::new()).is_err());
    }
}

#[test]
fn low_order_keys_and_equal_ids_are_refused() {
    let a = JobSecret::fresh().unwrap();
    // 0, 1 and a point of order 8
    let order8 = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ];
    let mut one = [0; 32];
    one[0] = 1;
    for low in [[0; 32], one, order8] {
        assert!(matches!(
            LinkKeys::agree(&a, "a", "b", &low, &CONTRACT),
            Err(SealError::LowOrder { .. })
        ));
    }
    assert!(matches!(
        LinkKeys::agree(&a, "a", "a", &a.public(), &CONTRACT),
        Err(SealError::SameId { .. })
    ));
}

#[test]
fn statements_are_signed_and_read_exactly() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let other = SigningKey::from_bytes(&[6; 32]);
    let statement = JobKeyStatement {
        job: "j".into(),
        contract: CONTRACT,
        node: "bank".into(),
        public: [9; 32],
    };
    let (bytes, signature) = (statement.to_bytes(), statement.sign(&key));
    let verified = JobKeyStatement::verify(&bytes, &signature, &key.verifying_key());
    assert_eq!(verified, Ok(statement));
    assert!(JobKeyStatement::verify(&bytes, &signature, &other.verifying_key()).is_err());
    for end in 0..bytes.len() {
        assert!(JobKeyStatement::from_bytes(&bytes[..end]).is_err());
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(JobKeyStatement::from_bytes(&longer).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    let (bank, _) = pair();
    let secret = JobSecret::fresh().unwrap();
    assert_eq!(format!("{secret:?}"), "JobSecret(..)");
    assert_eq!(
        format!(
            "{bank:?}{:?}{:?}{:?}",
            bank.sealer, bank.opener, bank.shared
        ),
        "LinkKeys(..)Sealer(..)Opener(..)SharedRoot(..)"
    );
}
