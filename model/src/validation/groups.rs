//! Figures by month or segment, and the challenger against the incumbent.

use serde::{Deserialize, Serialize};

use super::{Ask, Model, Score, delta};
use crate::metrics::{AucDelta, Band, MetricError, Scored, rank_as_pd, score_stability};

/// Name of rows without a value.
const NO_VALUE: &str = "(missing)";

/// A text for each row, taken as a group.
#[derive(Debug, Clone)]
pub struct Groups<'a> {
    /// The column.
    pub column: &'a str,
    names: Vec<String>,
    codes: Vec<usize>,
}

impl<'a> Groups<'a> {
    /// Groups by text, in the order of the texts; rows without one come last.
    pub fn new<'t>(column: &'a str, values: impl IntoIterator<Item = Option<&'t str>>) -> Self {
        let values: Vec<Option<&str>> = values.into_iter().collect();
        let mut names: Vec<&str> = values.iter().flatten().copied().collect();
        names.sort_unstable();
        names.dedup();
        let missing = names.len();
        let code = |v: &Option<&str>| match v {
            Some(text) => names.partition_point(|n| n < text),
            None => missing,
        };
        let codes: Vec<usize> = values.iter().map(code).collect();
        let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        if codes.contains(&missing) {
            names.push(NO_VALUE.to_owned());
        }
        Self {
            column,
            names,
            codes,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The groups' names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Each group with the positions of its rows.
    pub fn each(&self) -> Vec<(&str, Vec<usize>)> {
        let mut all: Vec<(&str, Vec<usize>)> = self
            .names
            .iter()
            .map(|n| (n.as_str(), Vec::new()))
            .collect();
        for (row, code) in self.codes.iter().enumerate() {
            if let Some((_, rows)) = all.get_mut(*code) {
                rows.push(row);
            }
        }
        all
    }
}

pub(super) fn pick<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|r| all[*r]).collect()
}

/// One model in one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupRow {
    /// `sample`, `month` or `segment`.
    pub by: String,
    /// The group.
    pub group: String,
    /// The model.
    pub model: String,
    /// Rows.
    pub rows: usize,
    /// Bads.
    pub bads: usize,
    /// Mean PD.
    pub mean_pd: f64,
    /// AUC and its standard error, where both classes occur.
    pub auc: Option<[f64; 2]>,
    /// KS.
    pub ks: Option<f64>,
    /// Share of the group's bads in its worst tenth.
    pub capture: Option<f64>,
    /// Brier score.
    pub brier: f64,
    /// Stability index of the PDs against the first group, ten bins.
    pub stability: Option<f64>,
}

pub(super) fn rows(
    by: &str,
    groups: &Groups<'_>,
    labels: &[u8],
    models: &[Model<'_>],
) -> Result<Vec<GroupRow>, MetricError> {
    let each = groups.each();
    let first = each
        .first()
        .map(|(_, rows)| rows.clone())
        .unwrap_or_default();
    let mut out = Vec::new();
    for (group, rows) in &each {
        let y = pick(labels, rows);
        for model in models {
            let pd = pick(model.pd, rows);
            let n = rows.len() as f64;
            let scored = Scored::new(&y, &pd);
            let wrong = y.iter().zip(&pd).map(|(y, p)| (p - f64::from(*y)).powi(2));
            let metrics = scored.as_ref().ok().map(Scored::metrics);
            out.push(GroupRow {
                by: by.to_owned(),
                group: (*group).to_owned(),
                model: model.name.to_owned(),
                rows: rows.len(),
                bads: y.iter().filter(|y| **y == 1).count(),
                mean_pd: pd.iter().sum::<f64>() / n,
                auc: metrics.as_ref().map(|m| [m.auc, m.auc_se]),
                ks: metrics.as_ref().map(|m| m.ks),
                capture: metrics.as_ref().map(|m| m.top_decile_capture),
                brier: wrong.sum::<f64>() / n,
                stability: score_stability(&pick(model.pd, &first), &pd, 10)
                    .ok()
                    .map(|s| s.index),
            });
        }
    }
    Ok(out)
}

/// A band within a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupBand {
    /// `sample`, `month` or `segment`.
    pub by: String,
    /// The group.
    pub group: String,
    /// The model.
    pub model: String,
    /// Gains, lift and capture.
    pub band: Band,
}

pub(super) fn bands(
    by: &str,
    groups: &Groups<'_>,
    labels: &[u8],
    model: &Model<'_>,
) -> Result<Vec<GroupBand>, MetricError> {
    let mut out = Vec::new();
    for (group, rows) in groups.each() {
        let (y, pd) = (pick(labels, &rows), pick(model.pd, &rows));
        let Ok(scored) = Scored::new(&y, &pd) else {
            continue;
        };
        out.extend(scored.gains_table(10)?.into_iter().map(|band| GroupBand {
            by: by.to_owned(),
            group: group.to_owned(),
            model: model.name.to_owned(),
            band,
        }));
    }
    Ok(out)
}

/// The challenger against the incumbent on the rows that have an incumbent score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Challenge {
    /// The incumbent's column.
    pub incumbent: String,
    /// The challenger.
    pub challenger: String,
    /// Rows without an incumbent score, which are left out.
    pub left_out: usize,
    /// AUC of challenger minus incumbent, DeLong, paired.
    pub auc: Option<AucDelta>,
    /// One for each month, then all rows.
    pub rows: Vec<ChallengeRow>,
}

/// Capture of bads in the worst tenth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChallengeRow {
    /// Month, or `all`.
    pub month: String,
    /// Rows.
    pub rows: usize,
    /// Bads.
    pub bads: usize,
    /// Share of bads that the challenger has among its worst tenth.
    pub challenger: Option<f64>,
    /// The same for the incumbent.
    pub incumbent: Option<f64>,
    /// `challenger / incumbent - 1`.
    pub lift: Option<f64>,
}

pub(super) fn challenge(
    ask: &Ask<'_>,
    score: &Score<'_>,
) -> Result<Option<Challenge>, MetricError> {
    let have: Vec<usize> = (0..ask.labels.len())
        .filter(|r| !score.values[*r].is_nan())
        .collect();
    if have.is_empty() {
        return Ok(None);
    }
    let ranks = rank_as_pd(&pick(score.values, &have), score.higher_is_worse)?;
    let (labels, pd) = (pick(ask.labels, &have), pick(ask.challenger.pd, &have));
    let one = |month: &str, rows: &[usize]| {
        let y = pick(&labels, rows);
        let capture = |values: &[f64]| {
            let values = pick(values, rows);
            let scored = Scored::new(&y, &values).ok()?;
            Some(scored.capture(rows.len() / 10))
        };
        let (challenger, incumbent) = (capture(&pd), capture(&ranks));
        ChallengeRow {
            month: month.to_owned(),
            rows: rows.len(),
            bads: y.iter().filter(|y| **y == 1).count(),
            challenger,
            incumbent,
            lift: match (challenger, incumbent) {
                (Some(c), Some(i)) if i > 0.0 => Some(c / i - 1.0),
                _ => None,
            },
        }
    };
    let mut rows = Vec::new();
    if let Some(month) = &ask.month {
        let kept = have.iter().map(|r| month.codes[*r]);
        let kept = Groups {
            column: month.column,
            names: month.names.clone(),
            codes: kept.collect(),
        };
        for (name, positions) in kept.each() {
            if !positions.is_empty() {
                rows.push(one(name, &positions));
            }
        }
    }
    let all: Vec<usize> = (0..have.len()).collect();
    rows.push(one("all", &all));
    let auc = match (Scored::new(&labels, &pd), Scored::new(&labels, &ranks)) {
        (Ok(a), Ok(b)) => delta(&a, &b),
        _ => None,
    };
    Ok(Some(Challenge {
        incumbent: score.name.to_owned(),
        challenger: ask.challenger.name.to_owned(),
        left_out: ask.labels.len() - have.len(),
        auc,
        rows,
    }))
}
