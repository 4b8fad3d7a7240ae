//! Percentile intervals by resampling rows, of one model and of the difference of two.
//!
//! B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. Both models
//! see the same resamples (paired). Resample `r` draws as many rows as there are, with replacement:
//! row `floor(x n / 2^64)` for each `x` of the SplitMix64 stream whose seed is output r of the stream
//! seeded with `seed`; so the figures are the same everywhere. A resample without
//! goods or without bads has no AUC and is left out; how many were used is reported. Quantiles are
//! linear between order statistics. AUC is exact on the weighted rows, ties one half.

use super::{MetricError, Scored};
use serde::{Deserialize, Serialize};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A figure with its percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// On the rows as they are.
    pub value: f64,
    /// Standard deviation over the resamples.
    pub se: f64,
    /// 2.5 % and 97.5 % quantile over the resamples.
    pub ci95: [f64; 2],
}

/// Intervals of the figures that have no closed one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Resamples that had both classes.
    pub resamples: usize,
    /// Area under the ROC curve.
    pub auc: Interval,
    /// Kolmogorov-Smirnov distance.
    pub ks: Interval,
    /// Mean log loss.
    pub log_loss: Interval,
    /// Brier score.
    pub brier: Interval,
    /// Share of bads in the worst tenth.
    pub capture: Interval,
}

/// AUC, KS, log loss, Brier, capture, in this order.
type Figures = [f64; 5];

/// A model's rows made ready to be weighed.
struct Ready<'a> {
    scored: &'a Scored<'a>,
    log_loss: Vec<f64>,
    brier: Vec<f64>,
}

impl<'a> Ready<'a> {
    fn new(scored: &'a Scored<'a>) -> Self {
        let rows = || scored.labels.iter().zip(scored.pd);
        let log_loss = rows()
            .map(|(&l, &p)| {
                let q = p.clamp(1e-15, 1.0 - 1e-15);
                if l == 1 { -q.ln() } else { -(1.0 - q).ln() }
            })
            .collect();
        let brier = rows().map(|(&l, &p)| (p - f64::from(l)).powi(2)).collect();
        Self {
            scored,
            log_loss,
            brier,
        }
    }

    /// Figures where row i counts `weights[i]` times; none where a class is absent.
    fn figures(&self, weights: &[u32]) -> Option<Figures> {
        let s = self.scored;
        let (mut bads, mut all) = (0u64, 0u64);
        for (l, w) in s.labels.iter().zip(weights) {
            all += u64::from(*w);
            bads += u64::from(*w) * u64::from(*l);
        }
        let goods = all - bads;
        if bads == 0 || goods == 0 {
            return None;
        }
        let (nb, ng) = (bads as f64, goods as f64);
        let (mut b, mut g, mut wins, mut ks) = (0.0, 0.0, 0.0, 0.0f64);
        // rows above which the worst tenth begins, counted from the best
        let tenth = (all / 10) as f64;
        let edge = all as f64 - tenth;
        let (mut seen, mut caught) = (0.0, 0.0);
        for run in s.order.chunk_by(|&a, &b| s.pd[a] == s.pd[b]) {
            let (mut rb, mut rw) = (0.0, 0.0);
            for &i in run {
                let w = f64::from(weights[i]);
                rw += w;
                rb += w * f64::from(s.labels[i]);
            }
            if rw == 0.0 {
                continue;
            }
            wins += rb * (g + 0.5 * (rw - rb));
            b += rb;
            g += rw - rb;
            ks = ks.max((b / nb - g / ng).abs());
            let inside = (seen + rw - edge).clamp(0.0, rw);
            caught += rb * inside / rw;
            seen += rw;
        }
        let mean = |x: &[f64]| {
            let sum: f64 = x.iter().zip(weights).map(|(x, w)| x * f64::from(*w)).sum();
            sum / all as f64
        };
        Some([
            wins / (nb * ng),
            ks,
            mean(&self.log_loss),
            mean(&self.brier),
            caught / nb,
        ])
    }
}

fn draw(weights: &mut [u32], seed: u64, resample: u64) {
    weights.fill(0);
    let n = weights.len() as u128;
    // streams that begin at neighbouring states would be one stream, shifted: the seeds are mixed first
    let mut state = mixed(seed.wrapping_add(GOLDEN.wrapping_mul(resample.wrapping_add(1))));
    for _ in 0..weights.len() {
        state = state.wrapping_add(GOLDEN);
        weights[((u128::from(mixed(state)) * n) >> 64) as usize] += 1;
    }
}

/// SplitMix64's output for a state.
fn mixed(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * (at - low as f64)
}

fn interval(value: f64, mut seen: Vec<f64>) -> Interval {
    let n = seen.len() as f64;
    let mean = seen.iter().sum::<f64>() / n;
    let se = (seen.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    seen.sort_unstable_by(f64::total_cmp);
    Interval {
        value,
        se,
        ci95: [quantile(&seen, 0.025), quantile(&seen, 0.975)],
    }
}

fn intervals(at: Figures, seen: &[Figures]) -> Intervals {
    let of = |k: usize| interval(at[k], seen.iter().map(|f| f[k]).collect());
    Intervals {
        resamples: seen.len(),
        auc: of(0),
        ks: of(1),
        log_loss: of(2),
        brier: of(3),
        capture: of(4),
    }
}

/// Intervals of `model`, and of `model` minus `other` on the same resamples.
///
/// # Errors
/// [`MetricError::Unpaired`] where the two carry other labels; [`MetricError::Bins`] for fewer than
/// two resamples, asked for or left.
pub fn bootstrap(
    model: &Scored<'_>,
    other: &Scored<'_>,
    resamples: usize,
    seed: u64,
) -> Result<(Intervals, Intervals), MetricError> {
    if model.labels != other.labels {
        return Err(MetricError::Unpaired {
            first: model.rows(),
            second: other.rows(),
        });
    }
    let (a, b) = (Ready::new(model), Ready::new(other));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = resamples.div_ceil(threads.max(1)).max(1);
    let one = |from: usize| {
        let mut weights = vec![0u32; model.rows()];
        let mut seen = Vec::new();
        for r in from..(from + share).min(resamples) {
            draw(&mut weights, seed, r as u64);
            if let (Some(x), Some(y)) = (a.figures(&weights), b.figures(&weights)) {
                seen.push((x, y));
            }
        }
        seen
    };
    let one = &one;
    let seen: Vec<(Figures, Figures)> = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..resamples)
            .step_by(share)
            .map(|from| scope.spawn(move || one(from)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| match part.join() {
                Ok(seen) => seen,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    if seen.len() < 2 {
        return Err(MetricError::Bins {
            expected: 2,
            got: seen.len(),
        });
    }
    let minus = |x: Figures, y: Figures| std::array::from_fn(|k| x[k] - y[k]);
    let ones = vec![1u32; model.rows()];
    let empty = || MetricError::OneClass { bads: 0, goods: 0 };
    let at = (
        a.figures(&ones).ok_or_else(empty)?,
        b.figures(&ones).ok_or_else(empty)?,
    );
    let own: Vec<Figures> = seen.iter().map(|s| s.0).collect();
    let deltas: Vec<Figures> = seen.iter().map(|s| minus(s.0, s.1)).collect();
    Ok((intervals(at.0, &own), intervals(minus(at.0, at.1), &deltas)))
}
