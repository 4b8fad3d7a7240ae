//! Performance of a probability of default (PD) on labelled rows.
//!
//! Conventions, used everywhere in the product: label 1 is **bad**, a higher PD is **worse**, tied
//! PDs count one half in the area under the curve (AUC), are grouped in the Kolmogorov-Smirnov
//! distance (KS), and are taken in proportion where a cut goes through them, so no figure depends on
//! the order of the rows.
//!
//! [`Scored`] checks labels and PDs once; every figure, curve and table is a method on it.
//!
//! ```
//! use paripassu_model::metrics::Scored;
//!
//! let labels = [0, 0, 1, 1];
//! let pd = [0.1, 0.4, 0.35, 0.8];
//! let scored = Scored::new(&labels, &pd)?;
//! assert_eq!(scored.auc().auc, 0.75);
//! assert_eq!(scored.metrics().ks, 0.5);
//! # Ok::<(), paripassu_model::metrics::MetricError>(())
//! ```

mod auc;
mod bootstrap;
mod curves;
mod recalibration;
mod special;
mod stability;
mod tables;
mod top;

pub use auc::{Auc, AucDelta};
pub use bootstrap::{Interval, Intervals, bootstrap};
pub use curves::{GainPoint, HistogramBin, KsCurve, KsPoint, RocPoint};
pub use recalibration::Recalibration;
pub use special::{chi_squared_upper_tail, normal_two_sided, wilson_interval};
pub use stability::{
    StabilityBin, StabilityIndex, StabilityVerdict, score_stability, stability_index,
};
pub use tables::{Band, CalibrationBin, HosmerLemeshow, Sample};
pub use top::{Top, rank_as_pd};

use serde::{Deserialize, Serialize};

/// Why labels and PDs cannot be evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The two slices have different lengths.
    #[error("{labels} labels but {pds} PDs: both must describe the same rows in the same order")]
    Length {
        /// Number of labels.
        labels: usize,
        /// Number of PDs.
        pds: usize,
    },
    /// A label is neither 0 nor 1.
    #[error("label of evaluated row {row} is {got}, expected 0 (good) or 1 (bad)")]
    Label {
        /// Position in the slice, from 0.
        row: usize,
        /// What was there.
        got: u8,
    },
    /// A PD is not a probability.
    #[error("PD of evaluated row {row} is {got}, expected a number from 0 to 1")]
    Pd {
        /// Position in the slice, from 0.
        row: usize,
        /// What was there.
        got: f64,
    },
    /// One of the two classes is absent, so AUC and KS have no meaning.
    #[error(
        "{bads} bad and {goods} good rows: AUC and KS need at least one of each; \
         evaluate on more rows"
    )]
    OneClass {
        /// Rows with label 1.
        bads: usize,
        /// Rows with label 0.
        goods: usize,
    },
    /// Two models that are compared were not evaluated on the same labels.
    #[error(
        "the two models were evaluated on different rows ({first} and {second} rows, or other \
         labels): score the same rows in the same order with both"
    )]
    Unpaired {
        /// Rows of the first.
        first: usize,
        /// Rows of the second.
        second: usize,
    },
    /// A table was asked for with no bins, or with fewer than two.
    #[error("{got} bins asked for, expected at least {expected}")]
    Bins {
        /// The least number that makes sense.
        expected: usize,
        /// What was asked for.
        got: usize,
    },
    /// A value that is not a number among those whose distribution or order is compared.
    #[error("value of row {row} is not a number: take missing values out or give them a bin")]
    NotANumber {
        /// Position in the slice, from 0.
        row: usize,
    },
    /// The two sides of a stability index have different numbers of bins, or one is empty.
    #[error(
        "stability index: {expected} reference bins and {actual} current bins, both must be equal in number and hold at least one row"
    )]
    StabilityBins {
        /// Bins of the reference sample.
        expected: usize,
        /// Bins of the current sample.
        actual: usize,
    },
}

/// Labels and PDs of the same rows, checked once.
#[derive(Debug, Clone)]
pub struct Scored<'a> {
    labels: &'a [u8],
    pd: &'a [f64],
    /// Row positions by rising PD, ties in file order.
    order: Vec<usize>,
    bads: usize,
}

/// The figures of one model on one sample. Field order is print order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Rows evaluated.
    pub rows: usize,
    /// Rows with label 1.
    pub bads: usize,
    /// `bads / rows`.
    pub bad_rate: f64,
    /// Area under the ROC curve, ties one half.
    pub auc: f64,
    /// DeLong's standard error of `auc`.
    pub auc_se: f64,
    /// `auc -/+ 1.96 auc_se`, cut at 0 and 1.
    pub auc_ci95: [f64; 2],
    /// Largest |TPR - FPR| over the distinct PDs.
    pub ks: f64,
    /// The PD at which `ks` is reached (rows at or under it are on the good side).
    pub ks_pd: f64,
    /// `2 auc - 1`.
    pub gini: f64,
    /// Mean natural log loss, PDs cut to `[1e-15, 1 - 1e-15]`.
    pub log_loss: f64,
    /// Mean squared error of the PD.
    pub brier: f64,
    /// Share of all bads among the `floor(rows / 10)` highest PDs, ties at the cut in proportion.
    pub top_decile_capture: f64,
    /// Mean PD.
    pub mean_pd: f64,
}

impl<'a> Scored<'a> {
    /// Checks that `labels` are 0/1, `pd` are probabilities, both are of one length, and both
    /// classes occur.
    ///
    /// # Errors
    /// [`MetricError::Length`], [`MetricError::Label`], [`MetricError::Pd`],
    /// [`MetricError::OneClass`].
    pub fn new(labels: &'a [u8], pd: &'a [f64]) -> Result<Self, MetricError> {
        if labels.len() != pd.len() {
            return Err(MetricError::Length {
                labels: labels.len(),
                pds: pd.len(),
            });
        }
        if let Some((row, &got)) = labels.iter().enumerate().find(|(_, l)| **l > 1) {
            return Err(MetricError::Label { row, got });
        }
        if let Some((row, &got)) = pd
            .iter()
            .enumerate()
            .find(|(_, p)| !(0.0..=1.0).contains(*p))
        {
            return Err(MetricError::Pd { row, got });
        }
        let bads = labels.iter().filter(|l| **l == 1).count();
        if bads == 0 || bads == labels.len() {
            return Err(MetricError::OneClass {
                bads,
                goods: labels.len() - bads,
            });
        }
        let mut order: Vec<usize> = (0..pd.len()).collect();
        order.sort_by(|&a, &b| pd[a].total_cmp(&pd[b]));
        Ok(Self {
            labels,
            pd,
            order,
            bads,
        })
    }

    /// The labels, in file order.
    pub fn labels(&self) -> &'a [u8] {
        self.labels
    }

    /// The PDs, in file order.
    pub fn pd(&self) -> &'a [f64] {
        self.pd
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Number of rows with label 1.
    pub fn bads(&self) -> usize {
        self.bads
    }

    /// Number of rows with label 0.
    pub fn goods(&self) -> usize {
        self.rows() - self.bads
    }

    /// All scalar figures.
    pub fn metrics(&self) -> Metrics {
        let n = self.rows() as f64;
        let auc = self.auc();
        let ks = self.ks_curve();
        let rows = || self.labels.iter().zip(self.pd);
        let log_loss = rows()
            .map(|(&l, &p)| {
                let q = p.clamp(1e-15, 1.0 - 1e-15);
                if l == 1 { -q.ln() } else { -(1.0 - q).ln() }
            })
            .sum::<f64>()
            / n;
        let brier = rows()
            .map(|(&l, &p)| (p - f64::from(l)).powi(2))
            .sum::<f64>()
            / n;
        Metrics {
            rows: self.rows(),
            bads: self.bads,
            bad_rate: self.bads as f64 / n,
            auc: auc.auc,
            auc_se: auc.se,
            auc_ci95: auc.ci95,
            ks: ks.ks,
            ks_pd: ks.at_pd,
            gini: 2.0 * auc.auc - 1.0,
            log_loss,
            brier,
            top_decile_capture: self.capture(self.rows() / 10),
            mean_pd: self.pd.iter().sum::<f64>() / n,
        }
    }

    /// Share of all bads among the `top` highest PDs, ties at the cut in proportion.
    pub fn capture(&self, top: usize) -> f64 {
        self.bads_in_top(top) / self.bads as f64
    }

    /// Runs of equal PDs, rising: `(pd, rows, bads)`.
    fn ties(&self) -> impl Iterator<Item = (f64, usize, usize)> + '_ {
        self.order
            .chunk_by(|&a, &b| self.pd[a] == self.pd[b])
            .map(|run| {
                let bads = run.iter().filter(|&&i| self.labels[i] == 1).count();
                (self.pd[run[0]], run.len(), bads)
            })
    }
}

#[cfg(test)]
mod tests;
