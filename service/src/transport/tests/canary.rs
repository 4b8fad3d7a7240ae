//! A coordinator that records everything finds no planted value; and would, were frames not sealed.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use paripassu_proto::exchange::v1::Frame;
use paripassu_protocol::channel::Channel;

use super::rig::*;

/// Values planted in messages, in the encodings protocols use.
fn canaries() -> Vec<Vec<u8>> {
    let number = 1_234_567.891_f64;
    vec![
        b"CUSTOMER-4711-CANARY".to_vec(),
        number.to_le_bytes().to_vec(),
        number.to_be_bytes().to_vec(),
        0x0123_4567_89ab_cdef_u64.to_le_bytes().to_vec(),
        ((number * 65_536.0) as i64).to_le_bytes().to_vec(),
        number.to_string().into_bytes(),
    ]
}

/// Everything a recording relay sees of a conversation full of planted values.
async fn recorded(sealed: bool) -> Vec<u8> {
    let record = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&record);
    let tap = FnTap(move |frame: Frame| {
        keep.lock()
            .unwrap()
            .extend_from_slice(&prost::Message::encode_to_vec(&frame));
        vec![frame]
    });
    let pair = pair(quick(), Some(Arc::new(tap)), sealed).await;
    let mut body = vec![0u8; 300 * 1024];
    for (i, canary) in canaries().into_iter().enumerate() {
        // across the boundary of two pieces too
        for at in [100 + 50 * i, 256 * 1024 + 50 + 50 * i] {
            body[at..at + canary.len()].copy_from_slice(&canary);
        }
    }
    let body = Bytes::from(body);
    let (sent, got) = tokio::join!(
        pair.bank.send(PARTNER, tag("rows"), body.clone(), SOON),
        pair.partner.recv(BANK, tag("rows"), SOON)
    );
    sent.unwrap();
    assert!(got.unwrap() == body);
    let seen = record.lock().unwrap().clone();
    assert!(
        seen.len() > body.len(),
        "the relay has seen the whole conversation"
    );
    seen
}

fn found(seen: &[u8]) -> usize {
    canaries()
        .iter()
        .filter(|c| seen.windows(c.len()).any(|w| w == c.as_slice()))
        .count()
}

/// χ² of the bytes of a record against the uniform distribution, 255 degrees of freedom.
fn chi_squared(bytes: &[u8]) -> f64 {
    let mut counts = [0f64; 256];
    for byte in bytes {
        counts[usize::from(*byte)] += 1.0;
    }
    let want = bytes.len() as f64 / 256.0;
    counts.iter().map(|c| (c - want) * (c - want) / want).sum()
}

#[tokio::test]
async fn a_recording_coordinator_finds_no_planted_value() {
    let seen = recorded(true).await;
    assert_eq!(found(&seen), 0);
    // sealed zeroes look like noise: p > 1e-6 is below about 380; headers are a fraction of 1e-3
    let chi = chi_squared(&seen[1024..]);
    assert!(chi < 400.0, "χ² = {chi}");
}

#[tokio::test]
async fn the_check_fails_where_frames_are_not_sealed() {
    let seen = recorded(false).await;
    assert_eq!(found(&seen), canaries().len());
    assert!(chi_squared(&seen[1024..]) > 1e6);
}
