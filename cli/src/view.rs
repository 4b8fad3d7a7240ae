//! Jobs and nodes as commands print them.

use paripassu_job::{Contract, State, Timestamp};
use paripassu_proto::control::v1 as pb;
use serde::Serialize;

use crate::screen::{Paint, count, seconds};

/// A job at a glance.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobView {
    pub(crate) job: String,
    pub(crate) state: State,
    pub(crate) parties: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) helper: Option<String>,
    pub(crate) submitter: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) submitted_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    pub(crate) digest: String,
    pub(crate) waiting_for: Vec<String>,
    /// Banks that the job goes on without, or was released without.
    pub(crate) without: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) abort: Option<AbortView>,
}

/// Why a job ended without a result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AbortView {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) culprit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reported_by: Option<String>,
    pub(crate) step: String,
    pub(crate) code: String,
    pub(crate) reason: String,
}

/// How far one node is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NodeView {
    pub(crate) node: String,
    pub(crate) phase: State,
    pub(crate) step: String,
    pub(crate) iteration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iterations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds_left: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waiting_for: Option<String>,
    pub(crate) completed: bool,
}

/// A job with the progress of its nodes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusView {
    #[serde(flatten)]
    pub(crate) job: JobView,
    pub(crate) nodes: Vec<NodeView>,
}

/// The state named on the wire.
pub(crate) fn state(wire: i32) -> State {
    use pb::JobState;
    match JobState::try_from(wire).unwrap_or(JobState::Unspecified) {
        JobState::Unspecified => State::Draft,
        JobState::Proposed => State::Proposed,
        JobState::Approved => State::Approved,
        JobState::Aligning => State::Aligning,
        JobState::Preparing => State::Preparing,
        JobState::Training => State::Training,
        JobState::Evaluating => State::Evaluating,
        JobState::Released => State::Released,
        JobState::Rejected => State::Rejected,
        JobState::Aborted => State::Aborted,
        JobState::Expired => State::Expired,
    }
}

/// Seconds since 1970 as text; nothing for "none".
pub(crate) fn moment(unix: i64) -> Option<String> {
    let seconds = u64::try_from(unix).ok().filter(|unix| *unix > 0)?;
    Timestamp::from_unix(seconds)
        .ok()
        .map(|moment| moment.to_string())
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<&pb::JobSummary> for JobView {
    fn from(wire: &pb::JobSummary) -> Self {
        let abort = wire.abort.as_ref().map(|abort| AbortView {
            culprit: named(&abort.culprit),
            reported_by: named(&abort.reported_by),
            step: abort.step.clone(),
            code: abort.code.clone(),
            reason: abort.reason.clone(),
        });
        Self {
            job: wire.job.clone(),
            state: state(wire.state),
            parties: wire.parties.clone(),
            helper: named(&wire.helper),
            submitter: wire.submitter.clone(),
            submitted_at: moment(wire.submitted_at),
            // The last moment of time stands for "never".
            expires_at: moment(wire.expires_at),
            digest: hex(&wire.digest),
            waiting_for: wire.waiting_for.clone(),
            without: wire.without.clone(),
            abort,
        }
    }
}

impl JobView {
    /// Takes from the contract what the contract says, instead of what the coordinator says of it.
    pub(crate) fn by_contract(&mut self, contract: &Contract) {
        let submitter = contract.submitter();
        self.job = contract.job().to_string();
        self.digest = contract.digest().to_string();
        self.submitter = format!("{}/{}", submitter.kind, submitter.id);
        self.parties = contract.parties().iter().map(ToString::to_string).collect();
        self.helper = Some(contract.helper().to_string());
        self.expires_at = contract.expires_at().map(|end| end.to_string());
    }
}

impl From<&pb::NodeProgress> for NodeView {
    fn from(wire: &pb::NodeProgress) -> Self {
        Self {
            node: wire.node.clone(),
            phase: state(wire.phase),
            step: wire.step.clone(),
            iteration: wire.iteration,
            iterations: Some(wire.iterations).filter(|n| *n > 0),
            rate: Some(wire.rate).filter(|rate| *rate > 0.0 && rate.is_finite()),
            seconds_left: Some(wire.seconds_left).filter(|s| *s > 0),
            waiting_for: named(&wire.waiting_for),
            completed: wire.completed,
        }
    }
}

impl StatusView {
    /// From the wire; an answer without a summary is of no job.
    pub(crate) fn read(wire: &pb::JobStatus) -> Option<Self> {
        Some(Self {
            job: wire.summary.as_ref()?.into(),
            nodes: wire.nodes.iter().map(Into::into).collect(),
        })
    }

    /// The node whose progress says most: the furthest behind that does something.
    pub(crate) fn leading(&self) -> Option<&NodeView> {
        let label = self.job.parties.first()?;
        self.nodes
            .iter()
            .find(|node| node.node == *label)
            .or_else(|| self.nodes.first())
    }

    /// Who is waited for: parties that have not decided, nodes not connected, or the nodes that the
    /// others wait for.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        if !self.job.waiting_for.is_empty() {
            return self.job.waiting_for.clone();
        }
        let mut names: Vec<String> = self
            .nodes
            .iter()
            .filter(|node| !node.completed)
            .filter_map(|node| node.waiting_for.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

impl NodeView {
    /// One line: step, iteration, rate, time left, who is waited for.
    pub(crate) fn line(&self) -> String {
        if self.completed {
            return "done".to_owned();
        }
        let mut line = self.step.clone();
        match self.iterations {
            Some(of) => line.push_str(&format!(" {} of {}", count(self.iteration), count(of))),
            None if self.iteration > 0 => line.push_str(&format!(" {}", count(self.iteration))),
            None => {}
        }
        if let Some(rate) = self.rate {
            line.push_str(&format!(", {} per s", rate_text(rate)));
        }
        if let Some(left) = self.seconds_left {
            line.push_str(&format!(", {} left", seconds(left as f64)));
        }
        if let Some(node) = &self.waiting_for {
            line.push_str(&format!(", waiting for {node}"));
        }
        line
    }
}

/// A rate as people read it.
pub(crate) fn rate_text(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        // Rates are far below 2^64, and only shown.
        count(rate.round() as u64)
    }
}

/// The state in its colour.
pub(crate) fn painted(state: State, paint: Paint) -> String {
    match state {
        State::Released => paint.good(state),
        State::Rejected | State::Aborted | State::Expired => paint.bad(state),
        State::Proposed | State::Approved => paint.warn(state),
        _ => paint.name(state),
    }
}

impl AbortView {
    /// One sentence: who, where, why.
    pub(crate) fn sentence(&self) -> String {
        let who = self
            .culprit
            .as_ref()
            .map_or_else(String::new, |culprit| format!(" because of {culprit}"));
        let step = if self.step.is_empty() {
            String::new()
        } else {
            format!(" in step {}", self.step)
        };
        let by = self
            .reported_by
            .as_ref()
            .map_or_else(String::new, |by| format!(" (reported by {by})"));
        format!("aborted{who}{step}: {}{by}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> pb::JobStatus {
        pb::JobStatus {
            summary: Some(pb::JobSummary {
                job: "ab".into(),
                state: pb::JobState::Training.into(),
                parties: vec!["bank".into(), "partner".into()],
                digest: vec![1, 255].into(),
                ..Default::default()
            }),
            nodes: vec![
                pb::NodeProgress {
                    node: "partner".into(),
                    phase: pb::JobState::Training.into(),
                    step: "pass".into(),
                    ..Default::default()
                },
                pb::NodeProgress {
                    node: "bank".into(),
                    phase: pb::JobState::Training.into(),
                    step: "pass".into(),
                    iteration: 3,
                    iterations: 20,
                    rate: 1.5,
                    waiting_for: "partner".into(),
                    seconds_left: 11,
                    ..Default::default()
                },
            ],
        }
    }

    #[test]
    fn a_status_says_step_rate_time_left_and_who_is_waited_for() {
        let view = StatusView::read(&status()).unwrap();
        assert_eq!(view.job.digest, "01ff");
        assert_eq!(view.waited_for(), ["partner"]);
        let line = view.leading().unwrap().line();
        assert_eq!(
            line,
            "pass 3 of 20, 1.5 per s, 11.0 s left, waiting for partner"
        );
        assert!(StatusView::read(&pb::JobStatus::default()).is_none());
    }

    #[test]
    fn an_abort_names_culprit_and_step() {
        let abort = AbortView {
            culprit: Some("partner".into()),
            reported_by: Some("bank".into()),
            step: "align/mask".into(),
            code: "channel_timeout".into(),
            reason: "no message within 60 s".into(),
        };
        assert_eq!(
            abort.sentence(),
            "aborted because of partner in step align/mask: no message within 60 s (reported by bank)"
        );
    }
}
