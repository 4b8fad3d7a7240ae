//! Real numbers as fixed point in the ring Z_2^64: `x` is held as `round(x * 2^frac)`.

use crate::{multiversion, simd::Level};

/// A value that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} does not fit in fixed point with {frac} fraction bits and {bits} bits in all")]
pub struct DoesNotFit {
    /// The value.
    pub value: f64,
    /// Fraction bits asked for.
    pub frac: u32,
    /// Width asked for, sign included.
    pub bits: u32,
}

fn scaled(value: f64, frac: u32, bits: u32) -> Result<i64, DoesNotFit> {
    let x = (value * 2f64.powi(frac as i32)).round_ties_even();
    // a comparison that is false for NaN, so NaN does not fit either
    if x.abs() < 2f64.powi(bits as i32 - 1) {
        Ok(x as i64)
    } else {
        Err(DoesNotFit { value, frac, bits })
    }
}

/// `value` as a ring element with `frac` fraction bits, to within half a unit.
///
/// # Errors
/// If it is not finite or its scaled magnitude reaches 2^62.
pub fn encode(value: f64, frac: u32) -> Result<u64, DoesNotFit> {
    scaled(value, frac, 63).map(|x| x as u64)
}

/// `value` as a narrow integer with `frac` fraction bits, to within half a unit.
///
/// # Errors
/// If it is not finite or its scaled magnitude reaches 2^31.
pub fn encode_i32(value: f64, frac: u32) -> Result<i32, DoesNotFit> {
    let x = scaled(value, frac, 32)?;
    i32::try_from(x).map_err(|_| DoesNotFit {
        value,
        frac,
        bits: 32,
    })
}

/// [`encode_i32`] of all values, into `out`; the first that does not fit.
///
/// # Errors
/// If one is not finite or its scaled magnitude reaches 2^31.
///
/// # Panics
/// If the lengths do not agree.
pub fn encode_all_i32(values: &[f64], frac: u32, out: &mut [i32]) -> Result<(), DoesNotFit> {
    assert_eq!(values.len(), out.len(), "one place for each value");
    let scale = 2f64.powi(frac as i32);
    match round_all(Level::detect(), values, scale, out) {
        true => Ok(()),
        false => {
            let fits = |v: &&f64| (**v * scale).abs() < LIMIT;
            let value = values.iter().find(|v| !fits(v));
            Err(DoesNotFit {
                value: value.copied().unwrap_or(f64::NAN),
                frac,
                bits: 32,
            })
        }
    }
}

multiversion! {
    fn round_all [] [] (values: &[f64], scale: f64, out: &mut [i32]) -> bool = round_all_body
}

/// Rounds all, and says whether all fit.
#[inline(always)]
fn round_all_body(values: &[f64], scale: f64, out: &mut [i32]) -> bool {
    let mut fit = true;
    for (v, o) in values.iter().zip(out) {
        let x = v * scale;
        // false for NaN, too
        fit &= x.abs() < LIMIT;
        // exact below 2^51: the sum's last bit is one unit, ties to even
        *o = (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    }
    fit
}

/// What rounds to less than 2^31.
const LIMIT: f64 = 2_147_483_647.5;
/// 1.5 * 2^52.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The real number that a ring element with `frac` fraction bits stands for.
pub fn decode(word: u64, frac: u32) -> f64 {
    (word as i64) as f64 / 2f64.powi(frac as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_at_once_are_the_same() {
        let mut values: Vec<f64> = (-1000..1000).map(|i| f64::from(i) * 0.371 + 0.5).collect();
        values.extend([0.5, 1.5, -0.5, 2.5, -2.5, 131_071.99, -131_071.99]);
        for frac in [0, 3, 14] {
            let one = values.iter().map(|v| encode_i32(*v, frac).unwrap());
            let mut all = vec![0; values.len()];
            encode_all_i32(&values, frac, &mut all).unwrap();
            assert_eq!(all, one.collect::<Vec<_>>());
        }
        for bad in [f64::NAN, f64::INFINITY, 131_072.0, -131_073.0] {
            let e = encode_all_i32(&[1.0, bad], 14, &mut [0; 2]).unwrap_err();
            assert!(e.value.is_nan() && bad.is_nan() || e.value == bad);
        }
    }

    #[test]
    fn round_trip_is_within_half_a_unit() {
        for x in [0.0, 1.0, -1.0, 3.25, -1e6 + 0.3, 1e-9, 511.999] {
            for frac in [0, 8, 20, 40] {
                let w = encode(x, frac).unwrap();
                assert!((decode(w, frac) - x).abs() <= 0.5 / 2f64.powi(frac as i32));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for x in [f64::NAN, f64::INFINITY, 4.0, -5.0] {
            assert!(encode(x, 60).is_err(), "{x}");
        }
        assert!(encode_i32(32768.0, 16).is_err());
        assert_eq!(encode_i32(-32767.5, 16).unwrap(), -32767 * 65536 - 32768);
    }
}
