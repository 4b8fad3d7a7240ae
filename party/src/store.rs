//! This node's database: the jobs it has seen, what it decided, and how they ended.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use paripassu_crypto::dp::Spent;
use paripassu_service::store::{self, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

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
        self.db(|db| spent(db, dataset))
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
            if !allowed(&spent(db, dataset)?.and(of_job)) {
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

fn spent(db: &Connection, dataset: &str) -> rusqlite::Result<Spent> {
    let mut query = db.prepare("SELECT divergences FROM privacy WHERE dataset = ?1")?;
    let rows = query.query_map([dataset], |row| row.get::<_, Vec<u8>>(0))?;
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
mod tests {
    use super::*;

    #[test]
    fn privacy_is_spent_once_a_job_and_no_more_than_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let of = |steps| Spent::on_sums(0.1, 2.0, steps).unwrap();
        let cap = of(250).epsilon(1e-6);
        let within = |total: &Spent| total.epsilon(1e-6) <= cap + 1e-9;
        {
            let s = Store::open(dir.path()).unwrap();
            assert!(s.spend("j1", "loans", &of(100), 1, within).unwrap());
            assert!(
                s.spend("j1", "loans", &of(100), 1, within).unwrap(),
                "counted once"
            );
            assert!(s.spend("j2", "cards", &of(250), 2, within).unwrap());
        }
        // and a restart forgets none
        let s = Store::open(dir.path()).unwrap();
        assert!(!s.spend("j3", "loans", &of(151), 3, within).unwrap());
        assert!(s.spend("j4", "loans", &of(150), 4, within).unwrap());
        assert!(!s.spend("j5", "loans", &of(1), 5, within).unwrap());
        let total = s.spent("loans").unwrap().epsilon(1e-6);
        assert!((total - cap).abs() < 1e-9);
        assert_eq!(s.spent("other").unwrap(), Spent::default());
    }

    #[test]
    fn an_end_is_final_and_a_restart_may_be_told_why() {
        let dir = tempfile::tempdir().unwrap();
        let s = Store::open(dir.path()).unwrap();
        for id in ["a", "b"] {
            s.proposed(id, b"digest", b"contract", "user/m", 1).unwrap();
            assert!(!s.has_ended(id).unwrap());
        }
        let state = |id: &str| s.job(id).unwrap().unwrap().state;
        s.state("a", "released", "", "", 2).unwrap();
        assert!(s.has_ended("a").unwrap());
        s.state("a", "aborted", "p", "a lie", 3).unwrap();
        s.state("a", "proposed", "", "", 3).unwrap();
        assert_eq!(state("a"), "released");
        s.state("b", "training", "", "", 4).unwrap();
        assert_eq!(s.interrupted(5).unwrap(), 1);
        assert_eq!(s.unfinished().unwrap(), ["b"]);
        // its results are destroyed: it is not released here, whatever became of it elsewhere
        s.state("b", "released", "", "", 6).unwrap();
        assert_eq!(state("b"), "aborted");
        s.state("b", "aborted", "b", "gone", 6).unwrap();
        assert_eq!(s.job("b").unwrap().unwrap().reason, "gone");
        assert!(s.has_ended("b").unwrap() && s.unfinished().unwrap().is_empty());
    }

    #[test]
    fn alignments_are_counted_by_counterpart_and_period() {
        let dir = tempfile::tempdir().unwrap();
        let (both, one) = (["p".to_owned(), "q".to_owned()], ["p".to_owned()]);
        {
            let s = Store::open(dir.path()).unwrap();
            let limit = Some((2, 0));
            assert_eq!(s.begin_alignment("j1", &one, 10, limit).unwrap(), None);
            assert_eq!(s.begin_alignment("j2", &both, 20, limit).unwrap(), None);
        }
        // and a restart forgets none
        let s = Store::open(dir.path()).unwrap();
        let other_order = ["q".to_owned(), "p".to_owned()];
        let refused = s
            .begin_alignment("j3", &other_order, 30, Some((2, 0)))
            .unwrap();
        assert_eq!(refused.as_deref(), Some("p"));
        assert_eq!(
            s.alignments("q", 0).unwrap(),
            1,
            "a refusal counts for nobody"
        );
        // the first has left the period
        assert_eq!(
            s.begin_alignment("j4", &both, 40, Some((2, 15))).unwrap(),
            None
        );
        assert_eq!(s.begin_alignment("j5", &one, 50, None).unwrap(), None);
        assert_eq!(s.alignments("p", 15).unwrap(), 3);
    }

    #[test]
    fn jobs_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        {
            let s = Store::open(dir.path()).unwrap();
            s.proposed("j1", &[1], b"{}", "user/m", 5).unwrap();
            s.proposed("j1", &[2], b"x", "user/other", 6).unwrap();
            s.decided("j1", "bank", true, "", 6).unwrap();
            s.decided("unknown", "bank", true, "", 6).unwrap();
            s.state("j1", "training", "", "", 7).unwrap();
        }
        let s = Store::open(dir.path()).unwrap();
        assert_eq!(s.job("j1").unwrap().unwrap().state, "training");
        assert!(!s.begin("j1", &[9]).unwrap(), "another contract");
        assert!(s.begin("j1", &[1]).unwrap());
        assert!(!s.begin("j1", &[1]).unwrap(), "a second start");
        assert_eq!(s.interrupted(9).unwrap(), 1);
        let j = s.job("j1").unwrap().unwrap();
        assert_eq!(
            (j.state.as_str(), j.reason.as_str()),
            ("aborted", "this node was restarted")
        );
        assert_eq!(s.job("j2").unwrap(), None);
    }
}
