//! The sampler against exact probabilities, a second implementation and published samples.

use super::*;

/// Reproducible words.
struct Mixed(u64);

impl Words for Mixed {
    fn word(&mut self) -> Result<u64, NoiseError> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }
}

/// Chi-square of samples against the exact probabilities, and its degrees of freedom.
fn chi_square(variance: u64, samples: usize, seed: u64) -> (f64, f64) {
    let of = DiscreteGaussian::new(variance).unwrap();
    let mut words = Mixed(seed);
    let edge = (5.0 * (variance as f64).sqrt()).ceil() as i64 + 1;
    let weight = |x: i64| (-(x * x) as f64 / (2.0 * variance as f64)).exp();
    let total: f64 = (-20 * edge..=20 * edge).map(weight).sum();
    let mut counts = vec![0u64; 2 * edge as usize + 1];
    for _ in 0..samples {
        let x = of.sample(&mut words).unwrap();
        counts[(x.clamp(-edge, edge) + edge) as usize] += 1;
    }
    // bins of at least 20 expected
    let (mut chi, mut bins) = (0.0, 0.0);
    let (mut seen, mut expected) = (0.0, 0.0);
    for (count, x) in counts.iter().zip(-edge..) {
        seen += *count as f64;
        expected += weight(x) / total * samples as f64;
        if expected >= 20.0 {
            chi += (seen - expected).powi(2) / expected;
            bins += 1.0;
            (seen, expected) = (0.0, 0.0);
        }
    }
    (chi, bins - 1.0)
}

#[test]
fn samples_have_the_exact_distribution() {
    // the last is the noise of training: one length is 2^16
    for (variance, samples) in [
        (1, 60_000),
        (2, 60_000),
        (3, 60_000),
        (9, 60_000),
        (100, 60_000),
        (12_345, 60_000),
        (1 << 20, 40_000),
        (1 << 32, 40_000),
    ] {
        let (chi, free) = chi_square(variance, samples, variance + 11);
        // five standard deviations of a chi-square
        let off = (chi - free).abs() / (2.0 * free).sqrt();
        assert!(off < 5.0, "{variance}: {chi} of {free}");
    }
}

#[test]
fn coins_fall_with_the_chance_of_the_exponential() {
    let mut words = Mixed(77);
    let flips = 60_000;
    for (of, among) in [
        (0, 1),
        (1, 1_000_000),
        (1, 1000),
        (1, 7),
        (1, 2),
        (999, 1000),
        (1, 1),
        (3, 2),
        (2, 1),
        (5, 1),
        (1 << 60, 1 << 59),
    ] {
        let mut uniform = Cut(&mut words);
        let heads = (0..flips)
            .filter(|_| chance_of_exp(of, among, &mut uniform).unwrap())
            .count() as f64;
        let p = (-(of as f64) / among as f64).exp();
        let n = f64::from(flips);
        let off = (heads - p * n).abs();
        assert!(
            off <= 5.0 * (n * p * (1.0 - p)).sqrt() + 1e-9,
            "{of}/{among}: {heads} of {n}, expected {}",
            p * n
        );
    }
}

#[test]
fn the_exponential_below_the_gaussian_has_its_exact_distribution() {
    for scale in [1u64, 2, 5, 40] {
        let (mut words, n) = (Mixed(scale), 60_000);
        let ratio = (-1.0 / scale as f64).exp();
        let mut counts = std::collections::BTreeMap::<i64, f64>::new();
        for _ in 0..n {
            let x = discrete_laplace(scale, &mut Cut(&mut words)).unwrap();
            *counts.entry(x).or_default() += 1.0;
        }
        let (mut chi, mut bins) = (0.0, 0.0);
        for x in -200i64..=200 {
            let p = (1.0 - ratio) / (1.0 + ratio) * ratio.powf(x.unsigned_abs() as f64);
            let expected = p * f64::from(n);
            if expected >= 20.0 {
                chi += (counts.get(&x).unwrap_or(&0.0) - expected).powi(2) / expected;
                bins += 1.0;
            }
        }
        assert!(
            chi < bins + 5.0 * f64::sqrt(2.0 * bins),
            "{scale}: {chi} of {bins}"
        );
    }
}

/// Uniform numbers as they are made by what the published samples come from: fractions in lowest terms; a number has
/// as many bits as its bound, in 32-bit words of which the last is cut to its high bits; bytes are
/// TurboSHAKE128 (RFC 9861) of a seed.
struct Published {
    lanes: [u64; 25],
    read: usize,
}

/// The last twelve rounds of Keccak-p[1600] (FIPS 202, section 3).
fn keccak(a: &mut [u64; 25]) {
    const ROUND: [u64; 12] = [
        0x8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x8000_0001,
        0x8000_0000_8000_8008,
    ];
    for constant in ROUND {
        let column = |x: usize, a: &[u64; 25]| (0..5).fold(0, |c, y| c ^ a[x + 5 * y]);
        let c: [u64; 5] = std::array::from_fn(|x| column(x, a));
        for (i, lane) in a.iter_mut().enumerate() {
            *lane ^= c[(i % 5 + 4) % 5] ^ c[(i % 5 + 1) % 5].rotate_left(1);
        }
        let (mut b, mut x, mut y) = (*a, 1, 0);
        for t in 0..24u32 {
            let to = (y, (2 * x + 3 * y) % 5);
            b[to.0 + 5 * to.1] = a[x + 5 * y].rotate_left((t + 1) * (t + 2) / 2 % 64);
            (x, y) = to;
        }
        for (i, lane) in a.iter_mut().enumerate() {
            let (x, row) = (i % 5, i / 5 * 5);
            *lane = b[i] ^ (!b[row + (x + 1) % 5] & b[row + (x + 2) % 5]);
        }
        a[0] ^= constant;
    }
}

impl Published {
    const RATE: usize = 168;

    fn new() -> Self {
        let seed: [u8; 32] = std::array::from_fn(|i| i as u8);
        // no separation tag, the seed's length, the seed; then domain and padding
        let mut block = [0; Self::RATE];
        block[2] = 32;
        block[3..35].copy_from_slice(&seed);
        block[35] ^= 1;
        block[Self::RATE - 1] ^= 0x80;
        let mut lanes = [0; 25];
        let (words, _) = block.as_chunks::<8>();
        lanes
            .iter_mut()
            .zip(words)
            .for_each(|(l, w)| *l = u64::from_le_bytes(*w));
        keccak(&mut lanes);
        Self { lanes, read: 0 }
    }

    fn word(&mut self) -> u32 {
        let byte = |s: &mut Self| {
            if s.read == Self::RATE {
                keccak(&mut s.lanes);
                s.read = 0;
            }
            s.read += 1;
            s.lanes[(s.read - 1) / 8].to_le_bytes()[(s.read - 1) % 8]
        };
        u32::from_le_bytes(std::array::from_fn(|_| byte(self)))
    }
}

impl Uniform for Published {
    fn below(&mut self, bound: u128) -> Result<u128, NoiseError> {
        let bits = 128 - bound.leading_zeros();
        loop {
            let mut number = 0;
            for word in 0..bits.div_ceil(32) {
                let cut = match bits % 32 {
                    rest if rest > 0 && word == bits / 32 => 32 - rest,
                    _ => 0,
                };
                number |= u128::from(self.word() >> cut) << (32 * word);
            }
            if number < bound {
                return Ok(number);
            }
        }
    }

    fn chance(&mut self, of: u128, among: u128) -> Result<bool, NoiseError> {
        let (mut a, mut b) = (of, among);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Ok(self.below(among / a)? < of / a)
    }
}

/// Samples by the authors' reference implementation, as published with libprio-rs (`tests/test_vectors`,
/// `discrete_gauss_{3,9,100,41293847}.json` at commit 50a1ae33); two more of its files have deviations that are no whole
/// number or beyond 2^26.
#[test]
fn samples_are_those_published_by_others() {
    for (sigma, expected) in include!("published.in") {
        let mut uniform = Published::new();
        let of = DiscreteGaussian::new(sigma * sigma).unwrap();
        let got: Vec<i64> = (0..expected.len())
            .map(|_| of.sample_by(&mut uniform).unwrap())
            .collect();
        assert_eq!(got, expected, "deviation {sigma}");
    }
}

#[test]
fn a_wrong_variance_would_be_seen() {
    let of = DiscreteGaussian::new(100).unwrap();
    let mut words = Mixed(3);
    let n = 40_000;
    let square: f64 = (0..n)
        .map(|_| (of.sample(&mut words).unwrap() as f64).powi(2))
        .sum::<f64>()
        / f64::from(n);
    // sd of a mean of squares: 100 √(2/n)
    assert!(
        (square - 100.0).abs() < 5.0 * 100.0 * (2.0 / f64::from(n)).sqrt(),
        "{square}"
    );
}

#[test]
fn moments_at_the_size_of_training_are_right() {
    let sigma = 65_536.0f64;
    let of = DiscreteGaussian::new(1 << 32).unwrap();
    let (mut words, n) = (OsWords::default(), 20_000);
    let samples: Vec<f64> = (0..n)
        .map(|_| of.sample(&mut words).unwrap() as f64 / sigma)
        .collect();
    let mean = |p: i32| samples.iter().map(|x| x.powi(p)).sum::<f64>() / f64::from(n);
    let root = f64::from(n).sqrt();
    assert!(mean(1).abs() < 6.0 / root, "{}", mean(1));
    assert!(
        (mean(2) - 1.0).abs() < 6.0 * 2f64.sqrt() / root,
        "{}",
        mean(2)
    );
    assert!(
        (mean(4) - 3.0).abs() < 6.0 * 96f64.sqrt() / root,
        "{}",
        mean(4)
    );
}

/// The authors' algorithms once more, in exact fractions, by docs/spec/dp_vectors.py.
#[test]
fn samples_are_those_of_a_second_implementation() {
    for (variance, expected) in include!("../vectors.in") {
        let of = DiscreteGaussian::new(variance).unwrap();
        let mut words = Mixed(variance);
        let got = std::array::from_fn(|_| of.sample(&mut words).unwrap());
        assert_eq!(expected, got, "variance {variance}");
    }
}

#[test]
fn variances_are_bounded() {
    assert!(DiscreteGaussian::new(0).is_err());
    assert!(DiscreteGaussian::new(u64::MAX).is_err());
    let largest = DiscreteGaussian::new(MAX_SIGMA * MAX_SIGMA).unwrap();
    let x = largest.sample(&mut Mixed(1)).unwrap();
    assert!(x.unsigned_abs() < 40 * MAX_SIGMA);
}
