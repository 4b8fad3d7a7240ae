//! Vectors of words as bytes, little endian: the one encoding of every bulk message.

use bytes::Bytes;

use crate::{abort::Abort, channel::Role};

/// Words as bytes.
pub(crate) fn put_words(words: &[u64]) -> Bytes {
    let mut out = Vec::with_capacity(words.len() * 8);
    words
        .iter()
        .for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    out.into()
}

/// Exactly `len` words.
///
/// # Errors
/// If the message has another length, naming its sender.
pub(crate) fn take_words(
    body: &Bytes,
    len: usize,
    from: Role,
    step: &str,
) -> Result<Vec<u64>, Abort> {
    let (chunks, rest) = body.as_chunks::<8>();
    if chunks.len() != len || !rest.is_empty() {
        return Err(wrong_length(body, len * 8, from, step));
    }
    Ok(chunks.iter().map(|c| u64::from_le_bytes(*c)).collect())
}

/// 32-bit words as bytes.
pub(crate) fn put_halves(words: impl ExactSizeIterator<Item = u32>) -> Bytes {
    let mut out = vec![0; words.len() * 4];
    let (chunks, _) = out.as_chunks_mut::<4>();
    chunks
        .iter_mut()
        .zip(words)
        .for_each(|(c, w)| *c = w.to_le_bytes());
    out.into()
}

/// Exactly `len` 32-bit words.
///
/// # Errors
/// If the message has another length, naming its sender.
pub(crate) fn take_halves(
    body: &Bytes,
    len: usize,
    from: Role,
    step: &str,
) -> Result<Vec<u32>, Abort> {
    let (chunks, rest) = body.as_chunks::<4>();
    if chunks.len() != len || !rest.is_empty() {
        return Err(wrong_length(body, len * 4, from, step));
    }
    Ok(chunks.iter().map(|c| u32::from_le_bytes(*c)).collect())
}

fn wrong_length(body: &Bytes, want: usize, from: Role, step: &str) -> Abort {
    Abort::Malformed {
        from,
        step: step.to_owned(),
        problem: format!("expected {want} bytes, got {}", body.len()),
    }
}
