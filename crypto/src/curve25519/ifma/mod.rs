//! Eight points at a time by AVX-512 IFMA: ladder, Elligator map, shared inversions.
//!
//! All lanes share the scalar, so the ladder's swaps are one mask for all, and no lane has a branch
//! or an address of its own. One inversion serves 256 points.
//!
//! Sources: RFC 7748, section 5 (ladder); RFC 9380, section 6.7.1 and appendix G.2 (Elligator 2);
//! Montgomery's simultaneous inversion.
#![allow(unsafe_code)] // two calls of functions compiled for features that were just detected

mod curve;
mod field;
mod lanes;

use super::{BYTES, clamp};

/// Whether the processor has what this module is compiled for.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
}

pub(super) fn multiply(scalar: &[u8; 32], points: &[[u8; BYTES]], out: &mut [[u8; BYTES]]) {
    assert!(is_available(), "the caller has checked the processor");
    let scalar = clamp(scalar);
    // SAFETY: the processor has AVX-512 F and IFMA.
    unsafe { multiply_all(&scalar, points, out) }
}

pub(super) fn encode_and_multiply(scalar: &[u8; 32], fields: &[[u8; 32]], out: &mut [[u8; BYTES]]) {
    assert!(is_available(), "the caller has checked the processor");
    let scalar = clamp(scalar);
    // SAFETY: the processor has AVX-512 F and IFMA.
    unsafe { encode_and_multiply_all(&scalar, fields, out) }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn multiply_all(scalar: &[u8; 32], points: &[[u8; BYTES]], out: &mut [[u8; BYTES]]) {
    for (points, out) in points
        .chunks(curve::GROUP)
        .zip(out.chunks_mut(curve::GROUP))
    {
        curve::multiply_group(scalar, points, out, false);
    }
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn encode_and_multiply_all(scalar: &[u8; 32], fields: &[[u8; 32]], out: &mut [[u8; BYTES]]) {
    for (fields, out) in fields
        .chunks(curve::GROUP)
        .zip(out.chunks_mut(curve::GROUP))
    {
        curve::multiply_group(scalar, fields, out, true);
    }
}
