//! The coordinator's database: jobs, decisions, and a history nobody can rewrite through it.

use std::path::Path;

use bytes::Bytes;
use paripassu_proto::{
    HeadError, HeadReader, IdError, JobId, NodeId, Peer,
    control::v1::{self as pb, JobState},
};
use paripassu_service::{
    signing::{Decision, StatementError, contract_digest},
    store::{self, StoreError},
};
use prost::Message;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use crate::job::Job;

const MIGRATIONS: [&str; 1] = ["
CREATE TABLE jobs (
    job TEXT PRIMARY KEY,
    contract BLOB NOT NULL,
    submission BLOB NOT NULL,
    submitter TEXT NOT NULL,
    submitted_at INTEGER NOT NULL,
    state INTEGER NOT NULL,
    approved_at INTEGER,
    abort BLOB
) STRICT;
CREATE TABLE decisions (
    job TEXT NOT NULL REFERENCES jobs (job),
    node TEXT NOT NULL,
    decided_at INTEGER NOT NULL,
    signed BLOB NOT NULL,
    PRIMARY KEY (job, node)
) STRICT;
CREATE TABLE events (
    job TEXT NOT NULL REFERENCES jobs (job),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state INTEGER NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
    BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
"];

/// Why a stored job cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// SQLite refused.
    #[error("the coordinator's database cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A name in it is malformed.
    #[error("the coordinator's database holds a malformed name: {0}")]
    Id(#[from] IdError),
    /// A contract in it cannot be read.
    #[error("the contract of job `{job}` in the coordinator's database: {source}")]
    Contract {
        /// Which job.
        job: String,
        /// Why.
        source: HeadError,
    },
    /// A message in it cannot be decoded.
    #[error("the coordinator's database holds a malformed message: {0}")]
    Decode(#[from] prost::DecodeError),
    /// A decision in it cannot be read.
    #[error("the coordinator's database holds a malformed decision: {0}")]
    Statement(#[from] StatementError),
}

pub(crate) struct Store(Connection);

/// What happened to a job, for its history.
pub(crate) struct Entry<'a> {
    pub(crate) at: i64,
    pub(crate) actor: &'a str,
    pub(crate) detail: &'a str,
}

impl Store {
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        Ok(Self(store::open(&dir.join("coordinator.db"), &MIGRATIONS)?))
    }

    /// Adds a job in the state `proposed`.
    pub(crate) fn add(&mut self, job: &Job, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let step = self.0.transaction()?;
        let submission = job.proposal.submission.clone().unwrap_or_default();
        step.execute(
            "INSERT INTO jobs (job, contract, submission, submitter, submitted_at, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                job.head.job.as_str(),
                &job.proposal.contract[..],
                submission.encode_to_vec(),
                job.submitter.to_string(),
                job.proposal.submitted_at,
                i32::from(job.state),
            ],
        )?;
        append(&step, job, entry)?;
        step.commit()
    }

    /// Adds a decision.
    pub(crate) fn decide(
        &mut self,
        job: &Job,
        node: &NodeId,
        signed: &pb::Signed,
        entry: &Entry<'_>,
    ) -> rusqlite::Result<()> {
        let step = self.0.transaction()?;
        step.execute(
            "INSERT INTO decisions (job, node, decided_at, signed) VALUES (?1, ?2, ?3, ?4)",
            params![
                job.head.job.as_str(),
                node.as_str(),
                entry.at,
                signed.encode_to_vec()
            ],
        )?;
        append(&step, job, entry)?;
        step.commit()
    }

    /// Records the state a job has entered, or a remark on the one it is in.
    pub(crate) fn record(&mut self, job: &Job, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let step = self.0.transaction()?;
        step.execute(
            "UPDATE jobs SET state = ?2, approved_at = ?3, abort = ?4 WHERE job = ?1",
            params![
                job.head.job.as_str(),
                i32::from(job.state),
                job.approved_at,
                job.abort.as_ref().map(Message::encode_to_vec),
            ],
        )?;
        append(&step, job, entry)?;
        step.commit()
    }

    pub(crate) fn events(&self, job: &JobId) -> rusqlite::Result<Vec<pb::JobEvent>> {
        let mut rows = self.0.prepare_cached(
            "SELECT number, at, state, actor, detail FROM events WHERE job = ?1 ORDER BY number",
        )?;
        let rows = rows.query_map([job.as_str()], |row| {
            Ok(pb::JobEvent {
                number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default(),
                at: row.get(1)?,
                state: row.get(2)?,
                actor: row.get(3)?,
                detail: row.get(4)?,
            })
        })?;
        rows.collect()
    }

    /// All jobs as they were left.
    pub(crate) fn load(&self, heads: &HeadReader) -> Result<Vec<Job>, LoadError> {
        let mut rows = self.0.prepare(
            "SELECT job, contract, submission, submitter, submitted_at, state, approved_at, abort
             FROM jobs",
        )?;
        let mut rows = rows.query([])?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            let id: String = row.get(0)?;
            let contract: Vec<u8> = row.get(1)?;
            let head = heads
                .read(&contract)
                .map_err(|source| LoadError::Contract {
                    job: id.clone(),
                    source,
                })?;
            let digest = contract_digest(&contract);
            let submission = pb::Signed::decode(&row.get::<_, Vec<u8>>(2)?[..])?;
            let submitter: Peer = row.get::<_, String>(3)?.parse()?;
            let proposal = pb::Proposal {
                job: id.clone(),
                contract: Bytes::from(contract),
                submission: Some(submission),
                submitted_at: row.get(4)?,
            };
            let abort: Option<Vec<u8>> = row.get(7)?;
            let mut job = Job {
                head,
                proposal,
                digest,
                submitter,
                state: JobState::try_from(row.get::<_, i32>(5)?).unwrap_or(JobState::Unspecified),
                approved_at: row.get(6)?,
                decisions: Default::default(),
                progress: Default::default(),
                links: Default::default(),
                completed: Default::default(),
                away: Default::default(),
                closed_without: Default::default(),
                told: Default::default(),
                abort: abort
                    .map(|bytes| pb::Abort::decode(&bytes[..]))
                    .transpose()?,
                watchers: watch::Sender::new(pb::JobStatus::default()),
            };
            if job.state == JobState::Released {
                // whom it was released without, its history says
                job.completed = job.head.parties.iter().cloned().collect();
            }
            let mut decided = self
                .0
                .prepare_cached("SELECT node, signed FROM decisions WHERE job = ?1")?;
            let mut decided = decided.query([&id])?;
            while let Some(row) = decided.next()? {
                let node: NodeId = row.get::<_, String>(0)?.parse()?;
                let signed = pb::Signed::decode(&row.get::<_, Vec<u8>>(1)?[..])?;
                let decision = Decision::from_bytes(&signed.statement)?;
                job.decisions.insert(node, (signed, decision));
            }
            jobs.push(job);
        }
        Ok(jobs)
    }
}

fn append(db: &Connection, job: &Job, entry: &Entry<'_>) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO events (job, number, at, state, actor, detail)
         SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM events WHERE job = ?1",
        params![
            job.head.job.as_str(),
            entry.at,
            i32::from(job.state),
            entry.actor,
            entry.detail
        ],
    )?;
    Ok(())
}
