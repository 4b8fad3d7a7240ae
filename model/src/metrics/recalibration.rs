//! Calibration: slope and intercept of the log-odds, expected calibration error.
//!
//! D. R. Cox, "Two further applications of a model for binary regression", Biometrika 45 (1958):
//! a logistic regression of the label on the log-odds of the PD. A right model has intercept 0 and
//! slope 1; a slope below 1 says that PDs are too extreme.

use super::{MetricError, Scored};
use serde::{Deserialize, Serialize};

/// Newton steps of the two-parameter fit.
const STEPS: usize = 100;

/// What a logistic regression of the label on the log-odds of the PD says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Recalibration {
    /// Intercept, with the slope fitted too.
    pub intercept: f64,
    /// Its standard error.
    pub intercept_se: f64,
    /// Slope.
    pub slope: f64,
    /// Its standard error.
    pub slope_se: f64,
    /// Calibration in the large: the intercept where the slope is held at 1.
    pub in_the_large: f64,
}

/// The log-odds of a PD that is cut to `[1e-15, 1 - 1e-15]`.
pub(super) fn log_odds(pd: f64) -> f64 {
    let p = pd.clamp(1e-15, 1.0 - 1e-15);
    (p / (1.0 - p)).ln()
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

impl Scored<'_> {
    /// Slope and intercept of the log-odds. None where no finite answer exists: all PDs alike, or
    /// the PDs separate the classes.
    pub fn recalibration(&self) -> Option<Recalibration> {
        let z: Vec<f64> = self.pd.iter().map(|p| log_odds(*p)).collect();
        let (first, last) = (self.order.first()?, self.order.last()?);
        let spread = z[*last] - z[*first];
        if spread.is_nan() || spread <= 0.0 || self.separates() {
            return None;
        }
        // Centred and scaled, so that the two unknowns are of one size.
        let n = z.len() as f64;
        let mean = z.iter().sum::<f64>() / n;
        let sd = (z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let x: Vec<f64> = z.iter().map(|v| (v - mean) / sd).collect();
        let (a, b, cov) = self.fit(&x)?;
        let slope = b / sd;
        let intercept = a - slope * mean;
        let shift = mean / sd;
        let variance = cov[0] - 2.0 * shift * cov[1] + shift * shift * cov[2];
        Some(Recalibration {
            intercept,
            intercept_se: variance.max(0.0).sqrt(),
            slope,
            slope_se: (cov[2]).max(0.0).sqrt() / sd,
            in_the_large: self.in_the_large(&z)?,
        })
    }

    /// Whether some cut-off has all bads on one side and all goods on the other.
    fn separates(&self) -> bool {
        let auc = self.auc().auc;
        auc == 0.0 || auc == 1.0 || self.touches()
    }

    /// Whether the classes overlap in one tied PD only, from either side: the fit then runs away, too.
    fn touches(&self) -> bool {
        let of = |label: u8| {
            let rows = self.labels.iter().zip(self.pd);
            let pds = rows.filter(move |(l, _)| **l == label).map(|(_, p)| *p);
            pds.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), p| {
                (lo.min(p), hi.max(p))
            })
        };
        let (bad, good) = (of(1), of(0));
        bad.0 >= good.1 || good.0 >= bad.1
    }

    /// Intercept, slope and covariance `[aa, ab, bb]` by Newton's method with step halving.
    fn fit(&self, x: &[f64]) -> Option<(f64, f64, [f64; 3])> {
        let loss = |a: f64, b: f64| -> f64 {
            let rows = self.labels.iter().zip(x);
            rows.map(|(l, x)| {
                let z = a + b * x;
                // log(1 + e^z) - l z, without overflow
                z.max(0.0) + (-z.abs()).exp().ln_1p() - f64::from(*l) * z
            })
            .sum()
        };
        let (mut a, mut b) = (0.0, 0.0);
        let mut now = loss(a, b);
        for _ in 0..STEPS {
            let (mut ga, mut gb, mut haa, mut hab, mut hbb) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (l, x) in self.labels.iter().zip(x) {
                let p = sigmoid(a + b * x);
                let (miss, w) = (f64::from(*l) - p, p * (1.0 - p));
                ga += miss;
                gb += miss * x;
                haa += w;
                hab += w * x;
                hbb += w * x * x;
            }
            let det = haa * hbb - hab * hab;
            if !(det.is_finite() && det > 0.0) {
                return None;
            }
            let (da, db) = ((hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det);
            if da.abs().max(db.abs()) < 1e-13 * (1.0 + a.abs() + b.abs()) {
                return Some((a, b, [hbb / det, -hab / det, haa / det]));
            }
            let mut step = 1.0;
            loop {
                let next = loss(a + step * da, b + step * db);
                if next <= now + 1e-12 * now.abs() || step < 1e-6 {
                    (a, b, now) = (a + step * da, b + step * db, next);
                    break;
                }
                step *= 0.5;
            }
        }
        None
    }

    fn in_the_large(&self, z: &[f64]) -> Option<f64> {
        // The mean of sigmoid(z + a) rises with a: bisection, then it is as exact as a float.
        let want = self.bads() as f64;
        let sum = |a: f64| z.iter().map(|v| sigmoid(v + a)).sum::<f64>();
        let (mut low, mut high) = (-80.0, 80.0);
        if sum(low) > want || sum(high) < want {
            return None;
        }
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if sum(middle) < want {
                low = middle;
            } else {
                high = middle;
            }
            if high - low < 1e-14 {
                break;
            }
        }
        Some(0.5 * (low + high))
    }

    /// Expected calibration error: over `bins` population bins, the mean distance of observed from
    /// predicted, weighed by rows.
    ///
    /// # Errors
    /// [`MetricError::Bins`] where `bins` is 0.
    pub fn calibration_error(&self, bins: usize) -> Result<f64, MetricError> {
        let n = self.rows() as f64;
        let groups = self.calibration(bins)?;
        let far = groups
            .iter()
            .map(|g| g.rows as f64 * (g.observed - g.predicted).abs());
        Ok(far.sum::<f64>() / n)
    }
}
