//! The convolution in 512-bit registers: a window of 32 elements moves over the vector.

#![allow(unsafe_code)] // calls a function for detected CPU features; loads and stores of vectors

use crate::{fixed_aes::FixedKey, simd::Level};

/// Whether the vectors were convolved here; each has `m` elements and `PAD` zeros.
pub(super) fn convolve<const V: usize>(
    level: Level,
    key: &FixedKey,
    from: u128,
    tails: &mut [&mut [u128]; V],
    m: usize,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if level.min(Level::detect()) == Level::Avx512 && is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has the features that the function names.
        unsafe { x86::convolve(key, from, tails, m) };
        return true;
    }
    let _ = (level, key, from, tails, m);
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::x86_64::*;

    use super::super::{OUTPUTS, WINDOW};
    use crate::fixed_aes::FixedKey;

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

    /// For element `LANE` of a group: two bits for each of the 32 elements of the window that it is
    /// added to, since masks are of 64-bit lanes.
    #[inline]
    #[target_feature(enable = "bmi2")]
    fn mask<const LANE: u32>(word: u128) -> u64 {
        let taps = (word >> (32 * LANE)) as u64 & 0xff_ffff | 1 << WINDOW;
        // bit j of `taps` is element LANE + 1 + j of the window
        _pdep_u64(taps << (LANE + 1), 0x5555_5555_5555_5555) * 3
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2")]
    pub(super) fn convolve<const V: usize>(
        key: &FixedKey,
        from: u128,
        tails: &mut [&mut [u128]; V],
        m: usize,
    ) {
        let groups = m / 4;
        let mut windows = [[_mm512_setzero_si512(); 8]; V];
        for (window, tail) in windows.iter_mut().zip(tails.iter()) {
            for (w, group) in window.iter_mut().zip(tail.as_chunks::<4>().0) {
                *w = load(group);
            }
        }
        let mut words = [0; OUTPUTS];
        for g in 0..groups {
            if g % OUTPUTS == 0 {
                key.stream(from + g as u128, &mut words);
            }
            let word = words[g % OUTPUTS];
            let masks = [
                mask::<0>(word),
                mask::<1>(word),
                mask::<2>(word),
                mask::<3>(word),
            ];
            for (window, tail) in windows.iter_mut().zip(tails.iter_mut()) {
                let tail = tail.as_chunks_mut::<4>().0;
                macro_rules! add {
                    ($to:expr, $value:ident, $lane:literal, $at:literal) => {
                        _mm512_mask_xor_epi64($to, (masks[$lane] >> (8 * $at)) as u8, $to, $value)
                    };
                }
                // the four elements of the group itself, each final before it is added on
                let mut head = window[0];
                let a = _mm512_shuffle_i64x2::<0x00>(head, head);
                head = add!(head, a, 0, 0);
                let b = _mm512_shuffle_i64x2::<0x55>(head, head);
                head = add!(head, b, 1, 0);
                let c = _mm512_shuffle_i64x2::<0xaa>(head, head);
                head = add!(head, c, 2, 0);
                let d = _mm512_shuffle_i64x2::<0xff>(head, head);
                store(&mut tail[g], head);
                macro_rules! step {
                    ($($at:literal)*) => {$(
                        let mut next = window[$at];
                        next = add!(next, a, 0, $at);
                        next = add!(next, b, 1, $at);
                        next = add!(next, c, 2, $at);
                        next = add!(next, d, 3, $at);
                        window[$at - 1] = next;
                    )*};
                }
                step!(1 2 3 4 5 6 7);
                window[7] = match tail.get(g + 8) {
                    Some(group) => load(group),
                    None => _mm512_setzero_si512(),
                };
            }
        }
        // what ran over the end
        for (window, tail) in windows.iter().zip(tails.iter_mut()) {
            for (w, group) in window
                .iter()
                .zip(&mut tail.as_chunks_mut::<4>().0[groups..])
            {
                store(group, *w);
            }
        }
    }
}
