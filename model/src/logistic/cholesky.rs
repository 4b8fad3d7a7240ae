//! Cholesky factorisation of a small dense matrix.

use super::kernels::dot;

/// The lower factor L of A = L L', row-major, upper part unspecified.
pub(super) struct Cholesky {
    lower: Vec<f64>,
    size: usize,
}

impl Cholesky {
    /// Factors a symmetric matrix (row-major).
    ///
    /// # Errors
    /// The row whose pivot is not safely above 0: that row is (nearly) a linear combination of
    /// the rows before it.
    pub(super) fn new(mut matrix: Vec<f64>, size: usize) -> Result<Self, usize> {
        for i in 0..size {
            let (above, rest) = matrix.split_at_mut(i * size);
            let row = &mut rest[..size];
            for j in 0..i {
                let other = &above[j * size..j * size + j + 1];
                row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
            }
            let diagonal = row[i];
            let pivot = diagonal - dot(&row[..i], &row[..i]);
            if pivot.is_nan() || pivot <= diagonal.abs() * 1e-13 {
                return Err(i);
            }
            row[i] = pivot.sqrt();
        }
        Ok(Self {
            lower: matrix,
            size,
        })
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.lower[i * self.size..i * self.size + i + 1]
    }

    /// Solves A x = b in place.
    pub(super) fn solve(&self, b: &mut [f64]) {
        for i in 0..self.size {
            let row = self.row(i);
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
        for i in (0..self.size).rev() {
            let row = self.row(i);
            b[i] /= row[i];
            let x = b[i];
            for (v, l) in b[..i].iter_mut().zip(row) {
                *v -= l * x;
            }
        }
    }

    /// The diagonal of the inverse of A.
    pub(super) fn inverse_diagonal(&self) -> Vec<f64> {
        let n = self.size;
        // Column j of the inverse of L, one at a time; A^-1 = L^-1' L^-1.
        (0..n)
            .map(|j| {
                let mut column = vec![0.0; n];
                for i in j..n {
                    let row = self.row(i);
                    let unit = if i == j { 1.0 } else { 0.0 };
                    column[i] = (unit - dot(&row[j..i], &column[j..i])) / row[i];
                }
                dot(&column, &column)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_inverts() {
        let a = vec![4.0, 2.0, 0.5, 2.0, 5.0, 1.0, 0.5, 1.0, 3.0];
        let factor = Cholesky::new(a.clone(), 3).ok().unwrap();
        let mut x = [1.0, -2.0, 0.5];
        factor.solve(&mut x);
        for (row, want) in a.chunks(3).zip([1.0, -2.0, 0.5]) {
            let got: f64 = row.iter().zip(&x).map(|(p, q)| p * q).sum();
            assert!((got - want).abs() < 1e-14);
        }
        let diagonal = factor.inverse_diagonal();
        for j in 0..3 {
            let mut unit = [0.0; 3];
            unit[j] = 1.0;
            factor.solve(&mut unit);
            assert!((unit[j] - diagonal[j]).abs() < 1e-14);
        }
    }

    #[test]
    fn names_the_dependent_row() {
        let a = vec![1.0, 2.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(Cholesky::new(a, 3).err(), Some(1));
        assert_eq!(Cholesky::new(vec![f64::NAN], 1).err(), Some(0));
    }
}
