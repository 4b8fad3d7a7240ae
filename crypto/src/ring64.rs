//! Products over the ring Z_2^64, for an owner's narrow integers and for full words.
//!
//! Matrices are row-major slices. Every function adds to its output, wrapping.

use rayon::prelude::*;

pub use crate::dense::Entry;
use crate::{dense, multiversion, simd::Level};

/// Rows handled per task: fits the second-level cache at a hundred columns.
const BLOCK: usize = 2048;

/// `y += X v`, with `x: [y.len(), v.len()]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_vec<T: Entry<u64>>(x: &[T], v: &[u64], y: &mut [u64]) {
    assert_eq!(x.len(), v.len() * y.len(), "matrix is [y, v]");
    if v.is_empty() {
        return;
    }
    let level = Level::detect();
    y.par_chunks_mut(BLOCK)
        .zip(x.par_chunks(BLOCK * v.len()))
        .for_each(|(y, x)| rows_by_vec(level, x, v, y));
}

/// As [`mat_vec`], on the calling thread alone: for a few thousand rows.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_vec_here<T: Entry<u64>>(x: &[T], v: &[u64], y: &mut [u64]) {
    assert_eq!(x.len(), v.len() * y.len(), "matrix is [y, v]");
    if !v.is_empty() {
        rows_by_vec(Level::detect(), x, v, y);
    }
}

/// As [`mat_t_vec`], on the calling thread alone: for a few thousand rows.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_t_vec_here<T: Entry<u64>>(x: &[T], r: &[u64], g: &mut [u64]) {
    assert_eq!(x.len(), r.len() * g.len(), "matrix is [r, g]");
    if !g.is_empty() {
        columns_by_vec(Level::detect(), x, r, g);
    }
}

multiversion! {
    fn rows_by_vec [T: Entry<u64>] [T] (x: &[T], v: &[u64], y: &mut [u64]) = mat_vec_block
}

multiversion! {
    fn columns_by_vec [T: Entry<u64>] [T] (x: &[T], r: &[u64], g: &mut [u64]) = mat_t_vec_block
}

#[inline(always)]
fn mat_vec_block<T: Entry<u64>>(x: &[T], v: &[u64], y: &mut [u64]) {
    const L: usize = 16;
    let d = v.len();
    let c = d / L * L;
    for (row, y) in x.chunks_exact(d).zip(y) {
        let mut acc = [0u64; L];
        for (a, b) in row[..c].chunks_exact(L).zip(v[..c].chunks_exact(L)) {
            for l in 0..L {
                acc[l] = acc[l].wrapping_add(a[l].lift().wrapping_mul(b[l]));
            }
        }
        let mut s = acc.iter().fold(*y, |s, a| s.wrapping_add(*a));
        for (a, b) in row[c..].iter().zip(&v[c..]) {
            s = s.wrapping_add(a.lift().wrapping_mul(*b));
        }
        *y = s;
    }
}

/// `g += Xᵀ r`, with `x: [r.len(), g.len()]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_t_vec<T: Entry<u64>>(x: &[T], r: &[u64], g: &mut [u64]) {
    assert_eq!(x.len(), r.len() * g.len(), "matrix is [r, g]");
    if g.is_empty() {
        return;
    }
    let (d, level) = (g.len(), Level::detect());
    let sum = r
        .par_chunks(BLOCK)
        .zip(x.par_chunks(BLOCK * d))
        .map(|(r, x)| {
            let mut g = vec![0; d];
            columns_by_vec(level, x, r, &mut g);
            g
        })
        .reduce(
            || vec![0; d],
            |mut a, b| {
                add_assign(&mut a, &b);
                a
            },
        );
    add_assign(g, &sum);
}

#[inline(always)]
fn mat_t_vec_block<T: Entry<u64>>(x: &[T], r: &[u64], g: &mut [u64]) {
    let d = g.len();
    let four = r.len() / 4 * 4;
    for (x, r) in x[..four * d]
        .chunks_exact(4 * d)
        .zip(r[..four].chunks_exact(4))
    {
        let (x0, x) = x.split_at(d);
        let (x1, x) = x.split_at(d);
        let (x2, x3) = x.split_at(d);
        for ((((g, a), b), c), e) in g.iter_mut().zip(x0).zip(x1).zip(x2).zip(x3) {
            *g = g
                .wrapping_add(a.lift().wrapping_mul(r[0]))
                .wrapping_add(b.lift().wrapping_mul(r[1]))
                .wrapping_add(c.lift().wrapping_mul(r[2]))
                .wrapping_add(e.lift().wrapping_mul(r[3]));
        }
    }
    for (x, r) in x[four * d..].chunks_exact(d).zip(&r[four..]) {
        axpy(*r, x, g);
    }
}

#[inline(always)]
fn axpy<T: Entry<u64>>(a: u64, x: &[T], y: &mut [u64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = y.wrapping_add(x.lift().wrapping_mul(a));
    }
}

/// `y_t += X v_t` for each pair of vectors; reads X once.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_vecs<T: Entry<u64>>(x: &[T], vs: &[&[u64]], ys: &mut [&mut [u64]]) {
    assert_eq!(vs.len(), ys.len(), "one result for each vector");
    for (v, y) in vs.iter().zip(ys.iter()) {
        assert_eq!(x.len(), v.len() * y.len(), "matrix is [y, v]");
    }
    let cols = vs.first().map_or(0, |v| v.len());
    if cols == 0 {
        return;
    }
    let level = Level::detect();
    let blocks = (x.len() / cols).div_ceil(BLOCK);
    let mut parts: Vec<Vec<&mut [u64]>> = Vec::new();
    parts.resize_with(blocks, || Vec::with_capacity(ys.len()));
    for y in ys {
        for (part, y) in parts.iter_mut().zip(y.chunks_mut(BLOCK)) {
            part.push(y);
        }
    }
    parts
        .par_iter_mut()
        .zip(x.par_chunks(BLOCK * cols))
        .for_each(|(ys, x)| {
            for (v, y) in vs.iter().zip(ys) {
                rows_by_vec(level, x, v, y);
            }
        });
}

/// `g_t += Xᵀ r_t` for each pair of vectors; reads X once.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_t_vecs<T: Entry<u64>>(x: &[T], rs: &[&[u64]], gs: &mut [&mut [u64]]) {
    assert_eq!(rs.len(), gs.len(), "one result for each vector");
    for (r, g) in rs.iter().zip(gs.iter()) {
        assert_eq!(x.len(), r.len() * g.len(), "matrix is [r, g]");
    }
    let (d, level) = (gs.first().map_or(0, |g| g.len()), Level::detect());
    if d == 0 {
        return;
    }
    let zeros = || vec![vec![0; d]; rs.len()];
    let sums = x
        .par_chunks(BLOCK * d)
        .enumerate()
        .map(|(block, x)| {
            let mut sums = zeros();
            let (at, rows) = (block * BLOCK, x.len() / d);
            for (r, g) in rs.iter().zip(&mut sums) {
                columns_by_vec(level, x, &r[at..at + rows], g);
            }
            sums
        })
        .reduce(zeros, |mut a, b| {
            for (a, b) in a.iter_mut().zip(&b) {
                add_assign(a, b);
            }
            a
        });
    for (g, sum) in gs.iter_mut().zip(&sums) {
        add_assign(g, sum);
    }
}

/// `Y += X V`, with `x: [rows, inner]`, `v: [inner, k]`, `y: [rows, k]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_mat<T: Entry<u64>>(x: &[T], inner: usize, v: &[u64], k: usize, y: &mut [u64]) {
    if k == 1 {
        return mat_vec(x, v, y);
    }
    dense::product(x, inner, v, k, y);
}

/// `G += Xᵀ R`, with `x: [rows, d]`, `r: [rows, k]`, `g: [d, k]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_t_mat<T: Entry<u64>>(x: &[T], d: usize, r: &[u64], k: usize, g: &mut [u64]) {
    if k == 1 {
        return mat_t_vec(x, r, g);
    }
    dense::transposed_product(x, d, r, k, g);
}

/// `G += Xᵀ R` where `Xᵀ R` is symmetric, as with `R = diag(v) X`, or where several such products are in their
/// sum: the upper half is computed and mirrored. `x, r: [rows, d]`, `g: [d, d]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn mat_t_symmetric<T: Entry<u64>>(x: &[T], d: usize, r: &[u64], g: &mut [u64]) {
    dense::symmetric_product(x, d, r, g);
}

/// `Y += diag(v) X`, with `x: [v.len(), d]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn add_weighted<T: Entry<u64>>(x: &[T], d: usize, v: &[u64], y: &mut [u64]) {
    assert_eq!(
        (x.len(), y.len()),
        (v.len() * d, v.len() * d),
        "X and Y are [v, d]"
    );
    if d == 0 {
        return;
    }
    let level = Level::detect();
    y.par_chunks_mut(BLOCK * d)
        .zip(x.par_chunks(BLOCK * d))
        .zip(v.par_chunks(BLOCK))
        .for_each(|((y, x), v)| weighted_rows(level, x, d, v, y));
}

multiversion! {
    fn weighted_rows [T: Entry<u64>] [T] (x: &[T], d: usize, v: &[u64], y: &mut [u64]) = weighted_block
}

#[inline(always)]
fn weighted_block<T: Entry<u64>>(x: &[T], d: usize, v: &[u64], y: &mut [u64]) {
    for ((x, y), v) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(v) {
        axpy(*v, x, y);
    }
}

/// `y += x`.
pub fn add_assign(y: &mut [u64], x: &[u64]) {
    debug_assert_eq!(y.len(), x.len());
    for (y, x) in y.iter_mut().zip(x) {
        *y = y.wrapping_add(*x);
    }
}

/// `y -= x`.
pub fn sub_assign(y: &mut [u64], x: &[u64]) {
    debug_assert_eq!(y.len(), x.len());
    for (y, x) in y.iter_mut().zip(x) {
        *y = y.wrapping_sub(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(seed: u64) -> impl FnMut() -> u64 {
        let mut s = seed;
        move || {
            s = s.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (s ^ (s >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }

    fn naive(x: &[u64], rows: usize, d: usize, v: &[u64], k: usize) -> Vec<u64> {
        let mut y = vec![0u64; rows * k];
        for i in 0..rows {
            for j in 0..d {
                for l in 0..k {
                    y[i * k + l] =
                        y[i * k + l].wrapping_add(x[i * d + j].wrapping_mul(v[j * k + l]));
                }
            }
        }
        y
    }

    #[test]
    fn products_equal_the_definition() {
        let mut next = stream(1);
        for (rows, d, k) in [
            (1, 1, 1),
            (5, 3, 1),
            (2049, 37, 1),
            (33, 16, 4),
            (515, 9, 7),
            (0, 4, 2),
            (300, 17, 50),
            (131, 150, 25),
            (70, 8, 24),
        ] {
            let x: Vec<i32> = (0..rows * d).map(|_| next() as i32).collect();
            let wide: Vec<u64> = x.iter().map(|a| a.lift()).collect();
            let v: Vec<u64> = (0..d * k).map(|_| next()).collect();
            let r: Vec<u64> = (0..rows * k).map(|_| next()).collect();
            let want = naive(&wide, rows, d, &v, k);
            let (mut a, mut b) = (vec![0; rows * k], vec![0; rows * k]);
            mat_mat(&x, d, &v, k, &mut a);
            mat_mat(&wide, d, &v, k, &mut b);
            assert_eq!((&a, &b), (&want, &want));
            let t: Vec<u64> = (0..d * rows)
                .map(|i| wide[i % rows * d + i / rows])
                .collect();
            let want = naive(&t, d, rows, &r, k);
            let mut g = vec![0; d * k];
            mat_t_mat(&x, d, &r, k, &mut g);
            assert_eq!(g, want);
            let mut weighted = vec![0; rows * d];
            add_weighted(&x, d, &r[..rows], &mut weighted);
            let (mut g, mut h) = (vec![7; d * d], vec![7; d * d]);
            mat_t_symmetric(&x, d, &weighted, &mut g);
            mat_t_mat(&wide, d, &weighted, d, &mut h);
            assert_eq!(g, h);
            let mut y = wide.clone();
            add_weighted(&x, d, &r[..rows], &mut y);
            for (i, y) in y.iter().enumerate() {
                assert_eq!(*y, wide[i].wrapping_mul(r[i / d]).wrapping_add(wide[i]));
            }
        }
    }

    #[test]
    fn several_vectors_at_once_are_one_after_the_other() {
        let mut next = stream(5);
        for (rows, d, count) in [
            (1, 1, 1),
            (2049, 37, 3),
            (0, 4, 2),
            (300, 0, 2),
            (4100, 9, 4),
        ] {
            let x: Vec<i32> = (0..rows * d).map(|_| next() as i32).collect();
            let mut many = |n: usize| -> Vec<Vec<u64>> {
                (0..count)
                    .map(|_| (0..n).map(|_| next()).collect())
                    .collect()
            };
            let (v, r) = (many(d), many(rows));
            let (mut y, mut g) = (r.clone(), v.clone());
            let (mut one, mut other) = (r.clone(), v.clone());
            fn read(v: &[Vec<u64>]) -> Vec<&[u64]> {
                v.iter().map(Vec::as_slice).collect()
            }
            fn write(v: &mut [Vec<u64>]) -> Vec<&mut [u64]> {
                v.iter_mut().map(Vec::as_mut_slice).collect()
            }
            mat_vecs(&x, &read(&v), &mut write(&mut y));
            mat_t_vecs(&x, &read(&r), &mut write(&mut g));
            for t in 0..count {
                mat_vec(&x, &v[t], &mut one[t]);
                let (mut a, mut b) = (r[t].clone(), v[t].clone());
                mat_vec_here(&x, &v[t], &mut a);
                mat_t_vec_here(&x, &r[t], &mut b);
                assert_eq!(a, one[t]);
                mat_t_vec(&x, &r[t], &mut other[t]);
                assert_eq!(b, other[t]);
            }
            assert_eq!((y, g), (one, other));
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_words() {
        let mut next = stream(2);
        let (rows, d) = (101, 53);
        let x: Vec<i32> = (0..rows * d).map(|_| next() as i32).collect();
        let v: Vec<u64> = (0..d).map(|_| next()).collect();
        let r: Vec<u64> = (0..rows).map(|_| next()).collect();
        let run = |level| {
            let (mut y, mut g) = (vec![0; rows], vec![0; d]);
            rows_by_vec(level, &x, &v, &mut y);
            columns_by_vec(level, &x, &r, &mut g);
            (y, g)
        };
        let want = run(Level::Baseline);
        assert!(run(Level::Avx2) == want && run(Level::Avx512) == want);
    }
}
