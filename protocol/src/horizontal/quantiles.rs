//! Order statistics over all banks' rows, exactly, from counts of rows up to thresholds.
//!
//! A number's 64 bits, put in its order, are searched 63 thresholds at a time: 11 sums for any number of statistics.

use std::collections::BTreeMap;

use super::{SumOf, secagg::Client, sum};
use crate::{abort::Abort, arith::Openings, channel::Channel};

/// Thresholds at a time on the way to a statistic.
const THRESHOLDS: u64 = 63;

/// A number as an integer in the same order.
fn key(x: f64) -> u64 {
    // 0 and -0 are one value
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 {
        !bits
    } else {
        bits | 1 << 63
    }
}

fn value(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 {
        key & !(1 << 63)
    } else {
        !key
    })
}

/// One order statistic that is searched for.
struct Search<'a> {
    /// The bank's own values, as integers in ascending order.
    own: &'a [u64],
    /// How many present values are to be at or below it.
    rank: u64,
    low: u64,
    high: u64,
}

impl Search<'_> {
    fn thresholds(&self) -> impl Iterator<Item = u64> + use<> {
        let (low, span) = (self.low, u128::from(self.high - self.low));
        (1..=THRESHOLDS)
            .map(move |i| low + (span * u128::from(i) / u128::from(THRESHOLDS + 1)) as u64)
    }

    /// Takes in how many values are at or below each threshold.
    fn narrow(&mut self, counts: &[u64]) {
        let known: Vec<(u64, u64)> = self.thresholds().zip(counts.iter().copied()).collect();
        for (threshold, below) in known {
            if below >= self.rank {
                self.high = self.high.min(threshold);
            } else {
                self.low = self.low.max(threshold.saturating_add(1));
            }
        }
        self.low = self.low.min(self.high);
    }
}

/// For each column and rank the value of that rank (from 1) among all banks' values, of which this bank's are `values`.
///
/// # Leakage
/// Rows up to the thresholds on the way, over all banks: declared as [`SumOf::Quantiles`].
///
/// # Errors
/// Those of sums.
pub(super) async fn order_statistics<C: Channel>(
    client: &mut Client<C>,
    ledger: &mut dyn Openings,
    values: BTreeMap<usize, Vec<f64>>,
    ranks: &[(usize, u64)],
) -> Result<Vec<f64>, Abort> {
    let sorted: BTreeMap<usize, Vec<u64>> = values
        .into_iter()
        .map(|(column, values)| {
            let mut keys: Vec<u64> = values.into_iter().map(key).collect();
            keys.sort_unstable();
            (column, keys)
        })
        .collect();
    let mut searches: Vec<Search<'_>> = ranks
        .iter()
        .map(|(column, rank)| Search {
            own: sorted.get(column).map_or(&[][..], Vec::as_slice),
            rank: *rank,
            low: 0,
            high: u64::MAX,
        })
        .collect();
    for round in 1.. {
        if searches.iter().all(|s| s.low == s.high) {
            break;
        }
        let own = searches.iter().flat_map(|s| {
            s.thresholds()
                .map(|t| s.own.partition_point(|k| *k <= t) as u64)
        });
        let own = own.collect();
        let purpose = format!("quantiles {round}");
        let got = sum(client, ledger, SumOf::Quantiles, &purpose, own).await?;
        for (search, counts) in searches
            .iter_mut()
            .zip(got.words.chunks(THRESHOLDS as usize))
        {
            search.narrow(counts);
        }
    }
    Ok(searches.iter().map(|s| value(s.low)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_numbers() {
        let values = [
            f64::NEG_INFINITY,
            -1e300,
            -2.5,
            -1e-300,
            0.0,
            1e-310,
            3.0,
            1e308,
        ];
        assert!(values.windows(2).all(|w| key(w[0]) < key(w[1])));
        assert!(values.iter().all(|v| value(key(*v)) == *v));
        assert_eq!(key(0.0), key(-0.0));
    }

    #[test]
    fn a_search_ends_at_the_order_statistic() {
        let mut keys: Vec<u64> = (0..101).map(|i| key(f64::from(i * i) - 300.5)).collect();
        keys.sort_unstable();
        for rank in [1, 50, 51, 101] {
            let mut search = Search {
                own: &keys,
                rank,
                low: 0,
                high: u64::MAX,
            };
            let mut rounds = 0;
            while search.low < search.high {
                let counts: Vec<u64> = search
                    .thresholds()
                    .map(|t| keys.partition_point(|k| *k <= t) as u64)
                    .collect();
                search.narrow(&counts);
                rounds += 1;
            }
            assert_eq!(search.low, keys[rank as usize - 1]);
            assert!(rounds <= 11, "{rounds}");
        }
    }
}
