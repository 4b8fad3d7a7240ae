//! The exchange of one job, from first heads to the bundle.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use paripassu_audit::{
    bundle::LogPart,
    event::bodies::MAX_ANNOUNCED,
    note::{CheckedLine, SignedCheckpoint},
};
use paripassu_proto::{JobId, NodeId, audit::v1 as pb, audit::v1::message::Body, limits};
use paripassu_protocol::channel::Role;
use tokio::time::Instant;

use super::{
    Blame, TranscriptError,
    exchange::{Done, Seat, Shared, sign},
    fits,
    node::Busy,
    record::failed,
};
use crate::{
    identity::Certified,
    signing::Vouched,
    transport::{Given, Pass, Witnesses},
};

mod absence;
mod ending;
mod heads;

/// The address of a coordinator that is no member.
const COORDINATOR: &str = "";

/// Most heads of one log that are judged in one job, where its contract does not say how many openings it has.
const MAX_HEADS: u64 = 10_000;

/// Heads of bits, which data parties alone have to cosign, of which helper and coordinator are shown one: as many as may
/// be announced under one head.
const BITS_UNSEEN: u64 = MAX_ANNOUNCED;

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
    /// The heads it has shown, and how often it said what it remembers.
    heads: u64,
    /// This node has refused a head of it: nothing of it is judged any more.
    refused: bool,
    /// It did not answer in time: openings do not wait for it until it has caught up.
    away: bool,
    /// The job was closed without it.
    left_out: bool,
    /// It writes nothing more.
    last: bool,
    pieces: Vec<u8>,
    next_piece: u32,
    log: Option<LogPart>,
}

impl Other {
    /// Whether it is one of those who have to cosign.
    fn is_of(&self, by: Witnesses) -> bool {
        by == Witnesses::Members || matches!(self.role, Some(Role::Party(_)))
    }
}

/// A head that must be cosigned before the gate opens.
#[derive(Clone, Copy)]
struct Awaited {
    pass: Pass,
    size: u64,
    by: Witnesses,
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
        /// What is left to members that are still at work when the time is over.
        grace: Option<Duration>,
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
    /// The node's key stays the same until all others have shown their last heads.
    busy: Option<Busy>,
    seat: Seat,
    others: BTreeMap<String, Other>,
    /// A head is wanted.
    due: bool,
    /// What opens the gate, in the order of its passes.
    awaited: Vec<Awaited>,
    /// The passes that the newest head was signed for.
    given: Given,
    /// Sizes of heads asked for in this job.
    heads: Vec<u64>,
    /// The newest of those that all members are asked to cosign.
    of_members: u64,
    /// Heads of bits since one that all members have to cosign.
    of_bits: u64,
    /// The heads that are not yet cosigned by all.
    open: BTreeMap<u64, SignedCheckpoint>,
    /// Countersignatures that are not yet on disk.
    unkept: Vec<CheckedLine>,
    /// Most heads that one member may show, and say anew what it remembers.
    most_heads: u64,
    /// Members whose certificates were verified a short while ago.
    vouched: Vouched,
    /// All have cosigned the beginning: from here on a party may be missing.
    begun: bool,
    /// When those that have not cosigned are given up, or the job is closed without those that were.
    slow_by: Option<Instant>,
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
        // it says what it remembers first, when it has a seat itself
        if let Some(id) = &seat.coordinator {
            let other = Other {
                id: Some(id.clone()),
                ..Other::default()
            };
            others.insert(COORDINATOR.to_owned(), other);
        }
        let most_heads = shared.transcript.openings(seat.job.as_str());
        let most_heads = most_heads.map_or(MAX_HEADS, |n| (64 + 4 * n).min(MAX_HEADS));
        let mut session = Self {
            busy: Some(shared.transcript.busy()),
            shared,
            seat,
            others,
            most_heads,
            due: false,
            awaited: Vec::new(),
            given: Given::default(),
            heads: Vec::new(),
            of_members: 0,
            of_bits: 0,
            open: BTreeMap::new(),
            unkept: Vec::new(),
            vouched: Vouched::default(),
            begun: false,
            slow_by: None,
            end: End::Not,
        };
        let addresses: Vec<String> = session.others.keys().cloned().collect();
        for address in addresses {
            if address != COORDINATOR {
                session.tell_known(&address);
            }
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
            coordinator: None,
            spare: 0,
            patience: Duration::ZERO,
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
            End::Not => self.slow_by.filter(|_| self.begun),
            End::Finishing {
                sign_by,
                told: false,
                ..
            } => Some(self.absentees().map_or(*sign_by, |(due, _)| due)),
            End::Finishing { by, .. } => Some(*by),
            End::Over(by) => Some(*by),
        }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        matches!(&self.end, End::Over(by) if *by <= now)
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
        let trust = self.shared.transcript.identity.trust();
        let read = self.vouched.verify_audit(trust, &envelope);
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
        // the coordinator speaks first: only then does it have a seat of its own
        if !member && self.seat.role.is_some() {
            let other = self.others.entry(COORDINATOR.to_owned()).or_default();
            other.id.get_or_insert_with(|| from.peer().id.clone());
            if other.number == 0 && other.id.as_ref() == Some(&from.peer().id) {
                self.tell_known(COORDINATOR);
            }
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
                // an answer to each would go on for ever
                if self.too_many(&address, &from) {
                    return;
                }
                if let Some(other) = self.others.get_mut(&address) {
                    other.known = Some(known.size);
                    // what was sent before started from another size
                    other.sent = 0;
                }
            }
            Some(Body::Head(head)) => self.judge(&address, &from, head).await,
            Some(Body::Cosigned(cosigned)) => self.cosigned(&address, &from, &cosigned),
            Some(Body::Refused(refused)) => tracing::error!(
                job = %self.seat.job, by = %from.peer(), size = refused.size,
                code = limits::bounded_text(&refused.code),
                "a member does not countersign this node's transcript"
            ),
            Some(Body::Part(part)) => self.part(&address, &from, part),
            None => {}
        }
    }

    /// Does what is due: heads to be countersigned, the end.
    pub(super) async fn pump(&mut self, now: Instant) {
        // a coordinator has nothing more to write once all parties have not
        let parties_last = self
            .others
            .values()
            .filter(|o| matches!(o.role, Some(Role::Party(_))))
            .all(|o| o.last || o.away);
        let idle = matches!(self.end, End::Not) && self.seat.role.is_none();
        if idle && parties_last && !self.others.is_empty() {
            let job = self.seat.job.to_string();
            if let Err(error) = self.shared.transcript.completed(&job) {
                self.own_failure(&error);
            }
            let times = self.shared.times;
            self.finish(times.finish, times.linger, true, None);
        }
        let first = matches!(self.end, End::Finishing { head: None, .. });
        if self.due || first {
            self.due = false;
            self.sign_head().await;
        }
        self.go_on(now);
        self.leave_out(now).await;
        self.send_heads().await;
        // nobody waits for the disk while the gate is shut
        if self.awaited.is_empty() || !matches!(self.end, End::Not) {
            self.keep().await;
        }
        self.ending(now).await;
        let over = matches!(self.end, End::Over(_));
        if over && self.others.values().all(|o| o.last) {
            self.busy = None;
        }
    }

    fn own_failure(&mut self, error: &TranscriptError) {
        let blame = failed(&self.shared.transcript, error);
        self.break_off(blame);
    }

    /// Counts a head, or a word of what is remembered; true when it is one too many, for which the job ends.
    fn too_many(&mut self, address: &str, from: &Certified) -> bool {
        let most = self.most_heads;
        let Some(other) = self.others.get_mut(address) else {
            return true;
        };
        other.heads += 1;
        // said once
        if other.heads == most + 1 {
            self.break_off(Blame {
                culprit: Some(from.peer().id.clone()),
                code: "too_many_heads",
                reason: format!(
                    "`{}` showed more than {most} heads of its log, or asked as often for ours: more than this \
                     job can need",
                    from.peer()
                ),
            });
            return true;
        }
        other.heads > most
    }

    /// Ends the job because of a transcript.
    pub(super) fn break_off(&mut self, blame: Blame) {
        tracing::error!(job = %self.seat.job, code = blame.code, reason = blame.reason, "transcript");
        self.shared.accuse(&self.seat.job, &blame);
        if let Some(core) = &self.seat.core {
            match &blame.culprit {
                Some(culprit) => core.gone(culprit, &blame.reason),
                None => core.end(&blame.reason),
            }
        }
        self.shared.carrier.broken(&self.seat.job, &blame);
        if let End::Finishing {
            sign_by, by, grace, ..
        } = &mut self.end
        {
            *sign_by = Instant::now();
            *by = Instant::now();
            *grace = None;
        }
    }
}
