//! Curves for plots: ROC, KS, gains, and the score histogram.

use super::{MetricError, Scored};
use serde::{Deserialize, Serialize};

/// A point of the ROC curve: what is refused when PDs above or at `pd` are refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RocPoint {
    /// Cut-off; the first point, where nothing is refused, carries 1.
    pub pd: f64,
    /// Share of goods refused.
    pub fpr: f64,
    /// Share of bads refused.
    pub tpr: f64,
}

/// A point of the KS curve: shares of bads and goods with a PD at or under `pd`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KsPoint {
    /// A distinct PD, rising.
    pub pd: f64,
    /// Share of all rows at or under it.
    pub rows_share: f64,
    /// Share of all bads at or under it.
    pub bads_share: f64,
    /// Share of all goods at or under it.
    pub goods_share: f64,
}

/// The two cumulative distributions and where they are farthest apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KsCurve {
    /// One point per distinct PD, rising.
    pub points: Vec<KsPoint>,
    /// The largest distance.
    pub ks: f64,
    /// The PD where it is reached (the lowest, when several).
    pub at_pd: f64,
    /// Position of that PD in `points`.
    pub at: usize,
}

/// A point of the cumulative gains (CAP) curve, worst rows first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GainPoint {
    /// Share of all rows taken.
    pub rows_share: f64,
    /// Share of all bads among them.
    pub capture: f64,
}

/// One bar of the score histogram; the last is closed on the right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HistogramBin {
    /// Lower edge, included.
    pub from: f64,
    /// Upper edge, excluded except in the last bin.
    pub to: f64,
    /// Goods in the bin.
    pub goods: usize,
    /// Bads in the bin.
    pub bads: usize,
    /// Share of all goods.
    pub goods_share: f64,
    /// Share of all bads.
    pub bads_share: f64,
}

/// Keeps the first, the last, `keep` and about `most` points in between, evenly by position.
fn thin<T: Copy>(points: &[T], most: usize, keep: usize) -> Vec<T> {
    let last = points.len().saturating_sub(1);
    let most = most.max(2);
    if points.len() <= most {
        return points.to_vec();
    }
    let mut at: Vec<usize> = (0..most).map(|k| k * last / (most - 1)).collect();
    at.push(keep.min(last));
    at.sort_unstable();
    at.dedup();
    at.into_iter().map(|i| points[i]).collect()
}

impl Scored<'_> {
    /// The ROC curve from (0, 0) to (1, 1), one point per distinct PD.
    pub fn roc(&self) -> Vec<RocPoint> {
        let (bads, goods) = (self.bads() as f64, self.goods() as f64);
        let runs: Vec<_> = self.ties().collect();
        let mut points = Vec::with_capacity(runs.len() + 1);
        points.push(RocPoint {
            pd: 1.0,
            fpr: 0.0,
            tpr: 0.0,
        });
        let (mut b, mut g) = (0, 0);
        for &(pd, rows, bad) in runs.iter().rev() {
            b += bad;
            g += rows - bad;
            points.push(RocPoint {
                pd,
                fpr: g as f64 / goods,
                tpr: b as f64 / bads,
            });
        }
        points
    }

    /// [`Scored::roc`] with at most about `most` points, for drawing.
    pub fn roc_thinned(&self, most: usize) -> Vec<RocPoint> {
        thin(&self.roc(), most, 0)
    }

    /// The KS curve, ties grouped.
    pub fn ks_curve(&self) -> KsCurve {
        let (n, bads, goods) = (self.rows() as f64, self.bads() as f64, self.goods() as f64);
        let (mut b, mut g) = (0, 0);
        let mut curve = KsCurve {
            points: Vec::new(),
            ks: 0.0,
            at_pd: 0.0,
            at: 0,
        };
        for (at, (pd, rows, bad)) in self.ties().enumerate() {
            b += bad;
            g += rows - bad;
            let point = KsPoint {
                pd,
                rows_share: (b + g) as f64 / n,
                bads_share: b as f64 / bads,
                goods_share: g as f64 / goods,
            };
            let distance = (point.bads_share - point.goods_share).abs();
            if at == 0 || distance > curve.ks {
                (curve.ks, curve.at_pd, curve.at) = (distance, pd, at);
            }
            curve.points.push(point);
        }
        curve
    }

    /// [`Scored::ks_curve`] with at most about `most` points, for drawing; the maximum is kept.
    pub fn ks_curve_thinned(&self, most: usize) -> KsCurve {
        let full = self.ks_curve();
        let points = thin(&full.points, most, full.at);
        let at = points.iter().position(|p| p.pd == full.at_pd).unwrap_or(0);
        KsCurve { points, at, ..full }
    }

    /// The cumulative gains curve from (0, 0) to (1, 1), worst first, ties grouped, with at most
    /// about `most` points.
    pub fn gains(&self, most: usize) -> Vec<GainPoint> {
        let (n, bads) = (self.rows() as f64, self.bads() as f64);
        let mut points = vec![GainPoint {
            rows_share: 0.0,
            capture: 0.0,
        }];
        let runs: Vec<_> = self.ties().collect();
        let (mut taken, mut caught) = (0, 0);
        for &(_, rows, bad) in runs.iter().rev() {
            taken += rows;
            caught += bad;
            points.push(GainPoint {
                rows_share: taken as f64 / n,
                capture: caught as f64 / bads,
            });
        }
        thin(&points, most, 0)
    }

    /// Goods and bads by PD in `bins` bins of equal width from the lowest to the highest PD.
    ///
    /// # Errors
    /// [`MetricError::Bins`] where `bins` is 0.
    pub fn histogram(&self, bins: usize) -> Result<Vec<HistogramBin>, MetricError> {
        if bins == 0 {
            return Err(MetricError::Bins {
                expected: 1,
                got: bins,
            });
        }
        let low = self.order.first().map_or(0.0, |&i| self.pd[i]);
        let high = self.order.last().map_or(1.0, |&i| self.pd[i]);
        let width = (high - low) / bins as f64;
        let edge = |k: usize| {
            if k == bins {
                high
            } else {
                low + width * k as f64
            }
        };
        let mut counts = vec![[0usize; 2]; bins];
        for (&label, &pd) in self.labels.iter().zip(self.pd) {
            let mut k = if width > 0.0 {
                ((pd - low) / width) as usize
            } else {
                0
            }
            .min(bins - 1);
            // The division may be off by one at an edge; the printed edges decide.
            if k > 0 && pd < edge(k) {
                k -= 1;
            } else if k + 1 < bins && pd >= edge(k + 1) {
                k += 1;
            }
            counts[k][usize::from(label)] += 1;
        }
        let bin = |(k, &[goods, bads]): (usize, &[usize; 2])| HistogramBin {
            from: edge(k),
            to: edge(k + 1),
            goods,
            bads,
            goods_share: goods as f64 / self.goods() as f64,
            bads_share: bads as f64 / self.bads() as f64,
        };
        Ok(counts.iter().enumerate().map(bin).collect())
    }
}
