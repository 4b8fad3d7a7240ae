//! A whole job in one process: real TLS, real relay, real data.

use std::path::PathBuf;

use paripassu_e2e::{Consortium, JOB, state};
use paripassu_proto::control::v1::JobState;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data")
        .join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_institutions_train_and_each_keeps_its_half() {
    let mut c = Consortium::new(None).await;
    c.party(
        "bank",
        &data("german_credit/bank.csv"),
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n",
    );
    c.party(
        "partner",
        &data("german_credit/partner.csv"),
        "id = \"id\"\nnumeric = [\"age_in_years\"]\ncategorical = [\"property\"]\n",
    );
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    for party in ["bank", "partner"] {
        for file in [
            "model.json",
            "report.html",
            "metrics.json",
            "transcript.jsonl",
        ] {
            assert!(c.results(party, job).join(file).is_file(), "{party} {file}");
        }
    }
    assert!(c.results("bank", job).join("predictions.csv").is_file());
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
        let kept = c
            .path(&format!("{party}-state"))
            .join(format!("transcripts/{job}.jsonl"));
        // the first party's report ends the job; the other writes its last line a moment later
        let mut text = String::new();
        for _ in 0..200 {
            text = std::fs::read_to_string(&kept).unwrap_or_default();
            if text.contains("run.failed") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(
            text.contains("align.members") && text.contains("run.failed"),
            "{party}: {text}"
        );
    }
    c.stop().await;
}
