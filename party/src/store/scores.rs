//! How many scores jobs have opened, or may yet open.

use rusqlite::params;

use super::{Failed, Store};

impl Store {
    /// Counts scores that a job which begins may open to `receiver`, at most so many.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn count_scores(
        &self,
        job: &str,
        receiver: &str,
        dataset: &str,
        at: i64,
        most: u64,
    ) -> Result<(), Failed> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        self.db(|db| {
            db.execute(
                "INSERT OR IGNORE INTO scored (job, receiver, dataset, at, number) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![job, receiver, dataset, at, most],
            )
            .map(drop)
        })
    }

    /// A job that was counted opens so many scores; never more than it was counted with.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn scores_opened(&self, job: &str, number: u64) -> Result<(), Failed> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.db(|db| {
            db.execute(
                "UPDATE scored SET number = ?2 WHERE job = ?1 AND number > ?2",
                params![job, number],
            )
            .map(drop)
        })
    }

    /// Scores opened after this time, or that jobs under way may open: all, to a party, or of a data set's customers.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn scores(
        &self,
        receiver: Option<&str>,
        dataset: Option<&str>,
        after: i64,
    ) -> Result<u64, Failed> {
        self.db(|db| {
            // a sum that is beyond a number is more than any limit
            let sql = "SELECT TOTAL(number) FROM scored WHERE at > ?1
                 AND (?2 IS NULL OR receiver = ?2) AND (?3 IS NULL OR dataset = ?3)";
            let number: f64 =
                db.query_row(sql, params![after, receiver, dataset], |row| row.get(0))?;
            Ok(number as u64)
        })
    }
}
