//! 128 oblivious transfers of random keys, by public-key operations.
//!
//! For transfer `i` with choice `c`: the receiver draws `r_(1-c)` at random in the group and sends
//! `(r_0, r_1)` with `r_c = a G - H_c(r_(1-c))`; the sender answers `b G`. The keys are hashes of
//! `b (r_0 + H_0(r_1))` and `b (r_1 + H_1(r_0))`; the receiver knows one, of `a b G`. Both `r` are
//! uniform whatever the choice, so the sender learns nothing; the receiver could know both keys
//! only by finding `r` whose two sums it knows the logarithm of, against the random oracle.

use std::fmt;

use curve25519_dalek::{RistrettoPoint, Scalar, ristretto::CompressedRistretto};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::OtError;

/// Transfers, one for each bit of the holder's secret.
pub const COUNT: usize = 128;
/// Bytes of the receiver's message.
pub const REQUEST_BYTES: usize = COUNT * 64;
/// Bytes of the sender's answer.
pub const REPLY_BYTES: usize = COUNT * 32;

/// A transferred key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key(pub(super) [u8; 32]);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// The receiver between its message and the answer.
#[derive(ZeroizeOnDrop)]
pub struct Receiver {
    choices: u128,
    logarithms: Vec<Scalar>,
    #[zeroize(skip)]
    session: [u8; 32],
    #[zeroize(skip)]
    request: Vec<u8>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver(secret)")
    }
}

impl Receiver {
    /// Chooses key `i` by bit `i` of `choices`. `session` is public, equal at both ends and new for
    /// every run.
    pub fn new(session: &[u8; 32], choices: u128) -> Self {
        let mut rng = UnwrapErr(SysRng);
        let mut request = Vec::with_capacity(REQUEST_BYTES);
        let mut logarithms = Vec::with_capacity(COUNT);
        for i in 0..COUNT {
            let choice = Choice::from((choices >> i & 1) as u8);
            let log = Scalar::random(&mut rng);
            let other = RistrettoPoint::random(&mut rng).compress();
            let hashes = [0, 1].map(|b| to_group(session, i, b, other.as_bytes()));
            let [h0, h1] = hashes;
            let hash = RistrettoPoint::conditional_select(&h0, &h1, choice);
            let chosen = (RistrettoPoint::mul_base(&log) - hash).compress();
            for pick in [!choice, choice] {
                // r_0 is `chosen` when the choice is 0
                let pair = other.0.iter().zip(&chosen.0);
                request.extend(pair.map(|(o, c)| u8::conditional_select(o, c, pick)));
            }
            logarithms.push(log);
        }
        Self {
            choices,
            logarithms,
            session: *session,
            request,
        }
    }

    /// The message, [`REQUEST_BYTES`] long.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The chosen keys.
    ///
    /// # Errors
    /// When the answer has another length or holds what is no point.
    pub fn finish(self, reply: &[u8]) -> Result<Vec<Key>, OtError> {
        let replies = points(reply, REPLY_BYTES)?;
        let requests = self.request.as_chunks::<64>().0;
        let all = replies.iter().zip(requests).zip(&self.logarithms);
        all.enumerate()
            .map(|(i, ((reply, request), log))| {
                let point = decompress(reply, i)? * log;
                let choice = (self.choices >> i & 1) as u8;
                Ok(key(&self.session, i, choice, request, reply, &point))
            })
            .collect()
    }
}

/// The sender's side: its answer and both keys of each transfer.
///
/// # Errors
/// When the request has another length or holds what is no point.
pub fn send(session: &[u8; 32], request: &[u8]) -> Result<(Vec<u8>, Vec<[Key; 2]>), OtError> {
    points(request, REQUEST_BYTES)?;
    let mut rng = UnwrapErr(SysRng);
    let mut reply = Vec::with_capacity(REPLY_BYTES);
    let mut keys = Vec::with_capacity(COUNT);
    for (i, request) in request.as_chunks::<64>().0.iter().enumerate() {
        let mut log = Scalar::random(&mut rng);
        let answer = RistrettoPoint::mul_base(&log).compress();
        let (mut r0, mut r1) = ([0; 32], [0; 32]);
        let (first, second) = request.split_at(32);
        r0.copy_from_slice(first);
        r1.copy_from_slice(second);
        let p0 = decompress(&r0, i)? + to_group(session, i, 0, &r1);
        let p1 = decompress(&r1, i)? + to_group(session, i, 1, &r0);
        let point = |choice, p| key(session, i, choice, request, &answer.0, &(p * log));
        keys.push([point(0, p0), point(1, p1)]);
        log.zeroize();
        reply.extend_from_slice(&answer.0);
    }
    Ok((reply, keys))
}

fn points(bytes: &[u8], want: usize) -> Result<&[[u8; 32]], OtError> {
    match bytes.len() == want {
        true => Ok(bytes.as_chunks().0),
        false => Err(OtError::Length {
            want: want / 32,
            got: bytes.len() / 32,
        }),
    }
}

fn decompress(bytes: &[u8; 32], index: usize) -> Result<RistrettoPoint, OtError> {
    let point = CompressedRistretto(*bytes).decompress();
    point.ok_or(OtError::NotAPoint { index })
}

/// A random oracle into the group (RFC 9496, section 4.3.4, of 64 uniform bytes).
fn to_group(session: &[u8; 32], index: usize, side: u8, point: &[u8; 32]) -> RistrettoPoint {
    let mut uniform = [0; 64];
    blake3::Hasher::new_derive_key("paripassu ot v1 hash to group")
        .update(session)
        .update(&(index as u64).to_le_bytes())
        .update(&[side])
        .update(point)
        .finalize_xof()
        .fill(&mut uniform);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

fn key(
    session: &[u8; 32],
    index: usize,
    side: u8,
    request: &[u8; 64],
    reply: &[u8; 32],
    point: &RistrettoPoint,
) -> Key {
    let mut secret = point.compress().0;
    let hash = blake3::Hasher::new_derive_key("paripassu ot v1 key")
        .update(session)
        .update(&(index as u64).to_le_bytes())
        .update(&[side])
        .update(request)
        .update(reply)
        .update(&secret)
        .finalize();
    secret.zeroize();
    Key(*hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHOICES: u128 = 0x0123_4567_89ab_cdef_0f0f_ffff_0000_5a5a;

    #[test]
    fn the_receiver_gets_the_chosen_keys_only() {
        let receiver = Receiver::new(&[1; 32], CHOICES);
        let (reply, both) = send(&[1; 32], receiver.request()).unwrap();
        let got = receiver.finish(&reply).unwrap();
        for (i, (got, [zero, one])) in got.iter().zip(&both).enumerate() {
            let (same, other) = match CHOICES >> i & 1 {
                0 => (zero, one),
                _ => (one, zero),
            };
            assert_eq!(got.0, same.0);
            assert_ne!(got.0, other.0);
        }
        assert_eq!(got.len(), COUNT);
    }

    #[test]
    fn another_session_or_an_altered_message_gives_unrelated_keys() {
        let receiver = Receiver::new(&[1; 32], CHOICES);
        let (reply, both) = send(&[2; 32], receiver.request()).unwrap();
        let got = receiver.finish(&reply).unwrap();
        let known = |k: &Key| both.iter().flatten().any(|b| b.0 == k.0);
        assert!(!got.iter().any(known));
    }

    #[test]
    fn refuses_what_is_no_message() {
        let receiver = Receiver::new(&[1; 32], 0);
        let mut request = receiver.request().to_vec();
        assert!(send(&[1; 32], &request[1..]).is_err());
        request[64 * 5 + 31] = 0xff;
        let got = send(&[1; 32], &request).map(|_| ());
        assert_eq!(got, Err(OtError::NotAPoint { index: 5 }));
        let short = Receiver::new(&[1; 32], 0).finish(&[0; 32]).map(|_| ());
        assert_eq!(short, Err(OtError::Length { want: 128, got: 1 }));
        assert!(receiver.finish(&[0xff; REPLY_BYTES]).is_err());
    }
}
