//! AES by instructions, eight blocks at a time and thirty-two at a time.

#![allow(unsafe_code)] // calls functions for detected CPU features; loads and stores of vectors

use super::Path;

pub(super) fn detect() -> Path {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("aes") {
        let wide = is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512f");
        return if wide { Path::Wide } else { Path::Aes };
    }
    Path::Portable
}

/// Whether the hashes were computed here.
pub(super) fn hash(path: Path, keys: &[u128; 11], xs: &[u128], out: &mut [u128]) -> bool {
    match path.min(detect()) {
        // SAFETY: the processor has the features that the function names.
        #[cfg(target_arch = "x86_64")]
        Path::Aes => unsafe { x86::hash_one(keys, xs, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Wide => unsafe { x86::hash_wide(keys, xs, out) },
        _ => return false,
    }
    true
}

/// Whether the children were computed here.
pub(super) fn double(path: Path, keys: [&[u128; 11]; 2], xs: &[u128], out: &mut [u128]) -> bool {
    match path.min(detect()) {
        // SAFETY: the processor has the features that the function names.
        #[cfg(target_arch = "x86_64")]
        Path::Aes => unsafe { x86::double_one(keys, xs, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Wide => unsafe { x86::double_wide(keys, xs, out) },
        _ => return false,
    }
    true
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    fn vector(x: u128) -> __m128i {
        // SAFETY: both are 16 bytes without padding or invalid values.
        unsafe { core::mem::transmute(x) }
    }

    fn element(x: __m128i) -> u128 {
        // SAFETY: as above.
        unsafe { core::mem::transmute(x) }
    }

    #[inline]
    #[target_feature(enable = "aes,sse2")]
    fn many<const N: usize>(keys: &[u128; 11], xs: [u128; N]) -> [u128; N] {
        let [first, middle @ .., last] = keys;
        let mut s = [_mm_setzero_si128(); N];
        for (s, x) in s.iter_mut().zip(xs) {
            *s = _mm_xor_si128(vector(x), vector(*first));
        }
        for k in middle {
            for s in &mut s {
                *s = _mm_aesenc_si128(*s, vector(*k));
            }
        }
        let mut out = [0; N];
        for ((out, s), x) in out.iter_mut().zip(s).zip(xs) {
            *out = element(_mm_aesenclast_si128(s, vector(*last))) ^ x;
        }
        out
    }

    #[target_feature(enable = "aes,sse2")]
    pub(super) fn hash_one(keys: &[u128; 11], xs: &[u128], out: &mut [u128]) {
        let n = xs.len().min(out.len()) & !7;
        let ((xs8, xs1), (out8, out1)) = (xs.split_at(n), out.split_at_mut(n));
        for (x, o) in xs8.as_chunks().0.iter().zip(out8.as_chunks_mut().0) {
            *o = many::<8>(keys, *x);
        }
        for (x, o) in xs1.iter().zip(out1) {
            [*o] = many(keys, [*x]);
        }
    }

    #[target_feature(enable = "aes,sse2")]
    pub(super) fn double_one(keys: [&[u128; 11]; 2], xs: &[u128], out: &mut [u128]) {
        let (xs4, xs1) = xs.as_chunks::<4>();
        let (out8, out1) = out.split_at_mut(8 * xs4.len());
        for (x, o) in xs4.iter().zip(out8.as_chunks_mut::<8>().0) {
            let (l, r) = (many(keys[0], *x), many(keys[1], *x));
            for ((o, l), r) in o.as_chunks_mut().0.iter_mut().zip(l).zip(r) {
                *o = [l, r];
            }
        }
        for (x, o) in xs1.iter().zip(out1.as_chunks_mut::<2>().0) {
            let ([l], [r]) = (many(keys[0], [*x]), many(keys[1], [*x]));
            *o = [l, r];
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load(from: &[u128; 4]) -> __m512i {
        // SAFETY: the array is 64 readable bytes.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store(to: &mut [u128; 4], x: __m512i) {
        // SAFETY: the array is 64 writable bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), x) }
    }

    #[inline]
    #[target_feature(enable = "vaes,avx512f")]
    fn many4<const N: usize>(keys: &[u128; 11], xs: &[[u128; 4]; N]) -> [__m512i; N] {
        let [first, middle @ .., last] = keys;
        let wide = |k: &u128| _mm512_broadcast_i32x4(vector(*k));
        let mut s = [_mm512_setzero_si512(); N];
        for (s, x) in s.iter_mut().zip(xs) {
            *s = _mm512_xor_si512(load(x), wide(first));
        }
        for k in middle {
            let k = wide(k);
            for s in &mut s {
                *s = _mm512_aesenc_epi128(*s, k);
            }
        }
        let k = wide(last);
        for (s, x) in s.iter_mut().zip(xs) {
            *s = _mm512_xor_si512(_mm512_aesenclast_epi128(*s, k), load(x));
        }
        s
    }

    #[target_feature(enable = "vaes,avx512f,aes")]
    pub(super) fn hash_wide(keys: &[u128; 11], xs: &[u128], out: &mut [u128]) {
        let n = xs.len().min(out.len()) & !31;
        let ((xs32, xs1), (out32, out1)) = (xs.split_at(n), out.split_at_mut(n));
        let xs32 = xs32.as_chunks::<4>().0.as_chunks::<8>().0;
        let out32 = out32.as_chunks_mut::<4>().0.as_chunks_mut::<8>().0;
        for (x, o) in xs32.iter().zip(out32) {
            for (o, s) in o.iter_mut().zip(many4(keys, x)) {
                store(o, s);
            }
        }
        hash_one(keys, xs1, out1);
    }

    #[target_feature(enable = "vaes,avx512f,aes")]
    pub(super) fn double_wide(keys: [&[u128; 11]; 2], xs: &[u128], out: &mut [u128]) {
        let n = xs.len() & !15;
        let ((xs16, xs1), (out32, out1)) = (xs.split_at(n), out.split_at_mut(2 * n));
        let low = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        let high = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        let xs16 = xs16.as_chunks::<4>().0.as_chunks::<4>().0;
        let out32 = out32.as_chunks_mut::<4>().0.as_chunks_mut::<8>().0;
        for (x, o) in xs16.iter().zip(out32) {
            let (l, r) = (many4(keys[0], x), many4(keys[1], x));
            for ((o, l), r) in o.as_chunks_mut::<2>().0.iter_mut().zip(l).zip(r) {
                store(&mut o[0], _mm512_permutex2var_epi64(l, low, r));
                store(&mut o[1], _mm512_permutex2var_epi64(l, high, r));
            }
        }
        double_one(keys, xs1, out1);
    }
}
