//! From the log and what others sent: the bundle of a job.

use std::{
    fs,
    path::{Path, PathBuf},
};

use paripassu_audit::{
    bundle::{Artifact, Bundle, BundleError, FORMAT, FrameList, LogPart},
    event::{Body, Envelope, hex},
    log::{Log, LogError},
    note::SignedCheckpoint,
};

use super::{
    Transcript, TranscriptError,
    papers::{self, Papers},
};
use crate::transport::StepReport;

/// Why a bundle is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// It would be none.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What is known of the job cannot be read.
    #[error(transparent)]
    Transcript(#[from] TranscriptError),
    /// It cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Nothing is known of the contract.
    #[error("this node has never seen the job's contract")]
    Unknown,
    /// The file system refused.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The certificate given and those of other keys that signed these events.
fn certificates(
    part: &LogPart,
    state: &Path,
    certificate: &str,
) -> Result<Vec<String>, AssembleError> {
    let events = part.events.iter().chain(&part.node_events);
    let key = |envelope: &str| Some(Envelope::parse(envelope.as_bytes()).ok()?.sig.key);
    let keys = events.filter_map(|event| key(&event.envelope)).collect();
    let kept = papers::certificates(state, &keys).map_err(|source| AssembleError::Io {
        what: "read the certificates in",
        path: papers::folder(state),
        source,
    })?;
    let mut all = vec![certificate.to_owned()];
    all.extend(kept.into_iter().filter(|pem| pem != certificate));
    Ok(all)
}

/// What this node's log holds of a job under the head of this size.
pub(super) fn own_part(
    log: &Log,
    (state, certificate): (&Path, &str),
    job: &str,
    size: u64,
    heads: &[u64],
    private: bool,
) -> Result<LogPart, AssembleError> {
    let head = log.checkpoint_at(size)?.ok_or(AssembleError::Unknown)?;
    let mut earlier: Vec<SignedCheckpoint> = Vec::new();
    for old in heads.iter().filter(|old| **old < size) {
        earlier.extend(log.checkpoint_at(*old)?);
    }
    let certificate = certificate.to_owned();
    let only = std::slice::from_ref(&certificate);
    let mut part = LogPart::of_log(log, job, only, &head, &earlier, private)?;
    part.certificates = certificates(&part, state, &certificate)?;
    Ok(part)
}

/// The sizes of the heads that were signed while this job stood in the log.
pub(super) fn heads(log: &Log, job: &str) -> Result<Vec<u64>, AssembleError> {
    let entries = log.job_entries(job)?;
    let first = entries.first().map_or(u64::MAX, |entry| entry.index);
    let sizes = log.checkpoint_sizes().into_iter();
    Ok(sizes.filter(|size| *size > first).collect())
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

/// The bundle without the logs of others.
pub(super) fn own_bundle(
    log: &Log,
    state: &Path,
    papers: Papers,
    job: &str,
    (size, heads): (u64, &[u64]),
    frames: Vec<FrameList>,
) -> Result<Bundle, AssembleError> {
    let own = own_part(log, (state, &papers.certificate), job, size, heads, true)?;
    let artifacts = artifacts(&own);
    Ok(Bundle {
        format: FORMAT.to_owned(),
        job: job.to_owned(),
        node: own.origin.clone(),
        contract: papers.contract,
        submission: papers.submission,
        approvals: papers.decisions,
        frames,
        logs: vec![own],
        artifacts,
        authority: papers.authority,
    })
}

/// Adds the logs of others, but for those that may stand in no bundle and must not spoil this one; returns its text
/// and the origins left out.
fn with_others(
    bundle: &mut Bundle,
    others: Vec<LogPart>,
) -> Result<(String, Vec<String>), AssembleError> {
    let own = bundle.logs.len();
    bundle.logs.extend(others);
    if let Ok(text) = bundle.to_text() {
        return Ok((text, Vec::new()));
    }
    let others = bundle.logs.split_off(own);
    let mut left_out = Vec::new();
    for other in others {
        let origin = other.origin.clone();
        bundle.logs.push(other);
        if let Err(error) = bundle.to_text() {
            let job = &bundle.job;
            tracing::warn!(job, origin, %error, "another node's events are left out of the bundle");
            bundle.logs.pop();
            left_out.push(origin);
        }
    }
    Ok((bundle.to_text()?, left_out))
}

/// Writes the bundle into the state folder; returns where, and the logs that had to be left out.
pub(super) fn write(
    transcript: &Transcript,
    job: &str,
    size: u64,
    heads: &[u64],
    others: Vec<LogPart>,
    steps: &[StepReport],
) -> Result<(PathBuf, Vec<String>), AssembleError> {
    let papers = transcript.with(job, |facts| facts.papers.clone())?;
    let papers = Papers {
        // a key may have been renewed since the proposal
        certificate: transcript.identity.certificate_pem(),
        ..papers.ok_or(AssembleError::Unknown)?
    };
    let frames = frames(transcript, job, steps)?;
    let mut bundle = own_bundle(
        &transcript.log,
        &transcript.state,
        papers,
        job,
        (size, heads),
        frames,
    )?;
    let (text, left_out) = with_others(&mut bundle, others)?;
    let path = transcript.bundle_path(job);
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
    Bundle::save_text(&text, &part)?;
    fs::rename(&part, &path).map_err(failed("rename", &part))?;
    transcript.bundled(job)?;
    Ok((path, left_out))
}
