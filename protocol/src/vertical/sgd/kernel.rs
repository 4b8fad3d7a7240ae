//! One batch of a plaintext training, in double precision: scores, residuals and gradient in one reading of the rows.

use paripassu_crypto::{multiversion, simd::Level};

/// Rows whose residuals are made together.
const ROWS: usize = 8;
const LANES: usize = 16;

/// Adds `X' r` to `gradient` and `sum r` to the last entry, `r = sigma(X w + b) - y`; `x: [y.len(), d]`, `w` and
/// `gradient` with d + 1 entries, the intercept last.
pub(super) fn batch(x: &[f64], y: &[u8], w: &[f64], gradient: &mut [f64]) {
    fused(Level::detect(), x, y, w, gradient);
}

multiversion! {
    fn fused [] [] (x: &[f64], y: &[u8], w: &[f64], gradient: &mut [f64]) = fused_rows
}

#[inline(always)]
fn fused_rows(x: &[f64], y: &[u8], w: &[f64], gradient: &mut [f64]) {
    let Some((b, w)) = w.split_last() else { return };
    let Some((gb, g)) = gradient.split_last_mut() else {
        return;
    };
    let d = w.len();
    for (i, y) in y.chunks(ROWS).enumerate() {
        let x = &x[i * ROWS * d..][..y.len() * d];
        let mut r = [0.0; ROWS];
        for k in 0..y.len() {
            r[k] = b + dot(&x[k * d..][..d], w);
        }
        for r in &mut r {
            *r = sigmoid(*r);
        }
        for k in 0..y.len() {
            r[k] -= f64::from(y[k]);
            *gb += r[k];
        }
        if y.len() == ROWS {
            let (x0, x) = x.split_at(d);
            let (x1, x) = x.split_at(d);
            let (x2, x) = x.split_at(d);
            let (x3, x) = x.split_at(d);
            let (x4, x) = x.split_at(d);
            let (x5, x) = x.split_at(d);
            let (x6, x7) = x.split_at(d);
            for j in 0..d {
                let low = x0[j] * r[0] + x1[j] * r[1] + (x2[j] * r[2] + x3[j] * r[3]);
                let high = x4[j] * r[4] + x5[j] * r[5] + (x6[j] * r[6] + x7[j] * r[7]);
                g[j] += low + high;
            }
        } else {
            for (x, r) in x.chunks_exact(d.max(1)).zip(&r) {
                g.iter_mut().zip(x).for_each(|(g, x)| *g += x * r);
            }
        }
    }
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let whole = a.len() / LANES * LANES;
    let mut acc = [0.0; LANES];
    let mut at = 0;
    while at < whole {
        for l in 0..LANES {
            acc[l] += a[at + l] * b[at + l];
        }
        at += LANES;
    }
    let mut sum = 0.0;
    for a in acc {
        sum += a;
    }
    while at < a.len() {
        sum += a[at] * b[at];
        at += 1;
    }
    sum
}

/// To 1e-13, without a branch: e^z by its series about the nearest power of two.
#[inline(always)]
fn sigmoid(z: f64) -> f64 {
    const SHIFT: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
    const TERMS: [f64; 11] = [
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let z = (-z).clamp(-700.0, 700.0);
    let k = z * std::f64::consts::LOG2_E + SHIFT;
    let whole = k - SHIFT;
    let rest = z - whole * std::f64::consts::LN_2;
    let mut e = 1.0 / 39_916_800.0;
    for t in TERMS {
        e = e * rest + t;
    }
    let power = f64::from_bits(k.to_bits().wrapping_sub(SHIFT.to_bits()).wrapping_add(1023) << 52);
    1.0 / (1.0 + e * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_and_gradient_are_those_of_the_definition() {
        for i in -2000..=2000 {
            let z = f64::from(i) * 0.037;
            assert!((sigmoid(z) - 1.0 / (1.0 + (-z).exp())).abs() < 1e-13, "{z}");
        }
        for (rows, d) in [(1, 1), (19, 5), (64, 33), (8, 0)] {
            let value = |i: usize| ((i * 37 % 101) as f64 - 50.0) / 40.0;
            let x: Vec<f64> = (0..rows * d).map(value).collect();
            let y: Vec<u8> = (0..rows).map(|i| u8::from(i % 3 == 0)).collect();
            let w: Vec<f64> = (0..=d).map(|j| value(j + 7) / 3.0).collect();
            let mut got = vec![0.25; d + 1];
            batch(&x, &y, &w, &mut got);
            let mut want = vec![0.25; d + 1];
            for i in 0..rows {
                let row = &x[i * d..(i + 1) * d];
                let z = w[d] + row.iter().zip(&w).map(|(a, b)| a * b).sum::<f64>();
                let r = 1.0 / (1.0 + (-z).exp()) - f64::from(y[i]);
                want.iter_mut().zip(row).for_each(|(g, x)| *g += x * r);
                want[d] += r;
            }
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() < 1e-11, "{rows} {d}");
            }
        }
    }
}
