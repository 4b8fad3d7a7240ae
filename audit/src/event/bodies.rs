//! The bodies, one type for each kind of event.
//!
//! Texts are names, digests, codes and decimals; see the [module](super) for what may never stand here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{EventError, Flow};

/// Most openings that one [`DisclosureAnnounced`] is for.
pub const MAX_ANNOUNCED: u64 = 16;
/// The shape of an opening of one bit, which the other data parties countersign beforehand; any other, all members do.
pub const BIT: &str = "bit";

/// Who is given a body; the envelope is given to every member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Every member of the job.
    Shared,
    /// The node that wrote it.
    Private,
}

macro_rules! bodies {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $visibility:ident;)+) => {
        /// A body of any kind.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Body { $($(#[$doc])* $variant($variant),)+ }

        /// The names of all events.
        pub const EVENTS: &[&str] = &[$($name,)+];

        /// Who is given the body of this event; `None` for a name that is no event.
        pub fn visibility(event: &str) -> Option<Visibility> {
            match event { $($name => Some(Visibility::$visibility),)+ _ => None }
        }

        impl Body {
            /// The event, as the envelope names it.
            pub fn event(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)+ }
            }

            fn to_value(&self) -> Result<Value, serde_json::Error> {
                match self { $(Self::$variant(body) => serde_json::to_value(body),)+ }
            }

            fn from_value(event: &str, value: Value) -> Result<Self, EventError> {
                let wrong = |e: serde_json::Error| EventError::Json {
                    want: format!("the body of `{event}`"),
                    reason: e.to_string(),
                };
                match event {
                    $($name => serde_json::from_value(value).map(Self::$variant).map_err(wrong),)+
                    other => Err(EventError::Kind { got: other.chars().take(80).collect() }),
                }
            }
        }
        $(impl From<$variant> for Body {
            fn from(body: $variant) -> Self { Self::$variant(body) }
        })+
    };
}

bodies! {
    /// A contract was proposed to this node.
    JobProposed = "job.proposed", Shared;
    /// What of the node's policy bears on the contract.
    PolicyStated = "policy.stated", Shared;
    /// The node's policy was asked.
    PolicyEvaluated = "policy.evaluated", Shared;
    /// A party approved. Every node writes down every approval before its first step.
    JobApproved = "job.approved", Shared;
    /// A party rejected.
    JobRejected = "job.rejected", Shared;
    /// A link to another node stands.
    SessionOpened = "session.opened", Shared;
    /// The data of the job were fixed.
    DataCommitted = "data.committed", Private;
    /// The job was held against the one before it.
    DataCompared = "data.compared", Private;
    /// The common customers were found.
    AlignDone = "align.done", Shared;
    /// A step began.
    StepStarted = "step.started", Shared;
    /// A step ended.
    StepFinished = "step.finished", Shared;
    /// A value was opened.
    Disclosure = "disclosure", Shared;
    /// Bits may be opened.
    DisclosureAnnounced = "disclosure.announced", Shared;
    /// Privacy of customers was spent.
    DpSpent = "dp.spent", Private;
    /// A report was made.
    MetricsReported = "metrics.reported", Private;
    /// The model's files were fixed.
    ModelCommitted = "model.committed", Private;
    /// Something was handed over.
    ModelReleased = "model.released", Shared;
    /// This node refused something.
    Denied = "denied", Shared;
    /// The job ended badly.
    Aborted = "aborted", Shared;
    /// The job ended well.
    RunCompleted = "run.completed", Shared;
    /// The log was opened.
    LogStarted = "log.started", Private;
    /// This node judged another's log.
    LogWitnessed = "log.witnessed", Shared;
    /// This node goes on without countersignatures of some members.
    LogUnwitnessed = "log.unwitnessed", Shared;
    /// The node has another key.
    KeyRotated = "key.rotated", Shared;
    /// Something was destroyed.
    DataErased = "data.erased", Private;
    /// Something happened that an officer must know.
    Incident = "incident", Shared;
    /// The node's policy changed.
    PolicyChanged = "policy.changed", Private;
    /// People signed the policy file that the node took.
    PolicySigned = "policy.signed", Private;
}

macro_rules! body {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$fdoc])* #[serde(deserialize_with = "Deserialize::deserialize")] pub $field: $type,)*
        }
    };
}

body! {
    /// `job.proposed`
    JobProposed {
        /// SHA-256 of the contract.
        contract: String,
        /// The job's name.
        name: String,
        /// The purpose code.
        purpose: String,
        /// Who submitted it, `kind/id`.
        submitter: String,
        /// The data parties by position.
        parties: Vec<String>,
        /// The helper.
        helper: String,
    }
}
body! {
    /// `policy.stated`: a piece of the text of [`crate::policy`].
    PolicyStated {
        /// Which piece, from 1.
        part: u64,
        /// Of how many.
        parts: u64,
        /// The piece.
        text: String,
    }
}
body! {
    /// One rule of a policy and its verdict.
    RuleVerdict {
        /// The rule.
        id: String,
        /// `allow`, `ask` or `deny`.
        verdict: String,
        /// What was measured against it.
        measured: String,
    }
}
body! {
    /// `policy.evaluated`
    PolicyEvaluated {
        /// SHA-256 of the policy as written down before it.
        policy: String,
        /// Its version.
        version: u64,
        /// SHA-256 of the contract.
        contract: String,
        /// Every rule.
        rules: Vec<RuleVerdict>,
        /// The verdict: the strictest of the rules'.
        verdict: String,
    }
}
body! {
    /// `job.approved`
    JobApproved {
        /// The party that approved, which may be another node.
        party: String,
        /// SHA-256 of the contract.
        contract: String,
        /// SHA-256 of the signed statement.
        statement: String,
        /// Who approved, a code or role of the party's own.
        approver: String,
        /// The second approver.
        second: Option<String>,
        /// The party's own reference.
        ticket: Option<String>,
        /// Until when it holds.
        expires: Option<String>,
    }
}
body! {
    /// `job.rejected`
    JobRejected {
        /// The party that rejected.
        party: String,
        /// SHA-256 of the contract.
        contract: String,
        /// SHA-256 of the signed statement.
        statement: String,
        /// Who rejected.
        approver: String,
        /// Why.
        code: String,
    }
}
body! {
    /// `session.opened`
    SessionOpened {
        /// The other node.
        peer: String,
        /// SHA-256 of the SubjectPublicKeyInfo of its certificate.
        peer_key: String,
        /// The version that the TLS connection negotiated which carries the frames from here.
        tls: String,
        /// Its cipher suite.
        suite: String,
        /// What frames are sealed with from end to end within it.
        sealed: String,
        /// SHA-256 of the program this node runs.
        binary: String,
        /// `release` or `debug`.
        build: String,
        /// Whether anything meant for tests only is switched on.
        test_mode: bool,
        /// SHA-256 of the contract that the link is bound to.
        contract: String,
    }
}
body! {
    /// `data.committed`
    DataCommitted {
        /// The data set's name.
        dataset: String,
        /// SHA-256 of the schema.
        schema: String,
        /// How many columns.
        columns: u64,
        /// How many rows.
        rows: u64,
        /// Salted Merkle root over the rows.
        root: String,
        /// The grade of the data, as the party's configuration has it.
        grade: Option<String>,
    }
}
body! {
    /// `align.done`
    AlignDone {
        /// The method.
        method: String,
        /// How many customers are common.
        matched: u64,
    }
}
body! {
    /// `step.started`
    StepStarted {
        /// The step.
        step: String,
        /// Where its correlated randomness is from: `helper`, `ot`, `he`, `none`; `test` in tests.
        randomness: String,
    }
}
body! {
    /// What went between this node and one other in a step.
    PeerFlow {
        /// The other node.
        peer: String,
        /// From here to there.
        sent: Flow,
        /// From there to here.
        received: Flow,
    }
}
body! {
    /// `step.finished`
    StepFinished {
        /// The step.
        step: String,
        /// Seconds by the clock, a decimal.
        wall_s: String,
        /// Seconds of processor time, a decimal.
        cpu_s: String,
        /// Each other node.
        peers: Vec<PeerFlow>,
    }
}
body! {
    /// `disclosure`
    Disclosure {
        /// As the contract declares it.
        id: String,
        /// Its how-many-th opening in this job at this node, from 1.
        ordinal: u64,
        /// The kind of shape declared.
        shape: String,
        /// How many values.
        values: u64,
        /// To whom.
        to: Vec<String>,
        /// In which step.
        step: String,
    }
}
body! {
    /// `disclosure.announced`: these openings, of one bit each, may follow. Those that do are written down as
    /// [`Disclosure`], each for itself.
    DisclosureAnnounced {
        /// As the contract declares it.
        id: String,
        /// The how-many-th opening the first of them is.
        first: u64,
        /// And the last; at most [`MAX_ANNOUNCED`] in all.
        last: u64,
        /// To whom.
        to: Vec<String>,
    }
}
body! {
    /// `dp.spent`
    DpSpent {
        /// The data set.
        dataset: String,
        /// Of this job, for a training customer, a decimal.
        training: String,
        /// Of this job, for a test customer.
        evaluation: String,
        /// Of all jobs on this data set so far, this one included.
        total: String,
        /// The δ of all three.
        delta: String,
        /// Rényi divergences of this job for a customer, decimals, of 345 orders: 1.1 to 10.9 by tenths, 11 to 256.
        job: Vec<String>,
        /// Those of all other jobs on this data set so far.
        before: Vec<String>,
    }
}
body! {
    /// `metrics.reported`
    MetricsReported {
        /// The report's name among the artifacts.
        report: String,
        /// Its SHA-256.
        sha256: String,
        /// The main numbers, decimals.
        values: BTreeMap<String, String>,
    }
}
body! {
    /// One file by digest.
    FileDigest {
        /// Its name.
        name: String,
        /// Its SHA-256.
        sha256: String,
        /// Its length.
        bytes: u64,
    }
}
body! {
    /// `model.committed`
    ModelCommitted {
        /// The files.
        files: Vec<FileDigest>,
    }
}
body! {
    /// `model.released`
    ModelReleased {
        /// What.
        what: String,
        /// To whom.
        to: Vec<String>,
    }
}
body! {
    /// `denied`
    Denied {
        /// A stable code.
        code: String,
        /// What was refused.
        subject: String,
        /// To whom.
        to: Option<String>,
    }
}
body! {
    /// `aborted`
    Aborted {
        /// The node at fault.
        culprit: Option<String>,
        /// The step.
        step: String,
        /// A stable code.
        code: String,
        /// Whether nothing of the job's outputs is left at this node.
        destroyed: bool,
        /// How many events the node had written before it that concern no job.
        node: u64,
    }
}
body! {
    /// `run.completed`
    RunCompleted {
        /// How many `disclosure` events stand before it in this chain.
        disclosures: u64,
        /// How many `step.finished` events stand before it in this chain.
        steps: u64,
        /// How many events the node had written before it that concern no job.
        node: u64,
        /// Seconds by the clock, a decimal.
        wall_s: String,
    }
}
body! {
    /// `log.started`
    LogStarted {
        /// The program's version.
        version: String,
        /// SHA-256 of the program.
        binary: String,
        /// Events in the log before this one.
        size: u64,
    }
}
body! {
    /// `log.witnessed`
    LogWitnessed {
        /// Whose log.
        log: String,
        /// Its size.
        size: u64,
        /// Its root, hexadecimal.
        root: String,
        /// `cosigned` or `refused`.
        outcome: String,
        /// Why refused, a code.
        code: Option<String>,
    }
}
body! {
    /// `log.unwitnessed`
    LogUnwitnessed {
        /// Size of the head of this node's log that they have not cosigned.
        size: u64,
        /// Data parties that are no longer waited for.
        missing: Vec<String>,
        /// At the end of the job, which is closed without them.
        end: bool,
    }
}
body! {
    /// `key.rotated`
    KeyRotated {
        /// The key before.
        old: String,
        /// The key from now on.
        new: String,
        /// From when.
        from: String,
    }
}
body! {
    /// `data.erased`
    DataErased {
        /// What, a code.
        what: String,
        /// How many.
        count: u64,
        /// Salted commitment to the subject.
        subject: Option<String>,
    }
}
body! {
    /// `data.compared`
    DataCompared {
        /// The job before it on the same data set and columns; none where it is the first.
        against: Option<String>,
        /// What has changed by more than the node's limits: a figure, perhaps a column, values of aggregates.
        alarms: Vec<String>,
    }
}
body! {
    /// `incident`
    Incident {
        /// A stable code.
        class: String,
        /// One line, without any value of the data.
        detail: String,
    }
}
body! {
    /// `policy.changed`
    PolicyChanged {
        /// SHA-256 of the policy before; none where this is the first.
        old: Option<String>,
        /// SHA-256 of the policy now.
        new: String,
        /// Its version: one more than that before.
        version: u64,
    }
}

body! {
    /// `policy.signed`
    PolicySigned {
        /// SHA-256 of the file.
        file: String,
        /// The version that it gives itself.
        version: u64,
        /// Who signed it, codes of the party's own.
        signers: Vec<String>,
    }
}

mod text;

#[cfg(test)]
mod tests;
