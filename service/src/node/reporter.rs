//! Progress of a job, from its run to the coordinator: names and numbers of steps, no data.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use paripassu_proto::{
    JobId, NodeId,
    control::v1::{self as pb, JobState, node_control},
    limits,
};
use paripassu_protocol::channel::Role;
use tokio::time::Instant;

use crate::transport::Outlet;

/// Reports closer together than this are merged, but for changes of phase.
const SPACING: Duration = Duration::from_millis(200);

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Step within the phase.
    pub step: String,
    /// Iteration within the step, from 1; 0 where there are none.
    pub iteration: u64,
    /// Iterations expected, 0 if unknown.
    pub iterations: u64,
    /// Rows or iterations per second, 0 if unknown.
    pub rate: f64,
    /// Whom it waits for.
    pub waiting_for: Option<Role>,
    /// Seconds left, 0 if unknown.
    pub seconds_left: u64,
}

struct State {
    phase: JobState,
    last: Option<Instant>,
}

/// Reports a run's progress; clones report the same run.
#[derive(Clone)]
pub struct Reporter {
    job: JobId,
    members: Arc<[(Role, NodeId)]>,
    outlet: Outlet,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reporter({})", self.job)
    }
}

impl Reporter {
    pub(super) fn new(job: JobId, members: Vec<(Role, NodeId)>, outlet: Outlet) -> Self {
        let state = State {
            phase: JobState::Aligning,
            last: None,
        };
        Self {
            job,
            members: members.into(),
            outlet,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The run enters a phase.
    pub fn phase(&self, phase: JobState, step: &str) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.phase = phase;
            state.last = None;
        }
        self.progress(&Progress {
            step: step.to_owned(),
            ..Progress::default()
        });
    }

    /// The run has got on. Cheap to call often: most calls send nothing.
    pub fn progress(&self, progress: &Progress) {
        let phase = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if state
                .last
                .is_some_and(|last| now.duration_since(last) < SPACING)
            {
                return;
            }
            state.last = Some(now);
            state.phase
        };
        let waiting_for = progress
            .waiting_for
            .and_then(|role| self.members.iter().find(|(r, _)| *r == role))
            .map(|(_, id)| id.as_str().to_owned())
            .unwrap_or_default();
        let report = pb::ProgressReport {
            job: self.job.as_str().to_owned(),
            progress: Some(pb::NodeProgress {
                node: String::new(),
                phase: phase.into(),
                step: limits::bounded_text(&progress.step),
                iteration: progress.iteration,
                iterations: progress.iterations,
                rate: progress.rate,
                waiting_for,
                completed: false,
                at: 0,
                seconds_left: progress.seconds_left,
            }),
        };
        self.outlet.control(node_control::Body::Progress(report));
    }
}
