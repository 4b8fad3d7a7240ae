//! Dense matrix products over Z_2^64 and over f64, in tiles of 8 by 24 numbers that stay in
//! registers.
//!
//! Both factors are first packed into panels that are read front to back: 8 columns of the left one,
//! up to 24 of the right one, zero beyond the edge. Packing is the usual scheme of dense products
//! (Goto and van de Geijn, ACM TOMS 34(3), 2008, section 5).

mod tile;

use rayon::prelude::*;

use self::tile::MR;
use crate::simd::Level;

/// A number that tiles are made of.
pub trait Number: Copy + Send + Sync + Default {
    /// `self + a b`; wrapping in the ring, rounded twice in f64.
    fn plus_product(self, a: Self, b: Self) -> Self;
    /// `self + a`.
    fn plus(self, a: Self) -> Self;
    /// `acc[i][p][j] += sum over l of left[l][i] right[l][p][j]`, with the widest vectors up to
    /// `level`.
    fn tile<const P: usize>(
        level: Level,
        left: &[[Self; MR]],
        right: &[[[Self; 8]; P]],
        acc: &mut [[[Self; 8]; P]; MR],
    );
}

impl Number for u64 {
    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }

    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self.wrapping_add(a)
    }

    fn tile<const P: usize>(
        level: Level,
        left: &[[Self; MR]],
        right: &[[[Self; 8]; P]],
        acc: &mut [[[Self; 8]; P]; MR],
    ) {
        tile::words(level, left, right, acc);
    }
}

impl Number for f64 {
    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        self + a * b
    }

    #[inline(always)]
    fn plus(self, a: Self) -> Self {
        self + a
    }

    fn tile<const P: usize>(
        level: Level,
        left: &[[Self; MR]],
        right: &[[[Self; 8]; P]],
        acc: &mut [[[Self; 8]; P]; MR],
    ) {
        tile::floats(level, left, right, acc);
    }
}

/// A matrix entry that becomes a number without loss.
pub trait Entry<N>: Copy + Send + Sync {
    /// The entry as a number.
    fn lift(self) -> N;
}

impl<N: Number> Entry<N> for N {
    #[inline(always)]
    fn lift(self) -> N {
        self
    }
}

impl Entry<u64> for i16 {
    #[inline(always)]
    fn lift(self) -> u64 {
        i64::from(self) as u64
    }
}

impl Entry<u64> for i32 {
    #[inline(always)]
    fn lift(self) -> u64 {
        // sign extension is what embeds the integers in the ring
        i64::from(self) as u64
    }
}

/// Most columns of a tile; narrower ones close the last panel.
const NR: usize = 24;
/// Length of the inner sums between two visits of the output: panels of this length stay in the cache.
const INNER: usize = 128;
/// Rows handled per task when the sum runs over rows.
const TALL: usize = 2048;
/// Rows handled per task when every row gives one.
const FLAT: usize = 64;

/// Panels of the right factor, `[inner, k]` row-major.
struct Right<N> {
    numbers: Vec<N>,
    inner: usize,
    k: usize,
}

/// The columns of the panel that starts at column `at`.
fn width(k: usize, at: usize) -> usize {
    match k - at {
        0..=8 => 8,
        9..=16 => 16,
        _ => NR,
    }
}

impl<N: Number> Right<N> {
    fn pack(&mut self, v: &[N]) {
        self.inner = v.len() / self.k;
        self.numbers.clear();
        let mut at = 0;
        while at < self.k {
            let w = width(self.k, at);
            let have = w.min(self.k - at);
            for row in v.chunks_exact(self.k) {
                self.numbers.extend_from_slice(&row[at..at + have]);
                self.numbers
                    .resize(self.numbers.len() + w - have, N::default());
            }
            at += w;
        }
    }

    /// `out += Aᵀ V` for a packed left panel of 8 columns; `out` has `rows` rows of `k` numbers. Panels
    /// that end before column `from` are left out.
    fn multiply(&self, level: Level, left: &[N], out: &mut [N], rows: usize, from: usize) {
        let (mut at, mut panel) = (0, &self.numbers[..]);
        while at < self.k {
            let w = width(self.k, at);
            let (here, rest) = panel.split_at(self.inner * w);
            let out = &mut out[at..];
            match w {
                _ if at + w <= from => {}
                8 => add_tile::<N, 1>(level, left, here, out, self.k, rows),
                16 => add_tile::<N, 2>(level, left, here, out, self.k, rows),
                _ => add_tile::<N, 3>(level, left, here, out, self.k, rows),
            }
            panel = rest;
            at += w;
        }
    }
}

/// One tile: `out[i][j] += sum_l left[l][i] right[l][j]`, for the first `rows` i and the columns
/// that there are.
fn add_tile<N: Number, const P: usize>(
    level: Level,
    left: &[N],
    right: &[N],
    out: &mut [N],
    stride: usize,
    rows: usize,
) {
    let mut acc = [[[N::default(); 8]; P]; MR];
    let right = right.as_chunks::<8>().0.as_chunks::<P>().0;
    N::tile(level, left.as_chunks::<MR>().0, right, &mut acc);
    for (out, acc) in out.chunks_mut(stride).zip(&acc).take(rows) {
        for (o, a) in out.iter_mut().zip(acc.as_flattened()) {
            *o = o.plus(*a);
        }
    }
}

/// `g += Xᵀ R` for a block of rows; on and above the diagonal only where `upper` says so.
fn tall<N: Number, T: Entry<N>>(
    level: Level,
    x: &[T],
    d: usize,
    r: &[N],
    k: usize,
    g: &mut [N],
    upper: bool,
) {
    let mut left = Vec::with_capacity(INNER * MR);
    let mut right = Right {
        numbers: Vec::with_capacity(INNER * k.next_multiple_of(8)),
        inner: 0,
        k,
    };
    for (x, r) in x.chunks(INNER * d).zip(r.chunks(INNER * k)) {
        right.pack(r);
        for (j, g) in (0..d).step_by(MR).zip(g.chunks_mut(MR * k)) {
            let have = MR.min(d - j);
            left.clear();
            for row in x.chunks_exact(d) {
                for a in &row[j..j + have] {
                    left.push(a.lift());
                }
                left.resize(left.len() + MR - have, N::default());
            }
            right.multiply(level, &left, g, have, if upper { j } else { 0 });
        }
    }
}

/// `y += X V` for a block of rows.
fn flat<N: Number, T: Entry<N>>(
    level: Level,
    x: &[T],
    inner: usize,
    v: &[N],
    k: usize,
    y: &mut [N],
) {
    let mut left = vec![N::default(); INNER.min(inner) * MR];
    let mut right = Right {
        numbers: Vec::with_capacity(INNER.min(inner) * k.next_multiple_of(8)),
        inner: 0,
        k,
    };
    for (at, v) in (0..inner).step_by(INNER).zip(v.chunks(INNER * k)) {
        right.pack(v);
        for (x, y) in x.chunks(MR * inner).zip(y.chunks_mut(MR * k)) {
            let have = x.len() / inner;
            let left = &mut left[..right.inner * MR];
            left.fill(N::default());
            for (i, row) in x.chunks_exact(inner).enumerate() {
                for (left, a) in left.chunks_exact_mut(MR).zip(&row[at..at + right.inner]) {
                    left[i] = a.lift();
                }
            }
            right.multiply(level, left, y, have, 0);
        }
    }
}

/// `Y += X V`, with `x: [rows, inner]`, `v: [inner, k]`, `y: [rows, k]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn product<N: Number, T: Entry<N>>(x: &[T], inner: usize, v: &[N], k: usize, y: &mut [N]) {
    assert_eq!(v.len(), inner * k, "V is [inner, k]");
    if inner == 0 || k == 0 {
        return;
    }
    assert_eq!(x.len() / inner * k, y.len(), "Y is [rows, k]");
    let level = Level::detect();
    y.par_chunks_mut(FLAT * k)
        .zip(x.par_chunks(FLAT * inner))
        .for_each(|(y, x)| flat(level, x, inner, v, k, y));
}

/// `G += Xᵀ R`, with `x: [rows, d]`, `r: [rows, k]`, `g: [d, k]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn transposed_product<N: Number, T: Entry<N>>(
    x: &[T],
    d: usize,
    r: &[N],
    k: usize,
    g: &mut [N],
) {
    over_rows(x, d, r, k, g, false);
}

/// `G += Xᵀ R` where `Xᵀ R` is symmetric, as with `R = diag(v) X`: a third less work. All shapes are
/// `[rows, d]` and `[d, d]`.
///
/// # Panics
/// If the lengths do not agree.
pub fn symmetric_product<N: Number, T: Entry<N>>(x: &[T], d: usize, r: &[N], g: &mut [N]) {
    let mut upper = vec![N::default(); d * d];
    over_rows(x, d, r, d, &mut upper, true);
    for i in 0..d {
        for j in 0..d {
            let at = i.min(j) * d + i.max(j);
            g[i * d + j] = g[i * d + j].plus(upper[at]);
        }
    }
}

fn over_rows<N: Number, T: Entry<N>>(
    x: &[T],
    d: usize,
    r: &[N],
    k: usize,
    g: &mut [N],
    upper: bool,
) {
    assert_eq!(g.len(), d * k, "G is [d, k]");
    if d == 0 || k == 0 {
        return;
    }
    assert_eq!(x.len() / d * k, r.len(), "R is [rows, k]");
    let level = Level::detect();
    let zeros = || vec![N::default(); d * k];
    let add = |mut a: Vec<N>, b: Vec<N>| {
        a.iter_mut().zip(&b).for_each(|(a, b)| *a = a.plus(*b));
        a
    };
    let sum = r
        .par_chunks(TALL * k)
        .zip(x.par_chunks(TALL * d))
        .map(|(r, x)| {
            let mut g = zeros();
            tall(level, x, d, r, k, &mut g, upper);
            g
        })
        .reduce(zeros, add);
    g.iter_mut().zip(&sum).for_each(|(g, s)| *g = g.plus(*s));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naive(x: &[f64], rows: usize, d: usize, v: &[f64], k: usize) -> Vec<f64> {
        let mut y = vec![0.0; rows * k];
        for i in 0..rows {
            for j in 0..d {
                for l in 0..k {
                    y[i * k + l] += x[i * d + j] * v[j * k + l];
                }
            }
        }
        y
    }

    #[test]
    fn products_of_floats_equal_the_definition() {
        for (rows, d, k) in [(1, 1, 1), (9, 3, 2), (300, 17, 50), (131, 150, 25)] {
            // whole numbers, so that no order of the sum rounds
            let x: Vec<f64> = (0..rows * d).map(|i| (i % 13) as f64 - 6.0).collect();
            let v: Vec<f64> = (0..d * k).map(|i| (i % 7) as f64 - 3.0).collect();
            let r: Vec<f64> = (0..rows * k).map(|i| (i % 11) as f64 - 5.0).collect();
            let mut y = vec![0.0; rows * k];
            product(&x, d, &v, k, &mut y);
            assert_eq!(y, naive(&x, rows, d, &v, k));
            let t: Vec<f64> = (0..d * rows).map(|i| x[i % rows * d + i / rows]).collect();
            let mut g = vec![0.0; d * k];
            transposed_product(&x, d, &r, k, &mut g);
            assert_eq!(g, naive(&t, d, rows, &r, k));
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_words() {
        let mut s = 7u64;
        let mut next = || {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            s ^ (s >> 29)
        };
        let (rows, d, k) = (301, 53, 37);
        let x: Vec<i32> = (0..rows * d).map(|_| next() as i32).collect();
        let v: Vec<u64> = (0..d * k).map(|_| next()).collect();
        let r: Vec<u64> = (0..rows * k).map(|_| next()).collect();
        let run = |level| {
            let (mut y, mut g) = (vec![0; rows * k], vec![0; d * k]);
            flat(level, &x, d, &v, k, &mut y);
            tall(level, &x, d, &r, k, &mut g, false);
            (y, g)
        };
        let want = run(Level::Baseline);
        assert!(run(Level::Avx2) == want && run(Level::Avx512) == want);
    }
}
