//! The field GF(2^128), polynomials over GF(2) modulo `X^128 + X^7 + X^2 + X + 1`, in batches.
//!
//! An element is a `u128` whose bit `i` is the coefficient of `X^i`; a sum is an exclusive or.
//! The polynomial is that of AES-GCM (NIST SP 800-38D, section 6.3), here with bits in natural
//! order. Carry-less multiplication instructions are chosen at run time ([`Path`]); all paths give
//! the same words and none has a branch or a table index that depends on a value.

mod clmul;

/// How products are computed, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Integer multiplications of numbers with holes.
    Portable,
    /// PCLMULQDQ.
    Clmul,
    /// VPCLMULQDQ on 512-bit vectors.
    Wide,
}

impl Path {
    /// The fastest path of this machine.
    pub fn detect() -> Self {
        clmul::detect()
    }
}

/// Every fifth bit.
const HOLES: u128 = 0x2108_4210_8421_0842_1084_2108_4210_8421;

/// The 127-bit carry-less product. Bits are spread over five factors with four zeros between
/// neighbours, so that the at most 13 products meeting in a place do not reach the next one.
fn clmul64(a: u64, b: u64) -> u128 {
    let part = |x: u64, i: u32| u128::from(x) & (HOLES << i);
    let mut out = 0;
    for k in 0..5 {
        let sum = (0..5).fold(0, |sum, i| sum ^ (part(a, i) * part(b, (5 + k - i) % 5)));
        out ^= sum & (HOLES << k);
    }
    out
}

/// The product, portably.
fn mul_portable(a: u128, b: u128) -> u128 {
    let halves = |x: u128| (x as u64, (x >> 64) as u64);
    let ((a0, a1), (b0, b1)) = (halves(a), halves(b));
    let (low, high) = (clmul64(a0, b0), clmul64(a1, b1));
    let mid = clmul64(a0 ^ a1, b0 ^ b1) ^ low ^ high;
    reduce(low ^ mid << 64, high ^ mid >> 64)
}

fn reduce(low: u128, high: u128) -> u128 {
    // high X^128 = high (X^7 + X^2 + X + 1); what runs over is below X^7
    let over = high >> 127 ^ high >> 126 ^ high >> 121;
    low ^ times_poly(high) ^ times_poly(over)
}

fn times_poly(x: u128) -> u128 {
    x ^ x << 1 ^ x << 2 ^ x << 7
}

/// `a b`.
pub fn mul(a: u128, b: u128) -> u128 {
    let mut out = [0];
    add_scaled(Path::detect(), &mut out, &[a], b);
    let [out] = out;
    out
}

/// The inverse; zero for zero. `a^(2^128 - 2)` by squaring and multiplying.
pub fn invert(a: u128) -> u128 {
    let (mut out, mut square) = (1, a);
    for _ in 1..128 {
        square = mul(square, square);
        out = mul(out, square);
    }
    out
}

/// `acc[i] += xs[i] by` over the shorter of the two.
pub fn add_scaled(path: Path, acc: &mut [u128], xs: &[u128], by: u128) {
    if clmul::add_scaled(path, acc, xs, by) {
        return;
    }
    for (acc, x) in acc.iter_mut().zip(xs) {
        *acc ^= mul_portable(*x, by);
    }
}

/// `acc[i] += c_1 x + c_2 x^2 + …` at `x = xs[i]`, over the shorter of the two.
pub fn add_polynomial(path: Path, acc: &mut [u128], xs: &[u128], coefficients: &[u128]) {
    if clmul::add_polynomial(path, acc, xs, coefficients) {
        return;
    }
    for (acc, x) in acc.iter_mut().zip(xs) {
        let sum = coefficients
            .iter()
            .rev()
            .fold(0, |sum, c| mul_portable(sum ^ c, *x));
        *acc ^= sum;
    }
}

/// The universal hash `x_0 key^n + x_1 key^(n-1) + … + x_(n-1) key` of `n` elements: for two
/// different inputs chosen before the key, equal with probability at most `n / 2^128`.
pub fn hash(path: Path, key: u128, xs: &[u128]) -> u128 {
    if let Some(out) = clmul::hash(path, key, xs) {
        return out;
    }
    xs.iter().fold(0, |sum, x| mul_portable(sum ^ x, key))
}

/// `base^exponent`, in the same steps whatever the exponent.
pub fn power(base: u128, exponent: u64) -> u128 {
    let (mut out, mut square) = (1, base);
    for i in 0..u64::BITS {
        // all ones where the bit is set
        let set = (u128::from(exponent >> i & 1)).wrapping_neg();
        out = mul(out, (square & set) | (1 & !set));
        square = mul(square, square);
    }
    out
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// The reduction polynomial without its top bit.
    const POLY: u128 = 0x87;
    const PATHS: [Path; 3] = [Path::Portable, Path::Clmul, Path::Wide];

    /// Bit by bit, as the field is defined.
    fn mul_slow(a: u128, b: u128) -> u128 {
        let (mut out, mut shifted) = (0, a);
        for i in 0..128 {
            if b >> i & 1 == 1 {
                out ^= shifted;
            }
            shifted = shifted << 1 ^ if shifted >> 127 == 1 { POLY } else { 0 };
        }
        out
    }

    fn random(n: usize) -> Vec<u128> {
        let mut rng = rand::rng();
        let mut v: Vec<u128> = (0..n).map(|_| rng.random()).collect();
        for (x, edge) in v.iter_mut().zip([0, 1, u128::MAX, 1 << 127, 0x87]) {
            *x = edge;
        }
        v
    }

    /// The test case 2 of the GCM specification: its GHASH is (C H + len) H, bits reversed.
    #[test]
    fn multiplies_as_in_gcm() {
        let h = 0x66e94bd4ef8a2c3b884cfa59ca342b2e_u128.reverse_bits();
        let c = 0x0388dace60b6a392f328c2b971b2fe78_u128.reverse_bits();
        let len = 0x80_u128.reverse_bits();
        let want = 0xf38cbb1ad69223dcc3457ae5b6b0f885_u128.reverse_bits();
        for path in PATHS {
            assert_eq!(hash(path, h, &[c, len]), want, "{path:?}");
        }
    }

    #[test]
    fn all_paths_equal_the_definition() {
        for n in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 100] {
            let (xs, acc) = (random(n), random(n));
            for by in random(7) {
                let want: Vec<u128> = xs
                    .iter()
                    .zip(&acc)
                    .map(|(x, a)| a ^ mul_slow(*x, by))
                    .collect();
                let digest = xs.iter().fold(0, |s, x| mul_slow(s ^ x, by));
                let poly: Vec<u128> = xs
                    .iter()
                    .zip(&acc)
                    .map(|(x, a)| {
                        let square = mul_slow(*x, *x);
                        a ^ mul_slow(3, *x) ^ mul_slow(by, square)
                    })
                    .collect();
                for path in PATHS {
                    let mut got = acc.clone();
                    add_scaled(path, &mut got, &xs, by);
                    assert_eq!(got, want, "{path:?} {n}");
                    assert_eq!(hash(path, by, &xs), digest, "{path:?} {n}");
                    let mut got = acc.clone();
                    add_polynomial(path, &mut got, &xs, &[3, by]);
                    assert_eq!(got, poly, "{path:?} {n}");
                }
            }
        }
    }

    #[test]
    fn inverses_and_powers() {
        for x in random(20) {
            let want = if x == 0 { 0 } else { 1 };
            assert_eq!(mul(x, invert(x)), want);
            assert_eq!(power(x, 3), mul(x, mul(x, x)));
        }
        assert_eq!(power(7, 0), 1);
    }
}
