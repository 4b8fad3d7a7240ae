//! Curves of one model on the held-out rows.

use serde::{Deserialize, Serialize};

use super::ModelKind;
use super::input::{nan_if_null, nans_if_null};

/// Curves of one model; an empty list leaves that plot out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Curves {
    /// Which model.
    pub kind: ModelKind,
    /// Name to print.
    pub name: String,
    /// ROC curve from (0, 0) to (1, 1).
    pub roc: Vec<RocPoint>,
    /// Cumulative shares, lowest scores first, from (0, 0, 0) to (1, 1, 1).
    pub ks: Vec<KsPoint>,
    /// Population bands (deciles), worst first, tied scores kept together.
    pub bands: Vec<Band>,
    /// Predicted against observed, by band of predicted probability.
    pub calibration: Vec<CalibrationPoint>,
    /// Distribution of the score.
    pub scores: Option<ScoreHistogram>,
}

/// A point of the ROC curve; bad is the positive class.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct RocPoint {
    /// Share of goods at or below the cut-off.
    #[serde(deserialize_with = "nan_if_null")]
    pub fpr: f64,
    /// Share of bads at or below the cut-off.
    #[serde(deserialize_with = "nan_if_null")]
    pub tpr: f64,
}

/// A point of the KS and gains curves.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct KsPoint {
    /// Share of rows so far, lowest scores first.
    #[serde(deserialize_with = "nan_if_null")]
    pub population: f64,
    /// Share of all bads so far.
    #[serde(deserialize_with = "nan_if_null")]
    pub bad: f64,
    /// Share of all goods so far.
    #[serde(deserialize_with = "nan_if_null")]
    pub good: f64,
}

/// One band of the population.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Band {
    /// Lowest score.
    #[serde(deserialize_with = "nan_if_null")]
    pub score_low: f64,
    /// Highest score.
    #[serde(deserialize_with = "nan_if_null")]
    pub score_high: f64,
    /// Rows.
    pub rows: u64,
    /// Bads.
    pub bads: u64,
    /// Mean predicted probability of bad.
    #[serde(deserialize_with = "nan_if_null")]
    pub mean_pd: f64,
}

/// One group of the calibration plot.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// Rows.
    pub rows: u64,
    /// Mean predicted probability of bad.
    #[serde(deserialize_with = "nan_if_null")]
    pub predicted: f64,
    /// Observed bad rate.
    #[serde(deserialize_with = "nan_if_null")]
    pub observed: f64,
    /// Lower end of the 95 % interval of the observed bad rate.
    #[serde(deserialize_with = "nan_if_null")]
    pub low: f64,
    /// Upper end of the 95 % interval of the observed bad rate.
    #[serde(deserialize_with = "nan_if_null")]
    pub high: f64,
}

/// Counts of goods and bads by score.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ScoreHistogram {
    /// What the score is, for the axis, for instance `score (600 at 30:1, 20 points double)`.
    pub label: String,
    /// Bin edges, ascending, one more than bins.
    #[serde(deserialize_with = "nans_if_null")]
    pub edges: Vec<f64>,
    /// Goods per bin.
    pub good: Vec<u64>,
    /// Bads per bin.
    pub bad: Vec<u64>,
}

/// A band with what follows from all bands before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct BandRow {
    pub(super) band: Band,
    pub(super) bad_rate: f64,
    pub(super) lift: f64,
    pub(super) population: f64,
    pub(super) capture: f64,
    pub(super) goods: f64,
    pub(super) cumulative_lift: f64,
}

impl BandRow {
    /// Distance between the cumulative shares at the end of this band.
    pub(super) fn ks(&self) -> f64 {
        self.capture - self.goods
    }
}

/// Cumulates bands; NaN where a division has no meaning.
pub(super) fn band_rows(bands: &[Band]) -> Vec<BandRow> {
    let rows: u64 = bands.iter().map(|band| band.rows).sum();
    let bads: u64 = bands.iter().map(|band| band.bads.min(band.rows)).sum();
    let share = |part: u64, whole: u64| {
        if whole == 0 {
            f64::NAN
        } else {
            part as f64 / whole as f64
        }
    };
    let overall = share(bads, rows);
    let (mut seen, mut seen_bad) = (0, 0);
    bands
        .iter()
        .map(|&band| {
            let bad = band.bads.min(band.rows);
            seen += band.rows;
            seen_bad += bad;
            let bad_rate = share(bad, band.rows);
            let capture = share(seen_bad, bads);
            let population = share(seen, rows);
            BandRow {
                band,
                bad_rate,
                lift: bad_rate / overall,
                population,
                capture,
                goods: share(seen - seen_bad, rows - bads),
                cumulative_lift: capture / population,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(rows: u64, bads: u64) -> Band {
        Band {
            rows,
            bads,
            ..Band::default()
        }
    }

    #[test]
    fn bands_cumulate() {
        let rows = band_rows(&[band(10, 6), band(30, 4)]);
        assert!((rows[0].bad_rate - 0.6).abs() < 1e-12);
        assert!((rows[0].lift - 2.4).abs() < 1e-12);
        assert!((rows[0].capture - 0.6).abs() < 1e-12);
        assert!((rows[0].population - 0.25).abs() < 1e-12);
        assert!((rows[0].cumulative_lift - 2.4).abs() < 1e-12);
        assert!((rows[0].ks() - (0.6 - 4.0 / 30.0)).abs() < 1e-12);
        assert!((rows[1].capture - 1.0).abs() < 1e-12);
        assert!((rows[1].cumulative_lift - 1.0).abs() < 1e-12);
    }

    #[test]
    fn bands_without_bads_have_no_lift() {
        let rows = band_rows(&[band(10, 0), band(0, 0)]);
        assert!(rows[0].lift.is_nan() && rows[1].bad_rate.is_nan());
    }
}
