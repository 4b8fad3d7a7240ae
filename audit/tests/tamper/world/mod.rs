//! A job of two parties and a coordinator that helps, from certificates to the bundle.

mod disk;
pub(crate) mod script;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ed25519_dalek::{
    Signer as _, SigningKey,
    pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use paripassu_audit::{
    bundle::{
        Artifact, Bundle, EarlierCheckpoint, EventPart, FORMAT, FrameList, LogPart,
        SignedStatement, proof_text,
    },
    consent::{Consent, Decided, Signature, person_statement, said},
    event::{Body, Draft, Place, Tally, Visibility, bodies::*, hex, key_digest, visibility},
    log::Log,
    merkle::{Tree, leaf_hash},
    note::{Checkpoint, Ed25519Signer, SignedCheckpoint},
    witness::Witness,
};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The canonical contract of the job crate's vectors.
pub(crate) fn contract() -> &'static str {
    include_str!("../../../../job/tests/vectors/contract.json").trim_end()
}
pub(crate) const JOB: &str = "07070707070707070707070707070707";
/// When the job starts: ten minutes after the contract.
pub(crate) const START: i64 = 1_772_323_800;
pub(crate) const STEPS: [&str; 4] = ["align", "train/pass-1", "train/pass-2", "evaluate"];
pub(crate) const REPORT: &[u8] = b"{\"auc\":\"0.7812\"}\n";
pub(crate) const MODEL: &[u8] = b"{\"coefficients\":[]}\n";
pub(crate) const BINARY: [u8; 32] = [0xb1; 32];

pub(crate) fn sha(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Whoever holds a key and a certificate.
pub(crate) struct Person {
    pub(crate) kind: &'static str,
    pub(crate) id: &'static str,
    pub(crate) key: SigningKey,
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
}

impl Person {
    pub(crate) fn origin(&self) -> String {
        format!("paripassu/{}/{}", self.kind, self.id)
    }

    pub(crate) fn signer(&self) -> Ed25519Signer {
        Ed25519Signer::new(self.key.clone())
    }

    pub(crate) fn key_hex(&self) -> String {
        hex(&key_digest(&self.key.verifying_key()))
    }
}

fn key_pair(key: &SigningKey) -> KeyPair {
    let pair = KeypairBytes {
        secret_key: key.to_bytes(),
        public_key: None,
    };
    let pem = pair.to_pkcs8_pem(LineEnding::LF).unwrap();
    KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_ED25519).unwrap()
}

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str, seed: u8) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = OffsetDateTime::from_unix_timestamp(START - 86_400 * 60).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(START + 86_400 * 3_000).unwrap();
        let key = key_pair(&SigningKey::from_bytes(&[seed; 32]));
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub(crate) fn certify(&self, kind: &'static str, id: &'static str, seed: u8) -> Person {
        self.certify_until(kind, id, seed, START + 86_400 * 300)
    }

    pub(crate) fn certify_until(
        &self,
        kind: &'static str,
        id: &'static str,
        seed: u8,
        until: i64,
    ) -> Person {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{kind}/{id}"));
        let uri = format!("spiffe://paripassu/{kind}/{id}");
        params
            .subject_alt_names
            .push(SanType::URI(uri.as_str().try_into().unwrap()));
        params.use_authority_key_identifier_extension = true;
        params.not_before = OffsetDateTime::from_unix_timestamp(START - 86_400 * 30).unwrap();
        params.not_after = OffsetDateTime::from_unix_timestamp(until).unwrap();
        let certificate = params.signed_by(&key_pair(&key), &self.issuer).unwrap();
        Person {
            kind,
            id,
            key,
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
        }
    }
}

/// What one node is to write, in two halves: before and after the members witness each other.
pub(crate) struct Script {
    pub(crate) person: Person,
    pub(crate) role: &'static str,
    pub(crate) before: Vec<Draft>,
    pub(crate) after: Vec<Draft>,
    /// What it writes of itself: when it starts, and between the halves.
    pub(crate) started: Vec<Draft>,
    pub(crate) between: Vec<Draft>,
    /// With which key it goes on after the first half.
    pub(crate) renewed: Option<Person>,
    /// Who cosigns its last checkpoint.
    pub(crate) witnesses: Vec<&'static str>,
    /// The seed of the key that its witnesses use instead of their own.
    pub(crate) witness_seed: Option<u8>,
    /// Leaves out a number and a link of the chain in the second half.
    pub(crate) skip_sequence: bool,
    /// Shows another log from the middle on.
    pub(crate) fork: bool,
    /// Writes down another root than it saw.
    pub(crate) saw_another_root: bool,
    /// Has its openings countersigned before it goes on.
    pub(crate) asks_before: bool,
    /// After which events, where it does.
    pub(crate) asks_for: fn(&Draft) -> bool,
    /// Who cosigns none of its heads after the middle but the last.
    pub(crate) unseen_by: Vec<&'static str>,
    /// Who cosigns none of those that hold a bit, or its announcement, as the last opening.
    pub(crate) bits_unseen_by: Vec<&'static str>,
}

fn is_of_bits(draft: &Draft) -> bool {
    match &draft.body {
        Body::Disclosure(opening) => opening.shape == BIT,
        Body::DisclosureAnnounced(_) => true,
        _ => false,
    }
}

/// The job, ready to be written; tests change it here to play a dishonest insider.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) contract: String,
    pub(crate) scripts: Vec<Script>,
    pub(crate) submission: SignedStatement,
    pub(crate) approvals: Vec<SignedStatement>,
    pub(crate) artifacts: Vec<Artifact>,
    /// Steps beside [`STEPS`].
    pub(crate) more_steps: Vec<String>,
    /// Seconds between the last event and the last cosignatures.
    pub(crate) cosign_delay: i64,
}

fn encode(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend((field.len() as u64).to_le_bytes());
        out.extend(*field);
    }
    out
}

fn signed(person: &Person, statement: &[u8]) -> SignedStatement {
    let signature = person.key.sign(statement).to_bytes();
    SignedStatement::new(statement, &signature, &[&person.der])
}

pub(crate) fn submit(person: &Person, contract: &str) -> SignedStatement {
    let digest = Sha256::digest(contract);
    let statement = encode(&[b"paripassu/v1/submit", JOB.as_bytes(), &digest]);
    signed(person, &statement)
}

/// What the parties' approvals say of themselves.
pub(crate) fn consent() -> Consent {
    Consent {
        approver: "data-owner".into(),
        second: "compliance".into(),
        ticket: "CHG-1182".into(),
        expires: "2026-03-04T00:00:00Z".into(),
        people: Vec::new(),
    }
}

pub(crate) fn decide(person: &Person, contract: &str, approve: bool) -> (SignedStatement, String) {
    decide_as(person, contract, approve, b"as agreed", &consent())
}

pub(crate) fn decide_as(
    person: &Person,
    contract: &str,
    approve: bool,
    reason: &[u8],
    consent: &Consent,
) -> (SignedStatement, String) {
    let digest = Sha256::digest(contract);
    let people = consent.people_field();
    let form: &[u8] = match people.is_empty() {
        true => b"paripassu/v2/decide",
        false => b"paripassu/v3/decide",
    };
    let mut fields: Vec<&[u8]> = vec![form, JOB.as_bytes(), &digest];
    let yes = [u8::from(approve)];
    fields.extend([&yes[..], reason]);
    fields.extend(consent.fields());
    if !people.is_empty() {
        fields.push(&people);
    }
    let statement = encode(&fields);
    (signed(person, &statement), sha(&statement))
}

/// A person's signature below the approval that [`consent`] describes.
pub(crate) fn person_signs(
    contract: &str,
    party: &str,
    name: &str,
    role: &str,
    seed: u8,
) -> Signature {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let consent = consent();
    let decided = Decided {
        job: JOB,
        digest: &Sha256::digest(contract),
        approve: true,
        party,
        reason: "as agreed",
        ticket: &consent.ticket,
        expires: &consent.expires,
    };
    Signature {
        name: name.into(),
        role: role.into(),
        key: key.verifying_key().to_bytes(),
        signature: key.sign(&person_statement(&decided, name, role)).to_bytes(),
    }
}

/// The frames that went from one node to another in a step.
pub(crate) fn frames(step: &str, from: &str, to: &str) -> Tally {
    let mut tally = Tally::new();
    for number in 0..3 + step.len() % 4 {
        let frame = Sha256::digest(format!("{step} {from} {to} {number}"));
        tally.push(frame.into(), 1_000 + number as u64);
    }
    tally
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(contract())
    }

    /// The honest job, but for what both parties' approvals say of themselves, as it is signed and written
    /// down.
    pub(crate) fn consenting(consent: &Consent) -> Self {
        let mut world = Self::new();
        let contract = world.contract.clone();
        for (place, id, seed) in [(0, "bank", 11), (1, "partner", 12)] {
            let person = world.authority.certify("party", id, seed);
            let (signed, digest) = decide_as(&person, &contract, true, b"as agreed", consent);
            world.approvals[place] = signed;
            for draft in world.scripts.iter_mut().flat_map(|s| &mut s.before) {
                if let Body::JobApproved(approval) = &mut draft.body
                    && approval.party == id
                {
                    approval.statement = digest.clone();
                    approval.approver = said(&consent.approver).unwrap_or_else(|| id.into());
                    approval.second = said(&consent.second);
                    approval.ticket = said(&consent.ticket);
                    approval.expires = said(&consent.expires);
                }
            }
        }
        world
    }

    /// The honest job, in which the bank's policy has rules of its own and its approval is signed by two people
    /// with keys of their own; `change` alters what they signed and the text of the policy.
    pub(crate) fn signed(change: impl Fn(&mut Consent, &mut String)) -> Self {
        Self::signed_of(contract(), change)
    }

    /// The same under another contract.
    pub(crate) fn signed_of(contract: &str, change: impl Fn(&mut Consent, &mut String)) -> Self {
        let mut world = Self::of(contract);
        let mut consent = consent();
        consent.people = vec![
            person_signs(&world.contract, "bank", "data-owner", "data_owner", 31),
            person_signs(&world.contract, "bank", "compliance", "compliance", 32),
        ];
        let mut policy = script::policy_signed();
        change(&mut consent, &mut policy);
        let person = world.authority.certify("party", "bank", 11);
        let contract = world.contract.clone();
        let (signed, digest) = decide_as(&person, &contract, true, b"as agreed", &consent);
        world.approvals[0] = signed;
        for draft in world.scripts.iter_mut().flat_map(|s| &mut s.before) {
            if let Body::JobApproved(approval) = &mut draft.body
                && approval.party == "bank"
            {
                approval.statement = digest.clone();
            }
        }
        let mut pieces = 0;
        world.script("bank").before.retain_mut(|draft| {
            match &mut draft.body {
                Body::PolicyStated(piece) => {
                    (piece.parts, piece.text) = (1, policy.clone());
                    pieces += 1;
                    return pieces == 1;
                }
                Body::PolicyEvaluated(verdict) => {
                    verdict.policy = sha(policy.as_bytes());
                    let last = verdict.rules.pop().unwrap();
                    let own = script::OWN_RULES.map(|id| RuleVerdict {
                        id: id.into(),
                        verdict: "allow".into(),
                        measured: String::new(),
                    });
                    verdict.rules.extend(own);
                    verdict.rules.push(last);
                }
                _ => {}
            }
            true
        });
        world
    }

    /// The honest job under this contract.
    pub(crate) fn of(contract: &str) -> Self {
        let authority = Authority::new("consortium", 1);
        let all = [("bank", 11), ("partner", 12), ("third", 15), ("fourth", 16)];
        let roles = ["party-0", "party-1", "party-2", "party-3"];
        let seated = |id: &str| contract.contains(&format!("\"id\":\"{id}\""));
        let parties = || all.into_iter().filter(|(id, _)| seated(id));
        let people = || {
            let parties = parties().map(|(id, seed)| authority.certify("party", id, seed));
            parties.chain([authority.certify("coordinator", "coordinator", 13)])
        };
        let roles = roles.into_iter().take(parties().count()).chain(["helper"]);
        let modeler = authority.certify("user", "modeler", 14);
        let keys: BTreeMap<_, _> = people().map(|p| (p.id, p.key_hex())).collect();
        let decisions: Vec<_> = people()
            .filter(|p| p.kind == "party")
            .map(|p| (p.id, decide(&p, contract, true)))
            .collect();
        let scripts = people()
            .zip(roles)
            .map(|(person, role)| script::script(person, role, contract, &keys, &decisions))
            .collect();
        let artifact = |name: &str, content: &[u8]| Artifact {
            name: name.to_owned(),
            sha256: sha(content),
            bytes: content.len() as u64,
        };
        Self {
            contract: contract.to_owned(),
            scripts,
            submission: submit(&modeler, contract),
            approvals: decisions
                .into_iter()
                .map(|(_, (signed, _))| signed)
                .collect(),
            artifacts: vec![
                artifact("report.json", REPORT),
                artifact("model.json", MODEL),
            ],
            more_steps: Vec::new(),
            cosign_delay: 5,
            authority,
        }
    }

    pub(crate) fn script(&mut self, id: &str) -> &mut Script {
        self.scripts.iter_mut().find(|s| s.person.id == id).unwrap()
    }

    /// Writes all logs, witnesses them, and makes the bundle of `bank`.
    pub(crate) fn bundle(&self) -> Bundle {
        let mut logs: Vec<Writing<'_>> = self.scripts.iter().map(Writing::new).collect();
        for log in &mut logs {
            log.foreign(3);
            for draft in &log.script.started {
                log.write_of_node(draft);
            }
            for draft in &log.script.before {
                log.write(draft);
            }
        }
        let middle = START + 60;
        let heads: Vec<_> = logs.iter().map(|log| log.head()).collect();
        for log in &mut logs {
            let head = log.cosigned(self, middle);
            log.earlier.push(head);
        }
        for log in &mut logs {
            for (other, head) in self.scripts.iter().zip(&heads) {
                if other.person.id == log.script.person.id {
                    continue;
                }
                let head = head.checkpoint();
                let body = LogWitnessed {
                    log: head.origin().to_owned(),
                    size: head.size(),
                    root: if log.script.saw_another_root {
                        "ab".repeat(32)
                    } else {
                        hex(head.root())
                    },
                    outcome: "cosigned".into(),
                    code: None,
                };
                let script = log.script;
                let draft = Draft::new(JOB, script.role, script.person.id, middle, body.into());
                log.write(&draft);
            }
            log.foreign(2);
            log.renewed = log.script.renewed.is_some();
            for draft in &log.script.between {
                log.write_of_node(draft);
            }
            if log.script.fork {
                log.rewrite();
            }
            for (number, draft) in log.script.after.iter().enumerate() {
                if log.script.skip_sequence && number == 14 {
                    let kept = log.events.clone();
                    log.write(draft);
                    let lost = log.events.pop();
                    assert_ne!(lost.as_ref(), kept.last());
                    log.lost += 1;
                    continue;
                }
                log.write(draft);
                let mut rest = log.script.after.iter().skip(number + 1);
                let asks = log.script.asks_for;
                if asks(draft) && !rest.next().is_some_and(asks) && log.script.asks_before {
                    let mut but = log.script.unseen_by.clone();
                    if is_of_bits(draft) {
                        but.extend(&log.script.bits_unseen_by);
                    }
                    let head = log.cosigned_but(self, draft.at, &but);
                    log.earlier.push(head);
                }
            }
        }
        let end = self
            .scripts
            .iter()
            .flat_map(|s| &s.after)
            .map(|d| d.at)
            .max()
            .unwrap_or(middle);
        let parts = logs.iter().map(|log| {
            let mut head = log.head();
            for id in &log.script.witnesses {
                let other = &self
                    .scripts
                    .iter()
                    .find(|s| s.person.id == *id)
                    .unwrap()
                    .person;
                let time = (end + self.cosign_delay) as u64;
                let signer = match log.script.witness_seed {
                    Some(seed) => Ed25519Signer::new(SigningKey::from_bytes(&[seed; 32])),
                    None => other.signer(),
                };
                head.cosign(&other.origin(), time, &signer).unwrap();
            }
            log.part(&head, log.script.person.id == "bank")
        });
        Bundle {
            logs: parts.collect(),
            ..self.frame()
        }
    }

    fn ids(&self) -> Vec<&'static str> {
        self.scripts.iter().map(|script| script.person.id).collect()
    }

    /// The bundle without its logs.
    fn frame(&self) -> Bundle {
        Bundle {
            format: FORMAT.into(),
            job: JOB.into(),
            node: "paripassu/party/bank".into(),
            contract: self.contract.clone(),
            submission: self.submission.clone(),
            approvals: self.approvals.clone(),
            logs: Vec::new(),
            frames: frame_lists_with("bank", &self.more_steps, &self.ids()),
            artifacts: self.artifacts.clone(),
            authority: self.authority.pem.clone(),
        }
    }
}

pub(crate) fn frame_lists(me: &str, more: &[String]) -> Vec<FrameList> {
    frame_lists_with(me, more, &["bank", "partner", "coordinator"])
}

fn frame_lists_with(me: &str, more: &[String], others: &[&str]) -> Vec<FrameList> {
    let mut lists = Vec::new();
    for step in STEPS.into_iter().chain(more.iter().map(String::as_str)) {
        for peer in others.iter().filter(|peer| **peer != me) {
            for (direction, tally) in [
                ("sent", frames(step, me, peer)),
                ("received", frames(step, peer, me)),
            ] {
                lists.push(FrameList {
                    step: step.into(),
                    peer: (*peer).into(),
                    direction: direction.into(),
                    digests: tally.frames().iter().map(|f| hex(f)).collect(),
                });
            }
        }
    }
    lists
}

/// A log under way.
struct Writing<'a> {
    script: &'a Script,
    tree: Tree,
    events: Vec<(u64, String, String)>,
    node_events: Vec<(u64, String, String)>,
    renewed: bool,
    lost: u64,
    /// Heads before the last, countersigned by all others.
    earlier: Vec<SignedCheckpoint>,
}

impl<'a> Writing<'a> {
    fn new(script: &'a Script) -> Self {
        Self {
            script,
            tree: Tree::new(),
            events: Vec::new(),
            node_events: Vec::new(),
            renewed: false,
            lost: 0,
            earlier: Vec::new(),
        }
    }

    /// Events of other jobs.
    fn foreign(&mut self, n: u8) {
        for number in 0..n {
            self.tree.append(leaf_hash(&[number; 9]));
        }
    }

    fn signer(&self) -> Ed25519Signer {
        let renewed = self.script.renewed.as_ref().filter(|_| self.renewed);
        renewed.unwrap_or(&self.script.person).signer()
    }

    fn write_of_node(&mut self, draft: &Draft) {
        let origin = self.script.person.origin();
        let place = match self.node_events.last() {
            None => Place::first(&origin),
            Some((_, envelope, _)) => Place::after(
                &origin,
                envelope.as_bytes(),
                self.node_events.len() as u64 - 1,
            ),
        };
        let sealed = draft.seal(&place, &self.signer()).unwrap();
        let index = self.tree.append(sealed.leaf());
        self.node_events.push((index, sealed.envelope, sealed.body));
    }

    fn write(&mut self, draft: &Draft) {
        let origin = self.script.person.origin();
        let place = match self.events.last() {
            None => Place::first(&origin),
            Some((_, envelope, _)) => Place::after(
                &origin,
                envelope.as_bytes(),
                self.events.len() as u64 - 1 + self.lost,
            ),
        };
        let sealed = draft.seal(&place, &self.signer()).unwrap();
        let index = self.tree.append(sealed.leaf());
        self.events.push((index, sealed.envelope, sealed.body));
    }

    /// The same events again over other leaves of other jobs.
    fn rewrite(&mut self) {
        self.tree = Tree::new();
        for number in 0..self.events[0].0 {
            let own = self.node_events.iter().find(|(index, ..)| *index == number);
            self.tree.append(match own {
                Some((_, envelope, _)) => leaf_hash(envelope.as_bytes()),
                None => leaf_hash(&[0xee, number as u8]),
            });
        }
        for (index, envelope, _) in &mut self.events {
            *index = self.tree.append(leaf_hash(envelope.as_bytes()));
        }
        self.foreign(2);
    }

    fn head(&self) -> SignedCheckpoint {
        let origin = self.script.person.origin();
        let head = Checkpoint::new(&origin, self.tree.size(), self.tree.root()).unwrap();
        SignedCheckpoint::sign(head, &self.signer()).unwrap()
    }

    /// Its head, countersigned by all others.
    fn cosigned(&self, world: &World, at: i64) -> SignedCheckpoint {
        self.cosigned_but(world, at, &[])
    }

    fn cosigned_but(&self, world: &World, at: i64, but: &[&str]) -> SignedCheckpoint {
        let mut head = self.head();
        let people = world.scripts.iter().map(|script| &script.person);
        let others = people.filter(|other| other.id != self.script.person.id);
        for other in others.filter(|other| !but.contains(&other.id)) {
            head.cosign(&other.origin(), at as u64, &other.signer())
                .unwrap();
        }
        head
    }

    fn part(&self, head: &SignedCheckpoint, own: bool) -> LogPart {
        let size = self.tree.size();
        let part = |(index, envelope, body): &(u64, String, String)| {
            let private = EVENTS.iter().any(|kind| {
                visibility(kind) == Some(Visibility::Private)
                    && envelope.contains(&format!("\"event\":\"{kind}\""))
            });
            EventPart {
                index: *index,
                envelope: envelope.clone(),
                body: (own || !private).then(|| body.clone()),
                proof: proof_text(&self.tree.inclusion_proof(*index, size).unwrap()),
            }
        };
        let earlier = self.earlier.iter().map(|old| EarlierCheckpoint {
            note: old.to_string(),
            consistency: proof_text(
                &self
                    .tree
                    .consistency_proof(old.checkpoint().size(), size)
                    .unwrap(),
            ),
        });
        LogPart {
            origin: self.script.person.origin(),
            certificates: std::iter::once(&self.script.person)
                .chain(&self.script.renewed)
                .map(|person| person.pem.clone())
                .collect(),
            checkpoint: head.to_string(),
            events: self.events.iter().map(part).collect(),
            node_events: self.node_events.iter().map(part).collect(),
            checkpoints: earlier.collect(),
        }
    }
}
