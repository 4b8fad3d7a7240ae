//! A coordinator that is not to be trusted: what it says of a job is checked.

use std::path::Path;

use paripassu_proto::{ContractHead, HeadReader, control::v1 as pb};
use tempfile::TempDir;

use super::job;
use crate::{
    identity::{Identity, files},
    pki,
    signing::{self, Consent, Decision, Submission, contract_digest},
};

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        pki::init(&dir.path().join("ca"), "Test", 30).unwrap();
        Self { dir }
    }

    fn enrol(&self, who: &str) -> Identity {
        let (ca, dir) = (
            self.dir.path().join("ca"),
            self.dir.path().join(who.replace('/', "-")),
        );
        let csr = pki::request(&dir, &who.parse().unwrap()).unwrap();
        let crt = dir.join("signed");
        pki::sign(&ca, &csr, None, &crt, 30).unwrap();
        let authority: &Path = &ca.join(files::AUTHORITY);
        pki::install(&dir, &crt, authority, None).unwrap()
    }
}

fn heads() -> HeadReader {
    HeadReader::new(|bytes| {
        let helper = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        Ok(ContractHead {
            job: "j".parse().map_err(|_| "job")?,
            parties: vec![
                "bank".parse().map_err(|_| "")?,
                "partner".parse().map_err(|_| "")?,
            ],
            helper: Some(helper.parse().map_err(|_| "helper")?),
            expires: 0,
            absence: None,
        })
    })
}

fn decision(by: &Identity, contract: &[u8], approve: bool) -> pb::Signed {
    decision_with(by, contract, approve, Consent::default())
}

fn decision_with(by: &Identity, contract: &[u8], approve: bool, consent: Consent) -> pb::Signed {
    let decision = Decision {
        job: "j".parse().unwrap(),
        digest: contract_digest(contract),
        approve,
        reason: String::new(),
        consent,
    };
    signing::sign(by, decision.to_bytes())
}

fn proposal(by: &Identity, contract: &'static [u8]) -> pb::Proposal {
    let submission = Submission {
        job: "j".parse().unwrap(),
        digest: contract_digest(contract),
    };
    pb::Proposal {
        job: "j".into(),
        contract: contract.into(),
        submission: Some(signing::sign(by, submission.to_bytes())),
        submitted_at: 0,
    }
}

#[test]
fn a_job_starts_only_with_every_partys_approval_of_this_contract() {
    let world = World::new();
    let (bank, partner) = (world.enrol("party/bank"), world.enrol("party/partner"));
    let mona = world.enrol("user/mona");
    let text: &'static [u8] = b"bureau";
    let good = pb::Start {
        proposal: Some(proposal(&mona, text)),
        decisions: vec![decision(&bank, text, true), decision(&partner, text, true)],
    };
    let read = |start: &pb::Start| job::start(bank.peer(), bank.trust(), &heads(), start, 1_000);
    assert_eq!(read(&good).unwrap().approvals.len(), 2);
    // an approval holds until its end, and not a second longer
    let until = |expires: &str| {
        let consent = Consent {
            expires: expires.into(),
            ..Consent::default()
        };
        let decisions = vec![
            decision(&bank, text, true),
            decision_with(&partner, text, true, consent),
        ];
        let start = pb::Start {
            decisions,
            ..good.clone()
        };
        read(&start).map(drop).map_err(|refused| refused.code())
    };
    assert_eq!(until("1970-01-01T00:16:41Z"), Ok(()));
    assert_eq!(until("1970-01-01T00:16:40Z"), Err("approval_expired"));

    let with = |decisions| pb::Start {
        decisions,
        ..good.clone()
    };
    for (what, decisions) in [
        ("none", vec![]),
        ("one", vec![decision(&bank, text, true)]),
        (
            "the same twice",
            vec![decision(&bank, text, true), decision(&bank, text, true)],
        ),
        (
            "a rejection",
            vec![decision(&bank, text, true), decision(&partner, text, false)],
        ),
        (
            "of another contract",
            vec![
                decision(&bank, text, true),
                decision(&partner, b"other", true),
            ],
        ),
        (
            "by somebody else",
            vec![decision(&bank, text, true), decision(&mona, text, true)],
        ),
        (
            "altered",
            vec![decision(&bank, text, true), {
                let mut forged = decision(&partner, text, false);
                forged.statement = decision(&partner, text, true).statement;
                forged
            }],
        ),
    ] {
        let refused = read(&with(decisions)).unwrap_err().to_string();
        assert!(refused.contains("has not approved"), "{what}: {refused}");
    }
}

#[test]
fn a_proposal_must_be_its_submitters_and_concern_this_node() {
    let world = World::new();
    let bank = world.enrol("party/bank");
    let (mona, bureau) = (world.enrol("user/mona"), world.enrol("helper/bureau"));
    let read = |me: &Identity, p: &pb::Proposal| job::proposal(me.peer(), me.trust(), &heads(), p);
    let good = proposal(&mona, b"bureau");
    assert!(read(&bank, &good).is_ok() && read(&bureau, &good).is_ok());

    let exchanged = pb::Proposal {
        contract: b"other".as_slice().into(),
        ..good.clone()
    };
    assert!(
        read(&bank, &exchanged)
            .unwrap_err()
            .to_string()
            .contains("another contract")
    );
    let by_helper = proposal(&bureau, b"bureau");
    assert!(
        read(&bank, &by_helper)
            .unwrap_err()
            .to_string()
            .contains("may not propose")
    );
    let renamed = pb::Proposal {
        job: "k".into(),
        ..good.clone()
    };
    assert!(
        read(&bank, &renamed)
            .unwrap_err()
            .to_string()
            .contains("of job")
    );
    // a party that is named as helper is not entitled to be one
    let impostor = world.enrol("party/impostor");
    let as_helper = proposal(&mona, b"impostor");
    assert!(
        read(&impostor, &as_helper)
            .unwrap_err()
            .to_string()
            .contains("entitles")
    );
    // a data party as helper
    let own = proposal(&mona, b"bank");
    assert!(
        read(&bank, &own)
            .unwrap_err()
            .to_string()
            .contains("its own masks")
    );
}
