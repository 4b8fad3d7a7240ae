//! The life of a job: states, progress, and who ended it.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::id::{NodeId, excerpt, serde_as_text};

/// Where a job stands. All nodes of a job agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A file at the modeler.
    Draft,
    /// Submitted; parties have been asked.
    Proposed,
    /// Every party has approved.
    Approved,
    /// Matching customers.
    Aligning,
    /// Building design matrices and one-time material.
    Preparing,
    /// Fitting the model.
    Training,
    /// Scoring the test rows.
    Evaluating,
    /// Done: what the contract declares was released.
    Released,
    /// A party said no.
    Rejected,
    /// Ended by a failure or by an operator; nothing was released.
    Aborted,
    /// Not approved and started in time.
    Expired,
}

/// A step that the life cycle does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifeError {
    /// No such transition.
    #[error("a job that is {from} cannot become {to}{}", hint(*.from))]
    Transition {
        /// State it is in.
        from: State,
        /// State asked for.
        to: State,
    },
    /// No such state.
    #[error("`{got}` is no state of a job")]
    State {
        /// What was given.
        got: String,
    },
    /// No such culprit.
    #[error("`{got}` is no culprit: expected `node:ID`, `cancelled:ID`, `deadline` or `unknown`")]
    Culprit {
        /// What was given.
        got: String,
    },
}

fn hint(from: State) -> String {
    if from.is_final() {
        return ": it has ended".to_owned();
    }
    let next: Vec<_> = State::ALL
        .into_iter()
        .filter(|to| from.can_become(*to))
        .map(|to| to.to_string())
        .collect();
    format!("; it can become {}", next.join(", "))
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Draft,
        Self::Proposed,
        Self::Approved,
        Self::Aligning,
        Self::Preparing,
        Self::Training,
        Self::Evaluating,
        Self::Released,
        Self::Rejected,
        Self::Aborted,
        Self::Expired,
    ];

    /// Whether the life cycle has a step from here to `to`.
    pub fn can_become(self, to: Self) -> bool {
        use State::{
            Aborted, Aligning, Approved, Draft, Evaluating, Expired, Preparing, Proposed, Rejected,
            Released, Training,
        };
        matches!(
            (self, to),
            (Draft, Proposed)
                | (Proposed, Approved | Rejected)
                | (Approved, Aligning)
                | (Aligning, Preparing)
                | (Preparing, Training)
                | (Training, Evaluating)
                | (Evaluating, Released)
                | (Proposed | Approved, Expired)
                | (
                    Proposed | Approved | Aligning | Preparing | Training | Evaluating,
                    Aborted
                )
        )
    }

    /// The state `to`, if the life cycle has that step.
    ///
    /// # Errors
    /// When it has not.
    pub fn step_to(self, to: Self) -> Result<Self, LifeError> {
        if self.can_become(to) {
            Ok(to)
        } else {
            Err(LifeError::Transition { from: self, to })
        }
    }

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Released | Self::Rejected | Self::Aborted | Self::Expired
        )
    }

    /// Whether nodes are exchanging protocol messages.
    pub const fn is_running(self) -> bool {
        matches!(
            self,
            Self::Aligning | Self::Preparing | Self::Training | Self::Evaluating
        )
    }

    /// The state as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Aligning => "aligning",
            Self::Preparing => "preparing",
            Self::Training => "training",
            Self::Evaluating => "evaluating",
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::Aborted => "aborted",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = LifeError;

    fn from_str(text: &str) -> Result<Self, LifeError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| LifeError::State { got: excerpt(text) })
    }
}

/// How far one node is. Holds no value of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The phase.
    pub phase: State,
    /// The step within it, such as `masked-features` or `pass`.
    pub step: String,
    /// Units done: passes while training, items while aligning.
    pub iteration: u64,
    /// Units in all, as far as known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    /// Units per second, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Seconds left in this step, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<f64>,
    /// The node whose message is awaited, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<NodeId>,
}

impl Progress {
    /// The start of a step.
    pub fn begin(phase: State, step: impl Into<String>, of: Option<u64>) -> Self {
        Self {
            phase,
            step: step.into(),
            iteration: 0,
            of,
            rate: None,
            eta_s: None,
            waiting_for: None,
        }
    }

    /// This step after `done` units in `elapsed`, with rate and time left.
    #[must_use]
    pub fn after(mut self, done: u64, elapsed: Duration) -> Self {
        self.iteration = done;
        let seconds = elapsed.as_secs_f64();
        self.rate = (done > 0 && seconds > 0.0).then(|| done as f64 / seconds);
        let left = self.of.map(|of| of.saturating_sub(done));
        self.eta_s = self.rate.zip(left).map(|(rate, left)| left as f64 / rate);
        self
    }

    /// This step, waiting for a message of `node`.
    #[must_use]
    pub fn waiting_for(mut self, node: NodeId) -> Self {
        self.waiting_for = Some(node);
        self
    }

    /// Share of this step done, 0 to 1, if its length is known.
    pub fn fraction(&self) -> Option<f64> {
        let of = self.of.filter(|of| *of > 0)?;
        Some((self.iteration as f64 / of as f64).min(1.0))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} · {}", self.phase, self.step)?;
        match self.of {
            Some(of) => write!(f, " {} of {of}", self.iteration)?,
            None if self.iteration > 0 => write!(f, " {}", self.iteration)?,
            None => {}
        }
        if let Some(rate) = self.rate {
            let digits = if rate < 10.0 { 1 } else { 0 };
            write!(f, ", {rate:.digits$} per s")?;
        }
        if let Some(eta) = self.eta_s {
            write!(f, ", {} left", crate::plan::duration(eta))?;
        }
        if let Some(node) = &self.waiting_for {
            write!(f, ", waiting for {node}")?;
        }
        Ok(())
    }
}

/// Who or what ended a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Culprit {
    /// A node that failed, left, went silent or broke the protocol.
    Node(NodeId),
    /// The person or party who cancelled it.
    Cancelled(NodeId),
    /// The job's own deadline.
    Deadline,
    /// Nobody can be named.
    Unknown,
}

impl Culprit {
    /// The node or person, where one is named.
    pub fn id(&self) -> Option<&NodeId> {
        match self {
            Self::Node(id) | Self::Cancelled(id) => Some(id),
            Self::Deadline | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => f.pad(&format!("node:{id}")),
            Self::Cancelled(id) => f.pad(&format!("cancelled:{id}")),
            Self::Deadline => f.pad("deadline"),
            Self::Unknown => f.pad("unknown"),
        }
    }
}

impl FromStr for Culprit {
    type Err = LifeError;

    fn from_str(text: &str) -> Result<Self, LifeError> {
        let refused = || LifeError::Culprit { got: excerpt(text) };
        match (text, text.split_once(':')) {
            ("deadline", _) => Ok(Self::Deadline),
            ("unknown", _) => Ok(Self::Unknown),
            (_, Some(("node", id))) => id.parse().map(Self::Node).map_err(|_| refused()),
            (_, Some(("cancelled", id))) => id.parse().map(Self::Cancelled).map_err(|_| refused()),
            _ => Err(refused()),
        }
    }
}

serde_as_text!(
    Culprit,
    "`node:ID`, `cancelled:ID`, `deadline` or `unknown`"
);

/// How a job was aborted: what every node keeps and shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abort {
    /// Who or what ended it.
    pub culprit: Culprit,
    /// The step in which it ended, such as `train/pass-3/margin`.
    pub step: String,
    /// Why, in a sentence without data values.
    pub reason: String,
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Culprit::Node(id) => write!(
                f,
                "aborted in {} because of {id}: {}",
                self.step, self.reason
            ),
            Culprit::Cancelled(id) => {
                write!(f, "cancelled by {id} in {}: {}", self.step, self.reason)
            }
            Culprit::Deadline => write!(
                f,
                "aborted in {} at the job's deadline: {}",
                self.step, self.reason
            ),
            Culprit::Unknown => write!(f, "aborted in {}: {}", self.step, self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_life_is_exactly_this() {
        let steps: Vec<_> = State::ALL
            .into_iter()
            .flat_map(|from| {
                State::ALL
                    .into_iter()
                    .filter(move |to| from.can_become(*to))
                    .map(move |to| format!("{from}>{to}"))
            })
            .collect();
        assert_eq!(
            steps.join(" "),
            "draft>proposed proposed>approved proposed>rejected proposed>aborted proposed>expired \
             approved>aligning approved>aborted approved>expired aligning>preparing aligning>aborted \
             preparing>training preparing>aborted training>evaluating training>aborted \
             evaluating>released evaluating>aborted"
        );
    }

    #[test]
    fn ends_are_final_and_errors_teach() {
        for state in State::ALL {
            assert_eq!(
                state.is_final(),
                !State::ALL.into_iter().any(|to| state.can_become(to)),
                "{state}"
            );
            assert_eq!(state.as_str().parse::<State>().unwrap(), state);
            assert_eq!(
                serde_json::to_string(&state).unwrap(),
                format!("\"{state}\"")
            );
        }
        let error = State::Proposed
            .step_to(State::Training)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a job that is proposed cannot become training; it can become approved, rejected, aborted, expired"
        );
        let error = State::Released
            .step_to(State::Aborted)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "a job that is released cannot become aborted: it has ended"
        );
    }

    #[test]
    fn progress_estimates_and_prints() {
        let progress = Progress::begin(State::Training, "pass", Some(8));
        assert_eq!(progress.to_string(), "training · pass 0 of 8");
        let progress = progress
            .after(2, Duration::from_secs(4))
            .waiting_for("partner".parse().unwrap());
        assert_eq!(
            progress.to_string(),
            "training · pass 2 of 8, 0.5 per s, 12 s left, waiting for partner"
        );
        assert_eq!(progress.fraction(), Some(0.25));
        let text = serde_json::to_string(&progress).unwrap();
        assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
    }

    #[test]
    fn culprits_round_trip() {
        for text in ["node:bank", "cancelled:modeler", "deadline", "unknown"] {
            assert_eq!(text.parse::<Culprit>().unwrap().to_string(), text);
        }
        for text in ["", "node:", "node:BANK", "bank", "deadline:x"] {
            assert!(text.parse::<Culprit>().is_err(), "{text}");
        }
    }
}
