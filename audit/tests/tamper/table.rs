//! The tamperings: what is done, the exit code it must give, and the event or log it must name.

mod announced;
mod banks;
mod logs;
mod meaning;
mod omissions;
mod policies;
mod privacy;
mod signatures;
mod special;

use std::sync::OnceLock;

use paripassu_audit::{
    bundle::{Artifact, Bundle, base64, unbase64},
    consent::Consent,
    event::{Body, Draft, bodies::*},
    note::{Checkpoint, Ed25519Signer, SignatureType, SignedCheckpoint, VerifierKey},
    verify::HeldFile,
};

use crate::world::{script, *};

/// One tampering.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The documented exit code.
    pub(crate) code: u8,
    /// What a finding must name.
    pub(crate) names: &'static str,
    pub(crate) bundle: Bundle,
    /// Lines that go in front of the trust file; `None` for no trust file.
    pub(crate) trust: Option<&'static str>,
    pub(crate) files: Vec<HeldFile>,
    /// The same files for a verifier that reads them itself.
    pub(crate) content: Vec<(&'static str, &'static [u8])>,
}

const BANK: &str = "paripassu/party/bank";
const PARTNER: &str = "paripassu/party/partner";

fn log<'a>(bundle: &'a mut Bundle, origin: &str) -> &'a mut paripassu_audit::bundle::LogPart {
    bundle
        .logs
        .iter_mut()
        .find(|log| log.origin == origin)
        .unwrap()
}

fn position(bundle: &mut Bundle, origin: &str, event: &str) -> usize {
    let wanted = format!("\"event\":\"{event}\"");
    let log = log(bundle, origin);
    log.events
        .iter()
        .position(|e| e.envelope.contains(&wanted))
        .unwrap()
}

/// An outsider changes the finished file.
fn outside(change: impl FnOnce(&mut Bundle)) -> Bundle {
    static HONEST: OnceLock<Bundle> = OnceLock::new();
    let mut bundle = HONEST.get_or_init(|| World::new().bundle()).clone();
    change(&mut bundle);
    bundle
}

/// An insider writes something else, and signs it properly.
fn inside(change: impl FnOnce(&mut World)) -> Bundle {
    let mut world = World::new();
    change(&mut world);
    world.bundle()
}

/// Changes the text of one event's envelope.
fn envelope(origin: &'static str, event: &'static str, from: &str, to: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, origin, event);
        let text = &mut log(bundle, origin).events[at].envelope;
        assert!(text.contains(from), "{from} in {text}");
        *text = text.replacen(from, to, 1);
    })
}

/// Changes the body of one event.
fn body(origin: &'static str, event: &'static str, from: &str, to: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, origin, event);
        let text = log(bundle, origin).events[at].body.as_mut().unwrap();
        assert!(text.contains(from), "{from} in {text}");
        *text = text.replacen(from, to, 1);
    })
}

/// Flips the lowest bit of the byte after `mark` in an envelope.
fn flip(event: &'static str, mark: &str) -> Bundle {
    outside(|bundle| {
        let at = position(bundle, BANK, event);
        let text = &mut log(bundle, BANK).events[at].envelope;
        let place = text.find(mark).unwrap() + mark.len();
        let mut bytes = text.clone().into_bytes();
        bytes[place] ^= 1;
        *text = String::from_utf8(bytes).unwrap();
    })
}

fn edit(script: &mut Script, change: impl Fn(&mut Body)) {
    for draft in script.before.iter_mut().chain(&mut script.after) {
        change(&mut draft.body);
    }
}

/// Adds an opening before the end, and counts it.
fn open(script: &mut Script, opening: Disclosure) {
    let end = script.after.len() - 1;
    let last = script.after[end].clone();
    let draft = Draft::new(JOB, script.role, script.person.id, last.at, opening.into());
    script.after.insert(end, draft);
    edit(script, |body| {
        if let Body::RunCompleted(done) = body {
            done.disclosures += 1;
        }
    });
}

/// Never writes down openings of these ids, nor counts them.
fn leave_out(script: &mut Script, left_out: impl Fn(&str) -> bool) {
    let kept = |draft: &Draft| !matches!(&draft.body, Body::Disclosure(o) if left_out(&o.id));
    let before = script.after.len();
    script.after.retain(kept);
    let lost = (before - script.after.len()) as u64;
    assert!(lost > 0);
    edit(script, |body| {
        if let Body::RunCompleted(done) = body {
            done.disclosures -= lost;
        }
    });
}

/// A checkpoint with one cosignature more.
fn also_cosigned(note: &str, name: &str, signer: &Ed25519Signer) -> String {
    let mut head = SignedCheckpoint::parse(note).unwrap();
    head.cosign(name, START as u64 + 600, signer).unwrap();
    head.to_string()
}

fn score_opening(id: &str) -> Disclosure {
    Disclosure {
        id: id.into(),
        ordinal: 1,
        shape: "scores".into(),
        values: 1_500,
        to: vec!["party:bank".into()],
        step: "evaluate".into(),
    }
}

/// Signs the contract anew after a change to it: another honest job.
fn other_contract(from: &str, to: &str) -> World {
    let text = contract();
    assert!(text.contains(from));
    World::of(&text.replacen(from, to, 1))
}

/// Changes one base64 text at its first character.
fn spoil(text: &str) -> String {
    let mut bytes = unbase64(text).unwrap();
    bytes[0] ^= 1;
    base64(&bytes)
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name, code, names, bundle: Bundle| {
        cases.push(Case {
            name,
            code,
            names,
            bundle,
            trust: Some(""),
            files: Vec::new(),
            content: Vec::new(),
        });
    };
    signatures::add_to(&mut add);
    logs::add_to(&mut add);
    meaning::add_to(&mut add);
    omissions::add_to(&mut add);
    policies::add_to(&mut add);
    privacy::add_to(&mut add);
    banks::add_to(&mut add);
    announced::add_to(&mut add);
    special::add_to(&mut cases);
    cases
}

type Add<'a> = dyn FnMut(&'static str, u8, &'static str, Bundle) + 'a;
