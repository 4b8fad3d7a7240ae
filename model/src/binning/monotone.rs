//! The bins with the most information value among those whose shares of bad follow a trend.
//!
//! Dynamic programming over stretches of units: the best way to end with a bin that is the stretch from
//! i to j, with so many bins, follows from the best ways to end at i with one bin less. With u units and
//! at most b bins about u³ b / 6 comparisons, for u of at most [`MOST_UNITS`]; more units are first
//! joined by least chi-square.

use super::{
    Counts, chi,
    merge::{Limits, Task, Trend, stretch},
};

/// Most units that are searched; more are joined first.
const MOST_UNITS: usize = 64;
/// How much more information value a bent trend must have than a straight one, to be taken for `auto`.
const BENT_GAIN: f64 = 1.2;

/// First units of the bins that are left.
pub(super) fn merge(task: &Task<'_>, trend: Trend) -> Vec<usize> {
    if task.units.len() > MOST_UNITS {
        let limits = Limits {
            max_bins: MOST_UNITS,
            min_share: 0.0,
            min_class: 0,
        };
        let first = chi::merge(
            &Task {
                limits: &limits,
                ..*task
            },
            0.0,
        );
        let sums = task.sums();
        let ends = first.iter().skip(1).copied().chain([task.units.len()]);
        let bins = first.iter().zip(ends);
        let units: Vec<Counts> = bins.map(|(a, b)| stretch(&sums, *a, b)).collect();
        let of_units = merge(
            &Task {
                units: &units,
                ..*task
            },
            trend,
        );
        return of_units.into_iter().map(|s| first[s]).collect();
    }
    let best = |trends: &[Trend]| {
        let found = trends.iter().filter_map(|t| search(task, *t));
        found.reduce(|a, b| if b.0 > a.0 { b } else { a })
    };
    let found = match trend {
        Trend::Auto => {
            let straight = best(&[Trend::Increasing, Trend::Decreasing]);
            let bent = best(&[Trend::U, Trend::InvertedU]);
            match (straight, bent) {
                (Some(s), Some(b)) if b.0 < BENT_GAIN * s.0 => Some(s),
                (s, b) => b.or(s),
            }
        }
        one => best(&[one]),
    };
    found.map_or_else(|| vec![0], |(_, starts)| starts)
}

/// Whether a trend is bent, and the direction it begins with: +1 rising, -1 falling.
fn begins(trend: Trend) -> (bool, f64) {
    match trend {
        Trend::Increasing | Trend::Auto => (false, 1.0),
        Trend::Decreasing => (false, -1.0),
        Trend::U => (true, -1.0),
        Trend::InvertedU => (true, 1.0),
    }
}

/// A way to end with one stretch: its information value, and the stretch and phase before.
#[derive(Clone, Copy)]
struct Way {
    iv: f64,
    before: Option<(usize, usize)>,
}

fn search(task: &Task<'_>, trend: Trend) -> Option<(f64, Vec<usize>)> {
    let (bent, direction) = begins(trend);
    let phases = if bent { 2 } else { 1 };
    let u = task.units.len();
    let sums = task.sums();
    let rate = |from, to| stretch(&sums, from, to).bad_rate();
    let fits = |from: usize, to: usize| task.allows(stretch(&sums, from, to));
    let at = |from: usize, to: usize, phase: usize| (from * (u + 1) + to) * 2 + phase;
    // ways[bins - 1][at(from, to, phase)]: the last bin is from..to
    let mut ways: Vec<Vec<Option<Way>>> = Vec::new();
    let mut best: Option<(f64, usize, usize, usize)> = None;
    for bins in 1..=task.limits.max_bins.min(u).max(1) {
        let mut now = vec![None; (u + 1) * (u + 1) * 2];
        for to in bins..=u {
            for from in bins - 1..to {
                if (bins == 1) != (from == 0) || !fits(from, to) {
                    continue;
                }
                let own = task.iv(stretch(&sums, from, to));
                let last = rate(from, to);
                for phase in 0..phases {
                    let way = match ways.last() {
                        None => (phase == 0).then_some(Way {
                            iv: own,
                            before: None,
                        }),
                        Some(earlier) => {
                            let sense = if phase == 0 { direction } else { -direction };
                            let mut best: Option<Way> = None;
                            for start in 0..from {
                                if sense * (last - rate(start, from)) < 0.0 {
                                    continue;
                                }
                                for p in 0..=phase {
                                    let Some(w): Option<Way> = earlier[at(start, from, p)] else {
                                        continue;
                                    };
                                    if best.is_none_or(|b| w.iv + own > b.iv) {
                                        best = Some(Way {
                                            iv: w.iv + own,
                                            before: Some((start, p)),
                                        });
                                    }
                                }
                            }
                            best
                        }
                    };
                    now[at(from, to, phase)] = way;
                    if let Some(w) = way.filter(|_| to == u)
                        && best.is_none_or(|(iv, ..)| w.iv > iv + 1e-12)
                    {
                        best = Some((w.iv, bins, from, phase));
                    }
                }
            }
        }
        ways.push(now);
    }
    let (iv, bins, mut from, mut phase) = best?;
    let (mut starts, mut to) = (vec![from], u);
    for k in (1..bins).rev() {
        let (before, p) = ways[k][at(from, to, phase)]?.before?;
        (to, from, phase) = (from, before, p);
        starts.push(from);
    }
    starts.reverse();
    Some((iv, starts))
}
