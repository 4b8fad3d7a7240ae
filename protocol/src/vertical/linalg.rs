//! Small dense linear algebra in the clear, for one owner's own columns.

/// Lower-triangular L with `L Lᵀ = a`, or the first column at which `a` is not positive definite.
pub(super) fn cholesky(a: &[f64], d: usize) -> Result<Vec<f64>, usize> {
    let mut l = vec![0.0; d * d];
    for i in 0..d {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| l[i * d + k] * l[j * d + k]).sum();
            let s = a[i * d + j] - dot;
            if i == j {
                // relative to the diagonal: below this, rounding decides
                if s <= a[i * d + i].abs() * 1e-13 || !s.is_finite() {
                    return Err(i);
                }
                l[i * d + i] = s.sqrt();
            } else {
                l[i * d + j] = s / l[j * d + j];
            }
        }
    }
    Ok(l)
}

/// Solves `L x = b` in place.
fn solve_lower(l: &[f64], d: usize, b: &mut [f64]) {
    for i in 0..d {
        let row = &l[i * d..i * d + i];
        let dot: f64 = row.iter().zip(&b[..i]).map(|(l, x)| l * x).sum();
        b[i] = (b[i] - dot) / l[i * d + i];
    }
}

/// Solves `Lᵀ x = b` in place.
pub(super) fn solve_upper(l: &[f64], d: usize, b: &mut [f64]) {
    for i in (0..d).rev() {
        let dot: f64 = (i + 1..d).map(|k| l[k * d + i] * b[k]).sum();
        b[i] = (b[i] - dot) / l[i * d + i];
    }
}

/// `L⁻¹`, lower-triangular.
pub(super) fn invert_lower(l: &[f64], d: usize) -> Vec<f64> {
    let mut inv = vec![0.0; d * d];
    for j in 0..d {
        let mut e = vec![0.0; d];
        e[j] = 1.0;
        solve_lower(l, d, &mut e);
        for i in j..d {
            inv[i * d + j] = e[i];
        }
    }
    inv
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram(x: &[f64], d: usize) -> Vec<f64> {
        let mut g = vec![0.0; d * d];
        paripassu_crypto::dense::symmetric_product(x, d, x, &mut g);
        g
    }

    #[test]
    fn factors_and_solves() {
        let d = 3;
        let x = [2.0, 1.0, 0.5, 0.0, 3.0, -1.0, 1.0, 1.0, 4.0, -2.0, 0.3, 0.1];
        let a = gram(&x, d);
        assert!((a[1] - (2.0 + 1.0 - 0.6)).abs() < 1e-12 && a[1] == a[3]);
        let l = cholesky(&a, d).unwrap();
        let want = [1.0, -2.0, 3.0];
        let mut b: Vec<f64> = (0..d)
            .map(|i| (0..d).map(|j| a[i * d + j] * want[j]).sum())
            .collect();
        solve_lower(&l, d, &mut b);
        solve_upper(&l, d, &mut b);
        b.iter()
            .zip(want)
            .for_each(|(b, w)| assert!((b - w).abs() < 1e-12));
        let inv = invert_lower(&l, d);
        for i in 0..d {
            for j in 0..d {
                let e: f64 = (0..d).map(|k| l[i * d + k] * inv[k * d + j]).sum();
                assert!((e - f64::from(u8::from(i == j))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_dependent_column_is_named() {
        let x = [1.0, 2.0, 2.0, 4.0, 3.0, 6.0];
        assert_eq!(cholesky(&gram(&x, 2), 2), Err(1));
    }
}
