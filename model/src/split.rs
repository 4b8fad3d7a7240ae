//! Training and test rows by id, so that parties agree without exchanging a list.
//!
//! A row is a test row where SHA-256 of its id text, first four bytes as a big-endian integer,
//! modulo 10, is below the wished number of tenths. The rule looks at nothing but the id: it is
//! the same at every party, for every order of rows and after any row is added.

use sha2::{Digest, Sha256};

/// A rule that sends a number of tenths of all ids to the test rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdSplit {
    test_tenths: u32,
}

/// Row positions on both sides of a split, each rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRows {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows to evaluate on.
    pub test: Vec<usize>,
}

/// A number of test tenths that leaves nothing to fit on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{got} tenths of the rows as test rows, expected 0 to 9")]
pub struct TestTenthsError {
    /// What was asked for.
    pub got: u32,
}

impl IdSplit {
    /// A rule with `test_tenths` tenths of the ids on the test side.
    ///
    /// # Errors
    /// [`TestTenthsError`] for more than 9.
    pub fn new(test_tenths: u32) -> Result<Self, TestTenthsError> {
        if test_tenths > 9 {
            return Err(TestTenthsError { got: test_tenths });
        }
        Ok(Self { test_tenths })
    }

    /// Whether the row of this id is a test row.
    pub fn is_test(self, id: &str) -> bool {
        id_word(id, 0) % 10 < self.test_tenths
    }

    /// Sorts row positions by side.
    pub fn rows<S: AsRef<str>>(self, ids: &[S]) -> SplitRows {
        let (test, train) = (0..ids.len()).partition(|&i| self.is_test(ids[i].as_ref()));
        SplitRows { train, test }
    }
}

/// Sorts row positions by SHA-256 of their ids: an order that all parties find alike, whatever that of their tables.
pub fn sort_by_id_hash<S: AsRef<str>>(rows: &mut [usize], ids: &[S]) {
    rows.sort_by_cached_key(|row| <[u8; 32]>::from(Sha256::digest(ids[*row].as_ref().as_bytes())));
}

/// Bytes `4 word .. 4 word + 4` of SHA-256 of the id text, big-endian; `word` is taken modulo 8.
pub fn id_word(id: &str, word: usize) -> u32 {
    let digest = Sha256::digest(id.as_bytes());
    let start = 4 * (word % 8);
    digest[start..start + 4]
        .iter()
        .fold(0, |w, &b| w << 8 | u32::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_by_ids_is_that_of_any_table() {
        let ids = ["a", "b", "c", "d", "e", "f"];
        let turned: Vec<&str> = ids.iter().rev().copied().collect();
        let (mut one, mut other) = (vec![0, 1, 2, 3, 4, 5], vec![3, 1, 0, 5, 4, 2]);
        sort_by_id_hash(&mut one, &ids);
        sort_by_id_hash(&mut other, &turned);
        let one: Vec<&str> = one.iter().map(|r| ids[*r]).collect();
        let other: Vec<&str> = other.iter().map(|r| turned[*r]).collect();
        assert_eq!(one, other);
        assert_ne!(one, ids);
    }

    // The vectors of the data set notes: ids 1..3 and the first six test ids.
    #[test]
    fn matches_the_published_words() {
        assert_eq!(
            [1, 2, 3].map(|i| id_word(&i.to_string(), 0)),
            [1803989619, 3564330554, 1309098117]
        );
        assert_eq!([1, 2, 3].map(|i| id_word(&i.to_string(), 1) % 3), [1, 2, 1]);
        assert!(
            [1, 2, 3]
                .iter()
                .all(|i| id_word(&i.to_string(), 2) % 100 < 80)
        );
        let ids: Vec<String> = (1..=30).map(|i| i.to_string()).collect();
        let rows = IdSplit::new(3).unwrap().rows(&ids);
        assert_eq!(
            rows.test.iter().map(|i| i + 1).collect::<Vec<_>>(),
            [6, 11, 19, 22, 29, 30]
        );
        assert_eq!(rows.train.len(), 24);
    }

    #[test]
    fn shares_come_out_and_ten_tenths_are_refused() {
        let ids: Vec<String> = (0..20_000).map(|i| format!("c{i}")).collect();
        let share = IdSplit::new(3).unwrap().rows(&ids).test.len() as f64 / 20_000.0;
        assert!((share - 0.3).abs() < 0.015, "{share}");
        assert!(IdSplit::new(0).unwrap().rows(&ids).test.is_empty());
        assert_eq!(IdSplit::new(10), Err(TestTenthsError { got: 10 }));
    }
}
