//! An expand-convolute code: the public linear map from `2 m` elements to `m`.
//!
//! With `x = (y, z)`, `y` and `z` of `m` elements each: `z` is convolved twice and expanded, `y` is added.
//!
//! - *Convolve*: element by element, from the first on, each is added to a random choice of the
//!   [`WINDOW`] elements after it and always to the one after those; what runs over the end is added at the
//!   front.
//! - *Expand*: each output is the sum of [`WEIGHT`] elements, one at a random place of each of as many
//!   equal segments.
//!
//! Which ones is a public function of the key; the same code serves for all vectors of a run.
//!
//! # Source
//! ePrint 2023/882 ("ExConv", weight 21, window 24, regular expander: the conservative one of its
//! choices). Departures: the convolution is run twice, each with its own random choices; not the
//! same random choices as any other implementation.
//!
//! On processors with 512-bit vectors the convolution runs in registers; all paths give the same
//! words.

mod wide;

use crate::{fixed_aes::FixedKey, multiversion, simd::Level};

/// Scratch elements behind the vector to be encoded.
pub const PAD: usize = 32;
/// Vectors made are a multiple of this long.
pub const STEP: usize = 32;
/// Elements an output is the sum of.
pub const WEIGHT: usize = 21;
/// Elements after each that it may be added to.
pub const WINDOW: usize = 24;

/// Segments summed in one pass: what they hold stays in the cache.
const AT_ONCE: usize = 7;
/// Outputs between two calls of the cipher.
const OUTPUTS: usize = 32;

/// A public code.
#[derive(Clone, Debug)]
pub struct Code {
    key: FixedKey,
    level: Level,
}

/// What a stream of public random words is for: the number is the top of its counter.
const CONVOLVE: [u128; 2] = [1 << 120, 2 << 120];
const EXPAND: u128 = 3 << 120;

impl Code {
    /// The code of a public key.
    pub fn new(key: [u8; 16]) -> Self {
        Self {
            key: FixedKey::new(key),
            level: Level::detect(),
        }
    }

    /// Replaces the first `m` elements of each vector by its code word. Each has at least `2 m + PAD`
    /// elements, of which `2 m` are encoded; all but the first `m` are left in disorder.
    ///
    /// # Panics
    /// When a vector is shorter, or `m` no multiple of [`STEP`].
    pub fn encode<const V: usize>(&self, vectors: [&mut [u128]; V], m: usize) {
        assert!(m.is_multiple_of(STEP) && m >= WEIGHT * PAD);
        let mut heads: [&mut [u128]; V] = core::array::from_fn(|_| <&mut [u128]>::default());
        let mut tails: [&mut [u128]; V] = core::array::from_fn(|_| <&mut [u128]>::default());
        for ((vector, head), tail) in vectors.into_iter().zip(&mut heads).zip(&mut tails) {
            let (y, rest) = vector.split_at_mut(m);
            *head = y;
            *tail = &mut rest[..m + PAD];
        }
        for from in CONVOLVE {
            self.convolve(&mut tails, m, from);
        }
        for pass in 0..WEIGHT / AT_ONCE {
            expand(self.level, &self.key, pass, &tails, &mut heads, m);
        }
    }

    fn convolve<const V: usize>(&self, tails: &mut [&mut [u128]; V], m: usize, from: u128) {
        for tail in tails.iter_mut() {
            tail[m..].fill(0);
        }
        if !wide::convolve(self.level, &self.key, from, tails, m) {
            for tail in tails.iter_mut() {
                convolve(&self.key, from, tail, m);
            }
        }
        for tail in tails {
            let (body, over) = tail.split_at_mut(m);
            for (b, o) in body.iter_mut().zip(over) {
                *b ^= *o;
            }
        }
    }
}

/// Four elements share a random word: 24 bits each, in the order of the elements after them.
fn convolve(key: &FixedKey, from: u128, x: &mut [u128], m: usize) {
    let mut words = [0; OUTPUTS];
    for start in (0..m).step_by(4 * OUTPUTS) {
        key.stream(from + (start / 4) as u128, &mut words);
        for i in start..m.min(start + 4 * OUTPUTS) {
            let taps = words[(i - start) / 4] >> (32 * (i % 4)) & 0xff_ffff | 1 << WINDOW;
            let value = x[i];
            for (j, x) in x[i + 1..i + 2 + WINDOW].iter_mut().enumerate() {
                *x ^= value & (taps >> j & 1).wrapping_neg();
            }
        }
    }
}

multiversion! {
    /// Adds one element of each of `AT_ONCE` segments to every output.
    fn expand [const V: usize] [V] (
        key: &FixedKey, pass: usize, from: &[&mut [u128]; V], to: &mut [&mut [u128]; V], m: usize,
    ) = expand_body
}

#[inline(always)]
fn expand_body<const V: usize>(
    key: &FixedKey,
    pass: usize,
    from: &[&mut [u128]; V],
    to: &mut [&mut [u128]; V],
    m: usize,
) {
    let segment = m / WEIGHT;
    let base = pass * AT_ONCE * segment;
    let sources: [&[u128]; V] = core::array::from_fn(
        #[inline(always)]
        |v| &from[v][base..base + AT_ONCE * segment],
    );
    // two words an output: eight numbers of 32 bits, of which seven are used
    let mut words = [0_u128; 2 * OUTPUTS];
    let mut places = [[0_u32; 8]; OUTPUTS];
    let mut at = 0;
    while at < m {
        key.stream(EXPAND + ((pass as u128) << 64) + 2 * at as u128, &mut words);
        for (place, word) in places.iter_mut().zip(words.as_chunks::<2>().0) {
            for k in 0..8 {
                let bits = (word[k / 4] >> (32 * (k % 4))) as u32;
                let within = (u64::from(bits) * segment as u64) >> 32;
                place[k] = (k.min(AT_ONCE - 1) * segment) as u32 + within as u32;
            }
        }
        for v in 0..V {
            let source = sources[v];
            for (to, place) in to[v][at..at + OUTPUTS].iter_mut().zip(&places) {
                let mut sum = *to;
                for k in 0..AT_ONCE {
                    sum ^= source[place[k] as usize];
                }
                *to = sum;
            }
        }
        at += OUTPUTS;
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn random(n: usize) -> Vec<u128> {
        let mut rng = rand::rng();
        (0..n).map(|_| rng.random()).collect()
    }

    fn encoded(code: &Code, x: &[u128], m: usize) -> Vec<u128> {
        let mut x = x.to_vec();
        code.encode([&mut x], m);
        x.truncate(m);
        x
    }

    #[test]
    fn all_paths_and_widths_give_the_same_words() {
        for m in [672, 1024, 1_312, 20_000] {
            let (x, y) = (random(2 * m + PAD), random(2 * m + PAD));
            let code = |level| Code {
                key: FixedKey::new([4; 16]),
                level,
            };
            let want = encoded(&code(Level::Baseline), &x, m);
            for level in [Level::Avx2, Level::Avx512] {
                assert_eq!(encoded(&code(level), &x, m), want, "{level:?}");
            }
            let code = Code::new([4; 16]);
            let (mut a, mut b) = (x.clone(), y.clone());
            code.encode([&mut a, &mut b], m);
            assert_eq!(a[..m], want);
            assert_eq!(b[..m], encoded(&code, &y, m));
            // linear
            let sum: Vec<u128> = x.iter().zip(&y).map(|(x, y)| x ^ y).collect();
            let sums: Vec<u128> = a[..m].iter().zip(&b).map(|(x, y)| x ^ y).collect();
            assert_eq!(encoded(&code, &sum, m), sums);
        }
    }

    /// Word for word by the definition, one element at a time.
    #[test]
    fn encodes_as_defined() {
        let m = 1_024;
        let code = Code::new([9; 16]);
        let x = random(2 * m + PAD);
        let mut z = x[m..2 * m].to_vec();
        for from in CONVOLVE {
            z.resize(m + PAD, 0);
            for i in 0..m {
                let word = code.key.hash_one(from + (i / 4) as u128);
                let bits = (word >> (32 * (i % 4))) as u32;
                for j in 0..WINDOW {
                    if bits >> j & 1 == 1 {
                        z[i + 1 + j] ^= z[i];
                    }
                }
                z[i + 1 + WINDOW] ^= z[i];
            }
            for i in 0..PAD {
                z[i] ^= z[m + i];
            }
            z.truncate(m);
        }
        let segment = m / WEIGHT;
        let want: Vec<u128> = (0..m)
            .map(|i| {
                (0..WEIGHT).fold(x[i], |sum, s| {
                    let (pass, k) = (s / AT_ONCE, s % AT_ONCE);
                    let counter = EXPAND + ((pass as u128) << 64) + (2 * i + k / 4) as u128;
                    let bits = (code.key.hash_one(counter) >> (32 * (k % 4))) as u32;
                    let within = (u64::from(bits) * segment as u64) >> 32;
                    sum ^ z[s * segment + within as usize]
                })
            })
            .collect();
        assert_eq!(encoded(&code, &x, m), want);
    }

    /// Few noise positions give words of full weight: one bit set in 256 of 32,768 places.
    #[test]
    fn sparse_noise_becomes_dense() {
        let m = 1 << 14;
        let code = Code::new([1; 16]);
        let mut rng = rand::rng();
        let mut x = vec![0; 2 * m + PAD];
        for i in 0..256 {
            x[i * 128 + rng.random_range(0..128)] = 1;
        }
        let weight = encoded(&code, &x, m).iter().filter(|w| **w == 1).count();
        // five standard deviations
        assert!(weight.abs_diff(m / 2) < 320, "{weight} of {m}");
    }
}
