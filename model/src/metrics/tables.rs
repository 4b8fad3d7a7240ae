//! Tables by score band: gains and lift, calibration, Hosmer-Lemeshow.

use super::{MetricError, Scored, special};
use serde::{Deserialize, Serialize};

/// One band of the gains table. Band 1 holds the worst (highest) PDs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Band {
    /// Number of the band, from 1.
    pub band: usize,
    /// Lowest PD in it.
    pub min_pd: f64,
    /// Highest PD in it.
    pub max_pd: f64,
    /// Mean PD in it.
    pub mean_pd: f64,
    /// Rows in it.
    pub rows: usize,
    /// Actual share of all rows (ties are kept together, so a decile may not be a tenth).
    pub fraction: f64,
    /// Bads in it.
    pub bads: usize,
    /// Goods in it.
    pub goods: usize,
    /// `bads / rows`.
    pub bad_rate: f64,
    /// `bad_rate` over the bad rate of all rows.
    pub lift: f64,
    /// Share of all rows in this band and those before it.
    pub cumulative_fraction: f64,
    /// Share of all bads in this band and those before it.
    pub cumulative_capture: f64,
    /// Share of all goods in this band and those before it.
    pub cumulative_goods: f64,
    /// `cumulative_capture / cumulative_fraction`.
    pub cumulative_lift: f64,
    /// `|cumulative_capture - cumulative_goods|` at the end of this band.
    pub ks: f64,
}

/// Predicted against observed in one bin of PDs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationBin {
    /// Lowest PD in the bin.
    pub min_pd: f64,
    /// Highest PD in the bin.
    pub max_pd: f64,
    /// Rows in the bin.
    pub rows: usize,
    /// Bads in the bin.
    pub bads: usize,
    /// Mean PD.
    pub predicted: f64,
    /// `bads / rows`.
    pub observed: f64,
    /// Wilson's 95 % interval of `observed`.
    pub ci95: [f64; 2],
}

/// Which rows a goodness-of-fit test looks at; decides the degrees of freedom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// The rows the model was fitted on: groups - 2.
    Training,
    /// Rows the model has not seen: groups.
    HeldOut,
}

/// The Hosmer-Lemeshow test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HosmerLemeshow {
    /// Groups actually formed (ties may merge some).
    pub groups: usize,
    /// Sum over the groups of `(observed - expected)^2 / (expected (1 - expected / rows))`.
    pub chi_squared: f64,
    /// Degrees of freedom.
    pub degrees: usize,
    /// Probability of a larger value if the PDs are right.
    pub p: f64,
}

/// A run of rows, by PD.
#[derive(Clone, Copy)]
struct Group {
    rows: usize,
    bads: usize,
    min_pd: f64,
    max_pd: f64,
    sum_pd: f64,
}

impl Scored<'_> {
    /// At most `bins` groups of near equal size, cut where the count of rows first reaches
    /// k / bins of all rows, never inside a run of equal PDs.
    fn groups(&self, bins: usize, worst_first: bool) -> Result<Vec<Group>, MetricError> {
        if bins == 0 {
            return Err(MetricError::Bins {
                expected: 1,
                got: bins,
            });
        }
        let mut runs: Vec<_> = self.ties().collect();
        if worst_first {
            runs.reverse();
        }
        let total = self.rows();
        let mut groups: Vec<Group> = Vec::with_capacity(bins);
        let (mut open, mut seen, mut cuts): (Option<Group>, usize, usize) = (None, 0, 0);
        for (pd, rows, bads) in runs {
            let mut group = open.take().unwrap_or(Group {
                rows: 0,
                bads: 0,
                min_pd: pd,
                max_pd: pd,
                sum_pd: 0.0,
            });
            group.rows += rows;
            group.bads += bads;
            group.min_pd = group.min_pd.min(pd);
            group.max_pd = group.max_pd.max(pd);
            group.sum_pd += pd * rows as f64;
            seen += rows;
            // Cut number k is due at k * total / bins rows.
            let due = seen * bins / total;
            if due > cuts {
                cuts = due;
                groups.push(group);
            } else {
                open = Some(group);
            }
        }
        groups.extend(open);
        Ok(groups)
    }

    /// The gains table: `bands` population bands, worst first, tied PDs kept together (so there
    /// may be fewer bands, and fractions are printed as they are).
    ///
    /// # Errors
    /// [`MetricError::Bins`] where `bands` is 0.
    pub fn gains_table(&self, bands: usize) -> Result<Vec<Band>, MetricError> {
        let (n, bads, goods) = (self.rows() as f64, self.bads() as f64, self.goods() as f64);
        let (mut rows_so_far, mut bads_so_far) = (0, 0);
        let band = |(k, g): (usize, Group)| {
            rows_so_far += g.rows;
            bads_so_far += g.bads;
            let rate = g.bads as f64 / g.rows as f64;
            let cumulative_fraction = rows_so_far as f64 / n;
            let cumulative_capture = bads_so_far as f64 / bads;
            let cumulative_goods = (rows_so_far - bads_so_far) as f64 / goods;
            Band {
                band: k + 1,
                min_pd: g.min_pd,
                max_pd: g.max_pd,
                mean_pd: g.sum_pd / g.rows as f64,
                rows: g.rows,
                fraction: g.rows as f64 / n,
                bads: g.bads,
                goods: g.rows - g.bads,
                bad_rate: rate,
                lift: rate * n / bads,
                cumulative_fraction,
                cumulative_capture,
                cumulative_goods,
                cumulative_lift: cumulative_capture / cumulative_fraction,
                ks: (cumulative_capture - cumulative_goods).abs(),
            }
        };
        Ok(self
            .groups(bands, true)?
            .into_iter()
            .enumerate()
            .map(band)
            .collect())
    }

    /// [`Scored::gains_table`] with ten bands.
    pub fn deciles(&self) -> Vec<Band> {
        self.gains_table(10).unwrap_or_default()
    }

    /// Predicted against observed in `bins` population bins, lowest PDs first.
    ///
    /// # Errors
    /// [`MetricError::Bins`] where `bins` is 0.
    pub fn calibration(&self, bins: usize) -> Result<Vec<CalibrationBin>, MetricError> {
        let bin = |g: Group| CalibrationBin {
            min_pd: g.min_pd,
            max_pd: g.max_pd,
            rows: g.rows,
            bads: g.bads,
            predicted: g.sum_pd / g.rows as f64,
            observed: g.bads as f64 / g.rows as f64,
            ci95: special::wilson_interval(g.bads, g.rows),
        };
        Ok(self.groups(bins, false)?.into_iter().map(bin).collect())
    }

    /// The Hosmer-Lemeshow test over `groups` population groups (10 by custom).
    ///
    /// # Errors
    /// [`MetricError::Bins`] where fewer than three groups are asked for or fewer than three can
    /// be formed from distinct PDs.
    pub fn hosmer_lemeshow(
        &self,
        groups: usize,
        sample: Sample,
    ) -> Result<HosmerLemeshow, MetricError> {
        let formed = self.groups(groups, false)?;
        if formed.len() < 3 {
            return Err(MetricError::Bins {
                expected: 3,
                got: formed.len(),
            });
        }
        let chi_squared = formed
            .iter()
            .map(|g| {
                let spread = g.sum_pd * (1.0 - g.sum_pd / g.rows as f64);
                let miss = g.bads as f64 - g.sum_pd;
                // PDs of exactly 0 or 1 leave no spread: right costs nothing, wrong everything.
                if spread > 0.0 {
                    miss * miss / spread
                } else if miss == 0.0 {
                    0.0
                } else {
                    f64::MAX
                }
            })
            .sum::<f64>();
        let degrees = match sample {
            Sample::Training => formed.len() - 2,
            Sample::HeldOut => formed.len(),
        };
        let p = special::chi_squared_upper_tail(chi_squared, degrees);
        Ok(HosmerLemeshow {
            groups: formed.len(),
            chi_squared,
            degrees,
            p,
        })
    }
}
