//! What a node has written of a job so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Instant,
};

use paripassu_audit::{
    event::{Body, Envelope},
    log::Log,
};

use super::{
    TranscriptError,
    papers::{self, Papers},
};

/// Events that end a job at a node.
pub(super) const ENDS: [&str; 3] = ["run.completed", "aborted", "job.rejected"];

/// What a node has written of one job; read from the log when the job is first touched.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The node's role in the job, as in its events.
    pub(super) role: String,
    /// How many of each kind stand in the log.
    pub(super) counts: BTreeMap<String, u64>,
    /// The contract's digest and the data parties, as written down with the proposal.
    pub(super) terms: Option<(String, Vec<String>)>,
    /// The statements written down: of each party at most one that approves and one that rejects.
    pub(super) decided: BTreeMap<(String, bool), String>,
    /// Steps that are written down as finished.
    pub(super) finished: BTreeSet<String>,
    /// When its work began in this process.
    pub(super) since: Option<Instant>,
    /// Processor time of this process, in seconds, when each step began, in their order.
    pub(super) cpu: Vec<(String, f64)>,
    /// Contract, submission and those decisions, as signed.
    pub(super) papers: Option<Papers>,
}

impl Facts {
    pub(super) fn read(log: &Log, state: &Path, job: &str) -> Result<Self, TranscriptError> {
        let papers = Papers::load(state, job).map_err(|source| TranscriptError::Papers {
            path: papers::path(state, job),
            source,
        })?;
        let mut facts = Self {
            role: "node".into(),
            papers,
            ..Self::default()
        };
        for entry in log.job_entries(job)? {
            let Ok(envelope) = Envelope::parse(&entry.envelope) else {
                continue;
            };
            facts.role = envelope.role;
            let body = entry.body.and_then(|body| String::from_utf8(body).ok());
            let body = body.and_then(|body| Body::parse(&envelope.event, &body).ok());
            facts.count(&envelope.event, body.as_ref());
        }
        Ok(facts)
    }

    /// Counts an event that stands in the log.
    pub(super) fn count(&mut self, event: &str, body: Option<&Body>) {
        *self.counts.entry(event.to_owned()).or_default() += 1;
        match body {
            Some(Body::JobProposed(b)) => {
                self.terms = Some((b.contract.clone(), b.parties.clone()));
            }
            Some(Body::JobApproved(b)) => {
                let key = (b.party.clone(), true);
                self.decided.insert(key, b.statement.clone());
            }
            Some(Body::JobRejected(b)) => {
                let key = (b.party.clone(), false);
                self.decided.insert(key, b.statement.clone());
            }
            Some(Body::StepFinished(b)) => {
                self.finished.insert(b.step.clone());
            }
            _ => {}
        }
    }

    pub(super) fn of(&self, event: &str) -> u64 {
        self.counts.get(event).copied().unwrap_or(0)
    }

    /// Whether the log has an event that ends the job here.
    pub(super) fn ended(&self) -> bool {
        ENDS.iter().any(|end| self.of(end) > 0)
    }

    /// Processor time from this step's beginning to that of the next.
    pub(super) fn cpu_of(&self, step: &str, now: f64) -> f64 {
        let at = self.cpu.iter().position(|(s, _)| s == step);
        let begun = at.and_then(|at| self.cpu.get(at)).map_or(now, |(_, t)| *t);
        let next = at.and_then(|at| self.cpu.get(at + 1));
        (next.map_or(now, |(_, t)| *t) - begun).max(0.0)
    }
}

/// Processor time of this process in seconds, where the system tells.
pub(super) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // after the name in parentheses: state is field 3, user and system time are 14 and 15, in 1/100 s
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .and_then(|t| t.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks() + ticks()) / 100.0
}
