//! Runs a loop compiled for the widest vectors that this machine has.
//!
//! The same portable source is compiled three times (AVX-512, AVX2, the target's baseline) and
//! chosen at run time; integer results are identical by construction and tested to be so.
#![allow(unsafe_code)] // one call into a function of a CPU feature that was just detected

/// Instruction sets that a loop is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What the target guarantees.
    Baseline,
    /// AVX2 and FMA.
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
                && is_x86_feature_detected!("fma")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }
}

/// Runs `f` with the widest instructions this machine has. `f` and the functions it calls must be
/// `#[inline(always)]` to profit.
#[inline]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    at(Level::detect(), f)
}

/// Runs `f` compiled for `level`, or for the baseline where the machine lacks it.
pub fn at<R>(level: Level, f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if level != Level::Baseline {
        let have = Level::detect();
        if level == Level::Avx512 && have == Level::Avx512 {
            // SAFETY: every feature named on the function was detected just above.
            return unsafe { avx512(f) };
        }
        if have != Level::Baseline {
            // SAFETY: as above; AVX-512 machines have AVX2 and FMA.
            return unsafe { avx2(f) };
        }
    }
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
fn avx512<R>(f: impl FnOnce() -> R) -> R {
    f()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}
