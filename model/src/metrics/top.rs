//! The worst N rows: precision, capture, lift. Ties at the cut count in proportion.

use super::{MetricError, Scored};
use serde::{Deserialize, Serialize};

/// The rows that a model ranks worst.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// Rows taken.
    pub rows: usize,
    /// Bads among them; a fraction where the cut goes through a run of equal PDs, of which each row
    /// is taken with the same probability.
    pub bads: f64,
    /// `bads / rows`.
    pub precision: f64,
    /// `bads` over all bads.
    pub capture: f64,
    /// `precision` over the bad rate of all rows.
    pub lift: f64,
}

impl Scored<'_> {
    /// Expected bads among the `top` highest PDs where ties are broken by chance.
    pub(super) fn bads_in_top(&self, top: usize) -> f64 {
        let runs: Vec<_> = self.ties().collect();
        let (mut left, mut caught) = (top.min(self.rows()), 0.0);
        for &(_, rows, bads) in runs.iter().rev() {
            if left == 0 {
                break;
            }
            let taken = left.min(rows);
            caught += bads as f64 * taken as f64 / rows as f64;
            left -= taken;
        }
        caught
    }

    /// The `top` rows with the highest PDs.
    ///
    /// # Errors
    /// [`MetricError::Bins`] where `top` is 0 or more than there are rows.
    pub fn top(&self, top: usize) -> Result<Top, MetricError> {
        if top == 0 || top > self.rows() {
            return Err(MetricError::Bins {
                expected: 1,
                got: top,
            });
        }
        let bads = self.bads_in_top(top);
        let precision = bads / top as f64;
        Ok(Top {
            rows: top,
            bads,
            precision,
            capture: bads / self.bads() as f64,
            lift: precision * self.rows() as f64 / self.bads() as f64,
        })
    }
}

/// PDs that rank rows as `values` do: the dense rank over one more than the number of distinct
/// values. For scores that are no probability; only figures of ranks (AUC, KS, lift) mean anything.
///
/// # Errors
/// [`MetricError::NotANumber`] naming the row.
pub fn rank_as_pd(values: &[f64], higher_is_worse: bool) -> Result<Vec<f64>, MetricError> {
    if let Some(row) = values.iter().position(|v| v.is_nan()) {
        return Err(MetricError::NotANumber { row });
    }
    let mut distinct: Vec<f64> = values.to_vec();
    distinct.sort_unstable_by(f64::total_cmp);
    distinct.dedup();
    let most = distinct.len() as f64 + 1.0;
    let rank = |v: &f64| {
        let below = distinct.partition_point(|d| d < v) as f64 + 1.0;
        if higher_is_worse {
            below / most
        } else {
            1.0 - below / most
        }
    };
    Ok(values.iter().map(rank).collect())
}
