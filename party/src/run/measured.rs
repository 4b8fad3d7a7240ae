//! What a run costs this party, counted stage by stage, and what its plan says of the same run.
//!
//! Rounds and bytes are the meter's: messages before they are sealed and cut into frames. Memory is this process's
//! peak since the run began (`VmHWM` of `/proc/self/status`, which a 5 in `/proc/self/clear_refs` sets back): where a
//! node runs several jobs at a time, it is that of all of them.

use std::{collections::BTreeMap, time::Instant};

use paripassu_job::{
    Assumptions, NodeId, Plan, Spec,
    plan::{PartySize, Stage, Taken, plan, plan_taken},
};
use paripassu_model::report::{Compared, Planned, PlannedStage};
use paripassu_protocol::{ctx::Meter, horizontal::prepare::Joint};

use super::Run;

/// A stage that is over.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counted {
    stage: Stage,
    rounds: u64,
    bytes: u64,
    seconds: f64,
}

/// What has been counted so far.
#[derive(Debug)]
pub(super) struct Measured {
    /// When the stage under way began, and what had been counted by then.
    since: Instant,
    before: (u64, u64),
    stages: Vec<Counted>,
    /// Memory of the process when the run began, in bytes, where the system tells.
    memory: Option<u64>,
}

/// What a run has found out that its plan could only assume.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    /// Rows and design columns, without the intercept, of each party. Rows of others as far as they are known: by
    /// whole frames of the alignment.
    pub(super) parties: BTreeMap<NodeId, PartySize>,
    /// Common customers.
    pub(super) matched: u64,
    /// What it took; nothing where no such plan is made.
    pub(super) taken: Taken,
}

impl Measured {
    /// Begins to count.
    pub(super) fn new() -> Self {
        // where it may not be set back, the peak is that since the node began
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        Self {
            since: Instant::now(),
            before: (0, 0),
            stages: Vec::new(),
            memory: status("VmRSS:"),
        }
    }

    /// A stage is over.
    pub(super) fn over(&mut self, stage: Stage, meter: &Meter) {
        let total = meter.total();
        let now = (total.rounds, total.bytes_sent + total.bytes_received);
        self.stages.push(Counted {
            stage,
            rounds: now.0 - self.before.0,
            bytes: now.1 - self.before.1,
            seconds: self.since.elapsed().as_secs_f64(),
        });
        (self.since, self.before) = (Instant::now(), now);
    }

    /// Wall time by stage, in seconds.
    pub(super) fn seconds(&self) -> impl Iterator<Item = (String, f64)> {
        self.stages.iter().map(|s| (s.stage.to_string(), s.seconds))
    }

    /// Lays the plan of the job beside what `party` counted; nothing where there is no plan of it.
    pub(super) fn beside(&self, spec: &Spec, party: &NodeId, found: &Found) -> Option<Planned> {
        let mut assumed = Assumptions::usual(spec);
        assumed.parties = found.parties.clone();
        assumed.matched = found.matched;
        let said = |error| tracing::warn!(%error, "there is no plan to lay beside this run");
        let usual = plan(spec, &assumed).map_err(said).ok()?;
        let of_run = plan_taken(spec, &assumed, &found.taken)
            .map_err(said)
            .ok()?;
        let stages = Stage::ALL.into_iter();
        let stages = stages.filter_map(|stage| self.stage(stage, party, &usual, &of_run));
        Some(Planned {
            stages: stages.collect(),
            memory: self.memory(party, &usual, &of_run),
            notes: notes(spec),
        })
    }

    fn stage(
        &self,
        stage: Stage,
        party: &NodeId,
        usual: &Plan,
        of_run: &Plan,
    ) -> Option<PlannedStage> {
        let cost = |plan: &Plan| plan.stages(party).into_iter().find(|c| c.stage == stage);
        let counted = self.stages.iter().find(|c| c.stage == stage);
        let (before, after) = (cost(usual), cost(of_run));
        if before.is_none() && counted.is_none_or(|c| c.rounds + c.bytes == 0) {
            return None;
        }
        let of = |read: fn(&paripassu_job::plan::StageCost) -> u64, counted: u64| Compared {
            planned: before.as_ref().map_or(0, read),
            for_this_run: after.as_ref().map_or(0, read),
            counted,
        };
        Some(PlannedStage {
            stage: stage.to_string(),
            rounds: of(|cost| cost.rounds, counted.map_or(0, |c| c.rounds)),
            bytes: of(
                |cost| cost.sent + cost.received,
                counted.map_or(0, |c| c.bytes),
            ),
            seconds_planned: after.as_ref().map_or(0.0, |cost| cost.seconds),
            seconds: counted.map_or(0.0, |c| c.seconds),
        })
    }

    /// The node before the run and what the plan adds, and its peak.
    fn memory(&self, party: &NodeId, usual: &Plan, of_run: &Plan) -> Option<Compared> {
        let (idle, peak) = (self.memory?, status("VmHWM:")?);
        let with = |plan: &Plan| Some(idle + plan.job_memory_of(party)?);
        Some(Compared {
            planned: with(usual)?,
            for_this_run: with(of_run)?,
            counted: peak,
        })
    }
}

impl Run {
    /// This party as the contract names it.
    fn me(&self) -> Option<NodeId> {
        let id = self.site.identity.peer().id.as_str();
        let mut parties = self.contract.parties().into_iter();
        parties.find(|party| party.as_str() == id).cloned()
    }

    /// The plan of this job, which matches customers, beside what this party counted. `widths` are the design columns
    /// of each party with the intercept; none where nothing is trained.
    pub(super) fn planned(&self, rows: u64, matched: u64, widths: &[usize]) -> Option<Planned> {
        let me = self.me()?;
        let seats = self.contract.parties().into_iter().enumerate();
        let parties = seats.map(|(position, id)| {
            let width = widths.get(position).map_or(0, |width| *width as u64);
            let stepped = self.stepped.get(position).map(|width| *width as u64);
            let size = PartySize {
                rows: if *id == me { rows } else { self.peer_rows },
                design_columns: stepped.unwrap_or(width.saturating_sub(u64::from(position == 0))),
            };
            (id.clone(), size)
        });
        let found = Found {
            parties: parties.collect(),
            matched,
            taken: self.taken,
        };
        self.measured.beside(self.spec(), &me, &found)
    }

    /// The same of a job of banks with customers of their own.
    pub(super) fn planned_horizontal(&self, rows: u64, joint: &Joint) -> Option<Planned> {
        let me = self.me()?;
        let parties = self.contract.parties();
        let training = 10 - self.spec().split.test_tenths.min(9);
        let others = (joint.rows * 10 / training).saturating_sub(rows);
        let others = others / (parties.len() as u64 - 1).max(1);
        let design_columns = joint.design.width() as u64;
        let parties = parties.into_iter().map(|id| {
            let rows = if *id == me { rows } else { others };
            let size = PartySize {
                rows,
                design_columns,
            };
            (id.clone(), size)
        });
        let found = Found {
            parties: parties.collect(),
            matched: 0,
            taken: self.taken,
        };
        self.measured.beside(self.spec(), &me, &found)
    }
}

/// What to know of the numbers.
fn notes(spec: &Spec) -> Vec<String> {
    let mut notes = vec![format!(
        "Planned from the sizes that the run found; bytes are those of messages before they are sealed and cut \
         into frames. Time is expected for {} on two cores. Memory is the node's own before the job \
         and what the job adds to it.",
        Assumptions::usual(spec).link()
    )];
    if spec.binning.is_some() {
        notes.push(
            "How many fine bins a column has is found out by its owner: bytes of preparing are planned for as \
             many as the job allows."
                .into(),
        );
    }
    if spec.selection.is_some() {
        notes.push(
            "Selection of columns is planned for those that stayed, in one round: each column that variance inflation took \
             added another."
                .into(),
        );
    }
    if spec.stepwise().is_some() {
        notes.push(
            "Training is planned for one fit, and for this run for one more a column that left or entered the model, as if the \
             parties had them in proportion."
                .into(),
        );
    }
    if spec.tuning.is_some() {
        notes.push(
            "Trials of penalties are planned for a Hessian each, and for this run for the passes that all took; one that begins anew \
             makes more Hessians."
                .into(),
        );
    }
    notes
}

/// A line of `/proc/self/status` that is in kB, in bytes; nothing where the system has no such file.
fn status(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_no_lower_than_what_is_held() {
        let measured = Measured::new();
        if let Some(before) = measured.memory {
            let held = vec![1u8; 32 << 20];
            let peak = status("VmHWM:").unwrap();
            assert!(
                peak >= before && peak >= held.len() as u64,
                "{before} {peak}"
            );
        }
    }

    #[test]
    fn stages_are_counted_apart() {
        let meter = Meter::default();
        let mut measured = Measured::new();
        measured.over(Stage::Align, &meter);
        measured.over(Stage::Train, &meter);
        let names: Vec<String> = measured.seconds().map(|(name, _)| name).collect();
        assert_eq!(names, ["align", "train"]);
        assert!(measured.stages.iter().all(|s| s.rounds + s.bytes == 0));
    }
}
