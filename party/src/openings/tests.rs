use paripassu_audit::{event::Envelope, log::Entry};
use paripassu_job::{JobId, Spec, Submitter, Timestamp};
use paripassu_service::{clock::Clock, identity::files, pki, transcript::Transcript};

use super::*;

/// A job that releases neither scores nor metrics.
const JOB: &str = r#"
name = "model-only"
purpose = "application_score"
legal_basis = "contract"
[[party]]
id = "bank"
role = "label"
dataset = "table"
columns = "all"
[[party]]
id = "partner"
role = "features"
dataset = "table"
columns = "all"
[helper]
id = "hub"
[outputs]
coefficients = "own"
"#;

fn transcript(dir: &std::path::Path) -> Arc<Transcript> {
    let (ca, own) = (dir.join("ca"), dir.join("bank"));
    pki::init(&ca, "Test", 30).unwrap();
    let csr = pki::request(&own, &"party/bank".parse().unwrap()).unwrap();
    let crt = own.join("signed");
    pki::sign(&ca, &csr, None, &crt, 30).unwrap();
    let identity = pki::install(&own, &crt, &ca.join(files::AUTHORITY), None).unwrap();
    Transcript::open(&dir.join("state"), Arc::new(identity), Clock::system()).unwrap()
}

fn book(transcript: &Arc<Transcript>, countersign: Countersign) -> (Book, JobId) {
    let spec = Spec::from_toml(JOB, "job.toml").unwrap();
    let id = JobId::random(&mut rand::rng());
    let user = Submitter::user("modeler".parse().unwrap());
    let now = Timestamp::from_unix(1_800_000_000).unwrap();
    let contract = Contract::new(spec, id, now, user).unwrap();
    let job: paripassu_service::JobId = id.to_string().parse().unwrap();
    let record = Record::unwitnessed(Arc::clone(transcript), job);
    (Book::new(&contract, record, countersign), id)
}

fn events(transcript: &Transcript, job: JobId) -> Vec<(String, String)> {
    let entries = transcript.log().job_entries(&job.to_string()).unwrap();
    let read = |e: Entry| {
        let event = Envelope::parse(&e.envelope).unwrap().event;
        (event, String::from_utf8(e.body.unwrap()).unwrap())
    };
    entries.into_iter().map(read).collect()
}

#[test]
fn bits_are_announced_once_for_many_and_each_is_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let transcript = transcript(dir.path());
    let (mut book, id) = book(&transcript, Countersign::Ahead);
    let openings: &mut dyn Openings = &mut book;
    let in_range = Opening::RangeExceeded;
    for pass in 1..=20 {
        let bit = Opening::Converged { pass };
        openings.foresee(&[bit, in_range]).unwrap();
        openings.record(bit, Receivers::All, 1).unwrap();
    }
    // announced already: written down when it happens
    openings.announce(in_range, Receivers::All, 1).unwrap();
    for _ in 0..3 {
        openings.record(in_range, Receivers::All, 1).unwrap();
    }
    // three are declared
    openings.foresee(&[in_range]).unwrap();
    assert!(openings.record(in_range, Receivers::All, 1).is_err());

    let events = events(&transcript, id);
    let short = |(event, body): &(String, String)| {
        let of = ["converged", "range-check"];
        let of = of.into_iter().find(|of| body.contains(of)).unwrap();
        format!("{event} {of}")
    };
    let mut want = vec![
        "disclosure.announced converged",
        "disclosure.announced range-check",
    ];
    want.extend(["disclosure converged"; 16]);
    want.push("disclosure.announced converged");
    want.extend(["disclosure converged"; 4]);
    want.extend(["disclosure range-check"; 3]);
    want.push("denied range-check");
    let got: Vec<_> = events.iter().map(short).collect();
    assert_eq!(got, want);
    for (place, first, last) in [(0, 1, 16), (1, 1, 3), (18, 17, 32)] {
        let (_, body) = &events[place];
        assert!(body.contains(&format!("\"first\":{first},")), "{body}");
        assert!(body.contains(&format!("\"last\":{last},")), "{body}");
    }
    assert!(events[17].1.contains("\"ordinal\":16,"), "{}", events[17].1);
}

#[test]
fn each_bit_has_a_head_of_its_own_unless_the_node_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let transcript = transcript(dir.path());
    let (mut book, id) = book(&transcript, Countersign::default());
    let openings: &mut dyn Openings = &mut book;
    for pass in 1..=3 {
        let bit = Opening::Converged { pass };
        openings.foresee(&[bit, Opening::RangeExceeded]).unwrap();
        let written = events(&transcript, id);
        assert_eq!(written.len(), pass as usize);
        openings.record(bit, Receivers::All, 1).unwrap();
    }
    let events = events(&transcript, id);
    let converged = |(event, body): &(String, String)| {
        event == "disclosure" && body.contains("\"train.converged\"")
    };
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(converged), "{events:?}");
}

#[test]
fn what_is_not_declared_is_denied_and_what_is_declared_stands_before_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let transcript = transcript(dir.path());
    let (mut book, id) = book(&transcript, Countersign::Each);
    let openings: &mut dyn Openings = &mut book;
    let bit = Opening::Converged { pass: 1 };
    openings.record(bit, Receivers::All, 1).unwrap();
    // what is announced is written down then, and not again when it happens
    let next = Opening::Converged { pass: 2 };
    openings.announce(next, Receivers::All, 1).unwrap();
    openings.record(next, Receivers::All, 1).unwrap();
    assert!(openings.announce(bit, Receivers::One(1), 1).is_err());
    // more than one bit, to another receiver, and something that the contract does not release
    for (opening, to, values) in [
        (bit, Receivers::All, 2),
        (bit, Receivers::One(1), 1),
        (Opening::Scores, Receivers::One(0), 10),
        (Opening::Coefficients { party: 1 }, Receivers::One(0), 3),
    ] {
        assert!(openings.record(opening, to, values).is_err(), "{opening:?}");
    }
    let events = events(&transcript, id);
    let events: Vec<_> = events.into_iter().map(|(event, _)| event).collect();
    let denied = std::iter::repeat_n("denied", 5);
    let expected: Vec<_> = std::iter::repeat_n("disclosure", 2).chain(denied).collect();
    assert_eq!(events, expected);
}
