//! The end of a job: last heads, everybody's events, the bundle.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use paripassu_audit::bundle::LogPart;
use paripassu_proto::{
    NodeId,
    audit::v1::{self as pb, message::Body},
    limits,
};
use tokio::time::Instant;

use super::{End, Session};
use crate::{
    identity::Certified,
    transcript::{Blame, assemble, exchange::Done, origin},
};

impl Session {
    pub(in crate::transcript) fn finish(
        &mut self,
        limit: Duration,
        linger: Duration,
        well: bool,
        done: Option<Done>,
    ) {
        if !matches!(self.end, End::Not) {
            // what others still owe is not waited for once the job has ended badly
            if let End::Finishing {
                sign_by,
                by,
                grace,
                well: hoped,
                ..
            } = &mut self.end
                && *hoped
                && !well
            {
                *hoped = false;
                *sign_by = (*sign_by).min(Instant::now() + limit / 2);
                *by = (*by).min(Instant::now() + limit);
                *grace = None;
            }
            if let Some(done) = done
                && done.send(self.result()).is_err()
            {
                tracing::debug!("nobody waits for the bundle");
            }
            return;
        }
        self.end = End::Finishing {
            sign_by: Instant::now() + limit / 2,
            by: Instant::now() + limit,
            grace: well.then_some(linger),
            linger,
            well,
            head: None,
            told: false,
            done,
        };
        self.slow_by = Some(Instant::now() + self.seat.patience);
    }

    /// A piece of another node's events.
    pub(super) fn part(&mut self, address: &str, from: &Certified, part: pb::Part) {
        let Some(other) = self.others.get_mut(address) else {
            return;
        };
        let sound = part.index == other.next_piece
            && part.count <= limits::MAX_AUDIT_PARTS
            && part.chunk.len() <= limits::MAX_AUDIT_CHUNK
            && other.log.is_none();
        if !sound {
            tracing::warn!(job = %self.seat.job, address, "a piece of a transcript is not accepted");
            return;
        }
        other.next_piece += 1;
        other.pieces.extend_from_slice(&part.chunk);
        if other.next_piece < part.count {
            return;
        }
        let pieces = std::mem::take(&mut other.pieces);
        match serde_json::from_slice::<LogPart>(&pieces) {
            Ok(log) if log.origin == origin(from.peer()) => other.log = Some(log),
            Ok(log) => {
                tracing::warn!(job = %self.seat.job, address, log = log.origin, "events of another log");
            }
            Err(error) => {
                tracing::warn!(job = %self.seat.job, address, %error, "events of another node cannot be read");
            }
        }
    }

    /// Goes on with the end of the job.
    pub(super) async fn ending(&mut self, now: Instant) {
        let cosigned = self.cosigned_by(|o| !o.left_out);
        let mut others = self.others.values().filter(|o| !o.left_out);
        let complete = others.all(|o| o.log.is_some());
        let lacks = self.lacks().is_some();
        let End::Finishing {
            sign_by,
            by,
            grace,
            well,
            head,
            told,
            ..
        } = &mut self.end
        else {
            return;
        };
        if now >= *by
            && lacks
            && let Some(grace) = grace.take()
        {
            *by += grace;
        }
        let (head, late, well) = (*head, now >= *by, *well);
        let signed = head.is_some_and(|head| cosigned >= head);
        // half of the time for the signatures, then events with what there is
        if !*told && (signed || now >= *sign_by) {
            *told = true;
            self.tell_events(head).await;
        }
        let told = matches!(self.end, End::Finishing { told: true, .. });
        if complete && told && (!well || !lacks) || late {
            self.close(now).await;
        }
    }

    /// What others still owe this node at the end of the job: each its countersignature, the members their
    /// events, too.
    fn lacks(&self) -> Option<Blame> {
        let End::Finishing { head, .. } = &self.end else {
            return None;
        };
        let others = || self.others.values().filter(|o| !o.left_out);
        let members = || others().filter(|o| o.role.is_some());
        let mut others = others();
        let behind = others.find(|o| head.is_none_or(|head| o.cosigned < head));
        if let Some(other) = behind {
            let who = other.id.as_ref().map_or("", NodeId::as_str);
            let what = if other.role.is_some() {
                "member"
            } else {
                "coordinator"
            };
            return Some(Blame {
                culprit: other.id.clone(),
                code: "not_countersigned",
                reason: format!(
                    "the {what} `{who}` did not countersign the end of this node's transcript in time"
                ),
            });
        }
        let silent = members().find(|o| o.log.is_none())?;
        Some(Blame {
            culprit: silent.id.clone(),
            code: "transcript_missing",
            reason: "a member did not send the events of its transcript in time".into(),
        })
    }

    fn result(&self) -> Result<(), Blame> {
        self.shared.blame(&self.seat.job).map_or(Ok(()), Err)
    }

    /// Sends this node's events of the job to all others.
    pub(super) async fn tell_events(&mut self, head: Option<u64>) {
        let Some(size) = head else { return };
        let transcript = &self.shared.transcript;
        let text = assemble::own_part(
            &transcript.log,
            (&transcript.state, &transcript.identity.certificate_pem()),
            self.seat.job.as_str(),
            size,
            &self.heads,
            false,
        )
        .and_then(|part| serde_json::to_vec(&part).map_err(Into::into));
        let text = match text {
            Ok(text) => Bytes::from(text),
            Err(error) => {
                tracing::error!(job = %self.seat.job, %error, "own events cannot be told");
                return;
            }
        };
        let count = text.len().div_ceil(limits::MAX_AUDIT_CHUNK);
        let Some(count) = u32::try_from(count)
            .ok()
            .filter(|n| *n <= limits::MAX_AUDIT_PARTS)
        else {
            tracing::error!(job = %self.seat.job, bytes = text.len(), "own events are too many to tell");
            return;
        };
        let addresses: Vec<String> = self.others.keys().cloned().collect();
        for address in addresses {
            for (index, chunk) in (0..count).zip(text.chunks(limits::MAX_AUDIT_CHUNK)) {
                let part = pb::Part {
                    index,
                    count,
                    chunk: text.slice_ref(chunk),
                };
                self.send(&address, Body::Part(part));
            }
        }
    }

    /// Writes the bundle and answers whoever waits.
    pub(super) async fn close(&mut self, now: Instant) {
        let lacks = self.lacks();
        let end = std::mem::replace(&mut self.end, End::Over(now));
        let End::Finishing {
            linger,
            well,
            head,
            done,
            ..
        } = end
        else {
            return;
        };
        self.end = End::Over(now + linger);
        let missing: Vec<&str> = self
            .others
            .iter()
            .filter(|(_, o)| o.log.is_none())
            .map(|(address, _)| {
                if address.is_empty() {
                    "the coordinator"
                } else {
                    address
                }
            })
            .collect();
        if well && !missing.is_empty() {
            tracing::warn!(job = %self.seat.job, missing = missing.join(", "),
                "the bundle lacks the events of members that did not send them in time");
        }
        let logs: Vec<LogPart> = self.others.values().filter_map(|o| o.log.clone()).collect();
        let frames = self.seat.core.as_ref().map(|core| core.steps(|_| true));
        let shared = Arc::clone(&self.shared);
        let (job, heads) = (self.seat.job.clone(), self.heads.clone());
        let written = tokio::task::spawn_blocking(move || {
            let size = match head {
                // also one that not all have cosigned
                Some(size) => shared.transcript.log.keep_head(size).map(|()| size)?,
                None => shared.transcript.log.checkpoint()?.checkpoint().size(),
            };
            assemble::write(
                &shared.transcript,
                job.as_str(),
                size,
                &heads,
                logs,
                &frames.unwrap_or_default(),
            )
        })
        .await;
        let unwritten = |reason: String| Blame {
            culprit: Some(self.shared.transcript.peer().id.clone()),
            code: "transcript_failed",
            reason,
        };
        let failed = match written {
            Ok(Ok((path, left_out))) => {
                tracing::info!(job = %self.seat.job, path = %path.display(), "bundle written");
                let mut members = self.others.values().filter(|o| o.role.is_some());
                let left_out = members.find(|o| {
                    let origin = o.log.as_ref().map(|log| &log.origin);
                    origin.is_some_and(|origin| left_out.contains(origin))
                });
                left_out.map(|other| Blame {
                    culprit: other.id.clone(),
                    code: "transcript_missing",
                    reason: "the events that a member sent of its transcript fit in no bundle"
                        .into(),
                })
            }
            Ok(Err(error)) => {
                tracing::error!(job = %self.seat.job, %error, "the bundle cannot be written");
                Some(unwritten(format!("the bundle cannot be written: {error}")))
            }
            Err(error) => {
                tracing::error!(%error, "writing the bundle failed");
                Some(unwritten("writing the bundle failed".into()))
            }
        };
        // after a job that ended badly, what there is must do
        let failed = lacks.or(failed).filter(|_| well && done.is_some());
        if let Some(blame) = failed {
            self.shared.accuse(&self.seat.job, &blame);
        }
        let result = self.result();
        if let Some(done) = done
            && done.send(result).is_err()
        {
            tracing::debug!("nobody waits for the bundle");
        }
    }
}
