//! Products by carry-less multiplication instructions, one at a time and four at a time.

#![allow(unsafe_code)] // calls functions for detected CPU features; loads and stores of vectors

use super::Path;

pub(super) fn detect() -> Path {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("pclmulqdq") {
        let wide = is_x86_feature_detected!("vpclmulqdq")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw");
        return if wide { Path::Wide } else { Path::Clmul };
    }
    Path::Portable
}

/// Whether the sums were computed here.
pub(super) fn add_scaled(path: Path, acc: &mut [u128], xs: &[u128], by: u128) -> bool {
    match path.min(detect()) {
        // SAFETY: the processor has the features that the function names.
        #[cfg(target_arch = "x86_64")]
        Path::Clmul => unsafe { x86::add_scaled_one(acc, xs, by) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Wide => unsafe { x86::add_scaled_wide(acc, xs, by) },
        _ => return false,
    }
    true
}

/// Whether the sums were computed here.
pub(super) fn add_polynomial(path: Path, acc: &mut [u128], xs: &[u128], by: &[u128]) -> bool {
    match path.min(detect()) {
        // SAFETY: the processor has the features that the function names.
        #[cfg(target_arch = "x86_64")]
        Path::Clmul => unsafe { x86::add_polynomial_one(acc, xs, by) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Wide => unsafe { x86::add_polynomial_wide(acc, xs, by) },
        _ => return false,
    }
    true
}

/// The hash, if it was computed here.
pub(super) fn hash(path: Path, key: u128, xs: &[u128]) -> Option<u128> {
    match path.min(detect()) {
        // SAFETY: the processor has the features that the function names.
        #[cfg(target_arch = "x86_64")]
        Path::Clmul => Some(unsafe { x86::hash_one(key, xs) }),
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Path::Wide => Some(unsafe { x86::hash_wide(key, xs) }),
        _ => None,
    }
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

    /// One product.
    #[inline]
    #[target_feature(enable = "pclmulqdq,sse2")]
    fn mul(a: __m128i, b: __m128i) -> __m128i {
        let poly = _mm_set_epi64x(0, 0x87);
        let low = _mm_clmulepi64_si128::<0x00>(a, b);
        let high = _mm_clmulepi64_si128::<0x11>(a, b);
        let mid = _mm_xor_si128(
            _mm_clmulepi64_si128::<0x01>(a, b),
            _mm_clmulepi64_si128::<0x10>(a, b),
        );
        let low = _mm_xor_si128(low, _mm_slli_si128::<8>(mid));
        let high = _mm_xor_si128(high, _mm_srli_si128::<8>(mid));
        // the upper half of `high` first: its product reaches into the lower half
        let fold = _mm_clmulepi64_si128::<0x01>(high, poly);
        let low = _mm_xor_si128(low, _mm_slli_si128::<8>(fold));
        let high = _mm_xor_si128(high, _mm_srli_si128::<8>(fold));
        _mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(high, poly))
    }

    /// Four products.
    #[inline]
    #[target_feature(enable = "vpclmulqdq,avx512f,avx512bw")]
    fn mul4(a: __m512i, b: __m512i) -> __m512i {
        let poly = _mm512_set1_epi64(0x87);
        let low = _mm512_clmulepi64_epi128::<0x00>(a, b);
        let high = _mm512_clmulepi64_epi128::<0x11>(a, b);
        let mid = _mm512_xor_si512(
            _mm512_clmulepi64_epi128::<0x01>(a, b),
            _mm512_clmulepi64_epi128::<0x10>(a, b),
        );
        let low = _mm512_xor_si512(low, _mm512_bslli_epi128::<8>(mid));
        let high = _mm512_xor_si512(high, _mm512_bsrli_epi128::<8>(mid));
        let fold = _mm512_clmulepi64_epi128::<0x01>(high, poly);
        let low = _mm512_xor_si512(low, _mm512_bslli_epi128::<8>(fold));
        let high = _mm512_xor_si512(high, _mm512_bsrli_epi128::<8>(fold));
        _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(high, poly))
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

    #[target_feature(enable = "pclmulqdq,sse2")]
    pub(super) fn add_scaled_one(acc: &mut [u128], xs: &[u128], by: u128) {
        let by = vector(by);
        for (acc, x) in acc.iter_mut().zip(xs) {
            *acc ^= element(mul(vector(*x), by));
        }
    }

    #[target_feature(enable = "vpclmulqdq,avx512f,avx512bw,pclmulqdq")]
    pub(super) fn add_scaled_wide(acc: &mut [u128], xs: &[u128], by: u128) {
        let n = acc.len().min(xs.len()) & !3;
        let ((acc4, acc1), (xs4, xs1)) = (acc.split_at_mut(n), xs.split_at(n));
        let by4 = _mm512_broadcast_i32x4(vector(by));
        let (acc4, xs4) = (acc4.as_chunks_mut::<4>().0, xs4.as_chunks::<4>().0);
        for (acc, x) in acc4.iter_mut().zip(xs4) {
            let sum = _mm512_xor_si512(load(acc), mul4(load(x), by4));
            store(acc, sum);
        }
        add_scaled_one(acc1, xs1, by);
    }

    #[target_feature(enable = "pclmulqdq,sse2")]
    pub(super) fn add_polynomial_one(acc: &mut [u128], xs: &[u128], by: &[u128]) {
        for (acc, x) in acc.iter_mut().zip(xs) {
            let x = vector(*x);
            let mut sum = _mm_setzero_si128();
            for c in by.iter().rev() {
                sum = mul(_mm_xor_si128(sum, vector(*c)), x);
            }
            *acc ^= element(sum);
        }
    }

    #[target_feature(enable = "vpclmulqdq,avx512f,avx512bw,pclmulqdq")]
    pub(super) fn add_polynomial_wide(acc: &mut [u128], xs: &[u128], by: &[u128]) {
        let n = acc.len().min(xs.len()) & !15;
        let ((acc4, acc1), (xs4, xs1)) = (acc.split_at_mut(n), xs.split_at(n));
        // four vectors at a time, so that a product need not wait for the one before
        let accs = acc4.as_chunks_mut::<4>().0.as_chunks_mut::<4>().0;
        for (acc, x) in accs
            .iter_mut()
            .zip(xs4.as_chunks::<4>().0.as_chunks::<4>().0)
        {
            let x = [load(&x[0]), load(&x[1]), load(&x[2]), load(&x[3])];
            let mut sum = [_mm512_setzero_si512(); 4];
            for c in by.iter().rev() {
                let c = _mm512_broadcast_i32x4(vector(*c));
                for (sum, x) in sum.iter_mut().zip(x) {
                    *sum = mul4(_mm512_xor_si512(*sum, c), x);
                }
            }
            for (acc, sum) in acc.iter_mut().zip(sum) {
                let sum = _mm512_xor_si512(load(acc), sum);
                store(acc, sum);
            }
        }
        add_polynomial_one(acc1, xs1, by);
    }

    #[target_feature(enable = "pclmulqdq,sse2")]
    pub(super) fn hash_one(key: u128, xs: &[u128]) -> u128 {
        let key = vector(key);
        let mut sum = _mm_setzero_si128();
        for x in xs {
            sum = mul(_mm_xor_si128(sum, vector(*x)), key);
        }
        element(sum)
    }

    /// Sixteen interleaved hashes with the key `key^16`, joined at the end.
    #[target_feature(enable = "vpclmulqdq,avx512f,avx512bw,pclmulqdq")]
    pub(super) fn hash_wide(key: u128, xs: &[u128]) -> u128 {
        // whole groups of 16 at the end, what is left over in front
        let (first, rest) = xs.split_at(xs.len() & 15);
        let mut key16 = key;
        for _ in 0..4 {
            key16 = element(mul(vector(key16), vector(key16)));
        }
        let key16 = _mm512_broadcast_i32x4(vector(key16));
        let head = hash_one(key, first);
        let groups = rest.as_chunks::<4>().0.as_chunks::<4>().0;
        if groups.is_empty() {
            return head;
        }
        // the hash so far is added to the element after it
        let mut sums = [_mm512_setzero_si512(); 4];
        let mut carried = load(&[head, 0, 0, 0]);
        for group in groups {
            for (sum, x) in sums.iter_mut().zip(group) {
                *sum = _mm512_xor_si512(mul4(*sum, key16), load(x));
            }
            sums[0] = _mm512_xor_si512(sums[0], carried);
            carried = _mm512_setzero_si512();
        }
        let mut lanes = [[0; 4]; 4];
        for (lane, sum) in lanes.iter_mut().zip(sums) {
            store(lane, sum);
        }
        hash_one(key, lanes.as_flattened())
    }
}
