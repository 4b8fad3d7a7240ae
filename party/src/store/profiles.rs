//! What is kept of each data set's last finished job, to hold the next one against.

use rusqlite::OptionalExtension;

use super::{Failed, Store};

impl Store {
    /// What is kept of the last finished job over these columns of a data set, and which job that was.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn profile(
        &self,
        dataset: &str,
        columns: &str,
    ) -> Result<Option<(String, String)>, Failed> {
        self.db(|db| {
            let sql = "SELECT job, profile FROM profile WHERE dataset = ?1 AND columns = ?2";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            db.query_row(sql, [dataset, columns], row).optional()
        })
    }

    /// Keeps what the next job over these columns is compared with, in place of what was kept before.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn keep_profile(
        &self,
        dataset: &str,
        columns: &str,
        job: &str,
        profile: &str,
    ) -> Result<(), Failed> {
        self.db(|db| {
            db.execute(
                "INSERT OR REPLACE INTO profile (dataset, columns, job, profile) VALUES (?1, ?2, ?3, ?4)",
                [dataset, columns, job, profile],
            )
            .map(drop)
        })
    }

    /// Forgets what was kept of a job for the next; whether there was anything.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn forget_profile(&self, job: &str) -> Result<bool, Failed> {
        self.db(|db| db.execute("DELETE FROM profile WHERE job = ?1", [job]))
            .map(|rows| rows > 0)
    }
}
