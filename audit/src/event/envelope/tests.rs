use super::*;
use crate::{event::bodies::Denied, note::Ed25519Signer};
use ed25519_dalek::SigningKey;

fn sealed() -> (Sealed, VerifyingKey) {
    let key = SigningKey::from_bytes(&[1; 32]);
    let signer = Ed25519Signer::new(key.clone());
    let body = Body::Denied(Denied {
        code: "undeclared".into(),
        subject: "release.scores".into(),
        to: Some("partner".into()),
    });
    let draft = Draft::new("j-1", "party-0", "bank", 1_795_309_323, body);
    let sealed = draft
        .seal_with(&Place::first("paripassu/party/bank"), &signer, &[9; 16])
        .unwrap();
    (sealed, key.verifying_key())
}

#[test]
fn has_exactly_the_documented_members() {
    let (sealed, key) = sealed();
    let value: serde_json::Value = serde_json::from_str(&sealed.envelope).unwrap();
    let names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        [
            "actor", "at", "body", "clock", "event", "job", "origin", "prev", "role", "seq", "sig",
            "v"
        ]
    );
    let envelope = Envelope::parse(sealed.envelope.as_bytes()).unwrap();
    envelope.verify(&key).unwrap();
    assert!(envelope.names(sealed.body.as_bytes()));
    assert!(sealed.body.contains(&hex(&[9; 16])), "{}", sealed.body);
}

#[test]
fn no_byte_can_be_changed() {
    let (sealed, key) = sealed();
    for place in 0..sealed.envelope.len() {
        let mut bytes = sealed.envelope.clone().into_bytes();
        bytes[place] ^= 1;
        let accepted = Envelope::parse(&bytes).is_ok_and(|envelope| envelope.verify(&key).is_ok());
        assert!(!accepted, "byte {place}");
    }
    let other = SigningKey::from_bytes(&[2; 32]);
    let envelope = Envelope::parse(sealed.envelope.as_bytes()).unwrap();
    assert!(envelope.verify(&other.verifying_key()).is_err());
}

#[test]
fn what_is_not_canonical_or_unknown_is_refused() {
    let (sealed, _) = sealed();
    let spaced = sealed.envelope.replacen(':', ": ", 1);
    assert!(matches!(
        Envelope::parse(spaced.as_bytes()),
        Err(EventError::NotCanonical { .. })
    ));
    let more = sealed.envelope.replacen('{', "{\"aa\":1,", 1);
    assert!(matches!(
        Envelope::parse(more.as_bytes()),
        Err(EventError::Json { .. })
    ));
    let kind = sealed.envelope.replace("\"denied\"", "\"waved\"");
    assert!(matches!(
        Envelope::parse(kind.as_bytes()),
        Err(EventError::Kind { .. })
    ));
    let long = format!("{}{}", sealed.envelope, " ".repeat(MAX_ENVELOPE));
    assert!(matches!(
        Envelope::parse(long.as_bytes()),
        Err(EventError::TooLong { .. })
    ));
}
