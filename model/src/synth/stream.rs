//! Counter-based random numbers.

/// SplitMix64's finaliser.
pub(super) fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A (seed, stream) pair: a function from row to bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamKey(u64);

impl StreamKey {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(mix64(seed ^ mix64(stream)))
    }

    #[inline]
    pub(super) fn bits(self, row: u64) -> u64 {
        mix64(
            row.wrapping_add(1)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(self.0),
        )
    }

    /// Top 53 bits as a fraction.
    #[inline]
    pub(super) fn uniform(self, row: u64) -> f64 {
        (self.bits(row) >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// Three streams whose twelve 16-bit pieces sum to a near normal.
#[derive(Debug, Clone, Copy)]
pub(super) struct NormalKey([StreamKey; 3]);

impl NormalKey {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let first = stream.wrapping_mul(4);
        Self([0, 1, 2].map(|k| StreamKey::new(seed, first.wrapping_add(k))))
    }

    #[inline]
    pub(super) fn normal(self, row: u64) -> f64 {
        let pieces = |b: u64| (b & 0xFFFF) + (b >> 16 & 0xFFFF) + (b >> 32 & 0xFFFF) + (b >> 48);
        let sum: u64 = self.0.iter().map(|k| pieces(k.bits(row))).sum();
        (sum + 6) as f64 / 65_536.0 - 6.0
    }
}
