//! Members that do not answer: a job of banks goes on without some, as its sums do, and says without whom.
//!
//! Nobody is given up before all have cosigned the job's beginning, nor the helper ever, nor more parties than the
//! contract can spare. A party that has caught up with the newest head is waited for again.

use paripassu_audit::event::bodies::LogUnwitnessed;
use paripassu_proto::NodeId;
use paripassu_protocol::channel::Role;
use tokio::time::Instant;

use super::{Awaited, End, Other, Session};
use crate::transport::Witnesses;

impl Session {
    /// Those of its witnesses that have not cosigned a head of this size, if the job can do without them all, and
    /// without those given up before.
    fn spared(
        &self,
        (size, by): (u64, Witnesses),
        given_up: impl Fn(&Other) -> bool,
    ) -> Option<Vec<String>> {
        let given = self.others.values().filter(|o| given_up(o)).count();
        let behind = || {
            let others = self.others.iter();
            others.filter(|(_, o)| o.is_of(by) && !given_up(o) && o.cosigned < size)
        };
        let parties = behind().all(|(_, o)| matches!(o.role, Some(Role::Party(_))));
        let count = behind().count();
        let can = parties && count > 0 && given + count <= self.seat.spare;
        can.then(|| behind().map(|(address, _)| address.clone()).collect())
    }

    /// Begins to wait for countersignatures.
    pub(super) fn be_patient(&mut self) {
        if self.seat.spare > 0 && !self.awaited.is_empty() {
            let by = Instant::now() + self.seat.patience;
            self.slow_by.get_or_insert(by);
        }
    }

    /// Opens the gate without those that have not cosigned in time.
    pub(super) fn go_on(&mut self, now: Instant) {
        let late = self.slow_by.is_some_and(|by| by <= now);
        if !late || !self.begun || !matches!(self.end, End::Not) {
            return;
        }
        // the last that all are to sign, or else the last at all: of a bit's head the helper was not asked
        let of_members = self.awaited.iter().rfind(|a| a.by == Witnesses::Members);
        let Some(Awaited { size, by, .. }) = of_members.or(self.awaited.last()).copied() else {
            self.slow_by = None;
            return;
        };
        self.slow_by = Some(now + self.seat.patience);
        if let Some(slow) = self.spared((size, by), |o| o.away)
            && self.give_up(&slow, size, false)
        {
            self.open_gate();
        }
    }

    /// Those that keep the job from being closed and can be spared, and until when they are waited for: a while for
    /// those that were away before, half of the time for others.
    pub(super) fn absentees(&self) -> Option<(Instant, Vec<String>)> {
        let End::Finishing {
            sign_by,
            told: false,
            well: true,
            head: Some(head),
            ..
        } = &self.end
        else {
            return None;
        };
        let slow = self.spared((*head, Witnesses::Members), |o| o.left_out)?;
        let away = |address: &String| self.others.get(address).is_some_and(|o| o.away);
        let known = slow.iter().all(away);
        let soon = self.slow_by.filter(|_| known).unwrap_or(*sign_by);
        Some((soon.min(*sign_by), slow))
    }

    /// Closes the job without those that have not cosigned its end in time: writes so, and has the others cosign that.
    pub(super) async fn leave_out(&mut self, now: Instant) {
        let Some((due, slow)) = self.absentees() else {
            return;
        };
        let End::Finishing {
            sign_by,
            head: Some(head),
            ..
        } = &mut self.end
        else {
            return;
        };
        if now < due {
            return;
        }
        *sign_by = now + self.shared.times.badly;
        let head = *head;
        if self.give_up(&slow, head, true) {
            self.sign_head().await;
        }
    }

    /// Writes down without whom this node goes on; false when it cannot.
    fn give_up(&mut self, slow: &[String], size: u64, end: bool) -> bool {
        let mut missing: Vec<NodeId> = Vec::new();
        for address in slow {
            if let Some(other) = self.others.get_mut(address) {
                other.away = true;
                other.left_out = end;
                missing.extend(other.id.clone());
            }
        }
        let body = LogUnwitnessed {
            size,
            missing: missing.iter().map(NodeId::to_string).collect(),
            end,
        };
        tracing::warn!(job = %self.seat.job, missing = body.missing.join(", "), end,
            "does not countersign in time: going on without");
        if end {
            self.shared.leave_out(&self.seat.job, missing);
        }
        let written = self
            .shared
            .transcript
            .write_soon(self.seat.job.as_str(), body);
        if let Err(error) = written {
            self.own_failure(&error);
            return false;
        }
        true
    }

    /// A coordinator that is no member hears that the job is over: it waits no more for these.
    pub(in crate::transcript) fn released(&mut self, without: &[NodeId]) {
        for other in self.others.values_mut() {
            other.away |= other.id.as_ref().is_some_and(|id| without.contains(id));
        }
    }
}
