//! Splitting sets into buckets of bounded, padded size.
//!
//! An item's first 64 bits choose its bucket. Both sets are split alike; each bucket is treated as if
//! it were full, so that how many items it holds does not show.

use super::Shape;

/// Into how many buckets two sets are split, and what each may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    count: usize,
    encoded: Shape,
    looked_up: usize,
}

impl Buckets {
    /// Items of the encoded set to a bucket, on average at most.
    pub const ENCODED: usize = 1 << 17;
    /// Items of the set that is looked up, likewise.
    pub const LOOKED_UP: usize = 1 << 18;
    /// Most buckets.
    pub const MOST: usize = 1 << 13;

    /// For sets of these sizes; `None` beyond [`Buckets::MOST`] buckets.
    pub fn new(encoded: u64, looked_up: u64) -> Option<Self> {
        let count = encoded
            .div_ceil(Self::ENCODED as u64)
            .max(looked_up.div_ceil(Self::LOOKED_UP as u64))
            .max(1);
        let count = usize::try_from(count).ok().filter(|n| *n <= Self::MOST)?;
        Some(Self {
            count,
            encoded: Shape::new(load(encoded, count)?)?,
            looked_up: load(looked_up, count)?,
        })
    }

    /// Number of buckets.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The table of one bucket's encoded items.
    pub fn encoded(&self) -> Shape {
        self.encoded
    }

    /// Items to look up that one bucket is padded to.
    pub fn looked_up(&self) -> usize {
        self.looked_up
    }

    /// The bucket of an item.
    pub fn of(&self, item: u128) -> usize {
        // below `count`, so nothing is cut off
        (((item >> 64) * self.count as u128) >> 64) as usize
    }

    /// The first 64 bits at which the bucket after `bucket` begins; 2^64 after the last.
    pub fn end(&self, bucket: usize) -> u128 {
        ((bucket as u128 + 1) << 64).div_ceil(self.count as u128)
    }
}

/// More items than this fall into one of the buckets with probability below 2^-65.
///
/// Bernstein's inequality with exponent 55: `e^-55` for each of two sets and at most 2^13 buckets.
fn load(items: u64, buckets: usize) -> Option<usize> {
    const EXPONENT: u64 = 55;
    let all = usize::try_from(items).ok()?;
    if buckets == 1 {
        return Some(all);
    }
    let mean = items.div_ceil(buckets as u64);
    let third = EXPONENT.div_ceil(3);
    let spread = third + (third * third + 2 * mean * EXPONENT).isqrt() + 1;
    Some(usize::try_from(mean + spread).ok()?.min(all))
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    #[test]
    fn buckets_cover_all_items_in_order() {
        let mut rng = rand::rng();
        for count in [1, 2, 3, 77, 256, 1000] {
            let buckets = Buckets {
                count,
                ..Buckets::new(1, 1).unwrap()
            };
            for _ in 0..1000 {
                let item: u128 = rng.random();
                let bucket = buckets.of(item);
                assert!(bucket < count && item >> 64 < buckets.end(bucket));
                assert!(bucket == 0 || item >> 64 >= buckets.end(bucket - 1));
            }
            assert_eq!(buckets.of(u128::MAX), count - 1);
            assert_eq!(buckets.end(count - 1), 1 << 64);
        }
    }

    #[test]
    fn no_bucket_of_a_random_set_is_overfull() {
        let mut rng = rand::rng();
        for n in [1_000_000, 3_000_000] {
            let buckets = Buckets::new(n, n / 2).unwrap();
            let mut loads = vec![0; buckets.count()];
            for _ in 0..n {
                loads[buckets.of(rng.random())] += 1;
            }
            let most = loads.iter().max().unwrap();
            assert!(*most <= buckets.encoded().capacity());
            // and padding costs little
            assert!(buckets.encoded().capacity() < 135_000);
        }
    }

    #[test]
    fn sizes_at_the_edges() {
        let one = Buckets::new(0, 0).unwrap();
        assert_eq!(
            (one.count(), one.looked_up(), one.encoded().capacity()),
            (1, 0, 0)
        );
        let few = Buckets::new(128, 40_000_000).unwrap();
        assert_eq!(few.count(), 153);
        assert!(few.encoded().capacity() <= 128);
        assert_eq!(Buckets::new(1 << 30, 1).unwrap().count(), Buckets::MOST);
        assert!(Buckets::new((1 << 30) + 1, 1).is_none());
        assert!(Buckets::new(u64::MAX, 1).is_none());
    }
}
