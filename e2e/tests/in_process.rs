//! A whole job in one process: real TLS, real relay, real data.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::path::{Path, PathBuf};

use paripassu_audit::{bundle::Bundle, event::Envelope, verify::HeldFile};
use paripassu_e2e::{Consortium, JOB, proves, state};
use paripassu_job::JobId;
use paripassu_proto::control::v1::JobState;
use paripassu_service::transcript::export;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data")
        .join(name)
}

/// Waits for a node's bundle of a job.
async fn bundle(state: &Path, job: JobId) -> Bundle {
    for _ in 0..400 {
        if let Ok(bundle) = export(state, &job.to_string()) {
            return bundle;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no bundle in {}", state.display());
}

/// The events of the bundle's maker.
fn events(bundle: &Bundle) -> Vec<String> {
    let own = bundle.log(&bundle.node).unwrap();
    let parse = |text: &str| Envelope::parse(text.as_bytes()).unwrap().event;
    own.events.iter().map(|e| parse(&e.envelope)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_institutions_train_and_each_keeps_its_half() {
    let mut c = Consortium::new(None).await;
    c.party(
        "bank",
        &data("german_credit/bank.csv"),
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n",
    );
    c.party_with(
        "partner",
        &data("german_credit/partner.csv"),
        "id = \"id\"\nnumeric = [\"age_in_years\"]\ncategorical = [\"property\"]\n",
        "countersign = \"ahead\"",
    );
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    let mut opened = Vec::new();
    for party in ["bank", "partner"] {
        for file in ["model.json", "report.html", "metrics.json"] {
            assert!(c.results(party, job).join(file).is_file(), "{party} {file}");
        }
        let laid = c.results(party, job).join(format!("{job}.bundle"));
        let bundle = Bundle::load(&laid).unwrap();
        assert_eq!(
            bundle,
            export(&c.path(&format!("{party}-state")), &job.to_string()).unwrap()
        );
        // where a party says so, the bits of all passes, and whether scores are within the range, share two heads
        let told = events(&bundle);
        let of = |event: &str| told.iter().filter(|e| *e == event).count();
        let ahead = if party == "partner" { 2 } else { 0 };
        assert_eq!(of("disclosure.announced"), ahead, "{party}: {told:?}");
        let log = bundle.log(&bundle.node).unwrap();
        opened.push((of("disclosure"), log.checkpoints.len()));
        let held: Vec<HeldFile> = ["model.json", "report.html"]
            .map(|name| {
                let content = std::fs::read(c.results(party, job).join(name)).unwrap();
                HeldFile::new(name, &content)
            })
            .into();
        proves(&bundle, &held);
    }
    // both wrote down the same openings, the bank under more heads
    let [(bank, bank_heads), (partner, partner_heads)] = opened[..] else {
        panic!("{opened:?}")
    };
    assert_eq!(bank, partner);
    assert!(bank_heads > partner_heads, "{opened:?}");
    proves(&bundle(&c.path("hub-state"), job).await, &[]);
    assert!(c.results("bank", job).join("predictions.csv").is_file());
    c.stop().await;
}

/// The same job with customers matched by vector-OLE: the same rows, and so the same model.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_method_of_alignment_gives_the_same_customers() {
    let mut c = Consortium::new(None).await;
    let offer = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    let label = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    c.party("bank", &data("german_credit/bank.csv"), label);
    c.party("partner", &data("german_credit/partner.csv"), offer);
    let mut said = Vec::new();
    for method in ["curve", "vole"] {
        let align = format!("[align]\nmethod = \"{method}\"\n[outputs]");
        let (status, job) = c.run(&JOB.replace("[outputs]", &align)).await;
        assert_eq!(state(&status), JobState::Released, "{method}: {status:?}");
        let bundle = bundle(&c.path("bank-state"), job).await;
        proves(&bundle, &[]);
        let log = bundle.log(&bundle.node).unwrap();
        let done = log.events.iter().find_map(|e| {
            let body = e.body.as_ref()?.clone();
            (Envelope::parse(e.envelope.as_bytes()).unwrap().event == "align.done").then_some(body)
        });
        let done = done.unwrap();
        assert!(done.contains(&format!("\"method\":\"{method}\"")), "{done}");
        // all but the salt
        let (matched, _) = done.split_once(",\"method\"").unwrap();
        said.push(matched.to_owned());
    }
    assert_eq!(said, ["{\"matched\":1000"; 2]);
    c.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_fails_keeps_its_transcript_and_no_results() {
    let mut c = Consortium::new(None).await;
    let offer = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    let label = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\"]\n";
    c.party("bank", &data("german_credit/bank.csv"), label);
    c.party("partner", &data("german_credit/partner.csv"), offer);
    let too_many = JOB.replace("[outputs]", "[align]\nmin_matched = 100000\n[outputs]");
    let (status, job) = c.run(&too_many).await;
    assert_eq!(state(&status), JobState::Aborted, "{status:?}");
    for party in ["bank", "partner"] {
        assert!(!c.results(party, job).exists());
        let bundle = bundle(&c.path(&format!("{party}-state")), job).await;
        proves(&bundle, &[]);
        let events = events(&bundle);
        assert!(events.iter().any(|e| e == "aborted"), "{party}: {events:?}");
        assert!(
            events.iter().any(|e| e == "disclosure"),
            "{party}: {events:?}"
        );
    }
    c.stop().await;
}
