//! A coordinator that meddles with what it relays, in whole jobs.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use paripassu_e2e::{Consortium, JOB, proves, state};
use paripassu_proto::{control::v1::JobState, exchange::v1::Frame};
use paripassu_service::{transcript::export, transport::Tap};

/// Notes the last tag between each two nodes; in the job after, adds a frame of its own behind the last
/// one from partner to bank.
#[derive(Default)]
struct Meddler {
    last: Mutex<BTreeMap<(String, String), String>>,
    after: Mutex<Option<String>>,
    added: Mutex<u32>,
}

impl Tap for Meddler {
    fn relay(&self, frame: Frame) -> Vec<Frame> {
        let link = (frame.from.clone(), frame.to.clone());
        self.last
            .lock()
            .unwrap()
            .insert(link.clone(), frame.tag.clone());
        let end = frame.offset + (frame.chunk.len() as u64 - 16) == frame.total;
        let due = self.after.lock().unwrap().as_ref() == Some(&frame.tag) && end;
        if due && link == ("partner".into(), "bank".into()) {
            *self.added.lock().unwrap() += 1;
            let mut made_up = frame.clone();
            made_up.seq += 1;
            made_up.offset = 0;
            made_up.tag = format!("{}-more", frame.tag);
            return vec![frame, made_up];
        }
        vec![frame]
    }
}

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/data/german_credit")
        .join(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_last_frame_ends_the_job_and_spoils_no_account() {
    let meddler = Arc::new(Meddler::default());
    let mut c = Consortium::new(Some(meddler.clone())).await;
    let bank = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"duration_in_month\", \"credit_amount\"]\n";
    c.party("bank", &data("bank.csv"), bank);
    let partner = "id = \"id\"\nnumeric = [\"age_in_years\"]\n";
    c.party("partner", &data("partner.csv"), partner);
    let (status, _) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");

    let last = meddler.last.lock().unwrap()[&("partner".into(), "bank".into())].clone();
    *meddler.after.lock().unwrap() = Some(last);
    let (status, job) = c.run(JOB).await;
    assert_eq!(*meddler.added.lock().unwrap(), 1);
    assert_eq!(state(&status), JobState::Aborted, "{status:?}");
    let abort = status.summary.clone().unwrap().abort.unwrap();
    assert_eq!(abort.code, "forged_frame", "{abort:?}");
    assert!(abort.reason.contains("coordinator"), "{abort:?}");
    assert!(abort.reason.contains("`partner`"), "{abort:?}");
    for node in ["bank", "partner"] {
        let state = c.path(&format!("{node}-state"));
        let mut found = None;
        for _ in 0..400 {
            found = export(&state, &job.to_string()).ok();
            if found.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // what both wrote down of the frames is the same, without the one that was made up
        proves(&found.expect("a bundle"), &[]);
    }
    c.stop().await;
}
