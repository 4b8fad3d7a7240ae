//! From the log and what others sent: the bundle of a job.

use std::{fs, path::PathBuf};

use paripassu_audit::{
    bundle::{Artifact, Bundle, BundleError, FORMAT, FrameList, LogPart, SignedStatement},
    event::{Body, Envelope, hex},
    log::LogError,
    note::SignedCheckpoint,
};
use paripassu_proto::{JobId, control::v1 as pb};

use super::{Transcript, TranscriptError};
use crate::transport::StepReport;

/// Why a bundle is not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum AssembleError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("this node has never seen the job's contract")]
    Unknown,
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What this node's log holds of a job under the head of this size.
pub(super) fn own_part(
    transcript: &Transcript,
    job: &JobId,
    size: u64,
    heads: &[u64],
    private: bool,
) -> Result<LogPart, AssembleError> {
    let log = &transcript.log;
    let head = log.checkpoint_at(size)?.ok_or(AssembleError::Unknown)?;
    let mut earlier: Vec<SignedCheckpoint> = Vec::new();
    for old in heads.iter().filter(|old| **old < size) {
        earlier.extend(log.checkpoint_at(*old)?);
    }
    let certificates = transcript.identity.certificate_pem();
    Ok(LogPart::of_log(
        log,
        job.as_str(),
        &[certificates],
        &head,
        &earlier,
        private,
    )?)
}

fn statement(signed: &pb::Signed) -> SignedStatement {
    SignedStatement::new(&signed.statement, &signed.signature, &signed.chain)
}

/// The result files that this node has written down.
fn artifacts(part: &LogPart) -> Vec<Artifact> {
    let mut found: Vec<Artifact> = Vec::new();
    for event in &part.events {
        let Some(body) = event.body.as_deref() else {
            continue;
        };
        let Ok(envelope) = Envelope::parse(event.envelope.as_bytes()) else {
            continue;
        };
        if let Ok(Body::ModelCommitted(model)) = Body::parse(&envelope.event, body) {
            for file in model.files {
                found.retain(|a| a.name != file.name);
                found.push(Artifact {
                    name: file.name,
                    sha256: file.sha256,
                    bytes: file.bytes,
                });
            }
        }
    }
    found
}

/// The frames of the steps that this node has written down as finished.
fn frames(
    transcript: &Transcript,
    job: &str,
    steps: &[StepReport],
) -> Result<Vec<FrameList>, AssembleError> {
    let finished = transcript.with(job, |facts| facts.finished.clone())?;
    let mut lists = Vec::new();
    for report in steps.iter().filter(|s| finished.contains(&s.step)) {
        for flows in &report.peers {
            for (direction, flow) in [("sent", &flows.sent), ("received", &flows.received)] {
                if !flow.frames().is_empty() {
                    lists.push(FrameList {
                        step: report.step.clone(),
                        peer: flows.peer.to_string(),
                        direction: direction.to_owned(),
                        digests: flow.frames().iter().map(|digest| hex(digest)).collect(),
                    });
                }
            }
        }
    }
    Ok(lists)
}

/// Writes the bundle into the state folder; returns where, and the logs that had to be left out.
pub(super) fn write(
    transcript: &Transcript,
    job: &JobId,
    size: u64,
    heads: &[u64],
    others: Vec<LogPart>,
    steps: Vec<StepReport>,
) -> Result<(PathBuf, Vec<String>), AssembleError> {
    let (proposal, decisions) = transcript.with(job.as_str(), |facts| {
        (facts.proposal.clone(), facts.decisions.clone())
    })?;
    let proposal = proposal.ok_or(AssembleError::Unknown)?;
    let own = own_part(transcript, job, size, heads, true)?;
    let artifacts = artifacts(&own);
    let node = own.origin.clone();
    let mut bundle = Bundle {
        format: FORMAT.to_owned(),
        job: job.to_string(),
        node,
        contract: String::from_utf8_lossy(&proposal.contract).into_owned(),
        submission: statement(&proposal.submission.unwrap_or_default()),
        approvals: decisions.values().map(statement).collect(),
        frames: frames(transcript, job.as_str(), &steps)?,
        logs: vec![own],
        artifacts,
        authority: transcript.identity.trust().authority_pem().to_owned(),
    };
    // what another node sent may be no part of any bundle: it must not spoil this one
    let mut left_out = Vec::new();
    for other in others {
        let origin = other.origin.clone();
        bundle.logs.push(other);
        if let Err(error) = bundle.to_text() {
            tracing::warn!(%job, origin, %error, "another node's events are left out of the bundle");
            bundle.logs.pop();
            left_out.push(origin);
        }
    }
    let path = transcript.bundle_path(job.as_str());
    let failed = |what, path: &PathBuf| {
        let path = path.clone();
        move |source| AssembleError::Io { what, path, source }
    };
    let folder = super::bundles(&transcript.state);
    fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
    let part = path.with_extension("part");
    if part.exists() {
        fs::remove_file(&part).map_err(failed("remove", &part))?;
    }
    bundle.save(&part)?;
    fs::rename(&part, &path).map_err(failed("rename", &part))?;
    Ok((path, left_out))
}
