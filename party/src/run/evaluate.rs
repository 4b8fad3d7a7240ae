//! Held-out results, computed by the label holder; others get the summary that the job declares.

use std::collections::BTreeMap;

use paripassu_model::{
    logistic::{self, FitOptions, LogisticError, LogisticModel, Sign, TrainingSet, sigmoid},
    metrics::{AucDelta, Metrics, Scored},
    report::{self, Curves, ModelKind},
    validation::{Model, Validation},
};
use paripassu_protocol::abort::Abort;
use serde::{Deserialize, Serialize};

use super::{own, validate::EvaluationData};

/// Largest summary accepted from the label holder.
const MAX_SUMMARY: usize = 64 * 1024;

/// What `release.metrics` opens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    /// Training rows with label 1.
    pub(crate) train_bads: usize,
    /// The label party's own columns alone.
    pub(crate) alone: Metrics,
    /// The joint model.
    pub(crate) joint: Metrics,
    /// Joint over alone.
    pub(crate) uplift: AucDelta,
}

/// Results of a run, as far as this party may know them.
#[derive(Debug, Clone)]
pub(crate) struct Evaluation {
    pub(crate) summary: Summary,
    /// At the label holder only.
    pub(crate) rows: Option<Rows>,
    /// At the label holder only, where the job asks for it.
    pub(crate) validation: Option<Validation>,
    /// Of the fit without declined applicants, at the label holder only, where the job compares.
    pub(crate) known: Option<Metrics>,
}

/// Row-level results.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) labels: Vec<u8>,
    pub(crate) margins: Vec<f64>,
    pub(crate) joint: Vec<f64>,
    pub(crate) alone: Vec<f64>,
}

/// The label holder's model of its own columns alone; `held`: with this L1 penalty and these signs.
pub(crate) fn alone(
    set: &TrainingSet<'_>,
    l2: f64,
    held: Option<(f64, Vec<Sign>)>,
) -> Result<LogisticModel, Abort> {
    fit_alone(set, l2, held).map_err(own)
}

pub(super) fn fit_alone(
    set: &TrainingSet<'_>,
    l2: f64,
    held: Option<(f64, Vec<Sign>)>,
) -> Result<LogisticModel, LogisticError> {
    if let Some((l1, mut signs)) = held {
        signs.resize(set.columns(), Sign::Free);
        return logistic::fit_constrained(set, l2, l1, &signs);
    }
    let options = FitOptions {
        l2,
        ..FitOptions::default()
    };
    Ok(logistic::fit(set, &options)?.model)
}

impl Evaluation {
    /// Evaluates joint log-odds against those of the model of the label holder's own columns.
    pub(crate) fn new(
        train_y: &[u8],
        test_y: &[u8],
        margins: Vec<f64>,
        alone: &[f64],
        asked: Option<&EvaluationData>,
    ) -> Result<Self, Abort> {
        let alone: Vec<f64> = alone.iter().map(|z| sigmoid(*z)).collect();
        let joint: Vec<f64> = margins.iter().map(|z| sigmoid(*z)).collect();
        let (a, j) = (
            Scored::new(test_y, &alone).map_err(own)?,
            Scored::new(test_y, &joint).map_err(own)?,
        );
        let summary = Summary {
            train_bads: train_y.iter().filter(|y| **y == 1).count(),
            alone: a.metrics(),
            joint: j.metrics(),
            uplift: j.auc_over(&a).map_err(own)?,
        };
        let model = |name, pd| Model { name, pd };
        let validation = asked
            .map(|a| a.validate(test_y, model(ALONE, &alone), model(JOINT, &joint)))
            .transpose()?;
        let rows = Rows {
            labels: test_y.to_vec(),
            margins,
            joint,
            alone,
        };
        Ok(Self {
            summary,
            rows: Some(rows),
            validation,
            known: None,
        })
    }

    /// Reads what the label holder sent.
    pub(crate) fn from_label_holder(body: &[u8]) -> Result<Self, Abort> {
        let malformed = |problem: String| Abort::Malformed {
            from: paripassu_protocol::channel::Role::Party(0),
            step: "evaluate/metrics".into(),
            problem,
        };
        if body.len() > MAX_SUMMARY {
            return Err(malformed(format!(
                "{} bytes, at most {MAX_SUMMARY} expected",
                body.len()
            )));
        }
        let summary = serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            summary,
            rows: None,
            validation: None,
            known: None,
        })
    }

    /// The summary as it is sent.
    pub(crate) fn summary_bytes(&self) -> Result<bytes::Bytes, Abort> {
        serde_json::to_vec(&self.summary)
            .map(Into::into)
            .map_err(own)
    }

    /// Curves for the report, at the label holder.
    pub(crate) fn curves(&self) -> Vec<Curves> {
        let Some(r) = &self.rows else {
            return Vec::new();
        };
        [
            (ModelKind::Alone, ALONE, &r.alone),
            (ModelKind::Joint, JOINT, &r.joint),
        ]
        .into_iter()
        .filter_map(|(kind, name, pd)| {
            Scored::new(&r.labels, pd)
                .ok()
                .map(|s| curves(kind, name, &s))
        })
        .collect()
    }
}

/// The main numbers of a report, as decimals.
pub(super) fn figures(evaluation: Option<&Evaluation>) -> BTreeMap<String, String> {
    let Some(evaluation) = evaluation else {
        return BTreeMap::new();
    };
    let (alone, joint) = (&evaluation.summary.alone, &evaluation.summary.joint);
    [
        ("auc.alone", alone.auc),
        ("auc.joint", joint.auc),
        ("ks.alone", alone.ks),
        ("ks.joint", joint.ks),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), format!("{value:.6}")))
    .collect()
}

/// Name of the label holder's own model in reports.
pub(crate) const ALONE: &str = "bank alone";
/// Name of the joint model in reports.
pub(crate) const JOINT: &str = "joint";

/// A score is 600 at 30 good to one bad, 20 points double the odds; higher is better.
fn score(pd: f64) -> f64 {
    let factor = 20.0 / std::f64::consts::LN_2;
    let odds = ((1.0 - pd) / pd.max(1e-12)).max(1e-12);
    600.0 + factor * (odds.ln() - 30f64.ln())
}

fn curves(kind: ModelKind, name: &str, s: &Scored<'_>) -> Curves {
    let ks = s.ks_curve_thinned(400);
    // lowest scores first: from the highest PD down, shares of what lies above
    let mut points: Vec<report::KsPoint> = ks
        .points
        .iter()
        .rev()
        .map(|p| report::KsPoint {
            population: 1.0 - p.rows_share,
            bad: 1.0 - p.bads_share,
            good: 1.0 - p.goods_share,
        })
        .collect();
    points.push(report::KsPoint {
        population: 1.0,
        bad: 1.0,
        good: 1.0,
    });
    let scores: Vec<f64> = s.pd().iter().map(|p| score(*p)).collect();
    Curves {
        kind,
        name: name.to_owned(),
        roc: s
            .roc_thinned(400)
            .iter()
            .map(|p| report::RocPoint {
                fpr: p.fpr,
                tpr: p.tpr,
            })
            .collect(),
        ks: points,
        bands: s
            .deciles()
            .iter()
            .map(|b| report::Band {
                score_low: score(b.max_pd),
                score_high: score(b.min_pd),
                rows: b.rows as u64,
                bads: b.bads as u64,
                mean_pd: b.mean_pd,
            })
            .collect(),
        calibration: s
            .calibration(10)
            .unwrap_or_default()
            .iter()
            .map(|b| report::CalibrationPoint {
                rows: b.rows as u64,
                predicted: b.predicted,
                observed: b.observed,
                low: b.ci95[0],
                high: b.ci95[1],
            })
            .collect(),
        scores: Some(histogram(s.labels(), &scores)),
    }
}

fn histogram(labels: &[u8], scores: &[f64]) -> report::ScoreHistogram {
    let bins = 30usize;
    let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = ((high - low) / bins as f64).max(1e-9);
    let mut h = report::ScoreHistogram {
        label: "score (600 at 30:1 good to bad, 20 points double the odds)".into(),
        edges: (0..=bins).map(|i| low + width * i as f64).collect(),
        good: vec![0; bins],
        bad: vec![0; bins],
    };
    for (y, s) in labels.iter().zip(scores) {
        let bin = (((s - low) / width) as usize).min(bins - 1);
        let side = if *y == 1 { &mut h.bad } else { &mut h.good };
        side[bin] += 1;
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_run_from_nothing_to_everything() {
        let y = [0, 1, 0, 1, 0, 0, 1, 0];
        let pd = [0.1, 0.9, 0.2, 0.4, 0.4, 0.3, 0.8, 0.05];
        let c = curves(ModelKind::Joint, JOINT, &Scored::new(&y, &pd).unwrap());
        let (first, last) = (c.ks[0], c.ks[c.ks.len() - 1]);
        assert_eq!((first.population, first.bad, first.good), (0.0, 0.0, 0.0));
        assert_eq!((last.population, last.bad, last.good), (1.0, 1.0, 1.0));
        assert!(c.ks.windows(2).all(|w| w[0].population <= w[1].population));
        let h = c.scores.unwrap();
        assert_eq!(
            (h.good.iter().sum::<u64>(), h.bad.iter().sum::<u64>()),
            (5, 3)
        );
        assert!(score(0.5) < score(0.1));
        assert!((score(1.0 / 31.0) - 600.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_summary_names_the_label_holder() {
        let e = Evaluation::from_label_holder(b"{}").unwrap_err();
        assert_eq!(
            e.culprit(),
            Some(paripassu_protocol::channel::Role::Party(0))
        );
    }
}
