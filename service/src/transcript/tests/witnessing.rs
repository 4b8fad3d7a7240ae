//! Members that play the exchange by hand: what a node makes of them.

use paripassu_audit::{
    event::bodies::LogWitnessed,
    note::{Algorithm, SignatureType, VerifierKey},
};
use paripassu_proto::ContractHead;

use super::*;
use crate::transcript::exchange::Times;

const CONTRACT: &str = include_str!("../../../../job/tests/vectors/contract.json");
/// The contract's job.
const JOB: &str = "07070707070707070707070707070707";

pub(super) fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

pub(super) fn job() -> JobId {
    JOB.parse().unwrap()
}

fn members() -> Vec<(Role, NodeId)> {
    vec![
        (Role::Party(0), id("bank")),
        (Role::Party(1), id("partner")),
    ]
}

fn seat(role: Option<Role>, coordinator: Option<&str>) -> Seat {
    Seat {
        job: job(),
        contract: [7; 32],
        role,
        members: members(),
        coordinator: coordinator.map(id),
        spare: 0,
        patience: Duration::ZERO,
        core: None,
    }
}

/// Times that a test can wait for.
fn short() -> Times {
    Times {
        finish: Duration::from_millis(400),
        badly: Duration::from_millis(200),
        linger: Duration::from_millis(200),
    }
}

/// A node that does as it should.
pub(super) struct Node {
    pub(super) transcript: Arc<Transcript>,
    pub(super) exchange: Exchange,
    pub(super) out: Letters,
}

impl Node {
    pub(super) fn start(world: &World, identity: &Arc<Identity>, seat: Seat) -> Self {
        let (transcript, out) = (world.open(identity), Letters::default());
        Self::of(transcript, out, seat)
    }

    fn of(transcript: Arc<Transcript>, out: Letters, seat: Seat) -> Self {
        let carrier = Box::new(out.clone());
        let exchange = Exchange::start_with(Arc::clone(&transcript), carrier, short());
        exchange.begin(seat);
        Self {
            transcript,
            exchange,
            out,
        }
    }

    pub(super) fn witnessed(&self) -> Vec<LogWitnessed> {
        let events = events(&self.transcript, JOB).into_iter();
        events
            .filter_map(|body| match body {
                Body::LogWitnessed(seen) => Some(seen),
                _ => None,
            })
            .collect()
    }

    async fn blamed(&self) -> Blame {
        for _ in 0..400 {
            if let Some(blame) = self.exchange.blame(&job()) {
                return blame;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody is blamed");
    }
}

/// A member whose messages the test writes.
struct Puppet {
    identity: Arc<Identity>,
    to: &'static str,
    number: u64,
}

impl Puppet {
    fn new(identity: &Arc<Identity>, to: &'static str) -> Self {
        Self {
            identity: Arc::clone(identity),
            to,
            number: 0,
        }
    }

    fn says(&mut self, body: message::Body) -> pb::Envelope {
        self.number += 1;
        let from = self.identity.peer().id.to_string();
        let message = pb::Message {
            job: JOB.into(),
            contract: vec![7; 32].into(),
            from: from.clone(),
            to: self.to.into(),
            number: self.number,
            body: Some(body),
        };
        pb::Envelope {
            job: JOB.into(),
            from,
            to: self.to.into(),
            message: Some(signing::sign_audit(&self.identity, &message)),
        }
    }

    fn knows(&mut self, size: u64) -> pb::Envelope {
        self.says(message::Body::Known(pb::Known { size }))
    }

    /// The head of this log, with a proof from `since`.
    fn shows(&mut self, log: &Transcript, since: u64, last: bool) -> pb::Envelope {
        let head = log.log().checkpoint().unwrap();
        let proof = log.log().consistency(since, head.checkpoint().size());
        self.says(message::Body::Head(pb::Head {
            note: head.to_string(),
            since,
            proof: proof
                .unwrap_or_default()
                .iter()
                .map(|hash| hash.to_vec().into())
                .collect(),
            last,
        }))
    }
}

/// Lets what is on its way arrive.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

fn propose(transcript: &Transcript, contract: &'static str) -> Result<(), TranscriptError> {
    let head = ContractHead {
        job: job(),
        parties: vec![id("bank"), id("partner")],
        helper: Some(id("coordinator")),
        expires: i64::MAX,
        absence: None,
    };
    let submission = signing::Submission {
        job: job(),
        digest: signing::contract_digest(contract.as_bytes()),
    };
    let message = paripassu_proto::control::v1::Proposal {
        job: JOB.into(),
        contract: contract.into(),
        submission: Some(signing::sign(&transcript.identity, submission.to_bytes())),
        ..Default::default()
    };
    let digest = signing::contract_digest(contract.as_bytes());
    let submitter = "user/modeler".parse().unwrap();
    transcript.proposed(&head, &digest, &submitter, &message, "party-0")
}

#[tokio::test]
async fn a_last_head_is_the_last_only_when_it_was_cosigned() {
    let world = World::new();
    let hub = world.enrol("coordinator/hub");
    let logs: Vec<_> = ["bank", "partner"]
        .map(|who| {
            let identity = world.enrol(&format!("party/{who}"));
            let log = world.open(&identity);
            log.write(JOB, something()).unwrap();
            (Puppet::new(&identity, ""), log)
        })
        .into();
    let [(mut bank, banks), (mut partner, partners)] = logs.try_into().ok().unwrap();
    let hub = Node::start(&world, &hub, seat(None, None));
    hub.exchange.message(bank.knows(0));
    hub.exchange.message(partner.knows(0));
    hub.exchange.message(partner.shows(&partners, 0, true));
    // the bank's is said to be the last, but with a proof from elsewhere: it is asked for another
    hub.exchange.message(bank.shows(&banks, 1, true));
    settle().await;
    let said: Vec<_> = hub.out.take(4).await.iter().map(body).collect();
    let knowns = said.iter().filter(|b| matches!(b, message::Body::Known(_)));
    assert_eq!(knowns.count(), 3, "{said:?}");
    assert!(
        !hub.transcript.has_ended(JOB),
        "ended on a head that it did not cosign"
    );
    // with the right proof it is cosigned, and the coordinator has nothing more to write
    hub.exchange.message(bank.shows(&banks, 0, true));
    for _ in 0..100 {
        if hub.transcript.has_ended(JOB) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the coordinator goes on for ever");
}

#[tokio::test]
async fn who_asks_in_a_circle_is_named_and_answered_no_more() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let transcript = world.open(&bank);
    propose(&transcript, CONTRACT.trim_end()).unwrap();
    let most = 64 + 4 * transcript.openings(JOB).unwrap();
    let bank = Node::of(
        transcript,
        Letters::default(),
        seat(Some(Role::Party(0)), None),
    );
    bank.exchange.ask(&job());
    let mut partner = Puppet::new(&partner, "bank");
    for n in 0..most + 20 {
        // each makes the bank show its head again
        bank.exchange.message(partner.knows(0));
        if n % 50 == 0 {
            settle().await;
        }
    }
    let blame = bank.blamed().await;
    assert_eq!(blame.code, "too_many_heads");
    assert_eq!(blame.culprit, Some(id("partner")));
    settle().await;
    let said = bank.out.take(1).await.len() as u64;
    assert!(said <= most + 2, "{said} messages");
}

#[tokio::test]
async fn only_a_log_that_has_grown_is_written_down_as_witnessed() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let partners = world.open(&partner);
    let bank = Node::start(&world, &bank, seat(Some(Role::Party(0)), None));
    let mut partner = Puppet::new(&partner, "bank");
    bank.exchange.message(partner.knows(0));
    partners.write(JOB, something()).unwrap();
    for _ in 0..3 {
        let since = if bank.witnessed().is_empty() {
            0
        } else {
            partners.log().size()
        };
        bank.exchange
            .message(partner.shows(&partners, since, false));
        settle().await;
    }
    let cosigned = bank.out.take(4).await;
    let cosigned = cosigned
        .iter()
        .filter(|e| matches!(body(e), message::Body::Cosigned(_)));
    assert_eq!(cosigned.count(), 3);
    assert_eq!(bank.witnessed().len(), 1, "{:?}", bank.witnessed());
    let before = partners.log().size();
    partners.write(JOB, something()).unwrap();
    bank.exchange
        .message(partner.shows(&partners, before, false));
    settle().await;
    assert_eq!(bank.witnessed().len(), 2);
}

#[tokio::test]
async fn a_refusal_is_written_down_once_however_often_a_head_is_shown() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let partners = world.open(&partner);
    partners.write(JOB, something()).unwrap();
    let bank = Node::start(&world, &bank, seat(Some(Role::Party(0)), None));
    let mut partner = Puppet::new(&partner, "bank");
    bank.exchange.message(partner.shows(&partners, 0, false));
    settle().await;
    assert_eq!(bank.witnessed().len(), 1);
    // the same log with another history
    let other = World::new();
    let forked = other.enrol("party/partner");
    let forked = other.open(&forked);
    for _ in 0..4 {
        forked.write(JOB, something()).unwrap();
    }
    let since = partners.log().size();
    for _ in 0..20 {
        bank.exchange.message(partner.shows(&forked, since, false));
    }
    let blame = bank.blamed().await;
    assert_eq!(
        (blame.code, blame.culprit),
        ("not_countersigned", Some(id("partner")))
    );
    settle().await;
    let refused = bank.witnessed();
    let refused = refused.iter().filter(|seen| seen.outcome == "refused");
    assert_eq!(refused.count(), 1);
}

#[tokio::test]
async fn who_floods_a_node_is_named_and_so_is_a_coordinator_that_makes_up_messages() {
    for signed in [true, false] {
        let world = World::new();
        let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
        let bank = Node::start(&world, &bank, seat(Some(Role::Party(0)), None));
        let mut message = Puppet::new(&partner, "bank").knows(0);
        if !signed {
            message.message.as_mut().unwrap().signature = vec![1; 64].into();
        }
        // nothing of it is read while this test does not pause
        for _ in 0..5_000 {
            bank.exchange.message(message.clone());
        }
        let blame = bank.blamed().await;
        assert_eq!(blame.code, "flooded");
        assert_eq!(blame.culprit, signed.then(|| id("partner")));
        assert!(
            blame
                .reason
                .contains(if signed { "partner" } else { "coordinator" })
        );
    }
}

/// Carries messages between two nodes until both have ended; what neither gets goes to nobody.
async fn end(bank: &Node, partner: &Node, both: bool) -> Result<(), Blame> {
    let job = job();
    let others = partner.exchange.clone();
    if both {
        tokio::spawn(async move { others.finish(&JOB.parse().unwrap(), true).await });
    }
    let carry = async {
        loop {
            for (from, to) in [(bank, partner), (partner, bank)] {
                for letter in std::mem::take(&mut *from.out.0.lock().unwrap()) {
                    to.exchange.message(letter);
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        result = bank.exchange.finish(&job, true) => result,
        () = carry => unreachable!(),
    }
}

#[tokio::test]
async fn a_job_ends_well_only_with_all_countersignatures_logs_and_the_bundle() {
    let start = |coordinator: Option<&str>| {
        let world = World::new();
        let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
        let nodes = [(bank, 0), (partner, 1)].map(|(identity, n)| {
            let transcript = world.open(&identity);
            propose(&transcript, CONTRACT.trim_end()).unwrap();
            let seat = seat(Some(Role::Party(n)), coordinator);
            Node::of(transcript, Letters::default(), seat)
        });
        (world, nodes)
    };
    // all is well
    let (_world, [bank, partner]) = start(None);
    end(&bank, &partner, true).await.unwrap();
    assert!(bank.transcript.bundle_path(JOB).is_file());

    // nobody answers
    let (_world, [bank, _]) = start(None);
    let blame = bank.exchange.finish(&job(), true).await.unwrap_err();
    assert_eq!(
        (blame.code, blame.culprit),
        ("not_countersigned", Some(id("partner")))
    );

    // the partner cosigns, but sends no log
    let (_world, [bank, partner]) = start(None);
    let blame = end(&bank, &partner, false).await.unwrap_err();
    assert_eq!(
        (blame.code, blame.culprit),
        ("transcript_missing", Some(id("partner")))
    );

    // the coordinator, which is no member, says nothing: it is waited for, and named
    let (_world, [bank, partner]) = start(Some("hub"));
    let blame = end(&bank, &partner, true).await.unwrap_err();
    assert_eq!(
        (blame.code, blame.culprit),
        ("not_countersigned", Some(id("hub")))
    );
    assert!(
        blame.reason.contains("coordinator `hub`"),
        "{}",
        blame.reason
    );

    // the bundle cannot be written
    let (_world, [bank, partner]) = start(None);
    let path = bank.transcript.bundle_path(JOB);
    fs::write(path.parent().unwrap(), "no folder").unwrap();
    let blame = end(&bank, &partner, true).await.unwrap_err();
    assert_eq!(
        (blame.code, blame.culprit),
        ("transcript_failed", Some(id("bank")))
    );
}

#[test]
fn a_second_contract_by_the_same_id_changes_nothing() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let transcript = world.open(&bank);
    propose(&transcript, CONTRACT.trim_end()).unwrap();
    let kept = fs::read(transcript.state.join("papers").join(format!("{JOB}.json"))).unwrap();
    let refused = propose(&transcript, "{}").unwrap_err().to_string();
    assert!(refused.contains("another contract"), "{refused}");
    propose(&transcript, CONTRACT.trim_end()).unwrap();
    let proposed = events(&transcript, JOB);
    assert_eq!(proposed.len(), 1, "{proposed:?}");
    let now = fs::read(transcript.state.join("papers").join(format!("{JOB}.json"))).unwrap();
    assert_eq!(kept, now);
}

#[test]
fn a_node_stopped_in_mid_job_leaves_a_bundle_when_it_is_back() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let state = world.path("bank-state");
    {
        let transcript = world.open(&bank);
        propose(&transcript, CONTRACT.trim_end()).unwrap();
        let mut decision = signing::Decision {
            job: job(),
            digest: signing::contract_digest(CONTRACT.trim_end().as_bytes()),
            approve: true,
            reason: String::new(),
            consent: Default::default(),
        };
        let signed = signing::sign(&bank, decision.to_bytes());
        assert!(transcript.decided(bank.peer(), &decision, &signed).unwrap());
        decision.reason = "again".into();
        let again = signing::sign(&bank, decision.to_bytes());
        assert!(!transcript.decided(bank.peer(), &decision, &again).unwrap());
        let certified = bank.trust().verify(&bank.chain()).unwrap();
        let session = transcript.session(JOB, &decision.digest, &certified, None);
        session.unwrap();
        // while the job runs, a bundle can be made of what is signed
        transcript.log().checkpoint().unwrap();
        let running = assemble(&state, &JOB[..6]).unwrap();
        assert_eq!(running.bundle.approvals.len(), 1);
        assert_eq!(running.bundle.logs.len(), 1);
        assert!(
            running.lacks[0].contains("the other members"),
            "{:?}",
            running.lacks
        );
        assert!(matches!(export(&state, JOB), Err(ExportError::None { .. })));
        transcript.close();
    }
    let transcript = world.open(&bank);
    let bundle = export(&state, JOB).unwrap();
    assert_eq!(bundle.contract, CONTRACT.trim_end());
    assert_eq!(bundle.approvals.len(), 1);
    let last = bundle.logs[0].events.last().unwrap();
    let last = Envelope::parse(last.envelope.as_bytes()).unwrap();
    assert_eq!(last.event, "aborted");
    let key = transcript.identity.public_key().to_bytes();
    let origin = origin(bank.peer());
    let key = VerifierKey::new(&origin, SignatureType::Note, Algorithm::Ed25519, &key).unwrap();
    let head = paripassu_audit::note::SignedCheckpoint::parse(&bundle.logs[0].checkpoint).unwrap();
    assert!(head.verify(&key).is_ok());
    assert!(assemble(&state, "ffff").is_err());
}
