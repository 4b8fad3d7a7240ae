//! Watching a job: a bar on a terminal, plain lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use paripassu_job::State;
use serde::Serialize;
use tokio_stream::StreamExt;

use crate::{
    client::Client,
    failure::{Exit, Failure},
    screen::{Screen, seconds},
    view::{StatusView, rate_text},
};

/// How often a lost connection is tried again before watching gives up.
const RETRIES: u32 = 8;

/// How long a job was in one state.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PhaseTime {
    pub(crate) state: State,
    pub(crate) seconds: f64,
}

/// A job watched to its end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Watched {
    #[serde(flatten)]
    pub(crate) status: StatusView,
    pub(crate) phases: Vec<PhaseTime>,
}

impl Watched {
    /// The exit code that the job's end deserves.
    pub(crate) fn exit(&self) -> Exit {
        match self.status.job.state {
            State::Released => Exit::Ok,
            state if state.is_final() => Exit::Failed,
            _ => Exit::Later,
        }
    }

    /// How it ended, in one sentence.
    pub(crate) fn sentence(&self) -> String {
        let job = &self.status.job;
        match (job.state, &job.abort) {
            (State::Released, _) => "released: each party holds its half of the model".to_owned(),
            (State::Aborted, Some(abort)) => abort.sentence(),
            (State::Rejected, Some(abort)) => format!("rejected: {}", abort.reason),
            (State::Rejected, None) => "rejected by a party".to_owned(),
            (State::Expired, _) => "expired: not approved and started in time".to_owned(),
            (state, _) => {
                let waiting = self.status.waited_for();
                if waiting.is_empty() {
                    format!("still {state}")
                } else {
                    format!("still {state}, waiting for {}", waiting.join(", "))
                }
            }
        }
    }
}

/// Watches until the job has ended, or for `at_most`.
pub(crate) async fn watch(
    client: &mut Client,
    job: &str,
    at_most: Option<Duration>,
    screen: &Screen,
) -> Result<Watched, Failure> {
    let deadline = at_most.map(|time| tokio::time::Instant::now() + time);
    let mut display = Display::new(screen);
    let mut failures = 0;
    loop {
        let stopped = follow(client, job, deadline, &mut display).await;
        match stopped {
            Ok(true) => break,
            Ok(false) => {}
            Err(failure) if failure.exit() != Exit::Later || failures >= RETRIES => {
                display.finish();
                return Err(failure);
            }
            Err(failure) => {
                failures += 1;
                display.note(&format!("{}; trying again", failure.message()));
            }
        }
        tokio::time::sleep(Duration::from_millis(250 * u64::from(failures.max(1)))).await;
    }
    display.finish();
    display.watched()
}

/// Follows one stream of statuses; says whether watching is over.
async fn follow(
    client: &mut Client,
    job: &str,
    deadline: Option<tokio::time::Instant>,
    display: &mut Display,
) -> Result<bool, Failure> {
    let mut statuses = client.watch(job).await?;
    loop {
        let next = match deadline {
            None => statuses.next().await,
            Some(deadline) => match tokio::time::timeout_at(deadline, statuses.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(true),
            },
        };
        let Some(status) = next else {
            return Ok(false);
        };
        let Some(status) = status?.status.as_ref().and_then(StatusView::read) else {
            continue;
        };
        let ended = status.job.state.is_final();
        display.show(status);
        if ended {
            return Ok(true);
        }
    }
}

/// Draws statuses as they come.
#[derive(Debug)]
struct Display {
    screen: Screen,
    bar: Option<ProgressBar>,
    last: Option<StatusView>,
    line: String,
    phases: Vec<PhaseTime>,
    since: Instant,
}

impl Display {
    fn new(screen: &Screen) -> Self {
        let bar = screen.is_live().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            screen: *screen,
            bar,
            last: None,
            line: String::new(),
            phases: Vec::new(),
            since: Instant::now(),
        }
    }

    fn show(&mut self, status: StatusView) {
        let before = self.last.as_ref().map(|last| last.job.state);
        if before != Some(status.job.state) {
            if let Some(state) = before {
                self.close(state);
            }
            self.since = Instant::now();
            if let Some(bar) = &self.bar {
                bar.reset_elapsed();
            }
        }
        if !status.job.state.is_final() {
            match &self.bar {
                Some(bar) => draw(bar, &status, self.screen),
                None => self.print(&status),
            }
        }
        self.last = Some(status);
    }

    /// A state is over: its line stays on the screen.
    fn close(&mut self, state: State) {
        let spent = self.since.elapsed().as_secs_f64();
        self.phases.push(PhaseTime {
            state,
            seconds: spent,
        });
        let paint = self.screen.err();
        let line = format!("  {} {state:<11}{:>9}", paint.good("✓"), seconds(spent));
        self.note(&line);
    }

    fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => self.screen.say(line),
        }
    }

    /// Without a terminal: a line for each new state or step, not for each iteration.
    fn print(&mut self, status: &StatusView) {
        let state = status.job.state;
        let waiting = status.waited_for();
        let what = match status.leading().filter(|_| state.is_running()) {
            Some(node) => format!("{state}: {}", node.step),
            None if waiting.is_empty() => state.to_string(),
            None => format!("{state}: waiting for {}", waiting.join(", ")),
        };
        if what != self.line {
            self.screen.say(&what);
            self.line = what;
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn watched(self) -> Result<Watched, Failure> {
        let status = self.last.ok_or_else(|| {
            Failure::later("the coordinator has not said anything about this job yet")
        })?;
        Ok(Watched {
            status,
            phases: self.phases,
        })
    }
}

/// The line that is drawn over: state, bar, step, rate, time left, who is waited for.
fn draw(bar: &ProgressBar, status: &StatusView, screen: Screen) {
    let color = if screen.err().strong("x") == "x" {
        ""
    } else {
        ".cyan"
    };
    let node = status
        .leading()
        .filter(|node| node.phase == status.job.state);
    let steps = node.and_then(|node| Some((node.iteration, node.iterations?)));
    let template = if steps.is_some() {
        format!("  {{spinner{color}}} {{prefix:<11}} {{bar:24{color}}} {{pos}}/{{len}}  {{msg}}")
    } else {
        format!("  {{spinner{color}}} {{prefix:<11}} {{elapsed:>4}}  {{msg}}")
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar.set_prefix(status.job.state.to_string());
    if let Some((done, of)) = steps {
        bar.set_length(of);
        bar.set_position(done.min(of));
    }
    let mut parts = Vec::new();
    if let Some(node) = node {
        parts.push(node.step.clone());
        if let Some(rate) = node.rate {
            parts.push(format!("{}/s", rate_text(rate)));
        }
        if let Some(left) = node.seconds_left {
            parts.push(format!("{} left", seconds(left as f64)));
        }
    }
    let waiting = status.waited_for();
    if !waiting.is_empty() {
        parts.push(format!("waiting for {}", waiting.join(", ")));
    }
    bar.set_message(parts.join(" · "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{AbortView, JobView};

    fn watched(state: State, abort: Option<AbortView>, waiting_for: &[&str]) -> Watched {
        let job = JobView {
            job: "ab".into(),
            state,
            parties: vec!["bank".into()],
            helper: None,
            submitter: "user/modeler".into(),
            submitted_at: None,
            expires_at: None,
            digest: String::new(),
            waiting_for: waiting_for.iter().map(ToString::to_string).collect(),
            without: Vec::new(),
            abort,
        };
        Watched {
            status: StatusView {
                job,
                nodes: Vec::new(),
            },
            phases: Vec::new(),
        }
    }

    #[test]
    fn the_exit_code_is_the_jobs_end() {
        let code = |state| watched(state, None, &[]).exit().code();
        assert_eq!(code(State::Released), 0);
        assert_eq!(code(State::Aborted), 3);
        assert_eq!(code(State::Rejected), 3);
        assert_eq!(code(State::Expired), 3);
        assert_eq!(code(State::Proposed), 75);
    }

    #[test]
    fn a_waiting_job_says_for_whom() {
        assert_eq!(
            watched(State::Proposed, None, &["partner"]).sentence(),
            "still proposed, waiting for partner"
        );
    }
}
