//! One tile of a product: 8 rows by 8, 16 or 24 columns, held in registers.
//!
//! With AVX-512 the loops are spelt out in vectors, because the compiler does not find them by
//! itself; elsewhere the same sums are plain code. Words come out the same, floats to the bit too:
//! neither fuses products with sums, and each sum runs over the rows in order.
#![allow(unsafe_code)] // vector loads and stores, and one call of a function of a detected feature

use super::Number;
use crate::{multiversion, simd::Level};

/// Rows of a tile.
pub(super) const MR: usize = 8;

/// `acc[i][p][j] += sum over l of left[l][i] right[l][p][j]`.
#[inline(always)]
fn plain_body<N: Number, const P: usize>(
    left: &[[N; MR]],
    right: &[[[N; 8]; P]],
    acc: &mut [[[N; 8]; P]; MR],
) {
    for (a, b) in left.iter().zip(right) {
        for (acc, a) in acc.iter_mut().zip(a) {
            for (acc, b) in acc.iter_mut().zip(b) {
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = acc.plus_product(*a, *b);
                }
            }
        }
    }
}

multiversion! {
    /// A tile in plain code.
    pub(super) fn plain [N: Number, const P: usize] [N, P]
        (left: &[[N; MR]], right: &[[[N; 8]; P]], acc: &mut [[[N; 8]; P]; MR]) = plain_body
}

macro_rules! tile_with_avx512 {
    ($name:ident, $number:ty, $vector:ty, $load:ident, $store:ident, $spread:ident, $product:ident, $sum:ident, $zero:ident) => {
        /// A tile, with AVX-512 where there is.
        pub(super) fn $name<const P: usize>(
            level: Level,
            left: &[[$number; MR]],
            right: &[[[$number; 8]; P]],
            acc: &mut [[[$number; 8]; P]; MR],
        ) {
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::*;
                #[target_feature(enable = "avx512f,avx512dq")]
                fn wide<const P: usize>(
                    left: &[[$number; MR]],
                    right: &[[[$number; 8]; P]],
                    acc: &mut [[[$number; 8]; P]; MR],
                ) {
                    let mut sums = [[$zero(); P]; MR];
                    for (a, b) in left.iter().zip(right) {
                        let mut row = [$zero(); P];
                        for p in 0..P {
                            // SAFETY: reads the eight numbers of an array of eight.
                            row[p] = unsafe { $load(b[p].as_ptr().cast()) };
                        }
                        for i in 0..MR {
                            let a = $spread(a[i] as _);
                            for p in 0..P {
                                sums[i][p] = $sum(sums[i][p], $product(a, row[p]));
                            }
                        }
                    }
                    for i in 0..MR {
                        for p in 0..P {
                            // SAFETY: reads and writes the eight numbers of an array of eight.
                            unsafe {
                                let at = acc[i][p].as_mut_ptr();
                                let before: $vector = $load(at.cast());
                                $store(at.cast(), $sum(before, sums[i][p]));
                            }
                        }
                    }
                }
                if level.min(Level::detect()) == Level::Avx512 {
                    // SAFETY: the processor has the features, as was just asked.
                    return unsafe { wide::<P>(left, right, acc) };
                }
            }
            plain::<$number, P>(level, left, right, acc);
        }
    };
}

tile_with_avx512!(
    words,
    u64,
    __m512i,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_set1_epi64,
    _mm512_mullo_epi64,
    _mm512_add_epi64,
    _mm512_setzero_si512
);
tile_with_avx512!(
    floats,
    f64,
    __m512d,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_set1_pd,
    _mm512_mul_pd,
    _mm512_add_pd,
    _mm512_setzero_pd
);
