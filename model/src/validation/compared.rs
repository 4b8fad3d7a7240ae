//! One job's data and figures against those of the job before it: what poisoned or damaged data change first.
//!
//! A [`Profile`] is what a party keeps of a finished job: counts of its own columns by bin, over the rows that took part.
//! The next job's rows are counted in the same bins. A stability index above 0.25 is the usual red line of population and
//! characteristic stability (N. Siddiqi, *Credit Risk Scorecards*, 2006, chapter 11).

use serde::{Deserialize, Serialize};

use crate::{
    metrics::stability_index,
    table::{ColumnData, MISSING_CODE, Table},
};

/// Bins of a column of numbers, but for missing ones.
const BINS: usize = 10;
/// Levels of a category that are counted apart.
const MOST_LEVELS: usize = 50;

/// How a column's values are counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Bins {
    /// Inner edges, ascending; then missing.
    Edges(Vec<f64>),
    /// Levels; then all others, and missing.
    Levels(Vec<String>),
}

/// Rows of a column by bin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Counted {
    column: String,
    bins: Bins,
    rows: Vec<u64>,
    /// Of these, rows with label 1, where the party has the label.
    bads: Option<Vec<u64>>,
    /// Information value that the job's own bins gave, where it had any.
    #[serde(default)]
    iv: Option<f64>,
}

/// Figures of a job, as far as the party has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// AUC of the model of the label party's own columns.
    pub auc_alone: Option<f64>,
    /// AUC of the joint model.
    pub auc_joint: Option<f64>,
}

/// What a party keeps of a finished job for the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    columns: Vec<Counted>,
    /// Rows with label 1 and all, where the party has the label.
    bads: Option<[u64; 2]>,
    /// Figures, once there are any.
    #[serde(default)]
    pub figures: Figures,
}

/// From which change on a job is flagged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Stability index of an own column. Default 0.25.
    pub csi: f64,
    /// Change of an own column's information value, if it is also half of the larger of both. Default 0.1.
    pub iv: f64,
    /// Change of the share of label 1. Default 0.05.
    pub bad_rate: f64,
    /// Change of an AUC. Default 0.05.
    pub auc: f64,
    /// Change of what the other parties add to the AUC of the label party's own columns. Default 0.03.
    pub uplift: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            csi: 0.25,
            iv: 0.1,
            bad_rate: 0.05,
            auc: 0.05,
            uplift: 0.03,
        }
    }
}

impl Limits {
    /// Whether each of them can be a limit.
    pub fn are_sound(&self) -> bool {
        [self.csi, self.iv, self.bad_rate, self.auc, self.uplift]
            .iter()
            .all(|limit| *limit > 0.0 && limit.is_finite())
    }
}

/// Something that has changed by more than its limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// `csi`, `iv`, `kind` (numbers became texts, or texts numbers), `bad_rate`, `auc.alone`, `auc.joint` or `uplift`.
    pub what: String,
    /// The column, for the first three.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// In the job before; none for an index, which compares both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<f64>,
    /// Now.
    pub now: f64,
    /// The limit that the change is above.
    pub limit: f64,
}

impl std::fmt::Display for Alarm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)?;
        if let Some(column) = &self.column {
            write!(f, " of {column}")?;
        }
        if let Some(before) = self.before {
            write!(f, " from {before:.3} to")?;
        }
        write!(f, " {:.3} (limit {})", self.now, self.limit)
    }
}

/// A job held against the one before it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// The job before it, on the same data set and columns; none where it is the first.
    pub against: Option<String>,
    /// What has changed too much.
    pub alarms: Vec<Alarm>,
}

impl Bins {
    /// Deciles of the numbers in these rows, or the most frequent levels.
    fn of(data: &ColumnData, rows: &[usize]) -> Self {
        match data {
            ColumnData::Numeric(values) => {
                let mut seen: Vec<f64> = rows
                    .iter()
                    .map(|row| values[*row])
                    .filter(|value| value.is_finite())
                    .collect();
                seen.sort_unstable_by(f64::total_cmp);
                let mut edges: Vec<f64> = (1..BINS)
                    .filter_map(|k| seen.get(k * seen.len() / BINS).copied())
                    .collect();
                edges.dedup();
                Self::Edges(edges)
            }
            ColumnData::Categorical { levels, codes } => {
                let names = levels.names();
                let mut counts = vec![0_u64; names.len()];
                for row in rows {
                    if let Some(count) = counts.get_mut(codes[*row] as usize) {
                        *count += 1;
                    }
                }
                let mut order: Vec<usize> = (0..names.len()).filter(|c| counts[*c] > 0).collect();
                order.sort_by_key(|code| std::cmp::Reverse(counts[*code]));
                order.truncate(MOST_LEVELS);
                Self::Levels(order.into_iter().map(|code| names[code].clone()).collect())
            }
        }
    }

    fn number(&self) -> usize {
        match self {
            Self::Edges(edges) => edges.len() + 2,
            Self::Levels(levels) => levels.len() + 2,
        }
    }

    /// The bin of each of these rows; none where the column is of another kind now.
    fn places(&self, data: &ColumnData, rows: &[usize]) -> Option<Vec<usize>> {
        let missing = self.number() - 1;
        Some(match (self, data) {
            (Self::Edges(edges), ColumnData::Numeric(values)) => {
                let place = |value: f64| match value.is_nan() {
                    true => missing,
                    false => edges.partition_point(|edge| *edge <= value),
                };
                rows.iter().map(|row| place(values[*row])).collect()
            }
            (Self::Levels(known), ColumnData::Categorical { levels, codes }) => {
                let names = levels.names().iter();
                let other = known.len();
                let of_code: Vec<usize> = names
                    .map(|name| {
                        known
                            .iter()
                            .position(|level| level == name)
                            .unwrap_or(other)
                    })
                    .collect();
                let place = |code: u32| match code {
                    MISSING_CODE => missing,
                    code => of_code.get(code as usize).copied().unwrap_or(other),
                };
                rows.iter().map(|row| place(codes[*row])).collect()
            }
            _ => return None,
        })
    }
}

/// Information value by bin, each count with half a row more.
fn information(rows: &[u64], bads: &[u64]) -> f64 {
    let all: u64 = rows.iter().sum();
    let bad: u64 = bads.iter().sum();
    let good = all.saturating_sub(bad);
    if bad == 0 || good == 0 {
        return 0.0;
    }
    let used = rows.iter().filter(|n| **n > 0).count() as f64;
    let parts = rows.iter().zip(bads).filter(|(n, _)| **n > 0);
    let part = |(n, b): (&u64, &u64)| {
        let b_share = (*b as f64 + 0.5) / (bad as f64 + 0.5 * used);
        let g_share = (n.saturating_sub(*b) as f64 + 0.5) / (good as f64 + 0.5 * used);
        (b_share - g_share) * (b_share / g_share).ln()
    };
    parts.map(part).sum()
}

fn counts(places: &[usize], number: usize, of: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut counts = vec![0; number];
    for (position, place) in places.iter().enumerate() {
        if of(position) {
            counts[*place] += 1;
        }
    }
    counts
}

impl Profile {
    /// Counts these columns of a table over these rows; `label` of each row of the table, where there is one.
    pub fn of(table: &Table, columns: &[String], rows: &[usize]) -> Self {
        let label = table.label();
        let bad = |row: usize| label.is_some_and(|label| label[row] == 1);
        let counted = columns.iter().filter_map(|name| {
            let data = table.column(name)?.data();
            let bins = Bins::of(data, rows);
            let places = bins.places(data, rows)?;
            let number = bins.number();
            Some(Counted {
                column: name.clone(),
                rows: counts(&places, number, |_| true),
                bads: label.map(|_| counts(&places, number, |at| bad(rows[at]))),
                iv: None,
                bins,
            })
        });
        Self {
            columns: counted.collect(),
            bads: label.map(|_| {
                let bads = rows.iter().filter(|row| bad(**row)).count();
                [bads as u64, rows.len() as u64]
            }),
            figures: Figures::default(),
        }
    }

    /// Keeps the information value that the job's own bins gave a column.
    pub fn binned(&mut self, column: &str, iv: f64) {
        let mut columns = self.columns.iter_mut();
        if let Some(counted) = columns.find(|counted| counted.column == column) {
            counted.iv = Some(iv);
        }
    }

    /// What in these rows' data has changed since this profile was made.
    pub fn data_alarms(&self, table: &Table, rows: &[usize], limits: &Limits) -> Vec<Alarm> {
        let label = table.label();
        let mut alarms = Vec::new();
        for counted in &self.columns {
            let data = table.column(&counted.column).map(|column| column.data());
            let places = data.and_then(|data| counted.bins.places(data, rows));
            let of_column = |what: &str, before, now, limit| Alarm {
                what: what.to_owned(),
                column: Some(counted.column.clone()),
                before,
                now,
                limit,
            };
            let Some(places) = places else {
                // texts where numbers were, or the other way round
                alarms.push(of_column("kind", None, 1.0, 0.0));
                continue;
            };
            let now = counts(&places, counted.bins.number(), |_| true);
            if let Ok(stability) = stability_index(&counted.rows, &now)
                && stability.index > limits.csi
            {
                alarms.push(of_column("csi", None, stability.index, limits.csi));
            }
            if let (Some(bads), Some(label)) = (&counted.bads, label) {
                let bads_now = counts(&places, now.len(), |at| label[rows[at]] == 1);
                let (before, now) = (
                    information(&counted.rows, bads),
                    information(&now, &bads_now),
                );
                if jumped(before, now, limits.iv) {
                    alarms.push(of_column("iv", Some(before), now, limits.iv));
                }
            }
        }
        if let (Some([bads, all]), Some(label)) = (self.bads, label) {
            let before = bads as f64 / all.max(1) as f64;
            let bads = rows.iter().filter(|row| label[**row] == 1).count();
            let now = bads as f64 / rows.len().max(1) as f64;
            if (now - before).abs() > limits.bad_rate {
                alarms.push(Alarm {
                    what: "bad_rate".into(),
                    column: None,
                    before: Some(before),
                    now,
                    limit: limits.bad_rate,
                });
            }
        }
        alarms
    }

    /// What of a job's figures has changed; of its data see [`Self::data_alarms`].
    pub fn figure_alarms(&self, now: &Self, limits: &Limits) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for counted in self.columns.iter().filter(|counted| counted.bads.is_none()) {
            let mut same = now.columns.iter();
            let same = same.find(|other| other.column == counted.column);
            if let (Some(before), Some(iv)) = (counted.iv, same.and_then(|other| other.iv))
                && jumped(before, iv, limits.iv)
            {
                alarms.push(Alarm {
                    what: "iv".into(),
                    column: Some(counted.column.clone()),
                    before: Some(before),
                    now: iv,
                    limit: limits.iv,
                });
            }
        }
        let uplift = |figures: &Figures| Some(figures.auc_joint? - figures.auc_alone?);
        let (then, now) = (&self.figures, &now.figures);
        for (what, before, now, limit) in [
            ("auc.alone", then.auc_alone, now.auc_alone, limits.auc),
            ("auc.joint", then.auc_joint, now.auc_joint, limits.auc),
            ("uplift", uplift(then), uplift(now), limits.uplift),
        ] {
            if let (Some(before), Some(now)) = (before, now)
                && (now - before).abs() > limit
            {
                alarms.push(Alarm {
                    what: what.to_owned(),
                    column: None,
                    before: Some(before),
                    now,
                    limit,
                });
            }
        }
        alarms
    }
}

/// Whether an information value has changed by more than the limit and than half of the larger one.
fn jumped(before: f64, now: f64, limit: f64) -> bool {
    let change = (now - before).abs();
    change > limit && change > before.max(now) / 2.0
}

#[cfg(test)]
mod tests;
