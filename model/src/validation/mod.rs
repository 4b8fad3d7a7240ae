//! What model validation asks of the held-out rows, computed by whoever holds labels and scores.
//!
//! [`validate`] takes labels, the PDs of two models on the same rows, and columns of the label holder
//! that say something about these rows without being features: month, segment, the score of an
//! incumbent model, alerts of a rule set, an attribute whose fairness is asked about. It returns plain
//! numbers that the report prints. Label 1 is bad; a higher PD is worse.
//!
//! A group in which a class is absent has counts and no ranking figures.

mod compared;
mod cutoff;
mod drift;
mod fairness;
mod groups;

pub use compared::{Alarm, Compared, Figures, Limits, Profile};
pub use cutoff::{Cutoff, Loss, Swap, SwapCell};
pub use drift::{ColumnDrift, Drift, drift};
pub use fairness::{Fairness, FairnessAsk, FairnessRow};
pub use groups::{Challenge, ChallengeRow, GroupBand, GroupRow, Groups};

use serde::{Deserialize, Serialize};

use crate::metrics::{
    AucDelta, HosmerLemeshow, Intervals, MetricError, Recalibration, Sample, Scored, bootstrap,
    rank_as_pd,
};

/// Seed of the resampling, so that a report can be computed again.
pub const BOOTSTRAP_SEED: u64 = 186;
/// Groups of population in calibration figures.
const GROUPS: usize = 10;

/// Name and PDs of a model.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    /// Name to print.
    pub name: &'a str,
    /// One PD a row.
    pub pd: &'a [f64],
}

/// A score that is no PD.
#[derive(Debug, Clone, Copy)]
pub struct Score<'a> {
    /// Its column.
    pub name: &'a str,
    /// One a row; NaN where there is none.
    pub values: &'a [f64],
    /// Whether a higher one is worse.
    pub higher_is_worse: bool,
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// 1 is bad.
    pub labels: &'a [u8],
    /// The model that stands; the label holder's own columns.
    pub baseline: Model<'a>,
    /// The model under test.
    pub challenger: Model<'a>,
    /// Sample of each row, such as in time and out of time.
    pub sample: Option<Groups<'a>>,
    /// Observation month of each row, as text that sorts by time.
    pub month: Option<Groups<'a>>,
    /// Segment of each row.
    pub segment: Option<Groups<'a>>,
    /// An incumbent score.
    pub incumbent: Option<Score<'a>>,
    /// A rule set's alerts or points.
    pub rules: Option<Score<'a>>,
    /// Share of rows to approve in the swap set and the fairness table.
    pub approve: f64,
    /// Expected loss of each row is `PD * lgd * exposure`.
    pub loss: Option<Loss<'a>>,
    /// Attribute whose fairness is asked about.
    pub fairness: Option<FairnessAsk<'a>>,
    /// Resamples of the intervals; 0 for none.
    pub resamples: usize,
}

/// Figures of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFigures {
    /// Name.
    pub name: String,
    /// Expected calibration error over ten population bins.
    pub ece: f64,
    /// Hosmer-Lemeshow over ten population groups, degrees of freedom as for rows not trained on;
    /// none where fewer than three groups can be formed.
    pub hosmer_lemeshow: Option<HosmerLemeshow>,
    /// Slope and intercept.
    pub recalibration: Option<Recalibration>,
    /// Resampled intervals.
    pub intervals: Option<Intervals>,
}

/// Worst N rows of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TopRow {
    /// Rows taken.
    pub rows: usize,
    /// Why so many.
    pub basis: String,
    /// Model or rule set.
    pub model: String,
    /// Bads among them, ties at the cut in proportion.
    pub bads: f64,
    /// `bads / rows`.
    pub precision: f64,
    /// Share of all bads.
    pub capture: f64,
    /// `precision` over the bad rate.
    pub lift: f64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Baseline, challenger.
    pub models: Vec<ModelFigures>,
    /// Challenger minus baseline on the same resamples.
    pub difference: Option<Intervals>,
    /// By sample, then by month, then by segment, where asked.
    pub groups: Vec<GroupRow>,
    /// Bands within each group.
    pub bands: Vec<GroupBand>,
    /// Against the incumbent.
    pub challenge: Option<Challenge>,
    /// Precision at N.
    pub top: Vec<TopRow>,
    /// Approval against bad rate.
    pub cutoffs: Vec<Cutoff>,
    /// Who would be decided otherwise.
    pub swap: Option<Swap>,
    /// By the declared attribute.
    pub fairness: Option<Fairness>,
}

/// Computes everything that is asked.
///
/// # Errors
/// Where labels or PDs cannot be evaluated, or a column has another length than the labels.
pub fn validate(ask: &Ask<'_>) -> Result<Validation, MetricError> {
    let n = ask.labels.len();
    let lengths = [
        ask.sample.as_ref().map(Groups::len),
        ask.month.as_ref().map(Groups::len),
        ask.segment.as_ref().map(Groups::len),
        ask.incumbent.map(|s| s.values.len()),
        ask.rules.map(|s| s.values.len()),
        ask.loss.as_ref().and_then(|l| l.exposure).map(<[f64]>::len),
        ask.fairness.as_ref().map(|f| f.groups.len()),
    ];
    if let Some(pds) = lengths.into_iter().flatten().find(|len| *len != n) {
        return Err(MetricError::Length { labels: n, pds });
    }
    let baseline = Scored::new(ask.labels, ask.baseline.pd)?;
    let challenger = Scored::new(ask.labels, ask.challenger.pd)?;
    let mut models = vec![
        figures(ask.baseline.name, &baseline)?,
        figures(ask.challenger.name, &challenger)?,
    ];
    let mut difference = None;
    if ask.resamples > 1 {
        let seed = BOOTSTRAP_SEED;
        // too few rows of a class for any interval: none is printed
        if let Ok((own, minus)) = bootstrap(&challenger, &baseline, ask.resamples, seed) {
            let (of_baseline, _) = bootstrap(&baseline, &challenger, ask.resamples, seed)?;
            models[0].intervals = Some(of_baseline);
            models[1].intervals = Some(own);
            difference = Some(minus);
        }
    }
    let both = [ask.baseline, ask.challenger];
    let (mut rows, mut bands) = (Vec::new(), Vec::new());
    let by = [
        ("sample", &ask.sample),
        ("month", &ask.month),
        ("segment", &ask.segment),
    ];
    for (by, groups) in by {
        if let Some(groups) = groups {
            rows.extend(groups::rows(by, groups, ask.labels, &both)?);
            bands.extend(groups::bands(by, groups, ask.labels, &ask.challenger)?);
        }
    }
    Ok(Validation {
        models,
        difference,
        groups: rows,
        bands,
        challenge: match &ask.incumbent {
            Some(score) => groups::challenge(ask, score)?,
            None => None,
        },
        top: top(ask, &baseline, &challenger)?,
        cutoffs: cutoff::table(&challenger, ask.loss.as_ref()),
        swap: cutoff::swap(ask)?,
        fairness: ask.fairness.as_ref().map(|f| {
            let pd = ask.challenger.pd;
            fairness::table(f, ask.labels, pd, ask.approve)
        }),
    })
}

fn figures(name: &str, scored: &Scored<'_>) -> Result<ModelFigures, MetricError> {
    Ok(ModelFigures {
        name: name.to_owned(),
        ece: scored.calibration_error(GROUPS)?,
        hosmer_lemeshow: scored.hosmer_lemeshow(GROUPS, Sample::HeldOut).ok(),
        recalibration: scored.recalibration(),
        intervals: None,
    })
}

/// Precision at N: at shares of the population and, where a rule set flags some rows, at as many.
fn top(
    ask: &Ask<'_>,
    baseline: &Scored<'_>,
    challenger: &Scored<'_>,
) -> Result<Vec<TopRow>, MetricError> {
    let n = ask.labels.len();
    let mut at: Vec<(usize, String)> = [(1, "1 %"), (5, "5 %"), (10, "10 %"), (20, "20 %")]
        .into_iter()
        .map(|(percent, name)| (n * percent / 100, format!("worst {name}")))
        .filter(|(rows, _)| *rows > 0)
        .collect();
    let ranks = match &ask.rules {
        // a rule that says nothing about a row does not flag it
        Some(rules) => {
            let silent = if rules.higher_is_worse {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            };
            let filled: Vec<f64> = rules
                .values
                .iter()
                .map(|v| if v.is_nan() { silent } else { *v })
                .collect();
            let flagged = filled.iter().filter(|v| **v > 0.0).count();
            if rules.higher_is_worse && flagged > 0 && flagged < n {
                at.insert(0, (flagged, format!("as many as {} flags", rules.name)));
            }
            Some((rules.name, rank_as_pd(&filled, rules.higher_is_worse)?))
        }
        None => None,
    };
    let ruled = match &ranks {
        Some((name, pd)) => Some((*name, Scored::new(ask.labels, pd)?)),
        None => None,
    };
    let mut scored = vec![
        (ask.challenger.name, challenger),
        (ask.baseline.name, baseline),
    ];
    if let Some((name, rules)) = &ruled {
        scored.push((name, rules));
    }
    let mut out = Vec::new();
    for (rows, basis) in at {
        for (name, scored) in &scored {
            let top = scored.top(rows)?;
            out.push(TopRow {
                rows,
                basis: basis.clone(),
                model: (*name).to_owned(),
                bads: top.bads,
                precision: top.precision,
                capture: top.capture,
                lift: top.lift,
            });
        }
    }
    Ok(out)
}

/// The difference of two AUCs where it can be had.
fn delta(a: &Scored<'_>, b: &Scored<'_>) -> Option<AucDelta> {
    a.auc_over(b).ok()
}

#[cfg(test)]
mod tests;
