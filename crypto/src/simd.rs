//! Compiles a loop for the widest vectors that this machine has: [`multiversion!`](crate::multiversion).
//!
//! The same portable source is compiled three times (AVX-512, AVX2, the target's baseline) and
//! chosen at run time; integer results are identical by construction and tested to be so. The body
//! and all it calls must be `#[inline(always)]`: what is not inlined keeps the baseline. Closures are
//! not, so a body takes none.

/// Instruction sets that a loop is compiled for, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the target guarantees.
    Baseline,
    /// AVX2.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The widest set of this machine.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }
}

/// Defines a function that runs `$body`, compiled for at most the [`Level`] given first.
///
/// Generic parameters stand in square brackets, first as declared, then as used.
///
/// ```
/// use paripassu_crypto::{multiversion, simd::Level};
///
/// #[inline(always)]
/// fn sum_body<const N: usize>(x: &[[u64; N]]) -> u64 {
///     x.iter().flatten().fold(0, |s, x| s.wrapping_add(*x))
/// }
///
/// multiversion! {
///     /// The wrapping sum.
///     fn sum [const N: usize] [N] (x: &[[u64; N]]) -> u64 = sum_body
/// }
///
/// assert_eq!(sum(Level::detect(), &[[1, 2], [3, u64::MAX]]), 5);
/// ```
#[macro_export]
macro_rules! multiversion {
    ($(#[$doc:meta])* $vis:vis fn $name:ident [$($declared:tt)*] [$($used:tt)*]
        ($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        // the one unsafe act: calling a function compiled for features that were just detected
        #[allow(unsafe_code, clippy::too_many_arguments)]
        $vis fn $name<$($declared)*>(level: $crate::simd::Level, $($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512<$($declared)*>($($arg: $ty),*) $(-> $out)? {
                    $body::<$($used)*>($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2<$($declared)*>($($arg: $ty),*) $(-> $out)? {
                    $body::<$($used)*>($($arg),*)
                }
                match level.min($crate::simd::Level::detect()) {
                    // SAFETY: the processor has all features that the function names.
                    $crate::simd::Level::Avx512 => return unsafe { avx512::<$($used)*>($($arg),*) },
                    // SAFETY: as above.
                    $crate::simd::Level::Avx2 => return unsafe { avx2::<$($used)*>($($arg),*) },
                    $crate::simd::Level::Baseline => {}
                }
            }
            let _ = level;
            $body::<$($used)*>($($arg),*)
        }
    };
}
