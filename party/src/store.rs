//! This node's database: the jobs it has seen, what it decided, and how they ended.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use paripassu_crypto::dp::Spent;
use paripassu_service::store::{self, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

mod profiles;
mod scores;

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL,
    contract BLOB NOT NULL,
    submitter TEXT NOT NULL,
    proposed_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    culprit TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    changed_at INTEGER NOT NULL
);
CREATE TABLE decision (
    job TEXT NOT NULL REFERENCES job(id),
    party TEXT NOT NULL,
    approve INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, party)
);
",
    "
ALTER TABLE job ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
",
    "
CREATE TABLE alignment (
    job TEXT NOT NULL,
    counterpart TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (job, counterpart)
);
CREATE INDEX alignment_by_counterpart ON alignment (counterpart, begun_at);
",
    "
CREATE TABLE policy (
    version INTEGER PRIMARY KEY,
    digest TEXT NOT NULL,
    since INTEGER NOT NULL
);
",
    "
CREATE TABLE privacy (
    job TEXT NOT NULL PRIMARY KEY,
    dataset TEXT NOT NULL,
    divergences BLOB NOT NULL,
    begun_at INTEGER NOT NULL
);
CREATE INDEX privacy_by_dataset ON privacy (dataset);
",
    "
CREATE TABLE judged (
    job TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
);
CREATE TABLE begun (
    job TEXT NOT NULL,
    party TEXT NOT NULL,
    dataset TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (job, party)
);
CREATE INDEX begun_by_party ON begun (party, at);
CREATE TABLE print_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    key BLOB NOT NULL
);
CREATE TABLE matched (
    job TEXT NOT NULL PRIMARY KEY,
    parties TEXT NOT NULL,
    at INTEGER NOT NULL,
    prints BLOB NOT NULL
);
",
    "
CREATE TABLE scored (
    job TEXT NOT NULL PRIMARY KEY,
    receiver TEXT NOT NULL,
    dataset TEXT NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER NOT NULL
);
CREATE INDEX scored_by_receiver ON scored (receiver, at);
CREATE INDEX scored_by_dataset ON scored (dataset, at);
",
    "
CREATE TABLE profile (
    dataset TEXT NOT NULL,
    columns TEXT NOT NULL,
    job TEXT NOT NULL,
    profile TEXT NOT NULL,
    PRIMARY KEY (dataset, columns)
);
",
];

/// Why a job is taken for aborted until the coordinator says how it ended.
const RESTARTED: &str = "this node was restarted";

/// The node's database.
#[derive(Debug)]
pub struct Store(Mutex<Connection>);

/// A database call failed.
#[derive(Debug, thiserror::Error)]
#[error("the node's database: {0}")]
pub struct Failed(#[from] rusqlite::Error);

/// A job as this node knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// Job id.
    pub id: String,
    /// Last state heard of.
    pub state: String,
    /// Node at fault, if aborted and known.
    pub culprit: String,
    /// Why it ended without a result.
    pub reason: String,
}

impl Store {
    /// Opens or creates `party.db` in the state folder.
    ///
    /// # Errors
    /// When the folder or the file cannot be used.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        Ok(Self(Mutex::new(store::open(
            &state.join("party.db"),
            MIGRATIONS,
        )?)))
    }

    fn db<T>(&self, f: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Failed> {
        Ok(f(&self.0.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    /// Keeps a proposal; one already known stays as it is.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn proposed(
        &self,
        id: &str,
        digest: &[u8],
        contract: &[u8],
        submitter: &str,
        at: i64,
    ) -> Result<(), Failed> {
        self.db(|db| {
            db.execute(
                "INSERT OR IGNORE INTO job (id, digest, contract, submitter, proposed_at, state, changed_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'proposed', ?5)",
                params![id, digest, contract, submitter, at],
            )
            .map(drop)
        })
    }

    /// Keeps a party's decision.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn decided(
        &self,
        id: &str,
        party: &str,
        approve: bool,
        reason: &str,
        at: i64,
    ) -> Result<(), Failed> {
        self.db(|db| {
            db.execute(
                "INSERT OR IGNORE INTO decision (job, party, approve, reason, at)
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM job WHERE id = ?1)",
                params![id, party, approve, reason, at],
            )
            .map(drop)
        })
    }

    /// Keeps a job's new state.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn state(
        &self,
        id: &str,
        state: &str,
        culprit: &str,
        reason: &str,
        at: i64,
    ) -> Result<(), Failed> {
        self.db(|db| {
            db.execute(
                "UPDATE job SET state = ?2, culprit = ?3, reason = ?4, changed_at = ?5 WHERE id = ?1
                 AND (state NOT IN ('released', 'rejected', 'aborted', 'expired')
                      OR (reason = ?6 AND ?2 = 'aborted'))",
                params![id, state, culprit, reason, at, RESTARTED],
            )
            .map(drop)
        })
    }

    /// Released jobs: id, contract, and when each was released.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn released(&self) -> Result<Vec<(String, Vec<u8>, i64)>, Failed> {
        self.db(|db| {
            let mut all =
                db.prepare("SELECT id, contract, changed_at FROM job WHERE state = 'released'")?;
            let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        })
    }

    /// Version and digest of the policy in force.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn policy(&self) -> Result<Option<(u64, String)>, Failed> {
        self.db(|db| {
            db.query_row(
                "SELECT version, digest FROM policy ORDER BY version DESC LIMIT 1",
                [],
                |row| Ok((row.get::<_, u32>(0)?.into(), row.get(1)?)),
            )
            .optional()
        })
    }

    /// Keeps a new version of the policy.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn changed_policy(&self, version: u64, digest: &str, since: i64) -> Result<(), Failed> {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        self.db(|db| {
            db.execute(
                "INSERT INTO policy (version, digest, since) VALUES (?1, ?2, ?3)",
                params![version, digest, since],
            )
            .map(drop)
        })
    }

    /// The key of what stands for ids in this database; `fresh` where there is none yet.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn print_key(&self, fresh: &[u8; 32]) -> Result<[u8; 32], Failed> {
        self.db(|db| {
            db.execute(
                "INSERT OR IGNORE INTO print_key (one, key) VALUES (1, ?1)",
                [&fresh[..]],
            )?;
            db.query_row("SELECT key FROM print_key", [], |row| row.get(0))
        })
    }

    /// What stands for the common customers of jobs with these parties after this time.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn matched_before(
        &self,
        parties: &str,
        after: i64,
    ) -> Result<Vec<(String, Vec<u64>)>, Failed> {
        self.db(|db| {
            let mut found =
                db.prepare("SELECT job, prints FROM matched WHERE parties = ?1 AND at > ?2")?;
            let rows = found.query_map(params![parties, after], |row| {
                let bytes: Vec<u8> = row.get(1)?;
                let (words, _) = bytes.as_chunks::<8>();
                let prints = words.iter().map(|word| u64::from_le_bytes(*word));
                Ok((row.get(0)?, prints.collect()))
            })?;
            rows.collect()
        })
    }

    /// Keeps what stands for the common customers of a job, and forgets what is older than `before`.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn keep_matched(
        &self,
        job: &str,
        parties: &str,
        at: i64,
        prints: &[u64],
        before: i64,
    ) -> Result<(), Failed> {
        let bytes: Vec<u8> = prints
            .iter()
            .flat_map(|print| print.to_le_bytes())
            .collect();
        self.db(|db| {
            db.execute("DELETE FROM matched WHERE at <= ?1", [before])?;
            db.execute(
                "INSERT OR REPLACE INTO matched (job, parties, at, prints) VALUES (?1, ?2, ?3, ?4)",
                params![job, parties, at, bytes],
            )
            .map(drop)
        })
    }

    /// Keeps by which version of the policy a job was judged first; gives that version.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn judged(&self, id: &str, version: u64) -> Result<u64, Failed> {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        self.db(|db| {
            db.execute(
                "INSERT OR IGNORE INTO judged (job, version) VALUES (?1, ?2)",
                params![id, version],
            )?;
            db.query_row("SELECT version FROM judged WHERE job = ?1", [id], |row| {
                row.get::<_, u32>(0).map(u64::from)
            })
        })
    }

    /// Counts a job that begins, with each of `parties`, over a data set.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn count_begun(
        &self,
        job: &str,
        parties: &[String],
        dataset: &str,
        at: i64,
    ) -> Result<(), Failed> {
        self.db(|db| {
            let begun = db.unchecked_transaction()?;
            for party in parties {
                db.execute(
                    "INSERT OR IGNORE INTO begun (job, party, dataset, at) VALUES (?1, ?2, ?3, ?4)",
                    params![job, party, dataset, at],
                )?;
            }
            begun.commit()
        })
    }

    /// Jobs begun after this time: all, with a party, or over a data set, where one is given.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn begun(
        &self,
        party: Option<&str>,
        dataset: Option<&str>,
        after: i64,
    ) -> Result<u64, Failed> {
        self.db(|db| {
            let sql = "SELECT COUNT(DISTINCT job) FROM begun WHERE at > ?1
                 AND (?2 IS NULL OR party = ?2) AND (?3 IS NULL OR dataset = ?3)";
            let jobs: i64 = db.query_row(sql, params![after, party, dataset], |row| row.get(0))?;
            Ok(jobs.unsigned_abs())
        })
    }

    /// The contract of a job that this node knows.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn contract(&self, id: &str) -> Result<Option<Vec<u8>>, Failed> {
        self.db(|db| {
            let sql = "SELECT contract FROM job WHERE id = ?1";
            db.query_row(sql, [id], |row| row.get(0)).optional()
        })
    }

    /// Notes that this node begins a job. False if it has begun it before, or knows no such contract:
    /// then it must not run.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn begin(&self, id: &str, digest: &[u8]) -> Result<bool, Failed> {
        self.db(|db| {
            db.execute(
                "UPDATE job SET started = 1 WHERE id = ?1 AND digest = ?2 AND started = 0",
                params![id, digest],
            )
            .map(|rows| rows == 1)
        })
    }

    /// Alignments begun with a counterpart after this time.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn alignments(&self, counterpart: &str, after: i64) -> Result<u64, Failed> {
        self.db(|db| count(db, counterpart, after))
    }

    /// Counts an alignment with each counterpart, unless one of them has had `limit.0` after the time
    /// `limit.1`: gives that one, and counts none.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn begin_alignment(
        &self,
        job: &str,
        counterparts: &[String],
        at: i64,
        limit: Option<(u32, i64)>,
    ) -> Result<Option<String>, Failed> {
        self.db(|db| {
            let begun = db.unchecked_transaction()?;
            for counterpart in counterparts {
                if let Some((most, after)) = limit
                    && count(db, counterpart, after)? >= u64::from(most)
                {
                    return Ok(Some(counterpart.clone())); // and the transaction is rolled back
                }
                db.execute(
                    "INSERT OR IGNORE INTO alignment (job, counterpart, begun_at) VALUES (?1, ?2, ?3)",
                    params![job, counterpart, at],
                )?;
            }
            begun.commit().map(|()| None)
        })
    }

    /// Rényi divergences that all jobs so far have spent on a data set.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn spent(&self, dataset: &str) -> Result<Spent, Failed> {
        self.db(|db| spent(db, dataset, ""))
    }

    /// The same of all jobs but this one.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn spent_beside(&self, dataset: &str, job: &str) -> Result<Spent, Failed> {
        self.db(|db| spent(db, dataset, job))
    }

    /// Counts a job's divergences on a data set, once, unless `allowed` refuses their total: then it counts
    /// nothing and gives back false.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn spend(
        &self,
        job: &str,
        dataset: &str,
        of_job: &Spent,
        at: i64,
        allowed: impl Fn(&Spent) -> bool,
    ) -> Result<bool, Failed> {
        self.db(|db| {
            let begun = db.unchecked_transaction()?;
            if !allowed(&spent(db, dataset, "")?.and(of_job)) {
                return Ok(false); // and the transaction is rolled back
            }
            let bytes: Vec<u8> = of_job
                .divergences()
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect();
            db.execute(
                "INSERT OR IGNORE INTO privacy (job, dataset, divergences, begun_at) VALUES (?1, ?2, ?3, ?4)",
                params![job, dataset, bytes, at],
            )?;
            begun.commit().map(|()| true)
        })
    }

    /// A job, if known.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn job(&self, id: &str) -> Result<Option<JobRow>, Failed> {
        self.db(|db| {
            db.query_row(
                "SELECT id, state, culprit, reason FROM job WHERE id = ?1",
                [id],
                |r| {
                    Ok(JobRow {
                        id: r.get(0)?,
                        state: r.get(1)?,
                        culprit: r.get(2)?,
                        reason: r.get(3)?,
                    })
                },
            )
            .optional()
        })
    }

    /// Ends jobs that were running when the node stopped; returns how many.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn interrupted(&self, at: i64) -> Result<usize, Failed> {
        self.db(|db| {
            db.execute(
                "UPDATE job SET state = 'aborted', reason = ?2, changed_at = ?1
                 WHERE state IN ('aligning', 'preparing', 'training', 'evaluating')",
                params![at, RESTARTED],
            )
        })
    }

    /// Whether a job has ended in a way that nothing changes any more. One that was cut off by a restart is
    /// aborted, and may still be told why.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn has_ended(&self, id: &str) -> Result<bool, Failed> {
        self.db(|db| {
            db.prepare(
                "SELECT 1 FROM job WHERE id = ?1 AND reason <> ?2
                 AND state IN ('released', 'rejected', 'aborted', 'expired')",
            )?
            .exists(params![id, RESTARTED])
        })
    }

    /// Jobs of which this node has not heard from the coordinator how they ended, the newest first.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn unfinished(&self) -> Result<Vec<String>, Failed> {
        self.db(|db| {
            let mut found = db.prepare(
                "SELECT id FROM job
                 WHERE state NOT IN ('released', 'rejected', 'aborted', 'expired') OR reason = ?1
                 ORDER BY proposed_at DESC LIMIT 1024",
            )?;
            let rows = found.query_map([RESTARTED], |row| row.get(0))?;
            rows.collect()
        })
    }
}

fn count(db: &Connection, counterpart: &str, after: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT COUNT(*) FROM alignment WHERE counterpart = ?1 AND begun_at > ?2";
    let rows: i64 = db.query_row(sql, params![counterpart, after], |row| row.get(0))?;
    Ok(rows.unsigned_abs())
}

/// Of all jobs but `beside`.
fn spent(db: &Connection, dataset: &str, beside: &str) -> rusqlite::Result<Spent> {
    let sql = "SELECT divergences FROM privacy WHERE dataset = ?1 AND job <> ?2";
    let mut query = db.prepare(sql)?;
    let rows = query.query_map([dataset, beside], |row| row.get::<_, Vec<u8>>(0))?;
    let mut total = Spent::default();
    for bytes in rows {
        let bytes = bytes?;
        let (words, _) = bytes.as_chunks::<8>();
        let by_order = words.iter().map(|w| f64::from_le_bytes(*w)).collect();
        // what cannot be read must not count as nothing
        let one = Spent::from_divergences(by_order).map_err(|e| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(e))
        })?;
        total = total.and(&one);
    }
    Ok(total)
}

#[cfg(test)]
mod tests;
