//! ChiMerge: the most similar neighbours are joined first.

use super::{
    Counts,
    merge::{Task, stretch},
};

/// First units of the bins that are left.
pub(super) fn merge(task: &Task<'_>, stop: f64) -> Vec<usize> {
    let sums = task.sums();
    let n = task.units.len();
    let mut starts: Vec<usize> = (0..n).collect();
    let bin = |starts: &[usize], k: usize| {
        let to = starts.get(k + 1).copied().unwrap_or(n);
        stretch(&sums, starts[k], to)
    };
    while starts.len() > 1 {
        let distance = |k: &usize| chi_square(bin(&starts, k - 1), bin(&starts, *k));
        let closest = |of: &mut dyn Iterator<Item = usize>| {
            of.min_by(|a, b| distance(a).total_cmp(&distance(b)))
        };
        // a bin below the limits first, with its more similar neighbour
        let small = (0..starts.len()).find(|k| !task.allows(bin(&starts, *k)));
        let at = match small {
            Some(k) => {
                let last = starts.len() - 1;
                closest(&mut [k, k + 1].into_iter().filter(|j| (1..=last).contains(j)))
            }
            None => {
                let least = closest(&mut (1..starts.len()));
                let many = starts.len() > task.limits.max_bins.max(1);
                least.filter(|k| many || distance(k) < stop)
            }
        };
        let Some(at) = at else { break };
        starts.remove(at);
    }
    starts
}

/// Chi-square of the two-by-two table of two bins and two classes; 0 where a class has no rows.
pub(super) fn chi_square(a: Counts, b: Counts) -> f64 {
    let n = (a.rows() + b.rows()) as f64;
    let (good, bad) = ((a.good + b.good) as f64, (a.bad + b.bad) as f64);
    let scale = a.rows() as f64 * b.rows() as f64 * good * bad;
    if scale == 0.0 {
        return 0.0;
    }
    let cross = a.good as f64 * b.bad as f64 - a.bad as f64 * b.good as f64;
    n * cross * cross / scale
}
