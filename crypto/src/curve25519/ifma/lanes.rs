//! Eight 64-bit lanes: the processor's instructions, named.
//!
//! Everything here is inlined into functions compiled for AVX-512 F and IFMA, which are called only
//! where the processor has both (`super::is_available`). Wrappers carry no features of their own:
//! so the compiler inlines all of them before it looks at a single instruction.
#![allow(unsafe_code)] // each function is one instruction without a memory operand but for load and store

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_si512, _mm512_loadu_si512, _mm512_madd52hi_epu64,
    _mm512_madd52lo_epu64, _mm512_mask_blend_epi64, _mm512_or_si512, _mm512_set1_epi64,
    _mm512_slli_epi64, _mm512_srai_epi64, _mm512_srli_epi64, _mm512_storeu_si512, _mm512_sub_epi64,
    _mm512_test_epi64_mask,
};

/// Eight lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes(__m512i);

macro_rules! instructions {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:expr;)*) => {
        impl Lanes {
            $($(#[$doc])*
            #[inline(always)]
            pub(super) fn $name($($arg: $ty),*) -> $out {
                // SAFETY: pure arithmetic on registers; the caller was compiled for these
                // instructions and is entered only where the processor has them.
                unsafe { $body }
            })*
        }
    };
}

instructions! {
    /// The same number in every lane.
    fn all(x: i64) -> Lanes = Lanes(_mm512_set1_epi64(x));
    fn add(a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_add_epi64(a.0, b.0));
    fn sub(a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_sub_epi64(a.0, b.0));
    fn and(a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_and_si512(a.0, b.0));
    fn or(a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_or_si512(a.0, b.0));
    /// `c + low 52 bits of (low 52 bits of a) * (low 52 bits of b)`.
    fn low(c: Lanes, a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_madd52lo_epu64(c.0, a.0, b.0));
    /// `c + bits 52 to 103 of (low 52 bits of a) * (low 52 bits of b)`.
    fn high(c: Lanes, a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_madd52hi_epu64(c.0, a.0, b.0));
    /// `b` where the mask has a one, else `a`.
    fn choose(mask: u8, a: Lanes, b: Lanes) -> Lanes = Lanes(_mm512_mask_blend_epi64(mask, a.0, b.0));
    /// A one for each lane that is not zero.
    fn nonzero(a: Lanes) -> u8 = _mm512_test_epi64_mask(a.0, a.0);
    /// Eight numbers.
    fn load(x: &[u64; 8]) -> Lanes = Lanes(_mm512_loadu_si512(x.as_ptr().cast()));
}

impl Lanes {
    /// Shift to the right, zeros from the left.
    #[inline(always)]
    pub(super) fn right<const N: u32>(self) -> Self {
        // SAFETY: as for all instructions here.
        Self(unsafe { _mm512_srli_epi64::<N>(self.0) })
    }

    /// Shift to the right, the sign from the left.
    #[inline(always)]
    pub(super) fn right_signed<const N: u32>(self) -> Self {
        // SAFETY: as for all instructions here.
        Self(unsafe { _mm512_srai_epi64::<N>(self.0) })
    }

    /// Shift to the left.
    #[inline(always)]
    pub(super) fn left<const N: u32>(self) -> Self {
        // SAFETY: as for all instructions here.
        Self(unsafe { _mm512_slli_epi64::<N>(self.0) })
    }

    /// The eight numbers.
    #[inline(always)]
    pub(super) fn store(self) -> [u64; 8] {
        let mut out = [0; 8];
        // SAFETY: 64 bytes, written without a need for alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), self.0) };
        out
    }
}
