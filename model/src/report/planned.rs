//! What the plan said beside what the party counted.

use serde::{Deserialize, Serialize};

use super::input::nan_if_null;
use super::table::{Cell, Table, figure, words};

/// What a job was planned to cost this party, beside what it did cost.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    /// The stages, in their order.
    pub stages: Vec<PlannedStage>,
    /// Peak memory of this party's node, in bytes, where the system tells it.
    pub memory: Option<Compared>,
    /// What to know of these numbers.
    pub notes: Vec<String>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedStage {
    /// Its name.
    pub stage: String,
    /// Times that this party waited for a message.
    pub rounds: Compared,
    /// Bytes that it sent and received, before they were sealed.
    pub bytes: Compared,
    /// Expected time in seconds.
    #[serde(deserialize_with = "nan_if_null")]
    pub seconds_planned: f64,
    /// Time that it took, in seconds.
    #[serde(deserialize_with = "nan_if_null")]
    pub seconds: f64,
}

/// A number as planned and as counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Compared {
    /// By the plan that one makes beforehand: as many passes as are usual.
    pub planned: u64,
    /// By the same plan for as many passes as the run took.
    pub for_this_run: u64,
    /// As counted.
    pub counted: u64,
}

impl Compared {
    /// Counted over what the plan says for this run, less one; nothing where the plan says 0.
    pub fn apart(&self) -> Option<f64> {
        (self.for_this_run > 0).then(|| self.counted as f64 / self.for_this_run as f64 - 1.0)
    }

    fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.for_this_run += other.for_this_run;
        self.counted += other.counted;
    }
}

impl Planned {
    /// All stages together.
    pub fn all(&self) -> PlannedStage {
        let mut all = PlannedStage {
            stage: "all".into(),
            ..PlannedStage::default()
        };
        for stage in &self.stages {
            all.rounds.add(&stage.rounds);
            all.bytes.add(&stage.bytes);
            all.seconds_planned += stage.seconds_planned;
            all.seconds += stage.seconds;
        }
        all
    }
}

/// Planned and counted, stage by stage.
pub(super) fn table(planned: Option<&Planned>) -> Table {
    let mut table = Table::new(
        "planned",
        "Planned and counted, for this party",
        vec![
            words("stage", "Stage"),
            figure("rounds_planned", "Rounds, usual passes"),
            figure("rounds_for_this_run", "for the passes made"),
            figure("rounds", "counted"),
            figure("bytes_planned", "Bytes, usual passes"),
            figure("bytes_for_this_run", "for the passes made"),
            figure("bytes", "counted"),
            figure("seconds_planned", "Time expected"),
            figure("seconds", "taken"),
        ],
    );
    let Some(planned) = planned.filter(|planned| !planned.stages.is_empty()) else {
        return table;
    };
    let all = planned.all();
    let row = |s: &PlannedStage| {
        vec![
            Cell::text(&s.stage),
            Cell::Count(s.rounds.planned),
            Cell::Count(s.rounds.for_this_run),
            Cell::Count(s.rounds.counted),
            Cell::Bytes(s.bytes.planned),
            Cell::Bytes(s.bytes.for_this_run),
            Cell::Bytes(s.bytes.counted),
            Cell::Seconds(s.seconds_planned),
            Cell::Seconds(s.seconds),
        ]
    };
    table.rows = planned.stages.iter().chain([&all]).map(row).collect();
    if let Some(memory) = &planned.memory {
        let mut cells = vec![Cell::Missing; 9];
        cells[0] = Cell::text("peak memory of the node");
        cells[4] = Cell::Bytes(memory.planned);
        cells[5] = Cell::Bytes(memory.for_this_run);
        cells[6] = Cell::Bytes(memory.counted);
        table.rows.push(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_add_up_and_what_is_not_planned_is_not_divided_by() {
        let compared = |planned, for_this_run, counted| Compared {
            planned,
            for_this_run,
            counted,
        };
        let stage = |name: &str, rounds, bytes| PlannedStage {
            stage: name.into(),
            rounds,
            bytes,
            seconds_planned: 1.0,
            seconds: 1.5,
        };
        let planned = Planned {
            stages: vec![
                stage("align", compared(4, 4, 4), compared(100, 100, 110)),
                stage("train", compared(20, 10, 10), compared(900, 500, 490)),
            ],
            memory: Some(compared(70, 60, 66)),
            notes: Vec::new(),
        };
        let all = planned.all();
        assert_eq!(all.rounds, compared(24, 14, 14));
        assert_eq!(all.bytes.apart(), Some(0.0));
        assert_eq!(all.seconds, 3.0);
        assert_eq!(compared(1, 0, 3).apart(), None);
        let rows = table(Some(&planned)).rows;
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[2][0], Cell::text("all"));
        assert_eq!(rows[3][6], Cell::Bytes(66));
        assert!(table(None).rows.is_empty());
    }
}
