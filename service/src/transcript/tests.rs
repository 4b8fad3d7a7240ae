//! A node's log over restarts, and what it makes of messages from others.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use paripassu_audit::{
    bundle::Bundle,
    event::{
        Body, Envelope,
        bodies::{DataErased, JobProposed},
        hex,
    },
    verify::{Options, verify},
};
use paripassu_proto::{
    ContractHead, JobId, NodeId,
    audit::v1::{self as pb, message},
    control::v1 as control,
};
use paripassu_protocol::channel::Role;
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::{
    clock::Clock,
    identity::{Identity, files},
    pki, signing,
};

mod bits;
mod witnessing;

struct World(TempDir);

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        pki::init(&dir.path().join("ca"), "Test", 30).unwrap();
        Self(dir)
    }

    fn path(&self, who: &str) -> std::path::PathBuf {
        self.0.path().join(who.replace('/', "-"))
    }

    fn enrol(&self, who: &str) -> Arc<Identity> {
        let (ca, dir) = (self.0.path().join("ca"), self.path(who));
        let csr = pki::request(&dir, &who.parse().unwrap()).unwrap();
        let crt = dir.join("signed");
        pki::sign(&ca, &csr, None, &crt, 30).unwrap();
        Arc::new(pki::install(&dir, &crt, &ca.join(files::AUTHORITY), None).unwrap())
    }

    fn open(&self, identity: &Arc<Identity>) -> Arc<Transcript> {
        let state = self.path(&format!("{}-state", identity.peer().id));
        Transcript::open(&state, Arc::clone(identity), Clock::system()).unwrap()
    }
}

/// Kind and body of all events of a job; of the node itself for an empty name.
fn events(transcript: &Transcript, job: &str) -> Vec<Body> {
    let entries = transcript.log().job_entries(job).unwrap().into_iter();
    entries
        .map(|e| {
            let envelope = Envelope::parse(&e.envelope).unwrap();
            let body = String::from_utf8(e.body.unwrap()).unwrap();
            Body::parse(&envelope.event, &body).unwrap()
        })
        .collect()
}

fn something() -> DataErased {
    DataErased {
        what: "nothing".into(),
        count: 0,
        subject: None,
    }
}

/// The file of a log.
fn segment(state: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(state.join(LOG_FOLDER)).unwrap();
    files
        .map(|e| e.unwrap().path())
        .find(|p| p.file_name().unwrap().to_string_lossy().starts_with("log-"))
        .unwrap()
}

#[test]
fn a_torn_write_and_a_changed_key_are_written_down_at_the_next_start() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let state = world.path("bank-state");
    {
        let transcript = world.open(&bank);
        transcript.write("j-1", something()).unwrap();
        transcript.close();
    }
    // half a record that nobody was told of
    let path = segment(&state);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([9; 11]);
    fs::write(&path, bytes).unwrap();
    {
        let transcript = world.open(&bank);
        let own = events(&transcript, "");
        assert!(
            matches!(&own[1], Body::LogStarted(b) if b.size == 2),
            "{own:?}"
        );
        assert!(
            matches!(&own[2], Body::Incident(b) if b.class == "torn-write"),
            "{own:?}"
        );
        transcript.close();
    }
    fs::remove_dir_all(world.path("party/bank")).unwrap();
    let renewed = world.enrol("party/bank");
    let transcript = world.open(&renewed);
    let own = events(&transcript, "");
    assert!(matches!(own.last(), Some(Body::KeyRotated(_))), "{own:?}");
    // what is in the log was not lost
    assert_eq!(events(&transcript, "j-1").len(), 1);
}

#[test]
fn a_log_changed_on_disk_is_refused_with_advice() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let state = world.path("bank-state");
    {
        let transcript = world.open(&bank);
        transcript.write("j-1", something()).unwrap();
        transcript.close();
    }
    let path = segment(&state);
    let mut bytes = fs::read(&path).unwrap();
    // what is behind the last record is zeros
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    let middle = used / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let refused = Transcript::open(&state, bank, Clock::system()).unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.contains("damaged") && refused.contains("backup"),
        "{refused}"
    );
}

#[test]
fn bodies_can_be_pruned_and_the_log_goes_on() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    {
        let transcript = world.open(&bank);
        for _ in 0..3 {
            transcript.write("j-1", something()).unwrap();
        }
        let pruned = transcript.log().prune_bodies(|entry| entry.job == "j-1");
        assert_eq!(pruned.unwrap(), 3);
        transcript.close();
    }
    let transcript = world.open(&bank);
    transcript.write("j-1", something()).unwrap();
    let entries = transcript.log().job_entries("j-1").unwrap();
    assert_eq!(entries.iter().filter(|e| e.body.is_none()).count(), 3);
    let last = Envelope::parse(&entries[3].envelope).unwrap();
    assert_eq!(last.seq, 3);
}

/// Keeps what a node sends.
#[derive(Clone, Default)]
struct Letters(Arc<Mutex<Vec<pb::Envelope>>>);

impl Carrier for Letters {
    fn carry(&self, message: pb::Envelope) {
        self.0.lock().unwrap().push(message);
    }
    fn broken(&self, _: &JobId, _: &Blame) {}
}

impl Letters {
    /// What has been sent since the last call, waited for until there are `want` messages.
    async fn take(&self, want: usize) -> Vec<pb::Envelope> {
        for _ in 0..200 {
            if self.0.lock().unwrap().len() >= want {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn body(envelope: &pb::Envelope) -> message::Body {
    let statement = &envelope.message.as_ref().unwrap().statement;
    // two fields, each after its length: a domain and the message
    let (length, rest) = statement.split_first_chunk::<8>().unwrap();
    let rest = &rest[usize::try_from(u64::from_le_bytes(*length)).unwrap() + 8..];
    pb::Message::decode(rest).unwrap().body.unwrap()
}

#[tokio::test]
async fn a_message_counts_once_and_only_as_it_was_signed() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let stranger = world.enrol("party/stranger");
    let id = |text: &str| text.parse::<NodeId>().unwrap();
    let members = vec![
        (Role::Party(0), id("bank")),
        (Role::Party(1), id("partner")),
    ];
    let job: JobId = "j-1".parse().unwrap();
    let seat = |job: &JobId, role| Seat {
        job: job.clone(),
        contract: [7; 32],
        role: Some(role),
        members: members.clone(),
        coordinator: None,
        spare: 0,
        patience: Duration::ZERO,
        core: None,
    };
    let start = |identity: &Arc<Identity>, role| {
        let (transcript, out) = (world.open(identity), Letters::default());
        let exchange = Exchange::start(transcript, Box::new(out.clone()));
        exchange.begin(seat(&job, role));
        (exchange, out)
    };
    let (banks, from_bank) = start(&bank, Role::Party(0));
    let (partners, from_partner) = start(&partner, Role::Party(1));
    for known in from_partner.take(1).await {
        assert!(matches!(body(&known), message::Body::Known(_)));
        banks.message(known);
    }
    banks.ask(&job);
    let sent = from_bank.take(2).await;
    let [known, head] = sent.as_slice() else {
        panic!("{} messages", sent.len())
    };
    assert!(matches!(body(head), message::Body::Head(_)));
    partners.message(known.clone());

    // none of these makes the partner say anything
    let forged = |change: fn(&mut pb::Envelope)| {
        let mut other = head.clone();
        change(&mut other);
        other
    };
    let altered = forged(|e| {
        let signed = e.message.as_mut().unwrap();
        let mut statement = signed.statement.to_vec();
        let last = statement.len() - 1;
        statement[last] ^= 1;
        signed.statement = statement.into();
    });
    let unsigned = forged(|e| e.message = None);
    let plain = pb::Message {
        job: job.to_string(),
        contract: vec![7; 32].into(),
        from: "bank".into(),
        to: "partner".into(),
        number: 9,
        body: Some(body(head)),
    };
    let resigned = |identity: &Identity, message: &pb::Message| pb::Envelope {
        message: Some(signing::sign_audit(identity, message)),
        ..head.clone()
    };
    let by_stranger = resigned(&stranger, &plain);
    let of_other_contract = resigned(
        &bank,
        &pb::Message {
            contract: vec![8; 32].into(),
            ..plain.clone()
        },
    );
    let to_another = resigned(
        &bank,
        &pb::Message {
            to: "bureau".into(),
            ..plain.clone()
        },
    );
    for bad in [
        altered,
        unsigned,
        by_stranger,
        of_other_contract,
        to_another,
    ] {
        partners.message(bad);
    }
    partners.message(head.clone());
    let answers = from_partner.take(1).await;
    assert_eq!(answers.len(), 1);
    assert!(matches!(body(&answers[0]), message::Body::Cosigned(_)));
    // the same again, and an earlier one
    partners.message(head.clone());
    partners.message(known.clone());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(from_partner.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_head_that_another_jobs_head_has_overtaken_is_signed_anew() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let id = |text: &str| text.parse::<NodeId>().unwrap();
    let jobs: [JobId; 2] = ["j-1".parse().unwrap(), "j-2".parse().unwrap()];
    let seat = |job: &JobId, role| Seat {
        job: job.clone(),
        contract: [7; 32],
        role: Some(role),
        members: vec![
            (Role::Party(0), id("bank")),
            (Role::Party(1), id("partner")),
        ],
        coordinator: None,
        spare: 0,
        patience: Duration::ZERO,
        core: None,
    };
    let start = |identity: &Arc<Identity>, role| {
        let (transcript, out) = (world.open(identity), Letters::default());
        let exchange = Exchange::start(Arc::clone(&transcript), Box::new(out.clone()));
        for job in &jobs {
            exchange.begin(seat(job, role));
        }
        (transcript, exchange, out)
    };
    let (log, banks, from_bank) = start(&bank, Role::Party(0));
    let (_, partners, from_partner) = start(&partner, Role::Party(1));
    for known in from_partner.take(2).await {
        banks.message(known);
    }
    from_bank.take(2).await;
    banks.ask(&jobs[0]);
    let first = from_bank.take(1).await;
    log.write("j-2", something()).unwrap();
    banks.ask(&jobs[1]);
    let second = from_bank.take(1).await;
    // the later head comes first
    partners.message(second[0].clone());
    let answer = from_partner.take(1).await;
    let message::Body::Cosigned(cosigned) = body(&answer[0]) else {
        panic!("{:?}", body(&answer[0]))
    };
    partners.message(first[0].clone());
    let answer = from_partner.take(1).await;
    assert!(matches!(body(&answer[0]), message::Body::Known(known) if known.size == cosigned.size));
    banks.message(answer[0].clone());
    let third = from_bank.take(1).await;
    partners.message(third[0].clone());
    let answer = from_partner.take(1).await;
    assert!(
        matches!(body(&answer[0]), message::Body::Cosigned(c) if c.size >= cosigned.size),
        "{:?}",
        body(&answer[0])
    );
}

#[test]
fn only_a_data_partys_decision_on_the_contract_proposed_is_written_down() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let transcript = world.open(&bank);
    let proposed = JobProposed {
        contract: hex(&[7; 32]),
        name: String::new(),
        purpose: String::new(),
        submitter: "user/modeler".into(),
        parties: vec!["bank".into(), "partner".into()],
        helper: "hub".into(),
    };
    transcript.write("j-1", proposed).unwrap();
    let decide = |by: &str, job: &str, digest: [u8; 32], approve, reason: &str| {
        let decision = signing::Decision {
            job: job.parse().unwrap(),
            digest,
            approve,
            reason: reason.into(),
            consent: Default::default(),
        };
        let signed = signing::sign(&bank, decision.to_bytes());
        let by = by.parse().unwrap();
        transcript.decided(&by, &decision, &signed).unwrap();
        events(&transcript, "j-1").len()
    };
    assert_eq!(decide("party/stranger", "j-1", [7; 32], true, ""), 1);
    assert_eq!(decide("helper/partner", "j-1", [7; 32], true, ""), 1);
    assert_eq!(decide("party/partner", "j-1", [8; 32], true, ""), 1);
    assert_eq!(decide("party/partner", "j-9", [7; 32], true, ""), 1);
    assert!(events(&transcript, "j-9").is_empty());
    assert_eq!(decide("party/partner", "j-1", [7; 32], true, ""), 2);
    assert_eq!(decide("party/partner", "j-1", [7; 32], true, "again"), 2);
    assert_eq!(decide("party/partner", "j-1", [7; 32], false, ""), 3);
    assert_eq!(decide("party/partner", "j-1", [7; 32], false, "again"), 3);
    assert_eq!(decide("party/bank", "j-1", [7; 32], true, ""), 4);
}

/// Writes a proposal of a job down, and a link to itself.
fn propose(transcript: &Transcript, identity: &Identity, job: &str) {
    let head = ContractHead {
        job: job.parse().unwrap(),
        parties: vec!["bank".parse().unwrap(), "partner".parse().unwrap()],
        helper: None,
        expires: i64::MAX,
        absence: None,
    };
    let submitter = "user/modeler".parse().unwrap();
    let proposal = control::Proposal {
        contract: b"{}".as_slice().into(),
        submission: Some(signing::sign(identity, b"{}".to_vec())),
        ..control::Proposal::default()
    };
    transcript
        .proposed(&head, &[7; 32], &submitter, &proposal, "party-0")
        .unwrap();
    let itself = identity.trust().verify(&identity.chain()).unwrap();
    transcript.session(job, &[7; 32], &itself, None).unwrap();
}

#[test]
fn a_job_that_spans_a_renewed_key_is_proved_with_both_certificates() {
    let world = World::new();
    let job = "00112233445566778899aabbccddeeff";
    let bank = world.enrol("party/bank");
    {
        let transcript = world.open(&bank);
        propose(&transcript, &bank, job);
        transcript.close();
    }
    fs::remove_dir_all(world.path("party/bank")).unwrap();
    let renewed = world.enrol("party/bank");
    let transcript = world.open(&renewed);
    let bundle = Bundle::load(&transcript.bundle_path(job)).unwrap();
    assert_eq!(bundle.logs[0].certificates.len(), 2);
    let verdict = verify(&bundle, &Options::default());
    let signatures = verdict.findings.iter().filter(|f| f.check == 1);
    assert_eq!(signatures.count(), 0, "{verdict}");
}

#[test]
fn the_bundle_of_a_job_that_ended_just_before_the_node_stopped_is_written_at_the_next_start() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let job = "00112233445566778899aabbccddeeff";
    {
        let transcript = world.open(&bank);
        propose(&transcript, &bank, job);
        transcript
            .aborted(job, None, "train", "stopped", true)
            .unwrap();
        assert!(!transcript.bundle_path(job).exists());
        transcript.close();
    }
    let path = {
        let transcript = world.open(&bank);
        let path = transcript.bundle_path(job);
        let bundle = Bundle::load(&path).unwrap();
        assert_eq!(bundle.logs[0].events.len(), 3, "proposed, opened, aborted");
        transcript.close();
        path
    };
    // one that was taken away on purpose does not come back
    fs::remove_file(&path).unwrap();
    let transcript = world.open(&bank);
    assert!(!path.exists());
    assert_eq!(events(&transcript, job).len(), 3);
}
