use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use paripassu_proto::{NodeKind, Peer};
use rustls::pki_types::UnixTime;
use tempfile::TempDir;

use super::*;
use crate::identity::{Identity, IdentityError, Trust, files};

fn peer(text: &str) -> Peer {
    text.parse().unwrap()
}

fn enrol(ca: &Path, dir: &Path, who: &str) -> Identity {
    let csr = request(dir, &peer(who)).unwrap();
    let crt = dir.join("signed.crt");
    sign(ca, &csr, Some(&peer(who)), &crt, 30).unwrap();
    install(
        dir,
        &crt,
        &ca.join(files::AUTHORITY),
        Some(&ca.join(files::REVOKED)),
    )
    .unwrap()
}

fn authority() -> TempDir {
    let ca = tempfile::tempdir().unwrap();
    init(ca.path(), "Test consortium", 365).unwrap();
    ca
}

#[test]
fn a_party_asks_is_signed_and_loads() {
    let (ca, node) = (authority(), tempfile::tempdir().unwrap());
    let identity = enrol(ca.path(), node.path(), "party/bank");
    assert_eq!(
        identity.peer(),
        &Peer::new(NodeKind::Party, "bank".parse().unwrap())
    );
    assert_eq!(
        identity.trust().verify(&identity.chain()).unwrap().peer(),
        identity.peer()
    );
    let mode = fs::metadata(node.path().join(files::KEY))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        !ca.path().join(files::KEY).exists(),
        "the key stays with the party"
    );
}

#[test]
fn nothing_is_overwritten() {
    let (ca, node) = (authority(), tempfile::tempdir().unwrap());
    assert!(matches!(
        init(ca.path(), "Again", 1),
        Err(PkiError::Exists { .. })
    ));
    let csr = request(node.path(), &peer("party/bank")).unwrap();
    assert!(matches!(
        request(node.path(), &peer("party/bank")),
        Err(PkiError::Exists { .. })
    ));
    let out = node.path().join(files::CERTIFICATE);
    sign(ca.path(), &csr, None, &out, 30).unwrap();
    assert!(matches!(
        sign(ca.path(), &csr, None, &out, 30),
        Err(PkiError::Exists { .. })
    ));
}

#[test]
fn identity_and_kind_are_checked_before_signing() {
    let (ca, a, b) = (
        authority(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let csr = request(a.path(), &peer("party/bank")).unwrap();
    let out = a.path().join("x.crt");
    let refused = sign(ca.path(), &csr, Some(&peer("helper/bank")), &out, 30);
    assert!(matches!(refused, Err(PkiError::Unexpected { .. })));
    assert!(!out.exists());
    sign(ca.path(), &csr, Some(&peer("party/bank")), &out, 30).unwrap();
    let csr = request(b.path(), &peer("helper/bank")).unwrap();
    let refused = sign(ca.path(), &csr, None, &b.path().join("x.crt"), 30);
    assert!(matches!(refused, Err(PkiError::Taken { .. })));
    assert!(matches!(
        sign(ca.path(), &csr, None, &out, 0),
        Err(PkiError::Days { days: 0 })
    ));
}

#[test]
fn an_altered_request_is_refused() {
    let (ca, node) = (authority(), tempfile::tempdir().unwrap());
    let csr = request(node.path(), &peer("party/bank")).unwrap();
    let pem = fs::read_to_string(&csr).unwrap();
    let at = pem.find("\n").unwrap() + 60;
    let mut bytes = pem.into_bytes();
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    fs::write(&csr, bytes).unwrap();
    let out = node.path().join("x.crt");
    assert!(sign(ca.path(), &csr, None, &out, 30).is_err());
    assert!(!out.exists());
}

#[test]
fn a_key_others_can_read_is_refused() {
    let (ca, node) = (authority(), tempfile::tempdir().unwrap());
    enrol(ca.path(), node.path(), "party/bank");
    let key = node.path().join(files::KEY);
    for mode in [0o640, 0o604, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let refused = Identity::load(node.path()).unwrap_err();
        assert!(
            matches!(refused, IdentityError::Permissions { .. }),
            "{refused}"
        );
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Identity::load(node.path()).is_ok());
}

#[test]
fn expired_revoked_foreign_and_mixed_identities_say_so() {
    let (ca, node, other) = (
        authority(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let identity = enrol(ca.path(), node.path(), "party/bank");
    let stranger = enrol(ca.path(), other.path(), "party/other");

    let later = UnixTime::since_unix_epoch(
        Duration::from_secs(UnixTime::now().as_secs()) + Duration::from_secs(31 * 86_400),
    );
    let expired = identity
        .trust()
        .verify_at(&identity.chain(), later)
        .unwrap_err()
        .to_string();
    assert!(
        expired.contains("party/bank") && expired.contains("expired"),
        "{expired}"
    );

    let foreign_ca = authority();
    let foreign = Trust::load(foreign_ca.path())
        .unwrap()
        .verify(&identity.chain())
        .unwrap_err();
    assert!(
        foreign
            .to_string()
            .contains("another certificate authority"),
        "{foreign}"
    );

    assert_eq!(revoke(ca.path(), &peer("party/bank")).unwrap().len(), 1);
    let trust = Trust::load(ca.path()).unwrap();
    let revoked = trust.verify(&identity.chain()).unwrap_err().to_string();
    assert!(revoked.contains("revoked"), "{revoked}");
    assert!(trust.verify(&stranger.chain()).is_ok());
    assert!(matches!(
        revoke(ca.path(), &peer("party/bank")),
        Err(PkiError::NotIssued { .. })
    ));

    fs::copy(
        other.path().join(files::CERTIFICATE),
        node.path().join(files::CERTIFICATE),
    )
    .unwrap();
    let mixed = Identity::load(node.path()).unwrap_err();
    assert!(matches!(mixed, IdentityError::Mismatch { .. }), "{mixed}");
}
