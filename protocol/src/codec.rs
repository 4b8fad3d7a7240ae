//! Vectors of words as bytes, little endian: the one encoding of every bulk message.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::{abort::Abort, channel::Role};

/// Words as bytes.
pub(crate) fn put_words(words: &[u64]) -> Bytes {
    own_words(words.to_vec())
}

/// Words as bytes, without a copy where words are little endian.
pub(crate) fn own_words(mut words: Vec<u64>) -> Bytes {
    struct Owned(Zeroizing<Vec<u64>>);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    if cfg!(target_endian = "big") {
        words.iter_mut().for_each(|w| *w = w.to_le());
    }
    Bytes::from_owner(Owned(Zeroizing::new(words)))
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
        return Err(wrong_length(body, len.saturating_mul(8), from, step));
    }
    Ok(chunks.iter().map(|c| u64::from_le_bytes(*c)).collect())
}

/// Exactly as many words as `out` has.
///
/// # Errors
/// If the message has another length, naming its sender.
pub(crate) fn read_words(
    body: &Bytes,
    out: &mut [u64],
    from: Role,
    step: &str,
) -> Result<(), Abort> {
    if out.len().checked_mul(8) != Some(body.len()) {
        return Err(wrong_length(body, out.len() * 8, from, step));
    }
    bytemuck::cast_slice_mut::<u64, u8>(out).copy_from_slice(body);
    if cfg!(target_endian = "big") {
        out.iter_mut().for_each(|w| *w = u64::from_le(*w));
    }
    Ok(())
}

/// Exactly `count` vectors of `len` words, one after the other.
///
/// # Errors
/// If the message has another length, naming its sender.
pub(crate) fn take_parts(
    body: &Bytes,
    count: usize,
    len: usize,
    from: Role,
    step: &str,
) -> Result<Vec<Vec<u64>>, Abort> {
    if count.checked_mul(len).and_then(|n| n.checked_mul(8)) != Some(body.len()) {
        return Err(wrong_length(body, count * len * 8, from, step));
    }
    (0..count)
        .map(|t| take_words(&body.slice(t * len * 8..(t + 1) * len * 8), len, from, step))
        .collect()
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
