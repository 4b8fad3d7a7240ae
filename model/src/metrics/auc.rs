//! AUC with DeLong's standard error, and the paired comparison of two models.
//!
//! E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, "Comparing the areas under two or more
//! correlated receiver operating characteristic curves", Biometrics 44 (1988). The placements are
//! found by sorting, `O(n log n)`, instead of by the paper's pairwise kernel.

use super::{MetricError, Scored, special};
use serde::{Deserialize, Serialize};

/// An AUC with DeLong's standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Auc {
    /// Probability that a random bad has a higher PD than a random good, ties one half.
    pub auc: f64,
    /// DeLong's standard error; 0 where a class has one row.
    pub se: f64,
    /// `auc -/+ 1.96 se`, cut at 0 and 1.
    pub ci95: [f64; 2],
}

/// How much one model's AUC exceeds another's on the same rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AucDelta {
    /// First AUC minus second.
    pub delta: f64,
    /// DeLong's paired standard error.
    pub se: f64,
    /// `delta -/+ 1.96 se`. An interval that holds 0 shows no difference.
    pub ci95: [f64; 2],
    /// `delta / se`, 0 where the models rank alike.
    pub z: f64,
    /// Two-sided p of no difference.
    pub p: f64,
}

impl AucDelta {
    /// Whether the 95 % interval leaves 0 out.
    pub fn is_significant(&self) -> bool {
        self.ci95[0] > 0.0 || self.ci95[1] < 0.0
    }
}

/// DeLong's structural components, each in file order.
struct Placements {
    /// Per bad: share of goods with a lower PD, ties one half.
    bads: Vec<f64>,
    /// Per good: share of bads with a higher PD, ties one half.
    goods: Vec<f64>,
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Sample variance of the mean; 0 for one row.
fn variance_of_mean(x: &[f64]) -> f64 {
    let n = x.len() as f64;
    if x.len() < 2 {
        return 0.0;
    }
    let m = mean(x);
    x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (n - 1.0) / n
}

impl Scored<'_> {
    fn placements(&self) -> Placements {
        let (bads, goods) = (self.bads() as f64, self.goods() as f64);
        let mut by_row = vec![0.0; self.rows()];
        let (mut goods_below, mut bads_below) = (0.0, 0.0);
        for run in self.order.chunk_by(|&a, &b| self.pd[a] == self.pd[b]) {
            let tied_bads = run.iter().filter(|&&i| self.labels[i] == 1).count() as f64;
            let tied_goods = run.len() as f64 - tied_bads;
            for &i in run {
                by_row[i] = if self.labels[i] == 1 {
                    (goods_below + 0.5 * tied_goods) / goods
                } else {
                    1.0 - (bads_below + 0.5 * tied_bads) / bads
                };
            }
            goods_below += tied_goods;
            bads_below += tied_bads;
        }
        let side = |label| {
            let rows = self.labels.iter().zip(&by_row);
            rows.filter(|(l, _)| **l == label)
                .map(|(_, v)| *v)
                .collect()
        };
        Placements {
            bads: side(1),
            goods: side(0),
        }
    }

    /// AUC with DeLong's standard error and 95 % interval.
    pub fn auc(&self) -> Auc {
        let v = self.placements();
        let auc = mean(&v.bads);
        let se = (variance_of_mean(&v.bads) + variance_of_mean(&v.goods)).sqrt();
        Auc {
            auc,
            se,
            ci95: [(auc - 1.96 * se).max(0.0), (auc + 1.96 * se).min(1.0)],
        }
    }

    /// DeLong's paired comparison: how much higher the AUC of `self` is than that of `other`.
    ///
    /// # Errors
    /// [`MetricError::Unpaired`] where the two do not carry the same labels in the same order.
    pub fn auc_over(&self, other: &Scored<'_>) -> Result<AucDelta, MetricError> {
        if self.labels != other.labels {
            return Err(MetricError::Unpaired {
                first: self.rows(),
                second: other.rows(),
            });
        }
        let (a, b) = (self.placements(), other.placements());
        let minus = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| p - q).collect::<Vec<_>>();
        let delta = mean(&a.bads) - mean(&b.bads);
        let bads = variance_of_mean(&minus(&a.bads, &b.bads));
        let goods = variance_of_mean(&minus(&a.goods, &b.goods));
        let se = (bads + goods).sqrt();
        let z = if se > 0.0 { delta / se } else { 0.0 };
        let ci95 = [delta - 1.96 * se, delta + 1.96 * se];
        Ok(AucDelta {
            delta,
            se,
            ci95,
            z,
            p: special::normal_two_sided(z),
        })
    }
}
