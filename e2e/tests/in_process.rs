//! A whole job in one process: real TLS, real relay, real data.

use std::path::PathBuf;

use paripassu_e2e::{Consortium, state};
use paripassu_proto::control::v1::JobState;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data")
        .join(name)
}

const JOB: &str = r#"
name = "lending"
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
scores = { to = "bank" }
metrics_to = ["bank", "partner"]
"#;

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
        let text = std::fs::read_to_string(kept).unwrap_or_default();
        assert!(
            text.contains("align.members") && text.contains("run.failed"),
            "{party}: {text}"
        );
    }
    c.stop().await;
}
