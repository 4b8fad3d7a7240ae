//! The exchange of one job, from first heads to the bundle.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use paripassu_audit::{
    bundle::LogPart,
    event::{bodies::LogWitnessed, hex},
    log::LogError,
    merkle::Hash,
    note::{Algorithm, NoteError, NoteSignature, SignatureType, SignedCheckpoint, VerifierKey},
    witness::WitnessError,
};
use paripassu_proto::{JobId, NodeId, audit::v1 as pb, audit::v1::message::Body, limits};
use paripassu_protocol::channel::Role;
use tokio::time::Instant;

use super::{
    Blame, TranscriptError,
    exchange::{Done, Seat, Shared, sign},
    fits, origin,
    record::failed,
};
use crate::{identity::Certified, signing, transport::Pass};

/// The address of a coordinator that is no member.
const COORDINATOR: &str = "";

/// Another node of the job.
#[derive(Default)]
struct Other {
    role: Option<Role>,
    id: Option<NodeId>,
    /// Where it last cosigned this node's log, by its own word.
    known: Option<u64>,
    /// The largest head sent to it.
    sent: u64,
    /// The largest head it has cosigned in this job.
    cosigned: u64,
    /// Its messages so far.
    number: u64,
    /// This node's messages to it so far.
    told: u64,
    /// It writes nothing more.
    last: bool,
    pieces: Vec<u8>,
    next_piece: u32,
    log: Option<LogPart>,
}

/// How far the end of a job has come.
enum End {
    /// It runs.
    Not,
    /// Heads and events are exchanged until a deadline.
    Finishing {
        /// Until when countersignatures of the last head are waited for.
        sign_by: Instant,
        by: Instant,
        linger: Duration,
        well: bool,
        head: Option<u64>,
        told: bool,
        done: Option<Done>,
    },
    /// The bundle is written; the others may still need countersignatures.
    Over(Instant),
}

/// One job.
pub(super) struct Session {
    shared: Arc<Shared>,
    seat: Seat,
    others: BTreeMap<String, Other>,
    /// A head is wanted.
    due: bool,
    /// Passes that open the gate, with the size that must be cosigned for it.
    passes: Vec<(Pass, u64)>,
    /// Sizes of heads asked for in this job.
    heads: Vec<u64>,
    end: End,
}

impl Session {
    /// Takes the seat and sends the first messages.
    pub(super) fn begin(shared: Arc<Shared>, seat: Seat) -> Self {
        let me = shared.transcript.peer().id.clone();
        let mut others = BTreeMap::new();
        for (role, id) in &seat.members {
            if *id != me {
                let other = Other {
                    role: Some(*role),
                    id: Some(id.clone()),
                    ..Other::default()
                };
                others.insert(id.to_string(), other);
            }
        }
        let mut session = Self {
            shared,
            seat,
            others,
            due: false,
            passes: Vec::new(),
            heads: Vec::new(),
            end: End::Not,
        };
        let addresses: Vec<String> = session.others.keys().cloned().collect();
        for address in addresses {
            session.tell_known(&address);
        }
        session
    }

    /// The session of a job that nobody began.
    pub(super) fn alone(shared: Arc<Shared>, job: JobId) -> Self {
        let seat = Seat {
            job,
            contract: [0; 32],
            role: None,
            members: Vec::new(),
            core: None,
        };
        Self::begin(shared, seat)
    }

    pub(super) fn job(&self) -> &JobId {
        &self.seat.job
    }

    pub(super) fn ask(&mut self) {
        self.due = true;
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match &self.end {
            End::Not => None,
            End::Finishing {
                sign_by,
                told: false,
                ..
            } => Some(*sign_by),
            End::Finishing { by, .. } => Some(*by),
            End::Over(by) => Some(*by),
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        matches!(&self.end, End::Over(by) if *by <= now)
    }

    pub(super) fn finish(
        &mut self,
        limit: Duration,
        linger: Duration,
        well: bool,
        done: Option<Done>,
    ) {
        if !matches!(self.end, End::Not) {
            if let Some(done) = done
                && done.send(Ok(())).is_err()
            {
                tracing::debug!("nobody waits for the bundle");
            }
            return;
        }
        self.end = End::Finishing {
            sign_by: Instant::now() + limit / 2,
            by: Instant::now() + limit,
            linger,
            well,
            head: None,
            told: false,
            done,
        };
    }

    fn send(&mut self, address: &str, body: Body) {
        let Some(other) = self.others.get_mut(address) else {
            return;
        };
        other.told += 1;
        let transcript = &self.shared.transcript;
        let message = pb::Message {
            job: self.seat.job.to_string(),
            contract: self.seat.contract.to_vec().into(),
            from: transcript.peer().id.to_string(),
            to: address.to_owned(),
            number: other.told,
            body: Some(body),
        };
        self.shared.carrier.carry(pb::Envelope {
            job: message.job.clone(),
            from: String::new(),
            to: address.to_owned(),
            message: Some(sign(transcript, &message)),
        });
    }

    /// Tells where this node last cosigned the other's log.
    fn tell_known(&mut self, address: &str) {
        let Some(other) = self.others.get(address) else {
            return;
        };
        let Some(id) = other.id.clone() else { return };
        // the kind of a helper is not known before it speaks
        let kinds: &[&str] = match other.role {
            Some(Role::Party(_)) => &["party"],
            Some(Role::Helper) => &["helper", "coordinator"],
            None => &["coordinator"],
        };
        let size = kinds
            .iter()
            .filter_map(|kind| {
                let last = self
                    .shared
                    .transcript
                    .witness
                    .last(&format!("paripassu/{kind}/{id}"));
                Some(last.ok()??.checkpoint().size())
            })
            .max()
            .unwrap_or(0);
        self.send(address, Body::Known(pb::Known { size }));
    }

    /// Takes in a message, if it is what it says it is.
    pub(super) async fn message(&mut self, envelope: pb::Envelope) {
        let trust = self.shared.transcript.identity.trust().clone();
        let read = signing::verify_audit(&trust, &envelope);
        let (from, message) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(job = %self.seat.job, %error, "a message about a transcript is refused");
                return;
            }
        };
        let me = self.shared.transcript.peer().id.as_str();
        let to = if self.seat.role.is_none() {
            COORDINATOR
        } else {
            me
        };
        let id = from.peer().id.to_string();
        let member = self.others.contains_key(&id);
        let address = if member {
            id.clone()
        } else {
            COORDINATOR.to_owned()
        };
        let sound = message.job == self.seat.job.as_str()
            && message.contract.as_ref() == self.seat.contract
            && (message.to == to || message.to == me)
            && message.from == id;
        let role = self.others.get(&address).and_then(|other| other.role);
        if !sound || !fits(from.peer().kind, role) {
            tracing::warn!(job = %self.seat.job, from = %from.peer(), "a message about another transcript");
            return;
        }
        // the coordinator makes itself known by speaking first
        if !member && self.seat.role.is_some() && !self.others.contains_key(COORDINATOR) {
            let other = Other {
                id: Some(from.peer().id.clone()),
                ..Other::default()
            };
            self.others.insert(COORDINATOR.to_owned(), other);
            self.tell_known(COORDINATOR);
        }
        let Some(other) = self.others.get_mut(&address) else {
            return;
        };
        if message.number <= other.number || other.id.as_ref() != Some(&from.peer().id) {
            tracing::warn!(job = %self.seat.job, from = %from.peer(), "a message is repeated");
            return;
        }
        other.number = message.number;
        match message.body {
            Some(Body::Known(known)) => {
                other.known = Some(known.size);
                // what was sent before started from another size
                other.sent = 0;
            }
            Some(Body::Head(head)) => self.judge(&address, &from, head).await,
            Some(Body::Cosigned(cosigned)) => self.cosigned(&address, &from, cosigned).await,
            Some(Body::Refused(refused)) => tracing::error!(
                job = %self.seat.job, by = %from.peer(), size = refused.size,
                code = limits::bounded_text(&refused.code),
                "a member does not countersign this node's transcript"
            ),
            Some(Body::Part(part)) => self.part(&address, part),
            None => {}
        }
    }

    /// Countersigns a head, or says why not.
    async fn judge(&mut self, address: &str, from: &Certified, head: pb::Head) {
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
                return Ok(None);
            }
            let proof = proof(&head.proof)?;
            let witness = &shared.transcript.witness;
            witness.cosign(&head.note, &proof, &key, now).map(Some)
        })
        .await;
        let shown = SignedCheckpoint::parse(&shown).ok();
        let size = shown.as_ref().map_or(0, |shown| shown.checkpoint().size());
        match judged {
            // the proof starts elsewhere than what this node remembers: say where it must start
            Ok(Ok(None)) => self.tell_known(address),
            Ok(Ok(Some(line))) => {
                // the last round is not written down: it would never end
                let ended = self.shared.transcript.has_ended(self.seat.job.as_str());
                if !last
                    && !ended
                    && let Some(shown) = &shown
                {
                    self.witnessed(shown, "cosigned", None);
                }
                let line = line.to_string();
                self.send(address, Body::Cosigned(pb::Cosigned { size, line }));
            }
            Ok(Err(error)) => {
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
        if last && let Some(other) = self.others.get_mut(address) {
            other.last = true;
        }
    }

    fn witnessed(&mut self, shown: &SignedCheckpoint, outcome: &str, code: Option<String>) {
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

    /// Keeps a countersignature of this node's own head, and opens the gate when it was the last.
    async fn cosigned(&mut self, address: &str, from: &Certified, cosigned: pb::Cosigned) {
        let shared = Arc::clone(&self.shared);
        let (name, key, size) = (origin(from.peer()), from.key().to_bytes(), cosigned.size);
        let kept = tokio::task::spawn_blocking(move || {
            let key =
                VerifierKey::new(&name, SignatureType::Cosignature, Algorithm::Ed25519, &key)?;
            let line = NoteSignature::parse(&cosigned.line)?;
            shared.transcript.log.add_cosignature(size, line, &key)?;
            Ok::<_, LogError>(())
        })
        .await;
        match kept {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(by = %from.peer(), %error, "a countersignature is not accepted");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "a countersignature could not be kept");
                return;
            }
        }
        if let Some(other) = self.others.get_mut(address) {
            other.cosigned = other.cosigned.max(size);
            other.known = Some(other.known.unwrap_or(0).max(size));
        }
        self.open_gate();
    }

    /// The largest head that all have cosigned.
    fn cosigned_by_all(&self) -> u64 {
        self.others
            .values()
            .map(|o| o.cosigned)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn open_gate(&mut self) {
        let size = self.cosigned_by_all();
        let Some(core) = &self.seat.core else { return };
        self.passes.retain(|(pass, need)| {
            let open = *need <= size;
            if open {
                core.gate().open(*pass);
            }
            !open
        });
        let need = self.passes.first().map_or(0, |(_, need)| *need);
        let slow = self.others.values().find(|o| o.cosigned < need);
        core.gate().wait_for(slow.and_then(|o| o.role));
    }

    /// A piece of another node's events.
    fn part(&mut self, address: &str, part: pb::Part) {
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
            Ok(log) => other.log = Some(log),
            Err(error) => {
                tracing::warn!(job = %self.seat.job, address, %error, "events of another node cannot be read");
            }
        }
    }

    /// Does what is due: heads to be countersigned, the end.
    pub(super) async fn pump(&mut self, now: Instant) {
        // a coordinator has nothing more to write once all parties have not
        let parties_last = self
            .others
            .values()
            .filter(|o| matches!(o.role, Some(Role::Party(_))))
            .all(|o| o.last);
        let idle = matches!(self.end, End::Not) && self.seat.role.is_none();
        if idle && parties_last && !self.others.is_empty() {
            let job = self.seat.job.to_string();
            if let Err(error) = self.shared.transcript.completed(&job) {
                self.own_failure(&error);
            }
            self.finish(super::exchange::FINISH, super::exchange::LINGER, true, None);
        }
        let first = matches!(self.end, End::Finishing { head: None, .. });
        if self.due || first {
            self.due = false;
            self.sign_head(first).await;
        }
        self.send_heads().await;
        self.ending(now).await;
    }

    /// Signs the head of this node's log.
    async fn sign_head(&mut self, last: bool) {
        let pass = self.seat.core.as_ref().map(|core| core.gate().last());
        let shared = Arc::clone(&self.shared);
        let signed = tokio::task::spawn_blocking(move || shared.transcript.log.checkpoint()).await;
        let size = match signed {
            Ok(Ok(head)) => head.checkpoint().size(),
            Ok(Err(error)) => return self.own_failure(&error.into()),
            Err(error) => {
                tracing::error!(%error, "signing a head failed");
                return;
            }
        };
        if self.heads.last() != Some(&size) {
            self.heads.push(size);
        }
        if let Some(pass) = pass {
            self.passes.push((pass, size));
        }
        if let (true, End::Finishing { head, .. }) = (last, &mut self.end) {
            *head = Some(size);
        }
        self.open_gate();
    }

    /// Sends the newest head to those who have not got it, once it is known what they remember.
    async fn send_heads(&mut self) {
        let Some(size) = self.heads.last().copied() else {
            return;
        };
        let last = match &self.end {
            End::Not => false,
            End::Finishing { head, .. } => *head == Some(size),
            End::Over(_) => true,
        };
        let due: Vec<(String, u64)> = self
            .others
            .iter()
            .filter_map(|(address, o)| {
                let known = o.known?;
                (o.sent < size).then(|| (address.clone(), known.max(o.sent)))
            })
            .collect();
        for (address, since) in due {
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

    /// Goes on with the end of the job.
    async fn ending(&mut self, now: Instant) {
        let cosigned = self.cosigned_by_all();
        let complete = self.others.values().all(|o| o.log.is_some());
        let End::Finishing {
            sign_by,
            by,
            head,
            told,
            ..
        } = &mut self.end
        else {
            return;
        };
        let (head, late) = (*head, now >= *by);
        let signed = head.is_some_and(|head| cosigned >= head);
        // half of the time for the signatures, then events with what there is
        if !*told && (signed || now >= *sign_by) {
            *told = true;
            self.tell_events(head).await;
        }
        let told = matches!(self.end, End::Finishing { told: true, .. });
        if complete && told || late {
            self.close(now).await;
        }
    }

    /// Sends this node's events of the job to all others.
    async fn tell_events(&mut self, head: Option<u64>) {
        let Some(size) = head else { return };
        let text = super::assemble::own_part(
            &self.shared.transcript,
            &self.seat.job,
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
    async fn close(&mut self, now: Instant) {
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
        let frames = self.seat.core.as_ref().map(|core| core.steps());
        let shared = Arc::clone(&self.shared);
        let (job, heads) = (self.seat.job.clone(), self.heads.clone());
        let written = tokio::task::spawn_blocking(move || {
            let size = match head {
                Some(size) => size,
                None => shared.transcript.log.checkpoint()?.checkpoint().size(),
            };
            super::assemble::write(
                &shared.transcript,
                &job,
                size,
                &heads,
                logs,
                frames.unwrap_or_default(),
            )
        })
        .await;
        match written {
            Ok(Ok(path)) => {
                tracing::info!(job = %self.seat.job, path = %path.display(), "bundle written")
            }
            Ok(Err(error)) => {
                tracing::error!(job = %self.seat.job, %error, "the bundle cannot be written")
            }
            Err(error) => tracing::error!(%error, "writing the bundle failed"),
        }
        let blames = self
            .shared
            .blames
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let result = blames.get(&self.seat.job).cloned().map_or(Ok(()), Err);
        drop(blames);
        if let Some(done) = done
            && done.send(result).is_err()
        {
            tracing::debug!("nobody waits for the bundle");
        }
    }

    fn own_failure(&mut self, error: &TranscriptError) {
        let blame = failed(&self.shared.transcript, error);
        self.break_off(blame);
    }

    /// Ends the job because of a transcript.
    fn break_off(&mut self, blame: Blame) {
        tracing::error!(job = %self.seat.job, code = blame.code, reason = blame.reason, "transcript");
        let mut blames = self
            .shared
            .blames
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        blames
            .entry(self.seat.job.clone())
            .or_insert_with(|| blame.clone());
        drop(blames);
        if let Some(core) = &self.seat.core {
            match &blame.culprit {
                Some(culprit) => core.gone(culprit, &blame.reason),
                None => core.end(&blame.reason),
            }
        }
        self.shared.carrier.broken(&self.seat.job, &blame);
        if let End::Finishing { sign_by, by, .. } = &mut self.end {
            *sign_by = Instant::now();
            *by = Instant::now();
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
