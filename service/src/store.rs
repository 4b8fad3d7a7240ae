//! Opening an embedded database: one file per node, migrated by its `user_version`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite refused.
    #[error("the database {} cannot be {what}: {source}", path.display())]
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// Doing what.
        what: &'static str,
        /// SQLite's words.
        source: rusqlite::Error,
    },
    /// The file is of a later version of this program.
    #[error(
        "the database {} has schema version {got}, this program knows up to {known}: run the \
         newer program or restore a backup",
        path.display()
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// Its version.
        got: i64,
        /// The latest known here.
        known: usize,
    },
}

/// Opens or creates a database and brings it to the latest schema.
///
/// `migrations[k]` leads from version `k` to `k + 1`; each runs in a transaction of its own.
///
/// # Errors
/// When the file cannot be opened, migrated, or is newer than this program.
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, StoreError> {
    let failed = |what| {
        move |source| StoreError::Sqlite {
            path: path.to_owned(),
            what,
            source,
        }
    };
    let mut db = Connection::open(path).map_err(failed("opened"))?;
    restrict(path);
    db.busy_timeout(Duration::from_secs(5))
        .map_err(failed("configured"))?;
    db.pragma_update(None, "journal_mode", "WAL")
        .map_err(failed("configured"))?;
    db.pragma_update(None, "synchronous", "FULL")
        .map_err(failed("configured"))?;
    db.pragma_update(None, "foreign_keys", "ON")
        .map_err(failed("configured"))?;
    let got: i64 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(failed("read"))?;
    let known = migrations.len();
    let done = usize::try_from(got).unwrap_or(usize::MAX);
    if done > known {
        return Err(StoreError::TooNew {
            path: path.to_owned(),
            got,
            known,
        });
    }
    for (version, sql) in migrations.iter().enumerate().skip(done) {
        let step = db.transaction().map_err(failed("migrated"))?;
        step.execute_batch(sql).map_err(failed("migrated"))?;
        let next = i64::try_from(version + 1).unwrap_or(i64::MAX);
        step.pragma_update(None, "user_version", next)
            .map_err(failed("migrated"))?;
        step.commit().map_err(failed("migrated"))?;
    }
    Ok(db)
}

/// Makes the file readable by its owner alone; a file system without modes is left as it is.
fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).is_err() {
        tracing::warn!(path = %path.display(), "cannot restrict the database file to its owner");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_run_once_and_a_newer_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        let first = ["CREATE TABLE a (x INTEGER)"];
        let both = [
            first[0],
            "CREATE TABLE b (y INTEGER); INSERT INTO b VALUES (1)",
        ];
        drop(open(&path, &first).unwrap());
        for _ in 0..2 {
            let db = open(&path, &both).unwrap();
            let rows: i64 = db
                .query_row("SELECT count(*) FROM b", [], |r| r.get(0))
                .unwrap();
            assert_eq!(rows, 1);
        }
        assert!(matches!(
            open(&path, &first),
            Err(StoreError::TooNew { got: 2, .. })
        ));
    }

    #[test]
    fn a_failed_migration_leaves_the_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.db");
        assert!(open(&path, &["CREATE TABLE a (x); nonsense"]).is_err());
        assert!(open(&path, &["CREATE TABLE a (x)"]).is_ok());
    }
}
