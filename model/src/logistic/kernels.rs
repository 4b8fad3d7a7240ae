//! The two loops over rows that cost: the gradient and the weighted Gram matrix.
//!
//! Rows are contiguous. Both loops are written with fixed lanes, so that the compiler vectorises
//! them; on x86-64 with AVX2 the same code is compiled a second time for it. No operation is
//! contracted or reordered, so results are the same bits either way.

// The one unsafe act of this crate: calling a function compiled for AVX2 after asking the
// processor whether it has it.
#![allow(unsafe_code)]

/// Rows per block of the Gram matrix; a block's panels stay in the second-level cache.
const BLOCK: usize = 256;
/// Columns of a left tile.
const LEFT: usize = 4;
/// Columns of a right tile.
const RIGHT: usize = 8;

/// Rows of a regression: features, and per row what enters the loss.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// [rows, columns], row-major.
    pub(super) x: &'a [f64],
    pub(super) columns: usize,
    pub(super) labels: &'a [u8],
    pub(super) weights: Option<&'a [f64]>,
    pub(super) offset: Option<&'a [f64]>,
}

impl Rows<'_> {
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    fn row(&self, i: usize) -> &[f64] {
        &self.x[i * self.columns..(i + 1) * self.columns]
    }
}

/// Compiles `$body` for the baseline and for AVX2 and calls the better one.
macro_rules! dispatch {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($arg: $ty),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has AVX2, the only feature the function needs.
                    return unsafe { with_avx2($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

dispatch! {
    /// Gradient of the weighted log loss at `params` (coefficients, then intercept) into
    /// `gradient` (same order), and per row the curvature `weight p (1 - p)` into `curvature`.
    /// Returns the loss.
    pub(super) fn gradient(rows: Rows<'_>, params: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 = gradient_body
}

dispatch! {
    /// Inner products of the rows with `coefficients`, plus `intercept`, into `out`.
    pub(super) fn margins(x: &[f64], coefficients: &[f64], intercept: f64, out: &mut [f64]) = margins_body
}

dispatch! {
    /// `sum over i of weight_i [x_i 1]' [x_i 1]` for `taken` rows evenly spread over all, both
    /// triangles, [columns + 1, columns + 1], into `out`.
    pub(super) fn gram(rows: Rows<'_>, weight: &[f64], taken: usize, out: &mut [f64]) = gram_body
}

dispatch! {
    /// Inner product.
    pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 = dot_body
}

#[inline(always)]
fn dot_body(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            lanes[k] += x[k] * y[k];
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + e) + (b + f)) + ((c + g) + (d + h)) + tail
}

#[inline(always)]
fn margins_body(x: &[f64], coefficients: &[f64], intercept: f64, out: &mut [f64]) {
    if coefficients.is_empty() {
        out.fill(intercept);
        return;
    }
    for (z, row) in out.iter_mut().zip(x.chunks_exact(coefficients.len())) {
        *z = intercept + dot_body(row, coefficients);
    }
}

/// Probability and loss at margin `z`: `1 / (1 + exp(-z))` and `ln(1 + exp(z)) - y z`.
#[inline(always)]
fn sigmoid_and_loss(z: f64, y: f64) -> (f64, f64) {
    let e = (-z.abs()).exp();
    let p = if z >= 0.0 {
        1.0 / (1.0 + e)
    } else {
        e / (1.0 + e)
    };
    (p, e.ln_1p() + z.max(0.0) - y * z)
}

#[inline(always)]
fn gradient_body(
    rows: Rows<'_>,
    params: &[f64],
    gradient: &mut [f64],
    curvature: &mut [f64],
) -> f64 {
    let d = rows.columns;
    let (coefficients, intercept) = (&params[..d], params[d]);
    gradient.fill(0.0);
    let (mut loss, mut residuals) = (0.0, 0.0);
    let mut one = |i: usize| {
        let offset = rows.offset.map_or(0.0, |o| o[i]);
        let z = dot_body(rows.row(i), coefficients) + intercept + offset;
        let (weight, y) = (
            rows.weights.map_or(1.0, |w| w[i]),
            f64::from(rows.labels[i]),
        );
        let (p, l) = sigmoid_and_loss(z, y);
        loss += weight * l;
        curvature[i] = weight * p * (1.0 - p);
        residuals += weight * (p - y);
        weight * (p - y)
    };
    // Four rows a step, so that the gradient is read and written once for four.
    let whole = rows.len() / 4 * 4;
    for i in (0..whole).step_by(4) {
        let r = [one(i), one(i + 1), one(i + 2), one(i + 3)];
        let block = &rows.x[i * d..(i + 4) * d];
        let (a, rest) = block.split_at(d);
        let (b, rest) = rest.split_at(d);
        let (c, e) = rest.split_at(d);
        for ((((g, a), b), c), e) in gradient.iter_mut().zip(a).zip(b).zip(c).zip(e) {
            *g += (r[0] * a + r[1] * b) + (r[2] * c + r[3] * e);
        }
    }
    for i in whole..rows.len() {
        let r = one(i);
        for (g, x) in gradient.iter_mut().zip(rows.row(i)) {
            *g += r * x;
        }
    }
    gradient[d] = residuals;
    loss
}

#[inline(always)]
fn gram_body(rows: Rows<'_>, weight: &[f64], taken: usize, out: &mut [f64]) {
    let (n, d) = (rows.len(), rows.columns);
    let width = d + 1;
    let padded = width.next_multiple_of(RIGHT);
    let mut sum = vec![0.0; padded * padded];
    // Panels: tile by tile, then row by row, so that a tile's rows are contiguous.
    let mut left = vec![0.0; padded * BLOCK];
    let mut right = vec![0.0; padded * BLOCK];
    for first in (0..taken).step_by(BLOCK) {
        let count = BLOCK.min(taken - first);
        for k in 0..count {
            let i = (first + k) * n / taken;
            let (row, v) = (rows.row(i), weight[i]);
            for (t, tile) in row.chunks(RIGHT).enumerate() {
                let to = (t * BLOCK + k) * RIGHT;
                right[to..to + tile.len()].copy_from_slice(tile);
            }
            for (t, tile) in row.chunks(LEFT).enumerate() {
                let to = (t * BLOCK + k) * LEFT;
                for (slot, x) in left[to..to + tile.len()].iter_mut().zip(tile) {
                    *slot = v * x;
                }
            }
            right[(d / RIGHT * BLOCK + k) * RIGHT + d % RIGHT] = 1.0;
            left[(d / LEFT * BLOCK + k) * LEFT + d % LEFT] = v;
        }
        for tl in 0..padded / LEFT {
            let a = &left[tl * BLOCK * LEFT..][..count * LEFT];
            for tr in tl * LEFT / RIGHT..padded / RIGHT {
                let b = &right[tr * BLOCK * RIGHT..][..count * RIGHT];
                let product = tile_product(a, b);
                for (p, line) in product.iter().enumerate() {
                    let to = (tl * LEFT + p) * padded + tr * RIGHT;
                    for (s, v) in sum[to..to + RIGHT].iter_mut().zip(line) {
                        *s += v;
                    }
                }
            }
        }
    }
    for i in 0..width {
        for j in i..width {
            out[i * width + j] = sum[i * padded + j];
            out[j * width + i] = sum[i * padded + j];
        }
    }
}

/// `a' b` of two tiles with the same rows; 32 sums kept in registers.
#[inline(always)]
fn tile_product(a: &[f64], b: &[f64]) -> [[f64; RIGHT]; LEFT] {
    let mut sum = [[0.0; RIGHT]; LEFT];
    for (a, b) in a.chunks_exact(LEFT).zip(b.chunks_exact(RIGHT)) {
        for p in 0..LEFT {
            for q in 0..RIGHT {
                sum[p][q] += a[p] * b[q];
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
            })
            .collect()
    }

    #[test]
    fn kernels_equal_their_definitions_for_every_remainder() {
        for (n, d) in [
            (1, 1),
            (5, 3),
            (257, 7),
            (600, 8),
            (513, 17),
            (300, 31),
            (7, 0),
        ] {
            let x = numbers(n * d, 3);
            let labels: Vec<u8> = numbers(n, 4).iter().map(|v| u8::from(*v > 0.0)).collect();
            let weights: Vec<f64> = numbers(n, 5).iter().map(|v| v.abs()).collect();
            let offset = numbers(n, 6);
            let params = numbers(d + 1, 7);
            let rows = Rows {
                x: &x,
                columns: d,
                labels: &labels,
                weights: Some(&weights),
                offset: Some(&offset),
            };
            let (mut g, mut v) = (vec![0.0; d + 1], vec![0.0; n]);
            let loss = gradient(rows, &params, &mut g, &mut v);
            let (mut want_g, mut want_loss) = (vec![0.0; d + 1], 0.0);
            let mut want_h = vec![0.0; (d + 1) * (d + 1)];
            for i in 0..n {
                let row: Vec<f64> = x[i * d..(i + 1) * d].iter().copied().chain([1.0]).collect();
                let z: f64 = row.iter().zip(&params).map(|(a, b)| a * b).sum::<f64>() + offset[i];
                let p = 1.0 / (1.0 + (-z).exp());
                let y = f64::from(labels[i]);
                want_loss -= weights[i] * (y * p.ln() + (1.0 - y) * (1.0 - p).ln());
                for j in 0..=d {
                    want_g[j] += weights[i] * (p - y) * row[j];
                    for k in 0..=d {
                        want_h[j * (d + 1) + k] += weights[i] * p * (1.0 - p) * row[j] * row[k];
                    }
                }
            }
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-10, "{n} x {d}: {a} {b}");
            near(loss, want_loss);
            g.iter().zip(&want_g).for_each(|(a, b)| near(*a, *b));
            let mut h = vec![0.0; (d + 1) * (d + 1)];
            gram(rows, &v, n, &mut h);
            h.iter().zip(&want_h).for_each(|(a, b)| near(*a, *b));
            let mut z = vec![0.0; n];
            margins(&x, &params[..d], params[d], &mut z);
            for i in 0..n {
                let want: f64 = x[i * d..(i + 1) * d]
                    .iter()
                    .zip(&params)
                    .map(|(a, b)| a * b)
                    .sum();
                near(z[i], want + params[d]);
            }
        }
    }

    #[test]
    fn a_subsample_is_spread_evenly() {
        let x: Vec<f64> = (0..100).map(f64::from).collect();
        let rows = Rows {
            x: &x,
            columns: 1,
            labels: &[0; 100],
            weights: None,
            offset: None,
        };
        let mut h = [0.0; 4];
        gram(rows, &[1.0; 100], 10, &mut h);
        // Rows 0, 10, .., 90.
        assert_eq!(h, [28_500.0, 450.0, 450.0, 10.0]);
    }

    #[test]
    fn both_builds_give_the_same_bits() {
        let (a, b) = (numbers(1003, 1), numbers(1003, 2));
        assert_eq!(dot(&a, &b).to_bits(), dot_body(&a, &b).to_bits());
        let rows = Rows {
            x: &a[..1000],
            columns: 20,
            labels: &[1; 50],
            weights: None,
            offset: None,
        };
        let (mut with, mut without) = (vec![0.0; 441], vec![0.0; 441]);
        gram(rows, &b[..50], 50, &mut with);
        gram_body(rows, &b[..50], 50, &mut without);
        assert_eq!(with, without);
    }
}
