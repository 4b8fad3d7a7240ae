//! Population stability index (named `stability_index` throughout: the letters PSI are taken by
//! private set intersection).

use super::MetricError;
use serde::{Deserialize, Serialize};

/// What a stability index says by the customary thresholds 0.10 and 0.25.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StabilityVerdict {
    /// Below 0.10.
    Stable,
    /// From 0.10 to 0.25.
    Watch,
    /// Above 0.25.
    Act,
}

/// One bin of a stability index. Counts are raw; shares are those used in the sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StabilityBin {
    /// Rows of the reference sample.
    pub expected: u64,
    /// Rows of the current sample.
    pub actual: u64,
    /// Share of the reference sample.
    pub expected_share: f64,
    /// Share of the current sample.
    pub actual_share: f64,
    /// `(actual_share - expected_share) ln(actual_share / expected_share)`.
    pub part: f64,
    /// Whether one side was empty, so that 0.5 was added to both counts.
    pub adjusted: bool,
}

/// How far a sample has moved from a reference sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StabilityIndex {
    /// The sum of the parts.
    pub index: f64,
    /// What it says.
    pub verdict: StabilityVerdict,
    /// Inner bin edges, left-closed right-open; empty where the bins are not of a number.
    pub edges: Vec<f64>,
    /// The bins.
    pub bins: Vec<StabilityBin>,
}

/// Stability index of counts by bin. A bin that is empty on one side has 0.5 added to both its
/// counts and is flagged; one that is empty on both sides contributes nothing.
///
/// # Errors
/// [`MetricError::StabilityBins`] where the sides differ in length or one holds no row.
pub fn stability_index(expected: &[u64], actual: &[u64]) -> Result<StabilityIndex, MetricError> {
    let (n_expected, n_actual) = (expected.iter().sum::<u64>(), actual.iter().sum::<u64>());
    if expected.len() != actual.len() || n_expected == 0 || n_actual == 0 {
        let (expected, actual) = (expected.len(), actual.len());
        return Err(MetricError::StabilityBins { expected, actual });
    }
    let bins: Vec<StabilityBin> = expected
        .iter()
        .zip(actual)
        .map(|(&e, &a)| {
            let adjusted = (e == 0) != (a == 0);
            let add = if adjusted { 0.5 } else { 0.0 };
            let expected_share = (e as f64 + add) / n_expected as f64;
            let actual_share = (a as f64 + add) / n_actual as f64;
            let part = if e == 0 && a == 0 {
                0.0
            } else {
                (actual_share - expected_share) * (actual_share / expected_share).ln()
            };
            StabilityBin {
                expected: e,
                actual: a,
                expected_share,
                actual_share,
                part,
                adjusted,
            }
        })
        .collect();
    let index = bins.iter().map(|b| b.part).sum::<f64>();
    let verdict = match index {
        i if i < 0.10 => StabilityVerdict::Stable,
        i if i <= 0.25 => StabilityVerdict::Watch,
        _ => StabilityVerdict::Act,
    };
    Ok(StabilityIndex {
        index,
        verdict,
        edges: Vec::new(),
        bins,
    })
}

/// Stability index of a score or a numeric variable: bins are cut at the reference sample's
/// `bins`-quantiles (linear interpolation, equal edges merged), left-closed right-open.
///
/// # Errors
/// [`MetricError::Bins`] for fewer than two bins, [`MetricError::StabilityBins`] for an empty
/// sample, [`MetricError::NotANumber`] for a value that is not one.
pub fn score_stability(
    expected: &[f64],
    actual: &[f64],
    bins: usize,
) -> Result<StabilityIndex, MetricError> {
    if bins < 2 {
        return Err(MetricError::Bins {
            expected: 2,
            got: bins,
        });
    }
    if expected.is_empty() || actual.is_empty() {
        let (expected, actual) = (expected.len(), actual.len());
        return Err(MetricError::StabilityBins { expected, actual });
    }
    for sample in [expected, actual] {
        if let Some(row) = sample.iter().position(|v| v.is_nan()) {
            return Err(MetricError::NotANumber { row });
        }
    }
    let mut sorted = expected.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..bins)
        .map(|k| quantile_sorted(&sorted, k as f64 / bins as f64))
        .collect();
    edges.dedup();
    let count = |sample: &[f64]| {
        let mut counts = vec![0u64; edges.len() + 1];
        for v in sample {
            counts[edges.partition_point(|e| e <= v)] += 1;
        }
        counts
    };
    Ok(StabilityIndex {
        edges: edges.clone(),
        ..stability_index(&count(expected), &count(actual))?
    })
}

/// Quantile by linear interpolation of sorted, non-empty values.
fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}
