//! The field of integers modulo p = 2^61 - 1. Elements are words below p.

use crate::prg::{Label, Prg};

/// The prime.
pub const P: u64 = (1 << 61) - 1;

/// Below 2^122 + 2^122, modulo p.
pub fn reduce(x: u128) -> u64 {
    const MASK: u128 = P as u128;
    let folded = (x & MASK) + (x >> 61);
    let folded = (folded & MASK) as u64 + (folded >> 61) as u64;
    if folded >= P { folded - P } else { folded }
}

/// a + b.
pub fn add(a: u64, b: u64) -> u64 {
    let sum = a + b;
    if sum >= P { sum - P } else { sum }
}

/// a - b.
pub fn sub(a: u64, b: u64) -> u64 {
    if a >= b { a - b } else { a + P - b }
}

/// a b.
pub fn mul(a: u64, b: u64) -> u64 {
    reduce(u128::from(a) * u128::from(b))
}

/// 1 / a, and 0 for 0.
pub fn inverse(a: u64) -> u64 {
    // a^(p - 2)
    let (mut power, mut result, mut rest) = (a, 1, P - 2);
    while rest > 0 {
        if rest & 1 == 1 {
            result = mul(result, power);
        }
        power = mul(power, power);
        rest >>= 1;
    }
    result
}

/// Σ a b over the shorter of both.
pub fn dot(a: &[u64], b: &[u64]) -> u64 {
    let (mut total, len) = (0, a.len().min(b.len()));
    // 32 products of 122 bits fit
    for (a, b) in a[..len].chunks(32).zip(b[..len].chunks(32)) {
        let part: u128 = a
            .iter()
            .zip(b)
            .map(|(a, b)| u128::from(*a) * u128::from(*b))
            .sum();
        total = add(total, reduce_any(part));
    }
    total
}

/// Any 128 bits, modulo p.
fn reduce_any(x: u128) -> u64 {
    reduce((x & ((1 << 122) - 1)) + (x >> 122))
}

/// A signed integer in the field.
pub fn of_signed(x: i64) -> u64 {
    let size = reduce(u128::from(x.unsigned_abs()));
    if x < 0 && size != 0 { P - size } else { size }
}

/// The integer of least magnitude that an element stands for.
pub fn to_signed(x: u64) -> i64 {
    match x > P / 2 {
        true => -((P - x) as i64),
        false => x as i64,
    }
}

/// An element from 16 uniform bytes, uniform to within 2^-67.
pub fn uniform([a, b]: [u64; 2]) -> u64 {
    reduce((u128::from(a) << 58) ^ u128::from(b))
}

/// Elements from number `position` on of a stream of uniform ones, each from two words.
pub fn each_of(
    stream: &Prg,
    label: Label,
    position: u64,
    out: &mut [u64],
    f: impl Fn(&mut u64, u64),
) {
    let mut words = zeroize::Zeroizing::new([0u64; 1024]);
    for (out, at) in out.chunks_mut(512).zip((2 * position..).step_by(1024)) {
        let words = &mut words[..2 * out.len()];
        stream.fill(label, at, words);
        let (pairs, _) = words.as_chunks::<2>();
        out.iter_mut()
            .zip(pairs)
            .for_each(|(o, pair)| f(o, uniform(*pair)));
    }
}

/// The first `len` elements of a stream of uniform ones.
pub fn elements(stream: &Prg, label: Label, len: usize) -> Vec<u64> {
    let mut out = vec![0; len];
    each_of(stream, label, 0, &mut out, |o, e| *o = e);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_modulo_the_prime() {
        let p = u128::from(P);
        for x in [
            0,
            1,
            p - 1,
            p,
            p + 1,
            2 * p,
            p * p - 1,
            (p - 1) * (p - 1) + p - 1,
        ] {
            assert_eq!(u128::from(reduce(x)), x % p, "{x}");
        }
        for x in [u128::MAX, 1 << 122, (1 << 127) + 5] {
            assert_eq!(u128::from(reduce_any(x)), x % p, "{x}");
        }
        let some = [0, 1, 2, 12_345, P / 2, P / 2 + 1, P - 2, P - 1];
        for a in some {
            assert_eq!(of_signed(to_signed(a)), a);
            assert_eq!(mul(a, inverse(a)), u64::from(a != 0));
            for b in some {
                assert_eq!(u128::from(add(a, b)), (u128::from(a) + u128::from(b)) % p);
                assert_eq!(add(sub(a, b), b), a);
                assert_eq!(u128::from(mul(a, b)), u128::from(a) * u128::from(b) % p);
            }
        }
        assert_eq!(of_signed(-1), P - 1);
        assert_eq!(
            of_signed(i64::MIN),
            sub(0, add(of_signed(1 << 62), of_signed(1 << 62)))
        );
        assert!((0..64).all(|i| uniform([u64::MAX << i, !0]) < P));
    }

    #[test]
    fn products_add_up_and_streams_can_be_entered_anywhere() {
        let stream = Prg::new(&[3; 32]);
        let label = Label::request(4, 0);
        let a = elements(&stream, label, 1500);
        assert!(a.iter().all(|e| *e < P));
        let b: Vec<u64> = (0..1500).map(|i| P - 1 - i).collect();
        let one_by_one = a.iter().zip(&b).fold(0, |s, (a, b)| add(s, mul(*a, *b)));
        assert_eq!(dot(&a, &b), one_by_one);
        let mut part = vec![0; 700];
        each_of(&stream, label, 611, &mut part, |o, e| *o = e);
        assert_eq!(part, a[611..1311]);
    }
}
