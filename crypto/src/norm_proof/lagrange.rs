//! Polynomials given by their values at 0, 1, 2 ..

use crate::field61::{P, inverse, mul, sub};

/// 1 / Π_{k ≠ j} (j - k) for the points j of 0 .. points.
fn barycentric(points: usize) -> Vec<u64> {
    let mut factorials = vec![1; points];
    for n in 1..points {
        factorials[n] = mul(factorials[n - 1], n as u64);
    }
    (0..points)
        .map(|j| {
            let last = points - 1 - j;
            let weight = inverse(mul(factorials[j], factorials[last]));
            if last % 2 == 1 {
                sub(0, weight)
            } else {
                weight
            }
        })
        .collect()
}

/// What the values at 0 .. points count at `r`, which is none of the points.
pub(super) fn weights_at(points: usize, r: u64) -> Vec<u64> {
    let whole = (0..points as u64).fold(1, |w, k| mul(w, sub(r, k)));
    (0u64..)
        .zip(barycentric(points))
        .map(|(j, weight)| mul(mul(whole, weight), inverse(sub(r, j))))
        .collect()
}

/// Rows of N + 1: what the values at 0 .. N count at N + 1, .., 2N.
pub(super) fn extrapolation(calls: usize) -> Vec<u64> {
    let points = calls + 1;
    let weights = barycentric(points);
    let inverses: Vec<u64> = (0..=2 * calls as u64).map(inverse).collect();
    let mut out = Vec::with_capacity(calls * points);
    for z in points..=2 * calls {
        let whole = (0..points).fold(1, |w, k| mul(w, (z - k) as u64));
        out.extend((0..points).map(|j| mul(mul(whole, weights[j]), inverses[z - j])));
    }
    debug_assert!(out.iter().all(|e| *e < P));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field61::{add, dot};

    #[test]
    fn a_polynomial_is_found_again_anywhere() {
        let coefficients: Vec<u64> = (0..9u64).map(|i| P / 3 + 17 * i * i).collect();
        let at = |x: u64| coefficients.iter().rev().fold(0, |s, c| add(mul(s, x), *c));
        let values: Vec<u64> = (0..9).map(at).collect();
        for r in [9, 10, 12_345, P - 1] {
            assert_eq!(dot(&values, &weights_at(9, r)), at(r));
        }
        for (row, z) in extrapolation(8).chunks(9).zip(9..) {
            assert_eq!(dot(&values, row), at(z), "{z}");
        }
    }
}
