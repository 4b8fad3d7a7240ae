use super::*;
use crate::event::MAX_BODY;

#[test]
fn bodies_have_one_text() {
    let body = Body::from(Aborted {
        culprit: None,
        step: "align".into(),
        code: "timeout".into(),
        destroyed: true,
        node: 3,
    });
    let text = body.to_text(&[1; 16]).unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"code\":\"timeout\",\"culprit\":null,\"destroyed\":true,\"node\":3,\"salt\":\"{}\",\"step\":\"align\"}}",
            "01".repeat(16)
        )
    );
    assert_eq!(Body::parse("aborted", &text).unwrap(), body);
    // another kind, a missing member, one too many, no salt
    assert!(Body::parse("denied", &text).is_err());
    for (from, to) in [
        ("\"culprit\":null,", ""),
        ("\"destroyed\"", "\"destroyer\":1,\"destroyed\""),
        ("\"salt\":\"01", "\"salt\":\"0"),
        ("null", "null,\"culprit\":null"),
    ] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text);
        assert!(Body::parse("aborted", &bad).is_err(), "{bad}");
    }
    assert!(matches!(
        Body::from(Incident {
            class: "x".into(),
            detail: "y".repeat(MAX_BODY)
        })
        .to_text(&[0; 16]),
        Err(EventError::TooLong { .. })
    ));
}

#[test]
fn every_event_has_a_visibility() {
    for event in EVENTS {
        assert!(visibility(event).is_some());
    }
    assert_eq!(visibility("step"), None);
}
