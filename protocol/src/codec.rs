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

/// Bytes of a word of which the low [`NARROW`] bits count.
pub(crate) const NARROW_BYTES: usize = 5;
/// Bits of such a word.
pub(crate) const NARROW: u32 = 40;

/// Words that fill a whole number of machine words.
const TOGETHER: usize = 8;
const LOW: u64 = (1 << NARROW) - 1;

/// Appends the low bits of words.
pub(crate) fn append_narrow(out: &mut Vec<u8>, mut words: impl ExactSizeIterator<Item = u64>) {
    out.reserve(words.len() * NARROW_BYTES);
    while words.len() >= TOGETHER {
        let w: [u64; TOGETHER] = std::array::from_fn(|_| words.next().unwrap_or(0) & LOW);
        let packed = [
            w[0] | w[1] << 40,
            w[1] >> 24 | w[2] << 16 | w[3] << 56,
            w[3] >> 8 | w[4] << 32,
            w[4] >> 32 | w[5] << 8 | w[6] << 48,
            w[6] >> 16 | w[7] << 24,
        ];
        out.extend_from_slice(packed.map(u64::to_le_bytes).as_flattened());
    }
    for w in words {
        let [a, b, c, d, e, ..] = w.to_le_bytes();
        out.extend_from_slice(&[a, b, c, d, e]);
    }
}

/// Reads the low bits of words, the others 0, from a part of a message that is as long as it must be.
pub(crate) fn read_narrow(body: &[u8], out: &mut [u64]) {
    let (packed, rest) = body.as_chunks::<{ TOGETHER * NARROW_BYTES }>();
    let (words, last) = out.as_chunks_mut::<TOGETHER>();
    for (out, packed) in words.iter_mut().zip(packed) {
        let (packed, _) = packed.as_chunks::<8>();
        let p: [u64; NARROW_BYTES] = std::array::from_fn(|i| u64::from_le_bytes(packed[i]));
        *out = [
            p[0],
            p[0] >> 40 | p[1] << 24,
            p[1] >> 16,
            p[1] >> 56 | p[2] << 8,
            p[2] >> 32 | p[3] << 32,
            p[3] >> 8,
            p[3] >> 48 | p[4] << 16,
            p[4] >> 24,
        ];
        out.iter_mut().for_each(|w| *w &= LOW);
    }
    let (packed, _) = rest.as_chunks::<NARROW_BYTES>();
    for (out, packed) in last.iter_mut().zip(packed) {
        let mut word = [0; 8];
        word[..NARROW_BYTES].copy_from_slice(packed);
        *out = u64::from_le_bytes(word);
    }
}

/// A message of exactly so many bytes.
///
/// # Errors
/// If it has another length, naming its sender.
pub(crate) fn of_length(body: &Bytes, want: usize, from: Role, step: &str) -> Result<(), Abort> {
    match body.len() == want {
        true => Ok(()),
        false => Err(wrong_length(body, want, from, step)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_words_come_back_with_their_low_bits() {
        for len in [0usize, 1, 2, 3, 100] {
            let words: Vec<u64> = (0..len as u64)
                .map(|i| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .collect();
            let mut body = vec![7; 2];
            append_narrow(&mut body, words.iter().copied());
            assert_eq!(body.len(), 2 + len * NARROW_BYTES);
            let mut back = vec![0; len];
            read_narrow(&body[2..], &mut back);
            assert!(
                words
                    .iter()
                    .zip(&back)
                    .all(|(w, b)| w & ((1 << NARROW) - 1) == *b)
            );
        }
    }
}
