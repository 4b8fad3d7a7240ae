//! Check 1: every event, checkpoint and statement is signed by a key that was valid and not revoked.

use std::collections::BTreeMap;

use ed25519_dalek::Signature;

use super::{
    certificate::Certificate,
    verdict::{Check, Place, Report, plain},
    view::{Case, Event, Log, check_of},
};
use crate::{
    bundle::{SignedStatement, unbase64},
    event::{Body, EventError, hex, unhex},
    note::{Algorithm, SignatureType, VerifierKey},
};

const FORGED: &str =
    "someone other than this node wrote it, or it was altered after it was written";
const STRANGER: &str = "nothing shows that this key is the node's: what it signed may be anyone's";
const LAPSED: &str = "what this key signed at that time does not count";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    if let Some(Err(why)) = case.authority() {
        report.find(
            Check::Signature,
            Place::default(),
            format!("the authority's certificate cannot be used: {why}"),
            STRANGER,
        );
    }
    for log in &case.logs {
        certificates(case, log, report);
        for event in log.all_events() {
            report.examined(Check::Signature, 1);
            if let Err(what) = event_signed(case, log, event) {
                report.find(Check::Signature, log.at(event), what.0, what.1);
            }
            if case.lacks_body(log, event) {
                lacking(case, log, event, report);
            }
        }
        heads(log, report);
        rotations(log, report);
    }
    shared_keys(case, report);
    statements(case, report);
}

/// No key is that of two nodes: one would stand for both.
fn shared_keys(case: &Case<'_>, report: &mut Report) {
    let mut owners: BTreeMap<[u8; 32], &str> = BTreeMap::new();
    for log in &case.logs {
        for certificate in log.certificates.iter().flatten() {
            let owner = owners.entry(certificate.key_digest).or_insert(log.node);
            if *owner != log.node {
                let what = format!("{owner} has the same key");
                report.find(Check::Signature, log.place(), what, STRANGER);
            }
        }
    }
}

/// A body that should be here is not: the check that it is for cannot pass.
fn lacking(case: &Case<'_>, log: &Log<'_>, event: &Event<'_>, report: &mut Report) {
    let Some(check) = check_of(event.name()) else {
        return;
    };
    if case.options.allow_pruned() {
        report.note(format!(
            "bodies of `{}` are missing from {}: what they say was not checked",
            event.name(),
            log.part.origin
        ));
    } else {
        report.find(
            check,
            log.at(event),
            "its body is not in the bundle".into(),
            "what it says cannot be checked; if bodies were pruned by age, set `allow_pruned` in the trust file",
        );
    }
}

type Wrong = (String, &'static str);

/// Whether a certificate vouches for a key of `uri`; its validity in time is another matter.
pub(super) fn vouched(
    case: &Case<'_>,
    origin: &str,
    certificate: &Certificate,
) -> Result<(), Wrong> {
    let pins = case.options.trust.and_then(|trust| trust.pins.get(origin));
    if pins.is_some_and(|pins| !pins.contains(&certificate.key_digest)) {
        return Err((
            format!(
                "its key {} is not pinned for it",
                hex(&certificate.key_digest)
            ),
            STRANGER,
        ));
    }
    let uri = format!("spiffe://{origin}");
    if certificate.uri != uri {
        return Err((
            format!(
                "the certificate is for `{}`, not for `{uri}`",
                plain(&certificate.uri)
            ),
            STRANGER,
        ));
    }
    match case.authority() {
        Some(Ok(authority)) => certificate
            .issued_by(authority)
            .map_err(|why| (format!("the certificate is refused: {why}"), STRANGER)),
        Some(Err(_)) => Err(("there is no authority to judge it by".into(), STRANGER)),
        None if pins.is_some() => Ok(()),
        None => Err(("the trust file pins no key for it".into(), STRANGER)),
    }
}

/// Whether a key counts at a time.
pub(super) fn in_force(case: &Case<'_>, certificate: &Certificate, at: i64) -> Result<(), Wrong> {
    let revoked = case.options.trust.and_then(|trust| {
        trust
            .revoked
            .iter()
            .find(|r| r.key == certificate.key_digest && r.from <= at)
    });
    if let Some(revoked) = revoked {
        return Err((
            format!("its key was revoked before ({})", plain(&revoked.reason)),
            LAPSED,
        ));
    }
    let authority = match case.authority() {
        Some(Ok(authority)) => authority.valid_at(at),
        _ => true,
    };
    if certificate.valid_at(at) && authority {
        Ok(())
    } else {
        Err(("its certificate was not valid at that time".into(), LAPSED))
    }
}

fn certificates(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    for certificate in &log.certificates {
        report.examined(Check::Signature, 1);
        let wrong = match certificate {
            Ok(certificate) => vouched(case, &log.part.origin, certificate).err(),
            Err(why) => Some((format!("a certificate cannot be used: {why}"), STRANGER)),
        };
        if let Some((what, means)) = wrong {
            report.find(Check::Signature, log.place(), what, means);
        }
    }
}

fn event_signed(case: &Case<'_>, log: &Log<'_>, event: &Event<'_>) -> Result<(), Wrong> {
    let envelope = event.envelope.as_ref().map_err(|e| {
        (
            format!("the envelope is refused: {}", plain(&e.to_string())),
            FORGED,
        )
    })?;
    let certificate = unhex(&envelope.sig.key)
        .and_then(|key| log.certificate(&key))
        .ok_or_else(|| {
            let key = &envelope.sig.key;
            (
                format!("it is signed with key {key}, of which the log has no certificate"),
                FORGED,
            )
        })?;
    envelope
        .verify(&certificate.key)
        .map_err(|e| (e.to_string(), FORGED))?;
    in_force(case, certificate, envelope.unix())?;
    match &event.body {
        Some(Err(EventError::Signature)) => Err((
            "its body is not the one that was signed".into(),
            "the body was altered or exchanged",
        )),
        Some(Err(e)) => Err((
            format!("its body is refused: {}", plain(&e.to_string())),
            "the node wrote something that is no event of this kind",
        )),
        _ => Ok(()),
    }
}

/// The verifier keys of a node, one a certificate.
pub(super) fn keys<'l>(
    log: &'l Log<'_>,
    kind: SignatureType,
) -> impl Iterator<Item = (&'l Certificate, VerifierKey)> + use<'l> {
    let origin = log.part.origin.as_str();
    let sound = log.certificates.iter().filter_map(|c| c.as_ref().ok());
    sound.filter_map(move |certificate| {
        let raw = certificate.key.as_bytes();
        let key = VerifierKey::new(origin, kind, Algorithm::Ed25519, raw).ok()?;
        Some((certificate, key))
    })
}

fn heads(log: &Log<'_>, report: &mut Report) {
    let earlier = log.part.checkpoints.iter().map(|c| c.note.as_str());
    for text in earlier.chain([log.part.checkpoint.as_str()]) {
        // one that cannot be read is a matter of check 3
        let Ok(head) = crate::note::SignedCheckpoint::parse(text) else {
            continue;
        };
        report.examined(Check::Signature, 1);
        let signed = keys(log, SignatureType::Note).any(|(_, key)| head.verify(&key).is_ok());
        if !signed {
            report.find(
                Check::Signature,
                log.place(),
                format!(
                    "its checkpoint of size {} is not signed by the log",
                    head.checkpoint().size()
                ),
                FORGED,
            );
        }
    }
}

/// Where the key changes from one event to the next, the log says so.
fn rotations(log: &Log<'_>, report: &mut Report) {
    let mut all: Vec<_> = log.all_events().collect();
    all.sort_by_key(|event| event.part.index);
    let signed = |event: &Event<'_>| event.head().map(|envelope| envelope.sig.key.clone());
    for pair in all.windows(2) {
        let [before, after] = pair else { continue };
        let (Some(old), Some(new)) = (signed(before), signed(after)) else {
            continue;
        };
        if old == new {
            continue;
        }
        report.examined(Check::Signature, 1);
        let told = log.node_events.iter().any(|event| {
            event.part.index >= after.part.index
                && matches!(event.body(), Some(Body::KeyRotated(key)) if key.old == old && key.new == new)
        });
        // one that was pruned, or cannot be read, is said elsewhere
        let lost = log
            .node_events
            .iter()
            .any(|event| event.name() == "key.rotated" && event.body().is_none());
        if !told && !lost {
            report.find(
                Check::Signature,
                log.at(after),
                format!("it is signed with key {new}, the one before with {old}, and the log tells of no new key"),
                STRANGER,
            );
        }
    }
}

/// A statement's signer, if the signature holds: the leaf certificate.
pub(super) fn signer(signed: &SignedStatement) -> Result<(Vec<u8>, Certificate), String> {
    let bytes = |text: &str| unbase64(text).unwrap_or_default();
    let leaf = signed.chain.first().map(|c| bytes(c)).unwrap_or_default();
    let certificate = Certificate::from_der(&leaf)
        .map_err(|why| format!("its certificate cannot be used: {why}"))?;
    let statement = bytes(&signed.statement);
    let signature = Signature::from_slice(&bytes(&signed.signature)).ok();
    let holds = signature.is_some_and(|signature| {
        certificate
            .key
            .verify_strict(&statement, &signature)
            .is_ok()
    });
    if holds {
        Ok((statement, certificate))
    } else {
        Err("the signature is not by the certificate's key, or what was signed was altered".into())
    }
}

fn statements(case: &Case<'_>, report: &mut Report) {
    let created = case.contract.as_ref().map(|c| c.created).ok();
    let all = std::iter::once(("the submission", &case.bundle.submission));
    let approvals = case.bundle.approvals.iter().map(|a| ("a decision", a));
    for (what, statement) in all.chain(approvals) {
        report.examined(Check::Signature, 1);
        let wrong = match signer(statement) {
            Err(why) => Some((why, FORGED)),
            Ok((_, certificate)) => {
                let origin = certificate.uri.strip_prefix("spiffe://").unwrap_or("");
                // of its time we know the contract's, and for a decision that of the event
                let at = super::order::decided_at(case, statement).or(created);
                vouched_person(case, origin, &certificate)
                    .err()
                    .or_else(|| at.and_then(|at| in_force(case, &certificate, at).err()))
            }
        };
        if let Some((why, means)) = wrong {
            report.find(
                Check::Signature,
                Place::default(),
                format!("{what}: {why}"),
                means,
            );
        }
    }
}

/// As [`vouched`]; a person who submits has no log, so without an authority nobody can pin it.
fn vouched_person(case: &Case<'_>, origin: &str, certificate: &Certificate) -> Result<(), Wrong> {
    if case.authority().is_none() && origin.starts_with("paripassu/user/") {
        return Ok(());
    }
    vouched(case, origin, certificate)
}
