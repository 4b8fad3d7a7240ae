//! How many steps of Newton and Schulz's iteration for an inverse, and how each is scaled.
//!
//! From `Y = s Y (2 I - s H Y)` an eigenvalue x of `H Y` becomes `1 - (1 - s x)^2`. For eigenvalues in
//! `[l, 1]` the scale `s = 2 / (1 + l)` raises the least of them most: by almost 4 while it is small, where
//! `s = 1` doubles it. Source: "An improved Newton iteration for the generalized
//! inverse of a matrix, with applications" (SIAM J. Sci. Stat. Comput. 12(5), 1991, section 4). We depart in two
//! points: scales are whole sixteenths, so that their squares are exact in fixed point, and the first step
//! and the last are not scaled, the first to bear eigenvalues up to 2, the last so that `I - H Y` before it
//! falls out.

/// The scale 1, in sixteenths.
pub const UNSCALED: u64 = 16;
/// Largest distance from 1 of an eigenvalue of `H Y` before the last step; after it, its square.
const CLOSE: f64 = 1e-3;

fn stepped(x: f64) -> f64 {
    x * (2.0 - x)
}

/// Scales in sixteenths, one a step, where the eigenvalues of `H Y` are at first at least `2^-least_log2`,
/// and below 2 by as much.
pub fn scales(least_log2: u32) -> Vec<u64> {
    let mut scales = vec![UNSCALED];
    let mut least = stepped(2f64.powi(-(least_log2 as i32)));
    while 1.0 - least > CLOSE {
        // 31 at most: at 32 an eigenvalue of 1 would become 0
        let raised = |s: u64| {
            let s = s as f64 / UNSCALED as f64;
            stepped(s * least).min(stepped(s))
        };
        let better = |best: u64, s: u64| if raised(s) > raised(best) { s } else { best };
        let scale = (UNSCALED + 1..2 * UNSCALED).fold(UNSCALED, better);
        least = raised(scale);
        scales.push(scale);
    }
    scales.push(UNSCALED);
    scales
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_eigenvalue_of_the_range_ends_at_one() {
        for least_log2 in 1..=20 {
            let scales = scales(least_log2);
            assert_eq!((scales[0], scales.last()), (UNSCALED, Some(&UNSCALED)));
            let least = 2f64.powi(-(least_log2 as i32));
            for i in 0..=2000 {
                // evenly in the exponent, from the least to as much below two
                let mut x = least * ((2.0 - least) / least).powf(f64::from(i) / 2000.0);
                for (t, s) in scales.iter().enumerate() {
                    let s = *s as f64 / 16.0;
                    assert!(t == 0 || s * x < 2.0);
                    if t + 1 == scales.len() {
                        assert!((1.0 - x).abs() <= 1.001 * CLOSE, "{least_log2} {i}: {x}");
                    }
                    x = 1.0 - (1.0 - s * x).powi(2);
                }
                assert!((1.0 - x).abs() <= 1.002 * CLOSE * CLOSE);
            }
        }
    }

    #[test]
    fn half_the_steps_of_the_unscaled_iteration_are_left() {
        assert_eq!(scales(13).len(), 11);
        // unscaled, 2^-13 needs 13 doublings and then squares 1 - 0.63
        let mut x = 2f64.powi(-13);
        let mut steps = 0;
        while 1.0 - x > CLOSE * CLOSE {
            x = stepped(x);
            steps += 1;
        }
        assert!(steps >= 16, "{steps}");
    }
}
