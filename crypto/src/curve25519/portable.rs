//! A point at a time, by curve25519-dalek.

use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use sha2::Sha512;

use super::{BYTES, FieldHash};

pub(super) fn multiply(scalar: &[u8; 32], points: &[[u8; BYTES]], out: &mut [[u8; BYTES]]) {
    for (o, p) in out.iter_mut().zip(points) {
        *o = MontgomeryPoint(*p).mul_clamped(*scalar).to_bytes();
    }
}

pub(super) fn encode_and_multiply<M: AsRef<[u8]>>(
    scalar: &[u8; 32],
    hash: &FieldHash,
    messages: &[M],
    out: &mut [[u8; BYTES]],
) {
    for (o, m) in out.iter_mut().zip(messages) {
        // one inversion instead of two: stay on the Edwards model until the end
        let masked = encode(hash, m.as_ref()).mul_clamped(*scalar);
        *o = masked.to_montgomery().to_bytes();
    }
}

/// `encode_to_curve` on the Edwards model: the same point as the Montgomery suite's, since the map
/// between the models is a group isomorphism that leaves u determined.
pub(crate) fn encode(hash: &FieldHash, message: &[u8]) -> EdwardsPoint {
    EdwardsPoint::encode_to_curve::<Sha512>(&[message], &[hash.tag()])
}
