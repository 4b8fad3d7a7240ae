//! A whole job on real data past a coordinator that records every frame: it finds nothing of what was
//! planted in both parties' tables, and what it carries looks like noise.
#![allow(clippy::unwrap_used, reason = "a test: a failure is a failed test")]

use std::{
    fmt::Write as _,
    fs,
    sync::{Arc, Mutex},
};

use paripassu_e2e::{Consortium, JOB, state};
use paripassu_proto::{control::v1::JobState, exchange::v1::Frame};
use paripassu_service::transport::Tap;

/// Chunks of frames, in order.
#[derive(Default)]
struct Recorder(Mutex<Vec<Vec<u8>>>);

impl Tap for Recorder {
    fn relay(&self, frame: Frame) -> Vec<Frame> {
        self.0.lock().unwrap().push(frame.chunk.to_vec());
        vec![frame]
    }
}

const PLANTED: f64 = 7_654_321.125;
const ID: &str = "planted-customer-";

fn tables(rows: usize) -> (String, String) {
    let mut s = 12345u64;
    let mut uniform = move || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        (s >> 11) as f64 / (1u64 << 53) as f64
    };
    let (mut bank, mut partner) = (String::from("id,a,y\n"), String::from("id,b,colour\n"));
    for i in 0..rows {
        let (a, b) = (uniform(), uniform());
        let y = u8::from(uniform() < 0.2 + 0.5 * a * b);
        let a = if i % 50 == 0 { PLANTED } else { a * 1e6 };
        writeln!(bank, "{ID}{i},{a},{y}").unwrap();
        writeln!(partner, "{ID}{i},{},secret-level-{}", b * PLANTED, i % 3).unwrap();
    }
    (bank, partner)
}

fn encodings() -> Vec<Vec<u8>> {
    let fixed = (PLANTED * 65_536.0) as i64;
    vec![
        ID.as_bytes().to_vec(),
        b"secret-level".to_vec(),
        b"7654321.125".to_vec(),
        PLANTED.to_le_bytes().to_vec(),
        PLANTED.to_be_bytes().to_vec(),
        (PLANTED as f32).to_le_bytes().to_vec(),
        fixed.to_le_bytes().to_vec(),
        fixed.to_be_bytes().to_vec(),
        (PLANTED as u64).to_le_bytes().to_vec(),
        b"\"auc\"".to_vec(),
    ]
}

fn holds(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recording_coordinator_finds_nothing_of_a_whole_job() {
    let recorder = Arc::new(Recorder::default());
    let mut c = Consortium::new(Some(recorder.clone())).await;
    let (bank, partner) = tables(1500);
    // the search itself works
    assert!(holds(bank.as_bytes(), ID.as_bytes()) && holds(bank.as_bytes(), b"7654321.125"));
    fs::write(c.path("bank.csv"), bank).unwrap();
    fs::write(c.path("partner.csv"), partner).unwrap();
    let (b, p) = (c.path("bank.csv"), c.path("partner.csv"));
    c.party(
        "bank",
        &b,
        "id = \"id\"\nlabel = \"y\"\nnumeric = [\"a\"]\n",
    );
    c.party(
        "partner",
        &p,
        "id = \"id\"\nnumeric = [\"b\"]\ncategorical = [\"colour\"]\n",
    );
    let (status, job) = c.run(JOB).await;
    assert_eq!(state(&status), JobState::Released, "{status:?}");
    assert!(c.results("bank", job).join("model.json").is_file());

    let frames = recorder.0.lock().unwrap().clone();
    let (mut counts, mut total) = ([0u64; 256], 0u64);
    for chunk in &frames {
        for e in encodings() {
            assert!(
                !holds(chunk, &e),
                "found {e:02x?} in a frame of {} bytes",
                chunk.len()
            );
        }
        chunk.iter().for_each(|x| counts[usize::from(*x)] += 1);
        total += chunk.len() as u64;
    }
    assert!(total > 1_000_000, "only {total} bytes were carried");
    let mean = total as f64 / 256.0;
    let chi2: f64 = counts
        .iter()
        .map(|n| (*n as f64 - mean).powi(2) / mean)
        .sum();
    // 255 degrees of freedom: p > 1e-6 is below 380
    assert!(
        chi2 < 380.0,
        "chi-squared {chi2} over {total} bytes: frames do not look like noise"
    );
    c.stop().await;
}
