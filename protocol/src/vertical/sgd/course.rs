//! How training goes: batches, rates of steps, terms of the series. All of it public, and equal at all parties.

use super::points::{self, Points};
use crate::abort::Abort;

/// What rates have come down to at the end.
const LAST_RATE: f64 = 1.0 / 16.0;
/// Ranges of the sigmoid that there are.
pub const RANGES: [u32; 5] = [8, 12, 16, 24, 32];

/// The public parameters of a training by mini-batches.
#[derive(Debug, Clone, PartialEq)]
pub struct SgdSpec {
    /// Ridge on the standardised scale; the intercept is not penalised.
    pub l2: f64,
    /// Passes over the rows, 2 to 1,000.
    pub epochs: usize,
    /// Rows of a batch, at most 65,536; batches are as equal as they can be.
    pub batch: usize,
    /// Rate of the first passes, above 0 and at most 2: in parts of the inverse of the largest curvature there can be.
    pub rate: f64,
    /// What stays of the last step in the next: from 0 to 0.95, to a 256th.
    pub momentum: f64,
    /// Of the order of the rows, which is public.
    pub seed: u64,
    /// The sigmoid's range, one of [`RANGES`]; none: 16, and where that does not hold, anew with 32. In the first epochs scores
    /// may go beyond where they end: with 8, and by less with 12, the descent then strays, and ends elsewhere by a part of its own error.
    pub range: Option<u32>,
}

impl Default for SgdSpec {
    fn default() -> Self {
        Self {
            l2: 1.0,
            epochs: 10,
            batch: 4096,
            rate: 1.0,
            momentum: 0.8,
            seed: 1,
            range: None,
        }
    }
}

impl SgdSpec {
    /// Batches of an epoch of so many rows.
    pub fn batches(&self, rows: usize) -> usize {
        rows.div_ceil(self.batch.max(1)).max(1)
    }

    /// Rate of epoch `e`, from 0: the first for half of the epochs, then falling to a 16th of it.
    pub fn rate_of(&self, e: usize) -> f64 {
        let first = self.falls_from();
        let part = (e + 1).saturating_sub(first) as f64 / (self.epochs - first) as f64;
        self.rate * LAST_RATE.powf(part)
    }

    /// Momentum in 256ths.
    pub(crate) fn kept(&self) -> u64 {
        (self.momentum * 256.0).round() as u64
    }

    /// Ranges of the sigmoid that are tried.
    pub(crate) fn ranges(&self) -> Vec<u32> {
        self.range.map_or_else(|| vec![16, 32], |r| vec![r])
    }

    /// First epoch whose rate falls, from 0.
    fn falls_from(&self) -> usize {
        self.epochs / 2
    }

    /// Terms of the series: three quarters of R, which are exact to 4e-4. Fewer in early epochs leave their error in the
    /// end: rates then are too small to mend it.
    pub fn terms(range: u32) -> usize {
        3 * range as usize / 4
    }

    /// What the ridge takes of the weights after epoch `e`, by its matrix: that of the epoch's steps together.
    pub(crate) fn decay(&self, e: usize, batches: usize, parties: usize) -> f64 {
        let kept = self.kept() as f64 / 256.0;
        batches as f64 * self.rate_of(e) / parties as f64 / (1.0 - kept)
    }

    pub(super) fn check(&self, rows: usize) -> Result<Points, Abort> {
        let no = |what: String| Err(Abort::Input(what));
        if !(2..=1_000).contains(&self.epochs) {
            return no(format!("{} epochs: 2 to 1000", self.epochs));
        }
        if !(self.rate > 0.0 && self.rate <= 2.0) {
            return no(format!("a rate of {}: above 0 and at most 2", self.rate));
        }
        if !(0.0..=0.95).contains(&self.momentum) {
            return no(format!("a momentum of {}: from 0 to 0.95", self.momentum));
        }
        if !self.l2.is_finite() || self.l2 < 0.0 {
            return no(format!("a ridge of {}: 0 or more", self.l2));
        }
        if self.ranges().iter().any(|r| !RANGES.contains(r)) {
            return no("the sigmoid's range is 8, 12, 16, 24 or 32".into());
        }
        Points::new(rows, self.batches(rows))
    }
}

/// Epochs whose masks are made together, of so many rows and, in all batches of an epoch, so many columns.
fn epochs_ahead(rows: usize, columns: usize) -> usize {
    (points::AHEAD / rows.max(columns).max(1)).max(1)
}

/// Lengths of the groups of epochs whose masks are made together.
pub(crate) fn groups(epochs: usize, rows: usize, columns: usize) -> Vec<usize> {
    let most = epochs_ahead(rows, columns);
    let starts = (0..epochs).step_by(most);
    starts.map(|at| most.min(epochs - at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_stay_and_then_fall_to_a_sixteenth() {
        let spec = SgdSpec::default();
        let rates: Vec<f64> = (0..10).map(|e| spec.rate_of(e)).collect();
        assert!(rates[..5].iter().all(|r| *r == 1.0));
        assert!(rates[4..].windows(2).all(|r| r[1] < r[0]));
        assert!((rates[9] - 1.0 / 16.0).abs() < 1e-12);
        assert_eq!(groups(10, 1_000_000, 12_000), [4, 4, 2]);
        assert_eq!(groups(10, 30_000, 800), [10]);
        // 400,000 rows in batches of 64, 1,201 columns
        assert_eq!(groups(3, 400_000, 6_250 * 1_201), [1; 3]);
        let bad = |f: fn(&mut SgdSpec)| {
            let mut spec = SgdSpec::default();
            f(&mut spec);
            spec.check(10_000).unwrap_err().to_string()
        };
        assert!(bad(|s| s.rate = f64::NAN).contains("rate"));
        assert!(bad(|s| s.momentum = 1.0).contains("momentum"));
        assert!(bad(|s| s.epochs = 1).contains("epochs"));
        assert!(bad(|s| s.l2 = -1.0).contains("ridge"));
        assert!(bad(|s| s.range = Some(4)).contains("range"));
    }
}
