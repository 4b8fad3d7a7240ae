//! Against schoolbook arithmetic on four words, at the very bounds of each form.

use proptest::prelude::*;

use super::*;
use crate::curve25519::ifma::is_available;

/// An element of 0..p in four words, least first.
type Element = [u64; 4];
const P: Element = [u64::MAX - 18, u64::MAX, u64::MAX, u64::MAX >> 1];

/// Any number of words modulo p.
fn reduced(words: &[u64]) -> Element {
    let mut r = [0u64; 4];
    for bit in (0..64 * words.len()).rev() {
        // r = 2r + bit, p taken off where it fits
        let carry = (words[bit / 64] >> (bit % 64)) & 1;
        for i in (0..4).rev() {
            r[i] = r[i] << 1 | if i > 0 { r[i - 1] >> 63 } else { carry };
        }
        if r.iter().rev().ge(P.iter().rev()) {
            let mut borrow = false;
            for (x, p) in r.iter_mut().zip(P) {
                let (y, first) = x.overflowing_sub(p);
                let (y, second) = y.overflowing_sub(borrow.into());
                (*x, borrow) = (y, first || second);
            }
        }
    }
    r
}

fn product(a: Element, b: Element) -> Element {
    let mut wide = [0u64; 8];
    for (i, x) in a.iter().enumerate() {
        let mut carry = 0u128;
        for (j, y) in b.iter().enumerate() {
            let sum = u128::from(*x) * u128::from(*y) + u128::from(wide[i + j]) + carry;
            wide[i + j] = sum as u64;
            carry = sum >> 64;
        }
        wide[i + 4] = carry as u64;
    }
    reduced(&wide)
}

fn sum(a: Element, b: Element, times: u64) -> Element {
    let mut wide = [0u64; 5];
    let mut carry = 0u128;
    for i in 0..4 {
        let s = u128::from(a[i]) + u128::from(b[i]) * u128::from(times) + carry;
        wide[i] = s as u64;
        carry = s >> 64;
    }
    wide[4] = carry as u64;
    reduced(&wide)
}

fn negative(a: Element) -> Element {
    // p - 1 times a
    product([P[0] - 1, P[1], P[2], P[3]], a)
}

/// The value of limbs that may overlap.
fn value(limbs: [u64; 5]) -> Element {
    let mut wide = [0u64; 6];
    for (i, limb) in limbs.into_iter().enumerate() {
        let at = 52 * i;
        let mut carry = u128::from(limb) << (at % 64);
        for word in &mut wide[at / 64..] {
            let s = u128::from(*word) + (carry & u128::from(u64::MAX));
            *word = s as u64;
            carry = (carry >> 64) + (s >> 64);
        }
    }
    reduced(&wide)
}

fn of(limbs: [u64; 5]) -> [Lanes; 5] {
    limbs.map(|l| Lanes::load(&[l; 8]))
}

fn read(x: Tight) -> Element {
    let bytes = x.store();
    assert!(bytes.iter().all(|b| *b == bytes[0]), "lanes differ");
    let mut words = [0; 4];
    for (w, b) in words.iter_mut().zip(bytes[0].as_chunks::<8>().0) {
        *w = u64::from_le_bytes(*b);
    }
    words
}

/// Limbs of a loose value, biased towards the bounds: products give at most 11 * 2^52 and a carry.
fn loose() -> impl Strategy<Value = [u64; 5]> {
    let limb = |most: u64| prop_oneof![Just(0), Just(most), Just(most / 2 + 1), 0..=most];
    let low = 11 * (1 << 52) + (1 << 20);
    (
        limb(low),
        limb(low),
        limb(low),
        limb(low),
        limb(MASK47 as u64),
    )
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e])
}

proptest! {
    #[test]
    fn operations_are_those_of_the_field(a in loose(), b in loose()) {
        if !is_available() {
            return Ok(());
        }
        let (x, y) = (Loose(of(a)), Loose(of(b)));
        let (va, vb) = (value(a), value(b));
        prop_assert_eq!(read(x.canonical()), va);
        prop_assert_eq!(read(x.plus(y).loose().canonical()), sum(va, vb, 1));
        prop_assert_eq!(read(x.minus(y).loose().canonical()), sum(va, negative(vb), 1));
        prop_assert_eq!(read(x.ready().times(y.ready()).canonical()), product(va, vb));
        prop_assert_eq!(read(x.ready().squared().canonical()), product(va, va));
        // the widest factors there are: sums and differences
        let (s, d) = (x.plus(y), x.minus(y));
        let (vs, vd) = (sum(va, vb, 1), sum(va, negative(vb), 1));
        prop_assert_eq!(read(s.times(d).canonical()), product(vs, vd));
        prop_assert_eq!(read(s.squared().canonical()), product(vs, vs));
        prop_assert_eq!(read(d.squared().canonical()), product(vd, vd));
        prop_assert_eq!(read(x.plus_multiple(d, 121_666).canonical()), sum(va, vd, 121_666));
        prop_assert_eq!(read(x.plus_multiple(s, (1 << 18) - 1).canonical()), sum(va, vs, (1 << 18) - 1));
    }
}

#[test]
fn numbers_around_p_are_reduced() {
    if !is_available() {
        return;
    }
    for k in 0..38u8 {
        // 2^255 - 38 + k, in bytes
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xff - 37 + k, 0x7f);
        let mut words = [u64::MAX, u64::MAX, u64::MAX, u64::MAX >> 1];
        words[0] = u64::MAX - 37 + u64::from(k);
        let got = Tight::load(&[bytes; 8]).loose().canonical();
        assert_eq!(read(got), reduced(&words), "{k}");
    }
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "more bits than")]
fn a_limb_beyond_its_bound_is_noticed() {
    if !is_available() {
        panic!("more bits than this processor can show");
    }
    let _ = Loose(of([1 << 57, 0, 0, 0, 0])).ready();
}
