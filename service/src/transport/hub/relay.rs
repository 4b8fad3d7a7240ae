//! Relaying frames and credit between the members of a job.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use paripassu_proto::{
    JobId, Peer,
    control::v1::packet::Body,
    exchange::v1::{Credit, Frame},
    limits,
};

use super::{HubEvent, HubInner};
use crate::transport::link::LinkError;

/// A job whose members may exchange frames.
pub(super) struct HubJob {
    members: HashMap<String, Peer>,
    /// Credit left by (sender, receiver).
    credit: Mutex<HashMap<(String, String), u64>>,
}

impl HubJob {
    pub(super) fn new(members: impl IntoIterator<Item = Peer>) -> Self {
        let members = members
            .into_iter()
            .map(|p| (p.id.as_str().to_owned(), p))
            .collect();
        Self {
            members,
            credit: Mutex::default(),
        }
    }

    /// Takes credit for one frame; false when there is not enough.
    fn spend(&self, from: &str, to: &str, bytes: u64) -> bool {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let left = credit.entry((from.to_owned(), to.to_owned())).or_default();
        match left.checked_sub(bytes) {
            Some(rest) => {
                *left = rest;
                true
            }
            None => false,
        }
    }

    /// Adds credit; false when more than the limit would be outstanding.
    fn grant(&self, sender: &str, receiver: &str, bytes: u64) -> bool {
        let mut credit = self.credit.lock().unwrap_or_else(PoisonError::into_inner);
        let left = credit
            .entry((sender.to_owned(), receiver.to_owned()))
            .or_default();
        match left.checked_add(bytes) {
            Some(sum) if sum <= limits::MAX_CREDIT => {
                *left = sum;
                true
            }
            _ => false,
        }
    }
}

/// What a frame is charged.
pub(crate) fn charge(chunk: usize) -> u64 {
    chunk as u64 + limits::FRAME_CHARGE
}

impl HubInner {
    pub(super) fn relay_frame(&self, peer: &Peer, frame: Frame) -> Result<(), LinkError> {
        let Some(job) = self.jobs().get(&frame.job).cloned() else {
            return Ok(()); // late: the job has ended
        };
        if frame.from != peer.id.as_str() || job.members.get(&frame.from) != Some(peer) {
            return self.violation(&frame.job, peer, "it sent a frame under another's name");
        }
        let Some(to) = job.members.get(&frame.to).filter(|to| *to != peer) else {
            return self.violation(&frame.job, peer, "it sent a frame to no member of the job");
        };
        if frame.chunk.len() > limits::MAX_CHUNK + limits::SEAL_OVERHEAD
            || frame.tag.len() > limits::MAX_TAG
        {
            return self.violation(&frame.job, peer, "it sent a frame larger than any may be");
        }
        if !job.spend(&frame.from, &frame.to, charge(frame.chunk.len())) {
            return self.violation(
                &frame.job,
                peer,
                "it sent more than the receiver had asked for",
            );
        }
        match &self.tap {
            None => self.forward(to, Body::Frame(frame)),
            Some(tap) => {
                for frame in tap.relay(frame) {
                    self.forward(to, Body::Frame(frame));
                }
            }
        }
        Ok(())
    }

    pub(super) fn relay_credit(&self, peer: &Peer, credit: Credit) -> Result<(), LinkError> {
        let Some(job) = self.jobs().get(&credit.job).cloned() else {
            return Ok(());
        };
        if credit.from != peer.id.as_str() || job.members.get(&credit.from) != Some(peer) {
            return self.violation(&credit.job, peer, "it gave credit under another's name");
        }
        let Some(to) = job.members.get(&credit.to).filter(|to| *to != peer) else {
            return self.violation(&credit.job, peer, "it gave credit to no member of the job");
        };
        if !job.grant(&credit.to, &credit.from, credit.bytes) {
            return self.violation(&credit.job, peer, "it gave more credit than any node may");
        }
        self.forward(to, Body::Credit(credit));
        Ok(())
    }

    /// Queues for a member; bounded by the credit of the job, so it never waits.
    fn forward(&self, to: &Peer, body: Body) {
        let session = self.sessions().get(to).cloned();
        if let Some(session) = session {
            session.link.push_now(body);
        }
    }

    fn violation(&self, job: &str, culprit: &Peer, reason: &str) -> Result<(), LinkError> {
        tracing::warn!(%culprit, job, reason, "a node broke the rules of a job");
        let Ok(id) = job.parse::<JobId>() else {
            return Ok(());
        };
        // nothing more of this job is relayed, whatever the coordinator makes of it
        self.close_job(job);
        self.event(HubEvent::Violation {
            job: id,
            culprit: culprit.id.clone(),
            reason: reason.to_owned(),
        })
    }
}
