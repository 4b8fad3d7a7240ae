//! Eight elements of the field of 2^255 - 19 at a time, in five limbs of 52 bits.
//!
//! Three forms, kept apart by type, so that a forgotten carry does not compile:
//!
//! | form | limbs | from | for |
//! |---|---|---|---|
//! | [`Loose`] | exact; 0 to 3 below 2^56, 4 below 2^48; so the value is below 2^256 | products | sums, differences, carries |
//! | [`Ready`] | the *low 52 bits* of each lane; what is above them was carried already | sums, differences, carries | factors |
//! | [`Tight`] | exact, below 2^52 | masked carries | anything |
//!
//! The multiplier reads the low 52 bits of its operands, so a [`Ready`] needs no mask. In builds
//! with debug assertions every operation checks its operands' bounds, lane by lane.

use super::lanes::Lanes;

const MASK52: i64 = (1 << 52) - 1;
const MASK47: i64 = (1 << 47) - 1;
/// 2^260 modulo p.
const FOLD: i64 = 608;

/// Exact limbs, somewhat too large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loose([Lanes; 5]);

/// Factors: only the low 52 bits of a lane count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready([Lanes; 5]);

/// Exact limbs below 2^52.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tight([Lanes; 5]);

/// Whether the four lower limbs have no bit from 56 on, and the top one none from 48 on.
#[inline(always)]
fn is_loose(limbs: &[Lanes; 5]) -> bool {
    let [a, b, c, d, e] = limbs;
    let low = Lanes::or(Lanes::or(*a, *b), Lanes::or(*c, *d)).right::<56>();
    Lanes::nonzero(Lanes::or(low, e.right::<48>())) == 0
}

impl Loose {
    #[inline(always)]
    fn checked(self) -> Self {
        debug_assert!(
            is_loose(&self.0),
            "a limb has more bits than its form allows"
        );
        self
    }

    /// The limbs' carries, each to the next.
    #[inline(always)]
    pub(super) fn ready(self) -> Ready {
        carry(self.checked().0)
    }

    /// The same, exact.
    #[inline(always)]
    pub(super) fn tight(self) -> Tight {
        self.ready().tight()
    }

    /// `self + o`.
    #[inline(always)]
    pub(super) fn plus(self, o: Self) -> Ready {
        let (a, b) = (self.checked().0, o.checked().0);
        carry([
            Lanes::add(a[0], b[0]),
            Lanes::add(a[1], b[1]),
            Lanes::add(a[2], b[2]),
            Lanes::add(a[3], b[3]),
            Lanes::add(a[4], b[4]),
        ])
    }

    /// `self - o + 4p`, which is never negative: a loose value is below 2^256. 4p is 2^257 - 76.
    #[inline(always)]
    pub(super) fn minus(self, o: Self) -> Ready {
        let (a, b) = (self.checked().0, o.checked().0);
        carry([
            Lanes::add(Lanes::sub(a[0], b[0]), Lanes::all(-76)),
            Lanes::sub(a[1], b[1]),
            Lanes::sub(a[2], b[2]),
            Lanes::sub(a[3], b[3]),
            Lanes::add(Lanes::sub(a[4], b[4]), Lanes::all(1 << 49)),
        ])
    }

    /// `self + k e` for a small k, below 2^18.
    #[inline(always)]
    pub(super) fn plus_multiple(self, e: Ready, k: i64) -> Self {
        debug_assert!((0..1 << 18).contains(&k));
        let (mut r, e, k) = (self.checked().0, e.0, Lanes::all(k));
        // e is below 2^258: what leaves the top limb is below 2^18
        let over = Lanes::high(Lanes::all(0), e[4], k);
        for i in 0..5 {
            r[i] = Lanes::low(r[i], e[i], k);
        }
        for i in 0..4 {
            r[i + 1] = Lanes::high(r[i + 1], e[i], k);
        }
        r[0] = Lanes::low(r[0], over, Lanes::all(FOLD));
        trim(r)
    }

    /// `b`'s lanes where the mask has a one.
    #[inline(always)]
    pub(super) fn choose(mask: u8, a: Self, b: Self) -> Self {
        Self(choose(mask, a.0, b.0))
    }

    /// The one representative in 0..p of each lane, as limbs.
    #[inline(always)]
    pub(super) fn canonical(self) -> Tight {
        // below 2^256, then below 2^255, then p taken off where it fits: v + 19 has bit 255 then
        let once = trim(self.tight().0).tight().0;
        let once = trim(once).tight().0;
        let plus = Lanes::add(once[0], Lanes::all(19));
        let over = carry([plus, once[1], once[2], once[3], once[4]]).tight().0[4].right::<47>();
        let less = Lanes::low(once[0], over, Lanes::all(19));
        let mut r = carry([less, once[1], once[2], once[3], once[4]]).tight().0;
        r[4] = Lanes::and(r[4], Lanes::all(MASK47));
        Tight(r)
    }
}

impl Ready {
    #[inline(always)]
    fn tight(self) -> Tight {
        let (r, m) = (self.0, Lanes::all(MASK52));
        Tight([
            Lanes::and(r[0], m),
            Lanes::and(r[1], m),
            Lanes::and(r[2], m),
            Lanes::and(r[3], m),
            Lanes::and(r[4], m),
        ])
    }

    /// As something to add to.
    #[inline(always)]
    pub(super) fn loose(self) -> Loose {
        trim(self.tight().0)
    }

    /// The product.
    #[inline(always)]
    pub(super) fn times(self, o: Self) -> Loose {
        let mut z = [Lanes::all(0); 10];
        for i in 0..5 {
            for j in 0..5 {
                z[i + j] = Lanes::low(z[i + j], self.0[i], o.0[j]);
            }
            for j in 0..5 {
                z[i + j + 1] = Lanes::high(z[i + j + 1], self.0[i], o.0[j]);
            }
        }
        fold(z)
    }

    /// The square.
    #[inline(always)]
    pub(super) fn squared(self) -> Loose {
        let (a, mut z) = (self.0, [Lanes::all(0); 10]);
        for i in 0..5 {
            for j in i + 1..5 {
                z[i + j] = Lanes::low(z[i + j], a[i], a[j]);
            }
            for j in i + 1..5 {
                z[i + j + 1] = Lanes::high(z[i + j + 1], a[i], a[j]);
            }
        }
        for limb in &mut z {
            *limb = Lanes::add(*limb, *limb);
        }
        for i in 0..5 {
            z[2 * i] = Lanes::low(z[2 * i], a[i], a[i]);
            z[2 * i + 1] = Lanes::high(z[2 * i + 1], a[i], a[i]);
        }
        fold(z)
    }

    /// `n` squarings, one after another.
    #[inline(always)]
    pub(super) fn squarings(self, n: usize) -> Self {
        let mut r = self;
        for _ in 0..n {
            r = r.squared().ready();
        }
        r
    }
}

impl Tight {
    /// A small number in every lane.
    #[inline(always)]
    pub(super) fn small(k: i64) -> Self {
        debug_assert!((0..1 << 47).contains(&k));
        let zero = Lanes::all(0);
        Self([Lanes::all(k), zero, zero, zero, zero])
    }

    /// Eight encoded elements; bit 255 is ignored.
    #[inline(always)]
    pub(super) fn load(points: &[[u8; 32]; 8]) -> Self {
        let mut words = [[0; 8]; 4];
        for (lane, point) in points.iter().enumerate() {
            for (word, bytes) in words.iter_mut().zip(point.as_chunks::<8>().0) {
                word[lane] = u64::from_le_bytes(*bytes);
            }
        }
        let (a, b) = (Lanes::load(&words[0]), Lanes::load(&words[1]));
        let (c, d) = (Lanes::load(&words[2]), Lanes::load(&words[3]));
        let m = Lanes::all(MASK52);
        Self([
            Lanes::and(a, m),
            Lanes::and(Lanes::or(a.right::<52>(), b.left::<12>()), m),
            Lanes::and(Lanes::or(b.right::<40>(), c.left::<24>()), m),
            Lanes::and(Lanes::or(c.right::<28>(), d.left::<36>()), m),
            Lanes::and(d.right::<16>(), Lanes::all(MASK47)),
        ])
    }

    /// The encodings; of a canonical element, the canonical ones.
    #[inline(always)]
    pub(super) fn store(self) -> [[u8; 32]; 8] {
        let r = self.0;
        let words = [
            Lanes::or(r[0], r[1].left::<52>()).store(),
            Lanes::or(r[1].right::<12>(), r[2].left::<40>()).store(),
            Lanes::or(r[2].right::<24>(), r[3].left::<28>()).store(),
            Lanes::or(r[3].right::<36>(), r[4].left::<16>()).store(),
        ];
        let mut out = [[0; 32]; 8];
        for (lane, point) in out.iter_mut().enumerate() {
            for (bytes, word) in point.as_chunks_mut::<8>().0.iter_mut().zip(&words) {
                *bytes = word[lane].to_le_bytes();
            }
        }
        out
    }

    /// As a factor.
    #[inline(always)]
    pub(super) fn ready(self) -> Ready {
        Ready(self.0)
    }

    /// As something to add to, for values below 2^256.
    #[inline(always)]
    pub(super) fn loose(self) -> Loose {
        Loose(self.0).checked()
    }

    /// A one for each lane whose limbs are not all zero.
    #[inline(always)]
    pub(super) fn nonzero(self) -> u8 {
        let [a, b, c, d, e] = self.0;
        Lanes::nonzero(Lanes::or(Lanes::or(Lanes::or(a, b), Lanes::or(c, d)), e))
    }

    /// A one for each lane whose second limb is not zero.
    #[inline(always)]
    pub(super) fn second_limb_nonzero(self) -> u8 {
        Lanes::nonzero(self.0[1])
    }
}

#[inline(always)]
fn choose(mask: u8, a: [Lanes; 5], b: [Lanes; 5]) -> [Lanes; 5] {
    [
        Lanes::choose(mask, a[0], b[0]),
        Lanes::choose(mask, a[1], b[1]),
        Lanes::choose(mask, a[2], b[2]),
        Lanes::choose(mask, a[3], b[3]),
        Lanes::choose(mask, a[4], b[4]),
    ]
}

/// Signed carries from each limb to the next. The value must be in 0..2^260.
#[inline(always)]
fn carry(limbs: [Lanes; 5]) -> Ready {
    let [a, b, c, d, e] = limbs;
    let b = Lanes::add(b, a.right_signed::<52>());
    let c = Lanes::add(c, b.right_signed::<52>());
    let d = Lanes::add(d, c.right_signed::<52>());
    let e = Lanes::add(e, d.right_signed::<52>());
    debug_assert!(
        Lanes::nonzero(e.right::<52>()) == 0,
        "a value below 0, or of 2^260 or more"
    );
    Ready([a, b, c, d, e])
}

/// Bits 255 and above, times 19, to the lowest limb.
#[inline(always)]
fn trim(limbs: [Lanes; 5]) -> Loose {
    let [a, b, c, d, e] = limbs;
    let a = Lanes::low(a, e.right::<47>(), Lanes::all(19));
    Loose([a, b, c, d, Lanes::and(e, Lanes::all(MASK47))]).checked()
}

/// Ten columns of a product, below 10 * 2^52 each: the upper five times 2^260 = 608 to the lower.
#[inline(always)]
fn fold(mut z: [Lanes; 10]) -> Loose {
    for i in 5..9 {
        z[i + 1] = Lanes::add(z[i + 1], z[i].right::<52>());
    }
    let k = Lanes::all(FOLD);
    let over = Lanes::high(Lanes::all(0), z[9], k);
    let mut r = [z[0], z[1], z[2], z[3], z[4]];
    for i in 0..5 {
        r[i] = Lanes::low(r[i], z[i + 5], k);
    }
    for i in 0..4 {
        r[i + 1] = Lanes::high(r[i + 1], z[i + 5], k);
    }
    r[0] = Lanes::low(r[0], over, k);
    trim(r)
}

#[cfg(test)]
#[path = "field_tests.rs"]
mod tests;
