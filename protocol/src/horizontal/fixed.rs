//! Real numbers in a sum: as many fraction bits as the largest possible sum leaves room for.

use super::secagg::MAX_CLIENTS;
use crate::abort::Abort;

/// How numbers of one kind are held: `round(x · 2^frac)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// Fraction bits; below 0 where sums are beyond 2^61.
    pub(super) frac: i32,
}

/// Least power of two that is not below `x`, for x of 1 or more.
pub(crate) fn bits(x: u64) -> i32 {
    x.max(1).next_power_of_two().trailing_zeros() as i32
}

impl Point {
    /// For sums over all banks of at most 2^`magnitude`: no bank's part, and no sum of parts, reaches 2^62.
    pub(super) fn for_sums_up_to(magnitude: i32, clients: usize) -> Self {
        let clients = bits(clients.min(MAX_CLIENTS) as u64);
        Self {
            frac: 61 - clients - magnitude,
        }
    }

    /// The word for a number.
    ///
    /// # Errors
    /// When it does not fit, naming `what`: a column, and what to do.
    pub(super) fn encode(
        self,
        x: f64,
        clients: usize,
        what: impl Fn() -> String,
    ) -> Result<u64, Abort> {
        let scaled = (x * 2f64.powi(self.frac)).round_ties_even();
        let limit = 2f64.powi(62) / clients as f64;
        match scaled.abs() < limit {
            true => Ok((scaled as i64) as u64),
            false => Err(Abort::OutOfRange {
                step: "prepare".into(),
                problem: format!(
                    "{} of this bank does not fit: look for cells far outside the others in that \
                     column, or for a weight or an offset that is not what it should be",
                    what()
                ),
            }),
        }
    }

    /// The number of a word.
    pub(super) fn decode(self, word: u64) -> f64 {
        (word as i64) as f64 * 2f64.powi(-self.frac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_sum_fits_and_more_is_refused_by_name() {
        for (magnitude, clients) in [(0, 3), (20, 5), (70, 200), (-30, 7)] {
            let point = Point::for_sums_up_to(magnitude, clients);
            let most = 2f64.powi(magnitude);
            let word = point.encode(-most, clients, String::new).unwrap();
            assert_eq!(point.decode(word), -most);
            let error = point
                .encode(4.0 * most, clients, || "column `age`".into())
                .unwrap_err();
            assert!(error.to_string().contains("column `age`"), "{error}");
            assert!(point.encode(f64::NAN, clients, String::new).is_err());
        }
        assert_eq!([1, 2, 3, 200, 256].map(bits), [0, 1, 2, 8, 8]);
    }
}
