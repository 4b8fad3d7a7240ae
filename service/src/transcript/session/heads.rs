//! Heads of logs: this node's own to be cosigned, the others' to be judged.

use std::sync::Arc;

use bytes::Bytes;
use paripassu_audit::{
    event::{bodies::LogWitnessed, hex},
    merkle::Hash,
    note::{
        Algorithm, CheckedLine, NoteError, NoteSignature, SignatureType, SignedCheckpoint,
        VerifierKey,
    },
    witness::WitnessError,
};
use paripassu_proto::audit::v1::{self as pb, message::Body};
use paripassu_protocol::channel::Role;

use super::{Awaited, BITS_UNSEEN, End, Other, Session};
use crate::{
    identity::Certified,
    transcript::{Blame, origin},
    transport::{Given, Pass, Witnesses},
};

impl Session {
    /// Countersigns a head, or says why not.
    pub(super) async fn judge(&mut self, address: &str, from: &Certified, head: pb::Head) {
        if self.too_many(address, from) {
            return;
        }
        let Some(other) = self.others.get(address) else {
            return;
        };
        // a refusal is written down once, and ends the job
        if other.refused || (other.last && !head.last) {
            tracing::debug!(from = %from.peer(), "a head after the last, or after one that was refused");
            return;
        }
        let shared = Arc::clone(&self.shared);
        let (owner, key) = (origin(from.peer()), from.key().to_bytes());
        let now = u64::try_from(shared.transcript.clock.now()).unwrap_or(0);
        let since = head.since;
        let last = head.last;
        let shown = head.note.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let key = VerifierKey::new(&owner, SignatureType::Note, Algorithm::Ed25519, &key)?;
            let known = shared.transcript.witness.last(&owner)?;
            let known = known.map_or(0, |note| note.checkpoint().size());
            if known != since {
                return Ok(Err(known));
            }
            let proof = proof(&head.proof)?;
            let witness = &shared.transcript.witness;
            witness.cosign(&head.note, &proof, &key, now).map(Ok)
        })
        .await;
        let shown = SignedCheckpoint::parse(&shown).ok();
        let size = shown.as_ref().map_or(0, |shown| shown.checkpoint().size());
        match judged {
            // the proof starts elsewhere than what this node remembers: say where it must start
            Ok(Ok(Err(size))) => self.send(address, Body::Known(pb::Known { size })),
            Ok(Ok(Ok(line))) => {
                if last && let Some(other) = self.others.get_mut(address) {
                    other.last = true;
                }
                // the last round is not written down: it would never end
                let ended = self.shared.transcript.has_ended(self.seat.job.as_str());
                if !last
                    && !ended
                    && size > since
                    && let Some(shown) = &shown
                {
                    self.witnessed(shown, "cosigned", None);
                }
                let line = line.to_string();
                self.send(address, Body::Cosigned(pb::Cosigned { size, line }));
            }
            Ok(Err(error)) => {
                if let Some(other) = self.others.get_mut(address) {
                    other.refused = true;
                }
                let code = match &error {
                    WitnessError::Contradiction { kind, .. } => format!("{kind:?}").to_lowercase(),
                    _ => "not_cosigned".to_owned(),
                };
                if let Some(shown) = &shown {
                    self.witnessed(shown, "refused", Some(code.clone()));
                }
                self.send(address, Body::Refused(pb::Refused { size, code }));
                let own = matches!(error, WitnessError::Memory { .. } | WitnessError::Disk(_));
                let culprit = match own {
                    true => self.shared.transcript.peer().id.clone(),
                    false => from.peer().id.clone(),
                };
                self.break_off(Blame {
                    culprit: Some(culprit),
                    code: "not_countersigned",
                    reason: error.to_string(),
                });
            }
            Err(error) => tracing::error!(%error, "judging a transcript failed"),
        }
    }

    pub(super) fn witnessed(
        &mut self,
        shown: &SignedCheckpoint,
        outcome: &str,
        code: Option<String>,
    ) {
        let head = shown.checkpoint();
        let body = LogWitnessed {
            log: head.origin().to_owned(),
            size: head.size(),
            root: hex(head.root()),
            outcome: outcome.to_owned(),
            code,
        };
        let job = self.seat.job.as_str();
        if let Err(error) = self.shared.transcript.write_soon(job, body) {
            self.own_failure(&error);
        }
    }

    /// Takes a countersignature of this node's own head, and opens the gate when it was the last.
    pub(super) fn cosigned(&mut self, address: &str, from: &Certified, cosigned: &pb::Cosigned) {
        let size = cosigned.size;
        let checked = self.check_line(from, cosigned);
        let line = match checked {
            Ok(Some(checked)) => checked,
            // of a head that all have cosigned already
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(by = %from.peer(), %error, "a countersignature is not accepted");
                return;
            }
        };
        self.unkept.push(line);
        let newest = self.heads.last().copied().unwrap_or(0);
        if let Some(other) = self.others.get_mut(address) {
            other.cosigned = other.cosigned.max(size);
            other.known = Some(other.known.unwrap_or(0).max(size));
            if other.away && other.cosigned >= newest {
                tracing::info!(job = %self.seat.job, by = %from.peer(), "countersigns again");
                other.away = false;
            }
        }
        self.open_gate();
    }

    fn check_line(
        &self,
        from: &Certified,
        cosigned: &pb::Cosigned,
    ) -> Result<Option<CheckedLine>, NoteError> {
        let (name, key) = (origin(from.peer()), from.key().to_bytes());
        let key = VerifierKey::new(&name, SignatureType::Cosignature, Algorithm::Ed25519, &key)?;
        let line = NoteSignature::parse(&cosigned.line)?;
        let Some(head) = self.open.get(&cosigned.size) else {
            return Ok(None);
        };
        head.check(line, &key).map(Some)
    }

    /// Keeps countersignatures; after the job's end, no entry follows that would bring them to disk.
    pub(super) async fn keep(&mut self) {
        let unkept = std::mem::take(&mut self.unkept);
        if unkept.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let over = matches!(self.end, End::Over(_));
        let kept = tokio::task::spawn_blocking(move || {
            let log = &shared.transcript.log;
            log.add_cosignatures(unkept)?;
            if over { log.sync() } else { Ok(()) }
        });
        let kept = kept.await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.own_failure(&error.into()),
            Err(error) => tracing::error!(%error, "countersignatures could not be kept"),
        }
    }

    /// The largest head that all have cosigned, of those that count.
    pub(super) fn cosigned_by(&self, counts: impl Fn(&Other) -> bool) -> u64 {
        let others = self.others.values().filter(|o| counts(o));
        others.map(|o| o.cosigned).min().unwrap_or(u64::MAX)
    }

    pub(super) fn open_gate(&mut self) {
        let Some(core) = &self.seat.core else { return };
        let shut = !self.awaited.is_empty();
        let slow = |awaited: &Awaited| {
            let mut others = self.others.values();
            others.find(|o| !o.away && o.is_of(awaited.by) && o.cosigned < awaited.size)
        };
        let mut slowest = None;
        let kept = self.awaited.iter().take_while(|awaited| {
            slowest = slow(awaited);
            slowest.is_none()
        });
        // a pass gives back all before it: none overtakes another
        let kept = kept
            .inspect(|awaited| core.gate().open(awaited.pass))
            .count();
        core.gate().wait_for(slowest.and_then(|o| o.role));
        self.awaited.drain(..kept);
        if shut && self.awaited.is_empty() {
            self.begun = true;
            self.slow_by = None;
        }
    }

    /// Who has to cosign a head that is signed now: data parties, where nothing but bits was asked for since the last
    /// that all members were asked to cosign.
    fn asked(&self, given: Option<Given>) -> Witnesses {
        let before = self.given;
        let bits = given.is_some_and(|now| {
            now.by_members == before.by_members && before.last > Pass::default()
        });
        let party = matches!(self.seat.role, Some(Role::Party(_)));
        match bits && party && matches!(self.end, End::Not) {
            true => Witnesses::Parties,
            false => Witnesses::Members,
        }
    }

    /// Signs the head of this node's log. Once the job has ended here it is the last one.
    pub(super) async fn sign_head(&mut self) {
        let given = self.seat.core.as_ref().map(|core| core.gate().given());
        let by = self.asked(given);
        let shared = Arc::clone(&self.shared);
        // while others wait for it, a head is not brought to disk itself; what it covers is
        let signed = tokio::task::spawn_blocking(move || shared.transcript.log.head()).await;
        let size = match signed {
            Ok(Ok(head)) => {
                let size = head.checkpoint().size();
                // also of those that are away, who may come back; whoever is not asked for bits is shown newer ones
                let of_members = self.of_members;
                let cosigned =
                    self.cosigned_by(|o| o.is_of(Witnesses::Parties) || o.cosigned < of_members);
                self.open.retain(|open, _| *open > cosigned);
                self.open.insert(size, head);
                size
            }
            Ok(Err(error)) => return self.own_failure(&error.into()),
            Err(error) => {
                tracing::error!(%error, "signing a head failed");
                return;
            }
        };
        if self.heads.last() != Some(&size) {
            self.heads.push(size);
        }
        self.of_bits = if by == Witnesses::Parties {
            self.of_bits + 1
        } else {
            0
        };
        // nobody waits for the others' signatures under bits, but now and then they see how the log has grown
        if self.of_bits.is_multiple_of(BITS_UNSEEN) {
            self.of_members = size;
        }
        if let Some(given) = given {
            let pass = given.last;
            self.awaited.push(Awaited { pass, size, by });
            self.given = given;
        }
        self.be_patient();
        if let End::Finishing { head, .. } = &mut self.end {
            *head = Some(size);
        }
        self.open_gate();
    }

    /// Sends the newest head to those who have not got it, or none that is for them, once it is known what they
    /// remember.
    pub(super) async fn send_heads(&mut self) {
        let Some(mut size) = self.heads.last().copied() else {
            return;
        };
        // another job's head was cosigned in the meantime: an older one would look like a rollback
        let most = self.shared.transcript.log.size();
        let due = |o: &Other, of_members: u64, size: u64| match o.is_of(Witnesses::Parties) {
            true => o.sent < size,
            false => o.sent < of_members,
        };
        let of_members = self.of_members;
        let mut known = self.others.values().filter(|o| due(o, of_members, size));
        if known.any(|o| o.known.is_some_and(|known| known > size && known <= most)) {
            self.sign_head().await;
            match self.heads.last() {
                Some(signed) if *signed > size => size = *signed,
                _ => return,
            }
        }
        let last = match &self.end {
            End::Not => false,
            End::Finishing { head, .. } => *head == Some(size),
            End::Over(_) => true,
        };
        let to: Vec<(String, u64)> = self
            .others
            .iter()
            .filter_map(|(address, o)| {
                let known = o.known?;
                due(o, self.of_members, size).then(|| (address.clone(), known.max(o.sent)))
            })
            .collect();
        for (address, since) in to {
            let log = &self.shared.transcript.log;
            // a member may remember more than this log has: let it say so, and show both
            let proof = log.consistency(since, size).unwrap_or_default();
            let note = match log.checkpoint_at(size) {
                Ok(Some(note)) => note,
                Ok(None) => return,
                Err(error) => return self.own_failure(&error.into()),
            };
            let head = pb::Head {
                note: note.to_string(),
                since,
                proof: proof
                    .iter()
                    .map(|hash| Bytes::copy_from_slice(hash))
                    .collect(),
                last,
            };
            if let Some(other) = self.others.get_mut(&address) {
                other.sent = size;
            }
            self.send(&address, Body::Head(head));
        }
    }
}

fn proof(hashes: &[Bytes]) -> Result<Vec<Hash>, NoteError> {
    const MALFORMED: NoteError = NoteError::Shape {
        missing: "the proof is no list of hashes",
    };
    if hashes.len() > paripassu_audit::merkle::MAX_PROOF_HASHES {
        return Err(MALFORMED);
    }
    let hash = |bytes: &Bytes| bytes.as_ref().try_into().map_err(|_| MALFORMED);
    hashes.iter().map(hash).collect()
}
