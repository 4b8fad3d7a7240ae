//! A plan from one party's side, stage by stage, to be laid beside what that party counted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Plan, StepCost};
use crate::{constants, id::NodeId, life::State};

/// A stage of a job, as a party's node times it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Customers are matched.
    Align,
    /// Columns are brought to their form: bins of several parties, or a design that banks share.
    Prepare,
    /// The model is fitted and its coefficients are handed to their owners.
    Train,
    /// Test rows are scored.
    Evaluate,
}

impl Stage {
    /// All, in their order.
    pub const ALL: [Self; 4] = [Self::Align, Self::Prepare, Self::Train, Self::Evaluate];

    /// Where steps of a state of the job are counted that are not said to be elsewhere.
    pub(super) fn of(phase: State) -> Self {
        match phase {
            State::Aligning => Self::Align,
            State::Training => Self::Train,
            State::Evaluating | State::Released => Self::Evaluate,
            _ => Self::Prepare,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Align => "align",
            Self::Prepare => "prepare",
            Self::Train => "train",
            Self::Evaluate => "evaluate",
        })
    }
}

/// What one party sends, receives and waits for in a stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageCost {
    /// The stage.
    pub stage: Stage,
    /// How often the party waits for a message that it, or what it asked for, did not come along with another.
    pub rounds: u64,
    /// Bytes that it sends, before they are sealed.
    pub sent: u64,
    /// Bytes that it receives, before they are sealed.
    pub received: u64,
    /// Expected time, in seconds.
    pub seconds: f64,
}

impl StepCost {
    /// How often this party waits in the step.
    pub fn waits_of(&self, party: &NodeId) -> u64 {
        self.waits.get(party).copied().unwrap_or(self.rounds)
    }
}

impl Plan {
    /// The stages of this party that cost anything, in their order.
    pub fn stages(&self, party: &NodeId) -> Vec<StageCost> {
        let of = |stage: Stage| {
            let mut cost = StageCost {
                stage,
                rounds: 0,
                sent: 0,
                received: 0,
                seconds: 0.0,
            };
            for step in self.steps.iter().filter(|step| step.stage == stage) {
                cost.rounds += step.waits_of(party);
                cost.seconds += step.seconds;
                for link in &step.links {
                    cost.sent += if link.from == *party { link.bytes } else { 0 };
                    cost.received += if link.to == *party { link.bytes } else { 0 };
                }
            }
            cost
        };
        let all = Stage::ALL.into_iter().map(of);
        all.filter(|cost| cost.rounds + cost.sent + cost.received > 0)
            .collect()
    }

    /// Memory that this node is expected to need at most, in bytes.
    pub fn memory_of(&self, node: &NodeId) -> Option<u64> {
        let mut all = self.memory.iter();
        all.find(|need| need.node == *node).map(|need| need.bytes)
    }

    /// What the job is expected to add to the memory of this node, in bytes.
    pub fn job_memory_of(&self, node: &NodeId) -> Option<u64> {
        let all = self.memory_of(node)?;
        Some(all.saturating_sub(constants::NODE_MEMORY))
    }
}
