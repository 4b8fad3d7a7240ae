//! The curve v^2 = u^3 + 486662 u^2 + u on eight lanes, by u = X / Z.

use super::field::{Loose, Ready, Tight};

/// The curve's coefficient.
const A: i64 = 486_662;
/// (A + 2) / 4.
const A24: i64 = 121_666;
/// Vectors of eight that share an inversion.
const VECTORS: usize = 32;
/// Points that share an inversion.
pub(super) const GROUP: usize = 8 * VECTORS;

/// u = X / Z, or the point at infinity where Z is 0.
#[derive(Clone, Copy)]
struct Point {
    x: Loose,
    z: Loose,
}

/// At most [`GROUP`] points (or field elements to be mapped to points), times the clamped scalar.
#[inline(always)]
pub(super) fn multiply_group(
    scalar: &[u8; 32],
    input: &[[u8; 32]],
    out: &mut [[u8; 32]],
    map: bool,
) {
    let zero = Tight::small(0).loose();
    let mut points = [Point { x: zero, z: zero }; VECTORS];
    let used = input.len().min(out.len()).div_ceil(8).min(VECTORS);
    for (point, bytes) in points.iter_mut().zip(input.chunks(8)) {
        let mut eight = [[0; 32]; 8];
        for (to, from) in eight.iter_mut().zip(bytes) {
            *to = *from;
        }
        let element = Tight::load(&eight);
        if map {
            *point = elligator(element);
            for _ in 0..3 {
                *point = doubled(point); // clears the cofactor
            }
        } else {
            *point = Point {
                x: element.loose(),
                z: Tight::small(1).loose(),
            };
        }
        zeroize::Zeroize::zeroize(&mut eight);
    }
    if map {
        divide(&mut points, used);
    }
    for point in points.iter_mut().take(used) {
        *point = ladder(scalar, point.x.tight());
    }
    divide(&mut points, used);
    for (point, out) in points.iter().zip(out.chunks_mut(8)).take(used) {
        for (to, from) in out.iter_mut().zip(point.x.canonical().store()) {
            *to = from;
        }
    }
}

/// Elligator 2: with d = 1 + 2r^2, u = -A/d if that is on the curve and A/d - A if not.
#[inline(always)]
fn elligator(r: Tight) -> Point {
    let one = Tight::small(1).loose();
    let r2 = r.ready().squared();
    let d = r2.plus(r2).loose().plus(one).loose();
    let rest = one.minus(d).loose();
    // the curve's right side at -A/d, times d^4: -A d (A^2 (1 - d) + d^2)
    let a = Tight::small(A).ready();
    let minus_a = Tight::small(0).loose().minus(Tight::small(A).loose());
    let a_rest = a.times(rest.ready());
    let sum = a.times(a_rest.ready()).plus(d.ready().squared());
    let right = sum.times(d.ready()).ready().times(minus_a);
    // to the (p - 1) / 2: 0 or 1, or p - 1 for what is no square, which alone has a second limb
    let character = character(right.ready()).canonical();
    let no_square = character.second_limb_nonzero();
    Point {
        x: Loose::choose(no_square, minus_a.loose(), a_rest),
        z: d,
    }
}

/// Twice the point.
#[inline(always)]
fn doubled(p: &Point) -> Point {
    let aa = p.x.plus(p.z).squared();
    let bb = p.x.minus(p.z).squared();
    let e = aa.minus(bb);
    Point {
        x: aa.ready().times(bb.ready()),
        z: e.times(bb.plus_multiple(e, A24).ready()),
    }
}

/// The Montgomery ladder of RFC 7748: the scalar's bits from the top, the same work for each.
#[inline(always)]
fn ladder(scalar: &[u8; 32], u: Tight) -> Point {
    let (zero, one) = (Tight::small(0).loose(), Tight::small(1).loose());
    let (mut x2, mut z2, mut x3, mut z3) = (one, zero, u.loose(), one);
    let u = u.ready();
    let mut swapped = 0u8;
    for byte in (0..32).rev() {
        let bits = scalar[byte];
        for bit in (0..8).rev() {
            if byte == 31 && bit == 7 {
                continue; // clamped away, whatever the scalar
            }
            let mask = 0u8.wrapping_sub(bits >> bit & 1);
            swap(mask ^ swapped, &mut x2, &mut x3);
            swap(mask ^ swapped, &mut z2, &mut z3);
            swapped = mask;

            let (a, b) = (x2.plus(z2), x2.minus(z2));
            let (c, d) = (x3.plus(z3), x3.minus(z3));
            let (aa, bb) = (a.squared(), b.squared());
            let (da, cb) = (d.times(a), c.times(b));
            let e = aa.minus(bb);
            x2 = aa.ready().times(bb.ready());
            z2 = e.times(bb.plus_multiple(e, A24).ready());
            x3 = da.plus(cb).squared();
            z3 = u.times(da.minus(cb).squared().ready());
        }
    }
    swap(swapped, &mut x2, &mut x3);
    swap(swapped, &mut z2, &mut z3);
    Point { x: x2, z: z2 }
}

#[inline(always)]
fn swap(mask: u8, a: &mut Loose, b: &mut Loose) {
    let first = Loose::choose(mask, *a, *b);
    *b = Loose::choose(mask, *b, *a);
    *a = first;
}

/// x becomes X / Z of each, 0 where Z is 0; z becomes 1. One inversion for all.
#[inline(always)]
fn divide(points: &mut [Point; VECTORS], used: usize) {
    let (zero, one) = (Tight::small(0).loose(), Tight::small(1).loose());
    let mut before = [one; VECTORS];
    let mut present = [0u8; VECTORS];
    let mut all = one;
    for i in 0..used {
        present[i] = points[i].z.canonical().nonzero();
        points[i].z = Loose::choose(present[i], one, points[i].z);
        before[i] = all;
        all = all.ready().times(points[i].z.ready());
    }
    let mut inverse = inverted(all.ready());
    for i in (0..used).rev() {
        let own = inverse.ready().times(before[i].ready());
        inverse = inverse.ready().times(points[i].z.ready());
        let x = points[i].x.ready().times(own.ready());
        points[i] = Point {
            x: Loose::choose(present[i], zero, x),
            z: one,
        };
    }
}

/// z^(2^250 - 1) and z^11.
#[inline(always)]
fn power250(z: Ready) -> (Ready, Ready) {
    let z2 = z.squared().ready();
    let z9 = z2.squarings(2).times(z).ready();
    let z11 = z9.times(z2).ready();
    let to5 = z11.squared().ready().times(z9).ready();
    let to10 = to5.squarings(5).times(to5).ready();
    let to20 = to10.squarings(10).times(to10).ready();
    let to40 = to20.squarings(20).times(to20).ready();
    let to50 = to40.squarings(10).times(to10).ready();
    let to100 = to50.squarings(50).times(to50).ready();
    let to200 = to100.squarings(100).times(to100).ready();
    (to200.squarings(50).times(to50).ready(), z11)
}

/// z^(p - 2).
#[inline(always)]
fn inverted(z: Ready) -> Loose {
    let (power, z11) = power250(z);
    power.squarings(5).times(z11)
}

/// z^((p - 1) / 2); (p - 1) / 2 = (2^250 - 1) * 16 + 6.
#[inline(always)]
fn character(z: Ready) -> Loose {
    let (power, _) = power250(z);
    let z2 = z.squared().ready();
    let z6 = z2.squared().ready().times(z2).ready();
    power.squarings(4).times(z6)
}
