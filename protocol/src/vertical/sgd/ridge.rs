//! What the ridge takes of the weights at the end of an epoch.
//!
//! Taken off as it stands, `c R w` with c the sum of an epoch's steps would be more than there is of w along columns that
//! hang together, levels of a category among them, where R is near 1. Instead an epoch takes `c R (I + c' R)^-1 w`, c' that
//! of the first epochs: the implicit step, which no ridge makes too long. While rates are those of the first epochs it
//! rests where the ridge's own step does; as they fall, at a ridge of `R (I + (c' - c) R)^-1`, which differs along those
//! columns alone.

/// `(I + by A)^-1 A` of `a: [d, d]`, row-major, whose eigenvalues are 0 or more: by elimination with pivots.
pub(super) fn damped(a: &[f64], d: usize, by: f64) -> Vec<f64> {
    let mut out = a.to_vec();
    let mut left: Vec<f64> = a.iter().map(|a| by * a).collect();
    for i in 0..d {
        left[i * d + i] += 1.0;
    }
    for k in 0..d {
        let size = |i: &usize| left[i * d + k].abs();
        let pivot = (k..d).max_by(|i, j| size(i).total_cmp(&size(j)));
        let pivot = pivot.unwrap_or(k);
        for j in (0..d).filter(|_| pivot != k) {
            left.swap(k * d + j, pivot * d + j);
            out.swap(k * d + j, pivot * d + j);
        }
        let scale = 1.0 / left[k * d + k];
        let row = |m: &[f64]| -> Vec<f64> { m[k * d..][..d].iter().map(|v| v * scale).collect() };
        let (of_left, of_out) = (row(&left), row(&out));
        for i in 0..d {
            let f = match i == k {
                true => 0.0,
                false => left[i * d + k],
            };
            let take = |m: &mut [f64], of: &[f64]| {
                let m = m[i * d..][..d].iter_mut().zip(of);
                match i == k {
                    true => m.for_each(|(m, v)| *m = *v),
                    false => m.for_each(|(m, v)| *m -= f * v),
                }
            };
            take(&mut left, &of_left);
            take(&mut out, &of_out);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_implicit_step_and_never_takes_more_than_there_is() {
        let (d, by) = (4, 30.0);
        // of two columns that hang together, one that varies, and an intercept without ridge
        let of = |i: usize, j: usize| [1.0, 1.0, 0.02, 0.0][i] * [1.0, 1.0, 0.02, 0.0][j] / 2.0;
        let a: Vec<f64> = (0..d * d).map(|at| of(at / d, at % d)).collect();
        let m = damped(&a, d, by);
        for i in 0..d {
            for j in 0..d {
                let product: f64 = (0..d).map(|k| a[i * d + k] * m[k * d + j]).sum();
                let back = m[i * d + j] + by * product;
                assert!((back - a[i * d + j]).abs() < 1e-12, "{i} {j}");
                assert!((m[i * d + j] - m[j * d + i]).abs() < 1e-12);
            }
        }
        let along = |w: [f64; 4]| -> f64 {
            let taken = |i: usize| (0..d).map(|j| by * m[i * d + j] * w[j]).sum::<f64>();
            (0..d).map(|i| taken(i) * w[i]).sum()
        };
        assert!(along([0.5f64.sqrt(), 0.5f64.sqrt(), 0.0, 0.0]) < 1.0);
        assert!(along([0.0, 0.0, 0.0, 1.0]).abs() < 1e-15);
        // rows that must be exchanged
        let turned = damped(&[0.0, 4.0, -4.0, 0.0], 2, 1.0);
        let wanted = [16.0 / 17.0, 4.0 / 17.0, -4.0 / 17.0, 16.0 / 17.0];
        assert!(
            turned
                .iter()
                .zip(wanted)
                .all(|(a, b)| (a - b).abs() < 1e-14)
        );
    }
}
