//! One job's part of the transcript, as whoever plays the job sees it.

use std::{fmt, path::Path, sync::Arc};

use paripassu_audit::event::{
    Body,
    bodies::{Disclosure, PeerFlow, StepFinished, StepStarted},
};
use paripassu_proto::{JobId, NodeId};

use super::{Blame, Exchange, Transcript, TranscriptError, facts::cpu_seconds};
use crate::transport::{JobChannel, JobCore, StepWatcher};

/// The transcript of one job at this node. Clones write to the same.
///
/// A node without a transcript, as in measurements, has an empty one that takes everything.
#[derive(Clone, Default)]
pub struct Record(Option<Inner>);

#[derive(Clone)]
struct Inner {
    transcript: Arc<Transcript>,
    exchange: Exchange,
    core: Arc<JobCore>,
    job: JobId,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(inner) => write!(f, "Record({})", inner.job),
            None => f.write_str("Record(none)"),
        }
    }
}

impl Record {
    pub(crate) fn new(
        transcript: Arc<Transcript>,
        exchange: Exchange,
        core: Arc<JobCore>,
        job: JobId,
    ) -> Self {
        core.watch(Box::new(Watcher {
            transcript: Arc::clone(&transcript),
            job: job.clone(),
        }));
        Self(Some(Inner {
            transcript,
            exchange,
            core,
            job,
        }))
    }

    /// Writes an event down.
    ///
    /// # Errors
    /// When the log cannot be written: the job must not go on.
    pub fn event(&self, body: impl Into<Body>) -> Result<(), TranscriptError> {
        match &self.0 {
            Some(inner) => inner.transcript.write_soon(inner.job.as_str(), body),
            None => Ok(()),
        }
    }

    /// Writes an opening down before it happens. From here on this node sends nothing in the job until
    /// every other member has countersigned a head that holds it.
    ///
    /// # Errors
    /// When the log cannot be written: nothing may be opened.
    pub fn disclose(&self, opening: Disclosure) -> Result<(), TranscriptError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.transcript.write_soon(inner.job.as_str(), opening)?;
        self.countersign();
        Ok(())
    }

    /// Asks all members to countersign; nothing is sent in the job until they have.
    pub(crate) fn countersign(&self) {
        if let Some(inner) = &self.0 {
            inner.core.gate().shut();
            inner.exchange.ask(&inner.job);
        }
    }

    /// Writes down as finished those steps that `which` names and that are not yet. To be called when
    /// everything of them has been sent and received.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn steps_done(
        &self,
        channel: &JobChannel,
        which: impl Fn(&str) -> bool,
    ) -> Result<(), TranscriptError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let job = inner.job.as_str();
        let now = cpu_seconds();
        for report in channel.steps() {
            let due = inner.transcript.with(job, |facts| {
                let due = which(&report.step) && !facts.finished.contains(&report.step);
                due.then(|| facts.cpu_of(&report.step, now))
            })?;
            let Some(cpu) = due else { continue };
            let peers = report.peers.iter().map(|flows| PeerFlow {
                peer: flows.peer.to_string(),
                sent: flows.sent.flow(),
                received: flows.received.flow(),
            });
            let body = StepFinished {
                step: report.step.clone(),
                wall_s: format!("{:.3}", report.seconds),
                cpu_s: format!("{cpu:.2}"),
                peers: peers.collect(),
            };
            inner.transcript.write_soon(job, body)?;
        }
        Ok(())
    }

    /// Ends the job well: writes it down, exchanges events with the other members and writes the
    /// bundle.
    ///
    /// # Errors
    /// When the log cannot be written or a member does not countersign what it is shown.
    pub(crate) async fn complete(&self, channel: &JobChannel) -> Result<(), Blame> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let written = self
            .steps_done(channel, |_| true)
            .and_then(|()| inner.transcript.completed(inner.job.as_str()));
        if let Err(error) = written {
            return Err(failed(&inner.transcript, &error));
        }
        inner.exchange.finish(&inner.job, true).await
    }

    /// Ends the job badly; what can still be exchanged is, in the background.
    pub(crate) fn abort(&self, culprit: Option<&NodeId>, step: &str, code: &str) {
        let Some(inner) = &self.0 else { return };
        let job = inner.job.as_str();
        let culprit = culprit.map(NodeId::as_str);
        if let Err(error) = inner.transcript.aborted(job, culprit, step, code) {
            tracing::error!(job, %error, "the end of a job is not in the transcript");
        }
        inner.exchange.finish_soon(&inner.job);
    }

    /// Lays a copy of the job's bundle into a folder of results.
    pub(crate) async fn lay_bundle(&self, folder: &Path) {
        let Some(inner) = &self.0 else { return };
        let from = inner.transcript.bundle_path(inner.job.as_str());
        let to = folder.join(format!("{}.bundle", inner.job));
        let copied = tokio::task::spawn_blocking(move || std::fs::copy(&from, &to)).await;
        match copied {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(job = %inner.job, %error, "no bundle beside the results")
            }
            Err(error) => tracing::error!(%error, "copying the bundle failed"),
        }
    }

    /// Who broke the rules of the transcript in this job, if anybody did.
    pub(crate) fn blame(&self) -> Option<Blame> {
        let inner = self.0.as_ref()?;
        inner.exchange.blame(&inner.job)
    }
}

/// This node's own failure to write.
pub(super) fn failed(transcript: &Transcript, error: &TranscriptError) -> Blame {
    Blame {
        culprit: Some(transcript.peer().id.clone()),
        code: "transcript_failed",
        reason: error.to_string(),
    }
}

struct Watcher {
    transcript: Arc<Transcript>,
    job: JobId,
}

impl StepWatcher for Watcher {
    fn began(&self, step: &str) -> Result<(), String> {
        let begun = self.transcript.with(self.job.as_str(), |facts| {
            facts.cpu.push((step.to_owned(), cpu_seconds()));
        });
        // what training and release compute on shares uses what the helper deals
        let dealt = step == "corr" || step.starts_with("train") || step.starts_with("release/");
        let body = StepStarted {
            step: step.to_owned(),
            randomness: if dealt { "helper" } else { "none" }.into(),
            parameters: None,
        };
        begun
            .and_then(|()| self.transcript.write_soon(self.job.as_str(), body))
            .map_err(|error| error.to_string())
    }
}
